use std::collections::BTreeMap;

use ipnet::IpNet;
use proptest::prelude::*;

use super::super::acl::Action;
use super::super::protocol::Describe;
use super::*;

const SUBNET: &str = "subnet-0123abcd";
const ACL: &str = "acl-0123abcd";
const OTHER: &str = "acl-0fffffff";

fn state() -> State {
    State::new(&Ec2Config::one_subnet(SUBNET, ACL)).unwrap()
}

fn other_acl() -> AclConfig {
    AclConfig {
        id: OTHER.into(),
        vpc: "vpc-0a1b2c3d4e5f60718".into(),
        owner: None,
        is_default: false,
        ipv6: false,
        default_allows: false,
        tags: BTreeMap::new(),
        subnets: Vec::new(),
        entries: Vec::new(),
    }
}

fn deny(number: u16, network: &str) -> Entry {
    Entry::ingress(number, Action::Deny, network.parse().unwrap())
}

fn numbered(number: u16) -> Entry {
    deny(number, &format!("192.0.2.{number}/32"))
}

fn create(state: &mut State, entry: Entry) -> Result<(), ApiError> {
    state.apply(&Request::Create(ACL.into(), entry))
}

fn replace(state: &mut State, entry: Entry) -> Result<(), ApiError> {
    state.apply(&Request::Replace(ACL.into(), entry))
}

fn delete(state: &mut State, number: u16) -> Result<(), ApiError> {
    let key = Key {
        egress: false,
        number,
    };
    state.apply(&Request::Delete(ACL.into(), key))
}

fn code<T: std::fmt::Debug>(result: Result<T, ApiError>) -> String {
    result.unwrap_err().code.into_owned()
}

#[test]
fn a_default_nacl_leaves_eighteen_slots_in_each_direction_and_family() {
    let mut state = state();
    for number in 1..=18 {
        create(&mut state, numbered(number)).unwrap();
        create(
            &mut state,
            deny(200 + number, &format!("2001:db8:{number}::/64")),
        )
        .unwrap();
        let out = Entry::egress(number, Action::Deny, "192.0.2.0/24".parse().unwrap());
        create(&mut state, out).unwrap();
    }
    let full = [
        numbered(19),
        deny(219, "2001:db8:ff::/64"),
        Entry::egress(19, Action::Deny, "192.0.2.0/24".parse().unwrap()),
    ];
    for entry in full {
        assert_eq!(
            code(create(&mut state, entry)),
            "NetworkAclEntryLimitExceeded"
        );
    }
    assert_eq!(state.acls()[ACL].entries.len(), 8 + 3 * 18);
}

#[test]
fn a_freed_slot_can_be_filled_and_a_raised_quota_gives_more() {
    let mut state = state();
    for number in 1..=18 {
        create(&mut state, numbered(number)).unwrap();
    }
    delete(&mut state, 7).unwrap();
    create(&mut state, numbered(50)).unwrap();
    assert_eq!(
        code(create(&mut state, numbered(51))),
        "NetworkAclEntryLimitExceeded"
    );
    state.set_quota(21);
    create(&mut state, numbered(51)).unwrap();
    assert_eq!(
        code(create(&mut state, numbered(52))),
        "NetworkAclEntryLimitExceeded"
    );
}

#[test]
fn a_number_is_taken_once_in_each_direction_whatever_the_family() {
    let mut state = state();
    create(&mut state, numbered(1)).unwrap();
    let again = create(&mut state, deny(1, "198.51.100.1/32"));
    assert_eq!(code(again), "NetworkAclEntryAlreadyExists");
    let v6 = create(&mut state, deny(1, "2001:db8::/64"));
    assert_eq!(code(v6), "NetworkAclEntryAlreadyExists");
    let out = Entry::egress(1, Action::Deny, "192.0.2.1/32".parse().unwrap());
    create(&mut state, out).unwrap();
}

#[test]
fn an_identical_create_does_as_configured() {
    let mut config = Ec2Config::one_subnet(SUBNET, ACL);
    let mut refusing = State::new(&config).unwrap();
    create(&mut refusing, numbered(1)).unwrap();
    assert_eq!(
        code(create(&mut refusing, numbered(1))),
        "NetworkAclEntryAlreadyExists"
    );
    config.identical_create = IdenticalCreate::Succeeds;
    let mut accepting = State::new(&config).unwrap();
    create(&mut accepting, numbered(1)).unwrap();
    create(&mut accepting, numbered(1)).unwrap();
    let other = create(&mut accepting, deny(1, "198.51.100.1/32"));
    assert_eq!(code(other), "NetworkAclEntryAlreadyExists");
}

#[test]
fn replace_needs_an_entry_but_no_quota() {
    let mut state = state();
    for number in 1..=18 {
        create(&mut state, numbered(number)).unwrap();
    }
    replace(&mut state, deny(3, "203.0.113.9/32")).unwrap();
    let key = numbered(3).key();
    assert_eq!(state.acls()[ACL].entries[&key], deny(3, "203.0.113.9/32"));
    let missing = replace(&mut state, numbered(60));
    assert_eq!(code(missing), "InvalidNetworkAclEntry.NotFound");
}

#[test]
fn replace_by_the_other_family_counts_towards_its_quota() {
    let mut state = state();
    create(&mut state, deny(50, "2001:db8::/64")).unwrap();
    for number in 1..=18 {
        create(&mut state, numbered(number)).unwrap();
    }
    let moved = replace(&mut state, deny(50, "192.0.2.99/32"));
    assert_eq!(code(moved), "NetworkAclEntryLimitExceeded");
    replace(&mut state, deny(1, "2001:db8:1::/64")).unwrap();
    replace(&mut state, deny(50, "192.0.2.99/32")).unwrap();
}

#[test]
fn delete_needs_an_entry_and_never_takes_a_default_deny() {
    let mut state = state();
    assert_eq!(
        code(delete(&mut state, 1)),
        "InvalidNetworkAclEntry.NotFound"
    );
    for number in [32_767, 32_768] {
        assert_eq!(code(delete(&mut state, number)), "InvalidParameterValue");
        let change = Change::RemoveEntry {
            acl: ACL.into(),
            egress: true,
            number,
        };
        assert_eq!(code(state.change(&change)), "InvalidParameterValue");
    }
    delete(&mut state, 100).unwrap();
    assert_eq!(
        code(delete(&mut state, 100)),
        "InvalidNetworkAclEntry.NotFound"
    );
}

#[test]
fn an_unknown_nacl_is_not_found_by_any_call() {
    let mut state = state();
    let tags = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
    for request in [
        Request::Create(OTHER.into(), numbered(1)),
        Request::Replace(OTHER.into(), numbered(1)),
        Request::Delete(OTHER.into(), numbered(1).key()),
        Request::Tag(vec![ACL.into(), OTHER.into()], tags),
    ] {
        let before = state.acls().clone();
        assert_eq!(code(state.apply(&request)), "InvalidNetworkAclID.NotFound");
        assert_eq!(*state.acls(), before);
    }
}

#[test]
fn a_forbidden_action_is_refused_until_permitted() {
    let mut state = state();
    let request = Request::Create(ACL.into(), numbered(1));
    state.forbid("CreateNetworkAclEntry");
    let refused = state.authorise("CreateNetworkAclEntry", &request);
    assert_eq!(code(refused), "UnauthorizedOperation");
    assert_eq!(state.authorise("ReplaceNetworkAclEntry", &request), Ok(()));
    state.permit("CreateNetworkAclEntry");
    assert_eq!(state.authorise("CreateNetworkAclEntry", &request), Ok(()));
}

#[test]
fn a_nacl_of_another_account_can_be_described_but_not_changed() {
    let mut config = Ec2Config::one_subnet(SUBNET, ACL);
    config.acls[0].owner = Some("999999999999".into());
    let state = State::new(&config).unwrap();
    let create = Request::Create(ACL.into(), numbered(1));
    let refused = state.authorise("CreateNetworkAclEntry", &create);
    assert_eq!(code(refused), "UnauthorizedOperation");
    let describe = Request::DescribeAcls(Describe::default());
    assert_eq!(state.authorise("DescribeNetworkAcls", &describe), Ok(()));
    assert_eq!(state.acls()[ACL].owner, "999999999999");
}

#[test]
fn somebody_else_adds_edits_and_removes_without_the_quota() {
    let mut state = state();
    for number in 1..=30 {
        let change = Change::PutEntry {
            acl: ACL.into(),
            entry: numbered(number),
        };
        state.change(&change).unwrap();
    }
    let edit = Change::PutEntry {
        acl: ACL.into(),
        entry: deny(1, "203.0.113.1/32"),
    };
    state.change(&edit).unwrap();
    let key = numbered(1).key();
    assert_eq!(state.acls()[ACL].entries[&key], deny(1, "203.0.113.1/32"));
    let remove = Change::RemoveEntry {
        acl: ACL.into(),
        egress: false,
        number: 1,
    };
    state.change(&remove).unwrap();
    assert_eq!(
        code(state.change(&remove)),
        "InvalidNetworkAclEntry.NotFound"
    );
    let protected = Change::PutEntry {
        acl: ACL.into(),
        entry: deny(32_767, "0.0.0.0/0"),
    };
    assert_eq!(code(state.change(&protected)), "InvalidParameterValue");
}

#[test]
fn a_subnet_moves_to_another_nacl_with_a_new_association() {
    let mut state = state();
    let before = state.acls()[ACL].associations[0].clone();
    state.change(&Change::AddAcl { acl: other_acl() }).unwrap();
    let swap = Change::Associate {
        subnet: SUBNET.into(),
        acl: OTHER.into(),
    };
    state.change(&swap).unwrap();
    assert!(state.acls()[ACL].associations.is_empty());
    let after = &state.acls()[OTHER].associations;
    assert_eq!(after[0].subnet, SUBNET);
    assert_ne!(after[0].id, before.id);
    assert_eq!(state.acls()[OTHER].entries.len(), 2);
    state
        .change(&Change::DeleteAcl { acl: ACL.into() })
        .unwrap();
    assert_eq!(
        code(create(&mut state, numbered(1))),
        "InvalidNetworkAclID.NotFound"
    );
    let nowhere = Change::Associate {
        subnet: "subnet-0000ffff".into(),
        acl: OTHER.into(),
    };
    assert_eq!(code(state.change(&nowhere)), "InvalidSubnetID.NotFound");
}

#[test]
fn tags_are_set_by_call_and_by_somebody_else() {
    let mut state = state();
    let tags = BTreeMap::from([("Name".to_owned(), "edge".to_owned())]);
    state.apply(&Request::Tag(vec![ACL.into()], tags)).unwrap();
    let managed = Change::Tag {
        acl: ACL.into(),
        key: "FMManaged".into(),
        value: "true".into(),
    };
    state.change(&managed).unwrap();
    assert_eq!(state.acls()[ACL].tags["Name"], "edge");
    assert_eq!(state.acls()[ACL].tags["FMManaged"], "true");
}

#[test]
fn configurations_that_aws_could_not_hold_are_refused() {
    let good = Ec2Config::one_subnet(SUBNET, ACL);
    let refused = |edit: fn(&mut Ec2Config)| {
        let mut config = good.clone();
        edit(&mut config);
        State::new(&config).unwrap_err()
    };
    assert_eq!(
        refused(|c| c.acls[0].id = "acl-1".into()),
        ConfigError::MalformedId("acl-1".into())
    );
    assert_eq!(
        refused(|c| c.subnets[0].id = "net".into()),
        ConfigError::MalformedId("net".into())
    );
    assert_eq!(
        refused(|c| c.acls.push(c.acls[0].clone())),
        ConfigError::Twice(SUBNET.into())
    );
    assert_eq!(
        refused(|c| c.subnets.clear()),
        ConfigError::UnknownSubnet {
            acl: ACL.into(),
            subnet: SUBNET.into()
        }
    );
    for number in [0, 100, 32_767] {
        let mut config = good.clone();
        config.acls[0].entries = vec![deny(number, "192.0.2.0/24")];
        let bad = ConfigError::BadEntry {
            acl: ACL.into(),
            number,
        };
        assert_eq!(State::new(&config).unwrap_err(), bad);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Create(Entry),
    Replace(Entry),
    Delete(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let network = prop_oneof![
        (0_u8..4).prop_map(|n| format!("192.0.2.{n}/32")),
        (0_u8..4).prop_map(|n| format!("2001:db8:{n}::/64")),
    ];
    (0..3, 1_u16..12, network).prop_map(|(kind, number, network)| match kind {
        0 => Step::Create(deny(number, &network)),
        1 => Step::Replace(deny(number, &network)),
        _ => Step::Delete(number),
    })
}

proptest! {
    /// Against a model of one line a rule: a map of numbers and two counts.
    #[test]
    fn any_sequence_of_calls_keeps_the_rules(steps in proptest::collection::vec(step(), 0..80)) {
        const QUOTA: usize = 6;
        let mut config = Ec2Config::one_subnet(SUBNET, ACL);
        config.quota = 6;
        let mut state = State::new(&config).unwrap();
        let mut model: BTreeMap<u16, IpNet> = BTreeMap::new();
        // The allow and the default deny hold two places of each family.
        let has_room = |model: &BTreeMap<u16, IpNet>, net: &IpNet| {
            let same = |other: &&IpNet| matches!(other, IpNet::V4(_)) == matches!(net, IpNet::V4(_));
            model.values().filter(same).count() + 2 < QUOTA
        };
        for step in steps {
            let before = state.acls().clone();
            let (done, expected) = match step {
                Step::Create(entry) => {
                    let expected = !model.contains_key(&entry.number)
                        && has_room(&model, &entry.network);
                    if expected {
                        model.insert(entry.number, entry.network);
                    }
                    (create(&mut state, entry), expected)
                }
                Step::Replace(entry) => {
                    let expected = model.get(&entry.number).is_some_and(|present| {
                        matches!(present, IpNet::V4(_)) == matches!(entry.network, IpNet::V4(_))
                            || has_room(&model, &entry.network)
                    });
                    if expected {
                        model.insert(entry.number, entry.network);
                    }
                    (replace(&mut state, entry), expected)
                }
                Step::Delete(number) => {
                    let expected = model.remove(&number).is_some();
                    (delete(&mut state, number), expected)
                }
            };
            prop_assert_eq!(done.is_ok(), expected, "{:?}", done);
            if !expected {
                prop_assert_eq!(state.acls(), &before);
            }
            let held: BTreeMap<u16, IpNet> = state.acls()[ACL]
                .entries
                .values()
                .filter(|e| !e.egress && e.number < 100)
                .map(|e| (e.number, e.network))
                .collect();
            prop_assert_eq!(&held, &model);
        }
    }
}
