//! What a provider says is left of a limit.

/// A call whose admission is not known was admitted so long ago: a window divided by this, ...
const PART: u64 = 8;
/// ... at most so many ns.
const MOST: u64 = 10_000_000_000;

/// So much is left, by an answer to a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left {
    pub(crate) amount: u64,
    /// When the call was admitted, in ns of the clock, if that is known.
    pub(crate) sent: Option<u64>,
}

impl Left {
    /// How long ago the call was admitted. A clock that has jumped back since does not know it.
    pub(crate) fn age(&self, now: u64, window: u64) -> u64 {
        let known = self.sent.and_then(|sent| now.checked_sub(sent));
        known.unwrap_or((window / PART).min(MOST))
    }
}
