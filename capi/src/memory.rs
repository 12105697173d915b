//! Memory: pools, what was allocated from them, and host memory that was locked.
//!
//! Promises:
//! - a pool is as large as what the tenant may have, and asking for more answers OUT_OF_RESOURCES with nothing else disturbed;
//! - memory has one address, here and on every device that sees it: its own, and those that were let; what cannot be mapped here ([`is_unmapped`]) has its address for itself;
//! - locking costs a message and no copy: the device sees the memory at an alias address, and copies through the alias run here, on the host's
//!   own address. A kernel that touches the alias is served by [`crate::locked`].

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use client::{Buffer, BufferKind, Mirror, ShareId};
use hsa_sys::raw::*;

use crate::agent::{Agent, agent_of, agents, devices_of};
use crate::edge::{Answer, Each, In, Opaque, Out, Room, each};
use crate::export::export;
use crate::locked::Locks;
use crate::runtime::{Runtime, failed, status_with};

/// Memory comes in whole pages.
pub(crate) const PAGE: usize = 4096;
/// What programs had better allocate at a time.
const GOOD_STEP: usize = 2 << 20;

/// A kind of memory of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pool {
    handle: u64,
    agent: Agent,
    segment: u32,
    flags: u32,
    /// What is asked of the worker; `None` for LDS, which is not allocated.
    kind: Option<BufferKind>,
}

const fn pool(handle: u64, agent: Agent, flags: u32, kind: BufferKind) -> Pool {
    Pool { handle, agent, segment: HSA_AMD_SEGMENT_GLOBAL, flags, kind: Some(kind) }
}

const FINE: u32 = HSA_AMD_MEMORY_POOL_GLOBAL_FLAG_FINE_GRAINED;
const COARSE: u32 = HSA_AMD_MEMORY_POOL_GLOBAL_FLAG_COARSE_GRAINED;
const KERNARG: u32 = HSA_AMD_MEMORY_POOL_GLOBAL_FLAG_KERNARG_INIT;

/// The pools of the host and of the first device, in the order in which programs meet them. Those of other devices are like those of the first.
const POOLS: [Pool; 6] = [
    pool(0x11, Agent::Host, FINE, BufferKind::Host),
    pool(0x12, Agent::Host, FINE | KERNARG, BufferKind::Kernarg),
    pool(0x13, Agent::Host, COARSE, BufferKind::Host),
    pool(0x21, Agent::Device(0), COARSE, BufferKind::Vram),
    pool(0x22, Agent::Device(0), FINE, BufferKind::Vram),
    Pool { handle: 0x23, agent: Agent::Device(0), segment: HSA_AMD_SEGMENT_GROUP, flags: 0, kind: None },
];
/// Where the number of the device begins in the handle of a pool, which is below that as in [`POOLS`].
const DEVICE_SHIFT: u32 = 8;

impl Pool {
    pub(crate) fn handle(&self) -> u64 {
        self.handle
    }

    /// Returns what is asked of the worker, or `None` for what is not allocated.
    pub(crate) fn kind(&self) -> Option<BufferKind> {
        self.kind
    }

    pub(crate) fn agent(&self) -> Agent {
        self.agent
    }

    pub(crate) fn flags(&self) -> u32 {
        self.flags
    }

    /// Returns it as another device has it.
    fn on(self, device: usize) -> Pool {
        match self.agent {
            Agent::Host => self,
            Agent::Device(_) => {
                let handle = self.handle & ((1 << DEVICE_SHIFT) - 1) | (device as u64) << DEVICE_SHIFT;
                Pool { handle, agent: Agent::Device(device), ..self }
            }
        }
    }

    pub(crate) fn of(runtime: &Runtime, handle: u64) -> Answer<Pool> {
        let device = (handle >> DEVICE_SHIFT) as usize;
        let mut known = POOLS.into_iter().map(|pool| pool.on(device));
        let found = known.find(|pool| pool.handle == handle);
        let seen = |pool: &Pool| pool.agent == Agent::Host || device < runtime.devices.agents();
        found.filter(seen).ok_or(HSA_STATUS_ERROR_INVALID_MEMORY_POOL)
    }

    fn of_agent(runtime: &Runtime, agent: hsa_agent_t) -> Answer<impl Iterator<Item = Pool>> {
        let agent = agent_of(runtime, agent)?;
        Ok(POOLS.into_iter().map(move |pool| pool.on(agent.session())).filter(move |pool| pool.agent == agent))
    }

    /// Returns what it goes by in other programs, which may see other devices, or in another order.
    pub(crate) fn name(&self, runtime: &Runtime) -> u64 {
        let device = runtime.devices.name(self.agent.session()).unwrap_or(0);
        match self.agent {
            Agent::Host => self.handle,
            Agent::Device(_) => self.on(device as usize).handle,
        }
    }

    /// Returns the pool that goes by a name, if the program sees its device.
    pub(crate) fn by_name(runtime: &Runtime, name: u64) -> Answer<Pool> {
        let unknown = HSA_STATUS_ERROR_INVALID_ARGUMENT;
        let kind = name & ((1 << DEVICE_SHIFT) - 1);
        let pool = POOLS.into_iter().find(|pool| pool.handle == kind).ok_or(unknown)?;
        match pool.agent {
            Agent::Host => Ok(pool),
            Agent::Device(_) => {
                let device = u32::try_from(name >> DEVICE_SHIFT).ok();
                Ok(pool.on(device.and_then(|device| runtime.devices.by_name(device)).ok_or(unknown)?))
            }
        }
    }

    /// Returns how much of it the tenant may have.
    fn bytes(&self, runtime: &Runtime) -> usize {
        let device = runtime.devices.facts(self.agent.session());
        match self.kind {
            Some(BufferKind::Vram) => device.vram.0 as usize,
            Some(_) => (device.host_memory.0 as usize).min(host_bytes()),
            None => device.lds_bytes as usize,
        }
    }
}

/// Returns how much memory the host has.
fn host_bytes() -> usize {
    // SAFETY: asks for numbers.
    let (pages, bytes) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    usize::try_from(pages).unwrap_or(0).saturating_mul(usize::try_from(bytes).unwrap_or(0))
}

/// What was allocated.
pub(crate) struct Block {
    /// The devices besides its own that see it. Declared before the buffer, because they go first.
    seen: Vec<(usize, Mirror)>,
    pub(crate) buffer: Buffer,
    /// Bytes asked for.
    bytes: usize,
    pub(crate) pool: Pool,
    /// By what it was got, if it was made by another process.
    imported: Option<ShareId>,
    /// Other processes may have been told of it.
    told: AtomicBool,
    user: Opaque,
    /// Called when it is freed.
    callbacks: Vec<(hsa_amd_deallocation_callback_t, Opaque)>,
}

impl Block {
    fn new(buffer: Buffer, bytes: usize, pool: Pool) -> Block {
        let (seen, user) = (Vec::new(), Opaque(std::ptr::null_mut()));
        let told = AtomicBool::new(false);
        Block { seen, buffer, bytes, pool, imported: None, told, user, callbacks: Vec::new() }
    }

    /// Of another process.
    pub(crate) fn imported(buffer: Buffer, bytes: usize, pool: Pool, share: ShareId) -> Block {
        Block { imported: Some(share), ..Block::new(buffer, bytes, pool) }
    }

    /// Whether it was made by another process.
    pub(crate) fn is_imported(&self) -> bool {
        self.imported.is_some()
    }

    /// Offers it to other processes of the tenant for as long as it is there.
    pub(crate) fn tell(&self) -> Answer<ShareId> {
        self.told.store(true, Ordering::Relaxed);
        self.buffer.export().map_err(failed)
    }

    /// Lets these devices see it, and no others but its own.
    pub(crate) fn show(&mut self, runtime: &Runtime, devices: &[usize]) -> Answer {
        self.seen.retain(|(device, _)| devices.contains(device));
        let new: Vec<usize> = devices.iter().copied().filter(|at| !self.is_seen(Agent::Device(*at))).collect();
        if new.is_empty() {
            return Ok(());
        }
        let shown = self.add(runtime, &new);
        // A tenant may offer so much at a time, so nothing is offered for longer than need be.
        if self.imported.is_none() && !*self.told.get_mut() {
            self.buffer.withdraw().map_err(failed)?;
        }
        shown
    }

    fn add(&mut self, runtime: &Runtime, devices: &[usize]) -> Answer {
        for &device in devices {
            let share = self.imported.map_or_else(|| self.buffer.export(), Ok).map_err(failed)?;
            let place = (self.buffer.address(), self.buffer.bytes());
            self.seen.extend(runtime.devices.mirror(device, share, place)?.map(|mirror| (device, mirror)));
        }
        Ok(())
    }

    /// Whether kernels of an agent, or the host, see it.
    fn is_seen(&self, agent: Agent) -> bool {
        match agent {
            Agent::Host => true,
            Agent::Device(device) => {
                device == self.pool.agent.session() || self.seen.iter().any(|(seen, _)| *seen == device)
            }
        }
    }
}

/// See the module.
pub(crate) struct Memory {
    blocks: RwLock<BTreeMap<u64, Block>>,
    pub(crate) locks: Locks,
}

impl Memory {
    pub(crate) fn new() -> Memory {
        Memory { blocks: RwLock::default(), locks: Locks::default() }
    }

    fn blocks(&self) -> RwLockReadGuard<'_, BTreeMap<u64, Block>> {
        self.blocks.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn blocks_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<u64, Block>> {
        self.blocks.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of memory; returns where it is.
    pub(crate) fn add(&self, block: Block) -> u64 {
        let address = block.buffer.address();
        self.blocks_mut().insert(address, block);
        address
    }

    /// Calls `then` with the memory that begins at an address.
    pub(crate) fn with_block<T>(&self, address: u64, then: impl FnOnce(&Block) -> Answer<T>) -> Answer<T> {
        self.blocks().get(&address).ok_or(HSA_STATUS_ERROR_INVALID_ARGUMENT).and_then(then)
    }

    /// Whether an address lies in what was allocated.
    pub(crate) fn has(&self, address: u64) -> bool {
        block_at(&self.blocks(), address).is_some()
    }
}

fn block_at(blocks: &BTreeMap<u64, Block>, address: u64) -> Option<(u64, &Block)> {
    let (&start, block) = blocks.range(..=address).next_back()?;
    (address - start < block.buffer.bytes()).then_some((start, block))
}

fn block_at_mut(blocks: &mut BTreeMap<u64, Block>, address: u64) -> Option<&mut Block> {
    let (start, block) = blocks.range_mut(..=address).next_back()?;
    (address - start < block.buffer.bytes()).then_some(block)
}

/// What somebody is about to do with memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Read,
    Write,
}

/// Returns where this process reaches `bytes` at an address that C names: a locked range's own address for its alias, everything else as it is.
/// Addresses of ours with nothing behind them, or nothing that may be used so, are refused.
pub(crate) fn reach(runtime: &Runtime, address: u64, bytes: usize, how: Use) -> Answer<u64> {
    if address == 0 {
        return Err(HSA_STATUS_ERROR_INVALID_ARGUMENT);
    }
    // Where the device chooses addresses, they lie among the program's own.
    let mixed = runtime.client.device_chooses_addresses();
    if !mixed && runtime.devices.owner(address).is_none() {
        return Ok(address);
    }
    if let Some(host) = runtime.memory.locks.host_address(address, bytes as u64) {
        return Ok(host);
    }
    let blocks = runtime.memory.blocks();
    if let Some((start, block)) = block_at(&blocks, address) {
        let left = block.buffer.bytes() - (address - start);
        let may = how == Use::Read || block.buffer.is_writable();
        return if may && bytes as u64 <= left { Ok(address) } else { Err(HSA_STATUS_ERROR_INVALID_ARGUMENT) };
    }
    drop(blocks);
    let strangers = mixed && !runtime.memory.locks.covers(address);
    let mapped = runtime.places.reach(address, bytes, how == Use::Write);
    if runtime.codes.has(address, bytes) || mapped || strangers {
        Ok(address)
    } else {
        Err(HSA_STATUS_ERROR_INVALID_ARGUMENT)
    }
}

/// Whether memory at an address is the device's alone: it is reached by copies that the device does.
pub(crate) fn is_unmapped(runtime: &Runtime, address: u64) -> bool {
    if !runtime.client.device_chooses_addresses() {
        return false;
    }
    match block_at(&runtime.memory.blocks(), address) {
        Some((_, block)) => block.buffer.memory().is_err(),
        None => runtime.codes.place_of(address).is_some(),
    }
}

fn pointer(address: u64) -> *mut c_void {
    std::ptr::with_exposed_provenance_mut(address as usize)
}

/// Allocates from a pool, to be seen by these devices besides its own.
fn allocate(runtime: &Runtime, pool: Pool, bytes: usize, devices: &[usize], place: Out<*mut c_void>) -> Answer {
    let place = place.needed()?;
    let kind = pool.kind.ok_or(HSA_STATUS_ERROR_INVALID_ALLOCATION)?;
    if bytes == 0 {
        return Err(HSA_STATUS_ERROR_INVALID_ARGUMENT);
    }
    if kind == BufferKind::Vram {
        // Memory of the host is not refused after a fault: HIP does not survive that.
        runtime.queues.check()?;
    }
    let buffer = runtime.devices.session(pool.agent.session()).alloc(kind, bytes as u64).map_err(failed)?;
    let mut block = Block::new(buffer, bytes, pool);
    block.show(runtime, devices)?;
    place.put(pointer(runtime.memory.add(block)))
}

/// Frees what was allocated. Freeing nothing is nothing to do.
pub(crate) fn free(runtime: &Runtime, address: u64) -> Answer {
    if address == 0 {
        return Ok(());
    }
    let block = runtime.memory.blocks_mut().remove(&address).ok_or(HSA_STATUS_ERROR_INVALID_ALLOCATION)?;
    for (callback, data) in &block.callbacks {
        if let Some(call) = callback {
            // SAFETY: C gave the function together with the data for it.
            unsafe { call(pointer(address), data.0) };
        }
    }
    Ok(())
}

/// Answers a question about a pool, or about the region that is the same memory.
fn pool_info(runtime: &Runtime, pool: Pool, attribute: hsa_amd_memory_pool_info_t, value: Room) -> Answer {
    let allocated = pool.kind.is_some();
    match attribute {
        HSA_AMD_MEMORY_POOL_INFO_SEGMENT => value.put(pool.segment),
        HSA_AMD_MEMORY_POOL_INFO_GLOBAL_FLAGS => value.put(pool.flags),
        HSA_AMD_MEMORY_POOL_INFO_SIZE | HSA_AMD_MEMORY_POOL_INFO_ALLOC_MAX_SIZE | HSA_REGION_INFO_ALLOC_MAX_SIZE => {
            value.put(pool.bytes(runtime))
        }
        HSA_REGION_INFO_ALLOC_MAX_PRIVATE_WORKGROUP_SIZE => value.put(0u32),
        HSA_AMD_MEMORY_POOL_INFO_RUNTIME_ALLOC_ALLOWED => value.put(allocated),
        HSA_AMD_MEMORY_POOL_INFO_RUNTIME_ALLOC_GRANULE | HSA_AMD_MEMORY_POOL_INFO_RUNTIME_ALLOC_ALIGNMENT => {
            value.put(if allocated { PAGE } else { 0 })
        }
        HSA_AMD_MEMORY_POOL_INFO_RUNTIME_ALLOC_REC_GRANULE => value.put(match (allocated, pool.agent) {
            (false, _) => 0,
            (true, Agent::Device(_)) => GOOD_STEP,
            (true, Agent::Host) => PAGE,
        }),
        HSA_AMD_MEMORY_POOL_INFO_ACCESSIBLE_BY_ALL => value.put(pool.agent == Agent::Host),
        HSA_AMD_MEMORY_POOL_INFO_LOCATION => value.put(if pool.agent == Agent::Host {
            HSA_AMD_MEMORY_POOL_LOCATION_CPU
        } else {
            HSA_AMD_MEMORY_POOL_LOCATION_GPU
        }),
        _ => Err(HSA_STATUS_ERROR_INVALID_ARGUMENT),
    }
}

export! {
    /// Names the pools of an agent.
    fn hsa_amd_agent_iterate_memory_pools(
        agent: hsa_agent_t,
        callback: Each<hsa_amd_memory_pool_t>,
        data: Opaque,
    ) -> hsa_status_t {
        status_with(|runtime| {
            let pools = Pool::of_agent(runtime, agent)?;
            each(pools.map(|pool| hsa_amd_memory_pool_t { handle: pool.handle }), callback, data)
        })
    }

    /// Answers a question about a pool.
    fn hsa_amd_memory_pool_get_info(
        pool: hsa_amd_memory_pool_t,
        attribute: hsa_amd_memory_pool_info_t,
        value: Room,
    ) -> hsa_status_t {
        status_with(|runtime| pool_info(runtime, Pool::of(runtime, pool.handle)?, attribute, value))
    }

    /// Answers a question about a pool as an agent sees it.
    fn hsa_amd_agent_memory_pool_get_info(
        agent: hsa_agent_t,
        pool: hsa_amd_memory_pool_t,
        attribute: hsa_amd_agent_memory_pool_info_t,
        value: Room,
    ) -> hsa_status_t {
        status_with(|runtime| {
            let (agent, pool) = (agent_of(runtime, agent)?, Pool::of(runtime, pool.handle)?);
            let own = agent == pool.agent;
            match attribute {
                HSA_AMD_AGENT_MEMORY_POOL_INFO_ACCESS => value.put(match (own, agent, pool.kind) {
                    (true, _, Some(_)) => HSA_AMD_MEMORY_POOL_ACCESS_ALLOWED_BY_DEFAULT,
                    // Host memory, or that of another device.
                    (false, Agent::Device(_), Some(_)) => HSA_AMD_MEMORY_POOL_ACCESS_DISALLOWED_BY_DEFAULT,
                    // Device memory, for the host: copies are as fast as its own stores would be. And LDS.
                    _ => HSA_AMD_MEMORY_POOL_ACCESS_NEVER_ALLOWED,
                }),
                HSA_AMD_AGENT_MEMORY_POOL_INFO_NUM_LINK_HOPS => value.put(u32::from(!own)),
                HSA_AMD_AGENT_MEMORY_POOL_INFO_LINK_INFO if own => Ok(()),
                HSA_AMD_AGENT_MEMORY_POOL_INFO_LINK_INFO => value.put(hsa_amd_memory_pool_link_info_t {
                    min_latency: 0,
                    max_latency: 0,
                    min_bandwidth: 0,
                    max_bandwidth: 0,
                    // Without these HIP refuses every kernel that calls the host.
                    atomic_support_32bit: true,
                    atomic_support_64bit: true,
                    coherent_support: true,
                    link_type: HSA_AMD_LINK_INFO_TYPE_PCIE,
                    numa_distance: 20,
                }),
                _ => Err(HSA_STATUS_ERROR_INVALID_ARGUMENT),
            }
        })
    }

    /// Allocates memory.
    fn hsa_amd_memory_pool_allocate(
        pool: hsa_amd_memory_pool_t,
        size: usize,
        _flags: u32,
        place: Out<*mut c_void>,
    ) -> hsa_status_t {
        status_with(|runtime| allocate(runtime, Pool::of(runtime, pool.handle)?, size, &[], place))
    }

    /// Frees memory.
    fn hsa_amd_memory_pool_free(place: Opaque) -> hsa_status_t {
        status_with(|runtime| free(runtime, place.0.addr() as u64))
    }

    /// Memory stays where it was allocated.
    fn hsa_amd_memory_pool_can_migrate(
        source: hsa_amd_memory_pool_t,
        target: hsa_amd_memory_pool_t,
        result: Out<bool>,
    ) -> hsa_status_t {
        status_with(|runtime| {
            Pool::of(runtime, source.handle)?;
            Pool::of(runtime, target.handle)?;
            result.put(false)
        })
    }

    /// Memory stays where it was allocated.
    fn hsa_amd_memory_migrate(_place: Opaque, _pool: hsa_amd_memory_pool_t, _flags: u32) -> hsa_status_t {
        status_with(|_| Err(HSA_STATUS_ERROR_OUT_OF_RESOURCES))
    }

    /// Lets kernels of these devices, and no others but its own, see memory. What was locked all of them see; what was mapped, as that was said.
    fn hsa_amd_agents_allow_access(
        count: u32,
        agents: In<'_, hsa_agent_t>,
        _flags: In<'_, u32>,
        place: Opaque,
    ) -> hsa_status_t {
        status_with(|runtime| {
            let devices = devices_of(runtime, &agents.list(count as usize)?)?;
            let address = place.0.addr() as u64;
            if let Some(block) = block_at_mut(&mut runtime.memory.blocks_mut(), address) {
                return block.show(runtime, &devices);
            }
            let known = runtime.memory.locks.host_address(address, 1).is_some() || runtime.places.find(address).is_some();
            if known { Ok(()) } else { Err(HSA_STATUS_ERROR_INVALID_ALLOCATION) }
        })
    }

    /// Says what memory an address belongs to.
    fn hsa_amd_pointer_info(
        place: Opaque,
        info: Out<u8>,
        alloc: Option<unsafe extern "C" fn(usize) -> *mut c_void>,
        count: Out<u32>,
        accessible: Out<*mut hsa_agent_t>,
    ) -> hsa_status_t {
        status_with(|runtime| {
            let address = place.0.addr() as u64;
            let found = describe(runtime, address);
            put_pointer_info(info, &found)?;
            if let Some(alloc) = alloc
                && count.is_wanted()
                && accessible.is_wanted()
            {
                let agents = seen_by(runtime, address, &found);
                count.put(agents.len() as u32)?;
                if !agents.is_empty() {
                    // SAFETY: C's own function for memory of its own.
                    let list = unsafe { alloc(size_of_val(&agents[..])) }.cast::<hsa_agent_t>();
                    if list.is_null() {
                        return Err(HSA_STATUS_ERROR_OUT_OF_RESOURCES);
                    }
                    for (at, agent) in agents.iter().enumerate() {
                        // SAFETY: the function was asked for room for all of them.
                        unsafe { list.add(at).write_unaligned(*agent) };
                    }
                    accessible.put(list)?;
                }
            }
            Ok(())
        })
    }

    /// Keeps a value of the program's with memory.
    fn hsa_amd_pointer_info_set_userdata(place: Opaque, user: Opaque) -> hsa_status_t {
        status_with(|runtime| {
            let address = place.0.addr() as u64;
            let mut blocks = runtime.memory.blocks_mut();
            let block = block_at_mut(&mut blocks, address).ok_or(HSA_STATUS_ERROR_INVALID_ARGUMENT)?;
            block.user = user;
            Ok(())
        })
    }

    /// Has a function called when memory is freed.
    fn hsa_amd_register_deallocation_callback(
        place: Opaque,
        callback: hsa_amd_deallocation_callback_t,
        data: Opaque,
    ) -> hsa_status_t {
        status_with(|runtime| {
            callback.ok_or(HSA_STATUS_ERROR_INVALID_ARGUMENT)?;
            let mut blocks = runtime.memory.blocks_mut();
            let block = blocks.get_mut(&(place.0.addr() as u64)).ok_or(HSA_STATUS_ERROR_INVALID_ALLOCATION)?;
            block.callbacks.push((callback, data));
            Ok(())
        })
    }

    /// Takes a function back that was to be called when memory is freed.
    fn hsa_amd_deregister_deallocation_callback(
        place: Opaque,
        callback: hsa_amd_deallocation_callback_t,
    ) -> hsa_status_t {
        status_with(|runtime| {
            let wanted = callback.ok_or(HSA_STATUS_ERROR_INVALID_ARGUMENT)?;
            let mut blocks = runtime.memory.blocks_mut();
            let block = blocks.get_mut(&(place.0.addr() as u64)).ok_or(HSA_STATUS_ERROR_INVALID_ARGUMENT)?;
            let is_it = |known: &hsa_amd_deallocation_callback_t| known.is_some_and(|f| std::ptr::fn_addr_eq(f, wanted));
            let at = block.callbacks.iter().position(|(known, _)| is_it(known));
            block.callbacks.remove(at.ok_or(HSA_STATUS_ERROR_INVALID_ARGUMENT)?);
            Ok(())
        })
    }

    /// Names the regions of an agent: HSA's own word for pools.
    fn hsa_agent_iterate_regions(agent: hsa_agent_t, callback: Each<hsa_region_t>, data: Opaque) -> hsa_status_t {
        status_with(|runtime| {
            let pools = Pool::of_agent(runtime, agent)?;
            each(pools.map(|pool| hsa_region_t { handle: pool.handle }), callback, data)
        })
    }

    /// Answers a question about a region.
    fn hsa_region_get_info(region: hsa_region_t, attribute: hsa_region_info_t, value: Room) -> hsa_status_t {
        status_with(|runtime| {
            let pool = Pool::of(runtime, region.handle).map_err(|_| HSA_STATUS_ERROR_INVALID_REGION)?;
            match attribute {
                HSA_AMD_REGION_INFO_HOST_ACCESSIBLE => value.put(pool.agent == Agent::Host),
                HSA_AMD_REGION_INFO_BASE => value.put(std::ptr::null_mut::<c_void>()),
                HSA_AMD_REGION_INFO_BUS_WIDTH | HSA_AMD_REGION_INFO_MAX_CLOCK_FREQUENCY => value.put(0u32),
                attribute => pool_info(runtime, pool, attribute, value),
            }
        })
    }

    /// Allocates memory of a region.
    fn hsa_memory_allocate(region: hsa_region_t, size: usize, place: Out<*mut c_void>) -> hsa_status_t {
        status_with(|runtime| {
            let pool = Pool::of(runtime, region.handle).map_err(|_| HSA_STATUS_ERROR_INVALID_REGION)?;
            // HSA's own call gives host memory to everybody.
            let everybody = if pool.agent == Agent::Host { runtime.devices.agents() } else { 0 };
            allocate(runtime, pool, size, &Vec::from_iter(0..everybody), place)
        })
    }

    /// Frees memory of a region.
    fn hsa_memory_free(place: Opaque) -> hsa_status_t {
        status_with(|runtime| free(runtime, place.0.addr() as u64))
    }

    /// A hint of HSA's full profile, which this device does not have: kernels reach host memory that was locked.
    fn hsa_memory_register(place: Opaque, size: usize) -> hsa_status_t {
        status_with(|_| if size > 0 && place.0.is_null() { Err(HSA_STATUS_ERROR_INVALID_ARGUMENT) } else { Ok(()) })
    }

    /// The other end of that hint.
    fn hsa_memory_deregister(_place: Opaque, _size: usize) -> hsa_status_t {
        status_with(|_| Ok(()))
    }

    /// Memory belongs to no agent in particular.
    fn hsa_memory_assign_agent(
        place: Opaque,
        agent: hsa_agent_t,
        _access: hsa_access_permission_t,
    ) -> hsa_status_t {
        status_with(|runtime| {
            agent_of(runtime, agent)?;
            if place.0.is_null() { Err(HSA_STATUS_ERROR_INVALID_ARGUMENT) } else { Ok(()) }
        })
    }

    /// Takes note of how coherent memory of an agent shall be. All of it is.
    fn hsa_amd_coherency_set_type(agent: hsa_agent_t, _kind: hsa_amd_coherency_type_t) -> hsa_status_t {
        status_with(|runtime| agent_of(runtime, agent).map(drop))
    }

    /// Says that memory of an agent is coherent.
    fn hsa_amd_coherency_get_type(agent: hsa_agent_t, kind: Out<hsa_amd_coherency_type_t>) -> hsa_status_t {
        status_with(|runtime| {
            agent_of(runtime, agent)?;
            kind.put(HSA_AMD_COHERENCY_TYPE_COHERENT)
        })
    }
}

/// Returns what is known about an address.
fn describe(runtime: &Runtime, address: u64) -> hsa_amd_pointer_info_t {
    let mut info = hsa_amd_pointer_info_t {
        size: size_of::<hsa_amd_pointer_info_t>() as u32,
        r#type: HSA_EXT_POINTER_TYPE_UNKNOWN,
        agentBaseAddress: std::ptr::null_mut(),
        hostBaseAddress: std::ptr::null_mut(),
        sizeInBytes: 0,
        userData: std::ptr::null_mut(),
        agentOwner: hsa_agent_t { handle: 0 },
        global_flags: 0,
    };
    if let Some((start, block)) = block_at(&runtime.memory.blocks(), address) {
        info.r#type = if block.is_imported() { HSA_EXT_POINTER_TYPE_IPC } else { HSA_EXT_POINTER_TYPE_HSA };
        (info.agentBaseAddress, info.hostBaseAddress) = (pointer(start), pointer(start));
        info.sizeInBytes = block.bytes;
        info.userData = block.user.0;
        info.agentOwner = block.pool.agent.handle();
        info.global_flags = block.pool.flags;
    } else if let Some((device, start, bytes)) = runtime.codes.place_of(address) {
        info.r#type = HSA_EXT_POINTER_TYPE_HSA;
        (info.agentBaseAddress, info.hostBaseAddress) = (pointer(start), pointer(start));
        info.sizeInBytes = bytes as usize;
        (info.agentOwner, info.global_flags) = (Agent::Device(device).handle(), COARSE);
    } else if let Some(locked) = runtime.memory.locks.find(address) {
        info.r#type = HSA_EXT_POINTER_TYPE_LOCKED;
        (info.agentBaseAddress, info.hostBaseAddress) = (pointer(locked.alias), pointer(locked.host));
        info.sizeInBytes = locked.bytes as usize;
        (info.agentOwner, info.global_flags) = (Agent::Host.handle(), FINE);
    } else if let Some(found) = runtime.places.find(address) {
        info.r#type = HSA_EXT_POINTER_TYPE_RESERVED_ADDR;
        (info.agentBaseAddress, info.hostBaseAddress) = (pointer(found.start), pointer(found.start));
        info.sizeInBytes = found.bytes as usize;
        if let Some(pool) = found.pool {
            info.r#type = HSA_EXT_POINTER_TYPE_HSA;
            (info.agentOwner, info.global_flags) = (pool.agent().handle(), pool.flags());
        }
    }
    info
}

/// Returns the agents that see memory which was described.
fn seen_by(runtime: &Runtime, address: u64, found: &hsa_amd_pointer_info_t) -> Vec<hsa_agent_t> {
    let blocks = runtime.memory.blocks();
    let block = block_at(&blocks, address).map(|(_, block)| block);
    let sees = |agent: &Agent| match (found.r#type, block) {
        (HSA_EXT_POINTER_TYPE_UNKNOWN, _) => false,
        (_, Some(block)) => block.is_seen(*agent),
        // Code is its device's alone; what was locked or reserved is everybody's.
        (HSA_EXT_POINTER_TYPE_HSA, None) => *agent == Agent::Host || agent.handle() == found.agentOwner,
        _ => true,
    };
    agents(runtime).filter(sees).map(Agent::handle).collect()
}

/// Stores what is known, as far as the caller's version of the record reaches.
fn put_pointer_info(room: Out<u8>, info: &hsa_amd_pointer_info_t) -> Answer {
    const WORD: usize = size_of::<u32>();
    let asked = room.cast::<[u8; WORD]>().get()?;
    let kept = (u32::from_ne_bytes(asked) as usize).min(size_of::<hsa_amd_pointer_info_t>());
    if kept < WORD {
        return Err(HSA_STATUS_ERROR_INVALID_ARGUMENT);
    }
    let found = hsa_amd_pointer_info_t { size: kept as u32, ..*info };
    // SAFETY: a plain record of ours; bytes between fields are copied as what they are, and never looked at.
    let bytes = unsafe { std::slice::from_raw_parts((&raw const found).cast::<std::mem::MaybeUninit<u8>>(), kept) };
    room.cast().put_all(bytes.iter().copied())
}
