//! The allow list as a table.

use nicban_protocol::{AllowOrigin, Allowed};

use super::human;
use super::table::{Column, table};

/// `nicban allow list`.
pub fn list(allowed: &[Allowed], now: i64) -> String {
    if allowed.is_empty() {
        return "Nothing is allowed: any ban takes effect.\n".to_owned();
    }
    let columns = [
        Column::Left("NETWORK"),
        Column::Left("ENDS"),
        Column::Left("FROM"),
    ];
    table(
        0,
        &columns,
        allowed.iter().map(|entry| {
            [
                entry.network.clone(),
                human::until(entry.until, now),
                origin(entry.origin).to_owned(),
            ]
        }),
    )
}

fn origin(origin: AllowOrigin) -> &'static str {
    match origin {
        AllowOrigin::Host => "this host",
        AllowOrigin::Config => "configuration",
        AllowOrigin::Operator => "nicban allow add",
        AllowOrigin::SshPeer => "SSH session that attached",
    }
}

#[cfg(test)]
mod tests {
    use nicban_protocol::{AllowOrigin, Allowed};

    use super::list;

    #[test]
    fn each_entry_says_where_it_comes_from() {
        let allowed = [
            Allowed {
                network: "169.254.0.0/16".to_owned(),
                origin: AllowOrigin::Host,
                until: None,
            },
            Allowed {
                network: "192.0.2.9/32".to_owned(),
                origin: AllowOrigin::SshPeer,
                until: Some(3700),
            },
        ];
        assert_eq!(
            list(&allowed, 100),
            "\
NETWORK         ENDS   FROM
169.254.0.0/16  never  this host
192.0.2.9/32    in 1h  SSH session that attached
"
        );
    }
}
