//! What the benches share: an in-process session with one embedded kernel ready to run.
#![allow(dead_code, reason = "each bench uses its part")]

use gcn::Tier;
use kernels::{Arg, Case, Target};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use sys::memfd::MemFd;
use wavegate::device::soft::{ComputeUnits, SoftConfig, SoftDevice};
use wavegate::device::{DeviceFault, Lease, QueueHandle};
use wavegate::local::{Argument, LocalSession, Program, Ticket};

/// Longer than any dispatch here takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A session, a program, and a case placed in its memory.
pub(crate) struct Ready {
    pub(crate) session: LocalSession,
    pub(crate) case: Case,
    program: Program,
    addresses: Vec<u64>,
    arguments: Vec<Argument>,
}

impl Ready {
    /// Places `case` on a device `soft:{options}` that runs on `tier`.
    pub(crate) fn new(options: &str, tier: &'static Tier, case: Case) -> Ready {
        let config: SoftConfig = format!("soft:{options}").parse().expect("a device description");
        let units = ComputeUnits::private(config.cus).expect("compute units");
        let device = SoftDevice::with_tier(&config, units, tier).expect("a device");
        let mut session = LocalSession::new(Box::new(device)).expect("a session");
        let target: Target = session.device().facts().target.parse().expect("a target");
        let kernel = kernels::find(case.kernel).expect("an embedded kernel");
        let program = session.load(kernel.code_object(target)).expect("a loadable object");
        let addresses: Vec<u64> = case.buffers.iter().map(|b| session.upload(&b.bytes).expect("memory")).collect();
        let argument = |arg: &Arg| match *arg {
            Arg::Buffer { index, offset } => Argument::Pointer(addresses[index] + offset),
            Arg::U32(value) => Argument::Bytes(value.to_le_bytes().to_vec()),
            Arg::U64(value) => Argument::Bytes(value.to_le_bytes().to_vec()),
            Arg::F32(value) => Argument::Bytes(value.to_le_bytes().to_vec()),
        };
        let arguments = case.args.iter().map(argument).collect();
        Ready { session, case, program, addresses, arguments }
    }

    pub(crate) fn submit(&mut self) -> Ticket {
        let Case { kernel, grid, workgroup, dynamic_lds, .. } = self.case;
        let ticket = self.session.submit(&self.program, kernel, grid, workgroup, dynamic_lds, &self.arguments);
        ticket.expect("room in the ring")
    }

    /// Runs one dispatch; returns its wave-instructions.
    pub(crate) fn run(&mut self) -> u64 {
        let ticket = self.submit();
        self.session.finish(ticket, LIMIT).expect("a kernel that ends").1
    }

    /// Runs the first dispatch and judges it, so that nothing wrong is measured; returns its wave-instructions.
    pub(crate) fn verified(&mut self) -> u64 {
        let instructions = self.run();
        let download = |(b, &at): (&kernels::Buffer, &u64)| self.session.download(at, b.bytes.len()).expect("memory");
        let after: Vec<Vec<u8>> = self.case.buffers.iter().zip(&self.addresses).map(download).collect();
        self.case.check(&after).expect("the oracle's result");
        instructions
    }

    /// Returns a kernel object and the address of its arguments' memory, for packets made by hand.
    pub(crate) fn kernel_object(&self) -> u64 {
        self.program.kernel(self.case.kernel).expect("the kernel").1.kernel_object
    }
}

/// A lease that ends after a number of questions.
pub(crate) struct StopAfter(AtomicU64);

impl StopAfter {
    pub(crate) fn new(questions: u64) -> StopAfter {
        StopAfter(AtomicU64::new(questions))
    }
}

impl Lease for StopAfter {
    fn should_stop(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err()
    }

    fn signal_changed(&self, _: u64) {}

    fn interrupt(&self) {}

    fn hidden_memory(&self, bytes: u64) -> Option<MemFd> {
        MemFd::create("bench-hidden", bytes as usize).ok()
    }

    fn queue_failed(&self, _: QueueHandle, fault: &DeviceFault) {
        panic!("{}", fault.text);
    }
}
