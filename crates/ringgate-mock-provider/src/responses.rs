//! OpenAI's responses.

use crate::call::Call;
use crate::openai::CREATED;
use crate::plan::Plan;
use crate::sse::Frame;
use serde_json::{Value, json};

pub(crate) fn response(call: &Call, plan: &Plan) -> Value {
    let status = if plan.is_cut_off { "incomplete" } else { "completed" };
    let text = plan.text();
    let mut response = in_progress(call, plan);
    response["status"] = status.into();
    response["output"] = json!([message(plan, status, &[part(&text)])]);
    response["usage"] = json!({
        "input_tokens": call.prompt,
        "input_tokens_details": { "cached_tokens": 0 },
        "output_tokens": plan.output(),
        "output_tokens_details": { "reasoning_tokens": 0 },
        "total_tokens": call.prompt.saturating_add(plan.output())
    });
    if plan.is_cut_off {
        response["incomplete_details"] = json!({ "reason": "max_output_tokens" });
    }
    response
}

pub(crate) fn response_stream(call: &Call, plan: &Plan) -> Vec<Frame> {
    let mut events = Events::default();
    let item = message_id(plan);
    let whole = response(call, plan);
    let text = plan.text();
    for kind in ["response.created", "response.in_progress"] {
        events.push(kind, json!({ "response": in_progress(call, plan) }), 0);
    }
    let begun = message(plan, "in_progress", &[]);
    events.push("response.output_item.added", json!({ "output_index": 0, "item": begun }), 0);
    let at = || json!({ "item_id": item, "output_index": 0, "content_index": 0 });
    events.push("response.content_part.added", with(at(), "part", part("")), 0);
    for piece in &plan.pieces {
        let delta = with(with(at(), "delta", piece.text.as_str().into()), "logprobs", json!([]));
        events.push("response.output_text.delta", delta, piece.tokens);
    }
    let done = with(with(at(), "text", text.as_str().into()), "logprobs", json!([]));
    events.push("response.output_text.done", done, 0);
    events.push("response.content_part.done", with(at(), "part", part(&text)), 0);
    let item = whole["output"][0].clone();
    events.push("response.output_item.done", json!({ "output_index": 0, "item": item }), 0);
    let last = if plan.is_cut_off { "response.incomplete" } else { "response.completed" };
    events.push(last, json!({ "response": whole }), 0);
    events.frames
}

/// Events with the numbers of their places.
#[derive(Default)]
struct Events {
    frames: Vec<Frame>,
}

impl Events {
    fn push(&mut self, kind: &'static str, event: Value, tokens: u64) {
        let event = with(event, "sequence_number", self.frames.len().into());
        let event = with(event, "type", kind.into());
        self.frames.push(Frame::event(kind, &event).with_tokens(tokens));
    }
}

fn in_progress(call: &Call, plan: &Plan) -> Value {
    json!({
        "id": format!("resp_{}", plan.number),
        "object": "response",
        "created_at": CREATED,
        "status": "in_progress",
        "error": null,
        "incomplete_details": null,
        "instructions": null,
        "max_output_tokens": call.max_tokens,
        "metadata": {},
        "model": call.model,
        "output": [],
        "parallel_tool_calls": true,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": null
    })
}

fn message(plan: &Plan, status: &str, content: &[Value]) -> Value {
    json!({
        "id": message_id(plan),
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": content
    })
}

fn part(text: &str) -> Value {
    json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] })
}

fn message_id(plan: &Plan) -> String {
    format!("msg_{}", plan.number)
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}
