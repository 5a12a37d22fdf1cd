//! A daemon that is killed at random moments, also while it starts.

use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use nicban_protocol::{Client, Request};
use nicban_tests::clock::now;
use nicban_tests::daemon::{DaemonConfig, ban};

use crate::scene::{Scene, random, times, were_dropped};

/// In CI, and with `cargo xtask test --full`.
const KILLS: (u32, u32) = (100, 1_000);

/// Kills of daemons whose maps are made anew each time.
const RENEWALS: (u32, u32) = (30, 200);

/// After so many kills one daemon gets to its feet and is asked what it has.
const LOOK_EVERY: u32 = 20;

#[test]
fn no_packet_gets_through_kills_at_random_moments() -> Result<()> {
    let scene = Scene::new()?;
    let config = scene.site.config();
    let same = |_| config.clone();
    killed_at_random_moments(&scene, "kills", times(KILLS.0, KILLS.1), same)
}

#[test]
fn no_packet_gets_through_kills_while_maps_are_made_anew() -> Result<()> {
    let scene = Scene::new()?;
    // No two that follow each other have maps of one size, or one length of IPv6 bans.
    let changing = |round: u32| {
        let size = if round.is_multiple_of(2) {
            "4096"
        } else {
            "8192"
        };
        let nets = if round.is_multiple_of(3) {
            "256"
        } else {
            "512"
        };
        let prefix = if round % 5 == 4 { "56" } else { "64" };
        let config = scene.site.config().set("xdp", "max_bans", size);
        config
            .set("xdp", "max_nets", nets)
            .set("xdp", "ipv6_prefix", prefix)
    };
    killed_at_random_moments(&scene, "renewals", times(RENEWALS.0, RENEWALS.1), changing)
}

fn killed_at_random_moments(
    scene: &Scene,
    name: &str,
    kills: u32,
    config: impl Fn(u32) -> DaemonConfig,
) -> Result<()> {
    let mut random = random(name)?;
    // As systemd holds it: requests wait in it while there is no daemon.
    let listener = UnixListener::bind(scene.site.socket())?;
    let start = |round| {
        let listener = listener.try_clone()?.into();
        scene.site.start_activated(&config(round), listener)
    };
    let begun = Instant::now();
    let daemon = start(0)?.ready()?;
    let to_its_feet = begun.elapsed();
    Scene::ban(&daemon)?;
    let flood = scene.flood();
    flood.go_on_for(100)?;
    let over = AtomicBool::new(false);
    let (daemon, answered) = thread::scope(|scope| -> Result<_> {
        let churn = scope.spawn(|| churn(scene, &over));
        let killed = (1..=kills).try_fold(daemon, |mut daemon, round| {
            if round.is_multiple_of(LOOK_EVERY) {
                let status = daemon.until_up()?;
                ensure!(status.bans >= 4, "by kill {round}: {status:?}");
            }
            // From before it has read its configuration to long after it serves.
            thread::sleep(to_its_feet.mul_f64(random.f64() * 1.5));
            daemon.kill()?;
            let leaked = scene.leaked()?;
            ensure!(leaked == 0, "{leaked} packets had arrived by kill {round}");
            start(round)
        });
        over.store(true, Ordering::Relaxed);
        let answered = churn.join().expect("the churn does not panic");
        Ok((killed?, answered))
    })?;
    println!("{name}: {kills} kills, {answered} requests answered meanwhile");
    ensure!(answered > 0, "no request was ever served");
    let daemon = daemon.ready()?;
    let count = scene.judge(flood)?;
    count.is_tight()?;
    were_dropped(&daemon, count.banned)
}

/// Bans and unbans of others, one after the other: requests that were answered.
fn churn(scene: &Scene, over: &AtomicBool) -> u64 {
    let mut answered = 0;
    for number in 0_u32.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let [.., high, low] = (number / 2).to_be_bytes();
        let address = format!("10.9.{high}.{low}");
        let request = if number.is_multiple_of(2) {
            Request::Ban(ban("churn", &address, now(), 600))
        } else {
            Request::Unban {
                address,
                holder: Some("churn".to_owned()),
            }
        };
        let answer = Client::connect(&scene.site.socket(), Duration::from_secs(2))
            .and_then(|mut client| client.call(&request));
        match answer {
            Ok(_) => answered += 1,
            // It was killed before it could answer.
            Err(_) => thread::sleep(Duration::from_millis(1)),
        }
    }
    answered
}
