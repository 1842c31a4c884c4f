//! One limiter after another, for the same agents, the same limits and the same time.
//!
//! Each contender has a server of its own, which has just started, so that no log holds another's
//! calls. Agents first make as many calls as they can; then calls are made after idling, and at the turn of
//! a window. A window passes before the next contender starts.

use crate::after_idling::{self, AfterIdling};
use crate::client::OpenAiCompatible;
use crate::contenders::{Contender, Limits};
use crate::flags::Flags;
use crate::table::Table;
use crate::verdict::Verdict;
use crate::{Pool, round, say, turn};
use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::time::sleep;

/// The results of one contender.
pub(crate) struct Round {
    pub(crate) contender: Contender,
    pub(crate) verdict: Verdict,
    pub(crate) idle: AfterIdling,
    /// 429s at the turn of a window.
    pub(crate) at_the_turn: usize,
}

/// ringgate's 429s decide.
pub(crate) async fn run(flags: &Flags) -> Result<ExitCode, Box<dyn Error>> {
    let limits = Limits::new(flags)?;
    say(io::stdout(), flags);
    let mut rounds = Vec::new();
    for contender in Contender::ALL {
        rounds.push(play(flags, limits, contender).await?);
        sleep(limits.window).await;
    }
    say(io::stdout(), &Table { limits, rounds: &rounds });
    Ok(if kept(&rounds) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn kept(rounds: &[Round]) -> bool {
    let mut ringgate = rounds.iter().filter(|round| round.contender == Contender::Ringgate);
    ringgate.all(|round| round.verdict.counts.beyond() + round.at_the_turn == 0)
}

/// Fails if calls fail for other reasons than limits, because then there is nothing to compare.
async fn play(
    flags: &Flags,
    limits: Limits,
    contender: Contender,
) -> Result<Round, Box<dyn Error>> {
    let server = flags.server().start().await?;
    let name = contender.name(limits);
    say(io::stdout(), &format_args!("\n{name}, server {}", server.url()));
    let provider: Arc<Pool> = Arc::new(OpenAiCompatible::new(&server.url(), flags.terms().tokens));
    let pool = contender.pool(flags, limits, provider);
    let verdict = round::play(flags, &server, Arc::clone(&pool), None).await;
    if let Some(failure) = &verdict.totals.first_failure {
        return Err(format!("{name}: a call failed: {failure}").into());
    }
    let idle = after_idling::measure(limits, pool.as_ref()).await?;
    let at_the_turn = turn::measure(limits, pool.as_ref(), &server).await?;
    Ok(Round { contender, verdict, idle, at_the_turn })
}
