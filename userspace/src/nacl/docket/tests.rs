use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::nacl::acl::Family;
use crate::nacl::roster::{Repeated, Sentence};

const NOW: i64 = 1_000_000;
const HALF_LIFE: i64 = 1_800;
const FADING: Fading = Fading {
    half_life: Duration::from_secs(HALF_LIFE.unsigned_abs()),
};

/// Bans by network, with the failures that each holder told.
#[derive(Default)]
struct Book(BTreeMap<IpNet, Vec<Failures>>);

impl Book {
    fn ban(&mut self, network: &str, count: u32, age: i64) {
        let failures = Failures {
            count,
            at: NOW - age,
        };
        let told = self.0.entry(network.parse().unwrap()).or_default();
        told.push(failures);
    }
}

impl Register for Book {
    fn all(&self, family: Family) -> impl Iterator<Item = Repeated> {
        let bans = self.0.keys();
        bans.filter(move |network| Family::of(network) == family)
            .map(|network| (1, 0, *network))
    }

    fn sentence(&self, network: &IpNet) -> Option<Sentence> {
        self.0.get(network).map(|_| Sentence {
            bancount: 1,
            since: 0,
            until: None,
        })
    }

    fn within(&self, network: &IpNet) -> impl Iterator<Item = IpNet> {
        self.0.keys().filter(|it| network.contains(*it)).copied()
    }
}

impl Docket for Book {
    fn charges(&self) -> impl Iterator<Item = (IpNet, impl Iterator<Item = Failures>)> {
        let bans = self.0.iter();
        bans.map(|(network, told)| (*network, told.iter().copied()))
    }

    fn charged(&self, network: &IpNet) -> impl Iterator<Item = Failures> {
        self.0.get(network).into_iter().flatten().copied()
    }
}

fn worth(told: &[(u32, i64)]) -> f64 {
    let failures = told.iter().map(|(count, age)| Failures {
        count: *count,
        at: NOW - age,
    });
    FADING.worth(failures, NOW)
}

fn is(amount: f64, expected: f64) {
    assert!(
        (amount - expected).abs() < 1e-9,
        "{amount} is not {expected}"
    );
}

fn v4(host: usize) -> String {
    format!("10.0.{}.{}/32", host / 256, host % 256)
}

fn seated(networks: &[&str]) -> Incumbents {
    Incumbents {
        seated: networks.iter().map(|text| text.parse().unwrap()).collect(),
        ..Incumbents::default()
    }
}

fn named(incumbents: &Incumbents, bans: &Book) -> BTreeSet<String> {
    candidates(incumbents, bans, FADING, NOW)
        .iter()
        .map(|candidate| candidate.network.to_string())
        .collect()
}

#[test]
fn failures_count_half_after_the_half_life() {
    is(worth(&[(12, 0)]), 12.0);
    is(worth(&[(12, HALF_LIFE)]), 6.0);
    is(worth(&[(12, 3 * HALF_LIFE)]), 1.5);
    is(worth(&[(12, -60)]), 12.0);
    is(worth(&[]), 0.0);
}

#[test]
fn each_holder_s_failures_count_by_their_own_age() {
    is(worth(&[(12, HALF_LIFE), (5, 0)]), 11.0);
}

#[test]
fn two_bans_stay_in_their_order_however_old_they_get() {
    let (loud, recent) = ((40, 3_000), (13, 0));
    let before = worth(&[loud]) < worth(&[recent]);
    let later = |(count, age): (u32, i64)| worth(&[(count, age + 7_200)]);
    assert_eq!(before, later(loud) < later(recent));
    assert!(before, "3000 s fade 40 failures to less than 13");
}

#[test]
fn of_many_bans_those_of_the_most_and_latest_failures_compete() {
    let mut bans = Book::default();
    for host in 0..200 {
        bans.ban(&v4(host), 5, 60);
    }
    bans.ban(&v4(300), 4, 0);
    // Many failures, but long ago; then few, but today's.
    bans.ban(&v4(301), 60, 20 * HALF_LIFE);
    bans.ban("2001:db8::/64", 1, 0);
    let found = named(&Incumbents::default(), &bans);
    assert!(!found.contains(&v4(300)), "128 others have more");
    assert!(!found.contains(&v4(301)));
    assert!(found.contains("2001:db8::/64"), "the families are apart");
    bans.ban(&v4(300), 2, 0);
    assert!(named(&Incumbents::default(), &bans).contains(&v4(300)));
}

#[test]
fn a_candidate_is_worth_its_failures_and_an_incumbent_is_no_exception() {
    let mut bans = Book::default();
    bans.ban(&v4(1), 8, HALF_LIFE);
    let found = candidates(&seated(&[&v4(1)]), &bans, FADING, NOW);
    assert_eq!(found.len(), 1);
    is(found[0].rate, 4.0);
}

#[test]
fn incumbents_and_who_shares_their_slot_come_along_while_they_are_banned() {
    let mut bans = Book::default();
    for host in 0..200 {
        bans.ban(&v4(host), 5, 0);
    }
    bans.ban("10.9.0.1/32", 0, 0);
    bans.ban("10.9.1.1/32", 0, 0);
    let found = named(
        &seated(&["10.9.0.0/28", "10.9.1.1/32", "10.9.2.1/32"]),
        &bans,
    );
    assert!(found.contains("10.9.0.1/32") && found.contains("10.9.1.1/32"));
    assert!(!found.contains("10.9.0.0/28") && !found.contains("10.9.2.1/32"));
}
