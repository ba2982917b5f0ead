//! Files of definitions: found, read and loaded, and what is to be told about them.

use punctual_core::error::{Diagnostic, Origin, Severity};
use punctual_core::spec::{self, Context, Definitions, FILE_BYTES_MAX, NO_JOBS, NOT_TEXT, Source};
use punctual_core::zone::ZoneTable;
use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Files in one directory; more are not read.
const FILES_MAX: usize = 10_000;

/// Loads the definitions in `paths`: files, directories, or `-` for standard input. `${NAME}` is replaced from this
/// process's environment.
///
/// # Errors
/// Every error of every file, then the warnings.
pub fn load(paths: &[PathBuf], zones: &ZoneTable) -> Result<Definitions, Vec<Diagnostic>> {
    let (sources, mut faults) = read(paths);
    let readable = faults.iter().all(|fault| fault.severity != Severity::Error);
    match load_sources(&sources, zones) {
        Ok(mut definitions) if readable => {
            definitions.warnings.splice(0..0, faults);
            Ok(definitions)
        }
        Ok(definitions) => {
            faults.extend(definitions.warnings);
            Err(faults)
        }
        Err(found) => {
            faults.extend(found);
            Err(faults)
        }
    }
}

/// Loads definitions that were read already.
///
/// # Errors
/// Every error of every source, then the warnings.
pub fn load_sources(sources: &[Source], zones: &ZoneTable) -> Result<Definitions, Vec<Diagnostic>> {
    let context = Context {
        env: &|name| std::env::var(name).ok(),
        read: &|file, path| read_beside(file, path),
        zones: &|name| zones.zone(name),
    };
    spec::load(sources, &context)
}

/// Reads the files of `paths`, and says what cannot be read; an empty directory gets a warning.
pub fn read(paths: &[PathBuf]) -> (Vec<Source>, Vec<Diagnostic>) {
    let (mut sources, mut faults) = (Vec::new(), Vec::new());
    for path in paths {
        let files = match path.is_dir() {
            true => list(path).unwrap_or_else(|fault| {
                faults.push(fault);
                Vec::new()
            }),
            false => vec![path.clone()],
        };
        for file in files {
            match read_file(&file) {
                Ok(source) => sources.push(source),
                Err(fault) => faults.push(fault),
            }
        }
    }
    (sources, faults)
}

/// The files of a directory that hold definitions, by name. Hidden ones, and directories in it, are left out.
fn list(directory: &Path) -> Result<Vec<PathBuf>, Diagnostic> {
    let unreadable = |why: std::io::Error| {
        Diagnostic::error(NOT_TEXT, format!("the directory {directory:?} cannot be read"))
            .detail(why.to_string())
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let known = path
            .extension()
            .is_some_and(|ending| ["yaml", "yml", "json"].iter().any(|known| ending == *known));
        if known && !hidden && !path.is_dir() {
            files.push(path);
        }
    }
    if files.is_empty() {
        let message = format!("the directory {directory:?} holds no *.yaml, *.yml or *.json");
        return Err(Diagnostic::warning(NO_JOBS, message)
            .hint("is the path right? directories inside it are not read"));
    }
    if files.len() > FILES_MAX {
        let message = format!("{directory:?} holds {} files, more than {FILES_MAX}", files.len());
        return Err(Diagnostic::error(NOT_TEXT, message).hint("join them; one file may hold many jobs"));
    }
    files.sort();
    Ok(files)
}

fn read_file(path: &Path) -> Result<Source, Diagnostic> {
    let (name, bytes) = match path.as_os_str() == "-" {
        true => ("<stdin>".to_owned(), read_bounded(&mut std::io::stdin().lock())),
        false => (path.display().to_string(), open(path).and_then(|mut file| read_bounded(&mut file))),
    };
    let bytes = bytes.map_err(|why| {
        let diagnostic =
            Diagnostic::error(NOT_TEXT, format!("{name:?} cannot be read")).detail(why.to_string());
        match why.kind() {
            std::io::ErrorKind::NotFound => {
                diagnostic.hint("is the path right? `punctual init` writes a first file")
            }
            _ => diagnostic,
        }
    })?;
    Source::from_bytes(&name, bytes)
}

/// Opens what is a file: a pipe or device could keep us waiting for ever.
fn open(path: &Path) -> std::io::Result<std::fs::File> {
    let kind = std::fs::metadata(path)?.file_type();
    let is_input = kind.is_file() || path.starts_with("/dev/fd") || path.starts_with("/proc/self/fd");
    if !is_input && path != Path::new("/dev/stdin") {
        return Err(std::io::Error::other("it is not a file"));
    }
    std::fs::File::open(path)
}

fn read_bounded(from: &mut dyn Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The text of a file that definitions name, its path being relative to theirs.
fn read_beside(definitions: &str, path: &str) -> Result<String, String> {
    let path = Path::new(definitions).parent().unwrap_or(Path::new("")).join(path);
    let bytes = open(&path).and_then(|mut file| read_bounded(&mut file)).map_err(|why| why.to_string())?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err("it is larger than 8 MiB".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

/// Positions of jobs in their sources, for remarks that were made without one.
pub struct Positions<'a> {
    definitions: &'a Definitions,
    lines: HashMap<&'a str, Vec<&'a str>>,
}

impl<'a> Positions<'a> {
    /// Those of `definitions`, which were loaded from `sources`.
    pub fn new(definitions: &'a Definitions, sources: &'a [Source]) -> Self {
        let lines = sources.iter().map(|source| (source.name.as_str(), source.text.lines().collect()));
        Self { definitions, lines: lines.collect() }
    }

    /// Where the key of a job stands, in the job or in its file's defaults; else where the job's name does.
    pub fn of(&self, job: &str, key: &str) -> Option<Origin> {
        use spec::ValueOrigin::{Defaults, Job};
        let origins = self.definitions.origins.get(job)?;
        let triggers = || origins.values.get("triggers").filter(|_| key == "schedule");
        let line = match origins.values.get(key).or_else(triggers) {
            Some(Job { line } | Defaults { line }) => *line,
            None => origins.line,
        };
        let lines = self.lines.get(origins.file.as_str())?;
        let text = lines.get(line.saturating_sub(1) as usize)?.trim_end();
        let indent = text.chars().take_while(|c| matches!(c, ' ' | '-')).count();
        // A comment behind the key is not meant.
        let meant = text.find(" #").map_or(text, |comment| text[..comment].trim_end());
        let count = |number: usize| u32::try_from(number).unwrap_or(1);
        Some(Origin {
            file: origins.file.clone(),
            line,
            column: count(indent + 1),
            width: count(meant.chars().count().saturating_sub(indent).clamp(1, 160)),
            snippet: text.chars().take(160).collect(),
        })
    }
}

/// A diagnostic as a terminal shows it, with colour if `colour`.
pub fn render(diagnostic: &Diagnostic, colour: bool) -> String {
    let text = clean(&diagnostic.to_string());
    if !colour {
        return text;
    }
    let style = match diagnostic.severity {
        Severity::Error => "\x1b[1;31m",
        Severity::Warning => "\x1b[1;33m",
        Severity::Note => "\x1b[1;36m",
    };
    match text.split_once(':') {
        Some((head, rest)) => format!("{style}{head}\x1b[0m:{rest}"),
        None => text,
    }
}

/// Control characters of a file may not reach a terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("punctual-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory for the test");
        for (name, text) in files {
            std::fs::write(directory.join(name), text).expect("a file for the test");
        }
        directory
    }

    #[test]
    fn a_directory_is_read_in_the_order_of_names() {
        let job = |name: &str| format!("job: {{name: {name}, run: [\"true\"]}}");
        let files = [("b.yml", job("b")), ("a.yaml", job("a")), ("c.json", job("c")), (".d.yaml", job("d"))];
        let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let directory =
            directory("read", &[files.as_slice(), &[("notes.txt", "not: {yaml"), ("e.yaml~", "x")]].concat());
        let zones = ZoneTable::bundled();
        let definitions = load(std::slice::from_ref(&directory), &zones).expect("three jobs");
        let names: Vec<_> = definitions.jobs.iter().map(|job| job.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        std::fs::remove_dir_all(directory).expect("the test made it");
    }

    #[test]
    fn files_that_cannot_be_read_are_told_beside_the_errors_of_others() {
        let directory = directory("faults", &[("a.yaml", "job: {nmae: x}"), ("b.yaml", "job: [")]);
        let paths = [directory.clone(), PathBuf::from("/nonexistent/x.yaml"), PathBuf::from("/dev/zero")];
        let found = load(&paths, &ZoneTable::bundled()).expect_err("four faults");
        let codes: Vec<_> = found.iter().map(|d| d.code.0).collect();
        assert_eq!(codes, ["DEF001", "DEF001", "DEF007", "DEF005", "DEF002", "DEF101"], "{found:?}");
        std::fs::remove_dir_all(directory).expect("the test made it");
    }

    #[test]
    fn calendar_files_are_found_beside_their_definitions() {
        let ics = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20261225\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
        let text = "calendars: {work: {weekdays: mon-fri, except: [ics: holidays.ics]}}\njob: {name: x}";
        let directory = directory("ics", &[("a.yaml", text), ("holidays.ics", ics)]);
        let definitions = load(std::slice::from_ref(&directory), &ZoneTable::bundled()).expect("a calendar");
        assert_eq!(definitions.calendars["work"].except, ["2026-12-25"]);
        std::fs::remove_dir_all(directory).expect("the test made it");
    }
}
