//! `glance-gate adopt`: from the files of a Glance to a configuration, and what is told of the rest.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::harness::Directory;
use crate::harness::run;
use crate::process::Process;

const PASTE: &str = "[composite:glance-api-keystone]\npaste.composite_factory = glance.api:root_app_factory\n/: api\n\
                     /healthcheck: healthcheck\n[composite:glance-api]\n\
                     paste.composite_factory = glance.api:root_app_factory\n/: api\n[composite:api]\npaste.composite_factory = glance.api:pipeline_factory\n\
                     default = unauthenticated-context rootapp\nkeystone = cors authtoken context rootapp\n\
                     [app:healthcheck]\npaste.app_factory = oslo_middleware:Healthcheck.app_factory\n\
                     [filter:cors]\npaste.filter_factory =  oslo_middleware.cors:filter_factory\n\
                     [filter:authtoken]\npaste.filter_factory = keystonemiddleware.auth_token:filter_factory\n\
                     delay_auth_decision = true\n[filter:context]\n\
                     paste.filter_factory = glance.api.middleware.context:ContextMiddleware.factory\n";

const GOOD: &str = "[DEFAULT]\nbind_host = 192.0.2.7\nkeystone_host = keystone.example\n[keystone_authtoken]\n\
                    auth_url = http://$keystone_host:5000\nwww_authenticate_uri = https://cloud.example/identity\n\
                    auth_type = password\nusername = glance\npassword = a secret\nproject_name = service\n\
                    user_domain_name = Default\nproject_domain_name = Default\nservice_type = image\n\
                    service_token_roles = service,\n  admin\ntoken_cache_time = 60\n[paste_deploy]\nflavor = keystone\n\
                    [oslo_policy]\nenforce_new_defaults = false\n";

/// Adopts the Glance whose files stand in the directory.
async fn adopt(directory: &Directory, more: &[&str]) -> (Option<i32>, String, String) {
    let folder = directory.path().display().to_string();
    let arguments = [&["adopt", "--config-dir", &folder], more].concat();
    let ended = Process::run(&arguments, &[]).await;
    (ended.code, ended.out, ended.errors)
}

fn glance(configuration: &str) -> Directory {
    let directory = Directory::new();
    directory.write("glance-api.conf", configuration);
    directory.write("glance-api-paste.ini", PASTE);
    directory
}

#[test]
fn a_plain_glance_is_adopted_whole() {
    run(async {
        let directory = glance(GOOD);
        let policy = directory.write("policy.yaml", "modify_member: role:approver and project_id:%(member_id)s\n");
        let out = directory.path().join("gate.toml").display().to_string();
        let (code, told, notes) = adopt(&directory, &["--out", &out]).await;
        assert_eq!((code, told.as_str()), (Some(0), ""), "{notes}");
        let text = fs::read_to_string(&out).expect("a configuration");
        let password = directory.path().join("keystone_password");
        for line in [
            "profile = \"glance\"",
            "policy_defaults = \"legacy\"",
            "enforcement = \"observe\"",
            &format!("file = \"{}\"", policy.display()),
            "listen = \"192.0.2.7:9292\"",
            "auth_url = \"http://keystone.example:5000/v3\"",
            "www_authenticate_uri = \"https://cloud.example/identity\"",
            "username = \"glance\"",
            &format!("password_file = \"{}\"", password.display()),
            "project_name = \"service\"",
            "user_domain_name = \"Default\"",
            "service_token_roles = [\"service\", \"admin\"]",
            "token_cache_time = \"60s\"",
            "servers = [\"http://127.0.0.1:9293\"]",
            "health_check_path = \"/healthcheck\"",
        ] {
            assert!(text.lines().any(|known| known == line), "{line} not in\n{text}");
        }
        let origin = format!("# [keystone_authtoken] auth_url, {}/glance-api.conf:5", directory.path().display());
        assert!(text.contains(&origin), "{origin} not in\n{text}");
        assert_eq!(fs::read_to_string(&password).expect("a secret"), "a secret");
        let mode = fs::metadata(&password).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!text.contains("a secret") && !notes.contains("a secret"));
        // the gate takes it as it is
        let ended = Process::run(&["check", "--config", &out], &[]).await;
        assert_eq!(ended.code, Some(0), "{}", ended.errors);
        // and nothing is written over
        let (code, _, notes) = adopt(&directory, &["--out", &out]).await;
        assert_eq!(code, Some(255));
        assert!(notes.contains("--force"), "{notes}");
        assert_eq!(adopt(&directory, &["--out", &out, "--force"]).await.0, Some(0));
    });
}

#[test]
fn standard_output_gets_no_secret() {
    run(async {
        let directory = glance(GOOD);
        let (code, text, notes) = adopt(&directory, &["--upstream", "http://10.0.0.1:9292"]).await;
        assert_eq!(code, Some(0), "{notes}");
        assert!(text.contains("servers = [\"http://10.0.0.1:9292\"]") && !text.contains("a secret"), "{text}");
        assert!(text.contains("password_file = \"/etc/glance-gate/keystone_password\""), "{text}");
        assert!(notes.contains("the secret of the gate's user was written nowhere"), "{notes}");
    });
}

#[test]
fn what_may_differ_is_a_warning() {
    run(async {
        for (more, policy, expected) in [
            ("[cors]\nallowed_origin = *\n", "", "[cors] allowed_origin"),
            ("[DEFAULT]\nallow_anonymous_access = true\n", "", "allow_anonymous_access"),
            ("[oslo_middleware]\nenable_proxy_headers_parsing = true\n", "", "trusted_proxies"),
            ("", "modify_member: http://policy.example/\n", "the server http://policy.example/"),
            ("", "get_member: \"'x':%(os_distro)s\"\n", "%(os_distro)s of the image"),
            ("", "get_image: rule:mine\nmine: user_domain_id:default\n", "user_domain_id of the caller"),
            ("", "get_image: !\n", "allows everybody"),
        ] {
            let directory = glance(&format!("{GOOD}{more}"));
            directory.write("policy.yaml", policy);
            let (code, _, notes) = adopt(&directory, &[]).await;
            assert_eq!(code, Some(1), "{more}{policy}: {notes}");
            let is_told = notes.lines().any(|line| line.starts_with("warning: ") && line.contains(expected));
            assert!(is_told, "{expected} not in {notes}");
        }
        let directory = glance(GOOD);
        let own = "keystone = mine authtoken context rootapp\n[filter:mine]\npaste.filter_factory = mine:factory\n";
        directory.write("glance-api-paste.ini", &PASTE.replace("keystone = cors authtoken context rootapp\n", own));
        let (code, _, notes) = adopt(&directory, &[]).await;
        assert!(code == Some(1) && notes.contains("it is made by mine:factory"), "{notes}");
    });
}

#[test]
fn what_can_not_be_done_is_an_obstacle() {
    run(async {
        for (from, to, expected) in [
            ("flavor = keystone", "flavor =", "everybody is an administrator"),
            ("auth_type = password", "auth_type = v3oidcpassword", "not by v3oidcpassword"),
            ("username = glance", "user_id = 7", "not by an id"),
            ("service_type = image", "insecure = true", "always checks Keystone's certificate"),
            ("auth_url = http://$keystone_host:5000", "a = b", "does not know where Keystone is"),
            ("flavor = keystone", "flavor = mine", "no pipeline"),
            ("enforce_new_defaults = false", "policy_default_rule = mine", "\"default\""),
        ] {
            let directory = glance(&GOOD.replace(from, to));
            let (code, _, notes) = adopt(&directory, &[]).await;
            assert_eq!(code, Some(2), "{to}: {notes}");
            let is_told =
                notes.lines().any(|line| line.starts_with("can not be reproduced: ") && line.contains(expected));
            assert!(is_told, "{expected} not in {notes}");
        }
        let directory = glance(GOOD);
        directory.write("policy.yaml", "a: rule:b\nb: rule:a\n");
        let (code, _, notes) = adopt(&directory, &[]).await;
        assert!(code == Some(2) && notes.contains("leads back to itself"), "{notes}");
    });
}

#[test]
fn what_can_not_be_read_adopts_nothing() {
    run(async {
        let directory = Directory::new();
        let (code, out, notes) = adopt(&directory, &[]).await;
        assert_eq!((code, out.as_str()), (Some(255), ""), "{notes}");
        let directory = glance("[DEFAULT\n");
        let (code, _, notes) = adopt(&directory, &[]).await;
        assert!(code == Some(255) && notes.contains("glance-api.conf:1"), "{notes}");
        let directory = glance(GOOD);
        let (code, _, notes) = adopt(&directory, &["--policy", "/nowhere/policy.yaml"]).await;
        assert!(code == Some(255) && notes.contains("/nowhere/policy.yaml"), "{notes}");
    });
}

#[test]
fn later_files_and_other_sections_count() {
    run(async {
        let configuration = GOOD
            .replace("auth_url = http://$keystone_host:5000\n", "auth_section = service_user\n")
            .replace("auth_type = password\nusername = glance\npassword = a secret\n", "")
            + "[service_user]\nauth_url = https://${DEFAULT.keystone_host}/v3/\nauth_type = v3applicationcredential\n\
               application_credential_id = 77\napplication_credential_secret = 'quoted $$ secret'\n";
        let directory = glance(&configuration);
        fs::create_dir(directory.path().join("glance-api.conf.d")).expect("a folder");
        directory.write("glance-api.conf.d/9.conf", "[DEFAULT]\nkeystone_host = k9.example\n");
        let out = directory.path().join("gate.toml").display().to_string();
        let (code, _, notes) = adopt(&directory, &["--out", &out]).await;
        assert_eq!(code, Some(0), "{notes}");
        let text = fs::read_to_string(&out).expect("a configuration");
        for line in [
            "auth_url = \"https://k9.example/v3\"",
            "auth_type = \"v3applicationcredential\"",
            "application_credential_id = \"77\"",
        ] {
            assert!(text.lines().any(|known| known == line), "{line} not in\n{text}");
        }
        let secret = fs::read_to_string(directory.path().join("keystone_password")).expect("a secret");
        assert_eq!(secret, "quoted $ secret");
    });
}
