//! `punctual explain`: a cron expression or an error code in words.

use crate::commands::codes;
use crate::commands::next::{BAD_INSTANT, DialectName, DstName, pointed};
use crate::failure::{NO, NOT_FOUND, OK, print, remark};
use punctual_core::cron::{self, Language, Parsed};
use punctual_core::error::{Code, Diagnostic};
use punctual_core::schedule::{CronSchedule, DstPolicy};
use punctual_core::time::Timestamp;
use punctual_core::zone::ZoneTable;
use punctual_engine::zones;
use std::process::ExitCode;
use std::sync::Arc;

/// A code that has no page.
const NO_PAGE: Code = Code("API033");

/// Say in words what a cron expression, or an error code, means
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  punctual explain '0 0 * * FRI#L'
  punctual explain '30 2 * * *' --tz Europe/Berlin --at 2026-03-29T01:00:00Z
  punctual explain '*/5 9-17 * * 1-5' --lang zh
  punctual explain TRG004

With --at it says whether the expression fires at that instant, and exits with 1 if not.")]
pub struct Args {
    /// A cron expression, or an error code
    subject: String,
    /// The language of the words
    #[arg(long, value_enum, default_value_t)]
    lang: Lang,
    /// Whether it fires at this instant (RFC 3339), and if not, why
    #[arg(long, value_name = "INSTANT")]
    at: Option<String>,
    /// Whose wall clock the expression reads
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    tz: String,
    /// Whose syntax the expression is in
    #[arg(long, value_enum, default_value_t)]
    dialect: DialectName,
    /// What happens when the clock changes
    #[arg(long, value_enum, default_value_t)]
    dst: DstName,
}

/// The languages by code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Lang {
    /// English
    #[default]
    En,
    /// Chinese
    Zh,
}

/// Explains.
pub fn run(args: Args) -> ExitCode {
    if codes::is_code(&args.subject) {
        return page(&args.subject);
    }
    match explain(&args, &zones::open()) {
        Ok((text, exit)) => {
            print(text);
            ExitCode::from(exit)
        }
        Err(diagnostic) => {
            remark(diagnostic.to_string());
            ExitCode::from(NO)
        }
    }
}

fn page(code: &str) -> ExitCode {
    if let Some(page) = codes::page(code) {
        print(page);
        return ExitCode::from(OK);
    }
    let message = format!("there is no error {}", code.to_ascii_uppercase());
    remark(Diagnostic::error(NO_PAGE, message).hint("codes are in the message: error[TRG004]").to_string());
    ExitCode::from(NOT_FOUND)
}

fn explain(args: &Args, zones: &ZoneTable) -> Result<(String, u8), Diagnostic> {
    let text = args.subject.as_str();
    let rule = match cron::parse(text, args.dialect.dialect()).map_err(|error| pointed(&error, text))? {
        Parsed::Cron(rule) => rule,
        Parsed::Every(interval) => {
            let seconds = interval.as_secs_f64();
            return Ok(match args.lang {
                Lang::En => {
                    (format!("every {seconds} seconds from when the trigger began; no zone matters\n"), OK)
                }
                Lang::Zh => (format!("自触发器启用起每 {seconds} 秒；与时区无关\n"), OK),
            });
        }
        Parsed::Reboot => {
            return Ok(match args.lang {
                Lang::En => ("once after each start of the machine; it has no times\n".to_owned(), OK),
                Lang::Zh => ("机器每次启动后一次；没有固定时间\n".to_owned(), OK),
            });
        }
    };
    let zone = zones.zone(&args.tz).map_err(|error| error.diagnostic())?;
    let language = match args.lang {
        Lang::En => Language::English,
        Lang::Zh => Language::Chinese,
    };
    let mut lines = vec![rule.explain(language)];
    if zone.spans().len() > 1 {
        lines.push(clock_changes(rule.is_fixed_time(), args.dst.policy(), args.lang).to_owned());
    }
    lines.extend(rule.notes().into_iter().map(|note| format!("note: {}", note.message)));
    lines.extend(rule.never_fires().map(|why| format!("warning: it never fires: {why}")));
    let mut exit = OK;
    if let Some(at) = &args.at {
        let at = Timestamp::parse_rfc3339(at).map_err(|why| Diagnostic::error(BAD_INSTANT, why))?;
        let schedule = CronSchedule { rule: Arc::new(rule), zone, dst: args.dst.policy() };
        match (schedule.matches(at), args.lang) {
            (Ok(()), Lang::En) => lines.push(format!("{at}: it fires")),
            (Ok(()), Lang::Zh) => lines.push(format!("{at}：会触发")),
            (Err(why), lang) => {
                exit = NO;
                lines.push(match lang {
                    Lang::En => format!("{at}: it does not fire: {why}"),
                    Lang::Zh => format!("{at}：不触发（{why}）"),
                });
            }
        }
    }
    Ok((lines.join("\n") + "\n", exit))
}

/// What the rule does when the clock changes, in a zone where it does.
fn clock_changes(fixed: bool, dst: DstPolicy, lang: Lang) -> &'static str {
    let gap_lost = dst == DstPolicy::Skip || !fixed;
    match (lang, gap_lost, dst, fixed) {
        (Lang::En, true, DstPolicy::First, _) => {
            "what the clock skips is lost; an hour that comes twice counts the first time"
        }
        (Lang::En, true, DstPolicy::Last, _) => {
            "what the clock skips is lost; an hour that comes twice counts the last time"
        }
        (Lang::En, true, _, true) => {
            "a time that the clock skips is lost; one that comes twice fires the first time"
        }
        (Lang::En, true, _, false) => {
            "it follows the clock on the wall: nothing in an hour that is skipped, both times in one that comes twice"
        }
        (Lang::En, false, DstPolicy::Last, _) => {
            "a time that the clock skips fires right after; one that comes twice fires the last time"
        }
        (Lang::En, false, DstPolicy::Both, _) => {
            "a time that the clock skips fires right after; one that comes twice fires both times"
        }
        (Lang::En, false, ..) => {
            "a time that the clock skips fires right after; one that comes twice fires once, the first time"
        }
        (Lang::Zh, true, DstPolicy::First, _) => "时钟跳过的时间不触发；重复的一小时只算第一次",
        (Lang::Zh, true, DstPolicy::Last, _) => "时钟跳过的时间不触发；重复的一小时只算最后一次",
        (Lang::Zh, true, _, true) => "时钟跳过的时间不触发；重复的时间只触发第一次",
        (Lang::Zh, true, _, false) => "跟随墙上时钟：被跳过的一小时不触发，重复的一小时两次都触发",
        (Lang::Zh, false, DstPolicy::Last, _) => "时钟跳过的时间在跳过后立即触发；重复的时间触发最后一次",
        (Lang::Zh, false, DstPolicy::Both, _) => "时钟跳过的时间在跳过后立即触发；重复的时间两次都触发",
        (Lang::Zh, false, ..) => "时钟跳过的时间在跳过后立即触发；重复的时间只触发第一次",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn say(arguments: &[&str]) -> (String, u8) {
        let args = Cli::try_parse_from(std::iter::once(&"explain").chain(arguments)).expect("arguments").args;
        explain(&args, &ZoneTable::bundled()).expect("an expression")
    }

    #[test]
    fn an_instant_matches_or_has_a_reason() {
        let berlin = ["30 2 * * *", "--tz", "Europe/Berlin", "--at"];
        let at = |instant| say(&[&berlin[..], &[instant]].concat());
        assert_eq!(at("2026-03-29T01:00:00Z").1, OK);
        let (text, exit) = at("2026-03-29T00:30:00Z");
        assert_eq!(exit, NO);
        assert!(text.ends_with("it does not fire: the hour field does not have 1\n"), "{text}");
        assert!(at("2026-10-25T01:30:00Z").0.contains("the first time round"));
    }

    #[test]
    fn rules_that_never_fire_are_told() {
        assert!(say(&["0 0 30 2 *"]).0.contains("it never fires: February has at most 29 days"));
    }
}
