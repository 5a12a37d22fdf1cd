//! Stand-ins for the two AWS services that nicban talks to.
//!
//! [`ec2::Ec2StandIn`] speaks the EC2 Query protocol and enforces what AWS enforces on
//! network ACLs; [`imds::ImdsStandIn`] speaks `IMDSv2`. Both can be told to fail in the
//! ways that AWS fails. [`moto::Moto`] runs moto, an independent double, so that tests
//! don't merely agree with the stand-in. README.md lists where the three differ.

pub mod acl;
pub mod auth;
pub mod clock;
pub mod config;
pub mod control;
pub mod credentials;
pub mod ec2;
pub mod error;
pub mod faults;
pub mod http;
pub mod imds;
pub mod metadata;
pub mod moto;
pub mod pair;
pub mod protocol;
pub mod query;
pub mod raw;
pub mod reply;
mod server;
pub mod state;
pub mod throttle;
pub mod visibility;
pub mod xml;

#[cfg(test)]
mod wire_tests;
