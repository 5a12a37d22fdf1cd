//! The stand-ins over real sockets, by a client that no SDK smooths over.

mod ec2;
mod imds;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::raw::{self, Reply};
use super::xml::Element;

const REGION: &str = "eu-central-1";
const SUBNET: &str = "subnet-0123456789abcdef0";
const ACL: &str = "acl-0123456789abcdef0";
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// A call with an access key that nobody handed out.
fn call(addr: SocketAddr, action: &str, parameters: &[(&str, &str)]) -> Reply {
    try_call(addr, action, parameters, raw::PATIENCE).unwrap()
}

fn try_call(
    addr: SocketAddr,
    action: &str,
    parameters: &[(&str, &str)],
    patience: Duration,
) -> io::Result<Reply> {
    let authorization = raw::authorization("AKIASTANDIN", REGION);
    let headers = [FORM, ("Authorization", authorization.as_str())];
    let body = raw::form(action, parameters);
    raw::send(addr, "POST", "/", &headers, &body, patience)
}

/// The parameters of an ingress deny.
fn deny<'a>(number: &'a str, network: &'a str) -> Vec<(&'a str, &'a str)> {
    let block = if network.contains(':') {
        "Ipv6CidrBlock"
    } else {
        "CidrBlock"
    };
    vec![
        ("NetworkAclId", ACL),
        ("RuleNumber", number),
        ("Protocol", "-1"),
        ("RuleAction", "deny"),
        ("Egress", "false"),
        (block, network),
    ]
}

/// An error's status and code, after its shape was checked.
fn refusal(reply: &Reply) -> (u16, String) {
    let body = Element::parse(&reply.body).unwrap();
    assert_eq!(body.name, "Response");
    assert!(body.child("RequestID").is_some(), "{}", reply.body);
    let error = body.child("Errors").unwrap().child("Error").unwrap();
    (reply.status, error.child("Code").unwrap().text.clone())
}

/// A GET or POST of the control endpoint.
fn control(addr: SocketAddr, method: &str, path: &str, body: &str) -> Reply {
    raw::send(addr, method, path, &[], body, raw::PATIENCE).unwrap()
}
