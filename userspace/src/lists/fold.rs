//! A list without what it says twice.

use std::cmp::Reverse;
use std::net::IpAddr;

use ipnet::IpNet;

use super::Listed;
use crate::target::{Ipv6Prefix, Target};

/// A list in the order of its networks, each once.
#[derive(Debug, Default)]
pub struct Folded {
    /// The networks; of one that was listed with several ends, the latest.
    pub listed: Vec<Listed>,
    /// How many were folded into others.
    pub duplicates: usize,
}

/// Sorts, and keeps of each network the one that ends last. One that names no end has the end
/// `until`; `None` is never.
pub fn fold(mut listed: Vec<Listed>, until: Option<i64>) -> Folded {
    for item in &mut listed {
        item.until = item.until.or(until);
    }
    let before = listed.len();
    // The later end first, then the earlier place.
    listed.sort_by_cached_key(|item| {
        (
            key(item),
            Reverse(item.until.unwrap_or(i64::MAX)),
            item.place,
        )
    });
    listed.dedup_by_key(|item| key(item));
    Folded {
        duplicates: before - listed.len(),
        listed,
    }
}

/// A single IPv6 address is another ban than the network of that one address.
fn key(item: &Listed) -> (IpNet, bool) {
    (
        item.network(),
        item.prefix.is_none() && item.address.is_ipv6(),
    )
}

impl Listed {
    /// What a ban of it is on, where single IPv6 addresses are banned at `prefix`; `None` where
    /// it can't be banned.
    pub fn target(&self, prefix: Ipv6Prefix) -> Option<Target> {
        let network = match (self.address, self.prefix) {
            (IpAddr::V6(_), None) => IpNet::new_assert(self.address, prefix.bits()).trunc(),
            _ => self.network(),
        };
        Target::from_network(self.network()).ok()?;
        Target::from_network(network).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::{Wanted, parse};

    #[test]
    fn the_latest_end_wins_and_never_is_latest() {
        let text = "{\"address\":\"192.0.2.1\",\"until\":5}\n{\"address\":\"192.0.2.1/32\",\"until\":9}\n{\"address\":\"192.0.2.2\",\"until\":9}\n{\"address\":\"192.0.2.2\"}\n{\"address\":\"2001:db8::1\"}\n{\"address\":\"2001:db8::1/128\"}\n{\"address\":\"192.0.2.77/24\"}\n";
        let parsed = parse(text, None, Wanted::default(), 0);
        let folded = fold(parsed.listed.clone(), None);
        let shown: Vec<_> = folded
            .listed
            .iter()
            .map(|item| (item.network().to_string(), item.prefix, item.until))
            .collect();
        assert_eq!(
            shown,
            [
                ("192.0.2.0/24".to_owned(), Some(24), None),
                ("192.0.2.1/32".to_owned(), Some(32), Some(9)),
                ("192.0.2.2/32".to_owned(), None, None),
                ("2001:db8::1/128".to_owned(), Some(128), None),
                ("2001:db8::1/128".to_owned(), None, None),
            ]
        );
        assert_eq!(folded.duplicates, 2);
        let folded = fold(parsed.listed, Some(7));
        let ends: Vec<_> = folded.listed.iter().map(|item| item.until).collect();
        assert_eq!(ends, [Some(7), Some(9), Some(9), Some(7), Some(7)]);
    }

    #[test]
    fn the_target_is_the_daemons() {
        let parsed = parse(
            "2001:db8::1\n2001:db8::1/128\n127.0.0.1\n192.0.2.7\n",
            None,
            Wanted::default(),
            0,
        );
        let targets: Vec<_> = parsed
            .listed
            .iter()
            .map(|item| {
                item.target(Ipv6Prefix::default())
                    .map(|target| target.to_string())
            })
            .collect();
        let targets: Vec<_> = targets.iter().map(Option::as_deref).collect();
        assert_eq!(
            targets,
            [
                Some("2001:db8::/64"),
                Some("2001:db8::1/128"),
                None,
                Some("192.0.2.7")
            ]
        );
    }
}
