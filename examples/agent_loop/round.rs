//! All agents, from the first call to the end of the last.

use crate::Pool;
use crate::agent::Agent;
use crate::dashboard::{self, Calls, Dashboard};
use crate::dice::Dice;
use crate::display::Display;
use crate::flags::Flags;
use crate::gauge::Gauge;
use crate::tally::Tally;
use crate::verdict::Verdict;
use ringgate::Limiter;
use ringgate_mock_provider::MockProvider;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Runs the agents with this pool, whose provider is this server. If it keeps limits on tokens, `limiter` is its limiter. What is `seen` is
/// drawn.
pub(crate) async fn play(
    flags: &Flags,
    server: &MockProvider,
    pool: Arc<Pool>,
    limiter: Option<&Limiter>,
    seen: Option<(&Dashboard, &Limiter)>,
) -> Verdict {
    let tally = Arc::new(Tally::default());
    let start = Instant::now();
    let deadline = start + flags.seconds;
    let display = Display {
        agents: flags.agents(),
        terms: flags.terms(),
        start,
        deadline,
        server,
        tally: &tally,
    };
    let gauge = Gauge::new(limiter, &tally, flags.terms_with_margin(), start..deadline);
    // The same calls in each run.
    let plan = Plan { seed: 1, hang_up: true };
    let agents = start_agents(flags, plan, deadline, &pool, &tally);
    let calls = || Calls { answered: tally.answers(), beyond: server.counts().beyond() };
    tokio::select! {
        () = all_done(agents, &tally) => {}
        () = display.show() => {}
        () = gauge.watch() => {}
        () = dashboard::show(seen, calls) => {}
    }
    let time = start.into_std()..deadline.into_std();
    Verdict::new(flags, time, server, tally.read(), gauge.shares())
}

/// Which calls the agents make.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Whether some of them hang up.
    pub(crate) hang_up: bool,
}

pub(crate) fn start_agents(
    flags: &Flags,
    plan: Plan,
    deadline: Instant,
    pool: &Arc<Pool>,
    tally: &Arc<Tally>,
) -> JoinSet<()> {
    let mut dice = Dice(plan.seed);
    let mut agent = |number| Agent {
        number,
        turns: flags.turns,
        deadline,
        pool: Arc::clone(pool),
        tally: Arc::clone(tally),
        counts_tokens: flags.terms().count_tokens(),
        hangs_up: plan.hang_up,
        dice: dice.split(),
    };
    (1..=flags.agents()).map(|number| agent(number).run()).collect()
}

pub(crate) async fn all_done(mut agents: JoinSet<()>, tally: &Tally) {
    while let Some(ended) = agents.join_next().await {
        if let Err(error) = ended {
            tally.failed(&error);
        }
    }
}
