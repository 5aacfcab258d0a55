//! Hostile signatures, families of keys, and spellings of a token.

use aws_lc_rs::hmac;
use aws_lc_rs::signature;
use serde_json::json;

use crate::hostile_tokens_made::ASKED;
use crate::hostile_tokens_made::FORGED;
use crate::hostile_tokens_made::HEADER;
use crate::hostile_tokens_made::MALFORMED;
use crate::hostile_tokens_made::Maker;
use crate::hostile_tokens_made::Row;
use crate::hostile_tokens_made::claims;
use crate::hostile_tokens_made::der;
use crate::hostile_tokens_made::der_signature;
use crate::hostile_tokens_made::ecdsa;
use crate::hostile_tokens_made::good_claims;
use crate::hostile_tokens_made::mac;
use crate::hostile_tokens_made::pem;
use crate::hostile_tokens_made::rsa;
use crate::hostile_tokens_made::standard;
use crate::hostile_tokens_made::url;
use crate::hostile_tokens_made::with_trailing_bit;

/// Signatures that are none of the real key's over this text, or are written oddly.
pub fn signatures(maker: &Maker) -> Vec<Row> {
    let text = format!("{}.{}", url(HEADER.as_bytes()), url(good_claims().as_bytes()));
    let real = ecdsa(&maker.p256, &text);
    let (r, s) = real.split_at(32);
    let zero = [0; 32];
    let high = [&[0xff_u8], &real[1..]].concat();
    let order = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad,
        0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let written = url(&real);
    let signatures = [
        ("nothing", String::new()),
        ("one byte less", url(&real[..63])),
        ("half", url(r)),
        ("one byte more", url(&[&real[..], &[0]].concat())),
        ("twice", url(&[&real[..], &real[..]].concat())),
        ("in DER", url(&der_signature(&real))),
        ("zeros", url(&[0; 64])),
        ("zero r", url(&[&zero[..], s].concat())),
        ("zero s", url(&[r, &zero[..]].concat())),
        ("the order of the curve", url(&[order, order].concat())),
        ("r of the order", url(&[&order[..], s].concat())),
        ("swapped", url(&[s, r].concat())),
        ("its first bits set", url(&high)),
        ("its last bit flipped", url(&[&real[..63], &[real[63] ^ 1]].concat())),
        ("of another text", url(&ecdsa(&maker.p256, "x.y"))),
        ("of another key", url(&ecdsa(&maker.foreign, &text))),
        ("of the P-384 key", url(&ecdsa(&maker.p384, &text))),
        ("of the Ed25519 key", url(maker.ed25519.sign(text.as_bytes()).as_ref())),
        ("padded", format!("{written}==")),
        ("half padded", format!("{written}=")),
        ("with a bit that is not canonical", with_trailing_bit(&written)),
        ("with escaped padding", format!("{written}%3D%3D")),
        ("in quotes", format!("\"{written}\"")),
        ("with a letter of the other alphabet", format!("+{}", &written[1..])),
    ];
    signatures.map(|(name, signature)| (format!("signature: {name}"), format!("{text}.{signature}"), FORGED)).into()
}

/// Keys and families that are confused.
pub fn families(maker: &Maker) -> Vec<Row> {
    let file = pem(&der(&maker.p256));
    let body = url(good_claims().as_bytes());
    let with =
        |algorithm: &str| format!("{}.{body}", url(format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#).as_bytes()));
    let secrets: [(&str, Vec<u8>); 5] = [
        ("the file", file.clone().into_bytes()),
        ("the file without its last line end", file.trim_end().as_bytes().to_vec()),
        ("the key in DER", der(&maker.p256)),
        ("the point", der(&maker.p256).split_off(26)),
        ("nothing", Vec::new()),
    ];
    let (mut rows, text) = (Vec::new(), with("HS256"));
    for (name, secret) in secrets {
        let token = format!("{text}.{}", url(&mac(hmac::HMAC_SHA256, &secret, &text)));
        rows.push((format!("HS256 with {name} for a secret"), token, FORGED));
    }
    let (h384, h512, rs, ps) = (with("HS384"), with("HS512"), with("RS256"), with("PS256"));
    let (es384, eddsa, es256) = (with("ES384"), with("EdDSA"), with("ES256"));
    let none = with("none");
    let foreign_384 = url(&ecdsa(&maker.foreign_p384, &es384));
    let foreign_ed = url(maker.foreign_ed25519.sign(eddsa.as_bytes()).as_ref());
    for (name, text, signature) in [
        ("HS384 with the file", &h384, url(&mac(hmac::HMAC_SHA384, file.as_bytes(), &h384))),
        ("HS512 with the file", &h512, url(&mac(hmac::HMAC_SHA512, file.as_bytes(), &h512))),
        ("RS256 of some RSA key", &rs, url(&rsa(&maker.rsa, &signature::RSA_PKCS1_SHA256, &rs))),
        ("PS256 of some RSA key", &ps, url(&rsa(&maker.rsa, &signature::RSA_PSS_SHA256, &ps))),
        ("ES384 by the P-256 key", &es384, url(&ecdsa(&maker.p256, &es384))),
        ("ES384 by a foreign key", &es384, foreign_384),
        ("EdDSA by the P-256 key", &eddsa, url(&ecdsa(&maker.p256, &eddsa))),
        ("EdDSA by a foreign key", &eddsa, foreign_ed),
        ("ES256 by an RSA key", &es256, url(&rsa(&maker.rsa, &signature::RSA_PKCS1_SHA256, &es256))),
        ("none without a signature", &none, String::new()),
        ("ES256 without a signature", &es256, String::new()),
    ] {
        rows.push((name.to_owned(), format!("{text}.{signature}"), FORGED));
    }
    // an embedded key that would verify
    let point = der(&maker.foreign).split_off(27);
    let (x, y) = point.split_at(32);
    let jwk = format!(r#"{{"kty":"EC","crv":"P-256","x":"{}","y":"{}"}}"#, url(x), url(y));
    let text = format!("{}.{body}", url(format!(r#"{{"alg":"ES256","typ":"JWT","jwk":{jwk}}}"#).as_bytes()));
    rows.push(("a key that it brings along".into(), format!("{text}.{}", url(&ecdsa(&maker.foreign, &text))), FORGED));
    rows
}

/// Spellings of a good token that are not its own.
pub fn spellings(maker: &Maker) -> Vec<Row> {
    let good = maker.good();
    let parts: Vec<&str> = good.split('.').collect();
    let (header, body, signature) = (parts[0], parts[1], parts[2]);
    // 28 bytes leave bits to spare, and these claims have both letters that the alphabets differ in
    let longer = with_trailing_bit(&url(br#"{"alg":"ES256","typ":"JWT" }"#));
    let other = claims(&json!({"x": "\u{3ff}\u{3fe}?>\u{fff}~~~"})).to_string();
    let rows: Vec<(&str, String, &'static str)> = vec![
        ("only dots", "..".into(), FORGED),
        ("no header", format!(".{body}.{signature}"), FORGED),
        ("no claims", format!("{header}..{signature}"), FORGED),
        ("no header and no claims", format!("..{signature}"), FORGED),
        ("three letters", "a.b.c".into(), FORGED),
        ("one part more", format!("{good}.{signature}"), ASKED),
        ("a dot more", format!("{good}."), ASKED),
        ("a dot before", format!(".{good}"), ASKED),
        ("five parts", format!("{header}....{signature}"), ASKED),
        ("two tokens", format!("{good},{good}"), ASKED),
        ("one part less", format!("{header}.{body}"), ASKED),
        ("a blank within", format!("{header}. {body}.{signature}"), MALFORMED),
        ("a scheme before", format!("Bearer {good}"), MALFORMED),
        ("a tab within", format!("{header}.{body}\t.{signature}"), MALFORMED),
        ("a letter that is none", format!("{header}.{body}\u{e9}.{signature}"), MALFORMED),
        ("over 8 KiB", maker.claiming(&json!({"x": "x".repeat(7000)})), MALFORMED),
        ("a padded header", maker.over(&format!("{longer}=.{body}")), FORGED),
        ("a header with a bit that is not canonical", maker.over(&format!("{longer}.{body}")), FORGED),
        ("claims in the other alphabet", maker.over(&format!("{header}.{}", standard(other.as_bytes()))), FORGED),
        ("padded claims", maker.over(&format!("{header}.{body}=")), FORGED),
        ("a line feed within the header", maker.over(&format!("{header}%0A.{body}")), FORGED),
        ("header and claims swapped", maker.over(&format!("{body}.{header}")), FORGED),
        ("the header twice", maker.over(&format!("{header}.{header}")), FORGED),
        ("claims changed", format!("{header}.{}.{signature}", url(other.as_bytes())), FORGED),
        ("header in upper case", format!("{}.{body}.{signature}", header.to_uppercase()), FORGED),
    ];
    rows.into_iter().map(|(name, token, reason)| (format!("spelling: {name}"), token, reason)).collect()
}
