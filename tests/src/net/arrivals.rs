//! Counting the packets that really arrive at a host, by their source.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::namespace::Namespace;
use super::nft;
use crate::wait;

/// How long the witness may take: far beyond the microseconds that it takes.
const WITNESS_LIMIT: Duration = Duration::from_secs(10);

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
        Self::matching(namespace, purpose, "")
    }

    /// As [`Self::new`], for packets that match an expression of nft's only.
    ///
    /// # Errors
    /// nft fails.
    pub fn matching(namespace: &'a Namespace, purpose: &str, expression: &str) -> Result<Self> {
        let table = format!("arrivals_{purpose}");
        nft::apply(
            namespace,
            &format!(
                "table inet {table} {{
                    set ipv4 {{ type ipv4_addr; counter; }}
                    set ipv6 {{ type ipv6_addr; counter; }}
                    chain arrivals {{
                        type filter hook prerouting priority -400; policy accept;
                        {expression} ip saddr @ipv4
                        {expression} ip6 saddr @ipv6
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

/// Sends UDP datagrams from one host to another, and tells how many arrive.
///
/// A last one, from the address `witness`, has to arrive: what was sent before it
/// on the same cable and isn't there by then was dropped, not late.
///
/// # Errors
/// `source` or `witness` is not an address of `from`, there is no route, or the
/// witness doesn't arrive.
pub fn arrives(
    (from, source, witness): (&Namespace, IpAddr, IpAddr),
    (to, destination): (&Namespace, SocketAddr),
    packets: u32,
) -> Result<u64> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let purpose = COUNT.fetch_add(1, Ordering::Relaxed).to_string();
    // Neighbour discovery has the same sources.
    let datagrams = format!("udp dport {}", destination.port());
    let arrivals = Arrivals::matching(to, &purpose, &datagrams)?;
    arrivals.watch(&[source, witness])?;
    let send = |source: IpAddr, packets: u32| {
        from.enter(|| {
            let socket = UdpSocket::bind((source, 0))?;
            (0..packets).try_for_each(|_| socket.send_to(b"nicban", destination).map(drop))
        })?
        .with_context(|| format!("send from {source} to {destination}"))
    };
    send(source, packets)?;
    send(witness, 1)?;
    wait::until("the witness arrives", WITNESS_LIMIT, || {
        Ok((arrivals.count(witness)? > 0).then_some(()))
    })?;
    let count = arrivals.count(source)?;
    nft::apply(to, &format!("delete table inet {}", arrivals.table))?;
    Ok(count)
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
    use super::*;
    use crate::net::{Link, veth};

    /// Two hosts on a cable; of each family the near one has the addresses 1 and 3, the far one 2.
    fn pair() -> (Namespace, Namespace) {
        let (near, far) = (
            Namespace::new("near").unwrap(),
            Namespace::new("far").unwrap(),
        );
        veth(Link::new(&near, "eth0"), Link::new(&far, "eth0")).unwrap();
        for (namespace, hosts) in [(&near, &[1, 3][..]), (&far, &[2])] {
            for host in hosts {
                for address in [format!("192.0.2.{host}/24"), format!("2001:db8::{host}/64")] {
                    namespace
                        .add_address("eth0", address.parse().unwrap())
                        .unwrap();
                }
            }
        }
        (near, far)
    }

    #[test]
    fn packets_of_watched_sources_count_from_the_watch_on() {
        let (near, far) = pair();
        let arrivals = Arrivals::new(&far, "test").unwrap();
        let send = || {
            near.enter(|| {
                UdpSocket::bind("192.0.2.1:0")
                    .unwrap()
                    .send_to(b"hello", "192.0.2.2:9")
                    .unwrap()
            })
            .unwrap();
        };
        let source = "192.0.2.1".parse().unwrap();
        let arrived = |packets| {
            wait::until("the packets arrive", WITNESS_LIMIT, || {
                Ok((arrivals.count(source)? == packets).then_some(()))
            })
        };
        send();
        assert!(arrivals.count(source).is_err(), "nothing is watched yet");
        arrivals.watch(&[source]).unwrap();
        send();
        send();
        arrived(2).unwrap();
    }

    #[test]
    fn what_is_dropped_does_not_arrive() {
        let (near, far) = pair();
        for (source, witness, to) in [
            ("192.0.2.1", "192.0.2.3", "192.0.2.2:9"),
            ("2001:db8::1", "2001:db8::3", "[2001:db8::2]:9"),
        ] {
            let arriving = || {
                let from = (&near, source.parse().unwrap(), witness.parse().unwrap());
                arrives(from, (&far, to.parse().unwrap()), 5).unwrap()
            };
            let family = if source.contains(':') { "ip6" } else { "ip" };
            let drop_it = format!(
                "table netdev drops {{ chain drops {{ \
                 type filter hook ingress device eth0 priority 0; {family} saddr {source} udp dport 9 drop; }}\n}}"
            );
            assert_eq!(arriving(), 5);
            nft::apply(&far, &drop_it).unwrap();
            assert_eq!(arriving(), 0);
            nft::apply(&far, "delete table netdev drops").unwrap();
            assert_eq!(arriving(), 5);
        }
    }
}
