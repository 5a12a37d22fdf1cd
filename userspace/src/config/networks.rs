//! Lists of networks in CIDR notation.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use toml::de::DeValue;

use super::values;

const ALLOWED: &str =
    "an address or a network in quotes, such as \"192.0.2.7\" or \"2001:db8::/32\"";

/// A list of addresses and networks, IPv4-mapped ones as IPv4.
pub(super) fn parse(value: &DeValue<'_>) -> Result<Vec<IpNet>, String> {
    values::list("addresses and networks", |value| {
        network(values::text(value, ALLOWED)?)
    })(value)
}

fn network(written: &str) -> Result<IpNet, String> {
    let network: IpNet = if let Ok(address) = written.parse::<IpAddr>() {
        IpNet::from(address)
    } else {
        written.parse().map_err(|_| ALLOWED.to_owned())?
    };
    let network = unmapped(network);
    if network.prefix_len() == 0 {
        return Err(format!(
            "{network} is everyone, so that no ban would take effect; \
             to count and pass instead, set mode = \"observe\" in [xdp]"
        ));
    }
    if network != network.trunc() {
        return Err(format!(
            "{written} has bits beyond its prefix; write {} or {}",
            network.trunc(),
            IpNet::from(network.addr())
        ));
    }
    Ok(network)
}

/// `::ffff:a.b.c.d` is the IPv4 address that it stands for (RFC 4291, 2.5.5.2).
fn unmapped(network: IpNet) -> IpNet {
    match network {
        IpNet::V6(v6) => match (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(96)) {
            (Some(address), Some(prefix)) => {
                Ipv4Net::new(address, prefix).map_or(network, IpNet::V4)
            }
            _ => network,
        },
        IpNet::V4(_) => network,
    }
}

#[cfg(test)]
mod tests {
    use super::network;

    #[test]
    fn addresses_and_networks() {
        assert_eq!(network("192.0.2.7").unwrap().to_string(), "192.0.2.7/32");
        assert_eq!(network("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(
            network("2001:db8::/32").unwrap().to_string(),
            "2001:db8::/32"
        );
        assert_eq!(
            network("::ffff:192.0.2.0/120").unwrap().to_string(),
            "192.0.2.0/24"
        );
    }

    #[test]
    fn what_is_refused_says_what_to_write() {
        assert!(
            network("10.0.0.5/8")
                .unwrap_err()
                .contains("write 10.0.0.0/8 or 10.0.0.5/32")
        );
        assert!(network("0.0.0.0/0").unwrap_err().contains("observe"));
        assert!(network("::/0").unwrap_err().contains("observe"));
        assert!(
            network("::ffff:0.0.0.0/96")
                .unwrap_err()
                .contains("observe")
        );
        assert!(network("example.org").unwrap_err().contains("192.0.2.7"));
        assert!(network("10.0.0.0/33").unwrap_err().contains("192.0.2.7"));
    }
}
