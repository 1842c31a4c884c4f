//! What a provider says is left of a limit.

/// A call that has just been answered was admitted so long ago: a window divided by this, ...
const PART: u64 = 8;
/// ... at most so many ns.
const MOST: u64 = 10_000_000_000;

/// So much is left, by an answer to a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left {
    pub(crate) amount: u64,
    pub(crate) sent: Sent,
}

/// When the call was admitted that a provider has answered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sent {
    /// Then, in ns of the clock.
    At(u64),
    /// It has just been answered.
    Lately,
    /// At most a window ago.
    Unknown,
}

impl Sent {
    /// How long ago the call was admitted, at most. A clock that has jumped back since does not know it.
    pub(crate) fn age(self, now: u64, window: u64) -> u64 {
        match self {
            Self::At(sent) => now.checked_sub(sent).unwrap_or(window),
            Self::Lately => (window / PART).min(MOST),
            Self::Unknown => window,
        }
    }

    /// The time, by this reading of the clock; the reading itself if it is not known.
    pub(crate) fn time(self, now: u64) -> u64 {
        if let Self::At(sent) = self { sent.min(now) } else { now }
    }
}
