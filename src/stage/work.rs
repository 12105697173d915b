//! An embedded kernel made ready to run: in a tenant's session, or in this process without a broker.

use crate::device::soft::{ComputeUnits, SoftConfig, SoftDevice};
use crate::local::{Argument, LocalSession, Program, Ticket};
use anyhow::{Context as _, Result};
use client::{Buffer, Client, Dispatch, Kernel, Queue, Signal};
use gcn::aql::{KernelDispatch, Packet};
use gcn::code_object::CodeObject;
use gcn::kernarg::{KernargBuilder, Launch};
use kernels::{Arg, Case, Target};
use std::time::Duration;

/// Waves of a kernel of chosen length.
const SPIN_WAVES: u32 = 4;

/// Returns a kernel of about `wave_instructions` in four waves.
pub fn spin(wave_instructions: u64, seed: u64) -> Case {
    kernels::spin::case(SPIN_WAVES, spin_iterations(wave_instructions), seed)
}

/// Returns what `dispatches` such kernels, one after the other on the same buffer, leave there.
pub fn spun(wave_instructions: u64, dispatches: u64, seed: u64) -> Result<Case> {
    let total = u64::from(spin_iterations(wave_instructions)) * dispatches;
    let total = u32::try_from(total).context("more work than the oracle can check")?;
    Ok(kernels::spin::case(SPIN_WAVES, total, seed))
}

fn spin_iterations(wave_instructions: u64) -> u32 {
    kernels::spin::iterations_for(wave_instructions / u64::from(SPIN_WAVES))
}

/// A kernel with its buffers and arguments in a tenant's session.
pub struct Work {
    /// What it runs.
    pub case: Case,
    /// Its queue.
    pub queue: Queue,
    buffers: Vec<Buffer>,
    kernel: Kernel,
    kernarg: Buffer,
    /// LDS of a work-group, what the launch asks for included.
    group_bytes: u32,
}

impl Work {
    /// Loads it, with a ring of 64 packets.
    pub fn new(client: &Client, case: Case) -> Result<Work> {
        Work::with_ring(client, case, 64)
    }

    /// Loads it. The ring has room for so many packets, a power of two.
    pub fn with_ring(client: &Client, case: Case, packets: u32) -> Result<Work> {
        let program = kernels::find(case.kernel).context("an embedded kernel")?;
        let isa = client.device().isa;
        let target = Target::ALL
            .into_iter()
            .find(|t| isa.as_str().contains(t.name()))
            .context("a device that embedded kernels are built for")?;
        let object = program.code_object(target);
        let kernel = client.load(object)?.kernel(case.kernel)?;
        let buffers = case
            .buffers
            .iter()
            .map(|b| {
                let buffer = client.vram(b.bytes.len() as u64)?;
                buffer.write(0, &b.bytes)?;
                Ok(buffer)
            })
            .collect::<Result<Vec<_>>>()?;
        // The code object says how arguments are laid out, hidden ones included.
        let parsed = CodeObject::parse(object)?;
        let info = parsed.kernel(case.kernel).context("the kernel's metadata")?;
        let mut builder = KernargBuilder::new(
            info,
            Launch { dynamic_lds_bytes: case.dynamic_lds, ..Launch::new(case.grid, case.workgroup) },
        )?;
        for arg in &case.args {
            builder = match *arg {
                Arg::Buffer { index, offset } => builder.pointer(buffers[index].address() + offset)?,
                Arg::U32(v) => builder.arg(&v.to_le_bytes())?,
                Arg::U64(v) => builder.arg(&v.to_le_bytes())?,
                Arg::F32(v) => builder.arg(&v.to_le_bytes())?,
            };
        }
        let arguments = builder.finish()?;
        let kernarg = client.kernarg((arguments.bytes.len() as u64).max(1))?;
        kernarg.write(0, &arguments.bytes)?;
        let queue = client.queue(packets)?;
        let group_bytes = arguments.group_segment_bytes;
        Ok(Work { case, queue, buffers, kernel, kernarg, group_bytes })
    }

    /// Puts a dispatch into the ring.
    pub fn send(&self, done: &Signal) -> Result<()> {
        let Case { grid, workgroup, .. } = self.case;
        let dispatch = Dispatch::of(&self.kernel, grid, workgroup, &self.kernarg).completing(done);
        self.queue.dispatch(&Dispatch { group_bytes: self.group_bytes, ..dispatch })?;
        Ok(())
    }

    /// Returns its buffers' contents.
    pub fn results(&self) -> Result<Vec<Vec<u8>>> {
        let read = |(buffer, was): (&Buffer, &kernels::Buffer)| {
            let mut bytes = vec![0; was.bytes.len()];
            buffer.read(0, &mut bytes)?;
            Ok(bytes)
        };
        self.buffers.iter().zip(&self.case.buffers).map(read).collect()
    }

    /// Writes the buffers as they were before the first dispatch.
    pub fn reset(&self) -> Result<()> {
        for (buffer, was) in self.buffers.iter().zip(&self.case.buffers) {
            buffer.write(0, &was.bytes)?;
        }
        Ok(())
    }
}

/// The same in this process, without a broker: the arm that sharing is compared with.
pub struct LocalWork {
    /// What it runs.
    pub case: Case,
    session: LocalSession,
    program: Program,
    addresses: Vec<u64>,
    arguments: Vec<Argument>,
    packet: Option<KernelDispatch>,
}

/// Longer than any dispatch here takes.
const LIMIT: Duration = Duration::from_secs(60);

impl LocalWork {
    /// Loads it on a device of its own.
    pub fn new(config: &SoftConfig, case: Case) -> Result<LocalWork> {
        let device = SoftDevice::new(config, ComputeUnits::private(config.cus)?)?;
        let mut session = LocalSession::new(Box::new(device))?;
        let target: Target = session.device().facts().target.parse().ok().context("a target of embedded kernels")?;
        let kernel = kernels::find(case.kernel).context("an embedded kernel")?;
        let program = session.load(kernel.code_object(target))?;
        let addresses = case.buffers.iter().map(|b| session.upload(&b.bytes)).collect::<Result<Vec<_>, _>>()?;
        let argument = |arg: &Arg| match *arg {
            Arg::Buffer { index, offset } => Argument::Pointer(addresses[index] + offset),
            Arg::U32(value) => Argument::Bytes(value.to_le_bytes().to_vec()),
            Arg::U64(value) => Argument::Bytes(value.to_le_bytes().to_vec()),
            Arg::F32(value) => Argument::Bytes(value.to_le_bytes().to_vec()),
        };
        let arguments = case.args.iter().map(argument).collect();
        Ok(LocalWork { case, session, program, addresses, arguments, packet: None })
    }

    /// Puts a dispatch into the ring. Its arguments are laid out once, as a tenant's are.
    pub fn send(&mut self) -> Result<Ticket> {
        if let Some(packet) = &self.packet {
            return Ok(self.session.submit_packet(|done| Packet::kernel(packet, true, done))?);
        }
        let Case { kernel, grid, workgroup, dynamic_lds, .. } = self.case;
        let packet = self.session.prepare(&self.program, kernel, grid, workgroup, dynamic_lds, &self.arguments)?;
        self.packet = Some(packet);
        self.send()
    }

    /// Runs the device until everything sent is complete.
    pub fn finish(&mut self) -> Result<()> {
        self.session.run_for(LIMIT)?;
        Ok(())
    }

    /// Whether a dispatch is complete.
    pub fn is_done(&self, ticket: Ticket) -> Result<bool> {
        Ok(self.session.is_done(ticket)?)
    }

    /// Returns the buffers' contents.
    pub fn results(&self) -> Result<Vec<Vec<u8>>> {
        let download =
            |(b, &at): (&kernels::Buffer, &u64)| self.session.download(at, b.bytes.len()).map_err(anyhow::Error::from);
        self.case.buffers.iter().zip(&self.addresses).map(download).collect()
    }

    /// Writes the buffers as they were before the first dispatch.
    pub fn reset(&self) -> Result<()> {
        for (buffer, &at) in self.case.buffers.iter().zip(&self.addresses) {
            self.session.memory().write(at, &buffer.bytes)?;
        }
        Ok(())
    }
}
