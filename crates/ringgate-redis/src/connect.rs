//! Connecting to a store.

mod connection;
mod pushes;
mod store_link;

use crate::SharedLimiter;
use crate::builder::SharedLimiterBuilder;
use crate::error::ConnectError;
use core::fmt;
use redis::{Client, IntoConnectionInfo};
use store_link::StoreLink;
use tokio::runtime::Handle;

/// Where the store is: what [`connect_with`](SharedLimiterBuilder::connect_with) takes.
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "it is made once; with all features there is none")]
pub enum StoreClient {
    /// One server, or something that looks like one.
    Single(Client),
    /// A cluster. All of a limit is on one of its nodes.
    #[cfg(feature = "cluster")]
    Cluster(redis::cluster::ClusterClientBuilder),
    /// A server that sentinels know.
    #[cfg(feature = "sentinel")]
    Sentinel(redis::sentinel::SentinelClient),
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
        Self::Sentinel(client)
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
    /// With `tls-rustls`, ciphers are those that the process has chosen (`CryptoProvider::install_default`); if it has not until the first connection,
    /// those of ring are installed for the process.
    ///
    /// A store that is not there is no error: calls wait until it is. The driver ends when the limiter was [closed](SharedLimiter::close) and its calls have
    /// ended, or with the runtime; while the limiter is idle it does nothing.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]: what the builder cannot build, an address that is none, a store that answers with an error that time does not mend, a
    /// certificate that is not accepted. (Later, a certificate that is not accepted any more is a store that is away.)
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
