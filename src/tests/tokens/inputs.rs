//! Any numbers, at any time: no panic, no overflow, and what is documented of them.

use crate::raw::tokens::{HeldTokens, RawTokens, Refusal};
use crate::time::Timestamp;
use core::time::Duration;

const NUMBERS: [u64; 12] = [
    0,
    1,
    2,
    1000,
    (1 << 21) - 1,
    1 << 21,
    u32::MAX as u64,
    1 << 40,
    u64::MAX / 2,
    u64::MAX - 2000,
    u64::MAX - 1,
    u64::MAX,
];

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
const SECOND: Duration = Duration::from_secs(1);

fn windows() -> [Duration; 8] {
    let nanos = Duration::from_nanos;
    [nanos(0), nanos(1), nanos(999), nanos(1_000_001), SECOND, YEAR, 219 * YEAR, Duration::MAX]
}

fn at(nanos: u64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

#[test]
fn no_number_makes_it_panic() {
    for limit in NUMBERS {
        for window in windows() {
            let tokens = RawTokens::new(limit, window);
            let held = HeldTokens::new(limit, window);
            for now in NUMBERS.into_iter().chain([5, 0, 7]) {
                for weight in NUMBERS {
                    let _ = tokens.peek(at(now), weight);
                    let admitted = tokens.try_admit(at(now), weight);
                    let reserved = held.reserve(at(now), weight);
                    let _ = (tokens.remaining(at(now)), held.remaining(at(now)), held.held());
                    for (actual, admission) in NUMBERS.into_iter().zip(admitted) {
                        tokens.settle(at(now / 2), admission, actual);
                    }
                    for (actual, reservation) in NUMBERS.into_iter().zip(reserved) {
                        held.settle_held(at(now / 2), reservation, actual);
                    }
                }
            }
            tokens.restart_time(&tokens.latest(), at(3), Duration::ZERO);
            tokens.set(limit / 3, Some(window / 2));
            tokens.set(limit.saturating_mul(3), Some(window.saturating_mul(2)));
            let most = tokens.window() / 1000 + Duration::from_micros(3);
            assert!(tokens.granularity() <= most, "{tokens:?}");
        }
    }
}

/// Broken by: a weight of one unit where there are none; a `TooLarge` that comes only when the window is full.
#[test]
fn nothing_always_fits_and_more_than_the_limit_never_does() {
    let tokens = RawTokens::new(10, SECOND);
    let too_large = Refusal::TooLarge { limit: 10, weight: 11 };
    assert_eq!(tokens.try_admit(at(0), 11).err(), Some(too_large));
    let whole = tokens.try_admit(at(0), 10).unwrap();
    assert_eq!(tokens.try_admit(at(0), 11).err(), Some(too_large));
    assert_eq!(tokens.try_admit(at(0), 0).unwrap().weight(), 0);
    assert_eq!(RawTokens::new(0, SECOND).try_admit(at(0), 0).unwrap().weight(), 0);
    tokens.settle(at(0), whole, 4);
    assert_eq!(tokens.remaining(at(0)), 6);
}

/// Broken by: 512 ticks in a window.
#[test]
fn a_window_is_exact_within_a_thousandth() {
    for window in [SECOND / 2, SECOND, 60 * SECOND, 24 * 3600 * SECOND, YEAR] {
        let tokens = RawTokens::new(10, window);
        let granularity = tokens.granularity();
        assert!(granularity <= window / 1000, "{granularity:?} of {window:?}");
        // At the beginning of a tick, so that it is held back the longest.
        let admitted = tokens.try_admit(at(0), 10).unwrap();
        let until = Refusal::Until(Timestamp::from_epoch(window + granularity));
        assert_eq!(tokens.try_admit(at(1), 1).err(), Some(until));
        drop(admitted);
    }
}

/// Broken by: no successor at the end of the numbers.
#[test]
fn it_goes_on_when_the_numbers_of_ticks_are_used_up() {
    let tokens = RawTokens::new(10, SECOND);
    let step = 5_u64 * 24 * 3600 * 1_000_000_000;
    for day in 0..400 {
        let now = day * step;
        let first = tokens.try_admit(at(now), 7).unwrap();
        assert_eq!(first.stamp(), at(now));
        assert!(tokens.try_admit(at(now + 999_999_999), 7).is_err());
        assert!(tokens.try_admit(at(now + 1_002_000_000), 7).is_ok());
        tokens.settle(at(now), first, 1);
    }
}

/// Without a restart calls wait until the clock has caught up.
#[test]
fn after_a_jump_back_calls_wait_a_window_at_most() {
    let tokens = RawTokens::new(10, SECOND);
    let hour = 3_600_000_000_000;
    let _ = tokens.try_admit(at(hour), 10).unwrap();
    let Some(Refusal::Until(far)) = tokens.try_admit(at(5), 1).err() else { panic!() };
    assert!(far > at(hour), "{far:?}");
    let (era, latest) = (tokens.era(), tokens.latest());
    tokens.restart_time(&latest, at(5), Duration::ZERO);
    tokens.restart_time(&latest, at(3), Duration::ZERO);
    assert_eq!(tokens.era(), era + 1);
    // The first reading after it tells how far the clock is behind.
    assert_eq!(tokens.remaining(at(5)), 0);
    let Some(Refusal::Until(until)) = tokens.try_admit(at(6), 1).err() else { panic!() };
    assert!(until <= at(5 + 1_003_000_000), "{until:?}");
    assert!(tokens.try_admit(until, 10).is_ok());
}
