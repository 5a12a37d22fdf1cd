//! What the programs ask of a machine that they are copied to.

use std::collections::BTreeSet;
use std::process::Command;

use nicban_tests::daemon::{Program, program};
use nicban_tests::process;

/// The C library of Amazon Linux 2023. A build on Debian 12, with glibc 2.36, is to
/// run there too.
const OLDEST_GLIBC: (u32, u32) = (2, 34);

#[test]
fn the_programs_ask_for_no_newer_c_library_than_amazon_linux_has() {
    for name in [Program::Nicban, Program::Action] {
        let wanted = glibc_versions(name);
        let newest = wanted.last().expect("it is linked to the C library");
        assert!(
            *newest <= OLDEST_GLIBC,
            "{name:?}, as it was built on this machine, asks for glibc {newest:?}"
        );
    }
}

/// The versions of the symbols that it takes from the C library.
fn glibc_versions(name: Program) -> BTreeSet<(u32, u32)> {
    let objdump = process::find_program("objdump").unwrap();
    let symbols = process::run(
        Command::new(objdump)
            .arg("--dynamic-syms")
            .arg(program(name).unwrap()),
    )
    .unwrap();
    let version = |text: &str| {
        let (major, minor) = text.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    symbols
        .split("(GLIBC_")
        .skip(1)
        .map(|rest| rest.split(')').next().unwrap_or(rest))
        // As in 2.2.5: what comes third does not matter here.
        .map(|text| text.splitn(3, '.').take(2).collect::<Vec<_>>().join("."))
        .map(|text| version(&text).unwrap_or_else(|| panic!("no version: {text}")))
        .collect()
}
