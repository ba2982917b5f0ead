//! Crontab files, read as Debian's cron reads them, line by line, nothing left out in silence.
//!
//! A line is tried as a setting first and as an entry second, as cron does. What cron refuses is an error on its line;
//! what cron takes but hardly as meant (a range that goes backwards never runs) is said. One bad line makes cron refuse
//! the whole file; here the good ones are read all the same. `CRON_TZ` is not known to Debian's cron; it is read as
//! cronie reads it.

use super::crontab_jobs::is_carried;
use super::rule::{self, Rule};
use super::text::{self, Encoding, Line};
use super::{NOT_A_LINE, NOT_A_USER, NOT_CARRIED, READ_OTHERWISE, UNKNOWN_ZONE, Zones, setting};
use punctual_core::error::Diagnostic;

/// The two forms of crontab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// One user's, as `crontab -l` prints it: five time fields and a command.
    User,
    /// The system's, as /etc/crontab and the files of /etc/cron.d: a user name before the command.
    System,
}

impl Kind {
    /// The form that cron expects of a file at `path`.
    pub fn of_path(path: &str) -> Self {
        let path = format!("/{}", path.trim_start_matches("./"));
        let system = path.ends_with("/etc/crontab") || path.contains("/cron.d/");
        if system { Self::System } else { Self::User }
    }
}

/// A line that starts something.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Where it stands.
    pub at: Line,
    /// The time fields or the nickname, as written.
    pub schedule: String,
    /// What the schedule means.
    pub rule: Rule,
    /// Whom it runs as; `None` in a user's crontab whose owner is not known.
    pub user: Option<String>,
    /// What the shell gets: up to the first `%` that is not escaped, `\%` being `%`.
    pub command: String,
    /// What the command reads: the text after that `%`, further ones being line ends; `None` without one.
    pub stdin: Option<String>,
    /// The settings in force at this line, in the order of their first appearance.
    pub env: Vec<(String, String)>,
    /// The zone of `CRON_TZ`, if one is in force.
    pub zone: Option<String>,
}

/// A crontab that was read.
#[derive(Debug, Default)]
pub struct Crontab {
    /// What can be imported.
    pub entries: Vec<Entry>,
    /// One for each line that cannot.
    pub errors: Vec<Diagnostic>,
    /// What an import changes, or what cron reads otherwise than one might think.
    pub warnings: Vec<Diagnostic>,
}

impl Crontab {
    /// A remark for a crontab that was taken for a user's, though every command of it begins with one of `users`.
    pub fn looks_like_the_systems(&self, file: &str, users: &[String]) -> Option<Diagnostic> {
        let begins_with_user = |entry: &Entry| users.iter().any(|user| user == word(&entry.command));
        if self.entries.is_empty() || !self.entries.iter().all(begins_with_user) {
            return None;
        }
        let warning = Diagnostic::warning(READ_OTHERWISE, "every command begins with the name of a user");
        let hint = "if this is a system crontab, where a user stands before the command, say --kind system";
        Some(warning.at(self.entries[0].at.origin(file, 0, 1)).hint(hint))
    }
}

/// Reads the crontab in `bytes`, named `file` in diagnostics. `owner` is whose a [`Kind::User`] crontab is, if known.
pub fn read(
    file: &str,
    bytes: &[u8],
    kind: Kind,
    encoding: Encoding,
    owner: Option<&str>,
    zones: Zones,
) -> Crontab {
    let text = text::read(file, bytes, encoding);
    let mut reader = Reader {
        file,
        kind,
        owner,
        zones,
        env: Vec::new(),
        zone: Zone::Machine,
        out: Crontab { entries: Vec::new(), errors: text.errors, warnings: text.warnings },
    };
    for line in &text.lines {
        reader.line(line);
    }
    let mut out = reader.out;
    out.errors.sort_by_key(line_of);
    out.warnings.sort_by_key(line_of);
    out
}

fn line_of(diagnostic: &Diagnostic) -> u32 {
    diagnostic.origin.as_ref().map_or(0, |origin| origin.line)
}

/// The zone in force.
enum Zone {
    /// The machine's: no `CRON_TZ` so far, or an empty one.
    Machine,
    /// That of the last `CRON_TZ`.
    Named(String),
    /// The `CRON_TZ` of this line names none that is known.
    Unknown(u32),
}

struct Reader<'a> {
    file: &'a str,
    kind: Kind,
    owner: Option<&'a str>,
    zones: Zones<'a>,
    env: Vec<(String, String)>,
    zone: Zone,
    out: Crontab,
}

impl Reader<'_> {
    fn line(&mut self, line: &Line) {
        let text = line.text.trim_start_matches(BLANKS);
        if text.is_empty() || text.starts_with('#') {
            return;
        }
        let indent = line.text.chars().count() - text.chars().count();
        match setting::parse(text) {
            Some((name, value)) => self.set(line, indent, name, value),
            None => match self.entry(line, text, indent) {
                Ok(entry) => {
                    self.out.warnings.extend(entry.rule.notes.iter().cloned());
                    self.out.entries.push(entry);
                }
                Err(error) => self.out.errors.push(*error),
            },
        }
    }

    fn set(&mut self, line: &Line, indent: usize, name: String, value: String) {
        let at = line.origin(self.file, indent, name.chars().count());
        match name.as_str() {
            "" => {
                let error = Diagnostic::error(NOT_A_LINE, "the setting has no name").at(at);
                return self.out.errors.push(error.hint("write NAME=value"));
            }
            "LOGNAME" | "USER" => self.out.warnings.push(
                Diagnostic::warning(NOT_CARRIED, format!("{name} is not carried over")).at(at).detail(
                    "cron sets it to the user of the job, whatever the crontab says; so does Punctual",
                ),
            ),
            name if !is_carried(name) => self.out.warnings.push(
                Diagnostic::warning(NOT_CARRIED, format!("the variable {name:?} is not carried over"))
                    .at(at)
                    .detail(
                        "a job's variables have letters, digits and `_`, and do not begin with PUNCTUAL_",
                    ),
            ),
            "CRON_TZ" => self.cron_tz(line, &value, at),
            _ => {}
        }
        match self.env.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.env.push((name, value)),
        }
    }

    fn cron_tz(&mut self, line: &Line, value: &str, at: punctual_core::error::Origin) {
        if value.is_empty() {
            self.zone = Zone::Machine;
            return;
        }
        // A leading colon is the C library's way to say "a file of the zone table".
        match (self.zones)(value.strip_prefix(':').unwrap_or(value)) {
            Ok(zone) => {
                self.zone = Zone::Named(zone);
                // Once a file is enough.
                if !self.env.iter().any(|(known, _)| known == "CRON_TZ") {
                    self.out.warnings.push(
                        Diagnostic::warning(READ_OTHERWISE, "CRON_TZ is taken as the zone of the entries below it")
                            .at(at)
                            .detail("cronie reads it so; Debian's cron hands it to the commands and keeps the machine's zone")
                            .hint("if Debian's cron served the file, remove the line to keep its times"),
                    );
                }
            }
            Err(hint) => {
                self.zone = Zone::Unknown(line.number);
                let error = Diagnostic::error(UNKNOWN_ZONE, format!("there is no time zone {value:?}"));
                self.out.errors.push(error.at(at).hint(hint));
            }
        }
    }

    fn entry(&mut self, line: &Line, text: &str, indent: usize) -> Result<Entry, Box<Diagnostic>> {
        let at =
            |byte: usize, width: usize| line.origin(self.file, indent + text[..byte].chars().count(), width);
        let (schedule, rest) = split_schedule(text).map_err(|e| Box::new((*e).at(at(0, 1))))?;
        let rule = rule::crontab(schedule, &at(0, schedule.chars().count()))?;
        let from = text.len() - rest.len();
        let (user, rest) = match self.kind {
            Kind::User => (self.owner.map(str::to_owned), rest),
            Kind::System => {
                let (user, rest) =
                    split_user(rest).map_err(|e| Box::new(e.at(at(from, word(rest).len()))))?;
                (Some(user.to_owned()), rest)
            }
        };
        let from = text.len() - rest.len();
        if rest.starts_with('*') {
            let error = Diagnostic::error(NOT_A_LINE, "the command begins with *")
                .detail("a crontab has five time fields; a sixth, for seconds or years, is not known to cron")
                .hint("remove a field; seconds can be had in Punctual's own definitions");
            return Err(Box::new(error.at(at(from, 1))));
        }
        let (command, stdin) = split_percent(rest);
        if command.trim().is_empty() {
            let error = Diagnostic::error(NOT_A_LINE, "the line has no command");
            return Err(Box::new(error.at(at(from, 1)).hint("write the command after the schedule")));
        }
        let zone = match &self.zone {
            Zone::Machine => None,
            Zone::Named(zone) => Some(zone.clone()),
            Zone::Unknown(by) => {
                let error = Diagnostic::error(
                    UNKNOWN_ZONE,
                    format!("its time zone is that of line {by}, which is not known"),
                );
                return Err(Box::new(error.at(at(0, schedule.chars().count()))));
            }
        };
        Ok(Entry {
            at: line.clone(),
            schedule: schedule.to_owned(),
            rule,
            user,
            command,
            stdin,
            env: self.env.clone(),
            zone,
        })
    }
}

const BLANKS: [char; 2] = [' ', '\t'];

/// What stands before the first blank.
fn word(text: &str) -> &str {
    &text[..text.find(BLANKS).unwrap_or(text.len())]
}

/// The schedule as written, and what follows it and its blanks.
fn split_schedule(text: &str) -> Result<(&str, &str), Box<Diagnostic>> {
    const FIELDS: usize = 5;
    let fields = if text.starts_with('@') { 1 } else { FIELDS };
    let mut end = 0;
    for found in 0..fields {
        let rest = &text[end..];
        let blanks = rest.len() - rest.trim_start_matches(BLANKS).len();
        let next = word(&rest[blanks..]).len();
        if next == 0 {
            return Err(Box::new(not_an_entry(text, found)));
        }
        end += blanks + next;
    }
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '*' | '@')) {
        return Err(Box::new(not_an_entry(text, fields)));
    }
    Ok((&text[..end], text[end..].trim_start_matches(BLANKS)))
}

/// The error of a line that is neither, with what its writer probably meant.
fn not_an_entry(text: &str, found: usize) -> Diagnostic {
    let error = Diagnostic::error(NOT_A_LINE, "the line is neither a setting nor an entry");
    if let Some((name, value)) = text.split_once('=') {
        let name = name.trim_end();
        if value.trim().is_empty() {
            return error
                .detail("cron takes an empty value only in quotes")
                .hint(format!("write {name}=\"\""));
        }
        if value.trim_start().starts_with(['"', '\'']) {
            return error
                .detail("the quotes of a value must close, and nothing may follow them")
                .hint(format!("write {name}=\"value\", or leave the quotes out"));
        }
        if name.contains(BLANKS) && !name.starts_with(|c: char| c.is_ascii_digit() || c == '*') {
            return error
                .hint("a name with blanks must stand in quotes; a shell's `export` is not for crontabs");
        }
    }
    if text.starts_with('-') {
        return error
            .detail("a leading `-` (do not log) is SUSE's and cronie's; Debian's cron refuses it")
            .hint("remove the `-`");
    }
    if text.starts_with(|c: char| c.is_ascii_digit() || c == '*') {
        return error
            .detail(format!("it has {found} of 5 time fields and no command"))
            .hint("write minute, hour, day of month, month, day of week, then the command");
    }
    error.hint("an entry begins with five time fields or a nickname such as @daily, a setting is NAME=value")
}

/// The user of a system crontab's entry, and the command.
fn split_user(rest: &str) -> Result<(&str, &str), Box<Diagnostic>> {
    let user = word(rest);
    let command = rest[user.len()..].trim_start_matches(BLANKS);
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '@' | '\\' | '$');
    if user.is_empty() {
        let error = Diagnostic::error(NOT_A_LINE, "the line has neither user nor command");
        return Err(Box::new(error.hint("in a system crontab a user name stands before the command")));
    }
    if user.starts_with('*') {
        let error = Diagnostic::error(NOT_A_LINE, "a * stands where the user is expected");
        return Err(Box::new(
            error.detail(
                "a crontab has five time fields; a sixth, for seconds or years, is not known to cron",
            ),
        ));
    }
    if !user.chars().all(plain) || user.starts_with('-') {
        let error = Diagnostic::error(NOT_A_USER, format!("{user:?} is not a user name"))
            .detail("in a system crontab a user name stands before the command")
            .hint("if this is one user's crontab, say --kind user");
        return Err(Box::new(error));
    }
    Ok((user, command))
}

/// Command and input, as cron splits them at `%`. A `%` behind a backslash is a `%`; any other backslash stays.
fn split_percent(text: &str) -> (String, Option<String>) {
    let (mut command, mut input) = (String::new(), None::<String>);
    let mut escaped = false;
    for c in text.chars() {
        if escaped && c != '%' {
            input.as_mut().unwrap_or(&mut command).push('\\');
        }
        if c == '%' && !escaped {
            match &mut input {
                None => input = Some(String::new()),
                Some(input) => input.push('\n'),
            }
            continue;
        }
        escaped = c == '\\';
        if !escaped {
            input.as_mut().unwrap_or(&mut command).push(c);
        }
    }
    if escaped {
        input.as_mut().unwrap_or(&mut command).push('\\');
    }
    if let Some(input) = input.as_mut().filter(|input| !input.is_empty() && !input.ends_with('\n')) {
        input.push('\n');
    }
    (command, input)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn zones(name: &str) -> Result<String, String> {
        if name.contains("Nowhere") {
            Err("write a zone that exists".to_owned())
        } else {
            Ok(name.to_owned())
        }
    }

    fn user(text: &str) -> Crontab {
        read("f", text.as_bytes(), Kind::User, Encoding::Utf8, None, &zones)
    }

    fn system(text: &str) -> Crontab {
        read("f", text.as_bytes(), Kind::System, Encoding::Utf8, None, &zones)
    }

    fn one(crontab: &Crontab) -> &Entry {
        assert!(crontab.errors.is_empty(), "{:?}", crontab.errors);
        assert_eq!(crontab.entries.len(), 1);
        &crontab.entries[0]
    }

    fn lines(diagnostics: &[Diagnostic]) -> Vec<u32> {
        diagnostics.iter().map(line_of).collect()
    }

    /// What `crontab -n` of Debian's cron 3.0pl1-162 says to each, where we say the same.
    #[test]
    fn entries_are_what_debians_cron_takes_for_entries() {
        let accepted = [
            "* * * * * cmd",
            "*\t*\t*\t*\t*\tc",
            "  \t* * * * * c",
            "@daily cmd",
            "@daily\t cmd",
            "@reboot cmd",
            "@midnight cmd",
            "@annually cmd",
            "* * * * 7 cmd",
            "* * * * 0-7 cmd",
            "* * * * 5-7 cmd",
            "* * * * sun cmd",
            "* * * * SuN cmd",
            "* * * * mon-fri cmd",
            "* * * * mon,wed cmd",
            "* * * jan-mar * cmd",
            "* * * jan-dec/2 * c",
            "4-4 * * * * cmd",
            "1-5/2 * * * * cmd",
            "1-5/10 * * * * cmd",
            "*/61 * * * * cmd",
            "*,5 * * * * cmd",
            "5,* * * * * cmd",
            "1-5,*/2 * * * * c",
            "00005 * * * * cmd",
            "0-59/07 * * * * c",
            "0 0 * * 1,2,3-5/2 c",
            "* * * * * #c",
            "* * * * * FOO=bar cmd",
            "0 0 * * * x=1",
        ];
        for line in accepted {
            one(&user(&format!("{line}\n")));
        }
        let refused = [
            "5x * * * * cmd",
            "5/15 * * * * cmd",
            "*/15x * * * * cmd",
            "@Daily cmd",
            "@every_minute cmd",
            "@foo cmd",
            "@ daily c",
            "@daily% c",
            "60 * * * * cmd",
            "* 24 * * * cmd",
            "* * 0 * * cmd",
            "* * 32 * * cmd",
            "* * * 0 * cmd",
            "* * * 13 * cmd",
            "* * * * 8 cmd",
            "* * * * sunday cmd",
            "* * * january * cmd",
            "jan * * * * cmd",
            "*/0 * * * * cmd",
            "*/ * * * * c",
            "1,,2 * * * * cmd",
            ",1 * * * * cmd",
            "1, * * * * cmd",
            "? * * * * cmd",
            "* * ? * * cmd",
            "* * L * * cmd",
            "* * 15W * * cmd",
            "* * * * 5L cmd",
            "5- * * * * cmd",
            "-5 * * * * cmd",
            "-* * * * * cmd",
            "5-64/30 * * * * cmd",
            "* * * * * * cmd",
            "* * * * 1 * cmd",
            "99999999999999999999 * * * * c",
            "~ * * * * c",
            "H * * * * c",
            "* * * Jan/2 * c",
            "* * * * mon/2 c",
            "\\% * * * * c",
            "+5 * * * * c",
            "0x1 * * * * c",
            "A=",
            "A=\"x\" y",
            "A=\"x",
            "CRON_TZ",
            "export A=b",
            "\u{b}* * * * * c",
        ];
        for line in refused {
            let crontab = user(&format!("# c\n{line}\n* * * * * next\n"));
            assert_eq!(lines(&crontab.errors), [2], "{line}");
            assert_eq!(crontab.entries.len(), 1, "{line}: the line after it is read");
            let error = &crontab.errors[0];
            assert!(error.hint.is_some() || error.detail.is_some(), "{line}: {error}");
        }
    }

    /// What cron takes but hardly as meant: it never runs the line, or takes a number and ignores what follows it.
    #[test]
    fn lines_that_cron_takes_but_not_as_meant_are_refused() {
        let refused = [
            "22-4 * * * * c",
            "* * * dec-feb * c",
            "0 0 31 2 * c",
            "*5 * * * * c",
            "*-5 * * * * c",
            "** * * * * c",
            "*/5/2 * * * * c",
            "1-5-7 * * * * c",
            "* * * * 5#2 c",
            "1.5 * * * * c",
            "4294967301 * * * * c",
            "5~10 * * * * c",
            "* * * * *",
            "* * * * * ",
            "@daily",
            "* * * * *cmd",
            "=b",
            "* * * * sat-sun c",
            "* * * * mon-0 c",
        ];
        for line in refused {
            assert_eq!(lines(&user(&format!("{line}\n")).errors), [1], "{line}");
        }
    }

    #[test]
    fn a_day_field_that_begins_with_a_star_is_a_star_and_the_rule_says_so() {
        let cases = [
            ("30 4 1,15 * 5", "30 4 1,15 * 5"),
            ("0 0 */2 * mon", "0 0 */2 * +mon"),
            ("0 0 1 * */2", "0 0 1 * +*/2"),
            ("0 0 * * mon", "0 0 * * mon"),
        ];
        for (written, standard) in cases {
            let crontab = user(&format!("{written} c\n"));
            let entry = one(&crontab);
            assert_eq!(entry.schedule, written);
            assert!(entry.rule.standard.eq_ignore_ascii_case(standard), "{written}: {}", entry.rule.standard);
        }
    }

    #[test]
    fn percent_signs_split_command_and_input() {
        let cases = [
            ("a", "a", None),
            ("a%", "a", Some("")),
            ("a%b", "a", Some("b\n")),
            ("a%b%c", "a", Some("b\nc\n")),
            ("a%b%", "a", Some("b\n")),
            ("a%%b", "a", Some("\nb\n")),
            ("date +\\%F", "date +%F", None),
            ("a\\%b%c\\%d", "a%b", Some("c%d\n")),
            ("a \\n b", "a \\n b", None),
            ("a \\\\n", "a \\\\n", None),
            ("a \\\\% b", "a \\% b", None),
            ("a\\", "a\\", None),
            ("a % b ", "a ", Some(" b \n")),
            (
                "mail -s \"It's 10pm\" joe%Joe,%%Where are your kids?%",
                "mail -s \"It's 10pm\" joe",
                Some("Joe,\n\nWhere are your kids?\n"),
            ),
        ];
        for (text, command, stdin) in cases {
            assert_eq!(split_percent(text), (command.to_owned(), stdin.map(str::to_owned)), "{text}");
        }
        assert_eq!(lines(&user("* * * * * %x\n").errors), [1], "no command before the input");
    }

    #[test]
    fn the_environment_is_what_is_in_force_at_the_line() {
        let crontab = user("* * * * * a\nPATH=/bin\nMAILTO=\"\"\n* * * * * b\nPATH = '/x '\n* * * * * c\n");
        let env: Vec<Vec<(&str, &str)>> = crontab
            .entries
            .iter()
            .map(|e| e.env.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect())
            .collect();
        assert_eq!(
            env,
            [vec![], vec![("PATH", "/bin"), ("MAILTO", "")], vec![("PATH", "/x "), ("MAILTO", "")]]
        );
    }

    #[test]
    fn cron_tz_holds_from_its_line_on_and_tz_goes_to_the_job_alone() {
        let crontab = user(
            "0 0 * * * a\nTZ=Asia/Tokyo\n0 0 * * * b\nCRON_TZ=:Europe/Paris\n0 0 * * * c\nCRON_TZ=\"\"\n0 0 * * * d\n",
        );
        let zones: Vec<Option<&str>> = crontab.entries.iter().map(|e| e.zone.as_deref()).collect();
        assert_eq!(zones, [None, None, Some("Europe/Paris"), None]);
        assert!(crontab.errors.is_empty());
    }

    #[test]
    fn an_unknown_zone_is_an_error_and_so_are_the_lines_it_would_time() {
        let crontab = user("0 0 * * * a\nCRON_TZ=Nowhere/X\n0 0 * * * b\nCRON_TZ=UTC\n0 0 * * * c\n");
        assert_eq!(lines(&crontab.errors), [2, 3]);
        assert_eq!(crontab.entries.iter().map(|e| e.at.number).collect::<Vec<_>>(), [1, 5]);
    }

    #[test]
    fn a_system_crontab_has_a_user_before_the_command() {
        let crontab = system("17 *\t* * *\troot\tcd / && run-parts --report /etc/cron.hourly\n");
        let entry = one(&crontab);
        assert_eq!(entry.schedule, "17 *\t* * *");
        assert_eq!(entry.user.as_deref(), Some("root"));
        assert_eq!(entry.command, "cd / && run-parts --report /etc/cron.hourly");
        assert_eq!(one(&system("@reboot  www-data   x\n")).user.as_deref(), Some("www-data"));
        for line in ["* * * * * /usr/bin/x y", "* * * * * root", "* * * * *", "* * * * * * root x", "@daily"]
        {
            assert_eq!(lines(&system(&format!("{line}\n")).errors), [1], "{line}");
        }
    }

    #[test]
    fn the_kind_follows_from_the_path() {
        for path in ["/etc/crontab", "etc/crontab", "/mnt/etc/cron.d/php", "./cron.d/x"] {
            assert_eq!(Kind::of_path(path), Kind::System, "{path}");
        }
        for path in ["-", "crontab", "/var/spool/cron/crontabs/root", "my.cron", "/x/fetc/crontab"] {
            assert_eq!(Kind::of_path(path), Kind::User, "{path}");
        }
    }

    #[test]
    fn an_error_points_at_the_character() {
        let crontab = user("  0 25 * * * c\n");
        let origin = crontab.errors[0].origin.clone().expect("a place");
        assert_eq!((origin.line, origin.column), (1, 5));
    }

    proptest::proptest! {
        #[test]
        fn every_line_becomes_something(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            read("f", &bytes, Kind::System, Encoding::Utf8, None, &zones);
            let text = String::from_utf8_lossy(&bytes).replace(['\n', '\r', '\0', '\u{FFFD}'], " ");
            let crontab = user(&format!("{text}\n"));
            let said = text.trim_start_matches([' ', '\t']);
            let silent = said.is_empty() || said.starts_with('#') || setting::parse(said).is_some();
            proptest::prop_assert!(silent || crontab.entries.len() + crontab.errors.len() == 1, "{:?}", text);
        }
    }
}
