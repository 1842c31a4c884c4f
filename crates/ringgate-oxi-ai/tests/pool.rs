//! In the place of oxi-ai's own pool: with its `OpenAiProvider` against a server on loopback that the
//! test answers for, and with a provider in the test's hand under paused time.
#![expect(clippy::disallowed_methods, reason = "departures go by tokio's paused time")]

use async_trait::async_trait;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use futures_util::stream::{self, poll_fn};
use futures_util::{FutureExt, StreamExt};
use oxi_ai::{
    Api, Context, Message, Model, OpenAiProvider, Provider, ProviderError, ProviderEvent,
    StopReason, StreamOptions, Tool, UserMessage,
};
use ringgate::{EventStream, Limiter, Rate};
use ringgate_oxi_ai::{ProviderPool, RateLimitPolicy};
use serde_json::{Value, json};
use std::io;
use std::net::Ipv4Addr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

type Events = EventStream<ProviderEvent>;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn model() -> Model {
    Model::new("loopback", "Loopback", Api::OpenAiCompletions, "openai", "http://unused")
}

fn question(text: &str) -> Context {
    Context::from(Message::User(UserMessage::new(text)))
}

/// One at a time, as often as one likes.
fn single() -> RateLimitPolicy {
    RateLimitPolicy::unlimited().with_max_concurrent(1)
}

/// A task that calls.
fn call(pool: &Arc<ProviderPool>, text: &str) -> JoinHandle<Result<Events, ProviderError>> {
    let (pool, context) = (Arc::clone(pool), question(text));
    tokio::spawn(async move { pool.stream(&model(), &context, None).await })
}

// ---- only the `use` line ----------------------------------------------------------------------------

/// Code as it stands with users of the original, once with each `use` line.
macro_rules! code_of_a_user {
    ($name:ident, $($pool:tt)+) => {
        mod $name {
            use super::{Events, Hand, model, question};
            use oxi_ai::{Provider, ProviderError, StreamOptions};
            use std::sync::Arc;
            use $($pool)+::{ProviderPool, RateLimitPolicy};

            pub(super) struct Shared {
                pool: Arc<ProviderPool>,
                policy: RateLimitPolicy,
            }

            impl Shared {
                pub(super) fn new(hand: Hand) -> Self {
                    let policy = RateLimitPolicy { rpm: 60, max_concurrent: 4 };
                    let pool = ProviderPool::new(Arc::new(hand), policy.clone(), "shared key");
                    Self { pool: Arc::new(pool), policy }
                }

                pub(super) fn as_provider(&self) -> Arc<dyn Provider> {
                    self.pool.clone()
                }

                pub(super) async fn ask(&self) -> Result<Events, ProviderError> {
                    let options = StreamOptions::new().temperature(0.5);
                    self.pool.stream(&model(), &question("?"), Some(options)).await
                }
            }

            pub(super) fn numbers(shared: &Shared) -> Vec<(u32, usize)> {
                let RateLimitPolicy { rpm, max_concurrent } = shared.policy.clone();
                let mut lax = RateLimitPolicy::rpm(600);
                lax.max_concurrent += 1;
                let others = [
                    lax,
                    RateLimitPolicy::rpm(5),
                    RateLimitPolicy::per_second(3),
                    RateLimitPolicy::unlimited().with_max_concurrent(7),
                ];
                let others = others.iter().map(|other| (other.rpm, other.max_concurrent));
                std::iter::once((rpm, max_concurrent)).chain(others).collect()
            }
        }
    };
}

code_of_a_user!(before, oxi_ai::provider_pool);
code_of_a_user!(after, ringgate_oxi_ai);

/// Broken by: another field in `RateLimitPolicy` (does not compile), or `per_second` in other terms.
#[tokio::test]
async fn code_of_the_originals_users_needs_another_use_line_and_nothing_else() {
    let (before_hand, mut before_seen) = hand();
    let (after_hand, mut after_seen) = hand();
    let (before, after) = (before::Shared::new(before_hand), after::Shared::new(after_hand));
    assert_eq!(before::numbers(&before), after::numbers(&after));
    assert_eq!(before.as_provider().name(), after.as_provider().name());
    drop((before.ask().await.unwrap(), after.ask().await.unwrap()));
    drop(before.as_provider().stream(&model(), &question("?"), None).await.unwrap());
    drop(after.as_provider().stream(&model(), &question("?"), None).await.unwrap());
    for temperature in [Some(0.5), None] {
        assert_eq!(before_seen.recv().await.unwrap().temperature, temperature);
        assert_eq!(after_seen.recv().await.unwrap().temperature, temperature);
    }
}

// ---- oxi-ai's own provider, and a server on loopback -----------------------------------------------

/// A server whose calls the test answers.
struct Server {
    url: String,
    calls: UnboundedReceiver<Call>,
}

/// A call as it arrived.
struct Call {
    body: Value,
    answer: oneshot::Sender<Response>,
}

/// An answer on its way; it ends when this is dropped.
struct Answer(UnboundedSender<io::Result<Bytes>>);

async fn complete(State(calls): State<UnboundedSender<Call>>, Json(body): Json<Value>) -> Response {
    let (answer, answered) = oneshot::channel();
    // The test may be over.
    let _ = calls.send(Call { body, answer });
    answered.await.unwrap_or_else(|_| StatusCode::GONE.into_response())
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let (calls, seen) = unbounded_channel();
        let routes = Router::new().route("/v1/chat/completions", post(complete)).with_state(calls);
        tokio::spawn(axum::serve(listener, routes).into_future());
        Self { url, calls: seen }
    }

    fn pool(&self, policy: RateLimitPolicy) -> Arc<ProviderPool> {
        let provider = OpenAiProvider::with_base_url_and_key(&self.url, Some("key".to_owned()));
        Arc::new(ProviderPool::new(Arc::new(provider), policy, "pool"))
    }

    async fn call(&mut self) -> Call {
        self.calls.recv().await.unwrap()
    }

    fn is_quiet(&mut self) -> bool {
        self.calls.try_recv().is_err()
    }
}

impl Call {
    fn text(&self) -> &str {
        self.body["messages"][0]["content"].as_str().unwrap()
    }

    fn begin(self) -> Answer {
        let (frames, mut sent) = unbounded_channel();
        let body = Body::from_stream(poll_fn(move |cx| sent.poll_recv(cx)));
        self.answer.send(body.into_response()).unwrap();
        Answer(frames)
    }

    fn fail(self, status: StatusCode, text: &'static str) {
        self.answer.send((status, text).into_response()).unwrap();
    }
}

impl Answer {
    fn send(&self, delta: &Value, finish_reason: Option<&str>) {
        let chunk = json!({
            "id": "chatcmpl-1",
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish_reason }]
        });
        self.0.send(Ok(format!("data: {chunk}\n\n").into())).unwrap();
    }

    fn say(&self, text: &str) {
        self.send(&json!({ "content": text }), None);
    }

    fn call_tool(&self, function: &Value) {
        self.send(&json!({ "tool_calls": [function] }), None);
    }

    fn finish(self, reason: &str) {
        self.send(&json!({}), Some(reason));
        self.0.send(Ok("data: [DONE]\n\n".into())).unwrap();
    }

    fn break_off(self) {
        self.0.send(Err(io::Error::other("the server stumbles"))).unwrap();
    }
}

/// The texts of an answer's deltas until its end, and how it ended.
async fn read(mut events: Events) -> (Vec<String>, Option<ProviderEvent>) {
    let (mut texts, mut last) = (Vec::new(), None);
    while let Some(event) = events.next().await {
        match event {
            ProviderEvent::TextDelta { delta, .. } => texts.push(delta),
            event => last = Some(event),
        }
    }
    (texts, last)
}

/// Broken by: `PoolStream` without the permit, which would send the second call at once.
#[tokio::test]
async fn deltas_come_through_one_by_one_and_the_slot_is_held_until_the_last() {
    let mut server = Server::start().await;
    let pool = server.pool(single());
    let first = call(&pool, "first");
    let answer = server.call().await.begin();
    let mut events = first.await.unwrap().unwrap();
    assert!(matches!(events.next().await, Some(ProviderEvent::Start { .. })));
    for text in ["Hel", "lo"] {
        answer.say(text);
        match events.next().await {
            Some(ProviderEvent::TextDelta { delta, .. }) => assert_eq!(delta, text),
            other => panic!("{other:?}"),
        }
    }
    let mut second = pin_call(&pool, "second");
    assert!(second.as_mut().now_or_never().is_none());
    assert_eq!((pool.limiter().waiters(), server.is_quiet()), (1, true));

    answer.finish("stop");
    let (texts, last) = read(events).await;
    assert!(texts.is_empty());
    assert!(matches!(last, Some(ProviderEvent::Done { reason: StopReason::Stop, .. })));
    let second = tokio::spawn(second);
    let call = server.call().await;
    assert_eq!(call.text(), "second");
    drop(call.begin());
    read(second.await.unwrap().unwrap()).await;
    assert_eq!(pool.limiter().available_permits(), 1);
}

type Calling = std::pin::Pin<Box<dyn Future<Output = Result<Events, ProviderError>> + Send>>;

/// A call that the test polls itself.
fn pin_call(pool: &Arc<ProviderPool>, text: &str) -> Calling {
    let (pool, context) = (Arc::clone(pool), question(text));
    Box::pin(async move { pool.stream(&model(), &context, None).await })
}

/// Broken by: `Provider::stream` of the pool not passing on the context's tools.
#[tokio::test]
async fn a_tool_call_arrives_whole() {
    let mut server = Server::start().await;
    let pool: Arc<dyn Provider> = server.pool(single());
    let mut context = question("weather?");
    context.add_tool(Tool::new("weather", "The weather", json!({ "type": "object" })));
    let asked = tokio::spawn(async move { pool.stream(&model(), &context, None).await });

    let call = server.call().await;
    assert_eq!(call.body["tools"][0]["function"]["name"], "weather");
    let answer = call.begin();
    let start = json!({ "name": "weather", "arguments": "" });
    answer.call_tool(&json!({ "index": 0, "id": "call_1", "function": start }));
    for arguments in ["{\"city\":", "\"Oslo\"}"] {
        answer.call_tool(&json!({ "index": 0, "function": { "arguments": arguments } }));
    }
    answer.finish("tool_calls");

    let events: Vec<_> = asked.await.unwrap().unwrap().collect().await;
    let tool_call = events.iter().find_map(|event| match event {
        ProviderEvent::ToolCallEnd { tool_call, .. } => Some(tool_call),
        _ => None,
    });
    let tool_call = tool_call.expect("the call's end");
    assert_eq!((tool_call.id.as_str(), tool_call.name.as_str()), ("call_1", "weather"));
    assert_eq!(tool_call.arguments, json!({ "city": "Oslo" }));
    assert!(matches!(events.last(), Some(ProviderEvent::Done { reason: StopReason::ToolUse, .. })));
}

/// Broken by: the pool taking a server's 429 for a refusal of its own, or forgetting the permit.
#[tokio::test]
async fn what_the_server_refuses_is_passed_on_as_it_came_and_stays_counted() {
    let mut server = Server::start().await;
    let pool = server.pool(RateLimitPolicy::rpm(60).with_max_concurrent(1));
    for (left, status) in [(59, StatusCode::TOO_MANY_REQUESTS), (58, StatusCode::BAD_GATEWAY)] {
        let asked = call(&pool, "?");
        server.call().await.fail(status, "no");
        match asked.await.unwrap() {
            Err(ProviderError::HttpError(code, text)) => {
                assert_eq!((code, text.as_str()), (status.as_u16(), "no"));
            }
            other => panic!("{:?}", other.err()),
        }
        assert_eq!((pool.limiter().available_permits(), pool.limiter().remaining()), (1, left));
        // Nothing was told about how long.
        let is_429 = status == StatusCode::TOO_MANY_REQUESTS;
        assert_eq!(pool.limiter().paused_for().is_some(), is_429);
        pool.limiter().resume();
    }
}

/// Broken by: an error that the pool does not pass on; a body that is not read.
#[tokio::test]
async fn a_429_of_the_server_pauses_the_pool_for_as_long_as_its_body_says() {
    let mut server = Server::start().await;
    let pool = server.pool(RateLimitPolicy::rpm(60));
    let asked = call(&pool, "?");
    let body =
        r#"{"error": {"code": "rate_limit_exceeded", "message": "Please try again in 30s."}}"#;
    server.call().await.fail(StatusCode::TOO_MANY_REQUESTS, body);
    assert!(matches!(asked.await.unwrap(), Err(ProviderError::HttpError(429, _))));
    let left = pool.limiter().paused_for().unwrap();
    assert!(left > s(20) && left <= s(30), "{left:?}");
    let waits = call(&pool, "?");
    tokio::task::yield_now().await;
    assert_eq!(pool.limiter().waiters(), 1);
    pool.limiter().resume();
    server.call().await.begin().finish("stop");
    assert!(waits.await.unwrap().is_ok());
}

/// Broken by: a permit that is let go at the first event that is an error, or never.
#[tokio::test]
async fn a_stream_that_the_server_breaks_off_says_so_and_frees_its_slot_at_its_end() {
    let mut server = Server::start().await;
    let pool = server.pool(single());
    let asked = call(&pool, "?");
    let answer = server.call().await.begin();
    let mut events = asked.await.unwrap().unwrap();
    answer.say("half an ");
    while !matches!(events.next().await.unwrap(), ProviderEvent::TextDelta { .. }) {}
    answer.break_off();
    let (texts, last) = read(events).await;
    assert!(texts.is_empty());
    assert!(last.is_some_and(|event| event.is_error()));
    assert_eq!(pool.limiter().available_permits(), 1);
}

/// Broken by: `PoolStream` forgetting its parts where it is dropped.
#[tokio::test]
async fn a_stream_that_its_caller_drops_half_way_frees_its_slot_and_its_connection() {
    let mut server = Server::start().await;
    let pool = server.pool(single());
    let asked = call(&pool, "?");
    let answer = server.call().await.begin();
    let mut events = asked.await.unwrap().unwrap();
    answer.say("half an ");
    while !matches!(events.next().await.unwrap(), ProviderEvent::TextDelta { .. }) {}
    assert_eq!(pool.limiter().available_permits(), 0);
    drop(events);
    assert_eq!(pool.limiter().available_permits(), 1);
    // The server sees that it is gone. Otherwise it would wait endlessly.
    answer.0.closed().await;
}

/// Broken by: the permit taken after the provider was called.
#[tokio::test]
async fn the_server_never_sees_more_calls_in_flight_than_the_policy_says() {
    let mut server = Server::start().await;
    let pool = server.pool(RateLimitPolicy { rpm: u32::MAX, max_concurrent: 3 });
    let agents: Vec<_> = (0..12)
        .map(|_| {
            let asked = call(&pool, "?");
            tokio::spawn(async move { read(asked.await.unwrap().unwrap()).await.0.concat() })
        })
        .collect();
    for round in 0..4 {
        let mut answers = Vec::new();
        for _ in 0..3 {
            answers.push(server.call().await.begin());
        }
        assert!(server.is_quiet(), "four in flight in round {round}");
        for answer in answers {
            answer.say("done");
            answer.finish("stop");
        }
    }
    for agent in agents {
        assert_eq!(agent.await.unwrap(), "done");
    }
}

// ---- a provider in the test's hand -------------------------------------------------------------------

/// What to do with a call is its first message's text.
struct Hand(UnboundedSender<Seen>);

/// A call as it arrived.
struct Seen {
    at: Instant,
    temperature: Option<f64>,
}

fn hand() -> (Hand, UnboundedReceiver<Seen>) {
    let (calls, seen) = unbounded_channel();
    (Hand(calls), seen)
}

#[async_trait]
impl Provider for Hand {
    fn name(&self) -> &'static str {
        "hand"
    }

    async fn stream(
        &self,
        _: &Model,
        context: &Context,
        options: Option<StreamOptions>,
    ) -> Result<Events, ProviderError> {
        let temperature = options.and_then(|options| options.temperature);
        // The test may have seen enough.
        let _ = self.0.send(Seen { at: Instant::now(), temperature });
        let Some(Message::User(user)) = context.messages.first() else { panic!("no question") };
        match user.content.as_str() {
            Some("panic") => panic!("the provider panics"),
            Some("panic later") => Ok(Box::pin(poll_fn(|_| panic!("the stream panics")))),
            Some("hang") => Ok(Box::pin(stream::pending())),
            _ => Ok(Box::pin(stream::empty())),
        }
    }
}

fn in_hand(policy: RateLimitPolicy) -> (Arc<ProviderPool>, UnboundedReceiver<Seen>) {
    let (hand, seen) = hand();
    (Arc::new(ProviderPool::new(Arc::new(hand), policy, "pool")), seen)
}

/// The wait that a refused call is told.
#[track_caller]
fn refused(answer: Result<Events, ProviderError>) -> Option<Duration> {
    match answer {
        Err(ProviderError::RateLimited { retry_after }) => retry_after,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("admitted"),
    }
}

/// Broken by: a permit that is not a guard while the provider is called.
#[tokio::test]
async fn a_provider_that_panics_gives_its_slot_back_and_stays_counted() {
    let (pool, _seen) = in_hand(RateLimitPolicy { rpm: 3, max_concurrent: 1 });
    assert!(call(&pool, "panic").await.is_err_and(|error| error.is_panic()));
    assert_eq!((pool.limiter().available_permits(), pool.limiter().remaining()), (1, 2));

    let mut events = call(&pool, "panic later").await.unwrap().unwrap();
    assert_eq!(pool.limiter().available_permits(), 0);
    assert!(AssertUnwindSafe(events.next()).catch_unwind().await.is_err());
    assert_eq!((pool.limiter().available_permits(), pool.limiter().remaining()), (1, 1));
    assert!(events.next().await.is_none());
}

/// The original sleeps a second with its slot and then fails. Broken by: `admit` with a timeout of
/// its own, or without the margin of `ringgate::RateLimitPolicy`.
#[tokio::test(start_paused = true)]
async fn a_call_over_the_rate_waits_for_exactly_its_turn() {
    let (pool, mut seen) = in_hand(RateLimitPolicy { rpm: 2, max_concurrent: 2 });
    let start = Instant::now();
    let calls: Vec<_> = (0..5).map(|_| call(&pool, "?")).collect();
    for call in calls {
        drop(call.await.unwrap().unwrap());
    }
    for expected in [0, 0, 60_250, 60_250, 120_500].map(ms) {
        assert_eq!(seen.recv().await.unwrap().at - start, expected);
    }
}

/// Broken by: `with_acquire_timeout` that is not kept, or `From<Refused>` with a constant.
#[tokio::test(start_paused = true)]
async fn a_call_whose_turn_comes_later_than_its_patience_is_told_the_exact_wait_at_once() {
    let (hand, mut seen) = hand();
    let limiter = Limiter::builder()
        .margin(Duration::ZERO)
        .rate(Rate::per_minute(1))
        .max_concurrent(4)
        .build();
    let pool =
        ProviderPool::with_limiter(Arc::new(hand), limiter, "pool").with_acquire_timeout(s(20));
    let start = Instant::now();
    let (model, context) = (model(), question("?"));
    drop(pool.stream(&model, &context, None).await.unwrap());

    tokio::time::sleep(ms(12_345)).await;
    let wait = refused(pool.stream(&model, &context, None).await);
    assert_eq!((wait, start.elapsed()), (Some(ms(47_655)), ms(12_345)));

    // As long as it takes, now that it takes no longer than that.
    tokio::time::sleep(ms(30_000)).await;
    drop(pool.stream(&model, &context, None).await.unwrap());
    assert_eq!(start.elapsed(), s(60));
    assert_eq!(seen.recv().await.unwrap().at, start);
    assert_eq!(seen.recv().await.unwrap().at, start + s(60));
    assert!(seen.try_recv().is_err(), "a refused call was sent");
}

/// Broken by: `from(Refused)` inventing a time.
#[tokio::test(start_paused = true)]
async fn a_call_that_finds_no_slot_within_its_patience_is_told_no_time() {
    let (hand, mut seen) = hand();
    let pool = ProviderPool::new(Arc::new(hand), single(), "pool").with_acquire_timeout(s(3));
    let start = Instant::now();
    let (model, context) = (model(), question("hang"));
    let held = pool.stream(&model, &context, None).await.unwrap();
    let answer = timeout(s(60), pool.stream(&model, &context, None)).await;
    assert_eq!(refused(answer.expect("patient")), None);
    assert_eq!(start.elapsed(), s(3));
    drop(held);
    assert!(pool.stream(&model, &context, None).await.is_ok());
    assert_eq!((seen.len(), seen.recv().await.unwrap().at), (2, start));
}

/// The original hangs without slots. Broken by: `Slots::Shut` waiting.
#[tokio::test(start_paused = true)]
async fn a_limit_of_zero_refuses_at_once_and_names_no_time() {
    let start = Instant::now();
    let none =
        [RateLimitPolicy::rpm(0), RateLimitPolicy::per_second(0), single().with_max_concurrent(0)];
    for policy in none {
        let (pool, mut seen) = in_hand(policy);
        assert_eq!(refused(call(&pool, "?").await.unwrap()), None);
        assert!(seen.try_recv().is_err(), "sent all the same");
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

/// The original panics or overflows. Broken by: `RateLimitPolicy::unlimited` of 1 permit, or `*` for
/// `saturating_mul` in `per_second`.
#[tokio::test(start_paused = true)]
async fn the_largest_policies_limit_nothing_that_can_be_counted() {
    let start = Instant::now();
    for policy in [RateLimitPolicy::unlimited(), RateLimitPolicy::per_second(u32::MAX)] {
        let (pool, _seen) = in_hand(policy);
        let mut open = Vec::new();
        for _ in 0..1000 {
            open.push(call(&pool, "hang").await.unwrap().unwrap());
        }
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

/// Broken by: `with_limiter` making a limiter of its own.
#[tokio::test(start_paused = true)]
async fn pools_of_two_providers_can_share_a_limiter() {
    let limiter = Limiter::builder()
        .margin(Duration::ZERO)
        .rate(Rate::per_minute(10))
        .max_concurrent(1)
        .build();
    let pools = ["first", "second"].map(|name| {
        let (hand, _) = hand();
        Arc::new(ProviderPool::with_limiter(Arc::new(hand), limiter.clone(), name))
    });
    let held = call(&pools[0], "hang").await.unwrap().unwrap();
    let mut second = pin_call(&pools[1], "?");
    assert!(second.as_mut().now_or_never().is_none());
    assert_eq!(limiter.remaining(), 9);
    drop(held);
    assert!(second.await.is_ok());
}

/// Broken by: `Debug` of the pool without its provider's name.
#[tokio::test]
async fn a_pool_shows_its_name_and_its_providers() {
    let (pool, _seen) = in_hand(single());
    let shown = format!("{pool:?}");
    assert!(shown.contains("\"pool\"") && shown.contains("\"hand\""), "{shown}");
    assert_eq!(Provider::name(&*pool), "pool");
}
