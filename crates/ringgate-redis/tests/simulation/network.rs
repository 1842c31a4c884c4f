//! A store by the model, and the ways to it: they delay, lose, repeat and cut.

use crate::model::Model;
use crate::random::Random;
use redis::ErrorKind;
use ringgate_redis::script::{Injected, Published, Reply, StoreError, Terms, Trip};
use ringgate_redis::{Link, News};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};

/// Trips that are longer under way tell nothing of the time.
const LONG: u64 = 900_000;

pub(crate) struct Network {
    pub(crate) random: Random,
    pub(crate) time: Rc<Cell<u64>>,
    model: Model,
    /// What a restart may bring back.
    saved: Option<Model>,
    run: u64,
    started: u64,
    clock_ahead: u64,
    /// A step of the store's clock that no trip has met.
    step: i64,
    stepped_at: u64,
    pub(crate) down_until: u64,
    /// One in so many requests, and answers, is lost; zero: none.
    pub(crate) losses: u64,
    /// Half of what is pushed is lost.
    pub(crate) loses_news: bool,
    pub(crate) delay: u64,
    /// It answers with that.
    pub(crate) fails: Option<fn() -> StoreError>,
    requests: Vec<Request>,
    answers: Vec<(u64, Weak<Call>, Answer)>,
    pushes: Vec<Push>,
    ears: Vec<Weak<Ear>>,
    pub(crate) seen: Seen,
}

/// What has happened, so that a simulation in which it never does is noticed.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) trips: u64,
    pub(crate) granted: u64,
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    pub(crate) late: u64,
    pub(crate) steps: u64,
    pub(crate) restarts: u64,
    pub(crate) apart: u64,
    pub(crate) pushes: u64,
    pub(crate) stale: u64,
}

type Answer = Result<Reply, StoreError>;

struct Request {
    arrives: u64,
    sent: u64,
    trip: Trip,
    call: Weak<Call>,
}

struct Push {
    at: u64,
    ear: Weak<Ear>,
    news: News,
    /// Whose it is, and the last trip of that process.
    whom: Option<(u64, u64)>,
}

#[derive(Default)]
struct Call {
    answer: RefCell<Option<Answer>>,
    waker: RefCell<Option<Waker>>,
}

#[derive(Default)]
struct Ear {
    /// Whose its last trip was, and which.
    trip: Cell<(u64, u64)>,
    /// No way leads to the store until then.
    cut_until: Rc<Cell<u64>>,
    news: Cell<Option<News>>,
    waker: RefCell<Option<Waker>>,
}

impl Network {
    pub(crate) fn new(seed: u64, terms: Terms, time: Rc<Cell<u64>>) -> Self {
        let started = time.get() - 1_000_000_000;
        Self {
            random: Random::new(seed),
            time,
            model: Model::new(terms),
            saved: None,
            run: 1,
            started,
            clock_ahead: 1_000_000_000_000,
            step: 0,
            stepped_at: 0,
            down_until: 0,
            losses: 0,
            loses_news: false,
            delay: 3_000,
            fails: None,
            requests: Vec::new(),
            answers: Vec::new(),
            pushes: Vec::new(),
            ears: Vec::new(),
            seen: Seen::default(),
        }
    }

    pub(crate) fn save(&mut self) {
        self.saved = Some(self.model.clone());
    }

    /// With older state, or with none.
    pub(crate) fn restart(&mut self) {
        self.seen.restarts += 1;
        self.run += 1;
        if let Some(saved) = self.saved.take().filter(|_| self.random.one_in(2)) {
            self.model = saved;
        } else {
            self.model.lose();
        }
        // What was saved may be nothing.
        self.started = self.time.get();
        self.step = 0;
        self.requests.clear();
        self.pushes.clear();
    }

    /// A step of the store's clock is met by a process that knows better first: others cannot notice it.
    pub(crate) fn step_clock(&mut self) {
        if self.step == 0 {
            let length = i64::try_from(1_100_000 + self.random.up_to(100_000_000)).unwrap();
            self.step = if self.random.one_in(2) { length } else { -length };
            self.stepped_at = self.time.get();
            self.clock_ahead = self.clock_ahead.saturating_add_signed(self.step);
            self.seen.steps += 1;
        }
    }

    fn knows(&self, request: &Request) -> bool {
        let Trip { epoch, steps, vouched, slack, .. } = request.trip;
        let is_believed = epoch.is_some_and(|epoch| self.model.believes(epoch, steps));
        is_believed && vouched > 0 && slack < LONG && self.time.get() - request.sent < LONG
    }

    /// Delivers what has arrived.
    pub(crate) fn deliver(&mut self) {
        let now = self.time.get();
        if self.step != 0 && now > self.stepped_at + 2_000_000 {
            // Nobody was there to notice it.
            self.clock_ahead = self.clock_ahead.saturating_add_signed(-self.step);
            self.step = 0;
        }
        while let Some(index) = self.requests.iter().position(|request| request.arrives <= now) {
            let request = self.requests.swap_remove(index);
            self.arrive(request);
        }
        self.deliver_pushes();
        let (come, rest) =
            std::mem::take(&mut self.answers).into_iter().partition(|(at, ..)| *at <= now);
        self.answers = rest;
        for (_, call, answer) in come {
            let Some(call) = Weak::<Call>::upgrade(&call) else {
                self.seen.late += 1;
                continue;
            };
            *call.answer.borrow_mut() = Some(answer);
            if let Some(waker) = call.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }

    /// As the real link does it: what is from before the last trip is no news, nor is it when another trip begins.
    fn deliver_pushes(&mut self) {
        let now = self.time.get();
        let (come, rest) =
            std::mem::take(&mut self.pushes).into_iter().partition(|push| push.at <= now);
        self.pushes = rest;
        for Push { ear, news, whom, .. } in come {
            let Some(ear) = Weak::<Ear>::upgrade(&ear) else { continue };
            let (its_own, last) = ear.trip.get();
            if now < ear.cut_until.get() || whom.is_some_and(|(process, _)| process != its_own) {
                continue;
            }
            if whom.is_some_and(|(_, trip)| trip < last) {
                self.seen.stale += 1;
                continue;
            }
            self.seen.pushes += 1;
            // A pause comes first.
            if ear.news.get() != Some(News::Pause) {
                ear.news.set(Some(news));
            }
            if let Some(waker) = ear.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }

    fn arrive(&mut self, request: Request) {
        let now = self.time.get();
        if now < self.down_until || self.step != 0 && !self.knows(&request) {
            self.seen.lost += 1;
            if self.random.one_in(2) {
                let refused = StoreError::Away((ErrorKind::Io, "refused").into());
                self.answer(request.call, Err(refused));
            }
            return;
        }
        if let Some(error) = self.fails {
            self.answer(request.call, Err(error()));
            return;
        }
        let (clock, uptime) = (now + self.clock_ahead, now - self.started);
        let at = Injected { clock, run: self.run, uptime };
        let answer = self.model.trip(&request.trip, at);
        if std::env::var_os("RINGGATE_REDIS_TRACE").is_some() {
            println!("{} {:?}\n    {answer:?}", now % 1_000_000_000, request.trip);
        }
        self.seen.trips += 1;
        self.seen.apart += u64::from(request.trip.apart);
        let answer = match answer {
            None => Err(StoreError::Stale),
            Some(reply) => {
                self.step = 0;
                self.seen.granted +=
                    reply.windows.iter().map(|granted| granted.amount).sum::<u64>();
                self.push();
                Ok(reply)
            }
        };
        if self.losses > 0 && self.random.one_in(self.losses) {
            self.seen.lost += 1;
            return;
        }
        self.answer(request.call, answer);
    }

    fn answer(&mut self, call: Weak<Call>, answer: Answer) {
        let at = self.time.get() + self.random.up_to(self.delay);
        self.answers.push((at, call, answer));
    }

    fn push(&mut self) {
        for message in self.model.published() {
            let (news, whom) = match message.parse().unwrap() {
                Published::Pause => (News::Pause, None),
                Published::Room { process, trip } | Published::Slots { process, trip } => {
                    (News::Room, Some((process, trip)))
                }
            };
            for ear in self.ears.iter().filter_map(Weak::upgrade) {
                if whom.is_some_and(|(process, _)| process != ear.trip.get().0) {
                    continue;
                }
                let is_lost = self.losses > 0 && self.random.one_in(self.losses);
                if is_lost || self.loses_news && self.random.one_in(2) {
                    continue;
                }
                let at = self.time.get() + self.random.up_to(self.delay);
                self.pushes.push(Push { at, ear: Rc::downgrade(&ear), news, whom });
            }
        }
        self.ears.retain(|ear| ear.strong_count() > 0);
    }

    fn send(&mut self, trip: &Trip, call: &Rc<Call>) {
        let sent = self.time.get();
        let request = |arrives, call| Request { arrives, sent, trip: trip.clone(), call };
        if self.losses > 0 && self.random.one_in(self.losses) {
            self.seen.lost += 1;
        } else {
            let arrives = sent + self.random.up_to(self.delay);
            let request = request(arrives, Rc::downgrade(call));
            self.requests.push(request);
        }
        if self.losses > 0 && self.random.one_in(20) {
            // It comes again, perhaps long after.
            self.seen.repeated += 1;
            let long = self.delay * self.random.one_of([1, 1, 20]);
            let arrives = sent + self.random.up_to(long.min(LONG / 2));
            self.requests.push(request(arrives, Weak::new()));
        }
    }
}

/// The way of one process.
pub(crate) struct Way {
    network: Rc<RefCell<Network>>,
    ear: Rc<Ear>,
    /// When the last trip began that was answered.
    contact: Rc<Cell<u64>>,
}

impl Way {
    pub(crate) fn new(
        network: &Rc<RefCell<Network>>,
        contact: &Rc<Cell<u64>>,
        cut_until: &Rc<Cell<u64>>,
    ) -> Self {
        let ear = Rc::new(Ear { cut_until: Rc::clone(cut_until), ..Ear::default() });
        network.borrow_mut().ears.push(Rc::downgrade(&ear));
        Self { network: Rc::clone(network), ear, contact: Rc::clone(contact) }
    }
}

impl Link for Way {
    fn trip(&mut self, trip: &Trip) -> impl Future<Output = Answer> {
        let call = Rc::new(Call::default());
        self.ear.trip.set((trip.process, trip.seq));
        if self.ear.news.get() == Some(News::Room) {
            self.ear.news.set(None);
        }
        let mut network = self.network.borrow_mut();
        let sent = network.time.get();
        if sent >= self.ear.cut_until.get() {
            network.send(trip, &call);
        }
        drop(network);
        let contact = Rc::clone(&self.contact);
        poll_fn(move |cx| {
            *call.waker.borrow_mut() = Some(cx.waker().clone());
            let Some(answer) = call.answer.borrow_mut().take() else { return Poll::Pending };
            if answer.is_ok() {
                contact.set(sent);
            }
            Poll::Ready(answer)
        })
    }

    fn pushed(&mut self) -> impl Future<Output = News> {
        let ear = Rc::clone(&self.ear);
        poll_fn(move |cx| {
            if let Some(news) = ear.news.take() {
                return Poll::Ready(news);
            }
            *ear.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
    }
}
