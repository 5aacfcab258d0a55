//! How hostile signed tokens are made: keys of every family, and parts that no honest signer would write.

use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::encoding::PublicKeyX509Der;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature;
use aws_lc_rs::signature::EcdsaKeyPair;
use aws_lc_rs::signature::Ed25519KeyPair;
use aws_lc_rs::signature::KeyPair;
use aws_lc_rs::signature::RsaKeyPair;
use serde_json::Value;
use serde_json::json;

use crate::scene::MEMBER;

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A token's name, the token, and the reason for which it is refused.
pub type Row = (String, String, &'static str);

pub const FORGED: &str = "token_forged";
pub const EXPIRED: &str = "token_expired";
pub const MALFORMED: &str = "token_malformed";
/// Has not the shape of a signed token, or says that only Keystone knows its limits: Keystone is asked.
pub const ASKED: &str = "token_invalid";

/// What Keystone's `jws` provider writes.
pub const HEADER: &str = r#"{"alg":"ES256","typ":"JWT"}"#;

/// The keys of a Keystone that has rotated through all families, and some that are not its own.
pub struct Maker {
    pub p256: EcdsaKeyPair,
    pub p384: EcdsaKeyPair,
    pub ed25519: Ed25519KeyPair,
    pub foreign: EcdsaKeyPair,
    pub foreign_p384: EcdsaKeyPair,
    pub foreign_ed25519: Ed25519KeyPair,
    pub rsa: RsaKeyPair,
}

impl Maker {
    pub fn new() -> Self {
        let p256 = || EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        let p384 = || EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).expect("a key");
        let ed25519 = || Ed25519KeyPair::generate().expect("a key");
        Self {
            p256: p256(),
            p384: p384(),
            ed25519: ed25519(),
            foreign: p256(),
            foreign_p384: p384(),
            foreign_ed25519: ed25519(),
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"),
        }
    }

    /// Returns the public keys that the gate is given, by file name.
    pub fn files(&self) -> [(&'static str, String); 3] {
        let ed25519: PublicKeyX509Der<'_> = self.ed25519.public_key().as_der().expect("a key");
        [
            ("p256.pem", pem(&der(&self.p256))),
            ("p384.pem", pem(&der(&self.p384))),
            ("ed25519.pem", pem(ed25519.as_ref())),
        ]
    }

    /// Returns a token with the real P-256 key's signature over whatever the parts are.
    pub fn signed(&self, header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
        self.over(&format!("{}.{}", url(header.as_ref()), url(claims.as_ref())))
    }

    /// Signs text that is encoded already.
    pub fn over(&self, text: &str) -> String {
        format!("{text}.{}", url(&ecdsa(&self.p256, text)))
    }

    /// Returns a token whose claims are good, but for what the value sets or, by null, removes.
    pub fn claiming(&self, change: &Value) -> String {
        self.signed(HEADER, claims(change).to_string())
    }

    pub fn good(&self) -> String {
        self.claiming(&json!({}))
    }
}

pub fn good_claims() -> String {
    claims(&json!({})).to_string()
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

pub fn claims(change: &Value) -> Value {
    let mut claims = json!({
        "sub": "5d0b6c4b6d3c4f1f9c3b0f5c1a2b3c4d",
        "iat": now(),
        "exp": now() + 3600,
        "openstack_methods": ["password"],
        "openstack_audit_ids": [url(uuid::Uuid::new_v4().as_bytes())],
        "openstack_project_id": MEMBER,
    });
    for (name, value) in change.as_object().expect("an object") {
        if value.is_null() {
            claims.as_object_mut().expect("an object").remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

pub fn der(key: &EcdsaKeyPair) -> Vec<u8> {
    let der: PublicKeyX509Der<'_> = key.public_key().as_der().expect("a key");
    der.as_ref().to_vec()
}

pub fn ecdsa(key: &EcdsaKeyPair, text: &str) -> Vec<u8> {
    key.sign(&SystemRandom::new(), text.as_bytes()).expect("a signature").as_ref().to_vec()
}

pub fn rsa(key: &RsaKeyPair, padding: &'static dyn signature::RsaEncoding, text: &str) -> Vec<u8> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(padding, &SystemRandom::new(), text.as_bytes(), &mut signature).expect("a signature");
    signature
}

pub fn mac(algorithm: hmac::Algorithm, secret: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(algorithm, secret), text.as_bytes()).as_ref().to_vec()
}

/// Writes two numbers as the sequence that DER makes of them.
pub fn der_signature(fixed: &[u8]) -> Vec<u8> {
    let (r, s) = fixed.split_at(fixed.len() / 2);
    let mut numbers = Vec::new();
    for number in [r, s] {
        let sign: &[u8] = if number[0] & 0x80 == 0 { &[] } else { &[0] };
        numbers.extend([2, u8::try_from(number.len() + sign.len()).expect("short")]);
        numbers.extend_from_slice(sign);
        numbers.extend_from_slice(number);
    }
    let mut sequence = vec![0x30, u8::try_from(numbers.len()).expect("short")];
    sequence.append(&mut numbers);
    sequence
}

pub fn url(bytes: &[u8]) -> String {
    encode(bytes, URL)
}

pub fn standard(bytes: &[u8]) -> String {
    encode(bytes, STANDARD)
}

/// Returns the same text with one of the bits set that a last letter has to spare.
pub fn with_trailing_bit(text: &str) -> String {
    let spare = match text.len() % 4 {
        2 | 3 => text.bytes().last().expect("a letter"),
        _ => panic!("there are no bits to spare"),
    };
    let value = URL.iter().position(|letter| *letter == spare).expect("a letter of the alphabet");
    format!("{}{}", &text[..text.len() - 1], char::from(URL[value | 1]))
}

pub fn pem(der: &[u8]) -> String {
    let mut text = standard(der);
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

fn encode(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..=three.len() {
            let sextet = (group >> (18 - 6 * place)) & 63;
            text.push(char::from(alphabet[sextet as usize]));
        }
    }
    text
}
