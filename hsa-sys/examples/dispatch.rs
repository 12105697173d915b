//! Runs a kernel without arguments from a code object file, and says how long the device took:
//! `cargo run -p wavegate-hsa-sys --example dispatch -- FILE.co KERNEL`.
//!
//! Try it with `clang -target amdgcn-amd-amdhsa -mcpu=gfx90a -nogpulib -x cl -O2 empty.cl -o FILE.co`, where `empty.cl` says
//! `kernel void empty(void) {}`.

use std::time::Duration;

use hsa_sys::runtime::{Executable, Queue, Runtime, Signal};
use hsa_sys::table::Library;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(file), Some(name)) = (arguments.next(), arguments.next()) else {
        return Err("which? dispatch FILE.co KERNEL".into());
    };
    let runtime = Runtime::start(Library::find()?)?;
    let gpu = runtime.gpus()?.into_iter().next().ok_or("the runtime knows no GPU")?;
    let program = Executable::load(&gpu, &std::fs::read(file)?)?;
    let kernel = program.kernel(&format!("{name}.kd"))?;
    let mut queue = Queue::new(&gpu, 64)?;
    let done = Signal::new(&runtime, 1)?;

    // An AQL packet: type, barrier bit, acquire and release at system scope; one dimension, 64 work-items in one work-group.
    let mut packet = [0u8; 64];
    packet[0..2].copy_from_slice(&(2u16 | 1 << 8 | 2 << 9 | 2 << 11).to_le_bytes());
    packet[2..4].copy_from_slice(&1u16.to_le_bytes());
    for (at, items) in [(4, 64u16), (6, 1), (8, 1)] {
        packet[at..at + 2].copy_from_slice(&items.to_le_bytes());
    }
    for (at, word) in [(12, 64u32), (16, 1), (20, 1), (24, kernel.private_bytes), (28, kernel.group_bytes)] {
        packet[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
    packet[32..40].copy_from_slice(&kernel.object.to_le_bytes());
    packet[56..64].copy_from_slice(&done.handle().to_le_bytes());
    queue.submit(&packet).ok_or("a fresh queue is full")?;

    let hz = runtime.timestamp_hz()?;
    while done.wait_done(Duration::from_millis(100), hz) > 0 {
        if let Some(fault) = queue.fault() {
            return Err(fault.text.into());
        }
    }
    let (start, end) = done.times(&gpu)?;
    println!("{name} ran for {:.1} us on {}", (end - start) as f64 * 1e6 / hz as f64, gpu.facts()?.name);
    Ok(())
}
