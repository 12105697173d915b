//! What the two protocols of a session cost by themselves: messages of the control path, and the gate's word, which a worker swaps whenever its queues run dry.
//!
//! `cargo bench -p wavegate-proto --bench protocol`. Nobody else has the cache line: between processors it takes what the machine takes to move one.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use criterion::{Criterion, criterion_group, criterion_main};
use proto::gate::{GateWord, NotNow};
use proto::message::TenantRequest;
use proto::message::tenant::{AllocBuffer, BufferKind, FindSymbol};
use proto::text::Text;
use proto::wire::Message as _;
use proto::{Bytes, CodeId, DeviceAddress, LeaseGeneration, RequestId};

fn messages(c: &mut Criterion) {
    let mut group = c.benchmark_group("message");
    let small = AllocBuffer { kind: BufferKind::Vram, bytes: Bytes(4096), at: DeviceAddress(1 << 40) }.into();
    let large = FindSymbol { code: CodeId(3), name: Text::truncated(&"_ZN4name".repeat(100)) }.into();
    for (name, message) in [("40 bytes", small), ("with a name of 800 bytes", large)] {
        let message: TenantRequest = message;
        let fds = message.facts().fds;
        let packet = message.encode(RequestId(7));
        group.bench_function(format!("{name}, encoded"), |b| b.iter(|| black_box(&message).encode(RequestId(7))));
        group.bench_function(format!("{name}, decoded"), |b| {
            b.iter(|| TenantRequest::decode(black_box(packet.as_bytes()), fds).expect("what was encoded is a message"));
        });
    }
    group.finish();
}

/// A step as both sides take it: load, work out, swap.
fn step(word: &AtomicU64, to: impl Fn(GateWord) -> Result<GateWord, NotNow>) {
    let found = GateWord(word.load(Ordering::Acquire));
    let next = to(found).expect("nobody else takes steps");
    word.compare_exchange(found.0, next.0, Ordering::AcqRel, Ordering::Acquire).expect("nobody else takes steps");
}

fn gate(c: &mut Criterion) {
    let mut group = c.benchmark_group("gate");
    let word = AtomicU64::new(GateWord::NEW.0);
    step(&word, GateWord::announce);
    step(&word, |w| w.grant(LeaseGeneration::new(1)));
    group.bench_function("park and unpark", |b| {
        b.iter(|| {
            step(black_box(&word), GateWord::park);
            step(black_box(&word), GateWord::unpark);
        });
    });
    group.bench_function("park, take, announce, grant", |b| {
        b.iter(|| {
            step(black_box(&word), GateWord::park);
            step(black_box(&word), |w| w.take(w.generation()));
            step(black_box(&word), GateWord::announce);
            step(black_box(&word), |w| w.grant(LeaseGeneration::new(1)));
        });
    });
    group.finish();
}

criterion_group!(benches, messages, gate);
criterion_main!(benches);
