use super::super::acl::{Action, Entry};
use super::super::clock;
use super::super::config::Ec2Config;
use super::super::credentials::Issued;
use super::super::ec2::{Ec2StandIn, Snapshot};
use super::super::faults::{Fault, FaultRule};
use super::super::state::Change;
use super::super::throttle::{Rate, Rates};
use super::*;

const CREATE: &str = "CreateNetworkAclEntry";
const DESCRIBE: &str = "DescribeNetworkAcls";

async fn started() -> Ec2StandIn {
    started_with(|_| {}).await
}

async fn started_with(edit: impl FnOnce(&mut Ec2Config)) -> Ec2StandIn {
    let mut config = Ec2Config::one_subnet(SUBNET, ACL);
    config.any_access_key = true;
    edit(&mut config);
    Ec2StandIn::start(config, Issued::default()).await.unwrap()
}

fn by_subnet(addr: SocketAddr) -> Element {
    let filter = [
        ("Filter.1.Name", "association.subnet-id"),
        ("Filter.1.Value.1", SUBNET),
    ];
    let reply = call(addr, DESCRIBE, &filter);
    assert_eq!(reply.status, 200);
    Element::parse(&reply.body).unwrap()
}

/// The networks of a Describe's entries below 100.
fn shown(described: &Element) -> Vec<String> {
    let item = &described.child("networkAclSet").unwrap().children[0];
    let entries = &item.child("entrySet").unwrap().children;
    entries
        .iter()
        .filter(|e| e.find("ruleNumber").unwrap().parse::<u16>().unwrap() < 100)
        .map(|e| {
            e.find("cidrBlock")
                .or(e.find("ipv6CidrBlock"))
                .unwrap()
                .to_owned()
        })
        .collect()
}

fn stored(ec2: &Ec2StandIn) -> usize {
    let acl = ec2.acl(ACL).unwrap();
    acl.entries.keys().filter(|key| key.number < 100).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deny_is_made_seen_replaced_and_taken_out() {
    let ec2 = started().await;
    let addr = ec2.addr();
    assert_eq!(shown(&by_subnet(addr)), [""; 0]);

    let made = call(addr, CREATE, &deny("1", "192.0.2.77/24"));
    assert_eq!(made.status, 200);
    assert_eq!(made.headers["content-type"], "text/xml;charset=UTF-8");
    let body = Element::parse(&made.body).unwrap();
    assert_eq!(body.name, "CreateNetworkAclEntryResponse");
    assert_eq!(body.find("return"), Some("true"));
    assert_eq!(shown(&by_subnet(addr)), ["192.0.2.0/24"]);

    assert_eq!(call(addr, CREATE, &deny("2", "2001:db8::1/64")).status, 200);
    assert_eq!(shown(&by_subnet(addr)), ["192.0.2.0/24", "2001:db8::/64"]);

    let replaced = call(
        addr,
        "ReplaceNetworkAclEntry",
        &deny("1", "198.51.100.1/32"),
    );
    assert_eq!(replaced.status, 200);
    assert_eq!(
        shown(&by_subnet(addr)),
        ["198.51.100.1/32", "2001:db8::/64"]
    );

    let gone = [
        ("NetworkAclId", ACL),
        ("RuleNumber", "1"),
        ("Egress", "false"),
    ];
    assert_eq!(call(addr, "DeleteNetworkAclEntry", &gone).status, 200);
    assert_eq!(shown(&by_subnet(addr)), ["2001:db8::/64"]);
    let again = call(addr, "DeleteNetworkAclEntry", &gone);
    let not_found = (400, "InvalidNetworkAclEntry.NotFound".into());
    assert_eq!(refusal(&again), not_found);

    assert_eq!(ec2.count("DeleteNetworkAclEntry", "ok"), 1);
    assert_eq!(
        ec2.count("DeleteNetworkAclEntry", "InvalidNetworkAclEntry.NotFound"),
        1
    );
    assert_eq!(ec2.count(CREATE, "ok"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_carry_their_status_and_change_nothing() {
    let ec2 = started_with(|c| c.quota = 3).await;
    let addr = ec2.addr();
    let bare = raw::form(CREATE, &deny("1", "192.0.2.1/32"));
    let unsigned = raw::send(addr, "POST", "/", &[FORM], &bare, raw::PATIENCE).unwrap();
    assert_eq!(refusal(&unsigned), (401, "AuthFailure".into()));

    let elsewhere = raw::authorization("AKIASTANDIN", "us-east-1");
    let headers = [FORM, ("Authorization", elsewhere.as_str())];
    let elsewhere = raw::send(addr, "POST", "/", &headers, &bare, raw::PATIENCE).unwrap();
    assert_eq!(refusal(&elsewhere), (401, "AuthFailure".into()));

    let dry = [deny("1", "192.0.2.1/32"), vec![("DryRun", "true")]].concat();
    assert_eq!(
        refusal(&call(addr, CREATE, &dry)),
        (412, "DryRunOperation".into())
    );
    ec2.forbid(CREATE);
    let denied = (403, "UnauthorizedOperation".into());
    assert_eq!(refusal(&call(addr, CREATE, &dry)), denied);
    ec2.permit(CREATE);
    assert_eq!(stored(&ec2), 0);

    assert_eq!(call(addr, CREATE, &deny("1", "192.0.2.1/32")).status, 200);
    let full = call(addr, CREATE, &deny("2", "192.0.2.2/32"));
    assert_eq!(refusal(&full), (400, "NetworkAclEntryLimitExceeded".into()));
    let taken = call(addr, CREATE, &deny("1", "192.0.2.2/32"));
    assert_eq!(
        refusal(&taken),
        (400, "NetworkAclEntryAlreadyExists".into())
    );
    assert_eq!(stored(&ec2), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bucket_runs_dry() {
    let ec2 = started_with(|c| {
        c.throttle = Rates {
            mutating: Rate {
                burst: 2.0,
                per_second: 0.0,
            },
            ..Rates::default()
        };
    })
    .await;
    let addr = ec2.addr();
    for number in ["1", "2"] {
        assert_eq!(
            call(addr, CREATE, &deny(number, "192.0.2.1/32")).status,
            200
        );
    }
    let dry = call(addr, CREATE, &deny("3", "192.0.2.1/32"));
    assert_eq!(refusal(&dry), (503, "RequestLimitExceeded".into()));
    assert_eq!(shown(&by_subnet(addr)).len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_injected_error_strikes_so_often() {
    let ec2 = started().await;
    let error = Fault::Error {
        code: "InternalError".into(),
    };
    ec2.inject(FaultRule::times(CREATE, 2, error));
    let create = || call(ec2.addr(), CREATE, &deny("1", "192.0.2.1/32"));
    for _ in 0..2 {
        assert_eq!(refusal(&create()), (500, "InternalError".into()));
        assert_eq!(stored(&ec2), 0);
    }
    assert_eq!(create().status, 200);
    assert_eq!(ec2.count(CREATE, "InternalError"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_reply_has_changed_the_nacl() {
    let ec2 = started().await;
    ec2.inject(FaultRule::times(CREATE, 1, Fault::ReplyLost));
    let lost = try_call(
        ec2.addr(),
        CREATE,
        &deny("1", "192.0.2.1/32"),
        raw::PATIENCE,
    );
    assert_eq!(lost.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(stored(&ec2), 1);
    assert_eq!(ec2.count(CREATE, "lost"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_and_silence_change_nothing() {
    let ec2 = started().await;
    ec2.inject(FaultRule::times(CREATE, 1, Fault::Garbage { status: 503 }));
    let garbage = call(ec2.addr(), CREATE, &deny("1", "192.0.2.1/32"));
    assert_eq!(garbage.status, 503);
    assert_eq!(Element::parse(&garbage.body), None);

    ec2.inject(FaultRule::always(CREATE, Fault::HalfOpen));
    let patience = Duration::from_millis(100);
    let silence = try_call(ec2.addr(), CREATE, &deny("1", "192.0.2.1/32"), patience);
    let kind = silence.unwrap_err().kind();
    assert!(matches!(
        kind,
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    ));
    let struck = async {
        while ec2.count(CREATE, "half_open") == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(raw::PATIENCE, struck).await.unwrap();
    assert_eq!(stored(&ec2), 0);

    ec2.clear_faults();
    assert_eq!(
        call(ec2.addr(), CREATE, &deny("1", "192.0.2.1/32")).status,
        200
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delay_holds_the_reply_back_not_the_change() {
    let ec2 = started().await;
    let mut watch = ec2.watch();
    ec2.inject(FaultRule::times(CREATE, 2, Fault::Delay { ms: 60_000 }));
    let patience = Duration::from_millis(100);
    let late = try_call(ec2.addr(), CREATE, &deny("1", "192.0.2.1/32"), patience);
    assert!(late.is_err());
    let made = watch.wait_for(|seen| seen.version == 1);
    tokio::time::timeout(raw::PATIENCE, made)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stored(&ec2), 1);

    ec2.clear_faults();
    ec2.inject(FaultRule::times(DESCRIBE, 1, Fault::Delay { ms: 50 }));
    let start = clock::monotonic();
    assert_eq!(shown(&by_subnet(ec2.addr())), ["192.0.2.1/32"]);
    assert!(start.elapsed() >= Duration::from_millis(50));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn describe_lags_while_the_rules_do_not() {
    let ec2 = started().await;
    let addr = ec2.addr();
    ec2.set_visibility_delay(Duration::from_hours(1));
    assert_eq!(call(addr, CREATE, &deny("1", "192.0.2.1/32")).status, 200);
    assert_eq!(shown(&by_subnet(addr)), [""; 0]);
    let taken = call(addr, CREATE, &deny("1", "192.0.2.2/32"));
    assert_eq!(
        refusal(&taken),
        (400, "NetworkAclEntryAlreadyExists".into())
    );
    ec2.set_visibility_delay(Duration::ZERO);
    assert_eq!(call(addr, CREATE, &deny("2", "192.0.2.2/32")).status, 200);
    assert_eq!(shown(&by_subnet(addr)).len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_see_calls_and_the_hand_of_others() {
    let ec2 = started().await;
    let mut watch = ec2.watch();
    let before = watch.borrow_and_update().version;
    assert_eq!(
        call(ec2.addr(), CREATE, &deny("1", "192.0.2.1/32")).status,
        200
    );
    watch.changed().await.unwrap();
    assert_eq!(watch.borrow_and_update().version, before + 1);
    let entry = Entry::ingress(1, Action::Deny, "203.0.113.0/24".parse().unwrap());
    let edit = Change::PutEntry {
        acl: ACL.into(),
        entry: entry.clone(),
    };
    ec2.meddle(&edit).unwrap();
    watch.changed().await.unwrap();
    assert_eq!(
        watch.borrow_and_update().acls[ACL].entries[&entry.key()],
        entry
    );
    // What changes nothing is no change.
    ec2.meddle(&edit).unwrap();
    assert!(!watch.has_changed().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_control_endpoint_orders_and_shows() {
    let ec2 = started().await;
    let addr = ec2.addr();
    let order = |body: &str| control(addr, "POST", "/_control", body).status;
    assert_eq!(
        order(
            r#"{"op":"fault","rule":{"action":"CreateNetworkAclEntry","times":1,
               "fault":{"kind":"error","code":"Unavailable"}}}"#
        ),
        200
    );
    let create = || call(addr, CREATE, &deny("1", "192.0.2.1/32"));
    assert_eq!(refusal(&create()), (503, "Unavailable".into()));
    assert_eq!(create().status, 200);

    let dump = control(addr, "GET", "/_control/acls", "");
    let dump: Snapshot = serde_json::from_str(&dump.body).unwrap();
    assert_eq!((dump.version, &dump.acls), (1, &*ec2.acls()));

    let remove =
        format!(r#"{{"op":"change","change":{{"kind":"remove_entry","acl":"{ACL}","number":1}}}}"#);
    let waiting = std::thread::spawn(move || control(addr, "GET", "/_control/acls?after=1", ""));
    assert_eq!(order(&remove), 200);
    let newer: Snapshot = serde_json::from_str(&waiting.join().unwrap().body).unwrap();
    assert_eq!(newer.version, 2);
    assert_eq!(order(&remove), 409);
    assert_eq!(order(r#"{"op":"dance"}"#), 400);

    let calls = control(addr, "GET", "/_control/calls", "");
    let calls: serde_json::Value = serde_json::from_str(&calls.body).unwrap();
    assert_eq!(
        calls[CREATE],
        serde_json::json!({ "Unavailable": 1, "ok": 1 })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subnets_are_described() {
    let ec2 = started().await;
    let one = call(ec2.addr(), "DescribeSubnets", &[("SubnetId.1", SUBNET)]);
    let body = Element::parse(&one.body).unwrap();
    assert_eq!(body.find("subnetId"), Some(SUBNET));
    assert_eq!(body.find("cidrBlock"), Some("10.0.1.0/24"));
    let none = call(ec2.addr(), "DescribeSubnets", &[("SubnetId.1", "subnet-x")]);
    assert_eq!(refusal(&none), (400, "InvalidSubnetID.NotFound".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_stand_in_refuses_connections_and_its_address_is_free_again() {
    let ec2 = started().await;
    let addr = ec2.addr();
    assert_eq!(by_subnet(addr).name, "DescribeNetworkAclsResponse");
    ec2.stop().await;
    let refused = try_call(addr, DESCRIBE, &[], raw::PATIENCE).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    let again = started_with(|c| c.listen = addr).await;
    assert_eq!(again.addr(), addr);
    assert_eq!(by_subnet(addr).name, "DescribeNetworkAclsResponse");
}
