//! The same agents, server and limits twice: through oxi-ai's own pool, and through ringgate's
//! replacement.

use crate::flags::Flags;
use crate::oxi::{ByOxiAi, provider};
use crate::round;
use crate::say;
use crate::verdict::Verdict;
use crate::whole_call;
use core::fmt;
use oxi_ai::{Provider, provider_pool};
use ringgate_oxi_ai::ProviderPool;
use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;

/// ringgate's verdict decides.
pub(crate) async fn run(flags: &Flags) -> Result<ExitCode, Box<dyn Error>> {
    let policy = flags.original_policy().ok_or(
        "oxi-ai's pool can say --rpm and --per-second, and panics where nothing is limited",
    )?;
    say(io::stdout(), flags);
    let original = |inner| -> Arc<dyn Provider> {
        Arc::new(provider_pool::ProviderPool::new(inner, policy.clone(), "original"))
    };
    let ringgate = |inner| -> Arc<dyn Provider> {
        Arc::new(ProviderPool::with_limiter(inner, flags.limiter(), "ringgate"))
    };
    let sides =
        [side(flags, "oxi-ai's", &original).await?, side(flags, "ringgate's", &ringgate).await?];
    say(io::stdout(), &Table(&sides));
    Ok(sides[1].exit_code())
}

async fn side(
    flags: &Flags,
    whose: &str,
    pool: &dyn Fn(Arc<dyn Provider>) -> Arc<dyn Provider>,
) -> Result<Verdict, Box<dyn Error>> {
    let server = flags.server().start().await?;
    say(io::stdout(), &format_args!("\n{whose} pool, server {}", server.url()));
    let agents_pool = Arc::new(ByOxiAi::new(pool(provider(&server.url()))));
    let mut verdict = round::play(flags, &server, agents_pool, None).await;
    verdict.overhead = whole_call::measure(flags.terms().limit, pool).await;
    Ok(verdict)
}

/// Both verdicts, a row for each thing to compare.
struct Table<'a>(&'a [Verdict; 2]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [original, ringgate] = self.0.each_ref().map(Verdict::rows);
        writeln!(f, "\n{:<34}{:>16}{:>16}", "", "oxi-ai's pool", "ringgate's")?;
        for ((what, original), (_, ringgate)) in original.into_iter().zip(ringgate) {
            writeln!(f, "{what:<34}{original:>16}{ringgate:>16}")?;
        }
        for (whose, verdict) in ["oxi-ai's", "ringgate's"].iter().zip(self.0) {
            writeln!(f, "{whose}: {}", verdict.judgement())?;
        }
        Ok(())
    }
}
