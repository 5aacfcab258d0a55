//! Hostile chunks: sizes, extensions, line ends and trailers (T2).

use crate::harness::run;
use crate::hostile::Case;
use crate::hostile::Promise;
use crate::hostile::Stage;

/// What stands where the chunks of an update should be; the good body is `16` in hexadecimal digits long.
const BROKEN: [(&str, &str); 49] = [
    ("no number", "zz\r\n«json»\r\n0\r\n\r\n"),
    ("a letter too far", "g\r\n«json»\r\n0\r\n\r\n"),
    ("a minus", "-16\r\n«json»\r\n0\r\n\r\n"),
    ("a plus", "+16\r\n«json»\r\n0\r\n\r\n"),
    ("a prefix", "0x16\r\n«json»\r\n0\r\n\r\n"),
    ("a blank before", " 16\r\n«json»\r\n0\r\n\r\n"),
    ("a blank behind", "16 \r\n«json»\r\n0\r\n\r\n"),
    ("a tab behind", "16\t\r\n«json»\r\n0\r\n\r\n"),
    ("a vertical tab behind", "16\x0b\r\n«json»\r\n0\r\n\r\n"),
    ("a null behind", "16\0\r\n«json»\r\n0\r\n\r\n"),
    ("a blank within", "1 6\r\n«json»\r\n0\r\n\r\n"),
    ("an underscore within", "1_6\r\n«json»\r\n0\r\n\r\n"),
    ("a comma", "16,16\r\n«json»\r\n0\r\n\r\n"),
    ("a point", "16.0\r\n«json»\r\n0\r\n\r\n"),
    ("full-width digits", "\u{ff11}\u{ff16}\r\n«json»\r\n0\r\n\r\n"),
    ("an empty size", "\r\n«json»\r\n0\r\n\r\n"),
    ("an empty size with an extension", ";x\r\n«json»\r\n0\r\n\r\n"),
    ("seventeen digits", "00000000000000016\r\n«json»\r\n0\r\n\r\n"),
    ("2^64 - 1", "FFFFFFFFFFFFFFFF\r\n«json»\r\n0\r\n\r\n"),
    ("2^64 + 22", "10000000000000016\r\n«json»\r\n0\r\n\r\n"),
    ("2^60 + 1", "1000000000000001\r\n«json»\r\n0\r\n\r\n"),
    ("2^63", "8000000000000000\r\n«json»\r\n0\r\n\r\n"),
    ("a flood of zeros", "«0*5000»16\r\n«json»\r\n0\r\n\r\n"),
    ("a bare line feed", "16\n«json»\r\n0\r\n\r\n"),
    ("a bare carriage return", "16\r«json»\r\n0\r\n\r\n"),
    ("two carriage returns", "16\r\r\n«json»\r\n0\r\n\r\n"),
    ("a line feed in an extension", "16;a\nb\r\n«json»\r\n0\r\n\r\n"),
    ("a carriage return in an extension", "16;a\rb\r\n«json»\r\n0\r\n\r\n"),
    ("a null in an extension", "16;a\0\r\n«json»\r\n0\r\n\r\n"),
    ("a high byte in an extension", "16;a=«xFF»\r\n«json»\r\n0\r\n\r\n"),
    ("an extension of 5000 bytes", "16;«a*5000»\r\n«json»\r\n0\r\n\r\n"),
    ("extensions of 5000 bytes in all", "«1;~ ~*5»«1;aaaaaaaaaaaaaaaaaaa~ ~*250»0\r\n\r\n"),
    ("data longer than its size", "15\r\n«json»\r\n0\r\n\r\n"),
    ("data shorter than its size", "17\r\n«json»\r\n0\r\n\r\n"),
    ("data that ends in a bare line feed", "16\r\n«json»\n0\r\n\r\n"),
    ("data that ends in a bare carriage return", "16\r\n«json»\r0\r\n\r\n"),
    ("data that ends in two other bytes", "16\r\n«json»xx0\r\n\r\n"),
    ("data without an end", "16\r\n«json»0\r\n\r\n"),
    ("a last chunk with a bare line feed", "16\r\n«json»\r\n0\n\r\n"),
    ("an end with a bare line feed", "16\r\n«json»\r\n0\r\n\n"),
    ("an end of two bare line feeds", "16\r\n«json»\r\n0\n\n"),
    ("an end with two carriage returns", "16\r\n«json»\r\n0\r\r\n\r\n"),
    ("an extension with a bare line feed at the end", "16\r\n«json»\r\n0;x\n\r\n"),
    ("a trailer with a bare line feed", "16\r\n«json»\r\n0\r\nX-A: b\n\r\n"),
    ("a trailer with a carriage return", "16\r\n«json»\r\n0\r\nX-A: b\rc\r\n\r\n"),
    ("a trailer with a null", "16\r\n«json»\r\n0\r\nX-A: b\0\r\n\r\n"),
    ("a trailer without a name", "16\r\n«json»\r\n0\r\n: b\r\n\r\n"),
    ("a trailer that is folded", "16\r\n«json»\r\n0\r\n X-A: b\r\n\r\n"),
    ("trailers of 5000 bytes", "16\r\n«json»\r\n0\r\n«X-A: bbbbbbbbbbbbbbbb~*250»\r\n"),
];

/// Trailers that are grammar, but not a client's to send.
const TRAILERS: [(&str, &str); 12] = [
    ("a length", "Content-Length: 0"),
    ("a coding", "Transfer-Encoding: chunked"),
    ("a host", "Host: evil"),
    ("a token", "X-Auth-Token: admin"),
    ("an alias of the token", "X-Storage-Token: admin"),
    ("a role", "X-Roles: admin"),
    ("an identity", "X-Identity-Status: Confirmed"),
    ("an underscore", "X_Roles: admin"),
    ("a media type", "Content-Type: application/x-www-form-urlencoded"),
    ("a connection option", "Connection: X-Auth-Token"),
    ("a method", "X-HTTP-Method-Override: DELETE"),
    ("all at once", "Content-Length: 9\r\nHost: evil\r\nX-Auth-Token: admin\r\nTransfer-Encoding: gzip"),
];

pub fn cases() -> Vec<Case> {
    let broken = BROKEN.iter().map(|(name, chunks)| {
        let bytes = format!("«put»Transfer-Encoding: chunked\r\n\r\n{chunks}«hidden»");
        Case::new(&format!("chunks: {name}"), bytes, Promise::Ended("body_broken"))
    });
    let trailers = TRAILERS.iter().map(|(name, trailer)| {
        let chunks = format!("16\r\n«json»\r\n0\r\n{trailer}\r\n\r\n");
        let bytes = format!("«put»Trailer: X-Roles\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        let gone = ["x-roles", "x-storage-token", "x-identity-status", "x-http-method-override", "trailer"];
        Case::new(&format!("trailers: {name}"), bytes, Promise::Disarmed(gone.map(Into::into).into()))
    });
    let many = "«put»Transfer-Encoding: chunked\r\n\r\n«1~ ~*65537»0\r\n\r\n";
    let large = "«put»Transfer-Encoding: chunked\r\n\r\n10001\r\n« *65537»\r\n0\r\n\r\n";
    let too_large = [("many small chunks", many), ("one large chunk", large)]
        .map(|(name, bytes)| Case::new(&format!("chunks: {name}"), bytes, Promise::Ended("body_too_large")));
    broken.chain(trailers).chain(too_large).collect()
}

#[test]
fn hostile_chunks_never_reach_glance() {
    run(async { Stage::new().await.keep(cases()).await });
}
