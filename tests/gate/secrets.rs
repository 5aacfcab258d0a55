//! What the log and the metrics never hold: tokens, passwords, bodies and queries.

use glance_gate::demo::fault::Fault;
use glance_gate::demo::glance::Glance;
use glance_gate::demo::glance::ImageSpec;
use glance_gate::demo::keystone::Keystone;
use glance_gate::demo::keystone::SERVICE_PASSWORD;
use glance_gate::demo::keystone::TokenSpec;

use crate::client::Call;
use crate::harness::Directory;
use crate::harness::neighbours;
use crate::harness::run;
use crate::process::Process;
use crate::scene::MEMBER;
use crate::scene::OWNER;
use crate::scene::STRANGER;
use crate::scene::member_target;

/// Parts of a client's call that are nobody else's business.
const QUERY: &str = "query-of-a-client";
const BODY: &str = "body-of-a-client";

fn write_config(directory: &Directory, keystone: &Keystone, glance: &Glance, jws: &str) -> std::path::PathBuf {
    directory.write("public.pem", &keystone.public_key_pem());
    let password = directory.write("password", &format!("{SERVICE_PASSWORD}\n"));
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [log]\nlevel = \"trace\"\nformat = \"json\"\n[upstream]\nservers = [\"{}\"]\n\
         [keystone_authtoken]\nauth_url = \"{}\"\nusername = \"glance-gate\"\npassword_file = \"{}\"\n\
         jws = \"{jws}\"\njws_public_key_repository = \"{}\"\n\
         [decisions]\nfile = \"{}\"\npermitted_percent = 100\n",
        glance.url(),
        keystone.url(),
        password.display(),
        directory.path().display(),
        directory.path().join("decisions.jsonl").display(),
    );
    directory.write("gate.toml", &text)
}

#[test]
fn no_secret_is_in_the_log_or_the_metrics() {
    run(async {
        let (keystone, glance) = neighbours().await;
        let directory = Directory::new();
        let config = write_config(&directory, &keystone, &glance, "verify");
        let (process, address, admin) = Process::serve(&config, &[]).await;

        let image = glance.add_image(ImageSpec::owned_by(OWNER).member(MEMBER));
        let target = format!("{}?x={QUERY}", member_target(&image));
        let mut tokens = vec!["gAAAAA-token-that-was-never-issued".to_owned()];
        for project in [OWNER, MEMBER, STRANGER] {
            tokens.push(keystone.issue(TokenSpec::member(project)));
            tokens.push(keystone.issue(TokenSpec::member(project).jws()));
        }
        tokens.push(keystone.issue(TokenSpec::admin("admins")));
        tokens.push(keystone.issue(TokenSpec::member(MEMBER).jws().expired()));
        tokens.push(keystone.foreign_jws(TokenSpec::member(MEMBER)));
        let good = format!(r#"{{"status": "accepted", "x": "{BODY}"}}"#);
        let unknown = format!(r#"{{"status": "{BODY}"}}"#);
        let broken = format!(r#"{{"status": "{BODY}"#);
        let large = format!(r#"{{"status": "{}"}}"#, BODY.repeat(10_000));
        let call = |method: &str, target: &str, token: &str| Call::new(address, method, target).token(token);
        for token in &tokens {
            for body in [&good, &unknown, &broken, &large] {
                drop(call("PUT", &target, token).json(body).try_send().await);
            }
            for target in [&target, &format!("/v2/images?x={QUERY}"), &format!("/v2//images?x={QUERY}")] {
                drop(call("GET", target, token).try_send().await);
            }
            // in every place where it does not belong
            drop(call("PUT", &target, token).token(token).json(&good).try_send().await);
            drop(call("PUT", &target, &format!("{token} {token}")).json(&good).try_send().await);
            drop(Call::new(address, "PUT", &target).header("X-Storage-Token", token).json(&good).try_send().await);
            drop(Call::new(address, "PUT", &target).header("X_Auth_Token", token).json(&good).try_send().await);
            drop(call("PUT", &target, token).header("X-Service-Token", token).json(&good).try_send().await);
            let bearer = format!("Bearer {token}");
            drop(Call::new(address, "GET", "/v2/images").header("Authorization", bearer).try_send().await);
            drop(Call::new(address, "GET", "/v2/images").header("Bad Name", token).try_send().await);
        }
        for fault in [Fault::Status(500), Fault::Reset, Fault::HtmlPortal, Fault::Garbage] {
            keystone.set_fault(fault);
            glance.set_fault_on("/v2/", fault);
            let fresh = keystone.issue(TokenSpec::member(MEMBER));
            drop(call("PUT", &target, &fresh).json(&good).try_send().await);
            keystone.set_fault(Fault::None);
            drop(call("PUT", &target, &fresh).json(&good).try_send().await);
            drop(call("GET", "/v2/images", &fresh).try_send().await);
            tokens.push(fresh);
        }
        glance.set_fault(Fault::None);
        keystone.expire_service_tokens();
        let last = keystone.issue(TokenSpec::member(MEMBER));
        assert_eq!(call("PUT", &target, &last).json(&good).send().await.status, 200);
        tokens.push(last);
        // the gate's own
        let asked = keystone.requests();
        let own: Vec<String> = asked.iter().filter_map(|seen| seen.header("x-auth-token")).map(str::to_owned).collect();
        assert!(!own.is_empty());
        tokens.extend(own);

        let metrics = Call::new(admin, "GET", "/metrics").send().await.text();
        let ended = process.terminate().await;
        assert_eq!((ended.code, ended.errors.as_str()), (Some(0), ""));
        // it is a log, and one with everything in it
        for told in ["\"verdict\":\"permitted\"", "\"reason\":\"token_forged\"", "\"reason\":\"keystone_unavailable\""]
        {
            assert!(ended.out.contains(told), "no {told} in {}", ended.out);
        }
        let decisions = std::fs::read_to_string(directory.path().join("decisions.jsonl")).expect("the decision log");
        for told in ["\"verdict\":\"permitted\"", "\"rule\":\"token_forged\"", "\"member_status\":\"unknown\""] {
            assert!(decisions.contains(told), "no {told} in {decisions}");
        }
        let secrets = tokens.iter().map(|token| &token[token.len() - 20..]);
        for secret in secrets.chain([SERVICE_PASSWORD, QUERY, BODY]) {
            assert!(!metrics.contains(secret), "{secret} is in the metrics");
            let line = ended.out.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{secret} is in the log");
            let line = decisions.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{secret} is in the decision log");
        }
    });
}
