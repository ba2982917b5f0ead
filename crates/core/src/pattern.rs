//! Patterns for output: regular expressions that take linear time, whatever they and the output are.

use regex::bytes::{Regex, RegexBuilder};

/// A longer pattern is refused, in bytes.
pub const PATTERN_BYTES_MAX: usize = 4096;
/// What a compiled pattern may take, in bytes.
const COMPILED_BYTES_MAX: usize = 1 << 20;
/// How deep groups may be nested.
const NESTING_MAX: u32 = 50;

/// Compiles a pattern. `^` and `$` stand for the ends of lines; output need not be UTF-8.
///
/// # Errors
/// It is no regular expression, uses what costs more than linear time (look-around, back references), or is too large.
pub fn compile(text: &str) -> Result<Regex, String> {
    if text.len() > PATTERN_BYTES_MAX {
        return Err(format!("it has {} bytes, more than {PATTERN_BYTES_MAX}", text.len()));
    }
    let mut builder = RegexBuilder::new(text);
    builder.multi_line(true).size_limit(COMPILED_BYTES_MAX).nest_limit(NESTING_MAX);
    builder.build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "compiled it is too large; shorten its repetitions".to_owned(),
        // The library draws the place over several lines; the last says what is wrong.
        error => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            last.strip_prefix("error: ").unwrap_or(last).to_owned()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_lines_of_any_bytes() {
        let done = compile("^done$").expect("a pattern");
        assert!(done.is_match(b"\xff\xfe\ndone\n") && !done.is_match(b"not done\n"));
        assert!(compile("(?i)ERROR|fatal").expect("a pattern").is_match(b"an Error"));
    }

    #[test]
    fn what_could_cost_much_is_refused() {
        for pattern in ["(", "(?=a)", r"(a)\1", "a{1000}{1000}", &"(".repeat(60), &"a".repeat(5000)] {
            let why = compile(pattern).expect_err(pattern);
            assert!(!why.is_empty() && !why.contains('\n'), "{why}");
        }
    }
}
