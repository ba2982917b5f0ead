//! `NAME = value` lines of a crontab, read as cron reads them: its quotes and blanks, no expansion.

/// A setting as cron takes it, or `None` if the line is none (cron then tries it as an entry).
///
/// Name and value may each stand in single or double quotes, which must close, and nothing but blanks may follow.
/// Blanks around `=` and after the value do not count unless quoted. A value that is not quoted must not be empty.
/// A `#` is part of the value, and so is a backslash.
pub fn parse(line: &str) -> Option<(String, String)> {
    let (name, rest) = name(line)?;
    let rest = rest.trim_start_matches(is_blank).strip_prefix('=')?;
    let value = rest.trim_start_matches(is_blank);
    Some((name.to_owned(), self::value(value)?.to_owned()))
}

/// The name, and what follows it.
fn name(line: &str) -> Option<(&str, &str)> {
    if let Some(quote) = line.chars().next().filter(is_quote) {
        let (name, rest) = line[1..].split_once(quote)?;
        return if name.contains('=') { None } else { Some((name, rest)) };
    }
    let end = line.find(|c: char| c == '=' || is_blank(c))?;
    Some(line.split_at(end))
}

/// The value of the text after `=` and blanks.
fn value(text: &str) -> Option<&str> {
    match text.chars().next()? {
        quote if is_quote(&quote) => {
            let (value, rest) = text[1..].split_once(quote)?;
            rest.chars().all(is_blank).then_some(value)
        }
        _ => Some(text.trim_end_matches(is_blank)),
    }
}

fn is_quote(c: &char) -> bool {
    matches!(c, '"' | '\'')
}

/// C's `isspace`.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\x0B' | '\x0C' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each answer is that of `crontab -n` of Debian's cron 3.0pl1-162.
    #[test]
    fn settings_are_what_debians_cron_takes_for_settings() {
        let cases: &[(&str, Option<(&str, &str)>)] = &[
            ("A=b", Some(("A", "b"))),
            ("A = b", Some(("A", "b"))),
            ("A= b ", Some(("A", "b"))),
            ("A\t=\tb", Some(("A", "b"))),
            ("A=", None),
            ("A = ", None),
            ("A", None),
            ("A=\"\"", Some(("A", ""))),
            ("A=''", Some(("A", ""))),
            ("A=\"x\" y", None),
            ("A=\"x\"  ", Some(("A", "x"))),
            ("A =\"  x \"", Some(("A", "  x "))),
            ("A=\"x", None),
            ("A='b\"", None),
            ("A='b'c", None),
            ("A='b' # c", None),
            ("A='it\"s'", Some(("A", "it\"s"))),
            ("\"A B\"=c", Some(("A B", "c"))),
            ("\"A=B\"=c", None),
            ("\"A\"B=c", None),
            ("'A'=b", Some(("A", "b"))),
            ("A B=c", None),
            ("A=b#c", Some(("A", "b#c"))),
            ("A=b # c", Some(("A", "b # c"))),
            ("A=b \"c\" d", Some(("A", "b \"c\" d"))),
            ("A=\\\"b\\\"", Some(("A", "\\\"b\\\""))),
            ("A==b", Some(("A", "=b"))),
            ("a=b=c", Some(("a", "b=c"))),
            ("=b", Some(("", "b"))),
            ("\"\"=x", Some(("", "x"))),
            ("1=2", Some(("1", "2"))),
            ("A-B=c", Some(("A-B", "c"))),
            ("@daily=x", Some(("@daily", "x"))),
            ("*=5 * * * * c", Some(("*", "5 * * * * c"))),
            ("0 0 * * * x=1", None),
            ("* * * * * FOO=bar cmd", None),
            ("@daily c=d", None),
            ("PATH=$HOME/bin:$PATH", Some(("PATH", "$HOME/bin:$PATH"))),
            ("", None),
        ];
        for (line, expected) in cases {
            let expected = expected.map(|(n, v)| (n.to_owned(), v.to_owned()));
            assert_eq!(parse(line), expected, "{line:?}");
        }
    }
}
