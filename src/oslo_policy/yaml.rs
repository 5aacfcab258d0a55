//! YAML as `PyYAML`'s `safe_load` understands it, as far as a policy file can hold it.
//!
//! The events are those of YAML 1.2; what unquoted words mean is YAML 1.1, as in Python: `no`, `off` and `~` are no text.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use saphyr_parser::Event;
use saphyr_parser::Parser;
use saphyr_parser::ScalarStyle;
use saphyr_parser::ScanError;
use saphyr_parser::Span;
use saphyr_parser::StrInput;
use saphyr_parser::Tag;

use crate::oslo_policy::word::Word;
use crate::oslo_policy::word::word;

/// A value with the line that it begins on.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The line, counted from one.
    pub line: usize,
    /// The value.
    pub content: Content,
}

/// What a value is. Of what can not be a rule, only what Python makes of it in a condition is kept.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A dictionary; keys may come twice.
    Dict(Vec<(Node, Node)>),
    /// `None`, `False`, zero.
    Nothing,
    /// `True`, another number, a date.
    Something,
}

/// What is wrong with a text, or worth a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The line, counted from one, if it is about one.
    pub line: Option<usize>,
    /// What there is to say.
    pub what: String,
}

const TAB: &str = "a tab: write spaces, or quotes around the rule";
/// How deep lists and dictionaries may be nested.
const MAX_DEPTH: usize = 16;
/// How many values a document may have, counted again wherever one is used again.
const MAX_VALUES: usize = 100_000;

/// Reads the one document of a text; nothing if there is none.
///
/// # Errors
/// Tells what is wrong, and where.
pub fn read(text: &str) -> Result<Option<Node>, Remark> {
    check_characters(text)?;
    let mut reader =
        Reader { parser: Parser::new_from_str(text), anchors: BTreeMap::new(), values: 0, scalars: Vec::new() };
    let mut document = None;
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => {
                check_tabs(text, &reader.scalars)?;
                return Ok(document);
            }
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
            event if document.is_none() => document = Some(reader.node(event, span, 0)?),
            _ => return Err(remark(span, "a second document begins here: a policy file has one")),
        }
    }
}

/// Refuses the characters that `PyYAML` does not read.
fn check_characters(text: &str) -> Result<(), Remark> {
    let is_readable = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}');
    let at = text.find(|c| !is_readable(c));
    at.map_or(Ok(()), |at| {
        let line = text.get(..at).map(|before| before.matches('\n').count() + 1);
        Err(Remark { line, what: "a character that YAML does not allow".into() })
    })
}

fn remark(span: Span, what: &str) -> Remark {
    Remark { line: Some(span.start.line()), what: what.into() }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: BTreeMap<usize, (Node, usize)>,
    values: usize,
    /// Where scalars stand, in characters.
    scalars: Vec<Range<usize>>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Remark> {
        let broken = |error: ScanError| Remark { line: Some(error.marker().line()), what: error.info().into() };
        self.parser.next_event().unwrap_or(Ok((Event::StreamEnd, Span::default()))).map_err(broken)
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Remark> {
        let before = self.values;
        self.count(1, span)?;
        if depth > MAX_DEPTH {
            return Err(remark(span, "nested too deep for a policy"));
        }
        let (anchor, content) = match event {
            Event::Alias(anchor) => return self.again(anchor, span),
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = style == ScalarStyle::Plain;
                if is_plain && text.contains('\t') {
                    return Err(remark(span, TAB));
                }
                self.scalars.push(span.start.index()..span.end.index());
                (anchor, scalar(&text, is_plain, tag.as_deref(), span)?)
            }
            Event::SequenceStart(anchor, tag) => {
                check_tag(tag.as_deref(), "seq", span)?;
                let mut nodes = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, span) => nodes.push(self.node(event, span, depth + 1)?),
                    }
                }
                (anchor, Content::List(nodes))
            }
            Event::MappingStart(anchor, tag) => {
                check_tag(tag.as_deref(), "map", span)?;
                let mut entries = Vec::new();
                loop {
                    let (event, span) = self.next()?;
                    if event == Event::MappingEnd {
                        break;
                    }
                    let key = self.node(event, span, depth + 1)?;
                    let (event, span) = self.next()?;
                    entries.push((key, self.node(event, span, depth + 1)?));
                }
                (anchor, Content::Dict(entries))
            }
            _ => return Err(remark(span, "the document breaks off")),
        };
        let node = Node { line: span.start.line(), content };
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), self.values - before));
        }
        Ok(node)
    }

    fn again(&mut self, anchor: usize, span: Span) -> Result<Node, Remark> {
        let Some((node, values)) = self.anchors.get(&anchor).cloned() else {
            return Err(remark(span, "an alias stands for nothing before it"));
        };
        self.count(values, span)?;
        Ok(Node { line: span.start.line(), ..node })
    }

    fn count(&mut self, values: usize, span: Span) -> Result<(), Remark> {
        self.values += values;
        if self.values > MAX_VALUES { Err(remark(span, "too many values for a policy")) } else { Ok(()) }
    }
}

/// Refuses tabs that are neither in a scalar nor in a comment: `PyYAML` reads on to no token from there.
fn check_tabs(text: &str, scalars: &[Range<usize>]) -> Result<(), Remark> {
    if !text.contains('\t') {
        return Ok(());
    }
    let (mut line, mut is_comment, mut scalars) = (1, false, scalars.iter().peekable());
    for (index, c) in text.chars().enumerate() {
        while scalars.next_if(|scalar| scalar.end <= index).is_some() {}
        let is_scalar = scalars.peek().is_some_and(|scalar| scalar.contains(&index));
        match c {
            '\n' => {
                line += 1;
                is_comment = false;
            }
            '#' if !is_scalar => is_comment = true,
            '\t' if !is_scalar && !is_comment => return Err(Remark { line: Some(line), what: TAB.into() }),
            _ => {}
        }
    }
    Ok(())
}

/// Refuses all tags but the one that says what is there anyway.
fn check_tag(tag: Option<&Tag>, expected: &str, span: Span) -> Result<(), Remark> {
    match tag {
        Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == expected) => {
            Err(remark(span, "a tag: a policy needs none"))
        }
        _ => Ok(()),
    }
}

/// Tells what a word means.
fn scalar(text: &str, is_plain: bool, tag: Option<&Tag>, span: Span) -> Result<Content, Remark> {
    match tag {
        None if is_plain => plain(text, span),
        None => Ok(Content::Text(text.into())),
        // PyYAML takes a lone `!` for "decide by the text", also where there are quotes, or no text
        Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => plain(text, span),
        Some(tag) if tag.is_yaml_core_schema() && matches!(&*tag.suffix, "int" | "float" | "bool" | "null") => {
            let content = plain(text, span)?;
            let is_text = matches!(content, Content::Text(_));
            if is_text { Err(remark(span, "a tag that its text does not fit")) } else { Ok(content) }
        }
        tag => check_tag(tag, "str", span).map(|()| Content::Text(text.into())),
    }
}

/// Tells what a word without quotes means.
fn plain(text: &str, span: Span) -> Result<Content, Remark> {
    match word(text) {
        Word::Nothing => Ok(Content::Nothing),
        Word::Something => Ok(Content::Something),
        Word::Text => Ok(Content::Text(text.into())),
        Word::Special => Err(remark(span, "a merge key or a default value of YAML 1.1: write it out, or quote it")),
    }
}

impl Content {
    /// Tells whether Python takes it for true in a condition.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::List(nodes) => !nodes.is_empty(),
            Self::Dict(entries) => !entries.is_empty(),
            Self::Nothing => false,
            Self::Something => true,
        }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(out, "line {line}: {}", self.what),
            None => out.write_str(&self.what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Content;
    use super::Node;
    use super::read;

    fn content(text: &str) -> Content {
        read(text).expect("YAML").map_or(Content::Nothing, |node| node.content)
    }

    #[test]
    fn unquoted_words_mean_what_they_mean_in_python() {
        for nothing in ["no", "Off", "~", "null", "0", "-0", "0.0", "0x0", "00", ".0", "0.0e+0", "! ", "! no", "! ''"] {
            assert_eq!(content(&format!("- {nothing}\n")), content("- null\n"), "{nothing}");
        }
        for something in ["yes", "ON", "1", "0x1f", "0b1", "1_000", "017", "1:30", "1.5", ".inf", "2001-01-02", ".nan"]
        {
            let Content::List(nodes) = content(&format!("- {something}\n")) else { panic!("a list") };
            assert_eq!(nodes[0].content, Content::Something, "{something}");
        }
        for text in ["role:admin", "1.5.2", "08", "1:61", "nope", "'no'", "\"0\"", "!!str 0", "1e5", "0x", "a-b-c"] {
            let Content::List(nodes) = content(&format!("- {text}\n")) else { panic!("a list") };
            assert!(matches!(nodes[0].content, Content::Text(_)), "{text}");
        }
    }

    #[test]
    fn json_is_yaml() {
        let Content::Dict(entries) = content("{\"a\": \"role:b\",\n \"c\": [[\"role:d\"]]}") else {
            panic!("a dictionary")
        };
        let lines: Vec<usize> = entries.iter().map(|(key, _): &(Node, Node)| key.line).collect();
        assert_eq!(lines, [1, 2]);
    }

    #[test]
    fn what_no_policy_needs_is_refused_with_its_line() {
        for (text, line) in [
            ("a: b\nc: @\n", 2),
            ("a: b\n---\nc: d\n", 3),
            ("a: !!python/object:os.system x\n", 1),
            ("a: !mine x\n", 1),
            ("a: &x {b: c}\nd:\n  <<: *x\n", 3),
            ("a: b\nc: \u{7}\n", 2),
            ("a: [b\n", 2),
            ("a: *nothing\n", 1),
            ("{\n\t\"c\": \"d\"}", 2),
            ("a: 'b\tc'\nd: e\tf\n", 2),
            ("a: 'b\tc' # d\te\nd:\te\n", 2),
        ] {
            assert_eq!(read(text).expect_err(text).line, Some(line), "{text}");
        }
    }

    #[test]
    fn aliases_are_read_and_do_not_multiply_without_end() {
        let laughs: String = ('b'..='z').zip('a'..).fold("a: &a [x, x, x, x]\n".into(), |text, (name, before)| {
            format!("{text}{name}: &{name} [*{before}, *{before}, *{before}, *{before}]\n")
        });
        assert!(read(&laughs).is_err());
        assert!(read(&"[".repeat(1000)).is_err());
        let Content::Dict(entries) = content("a: &x role:b\nc: *x\n") else { panic!("a dictionary") };
        assert_eq!(entries[0].1.content, entries[1].1.content);
    }
}
