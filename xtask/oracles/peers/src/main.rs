//! `differential [COUNT [SEED]]` compares the next firings with croner's; `bench` measures ours beside croner and
//! cron; `probe RULE ZONE FROM COUNT` prints what those two say of one rule.

mod bench;
mod differential;
mod probe;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    match arguments.first().map(String::as_str) {
        Some("differential") => differential::run(number(1, 3000), number(2, 1) as u64),
        Some("bench") => bench::run(),
        Some("probe") if arguments.len() == 5 => {
            probe::run(&arguments[1], &arguments[2], &arguments[3], number(4, 3));
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("usage: punctual-peers differential [COUNT [SEED]] | bench | probe RULE ZONE FROM COUNT");
            ExitCode::from(2)
        }
    }
}
