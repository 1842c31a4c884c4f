//! A subscriber for the whole process. `tracing` keeps one for a scope from being called by what it does, but not this one. It is set
//! for all threads, so it has a program of its own.
#![cfg(feature = "tracing")]

use ringgate::Limiter;
use std::cell::Cell;
use std::sync::OnceLock;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber, subscriber};

static LIMITER: OnceLock<Limiter> = OnceLock::new();

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static TOLD: Cell<u32> = const { Cell::new(0) };
}

/// Calls the limiter again with each event.
struct CallsAgain;

impl Subscriber for CallsAgain {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        TOLD.set(TOLD.get() + 1);
        DEPTH.set(DEPTH.get() + 1);
        assert!(DEPTH.get() < 9, "it is called by what it does");
        assert!(LIMITER.get().is_some_and(|limiter| limiter.try_acquire().is_err()));
        DEPTH.set(DEPTH.get() - 1);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Broken by: `tell!` without `unless_inside`.
#[test]
fn a_subscriber_that_calls_the_limiter_called_itself_without_end() {
    subscriber::set_global_default(CallsAgain).unwrap();
    let limiter = LIMITER.get_or_init(|| Limiter::builder().max_concurrent(0).build());
    for calls in 1..=2 {
        assert!(limiter.try_acquire().is_err());
        assert_eq!(TOLD.get(), calls, "what it does is not told");
    }
    assert_eq!(limiter.stats().refused.total(), 4, "but it is counted");
}
