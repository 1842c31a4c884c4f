//! What became of the tokens, for the verdict.

use crate::flags::Terms;
use crate::tally::Spent;
use crate::verdict::percent;
use core::fmt;
use core::ops::Range;
use core::time::Duration;
use ringgate::Usage;
use ringgate_mock_provider::{Counting, Log};
use std::time::Instant;

/// The limits on tokens, how far they were used, and what calls reserved and used.
#[derive(Debug)]
pub(crate) struct Tokens {
    uses: Vec<Use>,
    window: Duration,
    spent: Spent,
    gives_back: bool,
}

/// How far one limit was used.
#[derive(Debug)]
struct Use {
    name: &'static str,
    limit: u64,
    /// What is counted there before a call is settled.
    held: &'static str,
    /// The mean share that was given out while calls were in line, by the limiter's count.
    given_out: Option<f64>,
    /// The share by the server's log. The margin makes it less. `None` if the run was too short.
    counted: Option<f64>,
}

impl Tokens {
    /// `kept` are the terms with the margin.
    pub(crate) fn new(
        terms: Terms,
        kept: Terms,
        time: &Range<Instant>,
        log: &Log,
        spent: Spent,
        given_out: Option<[f64; 2]>,
    ) -> Option<Self> {
        let of = |name, limit, held, entries: &[(Instant, u64)], n: usize| Use {
            name,
            limit,
            held,
            given_out: given_out.map(|shares| shares[n]),
            counted: share(entries, limit, [terms.window, kept.window], time),
        };
        let uses = match terms.tokens {
            Counting::Uncounted => return None,
            Counting::AtArrival { total } => {
                vec![of("tokens", total, "reserved", &log.counted_at_arrival, 0)]
            }
            Counting::AsSent { input, output } => vec![
                of("input", input, "reserved, then settled", &log.counted_at_arrival, 0),
                of("output", output, "held, then settled", &log.counted_as_sent, 1),
            ],
        };
        let gives_back = matches!(terms.tokens, Counting::AsSent { .. });
        Some(Self { uses, window: terms.window, spent, gives_back })
    }

    /// The share of the limit that binds, by the limiter's count.
    pub(crate) fn share(&self) -> Option<f64> {
        self.uses.iter().filter_map(|one| one.given_out).reduce(f64::max)
    }

    /// The share of the limit that the server has counted most of.
    pub(crate) fn counted(&self) -> Option<f64> {
        self.uses.iter().filter_map(|one| one.counted).reduce(f64::max)
    }
}

/// What was counted of what the limit allows, after the first of the limiter's windows and in whole ones: calls come in
/// bursts, a window apart.
#[expect(clippy::cast_precision_loss, reason = "a share to read")]
fn share(
    entries: &[(Instant, u64)],
    limit: u64,
    [window, kept]: [Duration; 2],
    time: &Range<Instant>,
) -> Option<f64> {
    let windows = (time.end - time.start).as_nanos() / kept.as_nanos();
    let later = u32::try_from(windows).unwrap_or(u32::MAX).saturating_sub(1);
    let judged = time.start + kept..time.start + kept * (later + 1);
    let counted = entries.iter().filter(|(at, _)| judged.contains(at));
    let sum: u64 = counted.map(|(_, amount)| amount).sum();
    let allowed = limit as f64 * f64::from(later) * kept.div_duration_f64(window);
    (allowed > 0.0).then(|| sum as f64 / allowed)
}

impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for one in &self.uses {
            write!(f, "{:<12}", format!("{} used", one.name))?;
            if let Some(given_out) = one.given_out {
                write!(
                    f,
                    "{} by the limiter while calls waited ({}); ",
                    percent(given_out),
                    one.held
                )?;
            }
            let counted = one.counted.map_or_else(|| "unknown".to_owned(), percent);
            let (limit, window) = (one.limit, self.window);
            writeln!(f, "{counted} by the server; of {limit} in {window:?}")?;
        }
        self.write_spent(f)
    }
}

impl Tokens {
    fn write_spent(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spent { reserved, used, unknown } = self.spent;
        if self.gives_back {
            write!(f, "input       reserved {}: ", reserved.input)?;
            let back = reserved.input.saturating_sub(used.input + unknown.input);
            writeln!(f, "used {}, given back {back}, given up {}", used.input, unknown.input)?;
            write!(f, "output      reserved {}: ", reserved.output)?;
            let back = reserved.output.saturating_sub(used.output + unknown.output);
            writeln!(f, "used {}, given back {back}, given up {}", used.output, unknown.output)?;
            return writeln!(
                f,
                "            (an answer that streams holds max_tokens; a call given up counts as reserved)"
            );
        }
        let [reserved, used, unknown] = [reserved, used, unknown].map(Usage::total);
        let kept = reserved.saturating_sub(used + unknown);
        write!(f, "tokens      reserved {reserved}: used {used}, given back 0, ")?;
        writeln!(f, "kept unused {kept}, given up {unknown}")
    }
}
