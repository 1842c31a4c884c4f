//! When what happens.

use super::record::Record;
use super::second;
use crate::flags::{Flags, Terms};
use crate::say;
use crate::verdict::Rounded;
use core::fmt;
use core::ops::Range;
use core::time::Duration;
use ringgate_mock_provider::{Counting, MockProvider};
use std::io;
use tokio::time::{Instant, sleep_until};

/// What happens to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surprise {
    Lowered,
    Raised,
    Second,
    Alone,
    Overload,
    Relieved,
    Refusals,
}

/// Each with its share of the time, in hundredths. The rest is for the beginning and the break. The overload is the longest:
/// the number at a time comes back one by one.
const ORDER: [(Surprise, u32); 7] = [
    (Surprise::Second, 16),
    (Surprise::Alone, 9),
    (Surprise::Refusals, 12),
    (Surprise::Lowered, 12),
    (Surprise::Raised, 8),
    (Surprise::Overload, 28),
    (Surprise::Relieved, 6),
];

/// Before the first.
const BEGINNING: u32 = 6;

/// In a shorter run hardly a phase would last two windows.
const LEAST_WINDOWS: u32 = 15;

/// The run from its start to its end.
#[derive(Debug, Clone)]
pub(crate) struct Timeline {
    start: Instant,
    terms: Terms,
    phases: [Phase; 7],
    /// The agents make no calls.
    rest: Range<Instant>,
}

/// A surprise, and the time until the next one.
#[derive(Debug, Clone)]
pub(crate) struct Phase {
    pub(crate) surprise: Surprise,
    pub(crate) time: Range<Instant>,
}

impl Timeline {
    pub(crate) fn new(start: Instant, flags: &Flags) -> Result<Self, String> {
        let (terms, hundredth) = (flags.terms(), flags.seconds / 100);
        let least = terms.window * LEAST_WINDOWS;
        if flags.seconds < least || terms.limit < 3 {
            return Err(format!("too little to see anything: at least {least:?} and 3 calls"));
        }
        let mut next = start + hundredth * BEGINNING;
        let mut rest = start..start;
        let phases = ORDER.map(|(surprise, hundredths)| {
            if surprise == Surprise::Overload {
                rest = next..next + terms.window / 5;
                next = rest.end;
            }
            let time = next..next + hundredth * hundredths;
            next = time.end;
            Phase { surprise, time }
        });
        Ok(Self { start, terms, phases, rest })
    }

    pub(crate) fn start(&self) -> Instant {
        self.start
    }

    pub(crate) fn phases(&self) -> &[Phase] {
        &self.phases
    }

    /// When no new calls are begun any more.
    pub(crate) fn end(&self) -> Instant {
        self.phases[self.phases.len() - 1].time.end
    }

    /// Until when an agent may line up with a new call; at the end `None`. Waits while there is a break.
    pub(crate) async fn works_until(&self) -> Option<Instant> {
        if self.rest.contains(&Instant::now()) {
            sleep_until(self.rest.end).await;
        }
        let now = Instant::now();
        [self.rest.start, self.end()].into_iter().find(|end| now < *end)
    }

    /// Plays it with a server.
    pub(crate) async fn play(&self, server: &MockProvider, record: &Record, aloud: bool) {
        for phase in &self.phases {
            sleep_until(phase.time.start).await;
            if aloud {
                let time = (phase.time.start - self.start).as_secs_f64();
                say(io::stderr(), &format_args!("{time:5.1} s  {}", phase.surprise));
            }
            record.begin();
            self.change(server, phase);
        }
        sleep_until(self.end()).await;
    }

    fn change(&self, server: &MockProvider, phase: &Phase) {
        let full = Terms { concurrency: 2 * self.terms.concurrency, ..self.terms };
        match phase.surprise {
            Surprise::Lowered => server.set_terms(lowered(full).of_server()),
            Surprise::Raised | Surprise::Relieved => server.set_terms(full.of_server()),
            Surprise::Second => {
                tokio::spawn(second::run(server.url(), self.terms, phase.time.end));
            }
            Surprise::Alone => {}
            Surprise::Overload => server.overload(self.capacity()),
            Surprise::Refusals => server.close_for(self.moment()),
        }
    }

    /// How many calls in flight the overloaded server takes: five sixths of the limiter's.
    fn capacity(&self) -> usize {
        (self.terms.concurrency - self.terms.concurrency / 6).max(1)
    }

    /// What ten seconds are of a minute.
    pub(crate) fn moment(&self) -> Duration {
        self.terms.window / 6
    }
}

/// A third less.
fn lowered(terms: Terms) -> Terms {
    let tokens = match terms.tokens {
        Counting::AtArrival { total } => Counting::AtArrival { total: total - total / 3 },
        tokens => tokens,
    };
    Terms { limit: terms.limit - terms.limit / 3, tokens, ..terms }
}

impl fmt::Display for Surprise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Lowered => "limits lowered by a third",
            Self::Raised => "limits raised again",
            Self::Second => "second client takes a third",
            Self::Alone => "second client has gone",
            Self::Overload => "overload",
            Self::Relieved => "overload is over",
            Self::Refusals => "429s below the limits",
        })
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "overload    503 beyond {} in flight\n\
             429s        to all calls for {}, what ten seconds are of a minute",
            self.capacity(),
            Rounded(self.moment())
        )
    }
}
