//! Reading nodes as what a key holds. Every refusal is kept and reading goes on, so that a person sees all at once.

use super::Context;
use super::choice::{Choice, words};
use super::expand;
use super::keys::{Key, Kind, Shape};
use super::length::{Malformed, parse_bytes, parse_cpu, parse_duration};
use super::suggest;
use super::text::{Place, Texts, count};
use super::yaml::{Entry, Node, Style, Value};
use crate::error::{Code, Diagnostic, Severity};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// No load reports more; what comes after so many is rarely worth reading.
const DIAGNOSTICS_MAX: usize = 500;

const UNKNOWN_KEY: Code = Code("DEF005");
pub(crate) const WRONG_TYPE: Code = Code("DEF006");
/// Two keys that cannot stand together.
pub(crate) const EXCLUSIVE: Code = Code("DEF013");
/// A name nothing declares.
pub(crate) const UNDECLARED: Code = Code("DEF014");
/// A known key at the wrong level.
pub(crate) const MISPLACED: Code = Code("DEF017");
const UNEXPANDED: Code = Code("DEF015");
const MISSING: Code = Code("DEF007");
const NOT_ALLOWED: Code = Code("DEF008");
const NO_DURATION: Code = Code("DEF009");
const NO_QUANTITY: Code = Code("DEF010");
const BAD_NAME: Code = Code("DEF012");

/// The entries of one mapping, sorted by the table: known ones by their canonical name, and the user's own names.
pub(crate) struct Fields<'n> {
    shape: &'static Shape,
    /// Where the mapping begins.
    pub(crate) place: Place,
    known: Vec<(&'static Key, &'n Entry)>,
    /// Keys that are names of the user's.
    pub(crate) others: Vec<&'n Entry>,
}

impl<'n> Fields<'n> {
    /// The entry of the key `name`, which must be one of the shape's.
    pub(crate) fn get(&self, name: &str) -> Option<&'n Entry> {
        debug_assert!(self.shape.find(name).is_some(), "{name} is not a key of {}", self.shape.name);
        self.known.iter().find(|(key, _)| key.name == name).map(|(_, entry)| *entry)
    }

    /// Whether `name` is a key of the shape.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.shape.find(name).is_some()
    }

    /// No entries of `shape`.
    pub(crate) fn none(shape: &'static Shape, place: Place) -> Self {
        Self { shape, place, known: Vec::new(), others: Vec::new() }
    }

    /// Of `names`, those that are given, in the order written.
    pub(crate) fn given(&self, names: &[&str]) -> Vec<&'n Entry> {
        self.known.iter().filter(|(key, _)| names.contains(&key.name)).map(|(_, entry)| *entry).collect()
    }
}

/// The state of one load: texts to point into, and what was found.
pub(crate) struct Reader<'a> {
    pub(crate) texts: Texts<'a>,
    pub(crate) context: &'a Context<'a>,
    found: Vec<Diagnostic>,
    seen: HashSet<(Code, Place, String)>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(texts: Texts<'a>, context: &'a Context<'a>) -> Self {
        Self { texts, context, found: Vec::new(), seen: HashSet::new() }
    }

    /// Keeps a diagnostic that already knows its place.
    pub(crate) fn keep(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// Keeps a diagnostic about `place`, once: defaults are read for each job, their faults are told once.
    pub(crate) fn report(&mut self, place: Place, diagnostic: Diagnostic) {
        if self.found.len() < DIAGNOSTICS_MAX
            && self.seen.insert((diagnostic.code, place, diagnostic.message.clone()))
        {
            let origin = self.texts.origin(place);
            self.found.push(diagnostic.at(origin));
        }
    }

    /// How much was found so far: a part that was read without a fault has added nothing.
    pub(crate) fn found(&self) -> usize {
        self.found.len()
    }

    /// Everything found, errors and warnings apart, each in the order of the files.
    pub(crate) fn finish(self) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        let (mut errors, mut warnings): (Vec<_>, Vec<_>) =
            self.found.into_iter().partition(|d| d.severity == Severity::Error);
        let order = |d: &Diagnostic| d.origin.as_ref().map(|o| (o.file.clone(), o.line, o.column));
        errors.sort_by_key(order);
        warnings.sort_by_key(order);
        (errors, warnings)
    }

    /// The entries of `node`, which must be a mapping of `shape`; refuses keys the table does not have.
    pub(crate) fn fields<'n>(&mut self, node: &'n Node, shape: &'static Shape) -> Option<Fields<'n>> {
        let Some(entries) = node.map() else {
            self.wrong_type(node, &format!("a mapping ({})", list_keys(shape)));
            return None;
        };
        let mut fields = Fields { shape, place: node.place, known: Vec::new(), others: Vec::new() };
        for entry in entries {
            match shape.find(&entry.key) {
                Some(key) => {
                    if let Some((_, first)) = fields.known.iter().find(|(known, _)| known.name == key.name) {
                        let twice = format!("{:?} and {:?} mean the same", first.key, entry.key);
                        let hint = format!("keep `{}` alone", key.name);
                        self.report(entry.place, Diagnostic::error(EXCLUSIVE, twice).hint(hint));
                        continue;
                    }
                    fields.known.push((key, entry));
                }
                None if shape.others.is_some() => fields.others.push(entry),
                // Advice costs time, and nobody would read it.
                None if self.found.len() >= DIAGNOSTICS_MAX => {}
                None => {
                    let advice = suggest::unknown_key(shape, &entry.key);
                    let mut diagnostic = Diagnostic::error(
                        if advice.misplaced { MISPLACED } else { UNKNOWN_KEY },
                        advice.message,
                    );
                    diagnostic.hint = Some(advice.hint);
                    self.report(entry.place, diagnostic);
                }
            }
        }
        Some(fields)
    }

    pub(crate) fn missing(&mut self, place: Place, object: &str, key: &str, hint: &str) {
        let message = format!("{object} has no `{key}`");
        self.report(place, Diagnostic::error(MISSING, message).hint(hint));
    }

    pub(crate) fn wrong_type(&mut self, node: &Node, wanted: &str) {
        let message = match node.is_null() {
            true => format!("here stands nothing, wanted is {wanted}"),
            false => format!("here stands {}, wanted is {wanted}", node.describe()),
        };
        let diagnostic = Diagnostic::error(WRONG_TYPE, message);
        let diagnostic = if node.is_null() {
            diagnostic.hint("give a value, indented below the key or behind it, or remove the key")
        } else {
            diagnostic
        };
        self.report(node.place, diagnostic);
    }

    pub(crate) fn not_allowed(&mut self, place: Place, message: String, hint: impl Into<String>) {
        self.report(place, Diagnostic::error(NOT_ALLOWED, message).hint(hint));
    }

    /// A scalar with `${NAME}` replaced, and how it was written.
    pub(crate) fn scalar(&mut self, node: &Node, wanted: &str) -> Option<(String, Style)> {
        let Value::Scalar { text, style } = &node.value else {
            self.wrong_type(node, wanted);
            return None;
        };
        if node.is_null() {
            self.wrong_type(node, wanted);
            return None;
        }
        match expand::expand(text, self.context.env) {
            Ok(text) => Some((text, *style)),
            Err(fault) => {
                let place = self.inside(node, fault.offset, fault.width);
                self.report(place, Diagnostic::error(UNEXPANDED, fault.message).hint(fault.hint));
                None
            }
        }
    }

    /// A text, with `${NAME}` replaced. Numbers and booleans are taken as they are written.
    pub(crate) fn text(&mut self, entry: Option<&Entry>) -> Option<String> {
        let node = &entry?.node;
        let (text, _) = self.scalar(node, "a text")?;
        self.without_nul(node, text)
    }

    /// A text exactly as written: `$` and `{{` in it belong to somebody else.
    pub(crate) fn raw_text(&mut self, entry: Option<&Entry>) -> Option<String> {
        let node = &entry?.node;
        match node.text() {
            Some(text) if !node.is_null() => self.without_nul(node, text.to_owned()),
            _ => {
                self.wrong_type(node, "a text");
                None
            }
        }
    }

    /// No text that reaches a process may hold a NUL; YAML can write one as `"\0"`.
    fn without_nul(&mut self, node: &Node, text: String) -> Option<String> {
        if text.contains('\0') {
            self.not_allowed(node.place, "a NUL character in a text".to_owned(), "remove it");
            return None;
        }
        Some(text)
    }

    pub(crate) fn name(&mut self, entry: Option<&Entry>) -> Option<String> {
        let entry = entry?;
        let text = self.text(Some(entry))?;
        self.check_name(entry.node.place, text)
    }

    /// A name: letters and digits of any script, `-`, `_`, `.`, beginning with a letter or digit, up to 128 bytes.
    pub(crate) fn check_name(&mut self, place: Place, text: String) -> Option<String> {
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        let reason = if text.is_empty() {
            "it is empty".to_owned()
        } else if text.len() > 128 {
            format!("it has {} bytes, more than 128", text.len())
        } else if let Some(bad) = text.chars().find(|c| !allowed(*c)) {
            format!("{bad:?} does not belong in a name")
        } else if !text.starts_with(char::is_alphanumeric) {
            "it begins with neither letter nor digit".to_owned()
        } else {
            return Some(text);
        };
        let better: String = text.chars().map(|c| if allowed(c) { c } else { '-' }).take(40).collect();
        let better = better.trim_matches(|c: char| !c.is_alphanumeric());
        let hint = match better {
            "" => "write a name such as data-sync".to_owned(),
            better => format!("write {better}"),
        };
        let shown: String = text.chars().take(40).collect();
        self.report(
            place,
            Diagnostic::error(BAD_NAME, format!("{shown:?} is not a name"))
                .detail(format!("{reason}; names have letters, digits, `-`, `_` and `.`"))
                .hint(hint),
        );
        None
    }

    pub(crate) fn boolean(&mut self, entry: Option<&Entry>) -> Option<bool> {
        let node = &entry?.node;
        let (text, style) = self.scalar(node, "true or false")?;
        match (text.as_str(), style) {
            ("true" | "True" | "TRUE", Style::Plain) => Some(true),
            ("false" | "False" | "FALSE", Style::Plain) => Some(false),
            _ => {
                let hint = match text.to_lowercase().as_str() {
                    "yes" | "on" | "1" | "true" | "y" => "write true",
                    _ => "write true or false, without quotes",
                };
                let message = format!("here stands {:?}, wanted is true or false", clip(&text));
                self.report(node.place, Diagnostic::error(WRONG_TYPE, message).hint(hint));
                None
            }
        }
    }

    pub(crate) fn integer(&mut self, entry: Option<&Entry>, least: i64, most: i64) -> Option<i64> {
        let node = &entry?.node;
        let wanted = format!("a whole number from {least} to {most}");
        let (text, style) = self.scalar(node, &wanted)?;
        let number = (style == Style::Plain).then(|| text.parse::<i64>().ok()).flatten();
        match number {
            Some(number) if (least..=most).contains(&number) => Some(number),
            Some(number) => {
                let hint = format!("write {}", number.clamp(least, most));
                self.not_allowed(node.place, format!("{number} is not {wanted}"), hint);
                None
            }
            None => {
                let unquoted = text.parse::<i64>().is_ok();
                let message = format!("here stands {:?}, wanted is {wanted}", clip(&text));
                let mut diagnostic = Diagnostic::error(WRONG_TYPE, message);
                if unquoted {
                    diagnostic = diagnostic.hint(format!("write {text} without quotes"));
                }
                self.report(node.place, diagnostic);
                None
            }
        }
    }

    pub(crate) fn choice<T: Choice>(&mut self, entry: Option<&Entry>) -> Option<T> {
        let node = &entry?.node;
        let known = words::<T>();
        let (text, _) = self.scalar(node, &format!("one of {}", known.join(", ")))?;
        let found = T::of(&text);
        if found.is_none() {
            self.not_a_word(node, &text, &known);
        }
        found
    }

    pub(crate) fn not_a_word(&mut self, node: &Node, text: &str, known: &[&str]) {
        let hint = match suggest::word(text, known) {
            Some(near) => format!("write {near}"),
            None => format!("write one of {}", known.join(", ")),
        };
        let message = format!("{:?} is none of {}", clip(text), known.join(", "));
        self.not_allowed(node.place, message, hint);
    }

    pub(crate) fn duration(&mut self, entry: Option<&Entry>) -> Option<Duration> {
        let node = &entry?.node;
        let (text, _) = self.scalar(node, "a length such as 30s")?;
        self.measure(node, NO_DURATION, "a length of time", parse_duration(&text), &text)
    }

    /// A length above zero.
    pub(crate) fn positive(&mut self, entry: Option<&Entry>) -> Option<Duration> {
        let length = self.duration(entry)?;
        if length.is_zero() {
            let node = &entry?.node;
            self.not_allowed(node.place, "a length of zero".to_owned(), "write more, or remove the key");
            return None;
        }
        Some(length)
    }

    pub(crate) fn cpu(&mut self, entry: Option<&Entry>) -> Option<u64> {
        let node = &entry?.node;
        let (text, _) = self.scalar(node, "a quantity such as 500m")?;
        self.measure(node, NO_QUANTITY, "an amount of processors", parse_cpu(&text), &text)
    }

    pub(crate) fn bytes(&mut self, entry: Option<&Entry>) -> Option<u64> {
        let node = &entry?.node;
        let (text, _) = self.scalar(node, "a quantity such as 256Mi")?;
        self.measure(node, NO_QUANTITY, "an amount of bytes", parse_bytes(&text), &text)
    }

    fn measure<T>(
        &mut self,
        node: &Node,
        code: Code,
        what: &str,
        read: Result<T, Malformed>,
        text: &str,
    ) -> Option<T> {
        read.map_err(|Malformed { reason, hint }| {
            let message = format!("{:?} is not {what}", clip(text));
            self.report(node.place, Diagnostic::error(code, message).detail(reason).hint(hint));
        })
        .ok()
    }

    /// A mapping from names to texts, as `labels` and `env` are.
    pub(crate) fn names(&mut self, entry: Option<&Entry>) -> BTreeMap<String, (Place, String)> {
        let mut names = BTreeMap::new();
        let Some(entry) = entry else { return names };
        let Some(entries) = entry.node.map() else {
            self.wrong_type(&entry.node, "a mapping from names to texts");
            return names;
        };
        for entry in entries {
            // An empty value is an empty text here: `DEBUG:` sets DEBUG to nothing.
            let value = if entry.node.is_null() { Some(String::new()) } else { self.text(Some(entry)) };
            if let Some(value) = value {
                names.insert(entry.key.clone(), (entry.place, value));
            }
        }
        names
    }

    /// The place of `width` characters from byte `offset` of a scalar's text: exact where the text stands as it is
    /// written, else the whole scalar.
    pub(crate) fn inside(&self, node: &Node, offset: usize, width: usize) -> Place {
        let Value::Scalar { text, style } = &node.value else { return node.place };
        let line = self.texts.line(node.place);
        let skip = node.place.column as usize - 1 + usize::from(*style == Style::Quoted);
        let written: String = line.chars().skip(skip).take(text.chars().count()).collect();
        if written != *text || *style == Style::Block {
            return node.place;
        }
        let before = text.get(..offset.min(text.len())).map_or(0, |before| before.chars().count());
        Place { column: count(skip + before + 1), width: count(width.max(1)), ..node.place }
    }
}

/// A text cut to what a message can show.
pub(crate) fn clip(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn list_keys(shape: &Shape) -> String {
    let names: Vec<_> = shape.keys().map(|key| key.name).take(6).collect();
    names.join(", ")
}

impl Kind {
    /// The shapes a key of this kind can hold.
    pub(crate) fn shapes(&self) -> Vec<&'static Shape> {
        match self {
            Self::Object(shape) => vec![shape()],
            Self::List(kind) | Self::Names(kind) => kind.shapes(),
            Self::Any(kinds) => kinds.iter().flat_map(|kind| kind.shapes()).collect(),
            _ => Vec::new(),
        }
    }
}
