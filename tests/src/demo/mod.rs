//! The demo: a bastion under attack, from the first guess to the last dropped packet.

mod cast;
mod evidence;
mod options;
mod outcome;
mod promotion;
mod roster;
mod services;
mod siege;
mod story;
mod topology;

use anyhow::Result;

pub use options::Options;
pub use outcome::Outcome;

use cast::Attacker;
use services::Services;
use story::Story;
use topology::Topology;

/// Plays the demo from beginning to end, and leaves nothing behind.
///
/// # Errors
/// A step of it could not be done. What was done, but didn't turn out as it
/// should, is in the outcome.
pub fn play(options: &Options) -> Result<Outcome> {
    services::check_programs()?;
    let story = Story::begin(options.json_only);
    let attackers = cast::attackers();

    story.stage(
        "Four hosts on cables: attackers, the subnet's boundary, the bastion, an honest client",
    );
    let topology = Topology::build(&attackers)?;

    story.stage("Their services: EC2 and IMDS stand-ins, nicban, sshd, fail2ban");
    let mut services = Services::start(&topology, options)?;
    story.say(&services.introduction()?);

    story.stage("The honest client logs in, and goes on doing so until the end");
    let honest = services.start_honest_client(&topology, &story)?;

    story.stage("The attackers guess passwords, until fail2ban has banned every one of them");
    let siege = siege::run(&topology, &mut services, &attackers, &story)?;

    story.stage("Banned, they go on sending: XDP drops it, and the loudest move up to the NACL");
    let shortfall = promotion::wait(&mut services, &attackers, &story)?;

    story.stage("The counters of the boundary, of XDP and of the bastion are set side by side");
    let evidence = evidence::collect(&mut services, &siege, &attackers, &story)?;

    story.stage("Who is dropped where");
    let honest = honest.stop();
    let outcome = Outcome::of(&evidence, shortfall, &honest, story.elapsed());
    story.show(&roster::table(&attackers, &evidence));
    story.say(&format!(
        "the honest client was served {} times, the slowest took {} ms",
        honest.served,
        honest.slowest.as_millis()
    ));
    if options.keep {
        story::pause(&topology.how_to_look_inside());
    }
    Ok(outcome)
}

/// Which of the attackers an address or network covers.
fn covered<'a>(
    attackers: &'a [Attacker],
    network: &'a ipnet::IpNet,
) -> impl Iterator<Item = &'a Attacker> {
    attackers
        .iter()
        .filter(|attacker| network.contains(&attacker.address))
}
