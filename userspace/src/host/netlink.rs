//! The questions to the kernel, over rtnetlink(7).

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::{FutureExt, Stream, StreamExt, TryStreamExt};
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{
    LinkAttribute, LinkLayerType, LinkMessage, LinkXdp, XdpAttached,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteType, RouteVia,
};
use rtnetlink::{Handle, MulticastGroup, RouteMessageBuilder};
use tokio::task::JoinHandle;

use super::{Host, HostError, Interface, MacAddress, XdpMode, XdpProgram};

/// Reads interfaces, addresses and routes, one after the other: between them
/// the machine may change, which a [`Watch`] opened before tells.
pub(super) async fn read() -> Result<Host, HostError> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(HostError::Open)?;
    // The connection is driven here rather than spawned, so that it ends with the question.
    tokio::select! {
        () = connection => Err(HostError::Closed),
        host = ask(&handle) => host,
    }
}

async fn ask(handle: &Handle) -> Result<Host, HostError> {
    let mut interfaces: Vec<Interface> = every("interfaces", handle.link().get().execute())
        .await?
        .into_iter()
        .filter_map(interface)
        .collect();
    interfaces.sort_by_key(|interface| interface.index);

    let messages = every("addresses", handle.address().get().execute()).await?;
    let addresses = messages
        .into_iter()
        .filter_map(|message| own_address(&message.attributes))
        .collect();

    let v4 = RouteMessageBuilder::<Ipv4Addr>::new().build();
    let v6 = RouteMessageBuilder::<Ipv6Addr>::new().build();
    let mut gateways = BTreeSet::new();
    for question in [v4, v6] {
        for route in every("routes", handle.route().get(question).execute()).await? {
            let hops = hops(&route);
            gateways.extend(hops.iter().filter_map(|hop| hop.gateway));
            if is_default(&route) {
                for interface in &mut interfaces {
                    interface.default_route |= hops
                        .iter()
                        .any(|hop| hop.interface == Some(interface.index));
                }
            }
        }
    }
    Ok(Host {
        interfaces,
        addresses,
        gateways,
        ..Host::default()
    })
}

async fn every<T>(
    subject: &'static str,
    answers: impl Stream<Item = Result<T, rtnetlink::Error>>,
) -> Result<Vec<T>, HostError> {
    answers
        .try_collect()
        .await
        .map_err(|source| HostError::Read { subject, source })
}

fn interface(message: LinkMessage) -> Option<Interface> {
    let layer = message.header.link_layer_type;
    let mut interface = Interface {
        index: message.header.index,
        name: String::new(),
        mac: None,
        mtu: 0,
        ethernet: matches!(layer, LinkLayerType::Ether | LinkLayerType::Loopback),
        default_route: false,
        xdp: Vec::new(),
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name = name,
            LinkAttribute::Mtu(mtu) => interface.mtu = mtu,
            LinkAttribute::Address(bytes) => {
                interface.mac = <[u8; 6]>::try_from(bytes).ok().map(MacAddress);
            }
            LinkAttribute::Xdp(attributes) => interface.xdp = programs(&attributes),
            _ => {}
        }
    }
    // A link without a name is not one that we could be asked to attach to.
    (!interface.name.is_empty()).then_some(interface)
}

fn programs(attributes: &[LinkXdp]) -> Vec<XdpProgram> {
    let by_mode: Vec<XdpProgram> = attributes
        .iter()
        .filter_map(|attribute| {
            let (id, mode) = match attribute {
                LinkXdp::DrvProgId(id) => (*id, XdpMode::Native),
                LinkXdp::SkbProgId(id) => (*id, XdpMode::Generic),
                LinkXdp::HwProgId(id) => (*id, XdpMode::Offloaded),
                _ => return None,
            };
            (id != 0).then_some(XdpProgram { id, mode })
        })
        .collect();
    if !by_mode.is_empty() {
        return by_mode;
    }
    // Some drivers tell one number for whatever mode is on.
    let mode = attributes.iter().find_map(|attribute| match attribute {
        LinkXdp::Attached(XdpAttached::Driver) => Some(XdpMode::Native),
        LinkXdp::Attached(XdpAttached::SocketBuffer) => Some(XdpMode::Generic),
        LinkXdp::Attached(XdpAttached::Hardware) => Some(XdpMode::Offloaded),
        _ => None,
    });
    let id = attributes.iter().find_map(|attribute| match attribute {
        LinkXdp::ProgId(id) if *id != 0 => Some(*id),
        _ => None,
    });
    mode.zip(id)
        .map(|(mode, id)| XdpProgram { id, mode })
        .into_iter()
        .collect()
}

/// On a point-to-point link `IFA_ADDRESS` is the peer's and `IFA_LOCAL` ours;
/// IPv6 leaves `IFA_LOCAL` out where the two are the same (`linux/if_addr.h`).
fn own_address(attributes: &[AddressAttribute]) -> Option<IpAddr> {
    let local = attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    local.or_else(|| {
        attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    })
}

fn is_default(route: &RouteMessage) -> bool {
    route.header.destination_prefix_length == 0 && route.header.kind == RouteType::Unicast
}

struct Hop {
    interface: Option<u32>,
    gateway: Option<IpAddr>,
}

/// The next hops of a route, which has several where it is an ECMP one.
fn hops(route: &RouteMessage) -> Vec<Hop> {
    let mut hops = vec![Hop {
        interface: route
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                RouteAttribute::Oif(index) => Some(*index),
                _ => None,
            }),
        gateway: gateway(&route.attributes),
    }];
    for attribute in &route.attributes {
        if let RouteAttribute::MultiPath(paths) = attribute {
            hops.extend(paths.iter().map(|path| Hop {
                interface: Some(path.interface_index),
                gateway: gateway(&path.attributes),
            }));
        }
    }
    hops
}

fn gateway(attributes: &[RouteAttribute]) -> Option<IpAddr> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(address))
        | RouteAttribute::Via(RouteVia::Inet(address)) => Some(IpAddr::V4(*address)),
        RouteAttribute::Gateway(RouteAddress::Inet6(address))
        | RouteAttribute::Via(RouteVia::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    })
}

/// Tells that interfaces, addresses or routes have changed since it was opened.
pub struct Watch {
    changes: std::pin::Pin<Box<dyn Stream<Item = ()> + Send>>,
    connection: JoinHandle<()>,
}

impl Watch {
    /// Opens a watch of the network namespace that the calling thread is in.
    /// Must be called within a tokio runtime.
    pub fn open() -> Result<Self, HostError> {
        let (connection, _, messages) = rtnetlink::new_multicast_connection(&[
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
            MulticastGroup::Ipv4Route,
            MulticastGroup::Ipv6Route,
        ])
        .map_err(HostError::Open)?;
        Ok(Self {
            changes: Box::pin(messages.map(|_| ())),
            connection: tokio::spawn(connection),
        })
    }

    /// Waits for a change; those that came together are told as one. Nothing is
    /// lost when the future is dropped.
    pub async fn changed(&mut self) -> Result<(), HostError> {
        self.changes.next().await.ok_or(HostError::Closed)?;
        while let Some(Some(())) = self.changes.next().now_or_never() {}
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_route::link::{LinkXdp, XdpAttached};

    use super::super::{Host, XdpMode, XdpProgram};
    use super::programs;

    #[test]
    fn an_interface_may_carry_a_program_in_each_mode() {
        let several = [
            LinkXdp::Attached(XdpAttached::Multiple),
            LinkXdp::DrvProgId(7),
            LinkXdp::SkbProgId(8),
        ];
        let (native, generic) = (XdpMode::Native, XdpMode::Generic);
        assert_eq!(
            programs(&several),
            [
                XdpProgram {
                    id: 7,
                    mode: native
                },
                XdpProgram {
                    id: 8,
                    mode: generic
                }
            ]
        );
        let one = [
            LinkXdp::Attached(XdpAttached::SocketBuffer),
            LinkXdp::ProgId(9),
        ];
        assert_eq!(
            programs(&one),
            [XdpProgram {
                id: 9,
                mode: generic
            }]
        );
        assert_eq!(programs(&[LinkXdp::Attached(XdpAttached::None)]), []);
    }

    #[tokio::test]
    async fn this_machine_has_loopback() {
        let host = Host::read().await.unwrap();
        let lo = host.interface("lo").unwrap();
        assert_eq!(lo.index, 1);
        assert!(lo.ethernet);
        assert!(!lo.default_route);
    }
}
