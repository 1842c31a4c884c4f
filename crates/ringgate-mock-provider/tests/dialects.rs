//! What answers look like.

mod common;

use common::{
    CHAT, EMBEDDINGS, MESSAGES, RESPONSES, Whole, begin, call, chat, send, streamed, until,
};
use ringgate_mock_provider::{MockProvider, count_prompt, count_tokens};
use serde_json::{Value, json};

async fn provider() -> MockProvider {
    MockProvider::builder().output_tokens(30).start().await.unwrap()
}

fn streams(answer: &Whole) -> bool {
    answer.status == 200 && answer.header("content-type") == "text/event-stream"
}

fn joined(texts: impl Iterator<Item = impl AsRef<str>>) -> String {
    texts.fold(String::new(), |all, text| all + text.as_ref())
}

/// Broken by: a text whose tokens are not those of the usage.
#[tokio::test]
async fn a_chat_completion_tells_its_text_and_its_usage() {
    let provider = provider().await;
    let answer = call(&provider, CHAT, &chat(41, 100)).await.json();
    assert_eq!(answer["object"], "chat.completion");
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(count_tokens(choice["message"]["content"].as_str().unwrap()), 30);
    let usage = json!({ "prompt_tokens": 11, "completion_tokens": 30, "total_tokens": 41 });
    assert_eq!(answer["usage"], usage);
    let cut_off = call(&provider, CHAT, &chat(41, 30)).await.json();
    assert_eq!(cut_off["choices"][0]["finish_reason"], "length");
}

/// Broken by: usage that nobody has asked for, or that lies in a chunk with choices.
#[tokio::test]
async fn a_stream_of_chunks_tells_usage_only_to_those_who_ask() {
    let provider = provider().await;
    let mut body = streamed(chat(41, 100));
    let silent = call(&provider, CHAT, &body).await;
    assert!(streams(&silent) && silent.bytes.ends_with(b"\n\ndata: [DONE]\n\n"));
    assert!(silent.events().iter().all(|(_, chunk)| chunk.get("usage").is_none()));

    body["stream_options"] = json!({ "include_usage": true });
    let telling = call(&provider, CHAT, &body).await.events();
    let (last, others) = telling.split_last().unwrap();
    assert_eq!((&last.1["choices"], &last.1["usage"]["total_tokens"]), (&json!([]), &json!(41)));
    assert!(others.iter().all(|(_, chunk)| chunk["usage"].is_null()));
    assert!(others.iter().all(|(_, chunk)| chunk.get("usage").is_some()));
    let delta = |(_, chunk): &(String, Value)| chunk["choices"][0]["delta"].clone();
    assert_eq!(delta(&others[0])["role"], "assistant");
    let texts =
        others.iter().map(delta).filter_map(|delta| delta["content"].as_str().map(str::to_owned));
    assert_eq!(count_tokens(&joined(texts)), 30);
    assert_eq!(others.last().unwrap().1["choices"][0]["finish_reason"], "stop");
}

/// Broken by: events out of order, or output told at the beginning.
#[tokio::test]
async fn a_stream_of_messages_tells_input_first_and_output_last() {
    let provider = provider().await;
    let answer = call(&provider, MESSAGES, &streamed(chat(41, 100))).await;
    assert!(streams(&answer));
    let events = answer.events();
    assert!(events.iter().all(|(name, event)| event["type"] == name.as_str()));
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..3], ["message_start", "content_block_start", "ping"]);
    assert!(names[3..15].iter().all(|name| *name == "content_block_delta"), "{names:?}");
    assert_eq!(names[15..], ["content_block_stop", "message_delta", "message_stop"]);
    assert_eq!(events[0].1["message"]["usage"]["input_tokens"], 11);
    assert_eq!(events[16].1["usage"]["output_tokens"], 30);
    let texts = events[3..15].iter().filter_map(|(_, event)| event["delta"]["text"].as_str());
    assert_eq!(count_tokens(&joined(texts)), 30);

    let whole = call(&provider, MESSAGES, &chat(41, 30)).await.json();
    assert_eq!((&whole["type"], &whole["stop_reason"]), (&json!("message"), &json!("max_tokens")));
    assert_eq!(whole["usage"]["output_tokens"], 30);
    assert_eq!(count_tokens(whole["content"][0]["text"].as_str().unwrap()), 30);
}

/// Broken by: a last event without the whole response, or numbers that leave gaps.
#[tokio::test]
async fn a_stream_of_a_response_ends_with_the_whole_response() {
    let provider = provider().await;
    let body = json!({ "model": "any", "instructions": "Be so kind.", "input": "Hello" });
    let answer = call(&provider, RESPONSES, &streamed(body.clone())).await;
    assert!(streams(&answer));
    let events = answer.events();
    for (place, (name, event)) in events.iter().enumerate() {
        assert_eq!((&event["type"], &event["sequence_number"]), (&json!(name), &json!(place)));
    }
    let whole = call(&provider, RESPONSES, &body).await.json();
    let (name, last) = events.last().unwrap();
    let last = &last["response"];
    assert_eq!((name.as_str(), &last["status"]), ("response.completed", &json!("completed")));
    assert_eq!((&last["usage"], &last["usage"]["input_tokens"]), (&whole["usage"], &json!(4)));
    let text = last["output"][0]["content"][0]["text"].as_str().unwrap();
    let deltas = events.iter().filter(|(name, _)| name == "response.output_text.delta");
    assert_eq!(joined(deltas.filter_map(|(_, event)| event["delta"].as_str())), text);
    assert_eq!(count_tokens(text), 30);

    let mut short = body;
    short["max_output_tokens"] = 7.into();
    let cut_off = call(&provider, RESPONSES, &short).await.json();
    assert_eq!(cut_off["incomplete_details"]["reason"], "max_output_tokens");
}

/// Broken by: a list of tokens that is taken for a list of texts.
#[tokio::test]
async fn each_text_gets_an_embedding() {
    let provider = provider().await;
    let inputs =
        [(json!("one text"), 1, 2), (json!(["two", "texts"]), 2, 2), (json!([5, 6, 7]), 1, 3)];
    for (input, vectors, tokens) in inputs {
        let body = json!({ "model": "any", "input": input });
        let answer = call(&provider, EMBEDDINGS, &body).await.json();
        let data = answer["data"].as_array().unwrap();
        assert_eq!(data.len(), vectors, "{input}");
        assert!(data.iter().all(|one| one["embedding"].as_array().unwrap().len() == 8));
        assert_eq!(answer["usage"], json!({ "prompt_tokens": tokens, "total_tokens": tokens }));
    }
    assert_eq!(provider.counts().output_tokens, 0);
}

/// Broken by: rounding up each text by itself, or leaving out the system prompt.
#[tokio::test]
async fn the_public_count_is_that_of_the_provider() {
    let provider = provider().await;
    let text = json!({ "role": "user", "content": "ab" });
    let parts =
        json!([{ "type": "text", "text": "abc" }, { "type": "image", "source": "long long" }]);
    let body = json!({
        "model": "any", "max_tokens": 5, "system": [{ "type": "text", "text": "é" }],
        "messages": [text, text, { "role": "user", "content": parts }]
    });
    let answer = call(&provider, MESSAGES, &body).await.json();
    // Two, two, three, and two for the letter that is none of ASCII's.
    assert_eq!(answer["usage"]["input_tokens"], 3);
    assert_eq!(count_prompt(body.to_string().as_bytes()), Some(3));
    assert_eq!(provider.counts().input_tokens, 3);
    assert_eq!(count_prompt(b"{ no JSON"), None);
}

/// Broken by: counting them as calls, or one dialect's error for both.
#[tokio::test]
async fn what_is_no_call_gets_an_error_and_counts_nothing() {
    let provider = provider().await;
    let no_most = json!({ "model": "any", "messages": [] }).to_string();
    let zero = chat(4, 0).to_string();
    let no_model = json!({ "messages": [] }).to_string();
    let bad = [
        ("POST", "/v1/unknown", "{}", 404),
        ("GET", CHAT, "", 405),
        ("POST", CHAT, "no JSON", 400),
        ("POST", CHAT, "{}", 400),
        ("POST", CHAT, &no_model, 400),
        ("POST", CHAT, &zero, 400),
        ("POST", MESSAGES, &no_most, 400),
        ("POST", EMBEDDINGS, "{\"input\": 5}", 400),
    ];
    for (method, path, body, status) in bad {
        let answer = send(&provider, method, path, body.to_owned()).await.unwrap().finish().await;
        assert_eq!(answer.status, status, "{method} {path} {body}");
        let error = answer.json();
        assert_eq!(error["type"] == "error", path == MESSAGES);
        assert!(error["error"]["message"].is_string());
    }
    let counts = provider.counts();
    assert_eq!((counts.invalid, counts.accepted, counts.refused()), (bad.len(), 0, 0));
}

/// Broken by: a body that is read whatever its size.
#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let provider = provider().await;
    let answer = begin(&provider, CHAT, vec![b' '; (32 << 20) + 1]).await;
    assert_eq!(answer.status, 413);
    until(&provider, |counts| counts.invalid == 1).await;
}
