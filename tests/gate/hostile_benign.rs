//! Benign requests that look hostile: all of them must pass, unchanged.

use crate::harness::run;
use crate::hostile::Case;
use crate::hostile::Promise;
use crate::hostile::Stage;
use crate::hostile::Step;
use crate::hostile::Step::Over;
use crate::hostile::Step::Passed;
use crate::hostile::Step::Served;

const LIST: &str = "HTTP/1.1\r\nHost: gate\r\nX-Auth-Token: «token»\r\n\r\n";

pub fn cases() -> Vec<Case> {
    let updates: [(&str, &str, &'static [Step]); 26] = [
        ("a plain update", "«update»", &[Served]),
        (
            "names in lower case",
            "PUT «target» HTTP/1.1\r\nhost: gate\r\nx-auth-token: «token»\r\ncontent-length: 22\r\n\r\n«json»",
            &[Served],
        ),
        (
            "names in upper case",
            "PUT «target» HTTP/1.1\r\nHOST: gate\r\nX-AUTH-TOKEN: «token»\r\nCONTENT-LENGTH: 22\r\n\r\n«json»",
            &[Served],
        ),
        (
            "no blank after colons",
            "PUT «target» HTTP/1.1\r\nHost:gate\r\nX-Auth-Token:«token»\r\nContent-Length:22\r\n\r\n«json»",
            &[Served],
        ),
        ("blanks around values", "«put»Content-Length: \t 22 \t\r\nX-A:  b  \r\n\r\n«json»", &[Served]),
        ("a high byte in a value", "«put»X-A: caf«xE9»\r\nContent-Length: 22\r\n\r\n«json»", &[Served]),
        ("a tab in a value", "«put»X-A: a\tb\r\nContent-Length: 22\r\n\r\n«json»", &[Served]),
        ("an empty value", "«put»X-A:\r\nContent-Length: 22\r\n\r\n«json»", &[Served]),
        ("odd but good names", "«put»!#$%&'*+-.^`|~9: b\r\nContent-Length: 22\r\n\r\n«json»", &[Served]),
        ("an empty line before", "\r\n«update»", &[Served]),
        ("an empty line between", "«update»\r\n«update»", &[Served, Served]),
        ("two updates at once", "«update»«update»", &[Served, Served]),
        ("keep-alive", "«put»Connection: keep-alive\r\nContent-Length: 22\r\n\r\n«json»", &[Served]),
        ("close", "«put»Connection: close\r\nContent-Length: 22\r\n\r\n«json»", &[Served, Over]),
        (
            "HTTP/1.0",
            "PUT «target» HTTP/1.0\r\nHost: gate\r\nX-Auth-Token: «token»\r\nContent-Length: 22\r\n\r\n«json»",
            &[Served, Over],
        ),
        (
            "HTTP/1.0 that is kept alive",
            "PUT «target» HTTP/1.0\r\nHost: gate\r\nConnection: keep-alive\r\nX-Auth-Token: «token»\r\n\
             Content-Length: 22\r\n\r\n«json»",
            &[Served],
        ),
        ("one chunk", "«put»Transfer-Encoding: chunked\r\n\r\n16\r\n«json»\r\n0\r\n\r\n", &[Served]),
        (
            "a chunk with leading zeros",
            "«put»Transfer-Encoding: chunked\r\n\r\n0016\r\n«json»\r\n000\r\n\r\n",
            &[Served],
        ),
        (
            "chunks with extensions",
            "«put»Transfer-Encoding: chunked\r\n\r\n16;a=b;c=\"d e\"\r\n«json»\r\n0;x\r\n\r\n",
            &[Served],
        ),
        (
            "chunks with a trailer",
            "«put»Transfer-Encoding: chunked\r\n\r\n16\r\n«json»\r\n0\r\nX-Sum: 1\r\n\r\n",
            &[Served],
        ),
        ("a tab before the coding", "«put»Transfer-Encoding:\tchunked\r\n\r\n16\r\n«json»\r\n0\r\n\r\n", &[Served]),
        ("an expectation", "«put»Expect: 100-continue\r\nContent-Length: 22\r\n\r\n«json»", &[Served]),
        (
            "a media type with a parameter",
            "«put»Content-Type: application/json; charset=UTF-8\r\nContent-Length: 22\r\n\r\n«json»",
            &[Served],
        ),
        ("ninety headers", "«put»«X-Many: a~*87»Content-Length: 22\r\n\r\n«json»", &[Served]),
        ("a value of 60000 bytes", "«put»X-Long: «a*60000»\r\nContent-Length: 22\r\n\r\n«json»", &[Served]),
        ("an update, a list, an update", "«update»«get»\r\n«update»", &[Served, Passed, Served]),
    ];
    let lists = [
        ("a query with escapes that are none", "/v2/images?name=%zz&b=%"),
        ("a query with slashes and dots", "/v2/images?x=//../..%2f"),
        ("a query that resembles a method", "/v2/images?x_method=1&method=_method"),
        ("a target of 30000 bytes", "/v2/images?name=«a*30000»"),
        ("a path with marks", "/v2/images?a:b@c,d~e!$'()*&{x}=[y]|^z"),
        ("two question marks", "/v2/images??limit=1?"),
        ("a version with a minor", "/v2.9/images"),
    ];
    let lists =
        lists.map(|(name, target)| Case::new(&format!("benign: {name}"), format!("GET {target} {LIST}"), one_list()));
    let updates =
        updates.map(|(name, bytes, steps)| Case::new(&format!("benign: {name}"), bytes, Promise::Answers(steps)));
    updates.into_iter().chain(lists).collect()
}

fn one_list() -> Promise {
    Promise::Answers(&[Passed])
}

#[test]
fn benign_requests_that_look_hostile_pass() {
    run(async {
        let stage = Stage::new().await;
        stage.keep(cases()).await;
        let counted = stage.gate.metrics().await;
        assert!(!counted.contains("glance_gate_refusals_total{"), "{counted}");
    });
}

#[test]
fn benign_targets_that_look_hostile_pass_byte_for_byte() {
    run(async {
        let stage = Stage::new().await;
        for case in cases().iter().filter(|case| case.bytes.starts_with("GET ")) {
            stage.check(case, crate::hostile::Pieces::Whole).await;
            let bytes = String::from_utf8(stage.bytes(&case.bytes)).expect("ASCII");
            let sent = bytes.split(' ').nth(1).expect("a target");
            assert_eq!(stage.gate.seen().pop().expect("the call").target, sent);
        }
    });
}

#[test]
fn the_least_a_benign_request_can_be_passes() {
    run(async {
        let stage = Stage::new().await;
        for bytes in ["GET / HTTP/1.1\r\nHost: g\r\n\r\n", "GET / HTTP/1.1\r\nhost:g\r\n\r\n"] {
            let mut connection = crate::client::Connection::open(stage.gate.address).await;
            connection.send(bytes).await;
            assert_eq!(connection.reply("GET").await.status, 300);
            assert_eq!(stage.gate.seen().pop().expect("the call").header_values("host"), ["g"]);
        }
    });
}
