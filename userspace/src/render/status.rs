//! The status page: what an administrator must see at a glance.

use std::net::IpAddr;

use ipnet::IpNet;
use nicban_protocol::{
    AttachMode, Attachment, BanRow, FamilyCounters, Fill, Mode, NaclEntry, Status,
};

use super::table::{Column, table};
use super::{bans, human, nacl};

/// A map that is this full deserves a look, in percent.
const NEARLY_FULL: u64 = 80;

/// `nicban status`. What needs someone comes first, marked with `!!`.
pub fn page(status: &Status, now: i64) -> String {
    let sections = [
        head(status),
        interfaces(&status.attachments),
        traffic(status),
        offenders(status, now),
        nacl::section(&status.nacl, now),
        maps(&status.maps),
    ];
    let sections: Vec<String> = sections.into_iter().filter(|s| !s.is_empty()).collect();
    sections.join("\n")
}

fn head(status: &Status) -> String {
    let mode = match status.mode {
        Mode::Enforce => "enforcing",
        Mode::Observe => "OBSERVING",
    };
    let bans = human::plural(status.bans, "ban", "bans");
    let mut text = format!("nicban {}  {mode}  {bans}\n", status.version);
    let mut alarms = Vec::new();
    if status.mode == Mode::Observe {
        alarms.push("observe mode: nothing is dropped; to drop: nicban enforce".to_owned());
    }
    if !status.attachments.iter().any(|a| a.mode.is_some()) {
        alarms.push("attached to no interface: nothing is dropped; try: nicban attach".to_owned());
    }
    for attachment in &status.attachments {
        alarms.extend(alarm(attachment));
    }
    alarms.extend(status.maps.iter().filter_map(fill_alarm));
    alarms.extend(status.warnings.iter().cloned());
    text.extend(alarms.iter().map(|alarm| format!("!! {alarm}\n")));
    text
}

fn alarm(attachment: &Attachment) -> Option<String> {
    let left = attachment.confirm_within_s?;
    Some(format!(
        "{} is detached again in {} unless confirmed: nicban confirm",
        attachment.interface,
        human::duration(left)
    ))
}

fn fill_alarm(fill: &Fill) -> Option<String> {
    let share = u128::from(fill.entries) * 100 / u128::from(fill.capacity.max(1));
    let counters = fill.map.starts_with("hits");
    // The counters' maps are meant to be full in a flood from many.
    (share >= u128::from(NEARLY_FULL) && !counters).then(|| {
        format!(
            "map {} is {} full: when it is, bans are refused; raise max_bans or max_nets",
            fill.map,
            human::percent(fill.entries, fill.capacity)
        )
    })
}

fn interfaces(attachments: &[Attachment]) -> String {
    if attachments.is_empty() {
        return String::new();
    }
    let columns = [Column::Left("INTERFACE"), Column::Left("XDP")];
    table(
        0,
        &columns,
        attachments.iter().map(|attachment| {
            let mode = match attachment.mode {
                Some(AttachMode::Native) => "native",
                Some(AttachMode::Generic) => "GENERIC (slow)",
                None => "NOT ATTACHED",
            };
            [attachment.interface.as_str(), mode]
        }),
    )
}

fn traffic(status: &Status) -> String {
    let columns = [
        Column::Left("PACKETS"),
        Column::Right("PASSED"),
        Column::Right("DROPPED"),
        Column::Right("BYTES DROPPED"),
        Column::Right("WOULD DROP"),
        Column::Right("ALLOWED"),
        Column::Right("UNPARSED"),
        Column::Right("UNTRACKED"),
    ];
    let row = |name: &str, counters: &FamilyCounters| {
        [
            name.to_owned(),
            human::count(counters.passed),
            human::count(counters.dropped),
            human::bytes(counters.dropped_bytes),
            human::count(counters.would_drop),
            human::count(counters.allowed),
            human::count(counters.unparsed),
            human::count(counters.untracked),
        ]
    };
    table(
        0,
        &columns,
        [
            row("IPv4", &status.ipv4),
            row("IPv6", &status.ipv6),
            row("other", &status.other),
        ],
    )
}

fn offenders(status: &Status, now: i64) -> String {
    if status.offenders.is_empty() {
        return String::new();
    }
    let columns = [
        Column::Left("OFFENDER"),
        Column::Left("DROPPED AT"),
        Column::Right("RATE"),
        Column::Right("PACKETS"),
        Column::Left("WHY"),
    ];
    table(
        0,
        &columns,
        status.offenders.iter().map(|ban| {
            let (place, rate) = place(ban, status, now);
            [
                ban.address.clone(),
                place,
                rate,
                human::count(ban.dropped.packets),
                bans::why(&ban.holders),
            ]
        }),
    )
}

/// Where an offender's packets end, and their rate: what the NACL drops can't be
/// counted, so an incumbent shows the rate that it had when last seen, or none where
/// slots go by failures.
fn place(ban: &BanRow, status: &Status, now: i64) -> (String, String) {
    let entry = status
        .nacl
        .entries
        .iter()
        .find(|entry| covers(entry, &ban.address));
    match entry {
        Some(entry) => (
            format!(
                "NACL rule {}, for {}",
                entry.number,
                human::since(entry.since, now)
            ),
            match entry.failures {
                Some(_) => "-".to_owned(),
                None => format!("was {}", human::rate(entry.rate)),
            },
        ),
        None if ban.in_nacl => ("NACL".to_owned(), human::rate(ban.dropped.rate)),
        None if status.mode == Mode::Observe => {
            ("nowhere".to_owned(), human::rate(ban.dropped.rate))
        }
        None => ("XDP".to_owned(), human::rate(ban.dropped.rate)),
    }
}

fn covers(entry: &NaclEntry, address: &str) -> bool {
    let Ok(denied) = entry.network.parse::<IpNet>() else {
        return false;
    };
    let network = match address.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => match address.parse::<IpNet>() {
            Ok(network) => network,
            Err(_) => return false,
        },
    };
    denied.contains(&network)
}

fn maps(maps: &[Fill]) -> String {
    if maps.is_empty() {
        return String::new();
    }
    let columns = [
        Column::Left("MAP"),
        Column::Right("ENTRIES"),
        Column::Right("ROOM FOR"),
        Column::Right("FULL"),
    ];
    table(
        0,
        &columns,
        maps.iter().map(|fill| {
            [
                fill.map.clone(),
                human::count(fill.entries),
                human::count(fill.capacity),
                human::percent(fill.entries, fill.capacity),
            ]
        }),
    )
}

#[cfg(test)]
#[path = "status_tests.rs"]
pub(super) mod tests;
