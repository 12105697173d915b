//! Looks for the trace in which somebody falls behind the most, by climbing hills.
//!
//! An attack is data: tenants with weights, how long all behaved before, and a script of how long each turn from then on lasts. It
//! is played on the real scheduler; the exact fluid device beside it says who is how far behind. The search changes one thing
//! at a time, keeps what is at least as bad, and starts over where it does not get further. It knows the scheduler's weak spots: a
//! crowd that is believed, one that has most of the device, and the moment in which all break their word.
//!
//! Promise: a seed and a number of steps determine the result. The worst attack known is committed as `worst-lag.txt` beside
//! this file and is a test; `cargo xtask soak` goes on searching from it for as long as it is let.

use std::fmt;
use std::str::FromStr;

use sched::{ChargeKind, Class, Config, Instant, Nanos, Params, Policy, Scheduler, Weight, bounds};

use crate::random::Random;

const SLICE: u64 = 1_000;
/// Parts of L in which a script counts.
const PARTS: u64 = 64;
const TENANTS_MAX: usize = 40;
const TURNS_MAX: usize = 600;
const CALM_MAX: u32 = 6_000;
const SLICES_MAX: u64 = 60;

/// The worst attack found so far.
pub const WORST: &str = include_str!("worst-lag.txt");

/// One tenant of an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attacker {
    /// Its weight.
    pub weight: u32,
    /// Whether it follows the script; if not, its turns are a slice each.
    pub obeys: bool,
    /// In the latency class, with this many percent of a slice; 0 if not.
    pub latency: u8,
}

/// An attack, see the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attack {
    /// L in slices.
    pub slices: u64,
    /// Turns of a slice each before the script begins.
    pub calm: u32,
    /// Who takes part.
    pub tenants: Vec<Attacker>,
    /// Length of each turn in 64ths of L; 0 is a slice.
    pub turns: Vec<u8>,
}

/// How far somebody was off its share, in millionths of L.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Damage {
    /// The furthest anybody was behind.
    pub behind: i64,
    /// The furthest anybody was ahead, as a positive number.
    pub ahead: i64,
}

impl Damage {
    /// Returns whether a bound of [`sched::bounds`] is broken. A millionth of L is allowed for rounding.
    pub fn breaks_bounds(&self) -> bool {
        i128::from(self.behind) > bounds::BEHIND_MAX * 1_000_000
            || i128::from(self.ahead) > bounds::AHEAD_MAX * 1_000_000 + 1_000
    }
}

impl Attack {
    /// Plays the attack on a scheduler.
    pub fn play(&self) -> Damage {
        let longest = self.slices * SLICE;
        let config = Config { policy: Policy::Weighted, slice: Nanos(SLICE), occupancy_max: Nanos(longest) };
        // PANIC: L is at least a slice and far below the limit.
        let mut sched = Scheduler::new(config, Instant(0)).expect("a good configuration");
        let ids: Vec<_> = self
            .tenants
            .iter()
            .map(|tenant| {
                let class = match tenant.latency {
                    0 => Class::Throughput,
                    percent => Class::Latency { request: Nanos(SLICE * u64::from(percent) / 100) },
                };
                // PANIC: weights are within their range, nothing is guaranteed, and sessions may wake.
                let weight = Weight::new(tenant.weight).expect("a weight within its range");
                let id = sched.join(sched.root(), Params { weight, class, ..Params::default() }, Instant(0));
                let id = id.expect("nothing is guaranteed");
                sched.wake(id, Instant(0)).expect("it is there");
                id
            })
            .collect();
        let total: i128 = self.tenants.iter().map(|tenant| i128::from(tenant.weight)).sum();
        let mut served = vec![0u64; ids.len()];
        let (mut now, mut damage) = (0, Damage::default());
        let calm = std::iter::repeat_n(0, self.calm as usize);
        for (n, part) in calm.chain(self.turns.iter().copied()).enumerate() {
            let Some(grant) = sched.pick(Instant(now)) else { break };
            // PANIC: only these are there.
            let who = ids.iter().position(|id| *id == grant.node).expect("one of us");
            let scripted = self.tenants[who].obeys && part > 0;
            let span = if scripted { (longest * u64::from(part) / PARTS).max(1) } else { grant.slice.0 };
            now += span;
            served[who] += span;
            sched.charge(grant.node, ChargeKind::Occupancy, Instant(now)).expect("it is there");
            if n >= self.calm as usize {
                let lag = |who: usize| {
                    let fluid = i128::from(self.tenants[who].weight) * i128::from(now);
                    let real = total * i128::from(served[who]);
                    ((fluid - real) * 1_000_000).div_euclid(total * i128::from(longest)) as i64
                };
                damage.behind = (0..ids.len()).map(lag).max().unwrap_or(0).max(damage.behind);
                damage.ahead = damage.ahead.max(-lag(who));
            }
        }
        damage
    }

    /// Returns an attack to begin with: one that has most of the device beside a crowd, or anything.
    fn random(random: &mut Random) -> Attack {
        let crowd = random.between(1, 30) as usize;
        let slices = random.between(2, 40);
        let mut tenants: Vec<Attacker> = (0..crowd).map(|_| any_tenant(random)).collect();
        let sum: u64 = tenants.iter().map(|tenant| u64::from(tenant.weight)).sum();
        let heavy = (sum * random.between(1, 4)).clamp(1, u64::from(Weight::MAX.get())) as u32;
        tenants.push(Attacker { weight: heavy, obeys: random.one_in(4), latency: 0 });
        let calm = random.below(u64::from(CALM_MAX)) as u32;
        let part = if random.one_in(2) { PARTS as u8 } else { random.between(0, PARTS) as u8 };
        let turns = vec![part; random.between(20, 300) as usize];
        Attack { slices, calm, tenants, turns }
    }

    /// Returns the attack with one thing changed.
    fn mutated(&self, random: &mut Random) -> Attack {
        let mut next = self.clone();
        let someone = random.index(next.tenants.len());
        match random.below(12) {
            0 => next.slices = random.between(1, SLICES_MAX),
            1 => next.calm = random.below(u64::from(CALM_MAX)) as u32,
            2 => next.calm = (next.calm + random.below(65) as u32).saturating_sub(32).min(CALM_MAX),
            3 if next.tenants.len() < TENANTS_MAX => {
                let copy = if random.one_in(2) { next.tenants[someone] } else { any_tenant(random) };
                next.tenants.insert(random.index(next.tenants.len() + 1), copy);
            }
            4 if next.tenants.len() > 2 => {
                next.tenants.remove(someone);
            }
            5 => next.tenants[someone] = any_tenant(random),
            6 => {
                let weight = u64::from(next.tenants[someone].weight);
                let weight = weight * random.between(50, 200) / 100;
                next.tenants[someone].weight = weight.clamp(1, u64::from(Weight::MAX.get())) as u32;
            }
            7 => next.tenants[someone].obeys ^= true,
            8 => {
                let at = random.index(next.turns.len());
                let count = random.between(1, 40) as usize;
                let part = random.between(0, PARTS) as u8;
                next.turns.splice(at..at, std::iter::repeat_n(part, count));
                next.turns.truncate(TURNS_MAX);
            }
            9 if next.turns.len() > 2 => {
                let (from, count) = (random.index(next.turns.len()), random.between(1, 40) as usize);
                let to = (from + count).min(next.turns.len());
                next.turns.drain(from..to);
                if next.turns.is_empty() {
                    next.turns.push(PARTS as u8);
                }
            }
            _ => {
                let (from, count) = (random.index(next.turns.len()), random.between(1, 20) as usize);
                let part = if random.one_in(2) { PARTS } else { random.between(0, PARTS) } as u8;
                next.turns.iter_mut().skip(from).take(count).for_each(|turn| *turn = part);
            }
        }
        next
    }
}

fn any_tenant(random: &mut Random) -> Attacker {
    let weight = random.between(1, 9) * 10u64.pow(random.below(6) as u32);
    let latency = if random.one_in(8) { random.between(1, 100) as u8 } else { 0 };
    Attacker { weight: weight as u32, obeys: !random.one_in(6), latency }
}

/// A search that can be interrupted.
pub struct Search {
    random: Random,
    here: (Damage, Attack),
    best: (Damage, Attack),
    /// Steps without getting further.
    stale: u32,
    begin: Option<Attack>,
}

/// Steps without getting further after which the search starts over.
const PATIENCE: u32 = 1_500;

impl Search {
    /// Returns a search that begins at `from`, or anywhere.
    pub fn new(seed: u64, from: Option<Attack>) -> Search {
        let mut random = Random::stream(seed, 77);
        let attack = from.clone().unwrap_or_else(|| Attack::random(&mut random));
        let here = (attack.play(), attack);
        Search { random, best: here.clone(), here, stale: 0, begin: from }
    }

    /// Takes one step. Returns the worst attack so far if it has become worse.
    pub fn step(&mut self) -> Option<&(Damage, Attack)> {
        let mut next = self.here.1.mutated(&mut self.random);
        if self.random.one_in(3) {
            next = next.mutated(&mut self.random);
        }
        let damage = next.play();
        if damage >= self.here.0 {
            self.stale = if damage > self.here.0 { 0 } else { self.stale + 1 };
            self.here = (damage, next);
        } else {
            self.stale += 1;
        }
        if self.stale > PATIENCE {
            // Now and then from the worst known, otherwise from somewhere else.
            let again = if self.random.one_in(3) { self.begin.clone() } else { None };
            let attack = again.unwrap_or_else(|| Attack::random(&mut self.random));
            self.here = (attack.play(), attack);
            self.stale = 0;
        }
        if self.here.0 > self.best.0 {
            self.best = self.here.clone();
            return Some(&self.best);
        }
        None
    }

    /// Returns the worst attack so far.
    pub fn best(&self) -> &(Damage, Attack) {
        &self.best
    }
}

impl fmt::Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "slices {}\ncalm {}", self.slices, self.calm)?;
        for Attacker { weight, obeys, latency } in &self.tenants {
            writeln!(f, "tenant {weight} {} {latency}", if *obeys { "obeys" } else { "behaves" })?;
        }
        f.write_str("turns")?;
        for run in self.turns.chunk_by(|a, b| a == b) {
            write!(f, " {}x{}", run[0], run.len())?;
        }
        writeln!(f)
    }
}

/// Why a text is no attack: the line that means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAttack(pub String);

impl fmt::Display for NoAttack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a line of an attack: slices, calm, tenant WEIGHT obeys|behaves LATENCY, turns PARTSxCOUNT",
            self.0
        )
    }
}

impl std::error::Error for NoAttack {}

impl FromStr for Attack {
    type Err = NoAttack;

    fn from_str(text: &str) -> Result<Self, NoAttack> {
        let mut attack = Attack { slices: 0, calm: 0, tenants: Vec::new(), turns: Vec::new() };
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            attack.read(line).ok_or_else(|| NoAttack(line.to_owned()))?;
        }
        let sound = (1..=SLICES_MAX).contains(&attack.slices) && !attack.tenants.is_empty() && !attack.turns.is_empty();
        if sound { Ok(attack) } else { Err(NoAttack("the end".to_owned())) }
    }
}

impl Attack {
    fn read(&mut self, line: &str) -> Option<()> {
        let mut words = line.split(' ');
        match words.next()? {
            "slices" => self.slices = words.next()?.parse().ok()?,
            "calm" => self.calm = words.next()?.parse().ok()?,
            "tenant" => {
                let weight = words.next()?.parse().ok().filter(|weight| Weight::new(*weight).is_some())?;
                let obeys = match words.next()? {
                    "obeys" => true,
                    "behaves" => false,
                    _ => return None,
                };
                self.tenants.push(Attacker { weight, obeys, latency: words.next()?.parse().ok()? });
            }
            "turns" => {
                for run in words.by_ref() {
                    let (part, count) = run.split_once('x')?;
                    let part: u8 = part.parse().ok().filter(|part| u64::from(*part) <= PARTS)?;
                    self.turns.extend(std::iter::repeat_n(part, count.parse().ok()?));
                }
            }
            _ => return None,
        }
        words.next().is_none().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worst attack known stays within the bound, and is about as bad as it was when it was found: a scheduler that has become
    /// immune to it needs a new worst one.
    #[test]
    fn worst_attack_found_so_far_stays_within_the_bound() {
        let attack: Attack = WORST.parse().unwrap();
        let damage = attack.play();
        println!("worst known: {damage:?}");
        assert!(!damage.breaks_bounds(), "{damage:?}");
        assert!(damage.behind > 1_500_000, "{damage:?}");
    }

    /// A search of a fixed budget: 2,000 attacks from the worst one known, 3,000 from nowhere.
    #[test]
    fn hill_climb_finds_no_attack_beyond_the_bound() {
        for (seed, steps, from) in [(1, 2_000, Some(WORST.parse().unwrap())), (2, 3_000, None)] {
            let mut search = Search::new(seed, from);
            (0..steps).for_each(|_| {
                search.step();
            });
            let (damage, attack) = search.best();
            println!("seed {seed}: {damage:?} after {steps} attacks");
            assert!(!damage.breaks_bounds(), "{damage:?}\n{attack}");
            assert!(damage.behind > 700_000, "the search has become blind: {damage:?}");
        }
    }

    #[test]
    fn attacks_survive_being_written_down() {
        let attack = Attack::random(&mut Random::stream(3, 3));
        assert_eq!(attack.to_string().parse(), Ok(attack));
        for line in ["turns 65x1", "tenant 0 obeys 0", "tenant 5 sulks 0", "slices", "calm 3 4", "nonsense"] {
            assert_eq!(line.parse::<Attack>(), Err(NoAttack(line.to_owned())));
        }
    }
}
