//! A second client with the same key, which nobody has told the limiter of.

use crate::agent::read;
use crate::client::{ChatRequest, Error, Message, OpenAiCompatible};
use crate::flags::Terms;
use crate::tally::Tally;
use crate::ticket::Ticket;
use core::time::Duration;
use ringgate::EventStream;
use ringgate_mock_provider::{Counting, text_of};
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// The name by which it calls itself.
pub(crate) const SECOND: &str = "second";

/// The shortest wait after a refusal.
const PATIENCE: Duration = Duration::from_millis(1);

/// Takes a third of the limits, one call after another at the same distance. Calls that come late because the server
/// refuses them are made up for.
pub(crate) async fn run(url: String, terms: Terms, until: Instant) {
    let provider = OpenAiCompatible::new(&url, terms.tokens).with_user(SECOND);
    let calls = (terms.limit / 3).max(1);
    let mut answers = JoinSet::new();
    let mut next = Instant::now();
    while next < until {
        sleep_until(next).await;
        next += terms.window / calls;
        if let Some(events) = ask(&provider, terms, until).await {
            answers.spawn(read(events, None));
        }
    }
    answers.join_all().await;
}

/// Asks until the server begins to answer.
async fn ask(
    provider: &OpenAiCompatible,
    terms: Terms,
    until: Instant,
) -> Option<EventStream<crate::client::Event>> {
    while Instant::now() < until {
        match provider.call(&request(terms)).await.1 {
            Ok(events) => return Some(events),
            Err(Error::TooManyRequests { retry_after }) => {
                sleep(retry_after.unwrap_or(PATIENCE).max(PATIENCE)).await;
            }
            Err(_) => return None,
        }
    }
    None
}

/// A call that takes as much of the tokens as of the calls.
fn request(terms: Terms) -> ChatRequest {
    let ticket = Ticket::new(Instant::now(), &Arc::new(Tally::default()));
    let (content, max_tokens) = match terms.tokens {
        Counting::AtArrival { total } => {
            let each = total / u64::from(terms.limit.max(1));
            (text_of(each - each / 10), Some(each / 10))
        }
        _ => ("Is anybody there?".to_owned(), None),
    };
    ChatRequest { messages: vec![Message::user(content)], max_tokens, ticket }
}
