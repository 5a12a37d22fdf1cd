//! What each value of a request may be.

use std::fmt;
use std::net::IpAddr;

use crate::{
    Ban, IMPORT, MAX_HOLDER, MAX_NETWORKS, MAX_PROBLEM, MAX_REASON, MAX_TIME, ManyBans, PERMANENT,
    Request, Synced,
};

/// The longest name of an interface, in bytes (`IFNAMSIZ` less its NUL, `linux/if.h`).
const MAX_INTERFACE: usize = 15;

/// A value of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// [`Ban::holder`] and its like.
    Holder,
    /// [`Ban::address`], or a network.
    Address,
    /// [`ManyBans::networks`] and its like.
    Networks,
    /// [`ManyBans::until`].
    Until,
    /// [`Ban::time`].
    Time,
    /// [`Ban::bantime`].
    Bantime,
    /// [`Ban::reason`].
    Reason,
    /// An interface's name.
    Interface,
    /// The peer of an SSH session.
    SshPeer,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Holder => "the holder's name",
            Self::Address => "the address",
            Self::Networks => "the list of networks",
            Self::Until => "the end",
            Self::Time => "the time",
            Self::Bantime => "the bantime",
            Self::Reason => "the reason",
            Self::Interface => "the interface's name",
            Self::SshPeer => "the SSH peer",
        })
    }
}

/// A value that no request may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// Nothing where something must stand.
    #[error("{0} is empty")]
    Empty(Field),
    /// More bytes than allowed.
    #[error("{field} has {length} bytes, allowed are {limit}")]
    TooLong {
        /// Which value.
        field: Field,
        /// Its length, in bytes.
        length: usize,
        /// The most that it may have, in bytes.
        limit: usize,
    },
    /// A character that could forge a line of a log or a table.
    #[error("{0} holds a control character")]
    Control(Field),
    /// Neither an address nor a network in CIDR notation.
    #[error("{0} is neither an IPv4 or IPv6 address nor a network like 192.0.2.0/24")]
    NotAnAddress(Field),
    /// A holder that is no imported list's.
    #[error(
        "the holder of many bans is not called {IMPORT}NAME, and they no jail tells them once more"
    )]
    NotAList,
    /// A number out of its range.
    #[error("{field} is {value}, allowed is 0 to {MAX_TIME}{}", or_permanent(*.field))]
    OutOfRange {
        /// Which value.
        field: Field,
        /// What was given.
        value: i64,
    },
}

fn or_permanent(field: Field) -> &'static str {
    if field == Field::Bantime {
        ", or -1 for a ban without an end"
    } else {
        ""
    }
}

impl Request {
    /// Whether every value is within its bounds.
    ///
    /// The client asks before it sends, the daemon before it acts. What needs more than the
    /// request to judge, like the allow list, is the daemon's to refuse.
    pub fn validate(&self) -> Result<(), InvalidRequest> {
        match self {
            Self::Ban(ban) | Self::Prolong(ban) => ban.validate(),
            Self::Unban {
                address: network,
                holder,
            } => {
                validate_network(network)?;
                validate_some_holder(holder.as_deref())
            }
            Self::BanMany(many) => many.validate(),
            Self::UnbanMany { holder, networks } => {
                validate_holder(holder)?;
                validate_text(Field::Networks, networks, MAX_NETWORKS)
            }
            Self::Synced(synced) => synced.validate(),
            Self::Dump { after, holder } => {
                after.as_deref().map_or(Ok(()), validate_network)?;
                validate_some_holder(holder.as_deref())
            }
            Self::Flush { holder }
            | Self::Lift { holder }
            | Self::Start { holder }
            | Self::Stop { holder }
            | Self::Check { holder } => validate_holder(holder),
            Self::List {
                after,
                address,
                holder,
            } => {
                [after, address]
                    .into_iter()
                    .flatten()
                    .try_for_each(|text| validate_network(text))?;
                validate_some_holder(holder.as_deref())
            }
            Self::AllowAdd { network } | Self::AllowRemove { network } => validate_network(network),
            Self::Attach {
                interface,
                ssh_peer,
                confirm_s: _,
            } => {
                if let Some(peer) = ssh_peer
                    && peer.parse::<IpAddr>().is_err()
                {
                    return Err(InvalidRequest::NotAnAddress(Field::SshPeer));
                }
                validate_some_interface(interface.as_deref())
            }
            Self::Detach { interface } => validate_some_interface(interface.as_deref()),
            Self::Status {}
            | Self::Mark {}
            | Self::AllowList {}
            | Self::SetMode { .. }
            | Self::Confirm {}
            | Self::NaclPlan {}
            | Self::NaclRelease {}
            | Self::NaclResume {} => Ok(()),
        }
    }
}

impl Ban {
    /// Whether every value is within its bounds; `time + bantime` does not overflow then.
    pub fn validate(&self) -> Result<(), InvalidRequest> {
        validate_holder(&self.holder)?;
        validate_network(&self.address)?;
        validate_seconds(Field::Time, self.time)?;
        if self.bantime != PERMANENT {
            validate_seconds(Field::Bantime, self.bantime)?;
        }
        match &self.reason {
            Some(reason) => validate_text(Field::Reason, reason, MAX_REASON),
            None => Ok(()),
        }
    }
}

impl ManyBans {
    /// Whether every value is within its bounds. The networks themselves are read once, by the
    /// daemon.
    pub fn validate(&self) -> Result<(), InvalidRequest> {
        validate_holder(&self.holder)?;
        // What a jail tells once more is kept as its own bans are, not as a list.
        if self.as_of.is_none() && self.holder.strip_prefix(IMPORT).is_none_or(str::is_empty) {
            return Err(InvalidRequest::NotAList);
        }
        validate_seconds(Field::Time, self.time)?;
        if let Some(until) = self.until {
            validate_seconds(Field::Until, until)?;
        }
        validate_text(Field::Networks, &self.networks, MAX_NETWORKS)
    }
}

impl Synced {
    fn validate(&self) -> Result<(), InvalidRequest> {
        validate_holder(&self.holder)?;
        match &self.problem {
            Some(problem) => validate_text(Field::Reason, problem, MAX_PROBLEM),
            None => Ok(()),
        }
    }
}

fn validate_holder(holder: &str) -> Result<(), InvalidRequest> {
    validate_text(Field::Holder, holder, MAX_HOLDER)
}

fn validate_some_holder(holder: Option<&str>) -> Result<(), InvalidRequest> {
    holder.map_or(Ok(()), validate_holder)
}

fn validate_some_interface(interface: Option<&str>) -> Result<(), InvalidRequest> {
    interface.map_or(Ok(()), |name| {
        validate_text(Field::Interface, name, MAX_INTERFACE)
    })
}

fn validate_text(field: Field, text: &str, limit: usize) -> Result<(), InvalidRequest> {
    if text.is_empty() {
        return Err(InvalidRequest::Empty(field));
    }
    if text.len() > limit {
        return Err(InvalidRequest::TooLong {
            field,
            length: text.len(),
            limit,
        });
    }
    if text.chars().any(char::is_control) {
        return Err(InvalidRequest::Control(field));
    }
    Ok(())
}

fn validate_network(text: &str) -> Result<(), InvalidRequest> {
    if text.is_empty() {
        return Err(InvalidRequest::Empty(Field::Address));
    }
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let wrong = InvalidRequest::NotAnAddress(Field::Address);
    let address: IpAddr = address.parse().map_err(|_| wrong)?;
    let Some(prefix) = prefix else { return Ok(()) };
    let widest = if address.is_ipv4() { 32 } else { 128 };
    // `parse` alone takes "+8" too.
    let is_number = prefix.bytes().all(|byte| byte.is_ascii_digit());
    match prefix.parse::<u8>() {
        Ok(length) if is_number && length <= widest => Ok(()),
        _ => Err(wrong),
    }
}

fn validate_seconds(field: Field, value: i64) -> Result<(), InvalidRequest> {
    if (0..=MAX_TIME).contains(&value) {
        Ok(())
    } else {
        Err(InvalidRequest::OutOfRange { field, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ban() -> Ban {
        Ban {
            holder: "sshd".into(),
            address: "192.0.2.1".into(),
            time: 1_700_000_000,
            bantime: 600,
            bancount: 1,
            failures: 5,
            restored: false,
            reason: None,
        }
    }

    #[test]
    fn what_fail2ban_sends_is_valid() {
        for address in [
            "192.0.2.1",
            "192.0.2.0/24",
            "2001:db8::1",
            "2001:db8::/64",
            "::/0",
        ] {
            assert_eq!(
                Ban {
                    address: address.into(),
                    ..ban()
                }
                .validate(),
                Ok(()),
                "{address}"
            );
        }
        assert_eq!(
            Ban {
                bantime: PERMANENT,
                ..ban()
            }
            .validate(),
            Ok(())
        );
        assert_eq!(
            Ban {
                holder: "my jail/ä".into(),
                ..ban()
            }
            .validate(),
            Ok(())
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for address in [
            "-h",
            "--socket=/x",
            "example.org",
            "192.0.2.1 ",
            "192.0.2.1\n",
            "192.0.2.0/33",
            "192.0.2.0/+8",
            "192.0.2.0/",
            "192.0.2.0/24/8",
            "2001:db8::/129",
            "fe80::1%eth0",
            "192.0.2.0/255.255.255.0",
            "010.0.0.1",
        ] {
            let refused = Ban {
                address: address.into(),
                ..ban()
            }
            .validate();
            assert_eq!(
                refused,
                Err(InvalidRequest::NotAnAddress(Field::Address)),
                "{address}"
            );
        }
        let empty = Ban {
            address: String::new(),
            ..ban()
        }
        .validate();
        assert_eq!(empty, Err(InvalidRequest::Empty(Field::Address)));
    }

    #[test]
    fn bounds_are_kept_to_the_byte() {
        let holder = |length| {
            Request::Flush {
                holder: "j".repeat(length),
            }
            .validate()
        };
        assert_eq!(holder(MAX_HOLDER), Ok(()));
        assert_eq!(
            holder(MAX_HOLDER + 1),
            Err(InvalidRequest::TooLong {
                field: Field::Holder,
                length: MAX_HOLDER + 1,
                limit: MAX_HOLDER
            })
        );
        assert_eq!(holder(0), Err(InvalidRequest::Empty(Field::Holder)));
        let reason = |length| {
            Ban {
                reason: Some("r".repeat(length)),
                ..ban()
            }
            .validate()
        };
        assert_eq!(reason(MAX_REASON), Ok(()));
        assert!(reason(MAX_REASON + 1).is_err());
        assert_eq!(
            Ban {
                time: MAX_TIME,
                bantime: MAX_TIME,
                ..ban()
            }
            .validate(),
            Ok(())
        );
        for (time, bantime) in [(-1, 600), (MAX_TIME + 1, 600), (0, -2), (0, MAX_TIME + 1)] {
            assert!(
                Ban {
                    time,
                    bantime,
                    ..ban()
                }
                .validate()
                .is_err(),
                "{time} {bantime}"
            );
        }
        let attach = |name: &str| {
            Request::Attach {
                interface: Some(name.into()),
                confirm_s: None,
                ssh_peer: None,
            }
            .validate()
        };
        assert_eq!(attach("enx0123456789ab"), Ok(()));
        assert!(attach("enx0123456789abc").is_err());
    }

    proptest! {
        #[test]
        fn no_holder_that_passes_can_break_a_line(holder in any::<String>()) {
            if (Request::Stop { holder: holder.clone() }).validate().is_ok() {
                prop_assert_eq!(holder.lines().count(), 1);
                prop_assert!(holder.len() <= MAX_HOLDER);
                prop_assert!(!holder.contains(['\r', '\x1b']));
            }
        }

        #[test]
        fn every_address_passes(address in any::<IpAddr>()) {
            prop_assert_eq!(Ban { address: address.to_string(), ..ban() }.validate(), Ok(()));
        }

        #[test]
        fn a_valid_ban_ends_without_overflow(time in any::<i64>(), bantime in any::<i64>()) {
            if (Ban { time, bantime, ..ban() }).validate().is_ok() {
                prop_assert!(time.checked_add(bantime).is_some());
            }
        }
    }
}
