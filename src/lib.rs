//! The shells of Wavegate: processes, loops, commands and devices around the pure rooms.
//!
//! Nothing here decides policy. [`device`] is the contract a worker has with a GPU and its backends, [`cli`] the commands.

pub mod cli;
pub mod clock;
pub mod device;
pub mod local;
