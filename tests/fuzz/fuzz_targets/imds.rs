//! Answers of the instance metadata service, in the order in which they are asked for.
//!
//! They are parted by zero octets. `404` is no such page, `!` is a service that fails.
#![no_main]

use std::sync::Mutex;

use futures_util::FutureExt as _;
use libfuzzer_sys::fuzz_target;
use nicban::nacl::acl::Acl;
use nicban::nacl::discover::{Link, Metadata, MetadataError, discover};
use nicban_fuzz::{account, changes_only_ours, one_line};

struct Answers<'a>(Mutex<std::str::Split<'a, char>>);

impl Metadata for Answers<'_> {
    async fn get(&self, path: &str) -> Result<Option<String>, MetadataError> {
        // Whatever it answers must not lead anywhere else.
        assert!(path.starts_with("/latest/"), "{path}");
        let usual = |c: char| c.is_ascii_alphanumeric() || ":-/".contains(c);
        assert!(path.chars().all(usual), "{path:?}");
        match self.0.lock().expect("nobody panicked").next() {
            None | Some("404") => Ok(None),
            Some("!") => Err(MetadataError {
                path: path.to_owned(),
                problem: "no answer",
                source: "it fails".into(),
            }),
            Some(text) => Ok(Some(text.to_owned())),
        }
    }
}

fn named(id: &str) {
    assert!((1..=64).contains(&id.len()), "{id:?}");
    assert!(
        id.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'),
        "{id:?}"
    );
}

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let links: &[Link] = &[Link {
        name: "ens5".to_owned(),
        mac: "0e:00:00:00:00:01".to_owned(),
    }];
    // Asked about one interface, or about all.
    for links in [links, &[]] {
        let answers = Answers(Mutex::new(text.split('\0')));
        let found = discover(&answers, links)
            .now_or_never()
            .expect("nothing is waited for");
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                one_line(&error.to_string());
                assert!(error.to_string().len() < 16_384);
                continue;
            }
        };
        // It becomes a part of the name of the host that is asked with the role's credentials.
        assert!(
            found.region.parse::<nicban::config::Region>().is_ok(),
            "{:?}",
            found.region
        );
        for id in [&found.account, &found.instance] {
            named(id);
        }
        assert!(!found.interfaces.is_empty() && !found.subnets.is_empty());
        for interface in &found.interfaces {
            for id in [
                &interface.id,
                &interface.subnet,
                &interface.vpc,
                &interface.owner,
            ] {
                named(id);
            }
            assert!(found.subnets.contains(&interface.subnet));
            let acl = Acl {
                id: "acl-1".to_owned(),
                owner: account().to_owned(),
                vpc: interface.vpc.clone(),
                firewall_manager: false,
                entries: Vec::new(),
            };
            changes_only_ours(&[acl], &interface.vpc_networks);
        }
    }
});
