//! Global wave sync: 64 counters of a session on which waves of all compute units wait for each other.
//!
//! A barrier lets its waves go when as many have arrived as its counter was told, then begins anew with the number that the last one
//! brought; a semaphore lets go whom its counter has room for. A wave that has to wait gives up its turn and asks again, so a wait
//! can be suspended like anything else. Source: AMD "Instinct MI200" ISA document, `DS_GWS_*`.

use super::cx::{Cx, Flow};
use super::inst::{Inst, Src};
use super::mode::M0;
use crate::arch::LANES;
use std::sync::{Mutex, PoisonError};

/// Counters of a session.
const RESOURCES: usize = 64;

#[derive(Clone, Copy, Debug, Default)]
struct Resource {
    counter: u32,
    /// How often everybody who waited was let go.
    released: u64,
}

/// The counters of a session. They stay with it while it is suspended.
#[derive(Debug)]
pub(crate) struct Gws(Mutex<[Resource; RESOURCES]>);

impl Default for Gws {
    fn default() -> Gws {
        Gws(Mutex::new([Resource::default(); RESOURCES]))
    }
}

impl Cx<'_> {
    /// Works on the counter that the instruction names.
    fn resource<R>(&mut self, i: &Inst, then: impl FnOnce(&mut Resource) -> R) -> R {
        let number = (self.s[M0] >> 16).wrapping_add(i.imm as u32 & 0xff) as usize % RESOURCES;
        let mut resources = self.gws.0.lock().unwrap_or_else(PoisonError::into_inner);
        then(&mut resources[number])
    }

    /// The value of the first active lane.
    fn first_lane(&self, src: Src) -> u32 {
        self.lanes(src, 0)[self.exec().trailing_zeros() as usize % LANES]
    }

    pub(crate) fn gws_init(&mut self, i: &Inst) -> Flow {
        let counter = self.first_lane(i.src[0]);
        self.resource(i, |r| r.counter = counter);
        Flow::Next
    }

    pub(crate) fn gws_barrier(&mut self, i: &Inst) -> Flow {
        if let Some(seen) = self.w.gws_waits {
            return self.gws_look(i, seen);
        }
        let again = self.first_lane(i.src[0]);
        let waits = self.resource(i, |r| {
            if r.counter == 0 {
                r.counter = again;
                r.released += 1;
                None
            } else {
                r.counter -= 1;
                Some(r.released)
            }
        });
        self.gws_queue(i, waits)
    }

    /// `ds_gws_sema_v` and `ds_gws_sema_br`: makes room for one, or for as many as the data says.
    pub(crate) fn gws_give(&mut self, i: &Inst, many: bool) -> Flow {
        let room = if many { self.first_lane(i.src[0]) } else { 1 };
        self.resource(i, |r| r.counter = r.counter.saturating_add(room));
        Flow::Next
    }

    /// `ds_gws_sema_p`: waits for room, or for everybody to be let go.
    pub(crate) fn gws_take(&mut self, i: &Inst) -> Flow {
        let seen = self.w.gws_waits;
        let waits = self.resource(i, |r| {
            if r.counter > 0 {
                r.counter -= 1;
                return None;
            }
            let first_seen = seen.unwrap_or(r.released);
            (r.released == first_seen).then_some(first_seen)
        });
        self.gws_queue(i, waits)
    }

    pub(crate) fn gws_release_all(&mut self, i: &Inst) -> Flow {
        self.resource(i, |r| r.released += 1);
        Flow::Next
    }

    fn gws_look(&mut self, i: &Inst, seen: u64) -> Flow {
        let waits = self.resource(i, |r| (r.released == seen).then_some(seen));
        self.gws_queue(i, waits)
    }

    fn gws_queue(&mut self, i: &Inst, waits: Option<u64>) -> Flow {
        self.w.gws_waits = waits;
        if waits.is_some() { self.wait(i) } else { Flow::Next }
    }
}
