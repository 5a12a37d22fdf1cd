//! The metric families, each with its name, help and series.

use std::{collections::BTreeMap, fmt};

use ipnet::IpNet;
use nicban_protocol::{AttachMode, FamilyCounters, Mode, NaclState, NaclStatus};
use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeLabelSet},
    metrics::MetricType,
};

use super::holders;
use crate::{
    engine::Snapshot,
    nacl::{NaclView, acl::Family},
};

/// Names in the order of [`Snapshot::families`].
const FAMILIES: [&str; 3] = ["other", "ipv4", "ipv6"];

/// The states of the NACL tier, all of which have a series.
const STATES: [(NaclState, &str); 5] = [
    (NaclState::Off, "off"),
    (NaclState::On, "on"),
    (NaclState::Degraded, "degraded"),
    (NaclState::Refused, "refused"),
    (NaclState::Released, "released"),
];

type Label<'a> = (&'static str, &'a str);

/// A counter of the program: its name, its help, and where it is found.
type Verdict = (&'static str, &'static str, fn(&FamilyCounters) -> u64);

const VERDICTS: [Verdict; 7] = [
    ("dropped_packets", "Packets dropped by XDP", |c| c.dropped),
    (
        "dropped_bytes",
        "Bytes of the packets dropped by XDP, from the Ethernet header on",
        |c| c.dropped_bytes,
    ),
    (
        "would_drop_packets",
        "Packets passed in observe mode that enforce mode would have dropped",
        |c| c.would_drop,
    ),
    ("passed_packets", "Packets passed, not banned", |c| c.passed),
    (
        "allowed_packets",
        "Packets passed of sources that are banned, but on the allow list",
        |c| c.allowed,
    ),
    (
        "unparsed_packets",
        "Packets passed because they could not be parsed",
        |c| c.unparsed,
    ),
    (
        "untracked_packets",
        "Packets dropped, but not counted by offender",
        |c| c.untracked,
    ),
];

/// Writes the families.
pub(super) struct Families<'a>(DescriptorEncoder<'a>);

impl<'a> Families<'a> {
    pub(super) fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    /// The program that is scraped.
    pub(super) fn build(&mut self) -> fmt::Result {
        let version: [Label<'_>; 1] = [("version", env!("CARGO_PKG_VERSION"))];
        self.0
            .encode_descriptor(
                "build",
                "The daemon that is running",
                None,
                MetricType::Info,
            )?
            .encode_info(&version)
    }

    /// The XDP tier.
    pub(super) fn engine(&mut self, snapshot: &Snapshot) -> fmt::Result {
        self.gauges(
            "bans",
            "Bans in force by holder; a ban with several holders counts for each",
            holders::bounded(&snapshot.holders)
                .into_iter()
                .map(|(holder, bans)| ([("holder", holder)], bans)),
        )?;
        self.gauge(
            "banned_sources",
            "Addresses and networks that are banned, whoever holds the ban",
            snapshot.bans,
        )?;
        for (name, help, read) in VERDICTS {
            let series = FAMILIES.into_iter().zip(&snapshot.families);
            let series = series.map(|(family, counters)| ([("family", family)], read(counters)));
            self.counters(name, help, series)?;
        }
        let maps = || {
            snapshot
                .maps
                .iter()
                .map(|fill| (fill, [("map", &*fill.map)]))
        };
        self.gauges(
            "map_entries",
            "Entries in a BPF map",
            maps().map(|(fill, map)| (map, fill.entries)),
        )?;
        self.gauges(
            "map_capacity_entries",
            "Entries that a BPF map can hold",
            maps().map(|(fill, map)| (map, fill.capacity)),
        )?;
        self.attached(snapshot)?;
        self.gauges(
            "mode",
            "Whether drops are only counted (observe) or made (enforce): 1 for the one that is on",
            [(Mode::Observe, "observe"), (Mode::Enforce, "enforce")]
                .map(|(mode, name)| ([("mode", name)], u64::from(snapshot.mode == Some(mode)))),
        )?;
        self.gauge(
            "warnings",
            "What is wrong now, as \"nicban status\" tells it",
            snapshot.warnings.len() as u64,
        )
    }

    fn attached(&mut self, snapshot: &Snapshot) -> fmt::Result {
        let modes = [
            (AttachMode::Native, "native"),
            (AttachMode::Generic, "generic"),
        ];
        self.gauges(
            "attached",
            "Whether the program is attached to an interface in a mode: 1 for the one that is on",
            snapshot.attachments.iter().flat_map(|attachment| {
                modes.map(|(mode, name)| {
                    let labels = [("interface", &*attachment.interface), ("mode", name)];
                    (labels, u64::from(attachment.mode == Some(mode)))
                })
            }),
        )
    }

    /// The NACL tier.
    pub(super) fn nacl(&mut self, view: &NaclView) -> fmt::Result {
        let status = &view.status;
        self.gauges(
            "nacl_state",
            "The state of the NACL tier: 1 for the one that it is in",
            STATES.map(|(state, name)| ([("state", name)], u64::from(status.state == state))),
        )?;
        self.gauges(
            "nacl_slots",
            "Slots that nicban may use, over all NACLs and directions",
            [
                ([("family", "ipv4")], u64::from(status.slots_v4)),
                ([("family", "ipv6")], u64::from(status.slots_v6)),
            ],
        )?;
        self.gauges(
            "nacl_entries",
            "Entries of nicban in a NACL",
            entries(status)
                .into_iter()
                .map(|((acl, direction, family), entries)| {
                    let labels = [("acl", acl), ("direction", direction), ("family", family)];
                    (labels, entries)
                }),
        )?;
        self.0
            .encode_descriptor(
                "nacl_promotions",
                "Offenders that got a slot",
                None,
                MetricType::Counter,
            )?
            .encode_counter::<[Label<'_>; 0], u64, u64>(&view.promotions, None)?;
        self.counters(
            "aws_calls",
            "Attempts of calls to EC2 by their outcome",
            view.calls.iter().map(|((operation, error), attempts)| {
                let outcome = error.map_or("ok", |kind| kind.label());
                let labels = [("operation", operation.action()), ("outcome", outcome)];
                (labels, *attempts)
            }),
        )
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, None, MetricType::Gauge)?
            .encode_gauge(&value)
    }

    fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in series {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in series {
            family
                .encode_family(&labels)?
                .encode_counter::<[Label<'_>; 0], u64, u64>(&value, None)?;
        }
        Ok(())
    }
}

/// The entries' numbers by NACL, direction and family.
fn entries(status: &NaclStatus) -> BTreeMap<(&str, &str, &'static str), u64> {
    let mut counts = BTreeMap::new();
    for entry in &status.entries {
        let family = match entry
            .network
            .parse()
            .map(|network: IpNet| Family::of(&network))
        {
            Ok(Family::V4) => "ipv4",
            Ok(Family::V6) => "ipv6",
            Err(_) => "other",
        };
        *counts
            .entry((&*entry.acl, &*entry.direction, family))
            .or_default() += 1;
    }
    counts
}
