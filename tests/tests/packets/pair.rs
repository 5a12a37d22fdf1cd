//! The pair: arrives, ban, does not arrive, unban, arrives.

use nicban_tests::datapath::{
    Datapath,
    Verdict::{self, Drop, Pass},
};
use nicban_tests::packet::Shape;

/// A plain frame from an address.
pub(crate) fn from(source: &str) -> Shape {
    Shape::from(source.parse().unwrap())
}

/// The bytes of plain frames from addresses.
pub(crate) fn frames(sources: &[&str]) -> Vec<Vec<u8>> {
    sources.iter().map(|source| from(source).frame()).collect()
}

/// Every frame gets this verdict.
#[track_caller]
pub(crate) fn expect(datapath: &mut Datapath, verdict: Verdict, frames: &[Vec<u8>]) {
    for frame in frames {
        let found = datapath.run(frame).unwrap();
        assert_eq!(found, verdict, "{} bytes: {frame:02x?}", frame.len());
    }
}

/// A ban drops the caught frames, spares the spared, and its end lets all pass again.
#[track_caller]
pub(crate) fn pair(datapath: &mut Datapath, ban: &str, caught: &[Vec<u8>], spared: &[Vec<u8>]) {
    expect(datapath, Pass, caught);
    expect(datapath, Pass, spared);
    datapath.ban(ban).unwrap();
    expect(datapath, Drop, caught);
    expect(datapath, Pass, spared);
    datapath.unban(ban).unwrap();
    expect(datapath, Pass, caught);
    expect(datapath, Pass, spared);
}
