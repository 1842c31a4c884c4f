//! One of the processes: agents behind a limiter that is shared with the others.

use super::family;
use super::orders::Orders;
use super::report::{Phase, Report};
use super::shared::{self, Shared};
use crate::Pool;
use crate::client::OpenAiCompatible;
use crate::flags::Flags;
use crate::round::{Plan, all_done, start_agents};
use crate::say;
use crate::tally::Tally;
use core::error::Error;
use core::time::Duration;
use ringgate::ProviderPool;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::time::{Instant, interval, timeout};

/// Between two reports.
const TICK: Duration = Duration::from_millis(100);

/// A call may be sent so long after its admission, however small the margin is.
const LEAST: Duration = Duration::from_millis(5);

/// How long it may take to connect, and to give back what is left at the end.
const PATIENCE: Duration = Duration::from_secs(5);

/// The process `name`, which the server knows by that.
pub(crate) async fn work(
    flags: &Flags,
    name: &str,
    store: &str,
    server: &str,
) -> Result<ExitCode, Box<dyn Error>> {
    let orders = Orders::listen();
    let shared =
        match timeout(PATIENCE, shared::connect(flags, store, family::is_first(name))).await {
            Ok(Ok(shared)) => shared,
            Ok(Err(error)) => return Ok(give_up(&error.to_string())),
            Err(_) => return Ok(give_up("no connection to the store in time")),
        };
    // The margin is for the way to the server. A call may spend half of it before it is sent.
    let provider = OpenAiCompatible::new(server, flags.terms().tokens)
        .with_user(name)
        .sending_within((flags.margin() / 2).max(LEAST));
    let limiter = shared.limiter().clone();
    let pool: Arc<Pool> =
        Arc::new(ProviderPool::with_limiter(Arc::new(provider), limiter, "one shared key"));
    let tally = Arc::new(Tally::default());
    let report = |phase| {
        let report = Report::new(phase, shared::trips(&shared), tally.in_line(), tally.read());
        say(io::stdout(), &report.to_line());
    };
    report(Phase::Ready);
    let Some(time) = orders.go().await else { return Ok(ExitCode::FAILURE) };
    let plan = Plan {
        // Other calls in each process.
        seed: name.bytes().fold(1, |seed: u64, byte| seed.wrapping_mul(257) + u64::from(byte)),
        // The slot of a call that hangs up is free in the limiter a moment before it is in the server.
        hang_up: false,
    };
    let agents = start_agents(flags, plan, Instant::now() + time, &pool, &tally);
    tokio::select! {
        () = all_done(agents, &tally) => {}
        () = keep_telling(|| report(Phase::Working)) => {}
    }
    let left = leave(shared.clone()).await;
    if !left {
        tally.failed(&"the store was not told that the process has ended");
    }
    report(Phase::Done);
    Ok(ExitCode::SUCCESS)
}

fn give_up(why: &str) -> ExitCode {
    say(io::stdout(), &Report::failed(why.to_owned()).to_line());
    ExitCode::FAILURE
}

/// Runs until it is dropped.
async fn keep_telling(tell: impl Fn()) {
    let mut ticks = interval(TICK);
    loop {
        ticks.tick().await;
        tell();
    }
}

async fn leave(shared: Shared) -> bool {
    timeout(PATIENCE, shared::leave(shared)).await.is_ok()
}
