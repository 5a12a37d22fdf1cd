//! What a CPU remembers from packet to packet: the time, and how to count.

use aya_ebpf::helpers::{bpf_get_prandom_u32, bpf_jiffies64, bpf_ktime_get_boot_ns};
use nicban_ebpf::abi::{CREDIT, CREDIT_SHIFT, Pace, SAMPLED};

/// Brings a CPU's memory up to the present jiffy. To read the clock costs as much as the
/// rest of a drop; a jiffy (1 to 10 ms) is near enough to tell when a ban ends.
#[inline(always)]
pub(crate) fn follow(pace: &mut Pace) {
    // SAFETY: the helper has no precondition.
    let jiffy = unsafe { bpf_jiffies64() };
    if pace.jiffy != jiffy {
        // SAFETY: the helper has no precondition.
        let now = unsafe { bpf_ktime_get_boot_ns() };
        pace.credit = credit(pace.credit, now - pace.now);
        pace.now = now;
        pace.jiffy = jiffy;
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "it is twice CREDIT at the most"
)]
#[inline(always)]
fn credit(left: i32, elapsed: u64) -> i32 {
    let earned = elapsed >> CREDIT_SHIFT;
    if earned > 2 * u64::from(CREDIT.unsigned_abs()) {
        return CREDIT;
    }
    let credit = left + earned as i32;
    if credit > CREDIT { CREDIT } else { credit }
}

/// How many packets this one stands for: 0 if it is not to be counted.
#[inline(always)]
pub(crate) fn weight(pace: &mut Pace) -> u32 {
    if pace.credit > 0 {
        pace.credit -= 1;
        return 1;
    }
    if pace.skip > 0 {
        pace.skip -= 1;
        return 0;
    }
    pace.skip = gap(random());
    if pace.credit > -CREDIT {
        pace.credit -= SAMPLED.cast_signed();
    }
    SAMPLED
}

/// Packets to leave out, from 0 to twice the mean: a fixed number would fall into step
/// with sources that take turns.
#[inline(always)]
fn gap(random: u32) -> u32 {
    ((u64::from(random) * u64::from(2 * SAMPLED - 1)) >> 32) as u32
}

/// A random number.
#[inline(always)]
pub(crate) fn random() -> u32 {
    // SAFETY: the helper has no precondition.
    unsafe { bpf_get_prandom_u32() }
}
