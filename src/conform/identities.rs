//! The file that tells who asks: one table for each role, with a credential or a token.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use toml::Table;
use toml::Value;

use crate::conform::callers::Role;
use crate::keystone::config::Credentials;
use crate::keystone::config::Domain;
use crate::secret::Secret;

/// How large the file may be.
const MAX_BYTES: u64 = 64 * 1024;

/// The keys of a role.
const KEYS: [&str; 10] = [
    "token",
    "application_credential_id",
    "application_credential_secret",
    "username",
    "password",
    "user_domain_id",
    "user_domain_name",
    "project_name",
    "project_domain_id",
    "project_domain_name",
];

/// Who asks, and which Keystone knows them.
#[derive(Debug)]
pub struct Identities {
    /// The Keystone, with its version: `http://keystone:5000/v3`.
    pub auth_url: String,
    /// The credential of each role that is there.
    pub roles: BTreeMap<Role, Credential>,
}

/// How somebody proves who they are.
#[derive(Debug)]
pub enum Credential {
    /// By a token that is there already.
    Token(Secret<String>),
    /// By logging in.
    Login(Credentials),
}

impl Identities {
    /// Reads a file.
    ///
    /// # Errors
    /// Lists all mistakes, each with its place; no error shows a value.
    pub fn read(path: &Path) -> io::Result<Self> {
        let told = |why: String| io::Error::other(format!("{}: {why}", path.display()));
        let data = std::fs::metadata(path).map_err(|error| told(error.to_string()))?;
        if data.permissions().mode() & 0o007 != 0 {
            return Err(told(
                "everybody on this machine may use the file; chmod o= it: there are secrets in it".into(),
            ));
        }
        let size = data.len();
        if size > MAX_BYTES {
            return Err(told(format!("it has {size} bytes; at most {MAX_BYTES}")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| told(error.to_string()))?;
        Self::parse(&text).map_err(|mistakes| told(mistakes.join("\n    ")))
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// Lists all mistakes.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        // the parser's own words for a mistake show the line, and with it perhaps a password
        let table: Table = toml::from_str(text).map_err(|error: toml::de::Error| {
            let line =
                error.span().map_or(1, |span| text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1);
            vec![format!("line {line}: this is not TOML")]
        })?;
        let mut mistakes = Vec::new();
        let auth_url = match table.get("auth_url") {
            Some(Value::String(url)) if is_url(url) => url.trim_end_matches('/').to_owned(),
            Some(_) => {
                told(&mut mistakes, "auth_url: it must be an http or https URL, such as \"http://keystone:5000/v3\"")
            }
            None => told(&mut mistakes, "auth_url is missing: where Keystone is, such as \"http://keystone:5000/v3\""),
        };
        let mut roles = BTreeMap::new();
        for (name, value) in table.iter().filter(|(name, _)| *name != "auth_url") {
            match (Role::parse(name).filter(|role| role.has_credential()), value) {
                (Some(role), Value::Table(keys)) => {
                    roles.extend(credential(name, keys, &mut mistakes).map(|credential| (role, credential)));
                }
                (Some(_), _) => mistakes.push(format!("{name}: it must be a table, [{name}]")),
                (None, _) => mistakes.push(format!("{name}: unknown; the roles are {}", known_roles())),
            }
        }
        for role in [Role::Owner, Role::Member] {
            if !table.contains_key(role.as_str()) {
                mistakes.push(format!("[{}] is missing: without it nothing can be asked", role.as_str()));
            }
        }
        if mistakes.is_empty() { Ok(Self { auth_url, roles }) } else { Err(mistakes) }
    }
}

fn told(mistakes: &mut Vec<String>, mistake: &str) -> String {
    mistakes.push(mistake.to_owned());
    String::new()
}

fn known_roles() -> String {
    let named = Role::ALL.into_iter().filter(|role| role.has_credential()).map(Role::as_str);
    named.collect::<Vec<&str>>().join(", ")
}

/// Tells whether a text is the URL of a server, perhaps with a path.
pub fn is_url(text: &str) -> bool {
    let uri: Option<http::Uri> = text.parse().ok();
    uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.query().is_none()
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
    })
}

/// Reads the table of one role; nothing if it has mistakes, which are added.
fn credential(role: &str, keys: &Table, mistakes: &mut Vec<String>) -> Option<Credential> {
    let before = mistakes.len();
    for (key, value) in keys {
        if !KEYS.contains(&key.as_str()) {
            mistakes.push(format!("{role}.{key}: unknown; the keys are {}", KEYS.join(", ")));
        } else if value.as_str().is_none_or(str::is_empty) {
            mistakes.push(format!("{role}.{key}: it must be a text, and not an empty one"));
        }
    }
    let text = |key: &str| keys.get(key).and_then(Value::as_str).map(str::to_owned);
    let ways = ["token", "application_credential_id", "username"];
    let [Some(way)] =
        ways.map(|way| keys.contains_key(way).then_some(way)).into_iter().flatten().map(Some).collect::<Vec<_>>()[..]
    else {
        mistakes.push(format!("{role}: it must have just one of {}", ways.join(", ")));
        return None;
    };
    let fits = |key: &str| match way {
        "token" => key == "token",
        "username" => !key.starts_with("application_credential") && key != "token",
        _ => key.starts_with("application_credential"),
    };
    for key in keys.keys().filter(|key| KEYS.contains(&key.as_str()) && !fits(key)) {
        mistakes.push(format!("{role}.{key}: it does not go with {way}"));
    }
    let needed: &[&str] = match way {
        "token" => &["token"],
        "username" => &["password", "project_name"],
        _ => &["application_credential_secret"],
    };
    for key in needed.iter().filter(|key| !keys.contains_key(**key)) {
        mistakes.push(format!("{role}.{key} is missing: it goes with {way}"));
    }
    if mistakes.len() > before {
        return None;
    }
    let secret = |key: &str| text(key).map(Secret::new);
    let domain = |kind: &str| match text(&format!("{kind}_domain_name")) {
        Some(name) => Domain::Name(name),
        None => Domain::Id(text(&format!("{kind}_domain_id")).unwrap_or_else(|| "default".into())),
    };
    Some(match way {
        "token" => Credential::Token(secret("token")?),
        "username" => Credential::Login(Credentials::Password {
            username: text("username")?,
            password: secret("password")?,
            user_domain: domain("user"),
            project_name: text("project_name")?,
            project_domain: domain("project"),
        }),
        _ => Credential::Login(Credentials::ApplicationCredential {
            id: text("application_credential_id")?,
            secret: secret("application_credential_secret")?,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::Credential;
    use super::Identities;
    use crate::conform::callers::Role;
    use crate::keystone::config::Credentials;

    const GOOD: &str = "auth_url = \"http://keystone:5000/v3/\"\n[owner]\napplication_credential_id = \"a\"\n\
                        application_credential_secret = \"hush\"\n[member]\nusername = \"m\"\npassword = \"hush\"\n\
                        project_name = \"p\"\n[stranger]\ntoken = \"hush\"\n";

    #[test]
    fn each_role_has_a_credential_of_some_kind() {
        let identities = Identities::parse(GOOD).expect("a good file");
        assert_eq!(identities.auth_url, "http://keystone:5000/v3");
        let kinds: Vec<_> = identities.roles.iter().collect();
        assert!(matches!(
            kinds[..],
            [
                (Role::Owner, Credential::Login(Credentials::ApplicationCredential { .. })),
                (Role::Member, Credential::Login(Credentials::Password { .. })),
                (Role::Stranger, Credential::Token(_)),
            ]
        ));
        assert!(!format!("{identities:?}").contains("hush"));
    }

    #[test]
    fn all_mistakes_are_told_and_no_value_is_shown() {
        let text = "auth_url = \"keystone\"\n[owner]\nusername = \"o\"\npasword = \"hush\"\n[menber]\ntoken = \"hush\"\n\
                    [reader]\ntoken = \"hush\"\nusername = \"hush\"\n[admin]\ntoken = 12345\n[stranger]\ntoken = \"t\"\n\
                    password = \"hush\"\n";
        let mistakes = Identities::parse(text).expect_err("a bad file");
        let told = mistakes.join("\n");
        for mistake in [
            "auth_url: it must be",
            "owner.pasword: unknown",
            "owner.password is missing",
            "owner.project_name is missing",
            "menber: unknown; the roles are owner, member,",
            "[member] is missing",
            "reader: it must have just one of",
            "admin.token: it must be a text",
            "stranger.password: it does not go with token",
        ] {
            assert!(told.contains(mistake), "{mistake}: {told}");
        }
        assert!(!told.contains("hush") && !told.contains("12345"), "{told}");
    }

    #[test]
    fn what_is_not_toml_is_told_by_its_line() {
        let mistakes = Identities::parse("auth_url = \"x\"\n[owner]\npassword = hush\n").expect_err("no TOML");
        assert_eq!(mistakes, ["line 3: this is not TOML"]);
    }
}
