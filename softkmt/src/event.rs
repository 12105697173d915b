//! Events as the kernel driver has them.
//!
//! Setting an event that resets itself wakes *every* thread that waits for it, and is remembered only if nobody waits. (A first draft woke one
//! waiter; ROCr's `hsa_queue_destroy` hangs then, because all queues share an event on which two threads wait.) The GPU sets an
//! event by writing its number into the event's mailbox and raising an interrupt; the driver then looks through all mailboxes.
//!
//! A signal's event has an age, 1 at first, that every set adds to. Who says which age it has seen waits for nothing if the event is older, so that a set
//! between a look at the signal and the wait is not lost, whoever it woke.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::abi::{EVENT_MEMORY, EVENT_SIGNAL, HsaEvent, Status};

/// Events of a process at most, as in the driver.
pub(crate) const EVENTS_MAX: u32 = 4096;
/// What a mailbox holds while nobody has written it.
const UNSIGNALED: u64 = !0;
/// `HSA_EVENTTIMEOUT_INFINITE`.
const FOR_EVER: u32 = !0;

/// A fault that a memory event carries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) node: u32,
    pub(crate) address: u64,
    /// Bits of `HsaAccessAttributeFailure`.
    pub(crate) failure: u32,
}

#[derive(Debug)]
struct Event {
    kind: u32,
    auto_reset: bool,
    signaled: bool,
    /// Times it was set.
    sets: u64,
    waiters: u32,
    fault: Option<Fault>,
}

impl Event {
    fn age(&self) -> u64 {
        1 + self.sets
    }
}

/// All events of the process.
pub(crate) struct Events {
    table: Mutex<BTreeMap<u32, Event>>,
    changed: Condvar,
    /// One word for each event; kernels write them.
    mailboxes: Box<[AtomicU64]>,
}

impl Events {
    pub(crate) fn new() -> Events {
        let mailboxes = (0..EVENTS_MAX).map(|_| AtomicU64::new(UNSIGNALED)).collect();
        Events { table: Mutex::new(BTreeMap::new()), changed: Condvar::new(), mailboxes }
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<u32, Event>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns where the mailboxes lie and their bytes, for the GPU's address space.
    pub(crate) fn mailbox_range(&self) -> (u64, u64) {
        (self.mailboxes.as_ptr().expose_provenance() as u64, 8 * self.mailboxes.len() as u64)
    }

    /// Makes an event; returns its number and, of a signal event, its mailbox's address.
    pub(crate) fn create(&self, kind: u32, manual_reset: bool, signaled: bool) -> Result<(u32, u64), Status> {
        let mut table = self.table();
        // 0 is nobody's number.
        let id = (1..EVENTS_MAX).find(|id| !table.contains_key(id)).ok_or(Status::NoMemory)?;
        let event = Event { kind, auto_reset: !manual_reset, signaled, sets: 0, waiters: 0, fault: None };
        table.insert(id, event);
        self.mailboxes[id as usize].store(UNSIGNALED, Ordering::Release);
        let mailbox = if kind == EVENT_SIGNAL { self.mailbox_range().0 + 8 * u64::from(id) } else { 0 };
        Ok((id, mailbox))
    }

    /// Ends an event; who waits for it waits on for the others of its list.
    pub(crate) fn destroy(&self, id: u32) -> Result<(), Status> {
        let gone = self.table().remove(&id);
        self.changed.notify_all();
        gone.map(drop).ok_or(Status::InvalidHandle)
    }

    /// Sets an event. Late sets of events that are gone are not an error: SDMA engines do that.
    pub(crate) fn set(&self, id: u32) -> Result<(), Status> {
        let mut table = self.table();
        set(table.get_mut(&id).ok_or(Status::InvalidHandle)?);
        drop(table);
        self.changed.notify_all();
        Ok(())
    }

    /// Tells every memory event of a fault. Returns whether there was one.
    pub(crate) fn memory_fault(&self, fault: Fault) -> bool {
        let mut table = self.table();
        let mut told = false;
        for event in table.values_mut().filter(|event| event.kind == EVENT_MEMORY) {
            event.fault = Some(fault);
            set(event);
            told = true;
        }
        drop(table);
        self.changed.notify_all();
        told
    }

    /// The GPU raised an interrupt: sets the events whose mailbox was written.
    pub(crate) fn interrupt(&self) {
        let mut table = self.table();
        for (&id, event) in table.iter_mut() {
            if self.mailboxes[id as usize].swap(UNSIGNALED, Ordering::AcqRel) != UNSIGNALED {
                set(event);
            }
        }
        drop(table);
        self.changed.notify_all();
    }

    /// Waits for one event or all of them. `ages` is empty, or has for each the age that the caller has seen, 0 for one who does not look; what was
    /// waited for successfully has its present age there afterwards.
    pub(crate) fn wait(&self, events: &mut [HsaEvent], ages: &mut [u64], all: bool, milliseconds: u32) -> Status {
        let until = (milliseconds != FOR_EVER).then(|| Instant::now() + Duration::from_millis(milliseconds.into()));
        let mut table = self.table();
        // What is set already counts at once; of the others the next set does.
        let mut seen: Vec<Option<u64>> = Vec::with_capacity(events.len());
        for (at, event) in events.iter().enumerate() {
            let Some(event) = table.get_mut(&{ event.event_id }) else { return Status::InvalidHandle };
            let older = ages.get(at).is_some_and(|&age| age != 0 && event.kind == EVENT_SIGNAL && age != event.age());
            if event.signaled || older {
                event.signaled &= !event.auto_reset;
                seen.push(None);
            } else {
                seen.push(Some(event.sets));
            }
        }
        for event in events.iter() {
            if let Some(event) = table.get_mut(&{ event.event_id }) {
                event.waiters += 1;
            }
        }
        let status = loop {
            for (event, seen) in events.iter().zip(&mut seen) {
                let sets = table.get(&{ event.event_id }).map(|event| event.sets);
                if seen.is_some_and(|seen| sets.is_some_and(|sets| sets != seen)) {
                    *seen = None;
                }
            }
            let activated = seen.iter().filter(|seen| seen.is_none()).count();
            if activated > 0 && (!all || activated == events.len()) {
                break Status::Success;
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            table = match left {
                Some(Duration::ZERO) => break Status::WaitTimeout,
                Some(left) => self.changed.wait_timeout(table, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.changed.wait(table).unwrap_or_else(PoisonError::into_inner),
            };
        };
        for (at, (wanted, seen)) in events.iter_mut().zip(&seen).enumerate() {
            let Some(event) = table.get_mut(&{ wanted.event_id }) else { continue };
            event.waiters -= 1;
            if let (None, EVENT_SIGNAL, Some(age @ 1..)) = (seen, event.kind, ages.get_mut(at)) {
                *age = event.age();
            }
            if let (None, Some(fault)) = (seen, event.fault) {
                wanted.fault_node = fault.node;
                wanted.fault_address = fault.address;
                wanted.fault_failure = fault.failure;
                // Fatal for the process: nothing the GPU does is restartable here.
                wanted.fault_flags = 1;
            }
        }
        status
    }
}

fn set(event: &mut Event) {
    event.sets += 1;
    event.signaled = !event.auto_reset || event.waiters == 0;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle(id: u32) -> HsaEvent {
        // SAFETY: every field is an integer.
        HsaEvent { event_id: id, ..unsafe { std::mem::zeroed() } }
    }

    #[test]
    fn a_set_with_nobody_waiting_is_remembered_once() {
        let events = Events::new();
        let (id, mailbox) = events.create(EVENT_SIGNAL, false, false).unwrap();
        assert_ne!((id, mailbox), (0, 0));
        assert_eq!(events.wait(&mut [handle(id)], &mut [], false, 0), Status::WaitTimeout);
        events.set(id).unwrap();
        events.set(id).unwrap();
        assert_eq!(events.wait(&mut [handle(id)], &mut [], false, 0), Status::Success);
        assert_eq!(events.wait(&mut [handle(id)], &mut [], false, 0), Status::WaitTimeout);
    }

    #[test]
    fn a_set_wakes_everybody_who_waits() {
        let events = Events::new();
        let (id, _) = events.create(EVENT_SIGNAL, false, false).unwrap();
        std::thread::scope(|scope| {
            let waiters: Vec<_> =
                (0..2).map(|_| scope.spawn(|| events.wait(&mut [handle(id)], &mut [], false, FOR_EVER))).collect();
            while events.table()[&id].waiters < 2 {
                std::thread::yield_now();
            }
            events.set(id).unwrap();
            for waiter in waiters {
                assert_eq!(waiter.join().unwrap(), Status::Success);
            }
        });
        assert_eq!(events.wait(&mut [handle(id)], &mut [], false, 0), Status::WaitTimeout, "nothing is left over");
    }

    #[test]
    fn whoever_has_seen_a_younger_event_waits_for_nothing() {
        let events = Events::new();
        let (id, _) = events.create(EVENT_SIGNAL, false, false).unwrap();
        let wait = |age: &mut u64| events.wait(&mut [handle(id)], std::slice::from_mut(age), false, 0);
        let (mut mine, mut another, mut blind) = (1, 1, 0);
        assert_eq!((wait(&mut mine), mine), (Status::WaitTimeout, 1));
        events.set(id).unwrap();
        assert_eq!((wait(&mut mine), mine), (Status::Success, 2));
        assert_eq!((wait(&mut mine), mine), (Status::WaitTimeout, 2));
        assert_eq!((wait(&mut blind), blind), (Status::WaitTimeout, 0), "the set was taken");
        assert_eq!((wait(&mut another), another), (Status::Success, 2), "and yet was not missed");
    }

    #[test]
    fn an_interrupt_sets_the_events_whose_mailbox_was_written() {
        let events = Events::new();
        let (first, _) = events.create(EVENT_SIGNAL, false, false).unwrap();
        let (second, _) = events.create(EVENT_SIGNAL, false, false).unwrap();
        events.mailboxes[second as usize].store(u64::from(second), Ordering::Release);
        events.interrupt();
        assert_eq!(events.wait(&mut [handle(first)], &mut [], false, 0), Status::WaitTimeout);
        assert_eq!(events.wait(&mut [handle(first), handle(second)], &mut [], false, 0), Status::Success);
        events.interrupt();
        assert_eq!(events.wait(&mut [handle(second)], &mut [], false, 0), Status::WaitTimeout);
    }

    #[test]
    fn a_memory_fault_travels_with_its_event() {
        let events = Events::new();
        let (id, mailbox) = events.create(EVENT_MEMORY, true, false).unwrap();
        assert_eq!(mailbox, 0);
        assert!(events.memory_fault(Fault { node: 1, address: 0xdead_0000, failure: 1 }));
        let mut told = [handle(id)];
        assert_eq!(events.wait(&mut told, &mut [], false, 0), Status::Success);
        assert_eq!(({ told[0].fault_node }, { told[0].fault_address }, { told[0].fault_flags }), (1, 0xdead_0000, 1));
    }
}
