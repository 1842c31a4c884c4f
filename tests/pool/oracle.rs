//! The provider pool against a sequential model: any policy, and providers that think, stream, fail,
//! panic or fall silent at any point, with callers that read, stop reading or leave at any point.
//!
//! After every step: answers and events are the provider's, unchanged and in order; refusals are
//! typed; slots, stamps and calls in line match `ringgate_model::limiter`, which also checks that each call may
//! get what it got; the provider's future or stream is dropped before its slot is free; nothing leaks. Of tokens as many
//! are left as the books say: of calls that run, and of those that ended, failed, panicked or were dropped, whatever
//! their events had said by then. (No call waits for tokens here; the limiter's oracles have that.)

use crate::books::{self, Books, Rule};
use crate::common::random::cases;
use crate::common::{Wakes, poll_with};
use crate::failing::{Error, panics};
use crate::refusal::refusal;
use async_trait::async_trait;
use futures_util::Stream;
use proptest::prelude::*;
use ringgate::time::{ManualClock, Timestamp};
use ringgate::{
    EventStream, Limiter, LimiterBuilder, Provider, ProviderPool, RateLimitPolicy, Usage,
};
use ringgate_model::limiter::{Id, Model, Rates};
use std::fmt;
use std::future::{Future, poll_fn};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;

// ---- what is tried -------------------------------------------------------------------------------

type Pick = usize;

/// How a provider handles one request.
#[derive(Debug, Clone)]
struct Script {
    expected: Usage,
    /// The number of polls before it answers.
    thinks: usize,
    answer: Answer,
    items: Vec<Item>,
    end: End,
}

#[derive(Debug, Clone, Copy)]
enum Answer {
    Stream,
    Fails,
    Panics,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Item {
    Event,
    /// An error in the stream, which the pool treats as any event.
    Error,
    /// An event that says what was used so far.
    Says(Usage),
    /// An event of which `usage` panics.
    Breaks,
    NotYet,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Ends,
    Panics,
    Silent,
}

#[derive(Debug, Clone)]
enum Op {
    /// Through the pool's own `stream`, or the trait's.
    Call {
        pool: Pick,
        by_trait: bool,
        polled: bool,
        script: Script,
    },
    Poll(Pick),
    /// Polls all woken calls, until none is woken.
    Run,
    DropCall(Pick),
    Read(Pick),
    ReadAfterTheEnd(Pick),
    DropStream(Pick),
    Seconds(u64),
    /// To the instant at which the rate admits one more after `ahead` others, or 1 ns before.
    ToTurn {
        ahead: usize,
        early: bool,
    },
}

/// A policy as its documentation describes it.
#[derive(Debug, Clone)]
struct Policy {
    kind: Kind,
    max_concurrent: Option<usize>,
    margin: Option<u64>,
    tokens: Vec<Rule>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Rpm(u32),
    PerSecond(u32),
    Unlimited,
}

#[derive(Clone)]
struct Program {
    policy: Policy,
    ops: Vec<Op>,
}

/// A line for each operation.
impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}", self.policy)?;
        self.ops.iter().try_for_each(|op| writeln!(f, "    {op:?}"))
    }
}

fn scripts() -> impl Strategy<Value = Script> {
    let thinks = prop_oneof![3 => Just(0), 1 => 1..=2_usize];
    let answer = prop_oneof![
        6 => Just(Answer::Stream),
        1 => Just(Answer::Fails),
        1 => Just(Answer::Panics),
        1 => Just(Answer::Never),
    ];
    let item = prop_oneof![
        12 => Just(Item::Event),
        9 => books::said().prop_map(Item::Says),
        3 => Just(Item::Error),
        1 => Just(Item::Breaks),
        3 => Just(Item::NotYet),
    ];
    let end = prop_oneof![4 => Just(End::Ends), 1 => Just(End::Panics), 1 => Just(End::Silent)];
    (books::expected(), thinks, answer, prop::collection::vec(item, 0..5), end).prop_map(
        |(expected, thinks, answer, items, end)| Script { expected, thinks, answer, items, end },
    )
}

fn policies() -> impl Strategy<Value = Policy> {
    let limit = || prop_oneof![8 => 1..=4_u32, 2 => 5..=30_u32, 1 => Just(0)];
    let kind = prop_oneof![
        6 => limit().prop_map(Kind::Rpm),
        1 => Just(Kind::Rpm(u32::MAX)),
        4 => limit().prop_map(Kind::PerSecond),
        2 => Just(Kind::Unlimited),
    ];
    let most = prop_oneof![6 => (1..=3_usize).prop_map(Some), 2 => Just(None), 1 => Just(Some(0))];
    let margin = prop_oneof![2 => Just(None), 1 => (0..=3_000_000_000_u64).prop_map(Some)];
    (kind, most, margin, books::rules()).prop_map(|(kind, max_concurrent, margin, tokens)| Policy {
        kind,
        max_concurrent,
        margin,
        tokens,
    })
}

fn op() -> impl Strategy<Value = Op> {
    let call = (0..2_usize, any::<bool>(), any::<bool>(), scripts());
    prop_oneof![
        12 => call.prop_map(|(pool, by_trait, polled, script)| Op::Call { pool, by_trait, polled, script }),
        8 => (0..9_usize).prop_map(Op::Poll),
        4 => Just(Op::Run),
        4 => (0..9_usize).prop_map(Op::DropCall),
        14 => (0..9_usize).prop_map(Op::Read),
        2 => (0..9_usize).prop_map(Op::ReadAfterTheEnd),
        4 => (0..9_usize).prop_map(Op::DropStream),
        3 => (0..=70_u64).prop_map(Op::Seconds),
        5 => (0..3_usize, any::<bool>()).prop_map(|(ahead, early)| Op::ToTurn { ahead, early }),
    ]
}

fn programs() -> impl Strategy<Value = Program> {
    let ops = prop::collection::vec(op(), 1..70);
    (policies(), ops).prop_map(|(policy, ops)| Program { policy, ops })
}

impl Policy {
    fn made(&self) -> RateLimitPolicy {
        let policy = match self.kind {
            Kind::Rpm(limit) => RateLimitPolicy::rpm(limit),
            Kind::PerSecond(limit) => RateLimitPolicy::per_second(limit),
            Kind::Unlimited => RateLimitPolicy::unlimited(),
        };
        let most = self.max_concurrent.unwrap_or(policy.max_concurrent);
        let policy = policy.with_max_concurrent(most);
        let with = |policy: RateLimitPolicy, rule: &Rule| policy.with_token_limit(rule.made());
        let policy = self.tokens.iter().fold(policy, with);
        self.margin
            .map_or(policy.clone(), |margin| policy.with_margin(Duration::from_nanos(margin)))
    }

    /// The model of this policy.
    fn model(&self) -> Model {
        let (rule, margin, sixth) = match self.kind {
            Kind::Rpm(u32::MAX) => (None, 0, (u32::MAX / 6) as usize),
            Kind::Unlimited => (None, 0, usize::MAX),
            Kind::Rpm(limit) => {
                (Some((limit, 60 * SECOND)), SECOND / 4, (limit as usize / 6).max(1))
            }
            Kind::PerSecond(limit) => (Some((limit, SECOND)), SECOND / 40, limit as usize),
        };
        let mut model = Model::new(0);
        let slots = Some(self.max_concurrent.unwrap_or(sixth)).filter(|most| *most < usize::MAX);
        model.limiter(Rates::new(rule.as_slice(), self.margin.unwrap_or(margin)), slots, None);
        model
    }
}

// ---- a provider in the test's hand ---------------------------------------------------------------

/// Counted by its clones.
type Token = Arc<()>;

struct Request {
    call: Id,
    script: Script,
    token: Token,
}

struct Event {
    call: Id,
    number: usize,
    item: Item,
    _token: Token,
}

struct Fake {
    limiter: Limiter,
    /// Requests that arrived.
    arrived: AtomicUsize,
    /// The free slots when a future or stream of the provider was dropped.
    gone: Sender<(Id, usize)>,
}

/// Dropped with the provider's future, or with its stream if there is one.
struct AtItsEnd {
    call: Id,
    limiter: Limiter,
    gone: Sender<(Id, usize)>,
}

impl Drop for AtItsEnd {
    fn drop(&mut self) {
        // After a failure the receiver is gone.
        let _ = self.gone.send((self.call, self.limiter.available_permits()));
    }
}

/// Pending permanently, or for `polls` polls, each of which wakes itself.
async fn think(mut polls: usize, for_ever: bool) {
    poll_fn(|cx| {
        if polls == 0 {
            return if for_ever { Poll::Pending } else { Poll::Ready(()) };
        }
        polls -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[async_trait]
impl Provider for Fake {
    type Request = Request;
    type Event = Event;
    type Error = Error;

    fn name(&self) -> &'static str {
        "fake"
    }

    async fn stream(&self, request: Request) -> Result<EventStream<Event>, Error> {
        self.arrived.fetch_add(1, Ordering::SeqCst);
        let (call, limiter, gone) = (request.call, self.limiter.clone(), self.gone.clone());
        let at_its_end = AtItsEnd { call, limiter, gone };
        let Script { thinks, answer, .. } = request.script;
        think(thinks, matches!(answer, Answer::Never)).await;
        match answer {
            Answer::Fails => Err(Error::Failed),
            Answer::Panics => panics(),
            Answer::Stream | Answer::Never => {
                Ok(Box::pin(Events { request, next: 0, number: 0, _at_its_end: at_its_end }))
            }
        }
    }

    fn estimate(&self, request: &Request) -> Usage {
        request.script.expected
    }

    fn usage(&self, event: &Event) -> Option<Usage> {
        match event.item {
            Item::Says(used) => Some(used),
            Item::Breaks => panics(),
            Item::Event | Item::Error | Item::NotYet => None,
        }
    }
}

struct Events {
    request: Request,
    next: usize,
    number: usize,
    _at_its_end: AtItsEnd,
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Event>> {
        let Some(item) = self.request.script.items.get(self.next).copied() else {
            return match self.request.script.end {
                End::Ends => Poll::Ready(None),
                End::Panics => panics(),
                End::Silent => Poll::Pending,
            };
        };
        self.next += 1;
        if item == Item::NotYet {
            return Poll::Pending;
        }
        self.number += 1;
        Poll::Ready(Some(Event {
            call: self.request.call,
            number: self.number,
            item,
            _token: Arc::clone(&self.request.token),
        }))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.number, Some(self.request.script.items.len()))
    }
}

// ---- the two side by side ------------------------------------------------------------------------

type Pool = ProviderPool<Fake>;
type Calling<'a> = Pin<Box<dyn Future<Output = Result<EventStream<Event>, Error>> + 'a>>;
type Checked = Result<(), TestCaseError>;

struct Call<'a> {
    future: Calling<'a>,
    id: Id,
    wakes: Arc<Wakes>,
    /// Wakes before its last poll.
    seen: usize,
    /// Wakes that the model knows.
    told: usize,
    /// How many more polls the provider needs; `None` before it has the request.
    thinks: Option<usize>,
    script: Script,
}

impl Call<'_> {
    fn was_woken(&self) -> bool {
        self.wakes.count() > self.seen
    }
}

struct Reading {
    stream: EventStream<Event>,
    id: Id,
    script: Script,
    next: usize,
    number: usize,
}

/// The result of polling a call.
#[derive(Debug, PartialEq)]
enum Outcome {
    Pending,
    Stream,
    Error(Error),
    Panic,
}

/// The result of polling a stream. An event has a call and a number.
#[derive(Debug, PartialEq)]
enum Next {
    Pending,
    Event(Id, usize, Item),
    End,
    Panic,
}

impl Reading {
    /// `is_asked`: the pool asks for the usage of each event.
    fn expected(&mut self, is_asked: bool) -> Next {
        let Some(item) = self.script.items.get(self.next).copied() else {
            return match self.script.end {
                End::Ends => Next::End,
                End::Panics => Next::Panic,
                End::Silent => Next::Pending,
            };
        };
        self.next += 1;
        if item == Item::NotYet {
            return Next::Pending;
        }
        if item == Item::Breaks && is_asked {
            return Next::Panic;
        }
        self.number += 1;
        Next::Event(self.id, self.number, item)
    }
}

struct Scene<'a> {
    pools: &'a [Pool],
    fake: &'a Fake,
    clock: ManualClock,
    gone: Receiver<(Id, usize)>,
    token: Token,
    model: Model,
    books: Books,
    arrived: usize,
    calls: Vec<Call<'a>>,
    streams: Vec<Reading>,
    ended: Vec<EventStream<Event>>,
}

/// Turns a panic of the provider into an error.
fn caught<R>(poll: impl FnOnce() -> R) -> Result<R, ()> {
    catch_unwind(AssertUnwindSafe(poll)).map_err(drop)
}

impl<'a> Scene<'a> {
    fn step(&mut self, op: &Op) -> Checked {
        match op {
            Op::Call { pool, by_trait, polled, script } => {
                self.call(&self.pools[*pool], *by_trait, script);
                if *polled {
                    self.poll(self.calls.len() - 1)?;
                }
            }
            Op::Poll(pick) => {
                if let Some(index) = pick.checked_rem(self.calls.len()) {
                    self.poll(index)?;
                }
            }
            Op::Run => self.run()?,
            Op::DropCall(pick) => {
                if let Some(index) = pick.checked_rem(self.calls.len()) {
                    self.drop_call(index)?;
                }
            }
            Op::Read(pick) => {
                if let Some(index) = pick.checked_rem(self.streams.len()) {
                    self.read(index)?;
                }
            }
            Op::ReadAfterTheEnd(pick) => {
                if let Some(index) = pick.checked_rem(self.ended.len()) {
                    let next = poll_next(&mut self.ended[index]);
                    prop_assert!(matches!(next, Poll::Ready(None)), "events after the end");
                    prop_assert_eq!(self.ended[index].size_hint(), (0, Some(0)));
                }
            }
            Op::DropStream(pick) => {
                if let Some(index) = pick.checked_rem(self.streams.len()) {
                    let Reading { stream, id, .. } = self.streams.remove(index);
                    drop(stream);
                    self.ends(id, false)?;
                }
            }
            Op::Seconds(seconds) => self.set_time(self.model.now + seconds * SECOND),
            Op::ToTurn { ahead, early } => {
                let now = self.model.now;
                let wait = self.model.limiters[0].rates.wait(*ahead, now).unwrap_or(0);
                self.set_time(now + wait.saturating_sub(u64::from(*early)));
            }
        }
        self.check()
    }

    fn set_time(&mut self, now: u64) {
        self.tell_wakes(false);
        self.clock.set(Timestamp::from_nanos(now));
        self.model.set_time(now);
        self.tell_wakes(true);
    }

    fn call(&mut self, pool: &'a Pool, by_trait: bool, script: &Script) {
        let id = self.model.call(Some(0), 0, None);
        let request = Request { call: id, script: script.clone(), token: Arc::clone(&self.token) };
        let future: Calling<'a> = if by_trait {
            Provider::stream(pool, request)
        } else {
            Box::pin(async { Ok(Box::pin(pool.stream(request).await?) as EventStream<Event>) })
        };
        let (wakes, script) = (Wakes::new(), script.clone());
        self.calls.push(Call { future, id, wakes, seen: 0, told: 0, thinks: None, script });
    }

    /// Tells the model who was woken in line.
    fn tell_wakes(&mut self, by_timer: bool) {
        for call in self.calls.iter_mut().filter(|call| call.thinks.is_none()) {
            let count = call.wakes.count();
            if mem::replace(&mut call.told, count) < count {
                self.model.woken(call.id, by_timer);
            }
        }
    }

    /// Tells the model what a call in line got.
    fn tell_answer(&mut self, call: &mut Call<'_>, outcome: &Outcome) -> Checked {
        let was_sent = self.fake.arrived.load(Ordering::SeqCst) > self.arrived;
        let answer = match outcome {
            Outcome::Error(Error::Refused(refused)) => Poll::Ready(Err(refusal(*refused))),
            _ if was_sent => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        };
        if was_sent {
            call.thinks = Some(call.script.thinks);
            self.arrived += 1;
            self.books.begin(call.id, call.script.expected, self.model.now);
        }
        self.model.polled(call.id, answer, None).map_err(TestCaseError::fail)
    }

    /// What a call gets from its provider.
    fn expected(call: &mut Call<'_>) -> Outcome {
        match (&mut call.thinks, call.script.answer) {
            (Some(thinks @ 1..), _) => {
                *thinks -= 1;
                Outcome::Pending
            }
            (_, Answer::Stream) => Outcome::Stream,
            (_, Answer::Never) => Outcome::Pending,
            (_, Answer::Fails) => Outcome::Error(Error::Failed),
            (_, Answer::Panics) => Outcome::Panic,
        }
    }

    fn poll(&mut self, index: usize) -> Checked {
        let mut call = self.calls.remove(index);
        call.seen = call.wakes.count();
        call.told = call.seen;
        let waker = Waker::from(Arc::clone(&call.wakes));
        let mut stream = None;
        let outcome = match caught(|| poll_with(call.future.as_mut(), &waker)) {
            Err(()) => Outcome::Panic,
            Ok(Poll::Pending) => Outcome::Pending,
            Ok(Poll::Ready(Err(error))) => Outcome::Error(error),
            Ok(Poll::Ready(Ok(events))) => {
                stream = Some(events);
                Outcome::Stream
            }
        };
        let thinks = call.thinks;
        self.tell_wakes(false);
        if thinks.is_none() {
            self.tell_answer(&mut call, &outcome)?;
        }
        if call.thinks.is_some() {
            prop_assert_eq!(&outcome, &Self::expected(&mut call), "call {}", call.id);
        } else {
            let is_known = matches!(outcome, Outcome::Pending | Outcome::Error(Error::Refused(_)));
            prop_assert!(is_known, "call {} got {:?} before it was sent", call.id, outcome);
        }
        match outcome {
            Outcome::Pending => {
                let asked =
                    call.thinks.is_some_and(|left| left < thinks.unwrap_or(call.script.thinks));
                prop_assert!(call.was_woken() || !asked, "the provider's wake was lost");
                self.calls.insert(index, call);
            }
            Outcome::Stream => {
                let Call { id, script, .. } = call;
                let stream = stream.expect("there is one");
                self.streams.push(Reading { stream, id, script, next: 0, number: 0 });
            }
            Outcome::Error(Error::Refused(_)) => {}
            // The call's own future still exists.
            Outcome::Error(Error::Failed) | Outcome::Panic => self.ends(call.id, false)?,
        }
        Ok(())
    }

    fn run(&mut self) -> Checked {
        for _ in 0..1000 {
            let Some(index) = self.calls.iter().position(Call::was_woken) else {
                return self.model.check_rest().map_err(TestCaseError::fail);
            };
            self.poll(index)?;
            self.check()?;
        }
        Err(TestCaseError::fail("they wake one another endlessly"))
    }

    fn drop_call(&mut self, index: usize) -> Checked {
        let Call { future, id, thinks, .. } = self.calls.remove(index);
        drop(future);
        if thinks.is_some() {
            return self.ends(id, false);
        }
        self.model.drop_call(id);
        self.tell_wakes(false);
        Ok(())
    }

    fn read(&mut self, index: usize) -> Checked {
        let reading = &mut self.streams[index];
        let hint = (reading.number, Some(reading.script.items.len()));
        prop_assert_eq!(reading.stream.size_hint(), hint);
        let next = match caught(|| poll_next(&mut reading.stream)) {
            Err(()) => Next::Panic,
            Ok(Poll::Pending) => Next::Pending,
            Ok(Poll::Ready(None)) => Next::End,
            Ok(Poll::Ready(Some(event))) => Next::Event(event.call, event.number, event.item),
        };
        prop_assert_eq!(&next, &reading.expected(self.books.has_limits()));
        if let Next::Event(id, _, Item::Says(used)) = next {
            self.books.says(id, used);
        }
        if matches!(next, Next::End | Next::Panic) {
            let Reading { stream, id, .. } = self.streams.remove(index);
            self.ended.push(stream);
            self.ends(id, next == Next::End)?;
        }
        Ok(())
    }

    /// A sent call is over, at the end of its stream or not. The provider's part was dropped first, while the slot was
    /// still held.
    fn ends(&mut self, id: Id, at_the_end: bool) -> Checked {
        prop_assert_eq!(self.gone.try_recv(), Ok((id, self.model.available(0))));
        self.model.end(0);
        self.books.end(id, at_the_end, self.model.now);
        self.tell_wakes(false);
        Ok(())
    }

    fn check(&self) -> Checked {
        let limiter = self.pools[0].limiter();
        prop_assert_eq!(limiter.remaining(), self.model.remaining(0), "stamps");
        prop_assert_eq!(limiter.available_permits(), self.model.available(0), "free slots");
        prop_assert_eq!(limiter.waiters(), self.model.limiters[0].line.len(), "waiting");
        self.books.check(limiter, self.model.now)?;
        prop_assert_eq!(self.fake.arrived.load(Ordering::SeqCst), self.arrived, "sent");
        prop_assert!(self.gone.try_recv().is_err(), "the provider's part went too early");
        // The test's own token, and one for each request.
        let requests = self.calls.len() + self.streams.len();
        prop_assert_eq!(Arc::strong_count(&self.token), 1 + requests, "requests kept or lost");
        Ok(())
    }

    fn finish(mut self) -> Checked {
        while !self.calls.is_empty() {
            self.step(&Op::DropCall(0))?;
        }
        while !self.streams.is_empty() {
            self.step(&Op::DropStream(0))?;
        }
        self.step(&Op::Seconds(3600))
    }
}

fn poll_next(stream: &mut EventStream<Event>) -> Poll<Option<Event>> {
    stream.as_mut().poll_next(&mut Context::from_waker(Waker::noop()))
}

proptest! {
    #![proptest_config(cases(1000))]

    /// Broken by: `PoolStream` dropping the permit first, at its end or where it is dropped; keeping
    /// both after a panic or the end; a permit that is forgotten where the provider fails, or had
    /// after it was called; the trait's `stream` past the limiter; a timeout of the pool's own; a
    /// policy without its margin, `per_second` by the minute, `rpm` without `max(1)`; no `size_hint`.
    /// Of tokens: `Call::end` that does not settle; `note` that keeps the latest; `Call::drop` that settles at what was
    /// said, or at that or what was expected, each of them times the factor; `settles_at_least` without the factor, or by
    /// sums; `settles_at` that gives back what it must not; `Budgets::new` without the margin.
    #[test]
    fn a_pool_does_what_the_model_does(program in programs()) {
        let clock = ManualClock::new();
        let limiter = LimiterBuilder::from(&program.policy.made()).clock(clock.clone()).build();
        let (sender, gone) = channel();
        let arrived = AtomicUsize::new(0);
        let fake = Arc::new(Fake { limiter: limiter.clone(), arrived, gone: sender });
        // Two pools may share a limiter, and a provider.
        let pool = |name| ProviderPool::with_limiter(Arc::clone(&fake), limiter.clone(), name);
        let pools = [pool("one"), pool("other")];
        let mut scene = Scene {
            pools: &pools,
            fake: &fake,
            clock,
            gone,
            token: Token::default(),
            model: program.policy.model(),
            books: Books::new(&program.policy.tokens, program.policy.margin),
            arrived: 0,
            calls: Vec::new(),
            streams: Vec::new(),
            ended: Vec::new(),
        };
        scene.check()?;
        for op in &program.ops {
            scene.step(op)?;
        }
        scene.finish()?;
        drop(pools);
        prop_assert_eq!(Arc::strong_count(&fake), 1);
    }
}
