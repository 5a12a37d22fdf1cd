//! The status page, text for text.

use nicban_protocol::{
    AttachMode, Attachment, BanRow, Dropped, FamilyCounters, Fill, Holder, Mode, NaclEntry,
    NaclState, NaclStatus, Status,
};

use super::page;

fn offender(address: &str, in_nacl: bool, rate: f64, failures: u32) -> BanRow {
    BanRow {
        address: address.to_owned(),
        holders: vec![Holder {
            name: "sshd".to_owned(),
            since: 0,
            until: Some(2000),
            bancount: 1,
            failures,
            reason: None,
        }],
        in_nacl,
        dropped: Dropped {
            packets: 98_765,
            bytes: 6_000_000,
            rate,
        },
    }
}

/// A status with these attachments, for the tests of those who look at them.
pub(crate) fn sample(attachments: Vec<Attachment>) -> Status {
    Status {
        attachments,
        ..status()
    }
}

fn status() -> Status {
    Status {
        version: "0.1.0".to_owned(),
        mode: Mode::Enforce,
        warnings: Vec::new(),
        attachments: vec![Attachment {
            interface: "ens5".to_owned(),
            mode: Some(AttachMode::Native),
            confirm_within_s: None,
        }],
        bans: 34,
        maps: vec![Fill {
            map: "bans_v4".to_owned(),
            entries: 30,
            capacity: 1_048_576,
        }],
        ipv4: FamilyCounters {
            passed: 1_000_000,
            dropped: 123_456,
            dropped_bytes: 7_340_032,
            ..FamilyCounters::default()
        },
        ipv6: FamilyCounters::default(),
        other: FamilyCounters::default(),
        offenders: vec![
            offender("192.0.2.7", true, 0.0, 5),
            offender("2001:db8::/64", false, 12.5, 6),
        ],
        nacl: NaclStatus {
            state: NaclState::On,
            reason: "reconciled 12s ago".to_owned(),
            entries: vec![NaclEntry {
                acl: "acl-1".to_owned(),
                direction: "ingress".to_owned(),
                number: 1,
                network: "192.0.2.0/24".to_owned(),
                since: 700,
                rate: 431.0,
                failures: None,
                reason: "a slot was free".to_owned(),
            }],
            slots_v4: 18,
            slots_v6: 18,
            findings: Vec::new(),
        },
    }
}

#[test]
fn a_quiet_night() {
    assert_eq!(
        page(&status(), 1000),
        "\
nicban 0.1.0  enforcing  34 bans

INTERFACE  XDP
ens5       native

PACKETS     PASSED  DROPPED  BYTES DROPPED  WOULD DROP  ALLOWED  UNPARSED  UNTRACKED
IPv4     1,000,000  123,456        7.0 MiB           0        0         0          0
IPv6             0        0            0 B           0        0         0          0
other            0        0            0 B           0        0         0          0

OFFENDER       DROPPED AT                RATE  PACKETS  WHY
192.0.2.7      NACL rule 1, for 5m  was 431/s   98,765  sshd (5 failures)
2001:db8::/64  XDP                     12.5/s   98,765  sshd (6 failures)

NACL  on: reconciled 12s ago
  slots used: IPv4 1 of 18, IPv6 0 of 18
  NACL   DIRECTION  RULE  DENIES        LAST RATE  FOR  WHY
  acl-1  ingress       1  192.0.2.0/24      431/s  5m   a slot was free

MAP      ENTRIES   ROOM FOR  FULL
bans_v4       30  1,048,576  <1 %
"
    );
}

#[test]
fn what_is_wrong_stands_at_the_top() {
    let mut status = status();
    status.attachments = vec![
        Attachment {
            interface: "eth0".to_owned(),
            mode: Some(AttachMode::Generic),
            confirm_within_s: None,
        },
        Attachment {
            interface: "eth1".to_owned(),
            mode: None,
            confirm_within_s: None,
        },
        Attachment {
            interface: "eth2".to_owned(),
            mode: Some(AttachMode::Native),
            confirm_within_s: Some(42),
        },
    ];
    status.maps[0].entries = 1_000_000;
    status.warnings = vec!["the store is read-only".to_owned()];
    let page = page(&status, 1000);
    let top: Vec<&str> = page.lines().take_while(|line| !line.is_empty()).collect();
    assert_eq!(top[0], "nicban 0.1.0  enforcing  34 bans");
    assert_eq!(
        top[1],
        "!! eth2 is detached again in 42s unless confirmed: nicban confirm"
    );
    assert!(
        top[2].starts_with("!! map bans_v4 is 95 % full: "),
        "{page}"
    );
    assert_eq!(top[3], "!! the store is read-only");
    assert_eq!(top.len(), 4, "{page}");
    assert!(
        page.contains("\neth0       GENERIC (slow)\neth1       NOT ATTACHED\n"),
        "{page}"
    );
}

#[test]
fn when_nothing_is_dropped_the_page_says_why() {
    let mut observing = status();
    observing.mode = Mode::Observe;
    let page_text = page(&observing, 1000);
    assert!(page_text.starts_with("nicban 0.1.0  OBSERVING  34 bans\n!! observe mode: "));
    assert!(page_text.contains("2001:db8::/64  nowhere"), "{page_text}");

    let mut detached = status();
    detached.attachments.clear();
    assert!(page(&detached, 1000).contains("\n!! attached to no interface: nothing is dropped"));
}

#[test]
fn a_tier_in_trouble_shows_its_reason() {
    let mut status = status();
    status.nacl = NaclStatus {
        state: NaclState::Refused,
        reason: "acl-1 belongs to another account".to_owned(),
        entries: Vec::new(),
        slots_v4: 0,
        slots_v6: 0,
        findings: vec!["rule 50 allows everyone before rule 60".to_owned()],
    };
    let page = page(&status, 1000);
    assert!(
        page.contains(
            "\nNACL  REFUSED: acl-1 belongs to another account\n  \
             !! rule 50 allows everyone before rule 60\n\nMAP"
        ),
        "{page}"
    );
}
