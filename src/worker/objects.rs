//! What a tenant's session owns, and the requests that change it: buffers, queues, code objects.
//!
//! Promise: whatever a tenant asks is either done, or denied with nothing changed. Claims are checked here or by the device; each object
//! is charged before it exists and given back after the last of it is unmapped.

use super::aliases::AliasBooks;
use super::link::{Charge, NoCharge, Over};
use super::shared::{Command, Pool, Shared};
use super::{DESCRIPTORS_MAX, KEPT_MAX};
use crate::device::{
    AliasPart, Allocate, Allocation, CuMask, DeviceError, DeviceFacts, DeviceMemory, Priority, QueueSpec, Rights,
};
use gcn::code_object::CodeObject;
use gcn::hardware::CuHardware;
use proto::aql::PacketHeader;
use proto::limits::{
    BUFFERS_PER_SESSION_MAX, CODE_OBJECT_BYTES_MAX, CODE_OBJECTS_PER_SESSION_MAX, COPY_BYTES_MAX,
    QUEUES_PER_SESSION_MAX, SIGNAL_POOLS_PER_SESSION_MAX,
};
use proto::message::tenant::{
    AliasPlaced, AllocBuffer, BufferExported, BufferKind, BufferReady, BufferShared, CodeReady, CodeShared, CopyMemory,
    CreateQueue, Denied, Done, ExportBuffer, ImportBuffer, LoadCode, MapBuffer, MemoryUse, PlaceAlias, QueuePriority,
    QueueReady, SetQueueUnits, Symbol, SymbolKind,
};
use proto::message::worker::ChargeKind;
use proto::message::{DenyCode, TenantAnswer, TenantRequest};
use proto::queue::QueueLayout;
use proto::range::RingSlots;
use proto::signal::PoolLayout;
use proto::text::Text;
use proto::{BufferId, Bytes, CodeId, DeviceAddress, QueueId};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use sys::fence;
use sys::mapping::{Access, Mapping};
use sys::memfd::{MemFd, MemoryError};

/// An answer, with the memory it hands over.
pub(super) type Answer = (TenantAnswer, Option<MemFd>);

/// Why a request is not answered as asked.
#[derive(Debug)]
pub(super) enum No {
    /// Denied; the session goes on.
    Denied(Box<Denied>),
    /// The session is about to end, by somebody else's doing.
    Ending,
}

impl No {
    pub(super) fn because(code: DenyCode, text: impl AsRef<str>) -> No {
        No::over(Over { code, asked: 0, limit: 0, used: 0 }, text)
    }

    fn over(over: Over, text: impl AsRef<str>) -> No {
        let Over { code, asked, limit, used } = over;
        No::Denied(Box::new(Denied { code, asked, limit, used, text: Text::truncated(text.as_ref()) }))
    }

    pub(super) fn objects(what: &str, limit: usize) -> No {
        let over = Over { code: DenyCode::Objects, asked: 1, limit: limit as u64, used: limit as u64 };
        No::over(over, format!("a session has at most {limit} {what}; free some, or put several into one"))
    }

    fn unknown(what: impl std::fmt::Display) -> No {
        No::because(DenyCode::UnknownObject, format!("this session has no {what}"))
    }
}

impl From<NoCharge> for No {
    fn from(no: NoCharge) -> No {
        let over = match no {
            NoCharge::BrokerGone => return No::Ending,
            NoCharge::Denied(over) => over,
        };
        No::over(
            over,
            match over.code {
                DenyCode::Vram => "over the tenant's device-memory limit; free some, or ask the administrator for more",
                DenyCode::HostMemory => {
                    "over the tenant's host-memory limit; free some, or ask the administrator for more"
                }
                DenyCode::Queues => "over the tenant's queue limit; destroy some, or ask the administrator for more",
                DenyCode::Objects => "the session has as many objects as it may have; free some",
                DenyCode::Size => "not a size that memory comes in; ask for more than nothing and less than the limit",
                DenyCode::Ending => "the session is ending; connect again",
                DenyCode::NotAllowed => {
                    "this tenant may not share so with that one; ask the administrator for `wavegate tenant set NAME share=OTHER:read`"
                }
                DenyCode::UnknownObject => {
                    "there is nothing by that name, or it is not for this tenant; ask its owner for a grant"
                }
                _ => "the host is out of memory or descriptors; try again later",
            },
        )
    }
}

impl From<DeviceError> for No {
    fn from(error: DeviceError) -> No {
        let code = match &error {
            DeviceError::OutOfMemory { .. } => DenyCode::Vram,
            DeviceError::Range { .. } => DenyCode::Address,
            DeviceError::Code(_) | DeviceError::WrongTarget { .. } => DenyCode::Code,
            DeviceError::NoSuchMemory { .. } => DenyCode::Range,
            DeviceError::Contract { .. } => DenyCode::Unsupported,
            DeviceError::Ring { .. }
            | DeviceError::Unscrubbed { .. }
            | DeviceError::NoScrub { .. }
            | DeviceError::Memory(_)
            | DeviceError::Threads(_)
            | DeviceError::Runtime(_) => DenyCode::Host,
        };
        No::because(code, error.to_string())
    }
}

impl From<MemoryError> for No {
    fn from(error: MemoryError) -> No {
        No::because(DenyCode::Host, error.to_string())
    }
}

struct BufferEntry {
    address: u64,
    bytes: u64,
    kind: BufferKind,
    charge: Charge,
    /// Kept so that it can be offered to the tenant's other sessions; `None` where there are too many to keep them all.
    memory: Option<MemFd>,
}

struct QueueEntry {
    address: u64,
    charge: Charge,
    /// Whether it is narrowed to some compute units.
    narrowed: bool,
}

struct CodeEntry {
    object: CodeObject,
    /// Where its memory was allocated.
    address: u64,
    /// Where its image is: the same, unless the device puts code where it wants.
    image: u64,
    charge: Charge,
}

/// See the module.
pub(super) struct Objects {
    shared: Arc<Shared>,
    memory: Arc<dyn DeviceMemory>,
    device: DeviceFacts,
    buffers: HashMap<BufferId, BufferEntry>,
    pools: usize,
    queues: HashMap<QueueId, QueueEntry>,
    codes: HashMap<CodeId, CodeEntry>,
    last: u32,
    aliases: AliasBooks,
    /// Of how many buffers a descriptor is kept, and at most.
    kept: usize,
    kept_max: usize,
    /// Where a suspended context is kept. Charged with the first queue, given back with the last.
    save_area: Option<Charge>,
}

impl Objects {
    pub(super) fn new(shared: Arc<Shared>, memory: Arc<dyn DeviceMemory>, device: DeviceFacts) -> Objects {
        if let Some(aliases) = memory.aliases() {
            let asked = Arc::clone(&shared);
            aliases.set_supplier(Box::new(move |address, there| asked.supply(address, there)));
        }
        Objects {
            aliases: AliasBooks::default(),
            kept: 0,
            kept_max: usize::try_from(fence::descriptors(KEPT_MAX + DESCRIPTORS_MAX).saturating_sub(DESCRIPTORS_MAX))
                .unwrap_or(0),
            shared,
            memory,
            device,
            buffers: HashMap::new(),
            pools: 0,
            queues: HashMap::new(),
            codes: HashMap::new(),
            last: 0,
            save_area: None,
        }
    }

    /// Carries a request out. `Goodbye` is not one of these: it ends the session, which is the caller's.
    pub(super) fn handle(&mut self, request: TenantRequest) -> Result<Answer, No> {
        let done = |()| (Done {}.into(), None);
        match request {
            TenantRequest::AllocBuffer(wanted) => self.alloc_buffer(&wanted),
            TenantRequest::FreeBuffer(which) => self.free_buffer(which.buffer).map(done),
            TenantRequest::ExportBuffer(wanted) => self.export_buffer(&wanted),
            TenantRequest::WithdrawBuffer(which) => {
                let entry = self.buffers.get(&which.buffer).ok_or_else(|| No::unknown(which.buffer))?;
                self.shared.link.withdraw(&entry.charge);
                Ok(done(()))
            }
            TenantRequest::ImportBuffer(wanted) => self.import_buffer(&wanted),
            TenantRequest::CreateQueue(wanted) => self.create_queue(&wanted),
            TenantRequest::DestroyQueue(which) => self.destroy_queue(which.queue).map(done),
            TenantRequest::SetQueueUnits(wanted) => self.set_units(&wanted).map(done),
            TenantRequest::SetQueuePriority(wanted) => {
                self.queues.get(&wanted.queue).ok_or_else(|| No::unknown(wanted.queue))?;
                self.check_priority(wanted.priority)?;
                self.set_priority(wanted.queue, wanted.priority).map(done)
            }
            TenantRequest::LoadCode(wanted) => self.load_code(&wanted),
            TenantRequest::UnloadCode(which) => self.unload_code(which.code).map(done),
            TenantRequest::FindSymbol(wanted) => {
                let code = self.codes.get(&wanted.code).ok_or_else(|| No::unknown(wanted.code))?;
                let name = wanted.name.as_str();
                let found = code.kernel(name).or_else(|| code.variable(name));
                let missing =
                    || No::because(DenyCode::UnknownSymbol, format!("the code object has no symbol {name:?}"));
                found.ok_or_else(missing).map(|symbol| (symbol.into(), None))
            }
            TenantRequest::SymbolAt(wanted) => {
                let code = self.codes.get(&wanted.code).ok_or_else(|| No::unknown(wanted.code))?;
                let missing = || {
                    let (index, count) = (wanted.index, code.symbols());
                    No::because(DenyCode::UnknownSymbol, format!("symbol {index} of {count}: they count from 0"))
                };
                code.symbol_at(wanted.index).ok_or_else(missing).map(|symbol| (symbol.into(), None))
            }
            TenantRequest::QueryMemory(_) => Ok((self.memory_use().into(), None)),
            TenantRequest::OpenAlias(wanted) => {
                self.aliases.open(&*self.memory, wanted.at.0, wanted.bytes.0, wanted.ask != 0).map(done)
            }
            TenantRequest::CloseAlias(which) => self.aliases.close(&*self.memory, which.at.0).map(done),
            TenantRequest::MapBuffer(wanted) => self.map_buffer(&wanted).map(done),
            TenantRequest::UnmapBuffer(which) => self.aliases.unmap(&*self.memory, which.at.0).map(done),
            TenantRequest::RefuseTouch(which) => {
                self.shared.refuse_touch(which.at.0);
                Ok(done(()))
            }
            TenantRequest::CopyMemory(wanted) => self.copy(&wanted).map(done),
            TenantRequest::PlaceAlias(wanted) => self.place_alias(&wanted),
            TenantRequest::Goodbye(_) => Err(No::Ending),
        }
    }

    fn next_id(&mut self) -> u32 {
        // Wraps after four billion objects; ids of living ones are still told apart by the maps' size bounds and this check.
        loop {
            self.last = self.last.wrapping_add(1);
            let id = self.last;
            let taken = self.buffers.contains_key(&BufferId(id))
                || self.queues.contains_key(&QueueId(id))
                || self.codes.contains_key(&CodeId(id));
            if id != 0 && !taken {
                return id;
            }
        }
    }

    /// Charges memory and lets kernels see it. On any failure nothing is left.
    fn pin(&self, kind: ChargeKind, bytes: u64, rights: Rights, at: DeviceAddress) -> Result<Pinned, No> {
        check_place(at)?;
        let by_driver = matches!(kind, ChargeKind::Vram | ChargeKind::Code) && !self.device.vram_mappable;
        let (charge, memory) = if by_driver {
            (self.shared.link.charge_amount(kind, bytes)?, None)
        } else {
            let (charge, memory) = self.shared.link.charge_memory(kind, bytes)?;
            (charge, Some(memory))
        };
        self.pin_charged(charge, memory, kind, rights, at)
    }

    /// Lets kernels see memory that is charged. On any failure nothing is left, the charge neither.
    fn pin_charged(
        &self,
        charge: Charge,
        memory: Option<MemFd>,
        kind: ChargeKind,
        rights: Rights,
        at: DeviceAddress,
    ) -> Result<Pinned, No> {
        // Everything of ours is closed when this returns; only then may the charge be given back.
        let shown = self.show(&charge, memory.as_ref(), kind, rights, at);
        match shown {
            Ok(Allocation { address, bytes }) => Ok(Pinned { charge, memory, address, bytes }),
            Err(no) => {
                drop(memory);
                self.shared.link.release(charge);
                Err(no)
            }
        }
    }

    fn show(
        &self,
        charge: &Charge,
        memory: Option<&MemFd>,
        kind: ChargeKind,
        rights: Rights,
        at: DeviceAddress,
    ) -> Result<Allocation, No> {
        let pool = match kind {
            ChargeKind::Vram | ChargeKind::Code | ChargeKind::SaveArea | ChargeKind::Scratch => {
                crate::device::Pool::Vram
            }
            ChargeKind::Host | ChargeKind::Kernarg | ChargeKind::Signals | ChargeKind::Queue => {
                crate::device::Pool::Host
            }
        };
        let backing = memory.map(MemFd::duplicate).transpose()?;
        let address = (at.0 != 0).then_some(at.0);
        Ok(self.memory.allocate(Allocate { pool, bytes: charge.bytes, rights, address, backing })?)
    }

    /// Takes memory away from kernels and gives its charge back.
    fn unpin(&self, address: u64, charge: Charge) {
        // It was allocated there by us, and nobody else frees.
        let freed = self.memory.free(address);
        debug_assert!(freed.is_ok(), "{freed:?}");
        self.shared.link.release(charge);
    }

    // Buffers.

    fn alloc_buffer(&mut self, wanted: &AllocBuffer) -> Result<Answer, No> {
        if self.buffers.len() >= BUFFERS_PER_SESSION_MAX {
            return Err(No::objects("buffers", BUFFERS_PER_SESSION_MAX));
        }
        let bytes = self.check_bytes(wanted.kind, wanted.bytes)?;
        let kind = match wanted.kind {
            BufferKind::Vram => ChargeKind::Vram,
            BufferKind::Host => ChargeKind::Host,
            BufferKind::Kernarg => ChargeKind::Kernarg,
            BufferKind::Signals => ChargeKind::Signals,
        };
        let pinned = self.pin(kind, bytes.0, Rights::ReadWrite, wanted.at)?;
        let Pinned { charge, memory, address, bytes } = self.watch_pool(wanted.kind, pinned)?;
        let kept = memory.as_ref().and_then(|memory| self.keep(memory));
        let entry = BufferEntry { address, bytes, kind: wanted.kind, charge, memory: kept };
        Ok(ready(self.add_buffer(entry), memory))
    }

    /// Checks how much memory is wanted, and that there may be one more pool of signals if it is one.
    fn check_bytes(&self, kind: BufferKind, wanted: Bytes) -> Result<Bytes, No> {
        let is_pool = kind == BufferKind::Signals;
        if is_pool && self.pools >= SIGNAL_POOLS_PER_SESSION_MAX {
            return Err(No::objects("signal pools", SIGNAL_POOLS_PER_SESSION_MAX));
        }
        let bytes = wanted.round_up_to_page().filter(|b| b.0 > 0);
        let bytes = bytes.filter(|&b| !is_pool || (PoolLayout::of(b).is_some() && b <= POOL_BYTES_MAX));
        bytes.ok_or_else(|| {
            let over = Over { code: DenyCode::Size, asked: wanted.0, limit: 0, used: 0 };
            No::over(over, "no such buffer can exist; ask for more than nothing, and for at most 4096 signals a pool")
        })
    }

    /// Has waiters of signals in this memory woken, if it is a pool of them. On failure nothing is left, the charge neither.
    fn watch_pool(&mut self, kind: BufferKind, pinned: Pinned) -> Result<Pinned, No> {
        if kind != BufferKind::Signals {
            return Ok(pinned);
        }
        // Signals of a device that has memory of its own are no pool of ours.
        let Some(memory) = &pinned.memory else { return Ok(pinned) };
        match Mapping::new(memory, Access::ReadWrite) {
            // PANIC free: that a pool of this size has signals was checked before it was pinned.
            Ok(mapping) => Pool::new(pinned.address, mapping).into_iter().for_each(|pool| self.shared.add_pool(pool)),
            Err(error) => {
                let Pinned { charge, memory, address, .. } = pinned;
                drop(memory);
                self.unpin(address, charge);
                return Err(error.into());
            }
        }
        self.pools += 1;
        Ok(pinned)
    }

    /// Keeps a descriptor of memory, as long as there are enough left for everything else.
    fn keep(&mut self, memory: &MemFd) -> Option<MemFd> {
        let copy = (self.kept < self.kept_max).then(|| memory.duplicate().ok()).flatten();
        self.kept += usize::from(copy.is_some());
        copy
    }

    fn add_buffer(&mut self, entry: BufferEntry) -> BufferReady {
        let id = BufferId(self.next_id());
        let ready = BufferReady { buffer: id, bytes: Bytes(entry.bytes), address: DeviceAddress(entry.address) };
        self.buffers.insert(id, entry);
        ready
    }

    /// Offers a buffer to other sessions.
    fn export_buffer(&self, wanted: &ExportBuffer) -> Result<Answer, No> {
        let entry = self.buffers.get(&wanted.buffer).ok_or_else(|| No::unknown(wanted.buffer))?;
        if self.device.chooses_addresses {
            return Err(No::because(DenyCode::Unsupported, STAYS));
        }
        let memory = entry.memory.as_ref().ok_or_else(|| No::because(DenyCode::Unsupported, NOT_KEPT))?;
        let share = self.shared.link.share(&entry.charge, memory, wanted.tenant, wanted.write)?;
        Ok((BufferExported { share }.into(), None))
    }

    /// Lets this session see a buffer of another one.
    fn import_buffer(&mut self, wanted: &ImportBuffer) -> Result<Answer, No> {
        if self.buffers.len() >= BUFFERS_PER_SESSION_MAX {
            return Err(No::objects("buffers", BUFFERS_PER_SESSION_MAX));
        }
        if self.device.chooses_addresses {
            return Err(No::because(DenyCode::Unsupported, STAYS));
        }
        check_place(wanted.at)?;
        self.check_bytes(wanted.kind, wanted.bytes)?;
        let (charge, memory) = self.shared.link.join(wanted.share, wanted.bytes.0)?;
        let rights = if memory.is_writable() { Rights::ReadWrite } else { Rights::Read };
        // To the device it is memory that is there anyway.
        let pinned = self.pin_charged(charge, Some(memory), ChargeKind::Host, rights, wanted.at)?;
        let Pinned { charge, memory, address, bytes } = self.watch_pool(wanted.kind, pinned)?;
        // What was joined is not passed on, so nothing of it is kept.
        let entry = BufferEntry { address, bytes, kind: wanted.kind, charge, memory: None };
        Ok(ready(self.add_buffer(entry), memory))
    }

    fn free_buffer(&mut self, id: BufferId) -> Result<(), No> {
        let entry = self.buffers.remove(&id).ok_or_else(|| No::unknown(id))?;
        // What is mapped a second time goes with the buffer: its charge must not outlive its memory.
        self.aliases.unmap_all(&*self.memory, id);
        if entry.kind == BufferKind::Signals {
            self.shared.remove_pool(entry.address);
            self.pools -= 1;
        }
        self.kept -= usize::from(entry.memory.is_some());
        drop(entry.memory);
        self.unpin(entry.address, entry.charge);
        Ok(())
    }

    fn map_buffer(&mut self, wanted: &MapBuffer) -> Result<(), No> {
        let claim = wanted.part;
        let buffer = self.buffers.get(&claim.buffer).ok_or_else(|| No::unknown(claim.buffer))?;
        let range = claim.check(Bytes(buffer.bytes)).map_err(|bad| No::because(DenyCode::Range, bad.to_string()))?;
        let (offset, bytes) = (range.offset().0, range.bytes().0);
        let of = (claim.buffer, buffer.address);
        self.aliases.map(&*self.memory, of, (offset, bytes), wanted.at.0, wanted.write != 0)?;
        self.shared.touches_changed();
        Ok(())
    }

    /// Has the device copy, where tenants cannot do it themselves. Whose memory it is, the device knows.
    fn copy(&self, wanted: &CopyMemory) -> Result<(), No> {
        if self.device.vram_mappable {
            return Err(No::because(DenyCode::Unsupported, "all memory of this device can be mapped; copy it there"));
        }
        if wanted.bytes.0 > COPY_BYTES_MAX {
            let over = Over { code: DenyCode::Size, asked: wanted.bytes.0, limit: COPY_BYTES_MAX, used: 0 };
            return Err(No::over(over, "too much for one request; copy it in pieces"));
        }
        Ok(self.memory.copy(wanted.to.0, wanted.from.0, wanted.bytes.0)?)
    }

    /// Has the device place an alias. Its parts are host memory of the session that it has kept the descriptors of.
    fn place_alias(&mut self, wanted: &PlaceAlias) -> Result<Answer, No> {
        let page = sys::page_size() as u64;
        let (mut parts, mut buffers) = (Vec::new(), Vec::new());
        for claim in wanted.parts.iter().filter(|claim| claim.bytes.0 > 0) {
            let buffer = self.buffers.get(&claim.buffer).ok_or_else(|| No::unknown(claim.buffer))?;
            let range =
                claim.check(Bytes(buffer.bytes)).map_err(|bad| No::because(DenyCode::Range, bad.to_string()))?;
            let (offset, bytes) = (range.offset().0, range.bytes().0);
            if !offset.is_multiple_of(page) || !bytes.is_multiple_of(page) {
                return Err(No::because(DenyCode::Range, "parts of an alias are whole pages"));
            }
            let object = buffer.memory.as_ref().ok_or_else(|| No::because(DenyCode::Unsupported, NOT_KEPT))?;
            parts.push(AliasPart { object, offset, bytes });
            buffers.push(claim.buffer);
        }
        if parts.is_empty() {
            return Err(No::because(DenyCode::Range, "an alias of nothing; name parts of buffers"));
        }
        let at = self.aliases.place(&*self.memory, &parts, buffers)?;
        Ok((AliasPlaced { at: DeviceAddress(at) }.into(), None))
    }

    fn memory_use(&self) -> MemoryUse {
        let (limits, usage) = self.shared.link.limits();
        MemoryUse {
            vram_limit: Bytes(limits.vram.0.min(self.device.vram_bytes)),
            vram_used: Bytes(usage.vram),
            host_limit: limits.host_memory,
            host_used: Bytes(usage.host),
        }
    }

    // Queues.

    fn create_queue(&mut self, wanted: &CreateQueue) -> Result<Answer, No> {
        let slots = RingSlots::new(wanted.slots).ok_or_else(|| {
            let over = Over { code: DenyCode::Size, asked: wanted.slots.into(), limit: 0, used: 0 };
            No::over(over, "a ring has 64 to 131072 slots, a power of two")
        })?;
        self.check_priority(wanted.priority)?;
        if self.queues.len() >= QUEUES_PER_SESSION_MAX {
            return Err(No::objects("queues", QUEUES_PER_SESSION_MAX));
        }
        if self.queues.values().any(|queue| queue.narrowed) {
            return Err(No::because(DenyCode::Unsupported, NARROWED));
        }
        let save_area = match self.save_area {
            Some(_) => None,
            None => Some(self.shared.link.charge_amount(ChargeKind::SaveArea, self.context_bytes())?),
        };
        match self.create_charged_queue(slots, wanted.at) {
            Ok((id, answer)) => {
                self.save_area = self.save_area.take().or(save_area);
                if wanted.priority != QueuePriority::Normal
                    && let Err(no) = self.set_priority(id, wanted.priority)
                {
                    self.destroy_queue(id)?;
                    return Err(no);
                }
                Ok(answer)
            }
            Err(no) => {
                if let Some(charge) = save_area {
                    self.shared.link.release(charge);
                }
                Err(no)
            }
        }
    }

    /// Returns the most that a suspended context can have.
    fn context_bytes(&self) -> u64 {
        u64::from(self.device.compute_units) * size_of::<CuHardware>() as u64
    }

    fn create_charged_queue(&mut self, slots: RingSlots, at: DeviceAddress) -> Result<(QueueId, Answer), No> {
        let layout = QueueLayout::new(slots);
        let Pinned { charge, memory, address, .. } =
            self.pin(ChargeKind::Queue, layout.bytes().0, Rights::ReadWrite, at)?;
        // PANIC free: memory of the host always has an object.
        let Some(memory) = memory else {
            self.unpin(address, charge);
            return Err(No::because(DenyCode::Host, "a queue without memory"));
        };
        let id = QueueId(self.next_id());
        match self.begin_queue(id, layout, &memory, address) {
            Ok(()) => {
                self.queues.insert(id, QueueEntry { address, charge, narrowed: false });
                let answer = QueueReady { queue: id, slots: slots.get(), address: DeviceAddress(address) };
                Ok((id, (answer.into(), Some(memory))))
            }
            Err(no) => {
                drop(memory);
                self.unpin(address, charge);
                Err(no)
            }
        }
    }

    fn begin_queue(&self, id: QueueId, layout: QueueLayout, memory: &MemFd, address: u64) -> Result<(), No> {
        let mapping = Arc::new(Mapping::new(memory, Access::ReadWrite)?);
        // Zero is the header of a vendor packet, so an empty slot has to say that it is one.
        let empty = u32::from(PacketHeader::INVALID.0);
        for index in 0..u64::from(layout.slots().get()) {
            let stored = mapping.store_u32(layout.slot(index), empty);
            debug_assert!(stored.is_ok(), "the object has the layout's size");
        }
        let spec = QueueSpec {
            ring: address + QueueLayout::RING as u64,
            slots: layout.slots().get(),
            read_index: address + QueueLayout::READ_INDEX as u64,
            structure: address,
        };
        self.command(|reply| Command::CreateQueue { id, spec, memory: mapping, reply })?.map_err(No::from)
    }

    /// Has the run thread do something, and waits for what comes of it.
    fn command<T>(&self, make: impl FnOnce(SyncSender<T>) -> Command) -> Result<T, No> {
        let (reply, answer) = sync_channel(1);
        if !self.shared.command(make(reply)) {
            return Err(No::Ending);
        }
        answer.recv().map_err(|_| No::Ending)
    }

    fn destroy_queue(&mut self, id: QueueId) -> Result<(), No> {
        if !self.queues.contains_key(&id) {
            return Err(No::unknown(id));
        }
        self.command(|reply| Command::DestroyQueue { id, reply })?;
        let Some(entry) = self.queues.remove(&id) else { return Ok(()) };
        self.unpin(entry.address, entry.charge);
        if entry.narrowed {
            self.apply_units(&[u32::MAX; UNIT_WORDS])?;
        }
        if self.queues.is_empty()
            && let Some(charge) = self.save_area.take()
        {
            self.shared.link.release(charge);
        }
        Ok(())
    }

    fn check_priority(&self, priority: QueuePriority) -> Result<(), No> {
        if self.device.queue_priorities || priority == QueuePriority::Normal {
            return Ok(());
        }
        Err(No::because(DenyCode::Unsupported, "this device serves all queues of a session alike; use normal"))
    }

    fn set_priority(&self, id: QueueId, priority: QueuePriority) -> Result<(), No> {
        if !self.device.queue_priorities {
            return Ok(());
        }
        let priority = match priority {
            QueuePriority::Low => Priority::Low,
            QueuePriority::Normal => Priority::Normal,
            QueuePriority::High => Priority::High,
        };
        self.command(|reply| Command::SetPriority { id, priority, reply })?.map_err(No::from)
    }

    fn set_units(&mut self, wanted: &SetQueueUnits) -> Result<(), No> {
        if !self.queues.contains_key(&wanted.queue) {
            return Err(No::unknown(wanted.queue));
        }
        let mut words = [0; UNIT_WORDS];
        for (word, bytes) in words.iter_mut().zip(wanted.mask.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        let narrowed = words != [0; UNIT_WORDS];
        if narrowed && self.queues.len() > 1 {
            return Err(No::because(DenyCode::Unsupported, NARROWED));
        }
        self.apply_units(if narrowed { &words } else { &[u32::MAX; UNIT_WORDS] })?;
        if let Some(queue) = self.queues.get_mut(&wanted.queue) {
            queue.narrowed = narrowed;
        }
        Ok(())
    }

    fn apply_units(&self, words: &[u32; UNIT_WORDS]) -> Result<(), No> {
        let mask = CuMask::from_words(words.to_vec());
        self.command(|reply| Command::SetUnits { mask, reply })?.map_err(No::from)
    }

    // Code.

    fn load_code(&mut self, wanted: &LoadCode) -> Result<Answer, No> {
        if self.codes.len() >= CODE_OBJECTS_PER_SESSION_MAX {
            return Err(No::objects("code objects", CODE_OBJECTS_PER_SESSION_MAX));
        }
        let claim = wanted.image;
        let buffer = self.buffers.get(&claim.buffer).ok_or_else(|| No::unknown(claim.buffer))?;
        let range = claim.check(Bytes(buffer.bytes)).map_err(|bad| No::because(DenyCode::Range, bad.to_string()))?;
        if range.bytes().0 > CODE_OBJECT_BYTES_MAX {
            let over = Over { code: DenyCode::Size, asked: range.bytes().0, limit: CODE_OBJECT_BYTES_MAX, used: 0 };
            return Err(No::over(over, "no code object is that large"));
        }
        // The one copy; only it is looked at.
        let mut file = vec![0; usize::try_from(range.bytes().0).unwrap_or(0)];
        self.memory.read(buffer.address + range.offset().0, &mut file)?;
        let object = CodeObject::parse(&file).map_err(DeviceError::from)?;
        if object.image_bytes() == 0 {
            return Err(No::because(DenyCode::Code, "the code object has nothing to load"));
        }
        let Pinned { charge, memory, address, bytes } =
            self.pin(ChargeKind::Code, object.image_bytes(), Rights::ReadExecute, wanted.at)?;
        let image = match self.memory.load_code(&object, &file, address) {
            Ok(loaded) => loaded.image,
            Err(error) => {
                drop(memory);
                self.unpin(address, charge);
                return Err(error.into());
            }
        };
        for kernel in object.kernels() {
            self.shared.name_kernel(image + kernel.descriptor_offset, Some(&kernel.name));
        }
        let id = CodeId(self.next_id());
        let entry = CodeEntry { object, address, image, charge };
        let symbols = entry.symbols();
        self.codes.insert(id, entry);
        let Some(memory) = memory else {
            // The image is where the loader put it, in memory of the driver's.
            let answer = CodeReady { code: id, symbols, address: DeviceAddress(image), bytes: Bytes(bytes) };
            return Ok((answer.into(), None));
        };
        // The tenant's own code and variables. What it writes over instructions, it alone runs.
        let answer = CodeShared { code: id, symbols, address: DeviceAddress(address), bytes: Bytes(bytes) };
        Ok((answer.into(), Some(memory)))
    }

    fn unload_code(&mut self, id: CodeId) -> Result<(), No> {
        let entry = self.codes.remove(&id).ok_or_else(|| No::unknown(id))?;
        for kernel in entry.object.kernels() {
            self.shared.name_kernel(entry.image + kernel.descriptor_offset, None);
        }
        self.unpin(entry.address, entry.charge);
        Ok(())
    }
}

/// Checks where memory is wanted.
fn check_place(at: DeviceAddress) -> Result<(), No> {
    let page = sys::page_size() as u64;
    if !at.0.is_multiple_of(page) {
        return Err(No::because(DenyCode::Address, format!("{at} is not the start of a page")));
    }
    if at.0 != 0 && at.0 < super::facts::ARENA_LOWEST {
        return Err(No::because(DenyCode::Address, format!("{at} is below the lowest address of an arena")));
    }
    Ok(())
}

/// Answers with a buffer, and with its memory where the tenant may map it.
fn ready(ready: BufferReady, memory: Option<MemFd>) -> Answer {
    let BufferReady { buffer, bytes, address } = ready;
    match memory {
        Some(memory) => (BufferShared { buffer, bytes, address }.into(), Some(memory)),
        None => (ready.into(), None),
    }
}

/// Memory that is charged and that kernels see.
struct Pinned {
    charge: Charge,
    /// `None`: it is the driver's.
    memory: Option<MemFd>,
    address: u64,
    bytes: u64,
}

/// Words of a mask of compute units.
const UNIT_WORDS: usize = (proto::limits::CU_MASK_BITS / 32) as usize;

/// The largest pool: what the most signals take.
const POOL_BYTES_MAX: Bytes = Bytes(1 << 20);

const STAYS: &str = "this device's memory stays in the session it was made in";

const NOT_KEPT: &str = "this buffer cannot be shared: it is somebody else's, or one of more buffers than a session keeps open (1024, or what `ulimit -n` leaves)";

const NARROWED: &str = "this device narrows a session, not a queue: set the units while the session has one queue, and reset them before it gets another";

impl CodeEntry {
    fn symbols(&self) -> u32 {
        u32::try_from(self.object.kernels().len() + self.object.symbols().len()).unwrap_or(u32::MAX)
    }

    fn kernel(&self, name: &str) -> Option<Symbol> {
        let kernel = self.object.kernel(name)?;
        Some(Symbol {
            kind: SymbolKind::Kernel,
            address: DeviceAddress(self.image + kernel.descriptor_offset),
            bytes: Bytes(0),
            kernarg_bytes: kernel.kernarg_segment_size,
            kernarg_align: kernel.kernarg_segment_align,
            group_bytes: kernel.group_segment_fixed_size,
            private_bytes: kernel.private_segment_fixed_size,
            dynamic_stack: u32::from(kernel.uses_dynamic_stack),
            constant: 0,
            name_bytes: u32::try_from(kernel.name.len()).unwrap_or(u32::MAX),
            name: Text::truncated(&kernel.name),
        })
    }

    fn variable(&self, name: &str) -> Option<Symbol> {
        let variable = self.object.symbol(name)?;
        Some(Symbol {
            kind: SymbolKind::Variable,
            address: DeviceAddress(self.image + variable.offset),
            bytes: Bytes(variable.size),
            kernarg_bytes: 0,
            kernarg_align: 0,
            group_bytes: 0,
            private_bytes: 0,
            dynamic_stack: 0,
            constant: u32::from(!variable.writable),
            name_bytes: u32::try_from(variable.name.len()).unwrap_or(u32::MAX),
            name: Text::truncated(&variable.name),
        })
    }

    /// Kernels first, then variables.
    fn symbol_at(&self, index: u32) -> Option<Symbol> {
        let (index, kernels) = (index as usize, self.object.kernels());
        match kernels.get(index) {
            Some(kernel) => self.kernel(&kernel.symbol),
            None => self.variable(&self.object.symbols().get(index.checked_sub(kernels.len())?)?.name),
        }
    }
}
