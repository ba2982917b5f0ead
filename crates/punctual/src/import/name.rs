//! Names for jobs that have none: short, readable, made from the command alone, so that a second import gives the same.

use std::collections::HashMap;

/// No name that is made here is longer.
const NAME_CHARS_MAX: usize = 48;

/// The names of one output; each is given once.
#[derive(Debug, Default)]
pub struct Names {
    /// Each name with the last number put behind it.
    taken: HashMap<String, u32>,
}

impl Names {
    /// Whether nobody has this name yet.
    pub fn is_free(&self, name: &str) -> bool {
        !self.taken.contains_key(name)
    }

    /// `wanted`, or with `-2`, `-3` … if it is taken.
    pub fn give(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        let mut number = self.taken.get(wanted).copied().unwrap_or(1);
        while self.taken.contains_key(&name) {
            number += 1;
            name = format!("{wanted}-{number}");
        }
        self.taken.insert(wanted.to_owned(), number);
        self.taken.entry(name.clone()).or_insert(1);
        name
    }
}

/// What a person would call this shell command: its main program and, where that says little alone, what it is given.
pub fn of_command(command: &str) -> String {
    let part = command.split(['&', '|', ';', '{', '}', '(', ')', '\n']).find(|part| tells(part));
    let mut name = String::new();
    let mut last_is_wrapper = true;
    for word in part.unwrap_or(command).split_whitespace().map(|w| w.trim_matches(['"', '\'', '`'])) {
        if is_decoration(word) {
            continue;
        }
        // Redirections end what tells the commands apart.
        if word.contains(['<', '>']) {
            break;
        }
        let slug = slug(base(word));
        if slug.is_empty() {
            continue;
        }
        let told = !name.is_empty() && !last_is_wrapper;
        last_is_wrapper = WRAPPERS.contains(&slug.as_str());
        if !(name.is_empty() || name.ends_with(&slug)) {
            name.push('-');
            name.push_str(&slug);
        } else if name.is_empty() && !DROPPED.contains(&slug.as_str()) {
            name = slug;
        }
        if told || name.len() >= NAME_CHARS_MAX {
            break;
        }
    }
    name.truncate(NAME_CHARS_MAX);
    let name = name.trim_matches('-');
    if name.is_empty() { "job".to_owned() } else { name.to_owned() }
}

/// Programs that say nothing of what is done: a part that begins with one is passed over.
const PRELUDES: [&str; 11] = ["cd", "test", "[", "[[", "true", ":", ".", "source", "sleep", "export", "if"];

/// Programs that start another one, left out of the name when they come first.
const DROPPED: [&str; 14] = [
    "sh", "bash", "dash", "zsh", "env", "nice", "ionice", "sudo", "flock", "timeout", "exec", "nohup",
    "chronic", "command",
];

/// Programs whose name alone does not tell jobs apart: the next word is part of the name.
const WRAPPERS: [&str; 28] = [
    "sh",
    "bash",
    "dash",
    "zsh",
    "env",
    "nice",
    "ionice",
    "sudo",
    "flock",
    "timeout",
    "exec",
    "nohup",
    "chronic",
    "command",
    "python",
    "python2",
    "python3",
    "perl",
    "ruby",
    "php",
    "node",
    "java",
    "docker",
    "run-parts",
    "echo",
    "curl",
    "wget",
    "make",
];

fn tells(part: &str) -> bool {
    let mut words = part.split_whitespace().filter(|w| !is_assignment(w));
    words.next().is_some_and(|first| !PRELUDES.contains(&first) && !slug(base(first)).is_empty())
}

/// Options, assignments and bare numbers (of `nice -n 10`, `timeout 60`) tell nothing.
fn is_decoration(word: &str) -> bool {
    word.starts_with(['-', '+']) || is_assignment(word) || word.starts_with(|c: char| c.is_ascii_digit())
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

/// The last part of a path without the endings of scripts; of an address, the host.
fn base(word: &str) -> &str {
    if let Some((_, address)) = word.split_once("://") {
        return address.split(['/', '?', ':']).next().unwrap_or(address);
    }
    let name = word.trim_end_matches('/').rsplit('/').next().unwrap_or(word);
    [".sh", ".py", ".pl", ".rb", ".php", ".js", ".jar"]
        .iter()
        .find_map(|e| name.strip_suffix(e))
        .unwrap_or(name)
}

/// Lower-case letters, digits and single `-`.
pub fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_the_command_does() {
        let cases = [
            ("cd / && run-parts --report /etc/cron.hourly", "run-parts-cron-hourly"),
            (
                "test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }",
                "run-parts-cron-daily",
            ),
            ("test -e /run/systemd/system || SERVICE_MODE=1 /sbin/e2scrub_all -A -r", "e2scrub-all"),
            ("/usr/local/bin/backup.sh --full > /dev/null 2>&1", "backup"),
            ("pg_dump shop | gzip > /backup/shop.gz", "pg-dump-shop"),
            ("FOO=bar nice -n 10 /usr/bin/python3 /srv/report.py", "python3-report"),
            ("flock -n /tmp/lock /opt/sync.sh", "lock-sync"),
            ("curl -fsS https://example.com/ping?x=1", "curl-example-com"),
            ("/bin/bash -c 'date'", "date"),
            ("[ -d /x ] && /opt/Über-Job", "ber-job"),
            ("$HOME/bin/daily.job >> $HOME/tmp/out 2>&1", "daily-job"),
            ("true", "true"),
            ("\u{661f}", "job"),
        ];
        for (command, name) in cases {
            assert_eq!(of_command(command), name, "{command}");
        }
    }

    #[test]
    fn a_taken_name_gets_a_number() {
        let mut names = Names::default();
        let given: Vec<String> = ["a", "a", "a-2", "a"].iter().map(|n| names.give(n)).collect();
        assert_eq!(given, ["a", "a-2", "a-2-2", "a-3"]);
    }
}
