//! Python's expressions, read just far enough to tell literals, other expressions and what is not Python apart.

use crate::oslo_policy::tokens::Token;
use crate::oslo_policy::tokens::tokens;
use crate::oslo_policy::value::Value;

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// `'text'`, `1`, `None`; a value that is not known is a number or a string all the same.
    Constant(Value),
    /// `-1` and `+1`.
    Signed {
        /// Whether the sign is a minus.
        is_negative: bool,
        /// What it stands before.
        operand: Box<Node>,
    },
    /// `1, 2`.
    Tuple(Vec<Node>),
    /// `[1, 2]`.
    List(Vec<Node>),
    /// `{1, 2}`.
    Set(Vec<Node>),
    /// `{}`.
    EmptyDict,
    /// `set()`.
    EmptySet,
    /// A name, a call, an operation.
    Other,
    /// Something that is not read here.
    Unclear,
}

/// Deeper expressions are not read.
const MAX_DEPTH: usize = 40;

const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
    "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
    "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

/// Reads an expression; nothing if it is not Python.
pub fn read(text: &str) -> Option<Node> {
    let tokens = tokens(text)?;
    if tokens.contains(&Token::Unclear) {
        return Some(Node::Unclear);
    }
    // what takes more than expressions to read: lambdas, comprehensions, assignments, starred parts
    let is_odd = |token: &Token<'_>| {
        matches!(token, Token::Operator(":" | ":=") | Token::Name("lambda" | "for" | "async" | "await" | "yield"))
    };
    let is_odd = tokens.iter().any(is_odd);
    let mut reader = Reader { tokens: &tokens, depth: 0 };
    match reader.expressions() {
        Some(node) if reader.tokens.is_empty() => Some(node),
        _ if is_odd || reader.depth > MAX_DEPTH => Some(Node::Unclear),
        _ => None,
    }
}

/// Reads the tokens one after the other.
struct Reader<'t, 'a> {
    tokens: &'t [Token<'a>],
    depth: usize,
}

impl Reader<'_, '_> {
    /// Reads one expression, or several with commas between them, which are a tuple.
    fn expressions(&mut self) -> Option<Node> {
        let (mut nodes, has_comma) = self.list(|reader| reader.tokens.is_empty())?;
        if has_comma || nodes.len() != 1 { (!nodes.is_empty()).then_some(Node::Tuple(nodes)) } else { nodes.pop() }
    }

    /// Reads expressions with commas between them, up to where `is_end` is; tells whether the last had a comma too.
    fn list(&mut self, is_end: impl Fn(&Self) -> bool) -> Option<(Vec<Node>, bool)> {
        let (mut nodes, mut has_comma) = (Vec::new(), false);
        while !is_end(self) {
            nodes.push(self.expression()?);
            has_comma = self.takes(",");
            if !has_comma {
                break;
            }
        }
        Some((nodes, has_comma))
    }

    fn expression(&mut self) -> Option<Node> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        let mut node = self.alternatives()?;
        if self.takes_word("if") {
            self.alternatives()?;
            if !self.takes_word("else") {
                return None;
            }
            self.expression()?;
            node = Node::Other;
        }
        self.depth -= 1;
        Some(node)
    }

    fn alternatives(&mut self) -> Option<Node> {
        let mut node = self.negation()?;
        while self.takes_word("or") || self.takes_word("and") {
            self.negation()?;
            node = Node::Other;
        }
        Some(node)
    }

    fn negation(&mut self) -> Option<Node> {
        if !self.takes_word("not") {
            return self.comparison();
        }
        while self.takes_word("not") {}
        self.comparison()?;
        Some(Node::Other)
    }

    fn comparison(&mut self) -> Option<Node> {
        let mut node = self.operation()?;
        while self.takes_comparison() {
            self.operation()?;
            node = Node::Other;
        }
        Some(node)
    }

    fn takes_comparison(&mut self) -> bool {
        if ["==", "!=", "<=", ">=", "<", ">"].into_iter().any(|operator| self.takes(operator)) || self.takes_word("in")
        {
            return true;
        }
        if self.takes_word("is") {
            self.takes_word("not");
            return true;
        }
        if matches!(self.tokens, [Token::Name("not"), Token::Name("in"), ..]) {
            return self.takes_word("not") && self.takes_word("in");
        }
        false
    }

    fn operation(&mut self) -> Option<Node> {
        let mut node = self.factor()?;
        while ["+", "-", "*", "/", "//", "%", "@", "**", "<<", ">>", "&", "|", "^"].into_iter().any(|op| self.takes(op))
        {
            self.factor()?;
            node = Node::Other;
        }
        Some(node)
    }

    fn factor(&mut self) -> Option<Node> {
        for sign in ["+", "-", "~"] {
            if self.takes(sign) {
                self.depth += 1;
                let operand = (self.depth <= MAX_DEPTH).then(|| self.factor()).flatten()?;
                self.depth -= 1;
                // a power binds closer than its sign
                let is_power = matches!(self.tokens, [Token::Operator("**"), ..]);
                return Some(match sign {
                    "~" => Node::Other,
                    _ if is_power => Node::Other,
                    sign => Node::Signed { is_negative: sign == "-", operand: Box::new(operand) },
                });
            }
        }
        self.primary()
    }

    fn primary(&mut self) -> Option<Node> {
        let is_set = matches!(self.tokens, [Token::Name("set"), ..]);
        let mut node = self.atom()?;
        let mut steps = 0;
        loop {
            if self.takes(".") {
                let (Token::Name(name), rest) = self.tokens.split_first()? else { return None };
                if KEYWORDS.contains(name) {
                    return None;
                }
                self.tokens = rest;
                node = Node::Other;
            } else if self.takes("(") {
                let is_empty = self.arguments()?;
                node = if is_set && is_empty && steps == 0 { Node::EmptySet } else { Node::Other };
            } else if self.takes("[") {
                let (nodes, _) = self.list(|reader| reader.is_at("]"))?;
                if nodes.is_empty() || !self.takes("]") {
                    return None;
                }
                node = Node::Other;
            } else {
                return Some(node);
            }
            steps += 1;
        }
    }

    /// Reads the arguments of a call; tells whether there are none.
    fn arguments(&mut self) -> Option<bool> {
        let (mut is_empty, mut is_named) = (true, false);
        while !self.is_at(")") {
            is_empty = false;
            if let [Token::Name(name), Token::Operator("="), rest @ ..] = self.tokens {
                if KEYWORDS.contains(name) {
                    return None;
                }
                self.tokens = rest;
                is_named = true;
            } else if is_named {
                return None;
            }
            self.expression()?;
            if !self.takes(",") {
                break;
            }
        }
        self.takes(")").then_some(is_empty)
    }

    fn atom(&mut self) -> Option<Node> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        match first {
            Token::Name("None") => Some(Node::Constant(Value::None)),
            Token::Name("True") => Some(Node::Constant(Value::Bool(true))),
            Token::Name("False") => Some(Node::Constant(Value::Bool(false))),
            Token::Name(name) => (!KEYWORDS.contains(name)).then_some(Node::Other),
            Token::Constant(value) => Some(self.joined(value)),
            Token::Operator("...") => Some(Node::Constant("Ellipsis".into())),
            Token::Operator("(") => {
                let (mut nodes, has_comma) = self.list(|reader| reader.is_at(")"))?;
                let is_closed = self.takes(")");
                let is_one = nodes.len() == 1 && !has_comma;
                is_closed.then(|| if is_one { nodes.pop().unwrap_or(Node::Other) } else { Node::Tuple(nodes) })
            }
            Token::Operator("[") => {
                let (nodes, _) = self.list(|reader| reader.is_at("]"))?;
                self.takes("]").then_some(Node::List(nodes))
            }
            Token::Operator("{") => {
                let (nodes, _) = self.list(|reader| reader.is_at("}"))?;
                let node = if nodes.is_empty() { Node::EmptyDict } else { Node::Set(nodes) };
                self.takes("}").then_some(node)
            }
            Token::Operator(_) | Token::Unclear => None,
        }
    }

    /// Joins strings that stand beside each other.
    fn joined(&mut self, first: &Value) -> Node {
        let Value::Str(first) = first else { return Node::Constant(first.clone()) };
        let mut text = first.to_string();
        while let [Token::Constant(Value::Str(next)), rest @ ..] = self.tokens {
            text.push_str(next);
            self.tokens = rest;
        }
        Node::Constant(Value::Str(text.into()))
    }

    fn is_at(&self, operator: &str) -> bool {
        matches!(self.tokens, [Token::Operator(found), ..] if *found == operator)
    }

    fn takes(&mut self, operator: &str) -> bool {
        let is_there = self.is_at(operator);
        if is_there {
            self.tokens = self.tokens.get(1..).unwrap_or_default();
        }
        is_there
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let is_there = matches!(self.tokens, [Token::Name(found), ..] if *found == word);
        if is_there {
            self.tokens = self.tokens.get(1..).unwrap_or_default();
        }
        is_there
    }
}
