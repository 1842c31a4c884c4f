//! Whether the limits were kept, and whether what they allow was used.

use crate::flags::{Flags, Terms};
use crate::tally::Totals;
use crate::tokens::Tokens;
use core::fmt;
use core::ops::Range;
use core::time::Duration;
use ringgate_mock_provider::{Counts, MockProvider};
use std::process::ExitCode;
use std::time::Instant;

/// The least share that eager agents must get of the rate with the margin: what the limiter can give.
const GOAL: f64 = 0.98;

/// The results of the run.
#[derive(Debug)]
pub(crate) struct Verdict {
    terms: Terms,
    unlimited: bool,
    lenient: bool,
    /// For how long the agents could begin calls.
    time: Duration,
    accepted: usize,
    pub(crate) counts: Counts,
    /// With the waits sorted.
    pub(crate) totals: Totals,
    use_of_rate: UseOfRate,
    /// How much of what the limiter can give was used: its calls count longer, by the margin.
    use_with_margin: f64,
    pub(crate) tokens: Option<Tokens>,
    /// Sorted. Measured separately from the run.
    pub(crate) overhead: Vec<Duration>,
}

/// How well the allowed rate was used, by the server's log of accepted arrivals `a(1) … a(n)`.
///
/// A window of `N` places is best used if each place is taken again the moment it is free: call
/// `k + N` arrives one window `W` after call `k`. So the share of the allowed rate that was used is
///
/// ```text
///                         (n − N) · W
///   ─────────────────────────────────────────────────────
///    sum of a(k + N) − a(k)  for all k that have a k + N
///    +  time for which places lay free at the end
/// ```
///
/// The first window counts for nothing, full or not, and neither does the last, which the end of
/// the run cuts off; what is left is the share of an endless run. A place that was free at the end and
/// not taken counts from the moment it was free. Otherwise a limiter that stops half-way would look perfect.
#[derive(Debug, Default)]
struct UseOfRate {
    /// How often a place was used again: `n − N`.
    times: u32,
    /// The sum of the times until then.
    reused: Duration,
    /// How long places lay free at the end, in sum.
    lay_free: Duration,
}

impl UseOfRate {
    fn of(arrivals: &[Instant], terms: Terms, time: &Range<Instant>) -> Self {
        let places = usize::try_from(terms.limit).unwrap_or(usize::MAX);
        let (before, last) = arrivals.split_at(arrivals.len().saturating_sub(places));
        let again = arrivals.iter().skip(places);
        let reused: Duration = before.iter().zip(again).map(|(one, next)| *next - *one).sum();
        let free = |at: &Instant| time.end.saturating_duration_since(*at + terms.window);
        let never_used = u32::try_from(places - last.len()).unwrap_or(u32::MAX);
        let lay_free =
            last.iter().map(free).sum::<Duration>() + (time.end - time.start) * never_used;
        Self { times: u32::try_from(before.len()).unwrap_or(u32::MAX), reused, lay_free }
    }

    /// The average time until a place was used again, if any was.
    fn reuse(&self) -> Option<Duration> {
        self.reused.checked_div(self.times)
    }

    fn share(&self, window: Duration) -> f64 {
        let took = self.reused + self.lay_free;
        if took.is_zero() { 0.0 } else { (window * self.times).div_duration_f64(took) }
    }
}

impl Verdict {
    /// `time` is when the agents could begin calls.
    pub(crate) fn new(
        flags: &Flags,
        time: Range<Instant>,
        server: &MockProvider,
        mut totals: Totals,
        given_out: Option<[f64; 2]>,
    ) -> Self {
        totals.waits.sort_unstable();
        let (terms, kept, log) = (flags.terms(), flags.terms_with_margin(), server.log());
        Self {
            terms,
            unlimited: flags.unlimited,
            lenient: flags.lenient,
            time: time.end - time.start,
            accepted: log.arrivals.len(),
            counts: server.counts(),
            use_of_rate: UseOfRate::of(&log.arrivals, terms, &time),
            use_with_margin: UseOfRate::of(&log.arrivals, kept, &time).share(kept.window),
            tokens: Tokens::new(terms, kept, &time, &log, totals.tokens, given_out),
            totals,
            overhead: Vec::new(),
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        if self.broken().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// All failures.
    fn broken(&self) -> Vec<String> {
        let Totals { failed, first_failure, .. } = &self.totals;
        let failure = first_failure.as_deref().unwrap_or_default();
        let beyond = self.counts.beyond();
        let overrun = self.counts.overrun;
        let checks = [
            (*failed > 0, format!("failed calls: {failed}, the first because {failure}")),
            (self.accepted == 0, "the server accepted no call at all".to_owned()),
            (beyond > 0 && !self.unlimited, format!("{beyond} calls were beyond the limits")),
            (
                overrun > 0 && !self.unlimited,
                format!("{overrun} answers went beyond the limit on output"),
            ),
            (self.miscounted(), "agents and server do not count the same".to_owned()),
            (
                self.wasteful(),
                format!(
                    "less than {} of what the limits and the margin allow was used",
                    percent(GOAL)
                ),
            ),
        ];
        checks.into_iter().filter_map(|(broken, reason)| broken.then_some(reason)).collect()
    }

    pub(crate) fn judgement(&self) -> String {
        match self.broken().as_slice() {
            [] if self.unlimited => {
                let (beyond, all) = (self.counts.beyond(), self.counts.beyond() + self.accepted);
                format!(
                    "as expected without a limiter: {beyond} of {all} calls were beyond the limits"
                )
            }
            [] => "PASS".to_owned(),
            reasons => format!("BROKEN: {}", reasons.join("; ")),
        }
    }

    fn miscounted(&self) -> bool {
        let Totals { answered, hung_up, too_many_requests, failed, .. } = self.totals;
        let ended = answered + hung_up;
        too_many_requests != self.refusals() || (failed == 0 && ended != self.accepted)
    }

    /// How often the server said 429.
    fn refusals(&self) -> usize {
        if self.lenient { 0 } else { self.counts.beyond() }
    }

    fn wasteful(&self) -> bool {
        let tokens = self.tokens.as_ref().and_then(Tokens::share).unwrap_or_default();
        self.excuse().is_none() && self.use_with_margin.max(tokens) < GOAL
    }

    /// Why the use of the rate says nothing about the limiter, if so.
    fn excuse(&self) -> Option<&'static str> {
        let pressure = self.totals.pressure;
        let excuses = [
            (self.unlimited, "there was no limiter"),
            (self.time < 2 * self.terms.window, "the run was shorter than two windows"),
            (!self.asked_for_more(), "the agents did not ask for more"),
            (pressure.short_of_slots(), "calls in line waited for slots, not for the rate"),
        ];
        excuses.into_iter().find_map(|(holds, excuse)| holds.then_some(excuse))
    }

    /// The tokens' share is read only while calls are in line, so that these need not be there always.
    fn asked_for_more(&self) -> bool {
        let pressure = self.totals.pressure;
        if self.tokens.is_some() { pressure.often_in_line() } else { pressure.eager() }
    }

    /// The share of the allowed rate that was used, if any place in the window was used again.
    pub(crate) fn share_of_rate(&self) -> Option<f64> {
        self.use_of_rate.reuse().map(|_| self.use_of_rate.share(self.terms.window))
    }

    /// The figures to compare with another pool.
    #[cfg(feature = "oxi-ai")]
    pub(crate) fn rows(&self) -> [(&'static str, String); 12] {
        let Self { totals, counts, .. } = self;
        let [wait, overhead] = [&totals.waits, &self.overhead].map(|times| Spread(times));
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let time = |spread: &Spread<'_>, percent| {
            or_none(spread.percentile(percent).map(|time| time.to_string()))
        };
        let share = or_none(self.share_of_rate().map(percent));
        [
            ("calls started", totals.waits.len().to_string()),
            ("refused by the pool", totals.turned_away.to_string()),
            ("beyond the server's limits", counts.beyond().to_string()),
            ("429s", self.refusals().to_string()),
            ("answered", totals.answered.to_string()),
            ("streams in flight, at most", totals.peak_streams.to_string()),
            ("share of the allowed calls", percent(self.share_of_calls())),
            ("share of the rate, in the long run", share),
            ("wait until the call starts, p50", time(&wait, 50)),
            ("                            p99", time(&wait, 99)),
            ("                            max", time(&wait, 100)),
            ("overhead of one call, p50", time(&overhead, 50)),
        ]
    }

    /// Calls that the server has accepted, of those that fit into the time: one window's worth at
    /// its start, and another whenever a window has passed.
    #[cfg(feature = "oxi-ai")]
    #[expect(clippy::cast_precision_loss, reason = "a share to read")]
    fn share_of_calls(&self) -> f64 {
        let windows = self.time.as_nanos() / self.terms.window.as_nanos() + 1;
        self.accepted as f64 / (windows as f64 * f64::from(self.terms.limit))
    }

    fn write_calls(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Totals { waits, answered, hung_up, too_many_requests, left_the_line, failed, .. } =
            &self.totals;
        write!(f, "calls       {} sent, {answered} answered, ", waits.len())?;
        if self.tokens.is_some() {
            write!(f, "{hung_up} given up half-way, ")?;
        }
        writeln!(f, "{failed} failed")?;
        writeln!(f, "            {left_the_line} more in line when the time was over")?;
        write!(f, "429s        {too_many_requests}: ")?;
        let Counts { beyond_requests, beyond_tokens, beyond_in_flight, peak_in_flight, .. } =
            self.counts;
        write!(f, "{beyond_requests} calls beyond the rate, ")?;
        if self.tokens.is_some() {
            write!(f, "{beyond_tokens} beyond the tokens, ")?;
        }
        writeln!(f, "{beyond_in_flight} beyond those in flight")?;
        writeln!(f, "in flight   {peak_in_flight} at most, of {}", self.terms.concurrency)
    }

    fn write_rate(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let window = self.terms.window;
        let share = percent(self.use_of_rate.share(window));
        match self.use_of_rate.reuse().map(Rounded) {
            None => writeln!(f, "rate used   no place in the window of {window:?} was used again"),
            Some(reuse) => writeln!(
                f,
                "rate used   {share}: places in the window of {window:?} were used again after {reuse}"
            ),
        }
    }

    fn write_excuse(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.excuse().map_or(Ok(()), |excuse| writeln!(f, "            not judged: {excuse}"))
    }

    fn write_times(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "wait        {}", Spread(&self.totals.waits))?;
        writeln!(f, "overhead    {}", Spread(&self.overhead))?;
        let what = if self.tokens.is_some() {
            "admission and settlement"
        } else {
            "admission and release"
        };
        writeln!(f, "            ({what}, no call in line; means of 64, after the run)")
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        self.write_calls(f)?;
        self.write_rate(f)?;
        if let Some(tokens) = &self.tokens {
            write!(f, "{tokens}")?;
        }
        self.write_excuse(f)?;
        self.write_times(f)?;
        f.write_str(&self.judgement())
    }
}

/// Percentiles of sorted durations.
struct Spread<'a>(&'a [Duration]);

impl Spread<'_> {
    /// The least duration that is not below `percent` of all.
    fn percentile(&self, percent: usize) -> Option<Rounded> {
        let rank = (self.0.len() * percent).div_ceil(100).checked_sub(1)?;
        self.0.get(rank).copied().map(Rounded)
    }
}

impl fmt::Display for Spread<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.percentile(50), self.percentile(99), self.percentile(100)) {
            (Some(p50), Some(p99), Some(max)) => write!(f, "p50 {p50}, p99 {p99}, max {max}"),
            _ => f.write_str("none"),
        }
    }
}

/// A readable duration: three decimals of its unit, and no fractions of nanoseconds.
pub(crate) struct Rounded(pub(crate) Duration);

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = if self.0 < Duration::from_micros(1) { 0 } else { 3 };
        write!(f, "{:.decimals$?}", self.0)
    }
}

pub(crate) fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}
