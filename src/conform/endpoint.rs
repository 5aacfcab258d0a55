//! The endpoint that is judged, and how it is spoken to: one call after the other, each with a deadline.

use bytes::Bytes;
use http::HeaderValue;
use http::Method;
use http::Request;
use http_body_util::Full;

use crate::client::json::JsonAnswer;
use crate::client::json::JsonClient;
use crate::client::json::JsonClientError;
use crate::secret::Secret;

/// A Glance, or what speaks its API.
#[derive(Debug)]
pub struct Endpoint {
    url: String,
    client: JsonClient,
}

/// One call.
#[derive(Debug, Default)]
pub struct Ask {
    /// Its method.
    pub method: String,
    /// Its path and query.
    pub target: String,
    /// Its headers, without the token.
    pub headers: Vec<(String, String)>,
    /// Its body; perhaps no bytes.
    pub body: String,
}

impl Endpoint {
    /// Prepares to speak to the server at `url`, which may end in a path.
    pub fn new(url: &str, client: JsonClient) -> Self {
        Self { url: url.trim_end_matches('/').to_owned(), client }
    }

    /// Returns where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends a call with this token, if there is one.
    ///
    /// # Errors
    /// Tells what kept the answer from coming.
    pub async fn send(&self, ask: &Ask, token: Option<&Secret<HeaderValue>>) -> Result<JsonAnswer, JsonClientError> {
        let method = Method::from_bytes(ask.method.as_bytes()).map_err(|_| JsonClientError::Broken)?;
        let mut request = Request::builder().method(method).uri(format!("{}{}", self.url, ask.target));
        for (name, value) in &ask.headers {
            request = request.header(name, value);
        }
        if let Some(token) = token {
            request = request.header("X-Auth-Token", token.expose().clone());
        }
        let body = Full::new(Bytes::from(ask.body.clone()));
        self.client.send(request.body(body).map_err(|_| JsonClientError::Broken)?).await
    }
}

impl Ask {
    /// Returns a call that takes and sends JSON.
    pub fn json(method: &str, target: &str, body: &str) -> Self {
        let mut headers = vec![("Accept".to_owned(), "application/json".to_owned())];
        if !body.is_empty() {
            headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
        }
        Self { method: method.into(), target: target.into(), headers, body: body.into() }
    }
}
