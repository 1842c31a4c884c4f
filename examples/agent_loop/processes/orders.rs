//! What a process is told by the first one, through its standard input.

use core::time::Duration;
use std::io;
use std::thread;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// What it is told.
pub(crate) struct Orders(UnboundedReceiver<Duration>);

impl Orders {
    /// Listens. When the first process has ended, so does this one.
    pub(crate) fn listen() -> Self {
        let (tell, told) = unbounded_channel();
        thread::spawn(move || {
            for line in io::stdin().lines() {
                let Ok(line) = line else { break };
                if let Some(millis) = line.strip_prefix("go ").and_then(|text| text.parse().ok()) {
                    // Whoever has begun does not listen any more.
                    let _ = tell.send(Duration::from_millis(millis));
                }
            }
            std::process::exit(1);
        });
        Self(told)
    }

    /// For how long it may begin calls, from now on. `None` if nobody will say so any more.
    pub(crate) async fn go(mut self) -> Option<Duration> {
        self.0.recv().await
    }

    /// The line that says so.
    pub(crate) fn line(time: Duration) -> String {
        format!("go {}\n", time.as_millis())
    }
}
