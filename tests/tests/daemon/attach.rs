//! Interfaces that come, go, and are taken.

use std::process::Command;

use anyhow::Result;
use nicban_protocol::{AttachMode, Reply, Request, Status};
use nicban_tests::daemon::{Daemon, HONEST, Program, Site, Start, program};
use nicban_tests::net::{Link, Scratch, veth};

use crate::now;

const OFFENDER: &str = "198.51.100.7";

fn mode_of(status: &Status, interface: &str) -> Option<AttachMode> {
    let found = status.attachments.iter().find(|a| a.interface == interface);
    found.and_then(|attachment| attachment.mode)
}

fn quoted(path: &std::path::Path) -> String {
    format!("{:?}", path.display().to_string())
}

#[test]
fn another_program_is_left_alone_and_named() -> Result<()> {
    let site = Site::new()?;
    let other = Scratch::new("other")?;
    let other_pins = Scratch::pins("other");
    // Any program will do as the other: a nicban of another folder is one at hand.
    let first = site
        .config()
        .set("daemon", "socket", &quoted(&other.path().join("socket")))
        .set("daemon", "state_dir", &quoted(other.path()))
        .set("xdp", "pin_dir", &quoted(other_pins.path()));
    let start = Start {
        program: program(Program::Nicban)?,
        config: first.to_toml(),
        socket: other.path().join("socket"),
        environment: Vec::new(),
    };
    let first = Daemon::start(site.host(), other.path(), &start)?;
    let shown: serde_json::Value = serde_json::from_str(&nicban_tests::process::run(
        Command::new("bpftool")
            .args(["-j", "prog", "show", "pinned"])
            .arg(other_pins.path().join("prog")),
    )?)?;
    let standing = shown["id"].as_u64().unwrap();

    let mut daemon = site.start(&site.config())?;
    let status = daemon.status()?;
    assert_eq!(mode_of(&status, "eth0"), None);
    let warning = status.warnings.join("\n");
    assert!(warning.contains("eth0 is not protected"), "{warning}");
    assert!(
        warning.contains(&format!("program {standing}")),
        "{warning}"
    );
    let error = site.nicban(&["attach"])?.with_code(1)?;
    assert!(error.contains(&format!("program {standing}")), "{error}");
    assert!(daemon.is_alive()?);

    // Once the way is free, it takes it.
    let wire = site.wire()?;
    daemon.ban("sshd", OFFENDER, now(), 600)?;
    wire.arrives(OFFENDER)?;
    first.does(&Request::Detach { interface: None })?;
    let status = daemon.until_status("eth0 is attached", |status| {
        mode_of(status, "eth0") == Some(AttachMode::Native)
    })?;
    assert_eq!(status.warnings, [""; 0]);
    wire.blocked(OFFENDER)
}

#[test]
fn interfaces_are_attached_as_they_come_and_come_again() -> Result<()> {
    let site = Site::new()?;
    let config = site
        .config()
        .set("xdp", "interfaces", "[\"eth0\", \"eth1\"]");
    let daemon = site.start(&config)?;
    daemon.ban("sshd", OFFENDER, now(), 600)?;
    let status = daemon.status()?;
    assert_eq!(mode_of(&status, "eth0"), Some(AttachMode::Native));
    assert_eq!(mode_of(&status, "eth1"), None);
    assert!(status.warnings.join("\n").contains("eth1"), "{status:?}");
    let mut links = Vec::new();
    for round in 0..2 {
        site.cable("eth1")?;
        let status = daemon.until_status("eth1 is attached", |status| {
            mode_of(status, "eth1") == Some(AttachMode::Native)
        })?;
        assert_eq!(status.warnings, [""; 0], "round {round}");
        // Its counter has a name of its own: one of each round.
        let wire = site.wire_on("eth1")?;
        wire.blocked(OFFENDER)?;
        links.push(site.pins().link("eth1")?.0);
        site.host().ip(&["link", "del", "eth1"])?;
        daemon.until_status("eth1 is gone", |status| mode_of(status, "eth1").is_none())?;
        site.host()
            .run(&["nft", "delete", "table", "inet", "arrivals_eth1"])?;
    }
    assert_ne!(links[0], links[1]);
    assert_eq!(mode_of(&daemon.status()?, "eth0"), Some(AttachMode::Native));
    site.wire()?.blocked(OFFENDER)
}

#[test]
fn an_interface_that_went_while_the_daemon_was_dead_is_forgotten() -> Result<()> {
    let site = Site::new()?;
    let config = site
        .config()
        .set("xdp", "interfaces", "[\"eth0\", \"eth1\"]");
    site.cable("eth1")?;
    let daemon = site.start(&config)?;
    daemon.ban("sshd", OFFENDER, now(), 600)?;
    daemon.kill()?;
    site.host().ip(&["link", "del", "eth1"])?;
    site.cable("eth1")?;
    let daemon = site.start(&config)?;
    let status = daemon.status()?;
    assert_eq!(
        mode_of(&status, "eth1"),
        Some(AttachMode::Native),
        "{status:?}"
    );
    site.wire_on("eth1")?.blocked(OFFENDER)
}

#[test]
fn detach_lets_everything_pass_until_attach() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    daemon.ban("sshd", OFFENDER, now(), 600)?;
    wire.blocked(OFFENDER)?;
    site.nicban(&["detach"])?.well()?;
    wire.arrives(OFFENDER)?;
    let status = daemon.status()?;
    assert_eq!((status.bans, mode_of(&status, "eth0")), (1, None));
    assert!(
        status.warnings.join("\n").contains("nicban attach"),
        "{status:?}"
    );
    // Neither a change of the machine nor a restart attaches behind one's back.
    site.cable("eth1")?;
    daemon.kill()?;
    let daemon = site.start(&site.config())?;
    wire.arrives(OFFENDER)?;

    site.nicban(&["attach"])?.well()?;
    wire.blocked(OFFENDER)?;
    assert_eq!(daemon.status()?.warnings, [""; 0]);
    daemon.kill()?;
    let _daemon = site.start(&site.config())?;
    wire.blocked(OFFENDER)?;
    wire.arrives(HONEST)
}

#[test]
fn an_attach_may_follow_a_detach_at_once() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    daemon.ban("sshd", OFFENDER, now(), 600)?;
    let mut client = daemon.client()?;
    for round in 0..50 {
        for request in [
            Request::Detach { interface: None },
            Request::Attach {
                interface: None,
                confirm_s: None,
                ssh_peer: None,
            },
        ] {
            let reply = client.call(&request)?;
            assert!(!matches!(reply, Reply::Refused(_)), "{round}: {reply:?}");
        }
    }
    wire.blocked(OFFENDER)
}

#[test]
fn detach_works_without_a_daemon() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    daemon.ban("sshd", OFFENDER, now(), 600)?;
    daemon.kill()?;
    wire.blocked(OFFENDER)?;
    let said = site.nicban(&["detach"])?.well()?;
    assert!(said.contains("detached from eth0"), "{said}");
    wire.arrives(OFFENDER)?;
    let daemon = site.start(&site.config())?;
    wire.arrives(OFFENDER)?;
    assert_eq!(mode_of(&daemon.status()?, "eth0"), None);
    site.nicban(&["attach"])?.well()?;
    wire.blocked(OFFENDER)
}

#[test]
fn detach_works_past_a_daemon_that_hangs() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    daemon.ban("sshd", OFFENDER, now(), 600)?;
    daemon.signal(nix::sys::signal::Signal::SIGSTOP)?;
    wire.blocked(OFFENDER)?;
    site.nicban(&["detach"])?.well()?;
    wire.arrives(OFFENDER)
}

#[test]
fn without_native_xdp_generic_is_used_and_said_loudly() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    // A bridge has no XDP in its driver.
    site.host()
        .ip(&["link", "add", "bridge0", "type", "bridge"])?;
    site.host().ip(&["link", "set", "bridge0", "up"])?;
    let config = site.config().set("xdp", "interfaces", "[\"bridge0\"]");
    let daemon = site.start(&config)?;
    let status = daemon.status()?;
    assert_eq!(mode_of(&status, "bridge0"), Some(AttachMode::Generic));
    assert!(status.warnings.join("\n").contains("GENERIC"), "{status:?}");
    let page = site.nicban(&["status"])?.well()?;
    assert!(page.contains("!! bridge0 runs in GENERIC mode"), "{page}");
    assert!(daemon.log().contains("GENERIC"), "{}", daemon.log());
    daemon.stop()?;

    // It is still known for what it is after a restart, and "native" takes no substitute.
    let daemon = site.start(&config)?;
    assert_eq!(
        mode_of(&daemon.status()?, "bridge0"),
        Some(AttachMode::Generic)
    );
    site.nicban(&["detach"])?.well()?;
    daemon.stop()?;
    let strict = config.set("xdp", "attach", "\"native\"");
    let daemon = site.start(&strict)?;
    site.nicban(&["attach"])?.with_code(1)?;
    assert_eq!(mode_of(&daemon.status()?, "bridge0"), None);
    daemon.stop()?;

    // Generic mode drops as well, where it is asked for.
    let generic = site.config().set("xdp", "attach", "\"generic\"");
    let daemon = site.start(&generic)?;
    site.nicban(&["attach"])?.well()?;
    assert_eq!(
        mode_of(&daemon.status()?, "eth0"),
        Some(AttachMode::Generic)
    );
    daemon.ban("sshd", OFFENDER, now(), 600)?;
    wire.blocked(OFFENDER)
}

#[test]
fn by_default_the_interfaces_of_the_default_routes_are_guarded() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    veth(
        Link::new(site.host(), "lan0"),
        Link::new(site.outside(), "lan0"),
    )?;
    let daemon = site.start(&site.config().set("xdp", "interfaces", "[]"))?;
    let names: Vec<_> = daemon
        .status()?
        .attachments
        .into_iter()
        .map(|a| a.interface)
        .collect();
    assert_eq!(names, ["eth0"]);
    daemon.ban("sshd", OFFENDER, now(), 600)?;
    wire.blocked(OFFENDER)
}
