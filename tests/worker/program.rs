//! Runs the embedded kernels through a client and checks them against their oracles.

use client::{Buffer, Client, Code, Dispatch, Kernel, Queue, Signal, WaitError};
use gcn::code_object::CodeObject;
use gcn::kernarg::{KernargBuilder, Launch};
use kernels::{Arg, Case, Target};

use crate::stub::soon;

/// A case placed in a session's memory, ready to be dispatched.
pub(crate) struct Placed {
    pub(crate) case: Case,
    pub(crate) buffers: Vec<Buffer>,
    pub(crate) kernel: Kernel,
    kernarg: Buffer,
    group_bytes: u32,
}

/// Loads the program of this name.
pub(crate) fn load(client: &Client, name: &str) -> Code {
    client.load(kernels::find(name).unwrap().code_object(Target::Gfx90a)).unwrap()
}

impl Placed {
    pub(crate) fn new(client: &Client, code: &Code, queue: &Queue, case: Case) -> Placed {
        let buffers = case
            .buffers
            .iter()
            .map(|b| {
                let buffer = client.vram(b.bytes.len() as u64).unwrap();
                buffer.write(0, &b.bytes).unwrap();
                buffer
            })
            .collect();
        Placed::over(client, code, queue, case, buffers)
    }

    /// The same over memory that is there, and holds what the case begins with.
    pub(crate) fn over(client: &Client, code: &Code, queue: &Queue, case: Case, buffers: Vec<Buffer>) -> Placed {
        let kernel = code.kernel(case.kernel).unwrap();
        let object = CodeObject::parse(kernels::find(case.kernel).unwrap().code_object(Target::Gfx90a)).unwrap();
        let info = object.kernel(case.kernel).unwrap();
        let mut launch = Launch::new(case.grid, case.workgroup);
        (launch.dynamic_lds_bytes, launch.queue_ptr) = (case.dynamic_lds, queue.address());
        let mut arguments = KernargBuilder::new(info, launch).unwrap();
        for arg in &case.args {
            arguments = match *arg {
                Arg::Buffer { index, offset } => arguments.pointer(buffers[index].address() + offset).unwrap(),
                Arg::U32(value) => arguments.arg(&value.to_le_bytes()).unwrap(),
                Arg::U64(value) => arguments.arg(&value.to_le_bytes()).unwrap(),
                Arg::F32(value) => arguments.arg(&value.to_le_bytes()).unwrap(),
            };
        }
        let built = arguments.finish().unwrap();
        assert_eq!(built.bytes.len(), kernel.kernarg_bytes as usize, "the worker knows the kernel as the loader does");
        let kernarg = client.kernarg(built.bytes.len().max(1) as u64).unwrap();
        kernarg.write(0, &built.bytes).unwrap();
        Placed { case, buffers, kernel, kernarg, group_bytes: built.group_segment_bytes }
    }

    pub(crate) fn dispatch(&self, done: &Signal) -> Dispatch {
        let Case { grid, workgroup, .. } = self.case;
        let dispatch = Dispatch::of(&self.kernel, grid, workgroup, &self.kernarg).completing(done);
        Dispatch { group_bytes: self.group_bytes, ..dispatch }
    }

    pub(crate) fn check(&self) {
        let after: Vec<Vec<u8>> = std::iter::zip(&self.case.buffers, &self.buffers)
            .map(|(before, buffer)| {
                let mut bytes = vec![0; before.bytes.len()];
                buffer.read(0, &mut bytes).unwrap();
                bytes
            })
            .collect();
        self.case.check(&after).unwrap();
    }
}

/// Runs a case once, to its end.
pub(crate) fn run(client: &Client, queue: &Queue, placed: &Placed) -> Result<(), WaitError> {
    let done = client.signal(1).unwrap();
    queue.dispatch(&placed.dispatch(&done)).unwrap();
    queue.wait(&done, soon())
}
