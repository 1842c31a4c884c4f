//! What a limiter remembers, as a plain value, and limits that begin with it.

use super::Limiter;
use crate::limiter_core::Budgets;
use crate::raw::entry::Entry;
use crate::raw::window::Log;
use crate::time::{Time, WallTime, in_nanos};
use crate::tokens::TokenHistory;
use core::fmt;
use core::time::Duration;

/// What a limiter has counted, for one that continues in another process. From [`Limiter::snapshot`], for
/// [`LimiterBuilder::restore`](crate::LimiterBuilder::restore).
///
/// It is a plain value. It holds the admissions and the tokens that count in the limiter's windows, each with its age; not the
/// limits themselves, the slots and the line.
///
/// # Serialization
///
/// With the feature `serde` it is a map:
///
/// | key | value |
/// |---|---|
/// | `version` | 1; another version is an error |
/// | `taken_at` | when it was taken, in ns since 1970 |
/// | `admissions` | what the rates have counted: a list of `[age in ns, calls]` |
/// | `tokens` | for each limit on tokens: `limit` (a [`TokenLimit`](crate::TokenLimit)), `tick` (ns), and `used`: a list of `[age in ns, tokens]`, at most one for each tick of a thousandth of the window; an age is that of the tick's beginning |
///
/// Any numbers are a valid snapshot: see [`restore`](crate::LimiterBuilder::restore).
///
/// ```
/// # #[cfg(feature = "serde")] {
/// use ringgate::LimiterSnapshot;
///
/// let written = r#"{
///     "version": 1,
///     "taken_at": 1790000000000000000,
///     "admissions": [[0, 1], [1500000000, 2]],
///     "tokens": []
/// }"#;
/// let snapshot: LimiterSnapshot = serde_json::from_str(written).unwrap();
/// assert_eq!(snapshot.taken_at().as_secs(), 1_790_000_000);
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct LimiterSnapshot {
    version: Version,
    taken_at: WallTime,
    admissions: Vec<Entry>,
    tokens: Vec<TokenHistory>,
}

impl Limiter {
    /// What it has counted up to now, to be kept in a file and [restored](crate::LimiterBuilder::restore) by the next process.
    ///
    /// Every admission and every settlement that was over before the call is in it. Those under way may be.
    /// * **Calls** count in the new process as they did here, from their admission on.
    /// * **Tokens** that are reserved and not settled count as reserved: nothing can be given back in the new process. Output
    ///   that is held until it is settled ([`output_tokens`](crate::LimiterBuilder::output_tokens)) counts as used at this
    ///   moment. So take the snapshot after the last call where you can.
    /// * **Slots** and the line are not in it: no call of this process is in flight in the next one. A
    ///   [pause](Limiter::pause) is not in it either.
    ///
    /// # Cost
    ///
    /// It reads one word for each admission of the largest limit so far (a million words at most), and some 3000 for each limit
    /// on tokens. It allocates and sorts what it finds. So its time grows with the limit, to tens of milliseconds at a million.
    /// It blocks no other call, and none blocks it.
    ///
    /// ```
    /// use ringgate::{Limiter, Rate};
    ///
    /// let day = || Limiter::builder().rate(Rate::per_day(1_000));
    /// let limiter = day().build();
    /// drop(limiter.try_acquire()?);
    /// let snapshot = limiter.snapshot();
    ///
    /// // In the next process.
    /// let limiter = day().restore(&snapshot).build();
    /// assert_eq!(limiter.remaining(), 999);
    /// # Ok::<(), ringgate::Refused>(())
    /// ```
    #[must_use]
    pub fn snapshot(&self) -> LimiterSnapshot {
        let admissions = self.core.admissions();
        let tokens = self.core.budgets().map_or_else(Vec::new, Budgets::histories);
        // Last: in the time between, nothing grows older.
        LimiterSnapshot { version: Version, taken_at: WallTime::now(), admissions, tokens }
    }
}

impl LimiterSnapshot {
    /// When it was taken, by the wall clock: the time since 1970.
    #[must_use]
    pub fn taken_at(&self) -> Duration {
        self.taken_at.since_1970()
    }

    /// So much later (in ns), and in order.
    fn after(&self, elapsed: u64) -> Self {
        let admissions = Entry::all_after(elapsed, &self.admissions);
        let tokens = self.tokens.iter().map(|history| history.after(elapsed)).collect();
        Self { admissions, tokens, ..*self }
    }
}

/// Without the entries: there may be a million.
impl fmt::Debug for LimiterSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tokens: Vec<_> = self.tokens.iter().map(TokenHistory::len).collect();
        f.debug_struct("LimiterSnapshot")
            .field("taken_at", &self.taken_at())
            .field("admissions", &self.admissions.len())
            .field("tokens", &tokens)
            .finish_non_exhaustive()
    }
}

/// The version of the serialized form.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "u32", into = "u32"))]
struct Version;

#[cfg(feature = "serde")]
impl From<Version> for u32 {
    fn from(Version: Version) -> Self {
        1
    }
}

#[cfg(feature = "serde")]
impl TryFrom<u32> for Version {
    type Error = String;

    fn try_from(version: u32) -> Result<Self, String> {
        let known = u32::from(Self);
        let error = || format!("a snapshot of version {version}; only version {known} is known");
        (version == known).then_some(Self).ok_or_else(error)
    }
}

/// A snapshot that a limiter is to begin with.
#[derive(Clone, Debug)]
pub(super) struct Past {
    snapshot: LimiterSnapshot,
    /// The time since it was taken; `None` for what the wall clock says.
    elapsed: Option<Duration>,
}

impl Past {
    pub(super) fn new(snapshot: LimiterSnapshot, elapsed: Option<Duration>) -> Self {
        Self { snapshot, elapsed }
    }

    /// Counts it in new limits, by their clock.
    pub(super) fn restore(
        self,
        rate: Option<&mut Log>,
        budgets: Option<&mut Budgets>,
        time: &Time,
    ) {
        if rate.is_none() && budgets.is_none() {
            return;
        }
        let elapsed = match self.elapsed {
            Some(elapsed) => in_nanos(elapsed),
            None => self.snapshot.taken_at.elapsed_until(WallTime::now()),
        };
        // After the wall clock: in the time between, nothing grows older.
        let now = time.now();
        let past = self.snapshot.after(elapsed);
        if let Some(log) = rate {
            log.fill(&past.admissions, now.as_nanos());
        }
        if let Some(budgets) = budgets {
            budgets.restore(&past.tokens, now);
        }
    }
}
