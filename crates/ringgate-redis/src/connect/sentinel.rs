//! A server that sentinels know. After an error they are asked anew.

use crate::script::{Reply, Store, StoreError, Trip};
use core::time::Duration;
use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::sentinel::SentinelClient;
use redis::{AsyncConnectionConfig, RedisError};
use std::sync::Arc;
use tokio::sync::Mutex;

pub(super) struct Sentinel {
    client: Arc<Mutex<SentinelClient>>,
    config: AsyncConnectionConfig,
    connection: Option<MultiplexedConnection>,
    is_new: bool,
}

impl Sentinel {
    pub(super) fn new(
        client: Arc<Mutex<SentinelClient>>,
        timeout: Duration,
        push: impl AsyncPushSender,
    ) -> Self {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(timeout))
            .set_response_timeout(Some(timeout))
            .set_push_sender(push);
        Self { client, config, connection: None, is_new: false }
    }

    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    pub(super) async fn trip(&mut self, store: &Store, trip: &Trip) -> Result<Reply, StoreError> {
        let mut connection = self.connected().await?;
        let answer = store.call(&mut connection, trip).await;
        if matches!(&answer, Err(StoreError::Away(_) | StoreError::Other(_))) {
            self.connection = None;
        }
        answer
    }

    pub(super) async fn subscribe(&mut self, key: &str) -> Result<(), RedisError> {
        self.is_new = false;
        self.connected().await?.subscribe(key).await
    }

    async fn connected(&mut self) -> Result<MultiplexedConnection, RedisError> {
        if let Some(connection) = &self.connection {
            return Ok(connection.clone());
        }
        let mut client = self.client.lock().await;
        let connection = client.get_async_connection_with_config(&self.config).await?;
        self.connection = Some(connection.clone());
        self.is_new = true;
        Ok(connection)
    }
}
