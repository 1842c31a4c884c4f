//! What has been told so far, for all who listen.

use axum::response::sse::Event;
use core::convert::Infallible;
use futures_util::stream::{self, Stream};
use serde_json::Value;
use std::process;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// What an event tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Start,
    Frame,
    End,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Frame => "frame",
            Self::End => "end",
        }
    }
}

/// All events in order. Its length is told to those who have read it to its end.
#[derive(Debug, Default)]
pub(super) struct Board {
    told: Mutex<Vec<(Kind, Arc<str>)>>,
    length: watch::Sender<usize>,
}

impl Board {
    pub(super) fn tell(&self, kind: Kind, data: &Value) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.push((kind, data.to_string().into()));
        self.length.send_replace(told.len());
    }

    fn get(&self, n: usize) -> Option<(Kind, Arc<str>)> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).get(n).cloned()
    }

    /// The event after the one that a browser has seen last, if it was this run's.
    pub(super) fn after(last: Option<&str>) -> usize {
        let seen = last.and_then(|last| last.split_once('-'));
        let (_, n) = seen.filter(|(run, _)| *run == process::id().to_string()).unzip();
        n.and_then(|n| n.parse::<usize>().ok()).map_or(0, |n| n.saturating_add(1))
    }

    /// All of it: a list of `[kind, data]`.
    pub(super) fn to_json(&self) -> String {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let events = told.iter().map(|(kind, data)| format!("[\"{}\",{data}]", kind.name()));
        format!("[{}]", events.collect::<Vec<_>>().join(",\n"))
    }

    /// The events from the `n`-th on, to the end of the run.
    pub(super) fn events_from(
        self: &Arc<Self>,
        n: usize,
    ) -> impl Stream<Item = Result<Event, Infallible>> + use<> {
        let reader = Reader { length: self.length.subscribe(), board: Arc::clone(self), next: n };
        stream::unfold(reader, Reader::next)
    }
}

/// Where one listener is.
struct Reader {
    board: Arc<Board>,
    length: watch::Receiver<usize>,
    next: usize,
}

impl Reader {
    /// After the end it waits: a browser that is left alone would connect again.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        let n = self.next;
        self.length.wait_for(|length| n < *length).await.ok()?;
        let (kind, data) = self.board.get(n)?;
        self.next = n + 1;
        let id = format!("{}-{n}", process::id());
        Some((Ok(Event::default().id(id).event(kind.name()).data(&*data)), self))
    }
}
