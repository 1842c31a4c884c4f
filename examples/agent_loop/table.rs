//! The results of the contenders, a row for each, and how to read them.

use crate::compare::Round;
use crate::contenders::{Contender, Limits};
use crate::verdict::{Rounded, percent};
use core::fmt;
use core::iter::zip;

/// The columns: two lines of head, and a width.
const COLUMNS: [(&str, &str, usize); 9] = [
    ("", "", 29),
    ("calls", "answered", 10),
    ("429s", "", 6),
    ("of them", "in flight", 11),
    ("turned", "away", 8),
    ("rate", "used", 9),
    ("first call", "after idling", 14),
    ("burst", "after idling", 14),
    ("429s at", "the turn", 10),
];

/// All rounds of a comparison.
pub(crate) struct Table<'a> {
    pub(crate) limits: Limits,
    pub(crate) rounds: &'a [Round],
}

impl Table<'_> {
    fn row(&self, round: &Round) -> [String; 9] {
        let Round { contender, verdict, idle, at_the_turn } = round;
        let (totals, counts) = (&verdict.totals, verdict.counts);
        [
            contender.name(self.limits),
            totals.answered.to_string(),
            counts.beyond().to_string(),
            counts.beyond_in_flight.to_string(),
            totals.turned_away.to_string(),
            used(round),
            Rounded(idle.first).to_string(),
            Rounded(idle.burst).to_string(),
            at_the_turn.to_string(),
        ]
    }

    fn round(&self, contender: Contender) -> Option<&Round> {
        self.rounds.iter().find(|round| round.contender == contender)
    }

    fn write_legend(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (burst, calls) = (self.limits.at_once(), self.limits.calls);
        write!(
            f,
            "\n\
             in flight      429s because too many calls were; all others are for the rate\n\
             turned away    by the pool itself: the server has not seen these calls\n\
             after idling   from asking until one call alone is admitted, the median of three;\n\
             \x20              burst: until all of {burst} are that are asked for at once\n\
             at the turn    late in a window that has seen one call, twice {calls} are asked for\n"
        )
    }

    fn write_conclusion(
        &self,
        f: &mut fmt::Formatter<'_>,
        paced: &Round,
        ringgate: &Round,
    ) -> fmt::Result {
        let (Limits { interval, calls, .. }, burst) = (self.limits, self.limits.at_once());
        let [took, takes] = [paced, ringgate].map(|round| Rounded(round.idle.burst));
        let [share, own] = [paced, ringgate].map(used);
        write!(
            f,
            "\n\
             While agents never stop asking, governor at a burst of 1 with a semaphore held to the\n\
             stream's end ties with ringgate, as long as no call goes late: {share} of the rate here,\n\
             ringgate {own}. What differs: at a burst of 1 a call that goes late delays all that\n\
             follow, and after idling {burst} calls go one every {interval:?}, in {took} (ringgate:\n\
             {takes}).\n\
             A bucket of {calls}, and tower's fixed windows, let more than {calls} calls into one\n\
             window of the server; tower and the original free a slot when an answer begins, not\n\
             when it ends."
        )
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        write_cells(f, COLUMNS.map(|(upper, ..)| upper))?;
        write_cells(f, COLUMNS.map(|(_, lower, _)| lower))?;
        for round in self.rounds {
            write_cells(f, self.row(round).each_ref().map(String::as_str))?;
        }
        self.write_legend(f)?;
        match (self.round(Contender::Paced), self.round(Contender::Ringgate)) {
            (Some(paced), Some(ringgate)) => self.write_conclusion(f, paced, ringgate),
            _ => Ok(()),
        }
    }
}

/// The first to the left of its column, the others to the right.
fn write_cells(f: &mut fmt::Formatter<'_>, cells: [&str; 9]) -> fmt::Result {
    let [first, others @ ..] = cells;
    let [(.., width), columns @ ..] = COLUMNS;
    write!(f, "{first:width$}")?;
    zip(others, columns).try_for_each(|(cell, (.., width))| write!(f, "{cell:>width$}"))?;
    writeln!(f)
}

fn used(round: &Round) -> String {
    round.verdict.share_of_rate().map_or_else(|| "-".to_owned(), percent)
}
