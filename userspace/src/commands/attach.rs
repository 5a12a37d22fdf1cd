//! `nicban attach`, `nicban confirm`, `nicban detach`.

use std::time::Duration;

use anyhow::Context as _;
use nicban_protocol::{Outcome, RefusalKind, Reply, Request};

use super::confirm::{self, Verdict};
use super::link::{self, Link, accepted, unexpected};
use super::{Globals, output};
use crate::config::InterfaceName;
use crate::engine::Detached;
use crate::exit::{Exit, Failure};
use crate::host;
use crate::owner::become_owner_of;

/// How long the driver may take: ENA sets up its queues anew, and the link goes
/// down and up.
const ATTACHING: Duration = Duration::from_mins(1);

/// How long a daemon may keep someone waiting who wants the packets back.
const DETACHING: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(super) struct AttachArgs {
    /// The interface [default: those of the configuration]
    #[arg(value_name = "IFACE")]
    interface: Option<InterfaceName>,
    /// Detach again after this time unless confirmed, so that a mistake locks no one out
    #[arg(long, value_name = "TIME", value_parser = window)]
    confirm: Option<Duration>,
}

#[derive(Debug, clap::Args)]
pub(super) struct DetachArgs {
    /// The interface [default: all]
    #[arg(value_name = "IFACE")]
    interface: Option<InterfaceName>,
    /// Do not ask the daemon: take the pinned links away
    #[arg(long)]
    direct: bool,
}

pub(super) fn attach(globals: &Globals, args: AttachArgs) -> Result<(), Failure> {
    let link = Link::new(globals)?.patient(ATTACHING);
    let request = Request::Attach {
        interface: args.interface.map(|interface| interface.to_string()),
        confirm_s: args.confirm.map(|time| time.as_secs()),
        ssh_peer: host::ssh_peer().map(|peer| peer.to_string()),
    };
    let (attached, note) = match link.call(&request)? {
        Reply::Attached { interfaces, note } => (interfaces, note),
        other => return Err(unexpected(&other)),
    };
    let already = if attached.is_empty() { " already" } else { "" };
    output::text(&format!("attached{already}\n  {note}\n"))?;
    match args.confirm {
        Some(window) if !attached.is_empty() => ask_to_confirm(&link, window, &attached),
        _ => Ok(()),
    }
}

fn ask_to_confirm(link: &Link, window: Duration, on_trial: &[String]) -> Result<(), Failure> {
    let time = humantime::format_duration(window);
    output::text(&format!(
        "It is detached again in {time} unless you confirm.\n\
         Open a second session to see that you still can, then type yes and Enter here,\n\
         or run `nicban confirm` there. To roll back now, type no.\n"
    ))?;
    match confirm::wait(link, window, on_trial)? {
        Verdict::Confirmed => {
            link.done(&Request::Confirm {})?;
            output::text("confirmed: it stays attached\n")
        }
        Verdict::ConfirmedElsewhere => output::text("confirmed in another session\n"),
        Verdict::Unattended => output::text("nobody to ask here: confirm with `nicban confirm`\n"),
        Verdict::Declined => {
            decline(link, on_trial)?;
            Err(Failure::new(Exit::Unconfirmed, "declined: detached again"))
        }
        Verdict::RolledBack => Err(Failure::new(
            Exit::Unconfirmed,
            "not confirmed in time: detached again",
        )),
    }
}

/// Detaches what was on trial, and nothing that stood before.
fn decline(link: &Link, on_trial: &[String]) -> Result<(), Failure> {
    let detach = |interface: &String| {
        let interface = Some(interface.clone());
        match link.ask(&Request::Detach { interface })? {
            // Its time was over first.
            Reply::Refused(refusal) if refusal.kind == RefusalKind::NotFound => Ok(()),
            reply => accepted(reply).map(drop),
        }
    };
    // One that fails must not keep the others attached.
    on_trial.iter().map(detach).fold(Ok(()), Result::and)
}

pub(super) fn confirm(globals: &Globals) -> Result<(), Failure> {
    let (outcome, note) = Link::new(globals)?.done(&Request::Confirm {})?;
    output::text(match outcome {
        Outcome::Unchanged => "nothing waits for a confirmation\n",
        _ => "confirmed: it stays attached\n",
    })?;
    note.map_or(Ok(()), |note| output::text(&format!("  {note}\n")))
}

pub(super) fn detach(globals: &Globals, args: DetachArgs) -> Result<(), Failure> {
    let interface = args.interface.map(|interface| interface.to_string());
    if !args.direct {
        let request = Request::Detach {
            interface: interface.clone(),
        };
        match Link::new(globals)?.impatient(DETACHING).ask(&request) {
            Ok(reply) => {
                accepted(reply)?;
                return output::text(
                    "detached: nothing is dropped; the bans are kept for the next attach\n",
                );
            }
            Err(error) => eprintln!("nicban: {error}\nnicban: going on without the daemon"),
        }
    }
    let config = link::config(globals)?;
    let detached = crate::xdp::detach_pinned(&config.xdp.pin_dir, interface.as_deref())
        .context("cannot detach")?;
    become_owner_of(&config.daemon.state_dir).context("detached, but nothing can be noted")?;
    Detached::load(&config.daemon.state_dir)
        .and_then(|mut detached| detached.add(interface.as_deref()))
        .with_context(|| {
            format!(
                "detached, but a daemon that starts will attach again: cannot write to {}",
                config.daemon.state_dir.display()
            )
        })?;
    if detached.is_empty() {
        return output::text(&format!(
            "nothing of nicban's is attached (looked in {})\n",
            config.xdp.pin_dir.display()
        ));
    }
    output::text(&format!(
        "detached from {}: nothing is dropped there\n\
         It stays so over restarts until `nicban attach`.\n",
        detached.join(", ")
    ))
}

fn window(written: &str) -> Result<Duration, String> {
    humantime::parse_duration(written)
        .ok()
        .filter(|time| (10..=3600).contains(&time.as_secs()))
        .ok_or_else(|| "write a time from 10s to 1h, such as 60s".to_owned())
}
