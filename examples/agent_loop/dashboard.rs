//! `--dashboard`: a page on loopback that draws the limiter while it runs.
//!
//! One page without a request to the outside. It listens to a stream of events (`/events`): what the run is, a frame each tick, and the
//! verdict. Whoever comes late is told all of it from the start, so a page that is opened after the run shows all of the run.
//! `/saved` is the same page with all of that in it, for a file.

mod board;
mod frame;

use crate::flags::Flags;
use crate::say;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::sse::KeepAlive;
use axum::response::{Html, IntoResponse, Sse};
use axum::routing::get;
use board::{Board, Kind};
use core::fmt;
use core::future::pending;
use core::time::Duration;
use ringgate::Limiter;
use serde_json::json;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::time::{Instant, MissedTickBehavior, interval};

const TICK: Duration = Duration::from_millis(100);
/// A long run has longer ticks.
const MOST_FRAMES: u32 = 6000;

const PAGE: &str = include_str!("dashboard/page.html");
/// Where a page that is saved has what it was told.
const TOLD: &str = "const told = []";

/// What the limiter does not know of its calls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Calls {
    pub(crate) answered: usize,
    /// By the server's count: refused, or answered all the same.
    pub(crate) beyond: usize,
}

/// A page that is served as long as the runtime lives.
pub(crate) struct Dashboard {
    address: SocketAddr,
    board: Arc<Board>,
    tick: Duration,
}

impl Dashboard {
    pub(crate) async fn start_if_wanted(flags: &Flags) -> io::Result<Option<Self>> {
        let Some(port) = flags.dashboard else { return Ok(None) };
        let dashboard = Self::start(port, flags).await?;
        say(io::stdout(), &format_args!("dashboard   {}", dashboard.url()));
        Ok(Some(dashboard))
    }

    /// Serves the page on this port of loopback (0: any).
    async fn start(port: u16, flags: &Flags) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let board = Arc::new(Board::default());
        let title = format!("{} agents, one key", flags.agents());
        board.tell(Kind::Start, &json!({ "title": title, "seconds": flags.seconds.as_secs_f64() }));
        let routes = Router::new()
            .route("/", get(page))
            .route("/events", get(events))
            .route("/saved", get(saved))
            .with_state(Arc::clone(&board));
        tokio::spawn(axum::serve(listener, routes).into_future());
        Ok(Self { address, board, tick: TICK.max(flags.seconds / MOST_FRAMES) })
    }

    /// Adds a frame each tick: the limiter's own count, and how many calls were answered and were beyond the limits. Runs until it
    /// is dropped.
    async fn watch(&self, limiter: &Limiter, calls: impl Fn() -> Calls) {
        let start = Instant::now();
        let mut ticks = interval(self.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            self.board.tell(Kind::Frame, &frame::of(start.elapsed(), &limiter.stats(), calls()));
        }
    }

    /// The run is over. The page is served on, until Ctrl-C.
    pub(crate) async fn end(&self, verdict: &impl fmt::Display, passed: bool) -> io::Result<()> {
        self.board.tell(Kind::End, &json!({ "verdict": verdict.to_string(), "passed": passed }));
        say(io::stdout(), &format_args!("the page stays until Ctrl-C: {}", self.url()));
        tokio::signal::ctrl_c().await
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

/// Draws it, if anything is to be drawn. Runs until it is dropped.
pub(crate) async fn show(seen: Option<(&Dashboard, &Limiter)>, calls: impl Fn() -> Calls) {
    match seen {
        Some((dashboard, limiter)) => dashboard.watch(limiter, calls).await,
        None => pending().await,
    }
}

async fn page() -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store")], Html(PAGE))
}

/// The page with all that it has been told up to now, to be kept.
async fn saved(State(board): State<Arc<Board>>) -> impl IntoResponse {
    // Else a text could end the script.
    let told = board.to_json().replace('<', "\\u003c");
    let page = PAGE.replacen(TOLD, &format!("const told = {told}"), 1);
    let name = "attachment; filename=\"agent_loop.html\"";
    ([(header::CONTENT_DISPOSITION, name), (header::CACHE_CONTROL, "no-store")], Html(page))
}

/// All events, from the one after the last that the browser has seen.
async fn events(State(board): State<Arc<Board>>, headers: HeaderMap) -> impl IntoResponse {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let events = board.events_from(Board::after(last));
    Sse::new(events).keep_alive(KeepAlive::default())
}
