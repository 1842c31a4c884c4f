//! What the middleware adds to a call: time and allocations, beside the same client without it.
//!
//! The innermost layer makes the answers, so that no network is part of it. Prints the least of several rounds.

#![expect(clippy::disallowed_methods, reason = "it measures time")]

use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next, Result};
use ringgate::{Limiter, Rate, TokenLimit};
use ringgate_reqwest::LimiterMiddleware;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

struct Counting;

thread_local! {
    static ALLOCATED: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATED.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = ALLOCATED.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// So few that a round seldom loses its processor.
const CALLS: u32 = 50;
const ROUNDS: usize = 2_000;
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Answers by itself.
struct Answers {
    status: u16,
    body: String,
}

#[async_trait::async_trait]
impl Middleware for Answers {
    async fn handle(&self, _: Request, _: &mut Extensions, _: Next<'_>) -> Result<Response> {
        let answer = http::Response::builder().status(self.status);
        Ok(answer.body(self.body.clone()).expect("a status").into())
    }
}

fn client(limiter: Option<Limiter>, status: u16, body: &str) -> ClientWithMiddleware {
    let mut client =
        ClientBuilder::new(reqwest::Client::builder().no_proxy().build().expect("a client"));
    if let Some(limiter) = limiter {
        client = client.with(LimiterMiddleware::new(limiter));
    }
    client.with(Answers { status, body: body.to_owned() }).build()
}

/// Nanoseconds and allocations of a call: the least of all rounds.
async fn measure(client: &ClientWithMiddleware, request: &str) -> (u128, u64) {
    let mut least = (u128::MAX, u64::MAX);
    for _ in 0..ROUNDS {
        let (start, allocated) = (Instant::now(), ALLOCATED.get());
        for _ in 0..CALLS {
            let answer = client.post("http://localhost/v1").body(request.to_owned()).send().await;
            answer.expect("an answer").bytes().await.expect("a body");
        }
        let time = start.elapsed().as_nanos() / u128::from(CALLS);
        let allocated = (ALLOCATED.get() - allocated) / u64::from(CALLS);
        least = (least.0.min(time), least.1.min(allocated));
    }
    least
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let prompt = "What is a ring? ".repeat(125);
    let request = format!(
        r#"{{"model":"m","max_tokens":500,"messages":[{{"role":"user","content":"{prompt}"}}]}}"#
    );
    let usage = r#""usage":{"prompt_tokens":500,"completion_tokens":120,"total_tokens":620}"#;
    let answer = format!(r#"{{"choices":[{{"message":{{"content":"{prompt}"}}}}],{usage}}}"#);
    let busy = r#"{"error":{"type":"server_error","message":"The server had an error."}}"#;
    let rate = || Limiter::builder().rate(Rate::per_second(1_000_000)).max_concurrent(64);
    let tokens = || rate().token_limit(TokenLimit::total(u64::MAX / 4, HOUR));

    println!(
        "{:<44}{:>10}{:>10}{:>8}{:>8}",
        "a call, and what the limiter adds", "ns", "+", "allocs", "+"
    );
    for (name, limiter, status, answer) in [
        ("requests and calls in flight", rate().build(), 200, &answer),
        ("and tokens: 2 kB of request and of answer", tokens().build(), 200, &answer),
        ("an error of the server", rate().build(), 500, &busy.to_owned()),
    ] {
        let (bare, bare_allocated) = measure(&client(None, status, answer), &request).await;
        let (with, allocated) = measure(&client(Some(limiter), status, answer), &request).await;
        let (added, more) = (with.saturating_sub(bare), allocated.saturating_sub(bare_allocated));
        println!("{name:<44}{with:>10}{added:>10}{allocated:>8}{more:>8}");
    }
}
