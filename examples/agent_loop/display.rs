//! The display while the agents run: bars on a terminal, otherwise an occasional line.

use crate::counting::metered;
use crate::flags::Terms;
use crate::tally::Tally;
use core::fmt;
use core::time::Duration;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use ringgate_mock_provider::{InWindow, MockProvider};
use std::io::{self, IsTerminal, Write};
use tokio::time::{Instant, interval_at};

const TICK: Duration = Duration::from_millis(100);
/// The number of ticks per line.
const TICKS_PER_LINE: u32 = 20;

/// Collects the state of all agents and shows it.
pub(crate) struct Display<'a> {
    pub(crate) agents: usize,
    pub(crate) terms: Terms,
    pub(crate) start: Instant,
    pub(crate) deadline: Instant,
    pub(crate) server: &'a MockProvider,
    pub(crate) tally: &'a Tally,
}

/// The state at one moment. Window and calls in flight are as the server counts them.
struct Frame {
    agents: usize,
    terms: Terms,
    elapsed: Duration,
    in_window: usize,
    in_flight: usize,
    /// The share of the tightest limit on tokens that is counted now.
    tokens: Option<f64>,
    in_line: usize,
    answered: usize,
    beyond: usize,
}

impl Display<'_> {
    /// Runs until it is dropped.
    pub(crate) async fn show(&self) {
        let mut screen = Screen::new(self.terms);
        let mut ticks = interval_at(self.start + TICK, TICK);
        loop {
            ticks.tick().await;
            if Instant::now() < self.deadline {
                self.tally.look(self.server.counts().in_flight < self.terms.concurrency);
            }
            screen.show(&self.frame());
        }
    }

    fn frame(&self) -> Frame {
        let (counts, in_window) = (self.server.counts(), self.server.in_window());
        Frame {
            agents: self.agents,
            terms: self.terms,
            elapsed: self.start.elapsed(),
            in_window: in_window.requests,
            in_flight: counts.in_flight,
            tokens: share(self.terms, in_window),
            in_line: self.tally.in_line(),
            answered: self.tally.answers(),
            beyond: counts.beyond(),
        }
    }
}

/// The share of the tightest limit on tokens that the window holds, if they are counted.
#[expect(clippy::cast_precision_loss, reason = "a share to look at")]
fn share(terms: Terms, held: InWindow) -> Option<f64> {
    let [arriving, sent] = metered(terms.tokens).map(|limit| limit.max(1) as f64);
    let shares = [held.counted_at_arrival as f64 / arriving, held.counted_as_sent as f64 / sent];
    terms.count_tokens().then(|| shares[0].max(shares[1]))
}

impl Frame {
    /// The numbers without bars.
    fn summary(&self) -> String {
        let Self { agents, in_line, answered, beyond, .. } = self;
        let rate = self.throughput();
        let tokens = self.tokens.map(|share| format!("tokens {:.0} %, ", 100.0 * share));
        let tokens = tokens.unwrap_or_default();
        format!(
            "{tokens}agents {agents}, in line {in_line}, answers {answered} ({rate:.1}/s), beyond the limits {beyond}"
        )
    }

    /// Answers per second since the start.
    #[expect(clippy::cast_precision_loss, reason = "a number to look at")]
    fn throughput(&self) -> f64 {
        self.answered as f64 / self.elapsed.as_secs_f64()
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { terms: Terms { limit, concurrency, .. }, in_window, in_flight, .. } = self;
        write!(f, "{:5.1} s  ", self.elapsed.as_secs_f64())?;
        write!(f, "window {in_window}/{limit}, in flight {in_flight}/{concurrency}, ")?;
        f.write_str(&self.summary())
    }
}

/// Where frames are shown.
enum Screen {
    Bars { window: ProgressBar, in_flight: ProgressBar, summary: ProgressBar },
    Lines { ticks: u32 },
}

impl Screen {
    fn new(terms: Terms) -> Self {
        if !io::stderr().is_terminal() {
            return Self::Lines { ticks: 0 };
        }
        let all = MultiProgress::new();
        let add = |length, template| all.add(ProgressBar::new(length)).with_style(style(template));
        Self::Bars {
            window: add(terms.limit.into(), BAR).with_prefix("window"),
            in_flight: add(terms.concurrency as u64, BAR).with_prefix("in flight"),
            summary: add(0, "{spinner} {elapsed:>4} {msg}"),
        }
    }

    fn show(&mut self, frame: &Frame) {
        match self {
            Self::Bars { window, in_flight, summary } => {
                window.set_position(frame.in_window as u64);
                in_flight.set_position(frame.in_flight as u64);
                summary.set_message(frame.summary());
                summary.tick();
            }
            Self::Lines { ticks } => {
                *ticks += 1;
                if ticks.is_multiple_of(TICKS_PER_LINE) {
                    // A closed output is no reason to fail.
                    let _ = writeln!(io::stderr(), "{frame}");
                }
            }
        }
    }
}

const BAR: &str = "{prefix:>9} [{bar:40}] {pos}/{len}";

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
