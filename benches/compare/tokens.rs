//! Mints tokens as Keystone's `jws` provider does, with a key made for this run, and image ids.

use std::fs;
use std::fs::File;
use std::io;
use std::io::BufWriter;
use std::io::Write;
use std::path::PathBuf;
use std::time::SystemTime;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::encoding::PublicKeyX509Der;
use aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
use aws_lc_rs::signature::EcdsaKeyPair;
use aws_lc_rs::signature::KeyPair;
use clap::Args;
use glance_gate::demo::keystone::base64;
use jsonwebtoken::Algorithm;
use jsonwebtoken::EncodingKey;
use jsonwebtoken::Header;
use serde_json::json;
use uuid::Uuid;

/// The project that owns every image of the stub.
pub const OWNER: &str = "0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e";

/// Where to, and how many.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// The folder to write to
    #[arg(long)]
    out: PathBuf,
    /// How many good tokens, each of a project of its own
    #[arg(long, default_value_t = 200)]
    tokens: usize,
    /// How many images
    #[arg(long, default_value_t = 1000)]
    images: usize,
}

/// Writes the key in the three forms that the proxies read, the tokens, the images, and what the guard cases need.
pub fn run(options: &Options) -> io::Result<()> {
    let key = Key::generate()?;
    let keys = options.out.join("keys");
    fs::create_dir_all(&keys)?;
    fs::write(keys.join("public.pem"), &key.public_pem)?;
    fs::write(options.out.join("jwks.json"), key.jwks.to_string())?;

    let mut images = BufWriter::new(File::create(options.out.join("images.txt"))?);
    for _ in 0..options.images {
        writeln!(images, "{}", Uuid::new_v4())?;
    }
    images.flush()?;
    let mut tokens = BufWriter::new(File::create(options.out.join("tokens.txt"))?);
    for _ in 0..options.tokens {
        let project = Uuid::new_v4().simple().to_string();
        writeln!(tokens, "{project} {}", key.token(&project, 12 * 3600)?)?;
    }
    tokens.flush()?;
    fs::write(options.out.join("cases.json"), cases(&key)?.to_string())
}

/// Mints one token of each kind that the guard cases send.
fn cases(key: &Key) -> io::Result<serde_json::Value> {
    let member = Uuid::new_v4().simple().to_string();
    let good = key.token(&member, 12 * 3600)?;
    // another good token's signature is well-formed, but not over these claims
    let other = key.token(&member, 11 * 3600)?;
    let (claims, _) = good.rsplit_once('.').unwrap_or_default();
    let (_, signature) = other.rsplit_once('.').unwrap_or_default();
    Ok(json!({
        "image": Uuid::new_v4().to_string(),
        "member": member,
        "good": good,
        "forged": format!("{claims}.{signature}"),
        "expired": key.token(&member, -3600)?,
        "other": key.token(&Uuid::new_v4().simple().to_string(), 12 * 3600)?,
        "owner": key.token(OWNER, 12 * 3600)?,
        "owner_project": OWNER,
    }))
}

/// A P-256 key that signs tokens.
struct Key {
    signing: EncodingKey,
    public_pem: String,
    jwks: serde_json::Value,
}

impl Key {
    fn generate() -> io::Result<Self> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(io::Error::other)?;
        let private = pair.to_pkcs8v1().map_err(io::Error::other)?;
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(io::Error::other)?;
        // an uncompressed point: 4, then both coordinates (SEC 1 section 2.3.3)
        let point = pair.public_key().as_ref();
        let (x, y) = point.get(1..).unwrap_or_default().split_at(32);
        Ok(Self {
            signing: EncodingKey::from_ec_der(private.as_ref()),
            public_pem: base64::pem("PUBLIC KEY", public.as_ref()),
            jwks: json!({"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig",
                                   "x": base64::url(x), "y": base64::url(y)}]}),
        })
    }

    /// Mints a token of the project that ends so many seconds from now.
    fn token(&self, project: &str, lasts: i64) -> io::Result<String> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(io::Error::other)?;
        let now = i64::try_from(now.as_secs()).map_err(io::Error::other)?;
        let claims = json!({
            "sub": Uuid::new_v4().simple().to_string(),
            "iat": now.min(now + lasts - 1),
            "exp": now + lasts,
            "openstack_methods": ["password", "token"],
            "openstack_audit_ids": [base64::url(Uuid::new_v4().as_bytes()), base64::url(Uuid::new_v4().as_bytes())],
            "openstack_project_id": project,
        });
        jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &self.signing).map_err(io::Error::other)
    }
}
