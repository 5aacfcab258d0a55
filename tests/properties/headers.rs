//! What gets through the header firewall can be read in one way and says nothing a client must not say.

use std::net::IpAddr;
use std::net::Ipv4Addr;

use futures_util::FutureExt;
use glance_gate::body::Body;
use glance_gate::call::Account;
use glance_gate::call::Answer;
use glance_gate::call::Call;
use glance_gate::call::Refused;
use glance_gate::edge::headers::HeadersLayer;
use glance_gate::openstack::request_id::RequestId;
use glance_gate::openstack::token::X_AUTH_TOKEN;
use glance_gate::peer::Peer;
use glance_gate::refusal::Refusal;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Request;
use http::Response;
use http::header;
use tower::Layer;
use tower::Service;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
const MAX_BYTES: usize = 4096;

/// How names begin that make Glance believe something; the one exception is a credential.
const IDENTITY: [&str; 8] =
    ["x-identity-", "x-project-", "x-domain-", "x-tenant", "x-user", "x-role", "x-service-", "x-is-admin-project"];

/// Names that make some server believe something or run another request.
const HOP_BY_HOP: [&str; 12] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "content-length",
    "expect",
];

const FORGED: [&str; 6] = [
    "openstack-system-scope",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];

/// Tells whether only a trusted proxy may use the name; the gate itself says for whom it forwards.
fn is_proxys(name: &str) -> bool {
    const PREFIXES: [&str; 5] = ["x-ssl-", "ssl-client-", "client-cert", "x-client-cert", "x-client-verify"];
    matches!(name, "forwarded" | "x-real-ip")
        || (name.starts_with("x-forwarded-") && name != "x-forwarded-for")
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Checks the property on header lines, `name: value`.
pub fn holds(lines: &[u8]) {
    let mut sent = HeaderMap::new();
    for line in lines.split(|&byte| byte == b'\n').take(64) {
        let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value).trim_ascii();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            sent.append(name, value);
        }
    }
    check(&sent, &inspect(sent.clone(), false), false);
    check(&sent, &inspect(sent.clone(), true), true);
}

/// Sends headers through the firewall: what the next service sees, or why not.
fn inspect(headers: HeaderMap, is_trusted: bool) -> Result<HeaderMap, Refusal> {
    let trusted = [PEER.into()];
    let layer = HeadersLayer::new(if is_trusted { &trusted } else { &[] }, MAX_BYTES);
    let (mut head, ()) = Request::new(()).into_parts();
    head.headers = headers;
    let account = Box::new(Account::new(RequestId::random(), Peer::plain(PEER), &head));
    let mut seen = None;
    let inner = tower::service_fn(|call: Call| {
        seen = Some(call.head.headers);
        let answer = Answer { response: Response::new(Body::Empty), account: call.account };
        std::future::ready(Ok::<_, Box<Refused>>(answer))
    });
    let answered = layer.layer(inner).call(Call { head: Box::new(head), body: Body::Empty, account }).now_or_never();
    match answered.ok_or("it waits for nothing") {
        Ok(Ok(_)) => seen.ok_or(Refusal::HeaderAmbiguous),
        Ok(Err(refused)) => Err(refused.refusal),
        Err(cause) => panic!("{cause}"),
    }
}

fn check(sent: &HeaderMap, seen: &Result<HeaderMap, Refusal>, is_trusted: bool) {
    let seen = match seen {
        Ok(seen) => seen,
        Err(refusal) => {
            let known = [Refusal::HeadTooLarge, Refusal::HeaderAmbiguous, Refusal::VendorAccept, Refusal::FormBody];
            assert!(known.contains(refusal), "{refusal:?}");
            return;
        }
    };
    for name in seen.keys().map(HeaderName::as_str) {
        assert!(!name.contains('_'), "{name} is a dash to WSGI");
        let is_identity = IDENTITY.iter().any(|start| name.starts_with(start));
        assert!(name == "x-service-token" || !is_identity, "{name}");
        assert!(!FORGED.contains(&name), "{name}");
        assert!(is_trusted || !is_proxys(name), "{name}");
    }
    for name in HOP_BY_HOP {
        assert!(!seen.contains_key(name), "{name} belongs to one connection");
    }
    let lower = |name| -> String {
        let values = seen.get_all(name).iter().map(HeaderValue::as_bytes).map(<[u8]>::to_ascii_lowercase);
        values.map(|value| String::from_utf8_lossy(&value).into_owned()).collect()
    };
    assert!(!lower(header::ACCEPT).contains("vnd.openstack.images"));
    assert!(
        !lower(header::CONTENT_TYPE).contains("x-www-form-urlencoded")
            && !lower(header::CONTENT_TYPE).contains("multipart/")
    );
    assert!(sent.get_all(X_AUTH_TOKEN).iter().eq(seen.get_all(X_AUTH_TOKEN)), "credentials are left alone");
    check_chain(seen, is_trusted);
}

fn check_chain(seen: &HeaderMap, is_trusted: bool) {
    let chain: Vec<_> = seen.get_all("x-forwarded-for").iter().map(HeaderValue::as_bytes).collect();
    let peer = PEER.to_string();
    let [chain] = chain.as_slice() else { panic!("one chain, not {}", chain.len()) };
    assert!(chain.ends_with(peer.as_bytes()), "the peer stands last");
    assert!(is_trusted || *chain == peer.as_bytes(), "a stranger's chain is not believed");
}
