//! The name servers that this machine asks.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;

/// Where they stand (resolv.conf(5)). systemd-resolved writes its own loopback address into
/// the first and those that it asks itself into the second (systemd-resolved.service(8)).
const FILES: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/// The name servers beyond this machine. A file that is missing names none.
pub(super) fn read() -> BTreeSet<IpAddr> {
    FILES
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .flat_map(|text| servers(&text).collect::<Vec<_>>())
        .collect()
}

fn servers(text: &str) -> impl Iterator<Item = IpAddr> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = (words.next() == Some("nameserver")).then(|| words.next())??;
        // A link-local one names its interface.
        let (address, _) = address.split_once('%').unwrap_or((address, ""));
        let address: IpAddr = address.parse().ok()?;
        (!address.is_loopback() && !address.is_unspecified()).then_some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::servers;

    #[test]
    fn servers_stand_behind_their_word() {
        let text = "# nameserver 192.0.2.1\n\
                    search example.org\n\
                    nameserver 10.0.0.2\n\
                    \tnameserver\tfe80::1%eth0  \n\
                    nameserver 127.0.0.53\n\
                    nameserver ::1\n\
                    nameserver 0.0.0.0\n\
                    nameserver here\n\
                    nameserver\n\
                    nameservers 192.0.2.3\n\
                    nameserver 2001:db8::53";
        let found: Vec<String> = servers(text).map(|address| address.to_string()).collect();
        assert_eq!(found, ["10.0.0.2", "fe80::1", "2001:db8::53"]);
    }
}
