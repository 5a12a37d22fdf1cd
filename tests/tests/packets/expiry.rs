//! The kernel's own expiry: the dead-man that ends a ban when nobody else does.

use std::time::Duration;

use nicban_tests::datapath::{
    Datapath,
    Verdict::{Drop, Pass},
    boot_ns, net,
};
use nicban_tests::wait;

use crate::pair::{expect, frames};

/// Each map of bans by one of its networks, with a source in it.
const BANS: [(&str, &str); 4] = [
    ("203.0.113.9", "203.0.113.9"),
    ("198.51.100.0/24", "198.51.100.9"),
    ("2001:db8::/64", "2001:db8::9"),
    ("2001:db9::/48", "2001:db9::9"),
];

const HOUR: u64 = 3_600_000_000_000;

#[test]
fn a_ban_holds_until_its_end_and_one_without_end_for_ever() {
    let mut datapath = Datapath::load().unwrap();
    for (network, source) in BANS {
        let (network, source) = (net(network).unwrap(), frames(&[source]));
        let now = boot_ns().unwrap();
        for (end, verdict) in [
            (now + HOUR, Drop),
            (now, Pass),
            (0, Drop),
            (1, Pass),
            (u64::MAX, Drop),
        ] {
            datapath.tables.put(&network, end).unwrap();
            let found = datapath.run(&source[0]).unwrap();
            assert_eq!(found, verdict, "{network} until {end}, now {now}");
        }
    }
}

#[test]
fn a_ban_ends_by_the_kernels_clock_with_nobody_touching_the_maps() {
    let mut datapath = Datapath::load().unwrap();
    let end = boot_ns().unwrap() + 1_000_000_000;
    for (network, _) in BANS {
        datapath.tables.put(&net(network).unwrap(), end).unwrap();
    }
    for (network, source) in BANS {
        let source = &frames(&[source])[0];
        let mut last_drop = 0;
        let first_pass = wait::until("the ban ends", Duration::from_secs(20), || {
            // Read on the side where it can only make the check below stricter.
            let before = boot_ns()?;
            let verdict = datapath.run(source)?;
            if verdict == Drop {
                last_drop = before;
                return Ok(None);
            }
            assert_eq!(verdict, Pass);
            Ok(Some(boot_ns()?))
        })
        .unwrap();
        assert!(last_drop < end, "{network} was dropped after its end");
        assert!(first_pass >= end, "{network} passed before its end");
    }
    assert_eq!(datapath.tables.bans().unwrap().len(), BANS.len());
}

#[test]
fn a_ban_that_has_ended_can_be_put_again() {
    let mut datapath = Datapath::load().unwrap();
    for (network, source) in BANS {
        let (network, source) = (net(network).unwrap(), frames(&[source]));
        datapath.tables.put(&network, 1).unwrap();
        expect(&mut datapath, Pass, &source);
        datapath
            .tables
            .put(&network, boot_ns().unwrap() + HOUR)
            .unwrap();
        expect(&mut datapath, Drop, &source);
    }
}
