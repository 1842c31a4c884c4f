//! The classes of calls in a line.

/// How urgent a call is, compared with others that wait for the same limiter.
///
/// Classes are weighted and none starves: of any 21 turns that a line hands out, waiting calls of high priority get at
/// least 16, normal ones 4, and low ones 1. What a class does not need goes to the others, the more urgent
/// first. Within a class calls go first in, first out.
///
/// ```
/// use ringgate::{Limiter, Priority, Rate};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), ringgate::Refused> {
/// let limiter = Limiter::new(Rate::per_minute(60), 4);
/// let permit = limiter.call().priority(Priority::High).acquire().await?;
/// # drop(permit);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Priority {
    /// For work that nobody waits for.
    Low,
    /// What a call has unless it says otherwise.
    #[default]
    Normal,
    /// For work that somebody waits for.
    High,
}

/// The number of classes.
pub(super) const CLASSES: usize = 3;

/// One turn in a round of so many goes to the last class.
const ROUND: u64 = 21;

impl Priority {
    /// The most urgent first.
    pub(super) const ALL: [Self; CLASSES] = [Self::High, Self::Normal, Self::Low];

    pub(super) fn index(self) -> usize {
        match self {
            Self::High => 0,
            Self::Normal => 1,
            Self::Low => 2,
        }
    }

    /// How many of a round's turns it gets at least.
    pub(super) fn share(self) -> u64 {
        match self {
            Self::High => 16,
            Self::Normal => 4,
            Self::Low => 1,
        }
    }

    /// Which class the `n`-th turn is for.
    pub(super) fn of_turn(n: u64) -> Self {
        match n % ROUND {
            20 => Self::Low,
            n if n % 5 == 4 => Self::Normal,
            _ => Self::High,
        }
    }
}
