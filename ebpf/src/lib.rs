//! What the XDP program shares: with userspace its [ABI](abi) and the [index](index), with its
//! tests its [parser](parse).
#![cfg_attr(not(test), no_std)]

pub mod abi;
pub mod index;
pub mod parse;
