//! Glance's policy files, `[oslo_policy]`, in the gate's words.

use std::io;
use std::path::PathBuf;

use crate::adopt::Sources;
use crate::adopt::beside;
use crate::adopt::draft::Draft;
use crate::adopt::draft::list;
use crate::adopt::options::Options;
use crate::glance::policy::Policy;
use crate::glance::policy::Scopes;
use crate::glance::policy::target::UNKNOWN_OF_CALLER;
use crate::glance::policy::target::is_known_of_image;
use crate::oslo_policy::check::Check;
use crate::oslo_policy::evaluate::Named as _;
use crate::oslo_policy::files::Notice;
use crate::oslo_policy::files::Places;
use crate::oslo_policy::rules::OldDefaults;

const SECTION: &str = "oslo_policy";

/// The rules that a member update comes to.
const RULES: [&str; 4] = ["context_is_admin", "get_image", "get_member", "modify_member"];

/// Takes over where the rules are, and tells what in them only Glance can decide.
///
/// # Errors
/// Fails if the file that was named can not be read.
pub fn adopt(sources: &Sources, options: &Options, draft: &mut Draft) -> io::Result<()> {
    if let Some(found) = options.get(SECTION, &["policy_default_rule"]).filter(|found| found.value != "default") {
        draft.object(&found.origin, "the gate takes the rule \"default\" for those that are missing");
    }
    let named = options.get(SECTION, &["policy_file"]);
    let (file, origin) = match (&sources.policy, &named) {
        (Some(file), _) => (file.clone(), "as it was named".to_owned()),
        (None, Some(found)) => (beside(sources, &found.value), found.origin.clone()),
        (None, None) => (beside(sources, "policy.yaml"), "where Glance looks for it".to_owned()),
    };
    let file = std::path::absolute(file)?;
    if sources.policy.is_some() && !file.exists() {
        return Err(io::Error::other(format!("{}: there is no such file", file.display())));
    }
    let mut places = Places::default();
    if file.exists() {
        draft.text("policy", "file", &file.display().to_string(), &origin);
        places.file = file;
    } else {
        draft.note(&origin, &format!("there is no {}: Glance has its default policies", file.display()));
    }
    let mut directories = options.all(SECTION, "policy_dirs");
    if directories.is_empty() {
        directories.push("policy.d".into());
    }
    let there: Vec<PathBuf> =
        directories.iter().map(|name| beside(sources, name)).filter(|path| path.is_dir()).collect();
    if !there.is_empty() {
        let paths: Vec<String> = there.iter().map(|path| path.display().to_string()).collect();
        draft.put("policy", "directories", &list(&paths), "[oslo_policy] policy_dirs");
        places.directories = there;
    }
    let scopes = options.get(SECTION, &["enforce_scope"]);
    let scopes = match scopes.filter(|found| found.is_on() == Some(false)) {
        Some(found) => {
            draft.put("policy", "enforce_scope", "false", &found.origin);
            draft.note(&found.origin, "releases since oslo.policy 6 no longer look at it, and always do");
            Scopes::Ignored
        }
        None => Scopes::Enforced,
    };
    rules(&places, scopes, draft);
    Ok(())
}

fn rules(places: &Places, scopes: Scopes, draft: &mut Draft) {
    let place = |notice: &Notice| match notice.line {
        Some(line) => format!("{}:{line}", notice.file.display()),
        None => notice.file.display().to_string(),
    };
    let policy = match Policy::read(places, OldDefaults::Gone, scopes) {
        Ok((policy, notices)) => {
            for notice in notices {
                draft.warn(&place(&notice), &notice.what);
            }
            policy
        }
        Err(wrong) => {
            for notice in wrong {
                draft.object(&place(&notice), &format!("{}; Glance can not work by it either", notice.what));
            }
            return;
        }
    };
    for name in RULES {
        let mut unknown = Vec::new();
        collect_unknown(&policy, name, 0, &mut unknown);
        unknown.sort();
        unknown.dedup();
        if !unknown.is_empty() {
            let what = format!("it hangs on {}, which the gate does not know: Glance is asked", unknown.join(", "));
            draft.warn(&format!("the policy {name}"), &what);
        }
    }
}

/// Collects what a rule, and those that it names, look at and the gate does not know.
fn collect_unknown(policy: &Policy, name: &str, depth: usize, unknown: &mut Vec<String>) {
    let Some(check) = policy.rules().named(name).filter(|_| depth < 64) else { return };
    let mut named = Vec::new();
    check.walk(&mut |check| match check {
        Check::Rule(name) => named.push(name.clone()),
        Check::Remote(leaf) => unknown.push(format!("the server {}:{}", leaf.kind, leaf.wanted)),
        Check::Role(leaf) => unknown.extend(leaf.right.names().filter(|name| !is_known_of_image(name)).map(placed)),
        Check::Generic(leaf) => {
            unknown.extend(leaf.right.names().filter(|name| !is_known_of_image(name)).map(placed));
            if let Some(attribute) = leaf.left.attribute().filter(|name| UNKNOWN_OF_CALLER.contains(name)) {
                unknown.push(format!("{attribute} of the caller"));
            }
        }
        Check::True | Check::False | Check::Not(_) | Check::And(_) | Check::Or(_) => {}
    });
    for name in named {
        collect_unknown(policy, &name, depth + 1, unknown);
    }
}

fn placed(name: &str) -> String {
    format!("%({name})s of the image")
}
