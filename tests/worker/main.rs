//! Workers and clients as processes, with a stub in the broker's place.

mod hostile;
mod program;
mod session;
mod stub;
