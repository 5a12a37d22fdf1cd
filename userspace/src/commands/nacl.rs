//! `nicban nacl`.
//!
//! `plan` and `release` ask the daemon, which knows what it has put where;
//! `discover` and `test` are diagnostics and ask AWS themselves.

use std::time::Duration;

use anyhow::Context as _;
use nicban_protocol::{Outcome, Reply, Request};
use serde::Serialize;

use super::link::{self, Link, accepted, unexpected};
use super::{Globals, output};
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::owner::become_owner_of;
use crate::render;

/// How long AWS may take over a dozen calls, with retries.
const TIMEOUT: Duration = Duration::from_mins(2);

/// `nicban nacl …`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show which network ACLs guard this host, and what stands in them
    Discover(Print),
    /// Show what nicban would change next, and why
    Plan(Print),
    /// Try the tier: put a deny for a documentation address in, see it, take it out
    Test(Print),
    /// Take out every entry that nicban put in, and nothing else; put none in until `resume`
    Release(Release),
    /// Put entries in again after a release
    Resume,
}

/// How to print.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Print {
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// `nicban nacl release`.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Release {
    /// Do not ask the daemon: read its store, and ask AWS
    #[arg(long)]
    direct: bool,
}

/// What stands before this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Discovery {
    /// The Region.
    pub region: String,
    /// The account that the instance runs in.
    pub account: String,
    /// `i-…`.
    pub instance: String,
    /// The host's interfaces that EC2 knows.
    pub interfaces: Vec<DiscoveredInterface>,
    /// The NACLs of their subnets, each once.
    pub acls: Vec<DiscoveredAcl>,
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiscoveredInterface {
    /// Its name in Linux, where there is one.
    pub name: Option<String>,
    /// Its MAC.
    pub mac: String,
    /// `eni-…`.
    pub id: String,
    /// `subnet-…`.
    pub subnet: String,
}

/// A NACL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiscoveredAcl {
    /// `acl-…`.
    pub id: String,
    /// The account that owns it; only that account may change it.
    pub owner: String,
    /// Whether Firewall Manager manages it.
    pub firewall_manager: bool,
    /// Its entries, in the order of direction and number.
    pub entries: Vec<DiscoveredEntry>,
    /// What is in nicban's way, each in a line; empty when nothing is.
    pub findings: Vec<String>,
}

/// An entry of a NACL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiscoveredEntry {
    /// `ingress` or `egress`.
    pub direction: String,
    /// The rule number.
    pub number: u16,
    /// `allow` or `deny`.
    pub action: String,
    /// Whom it matches.
    pub network: String,
    /// Whether nicban put it there.
    pub ours: bool,
}

/// How the test of the tier went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TestReport {
    /// Whether every step did what it should.
    pub passed: bool,
    /// The steps, in order.
    pub steps: Vec<TestStep>,
}

/// A step of the test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TestStep {
    /// What was tried, with its subject.
    pub what: String,
    /// Whether it did what it should.
    pub passed: bool,
    /// What came of it; for a failure, what to do next.
    pub detail: String,
}

/// Runs `nicban nacl …`.
pub(super) fn run(globals: &Globals, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Discover(print) => discover(globals, *print),
        Command::Plan(print) => plan(globals, *print),
        Command::Test(print) => test(globals, *print),
        Command::Release(release_args) => release(globals, *release_args),
        Command::Resume => resume(globals),
    }
}

fn plan(globals: &Globals, print: Print) -> Result<(), Failure> {
    let link = Link::new(globals)?.patient(TIMEOUT);
    match link.call(&Request::NaclPlan {})? {
        reply @ Reply::NaclPlan { .. } if print.json => output::json(&reply),
        Reply::NaclPlan { status, steps } => {
            output::text(&render::nacl::plan(&status, &steps, output::now()))
        }
        other => Err(unexpected(&other)),
    }
}

/// The configuration, with root given up for the owner of the store: what is done
/// without the daemon is done as it would do it.
fn as_the_daemon(globals: &Globals) -> Result<Config, Failure> {
    let config = link::config(globals)?;
    become_owner_of(&config.daemon.state_dir).context("cannot use the store")?;
    Ok(config)
}

fn discover(globals: &Globals, print: Print) -> Result<(), Failure> {
    let config = as_the_daemon(globals)?;
    let found = super::block_on(super::direct::discover(&config))?;
    if print.json {
        output::json(&found)
    } else {
        output::text(&render::nacl::discovery(&found))
    }
}

fn test(globals: &Globals, print: Print) -> Result<(), Failure> {
    let config = as_the_daemon(globals)?;
    let report = super::block_on(super::direct::test(&config))?;
    if print.json {
        output::json(&report)?;
    } else {
        output::text(&render::nacl::test(&report))?;
    }
    if report.passed {
        Ok(())
    } else {
        Err(Failure::new(
            Exit::Failed,
            "the NACL tier does not work here; bans are enforced by XDP all the same",
        ))
    }
}

fn resume(globals: &Globals) -> Result<(), Failure> {
    let (outcome, _) = Link::new(globals)?.done(&Request::NaclResume {})?;
    output::text(match outcome {
        Outcome::Unchanged => "the NACL tier was not released\n",
        _ => "the NACL tier is taken up again\n",
    })
}

fn release(globals: &Globals, args: Release) -> Result<(), Failure> {
    if !args.direct {
        let link = Link::new(globals)?.impatient(TIMEOUT);
        match link.ask(&Request::NaclRelease {}) {
            Ok(reply) => {
                accepted(reply)?;
                return output::text("released: none of nicban's entries is left in a NACL\n");
            }
            Err(error) => eprintln!("nicban: {error}\nnicban: going on without the daemon"),
        }
    }
    let config = as_the_daemon(globals)?;
    let removed = super::block_on(super::direct::release(&config))?;
    if removed.is_empty() {
        return output::text("none of nicban's entries is in a NACL\n");
    }
    output::text(&format!(
        "removed:\n  {}\nIt stays so over restarts until `nicban nacl resume`.\n",
        removed.join("\n  ")
    ))
}
