//! The section `[oidc]`: whose access tokens are taken beside Keystone's.

use crate::config::reader::Section;
use crate::config::value::ByteSize;
use crate::oidc::Algorithm;
use crate::oidc::Config;
use crate::oidc::IssuerConfig;

/// Reads the section; without an issuer no access token is taken.
pub fn read(section: &mut Section<'_, '_>) -> Config {
    let default = Config::default();
    let named = IssuerConfig::default();
    let issuer = IssuerConfig {
        issuer: section.get("issuer", named.issuer),
        audience: section.get("audience", named.audience),
        jwks_url: section.get("jwks_url", named.jwks_url),
        algorithms: algorithms(section, &named.algorithms),
        mapping_project_id: section.get("mapping_project_id", named.mapping_project_id),
        mapping_roles: section.get("mapping_roles", named.mapping_roles),
        mapping_user_id: section.get("mapping_user_id", named.mapping_user_id),
    };
    let is_off = issuer.issuer.is_empty();
    let config = Config {
        jwks_refresh: section.get("jwks_refresh", default.jwks_refresh),
        jwks_min_interval: section.get("jwks_min_interval", default.jwks_min_interval),
        max_jwks_bytes: section.get("max_jwks", ByteSize(default.max_jwks_bytes)).0,
        max_keys: section.get("max_keys", default.max_keys),
        token_leeway: section.get("token_leeway", default.token_leeway),
        issuers: if is_off { Vec::new() } else { vec![issuer] },
    };
    if let Err(error) = config.check() {
        section.mistake("issuer", &error.to_string(), "an issuer needs its exact name, an audience and a jwks_url");
    }
    config
}

fn algorithms(section: &mut Section<'_, '_>, default: &[Algorithm]) -> Vec<Algorithm> {
    let names: Vec<String> = section.get("algorithms", default.iter().map(|known| known.name().to_owned()).collect());
    let mut algorithms = Vec::with_capacity(names.len());
    for name in names {
        match Algorithm::from_name(&name) {
            Some(algorithm) => algorithms.push(algorithm),
            None => section.mistake(
                "algorithms",
                &format!("\"{name}\" is no algorithm the gate takes"),
                "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA",
            ),
        }
    }
    algorithms
}
