//! Definitions and manifests as YAML text: short things on one line, long ones as a block, quotes where they are needed.

/// What is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A string.
    Text(String),
    /// A whole number.
    Number(i64),
    /// Any other number, by its digits.
    Decimal(String),
    /// `true` or `false`.
    Bool(bool),
    /// Nothing.
    Null,
    /// A sequence.
    List(Vec<Value>),
    /// A mapping, in order.
    Map(Vec<(String, Value)>),
}

impl Value {
    /// A string.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A sequence of strings.
    pub fn texts<T: AsRef<str>>(texts: &[T]) -> Self {
        Self::List(texts.iter().map(|t| Self::text(t.as_ref())).collect())
    }

    /// A value of a manifest.
    pub fn from_json(json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match json {
            Json::Null => Self::Null,
            Json::Bool(bool) => Self::Bool(*bool),
            Json::Number(number) => {
                number.as_i64().map_or_else(|| Self::Decimal(number.to_string()), Self::Number)
            }
            Json::String(text) => Self::text(text),
            Json::Array(items) => Self::List(items.iter().map(Self::from_json).collect()),
            Json::Object(pairs) => {
                Self::Map(pairs.iter().map(|(key, value)| (key.clone(), Self::from_json(value))).collect())
            }
        }
    }

    /// On one line, as JSON-like flow.
    fn flow(&self) -> String {
        match self {
            Self::Text(text) => scalar(text),
            Self::Number(number) => number.to_string(),
            Self::Decimal(digits) => digits.clone(),
            Self::Bool(bool) => bool.to_string(),
            Self::Null => "null".to_owned(),
            Self::List(items) => {
                format!("[{}]", items.iter().map(Self::flow).collect::<Vec<_>>().join(", "))
            }
            Self::Map(pairs) => {
                let pair = |(k, v): &(String, Self)| format!("{}: {}", scalar(k), v.flow());
                format!("{{{}}}", pairs.iter().map(pair).collect::<Vec<_>>().join(", "))
            }
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::List(items) => items.is_empty(),
            Self::Map(pairs) => pairs.is_empty(),
            _ => true,
        }
    }
}

/// Lines longer than this are broken where the value allows it.
const LINE_CHARS_MAX: usize = 100;

/// Which mappings and sequences stand on one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Those that fit.
    Compact,
    /// None, as Kubernetes manifests are written.
    Spread,
}

/// The pairs as lines of a block mapping, each indented by `indent` spaces.
pub fn block(pairs: &[(String, Value)], indent: usize, style: Style) -> String {
    let mut text = String::new();
    for (key, value) in pairs {
        text.push_str(&" ".repeat(indent));
        text.push_str(&scalar(key));
        text.push(':');
        after_key(&mut text, value, indent, style);
    }
    text
}

fn after_key(text: &mut String, value: &Value, indent: usize, style: Style) {
    let flow = value.flow();
    let fits = style == Style::Compact && indent + flow.chars().count() <= LINE_CHARS_MAX;
    if value.is_empty() || fits {
        text.push(' ');
        text.push_str(&flow);
        text.push('\n');
        return;
    }
    text.push('\n');
    match value {
        Value::Map(pairs) => text.push_str(&block(pairs, indent + 2, style)),
        Value::List(items) => {
            for item in items {
                text.push_str(&item_lines(item, indent + 2, style));
            }
        }
        _ => unreachable!("a scalar is written on its line"),
    }
}

/// An item of a block sequence: `- ` and its first line, the others below it.
pub fn item_lines(item: &Value, indent: usize, style: Style) -> String {
    let dash = " ".repeat(indent) + "- ";
    match item {
        Value::Map(pairs) if !pairs.is_empty() => {
            dash + block(pairs, indent + 2, style).trim_start_matches(' ')
        }
        item => dash + &item.flow() + "\n",
    }
}

/// A string as a scalar that every YAML reader takes for this string.
pub fn scalar(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let printable = text.chars().all(is_printable);
    if printable && text.contains(['"', '\\']) && !text.contains('\'') {
        return format!("'{text}'");
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if is_printable(c) => quoted.push(c),
            c if u32::from(c) <= 0xFFFF => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    quoted + "\""
}

/// Words that some reader takes for a boolean, nothing, or a number.
const NOT_STRINGS: [&str; 14] =
    ["true", "false", "yes", "no", "on", "off", "null", "y", "n", "nan", "inf", "infinity", "e", "x"];

/// Whether the string needs no quotes under any version of YAML.
fn is_plain(text: &str) -> bool {
    // Lengths of time.
    if let Some(digits) = text.strip_suffix(['s', 'm', 'h']) {
        return !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) || is_plain_word(text);
    }
    is_plain_word(text)
}

fn is_plain_word(text: &str) -> bool {
    let option = text.strip_prefix('-').unwrap_or(text);
    option.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-'))
        && !NOT_STRINGS.contains(&option.to_ascii_lowercase().as_str())
}

/// Whether a reader must take the character as it stands. Line and byte order marks are not trusted to.
fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{FEFF}' | '\u{FFFE}' | '\u{FFFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_quoted_where_a_reader_could_take_them_for_something_else() {
        let cases = [
            ("root", "root"),
            ("/bin/sh", "/bin/sh"),
            ("Etc/UTC", "Etc/UTC"),
            ("", "\"\""),
            ("yes", "\"yes\""),
            ("No", "\"No\""),
            ("1", "\"1\""),
            ("2026-11-24", "\"2026-11-24\""),
            ("*/5 * * * *", "\"*/5 * * * *\""),
            ("a: b", "\"a: b\""),
            ("a #b", "\"a #b\""),
            ("echo \"x\"", "'echo \"x\"'"),
            ("echo \"it's\"", "\"echo \\\"it's\\\"\""),
            ("a\\nb", "'a\\nb'"),
            ("a\nb\t\u{7}", "\"a\\nb\\t\\u0007\""),
            ("\u{2028}\u{10FFFF}", "\"\\u2028\u{10FFFF}\""),
            ("é", "\"é\""),
        ];
        for (text, yaml) in cases {
            assert_eq!(scalar(text), yaml, "{text:?}");
        }
    }

    #[test]
    fn long_values_become_blocks() {
        let long = "x".repeat(60);
        let pairs = [
            ("short".to_owned(), Value::Map(vec![("a".to_owned(), Value::Number(1))])),
            ("long".to_owned(), Value::Map(vec![("a".to_owned(), Value::texts(&[&long, &long]))])),
            ("none".to_owned(), Value::List(Vec::new())),
        ];
        assert_eq!(
            block(&pairs, 2, Style::Compact),
            format!("  short: {{a: 1}}\n  long:\n    a:\n      - {long}\n      - {long}\n  none: []\n")
        );
    }
}
