//! Agents: the host's processors as one, and each device as this tenant may use it.
//!
//! Promise: what is answered about a device are the tenant's own limits: its compute units, its memory, its queues. Where a question is about
//! silicon that a software device has not, the answer is that of the card it imitates, so that programs choose what they would
//! choose there.

use client::DeviceFacts;
use hsa_sys::raw::*;

use crate::devices::uuid;
use crate::edge::{Answer, Each, Opaque, Out, Room, Text, each};
use crate::export::export;
use crate::runtime::{Runtime, failed, status_with};
use crate::system::extensions;

/// The handle of the host's processors; that of the first device is the next one.
const HOST: u64 = 1;
/// The handle of the first device's instruction set.
const FIRST_ISA: u64 = 0x15a;
/// The one kind of wavefront.
const WAVEFRONT: hsa_wavefront_t = hsa_wavefront_t { handle: 0x3a };
/// The caches that every device has: level, bytes, name.
const CACHES: [(u8, u32, &str); 2] = [(1, 16 << 10, "L1"), (2, 8 << 20, "L2")];
/// The handle of the first device's first cache.
const FIRST_CACHE: u64 = 0xc0;
/// Work-items of a work-group.
const WORKGROUP_MAX: u16 = 1024;
/// Texels of an image in one direction, and layers of an array: those of gfx9.
const IMAGE_EDGE: u32 = 16_384;

/// An agent that the program may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agent {
    /// The host's processors.
    Host,
    /// A device, by its number.
    Device(usize),
}

impl Agent {
    /// Returns its handle.
    pub(crate) fn handle(self) -> hsa_agent_t {
        match self {
            Agent::Host => hsa_agent_t { handle: HOST },
            Agent::Device(device) => hsa_agent_t { handle: HOST + 1 + device as u64 },
        }
    }

    /// Returns the number of the session with its memory.
    pub(crate) fn session(self) -> usize {
        match self {
            Agent::Host => 0,
            Agent::Device(device) => device,
        }
    }
}

/// Returns all agents.
pub(crate) fn agents(runtime: &Runtime) -> impl Iterator<Item = Agent> {
    std::iter::once(Agent::Host).chain((0..runtime.devices.agents()).map(Agent::Device))
}

/// Which agent a handle names, if it is one that the program may see.
pub(crate) fn agent_of(runtime: &Runtime, agent: hsa_agent_t) -> Answer<Agent> {
    let device = match agent.handle {
        HOST => return Ok(Agent::Host),
        handle => handle.checked_sub(HOST + 1).map(|device| device as usize),
    };
    let known = device.filter(|device| *device < runtime.devices.agents());
    known.map(Agent::Device).ok_or(HSA_STATUS_ERROR_INVALID_AGENT)
}

/// As [`agent_of`] for what only a device can do: returns its number.
pub(crate) fn gpu_of(runtime: &Runtime, agent: hsa_agent_t) -> Answer<usize> {
    match agent_of(runtime, agent)? {
        Agent::Device(device) => Ok(device),
        Agent::Host => Err(HSA_STATUS_ERROR_INVALID_AGENT),
    }
}

/// Returns the devices among agents that C lists.
pub(crate) fn devices_of(runtime: &Runtime, agents: &[hsa_agent_t]) -> Answer<Vec<usize>> {
    let mut devices = Vec::new();
    for agent in agents {
        match agent_of(runtime, *agent)? {
            Agent::Device(device) if !devices.contains(&device) => devices.push(device),
            _ => {}
        }
    }
    Ok(devices)
}

export! {
    /// Names every agent.
    fn hsa_iterate_agents(callback: Each<hsa_agent_t>, data: Opaque) -> hsa_status_t {
        status_with(|runtime| each(agents(runtime).map(Agent::handle), callback, data))
    }

    /// Answers a question about an agent.
    fn hsa_agent_get_info(agent: hsa_agent_t, attribute: hsa_agent_info_t, value: Room) -> hsa_status_t {
        status_with(|runtime| match agent_of(runtime, agent)? {
            Agent::Device(device) => device_info(runtime, device, attribute, value),
            Agent::Host => host_info(attribute, value),
        })
    }

    /// Says what exceptions an agent can detect: none.
    fn hsa_agent_get_exception_policies(
        agent: hsa_agent_t,
        _profile: hsa_profile_t,
        mask: Out<u16>,
    ) -> hsa_status_t {
        status_with(|runtime| {
            agent_of(runtime, agent)?;
            mask.put(0)
        })
    }

    /// Whether an agent has an extension in a version.
    fn hsa_agent_extension_supported(
        extension: u16,
        agent: hsa_agent_t,
        major: u16,
        minor: u16,
        result: Out<bool>,
    ) -> hsa_status_t {
        status_with(|runtime| {
            let is_gpu = agent_of(runtime, agent)? != Agent::Host;
            result.put(is_gpu && (hsa_extension_t::from(extension), major, minor) == (HSA_EXTENSION_IMAGES, 1, 0))
        })
    }

    /// Whether an agent has an extension in a major version, and which minor one.
    fn hsa_agent_major_extension_supported(
        extension: u16,
        agent: hsa_agent_t,
        major: u16,
        minor: Out<u16>,
        result: Out<bool>,
    ) -> hsa_status_t {
        status_with(|runtime| {
            let has = agent_of(runtime, agent)? != Agent::Host && (hsa_extension_t::from(extension), major) == (HSA_EXTENSION_IMAGES, 1);
            if has {
                minor.put(0)?;
            }
            result.put(has)
        })
    }

    /// Names the caches of an agent.
    fn hsa_agent_iterate_caches(agent: hsa_agent_t, callback: Each<hsa_cache_t>, data: Opaque) -> hsa_status_t {
        status_with(|runtime| {
            let caches = match agent_of(runtime, agent)? {
                Agent::Device(device) => (0..CACHES.len()).map(|at| cache(device, at)).collect(),
                Agent::Host => Vec::new(),
            };
            each(caches, callback, data)
        })
    }

    /// Answers a question about a cache.
    fn hsa_cache_get_info(cache: hsa_cache_t, attribute: hsa_cache_info_t, value: Room) -> hsa_status_t {
        status_with(|runtime| {
            let all = || (0..runtime.devices.agents()).flat_map(|device| (0..CACHES.len()).map(move |at| (device, at)));
            let found = all().find(|(device, at)| self::cache(*device, *at) == cache);
            let (level, bytes, name) = CACHES[found.ok_or(HSA_STATUS_ERROR_INVALID_CACHE)?.1];
            match attribute {
                HSA_CACHE_INFO_NAME_LENGTH => value.put(name.len() as u32),
                HSA_CACHE_INFO_NAME => value.put_bytes(name.as_bytes()),
                HSA_CACHE_INFO_LEVEL => value.put(level),
                HSA_CACHE_INFO_SIZE => value.put(bytes),
                _ => Err(HSA_STATUS_ERROR_INVALID_ARGUMENT),
            }
        })
    }

    /// Names the instruction set of an agent. The host has none that kernels could be for.
    fn hsa_agent_iterate_isas(agent: hsa_agent_t, callback: Each<hsa_isa_t>, data: Opaque) -> hsa_status_t {
        status_with(|runtime| each([isa(gpu_of(runtime, agent)?)], callback, data))
    }

    /// Returns the instruction set with a name.
    fn hsa_isa_from_name(name: Text<'_>, isa: Out<hsa_isa_t>) -> hsa_status_t {
        status_with(|runtime| {
            let name = name.get()?;
            let known = (0..runtime.devices.agents()).find(|device| runtime.devices.facts(*device).isa.as_str() == name);
            isa.put(self::isa(known.ok_or(HSA_STATUS_ERROR_INVALID_ISA_NAME)?))
        })
    }

    /// Answers a question about the instruction set.
    fn hsa_isa_get_info_alt(isa: hsa_isa_t, attribute: hsa_isa_info_t, value: Room) -> hsa_status_t {
        status_with(|runtime| isa_info(runtime, isa, attribute, value))
    }

    /// As [`hsa_isa_get_info_alt`], in the spelling of HSA 1.0.
    fn hsa_isa_get_info(isa: hsa_isa_t, attribute: hsa_isa_info_t, index: u32, value: Room) -> hsa_status_t {
        status_with(|runtime| {
            if index != 0 {
                return Err(HSA_STATUS_ERROR_INVALID_INDEX);
            }
            match attribute {
                // HSA_ISA_INFO_CALL_CONVENTION_COUNT, which later headers no longer name.
                2 => value.put(1u32),
                HSA_ISA_INFO_CALL_CONVENTION_INFO_WAVEFRONT_SIZE => value.put(isa_of(runtime, isa)?.wave_size),
                HSA_ISA_INFO_CALL_CONVENTION_INFO_WAVEFRONTS_PER_COMPUTE_UNIT => {
                    value.put(isa_of(runtime, isa)?.waves_per_cu)
                }
                attribute => isa_info(runtime, isa, attribute, value),
            }
        })
    }

    /// Says what exceptions the instruction set can detect: none.
    fn hsa_isa_get_exception_policies(isa: hsa_isa_t, _profile: hsa_profile_t, mask: Out<u16>) -> hsa_status_t {
        status_with(|runtime| {
            isa_of(runtime, isa)?;
            mask.put(0)
        })
    }

    /// Says how often a fused operation rounds: once.
    fn hsa_isa_get_round_method(
        isa: hsa_isa_t,
        _kind: hsa_fp_type_t,
        _flush: hsa_flush_mode_t,
        method: Out<hsa_round_method_t>,
    ) -> hsa_status_t {
        status_with(|runtime| {
            isa_of(runtime, isa)?;
            method.put(HSA_ROUND_METHOD_SINGLE)
        })
    }

    /// Names the kinds of wavefront of the instruction set.
    fn hsa_isa_iterate_wavefronts(isa: hsa_isa_t, callback: Each<hsa_wavefront_t>, data: Opaque) -> hsa_status_t {
        status_with(|runtime| {
            isa_of(runtime, isa)?;
            each([WAVEFRONT], callback, data)
        })
    }

    /// Answers a question about a kind of wavefront.
    fn hsa_wavefront_get_info(
        wavefront: hsa_wavefront_t,
        attribute: hsa_wavefront_info_t,
        value: Room,
    ) -> hsa_status_t {
        status_with(|runtime| match (wavefront, attribute) {
            (WAVEFRONT, HSA_WAVEFRONT_INFO_SIZE) => value.put(runtime.client.device().wave_size),
            (WAVEFRONT, _) => Err(HSA_STATUS_ERROR_INVALID_ARGUMENT),
            _ => Err(HSA_STATUS_ERROR_INVALID_WAVEFRONT),
        })
    }

    /// Whether code for one instruction set runs on another: it does on its own.
    fn hsa_isa_compatible(code: hsa_isa_t, agent: hsa_isa_t, result: Out<bool>) -> hsa_status_t {
        status_with(|runtime| {
            let (code, agent) = (isa_of(runtime, code)?, isa_of(runtime, agent)?);
            result.put(code.isa == agent.isa)
        })
    }
}

/// Returns the handle of a device's instruction set.
fn isa(device: usize) -> hsa_isa_t {
    hsa_isa_t { handle: FIRST_ISA + device as u64 }
}

/// Returns the handle of a device's cache.
fn cache(device: usize, at: usize) -> hsa_cache_t {
    hsa_cache_t { handle: FIRST_CACHE + (device * CACHES.len() + at) as u64 }
}

/// Returns the device that an instruction set was named for.
fn isa_of(runtime: &Runtime, isa: hsa_isa_t) -> Answer<&DeviceFacts> {
    let device = (0..runtime.devices.agents()).find(|device| self::isa(*device) == isa);
    device.map(|device| runtime.devices.facts(device)).ok_or(HSA_STATUS_ERROR_INVALID_ISA)
}

fn isa_info(runtime: &Runtime, isa: hsa_isa_t, attribute: hsa_isa_info_t, value: Room) -> Answer {
    let name = isa_of(runtime, isa)?.isa.as_str();
    match attribute {
        // With its end mark: AMD's library counts it, and programs make room by it.
        HSA_ISA_INFO_NAME_LENGTH => value.put(name.len() as u32 + 1),
        HSA_ISA_INFO_NAME => value.put_bytes(&[name.as_bytes(), b"\0"].concat()),
        HSA_ISA_INFO_MACHINE_MODELS => value.put([false, true]),
        HSA_ISA_INFO_PROFILES => value.put([true, false]),
        HSA_ISA_INFO_DEFAULT_FLOAT_ROUNDING_MODES | HSA_ISA_INFO_BASE_PROFILE_DEFAULT_FLOAT_ROUNDING_MODES => {
            value.put([false, false, true])
        }
        HSA_ISA_INFO_FAST_F16_OPERATION => value.put(true),
        HSA_ISA_INFO_WORKGROUP_MAX_DIM => value.put([WORKGROUP_MAX; 3]),
        HSA_ISA_INFO_WORKGROUP_MAX_SIZE => value.put(u32::from(WORKGROUP_MAX)),
        HSA_ISA_INFO_GRID_MAX_DIM => value.put(GRID_MAX),
        HSA_ISA_INFO_GRID_MAX_SIZE => value.put(u64::MAX),
        HSA_ISA_INFO_FBARRIER_MAX_SIZE => value.put(32u32),
        _ => Err(HSA_STATUS_ERROR_INVALID_ARGUMENT),
    }
}

const GRID_MAX: hsa_dim3_t = hsa_dim3_t { x: u32::MAX, y: u32::MAX, z: u32::MAX };

fn device_info(runtime: &Runtime, number: usize, attribute: hsa_agent_info_t, value: Room) -> Answer {
    let device = runtime.devices.facts(number);
    match attribute {
        HSA_AGENT_INFO_NAME => value.put_text::<64>(processor(device.isa.as_str())),
        HSA_AGENT_INFO_VENDOR_NAME => value.put_text::<64>("AMD"),
        HSA_AGENT_INFO_FEATURE => value.put(HSA_AGENT_FEATURE_KERNEL_DISPATCH),
        HSA_AGENT_INFO_MACHINE_MODEL => value.put(HSA_MACHINE_MODEL_LARGE),
        HSA_AGENT_INFO_PROFILE => value.put(HSA_PROFILE_BASE),
        HSA_AGENT_INFO_DEFAULT_FLOAT_ROUNDING_MODE | HSA_AGENT_INFO_BASE_PROFILE_DEFAULT_FLOAT_ROUNDING_MODES => {
            value.put(HSA_DEFAULT_FLOAT_ROUNDING_MODE_NEAR)
        }
        HSA_AGENT_INFO_FAST_F16_OPERATION => value.put(true),
        HSA_AGENT_INFO_WAVEFRONT_SIZE => value.put(device.wave_size),
        HSA_AGENT_INFO_WORKGROUP_MAX_DIM => value.put([WORKGROUP_MAX; 3]),
        HSA_AGENT_INFO_WORKGROUP_MAX_SIZE => value.put(u32::from(WORKGROUP_MAX)),
        HSA_AGENT_INFO_GRID_MAX_DIM => value.put(GRID_MAX),
        HSA_AGENT_INFO_GRID_MAX_SIZE => value.put(u32::MAX),
        HSA_AGENT_INFO_FBARRIER_MAX_SIZE => value.put(32u32),
        HSA_AGENT_INFO_QUEUES_MAX => value.put(device.queues),
        HSA_AGENT_INFO_QUEUE_MIN_SIZE => value.put(crate::queue::SLOTS_MIN),
        HSA_AGENT_INFO_QUEUE_MAX_SIZE => value.put(device.ring_slots_max),
        HSA_AGENT_INFO_QUEUE_TYPE => value.put(HSA_QUEUE_TYPE_MULTI),
        HSA_AGENT_INFO_NODE | HSA_AMD_AGENT_INFO_DRIVER_NODE_ID => value.put(1 + number as u32),
        HSA_AGENT_INFO_DEVICE => value.put(HSA_DEVICE_TYPE_GPU),
        HSA_AGENT_INFO_CACHE_SIZE => value.put([CACHES[0].1, CACHES[1].1, 0, 0]),
        HSA_AGENT_INFO_ISA => value.put(isa(number)),
        // HIP gives pitched memory and two-dimensional copies only to devices with images.
        HSA_AGENT_INFO_EXTENSIONS => value.put(extensions(&[HSA_EXTENSION_IMAGES])),
        HSA_AGENT_INFO_VERSION_MAJOR | HSA_AGENT_INFO_VERSION_MINOR => value.put(1u16),
        HSA_AMD_AGENT_INFO_CHIP_ID => value.put(chip(device.isa.as_str())),
        HSA_AMD_AGENT_INFO_CACHELINE_SIZE => value.put(64u32),
        HSA_AMD_AGENT_INFO_COMPUTE_UNIT_COUNT | HSA_AMD_AGENT_INFO_COOPERATIVE_COMPUTE_UNIT_COUNT => {
            value.put(device.compute_units)
        }
        HSA_AMD_AGENT_INFO_MAX_CLOCK_FREQUENCY => value.put(device.clock_mhz),
        HSA_AMD_AGENT_INFO_MAX_ADDRESS_WATCH_POINTS => value.put(4u32),
        // From bus 1 on: some programs take 0 for "no card".
        HSA_AMD_AGENT_INFO_BDFID => value.put((1 + number as u32) << 8),
        HSA_AMD_AGENT_INFO_MEMORY_WIDTH => value.put(4096u32),
        HSA_AMD_AGENT_INFO_MEMORY_MAX_FREQUENCY => value.put(1600u32),
        HSA_AMD_AGENT_INFO_PRODUCT_NAME => value.put_text::<64>(device.name.as_str()),
        HSA_AMD_AGENT_INFO_MAX_WAVES_PER_CU => value.put(device.waves_per_cu),
        HSA_AMD_AGENT_INFO_NUM_SIMDS_PER_CU => value.put(device.simds_per_cu),
        HSA_AMD_AGENT_INFO_NUM_SHADER_ENGINES
        | HSA_AMD_AGENT_INFO_NUM_SHADER_ARRAYS_PER_SE
        | HSA_AMD_AGENT_INFO_ASIC_REVISION
        | HSA_AMD_AGENT_INFO_NUM_XCC => value.put(1u32),
        HSA_AMD_AGENT_INFO_HDP_FLUSH => value.put([0u64; 2]),
        HSA_AMD_AGENT_INFO_DOMAIN | HSA_AMD_AGENT_INFO_DRIVER_UID => value.put(0u32),
        HSA_AMD_AGENT_INFO_COOPERATIVE_QUEUES => value.put(true),
        HSA_AMD_AGENT_INFO_UUID => value.put_text::<21>(&uuid(device.uuid)),
        HSA_AMD_AGENT_INFO_SVM_DIRECT_HOST_ACCESS => value.put(false),
        HSA_AMD_AGENT_INFO_MEMORY_AVAIL => {
            let memory = runtime.devices.session(number).memory_use().map_err(failed)?;
            value.put(memory.vram_limit.0.saturating_sub(memory.vram_used.0))
        }
        HSA_AMD_AGENT_INFO_TIMESTAMP_FREQUENCY => value.put(1_000_000_000u64),
        // The family of gfx9 cards.
        HSA_AMD_AGENT_INFO_ASIC_FAMILY_ID => value.put(141u32),
        HSA_AMD_AGENT_INFO_UCODE_VERSION | HSA_AMD_AGENT_INFO_SDMA_UCODE_VERSION => value.put(0u32),
        HSA_AMD_AGENT_INFO_NUM_SDMA_ENG => value.put(2u32),
        HSA_AMD_AGENT_INFO_NUM_SDMA_XGMI_ENG => value.put(0u32),
        HSA_AMD_AGENT_INFO_IOMMU_SUPPORT => value.put(HSA_IOMMU_SUPPORT_NONE),
        HSA_AMD_AGENT_INFO_NEAREST_CPU => value.put(Agent::Host.handle()),
        HSA_AMD_AGENT_INFO_MEMORY_PROPERTIES | HSA_AMD_AGENT_INFO_AQL_EXTENSIONS => value.put([0u8; 8]),
        HSA_AMD_AGENT_INFO_SCRATCH_LIMIT_MAX | HSA_AMD_AGENT_INFO_SCRATCH_LIMIT_CURRENT => value.put(device.vram.0),
        _ => image_info(attribute, value),
    }
}

/// What an image may be. A device without texture units still has these limits: HIP derives the pitch of linear memory from them.
pub(crate) fn image_info(attribute: hsa_agent_info_t, value: Room) -> Answer {
    match attribute {
        HSA_EXT_AGENT_INFO_IMAGE_1D_MAX_ELEMENTS | HSA_EXT_AGENT_INFO_IMAGE_1DA_MAX_ELEMENTS => value.put(IMAGE_EDGE),
        HSA_EXT_AGENT_INFO_IMAGE_1DB_MAX_ELEMENTS => value.put(u32::MAX),
        HSA_EXT_AGENT_INFO_IMAGE_2D_MAX_ELEMENTS
        | HSA_EXT_AGENT_INFO_IMAGE_2DA_MAX_ELEMENTS
        | HSA_EXT_AGENT_INFO_IMAGE_2DDEPTH_MAX_ELEMENTS
        | HSA_EXT_AGENT_INFO_IMAGE_2DADEPTH_MAX_ELEMENTS => value.put([IMAGE_EDGE; 2]),
        HSA_EXT_AGENT_INFO_IMAGE_3D_MAX_ELEMENTS => value.put([IMAGE_EDGE, IMAGE_EDGE, 8192]),
        HSA_EXT_AGENT_INFO_IMAGE_ARRAY_MAX_LAYERS => value.put(8192u32),
        HSA_EXT_AGENT_INFO_MAX_IMAGE_RD_HANDLES => value.put(128u32),
        HSA_EXT_AGENT_INFO_MAX_IMAGE_RORW_HANDLES => value.put(64u32),
        HSA_EXT_AGENT_INFO_MAX_SAMPLER_HANDLERS => value.put(16u32),
        HSA_EXT_AGENT_INFO_IMAGE_LINEAR_ROW_PITCH_ALIGNMENT => value.put(256u32),
        _ => Err(HSA_STATUS_ERROR_INVALID_ARGUMENT),
    }
}

fn host_info(attribute: hsa_agent_info_t, value: Room) -> Answer {
    match attribute {
        HSA_AGENT_INFO_NAME | HSA_AMD_AGENT_INFO_PRODUCT_NAME => value.put_text::<64>(&host_name()),
        HSA_AGENT_INFO_VENDOR_NAME => value.put_text::<64>("CPU"),
        HSA_AGENT_INFO_FEATURE => value.put(0u32),
        HSA_AGENT_INFO_MACHINE_MODEL => value.put(HSA_MACHINE_MODEL_LARGE),
        HSA_AGENT_INFO_PROFILE => value.put(HSA_PROFILE_FULL),
        HSA_AGENT_INFO_DEFAULT_FLOAT_ROUNDING_MODE | HSA_AGENT_INFO_BASE_PROFILE_DEFAULT_FLOAT_ROUNDING_MODES => {
            value.put(HSA_DEFAULT_FLOAT_ROUNDING_MODE_NEAR)
        }
        HSA_AGENT_INFO_FAST_F16_OPERATION => value.put(false),
        HSA_AGENT_INFO_WORKGROUP_MAX_DIM => value.put([0u16; 3]),
        HSA_AGENT_INFO_GRID_MAX_DIM => value.put([0u32; 3]),
        HSA_AGENT_INFO_DEVICE => value.put(HSA_DEVICE_TYPE_CPU),
        HSA_AGENT_INFO_CACHE_SIZE => value.put([32u32 << 10, 0, 0, 0]),
        HSA_AGENT_INFO_ISA => value.put(hsa_isa_t { handle: 0 }),
        HSA_AGENT_INFO_EXTENSIONS => value.put([0u8; 128]),
        HSA_AGENT_INFO_VERSION_MAJOR | HSA_AGENT_INFO_VERSION_MINOR => value.put(1u16),
        HSA_AGENT_INFO_QUEUE_TYPE => value.put(HSA_QUEUE_TYPE_MULTI),
        HSA_AGENT_INFO_WAVEFRONT_SIZE
        | HSA_AGENT_INFO_WORKGROUP_MAX_SIZE
        | HSA_AGENT_INFO_GRID_MAX_SIZE
        | HSA_AGENT_INFO_FBARRIER_MAX_SIZE
        | HSA_AGENT_INFO_QUEUES_MAX
        | HSA_AGENT_INFO_QUEUE_MIN_SIZE
        | HSA_AGENT_INFO_QUEUE_MAX_SIZE
        | HSA_AGENT_INFO_NODE => value.put(0u32),
        HSA_AMD_AGENT_INFO_COMPUTE_UNIT_COUNT => {
            value.put(std::thread::available_parallelism().map_or(1, |n| n.get() as u32))
        }
        HSA_AMD_AGENT_INFO_CACHELINE_SIZE => value.put(64u32),
        HSA_AMD_AGENT_INFO_UUID => value.put_text::<21>("CPU-XX"),
        HSA_AMD_AGENT_INFO_HDP_FLUSH => value.put([0u64; 2]),
        HSA_AMD_AGENT_INFO_COOPERATIVE_QUEUES => value.put(false),
        HSA_AMD_AGENT_INFO_SVM_DIRECT_HOST_ACCESS => value.put(true),
        HSA_AMD_AGENT_INFO_TIMESTAMP_FREQUENCY => value.put(1_000_000_000u64),
        HSA_AMD_AGENT_INFO_MEMORY_AVAIL => value.put(0u64),
        HSA_AMD_AGENT_INFO_IOMMU_SUPPORT => value.put(HSA_IOMMU_SUPPORT_NONE),
        HSA_AMD_AGENT_INFO_NEAREST_CPU => value.put(Agent::Host.handle()),
        HSA_AMD_AGENT_INFO_MEMORY_PROPERTIES | HSA_AMD_AGENT_INFO_AQL_EXTENSIONS => value.put([0u8; 8]),
        HSA_AMD_AGENT_INFO_CHIP_ID
        | HSA_AMD_AGENT_INFO_MAX_CLOCK_FREQUENCY
        | HSA_AMD_AGENT_INFO_DRIVER_NODE_ID
        | HSA_AMD_AGENT_INFO_MAX_ADDRESS_WATCH_POINTS
        | HSA_AMD_AGENT_INFO_BDFID
        | HSA_AMD_AGENT_INFO_MEMORY_WIDTH
        | HSA_AMD_AGENT_INFO_MEMORY_MAX_FREQUENCY
        | HSA_AMD_AGENT_INFO_MAX_WAVES_PER_CU
        | HSA_AMD_AGENT_INFO_NUM_SIMDS_PER_CU
        | HSA_AMD_AGENT_INFO_NUM_SHADER_ENGINES
        | HSA_AMD_AGENT_INFO_NUM_SHADER_ARRAYS_PER_SE
        | HSA_AMD_AGENT_INFO_DOMAIN
        | HSA_AMD_AGENT_INFO_ASIC_REVISION
        | HSA_AMD_AGENT_INFO_COOPERATIVE_COMPUTE_UNIT_COUNT
        | HSA_AMD_AGENT_INFO_ASIC_FAMILY_ID
        | HSA_AMD_AGENT_INFO_UCODE_VERSION
        | HSA_AMD_AGENT_INFO_SDMA_UCODE_VERSION
        | HSA_AMD_AGENT_INFO_NUM_SDMA_ENG
        | HSA_AMD_AGENT_INFO_NUM_SDMA_XGMI_ENG
        | HSA_AMD_AGENT_INFO_NUM_XCC
        | HSA_AMD_AGENT_INFO_DRIVER_UID => value.put(0u32),
        _ => Err(HSA_STATUS_ERROR_INVALID_ARGUMENT),
    }
}

/// Returns the processor of an instruction set's name: `gfx90a` of `amdgcn-amd-amdhsa--gfx90a:sramecc+:xnack-`.
fn processor(isa: &str) -> &str {
    let target = isa.rsplit_once("--").map_or(isa, |(_, target)| target);
    target.split(':').next().unwrap_or(target)
}

/// Returns the PCI number of the card that a device imitates.
fn chip(isa: &str) -> u32 {
    match processor(isa) {
        "gfx90a" => 0x740f,
        "gfx942" => 0x74a1,
        _ => 0,
    }
}

/// Returns the name of the host's processor, as AMD's library finds it.
fn host_name() -> String {
    let facts = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = facts.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    line.map_or_else(|| "CPU".to_owned(), |(_, name)| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_is_found_in_the_name_of_its_instruction_set() {
        assert_eq!(processor("amdgcn-amd-amdhsa--gfx90a:sramecc+:xnack-"), "gfx90a");
        assert_eq!(processor("amdgcn-amd-amdhsa--gfx942"), "gfx942");
        assert_eq!(chip("amdgcn-amd-amdhsa--gfx90a:sramecc+:xnack-"), 0x740f);
    }
}
