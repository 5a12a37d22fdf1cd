//! A range of addresses as networks.

use std::net::IpAddr;

use ipnet::{IpNet, IpSubnets, Ipv4Subnets, Ipv6Subnets};

use super::error::echo;

/// The fewest networks that hold exactly the addresses from `first` to `last`.
pub(super) fn networks(
    first: &str,
    last: &str,
) -> Result<impl Iterator<Item = IpNet> + use<>, String> {
    let read = |text: &str| {
        text.parse::<IpAddr>().map_err(|_| {
            format!(
                "{} is no address: allowed is an address, a network such as 192.0.2.0/24, or a range such as 192.0.2.1-192.0.2.9",
                echo(text)
            )
        })
    };
    let (first, last) = (read(first)?, read(last)?);
    let nets = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
            IpSubnets::V4(Ipv4Subnets::new(first, last, 0))
        }
        (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => {
            IpSubnets::V6(Ipv6Subnets::new(first, last, 0))
        }
        _ => {
            return Err(format!(
                "{first}-{last} is no range: allowed are two addresses of one family, the lower first"
            ));
        }
    };
    Ok(nets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(first: &str, last: &str) -> Vec<String> {
        networks(first, last)
            .unwrap()
            .map(|net| net.to_string())
            .collect()
    }

    #[test]
    fn a_range_is_split_at_the_bits() {
        assert_eq!(split("192.0.2.0", "192.0.2.255"), ["192.0.2.0/24"]);
        assert_eq!(
            split("192.0.2.1", "192.0.2.6"),
            [
                "192.0.2.1/32",
                "192.0.2.2/31",
                "192.0.2.4/31",
                "192.0.2.6/32"
            ]
        );
        assert_eq!(split("2001:db8::", "2001:db8::ffff"), ["2001:db8::/112"]);
        assert_eq!(split("192.0.2.7", "192.0.2.7"), ["192.0.2.7/32"]);
    }

    #[test]
    fn what_is_no_range_says_what_is() {
        for (first, last) in [
            ("192.0.2.9", "192.0.2.1"),
            ("192.0.2.9", "2001:db8::"),
            ("192.0.2.9", ""),
            ("x", "192.0.2.1"),
        ] {
            let error = networks(first, last).err().unwrap();
            assert!(error.contains("allowed"), "{error}");
        }
    }
}
