//! What a test that was killed leaves of its machine.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use nicban_tests::net::Scratch;
use nicban_tests::process::{self, Process};
use nicban_tests::wait;
use nix::sys::signal::Signal;

use crate::machine::{PATIENCE, sweep};

#[test]
fn the_group_of_a_dead_test_goes_and_that_of_a_living_one_stays() -> Result<()> {
    let folder = Scratch::new("groups")?;
    let mut owner = Process::spawn("an owner", &mut Command::new("true"))?;
    owner.wait(PATIENCE)?;
    let dead = format!("nicban-nicban-{}-0-machine", owner.pid());
    let living = format!("nicban-nicban-{}-999999-machine", std::process::id());
    among_groups(
        folder.path(),
        &format!("mkdir -p {dead}/inner {living}/inner"),
    )
    .output()
    .context("make groups")?;
    let script = format!("echo $$ >{dead}/inner/cgroup.procs; exec sleep 600");
    let mut inside = Process::spawn(
        "a process of the machine",
        &mut among_groups(folder.path(), &script),
    )?;
    let moved = format!("/proc/{}/cgroup", inside.pid());
    wait::until("the process is in the group", PATIENCE, || {
        let groups = std::fs::read_to_string(&moved).context("read its groups")?;
        Ok(groups.contains(&dead).then_some(()))
    })?;

    sweep(folder.path())?;
    let killed = inside.wait(PATIENCE)?;
    ensure!(killed.signal() == Some(Signal::SIGKILL as i32), "{killed}");
    let left = process::run(&mut among_groups(folder.path(), "ls"))?;
    let has = |name: &String| left.lines().any(|line| line == name);
    ensure!(!has(&dead) && has(&living), "{left}");
    process::run(&mut among_groups(
        folder.path(),
        &format!("rmdir {living}/inner {living}"),
    ))
    .map(drop)
}

/// A line of shell in the top folder of the control groups, mounted for it alone.
fn among_groups(mount: &Path, line: &str) -> Command {
    let script = r#"mount -t cgroup2 none "$1"; cd "$1"; eval "$2""#;
    let mut command = Command::new("unshare");
    command
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-ec",
            script,
            "sh",
        ])
        .arg(mount)
        .arg(line);
    command
}
