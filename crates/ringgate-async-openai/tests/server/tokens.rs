//! What calls are settled at is what the server has counted.

use crate::scene::{MOST, Scene, request};
use async_openai::types::chat::ChatCompletionStreamOptions;
use async_openai::types::embeddings::CreateEmbeddingRequestArgs;
use async_openai::types::responses::{CreateResponse, CreateResponseArgs};
use futures_util::StreamExt;
use ringgate_mock_provider::Counts;

/// Tokens of the prompts and of the answers.
fn counted(counts: Counts) -> u64 {
    assert_eq!((counts.answered, counts.refused()), (counts.accepted, 0));
    counts.input_tokens + counts.output_tokens
}

#[tokio::test]
async fn of_completions() {
    let scene = Scene::new().await;
    let client = scene.client();
    for calls in 1..=3 {
        client.chat().create(request()).await.unwrap();
        assert_eq!(scene.tokens(), counted(scene.provider.counts()));
        assert_eq!(scene.requests(), calls);
    }
    assert!(scene.tokens() > 0);
}

#[tokio::test]
async fn of_streamed_completions_whose_request_asks_for_usage() {
    let scene = Scene::new().await;
    let mut request = request();
    let options =
        ChatCompletionStreamOptions { include_usage: Some(true), include_obfuscation: None };
    request.stream_options = Some(options);
    let mut stream = scene.client().chat().create_stream(request).await.unwrap();
    while stream.next().await.is_some() {}
    scene.until_free().await;
    assert_eq!(scene.tokens(), counted(scene.provider.counts()));
}

#[tokio::test]
async fn of_streamed_completions_whose_service_asks_for_usage() {
    let scene = Scene::new().await;
    let mut stream = scene.asking().chat().create_stream(request()).await.unwrap();
    let mut usage = None;
    while let Some(chunk) = stream.next().await {
        usage = chunk.unwrap().usage.or(usage);
    }
    scene.until_free().await;
    assert_eq!(scene.tokens(), counted(scene.provider.counts()));
    assert_eq!(scene.tokens(), u64::from(usage.unwrap().total_tokens));
}

#[tokio::test]
async fn a_streamed_completion_that_is_not_asked_counts_as_reserved() {
    let scene = Scene::new().await;
    let mut stream = scene.client().chat().create_stream(request()).await.unwrap();
    while let Some(chunk) = stream.next().await {
        assert!(chunk.unwrap().usage.is_none());
    }
    scene.until_free().await;
    let counts = scene.provider.counts();
    assert!(scene.tokens() >= counts.input_tokens + u64::from(MOST));
}

fn response() -> CreateResponse {
    let mut response = CreateResponseArgs::default();
    response.model("any").input("What is a ring?").max_output_tokens(MOST).build().unwrap()
}

#[tokio::test]
async fn of_responses() {
    let scene = Scene::new().await;
    scene.client().responses().create(response()).await.unwrap();
    assert_eq!(scene.tokens(), counted(scene.provider.counts()));
}

#[tokio::test]
async fn of_streamed_responses() {
    let scene = Scene::new().await;
    let mut stream = scene.client().responses().create_stream(response()).await.unwrap();
    while let Some(event) = stream.next().await {
        event.unwrap();
    }
    scene.until_free().await;
    assert_eq!(scene.tokens(), counted(scene.provider.counts()));
}

#[tokio::test]
async fn of_embeddings() {
    let scene = Scene::new().await;
    let mut request = CreateEmbeddingRequestArgs::default();
    let request = request.model("any").input("What is a ring?").build().unwrap();
    scene.client().embeddings().create(request).await.unwrap();
    assert_eq!(scene.tokens(), counted(scene.provider.counts()));
    assert_eq!(scene.tokens(), 4);
}
