//! Interfaces that go down, are made anew, or are plugged in, and a firewall that is flushed.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nicban_tests::daemon::{Daemon, HONEST, HONEST_V6, MAC_TEXT, Site};
use nicban_tests::wait;

use crate::scene::{PATIENCE, Scene, random, times, were_dropped};

/// How long an interface may be unguarded that did not exist a moment ago: from its first
/// packet to the last one of a banned source. What it takes is the way of one netlink
/// message to the daemon, four questions of the daemon's to the kernel, and the attach.
const WINDOW: Duration = Duration::from_secs(1);

/// How long packets may pass a veth pair whose own end comes up, as they did once in some
/// hundreds of flaps: the time between two lines of the kernel's (`__dev_open` in
/// net/core/dev.c, `veth_open` in drivers/net/veth.c), on a busy machine.
const FLAP: Duration = Duration::from_millis(25);

/// On each side.
const FLAPS: (u32, u32) = (20, 500);
const FLUSHES: (u32, u32) = (50, 1_000);
const ANEW: (u32, u32) = (10, 100);

#[test]
fn an_interface_that_goes_down_and_up_stays_guarded() -> Result<()> {
    let scene = Scene::new()?;
    let site = &scene.site;
    // By the default route, which goes with the interface and does not come back.
    let daemon = site.start(&site.config().set("xdp", "interfaces", "[]"))?;
    Scene::ban(&daemon)?;
    let link = site.pins().link("eth0")?;
    let mut random = random("flaps")?;
    let flaps = times(FLAPS.0, FLAPS.1);
    let (mut let_in, mut longest) = (0, Duration::ZERO);
    for (whose, side) in [
        ("the other side's", site.outside()),
        ("its own", site.host()),
    ] {
        scene.forget();
        let flood = scene.flood();
        flood.go_on_for(100)?;
        for _ in 0..flaps {
            scene.forget();
            side.ip(&["link", "set", "eth0", "down"])?;
            thread::sleep(Duration::from_millis(random.u64(0..20)));
            side.ip(&["link", "set", "eth0", "up"])?;
            flood.go_on_for(20)?;
            let_in += scene.leaked()?;
            longest = longest.max(scene.window()?);
            // Its own end: of what is in flight while the driver sets up its queues, veth lets
            // past XDP what comes between the kernel's note that it is up and its own.
            let bound = if whose == "its own" {
                FLAP
            } else {
                Duration::ZERO
            };
            let leaked = scene.leaked()?;
            ensure!(
                longest <= bound && (leaked == 0 || !bound.is_zero()),
                "{whose} end: {leaked} packets in {longest:?}"
            );
        }
        println!(
            "{flaps} flaps of {whose} end: {let_in} packets let in, at most within {longest:?}"
        );
        // Once it is up it is guarded.
        scene.forget();
        flood.go_on_for(500)?;
        scene.judge(flood)?.is_tight_but_for_the_cable()?;
    }
    ensure!(site.pins().link("eth0")? == link, "the link is another");
    ensure!(is_guarded(&daemon, "eth0")?, "{:?}", daemon.status());
    Ok(())
}

#[test]
fn a_firewall_that_is_flushed_opens_nothing() -> Result<()> {
    let scene = Scene::new()?;
    let site = &scene.site;
    let daemon = site.start(&site.config())?;
    Scene::ban(&daemon)?;
    let flood = scene.flood();
    let flushes = times(FLUSHES.0, FLUSHES.1);
    for _ in 0..flushes {
        let ruleset = "table inet filter { chain input { type filter hook input priority 0; }; }";
        site.host().run_with_input(&["nft", "-f", "-"], ruleset)?;
        site.host().run(&["nft", "flush", "ruleset"])?;
    }
    let left = site.host().run(&["nft", "list", "ruleset"])?;
    ensure!(left.trim().is_empty(), "{left}");
    let count = scene.judge(flood)?;
    println!("flushes: {flushes}");
    count.is_tight()?;
    were_dropped(&daemon, count.banned)
}

/// Makes a cable whose far end is lurking: it is up within a ms or two of being there, and
/// sends. A network card takes far longer to find its carrier.
fn plug_in(site: &Site, interface: &str) -> Result<()> {
    let lurk = format!("until ip link set {interface} up; do :; done");
    let mut far_end = site.outside().spawn(&["sh", "-c", &lurk])?;
    let outside = site.outside().name();
    let here = [
        "link", "add", interface, "address", MAC_TEXT, "up", "type", "veth",
    ];
    let there = ["peer", "name", interface, "netns", outside];
    site.host().ip(&[&here[..], &there].concat())?;
    far_end.wait(PATIENCE).map(drop)
}

fn is_guarded(daemon: &Daemon, interface: &str) -> Result<bool> {
    let status = daemon.status()?;
    let mut guarded = status.attachments.iter().filter(|it| it.mode.is_some());
    Ok(guarded.any(|it| it.interface == interface))
}

/// What one interface let in before it was guarded.
struct Window {
    packets: u64,
    time: Duration,
}

/// Plugs an interface in under fire, and waits until it is guarded.
fn window(scene: &Scene, daemon: &Daemon, interface: &str) -> Result<Window> {
    scene.forget();
    let flood = scene.flood_on(interface);
    plug_in(&scene.site, interface)?;
    wait::until("the interface is guarded", PATIENCE, || {
        Ok(is_guarded(daemon, interface)?.then_some(()))
    })?;
    let first = wait::until("packets arrive", PATIENCE, || {
        let arrived = [scene.arrived(HONEST)?, scene.arrived(HONEST_V6)?];
        Ok(arrived.into_iter().flatten().map(|it| it.first).min())
    })?;
    flood.go_on_for(50)?;
    let packets = scene.leaked()?;
    // From here on not one more.
    flood.go_on_for(500)?;
    let later = scene.leaked()? - packets;
    ensure!(
        later == 0,
        "{later} packets arrived at a guarded {interface}"
    );
    let time = match (scene.window()?, scene.first_leaked()?) {
        (window, Some(leaked)) => window + leaked.saturating_duration_since(first),
        (window, None) => window,
    };
    let count = scene.judge(flood)?;
    ensure!(
        count.banned > packets && count.arrived > 0,
        "no flood: {count}"
    );
    Ok(Window { packets, time })
}

fn report(what: &str, windows: &[Window]) -> Result<()> {
    let longest = windows
        .iter()
        .map(|it| it.time)
        .max()
        .context("no window")?;
    let packets: u64 = windows.iter().map(|it| it.packets).sum();
    let tight = windows.iter().filter(|it| it.packets == 0).count();
    println!(
        "{what}: {} interfaces, {tight} of them let nothing in; {packets} packets of banned sources in all, the longest window {longest:?}",
        windows.len()
    );
    ensure!(longest <= WINDOW, "{what}: {longest:?} unguarded");
    Ok(())
}

#[test]
fn an_interface_made_anew_is_guarded_within_its_window() -> Result<()> {
    let scene = Scene::new()?;
    let site = &scene.site;
    let config = site
        .config()
        .set("xdp", "interfaces", "[\"eth0\", \"eth1\"]");
    let daemon = site.start(&config)?;
    Scene::ban(&daemon)?;
    let mut windows = Vec::new();
    for _ in 0..times(ANEW.0, ANEW.1) {
        windows.push(window(&scene, &daemon, "eth1")?);
        site.host().ip(&["link", "del", "eth1"])?;
        daemon.until_status("eth1 is gone", |status| {
            let mut rows = status.attachments.iter();
            rows.all(|it| it.interface != "eth1" || it.mode.is_none())
        })?;
    }
    report("made anew", &windows)
}

#[test]
fn interfaces_plugged_in_are_guarded_and_the_first_one_never_lapses() -> Result<()> {
    let scene = Scene::new()?;
    let site = &scene.site;
    let names: Vec<String> = (1..=times(4, 32))
        .map(|number| format!("eth{number}"))
        .collect();
    let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    let interfaces = format!("[\"eth0\", {}]", quoted.join(", "));
    let daemon = site.start(&site.config().set("xdp", "interfaces", &interfaces))?;
    Scene::ban(&daemon)?;
    let mut windows = Vec::new();
    for name in &names {
        windows.push(window(&scene, &daemon, name)?);
    }
    report("plugged in", &windows)?;
    // Of the first one not a packet, while others come and go beside it.
    scene.forget();
    let flood = scene.flood();
    for name in &names {
        site.host().ip(&["link", "del", name])?;
        plug_in(site, name)?;
        flood.go_on_for(20)?;
    }
    let count = scene.judge(flood)?;
    count.is_tight()
}

#[test]
fn an_interface_made_anew_while_the_daemon_is_dead_is_guarded_from_the_next_start_on() -> Result<()>
{
    let scene = Scene::new()?;
    let site = &scene.site;
    let config = site
        .config()
        .set("xdp", "interfaces", "[\"eth0\", \"eth1\"]");
    plug_in(site, "eth1")?;
    let daemon = site.start(&config)?;
    Scene::ban(&daemon)?;
    daemon.kill()?;
    site.host().ip(&["link", "del", "eth1"])?;
    plug_in(site, "eth1")?;
    let flood = scene.flood_on("eth1");
    wait::until("packets arrive", PATIENCE, || {
        Ok((scene.leaked()? > 0).then_some(()))
    })?;
    // What nobody guarded is guarded once the daemon says that it is up.
    let _daemon = site.start(&config)?;
    flood.go_on_for(20)?;
    let before = scene.leaked()?;
    flood.go_on_for(500)?;
    let later = scene.leaked()? - before;
    ensure!(later == 0, "{later} packets arrived");
    scene.judge(flood).map(drop)
}
