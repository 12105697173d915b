//! The drop-in `libhsa-runtime64.so.1`: unmodified ROCm programs become tenants by loading it instead of AMD's.
//!
//! Law of this room: C at the edge, ordinary Rust inside. Unsafe code may live here, only to take arguments from C and to give results
//! back, each block with its reason. A panic cannot leave, a wrong argument is a status code, and nothing here ends or
//! changes the host program beyond what HSA says. What a tenant may have is decided elsewhere: this library is the
//! tenant's own, and nobody trusts it.
//!
//! It may use `client` and `hsa-sys`; nobody may depend on it.
//!
//! | module | subject |
//! |---|---|
//! | `export` | versioned names, and no panic beyond them |
//! | `edge` | what C hands us, made safe to hold |
//! | `runtime`, `fork` | the sessions between `hsa_init` and `hsa_shut_down`; whose it is |
//! | `system`, `words` | the system, extensions, status codes in words |
//! | `devices` | which devices the program sees, and the session on each |
//! | `agent` | agents, instruction sets, caches |
//! | `memory`, `copy` | pools, copies |
//! | `locked`, `maps` | locked host memory, and the pages under it |
//! | `vmem` | the virtual-memory interface: addresses and memory by themselves |
//! | `ipc` | memory that processes of one tenant share |
//! | `signal`, `events` | signals; the thread that calls handlers |
//! | `queue` | queues, and what is told when a kernel goes wrong |
//! | `code` | code objects and symbols |
//! | `image` | limits and layouts of images |
//! | `refused` | what answers NOT_SUPPORTED, and why |

mod agent;
mod code;
mod copy;
mod devices;
mod edge;
mod events;
mod export;
mod fork;
mod image;
mod ipc;
mod locked;
mod maps;
mod memory;
mod queue;
mod refused;
mod runtime;
mod signal;
mod system;
mod vmem;
mod words;
