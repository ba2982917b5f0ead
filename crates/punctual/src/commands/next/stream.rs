//! `punctual next --stdin`: a request a line, an answer a line, in order. Rules and zones are kept between lines.

use super::{BAD_LINE, COUNT_MAX, DialectName, DstName, Refusal, checked_count, instant, schedule};
use crate::failure::{NO, OK};
use punctual_core::error::Diagnostic;
use punctual_core::schedule::Schedule;
use punctual_core::zone::ZoneTable;
use punctual_engine::clock::Clock;
use punctual_engine::zones;
use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use std::process::ExitCode;

/// A longer line is refused, and passed over.
const LINE_BYTES_MAX: usize = 1 << 20;
/// Rules that are kept; a stream with more begins anew.
const RULES_MAX: usize = 10_000;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Request<'a> {
    #[serde(borrow)]
    expr: Cow<'a, str>,
    #[serde(borrow)]
    tz: Option<Cow<'a, str>>,
    #[serde(borrow)]
    from: Option<Cow<'a, str>>,
    n: Option<u64>,
    #[serde(default)]
    dialect: DialectName,
    #[serde(default)]
    dst: DstName,
    #[serde(borrow)]
    job: Option<Cow<'a, str>>,
}

/// Answers until the end of the input.
pub(super) fn answer(input: impl Read, output: impl Write) -> ExitCode {
    let mut input = BufReader::with_capacity(1 << 16, input);
    let mut output = BufWriter::with_capacity(1 << 16, output);
    let mut answers = Answers { zones: zones::open(), rules: HashMap::new(), key: String::new() };
    let mut line = Vec::new();
    loop {
        // An answer must not wait in the buffer while the asker waits for it.
        let result = match read_line(&mut input, &mut line, || output.flush()) {
            Ok(Some(length)) if length > LINE_BYTES_MAX => output.write_all(too_long().as_bytes()),
            Ok(Some(_)) if line.trim_ascii().is_empty() => Ok(()),
            Ok(Some(_)) => answers.write(&line, &mut output),
            Ok(None) => return ExitCode::from(if output.flush().is_ok() { OK } else { NO }),
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            return ExitCode::from(if error.kind() == ErrorKind::BrokenPipe { OK } else { NO });
        }
    }
}

fn too_long() -> String {
    let refusal = Refusal::from(Diagnostic::error(BAD_LINE, "the line is longer than 1 MiB"));
    format!("{}\n", refusal.to_json())
}

/// Reads a line without its end into `line`, and no more of it than may be; gives its whole length, or `None` at the
/// end of the input. Calls `before_wait` when the input has nothing at hand.
fn read_line(
    input: &mut BufReader<impl Read>,
    line: &mut Vec<u8>,
    mut before_wait: impl FnMut() -> std::io::Result<()>,
) -> std::io::Result<Option<usize>> {
    line.clear();
    let mut length = 0;
    loop {
        if input.buffer().is_empty() {
            before_wait()?;
        }
        let available = match input.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if available.is_empty() {
            return Ok((length > 0).then_some(length));
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let part = &available[..end.unwrap_or(available.len())];
        length += part.len();
        if length <= LINE_BYTES_MAX {
            line.extend_from_slice(part);
        }
        let used = part.len() + usize::from(end.is_some());
        input.consume(used);
        if end.is_some() {
            return Ok(Some(length));
        }
    }
}

struct Answers {
    zones: ZoneTable,
    /// `None`: a rule without times.
    rules: HashMap<String, Option<Schedule>>,
    key: String,
}

impl Answers {
    fn write(&mut self, line: &[u8], output: &mut impl Write) -> std::io::Result<()> {
        match self.times(line) {
            Ok(times) => {
                output.write_all(b"{\"times\":[")?;
                for (index, time) in times.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(output, "{comma}\"{time}\"")?;
                }
                output.write_all(b"]}\n")
            }
            Err(refusal) => writeln!(output, "{}", refusal.to_json()),
        }
    }

    fn times(&mut self, line: &[u8]) -> Result<Vec<punctual_core::time::Timestamp>, Refusal> {
        let request: Request<'_> = serde_json::from_slice(line).map_err(|why| {
            Refusal::from(Diagnostic::error(BAD_LINE, format!("the line is not a request: {why}")))
        })?;
        let from = request.from.as_deref().map_or_else(|| Ok(Clock::System.now()), instant)?;
        let count = request.n.unwrap_or(1);
        let count = checked_count(usize::try_from(count).unwrap_or(COUNT_MAX + 1))?;
        let every;
        let rule = if request.expr.trim_start().starts_with("@every") {
            // An interval counts from the request's own instant.
            every = self.parse(&request, from)?;
            &every
        } else {
            self.kept(&request, from)?
        };
        let mut times = Vec::with_capacity(count.min(1024));
        let mut cursor = from;
        while let Some(schedule) = rule.as_ref().filter(|_| times.len() < count) {
            let Some(next) = schedule.next_after(cursor)? else { break };
            times.push(next);
            cursor = next;
        }
        Ok(times)
    }

    /// The rule of a request, from an earlier line if it had the same.
    fn kept(
        &mut self,
        request: &Request<'_>,
        from: punctual_core::time::Timestamp,
    ) -> Result<&Option<Schedule>, Refusal> {
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        for part in
            [&*request.expr, request.tz.as_deref().unwrap_or("UTC"), request.job.as_deref().unwrap_or("")]
        {
            key.push_str(part);
            key.push('\0');
        }
        key.push(char::from(b'0' + request.dialect as u8));
        key.push(char::from(b'0' + request.dst as u8));
        if !self.rules.contains_key(&key) {
            let rule = match self.parse(request, from) {
                Ok(rule) => rule,
                Err(refusal) => {
                    self.key = key;
                    return Err(refusal);
                }
            };
            if self.rules.len() >= RULES_MAX {
                self.rules.clear();
            }
            self.rules.insert(key.clone(), rule);
        }
        self.key = key;
        Ok(&self.rules[&self.key])
    }

    fn parse(
        &self,
        request: &Request<'_>,
        from: punctual_core::time::Timestamp,
    ) -> Result<Option<Schedule>, Refusal> {
        let zone = self.zones.zone(request.tz.as_deref().unwrap_or("UTC"));
        let zone = zone.map_err(|error| Refusal::from(error.diagnostic()))?;
        let (dialect, dst) = (request.dialect.dialect(), request.dst.policy());
        schedule(&request.expr, dialect, dst, &zone, from, request.job.as_deref())
            .map_err(|error| Refusal::cron(error, &request.expr))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(lines: &str) -> Vec<String> {
        let mut output = Vec::new();
        answer(lines.as_bytes(), &mut output);
        String::from_utf8(output).expect("JSON is text").lines().map(str::to_owned).collect()
    }

    #[test]
    fn each_line_has_its_answer_and_a_bad_one_ends_nothing() {
        let answers = ask(concat!(
            r#"{"expr":"0 9 * * *","tz":"Asia/Shanghai","from":"2026-11-24T00:00:00Z","n":2}"#,
            "\n\n",
            r#"{"expr":"61 * * * *","tz":"UTC","from":"2026-11-24T00:00:00Z","n":1}"#,
            "\nnonsense\n",
            r#"{"expr":"@every 90s","from":"2026-11-24T00:00:00Z"}"#,
            "\n",
            r#"{"expr":"0 0 30 2 *","from":"2026-11-24T00:00:00Z","n":3}"#,
            "\n",
            r#"{"expr":"@daily","from":"yesterday"}"#,
            "\n",
            r#"{"expr":"@daily","tz":"Mars/Olympus","from":"2026-11-24T00:00:00Z"}"#,
            "\n",
            r#"{"expr":"@daily","from":"2026-11-24T00:00:00Z","n":99999999999}"#,
            "\r\n",
            r#"{"expr":"0 12 ? * 2","dialect":"quartz","from":"2026-11-24T00:00:00Z"}"#,
        ));
        let codes: Vec<Option<String>> = answers
            .iter()
            .map(|line| {
                let answer: serde_json::Value = serde_json::from_str(line).expect("an answer is JSON");
                answer["error"]["code"].as_str().map(str::to_owned)
            })
            .collect();
        let codes: Vec<Option<&str>> = codes.iter().map(Option::as_deref).collect();
        let expected = [
            None,
            Some("CRN003"),
            Some("API031"),
            None,
            None,
            Some("ZON003"),
            Some("ZON001"),
            Some("API030"),
            Some("CRN001"),
        ];
        assert_eq!(codes, expected);
        assert_eq!(answers[0], r#"{"times":["2026-11-24T01:00:00Z","2026-11-25T01:00:00Z"]}"#);
        assert!(answers[1].contains(r#""offset":0"#), "{}", answers[1]);
        assert_eq!(answers[3], r#"{"times":["2026-11-24T00:01:30Z"]}"#);
        assert_eq!(answers[4], r#"{"times":[]}"#);
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over() {
        let line = format!(
            "{}\n{}\n",
            "x".repeat(LINE_BYTES_MAX + 1),
            r#"{"expr":"@daily","from":"2026-11-24T00:00:00Z"}"#
        );
        let answers = ask(&line);
        assert_eq!(answers.len(), 2);
        assert!(answers[0].contains("API031") && answers[1].contains("2026-11-25T00:00:00Z"));
    }
}
