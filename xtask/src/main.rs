//! What a contributor runs, from a fresh clone on: `cargo xtask --help`.
#![forbid(unsafe_code)]

mod action;
mod bench;
mod demo;
mod fuzz;
mod lint;
mod musl;
mod process;
mod release;
mod setup;
mod simulate;
mod soak;
mod test;
mod toolchain;
mod vm;

use std::{ffi::OsString, process::ExitCode, time::Duration};

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Sets up, runs and checks nicban from its source.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what building and testing need and this machine lacks
    Setup {
        /// Only say what is missing, and fail if anything is
        #[arg(long)]
        check: bool,
    },
    /// Build nicban's programs, unoptimised
    Build {
        /// As they are installed: optimised, and the action static
        #[arg(long)]
        release: bool,
    },
    /// Run the main job in network namespaces, from fail2ban to a network ACL
    Demo {
        /// Given to the demo; `-- --help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Try the choice of offenders for the ACL's slots on simulated attacks
    Simulate {
        /// Given to the simulator; `-- --help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Measure nicban beside what else can drop a banned source's packets
    Bench {
        /// Only with --quick: take the programs that the tests have built
        #[arg(long)]
        unoptimised: bool,
        /// Given to the bench; `-- --help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Let nicban live through bans, floods, restarts and AWS faults at random
    Soak {
        /// Given to the soak, such as `--minutes 60`; `-- --help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Run every test
    Test {
        /// Run only the tests whose name holds this
        #[arg(long)]
        filter: Option<String>,
        /// Repeat what the reliability suite repeats as often as docs/reliability.md says
        #[arg(long)]
        full: bool,
        /// Run the privileged tests on this kernel of Debian's, such as 6.1, in a virtual
        /// machine; may be given several times
        #[arg(long, value_name = "SERIES", conflicts_with = "full")]
        kernel: Vec<vm::Series>,
        /// End a virtual machine that goes on for longer, which is a failure
        #[arg(
            long,
            value_name = "MINUTES",
            requires = "kernel",
            default_value_t = 20,
            value_parser = clap::value_parser!(u64).range(1..=1440)
        )]
        limit: u64,
    },
    /// Feed hostile input to every parser
    Fuzz {
        /// For how long, for each target
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
        seconds: u32,
        /// Only this target; any but ec2 does without the EC2 client, and builds in a fraction
        /// of the time
        #[arg(long, value_name = "TARGET")]
        only: Option<fuzz::Target>,
        /// All targets but ec2
        #[arg(long, conflicts_with = "only")]
        without_aws: bool,
        /// Add what is found to the kept corpus
        #[arg(long)]
        keep: bool,
    },
    /// Check the formatting, licences and sources, and run clippy on the host's crates and the
    /// XDP program
    Lint,
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode> {
    match task {
        Task::Setup { check: true } => return setup::check(setup::Scope::Contribute),
        Task::Setup { check: false } => {
            setup::ensure(setup::Scope::Contribute)?;
            println!("setup: everything is here");
        }
        Task::Build { release: false } => demo::build(setup::Scope::Build)?,
        Task::Build { release: true } => release::build()?,
        Task::Demo { arguments } => match demo::run(&arguments)? {},
        Task::Simulate { arguments } => return simulate::run(&arguments),
        Task::Bench {
            unoptimised,
            arguments,
        } => match bench::run(unoptimised, &arguments)? {},
        Task::Soak { arguments } => match soak::run(&arguments)? {},
        Task::Test {
            filter,
            full,
            kernel,
            ..
        } if kernel.is_empty() => return test::run(filter.as_deref(), full),
        Task::Test {
            filter,
            kernel,
            limit,
            ..
        } => {
            let limit = Duration::from_mins(limit);
            return vm::test(&kernel, filter.as_deref(), limit);
        }
        Task::Fuzz {
            seconds,
            only,
            without_aws,
            keep,
        } => {
            let targets = fuzz::targets(only, without_aws);
            return fuzz::run(&targets, seconds, keep);
        }
        Task::Lint => lint::run()?,
    }
    Ok(ExitCode::SUCCESS)
}
