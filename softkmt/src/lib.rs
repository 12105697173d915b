//! Test fixture: a thunk `libhsakmt.so.1` that puts AMD's own ROCr on the software GPU.
//!
//! Law of this room: it is never shipped and nobody depends on it. It exists so that what we believe about ROCr can be
//! checked against ROCr on a machine without an AMD GPU; it models the kernel driver's interface, never our broker's. Unsafe
//! code may live here, at the C edge, each block with its reason.
//!
//! It may use `gcn`, which executes, and `sys`, which maps memory.
//!
//! | module | subject |
//! |---|---|
//! | `exports` | the functions that ROCr 5.2.3 and 6.1.2 import, with their version |
//! | `drm` | what ROCr 6.1.2 asks libdrm of the card |
//! | `abi` | the thunk's types |
//! | `topology` | what the machine says it is |
//! | `memory` | the GPU's address space, the aliases of registered memory, and device memory that other processes share |
//! | `event` | the driver's events |
//! | `gpu` | the thread that runs queues, suspends them and reports their errors |
//! | `sdma` | the copy engines |
//! | `doorbell` | memory that programs ring |
//! | `config` | its shape, from the environment |
//!
//! README.md says how to run a program on it.

mod abi;
mod clock;
mod config;
mod doorbell;
mod drm;
mod event;
mod exports;
mod gpu;
mod memory;
mod sdma;
mod topology;
