//! Two usual ways to keep limits on tokens, and ringgate, against the same kind of server.
//!
//! One way counts requests and hopes for the best. The other counts tokens when an answer tells them, and
//! makes no call while the last window's count is at the limit: what is still being answered, what is reserved and
//! what was given up half-way is not in it.

use crate::Pool;
use crate::client::{ChatRequest, Error, Event, OpenAiCompatible};
use crate::counting::metered;
use crate::flags::{Flags, Terms};
use crate::meter::Meter;
use crate::tokens::Tokens;
use crate::verdict::{Verdict, percent};
use crate::{round, say};
use async_trait::async_trait;
use core::fmt;
use futures_util::StreamExt;
use ringgate::{EventStream, Provider, ProviderPool, Usage};
use ringgate_mock_provider::Counting;
use std::io;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::time::sleep;

/// The ways, in the order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    RequestsOnly,
    Afterwards,
    Ringgate,
}

const WAYS: [(Way, &str); 3] = [
    (Way::RequestsOnly, "requests only"),
    (Way::Afterwards, "tokens after the answer"),
    (Way::Ringgate, "ringgate"),
];

/// ringgate's verdict decides.
pub(crate) async fn run(flags: &Flags) -> Result<ExitCode, Box<dyn std::error::Error>> {
    if !flags.terms().count_tokens() {
        return Err("the usual ways are about tokens: --provider openai or anthropic".into());
    }
    say(io::stdout(), flags);
    let mut rows = Vec::new();
    for (way, name) in WAYS {
        say(io::stdout(), &format_args!("\n{name}"));
        rows.push((name, play(flags, way).await?));
    }
    say(io::stdout(), &Table(&rows));
    let (_, verdict) = &rows[rows.len() - 1];
    say(io::stdout(), &format_args!("\nringgate: {}", verdict.judgement()));
    Ok(verdict.exit_code())
}

async fn play(flags: &Flags, way: Way) -> io::Result<Verdict> {
    let server = flags.server().start().await?;
    let provider: Arc<Pool> = Arc::new(OpenAiCompatible::new(&server.url(), flags.terms().tokens));
    let limiter = if way == Way::Ringgate { flags.limiter() } else { flags.limiter_of_requests() };
    let provider = if way == Way::Afterwards {
        Arc::new(Afterwards::new(provider, flags.terms_with_margin()))
    } else {
        provider
    };
    let watched = (way == Way::Ringgate).then_some(&limiter);
    let pool = Arc::new(ProviderPool::with_limiter(provider, limiter.clone(), "shared key"));
    Ok(round::play(flags, &server, pool, watched).await)
}

/// Counts tokens when an answer tells them.
struct Afterwards {
    provider: Arc<Pool>,
    counted: Arc<Mutex<Counted>>,
}

struct Counted {
    terms: Counting,
    /// Total or input.
    first: Meter,
    output: Meter,
}

impl Afterwards {
    fn new(provider: Arc<Pool>, Terms { tokens, window, .. }: Terms) -> Self {
        let [first, output] = metered(tokens).map(|limit| Meter::new(limit, window));
        let counted = Counted { terms: tokens, first, output };
        Self { provider, counted: Arc::new(Mutex::new(counted)) }
    }

    /// Waits while what is counted is at a limit.
    async fn ready(&self) {
        while let Err(wait) = with(&self.counted, Counted::judge) {
            sleep(wait).await;
        }
    }
}

fn with<T>(counted: &Mutex<Counted>, look: impl FnOnce(&mut Counted) -> T) -> T {
    look(&mut counted.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Counted {
    fn judge(&mut self) -> Result<(), core::time::Duration> {
        let now = Instant::now();
        self.first.judge(1, now)?;
        self.output.judge(1, now)
    }

    fn count(&mut self, usage: Usage) {
        let (now, by_kind) = (Instant::now(), matches!(self.terms, Counting::AsSent { .. }));
        self.first.count(if by_kind { usage.input } else { usage.total() }, now);
        self.output.count(usage.output, now);
    }
}

#[async_trait]
impl Provider for Afterwards {
    type Request = ChatRequest;
    type Event = Event;
    type Error = Error;

    fn name(&self) -> &'static str {
        "afterwards"
    }

    async fn stream(&self, request: ChatRequest) -> Result<EventStream<Event>, Error> {
        self.ready().await;
        let counted = Arc::clone(&self.counted);
        let events = self.provider.stream(request).await?;
        Ok(Box::pin(events.inspect(move |event| {
            if let Event::Usage(usage) = event {
                with(&counted, |counted| counted.count(*usage));
            }
        })))
    }
}

/// A row for each way.
struct Table<'a>(&'a [(&'static str, Verdict)]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{:<25}{:>9}{:>9}{:>7}{:>12}{:>14}",
            "", "answered", "given up", "429s", "overrun", "tokens used"
        )?;
        for (name, verdict) in self.0 {
            let (totals, counts) = (&verdict.totals, verdict.counts);
            let used = verdict.tokens.as_ref().and_then(Tokens::counted);
            writeln!(
                f,
                "{name:<25}{:>9}{:>9}{:>7}{:>12}{:>14}",
                totals.answered,
                totals.hung_up,
                counts.beyond(),
                counts.overrun,
                used.map_or_else(|| "-".to_owned(), percent)
            )?;
        }
        write!(
            f,
            "\n\
             given up       half-way, by the agent\n\
             overrun        answers that went beyond the limit on output while they were sent\n\
             tokens used    of the limit that is used most, by the server's log of accepted calls"
        )
    }
}
