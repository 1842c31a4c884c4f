//! A limiter with limits on tokens, against what it promises.

use crate::books::{Book, Call, FEW, Rule};
use crate::bytes::Bytes;
use crate::wakes::{Task, poll_in_line};
use ringgate::time::{ManualClock, Timestamp};
use ringgate::{
    Limit, Limiter, LimiterAcquireOwned, NoSuchRateError, OwnedLimiterPermit,
    OwnedLimiterReservation, Refused, Usage,
};
use std::mem;
use std::task::Poll;
use std::time::Duration;

/// The longest window, in ns.
const LONGEST: u64 = 30_000;

/// Calls of any size come, wait and give up, are settled at any use, cancelled, dropped, or release their slot first, while
/// time moves, the clock is set back a little, and limits change.
///
/// No admission exceeds a limit. What remains is the limit less what counts (where units are coarse, at most that). Without a
/// line no call is refused that would fit, and the time it is told is exact. Once all woken calls were polled, the first in
/// line does not fit. Nobody overtakes calls that would not fit beside it, as long as these and it are polled in the order in
/// which they were woken. In the end all are served.
///
/// Caught: a settlement or a change of a limit that wakes no call; a limit that is exceeded by one; a settlement at an
/// earlier time than its reservation; use beyond the estimate that counts by half; `cancel` or a dropped reservation that
/// gives back too little, or that is not settled; a limit without its factor, or with refunds that it has not; a time told
/// that is a tick too late.
pub fn tokens(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let mut scene = Scene::new(&mut bytes);
    while !bytes.is_empty() {
        scene.step(&mut bytes);
        scene.check();
    }
    scene.end();
}

struct Waiting {
    task: Task<LimiterAcquireOwned>,
    expected: Usage,
}

/// What an admitted call has in hand.
enum Held {
    Permit(OwnedLimiterPermit),
    Tokens(OwnedLimiterReservation),
}

struct Scene {
    clock: ManualClock,
    limiter: Limiter,
    now: u64,
    slots: usize,
    books: Vec<Book>,
    admitted: usize,
    in_flight: usize,
    calls: Vec<(Call, Held)>,
    line: Vec<Waiting>,
}

impl Scene {
    fn new(bytes: &mut Bytes) -> Self {
        let clock = ManualClock::new();
        // A slot that is given back wakes a call, whatever that waits for: often there are none.
        let slots = if bytes.flip() { usize::MAX } else { 1 + bytes.below(4) };
        // No look past silent calls makes up for a lost wake.
        let builder = Limiter::builder().margin(Duration::ZERO).grace(Duration::from_secs(1_000));
        let mut builder = builder.clock(clock.clone());
        if slots < usize::MAX {
            builder = builder.max_concurrent(slots);
        }
        let books: Vec<_> = (0..=bytes.below(3)).map(|_| book(bytes)).collect();
        for book in &books {
            builder = builder.token_limit(book.rule.of_limit(book.limit));
        }
        Self {
            clock,
            limiter: builder.build(),
            now: 0,
            slots,
            books,
            admitted: 0,
            in_flight: 0,
            calls: Vec::new(),
            line: Vec::new(),
        }
    }

    fn step(&mut self, bytes: &mut Bytes) {
        match bytes.within(0, 15) {
            0..=2 => self.come(bytes),
            3..=4 => self.try_acquire(bytes),
            5..=7 => self.finish(bytes),
            8 => self.poll_one(bytes),
            9 => drop(bytes.take(&mut self.line)),
            10..=12 => self.run(),
            13 => self.set_time(self.now.saturating_add(bytes.within(0, LONGEST))),
            14 => self.set_time(self.now.saturating_sub(bytes.within(0, 5_000))),
            _ => self.change(bytes),
        }
    }

    fn set_time(&mut self, now: u64) {
        self.now = now;
        self.clock.set(Timestamp::from_nanos(now));
    }

    fn change(&mut self, bytes: &mut Bytes) {
        let (n, limit) = (bytes.below(4), limit(bytes));
        let expected = if n < self.books.len() { Ok(()) } else { Err(NoSuchRateError) };
        assert_eq!(self.limiter.set_token_limit(n, limit), expected);
        if let Some(book) = self.books.get_mut(n) {
            book.set_limit(limit);
        }
    }

    // ---- calls -----------------------------------------------------------------------------------

    fn come(&mut self, bytes: &mut Bytes) {
        let expected = usage(bytes);
        let task = Task::new(Box::pin(self.limiter.call().tokens(expected).acquire_owned()));
        self.line.push(Waiting { task, expected });
        self.poll(self.line.len() - 1, false);
    }

    /// Also one that was not woken, perhaps by another task.
    fn poll_one(&mut self, bytes: &mut Bytes) {
        if !self.line.is_empty() {
            let (which, moved) = (bytes.below(self.line.len()), bytes.flip());
            self.poll(which, moved);
        }
    }

    fn poll(&mut self, which: usize, moved: bool) {
        let (got, may_pass) = poll_in_line(&mut self.line, |call| &mut call.task, which, moved);
        let Poll::Ready(got) = got else { return };
        let expected = self.line.remove(which).expected;
        match got {
            Ok(permit) => {
                let in_order =
                    self.line[..which].iter().filter(|call| !call.task.is_out_of_order());
                let is_let_through = may_pass || self.all_fit(in_order, expected);
                assert!(is_let_through, "{expected:?} overtook {which} others");
                self.admit(permit, expected);
            }
            Err(refused) => self.check_permanent(refused, expected),
        }
    }

    fn try_acquire(&mut self, bytes: &mut Bytes) {
        let expected = usage(bytes);
        match self.limiter.call().tokens(expected).try_acquire_owned() {
            Ok(permit) => {
                assert!(self.all_fit(self.line.iter(), expected), "{expected:?} overtook others");
                self.admit(permit, expected);
            }
            Err(refused) if refused.is_permanent() => self.check_permanent(refused, expected),
            Err(refused) if self.line.is_empty() => self.check_refusal(refused, expected),
            Err(_) => {}
        }
    }

    fn admit(&mut self, permit: OwnedLimiterPermit, expected: Usage) {
        let has_room = self.in_flight < self.slots && self.fits(self.now, expected);
        assert!(has_room, "{expected:?} is over a limit: {:?}", self.books);
        assert_eq!(permit.expected(), expected);
        let call = Call { number: self.admitted, at: self.now, expected };
        self.admitted += 1;
        self.in_flight += 1;
        self.books.iter_mut().for_each(|book| book.begin(call));
        self.calls.push((call, Held::Permit(permit)));
    }

    fn finish(&mut self, bytes: &mut Bytes) {
        let Some((call, held)) = bytes.take(&mut self.calls) else { return };
        let way = bytes.below(8);
        let held = match held {
            Held::Permit(permit) if way == 0 => {
                self.in_flight -= 1;
                return self.calls.push((call, Held::Tokens(permit.release_slot())));
            }
            held => held,
        };
        self.in_flight -= usize::from(matches!(held, Held::Permit(_)));
        let now = self.now;
        match way {
            0..=1 => {
                self.books.iter_mut().for_each(|book| book.settle(call, now, None));
                drop(held);
            }
            2 => {
                self.books.iter_mut().for_each(|book| book.cancel(call, now));
                match held {
                    Held::Permit(permit) => permit.cancel(),
                    Held::Tokens(tokens) => tokens.cancel(),
                }
            }
            _ => {
                let used = usage(bytes);
                self.books.iter_mut().for_each(|book| book.settle(call, now, Some(used)));
                match held {
                    Held::Permit(permit) => permit.settle(used),
                    Held::Tokens(tokens) => tokens.settle(used),
                }
            }
        }
    }

    /// Polls all woken calls, in the order in which they came, until none is woken.
    fn run(&mut self) {
        let most = 10 * (self.line.len() + 1);
        for polls in 0.. {
            let Some(which) = self.line.iter().position(|call| call.task.is_woken()) else { break };
            assert!(polls < most, "they wake one another endlessly");
            self.poll(which, false);
            self.check();
        }
        let Some(first) = self.line.first().filter(|_| self.is_exact()) else { return };
        let has_room = self.in_flight < self.slots && self.fits(self.now, first.expected);
        assert!(!has_room, "the first in line waits though it fits: {:?}", first.expected);
        assert!(!self.is_hopeless(first.expected), "the first in line waits in vain");
    }

    // ---- what is right ---------------------------------------------------------------------------

    fn is_exact(&self) -> bool {
        self.books.iter().all(|book| book.is_exact)
    }

    fn fits(&self, now: u64, expected: Usage) -> bool {
        self.books.iter().all(|book| book.fits(now, book.rule.weight(expected)))
    }

    fn is_hopeless(&self, expected: Usage) -> bool {
        self.books.iter().any(|book| book.is_too_large(book.rule.weight(expected)))
    }

    /// This call fits beside all of these. (There need be none.)
    fn all_fit<'a>(&self, ahead: impl Iterator<Item = &'a Waiting>, expected: Usage) -> bool {
        let sum = |one: Usage, other: Usage| {
            let input = one.input.saturating_add(other.input);
            Usage::new(input, one.output.saturating_add(other.output))
        };
        let ahead: Vec<_> = ahead.map(|call| call.expected).collect();
        let all = ahead.iter().copied().fold(expected, sum);
        ahead.is_empty() || self.in_flight + ahead.len() < self.slots && self.fits(self.now, all)
    }

    /// It is more than a limit. (A limit is kept in whole units.)
    fn check_permanent(&self, refused: Refused, expected: Usage) {
        assert!(refused.is_permanent() && refused.retry_after().is_none(), "{refused:?}");
        assert!(!self.is_exact() || self.is_hopeless(expected), "{refused:?}");
        let over = refused.over_limit().expect("tokens are all that can be too many");
        let told = self.books.iter().any(|book| {
            let is_limit =
                if book.is_exact { over.limit == book.limit } else { over.limit <= book.limit };
            book.rule.counts == refused.limit()
                && is_limit
                && over.asked == book.rule.weight(expected)
        });
        assert!(told && over.asked > over.limit, "{refused:?}");
    }

    /// Nobody is in line: it has no room, and fits when it is told.
    fn check_refusal(&self, refused: Refused, expected: Usage) {
        if !self.is_exact() {
            return;
        }
        assert!(!self.is_hopeless(expected), "{refused:?}");
        let is_full = self.in_flight == self.slots;
        let Some(wait) = refused.retry_after() else {
            let waits = |book: &Book| book.waits_for_others(book.rule.weight(expected));
            let is_held = self.books.iter().any(waits);
            return assert!(is_full || is_held, "no time is told: {refused:?}");
        };
        let then = self.now + u64::try_from(wait.as_nanos()).expect("windows are short");
        assert!(!self.fits(then - 1, expected), "{refused:?} is too late: {:?}", self.books);
        assert!(self.fits(then, expected), "{refused:?} is too early: {:?}", self.books);
    }

    fn check(&self) {
        assert_eq!(self.limiter.waiters(), self.line.len());
        let used = if self.slots == usize::MAX { 0 } else { self.in_flight };
        assert_eq!(self.limiter.available_permits(), self.slots - used);
        let kinds = [
            (Limit::Tokens, self.limiter.remaining_tokens()),
            (Limit::InputTokens, self.limiter.remaining_input_tokens()),
            (Limit::OutputTokens, self.limiter.remaining_output_tokens()),
        ];
        for (kind, remaining) in kinds {
            let books = || self.books.iter().filter(|book| book.rule.counts == kind);
            let left = books().map(|book| book.left(self.now)).min().unwrap_or(u64::MAX);
            let is_right = if books().all(|book| book.is_exact) {
                remaining == left
            } else {
                remaining <= left
            };
            assert!(is_right, "{remaining} of {left} are left: {:?}", self.books);
        }
    }

    /// Calls end and time moves until all in line are served.
    fn end(&mut self) {
        for _ in 0..=self.line.len() {
            for (call, held) in mem::take(&mut self.calls) {
                self.in_flight -= usize::from(matches!(held, Held::Permit(_)));
                self.books.iter_mut().for_each(|book| book.settle(call, self.now, None));
                drop(held);
            }
            self.check();
            self.set_time(self.now.saturating_add(10 * LONGEST));
            self.run();
        }
        assert!(self.line.is_empty(), "a call was not served");
        for (call, held) in mem::take(&mut self.calls) {
            self.in_flight -= usize::from(matches!(held, Held::Permit(_)));
            self.books.iter_mut().for_each(|book| book.settle(call, self.now, None));
            drop(held);
        }
        self.set_time(self.now.saturating_add(10 * LONGEST));
        self.check();
    }
}

fn book(bytes: &mut Bytes) -> Book {
    let counts = [Limit::Tokens, Limit::InputTokens, Limit::OutputTokens][bytes.below(3)];
    let (window, without_refunds) = (bytes.within(1, LONGEST), bytes.byte() < 64);
    let factor = if bytes.flip() { 1 } else { bytes.below(5).try_into().unwrap_or(1) };
    Book::new(Rule { counts, window, without_refunds, factor }, limit(bytes))
}

/// Mostly few.
fn limit(bytes: &mut Bytes) -> u64 {
    match bytes.byte() {
        ..16 => bytes.any_u64(),
        16..24 => FEW << bytes.below(40),
        24..32 => 0,
        few => bytes.within(0, (u64::from(few) * 4).min(FEW)),
    }
}

fn usage(bytes: &mut Bytes) -> Usage {
    let part = |bytes: &mut Bytes| match bytes.byte() {
        ..4 => bytes.any_u64(),
        4..8 => FEW << bytes.below(40),
        8..32 => 0,
        few => u64::from(few),
    };
    Usage::new(part(bytes), part(bytes))
}
