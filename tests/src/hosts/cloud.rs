//! stub
use std::path::PathBuf;
use anyhow::Result;
use ipnet::IpNet;
use crate::net::Namespace;

/// A NACL's rules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Nacl {
    /// In no particular order.
    pub rules: Vec<NaclRule>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NaclRule {
    /// Whether it is for packets out of the subnet.
    pub egress: bool,
    /// The lowest that matches decides.
    pub number: u32,
    /// Allow or deny.
    pub allow: bool,
    /// IANA's number, or -1 for all.
    pub protocol: i16,
    /// Sources of ingress, destinations of egress.
    pub network: IpNet,
    /// First and last port; `None` is all.
    pub ports: Option<(i32, i32)>,
}

/// Stub.
#[derive(Debug, Clone)]
pub struct Cloud(PathBuf);
impl Cloud {
    /// x
    pub fn nacl(&self, _: &Namespace) -> Result<Nacl> { Ok(Nacl::default()) }
    /// x
    pub fn control(&self) -> Self { self.clone() }
}
