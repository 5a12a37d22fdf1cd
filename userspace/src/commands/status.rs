//! `nicban status`.

use nicban_protocol::{Reply, Request};

use super::link::{Link, unexpected};
use super::{Globals, output};
use crate::exit::Failure;
use crate::render;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(globals: &Globals, args: &Args) -> Result<(), Failure> {
    match Link::new(globals)?.call(&Request::Status {})? {
        Reply::Status(status) if args.json => output::json(&status),
        Reply::Status(status) => output::text(&render::status::page(&status, output::now())),
        other => Err(unexpected(&other)),
    }
}
