//! Counting the packets that really arrive at a host, by their source.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::namespace::Namespace;
use super::nft;

/// Counters in a host's netfilter, before anything else there sees a packet and
/// after XDP has: what counts here has arrived.
#[derive(Debug)]
pub struct Arrivals<'a> {
    namespace: &'a Namespace,
    table: String,
}

impl<'a> Arrivals<'a> {
    /// Counts nothing as yet. `purpose` keeps the counters of one host apart.
    ///
    /// # Errors
    /// nft fails.
    pub fn new(namespace: &'a Namespace, purpose: &str) -> Result<Self> {
        let table = format!("arrivals_{purpose}");
        nft::apply(
            namespace,
            &format!(
                "table inet {table} {{
                    set ipv4 {{ type ipv4_addr; counter; }}
                    set ipv6 {{ type ipv6_addr; counter; }}
                    chain arrivals {{
                        type filter hook prerouting priority -400; policy accept;
                        ip saddr @ipv4
                        ip6 saddr @ipv6
                    }}
                }}"
            ),
        )?;
        Ok(Self { namespace, table })
    }

    /// Counts the packets of these sources from now on.
    ///
    /// # Errors
    /// nft fails.
    pub fn watch(&self, sources: &[IpAddr]) -> Result<()> {
        let add = |source: &IpAddr| {
            let set = if source.is_ipv4() { "ipv4" } else { "ipv6" };
            format!("add element inet {} {set} {{ {source} }}\n", self.table)
        };
        nft::apply(self.namespace, &sources.iter().map(add).collect::<String>())
    }

    /// Packets of each watched source since it is watched.
    ///
    /// # Errors
    /// nft fails, or prints something unknown.
    pub fn counts(&self) -> Result<BTreeMap<IpAddr, u64>> {
        let mut counts = BTreeMap::new();
        for set in nft::list(self.namespace, &["table", "inet", &self.table], "set")? {
            for element in set["elem"].as_array().into_iter().flatten() {
                let (source, packets) =
                    counted(element).with_context(|| format!("an element of a set: {element}"))?;
                counts.insert(source, packets);
            }
        }
        Ok(counts)
    }

    /// Packets of one watched source.
    ///
    /// # Errors
    /// As [`Self::counts`], or the source is not watched.
    pub fn count(&self, source: IpAddr) -> Result<u64> {
        self.counts()?
            .get(&source)
            .copied()
            .with_context(|| format!("{source} is not watched"))
    }
}

fn counted(element: &Value) -> Option<(IpAddr, u64)> {
    let element = &element["elem"];
    Some((
        element["val"].as_str()?.parse().ok()?,
        element["counter"]["packets"].as_u64()?,
    ))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::net::{Link, veth};

    #[test]
    fn packets_of_watched_sources_count_from_the_watch_on() {
        let (near, far) = (
            Namespace::new("near").unwrap(),
            Namespace::new("far").unwrap(),
        );
        veth(Link::new(&near, "eth0"), Link::new(&far, "eth0")).unwrap();
        for (namespace, addresses) in [
            (&near, ["192.0.2.1/24", "2001:db8::1/64"]),
            (&far, ["192.0.2.2/24", "2001:db8::2/64"]),
        ] {
            for address in addresses {
                namespace
                    .add_address("eth0", address.parse().unwrap())
                    .unwrap();
            }
        }
        let arrivals = Arrivals::new(&far, "test").unwrap();
        let send = |from: &str, to: &str| {
            near.enter(|| {
                UdpSocket::bind((from, 0))
                    .unwrap()
                    .send_to(b"hello", (to, 9))
                    .unwrap()
            })
            .unwrap();
        };
        let sources: Vec<IpAddr> = ["192.0.2.1", "2001:db8::1"]
            .iter()
            .map(|a| a.parse().unwrap())
            .collect();

        send("192.0.2.1", "192.0.2.2");
        assert!(
            arrivals.count(sources[0]).is_err(),
            "nothing is watched yet"
        );
        arrivals.watch(&sources).unwrap();
        // A watched source's neighbour discovery counts as well; IPv4's is ARP, and doesn't.
        let before = arrivals.count(sources[1]).unwrap();
        send("192.0.2.1", "192.0.2.2");
        send("192.0.2.1", "192.0.2.2");
        send("2001:db8::1", "2001:db8::2");
        assert_eq!(arrivals.count(sources[0]).unwrap(), 2);
        assert!(arrivals.count(sources[1]).unwrap() > before);
    }
}
