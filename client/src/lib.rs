//! The tenant's side of Wavegate in safe Rust
