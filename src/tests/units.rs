//! Small parts by themselves.

use crate::rate::Margin;
use crate::raw::window::cell::{Format, LONGEST, MAX_CELLS, Rule};
use crate::time::Time;
use core::time::Duration;
use proptest::prelude::*;

proptest! {
    #![proptest_config(crate::tests::random::cases(256))]

    /// Broken by: a divisor of 40 in `take_from`.
    #[test]
    fn a_window_comes_out_as_it_went_in(
        nanos in (0..62_u32, any::<u64>()).prop_map(|(by, nanos)| nanos >> 2 >> by),
        fixed in prop::option::of(0..1_000_000_000_000_u64),
    ) {
        let margin = fixed.map_or(Margin::Default, |nanos| Duration::from_nanos(nanos).into());
        let window = Duration::from_nanos(nanos);
        let with_margin = margin.add_to(window);
        prop_assert!(with_margin >= window);
        prop_assert!(window.is_zero() || margin.take_from(with_margin) == window);
    }
}

/// Broken by: `Unread` reading the clock when it is made.
#[test]
fn a_clock_that_no_call_needs_is_not_read() {
    let time = Time::unread();
    assert!(time.is_unread());
    assert!(time.now() <= time.now());
    assert!(!time.is_unread());
}

/// Broken by: rounding the mantissa down; an exponent that is one too small.
#[test]
fn windows_of_human_length_are_exact() {
    let second = 1_000_000_000_u64;
    for window in [1, 7, (1 << 37) - 1, 19 * 3600 * second, 100 * 86400 * second, LONGEST] {
        let format = Format::new(60, MAX_CELLS);
        assert_eq!(format.unpack_rule(format.pack_rule(60, window)), Rule { limit: 60, window });
    }
}

proptest! {
    #![proptest_config(crate::tests::random::cases(20_000))]

    /// Broken by: `div_ceil` for the mantissa without a check of its carry.
    #[test]
    fn a_window_is_never_shorter_and_hardly_longer(
        limit in prop_oneof![1..10_u32, any::<u32>()],
        window in (0..62_u32, any::<u64>()).prop_map(|(by, window)| window >> 3 >> by),
    ) {
        let format = Format::new(limit, MAX_CELLS);
        let rule = format.unpack_rule(format.pack_rule(limit, window));
        prop_assert_eq!(rule.limit, u64::from(limit));
        if limit > 0 {
            let window = window.min(LONGEST).next_multiple_of(format.ns_in_tick());
            prop_assert!(rule.window >= window);
            prop_assert!(rule.window - window <= window >> (36 - format.bits));
            prop_assert_eq!(rule.window & format.low_bits(), 0);
        }
        prop_assert!(format.pack_rule(limit, window) != 0);
    }
}
