//! Policies, builders and constructors with any numbers, at any time.

use crate::bytes::Bytes;
use crate::wakes::Task;
use ringgate::time::{Clock, ManualClock, Timestamp};
use ringgate::{
    Limit, Limiter, LimiterBuilder, LimiterPermit, Rate, RateLimitPolicy, Refused, Semaphore,
    SlidingWindow, TokenLimit, Usage,
};
use std::task::Poll;
use std::time::Duration;

/// The longest window that is kept: 2^61 ns.
const LONGEST: u64 = 1 << 61;
/// With several limits, the largest that is kept.
const LARGEST_OF_SEVERAL: u32 = 1 << 20;
/// Somewhat before time ends for a window, at 2^63 − 2^61 ns.
const LATE: u64 = (1 << 63) - (1 << 61) - (1 << 20);

/// Makes a limiter from a policy or by its builder, or a window or a semaphore, with numbers from
/// zero to the largest, and calls it a few times. Nothing panics, overflows or hangs. Limits of zero refuse
/// permanently. Too large numbers saturate as documented. A wait is exact: one nanosecond earlier is too
/// early.
///
/// Caught: a margin added without saturation; a margin left out; a share of the limit rounded up; `<=`
/// for `<` in the test of a cell; the first of several rates alone; `u32::MAX` requests a minute
/// taken for a limit.
pub fn policy(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    match bytes.within(0, 5) {
        0 => semaphore(&mut bytes),
        1 | 2 => window(&mut bytes),
        3 => by_policy(&mut bytes),
        _ => by_builder(&mut bytes),
    }
}

// ---- numbers -----------------------------------------------------------------------------------

fn limit(bytes: &mut Bytes) -> u32 {
    // Large limits make large logs, which take time.
    const LARGE: [u32; 6] =
        [1 << 20, (1 << 20) + 1, u32::MAX / 60, u32::MAX / 60 + 1, u32::MAX - 1, u32::MAX];
    match bytes.byte() {
        large @ 250.. => LARGE[usize::from(large - 250)],
        some @ 200..250 => u32::from(some) << (some % 8),
        few => u32::from(few % 7),
    }
}

fn length(bytes: &mut Bytes) -> Duration {
    let nanos = match bytes.within(0, 9) {
        0 => 0,
        1 => 1,
        2 => 1_000_000_000,
        3 => bytes.within(0, 100),
        4 => (1 << 37) + bytes.within(0, 2) - 1,
        5 => LONGEST + bytes.within(0, 2) - 1,
        6 => u64::MAX,
        7 => return Duration::MAX,
        8 => return Duration::new(bytes.any_u64(), 999_999_999),
        _ => bytes.any_u64(),
    };
    Duration::from_nanos(nanos)
}

fn moment(bytes: &mut Bytes) -> u64 {
    match bytes.within(0, 6) {
        0 => 0,
        1 => bytes.within(0, 1000),
        2 => bytes.any_u64() >> 3,
        3 => LATE + bytes.within(0, 1 << 21),
        4 => u64::MAX - bytes.within(0, 2),
        5 => (1 << 63) - bytes.within(0, 2),
        _ => bytes.any_u64(),
    }
}

fn count(bytes: &mut Bytes) -> usize {
    match bytes.within(0, 5) {
        few @ 0..=2 => usize::try_from(few).unwrap_or(0),
        3 => Semaphore::MAX_PERMITS - bytes.below(2),
        4 => Semaphore::MAX_PERMITS + bytes.below(2),
        _ => usize::MAX,
    }
}

// ---- limiters ----------------------------------------------------------------------------------

fn by_policy(bytes: &mut Bytes) {
    let n = limit(bytes);
    let kind = bytes.within(0, 2);
    let mut policy = match kind {
        0 => RateLimitPolicy::rpm(n),
        1 => RateLimitPolicy::per_second(n),
        _ => RateLimitPolicy::unlimited(),
    };
    if bytes.flip() {
        policy.rpm = limit(bytes);
    }
    // Unless `rpm` was overwritten with another number.
    let limited_by_second = kind == 1 && policy.rpm == n.saturating_mul(60);
    if bytes.flip() {
        policy = policy.with_max_concurrent(count(bytes));
    }
    if bytes.flip() {
        policy = policy.with_margin(length(bytes));
    }
    let clock = ManualClock::new();
    clock.set(Timestamp::from_nanos(moment(bytes)));
    let limiter = LimiterBuilder::from(&policy).clock(clock.clone()).build();
    let has_rate = limited_by_second || policy.rpm != u32::MAX;
    let (has_zero, has_zero_slots) = (policy.rpm == 0, policy.max_concurrent == 0);
    Play { limiter, clock, has_rate, has_zero, has_zero_slots }.calls(bytes, 0);
    // From what is left of the input, so that older inputs mean what they did.
    if !bytes.is_empty() {
        with_tokens(policy, bytes);
    }
}

fn weight(bytes: &mut Bytes) -> u64 {
    match bytes.within(0, 4) {
        0 => u64::MAX - bytes.within(0, 2),
        1 => bytes.any_u64(),
        2 => u64::from(limit(bytes)),
        _ => bytes.within(0, 100),
    }
}

fn more_limits(policy: RateLimitPolicy, bytes: &mut Bytes) -> RateLimitPolicy {
    let kind = match bytes.within(0, 6) {
        0 => return policy.with_tpm(weight(bytes)),
        1 => return policy.with_input_tpm(weight(bytes)),
        2 => return policy.with_output_tpm(weight(bytes)),
        3 => return policy.with_rate(Rate::new(limit(bytes), length(bytes))),
        4 => TokenLimit::total,
        5 => TokenLimit::input,
        _ => TokenLimit::output,
    };
    let rule = kind(weight(bytes), length(bytes)).with_output_factor(limit(bytes));
    policy.with_token_limit(if bytes.flip() { rule.without_refunds() } else { rule })
}

/// Nothing panics or overflows, and no slot is lost, whatever calls expect and use.
fn with_tokens(policy: RateLimitPolicy, bytes: &mut Bytes) {
    let policy = (0..bytes.within(1, 5)).fold(policy, |policy, _| more_limits(policy, bytes));
    let clock = ManualClock::new();
    clock.set(Timestamp::from_nanos(moment(bytes)));
    let limiter = LimiterBuilder::from(&policy).clock(clock.clone()).build();
    let slots = limiter.available_permits();
    for _ in 0..8 {
        let (expected, used) =
            (Usage::new(weight(bytes), weight(bytes)), Usage::new(weight(bytes), weight(bytes)));
        match limiter.call().tokens(expected).try_acquire() {
            Ok(permit) => match bytes.within(0, 3) {
                0 => drop(permit),
                1 => permit.cancel(),
                2 => permit.release_slot().settle(used),
                _ => permit.settle(used),
            },
            Err(refused) => {
                assert!(!refused.to_string().is_empty());
                let over = refused.over_limit();
                assert!(over.is_none_or(|over| over.asked > over.limit && refused.is_permanent()));
            }
        }
        assert_eq!((limiter.available_permits(), limiter.waiters()), (slots, 0));
        let left = [
            limiter.remaining_tokens(),
            limiter.remaining_input_tokens(),
            limiter.remaining_output_tokens(),
        ];
        assert!(limiter.has_token_limits() || left == [u64::MAX; 3], "nothing limits it");
        clock.set(Timestamp::from_nanos(moment(bytes)));
        if bytes.is_empty() {
            break;
        }
    }
}

fn by_builder(bytes: &mut Bytes) {
    let rates: Vec<_> = (0..bytes.within(0, 3)).map(|_| (limit(bytes), length(bytes))).collect();
    let slots = if bytes.flip() { Some(count(bytes)) } else { None };
    let clock = ManualClock::new();
    clock.set(Timestamp::from_nanos(moment(bytes)));
    let mut builder = Limiter::builder().margin(length(bytes)).clock(clock.clone());
    for (limit, window) in &rates {
        builder = builder.rate(Rate::new(*limit, *window));
    }
    if let Some(slots) = slots {
        builder = builder.max_concurrent(slots);
    }
    let has_zero = rates.iter().any(|(limit, _)| *limit == 0);
    let limiter = builder.build();
    let (has_rate, has_zero_slots) = (!rates.is_empty(), slots == Some(0));
    Play { limiter, clock, has_rate, has_zero, has_zero_slots }.calls(bytes, rates.len());
}

/// A limiter, and its expected behaviour.
struct Play {
    limiter: Limiter,
    clock: ManualClock,
    /// Without a rate every call is admitted.
    has_rate: bool,
    /// A rate is zero: every call is refused permanently.
    has_zero: bool,
    has_zero_slots: bool,
}

impl Play {
    fn calls(mut self, bytes: &mut Bytes, rates: usize) {
        let limiter = self.limiter.clone();
        let mut held: Vec<LimiterPermit<'_>> = Vec::new();
        for _ in 0..12 {
            match bytes.within(0, 7) {
                0 | 1 => held.extend(self.try_acquire(&limiter)),
                2 => self.wait(bytes, None),
                3 => {
                    let timeout = length(bytes);
                    self.wait(bytes, Some(timeout));
                }
                4 => self.clock.set(Timestamp::from_nanos(moment(bytes))),
                5 => self.clock.advance(length(bytes)),
                6 => drop(held.pop()),
                _ => self.change(bytes, rates),
            }
            assert!(self.limiter.remaining() == 0 || !self.has_zero);
            assert!(self.limiter.remaining() == u32::MAX || self.has_rate, "nothing limits it");
            if bytes.is_empty() {
                break;
            }
        }
    }

    fn try_acquire<'a>(&self, limiter: &'a Limiter) -> Option<LimiterPermit<'a>> {
        match limiter.try_acquire() {
            Ok(permit) => {
                assert!(!self.has_zero && !self.has_zero_slots, "a limit of nought admits");
                Some(permit)
            }
            Err(refused) => {
                self.refused(&refused);
                assert!(!format!("{refused}").is_empty());
                exact_wait(&refused, &self.clock, || limiter.try_acquire().map(drop));
                None
            }
        }
    }

    fn refused(&self, refused: &Refused) {
        let never = self.has_zero || self.has_zero_slots;
        assert!(refused.is_permanent() || !never, "nought, and not for good: {refused}");
        let is_late = self.clock.now().as_nanos() >= LATE - LONGEST;
        assert!(!refused.is_permanent() || never || is_late || refused.limit() == Limit::Rate);
    }

    /// A call that is polled twice, at two times, and dropped.
    fn wait(&self, bytes: &mut Bytes, timeout: Option<Duration>) {
        let mut call = Task::new(Box::pin(match timeout {
            Some(timeout) => self.limiter.acquire_timeout(timeout),
            None => self.limiter.acquire(),
        }));
        for _ in 0..2 {
            match call.poll() {
                Poll::Ready(Ok(_)) => {
                    assert!(!self.has_zero && !self.has_zero_slots, "a limit of nought admits");
                    break;
                }
                Poll::Ready(Err(refused)) => {
                    self.refused(&refused);
                    break;
                }
                Poll::Pending => {
                    assert!(!self.has_zero && !self.has_zero_slots, "it never returns");
                    assert!(timeout != Some(Duration::ZERO), "it waits, without any timeout");
                    assert_eq!((self.limiter.waiters(), call.future().position()), (1, Some(0)));
                    let _ = call.future().estimated_wait();
                }
            }
            self.clock.set(Timestamp::from_nanos(moment(bytes)));
        }
        drop(call);
        assert_eq!(self.limiter.waiters(), 0);
    }

    fn change(&mut self, bytes: &mut Bytes, rates: usize) {
        let (n, limit, window) = (bytes.below(4), limit(bytes), length(bytes));
        let changed = self.limiter.set_rate_at(n, Rate::new(limit, window)).is_ok();
        assert!(changed == (n < rates) || rates == 0);
        // Whether another rate is zero is not tracked any more.
        self.has_zero = changed && limit == 0;
    }
}

/// A refused call is admitted at the time it was told, and not before.
fn exact_wait(refused: &Refused, clock: &ManualClock, again: impl Fn() -> Result<(), Refused>) {
    let now = clock.now().as_nanos();
    let Some(wait) = refused.retry_after() else { return };
    let wait = u64::try_from(wait.as_nanos()).expect("no longer than time");
    let Some(then) = now.checked_add(wait).filter(|then| *then <= LATE) else { return };
    if wait > 0 {
        clock.set(Timestamp::from_nanos(then - 1));
        let early = again().expect_err("admitted before the time told");
        assert!(early.limit() == Limit::Concurrency || early.retry_after() == Some(ns(1)));
    }
    clock.set(Timestamp::from_nanos(then));
    if let Err(late) = again() {
        assert_eq!(late.limit(), Limit::Concurrency, "refused at the time told");
    }
}

fn ns(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

// ---- the parts ---------------------------------------------------------------------------------

fn window(bytes: &mut Bytes) {
    let (margin, first) = (length(bytes), (limit(bytes), length(bytes)));
    let clock = ManualClock::new();
    let mut rates = vec![first];
    if bytes.flip() {
        rates.push((limit(bytes), length(bytes)));
    }
    let builder = SlidingWindow::builder().clock(clock.clone()).margin(margin);
    let window = rates
        .iter()
        .fold(builder, |builder, (limit, length)| builder.rate(Rate::new(*limit, *length)))
        .build();
    assert_eq!(window.rates().count(), rates.len());
    for (kept, asked) in window.rates().zip(&rates) {
        check_kept((kept.limit(), kept.window()), *asked, margin, rates.len() > 1);
    }
    for _ in 0..8 {
        clock.set(Timestamp::from_nanos(moment(bytes)));
        match window.try_acquire() {
            Ok(()) => assert!(rates.iter().all(|(limit, _)| *limit > 0), "nought admits"),
            Err(refused) => exact_wait(&refused, &clock, || window.try_acquire()),
        }
        let _ = (window.remaining(), window.granularity());
        if bytes.is_empty() {
            break;
        }
    }
}

/// Rounded up, and by very little; or as long as windows can be.
fn check_kept(kept: (u32, Duration), asked: (u32, Duration), margin: Duration, several: bool) {
    let most = if several { LARGEST_OF_SEVERAL } else { u32::MAX };
    assert_eq!(kept.0, asked.0.min(most));
    if asked.1.is_zero() || asked.0 == 0 {
        return;
    }
    let longest = Duration::from_nanos(LONGEST);
    let (kept, asked) =
        (kept.1.saturating_add(margin), asked.1.saturating_add(margin).min(longest));
    if margin > longest {
        return;
    }
    assert!(kept >= asked, "{kept:?} kept, {asked:?} asked for");
    assert!(kept.saturating_sub(asked) <= asked / (1 << 23) + Duration::from_nanos(2 * 8192));
}

/// Debt saturates at 2^63 - 1.
const MOST_OWED: usize = usize::MAX >> 1;

fn semaphore(bytes: &mut Bytes) {
    let permits = count(bytes);
    let bounded = bytes.flip();
    let semaphore =
        if bounded { Semaphore::with_max_permits(permits) } else { Semaphore::new(permits) };
    // A bound takes 31 bits.
    let largest = if bounded { u32::MAX as usize >> 1 } else { Semaphore::MAX_PERMITS };
    let mut free = permits.min(largest);
    let mut most = if bounded { free } else { Semaphore::MAX_PERMITS };
    let mut debt = 0_usize;
    for _ in 0..12 {
        let n = count(bytes);
        let there = n.min(Semaphore::MAX_PERMITS);
        match bytes.within(0, 3) {
            0 => {
                semaphore.add_permits(n);
                let paid = there.min(debt);
                debt -= paid;
                free = free.saturating_add(there - paid).min(most);
            }
            1 => {
                assert_eq!(semaphore.forget_permits(n), there.min(free));
                free -= there.min(free);
            }
            2 => {
                assert_eq!(semaphore.reduce_permits(n), there.min(free));
                if bounded {
                    // No permit is held, so there is no debt.
                    most -= there.min(most);
                } else {
                    debt = debt.saturating_add(there - there.min(free)).min(MOST_OWED);
                }
                free -= there.min(free);
            }
            _ => {
                let asked = limit(bytes);
                assert_eq!(semaphore.try_acquire_many(asked).is_ok(), asked as usize <= free);
            }
        }
        assert_eq!((semaphore.available_permits(), semaphore.permits_owed()), (free, debt));
        if bytes.is_empty() {
            break;
        }
    }
}
