//! The families of rows, and the choice among them.

use anyhow::{Result, bail};

use super::row::Row;
use super::{Bench, ban, daemon, flood, load, restart, verdict};

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    /// All of it, or a quick look.
    pub(super) full: bool,
    /// Bytes of memory that are free for it.
    pub(super) available: u64,
}

/// Rows that are measured by the same means.
pub(super) struct Family {
    pub(super) name: &'static str,
    /// What it measures, in a line.
    pub(super) about: &'static str,
    /// Its rows.
    pub(super) names: fn(Scale) -> Vec<String>,
    /// Measures some of them.
    pub(super) run: fn(&Bench, &[String]) -> Vec<Row>,
}

/// All of them.
pub(super) const ALL: &[Family] = &[
    Family {
        name: "verdict",
        about: "the program's net cost per frame (BPF_PROG_TEST_RUN, less a program that only \
                returns the verdict)",
        names: verdict::names,
        run: verdict::run,
    },
    Family {
        name: "flood",
        about: "floods of live frames over a veth pair: processor time per packet, less the same \
                with bare XDP_DROP; innocent packets that still arrive; two processors",
        names: flood::names,
        run: flood::run,
    },
    Family {
        name: "ban",
        about: "one ban, from the start of the program that asks for it to its end",
        names: ban::names,
        run: |bench, wanted| or_failed(wanted, ban::run(bench, wanted)),
    },
    Family {
        name: "fail2ban",
        about: "a restart of a real fail2ban, until the bans of its database are in force again",
        names: restart::names,
        run: |bench, wanted| or_failed(wanted, restart::run(bench, wanted)),
    },
    Family {
        name: "daemon",
        about: "the daemon's memory, that of the kernel's maps, a start with all bans pinned, \
                and the processor time of a ranking tick while offenders send",
        names: daemon::names,
        run: |bench, wanted| or_failed(wanted, daemon::run(bench, wanted)),
    },
    Family {
        name: "load",
        about: "a list of addresses brought into force, and lifted again",
        names: load::names,
        run: |bench, wanted| or_failed(wanted, load::run(bench, wanted)),
    },
];

/// The rows, or each of them as failed where none could be measured.
fn or_failed(wanted: &[String], rows: Result<Vec<Row>>) -> Vec<Row> {
    rows.unwrap_or_else(|error| {
        let error = format!("{error:#}");
        let failed = |name: &String| Row::failed(name, "", &error);
        wanted.iter().map(failed).collect()
    })
}

/// The families that are asked for by their names or by rows of theirs, with those rows;
/// everything where nothing is asked for.
pub(super) fn choose(only: &[String], scale: Scale) -> Result<Vec<(&'static Family, Vec<String>)>> {
    let known: Vec<_> = ALL
        .iter()
        .map(|family| (family, (family.names)(scale)))
        .collect();
    for name in only {
        let is =
            |(family, rows): &(&Family, Vec<String>)| family.name == name || rows.contains(name);
        if !known.iter().any(is) {
            let list = known
                .iter()
                .map(|(family, rows)| format!("\n{}: {}", family.name, rows.join(" ")));
            bail!(
                "there is nothing called {name}; there are these families and rows:{}",
                list.collect::<String>()
            );
        }
    }
    let wanted = |family: &Family, row: &String| {
        only.is_empty() || only.iter().any(|name| name == family.name || name == row)
    };
    Ok(known
        .into_iter()
        .map(|(family, rows)| {
            let rows = rows.into_iter().filter(|row| wanted(family, row)).collect();
            (family, rows)
        })
        .filter(|(_, rows): &(_, Vec<String>)| !rows.is_empty())
        .collect())
}

/// A count as the rows' names have it: 1, 1k, 100k, 1m.
pub(super) fn short(count: u32) -> String {
    match count {
        0 => "0".to_owned(),
        count if count % 1_000_000 == 0 => format!("{}m", count / 1_000_000),
        count if count % 1_000 == 0 => format!("{}k", count / 1_000),
        count => count.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const FULL: Scale = Scale {
        full: true,
        available: 64 << 30,
    };
    const QUICK: Scale = Scale {
        full: false,
        available: 64 << 30,
    };

    fn rows(only: &[&str], scale: Scale) -> Vec<String> {
        let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
        let chosen = choose(&only, scale).unwrap();
        chosen.into_iter().flat_map(|(_, rows)| rows).collect()
    }

    #[test]
    fn nothing_asked_for_is_everything_and_no_name_is_there_twice() {
        for scale in [FULL, QUICK] {
            let all = rows(&[], scale);
            let families = ALL.iter().map(|family| family.name.to_owned());
            let names: HashSet<_> = all.iter().cloned().chain(families).collect();
            assert_eq!(names.len(), all.len() + ALL.len());
        }
        assert!(rows(&[], QUICK).len() < rows(&[], FULL).len());
    }

    #[test]
    fn a_family_is_all_its_rows_and_a_row_is_itself() {
        let verdicts = rows(&["verdict"], FULL);
        assert!(verdicts.len() > 10);
        assert!(verdicts.iter().all(|row| row.starts_with("verdict-")));
        assert_eq!(
            rows(&["verdict-drop-ipv4-1k"], FULL),
            ["verdict-drop-ipv4-1k"]
        );
    }

    #[test]
    fn an_unknown_name_is_answered_by_what_there_is() {
        let error = choose(&["verdicts".to_owned()], FULL)
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("verdicts"), "{error}");
        for name in ["\nverdict: ", " verdict-pass-ipv6-1m"] {
            assert!(error.contains(name), "{name:?} in {error}");
        }
    }

    #[test]
    fn little_memory_leaves_the_largest_out() {
        let small = Scale {
            available: 1 << 30,
            ..FULL
        };
        let largest = "verdict-drop-ipv4-10m".to_owned();
        assert!(rows(&[], FULL).contains(&largest));
        assert!(!rows(&[], small).contains(&largest));
    }

    #[test]
    fn a_family_that_fails_has_its_rows_as_failed() {
        let wanted = ["a".to_owned(), "b".to_owned()];
        let rows = or_failed(&wanted, Err(anyhow::anyhow!("no daemon").context("start")));
        let told: Vec<_> = rows
            .iter()
            .map(|row| (&*row.name, row.error.as_deref()))
            .collect();
        let error = Some("start: no daemon");
        assert_eq!(told, [("a", error), ("b", error)]);
    }

    #[test]
    fn counts_are_short_in_names() {
        assert_eq!(
            [0, 1, 999, 1_000, 20_000, 1_000_000].map(short),
            ["0", "1", "999", "1k", "20k", "1m"]
        );
    }
}
