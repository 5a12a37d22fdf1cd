//! `nicban list`.

use std::io::{self, Write};

use nicban_protocol::{BanRow, Reply, Request};

use super::link::{Link, unexpected};
use super::pages::Pages;
use super::{Globals, ban, output};
use crate::exit::Failure;
use crate::render;

type Page = Result<Vec<BanRow>, Failure>;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only the bans that cover this address or network
    #[arg(value_name = "ADDR", value_parser = ban::address)]
    address: Option<String>,
    /// Only the bans of this holder: a jail, `manual`, `import:NAME`
    #[arg(long, value_name = "NAME")]
    holder: Option<String>,
    /// Rows of the table at the most; 0 is all
    #[arg(long, default_value_t = 1000, value_name = "N")]
    limit: usize,
    /// One JSON array of all rows
    #[arg(long)]
    json: bool,
}

pub(super) fn run(globals: &Globals, args: Args) -> Result<(), Failure> {
    let link = Link::new(globals)?;
    let json = args.json;
    let limit = if args.limit == 0 {
        usize::MAX
    } else {
        args.limit
    };
    let pages = pages(&link, args.address, args.holder);
    let mut out = io::BufWriter::new(io::stdout().lock());
    if json {
        as_json(pages, &mut out)?;
    } else {
        as_table(pages, limit, output::now(), &mut out)?;
    }
    output::written(out.flush())
}

/// Page by page, so that a million bans need no more memory than a few.
fn as_json(pages: impl Iterator<Item = Page>, out: &mut impl Write) -> Result<(), Failure> {
    let mut empty = true;
    for page in pages {
        for row in page? {
            let row = serde_json::to_string(&row).map_err(anyhow::Error::from)?;
            let before = if empty { "[\n  " } else { ",\n  " };
            output::written(write!(out, "{before}{row}"))?;
            empty = false;
        }
    }
    output::written(out.write_all(if empty { b"[]\n" } else { b"\n]\n" }))
}

fn as_table(
    pages: impl Iterator<Item = Page>,
    limit: usize,
    now: i64,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let mut rows = Vec::new();
    let mut more = false;
    for page in pages {
        rows.extend(page?);
        if rows.len() > limit {
            rows.truncate(limit);
            more = true;
            break;
        }
    }
    let mut text = render::bans::list(&rows, now);
    if more {
        text.push_str("There are more: --limit 0 shows all, --json gives them to a program.\n");
    }
    output::written(out.write_all(text.as_bytes()))
}

/// The pages of a list.
fn pages(
    link: &Link,
    address: Option<String>,
    holder: Option<String>,
) -> impl Iterator<Item = Page> {
    Pages::new(move |after| {
        let request = Request::List {
            after,
            address: address.clone(),
            holder: holder.clone(),
        };
        match link.call(&request)? {
            Reply::Bans { bans, next } => Ok((bans, next)),
            other => Err(unexpected(&other)),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use nicban_protocol::{BanRow, Dropped, Reply, Request};

    use super::{Page, as_json, as_table};
    use crate::commands::link::Link;
    use crate::commands::standin::Standin;

    /// Pages of two out of `total` bans.
    fn daemon(total: u8) -> Standin {
        Standin::new(move |request| {
            let Request::List { after, holder, .. } = request else {
                panic!("not a list");
            };
            assert_eq!(holder.as_deref(), Some("sshd"));
            let last = after.map_or(0, |address| {
                address.parse::<Ipv4Addr>().unwrap().octets()[3]
            });
            let bans: Vec<BanRow> = (last + 1..=total.min(last + 2)).map(row).collect();
            let next = (last + 2 < total).then(|| row(last + 2).address);
            Reply::Bans { bans, next }
        })
    }

    fn row(n: u8) -> BanRow {
        BanRow {
            address: format!("192.0.2.{n}"),
            holders: Vec::new(),
            in_nacl: false,
            dropped: Dropped::default(),
        }
    }

    fn json(total: u8) -> Vec<BanRow> {
        let daemon = daemon(total);
        let mut out = Vec::new();
        as_json(pages(&daemon.link()), &mut out).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    fn pages(link: &Link) -> impl Iterator<Item = Page> {
        super::pages(link, None, Some("sshd".to_owned()))
    }

    #[test]
    fn pages_are_joined_to_one_array() {
        for total in [0, 1, 2, 5] {
            assert_eq!(json(total), (1..=total).map(row).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_long_table_is_cut_and_says_so() {
        let table = |limit| {
            let daemon = daemon(5);
            let mut out = Vec::new();
            as_table(pages(&daemon.link()), limit, 0, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let cut = table(3);
        assert!(
            cut.contains("192.0.2.3 ") && !cut.contains("192.0.2.4 "),
            "{cut}"
        );
        assert!(cut.ends_with("to a program.\n"), "{cut}");
        let whole = table(5);
        assert!(
            whole.contains("192.0.2.5 ") && !whole.contains("There are more"),
            "{whole}"
        );
    }

    #[test]
    fn a_daemon_that_turns_in_circles_is_left() {
        let daemon = Standin::new(|_| Reply::Bans {
            bans: vec![row(1)],
            next: Some("192.0.2.1".to_owned()),
        });
        let failure = as_json(pages(&daemon.link()), &mut Vec::new()).unwrap_err();
        assert!(failure.error.to_string().contains("the same page"));
    }
}
