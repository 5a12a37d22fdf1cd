//! What may be asked of the daemon.

use serde::{Deserialize, Serialize};

use crate::{ManyBans, Synced};

/// One request, one line.
///
/// Requests without values are written as empty structs: for unit variants serde
/// does not notice unknown fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Drop an address for a holder (`actionban`, `nicban ban`).
    Ban(Ban),
    /// Move the end of a holder's ban (`actionprolong`). An unknown ban is made.
    Prolong(Ban),
    /// End a holder's ban (`actionunban`). Without a holder, every holder's.
    Unban {
        /// Address or network, as [`Ban::address`].
        address: String,
        /// Whose ban to end; `None` ends all of them, which is an operator's call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        holder: Option<String>,
    },
    /// Drop many networks for one holder (`nicban import`): all of those that may be banned, or
    /// none of the request. A jail's, told once more (`nicban sync`): as many as there is room
    /// for.
    BanMany(ManyBans),
    /// End a holder's bans on many networks.
    UnbanMany {
        /// Whose bans to end.
        holder: String,
        /// The networks, see [`crate::Item`]; ends and beginnings have no meaning here. At most
        /// [`crate::MAX_NETWORKS`] bytes.
        networks: String,
    },
    /// A mark for [`ManyBans::as_of`].
    Mark {},
    /// What came of a synchronisation, for the daemon's log (`nicban sync`).
    Synced(Synced),
    /// End all of a holder's bans, unless a [`Request::Stop`] follows (`actionflush`).
    Flush {
        /// The jail.
        holder: String,
    },
    /// End all of a holder's bans at once, whatever follows (`actionflush` by fail2ban's main
    /// thread: `unban --all`, or a jail that goes on without the action).
    Lift {
        /// The jail.
        holder: String,
    },
    /// A jail starts (`actionstart`).
    Start {
        /// The jail.
        holder: String,
    },
    /// A jail stops: its bans stay in force until each one's own end (`actionstop`).
    Stop {
        /// The jail.
        holder: String,
    },
    /// Is the daemon enforcing (`actioncheck`)?
    Check {
        /// The jail.
        holder: String,
    },
    /// A page of bans in the order of their addresses.
    List {
        /// The last address of the page before; `None` for the first page.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
        /// Only this address: its own ban, or those of the networks around it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<String>,
        /// Only bans of this holder.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        holder: Option<String>,
    },
    /// A page of bans, some thousands of them, in the order of their addresses: networks and ends
    /// alone (`nicban export`).
    Dump {
        /// What the page before gave as `next`; `None` for the first page.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
        /// Only bans of this holder, each with this holder's end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        holder: Option<String>,
    },
    /// The daemon's state at a glance.
    Status {},
    /// Never drop a network, whatever bans it.
    AllowAdd {
        /// Address or network.
        network: String,
    },
    /// Take a network off the allow list again.
    AllowRemove {
        /// Address or network, as it was added.
        network: String,
    },
    /// The allow list.
    AllowList {},
    /// Count would-be drops and pass, or drop.
    SetMode {
        /// The mode from now on, also after a restart.
        mode: Mode,
    },
    /// Attach the program to an interface.
    Attach {
        /// The interface's name; `None` for those of the configuration.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        interface: Option<String>,
        /// Detach again after so many seconds unless [`Request::Confirm {}`] comes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        confirm_s: Option<u64>,
        /// The peer of the SSH session that asks, to be allowed for a while.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ssh_peer: Option<String>,
    },
    /// Keep what an [`Request::Attach`] with a deadline attached.
    Confirm {},
    /// Detach the program; the bans stay in the store and in the maps.
    Detach {
        /// The interface's name; `None` for all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        interface: Option<String>,
    },
    /// What the NACL tier sees and would do next.
    NaclPlan {},
    /// Take out every NACL entry that nicban put in, and put in no more, also after
    /// a restart.
    NaclRelease {},
    /// Put entries into NACLs again.
    NaclResume {},
}

/// A ban as fail2ban's tags tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ban {
    /// Who wants it: a jail's name, `manual`, `import:NAME`.
    pub holder: String,
    /// An address, or a network in CIDR notation.
    pub address: String,
    /// When the sentence began, in seconds since the Unix epoch (`<time>`).
    pub time: i64,
    /// How long it is, in seconds from `time`; [`crate::PERMANENT`] has no end (`<bantime>`).
    pub bantime: i64,
    /// How often the holder has banned this address, this time included (`<bancount>`).
    #[serde(default)]
    pub bancount: u32,
    /// The failures that led to it (`<failures>`).
    #[serde(default)]
    pub failures: u32,
    /// fail2ban restores it from its database (`<restored>`).
    #[serde(default)]
    pub restored: bool,
    /// An operator's reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What the program does with a packet of a banned source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Count it as a would-be drop and pass it.
    Observe,
    /// Drop it.
    Enforce,
}

#[cfg(test)]
mod tests {
    use super::Request;

    #[test]
    fn a_field_that_no_request_has_is_refused_in_each() {
        for op in [
            "status",
            "confirm",
            "allow_list",
            "nacl_plan",
            "nacl_release",
            "detach",
        ] {
            let bare = format!(r#"{{"op":"{op}"}}"#);
            assert!(serde_json::from_str::<Request>(&bare).is_ok(), "{op}");
            let more = format!(r#"{{"op":"{op}","surprise":1}}"#);
            let error = serde_json::from_str::<Request>(&more)
                .unwrap_err()
                .to_string();
            assert!(error.contains("unknown field `surprise`"), "{op}: {error}");
        }
    }
}
