//! The listener and its connections.

use crate::routes::{Shared, respond};
use core::convert::Infallible;
use core::time::Duration;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Connections that may wait to be accepted. Many clients can connect at once, and a connection that the
/// system refuses is retried so late that no margin covers it.
const BACKLOG: u32 = 4096;

/// After a connection that could not be accepted.
const BREATH: Duration = Duration::from_millis(5);

/// A task that ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Task(JoinHandle<()>);

impl Task {
    pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Listens on a port of its own, and serves until the task is dropped.
pub(crate) fn serve(shared: Arc<Shared>) -> io::Result<(SocketAddr, Task)> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let listener = socket.listen(BACKLOG)?;
    let address = listener.local_addr()?;
    Ok((address, Task::spawn(accept(listener, shared))))
}

/// The connections end with this.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((connection, _)) => {
                    connections.spawn(connect(connection, Arc::clone(&shared)));
                }
                // The client has gone, or too many files are open: that lasts a while.
                Err(_) => tokio::time::sleep(BREATH).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connect(connection: TcpStream, shared: Arc<Shared>) {
    // Frames are small: without this the system would hold them back to fill packets.
    let _ = connection.set_nodelay(true);
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(respond(&shared, request).await) }
    });
    // A client that hangs up ends it with an error, and so does an answer that is broken off.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(connection), service)
        .await;
}
