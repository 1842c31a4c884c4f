//! The running provider.

use crate::builder::MockProviderBuilder;
use crate::ledger::Ledger;
use crate::log::{Counts, InWindow, Log};
use crate::routes::Shared;
use crate::server::{Task, serve};
use crate::surprise::{Fault, Script, Stop, Surprise};
use crate::terms::Terms;
use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::time::{Instant, sleep_until};

/// A provider on a loopback port of its own, until it is dropped. Its connections end with it.
///
/// See the [crate's page](crate) for an example.
#[derive(Debug)]
pub struct MockProvider {
    address: SocketAddr,
    ledger: Arc<Ledger>,
    _server: Task,
    _script: Task,
}

/// A script that is being played. It stops when this is dropped.
#[derive(Debug)]
#[must_use = "a script stops when this is dropped"]
pub struct Playing {
    _task: Task,
}

impl MockProvider {
    /// A provider that limits nothing, unless it is told to.
    pub fn builder() -> MockProviderBuilder {
        MockProviderBuilder::default()
    }

    pub(crate) fn serve(shared: Shared, script: Script) -> io::Result<Self> {
        let ledger = Arc::clone(&shared.ledger);
        let (address, server) = serve(Arc::new(shared))?;
        let script = Task::spawn(play(script, Arc::clone(&ledger)));
        Ok(Self { address, ledger, _server: server, _script: script })
    }

    /// Where the API begins, as clients of OpenAI's want it: `http://127.0.0.1:12345/v1`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The same without `/v1`, as clients of Anthropic's want it: `http://127.0.0.1:12345`.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it allows now.
    #[must_use]
    pub fn terms(&self) -> Terms {
        self.ledger.terms()
    }

    /// How many calls there were, and what became of them.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.ledger.counts()
    }

    /// What its last window holds now.
    #[must_use]
    pub fn in_window(&self) -> InWindow {
        self.ledger.in_window()
    }

    /// A copy of all that it has recorded. It grows with each call.
    #[must_use]
    pub fn log(&self) -> Log {
        self.ledger.log()
    }

    /// Lets something happen now.
    pub fn apply(&self, surprise: Surprise) {
        self.ledger.apply(surprise);
    }

    /// [`Surprise::SetTerms`]
    pub fn set_terms(&self, terms: Terms) {
        self.apply(Surprise::SetTerms(terms));
    }

    /// [`Surprise::Overload`]
    pub fn overload(&self, capacity: usize) {
        self.apply(Surprise::Overload { capacity });
    }

    /// [`Surprise::CloseFor`]
    pub fn close_for(&self, length: Duration) {
        self.apply(Surprise::CloseFor(length));
    }

    /// [`Surprise::SlowDownFor`]
    pub fn slow_down_for(&self, length: Duration) {
        self.apply(Surprise::SlowDownFor(length));
    }

    /// [`Surprise::StopWith`]
    pub fn stop_with(&self, stop: Stop) {
        self.apply(Surprise::StopWith(stop));
    }

    /// [`Surprise::Resume`]
    pub fn resume(&self) {
        self.apply(Surprise::Resume);
    }

    /// [`Surprise::FailNext`]
    pub fn fail_next(&self, calls: usize, fault: Fault) {
        self.apply(Surprise::FailNext { calls, fault });
    }

    /// Plays a script from now on, by tokio's clock.
    ///
    /// # Panics
    ///
    /// If there is no tokio runtime.
    pub fn play(&self, script: Script) -> Playing {
        Playing { _task: Task::spawn(play(script, Arc::clone(&self.ledger))) }
    }
}

async fn play(script: Script, ledger: Arc<Ledger>) {
    let start = Instant::now();
    for (after, surprise) in script.into_steps() {
        // What is never to happen is the last.
        let Some(at) = start.checked_add(after) else { return };
        sleep_until(at).await;
        ledger.apply(surprise);
    }
}
