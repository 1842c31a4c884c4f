//! Connections to a store, and what it pushes through them.

use crate::SharedLimiter;
use crate::builder::SharedLimiterBuilder;
use crate::error::ConnectError;
use crate::link::{Link, News};
use crate::script::{Reply, Store, StoreError, Trip};
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Poll;
use core::time::Duration;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, IntoConnectionInfo, ProtocolVersion, PushInfo, PushKind, RedisError, Value};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// Where the store is: what [`connect_with`](SharedLimiterBuilder::connect_with) takes.
#[non_exhaustive]
pub enum StoreClient {
    /// One server, or something that looks like one.
    Single(Client),
    /// A cluster. All of a limit is on one of its nodes.
    #[cfg(feature = "cluster")]
    Cluster(redis::cluster::ClusterClientBuilder),
    /// A server that sentinels know.
    #[cfg(feature = "sentinel")]
    Sentinel(Arc<tokio::sync::Mutex<redis::sentinel::SentinelClient>>),
}

impl From<Client> for StoreClient {
    fn from(client: Client) -> Self {
        Self::Single(client)
    }
}

#[cfg(feature = "cluster")]
impl From<redis::cluster::ClusterClientBuilder> for StoreClient {
    fn from(builder: redis::cluster::ClusterClientBuilder) -> Self {
        Self::Cluster(builder)
    }
}

#[cfg(feature = "sentinel")]
impl From<redis::sentinel::SentinelClient> for StoreClient {
    fn from(client: redis::sentinel::SentinelClient) -> Self {
        Self::Sentinel(Arc::new(tokio::sync::Mutex::new(client)))
    }
}

/// Omits addresses and passwords.
impl fmt::Debug for StoreClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Single(_) => "Single",
            #[cfg(feature = "cluster")]
            Self::Cluster(_) => "Cluster",
            #[cfg(feature = "sentinel")]
            Self::Sentinel(_) => "Sentinel",
        })
    }
}

impl SharedLimiterBuilder {
    /// Connects to the store at this address, such as `redis://user:password@host:6379/0` (`rediss` for TLS, with one of the features for it), and
    /// spawns the [driver](crate::Driver) on tokio.
    ///
    /// A store that is not there is no error: calls wait until it is. The driver ends when the limiter was [closed](SharedLimiter::close) and its calls have
    /// ended, or with the runtime; while the limiter is idle it does nothing.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]: what the builder cannot build, an address that is none, a store that answers with an error that time does not mend.
    ///
    /// # Cancel safety
    ///
    /// Nothing is spawned if the future is dropped.
    pub async fn connect(
        self,
        store: impl IntoConnectionInfo,
    ) -> Result<SharedLimiter, ConnectError> {
        let client = Client::open(store).map_err(ConnectError::Client)?;
        self.connect_with(client).await
    }

    /// [`connect`](Self::connect) with a client that is made already: of one server, of a cluster, of sentinels.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_with(
        self,
        client: impl Into<StoreClient>,
    ) -> Result<SharedLimiter, ConnectError> {
        let runtime = Handle::try_current().map_err(|_| ConnectError::NoRuntime)?;
        let timeout = self.response_timeout_or_default();
        let link = StoreLink::new(self.store()?, client.into(), timeout)?;
        let (limiter, mut driver) = self.driver(link)?;
        match driver.greet().await {
            Err(error) if driver.refuses() => return Err(ConnectError::Store(error)),
            _ => {}
        }
        // It ends when the limiter has been closed, or with the runtime.
        drop(runtime.spawn(driver.run()));
        Ok(limiter)
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The way to a real store.
pub(crate) struct StoreLink {
    store: Store,
    connection: Connection,
    news: Arc<Pushes>,
    /// The channel is subscribed to.
    hears: bool,
    /// Trips until it tries that again, and how many it waits the next time.
    deaf_for: u32,
    patience: u32,
}

enum Connection {
    Single(ConnectionManager),
    #[cfg(feature = "cluster")]
    Cluster(redis::cluster_async::ClusterConnection),
    #[cfg(feature = "sentinel")]
    Sentinel(sentinel::Sentinel),
}

/// What was pushed and not read yet.
#[derive(Debug, Default)]
struct Pushes {
    pause: AtomicBool,
    any: Notify,
}

impl Pushes {
    fn push(&self, push: &PushInfo) {
        if !matches!(push.kind, PushKind::Message | PushKind::SMessage) {
            return;
        }
        if let Some(Value::BulkString(word)) = push.data.last()
            && word == b"pause"
        {
            // ORDERING: Release; pairs with the swap in `news`. The notification carries it, too.
            self.pause.store(true, Ordering::Release);
        }
        self.any.notify_one();
    }

    async fn news(&self) -> News {
        self.any.notified().await;
        // ORDERING: Acquire; pairs with the store in `push`. One that comes later notifies again.
        if self.pause.swap(false, Ordering::Acquire) { News::Pause } else { News::Room }
    }
}

impl StoreLink {
    fn new(store: Store, client: StoreClient, timeout: Duration) -> Result<Self, ConnectError> {
        let news = Arc::new(Pushes::default());
        let connection = Connection::new(client, timeout, &news).map_err(ConnectError::Client)?;
        Ok(Self { store, connection, news, hears: false, deaf_for: 0, patience: 1 })
    }

    async fn subscribe(&mut self) {
        if self.hears && !self.connection.is_new() {
            return;
        }
        if self.deaf_for > 0 {
            self.deaf_for -= 1;
            return;
        }
        let key = self.store.key();
        // Boxed: the client's futures are deep, and users hold this one in theirs.
        let subscribed: Boxed<'_, Result<(), RedisError>> = match &mut self.connection {
            Connection::Single(manager) => Box::pin(manager.subscribe(key)),
            #[cfg(feature = "cluster")]
            Connection::Cluster(cluster) => Box::pin(cluster.ssubscribe(key)),
            #[cfg(feature = "sentinel")]
            Connection::Sentinel(sentinel) => Box::pin(sentinel.subscribe(key)),
        };
        self.hears = subscribed.await.is_ok();
        if self.hears {
            self.patience = 1;
        } else {
            // Perhaps it is not allowed to. Only speed is lost.
            (self.deaf_for, self.patience) = (self.patience, self.patience.saturating_mul(2));
        }
    }
}

impl Link for StoreLink {
    async fn trip(&mut self, trip: &Trip) -> Result<Reply, StoreError> {
        let answer: Boxed<'_, Result<Reply, StoreError>> = match &mut self.connection {
            Connection::Single(manager) => Box::pin(self.store.call(manager, trip)),
            #[cfg(feature = "cluster")]
            Connection::Cluster(cluster) => Box::pin(self.store.call(cluster, trip)),
            #[cfg(feature = "sentinel")]
            Connection::Sentinel(sentinel) => Box::pin(sentinel.trip(&self.store, trip)),
        };
        answer.await
    }

    async fn pushed(&mut self) -> News {
        let news = Arc::clone(&self.news);
        let mut pushed = pin!(news.news());
        {
            // While it subscribes it hears already.
            let mut subscribed = pin!(self.subscribe());
            let first = poll_fn(|cx| {
                if let Poll::Ready(news) = pushed.as_mut().poll(cx) {
                    return Poll::Ready(Some(news));
                }
                subscribed.as_mut().poll(cx).map(|()| None)
            });
            if let Some(news) = first.await {
                return news;
            }
        }
        pushed.await
    }
}

impl Connection {
    fn new(client: StoreClient, timeout: Duration, news: &Arc<Pushes>) -> Result<Self, RedisError> {
        let news = Arc::clone(news);
        let push = move |push: PushInfo| -> Result<(), ()> {
            news.push(&push);
            Ok(())
        };
        match client {
            StoreClient::Single(client) => {
                let info = client.get_connection_info();
                let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
                let client = Client::open(info.clone().set_redis_settings(settings))?;
                let config = ConnectionManagerConfig::new()
                    .set_connection_timeout(Some(timeout))
                    .set_response_timeout(Some(timeout))
                    // The driver tries again by itself.
                    .set_number_of_retries(0)
                    .set_push_sender(push)
                    .set_automatic_resubscription();
                Ok(Self::Single(ConnectionManager::new_lazy_with_config(client, config)?))
            }
            #[cfg(feature = "cluster")]
            StoreClient::Cluster(builder) => {
                let builder = builder
                    .use_protocol(ProtocolVersion::RESP3)
                    .connection_timeout(timeout)
                    .response_timeout(timeout)
                    .retries(2)
                    .push_sender(push);
                let config = redis::cluster::ClusterConfig::new();
                let client = builder.build()?;
                Ok(Self::Cluster(client.get_pending_async_connection_with_config(config)))
            }
            #[cfg(feature = "sentinel")]
            StoreClient::Sentinel(client) => {
                Ok(Self::Sentinel(sentinel::Sentinel::new(client, timeout, push)))
            }
        }
    }

    /// Whether it is another connection than the one that was subscribed on.
    fn is_new(&self) -> bool {
        match self {
            #[cfg(feature = "sentinel")]
            Self::Sentinel(sentinel) => sentinel.is_new(),
            // They subscribe again by themselves.
            _ => false,
        }
    }
}

/// Omits the connection.
impl fmt::Debug for StoreLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreLink").field("key", &self.store.key()).finish_non_exhaustive()
    }
}

#[cfg(feature = "sentinel")]
mod sentinel;
