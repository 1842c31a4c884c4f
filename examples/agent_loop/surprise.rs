//! `--surprise`: the server does what nobody was told, one thing after another, and the limiter learns it from the
//! answers.
//!
//! 1. A second client with the same key takes a third for a while.
//! 2. It answers 429 to whatever comes within a sixth of the window, though no limit is reached.
//! 3. It lowers its limits by a third for a while.
//! 4. It is overloaded: all agents come back from a break at once, and it answers 503 to those beyond its capacity.
//!    That is more than the rate needs on average, and less than the agents want at once. If it were less than the rate
//!    needs, no limiter that halves and then adds one at a time could use more than three quarters of it.
//!
//! The second client comes first, while the agents' calls are spread evenly. After each of the others they come in clumps: whatever
//! leaves the window at once is sent again at once. What a second client takes between two clumps nobody can know before
//! the next one is on its way, so as many of it are refused: more than were in flight when it appeared.
//!
//! Every answer says what is left of the limits, and each 429 when to retry. The same agents run twice at the same time,
//! against a server each. One run gives every answer to its limiter ([`ringgate::Limiter::observe`]), and sends refused
//! calls through it again at once. The other tells its limiter nothing: a refused call waits for the time it was told,
//! and goes through the limiter again.
//!
//! # What is judged
//!
//! * **Refusals**, 429s and 503s: at most as many as calls were in flight when the surprise began, or when the first
//!   refusal was heard, if more were then (that call included). These were sent before anybody could know.
//! * **Lost calls**, sent and never answered: none.
//! * **Use** ([`share`]), the share that the agents have of what the server allows them: at least 95 %, from a sixth of
//!   the window after the surprise on. Of a window of a minute that is ten seconds.
//!
//! The end of a surprise is one, too: what the server allows again has to be found out.

mod agents;
mod line;
mod record;
mod second;
mod share;
mod timeline;
mod verdict;

use crate::client::OpenAiCompatible;
use crate::flags::{Flags, Terms};
use crate::say;
use agents::Agents;
use core::error::Error;
use core::ops::RangeInclusive;
use core::time::Duration;
use line::Line;
use record::Record;
use ringgate_mock_provider::Counting;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use timeline::Timeline;
use tokio::time::Instant;
use verdict::{Outcome, Verdict};

/// Answers take half as long as elsewhere. A refused call takes a place in the limiter's window, and the
/// longer answers take, the more calls are in flight when a surprise begins.
const ANSWERS: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_millis(125);

/// The run that listens decides.
pub(crate) async fn run(flags: &Flags) -> Result<ExitCode, Box<dyn Error>> {
    if let Counting::AsSent { .. } = flags.terms().tokens {
        return Err(
            "what is allowed of output is not known beforehand: --provider openai or requests"
                .into(),
        );
    }
    let timeline = Timeline::new(Instant::now(), flags)?;
    say(io::stdout(), flags);
    say(io::stdout(), &timeline);
    let (heard, ignored) =
        tokio::join!(play(flags, &timeline, true), play(flags, &timeline, false));
    let verdict = Verdict { heard: heard?, ignored: ignored? };
    say(io::stdout(), &verdict);
    Ok(verdict.exit_code())
}

/// One run, with a server and a limiter of its own.
async fn play(flags: &Flags, timeline: &Timeline, listens: bool) -> io::Result<Outcome> {
    let terms = flags.terms();
    // The agents' limiter keeps to fewer calls in flight: the second client has room beside them.
    let server_terms = Terms { concurrency: 2 * terms.concurrency, ..terms };
    let server =
        flags.server().terms(server_terms.of_server()).answer_time(ANSWERS).start().await?;
    let record = Arc::new(Record::default());
    let provider = OpenAiCompatible::new(&server.url(), terms.tokens);
    let line = Arc::new(Line::new(flags.limiter(), provider, listens, &record));
    let agents = Agents { flags, timeline, line };
    tokio::join!(agents.work(), timeline.play(&server, &record, listens));
    Ok(Outcome::new(timeline, terms.window, &server.log(), record.read()))
}
