//! The way to a real store.

use super::StoreClient;
use super::connection::{Connection, Connector, refused_certificate};
use super::pushes::Pushes;
use crate::error::ConnectError;
use crate::link::{Link, News};
use crate::script::{Reply, Store, StoreError, Trip};
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;
use core::time::Duration;
use redis::RedisError;
use std::sync::Arc;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A connection is used for as long as it answers. After a trip without an answer, or one that was dropped, another one is made: what
/// came of the first is not known, and it may be one that nobody listens to any more.
pub(crate) struct StoreLink {
    store: Store,
    /// Makes the next one. It is not given up with the trip that has begun it, or one that takes longer would never be made.
    next: Boxed<'static, (Connector, Result<Connection, RedisError>)>,
    connection: Option<Connection>,
    /// Whether there ever was one.
    has_connected: bool,
    pushes: Arc<Pushes>,
    hearing: Hearing,
    /// Connections until it tries to subscribe again, and how many it waits the next time.
    deaf_for: u32,
    patience: u32,
}

/// How far the connection is with the channel of the limit.
enum Hearing {
    Not,
    /// It goes on with that whenever somebody waits for news: it is told once.
    Begins(Boxed<'static, Result<(), RedisError>>),
    Yes,
}

impl StoreLink {
    pub(super) fn new(
        store: Store,
        client: StoreClient,
        timeout: Duration,
    ) -> Result<Self, ConnectError> {
        let pushes = Arc::new(Pushes::default());
        let connector = Connector::new(client, timeout, &pushes).map_err(ConnectError::Client)?;
        let hearing = Hearing::Not;
        let next = Box::pin(connector.connect());
        Ok(Self {
            store,
            next,
            connection: None,
            has_connected: false,
            pushes,
            hearing,
            deaf_for: 0,
            patience: 1,
        })
    }

    /// It comes back only with an answer.
    async fn take_connection(&mut self) -> Result<Connection, RedisError> {
        let has_ended = self.pushes.has_ended();
        if let Some(connection) = self.connection.take().filter(|_| !has_ended) {
            return Ok(connection);
        }
        self.hearing = Hearing::Not;
        let (connector, connection) = (&mut self.next).await;
        self.next = Box::pin(connector.connect());
        // Who was connected before goes on without the store; who was not has been given something wrong.
        let connection = connection
            .map_err(|error| if self.has_connected { error } else { refused_certificate(error) })?;
        self.has_connected = true;
        if self.deaf_for > 0 {
            self.deaf_for -= 1;
        } else {
            let channel = self.store.key().to_owned();
            self.hearing = Hearing::Begins(Box::pin(connection.clone().subscribe(channel)));
        }
        Ok(connection)
    }

    async fn answer(&mut self, trip: &Trip) -> Result<Reply, StoreError> {
        self.pushes.is_for(trip.process, trip.seq);
        let mut connection = self.take_connection().await?;
        let answer = connection.trip(&self.store, trip).await;
        if !matches!(&answer, Err(StoreError::Away(_) | StoreError::Other(_))) {
            self.connection = Some(connection);
        }
        answer
    }

    fn has_subscribed(&mut self, is_ok: bool) {
        self.hearing = if is_ok { Hearing::Yes } else { Hearing::Not };
        if is_ok {
            self.patience = 1;
        } else {
            // Perhaps it is not allowed to. Only speed is lost.
            (self.deaf_for, self.patience) = (self.patience, self.patience.saturating_mul(2));
        }
    }
}

impl Link for StoreLink {
    async fn trip(&mut self, trip: &Trip) -> Result<Reply, StoreError> {
        // Boxed: the client's futures are deep, and users hold this one in theirs.
        let answer: Boxed<'_, Result<Reply, StoreError>> = Box::pin(self.answer(trip));
        answer.await
    }

    async fn pushed(&mut self) -> News {
        let pushes = Arc::clone(&self.pushes);
        let mut news = pin!(pushes.news());
        poll_fn(|cx| {
            if let Hearing::Begins(subscribed) = &mut self.hearing
                && let Poll::Ready(subscribed) = subscribed.as_mut().poll(cx)
            {
                self.has_subscribed(subscribed.is_ok());
            }
            // While it subscribes it hears already.
            news.as_mut().poll(cx)
        })
        .await
    }
}

/// Omits the connection.
impl fmt::Debug for StoreLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreLink").field("key", &self.store.key()).finish_non_exhaustive()
    }
}
