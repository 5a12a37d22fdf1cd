//! The holders that get a series of their own.

use std::sync::Arc;

/// Series of holders at the most. A machine has a few jails; names made up by
/// someone else must not fill the database of whoever scrapes.
const NAMED: usize = 100;

/// The label of all other holders together. No holder has this name, since a
/// name holds no control character.
pub(super) const OTHERS: &str = "(others)\n";

/// The holders of the most bans by their names, then all others together where
/// there are any.
pub(super) fn bounded(holders: &[(Arc<str>, u64)]) -> Vec<(&str, u64)> {
    let mut named: Vec<(&str, u64)> = holders
        .iter()
        .map(|(name, bans)| (&**name, *bans))
        .filter(|(name, _)| *name != OTHERS)
        .collect();
    named.sort_unstable_by(|(a, fewer), (b, more)| more.cmp(fewer).then(a.cmp(b)));
    named.truncate(NAMED);
    let others = holders.len() - named.len();
    if others > 0 {
        let bans = |count: u64, bans: u64| count.saturating_add(bans);
        let all = holders.iter().map(|(_, bans)| *bans).fold(0, bans);
        let shown = named.iter().map(|(_, bans)| *bans).fold(0, bans);
        named.push((OTHERS, all - shown));
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;
    use nicban_protocol::Request;
    use proptest::prelude::*;

    fn many(count: u64) -> Vec<(Arc<str>, u64)> {
        (0..count)
            .map(|holder| (Arc::from(format!("jail-{holder:04}")), holder))
            .collect()
    }

    #[test]
    fn all_have_names_up_to_the_bound() {
        let holders = many(NAMED as u64);
        let shown = bounded(&holders);
        assert_eq!(shown.len(), NAMED);
        assert!(shown.iter().all(|(name, _)| *name != OTHERS));
    }

    #[test]
    fn those_with_the_fewest_bans_are_summed() {
        let holders = many(NAMED as u64 + 3);
        let shown = bounded(&holders);
        assert_eq!(shown.len(), NAMED + 1);
        assert_eq!(shown[0], ("jail-0102", 102));
        assert_eq!(shown[NAMED - 1], ("jail-0003", 3));
        assert_eq!(shown[NAMED], (OTHERS, 2 + 1));
    }

    #[test]
    fn no_holder_can_take_the_label_of_the_others() {
        let holder = OTHERS.to_owned();
        assert!(Request::Stop { holder }.validate().is_err());
    }

    proptest! {
        #[test]
        fn no_ban_is_lost_and_no_label_comes_twice(
            holders in prop::collection::btree_map("[a-c(]{0,3}|\\(others\\)\n", 0_u64..1000, 0..200)
        ) {
            let holders: Vec<(Arc<str>, u64)> = holders
                .into_iter()
                .map(|(name, bans)| (Arc::from(name), bans))
                .collect();
            let mut shown = bounded(&holders);
            let sum = |bans: u64, count: &u64| bans + count;
            prop_assert_eq!(
                shown.iter().map(|(_, bans)| bans).fold(0, sum),
                holders.iter().map(|(_, bans)| bans).fold(0, sum)
            );
            prop_assert!(shown.len() <= NAMED + 1);
            let length = shown.len();
            shown.sort_unstable();
            shown.dedup_by_key(|(name, _)| *name);
            prop_assert_eq!(shown.len(), length);
        }
    }
}
