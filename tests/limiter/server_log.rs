//! Hours and days of traffic under tokio's paused time, against a log that a server might keep. The
//! log knows when calls came, began and ended, and what the limits were. It checks that
//!
//! * no window of any rule holds more calls than the rule allows, and no more are in flight than allowed,
//! * calls begin in the order in which they came,
//! * the first call begins at the instant at which both limits are open, and no call is refused or waits
//!   while there is room.
#![cfg(feature = "tokio")]
#![expect(clippy::disallowed_methods, reason = "the server's log goes by tokio's paused time")]

use crate::common::Dice;
use ringgate::{Limiter, LimiterPermit, Rate};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const HOUR: u64 = 3600;

// ---- the log -------------------------------------------------------------------------------------

/// Limit and window.
type Rule = (u32, Duration);

#[derive(Debug, Clone)]
enum Event {
    /// A call, by its number, asks to begin.
    Comes(u64),
    Begins(u64),
    Ends,
    /// It was refused because it would have to wait.
    IsRefused(u64),
    /// It gave up: its wait was, or would have been, too long.
    GivesUp(u64),
    /// From now on.
    Rules(Vec<Rule>),
}

/// Writes events to the log.
#[derive(Clone)]
struct Pen {
    log: UnboundedSender<(Duration, Event)>,
    start: Instant,
}

impl Pen {
    fn time(&self) -> Duration {
        self.start.elapsed()
    }

    fn note(&self, event: Event) {
        self.log.send((self.time(), event)).unwrap();
    }
}

/// The server's records. It checks each event as it reads it.
#[derive(Default)]
struct ServerLog {
    rules: Vec<Rule>,
    max_concurrent: usize,
    begins: Vec<Duration>,
    in_flight: usize,
    most_in_flight: usize,
    /// Calls that came and have not begun.
    line: VecDeque<(u64, Duration)>,
    longest_wait: Duration,
    /// Since when a slot is free, since when the first call is first, and since when the rules hold.
    slot_since: Duration,
    first_since: Duration,
    rules_since: Duration,
    given_up: usize,
}

impl ServerLog {
    fn read(
        rules: &[Rule],
        max_concurrent: usize,
        mut events: UnboundedReceiver<(Duration, Event)>,
    ) -> Self {
        let mut log = Self { rules: rules.to_vec(), max_concurrent, ..Self::default() };
        while let Ok((now, event)) = events.try_recv() {
            log.enter(now, event);
        }
        assert_eq!((log.in_flight, log.line.len()), (0, 0), "left over");
        log
    }

    fn enter(&mut self, now: Duration, event: Event) {
        match event {
            Event::Comes(call) => {
                if self.line.is_empty() {
                    self.first_since = now;
                }
                self.line.push_back((call, now));
            }
            Event::Begins(call) => self.begin(call, now),
            Event::Ends => {
                if self.in_flight == self.max_concurrent {
                    self.slot_since = now;
                }
                self.in_flight -= 1;
            }
            Event::IsRefused(call) => {
                let is_first = self.line.front().is_some_and(|(first, _)| *first == call);
                let has_room = self.in_flight < self.max_concurrent && self.rate_free_at() <= now;
                assert!(!is_first || !has_room, "refused at {now:?} although there was room");
                self.leave(call, now);
            }
            Event::GivesUp(call) => {
                self.given_up += 1;
                self.leave(call, now);
            }
            Event::Rules(rules) => (self.rules, self.rules_since) = (rules, now),
        }
    }

    fn begin(&mut self, call: u64, now: Duration) {
        let (first, came) = self.line.pop_front().expect("no call has come");
        assert_eq!(call, first, "{call} overtook {first} at {now:?}");
        self.in_flight += 1;
        self.most_in_flight = self.most_in_flight.max(self.in_flight);
        assert!(self.in_flight <= self.max_concurrent, "{} in flight", self.in_flight);
        let open = self.rate_free_at();
        assert!(open <= now, "over a limit at {now:?}");
        let due = open.max(self.slot_since).max(self.first_since).max(self.rules_since);
        assert_eq!(now, due, "{call} could have begun before");
        self.longest_wait = self.longest_wait.max(now.saturating_sub(came));
        self.begins.push(now);
        self.first_since = now;
    }

    fn leave(&mut self, call: u64, now: Duration) {
        if self.line.front().is_some_and(|(first, _)| *first == call) {
            self.first_since = now;
        }
        let before = self.line.len();
        self.line.retain(|(waiting, _)| *waiting != call);
        assert_eq!(self.line.len() + 1, before, "{call} was not in line");
    }

    /// When the rules let one more begin: once, for each rule, the n-th last call has left the window.
    fn rate_free_at(&self) -> Duration {
        let free_at = |(limit, window): &Rule| {
            let nth = self.begins.len().checked_sub(*limit as usize)?;
            Some(self.begins[nth] + *window)
        };
        self.rules.iter().filter_map(free_at).max().unwrap_or_default()
    }

    /// Over all again, for rules that have not changed.
    fn assert_within(&self, (limit, window): Rule) {
        for calls in self.begins.windows(limit as usize + 1) {
            let span = calls[limit as usize].saturating_sub(calls[0]);
            assert!(span >= window, "{limit} and one more within {span:?}");
        }
    }

    fn tell(&self, what: &str, hours: u64) {
        println!(
            "{what}: {} calls in {hours} hours checked, {} given up, longest wait {:?}",
            self.begins.len(),
            self.given_up,
            self.longest_wait,
        );
    }
}

// ---- the clients ---------------------------------------------------------------------------------

/// A call that came. If it is dropped before it begins, it gave up.
struct Asking {
    pen: Pen,
    call: u64,
    is_over: bool,
}

impl Asking {
    fn ends_as(mut self, event: impl FnOnce(u64) -> Event) -> Pen {
        self.is_over = true;
        self.pen.note(event(self.call));
        self.pen.clone()
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if !self.is_over {
            self.pen.note(Event::GivesUp(self.call));
        }
    }
}

/// A call in flight. It ends for the server before its slot is free.
struct InFlight<'a> {
    pen: Pen,
    _permit: LimiterPermit<'a>,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.pen.note(Event::Ends);
    }
}

#[derive(Debug, Clone, Copy)]
enum Way {
    Wait,
    /// Leaves the line by itself.
    WaitAndLeave(Duration),
    WaitWithin(Duration),
    Try,
}

/// One of the limiter's users.
struct Client {
    limiter: Limiter,
    pen: Pen,
    dice: Dice,
    number: u64,
    calls: u64,
    end: Duration,
}

impl Client {
    fn time(&self) -> Duration {
        self.pen.time()
    }

    fn up_to(&mut self, millis: u64) -> Duration {
        ms(self.dice.below(millis))
    }

    fn comes(&mut self) -> Asking {
        self.calls += 1;
        let call = self.number << 32 | self.calls;
        self.pen.note(Event::Comes(call));
        Asking { pen: self.pen.clone(), call, is_over: false }
    }

    async fn ask<'a>(&mut self, limiter: &'a Limiter, way: Way) -> Option<InFlight<'a>> {
        let (asking, came) = (self.comes(), self.time());
        let permit = match way {
            Way::Wait => limiter.acquire().await.ok(),
            Way::WaitAndLeave(after) => {
                timeout(after, limiter.acquire()).await.ok().and_then(Result::ok)
            }
            Way::WaitWithin(patience) => limiter.acquire_timeout(patience).await.ok(),
            Way::Try => limiter.try_acquire().ok(),
        };
        let patience = match way {
            Way::Wait => Duration::MAX,
            Way::WaitAndLeave(patience) | Way::WaitWithin(patience) => patience,
            Way::Try => Duration::ZERO,
        };
        // A millisecond for tokio's timer, which rounds up.
        assert!(
            self.time() <= came.saturating_add(patience).saturating_add(ms(1)),
            "waited too long"
        );
        match (permit, way) {
            (Some(permit), _) => {
                let pen = asking.ends_as(Event::Begins);
                Some(InFlight { pen, _permit: permit })
            }
            (None, Way::Try) => {
                asking.ends_as(Event::IsRefused);
                None
            }
            (None, _) => None,
        }
    }

    /// Calls as often as the limits allow. Returns how often.
    async fn press(mut self, at_most: u64) -> u64 {
        let late = self.up_to(60_000);
        sleep(late).await;
        let limiter = self.limiter.clone();
        while self.time() < self.end {
            let call = self.ask(&limiter, Way::Wait).await.unwrap();
            sleep(self.up_to(at_most)).await;
            drop(call);
        }
        self.calls
    }

    /// Uses every kind of call: waits, gives up, tries.
    async fn roam(mut self, at_most: u64) -> u64 {
        let limiter = self.limiter.clone();
        while self.time() < self.end {
            sleep(self.up_to(20_000)).await;
            let patience = self.up_to(60_000);
            let way = self.any_way(patience);
            if let Some(call) = self.ask(&limiter, way).await {
                sleep(self.up_to(at_most)).await;
                drop(call);
            }
        }
        self.calls
    }

    fn any_way(&mut self, patience: Duration) -> Way {
        match self.dice.below(4) {
            0 => Way::Wait,
            1 => Way::WaitAndLeave(patience),
            2 => Way::WaitWithin(patience),
            _ => Way::Try,
        }
    }

    /// Busy by day, nearly idle by night, with occasional bursts.
    async fn live(mut self) -> u64 {
        let limiter = self.limiter.clone();
        while self.time() < self.end {
            let hour = self.time().as_secs() / HOUR % 24;
            let by_night = !(7..22).contains(&hour);
            let pause = if by_night { 4 * HOUR * 1000 } else { 120_000 };
            sleep(self.up_to(pause)).await;
            for _ in 0..=self.dice.below(if by_night { 2 } else { 12 }) {
                self.call_once(&limiter).await;
            }
        }
        self.calls
    }

    /// One call of an agent: it takes long, fails soon, or is given up half-way.
    async fn call_once(&mut self, limiter: &Limiter) {
        let patience = self.up_to(600_000);
        let way = self.any_way(patience);
        let takes = match self.dice.below(10) {
            0 => ms(0),
            1..3 => self.up_to(300),
            3 => self.up_to(60_000),
            _ => ms(500) + self.up_to(8_000),
        };
        let gives_up_after = s(30);
        let call = async {
            let _call = self.ask(limiter, way).await;
            sleep(takes).await;
        };
        let _ = timeout(patience + gives_up_after, call).await;
    }
}

struct Traffic {
    limiter: Limiter,
    rules: Vec<Rule>,
    max_concurrent: usize,
    hours: u64,
    pen: Pen,
    events: UnboundedReceiver<(Duration, Event)>,
    running: Vec<JoinHandle<u64>>,
}

impl Traffic {
    fn of(limiter: &Limiter, rules: &[Rule], max_concurrent: usize, hours: u64) -> Self {
        let (log, events) = unbounded_channel();
        let pen = Pen { log, start: Instant::now() };
        let (limiter, rules, running) = (limiter.clone(), rules.to_vec(), Vec::new());
        Self { limiter, rules, max_concurrent, hours, pen, events, running }
    }

    fn client(&self, number: u64) -> Client {
        let (limiter, pen) = (self.limiter.clone(), self.pen.clone());
        let end = s(self.hours * HOUR);
        Client { limiter, pen, dice: Dice(number), number, calls: 0, end }
    }

    fn spawn<F: Future<Output = u64> + Send + 'static>(
        mut self,
        clients: u64,
        live: impl Fn(Client) -> F,
    ) -> Self {
        let live = (0..clients).map(|number| tokio::spawn(live(self.client(number))));
        self.running = live.collect();
        self
    }

    /// The server's log, and how often each client called.
    async fn run(self) -> (ServerLog, Vec<u64>) {
        let mut calls = Vec::new();
        // A call that hangs has no timer, and without a timer paused time does not pass.
        let late = self.pen.start + s(self.hours * HOUR) + s(48 * HOUR);
        for client in self.running {
            calls.push(timeout_at(late, client).await.expect("a call hangs").unwrap());
        }
        let log = ServerLog::read(&self.rules, self.max_concurrent, self.events);
        (log, calls)
    }
}

fn limited(rules: &[Rule], max_concurrent: usize) -> Limiter {
    let builder = Limiter::builder().margin(Duration::ZERO).max_concurrent(max_concurrent);
    rules
        .iter()
        .fold(builder, |builder, (limit, window)| builder.rate(Rate::new(*limit, *window)))
        .build()
}

// ---- hours ---------------------------------------------------------------------------------------

/// Broken by: `<` for `<=` in `Ring::busy_until` (the use); `now` read before the slot was had and
/// used for the stamp (the limit).
#[tokio::test(start_paused = true)]
async fn under_constant_demand_the_whole_rate_is_used_and_never_exceeded() {
    let limiter = Limiter::builder()
        .margin(Duration::ZERO)
        .rate(Rate::per_minute(60))
        .max_concurrent(60)
        .build();
    // A call lasts ten seconds at most: sixty slots never bind, and demand never ends.
    let traffic = Traffic::of(&limiter, &[(60, s(60))], 60, 3);
    let (log, _) = traffic.spawn(150, |client| client.press(10_000)).run().await;
    log.assert_within((60, s(60)));
    for (first, again) in log.begins.iter().zip(&log.begins[60..]) {
        assert_eq!(again.saturating_sub(*first), s(60), "a place stood empty");
    }
    assert!(log.begins.len() >= 60 * 180);
}

/// Broken by: stamping before the call has its slot.
#[tokio::test(start_paused = true)]
async fn where_slots_bind_neither_limit_is_exceeded_and_no_slot_stands_empty() {
    let limiter = Limiter::builder()
        .margin(Duration::ZERO)
        .rate(Rate::per_minute(30))
        .max_concurrent(4)
        .build();
    let traffic = Traffic::of(&limiter, &[(30, s(60))], 4, 2);
    let (log, _) = traffic.spawn(12, |client| client.press(20_000)).run().await;
    log.assert_within((30, s(60)));
    assert_eq!(log.most_in_flight, 4);
    // Four slots, ten seconds a call: 24 calls a minute, minus random variation.
    assert!(log.begins.len() > 20 * 120, "{} calls", log.begins.len());
    assert_eq!((limiter.available_permits(), limiter.waiters()), (4, 0));
}

/// Broken by: `LimiterPermit` dropped where a call is given up; a cancelled head keeping the line.
#[tokio::test(start_paused = true)]
async fn callers_that_wait_give_up_and_try_in_every_way_never_exceed_either_limit() {
    for (limit, window, slots) in [(1, s(3), 1), (7, s(10), 3), (100, s(60), 20)] {
        let limiter = Limiter::builder()
            .margin(Duration::ZERO)
            .rate(Rate::new(limit, window))
            .max_concurrent(slots)
            .build();
        let traffic = Traffic::of(&limiter, &[(limit, window)], slots, 1);
        let (log, _) = traffic.spawn(40, |client| client.roam(8_000)).run().await;
        log.assert_within((limit, window));
        assert!(log.begins.len() > 500, "{} calls", log.begins.len());
        assert_eq!((limiter.available_permits(), limiter.waiters()), (slots, 0));
    }
}

/// Broken by: `Margin::add_to` not adding the margin.
#[tokio::test(start_paused = true)]
async fn with_a_margin_calls_that_are_late_on_their_way_keep_the_limit_on_arrival() {
    let limiter = Limiter::builder()
        .margin(Duration::ZERO)
        .rate(Rate::new(20, s(10)))
        .margin(ms(250))
        .build();
    let longer = (20, s(10) + ms(250));
    let traffic = Traffic::of(&limiter, &[longer], usize::MAX, 1);
    let (mut log, _) = traffic.spawn(60, |client| client.press(500)).run().await;
    let mut dice = Dice(7);
    for begin in &mut log.begins {
        *begin += ms(dice.below(251));
    }
    log.begins.sort();
    log.assert_within((20, s(10)));
}

// ---- days ----------------------------------------------------------------------------------------

/// Three limits and four slots, like a provider's tier.
const TIER: [Rule; 3] = [(60, s(60)), (1000, s(HOUR)), (10_000, s(24 * HOUR))];

/// Broken by: `try_admit_with_slot` stamping before it has the slot; `Ring::check` asking only the
/// first rule; one call more than the limit; `release` of two; tokio's timer 3 ms late.
#[tokio::test(start_paused = true)]
async fn for_days_of_constant_demand_all_that_three_limits_allow_is_used_and_shared_evenly() {
    const DAYS: u64 = 4;
    let limiter = limited(&TIER, 4);
    let traffic = Traffic::of(&limiter, &TIER, 4, DAYS * 24);
    // Two seconds a call on average: four slots make 120 a minute.
    let (log, calls) = traffic.spawn(24, |client| client.press(4_000)).run().await;
    log.tell("constant demand", DAYS * 24);
    for rule in TIER {
        log.assert_within(rule);
    }
    let in_time = log.begins.partition_point(|begin| *begin < s(DAYS * 24 * HOUR));
    let allowed = usize::try_from(DAYS).unwrap() * 10_000;
    println!("{in_time} of {allowed} allowed");
    assert!(in_time * 100 >= allowed * 98, "{in_time} of {allowed} allowed");
    let (least, most) = (calls.iter().min().unwrap(), calls.iter().max().unwrap());
    assert!(least * 100 >= most * 95, "one called {least} times, another {most}");
}

/// Tiers change while calls wait and run: at these hours of each day.
const CHANGES: [(u64, [Rule; 3]); 4] = [
    (9, [(20, s(60)), (700, s(HOUR)), (10_000, s(24 * HOUR))]),
    (12, [(120, s(60)), (2000, s(HOUR)), (12_000, s(24 * HOUR))]),
    (15, [(10, s(30)), (300, s(HOUR)), (8_000, s(24 * HOUR))]),
    (20, TIER),
];

async fn change_tiers(limiter: Limiter, pen: Pen, days: u64) {
    for day in 0..days {
        for (hour, rules) in CHANGES {
            let moment = s((24 * day + hour) * HOUR) + ms(17);
            sleep(moment.saturating_sub(pen.time())).await;
            for (n, (limit, window)) in rules.into_iter().enumerate() {
                limiter.set_rate_at(n, Rate::new(limit, window)).unwrap();
            }
            pen.note(Event::Rules(rules.to_vec()));
        }
    }
}

/// Broken by: as above, and `set_rate` waking no call; `try_admit` or `Admission::start` passing the line.
#[tokio::test(start_paused = true)]
async fn for_days_of_bursts_nights_failures_and_changing_tiers_every_call_is_in_order_and_in_time()
{
    const DAYS: u64 = 5;
    let limiter = limited(&TIER, 4);
    let traffic = Traffic::of(&limiter, &TIER, 4, DAYS * 24);
    let changes = tokio::spawn(change_tiers(limiter.clone(), traffic.pen.clone(), DAYS));
    let (log, _) = traffic.spawn(24, Client::live).run().await;
    log.tell("agents' days", DAYS * 24);
    changes.await.unwrap();
    assert!(log.given_up > 500 && log.begins.len() > 10_000);
    assert_eq!((limiter.available_permits(), limiter.waiters()), (4, 0));
}
