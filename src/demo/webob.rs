//! Error answers as Glance's web framework lays them out: HTML, JSON or plain text, chosen by Accept.

use std::fmt::Write as _;

use http::HeaderMap;
use http::StatusCode;
use http::header::ACCEPT;
use http::header::CONTENT_TYPE;
use serde::Serialize;

use crate::demo::answers::Answer;

/// A refusal with its explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The status.
    pub status: StatusCode,
    /// What is explained to the client, neither escaped nor stripped yet.
    pub explanation: String,
}

impl Refused {
    /// Returns a refusal.
    #[must_use]
    pub fn new(status: StatusCode, explanation: impl Into<String>) -> Self {
        Self { status, explanation: explanation.into() }
    }

    /// Returns the answer in the layout that this Accept header asks for.
    #[must_use]
    pub fn answer(&self, headers: &HeaderMap) -> Answer {
        match offered(headers) {
            Offer::Html => {
                let status = status_line(self.status);
                let body = self.body(&escape(&self.explanation));
                let page = format!(
                    "<html>\n <head>\n  <title>{status}</title>\n </head>\n <body>\n  <h1>{status}</h1>\n  {body}\n </body>\n</html>"
                );
                Answer::new(self.status, page).with(CONTENT_TYPE, "text/html; charset=UTF-8")
            }
            Offer::Json => {
                let error = JsonError {
                    message: self.body(&self.explanation),
                    code: status_line(self.status),
                    title: self.status.canonical_reason().unwrap_or_default(),
                };
                Answer::json(self.status, &error)
            }
            Offer::Neither => {
                let text = format!("{}\n\n{}", status_line(self.status), strip(&self.body(&self.explanation)));
                Answer::new(self.status, text).with(CONTENT_TYPE, "text/plain; charset=UTF-8")
            }
        }
    }

    fn body(&self, explanation: &str) -> String {
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            format!("{explanation} <br /><br />\n")
        } else {
            format!("{explanation}<br /><br />\n\n\n")
        }
    }
}

#[derive(Serialize)]
struct JsonError<'a> {
    message: String,
    code: String,
    title: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offer {
    Html,
    Json,
    Neither,
}

fn status_line(status: StatusCode) -> String {
    status.to_string()
}

/// Returns which of the two offers, HTML first, is accepted best; an unreadable header accepts everything.
fn offered(headers: &HeaderMap) -> Offer {
    let values = headers.get_all(ACCEPT).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let joined = values.collect::<Vec<String>>().join(", ");
    let mut ranges = Vec::new();
    for element in joined.split(',').map(str::trim).filter(|element| !element.is_empty()) {
        let Some(range) = Range::parse(element) else {
            return Offer::Html;
        };
        ranges.push(range);
    }
    let html = quality(&ranges, "text", "html");
    let json = quality(&ranges, "application", "json");
    match (html, json) {
        (0, 0) => Offer::Neither,
        (html, json) if html >= json => Offer::Html,
        (_, _) => Offer::Json,
    }
}

struct Range {
    kind: String,
    subtype: String,
    /// In thousandths.
    quality: u16,
    parameters: usize,
}

impl Range {
    fn parse(element: &str) -> Option<Self> {
        let mut parts = element.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        if !is_token(kind) || !is_token(subtype) {
            return None;
        }
        let mut range =
            Self { kind: kind.to_lowercase(), subtype: subtype.to_lowercase(), quality: 1000, parameters: 0 };
        for parameter in parts {
            let (name, value) = parameter.split_once('=')?;
            if name.eq_ignore_ascii_case("q") {
                range.quality = thousandths(value)?;
            } else {
                range.parameters += 1;
            }
        }
        Some(range)
    }

    /// Returns how exactly this range names the type, or nothing when it does not.
    fn matches(&self, kind: &str, subtype: &str) -> Option<u8> {
        match (self.kind.as_str(), self.subtype.as_str()) {
            // what is offered has no parameters
            _ if self.parameters > 0 => None,
            ("*", "*") => Some(0),
            (own, "*") if own == kind => Some(1),
            (own, sub) if own == kind && sub == subtype => Some(2),
            _ => None,
        }
    }
}

fn quality(ranges: &[Range], kind: &str, subtype: &str) -> u16 {
    let matching = ranges.iter().filter_map(|range| Some((range.matches(kind, subtype)?, range.quality)));
    matching.max_by_key(|(exactness, _)| *exactness).map_or(0, |(_, quality)| quality)
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Reads `0`, `0.5`, `1.000` and the like.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let decimals = format!("{decimals:0<3}").parse::<u16>().ok()?;
    match whole {
        "0" => Some(decimals),
        "1" if decimals == 0 => Some(1000),
        _ => None,
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#x27;"),
            other if other.is_ascii() => escaped.push(other),
            other => {
                // writing to a string cannot fail
                let _ = write!(escaped, "&#{};", u32::from(other));
            }
        }
    }
    escaped
}

/// Makes plain text of HTML: line ends become blanks, breaks become line ends, tags vanish.
fn strip(html: &str) -> String {
    let html = html.replace('\n', " ").replace('\r', "").replace("<br />", "\n");
    let mut plain = String::with_capacity(html.len());
    let mut rest = html.as_str();
    while let Some((before, tag)) = rest.split_once('<') {
        let Some((_, after)) = tag.split_once('>') else {
            break;
        };
        plain.push_str(before);
        rest = after;
    }
    plain.push_str(rest);
    plain
}
