//! The forms of OpenAI and Anthropic.

use crate::answers::{read_by, usage};
use ringgate::{Usage, UsageReader};

const OPENAI_BODY: &str = r#"{
  "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
  "object": "chat.completion",
  "created": 1741569952,
  "model": "gpt-5",
  "choices": [
    {
      "index": 0,
      "message": {
        "role": "assistant",
        "content": "A ring has no end. \"usage\": {\"prompt_tokens\": 1} \\",
        "refusal": null,
        "annotations": []
      },
      "logprobs": null,
      "finish_reason": "stop"
    }
  ],
  "usage": {
    "prompt_tokens": 2006,
    "completion_tokens": 300,
    "total_tokens": 2306,
    "prompt_tokens_details": { "cached_tokens": 1920, "audio_tokens": 0 },
    "completion_tokens_details": { "reasoning_tokens": 192, "audio_tokens": 0 }
  },
  "service_tier": "default"
}
"#;

const OPENAI_STREAM: &str = r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"{\"usage\":"},"finish_reason":null}],"usage":null}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29}}

data: [DONE]

"#;

const RESPONSES_BODY: &str = r#"{"id":"resp_67ccd2be","object":"response","status":"completed","error":null,"incomplete_details":null,"output":[{"type":"message","id":"msg_1","content":[{"type":"output_text","text":"In a peaceful grove","annotations":[]}]}],"usage":{"input_tokens":36,"input_tokens_details":{"cached_tokens":12},"output_tokens":87,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":123},"user":null,"metadata":{}}"#;

const RESPONSES_STREAM: &str = r#"event: response.created
data: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","status":"in_progress","error":null,"output":[],"usage":null}}

event: response.output_text.delta
data: {"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_1","delta":"Hi, \"error\" {"}

event: response.completed
data: {"type":"response.completed","sequence_number":9,"response":{"id":"resp_1","object":"response","status":"completed","error":null,"output":[{"type":"message","content":[{"type":"output_text","text":"Hi"}]}],"usage":{"input_tokens":37,"input_tokens_details":{"cached_tokens":0},"output_tokens":11,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":48}}}

"#;

const ANTHROPIC_BODY: &str = r#"{"id":"msg_01XFDUDYJgAACzvnptvVoYEL","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[{"type":"text","text":"Hi! {}[]"},{"type":"tool_use","id":"toolu_1","name":"meter","input":{"usage":{"input_tokens":5000000}}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":50,"cache_creation_input_tokens":1800,"cache_read_input_tokens":100000,"cache_creation":{"ephemeral_5m_input_tokens":1800,"ephemeral_1h_input_tokens":0},"output_tokens":503,"service_tier":"standard"}}"#;

const ANTHROPIC_STREAM: &str = r#"event: message_start
data: {"type": "message_start", "message": {"id": "msg_1nZdL29xx5MUA1yADyHTEsnR8uuvGzszyY", "type": "message", "role": "assistant", "content": [], "model": "claude-sonnet-4-5", "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 25, "output_tokens": 1}}}

event: content_block_start
data: {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}

event: ping
data: {"type": "ping"}

event: content_block_delta
data: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello, \u007b\"usage\": \\"}}

event: message_delta
data: {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence":null}, "usage": {"output_tokens": 15}}

event: message_stop
data: {"type": "message_stop"}

"#;

/// With a tool of the server's, by which the input grows.
const ANTHROPIC_GROWS: &str = r#"data: {"type":"message_start","message":{"usage":{"input_tokens":2679,"cache_creation_input_tokens":5,"cache_read_input_tokens":0,"output_tokens":3}}}

data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":10682,"cache_creation_input_tokens":5,"cache_read_input_tokens":7,"output_tokens":510,"server_tool_use":{"web_search_requests":1}}}

"#;

const GROQ_STREAM: &str = r#"data: {"id":"chatcmpl-2","choices":[{"delta":{"content":"hi"}}]}

data: {"id":"chatcmpl-2","choices":[{"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"req_1","usage":{"queue_time":0.03,"prompt_tokens":14,"completion_tokens":3,"total_tokens":17}}}

data: [DONE]
"#;

/// Broken by: a place that is not looked at; strings or brackets that end too early; a name that is taken anywhere.
#[test]
fn the_usage_of_each_form_is_read_wherever_it_is_cut() {
    let table = [
        (OPENAI_BODY, (2006, 300)),
        (OPENAI_STREAM, (19, 10)),
        (RESPONSES_BODY, (36, 87)),
        (RESPONSES_STREAM, (37, 11)),
        (ANTHROPIC_BODY, (1850, 503)),
        (ANTHROPIC_STREAM, (25, 15)),
        (ANTHROPIC_GROWS, (10687, 510)),
        (GROQ_STREAM, (14, 3)),
    ];
    for (answer, expected) in table {
        assert_eq!(usage(answer), Some(expected), "{answer}");
    }
}

/// Broken by: cached input that counts in both forms, or in neither; a difference below zero.
#[test]
fn cached_input_counts_as_in_the_form_or_as_was_asked_for() {
    let table = [
        (OPENAI_BODY, 2006, 2006, 86),
        (RESPONSES_BODY, 36, 36, 24),
        (ANTHROPIC_BODY, 1850, 101_850, 1850),
        (r#"{"usage":{"prompt_tokens":5,"prompt_tokens_details":{"cached_tokens":7}}}"#, 5, 5, 0),
    ];
    for (answer, by_form, all, none) in table {
        let input = |reader: UsageReader| read_by(&reader, answer.as_bytes()).0.unwrap().input;
        let new = UsageReader::new;
        assert_eq!(input(new()), by_form, "{answer}");
        assert_eq!(input(new().count_cached(true)), all, "{answer}");
        assert_eq!(input(new().count_cached(false)), none, "{answer}");
    }
}

/// Broken by: a usage that counts before its document has ended; one that is added to the one before.
#[test]
fn it_can_be_asked_at_any_time() {
    let mut reader = UsageReader::new();
    let mut said = Vec::new();
    for byte in ANTHROPIC_STREAM.as_bytes() {
        reader.feed(&[*byte]);
        if said.last() != Some(&reader.usage()) {
            said.push(reader.usage());
        }
    }
    assert_eq!(said, [None, Some(Usage::new(25, 1)), Some(Usage::new(25, 15))]);
    let mut reader = UsageReader::new();
    let end = OPENAI_BODY.rfind('}').unwrap();
    reader.feed(&OPENAI_BODY.as_bytes()[..end]);
    assert_eq!(reader.usage(), None);
    reader.feed(b"}");
    assert_eq!(reader.usage(), Some(Usage::new(2006, 300)));
    assert_eq!(
        format!("{reader:?}"),
        "UsageReader { usage: Some(Usage { input: 2006, output: 300 }), feedback: None, .. }"
    );
}

/// Broken by: lines that end with LF only; a space that is not optional; a comment that is data; a mark of UTF-8 that is text.
#[test]
fn streams_of_events_have_many_forms() {
    let table = [
        "data: {\"usage\":{\"input_tokens\":7}}\n\n",
        "data:{\"usage\":{\"input_tokens\":7}}\r\n\r\n",
        "\u{feff}data: {\"usage\":{\"input_tokens\":7}}\r\r",
        "\n\n: OPENROUTER PROCESSING\n\ndata: {\"usage\":{\"input_tokens\":7}}\n",
        ":\nid: 4\nretry: 100\nevent: x\ndata: {\"usage\":\ndata: {\"input_tokens\"\ndata::7}}\n\n",
        "data: {\"usage\":{\"input_tokens\":7}}",
        "data\ndata: nonsense {\n\ndata: {\"usage\":{\"input_tokens\":7}}\n\n",
        "data: {\"usage\":{\"input_tok\n\ndata: {\"usage\":{\"input_tokens\":7}}\n\n",
        "data: {\"message\":{\"id\":\n\ndata: {\"usage\":{\"input_tokens\":7}}\n\n",
        "data: {\"x\":\"unended\n\ndata: {\"usage\":{\"input_tokens\":7}}\n\n",
        "data: {}\ndata: {\"usage\":{\"input_tokens\":7}}\n",
        "data: [{},{\"usage\":{\"input_tokens\":7}}]\n\n",
        "event: x\n{\"usage\":{\"input_tokens\":7}}\n\n",
        "{\"a\":\"one line\\n\",\"usage\":{\"input_tokens\":7}}",
        "{\"a\\\\\":1,\"usage\":{\"input_tokens\":7}}",
        "{\"message\":{\"message\":{\"x\":1},\"y\":2},\"usage\":{\"input_tokens\":7}}",
        " \t\r\n\u{feff}{\"usage\":{\"input_tokens\":7}}",
        "[{\"usage\":{\"input_tokens\":3}}\n,\n{\"usage\":{\"input_tokens\":7}}]",
        "{\"usage\":{\"input_tokens\":3}}\n{\"usage\":{\"input_tokens\":7}}\n",
    ];
    for answer in table {
        assert_eq!(usage(answer), Some((7, 0)), "{answer}");
    }
}

/// Broken by: fields of any name that are data; usage at any depth.
#[test]
fn what_does_not_stand_in_its_place_has_not_been_said() {
    let table = [
        "",
        "{}",
        "nonsense",
        "data: [DONE]\n\n",
        "{\"usage\":null}",
        "{\"usage\":7}",
        "{\"usage\":\"input_tokens\"}",
        "{\"usage\":[{\"input_tokens\":7}]}",
        "{\"usage\":{\"total_tokens\":7}}",
        "{\"usage\":{\"input_tokens\":\"7\"}}",
        "{\"usage\":{\"input_tokens\":7}",
        "{\"usage\":{\"input_tokens\":7]}",
        "{\"usage\":{\"input_tokens\":07}}",
        "{\"usage\":{input_tokens:7}}",
        "{\"us\\u0061ge\":{\"input_tokens\":7}}",
        "{\"usage\\\":{\"input_tokens\":7}}",
        "{\"\\usage\":{\"input_tokens\":7}}",
        "{\"responses\":{\"usage\":{\"input_tokens\":7}}}",
        "data: {\"usage\":{\"input_tokens\":7\ndata: 1}}\n\n",
        "data: x{\"usage\":{\"input_tokens\":7}}\n\n",
        "{\"usages\":{\"input_tokens\":7}}",
        "{\"message\":{\"delta\":{\"usage\":{\"input_tokens\":7}}}}",
        "{\"message\":{\"message\":{\"usage\":{\"input_tokens\":7}}}}",
        "{\"delta\":{\"usage\":{\"input_tokens\":7}}}",
        "{\"message\":\"{\\\"usage\\\":{\\\"input_tokens\\\":7}}\"}",
        "{\"a\":\"\\\\\\\"\",\"b\":\"{\\\"usage\\\":{\\\"input_tokens\\\":7}}\"}",
        "datum: {\"usage\":{\"input_tokens\":7}}\n\n",
        "data : {\"usage\":{\"input_tokens\":7}}\n\n",
        "x{\"usage\":{\"input_tokens\":7}}\n\n",
        ": data: {\"usage\":{\"input_tokens\":7}}\n\n",
        "nonsense{\"usage\":{\"input_tokens\":7}}\n\n",
    ];
    for answer in table {
        assert_eq!(usage(answer), None, "{answer}");
    }
}

/// Broken by: a number that is cut, wraps or panics; a sum that overflows; the first of two that counts.
#[test]
fn lying_numbers_do_no_harm() {
    let most = u64::MAX;
    let table = [
        ("\"input_tokens\":-1,\"output_tokens\":5", (0, 5)),
        ("\"input_tokens\":1e3,\"output_tokens\":5", (0, 5)),
        ("\"input_tokens\":7.5,\"output_tokens\":5", (0, 5)),
        ("\"input_tokens\":18446744073709551616,\"output_tokens\":5", (0, 5)),
        ("\"input_tokens\":18446744073709551615,\"output_tokens\":5", (most, 5)),
        ("\"input_tokens\":18446744073709551615,\"cache_creation_input_tokens\":2", (most, 0)),
        ("\"input_tokens\":null,\"output_tokens\":5", (0, 5)),
        ("\"cache_creation_input_tokens\":6", (6, 0)),
        ("\"cache_read_input_tokens\":6", (0, 0)),
        ("\"prompt_tokens\":6,\"input_tokens\":9,\"completion_tokens\":2", (9, 2)),
        ("\"prompt_tokens\":9,\"input_tokens\":6,\"output_tokens\":0", (9, 0)),
    ];
    for (told, expected) in table {
        assert_eq!(usage(&format!("{{\"usage\":{{{told}}}}}")), Some(expected), "{told}");
    }
}
