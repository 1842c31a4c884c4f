//! Agents that ask again until they are answered.
//!
//! Between two calls an agent runs its tools for a while. Together they still want more than the limits allow. The first
//! window's calls are spread over it, as those of agents are that have been at work for long; later ones follow them.

use super::line::Line;
use super::timeline::Timeline;
use crate::agent::read;
use crate::calls::Conversation;
use crate::client::{ChatRequest, Error, Message};
use crate::dice::Dice;
use crate::flags::{Flags, Terms};
use crate::tally::Tally;
use crate::ticket::Ticket;
use core::pin::pin;
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// How long a call that is told no time waits before it is sent again, if the limiter does not know better.
const BACKOFF: Duration = Duration::from_millis(200);

/// How many windows calls have for their answers when no new ones are begun.
const LAST_WINDOWS: u32 = 3;

/// All agents of a run.
pub(crate) struct Agents<'a> {
    pub(crate) flags: &'a Flags,
    pub(crate) timeline: &'a Timeline,
    pub(crate) line: Arc<Line>,
}

impl Agents<'_> {
    /// Until all have their answers, or too late.
    pub(crate) async fn work(&self) {
        let count = u16::try_from(self.flags.agents()).unwrap_or(u16::MAX);
        let counts_tokens = self.flags.terms().count_tokens();
        let tally = Arc::new(Tally::default());
        let begun = Arc::new(AtomicU32::new(0));
        // The same calls in each run.
        let mut dice = Dice(1);
        let agent = |number| Agent {
            number,
            timeline: self.timeline.clone(),
            line: Arc::clone(&self.line),
            tally: Arc::clone(&tally),
            counts_tokens,
            terms: self.flags.terms(),
            begun: Arc::clone(&begun),
            dice: dice.split(),
        };
        let mut agents: JoinSet<()> = (1..=count).map(agent).map(Agent::run).collect();
        let too_late = self.timeline.end() + self.flags.terms().window * LAST_WINDOWS;
        while let Ok(Some(ended)) = timeout_at(too_late, agents.join_next()).await {
            if let Err(error) = ended {
                self.line.record().failed(&error);
            }
        }
    }
}

struct Agent {
    number: u16,
    timeline: Timeline,
    line: Arc<Line>,
    tally: Arc<Tally>,
    counts_tokens: bool,
    terms: Terms,
    /// How many calls all agents have begun.
    begun: Arc<AtomicU32>,
    dice: Dice,
}

impl Agent {
    async fn run(mut self) {
        while let Some(until) = self.timeline.works_until().await {
            let kind = if self.counts_tokens {
                Conversation::draw(&mut self.dice)
            } else {
                Conversation::PLAIN
            };
            sleep_until(self.beginning()).await;
            self.call(kind, until).await;
            sleep(self.tools()).await;
        }
    }

    /// When it may begin a call: those of the first window one after another.
    fn beginning(&self) -> Instant {
        let Terms { limit, window, .. } = self.terms;
        let before = self.begun.fetch_add(1, Ordering::Relaxed).min(limit);
        self.timeline.start() + window * before / limit
    }

    /// How long its tools run: a tenth of the window on average.
    fn tools(&mut self) -> Duration {
        self.terms.window * (50 + self.dice.below(100)) / 1000
    }

    /// One call, until it is answered. One that was never sent is given up at `until`.
    async fn call(&self, kind: Conversation, until: Instant) {
        let (request, ticket) = self.request(kind);
        let mut call = pin!(self.line.ask(request));
        let mut answer = match timeout_at(until, &mut call).await {
            Ok(answer) => answer,
            Err(_) if ticket.waited().is_some() => call.await,
            Err(_) => return,
        };
        self.line.record().sent();
        loop {
            let read = match answer {
                Ok(events) => read(events, None).await,
                Err(error) => Err(error),
            };
            match read {
                Ok(_) => return self.line.record().answered(),
                Err(error) if error.is_not_now() => self.wait(&error).await,
                Err(error) => return self.line.record().failed(&error),
            }
            answer = self.line.ask(self.request(kind).0).await;
        }
    }

    /// Where the limiter is told, it knows when to send the call again.
    async fn wait(&self, error: &Error) {
        if self.line.listens() {
            return;
        }
        let retry_after = match error {
            Error::TooManyRequests { retry_after } => *retry_after,
            _ => None,
        };
        sleep(retry_after.unwrap_or(BACKOFF)).await;
    }

    fn request(&self, kind: Conversation) -> (ChatRequest, Arc<Ticket>) {
        let mut messages = kind.begin();
        messages.push(Message::user(format!("This is agent {}. What now?", self.number)));
        let ticket = Ticket::new(Instant::now(), &self.tally);
        (kind.request(&messages, &ticket), ticket)
    }
}
