//! A walk through every documented answer: request → verdict → reason → answer.

use std::io;
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::Request;
use http::StatusCode;
use http_body_util::Full;

use crate::client::json::JsonAnswer;
use crate::client::json::JsonClient;
use crate::client::json::Limits;
use crate::demo::Demo;
use crate::demo::fault::Fault;
use crate::demo::glance::ImageSpec;
use crate::demo::keystone::TokenSpec;
use crate::demo::overhear::Overheard;
use crate::openstack::request_id::X_OPENSTACK_REQUEST_ID;
use crate::refusal::Refusal;

/// The tour through one demo.
#[derive(Debug)]
pub struct Tour<'a> {
    demo: &'a Demo,
    image: String,
    owner: String,
    member: String,
    stranger: String,
    overheard: Overheard,
    failures: usize,
}

/// One stop of the tour.
struct Stop<'s> {
    says: &'s str,
    method: Method,
    token: Option<&'s str>,
    headers: &'s [(&'s str, &'s str)],
    body: Bytes,
    expected: Option<Refusal>,
}

const OWNER: &str = "b5ce1b78ab6e45ee9242cf941d395bde";
const MEMBER: &str = "ffd183d9af264ee682d8ed13b3d8aa49";
const STRANGER: &str = "2cd362afb58c4661a44d99d95132f7a5";
const PERHAPS: &[u8] = br#"{"status": "perhaps"}"#;
const ACCEPT: &[u8] = br#"{"status": "accepted"}"#;

impl<'a> Tour<'a> {
    /// Sets the scene: an image of one project, shared with another.
    pub fn new(demo: &'a Demo, overheard: Overheard) -> Self {
        let image = demo.glance.add_image(ImageSpec::owned_by(OWNER).member(MEMBER));
        let token = |project| demo.keystone.issue(TokenSpec::member(project));
        Self {
            demo,
            image,
            owner: token(OWNER),
            member: token(MEMBER),
            stranger: token(STRANGER),
            overheard,
            failures: 0,
        }
    }

    /// Makes all stops and prints the table; returns whether every answer was the documented one.
    ///
    /// # Errors
    /// Fails if nobody reads the output.
    pub async fn run(&mut self, out: &mut impl Write) -> io::Result<bool> {
        writeln!(out, "PUT /v2/images/{}/members/{MEMBER}, through the gate:\n", self.image)?;
        writeln!(out, "  {:<44} {:<10} {:<24} answer", "request", "verdict", "reason")?;
        let client = client()?;
        let (owner, member, stranger) = (self.owner.clone(), self.member.clone(), self.stranger.clone());
        let large = Bytes::from(format!(r#"{{"status": "accepted", "x": "{}"}}"#, "x".repeat(70_000)));
        let put = |says, token, body: &'static [u8], expected| Stop {
            says,
            method: Method::PUT,
            token,
            headers: &[],
            body: Bytes::from_static(body),
            expected,
        };
        let is_text = &[("content-type", "text/plain")];
        let stops = [
            put("the member accepts", Some(&*member), ACCEPT, None),
            put("a status that is none of the three", Some(&*member), PERHAPS, Some(Refusal::StatusUnknown)),
            put("a body that is no JSON", Some(&*member), br#"{"status": "#, Some(Refusal::BodyMalformed)),
            put("no token", None, ACCEPT, Some(Refusal::TokenMissing)),
            put("a token nobody vouches for", Some("gAAAAABnever-issued"), ACCEPT, Some(Refusal::TokenInvalid)),
            put("the owner, who may not", Some(&*owner), ACCEPT, Some(Refusal::OwnerForbidden)),
            put("a stranger, who is told nothing", Some(&*stranger), ACCEPT, Some(Refusal::ImageNotFound)),
            Stop {
                method: Method::POST,
                ..put("another method", Some(&*member), ACCEPT, Some(Refusal::MethodNotAllowed))
            },
            Stop { body: large, ..put("a body of 70,000 bytes", Some(&*member), b"", Some(Refusal::BodyTooLarge)) },
            Stop {
                headers: is_text,
                ..put("a body that says it is text", Some(&*member), ACCEPT, Some(Refusal::MediaTypeUnsupported))
            },
        ];
        for stop in stops {
            self.make(out, &client, stop).await?;
        }
        self.demo.keystone.set_fault(Fault::Reset);
        let fresh = self.demo.keystone.issue(TokenSpec::member(MEMBER));
        let outage =
            put("a token Keystone cannot be asked about", Some(&*fresh), ACCEPT, Some(Refusal::KeystoneUnavailable));
        self.make(out, &client, outage).await?;
        self.demo.keystone.set_fault(Fault::None);
        let saw = self.demo.glance.count(|seen| seen.method == "PUT" && seen.target.contains("/members/"));
        writeln!(out, "\n  Glance saw {saw} of these updates, the one that was permitted.\n")?;
        if saw != 1 {
            self.failures += 1;
        }
        Ok(self.failures == 0)
    }

    async fn make(&mut self, out: &mut impl Write, client: &JsonClient, stop: Stop<'_>) -> io::Result<()> {
        let mut request = Request::builder().method(stop.method).uri(self.url()).header("accept", "application/json");
        if stop.headers.is_empty() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in stop.headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = stop.token {
            request = request.header("x-auth-token", token);
        }
        let request = request.body(Full::new(stop.body)).map_err(io::Error::other)?;
        let answer = client.send(request).await.map_err(io::Error::other)?;
        let request_id = answer.headers.get(X_OPENSTACK_REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
        let line = self.overheard.line_of(request_id).await?;
        let expected_status = stop.expected.map_or(StatusCode::OK, Refusal::status);
        let expected_reason = stop.expected.map_or("", Refusal::reason);
        let is_expected = answer.status == expected_status && line.reason == expected_reason;
        if !is_expected {
            self.failures += 1;
        }
        writeln!(
            out,
            "{} {:<44} {:<10} {:<24} {} {}",
            if is_expected { ' ' } else { '!' },
            stop.says,
            line.verdict,
            if line.reason.is_empty() { "-" } else { &line.reason },
            answer.status.as_u16(),
            summary(&answer)
        )
    }

    /// Prints what to try by hand.
    ///
    /// # Errors
    /// Fails if nobody reads the output.
    pub fn invite(&self, out: &mut impl Write) -> io::Result<()> {
        let url = self.url();
        writeln!(out, "Try it yourself; the tokens are good for an hour:\n")?;
        for (who, token, status) in [("the member", &self.member, "rejected"), ("the owner", &self.owner, "accepted")] {
            writeln!(out, "  # {who}")?;
            writeln!(
                out,
                "  curl -i -X PUT {url} \\\n    -H 'X-Auth-Token: {token}' \\\n    -H 'Content-Type: application/json' -H 'Accept: application/json' -d '{{\"status\": \"{status}\"}}'\n"
            )?;
        }
        writeln!(out, "  # the operators' page, for a browser\n  http://{}/\n", self.demo.app.admin_address)?;
        writeln!(out, "  # what the gate counts\n  curl http://{}/metrics\n", self.demo.app.admin_address)?;
        writeln!(out, "Ctrl-C ends the demo.")
    }

    fn url(&self) -> String {
        format!("http://{}/v2/images/{}/members/{MEMBER}", self.demo.app.address, self.image)
    }
}

fn client() -> io::Result<JsonClient> {
    let limits = Limits {
        connect_timeout: Duration::from_secs(5),
        call_timeout: Duration::from_secs(30),
        answer_bytes: 1 << 20,
        idle_connections: 1,
    };
    JsonClient::new(limits, None)
}

/// Returns the gist of an answer: Glance's message, or the member's status.
fn summary(answer: &JsonAnswer) -> String {
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text =
        json.get("message").or_else(|| json.get("status")).and_then(serde_json::Value::as_str).unwrap_or_default();
    let line = text.replace("<br />", " ").replace('\n', " ");
    line.trim().chars().take(72).collect()
}
