//! The gate: one memory object per session, shared by its worker and the broker and by nobody else.
//!
//! It is how a lease changes hands without a message. [`GateWord`] says who has the device; both sides change it by
//! compare-and-swap through the pure functions of [`word`], so a race has exactly one winner. [`layout`] says where the
//! rest lies: the request to give the device back, the deadline, stamps, counters and histograms; [`saved`] what a suspend has put aside,
//! [`dispatches`] the ring of finished dispatches that is filled while somebody traces.
//!
//! # The protocol
//!
//! Worker: has work and no lease: [`announce`](GateWord::announce), tell the broker (eventfd), sleep on the gate's wake word.
//! Holds the lease: after every packet or time quantum look at the request; drained: [`park`](GateWord::park), *then* look
//! at the request once more; new work while parked: [`unpark`](GateWord::unpark), and if that fails, announce.
//! Asked to give the device back: [`release`](GateWord::release) and tell the broker.
//!
//! Broker: [`grant`](GateWord::grant), then ring the wake word. Somebody else wants the device: write the request, *then*
//! look whether the lease is parked and [`take`](GateWord::take) it.
//! Told by a worker: read the word and the report, and believe what they say *now*, however many tellings were merged.
//!
//! Promise (each tested over every interleaving of two workers and a broker in `tests/gate_model.rs`): no two workers hold the
//! device; no worker with work is forgotten; a parked lease is taken without waking anybody; of an un-park and a take one
//! wins.

pub mod dispatches;
pub mod layout;
pub mod saved;
pub mod word;

pub use dispatches::DispatchRecord;
pub use layout::{GateLayout, Level, Request, Scrub, StopReason};
pub use saved::{SAVED_MAX, SAVED_WORDS, SavedDispatch};
pub use word::{GateWord, LeaseState, NotNow};
