//! Building a shared limiter.

use crate::SharedLimiter;
use crate::driver::{Driver, Parts, Settings};
use crate::error::ConfigError;
use crate::link::Link;
use crate::random;
use crate::script::{LARGEST, Store, Terms, Window};
use core::time::Duration;
use ringgate::{Lessee, Limit, Limiter, LimiterBuilder, Rate};

/// What a process does while it cannot reach the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhileAway {
    /// Calls wait in line; their timeouts hold. Others use all of the limits meanwhile.
    Wait,
    /// Calls wait for so long, then they use the process's share of each limit: at most one of as many parts as there were processes,
    /// and one more; a single process has half.
    Share {
        /// How long they wait at least. They wait longer where the limits could be exceeded: until all that the process could have been
        /// granted has left the windows (the longest window, the time to live and some).
        after: Duration,
        /// For how long the store keeps the share free for a process that it does not hear of, also for one that was killed.
        lasts: Duration,
    },
}

/// Longer windows are shared by no default: the store would keep shares free for longer than that.
const LONGEST_SHARED: Duration = Duration::from_secs(600);
const SHORTEST_LEASE: Duration = Duration::from_millis(1);
const TIME_TO_LIVE: Duration = Duration::from_secs(9);
const LONGEST_TIME_TO_LIVE: Duration = Duration::from_secs(3600);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The most windows that the script takes.
const MOST_WINDOWS: usize = 8;
/// Ticks of a window.
const TICKS: u64 = 1000;
/// Ten years.
const LONGEST_WINDOW: u64 = 10 * 365 * 86_400 * 1_000_000;

/// Builder for [`SharedLimiter`]. From [`SharedLimiter::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it connects"]
pub struct SharedLimiterBuilder {
    limiter: LimiterBuilder,
    namespace: String,
    name: String,
    lease: Option<Duration>,
    time_to_live: Option<Duration>,
    while_away: Option<WhileAway>,
    response_timeout: Option<Duration>,
    assume_unused: bool,
    seed: Option<u64>,
}

impl SharedLimiterBuilder {
    pub(crate) fn new(limiter: LimiterBuilder, namespace: &str, name: &str) -> Self {
        Self {
            limiter,
            namespace: namespace.into(),
            name: name.into(),
            lease: None,
            time_to_live: None,
            while_away: None,
            response_timeout: None,
            assume_unused: false,
            seed: None,
        }
    }

    /// How long what is granted may be used. A call counts so much longer than its window.
    ///
    /// The default is a fiftieth of the shortest window, from 20 ms to 2 s. A longer lease means fewer trips, and a smaller share of
    /// the limit that can be used. It must be several times as long as a trip takes.
    pub fn lease(mut self, length: Duration) -> Self {
        self.lease = Some(length);
        self
    }

    /// How long a process that is not heard of keeps its slots. It makes a trip three times in this time while it has calls in
    /// flight. The default is 9 s; at least three leases. Calls in flight of a process that is cut off for longer are not
    /// counted any more.
    pub fn time_to_live(mut self, length: Duration) -> Self {
        self.time_to_live = Some(length);
        self
    }

    /// What a process does while it cannot reach the store. By default it waits, and then uses its share for at least a
    /// minute; it only waits if a window is longer than ten minutes.
    pub fn while_away(mut self, while_away: WhileAway) -> Self {
        self.while_away = Some(while_away);
        self
    }

    /// How long a trip may take. The default is a second, or a third of the time to live if that is less.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = Some(timeout);
        self
    }

    /// A store that knows nothing of this limit begins at once. Without it a store that has started lately grants nothing until what it
    /// may have forgotten has left the windows.
    ///
    /// For stores of tests, and for new limits. If the store has forgotten something after all, up to the limit is used again.
    pub fn assume_unused(mut self) -> Self {
        self.assume_unused = true;
        self
    }

    /// Random numbers by this seed, for simulations. Two processes must not have the same.
    #[doc(hidden)]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// How the limits are kept in the store.
    ///
    /// # Errors
    ///
    /// [`ConfigError`].
    #[doc(hidden)]
    pub fn terms(&self) -> Result<Terms, ConfigError> {
        Ok(self.clone().parts()?.1.terms)
    }

    /// Where the limits are kept, and how trips are made.
    ///
    /// # Errors
    ///
    /// [`ConfigError`].
    pub fn store(&self) -> Result<Store, ConfigError> {
        Ok(Store::new(&self.namespace, &self.name, self.terms()?))
    }

    pub(crate) fn response_timeout_or_default(&self) -> Duration {
        let time_to_live = self.time_to_live.unwrap_or(TIME_TO_LIVE);
        self.response_timeout.unwrap_or(RESPONSE_TIMEOUT.min(time_to_live / 3))
    }

    /// The limiter, and the future that keeps it supplied: for runtimes other than tokio, and for links of your own.
    ///
    /// # Errors
    ///
    /// [`ConfigError`].
    pub fn driver<L: Link>(self, link: L) -> Result<(SharedLimiter, Driver<L>), ConfigError> {
        let (limiter, parts) = self.parts()?;
        let (status, driver) = Driver::new(parts, link);
        Ok((SharedLimiter::new(limiter, status), driver))
    }

    fn parts(self) -> Result<(Limiter, Parts), ConfigError> {
        let lessee = self.build_leased()?;
        let windows = lessee.limits().len();
        if windows > MOST_WINDOWS {
            return Err(ConfigError::TooManyWindows(windows));
        }
        let lease = self.lease_of(&lessee)?;
        let time_to_live = self.time_to_live_of(lease)?;
        let response = self.response_timeout_or_default();
        if response.is_zero() || response > time_to_live / 3 {
            return Err(ConfigError::ResponseTimeout(response));
        }
        let mut terms = Terms {
            windows: windows_of(&lessee, lease)?,
            slots: lessee.slots().map(|slots| (slots as u64).min(LARGEST)),
            time_to_live: micros(time_to_live),
            fallback: None,
        };
        let after = self.share_of(&mut terms)?;
        let settings = Settings {
            lease: micros(lease),
            response: micros(response),
            after,
            assumes_unused: self.assume_unused,
        };
        let seed = self.seed.unwrap_or_else(random::seed);
        Ok((lessee.limiter(), Parts { lessee, terms, settings, seed }))
    }

    /// Each call needs a lease that ends: so a process that was stopped for long begins none by slots that it no longer has.
    fn build_leased(&self) -> Result<Lessee, ConfigError> {
        let build = |limiter: LimiterBuilder| limiter.build_leased().map_err(ConfigError::Limiter);
        if let Ok((_, lessee)) = build(self.limiter.clone())
            && lessee.limits().iter().any(|limit| limit.kind() == Limit::Rate)
        {
            return Ok(lessee);
        }
        Ok(build(self.limiter.clone().rate(Rate::per_minute(u32::MAX)))?.1)
    }

    fn lease_of(&self, lessee: &Lessee) -> Result<Duration, ConfigError> {
        let shortest =
            lessee.limits().iter().map(ringgate::LeasedLimit::window).min().unwrap_or_default();
        let default = (shortest / 50).clamp(Duration::from_millis(20), Duration::from_secs(2));
        let lease = self.lease.unwrap_or(default);
        if lease < SHORTEST_LEASE || lease > LONGEST_TIME_TO_LIVE / 3 {
            return Err(ConfigError::Lease(lease));
        }
        Ok(lease)
    }

    fn time_to_live_of(&self, lease: Duration) -> Result<Duration, ConfigError> {
        let time_to_live = self.time_to_live.unwrap_or(TIME_TO_LIVE.max(lease * 3));
        if time_to_live < lease * 3 || time_to_live > LONGEST_TIME_TO_LIVE {
            return Err(ConfigError::TimeToLive(time_to_live));
        }
        Ok(time_to_live)
    }

    /// Sets for how long shares are kept, and returns what calls wait at least.
    fn share_of(&self, terms: &mut Terms) -> Result<u64, ConfigError> {
        // Before it begins, and after it has ended.
        terms.fallback = Some(0);
        let wait = terms.share_begins(0).unwrap_or(0);
        let least = wait.saturating_sub(terms.time_to_live).saturating_mul(2);
        let longest = terms.windows.iter().map(|window| window.kept).max().unwrap_or(0);
        terms.fallback = None;
        match self.while_away {
            Some(WhileAway::Wait) => Ok(0),
            None if longest > micros(LONGEST_SHARED) => Ok(0),
            None => {
                terms.fallback = Some(least.saturating_add(longest.max(60_000_000)));
                Ok(0)
            }
            Some(WhileAway::Share { after, lasts }) => {
                if micros(lasts) < least || micros(lasts) > LONGEST_WINDOW {
                    return Err(ConfigError::Share(Duration::from_micros(least)));
                }
                terms.fallback = Some(micros(lasts));
                Ok(micros(after))
            }
        }
    }
}

fn windows_of(lessee: &Lessee, lease: Duration) -> Result<Vec<Window>, ConfigError> {
    let window = |limit: &ringgate::LeasedLimit| {
        let kept = micros(limit.kept()).saturating_add(1).saturating_add(micros(lease));
        if kept > LONGEST_WINDOW {
            return Err(ConfigError::Window(limit.window()));
        }
        let (limit, produced) = (limit.limit().min(LARGEST), limit.counts_as_produced());
        Ok(Window { limit, kept, tick: kept.div_ceil(TICKS), produced })
    };
    lessee.limits().iter().map(window).collect()
}

/// Rounded down.
fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}
