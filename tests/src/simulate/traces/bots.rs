//! A botnet that changes its addresses within one network.

use fastrand::Rng;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::simulate::random::{exponential, log_normal, whole};
use crate::simulate::trace::{Draft, Phase, Trace};

/// Addresses that send at a time.
const AT_ONCE: usize = 32;

/// 32 of the 256 addresses in a /24, and of the 256 /64 in a /56, send at a time;
/// each for 5 min in the mean, then the next one goes on for it. All of it is an
/// assumption: it shows what aggregation is for.
pub(super) fn rotating(seed: u64, length: u32) -> Trace {
    let mut rng = Rng::with_seed(seed);
    let mut draft = Draft::default();
    let v4 = (0..256_u32)
        .map(|host| IpNet::V4(Ipv4Net::new_assert((0xCB00_7100 + host).into(), 32)))
        .collect();
    let v6 = (0..256_u128)
        .map(|part| (0x2001_0DB8_0042_0000 + part) << 64)
        .map(|address| IpNet::V6(Ipv6Net::new_assert(address.into(), 64)))
        .collect();
    rotate(&mut draft, &mut rng, v4, length);
    rotate(&mut draft, &mut rng, v6, length);
    draft.trace("botnet-24", seed, length)
}

fn rotate(draft: &mut Draft, rng: &mut Rng, networks: Vec<IpNet>, length: u32) {
    let mut phases: Vec<Vec<Phase>> = networks.iter().map(|_| Vec::new()).collect();
    let mut order: Vec<usize> = (0..networks.len()).collect();
    rng.shuffle(&mut order);
    // Each bot takes the address that has been quiet longest.
    let mut quiet: std::collections::VecDeque<usize> = order.into();
    let mut bots: Vec<(u32, Option<usize>)> = vec![(0, None); AT_ONCE];
    for second in 0..length {
        for (until, address) in &mut bots {
            if *until > second {
                continue;
            }
            quiet.extend(address.take());
            let Some(next) = quiet.pop_front() else {
                continue;
            };
            *until = second + 10 + whole(exponential(rng, 290.0));
            *address = Some(next);
            phases[next].push(Phase {
                from: second,
                until: *until,
                rate: log_normal(rng, 20.0, 0.5),
            });
        }
    }
    for (network, phases) in networks.into_iter().zip(phases) {
        draft.add(network, phases);
    }
}
