//! The program against a model that is too simple to be wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use nicban::target::Ipv6Prefix;
use nicban_ebpf::abi::AllowOrigin;
use nicban_tests::datapath::{
    Datapath,
    Verdict::{Drop, Pass},
    boot_ns,
};
use nicban_tests::packet::Shape;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const HOUR: u64 = 3_600_000_000_000;

#[derive(Debug, Clone)]
enum Step {
    Ban(IpNet, End),
    Unban(IpNet),
    Allow(IpNet),
    Disallow(IpNet),
    Packet(IpAddr),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Never,
    Later,
    Past,
}

/// What is banned and what is allowed, looked through one by one.
#[derive(Debug, Default)]
struct Model {
    bans: BTreeMap<IpNet, End>,
    allowed: BTreeSet<IpNet>,
}

impl Model {
    fn drops(&self, source: IpAddr) -> bool {
        let covers = |network: &IpNet| network.contains(&source);
        let banned = self
            .bans
            .iter()
            .any(|(network, end)| *end != End::Past && covers(network));
        banned && !self.allowed.iter().any(covers)
    }
}

/// Few addresses, close together, so that bans, allows and packets meet.
fn address() -> impl Strategy<Value = IpAddr> {
    let few = || prop_oneof![Just(0_u8), Just(1), Just(0x80), Just(0xff)];
    prop_oneof![
        (few(), few(), few()).prop_map(|(b, c, d)| IpAddr::from([10, b, c, d])),
        (few(), few(), few(), few()).prop_map(|(a, b, c, d)| {
            let mut octets = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            (octets[5], octets[7], octets[8], octets[15]) = (a, b, c, d);
            IpAddr::from(octets)
        }),
    ]
}

fn network() -> impl Strategy<Value = IpNet> {
    let v4 = prop_oneof![Just(32_u8), 8_u8..=32];
    let v6 = prop_oneof![Just(64_u8), Just(48), Just(128), 12_u8..=128];
    (address(), v4, v6).prop_map(|(address, v4, v6)| {
        let bits = if address.is_ipv4() { v4 } else { v6 };
        IpNet::new(address, bits).unwrap().trunc()
    })
}

fn step() -> impl Strategy<Value = Step> {
    let end = prop_oneof![
        2 => Just(End::Never),
        2 => Just(End::Later),
        1 => Just(End::Past),
    ];
    prop_oneof![
        4 => (network(), end).prop_map(|(network, end)| Step::Ban(network, end)),
        2 => network().prop_map(Step::Unban),
        1 => network().prop_map(Step::Allow),
        1 => network().prop_map(Step::Disallow),
        12 => address().prop_map(Step::Packet),
    ]
}

fn agrees(prefix: Ipv6Prefix, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut datapath = Datapath::load_with(|options| options.ipv6_prefix = prefix).unwrap();
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Ban(network, end) => {
                let expires_at = match end {
                    End::Never => 0,
                    End::Later => boot_ns().unwrap() + HOUR,
                    End::Past => 1,
                };
                datapath.tables.put(&network, expires_at).unwrap();
                model.bans.insert(network, end);
            }
            Step::Unban(network) => {
                datapath.tables.remove(&network).unwrap();
                model.bans.remove(&network);
            }
            Step::Allow(network) => {
                datapath
                    .tables
                    .allow(&network, AllowOrigin::Operator)
                    .unwrap();
                model.allowed.insert(network);
            }
            Step::Disallow(network) => {
                datapath.tables.disallow(&network).unwrap();
                model.allowed.remove(&network);
            }
            Step::Packet(source) => {
                let verdict = datapath.run(&Shape::from(source).frame()).unwrap();
                let expected = if model.drops(source) { Drop } else { Pass };
                prop_assert_eq!(verdict, expected, "{} by {:?}", source, model);
            }
        }
    }
    let bans: BTreeSet<IpNet> = datapath
        .tables
        .bans()
        .unwrap()
        .into_iter()
        .map(|(network, _)| network)
        .collect();
    prop_assert_eq!(bans, model.bans.into_keys().collect());
    Ok(())
}

#[test]
fn the_verdict_is_the_models_after_any_steps() {
    let prefix = prop_oneof![
        2 => Just(64_u8),
        1 => 32_u8..=64,
    ];
    let config = Config {
        cases: nicban_tests::cases::at_most(300),
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(
            &(prefix, proptest::collection::vec(step(), 1..120)),
            |(bits, steps)| agrees(Ipv6Prefix::new(bits).unwrap(), steps),
        )
        .unwrap();
}
