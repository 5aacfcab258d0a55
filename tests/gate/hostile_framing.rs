//! Hostile framing: lengths and codings that two servers could read differently (T1).

use crate::harness::run;
use crate::hostile::Case;
use crate::hostile::Promise;
use crate::hostile::Stage;
use crate::hostile::Step;

/// What stands in the head of an update, before chunks that end at once and a hidden update.
const HEADS: [(&str, &str); 92] = [
    ("CL.TE", "Content-Length: 5\r\nTransfer-Encoding: chunked"),
    ("TE.CL", "Transfer-Encoding: chunked\r\nContent-Length: 5"),
    ("CL.TE in lower case", "content-length: 5\r\ntransfer-encoding: chunked"),
    ("CL.TE in mixed case", "cOnTeNt-LeNgTh: 5\r\ntRaNsFeR-eNcOdInG: chunked"),
    ("CL.0 beside chunks", "Content-Length: 0\r\nTransfer-Encoding: chunked"),
    ("0.CL beside chunks", "Transfer-Encoding: chunked\r\nContent-Length: 0"),
    ("huge CL beside chunks", "Content-Length: 999999999999999999\r\nTransfer-Encoding: chunked"),
    ("bad CL beside chunks", "Content-Length: x\r\nTransfer-Encoding: chunked"),
    ("CL and TE far apart", "Content-Length: 5\r\nX-A: 1\r\nX-B: 2\r\nTransfer-Encoding: chunked"),
    ("CL beside identity", "Content-Length: 5\r\nTransfer-Encoding: identity"),
    ("two equal lengths", "Content-Length: 5\r\nContent-Length: 5"),
    ("two lengths, the first longer", "Content-Length: 50\r\nContent-Length: 5"),
    ("two lengths, the last longer", "Content-Length: 5\r\nContent-Length: 50"),
    ("two lengths in different case", "Content-Length: 5\r\ncontent-length: 5"),
    ("three lengths", "Content-Length: 5\r\nContent-Length: 5\r\nContent-Length: 5"),
    ("a length and zero", "Content-Length: 5\r\nContent-Length: 0"),
    ("a list of equal lengths", "Content-Length: 5, 5"),
    ("a list of lengths", "Content-Length: 5,0"),
    ("a length and a comma", "Content-Length: 5,"),
    ("a comma and a length", "Content-Length: ,5"),
    ("two numbers", "Content-Length: 5 5"),
    ("no number", "Content-Length:"),
    ("blanks for a number", "Content-Length:   \t "),
    ("a plus", "Content-Length: +5"),
    ("a minus", "Content-Length: -5"),
    ("minus zero", "Content-Length: -0"),
    ("a leading zero", "Content-Length: 05"),
    ("two zeros", "Content-Length: 00"),
    ("hexadecimal", "Content-Length: 0x5"),
    ("octal", "Content-Length: 0o5"),
    ("a fraction", "Content-Length: 5.0"),
    ("an exponent", "Content-Length: 5e0"),
    ("a parameter", "Content-Length: 5;x=1"),
    ("quotes", "Content-Length: \"5\""),
    ("an underscore", "Content-Length: 1_0"),
    ("a unit", "Content-Length: 5 bytes"),
    ("2^64", "Content-Length: 18446744073709551616"),
    ("2^64 - 1", "Content-Length: 18446744073709551615"),
    ("2^63", "Content-Length: 9223372036854775808"),
    ("nineteen digits", "Content-Length: 1000000000000000000"),
    ("2^64 + 5", "Content-Length: 18446744073709551621"),
    ("Arabic digits", "Content-Length: \u{665}"),
    ("a full-width digit", "Content-Length: \u{ff15}"),
    ("a no-break space", "Content-Length: «xA0»5"),
    ("a vertical tab behind", "Content-Length: 5\x0b"),
    ("a form feed before", "Content-Length: \x0c5"),
    ("a null behind", "Content-Length: 5\0"),
    ("a word", "Content-Length: chunked"),
    ("a blank before the colon", "Content-Length : 5"),
    ("a tab before the colon", "Content-Length\t: 5"),
    ("a blank in the name", "Content Length: 5"),
    ("a folded length", "Content-Length:\r\n 5"),
    ("identity", "Transfer-Encoding: identity"),
    ("gzip", "Transfer-Encoding: gzip"),
    ("gzip, chunked", "Transfer-Encoding: gzip, chunked"),
    ("chunked, gzip", "Transfer-Encoding: chunked, gzip"),
    ("chunked, identity", "Transfer-Encoding: chunked, identity"),
    ("identity, chunked", "Transfer-Encoding: identity, chunked"),
    ("chunked, chunked", "Transfer-Encoding: chunked, chunked"),
    ("a trailing comma", "Transfer-Encoding: chunked,"),
    ("a leading comma", "Transfer-Encoding: ,chunked"),
    ("an empty element", "Transfer-Encoding: , ,chunked"),
    ("an upper-case letter", "Transfer-Encoding: Chunked"),
    ("upper case", "Transfer-Encoding: CHUNKED"),
    ("chunked;x", "Transfer-Encoding: chunked;x"),
    ("a weight", "Transfer-Encoding: chunked;q=0"),
    ("double quotes", "Transfer-Encoding: \"chunked\""),
    ("single quotes", "Transfer-Encoding: 'chunked'"),
    ("xchunked", "Transfer-Encoding: xchunked"),
    ("chunkedx", "Transfer-Encoding: chunkedx"),
    ("an empty coding", "Transfer-Encoding:"),
    ("a vertical tab before chunked", "Transfer-Encoding: \x0bchunked"),
    ("a vertical tab behind chunked", "Transfer-Encoding: chunked\x0b"),
    ("a form feed before chunked", "Transfer-Encoding:\x0cchunked"),
    ("a null behind chunked", "Transfer-Encoding: chunked\0"),
    ("a no-break space before chunked", "Transfer-Encoding: «xA0»chunked"),
    ("an accent in chunked", "Transfer-Encoding: chunk«xE9»d"),
    ("chunked in two words", "Transfer-Encoding: chu nked"),
    ("two codings, chunked twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
    ("two codings, identity last", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
    ("two codings, identity first", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"),
    ("two codings in different case", "Transfer-Encoding: chunked\r\ntransfer-encoding: x"),
    ("a folded coding", "Transfer-Encoding:\r\n chunked"),
    ("a coding folded with a tab", "Transfer-Encoding:\r\n\tchunked"),
    ("a list that is folded", "Transfer-Encoding: chunked\r\n , identity"),
    ("a blank before the colon of the coding", "Transfer-Encoding : chunked"),
    ("a coding that is a continuation", "X-A: b\r\n Transfer-Encoding: chunked"),
    ("a coding after a bare line feed", "X-A: b\nTransfer-Encoding: chunked"),
    ("a coding after a bare carriage return", "X-A: b\rTransfer-Encoding: chunked"),
    ("a coding that ends in a bare line feed", "Transfer-Encoding: chunked\nX-A: b"),
    ("a null in the coding's name", "Transfer\0-Encoding: chunked"),
    ("a soft hyphen in the coding's name", "Transfer«xAD»Encoding: chunked"),
];

pub fn cases() -> Vec<Case> {
    let malformed = Promise::Ended("request_malformed");
    let heads = HEADS.iter().map(|(name, head)| {
        let bytes = format!("«put»{head}\r\n\r\n0\r\n\r\n«hidden»");
        Case::new(&format!("framing: {name}"), bytes, malformed.clone())
    });
    let old = "PUT «target» HTTP/1.0\r\nX-Auth-Token: «token»\r\n";
    let more = [
        ("chunks in HTTP/1.0", format!("{old}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n«hidden»")),
        (
            "chunks and a length in HTTP/1.0",
            format!("{old}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n«hidden»"),
        ),
        (
            "chunks in HTTP/1.0 that is kept alive",
            format!("{old}Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n«hidden»"),
        ),
        (
            "CL.TE on what passes through",
            "«get»Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n«hidden»".into(),
        ),
        ("TE.TE on what passes through", "«get»Transfer-Encoding: chunked, x\r\n\r\n0\r\n\r\n«hidden»".into()),
        (
            "CL.TE on the health check",
            "GET /healthcheck HTTP/1.1\r\nHost: gate\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n\
             0\r\n\r\n«hidden»"
                .into(),
        ),
        (
            "CL.TE on an upload",
            "PUT /v2/images/«image»/file HTTP/1.1\r\nHost: gate\r\nX-Auth-Token: «owner»\r\nContent-Length: 5\r\n\
             Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n«hidden»"
                .into(),
        ),
    ];
    let more = more.map(|(name, bytes)| Case::new(&format!("framing: {name}"), bytes, malformed.clone()));
    heads.chain(more).chain(hidden_in_bodies()).collect()
}

/// Requests that are framed in one way only, and hide an update where another server would see it.
fn hidden_in_bodies() -> impl Iterator<Item = Case> {
    const SERVED: Promise = Promise::Answers(&[Step::Passed]);
    [
        ("GET with a length", "«get»Content-Length: «#hidden»\r\n\r\n«hidden»", SERVED),
        ("GET with chunks", "«get»Transfer-Encoding: chunked\r\n\r\n«#x:hidden»\r\n«hidden»\r\n0\r\n\r\n", SERVED),
        (
            "health check with a length",
            "GET /healthcheck HTTP/1.1\r\nHost: gate\r\nContent-Length: «#hidden»\r\n\r\n«hidden»",
            SERVED,
        ),
        ("update with a length", "«put»Content-Length: «#hidden»\r\n\r\n«hidden»", Promise::Refused("body_malformed")),
        (
            "update with chunks",
            "«put»Transfer-Encoding: chunked\r\n\r\n«#x:hidden»\r\n«hidden»\r\n0\r\n\r\n",
            Promise::Refused("body_malformed"),
        ),
        (
            "refused target with a length",
            "GET /v2//images HTTP/1.1\r\nHost: gate\r\nContent-Length: «#hidden»\r\n\r\n«hidden»",
            Promise::Refused("target_ambiguous"),
        ),
        (
            "no token and a length",
            "PUT «target» HTTP/1.1\r\nHost: gate\r\nContent-Length: «#hidden»\r\n\r\n«hidden»",
            Promise::Refused("token_missing"),
        ),
        (
            "Transfer_Encoding is no coding",
            "«put»Transfer_Encoding: chunked\r\n\r\n0\r\n\r\n«hidden»",
            Promise::Answers(&[Step::Refused("header_ambiguous"), Step::Refused("request_malformed")]),
        ),
        (
            "Content_Length is no length",
            "«put»Content_Length: 5\r\n\r\n0\r\n\r\n«hidden»",
            Promise::Answers(&[Step::Refused("header_ambiguous"), Step::Refused("request_malformed")]),
        ),
        (
            "a length that ends one byte early",
            "«put»Content-Length: 21\r\n\r\n«json»«hidden»",
            Promise::Answers(&[Step::Refused("body_malformed"), Step::Refused("request_malformed")]),
        ),
        (
            "a length that ends one byte late",
            "«put»Content-Length: 23\r\n\r\n«json»«hidden»",
            Promise::Answers(&[Step::Refused("body_malformed"), Step::Refused("method_not_allowed")]),
        ),
    ]
    .into_iter()
    .map(|(name, bytes, promise)| Case::new(&format!("hidden: {name}"), bytes, promise))
}

#[test]
fn hostile_framing_never_reaches_glance() {
    run(async { Stage::new().await.keep(cases()).await });
}
