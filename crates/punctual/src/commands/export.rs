//! `punctual export`: definitions in the words of other schedulers.

use crate::client::Client;
use crate::data::Data;
use crate::definitions;
use crate::export::{self, Cluster, Target};
use crate::failure::{Failure, Format, NO, OK, finish, print, remark};
use crate::import::CANNOT_READ;
use crate::import::crontab::Kind;
use crate::import::machine::Machine;
use crate::terminal::Screen;
use clap::Subcommand;
use punctual_core::error::{Diagnostic, Severity};
use punctual_core::spec::JobSpec;
use punctual_core::zone::ZoneTable;
use punctual_engine::zones;
use punctual_server::dto::JobDto;
use std::path::PathBuf;
use std::process::ExitCode;

/// Write definitions as a crontab or as Kubernetes CronJobs
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  punctual export crontab > my.crontab
  punctual export crontab --definitions jobs.yaml --kind system
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
    /// Files or directories of definitions, or - for standard input; by default the jobs of the data directory
    #[arg(long, num_args = 1.., value_name = "FILE|DIR")]
    definitions: Vec<PathBuf>,
    #[command(flatten)]
    data: Data,
}

/// Runs the command.
pub fn run(args: Args) -> ExitCode {
    finish(Format::Table, export(&args))
}

fn export(args: &Args) -> Result<u8, Failure> {
    let zones = zones::open();
    let (To::Crontab(CrontabArgs { from, .. }) | To::K8s(K8sArgs { from, .. })) = &args.to;
    let jobs = match from.jobs(&zones)? {
        Ok(jobs) => jobs,
        Err(faults) => {
            tell(&faults);
            return Ok(NO);
        }
    };
    let (text, said) = match &args.to {
        To::Crontab(args) => export::crontab(&jobs, &target(args, &zones)?),
        To::K8s(args) => {
            export::k8s(&jobs, &Cluster { namespace: args.namespace.clone(), image: args.image.clone() })
        }
    };
    tell(&said);
    print(text);
    Ok(if said.iter().any(|diagnostic| diagnostic.severity == Severity::Error) { NO } else { OK })
}

fn tell(said: &[Diagnostic]) {
    let colour = Screen::stderr_colour();
    for diagnostic in said {
        remark(definitions::render(diagnostic, colour));
    }
}

fn target(args: &CrontabArgs, zones: &ZoneTable) -> Result<Target, Failure> {
    let time_zone = match &args.time_zone {
        Some(name) => {
            let zone = zones.zone(name).map_err(|error| Failure::new(NO, error.diagnostic()))?;
            zone.name().to_owned()
        }
        None => Machine::here(zones).time_zone.unwrap_or_else(|| "UTC".to_owned()),
    };
    let path = punctual_engine::executor::PATH.to_owned();
    Ok(Target { kind: args.kind, time_zone, cron_tz: args.cron_tz, path })
}

impl Source {
    /// The jobs of the files, or what is wrong with them; without files, those of the data directory.
    fn jobs(&self, zones: &ZoneTable) -> Result<Result<Vec<JobSpec>, Vec<Diagnostic>>, Failure> {
        if !self.definitions.is_empty() {
            return Ok(definitions::load(&self.definitions, zones).map(|loaded| loaded.jobs));
        }
        let jobs: Vec<JobDto> = Client::open(&self.data)?.get("/v1/jobs")?;
        let mut specs = Vec::new();
        for job in jobs {
            let spec = JobSpec::from_json(&job.definition).map_err(|why| {
                let error =
                    Diagnostic::error(CANNOT_READ, format!("the definition of {} cannot be read", job.name));
                Failure::new(NO, error.detail(why))
            })?;
            // A job may rest by command, whatever its definition says.
            specs.push(JobSpec { paused: job.paused.is_some(), ..spec });
        }
        Ok(Ok(specs))
    }
}
