//! The index in front of the maps of bans says what they say.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use nicban_tests::datapath::{
    Datapath,
    Verdict::{Drop, Pass},
    boot_ns,
};
use nicban_tests::packet::Shape;

use crate::pair::from;

const HOUR: u64 = 3_600_000_000_000;

/// The nth address, or IPv6 network, of a crowd.
fn nth(v6: bool, n: u32) -> IpAddr {
    if v6 {
        let upper = (0x2001_0db8_u128 << 32) + u128::from(n);
        IpAddr::V6(Ipv6Addr::from((upper << 64) + 9))
    } else {
        IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n))
    }
}

fn ban_of(source: IpAddr) -> IpNet {
    let bits = if source.is_ipv4() { 32 } else { 64 };
    IpNet::new(source, bits).unwrap().trunc()
}

/// Judges every `step`th of the crowd.
fn judged(datapath: &mut Datapath, v6: bool, crowd: u32, step: u32) -> BTreeMap<bool, u32> {
    let mut verdicts = BTreeMap::new();
    for n in (0..crowd).filter(|n| n.is_multiple_of(step)) {
        let verdict = datapath.run(&Shape::from(nth(v6, n)).frame()).unwrap();
        *verdicts.entry(verdict == Drop).or_default() += 1;
    }
    verdicts
}

#[test]
fn a_crowd_is_dropped_while_the_index_grows_and_shrinks() {
    const CROWD: u32 = 20_000;
    const STEP: u32 = 40;
    const JUDGED: u32 = CROWD / STEP;
    for v6 in [false, true] {
        let mut datapath = Datapath::load_with(|options| options.max_bans = CROWD).unwrap();
        let end = boot_ns().unwrap() + HOUR;
        for n in 0..CROWD {
            let end = if n % 2 == 0 { 0 } else { end };
            datapath.tables.put(&ban_of(nth(v6, n)), end).unwrap();
        }
        assert_eq!(
            judged(&mut datapath, v6, CROWD, STEP),
            BTreeMap::from([(true, JUDGED)])
        );
        assert_eq!(
            datapath.run(&Shape::from(nth(v6, CROWD)).frame()).unwrap(),
            Pass
        );
        // A daemon's restart makes the index anew.
        let mut datapath = datapath.reload(|_| ()).unwrap();
        assert_eq!(
            judged(&mut datapath, v6, CROWD, STEP),
            BTreeMap::from([(true, JUDGED)])
        );
        for n in (0..CROWD).filter(|n| !n.is_multiple_of(8 * STEP)) {
            datapath.tables.remove(&ban_of(nth(v6, n))).unwrap();
        }
        datapath.tables.tend(u64::MAX).unwrap();
        assert_eq!(
            judged(&mut datapath, v6, CROWD, STEP),
            BTreeMap::from([
                (true, JUDGED.div_ceil(8)),
                (false, JUDGED - JUDGED.div_ceil(8))
            ])
        );
    }
}

#[test]
fn what_no_line_can_hold_is_dropped_all_the_same() {
    let mut datapath = Datapath::load().unwrap();
    for (ban, source) in [("0.0.0.0", "0.0.0.0"), ("::/64", "::9")] {
        let frame = from(source).frame();
        assert_eq!(datapath.run(&frame).unwrap(), Pass, "{source}");
        datapath.ban(ban).unwrap();
        assert_eq!(datapath.run(&frame).unwrap(), Drop, "{source}");
        datapath.unban(ban).unwrap();
        assert_eq!(datapath.run(&frame).unwrap(), Pass, "{source}");
    }
}

#[test]
fn a_ban_that_the_index_holds_ends_with_the_map() {
    let mut datapath = Datapath::load().unwrap();
    datapath.ban("203.0.113.9").unwrap();
    let sources = ["203.0.113.7", "2001:db8:0:7::7"];
    for source in sources {
        let ban = ban_of(source.parse().unwrap());
        let end = boot_ns().unwrap() + 300_000_000;
        datapath.tables.put(&ban, end).unwrap();
        let frame = from(source).frame();
        assert_eq!(datapath.run(&frame).unwrap(), Drop, "{source}");
        while boot_ns().unwrap() < end {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_eq!(datapath.run(&frame).unwrap(), Pass, "{source}");
        // Another daemon finds it ended in the map, and does not put it back.
        datapath = datapath.reload(|_| ()).unwrap();
        assert_eq!(datapath.run(&frame).unwrap(), Pass, "{source}");
        // Prolonged, it is in force again.
        datapath.tables.put(&ban, 0).unwrap();
        assert_eq!(datapath.run(&frame).unwrap(), Drop, "{source}");
    }
    assert_eq!(datapath.run(&from("203.0.113.9").frame()).unwrap(), Drop);
}

#[test]
fn a_daemon_that_starts_takes_in_what_only_the_map_has() {
    let mut datapath = Datapath::load().unwrap();
    datapath.ban("203.0.113.7").unwrap();
    let frame = from("203.0.113.9").frame();
    // Somebody else writes to the map: the index can't know.
    let pin = datapath.pins().join("bans_v4");
    let update = format!(
        "map update pinned {} key 203 0 113 9 value 0 0 0 0 0 0 0 0",
        pin.display()
    );
    nicban_tests::process::run(
        std::process::Command::new("bpftool").args(update.split_whitespace()),
    )
    .unwrap();
    assert_eq!(datapath.run(&frame).unwrap(), Pass);
    let mut datapath = datapath.reload(|_| ()).unwrap();
    assert_eq!(datapath.run(&frame).unwrap(), Drop);
}
