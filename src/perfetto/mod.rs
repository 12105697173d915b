//! A Perfetto trace of what a broker does, for <https://ui.perfetto.dev> and `trace_processor`.
//!
//! [`wire`] are the messages of Perfetto's schema that we use, and the file around them; [`timeline`] turns the lines of a
//! [tap](crate::tap) into tracks:
//!
//! ```text
//! device 0: soft:...            a process group for each device
//!   leases                      per partition: who had it, named by tenant; the way in is a slice `start` inside of it
//!   switches                    per partition: from whom to whom, with stop, grant and start inside
//! tenant red                    a process group for each tenant
//!   VRAM, host memory, lag      counters
//!   events                      paused, resumed
//!   s3 app (pid 77)             per session: its life, with charges, denials and faults in it
//!     q0                        per queue: dispatches, named by kernel; as many rows as ran at a time
//! ```

#[cfg(test)]
mod reader;
pub mod timeline;
pub mod wire;
