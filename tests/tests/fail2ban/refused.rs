//! What must not be banned, and what attackers write into the log.

use std::fs;

use crate::scene::{BAD, FRIEND, Scene, WORSE};

#[test]
fn a_protected_address_is_refused_with_the_reason_and_not_dropped() {
    let scene = Scene::new("").unwrap();
    scene.allow(FRIEND).unwrap();
    scene.fail_twice("root", FRIEND).unwrap();
    let error = scene.until_logged("nicban-action: ban").unwrap();
    assert!(error.contains("ERROR"), "{error}");
    assert!(error.contains("refused, protected"), "{error}");
    assert!(
        error.contains(&format!("{FRIEND}/32 is on the allow list"))
            || error.contains(&format!("{FRIEND} is on the allow list")),
        "{error}"
    );
    scene
        .until_logged(&format!("Error banning {FRIEND}"))
        .unwrap();
    scene.arrives(FRIEND).unwrap();
    scene.ban("web", BAD).unwrap();
    scene.blocked(BAD).unwrap();
}

#[test]
fn own_addresses_and_gateways_are_refused() {
    // Without fail2ban's own list, which would hide them from the daemon.
    let scene = Scene::new("ignoreself = false").unwrap();
    for own in ["192.0.2.1", "192.0.2.254", "2001:db8::1", "127.0.0.1"] {
        scene.client(&["set", "web", "banip", own]).unwrap();
        scene.until_logged(&format!("Error banning {own}")).unwrap();
    }
    assert!(scene.daemon().bans().unwrap().is_empty());
}

#[test]
fn what_fail2ban_ignores_is_not_banned() {
    let scene = Scene::new(&format!("ignoreip = {FRIEND}")).unwrap();
    scene.fail_twice("root", FRIEND).unwrap();
    scene.until_logged(&format!("Ignore {FRIEND}")).unwrap();
    // A barrier: what came before it has been read by now.
    scene.fail_twice("root", BAD).unwrap();
    scene.until_held(BAD, "web").unwrap();
    assert!(scene.held(FRIEND, "web").unwrap().is_none());
    scene.arrives(FRIEND).unwrap();
}

#[test]
fn hostile_user_names_in_the_log_run_nothing_and_ban_nobody_else() {
    let scene = Scene::new("").unwrap();
    let trap = scene.path("trap");
    let names = [
        format!("$(touch {})", trap.display()),
        format!("`touch {}`", trap.display()),
        format!("x\"; touch {}; \"", trap.display()),
        format!("x'; touch {}; '", trap.display()),
        format!("root from {WORSE} port 1 ssh2"),
        "--socket=/dev/null <ip> <matches> %(name)s".to_owned(),
    ];
    for name in &names {
        scene.fail_twice(name, BAD).unwrap();
    }
    scene.until_held(BAD, "web").unwrap();
    scene.blocked(BAD).unwrap();
    assert!(scene.held(WORSE, "web").unwrap().is_none());
    scene.arrives(WORSE).unwrap();
    scene.client(&["set", "web", "unbanip", BAD]).unwrap();
    scene.arrives(BAD).unwrap();
    assert!(!fs::exists(trap).unwrap());
}

#[test]
fn hostile_user_names_through_the_real_sshd() {
    let mut scene = Scene::new("").unwrap();
    scene.start_sshd().unwrap();
    let trap = scene.path("trap");
    for name in [
        format!("$(touch {})", trap.display()),
        format!("x\"; touch {}; \"", trap.display()),
        format!("root from {WORSE} port 1 ssh2"),
    ] {
        scene.log_in_as(&name, BAD).unwrap();
    }
    scene.until_held(BAD, "sshd").unwrap();
    scene.blocked(BAD).unwrap();
    assert!(scene.held(WORSE, "sshd").unwrap().is_none());
    let log = fs::read_to_string(scene.path("auth.log")).unwrap();
    assert!(log.contains("$(touch"), "sshd writes the name as it came");
    assert!(!fs::exists(trap).unwrap());
}

#[test]
fn a_failing_check_leads_to_a_repair_and_a_second_try() {
    let scene = Scene::new("").unwrap();
    scene.allow(FRIEND).unwrap();
    scene.kill_daemon().unwrap();
    scene.fail_twice("root", BAD).unwrap();
    // The ban was tried for five seconds, the check fails at once, the repair waits.
    scene.until_logged("nicban-action: check web").unwrap();
    scene.start_daemon().unwrap();
    scene.until_held(BAD, "web").unwrap();
    scene.blocked(BAD).unwrap();
}
