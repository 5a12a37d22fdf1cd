//! Bans and their end, by the operator's command and by fail2ban's action.

use anyhow::Result;
use nicban_protocol::{AttachMode, BanRow, Status};
use nicban_tests::daemon::{HONEST, Site};

use crate::now;

/// What is banned, as it is listed, a source within, and one just outside.
const CASES: [[&str; 4]; 5] = [
    [
        "198.51.100.7",
        "198.51.100.7",
        "198.51.100.7",
        "198.51.100.8",
    ],
    [
        "2001:db8:bad::5",
        "2001:db8:bad::/64",
        "2001:db8:bad::ffff:1",
        "2001:db8:bad:1::5",
    ],
    [
        "198.51.100.64/26",
        "198.51.100.64/26",
        "198.51.100.127",
        "198.51.100.128",
    ],
    [
        "2001:db8:bad::/48",
        "2001:db8:bad::/48",
        "2001:db8:bad:ffff::1",
        "2001:db8:bae::1",
    ],
    [
        "::ffff:198.51.100.7",
        "198.51.100.7",
        "198.51.100.7",
        "198.51.100.6",
    ],
];

fn listed(site: &Site) -> Result<Vec<BanRow>> {
    Ok(serde_json::from_str(
        &site.nicban(&["list", "--json"])?.well()?,
    )?)
}

#[test]
fn the_operator_bans_and_unbans() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let _daemon = site.start(&site.config())?;
    for [given, shown, within, outside] in CASES {
        wire.arrives(within)?;
        let said = site.nicban(&["ban", given, "--reason", "a test"])?.well()?;
        assert!(said.contains("is banned for 1h"), "{said}");
        wire.blocked(within)?;
        wire.arrives(outside)?;
        let rows = listed(&site)?;
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert_eq!(rows[0].address, shown);
        let holder = &rows[0].holders[0];
        assert_eq!(
            (holder.name.as_str(), holder.reason.as_deref()),
            ("manual", Some("a test"))
        );
        assert_eq!(holder.until, Some(holder.since + 3600));
        let table = site.nicban(&["list"])?.well()?;
        assert!(table.contains(shown), "{table}");

        let said = site.nicban(&["unban", given])?.well()?;
        assert!(said.contains("no longer banned"), "{said}");
        wire.arrives(within)?;
        assert_eq!(listed(&site)?, []);
        let error = site.nicban(&["unban", given])?.with_code(1)?;
        assert!(error.contains("is not banned"), "{error}");
    }
    Ok(())
}

#[test]
fn fail2ban_bans_and_unbans() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let _daemon = site.start(&site.config())?;
    for [given, shown, within, outside] in CASES {
        let time = now().to_string();
        wire.arrives(within)?;
        site.action(&["ban", "--", "sshd", given, &time, "600", "3", "7", "0"])?
            .well()?;
        wire.blocked(within)?;
        wire.arrives(outside)?;
        let rows = listed(&site)?;
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert_eq!(rows[0].address, shown);
        let holder = &rows[0].holders[0];
        assert_eq!(
            (holder.name.as_str(), holder.bancount, holder.failures),
            ("sshd", 3, 7)
        );

        site.action(&["unban", "--", "sshd", given])?.well()?;
        wire.arrives(within)?;
        assert_eq!(listed(&site)?, []);
        // What has ended already may be let go of: fail2ban does so at its restart.
        site.action(&["unban", "--", "sshd", given])?.well()?;
    }
    Ok(())
}

#[test]
fn status_and_list_count_what_was_dropped() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    let (loud, quiet) = ("198.51.100.7", "2001:db8:bad::1");
    for address in [loud, quiet] {
        daemon.ban("sshd", address, now(), 600)?;
    }
    wire.send(loud.parse()?, 40)?;
    wire.send(quiet.parse()?, 10)?;
    wire.arrives(HONEST)?;
    daemon.until_status("all drops are counted", |status| {
        status.ipv4.dropped == 40 && status.ipv6.dropped == 10
    })?;
    let status: Status = serde_json::from_str(&site.nicban(&["status", "--json"])?.well()?)?;
    assert_eq!((status.ipv4.dropped, status.ipv6.dropped), (40, 10));
    assert_eq!(
        status.ipv4.dropped_bytes,
        40 * wire.frame_bytes(loud.parse()?)
    );
    assert_eq!(
        status.ipv6.dropped_bytes,
        10 * wire.frame_bytes(quiet.parse()?)
    );
    assert!(status.ipv4.passed >= 3, "{status:?}");
    assert_eq!((status.bans, status.warnings.as_slice()), (2, &[][..]));
    let attached: Vec<_> = status
        .attachments
        .iter()
        .map(|attached| (attached.interface.as_str(), attached.mode))
        .collect();
    assert_eq!(attached, [("eth0", Some(AttachMode::Native))]);
    let offenders: Vec<_> = status
        .offenders
        .iter()
        .map(|row| (row.address.as_str(), row.dropped.packets))
        .collect();
    assert_eq!(offenders, [(loud, 40), ("2001:db8:bad::/64", 10)]);
    assert!(status.offenders[0].dropped.rate > status.offenders[1].dropped.rate);
    let packets: Vec<_> = listed(&site)?
        .iter()
        .map(|row| row.dropped.packets)
        .collect();
    assert_eq!(packets, [40, 10]);

    let page = site.nicban(&["status"])?.well()?;
    for word in ["enforcing", "2 bans", "native", loud] {
        assert!(page.contains(word), "{word} is missing:\n{page}");
    }
    assert!(!page.contains("!!"), "{page}");
    Ok(())
}
