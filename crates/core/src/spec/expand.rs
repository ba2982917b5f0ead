//! `${NAME}` from the environment of who loads.

/// Why a text cannot be expanded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Byte in the text.
    pub(crate) offset: usize,
    /// Characters meant.
    pub(crate) width: usize,
    pub(crate) message: String,
    pub(crate) hint: String,
}

/// The text with `${NAME}` replaced by the variable, `${NAME:-text}` by the variable or else the text, and `$${` by `${`.
/// A `$` before anything else stands for itself. What is put in is not expanded again.
///
/// # Errors
/// A variable that is not set and has no default, or a `${` that is not closed or names nothing.
pub(crate) fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, Fault> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let offset = text.len() - rest.len() + at;
        if rest[..at].ends_with('$') {
            expanded.push_str(&rest[..at - 1]);
            expanded.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        expanded.push_str(&rest[..at]);
        let inner = &rest[at + 2..];
        let Some(end) = inner.find('}') else {
            return Err(Fault {
                offset,
                width: 2,
                message: "a `${` that is not closed".to_owned(),
                hint: "write `${NAME}`, or `$${` for the two characters".to_owned(),
            });
        };
        let (name, default) = match inner[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&inner[..end], None),
        };
        let width = inner[..end].chars().count() + 3;
        if !is_variable(name) {
            return Err(Fault {
                offset,
                width,
                message: "a `${…}` that names no variable".to_owned(),
                hint: "write `${NAME}` or `${NAME:-default}`, or `$${` for the two characters".to_owned(),
            });
        }
        match env(name).or_else(|| default.map(str::to_owned)) {
            Some(value) => expanded.push_str(&value),
            None => {
                return Err(Fault {
                    offset,
                    width,
                    message: format!("the environment variable {name} is not set"),
                    hint: format!(
                        "set it, write `${{{name}:-default}}`, or `$${{{name}}}` to leave it to the job"
                    ),
                });
            }
        }
        rest = &inner[end + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// Whether `name` can name an environment variable.
pub(crate) fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_once_and_missing_ones_refused() {
        let env = |name: &str| (name == "A").then(|| "${B}".to_owned());
        let ok = |text| expand(text, &env).expect(text);
        assert_eq!(ok("x${A}y"), "x${B}y");
        assert_eq!(ok("${B:-}|${B:-d}|${A:-d}"), "|d|${B}");
        assert_eq!(ok("$${A} $A $$ 5$"), "${A} $A $$ 5$");
        let fault = expand("ab${NOPE}", &env).expect_err("unset");
        assert_eq!((fault.offset, fault.width), (2, 7));
        assert!(fault.hint.contains("${NOPE:-default}"));
        assert!(
            expand("${", &env).is_err() && expand("${}", &env).is_err() && expand("${a b}", &env).is_err()
        );
    }
}
