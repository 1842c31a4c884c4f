//! A limiter whose limits are leased, against a line of what was granted.

use crate::bytes::Bytes;
use crate::wakes::{Task, poll_in_line};
use ringgate::time::{ManualClock, Timestamp};
use ringgate::{
    Lessee, Limit, Limiter, LimiterAcquireOwned, OwnedLimiterPermit, Rate, Refused, TokenLimit,
    Usage,
};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

/// Amounts above count as that.
const MOST: u64 = (1 << 40) - 1;
/// How many leases are left at most.
const LIVE: usize = 7;
/// For how many it is known what comes back.
const KEPT: u64 = 512;
/// Of the second newest lease of a call at most so much comes back.
const MOST_BEFORE: u64 = (1 << 24) - 1;
const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3_600 * SECOND;
/// Time goes on to here: sums do not saturate yet.
const FAR: u64 = u64::MAX / 4;
/// All windows are shorter than an hour.
const WINDOW: Duration = Duration::from_mins(1);

/// Leases of any amounts and ends are granted, end, and are taken back, while calls of any size come, wait, give up and are settled at
/// any use, slots come and go, all are refused, and the clock moves in both directions.
///
/// No call has more than was granted, and none after the end of what it has. All of each lease was taken, is left or has come back,
/// once. Without a line no call is refused that would fit. Tasks are polled only if they are woken: then the first in line does not fit,
/// and whoever waits for a change has been told of each.
///
/// Caught: `grant` that wakes nobody, or leaves the oldest lease as it is; a skip that is not told; a settlement that gives all back to the
/// newest lease; `note_tried` that does not ring; a join that does not; `Lessee::grant` that lets a jump of the clock pass; `set_slots`
/// that looks for no call; a lease that holds at its end.
pub fn leases(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let Some(mut scene) = Scene::new(&mut bytes) else { return };
    while !bytes.is_empty() {
        scene.step(&mut bytes);
        scene.hear_if_told();
        scene.run();
        scene.check();
    }
    scene.end();
}

/// All that was granted of one limit lies on one line, lease after lease.
#[derive(Debug)]
struct Book {
    limit: u64,
    counts: Limit,
    is_held: bool,
    /// Where each lease ends on the line, and when.
    leases: Vec<(u64, u64)>,
    spent: u64,
    back: BTreeMap<u64, u64>,
    lapsed: u64,
    released: u64,
    used: u64,
    mark: u64,
    is_marked: bool,
}

/// What a call has of a line.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    from: u64,
    to: u64,
}

impl Book {
    fn weight(&self, usage: Usage) -> u64 {
        match self.counts {
            Limit::Rate => 1,
            Limit::InputTokens => usage.input,
            Limit::OutputTokens => usage.output,
            _ => usage.total(),
        }
    }

    fn cap(&self) -> u64 {
        self.leases.last().map_or(0, |lease| lease.0)
    }

    fn begins(&self, now: u64) -> u64 {
        let ended = self.leases.iter().filter(|(_, until)| *until <= now);
        ended.map(|(cap, _)| *cap).max().unwrap_or(0).max(self.spent)
    }

    fn left(&self, now: u64) -> u64 {
        self.cap() - self.begins(now)
    }

    /// By lease, the oldest first: numbers from 1.
    fn parts(&self, part: Part) -> Vec<(u64, u64)> {
        let (mut parts, mut begin) = (Vec::new(), 0);
        for (number, (cap, _)) in (1..).zip(&self.leases) {
            let amount = part.to.min(*cap).saturating_sub(part.from.max(begin));
            begin = *cap;
            if amount > 0 {
                parts.push((number, amount));
            }
        }
        parts
    }

    fn give_back(&mut self, number: u64, amount: u64) {
        if amount > 0 && self.leases.len() as u64 - number < KEPT {
            *self.back.entry(number).or_default() += amount;
        }
    }

    /// All before that which was not taken has not been used.
    fn skip(&mut self, to: u64) {
        let from = self.spent;
        if to <= from {
            return;
        }
        self.spent = to;
        if self.is_held {
            self.lapsed += to - from;
        } else {
            for (number, amount) in self.parts(Part { from, to }) {
                self.give_back(number, amount);
            }
        }
    }

    fn grant(&mut self, amount: u64, until: u64) {
        if let Some(oldest) = self.leases.len().checked_sub(LIVE) {
            self.skip(self.leases[oldest].0);
        }
        self.leases.push((self.cap() + amount, until));
        self.back.remove(&(self.leases.len() as u64).wrapping_sub(KEPT));
        self.is_marked = self.mark > 0;
    }

    fn take(&mut self, now: u64, amount: u64) -> Part {
        if amount == 0 {
            return Part::default();
        }
        let from = self.begins(now);
        self.skip(from);
        self.spent = from + amount;
        assert!(self.spent <= self.cap(), "{amount} taken of {self:?}");
        Part { from, to: self.spent }
    }

    fn settle(&mut self, part: Part, actual: u64) {
        let amount = part.to - part.from;
        if self.is_held {
            self.released += amount;
            self.used = self.used.saturating_add(actual);
            return;
        }
        self.used = self.used.saturating_add(actual.saturating_sub(amount));
        let mut rest = amount.saturating_sub(actual);
        // Of a third lease nothing comes back.
        for (nth, (number, amount)) in self.parts(part).into_iter().rev().take(2).enumerate() {
            let most = if nth == 0 { amount } else { amount.min(MOST_BEFORE) };
            let back = rest.min(most);
            // What is more than that of the newest is of the one before.
            rest = rest.saturating_sub(amount);
            self.give_back(number, back);
        }
    }

    fn held(&self) -> u64 {
        if self.is_held { self.cap() - self.lapsed - self.released } else { 0 }
    }
}

struct Waiting {
    task: Task<LimiterAcquireOwned>,
    expected: Usage,
    /// It is refused then.
    until: u64,
}

type Hearing = Task<dyn Future<Output = Lessee>>;

struct Scene {
    clock: ManualClock,
    limiter: Limiter,
    /// If it does not wait for a change.
    lessee: Option<Lessee>,
    hearing: Option<Hearing>,
    /// The lessee is to be told.
    is_told: bool,
    now: u64,
    /// Deadlines move back with a clock that jumps back.
    has_jumped: bool,
    latest: u64,
    /// The newest that the lessee has seen since a jump.
    seen: u64,
    books: Vec<Book>,
    most_slots: usize,
    slots: usize,
    refuses: bool,
    calls: Vec<(OwnedLimiterPermit, Vec<Part>)>,
    line: Vec<Waiting>,
}

impl Scene {
    fn new(bytes: &mut Bytes) -> Option<Self> {
        let clock = ManualClock::new();
        // No look past silent calls makes up for a lost wake.
        let builder = Limiter::builder().margin(Duration::ZERO).grace(Duration::from_mins(150));
        let mut builder = builder.clock(clock.clone());
        let most_slots = if bytes.flip() { usize::MAX } else { 1 + bytes.below(4) };
        if most_slots < usize::MAX {
            builder = builder.max_concurrent(most_slots);
        }
        if bytes.flip() {
            builder = builder.rate(Rate::new(bytes.byte().into(), WINDOW));
        }
        for _ in 0..bytes.below(4) {
            let make = [TokenLimit::total, TokenLimit::input, TokenLimit::output][bytes.below(3)];
            builder = builder.token_limit(make(amount(bytes), WINDOW));
        }
        let (limiter, lessee) = builder.build_leased().ok()?;
        let book = |limit: &ringgate::LeasedLimit| Book {
            limit: limit.limit(),
            counts: limit.kind(),
            is_held: limit.counts_as_produced(),
            leases: Vec::new(),
            spent: 0,
            back: BTreeMap::new(),
            lapsed: 0,
            released: 0,
            used: 0,
            mark: 0,
            is_marked: false,
        };
        let books = lessee.limits().iter().map(book).collect();
        Some(Self {
            clock,
            limiter,
            lessee: Some(lessee),
            hearing: None,
            is_told: false,
            now: 0,
            has_jumped: false,
            latest: 0,
            seen: 0,
            books,
            most_slots,
            slots: if most_slots == usize::MAX { usize::MAX } else { 0 },
            refuses: false,
            calls: Vec::new(),
            line: Vec::new(),
        })
    }

    fn step(&mut self, bytes: &mut Bytes) {
        match bytes.within(0, 19) {
            0..=2 => self.come(bytes),
            3..=4 => self.try_acquire(bytes),
            5..=7 => self.finish(bytes),
            8 if !self.line.is_empty() => {
                let (which, moved) = (bytes.below(self.line.len()), bytes.flip());
                self.poll(which, moved);
            }
            9 => drop(bytes.take(&mut self.line)),
            10..=12 => self.grant(bytes),
            13 => self.take_back(bytes),
            14 => self.set_time(self.now.saturating_add(bytes.within(0, 5_000))),
            15 => match bytes.below(4) {
                0 => self.set_time(self.now.saturating_add(bytes.any_u64())),
                1 => self.set_time(self.now.saturating_sub(bytes.any_u64())),
                _ => self.set_time(self.now.saturating_sub(bytes.within(0, 2 * SECOND))),
            },
            16 => self.set_slots(bytes),
            17 => self.refuse_all(bytes.flip()),
            18 => self.set_mark(bytes),
            _ => self.hear(),
        }
    }

    fn set_time(&mut self, now: u64) {
        self.now = now.min(FAR);
        self.latest = self.latest.max(self.now);
        self.has_jumped |= self.latest - self.now > SECOND;
        self.clock.set(Timestamp::from_nanos(self.now));
    }

    // ---- the lessee ------------------------------------------------------------------------------

    /// It waits for a change, if there is none yet.
    fn hear(&mut self) {
        let Some(mut lessee) = self.lessee.take() else { return };
        self.notice_jump();
        let is_low =
            self.books.iter().any(|book| book.is_marked && book.left(self.now) < book.mark);
        let changed: Pin<Box<dyn Future<Output = Lessee>>> = Box::pin(async move {
            lessee.changed().await;
            lessee
        });
        let mut hearing = Task::new(changed);
        match hearing.poll() {
            Poll::Ready(lessee) => self.heard(lessee),
            Poll::Pending => {
                assert!(!self.is_told && !is_low, "the lessee is not told");
                self.hearing = Some(hearing);
            }
        }
    }

    fn heard(&mut self, lessee: Lessee) {
        (self.lessee, self.is_told) = (Some(lessee), false);
        self.notice_jump();
        let now = self.now;
        for book in &mut self.books {
            book.is_marked &= book.left(now) >= book.mark;
        }
    }

    /// If there is something to hear it has been woken.
    fn hear_if_told(&mut self) {
        let Some(hearing) = &mut self.hearing else { return };
        assert!(!self.is_told || hearing.is_woken(), "the lessee is not woken");
        if hearing.is_woken() {
            self.notice_jump();
            if let Poll::Ready(lessee) = self.hearing.as_mut().unwrap().poll() {
                self.hearing = None;
                self.heard(lessee);
            } else {
                assert!(!self.is_told, "the lessee is woken, and not told");
            }
        }
    }

    /// The lessee, which hears that it was called if it waits.
    fn lessee(&mut self) -> &mut Lessee {
        if self.lessee.is_none() {
            // A pause that is over at once is a change like any other.
            self.limiter.resume();
            self.is_told = true;
            self.hear_if_told();
        }
        self.lessee.as_mut().expect("it was told")
    }

    /// After a jump of the clock all leases end. Returns whether it has jumped.
    fn notice_jump(&mut self) -> bool {
        let now = self.now;
        let has_jumped = self.seen.saturating_sub(now) > SECOND;
        if has_jumped {
            self.books.iter_mut().for_each(|book| book.skip(book.cap()));
        }
        self.seen = if has_jumped { now } else { self.seen.max(now) };
        has_jumped
    }

    fn grant(&mut self, bytes: &mut Bytes) {
        let (n, now) = (bytes.below(self.books.len() + 1), self.now);
        let until = if bytes.byte() < 240 { now + bytes.within(0, 9_000) } else { bytes.any_u64() };
        let (many, amount) = (if bytes.byte() < 250 { 1 } else { 300 }, amount(bytes));
        for _ in 0..many {
            let number = self.lessee().grant(n, amount, Timestamp::from_nanos(until));
            let has_jumped = self.notice_jump();
            let until = until.min(if has_jumped { now } else { now + HOUR });
            let granted = self.books.get_mut(n).filter(|book| amount.min(book.limit) > 0);
            let granted = granted.map(|book| {
                book.grant(amount.min(book.limit), until);
                book.leases.len() as u64
            });
            assert_eq!(number, granted);
        }
    }

    fn take_back(&mut self, bytes: &mut Bytes) {
        let (n, now, amount) = (bytes.below(self.books.len() + 1), self.now, amount(bytes));
        let reclaims = bytes.flip();
        let most = bytes.below(9);
        self.lessee();
        self.notice_jump();
        if n == self.books.len() {
            assert_eq!(self.lessee().reclaim(n, amount), 0);
            return assert_eq!(self.lessee().take_unused(n, most), []);
        }
        if reclaims {
            let (begins, left) = (self.books[n].begins(now), self.books[n].left(now));
            assert_eq!(self.lessee().reclaim(n, amount), amount.min(left));
            self.books[n].skip(begins + amount.min(left));
        } else {
            self.tell(n, most);
        }
    }

    fn tell(&mut self, n: usize, most: usize) {
        let (now, told) = (self.now, self.lessee().take_unused(n, most));
        let book = &mut self.books[n];
        book.skip(book.begins(now));
        let expected: Vec<_> =
            book.back.iter().take(most).map(|(k, v)| (*k, (*v).min(MOST))).collect();
        assert_eq!(told, expected, "{n}: {book:?}");
        book.back.retain(|number, _| !told.iter().any(|(one, _)| one == number));
    }

    fn set_slots(&mut self, bytes: &mut Bytes) {
        let slots = bytes.below(6);
        self.lessee().set_slots(slots);
        if self.most_slots < usize::MAX {
            self.slots = slots.min(self.most_slots);
        }
    }

    fn refuse_all(&mut self, refuses: bool) {
        self.lessee().refuse_all(refuses);
        self.refuses = refuses;
    }

    fn set_mark(&mut self, bytes: &mut Bytes) {
        let (n, mark) = (bytes.below(self.books.len() + 1), amount(bytes));
        self.lessee().set_mark(n, mark);
        if let Some(book) = self.books.get_mut(n) {
            (book.mark, book.is_marked) = (mark, mark > 0);
        }
    }

    // ---- calls -----------------------------------------------------------------------------------

    fn come(&mut self, bytes: &mut Bytes) {
        let expected = usage(bytes);
        let timeout = if bytes.byte() < 192 { HOUR * 9 } else { bytes.within(0, 9_000) };
        let call = self.limiter.call().tokens(expected).timeout(Duration::from_nanos(timeout));
        let task = Task::new(Box::pin(call.acquire_owned()));
        self.line.push(Waiting { task, expected, until: self.now + timeout });
        let before = self.line.len();
        self.poll(before - 1, false);
        self.is_told |= self.line.len() == before;
    }

    fn poll(&mut self, which: usize, moved: bool) {
        let (got, may_pass) = poll_in_line(&mut self.line, |call| &mut call.task, which, moved);
        let Poll::Ready(got) = got else { return };
        let Waiting { expected, until, .. } = self.line.remove(which);
        match got {
            Ok(permit) => {
                let in_order =
                    self.line[..which].iter().filter(|call| !call.task.is_out_of_order());
                let is_let_through = may_pass || self.all_fit(in_order, expected);
                assert!(is_let_through, "{expected:?} overtook {which} others");
                self.admit(permit, expected);
            }
            Err(refused) if refused.is_permanent() => self.check_permanent(refused, expected),
            Err(refused) => {
                let is_late = self.now >= until || self.has_jumped;
                assert!(is_late, "refused before its time: {refused:?}");
                self.is_told |= self.is_lack(refused);
            }
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
            Err(refused) => {
                assert!(!self.line.is_empty() || !self.fits(expected), "{refused:?}, and it fits");
                self.is_told |= self.is_lack(refused);
            }
        }
    }

    fn is_lack(&self, refused: Refused) -> bool {
        let is_slot = refused.limit() == Limit::Concurrency;
        !matches!(refused.limit(), Limit::Paused | Limit::Queue)
            && (!is_slot || self.slots < self.most_slots)
    }

    fn admit(&mut self, permit: OwnedLimiterPermit, expected: Usage) {
        assert!(self.fits(expected), "{expected:?} is too much: {:?}", self.books);
        let now = self.now;
        let part = |book: &mut Book| book.take(now, book.weight(expected));
        let parts = self.books.iter_mut().map(part).collect();
        self.calls.push((permit, parts));
        let is_low = |book: &Book| book.is_marked && book.left(now) < book.mark;
        let takes_of = |book: &&Book| book.weight(expected) > 0;
        self.is_told |= self.books.iter().filter(takes_of).any(is_low);
    }

    fn finish(&mut self, bytes: &mut Bytes) {
        let Some((permit, parts)) = bytes.take(&mut self.calls) else { return };
        let used = match bytes.below(4) {
            0 => None,
            1 => Some(Usage::new(0, 0)),
            _ => Some(usage(bytes)),
        };
        let cancels = bytes.byte() < 64;
        for (book, part) in self.books.iter_mut().zip(parts) {
            let reserved = part.to - part.from;
            let actual = match used {
                _ if cancels => 0,
                Some(used) => book.weight(used),
                None => reserved,
            };
            book.settle(part, actual);
        }
        match used {
            _ if cancels => permit.cancel(),
            Some(used) => permit.settle(used),
            None => drop(permit),
        }
    }

    /// Polls all woken calls, in the order in which they came, until none is woken.
    fn run(&mut self) {
        let most = 10 * (self.line.len() + 1);
        for polls in 0.. {
            let Some(which) = self.line.iter().position(|call| call.task.is_woken()) else { break };
            assert!(polls < most, "they wake one another endlessly");
            self.poll(which, false);
            self.hear_if_told();
        }
        let Some(first) = self.line.first() else { return };
        assert!(!self.refuses, "a call waits though all are refused");
        // Nothing wakes it if a jump of the clock brings leases back.
        let is_back = self.now < self.seen;
        assert!(is_back || !self.fits(first.expected), "the first in line waits though it fits");
    }

    // ---- what is right ---------------------------------------------------------------------------

    fn fits(&self, expected: Usage) -> bool {
        let fits = |book: &Book| book.weight(expected) <= book.left(self.now);
        !self.refuses && self.calls.len() < self.slots && self.books.iter().all(fits)
    }

    /// This call fits beside all of these. (There need be none.)
    fn all_fit<'a>(&self, ahead: impl Iterator<Item = &'a Waiting>, expected: Usage) -> bool {
        let ahead: Vec<_> = ahead.map(|call| call.expected).collect();
        let fits = |book: &Book| {
            let weights = ahead.iter().map(|expected| book.weight(*expected));
            let all = weights.fold(book.weight(expected), u64::saturating_add);
            all <= book.left(self.now)
        };
        ahead.is_empty()
            || self.calls.len() + ahead.len() < self.slots && self.books.iter().all(fits)
    }

    fn check_permanent(&self, refused: Refused, expected: Usage) {
        if refused.limit() == Limit::Lease {
            return assert!(self.refuses, "{refused:?}");
        }
        if refused.limit() == Limit::Rate {
            // A rate of zero.
            return assert!(
                self.books.iter().any(|book| book.counts == Limit::Rate && book.limit == 0)
            );
        }
        let over = refused.over_limit().expect("nothing else is permanent");
        let is_over = |book: &Book| {
            (book.counts, book.limit) == (refused.limit(), over.limit)
                && book.weight(expected) == over.asked
        };
        assert!(over.asked > over.limit && self.books.iter().any(is_over), "{refused:?}");
    }

    fn check(&mut self) {
        assert_eq!(self.limiter.waiters(), self.line.len());
        let has_slots = self.most_slots < usize::MAX;
        let Some(lessee) = &mut self.lessee else { return };
        assert_eq!(lessee.in_flight(), if has_slots { self.calls.len() } else { 0 });
        for (n, book) in self.books.iter_mut().enumerate() {
            assert_eq!(lessee.left(n), book.left(self.now), "{n}: {book:?}");
            assert_eq!(lessee.used(n), book.used, "{n}: {book:?}");
            if book.is_held {
                book.skip(book.begins(self.now));
            }
            assert_eq!(lessee.held(n), book.held(), "{n}: {book:?}");
            let in_line: u64 = self.line.iter().map(|call| book.weight(call.expected)).sum();
            let demand = lessee.demand(n);
            assert!(
                demand.in_line == in_line && demand.first <= in_line,
                "{demand:?} of {in_line}"
            );
        }
    }

    /// All calls end, and what they need is granted, until none is in line. Then all is accounted for.
    fn end(&mut self) {
        self.refuse_all(false);
        let most = self.most_slots;
        self.lessee().set_slots(most);
        self.slots = most;
        for _ in 0..=self.line.len() {
            for (permit, parts) in std::mem::take(&mut self.calls) {
                let settle = |(book, part): (&mut Book, Part)| book.settle(part, 0);
                self.books.iter_mut().zip(parts).for_each(settle);
                permit.cancel();
            }
            for n in 0..self.books.len() {
                let (until, limit) = (self.now + HOUR, self.books[n].limit);
                let number = self.lessee().grant(n, limit, Timestamp::from_nanos(until));
                let until = if self.notice_jump() { self.now } else { until };
                if number.is_some() {
                    self.books[n].grant(limit, until);
                }
            }
            self.run();
        }
        assert!(self.line.is_empty(), "a call was not served");
        self.calls.clear();
        self.now += 2 * HOUR;
        self.clock.set(Timestamp::from_nanos(self.now));
        self.lessee();
        self.notice_jump();
        for n in 0..self.books.len() {
            assert_eq!(self.lessee().left(n), 0);
            self.tell(n, usize::MAX);
            assert_eq!(self.lessee().take_unused(n, usize::MAX), []);
        }
    }
}

/// Mostly few.
fn amount(bytes: &mut Bytes) -> u64 {
    match bytes.byte() {
        ..8 => bytes.any_u64(),
        8..24 => 1 << bytes.below(45),
        few => u64::from(few) / 2,
    }
}

fn usage(bytes: &mut Bytes) -> Usage {
    let part = |bytes: &mut Bytes| match bytes.byte() {
        ..4 => bytes.any_u64(),
        4..12 => 1 << bytes.below(42),
        12..40 => 0,
        few => u64::from(few) / 8,
    };
    Usage::new(part(bytes), part(bytes))
}
