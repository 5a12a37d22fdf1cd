use std::path::Path;
use std::time::Duration;

use nicban_protocol::Mode;
use proptest::prelude::*;

use crate::xdp::Attach;

use super::{Config, ConfigError, NaclEnabled, User, read};
use crate::nacl::acl::Direction;
use crate::nacl::market::Measure;

const EXAMPLE: &str = include_str!("../../../packaging/nicban.toml");

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("test.toml"))
}

fn refusal(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn the_example_is_the_defaults() {
    assert_eq!(parse(EXAMPLE).unwrap(), Config::default());
}

/// With the comment signs before its keys taken away the example still says
/// the defaults, so that the values it names are the true ones.
#[test]
fn every_key_stands_in_the_example_with_its_default() {
    let (_, _, keys) = read("").unwrap();
    // These have no default to show; the example shows another value.
    let without_default = ["daemon.socket_group", "nacl.region"];
    let mut section = "";
    let mut found = std::collections::BTreeSet::new();
    let mut uncommented = String::new();
    for line in EXAMPLE.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = name;
            uncommented.push_str(line);
        } else if let Some(setting) = line.strip_prefix('#')
            && let Some((key, _)) = setting.split_once(" = ")
            && key
                .chars()
                .all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
        {
            let key = format!("{section}.{key}");
            if !without_default.contains(&key.as_str()) {
                uncommented.push_str(setting);
            }
            assert!(found.insert(key), "twice: {line}");
        }
        uncommented.push('\n');
    }
    assert_eq!(found, keys);
    assert_eq!(parse(&uncommented).unwrap(), Config::default());
}

#[test]
fn an_empty_file_is_the_defaults() {
    assert_eq!(parse("").unwrap(), Config::default());
}

#[test]
fn every_kind_of_value_is_read() {
    let config = parse(
        r#"
        [daemon]
        socket_mode = 0o600
        users = ["alice", 1000]
        [xdp]
        interfaces = ["eth0", "eth1"]
        mode = "observe"
        attach = "native"
        max_bans = 2_000_000
        expiry_grace = "1h 30m"
        [allow]
        networks = ["192.0.2.1", "2001:db8::/32"]
        [nacl]
        enabled = "off"
        directions = ["egress", "ingress", "egress"]
        rule_numbers = "200-299"
        margin = 3
        calls_per_second = 0.25
        region = "eu-central-1"
        compete = "failures"
        subnets = ["subnet-0123456789abcdef0"]
        [metrics]
        listen = "[::1]:9"
        "#,
    )
    .unwrap();
    assert_eq!(config.daemon.socket_mode.bits(), 0o600);
    assert_eq!(
        config.daemon.users,
        [User::Name("alice".to_owned()), User::Id(1000)]
    );
    assert_eq!(config.xdp.interfaces.len(), 2);
    assert_eq!(config.xdp.mode, Mode::Observe);
    assert_eq!(config.xdp.attach, Attach::Native);
    assert_eq!(config.xdp.max_bans.get(), 2_000_000);
    assert_eq!(config.xdp.expiry_grace, Duration::from_mins(90));
    assert_eq!(config.allow.networks[0].to_string(), "192.0.2.1/32");
    assert_eq!(config.nacl.enabled, NaclEnabled::Off);
    assert_eq!(
        config.nacl.directions,
        [Direction::Ingress, Direction::Egress]
    );
    assert_eq!(config.nacl.rule_numbers.range(), 200..=299);
    assert!((config.nacl.margin - 3.0).abs() < f64::EPSILON);
    assert!((config.nacl.calls_per_second - 0.25).abs() < f64::EPSILON);
    assert_eq!(config.nacl.plan().market.measure, Measure::Failures);
    assert_eq!(config.nacl.subnets[0].as_str(), "subnet-0123456789abcdef0");
    assert_eq!(config.nacl.region.unwrap().as_str(), "eu-central-1");
    assert_eq!(config.metrics.listen.get().to_string(), "[::1]:9");
}

#[test]
fn an_unknown_key_names_file_line_key_and_what_was_meant() {
    assert_eq!(
        refusal("[xdp]\nmode = \"observe\"\nmaxbans = 5\n"),
        "test.toml:3: xdp.maxbans: unknown key; did you mean max_bans?"
    );
    assert_eq!(
        refusal("[rank]\ncolour = 5\n"),
        "test.toml:2: rank.colour: unknown key; allowed here: half_life, warm_up, tick"
    );
}

#[test]
fn an_unknown_section_and_a_key_without_one() {
    assert_eq!(
        refusal("\n[xpd]\n"),
        "test.toml:2: xpd: unknown section [xpd]; did you mean xdp?"
    );
    assert!(refusal("max_bans = 3\n").contains("every key belongs to a section"));
    assert!(refusal("xdp = 3\n").contains("is a section"));
}

#[test]
fn a_bad_value_names_what_is_allowed() {
    assert_eq!(
        refusal("[xdp]\nmax_bans = 0\n"),
        "test.toml:2: xdp.max_bans: 0 is not allowed: a whole number from 1 to 16777216"
    );
    assert_eq!(
        refusal("[xdp]\nmode = \"enforced\"\n"),
        "test.toml:2: xdp.mode: \"enforced\" is not allowed: one of \"enforce\", \"observe\"; \
         did you mean \"enforce\"?"
    );
    assert_eq!(
        refusal("[rank]\n\ntick = 1\n"),
        "test.toml:3: rank.tick: 1 is not allowed: a time in quotes from \"100ms\" to \"1m\", \
         such as \"90s\" or \"1h 30m\""
    );
    assert!(refusal("[metrics]\nlisten = \"0.0.0.0:9\"\n").contains("a loopback address"));
    assert!(refusal("[nacl]\nmargin = nan\n").contains("a number from 1 to 100"));
    assert!(refusal("[nacl]\nrule_numbers = \"90-10\"\n").contains("a range in quotes"));
    assert!(refusal("[nacl]\nrule_numbers = \"0-10\"\n").contains("\"1-32766\""));
    assert!(refusal("[nacl]\ndirections = []\n").contains("at least one"));
    assert!(refusal("[nacl]\ncompete = \"failure\"\n").contains("did you mean \"failures\"?"));
    for subnet in [
        "",
        "subnet-",
        "vpc-01234567",
        "subnet-0123456Z",
        "subnet-012345678901234567",
    ] {
        let text = format!("[nacl]\nsubnets = [\"{subnet}\"]\n");
        assert!(refusal(&text).contains("item 1: a subnet's id"), "{subnet}");
    }
    assert!(refusal("[nacl]\nregion = \"evil.example.org/\"\n").contains("a Region's name"));
    assert!(refusal("[daemon]\nsocket = \"relative\"\n").contains("an absolute path"));
    assert!(refusal("[xdp]\ninterfaces = [\"eth0\", \"a/b\"]\n").contains("item 2"));
    assert!(refusal("[xdp]\nipv6_prefix = 65\n").contains("from 32 to 64"));
}

#[test]
fn values_that_contradict_each_other() {
    assert_eq!(
        refusal("[nacl]\nlongest_term = \"30s\"\n"),
        "test.toml:2: nacl.longest_term: 30s is shorter than first_term, 1m"
    );
    assert!(refusal("[nacl]\nobserve_every = \"1h\"\n").contains("shorter than observe_every"));
    assert_eq!(
        refusal("[rank]\nhalf_life = \"5s\"\nwarm_up = \"1s\"\ntick = \"6s\"\n"),
        "test.toml:2: rank.half_life: 5s is shorter than tick, 6s"
    );
    assert_eq!(
        refusal("[rank]\n\nwarm_up = \"2m\"\n[nacl]\nprobation = \"10m\"\n"),
        "test.toml:3: rank.half_life: 1m is shorter than warm_up, 2m"
    );
    assert!(refusal("[nacl]\nprobation = \"6s\"\n").contains("two ticks of [rank], 7s"));
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_lines() {
    let report = refusal("[nacl]\nquota = 41\n[daemon]\nsoket = \"/x\"\n[xdp]\nattach = 1\n");
    let lines: Vec<&str> = report.lines().collect();
    assert_eq!(lines.len(), 3, "{report}");
    assert!(lines[0].starts_with("test.toml:2: nacl.quota: 41 "));
    assert!(lines[1].starts_with("test.toml:4: daemon.soket: unknown key; did you mean socket?"));
    assert!(lines[2].starts_with("test.toml:6: xdp.attach: 1 "));
}

#[test]
fn what_is_not_toml_names_the_line() {
    let report = refusal("[xdp]\nmax_bans = = 3\n");
    assert!(report.starts_with("test.toml:2: "), "{report}");
}

#[test]
fn a_named_file_must_exist() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("absent.toml");
    let error = Config::load(Some(&file)).unwrap_err();
    assert!(matches!(error, ConfigError::Read { .. }));
    assert!(error.to_string().contains("absent.toml"));
    std::fs::write(&file, "[xdp]\nmax_nets = 7\n").unwrap();
    assert_eq!(Config::load(Some(&file)).unwrap().xdp.max_nets.get(), 7);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(\\[(xdp|nacl|rank)\\]\n)?([a-z_]{1,8} = [\\[\\]\"0-9a-z.-]{0,12}\n){0,4}.{0,20}") {
        if let Err(error) = parse(&text) {
            prop_assert!(error.to_string().starts_with("test.toml:"));
        }
    }

    #[test]
    fn whole_numbers_are_taken_exactly_within_their_range(n in any::<u32>()) {
        let parsed = parse(&format!("[xdp]\nmax_bans = {n}\n"));
        if (1..=16_777_216).contains(&n) {
            prop_assert_eq!(parsed.unwrap().xdp.max_bans.get(), n);
        } else {
            prop_assert!(parsed.is_err());
        }
    }
}
