//! The PROXY protocol on the listener: a load balancer that is trusted says whose connection it hands on.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::framing::proxy_header;
use crate::framing::proxy_header::Origin;
use crate::framing::proxy_header::Read;
use crate::telemetry::metrics::Metrics;

/// The key `proxy_protocol` of the section `[server]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Clients connect directly, or through what speaks HTTP.
    #[default]
    Off,
    /// Every connection starts with a header.
    On,
}

/// Who is believed.
#[derive(Clone, Debug)]
pub struct ProxyProtocol {
    trusted: Arc<[IpNet]>,
    metrics: Metrics,
}

/// Why a connection is closed without a word.
enum Failure {
    Untrusted,
    Missing,
    Broken(io::Error),
}

impl ProxyProtocol {
    /// Believes these, and talks to nobody else.
    pub fn new(trusted: &[IpNet], metrics: Metrics) -> Self {
        Self { trusted: trusted.into(), metrics }
    }

    /// Takes the header off a connection and returns its client; nothing if the connection is to be closed.
    pub async fn client(&self, stream: &mut TcpStream, peer: IpAddr, within: Duration) -> Option<IpAddr> {
        let (outcome, client) = match tokio::time::timeout(within, self.header(stream, peer)).await {
            Ok(Ok(Origin::Client(client))) => ("ok", Some(client)),
            Ok(Ok(Origin::Balancer)) => ("local", Some(peer)),
            Ok(Err(Failure::Untrusted)) => ("untrusted", None),
            Ok(Err(Failure::Missing)) => ("missing", None),
            Ok(Err(Failure::Broken(error))) => {
                tracing::debug!(peer.ip = %peer, %error, "no PROXY header came");
                ("broken", None)
            }
            Err(_) => ("timed_out", None),
        };
        self.metrics.proxy_header(outcome);
        if client.is_none() {
            tracing::debug!(peer.ip = %peer, outcome, "closed for its PROXY header");
        }
        client
    }

    async fn header(&self, stream: &mut TcpStream, peer: IpAddr) -> Result<Origin, Failure> {
        if !self.trusted.iter().any(|net| net.contains(&peer)) {
            return Err(Failure::Untrusted);
        }
        let mut header = Vec::new();
        loop {
            let mut seen = [0; 256];
            let count = stream.peek(&mut seen).await.map_err(Failure::Broken)?;
            if count == 0 {
                return Err(Failure::Broken(io::ErrorKind::UnexpectedEof.into()));
            }
            let taken = header.len();
            header.extend_from_slice(seen.get(..count).unwrap_or_default());
            // only the header is taken: what follows is the client's
            let (more, origin) = match proxy_header::read(&header) {
                Read::Header(length, origin) => (length.saturating_sub(taken), Some(origin)),
                Read::Incomplete => (count, None),
                Read::Bad => return Err(Failure::Missing),
            };
            stream.read_exact(seen.get_mut(..more).unwrap_or_default()).await.map_err(Failure::Broken)?;
            if let Some(origin) = origin {
                return Ok(origin);
            }
        }
    }
}
