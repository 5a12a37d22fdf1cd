//! What a contributor runs, from a fresh clone on: `cargo xtask --help`.
#![forbid(unsafe_code)]

mod process;
mod setup;
mod toolchain;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Sets up, runs and checks nicban from its source.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Clone, Copy, Subcommand)]
enum Task {
    /// Install what building and testing need and this machine lacks
    Setup {
        /// Only say what is missing, and fail if anything is
        #[arg(long)]
        check: bool,
    },
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
        Task::Setup { check: true } => setup::check(setup::Scope::Test),
        Task::Setup { check: false } => {
            setup::ensure(setup::Scope::Test)?;
            println!("setup: everything is here");
            Ok(ExitCode::SUCCESS)
        }
    }
}
