//! What the software GPU promises, driven through the [`Device`](wavegate::device::Device) contract with real packets in real rings.
//!
//! One binary, one module a subject. [`rig`] is the tenant's part: it makes queues and signals in memory that the test can reach
//! with atomics while the device runs, writes packets, and holds a lease that stops after a number of questions instead of after
//! a time. So nothing here sleeps or measures: what a test waits for, it polls with a deadline, and what it stops, it stops at
//! the same instruction every time.

mod canary;
mod contract;
mod doctor;
mod faults;
mod launches;
mod oracles;
mod producers;
mod queues;
mod rig;
mod suspend;
