//! Every reason to refuse.

use std::fmt::Write as _;

use glance_gate::refusal::Refusal;

use crate::cell;
use crate::hold;
use crate::quoted;
use crate::table_below;

const RUNBOOK: &str = include_str!("../../deploy/RUNBOOK.md");

fn kind(refusal: Refusal) -> &'static str {
    if refusal.is_judgement() {
        "judgement"
    } else if refusal.is_rule() {
        "limit or outage"
    } else {
        "always"
    }
}

#[test]
fn the_page_of_reasons_is_what_the_code_answers() {
    let explained = table_below(RUNBOOK, "## Reasons");
    let mut page = String::from(
        "# Reasons\n\nEvery way the gate says no. The reason is a stable label: in the access log, in \
         `glance_gate_refusals_total{reason}`, and in the [runbook](../../deploy/RUNBOOK.md#reasons), which tells what to do.\n\n\
         *Kind*: a `judgement` on a member update is a rule, which can observe, and which is compared with Glance's answer; a \
         `limit or outage` is a rule that can observe and that there is nothing to compare with; what is refused `always` is \
         no rule: it is ambiguous, can not be forwarded, or came from Glance. *Besides*: `Retry-After` is sent with it, or the \
         connection ends with it. `{image}`, `{member}` and `{method}` stand for words of the request.\n\n\
         | reason | status | kind | besides | what happened | what the client is told |\n|---|---|---|---|---|---|\n",
    );
    for refusal in Refusal::ALL {
        let reason = refusal.reason();
        let row = explained.iter().find(|row| quoted(&row[0]) == [reason]);
        let happened = &row.unwrap_or_else(|| panic!("deploy/RUNBOOK.md does not explain {reason}"))[2];
        let mut besides = Vec::new();
        besides.extend(refusal.is_passing().then_some("`Retry-After`"));
        besides.extend(refusal.ends_connection().then_some("the connection ends"));
        writeln!(
            page,
            "| `{reason}` | {} | {} | {} | {happened} | {} |",
            refusal.status().as_u16(),
            kind(*refusal),
            besides.join(", "),
            cell(refusal.message()),
        )
        .expect("text");
    }
    hold("refusals.md", &page);
}
