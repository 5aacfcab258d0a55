//! `glance-gate policy check`: what it prints and how it ends; `tests/oslo_policy` compares it with oslopolicy-checker.

use crate::harness::Directory;
use crate::harness::run;
use crate::process::Process;

const ACCESS: &str = r#"{"token": {"roles": [{"name": "Member"}], "user": {"id": "u"}, "project": {"id": "p"}}}"#;
const POLICY: &str = "\"a:mine\": \"role:member and project_id:%(project_id)s\"\n\"a:theirs\": \"role:admin\"\n\
                      \"a:broken\": \"user.id.x:y\"\n\"a:other\": \"http://x/\"\nplain: \"is_admin:True\"\n\
                      get_member: \"@\"\n";

async fn check(directory: &Directory, more: &[&str]) -> (Option<i32>, String, String) {
    let (policy, access) = (directory.path().join("policy.yaml"), directory.path().join("access.json"));
    let (policy, access) = (policy.display().to_string(), access.display().to_string());
    let arguments = [&["policy", "check", "--policy", &policy, "--access", &access], more].concat();
    let ended = Process::run(&arguments, &[]).await;
    (ended.code, ended.out, ended.errors)
}

fn files() -> Directory {
    let directory = Directory::new();
    directory.write("policy.yaml", POLICY);
    directory.write("access.json", ACCESS);
    directory
}

#[test]
fn rules_pass_and_fail_and_the_exit_code_is_the_same() {
    run(async {
        let directory = files();
        let (code, out, errors) = check(&directory, &[]).await;
        assert_eq!(code, Some(0), "{errors}");
        let lines: Vec<&str> =
            out.lines().filter(|line| !line.contains("can not") && !line.contains("could tell")).collect();
        let expected = ["exception: user.id.x:y", "passed: a:mine", "exception: http://x/", "failed: a:theirs"];
        assert_eq!(lines, expected);
        for (more, expected) in [
            (&["--rule", "plain"][..], "failed: plain"),
            (&["--rule", "plain", "--is_admin"], "passed: plain"),
            (&["--rule", "modify_member", "--defaults", "new"], "failed: modify_member"),
            (&["--rule", "context_is_admin", "--defaults", "legacy"], "failed: context_is_admin"),
            (&["--rule", "get_member", "--enforce_scope"], "passed: get_member"),
        ] {
            assert_eq!(check(&directory, more).await.1, expected, "{more:?}");
        }
        let target = directory.write("target.json", r#"{"project_id": "another", "deep": {"er": 1}}"#);
        let target = target.display().to_string();
        let (_, out, _) = check(&directory, &["--rule", "a:mine", "--target", &target]).await;
        assert_eq!(out, "failed: a:mine");
    });
}

#[test]
fn a_token_of_another_scope_fails_where_scopes_count() {
    run(async {
        let directory = files();
        directory.write("access.json", r#"{"token": {"roles": [], "user": {"id": "u"}, "system": {"all": true}}}"#);
        assert_eq!(check(&directory, &["--rule", "get_member"]).await.1, "passed: get_member");
        assert_eq!(check(&directory, &["--rule", "get_member", "--enforce_scope"]).await.1, "failed: get_member");
    });
}

#[test]
fn what_can_not_be_used_is_told() {
    run(async {
        let directory = files();
        let (code, out, errors) = check(&directory, &["--rule", "none"]).await;
        assert_eq!((code, out.as_str()), (Some(1), ""), "{errors}");
        assert!(errors.contains("there is no rule \"none\""), "{errors}");
        directory.write("policy.yaml", "a: [\n");
        assert_eq!(check(&directory, &[]).await.0, Some(1));
        directory.write("policy.yaml", POLICY);
        for access in ["", "{}", r#"{"token": {"roles": 5, "user": {"id": "u"}}}"#] {
            directory.write("access.json", access);
            let (code, _, errors) = check(&directory, &[]).await;
            assert_eq!(code, Some(1), "{access}");
            assert!(errors.contains("access"), "{errors}");
        }
        let ended = Process::run(&["policy", "check"], &[]).await;
        assert_eq!(ended.code, Some(2));
    });
}
