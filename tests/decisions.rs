//! The whole truth table of the decision, as a checked-in snapshot, and the promises it must keep.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test --test decisions` writes the table anew; read its difference before you commit it.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::SystemTime;

use glance_gate::glance::LookupAs;
use glance_gate::glance::policy::Policy;
use glance_gate::member_update::decide::Decision;
use glance_gate::member_update::decide::PolicyDefaults;
use glance_gate::member_update::decide::Profile;
use glance_gate::member_update::decide::Question;
use glance_gate::member_update::decide::decide;
use glance_gate::member_update::decide::decide_by_identity;
use glance_gate::member_update::family;
use glance_gate::openstack::identity::Identity;
use glance_gate::openstack::identity::ProjectId;
use glance_gate::openstack::identity::Roles;
use glance_gate::openstack::identity::Scope;
use glance_gate::openstack::identity::UserId;
use glance_gate::openstack::image::ImageOwnership;
use glance_gate::openstack::image::Seen;
use glance_gate::openstack::image::Visibility;
use glance_gate::openstack::member::MemberStatus;
use glance_gate::openstack::member::RequestedStatus;
use glance_gate::openstack::member_request::MemberRequest;
use glance_gate::openstack::member_request::RequestedMember;
use glance_gate::refusal::Refusal;

const PROFILES: [(&str, Profile); 3] = [
    ("documented", Profile::Documented),
    ("glance-new", Profile::Glance(PolicyDefaults::New)),
    ("glance-legacy", Profile::Glance(PolicyDefaults::Legacy)),
];

const LOOKUPS: [(&str, LookupAs); 2] = [("caller", LookupAs::Caller), ("service", LookupAs::Service)];

/// What Glance's policies say where its operator has none.
static NEW: LazyLock<Policy> = LazyLock::new(|| Policy::built_in(PolicyDefaults::New.old_defaults()));
static LEGACY: LazyLock<Policy> = LazyLock::new(|| Policy::built_in(PolicyDefaults::Legacy.old_defaults()));

/// Who the caller is to the image: what it owns, and what the member in the path is to it.
const CALLERS: [&str; 4] = ["owner", "owner-as-member", "member", "other"];

const ROLES: [&str; 5] = ["admin", "member", "reader", "unrelated", "unknown"];

const IMAGES: [&str; 7] = ["impossible", "absent", "private", "shared", "shared-ownerless", "community", "public"];

const STATUSES: [&str; 2] = ["known", "unknown"];

fn roles(name: &str) -> Roles {
    match name {
        // Keystone lists implied roles: admin implies member, member implies reader
        "admin" => Roles::known(["admin", "member", "reader"]),
        "member" => Roles::known(["member", "reader"]),
        "reader" => Roles::known(["reader"]),
        "unrelated" => Roles::known(["unrelated"]),
        _ => Roles::Unknown,
    }
}

fn seen(name: &str) -> Seen {
    let image = |visibility| Seen::Image(ImageOwnership { owner: Some(ProjectId::new("owner")), visibility });
    match name {
        "impossible" => Seen::Impossible,
        "absent" => Seen::Absent,
        "private" => image(Visibility::Private),
        "shared" => image(Visibility::Shared),
        "community" => image(Visibility::Community),
        "public" => image(Visibility::Public),
        _ => Seen::Image(ImageOwnership { owner: None, visibility: Visibility::Shared }),
    }
}

fn status(name: &str) -> RequestedStatus {
    match name {
        "known" => RequestedStatus::Known(MemberStatus::Accepted),
        _ => RequestedStatus::Unknown("\"perhaps\"".into()),
    }
}

/// Decides as the check does: by the identity alone, or with the ownership.
fn outcome(
    profile: Profile,
    lookup_as: LookupAs,
    scope: Scope,
    caller: &str,
    role: &str,
    image: &str,
    asked: &str,
) -> Decision {
    let identity = identity(scope, role);
    let status = status(asked);
    let policy = policy(profile);
    if let Some(decision) = decide_by_identity(profile, policy, &identity, &status) {
        return decision;
    }
    let project = ProjectId::new(if caller.starts_with("owner") { "owner" } else { "caller" });
    let member = named_member(caller);
    decide(Question {
        profile,
        policy,
        lookup_as,
        identity: &identity,
        project: &project,
        seen: &seen(image),
        member,
        status: &status,
    })
}

fn identity(scope: Scope, role: &str) -> Identity {
    Identity {
        user: UserId::new("user"),
        scope,
        roles: roles(role),
        expires_at: SystemTime::UNIX_EPOCH,
        access_rules: [].into(),
        audit_ids: [].into(),
    }
}

fn named_member(caller: &str) -> &'static str {
    match caller {
        "owner-as-member" => "owner",
        "member" => "caller",
        _ => "somebody",
    }
}

fn project(caller: &str) -> Scope {
    Scope::Project(ProjectId::new(if caller.starts_with("owner") { "owner" } else { "caller" }))
}

fn word(decision: Decision) -> String {
    match decision {
        Decision::Permit => "permit".into(),
        Decision::Ask => "ask".into(),
        Decision::Refuse(refusal) => format!("{} {}", refusal.status().as_u16(), refusal.reason()),
    }
}

fn table() -> String {
    let mut out = String::new();
    let _ = write!(out, "{:<13} {:<7} {:<15} {:<9} {:<7}", "profile", "lookup", "caller", "roles", "status");
    for image in IMAGES {
        let _ = write!(out, " | {image:<20}");
    }
    out.push('\n');
    for (profile_name, profile) in PROFILES {
        for (lookup_name, lookup_as) in LOOKUPS {
            for caller in CALLERS {
                for role in ROLES {
                    for asked in STATUSES {
                        let _ = write!(out, "{profile_name:<13} {lookup_name:<7} {caller:<15} {role:<9} {asked:<7}");
                        for image in IMAGES {
                            let decision = outcome(profile, lookup_as, project(caller), caller, role, image, asked);
                            let _ = write!(out, " | {:<20}", word(decision));
                        }
                        out.push('\n');
                    }
                }
            }
        }
    }
    for (profile_name, profile) in PROFILES {
        for (name, scope) in
            [("domain", Scope::Domain("domain".into())), ("system", Scope::System), ("unscoped", Scope::Unscoped)]
        {
            for asked in STATUSES {
                let decision = outcome(profile, LookupAs::Caller, scope.clone(), "other", "admin", "shared", asked);
                let _ =
                    writeln!(out, "{profile_name:<13} any     {name:<15} any       {asked:<7} | {}", word(decision));
            }
        }
    }
    let lines: Vec<&str> = out.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

#[test]
fn the_decision_table_is_the_one_that_was_reviewed() {
    compare_with_snapshot("decision_table.txt", &table());
}

#[test]
fn the_family_table_is_the_one_that_was_reviewed() {
    compare_with_snapshot("family_table.txt", &family_table());
}

fn compare_with_snapshot(name: &str, table: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        // one that could not be written differs below
        drop(fs::write(&path, table));
    }
    let reviewed = fs::read_to_string(&path).unwrap_or_default();
    for (number, (line, was)) in table.lines().zip(reviewed.lines()).enumerate() {
        assert_eq!(line, was, "line {} of {}", number + 1, path.display());
    }
    assert_eq!(table.lines().count(), reviewed.lines().count());
}

fn policy(profile: Profile) -> &'static Policy {
    match profile.policy_defaults() {
        Some(PolicyDefaults::Legacy) => &LEGACY,
        Some(PolicyDefaults::New) | None => &NEW,
    }
}

/// The calls of the family that are no updates; `create` of an id and of something else.
fn family_requests() -> [(&'static str, MemberRequest); 5] {
    [
        ("create", MemberRequest::Create(RequestedMember::Known("new".into()))),
        ("create-odd", MemberRequest::Create(RequestedMember::Unknown("7".into()))),
        ("delete", MemberRequest::Delete),
        ("list", MemberRequest::List),
        ("show", MemberRequest::Show),
    ]
}

fn each_of_family(mut look: impl FnMut([&str; 6], Decision)) {
    for (profile_name, profile) in PROFILES {
        for (lookup_name, lookup_as) in LOOKUPS {
            for caller in CALLERS {
                for role in ROLES {
                    for (name, request) in family_requests() {
                        for image in IMAGES {
                            let identity = identity(project(caller), role);
                            let policy = policy(profile);
                            let decided = family::decide_by_identity(profile, policy, &identity, &request);
                            let own = ProjectId::new(if caller.starts_with("owner") { "owner" } else { "caller" });
                            let question = family::Question {
                                profile,
                                lookup_as,
                                project: &own,
                                policy,
                                identity: &identity,
                                seen: &seen(image),
                                member: named_member(caller),
                                request: &request,
                            };
                            let decision = decided.unwrap_or_else(|| family::decide(question));
                            look([profile_name, lookup_name, caller, role, name, image], decision);
                        }
                    }
                }
            }
        }
    }
}

fn family_table() -> String {
    let mut out = String::new();
    let _ = write!(out, "{:<13} {:<7} {:<15} {:<9} {:<10}", "profile", "lookup", "caller", "roles", "call");
    for image in IMAGES {
        let _ = write!(out, " | {image:<23}");
    }
    each_of_family(|[profile, lookup, caller, role, name, image], decision| {
        if image == IMAGES[0] {
            let _ = write!(out, "\n{profile:<13} {lookup:<7} {caller:<15} {role:<9} {name:<10}");
        }
        let _ = write!(out, " | {:<23}", word(decision));
    });
    let lines: Vec<&str> = out.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

#[test]
fn only_the_owner_of_a_shared_image_is_ever_permitted_to_create_and_nobody_to_delete() {
    each_of_family(|[profile, lookup, caller, role, name, image], decision| {
        let what = [profile, lookup, caller, role, name, image];
        match (decision, name) {
            (Decision::Permit, "create" | "create-odd") => {
                let may = role == "member" || profile == "glance-legacy";
                assert!(caller.starts_with("owner") && image == "shared" && may, "{what:?}");
                assert!(name == "create" || profile == "documented", "{what:?}");
            }
            (Decision::Permit, "delete") => panic!("only Glance knows the member list: {what:?}"),
            (Decision::Permit, "show") => {
                assert!(caller == "member" && image == "shared" && lookup == "caller", "{what:?}");
            }
            (Decision::Permit, _) => assert!(image == "shared" && (lookup == "caller" || caller.starts_with("owner"))),
            (Decision::Ask | Decision::Refuse(_), _) => {}
        }
        if role == "admin" {
            assert_eq!(decision, Decision::Ask, "{what:?}");
        }
        if role == "unknown" && image == "shared" {
            assert_eq!(decision, Decision::Ask, "it may be an admin's: {what:?}");
        }
    });
}

fn each(mut look: impl FnMut(&str, Profile, LookupAs, &str, &str, &str, &str, Decision)) {
    for (name, profile) in PROFILES {
        for (_, lookup_as) in LOOKUPS {
            for caller in CALLERS {
                for role in ROLES {
                    for image in IMAGES {
                        for asked in STATUSES {
                            let decision = outcome(profile, lookup_as, project(caller), caller, role, image, asked);
                            look(name, profile, lookup_as, caller, role, image, asked, decision);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn only_the_member_of_a_shared_image_is_ever_permitted() {
    each(|profile, _, _, caller, role, image, asked, decision| {
        if decision == Decision::Permit {
            let is_member = caller == "member" || (caller, image) == ("owner-as-member", "shared-ownerless");
            assert!(is_member && asked == "known", "{profile} {caller} {role} {image} {asked}");
            assert!(image.starts_with("shared"), "{profile} {role} {image}");
        }
    });
}

#[test]
fn the_documented_profile_answers_owner_and_stranger_to_the_letter() {
    each(|_, profile, _, caller, role, image, _, decision| {
        if profile != Profile::Documented || role == "admin" || matches!(image, "absent" | "impossible") {
            return;
        }
        match caller {
            "owner" | "owner-as-member" if image != "shared-ownerless" => {
                assert_eq!(decision, Decision::Refuse(Refusal::OwnerForbidden), "{role} {image}");
            }
            "other" => assert_eq!(decision, Decision::Refuse(Refusal::NotTheMember), "{role} {image}"),
            _ => {}
        }
    });
}

#[test]
fn a_caller_whose_roles_are_unknown_is_never_refused_what_an_admin_may_do() {
    each(|_, profile, _, caller, role, image, _, decision| {
        if role == "unknown" && image == "shared" && matches!(profile, Profile::Glance(_)) {
            assert_eq!(decision, Decision::Ask, "{caller}");
        }
    });
}

#[test]
fn an_admin_is_decided_by_glance() {
    each(|_, profile, _, caller, role, image, asked, decision| {
        if role == "admin" {
            let expected = match (profile, asked) {
                (Profile::Documented, "unknown") => Decision::Refuse(Refusal::StatusUnknown),
                _ => Decision::Ask,
            };
            assert_eq!(decision, expected, "{caller} {image} {asked}");
        }
    });
}
