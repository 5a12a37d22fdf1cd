//! The frames that a verdict is asked for.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::net::Frame;

/// Outside of what `sources` gives.
pub(super) const V4_BANNED: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// As [`V4_BANNED`].
pub(super) const V6_BANNED: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, 7);
const V4_HONEST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
const V6_HONEST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x600d, 0, 0, 0, 0, 9);
const V4_HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const V6_HOST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// From the banned source or from an honest one.
pub(super) fn frame(v6: bool, banned: bool) -> Frame {
    let (from, to): (SocketAddr, SocketAddr) = match (v6, banned) {
        (true, true) => ((V6_BANNED, 1).into(), (V6_HOST, 9).into()),
        (true, false) => ((V6_HONEST, 1).into(), (V6_HOST, 9).into()),
        (false, true) => ((V4_BANNED, 1).into(), (V4_HOST, 9).into()),
        (false, false) => ((V4_HONEST, 1).into(), (V4_HOST, 9).into()),
    };
    Frame::udp((&[2; 6], &[4; 6]), from, to, &[0; 18])
}
