//! Stands between somebody and a Glance, and changes what passes by.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use glance_gate::client::json::JsonAnswer;
use glance_gate::client::json::JsonClient;
use glance_gate::client::json::Limits;
use glance_gate::demo::glance::Glance;
use http::Request;
use http::Response;
use http::header::CONTENT_LENGTH;
use http::header::HOST;
use http_body_util::BodyExt;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// Stands before a Glance and changes what passes by; ends with the test.
pub struct Between {
    pub url: String,
    accepting: AbortHandle,
}

type Before = Arc<dyn Fn(&mut Request<Full<Bytes>>) + Send + Sync>;
type After = Arc<dyn Fn(&http::Method, &mut JsonAnswer) + Send + Sync>;

impl Between {
    pub async fn start(
        glance: &Glance,
        before: impl Fn(&mut Request<Full<Bytes>>) + Send + Sync + 'static,
        after: impl Fn(&http::Method, &mut JsonAnswer) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (behind, before, after): (_, Before, After) = (glance.url(), Arc::new(before), Arc::new(after));
        let time = Duration::from_secs(10);
        let limits = Limits { connect_timeout: time, call_timeout: time, answer_bytes: 1 << 20, idle_connections: 4 };
        let client = JsonClient::new(limits, None).expect("a client");
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (behind, before, after, client) = (behind.clone(), before.clone(), after.clone(), client.clone());
                let pass = service_fn(move |request: Request<Incoming>| {
                    let (behind, before, after, client) =
                        (behind.clone(), before.clone(), after.clone(), client.clone());
                    async move { pass(request, &behind, &before, &after, &client).await }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), pass));
            }
        });
        Self { url, accepting: accepting.abort_handle() }
    }

    /// Changes answers only.
    pub async fn answers(
        glance: &Glance,
        after: impl Fn(&http::Method, &mut JsonAnswer) + Send + Sync + 'static,
    ) -> Self {
        Self::start(glance, |_| {}, after).await
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(
    request: Request<Incoming>,
    behind: &str,
    before: &Before,
    after: &After,
    client: &JsonClient,
) -> hyper::Result<Response<Full<Bytes>>> {
    let (mut head, body) = request.into_parts();
    head.uri = format!("{behind}{}", head.uri).parse().expect("a URI");
    head.headers.remove(HOST);
    head.headers.remove(CONTENT_LENGTH);
    let method = head.method.clone();
    let mut request = Request::from_parts(head, Full::new(body.collect().await?.to_bytes()));
    before(&mut request);
    let mut answer = client.send(request).await.expect("the stand-in answers");
    after(&method, &mut answer);
    answer.headers.remove(CONTENT_LENGTH);
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    Ok(response)
}
