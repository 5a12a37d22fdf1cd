//! Lists in the formats that others read, and that import reads again.

use std::io::{self, Write};

use ipnet::IpNet;

/// A format to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum WriteFormat {
    /// A network a line, without ends
    Plain,
    /// An object a line, with ends
    Json,
    /// For `ipset restore`, with ends
    Ipset,
    /// For `nft -f`, with ends
    Nft,
}

/// The longest timeout that ipset takes, in seconds (`IPSET_MAX_TIMEOUT`,
/// `linux/netfilter/ipset/ip_set_timeout.h`: what fits the kernel's timers in ms).
const IPSET_LONGEST: i64 = 2_147_483;

const END_OF_NFT_SET: &[u8] = b"\n\t\t}\n\t}\n";

/// Writes a list as it comes. Networks come in order, IPv4 before IPv6.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    format: WriteFormat,
    now: i64,
    /// The family of the network before.
    family: Option<Family>,
    /// Ends that were cut to what the format can say.
    pub cut: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl<W: Write> Writer<W> {
    /// A writer at `now`, in seconds since the Unix epoch.
    pub fn new(mut out: W, format: WriteFormat, now: i64) -> io::Result<Self> {
        match format {
            WriteFormat::Plain | WriteFormat::Json => {}
            // There is no telling how many will come, and memory grows with what is there.
            WriteFormat::Ipset => out.write_all(
                b"create nicban_v4 hash:net family inet maxelem 4294967295 timeout 0\n\
                  create nicban_v6 hash:net family inet6 maxelem 4294967295 timeout 0\n",
            )?,
            WriteFormat::Nft => out.write_all(b"table inet nicban_export {\n")?,
        }
        Ok(Self {
            out,
            format,
            now,
            family: None,
            cut: 0,
        })
    }

    /// Writes one network; `until` is in seconds since the Unix epoch, `None` is never.
    pub fn network(&mut self, network: IpNet, until: Option<i64>) -> io::Result<()> {
        let family = match network {
            IpNet::V4(_) => Family::V4,
            IpNet::V6(_) => Family::V6,
        };
        let before = self.family.replace(family);
        // Something must be left: 0 would be never.
        let left = until.map(|until| until.saturating_sub(self.now).max(1));
        match self.format {
            WriteFormat::Plain => writeln!(self.out, "{}", Shown(network)),
            WriteFormat::Json => match until {
                Some(until) => writeln!(
                    self.out,
                    "{{\"address\":\"{}\",\"until\":{until}}}",
                    Shown(network)
                ),
                None => writeln!(self.out, "{{\"address\":\"{}\"}}", Shown(network)),
            },
            WriteFormat::Ipset => {
                let set = match family {
                    Family::V4 => "nicban_v4",
                    Family::V6 => "nicban_v6",
                };
                write!(self.out, "add {set} {}", Shown(network))?;
                if let Some(left) = left {
                    self.cut += usize::from(left > IPSET_LONGEST);
                    write!(self.out, " timeout {}", left.min(IPSET_LONGEST))?;
                }
                self.out.write_all(b"\n")
            }
            WriteFormat::Nft => {
                match before {
                    Some(before) if before == family => self.out.write_all(b",\n")?,
                    Some(_) => {
                        self.out.write_all(END_OF_NFT_SET)?;
                        self.begin_nft_set(family)?;
                    }
                    None => self.begin_nft_set(family)?,
                }
                write!(self.out, "\t\t\t{}", Shown(network))?;
                match left {
                    Some(left) => write!(self.out, " timeout {left}s"),
                    None => Ok(()),
                }
            }
        }
    }

    fn begin_nft_set(&mut self, family: Family) -> io::Result<()> {
        let (name, kind) = match family {
            Family::V4 => ("v4", "ipv4_addr"),
            Family::V6 => ("v6", "ipv6_addr"),
        };
        write!(
            self.out,
            "\tset {name} {{\n\t\ttype {kind}\n\t\tflags interval,timeout\n\t\tauto-merge\n\t\telements = {{\n"
        )
    }

    /// Writes what stands at the end.
    pub fn finish(mut self) -> io::Result<()> {
        if self.format == WriteFormat::Nft {
            if self.family.is_some() {
                self.out.write_all(END_OF_NFT_SET)?;
            }
            self.out.write_all(b"}\n")?;
        }
        self.out.flush()
    }
}

/// A network; one that is a single IPv4 address as that.
struct Shown(IpNet);

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            IpNet::V4(net) if net.prefix_len() == 32 => net.addr().fmt(f),
            net => net.fmt(f),
        }
    }
}
