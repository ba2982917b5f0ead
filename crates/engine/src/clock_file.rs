//! The file `clock` of the data directory: what time it was last, so that the next process sees a step that happened
//! while none ran. It is a help, not a record: one that is missing or unreadable is as if there had been no process.

use punctual_core::guard::Anchor;
use punctual_core::time::{Timestamp, micros};
use std::fs::{OpenOptions, rename};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// What an earlier process believed last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The kernel's boot id at the time.
    pub boot_id: String,
    /// The instant.
    pub last: Anchor,
}

/// Reads it; `None` if there is none.
pub fn read(path: &Path) -> Option<Seen> {
    parse(&std::fs::read_to_string(path).ok()?)
}

fn parse(text: &str) -> Option<Seen> {
    let mut words = text.split_whitespace();
    let (boot_id, boot, time) = (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let last = Anchor { time: Timestamp::from_micros(time), boot: Duration::from_micros(boot) };
    words.next().is_none().then(|| Seen { boot_id: boot_id.to_owned(), last })
}

/// Replaces it as a whole.
///
/// # Errors
/// The directory cannot be written to.
pub fn write(path: &Path, seen: &Seen) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    let (boot, time) = (micros(seen.last.boot), seen.last.time.as_micros());
    writeln!(file, "{} {boot} {time}", seen.boot_id)?;
    rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_not_whole_is_not() {
        let path = std::env::temp_dir().join(format!("punctual-clock-{}", std::process::id()));
        assert_eq!(read(&path), None);
        let last = Anchor { time: Timestamp::from_micros(-5), boot: Duration::from_micros(7) };
        let seen = Seen { boot_id: "a-b".into(), last };
        write(&path, &seen).expect("written");
        assert_eq!(read(&path), Some(seen));
        std::fs::remove_file(path).expect("it was there");
        for bad in ["", "a-b", "a-b 7", "a-b 7 x", "a-b -7 5", "a-b 7 5 9"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
