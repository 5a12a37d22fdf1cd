//! A store that is damaged, gone, read-only or full, under a flood.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use nicban_protocol::Outcome;
use nicban_tests::clock::now;
use nicban_tests::daemon::{Daemon, Program, Ran, Site, program};
use nicban_tests::process;

use crate::scene::{Scene, start_behind, were_dropped};

const LATER: &str = "198.51.100.77";
const FRIEND: &str = "198.51.100.99";

/// What befalls the files of a dead daemon's store.
type Damage = fn(&Path) -> Result<()>;

/// Nothing of the file can be read.
fn header(state: &Path) -> Result<()> {
    for file in ["nicban.db", "nicban.db-wal"] {
        fs::write(state.join(file), [0xa5; 8192])?;
    }
    Ok(())
}

/// It opens well; the pages that hold the bans do not make sense.
fn pages(state: &Path) -> Result<()> {
    let path = state.join("nicban.db");
    // What the journal has must come into the database first.
    rusqlite::Connection::open(&path)?
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    let mut bytes = fs::read(&path)?;
    let first = 4096;
    ensure!(bytes.len() > 2 * first, "a database of one page");
    bytes[first..].fill(0xa5);
    fs::write(&path, bytes)?;
    Ok(())
}

/// Somebody has removed it.
fn gone(state: &Path) -> Result<()> {
    for file in ["nicban.db", "nicban.db-wal", "nicban.db-shm"] {
        match fs::remove_file(state.join(file)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

/// The store is lost while the daemon is dead; then it crashes twice more.
fn bans_outlast_a_store(damage: Damage, is_said: bool) -> Result<()> {
    let scene = Scene::new()?;
    let config = scene.site.config();
    let daemon = scene.site.start(&config)?;
    Scene::ban(&daemon)?;
    daemon.ban("manual", LATER, now(), nicban_protocol::PERMANENT)?;
    scene.site.nicban(&["allow", "add", FRIEND])?.well()?;
    let rows = |daemon: &Daemon| -> Result<Vec<String>> {
        let bans = daemon.bans()?;
        Ok(bans.into_iter().map(|row| row.address).collect())
    };
    let before = rows(&daemon)?;
    let ends = kernel_ends(&scene.site)?;
    let flood = scene.flood();
    flood.go_on_for(100)?;
    daemon.kill()?;
    damage(&scene.site.folder().join("state"))?;
    flood.go_on_for(100)?;

    let daemon = scene.site.start(&config)?;
    let page = scene.site.nicban(&["status"])?.well()?;
    ensure!(
        page.contains("!! the store was damaged") == is_said,
        "{page}"
    );
    ensure!(
        daemon.log().contains("took over what the kernel has"),
        "{}",
        daemon.log()
    );
    ensure!(rows(&daemon)? == before, "{:?}", daemon.bans()?);
    ensure!(
        daemon.bans()?.iter().all(|row| row.holders.len() == 1),
        "{:?}",
        daemon.bans()?
    );
    flood.go_on_for(100)?;

    // From now on they are in the store, whatever happens to the daemon.
    let mut daemon = daemon;
    for _ in 0..2 {
        daemon.kill()?;
        daemon = scene.site.start(&config)?;
        flood.go_on_for(100)?;
        ensure!(rows(&daemon)? == before, "{:?}", daemon.bans()?);
        ensure!(
            daemon.status()?.warnings.is_empty(),
            "{:?}",
            daemon.status()
        );
    }
    for (address, end) in kernel_ends(&scene.site)? {
        let before = ends.iter().find(|(known, _)| *known == address);
        let before = before.with_context(|| format!("{address} is new"))?.1;
        ensure!(
            end >= before || end == 0,
            "{address} ends at {end} ns, and did at {before} ns"
        );
    }
    let list = scene.site.nicban(&["allow", "list"])?.well()?;
    ensure!(list.contains(FRIEND), "{list}");

    // fail2ban tells a ban anew, and it is its own again: for so long, and to be lifted.
    let count = scene.judge(flood)?;
    count.is_tight()?;
    were_dropped(&daemon, count.banned)?;
    daemon.ban("sshd", LATER, now(), 600)?;
    let row = daemon.ban_of(LATER.parse()?)?.context("not banned")?;
    ensure!(
        row.holders.len() == 1 && row.holders[0].name == "sshd",
        "{row:?}"
    );
    ensure!(daemon.unban("sshd", LATER)? == Outcome::Lifted);
    // And what was not told anew can be lifted as well, as when its time is over.
    ensure!(daemon.unban("sshd", "198.51.100.7")? == Outcome::Lifted);
    Ok(())
}

/// The kernel's ends of exact IPv4 bans, in ns of `CLOCK_BOOTTIME`; 0 is never.
fn kernel_ends(site: &Site) -> Result<Vec<(String, u64)>> {
    let dump = site.pins().dump("bans_v4")?;
    dump.iter()
        .map(|entry| {
            let end = entry["formatted"]["value"]["expires_at"].as_u64();
            Ok((entry["key"].to_string(), end.context("no end")?))
        })
        .collect()
}

#[test]
fn bans_of_a_damaged_store_are_taken_over_from_the_kernel() -> Result<()> {
    bans_outlast_a_store(header, true)
}

#[test]
fn bans_of_damaged_pages_are_taken_over_from_the_kernel() -> Result<()> {
    bans_outlast_a_store(pages, true)
}

#[test]
fn bans_of_a_removed_store_are_taken_over_from_the_kernel() -> Result<()> {
    bans_outlast_a_store(gone, false)
}

/// A daemon whose state folder is a disk of its own, mounted where only it sees it.
fn on_a_disk_of_its_own(site: &Site) -> Result<Daemon> {
    let state = site.folder().join("state");
    fs::create_dir_all(&state)?;
    let image = site.folder().join("image");
    File::create(&image)?.set_len(16 << 20)?;
    process::run(Command::new("mkfs.ext4").arg("-q").arg(&image))?;
    start_behind(
        site,
        "mount -o loop,errors=remount-ro \"$1\" \"$2\"",
        &[&image, &state],
    )
}

/// Makes the kernel find a fault in the file system of a daemon's state folder: it becomes
/// read-only from one moment to the next, as with a disk that fails
/// (Documentation/ABI/testing/sysfs-fs-ext4).
fn let_the_disk_fail(site: &Site, daemon: &Daemon) -> Result<()> {
    let mounts = fs::read_to_string(format!("/proc/{}/mounts", daemon.pid()))?;
    let state = site.folder().join("state").display().to_string();
    let device = mounts
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(_, rest)| rest.split(' ').next() == Some(&state))
        .and_then(|(device, _)| device.strip_prefix("/dev/"))
        .with_context(|| format!("{state} is not mounted"))?;
    // No other disk of the machine may ever be meant.
    ensure!(
        device.starts_with("loop"),
        "{device} is no disk of the test's"
    );
    let trigger = format!("/sys/fs/ext4/{device}/trigger_fs_error");
    fs::write(&trigger, "a test").with_context(|| format!("write {trigger}"))
}

#[test]
fn a_disk_that_becomes_read_only_costs_no_ban_and_no_failure_is_kept_quiet() -> Result<()> {
    let scene = Scene::new()?;
    let site = &scene.site;
    let daemon = on_a_disk_of_its_own(site)?;
    Scene::ban(&daemon)?;
    let flood = scene.flood();
    flood.go_on_for(100)?;
    let_the_disk_fail(site, &daemon)?;
    for address in [LATER, "2001:db8:1a7e::1"] {
        let time = now().to_string();
        let error = site
            .action(&["ban", "--", "sshd", address, &time, "600"])?
            .with_code(1)?;
        ensure!(error.contains("the store refused it"), "{error}");
        ensure!(daemon.ban_of(address.parse()?)?.is_none(), "{address}");
    }
    site.action(&["unban", "--", "sshd", "198.51.100.7"])?
        .with_code(1)?;
    let page = site.nicban(&["status"])?.well()?;
    ensure!(page.contains("!! the store refuses"), "{page}");
    flood.go_on_for(100)?;
    let count = scene.judge(flood)?;
    count.is_tight()?;
    were_dropped(&daemon, count.banned)
}

#[test]
fn a_folder_that_is_read_only_at_the_start_stops_the_daemon_and_not_the_drops() -> Result<()> {
    let scene = Scene::new()?;
    let site = &scene.site;
    let daemon = site.start(&site.config())?;
    Scene::ban(&daemon)?;
    let flood = scene.flood();
    daemon.kill()?;
    let state = site.folder().join("state");
    let mut command = site.host().command("unshare");
    command
        .args(["--mount", "sh", "-c"])
        .arg(
            "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && shift && exec \"$@\"",
        )
        .arg("sh")
        .arg(&state)
        .args(["timeout", "10"])
        .arg(program(Program::Nicban)?)
        .args(["daemon", "--config"])
        .arg(site.folder().join("nicban.toml"));
    let error = Ran::to_end(&mut command)?.with_code(1)?;
    ensure!(error.contains("Read-only file system"), "{error}");
    ensure!(error.contains(&state.display().to_string()), "{error}");
    flood.go_on_for(100)?;
    let daemon = site.start(&site.config())?;
    ensure!(daemon.status()?.bans == 4);
    let count = scene.judge(flood)?;
    count.is_tight()?;
    were_dropped(&daemon, count.banned)
}
