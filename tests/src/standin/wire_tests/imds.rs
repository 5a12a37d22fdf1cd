use super::super::config::Ec2Config;
use super::super::credentials::Issued;
use super::super::ec2::Ec2StandIn;
use super::super::imds::{ImdsControl, ImdsStandIn};
use super::super::metadata::{ImdsConfig, Interface};
use super::*;

const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const TOKEN: &str = "x-aws-ec2-metadata-token";
const MAC: &str = "06:00:00:00:00:01";

fn config() -> ImdsConfig {
    ImdsConfig {
        interfaces: vec![
            Interface::simple(MAC, SUBNET),
            Interface::simple("06:00:00:00:00:02", "subnet-0000000b"),
        ],
        ..ImdsConfig::default()
    }
}

async fn started() -> ImdsStandIn {
    ImdsStandIn::start(config(), Issued::default())
        .await
        .unwrap()
}

fn put(addr: SocketAddr, headers: &[(&str, &str)]) -> Reply {
    raw::send(addr, "PUT", "/latest/api/token", headers, "", raw::PATIENCE).unwrap()
}

fn token(addr: SocketAddr) -> String {
    let reply = put(addr, &[(TTL, "60")]);
    assert_eq!((reply.status, reply.headers[TTL].as_str()), (200, "60"));
    reply.body
}

fn get(addr: SocketAddr, token: &str, path: &str) -> Reply {
    let path = format!("/latest/{path}");
    raw::send(addr, "GET", &path, &[(TOKEN, token)], "", raw::PATIENCE).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_told_without_a_token() {
    let imds = started().await;
    let addr = imds.addr();
    let path = "/latest/meta-data/mac";
    let bare = raw::send(addr, "GET", path, &[], "", raw::PATIENCE).unwrap();
    assert_eq!(bare.status, 401);
    assert_eq!(get(addr, "made-up", "meta-data/mac").status, 401);
    let token = token(addr);
    assert_eq!(get(addr, &token, "meta-data/mac").body, MAC);
    imds.control(ImdsControl::ForgetTokens);
    assert_eq!(get(addr, &token, "meta-data/mac").status, 401);
    assert_eq!(imds.tokens_made(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_needs_a_life_in_range_and_no_proxy() {
    let imds = started().await;
    let addr = imds.addr();
    assert_eq!(put(addr, &[]).status, 400);
    for ttl in ["0", "21601", "-1", "x"] {
        assert_eq!(put(addr, &[(TTL, ttl)]).status, 400, "{ttl}");
    }
    assert_eq!(put(addr, &[(TTL, "21600")]).status, 200);
    let forwarded = [(TTL, "60"), ("X-Forwarded-For", "192.0.2.1")];
    assert_eq!(put(addr, &forwarded).status, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_interfaces_lead_to_their_subnets() {
    let imds = started().await;
    let token = token(imds.addr());
    let get = |path: &str| get(imds.addr(), &token, path);
    let macs = "meta-data/network/interfaces/macs/";
    let listed = get(macs).body;
    assert_eq!(listed, "06:00:00:00:00:01/\n06:00:00:00:00:02/");
    let subnets: Vec<String> = listed
        .lines()
        .map(|mac| get(&format!("{macs}{mac}subnet-id")).body)
        .collect();
    assert_eq!(subnets, [SUBNET, "subnet-0000000b"]);
    assert_eq!(
        get(&format!("{macs}06:00:00:00:00:09/subnet-id")).status,
        404
    );
    assert_eq!(get("meta-data/placement/region").body, REGION);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_come_and_go() {
    let imds = started().await;
    let addr = imds.addr();
    let token = token(addr);
    imds.control(ImdsControl::TokenStatus { status: 403 });
    assert_eq!(put(addr, &[(TTL, "60")]).status, 403);
    let missing = r#"{"op":"missing","path":"meta-data/network"}"#;
    assert_eq!(control(addr, "POST", "/_control", missing).status, 200);
    let subnet = format!("meta-data/network/interfaces/macs/{MAC}/subnet-id");
    assert_eq!(get(addr, &token, &subnet).status, 404);
    assert_eq!(get(addr, &token, "meta-data/mac").status, 200);
    imds.control(ImdsControl::Restore);
    assert_eq!(get(addr, &token, &subnet).body, SUBNET);

    imds.control(ImdsControl::Slow { delay_ms: 60_000 });
    let headers = [(TOKEN, token.as_str())];
    let patience = Duration::from_millis(100);
    let slow = raw::send(addr, "GET", "/latest/meta-data/mac", &headers, "", patience);
    assert!(slow.is_err());
    imds.control(ImdsControl::Restore);
    assert_eq!(get(addr, &token, "meta-data/mac").status, 200);
    imds.stop().await;
    let gone = raw::send(addr, "GET", "/latest/meta-data/mac", &headers, "", patience);
    assert_eq!(gone.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ec2_takes_only_the_credentials_that_imds_handed_out() {
    let issued = Issued::default();
    let imds = ImdsStandIn::start(config(), issued.clone()).await.unwrap();
    let ec2 = Ec2Config::one_subnet(SUBNET, ACL);
    let ec2 = Ec2StandIn::start(ec2, issued).await.unwrap();
    let imds_token = token(imds.addr());
    let folder = "meta-data/iam/security-credentials/";
    let role = get(imds.addr(), &imds_token, folder).body;
    assert_eq!(role, "bastion");
    let read = || {
        let body = get(imds.addr(), &imds_token, &format!("{folder}{role}")).body;
        serde_json::from_str::<serde_json::Value>(&body).unwrap()
    };
    let credentials = read();
    assert_eq!(credentials["Code"], "Success");
    let describe = |key: &str, session: &str| {
        let authorization = raw::authorization(key, REGION);
        let headers = [
            FORM,
            ("Authorization", authorization.as_str()),
            ("X-Amz-Security-Token", session),
        ];
        let body = raw::form("DescribeNetworkAcls", &[]);
        raw::send(ec2.addr(), "POST", "/", &headers, &body, raw::PATIENCE).unwrap()
    };
    let key = credentials["AccessKeyId"].as_str().unwrap();
    let session = credentials["Token"].as_str().unwrap();
    assert_eq!(describe(key, session).status, 200);
    assert_eq!(
        refusal(&describe(key, "other")),
        (401, "AuthFailure".into())
    );
    let stranger = call(ec2.addr(), "DescribeNetworkAcls", &[]);
    assert_eq!(refusal(&stranger), (401, "AuthFailure".into()));

    imds.control(ImdsControl::RevokeCredentials);
    assert_eq!(
        refusal(&describe(key, session)),
        (400, "RequestExpired".into())
    );
    let renewed = read();
    assert_ne!(renewed["AccessKeyId"], credentials["AccessKeyId"]);
    let key = renewed["AccessKeyId"].as_str().unwrap();
    assert_eq!(
        describe(key, renewed["Token"].as_str().unwrap()).status,
        200
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_without_a_role_has_no_credentials() {
    let without = ImdsConfig {
        role: None,
        ..config()
    };
    let imds = ImdsStandIn::start(without, Issued::default())
        .await
        .unwrap();
    let token = token(imds.addr());
    let folder = "meta-data/iam/security-credentials/";
    assert_eq!(get(imds.addr(), &token, folder).status, 404);
}
