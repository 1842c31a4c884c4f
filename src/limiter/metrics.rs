//! A limiter's numbers as metrics.

use super::stats::{LimitStats, LimiterStats};
use super::{Limiter, Priority};
use crate::error::Limit;
use crate::events::histograms::{LEASE_DURATION, TIME_IN_QUEUE, limiter_label};
use core::time::Duration;
use metrics::{Label, Unit, counter, gauge};

const CALLS: &str = "ringgate_calls_total";
const ACTIVE_LEASES: &str = "ringgate_active_leases";
const QUEUED_CALLS: &str = "ringgate_queued_calls";
const LIMIT: &str = "ringgate_limit";
const LIMIT_USED: &str = "ringgate_limit_used";
const LIMIT_LEFT: &str = "ringgate_limit_left";
const SHARED_PERMITS: &str = "ringgate_shared_permits";
const TOKENS_RESERVED: &str = "ringgate_tokens_reserved";
const TOKENS_SETTLED: &str = "ringgate_tokens_settled_total";
const PAUSED: &str = "ringgate_paused_seconds";
const STOPPED: &str = "ringgate_stopped";
const OBSERVED: &str = "ringgate_observed_total";

/// Describes all metrics of this crate to the recorder: units, and what they mean. Call it once, after the recorder is installed.
///
/// | metric | kind | labels | what |
/// |---|---|---|---|
/// | `ringgate_calls_total` | counter | `result` | calls by their result: `admitted`, or the limit that refused |
/// | `ringgate_active_leases` | gauge | | calls in flight, with [`max_concurrent`](crate::LimiterBuilder::max_concurrent) |
/// | `ringgate_lease_duration_seconds` | histogram | | how long calls were in flight |
/// | `ringgate_queued_calls` | gauge | `priority` | calls in line |
/// | `ringgate_time_in_queue_seconds` | histogram | `result` | how long calls waited that had to: `admitted`, `cancelled`, or the limit that refused |
/// | `ringgate_limit` | gauge | `limit`, `window`, `nth` | what is allowed now |
/// | `ringgate_limit_used` | gauge | `limit`, `window`, `nth` | how much of it is in use |
/// | `ringgate_limit_left` | gauge | `limit`, `window`, `nth` | how much is left |
/// | `ringgate_shared_permits` | gauge | | free permits of the shared semaphore, or leased slots |
/// | `ringgate_tokens_reserved` | gauge | | tokens that calls in flight have reserved |
/// | `ringgate_tokens_settled_total` | counter | | tokens that calls have used |
/// | `ringgate_paused_seconds` | gauge | | what is left of a pause or a stop; 0 without one |
/// | `ringgate_stopped` | gauge | | 1 while all calls are refused |
/// | `ringgate_observed_total` | counter | `signal` | answers of the provider: `cool_down`, `ramp`, `overload`, `stop` |
///
/// Each has the label `limiter`, the limiter's [name](crate::LimiterBuilder::name) (empty without one): give limiters names, else their numbers are
/// mixed up. `window` is in seconds (empty of calls in flight), and `nth` counts the limits of one kind from 0. No label comes from a
/// call or its user. A [rate](crate::Limiter::set_rate) that gets another window begins anew under that label; the gauges of the old one keep their
/// last value.
///
/// They are published by [`Limiter::record_metrics`].
pub fn describe_metrics() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!(
        CALLS,
        Unit::Count,
        "Calls by their result: admitted, or the limit that refused."
    );
    describe_gauge!(ACTIVE_LEASES, Unit::Count, "Calls in flight.");
    describe_histogram!(LEASE_DURATION, Unit::Seconds, "How long calls were in flight.");
    describe_gauge!(QUEUED_CALLS, Unit::Count, "Calls in line, by priority.");
    describe_histogram!(TIME_IN_QUEUE, Unit::Seconds, "How long calls waited that had to.");
    describe_gauge!(LIMIT, Unit::Count, "What a limit allows now.");
    describe_gauge!(LIMIT_USED, Unit::Count, "How much of a limit is in use.");
    describe_gauge!(LIMIT_LEFT, Unit::Count, "How much of a limit is left.");
    describe_gauge!(SHARED_PERMITS, Unit::Count, "Free permits of the shared semaphore.");
    describe_gauge!(TOKENS_RESERVED, Unit::Count, "Tokens that calls in flight have reserved.");
    describe_counter!(TOKENS_SETTLED, Unit::Count, "Tokens that calls have used.");
    describe_gauge!(PAUSED, Unit::Seconds, "What is left of a pause or a stop.");
    describe_gauge!(STOPPED, Unit::Count, "1 while all calls are refused.");
    describe_counter!(OBSERVED, Unit::Count, "Answers of the provider that asked for something.");
}

impl Limiter {
    /// Publishes what [`stats`](Self::stats) says as [`metrics`](crate::describe_metrics), to the recorder of this thread. Call it now and then:
    /// every few seconds, or before each scrape.
    ///
    /// The two histograms begin with the first call of it, and belong to that call's recorder: without one they record nothing from then
    /// on. What a recorder itself does with a limiter is counted, but no duration of it is recorded.
    ///
    /// # Cost
    ///
    /// That of [`stats`](Self::stats), and of some twenty look-ups by the recorder. Admissions pay nothing before the first
    /// call. From then on each permit reads the clock twice, and records a duration when it is dropped.
    ///
    /// # Panics
    ///
    /// If the recorder panics; and as [`stats`](Self::stats).
    ///
    /// ```
    /// use ringgate::{Limiter, Rate};
    ///
    /// ringgate::describe_metrics(); // once, after the recorder is installed
    /// let limiter = Limiter::builder().name("gpt").rate(Rate::per_minute(60)).build();
    /// limiter.record_metrics(); // every few seconds
    /// ```
    pub fn record_metrics(&self) {
        self.core.make_histograms();
        let stats = self.stats();
        let recorded = Recorded { stats: &stats, limiter: limiter_label(stats.name.as_ref()) };
        recorded.calls();
        recorded.limits();
        recorded.tokens();
        recorded.provider();
    }
}

struct Recorded<'a> {
    stats: &'a LimiterStats,
    limiter: Label,
}

impl Recorded<'_> {
    fn labels(&self) -> Vec<Label> {
        vec![self.limiter.clone()]
    }

    fn with(&self, key: &'static str, value: &'static str) -> Vec<Label> {
        vec![self.limiter.clone(), Label::from_static_parts(key, value)]
    }

    fn calls(&self) {
        let stats = self.stats;
        counter!(CALLS, self.with("result", "admitted")).absolute(stats.admitted);
        for limit in Limit::KINDS {
            counter!(CALLS, self.with("result", limit.key())).absolute(stats.refused.by(limit));
        }
        let priorities =
            [(Priority::High, "high"), (Priority::Normal, "normal"), (Priority::Low, "low")];
        for (priority, name) in priorities {
            let waiting = stats.waiting.of(priority);
            gauge!(QUEUED_CALLS, self.with("priority", name)).set(in_float(waiting));
        }
        if let Some(in_flight) = stats.in_flight {
            gauge!(ACTIVE_LEASES, self.labels()).set(in_float(in_flight));
        }
        if let Some(free) = stats.shared_permits {
            gauge!(SHARED_PERMITS, self.labels()).set(in_float(free));
        }
    }

    fn limits(&self) {
        let limits = &self.stats.limits;
        for (index, limit) in limits.iter().enumerate() {
            let nth = limits[..index].iter().filter(|before| before.kind == limit.kind).count();
            let LimitStats { kind, window, .. } = *limit;
            let window = window.map_or_else(String::new, |window| window.as_secs_f64().to_string());
            let labels = vec![
                self.limiter.clone(),
                Label::from_static_parts("limit", kind.key()),
                Label::new("window", window),
                Label::new("nth", nth.to_string()),
            ];
            gauge!(LIMIT, labels.clone()).set(in_float(limit.limit));
            gauge!(LIMIT_USED, labels.clone()).set(in_float(limit.used));
            gauge!(LIMIT_LEFT, labels).set(in_float(limit.left));
        }
    }

    fn tokens(&self) {
        let tokens = self.stats.tokens;
        gauge!(TOKENS_RESERVED, self.labels()).set(in_float(tokens.reserved));
        counter!(TOKENS_SETTLED, self.labels()).absolute(tokens.settled);
    }

    fn provider(&self) {
        let stats = self.stats;
        let paused = stats.paused_for.map_or(0.0, |left| Duration::as_secs_f64(&left));
        gauge!(PAUSED, self.labels()).set(paused);
        gauge!(STOPPED, self.labels()).set(f64::from(stats.stopped.is_some()));
        let observed = stats.observed;
        let signals = [
            ("cool_down", observed.cool_downs),
            ("ramp", observed.ramps),
            ("overload", observed.overloads),
            ("stop", observed.stops),
        ];
        for (signal, count) in signals {
            counter!(OBSERVED, self.with("signal", signal)).absolute(count);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
fn in_float(number: u64) -> f64 {
    number as f64
}
