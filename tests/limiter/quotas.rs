//! What a provider says is left, and how much it allows.

use crate::bells::{Bells, Woken, limiter};
use crate::common::Dice;
use ringgate::time::ManualClock;
use ringgate::{Feedback, Limit, Limiter, Quota, QuotaKind, QuotaWindow, Rate, Usage};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use QuotaKind::{InputTokens, OutputTokens, Requests, Tokens};
use QuotaWindow::{Day, Hour, Minute, Month, Second, Unknown};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn says(limiter: &Limiter, quota: Quota) {
    limiter.observe(&Feedback::new().with_quota(quota));
}

fn says_limit(limiter: &Limiter, kind: QuotaKind, limit: u64) {
    says(limiter, Quota::new(kind, Unknown).with_limit(limit));
}

fn says_left(limiter: &Limiter, kind: QuotaKind, left: u64) {
    says(limiter, Quota::new(kind, Unknown).with_remaining(left));
}

fn per_minute(limit: u32) -> (Limiter, Bells) {
    limiter(|builder| builder.rate(Rate::per_minute(limit)))
}

fn calls(limiter: &Limiter, times: u32) {
    for _ in 0..times {
        drop(limiter.try_acquire().unwrap());
    }
}

fn uses(limiter: &Limiter, tokens: u64) {
    limiter
        .call()
        .tokens(Usage::new(tokens, 0))
        .try_acquire()
        .unwrap()
        .settle(Usage::new(tokens, 0));
}

// ---- which limit ------------------------------------------------------------------------------------

/// Two rates and three limits on tokens; how much is left of each after one answer. Broken by: a window that is not compared; the
/// first limit taken where the limit tells another; one that is taken though all is back too late for it.
#[test]
fn an_answer_is_about_the_limit_with_its_kind_and_its_window_or_else_its_limit() {
    let build = || {
        let builder = Limiter::builder().rate(Rate::per_minute(60)).rate(Rate::per_day(5_000));
        let builder = builder.tokens(30_000, MINUTE).input_tokens(90_000, DAY);
        builder.output_tokens(8_000, MINUTE).clock(ManualClock::new()).build()
    };
    let of = |limiter: &Limiter| {
        let tokens = (limiter.remaining_tokens(), limiter.remaining_input_tokens());
        (u64::from(limiter.remaining()), tokens.0, tokens.1, limiter.remaining_output_tokens())
    };
    let all = (60, 30_000, 90_000, 8_000);
    let later = |seconds| Duration::from_secs(seconds);
    let table = [
        (Quota::new(Requests, Minute).with_limit(50), (50, 30_000, 90_000, 8_000)),
        // Of the day's there are forty, of the minute's sixty.
        (Quota::new(Requests, Day).with_limit(40), (40, 30_000, 90_000, 8_000)),
        (Quota::new(Requests, Second).with_limit(5), all),
        (Quota::new(Requests, Hour).with_limit(5), all),
        (Quota::new(Requests, Month).with_limit(5), all),
        // Two rates: the limit tells which.
        (
            Quota::new(Requests, Unknown).with_limit(60).with_remaining(7),
            (7, 30_000, 90_000, 8_000),
        ),
        (Quota::new(Requests, Unknown).with_limit(59).with_remaining(7), all),
        (Quota::new(Requests, Unknown).with_remaining(7), all),
        // There is one limit of each kind of tokens.
        (Quota::new(Tokens, Minute).with_limit(20_000), (60, 20_000, 90_000, 8_000)),
        (Quota::new(Tokens, Day).with_limit(20_000), all),
        (Quota::new(Tokens, Unknown).with_limit(20_000), (60, 20_000, 90_000, 8_000)),
        (Quota::new(Tokens, Unknown).with_remaining(123), (60, 123, 90_000, 8_000)),
        (Quota::new(InputTokens, Day).with_remaining(123), (60, 30_000, 123, 8_000)),
        (Quota::new(InputTokens, Unknown).with_limit(80_000), (60, 30_000, 80_000, 8_000)),
        (Quota::new(OutputTokens, Unknown).with_remaining(123), (60, 30_000, 90_000, 123)),
        // Its window is longer than a minute.
        (Quota::new(OutputTokens, Unknown).with_remaining(123).with_reset_after(later(61)), all),
        (
            Quota::new(OutputTokens, Unknown).with_remaining(123).with_reset_after(later(60)),
            (60, 30_000, 90_000, 123),
        ),
    ];
    for (quota, left) in table {
        let limiter = build();
        says(&limiter, quota);
        assert_eq!(of(&limiter), left, "{quota:?}");
    }
}

// ---- a lower limit ----------------------------------------------------------------------------------

/// Broken by: the latest limit as the ceiling; what was counted forgotten.
#[test]
fn a_lower_limit_is_taken_over_and_raised_again_to_what_was_configured_at_most() {
    let (limiter, _bells) =
        limiter(|builder| builder.rate(Rate::per_minute(60)).tokens(30_000, MINUTE));
    calls(&limiter, 5);
    uses(&limiter, 1_000);
    for (requests, tokens) in [(40, 20_000), (50, 25_000), (20, 7), (60, 30_000), (1_000, 31_000)] {
        says_limit(&limiter, Requests, requests);
        says_limit(&limiter, Tokens, tokens);
        let (requests, tokens) = (requests.min(60), tokens.min(30_000));
        // Less than a thousandth is not believed.
        let tokens = if tokens == 7 { 25_000 } else { tokens };
        assert_eq!(u64::from(limiter.remaining()), requests - 6);
        assert_eq!(limiter.remaining_tokens(), tokens - 1_000);
    }
    says_limit(&limiter, Requests, u64::MAX);
    says_limit(&limiter, Tokens, u64::MAX);
    says_limit(&limiter, Requests, 0);
    says_limit(&limiter, Tokens, 0);
    assert_eq!((limiter.remaining(), limiter.remaining_tokens()), (54, 29_000));
}

/// Broken by: a server's limit that outlives the user's change.
#[test]
fn a_limit_that_the_user_sets_counts_until_the_provider_says_another() {
    let (limiter, _bells) =
        limiter(|builder| builder.rate(Rate::per_minute(60)).tokens(30_000, MINUTE));
    let left = || (limiter.remaining(), limiter.remaining_tokens());
    says_limit(&limiter, Requests, 10);
    says_limit(&limiter, Tokens, 1_000);
    assert_eq!(left(), (10, 1_000));
    limiter.set_rate(Rate::per_minute(50)).unwrap();
    limiter.set_token_limit(0, 20_000).unwrap();
    assert_eq!(left(), (50, 20_000));
    says_limit(&limiter, Requests, 10);
    says_limit(&limiter, Tokens, 1_000);
    assert_eq!(left(), (10, 1_000));
    says_limit(&limiter, Requests, 60);
    says_limit(&limiter, Tokens, 30_000);
    assert_eq!(left(), (50, 20_000));
    // Another window keeps its limit, too.
    limiter.set_token_window(0, 10_000, 2 * MINUTE).unwrap();
    says_limit(&limiter, Tokens, 30_000);
    assert_eq!(left(), (50, 10_000));
}

/// With one ring and with several, with one rate and with two. Broken by: a lower limit that forgets what was counted.
#[test]
fn a_limit_that_goes_up_and_down_never_admits_more_than_the_higher_one_allows() {
    for (limit, low, rates) in [(60, 10, 1), (60, 10, 2), (2_000, 300, 1)] {
        let (limiter, bells) = limiter(|builder| {
            let builder = builder.rate(Rate::per_minute(limit));
            if rates > 1 { builder.rate(Rate::per_hour(100 * limit)) } else { builder }
        });
        let (mut dice, mut admitted) = (Dice(7), Vec::new());
        for _ in 0..2_000 {
            let said = if dice.below(2) == 0 { limit } else { low };
            says(&limiter, Quota::new(Requests, Minute).with_limit(said.into()));
            let now = bells.now_ns();
            let of_window = |admitted: &Vec<u64>| {
                admitted.iter().filter(|at| **at + 60_000_000_000 > now).count()
            };
            for _ in 0..dice.below(40) {
                let fits = of_window(&admitted) < said as usize;
                assert_eq!(limiter.try_acquire().is_ok(), fits);
                if fits {
                    admitted.push(now);
                }
            }
            bells.advance(Duration::from_millis(dice.below(3_000)));
        }
        assert!(admitted.len() > 1_000);
    }
}

/// Broken by: a limit that is raised without a look at the line, of requests or of tokens.
#[test]
fn those_in_line_are_woken_when_the_provider_allows_more() {
    let (limiter, _bells) = per_minute(3);
    says_limit(&limiter, Requests, 1);
    calls(&limiter, 1);
    let mut call = Woken::waits(&limiter, 0, 0);
    says_limit(&limiter, Requests, 2);
    assert!(call.run(9).unwrap().is_ok());
    let (limiter, _bells) = crate::bells::limiter(|builder| builder.tokens(30_000, MINUTE));
    says_limit(&limiter, Tokens, 2_000);
    uses(&limiter, 2_000);
    let mut call = Woken::waits(&limiter, 100, 0);
    says_limit(&limiter, Tokens, 3_000);
    assert!(call.run(9).unwrap().is_ok());
}

/// Broken by: a call in line that is not told that its tokens will never be there.
#[test]
fn a_call_in_line_that_needs_more_than_the_provider_allows_is_refused() {
    let (limiter, _bells) = limiter(|builder| builder.tokens(30_000, MINUTE));
    uses(&limiter, 29_000);
    let mut call = Woken::waits(&limiter, 2_000, 0);
    says_limit(&limiter, Tokens, 1_000);
    let refused = call.run(9).unwrap().unwrap_err();
    assert!(refused.is_permanent());
    assert_eq!(refused.limit(), Limit::Tokens);
}

// ---- what others have used --------------------------------------------------------------------------

/// Broken by: nothing counted; a stamp that does not age.
#[test]
fn what_others_have_used_counts_at_once_and_for_one_window() {
    let (limiter, bells) = limiter(|builder| {
        let builder = builder.rate(Rate::per_minute(60)).tokens(30_000, MINUTE);
        builder.output_tokens(8_000, MINUTE)
    });
    let left =
        || (limiter.remaining(), limiter.remaining_tokens(), limiter.remaining_output_tokens());
    bells.advance(MINUTE);
    uses(&limiter, 1_000);
    says_left(&limiter, Requests, 40);
    says_left(&limiter, Tokens, 20_123);
    says_left(&limiter, OutputTokens, 7_001);
    assert_eq!(left(), (40, 20_123, 7_001));
    // The same again says nothing new.
    says_left(&limiter, Requests, 40);
    says_left(&limiter, Tokens, 20_123);
    assert_eq!(left(), (40, 20_123, 7_001));
    bells.advance(Duration::from_millis(59_999));
    assert_eq!(left(), (40, 20_123, 7_001));
    // Tokens are counted in ticks, of which two may be there in part.
    bells.advance(Duration::from_millis(121));
    assert_eq!(left(), (60, 30_000, 8_000));
}

/// Broken by: nothing learned without a refusal.
#[test]
fn a_fresh_limiter_begins_with_what_the_first_answer_says() {
    for limit in [300, 3_000] {
        let (limiter, _bells) = per_minute(limit);
        calls(&limiter, 1);
        says_left(&limiter, Requests, u64::from(limit) - 200);
        assert_eq!(limiter.remaining(), limit - 200);
    }
    let (limiter, _bells) = limiter(|builder| builder.tokens(30_000, MINUTE));
    uses(&limiter, 500);
    says_left(&limiter, Tokens, 0);
    // It may have been 999.
    assert_eq!(limiter.remaining_tokens(), 999);
    says_left(&limiter, Tokens, 1);
    assert_eq!(limiter.remaining_tokens(), 1);
    says_left(&limiter, Tokens, 29_000);
    assert_eq!(limiter.remaining_tokens(), 1);
}

/// Broken by: what is left compared with what is left by us, without what was admitted since.
#[test]
fn an_answer_from_before_our_latest_calls_counts_none_of_them() {
    let (limiter, bells) =
        limiter(|builder| builder.rate(Rate::per_minute(60)).tokens(30_000, MINUTE));
    for _ in 0..10 {
        uses(&limiter, 1_111);
        bells.advance(Duration::from_millis(500));
    }
    // Of the first five, all the time.
    for _ in 0..3 {
        says_left(&limiter, Requests, 55);
        says_left(&limiter, Tokens, 30_000 - 5 * 1_111);
    }
    assert_eq!((limiter.remaining(), limiter.remaining_tokens()), (50, 30_000 - 11_110));
}

/// Broken by: a limit of ours that is taken for the provider's.
#[test]
fn others_may_use_what_the_user_has_not_configured_for_us() {
    let (limiter, _bells) =
        limiter(|builder| builder.rate(Rate::per_minute(60)).tokens(30_000, MINUTE));
    for (left, ours) in [(90, 60), (60, 60), (59, 59)] {
        let quota = Quota::new(Requests, Minute).with_limit(100).with_remaining(left);
        says(&limiter, quota);
        assert_eq!(limiter.remaining(), ours);
    }
}

/// Broken by: what others have used of a long window taken off a short one's limit.
#[test]
fn what_others_have_used_of_a_day_does_not_fill_a_minute() {
    let (limiter, bells) =
        limiter(|builder| builder.rate(Rate::per_minute(60)).rate(Rate::per_day(5_000)));
    let day = |left| Quota::new(Requests, Day).with_limit(5_000).with_remaining(left);
    let minute = |left| Quota::new(Requests, Minute).with_limit(60).with_remaining(left);
    says(&limiter, day(121));
    assert_eq!(limiter.remaining(), 60);
    says(&limiter, day(41));
    assert_eq!(limiter.remaining(), 41);
    says(&limiter, minute(3));
    assert_eq!(limiter.remaining(), 3);
    // The minute's is over, the day's is not.
    bells.advance(2 * MINUTE);
    assert_eq!(limiter.remaining(), 41);
    bells.advance(DAY);
    assert_eq!(limiter.remaining(), 60);
}

/// Broken by: one use that is forgotten with another's.
#[test]
fn what_others_use_of_one_rate_is_not_forgotten_when_it_is_for_another() {
    let (limiter, bells) =
        limiter(|builder| builder.rate(Rate::per_minute(60)).rate(Rate::per_hour(600)));
    says(&limiter, Quota::new(Requests, Hour).with_limit(600).with_remaining(20));
    bells.advance(Duration::from_secs(10));
    says(&limiter, Quota::new(Requests, Minute).with_limit(60).with_remaining(10));
    for (after, left) in [(0, 10), (59, 10), (2, 20), (3_500, 20), (60, 60)] {
        bells.advance(Duration::from_secs(after));
        assert_eq!(limiter.remaining(), left, "{after}");
    }
}

/// Answers tell how it grows and falls. One place stays, or nobody would hear of it. Broken by: a number that only grows; a limit of
/// nothing.
#[test]
fn others_come_and_go() {
    let (limiter, bells) = per_minute(60);
    for left in [60, 50, 20, 1, 0, 30, 59, 60, 10] {
        says_left(&limiter, Requests, left);
        assert_eq!(u64::from(limiter.remaining()), left.max(1));
        bells.advance(MINUTE / 2);
    }
    // A refusal is told when one can go, and not that none ever will.
    says_left(&limiter, Requests, 0);
    calls(&limiter, 1);
    let refused = limiter.try_acquire().unwrap_err();
    assert_eq!(refused.limit(), Limit::Rate);
    assert!(refused.retry_after() <= Some(MINUTE + MINUTE / 60));
}

/// A call waits while others use nearly all, and no further answer comes. Broken by: what others use never forgotten.
#[test]
fn what_others_used_is_forgotten_when_nothing_is_heard_for_a_window() {
    let (limiter, bells) = per_minute(60);
    says_left(&limiter, Requests, 2);
    calls(&limiter, 2);
    let mut waiting = [Woken::waits(&limiter, 0, 0), Woken::waits(&limiter, 0, 0)];
    assert!(waiting[0].run(9).is_none());
    bells.advance(MINUTE + MINUTE / 60);
    for call in &mut waiting {
        assert!(call.run(9).unwrap().is_ok());
    }
    assert_eq!(limiter.remaining(), 58);
}

/// The first in line sleeps by the lowered limit, until others are forgotten. Broken by: a time that does not know when that is.
#[test]
fn those_in_line_go_when_others_are_forgotten() {
    let day = 24 * 60;
    for (rate, minutes) in [(Rate::per_minute(60), 1), (Rate::per_day(5_000), day)] {
        let (limiter, bells) = limiter(|builder| builder.rate(rate));
        let window = minutes * MINUTE;
        says_left(&limiter, Requests, 0);
        bells.advance(window * 7 / 8);
        calls(&limiter, 1);
        let mut call = Woken::waits(&limiter, 0, 0);
        let told = limiter.try_acquire().unwrap_err().retry_after().unwrap();
        assert!(told <= window / 7, "{told:?}");
        let went = crate::bells::goes_within(&bells, &mut call, 3 * window);
        assert!(went.unwrap() <= window / 7, "{went:?}");
    }
}

/// What others use is told again before it is forgotten, and then it holds for longer. Broken by: the first time kept as the one at
/// which to look.
#[test]
fn a_word_that_is_confirmed_holds_from_then_on() {
    let (limiter, bells) = per_minute(60);
    says_left(&limiter, Requests, 2);
    bells.advance(MINUTE / 2);
    says_left(&limiter, Requests, 2);
    calls(&limiter, 2);
    bells.advance(MINUTE / 2 + MINUTE / 60);
    for behind in 0..2 {
        let told = limiter.try_acquire().unwrap_err().retry_after().unwrap();
        assert!(told > MINUTE / 3, "{behind}: {told:?}");
        let mut call = Woken::waits(&limiter, 0, 0);
        assert!(call.run(9).is_none());
        let next = bells.next().unwrap();
        assert!(next > bells.now_ns() + 1_000_000, "it looks all the time");
    }
}

/// Broken by: somebody who forgets, and wakes nobody.
#[test]
fn those_in_line_are_woken_when_a_look_forgets_what_others_used() {
    let (limiter, bells) = per_minute(60);
    says_left(&limiter, Requests, 1);
    calls(&limiter, 1);
    let mut calls = [(); 3].map(|()| Woken::waits(&limiter, 0, 0));
    bells.advance(MINUTE + MINUTE / 60);
    assert_eq!(limiter.remaining(), 60);
    let went = (0..9).map(|_| calls.iter_mut().filter_map(|call| call.run(9)).count());
    assert_eq!(went.sum::<usize>(), 3);
}

/// Broken by: the speed of a slow start by what others leave when it begins.
#[test]
fn a_slow_start_reaches_the_speed_without_others() {
    let (limiter, bells) = limiter(|builder| builder.rate(Rate::per_day(86_400)));
    says_left(&limiter, Requests, 0);
    limiter.pause_then_ramp(Duration::from_secs(1), MINUTE);
    says_left(&limiter, Requests, 86_400);
    bells.advance(Duration::from_secs(2));
    let mut went = 0;
    for _ in 0..70 {
        went += u32::from(limiter.try_acquire().is_ok());
        bells.advance(Duration::from_secs(1));
    }
    assert!(went > 20, "{went}");
}

/// The window is full of our own calls, some of them refused, as those of another client are in their place. Broken by: refused calls
/// that count as ours; others' use that needs room.
#[test]
fn refused_calls_are_not_ours() {
    let (limiter, bells) = per_minute(60);
    let permits: Vec<_> = (0..60).map(|_| limiter.try_acquire().unwrap()).collect();
    bells.advance(Duration::from_secs(1));
    let full = Quota::new(Requests, Minute).with_limit(60).with_remaining(0);
    // The provider took 55 of these calls, and five of another client.
    let refusal = Feedback::cool_down(Duration::from_millis(1)).with_quota(full);
    for permit in &permits[..5] {
        permit.observe(&refusal);
    }
    // Ours have left the window, and the provider's word holds for another second.
    bells.advance(Duration::from_millis(59_300));
    assert_eq!(limiter.remaining(), 55);
    // And now it tells that they have gone.
    says_left(&limiter, Requests, 60);
    assert_eq!(limiter.remaining(), 60);
}

/// Broken by: a user's change that leaves what others use, or a limit that the provider told before.
#[test]
fn a_rate_that_the_user_sets_is_free_of_what_was_told_before() {
    let (limiter, _bells) = per_minute(60);
    says_limit(&limiter, Requests, 40);
    says_left(&limiter, Requests, 10);
    assert_eq!(limiter.remaining(), 10);
    limiter.set_rate(Rate::per_minute(50)).unwrap();
    assert_eq!(limiter.remaining(), 50);
    says_limit(&limiter, Requests, 60);
    assert_eq!(limiter.remaining(), 50);
    says_limit(&limiter, Requests, 40);
    limiter.set_rate(Rate::per_minute(50)).unwrap();
    says_left(&limiter, Requests, 50);
    assert_eq!(limiter.remaining(), 50);
}

/// Broken by: a claim that another observer's claim does not make fail.
#[test]
fn two_that_observe_the_same_answer_count_it_once() {
    for (limit, left) in [(60, 20), (2_000, 1_950)] {
        for _ in 0..200 {
            let limiter = Limiter::builder().rate(Rate::per_minute(limit)).tokens(30_000, MINUTE);
            let limiter = limiter.clock(ManualClock::new()).build();
            let start = Barrier::new(2);
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        start.wait();
                        says_left(&limiter, Requests, left);
                        says_left(&limiter, Tokens, 12_345);
                    });
                }
            });
            assert_eq!(u64::from(limiter.remaining()), left);
            assert_eq!(limiter.remaining_tokens(), 12_345);
        }
    }
}

// ---- anything ---------------------------------------------------------------------------------------

/// Whatever is said: nothing panics, and there is never more left than was configured. Broken by: a limit that is taken over as it
/// is.
#[test]
fn nothing_that_is_said_raises_a_limit() {
    let mut dice = Dice(3);
    for round in 0..300 {
        let (limiter, bells) = limiter(|builder| {
            let builder = builder.rate(Rate::per_minute(60)).tokens(30_000, MINUTE);
            let builder = if round % 2 == 0 { builder.rate(Rate::per_day(500)) } else { builder };
            builder.input_tokens(u64::MAX, MINUTE).output_tokens(8_000, MINUTE)
        });
        for _ in 0..40 {
            says(&limiter, any_quota(&mut dice));
            assert!(limiter.remaining() <= 60);
            assert!(limiter.remaining_tokens() <= 30_000);
            assert!(limiter.remaining_output_tokens() <= 8_000);
            drop(limiter.call().tokens(Usage::new(dice.below(99), dice.below(99))).try_acquire());
            bells.advance(Duration::from_millis(dice.below(20_000)));
        }
        // All of it is over after a day.
        for kind in [Requests, Tokens, OutputTokens] {
            for window in [Minute, Day] {
                says(&limiter, Quota::new(kind, window).with_limit(u64::MAX));
            }
        }
        bells.advance(DAY + MINUTE);
        assert_eq!((limiter.remaining(), limiter.remaining_tokens()), (60, 30_000));
    }
}

fn of<T: Copy>(dice: &mut Dice, all: &[T]) -> T {
    let number = usize::try_from(dice.below(all.len() as u64)).unwrap();
    all[number]
}

fn any_quota(dice: &mut Dice) -> Quota {
    let kind = of(dice, &[Requests, Tokens, InputTokens, OutputTokens]);
    let window = of(dice, &[Second, Minute, Hour, Day, Month, Unknown]);
    let mut quota = Quota::new(kind, window);
    let mut number = || match dice.below(8) {
        0 => 0,
        1 => u64::MAX,
        2 => u64::from(u32::MAX) + 1,
        3 => 1,
        4 => 60,
        _ => dice.below(40_000),
    };
    let (limit, remaining, reset) = (number(), number(), number());
    if dice.below(3) > 0 {
        quota = quota.with_limit(limit);
    }
    if dice.below(3) > 0 {
        quota = quota.with_remaining(remaining);
    }
    if dice.below(3) == 0 {
        quota = quota.with_reset_after(Duration::from_secs(reset));
    }
    quota
}
