//! The rules of the NACL tier, each as a scenario.

mod bans;
mod contest;
mod failures;
mod lag;
mod others;
mod quota;
mod sharing;
mod slots;

use super::model::World;
use crate::nacl::acl::Direction;

fn host(number: usize) -> String {
    format!("203.0.113.{number}/32")
}

/// A world whose slots are all held by hosts 1, 2, … at 100, 99, … packets/s.
fn full() -> World {
    let mut world = World::new();
    for number in 1..=18_u8 {
        world.ban(&host(number.into()), 101.0 - f64::from(number), 1);
    }
    world.reconcile();
    assert_eq!(world.denied(Direction::Ingress).len(), 18);
    // In a slot they are counted no more.
    for candidate in &mut world.candidates {
        candidate.rate = 0.0;
    }
    world
}

fn pass(world: &mut World, seconds: i64) {
    world.now += seconds;
}
