//! What `fail2ban-client` prints, read.
//!
//! It writes times in the local zone of fail2ban's server, without saying which: the zone comes
//! from the caller. Made from fail2ban 1.0.2 and 1.1.0 (`BanManager.getBanList` in
//! `server/banmanager.py`, `client/beautifier.py`).

use std::collections::BTreeMap;

use ipnet::IpNet;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use nicban_protocol::PERMANENT;

use crate::target::parse_network;

/// How fail2ban calls an action that comes from `action.d/nicban.conf`.
const ACTION: &str = "nicban";

/// A ban as fail2ban has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sentence {
    /// When it began, in whole seconds since the Unix epoch: fail2ban cuts fractions off.
    pub since: i64,
    /// When it ends; `None` is never.
    pub until: Option<i64>,
}

/// A jail's bans.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Banned {
    /// Those of addresses and networks.
    pub sentences: BTreeMap<IpNet, Sentence>,
    /// Lines that are none, such as bans of what is no address.
    pub others: Vec<String>,
}

/// Reads `get JAIL banip --with-time`: a ban a line, as
/// `192.0.2.1 <TAB>2026-01-31 12:00:00 + 600 = 2026-01-31 12:10:00`.
pub fn banned(text: &str, zone: &TimeZone) -> Banned {
    let mut banned = Banned::default();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        match ban(line, zone) {
            Some((network, sentence)) => {
                banned.sentences.insert(network, sentence);
            }
            None => banned.others.push(line.to_owned()),
        }
    }
    banned
}

fn ban(line: &str, zone: &TimeZone) -> Option<(IpNet, Sentence)> {
    let (id, times) = line.rsplit_once('\t')?;
    let network = parse_network(id.trim_end()).ok()?;
    let (begin, rest) = times.split_once(" + ")?;
    let (bantime, end) = rest.split_once(" = ")?;
    let bantime: i64 = bantime.parse().ok()?;
    let begins = instants(begin, zone)?;
    if bantime == PERMANENT {
        let since = begins[1];
        let until = None;
        return Some((network, Sentence { since, until }));
    }
    if bantime < 0 {
        return None;
    }
    // In the hour that a clock is set back a time means two instants; the end tells which one
    // is meant. Where it does not, the later one: fail2ban lifts its bans itself, and none must
    // end before.
    // fail2ban writes the last second of 9999 for what lies beyond it, and so far it is no instant.
    let ends = instants(end, zone).unwrap_or_default();
    let [earlier, later] = begins;
    let fits = |begin: i64| ends.contains(&begin.saturating_add(bantime));
    let since = if fits(earlier) && !fits(later) {
        earlier
    } else {
        later
    };
    let until = Some(since.saturating_add(bantime));
    Some((network, Sentence { since, until }))
}

/// The instants that a local time may mean, in seconds since the Unix epoch: the earlier one, and
/// the later one, mostly the same.
fn instants(text: &str, zone: &TimeZone) -> Option<[i64; 2]> {
    let local: DateTime = text.parse().ok()?;
    let at = zone.to_ambiguous_timestamp(local);
    if let AmbiguousOffset::Gap { .. } = at.offset() {
        return None;
    }
    let earlier = at.earlier().ok()?.as_second();
    let later = at.later().ok()?.as_second();
    Some([earlier, later])
}

/// Reads `status`: the jails.
pub fn jails(text: &str) -> Vec<String> {
    listed(
        text.lines()
            .find_map(|line| line.split_once("Jail list:"))
            .map_or("", |(_, list)| list),
    )
}

/// Reads `get JAIL actions`: whether nicban is among them.
pub fn has_nicban(text: &str) -> bool {
    let names = text
        .split_once("has the following actions:\n")
        .map_or("", |(_, names)| names);
    listed(names).iter().any(|name| name == ACTION)
}

fn listed(text: &str) -> Vec<String> {
    let names = text.split(',').map(str::trim);
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn berlin() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn one(line: &str, zone: &TimeZone) -> Sentence {
        let banned = banned(line, zone);
        assert_eq!(banned.others, [""; 0]);
        *banned.sentences.values().next().unwrap()
    }

    #[test]
    fn bans_of_all_kinds_are_read() {
        let text = "192.0.2.1 \t2026-01-31 12:00:00 + 600 = 2026-01-31 12:10:00\n\
                    2001:db8::7 \t2026-01-31 12:00:01 + -1 = 9999-12-31 23:59:59\n\
                    198.51.100.0/24 \t2026-01-31 12:00:02 + 999999999999 = 9999-12-31 23:59:59\n";
        let read = banned(text, &TimeZone::UTC);
        assert_eq!(read.others, [""; 0]);
        let noon = 1_769_860_800;
        let wanted = [
            ("192.0.2.1/32", noon, Some(noon + 600)),
            (
                "198.51.100.0/24",
                noon + 2,
                Some(noon + 2 + 999_999_999_999),
            ),
            ("2001:db8::7/128", noon + 1, None),
        ];
        let wanted = wanted.map(|(network, since, until)| {
            (network.parse::<IpNet>().unwrap(), Sentence { since, until })
        });
        assert_eq!(read.sentences.into_iter().collect::<Vec<_>>(), wanted);
        assert_eq!(banned("", &TimeZone::UTC), Banned::default());
    }

    #[test]
    fn what_is_no_ban_of_an_address_is_left_out() {
        for line in [
            "root \t2026-01-31 12:00:00 + 600 = 2026-01-31 12:10:00",
            "--help \t2026-01-31 12:00:00 + 600 = 2026-01-31 12:10:00",
            "192.0.2.1 2026-01-31 12:00:00 + 600 = 2026-01-31 12:10:00",
            "192.0.2.1 \t2026-01-31 12:00:00 + -7 = 2026-01-31 12:10:00",
            "192.0.2.1 \tyesterday + 600 = 2026-01-31 12:10:00",
            "192.0.2.1 \t2026-01-31 12:00:00 + 600",
            "Sorry but the jail 'x' does not exist",
        ] {
            let read = banned(line, &TimeZone::UTC);
            assert_eq!(
                (read.sentences.len(), &read.others[..]),
                (0, &[line.to_owned()][..])
            );
        }
    }

    #[test]
    fn the_zone_is_the_servers() {
        let winter = one(
            "192.0.2.1 \t2026-01-31 13:00:00 + 60 = 2026-01-31 13:01:00",
            &berlin(),
        );
        assert_eq!(winter.since, 1_769_860_800);
        let summer = one(
            "192.0.2.1 \t2026-07-01 14:00:00 + 60 = 2026-07-01 14:01:00",
            &berlin(),
        );
        assert_eq!(summer.since, 1_782_907_200);
    }

    #[test]
    fn a_time_that_comes_twice_is_told_by_the_end() {
        // On 2026-10-25 at 03:00 it is 02:00 again: 01:00 UTC.
        let set_back = 1_792_890_000;
        let before = one(
            "192.0.2.1 \t2026-10-25 02:30:00 + 7200 = 2026-10-25 03:30:00",
            &berlin(),
        );
        assert_eq!(before.since, set_back - 1800);
        let after = one(
            "192.0.2.1 \t2026-10-25 02:30:00 + 7200 = 2026-10-25 04:30:00",
            &berlin(),
        );
        assert_eq!(after.since, set_back + 1800);
        // Both would do: the later one.
        let either = one(
            "192.0.2.1 \t2026-10-25 02:30:00 + 60 = 2026-10-25 02:31:00",
            &berlin(),
        );
        assert_eq!(either.since, set_back + 1800);
        let across = one(
            "192.0.2.1 \t2026-10-25 01:30:00 + 7200 = 2026-10-25 02:30:00",
            &berlin(),
        );
        assert_eq!(across.until, Some(set_back + 1800));
    }

    #[test]
    fn jails_and_their_actions_are_read() {
        let status = "Status\n|- Number of jail:\t2\n`- Jail list:\tsshd, my web\n";
        assert_eq!(jails(status), ["sshd", "my web"]);
        assert_eq!(
            jails("Status\n|- Number of jail:\t0\n`- Jail list:\t\n"),
            [""; 0]
        );
        assert!(has_nicban(
            "The jail sshd has the following actions:\nmail, nicban\n"
        ));
        assert!(!has_nicban(
            "The jail nicban has the following actions:\nnftables\n"
        ));
        assert!(!has_nicban("No actions for jail nicban\n"));
    }

    proptest! {
        #[test]
        fn nothing_that_is_printed_makes_it_panic(text in "[ -~\t\n]{0,200}") {
            banned(&text, &TimeZone::UTC);
            jails(&text);
            has_nicban(&text);
        }

        #[test]
        fn every_ban_is_read_as_it_was_printed(
            address in any::<std::net::IpAddr>(), since in 0_i64..4_000_000_000, bantime in 0_i64..100_000_000,
        ) {
            let zone = berlin();
            let local = |at: i64| {
                let at = jiff::Timestamp::from_second(at).unwrap();
                zone.to_datetime(at).to_string().replace('T', " ")
            };
            let line = format!("{address} \t{} + {bantime} = {}", local(since), local(since + bantime));
            let read = one(&line, &zone);
            let hour = 3600;
            prop_assert!(read.since == since || read.since == since + hour, "{line}: {read:?}");
            prop_assert_eq!(read.until, Some(read.since + bantime));
        }
    }
}
