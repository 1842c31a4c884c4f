//! What a limiter tells to subscribers of `tracing`, and what they may do.
#![cfg(feature = "tracing")]

use crate::bells::{Woken, limiter};
use crate::common::at_once;
use ringgate::{Feedback, Limiter, LimiterBuilder, Rate, SlidingWindow, StopReason, TokenWindow};
use std::cell::Cell;
use std::fmt::{Debug, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber, subscriber};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Sends each event of the limiter as a line, and then does something.
struct Lines<F> {
    to: Sender<String>,
    then: F,
}

struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        }
        .unwrap();
    }
}

impl<F: Fn() + 'static> Subscriber for Lines<F>
where
    Self: Send + Sync,
{
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "ringgate"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line { message: String::new(), fields: String::new() };
        event.record(&mut line);
        let level = event.metadata().level();
        self.to.send(format!("{level} {}{}", line.message, line.fields)).unwrap();
        (self.then)();
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// What is told during the scene, and what that returns.
fn told_while<R>(then: impl Fn() + Send + Sync + 'static, scene: impl FnOnce(&Told) -> R) -> R {
    let (to, from) = channel();
    subscriber::with_default(Lines { to, then }, || scene(&Told(from)))
}

struct Told(Receiver<String>);

impl Told {
    fn lines(&self) -> Vec<String> {
        self.0.try_iter().collect()
    }

    #[track_caller]
    fn assert(&self, lines: &[&str]) {
        assert_eq!(self.lines(), lines);
    }
}

fn named(limits: impl FnOnce(LimiterBuilder) -> LimiterBuilder) -> (Limiter, crate::bells::Bells) {
    limiter(|builder| limits(builder.name("gpt")))
}

fn told<R>(scene: impl FnOnce(&Told) -> R) -> R {
    told_while(|| {}, scene)
}

// ---- events ----------------------------------------------------------------------------------------

/// Broken by: an event in `Core::count_admission`.
#[test]
fn what_goes_at_once_tells_nothing() {
    told(|told| {
        let (limiter, _bells) = named(|builder| {
            builder.rate(Rate::per_minute(9)).max_concurrent(9).tokens(900, MINUTE)
        });
        let call = limiter.call().input_tokens(100);
        drop((limiter.try_acquire(), at_once(limiter.acquire()), at_once(call.acquire_owned())));
        call.try_acquire().unwrap().cancel();
        limiter.observe(&Feedback::new());
        told.assert(&[]);
    });
}

/// Broken by: a refusal of a future that tells nothing, or one of a window that does.
#[test]
fn a_refusal_tells_its_limit_and_the_time() {
    told(|told| {
        let (limiter, _bells) = named(|builder| builder.rate(Rate::per_minute(1)));
        drop(limiter.try_acquire().unwrap());
        assert!(limiter.try_acquire().is_err());
        let line = r#"DEBUG refused limiter="gpt" limit="rate" retry_after=60s permanent=false"#;
        told.assert(&[line]);
        assert!(at_once(limiter.acquire_timeout(SECOND)).is_err());
        told.assert(&[line]);
        limiter.close();
        assert!(at_once(limiter.acquire()).is_err());
        told.assert(&[r#"DEBUG refused limiter="gpt" limit="closed" permanent=true"#]);

        let unnamed = Limiter::builder().max_concurrent(0).build();
        assert!(unnamed.try_acquire_owned().is_err());
        told.assert(&[r#"DEBUG refused limiter="" limit="concurrency" permanent=true"#]);
        let window = SlidingWindow::new(Rate::per_minute(0));
        assert!(window.try_acquire().is_err() && at_once(window.acquire()).is_err());
        assert!(TokenWindow::new(1, MINUTE).try_acquire(2).is_err());
        told.assert(&[]);
    });
}

/// Broken by: a wait that is told at each poll; a time from the first poll of another call; no end for a call that is dropped.
#[test]
fn a_wait_is_told_when_it_begins_and_when_it_ends() {
    told(|told| {
        let (limiter, bells) = named(|builder| builder.rate(Rate::per_minute(1)));
        drop(limiter.try_acquire().unwrap());
        let mut first = Woken::new(limiter.acquire());
        assert!(first.poll().is_pending());
        told.assert(&[
            r#"DEBUG waits in line limiter="gpt" position=0 limit="rate" estimated_wait=60s"#,
        ]);
        bells.advance(SECOND);
        let mut second = Woken::new(limiter.acquire_timeout(3 * MINUTE));
        assert!(first.poll().is_pending() && second.poll().is_pending());
        assert!(second.poll().is_pending());
        told.assert(&[
            r#"DEBUG waits in line limiter="gpt" position=1 limit="rate" estimated_wait=119s"#,
        ]);
        bells.advance(59 * SECOND);
        drop(first.run(9).unwrap().unwrap());
        told.assert(&[r#"DEBUG has waited limiter="gpt" result="admitted" time_in_queue=60s"#]);
        limiter.pause(10 * MINUTE);
        told.lines();
        bells.advance(121 * SECOND);
        assert!(second.run(9).unwrap().is_err());
        told.assert(&[
            r#"DEBUG refused limiter="gpt" limit="paused" retry_after=479s permanent=false"#,
            r#"DEBUG has waited limiter="gpt" result="paused" time_in_queue=180s"#,
        ]);
        let mut third = Woken::new(limiter.acquire());
        assert!(third.poll().is_pending());
        told.lines();
        bells.advance(SECOND);
        drop(third);
        told.assert(&[r#"DEBUG has waited limiter="gpt" result="cancelled" time_in_queue=1s"#]);
    });
}

/// Broken by: an end that is told twice, or before it is over.
#[test]
fn a_pause_is_told_when_it_begins_and_once_when_it_is_over() {
    told(|told| {
        let (limiter, bells) = named(|builder| builder.max_concurrent(4));
        limiter.pause(MINUTE);
        told.assert(&[r#"DEBUG paused limiter="gpt" left=60s"#]);
        drop(limiter.stats());
        told.assert(&[]);
        bells.advance(MINUTE);
        for call in [true, false] {
            if call {
                drop(limiter.try_acquire().unwrap());
            } else {
                drop(limiter.stats());
            }
            told.assert(&[r#"DEBUG the pause is over limiter="gpt""#]);
            drop((limiter.try_acquire(), limiter.stats()));
            told.assert(&[]);
            limiter.pause(MINUTE);
            bells.advance(MINUTE);
            told.lines();
        }
        drop(limiter.stats());
        told.lines();

        limiter.pause(Duration::MAX);
        limiter.resume();
        limiter.resume();
        told.assert(&[r#"DEBUG paused limiter="gpt""#, r#"DEBUG resumed limiter="gpt""#]);
        limiter.stop(StopReason::DailyQuota, MINUTE);
        limiter.resume_over(MINUTE);
        told.assert(&[
            r#"WARN stopped limiter="gpt" reason=daily quota exhausted left=60s"#,
            r#"DEBUG resumed limiter="gpt""#,
        ]);
    });
}

/// In line: whoever goes first tells it. Broken by: `Wait::end` without a look at the pause.
#[test]
fn the_first_that_goes_tells_that_a_pause_is_over() {
    told(|told| {
        let (limiter, bells) = named(|builder| builder.max_concurrent(4));
        limiter.pause(MINUTE);
        let mut line = [(); 2].map(|()| Woken::waits(&limiter, 0, 0));
        told.lines();
        bells.advance(MINUTE);
        for call in &mut line {
            drop(call.run(9).unwrap().unwrap());
        }
        let waited = r#"DEBUG has waited limiter="gpt" result="admitted" time_in_queue=60s"#;
        told.assert(&[r#"DEBUG the pause is over limiter="gpt""#, waited, waited]);
    });
}

/// Broken by: a pause that is told although it is paused for longer already; a level that did not change.
#[test]
fn what_a_provider_refuses_is_a_warning() {
    told(|told| {
        let (limiter, _bells) = named(|builder| builder.max_concurrent(4));
        let calls = [(); 4].map(|()| limiter.try_acquire().unwrap());
        limiter.observe(&Feedback::cool_down(7 * SECOND));
        told.assert(&[
            r#"WARN the provider has refused a call limiter="gpt" signal="cool_down" retry_after=7s"#,
            r#"DEBUG paused limiter="gpt" left=7s"#,
        ]);
        calls[0].observe(&Feedback::cool_down(None));
        told.assert(&[r#"WARN the provider has refused a call limiter="gpt" signal="cool_down""#]);
        limiter.observe(&Feedback::overload());
        told.assert(&[
            r#"WARN the provider has refused a call limiter="gpt" signal="overload""#,
            r#"DEBUG the concurrency limit has changed limiter="gpt" concurrency_limit=2"#,
        ]);
        limiter.observe(&Feedback::new());
        told.assert(&[]);
        limiter.observe(&Feedback::new());
        told.assert(&[
            r#"DEBUG the concurrency limit has changed limiter="gpt" concurrency_limit=3"#,
        ]);
        limiter.observe(&Feedback::stop(StopReason::SpendLimit));
        told.assert(&[r#"WARN stopped limiter="gpt" reason=spend limit reached"#]);
        drop(calls);
    });
}

// ---- subscribers -----------------------------------------------------------------------------------

fn panics() {
    panic!("of a subscriber");
}

#[track_caller]
fn caught(scene: impl FnOnce()) {
    assert!(catch_unwind(AssertUnwindSafe(scene)).is_err(), "nothing was told");
}

/// Broken by: an event before the permit is there; a place that is kept by a call that is gone.
#[test]
fn a_subscriber_that_panics_loses_no_slot_and_no_place() {
    told_while(panics, |_| {
        let (limiter, bells) = named(|builder| builder.max_concurrent(1).output_tokens(9, MINUTE));
        let is_idle = || (limiter.available_permits(), limiter.waiters()) == (1, 0);
        let permit = limiter.try_acquire().unwrap();
        caught(|| drop(limiter.try_acquire()));
        let mut waits = Woken::new(limiter.call().output_tokens(5).acquire());
        caught(|| drop(waits.poll()));
        assert_eq!(limiter.waiters(), 1);
        drop(permit);
        caught(|| drop(waits.run(9)));
        assert!(is_idle());
        assert_eq!(limiter.remaining_output_tokens(), 4, "it counts as used");

        let permit = limiter.try_acquire().unwrap();
        let mut waits = Woken::new(limiter.acquire());
        caught(|| drop(waits.poll()));
        caught(|| drop(waits));
        assert_eq!(limiter.waiters(), 0);
        drop(permit);

        caught(|| limiter.pause(MINUTE));
        assert_eq!(limiter.paused_for(), Some(MINUTE));
        bells.advance(MINUTE);
        caught(|| drop(limiter.try_acquire()));
        assert!(is_idle());
        caught(|| limiter.observe(&Feedback::overload()));
        caught(|| limiter.stop(StopReason::Other, None));
        caught(|| limiter.resume());
        drop(limiter.try_acquire().unwrap());
        assert!(is_idle());
    });
}

/// Else the process would end. Broken by: `Wait::drop` without a look at `panicking`.
#[test]
fn a_call_that_is_dropped_by_a_panic_tells_nothing() {
    told_while(panics, |_| {
        let (limiter, _bells) = named(|builder| builder.max_concurrent(1));
        let permit = limiter.try_acquire().unwrap();
        caught(|| {
            let mut waits = Woken::new(limiter.acquire());
            let _ = waits.poll();
        });
        drop(permit);
        assert_eq!((limiter.available_permits(), limiter.waiters()), (1, 0));
    });
}

/// Broken by: an event while the call holds its turn.
#[test]
fn a_subscriber_may_call_the_limiter() {
    thread_local! { static DEPTH: Cell<u32> = const { Cell::new(0) } }
    let (limiter, bells) = named(|builder| builder.max_concurrent(2).rate(Rate::per_minute(60)));
    let its_own = limiter.clone();
    let calls_again = move || {
        if DEPTH.replace(DEPTH.get() + 1) == 0 {
            drop(its_own.try_acquire());
            let mut waits = Woken::new(its_own.acquire());
            drop(waits.poll());
            its_own.observe(&Feedback::new());
            drop((waits, its_own.stats()));
        }
        DEPTH.set(DEPTH.get() - 1);
    };
    told_while(calls_again, |told| {
        let permits = [limiter.try_acquire().unwrap(), limiter.try_acquire().unwrap()];
        assert!(limiter.try_acquire().is_err());
        let mut line = [(); 3].map(|()| Woken::waits(&limiter, 0, 0));
        drop(permits);
        for call in &mut line {
            drop(call.run(9).expect("it was not told").unwrap());
        }
        limiter.pause(MINUTE);
        bells.advance(MINUTE);
        drop(limiter.try_acquire().unwrap());
        assert_eq!((limiter.available_permits(), limiter.waiters()), (2, 0));
        assert_eq!(told.lines().len(), 9);
    });
}
