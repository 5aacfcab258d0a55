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

/// The tour through one demo.
#[derive(Debug)]
pub struct Tour<'a> {
    demo: &'a Demo,
    image: String,
    owner: String,
    member: String,
    stranger: String,
    failures: usize,
}

/// One stop of the tour.
struct Stop<'s> {
    says: &'s str,
    method: Method,
    token: Option<&'s str>,
    headers: &'s [(&'s str, &'s str)],
    body: Bytes,
    status: StatusCode,
    verdict: &'s str,
}

const OWNER: &str = "b5ce1b78ab6e45ee9242cf941d395bde";
const MEMBER: &str = "ffd183d9af264ee682d8ed13b3d8aa49";
const STRANGER: &str = "2cd362afb58c4661a44d99d95132f7a5";
const ACCEPT: &[u8] = br#"{"status": "accepted"}"#;

impl<'a> Tour<'a> {
    /// Sets the scene: an image of one project, shared with another.
    pub fn new(demo: &'a Demo) -> Self {
        let image = demo.glance.add_image(ImageSpec::owned_by(OWNER).member(MEMBER));
        let token = |project| demo.keystone.issue(TokenSpec::member(project));
        Self { demo, image, owner: token(OWNER), member: token(MEMBER), stranger: token(STRANGER), failures: 0 }
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
        let put = |says, token, body: &'static [u8], status, verdict| Stop {
            says,
            method: Method::PUT,
            token,
            headers: &[],
            body: Bytes::from_static(body),
            status,
            verdict,
        };
        let stops = [
            put("the member accepts", Some(&*member), ACCEPT, StatusCode::OK, "permitted -"),
            put(
                "a status that is none of the three",
                Some(&*member),
                br#"{"status": "perhaps"}"#,
                StatusCode::BAD_REQUEST,
                "refused status_unknown",
            ),
            put(
                "a body that is no JSON",
                Some(&*member),
                br#"{"status": "#,
                StatusCode::BAD_REQUEST,
                "refused body_malformed",
            ),
            put("no token", None, ACCEPT, StatusCode::UNAUTHORIZED, "refused token_missing"),
            put(
                "a token nobody vouches for",
                Some("gAAAAABnever-issued"),
                ACCEPT,
                StatusCode::UNAUTHORIZED,
                "refused token_invalid",
            ),
            put("the owner, who may not", Some(&*owner), ACCEPT, StatusCode::FORBIDDEN, "refused owner_forbidden"),
            put(
                "a stranger, who is told nothing",
                Some(&*stranger),
                ACCEPT,
                StatusCode::NOT_FOUND,
                "refused image_not_found",
            ),
            Stop {
                method: Method::POST,
                ..put(
                    "another method",
                    Some(&*member),
                    ACCEPT,
                    StatusCode::METHOD_NOT_ALLOWED,
                    "refused method_not_allowed",
                )
            },
            Stop {
                body: large,
                ..put(
                    "a body of 70,000 bytes",
                    Some(&*member),
                    b"",
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "refused body_too_large",
                )
            },
            Stop {
                headers: &[("content-type", "text/plain")],
                ..put(
                    "a body that says it is text",
                    Some(&*member),
                    ACCEPT,
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "refused media_type_unsupported",
                )
            },
        ];
        for stop in stops {
            self.make(out, &client, stop).await?;
        }
        self.demo.keystone.set_fault(Fault::Reset);
        let fresh = self.demo.keystone.issue(TokenSpec::member(MEMBER));
        let outage = put(
            "a token Keystone cannot be asked about",
            Some(&*fresh),
            ACCEPT,
            StatusCode::SERVICE_UNAVAILABLE,
            "refused keystone_unavailable",
        );
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
        let (verdict, reason) = stop.verdict.split_once(' ').unwrap_or((stop.verdict, "-"));
        let sign = if answer.status == stop.status { ' ' } else { '!' };
        if answer.status != stop.status {
            self.failures += 1;
        }
        writeln!(
            out,
            "{sign} {:<44} {verdict:<10} {reason:<24} {} {}",
            stop.says,
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
