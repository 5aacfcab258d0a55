//! Where a request came from, as proxies tell one another: `X-Forwarded-For`, `-Proto` and `Forwarded` (RFC 7239).

use std::net::IpAddr;
use std::net::Ipv6Addr;

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::header::Entry;
use http::header::FORWARDED;
use ipnet::IpNet;

use crate::framing::head::is_token_byte;
use crate::peer::Scheme;
use crate::peer::address_text;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Returns the address that the last proxy which is trusted saw: the rightmost one that is no trusted proxy's.
///
/// `Forwarded` counts only where there is no `X-Forwarded-For`: most proxies write the latter and hand on the former
/// as it came.
pub fn client_before(headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let is_proxy = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    if headers.contains_key(&X_FORWARDED_FOR) {
        let chain = joined(headers, &X_FORWARDED_FOR)?;
        return rightmost(chain.rsplit(',').map(|part| part.trim().parse().ok()), is_proxy);
    }
    let chain = joined(headers, &FORWARDED)?;
    let nodes = nodes(&chain)?;
    rightmost(nodes.into_iter().rev().map(address), is_proxy)
}

/// Says for whom, and how, the gate was asked; what others may not say is gone already.
pub fn tell(headers: &mut HeaderMap, peer: IpAddr, scheme: Scheme) {
    if let Entry::Vacant(vacant) = headers.entry(X_FORWARDED_FOR) {
        // an address is text that any header may hold
        if let Ok(chain) = HeaderValue::from_str(address_text(peer, &mut [0; 45])) {
            vacant.insert(chain);
        }
    } else {
        let chain = match joined(headers, &X_FORWARDED_FOR) {
            Some(before) => HeaderValue::try_from(format!("{before}, {peer}")),
            None => HeaderValue::from_str(address_text(peer, &mut [0; 45])),
        };
        if let Ok(chain) = chain {
            headers.insert(X_FORWARDED_FOR, chain);
        }
    }
    if scheme == Scheme::Https && !headers.contains_key(&X_FORWARDED_PROTO) {
        // TLS ends here, and Glance must build its links as clients reach them
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("https"));
    }
    // only an existing chain is made longer: a Glance that reads `Forwarded` looks at nothing else
    if headers.contains_key(FORWARDED) {
        let chain = joined(headers, &FORWARDED).filter(|chain| nodes(chain).is_some());
        let chain = chain.and_then(|before| HeaderValue::try_from(format!("{before}, {}", element(peer, scheme))).ok());
        match chain {
            Some(chain) => drop(headers.insert(FORWARDED, chain)),
            // an open quote would swallow what is written behind it
            None => drop(headers.remove(FORWARDED)),
        }
    }
}

/// Joins the lines of a list (RFC 9110 section 5.3); some proxies add a line of their own.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    if !headers.contains_key(name) {
        return None;
    }
    let lines: Option<Vec<&str>> = headers.get_all(name).iter().map(|line| line.to_str().ok()).collect();
    lines.map(|lines| lines.join(", "))
}

/// Finds the first address, from the right, that is no proxy's. What is no address ends the search: nobody knows what
/// stands before it.
fn rightmost(
    mut from_the_right: impl Iterator<Item = Option<IpAddr>>,
    is_proxy: impl Fn(&IpAddr) -> bool,
) -> Option<IpAddr> {
    from_the_right.find(|address| !address.as_ref().is_some_and(&is_proxy))?
}

fn element(peer: IpAddr, scheme: Scheme) -> String {
    let scheme = scheme.as_str();
    match peer {
        IpAddr::V4(peer) => format!("for={peer};proto={scheme}"),
        IpAddr::V6(peer) => format!("for=\"[{peer}]\";proto={scheme}"),
    }
}

/// Reads the `for` of each element, without its quotes; nothing if any element breaks the grammar (section 4).
fn nodes(chain: &str) -> Option<Vec<&str>> {
    split(chain, b',')?.into_iter().map(|element| node(element.trim_matches([' ', '\t']))).collect()
}

/// Reads the pairs of one element, each of whose names may stand once; without a `for` its node is unknown.
fn node(element: &str) -> Option<&str> {
    let mut node = "unknown";
    let mut seen: Vec<&str> = Vec::new();
    for pair in split(element, b';')?.into_iter().filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=')?;
        let value = unquoted(value)?;
        if !is_token(name) || seen.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return None;
        }
        seen.push(name);
        if name.eq_ignore_ascii_case("for") {
            node = value;
        }
    }
    Some(node)
}

/// Splits at the separator, but not within a quoted string; nothing if one is not closed.
fn split(text: &str, separator: u8) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let (mut start, mut is_quoted, mut is_escaped) = (0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            _ if byte == separator && !is_quoted => {
                parts.push(text.get(start..at)?);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..)?);
    (!is_quoted).then_some(parts)
}

/// Returns what a value stands for: a token, or a quoted string, in which no address needs an escape.
fn unquoted(value: &str) -> Option<&str> {
    match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"'),
        None => is_token(value).then_some(value),
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// Reads a node, perhaps with its port (section 6); `unknown` and made-up names are no addresses.
fn address(node: &str) -> Option<IpAddr> {
    let (host, port) = if let Some(rest) = node.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        (IpAddr::V6(host.parse::<Ipv6Addr>().ok()?), after.strip_prefix(':').or(after.is_empty().then_some("0"))?)
    } else {
        let (host, port) = node.split_once(':').unwrap_or((node, "0"));
        (IpAddr::V4(host.parse().ok()?), port)
    };
    let is_port = port.starts_with('_') || port.parse::<u16>().is_ok();
    is_port.then(|| host.to_canonical())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use http::HeaderMap;
    use http::HeaderName;
    use http::HeaderValue;
    use ipnet::IpNet;

    use super::client_before;
    use super::tell;
    use crate::peer::Scheme;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn client(list: &[(&'static str, &'static str)]) -> Option<String> {
        let trusted: [IpNet; 1] = ["10.0.0.0/8".parse().expect("a network")];
        client_before(&headers(list), &trusted).map(|address| address.to_string())
    }

    fn told(list: &[(&'static str, &'static str)], peer: &str, scheme: Scheme) -> HeaderMap {
        let mut headers = headers(list);
        tell(&mut headers, peer.parse::<IpAddr>().expect("an address"), scheme);
        headers
    }

    #[test]
    fn the_client_is_the_last_one_that_no_proxy_of_ours_is() {
        let long = "for=192.0.2.1;proto=http, For=\"[2001:db8::1]:4711\";by=10.0.0.1 , for=10.0.0.2";
        for (list, expected) in [
            (&[("x-forwarded-for", "192.0.2.1, 192.0.2.2, 10.0.0.3")][..], Some("192.0.2.2")),
            // some proxies add a line of their own: what the client wrote stands before it
            (&[("x-forwarded-for", "192.0.2.66"), ("x-forwarded-for", "192.0.2.2")], Some("192.0.2.2")),
            (&[("x-forwarded-for", "192.0.2.1, unknown, 10.0.0.3")], None),
            (&[("x-forwarded-for", "10.0.0.1")], None),
            (&[("x-forwarded-for", "192.0.2.2"), ("forwarded", "for=192.0.2.66")], Some("192.0.2.2")),
            (&[("forwarded", long)], Some("2001:db8::1")),
            (&[("forwarded", "for=192.0.2.66"), ("forwarded", "for=192.0.2.2")], Some("192.0.2.2")),
            (&[("forwarded", "for=\"192.0.2.2:_port\"")], Some("192.0.2.2")),
            (&[("forwarded", "for=192.0.2.66, for=unknown, for=10.0.0.2")], None),
            (&[("forwarded", "for=192.0.2.66, for=_hidden")], None),
            (&[("forwarded", "for=192.0.2.66, proto=https")], None),
            (&[("forwarded", "for=192.0.2.66, for=192.0.2.2;for=10.0.0.1")], None),
            (&[("forwarded", "for=192.0.2.2;by=\"")], None),
            (&[("forwarded", "for=2001:db8::1")], None),
            (&[("forwarded", "for=\"[2001:db8::1\"")], None),
            (&[("forwarded", "for = 192.0.2.2")], None),
            (&[], None),
        ] {
            assert_eq!(client(list).as_deref(), expected, "{list:?}");
        }
    }

    #[test]
    fn a_separator_in_a_quoted_string_separates_nothing() {
        assert_eq!(
            client(&[("forwarded", r#"by="a,for=192.0.2.66;\",";for=192.0.2.2"#)]).as_deref(),
            Some("192.0.2.2")
        );
    }

    #[test]
    fn the_gate_says_for_whom_it_forwards() {
        let plain = told(&[], "192.0.2.7", Scheme::Http);
        assert_eq!(plain["x-forwarded-for"], "192.0.2.7");
        assert_eq!(plain.len(), 1, "{plain:?}");

        let ended = told(&[], "192.0.2.7", Scheme::Https);
        assert_eq!(ended["x-forwarded-proto"], "https");
        assert_eq!(told(&[("x-forwarded-proto", "http")], "192.0.2.7", Scheme::Https)["x-forwarded-proto"], "http");

        let chain = [("forwarded", "for=192.0.2.1;proto=https"), ("forwarded", "for=192.0.2.2")];
        let chain = told(&chain, "2001:db8::1", Scheme::Http);
        let expected = "for=192.0.2.1;proto=https, for=192.0.2.2, for=\"[2001:db8::1]\";proto=http";
        assert_eq!(chain.get_all("forwarded").iter().collect::<Vec<_>>(), [expected]);

        // what the element could not be put behind is not handed on
        assert!(!told(&[("forwarded", "for=\"192.0.2.1")], "192.0.2.7", Scheme::Http).contains_key("forwarded"));
    }
}
