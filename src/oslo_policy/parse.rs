//! From a rule's text to its checks: the tokens and the reductions of `oslo_policy/_parser.py`.

use crate::oslo_policy::check::Check;

/// A rule that could not be understood, or is too large to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// The words do not make a rule; `oslo.policy` then takes it for `!`.
    NotUnderstood,
    /// It is longer or nested deeper than any rule of use.
    TooLarge,
}

/// How long a rule may be, in bytes.
pub const MAX_LENGTH: usize = 64 * 1024;
/// How deep parentheses and `not` may be nested.
pub const MAX_DEPTH: usize = 64;

/// A word of the language, or what was made of several.
#[derive(Debug)]
enum Token {
    Check(Check),
    AndExpression(Vec<Check>),
    OrExpression(Vec<Check>),
    And,
    Or,
    Not,
    Open,
    Close,
    /// A quoted word, which no rule has a use for.
    Text,
}

/// Reads a rule.
///
/// # Errors
/// Tells why there is none.
pub fn rule(text: &str) -> Result<Check, ParseError> {
    if text.is_empty() {
        return Ok(Check::True);
    }
    if text.len() > MAX_LENGTH {
        return Err(ParseError::TooLarge);
    }
    let mut state = State::default();
    words(text, &mut state);
    if state.is_too_deep {
        return Err(ParseError::TooLarge);
    }
    let token = state.stack.pop().filter(|_| state.stack.is_empty());
    match token.ok_or(ParseError::NotUnderstood)? {
        Token::Check(check) => Ok(check),
        Token::AndExpression(checks) => Ok(Check::And(checks)),
        Token::OrExpression(checks) => Ok(Check::Or(checks)),
        Token::And | Token::Or | Token::Not | Token::Open | Token::Close | Token::Text => {
            Err(ParseError::NotUnderstood)
        }
    }
}

/// Reads the old form of a rule: lists, of which one must pass, of checks that must all pass.
pub fn lists(outer: &[Vec<Check>]) -> Check {
    let one = |checks: &[Check]| match checks {
        [check] => check.clone(),
        checks => Check::And(checks.to_vec()),
    };
    let mut alternatives: Vec<Check> = outer.iter().map(|checks| one(checks)).collect();
    match alternatives.len() {
        0 => Check::False,
        1 => alternatives.pop().unwrap_or(Check::False),
        _ => Check::Or(alternatives),
    }
}

/// Tells what Python's `\s` takes for white space.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// Cuts the text into words. Parentheses count at the beginning and the end of a word only.
fn words(text: &str, state: &mut State) {
    for word in text.split(is_space).filter(|word| !word.is_empty()) {
        let inner = word.trim_start_matches('(');
        for _ in 0..word.len() - inner.len() {
            state.shift(Token::Open);
        }
        let clean = inner.trim_end_matches(')');
        match clean.to_lowercase().as_str() {
            "" => {}
            "and" => state.shift(Token::And),
            "or" => state.shift(Token::Or),
            "not" => state.shift(Token::Not),
            _ if is_quoted(inner) => state.shift(Token::Text),
            _ => state.shift(Token::Check(Check::parse(clean))),
        }
        for _ in 0..inner.len() - clean.len() {
            state.shift(Token::Close);
        }
    }
}

fn is_quoted(word: &str) -> bool {
    let is = |quote: char| word.len() >= 2 && word.starts_with(quote) && word.ends_with(quote);
    is('"') || is('\'')
}

/// The words so far, reduced as far as they can be.
#[derive(Default)]
struct State {
    stack: Vec<Token>,
    is_too_deep: bool,
}

impl State {
    fn shift(&mut self, token: Token) {
        let open = |token: &Token| matches!(token, Token::Open | Token::Not);
        if open(&token) && self.stack.iter().filter(|token| open(token)).count() >= MAX_DEPTH {
            self.is_too_deep = true;
        }
        if self.is_too_deep {
            return;
        }
        self.stack.push(token);
        while let Some(token) = self.reduce() {
            self.stack.push(token);
        }
    }

    /// Makes one token of the last ones, if there is a rule for them.
    fn reduce(&mut self) -> Option<Token> {
        match &self.stack[..] {
            [.., Token::Open, Token::Check(_) | Token::AndExpression(_) | Token::OrExpression(_), Token::Close] => {
                self.stack.pop();
                let check = self.stack.pop()?.into_check()?;
                self.stack.pop();
                Some(Token::Check(check))
            }
            [.., Token::Check(_) | Token::AndExpression(_) | Token::OrExpression(_), Token::And, Token::Check(_)] => {
                let (left, right) = self.operands()?;
                Some(left.and(right))
            }
            [.., Token::Check(_) | Token::AndExpression(_) | Token::OrExpression(_), Token::Or, Token::Check(_)] => {
                let (left, right) = self.operands()?;
                Some(left.or(right))
            }
            [.., Token::Not, Token::Check(_)] => {
                let check = self.stack.pop()?.into_check()?;
                self.stack.pop();
                Some(Token::Check(Check::Not(Box::new(check))))
            }
            _ => None,
        }
    }

    fn operands(&mut self) -> Option<(Token, Check)> {
        let right = self.stack.pop()?.into_check()?;
        self.stack.pop();
        Some((self.stack.pop()?, right))
    }
}

impl Token {
    fn into_check(self) -> Option<Check> {
        match self {
            Self::Check(check) => Some(check),
            Self::AndExpression(checks) => Some(Check::And(checks)),
            Self::OrExpression(checks) => Some(Check::Or(checks)),
            Self::And | Self::Or | Self::Not | Self::Open | Self::Close | Self::Text => None,
        }
    }

    fn and(self, right: Check) -> Self {
        match self {
            Self::AndExpression(mut checks) => {
                checks.push(right);
                Self::AndExpression(checks)
            }
            // `a or b and c`: the last alternative is extended
            Self::OrExpression(mut checks) => {
                let last = match checks.pop() {
                    Some(Check::And(mut inner)) => {
                        inner.push(right);
                        Check::And(inner)
                    }
                    Some(check) => Check::And(vec![check, right]),
                    None => right,
                };
                checks.push(last);
                Self::OrExpression(checks)
            }
            other => Self::AndExpression(other.into_check().into_iter().chain([right]).collect()),
        }
    }

    fn or(self, right: Check) -> Self {
        match self {
            Self::OrExpression(mut checks) => {
                checks.push(right);
                Self::OrExpression(checks)
            }
            other => Self::OrExpression(other.into_check().into_iter().chain([right]).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ParseError;
    use super::rule;

    fn told(text: &str) -> String {
        match rule(text) {
            Ok(check) => check.to_string(),
            Err(ParseError::NotUnderstood) => "NOT UNDERSTOOD".into(),
            Err(ParseError::TooLarge) => "TOO LARGE".into(),
        }
    }

    #[test]
    fn rules_are_read_as_oslo_policy_does() {
        for (text, expected) in [
            ("", "@"),
            ("@", "@"),
            ("!", "!"),
            ("  ", "NOT UNDERSTOOD"),
            ("role:a", "role:a"),
            ("role", "!"),
            ("a:b:c", "a:b:c"),
            ("role:a and role:b or role:c", "((role:a and role:b) or role:c)"),
            ("role:a or role:b and role:c", "(role:a or (role:b and role:c))"),
            ("role:a or (role:b and role:c) and role:d", "(role:a or (role:b and role:c and role:d))"),
            ("not role:a and not (role:b OR rule:c)", "(not role:a and not (role:b or rule:c))"),
            ("((role:a))", "role:a"),
            ("( role:a )", "role:a"),
            ("project_id:%(project_id)s)", "NOT UNDERSTOOD"),
            ("(project_id:%(project_id)s)", "project_id:%(project_id)s"),
            ("'a'", "NOT UNDERSTOOD"),
            ("'a':%(b)s", "'a':%(b)s"),
            ("role:a role:b", "NOT UNDERSTOOD"),
            ("role:a and", "NOT UNDERSTOOD"),
            ("and", "NOT UNDERSTOOD"),
            ("()", "NOT UNDERSTOOD"),
        ] {
            assert_eq!(told(text), expected, "{text}");
        }
    }

    #[test]
    fn a_rule_can_not_be_too_large() {
        assert_eq!(told(&("not ".repeat(65) + "@")), "TOO LARGE");
        assert_eq!(told(&"(".repeat(100_000)), "TOO LARGE");
        assert_eq!(told(&("not ".repeat(64) + "@")), "not ".repeat(64) + "@");
    }
}
