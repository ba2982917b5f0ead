//! Whether cron still runs what an active job runs too: then everything would happen twice.

use super::{Finding, Health};
use punctual_core::spec::{ActionSpec, CommandSpec, JobSpec};
use punctual_server::dto::JobDto;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Files that cron reads.
const FILES: [&str; 1] = ["/etc/crontab"];
/// Directories of files that cron reads.
const DIRECTORIES: [&str; 3] = ["/etc/cron.d", "/var/spool/cron/crontabs", "/var/spool/cron"];
/// A larger file is no crontab.
const BYTES_MAX: u64 = 1024 * 1024;

/// A finding for each active job whose command an active line of a crontab holds too.
pub fn twins(jobs: &[JobDto]) -> Vec<Finding> {
    let commands = commands(jobs);
    if commands.is_empty() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for file in crontabs() {
        let Ok(text) = fs::read(&file) else { continue };
        findings.extend(twins_in(&file, &String::from_utf8_lossy(&text), &commands));
    }
    if findings.is_empty() {
        findings.push(Finding::new(
            "crontab",
            Health::Ok,
            "no crontab that can be read runs a command of an active job",
        ));
    }
    findings
}

/// The commands of jobs that fire, with the job's name; spaces made single.
fn commands(jobs: &[JobDto]) -> BTreeMap<String, &str> {
    let active = jobs.iter().filter(|job| job.paused.is_none());
    let command = |job: &JobDto| match JobSpec::from_json(&job.definition).ok()?.action {
        ActionSpec::Run(process) => match process.command {
            CommandSpec::Shell { script, .. } => Some(single_spaced(&script)),
            CommandSpec::Argv(words) => Some(words.join(" ")),
        },
        _ => None,
    };
    active.filter_map(|job| Some((command(job)?, job.name.as_str()))).collect()
}

fn crontabs() -> Vec<PathBuf> {
    let listed = DIRECTORIES.iter().filter_map(|directory| fs::read_dir(directory).ok());
    let listed = listed.flat_map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())));
    let mut files: Vec<PathBuf> = FILES.iter().map(PathBuf::from).chain(listed).collect();
    files.retain(|file| fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.len() <= BYTES_MAX));
    files
}

/// A line that is no comment and ends with a job's command, as a word of its own: whatever stands before it, the
/// fields and perhaps a user, it runs that.
fn twins_in(file: &Path, text: &str, commands: &BTreeMap<String, &str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = single_spaced(line);
        if line.starts_with('#') {
            continue;
        }
        // What follows an unescaped % is input, not command.
        let command = line.replace("\\%", "\0");
        let command = command.split('%').next().unwrap_or_default().replace('\0', "%");
        let command = command.trim_end();
        let twin = commands.iter().find(|(text, _)| {
            command.strip_suffix(text.as_str()).is_some_and(|before| before.ends_with(' '))
        });
        if let Some((_, job)) = twin {
            let at = format!("{}:{}", file.display(), number + 1);
            let message = format!("{at} runs the command of job {job}, which is active: it runs twice");
            let hint = format!("put a # before that line, or `punctual pause {job}`");
            findings.push(Finding::new("crontab", Health::Warning, message).hint(hint));
        }
    }
    findings
}

fn single_spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_active_line_with_the_command_of_an_active_job_is_a_twin() {
        let commands =
            BTreeMap::from([("run-parts /etc/x".to_owned(), "x"), ("date +%F".to_owned(), "date")]);
        let text = "\
# 1 * * * * root run-parts /etc/x
17 * * * *  root   run-parts  /etc/x
18 * * * * root cd / && other-run-parts /etc/xy
@daily date +\\%F
5 5 * * * run-parts /etc/x%input
";
        let found = twins_in(Path::new("/etc/crontab"), text, &commands);
        let lines: Vec<_> = found.iter().map(|f| f.message.split(' ').next().unwrap_or_default()).collect();
        assert_eq!(lines, ["/etc/crontab:2", "/etc/crontab:4", "/etc/crontab:5"]);
    }
}
