//! The right side of a check, such as `%(project_id)s`: Python's `%` formatting with the target's attributes.

use std::borrow::Cow;

use crate::oslo_policy::value::Value;

/// Attributes that can be asked for by name: of a target, or of credentials.
pub trait Attributes {
    /// Returns an attribute, if there is one of that name.
    fn attribute(&self, name: &str) -> Option<Cow<'_, Value>>;

    /// Returns all of them as one value, if that is known.
    fn whole(&self) -> Cow<'_, Value> {
        Cow::Owned(Value::Unknown)
    }
}

/// A text with places for attributes, cut into its pieces when a rule is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    pieces: Vec<Piece>,
}

/// What became of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filled<'a> {
    /// This text.
    Text(Cow<'a, str>),
    /// An attribute is not there: the check fails.
    Missing,
    /// An attribute is there, but its text is not known.
    Unknown,
    /// Python raises an exception.
    Raised,
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Literal(String),
    /// An attribute.
    Attribute(String, Shape),
    /// The target as a whole: `%s` without a name.
    Whole(Shape),
    /// Python raises an exception here.
    Broken,
}

/// How an attribute is written.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Shape {
    conversion: Conversion,
    is_left: bool,
    width: usize,
    precision: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Conversion {
    /// `%s`.
    Text,
    /// `%r`.
    Repr,
    /// `%d`, `%i` and `%u`.
    Integer,
    /// Other conversions of numbers.
    Number,
    /// Python raises an exception.
    Broken,
    /// Only Python could tell.
    Unclear,
}

/// Wider texts than this are not made.
const MAX_WIDTH: usize = 4096;

impl Template {
    /// Cuts a text into pieces. What is wrong with it shows when it is filled, as in Python.
    pub fn parse(text: &str) -> Self {
        let mut reader = Reader { rest: text, pieces: Vec::new(), took_value: false };
        reader.read();
        Self { pieces: reader.pieces }
    }

    /// Returns the names of the attributes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Attribute(name, _) => Some(name.as_str()),
            Piece::Literal(_) | Piece::Whole(_) | Piece::Broken => None,
        })
    }

    /// Fills in the attributes.
    pub fn fill<'a>(&'a self, attributes: &'a dyn Attributes) -> Filled<'a> {
        match &self.pieces[..] {
            [] => return Filled::Text(Cow::Borrowed("")),
            [Piece::Literal(text)] => return Filled::Text(Cow::Borrowed(text)),
            // nearly all templates are this one
            [Piece::Attribute(name, shape)] if *shape == Shape::PLAIN => {
                if let Some(Cow::Borrowed(Value::Str(text))) = attributes.attribute(name) {
                    return Filled::Text(Cow::Borrowed(text));
                }
            }
            _ => {}
        }
        let mut out = String::new();
        let mut is_known = true;
        for piece in &self.pieces {
            let (value, shape) = match piece {
                Piece::Literal(text) => {
                    out.push_str(text);
                    continue;
                }
                Piece::Attribute(name, shape) => match attributes.attribute(name) {
                    Some(value) => (value, shape),
                    None => return Filled::Missing,
                },
                Piece::Whole(shape) => (attributes.whole(), shape),
                Piece::Broken => return Filled::Raised,
            };
            match shape.write(&value) {
                Filled::Text(text) => out.push_str(&text),
                Filled::Unknown => is_known = false,
                other @ (Filled::Missing | Filled::Raised) => return other,
            }
        }
        if is_known { Filled::Text(Cow::Owned(out)) } else { Filled::Unknown }
    }
}

impl Shape {
    /// `%(name)s`.
    const PLAIN: Self = Self { conversion: Conversion::Text, is_left: false, width: 0, precision: None };

    fn write(self, value: &Value) -> Filled<'static> {
        let is_plain = self.width == 0 && self.precision.is_none();
        let text = match (self.conversion, value) {
            (Conversion::Broken, _) => return Filled::Raised,
            (Conversion::Unclear, _) | (_, Value::Unknown) => return Filled::Unknown,
            (Conversion::Text, value) => value.text(),
            (Conversion::Repr, value) => value.repr(),
            (Conversion::Integer, Value::Int(_)) if is_plain => value.text(),
            (Conversion::Integer, Value::Bool(value)) if is_plain => Some(u8::from(*value).to_string()),
            (Conversion::Integer, Value::Float(value)) if is_plain && value.is_finite() => Some(whole(*value)),
            (Conversion::Integer | Conversion::Number, Value::Int(_) | Value::Float(_) | Value::Bool(_)) => None,
            // %c takes a string of one character
            (Conversion::Number, Value::Str(text)) if text.chars().count() == 1 => None,
            (Conversion::Integer | Conversion::Number, _) => return Filled::Raised,
        };
        let Some(mut text) = text else { return Filled::Unknown };
        if let Some(precision) = self.precision {
            text = text.chars().take(precision).collect();
        }
        let fill = " ".repeat(self.width.saturating_sub(text.chars().count()));
        Filled::Text(Cow::Owned(if self.is_left { text + &fill } else { fill + &text }))
    }
}

/// Reads a text as `unicode_format` of `CPython` does.
struct Reader<'a> {
    rest: &'a str,
    pieces: Vec<Piece>,
    took_value: bool,
}

impl<'a> Reader<'a> {
    fn read(&mut self) {
        while let Some((before, after)) = self.rest.split_once('%') {
            self.literal(before);
            self.rest = after;
            self.specifier();
            if self.pieces.last() == Some(&Piece::Broken) {
                return;
            }
        }
        self.literal(self.rest);
    }

    fn literal(&mut self, text: &str) {
        if let Some(Piece::Literal(last)) = self.pieces.last_mut() {
            last.push_str(text);
        } else if !text.is_empty() {
            self.pieces.push(Piece::Literal(text.into()));
        }
    }

    /// Reads what follows a `%`.
    fn specifier(&mut self) {
        if let Some(rest) = self.rest.strip_prefix('%') {
            self.rest = rest;
            self.literal("%");
            return;
        }
        let name = if let Some(rest) = self.rest.strip_prefix('(') {
            let Some((name, rest)) = name(rest) else { return self.pieces.push(Piece::Broken) };
            self.rest = rest;
            Some(name)
        } else {
            None
        };
        let shape = self.shape();
        match (name, shape.conversion) {
            (Some(name), _) => {
                self.took_value = true;
                self.pieces.push(Piece::Attribute(name.into(), shape));
            }
            (None, Conversion::Broken) => self.pieces.push(Piece::Broken),
            // Python has given its only value away
            (None, _) if self.took_value => self.pieces.push(Piece::Broken),
            (None, _) => {
                self.took_value = true;
                self.pieces.push(Piece::Whole(shape));
            }
        }
    }

    fn shape(&mut self) -> Shape {
        let is_flag = |c: char| matches!(c, '-' | '+' | ' ' | '#' | '0');
        let is_left = self.take_while(is_flag).contains('-');
        let width = self.take_while(|c| c.is_ascii_digit()).parse();
        let precision = self.rest.strip_prefix('.').map(|rest| {
            self.rest = rest;
            self.take_while(|c| c.is_ascii_digit()).parse().unwrap_or_default()
        });
        self.rest = self.rest.strip_prefix(['h', 'l', 'L']).unwrap_or(self.rest);
        let width = width.unwrap_or_default();
        let conversion = match self.rest.chars().next() {
            _ if width > MAX_WIDTH => Conversion::Unclear,
            Some('s') => Conversion::Text,
            Some('r') => Conversion::Repr,
            Some('d' | 'i' | 'u') => Conversion::Integer,
            Some('o' | 'x' | 'X' | 'e' | 'E' | 'f' | 'F' | 'g' | 'G' | 'c') => Conversion::Number,
            Some('a' | '*') => Conversion::Unclear,
            Some(_) | None => Conversion::Broken,
        };
        let mut rest = self.rest.chars();
        rest.next();
        self.rest = rest.as_str();
        Shape { conversion, is_left, width, precision }
    }

    fn take_while(&mut self, is_wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !is_wanted(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }
}

/// Writes a float without what stands behind its point.
fn whole(value: f64) -> String {
    let text = format!("{}", value.trunc());
    if text == "-0" { "0".into() } else { text }
}

/// Splits the name of an attribute from what follows its closing parenthesis.
fn name(text: &str) -> Option<(&str, &str)> {
    let mut open = 1;
    for (at, c) in text.char_indices() {
        match c {
            '(' => open += 1,
            ')' => open -= 1,
            _ => {}
        }
        if open == 0 {
            let (name, rest) = text.split_at(at);
            return Some((name, rest.get(1..).unwrap_or_default()));
        }
    }
    None
}

impl Attributes for Value {
    fn attribute(&self, name: &str) -> Option<Cow<'_, Value>> {
        match self {
            Self::Unknown => Some(Cow::Owned(Value::Unknown)),
            value => value.get(name).map(Cow::Borrowed),
        }
    }

    fn whole(&self) -> Cow<'_, Value> {
        Cow::Borrowed(self)
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::Filled;
    use super::Template;
    use crate::oslo_policy::value::Value;

    fn fill(text: &str) -> String {
        let json =
            r#"{"a": "x", "n": 5, "f": -2.7, "none": null, "yes": true, "list": ["p"], "o(p)": "q", "": "empty"}"#;
        let target: Value = serde_json::from_str(json).expect("JSON");
        match Template::parse(text).fill(&target) {
            Filled::Text(text) => Cow::into_owned(text),
            Filled::Missing => "MISSING".into(),
            Filled::Unknown => "UNKNOWN".into(),
            Filled::Raised => "RAISED".into(),
        }
    }

    #[test]
    fn templates_are_filled_as_python_does() {
        for (template, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("%(a)s", "x"),
            ("<%(a)s-%(n)s>", "<x-5>"),
            ("%(none)s %(yes)s %(list)s", "None True ['p']"),
            ("%(a)5s|%(a)-3s|", "    x|x  |"),
            ("%(list).3s", "['p"),
            ("%(a)r", "'x'"),
            ("%(n)d%(yes)d", "51"),
            ("%%", "%"),
            ("%(b)%", "MISSING"),
            ("%(a)%", "RAISED"),
            ("%5%", "RAISED"),
            ("%(o(p))s", "q"),
            ("%()s", "empty"),
            ("%(b)s", "MISSING"),
            ("%(b)d%(", "MISSING"),
            ("%(a)d", "RAISED"),
            ("%(a)", "RAISED"),
            ("%(a", "RAISED"),
            ("100%", "RAISED"),
            ("%(a)q", "RAISED"),
            ("%d", "RAISED"),
            ("%(a)s%s", "RAISED"),
            ("%s%s", "RAISED"),
            ("%(f)d", "-2"),
            ("%(n)x", "UNKNOWN"),
        ] {
            assert_eq!(fill(template), expected, "{template}");
        }
    }
}
