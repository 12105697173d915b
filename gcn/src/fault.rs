//! What can go wrong in a tenant's program, and where.

use crate::memory::MemoryFault;

/// Why a wave had to stop. Always the program's own doing, never the device's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// The words at the program counter are no instruction of this architecture.
    #[error("illegal instruction word {word:#010x}")]
    IllegalInstruction {
        /// First word.
        word: u32,
    },
    /// The instruction exists, but this device does not execute it.
    #[error("instruction {mnemonic} is decoded but not executed by this device")]
    UnsupportedInstruction {
        /// Mnemonic as LLVM prints it.
        mnemonic: &'static str,
    },
    /// The instruction was asked for in a way this device does not execute.
    #[error("{mnemonic}: {what} is not supported by this device")]
    UnsupportedForm {
        /// Mnemonic as LLVM prints it.
        mnemonic: &'static str,
        /// Which form.
        what: &'static str,
    },
    /// A register beyond what the kernel descriptor allocated.
    #[error("{mnemonic} uses a vector register beyond the {allocated} that its kernel asked for")]
    RegisterOutOfRange {
        /// Mnemonic as LLVM prints it.
        mnemonic: &'static str,
        /// Registers the wave has.
        allocated: u16,
    },
    /// A memory access that the address space refused.
    #[error("{0}")]
    Memory(MemoryFault),
    /// A private-memory access outside of the lane's scratch.
    #[error("scratch offset {offset:#x} outside of the {bytes} bytes a lane has")]
    Scratch {
        /// Byte offset within the lane's private memory.
        offset: u64,
        /// Bytes a lane has.
        bytes: u32,
    },
    /// `s_trap`, as `abort()` and failed asserts compile to.
    #[error("s_trap {id}")]
    Trap {
        /// The trap's number.
        id: u8,
    },
}

/// A fault with the place it happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at pc {pc:#x} (work-group {workgroup:?}, wave {wave}{})", in_lane(*.lane))]
pub struct Fault {
    /// What went wrong.
    pub kind: FaultKind,
    /// Address of the instruction.
    pub pc: u64,
    /// Work-group coordinates in the grid.
    pub workgroup: [u32; 3],
    /// Wave number within its work-group.
    pub wave: u32,
    /// The first lane that met it, where one lane can be named.
    pub lane: Option<u8>,
}

fn in_lane(lane: Option<u8>) -> String {
    lane.map(|lane| format!(", lane {lane}")).unwrap_or_default()
}
