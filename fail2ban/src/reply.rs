//! What the daemon answers.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Mode, Tally};

/// One reply, one line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// It is done: the kernel has it, and so has the store.
    Done {
        /// What changed.
        outcome: Outcome,
        /// A line for people, where there is more to say than the outcome.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// [`crate::Request::Attach`] is done.
    Attached {
        /// The interfaces that it attached to, on trial if it has a deadline; none of
        /// them was attached before. Empty where all were.
        interfaces: Vec<String>,
        /// A line for people: in which mode.
        note: String,
    },
    /// It is not done, and nothing has changed.
    Refused(Refusal),
    /// A page of [`crate::Request::List`].
    Bans {
        /// The rows, in the order of their addresses.
        bans: Vec<BanRow>,
        /// Give this as `after` for the next page; `None` on the last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<String>,
    },
    /// [`crate::Request::BanMany`] or [`crate::Request::UnbanMany`] is done: the kernel has it,
    /// and so has the store.
    Many(Tally),
    /// [`crate::Request::Mark {}`].
    Mark {
        /// Of an unban that comes later one can tell that it does.
        mark: u64,
    },
    /// A page of [`crate::Request::Dump`].
    Dump {
        /// The networks, see [`crate::Item`]; one without an end is permanent.
        networks: String,
        /// Give this as `after` for the next page; `None` on the last. A page may be empty and
        /// yet not be the last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<String>,
        /// The length at which single IPv6 addresses are banned, in bits.
        ipv6_prefix: u8,
    },
    /// [`crate::Request::Status {}`].
    Status(Box<Status>),
    /// [`crate::Request::AllowList {}`].
    Allowed {
        /// The list, in the order of the networks.
        allowed: Vec<Allowed>,
    },
    /// [`crate::Request::NaclPlan {}`].
    NaclPlan {
        /// The tier as it is.
        status: NaclStatus,
        /// The steps that would be taken now; empty when all is as it should be.
        steps: Vec<NaclStep>,
    },
}

/// What a request changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Dropped from now on.
    Enforced,
    /// The end of a ban that was in force has moved.
    Prolonged,
    /// As it was already.
    Unchanged,
    /// Its end lies in the past: acknowledged, not enforced.
    Expired,
    /// No longer dropped.
    Lifted,
    /// The holder let go, but another still holds it.
    StillHeld,
    /// Will take effect unless the jail stops.
    Held,
    /// Done, where there is nothing more to tell.
    Ok,
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// For programs.
    pub kind: RefusalKind,
    /// For people: what was given, what is allowed, what to do next.
    pub message: String,
}

/// The kinds of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// The line is not a request: too long, not JSON, an unknown field.
    Malformed,
    /// A value is out of its range.
    Invalid,
    /// The address is on the allow list, or the host's own.
    Protected,
    /// `max_bans` is reached.
    Full,
    /// The peer may not ask for this.
    Forbidden,
    /// There is nothing of that name.
    NotFound,
    /// The kernel, the store or AWS failed.
    Failed,
    /// The daemon is stopping.
    Unavailable,
}

impl fmt::Display for RefusalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed",
            Self::Invalid => "invalid",
            Self::Protected => "protected",
            Self::Full => "full",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not found",
            Self::Failed => "failed",
            Self::Unavailable => "unavailable",
        })
    }
}

/// A ban in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BanRow {
    /// The address or network that is dropped, in CIDR notation unless it is one IPv4 address.
    pub address: String,
    /// Who holds it.
    pub holders: Vec<Holder>,
    /// Whether a NACL entry covers it.
    pub in_nacl: bool,
    /// What XDP dropped of it.
    pub dropped: Dropped,
}

/// One holder of a ban.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its name.
    pub name: String,
    /// Since when, in seconds since the Unix epoch.
    pub since: i64,
    /// Until when, in seconds since the Unix epoch; `None` has no end.
    pub until: Option<i64>,
    /// How often it has banned this address.
    pub bancount: u32,
    /// The failures behind it.
    pub failures: u32,
    /// An operator's reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Drops of one offender.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Dropped {
    /// Packets since the ban began.
    pub packets: u64,
    /// Their bytes, from the Ethernet header on.
    pub bytes: u64,
    /// Packets per second now, smoothed.
    pub rate: f64,
}

/// The daemon at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// Observe or enforce.
    pub mode: Mode,
    /// What is wrong, each in a line that says what to do; empty when all is well.
    pub warnings: Vec<String>,
    /// The interfaces.
    pub attachments: Vec<Attachment>,
    /// Bans in force.
    pub bans: u64,
    /// How full the maps are.
    pub maps: Vec<Fill>,
    /// The counters of IPv4.
    pub ipv4: FamilyCounters,
    /// The counters of IPv6.
    pub ipv6: FamilyCounters,
    /// The counters of everything else.
    pub other: FamilyCounters,
    /// The loudest offenders, loudest first.
    pub offenders: Vec<BanRow>,
    /// The NACL tier.
    pub nacl: NaclStatus,
}

/// An interface that the program is, or should be, attached to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its name.
    pub interface: String,
    /// How the program is attached; `None` where it is not.
    pub mode: Option<AttachMode>,
    /// Seconds until it is detached again unless confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_within_s: Option<u64>,
}

/// Where in the receive path the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttachMode {
    /// In the driver, before the kernel builds a packet.
    Native,
    /// After the kernel has built it: slow, for drivers without XDP.
    Generic,
}

/// How full a map is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fill {
    /// The map's name.
    pub map: String,
    /// Entries in it.
    pub entries: u64,
    /// Entries that it can hold.
    pub capacity: u64,
}

/// The program's statistics of one family, in packets unless the name says bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FamilyCounters {
    /// Passed: not banned.
    pub passed: u64,
    /// Dropped.
    pub dropped: u64,
    /// Bytes of the dropped.
    pub dropped_bytes: u64,
    /// Passed in observe mode that enforce mode would have dropped.
    pub would_drop: u64,
    /// Banned, but on the allow list: passed.
    pub allowed: u64,
    /// Could not be parsed: passed.
    pub unparsed: u64,
    /// Dropped, but not counted by offender.
    pub untracked: u64,
}

/// A network that is never dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowed {
    /// In CIDR notation.
    pub network: String,
    /// Where it comes from.
    pub origin: AllowOrigin,
    /// Until when, in seconds since the Unix epoch; `None` has no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
}

/// Where an entry of the allow list comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllowOrigin {
    /// The host's own address, a gateway, link-local.
    Host,
    /// The configuration file.
    Config,
    /// `nicban allow add`.
    Operator,
    /// The peer of the SSH session that attached.
    SshPeer,
}

/// The NACL tier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NaclStatus {
    /// On, off, or in trouble.
    pub state: NaclState,
    /// Why it is in that state.
    pub reason: String,
    /// Our entries, in the order of NACL, direction, family and rule number.
    pub entries: Vec<NaclEntry>,
    /// Slots that nicban may use, over all NACLs and directions.
    pub slots_v4: u32,
    /// The same for IPv6.
    pub slots_v6: u32,
    /// What others did to our entries, or that makes them useless.
    pub findings: Vec<String>,
}

/// The state of the NACL tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NaclState {
    /// Configured off, or not on AWS.
    Off,
    /// Reconciling.
    On,
    /// Will be tried again.
    Degraded,
    /// Can't work until someone changes something.
    Refused,
    /// `nicban nacl release` took the entries out.
    Released,
}

/// An entry of ours in a NACL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NaclEntry {
    /// The NACL's id.
    pub acl: String,
    /// `ingress` or `egress`.
    pub direction: String,
    /// The rule number.
    pub number: u16,
    /// What it denies.
    pub network: String,
    /// Since when, in seconds since the Unix epoch.
    pub since: i64,
    /// The rate that it had when last seen, in packets per second.
    pub rate: f64,
    /// Where slots go by failures instead of rates: those, faded by their age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<f64>,
    /// Why it holds the slot.
    pub reason: String,
}

/// A step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NaclStep {
    /// The NACL's id.
    pub acl: String,
    /// `create`, `replace` or `delete`, with direction, number and network.
    pub action: String,
    /// Why.
    pub reason: String,
}
