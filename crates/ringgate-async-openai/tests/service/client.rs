//! async-openai's client with the service.

use crate::scene::{SLOTS, Scene, answer, ok, pieces};
use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::types::chat::{
    ChatCompletionRequestUserMessage, CreateChatCompletionRequest, CreateChatCompletionRequestArgs,
};
use futures_util::StreamExt;
use std::time::Duration;

const ANSWER: &str = r#"{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"a circle"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":30,"total_tokens":39}}"#;

const CHUNK: &str = "data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a circle\"}}]}\n\n";
const USAGE: &str = "data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":30,\"total_tokens\":39}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn request() -> CreateChatCompletionRequest {
    CreateChatCompletionRequestArgs::default()
        .model("m")
        .max_completion_tokens(500_u32)
        .messages([ChatCompletionRequestUserMessage::from("What is a ring?").into()])
        .build()
        .unwrap()
}

fn client(scene: &Scene, answers: fn(usize) -> crate::scene::Answer) -> Client<OpenAIConfig> {
    let service = scene.service(answers).ask_for_usage().with_retries();
    Client::with_config(OpenAIConfig::new().with_api_key("key")).with_http_service(service)
}

#[tokio::test(start_paused = true)]
async fn a_completion_is_settled_at_what_it_tells() {
    let scene = Scene::in_tokios_time(SLOTS);
    let response = client(&scene, |_| ok(ANSWER)).chat().create(request()).await.unwrap();
    assert_eq!(response.usage.unwrap().total_tokens, 39);
    assert_eq!((scene.free(), scene.requests(), scene.tokens()), (SLOTS, 1, 39));
}

/// Waits until the task of async-openai's that reads the stream has ended.
async fn is_free(scene: &Scene) -> bool {
    for _ in 0..1000 {
        if scene.free() == SLOTS {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

#[tokio::test(start_paused = true)]
async fn a_streamed_completion_is_settled_at_what_it_tells() {
    let scene = Scene::in_tokios_time(SLOTS);
    let client = client(&scene, |_| answer(200, &[], pieces(&[CHUNK, USAGE, DONE])));
    let mut stream = client.chat().create_stream(request()).await.unwrap();
    let mut chunks = 0;
    while let Some(chunk) = stream.next().await {
        chunks += 1;
        assert_eq!(chunk.unwrap().choices.len(), usize::from(chunks == 1));
    }
    assert_eq!(chunks, 2);
    assert!(is_free(&scene).await);
    assert_eq!((scene.requests(), scene.tokens()), (1, 39));
    let [sent] = <[_; 1]>::try_from(scene.sent()).unwrap();
    assert!(sent.body.contains(r#""stream_options":{"include_usage":true}"#), "{}", sent.body);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_dropped_gives_its_permit_back() {
    let scene = Scene::in_tokios_time(SLOTS);
    let client = client(&scene, |_| {
        let stalls = futures_util::stream::once(async { Ok::<_, std::io::Error>(CHUNK) });
        answer(200, &[], reqwest::Body::wrap_stream(stalls.chain(futures_util::stream::pending())))
    });
    let mut stream = client.chat().create_stream(request()).await.unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(scene.free(), SLOTS - 1);
    drop(stream);
    assert!(is_free(&scene).await);
    assert_eq!(scene.requests(), 1);
}
