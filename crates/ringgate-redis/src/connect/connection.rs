//! One connection at a time, and how to make another.

use super::StoreClient;
use super::pushes::Pushes;
use crate::script::{Reply, Store, StoreError, Trip};
use core::time::Duration;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, ProtocolVersion, PushInfo, RedisError};
use std::sync::Arc;

/// Makes connections.
pub(super) enum Connector {
    Single(Box<(Client, AsyncConnectionConfig)>),
    #[cfg(feature = "cluster")]
    Cluster(Box<redis::cluster::ClusterClient>),
    #[cfg(feature = "sentinel")]
    Sentinel(Box<(redis::sentinel::SentinelClient, AsyncConnectionConfig)>),
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
                Ok(Self::Sentinel(Box::new((client, config.set_push_sender(push)))))
            }
        }
    }

    pub(super) async fn connect(&mut self) -> Result<Connection, RedisError> {
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
                let (client, config) = &mut **parts;
                client.get_async_connection_with_config(config).await.map(Connection::Single)
            }
        }
    }
}

impl Connection {
    pub(super) async fn trip(&mut self, store: &Store, trip: &Trip) -> Result<Reply, StoreError> {
        match self {
            Self::Single(connection) => store.call(connection, trip).await,
            #[cfg(feature = "cluster")]
            Self::Cluster(connection) => store.call(connection, trip).await,
        }
    }

    pub(super) async fn subscribe(mut self, channel: String) -> Result<(), RedisError> {
        match &mut self {
            Self::Single(connection) => connection.subscribe(channel).await,
            #[cfg(feature = "cluster")]
            Self::Cluster(connection) => connection.ssubscribe(channel).await,
        }
    }
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
