//! Bans as a table.

use nicban_protocol::{BanRow, Holder};

use super::human;
use super::table::{Column, table};

/// `nicban list`: a row for each ban, loudness and reasons beside.
pub fn list(bans: &[BanRow], now: i64) -> String {
    if bans.is_empty() {
        return "No bans.\n".to_owned();
    }
    let columns = [
        Column::Left("ADDRESS"),
        Column::Left("ENDS"),
        Column::Left("WHERE"),
        Column::Right("RATE"),
        Column::Right("PACKETS"),
        Column::Right("BYTES"),
        Column::Left("WHY"),
    ];
    table(
        0,
        &columns,
        bans.iter().map(|ban| {
            [
                ban.address.clone(),
                human::until(end(&ban.holders), now),
                if ban.in_nacl { "NACL" } else { "XDP" }.to_owned(),
                human::rate(ban.dropped.rate),
                human::count(ban.dropped.packets),
                human::bytes(ban.dropped.bytes),
                why(&ban.holders),
            ]
        }),
    )
}

/// When the last holder lets go; `None` is never.
fn end(holders: &[Holder]) -> Option<i64> {
    let mut latest = i64::MIN;
    for holder in holders {
        latest = latest.max(holder.until?);
    }
    // Without a holder there is no ban: it is over.
    Some(latest)
}

/// Who banned it, and for what.
pub(super) fn why(holders: &[Holder]) -> String {
    let reasons: Vec<String> = holders.iter().map(one_reason).collect();
    reasons.join("; ")
}

fn one_reason(holder: &Holder) -> String {
    let mut facts = Vec::new();
    if holder.failures > 0 {
        facts.push(human::plural(holder.failures.into(), "failure", "failures"));
    }
    if holder.bancount > 1 {
        facts.push(format!(
            "{} times banned",
            human::count(holder.bancount.into())
        ));
    }
    if let Some(reason) = &holder.reason {
        facts.push(reason.clone());
    }
    if facts.is_empty() {
        holder.name.clone()
    } else {
        format!("{} ({})", holder.name, facts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use nicban_protocol::{BanRow, Dropped, Holder};

    use super::list;

    fn holder(name: &str, until: Option<i64>) -> Holder {
        Holder {
            name: name.to_owned(),
            since: 0,
            until,
            bancount: 1,
            failures: 0,
            reason: None,
        }
    }

    #[test]
    fn a_row_for_each_ban() {
        let bans = [
            BanRow {
                address: "192.0.2.7".to_owned(),
                holders: vec![
                    Holder {
                        failures: 5,
                        bancount: 3,
                        ..holder("sshd", Some(700))
                    },
                    Holder {
                        reason: Some("scanner".to_owned()),
                        ..holder("manual", Some(400))
                    },
                ],
                in_nacl: true,
                dropped: Dropped {
                    packets: 12_345,
                    bytes: 1_048_576,
                    rate: 250.4,
                },
            },
            BanRow {
                address: "2001:db8::/64".to_owned(),
                holders: vec![holder("manual", None), holder("sshd", Some(400))],
                in_nacl: false,
                dropped: Dropped::default(),
            },
        ];
        assert_eq!(
            list(&bans, 100),
            "\
ADDRESS        ENDS    WHERE   RATE  PACKETS    BYTES  WHY
192.0.2.7      in 10m  NACL   250/s   12,345  1.0 MiB  sshd (5 failures, 3 times banned); manual (scanner)
2001:db8::/64  never   XDP      0/s        0      0 B  manual; sshd
"
        );
    }

    #[test]
    fn an_empty_list_says_so() {
        assert_eq!(list(&[], 0), "No bans.\n");
    }
}
