//! Many agents share one key, and the provider never has to refuse them.
//!
//! A small server on loopback speaks an OpenAI-style streaming chat completion and keeps its own
//! log of arrivals: it answers 429 to any call beyond its limits. Agents talk to it through one
//! [`ringgate::ProviderPool`]; at the end a verdict says whether the server ever refused, and how
//! much of what it allows was used.
//!
//! ```text
//! cargo run --release --example agent_loop
//! cargo run --release --example agent_loop -- --unlimited      # what happens without
//! cargo run --release --example agent_loop -- --help
//! ```
//!
//! The server counts arrivals, the limiter departures. A call that is held up on the way can
//! arrive in one window with calls that left after it; the limiter's guard margin (`--guard`) makes
//! room for that. Try `--guard 0`.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the ban on clocks, locks and atomics is about the library"
)]

mod agent;
mod client;
mod display;
mod flags;
mod ledger;
mod overhead;
mod server;
mod tally;
mod verdict;

use agent::Agent;
use clap::Parser;
use client::OpenAiCompatible;
use core::fmt::Display;
use flags::Flags;
use ringgate::ProviderPool;
use server::Server;
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use tally::Tally;
use tokio::task::JoinSet;
use tokio::time::Instant;
use verdict::Verdict;

/// What all agents share.
type Pool = ProviderPool<OpenAiCompatible>;

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Flags::parse()).await {
        Ok(verdict) => {
            say(io::stdout(), &verdict);
            verdict.exit_code()
        }
        Err(error) => {
            say(io::stderr(), &error);
            ExitCode::FAILURE
        }
    }
}

async fn run(flags: &Flags) -> Result<Verdict, Box<dyn Error>> {
    let server = Server::start(flags.terms())?;
    let provider = Arc::new(OpenAiCompatible::new(server.url())?);
    let pool = Arc::new(Pool::with_limiter(provider, flags.limiter(), "one shared key"));
    let tally = Arc::new(Tally::default());
    say(io::stdout(), flags);
    say(io::stdout(), &format_args!("server      {}", server.url()));

    let start = Instant::now();
    let deadline = start + flags.seconds;
    let display = display::Display {
        agents: flags.agents,
        terms: flags.terms(),
        start,
        deadline,
        ledger: server.ledger(),
        limiter: pool.limiter(),
        tally: &tally,
    };
    let agents = start_agents(flags, deadline, &pool, &tally);
    tokio::select! {
        () = all_done(agents, &tally) => {}
        () = display.show() => {}
    }
    let overhead = overhead::measure(flags).await;
    let time = start.into_std()..deadline.into_std();
    Ok(Verdict::new(flags, time, server.ledger(), tally.read(), overhead))
}

fn start_agents(
    flags: &Flags,
    deadline: Instant,
    pool: &Arc<Pool>,
    tally: &Arc<Tally>,
) -> JoinSet<()> {
    let agent = |number| Agent {
        number,
        turns: flags.turns,
        deadline,
        pool: Arc::clone(pool),
        tally: Arc::clone(tally),
    };
    (1..=flags.agents).map(|number| agent(number).run()).collect()
}

async fn all_done(mut agents: JoinSet<()>, tally: &Tally) {
    while let Some(ended) = agents.join_next().await {
        if let Err(error) = ended {
            tally.failed(&error);
        }
    }
}

/// Writes a line; if nobody reads it, that is no reason to fail.
fn say(mut to: impl Write, text: &impl Display) {
    let _ = writeln!(to, "{text}");
}
