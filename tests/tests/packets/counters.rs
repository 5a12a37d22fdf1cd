//! Every packet is in the counters, once, with all its bytes.

use std::thread;
use std::time::Duration;

use nicban::rank::Counter;
use nicban_ebpf::abi::{CREDIT, Family, SAMPLED};
use nicban_protocol::FamilyCounters;
use nicban_tests::datapath::{Datapath, net};
use nicban_tests::packet::VLAN;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::pair::from;

#[test]
fn verdicts_are_counted_exactly_by_family() {
    for (source, other, family, absent) in [
        ("203.0.113.9", "203.0.113.10", Family::V4, Family::V6),
        ("2001:db8::9", "2001:db8:0:1::9", Family::V6, Family::V4),
    ] {
        let mut datapath = Datapath::load().unwrap();
        let ban = if family == Family::V4 {
            "203.0.113.9"
        } else {
            "2001:db8::/64"
        };
        datapath.ban(ban).unwrap();
        let dropped = from(source).payload(100).frame();
        let passed = from(other).frame();
        datapath.run_many(&dropped, 1_000).unwrap();
        datapath.run_many(&passed, 300).unwrap();
        datapath.run_many(&passed[..30], 20).unwrap();
        assert_eq!(
            datapath.verdicts(family).unwrap(),
            FamilyCounters {
                passed: 300,
                dropped: 1_000,
                dropped_bytes: 1_000 * dropped.len() as u64,
                unparsed: 20,
                ..FamilyCounters::default()
            }
        );
        for empty in [absent, Family::Other] {
            assert_eq!(datapath.verdicts(empty).unwrap(), FamilyCounters::default());
        }
    }
}

#[test]
fn hits_are_exact_by_the_ban_that_caught_the_packet() {
    let mut datapath = Datapath::load().unwrap();
    for (ban, source, times) in [
        ("203.0.113.9", "203.0.113.9", 11_u32),
        ("198.51.100.0/24", "198.51.100.7", 7),
        ("2001:db8:0:7::/64", "2001:db8:0:7::9", 5),
        ("2001:db9::/48", "2001:db9::9", 3),
        ("2001:dba::9/128", "2001:dba::9", 2),
    ] {
        datapath.ban(ban).unwrap();
        let small = from(source).frame();
        let large = from(source).payload(777).tagged(&[VLAN]).frame();
        datapath.run_many(&small, times).unwrap();
        datapath.run(&large).unwrap();
        let times = u64::from(times);
        assert_eq!(
            datapath.hits().unwrap()[&net(ban).unwrap()],
            Counter {
                packets: times + 1,
                bytes: times * small.len() as u64 + large.len() as u64,
            },
            "{ban}"
        );
    }
    assert_eq!(datapath.hits().unwrap().len(), 5);
}

#[test]
fn all_sources_of_a_banned_network_count_as_one_offender() {
    let mut datapath = Datapath::load().unwrap();
    datapath.ban("198.51.100.0/24").unwrap();
    datapath.ban("2001:db8:0:7::/64").unwrap();
    for host in 0..20 {
        for source in [
            format!("198.51.100.{host}"),
            format!("2001:db8:0:7::{host}"),
        ] {
            datapath.run(&from(&source).frame()).unwrap();
        }
    }
    let hits: Vec<(String, u64)> = datapath
        .hits()
        .unwrap()
        .iter()
        .map(|(network, counter)| (network.to_string(), counter.packets))
        .collect();
    assert_eq!(
        hits,
        [
            ("198.51.100.0/24".to_owned(), 20),
            ("2001:db8:0:7::/64".to_owned(), 20)
        ]
    );
}

#[test]
fn of_nested_bans_the_longest_is_the_one_that_counts() {
    let mut datapath = Datapath::load().unwrap();
    for ban in [
        "10.0.0.0/8",
        "10.1.0.0/16",
        "10.1.2.3",
        "2001:db8::/32",
        "2001:db8::/48",
    ] {
        datapath.ban(ban).unwrap();
    }
    for (source, caught_by) in [
        ("10.2.0.1", "10.0.0.0/8"),
        ("10.1.9.9", "10.1.0.0/16"),
        ("10.1.2.3", "10.1.2.3"),
        ("2001:db8:1::9", "2001:db8::/32"),
        ("2001:db8::9", "2001:db8::/48"),
    ] {
        datapath.run(&from(source).frame()).unwrap();
        let hits = datapath.hits().unwrap();
        assert_eq!(hits[&net(caught_by).unwrap()].packets, 1, "{source}");
    }
}

#[test]
fn two_cpus_at_once_lose_no_packet_and_no_byte() {
    const OFFENDERS: u8 = 50;
    // So few that each CPU counts them one by one.
    const ROUNDS: u64 = 50;
    const { assert!(ROUNDS * OFFENDERS as u64 <= CREDIT as u64) };
    let mut first = Datapath::load().unwrap();
    for host in 0..OFFENDERS {
        first.ban(&format!("203.0.113.{host}")).unwrap();
    }
    // The same maps behind another program, so that each thread has one.
    let mut second = first.successor(|_| ()).unwrap();
    let frames: Vec<Vec<u8>> = (0..OFFENDERS)
        .map(|host| from(&format!("203.0.113.{host}")).frame())
        .collect();
    let flood = |datapath: &mut Datapath, cpu: usize| {
        let mut cpus = CpuSet::new();
        cpus.set(cpu).unwrap();
        sched_setaffinity(Pid::from_raw(0), &cpus).unwrap();
        for _ in 0..ROUNDS {
            for frame in &frames {
                datapath.run(frame).unwrap();
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| flood(&mut first, 0));
        scope.spawn(|| flood(&mut second, 1));
    });
    let verdicts = first.verdicts(Family::V4).unwrap();
    assert_eq!(verdicts.untracked, 0);
    assert_eq!(verdicts.dropped, 2 * ROUNDS * u64::from(OFFENDERS));
    let hits = first.hits().unwrap();
    assert_eq!(hits.len(), usize::from(OFFENDERS));
    for (network, counter) in hits {
        let expected = Counter {
            packets: 2 * ROUNDS,
            bytes: 2 * ROUNDS * frames[0].len() as u64,
        };
        assert_eq!(counter, expected, "{network}");
    }
}

#[test]
fn a_dense_flood_is_counted_by_samples_that_come_close() {
    const EACH: u32 = 1_000_000;
    let mut datapath = Datapath::load().unwrap();
    let sources = ["203.0.113.1", "203.0.113.2", "2001:db8:0:1::1"];
    for source in sources {
        datapath.ban(source).unwrap();
        datapath.run_many(&from(source).frame(), EACH).unwrap();
    }
    // A sample stands for SAMPLED packets, and gaps are even between none and twice
    // that: the error's standard deviation is sqrt(EACH * SAMPLED / 3) at the most,
    // 4,619 packets. One run in two million is off by 5 of them.
    let deviation = (f64::from(EACH) * f64::from(SAMPLED) / 3.0).sqrt();
    for (network, counter) in datapath.hits().unwrap() {
        let counted = f64::from(u32::try_from(counter.packets).unwrap());
        let off = (counted - f64::from(EACH)).abs();
        assert!(off <= 5.0 * deviation, "{network}: {counter:?}");
        assert_eq!(counter.bytes % counter.packets, 0, "{network}: {counter:?}");
    }
    let verdicts = [Family::V4, Family::V6].map(|family| datapath.verdicts(family).unwrap());
    let dropped = verdicts.map(|verdicts| verdicts.dropped);
    assert_eq!(
        dropped,
        [2 * u64::from(EACH), u64::from(EACH)],
        "of these none is estimated"
    );
}

#[test]
fn what_comes_after_a_dense_flood_is_counted_one_by_one_again() {
    // A CPU owes CREDIT packets at the most, and a sample more: what comes back in 70 ms.
    const PAID: Duration = Duration::from_millis(300);
    let mut datapath = Datapath::load().unwrap();
    let mut cpus = CpuSet::new();
    cpus.set(0).unwrap();
    sched_setaffinity(Pid::from_raw(0), &cpus).unwrap();
    for (dense, sparse, ban) in [
        ("203.0.113.1", "203.0.113.2", "203.0.113.2"),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8:0:2::/64"),
    ] {
        datapath.ban(dense).unwrap();
        datapath.ban(ban).unwrap();
        datapath.run_many(&from(dense).frame(), 1_000_000).unwrap();
        thread::sleep(PAID);
        datapath.run_many(&from(sparse).frame(), 100).unwrap();
        let hits = datapath.hits().unwrap();
        let counted = hits.get(&net(ban).unwrap()).map(|it| it.packets);
        assert_eq!(counted, Some(100), "{sparse}: {hits:?}");
    }
}

#[test]
fn an_evicted_offender_starts_again_from_zero() {
    let mut datapath = Datapath::load().unwrap();
    for (ban, source) in [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8::/64", "2001:db8::9"),
    ] {
        let network = net(ban).unwrap();
        datapath.ban(ban).unwrap();
        datapath.run_many(&from(source).frame(), 9).unwrap();
        datapath.counters.evict(&network).unwrap();
        datapath.counters.evict(&network).unwrap();
        assert!(!datapath.hits().unwrap().contains_key(&network));
        datapath.run(&from(source).frame()).unwrap();
        assert_eq!(datapath.hits().unwrap()[&network].packets, 1);
    }
}
