//! No token of production reaches staging: all bytes that it has received are searched.

use glance_gate::config::load;
use glance_gate::demo::keystone::Keystone;
use glance_gate::demo::keystone::TokenSpec;
use glance_gate::demo::keystone::stable_id;
use glance_gate::secret::Secret;
use glance_gate::shadow::config::Credentials;
use glance_gate::shadow::config::ExchangeFile;
use glance_gate::shadow::config::StagingCredential;
use glance_gate::shadow::config::Twice;
use http::HeaderName;
use http::Method;

use crate::harness::Directory;
use crate::harness::run;
use crate::scene::MEMBER;
use crate::scene::OWNER;
use crate::scene::Scene;
use crate::shadow_scene::Shadowed;
use crate::shadow_scene::private;

const MEMBER_ROUTE: &str = "/v2/images/{image_id}/members/{member_id}";

fn credential(project: Option<&str>, user: Option<&str>, id: &str) -> StagingCredential {
    StagingCredential {
        project: project.map(str::to_owned),
        user: user.map(str::to_owned),
        id: id.to_owned(),
        secret: Secret::new(format!("{id}-secret")),
    }
}

fn exchange(keystone: &Keystone, credentials: Vec<StagingCredential>) -> Credentials {
    for credential in &credentials {
        let user = format!("{}-user", credential.id);
        keystone.register_credential(&credential.id, credential.secret.expose(), &user, ["member", "reader"]);
    }
    Credentials::Exchange(ExchangeFile { auth_url: keystone.url(), cafile: None, credentials })
}

/// Sends every kind of call with every kind of secret, as users of production do; returns the secrets.
async fn busy_production(shadowed: &Shadowed, scene: &Scene) -> Vec<String> {
    let gate = &shadowed.gate;
    let service = gate.keystone.issue(TokenSpec::service("nova"));
    let bearer = "eyJhbGciOiJSUzI1NiJ9.bearer-of-production.signature";
    let mut secrets = vec![service.clone(), bearer.to_owned(), "cookie-of-production".to_owned()];
    for token in [&scene.owner, &scene.member, &scene.stranger] {
        secrets.push(token.clone());
        for target in [scene.image_target(), "/v2/images".into(), format!("{}/members", scene.image_target())] {
            let call = gate.call("GET", &target).token(token).header("X-Service-Token", &service);
            call.header("Authorization", format!("Bearer {bearer}"))
                .header("Cookie", "session=cookie-of-production")
                .header("X-Roles", "admin")
                .header("X-User-Id", "production-user")
                .header("X-Trace-Note", "kept")
                .send()
                .await;
        }
        scene.accept(gate).token(token).header("X-Service-Token", &service).send().await;
        // where no token belongs
        gate.call("GET", &format!("/v2/images?marker={token}")).token(token).send().await;
        gate.call("GET", &format!("/v2/images?x={token}&token=other-secret-of-production")).send().await;
        gate.call("GET", "/v2/images").token(token).header("User-Agent", format!("cli/1 ({token})")).send().await;
    }
    secrets.push("other-secret-of-production".to_owned());
    secrets
}

#[test]
fn no_secret_of_production_is_in_anything_staging_received() {
    run(async {
        for mode in ["strip", "exchange"] {
            let shadowed = Shadowed::start(|config| {
                config.shadow.writes = vec![(Method::PUT, MEMBER_ROUTE)];
                config.shadow.keep_headers = vec![HeaderName::from_static("x-trace-note")];
                config.shadow.twice = Twice::Primary;
                config.shadow.twice_percent = 100;
            })
            .await;
            let keystone = &shadowed.staging.keystone;
            if mode == "exchange" {
                let credentials = exchange(keystone, vec![credential(None, None, "all")]);
                shadowed.gate.reload(|config| config.shadow.credentials = credentials).await.expect("good");
            }
            let scene = Scene::new(&shadowed.gate);
            let secrets = busy_production(&shadowed, &scene).await;
            // nine reads, and one update that the gate let through
            shadowed.wait_for_sent(10).await;
            shadowed.wait_for_dropped("secret", 9).await;
            shadowed.wait_for_rest().await;
            assert_eq!(shadowed.staging.seen().len(), 10, "{mode}");
            for secret in secrets.iter().map(String::as_str).chain(["production-user", "x-roles", "x-user-id"]) {
                shadowed.staging.expect_nowhere(secret);
            }
            let tokens: Vec<Option<String>> =
                shadowed.staging.seen().iter().map(|seen| seen.header("x-auth-token").map(str::to_owned)).collect();
            assert_eq!(tokens.iter().all(Option::is_some), mode == "exchange", "{mode}: {tokens:?}");
            assert!(tokens.iter().flatten().all(|token| keystone.look_up(token).is_some()), "staging's own tokens");
            assert!(
                shadowed
                    .staging
                    .seen()
                    .iter()
                    .filter(|seen| seen.method == "GET")
                    .all(|seen| { seen.header("x-trace-note") == Some("kept") })
            );
        }
    });
}

#[test]
fn each_caller_has_the_credential_that_stands_for_them() {
    run(async {
        let shadowed = Shadowed::start(|_| {}).await;
        let keystone = &shadowed.staging.keystone;
        let member_user = stable_id(&format!("{MEMBER}-user"));
        let credentials = exchange(
            keystone,
            vec![credential(Some(OWNER), None, "for-owner"), credential(None, Some(&member_user), "for-member")],
        );
        shadowed.gate.reload(|config| config.shadow.credentials = credentials).await.expect("good");
        let gate = &shadowed.gate;
        let scene = Scene::new(gate);
        for (token, credential) in
            [(&scene.owner, "for-owner"), (&scene.member, "for-member"), (&scene.owner, "for-owner")]
        {
            let before = shadowed.staging.seen().len();
            gate.call("GET", &scene.image_target()).token(token).send().await;
            let seen = shadowed.staging.wait_for(before + 1).await.pop().expect("the copy");
            let sent = keystone.look_up(seen.header("x-auth-token").expect("a token")).expect("staging's own");
            assert_eq!(sent.user_name, format!("{credential}-user"));
        }
        let logins = keystone.count(|seen| seen.method == "POST");
        assert_eq!(logins, 2, "a token is kept as long as it holds");
        // nobody stands for a stranger; who has no good token has none there either
        gate.call("GET", &scene.image_target()).token(&scene.stranger).send().await;
        shadowed.wait_for_dropped("no_credential", 1).await;
        gate.call("GET", &scene.image_target()).token("never-issued").send().await;
        gate.call("GET", &scene.image_target()).send().await;
        let seen = shadowed.staging.wait_for(5).await;
        assert!(seen[3..].iter().all(|seen| seen.header("x-auth-token").is_none()), "{seen:?}");
        for token in [&scene.owner, &scene.member, &scene.stranger] {
            shadowed.staging.expect_nowhere(token);
        }
    });
}

#[test]
fn without_a_token_of_stagings_own_nothing_is_sent() {
    run(async {
        let shadowed = Shadowed::start(|_| {}).await;
        let unknown = credential(None, None, "unknown");
        let file = ExchangeFile { auth_url: shadowed.staging.keystone.url(), cafile: None, credentials: vec![unknown] };
        let change = Credentials::Exchange(file);
        shadowed.gate.reload(|config| config.shadow.credentials = change).await.expect("good");
        let scene = Scene::new(&shadowed.gate);
        for _ in 0..3 {
            let reply = shadowed.gate.call("GET", &scene.image_target()).token(&scene.owner).send().await;
            assert_eq!(reply.status, 200);
        }
        shadowed.wait_for_dropped("login_failed", 3).await;
        assert!(shadowed.staging.seen().is_empty());
        assert_eq!(shadowed.staging.keystone.count(|seen| seen.method == "POST"), 1, "a refused credential pauses");
        shadowed.staging.expect_nowhere(&scene.owner);
        shadowed.wait_for_rest().await;
    });
}

#[test]
fn a_kept_token_goes_and_nothing_else_does() {
    run(async {
        let shadowed = Shadowed::start(|config| config.shadow.credentials = Credentials::Keep).await;
        let scene = Scene::new(&shadowed.gate);
        let service = shadowed.gate.keystone.issue(TokenSpec::service("nova"));
        let call = shadowed.gate.call("GET", &scene.image_target()).token(&scene.owner);
        call.header("X-Service-Token", &service).header("Cookie", "session=chocolate").send().await;
        let seen = shadowed.staging.wait_for(1).await.pop().expect("the copy");
        assert_eq!(seen.header("x-auth-token"), Some(scene.owner.as_str()));
        shadowed.staging.expect_nowhere(&service);
        shadowed.staging.expect_nowhere("chocolate");
    });
}

fn mistakes(text: &str) -> Vec<String> {
    let environment = [("GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD".to_owned(), "x".to_owned())];
    load::parse("gate.toml", text, &environment).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn a_token_of_production_is_kept_only_if_that_is_said_twice() {
    let once = mistakes("[shadow]\ntarget = \"http://staging:9292\"\ncredentials = \"keep\"\n");
    assert_eq!(once.len(), 1, "{once:?}");
    assert!(once[0].starts_with("gate.toml:3: [shadow] credentials: "), "{once:?}");
    let twice = "[shadow]\ncredentials = \"keep\"\nkeep_credentials = \"staging may have production tokens\"\n";
    assert!(mistakes(twice).is_empty());
    let alone = mistakes("[shadow]\nkeep_credentials = \"staging may have production tokens\"\n");
    assert!(alone[0].starts_with("gate.toml:2: [shadow] keep_credentials: "), "{alone:?}");
}

#[test]
fn what_makes_no_sense_is_a_mistake_with_its_line() {
    let text = "[shadow]\ntarget = \"ftp://staging\"\nmethods = [\"GET\", \"PUT\"]\nroutes = [\"/v2/imagos\"]\n\
                writes = [\"PUT /v2/images/{image_id}/file\", \"PUT\", \"GET /v2/images\"]\npercent = 101\n\
                keep_headers = [\"X-Fine\", \"X_Auth_Token\"]\ntwice = \"staging\"\nmax_bytes = \"1KiB\"\n\
                max_in_flight = 0\nmax_queue = 0\ndrop_headers = [\"a b\"]\ncredentials = \"exchange\"\n";
    let told = mistakes(text);
    for line in [2, 3, 4, 5, 6, 7, 9, 10, 11, 12] {
        assert!(told.iter().any(|told| told.starts_with(&format!("gate.toml:{line}: [shadow] "))), "{line}: {told:#?}");
    }
    for key in ["control", "exchange_file"] {
        assert!(told.iter().any(|told| told.starts_with(&format!("gate.toml: [shadow] {key}: "))), "{key}: {told:#?}");
    }
    assert_eq!(told.iter().filter(|told| told.starts_with("gate.toml:5: ")).count(), 3, "{told:#?}");
}

#[test]
fn the_files_beside_are_read_strictly_and_tell_no_secret() {
    let directory = Directory::new();
    let section = |key: &str, path: &std::path::Path| {
        format!("[shadow]\ncredentials = \"exchange\"\n{key} = \"{}\"\n", path.display())
    };
    let good = "auth_url = \"http://staging:5000/v3\"\n[[credential]]\nproject = \"p\"\n\
                application_credential_id = \"i\"\napplication_credential_secret = \"planted-secret\"\n";
    let path = private(&directory, "good.toml", good);
    let environment = [("GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD".to_owned(), "x".to_owned())];
    let (config, _) = load::parse("gate.toml", &section("exchange_file", &path), &environment).expect("a good file");
    assert!(!format!("{config:?}").contains("planted-secret"));
    assert!(config.settings.iter().all(|setting| !setting.value.contains("planted-secret")));
    for (name, text, line) in [
        ("unknown.toml", format!("{good}colour = 1\n"), ":6: "),
        ("number.toml", good.replace("\"planted-secret\"", "4711"), ":5: "),
        ("syntax.toml", good.replace("\"p\"", "planted-secret"), ":3: "),
        ("same.toml", format!("{good}{}", good.split_once('\n').expect("lines").1), ":6: "),
        ("url.toml", good.replace("/v3", ""), ":1: "),
        ("empty.toml", "auth_url = \"http://staging:5000/v3\"\n".to_owned(), ": "),
    ] {
        let path = private(&directory, name, &text);
        let told = mistakes(&section("exchange_file", &path));
        let place = format!("{}{line}[shadow] exchange_file: ", path.display());
        assert!(told.iter().any(|told| told.starts_with(&place)), "{place} not in {told:#?}");
        assert!(!told.iter().any(|told| told.contains("planted-secret") || told.contains("4711")), "{told:#?}");
    }
    let open = directory.write("open.toml", good);
    assert!(mistakes(&section("exchange_file", &open))[0].contains("everybody on this machine may use the file"));
    let ids = "[images]\n\"a\" = \"b\"\n[projects]\n\"a\" = \"c\"\n\"d\" = \"e f\"\n";
    let path = directory.write("ids.toml", ids);
    let told = mistakes(&format!("[shadow]\nids_file = \"{}\"\n", path.display()));
    for line in [4, 5] {
        let place = format!("{}:{line}: [shadow] ids_file: ", path.display());
        assert!(told.iter().any(|told| told.starts_with(&place)), "{place} not in {told:#?}");
    }
    let unknown = directory.write("unknown.toml", "[image]\n");
    assert!(mistakes(&format!("[shadow]\nids_file = \"{}\"\n", unknown.display()))[0].contains(":1: "));
    let missing = mistakes("[shadow]\nids_file = \"/nowhere/ids.toml\"\n");
    assert!(missing[0].starts_with("gate.toml:2: [shadow] ids_file: "), "{missing:?}");
}
