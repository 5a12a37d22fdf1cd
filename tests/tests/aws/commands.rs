//! `nicban nacl test` tells whether the tier can work here, and leaves nothing behind.

use std::time::Duration;

use nicban_tests::standin::control::Control;
use nicban_tests::standin::faults::{Fault, FaultRule};
use nix::sys::signal::Signal;

use crate::site::{ACL, LIMIT, Said, Site};

/// The steps that failed, with what they say.
fn failed(said: &Said) -> Vec<(String, String)> {
    let report = said.json();
    let steps = report["steps"].as_array().unwrap();
    steps
        .iter()
        .filter(|step| step["passed"] == false)
        .map(|step| {
            let text = |key: &str| step[key].as_str().unwrap().to_owned();
            (text("what"), text("detail"))
        })
        .collect()
}

#[test]
fn on_a_good_nacl_it_passes_and_leaves_nothing() {
    let site = Site::new("");
    let before = site.acl(ACL);
    let said = site.nicban(&["nacl", "test", "--json"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let report = said.json();
    assert_eq!(report["passed"], true);
    let what: Vec<&str> = report["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["what"].as_str().unwrap())
        .collect();
    for part in ["deny 192.0.2.1/32", "see it", "delete it", "see it gone"] {
        assert!(what.iter().any(|w| w.contains(part)), "{part} in {what:?}");
    }
    assert_eq!(site.acl(ACL), before);
    let ec2 = &site.cloud.ec2;
    assert_eq!(ec2.count("CreateNetworkAclEntry", "ok"), 1);
    assert_eq!(ec2.count("DeleteNetworkAclEntry", "ok"), 1);
    for action in ["Create", "Replace", "Delete"] {
        let action = format!("{action}NetworkAclEntry");
        assert_eq!(ec2.count(&action, "DryRunOperation"), 1, "{action}");
    }
    // For people too.
    let table = site.nicban(&["nacl", "test"]);
    assert_eq!(table.code, Some(0), "{table:?}");
    assert!(table.stdout.contains("see it gone"), "{table:?}");
}

#[test]
fn it_waits_until_ec2_shows_the_change() {
    let site = Site::new("");
    site.cloud.ec2.set_visibility_delay(Duration::from_secs(3));
    let said = site.nicban(&["nacl", "test", "--json"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(site.denied(ACL).is_empty());
    // It looked again, both for the entry and for its absence.
    let looks = site.cloud.ec2.count("DescribeNetworkAcls", "ok");
    assert!(looks > 4, "{looks} looks");
}

#[test]
fn beside_a_daemon_it_finds_its_entry_however_slowly_it_looks() {
    const TESTED: &str = "192.0.2.1/32";
    let mut site = Site::new("");
    site.start_tier();
    site.ban("198.51.100.1");
    site.wait_denied(&["198.51.100.1/32"]);
    site.cloud.ec2.set_visibility_delay(Duration::from_secs(1));
    let mut test = site.begin(&["nacl", "test"]);
    site.wait_denied(&["198.51.100.1/32", TESTED]);
    // Held up, until the daemon has been shown the entry; shorter than the time that a
    // client waits for a reply.
    test.signal(Signal::SIGSTOP).unwrap();
    let daemons = site.wait("the daemon is shown it", |site| {
        let nacl = site.status().nacl;
        let shown = nacl.entries.iter().any(|entry| entry.network == TESTED);
        shown.then_some(nacl)
    });
    test.signal(Signal::SIGCONT).unwrap();
    let ended = test.wait(LIMIT).unwrap();
    assert!(ended.success(), "{}\n{}", test.output(), site.story());
    site.wait_denied(&["198.51.100.1/32"]);
    assert!(daemons.findings.is_empty(), "{daemons:?}");
    let ec2 = &site.cloud.ec2;
    assert_eq!(ec2.count("DeleteNetworkAclEntry", "ok"), 1);
}

#[test]
fn each_missing_right_is_named_before_anything_changes() {
    for action in [
        "CreateNetworkAclEntry",
        "ReplaceNetworkAclEntry",
        "DeleteNetworkAclEntry",
    ] {
        let site = Site::new("");
        site.cloud.ec2.forbid(action);
        let said = site.nicban(&["nacl", "test", "--json"]);
        assert_eq!(said.code, Some(1), "{said:?}");
        let failed = failed(&said);
        assert_eq!(failed.len(), 1, "{failed:?}");
        let (what, detail) = &failed[0];
        assert!(what.contains(&format!("ec2:{action}")), "{what}");
        assert!(detail.contains("UnauthorizedOperation"), "{detail}");
        assert_eq!(site.cloud.ec2.count("CreateNetworkAclEntry", "ok"), 0);
        site.cloud.ec2.permit(action);
        assert_eq!(site.nicban(&["nacl", "test"]).code, Some(0));
    }
}

#[test]
fn without_the_right_to_describe_it_says_so() {
    let site = Site::new("");
    site.cloud.ec2.forbid("DescribeNetworkAcls");
    let said = site.nicban(&["nacl", "test"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("DescribeNetworkAcls"), "{said:?}");
    assert!(said.stderr.contains("UnauthorizedOperation"), "{said:?}");
}

#[test]
fn a_full_nacl_is_said_to_be_full_and_stays_as_it_was() {
    let site = Site::new("");
    // The default deny and the default allow.
    let order = Control::Quota { rules: 2 };
    site.cloud.ec2.control(order).unwrap();
    let before = site.acl(ACL);
    let said = site.nicban(&["nacl", "test", "--json"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let failed = failed(&said);
    assert!(
        failed[0].1.contains("NetworkAclEntryLimitExceeded"),
        "{failed:?}"
    );
    assert_eq!(site.acl(ACL), before);
}

#[test]
fn a_lost_reply_leaves_nothing_behind() {
    let site = Site::new("");
    // The dry run has its ordinary answer; the call itself is made, and not answered.
    let code = "DryRunOperation".to_owned();
    for fault in [Fault::Error { code }, Fault::ReplyLost] {
        let rule = FaultRule::times("CreateNetworkAclEntry", 1, fault);
        site.cloud.ec2.inject(rule);
    }
    let said = site.nicban(&["nacl", "test", "--json"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(failed(&said)[0].0.contains("create"), "{said:?}");
    assert_eq!(site.cloud.ec2.count("CreateNetworkAclEntry", "lost"), 1);
    assert_eq!(site.cloud.ec2.count("DeleteNetworkAclEntry", "ok"), 1);
    assert!(site.denied(ACL).is_empty(), "{said:?} {}", site.story());
}
