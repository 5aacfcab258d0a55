//! Which form an error answer takes, as `WebOb` chooses it from `Accept` for Glance.

use http::HeaderMap;
use http::HeaderValue;
use http::header::ACCEPT;

/// The form of an error answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A small HTML page.
    Html,
    /// `{"message", "code", "title"}`.
    Json,
    /// Plain text.
    Text,
}

/// What a client accepts, kept until it is known whether anybody needs to read it.
#[derive(Clone, Debug)]
pub enum Accept {
    /// It says nothing.
    Absent,
    /// It says this.
    Said(HeaderValue),
    /// It says several things, which were read.
    Read(Form),
}

impl Accept {
    /// Keeps what the headers say.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(ACCEPT).iter();
        match (values.next(), values.next()) {
            (None, _) => Self::Absent,
            (Some(value), None) => Self::Said(value.clone()),
            (Some(_), Some(_)) => Self::Read(choose(headers)),
        }
    }

    /// Returns the form that it asks for.
    pub fn form(self) -> Form {
        match self {
            Self::Absent => Form::Text,
            Self::Said(value) => choose(&HeaderMap::from_iter([(ACCEPT, value)])),
            Self::Read(form) => form,
        }
    }
}

/// Chooses the form: absent, empty or unmatched is text, unparsable counts as `*/*`, a tie goes to HTML.
pub fn choose(headers: &HeaderMap) -> Form {
    let mut values = headers.get_all(ACCEPT).iter().map(|value| value.to_str().unwrap_or("?"));
    let Some(first) = values.next() else { return Form::Text };
    // servers join repeated headers with a comma
    let accept = values.fold(first.to_owned(), |joined, value| joined + "," + value);
    if accept.trim().is_empty() {
        return Form::Text;
    }
    let Some(ranges) = accept
        .split(',')
        .map(str::trim)
        .filter(|range| !range.is_empty())
        .map(Range::parse)
        .collect::<Option<Vec<_>>>()
    else {
        return Form::Html;
    };
    let html = quality(&ranges, "text", "html");
    let json = quality(&ranges, "application", "json");
    match (html, json) {
        (0, 0) => Form::Text,
        (html, json) if html >= json => Form::Html,
        _ => Form::Json,
    }
}

/// One media range and its weight in thousandths.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    has_parameters: bool,
    weight: u16,
}

impl<'a> Range<'a> {
    fn parse(range: &'a str) -> Option<Self> {
        let mut parts = range.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let is_token = |word: &str| {
            !word.is_empty()
                && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
        };
        if !is_token(kind) || !is_token(subtype) || (kind == "*" && subtype != "*") {
            return None;
        }
        let mut found = Self { kind, subtype, has_parameters: false, weight: 1000 };
        let mut after_weight = false;
        for parameter in parts {
            let (name, value) = match parameter.split_once('=') {
                Some(pair) => pair,
                // only extensions behind the weight may lack a value
                None if after_weight && is_token(parameter) => continue,
                None => return None,
            };
            if name.eq_ignore_ascii_case("q") {
                found.weight = weight(value)?;
                after_weight = true;
            } else if !after_weight {
                found.has_parameters = true;
            }
        }
        Some(found)
    }

    /// Tells how closely the range names the type; nothing if it does not.
    fn closeness(&self, kind: &str, subtype: &str) -> Option<u8> {
        if self.has_parameters {
            return None;
        }
        if self.kind == "*" {
            return Some(0);
        }
        if !self.kind.eq_ignore_ascii_case(kind) {
            return None;
        }
        match self.subtype {
            "*" => Some(1),
            named if named.eq_ignore_ascii_case(subtype) => Some(2),
            _ => None,
        }
    }
}

/// Parses a weight of at most three decimals (RFC 9110 section 12.4.2).
fn weight(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match whole {
        "1" if decimals.bytes().all(|byte| byte == b'0') => Some(1000),
        "0" => format!("{decimals:0<3}").parse().ok(),
        _ => None,
    }
}

/// Returns the weight of a type: that of the range that names it most closely.
fn quality(ranges: &[Range<'_>], kind: &str, subtype: &str) -> u16 {
    ranges
        .iter()
        .filter_map(|range| Some((range.closeness(kind, subtype)?, range.weight)))
        .max()
        .map_or(0, |(_, weight)| weight)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::HeaderValue;
    use http::header::ACCEPT;

    use super::Form;
    use super::choose;

    #[test]
    fn the_form_is_the_one_that_glance_would_choose() {
        assert_eq!(choose(&HeaderMap::new()), Form::Text);
        for (accept, form) in [
            ("", Form::Text),
            ("application/json", Form::Json),
            ("application/*", Form::Json),
            ("APPLICATION/JSON", Form::Json),
            ("text/html", Form::Html),
            ("*/*", Form::Html),
            ("text/html, application/json", Form::Html),
            ("text/html;q=0.5,application/json", Form::Json),
            ("application/json;q=0.9, */*;q=0.1", Form::Json),
            ("application/json;q=0", Form::Text),
            ("text/plain", Form::Text),
            ("image/png", Form::Text),
            ("application/xml", Form::Text),
            ("garbage", Form::Html),
            ("application/json;q=2", Form::Html),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(choose(&headers), form, "{accept:?}");
        }
    }
}
