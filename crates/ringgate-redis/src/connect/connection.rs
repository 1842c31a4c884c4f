//! One connection at a time, and how to make another.

use super::StoreClient;
use super::pushes::Pushes;
use crate::script::{Reply, Store, StoreError, Trip};
use core::time::Duration;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, Pipeline, ProtocolVersion,
    PushInfo, RedisError, RedisFuture, Value,
};
use std::sync::Arc;

/// Makes connections.
pub(super) enum Connector {
    Single(Box<(Client, AsyncConnectionConfig)>),
    #[cfg(feature = "cluster")]
    Cluster(Box<redis::cluster::ClusterClient>),
    #[cfg(feature = "sentinel")]
    Sentinel(Box<(redis::sentinel::SentinelClient, AsyncConnectionConfig, Duration)>),
}

#[derive(Clone)]
pub(super) enum Connection {
    Single(MultiplexedConnection),
    #[cfg(feature = "cluster")]
    Cluster(redis::cluster_async::ClusterConnection),
}

impl Connector {
    pub(super) fn new(
        client: StoreClient,
        timeout: Duration,
        pushes: &Arc<Pushes>,
    ) -> Result<Self, RedisError> {
        let pushes = Arc::clone(pushes);
        let push = move |push: PushInfo| -> Result<(), ()> {
            pushes.push(&push);
            Ok(())
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(timeout))
            .set_response_timeout(Some(timeout));
        match client {
            StoreClient::Single(client) => {
                let client = Client::open(with_settings(client.get_connection_info(), timeout))?;
                Ok(Self::Single(Box::new((client, config.set_push_sender(push)))))
            }
            #[cfg(feature = "cluster")]
            StoreClient::Cluster(builder) => {
                let builder = builder
                    .use_protocol(ProtocolVersion::RESP3)
                    .connection_timeout(timeout)
                    .response_timeout(timeout)
                    .retries(2)
                    .push_sender(push);
                Ok(Self::Cluster(Box::new(builder.build()?)))
            }
            #[cfg(feature = "sentinel")]
            StoreClient::Sentinel(client) => {
                Ok(Self::Sentinel(Box::new((client, config.set_push_sender(push), timeout))))
            }
        }
    }

    /// Comes back with the connection. It may take longer than a trip: where a sentinel or a node of a cluster does not answer, it goes on with the
    /// next one only after the timeout.
    pub(super) async fn connect(mut self) -> (Self, Result<Connection, RedisError>) {
        let connection = self.open().await;
        (self, connection)
    }

    /// The process may have chosen some. If it has not, there is one choice here, and the client would panic without it.
    #[cfg(feature = "tls-rustls")]
    fn provide_ciphers(&self) {
        use redis::ConnectionAddr::{Tcp, Unix};
        let is_plain = match self {
            Self::Single(parts) => {
                matches!(parts.0.get_connection_info().addr(), Tcp(..) | Unix(_))
            }
            // They do not tell.
            #[cfg(any(feature = "cluster", feature = "sentinel"))]
            _ => false,
        };
        if !is_plain && rustls::crypto::CryptoProvider::get_default().is_none() {
            // It fails if another thread was faster: then there is one, too.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
    }

    async fn open(&mut self) -> Result<Connection, RedisError> {
        #[cfg(feature = "tls-rustls")]
        self.provide_ciphers();
        match self {
            Self::Single(parts) => {
                let (client, config) = &**parts;
                let connection = client.get_multiplexed_async_connection_with_config(config);
                connection.await.map(Connection::Single)
            }
            #[cfg(feature = "cluster")]
            Self::Cluster(client) => client.get_async_connection().await.map(Connection::Cluster),
            // They are asked anew which server it is.
            #[cfg(feature = "sentinel")]
            Self::Sentinel(parts) => {
                let (sentinels, config, timeout) = &mut **parts;
                let found = sentinels.async_get_client().await?;
                let client = Client::open(with_settings(found.get_connection_info(), *timeout))?;
                let connection = client.get_multiplexed_async_connection_with_config(config);
                connection.await.map(Connection::Single)
            }
        }
    }
}

impl Connection {
    pub(super) async fn trip(&mut self, store: &Store, trip: &Trip) -> Result<Reply, StoreError> {
        store.call(self, trip).await
    }

    pub(super) async fn subscribe(mut self, channel: String) -> Result<(), RedisError> {
        match &mut self {
            Self::Single(connection) => connection.subscribe(channel).await,
            #[cfg(feature = "cluster")]
            Self::Cluster(connection) => connection.ssubscribe(channel).await,
        }
    }
}

/// A node that gives a slot away ends what was subscribed to there, by a message that looks like the answer to such a command. The client takes
/// it for the answer to the next one: that has none then, and whose the answers after it are is not known.
fn no_push(answer: Value) -> Result<Value, RedisError> {
    if matches!(answer, Value::Push { .. }) {
        return Err((ErrorKind::Io, "a message came in the place of an answer").into());
    }
    Ok(answer)
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let answer = match self {
                Self::Single(connection) => connection.req_packed_command(command).await,
                #[cfg(feature = "cluster")]
                Self::Cluster(connection) => connection.req_packed_command(command).await,
            };
            answer.and_then(no_push)
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(connection) => connection.req_packed_commands(commands, offset, count),
            #[cfg(feature = "cluster")]
            Self::Cluster(connection) => connection.req_packed_commands(commands, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Single(connection) => connection.get_db(),
            #[cfg(feature = "cluster")]
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

/// A certificate that is not accepted says so in the words of each library, and of the server. Nothing else of an error can be asked by all clients.
pub(super) fn refused_certificate(error: RedisError) -> RedisError {
    let words = error.to_string();
    if !words.to_lowercase().contains("certificate") {
        return error;
    }
    (ErrorKind::InvalidClientConfig, "a certificate is not accepted", words).into()
}

/// What is pushed needs the newer protocol. A server that has gone without a word is noticed, where the system can do that.
fn with_settings(info: &ConnectionInfo, timeout: Duration) -> ConnectionInfo {
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let tcp = with_timeout(info.tcp_settings().clone(), timeout);
    info.clone().set_redis_settings(settings).set_tcp_settings(tcp)
}

#[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
fn with_timeout(settings: TcpSettings, timeout: Duration) -> TcpSettings {
    if settings.user_timeout().is_some() {
        settings
    } else {
        settings.set_user_timeout(2 * timeout)
    }
}

#[cfg(not(any(target_os = "android", target_os = "fuchsia", target_os = "linux")))]
fn with_timeout(settings: TcpSettings, _: Duration) -> TcpSettings {
    settings
}
