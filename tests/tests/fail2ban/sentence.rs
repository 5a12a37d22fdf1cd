//! How long a ban lasts, in the kernel too.

use crate::scene::{BAD, BAD_V6, Scene, WORSE, now};

/// How much longer than the sentence the kernel holds on, in seconds: the grace of the
/// configuration, ten minutes, and a little.
const GRACE: i64 = 610;

#[test]
fn fail2bans_own_unban_at_the_end_lifts_the_ban() {
    let scene = Scene::new("bantime = 6").unwrap();
    scene.ban("sshd", BAD).unwrap();
    scene.ban("web", BAD_V6).unwrap();
    let until = scene.held(BAD, "sshd").unwrap().unwrap().until.unwrap();
    scene.blocked(BAD).unwrap();
    scene.until_free(BAD).unwrap();
    // fail2ban counts fractions of a second, which the daemon rounds.
    assert!(now() + 1 >= until);
    scene.arrives(BAD).unwrap();
    scene.until_logged(&format!("Unban {BAD}")).unwrap();
    scene.until_free(BAD_V6).unwrap();
    scene.arrives(BAD_V6).unwrap();
}

/// A second sentence that is 240 times as long.
pub(crate) const LONGER: &str =
    "bantime = 5\nbantime.increment = true\nbantime.multipliers = 1 240";

#[test]
fn a_repeat_offenders_longer_sentence_reaches_kernel_and_store() {
    a_longer_sentence_reaches_kernel_and_store(&Scene::new(LONGER).unwrap());
}

pub(crate) fn a_longer_sentence_reaches_kernel_and_store(scene: &Scene) {
    // A filter that has just started may take 20 s over its first line, longer than the ban.
    scene.fail_twice("root", WORSE).unwrap();
    scene.until_logged(&format!("Found {WORSE}")).unwrap();
    scene.fail_twice("root", BAD).unwrap();
    let first = scene.until_held(BAD, "web").unwrap();
    assert_eq!(first.until, Some(first.since + 5));
    scene.until_logged(&format!("Unban {BAD}")).unwrap();
    scene.until_free(BAD).unwrap();
    scene.arrives(BAD).unwrap();

    scene.fail_twice("root", BAD).unwrap();
    scene.until_logged(&format!("Increase Ban {BAD}")).unwrap();
    let second = scene.until_ends_after(BAD, "web", 1_000).unwrap();
    assert_eq!(second.until, Some(second.since + 1_200));
    assert_eq!(second.bancount, 2);
    let left = scene.kernel_expiry(BAD).unwrap().unwrap();
    let sentence = second.until.unwrap() - now();
    assert!(
        (sentence..sentence + GRACE).contains(&left),
        "{left} s in the kernel, {sentence} s to serve"
    );
    scene.kill_daemon().unwrap();
    scene.start_daemon().unwrap();
    assert_eq!(scene.held(BAD, "web").unwrap(), Some(second));
    scene.blocked(BAD).unwrap();
}

#[test]
fn a_permanent_ban_has_no_end() {
    let scene = Scene::new("bantime = -1").unwrap();
    scene.ban("sshd", BAD).unwrap();
    assert_eq!(scene.held(BAD, "sshd").unwrap().unwrap().until, None);
    assert_eq!(scene.kernel_expiry(BAD).unwrap(), None);
    scene.client(&["set", "sshd", "unbanip", BAD]).unwrap();
    scene.arrives(BAD).unwrap();

    scene.ban("sshd", BAD).unwrap();
    scene.stop_fail2ban().unwrap();
    scene.start_fail2ban().unwrap();
    scene.until_logged(&format!("Restore Ban {BAD}")).unwrap();
    assert_eq!(scene.held(BAD, "sshd").unwrap().unwrap().until, None);
    scene.blocked(BAD).unwrap();
}
