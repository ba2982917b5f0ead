//! Which zone database is used, and which zone the machine is in.
//!
//! The newer of the bundled database and the system's is taken, never a stale one; a system folder that does not
//! tell its version is not taken at all.

use punctual_core::zone::ZoneTable;
use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};

/// Where systems keep their compiled zones.
const FOLDERS: [&str; 4] =
    ["/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo"];
/// Names of one database are some six hundred.
const NAMES_MAX: usize = 10_000;

/// The system's zone database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemZones {
    /// Its version, such as `2026f`.
    pub version: String,
    /// Its folder.
    pub folder: PathBuf,
}

/// The newer of the bundled and the system's zone database; [`ZoneTable::source`] says which.
pub fn open() -> ZoneTable {
    open_newer(ZoneTable::bundled(), system())
}

/// The system's zone database, if there is one that tells its version.
pub fn system() -> Option<SystemZones> {
    FOLDERS.iter().find_map(|folder| {
        let folder = PathBuf::from(folder);
        Some(SystemZones { version: version_of(&folder)?, folder })
    })
}

fn open_newer(bundled: ZoneTable, system: Option<SystemZones>) -> ZoneTable {
    let Some(system) = system else { return bundled };
    if compare_versions(&system.version, bundled.version()) != Ordering::Greater {
        return bundled;
    }
    let mut names = names_of(&system.folder);
    names.extend(bundled.names().iter().cloned());
    names.sort_unstable();
    names.dedup();
    names.retain(|name| system.folder.join(name).is_file());
    if names.is_empty() {
        return bundled;
    }
    let source = system.folder.display().to_string();
    ZoneTable::new(
        system.version,
        source,
        names,
        Box::new(move |name| fs::read(system.folder.join(name)).ok()),
    )
}

/// The version as the folder tells it: the first line of `tzdata.zi`, or `+VERSION`.
fn version_of(folder: &Path) -> Option<String> {
    let from_zi = fs::read_to_string(folder.join("tzdata.zi"))
        .ok()
        .and_then(|text| Some(text.lines().next()?.strip_prefix("# version ")?.trim().to_owned()));
    from_zi
        .or_else(|| fs::read_to_string(folder.join("+VERSION")).ok().map(|text| text.trim().to_owned()))
        .filter(|version| split_version(version).is_some())
}

/// The zones and links of `tzdata.zi`, none if there is no such file.
fn names_of(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join("tzdata.zi")).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            match words.next()? {
                "Z" => words.next(),
                "L" => words.nth(1),
                _ => None,
            }
        })
        .filter(|name| !name.split('/').any(|part| part.is_empty() || part == ".."))
        .take(NAMES_MAX)
        .map(str::to_owned)
        .collect()
}

/// Orders versions such as `2025b`, `2026`, `2026aa`. What is no version comes first.
fn compare_versions(a: &str, b: &str) -> Ordering {
    split_version(a).cmp(&split_version(b))
}

fn split_version(version: &str) -> Option<(u16, usize, &str)> {
    let (year, letters) = version.split_at_checked(4)?;
    let letters_only = letters.bytes().all(|b| b.is_ascii_lowercase());
    let year = year.bytes().all(|b| b.is_ascii_digit()).then(|| year.parse().ok()).flatten()?;
    letters_only.then_some((year, letters.len(), letters))
}

/// The name of the machine's zone: `TZ`, else `/etc/timezone`, else where `/etc/localtime` leads. `None` if none of
/// them names a zone of `table`.
pub fn machine_zone(table: &ZoneTable) -> Option<String> {
    let variable = std::env::var("TZ").ok().map(|tz| tz.trim_start_matches(':').to_owned());
    let file = || fs::read_to_string("/etc/timezone").ok();
    let link = || {
        let target = fs::canonicalize("/etc/localtime").ok()?;
        let target = target.to_str()?;
        target.split_once("zoneinfo/").map(|(_, name)| name.to_owned())
    };
    let candidates = [variable, file(), link()];
    candidates.into_iter().flatten().find_map(|name| Some(table.zone(name.trim()).ok()?.name().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a database of one zone, which claims `version`.
    fn folder(name: &str, version: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("punctual-zones-{name}-{}", std::process::id()));
        fs::create_dir_all(folder.join("Europe")).expect("a temporary folder can be made");
        let zi = format!("# version {version}\nZ Europe/Berlin 1 - CET\nL Europe/Berlin Europe/Nowhere\n");
        fs::write(folder.join("tzdata.zi"), zi).expect("it can be written");
        // Version 1 of the format, with one type of local time: an hour east of Greenwich.
        let mut tzif = b"TZif".to_vec();
        tzif.extend([0; 16]);
        for count in [0_u32, 0, 0, 0, 1, 4] {
            tzif.extend(count.to_be_bytes());
        }
        tzif.extend(3600_u32.to_be_bytes());
        tzif.extend([0, 0]);
        tzif.extend(b"CET\0");
        fs::write(folder.join("Europe/Berlin"), tzif).expect("it can be written");
        folder
    }

    #[test]
    fn a_newer_system_database_is_used_and_a_stale_one_never() {
        for (version, used) in [("2999a", true), ("2026", false), ("2025b", false)] {
            let folder = folder(version, version);
            let system = version_of(&folder).map(|version| SystemZones { version, folder: folder.clone() });
            let table = open_newer(ZoneTable::bundled(), system);
            assert_eq!(table.source() == "bundled", !used, "{version}");
            let berlin = table.zone("Europe/Berlin").expect("both have it");
            assert_eq!(berlin.spans().len() == 1, used, "{version}");
            assert_eq!(table.zone("Europe/Paris").is_ok(), !used, "{version}");
            fs::remove_dir_all(folder).expect("it can be removed");
        }
    }

    #[test]
    fn versions_are_ordered_by_year_and_letter() {
        assert_eq!(compare_versions("2026f", "2026e"), Ordering::Greater);
        assert_eq!(compare_versions("2026aa", "2026z"), Ordering::Greater);
        assert_eq!(compare_versions("2026", "2026a"), Ordering::Less);
        assert_eq!(compare_versions("unknown", "1999a"), Ordering::Less);
    }
}
