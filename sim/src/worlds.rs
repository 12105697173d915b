//! The worlds there are, by name. The seed fills in the numbers.

use broker::{AdminCommand, Config, DeviceChange, MatchRule, PartitionConfig, Placement, TenantChange, TenantConfig};
use proto::{Bytes, Nanos, TenantName};
use sched::{Class, Policy, Share, Weight};

use crate::random::{Lengths, Random, Span};
use crate::scenario::{Appetite, Chore, Delays, End, Habit, Program, Scenario, Vice};

/// A world that can be asked for.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// Its name.
    pub name: &'static str,
    /// What happens in it, for people.
    pub about: &'static str,
    make: fn(&mut Maker),
}

/// Every world.
pub const ALL: &[Recipe] = &[
    Recipe { name: "calm", about: "saturated tenants of any weights; shares within a fifth of a point", make: calm },
    Recipe {
        name: "mixed",
        about: "saturated, bursty, interactive and sleeping tenants, caps, latency class",
        make: mixed,
    },
    Recipe { name: "churn", about: "sessions come and go, administrators change everything", make: churn },
    Recipe { name: "deaths", about: "tenants and workers die, starts and host memory fail", make: deaths },
    Recipe { name: "flood", about: "hellos, rings and allocations beyond every limit", make: flood },
    Recipe {
        name: "slow-device",
        about: "a device that can only drain, on a slow host; shares within a point",
        make: slow_device,
    },
    Recipe { name: "hostile", about: "stuck, lying and overrunning workers beside innocents", make: hostile },
    Recipe {
        name: "resets",
        about: "devices that are lost with everything on them, and workers that stick",
        make: resets,
    },
    Recipe { name: "policies", about: "every policy, changed live; groups; slices of their own", make: policies },
    Recipe { name: "places", about: "several devices with partitions; tenants move between them live", make: places },
];

/// Returns the world of this name.
pub fn named(name: &str) -> Option<Recipe> {
    ALL.iter().copied().find(|recipe| recipe.name == name)
}

impl Recipe {
    /// Returns the world of this seed.
    pub fn scenario(&self, seed: u64) -> Scenario {
        let mut maker = Maker::new(self.name, seed);
        (self.make)(&mut maker);
        maker.scenario.chores.sort_by_key(|(at, _)| *at);
        maker.scenario
    }
}

struct Maker {
    scenario: Scenario,
    random: Random,
    users: u32,
}

const GIB: u64 = 1 << 30;

impl Maker {
    fn new(world: &'static str, seed: u64) -> Self {
        let mut config = Config::built_in(Bytes(GIB));
        let mut random = Random::stream(seed, 0);
        let slice = random.within(Span::millis(1, 5));
        config.devices[0].slice = slice;
        config.preempt_timeout = Nanos(slice.0 / 2 + 1_000_000);
        config.start_timeout = Nanos::from_millis(50);
        config.end_timeout = Nanos::from_millis(20);
        let span = Nanos::from_millis(500);
        let (programs, chores) = (Vec::new(), Vec::new());
        let delays = Delays::USUAL;
        let scenario = Scenario {
            world,
            seed,
            config,
            programs,
            recordings: Vec::new(),
            delays,
            chores,
            span,
            share_error_max: None,
        };
        Self { scenario, random, users: 1000 }
    }

    /// Adds a tenant with a user of its own.
    fn tenant(&mut self, name: &str, change: impl FnOnce(&mut TenantConfig, &mut Random)) -> (TenantName, u32) {
        // PANIC: the names in this file are good ones.
        let name = TenantName::new(name).expect("a plain name");
        let uid = self.users;
        self.users += 1;
        let matches = vec![MatchRule { uid: Some(uid), ..MatchRule::default() }];
        let mut tenant = TenantConfig { matches, max_dispatch: Nanos(0), ..TenantConfig::modest(name) };
        change(&mut tenant, &mut self.random);
        self.scenario.config.tenants.push(tenant);
        (name, uid)
    }

    /// Adds a program: saturated, harmless and long-lived unless changed.
    fn program(&mut self, (tenant, uid): (TenantName, u32), change: impl FnOnce(&mut Program, &mut Random)) {
        let mut program = Program {
            tenant,
            uid,
            habit: Habit::Saturated,
            kernels: Lengths::Skewed(Span::micros(5, 2_000)),
            appetite: Appetite::Nothing,
            life: None,
            end: End::Goodbye,
            again: None,
            vice: Vice::None,
            first_at: self.random.within(Span::millis(0, 5)),
            attacker: false,
        };
        change(&mut program, &mut self.random);
        self.scenario.programs.push(program);
    }

    fn chores(&mut self, every: Span, mut chore: impl FnMut(&mut Random) -> Chore) {
        let mut at = self.random.within(every);
        while at < self.scenario.span {
            let chore = chore(&mut self.random);
            self.scenario.chores.push((at, chore));
            at.0 += self.random.within(every).0;
        }
    }

    /// A tenant that must get what it is entitled to, whatever others do: one saturated program, one interactive.
    fn innocents(&mut self) {
        for name in ["ada", "ben"] {
            let who = self.tenant(name, |t, random| {
                t.weight = weight(random.between(50, 400));
                t.vram_limit = Bytes(GIB / 4);
                t.vram_guarantee = Bytes(GIB / 8);
            });
            self.program(who, |p, _| p.appetite = turnover());
        }
        let who = self.tenant("cleo", |t, _| t.vram_guarantee = Bytes(GIB / 16));
        self.program(who, |p, _| {
            p.habit = Habit::Bursts { kernels: Span { min: 1, max: 1 }, every: Span::millis(10, 20) };
            p.kernels = Lengths::Even(Span::micros(50, 400));
            p.appetite = turnover();
        });
    }
}

fn weight(value: u64) -> Weight {
    // PANIC: every call in this file asks for 1 to 1,000.
    Weight::new(value as u32).expect("a weight within its range")
}

fn turnover() -> Appetite {
    Appetite::Turnover { bytes: Span { min: 1, max: GIB / 128 }, every: Span::millis(5, 40), keeps: 4 }
}

fn greedy(at_once: usize) -> Appetite {
    Appetite::Greedy { bytes: Span { min: 0, max: GIB / 8 }, every: Span::millis(1, 5), at_once }
}

fn calm(maker: &mut Maker) {
    maker.scenario.span = Nanos::from_millis(4_000);
    maker.scenario.share_error_max = Some(2_000);
    let tenants = maker.random.between(2, 6);
    for i in 0..tenants {
        let who = maker.tenant(&format!("t{i}"), |t, random| t.weight = weight(random.between(20, 400)));
        for _ in 0..maker.random.between(1, 2) {
            maker.program(who, |p, random| {
                let longest = random.between(10, 50_000);
                p.kernels = Lengths::Skewed(Span::micros(5, longest));
            });
        }
    }
}

fn mixed(maker: &mut Maker) {
    maker.scenario.span = Nanos::from_millis(1_000);
    for i in 0..maker.random.between(2, 10) {
        let kind = maker.random.below(5);
        let slice = maker.scenario.config.devices[0].slice.0;
        let who = maker.tenant(&format!("t{i}"), |t, random| {
            t.weight = weight(random.between(1, 1_000));
            if kind == 2 {
                t.class = Class::Latency { request: sched::Nanos(slice / 4) };
            }
            if kind == 4 {
                t.cap = Share::from_percent(random.between(2, 60) as u32);
            }
        });
        maker.program(who, |p, random| {
            p.kernels = Lengths::Skewed(Span::micros(5, 20_000));
            p.first_at = random.within(Span::millis(0, 200));
            match kind {
                1 => p.habit = Habit::Bursts { kernels: Span { min: 1, max: 200 }, every: Span::millis(1, 200) },
                2 => {
                    p.habit = Habit::Bursts { kernels: Span { min: 1, max: 2 }, every: Span::millis(5, 30) };
                    p.kernels = Lengths::Even(Span::micros(20, 300));
                }
                3 if random.one_in(2) => p.habit = Habit::Idle,
                _ => {}
            }
        });
    }
}

fn churn(maker: &mut Maker) {
    let mut names = Vec::new();
    for i in 0..maker.random.between(3, 8) {
        let who = maker.tenant(&format!("t{i}"), |t, random| t.weight = weight(random.between(1, 1_000)));
        names.push(who.0);
        for _ in 0..maker.random.between(1, 4) {
            maker.program(who, |p, random| {
                p.life = Some(Span::millis(1, 120));
                p.again = Some(Span::micros(10, 30_000));
                p.appetite = turnover();
                if random.one_in(2) {
                    p.habit = Habit::Bursts { kernels: Span { min: 1, max: 40 }, every: Span::millis(1, 30) };
                }
            });
        }
    }
    let config = maker.scenario.config.clone();
    maker.chores(Span::millis(1, 20), |random| {
        let name = names[random.index(names.len())];
        Chore::Command(match random.below(12) {
            0..4 => {
                let weight = Some(weight(random.between(1, 1_000)));
                AdminCommand::TenantSet(name, TenantChange { weight, ..TenantChange::default() })
            }
            4 => {
                let limits = TenantChange {
                    vram_limit: Some(Bytes(random.below(GIB / 4))),
                    sessions: Some(random.below(5) as u32),
                    guarantee: Some(Share::from_percent(random.between(1, 30) as u32)),
                    ..TenantChange::default()
                };
                AdminCommand::TenantSet(name, limits)
            }
            5 | 6 => AdminCommand::TenantPause(name),
            7 | 8 => AdminCommand::TenantResume(name),
            9 => return Chore::KillOneOf(random.index(16)),
            10 => AdminCommand::TenantRemove(name),
            // Whoever was removed is back, and all weights are as they were.
            _ => {
                let mut config = config.clone();
                config.devices[0].slice = random.within(Span::micros(500, 4_000));
                AdminCommand::Reload(config)
            }
        })
    });
}

fn deaths(maker: &mut Maker) {
    maker.scenario.delays.start_fails = 8;
    maker.scenario.delays.memory_fails = 10;
    maker.scenario.delays.answers_twice = 20;
    maker.innocents();
    for i in 0..maker.random.between(1, 4) {
        let who = maker.tenant(&format!("mortal{i}"), |t, random| t.weight = weight(random.between(1, 1_000)));
        for _ in 0..3 {
            maker.program(who, |p, random| {
                p.life = Some(Span::micros(100, 40_000));
                p.end = End::Any;
                p.again = Some(Span::micros(1, 5_000));
                p.appetite = greedy(1);
                p.attacker = true;
                if random.one_in(3) {
                    p.habit = Habit::Bursts { kernels: Span { min: 1, max: 40 }, every: Span::millis(1, 10) };
                }
            });
        }
    }
}

fn flood(maker: &mut Maker) {
    maker.scenario.config.sessions_max = 12;
    maker.innocents();
    let who = maker.tenant("flooder", |t, _| t.sessions = 4);
    for _ in 0..6 {
        maker.program(who, |p, random| {
            p.attacker = true;
            p.first_at = Nanos::from_millis(20);
            p.again = Some(Span::micros(50, 500));
            p.life = Some(Span::millis(1, 50));
            p.appetite = greedy(random.between(1, 80) as usize);
            p.habit = Habit::Idle;
            p.vice = Vice::Chatters(Span::micros(50, 500));
        });
    }
    maker.program((who.0, who.1), |p, _| {
        p.attacker = true;
        p.first_at = Nanos::from_millis(20);
        p.vice = Vice::Knocks(Span::micros(50, 500));
    });
}

fn slow_device(maker: &mut Maker) {
    let timeout = maker.scenario.config.preempt_timeout.0;
    maker.scenario.span = Nanos::from_millis(1_500);
    maker.scenario.share_error_max = Some(10_000);
    maker.scenario.delays = Delays {
        ring: Span::micros(10, 200),
        wake: Span::micros(10, 300),
        look: Span::micros(5, 100),
        suspend: Span { min: timeout / 20, max: timeout / 8 },
        resume: Span { min: timeout / 20, max: timeout / 8 },
        scrub: Span::micros(20, 200),
        timer: Span::micros(50, 150),
        die: Span { min: timeout / 20, max: timeout / 8 },
        suspends: false,
        ..Delays::USUAL
    };
    for i in 0..maker.random.between(2, 6) {
        let who = maker.tenant(&format!("t{i}"), |t, random| t.weight = weight(random.between(20, 400)));
        maker.program(who, |p, _| p.kernels = Lengths::Skewed(Span { min: 5_000, max: timeout / 2 }));
    }
}

fn hostile(maker: &mut Maker) {
    maker.scenario.delays.answers_twice = 10;
    maker.innocents();
    let timeout = maker.scenario.config.preempt_timeout.0;
    let vices = [
        Vice::Sticks { one_in: 4 },
        Vice::Dawdles(Span { min: 0, max: timeout * 3 / 2 }),
        Vice::Lies,
        Vice::DamagesGate(Span::millis(1, 50)),
        Vice::Babbles(Span::millis(1, 50)),
        Vice::Chatters(Span::micros(10, 100)),
        Vice::Overruns,
        Vice::NeverReady,
    ];
    for i in 0..maker.random.between(1, 4) {
        let who = maker.tenant(&format!("mallory{i}"), |t, random| {
            t.weight = weight(random.between(50, 400));
            t.max_dispatch = random.within(Span::millis(2, 20));
        });
        for _ in 0..2 {
            maker.program(who, |p, random| {
                p.attacker = true;
                p.vice = vices[random.index(vices.len())];
                p.again = Some(Span::micros(10, 10_000));
                p.kernels = Lengths::Skewed(Span::micros(5, 100_000));
                p.appetite = greedy(2);
            });
        }
    }
}

fn resets(maker: &mut Maker) {
    maker.scenario.span = Nanos::from_millis(1_000);
    for _ in 0..maker.random.between(0, 2) {
        let more = maker.scenario.config.devices[0].clone();
        maker.scenario.config.devices.push(more);
    }
    let devices = maker.scenario.config.devices.len();
    for i in 0..maker.random.between(3, 8) {
        let who = maker.tenant(&format!("t{i}"), |t, random| t.weight = weight(random.between(20, 400)));
        for _ in 0..maker.random.between(1, 2) {
            maker.program(who, |p, random| {
                p.again = Some(Span::micros(10, 20_000));
                p.appetite = turnover();
                match random.below(4) {
                    0 => p.habit = Habit::Bursts { kernels: Span { min: 1, max: 40 }, every: Span::millis(1, 60) },
                    1 => p.vice = Vice::Sticks { one_in: 20 },
                    _ => {}
                }
            });
        }
    }
    maker.chores(Span::millis(20, 200), |random| Chore::ResetDevice(random.index(devices)));
}

fn policies(maker: &mut Maker) {
    maker.scenario.span = Nanos::from_millis(1_000);
    let any = |random: &mut Random| Policy::ALL[random.index(Policy::ALL.len())];
    maker.scenario.config.devices[0].policy = any(&mut maker.random);
    let mut names = Vec::new();
    for i in 0..maker.random.between(2, 6) {
        let who = maker.tenant(&format!("t{i}"), |t, random| {
            t.weight = weight(random.between(20, 400));
            t.slice = random.one_in(3).then(|| random.within(Span::millis(1, 3)));
        });
        names.push(who.0);
        maker.program(who, |p, random| {
            if random.one_in(3) {
                p.habit = Habit::Bursts { kernels: Span { min: 1, max: 40 }, every: Span::millis(1, 60) };
            }
        });
    }
    maker.chores(Span::millis(50, 300), |random| {
        let name = names[random.index(names.len())];
        let device = DeviceChange { policy: Some(any(random)), ..DeviceChange::default() };
        Chore::Command(match random.below(4) {
            0 => AdminCommand::TenantPause(name),
            1 => AdminCommand::TenantResume(name),
            _ => AdminCommand::DeviceSet(None, device),
        })
    });
}

fn places(maker: &mut Maker) {
    // PANIC: the names are good ones.
    let partitions = ["left", "right"].map(|name| TenantName::new(name).expect("a plain name"));
    let config = &mut maker.scenario.config;
    config.placement = if maker.random.one_in(2) { Placement::Pack } else { Placement::Spread };
    config.devices[0].partitions = partitions.iter().map(|name| PartitionConfig { name: *name, cus: 4 }).collect();
    for _ in 0..maker.random.below(3) {
        let more = maker.scenario.config.devices[0].clone();
        maker.scenario.config.devices.push(more);
    }
    let mut names = Vec::new();
    for i in 0..maker.random.between(3, 8) {
        let who = maker.tenant(&format!("t{i}"), |t, random| {
            t.weight = weight(random.between(20, 400));
            t.partition = Some(partitions[random.index(2)]);
        });
        names.push(who.0);
        for _ in 0..maker.random.between(1, 3) {
            maker.program(who, |p, random| {
                p.appetite = turnover();
                if random.one_in(3) {
                    p.life = Some(Span::millis(10, 200));
                    p.again = Some(Span::micros(10, 30_000));
                }
            });
        }
    }
    maker.chores(Span::millis(5, 60), |random| {
        let name = names[random.index(names.len())];
        let partition = Some(Some(partitions[random.index(2)]));
        Chore::Command(match random.below(6) {
            0 => AdminCommand::TenantPause(name),
            1 => AdminCommand::TenantResume(name),
            2 => return Chore::KillOneOf(random.index(16)),
            _ => AdminCommand::TenantSet(name, TenantChange { partition, ..TenantChange::default() }),
        })
    });
}
