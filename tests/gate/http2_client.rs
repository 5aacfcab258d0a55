//! A client that speaks HTTP/2.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::RecvStream;
use h2::SendStream;
use h2::client::ResponseFuture;
use h2::client::SendRequest;
use http::Request;
use http::Response;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::client::Reply;
use crate::client::Stream;

/// One connection, and what became of it.
pub struct Http2 {
    pub sender: SendRequest<Bytes>,
    pub ended: JoinHandle<Result<(), h2::Error>>,
    authority: String,
}

impl Http2 {
    /// Begins with the preface, in the clear.
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the gate takes connections");
        stream.set_nodelay(true).expect("a live socket");
        Self::over(stream, address).await
    }

    pub async fn over(stream: impl Stream + 'static, address: SocketAddr) -> Self {
        let (sender, connection) = h2::client::handshake(stream).await.expect("the gate speaks HTTP/2");
        let sender = sender.ready().await.expect("settings");
        Self { sender, ended: tokio::spawn(connection), authority: format!("http://{address}") }
    }

    /// Returns a request with an authority, without a token.
    pub fn request(&self, method: &str, target: &str) -> http::request::Builder {
        Request::builder().method(method).uri(format!("{}{target}", self.authority))
    }

    /// Sends the head, and the body if there is one.
    pub async fn begin(
        &self,
        request: http::request::Builder,
        body: &'static [u8],
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut sender = self.sender.clone().ready().await.expect("room for a stream");
        let request = request.body(()).expect("a request");
        let (answer, mut stream) = sender.send_request(request, body.is_empty()).expect("a request that h2 takes");
        if !body.is_empty() {
            stream.send_data(Bytes::from_static(body), true).expect("an open stream");
        }
        (answer, stream)
    }

    pub async fn send(&self, request: http::request::Builder, body: &'static [u8]) -> Reply {
        let (answer, _) = self.begin(request, body).await;
        read(answer.await.expect("an answer")).await
    }
}

/// Reads an answer to its end.
pub async fn read(answer: Response<RecvStream>) -> Reply {
    let (head, mut stream) = answer.into_parts();
    let headers = head.headers.iter();
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned())).collect();
    let mut reply = Reply { status: head.status.as_u16(), headers, body: Vec::new(), is_whole: true };
    while let Some(data) = stream.data().await {
        let Ok(data) = data else {
            reply.is_whole = false;
            break;
        };
        stream.flow_control().release_capacity(data.len()).expect("a window");
        reply.body.extend_from_slice(&data);
    }
    reply
}
