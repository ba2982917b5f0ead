//! A mapping of a manifest, read key by key: wrong types are errors at their place, keys nobody asked for are kept to
//! be named.

use super::BAD_FIELD;
use punctual_core::error::{Diagnostic, Origin};
use punctual_core::spec::yaml::Node;
use serde_json::Value;

/// A mapping, where it stands in the manifest, and which of its keys were read.
pub struct Fields<'n> {
    node: &'n Node,
    /// As `spec.jobTemplate`, empty at the top.
    path: String,
    read: Vec<&'static str>,
    file: &'n str,
    /// Lines before the document.
    lines_before: u32,
}

type Read<T> = Result<T, Box<Diagnostic>>;

impl<'n> Fields<'n> {
    /// The mapping `node` at the top of a document of `file` that begins after `lines_before` lines.
    ///
    /// # Errors
    /// It is no mapping.
    pub fn top(node: &'n Node, file: &'n str, lines_before: u32) -> Read<Self> {
        let fields = Self { node, path: String::new(), read: Vec::new(), file, lines_before };
        if node.map().is_none() {
            return Err(fields.wrong(node, "the document", "a mapping"));
        }
        Ok(fields)
    }

    /// Where the mapping stands.
    pub fn origin(&self) -> Origin {
        self.origin_of(self.node)
    }

    /// Where `node` stands.
    pub fn origin_of(&self, node: &Node) -> Origin {
        Origin {
            file: self.file.to_owned(),
            line: node.place.line + self.lines_before,
            column: node.place.column,
            width: node.place.width,
            snippet: String::new(),
        }
    }

    /// The path of a key.
    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value of `key`, unless it is absent or null.
    pub fn get(&mut self, key: &'static str) -> Option<&'n Node> {
        self.read.push(key);
        self.node.get(key).filter(|node| !node.is_null())
    }

    /// The keys counted as read, though nothing is made of them.
    pub fn pass(&mut self, keys: &[&'static str]) {
        self.read.extend(keys);
    }

    /// The paths of the keys that nobody read.
    pub fn unread(&self) -> Vec<String> {
        let keys = self.node.map().unwrap_or_default().iter();
        keys.filter(|e| !self.read.contains(&e.key.as_str()) && !e.node.is_null())
            .map(|e| self.path_of(&e.key))
            .collect()
    }

    /// The mapping at `key`.
    pub fn map(&mut self, key: &'static str) -> Read<Option<Self>> {
        let path = self.path_of(key);
        self.get(key).map(|node| self.child(node, path)).transpose()
    }

    /// The mapping at `key`, which must be there.
    pub fn need_map(&mut self, key: &'static str) -> Read<Self> {
        self.map(key)?.ok_or_else(|| self.missing(key))
    }

    /// The mappings in the list at `key`; none if it is absent.
    pub fn maps(&mut self, key: &'static str) -> Read<Vec<Self>> {
        let path = self.path_of(key);
        let Some(node) = self.get(key) else { return Ok(Vec::new()) };
        let items = node.list().ok_or_else(|| self.wrong(node, &path, "a list"))?;
        items.iter().enumerate().map(|(i, item)| self.child(item, format!("{path}[{i}]"))).collect()
    }

    /// The text at `key`. Numbers and booleans are no texts, as for the API server.
    pub fn text(&mut self, key: &'static str) -> Read<Option<String>> {
        let Some(node) = self.get(key) else { return Ok(None) };
        match node.json() {
            Value::String(text) => Ok(Some(text)),
            _ => Err(self.wrong(node, &self.path_of(key), "a text; a number needs quotes")),
        }
    }

    /// The text at `key`, which must be there and not empty.
    pub fn need_text(&mut self, key: &'static str) -> Read<String> {
        self.text(key)?.filter(|text| !text.is_empty()).ok_or_else(|| self.missing(key))
    }

    /// The texts in the list at `key`; none if it is absent.
    pub fn texts(&mut self, key: &'static str) -> Read<Vec<String>> {
        let path = self.path_of(key);
        let Some(node) = self.get(key) else { return Ok(Vec::new()) };
        let items = node.list().ok_or_else(|| self.wrong(node, &path, "a list"))?;
        items
            .iter()
            .map(|item| match item.json() {
                Value::String(text) => Ok(text),
                _ => Err(self.wrong(item, &path, "a list of texts; a number needs quotes")),
            })
            .collect()
    }

    /// The whole number at `key`, not below zero.
    pub fn count(&mut self, key: &'static str) -> Read<Option<u64>> {
        let Some(node) = self.get(key) else { return Ok(None) };
        match node.json().as_u64() {
            Some(number) if i64::try_from(number).is_ok() => Ok(Some(number)),
            _ => Err(self.wrong(node, &self.path_of(key), "a whole number, not below zero")),
        }
    }

    /// The boolean at `key`.
    pub fn flag(&mut self, key: &'static str) -> Read<Option<bool>> {
        let Some(node) = self.get(key) else { return Ok(None) };
        node.json().as_bool().map(Some).ok_or_else(|| self.wrong(node, &self.path_of(key), "true or false"))
    }

    /// The mapping as JSON.
    pub fn json(&self) -> Value {
        self.node.json()
    }

    /// The error that `key` is missing.
    pub fn missing(&self, key: &str) -> Box<Diagnostic> {
        let error = Diagnostic::error(BAD_FIELD, format!("{} is missing", self.path_of(key)));
        Box::new(error.at(self.origin()).hint("write it; the API server refuses the object without it"))
    }

    fn child(&self, node: &'n Node, path: String) -> Read<Self> {
        if node.map().is_none() {
            return Err(self.wrong(node, &path, "a mapping"));
        }
        Ok(Self { node, path, read: Vec::new(), file: self.file, lines_before: self.lines_before })
    }

    fn wrong(&self, node: &Node, path: &str, expected: &str) -> Box<Diagnostic> {
        let error = Diagnostic::error(BAD_FIELD, format!("{path} is {}", node.describe()));
        Box::new(error.at(self.origin_of(node)).hint(format!("it must be {expected}")))
    }
}
