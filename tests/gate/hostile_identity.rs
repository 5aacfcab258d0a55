//! Hostile identities: headers that say who somebody is, nominations, doubled and aliased credentials (T8 to T10).

use glance_gate::vouch::Telling;

use crate::harness::Gate;
use crate::harness::run;
use crate::hostile::Case;
use crate::hostile::Promise;
use crate::hostile::Stage;
use crate::scene::ACCEPT;
use crate::scene::MEMBER;
use crate::scene::Scene;

/// Headers by which keystonemiddleware tells Glance who asks.
const IDENTITY: [&str; 34] = [
    "X-Identity-Status: Confirmed",
    "X-Service-Identity-Status: Confirmed",
    "X-Project-Id: b5ce1b78ab6e45ee9242cf941d395bde",
    "X-Project-Name: admin",
    "X-Project-Domain-Id: default",
    "X-Project-Domain-Name: Default",
    "X-Domain-Id: default",
    "X-Domain-Name: Default",
    "X-User-Id: admin",
    "X-User-Name: admin",
    "X-User-Domain-Id: default",
    "X-User-Domain-Name: Default",
    "X-User: admin",
    "X-Tenant: admin",
    "X-Tenant-Id: b5ce1b78ab6e45ee9242cf941d395bde",
    "X-Tenant-Name: admin",
    "X-Roles: admin",
    "X-Role: admin",
    "X-ROLES: admin,service",
    "x-roles: admin",
    "X-Is-Admin-Project: True",
    "X-Service-Catalog: []",
    "X-Service-Roles: service",
    "X-Service-Project-Id: service",
    "X-Service-Project-Name: service",
    "X-Service-Project-Domain-Id: default",
    "X-Service-User-Id: glance",
    "X-Service-User-Name: glance",
    "X-Service-User-Domain-Name: Default",
    "OpenStack-System-Scope: all",
    "openstack-system-scope: all",
    "Forwarded: for=127.0.0.1;proto=https",
    "X-Forwarded-Port: 1",
    "X-Roles: reader\r\nX-Roles: admin",
];

/// Names that WSGI servers fold into one that counts.
const UNDERSCORES: [&str; 12] = [
    "X_Auth_Token: «owner»",
    "X-Auth_Token: «owner»",
    "X_Storage_Token: «owner»",
    "X_Roles: admin",
    "X_Identity_Status: Confirmed",
    "X_Project_Id: b5ce1b78ab6e45ee9242cf941d395bde",
    "X_User_Id: admin",
    "OpenStack_System_Scope: all",
    "Content_Type: application/x-www-form-urlencoded",
    "X_HTTP_Method_Override: DELETE",
    "_: x",
    "HTTP_X_ROLES: admin",
];

/// Headers that `Connection` must not take away.
const NOMINATIONS: [&str; 10] = [
    "X-Auth-Token",
    "x-auth-token",
    "te, X-Auth-Token",
    "keep-alive, Host",
    "Content-Length",
    "Content-Type",
    "Authorization",
    "X-OpenStack-Request-ID",
    "X-Forwarded-For",
    "Transfer-Encoding",
];

/// Credentials, and why they are refused.
const CREDENTIALS: [(&str, &str, &str); 18] = [
    ("none", "", "token_missing"),
    ("an empty one", "X-Auth-Token:\r\n", "token_missing"),
    ("blanks", "X-Auth-Token:  \t \r\n", "token_missing"),
    ("two", "X-Auth-Token: «token»\r\nX-Auth-Token: «owner»\r\n", "token_ambiguous"),
    ("the same twice", "X-Auth-Token: «token»\r\nX-Auth-Token: «token»\r\n", "token_ambiguous"),
    ("two in different case", "X-Auth-Token: «token»\r\nx-auth-token: «token»\r\n", "token_ambiguous"),
    ("one and an empty one", "X-Auth-Token: «token»\r\nX-Auth-Token:\r\n", "token_ambiguous"),
    ("an empty one and one", "X-Auth-Token:\r\nX-Auth-Token: «token»\r\n", "token_ambiguous"),
    ("an alias alone", "X-Storage-Token: «token»\r\n", "token_ambiguous"),
    ("an alias beside", "X-Auth-Token: «token»\r\nX-Storage-Token: «token»\r\n", "token_ambiguous"),
    ("an empty alias beside", "X-Auth-Token: «token»\r\nX-Storage-Token:\r\n", "token_ambiguous"),
    ("a blank within", "X-Auth-Token: «token» x\r\n", "token_malformed"),
    ("a list", "X-Auth-Token: «token», «owner»\r\n", "token_malformed"),
    ("a tab within", "X-Auth-Token: a\tb\r\n", "token_malformed"),
    ("a scheme", "X-Auth-Token: Bearer «token»\r\n", "token_malformed"),
    ("an accent", "X-Auth-Token: caf«xE9»\r\n", "token_malformed"),
    ("over 8 KiB", "X-Auth-Token: «a*8193»\r\n", "token_malformed"),
    ("a list without blanks", "X-Auth-Token: «token»,«token»\r\n", "token_invalid"),
];

pub fn cases() -> Vec<Case> {
    let update = |lines: &str| format!("«put»{lines}\r\nContent-Length: 22\r\n\r\n«json»");
    let identity = IDENTITY.iter().map(|lines| {
        let (name, _) = lines.split_once(':').expect("a header");
        let title = format!("identity: {}", lines.replace("\r\n", " and "));
        Case::new(&title, update(lines), Promise::Disarmed(vec![name.to_owned()]))
    });
    let ambiguous = Promise::Refused("header_ambiguous");
    let underscores =
        UNDERSCORES.iter().map(|line| Case::new(&format!("underscore: {line}"), update(line), ambiguous.clone()));
    let nominations = NOMINATIONS.iter().map(|names| {
        Case::new(&format!("nomination: {names}"), update(&format!("Connection: {names}")), ambiguous.clone())
    });
    let credentials = CREDENTIALS.iter().map(|(name, lines, reason)| {
        let bytes = format!("PUT «target» HTTP/1.1\r\nHost: gate\r\n{lines}Content-Length: 22\r\n\r\n«json»");
        Case::new(&format!("credential: {name}"), bytes, Promise::Refused(reason))
    });
    let others = [("the owner's", "«owner»", "owner_forbidden"), ("a stranger's", "«stranger»", "image_not_found")]
        .map(|(name, token, reason)| {
            let head = format!("PUT «target» HTTP/1.1\r\nHost: gate\r\nX-Auth-Token: {token}\r\n");
            let forged =
                "X-Project-Id: ffd183d9af264ee682d8ed13b3d8aa49\r\nX-Roles: admin\r\nX-Identity-Status: Confirmed\r\n";
            let bytes = format!("{head}{forged}Content-Length: 22\r\n\r\n«json»");
            Case::new(&format!("credential: {name}, with the member's identity"), bytes, Promise::Judged(reason))
        });
    identity.chain(underscores).chain(nominations).chain(credentials).chain(others).collect()
}

#[test]
fn hostile_identities_never_reach_glance() {
    run(async { Stage::new().await.keep(cases()).await });
}

#[test]
fn hostile_identities_never_reach_a_glance_that_believes_headers() {
    run(async {
        let gate = Gate::start(|config| config.telling = Telling::Headers).await.warm().await;
        let scene = Scene::new(&gate);
        for line in IDENTITY.into_iter().filter(|line| !line.contains('\n')) {
            let (name, forged) = line.split_once(": ").expect("a header");
            for (method, target) in [("PUT", scene.target.as_str()), ("GET", "/v2/images")] {
                let call = gate.call(method, target).token(&scene.member).header(name, forged);
                let call = if method == "PUT" { call.json(ACCEPT) } else { call };
                assert_eq!(call.send().await.status, 200, "{method} with {line:?}");
                let seen = gate.seen().pop().expect("the call");
                assert_eq!(seen.header_values("x-identity-status"), ["Confirmed"], "{line}");
                assert_eq!(seen.header_values("x-roles"), ["member,reader"], "{line}");
                assert_eq!(seen.header_values("x-project-id"), [MEMBER], "{line}");
                let said = name.eq_ignore_ascii_case("x-identity-status");
                assert!(said || !seen.header_values(name).contains(&forged), "{line}");
            }
        }
    });
}
