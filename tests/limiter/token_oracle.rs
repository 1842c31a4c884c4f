//! The limiter with tokens against a list of what counts when: programs of calls with classes, sizes and timeouts, of
//! settlements, cancellations and hang-ups, of steps of time, changes of limits, pauses, stops and slow starts, on a clock that the
//! test sets.
//!
//! Only woken futures are polled, and the grace is so long that no look past silent calls makes up for a lost wake. After
//! each step: no limit is exceeded by an admission; once all woken calls were polled, the first does not wait while there is
//! room, and nobody waits beyond its timeout. Tokens may leave a window later by its granularity.

use crate::common::random::cases;
use crate::common::{Dice, Wakes, poll_with};
use crate::oracle::hand::Hand;
use ringgate::{
    Limit, Limiter, LimiterAcquireOwned, OwnedLimiterPermit, OwnedLimiterReservation, Priority,
    Rate, Refused, StopReason, TokenLimit, TokenWindow, Usage,
};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;
const MINUTE: Duration = Duration::from_secs(60);
const CLASSES: [Priority; 3] = [Priority::Low, Priority::Normal, Priority::High];
const SLOTS: usize = 3;
const RATE: (usize, Duration) = (12, Duration::from_secs(30));

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap()
}

// ---- the model -----------------------------------------------------------------------------------

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counting {
    Total,
    /// Without refunds.
    TotalKept,
    Input,
    /// As it is produced.
    Output,
}

/// One limit, and what counts in it.
#[derive(Debug)]
struct Book {
    counting: Counting,
    limit: u64,
    window: Duration,
    granularity: Duration,
    /// Stamp, tokens, and the call that may still be settled.
    entries: Vec<(u64, u64, u64)>,
    held: u64,
}

impl Book {
    fn new(counting: Counting, limit: u64, window: Duration) -> Self {
        let granularity = TokenWindow::new(limit, window).granularity();
        Self { counting, limit, window, granularity, entries: Vec::new(), held: 0 }
    }

    fn for_the_limiter(&self) -> TokenLimit {
        match self.counting {
            Counting::Total => TokenLimit::total(self.limit, self.window),
            Counting::TotalKept => TokenLimit::total(self.limit, self.window).without_refunds(),
            Counting::Input => TokenLimit::input(self.limit, self.window),
            Counting::Output => TokenLimit::output(self.limit, self.window),
        }
    }

    fn of(&self, usage: Usage) -> u64 {
        match self.counting {
            Counting::Total | Counting::TotalKept => usage.total(),
            Counting::Input => usage.input,
            Counting::Output => usage.output,
        }
    }

    /// What counts where tokens stay so much longer than the window.
    fn counted(&self, now: u64, longer: Duration) -> u64 {
        let counts = nanos(self.window + longer);
        let entries = self.entries.iter().filter(|(stamp, ..)| stamp + counts > now);
        self.held + entries.map(|(_, tokens, _)| tokens).sum::<u64>()
    }

    fn fits(&self, now: u64, longer: Duration, expected: Usage) -> bool {
        let weight = self.of(expected);
        weight == 0 || self.counted(now, longer) + weight <= self.limit
    }

    fn begin(&mut self, call: u64, now: u64, expected: Usage) {
        match self.counting {
            Counting::Output => self.held += self.of(expected),
            _ => self.entries.push((now, self.of(expected), call)),
        }
    }

    /// `None`: it was never sent.
    fn settle(&mut self, call: u64, now: u64, expected: Usage, used: Option<Usage>) {
        let reserved = self.of(expected);
        let used = match used.map(|used| self.of(used)) {
            Some(used) if self.counting == Counting::TotalKept => used.max(reserved),
            used => used.unwrap_or(0),
        };
        if self.counting == Counting::Output {
            self.held -= reserved;
            self.entries.push((now, used, call));
            return;
        }
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.2 == call) {
            entry.1 = used.min(reserved);
        }
        self.entries.push((now, used.saturating_sub(reserved), call));
    }
}

// ---- programs ------------------------------------------------------------------------------------

struct Waiting {
    call: u64,
    class: Priority,
    expected: Usage,
    deadline: Option<u64>,
    future: Pin<Box<LimiterAcquireOwned>>,
    wakes: Arc<Wakes>,
    seen: usize,
}

/// What a call that began has still in hand.
enum Hold {
    Permit(OwnedLimiterPermit),
    Tokens(OwnedLimiterReservation),
}

struct Program {
    dice: Dice,
    limiter: Limiter,
    hand: Hand,
    now: u64,
    books: Vec<Book>,
    stamps: Vec<u64>,
    in_flight: usize,
    calls: u64,
    classes: u64,
    /// Woken calls are polled in the order in which they came. Else in any.
    in_order: bool,
    waiting: Vec<Waiting>,
    holds: Vec<(u64, Usage, Hold)>,
    kind: Kind,
    /// When the last pause ends.
    paused_until: u64,
    /// It refuses all.
    is_stop: bool,
    /// When the slow start begins, and how long it is.
    ramp: Option<(u64, u64)>,
    /// How many have gone at this moment of it.
    together: (u64, u32),
    /// Admissions, those of calls that had to wait, refusals, pauses.
    tally: [u64; 4],
}

/// What programs have beside the limits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Pauses,
    /// Pauses, stops and slow starts.
    Stops,
}

impl Program {
    fn new(seed: u64, kind: Kind) -> Self {
        let mut dice = Dice(seed);
        let long = MINUTE * 7;
        let books = match dice.below(5) {
            0 => vec![Book::new(Counting::Total, 1_000, MINUTE)],
            1 => vec![
                Book::new(Counting::Total, 1_000, MINUTE),
                Book::new(Counting::Total, 4_000, long),
            ],
            2 => vec![
                Book::new(Counting::TotalKept, 1_000, MINUTE),
                Book::new(Counting::Input, 700, MINUTE),
            ],
            3 => vec![Book::new(Counting::Output, 800, MINUTE)],
            _ => vec![
                Book::new(Counting::Input, 1_000, MINUTE),
                Book::new(Counting::Output, 600, MINUTE),
                Book::new(Counting::Output, 2_000, long),
            ],
        };
        let hand = Hand::new(SECOND, u64::MAX / 4);
        let builder = Limiter::builder().margin(Duration::ZERO).clock(hand.clock.clone());
        let mut builder = builder.grace(Duration::from_secs(3600)).max_concurrent(SLOTS);
        builder = builder.rate(Rate::new(u32::try_from(RATE.0).unwrap(), RATE.1));
        for book in &books {
            builder = builder.token_limit(book.for_the_limiter());
        }
        let (classes, in_order) = (1 + 2 * dice.below(2), dice.below(3) > 0);
        Self {
            dice,
            limiter: builder.build(),
            hand,
            now: SECOND,
            books,
            stamps: Vec::new(),
            in_flight: 0,
            calls: 0,
            classes,
            in_order,
            waiting: Vec::new(),
            holds: Vec::new(),
            kind,
            paused_until: 0,
            is_stop: false,
            ramp: None,
            together: (0, 0),
            tally: [0; 4],
        }
    }

    // ---- what the model says -------------------------------------------------------------------

    fn rate_has_room(&self) -> bool {
        let nth = self.stamps.len().checked_sub(RATE.0);
        nth.is_none_or(|nth| self.stamps[nth] + nanos(RATE.1) <= self.now)
    }

    /// Whether a call may go: `exactly`, or also by a limiter that counts as long as it is allowed to.
    fn fits(&self, expected: Usage, exactly: bool) -> bool {
        let fits = |book: &Book| {
            let longer = if exactly { Duration::ZERO } else { book.granularity };
            book.fits(self.now, longer, expected)
        };
        let is_open = self.now >= self.paused_until && self.rate_has_room();
        is_open && self.in_flight < SLOTS && self.books.iter().all(fits)
    }

    fn is_stopped(&self) -> bool {
        self.is_stop && self.now < self.paused_until
    }

    fn is_ramp(&self) -> bool {
        self.ramp.is_some_and(|(start, length)| self.now < start.saturating_add(length))
    }

    /// Nobody waits for that.
    fn is_hopeless(&self, expected: Usage) -> bool {
        self.is_stopped() || self.is_too_large(expected)
    }

    fn is_too_large(&self, expected: Usage) -> bool {
        self.books.iter().any(|book| book.of(expected) > book.limit)
    }

    fn all_fit_with(&self, ahead: &[Waiting], expected: Usage) -> bool {
        let sum = |usage: Usage, more: Usage| {
            Usage::new(usage.input + more.input, usage.output + more.output)
        };
        let all = ahead.iter().map(|waiting| waiting.expected).fold(expected, sum);
        self.books.iter().all(|book| book.fits(self.now, Duration::ZERO, all))
    }

    // ---- steps -----------------------------------------------------------------------------------

    fn admit(&mut self, call: u64, expected: Usage, permit: OwnedLimiterPermit) {
        assert!(self.fits(expected, true), "over a limit by {expected:?}: {:?}", self.books);
        self.stamps.push(self.now);
        self.in_flight += 1;
        if self.is_ramp() {
            let (at, went) = self.together;
            self.together = (self.now, if at == self.now { went + 1 } else { 1 });
            assert!(self.together.1 <= 2, "{:?} they went together in a slow start", self.ramp);
        }
        for book in &mut self.books {
            book.begin(call, self.now, expected);
        }
        self.holds.push((call, expected, Hold::Permit(permit)));
        self.tally[0] += 1;
    }

    fn usage(&mut self) -> Usage {
        let most = [30, 120, 500, 1_100][usize::try_from(self.dice.below(4)).unwrap()];
        let (input, output) = (self.dice.below(most), self.dice.below(most));
        match self.dice.below(6) {
            0 => Usage::new(input, 0),
            1 => Usage::new(0, output),
            2 => Usage::default(),
            _ => Usage::new(input, output / 2),
        }
    }

    fn class(&mut self) -> Priority {
        let class = if self.classes == 1 { 1 } else { self.dice.below(self.classes) };
        CLASSES[usize::try_from(class).unwrap()]
    }

    fn try_acquire(&mut self) {
        let expected = self.usage();
        let class = self.class();
        let tried = self.limiter.call().priority(class).tokens(expected).try_acquire_owned();
        self.calls += 1;
        match tried {
            Ok(permit) => self.admit(self.calls, expected, permit),
            Err(refused) => {
                self.tally[2] += 1;
                if self.waiting.is_empty() {
                    self.check_refusal(expected, refused);
                }
            }
        }
    }

    /// Nobody is in line, so the limits refused it, and tell exactly how long.
    fn check_refusal(&mut self, expected: Usage, refused: Refused) {
        assert!(
            self.is_ramp() || !self.fits(expected, false),
            "refused although there was room: {refused:?}"
        );
        let was_stopped = self.is_stopped();
        let is_endless = was_stopped && self.paused_until == u64::MAX;
        let is_permanent = is_endless || !self.is_stopped() && self.is_too_large(expected);
        assert_eq!(refused.is_permanent(), is_permanent, "{refused:?}");
        assert_eq!(matches!(refused.limit(), Limit::Stopped(_)), self.is_stopped(), "{refused:?}");
        let tries = |program: &Self| program.limiter.call().tokens(expected).try_acquire_owned();
        let Some(wait) = refused.retry_after() else {
            let is_held = |book: &Book| book.held + book.of(expected) > book.limit;
            let is_open = self.in_flight == SLOTS || self.books.iter().any(is_held);
            assert!(refused.is_permanent() || is_open, "no time is told: {refused:?}");
            return;
        };
        assert!(refused.limit() != Limit::Concurrency && !wait.is_zero());
        // Until the end of time.
        if wait > Duration::from_secs(1 << 30) {
            assert_eq!((refused.limit(), self.paused_until), (Limit::Paused, u64::MAX));
            return;
        }
        self.pass(nanos(wait) - 1);
        assert!(tries(self).is_err(), "it went before {wait:?} were over");
        self.pass(1);
        match tries(self) {
            Ok(permit) => {
                self.calls += 1;
                self.admit(self.calls, expected, permit);
            }
            // The slots are no matter of time.
            // A stop hides what else there is.
            Err(refused) => assert!(
                refused.limit() == Limit::Concurrency || was_stopped && !self.fits(expected, false),
                "after {wait:?}: {refused:?}"
            ),
        }
    }

    fn join(&mut self) {
        let (expected, class) = (self.usage(), self.class());
        let timeout = (self.dice.below(3) == 0).then(|| Duration::from_secs(self.dice.below(90)));
        let call = self.limiter.call().priority(class).tokens(expected);
        let call = timeout.map_or(call, |timeout| call.timeout(timeout));
        self.calls += 1;
        self.waiting.push(Waiting {
            call: self.calls,
            class,
            expected,
            deadline: timeout.map(|timeout| self.now + nanos(timeout)),
            future: Box::pin(call.acquire_owned()),
            wakes: Wakes::new(),
            seen: 0,
        });
        self.poll(self.waiting.len() - 1, true);
    }

    fn poll(&mut self, index: usize, is_new: bool) {
        let waiting = &mut self.waiting[index];
        waiting.seen = waiting.wakes.count();
        let waker = Waker::from(Arc::clone(&waiting.wakes));
        let Poll::Ready(decided) = poll_with(waiting.future.as_mut(), &waker) else { return };
        let Waiting { call, class, expected, deadline, .. } = self.waiting.remove(index);
        match decided {
            Ok(permit) => {
                let overtakes = self.waiting[..index].iter().any(|ahead| ahead.class == class);
                if overtakes && self.in_order {
                    // It tries without a turn as it joins, and as its time is over.
                    let tries = is_new || deadline.is_some_and(|deadline| deadline <= self.now);
                    let is_let_through =
                        tries && self.all_fit_with(&self.waiting[..index], expected);
                    assert!(is_let_through, "{call} with {expected:?} overtook others");
                }
                self.tally[1] += u64::from(!is_new);
                self.admit(call, expected, permit);
            }
            Err(refused) => {
                self.tally[2] += 1;
                let is_over = deadline.is_some_and(|deadline| deadline <= self.now);
                let is_early = deadline.is_some() && is_new;
                let is_stopped = self.is_stopped() && matches!(refused.limit(), Limit::Stopped(_));
                let is_hopeless = refused.is_permanent() && self.is_hopeless(expected);
                let is_right = is_over || is_early || is_hopeless || is_stopped;
                assert!(is_right, "{refused:?} for {expected:?}");
                if is_over && self.waiting.is_empty() && !self.is_ramp() {
                    assert!(!self.fits(expected, false), "refused although there was room");
                }
            }
        }
    }

    /// Polls all that are woken.
    fn run(&mut self) {
        for _ in 0..10_000 {
            let woken = |waiting: &Waiting| waiting.wakes.count() > waiting.seen;
            let all: Vec<usize> =
                (0..self.waiting.len()).filter(|n| woken(&self.waiting[*n])).collect();
            let Some(first) = all.first() else { return self.check_that_nobody_waits_in_vain() };
            let any = all[usize::try_from(self.dice.below(all.len() as u64)).unwrap()];
            self.poll(if self.in_order { *first } else { any }, false);
        }
        panic!("it does not come to rest");
    }

    fn check_that_nobody_waits_in_vain(&self) {
        let first_of = |class: Priority| self.waiting.iter().find(|it| it.class == class);
        // Those that were given turns together wait again in the order in which they looked, and any may be the first.
        let firsts: Vec<&Waiting> = if self.in_order {
            CLASSES.into_iter().filter_map(first_of).collect()
        } else {
            self.waiting.iter().collect()
        };
        let can_go = |it: &&Waiting| {
            !self.is_ramp() && self.fits(it.expected, false) || self.is_hopeless(it.expected)
        };
        let all_can = !firsts.is_empty() && firsts.iter().all(can_go);
        assert!(!all_can, "{:?} can go, and sleeps", firsts[0].expected);
        for Waiting { deadline, .. } in &self.waiting {
            assert!(deadline.is_none_or(|deadline| deadline > self.now), "its timeout is over");
        }
    }

    fn end_one(&mut self) {
        let Some(count) = self.holds.len().checked_sub(1) else { return };
        let index = usize::try_from(self.dice.below(count as u64 + 1)).unwrap();
        let (call, expected, hold) = self.holds.remove(index);
        let way = self.dice.below(6);
        let used = match way {
            0 => Usage::default(),
            1 => expected,
            2 => Usage::new(expected.input + self.dice.below(200), self.dice.below(300)),
            _ => {
                let (input, output) = (expected.input + 1, expected.output + 1);
                Usage::new(self.dice.below(input), self.dice.below(output))
            }
        };
        self.in_flight -= usize::from(matches!(hold, Hold::Permit(_)));
        if way == 5
            && let Hold::Permit(permit) = hold
        {
            self.holds.push((call, expected, Hold::Tokens(permit.release_slot())));
            return;
        }
        for book in &mut self.books {
            book.settle(call, self.now, expected, (way > 0).then_some(used));
        }
        match (hold, way) {
            (Hold::Permit(permit), 0) => permit.cancel(),
            (Hold::Tokens(tokens), 0) => tokens.cancel(),
            (Hold::Permit(permit), 1) => drop(permit),
            (Hold::Tokens(tokens), 1) => drop(tokens),
            (Hold::Permit(permit), _) => permit.settle(used),
            (Hold::Tokens(tokens), _) => tokens.settle(used),
        }
    }

    fn set_limit(&mut self) {
        let n = usize::try_from(self.dice.below(self.books.len() as u64)).unwrap();
        let limit = 300 + self.dice.below(900);
        self.books[n].limit = limit;
        self.limiter.set_token_limit(n, limit).unwrap();
    }

    /// At times until it is ended.
    fn pause(&mut self) {
        let length = match self.dice.below(4) {
            0 => Duration::MAX,
            _ => Duration::from_nanos(self.dice.below(50 * SECOND)),
        };
        let until = self.now.saturating_add(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX));
        let was_ramp = self.is_ramp();
        let was_paused = self.now < self.paused_until;
        self.is_stop = self.is_stopped();
        self.ramp = self.ramp.filter(|_| was_ramp || was_paused);
        self.paused_until = self.paused_until.max(until);
        self.tally[3] += 1;
        match self.dice.below(if self.kind == Kind::Stops { 3 } else { 1 }) {
            0 => self.limiter.pause(length),
            1 => {
                let over = self.dice.below(40 * SECOND);
                self.limiter.pause_then_ramp(length, Duration::from_nanos(over));
                self.paused_until = self.paused_until.max(self.now + 1);
                self.ramp = Some((until.max(self.now + 1), over)).filter(|_| !self.is_stop);
            }
            _ => {
                if !length.is_zero() {
                    (self.is_stop, self.ramp) = (true, None);
                }
                let length = (length < Duration::MAX).then_some(length);
                self.limiter.stop(StopReason::Other, length);
            }
        }
        if was_ramp {
            // The time of the next one may be later.
            let told = self.limiter.paused_for().map_or(0, nanos);
            let until = self.now.saturating_add(told);
            assert!(until >= self.paused_until.min(self.now.saturating_add(u64::MAX / 2)));
            self.paused_until = self.paused_until.max(until);
        }
        if let Some((start, _)) = &mut self.ramp
            && self.paused_until < u64::MAX
        {
            // It begins anew when the pause is over.
            *start = self.paused_until.max(*start);
        }
        self.check_paused_for();
    }

    fn check_paused_for(&self) {
        let left = self.paused_until.saturating_sub(self.now);
        let told = self.limiter.paused_for().map_or(0, nanos);
        assert_eq!(told, left);
        assert_eq!(self.limiter.stopped().is_some(), self.is_stopped());
    }

    fn resume(&mut self) {
        (self.paused_until, self.is_stop, self.ramp) = (0, false, None);
        self.together = (0, 0);
        if self.kind == Kind::Stops && self.dice.below(2) == 0 {
            let over = self.dice.below(40 * SECOND);
            self.limiter.resume_over(Duration::from_nanos(over));
            self.ramp = Some((self.now, over));
        } else {
            self.limiter.resume();
        }
    }

    fn leave(&mut self) {
        if let Some(count) = self.waiting.len().checked_sub(1) {
            let index = usize::try_from(self.dice.below(count as u64 + 1)).unwrap();
            drop(self.waiting.remove(index));
        }
    }

    fn pass(&mut self, nanos: u64) {
        self.now += nanos;
        self.hand.set(self.now);
    }

    fn step(&mut self) {
        match self.dice.below(if self.kind == Kind::Plain { 24 } else { 26 }) {
            0..3 => self.try_acquire(),
            3..9 => self.join(),
            9..14 => self.end_one(),
            14..17 => self.run(),
            17..21 => {
                let most = [SECOND / 10, 3 * SECOND, 20 * SECOND, 70 * SECOND];
                let most = most[usize::try_from(self.dice.below(4)).unwrap()];
                let step = self.dice.below(most);
                self.pass(step);
            }
            21 => self.set_limit(),
            22 | 23 => self.leave(),
            24 => self.pause(),
            _ => self.resume(),
        }
    }

    /// Once all calls have ended, all that wait go, or are refused, as time passes.
    fn end(&mut self) {
        self.kind = Kind::Plain;
        self.resume();
        for _ in 0..30 * self.waiting.len() + 60 {
            while !self.holds.is_empty() {
                self.end_one();
            }
            self.run();
            if self.waiting.is_empty() && self.holds.is_empty() {
                break;
            }
            self.pass(20 * SECOND);
        }
    }
}

/// Broken by: `Queued::go` without the look at those in front; turns for some of those that wait late; a look past silent
/// calls that uses its turn at once; a call that waits again behind one in front, as if that one watched;
/// `look_for_tokens_again` that wakes nobody; `HeldTokens::check` that leaves out what is held; `Scale::new` with a window
/// of two ticks less; `Budgets::room` by the limit that holds now.
#[test]
fn programs_of_calls_with_tokens_do_what_a_list_of_them_allows() {
    let [_, _, _, pauses] = run_programs(0..u64::from(cases(2000).cases), Kind::Plain);
    assert_eq!(pauses, 0);
}

/// Nobody goes in a pause; when it is over, or ended, those in line go in order, and nobody sleeps on. Broken by: `Core::resume`
/// that wakes nobody; `Core::stamp` and `peek` without `check_pause`.
#[test]
fn programs_with_pauses_do_so_as_well() {
    let [.., pauses] = run_programs(0..u64::from(cases(1000).cases), Kind::Pauses);
    assert!(pauses > 1_000, "{pauses} pauses");
}

/// All are told of a stop at once, and nobody goes; in a slow start no three go together, and in the end nobody sleeps on. Broken by:
/// `Core::stop` that wakes nobody; `pass` that claims nothing; a call that goes and looks for no other one.
#[test]
fn programs_with_stops_and_slow_starts_do_so_as_well() {
    let [.., pauses] = run_programs(0..u64::from(cases(1000).cases), Kind::Stops);
    assert!(pauses > 1_000, "{pauses} pauses");
}

/// The one before it had gone with the last slot. Then one was freed, and it was taken for awake because it stood in front. Broken
/// by: `Core::turns_for` that leaves nothing for later if there is room without a slot.
#[test]
fn a_call_that_came_first_while_no_slot_was_free_slept_on() {
    run_program(23_926, Kind::Pauses);
}

/// Admissions, those of calls that had to wait, refusals, pauses.
fn run_programs(seeds: Range<u64>, kind: Kind) -> [u64; 4] {
    let mut tally = [0; 4];
    for seed in seeds {
        println!("program {seed}");
        let of_one = run_program(seed, kind);
        (0..4).for_each(|n| tally[n] += of_one[n]);
    }
    let [admitted, waited, refused, pauses] = tally;
    println!("{admitted} admitted, {waited} after a wait, {refused} refused, {pauses} pauses");
    assert!(tally[..3].iter().all(|count| *count > 1_000));
    tally
}

fn run_program(seed: u64, kind: Kind) -> [u64; 4] {
    let mut program = Program::new(seed, kind);
    for _ in 0..150 {
        program.step();
    }
    program.end();
    let left = program.waiting.len();
    assert_eq!((left, program.limiter.waiters()), (0, 0), "they wait for ever");
    assert_eq!(program.limiter.available_permits(), SLOTS);
    program.tally
}

// ---- found by these programs and by the server's log -----------------------------------------------

fn by_hand(limit: u64) -> (Limiter, Hand) {
    let hand = Hand::new(SECOND, u64::MAX / 4);
    let builder = Limiter::builder().margin(Duration::ZERO).clock(hand.clock.clone());
    (builder.tokens(limit, MINUTE).build(), hand)
}

type Call = Pin<Box<LimiterAcquireOwned>>;

fn call(limiter: &Limiter, input: u64) -> Call {
    Box::pin(limiter.call().input_tokens(input).acquire_owned())
}

/// Each settlement at one moment gave a turn to one call more. So several small calls came to wait in front, and the next time
/// the second of them was taken for older than the large one. Broken by: a turn for each change while turns are out.
#[test]
fn several_settlements_at_one_moment_let_no_small_call_pass_a_large_one() {
    let (limiter, _hand) = by_hand(1_000);
    let permits: Vec<_> =
        (0..6).map(|_| limiter.call().input_tokens(100).try_acquire_owned().unwrap()).collect();
    let mut permits = permits.into_iter();
    let mut calls = [call(&limiter, 900), call(&limiter, 10), call(&limiter, 10)];
    assert!(calls.iter_mut().all(|call| poll_with(call.as_mut(), Waker::noop()).is_pending()));
    for settlements in [3, 2] {
        for permit in permits.by_ref().take(settlements) {
            permit.settle(Usage::new(99, 0));
        }
        for (n, call) in calls.iter_mut().enumerate() {
            let polled = poll_with(call.as_mut(), Waker::noop());
            assert!(polled.is_pending(), "{n} passed after {settlements} settlements");
        }
    }
}

/// What part of a limit a call needs was told by the limit as it joined. After a lower one the room seemed to be enough for it,
/// so it got a turn, found no room, and gave the turn to itself, without end. Broken by: `Budgets::room` by the
/// limit that holds now.
#[test]
fn a_call_in_line_sleeps_after_the_limit_was_lowered() {
    let (limiter, mut hand) = by_hand(1_000);
    drop(limiter.call().input_tokens(79).try_acquire_owned().unwrap());
    let tokens = limiter.call().input_tokens(900).try_acquire_owned().unwrap();
    let (mut waits, wakes) = (call(&limiter, 412), Wakes::new());
    let mut poll = || {
        let seen = wakes.count();
        let polled = poll_with(waits.as_mut(), &Waker::from(Arc::clone(&wakes)));
        (polled.is_ready(), wakes.count() > seen)
    };
    poll();
    limiter.set_token_limit(0, 478).unwrap();
    tokens.cancel();
    let rest = (0..5).map(|_| poll()).last();
    assert_eq!(rest, Some((false, false)), "it wakes itself without end");
    hand.set(62 * SECOND);
    assert!(poll().0);
}
