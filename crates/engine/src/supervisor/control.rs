//! What a job says about itself at its end: a few lines in a file of its own, or the last line of its output.
//!
//! ```text
//! retry-after: 90s     try me again so long from now
//! fail: REASON         I failed for good; do not try me again
//! ```

use super::judge::Findings;
use punctual_core::spec::parse_duration;
use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// Of a control file, and of an output's end, so much is read.
const BYTES_MAX: u64 = 4096;
/// Of a reason so much is kept.
const REASON_CHARS_MAX: usize = 300;
/// The exit code that says "not now" (`EX_TEMPFAIL`); the last line of the output may say when.
pub const NOT_NOW: i32 = 75;

/// Reads and removes the control file at `path`. There is none if the job had nothing to say; whatever else a job puts
/// in its place is not followed, not waited for, and read no further than a few lines.
pub fn take(path: &Path, findings: &mut Findings) {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits().cast_signed();
    let Ok(file) = OpenOptions::new().read(true).custom_flags(flags).open(path) else {
        // A link, or one that cannot be read, is not left behind either.
        let _ = std::fs::remove_file(path);
        return;
    };
    if file.metadata().is_ok_and(|meta| meta.is_file()) {
        let mut bytes = Vec::new();
        let _ = file.take(BYTES_MAX).read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).lines().for_each(|line| read_line(line, findings));
    }
    let _ = std::fs::remove_file(path);
}

/// Reads the last line of the output at `log`, as far as it says when to try again.
pub fn take_last_line(log: &Path, findings: &mut Findings) {
    let Ok(mut file) = File::open(log) else { return };
    let Ok(length) = file.seek(SeekFrom::End(0)) else { return };
    let mut bytes = Vec::new();
    let from = file.seek(SeekFrom::Start(length.saturating_sub(BYTES_MAX)));
    if from.and_then(|_| file.take(BYTES_MAX).read_to_end(&mut bytes)).is_err() {
        return;
    }
    let text = String::from_utf8_lossy(&bytes);
    let mut said = Findings::default();
    if let Some(line) = text.lines().rev().find(|line| !line.trim().is_empty()) {
        read_line(line, &mut said);
    }
    findings.retry_after_ms = findings.retry_after_ms.or(said.retry_after_ms);
}

/// The first of a kind counts; what is no line of ours says nothing.
fn read_line(line: &str, findings: &mut Findings) {
    let Some((word, value)) = line.split_once(':') else { return };
    let value = value.trim();
    match word.trim().to_ascii_lowercase().as_str() {
        "retry-after" => {
            // A bare number is seconds, as in HTTP.
            let seconds = value.parse().map(Duration::from_secs).ok();
            if let Some(wait) = seconds.or_else(|| parse_duration(value).ok()) {
                let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                findings.retry_after_ms.get_or_insert(millis);
            }
        }
        "fail" => {
            let reason = value.chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX);
            findings.failed.get_or_insert(reason.collect());
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn scratch(content: &[u8]) -> PathBuf {
        let path = std::env::temp_dir().join(format!("punctual-control-{:x}", crate::clock::random()));
        std::fs::write(&path, content).expect("a scratch file");
        path
    }

    fn taken(content: &[u8]) -> Findings {
        let (path, mut findings) = (scratch(content), Findings::default());
        take(&path, &mut findings);
        assert!(!path.exists(), "it is read once");
        findings
    }

    #[test]
    fn a_job_says_when_to_try_again_and_when_not_to() {
        let wait = |millis| Findings { retry_after_ms: Some(millis), ..Findings::default() };
        assert_eq!(taken(b"retry-after: 90s\n"), wait(90_000));
        assert_eq!(taken(b"noise\n\nRetry-After:120"), wait(120_000));
        assert_eq!(taken(b"retry-after: 1m30s\nretry-after: 1s\n"), wait(90_000));
        assert_eq!(taken(b"retry-after: soon\n\xff\xff"), Findings::default());
        let said = taken("fail: no input for \u{1b}[31mtoday\nfail: another\n".as_bytes());
        assert_eq!(said.failed.as_deref(), Some("no input for [31mtoday"));
        let long = taken(format!("fail: {}", "x".repeat(100_000)).as_bytes());
        assert_eq!(long.failed.map(|reason| reason.len()), Some(REASON_CHARS_MAX));
    }

    #[test]
    fn what_is_no_plain_file_is_not_read() {
        let mut findings = Findings::default();
        let (target, link) = (scratch(b"fail: x"), scratch(b""));
        std::fs::remove_file(&link).expect("removable");
        std::os::unix::fs::symlink(&target, &link).expect("a link");
        take(&link, &mut findings);
        assert!(target.exists() && std::fs::symlink_metadata(&link).is_err());
        std::fs::remove_file(&target).expect("removable");
        nix::unistd::mkfifo(&link, nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
        take(&link, &mut findings);
        assert_eq!(findings, Findings::default());
        assert!(std::fs::symlink_metadata(&link).is_err());
    }

    #[test]
    fn the_last_line_of_the_output_may_say_when() {
        let last = |content: &[u8]| {
            let (path, mut findings) = (scratch(content), Findings::default());
            take_last_line(&path, &mut findings);
            std::fs::remove_file(&path).expect("removable");
            assert_eq!(findings.failed, None, "output does not fail a job");
            findings.retry_after_ms
        };
        assert_eq!(last(b"busy\nretry-after: 5s\n\n"), Some(5_000));
        assert_eq!(last(b"retry-after: 5s\nbusy\n"), None);
        assert_eq!(last(b"fail: x"), None);
        assert_eq!(last(b""), None);
        let long = [vec![b'x'; 10_000], b"\nretry-after: 7".to_vec()].concat();
        assert_eq!(last(&long), Some(7_000));
    }
}
