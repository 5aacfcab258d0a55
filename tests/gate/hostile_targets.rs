//! Hostile targets: paths, versions, `Accept`, overridden methods and forms (T5 to T7).

use crate::harness::run;
use crate::hostile::Case;
use crate::hostile::Promise;
use crate::hostile::Stage;

/// Spellings of the member's resource that some server takes for it.
const TARGETS: [(&str, &str); 56] = [
    ("two slashes before", "/«target»"),
    ("three slashes before", "//«target»"),
    ("two slashes after the version", "/v2//images/«image»/members/«member»"),
    ("two slashes before the image", "/v2/images//«image»/members/«member»"),
    ("two slashes before members", "/v2/images/«image»//members/«member»"),
    ("two slashes before the member", "/v2/images/«image»/members//«member»"),
    ("a slash behind", "«target»/"),
    ("two slashes behind", "«target»//"),
    ("a dot", "/v2/./images/«image»/members/«member»"),
    ("a dot behind", "«target»/."),
    ("two dots", "/v2/x/../images/«image»/members/«member»"),
    ("two dots above the root", "/..«target»"),
    ("two dots behind", "«target»/x/.."),
    ("encoded dots", "/v2/%2e%2e«target»"),
    ("a half-encoded dot segment", "/v2/.%2E«target»"),
    ("an encoded dot", "/v2/%2e/images/«image»/members/«member»"),
    ("an encoded slash", "/v2/images/«image»%2Fmembers/«member»"),
    ("encoded slashes in lower case", "/v2/images/«image»%2fmembers%2f«member»"),
    ("an encoded slash before", "/%2fv2/images/«image»/members/«member»"),
    ("an encoded slash behind", "«target»%2f"),
    ("an encoded backslash", "/v2/images/«image»%5cmembers/«member»"),
    ("a backslash", "/v2/images/«image»\\members/«member»"),
    ("a backslash behind", "«target»\\"),
    ("an encoded version", "/%76%32/images/«image»/members/«member»"),
    ("an encoded letter of images", "/v2/%69mages/«image»/members/«member»"),
    ("an encoded letter of members", "/v2/images/«image»/member%73/«member»"),
    ("an encoded letter of the image", "/v2/images/%34«image»/members/«member»"),
    ("an encoded letter of the member", "/v2/images/«image»/members/%66«member»"),
    ("a line feed behind", "«target»%0a"),
    ("a carriage return behind", "«target»%0D"),
    ("a null behind", "«target»%00"),
    ("a delete behind", "«target»%7f"),
    ("a tab behind", "«target»%09"),
    ("a blank behind", "«target»%20"),
    ("a question mark behind", "«target»%3f"),
    ("a number sign behind", "«target»%23"),
    ("a parameter", "«target»;x=1"),
    ("a parameter of the version", "/v2;x/images/«image»/members/«member»"),
    ("a format", "«target».json"),
    ("a percent sign", "«target»%"),
    ("half an escape", "«target»%4"),
    ("an escape that is none", "«target»%zz"),
    ("an overlong slash", "/v2/images/«image»/members/%c0%af"),
    ("an escape twice over", "«target»%252f"),
    ("no version", "/images/«image»/members/«member»"),
    ("the first version", "/v1/images/«image»/members/«member»"),
    ("the third version", "/v3/images/«image»/members/«member»"),
    ("an upper-case version", "/V2/images/«image»/members/«member»"),
    ("upper-case words", "/v2/IMAGES/«image»/Members/«member»"),
    ("a version of three numbers", "/v2.0.0/images/«image»/members/«member»"),
    ("a version with a long minor", "/v2.0000/images/«image»/members/«member»"),
    ("a version with no minor", "/v2./images/«image»/members/«member»"),
    ("the version twice", "/v2/v2/images/«image»/members/«member»"),
    ("a prefix", "/image«target»"),
    ("absolute form", "http://gate«target»"),
    ("absolute form of another host", "http://glance:9292«target»"),
];

/// Queries in which Routes would find another method.
const QUERIES: [(&str, &str); 12] = [
    ("_method", "_method=DELETE"),
    ("_method that is a PUT", "_method=PUT"),
    ("_method without a value", "_method"),
    ("_method at the end", "a=1&b=2&_method=DELETE"),
    ("_method twice", "_method=GET&_method=DELETE"),
    ("_method behind a semicolon", "a=1;_method=DELETE"),
    ("an encoded underscore", "%5fmethod=DELETE"),
    ("all letters encoded", "%5F%6d%65%74%68%6f%64=DELETE"),
    ("a plus before", "+_method=DELETE"),
    ("a blank behind", "_method%20=DELETE"),
    ("a null behind", "_method%00=DELETE"),
    ("upper case", "_METHOD=DELETE"),
];

/// Headers by which the call would be read as another one, and why it is refused.
const STEERING: [(&str, &str, &str); 12] = [
    ("a vendor type", "Accept: application/vnd.openstack.images-v2.3", "vendor_accept"),
    ("a vendor type of v1", "Accept: application/vnd.openstack.images-v1", "vendor_accept"),
    ("a vendor type with a weight", "Accept: application/vnd.openstack.images-v2;q=0.1", "vendor_accept"),
    ("a vendor type in upper case", "Accept: APPLICATION/VND.OPENSTACK.IMAGES-V2", "vendor_accept"),
    ("a vendor type in a list", "Accept: text/html, application/vnd.openstack.images-v2.0", "vendor_accept"),
    ("a vendor type in a second line", "Accept: */*\r\nAccept: application/vnd.openstack.images-v2", "vendor_accept"),
    ("a form", "Content-Type: application/x-www-form-urlencoded", "form_body"),
    ("a form in upper case", "Content-Type: Application/X-WWW-Form-URLEncoded", "form_body"),
    ("a form with a parameter", "Content-Type: application/x-www-form-urlencoded;charset=utf-8", "form_body"),
    ("a multipart form", "Content-Type: multipart/form-data; boundary=b", "form_body"),
    ("a form in a second line", "Content-Type: application/json\r\nContent-Type: multipart/form-data", "form_body"),
    ("a form in a list", "Content-Type: application/json, application/x-www-form-urlencoded", "form_body"),
];

/// Headers that name another method or another target.
const REWRITING: [&str; 10] = [
    "X-HTTP-Method-Override: DELETE",
    "X-HTTP-Method: DELETE",
    "X-Method-Override: DELETE",
    "X-Original-URL: /v2/images",
    "X-Rewrite-URL: /v2/images",
    "X-Forwarded-Prefix: /v1",
    "X-Forwarded-Host: evil",
    "X-Forwarded-Proto: gopher",
    "X-Forwarded-Server: evil",
    "X-Real-IP: 127.0.0.1",
];

const HEAD: &str = "HTTP/1.1\r\nHost: gate\r\nX-Auth-Token: «token»\r\nContent-Length: 22\r\n";

pub fn cases() -> Vec<Case> {
    let refused = Promise::Refused("target_ambiguous");
    let targets = TARGETS.iter().map(|(name, target)| {
        Case::new(&format!("target: {name}"), format!("PUT {target} {HEAD}\r\n«json»"), refused.clone())
    });
    let queries = QUERIES.iter().map(|(name, query)| {
        let bytes = format!("GET «target»?{query} {HEAD}\r\n«json»");
        Case::new(&format!("query: {name}"), bytes, refused.clone())
    });
    let elsewhere = Case::new(
        "query: _method where nothing is guarded",
        format!("POST /v2/images?_method=PUT {HEAD}\r\n«json»"),
        refused.clone(),
    );
    let steering = STEERING.iter().map(|(name, lines, reason)| {
        let bytes = format!("PUT «target» {HEAD}{lines}\r\n\r\n«json»");
        Case::new(&format!("steering: {name}"), bytes, Promise::Refused(reason))
    });
    let polyglot = Case::new(
        "steering: a body that is a form and an update",
        "POST «target» HTTP/1.1\r\nHost: gate\r\nX-Auth-Token: «token»\r\nContent-Length: 48\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n{\"status\": \"accepted\", \"x\": \"&_method=PUT&\"}    ",
        Promise::Refused("form_body"),
    );
    let rewriting = REWRITING.iter().map(|line| {
        let (name, _) = line.split_once(':').expect("a header");
        let bytes = format!("PUT «target» {HEAD}{line}\r\n\r\n«json»");
        Case::new(&format!("steering: {name}"), bytes, Promise::Disarmed(vec![name.to_owned()]))
    });
    targets.chain(queries).chain([elsewhere]).chain(steering).chain([polyglot]).chain(rewriting).collect()
}

#[test]
fn hostile_targets_never_reach_glance() {
    run(async { Stage::new().await.keep(cases()).await });
}
