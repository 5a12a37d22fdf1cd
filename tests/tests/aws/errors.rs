//! Each kind of error that EC2 has, for as long as it lasts: the status says why, XDP goes
//! on at once, and the tier catches up when it is over.

use nicban_protocol::NaclState;
use nicban_tests::standin::faults::{Fault, FaultRule};

use crate::site::{ACL, Site, host};

/// A code of each kind, two where the answer differs by the call, and the state that it
/// leads to. `NetworkAclEntryLimitExceeded` teaches a quota and has a test of its own.
const CODES: [(&str, NaclState); 12] = [
    ("RequestLimitExceeded", NaclState::Degraded),
    ("NetworkAclEntryAlreadyExists", NaclState::Degraded),
    ("InvalidNetworkAclEntry.NotFound", NaclState::Degraded),
    ("InvalidNetworkAclID.NotFound", NaclState::Degraded),
    ("InvalidNetworkAclId.Malformed", NaclState::Degraded),
    ("UnauthorizedOperation", NaclState::Refused),
    ("AuthFailure", NaclState::Refused),
    ("ExpiredToken", NaclState::Degraded),
    ("DryRunOperation", NaclState::Degraded),
    ("Unavailable", NaclState::Degraded),
    ("InternalError", NaclState::Degraded),
    ("SomethingNew", NaclState::Degraded),
];

/// Runs the job for some codes at a time, all at once: most of it is waiting.
fn for_each_code(job: impl Fn(&[(&str, NaclState)]) + Sync) {
    std::thread::scope(|scope| {
        for some in CODES.chunks(3) {
            scope.spawn(|| job(some));
        }
    });
}

fn always(site: &Site, action: &str, code: &str) {
    let code = code.to_owned();
    let fault = Fault::Error { code };
    site.cloud.ec2.inject(FaultRule::always(action, fault));
}

/// Waits for the fault to show, bans someone meanwhile, and ends it.
fn endure(site: &mut Site, code: &str, state: NaclState, other: &str) {
    let nacl = site.wait_state(state, code);
    assert!(!nacl.reason.contains('\n'), "{}", nacl.reason);
    // The answer comes once the kernel drops the address.
    site.ban(other);
    site.cloud.ec2.clear_faults();
}

#[test]
fn while_describe_fails() {
    for_each_code(|codes| {
        let mut site = Site::new("");
        site.start_tier();
        for (number, (code, state)) in codes.iter().enumerate() {
            always(&site, "DescribeNetworkAcls", code);
            let other = format!("198.51.100.{}", number + 1);
            endure(&mut site, code, *state, &other);
            site.wait(&format!("{other} is denied after {code}"), |site| {
                (site.count(ACL, false) == number + 1).then_some(())
            });
            site.wait_state(NaclState::On, ACL);
        }
    });
}

#[test]
fn while_create_fails() {
    for_each_code(|codes| {
        let mut site = Site::new("");
        site.start_tier();
        for (number, (code, state)) in codes.iter().enumerate() {
            always(&site, "CreateNetworkAclEntry", code);
            site.ban(&format!("198.51.100.{}", 2 * number + 1));
            let other = format!("198.51.100.{}", 2 * number + 2);
            endure(&mut site, code, *state, &other);
            site.wait(&format!("both are denied after {code}"), |site| {
                (site.count(ACL, false) == 2 * number + 2).then_some(())
            });
            site.wait_state(NaclState::On, ACL);
        }
    });
}

#[test]
fn while_replace_fails() {
    for_each_code(|codes| {
        // The default deny, the default allow, and one slot.
        let mut site = Site::new("quota = 3\n");
        site.start_tier();
        site.ban("198.51.100.1");
        site.wait_denied(&["198.51.100.1/32"]);
        for (number, (code, state)) in codes.iter().enumerate() {
            let holder = format!("198.51.100.{}", number + 1);
            let heir = format!("198.51.100.{}", number + 2);
            always(&site, "ReplaceNetworkAclEntry", code);
            site.ban(&heir);
            site.unban(&holder);
            let other = format!("203.0.113.{}", number + 1);
            endure(&mut site, code, *state, &other);
            site.unban(&other);
            site.wait_denied(&[&host(&heir)]);
            site.wait_state(NaclState::On, ACL);
        }
    });
}

#[test]
fn while_delete_fails() {
    for_each_code(|codes| {
        let mut site = Site::new("");
        site.start_tier();
        for (number, (code, state)) in codes.iter().enumerate() {
            let address = format!("198.51.100.{}", number + 1);
            site.ban(&address);
            site.wait_denied(&[&host(&address)]);
            always(&site, "DeleteNetworkAclEntry", code);
            site.unban(&address);
            let other = format!("203.0.113.{}", number + 1);
            endure(&mut site, code, *state, &other);
            site.wait_denied(&[&host(&other)]);
            site.unban(&other);
            site.wait_denied(&[]);
            site.wait_state(NaclState::On, ACL);
        }
    });
}

#[test]
fn a_hiccup_is_not_even_seen() {
    let mut site = Site::new("");
    site.start_tier();
    let codes = ["RequestLimitExceeded", "Unavailable", "InternalError"];
    for action in ["CreateNetworkAclEntry", "DescribeNetworkAcls"] {
        for code in codes.map(str::to_owned) {
            let fault = Fault::Error { code };
            site.cloud.ec2.inject(FaultRule::times(action, 1, fault));
        }
    }
    site.ban("198.51.100.1");
    site.wait("it is denied", |site| {
        assert_eq!(site.status().nacl.state, NaclState::On);
        (site.count(ACL, false) == 1).then_some(())
    });
    // A look comes when one is due, whether or not anything is to be changed.
    site.wait("it has met each error once", |site| {
        assert_eq!(site.status().nacl.state, NaclState::On);
        let met = ["CreateNetworkAclEntry", "DescribeNetworkAcls"]
            .iter()
            .flat_map(|action| codes.map(|code| site.cloud.ec2.count(action, code)));
        met.into_iter().all(|times| times == 1).then_some(())
    });
}
