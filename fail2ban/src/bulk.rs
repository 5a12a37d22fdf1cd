//! Many networks in one line: the text that carries them, and what is answered.
//!
//! A million networks as a million JSON strings would cost both sides more than the bans
//! themselves. So one string holds them all, parted by single spaces, each written as
//! `ADDRESS`, `ADDRESS/LENGTH`, then `=SECONDS` where it has an end of its own, then `@SECONDS`
//! where it has a beginning of its own.

use std::fmt::Write as _;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::MAX_LINE;

/// The most bytes of [`ManyBans::networks`] and its like: a line, less what stands around it.
pub const MAX_NETWORKS: usize = MAX_LINE - 1024;

/// The most of [`Tally::examples`] in one answer.
pub const MAX_EXAMPLES: usize = 32;

/// Bans of one holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManyBans {
    /// Who wants them: `import:NAME`, or a jail where they are told `as_of` a mark.
    pub holder: String,
    /// When those sentences began that name no beginning of their own, in seconds since the Unix
    /// epoch.
    pub time: i64,
    /// When those end that name no end of their own, in seconds since the Unix epoch; `None`
    /// is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// A jail's bans, told once more, as fail2ban listed them after this mark
    /// ([`crate::Reply::Mark`]): they shorten nothing, count as no offence, and leave what is in
    /// force as it is; what was unbanned since the mark is left out. As many are enforced as
    /// there is room for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<u64>,
    /// The networks, see [`Item`]; at most [`MAX_NETWORKS`] bytes.
    pub networks: String,
}

/// One network of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    /// An address, or a network in CIDR notation, as [`crate::Ban::address`].
    pub network: &'a str,
    /// The end of its own, in seconds since the Unix epoch.
    pub until: Option<i64>,
    /// The beginning of its own, in seconds since the Unix epoch. Only a jail's have one.
    pub since: Option<i64>,
}

/// A beginning or an end that is not a number of seconds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the time of number {at} of the list is not a number of seconds since 1970")]
pub struct BadEnd {
    /// Which one, counted from 0.
    pub at: usize,
}

/// The networks of a list, in its order.
pub fn items(networks: &str) -> impl Iterator<Item = Result<Item<'_>, BadEnd>> {
    let items = networks.split(' ').filter(|item| !item.is_empty());
    items.enumerate().map(|(at, item)| {
        let time = |text: &str| text.parse().map_err(|_| BadEnd { at });
        let (item, since) = parted(item, '@');
        let (network, until) = parted(item, '=');
        Ok(Item {
            network,
            until: until.map(time).transpose()?,
            since: since.map(time).transpose()?,
        })
    })
}

fn parted(text: &str, by: char) -> (&str, Option<&str>) {
    text.split_once(by)
        .map_or((text, None), |(head, tail)| (head, Some(tail)))
}

/// Writes networks until a line is full.
#[derive(Debug, Clone, Default)]
pub struct Packer {
    text: String,
    count: usize,
}

/// The longest that one network can be written: an IPv6 address, its length, an end, a beginning.
const LONGEST: usize = 45 + 4 + 21 + 21 + 1;

impl Packer {
    /// One that holds nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a network. `prefix` is `None` for a single address.
    pub fn push(&mut self, address: IpAddr, prefix: Option<u8>, until: Option<i64>) {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        self.count += 1;
        // Writing to a string cannot fail.
        let written = match (prefix, until) {
            (None, None) => write!(self.text, "{address}"),
            (None, Some(until)) => write!(self.text, "{address}={until}"),
            (Some(prefix), None) => write!(self.text, "{address}/{prefix}"),
            (Some(prefix), Some(until)) => write!(self.text, "{address}/{prefix}={until}"),
        };
        debug_assert!(written.is_ok());
    }

    /// Adds a network that has a beginning of its own.
    pub fn push_since(
        &mut self,
        address: IpAddr,
        prefix: Option<u8>,
        until: Option<i64>,
        since: i64,
    ) {
        self.push(address, prefix, until);
        let written = write!(self.text, "@{since}");
        debug_assert!(written.is_ok());
    }

    /// Whether another may not fit any more.
    pub fn is_full(&self) -> bool {
        self.text.len() + LONGEST > MAX_NETWORKS
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many it holds.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The text, as [`ManyBans::networks`].
    pub fn finish(self) -> String {
        self.text
    }
}

/// What came of many bans, or of lifting many: each network is in exactly one of the counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// Held by this holder from now on.
    pub enforced: u32,
    /// Held already; the end has moved.
    pub prolonged: u32,
    /// As it was already.
    pub unchanged: u32,
    /// The end lies in the past: not enforced.
    pub expired: u32,
    /// On the allow list, or the host's own, or the VPC's: not enforced.
    pub protected: u32,
    /// Too wide, or never the source of a packet: not enforced.
    pub refused: u32,
    /// Told once more, and there is no room for more: not enforced.
    pub full: u32,
    /// Told once more, and perhaps unbanned since the mark: not enforced.
    pub unbanned: u32,
    /// No longer dropped.
    pub lifted: u32,
    /// The holder let go, but another still holds it.
    pub still_held: u32,
    /// Why some were not enforced, at most [`MAX_EXAMPLES`].
    pub examples: Vec<Example>,
}

/// Why one network of a list was not enforced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// Its place in the list, counted from 0.
    pub at: u32,
    /// For people: what was given, and why it is not banned.
    pub why: String,
}

impl Tally {
    /// Networks that were not enforced for a reason that the daemon has.
    pub fn skipped(&self) -> u32 {
        self.expired + self.protected + self.refused + self.full
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_end_that_is_no_number_is_named_by_its_place() {
        let read: Vec<_> = items("192.0.2.1 192.0.2.0/24=soon 192.0.2.2=7@then").collect();
        assert_eq!(read[1..], [Err(BadEnd { at: 1 }), Err(BadEnd { at: 2 })]);
    }

    #[test]
    fn a_full_packer_fits_a_line() {
        let mut packer = Packer::new();
        let longest: IpAddr = "1111:2222:3333:4444:5555:6666:7777:8888".parse().unwrap();
        while !packer.is_full() {
            packer.push_since(longest, Some(128), Some(i64::MIN), i64::MIN);
        }
        assert!(packer.count() > 700);
        let request = crate::Request::BanMany(ManyBans {
            holder: "\u{1f600}".repeat(crate::MAX_HOLDER / 4),
            time: i64::MAX,
            until: Some(i64::MAX),
            as_of: Some(u64::MAX),
            networks: packer.finish(),
        });
        assert!(request.validate().is_err(), "the time is out of range");
        assert!(crate::encode(&request).is_ok());
    }

    proptest! {
        #[test]
        fn what_is_packed_is_read(
            list in proptest::collection::vec(
                (any::<IpAddr>(), proptest::option::of(0_u8..=32), any::<[Option<i64>; 2]>()), 0..50),
        ) {
            let mut packer = Packer::new();
            for (address, prefix, [until, since]) in &list {
                match since {
                    Some(since) => packer.push_since(*address, *prefix, *until, *since),
                    None => packer.push(*address, *prefix, *until),
                }
            }
            prop_assert_eq!(packer.count(), list.len());
            let text = packer.finish();
            let read: Vec<_> = items(&text).map(Result::unwrap).collect();
            prop_assert_eq!(read.len(), list.len());
            for (item, (address, prefix, [until, since])) in read.iter().zip(&list) {
                let written = match prefix {
                    Some(prefix) => format!("{address}/{prefix}"),
                    None => address.to_string(),
                };
                prop_assert_eq!(item.network, written);
                prop_assert_eq!(item.until, *until);
                prop_assert_eq!(item.since, *since);
            }
        }
    }
}
