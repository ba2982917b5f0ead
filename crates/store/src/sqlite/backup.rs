//! Backups: a directory with the store as it was at one instant, its archives, and a manifest with their checksums.
//!
//! ```text
//! TARGET.partial/punctual.db            one read transaction, written compactly
//! TARGET.partial/history/NNNNNN.db      archives never change: copied
//! TARGET.partial/backup.json            last; what is there, how long, with which SHA-256
//! TARGET                                renamed once all of it is on the disk
//! ```
//! It is made from outside, whether or not a daemon has the store open: the writer does not wait for it, and only the
//! log cannot be emptied while the store's own file is read, which is short, for old history is not in it.

use crate::StoreError;
use crate::sqlite::archive::{self, COPY_BYTES, io};
use crate::sqlite::history::{Place, segments};
use crate::sqlite::{check, ledger, open};
use punctual_core::time::Timestamp;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

type Result<T> = std::result::Result<T, StoreError>;

/// The manifest's format that this program writes and reads.
const FORMAT: u64 = 1;
const MANIFEST: &str = "backup.json";
const STORE: &str = "punctual.db";
/// An archive may be pruned between the look at the store and its copy: then the look is taken anew.
const TRIES_MAX: usize = 3;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// When it was begun.
    pub at: Timestamp,
    /// The store's own name.
    pub lineage: String,
    /// Transactions that it holds.
    pub commits: u64,
    /// Its files: name in the backup, bytes, SHA-256 in hexadecimal.
    pub files: Vec<(String, u64, String)>,
}

impl Manifest {
    /// Bytes of all its files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, bytes, _)| bytes).sum()
    }

    fn write(&self) -> String {
        let files: Vec<Value> = self
            .files
            .iter()
            .map(|(name, bytes, sum)| json!({"name": name, "bytes": bytes, "sha256": sum}))
            .collect();
        let manifest = json!({
            "format": FORMAT,
            "program": env!("CARGO_PKG_VERSION"),
            "atUs": self.at.as_micros(),
            "at": self.at.to_string(),
            "lineage": self.lineage,
            "commits": self.commits,
            "files": files,
        });
        format!("{manifest:#}\n")
    }

    /// The manifest of the backup in `from`.
    ///
    /// # Errors
    /// There is none that this program can read.
    pub fn read(from: &Path) -> Result<Self> {
        let path = from.join(MANIFEST);
        let text = fs::read_to_string(&path)
            .map_err(|error| StoreError::Backup(format!("{}: {error}", path.display())))?;
        Self::parse(&text).ok_or_else(|| {
            StoreError::Backup(format!("{} is not a manifest that this version reads", path.display()))
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let word = |value: &Value, key: &str| Some(value.get(key)?.as_str()?.to_owned());
        let number = |value: &Value, key: &str| value.get(key)?.as_u64();
        if number(&value, "format")? != FORMAT {
            return None;
        }
        let file = |file: &Value| Some((word(file, "name")?, number(file, "bytes")?, word(file, "sha256")?));
        Some(Self {
            at: Timestamp::from_micros(value.get("atUs")?.as_i64()?),
            lineage: word(&value, "lineage")?,
            commits: number(&value, "commits")?,
            files: value.get("files")?.as_array()?.iter().map(file).collect::<Option<_>>()?,
        })
    }
}

/// Backs the store in `store` up to `target`, which must not exist. `progress` is told the bytes written so far, and of
/// how many.
///
/// # Errors
/// The store cannot be read or is damaged, or the target cannot be written. Nothing is left under the target's name.
pub fn back_up(
    store: &Path,
    target: &Path,
    at: Timestamp,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Manifest> {
    if target.exists() {
        return Err(StoreError::Backup(format!("{} exists already", target.display())));
    }
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let part = target.with_file_name(name);
    remove(&part)?;
    directory(&part.join("history"))?;
    let made = fill(store, &part, at, progress).and_then(|manifest| {
        write_through(&part.join(MANIFEST), manifest.write().as_bytes())?;
        sync(&part.join("history"))?;
        sync(&part)?;
        fs::rename(&part, target).map_err(|error| io(target, &error))?;
        sync(target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
        Ok(manifest)
    });
    if made.is_err() {
        // What is left is named as partial, and the next backup to this name removes it.
        let _ = remove(&part);
    }
    made
}

fn fill(store: &Path, part: &Path, at: Timestamp, progress: &mut dyn FnMut(u64, u64)) -> Result<Manifest> {
    let copy = part.join(STORE);
    let mut missing = StoreError::Backup("the archives change too fast to be copied".to_owned());
    for _ in 0..TRIES_MAX {
        snapshot(&store.join(STORE), &copy)?;
        match archives(store, part, &copy, progress) {
            Ok((lineage, commits, mut files)) => {
                let bytes = copy.metadata().map_err(|error| io(&copy, &error))?.len();
                files.insert(0, (STORE.to_owned(), bytes, hex(&archive::checksum(&copy)?)));
                return Ok(Manifest { at, lineage, commits, files });
            }
            Err(error @ StoreError::Unreadable(_)) => missing = error,
            Err(error) => return Err(error),
        }
    }
    Err(missing)
}

/// The store's own file as it is at one instant, checked row by row as it is read.
fn snapshot(file: &Path, copy: &Path) -> Result<()> {
    if copy.exists() {
        fs::remove_file(copy).map_err(|error| io(copy, &error))?;
    }
    if !file.is_file() {
        return Err(StoreError::Io(format!("{} is not there", file.display())));
    }
    open::create(copy)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(file, flags)?;
    conn.busy_timeout(open::BUSY)?;
    conn.execute_batch("PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;")?;
    conn.execute("VACUUM INTO ?1", [copy.to_string_lossy()])?;
    let written = OpenOptions::new().write(true).open(copy).map_err(|error| io(copy, &error))?;
    written.sync_all().map_err(|error| io(copy, &error))
}

/// Copies the archives that the copy of the store names, each checked against its checksum.
#[expect(clippy::type_complexity, reason = "what the manifest is made of, once")]
fn archives(
    store: &Path,
    part: &Path,
    copy: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(String, u64, Vec<(String, u64, String)>)> {
    let conn = Connection::open_with_flags(copy, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let complaints = check::quick(&conn)?;
    if !complaints.is_empty() {
        return Err(StoreError::Corrupt(complaints.join("; ")));
    }
    let (lineage, commits) = ledger::name(&conn)?;
    let mut wanted = Vec::new();
    for (place, segment) in segments(&conn)? {
        if place == Place::Archived {
            let file = archive::path(&store.join("history"), segment.number);
            let gone = |_| StoreError::Unreadable(format!("{} is missing", file.display()));
            let bytes = file.metadata().map_err(gone)?.len();
            wanted.push((file, bytes, check::checksum(&conn, segment.number)?));
        }
    }
    let mut done = copy.metadata().map_err(|error| io(copy, &error))?.len();
    let all = done + wanted.iter().map(|(_, bytes, _)| bytes).sum::<u64>();
    progress(done, all);
    let mut files = Vec::new();
    for (file, bytes, known) in wanted {
        let name = format!("history/{}", file.file_name().unwrap_or_default().to_string_lossy());
        let sum = copy_file(&file, &part.join(&name))?;
        if known.is_some_and(|known| known != sum) {
            let damaged =
                format!("{} has changed since it was written; its disk may be failing", file.display());
            return Err(StoreError::Corrupt(damaged));
        }
        done += bytes;
        progress(done, all);
        files.push((name, bytes, hex(&sum)));
    }
    Ok((lineage, commits, files))
}

/// Puts the backup in `from` into `to`, a directory that must not exist, as a store that nobody has used yet: it is marked
/// as restored, so that nothing fires before somebody accepts it.
///
/// # Errors
/// The backup is not whole, or the directory cannot be written. Nothing is left under its name.
pub fn restore(from: &Path, to: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Manifest> {
    let manifest = Manifest::read(from)?;
    let part = to.with_extension("restoring");
    remove(&part)?;
    directory(&part.join("history"))?;
    let put = put_back(&manifest, from, &part, progress).and_then(|()| {
        sync(&part.join("history"))?;
        sync(&part)?;
        fs::rename(&part, to).map_err(|error| io(to, &error))?;
        sync(to.parent().unwrap_or(Path::new(".")))
    });
    if put.is_err() {
        let _ = remove(&part);
    }
    put.map(|()| manifest)
}

fn put_back(manifest: &Manifest, from: &Path, part: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
    let mut done = 0;
    for (name, bytes, sum) in &manifest.files {
        let (source, target) = (place(from, name)?, place(part, name)?);
        if !source.is_file() {
            return Err(StoreError::Backup(format!("{} is missing", source.display())));
        }
        if hex(&copy_file(&source, &target)?) != *sum {
            return Err(StoreError::Backup(format!("{} is damaged", source.display())));
        }
        done += bytes;
        progress(done, manifest.bytes());
    }
    let conn = open::writer(&part.join(STORE))?;
    ledger::restored(&conn, manifest.at)?;
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    conn.close().map_err(|(_, error)| error.into())
}

/// Where a file of a manifest is: a manifest names no file elsewhere.
fn place(dir: &Path, name: &str) -> Result<PathBuf> {
    let plain = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
    let archive = name.strip_prefix("history/").is_some_and(|file| plain(file) && !file.starts_with('.'));
    if name == STORE || archive {
        Ok(dir.join(name))
    } else {
        Err(StoreError::Backup(format!("its manifest names {name:?}, which no backup holds")))
    }
}

/// Copies a file through to the disk; the SHA-256 of what was read.
fn copy_file(from: &Path, to: &Path) -> Result<[u8; 32]> {
    let mut source = File::open(from).map_err(|error| io(from, &error))?;
    let mut target = new_file(to)?;
    let mut sum = Sha256::new();
    let mut bytes = vec![0; COPY_BYTES];
    loop {
        match source.read(&mut bytes).map_err(|error| io(from, &error))? {
            0 => break,
            read => {
                sum.update(&bytes[..read]);
                target.write_all(&bytes[..read]).map_err(|error| io(to, &error))?;
            }
        }
    }
    target.sync_all().map_err(|error| io(to, &error))?;
    Ok(sum.finalize().into())
}

fn write_through(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = new_file(path)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| io(path, &error))
}

fn new_file(path: &Path) -> Result<File> {
    let options = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    options.map_err(|error| io(path, &error))
}

fn directory(path: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| io(path, &error))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(path, &error)),
        _ => Ok(()),
    }
}

fn sync(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| io(dir, &error))
}

fn hex(sum: &[u8]) -> String {
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}
