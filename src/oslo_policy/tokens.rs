//! The tokens of Python's expressions.

use crate::oslo_policy::value::Value;

/// One token.
#[derive(Clone, Debug, PartialEq)]
pub enum Token<'a> {
    /// A name or a keyword.
    Name(&'a str),
    /// A number or a string.
    Constant(Value),
    /// An operator or a bracket.
    Operator(&'static str),
    /// A token whose value only Python could tell.
    Unclear,
}

/// The longest first.
const OPERATORS: [&str; 33] = [
    "...", "**", "//", "<<", ">>", "==", "!=", "<=", ">=", ":=", "->", "+", "-", "*", "/", "%", "@", "&", "|", "^",
    "~", "<", ">", "(", ")", "[", "]", "{", "}", ",", ".", "=", ":",
];

/// Reads all tokens of a line; nothing if it is not Python.
pub fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        let Some(first) = rest.chars().next() else { return Some(tokens) };
        let second = rest.chars().nth(1);
        let (token, after) = match first {
            '#' => return Some(tokens),
            '\'' | '"' => string(rest, Escapes::Read)?,
            '0'..='9' => number(rest)?,
            '.' if second.is_some_and(|c| c.is_ascii_digit()) => number(rest)?,
            c if c == '_' || c.is_alphabetic() => name(rest)?,
            c if c.is_ascii() => {
                let operator = OPERATORS.iter().find(|operator| rest.starts_with(**operator))?;
                (Token::Operator(operator), rest.get(operator.len()..)?)
            }
            // only Python's tables could tell whether it may stand in a name
            _ => (Token::Unclear, ""),
        };
        tokens.push(token);
        rest = after;
    }
}

/// What a backslash in a string does.
#[derive(Clone, Copy, PartialEq)]
enum Escapes {
    Read,
    Kept,
}

fn name(text: &str) -> Option<(Token<'_>, &str)> {
    let end = text.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if !rest.starts_with(['\'', '"']) {
        // other letters are folded in a way of their own
        return Some((if name.is_ascii() { Token::Name(name) } else { Token::Unclear }, rest));
    }
    match name.to_ascii_lowercase().as_str() {
        "u" => string(rest, Escapes::Read),
        "r" => string(rest, Escapes::Kept),
        "b" | "f" | "br" | "rb" | "fr" | "rf" => string(rest, Escapes::Kept).map(|(_, rest)| (Token::Unclear, rest)),
        _ => Some((Token::Name(name), rest)),
    }
}

fn string(text: &str, escapes: Escapes) -> Option<(Token<'_>, &str)> {
    let quote = text.get(..1)?;
    let end = if text.starts_with(&quote.repeat(3)) { quote.repeat(3) } else { quote.to_owned() };
    let mut rest = text.get(end.len()..)?;
    let (mut value, mut is_clear) = (String::new(), true);
    loop {
        if let Some(after) = rest.strip_prefix(&end) {
            return Some((if is_clear { Token::Constant(value.as_str().into()) } else { Token::Unclear }, after));
        }
        let mut chars = rest.chars();
        let c = chars.next()?;
        rest = chars.as_str();
        if c != '\\' {
            value.push(c);
        } else if escapes == Escapes::Kept {
            value.push(c);
            value.push(chars.next()?);
            rest = chars.as_str();
        } else {
            rest = escape(rest, &mut value, &mut is_clear)?;
        }
    }
}

/// Reads what follows a backslash.
fn escape<'a>(text: &'a str, value: &mut String, is_clear: &mut bool) -> Option<&'a str> {
    let mut chars = text.chars();
    let c = chars.next()?;
    let rest = chars.as_str();
    let digits = match c {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => 0,
    };
    if digits > 0 {
        let code = u32::from_str_radix(rest.get(..digits)?, 16).ok()?;
        match char::from_u32(code) {
            Some(c) => value.push(c),
            // half a pair, which Python has in its strings
            None => *is_clear = false,
        }
        return rest.get(digits..);
    }
    match c {
        'a' => value.push('\x07'),
        'b' => value.push('\x08'),
        'f' => value.push('\x0c'),
        'n' => value.push('\n'),
        'r' => value.push('\r'),
        't' => value.push('\t'),
        'v' => value.push('\x0b'),
        '\\' | '\'' | '"' => value.push(c),
        '0'..='7' => {
            let end = text.find(|c: char| !c.is_digit(8)).unwrap_or(text.len()).min(3);
            let code = u32::from_str_radix(text.get(..end)?, 8).ok()?;
            value.push(char::from_u32(code)?);
            return text.get(end..);
        }
        'N' => *is_clear = false,
        other => {
            value.push('\\');
            value.push(other);
        }
    }
    Some(rest)
}

fn number(text: &str) -> Option<(Token<'_>, &str)> {
    let is_part = |c: char| c == '_' || c.is_alphanumeric();
    let prefix: String = text.chars().take(2).collect::<String>().to_ascii_lowercase();
    let radix = match prefix.as_str() {
        "0x" => 16,
        "0o" => 8,
        "0b" => 2,
        _ => return decimal(text),
    };
    let (written, rest) = text.split_at(text.find(|c: char| !is_part(c)).unwrap_or(text.len()));
    let digits = written.get(2..)?;
    let digits = digits.strip_prefix('_').unwrap_or(digits);
    let digits = without_underscores(digits)?;
    if !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    Some((integer(&digits, radix), rest))
}

fn decimal(text: &str) -> Option<(Token<'_>, &str)> {
    let digits = |text: &str| text.find(|c: char| c != '_' && !c.is_ascii_digit()).unwrap_or(text.len());
    let mut end = digits(text);
    let mut is_float = false;
    if text.get(end..)?.starts_with('.') {
        is_float = true;
        end += 1 + digits(text.get(end + 1..)?);
    }
    let rest = text.get(end..)?;
    if rest.starts_with(['e', 'E']) {
        let after = rest.get(1..)?;
        let sign = usize::from(after.starts_with(['+', '-']));
        let more = digits(after.get(sign..)?);
        if more > 0 {
            is_float = true;
            end += 1 + sign + more;
        }
    }
    let (written, rest) = text.split_at(end);
    if rest.starts_with(['j', 'J']) {
        return Some((Token::Unclear, rest.get(1..)?));
    }
    if rest.starts_with(|c: char| c == '_' || c.is_alphanumeric()) {
        return None;
    }
    let plain = written.split_inclusive(['.', 'e', 'E', '+', '-']).map(|part| {
        let (digits, end) = match part.char_indices().last() {
            Some((at, c)) if !c.is_ascii_digit() && c != '_' => part.split_at(at),
            _ => (part, ""),
        };
        if digits.is_empty() { Some(end.to_owned()) } else { without_underscores(digits).map(|plain| plain + end) }
    });
    let plain = plain.collect::<Option<String>>()?;
    if is_float {
        return plain.parse().ok().map(|value| (Token::Constant(Value::Float(value)), rest));
    }
    let is_octal_of_old = plain.len() > 1 && plain.starts_with('0') && plain.chars().any(|c| c != '0');
    if is_octal_of_old { None } else { Some((integer(&plain, 10), rest)) }
}

fn integer(digits: &str, radix: u32) -> Token<'static> {
    i128::from_str_radix(digits, radix).map_or(Token::Unclear, |value| Token::Constant(Value::Int(value)))
}

/// Takes underscores out of digits; nothing if one does not stand between two of them.
fn without_underscores(digits: &str) -> Option<String> {
    let parts: Vec<&str> = digits.split('_').collect();
    (!parts.contains(&"")).then(|| parts.concat())
}
