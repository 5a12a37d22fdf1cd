//! A daemon that ends and comes back, under traffic that doesn't pause.

use anyhow::Result;
use nicban_tests::daemon::{HONEST, Site};

use crate::now;

const ROUNDS: usize = 3;

#[test]
fn no_packet_of_a_banned_source_gets_through_a_restart() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let mut daemon = site.start(&site.config())?;
    let banned = [
        "198.51.100.7",
        "203.0.113.5",
        "2001:db8:bad::1",
        "2001:db8:bed:1::1",
    ];
    for address in [
        "198.51.100.7",
        "203.0.113.0/25",
        "2001:db8:bad::1",
        "2001:db8:bed::/48",
    ] {
        daemon.ban("sshd", address, now(), 600)?;
    }
    let sources: Vec<&str> = banned.into_iter().chain([HONEST]).collect();
    let pins = site.pins();
    let (link, mut running) = pins.link("eth0")?;
    let traffic = wire.traffic(&sources)?;
    for round in 0..ROUNDS {
        for crash in [false, true] {
            if crash {
                daemon.kill()?;
            } else {
                daemon.stop()?;
            }
            // The program outlives the daemon.
            assert_eq!(pins.link("eth0")?, (link, running), "round {round}");
            traffic.go_on_for(200)?;
            daemon = site.start(&site.config())?;
            traffic.go_on_for(200)?;
            let (same, fresh) = pins.link("eth0")?;
            assert_eq!(same, link, "round {round}: the link is another");
            assert_ne!(
                fresh, running,
                "round {round}: the program was not replaced"
            );
            assert_eq!(fresh, pins.program_id()?);
            running = fresh;
        }
    }
    let sent = traffic.end()?;
    wire.arrives(HONEST)?;
    for source in banned {
        assert_eq!(
            wire.count(source.parse()?)?,
            0,
            "packets of {source}, of {sent}"
        );
    }
    assert_eq!(
        wire.count(HONEST.parse()?)?,
        sent + 3,
        "honest packets were lost"
    );

    // The counter is able to see them.
    for source in banned {
        daemon.does(&nicban_protocol::Request::Unban {
            address: match source {
                "203.0.113.5" => "203.0.113.0/25",
                "2001:db8:bed:1::1" => "2001:db8:bed::/48",
                address => address,
            }
            .to_owned(),
            holder: None,
        })?;
        wire.arrives(source)?;
    }
    Ok(())
}

#[test]
fn larger_maps_take_over_what_was_banned() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    let banned = ["198.51.100.7", "2001:db8:bad::1"];
    for address in banned {
        daemon.ban("sshd", address, now(), 600)?;
    }
    let traffic = wire.traffic(&[banned[0], banned[1], HONEST])?;
    traffic.go_on_for(100)?;
    daemon.stop()?;
    let daemon = site.start(&site.config().set("xdp", "max_bans", "8192"))?;
    traffic.go_on_for(200)?;
    let sent = traffic.end()?;
    wire.arrives(HONEST)?;
    for source in banned {
        assert_eq!(
            wire.count(source.parse()?)?,
            0,
            "packets of {source}, of {sent}"
        );
    }
    assert_eq!(wire.count(HONEST.parse()?)?, sent + 3);
    let maps = daemon.status()?.maps;
    assert!(
        maps.iter()
            .any(|map| map.map == "bans_v4" && map.capacity == 8192),
        "{maps:?}"
    );
    Ok(())
}
