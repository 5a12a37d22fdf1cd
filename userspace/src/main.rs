//! The `nicban` command: parse, run, exit.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = nicban::commands::Cli::parse();
    nicban::exit::code_of(nicban::commands::run(cli))
}
