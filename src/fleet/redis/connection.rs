//! One connection to a Redis or Valkey: reached, logged in, and subscribed.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use redis::AsyncConnectionConfig;
use redis::ProtocolVersion;
use redis::PushInfo;
use redis::RedisConnectionInfo;
use redis::aio::MultiplexedConnection;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

use crate::fleet::redis::Broken;
use crate::fleet::redis::address::Address;
use crate::fleet::redis::config::Config;

/// A connection, and what moves it.
pub struct Connection {
    /// What commands are sent by.
    pub redis: MultiplexedConnection,
    /// What must be polled for anything to be sent or read; ends when the connection does.
    pub driver: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// What is published.
    pub pushes: mpsc::Receiver<PushInfo>,
}

/// How many letters may wait to be read; a gate that is slower than that loses its link, and then forgets everything.
const MAX_PUSHES: usize = 4096;

impl Connection {
    /// Connects, logs in, and subscribes to what the gates tell each other.
    ///
    /// # Errors
    /// Tells what went wrong, or that it took too long.
    pub async fn open(config: &Config, address: &Address, tls: Option<Arc<ClientConfig>>) -> Result<Self, Broken> {
        tokio::time::timeout(config.connect_timeout, Self::subscribed(config, address, tls))
            .await
            .unwrap_or_else(|_| Err(Broken::Error("connecting took too long".into())))
    }

    async fn subscribed(config: &Config, address: &Address, tls: Option<Arc<ClientConfig>>) -> Result<Self, Broken> {
        let told = |error: std::io::Error| Broken::Error(error.to_string());
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(told)?;
        stream.set_nodelay(true).map_err(told)?;
        let mut connection = match tls {
            None => Self::over(config, address, stream).await?,
            Some(settings) => {
                let name = ServerName::try_from(address.host.clone())
                    .map_err(|_| Broken::Error("no certificate can name this host".into()))?;
                let stream = TlsConnector::from(settings).connect(name, stream).await.map_err(told)?;
                Self::over(config, address, stream).await?
            }
        };
        let channel = channel(config);
        tokio::select! {
            done = connection.redis.subscribe(channel) => done?,
            () = &mut connection.driver => return Err(Broken::Error("the server has closed the connection".into())),
        }
        Ok(connection)
    }

    async fn over<S>(config: &Config, address: &Address, stream: S) -> Result<Self, Broken>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut login = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3).set_db(address.database);
        if !address.user.is_empty() {
            login = login.set_username(&address.user);
        }
        if !config.password.expose().is_empty() {
            login = login.set_password(config.password.expose());
        }
        let (sender, pushes) = mpsc::channel(MAX_PUSHES);
        let sender = std::sync::Mutex::new(Some(sender));
        let push = move |info| {
            let mut sender = sender.lock().map_err(|_| ())?;
            // what does not fit is missed: the listener finds the channel closed, and the link is made anew
            let sent = sender.as_ref().is_some_and(|sender| sender.try_send(info).is_ok());
            if !sent {
                *sender = None;
            }
            if sent { Ok(()) } else { Err(()) }
        };
        let settings =
            AsyncConnectionConfig::new().set_response_timeout(Some(config.response_timeout)).set_push_sender(push);
        let (redis, driver) = MultiplexedConnection::new_with_config(&login, stream, settings).await?;
        Ok(Self { redis, driver: Box::pin(driver), pushes })
    }
}

/// Returns the name of the channel that gates publish to.
pub fn channel(config: &Config) -> String {
    format!("{}:news", config.prefix)
}

impl fmt::Debug for Connection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Connection").finish_non_exhaustive()
    }
}
