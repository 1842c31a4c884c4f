//! What a process tells of itself: lines of JSON, at times and at its end.

use crate::tally::Totals;
use core::time::Duration;
use serde_json::{Value, json};

/// How far a process is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It has said nothing yet.
    #[default]
    Begun,
    /// It waits until it may begin.
    Ready,
    Working,
    /// All its agents have ended.
    Done,
    /// Its output has ended before.
    Gone,
}

/// The numbers of a process so far.
#[derive(Debug, Default, Clone)]
pub(crate) struct Report {
    pub(crate) phase: Phase,
    /// Requests to the store.
    pub(crate) trips: u64,
    /// Calls with a whole answer.
    pub(crate) answered: u64,
    /// Calls admitted, and not sent because that was too long ago.
    pub(crate) too_late: u64,
    /// Calls without an answer for other reasons than a limit.
    pub(crate) failed: u64,
    pub(crate) failure: Option<String>,
    /// Calls in line now.
    pub(crate) in_line: u64,
    /// The time in line of half of the calls at most, and of the one that was there longest.
    pub(crate) wait: Duration,
    pub(crate) longest: Duration,
}

impl Report {
    pub(crate) fn new(phase: Phase, trips: u64, in_line: usize, mut totals: Totals) -> Self {
        let middle = totals.waits.len() / 2;
        let half = match totals.waits.as_mut_slice() {
            [] => Duration::ZERO,
            waits => *waits.select_nth_unstable(middle).1,
        };
        let longest = totals.waits.iter().copied().max().unwrap_or_default();
        Self {
            phase,
            trips,
            answered: count(totals.answered),
            too_late: count(totals.too_late),
            failed: count(totals.failed),
            failure: totals.first_failure,
            in_line: count(in_line),
            wait: half,
            longest: longest.max(totals.longest_left),
        }
    }

    /// One that has nothing to tell but why it ends.
    pub(crate) fn failed(why: String) -> Self {
        Self { failed: 1, failure: Some(why), ..Self::default() }
    }

    pub(crate) fn to_line(&self) -> String {
        let phase = match self.phase {
            Phase::Begun => "begun",
            Phase::Ready => "ready",
            Phase::Working => "working",
            Phase::Done => "done",
            Phase::Gone => "gone",
        };
        let line = json!({
            "phase": phase,
            "trips": self.trips,
            "answered": self.answered,
            "too_late": self.too_late,
            "failed": self.failed,
            "failure": self.failure,
            "in_line": self.in_line,
            "wait_ms": millis(self.wait),
            "longest_ms": millis(self.longest),
        });
        line.to_string()
    }

    /// `None` if the line is no report.
    pub(crate) fn of_line(line: &str) -> Option<Self> {
        let line: Value = serde_json::from_str(line).ok()?;
        let phase = match line["phase"].as_str()? {
            "begun" => Phase::Begun,
            "ready" => Phase::Ready,
            "working" => Phase::Working,
            "done" => Phase::Done,
            _ => return None,
        };
        let number = |name: &str| line[name].as_u64();
        let time = |name: &str| number(name).map(Duration::from_millis);
        Some(Self {
            phase,
            trips: number("trips")?,
            answered: number("answered")?,
            too_late: number("too_late")?,
            failed: number("failed")?,
            failure: line["failure"].as_str().map(str::to_owned),
            in_line: number("in_line")?,
            wait: time("wait_ms")?,
            longest: time("longest_ms")?,
        })
    }
}

fn count(number: usize) -> u64 {
    number.try_into().unwrap_or(u64::MAX)
}

fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}
