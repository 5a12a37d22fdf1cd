//! Runs nicban's choice of offenders against attacks; `--help` tells what can be asked.

use std::process::ExitCode;

use clap::Parser as _;
use nicban_tests::simulate::{self, Options};

fn main() -> ExitCode {
    match simulate::run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
