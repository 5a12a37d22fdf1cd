//! Soaks nicban; the exit status is 0 only if all of it held.

use std::process::ExitCode;

use clap::Parser as _;
use nicban_tests::soak::{self, Options};

fn main() -> ExitCode {
    match soak::run(&Options::parse()) {
        Ok(outcome) => {
            println!("{outcome}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            nicban_tests::net::give_way_to_signal();
            eprintln!("did not hold: {error:#}");
            ExitCode::FAILURE
        }
    }
}
