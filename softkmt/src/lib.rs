//! Test fixture: a thunk `libhsakmt.so.1` that puts AMD's own ROCr on the software GPU.
//!
//! Law of this room: it is never shipped and nobody depends on it. It exists so that what we believe about ROCr can be
//! checked against ROCr on a machine without an AMD GPU; it models the kernel driver's interface, never our broker's. Unsafe
//! code may live here, at the C edge, each block with its reason.
//!
//! It may use `gcn`, which executes, and `sys`, which maps memory.
//!
//! Nothing is exported yet.
