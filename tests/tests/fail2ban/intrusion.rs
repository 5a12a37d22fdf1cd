//! From a failed login to a source that can't send a packet any more.

use std::time::Duration;

use anyhow::Result;

use crate::scene::{BAD, BAD_V6, BESIDE_V6, NEAR_V6, Scene};

/// Long enough for several retransmissions of TCP.
const STALL: Duration = Duration::from_millis(1500);
const PATIENCE: Duration = Duration::from_secs(30);

fn an_intruder_is_shut_out(bad: &str) -> Result<()> {
    let mut scene = Scene::new("")?;
    scene.start_sshd()?;
    let mut session = scene.session(bad)?;
    let mut honest = scene.honest_session(bad.contains(':'))?;
    scene.arrives(bad)?;

    let held = scene.break_in(bad)?;
    assert_eq!(held.until, Some(held.since + 3600));
    scene.blocked(bad)?;
    session.say("let me in")?;
    assert!(
        !session.hears("let me in", STALL),
        "a session outlives the ban"
    );
    honest.say("still here")?;
    assert!(honest.hears("still here", PATIENCE));
    drop(scene.honest_session(bad.contains(':'))?);

    scene.client(&["set", "sshd", "unbanip", bad])?;
    scene.arrives(bad)?;
    assert!(
        session.hears("let me in", PATIENCE),
        "TCP sends it again, and now it arrives"
    );
    Ok(())
}

#[test]
fn an_ipv4_intruder_is_shut_out() {
    an_intruder_is_shut_out(BAD).unwrap();
}

#[test]
fn an_ipv6_intruder_is_shut_out() {
    an_intruder_is_shut_out(BAD_V6).unwrap();
}

#[test]
fn an_ipv6_ban_covers_its_64_and_nothing_else() {
    let scene = Scene::new("").unwrap();
    scene.arrives(NEAR_V6).unwrap();
    scene.ban("sshd", BAD_V6).unwrap();
    scene.blocked(BAD_V6).unwrap();
    scene.blocked(NEAR_V6).unwrap();
    scene.arrives(BESIDE_V6).unwrap();
    scene.client(&["set", "sshd", "unbanip", BAD_V6]).unwrap();
    scene.arrives(NEAR_V6).unwrap();
}
