//! `nicban allow`.

use nicban_protocol::{Outcome, Reply, Request};

use super::link::{Link, unexpected};
use super::{Globals, ban, output};
use crate::exit::Failure;
use crate::render;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Never drop an address or network, whatever bans it
    Add {
        /// An address, or a network in CIDR notation
        #[arg(value_name = "ADDR|CIDR", value_parser = ban::address)]
        network: String,
    },
    /// Take it off the list again
    Remove {
        /// As it was added
        #[arg(value_name = "ADDR|CIDR", value_parser = ban::address)]
        network: String,
    },
    /// Show the list, and where each entry comes from
    List {
        /// One JSON array
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(globals: &Globals, command: Command) -> Result<(), Failure> {
    let link = Link::new(globals)?;
    match command {
        Command::Add { network } => {
            let request = Request::AllowAdd {
                network: network.clone(),
            };
            let verb = "is never dropped from now on";
            output::text(&said(&network, verb, link.done(&request)?))
        }
        Command::Remove { network } => {
            let request = Request::AllowRemove {
                network: network.clone(),
            };
            let verb = "is no longer allowed; a ban on it takes effect again";
            output::text(&said(&network, verb, link.done(&request)?))
        }
        Command::List { json } => match link.call(&Request::AllowList {})? {
            Reply::Allowed { allowed } if json => output::json(&allowed),
            Reply::Allowed { allowed } => {
                output::text(&render::allow::list(&allowed, output::now()))
            }
            other => Err(unexpected(&other)),
        },
    }
}

fn said(network: &str, verb: &str, (outcome, note): (Outcome, Option<String>)) -> String {
    let verb = match outcome {
        Outcome::Unchanged => "was so already",
        _ => verb,
    };
    match note {
        Some(note) => format!("{network} {verb}\n  {note}\n"),
        None => format!("{network} {verb}\n"),
    }
}
