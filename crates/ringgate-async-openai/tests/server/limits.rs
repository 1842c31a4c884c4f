//! Many tasks, and no 429.

use crate::scene::{HOUR, MOST, OpenAI, Scene, request};
use async_openai::Client;
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use ringgate::{Limiter, Rate, TokenLimit};
use ringgate_mock_provider::{Counting, MockProvider};
use std::time::Duration;

/// A machine under load sends some calls later than others.
const MARGIN: Duration = Duration::from_secs(1);
const WINDOW: Duration = Duration::from_millis(200);

/// Every third call is streamed.
async fn call(client: OpenAI, number: usize) {
    let request = request();
    if number.is_multiple_of(3) {
        let mut stream = client.chat().create_stream(request).await.unwrap();
        while let Some(chunk) = stream.next().await {
            chunk.unwrap();
        }
    } else {
        client.chat().create(request).await.unwrap();
    }
}

async fn call_often(client: &OpenAI, calls: usize) {
    let calls = (0..calls).map(|number| tokio::spawn(call(client.clone(), number)));
    try_join_all(calls).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_stay_below_the_limits_on_requests_and_calls_in_flight() {
    let provider = MockProvider::builder().requests(25, WINDOW).max_in_flight(4);
    let provider =
        provider.answer_time(Duration::from_millis(1)..=Duration::from_millis(9)).start().await;
    let limiter = Limiter::builder().rate(Rate::new(25, WINDOW)).margin(MARGIN).max_concurrent(4);
    let scene = Scene { provider: provider.unwrap(), limiter: limiter.build() };
    // Two clients, one limiter.
    let (one, other) = (scene.client(), scene.client());
    tokio::join!(call_often(&one, 30), call_often(&other, 30));
    let counts = scene.provider.counts();
    assert_eq!((counts.accepted, counts.answered, counts.refused()), (60, 60, 0));
    scene.until_free().await;
}

/// A token of the server's is four bytes of text; that of the estimate is less.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_stay_below_a_limit_on_tokens_that_count_at_arrival() {
    let total = 10 * (u64::from(MOST) + 40);
    let provider = MockProvider::builder().tokens(Counting::AtArrival { total }).window(WINDOW);
    let limit = TokenLimit::total(total, WINDOW).without_refunds();
    let limiter = Limiter::builder().token_limit(limit).margin(MARGIN).build();
    let scene = Scene { provider: provider.start().await.unwrap(), limiter };
    call_often(&scene.client(), 25).await;
    let counts = scene.provider.counts();
    assert_eq!((counts.accepted, counts.refused()), (25, 0));
    assert!(counts.counted_at_arrival > total, "it was limited: {counts:?}");
}

/// The tests above can fail.
#[tokio::test]
async fn without_the_service_the_server_refuses_some() {
    let scene = Scene::with(MockProvider::builder().requests(5, HOUR), 1).await;
    let client = Client::with_config(scene.config());
    for _ in 0..5 {
        client.chat().create(request()).await.unwrap();
    }
    let refused = tokio::spawn(async move { client.chat().create(request()).await });
    assert!(scene.until(|counts| counts.refused() > 0).await.beyond_requests > 0);
    refused.abort();
}
