//! The two halves of a reboot test, run in a machine whose power is cut between them.

use std::process::ExitCode;

use clap::Parser as _;
use nicban_tests::reboot::{self, Options};

fn main() -> ExitCode {
    match reboot::run(&Options::parse()) {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("did not hold: {error:#}");
            ExitCode::FAILURE
        }
    }
}
