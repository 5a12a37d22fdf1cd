//! Observe and enforce.

use anyhow::Result;
use nicban_protocol::Mode;
use nicban_tests::daemon::Site;

use crate::now;

const OFFENDER: &str = "198.51.100.7";
const OFFENDER_V6: &str = "2001:db8:bad::1";

#[test]
fn observe_counts_and_passes_also_after_a_restart() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    for address in [OFFENDER, OFFENDER_V6] {
        daemon.ban("sshd", address, now(), 600)?;
        wire.blocked(address)?;
    }
    site.nicban(&["observe"])?.well()?;
    for address in [OFFENDER, OFFENDER_V6] {
        wire.arrives(address)?;
    }
    daemon.until_status("the would-be drops are counted", |status| {
        status.mode == Mode::Observe
            && [status.ipv4, status.ipv6]
                .iter()
                .all(|family| (family.would_drop, family.dropped) == (3, 3))
    })?;
    let page = site.nicban(&["status"])?.well()?;
    assert!(
        page.contains("!! observe mode: nothing is dropped"),
        "{page}"
    );

    daemon.kill()?;
    wire.arrives(OFFENDER)?;
    // The configuration says enforce; the operator has said otherwise since.
    let daemon = site.start(&site.config())?;
    assert_eq!(daemon.status()?.mode, Mode::Observe);
    wire.arrives(OFFENDER)?;

    site.nicban(&["enforce"])?.well()?;
    wire.blocked(OFFENDER)?;
    wire.blocked(OFFENDER_V6)?;
    daemon.stop()?;
    let daemon = site.start(&site.config().set("xdp", "mode", "\"observe\""))?;
    assert_eq!(daemon.status()?.mode, Mode::Enforce);
    wire.blocked(OFFENDER)
}

#[test]
fn the_configured_mode_holds_until_the_operator_decides() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config().set("xdp", "mode", "\"observe\""))?;
    daemon.ban("sshd", OFFENDER, now(), 600)?;
    wire.arrives(OFFENDER)?;
    daemon.stop()?;
    let _daemon = site.start(&site.config())?;
    wire.blocked(OFFENDER)
}
