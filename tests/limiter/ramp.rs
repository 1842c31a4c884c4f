//! A slow start: calls go one after another, closer and closer, and never as a herd.

use crate::bells::{self, Bells, limiter};
use crate::pause::{of_each_kind, tries};
use ringgate::{Limit, Limiter, LimiterBuilder, Rate, StopReason};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap()
}

/// A call in line, until it goes.
struct Woken<'a>(Option<bells::Woken<'a>>);

fn waits(limiter: &Limiter) -> Woken<'_> {
    Woken(Some(crate::pause::waits(limiter)))
}

impl Woken<'_> {
    fn is_woken(&self) -> bool {
        self.0.as_ref().is_some_and(bells::Woken::is_woken)
    }

    fn goes(&mut self) -> bool {
        let answer = self.0.as_mut().and_then(|call| call.run(9));
        let went = answer.map(|answer| drop(answer.unwrap())).is_some();
        self.0.take_if(|_| went);
        went
    }
}

/// Polls those that were woken, in their order, until none is. Which of them went.
fn run(line: &mut [Woken<'_>]) -> Vec<usize> {
    let mut went = Vec::new();
    for _ in 0..1000 {
        let Some(which) = line.iter().position(Woken::is_woken) else { return went };
        if line[which].goes() {
            went.push(which);
        }
    }
    panic!("they wake one another for ever");
}

/// When each of a line goes, from now on, and how many polls that takes.
fn times(bells: &Bells, line: &mut [Woken<'_>]) -> Vec<u64> {
    let (start, mut times) = (bells.now_ns(), Vec::new());
    while times.len() < line.len() {
        for which in run(line) {
            assert_eq!(which, times.len(), "it overtook others");
            times.push(bells.now_ns() - start);
        }
        if times.len() < line.len() {
            bells.set(bells.next().expect("nobody would wake the next one"));
        }
    }
    times
}

/// The curve: the k-th goes at √(k · 2 · gap · length). Broken by: a gap that is not that of the slowest rate; `pass` that does not
/// claim; a ramp whose calls go together.
#[test]
fn those_in_line_go_in_order_at_a_speed_that_grows_evenly() {
    let rate =
        |builder: LimiterBuilder| builder.rate(Rate::per_minute(60)).rate(Rate::per_second(5));
    for begin in ["resume", "pause"] {
        let (limiter, bells) = limiter(rate);
        limiter.pause(SECOND);
        let mut line: Vec<_> = (0..30).map(|_| waits(&limiter)).collect();
        if begin == "resume" {
            limiter.resume_over(MINUTE);
        } else {
            limiter.pause_then_ramp(SECOND, MINUTE);
            bells.advance(SECOND);
        }
        let times = times(&bells, &mut line);
        for (k, time) in (0_u32..).zip(&times) {
            let expected = (f64::from(k) * 2.0 * 60.0).sqrt();
            let seconds = Duration::from_nanos(*time).as_secs_f64();
            assert!((seconds - expected).abs() < 0.001, "the {k}-th went at {seconds}");
        }
    }
}

/// Each that goes wakes the next one, and it sleeps: no herd. Broken by: `room_beside_tokens` that finds room for all.
#[test]
fn a_ramp_wakes_few_calls_at_a_time() {
    let (limiter, bells) = limiter(|builder| builder.rate(Rate::per_minute(600)));
    limiter.pause(SECOND);
    let mut line: Vec<_> = (0..200).map(|_| waits(&limiter)).collect();
    limiter.resume_over(MINUTE);
    for _ in 0..50 {
        let woken = line.iter().filter(|call| call.is_woken()).count();
        assert!(woken <= 2, "{woken} were woken together");
        run(&mut line);
        bells.set(bells.next().unwrap());
    }
}

/// Broken by: a ramp that does not end; one that is left when the last call has gone before its end.
#[test]
fn after_a_ramp_calls_go_as_the_limits_allow() {
    for (kind, limiter, bells) in of_each_kind() {
        println!("{kind}");
        limiter.resume_over(SECOND);
        tries(&limiter).unwrap();
        let refused = tries(&limiter).unwrap_err();
        assert_eq!(refused.limit(), Limit::Paused);
        bells.advance(3 * MINUTE);
        let permits: Vec<_> =
            (0..3).map(|_| limiter.call().input_tokens(100).try_acquire().unwrap()).collect();
        assert!(limiter.call().input_tokens(100).try_acquire().is_err());
        drop(permits);
    }
}

/// A limiter without a rate: as many as may be in flight go within the ramp. Broken by: a gap that does not depend on them.
#[test]
fn without_a_rate_the_line_goes_within_the_ramp() {
    let (limiter, bells) = limiter(|builder| builder.max_concurrent(20));
    limiter.pause(SECOND);
    let mut line: Vec<_> = (0..20).map(|_| waits(&limiter)).collect();
    limiter.resume_over(MINUTE);
    let times = times(&bells, &mut line);
    assert!(times[1] > nanos(10 * SECOND) && times[1] < nanos(20 * SECOND), "{times:?}");
    assert!(times[19] > nanos(50 * SECOND) && times[19] <= nanos(MINUTE), "{times:?}");
}

/// Broken by: a late call that makes up for all the time before it.
#[test]
fn calls_that_come_late_in_a_ramp_are_no_herd() {
    let (limiter, bells) = limiter(|builder| builder.rate(Rate::per_minute(60)));
    limiter.resume_over(MINUTE);
    tries(&limiter).unwrap();
    bells.advance(50 * SECOND);
    let went = (0..30).filter(|_| tries(&limiter).is_ok()).count();
    assert!(went <= 2, "{went} went together");
}

/// The refusal says when the next one goes. Broken by: `check_pause_for` that claims for a call that has no room.
#[test]
fn a_try_in_a_ramp_is_told_the_exact_time_and_one_without_a_slot_does_not_use_it_up() {
    let (limiter, bells) = limiter(|builder| builder.rate(Rate::per_minute(60)).max_concurrent(1));
    limiter.resume_over(MINUTE);
    let permit = limiter.try_acquire().unwrap();
    let refused = limiter.try_acquire().unwrap_err();
    let wait = refused.retry_after().unwrap();
    bells.advance(wait.saturating_sub(Duration::from_nanos(1)));
    drop(permit);
    assert_eq!(tries(&limiter).unwrap_err().retry_after(), Some(Duration::from_nanos(1)));
    bells.advance(Duration::from_nanos(1));
    let permit = limiter.try_acquire().unwrap();
    bells.advance(30 * SECOND);
    assert_eq!(limiter.try_acquire().unwrap_err().limit(), Limit::Concurrency);
    drop(permit);
    tries(&limiter).unwrap();
}

/// Broken by: `Kind::beside` that forgets the ramp; a pause that does not put it off.
#[test]
fn a_pause_during_a_ramp_puts_it_off_and_a_stop_or_a_resume_ends_it() {
    let ramp = || {
        let (limiter, bells) = limiter(|builder| builder.rate(Rate::per_minute(60)));
        limiter.resume_over(MINUTE);
        tries(&limiter).unwrap();
        bells.advance(50 * SECOND);
        (limiter, bells)
    };
    let (limiter, bells) = ramp();
    limiter.pause(20 * SECOND);
    bells.advance(20 * SECOND);
    tries(&limiter).unwrap();
    // From its beginning on: the first gap is 11 s.
    assert_eq!(tries(&limiter).unwrap_err().retry_after().map(|wait| wait.as_secs()), Some(10));

    let all_go = |limiter: &Limiter| (0..30).for_each(|_| tries(limiter).unwrap());
    let (limiter, _bells) = ramp();
    limiter.resume();
    all_go(&limiter);

    let (limiter, bells) = ramp();
    limiter.stop(StopReason::Other, 2 * SECOND);
    bells.advance(2 * SECOND);
    all_go(&limiter);
}

/// Broken by: parts of a ramp that overflow.
#[test]
fn ramps_of_any_length_at_any_time_neither_overflow_nor_stick() {
    let lengths = [Duration::ZERO, Duration::from_nanos(1), MINUTE, Duration::MAX];
    for over in lengths.into_iter().chain([58, 59, 60, 63].map(|n| Duration::from_nanos(1 << n))) {
        for now in [0, 1, 1 << 60, 1 << 61, 1 << 62, 1 << 63, u64::MAX - 1, u64::MAX] {
            for pause in lengths {
                println!("{pause:?}, over {over:?} at {now}");
                let (limiter, bells) = limiter(|builder| builder.rate(Rate::per_minute(60)));
                bells.set(now);
                limiter.pause_then_ramp(pause, over);
                let _ = tries(&limiter);
                let _ = tries(&limiter);
                limiter.resume_over(over);
                tries(&limiter).unwrap();
                let _ = tries(&limiter);
                limiter.resume();
                tries(&limiter).unwrap();
            }
        }
    }
}

/// Broken by: a ramp that lasts for ever after a clock has stepped back.
#[test]
fn a_clock_that_jumps_back_makes_a_ramp_no_longer() {
    let (limiter, bells) = limiter(|builder| builder.rate(Rate::per_minute(60)));
    bells.set(nanos(1_000 * MINUTE));
    limiter.resume_over(MINUTE);
    tries(&limiter).unwrap();
    bells.set(nanos(SECOND));
    let mut went = 0;
    for _ in 0..60 {
        went += u32::from(tries(&limiter).is_ok());
        bells.advance(SECOND);
    }
    assert!((28..=30).contains(&went), "{went}");
    bells.advance(SECOND);
    (0..20).for_each(|_| tries(&limiter).unwrap());
}
