//! A chat completion server on loopback: the part of the OpenAI protocol that an agent needs.

use crate::counting::{Size, text, tokens};
use crate::flags::Terms;
use crate::journal::Caller;
use crate::ledger::{Excess, InFlight, Ledger};
use crate::left::{OVERLOADED, seconds};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response, Sse};
use axum::routing::post;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use core::convert::Infallible;
use core::time::Duration;
use futures_util::stream::{self, Stream};
use serde_json::{Value, json};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::vec;
use tokio::net::TcpSocket;

/// Connections that may wait to be accepted. All agents can connect at once, and a connection that the
/// system refuses is retried so late that no margin covers it.
const BACKLOG: u32 = 4096;

/// A running server. It lives as long as the runtime.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    ledger: Arc<Ledger>,
}

impl Server {
    /// Starts to serve on its own port, in the current runtime.
    pub(crate) fn start(terms: Terms, lenient: bool) -> io::Result<Self> {
        Self::with_haste(1, terms, lenient)
    }

    /// The same, with answers that take so many times less.
    pub(crate) fn with_haste(haste: u32, terms: Terms, lenient: bool) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        let ledger = Arc::new(Ledger::new(terms, lenient));
        let routes = Router::new()
            .route("/v1/chat/completions", post(complete))
            .with_state((Arc::clone(&ledger), haste));
        // Chunks are small: without this the system would hold them back to fill packets.
        let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
        tokio::spawn(axum::serve(listener, routes).into_future());
        Ok(Self { address, ledger })
    }

    /// Where the API begins.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

async fn complete(
    State((ledger, haste)): State<(Arc<Ledger>, u32)>,
    Json(chat): Json<Value>,
) -> Response {
    let (Some(true), Some(messages)) = (chat["stream"].as_bool(), chat["messages"].as_array())
    else {
        return (StatusCode::BAD_REQUEST, "only streamed answers to messages").into_response();
    };
    let size = size(&chat, messages);
    let (judged, remains) = ledger.arrive(size, caller(&chat));
    let mut response = match judged {
        Ok(place) => {
            let mut answer = Answer::new(messages.len(), size, place);
            answer.pause /= haste;
            Sse::new(answer.into_stream()).into_response()
        }
        Err(excess) => excess.into_response(),
    };
    remains.tell(response.headers_mut());
    response
}

/// The name by which the second client calls itself.
pub(crate) const SECOND: &str = "second";

fn caller(chat: &Value) -> Caller {
    if chat["user"] == SECOND { Caller::Second } else { Caller::Agent }
}

/// The size of a request: its prompt's, and the most that its answer may have (unsaid: zero).
fn size(chat: &Value, messages: &[Value]) -> Size {
    let contents = messages.iter().filter_map(|message| message["content"].as_str());
    let prompt = tokens(contents.map(str::len).sum());
    Size { prompt, max_tokens: chat["max_tokens"].as_u64().unwrap_or(0) }
}

impl IntoResponse for Excess {
    fn into_response(self) -> Response {
        let (kind, retry_after) = match self {
            Self::Rate(wait) => ("requests", wait),
            Self::Tokens(wait) => ("tokens", wait),
            // The end of a call is unknown; this is the least that one takes.
            Self::Concurrency => ("concurrency", Duration::from_millis(100)),
            Self::Closed(wait) => ("acceleration", wait),
            Self::Overload => return overloaded(),
        };
        let message = format!("Rate limit reached for {kind}");
        let error = json!({
            "error": { "message": message, "type": kind, "code": "rate_limit_exceeded" }
        });
        let header = [(header::RETRY_AFTER, seconds(retry_after))];
        (StatusCode::TOO_MANY_REQUESTS, header, Json(error)).into_response()
    }
}

/// An overload, of which nobody knows how long it lasts.
fn overloaded() -> Response {
    let error = json!({ "error": { "message": "Overloaded", "type": "overloaded_error" } });
    let status = StatusCode::from_u16(OVERLOADED).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    (status, Json(error)).into_response()
}

/// An answer that is being sent.
struct Answer {
    frames: vec::IntoIter<Frame>,
    pause: Duration,
    /// Held until the last frame is made.
    place: Option<InFlight>,
}

/// A part of an answer.
struct Frame {
    data: String,
    /// Its output.
    tokens: u64,
}

/// Parts of an answer whose length a request limits.
const PARTS: u64 = 12;

impl Answer {
    /// Answers take between 100 and 250 ms, the same for the same number, so that calls overlap in
    /// many ways. Only if the request says `max_tokens`, usage is told at the end.
    fn new(heard: usize, size: Size, place: InFlight) -> Self {
        let number = place.number;
        let intro = format!("This is answer {number}; I have heard {heard} messages so far.");
        let texts: Vec<String> = match size.max_tokens {
            0 => intro.split_inclusive(' ').map(str::to_owned).collect(),
            most => parts(length(number as u64, most)),
        };
        let mut frames: Vec<Frame> = texts.iter().map(|text| Frame::of(number, text)).collect();
        let output = frames.iter().map(|frame| frame.tokens).sum();
        frames.push(Frame::silent(chunk(number, None)));
        if size.max_tokens > 0 {
            frames.push(Frame::silent(usage(number, size.prompt, output)));
        }
        frames.push(Frame::silent("[DONE]".to_owned()));
        let millis = 100 + 10 * (number as u64 * 37 % 16);
        let pause = Duration::from_micros(millis * 1000 / frames.len() as u64);
        Self { frames: frames.into_iter(), pause, place: Some(place) }
    }

    fn into_stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, Self::next)
    }

    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        let frame = self.frames.next()?;
        tokio::time::sleep(self.pause).await;
        if let Some(place) = self.place.as_mut().filter(|_| frame.tokens > 0) {
            place.send(frame.tokens);
        }
        if self.frames.len() == 0 {
            // Before the client can see the end of the answer: it may call again at once.
            self.place = None;
        }
        Some((Ok(Event::default().data(frame.data)), self))
    }
}

impl Frame {
    fn of(number: usize, text: &str) -> Self {
        Self { data: chunk(number, Some(text)), tokens: tokens(text.len()) }
    }

    fn silent(data: String) -> Self {
        Self { data, tokens: 0 }
    }
}

/// How long an answer is: a tenth of what it may have on average, but one in sixteen all of it.
fn length(number: u64, most: u64) -> u64 {
    let share = number * 7 % 16;
    if share == 0 { most } else { (most * share / 80).max(1) }
}

/// A text of so many tokens, in parts of nearly the same size.
fn parts(tokens: u64) -> Vec<String> {
    let ends = (0..=PARTS).map(|part| tokens * part / PARTS).collect::<Vec<_>>();
    let sizes = ends.windows(2).map(|ends| ends[1] - ends[0]);
    sizes.filter(|size| *size > 0).map(text).collect()
}

/// One chunk of an answer: a piece of text, or its end.
fn chunk(number: usize, text: Option<&str>) -> String {
    let delta = text.map_or_else(|| json!({}), |text| json!({ "content": text }));
    let finish_reason = text.is_none().then_some("stop");
    json!({
        "id": format!("chatcmpl-{number}"),
        "object": "chat.completion.chunk",
        "choices": [{ "index": 0, "delta": delta, "finish_reason": finish_reason }]
    })
    .to_string()
}

/// The last chunk: what the call has used.
fn usage(number: usize, prompt: u64, output: u64) -> String {
    json!({
        "id": format!("chatcmpl-{number}"),
        "object": "chat.completion.chunk",
        "choices": [],
        "usage": { "prompt_tokens": prompt, "completion_tokens": output }
    })
    .to_string()
}
