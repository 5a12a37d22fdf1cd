//! Replies that come late, broken, or not at all: no duplicate, no leak.

use std::time::Duration;

use nicban_protocol::NaclState;
use nicban_tests::standin::faults::{Fault, FaultRule};

use crate::site::{ACL, Site};

const CREATE: &str = "CreateNetworkAclEntry";
const REPLACE: &str = "ReplaceNetworkAclEntry";
const DELETE: &str = "DeleteNetworkAclEntry";
const DESCRIBE: &str = "DescribeNetworkAcls";

fn strike(site: &Site, action: &str, times: u32, fault: Fault) {
    let rule = FaultRule::times(action, times, fault);
    site.cloud.ec2.inject(rule);
}

#[test]
fn a_lost_reply_makes_no_duplicate_and_leaves_nothing() {
    let mut site = Site::new("quota = 3\n");
    site.start_tier();
    strike(&site, CREATE, 1, Fault::ReplyLost);
    site.ban("198.51.100.1");
    site.wait_denied(&["198.51.100.1/32"]);
    site.wait_nacl("it is known as ours", |nacl| {
        nacl.state == NaclState::On && nacl.entries.len() == 1
    });
    assert_eq!(site.cloud.ec2.count(CREATE, "lost"), 1);
    assert_eq!(site.cloud.ec2.count(CREATE, "ok"), 0, "no second one");

    site.ban("198.51.100.2");
    strike(&site, REPLACE, 1, Fault::ReplyLost);
    site.unban("198.51.100.1");
    site.wait_denied(&["198.51.100.2/32"]);
    site.wait_nacl("its heir is known as ours", |nacl| {
        nacl.state == NaclState::On
            && nacl.entries.len() == 1
            && nacl.entries[0].network == "198.51.100.2/32"
    });
    assert_eq!(site.cloud.ec2.count(REPLACE, "lost"), 1);

    strike(&site, DELETE, 1, Fault::ReplyLost);
    site.unban("198.51.100.2");
    site.wait_denied(&[]);
    site.wait_nacl("nothing is left", |nacl| {
        nacl.state == NaclState::On && nacl.entries.is_empty()
    });
    assert_eq!(site.cloud.ec2.count(DELETE, "lost"), 1);
}

#[test]
fn a_lost_reply_and_a_crash_leave_nothing_that_is_not_known() {
    let mut site = Site::new("");
    site.start_tier();
    strike(&site, CREATE, 1, Fault::ReplyLost);
    site.ban("198.51.100.1");
    site.wait_denied(&["198.51.100.1/32"]);
    site.kill();
    let said = site.nicban(&["nacl", "release", "--direct"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    site.wait_denied(&[]);
}

#[test]
fn changes_that_show_late_are_not_made_twice() {
    let mut site = Site::new("");
    let delay = Duration::from_secs(7);
    site.cloud.ec2.set_visibility_delay(delay);
    site.start_tier();
    for n in 1..=6 {
        site.ban(&format!("198.51.100.{n}"));
    }
    site.wait("six entries", |site| {
        (site.count(ACL, false) == 6).then_some(())
    });
    site.unban("198.51.100.1");
    site.unban("198.51.100.2");
    site.ban("2001:db8:bad:1::1");
    site.wait_denied(&[
        "198.51.100.3/32",
        "198.51.100.4/32",
        "198.51.100.5/32",
        "198.51.100.6/32",
        "2001:db8:bad:1::/64",
    ]);
    site.wait_nacl("five entries are shown", |nacl| {
        nacl.state == NaclState::On && nacl.entries.len() == 5
    });
    let ec2 = &site.cloud.ec2;
    assert_eq!(ec2.count(CREATE, "ok"), 7, "{}", site.story());
    assert_eq!(ec2.count(CREATE, "NetworkAclEntryAlreadyExists"), 0);
    assert_eq!(ec2.count(DELETE, "ok"), 2);
}

#[test]
fn a_slow_ec2_holds_no_ban_up() {
    let mut site = Site::new("");
    site.start_tier();
    for action in [DESCRIBE, CREATE] {
        strike(&site, action, 2, Fault::Delay { ms: 4_000 });
    }
    site.ban("198.51.100.1");
    site.wait("the create waits for its reply", |site| {
        (site.count(ACL, false) == 1).then_some(())
    });
    // While that reply is held back.
    site.ban("198.51.100.2");
    assert_eq!(site.status().bans, 2);
    site.wait_denied(&["198.51.100.1/32", "198.51.100.2/32"]);
    site.wait_state(NaclState::On, ACL);
}

#[test]
fn pages_that_are_no_replies_are_faults_and_nothing_else() {
    let mut site = Site::new("");
    site.start_tier();
    site.ban("198.51.100.1");
    site.wait_denied(&["198.51.100.1/32"]);
    // For a change, the SDK takes any 200 for a success: only a look tells.
    let cases = [
        (DESCRIBE, 500),
        (DESCRIBE, 503),
        (DESCRIBE, 200),
        (CREATE, 500),
        (CREATE, 503),
    ];
    for (number, (action, status)) in cases.into_iter().enumerate() {
        let rule = FaultRule::always(action, Fault::Garbage { status });
        site.cloud.ec2.inject(rule);
        site.ban(&format!("198.51.100.{}", number + 2));
        site.wait_nacl(&format!("{action} {status} is told of"), |nacl| {
            nacl.state == NaclState::Degraded && nacl.reason.contains(action)
        });
        site.cloud.ec2.clear_faults();
        site.wait_state(NaclState::On, ACL);
    }
    site.wait("all six", |site| {
        (site.count(ACL, false) == 6).then_some(())
    });
    assert_eq!(site.cloud.ec2.count(DELETE, "ok"), 0);
}

#[test]
fn a_peer_that_never_answers_is_given_up() {
    let mut site = Site::new("");
    site.start_tier();
    strike(&site, CREATE, 1, Fault::HalfOpen);
    site.ban("198.51.100.1");
    site.wait("the create hangs", |site| {
        (site.cloud.ec2.count(CREATE, "half_open") == 1).then_some(())
    });
    site.ban("198.51.100.2");
    site.wait_denied(&["198.51.100.1/32", "198.51.100.2/32"]);
    site.wait_state(NaclState::On, ACL);
}
