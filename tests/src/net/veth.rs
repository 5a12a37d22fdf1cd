//! Virtual cables between namespaces.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Result;

use super::namespace::Namespace;
use crate::wait;

/// One end of a cable.
#[derive(Debug, Clone, Copy)]
pub struct Link<'a> {
    /// Where it ends.
    pub namespace: &'a Namespace,
    /// The interface's name there: at most 15 bytes.
    pub interface: &'a str,
    /// The interface's MAC address; the kernel chooses one for `None`.
    pub mac: Option<&'a str>,
}

impl<'a> Link<'a> {
    /// An end whose MAC address doesn't matter.
    pub fn new(namespace: &'a Namespace, interface: &'a str) -> Self {
        Self {
            namespace,
            interface,
            mac: None,
        }
    }

    /// An end with a given MAC address.
    pub fn with_mac(namespace: &'a Namespace, interface: &'a str, mac: &'a str) -> Self {
        Self {
            namespace,
            interface,
            mac: Some(mac),
        }
    }
}

/// Connects two namespaces by a pair of veth interfaces, both up and ready to send.
///
/// # Errors
/// An interface of that name exists, or a name is too long.
pub fn veth(one: Link<'_>, other: Link<'_>) -> Result<()> {
    let (near, far) = temporary_names();
    // Made inside a namespace, so that the pair never shows in the machine's own.
    one.namespace
        .ip(&["link", "add", &near, "type", "veth", "peer", "name", &far])?;
    one.namespace
        .ip(&["link", "set", &far, "netns", other.namespace.name()])?;
    for (end, temporary) in [(one, near), (other, far)] {
        end.namespace
            .ip(&["link", "set", &temporary, "name", end.interface])?;
        if let Some(mac) = end.mac {
            end.namespace
                .ip(&["link", "set", end.interface, "address", mac])?;
        }
        end.namespace.ip(&["link", "set", end.interface, "up"])?;
    }
    wait_for_carrier(one)?;
    wait_for_carrier(other)
}

/// Waits until an interface has its queue: the kernel gives it one some time after
/// both ends are up, and loses without a word what is sent before
/// (`linkwatch_event` in the kernel).
fn wait_for_carrier(end: Link<'_>) -> Result<()> {
    let what = format!("{} has a carrier", end.interface);
    wait::until(&what, Duration::from_secs(10), || {
        let shown = end.namespace.ip(&["link", "show", "dev", end.interface])?;
        Ok(shown.contains("state UP").then_some(()))
    })
}

/// Names of 15 bytes at most that no other pair has in any namespace of this process.
fn temporary_names() -> (String, String) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    (format!("nbn{count}"), format!("nbf{count}"))
}
