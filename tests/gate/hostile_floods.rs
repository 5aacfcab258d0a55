//! Hostile amounts: too many headers, too long lines (T18).

use std::time::Duration;

use crate::client::Connection;
use crate::harness::Gate;
use crate::harness::run;
use crate::hostile::Case;
use crate::hostile::Promise;
use crate::hostile::Stage;

pub fn cases() -> Vec<Case> {
    let large = Promise::Ended("head_too_large");
    let malformed = Promise::Ended("request_malformed");
    [
        ("101 headers", "«put»«X-Many: a~*99»\r\n", &large),
        ("3000 headers", "«put»«X-Many: a~*3000»\r\n", &large),
        ("13000 headers without a value", "«put»«A:~*13000»\r\n", &large),
        ("50000 headers", "«put»«A: b~*50000»\r\n", &large),
        ("a value of 70000 bytes", "«put»X-Long: «a*70000»\r\n\r\n", &large),
        ("a value of a megabyte", "«put»X-Long: «a*1000000»\r\n\r\n", &large),
        ("a value of blanks", "«put»X-Long: « *70000»\r\n\r\n", &large),
        ("a name of 70000 bytes", "«put»«a*70000»: x\r\n\r\n", &large),
        ("a target of 70000 bytes", "GET /«a*70000» HTTP/1.1\r\nHost: gate\r\n\r\n", &large),
        ("a query of 70000 bytes", "GET /?«a*70000» HTTP/1.1\r\nHost: gate\r\n\r\n", &large),
        ("a method of 70000 bytes", "«A*70000» / HTTP/1.1\r\nHost: gate\r\n\r\n", &large),
        ("a host of 70000 bytes", "GET / HTTP/1.1\r\nHost: «a*70000»\r\n\r\n", &large),
        ("a token of 70000 bytes", "GET / HTTP/1.1\r\nHost: gate\r\nX-Auth-Token: «a*70000»\r\n\r\n", &large),
        ("a line that never ends", "«a*100000»", &large),
        ("a header that never ends", "«put»X-Long: «a*100000»", &large),
        ("headers that never end", "«put»«X-A: b~*20000»", &large),
        ("empty lines", "«~*1000»«put»\r\n", &malformed),
        ("bare line feeds", "\n\n\n\n«put»\r\n", &malformed),
        ("nulls", "«\0*500»\r\n\r\n", &malformed),
        ("headers without a name", "«put»«: a~*50»\r\n", &malformed),
        ("a kilobyte of high bytes", "«xFF»«xFF»«xFE»«ÿ*500»\r\n\r\n", &malformed),
    ]
    .map(|(name, bytes, promise)| Case::new(&format!("flood: {name}"), bytes, promise.clone()))
    .into()
}

#[test]
fn hostile_floods_never_reach_glance() {
    run(async { Stage::new().await.keep(cases()).await });
}

#[test]
fn a_hostile_head_that_stops_anywhere_is_answered_in_time() {
    run(async {
        let gate = Gate::start(|config| config.server.connection.head_timeout = Duration::from_millis(20)).await;
        for head in ["\r", "\r\n", "P", "PUT /", "PUT / HTTP/1.1\r", "PUT / HTTP/1.1\r\nHost: g", "\x16\x03\x01\x02\0"]
        {
            let mut connection = Connection::open(gate.address).await;
            connection.send(head).await;
            let reply = connection.try_reply("GET").await.unwrap_or_else(|| panic!("{head:?}: no answer"));
            gate.expect_refusal(&reply, "head_too_slow").await;
            assert_eq!(reply.header("connection"), Some("close"), "{head:?}");
            assert!(connection.is_over().await, "{head:?}");
        }
        gate.expect_unseen();
    });
}
