//! An agent: conversations of several turns, one after another, until the deadline.

use crate::Pool;
use crate::calls::Conversation;
use crate::client::{Error, Event, Message};
use crate::dice::Dice;
use crate::tally::Tally;
use crate::ticket::Ticket;
use core::ops::ControlFlow;
use core::pin::pin;
use core::time::Duration;
use futures_util::StreamExt;
use ringgate::{EventStream, Usage};
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
    /// Whether calls have sizes.
    pub(crate) counts_tokens: bool,
    /// Whether calls are given up at times, if they have sizes.
    pub(crate) hangs_up: bool,
    pub(crate) dice: Dice,
}

/// An answer, or what there is of it.
pub(crate) struct Answer {
    text: String,
    /// What it says it has used.
    usage: Option<Usage>,
    /// It was read to its end.
    whole: bool,
}

/// Why a call has no answer.
enum Missed {
    /// It was still in line at the deadline.
    InLine,
    Failed(Error),
}

impl Agent {
    pub(crate) async fn run(mut self) {
        while self.converse().await.is_continue() {}
    }

    async fn converse(&mut self) -> ControlFlow<()> {
        let conversation = if self.counts_tokens {
            Conversation::draw(&mut self.dice)
        } else {
            Conversation::PLAIN
        };
        let mut history = conversation.begin();
        for turn in 1..=self.turns {
            let question = format!("This is agent {}, turn {turn}. What now?", self.number);
            history.push(Message::user(question));
            history.push(Message::assistant(self.ask(conversation, &history).await?));
        }
        ControlFlow::Continue(())
    }

    /// Asks until it has an answer, or none is possible. A call that it gives up has an answer: as far as it was read.
    async fn ask(
        &mut self,
        conversation: Conversation,
        history: &[Message],
    ) -> ControlFlow<(), String> {
        let mut wanted = Instant::now();
        while Instant::now() < self.deadline {
            let most = if self.hangs_up { conversation.hangs_up(&mut self.dice) } else { None };
            match self.call(conversation, history, wanted, most).await {
                Ok(answer) => {
                    if answer.whole {
                        self.tally.answered();
                    } else {
                        self.tally.hung_up();
                    }
                    return ControlFlow::Continue(answer.text);
                }
                Err(Missed::InLine) => self.tally.left_the_line(wanted.elapsed()),
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

    /// One call; `history` ends with the question. At most so many parts of the answer are read.
    async fn call(
        &self,
        conversation: Conversation,
        history: &[Message],
        wanted: Instant,
        most: Option<usize>,
    ) -> Result<Answer, Missed> {
        let ticket = Ticket::new(wanted, &self.tally);
        let request = conversation.request(history, &ticket);
        let expected = self.pool.estimate(&request);
        let mut call = pin!(self.pool.stream(request));
        let answer = match timeout_at(self.deadline, &mut call).await {
            Ok(answer) => answer,
            Err(_) if ticket.waited().is_some() => call.await,
            Err(_) => return Err(Missed::InLine),
        };
        if let Some(wait) = ticket.waited() {
            self.tally.admitted(wait);
        }
        let events = answer.map_err(Missed::Failed)?;
        let answer = read(events, most).await.map_err(Missed::Failed)?;
        self.tally.spent(expected, answer.usage);
        Ok(answer)
    }

    /// Waits a little, unless no call can ever succeed.
    async fn recover(&self, error: &Error) -> ControlFlow<()> {
        self.tally.missed(error);
        let retry_after = match error {
            Error::TooManyRequests { retry_after } | Error::TurnedAway { retry_after } => {
                *retry_after
            }
            Error::Refused(_) => return ControlFlow::Break(()),
            // The limiter knows when to send it.
            Error::TooLate => return ControlFlow::Continue(()),
            _ => None,
        };
        sleep(retry_after.map_or(PATIENCE, |after| after.min(PATIENCE))).await;
        ControlFlow::Continue(())
    }
}

/// Reads an answer to the end of its stream, so that its connection can be used again; or only `most` parts of it.
pub(crate) async fn read(
    mut events: EventStream<Event>,
    most: Option<usize>,
) -> Result<Answer, Error> {
    let mut answer = Answer { text: String::new(), usage: None, whole: false };
    let mut parts = 0;
    while let Some(event) = events.next().await {
        match event {
            Event::Delta(text) => {
                answer.text.push_str(&text);
                parts += 1;
            }
            Event::Usage(usage) => answer.usage = Some(usage),
            Event::Done => answer.whole = true,
            Event::Failed(error) => return Err(error),
        }
        if most.is_some_and(|most| parts >= most) {
            return Ok(answer);
        }
    }
    if answer.whole { Ok(answer) } else { Err(Error::Protocol("it stops half-way".to_owned())) }
}
