//! The round trip of an empty kernel in a crowd: one tenant while the others do nothing, and all of them in turns, where each trip needs the device handed over.

use super::dispatch::{empty, tenant_trip};
use super::figures::{histogram, time};
use crate::clock::now_ns;
use crate::device::soft::SoftConfig;
use crate::stage::config::Scene;
use crate::stage::wire::Latency;
use crate::stage::work::Work;
use crate::stage::{Host as _, PrivateBroker};
use anyhow::Result;
use client::{Client, Signal};
use serde::Serialize;

/// Trips of the one alone, and before that to warm up; and turns of everybody.
const ALONE: u32 = 20_000;
const WARM_UP: u32 = 2_000;
const TURNS: u32 = 2_000;

/// What it is like with so many tenants.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Crowd {
    tenants: u32,
    /// One sends, the others are connected.
    one: Latency,
    /// All send, one after the other.
    all: Latency,
}

struct Member {
    client: Client,
    work: Work,
    done: Signal,
}

impl Crowd {
    /// Measures with each of these numbers of tenants.
    pub(super) fn measure(device: &SoftConfig, counts: &[u32]) -> Result<Vec<Crowd>> {
        let most = counts.iter().copied().max().unwrap_or_default();
        let names: Vec<String> = (0..most).map(|k| format!("tenant-{k}")).collect();
        let scene = Scene::new(device, "5ms").sessions(most.max(8));
        let scene = names.iter().fold(scene, |scene, name| scene.tenant(name, 100, "4MiB", ""));
        let broker = PrivateBroker::start(scene.text(), &device.to_string())?;
        let mut members: Vec<Member> = Vec::new();
        let mut seen = Vec::new();
        for &tenants in counts {
            for name in &names[members.len()..tenants as usize] {
                let client = Client::connect(&broker.socket(), Some(name))?;
                let (work, done) = (Work::new(&client, empty()?)?, client.signal(0)?);
                // The first one ever finds nothing in place.
                tenant_trip(&work, &done)?;
                members.push(Member { client, work, done });
            }
            let (mut one, mut all) = (histogram()?, histogram()?);
            if let Some(Member { work, done, .. }) = members.first() {
                for k in 0..WARM_UP + ALONE {
                    let begun = now_ns();
                    tenant_trip(work, done)?;
                    if k >= WARM_UP {
                        one.saturating_record((now_ns() - begun).max(1));
                    }
                }
            }
            for Member { work, done, .. } in members.iter().cycle().take(TURNS as usize) {
                let begun = now_ns();
                tenant_trip(work, done)?;
                all.saturating_record((now_ns() - begun).max(1));
            }
            seen.push(Crowd { tenants, one: Latency::of(&one), all: Latency::of(&all) });
        }
        for member in members {
            member.client.goodbye();
        }
        Ok(seen)
    }
}

/// Prints them.
pub(super) fn print(crowds: &[Crowd]) {
    println!("Round trip with many tenants");
    println!("{:>8} {:>12} {:>10} {:>18} {:>10}", "TENANTS", "ONE SENDS P50", "P99", "IN TURNS P50", "P99");
    for Crowd { tenants, one, all } in crowds {
        let [a, b, c, d] = [one.p50, one.p99, all.p50, all.p99].map(time);
        println!("{tenants:>8} {a:>12} {b:>10} {c:>18} {d:>10}");
    }
}
