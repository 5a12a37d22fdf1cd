//! Verdict after verdict, as fast as the kernel gives them, while daemons start over and
//! over: each of them makes the index anew that these verdicts are read from.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ipnet::{IpNet, Ipv6Net};
use nicban::xdp::LoadOptions;
use nicban_ebpf::abi::Family;
use nicban_protocol::Mode;
use nicban_tests::datapath::Datapath;
use nicban_tests::packet::Shape;

use crate::scene::times;

/// Seconds of verdicts.
const LENGTH: (u32, u32) = (5, 60);

/// Verdicts between two looks whether it is over.
const ROUND: u32 = 100_000;

/// Bans of each family: enough for the index to take a while to be made anew.
const CROWD: u32 = 20_000;

const SOURCES: [(&str, Family); 2] = [("10.0.17.4", Family::V4), ("2001:db8:11:4::9", Family::V6)];

/// Bans a crowd, both [`SOURCES`] among it.
fn ban_the_crowd(datapath: &mut Datapath) -> Result<()> {
    let bans = (0..CROWD).flat_map(|number| {
        let [_, _, high, low] = number.to_be_bytes();
        let v4 = Ipv4Addr::from([10, 0, high, low]);
        let v6 = [0x2001, 0xdb8, high.into(), low.into(), 0, 0, 0, 0];
        let v6 = Ipv6Net::new(v6.into(), 64).ok();
        [Some(IpNet::from(IpAddr::from(v4))), v6.map(IpNet::V6)]
    });
    let bans: Vec<(IpNet, u64)> = bans.flatten().map(|network| (network, 0)).collect();
    Ok(datapath.tables.put_all(&bans)?)
}

/// Judges banned packets while successors load, each with the options of its turn.
fn no_verdict_is_wrong(name: &str, change: impl Fn(&mut LoadOptions, u32)) -> Result<()> {
    let mut first = Datapath::load_with(|options| options.max_bans = 2 * CROWD)?;
    ban_the_crowd(&mut first)?;
    // One loads, the other one judges: on the same pins, so with the same maps.
    let mut judging = first.successor(|_| ())?;
    let frames =
        SOURCES.map(|(source, _)| source.parse().map(|source| Shape::from(source).frame()));
    let frames: Vec<Vec<u8>> = frames.into_iter().collect::<Result<_, _>>()?;
    let over = AtomicBool::new(false);
    let length = Duration::from_secs(times(LENGTH.0, LENGTH.1).into());
    let (loads, verdicts) = thread::scope(|scope| -> Result<_> {
        let judge = scope.spawn(|| -> Result<u64> {
            let mut verdicts = 0;
            while !over.load(Ordering::Relaxed) {
                for frame in &frames {
                    judging.run_many(frame, ROUND)?;
                    verdicts += u64::from(ROUND);
                }
            }
            Ok(verdicts)
        });
        let end = Instant::now() + length;
        let mut loads = 0;
        let loaded = (|| -> Result<()> {
            while Instant::now() < end {
                let mut next = first.successor(|options| change(options, loads))?;
                next.tables.set_mode(Mode::Enforce)?;
                loads += 1;
            }
            Ok(())
        })();
        over.store(true, Ordering::Relaxed);
        let verdicts = judge.join().expect("the judge does not panic")?;
        loaded.map(|()| (loads, verdicts))
    })?;
    let mut passed = 0;
    for (_, family) in SOURCES {
        let counted = judging.verdicts(family)?;
        passed += counted.passed + counted.allowed + counted.would_drop + counted.unparsed;
    }
    println!("{name}: {verdicts} verdicts on banned packets, {loads} loads; {passed} passed");
    ensure!(loads > 1 && verdicts > 0, "nothing was tried");
    ensure!(passed == 0, "{passed} banned packets passed");
    Ok(())
}

#[test]
fn no_verdict_is_wrong_while_daemons_start_over_and_over() -> Result<()> {
    no_verdict_is_wrong("starts", |_, _| ())
}

#[test]
fn no_verdict_is_wrong_while_networks_maps_are_made_anew() -> Result<()> {
    no_verdict_is_wrong("other max_nets", |options, round| {
        options.max_nets = if round.is_multiple_of(2) { 128 } else { 64 };
    })
}
