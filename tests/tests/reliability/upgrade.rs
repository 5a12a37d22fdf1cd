//! A daemon of another build, or with other maps, that follows upon one that was killed.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use nicban_tests::daemon::Site;
use nicban_tests::process;

use crate::scene::{Scene, times, were_dropped};

/// What the maps of an earlier build may be like; sizes in bytes.
const MAPS: [(&str, &str, u32, u32); 12] = [
    ("bans_v4", "hash", 4, 24),
    ("bans_v6", "hash", 16, 8),
    ("nets_v4", "lpm_trie", 8, 8),
    ("nets_v6", "lpm_trie", 20, 8),
    ("allow_v4", "lpm_trie", 8, 8),
    ("allow_v6", "lpm_trie", 20, 8),
    ("index_v4", "array", 4, 128),
    ("index_v6", "array", 4, 128),
    ("hits_v4", "percpu_hash", 4, 16),
    ("hits_v6", "percpu_hash", 8, 16),
    ("stats", "percpu_array", 4, 8),
    ("settings", "array", 4, 8),
];

/// In the place of a pinned map, one of another layout.
fn exchange(site: &Site, (name, kind, key, value): (&str, &str, u32, u32)) -> Result<()> {
    let pin = site.pins().path(name);
    fs::remove_file(&pin).with_context(|| format!("unpin {name}"))?;
    let entries = if name == "settings" { "1" } else { "16" };
    let mut command = Command::new(process::find_program("bpftool")?);
    command
        .args(["map", "create"])
        .arg(pin)
        .args(["type", kind]);
    command.args(["key", &key.to_string(), "value", &value.to_string()]);
    command.args(["entries", entries, "name", name]);
    // Hashes are not preallocated here, and tries never are (BPF_F_NO_PREALLOC, bpf.h).
    if kind == "lpm_trie" {
        command.args(["flags", "1"]);
    }
    process::run(&mut command).map(drop)
}

#[test]
fn maps_of_another_layout_are_made_anew_without_a_lapse() -> Result<()> {
    let scene = Scene::new()?;
    let site = &scene.site;
    let config = site.config();
    let mut daemon = site.start(&config)?;
    Scene::ban(&daemon)?;
    let flood = scene.flood();
    flood.go_on_for(50)?;
    for map in MAPS {
        for is_there in [true, false] {
            daemon.kill()?;
            if is_there {
                exchange(site, map)?;
            } else {
                fs::remove_file(site.pins().path(map.0))?;
            }
            flood.go_on_for(50)?;
            daemon = site.start(&config)?;
            flood.go_on_for(50)?;
            let leaked = scene.leaked()?;
            ensure!(
                leaked == 0,
                "{leaked} packets arrived after {map:?}, {is_there}"
            );
            let status = daemon.status()?;
            ensure!(status.bans == 4, "{map:?}, {is_there}: {status:?}");
        }
    }
    // All of them at once, as after a change of everything.
    daemon.kill()?;
    for map in MAPS {
        exchange(site, map)?;
    }
    daemon = site.start(&config)?;
    flood.go_on_for(100)?;
    ensure!(daemon.status()?.bans == 4);
    ensure!(site.pins().link("eth0")?.1 == site.pins().program_id()?);
    scene.judge(flood)?.is_tight()
}

#[test]
fn the_program_is_replaced_in_one_step() -> Result<()> {
    let scene = Scene::new()?;
    let site = &scene.site;
    let mut daemon = site.start(&site.config())?;
    Scene::ban(&daemon)?;
    let flood = scene.flood();
    let (link, mut program) = site.pins().link("eth0")?;
    let replacements = times(20, 200);
    for round in 0..replacements {
        // A clean stop and a crash in turn, each followed by another program.
        if round.is_multiple_of(2) {
            daemon.stop()?;
        } else {
            daemon.kill()?;
        }
        daemon = site.start(&site.config())?;
        let (same, fresh) = site.pins().link("eth0")?;
        ensure!(same == link, "round {round}: the link is another");
        ensure!(fresh != program, "round {round}: the program is the same");
        program = fresh;
    }
    println!("replacements: {replacements}");
    let count = scene.judge(flood)?;
    count.is_tight()?;
    were_dropped(&daemon, count.banned)
}
