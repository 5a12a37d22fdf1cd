//! The XDP program, judged packet by packet: the kernel runs it on frames that
//! the tests make (`BPF_PROG_TEST_RUN`), against maps of each test's own.

mod allow;
mod counters;
mod exact;
mod expiry;
mod frames;
mod garbage;
mod index;
mod inspect;
mod jumbo;
mod limits;
mod model;
mod networks;
mod observe;
mod pair;
mod restart;
