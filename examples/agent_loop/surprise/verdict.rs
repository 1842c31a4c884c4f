//! What was refused, lost and used after each surprise, with feedback and without.

use super::record::{Refusal, Totals};
use super::share::{Caller, GOAL, Shares};
use super::timeline::{Phase, Surprise, Timeline};
use crate::verdict::percent;
use core::fmt;
use core::time::Duration;
use ringgate_mock_provider::{Event, Log};
use std::process::ExitCode;

/// Both runs. Only the one with feedback is judged.
pub(crate) struct Verdict {
    pub(crate) heard: Outcome,
    pub(crate) ignored: Outcome,
}

/// The results of a run.
pub(crate) struct Outcome {
    rows: Vec<Row>,
    totals: Totals,
    /// Calls of the second client.
    second: usize,
}

/// What follows a surprise, until the next one.
struct Row {
    surprise: Surprise,
    refused: usize,
    /// Calls in flight when it began, or when the first refusal was heard: the larger number.
    in_flight: usize,
    /// Refused calls that were sent after the first refusal had been heard.
    later: usize,
    back_after: Option<Duration>,
    share: f64,
}

impl Outcome {
    pub(crate) fn new(timeline: &Timeline, window: Duration, log: &Log, totals: Totals) -> Self {
        let shares = Shares::new(log, window);
        let moment = timeline.moment();
        let row = |(phase, begun): (&Phase, &usize)| {
            Row::new(phase, *begun, [moment, window], &shares, &totals.refusals)
        };
        let rows = timeline.phases().iter().zip(&totals.begun).map(row).collect();
        Self { rows, totals, second: accepted_from_second(log) }
    }

    fn refused(&self) -> usize {
        self.totals.refusals.len()
    }

    fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> = self.rows.iter().flat_map(Row::faults).collect();
        let expected: usize = self.rows.iter().map(|row| row.refused).sum();
        if self.refused() > expected {
            faults
                .push(format!("{} refused when there was no surprise", self.refused() - expected));
        }
        let lost = self.totals.lost();
        if lost > 0 {
            faults.push(format!("{lost} calls lost"));
        }
        faults.extend(self.totals.first_failure.clone());
        faults
    }
}

/// How many calls of the second client were accepted.
fn accepted_from_second(log: &Log) -> usize {
    let is_theirs = |event: &Event| matches!(event, Event::Accepted { user, .. } if Caller::of(user.as_deref()) == Caller::Second);
    log.events.iter().filter(|(_, event)| is_theirs(event)).count()
}

impl Row {
    fn new(
        phase: &Phase,
        begun: usize,
        [moment, window]: [Duration; 2],
        shares: &Shares,
        refusals: &[Refusal],
    ) -> Self {
        let time = phase.time.start.into_std()..phase.time.end.into_std();
        let ours = || refusals.iter().filter(|refusal| time.contains(&refusal.heard));
        let first = ours().next();
        let late = |refusal: &&Refusal| first.is_some_and(|first| refusal.sent > first.heard);
        Self {
            surprise: phase.surprise,
            refused: ours().count(),
            in_flight: first.map_or(begun, |first| first.in_flight.max(begun)),
            later: ours().filter(late).count(),
            back_after: shares.back_after(&time, window),
            share: shares.mean(&(time.start + moment..time.end)),
        }
    }

    fn faults(&self) -> Vec<String> {
        let name = self.surprise;
        let refused = (self.refused > self.in_flight)
            .then(|| format!("{name}: {} refused, {} in flight", self.refused, self.in_flight));
        let unused = (self.share < GOAL).then(|| format!("{name}: {} used", percent(self.share)));
        [refused, unused].into_iter().flatten().collect()
    }

    fn cells(&self) -> [String; 5] {
        [
            self.refused.to_string(),
            self.in_flight.to_string(),
            self.later.to_string(),
            self.back_after.map_or_else(|| "never".to_owned(), back_after),
            percent(self.share),
        ]
    }
}

fn back_after(after: Duration) -> String {
    if after.is_zero() { "at once".to_owned() } else { format!("{:.2} s", after.as_secs_f64()) }
}

impl Verdict {
    pub(crate) fn exit_code(&self) -> ExitCode {
        if self.heard.faults().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn write_rows(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<28}{:>41}  |{:>41}", "", "with feedback", "without")?;
        let head = ["refused", "in flight", "later", "back after", "used"];
        let head = head.map(str::to_owned);
        write_line(f, "", &head, &head)?;
        for (heard, ignored) in self.heard.rows.iter().zip(&self.ignored.rows) {
            write_line(f, &heard.surprise.to_string(), &heard.cells(), &ignored.cells())?;
        }
        Ok(())
    }

    fn write_calls(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, run) in [("with", &self.heard), ("without", &self.ignored)] {
            let (sent, refused, lost) = (run.totals.sent, run.refused(), run.totals.lost());
            writeln!(
                f,
                "{name:<11} {sent} calls, {refused} times refused, {lost} lost; second client: {} calls",
                run.second
            )?;
        }
        Ok(())
    }
}

fn write_line(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    with: &[String; 5],
    without: &[String; 5],
) -> fmt::Result {
    write!(f, "{name:<28}")?;
    write_cells(f, with)?;
    f.write_str("  |")?;
    write_cells(f, without)?;
    writeln!(f)
}

fn write_cells(f: &mut fmt::Formatter<'_>, cells: &[String; 5]) -> fmt::Result {
    let [refused, in_flight, later, back_after, share] = cells;
    write!(f, "{refused:>8}{in_flight:>10}{later:>6}{back_after:>11}{share:>9}")
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        self.write_rows(f)?;
        writeln!(
            f,
            "\n\
             refused     429s and 503s; at most as many as were in flight\n\
             in flight   sent and not answered to the end when it began, or when the first of these was\n\
             \x20           heard (that one included) if more were then\n\
             later       of the refused, those sent after one was heard\n\
             back after  from then on a window long at least 95 % of what was allowed was used\n\
             used        of what was allowed, from a sixth of the window after the surprise on; at least 95 %:\n\
             \x20           the server's window, its limit less the second client's calls; under the overload\n\
             \x20           calls in flight of its capacity, where that was fuller\n"
        )?;
        self.write_calls(f)?;
        if !self.ignored.faults().is_empty() {
            writeln!(f, "without feedback it fails; that is for comparison")?;
        }
        match self.heard.faults().as_slice() {
            [] => f.write_str("PASS"),
            faults => write!(f, "BROKEN: {}", faults.join("; ")),
        }
    }
}
