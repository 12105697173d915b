//! The worker's side of the [ring of finished dispatches](proto::gate::dispatches).
//!
//! Promise: a record is whole before its sequence number says so, and it is only written while somebody traces. The run thread writes.

use super::gate::Gate;
use proto::gate::GateLayout;
use proto::gate::dispatches::{DispatchRecord, KernelName, NAMES};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

/// What has been written.
#[derive(Default)]
pub(super) struct Recorder {
    written: u64,
    /// Rows of the names that the gate has.
    names: HashMap<Arc<str>, u16>,
}

impl Recorder {
    /// Returns the row of a name, which is written if it is new and there is room.
    pub(super) fn name(&mut self, gate: &Gate, name: &Arc<str>) -> Option<u16> {
        if name.is_empty() {
            return None;
        }
        if let Some(row) = self.names.get(name) {
            return Some(*row);
        }
        let row = u16::try_from(self.names.len()).ok().filter(|row| usize::from(*row) < NAMES)?;
        let kept = KernelName::truncated(name);
        gate.put_bytes(GateLayout::trace_name(row) + 8, kept.as_str().as_bytes());
        gate.put(GateLayout::trace_name(row), kept.len() as u64);
        self.names.insert(Arc::clone(name), row);
        Some(row)
    }

    /// Writes a record over the oldest one.
    pub(super) fn write(&mut self, gate: &Gate, record: &DispatchRecord) {
        let slot = GateLayout::trace_slot(self.written);
        gate.at(slot).store(0, Ordering::Relaxed);
        // A reader that sees one of the words sees that the slot was opened.
        fence(Ordering::Release);
        for (word, value) in (1..).zip(record.pack()) {
            gate.at(slot + word * 8).store(value, Ordering::Relaxed);
        }
        self.written += 1;
        gate.put(slot, self.written);
        gate.put(GateLayout::TRACE_HEAD, self.written);
    }
}
