//! An agent: conversations of several turns, one after another, until the deadline.

use crate::Pool;
use crate::client::{ChatRequest, Error, Event, Message};
use crate::tally::Tally;
use crate::ticket::Ticket;
use core::ops::ControlFlow;
use core::pin::pin;
use core::time::Duration;
use futures_util::StreamExt;
use ringgate::EventStream;
use std::sync::Arc;
use tokio::time::{Instant, sleep, timeout_at};

/// The longest that an agent waits after a failure, even if the server asks for more.
const PATIENCE: Duration = Duration::from_millis(200);

/// One of the agents that share the pool. It asks its next question as soon as it has an answer.
pub(crate) struct Agent {
    pub(crate) number: usize,
    pub(crate) turns: u32,
    /// When to stop making calls. Calls in line are given up, admitted ones are finished.
    pub(crate) deadline: Instant,
    pub(crate) pool: Arc<Pool>,
    pub(crate) tally: Arc<Tally>,
}

/// Why a call has no answer.
enum Missed {
    /// It was still in line at the deadline.
    InLine,
    Failed(Error),
}

impl Agent {
    pub(crate) async fn run(self) {
        while self.converse().await.is_continue() {}
    }

    async fn converse(&self) -> ControlFlow<()> {
        let mut history = Vec::new();
        for turn in 1..=self.turns {
            let question = format!("This is agent {}, turn {turn}. What now?", self.number);
            history.push(Message::user(question));
            history.push(Message::assistant(self.ask(&history).await?));
        }
        ControlFlow::Continue(())
    }

    /// Asks until it has an answer, or none is possible.
    async fn ask(&self, history: &[Message]) -> ControlFlow<(), String> {
        let mut wanted = Instant::now();
        while Instant::now() < self.deadline {
            match self.call(history, wanted).await {
                Ok(answer) => {
                    self.tally.answered();
                    return ControlFlow::Continue(answer);
                }
                Err(Missed::InLine) => self.tally.left_the_line(),
                Err(Missed::Failed(error)) => {
                    self.recover(&error).await?;
                    // A call that the pool refused was not sent. It still waits.
                    if !error.turned_away() {
                        wanted = Instant::now();
                    }
                }
            }
        }
        ControlFlow::Break(())
    }

    /// One call; `history` ends with the question.
    async fn call(&self, history: &[Message], wanted: Instant) -> Result<String, Missed> {
        let ticket = Ticket::new(wanted, &self.tally);
        let request = ChatRequest { messages: history.to_vec(), ticket: Arc::clone(&ticket) };
        let mut call = pin!(self.pool.stream(request));
        let answer = match timeout_at(self.deadline, &mut call).await {
            Ok(answer) => answer,
            Err(_) if ticket.waited().is_some() => call.await,
            Err(_) => return Err(Missed::InLine),
        };
        if let Some(wait) = ticket.waited() {
            self.tally.admitted(wait);
        }
        read(answer.map_err(Missed::Failed)?).await.map_err(Missed::Failed)
    }

    /// Waits a little, unless no call can ever succeed.
    async fn recover(&self, error: &Error) -> ControlFlow<()> {
        self.tally.missed(error);
        let retry_after = match error {
            Error::TooManyRequests { retry_after } | Error::TurnedAway { retry_after } => {
                *retry_after
            }
            Error::Refused(_) => return ControlFlow::Break(()),
            _ => None,
        };
        sleep(retry_after.map_or(PATIENCE, |after| after.min(PATIENCE))).await;
        ControlFlow::Continue(())
    }
}

/// Reads an answer to the end of its stream, so that its connection can be used again.
pub(crate) async fn read(mut events: EventStream<Event>) -> Result<String, Error> {
    let (mut answer, mut done) = (String::new(), false);
    while let Some(event) = events.next().await {
        match event {
            Event::Delta(text) => answer.push_str(&text),
            Event::Done => done = true,
            Event::Failed(error) => return Err(error),
        }
    }
    if done { Ok(answer) } else { Err(Error::Protocol("it stops half-way".to_owned())) }
}
