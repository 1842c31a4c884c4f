//! The word of a pause: when it ends, and what for.

use crate::feedback::StopReason;

/// Not paused.
pub(super) const NONE: u64 = 0;
/// The bits of the kind.
pub(super) const KIND: u64 = 0b111;
pub(super) const KIND_BITS: u32 = 3;
/// Paused until it is resumed: this end, of any kind.
pub(super) const FOR_EVER: u64 = !KIND;
/// Longer ones last until they are resumed: 18 years. Half of what could be told apart from the past.
pub(super) const LONGEST: u64 = 1 << 59;

/// What a pause is for. The last one says most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Those in line wait.
    Pause,
    /// The same, and when it is over they go one after another.
    Ramp,
    /// Nobody waits.
    Stop(StopReason),
}

impl Kind {
    pub(super) fn bits(self) -> u64 {
        match self {
            Self::Pause => 1,
            Self::Ramp => 2,
            Self::Stop(StopReason::QuotaExhausted) => 3,
            Self::Stop(StopReason::SpendLimit) => 4,
            Self::Stop(StopReason::PaymentRequired) => 5,
            Self::Stop(StopReason::DailyQuota) => 6,
            Self::Stop(StopReason::Other) => 7,
        }
    }

    pub(super) fn of(word: u64) -> Self {
        match word & KIND {
            0 | 1 => Self::Pause,
            2 => Self::Ramp,
            3 => Self::Stop(StopReason::QuotaExhausted),
            4 => Self::Stop(StopReason::SpendLimit),
            5 => Self::Stop(StopReason::PaymentRequired),
            6 => Self::Stop(StopReason::DailyQuota),
            _ => Self::Stop(StopReason::Other),
        }
    }

    /// What a pause is for if there are two.
    fn beside(self, other: Self) -> Self {
        match (self, other) {
            (Self::Stop(_), _) => self,
            (_, Self::Stop(_)) | (Self::Pause, Self::Ramp) => other,
            _ => self,
        }
    }
}

/// Whether the pause of a word lasts until it is resumed.
pub(super) fn is_endless(word: u64) -> bool {
    word & !KIND == FOR_EVER
}

/// Whether calls go one after another when the pause of a word is over.
pub(super) fn has_ramp(word: u64) -> bool {
    Kind::of(word) == Kind::Ramp && !is_endless(word)
}

/// From one end to another, in ns.
pub(super) fn between(one: u64, other: u64) -> i64 {
    (other & !KIND).wrapping_sub(one & !KIND).cast_signed() >> KIND_BITS
}

/// The later end, and the kind that says more.
pub(super) fn merged(one: u64, other: u64) -> u64 {
    if other == NONE {
        return one;
    }
    let end = match (one & !KIND, other & !KIND) {
        (FOR_EVER, _) | (_, FOR_EVER) => FOR_EVER,
        (one, other) if between(other, one) > 0 => one,
        (_, other) => other,
    };
    end | Kind::of(one).beside(Kind::of(other)).bits()
}
