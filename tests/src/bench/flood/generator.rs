//! Floods: frames that a BPF program sends as a driver would receive them, with a source
//! of its own each.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Result, ensure};
use aya::programs::{TestRunAttrs, TestRunOptions};

use super::super::baselines::{Loaded, Source};
use super::super::cpu::{self, Pinned};
use super::lane::{FLOODED, HOST_MAC, SERVED};
use crate::net::{Frame, Namespace};

/// Frames that tell how long one takes.
const WARM: u32 = 8_192;

/// Frames that the kernel sends and has received at a time: its default.
const BATCH: u32 = 64;

/// The MAC address that the frames come from.
const SENDER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Where the header's checksum and the source stand in a frame.
const CHECKSUM: usize = 14 + 10;
const UDP_CHECKSUM: usize = 14 + 20 + 6;

/// Where frames are sent from.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Cable<'a> {
    pub(in super::super) outside: &'a Namespace,
    /// The outside's end of the cable.
    pub(in super::super) index: u32,
}

/// What was sent, and what it took.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Sent {
    pub(super) frames: u32,
    /// Processor time of the sender, which receives as well unless the host has a
    /// processor of its own for that.
    pub(super) time: Duration,
}

/// Sends from some sources by chance.
pub(in super::super) struct Generator {
    program: Loaded,
    frame: Vec<u8>,
    sources: u32,
    /// Frames that take a millisecond; None before the first flood.
    pace: Option<f64>,
}

impl Generator {
    /// From banned sources, and now and then from innocent ones, if there are any.
    pub(in super::super) fn new(banned: &[[u8; 4]], innocent: &[[u8; 4]]) -> Result<Self> {
        Self::paced(banned, innocent, 0)
    }

    /// The same, with so many ns from one frame to the next.
    pub(super) fn paced(banned: &[[u8; 4]], innocent: &[[u8; 4]], interval: u32) -> Result<Self> {
        ensure!(!banned.is_empty(), "a flood from nobody");
        let all = |sources: &[[u8; 4]], port| -> Vec<Source> {
            sources
                .iter()
                .map(|address| source(*address, port))
                .collect()
        };
        Ok(Self {
            program: Loaded::flood(&all(banned, FLOODED), &all(innocent, SERVED), interval)?,
            frame: frame(banned[0], FLOODED),
            sources: u32::try_from(banned.len() + innocent.len())?,
            pace: None,
        })
    }

    /// Sends from a thread that is in the cable's outside.
    ///
    /// In one system call: each one waits until no processor runs what it replaces
    /// (`bpf_prog_change_xdp` in the kernel), which takes milliseconds.
    fn burst(&mut self, index: u32, frames: u32) -> Result<()> {
        let length = u32::try_from(self.frame.len())?;
        // `struct xdp_md`: data, data_end, data_meta, ingress_ifindex, rx_queue_index,
        // egress_ifindex. XDP_TX sends where a frame came in.
        let context: Vec<u8> = [0, length, 0, index, 0, 0]
            .into_iter()
            .flat_map(u32::to_ne_bytes)
            .collect();
        self.program.test_run(TestRunOptions {
            data_in: Some(&self.frame),
            ctx_in: Some(&context),
            repeat: frames,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
            ..TestRunOptions::default()
        })?;
        Ok(())
    }

    /// Lets every source send a few times, so that what the other end keeps of each is there,
    /// and learns how long that takes.
    pub(super) fn warm_up(&mut self, cable: Cable<'_>, processor: usize) -> Result<()> {
        if self.pace.is_some() {
            return Ok(());
        }
        let few = self.sources.saturating_mul(4).max(WARM);
        // The first ones take longer.
        self.send(cable, processor, few)?;
        let sent = self.send(cable, processor, WARM)?;
        let milliseconds = sent.time.as_secs_f64() * 1e3;
        self.pace = Some(f64::from(sent.frames) / milliseconds.max(1e-3));
        Ok(())
    }

    /// Floods the other end from one processor for about so long.
    pub(super) fn flood(
        &mut self,
        cable: Cable<'_>,
        processor: usize,
        length: Duration,
    ) -> Result<Sent> {
        self.warm_up(cable, processor)?;
        let pace = self.pace.unwrap_or_default();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "some millions, and within a u32 by the clamp"
        )]
        let frames = (pace * length.as_secs_f64() * 1e3).clamp(f64::from(BATCH), 1e8) as u32;
        self.send(cable, processor, frames)
    }

    /// Sends so many frames over a cable from one processor.
    pub(in super::super) fn send(
        &mut self,
        cable: Cable<'_>,
        processor: usize,
        frames: u32,
    ) -> Result<Sent> {
        cable.outside.enter(|| {
            let _pinned = Pinned::to(processor)?;
            let helper = cpu::softirq_thread()?;
            let used = || anyhow::Ok(cpu::process_time(helper)? + cpu::thread_time()?);
            let start = used()?;
            self.burst(cable.index, frames)?;
            let time = used()?.saturating_sub(start);
            Ok(Sent { frames, time })
        })?
    }
}

fn source(address: [u8; 4], port: u16) -> Source {
    let frame = frame(address, port);
    Source {
        checksum: [frame[CHECKSUM], frame[CHECKSUM + 1]],
        address,
        port,
    }
}

/// A datagram of 18 bytes, in 60 bytes as the shortest Ethernet frame. Its UDP checksum
/// says that there is none, so that the source can change.
fn frame(source: [u8; 4], port: u16) -> Vec<u8> {
    let mut bytes = Frame::udp(
        (&SENDER_MAC, &HOST_MAC),
        SocketAddr::new(IpAddr::from(source), 1_024),
        SocketAddr::new(IpAddr::from([198, 18, 0, 1]), port),
        &[0; 18],
    )
    .bytes()
    .to_vec();
    bytes[UDP_CHECKSUM..UDP_CHECKSUM + 2].fill(0);
    bytes
}
