//! `punctual export`: definitions in the words of other schedulers.

use crate::definitions;
use crate::export::{self, Cluster, Target};
use crate::import::crontab::Kind;
use crate::import::machine::Machine;
use crate::terminal::Screen;
use clap::Subcommand;
use punctual_core::error::{Diagnostic, Severity};
use punctual_core::spec::JobSpec;
use punctual_core::zone::ZoneTable;
use punctual_engine::zones;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Write definitions as a crontab or as Kubernetes CronJobs
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  punctual export crontab --definitions jobs.yaml > my.crontab
  punctual export k8s --definitions jobs/ --image registry.example.com/jobs:7

Jobs that the other scheduler cannot do are left out, each with its reasons on standard error.
Exit status: 0 all jobs were written, 1 some were left out or the definitions are wrong.")]
pub struct Args {
    #[command(subcommand)]
    to: To,
}

#[derive(Debug, Subcommand)]
enum To {
    /// A crontab: of the system if a job has a runAs, else of one user
    Crontab(CrontabArgs),
    /// Manifests of CronJobs, a document each
    K8s(K8sArgs),
}

#[derive(Debug, clap::Args)]
struct CrontabArgs {
    #[command(flatten)]
    from: Source,
    /// Whether a user name stands before each command
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// The time zone cron goes by; by default this machine's
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// Write CRON_TZ for jobs in other zones: cronie knows it, Debian's cron does not
    #[arg(long)]
    cron_tz: bool,
}

#[derive(Debug, clap::Args)]
struct K8sArgs {
    #[command(flatten)]
    from: Source,
    /// The namespace to write into the manifests
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// The image in which commands of this machine are to run
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
}

/// Where the jobs are taken from.
#[derive(Debug, clap::Args)]
struct Source {
    /// Files or directories of definitions, or - for standard input
    #[arg(long, required = true, num_args = 1.., value_name = "FILE|DIR")]
    definitions: Vec<PathBuf>,
}

/// Runs the command.
pub fn run(args: Args) -> ExitCode {
    let done = match &args.to {
        To::Crontab(args) => export_crontab(args),
        To::K8s(args) => args.from.jobs(&zones::open()).map(|jobs| {
            export::k8s(&jobs, &Cluster { namespace: args.namespace.clone(), image: args.image.clone() })
        }),
    };
    let colour = Screen::stderr_colour();
    let (text, said) = done.unwrap_or_else(|faults| (String::new(), faults));
    for diagnostic in &said {
        eprintln!("{}", definitions::render(diagnostic, colour));
    }
    if let Err(error) = std::io::stdout().lock().write_all(text.as_bytes()) {
        eprintln!("cannot write to standard output: {error}");
        return ExitCode::from(2);
    }
    let refused = said.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    ExitCode::from(u8::from(refused))
}

fn export_crontab(args: &CrontabArgs) -> Result<(String, Vec<Diagnostic>), Vec<Diagnostic>> {
    let table = zones::open();
    let time_zone = match &args.time_zone {
        Some(name) => table.zone(name).map_err(|error| vec![error.diagnostic()])?.name().to_owned(),
        None => Machine::here(&table).time_zone.unwrap_or_else(|| "UTC".to_owned()),
    };
    let target = Target {
        kind: args.kind,
        time_zone,
        cron_tz: args.cron_tz,
        path: punctual_engine::executor::PATH.to_owned(),
    };
    Ok(export::crontab(&args.from.jobs(&table)?, &target))
}

impl Source {
    fn jobs(&self, table: &ZoneTable) -> Result<Vec<JobSpec>, Vec<Diagnostic>> {
        Ok(definitions::load(&self.definitions, table)?.jobs)
    }
}
