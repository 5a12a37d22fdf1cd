//! Configuration files: refused with the lines, or within the ranges that
//! packaging/nicban.toml documents.
#![no_main]

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use nicban::config::{Config, ConfigError, Nacl, Rank};
use nicban_fuzz::one_line;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const WEEK: Duration = Duration::from_hours(7 * 24);

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    match Config::parse(text, Path::new("nicban.toml")) {
        Ok(config) => in_range(&config),
        Err(ConfigError::Invalid { problems, .. }) => {
            assert!(!problems.is_empty());
            for problem in problems {
                // What ends too early does so at its end, be it the beginning of a line.
                assert!(
                    (1..=text.split('\n').count()).contains(&problem.line),
                    "{problem:?}"
                );
                assert!(!problem.message.is_empty());
            }
        }
        Err(other) => panic!("nothing was to be read: {other}"),
    }
});

fn in_range(config: &Config) {
    let daemon = &config.daemon;
    for path in [&daemon.socket, &daemon.state_dir, &config.xdp.pin_dir] {
        assert!(path.is_absolute());
        assert!(path.as_os_str().len() < 4096);
    }
    // `sun_path` holds 108 bytes with its final zero.
    assert!(daemon.socket.as_os_str().len() < 108);
    assert!(daemon.socket_mode.bits() <= 0o777);
    let xdp = &config.xdp;
    for interface in &xdp.interfaces {
        let name = interface.as_str();
        // It becomes a file's name in the folder of pins.
        assert!((1..=15).contains(&name.len()) && !name.contains(['/', '\0', ' ', '\n']));
        assert!(name != "." && name != "..");
    }
    for size in [xdp.max_bans, xdp.max_nets, xdp.max_offenders] {
        assert!((1..=16_777_216).contains(&size.get()));
    }
    assert!((32..=64).contains(&xdp.ipv6_prefix.bits()));
    within(xdp.expiry_grace, Duration::ZERO..=WEEK);
    for network in &config.allow.networks {
        assert!(network.prefix_len() > 0);
        assert_eq!(*network, network.trunc());
    }
    within(config.fail2ban.flush_hold, Duration::ZERO..=MINUTE);
    rank(&config.rank);
    nacl(&config.nacl, &config.rank);
    assert!(
        config
            .metrics
            .listen
            .get()
            .ip()
            .to_canonical()
            .is_loopback()
    );
}

fn rank(rank: &Rank) {
    within(rank.half_life, SECOND..=HOUR);
    within(rank.warm_up, Duration::ZERO..=rank.half_life);
    within(
        rank.tick,
        Duration::from_millis(100)..=MINUTE.min(rank.half_life),
    );
}

fn nacl(nacl: &Nacl, rank: &Rank) {
    // What the planner asks of its own knobs is no less.
    if let Err(problem) = nacl.plan().check() {
        panic!("{problem}");
    }
    within(nacl.min_term, SECOND..=nacl.first_term);
    within(nacl.first_term, nacl.min_term..=nacl.longest_term);
    within(nacl.longest_term, nacl.first_term..=WEEK);
    within(nacl.probation, rank.warm_up + 2 * rank.tick..=WEEK);
    within(nacl.blind_half_life, SECOND..=WEEK);
    within(
        nacl.observe_every,
        5 * SECOND..=HOUR.min(nacl.observe_at_most),
    );
    within(nacl.observe_at_most, nacl.observe_every..=24 * HOUR);
    assert!(nacl.trials <= 40);
    assert!(nacl.share_slot == 0 || (2..=128).contains(&nacl.share_slot));
    assert!((1..=40).contains(&nacl.quota.get()));
    assert!(*nacl.rule_numbers.range().start() >= 1 && *nacl.rule_numbers.range().end() <= 32_766);
    assert!(!nacl.rule_numbers.range().is_empty());
    assert!((1.0..=100.0).contains(&nacl.margin));
    assert!((0.001..=1e6).contains(&nacl.min_rate));
    assert!((0.01..=5.0).contains(&nacl.calls_per_second));
    assert!((1..=50).contains(&nacl.calls_burst.get()));
    assert!((1..=2).contains(&nacl.directions.len()));
    for name in nacl
        .region
        .iter()
        .map(|it| it.as_str())
        .chain(nacl.subnets.iter().map(|it| it.as_str()))
    {
        one_line(name);
        assert!(
            name.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        );
    }
}

fn within(time: Duration, range: RangeInclusive<Duration>) {
    assert!(range.contains(&time), "{time:?} is not in {range:?}");
}
