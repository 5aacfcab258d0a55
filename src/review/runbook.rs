//! What the runbook says of a reason: the page that operators read, so that both always say the same.

use crate::refusal::Refusal;

const RUNBOOK: &str = include_str!("../../deploy/RUNBOOK.md");

/// A row of the table of reasons, without the marks of its markup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What happened.
    pub what: String,
    /// Who must change something.
    pub whose: String,
    /// What to do.
    pub advice: String,
}

/// Finds the row of a reason.
pub fn row(refusal: Refusal) -> Option<Row> {
    let start = format!("| `{}` | {} |", refusal.reason(), refusal.status().as_u16());
    // the last table is the one of all reasons
    let cells = RUNBOOK.lines().rev().find_map(|line| line.strip_prefix(&start))?;
    let mut cells = cells.trim().trim_end_matches('|').split(" | ").map(plain);
    Some(Row { what: cells.next()?, whose: cells.next()?, advice: cells.next()? })
}

/// Takes the marks off: `[text](#link)` is its text, and a code span is itself.
fn plain(markup: &str) -> String {
    let mut out = String::new();
    let mut rest = markup.trim();
    while let Some((before, link)) = rest.split_once('[') {
        out.push_str(before);
        let link_text = link.split_once("](").and_then(|(text, target)| Some((text, target.split_once(')')?.1)));
        let (text, after) = link_text.unwrap_or(("[", link));
        out.push_str(text);
        rest = after;
    }
    out.push_str(rest);
    out.replace('`', "")
}

#[cfg(test)]
mod tests {
    use super::plain;
    use super::row;
    use crate::refusal::Refusal;

    #[test]
    fn every_refusal_has_a_row_that_can_be_read_aloud() {
        for refusal in Refusal::ALL {
            let row = row(*refusal).unwrap_or_else(|| panic!("no row of {refusal:?}"));
            for cell in [&row.what, &row.whose, &row.advice] {
                assert!(!cell.is_empty() && !cell.contains(['`', '|']) && !cell.contains("]("), "{refusal:?}: {cell}");
            }
        }
    }

    #[test]
    fn marks_are_taken_off() {
        assert_eq!(plain("See [Why 404](#why-404), `[limits]` and [x"), "See Why 404, [limits] and [x");
    }
}
