//! Text for a POSIX shell.

/// Whether this program reads scripts of a POSIX shell.
pub fn is_posix(shell: &str) -> bool {
    let name = shell.rsplit('/').next().unwrap_or(shell);
    matches!(name, "sh" | "bash" | "dash" | "ash" | "ksh" | "zsh")
}

/// One word of a command line.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) && !word.starts_with('=') {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A command line of these words. The first is a program even if it looks like an assignment.
pub fn line(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| quote(word)).collect();
    match words.first() {
        Some(first) if first.contains('=') => format!("'{}'", first.replace('\'', "'\\''")) + &tail(&quoted),
        _ => quoted.join(" "),
    }
}

fn tail(quoted: &[String]) -> String {
    quoted[1..].iter().map(|word| format!(" {word}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_read_more_into_them() {
        let cases =
            [("a", "a"), ("", "''"), ("a b", "'a b'"), ("it's", "'it'\\''s'"), ("$x", "'$x'"), ("~", "'~'")];
        for (word, quoted) in cases {
            assert_eq!(quote(word), quoted);
        }
        let words = ["A=1", "b=2", "c d"].map(str::to_owned);
        assert_eq!(line(&words), "'A=1' b=2 'c d'");
    }
}
