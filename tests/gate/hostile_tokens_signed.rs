//! Hostile headers and claims that the real key has signed, although no honest signer would.

use serde_json::json;

use crate::hostile_tokens_made::ASKED;
use crate::hostile_tokens_made::EXPIRED;
use crate::hostile_tokens_made::FORGED;
use crate::hostile_tokens_made::HEADER;
use crate::hostile_tokens_made::Maker;
use crate::hostile_tokens_made::Row;
use crate::hostile_tokens_made::good_claims;
use crate::hostile_tokens_made::now;
use crate::scene::MEMBER;
use crate::scene::OWNER;

/// Headers that the real key has signed, although no honest one would.
pub fn headers(maker: &Maker) -> Vec<Row> {
    let algorithms = [
        r#""none""#,
        r#""None""#,
        r#""NONE""#,
        r#""nOnE""#,
        r#""""#,
        "null",
        "256",
        r#"["ES256"]"#,
        r#"{"ES256":1}"#,
        r#""es256""#,
        r#""Es256""#,
        r#""ES256 ""#,
        r#""ES256\u0000""#,
        r#""ES384""#,
        r#""ES512""#,
        r#""ES256K""#,
        r#""RS256""#,
        r#""PS256""#,
        r#""HS256""#,
        r#""EdDSA""#,
        r#""Ed25519""#,
        r#""ECDSA""#,
        r#""dir""#,
    ];
    let algorithms = algorithms
        .map(|algorithm| (format!("alg {algorithm}"), format!(r#"{{"alg":{algorithm},"typ":"JWT"}}"#).into_bytes()));
    let members = [
        r#""kid":"1""#,
        r#""kid":"../../../../dev/null""#,
        r#""kid":"' OR 1=1 --""#,
        r#""kid":"http://evil/key""#,
        r#""kid":["1"]"#,
        r#""jku":"http://evil/keys""#,
        r#""jku":"file:///etc/passwd""#,
        r#""x5u":"http://evil/x""#,
        r#""x5c":["MIIB"]"#,
        r#""jwk":{"kty":"oct","k":"AA"}"#,
        r#""crit":["exp"]"#,
        r#""crit":[]"#,
        r#""crit":"b64""#,
        r#""crit":["b64"],"b64":false"#,
        r#""cty":"JWT""#,
        r#""alg":"none""#,
        r#""alg":"ES256""#,
        r#""typ":"JWT""#,
    ];
    let members = members
        .map(|member| (format!("header {member}"), format!(r#"{{"alg":"ES256","typ":"JWT",{member}}}"#).into_bytes()));
    let utf16 = HEADER.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let texts: [(&str, &[u8]); 20] = [
        ("alg missing", br#"{"typ":"JWT"}"#),
        ("alg none first", br#"{"alg":"none","alg":"ES256","typ":"JWT"}"#),
        ("alg escaped twice", br#"{"alg":"ES256","\u0061lg":"none","typ":"JWT"}"#),
        ("typ of an access token", br#"{"alg":"ES256","typ":"at+jwt"}"#),
        ("typ in lower case", br#"{"alg":"ES256","typ":"jwt"}"#),
        ("typ of an encrypted token", br#"{"alg":"ES256","typ":"JWE"}"#),
        ("typ a number", br#"{"alg":"ES256","typ":1}"#),
        ("typ empty", br#"{"alg":"ES256","typ":""}"#),
        ("a mark of byte order", b"\xef\xbb\xbf{\"alg\":\"ES256\",\"typ\":\"JWT\"}"),
        ("UTF-16", &utf16),
        ("an array", br#"[{"alg":"ES256"}]"#),
        ("a text", br#""ES256""#),
        ("null", b"null"),
        ("empty", b""),
        ("an empty object", b"{}"),
        ("something behind", br#"{"alg":"ES256","typ":"JWT"} x"#),
        ("two objects", br#"{"alg":"ES256","typ":"JWT"}{"alg":"none"}"#),
        ("a null behind", b"{\"alg\":\"ES256\",\"typ\":\"JWT\"}\0"),
        ("single quotes", b"{'alg':'ES256','typ':'JWT'}"),
        ("bytes that are not UTF-8", b"{\"alg\":\"ES256\",\"typ\":\"JWT\",\"x\":\"\xff\"}"),
    ];
    let texts = texts.map(|(name, text)| (format!("header: {name}"), text.to_vec()));
    let all = algorithms.into_iter().chain(members).chain(texts);
    all.map(|(name, header)| (name, maker.signed(header, good_claims()), FORGED)).collect()
}

/// Claims that the real key has signed.
pub fn bodies(maker: &Maker) -> Vec<Row> {
    let ahead = now() + 3600;
    let changes = [
        ("exp missing", json!({"exp": null}), FORGED),
        ("exp a text", json!({"exp": ahead.to_string()}), FORGED),
        ("exp a fraction", json!({"exp": 4_000_000_000.5}), FORGED),
        ("exp negative", json!({"exp": -1}), FORGED),
        ("exp beyond 2^64", json!({"exp": 1e30}), FORGED),
        ("exp true", json!({"exp": true}), FORGED),
        ("exp an array", json!({"exp": [ahead]}), FORGED),
        ("exp an object", json!({"exp": {"x": ahead}}), FORGED),
        ("exp in 1970", json!({"exp": 0}), EXPIRED),
        ("exp a second ago", json!({"exp": now() - 1}), EXPIRED),
        ("exp a day ago, of another project", json!({"exp": now() - 86400, "openstack_project_id": OWNER}), EXPIRED),
        ("nbf ahead", json!({"nbf": ahead}), FORGED),
        ("nbf a fraction ahead", json!({"nbf": 4_000_000_000.5}), FORGED),
        ("nbf a text", json!({"nbf": "tomorrow"}), FORGED),
        ("sub missing", json!({"sub": null}), FORGED),
        ("sub a number", json!({"sub": 1}), FORGED),
        ("sub an array", json!({"sub": ["admin"]}), FORGED),
        ("sub an object", json!({"sub": {"id": "admin"}}), FORGED),
        ("project a number", json!({"openstack_project_id": 1}), FORGED),
        ("project an array", json!({"openstack_project_id": [MEMBER]}), FORGED),
        ("project an object", json!({"openstack_project_id": {"id": MEMBER}}), FORGED),
        ("project true", json!({"openstack_project_id": true}), FORGED),
        ("domain a number", json!({"openstack_domain_id": 1}), FORGED),
        ("system true", json!({"openstack_system": true}), FORGED),
        ("credential a number", json!({"openstack_app_cred_id": 1}), FORGED),
        ("credential with limits", json!({"openstack_app_cred_id": "9a7e"}), ASKED),
    ];
    let changes = changes.map(|(name, change, reason)| (name.to_owned(), maker.claiming(&change), reason));
    let good = good_claims();
    let doubled = |member: &str| good.replacen('{', &format!("{{{member},"), 1).into_bytes();
    let nested = maker.good();
    let utf16 = good.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let texts: Vec<(&str, Vec<u8>)> = vec![
        ("exp twice", doubled(r#""exp":1"#)),
        ("sub twice", doubled(r#""sub":"admin""#)),
        ("project twice", doubled(&format!(r#""openstack_project_id":"{OWNER}""#))),
        ("project twice, once escaped", doubled(&format!(r#""openstack_project\u005fid":"{OWNER}""#))),
        ("nbf twice", doubled(r#""nbf":1,"nbf":2"#)),
        ("exp null", good.replace(&format!("\"exp\":{ahead}"), "\"exp\":null").into_bytes()),
        ("an array", format!("[{good}]").into_bytes()),
        ("a text", format!("{good:?}").into_bytes()),
        ("null", b"null".to_vec()),
        ("a number", b"1".to_vec()),
        ("empty", Vec::new()),
        ("an empty object", b"{}".to_vec()),
        ("no JSON", b"sub=admin".to_vec()),
        ("something behind", format!("{good} x").into_bytes()),
        ("two objects", format!("{good}{good}").into_bytes()),
        ("a mark of byte order", format!("\u{feff}{good}").into_bytes()),
        ("UTF-16", utf16),
        ("a token in a token", nested.clone().into_bytes()),
        ("a quoted token in a token", format!("\"{nested}\"").into_bytes()),
        ("bytes that are not UTF-8", [good.trim_end_matches('}').as_bytes(), b",\"nbf\":\"\xff\"}"].concat()),
        ("a lone surrogate", good.replace(MEMBER, r"\ud800").into_bytes()),
    ];
    let texts = texts.into_iter().map(|(name, text)| (name.to_owned(), maker.signed(HEADER, text), FORGED));
    changes.into_iter().chain(texts).map(|(name, token, reason)| (format!("claims: {name}"), token, reason)).collect()
}

/// Tokens of the real key that say more than the gate reads; they were believed when this was written.
pub fn unread(maker: &Maker) -> Vec<Row> {
    let header = |member: &str| maker.signed(format!(r#"{{"alg":"ES256","typ":"JWT",{member}}}"#), good_claims());
    let members = [
        r#""b64":false"#,
        r#""zip":"DEF""#,
        r#""enc":"A128GCM""#,
        r#""x5t":"AA""#,
        r#""x5t#S256":"AA""#,
        r#""url":"http://evil""#,
        r#""nonce":"1""#,
        r#""epk":{"kty":"EC"}"#,
        r#""x":1,"x":2"#,
    ];
    let members = members.map(|member| (format!("header {member}"), header(member), FORGED));
    let bytes = [good_claims().trim_end_matches('}').as_bytes(), b",\"x\":\"\xff\"}"].concat();
    let surrogate = good_claims().replacen('{', r#"{"x":"\ud800","#, 1);
    let doubled = good_claims().replacen('{', r#"{"iat":1,"#, 1);
    let scopes = json!({"openstack_domain_id": "default"});
    let all_scopes = json!({"openstack_domain_id": "default", "openstack_system": "all"});
    let claims = [
        ("bytes that are not UTF-8 in a claim nobody reads", maker.signed(HEADER, bytes)),
        ("a lone surrogate in a claim nobody reads", maker.signed(HEADER, surrogate)),
        ("iat twice", maker.signed(HEADER, doubled)),
        ("two scopes", maker.claiming(&scopes)),
        ("three scopes", maker.claiming(&all_scopes)),
    ];
    members.into_iter().chain(claims.map(|(name, token)| (name.to_owned(), token, FORGED))).collect()
}
