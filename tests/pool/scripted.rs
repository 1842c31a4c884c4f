//! A provider that answers by a script, and calls of its pool that are polled only when they were woken.

use crate::common::{Wakes, poll_with};
use crate::failing::panics;
use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use ringgate::time::ManualClock;
use ringgate::{
    EventStream, Feedback, Limiter, LimiterBuilder, PoolStream, Provider, ProviderPool, Refused,
    Usage,
};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Poll, Waker};
use std::time::Duration;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Error {
    /// The pool's.
    Refused(Refused),
    Says(Feedback),
    /// It says nothing.
    Plain,
    /// `feedback` panics.
    Breaks,
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    Text,
    Says(Feedback),
    /// `event_feedback` panics.
    Breaks,
}

#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Ends(Vec<Event>),
    /// Nothing comes after these.
    Stalls(Vec<Event>),
    Fails(Error),
    /// Fails, but not before it is let go.
    FailsLater(Error),
    Hangs,
    Panics,
}
pub(crate) use Answer::{Ends, Fails, FailsLater, Hangs, Stalls};

/// A request is answered by its script, one answer for each time that it is sent.
#[derive(Debug)]
pub(crate) struct Request {
    id: u32,
    tokens: u64,
    script: Arc<Vec<Answer>>,
    sent: Arc<AtomicUsize>,
    copies: Option<Arc<AtomicU32>>,
}

impl Clone for Request {
    fn clone(&self) -> Self {
        match &self.copies {
            Some(left) if left.fetch_sub(1, SeqCst) == 0 => panics(),
            _ => Self {
                script: Arc::clone(&self.script),
                sent: Arc::clone(&self.sent),
                copies: self.copies.clone(),
                ..*self
            },
        }
    }
}

impl Request {
    /// Its copy panics when it has been copied so often.
    pub(crate) fn with_copies(mut self, copies: u32) -> Self {
        self.copies = Some(Arc::new(AtomicU32::new(copies)));
        self
    }

    pub(crate) fn with_tokens(mut self, tokens: u64) -> Self {
        self.tokens = tokens;
        self
    }
}

/// Expects 100 tokens.
pub(crate) fn request(id: u32, script: &[Answer]) -> Request {
    let script = Arc::new(script.to_vec());
    Request { id, tokens: 100, script, sent: Arc::default(), copies: None }
}

pub(crate) struct Fake {
    arrivals: Sender<u32>,
    /// Those that fail later may do so now.
    lets_go: AtomicBool,
}

impl Fake {
    fn may_fail(&self) -> bool {
        self.lets_go.load(SeqCst)
    }
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
        self.arrivals.send(request.id).unwrap();
        let answer = request.script.get(request.sent.fetch_add(1, SeqCst)).cloned();
        match answer.expect("it was sent too often") {
            Ends(events) => Ok(Box::pin(stream::iter(events))),
            Stalls(events) => Ok(Box::pin(stream::iter(events).chain(stream::pending()))),
            Fails(error) => Err(error),
            FailsLater(error) => {
                poll_fn(|_| if self.may_fail() { Poll::Ready(()) } else { Poll::Pending }).await;
                Err(error)
            }
            Hangs => poll_fn(|_| Poll::Pending).await,
            Answer::Panics => panics(),
        }
    }

    fn estimate(&self, request: &Request) -> Usage {
        Usage::new(request.tokens, 0)
    }

    fn feedback(&self, error: &Error) -> Option<Feedback> {
        match error {
            Error::Says(feedback) => Some(feedback.clone()),
            Error::Plain | Error::Refused(_) => None,
            Error::Breaks => panics(),
        }
    }

    fn event_feedback(&self, event: &Event) -> Option<Feedback> {
        match event {
            Event::Text => None,
            Event::Says(feedback) => Some(feedback.clone()),
            Event::Breaks => panics(),
        }
    }
}

pub(crate) type Pool = ProviderPool<Fake>;

/// A pool, its clock, and what has arrived at its provider.
pub(crate) struct Scene {
    pub(crate) pool: Pool,
    provider: Arc<Fake>,
    pub(crate) clock: ManualClock,
    arrivals: Receiver<u32>,
    slots: usize,
}

pub(crate) fn scene(limits: impl FnOnce(LimiterBuilder) -> LimiterBuilder) -> Scene {
    let clock = ManualClock::new();
    let builder = Limiter::builder().margin(Duration::ZERO).clock(clock.clone());
    with_limiter(limits(builder).build(), clock)
}

pub(crate) fn with_limiter(limiter: Limiter, clock: ManualClock) -> Scene {
    let (sender, arrivals) = channel();
    let provider = Arc::new(Fake { arrivals: sender, lets_go: AtomicBool::new(false) });
    let pool = ProviderPool::with_limiter(Arc::clone(&provider), limiter, "pool");
    let slots = pool.limiter().concurrency_limit();
    Scene { pool, provider, clock, arrivals, slots }
}

impl Scene {
    pub(crate) fn with_retries(mut self, most: u32) -> Self {
        self.pool = self.pool.with_retries(most);
        self
    }

    /// What has arrived since the last look.
    pub(crate) fn arrived(&self) -> Vec<u32> {
        self.arrivals.try_iter().collect()
    }

    /// Lets those fail that fail later.
    pub(crate) fn let_go(&self) {
        self.provider.lets_go.store(true, SeqCst);
    }

    pub(crate) fn calls(&self, request: Request) -> Task<'_> {
        let mut task = Task {
            future: Some(Box::pin(self.pool.stream(request))),
            wakes: Wakes::new(),
            seen: 0,
            answer: None,
        };
        task.poll();
        task
    }

    /// Slots that are free (as if no overload had lowered their number), calls in line, tokens left.
    pub(crate) fn books(&self) -> (usize, usize, u64) {
        let limiter = self.pool.limiter();
        let in_use = limiter.concurrency_limit() - limiter.available_permits();
        (self.slots - in_use, limiter.waiters(), limiter.remaining_tokens())
    }
}

pub(crate) type Answered = Result<PoolStream<Event>, Error>;

/// A call. Its first poll is made with it.
pub(crate) struct Task<'a> {
    future: Option<Pin<Box<dyn Future<Output = Answered> + 'a>>>,
    wakes: Arc<Wakes>,
    seen: usize,
    pub(crate) answer: Option<Answered>,
}

impl Task<'_> {
    pub(crate) fn is_woken(&self) -> bool {
        self.future.is_some() && self.wakes.count() > self.seen
    }

    pub(crate) fn poll(&mut self) {
        let Some(future) = &mut self.future else { return };
        self.seen = self.wakes.count();
        if let Poll::Ready(answer) = poll_with(future.as_mut(), &Waker::from(self.wakes.clone())) {
            (self.future, self.answer) = (None, Some(answer));
        }
    }

    /// Polls it for as long as it is woken.
    pub(crate) fn run(&mut self) {
        for _ in 0..100 {
            if !self.is_woken() {
                return;
            }
            self.poll();
        }
        panic!("it wakes itself for ever");
    }

    pub(crate) fn waits(&self) -> bool {
        self.answer.is_none()
    }

    /// Its answer, which must be there.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Answered {
        self.answer.take().expect("it waits")
    }

    #[track_caller]
    pub(crate) fn error(&mut self) -> Error {
        self.answer().map(drop).expect_err("no error")
    }
}
