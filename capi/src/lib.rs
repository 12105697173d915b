//! The drop-in `libhsa-runtime64.so.1`: unmodified ROCm programs become tenants by loading it instead of AMD's.
//!
//! Law of this room: C at the edge, ordinary Rust inside. Unsafe code may live here, only to take arguments from C and to give results
//! back, each block with its reason. A panic cannot leave, a wrong argument is a status code, and nothing here ends or
//! changes the host program beyond what HSA says. What a tenant may have is decided elsewhere: this library is the
//! tenant's own, and nobody trusts it.
//!
//! It may use `client` and `hsa-sys`; nobody may depend on it.
//!
//! Nothing is exported yet. The functions will be a shell over `client`, one file for each chapter of the HSA runtime's manual.
