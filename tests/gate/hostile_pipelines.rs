//! Hostile pipelines: several requests in one segment, of which only some may pass.

use crate::harness::run;
use crate::hostile::Case;
use crate::hostile::Pieces;
use crate::hostile::Promise;
use crate::hostile::Stage;
use crate::hostile::Step;
use crate::hostile::Step::Over;
use crate::hostile::Step::Passed;
use crate::hostile::Step::Refused;
use crate::hostile::Step::Served;

const THEN_MALFORMED: &[Step] = &[Served, Refused("request_malformed")];

const PIPELINES: [(&str, &str, &[Step]); 27] = [
    ("good, then bare line feeds", "«update»PUT «target»?hidden HTTP/1.1\nHost: gate\n\n", THEN_MALFORMED),
    (
        "good, then CL.TE",
        "«update»«put»Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n«hidden»",
        THEN_MALFORMED,
    ),
    ("good, then TE.TE", "«update»«put»Transfer-Encoding: x, chunked\r\n\r\n0\r\n\r\n«hidden»", THEN_MALFORMED),
    ("good, then two lengths", "«update»«put»Content-Length: 0\r\nContent-Length: 22\r\n\r\n«hidden»", THEN_MALFORMED),
    ("good, then two hosts", "«update»«put»Host: evil\r\n\r\n«hidden»", THEN_MALFORMED),
    ("good, then a fold", "«update»«put»X-A: b\r\n c\r\n\r\n«hidden»", THEN_MALFORMED),
    ("good, then garbage", "«update»0\r\n\r\n«hidden»", THEN_MALFORMED),
    ("good, then two empty lines", "«update»\r\n\r\n«hidden»", THEN_MALFORMED),
    ("good, then a body", "«update»«json»\r\n«hidden»", THEN_MALFORMED),
    ("good, then the preface of HTTP/2", "«update»PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", THEN_MALFORMED),
    ("good, then HTTP/0.9", "«update»GET /v2/images\r\n\r\n«hidden»", THEN_MALFORMED),
    (
        "good, then a bad chunk",
        "«update»«put»Transfer-Encoding: chunked\r\n\r\n16 \r\n«json»\r\n0\r\n\r\n«hidden»",
        &[Served, Refused("body_broken")],
    ),
    (
        "good, then a head that is too large",
        "«update»«put»X-Long: «a*70000»\r\n\r\n«hidden»",
        &[Served, Refused("head_too_large")],
    ),
    (
        "good, then an odd target",
        "«update»GET //v2/images HTTP/1.1\r\nHost: gate\r\n\r\n",
        &[Served, Refused("target_ambiguous")],
    ),
    (
        "good, then without a token",
        "«update»PUT «target» HTTP/1.1\r\nHost: gate\r\nContent-Length: 22\r\n\r\n«json»",
        &[Served, Refused("token_missing")],
    ),
    (
        "good, then the owner's",
        "«update»PUT «target» HTTP/1.1\r\nHost: gate\r\nX-Auth-Token: «owner»\r\nContent-Length: 22\r\n\r\n«json»",
        &[Served, Refused("owner_forbidden")],
    ),
    (
        "good, then a stranger's, then good",
        "«update»PUT «target» HTTP/1.1\r\nHost: gate\r\nX-Auth-Token: «stranger»\r\nContent-Length: 22\r\n\r\n\
         «json»«update»",
        &[Served, Refused("image_not_found"), Served],
    ),
    (
        "an odd target, then good",
        "GET //v2/images HTTP/1.1\r\nHost: gate\r\n\r\n«update»",
        &[Refused("target_ambiguous"), Served],
    ),
    (
        "CONNECT, then a stranger's",
        "CONNECT glance:9292 HTTP/1.1\r\nHost: glance:9292\r\n\r\n\
         PUT «target» HTTP/1.1\r\nHost: gate\r\nX-Auth-Token: «stranger»\r\nContent-Length: 22\r\n\r\n«json»",
        &[Refused("target_ambiguous"), Refused("image_not_found")],
    ),
    (
        "an upgrade, then HTTP/2",
        "«put»Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nContent-Length: 22\r\n\
         \r\n«json»PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        THEN_MALFORMED,
    ),
    (
        "an upgrade to a websocket, then a stranger's",
        "«get»Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n\
         PUT «target» HTTP/1.1\r\nHost: gate\r\nX-Auth-Token: «stranger»\r\nContent-Length: 22\r\n\r\n«json»",
        &[Passed, Refused("image_not_found")],
    ),
    (
        "the last one, then a hidden one",
        "«put»Connection: close\r\nContent-Length: 22\r\n\r\n«json»«hidden»",
        &[Served, Over],
    ),
    (
        "HTTP/1.0, then a hidden one",
        "PUT «target» HTTP/1.0\r\nHost: gate\r\nX-Auth-Token: «token»\r\nContent-Length: 22\r\n\r\n«json»«hidden»",
        &[Served, Over],
    ),
    (
        "HTTP/1.0 without a length, then a hidden one",
        "PUT «target» HTTP/1.0\r\nHost: gate\r\nX-Auth-Token: «token»\r\n\r\n«hidden»",
        &[Refused("body_missing"), Over],
    ),
    (
        "two that pass through, then a bad one",
        "«get»\r\n«get»\r\n«get»Content-Length: 1\r\nContent-Length: 2\r\n\r\n«hidden»",
        &[Passed, Passed, Refused("request_malformed")],
    ),
    (
        "chunks with a hidden one, then good",
        "«get»Transfer-Encoding: chunked\r\n\r\n«#x:hidden»\r\n«hidden»\r\n0\r\n\r\n«update»",
        &[Passed, Served],
    ),
    (
        "trailers, then good",
        "«put»Transfer-Encoding: chunked\r\n\r\n16\r\n«json»\r\n0\r\nContent-Length: 999\r\n\r\n«update»",
        &[Served, Served],
    ),
];

pub fn cases() -> Vec<Case> {
    PIPELINES
        .iter()
        .map(|(name, bytes, steps)| Case::new(&format!("pipeline: {name}"), *bytes, Promise::Answers(steps)))
        .collect()
}

#[test]
fn hostile_pipelines_are_answered_request_by_request() {
    run(async { Stage::new().await.keep(cases()).await });
}

#[test]
fn hostile_pipelines_cut_anywhere_get_the_same_verdict() {
    run(async {
        let stage = Stage::new().await;
        for name in ["good, then bare line feeds", "good, then a bad chunk", "trailers, then good"] {
            let case = cases().into_iter().find(|case| case.name.ends_with(name)).expect("a known case");
            for at in 1..stage.bytes(&case.bytes).len() {
                stage.check(&case, Pieces::CutAt(at)).await;
            }
        }
    });
}
