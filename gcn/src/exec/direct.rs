//! Loads from memory straight into LDS: lane `n`'s value becomes the `n`-th dword from where M0 and the instruction's offset point.
//!
//! Bytes and halves are widened to the dword. Source: AMD "Instinct MI200" ISA document, "Memory buffer load to LDS".

use super::cx::{Cx, Flow};
use super::inst::Inst;
use super::mode::M0;
use super::numeric::{sext8, sext16};
use crate::isa::Encoding;
use crate::memory::{LaneFault, active};

/// First opcode of the ordinary loads and of those that can do nothing else.
const LOADS: u16 = 16;
const LDS_LOADS: u16 = 38;

impl Cx<'_> {
    /// Any load with the `lds` bit or of the `_lds_` kind.
    pub(crate) fn load_to_lds(&mut self, i: &Inst) -> Flow {
        let row = i.row();
        let first = if row.op >= LDS_LOADS { LDS_LOADS } else { LOADS };
        let (bytes, widen): (usize, fn(u32) -> u32) = match row.op.wrapping_sub(first) {
            0 => (1, |x| x),
            1 => (1, sext8),
            2 => (2, |x| x),
            3 => (2, sext16),
            4 => (4, |x| x),
            _ => return self.unsupported_form(i, "LDS as the destination"),
        };
        let at = match row.encoding {
            Encoding::Mubuf => self.buffer_addresses(i, bytes as u64),
            Encoding::Scratch => match self.scratch_addresses(i, bytes as u64) {
                Ok(at) => at,
                Err((kind, lane)) => return self.fault(kind, Some(lane)),
            },
            _ => self.global_addresses(i),
        };
        let base = (self.s[M0] & 0xffff).wrapping_add(i.imm as u32);
        for lane in active(self.exec()) {
            let mut raw = [0; 4];
            // What lies outside of a buffer reads as zero.
            if at.mask >> lane & 1 == 1
                && let Err(fault) = self.mem.read(at.address[lane], &mut raw[..bytes])
            {
                return self.lane_fault(LaneFault { lane: lane as u8, fault });
            }
            let to = base.wrapping_add(4 * lane as u32) as usize;
            if let Some(word) = self.lds_window().get_mut(to..to.wrapping_add(4)) {
                word.copy_from_slice(&widen(u32::from_le_bytes(raw)).to_le_bytes());
            }
        }
        Flow::Next
    }
}
