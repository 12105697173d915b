//! What waking costs while nobody sleeps, and what it costs when somebody does.
//!
//! `cargo bench -p wavegate-sys --bench wake`. Awake: a doorbell is a ring, and looking at it is a wait that is answered at once. Asleep: two threads
//! that answer each other without looking first, so each answer is a wake-up; what it takes is the machine's to say.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

use criterion::{Criterion, criterion_group, criterion_main};
use sys::clock::Deadline;
use sys::wake::{Looks, Patience, ring, wait};

const ASLEEP: Patience = Patience { spin_ns: 0, recheck_ns: 1_000_000_000, looks: Looks::Even };

fn awake(c: &mut Criterion) {
    let mut group = c.benchmark_group("nobody asleep");
    let word = AtomicU32::new(0);
    group.bench_function("ring", |b| b.iter(|| ring(black_box(&word)).expect("no system call")));
    group.bench_function("wait, answered at once", |b| {
        b.iter(|| wait([black_box(&word)], ASLEEP, Deadline::NEVER, || Some(())).expect("no system call"));
    });
    group.finish();
}

/// Waits until `count` is another than `than`; returns it.
fn other(word: &AtomicU32, count: &AtomicU32, than: u32) -> u32 {
    wait([word], ASLEEP, Deadline::NEVER, || Some(count.load(Ordering::Acquire)).filter(|now| *now != than))
        .expect("the futex call works")
        .expect("no deadline")
}

fn asleep(c: &mut Criterion) {
    /// What ends the other thread.
    const OVER: u32 = u32::MAX;
    #[derive(Default)]
    struct Side {
        word: AtomicU32,
        count: AtomicU32,
    }
    impl Side {
        fn say(&self, count: u32) {
            self.count.store(count, Ordering::Release);
            ring(&self.word).expect("the futex call works");
        }
    }
    let (there, back) = (Side::default(), Side::default());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut seen = 0;
            loop {
                seen = other(&there.word, &there.count, seen);
                back.say(seen);
                if seen == OVER {
                    break;
                }
            }
        });
        let mut count = 0;
        c.bench_function("two wake-ups, there and back", |b| {
            b.iter(|| {
                let before = count;
                count += 1;
                there.say(count);
                other(&back.word, &back.count, before)
            });
        });
        there.say(OVER);
    });
}

criterion_group!(benches, awake, asleep);
criterion_main!(benches);
