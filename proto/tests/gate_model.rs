//! Walks through every interleaving of two workers and a broker that use the gate as its module page says.
//!
//! Each atomic access to shared memory is one step; steps of different processes interleave in every order (sequential
//! consistency, which the protocol asks for). Checked in every reachable state: at most one worker runs. Checked of the whole
//! graph: from every reachable state the world can still come to rest, and at rest no worker has work left. A lost wake-up, a
//! forgotten request or a dead end all show up as a state from which that is impossible.
//!
//! The same walk with one line of the protocol left out must fail; that is how we know it can.

use std::collections::HashMap;

use proto::gate::{GateWord, LeaseState, Level, Request};
use proto::ids::LeaseGeneration;
use proto::wake::WakeWord;

/// One line of the protocol that can be left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum LeftOut {
    Nothing,
    /// A worker does not look again between arming its wake word and sleeping.
    SecondLook,
    /// A worker that has parked does not look at the request again.
    RequestAfterPark,
    /// The broker does not look whether the lease is parked after writing the request.
    TakeAfterRequest,
    /// A worker does not tell the broker that it released the lease.
    TellOfRelease,
    /// The broker does not ring the wake word of the worker it grants to.
    RingAfterGrant,
}

/// More states than this mean that the model, not the protocol, has a mistake.
const STATES_MAX: usize = 3_000_000;
const WORKERS: usize = 2;
/// Packets each worker's tenant sends. Two, so that a worker parks, is taken, and comes back.
const PACKETS: u8 = 2;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum At {
    /// Decides what to do next.
    Look,
    Announce,
    Tell,
    Park,
    Unpark,
    Release,
    ArmGate,
    ArmDoorbell,
    Sleep,
    Asleep,
}

/// What a worker thinks of its lease.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Mind {
    Nothing,
    Announced,
    Holds,
    Parked,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Worker {
    at: At,
    mind: Mind,
    /// Both wake words as they were when armed, while on the way to sleep.
    armed_gate: Option<u32>,
    armed_doorbell: Option<u32>,
    /// Packets in the rings, and still to be sent.
    work: u8,
    to_come: u8,
    // Shared memory of this worker.
    word: u64,
    wake: u32,
    doorbell: u32,
    request: u64,
    told: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum BrokerAt {
    Wait,
    Grant(usize),
    Ring(usize),
    /// Writes the request at this level, then tries to take.
    Ask(usize, bool),
    Take(usize),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct World {
    workers: [Worker; WORKERS],
    broker: BrokerAt,
    holder: Option<usize>,
    runnable: [bool; WORKERS],
    /// The holder has been asked to yield, and to suspend.
    asked: [bool; 2],
    generation: u8,
}

fn generation(g: u8) -> LeaseGeneration {
    LeaseGeneration::new(u32::from(g))
}

impl Worker {
    fn word(&self) -> GateWord {
        GateWord(self.word)
    }

    fn level(&self) -> Level {
        Request::level_for(self.request, self.word().generation())
    }

    /// One step of the worker. `None` when it can only wait.
    fn step(mut self, left_out: LeftOut) -> Option<Self> {
        match self.at {
            At::Look => self.look(left_out),
            At::Announce => match self.word().announce() {
                Ok(next) => {
                    self.word = next.0;
                    self.mind = Mind::Announced;
                    self.at = At::Tell;
                }
                Err(not) => panic!("only the worker leaves idle, found {not}"),
            },
            At::Tell => {
                self.told = true;
                self.at = At::Look;
            }
            At::Park => {
                self.word = self.word().park().expect("only the holder leaves leased").0;
                self.mind = Mind::Parked;
                self.at = At::Look;
                if left_out == LeftOut::RequestAfterPark && self.work == 0 {
                    self.at = At::ArmGate;
                }
            }
            At::Unpark => {
                match self.word().unpark() {
                    Ok(next) => {
                        self.word = next.0;
                        self.mind = Mind::Holds;
                    }
                    Err(_) => self.mind = Mind::Nothing,
                }
                self.at = At::Look;
            }
            At::Release => match self.word().release(self.work > 0) {
                Ok(next) => {
                    self.word = next.0;
                    self.mind = if self.work > 0 { Mind::Announced } else { Mind::Nothing };
                    self.at = if left_out == LeftOut::TellOfRelease { At::Look } else { At::Tell };
                }
                // The broker took the parked lease first.
                Err(_) => {
                    self.mind = Mind::Nothing;
                    self.at = At::Look;
                }
            },
            At::ArmGate => {
                self.wake = WakeWord(self.wake).arm().0;
                self.armed_gate = Some(self.wake);
                self.at = At::ArmDoorbell;
            }
            At::ArmDoorbell => {
                self.doorbell = WakeWord(self.doorbell).arm().0;
                self.armed_doorbell = Some(self.doorbell);
                self.at = if left_out == LeftOut::SecondLook { At::Sleep } else { At::Look };
            }
            At::Sleep => {
                // futex_waitv: sleeps only while both words are the armed ones.
                let unchanged = self.armed_gate == Some(self.wake) && self.armed_doorbell == Some(self.doorbell);
                self.at = if unchanged { At::Asleep } else { At::Look };
                self.disarm();
            }
            At::Asleep => return None,
        }
        let looked_and_acts = !matches!(self.at, At::Sleep | At::Look | At::ArmDoorbell);
        if looked_and_acts || (self.at == At::Look && self.armed_doorbell.is_none()) {
            self.disarm();
        }
        Some(self)
    }

    /// Gives up going to sleep. Wake words only matter by being the armed ones or not, so their counts start over;
    /// that is what keeps the world finite.
    fn disarm(&mut self) {
        (self.armed_gate, self.armed_doorbell) = (None, None);
        self.wake &= 1;
        self.doorbell &= 1;
    }

    fn look(&mut self, left_out: LeftOut) {
        let has_work = self.work > 0;
        let rest = if self.armed_doorbell.is_some() { At::Sleep } else { At::ArmGate };
        match self.mind {
            Mind::Nothing => self.at = if has_work { At::Announce } else { rest },
            Mind::Announced => {
                if self.word().state() == Some(LeaseState::Leased) {
                    self.mind = Mind::Holds;
                } else {
                    self.at = rest;
                }
            }
            Mind::Holds => match self.level() {
                Level::Suspend => self.at = At::Release,
                Level::Yield if !has_work => self.at = At::Release,
                _ if has_work => self.work -= 1,
                _ => self.at = At::Park,
            },
            Mind::Parked => {
                let asked = left_out != LeftOut::RequestAfterPark && self.level() != Level::Keep;
                self.at = match (has_work, asked) {
                    (true, _) => At::Unpark,
                    (false, true) => At::Release,
                    (false, false) => rest,
                };
            }
        }
    }

    fn ring(word: &mut u32, at: &mut At) {
        if let Some(next) = WakeWord(*word).ring() {
            *word = next.0;
            if *at == At::Asleep {
                *at = At::Look;
            }
        }
    }
}

impl World {
    fn new() -> Self {
        let worker = Worker {
            at: At::Look,
            mind: Mind::Nothing,
            armed_gate: None,
            armed_doorbell: None,
            work: 0,
            to_come: PACKETS,
            word: GateWord::NEW.0,
            wake: 0,
            doorbell: 0,
            request: 0,
            told: false,
        };
        Self {
            workers: [worker; WORKERS],
            broker: BrokerAt::Wait,
            holder: None,
            runnable: [false; WORKERS],
            asked: [false; 2],
            generation: 1,
        }
    }

    /// Every world that one step of one process can lead to.
    fn next(self, left_out: LeftOut) -> Vec<Self> {
        let mut all = Vec::new();
        for i in 0..WORKERS {
            if let Some(worker) = self.workers[i].step(left_out) {
                let mut n = self;
                n.workers[i] = worker;
                if n != self {
                    all.push(n);
                }
            }
            if self.workers[i].to_come > 0 {
                let mut n = self;
                let w = &mut n.workers[i];
                w.to_come -= 1;
                w.work += 1;
                Worker::ring(&mut w.doorbell, &mut w.at);
                all.push(n);
            }
        }
        self.broker_steps(left_out, &mut all);
        all.iter_mut().for_each(Self::forget_history);
        all
    }

    /// Makes worlds equal that can only do the same: generations are told apart by two values instead of 2^29, parkings are
    /// not counted, and a request for a lease that is over is dropped, since it matches no lease ever after.
    fn forget_history(&mut self) {
        for (i, w) in self.workers.iter_mut().enumerate() {
            w.word &= u64::from(u32::MAX);
            if self.holder != Some(i) && !matches!(w.word().state(), Some(LeaseState::Leased | LeaseState::Parked)) {
                w.word = w.word().state().map_or(w.word, |s| s as u64);
                w.request = 0;
            }
        }
    }

    fn broker_steps(self, left_out: LeftOut, all: &mut Vec<Self>) {
        match self.broker {
            BrokerAt::Wait => {
                for i in 0..WORKERS {
                    if self.workers[i].told {
                        let mut n = self;
                        n.workers[i].told = false;
                        n.observe(i);
                        n.plan();
                        all.push(n);
                    }
                }
                // The slice timer: any time after the holder was asked to yield.
                if let (Some(h), [true, false]) = (self.holder, self.asked) {
                    let mut n = self;
                    n.broker = BrokerAt::Ask(h, true);
                    all.push(n);
                }
            }
            BrokerAt::Grant(i) => {
                let mut n = self;
                n.runnable[i] = false;
                n.broker = BrokerAt::Wait;
                match n.workers[i].word().grant(generation(3 - self.generation)) {
                    Ok(next) => {
                        n.generation = 3 - self.generation;
                        n.workers[i].word = next.0;
                        n.holder = Some(i);
                        n.asked = [false; 2];
                        n.broker = BrokerAt::Ring(i);
                        if left_out == LeftOut::RingAfterGrant {
                            n.broker = BrokerAt::Wait;
                            n.plan();
                        }
                    }
                    Err(_) => n.plan(),
                }
                all.push(n);
            }
            BrokerAt::Ring(i) => {
                let mut n = self;
                let w = &mut n.workers[i];
                Worker::ring(&mut w.wake, &mut w.at);
                n.broker = BrokerAt::Wait;
                n.plan();
                all.push(n);
            }
            BrokerAt::Ask(h, suspend) => {
                let mut n = self;
                let level = if suspend { Level::Suspend } else { Level::Yield };
                n.workers[h].request = Request { generation: generation(n.generation), level }.pack();
                n.asked[usize::from(suspend)] = true;
                n.broker = if left_out == LeftOut::TakeAfterRequest { BrokerAt::Wait } else { BrokerAt::Take(h) };
                all.push(n);
            }
            BrokerAt::Take(h) => {
                let mut n = self;
                n.broker = BrokerAt::Wait;
                if let Ok(next) = n.workers[h].word().take(generation(n.generation)) {
                    // Note what does not happen here: nobody is woken.
                    n.workers[h].word = next.0;
                    n.holder = None;
                }
                n.plan();
                all.push(n);
            }
        }
    }

    /// The broker believes what the word says now.
    fn observe(&mut self, i: usize) {
        let word = self.workers[i].word();
        if self.holder == Some(i) && !word.holds(generation(self.generation)) {
            self.holder = None;
        }
        self.runnable[i] = word.state() == Some(LeaseState::Runnable);
    }

    fn plan(&mut self) {
        let waiting = |w: &Self, not: Option<usize>| (0..WORKERS).find(|&i| w.runnable[i] && Some(i) != not);
        self.broker = match (self.holder, waiting(self, self.holder)) {
            (None, Some(i)) => BrokerAt::Grant(i),
            (Some(h), Some(_)) if !self.asked[0] => BrokerAt::Ask(h, false),
            _ => BrokerAt::Wait,
        };
    }

    fn running(&self) -> usize {
        self.workers.iter().filter(|w| w.mind == Mind::Holds).count()
    }
}

/// What a walk found.
struct Walk {
    states: usize,
    two_ran: bool,
    /// A state from which the world cannot come to rest with all work done.
    forgotten: Option<World>,
    /// Both outcomes of the race between un-park and take were seen.
    unpark_won: bool,
    take_won: bool,
}

fn walk(left_out: LeftOut) -> Walk {
    let mut index = HashMap::from([(World::new(), 0usize)]);
    let mut worlds = vec![World::new()];
    let mut before: Vec<Vec<usize>> = vec![Vec::new()];
    let mut good = Vec::new();
    let mut walk = Walk { states: 0, two_ran: false, forgotten: None, unpark_won: false, take_won: false };
    let mut at = 0;
    while at < worlds.len() {
        assert!(at < STATES_MAX, "the world should be finite and small");
        let world = worlds[at];
        walk.two_ran |= world.running() > 1;
        let next = world.next(left_out);
        if next.is_empty() && world.workers.iter().all(|w| w.work == 0 && w.to_come == 0) {
            good.push(at);
        }
        for n in next {
            for (old, new) in world.workers.iter().zip(&n.workers) {
                if old.at == At::Unpark && new.at == At::Look {
                    walk.unpark_won |= new.mind == Mind::Holds;
                    walk.take_won |= new.mind == Mind::Nothing;
                }
            }
            let id = *index.entry(n).or_insert_with(|| {
                worlds.push(n);
                before.push(Vec::new());
                worlds.len() - 1
            });
            before[id].push(at);
        }
        at += 1;
    }
    walk.states = worlds.len();
    let mut can_rest = vec![false; worlds.len()];
    let mut todo = good;
    while let Some(at) = todo.pop() {
        if !std::mem::replace(&mut can_rest[at], true) {
            todo.extend(&before[at]);
        }
    }
    walk.forgotten = can_rest.iter().position(|ok| !ok).map(|at| worlds[at]);
    walk
}

#[test]
fn never_two_holders_and_no_worker_forgotten() {
    let walk = walk(LeftOut::Nothing);
    println!("{} states", walk.states);
    assert!(walk.states > 10_000, "the walk is smaller than it should be: {}", walk.states);
    assert!(!walk.two_ran, "two workers held the device");
    assert_eq!(walk.forgotten, None, "the world cannot come to rest from here");
    assert!(walk.unpark_won && walk.take_won, "the race between un-park and take was not exercised");
}

#[test]
fn each_line_of_the_protocol_is_needed() {
    for left_out in [
        LeftOut::SecondLook,
        LeftOut::RequestAfterPark,
        LeftOut::TakeAfterRequest,
        LeftOut::TellOfRelease,
        LeftOut::RingAfterGrant,
    ] {
        assert!(walk(left_out).forgotten.is_some(), "{left_out:?} can be left out");
    }
}
