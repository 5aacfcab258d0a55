//! Properties of the parsers, on thousands of generated inputs; `fuzz/` looks further with the same functions.
//!
//! Inputs are pieces of what a parser knows, mixed with noise: random bytes alone never get past the first check.
//! They are the same in every run; the fuzzer is there to find others.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a property that does not hold, or can not be checked, fails"
)]

mod h1;
mod headers;
mod http2_head;
mod inputs;
mod member_body;
mod policy;
mod proxy_header;
mod response;
mod target;
mod token;

use std::fs;
use std::path::Path;

use proptest::prop_oneof;
use proptest::test_runner::Config;
use proptest::test_runner::RngAlgorithm;
use proptest::test_runner::TestRng;
use proptest::test_runner::TestRunner;

/// Checks the property on the fuzzer's seeds and on so many inputs made of the seeds and the pieces.
fn check(name: &str, property: fn(&[u8]), cases: u32, pieces: &'static [&'static str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(folder).expect("seeds").map(|seed| seed.expect("a seed").path()).collect();
    files.sort();
    let seeds: Vec<_> = files.iter().map(|file| fs::read(file).expect("a readable seed")).collect();
    for seed in &seeds {
        property(seed);
    }
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let outcome = runner.run(&prop_oneof![2 => inputs::edited(seeds, pieces), 1 => inputs::mixed(pieces)], |input| {
        property(&input);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

#[test]
fn a_target_that_reads_like_a_member_path_is_one_or_refused() {
    check(
        "target",
        target::holds,
        40_000,
        &[
            "/v2/images/71c675ab-d94f-49cd-a114-e12490b328d9/members/m",
            "/image",
            "/v2",
            "/v2.17",
            "/v2.1234",
            "/images",
            "/I",
            "/members",
            "/m",
            "/v3",
            "/x",
            "/",
            "//",
            "/.",
            "/..",
            "/%2e%2e",
            "%2F",
            "%5c",
            "\\",
            ";x=1",
            "%6d",
            "%69",
            "%00",
            "%0a",
            "%20",
            "%",
            "%zz",
            "%c3%bc",
            "%ff",
            "?",
            "&",
            ";",
            "=",
            "_method",
            "%5fmethod",
            "+",
            "PUT",
            "#",
            "http://a",
            "/healthcheck",
            "/IMAGES",
            "/Members",
            "%c2%a0",
            "~",
            "-",
            ".json",
        ],
    );
}

#[test]
fn a_body_is_read_as_serde_json_reads_it_or_refused() {
    check(
        "member_body",
        member_body::holds,
        40_000,
        &[
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "\"status\"",
            "\"status\":",
            "\"accepted\"",
            "\"pending\"",
            "\"rejected\"",
            "\"x\":",
            "\"\"",
            "null",
            "true",
            "1",
            "-0",
            "1.5",
            "1e400",
            "18446744073709551616",
            "\"\\u0073tatus\"",
            "\"\\ud800\"",
            "\"\u{e4}\"",
            " ",
            "\n",
            "\u{feff}",
            "{\"status\":\"accepted\"",
            "{\"status\":",
            ",\"x\":",
            "[[[[[[",
            "]]]]]]",
            "{\"a\":{\"a\":",
            "}}",
            "NaN",
            "{\"status\":\"accepted\",\"x\":1",
            "\\",
            "\"",
            "'",
        ],
    );
}

#[test]
fn a_token_is_taken_as_it_came_and_believed_only_if_it_is_signed() {
    check(
        "token",
        token::holds,
        4_000,
        &[
            token::SIGNED,
            "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9",
            "eyJhbGciOiJub25lIn0",
            "eyJhbGciOiJIUzI1NiJ9",
            "eyJzdWIiOiJ1IiwiZXhwIjo5OTk5OTk5OTk5fQ",
            ".",
            "..",
            "=",
            "\n",
            "!",
            " ",
            "gAAAAAB",
            "A",
            "-_",
            "+/",
            "\u{e4}",
            "\t",
        ],
    );
}

#[test]
fn what_gets_through_the_header_firewall_can_be_read_in_one_way() {
    check(
        "headers",
        headers::holds,
        10_000,
        &[
            "\n",
            "\n",
            "\n",
            ": ",
            ":",
            ",",
            "x-auth-token: t",
            "X-Roles: admin",
            "x_roles: admin",
            "x-forwarded-for: 10.0.0.1",
            "X-Forwarded-Proto: https",
            "forwarded: for=1",
            "connection: close",
            "connection: x-auth-token",
            "Connection: ",
            "te",
            "accept: ",
            "application/vnd.openstack.images-v2",
            "content-type: ",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "MULTIPART/x",
            "transfer-encoding: chunked",
            "content-length: 1",
            "expect: 100-continue",
            "x-service-token: s",
            "x-service-roles: s",
            "X-Identity-Status: Confirmed",
            "openstack-system-scope: all",
            "x-http-method-override: PUT",
            "upgrade: h2c",
            "x-user-id: u",
            "x-tenant: t",
            "_",
            "\u{e4}",
            "keep-alive",
            "x-image-meta-name: n",
        ],
    );
}

#[test]
fn the_server_reads_the_requests_that_hyper_reads() {
    check(
        "h1",
        h1::holds,
        10_000,
        &[
            "GET / HTTP/1.1\r\nhost: a\r\n",
            "PUT /x HTTP/1.1\r\nhost: a\r\n",
            "GET / HTTP/1.0\r\n",
            "POST * HTTP/1.1\r\nhost: a\r\n",
            "content-length: 5\r\n\r\nabcde",
            "content-length: 38\r\n\r\n",
            "content-length: 0\r\n",
            "transfer-encoding: chunked\r\n\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "Content-Length: 05\r\n",
            "connection: close\r\n",
            "connection: upgrade\r\n",
            "connection: keep-alive\r\n",
            "upgrade: h2c\r\n",
            "expect: 100-continue\r\n",
            "x: y\r\n",
            " folded\r\n",
            "x : y\r\n",
            "\r\n",
            "\n",
            "\r",
            "5\r\nabcde\r\n",
            "0\r\n\r\n",
            "0\r\nx: y\r\n\r\n",
            "5;a=b\r\n",
            "00005\r\n",
            "FFFFFFFFFFFFFFFF\r\n",
            "a",
            "GET /second HTTP/1.1\r\nhost: a\r\n\r\n",
            "PUT",
            " ",
            ":",
            "\0",
            "host: b\r\n",
            "CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n",
            "5;a=\"b\"\r\n",
            "5 \r\n",
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        ],
    );
}

#[test]
fn what_the_own_client_takes_for_an_answer_is_the_same_to_hyper() {
    check(
        "response",
        response::holds,
        3_000,
        &[
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.0 200 OK\r\n",
            "HTTP/1.1 204 No Content\r\n",
            "HTTP/1.1 304 Not Modified\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\n",
            "HTTP/1.1 404\r\n",
            "HTTP/1.1 599 \u{e4}\r\n",
            "HTTP/2.0 200 OK\r\n",
            "HTTP/1.1 99 OK\r\n",
            "content-length: 5\r\n",
            "Content-Length: 05\r\n",
            "content-length: 5, 5\r\n",
            "content-length: 99\r\n",
            "content-length:\r\n",
            "transfer-encoding: chunked\r\n",
            "Transfer-Encoding: Chunked\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: gzip\r\n",
            "connection: close\r\n",
            "connection: keep-alive\r\n",
            "connection: x, close\r\n",
            "x: y\r\n",
            "x:\t y \r\n",
            "x : y\r\n",
            " folded\r\n",
            "x: a\u{7f}b\r\n",
            "\r\n",
            "\n",
            "\r",
            "\r\nabcde",
            "\r\n5\r\nabcde\r\n0\r\n\r\n",
            "5\r\nabcde\r\n",
            "0\r\n\r\n",
            "0\r\nx: y\r\n\r\n",
            "5;a=b\r\n",
            "00005\r\n",
            "5 \r\n",
            "FFFFFFFFFFFFFFFF\r\n",
            "a",
            "\0",
            ":",
        ],
    );
}

#[test]
fn a_head_of_http_2_that_passes_is_one_that_http_1_1_carries_on() {
    check(
        "http2_head",
        http2_head::holds,
        30_000,
        &[
            "GET http://gate/v2/images\n",
            "PUT https://gate:9292/x?y\n",
            "OPTIONS *\n",
            "CONNECT gate:1\n",
            "POST ftp://gate/\n",
            "GET http://user@gate/#x\n",
            "host:gate\n",
            "host:GATE:9292\n",
            "host:a, b\n",
            "cookie:a=b\n",
            "cookie:\n",
            "content-length:0\n",
            "content-length:17\n",
            "content-length:05\n",
            "content-length: 5\n",
            "te:trailers\n",
            "expect:100-continue\n",
            "x-token: \n",
            "x-tab:a\tb\n",
            "x-tab:\t\n",
            "x-high:\u{e4}\n",
            "http2-settings:AAMAAABk\n",
            "\r\n",
            "\n",
            ":",
            "\0",
            " ",
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        ],
    );
}

#[test]
fn a_proxy_header_is_read_alike_by_another_parser() {
    check(
        "proxy_header",
        proxy_header::holds,
        30_000,
        &[
            "PROXY ",
            "TCP4 ",
            "TCP6 ",
            "UNKNOWN",
            "192.0.2.1 ",
            "::1 ",
            "2001:db8::1 ",
            "::ffff:192.0.2.1 ",
            "1 ",
            "65535",
            "65536",
            "0",
            "\r\n",
            "\r\n\r\n\0\r\nQUIT\n",
            "\u{21}\u{11}\0\u{c}",
            "\u{21}\u{21}\0\u{24}",
            "\u{20}\0\0\0",
            "\u{21}\u{31}\0\0",
            "abcdefghijkl",
            "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            " ",
        ],
    );
}

#[test]
fn a_policy_is_read_or_refused_and_says_the_same_in_its_own_words() {
    check(
        "policy",
        policy::holds,
        20_000,
        &[
            "a",
            "b",
            ": ",
            "\n",
            "- ",
            "  ",
            "[",
            "]",
            "{",
            "}",
            ", ",
            "\"",
            "'",
            "&x ",
            "*x",
            "! ",
            "!!str ",
            "#",
            "|",
            ">",
            "---\n",
            "\t",
            "~",
            "no",
            "1:30",
            "0",
            "@",
            "!",
            "role:",
            "rule:a",
            "rule:b",
            "user.id:",
            "'x':",
            "True:",
            "(",
            ")",
            " and ",
            " or ",
            " not ",
            "%(project_id)s",
            "%(visibility)s",
            "%(none)s",
            "%",
            "%(",
            "%d",
            "%%",
            "é",
            "\\",
        ],
    );
}
