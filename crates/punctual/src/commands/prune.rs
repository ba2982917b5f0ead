//! `punctual prune`: remove old history and output now.

use crate::client::Client;
use crate::data::Data;
use crate::failure::{Failure, Format, OK, finish, json, print};
use punctual_core::spec::{Malformed, parse_bytes, parse_duration};
use punctual_engine::retention::Keep;
use punctual_server::dto::{PruneDto, PrunedDto};
use std::process::ExitCode;
use std::time::Duration;

/// Remove old history and output now
///
/// The daemon does so by itself every ten minutes, by its own options; what is not given here is as there.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  punctual prune --dry-run
  punctual prune --keep-output 7d
  punctual prune --keep-output-bytes 1Gi --keep-history none

Output of a run that has not ended stays, and by bytes whatever was written to in the last hour.")]
pub struct Args {
    /// Keep the history of runs and skips so long, or `none` for all of it
    #[arg(long, value_name = "AGE", value_parser = checked(parse_duration))]
    keep_history: Option<String>,
    /// Keep output so long after it was last written to, or `none`
    #[arg(long, value_name = "AGE", value_parser = checked(parse_duration))]
    keep_output: Option<String>,
    /// Keep so much output, the newest, or `none`
    #[arg(long, value_name = "BYTES", value_parser = checked(parse_bytes))]
    keep_output_bytes: Option<String>,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    data: Data,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What a daemon keeps; `none` is for ever, and all of it.
#[derive(Clone, Debug, clap::Args)]
pub struct KeepArgs {
    /// Keep the history of runs and skips so long, or `none` for all of it
    #[arg(long, value_name = "AGE", default_value = "90d", value_parser = bound(parse_duration))]
    keep_history: Bound<Duration>,
    /// Keep output so long after it was last written to, or `none`
    #[arg(long, value_name = "AGE", default_value = "30d", value_parser = bound(parse_duration))]
    keep_output: Bound<Duration>,
    /// Keep so much output, the newest, or `none`
    #[arg(long, value_name = "BYTES", default_value = "10Gi", value_parser = bound(parse_bytes))]
    keep_output_bytes: Bound<u64>,
}

/// A measure, or `none`. clap takes `Option` for an option that may be absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bound<T>(Option<T>);

impl KeepArgs {
    /// The same for the engine.
    pub fn keep(&self) -> Keep {
        Keep {
            history: self.keep_history.0,
            output: self.keep_output.0,
            output_bytes: self.keep_output_bytes.0,
        }
    }
}

type Parse<T> = fn(&str) -> Result<T, Malformed>;

fn bound<T>(parse: Parse<T>) -> impl Fn(&str) -> Result<Bound<T>, String> + Clone {
    move |text| match text {
        "none" => Ok(Bound(None)),
        _ => parse(text)
            .map(|value| Bound(Some(value)))
            .map_err(|why| format!("{}; {}, or none", why.reason, why.hint)),
    }
}

/// Checks here what the daemon will read.
fn checked<T>(parse: Parse<T>) -> impl Fn(&str) -> Result<String, String> + Clone {
    move |text| bound(parse)(text).map(|_| text.to_owned())
}

/// Prunes.
pub fn run(args: Args) -> ExitCode {
    finish(args.format, prune(&args))
}

fn prune(args: &Args) -> Result<u8, Failure> {
    let client = Client::open(&args.data)?;
    let body = PruneDto {
        keep_history: args.keep_history.clone(),
        keep_output: args.keep_output.clone(),
        keep_output_bytes: args.keep_output_bytes.clone(),
        dry_run: args.dry_run,
    };
    let mut all: PrunedDto = client.post("/v1/prune", &body)?;
    while all.more {
        let next: PrunedDto = client.post("/v1/prune", &body)?;
        all.history_rows = all.history_rows.zip(next.history_rows).map(|(a, b)| a + b);
        all.output_files += next.output_files;
        all.output_bytes += next.output_bytes;
        (all.output_bytes_kept, all.more) = (next.output_bytes_kept, next.more);
    }
    match args.format {
        Format::Json => print(json(&all)),
        Format::Table => print(told(&all)),
    }
    Ok(OK)
}

fn told(pruned: &PrunedDto) -> String {
    let verb = if pruned.dry_run { "would remove" } else { "removed" };
    let history = pruned.history_rows.map_or_else(String::new, |rows| format!("{rows} rows of history, "));
    format!(
        "{verb} {history}{} files of output ({}); {} of output are kept\n",
        pruned.output_files,
        size(pruned.output_bytes),
        size(pruned.output_bytes_kept)
    )
}

/// Bytes, for people: `1.5 GiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut tenths, mut unit) = (u128::from(bytes) * 10, 0);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        (tenths, unit) = (tenths / 1024, unit + 1);
    }
    match (tenths % 10, tenths < 1000 && unit > 0) {
        (tenth, true) => format!("{}.{tenth} {}", tenths / 10, UNITS[unit]),
        (_, false) => format!("{} {}", tenths / 10, UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_the_unit_that_fits() {
        let sizes = [0, 1023, 1024, 1536, 100 * 1024, 10 << 30, u64::MAX];
        let told = ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "100 KiB", "10.0 GiB", "16777215 TiB"];
        assert_eq!(sizes.map(size), told);
    }

    #[test]
    fn what_was_pruned_is_told() {
        let mut pruned = PrunedDto {
            dry_run: false,
            history_rows: Some(3),
            output_files: 2,
            output_bytes: 8192,
            output_bytes_kept: 0,
            more: false,
        };
        let expected = "removed 3 rows of history, 2 files of output (8.0 KiB); 0 B of output are kept\n";
        assert_eq!(told(&pruned), expected);
        (pruned.dry_run, pruned.history_rows) = (true, None);
        assert_eq!(told(&pruned), "would remove 2 files of output (8.0 KiB); 0 B of output are kept\n");
    }

    #[test]
    fn a_measure_is_one_or_none() {
        assert_eq!(bound(parse_bytes)("none"), Ok(Bound(None)));
        assert_eq!(bound(parse_bytes)("1Ki"), Ok(Bound(Some(1024))));
        assert!(checked(parse_duration)("soon").expect_err("no length").contains("or none"));
        assert_eq!(checked(parse_duration)("1d"), Ok("1d".to_owned()));
    }
}
