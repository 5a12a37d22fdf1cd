//! The text that a scrape gets.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, text},
    registry::Registry,
};
use tokio::sync::watch;

use super::families::Families;
use crate::{engine::Snapshot, nacl::NaclView};

/// Where the values come from: the latest of what the daemon's parts publish.
#[derive(Debug, Clone)]
pub struct Source {
    /// What the engine publishes.
    pub engine: watch::Receiver<Arc<Snapshot>>,
    /// What the NACL tier publishes.
    pub nacl: watch::Receiver<Arc<NaclView>>,
}

impl Collector for Source {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let engine = Arc::clone(&self.engine.borrow());
        let nacl = Arc::clone(&self.nacl.borrow());
        let mut families = Families::new(encoder);
        families.build()?;
        families.engine(&engine)?;
        families.nacl(&nacl)
    }
}

/// All metrics. It holds no values of its own: each text is made of what is
/// published when it is asked for.
#[derive(Debug)]
pub struct Exposition(Registry);

impl Exposition {
    /// The media type of [`Self::text`].
    pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// The metrics of a source.
    pub fn new(source: Source) -> Self {
        let mut registry = Registry::with_prefix("nicban");
        registry.register_collector(Box::new(source));
        Self(registry)
    }

    /// The metrics as they are now, as `OpenMetrics` 1.0 text.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut written = String::new();
        text::encode(&mut written, &self.0)?;
        Ok(written)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::nacl::{
        caller::Calls,
        error::{ErrorKind, Operation},
    };
    use nicban_protocol::{
        AttachMode, Attachment, FamilyCounters, Fill, Mode, NaclEntry, NaclState,
    };

    /// A source that publishes these and nothing after.
    pub(in crate::metrics) fn source(snapshot: Snapshot, view: NaclView) -> Source {
        // A receiver keeps the last value when its sender is gone.
        Source {
            engine: watch::channel(Arc::new(snapshot)).1,
            nacl: watch::channel(Arc::new(view)).1,
        }
    }

    pub(in crate::metrics) fn idle() -> NaclView {
        NaclView::idle(NaclState::Off, "not on AWS")
    }

    fn snapshot() -> Snapshot {
        let attachment = |interface: &str, mode| Attachment {
            interface: interface.to_owned(),
            mode,
            confirm_within_s: None,
        };
        Snapshot {
            mode: Some(Mode::Enforce),
            warnings: vec!["wlan0 is gone".to_owned()],
            attachments: vec![
                attachment("eth0", Some(AttachMode::Native)),
                attachment("eth1", Some(AttachMode::Generic)),
                attachment("wlan0", None),
            ],
            bans: 7,
            holders: vec![(Arc::from("manual"), 2), (Arc::from("sshd"), 6)],
            maps: vec![Fill {
                map: "bans_v4".to_owned(),
                entries: 7,
                capacity: 1_000_000,
            }],
            families: [
                FamilyCounters {
                    passed: 5,
                    unparsed: 3,
                    ..FamilyCounters::default()
                },
                FamilyCounters {
                    passed: u64::MAX,
                    dropped: 11,
                    dropped_bytes: 12,
                    would_drop: 13,
                    allowed: 14,
                    unparsed: 15,
                    untracked: 16,
                },
                FamilyCounters {
                    dropped: 21,
                    ..FamilyCounters::default()
                },
            ],
            offenders: Arc::default(),
        }
    }

    fn view() -> NaclView {
        let entry = |direction: &str, number, network: &str| NaclEntry {
            acl: "acl-1".to_owned(),
            direction: direction.to_owned(),
            number,
            network: network.to_owned(),
            since: 0,
            rate: 0.0,
            failures: None,
            reason: String::new(),
        };
        let mut view = idle();
        view.status.state = NaclState::On;
        view.status.slots_v4 = 36;
        view.status.slots_v6 = 18;
        view.status.entries = vec![
            entry("egress", 1, "192.0.2.1/32"),
            entry("ingress", 1, "192.0.2.1/32"),
            entry("ingress", 2, "192.0.2.2/32"),
            entry("ingress", 50, "2001:db8::/64"),
        ];
        view.calls = Calls::from([
            ((Operation::Create, None), 4),
            ((Operation::Create, Some(ErrorKind::Throttled)), 2),
            ((Operation::Describe, None), 9),
        ]);
        view.promotions = 3;
        view
    }

    fn text(snapshot: Snapshot, view: NaclView) -> String {
        Exposition::new(source(snapshot, view)).text().unwrap()
    }

    /// The lines of values, less those of comments.
    fn series(text: &str) -> Vec<&str> {
        text.lines().filter(|line| !line.starts_with('#')).collect()
    }

    #[test]
    fn every_value_has_its_series() {
        let text = text(snapshot(), view());
        let version = env!("CARGO_PKG_VERSION");
        let expected = format!(
            r#"nicban_build_info{{version="{version}"}} 1
nicban_bans{{holder="sshd"}} 6
nicban_bans{{holder="manual"}} 2
nicban_banned_sources 7
nicban_dropped_packets_total{{family="other"}} 0
nicban_dropped_packets_total{{family="ipv4"}} 11
nicban_dropped_packets_total{{family="ipv6"}} 21
nicban_dropped_bytes_total{{family="other"}} 0
nicban_dropped_bytes_total{{family="ipv4"}} 12
nicban_dropped_bytes_total{{family="ipv6"}} 0
nicban_would_drop_packets_total{{family="other"}} 0
nicban_would_drop_packets_total{{family="ipv4"}} 13
nicban_would_drop_packets_total{{family="ipv6"}} 0
nicban_passed_packets_total{{family="other"}} 5
nicban_passed_packets_total{{family="ipv4"}} 18446744073709551615
nicban_passed_packets_total{{family="ipv6"}} 0
nicban_allowed_packets_total{{family="other"}} 0
nicban_allowed_packets_total{{family="ipv4"}} 14
nicban_allowed_packets_total{{family="ipv6"}} 0
nicban_unparsed_packets_total{{family="other"}} 3
nicban_unparsed_packets_total{{family="ipv4"}} 15
nicban_unparsed_packets_total{{family="ipv6"}} 0
nicban_untracked_packets_total{{family="other"}} 0
nicban_untracked_packets_total{{family="ipv4"}} 16
nicban_untracked_packets_total{{family="ipv6"}} 0
nicban_map_entries{{map="bans_v4"}} 7
nicban_map_capacity_entries{{map="bans_v4"}} 1000000
nicban_attached{{interface="eth0",mode="native"}} 1
nicban_attached{{interface="eth0",mode="generic"}} 0
nicban_attached{{interface="eth1",mode="native"}} 0
nicban_attached{{interface="eth1",mode="generic"}} 1
nicban_attached{{interface="wlan0",mode="native"}} 0
nicban_attached{{interface="wlan0",mode="generic"}} 0
nicban_mode{{mode="observe"}} 0
nicban_mode{{mode="enforce"}} 1
nicban_warnings 1
nicban_nacl_state{{state="off"}} 0
nicban_nacl_state{{state="on"}} 1
nicban_nacl_state{{state="degraded"}} 0
nicban_nacl_state{{state="refused"}} 0
nicban_nacl_state{{state="released"}} 0
nicban_nacl_slots{{family="ipv4"}} 36
nicban_nacl_slots{{family="ipv6"}} 18
nicban_nacl_entries{{acl="acl-1",direction="egress",family="ipv4"}} 1
nicban_nacl_entries{{acl="acl-1",direction="ingress",family="ipv4"}} 2
nicban_nacl_entries{{acl="acl-1",direction="ingress",family="ipv6"}} 1
nicban_nacl_promotions_total 3
nicban_aws_calls_total{{operation="DescribeNetworkAcls",outcome="ok"}} 9
nicban_aws_calls_total{{operation="CreateNetworkAclEntry",outcome="ok"}} 4
nicban_aws_calls_total{{operation="CreateNetworkAclEntry",outcome="throttled"}} 2"#
        );
        assert_eq!(series(&text), expected.lines().collect::<Vec<_>>());
    }

    #[test]
    fn every_family_has_its_type_and_the_text_its_end() {
        let text = text(snapshot(), view());
        assert!(text.ends_with("\n# EOF\n"));
        for line in series(&text) {
            let name = line.split(['{', ' ']).next().unwrap();
            let (family, kind) = if let Some(family) = name.strip_suffix("_total") {
                (family, "counter")
            } else if let Some(family) = name.strip_suffix("_info") {
                (family, "info")
            } else {
                (name, "gauge")
            };
            let declared = format!("# TYPE {family} {kind}\n");
            assert_eq!(text.matches(&declared).count(), 1, "{declared}");
            let helped = format!("# HELP {family} ");
            assert_eq!(text.matches(&helped).count(), 1, "{helped}");
        }
    }

    #[test]
    fn a_daemon_that_has_only_begun_says_so() {
        let text = text(Snapshot::default(), idle());
        let series = series(&text);
        assert!(series.contains(&r#"nicban_mode{mode="observe"} 0"#));
        assert!(series.contains(&r#"nicban_mode{mode="enforce"} 0"#));
        assert!(series.contains(&"nicban_banned_sources 0"));
        assert!(series.contains(&r#"nicban_nacl_state{state="off"} 1"#));
    }

    #[test]
    fn a_holder_forges_no_series() {
        let mut snapshot = Snapshot::default();
        let hostile = "a\"} 1\nnicban_bans{holder=\"b\\";
        snapshot.holders = vec![(Arc::from(hostile), 1)];
        let text = text(snapshot, idle());
        let bans: Vec<&str> = series(&text)
            .into_iter()
            .filter(|line| line.starts_with("nicban_bans"))
            .collect();
        assert_eq!(
            bans,
            [r#"nicban_bans{holder="a\"} 1\nnicban_bans{holder=\"b\\"} 1"#]
        );
    }

    #[test]
    fn each_text_holds_what_is_published_by_then() {
        let (engine, snapshots) = watch::channel(Arc::new(Snapshot::default()));
        let mut source = source(Snapshot::default(), idle());
        source.engine = snapshots;
        let exposition = Exposition::new(source);
        assert!(
            exposition
                .text()
                .unwrap()
                .contains("nicban_banned_sources 0\n")
        );
        engine.send_replace(Arc::new(snapshot()));
        assert!(
            exposition
                .text()
                .unwrap()
                .contains("nicban_banned_sources 7\n")
        );
    }
}
