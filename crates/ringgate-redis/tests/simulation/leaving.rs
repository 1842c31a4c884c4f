//! A process that could leave while it uses its share, and its requests arrive while answers do not.

use crate::model::Model;
use crate::random::Random;
use crate::tasks::Tasks;
use ringgate::time::ManualClock;
use ringgate::{Limiter, Rate};
use ringgate_redis::script::{Injected, Reply, StoreError, Trip};
use ringgate_redis::{Link, News, SharedLimiter, WhileAway};
use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

const SECOND: u64 = 1_000_000;

#[derive(Clone)]
struct Way {
    model: Rc<RefCell<Model>>,
    time: Rc<Cell<u64>>,
    answers: Rc<Cell<bool>>,
    has_left: Rc<Cell<bool>>,
}

impl Link for Way {
    fn trip(&mut self, trip: &Trip) -> impl Future<Output = Result<Reply, StoreError>> {
        let clock = self.time.get();
        let at = Injected { clock, run: 1, uptime: clock };
        let reply = self.model.borrow_mut().trip(trip, at).ok_or(StoreError::Stale);
        self.has_left.set(self.has_left.get() || trip.leave);
        let mut answer = self.answers.get().then_some(reply);
        poll_fn(move |_| answer.take().map_or(Poll::Pending, Poll::Ready))
    }

    fn pushed(&mut self) -> impl Future<Output = News> {
        pending()
    }
}

struct Scene {
    limiter: SharedLimiter,
    way: Way,
    clock: ManualClock,
    tasks: Tasks,
    random: Random,
    admitted: Rc<Cell<u64>>,
}

impl Scene {
    fn new() -> Self {
        let clock = ManualClock::new();
        let limits = Limiter::builder().rate(Rate::per_second(10)).clock(clock.clone());
        let (after, lasts) = (Duration::ZERO, Duration::from_secs(60));
        let builder = SharedLimiter::builder(limits, "tests", "leaving")
            .while_away(WhileAway::Share { after, lasts })
            .assume_unused()
            .seed(1);
        let way = Way {
            model: Rc::new(RefCell::new(Model::new(builder.terms().unwrap()))),
            time: Rc::new(Cell::new(1_790_000_000 * SECOND)),
            answers: Rc::new(Cell::new(true)),
            has_left: Rc::default(),
        };
        let (limiter, driver) = builder.driver(way.clone()).unwrap();
        let mut tasks = Tasks::default();
        tasks.spawn(driver.run());
        Self { limiter, way, clock, tasks, random: Random::new(1), admitted: Rc::default() }
    }

    fn call(&mut self) {
        let (limiter, admitted) = (self.limiter.clone(), Rc::clone(&self.admitted));
        self.tasks.spawn(async move {
            drop(limiter.call().acquire_owned().await.unwrap());
            admitted.set(admitted.get() + 1);
        });
    }

    fn pass(&mut self, length: u64) {
        for _ in 0..length / 1000 {
            self.way.time.set(self.way.time.get() + 1000);
            self.clock.advance(Duration::from_millis(1));
            while self.tasks.poll_one(&mut self.random) {}
        }
    }
}

#[test]
fn an_idle_process_left_while_it_used_its_share_and_went_on_using_it() {
    let mut scene = Scene::new();
    scene.call();
    scene.pass(SECOND);
    assert_eq!(scene.admitted.get(), 1);
    scene.way.answers.set(false);
    scene.call();
    scene.pass(33 * SECOND);
    assert!(scene.limiter.status().is_share);
    assert_eq!(scene.admitted.get(), 2);
    // Idle for more than a heartbeat, and then it has something to tell.
    scene.pass(5 * SECOND);
    scene.limiter.pause(Duration::from_millis(10));
    let trips = scene.limiter.status().trips;
    scene.pass(5 * SECOND);
    assert!(scene.limiter.status().trips > trips);
    assert!(!scene.way.has_left.get());
    scene.call();
    scene.pass(SECOND);
    assert_eq!((scene.limiter.status().is_share, scene.admitted.get()), (true, 3));
    // The first answer ends the share. It may leave now.
    scene.way.answers.set(true);
    scene.limiter.pause(Duration::from_secs(5));
    scene.pass(13 * SECOND);
    assert_eq!((scene.limiter.status().is_share, scene.way.has_left.get()), (false, true));
}
