//! The command line, and what follows from it: the server's terms and the limiter for them.

use crate::counting::{Told, limits};
use clap::builder::ArgPredicate;
use clap::{Args, Parser, ValueEnum};
use core::fmt;
use core::ops::RangeInclusive;
use core::time::Duration;
use ringgate::{Limiter, LimiterBuilder, Rate, RateLimitPolicy, TokenLimit};
use ringgate_mock_provider::{self as mock, Counting, MockProvider, MockProviderBuilder};

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// How long answers take, so that calls overlap in many ways.
pub(crate) const ANSWERS: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_millis(250);

/// Many LLM agents share one limiter: a loopback server checks its limits.
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Flags {
    /// Which pool: ringgate's, or oxi-ai's own and then ringgate's as its replacement, side by side
    #[arg(long, value_name = "WHOSE", default_value = "ringgate")]
    pub(crate) pool: Whose,

    /// The same agents behind one limiter after another, ringgate last, in one table (requests only)
    #[arg(long, conflicts_with_all = ["pool", "unlimited", "lenient"])]
    pub(crate) compare: bool,

    /// Limits that change, a second client, an overload, needless 429s: with feedback and without, in one table
    #[arg(long, conflicts_with_all = ["pool", "compare", "naive", "unlimited", "lenient"])]
    pub(crate) surprise: bool,

    /// So many processes share the limits through a store, each with agents of its own
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=64),
        conflicts_with_all = ["pool", "compare", "naive", "surprise", "unlimited", "lenient", "dashboard"]
    )]
    pub(crate) processes: Option<u16>,

    /// Meanwhile processes and the store are killed, stopped and restarted
    #[arg(long, requires = "processes")]
    pub(crate) chaos: bool,

    /// What happens when to whom [default: 1]
    #[arg(long, value_name = "N", requires = "chaos")]
    pub(crate) seed: Option<u64>,

    /// How long what the store grants to a process may be used [default: 1/100 of the window]
    #[arg(long, value_name = "MILLIS", value_parser = millis, requires = "processes")]
    lease: Option<Duration>,

    /// How long the store waits for a silent process [default: 9; chaos: 2]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, requires = "processes")]
    time_to_live: Option<Duration>,

    /// The least share of the limit that must be used, without chaos [default: 95]
    #[arg(long, value_name = "PERCENT", value_parser = share, requires = "processes")]
    least: Option<f64>,

    /// What one of the processes is told by their parent
    #[command(flatten)]
    pub(crate) part: Part,

    /// How the server counts tokens [side by side, compared, surprise: requests]
    #[arg(
        long,
        value_name = "HOW",
        default_value = "openai",
        default_value_ifs([
            ("pool", "oxi-ai", "requests"),
            ("compare", "true", "requests"),
            ("surprise", "true", "requests"),
        ]),
        conflicts_with_all = ["pool", "compare"]
    )]
    provider: Counts,

    /// Two usual ways to keep limits on tokens, then ringgate, in one table
    #[arg(long, conflicts_with_all = ["pool", "compare", "unlimited", "lenient"])]
    pub(crate) naive: bool,

    /// How many agents run at the same time [default: 40; without tokens: 24; side by side: 30; surprise: 80; processes: 8 each]
    #[arg(long, value_name = "N")]
    agents: Option<usize>,

    /// For how long they begin new calls [side by side: 75; compared, naive: 12; surprise: 80; processes: 25; chaos: 40]
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "20",
        default_value_ifs([
            ("pool", "oxi-ai", "75"),
            ("compare", "true", "12"),
            ("naive", "true", "12"),
            ("surprise", "true", "80"),
            ("chaos", "true", "40"),
        ]),
        default_value_if("processes", ArgPredicate::IsPresent, "25"),
        value_parser = seconds
    )]
    pub(crate) seconds: Duration,

    /// Turns of each conversation
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) turns: u32,

    /// Most calls in flight [default: 64; without tokens: 16; side by side: 4; surprise: 30; processes: 48]
    ///
    /// With tokens more than the agents are, because some hang up: that frees the limiter's slot a
    /// moment before the server notices.
    #[arg(long, value_name = "N")]
    concurrency: Option<usize>,

    /// Most calls in any window [default: 500; without tokens: 40; surprise: 200; processes: 250 for each second of it]
    #[arg(long, value_name = "N")]
    limit: Option<u32>,

    /// Most tokens in any window, as openai counts [default: 100000 for each second of it]
    #[arg(long, value_name = "N")]
    tokens: Option<u64>,

    /// Most input tokens in any window, as anthropic counts [default: 80000 for each second of it]
    #[arg(long, value_name = "N")]
    input_tokens: Option<u64>,

    /// Most output tokens in any window, as anthropic counts [default: 14000 for each second of it]
    #[arg(long, value_name = "N")]
    output_tokens: Option<u64>,

    /// The window [default: 2; processes without chaos: 5]
    #[arg(long, value_name = "SECONDS", value_parser = window)]
    window: Option<Duration>,

    /// Most calls in any minute, instead of a limit and a window [side by side: 120]
    #[arg(long, value_name = "N", conflicts_with_all = ["per_second", "limit", "window"])]
    rpm: Option<u32>,

    /// Most calls in any second, instead of a limit and a window
    #[arg(long, value_name = "N", conflicts_with_all = ["limit", "window"])]
    per_second: Option<u32>,

    /// How much longer than the window a call counts [default: 1/40 of it, at most 250; processes: 1/100; chaos: 1/20]
    #[arg(long, value_name = "MILLIS", value_parser = millis)]
    margin: Option<Duration>,

    /// Send every call at once, to see what the server answers without the limiter
    #[arg(long)]
    pub(crate) unlimited: bool,

    /// Let the server count the calls beyond its limits, and answer them
    #[arg(long)]
    pub(crate) lenient: bool,

    /// Draw the limiter on a page on loopback while it runs, and serve that until Ctrl-C [port: any free one]
    #[arg(
        long,
        value_name = "PORT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "0",
        conflicts_with_all = ["pool", "compare", "naive"]
    )]
    pub(crate) dashboard: Option<u16>,
}

/// The options by which a process that is not the first learns what it is there for.
#[derive(Debug, Args)]
pub(crate) struct Part {
    /// The name of a process with agents
    #[arg(long, hide = true, requires_all = ["store", "server"])]
    pub(crate) child: Option<String>,

    /// Where the store is
    #[arg(long, hide = true)]
    pub(crate) store: Option<String>,

    /// Where the server is
    #[arg(long, hide = true)]
    pub(crate) server: Option<String>,

    /// It ends the others when the first process has ended
    #[arg(long, hide = true)]
    pub(crate) guard: bool,
}

/// Which pool the agents share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Whose {
    Ringgate,
    OxiAi,
}

/// How the server counts tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Counts {
    /// Prompt and `max_tokens` when a call arrives, for good
    Openai,
    /// Input when a call arrives, output as it is produced
    Anthropic,
    /// Not at all: requests only
    Requests,
}

/// What the provider allows. The server enforces it, and the limiter keeps to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) limit: u32,
    pub(crate) window: Duration,
    pub(crate) concurrency: usize,
    pub(crate) tokens: Counting,
}

impl Terms {
    pub(crate) fn count_tokens(self) -> bool {
        self.tokens != Counting::Uncounted
    }

    /// The same for the server.
    pub(crate) fn of_server(self) -> mock::Terms {
        mock::Terms {
            requests: Some(self.limit),
            window: self.window,
            tokens: self.tokens,
            max_in_flight: Some(self.concurrency),
        }
    }

    fn token_limits(self) -> Vec<TokenLimit> {
        limits(self.tokens, self.window)
    }
}

impl fmt::Display for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, window, concurrency, tokens } = *self;
        write!(f, "at most {limit} in any {window:?}, and {concurrency} in flight")?;
        if self.count_tokens() { write!(f, "\ntokens      {}", Told(tokens)) } else { Ok(()) }
    }
}

impl Flags {
    pub(crate) fn terms(&self) -> Terms {
        let (limit, window) = match (self.per_second, self.rpm()) {
            (Some(rps), _) => (rps, SECOND),
            (None, Some(rpm)) => (rpm, MINUTE),
            (None, None) => self.limit_and_window(),
        };
        let tokens = self.token_terms(window);
        Terms { limit, window, concurrency: self.concurrency(), tokens }
    }

    /// The server, which enforces the terms.
    pub(crate) fn server(&self) -> MockProviderBuilder {
        let builder = MockProvider::builder().terms(self.terms().of_server());
        builder.lenient(self.lenient).answer_time(ANSWERS)
    }

    fn counts_tokens(&self) -> bool {
        self.provider != Counts::Requests
    }

    fn limit_and_window(&self) -> (u32, Duration) {
        if self.processes.is_some() {
            let window = self.window.unwrap_or(if self.chaos { 2 } else { 5 } * SECOND);
            let limit = u32::try_from(window.as_millis() / 4).unwrap_or(u32::MAX);
            return (self.limit.unwrap_or(limit), window);
        }
        let limit = match (self.counts_tokens(), self.surprise) {
            (true, _) => 500,
            (false, true) => 200,
            (false, false) => 40,
        };
        (self.limit.unwrap_or(limit), self.window.unwrap_or(2 * SECOND))
    }

    pub(crate) fn agents(&self) -> usize {
        let default = match self.pool {
            Whose::OxiAi => 30,
            Whose::Ringgate if self.processes.is_some() => 8,
            Whose::Ringgate if self.surprise => 80,
            Whose::Ringgate if self.counts_tokens() => 40,
            Whose::Ringgate => 24,
        };
        self.agents.unwrap_or(default)
    }

    fn concurrency(&self) -> usize {
        let default = match self.pool {
            Whose::OxiAi => 4,
            Whose::Ringgate if self.processes.is_some() => 48,
            Whose::Ringgate if self.surprise => 30,
            Whose::Ringgate if self.counts_tokens() => 64,
            Whose::Ringgate => 16,
        };
        self.concurrency.unwrap_or(default)
    }

    fn token_terms(&self, window: Duration) -> Counting {
        let or = |given: Option<u64>, per_second: u64| {
            let millis = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
            given.unwrap_or(millis.saturating_mul(per_second) / 1000)
        };
        match self.provider {
            Counts::Openai => Counting::AtArrival { total: or(self.tokens, 100_000) },
            Counts::Anthropic => Counting::AsSent {
                input: or(self.input_tokens, 80_000),
                output: or(self.output_tokens, 14_000),
            },
            Counts::Requests => Counting::Uncounted,
        }
    }

    fn rpm(&self) -> Option<u32> {
        let side_by_side = self.pool == Whose::OxiAi;
        let unsaid = self.limit.is_none() && self.window.is_none();
        self.rpm.or((side_by_side && unsaid).then_some(120))
    }

    /// The limiter of the pool.
    pub(crate) fn limiter(&self) -> Limiter {
        match self.policy() {
            Some(policy) => Limiter::from(&policy),
            None => self.limiter_with(&self.terms().token_limits()),
        }
    }

    /// The pool's limiter, but for tokens.
    pub(crate) fn limiter_of_requests(&self) -> Limiter {
        self.limiter_with(&[])
    }

    /// The terms as a policy, if a policy can express them.
    fn policy(&self) -> Option<RateLimitPolicy> {
        if self.unlimited {
            return Some(RateLimitPolicy::unlimited());
        }
        let per_second = self.per_second.map(RateLimitPolicy::per_second);
        let policy = per_second.or_else(|| self.rpm().map(RateLimitPolicy::rpm))?;
        let policy = policy.with_max_concurrent(self.concurrency()).with_margin(self.margin());
        let limits = self.terms().token_limits();
        Some(limits.into_iter().fold(policy, RateLimitPolicy::with_token_limit))
    }

    /// The terms as oxi-ai's policy, if it can express them.
    #[cfg(feature = "oxi-ai")]
    pub(crate) fn original_policy(&self) -> Option<oxi_ai::provider_pool::RateLimitPolicy> {
        let RateLimitPolicy { rpm, max_concurrent, .. } =
            self.policy().filter(|_| !self.unlimited)?;
        Some(oxi_ai::provider_pool::RateLimitPolicy { rpm, max_concurrent })
    }

    /// A limiter with the limits and the margin of the terms, and these limits on tokens.
    fn limiter_with(&self, limits: &[TokenLimit]) -> Limiter {
        self.builder_with(limits).build()
    }

    fn builder_with(&self, limits: &[TokenLimit]) -> LimiterBuilder {
        let Terms { limit, window, concurrency, .. } = self.terms();
        let builder = Limiter::builder().rate(Rate::new(limit, window));
        let builder = builder.margin(self.margin()).max_concurrent(concurrency);
        limits.iter().copied().fold(builder, LimiterBuilder::token_limit)
    }

    /// The limiter that processes share, to be built.
    pub(crate) fn builder(&self) -> LimiterBuilder {
        self.builder_with(&self.terms().token_limits())
    }

    /// How long a lease lasts.
    pub(crate) fn lease(&self) -> Duration {
        let default = (self.terms().window / 100).max(Duration::from_millis(20));
        self.lease.unwrap_or(default)
    }

    /// How long the store waits for a silent process.
    pub(crate) fn time_to_live(&self) -> Duration {
        self.time_to_live.unwrap_or(if self.chaos { 2 } else { 9 } * SECOND)
    }

    /// For how long the store keeps a process's share free for it, from when it is not heard of any more. The process can
    /// use it for some seconds of that.
    pub(crate) fn share_lasts(&self) -> Duration {
        2 * self.settles() + 12 * SECOND
    }

    /// How long after the store's last answer a process uses its share at the latest.
    pub(crate) fn share_begins(&self) -> Duration {
        self.time_to_live() + self.settles() + 2 * SECOND
    }

    /// How long what was granted before a process lost the store counts after it, at most.
    fn settles(&self) -> Duration {
        let counts = self.terms_with_margin().window + self.lease();
        let held = match self.terms().tokens {
            // What a call holds of it counts until it is settled, or the process forgotten.
            Counting::AsSent { .. } => self.time_to_live(),
            _ => Duration::ZERO,
        };
        // Two ticks of the window more.
        (counts + counts / 100 + held).max(self.time_to_live())
    }

    /// The least share of the limit that must be used, without chaos.
    pub(crate) fn least(&self) -> f64 {
        self.least.unwrap_or(0.95)
    }

    /// A limiter as large as the pool's, with windows so short that it never refuses.
    pub(crate) fn idle_limiter(&self) -> Limiter {
        let Terms { limit, concurrency, tokens, .. } = self.terms();
        let moment = Duration::from_nanos(1);
        let builder = Limiter::builder().rate(Rate::new(limit, moment));
        let limits = limits(tokens, moment).into_iter();
        limits.fold(builder, LimiterBuilder::token_limit).max_concurrent(concurrency).build()
    }

    /// The terms as the limiter keeps them: every call counts longer, by the margin.
    pub(crate) fn terms_with_margin(&self) -> Terms {
        let terms = self.terms();
        Terms { window: terms.window + self.margin(), ..terms }
    }

    pub(crate) fn margin(&self) -> Duration {
        let parts = match (self.processes, self.chaos) {
            (_, true) => 20,
            (Some(_), false) => 100,
            (None, false) => 40,
        };
        let default = (self.terms().window / parts).min(Duration::from_millis(250));
        self.margin.unwrap_or(default)
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self { seconds, turns, .. }, agents) = (self, self.agents());
        if let Some(processes) = self.processes {
            writeln!(f, "processes   {processes}, each with")?;
        }
        writeln!(f, "agents      {agents}, for {seconds:?}; turns of a conversation: {turns}")?;
        writeln!(f, "allowed     {}", self.terms())?;
        if self.unlimited {
            return f.write_str("limiter     none");
        }
        write!(f, "limiter     the same, each call counted {:?} longer", self.margin())?;
        if self.processes.is_none() {
            return Ok(());
        }
        let (lease, silence) = (self.lease(), self.time_to_live());
        write!(
            f,
            "\nstore       leases of {lease:?}; a process that is silent for {silence:?} is forgotten"
        )
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    duration(number(text)?)
}

fn window(text: &str) -> Result<Duration, String> {
    let window = seconds(text)?;
    if window.is_zero() { Err("a window cannot be empty".to_owned()) } else { Ok(window) }
}

fn millis(text: &str) -> Result<Duration, String> {
    duration(number(text)? / 1000.0)
}

fn share(text: &str) -> Result<f64, String> {
    let percent = number(text)?;
    if (0.0..=100.0).contains(&percent) {
        Ok(percent / 100.0)
    } else {
        Err("not a share".to_owned())
    }
}

fn number(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| "not a number".to_owned())
}

fn duration(seconds: f64) -> Result<Duration, String> {
    let duration = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    if duration > LONGEST { Err("more than a day".to_owned()) } else { Ok(duration) }
}
