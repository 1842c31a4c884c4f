//! The window of tokens with one stalled thread.

use super::harness::{at_every_step, every_pair, scene};
use crate::raw::tokens::{HeldTokens, RawTokens};
use crate::sync::freeze::steps;
use crate::tests::pairs::{held_tokens, tokens};
use crate::time::Timestamp;
use core::time::Duration;
use std::sync::Arc;

const SECOND: Duration = Duration::from_secs(1);

fn at(millis: u64) -> Timestamp {
    Timestamp::from_epoch(Duration::from_millis(millis))
}

#[test]
fn freeze_every_operation_on_tokens_against_every_other() {
    every_pair("tokens", tokens::STARTS, tokens::OPERATIONS);
}

#[test]
fn freeze_every_operation_on_held_tokens_against_every_other() {
    every_pair("held tokens", held_tokens::STARTS, held_tokens::OPERATIONS);
}

/// At most its own reservation is missing.
#[test]
fn freeze_a_reservation_and_its_settlement() {
    at_every_step("tokens: reserve, settle_held", || {
        let tokens = Arc::new(HeldTokens::new(10, SECOND));
        let [first, second, third] = [(); 3].map(|()| Arc::clone(&tokens));
        scene(
            move || {
                let reservation = first.reserve(at(0), 4).unwrap();
                first.settle_held(at(1), reservation, 3);
            },
            move || {
                let reservation = second.reserve(at(2), 3).unwrap();
                assert!(second.remaining(at(2)) <= 10 - 3);
                second.settle_held(at(3), reservation, 3);
                assert!(second.remaining(at(3)) >= 10 - 3 - 4 - 3);
            },
            move || {
                assert_eq!((third.held(), third.remaining(at(3))), (0, 4));
                assert_eq!(third.remaining(at(2000)), 10);
            },
        )
    });
}

/// The others finish the change, whatever step it stands at.
#[test]
fn freeze_a_new_window_of_tokens() {
    // Few slots, so that all steps can be tried.
    let window = Duration::from_micros(3);
    let micros = |micros| Timestamp::from_epoch(Duration::from_micros(micros));
    at_every_step("tokens: set", || {
        let tokens = Arc::new(RawTokens::new(10, window));
        let admission = tokens.try_admit(micros(1), 6).unwrap();
        let [first, second, third] = [(); 3].map(|()| Arc::clone(&tokens));
        scene(
            move || first.set(20, Some(2 * window)),
            move || {
                assert!(second.try_admit(micros(2), 4).is_ok());
                second.settle(micros(2), admission, 5);
                second.set(12, Some(window));
                assert_eq!(second.remaining(micros(2)), 3);
            },
            move || {
                assert!([12, 20].contains(&third.limit()));
                assert_eq!(third.remaining(micros(2)), third.limit() - 9);
                assert_eq!(third.remaining(micros(100)), third.limit());
            },
        )
    });
}

/// Caught: a search that walks all ticks of the window.
#[test]
fn freeze_no_call_walks_the_whole_window() {
    for gap in [1, 16, 40, 300, 999] {
        let tokens = RawTokens::new(100, SECOND);
        let mut most = 0;
        for call in 0..3000 {
            let now = at(call * gap);
            let (taken, admitted) = steps(|| tokens.try_admit(now, 1 + call % 30));
            most = most.max(taken);
            if let Ok(admission) = admitted {
                most = most.max(steps(|| tokens.settle(now, admission, 1 + call % 7)).0);
            }
            most = most.max(steps(|| tokens.remaining(now)).0);
        }
        assert!(most < 400, "{most} steps with a call every {gap} ms");
    }
}
