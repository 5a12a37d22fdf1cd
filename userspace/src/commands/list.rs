//! `nicban list`.

use std::io::{self, Write};

use nicban_protocol::{BanRow, Reply, Request};

use super::link::{Link, unexpected};
use super::{Globals, ban, output};
use crate::exit::{Exit, Failure};
use crate::render;

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
    let pages = Pages {
        link: &link,
        address: args.address,
        holder: args.holder,
        after: None,
        ended: false,
    };
    if json {
        as_json(pages)
    } else {
        as_table(pages, limit)
    }
}

/// Page by page, so that a million bans need no more memory than a few.
fn as_json(pages: Pages<'_>) -> Result<(), Failure> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut separator = "[\n  ";
    for page in pages {
        for row in page? {
            let row = serde_json::to_string(&row).map_err(anyhow::Error::from)?;
            if let Err(error) = write!(out, "{separator}{row}") {
                return output::written(Err(error));
            }
            separator = ",\n  ";
        }
    }
    let end = if separator.starts_with('[') {
        "[]\n"
    } else {
        "\n]\n"
    };
    output::written(out.write_all(end.as_bytes()).and_then(|()| out.flush()))
}

fn as_table(pages: Pages<'_>, limit: usize) -> Result<(), Failure> {
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
    let mut text = render::bans::list(&rows, output::now());
    if more {
        text.push_str("There are more: --limit 0 shows all, --json gives them to a program.\n");
    }
    output::text(&text)
}

/// The pages of a list.
struct Pages<'a> {
    link: &'a Link,
    address: Option<String>,
    holder: Option<String>,
    after: Option<String>,
    ended: bool,
}

impl Pages<'_> {
    fn page(&mut self) -> Result<Vec<BanRow>, Failure> {
        let request = Request::List {
            after: self.after.clone(),
            address: self.address.clone(),
            holder: self.holder.clone(),
        };
        let (bans, next) = match self.link.call(&request)? {
            Reply::Bans { bans, next } => (bans, next),
            other => return Err(unexpected(&other)),
        };
        if next.is_some() && next == self.after {
            return Err(Failure::new(
                Exit::Failed,
                "the daemon gives the same page again and again; restart it: systemctl restart nicban",
            ));
        }
        self.ended = next.is_none();
        self.after = next;
        Ok(bans)
    }
}

impl Iterator for Pages<'_> {
    type Item = Result<Vec<BanRow>, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let page = self.page();
        self.ended |= page.is_err();
        Some(page)
    }
}
