//! A paused limiter: who is refused, who waits, and who goes when it is over.

use crate::bells::{Bells, Woken, goes_within, limiter};
use crate::common::random::cases;
use crate::common::{Dice, at_once, poll_once};
use ringgate::time::{Clock, ManualClock, Sleep, Timestamp};
use ringgate::{Limit, Limiter, LimiterBuilder, Rate, Refused, Semaphore, Usage};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::task::Poll;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(20);
const ALMOST: Duration = Duration::from_nanos(19_999_999_999);

/// Limiters with room for three calls at a time or in a minute, each by other limits.
pub(crate) fn of_each_kind() -> Vec<(&'static str, Limiter, Bells)> {
    let rate = |builder: LimiterBuilder| builder.rate(Rate::per_minute(3));
    let slots = |builder: LimiterBuilder| builder.max_concurrent(3);
    let tokens = |builder: LimiterBuilder| builder.tokens(300, MINUTE);
    let shared = |builder: LimiterBuilder| builder.semaphore(Arc::new(Semaphore::new(3)));
    let all = [
        ("slots", limiter(slots)),
        ("a rate", limiter(rate)),
        ("tokens", limiter(tokens)),
        ("shared slots", limiter(shared)),
        ("a rate and slots", limiter(|builder| rate(slots(builder)))),
        ("all", limiter(|builder| rate(slots(tokens(builder))))),
        ("all, with shared slots", limiter(|builder| rate(shared(tokens(builder))))),
    ];
    all.into_iter().map(|(name, (limiter, bells))| (name, limiter, bells)).collect()
}

pub(crate) fn tries(limiter: &Limiter) -> Result<(), Refused> {
    limiter.call().tokens(Usage::new(100, 0)).try_acquire().map(drop)
}

pub(crate) fn waits(limiter: &Limiter) -> Woken<'_> {
    Woken::waits(limiter, 100, 0)
}

#[track_caller]
fn assert_paused(answer: Result<(), Refused>, left: Duration) {
    let refused = answer.unwrap_err();
    assert_eq!((refused.limit(), refused.retry_after()), (Limit::Paused, Some(left)));
    assert!(!refused.is_permanent());
}

// ---- refusals --------------------------------------------------------------------------------------

/// Broken by: `try_admit_with_slot` without `check_pause`; `stamp` and `peek` without it.
#[test]
fn a_paused_limiter_refuses_with_the_exact_time_until_the_last_moment() {
    for (kind, limiter, bells) in of_each_kind() {
        println!("{kind}");
        let (remaining, tokens) = (limiter.remaining(), limiter.remaining_tokens());
        limiter.pause(PAUSE);
        assert_paused(tries(&limiter), PAUSE);
        bells.advance(ALMOST);
        assert_paused(tries(&limiter), Duration::from_nanos(1));
        assert_eq!(limiter.paused_for(), Some(Duration::from_nanos(1)));
        assert_eq!((limiter.remaining(), limiter.remaining_tokens()), (remaining, tokens));
        bells.advance(Duration::from_nanos(1));
        assert_eq!(limiter.paused_for(), None);
        tries(&limiter).unwrap();
    }
}

/// Broken by: `Pause::extend` that stores what it is given; a pause of zero that is one.
#[test]
fn the_longest_of_several_pauses_holds_whichever_comes_first() {
    let (limiter, bells) = limiter(|builder| builder.max_concurrent(1));
    for lengths in [[5, 20], [20, 5], [20, 0]] {
        for length in lengths {
            limiter.pause(length * SECOND);
        }
        assert_paused(tries(&limiter), PAUSE);
        bells.advance(PAUSE);
        tries(&limiter).unwrap();
    }
    let now = bells.now_ns();
    for until in [0, now, now + 7] {
        limiter.pause_until(Timestamp::from_nanos(until));
        assert_eq!(limiter.paused_for().is_some(), until > now);
    }
    assert_paused(tries(&limiter), Duration::from_nanos(7));
    // A pause that was over begins anew.
    bells.advance(MINUTE);
    limiter.pause(SECOND);
    assert_paused(tries(&limiter), SECOND);
    limiter.pause(Duration::MAX);
    limiter.pause(SECOND);
    bells.advance(MINUTE);
    assert!(limiter.paused_for() > Some(MINUTE));
}

/// Broken by: `or_later` the other way round in `check_pause`.
#[test]
fn of_a_pause_and_another_limit_the_longer_one_is_told() {
    let (limiter, bells) =
        limiter(|builder| builder.rate(Rate::per_minute(1)).tokens(100, 2 * MINUTE));
    tries(&limiter).unwrap();
    limiter.pause(PAUSE);
    let refused = limiter.try_acquire().unwrap_err();
    assert_eq!((refused.limit(), refused.retry_after()), (Limit::Rate, Some(MINUTE)));
    let refused = tries(&limiter).unwrap_err();
    assert_eq!(refused.limit(), Limit::Tokens);
    limiter.pause(3 * MINUTE);
    assert_paused(tries(&limiter), 3 * MINUTE);
    // The refusals of the rate are exact, too.
    limiter.resume();
    bells.advance(MINUTE);
    drop(limiter.try_acquire().unwrap());
}

/// Broken by: a pause that is told before what is refused for good.
#[test]
fn what_is_refused_for_good_is_refused_for_good_while_it_is_paused() {
    let (no_rate, _) = limiter(|builder| builder.rate(Rate::per_minute(0)));
    let (no_slots, _) = limiter(|builder| builder.max_concurrent(0));
    let (few_tokens, _) = limiter(|builder| builder.tokens(99, MINUTE));
    let (closed, _) = limiter(|builder| builder.max_concurrent(1));
    closed.close();
    let all = [
        (no_rate, Limit::Rate),
        (no_slots, Limit::Concurrency),
        (few_tokens, Limit::Tokens),
        (closed, Limit::Closed),
    ];
    for (limiter, limit) in all {
        for end in [PAUSE, Duration::MAX] {
            limiter.pause(end);
            let refused = tries(&limiter).unwrap_err();
            assert_eq!((refused.limit(), refused.is_permanent()), (limit, true));
            let mut call = Woken::new(limiter.call().input_tokens(100).acquire());
            let Poll::Ready(Err(refused)) = call.poll() else { panic!("it waits") };
            assert_eq!((refused.limit(), refused.is_permanent()), (limit, true));
        }
    }
}

/// Broken by: `check_pause` after `check_satisfiable` alone; `hand_out` that takes a pause for "never".
#[test]
fn a_rate_of_zero_and_a_close_refuse_the_line_of_a_paused_limiter_at_once() {
    for closes in [true, false] {
        let (limiter, _bells) = limiter(|builder| builder.rate(Rate::per_minute(3)));
        limiter.pause(PAUSE);
        let mut line = [waits(&limiter), waits(&limiter), waits(&limiter)];
        if closes {
            limiter.close();
        } else {
            limiter.set_rate(Rate::per_minute(0)).unwrap();
        }
        for call in &mut line {
            let refused = call.run(9).expect("it was not told").unwrap_err();
            let limit = if closes { Limit::Closed } else { Limit::Rate };
            assert_eq!((refused.limit(), refused.is_permanent()), (limit, true));
        }
    }
}

/// Broken by: a delay that reaches what means never.
#[test]
fn a_call_in_line_is_told_no_time_where_there_is_none() {
    let (limiter, _bells) = limiter(|builder| builder.rate(Rate::per_minute(3)));
    limiter.pause(Duration::MAX);
    let mut call = Box::pin(limiter.acquire());
    assert!(poll_once(call.as_mut()).is_pending());
    assert!(call.estimated_wait() > Some(MINUTE));
    limiter.set_rate(Rate::per_minute(0)).unwrap();
    assert_eq!(call.estimated_wait(), None);
}

// ---- the line ----------------------------------------------------------------------------------------

/// Those in line before and those that come meanwhile go in order. Broken by: `Queued::go` without a look at the pause;
/// `room_beside_tokens` that finds room in one.
#[test]
fn after_a_pause_the_line_goes_on_in_order_and_nobody_goes_before() {
    for (kind, limiter, bells) in of_each_kind() {
        println!("{kind}");
        let (mut in_flight, call) = (Vec::new(), limiter.call().input_tokens(100));
        while let Ok(permit) = call.try_acquire() {
            in_flight.push(permit);
        }
        let mut line = vec![waits(&limiter)];
        limiter.pause(2 * MINUTE);
        line.extend([waits(&limiter), waits(&limiter)]);
        // The others' windows end, and their slots are free.
        in_flight.clear();
        let end = bells.now_ns() + u64::try_from((2 * MINUTE).as_nanos()).unwrap();
        while let Some(next) = bells.next().filter(|next| *next < end) {
            bells.set(next);
            assert!(line.iter_mut().all(|call| call.run(9).is_none()), "it went before the end");
        }
        // Behind three others the rate may last longer.
        let refused = tries(&limiter).unwrap_err();
        assert!(refused.retry_after() >= Some(Duration::from_nanos(end - bells.now_ns())));
        assert_eq!(limiter.waiters(), 3);
        bells.set(end);
        let permits: Vec<_> =
            line.iter_mut().map(|call| call.run(9).expect("it waits").unwrap()).collect();
        assert_eq!((permits.len(), limiter.waiters()), (3, 0));
    }
}

/// Broken by: an alarm of every call in line for the end of the pause; one that is set anew in between.
#[test]
fn a_pause_wakes_nobody_when_it_begins_and_one_call_when_it_ends() {
    let slots = |builder: LimiterBuilder| builder.max_concurrent(1);
    let rate = |builder: LimiterBuilder| builder.rate(Rate::per_second(9));
    let limiters = [limiter(slots), limiter(rate), limiter(|builder| slots(rate(builder)))];
    for (limiter, bells) in limiters {
        limiter.pause(PAUSE);
        let mut line = [(); 5].map(|()| waits(&limiter));
        limiter.pause(2 * PAUSE);
        assert!(line.iter().all(|call| !call.is_woken()));
        // It was told the shorter one.
        assert_eq!(bells.next(), Some(20_000_000_000));
        bells.advance(PAUSE);
        assert_eq!(line.iter().filter(|call| call.is_woken()).count(), 1);
        assert!(line.iter_mut().all(|call| call.run(9).is_none()));
        assert!(bells.next() > Some(20_000_000_000));
        // Others look long after the end, if the first is silent.
        bells.advance(ALMOST);
        for call in &mut line {
            assert!(call.run(2).is_none());
        }
        bells.advance(Duration::from_nanos(1));
        assert_eq!(line.iter().position(Woken::is_woken), Some(0));
        for call in &mut line {
            drop(call.run(9).expect("it sleeps").unwrap());
        }
    }
}

/// Broken by: a pause that starts no new sleep after an earlier time by the rate.
#[test]
fn the_first_in_line_that_sleeps_until_its_rate_sleeps_on_until_the_pause_is_over() {
    let (limiter, bells) = limiter(|builder| builder.rate(Rate::per_minute(1)));
    tries(&limiter).unwrap();
    let mut call = waits(&limiter);
    limiter.pause(3 * MINUTE);
    assert!(!call.is_woken());
    assert_eq!(goes_within(&bells, &mut call, 9 * MINUTE), Some(3 * MINUTE));
}

/// Broken by: `Core::resume` that wakes nobody, or the first alone.
#[test]
fn resume_lets_all_go_for_whom_there_is_room() {
    for (kind, limiter, bells) in of_each_kind() {
        println!("{kind}");
        limiter.pause(Duration::MAX);
        let mut line: Vec<_> = (0..5).map(|_| waits(&limiter)).collect();
        bells.advance(MINUTE / 2);
        for call in &mut line {
            assert!(call.run(99).is_none());
        }
        limiter.resume();
        assert_eq!(limiter.paused_for(), None);
        // How many calls of the largest size fit is rounded down: the others are told when those have gone. For shared slots all
        // of them stand in line.
        let told = line.iter().take(3).filter(|call| call.is_woken()).count();
        assert!(told == 3 || told == 2 && limiter.has_token_limits(), "{told} were told");
        let permits: Vec<_> = line.iter_mut().map(|call| call.run(9)).collect();
        assert!(permits[..3].iter().all(|call| matches!(call, Some(Ok(_)))));
        assert!(permits[3..].iter().all(Option::is_none));
        // A second one has nothing to end. It wakes the first: the thread of the one before may have stopped before it did.
        limiter.resume();
        let woken = line[3..].iter().filter(|call| call.is_woken()).count();
        assert!(woken <= 1, "{woken} were woken");
        assert!(line[3..].iter_mut().all(|call| call.run(9).is_none()));
    }
}

/// Broken by: `Core::resume` that counts on the sleepers' clocks; a shorter pause that is lost behind a longer one that has ended.
#[test]
fn a_shorter_pause_after_a_resume_is_as_long_as_it_says() {
    let (limiter, bells) = limiter(|builder| builder.max_concurrent(1));
    limiter.pause(MINUTE);
    let mut call = waits(&limiter);
    limiter.resume();
    limiter.pause(PAUSE);
    assert_eq!(goes_within(&bells, &mut call, MINUTE), Some(PAUSE));
}

/// Broken by: `Leaving` that looks for no successor while it is paused.
#[test]
fn the_next_call_takes_over_the_watch_when_the_first_gives_up() {
    for (kind, limiter, bells) in of_each_kind() {
        println!("{kind}");
        limiter.pause(PAUSE);
        let first = waits(&limiter);
        let mut second = waits(&limiter);
        drop(first);
        assert_eq!(goes_within(&bells, &mut second, MINUTE), Some(PAUSE));
    }
}

// ---- timeouts ----------------------------------------------------------------------------------------

/// Broken by: `estimate` without the pause.
#[test]
fn a_timeout_that_ends_before_the_pause_refuses_at_once_and_a_longer_one_waits() {
    for (kind, limiter, bells) in of_each_kind() {
        println!("{kind}");
        limiter.pause(PAUSE);
        let call = limiter.call().input_tokens(100);
        let refused = at_once(call.timeout(ALMOST).acquire());
        assert_paused(refused.map(drop), PAUSE);
        let mut waits = Woken::new(call.timeout(PAUSE).acquire());
        assert!(waits.poll().is_pending());
        assert_eq!(goes_within(&bells, &mut waits, MINUTE), Some(PAUSE));
    }
}

/// Broken by: a timeout that ends as a refusal by another limit.
#[test]
fn a_timeout_that_ends_during_a_pause_tells_what_is_left_of_it() {
    for (kind, limiter, bells) in of_each_kind() {
        println!("{kind}");
        limiter.pause(PAUSE / 4);
        let mut call = Woken::new(limiter.acquire_timeout(PAUSE / 2));
        assert!(call.poll().is_pending());
        limiter.pause(PAUSE);
        let end = u64::try_from((PAUSE / 2).as_nanos()).unwrap();
        let refused = loop {
            bells.set(bells.next().expect("it sleeps without an alarm"));
            match call.run(9) {
                None => assert!(bells.now_ns() < end, "its timeout is over"),
                Some(refused) => break refused,
            }
        };
        assert_eq!(bells.now_ns(), end);
        assert_paused(refused.map(drop), PAUSE / 2);
    }
}

/// Three go when it is over, three a minute later. Broken by: `free_at_after` that counts from now on.
#[test]
fn calls_in_line_are_told_how_long_they_wait_with_the_pause() {
    let (limiter, bells) = limiter(|builder| builder.rate(Rate::per_minute(3)));
    tries(&limiter).unwrap();
    limiter.pause(PAUSE);
    let mut line: Vec<_> = (0..8).map(|_| Box::pin(limiter.acquire())).collect();
    for call in &mut line {
        assert!(poll_once(call.as_mut()).is_pending());
    }
    let told: Vec<u64> = line.iter().map(|call| call.estimated_wait().unwrap().as_secs()).collect();
    assert_eq!(told, [20, 20, 60, 80, 80, 120, 140, 140]);
    let refused = limiter.try_acquire().unwrap_err();
    assert_eq!((refused.limit(), refused.retry_after()), (Limit::Rate, Some(3 * MINUTE)));
    for (call, told) in line.iter_mut().zip(told) {
        let told = told * 1_000_000_000;
        if bells.now_ns() < told {
            bells.set(told - 1);
            assert!(poll_once(call.as_mut()).is_pending());
            bells.set(told);
        }
        assert!(poll_once(call.as_mut()).is_ready());
    }
}

// ---- shared slots ------------------------------------------------------------------------------------

/// The call that stands for a slot is granted one, and hands it on. Broken by: `Core::stamp` without `check_pause`.
#[test]
fn a_pause_is_the_limiters_own_and_lets_others_have_the_shared_slots() {
    let slots = Arc::new(Semaphore::new(1));
    let (paused, bells) = limiter(|builder| builder.semaphore(Arc::clone(&slots)));
    let builder = Limiter::builder().clock(bells.clone()).semaphore(Arc::clone(&slots));
    let other = builder.build();
    let in_flight = other.try_acquire().unwrap();
    let (mut stands, mut behind) = (waits(&paused), waits(&other));
    paused.pause(PAUSE);
    drop(in_flight);
    assert!(stands.run(9).is_none());
    let permit = behind.run(9).expect("the slot was kept from it").unwrap();
    drop(permit);
    assert_eq!(slots.available_permits(), 1);
    tries(&other).unwrap();
    assert_eq!(goes_within(&bells, &mut stands, MINUTE), Some(PAUSE));
}

// ---- what goes on ------------------------------------------------------------------------------------

/// Broken by: `Core::reset` that ends the pause.
#[test]
fn a_reset_does_not_end_a_pause_and_a_snapshot_does_not_tell_it() {
    let (limiter, bells) = limiter(|builder| builder.rate(Rate::per_minute(3)));
    limiter.pause(PAUSE);
    limiter.reset();
    assert_paused(tries(&limiter), PAUSE);
    let snapshot = limiter.snapshot();
    let builder = Limiter::builder().rate(Rate::per_minute(3)).clock(bells);
    tries(&builder.restore(&snapshot).build()).unwrap();
}

#[test]
fn debug_tells_a_pause() {
    let (limiter, _bells) = limiter(|builder| builder.max_concurrent(1));
    assert!(format!("{limiter:?}").contains("paused_for: None"));
    limiter.pause(PAUSE);
    assert!(format!("{limiter:?}").contains("paused_for: Some(20s)"));
}

/// By the real clock. What it waits for comes by a timer.
#[test]
fn a_thread_waits_until_a_pause_is_over() {
    let limiter = Limiter::new(Rate::per_minute(9), 2);
    for _ in 0..2 {
        limiter.pause(Duration::from_millis(20));
        drop(limiter.blocking_acquire().unwrap());
        assert_eq!(limiter.paused_for(), None);
        limiter.pause(Duration::from_millis(20));
        drop(limiter.blocking_acquire_owned().unwrap());
        assert_eq!(limiter.paused_for(), None);
    }
}

// ---- what it costs -----------------------------------------------------------------------------------

/// A clock that stands still and counts how often it is read.
#[derive(Debug, Clone, Default)]
struct Read(Arc<AtomicU64>, ManualClock);

impl Clock for Read {
    fn now(&self) -> Timestamp {
        self.0.fetch_add(1, SeqCst);
        self.1.now()
    }

    fn sleep_until(&self, deadline: Timestamp) -> Sleep {
        self.1.sleep_until(deadline)
    }
}

/// Broken by: `Pause::look` that does not clear it.
#[test]
fn a_pause_that_is_over_is_forgotten_by_the_first_call_that_finds_it_so() {
    let clock = Read::default();
    let limiter = Limiter::builder().max_concurrent(1).clock(clock.clone()).build();
    limiter.pause(SECOND);
    clock.1.advance(SECOND);
    tries(&limiter).unwrap();
    let before = clock.0.load(SeqCst);
    tries(&limiter).unwrap();
    assert_eq!(clock.0.load(SeqCst), before, "slots alone need no time");
}

// ---- clocks ------------------------------------------------------------------------------------------

fn by_hand() -> (Limiter, ManualClock) {
    let clock = ManualClock::new();
    let builder = Limiter::builder().max_concurrent(1).clock(clock.clone());
    (builder.build(), clock)
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_nanos(seconds * 1_000_000_000)
}

/// Broken by: `Pause::read` that does not move the offset.
#[test]
fn a_jump_back_of_the_clock_makes_a_pause_no_longer() {
    let (limiter, clock) = by_hand();
    clock.set(at(1_000));
    limiter.pause(MINUTE);
    clock.set(at(1_050));
    assert_paused(tries(&limiter), 10 * SECOND);
    for jump in [900, 30, 0] {
        clock.set(at(jump));
        assert_paused(tries(&limiter), 10 * SECOND);
    }
    clock.set(at(10));
    tries(&limiter).unwrap();
    // Nobody looked before the jump.
    clock.set(at(5_000));
    limiter.pause(MINUTE);
    clock.set(at(2));
    assert_paused(tries(&limiter), MINUTE);
    clock.set(at(62));
    tries(&limiter).unwrap();
}

/// A step back by less than a jump delays the end by as much.
#[test]
fn a_small_step_back_of_the_clock_makes_a_pause_so_much_longer() {
    let (limiter, clock) = by_hand();
    clock.set(at(100));
    limiter.pause(10 * SECOND);
    for _ in 0..3 {
        clock.set(at(105));
        assert_paused(tries(&limiter), 5 * SECOND);
        clock.set(at(104));
        assert_paused(tries(&limiter), 6 * SECOND);
    }
    clock.set(at(110));
    tries(&limiter).unwrap();
}

/// The call in front sleeps until a time of before the jump. Broken by: `Core::watched` that looks for nobody, with a clock that
/// rings none after a jump.
#[test]
fn a_call_in_line_goes_in_time_after_a_jump_back_that_another_call_has_noticed() {
    let (limiter, bells) = limiter(|builder| builder.max_concurrent(1));
    bells.set(5_000_000_000_000);
    limiter.pause(MINUTE);
    let mut call = waits(&limiter);
    // Its bell would ring at 5060.
    bells.set(0);
    assert_paused(tries(&limiter), MINUTE);
    assert_eq!(goes_within(&bells, &mut call, 3 * MINUTE), Some(MINUTE));
}

/// Broken by: ends that are counted without saturation; `Timestamp::MAX` that comes.
#[test]
fn pauses_of_any_length_at_any_time_neither_overflow_nor_stick() {
    let lengths = [Duration::ZERO, Duration::from_nanos(1), MINUTE, Duration::MAX];
    let lengths = lengths.into_iter().chain([61, 62, 63].map(|n| Duration::from_nanos(1 << n)));
    for length in lengths.chain([Duration::from_nanos(u64::MAX)]) {
        for now in [0, 1, 1 << 62, 1 << 63, u64::MAX - 1, u64::MAX] {
            let (limiter, clock) = by_hand();
            clock.set(Timestamp::from_nanos(now));
            limiter.pause(length);
            let end = Timestamp::from_nanos(now).saturating_add(length);
            assert_eq!(limiter.paused_for().is_some(), !length.is_zero());
            if let Some(left) = limiter.paused_for() {
                let told = tries(&limiter).unwrap_err().retry_after().unwrap();
                assert_eq!((limiter.paused_for(), told), (Some(left), left.max(told)));
                let least = end.saturating_duration_since(Timestamp::from_nanos(now));
                // At the end of time nothing is left by the clock.
                let least = least.max(Duration::from_nanos(1));
                assert!(left == least || left > MINUTE, "{left:?} of {length:?}");
            }
            limiter.resume();
            tries(&limiter).unwrap();
            // And a short one afterwards, by a clock that has gone back.
            clock.set(at(1));
            limiter.pause(SECOND);
            assert_paused(tries(&limiter), SECOND);
            clock.set(at(2));
            tries(&limiter).unwrap();
        }
    }
}

#[test]
fn a_leap_to_the_end_of_time_ends_a_pause_and_one_begun_there_lasts_until_it_is_ended() {
    let (limiter, clock) = by_hand();
    limiter.pause(PAUSE);
    clock.set(Timestamp::MAX);
    tries(&limiter).unwrap();
    limiter.pause(PAUSE);
    let mut call = waits(&limiter);
    assert!(!call.is_woken());
    assert!(tries(&limiter).is_err());
    limiter.resume();
    drop(call.run(9).expect("it was not told").unwrap());
    limiter.pause_until(Timestamp::MAX);
    assert!(limiter.paused_for().is_some() && tries(&limiter).is_err());
}

/// Random steps of a clock, with a look after each. Time that has gone forward counts; a small step back counts against it
/// until the clock has caught up. Broken by: an offset that moves at a small step; `seen` that is not recorded.
#[test]
fn a_pause_lasts_for_as_much_time_as_it_says_however_the_clock_jumps() {
    const JUMP: i64 = 1_000_000_000;
    let (mut ends, mut jumps) = (0, 0);
    for seed in 0..u64::from(cases(2_000).cases) {
        let mut dice = Dice(seed);
        let (limiter, clock) = by_hand();
        let mut now = dice.below(1 << 50).cast_signed();
        clock.set(Timestamp::from_nanos(now.cast_unsigned()));
        let length = 1 + dice.below(20_000_000_000);
        limiter.pause(Duration::from_nanos(length));
        // Of the pause, up to the newest time; and what the clock has gone forward in all.
        let (mut newest, mut passed, mut forward) = (now, 0, 0);
        for _ in 0..200 {
            let step = dice.below(1_500_000_000).cast_signed();
            let before = now;
            now = match dice.below(16) {
                0 => dice.below(now.cast_unsigned() + 1).cast_signed(),
                1..4 => (now - step).max(0),
                _ => now + step,
            };
            forward += (now - before).max(0);
            clock.set(Timestamp::from_nanos(now.cast_unsigned()));
            let since = now - newest;
            let left = if since < -JUMP {
                (newest, jumps) = (now, jumps + 1);
                length.cast_signed() - passed
            } else {
                let left = length.cast_signed() - passed - since;
                (newest, passed) = (newest.max(now), passed + since.max(0));
                left
            };
            if left <= 0 {
                tries(&limiter).unwrap();
                ends += 1;
                break;
            }
            assert_paused(tries(&limiter), Duration::from_nanos(left.cast_unsigned()));
        }
        assert!(limiter.paused_for().is_some() || forward >= length.cast_signed());
    }
    assert!(ends > 1_000 && jumps > 1_000, "{ends} ended, {jumps} jumps");
}

// ---- found by a reader --------------------------------------------------------------------------------

/// Broken by: `Pause::extend` that compares with a pause that is over.
#[test]
fn a_pause_that_was_over_before_a_jump_far_ahead_lasted_for_centuries() {
    let (limiter, clock) = by_hand();
    limiter.pause(Duration::from_secs(10));
    clock.set(Timestamp::from_nanos((1 << 63) + 20_000_000_000));
    limiter.pause(Duration::from_secs(5));
    assert_eq!(limiter.paused_for(), Some(Duration::from_secs(5)));
}

/// The second reading was later than the first. Broken by: `Core::pause_until` that reads the clock by itself.
#[test]
fn pause_until_lasted_longer_if_the_thread_stalled_between_two_readings() {
    #[derive(Debug, Clone)]
    struct Hurries(ManualClock);
    impl Clock for Hurries {
        fn now(&self) -> Timestamp {
            self.0.advance(Duration::from_secs(3));
            self.0.now()
        }
        fn sleep_until(&self, at: Timestamp) -> Sleep {
            self.0.sleep_until(at)
        }
    }
    let clock = ManualClock::new();
    let limiter = Limiter::builder().max_concurrent(4).clock(Hurries(clock.clone())).build();
    let end = clock.now().saturating_add(Duration::from_secs(20));
    limiter.pause_until(end);
    let left = limiter.paused_for().unwrap();
    assert_eq!(clock.now().saturating_add(left), end);
}
