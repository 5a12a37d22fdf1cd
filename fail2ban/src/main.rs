//! Tells the nicban daemon what fail2ban decided.
#![forbid(unsafe_code)]

mod args;
mod origin;
mod quote;
mod sync;

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use args::{Call, HELP, Invocation};
use nicban_protocol::{Reply, Request};
use origin::Starter;

/// The daemon refused.
const REFUSED: u8 = 1;
/// The command line is wrong.
const USAGE: u8 = 2;
/// There is no answer that can be read.
const NO_ANSWER: u8 = 3;

fn main() -> ExitCode {
    match args::parse(std::env::args_os().skip(1)) {
        Ok(Invocation::Help) => say(HELP.trim_end()),
        Ok(Invocation::Version) => say(concat!("nicban-action ", env!("CARGO_PKG_VERSION"))),
        Ok(Invocation::Ask(call)) => put(&meant(call)),
        Err(error) => complain(format_args!("{error}; see nicban-action --help"), USAGE),
    }
}

/// What fail2ban means by a flush: its thread tells.
fn meant(mut call: Call) -> Call {
    if let Request::Flush { holder } = call.request {
        call.request = match origin::starter() {
            Starter::Jail => Request::Stop { holder },
            Starter::Server => Request::Lift { holder },
            Starter::Unknown => Request::Flush { holder },
        };
    }
    call
}

fn put(call: &Call) -> ExitCode {
    if let Some(sync) = &call.sync
        && let Request::Start { holder } = &call.request
        && let Err(error) = sync::start(sync, &call.socket, holder)
    {
        // No reason to fail: without it the jail starts as it does elsewhere.
        let what = format_args!("cannot run {}: {error}", sync.program.display());
        complain(what, 0);
    }
    match nicban_protocol::ask(&call.socket, call.timing(), &call.request) {
        Ok(Reply::Done {
            note: Some(note), ..
        }) => say(&quote::line(&note)),
        Ok(Reply::Done { note: None, .. }) => ExitCode::SUCCESS,
        Ok(Reply::Refused(refusal)) => complain(
            format_args!(
                "{}: refused, {}: {}",
                Subject(&call.request),
                refusal.kind,
                refusal.message
            ),
            REFUSED,
        ),
        Ok(_) => complain(
            format_args!(
                "{}: {} answers something else; are nicban and nicban-action of one version?",
                Subject(&call.request),
                call.socket.display()
            ),
            NO_ANSWER,
        ),
        Err(error) => complain(
            format_args!("{}: {error}", Subject(&call.request)),
            NO_ANSWER,
        ),
    }
}

/// What was asked, for the head of an error.
struct Subject<'a>(&'a Request);

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Request::Ban(ban) => write!(f, "ban {} for {}", ban.address, ban.holder),
            Request::Prolong(ban) => write!(f, "prolong {} for {}", ban.address, ban.holder),
            Request::Unban { address, holder } => {
                write!(
                    f,
                    "unban {address} for {}",
                    holder.as_deref().unwrap_or("all")
                )
            }
            Request::Flush { holder } => write!(f, "flush {holder}"),
            Request::Lift { holder } => write!(f, "flush {holder} at once"),
            Request::Start { holder } => write!(f, "start {holder}"),
            Request::Stop { holder } => write!(f, "stop {holder}"),
            Request::Check { holder } => write!(f, "check {holder}"),
            other => write!(f, "{other:?}"),
        }
    }
}

fn say(text: &str) -> ExitCode {
    // Whoever closed the pipe does not want to know; what was asked is done all the same.
    writeln!(io::stdout(), "{text}").ok();
    ExitCode::SUCCESS
}

/// One line on the standard error output, which fail2ban copies to its log.
fn complain(what: fmt::Arguments<'_>, status: u8) -> ExitCode {
    // The daemon's message can repeat what an attacker sent, so all of it is made safe here.
    writeln!(
        io::stderr(),
        "nicban-action: {}",
        quote::line(&what.to_string())
    )
    .ok();
    ExitCode::from(status)
}
