//! A listening socket that outlives the daemon.

use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use nicban_tests::daemon::Site;

use crate::now;

#[test]
fn requests_wait_in_the_socket_while_the_daemon_is_away() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let listener = UnixListener::bind(site.socket())?;
    let inherited = || Ok::<_, anyhow::Error>(listener.try_clone()?.into());
    let time = now().to_string();

    // Before the first start, and then across a crash and a clean stop.
    let mut previous: Option<nicban_tests::daemon::Daemon> = None;
    for (round, address) in ["198.51.100.7", "198.51.100.8", "198.51.100.9"]
        .iter()
        .enumerate()
    {
        match previous.take() {
            Some(daemon) if round == 1 => daemon.kill()?,
            Some(daemon) => daemon.stop()?,
            None => {}
        }
        thread::scope(|scope| {
            let ban = scope.spawn(|| {
                site.action(&["--wait", "0", "ban", "--", "sshd", address, &time, "600"])
            });
            // The request is under way before anyone is there to read it.
            thread::sleep(Duration::from_millis(100));
            assert!(!ban.is_finished(), "nobody was there to answer");
            wire.arrives(address)?;
            previous = Some(site.start_activated(&site.config(), inherited()?)?);
            ban.join().unwrap()?.well()
        })?;
        wire.blocked(address)?;
    }
    let daemon = previous.expect("a daemon of the last round").ready()?;
    assert_eq!(daemon.bans()?.len(), 3);
    daemon.stop()?;
    assert!(
        site.socket().exists(),
        "the socket is systemd's, not the daemon's"
    );
    for address in ["198.51.100.7", "198.51.100.8", "198.51.100.9"] {
        wire.blocked(address)?;
    }
    Ok(())
}
