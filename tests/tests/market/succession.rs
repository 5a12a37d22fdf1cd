//! One goes quiet and loses its slot to one that rises, and comes back when it sends again.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Result, ensure};

use crate::scene::{SLOTS, Scene};

/// Far enough apart that no narrow network holds two.
const STEADY: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10));
const FITFUL: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 20));
const RISING: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 30));
const HONEST: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 200));

/// Packets/s. The steady one is the loudest all the time, and the rising one louder than
/// the fitful one only while that is quiet.
const STEADY_RATE: f64 = 400.0;
const FITFUL_RATE: f64 = 250.0;
const RISING_RATE: f64 = 100.0;
const HONEST_RATE: f64 = 20.0;

#[test]
fn slots_follow_who_is_loud() -> Result<()> {
    let offenders = [STEADY, FITFUL, RISING];
    let all = [STEADY, FITFUL, RISING, HONEST];
    let scene = Scene::new(&all)?;
    let arrived = scene.arrivals("arrived")?;
    arrived.watch(&all)?;
    for (from, rate) in all
        .into_iter()
        .zip([STEADY_RATE, FITFUL_RATE, RISING_RATE, HONEST_RATE])
    {
        scene.send(from, rate)?;
    }
    scene.wait("everyone's packets arrive", || {
        let counts = arrived.counts()?;
        Ok(counts.values().all(|packets| *packets > 0).then_some(()))
    })?;

    // Two are banned and hold both slots; the third one is quiet before it is banned too.
    scene.pace(RISING, 0.0)?;
    let leaked = scene.arrivals("leaked")?;
    for offender in [STEADY, FITFUL] {
        scene.ban(offender)?;
        leaked.watch(&[offender])?;
    }
    scene.wait_stopped_at_boundary(STEADY)?;
    scene.wait_stopped_at_boundary(FITFUL)?;
    scene.ban(RISING)?;
    leaked.watch(&[RISING])?;

    // One goes quiet, which nobody can see behind the boundary, and another rises: its
    // packets reach the bastion, and XDP, until it gets the slot.
    scene.pace(FITFUL, 0.0)?;
    scene.pace(RISING, RISING_RATE)?;
    scene.wait_stopped_at_boundary(RISING)?;
    ensure!(scene.stopped(RISING)?.by_xdp > 0, "it was never counted");
    scene.wait_stopped_at_boundary(STEADY)?;

    // The quiet one sends again. It has no slot: XDP drops it, and counts it.
    let quiet = scene.stopped(FITFUL)?;
    scene.pace(FITFUL, FITFUL_RATE)?;
    scene.wait("what was quiet is counted again", || {
        Ok((scene.stopped(FITFUL)?.by_xdp > quiet.by_xdp).then_some(()))
    })?;
    // So it gets a slot back, and the quietest of the three is left to XDP.
    scene.wait_stopped_at_boundary(FITFUL)?;
    scene.wait_dropped_by_xdp(RISING)?;
    scene.wait_stopped_at_boundary(STEADY)?;

    // All the while no banned packet arrived, and every honest one did.
    let leaked = leaked.counts()?;
    for offender in offenders {
        ensure!(leaked[&offender] == 0, "leaked: {leaked:?}");
    }
    let stopped = scene.stopped(HONEST)?;
    ensure!((stopped.at_boundary, stopped.by_xdp) == (0, 0));
    let before = arrived.count(HONEST)?;
    scene.wait("the honest one is served", || {
        Ok((arrived.count(HONEST)? > before).then_some(()))
    })?;

    // A swap is one call: only what was free was filled, and nothing was taken out first.
    let calls = scene.calls()?;
    let made = |action: &str| calls.get(action).and_then(|outcomes| outcomes.get("ok"));
    ensure!(
        made("CreateNetworkAclEntry") == Some(&u64::from(SLOTS)),
        "{calls:?}"
    );
    ensure!(made("DeleteNetworkAclEntry").is_none(), "{calls:?}");
    ensure!(made("ReplaceNetworkAclEntry").is_some(), "{calls:?}");
    Ok(())
}
