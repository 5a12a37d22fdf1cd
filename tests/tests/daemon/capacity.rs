//! Maps that are full.

use anyhow::Result;
use nicban_protocol::{Ban, RefusalKind, Request};
use nicban_tests::daemon::Site;

use crate::now;

fn ban(address: &str) -> Request {
    Request::Ban(Ban {
        holder: "sshd".to_owned(),
        address: address.to_owned(),
        time: now(),
        bantime: 600,
        bancount: 1,
        failures: 5,
        restored: false,
        reason: None,
    })
}

#[test]
fn a_full_map_refuses_and_keeps_what_it_has() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let config = site
        .config()
        .set("xdp", "max_bans", "4")
        .set("xdp", "max_nets", "16");
    let daemon = site.start(&config)?;
    for (key, map, make) in [
        (
            "max_bans",
            "bans_v4",
            &(|n: u8| (format!("198.51.100.{n}"), format!("198.51.100.{n}")))
                as &dyn Fn(u8) -> (String, String),
        ),
        ("max_bans", "bans_v6", &|n| {
            (
                format!("2001:db8:bad:{n}::1"),
                format!("2001:db8:bad:{n}::2"),
            )
        }),
        ("max_nets", "nets_v4", &|n| {
            (format!("10.{n}.0.0/16"), format!("10.{n}.3.4"))
        }),
        ("max_nets", "nets_v6", &|n| {
            (
                format!("2001:db8:{n}00::/48"),
                format!("2001:db8:{n}00:4::1"),
            )
        }),
    ] {
        let room = if key == "max_bans" { 4 } else { 16 };
        for n in 1..=room {
            daemon.does(&ban(&make(n).0))?;
        }
        let (extra, source) = make(room + 1);
        let refusal = daemon.refuses(&ban(&extra))?;
        assert_eq!(refusal.kind, RefusalKind::Full, "{refusal:?}");
        assert!(
            refusal.message.contains(key),
            "{key} is not named: {}",
            refusal.message
        );
        site.nicban(&["ban", &extra])?.with_code(1)?;
        wire.arrives(&source)?;
        for n in [1, 2, room] {
            wire.blocked(&make(n).1)?;
        }
        // Another holder of what is there needs no room.
        daemon.ban("nginx", &make(1).0, now(), 600)?;
        let status = daemon.status()?;
        let fill = status.maps.iter().find(|fill| fill.map == map).unwrap();
        let room = u64::from(room);
        assert_eq!((fill.entries, fill.capacity), (room, room));
        let page = site.nicban(&["status"])?.well()?;
        assert!(
            page.contains(&format!("!! map {map} is 100 % full")),
            "{page}"
        );

        daemon.unban("sshd", &make(2).0)?;
        wire.arrives(&make(2).1)?;
        daemon.does(&ban(&extra))?;
        wire.blocked(&source)?;
    }
    Ok(())
}

#[test]
fn smaller_maps_leave_bans_out_and_say_so() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    for n in 1..=6 {
        daemon.does(&ban(&format!("198.51.100.{n}")))?;
    }
    daemon.stop()?;
    let daemon = site.start(&site.config().set("xdp", "max_bans", "4"))?;
    let status = daemon.status()?;
    assert_eq!(status.bans, 4);
    let warning = status
        .warnings
        .iter()
        .find(|line| line.contains("max_bans"));
    assert!(
        warning.is_some_and(|line| line.starts_with("2 stored bans")),
        "{status:?}"
    );
    daemon.stop()?;
    // None was forgotten.
    let daemon = site.start(&site.config())?;
    assert_eq!(daemon.status()?.warnings, [""; 0]);
    for n in 1..=6 {
        wire.blocked(&format!("198.51.100.{n}"))?;
    }
    assert_eq!(daemon.status()?.bans, 6);
    Ok(())
}
