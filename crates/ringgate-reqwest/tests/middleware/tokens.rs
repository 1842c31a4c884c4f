//! What is reserved, and what it is settled at.

use crate::scene::{Form, MINUTE, chat, client, limiter, messages, provider};
use http_body::Frame;
use ringgate::{Limiter, Usage, estimate_tokens};
use ringgate_mock_provider::{After, Fault};
use ringgate_reqwest::{Expect, LimiterMiddleware};
use serde_json::json;

const LIMIT: u64 = 100_000;

fn counting() -> Limiter {
    Limiter::builder().input_tokens(LIMIT, MINUTE).output_tokens(LIMIT, MINUTE).build()
}

fn counted(limiter: &Limiter) -> (u64, u64) {
    (LIMIT - limiter.remaining_input_tokens(), LIMIT - limiter.remaining_output_tokens())
}

fn responses(streamed: bool) -> Form {
    let body = json!({ "model": "m", "max_output_tokens": 100, "input": "What is a ring?", "stream": streamed });
    Form { path: "/v1/responses", body }
}

fn embeddings() -> Form {
    Form { path: "/v1/embeddings", body: json!({ "model": "m", "input": "What is a ring?" }) }
}

/// Broken by: a form of answer that is not read, and an end that is not seen.
#[tokio::test]
async fn calls_are_settled_at_what_the_provider_counts() {
    for form in [
        chat(false),
        chat(true),
        messages(false),
        messages(true),
        responses(false),
        responses(true),
        embeddings(),
    ] {
        for observes in [true, false] {
            let (limiter, provider) = (counting(), provider().await);
            let middleware = LimiterMiddleware::new(limiter.clone());
            let middleware = if observes { middleware } else { middleware.without_observing() };
            let client = client(middleware);
            form.by(&client, &provider).send().await.unwrap().bytes().await.unwrap();
            let counts = provider.counts();
            let expected = (counts.input_tokens, counts.output_tokens);
            assert_eq!(counted(&limiter), expected, "{} {}", form.path, form.body);
            assert!(expected.0 > 0);
        }
    }
}

/// While its answer stands still after the first part.
async fn reserved(
    middleware: LimiterMiddleware,
    form: &Form,
    extension: Option<Expect>,
) -> (u64, u64) {
    let (limiter, provider) = (middleware.limiter().clone(), provider().await);
    provider.fail_next(1, Fault::Stall(After::Bytes(1)));
    let mut request = form.by(&client(middleware), &provider);
    if let Some(extension) = extension {
        request = request.with_extension(extension);
    }
    let mut answer = request.send().await.unwrap();
    answer.chunk().await.unwrap();
    let reserved = counted(&limiter);
    drop(answer);
    assert_eq!(counted(&limiter), reserved, "nobody knows what was used");
    reserved
}

/// Broken by: an estimate of something else than the body, of a request that is told to expect something else.
#[tokio::test]
async fn a_request_reserves_what_its_body_says() {
    let middleware = || LimiterMiddleware::new(counting());
    let input = |form: &Form| estimate_tokens(&form.body.to_string());
    let form = chat(true);
    assert_eq!(reserved(middleware(), &form, None).await, (input(&form), 100));
    let unsaid = Form { body: json!({ "model": "m", "messages": [] }), ..chat(false) };
    assert_eq!(reserved(middleware(), &unsaid, None).await, (input(&unsaid), 4_096));
    let less = || middleware().default_output(70);
    assert_eq!(reserved(less(), &unsaid, None).await, (input(&unsaid), 70));
    assert_eq!(reserved(middleware(), &embeddings(), None).await, (input(&embeddings()), 0));
    let expect = Expect(Usage::new(3, 4));
    assert_eq!(reserved(less(), &unsaid, Some(expect)).await, (3, 4));
    let told = || middleware().cost(|request| Usage::new(request.url().path().len() as u64, 7));
    let path = "/v1/chat/completions".len() as u64;
    assert_eq!(reserved(told(), &form, None).await, (path, 7));
    assert_eq!(reserved(told(), &form, Some(expect)).await, (3, 4));
}

/// Broken by: a call that is never sent and counts.
#[tokio::test]
async fn a_call_without_a_connection_gives_its_tokens_back() {
    let limiter = counting();
    let client = client(LimiterMiddleware::new(limiter.clone()));
    let request = client.post("http://127.0.0.1:1/").json(&chat(false).body);
    assert!(request.send().await.unwrap_err().is_connect());
    assert_eq!(counted(&limiter), (0, 0));
}

/// Broken by: a limiter without limits on tokens that asks for an estimate.
#[tokio::test]
async fn requests_without_json_expect_nothing() {
    let (limiter, provider) = (counting(), provider().await);
    let with_tokens = client(LimiterMiddleware::new(limiter.clone()));
    for body in ["", "What is a ring?", "[1]"] {
        with_tokens.post(provider.url() + "/x").body(body).send().await.unwrap();
    }
    with_tokens.get(provider.url() + "/models").send().await.unwrap();
    let stream = futures_util::stream::iter([Ok::<_, std::io::Error>("{\"max_tokens\":7}")]);
    let stream = reqwest::Body::wrap_stream(stream);
    with_tokens.post(provider.url() + "/x").body(stream).send().await.unwrap();
    assert_eq!(counted(&limiter), (0, 0));
    let without = client(LimiterMiddleware::new(self::limiter()));
    chat(false).by(&without, &provider).send().await.unwrap();
}

/// Broken by: a function that is not asked, or reading that goes on when it is turned off.
#[tokio::test]
async fn what_is_read_can_be_chosen() {
    let provider = provider().await;
    let run = async |middleware: LimiterMiddleware| {
        let limiter = middleware.limiter().clone();
        let client = client(middleware);
        chat(false).by(&client, &provider).send().await.unwrap().bytes().await.unwrap();
        counted(&limiter)
    };
    let reserved = (estimate_tokens(&chat(false).body.to_string()), 100);
    let middleware = || LimiterMiddleware::new(counting());
    assert_eq!(run(middleware().without_reading_usage()).await, reserved);
    let by_length = |frame: &Frame<_>| {
        let data: &bytes::Bytes = frame.data_ref()?;
        Some(Usage::new(1, data.len() as u64))
    };
    let told = run(middleware().without_reading_usage().settle_with(by_length)).await;
    assert!(told.0 == 1 && told.1 > 100, "{told:?}");
    let both = run(middleware().settle_with(|_| Some(Usage::new(1, 99)))).await;
    assert_eq!(both, (4, 99), "the larger of each");
}
