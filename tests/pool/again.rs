//! Calls that a pool sends again.

use crate::common::Dice;
use crate::scripted::{
    Answer, Ends, Error, Event, Fails, FailsLater, Hangs, MINUTE, Request, SECOND, Scene, Task,
    request, scene, with_limiter,
};
use futures_util::FutureExt;
use ringgate::time::{Clock, ManualClock, Sleep, Timestamp};
use ringgate::{Feedback, Limiter, LimiterBuilder, Rate, StopReason, TokenLimit};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

fn cools(seconds: u32) -> Error {
    Error::Says(Feedback::cool_down(seconds * SECOND))
}

fn overloaded() -> Error {
    Error::Says(Feedback::overload())
}

fn ends() -> Answer {
    Ends(vec![Event::Text])
}

/// So many seconds less a nanosecond.
fn almost(seconds: u32) -> Duration {
    (seconds * SECOND).saturating_sub(Duration::from_nanos(1))
}

/// Is refused once, and answered then.
fn refused_once(id: u32, seconds: u32) -> Request {
    request(id, &[FailsLater(cools(seconds)), ends()])
}

fn plain(id: u32) -> Request {
    request(id, &[ends()])
}

/// Three at a time, 100 in a minute, 1,000 tokens in a minute.
fn roomy() -> Scene {
    scene(|limits| limits.max_concurrent(3).rate(Rate::per_minute(100)).tokens(1_000, MINUTE))
}

/// Runs those that were woken, in this order.
fn run_all(tasks: &mut [Task<'_>]) {
    for _ in 0..3 {
        tasks.iter_mut().for_each(Task::run);
    }
}

/// Lets time pass in small steps, so that nobody looks silent.
fn pass(scene: &Scene, tasks: &mut [Task<'_>], seconds: u32) {
    run_all(tasks);
    for _ in 0..20 * seconds {
        scene.clock.advance(SECOND / 20);
        run_all(tasks);
    }
}

// ---- a pause ---------------------------------------------------------------------------------------

/// Broken by: `observe` that does not pass it on; `Wait::after` that returns `None` for a cool-down; `admit_again` that returns its permit.
#[test]
fn a_429_pauses_everybody_and_the_call_succeeds_after_it() {
    for is_ramp in [false, true] {
        let feedback = Feedback::cool_down(7 * SECOND);
        let feedback = if is_ramp { feedback.ramp() } else { feedback };
        let scene = roomy().with_retries(1);
        let mut call = scene.calls(request(1, &[Fails(Error::Says(feedback)), ends()]));
        assert_eq!(scene.pool.limiter().paused_for(), Some(7 * SECOND));
        let mut other = scene.calls(plain(2));
        assert!(call.waits() && other.waits());
        // Its slot and its tokens are free meanwhile.
        assert_eq!((scene.books(), scene.arrived()), ((3, 2, 1_000), vec![1]));
        scene.clock.advance(almost(7));
        call.run();
        other.run();
        assert!(call.waits() && other.waits());
        scene.clock.advance(Duration::from_nanos(1));
        call.run();
        other.run();
        assert!(call.answer().is_ok() && other.waits() == is_ramp);
        // In a slow start one after another.
        scene.clock.advance(MINUTE / 2);
        other.run();
        assert!(other.answer().is_ok());
        assert_eq!((scene.books(), scene.arrived()), ((3, 0, 800), vec![1, 2]));
        // Both tries count as requests.
        assert_eq!(scene.pool.limiter().remaining(), 97);
    }
}

// ---- its place ---------------------------------------------------------------------------------------

/// Broken by: a call that joins behind the others, or behind the first in front; one that gives back its slot before it has its
/// place; numbers of calls sent again after those of others.
#[test]
fn a_call_that_is_sent_again_goes_before_all_that_wait() {
    for (seconds, retried) in [(1, 1), (5, 1), (5, 2), (5, 3)] {
        let scene = scene(|limits| limits.max_concurrent(retried as usize)).with_retries(1);
        let mut refused: Vec<_> =
            (0..retried).map(|id| scene.calls(refused_once(id, seconds))).collect();
        let mut tasks: Vec<_> = (10..14).map(|id| scene.calls(plain(id))).collect();
        assert_eq!(scene.arrived(), (0..retried).collect::<Vec<_>>());
        scene.let_go();
        refused.iter_mut().for_each(Task::poll);
        tasks.push(scene.calls(plain(20)));
        tasks.append(&mut refused);
        pass(&scene, &mut tasks, seconds);
        // Whoever has an answer drops it, and the next one goes.
        let mut order = Vec::new();
        for _ in 0..20 {
            run_all(&mut tasks);
            order.extend(scene.arrived());
            for task in &mut tasks {
                if !task.waits() {
                    drop(task.answer());
                    break;
                }
            }
            tasks.retain(Task::waits);
        }
        assert_eq!(scene.books().1, 0, "{order:?}");
        let mut expected: Vec<_> = (0..retried).collect();
        order[..expected.len()].sort_unstable();
        expected.extend([10, 11, 12, 13, 20]);
        assert_eq!(order, expected, "{retried} were refused");
    }
}

/// The order among several that are sent again. Broken by: a lane in which the last comes first; a call that stays behind others
/// of its kind when it has found no room at its turn.
#[test]
fn of_calls_that_are_sent_again_the_first_one_goes_first() {
    let vain: [&[u32]; 4] = [&[], &[1], &[2], &[1, 2, 3, 2]];
    for (others, vain) in [0, 3].into_iter().flat_map(|others| vain.map(|vain| (others, vain))) {
        let scene = scene(|limits| limits.rate(Rate::per_minute(4))).with_retries(1);
        let refused: Vec<_> = (0..4).map(|id| scene.calls(refused_once(id, 1))).collect();
        let waiting: Vec<_> = (10..10 + others).map(|id| scene.calls(plain(id))).collect();
        let mut tasks: Vec<_> = refused.into_iter().chain(waiting).collect();
        assert_eq!(scene.arrived(), [0, 1, 2, 3]);
        scene.let_go();
        tasks[..4].iter_mut().for_each(Task::poll);
        pass(&scene, &mut tasks, 2);
        // Turns for some of them, and no room any more: the rate was raised for a moment.
        for turns in vain {
            scene.pool.limiter().set_rate(Rate::per_minute(4 + turns)).unwrap();
            scene.pool.limiter().set_rate(Rate::per_minute(4)).unwrap();
            tasks.iter_mut().for_each(Task::run);
        }
        assert!(scene.arrived().is_empty());
        for (rate, expected) in (5..).zip((0..4).chain(10..10 + others)) {
            scene.pool.limiter().set_rate(Rate::per_minute(rate)).unwrap();
            run_all(&mut tasks);
            assert_eq!(scene.arrived(), [expected]);
        }
    }
}

/// Broken by: `admit_again` that cancels its permit.
#[test]
fn where_nothing_is_given_back_each_try_counts_with_its_tokens() {
    let limit = TokenLimit::total(1_000, MINUTE).without_refunds();
    let scene = scene(|limits| limits.token_limit(limit)).with_retries(1);
    let mut call = scene.calls(request(1, &[Fails(cools(5)), ends()]).with_tokens(300));
    scene.clock.advance(5 * SECOND);
    call.run();
    assert!(call.answer().is_ok());
    assert_eq!(scene.books().2, 400);
}

/// A large call in front waits for its tokens, and the one that is sent again gives some back. Broken by: a call that is sent again
/// in the lane of those in front; one that gives its tokens back first.
#[test]
fn its_tokens_do_not_go_to_another() {
    for seconds in [1, 5] {
        let scene = scene(|limits| limits.tokens(1_000, MINUTE)).with_retries(1);
        let other = scene.calls(plain(0).with_tokens(500));
        let mut again = scene.calls(refused_once(1, seconds).with_tokens(400));
        let large = scene.calls(plain(2).with_tokens(500));
        let small = scene.calls(plain(3).with_tokens(100));
        assert!(!other.waits() && large.waits() && small.waits());
        scene.let_go();
        again.poll();
        let mut tasks = [large, small, again];
        pass(&scene, &mut tasks, seconds);
        assert_eq!((scene.arrived(), scene.books().2), (vec![0, 1, 1], 100));
        assert!(tasks[0].waits() && tasks[1].waits());
        pass(&scene, &mut tasks, 61);
        assert_eq!(scene.arrived(), [2, 3]);
    }
}

/// The full line would refuse it. Broken by: `Queued::new` that takes a place for it.
#[test]
fn a_call_that_is_sent_again_needs_no_place_in_a_full_line() {
    let scene = scene(|limits| limits.max_concurrent(1).max_waiters(1)).with_retries(1);
    let mut call = scene.calls(refused_once(1, 5));
    let mut next = scene.calls(plain(2));
    scene.let_go();
    call.poll();
    assert_eq!(scene.books().1, 2);
    // It has not freed one for others, either.
    assert!(matches!(scene.calls(plain(3)).error(), Error::Refused(_)));
    scene.clock.advance(5 * SECOND);
    call.run();
    drop(call.answer().unwrap());
    next.run();
    assert!(next.answer().is_ok());
}

/// Sees how many slots are in use each time the limiter reads it.
#[derive(Debug, Default, Clone)]
struct Watching(ManualClock, Arc<(OnceLock<Limiter>, AtomicUsize)>);

impl Clock for Watching {
    fn now(&self) -> Timestamp {
        if let Some(limiter) = self.1.0.get() {
            let in_use = limiter.concurrency_limit().saturating_sub(limiter.available_permits());
            self.1.1.fetch_max(in_use, SeqCst);
        }
        self.0.now()
    }

    fn sleep_until(&self, deadline: Timestamp) -> Sleep {
        self.0.sleep_until(deadline)
    }
}

/// Broken by: `admit_again` that polls for its new permit while it has the old one.
#[test]
fn a_call_never_has_two_slots() {
    let clock = Watching::default();
    let limits = Limiter::builder().max_concurrent(3).tokens(1_000, MINUTE);
    let limiter = limits.clock(clock.clone()).build();
    let scene = with_limiter(limiter.clone(), clock.0.clone()).with_retries(5);
    let _ = clock.1.0.set(limiter);
    let (cool, over) = (Fails(cools(0)), Fails(overloaded()));
    let mut call = scene.calls(request(1, &[cool.clone(), cool.clone(), over, cool, Hangs]));
    for _ in 0..20 {
        scene.clock.advance(SECOND);
        call.run();
    }
    assert_eq!((scene.arrived().len(), scene.books(), clock.1.1.load(SeqCst)), (5, (2, 0, 900), 1));
}

// ---- how often, and what ---------------------------------------------------------------------------

/// Broken by: one try more or fewer; the first error in the place of the last.
#[test]
fn after_the_last_try_its_error_is_returned() {
    for most in 0..4 {
        let scene = roomy().with_retries(most);
        let script: Vec<_> = (1..=9).map(|seconds| Fails(cools(seconds))).collect();
        let mut call = scene.calls(request(1, &script));
        for seconds in 1..=most {
            assert!(call.waits());
            scene.clock.advance(seconds * SECOND);
            call.run();
        }
        assert_eq!(call.error(), cools(most + 1));
        assert_eq!(scene.arrived().len(), most as usize + 1);
        // The last one counts with its tokens, as any call that has failed.
        assert_eq!(scene.books(), (3, 0, 900));
        assert_eq!(scene.pool.limiter().remaining(), 99 - most);
    }
    let scene = roomy();
    assert_eq!(scene.calls(request(1, &[Fails(cools(1))])).error(), cools(1));
    assert_eq!(scene.arrived().len(), 1);
}

/// Broken by: `Wait::after` with another arm; one that does not look at `should_retry`.
#[test]
fn what_would_not_help_is_not_sent_again() {
    let two_minutes = 120 * SECOND;
    let long = Feedback::overload().with_retry_after(two_minutes + Duration::from_nanos(1));
    let errors = [
        Error::Plain,
        Error::Says(Feedback::new()),
        Error::Says(Feedback::stop(StopReason::QuotaExhausted)),
        Error::Says(Feedback::stop(StopReason::DailyQuota).with_should_retry(true)),
        Error::Says(Feedback::new().with_should_retry(true)),
        Error::Says(Feedback::cool_down(SECOND).with_should_retry(false)),
        Error::Says(Feedback::overload().with_should_retry(false)),
        Error::Says(long),
        Error::Says(Feedback::overload().with_retry_after(Duration::MAX)),
    ];
    for error in errors {
        let scene = roomy().with_retries(3);
        let mut call = scene.calls(request(1, &[Fails(error.clone())]));
        assert_eq!(call.error(), error);
        assert_eq!((scene.arrived(), scene.books()), (vec![1], (3, 0, 900)));
    }
}

/// Broken by: a wait by another clock; one that does not double, or has no end; one that holds the slot.
#[test]
fn after_overloads_it_waits_twice_as_long_each_time_and_holds_nothing() {
    let mut script = vec![Fails(overloaded()); 7];
    script.insert(3, Fails(Error::Says(Feedback::overload().with_retry_after(9 * SECOND))));
    script.push(ends());
    let scene = roomy().with_retries(99);
    let mut call = scene.calls(request(1, &script));
    for seconds in [1, 2, 4, 9, 16, 30, 30, 30] {
        assert_eq!((scene.arrived(), scene.books()), (vec![1], (3, 0, 1_000)));
        scene.clock.advance(almost(seconds));
        call.run();
        assert_eq!((scene.arrived(), scene.books()), (vec![], (3, 0, 1_000)), "{seconds} s");
        drop(scene.calls(plain(2).with_tokens(0)).answer().unwrap());
        assert_eq!(scene.arrived(), [2]);
        scene.clock.advance(Duration::from_nanos(1));
        call.run();
    }
    assert!(call.answer().is_ok());
}

/// Broken by: a call that joins as any other when it has waited.
#[test]
fn after_an_overload_it_goes_before_those_that_wait() {
    let scene = scene(|limits| limits.max_concurrent(1)).with_retries(1);
    let mut call = scene.calls(request(1, &[FailsLater(overloaded()), ends()]));
    let mut tasks = [2, 3].map(|id| scene.calls(plain(id)));
    scene.let_go();
    call.poll();
    // The next one goes meanwhile.
    tasks[0].run();
    let running = tasks[0].answer().unwrap();
    scene.clock.advance(SECOND);
    call.run();
    assert_eq!((scene.arrived(), scene.books().1), (vec![1, 2], 2));
    drop(running);
    tasks[1].run();
    call.run();
    drop(call.answer().unwrap());
    tasks[1].run();
    assert_eq!(scene.arrived(), [1, 3]);
}

/// Broken by: `admit_again(…).await?`.
#[test]
fn a_call_that_is_not_admitted_again_returns_the_providers_error() {
    let changes: [fn(&Limiter); 2] =
        [Limiter::close, |limiter| limiter.set_rate(Rate::per_minute(0)).unwrap()];
    for change in changes {
        for error in [cools(5), overloaded()] {
            let scene = roomy().with_retries(3);
            let mut call = scene.calls(request(1, &[Fails(error.clone())]));
            assert!(call.waits());
            change(scene.pool.limiter());
            scene.clock.advance(5 * SECOND);
            call.run();
            assert_eq!(call.error(), error);
            assert_eq!((scene.arrived(), scene.books().1), (vec![1], 0));
        }
    }
}

/// Broken by: retries around the whole stream.
#[test]
fn nothing_is_sent_again_once_there_is_a_stream() {
    let says = Event::Says(Feedback::cool_down(5 * SECOND));
    let scene = roomy().with_retries(9);
    let mut call = scene.calls(request(1, &[Ends(vec![says.clone(), Event::Text])]));
    let answer: Vec<_> = {
        use futures_util::StreamExt;
        call.answer().unwrap().collect().now_or_never().unwrap()
    };
    assert_eq!(answer, [says, Event::Text]);
    assert_eq!(scene.pool.limiter().paused_for(), Some(5 * SECOND));
    scene.clock.advance(5 * SECOND);
    assert_eq!((scene.arrived(), scene.books()), (vec![1], (3, 0, 900)));
}

// ---- nothing is lost -------------------------------------------------------------------------------

/// Broken by: a place that stays in line; `cancel` left out of `admit_again`, in either arm; a permit that is forgotten.
#[test]
fn dropped_wherever_it_waits_it_holds_nothing() {
    let limits = |limits: LimiterBuilder| {
        limits.max_concurrent(1).rate(Rate::per_minute(100)).tokens(1_000, MINUTE)
    };
    let cool = || Fails(cools(5));
    let over = || Fails(overloaded());
    // What it is asked, how long it waits until it is dropped, what is left, and what it has counted as.
    let cases: [(&[Answer], u32, u64, u32); 8] = [
        (&[Hangs], 0, 900, 1),
        (&[cool()], 0, 1_000, 1),
        (&[cool()], 4, 1_000, 1),
        (&[cool(), Hangs], 5, 900, 2),
        (&[cool(), cool()], 6, 1_000, 2),
        // The next one goes meanwhile.
        (&[over()], 0, 1_000, 2),
        (&[over(), Hangs], 1, 900, 3),
        (&[over(), over(), Hangs], 9, 900, 4),
    ];
    for (nth, (script, seconds, left, counted)) in cases.into_iter().enumerate() {
        let scene = scene(limits).with_retries(5);
        let mut call = scene.calls(request(1, script));
        let mut next = scene.calls(plain(2).with_tokens(0));
        next.answer = None;
        for _ in 0..seconds {
            scene.clock.advance(SECOND);
            call.run();
        }
        assert!(call.waits(), "case {nth}");
        drop((call, next));
        assert_eq!(scene.books(), (1, 0, left), "case {nth}");
        assert_eq!(scene.pool.limiter().remaining(), 100 - counted, "case {nth}");
        // The place is free, too.
        scene.clock.advance(5 * SECOND);
        assert!(scene.calls(plain(3)).answer().is_ok(), "case {nth}");
    }
    // In line, before it was sent at all.
    let scene = scene(limits).with_retries(5);
    let running = scene.calls(plain(1)).answer().unwrap();
    drop(scene.calls(request(2, &[cool()])));
    drop(running);
    assert_eq!((scene.books(), scene.arrived()), ((1, 0, 900), vec![1]));
}

/// Broken by: a permit that is taken out of its guard before user code has run.
#[test]
fn a_panic_of_the_feedback_or_of_a_copy_takes_nothing() {
    let sends = |request: Request, most: u32| {
        let scene = roomy().with_retries(most);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let mut call = scene.calls(request);
            scene.clock.advance(SECOND);
            call.run();
        }));
        assert!(panicked.is_err());
        scene.books()
    };
    assert_eq!(sends(request(1, &[Fails(Error::Breaks)]), 1), (3, 0, 900));
    assert_eq!(sends(request(1, &[Fails(Error::Breaks)]), 0), (3, 0, 900));
    assert_eq!(sends(plain(1).with_copies(0), 1), (3, 0, 900));
    let twice = || request(1, &[Fails(cools(1)), Fails(cools(1)), ends()]);
    assert_eq!(sends(twice().with_copies(1), 9), (3, 0, 900));
    let panics = |error| request(1, &[Fails(error), Answer::Panics]);
    assert_eq!(sends(panics(cools(1)), 9), (3, 0, 900));
    assert_eq!(sends(panics(overloaded()), 9), (3, 0, 900));
}

/// Random scripts; calls are polled in any order, and dropped at any point. Broken by: `cancel` left out of `admit_again`; a call
/// that is sent again and not woken.
#[test]
fn whatever_happens_slots_and_tokens_come_back_and_nobody_is_left_behind() {
    for seed in 0..150 {
        let mut dice = Dice(seed);
        let scene =
            scene(|limits| limits.max_concurrent(2).rate(Rate::per_minute(20)).tokens(500, MINUTE));
        let scene = scene.with_retries(2);
        let mut tasks = Vec::new();
        for id in 0..12 {
            let script: Vec<_> = (0..3).map(|_| any(&mut dice)).collect();
            tasks.push(scene.calls(request(id, &script).with_tokens(1 + dice.below(250))));
            for _ in 0..dice.below(4) {
                step(&scene, &mut tasks, &mut dice);
            }
        }
        scene.let_go();
        tasks.iter_mut().for_each(Task::poll);
        // Each goes by the times of the limits, whoever was dropped.
        for _ in 0..600 {
            if !tasks.iter().any(Task::waits) {
                break;
            }
            scene.clock.advance(SECOND);
            run_all(&mut tasks);
            for task in tasks.iter_mut().filter(|task| !task.waits()) {
                drop(task.answer());
                task.answer = Some(Err(Error::Plain));
            }
        }
        assert!(tasks.iter().all(|task| !task.waits()), "seed {seed}");
        scene.clock.advance(2 * MINUTE);
        assert_eq!(scene.books(), (2, 0, 500), "seed {seed}");
        assert_eq!(scene.pool.limiter().remaining(), 20, "seed {seed}");
    }
}

fn any(dice: &mut Dice) -> Answer {
    match dice.below(8) {
        0 | 1 => ends(),
        2 => Fails(cools(0)),
        3 => Fails(cools(2)),
        4 => FailsLater(cools(3)),
        5 => Fails(overloaded()),
        6 => FailsLater(Error::Plain),
        _ => Fails(Error::Says(Feedback::overload().with_retry_after(3 * SECOND))),
    }
}

fn step<'a>(scene: &'a Scene, tasks: &mut Vec<Task<'a>>, dice: &mut Dice) {
    let nth = usize::try_from(dice.below(tasks.len() as u64)).unwrap();
    match dice.below(6) {
        0 => drop(tasks.remove(nth)),
        1 | 2 => tasks[nth].run(),
        3 => tasks[nth].poll(),
        4 => scene.clock.advance(SECOND),
        _ => scene.let_go(),
    }
    if tasks.is_empty() {
        tasks.push(scene.calls(plain(99)));
    }
}
