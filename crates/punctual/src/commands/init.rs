//! `punctual init`: a first file of definitions.

use punctual_core::error::{Code, Diagnostic};
use punctual_engine::zones;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const NOT_WRITTEN: Code = Code("DEF024");
const FILE: &str = "punctual.yaml";

/// Write a first file of definitions, with this machine's time zone
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to write punctual.yaml; made if it is missing
    #[arg(default_value = ".")]
    dir: PathBuf,
}

/// Runs the command.
pub fn run(args: Args) -> ExitCode {
    let path = args.dir.join(FILE);
    match write(&args.dir, &path, &text(&machine_zone())) {
        Ok(()) => {
            let shown = path.display();
            let next = format!(
                "wrote {shown}\n\nnext:\n  punctual check {shown}\n  punctual serve --data data --definitions {shown}\n"
            );
            match std::io::stdout().lock().write_all(next.as_bytes()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            }
        }
        Err(diagnostic) => {
            let _ = writeln!(std::io::stderr().lock(), "{diagnostic}");
            ExitCode::FAILURE
        }
    }
}

/// Writes the file, unless there is one.
fn write(directory: &Path, path: &Path, text: &str) -> Result<(), Diagnostic> {
    let refuse = |why: std::io::Error| {
        let exists = why.kind() == std::io::ErrorKind::AlreadyExists;
        let diagnostic =
            Diagnostic::error(NOT_WRITTEN, format!("{path:?} is not written")).detail(why.to_string());
        match exists {
            true => diagnostic.hint("edit that file, or name another directory: `punctual init DIR`"),
            false => diagnostic,
        }
    };
    std::fs::create_dir_all(directory).map_err(refuse)?;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(path).map_err(refuse)?;
    file.write_all(text.as_bytes()).map_err(refuse)
}

/// The machine's zone, by its plain name where it is UTC.
fn machine_zone() -> String {
    match zones::machine_zone(&zones::open()) {
        Some(name) if !["Etc/UTC", "Etc/UCT", "Universal", "Zulu"].contains(&name.as_str()) => name,
        _ => "UTC".to_owned(),
    }
}

fn text(zone: &str) -> String {
    format!(
        r#"# Definitions of Punctual. What each key means: docs/reference/definitions.md, or `punctual schema`.
# `punctual check {FILE}` says what is wrong, and what will probably go wrong.

defaults:
  timeZone: {zone}   # whose clock the cron rules below follow
  timeout: 10m   # an attempt that takes longer is ended, with everything it started

jobs:
  - name: hello
    schedule: {{every: 1m}}
    timeout: 20s
    run: [echo, "hello, it is {{{{ nominalTime }}}}"]   # a list: a program and its arguments, no shell

  - name: nightly
    description: an example of more
    paused: true                                      # remove this line to let it run
    schedule: "30 2 * * mon-fri"                      # minute, hour, day of month, month, day of week
    overlap: skip                                     # while the last run is not over, the next is skipped
    catchUp: {{policy: latest, window: 12h}}            # missed while the machine was off: run the latest, if not too late
    retryPolicy: {{maxRetries: 3, backoff: 30s}}        # after 30 s, 1 min, 2 min
    env: {{GREETING: good night}}
    run: |                                            # a text: a script for /bin/sh -c
      echo "$GREETING, this is $PUNCTUAL_JOB of $PUNCTUAL_NOMINAL_DATE, attempt $PUNCTUAL_ATTEMPT"
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use punctual_core::spec::Source;
    use punctual_core::zone::ZoneTable;

    #[test]
    fn the_first_file_loads_without_a_warning() {
        for zone in ["UTC", "Asia/Shanghai"] {
            let source = Source::new(FILE, text(zone));
            let definitions = crate::definitions::load_sources(&[source], &ZoneTable::bundled())
                .unwrap_or_else(|found| panic!("{found:?}"));
            assert_eq!(definitions.warnings, []);
            assert_eq!(definitions.jobs.len(), 2);
            let warned = definitions.jobs.iter().flat_map(|job| punctual_core::spec::lint(job, None));
            assert_eq!(warned.filter(|d| d.severity == punctual_core::error::Severity::Warning).count(), 0);
        }
    }

    #[test]
    fn a_file_that_is_there_is_left_alone() {
        let directory = std::env::temp_dir().join(format!("punctual-init-{}", std::process::id()));
        let path = directory.join(FILE);
        write(&directory, &path, "one").expect("an empty directory");
        let refused = write(&directory, &path, "two").expect_err("there is one");
        assert_eq!(refused.code, NOT_WRITTEN);
        assert_eq!(std::fs::read_to_string(&path).expect("it is there"), "one");
        std::fs::remove_dir_all(directory).expect("the test made it");
    }
}
