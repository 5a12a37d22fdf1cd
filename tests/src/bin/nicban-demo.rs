//! Plays nicban's demo; the exit status is 0 only if all of it held.

use std::process::ExitCode;

use clap::Parser as _;
use nicban_tests::demo::{self, Options};

fn main() -> ExitCode {
    match demo::play(&Options::parse()) {
        Ok(outcome) => {
            for failure in &outcome.failures {
                eprintln!("did not hold: {failure}");
            }
            println!("{outcome}");
            if outcome.ok() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            nicban_tests::net::give_way_to_signal();
            eprintln!("the demo could not go on: {error:#}");
            ExitCode::FAILURE
        }
    }
}
