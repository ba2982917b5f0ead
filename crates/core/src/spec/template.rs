//! `{{ … }}` in the arguments of a command.
//!
//! A template stands in an argument and is replaced by one value; it can never add an argument. `{{{{` is a plain `{{`.
//! Scripts have none: text put into a shell is a command; there the environment has the same values.

/// The names a template may use, besides `params.NAME`, with the variable that holds the same value.
pub const NAMES: [(&str, &str); 7] = [
    ("job", "PUNCTUAL_JOB"),
    ("runId", "PUNCTUAL_RUN_ID"),
    ("attempt", "PUNCTUAL_ATTEMPT"),
    ("nominalTime", "PUNCTUAL_NOMINAL_TIME"),
    ("nominalDate", "PUNCTUAL_NOMINAL_DATE"),
    ("idempotencyKey", "PUNCTUAL_IDEMPOTENCY_KEY"),
    ("fence", "PUNCTUAL_FENCE"),
];

/// Why an argument's templates are refused.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// Byte of the `{{`.
    pub offset: usize,
    /// Characters meant.
    pub width: usize,
    /// The cause.
    pub message: String,
    /// What to write.
    pub hint: String,
}

/// The environment variable with the value of the template `name`, if there is such a template.
pub fn variable(name: &str) -> Option<String> {
    if let Some(param) = name.strip_prefix("params.") {
        return is_param(param).then(|| format!("PUNCTUAL_PARAM_{}", param.to_uppercase()));
    }
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, variable)| (*variable).to_owned())
}

fn is_param(name: &str) -> bool {
    super::expand::is_variable(name)
}

/// Replaces the templates of `text` by what `value` gives for their names.
///
/// # Errors
/// A template that is not closed, an unknown name, or one that `value` has nothing for.
pub fn render(text: &str, value: &dyn Fn(&str) -> Option<String>) -> Result<String, Fault> {
    let mut rendered = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("{{") {
        let offset = text.len() - rest.len() + at;
        rendered.push_str(&rest[..at]);
        let inner = &rest[at + 2..];
        if let Some(after) = inner.strip_prefix("{{") {
            rendered.push_str("{{");
            rest = after;
            continue;
        }
        let Some(end) = inner.find("}}") else {
            return Err(Fault {
                offset,
                width: 2,
                message: "a `{{` without `}}`".to_owned(),
                hint: "write `{{ nominalDate }}`, or `{{{{` for two plain braces".to_owned(),
            });
        };
        let name = inner[..end].trim();
        let width = inner[..end].chars().count() + 4;
        if variable(name).is_none() {
            let known = NAMES.iter().map(|(known, _)| *known);
            let hint = match super::suggest::nearest(name, known.clone()) {
                Some(near) => format!("write `{{{{ {near} }}}}`"),
                None => {
                    let known: Vec<_> = known.collect();
                    format!(
                        "known are {} and params.NAME; two plain braces are written `{{{{{{{{`",
                        known.join(", ")
                    )
                }
            };
            let message = format!("unknown template `{}`", super::reader::clip(name));
            return Err(Fault { offset, width, message, hint });
        }
        let Some(value) = value(name) else {
            let message = format!("nothing was given for `{name}`");
            return Err(Fault {
                offset,
                width,
                message,
                hint: "give it when the job is triggered".to_owned(),
            });
        };
        rendered.push_str(&value);
        rest = &inner[end + 2..];
    }
    rendered.push_str(rest);
    Ok(rendered)
}

/// The first `{{ name }}` of a script that looks like a template: its byte, its characters, the name.
pub(crate) fn in_script(script: &str) -> Option<(usize, usize, &str)> {
    let mut from = 0;
    while let Some(at) = script[from..].find("{{").map(|at| at + from) {
        let inner = &script[at + 2..];
        if let Some(end) = inner.find("}}") {
            let name = inner[..end].trim();
            let named = !name.is_empty()
                && name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_'));
            if named {
                return Some((at, inner[..end].chars().count() + 4, name));
            }
        }
        from = at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_replaced_and_unknown_ones_refused() {
        let value = |name: &str| match name {
            "nominalDate" => Some("2026-11-24".to_owned()),
            "params.x" => Some("{{ job }}".to_owned()),
            _ => None,
        };
        let render = |text| super::render(text, &value);
        assert_eq!(render("--day={{ nominalDate }}.").expect("known"), "--day=2026-11-24.");
        assert_eq!(render("{{params.x}}").expect("a value is not rendered again"), "{{ job }}");
        assert_eq!(render("{{{{.ID}}").expect("plain braces"), "{{.ID}}");
        assert!(render("{{ nominaldate }}").expect_err("case").hint.contains("nominalDate"));
        assert!(render("{{.ID}}").expect_err("foreign").hint.contains("{{{{"));
        assert!(render("{{ job").is_err());
        assert!(render("{{ runId }}").expect_err("no value").message.contains("nothing"));
    }

    #[test]
    fn scripts_may_hold_what_is_no_template() {
        assert_eq!(in_script("docker ps --format '{{.ID}}'"), None);
        assert_eq!(in_script("echo {{ nominalDate }}"), Some((5, 17, "nominalDate")));
        assert_eq!(in_script("{{{ a }}"), Some((1, 7, "a")));
    }
}
