//! The limiter and the window against what they promise (`ringgate_model::limiter`): programs of calls with
//! priorities and timeouts, of calls that fall silent, are leaked or dropped, of steps of time and changes of every limit, on a
//! clock that the test sets.
//!
//! After every step the stamps, free slots and calls in line are those of the model, to the nanosecond. Each admission
//! and refusal must be allowed, in an allowed order. Once all woken calls were polled, none waits while there is room;
//! after the grace silent calls hold up nobody. Which call was given a turn is not compared: that is the
//! limiter's own affair.
//!
//! It runs on one thread, so that all this is exact. The models in `src` check threads. Where the log is
//! split (limits from 128 on), time only moves on and rates stay, so that all is exact, too.
//! `src/tests/oracle.rs` checks split logs without these restrictions.

mod faults;
mod front;
pub(crate) mod hand;
mod programs;
mod scene;

use crate::common::random::cases;
use programs::{
    InFlight, any_in_flight, programs, programs_of_silent_calls, queues, split_programs,
};
use proptest::prelude::*;
use scene::{run_limiters, run_window};

proptest! {
    #![proptest_config(cases(1000))]

    /// Broken by: `hand_out_in` keeping the count of turns that nobody took; `Gate::release` returning false;
    /// `look_past_silent` never handing out; `Queued::stamp` stamping twice; `passes_the_line` ignoring a close.
    #[test]
    fn a_limiter_does_what_the_model_does(program in programs(0, any_in_flight())) {
        run_limiters(&program)?;
    }

    /// Broken by: `take_grant` returning what was asked; `cancel` giving back a permit that another has claimed;
    /// `claim_lapsed` without the second look; a new rate told to the first in line alone; a slot of the limiter, or a permit, that is lost or freed twice.
    #[test]
    fn a_silent_call_keeps_no_shared_slot(program in programs_of_silent_calls()) {
        run_limiters(&program)?;
    }

    /// Broken by: `Ring::check` asking only the first rule; `<` for `<=` in `busy_until` or `check_fast`; no
    /// clamp in `check_fast`; `Margin::add_to` not adding the margin; stamps that are not copied as the log
    /// grows; a deadline or a sleep 1 ns longer; a sleep that is not renewed.
    #[test]
    fn a_window_does_what_the_model_does(program in programs(1, Just(InFlight::Unlimited))) {
        run_window(&program)?;
    }
}

proptest! {
    #![proptest_config(cases(150))]

    /// Broken by: turns for the classes in reverse.
    #[test]
    fn a_line_of_all_classes_goes_by_their_shares(program in queues()) {
        run_limiters(&program)?;
    }

    /// Broken by: one ring refusing for all; shares without the rest; what remains, or a turn, of the
    /// first ring alone.
    #[test]
    fn a_limiter_whose_log_is_split_does_what_the_model_does(program in split_programs()) {
        run_limiters(&program)?;
    }
}
