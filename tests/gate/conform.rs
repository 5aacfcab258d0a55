//! `glance-gate conform`: an endpoint that keeps the contract is told so, and each fault of one that does not is told.

use std::fmt::Write as _;

use glance_gate::demo::fault::Fault;
use glance_gate::demo::glance::Glance;
use glance_gate::demo::glance::Policy;
use glance_gate::demo::keystone::Keystone;
use glance_gate::demo::keystone::TokenSpec;
use http::HeaderValue;
use http::StatusCode;
use serde_json::Value;

use crate::between::Between;
use crate::harness::Directory;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::neighbours;
use crate::harness::run;
use crate::process::Ended;
use crate::process::Process;
use crate::scene::OWNER;
use crate::scene::STRANGER;
use crate::shadow_scene::private;

const PASSWORD: &str = "the-members-password";

/// Everybody that the questions need, and the file that tells it.
struct Cast {
    keystone: Keystone,
    glance: Glance,
    directory: Directory,
    owner: String,
    admin: String,
    tokens: Vec<String>,
}

impl Cast {
    async fn new() -> Self {
        let (keystone, glance) = neighbours().await;
        Self::of(keystone, glance)
    }

    fn of(keystone: Keystone, glance: Glance) -> Self {
        // users log in to the project service
        keystone.register_user("m", PASSWORD, ["member", "reader"]);
        let owner = keystone.issue(TokenSpec::member(OWNER));
        let admin = keystone.issue(TokenSpec::admin("a"));
        let ended = keystone.issue(TokenSpec::member(OWNER));
        keystone.revoke(&ended);
        let service = keystone.issue(TokenSpec::new("r").project("service").roles(["reader"]));
        let others = [
            ("stranger", keystone.issue(TokenSpec::member(STRANGER))),
            ("reader", service),
            ("admin", admin.clone()),
            ("unscoped", keystone.issue(TokenSpec::new("u").unscoped())),
            ("ended", ended),
        ];
        let mut text = format!(
            "auth_url = \"{}\"\n[owner]\ntoken = \"{owner}\"\n[member]\nusername = \"m\"\npassword = \"{PASSWORD}\"\n\
             project_name = \"service\"\n",
            keystone.url()
        );
        let directory = Directory::new();
        private(&directory, "few.toml", &text);
        for (role, token) in &others {
            write!(text, "[{role}]\ntoken = \"{token}\"\n").expect("a text");
        }
        private(&directory, "all.toml", &text);
        let tokens = others.into_iter().map(|(_, token)| token).chain([owner.clone()]).collect();
        Self { keystone, glance, directory, owner, admin, tokens }
    }

    fn arguments<'a>(url: &'a str, identities: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        [&["conform", url, "--identities", identities][..], more].concat()
    }

    /// Judges the endpoint with everybody there.
    async fn conform(&self, url: &str, more: &[&str]) -> Ended {
        self.conform_with("all.toml", url, more).await
    }

    async fn conform_with(&self, file: &str, url: &str, more: &[&str]) -> Ended {
        let identities = self.directory.path().join(file).display().to_string();
        let ended = Process::run(&Self::arguments(url, &identities, more), &[]).await;
        for secret in self.tokens.iter().map(String::as_str).chain([PASSWORD]) {
            assert!(!ended.out.contains(secret) && !ended.errors.contains(secret), "a secret is told");
        }
        ended
    }

    /// Returns the ids of the images that were asked for.
    fn made(&self) -> Vec<String> {
        let made =
            self.glance.requests().into_iter().filter(|seen| seen.method == "POST" && seen.target == "/v2/images");
        made.map(|seen| {
            let body: Value = serde_json::from_slice(&seen.body).expect("JSON");
            assert!(body["name"].as_str().is_some_and(|name| name.starts_with("glance-gate-conform-")));
            body["id"].as_str().expect("an id").to_owned()
        })
        .collect()
    }

    fn expect_all_removed(&self, made: usize) {
        let ids = self.made();
        assert_eq!(ids.len(), made);
        for id in ids {
            assert_eq!(self.glance.visibility(&id), None, "{id} is still there");
        }
    }
}

#[test]
fn a_glance_conforms_and_its_policies_are_told_apart() {
    run(async {
        for (policy, contract) in [(Policy::New, "glance-new"), (Policy::Legacy, "glance-legacy")] {
            let cast = Cast::new().await;
            cast.glance.set_policy(policy);
            let ended = cast.conform(&cast.glance.url(), &["--json", "--with-public"]).await;
            assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.errors);
            let report: Value = serde_json::from_str(&ended.out).expect("JSON");
            assert_eq!((report["contract"].as_str(), report["conforms"].as_bool()), (Some(contract), Some(true)));
            assert_eq!((&report["skipped"], &report["notes"]), (&serde_json::json!({}), &serde_json::json!([])));
            for tally in report["contracts"].as_array().expect("a list") {
                let deviating = tally["deviating"].as_u64().expect("a count");
                assert_eq!(deviating == 0, tally["contract"] == contract, "{tally}");
            }
            cast.expect_all_removed(10);
        }
    });
}

#[test]
fn the_gate_keeps_the_documented_contract() {
    run(async {
        let gate = Gate::start(|_| {}).await.warm().await;
        let cast = Cast::of(gate.keystone.clone(), gate.glance.clone());
        let url = format!("http://{}", gate.address);
        let ended = cast.conform(&url, &["--contract", "documented"]).await;
        assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.errors);
        assert!(ended.out.ends_with(&format!("{url} conforms to documented.")), "{}", ended.out);
        // Glance alone does not
        let ended = cast.conform(&cast.glance.url(), &["--contract", "documented"]).await;
        assert_eq!(ended.code, Some(1), "{}{}", ended.out, ended.errors);
        assert!(ended.out.contains("media/xml"), "{}", ended.out);
    });
}

#[test]
fn an_owner_who_may_is_told() {
    run(async {
        let cast = Cast::new().await;
        let [owner, admin] = [&cast.owner, &cast.admin].map(|token| HeaderValue::from_str(token).expect("a value"));
        let between = Between::start(
            &cast.glance,
            move |request| {
                let token = request.headers_mut().get_mut("x-auth-token").filter(|token| **token == owner);
                let token = token.map(|token| std::mem::replace(token, admin.clone()));
                // only where it is an update
                if let Some(token) = token.filter(|_| request.method() != http::Method::PUT) {
                    request.headers_mut().insert("x-auth-token", token);
                }
            },
            |_, _| {},
        )
        .await;
        let ended = cast.conform(&between.url, &[]).await;
        assert_eq!(ended.code, Some(1), "{}{}", ended.out, ended.errors);
        for told in [
            "DEVIATES: who may set a member's status; a wrong yes lets a project decide for another one",
            "roles/owner-accepted: the owner sets accepted for the member (owner, PUT)\n      expected 403, got 200",
            "DOES NOT CONFORM to glance-new",
        ] {
            assert!(ended.out.contains(told), "{told}: {}", ended.out);
        }
        assert!(!ended.out.contains("roles/member-accepted"), "{}", ended.out);
        // no public image without being told to
        assert!(ended.out.contains("no image is made public without --with-public"), "{}", ended.out);
        cast.expect_all_removed(9);
    });
}

#[test]
fn a_refusal_that_changes_a_member_is_told() {
    run(async {
        let cast = Cast::new().await;
        let between = Between::answers(&cast.glance, |method, answer| {
            if *method == http::Method::PUT && answer.status == StatusCode::OK {
                answer.status = StatusCode::FORBIDDEN;
                answer.body = r#"{"message": "no", "code": "403 Forbidden", "title": "Forbidden"}"#.into();
            }
        })
        .await;
        let ended = cast.conform(&between.url, &["--json"]).await;
        assert_eq!(ended.code, Some(1), "{}{}", ended.out, ended.errors);
        let report: Value = serde_json::from_str(&ended.out).expect("JSON");
        let questions = report["questions"].as_array().expect("a list");
        let one = questions.iter().find(|one| one["id"] == "roles/member-accepted").expect("a question");
        assert_eq!((one["got"].as_u64(), one["verdicts"]["glance-new"].as_str()), (Some(403), Some("deviates")));
        let fault = "it was refused, and yet: a member is accepted and not pending";
        assert_eq!(one["faults"], serde_json::json!([fault]));
        cast.expect_all_removed(9);
    });
}

#[test]
fn bodies_that_are_not_what_they_should_be_are_told() {
    run(async {
        let cast = Cast::new().await;
        let between = Between::answers(&cast.glance, |method, answer| {
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            if *method == http::Method::PUT && answer.status == StatusCode::OK {
                answer.body = "done".into();
            } else if answer.status == StatusCode::FORBIDDEN {
                answer.body = text.replace("\"403 Forbidden\"", "\"500 Forbidden\"").into();
            } else if answer.status == StatusCode::UNAUTHORIZED {
                answer.headers.remove("www-authenticate");
            }
        })
        .await;
        let ended = cast.conform(&between.url, &[]).await;
        assert_eq!(ended.code, Some(1), "{}{}", ended.out, ended.errors);
        for told in [
            "roles/member-accepted: the member's project sets accepted (member, PUT)\n      expected 200, got 200\n      the body is no JSON",
            "expected 403, got 403\n      the refusal's code is another one than its status",
            "credentials/none: no token (nobody, PUT)\n      expected 401, got 401\n      WWW-Authenticate does not name Keystone",
        ] {
            assert!(ended.out.contains(told), "{told}: {}", ended.out);
        }
        cast.expect_all_removed(9);
    });
}

#[test]
fn an_endpoint_that_hangs_is_given_up_and_its_images_are_removed() {
    run(async {
        let cast = Cast::new().await;
        cast.glance.set_fault_on("/members/", Fault::Hang);
        let ended = cast.conform(&cast.glance.url(), &["--call-timeout", "1"]).await;
        assert_eq!(ended.code, Some(1), "{}{}", ended.out, ended.errors);
        assert!(ended.out.contains("got nothing\n      no answer: it did not answer in time"), "{}", ended.out);
        assert!(ended.out.ends_with("It did not answer any more."), "{}", ended.out);
        cast.expect_all_removed(9);
    });
}

#[test]
fn who_stops_it_leaves_no_image_behind() {
    run(async {
        for signal in ["INT", "TERM"] {
            let cast = Cast::new().await;
            cast.glance.set_fault_on("/members/", Fault::Hang);
            let (url, identities) = (cast.glance.url(), cast.directory.path().join("all.toml").display().to_string());
            let process = Process::start(&Cast::arguments(&url, &identities, &[]), &[]);
            eventually("a question was asked", || async { cast.glance.count(|seen| seen.method == "PUT") > 0 }).await;
            process.signal(signal);
            let ended = process.end().await;
            assert_eq!(ended.code, Some(2), "{}{}", ended.out, ended.errors);
            assert!(ended.out.contains("COULD NOT BE JUDGED"), "{}", ended.out);
            assert!(ended.out.ends_with("It was stopped before all was asked."), "{}", ended.out);
            cast.expect_all_removed(9);
        }
    });
}

#[test]
fn an_image_that_can_not_be_removed_is_named() {
    run(async {
        let cast = Cast::new().await;
        let between = Between::answers(&cast.glance, |method, answer| {
            if *method == http::Method::DELETE && answer.status == StatusCode::NO_CONTENT {
                answer.status = StatusCode::CONFLICT;
            }
        })
        .await;
        let ended = cast.conform(&between.url, &[]).await;
        assert_eq!(ended.code, Some(2), "{}{}", ended.out, ended.errors);
        let line =
            ended.out.lines().find(|line| line.starts_with("images NOT REMOVED, please delete: ")).expect("a line");
        assert!(line.contains(&cast.made()[0]), "{line}");
    });
}

#[test]
fn images_are_kept_for_who_wants_to_look_at_them() {
    run(async {
        let cast = Cast::new().await;
        let ended = cast.conform(&cast.glance.url(), &["--keep", "--verbose"]).await;
        assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.errors);
        assert!(ended.out.contains("images kept: "), "{}", ended.out);
        assert!(ended.out.contains("403       roles/owner-accepted"), "{}", ended.out);
        let kept = cast.made().into_iter().filter(|id| cast.glance.visibility(id).is_some()).count();
        // one is deleted because it is asked about as such
        assert_eq!(kept, 8);
    });
}

#[test]
fn who_is_not_there_is_not_asked_for() {
    run(async {
        let cast = Cast::new().await;
        let ended = cast.conform_with("few.toml", &cast.glance.url(), &[]).await;
        assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.errors);
        for role in ["stranger", "reader", "admin", "unscoped", "ended"] {
            assert!(ended.out.contains(&format!("because there is no {role}")), "{role}: {}", ended.out);
        }
        assert!(ended.out.contains("conforms to glance-new"), "{}", ended.out);
        cast.expect_all_removed(9);
    });
}

#[test]
fn who_is_not_who_they_should_be_is_told_before_anything_is_made() {
    run(async {
        let cast = Cast::new().await;
        let (keystone, owner) = (cast.keystone.url(), &cast.owner);
        let text = format!(
            "auth_url = \"{keystone}\"\n[owner]\ntoken = \"{owner}\"\n[member]\ntoken = \"{owner}\"\n[admin]\ntoken = \"{owner}\"\n\
             [reader]\ntoken = \"unknown\"\n[stranger]\ntoken = \"{}\"\n",
            cast.admin
        );
        private(&cast.directory, "wrong.toml", &text);
        let ended = cast.conform_with("wrong.toml", &cast.glance.url(), &[]).await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""));
        for told in [
            "[owner] and [member] must be of different projects",
            "[admin]: the role admin is missing",
            "[reader]: keystone does not know the token",
            "[stranger]: an administrator may more than it should",
        ] {
            assert!(ended.errors.contains(told), "{told}: {}", ended.errors);
        }
        private(&cast.directory, "bad.toml", "auth_url = \"x\"\n[owner]\npasswort = \"hush\"\n");
        let ended = cast.conform_with("bad.toml", &cast.glance.url(), &[]).await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""));
        assert!(ended.errors.contains("owner.passwort: unknown"), "{}", ended.errors);
        assert!(!ended.errors.contains("hush"), "{}", ended.errors);
        cast.directory.write("open.toml", &text);
        let ended = cast.conform_with("open.toml", &cast.glance.url(), &[]).await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""));
        assert!(ended.errors.contains("everybody on this machine may use the file"), "{}", ended.errors);
        let ended = cast.conform("ftp://glance", &[]).await;
        assert_eq!(ended.code, Some(2));
        assert!(ended.errors.contains("the endpoint must be an http or https URL"), "{}", ended.errors);
        assert_eq!(cast.made().len(), 0);
    });
}
