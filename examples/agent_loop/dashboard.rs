//! `--dashboard`: a page on loopback that draws the limiter while it runs.
//!
//! One page without a request to the outside. It listens to a stream of events (`/events`): what the run is, a frame each tick, and the
//! verdict. Whoever comes late is told all of it from the start, so a page that is opened after the run shows all of the run.

mod board;
mod frame;

use crate::flags::Flags;
use crate::ledger::Ledger;
use crate::tally::Tally;
use crate::verdict::Verdict;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::sse::KeepAlive;
use axum::response::{Html, IntoResponse, Sse};
use axum::routing::get;
use board::{Board, Kind};
use core::fmt;
use core::time::Duration;
use frame::Frame;
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
/// The page may do nothing but what it does.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                      connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'";

/// A page that is served as long as the runtime lives.
pub(crate) struct Dashboard {
    address: SocketAddr,
    board: Arc<Board>,
    tick: Duration,
}

impl Dashboard {
    /// Serves the page on this port of loopback (0: any).
    pub(crate) async fn start(port: u16, title: &str, flags: &Flags) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let board = Arc::new(Board::default());
        board.tell(Kind::Start, &json!({ "title": title, "seconds": flags.seconds.as_secs_f64() }));
        let routes = Router::new()
            .route("/", get(page))
            .route("/events", get(events))
            .with_state(Arc::clone(&board));
        tokio::spawn(axum::serve(listener, routes).into_future());
        Ok(Self { address, board, tick: TICK.max(flags.seconds / MOST_FRAMES) })
    }

    /// Adds a frame each tick. Runs until it is dropped.
    pub(crate) async fn watch(&self, limiter: &Limiter, ledger: &Ledger, tally: &Tally) {
        let start = Instant::now();
        let mut ticks = interval(self.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            let frame = Frame { elapsed: start.elapsed(), limiter, ledger, tally };
            self.board.tell(Kind::Frame, &frame.to_json());
        }
    }

    /// The run is over.
    pub(crate) fn end(&self, verdict: &Verdict) {
        let end = json!({ "verdict": verdict.to_string(), "passed": verdict.passed() });
        self.board.tell(Kind::End, &end);
    }

    /// Goes on serving until Ctrl-C.
    pub(crate) async fn stay(self) -> io::Result<()> {
        tokio::signal::ctrl_c().await
    }
}

impl fmt::Display for Dashboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dashboard   http://{}/", self.address)
    }
}

async fn page() -> impl IntoResponse {
    ([(header::CONTENT_SECURITY_POLICY, POLICY), (header::CACHE_CONTROL, "no-store")], Html(PAGE))
}

/// All events, from the one after the last that the browser has seen.
async fn events(State(board): State<Arc<Board>>, headers: HeaderMap) -> impl IntoResponse {
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse::<usize>().ok());
    let events = board.events_from(seen.map_or(0, |id| id.saturating_add(1)));
    Sse::new(events).keep_alive(KeepAlive::default())
}
