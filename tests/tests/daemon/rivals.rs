//! Two daemons that want the same.

use std::os::unix::net::UnixListener;

use anyhow::Result;
use nicban_tests::daemon::Site;

use crate::now;

#[test]
fn one_state_folder_has_one_daemon() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    daemon.ban("sshd", "198.51.100.7", now(), 600)?;
    let program = site.pins().program_id()?;
    let elsewhere = format!("{:?}", site.folder().join("other").display().to_string());
    let rival = site.config().set("daemon", "socket", &elsewhere);
    let error = site.start_in_vain(&rival)?.with_code(1)?;
    assert!(error.contains("another nicban daemon uses"), "{error}");
    // It left everything as it was.
    assert_eq!(site.pins().program_id()?, program);
    wire.blocked("198.51.100.7")?;
    assert_eq!(daemon.bans()?.len(), 1);
    Ok(())
}

#[test]
fn a_socket_that_is_served_is_left_alone() -> Result<()> {
    let site = Site::new()?;
    let daemon = site.start(&site.config())?;
    let rival = ["state_dir", "pin_dir"]
        .into_iter()
        .fold(site.config(), |config, key| {
            let section = if key == "pin_dir" { "xdp" } else { "daemon" };
            let path = site.folder().join(format!("rival_{key}"));
            config.set(section, key, &format!("{:?}", path.display().to_string()))
        });
    let error = site.start_in_vain(&rival)?.with_code(1)?;
    assert!(error.contains("is listening on"), "{error}");
    daemon.ban("sshd", "198.51.100.7", now(), 600)?;
    Ok(())
}

#[test]
fn a_stale_socket_is_replaced_and_a_file_is_not() -> Result<()> {
    let site = Site::new()?;
    drop(UnixListener::bind(site.socket())?);
    assert!(site.socket().exists());
    let daemon = site.start(&site.config())?;
    daemon.ban("sshd", "198.51.100.7", now(), 600)?;
    daemon.kill()?;
    assert!(site.socket().exists(), "a killed daemon leaves its socket");
    site.start(&site.config())?.stop()?;

    std::fs::remove_file(site.socket()).ok();
    std::fs::write(site.socket(), "something of the operator's")?;
    let error = site.start_in_vain(&site.config())?.with_code(1)?;
    assert!(error.contains("is no socket"), "{error}");
    assert_eq!(
        std::fs::read_to_string(site.socket())?,
        "something of the operator's"
    );
    Ok(())
}

#[test]
fn a_killed_daemons_lock_is_free() -> Result<()> {
    let site = Site::new()?;
    for _ in 0..3 {
        site.start(&site.config())?.kill()?;
    }
    site.start(&site.config())?.stop()
}
