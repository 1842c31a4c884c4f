//! Messages, as Anthropic writes them.

use crate::call::Call;
use crate::plan::Plan;
use crate::sse::Frame;
use serde_json::{Value, json};

pub(crate) fn message(call: &Call, plan: &Plan) -> Value {
    let content = json!([{ "type": "text", "text": plan.text() }]);
    envelope(call, plan, &content, Some(stop_reason(plan)), plan.output())
}

/// Input is told at the beginning, output at the end.
pub(crate) fn message_stream(call: &Call, plan: &Plan) -> Vec<Frame> {
    let begun = envelope(call, plan, &json!([]), None, 0);
    let block = json!({ "type": "text", "text": "" });
    let mut frames = vec![
        event("message_start", json!({ "message": begun })),
        event("content_block_start", json!({ "index": 0, "content_block": block })),
        event("ping", json!({})),
    ];
    for piece in &plan.pieces {
        let delta = json!({ "type": "text_delta", "text": piece.text });
        let frame = event("content_block_delta", json!({ "index": 0, "delta": delta }));
        frames.push(frame.with_tokens(piece.tokens));
    }
    let delta = json!({ "stop_reason": stop_reason(plan), "stop_sequence": null });
    let usage = json!({ "output_tokens": plan.output() });
    frames.extend([
        event("content_block_stop", json!({ "index": 0 })),
        event("message_delta", json!({ "delta": delta, "usage": usage })),
        event("message_stop", json!({})),
    ]);
    frames
}

fn event(kind: &'static str, mut event: Value) -> Frame {
    event["type"] = kind.into();
    Frame::event(kind, &event)
}

fn envelope(
    call: &Call,
    plan: &Plan,
    content: &Value,
    stop_reason: Option<&str>,
    output: u64,
) -> Value {
    json!({
        "id": format!("msg_{}", plan.number),
        "type": "message",
        "role": "assistant",
        "model": call.model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": null,
        "usage": {
            "input_tokens": call.prompt,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": output
        }
    })
}

fn stop_reason(plan: &Plan) -> &'static str {
    if plan.is_cut_off { "max_tokens" } else { "end_turn" }
}
