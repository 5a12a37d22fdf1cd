//! `nicban ban`, `nicban unban`.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use nicban_protocol::{Ban, Outcome, PERMANENT, Request, Tally};

use super::link::Link;
use super::{Globals, import, output};
use crate::exit::Failure;
use crate::render::human;

/// The holder of the bans that an operator makes.
const HOLDER: &str = "manual";

/// A ban without a time: long enough to look into it, short enough that a
/// forgotten one does not stay for ever.
const DEFAULT: Duration = Duration::from_hours(1);

#[derive(Debug, clap::Args)]
pub(super) struct BanArgs {
    /// An address, or a network in CIDR notation
    #[arg(value_name = "ADDR|CIDR", value_parser = address)]
    address: String,
    /// How long, such as 90s, 10m, "1h 30m", 7d [default: 1h]
    #[arg(long = "for", value_name = "TIME", value_parser = sentence)]
    time: Option<Duration>,
    /// Until someone lifts it
    #[arg(long, conflicts_with = "time")]
    permanent: bool,
    /// For those who see the ban and wonder
    #[arg(long)]
    reason: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct UnbanArgs {
    /// An address, or a network in CIDR notation
    #[arg(value_name = "ADDR|CIDR", value_parser = address, required_unless_present = "all")]
    address: Option<String>,
    /// Only this holder's ban, such as a jail's [default: every holder's]
    #[arg(long, value_name = "NAME")]
    holder: Option<String>,
    /// All bans of the holder, such as import:NAME
    #[arg(long, requires = "holder", conflicts_with = "address")]
    all: bool,
}

pub(super) fn ban(globals: &Globals, args: BanArgs) -> Result<(), Failure> {
    let time = (!args.permanent).then(|| args.time.unwrap_or(DEFAULT));
    let address = args.address.clone();
    let request = request(args, time, output::now());
    let (outcome, note) = Link::new(globals)?.done(&request)?;
    output::text(&said(&address, outcome, time, note))
}

fn request(args: BanArgs, time: Option<Duration>, now: i64) -> Request {
    Request::Ban(Ban {
        holder: HOLDER.to_owned(),
        address: args.address,
        time: now,
        bantime: time.map_or(PERMANENT, |time| {
            i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
        }),
        bancount: 1,
        failures: 0,
        restored: false,
        reason: args.reason,
    })
}

pub(super) fn unban(globals: &Globals, args: UnbanArgs) -> Result<(), Failure> {
    let link = Link::new(globals)?;
    match (args.address, args.holder) {
        (Some(address), holder) => {
            let request = Request::Unban {
                address: address.clone(),
                holder,
            };
            let (outcome, note) = link.done(&request)?;
            output::text(&said(&address, outcome, None, note))
        }
        (None, Some(holder)) => {
            let Tally {
                lifted, still_held, ..
            } = import::unban_all(&link, &holder)?;
            output::text(&format!(
                "{holder} let go of {}: {lifted} are no longer banned, {still_held} are still banned by others\n",
                lifted + still_held
            ))
        }
        // clap asks for one of them.
        (None, None) => Ok(()),
    }
}

/// What happened, in a line.
fn said(address: &str, outcome: Outcome, time: Option<Duration>, note: Option<String>) -> String {
    let how_long = time.map_or_else(
        || "until it is lifted".to_owned(),
        |time| format!("for {}", human::duration(time.as_secs())),
    );
    let mut line = match outcome {
        Outcome::Enforced => format!("{address} is banned {how_long}"),
        Outcome::Prolonged => format!("{address} was banned already, and is now {how_long}"),
        Outcome::Unchanged => format!("{address}: nothing to change"),
        Outcome::Expired => format!("{address}: the ban is over already"),
        Outcome::Lifted => format!("{address} is no longer banned"),
        Outcome::StillHeld => {
            format!("{address} is still banned by another holder; see: nicban list {address}")
        }
        Outcome::Held | Outcome::Ok => format!("{address}: done"),
    };
    if let Some(note) = note {
        line.push_str("\n  ");
        line.push_str(&note);
    }
    line.push('\n');
    line
}

/// An address or a network, as written.
pub(super) fn address(written: &str) -> Result<String, String> {
    let is_one = written.parse::<IpAddr>().is_ok() || written.parse::<IpNet>().is_ok();
    if is_one {
        Ok(written.to_owned())
    } else {
        Err(
            "write an address or a network, such as 192.0.2.7, 198.51.100.0/24 or 2001:db8::/64; \
             names are not looked up"
                .to_owned(),
        )
    }
}

pub(super) fn sentence(written: &str) -> Result<Duration, String> {
    humantime::parse_duration(written)
        .ok()
        .filter(|time| time.as_secs() >= 1)
        .ok_or_else(|| {
            "write a time of at least 1s with its unit, such as 90s, 10m, \"1h 30m\" or 7d; \
             for ever is --permanent"
                .to_owned()
        })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nicban_protocol::{Outcome, PERMANENT, Request};

    use super::{BanArgs, request, said};

    fn args() -> BanArgs {
        BanArgs {
            address: "192.0.2.7".to_owned(),
            time: None,
            permanent: false,
            reason: Some("scanner".to_owned()),
        }
    }

    #[test]
    fn a_sentence_begins_now() {
        let Request::Ban(ban) = request(args(), Some(Duration::from_mins(10)), 1000) else {
            panic!("not a ban");
        };
        assert_eq!((ban.time, ban.bantime), (1000, 600));
        assert_eq!(ban.holder, "manual");
        assert_eq!(ban.reason.as_deref(), Some("scanner"));
        let Request::Ban(ban) = request(args(), None, 1000) else {
            panic!("not a ban");
        };
        assert_eq!(ban.bantime, PERMANENT);
    }

    #[test]
    fn what_happened_is_said_with_the_end() {
        let hour = Some(Duration::from_hours(1));
        assert_eq!(
            said("192.0.2.7", Outcome::Enforced, hour, None),
            "192.0.2.7 is banned for 1h\n"
        );
        assert_eq!(
            said(
                "192.0.2.7",
                Outcome::Enforced,
                None,
                Some("a note".to_owned())
            ),
            "192.0.2.7 is banned until it is lifted\n  a note\n"
        );
        assert!(
            said("192.0.2.7", Outcome::StillHeld, None, None).contains("nicban list 192.0.2.7")
        );
    }
}
