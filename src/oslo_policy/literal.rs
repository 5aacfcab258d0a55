//! Python's literals, as far as the left side of a check can be one: `ast.literal_eval`.

use crate::oslo_policy::grammar;
use crate::oslo_policy::grammar::Node;
use crate::oslo_policy::value::Value;

/// What `ast.literal_eval` makes of a text.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// A literal of this value.
    Value(Value),
    /// An expression, but no literal (`ValueError`).
    Expression,
    /// Not Python (`SyntaxError`).
    NotPython,
    /// Only Python could tell.
    Unclear,
}

/// Longer texts are not looked through.
const MAX_LENGTH: usize = 1024;

/// Evaluates a text.
pub fn evaluate(text: &str) -> Literal {
    if text.len() > MAX_LENGTH || text.contains(['\n', '\r', '\x0c', '\0']) {
        return Literal::Unclear;
    }
    let Some(node) = grammar::read(text.trim_start_matches([' ', '\t'])) else { return Literal::NotPython };
    literal(&node)
}

fn literal(node: &Node) -> Literal {
    match node {
        // a set has its elements in no order
        Node::Constant(Value::Unknown) | Node::Unclear | Node::Set(_) => Literal::Unclear,
        Node::Constant(value) => Literal::Value(value.clone()),
        Node::Signed { is_negative, operand } => signed(*is_negative, operand),
        Node::Tuple(nodes) => many(nodes, |values| {
            let texts: Option<Vec<String>> = values.iter().map(Value::repr).collect();
            let text = texts.map(|texts| texts.join(", ") + if texts.len() == 1 { "," } else { "" });
            // a tuple is only ever compared by its text
            text.map_or(Literal::Unclear, |text| Literal::Value(Value::Str(format!("({text})").into())))
        }),
        Node::List(nodes) => many(nodes, |values| Literal::Value(Value::List(values))),
        Node::EmptyDict => Literal::Value(Value::Dict(Vec::new())),
        Node::EmptySet => Literal::Value(Value::Str("set()".into())),
        Node::Other => Literal::Expression,
    }
}

fn signed(is_negative: bool, operand: &Node) -> Literal {
    match operand {
        Node::Constant(Value::Int(value)) => Literal::Value(Value::Int(if is_negative { -value } else { *value })),
        Node::Constant(Value::Float(value)) => Literal::Value(Value::Float(if is_negative { -value } else { *value })),
        // a set has its elements in no order
        Node::Constant(Value::Unknown) | Node::Unclear | Node::Set(_) => Literal::Unclear,
        _ => Literal::Expression,
    }
}

/// Evaluates elements one after the other, as Python does: the first that is no literal decides.
fn many(nodes: &[Node], make: impl Fn(Vec<Value>) -> Literal) -> Literal {
    let mut values = Vec::new();
    for node in nodes {
        // the text of a tuple in a container would be taken for a string
        if matches!(node, Node::Tuple(_) | Node::EmptySet) {
            return Literal::Unclear;
        }
        match literal(node) {
            Literal::Value(value) => values.push(value),
            other => return other,
        }
    }
    make(values)
}

#[cfg(test)]
mod tests {
    use super::Literal;
    use super::evaluate;

    fn told(text: &str) -> String {
        match evaluate(text) {
            Literal::Value(value) => value.text().unwrap_or_default(),
            Literal::Expression => "EXPRESSION".into(),
            Literal::NotPython => "NOT PYTHON".into(),
            Literal::Unclear => "UNCLEAR".into(),
        }
    }

    #[test]
    fn literals_are_told_from_names_and_from_what_is_not_python() {
        for (text, expected) in [
            ("True", "True"),
            ("None", "None"),
            ("'member'", "member"),
            ("\"member\"", "member"),
            ("'a''b'", "ab"),
            ("r'\\n'", "\\n"),
            ("'\\x41\\t'", "A\t"),
            ("0x10", "16"),
            ("1_000", "1000"),
            ("00", "0"),
            ("1.50", "1.5"),
            ("1e3", "1000.0"),
            ("-5", "-5"),
            ("[1,'a']", "[1, 'a']"),
            ("(1,)", "(1,)"),
            ("1,2", "(1, 2)"),
            ("()", "()"),
            ("(1)", "1"),
            ("{}", "{}"),
            ("set()", "set()"),
            (" 7", "7"),
            ("7#8", "7"),
            ("user_id", "EXPRESSION"),
            ("user.project.id", "EXPRESSION"),
            ("a-b", "EXPRESSION"),
            ("1+2", "EXPRESSION"),
            ("--1", "EXPRESSION"),
            ("-True", "EXPRESSION"),
            ("[a]", "EXPRESSION"),
            ("f(x,y=1)[0].z", "EXPRESSION"),
            ("a<b", "EXPRESSION"),
            ("a if b else c", "EXPRESSION"),
            ("not a", "EXPRESSION"),
            ("...", "Ellipsis"),
            ("", "NOT PYTHON"),
            ("project id", "NOT PYTHON"),
            ("'open", "NOT PYTHON"),
            ("user.class", "NOT PYTHON"),
            ("from", "NOT PYTHON"),
            ("1abc", "NOT PYTHON"),
            ("007", "NOT PYTHON"),
            ("a.", "NOT PYTHON"),
            (".a", "NOT PYTHON"),
            ("a..b", "NOT PYTHON"),
            ("(a", "NOT PYTHON"),
            ("a)", "NOT PYTHON"),
            ("$a", "NOT PYTHON"),
            ("%(a)s", "NOT PYTHON"),
            ("a+", "NOT PYTHON"),
            ("a=b", "NOT PYTHON"),
            ("1j", "UNCLEAR"),
            ("b'x'", "UNCLEAR"),
            ("{1,2}", "UNCLEAR"),
            ("[x for x in y]", "UNCLEAR"),
        ] {
            assert_eq!(told(text), expected, "{text}");
        }
    }
}
