//! What a limiter publishes as metrics.
#![cfg(feature = "metrics")]

use crate::bells::{Woken, limiter};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit, with_local_recorder,
};
use ringgate::{Feedback, Limiter, Priority, Rate, StopReason, Usage, describe_metrics};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Sends each number with the name and the labels of its metric.
struct Sends(Sender<(String, f64)>);

struct Handle {
    key: String,
    to: Sender<(String, f64)>,
}

impl Handle {
    fn send(&self, value: f64) {
        self.to.send((self.key.clone(), value)).unwrap();
    }
}

impl CounterFn for Handle {
    fn increment(&self, _: u64) {
        unreachable!("counts come from stats")
    }

    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn absolute(&self, value: u64) {
        self.send(value as f64);
    }
}

impl GaugeFn for Handle {
    fn increment(&self, _: f64) {
        unreachable!("numbers come from stats")
    }

    fn decrement(&self, _: f64) {
        unreachable!("numbers come from stats")
    }

    fn set(&self, value: f64) {
        self.send(value);
    }
}

impl HistogramFn for Handle {
    fn record(&self, value: f64) {
        assert!(!self.key.contains("broken"), "of a recorder");
        self.send(value);
    }
}

impl Sends {
    fn handle(&self, key: &Key) -> Arc<Handle> {
        let labels: Vec<_> = key.labels().map(|l| format!("{}={}", l.key(), l.value())).collect();
        let key = format!("{}{{{}}}", key.name(), labels.join(","));
        Arc::new(Handle { key, to: self.0.clone() })
    }
}

impl Recorder for Sends {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.0.send((key.as_str().to_owned(), 0.0)).unwrap();
    }

    fn describe_gauge(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.0.send((key.as_str().to_owned(), 0.0)).unwrap();
    }

    fn describe_histogram(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.0.send((key.as_str().to_owned(), 0.0)).unwrap();
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.handle(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.handle(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.handle(key))
    }
}

fn recorded<R>(scene: impl FnOnce(&Receiver<(String, f64)>) -> R) -> R {
    let (to, from) = channel();
    with_local_recorder(&Sends(to), || scene(&from))
}

/// The newest number of each metric.
fn newest(from: &Receiver<(String, f64)>) -> BTreeMap<String, f64> {
    from.try_iter().collect()
}

#[track_caller]
fn assert_told(told: &BTreeMap<String, f64>, metrics: &[(&str, f64)]) {
    for (metric, value) in metrics {
        let found = told.get(*metric).unwrap_or_else(|| panic!("no {metric} in {told:#?}"));
        assert!((found - value).abs() < 1e-9, "{metric} is {found}, not {value}");
    }
}

/// Broken by: a number of another metric; a label of another name; a limit that is told as the first of its kind.
#[test]
fn what_stats_says_is_published() {
    recorded(|from| {
        let (limiter, bells) = limiter(|builder| {
            let builder = builder.name("gpt").max_concurrent(4).output_tokens(900, MINUTE);
            builder.rate(Rate::per_minute(60)).rate(Rate::per_second(2))
        });
        let call = limiter.call().output_tokens(100);
        let permits = [call.try_acquire().unwrap(), call.try_acquire().unwrap()];
        assert!(limiter.try_acquire().is_err());
        let mut waits = Woken::new(limiter.call().priority(Priority::Low).acquire());
        assert!(waits.poll().is_pending());
        limiter.observe(&Feedback::cool_down(5 * SECOND));
        limiter.record_metrics();
        assert_told(
            &newest(from),
            &[
                ("ringgate_calls_total{limiter=gpt,result=admitted}", 2.0),
                ("ringgate_calls_total{limiter=gpt,result=rate}", 1.0),
                ("ringgate_calls_total{limiter=gpt,result=stopped}", 0.0),
                ("ringgate_active_leases{limiter=gpt}", 2.0),
                ("ringgate_queued_calls{limiter=gpt,priority=low}", 1.0),
                ("ringgate_queued_calls{limiter=gpt,priority=high}", 0.0),
                ("ringgate_limit{limiter=gpt,limit=rate,window=60,nth=0}", 60.0),
                ("ringgate_limit_used{limiter=gpt,limit=rate,window=1,nth=1}", 2.0),
                ("ringgate_limit_left{limiter=gpt,limit=rate,window=60,nth=0}", 58.0),
                ("ringgate_limit_used{limiter=gpt,limit=output_tokens,window=60,nth=0}", 200.0),
                ("ringgate_limit_left{limiter=gpt,limit=concurrency,window=,nth=0}", 2.0),
                ("ringgate_tokens_reserved{limiter=gpt}", 200.0),
                ("ringgate_tokens_settled_total{limiter=gpt}", 0.0),
                ("ringgate_paused_seconds{limiter=gpt}", 5.0),
                ("ringgate_stopped{limiter=gpt}", 0.0),
                ("ringgate_observed_total{limiter=gpt,signal=cool_down}", 1.0),
            ],
        );
        for permit in permits {
            permit.settle(Usage::new(0, 30));
        }
        bells.advance(5 * SECOND);
        drop(waits.run(9).unwrap().unwrap());
        limiter.stop(StopReason::Other, None);
        limiter.record_metrics();
        assert_told(
            &newest(from),
            &[
                ("ringgate_calls_total{limiter=gpt,result=admitted}", 3.0),
                ("ringgate_active_leases{limiter=gpt}", 0.0),
                ("ringgate_queued_calls{limiter=gpt,priority=low}", 0.0),
                ("ringgate_tokens_settled_total{limiter=gpt}", 60.0),
                ("ringgate_stopped{limiter=gpt}", 1.0),
            ],
        );
    });
}

/// Broken by: a time of another clock; a histogram of a call that did not wait; a result of another name.
#[test]
fn waits_and_leases_are_recorded_once_metrics_are_asked_for() {
    recorded(|from| {
        let (limiter, bells) = limiter(|builder| builder.name("gpt").max_concurrent(1));
        let early = limiter.try_acquire().unwrap();
        limiter.record_metrics();
        newest(from);
        drop(early);
        assert_eq!(newest(from).len(), 0, "it began before");

        let permit = limiter.try_acquire().unwrap();
        bells.advance(2 * SECOND);
        let mut waits = [(); 2].map(|()| Woken::waits(&limiter, 0, 0));
        let mut in_vain = Woken::new(limiter.acquire_timeout(SECOND));
        assert!(in_vain.poll().is_pending());
        bells.advance(SECOND);
        assert!(in_vain.run(9).unwrap().is_err());
        let lease = "ringgate_lease_duration_seconds{limiter=gpt}";
        let waited =
            |result| format!("ringgate_time_in_queue_seconds{{limiter=gpt,result={result}}}");
        let all = |from: &Receiver<(String, f64)>| from.try_iter().collect::<Vec<_>>();
        assert_eq!(all(from), [(waited("concurrency"), 1.0)]);
        drop(permit);
        assert_eq!(all(from), [(lease.to_owned(), 3.0)]);
        bells.advance(SECOND);
        let [first, second] = &mut waits;
        let permit = first.run(9).unwrap().unwrap();
        assert_eq!(all(from), [(waited("admitted"), 2.0)]);
        assert!(second.poll().is_pending());
        drop(waits);
        assert_eq!(all(from), [(waited("cancelled"), 2.0)]);
        let rest = permit.release_slot();
        assert_eq!(all(from), [(lease.to_owned(), 0.0)]);
        drop(rest);
        assert_eq!(all(from), []);
    });
}

/// Broken by: `Held::drop` that records before it has released the slot.
#[test]
fn a_recorder_that_panics_loses_no_slot_and_no_tokens() {
    recorded(|_| {
        let (limiter, _bells) =
            limiter(|builder| builder.name("broken").max_concurrent(1).output_tokens(100, MINUTE));
        limiter.record_metrics();
        let permit = limiter.call().output_tokens(60).try_acquire().unwrap();
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(permit)));
        assert!(dropped.is_err(), "nothing was recorded");
        assert_eq!(limiter.available_permits(), 1);
        let stats = limiter.stats();
        assert_eq!((stats.tokens.reserved, stats.tokens.settled), (0, 60));
        assert_eq!(limiter.remaining_output_tokens(), 40);
    });
}

/// Broken by: a metric that is not described.
#[test]
fn every_metric_is_described() {
    let shared = Arc::new(ringgate::Semaphore::new(1));
    let described: BTreeSet<_> = recorded(|from| {
        describe_metrics();
        newest(from).into_keys().collect()
    });
    let published: BTreeSet<_> = recorded(|from| {
        let builder = Limiter::builder().rate(Rate::per_minute(9)).max_concurrent(1);
        let limiter = builder.semaphore(shared).build();
        limiter.record_metrics();
        let permit = limiter.try_acquire().unwrap();
        drop(Woken::waits(&limiter, 0, 0));
        drop(permit);
        let names = newest(from).into_keys();
        names.map(|key| key.split('{').next().unwrap().to_owned()).collect()
    });
    assert_eq!(described, published);
}

/// Broken by: a recorder that is needed.
#[test]
fn without_a_recorder_nothing_happens() {
    describe_metrics();
    let limiter = Limiter::new(Rate::per_minute(60), 1);
    limiter.record_metrics();
    drop(limiter.try_acquire().unwrap());
    limiter.record_metrics();
    assert_eq!(limiter.stats().admitted, 1);
}
