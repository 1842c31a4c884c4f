//! Small parts by themselves.

use crate::rate::Margin;
use crate::time::Time;
use core::time::Duration;
use proptest::prelude::*;

proptest! {
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

/// Broken by: `Unread` that starts when it is made.
#[test]
fn a_clock_that_no_call_needs_is_not_read() {
    let time = Time::unread();
    assert!(time.is_unread());
    assert!(time.now() <= time.now());
    assert!(!time.is_unread());
}
