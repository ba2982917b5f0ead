//! YAML (and JSON, which is YAML) as a bounded tree in which every node knows its place.
//!
//! Bounded in depth, in nodes and in what aliases expand to; a key that comes twice is an error. One text gives its
//! documents, or its first syntax error: what follows one cannot be trusted.

use super::text::{LineIndex, Place, Source, count};
use crate::error::{Code, Diagnostic, Origin};
use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use std::collections::{HashMap, HashSet};

/// Nodes in one file, counting what aliases repeat.
pub const NODES_MAX: usize = 1_000_000;
/// Lists and mappings inside each other.
pub const DEPTH_MAX: usize = 40;

const SYNTAX: Code = Code("DEF002");
const TOO_MUCH: Code = Code("DEF003");
const TWICE: Code = Code("DEF004");

/// A value of a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it stands; of a list or mapping, where it begins.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// What a [`Node`] is.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A scalar, not yet read as a number or anything else.
    Scalar {
        /// Its text, without quotes and escapes.
        text: String,
        /// Whether it may be read as null, a number or a boolean.
        style: Style,
    },
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order written; its keys are scalars and each comes once.
    Map(Vec<Entry>),
}

/// One key of a mapping, with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub place: Place,
    /// The value.
    pub node: Node,
}

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes: may be null, a number, a boolean.
    Plain,
    /// In quotes: always a text.
    Quoted,
    /// A block (`|` or `>`): always a text.
    Block,
}

impl Node {
    /// Whether it is left empty, `null` or `~`.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, style: Style::Plain }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The elements of a list.
    pub fn list(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The entries of a mapping.
    pub fn map(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value of `key` of a mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.map()?.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// What it is, in words for a person.
    pub fn describe(&self) -> &'static str {
        match &self.value {
            _ if self.is_null() => "empty",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
            Value::Scalar { text, style: Style::Plain } => match self.json() {
                serde_json::Value::Bool(_) => "true or false",
                serde_json::Value::Number(_) => "a number",
                _ if text.is_empty() => "empty",
                _ => "a text",
            },
            Value::Scalar { .. } => "a text",
        }
    }

    /// The same value as JSON; plain scalars are read by YAML's core schema.
    pub fn json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            _ if self.is_null() => Json::Null,
            Value::Scalar { text, style: Style::Plain } => match text.as_str() {
                "true" | "True" | "TRUE" => Json::Bool(true),
                "false" | "False" | "FALSE" => Json::Bool(false),
                _ => match text.parse::<i64>() {
                    Ok(number) => number.into(),
                    Err(_) => decimal(text).map_or_else(|| Json::String(text.clone()), Json::Number),
                },
            },
            Value::Scalar { text, .. } => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(Node::json).collect()),
            Value::Map(entries) => {
                Json::Object(entries.iter().map(|e| (e.key.clone(), e.node.json())).collect())
            }
        }
    }
}

fn decimal(text: &str) -> Option<serde_json::Number> {
    let numeric = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
    let begins = text.trim_start_matches(['-', '+']).starts_with(|c: char| c.is_ascii_digit());
    if !(numeric && begins) {
        return None;
    }
    serde_json::Number::from_f64(text.parse().ok()?)
}

/// Reads the documents of `source`, which is the `file`-th of its load. Empty documents are left out.
///
/// # Errors
/// `DEF002` a syntax error, `DEF003` beyond a bound, `DEF004` a key that comes twice.
pub fn parse(file: u32, source: &Source) -> Result<Vec<Node>, Diagnostic> {
    let mut builder =
        Builder { file, source, documents: Vec::new(), open: Vec::new(), anchors: HashMap::new(), nodes: 0 };
    let mut parser = Parser::new_from_str(&source.text);
    while let Some(event) = parser.next_event() {
        match event {
            Ok((event, span)) => builder.take(event, span)?,
            Err(error) => {
                let marker = error.marker();
                return Err(builder.reword(error.info(), marker.line(), marker.col()));
            }
        }
    }
    Ok(builder.documents)
}

/// A list or mapping that is not closed yet.
struct Open {
    place: Place,
    anchor: usize,
    nodes_before: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, keys: HashSet<String>, merged: Vec<Node>, pending: Option<(String, Place)> },
}

struct Builder<'s> {
    file: u32,
    source: &'s Source,
    documents: Vec<Node>,
    open: Vec<Open>,
    /// By the parser's number: the node and how many nodes it holds.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Diagnostic> {
        let place = self.place(span);
        match event {
            Event::DocumentStart(_) => self.anchors.clear(),
            Event::Scalar(text, style, anchor, tag) => {
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
                    ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
                };
                let style = match tag {
                    Some(tag) if tag.suffix == "str" => Style::Quoted,
                    Some(tag) => return Err(self.refuse_tag(&tag.to_string(), place)),
                    None => style,
                };
                self.count(1, place)?;
                let node = Node { place, value: Value::Scalar { text: text.into_owned(), style } };
                if anchor != 0 {
                    self.anchors.insert(anchor, (node.clone(), 1));
                }
                self.place_node(node)?;
            }
            Event::SequenceStart(anchor, tag) => {
                if let Some(tag) = tag.filter(|tag| tag.suffix != "seq") {
                    return Err(self.refuse_tag(&tag.to_string(), place));
                }
                self.open(place, anchor, Content::List(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                if let Some(tag) = tag.filter(|tag| tag.suffix != "map") {
                    return Err(self.refuse_tag(&tag.to_string(), place));
                }
                let keys = HashSet::new();
                self.open(
                    place,
                    anchor,
                    Content::Map { entries: Vec::new(), keys, merged: Vec::new(), pending: None },
                )?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close()?,
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
                    return Err(self.error(
                        TOO_MUCH,
                        place,
                        "this alias means no finished value of this document",
                    ));
                };
                self.count(size, place)?;
                self.place_node(Node { place, ..node })?;
            }
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd | Event::Nothing => {}
        }
        Ok(())
    }

    fn open(&mut self, place: Place, anchor: usize, content: Content) -> Result<(), Diagnostic> {
        if self.open.len() >= DEPTH_MAX {
            return Err(self.too_deep(place));
        }
        self.count(1, place)?;
        self.open.push(Open { place, anchor, nodes_before: self.nodes, content });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Diagnostic> {
        let Open { place, anchor, nodes_before, content } =
            self.open.pop().expect("the parser closes only what it opened");
        let value = match content {
            Content::List(items) => Value::List(items),
            Content::Map { mut entries, mut keys, merged, .. } => {
                for node in merged {
                    self.merge(&mut entries, &mut keys, node)?;
                }
                Value::Map(entries)
            }
        };
        let node = Node { place, value };
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - nodes_before + 1));
        }
        self.place_node(node)
    }

    /// `<<: *base` gives the keys of `base` that are not written here, the first of several winning.
    fn merge(
        &self,
        entries: &mut Vec<Entry>,
        keys: &mut HashSet<String>,
        node: Node,
    ) -> Result<(), Diagnostic> {
        let place = node.place;
        let bases = match node.value {
            Value::List(items) => items,
            value => vec![Node { place, value }],
        };
        for base in bases {
            let Value::Map(base) = base.value else {
                return Err(self.error(SYNTAX, place, "`<<` takes a mapping, or a list of mappings"));
            };
            for entry in base {
                if keys.insert(entry.key.clone()) {
                    entries.push(entry);
                }
            }
        }
        Ok(())
    }

    /// Puts a finished node where it belongs: into the open list or mapping, or among the documents.
    fn place_node(&mut self, node: Node) -> Result<(), Diagnostic> {
        let mut twice = None;
        match self.open.last_mut().map(|open| &mut open.content) {
            None if node.is_null() => {}
            None => self.documents.push(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map { entries, keys, merged, pending }) => match pending.take() {
                Some((key, _)) if key == "<<" => merged.push(node),
                Some((key, place)) => entries.push(Entry { key, place, node }),
                None => {
                    let Value::Scalar { text, .. } = node.value else {
                        return Err(self
                            .error(SYNTAX, node.place, "a key must be a text")
                            .hint("a value that begins with `{`, `[`, `*` or `&` must stand in quotes"));
                    };
                    if text != "<<" && !keys.insert(text.clone()) {
                        twice = entries.iter().find(|e| e.key == text).map(|e| (e.key.clone(), e.place));
                    }
                    *pending = Some((text, node.place));
                    if let Some((key, first)) = twice {
                        return Err(self
                            .error(TWICE, node.place, format!("the key {key:?} comes twice in one mapping"))
                            .detail(format!("it stands in line {} already", first.line))
                            .hint("keep one of them"));
                    }
                }
            },
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize, place: Place) -> Result<(), Diagnostic> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > NODES_MAX {
            return Err(self
                .error(
                    TOO_MUCH,
                    place,
                    format!("more than {NODES_MAX} values, aliases counted as what they repeat"),
                )
                .hint("split the file; aliases of aliases grow fast"));
        }
        Ok(())
    }

    fn place(&self, span: Span) -> Place {
        let width = if span.end.line() == span.start.line() { span.len() } else { 1 };
        Place {
            file: self.file,
            line: count(span.start.line()),
            column: count(span.start.col() + 1),
            width: count(width.max(1)),
        }
    }

    fn too_deep(&self, place: Place) -> Diagnostic {
        self.error(TOO_MUCH, place, "more than 40 lists and mappings inside each other")
            .hint("no definition needs so many; is this really a file of definitions?")
    }

    fn refuse_tag(&self, tag: &str, place: Place) -> Diagnostic {
        self.error(SYNTAX, place, format!("the tag {tag} is not read here"))
            .hint("remove it, or put the value in quotes")
    }

    fn error(&self, code: Code, place: Place, message: impl Into<String>) -> Diagnostic {
        let line = LineIndex::new(&self.source.text).line(&self.source.text, place.line).to_owned();
        let snippet = if line.chars().count() <= 160 { line } else { String::new() };
        Diagnostic::error(code, message).at(Origin {
            file: self.source.name.clone(),
            line: place.line,
            column: place.column,
            width: place.width,
            snippet,
        })
    }

    /// The parser's words for a syntax error, in ours where they are known to puzzle.
    fn reword(&self, info: &str, line: usize, column: usize) -> Diagnostic {
        let place = Place { file: self.file, line: count(line.max(1)), column: count(column + 1), width: 1 };
        let index = LineIndex::new(&self.source.text);
        let line = |number: u32| index.line(&self.source.text, number);
        if info.contains("recursion limit") {
            return self.too_deep(place);
        }
        let indented_by_tab = |text: &str| text.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t');
        let tab = (place.line..=place.line.saturating_add(1)).find(|number| indented_by_tab(line(*number)));
        if let Some(number) = tab.filter(|number| *number == place.line || info.contains("tab")) {
            return self
                .error(SYNTAX, Place { line: number, column: 1, ..place }, "a tab indents this line")
                .hint("indent with spaces only");
        }
        let error = |message: &str| self.error(SYNTAX, place, message);
        if info.contains("unknown anchor") {
            let rest: String = line(place.line).chars().skip(column).collect();
            let value = rest.split(" #").next().unwrap_or_default().trim_end();
            return error("a value that begins with `*` is an alias, and there is no anchor of this name")
                .hint(format!("put it in quotes: \"{value}\""));
        }
        if info.contains("mapping values are not allowed") {
            let before: String = line(place.line).chars().take(column).collect();
            if before.contains(": ") || before.contains('"') || before.contains('\'') {
                return error("a second `: ` in one line").hint("put the value in quotes");
            }
            let indent = before.chars().take_while(|c| *c == ' ').count();
            let at =
                Place { column: count(indent + 1), width: count(before.trim().chars().count()), ..place };
            return self
                .error(SYNTAX, at, "this key is indented unlike the keys above it")
                .hint("give all keys of one mapping the same number of spaces in front");
        }
        if info.contains("simple key expected") || info.contains("could not find expected ':'") {
            return error("a key without `:`, or a line that is indented unlike its neighbours")
                .hint("write `key: value`, with a space after the colon");
        }
        if info.contains("did not find expected <document start>") || info.contains("block") {
            return error("this line is indented unlike its neighbours, or a list and keys are mixed")
                .detail(info.to_owned())
                .hint("give all keys of one mapping the same number of spaces in front");
        }
        error("this is not YAML")
            .detail(info.to_owned())
            .hint("values with one of `: # { [ * & ! | > % @` in front or inside are safe in quotes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Vec<Node>, Diagnostic> {
        parse(0, &Source::new("t.yaml", text))
    }

    fn code(text: &str) -> &'static str {
        read(text).expect_err(text).code.0
    }

    #[test]
    fn every_node_knows_its_place() {
        let documents = read("a: 1\nb:\n  - x\n  - {c: \"d e\"}\n---\nz: 2\n").expect("YAML");
        assert_eq!(documents.len(), 2);
        let list = documents[0].get("b").and_then(Node::list).expect("a list");
        assert_eq!((list[0].place.line, list[0].place.column, list[0].place.width), (3, 5, 1));
        let quoted = list[1].get("c").expect("c");
        assert_eq!((quoted.place.line, quoted.place.column, quoted.place.width), (4, 9, 5));
        assert_eq!(documents[1].get("z").expect("z").place.line, 6);
    }

    #[test]
    fn aliases_and_merges_are_expanded_within_bounds() {
        let documents = read("base: &b {x: 1, y: 2}\nuse: {<<: *b, y: 3}\n").expect("YAML");
        assert_eq!(documents[0].get("use").expect("use").json(), serde_json::json!({"y": 3, "x": 1}));
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for n in 1..12 {
            let previous = vec![format!("*a{}", n - 1); 10].join(",");
            bomb.push_str(&format!("a{n}: &a{n} [{previous}]\n"));
        }
        assert_eq!(code(&bomb), "DEF003");
        assert_eq!(code("a: &a [*a]"), "DEF003");
        assert_eq!(code("a: &a 1\n---\nb: *a\n"), "DEF003");
    }

    #[test]
    fn hostile_and_broken_texts_are_errors() {
        assert_eq!(code("a: 1\na: 2"), "DEF004");
        assert_eq!(code("a:\n  b: 1\n\tc: 2"), "DEF002");
        assert!(read("{\n\t\"a\": 1\n}").is_ok(), "JSON may be indented with tabs");
        assert_eq!(code("a:\n\tb: 1"), "DEF002");
        assert_eq!(code("a: b: c"), "DEF002");
        assert_eq!(code("a: !ruby/object x"), "DEF002");
        assert_eq!(code("[1]: x"), "DEF002");
        assert_eq!(code("a: *nowhere"), "DEF002");
        assert_eq!(code("a: [1"), "DEF002");
        assert_eq!(code("a: \"x"), "DEF002");
        assert_eq!(code(&"[".repeat(100_000)), "DEF003");
        assert_eq!(code(&"- ".repeat(50_000)), "DEF003");
        assert_eq!(code(&"{a: ".repeat(50_000)), "DEF003");
        assert!(read("").expect("nothing").is_empty());
        assert!(read("# only a comment\n---\n...\n").expect("nothing").is_empty());
        assert_eq!(read("a: 1\r\nb: 2\r\n").expect("CRLF")[0].json(), serde_json::json!({"a": 1, "b": 2}));
        let json = read("{\"a\": [1, 2.5, true, null, \"x\\u0041\"]}").expect("JSON");
        assert_eq!(json[0].json(), serde_json::json!({"a": [1, 2.5, true, null, "xA"]}));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn no_text_panics(text in "[\\PC\n\t \\[\\]{}:,&*!|>'\"#%@-]{0,400}") {
            let _ = read(&text);
        }
    }
}
