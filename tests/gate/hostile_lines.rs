//! Hostile lines: line ends, control characters, names, request lines, and ways out of HTTP/1.1 (T3, T4).

use crate::harness::run;
use crate::hostile::Case;
use crate::hostile::Promise;
use crate::hostile::Stage;

/// Heads that are none; each is followed by a hidden update.
const MALFORMED: [(&str, &str); 61] = [
    ("bare line feeds only", "PUT «target» HTTP/1.1\nHost: gate\nX-Auth-Token: «token»\n\n"),
    ("a bare line feed after the request line", "PUT «target» HTTP/1.1\nHost: gate\r\n\r\n"),
    ("a bare line feed after a header", "«put»X-A: b\nX-C: d\r\n\r\n"),
    ("a bare line feed at the end", "«put»X-A: b\r\n\n"),
    ("a bare line feed before the end", "«put»X-A: b\n\r\n"),
    ("a line feed and a carriage return", "«put»X-A: b\n\r\r\n\r\n"),
    ("a bare carriage return in a value", "«put»X-A: b\rX-C: d\r\n\r\n"),
    ("a bare carriage return for a line end", "PUT «target» HTTP/1.1\rHost: gate\r\n\r\n"),
    ("two carriage returns", "«put»X-A: b\r\r\n\r\n"),
    ("carriage returns at the end", "«put»X-A: b\r\n\r\r\n\r\n"),
    ("a carriage return in a name", "«put»X-A\r: b\r\n\r\n"),
    ("a fold", "«put»X-A: b\r\n c\r\n\r\n"),
    ("a fold with a tab", "«put»X-A: b\r\n\tc\r\n\r\n"),
    ("a fold in the first line", "PUT «target» HTTP/1.1\r\n Host: gate\r\n\r\n"),
    ("a fold of blanks", "«put»X-A: b\r\n \r\n\r\n"),
    ("a folded token", "PUT «target» HTTP/1.1\r\nHost: gate\r\nX-Auth-Token:\r\n «token»\r\n\r\n"),
    ("a null in a value", "«put»X-A: b\0c\r\n\r\n"),
    ("a null in a name", "«put»X-A\0: b\r\n\r\n"),
    ("a null before the head", "\0«put»\r\n"),
    ("a bell in a value", "«put»X-A: \x07\r\n\r\n"),
    ("a backspace in a value", "«put»X-A: b\x08\r\n\r\n"),
    ("an escape in a value", "«put»X-A: \x1b[2J\r\n\r\n"),
    ("a delete in a value", "«put»X-A: \x7f\r\n\r\n"),
    ("a vertical tab in a value", "«put»X-A: b\x0bc\r\n\r\n"),
    ("an escape in a name", "«put»X-\x1bA: b\r\n\r\n"),
    ("a blank before a colon", "«put»X-A : b\r\n\r\n"),
    ("a tab before a colon", "«put»X-A\t: b\r\n\r\n"),
    ("a blank in a name", "«put»X A: b\r\n\r\n"),
    ("no name", "«put»: b\r\n\r\n"),
    ("no colon", "«put»X-A\r\n\r\n"),
    ("brackets in a name", "«put»X(A): b\r\n\r\n"),
    ("a slash in a name", "«put»X/A: b\r\n\r\n"),
    ("quotes in a name", "«put»\"X-A\": b\r\n\r\n"),
    ("an at sign in a name", "«put»X@A: b\r\n\r\n"),
    ("an accent in a name", "«put»X-«xE9»: b\r\n\r\n"),
    ("a no-break space before a name", "«put»«xA0»X-A: b\r\n\r\n"),
    ("no host", "PUT «target» HTTP/1.1\r\nX-Auth-Token: «token»\r\n\r\n"),
    ("two hosts", "«put»Host: other\r\n\r\n"),
    ("two equal hosts", "«put»Host: gate\r\n\r\n"),
    ("an empty host", "PUT «target» HTTP/1.1\r\nHost:\r\n\r\n"),
    ("a host with a path", "PUT «target» HTTP/1.1\r\nHost: gate/v2\r\n\r\n"),
    ("a host with a user", "PUT «target» HTTP/1.1\r\nHost: user@gate\r\n\r\n"),
    ("a list of hosts", "PUT «target» HTTP/1.1\r\nHost: gate, other\r\n\r\n"),
    ("a host with a high byte", "PUT «target» HTTP/1.1\r\nHost: g«xE4»te\r\n\r\n"),
    ("HTTP/0.9", "PUT «target»\r\n\r\n"),
    ("HTTP/1.2", "PUT «target» HTTP/1.2\r\nHost: gate\r\n\r\n"),
    ("HTTP/2.0", "PUT «target» HTTP/2.0\r\nHost: gate\r\n\r\n"),
    ("HTTP/2", "PUT «target» HTTP/2\r\nHost: gate\r\n\r\n"),
    ("HTTP/1.10", "PUT «target» HTTP/1.10\r\nHost: gate\r\n\r\n"),
    ("HTTP/01.1", "PUT «target» HTTP/01.1\r\nHost: gate\r\n\r\n"),
    ("http/1.1 in lower case", "PUT «target» http/1.1\r\nHost: gate\r\n\r\n"),
    ("another protocol", "PUT «target» RTSP/1.0\r\nHost: gate\r\n\r\n"),
    ("two blanks", "PUT  «target» HTTP/1.1\r\nHost: gate\r\n\r\n"),
    ("a tab for a blank", "PUT\t«target» HTTP/1.1\r\nHost: gate\r\n\r\n"),
    ("a blank behind", "PUT «target» HTTP/1.1 \r\nHost: gate\r\n\r\n"),
    ("a blank before", " PUT «target» HTTP/1.1\r\nHost: gate\r\n\r\n"),
    ("two targets", "PUT «target» /v2/images HTTP/1.1\r\nHost: gate\r\n\r\n"),
    ("no target", "PUT HTTP/1.1\r\nHost: gate\r\n\r\n"),
    ("a bracket in the method", "PU(T «target» HTTP/1.1\r\nHost: gate\r\n\r\n"),
    ("the preface of HTTP/2 behind an empty line", "\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
    ("two empty lines before", "\r\n\r\n«put»\r\n"),
];

/// Ways out of HTTP/1.1 that are taken away.
const DISARMED: [(&str, &str); 8] = [
    ("h2c", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"),
    ("h2c without Connection", "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"),
    ("HTTP2-Settings alone", "Connection: HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk"),
    ("websocket", "Connection: Upgrade\r\nUpgrade: websocket"),
    ("several protocols", "Connection: upgrade\r\nUpgrade: h2c, websocket, TLS/1.0"),
    ("TE: trailers", "Connection: TE\r\nTE: trailers"),
    ("a proxy's credential", "Proxy-Authorization: Basic eDp5\r\nProxy-Connection: keep-alive"),
    ("Expect of something else", "Expect: a-miracle\r\nKeep-Alive: timeout=9999"),
];

pub fn cases() -> Vec<Case> {
    let malformed = MALFORMED.iter().map(|(name, bytes)| {
        let bytes = format!("{bytes}«hidden»");
        Case::new(&format!("lines: {name}"), bytes, Promise::Ended("request_malformed"))
    });
    let disarmed = DISARMED.iter().map(|(name, lines)| {
        let names = lines.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.to_owned());
        let bytes = format!("«put»{lines}\r\nContent-Length: 22\r\n\r\n«json»");
        Case::new(&format!("tunnels: {name}"), bytes, Promise::Disarmed(names.collect()))
    });
    let head = "HTTP/1.1\r\nHost: gate\r\nX-Auth-Token: «token»\r\n\r\n";
    let tunnels = [
        ("CONNECT to an authority", format!("CONNECT glance:9292 {head}"), "target_ambiguous"),
        ("CONNECT to a path", format!("CONNECT /v2/images {head}"), "method_unsupported"),
        ("CONNECT to a member", format!("CONNECT «target» {head}"), "method_not_allowed"),
        ("TRACE of a path", format!("TRACE /v2/images {head}"), "method_unsupported"),
        ("TRACE of a member", format!("TRACE «target» {head}"), "method_not_allowed"),
        ("TRACE of everything", format!("TRACE * {head}"), "target_ambiguous"),
        ("OPTIONS of everything", format!("OPTIONS * {head}"), "target_ambiguous"),
        ("a method in lower case", format!("put «target» {head}"), "method_not_allowed"),
        ("a method of WebDAV", format!("PROPPATCH «target» {head}"), "method_not_allowed"),
        ("a method nobody knows", format!("PUT!PUT «target» {head}"), "method_not_allowed"),
        ("HEAD of a member", format!("HEAD «target» {head}"), "method_not_allowed"),
        ("POST of a member", format!("POST «target» {head}"), "method_not_allowed"),
        ("PATCH of a member", format!("PATCH «target» {head}"), "method_not_allowed"),
    ]
    .map(|(name, bytes, reason)| Case::new(&format!("tunnels: {name}"), bytes, Promise::Refused(reason)));
    malformed.chain(disarmed).chain(tunnels).collect()
}

#[test]
fn hostile_lines_and_tunnels_never_reach_glance() {
    run(async { Stage::new().await.keep(cases()).await });
}
