//! The rules that Glance 33 registers (`glance/policies/base.py`, `image.py`), as far as the gate may come to them.

use crate::oslo_policy::check::Check;
use crate::oslo_policy::parse;
use crate::oslo_policy::rules::RuleDefault;

/// The rule that stands for those that are missing, `[oslo_policy] policy_default_rule`.
pub const DEFAULT_RULE: &str = "default";

const ADMIN: &str = "rule:context_is_admin";
const GET_IMAGE: &str = "rule:context_is_admin or (role:reader and (project_id:%(project_id)s or \
                         project_id:%(member_id)s or 'community':%(visibility)s or 'public':%(visibility)s or \
                         'shared':%(visibility)s))";
const GET_MEMBER: &str =
    "rule:context_is_admin or role:reader and (project_id:%(project_id)s or project_id:%(member_id)s)";
const MODIFY_MEMBER: &str = "rule:context_is_admin or (role:member and project_id:%(member_id)s)";
const CHANGE_MEMBERS: &str = "rule:context_is_admin or (role:member and project_id:%(project_id)s)";

/// Returns the rules that Glance registers, as far as a member update may come to them.
pub fn defaults() -> Vec<RuleDefault> {
    let parse = |text| parse::rule(text).unwrap_or(Check::False);
    let plain = |name, text| RuleDefault { name, check: parse(text), deprecated: None, scope_types: &[] };
    let changed = |name, text| RuleDefault {
        name,
        check: parse(text),
        deprecated: Some((name, parse("rule:default"))),
        scope_types: &["project"],
    };
    let default = RuleDefault {
        name: DEFAULT_RULE,
        check: Check::True,
        deprecated: Some((DEFAULT_RULE, parse(ADMIN))),
        scope_types: &[],
    };
    vec![
        default,
        plain("context_is_admin", "role:admin"),
        plain("service_api", "role:service or role:admin"),
        changed("get_image", GET_IMAGE),
        changed("get_member", GET_MEMBER),
        changed("get_members", GET_MEMBER),
        changed("modify_member", MODIFY_MEMBER),
        changed("add_member", CHANGE_MEMBERS),
        changed("delete_member", CHANGE_MEMBERS),
    ]
}
