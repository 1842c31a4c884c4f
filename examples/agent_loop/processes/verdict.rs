//! Whether the processes kept the limits together, and what it has cost.

use super::chaos::Outcome;
use super::family::Life;
use super::report::Phase;
use super::use_of_limits::{self, Use};
use crate::flags::Flags;
use crate::verdict::{Rounded, percent};
use core::fmt;
use core::ops::Range;
use core::time::Duration;
use ringgate_mock_provider::{Counts, Event, Log, MockProvider};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

/// The results of the run.
pub(crate) struct Verdict {
    chaos: bool,
    least: f64,
    counts: Counts,
    /// The limits that there are, with the share used.
    uses: Vec<Use>,
    window: Duration,
    rows: Vec<Row>,
    outcome: Outcome,
}

/// A process.
struct Row {
    life: Life,
    /// Calls that the server has accepted.
    accepted: usize,
}

impl Row {
    /// Calls in a second of its life.
    #[expect(clippy::cast_precision_loss, reason = "a number to read")]
    fn rate(&self) -> f64 {
        let time = self.life.time.end - self.life.time.start;
        self.accepted as f64 / time.as_secs_f64().max(f64::EPSILON)
    }

    fn faults(&self) -> Vec<String> {
        let Life { name, report, killed, .. } = &self.life;
        let mut faults = Vec::new();
        if !killed && report.phase != Phase::Done {
            faults.push(format!("process {name} has not come to its end"));
        }
        if report.failed > 0 {
            let why = report.failure.as_deref().unwrap_or_default();
            faults.push(format!("process {name}: failed calls: {}: {why}", report.failed));
        }
        if !killed && self.accepted == 0 {
            faults.push(format!("process {name} has made no call"));
        }
        faults
    }
}

impl Verdict {
    /// `time` is when the processes could begin calls.
    pub(crate) fn new(
        flags: &Flags,
        time: Range<Instant>,
        server: &MockProvider,
        lives: Vec<Life>,
        outcome: Outcome,
    ) -> Self {
        let (log, terms) = (server.log(), flags.terms());
        let mut accepted = accepted(&log);
        let row = |life: Life| Row { accepted: accepted.remove(&life.name).unwrap_or(0), life };
        Self {
            chaos: flags.chaos,
            least: flags.least(),
            counts: server.counts(),
            uses: use_of_limits::of(&log, terms, &time),
            window: terms.window,
            rows: lives.into_iter().map(row).collect(),
            outcome,
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        if self.broken().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// All failures.
    fn broken(&self) -> Vec<String> {
        let (beyond, overrun) = (self.counts.beyond(), self.counts.overrun);
        let mut broken = Vec::new();
        if beyond > 0 {
            broken.push(format!("{beyond} calls were beyond the limits"));
        }
        if overrun > 0 {
            broken.push(format!("{overrun} answers went beyond the limit on output"));
        }
        if self.counts.invalid > 0 {
            broken.push(format!("{} requests were no calls", self.counts.invalid));
        }
        if self.is_wasteful() {
            broken.push(format!("less than {} of the limits was used", percent(self.least)));
        }
        let (longest, patience) = (self.longest(), self.outcome.patience);
        if longest > patience {
            broken.push(format!("a call was in line for {longest:?}, more than {patience:?}"));
        }
        broken.extend(self.rows.iter().flat_map(Row::faults));
        broken.extend(self.outcome.faults.iter().cloned());
        broken
    }

    fn is_wasteful(&self) -> bool {
        !self.chaos && self.share().is_some_and(|(_, share)| share < self.least)
    }

    /// The limit that was used most.
    fn share(&self) -> Option<Use> {
        self.uses.iter().copied().max_by(|(_, one), (_, other)| one.total_cmp(other))
    }

    /// The longest that a call was in line.
    fn longest(&self) -> Duration {
        self.rows.iter().map(|row| row.life.report.longest).max().unwrap_or_default()
    }

    fn sum(&self, number: impl Fn(&Life) -> u64) -> u64 {
        self.rows.iter().map(|row| number(&row.life)).sum()
    }

    fn write_share(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((name, share)) = self.share() else {
            return writeln!(f, "share used  unknown: the run was shorter than two windows");
        };
        write!(f, "share used  {} of {name}", percent(share))?;
        for (other, share) in self.uses.iter().filter(|(other, _)| *other != name) {
            write!(f, ", {} of {other}", percent(*share))?;
        }
        write!(f, "; the mean of all whole windows of {:?}", self.window)?;
        writeln!(f, "{}", if self.chaos { " (not judged)" } else { "" })
    }

    #[expect(clippy::cast_precision_loss, reason = "a number to read")]
    fn write_trips(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trips, calls) = (self.sum(|life| life.report.trips), self.counts.accepted);
        let per_call = trips as f64 / calls.max(1) as f64;
        writeln!(f, "trips       {per_call:.3} for each call: {trips} to the store")
    }

    fn write_processes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "calls/s    ")?;
        for row in &self.rows {
            write!(f, " {}: {:.1}", row.life.name, row.rate())?;
            f.write_str(if row.life.killed { " (killed)" } else { "" })?;
        }
        writeln!(f)?;
        let rates = self.rows.iter().filter(|row| !row.life.killed).map(Row::rate);
        let least = rates.clone().min_by(f64::total_cmp).unwrap_or(0.0);
        let most = rates.max_by(f64::total_cmp).unwrap_or(0.0);
        let fairness = least / most.max(f64::EPSILON);
        writeln!(f, "fairness    {fairness:.2}: the process with least calls to the one with most")
    }

    fn write_chaos(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.chaos {
            return Ok(());
        }
        let Outcome { happened, missing, .. } = &self.outcome;
        writeln!(f, "chaos       {happened} events")?;
        if missing.is_empty() {
            return Ok(());
        }
        writeln!(f, "            there was no time for these: {}", missing.join("; "))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { accepted, beyond_requests, beyond_tokens, beyond_in_flight, overrun, .. } =
            self.counts;
        let answered = self.sum(|life| life.report.answered);
        writeln!(f)?;
        writeln!(
            f,
            "calls       {accepted} accepted, {answered} answered to processes that told it"
        )?;
        write!(f, "429s        {}: {beyond_requests} beyond the rate, ", self.counts.beyond())?;
        write!(
            f,
            "{beyond_tokens} beyond the tokens, {beyond_in_flight} beyond those in flight; "
        )?;
        writeln!(f, "{overrun} answers beyond the output")?;
        self.write_share(f)?;
        self.write_trips(f)?;
        self.write_processes(f)?;
        let half = self.rows.iter().map(|row| row.life.report.wait).max().unwrap_or_default();
        let longest = self.longest();
        write!(f, "wait        p50 {} in the process that waited most, ", Rounded(half))?;
        writeln!(f, "max {}", Rounded(longest))?;
        let too_late = self.sum(|life| life.report.too_late);
        writeln!(f, "not sent    {too_late} calls, too long after their admission")?;
        self.write_chaos(f)?;
        match self.broken().as_slice() {
            [] => f.write_str("PASS"),
            reasons => write!(f, "BROKEN: {}", reasons.join("; ")),
        }
    }
}

/// How many calls of each process were accepted.
fn accepted(log: &Log) -> BTreeMap<String, usize> {
    let mut accepted = BTreeMap::new();
    for (_, event) in &log.events {
        if let Event::Accepted { user: Some(user), .. } = event {
            *accepted.entry(user.to_string()).or_default() += 1;
        }
    }
    accepted
}
