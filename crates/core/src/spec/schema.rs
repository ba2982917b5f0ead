//! The format as JSON Schema (draft 2020-12), for editors, and as the reference page. Both are made from the table.

use super::keys::{Key, Kind, Shape};
use super::table::{DOCUMENT, EXECUTORS, shapes};
use serde_json::{Map, Value, json};

const DURATION: &str = "^\\s*([0-9]+(w|d|h|m|s|ms|us)\\s*)+$";
/// A value that the environment gives can be anything.
const FROM_ENVIRONMENT: &str = "\\$\\{";

/// The JSON Schema of a document of definitions.
pub fn json_schema() -> Value {
    let mut definitions = Map::new();
    for shape in shapes().into_iter().filter(|shape| shape.name != DOCUMENT.name) {
        definitions.insert(shape.name.to_owned(), shape_schema(shape));
    }
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".to_owned(), json!("Punctual definitions"));
    let Value::Object(document) = shape_schema(&DOCUMENT) else { unreachable!("a shape is an object") };
    schema.extend(document);
    schema.insert("$defs".to_owned(), Value::Object(definitions));
    Value::Object(schema)
}

fn shape_schema(shape: &'static Shape) -> Value {
    let mut properties = Map::new();
    for key in shape.keys() {
        properties.insert(key.name.to_owned(), key_schema(key));
        for alias in key.aliases {
            let mut schema = key_schema(key);
            schema["description"] = json!(format!("the same as `{}`", key.name));
            schema["deprecated"] = json!(true);
            properties.insert((*alias).to_owned(), schema);
        }
    }
    let others = shape.others.map_or(json!(false), kind_schema);
    let mut schema = json!({
        "type": "object",
        "description": shape.about,
        "properties": properties,
        "additionalProperties": others,
    });
    match shape.name {
        "Job" => {
            schema["anyOf"] = json!([{ "required": ["name"] }, { "required": ["id"] }]);
            schema["not"] = json!({ "anyOf": pairs(&EXECUTORS, &["schedule", "triggers"]) });
        }
        "CalendarUse" => schema["required"] = json!(["name"]),
        "CalendarFile" => schema["required"] = json!(["ics"]),
        "Hook" | "Verify" => schema["required"] = json!(["run"]),
        "TimeTrigger" | "Trigger" => {
            let rules = ["cron", "every", "at", "after"];
            let rules = rules.iter().filter(|rule| shape.find(rule).is_some());
            schema["oneOf"] = rules.map(|rule| json!({ "required": [rule] })).collect();
        }
        _ => {}
    }
    schema
}

/// Every two of `exclusive`, and the two of `both`: what must not stand together.
fn pairs(exclusive: &[&str], both: &[&str; 2]) -> Vec<Value> {
    let mut pairs = vec![json!({ "required": both })];
    for (at, first) in exclusive.iter().enumerate() {
        pairs.extend(exclusive[at + 1..].iter().map(|second| json!({ "required": [first, second] })));
    }
    pairs
}

fn key_schema(key: &Key) -> Value {
    let mut schema = kind_schema(key.kind);
    let about = match key.default {
        Some(default) => format!("{}. Default: {default}", key.about),
        None => key.about.to_owned(),
    };
    schema["description"] = json!(about);
    schema
}

fn kind_schema(kind: &Kind) -> Value {
    let or_environment = |mut schema: Value| {
        let from_environment = json!({ "type": "string", "pattern": FROM_ENVIRONMENT });
        let plain = std::mem::take(&mut schema);
        json!({ "anyOf": [plain, from_environment] })
    };
    match kind {
        Kind::Text | Kind::Cron | Kind::Zone | Kind::Instant => {
            json!({ "type": ["string", "number", "boolean"] })
        }
        Kind::Name => json!({ "type": ["string", "number"] }),
        Kind::Bool => or_environment(json!({ "type": "boolean" })),
        Kind::Integer(least, most) => {
            or_environment(json!({ "type": "integer", "minimum": least, "maximum": most }))
        }
        Kind::Duration => or_environment(json!({ "type": "string", "pattern": DURATION })),
        Kind::Seconds => or_environment(json!({ "anyOf": [
            { "type": "string", "pattern": DURATION }, { "type": "integer", "minimum": 1 },
        ] })),
        Kind::Cpu | Kind::Bytes => json!({ "type": ["string", "number"] }),
        Kind::Word(words) => or_environment(json!({ "enum": words() })),
        Kind::List(inner) => json!({ "type": "array", "items": kind_schema(inner) }),
        Kind::Names(inner) => json!({ "type": "object", "additionalProperties": nullable(inner) }),
        Kind::Object(shape) => json!({ "$ref": format!("#/$defs/{}", shape().name) }),
        Kind::Any(kinds) => {
            json!({ "anyOf": kinds.iter().map(|kind| kind_schema(kind)).collect::<Vec<_>>() })
        }
        Kind::Free => json!({}),
    }
}

/// An empty text may be left out: `DEBUG:`.
fn nullable(kind: &Kind) -> Value {
    match kind {
        Kind::Text => json!({ "type": ["string", "number", "boolean", "null"] }),
        kind => kind_schema(kind),
    }
}

/// The reference of the format as Markdown: one section a shape, one row a key.
pub fn reference() -> String {
    let mut page = String::from(REFERENCE_HEAD);
    for shape in shapes() {
        page.push_str(&format!("\n## {}\n\n{}.\n\n", shape.name, shape.about));
        if shape.name == "Defaults" {
            let names: Vec<_> = shape.keys().map(|key| format!("`{}`", key.name)).collect();
            page.push_str(&format!("Keys, with the meaning they have in a job: {}.\n", names.join(", ")));
            continue;
        }
        page.push_str("| key | value | meaning | default |\n|---|---|---|---|\n");
        for key in shape.keys() {
            let aliases = match key.aliases {
                [] => String::new(),
                aliases => format!(" (also `{}`)", aliases.join("`, `")),
            };
            let default = key.default.map_or(String::new(), |default| format!("`{default}`"));
            let (kind, about) = (kind_words(key.kind), key.about);
            page.push_str(&format!("| `{}`{aliases} | {kind} | {about} | {default} |\n", key.name));
        }
        if let Some(kind) = shape.others {
            page.push_str(&format!(
                "| a semaphore's name | {} | permits taken of it | |\n",
                kind_words(kind)
            ));
        }
    }
    page
}

fn kind_words(kind: &Kind) -> String {
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::Name => "name".to_owned(),
        Kind::Bool => "`true`, `false`".to_owned(),
        Kind::Integer(least, most) => format!("{least} to {most}"),
        Kind::Duration => "length of time".to_owned(),
        Kind::Seconds => "length of time, or seconds".to_owned(),
        Kind::Cpu => "processors".to_owned(),
        Kind::Bytes => "bytes".to_owned(),
        Kind::Word(words) => words().iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Kind::Zone => "IANA zone".to_owned(),
        Kind::Cron => "cron rule".to_owned(),
        Kind::Instant => "instant".to_owned(),
        Kind::List(inner) => format!("list of {}", kind_words(inner)),
        Kind::Names(inner) => format!("names, each with {}", kind_words(inner)),
        Kind::Object(shape) => {
            let name = shape().name;
            format!("[{name}](#{})", name.to_lowercase())
        }
        Kind::Any(kinds) => kinds.iter().map(|kind| kind_words(kind)).collect::<Vec<_>>().join(", or "),
        Kind::Free => "anything".to_owned(),
    }
}

const REFERENCE_HEAD: &str = include_str!("reference_head.txt");

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The keys the decoder takes are those of the schema: both are read from the table, by different ways.
    #[test]
    fn schema_and_table_have_the_same_keys() {
        let schema = json_schema();
        for shape in shapes() {
            let object = match shape.name {
                "Document" => &schema,
                name => &schema["$defs"][name],
            };
            let known: BTreeSet<_> =
                object["properties"].as_object().expect("keys").keys().cloned().collect();
            let mut table = BTreeSet::new();
            for key in shape.keys() {
                table.insert(key.name.to_owned());
                table.extend(key.aliases.iter().map(|alias| (*alias).to_owned()));
            }
            assert_eq!(known, table, "{}", shape.name);
        }
    }

    #[test]
    fn every_reference_in_the_schema_leads_somewhere() {
        fn walk(value: &Value, schema: &Value) {
            match value {
                Value::Object(entries) => {
                    if let Some(Value::String(target)) = entries.get("$ref") {
                        assert!(schema.pointer(target.trim_start_matches('#')).is_some(), "{target}");
                    }
                    entries.values().for_each(|inner| walk(inner, schema));
                }
                Value::Array(items) => items.iter().for_each(|inner| walk(inner, schema)),
                _ => {}
            }
        }
        let schema = json_schema();
        walk(&schema, &schema);
    }

    #[test]
    fn every_shape_of_the_table_is_listed() {
        let listed: BTreeSet<_> = shapes().iter().map(|shape| shape.name).collect();
        for shape in shapes() {
            for inner in shape.keys().flat_map(|key| key.kind.shapes()) {
                assert!(listed.contains(inner.name), "{} is missing from shapes()", inner.name);
            }
        }
    }
}
