//! Many agents share one key, and the provider never has to refuse them.
//!
//! A small server on loopback (the crate `ringgate-mock-provider`) streams chat completions as OpenAI does and keeps
//! its own log of arrivals and tokens: it answers 429 to any call beyond its limits. Agents talk to it through one
//! [`ringgate::ProviderPool`]; at the end a verdict says whether the server ever refused, and how
//! much of what it allows was used.
//!
//! ```text
//! cargo run --release --example agent_loop
//! cargo run --release --example agent_loop -- --provider anthropic    # counts tokens in another way
//! cargo run --release --example agent_loop -- --naive          # usual ways with tokens, then ringgate
//! cargo run --release --example agent_loop -- --unlimited      # what happens without
//! cargo run --release --example agent_loop -- --provider requests     # no tokens: rate and slots bind
//! cargo run --release --example agent_loop -- --compare        # other limiters, then ringgate
//! cargo run --release --example agent_loop -- --surprise       # limits change, others join, overload
//! cargo run --release --example agent_loop -- --processes 8    # eight processes share the limits through a store
//! cargo run --release --example agent_loop -- --processes 8 --chaos   # and are killed, as is the store
//! cargo run --release --example agent_loop -- --dashboard      # a page that draws the limiter, live
//! cargo run --release --example agent_loop -- --help
//! cargo run --release --features oxi-ai --example agent_loop -- --pool oxi-ai
//! ```
//!
//! # Tokens
//!
//! A quarter of the conversations are about a long text, the others are short chats. Most answers are much
//! shorter than `max_tokens`, a few are cut off by it. One call in ten is given up half-way: its agent drops the
//! stream, and nobody learns what it has used.
//!
//! | `--provider` | what the server counts | the limiter |
//! |---|---|---|
//! | `openai` | prompt and `max_tokens` when a call arrives; nothing is given back | `TokenLimit::total(…).without_refunds()`, as `RateLimitPolicy::openai` |
//! | `anthropic` | the prompt when a call arrives, each chunk of output when it is sent | `TokenLimit::input` and `output`, as `RateLimitPolicy::anthropic` |
//! | `requests` | no tokens | requests and calls in flight only |
//!
//! The windows are those of the requests, two seconds, to see many of them in a short run. The server's log
//! knows nothing of the library; a call that arrives when the window has no room for it gets a 429. An answer
//! is not cut off, but output beyond the limit counts as a failure too.
//!
//! The verdict gives two shares of each limit. The limiter's is the mean of what its windows hold while calls
//! wait in line (else nobody wants the rest): what calls have reserved, or were settled at. Of output, an
//! answer that streams holds all of `max_tokens`. At least 98 % of the limit that binds must be in use by
//! that count. The server's share is what it has really counted. It is less, by the margin; and under
//! `anthropic` because calls given up count as reserved, in full, and estimates are corrected only
//! when an answer ends. `--output-tokens 14000` shows that most: output binds then, and half of it is
//! reserved for output that never comes.
//!
//! # The original's pool
//!
//! The last of these commands runs the same agents twice, through oxi-ai's own pool and then through
//! `ringgate_oxi_ai::ProviderPool` as its replacement, and shows both in one table. Its provider is
//! oxi-ai's own, whose HTTP client uses the environment's proxy: if there is one, set
//! `NO_PROXY=127.0.0.1`. It counts requests only.
//!
//! # The margin
//!
//! The server counts arrivals, the limiter departures. A call that is held up on the way can
//! arrive in one window with calls that left after it; the limiter's margin (`--margin`) makes
//! room for that. Try `--margin 0`.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the ban on clocks, locks and atomics is about the library"
)]

mod after_idling;
mod agent;
mod calls;
mod client;
mod compare;
mod contenders;
mod counting;
mod dashboard;
#[path = "../soak/dice.rs"]
mod dice;
mod display;
mod flags;
mod gauge;
mod heard;
mod meter;
mod naive;
mod overhead;
#[cfg(feature = "oxi-ai")]
mod oxi;
mod processes;
mod round;
#[cfg(feature = "oxi-ai")]
mod side_by_side;
mod surprise;
mod table;
mod tally;
mod ticket;
mod tokens;
mod turn;
mod verdict;
#[cfg(feature = "oxi-ai")]
mod whole_call;

use clap::Parser;
use client::{ChatRequest, Event, OpenAiCompatible};
use core::fmt::Display;
use dashboard::Dashboard;
use flags::{Flags, Whose};
use ringgate::{Provider, ProviderPool};
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

/// The state that all agents share.
type Pool = dyn Provider<Request = ChatRequest, Event = Event, Error = client::Error>;

#[tokio::main]
async fn main() -> ExitCode {
    run(&Flags::parse()).await.unwrap_or_else(|error| {
        say(io::stderr(), &error);
        ExitCode::FAILURE
    })
}

async fn run(flags: &Flags) -> Result<ExitCode, Box<dyn Error>> {
    if flags.processes.is_some() || flags.part.guard {
        return processes::run(flags).await;
    }
    match flags.pool {
        Whose::Ringgate if flags.compare => compare::run(flags).await,
        Whose::Ringgate if flags.naive => naive::run(flags).await,
        Whose::Ringgate if flags.surprise => surprise::run(flags).await,
        Whose::Ringgate => alone(flags).await,
        #[cfg(feature = "oxi-ai")]
        Whose::OxiAi => side_by_side::run(flags).await,
        #[cfg(not(feature = "oxi-ai"))]
        Whose::OxiAi => Err("for oxi-ai's pool, run with --features oxi-ai".into()),
    }
}

async fn alone(flags: &Flags) -> Result<ExitCode, Box<dyn Error>> {
    let server = flags.server().start().await?;
    let provider = Arc::new(OpenAiCompatible::new(&server.url(), flags.terms().tokens));
    let limiter = flags.limiter();
    let watched = (!flags.unlimited).then_some(&limiter);
    let dashboard = Dashboard::start_if_wanted(flags).await?;
    let pool = Arc::new(ProviderPool::with_limiter(provider, limiter.clone(), "one shared key"));
    say(io::stdout(), flags);
    say(io::stdout(), &format_args!("server      {}", server.url()));
    let seen = dashboard.as_ref().map(|dashboard| (dashboard, &limiter));
    let mut verdict = round::play(flags, &server, pool, watched, seen).await;
    verdict.overhead = overhead::measure(flags).await;
    say(io::stdout(), &verdict);
    if let Some(dashboard) = dashboard {
        dashboard.end(&verdict, verdict.passed()).await?;
    }
    Ok(verdict.exit_code())
}

/// Writes a line; a closed output is no reason to fail.
fn say(mut to: impl Write, text: &impl Display) {
    let _ = writeln!(to, "{text}");
}
