//! What the fixture says the machine is: one host node, one GPU node with one memory bank, and the link from the GPU to the host.
//!
//! There is no link from the host to the GPU: with one, HIP 5.2 writes small buffers into VRAM by itself; without one every access is a
//! copy, which is what a broker needs to see. Debian's ROCr is built with assertions that read these properties; the comments say
//! which values are not free.

use std::sync::OnceLock;

use gcn::arch::Arch;
use gcn::hardware::WAVE_SLOTS;

use crate::abi::{CPU_NODE, GPU_NODE, HsaCacheProperties, HsaIoLinkProperties, HsaMemoryProperties, HsaNodeProperties};
use crate::config::Config;
use crate::memory::{PAGE, scratch_page};

/// Doorbells as gfx9 has them: 64 bits, the index of the last packet.
const CAPABILITY_DOORBELL_64: u32 = 2 << 12;
/// Register files and LDS keep parity; without it the ISA name says `sramecc-`.
const CAPABILITY_SRAM_ECC: u32 = 1 << 26;
const HEAP_SYSTEM: u32 = 0;
const HEAP_VRAM_PUBLIC: u32 = 1;
const HEAP_LDS: u32 = 4;
const HEAP_SCRATCH: u32 = 5;
const HEAP_MMIO: u32 = 7;
const LINK_PCIE: u32 = 2;
const CACHE_DATA_CPU: u32 = 1 | 1 << 2;
const CACHE_DATA_GPU: u32 = 1 | 1 << 3;
/// `AMDGPU_FAMILY_AI`: every GFX9 card.
pub(crate) const FAMILY_AI: u32 = 141;

/// The page that stands for the GPU's flush registers.
static REGISTERS: OnceLock<u64> = OnceLock::new();

pub(crate) fn node(config: &Config, id: u32) -> Option<HsaNodeProperties> {
    // SAFETY: every field is an integer, for which zero is a value.
    let mut node: HsaNodeProperties = unsafe { std::mem::zeroed() };
    match id {
        CPU_NODE => {
            node.num_cpu_cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
            node.num_memory_banks = 1;
            node.num_caches = 1;
            node.max_engine_clock_mhz_c = 2000;
            node.drm_render_minor = -1;
            name(&mut node, "Software host", "host");
        }
        GPU_NODE => {
            node.num_f_compute_cores = config.cus * 4;
            node.num_memory_banks = memory(config, id).len() as u32;
            node.num_caches = 1;
            node.num_io_links = 1;
            node.f_compute_id_lo = 0x8000_0000;
            node.capability = CAPABILITY_DOORBELL_64 | CAPABILITY_SRAM_ECC;
            node.max_waves_per_simd = 8;
            node.lds_size_in_kb = 64;
            node.wave_front_size = 64;
            node.num_shader_banks = 1;
            node.num_arrays = 1;
            node.num_cu_per_array = config.cus;
            node.num_simd_per_cu = 4;
            node.max_slots_scratch_cu = WAVE_SLOTS as u32;
            let (major, minor, stepping, device) = match config.arch {
                Arch::Gfx90a => (9, 0, 10, 0x740f),
                Arch::Gfx942 => (9, 4, 2, 0x74a1),
            };
            node.engine_id = 68 | major << 10 | minor << 16 | stepping << 24;
            node.vendor_id = 0x1002;
            node.device_id = device;
            node.location_id = 0x0300;
            node.local_mem_size = config.vram_bytes;
            node.max_engine_clock_mhz_f = 1000;
            node.max_engine_clock_mhz_c = 2000;
            node.drm_render_minor = 128;
            node.num_sdma_engines = 2;
            node.num_sdma_queues_per_engine = 2;
            node.num_cp_queues = 24;
            node.num_gws = 64;
            node.unique_id = 0x5057_4156_4547_0001;
            node.vgpr_size_per_cu = 512 << 10;
            node.sgpr_size_per_cu = 16 << 10;
            // ROCr 6 divides by it.
            node.num_xcc = 1;
            node.kfd_gpu_id = 1;
            node.family_id = FAMILY_AI;
            name(&mut node, "Software GPU on softkmt", config.arch.name());
        }
        _ => return None,
    }
    Some(node)
}

fn name(node: &mut HsaNodeProperties, marketing: &str, amd: &str) {
    let (mut wide, mut narrow) = ([0u16; 64], [0u8; 64]);
    for (to, from) in wide[..63].iter_mut().zip(marketing.encode_utf16()) {
        *to = from;
    }
    for (to, from) in narrow[..63].iter_mut().zip(amd.bytes()) {
        *to = from;
    }
    (node.marketing_name, node.amd_name) = (wide, narrow);
}

pub(crate) fn memory(config: &Config, id: u32) -> Vec<HsaMemoryProperties> {
    let bank = |heap_type, size_in_bytes, virtual_base_address| HsaMemoryProperties {
        heap_type,
        size_in_bytes,
        flags: 0,
        width: 4096,
        memory_clock_max: 1600,
        virtual_base_address,
    };
    match id {
        CPU_NODE => vec![bank(HEAP_SYSTEM, config.host_bytes, 0)],
        GPU_NODE => vec![
            bank(HEAP_VRAM_PUBLIC, config.vram_bytes, 0),
            // Their high words are the apertures that ROCr writes into amd_queue_t; zero asserts.
            bank(HEAP_LDS, 64 << 10, u64::from(gcn::arch::SHARED_APERTURE_HI) << 32),
            bank(HEAP_SCRATCH, 4 << 30, u64::from(gcn::arch::PRIVATE_APERTURE_HI) << 32),
            // A page that can be written: ROCr hands it out as the HDP flush registers.
            bank(HEAP_MMIO, PAGE, *REGISTERS.get_or_init(scratch_page)),
        ],
        _ => Vec::new(),
    }
}

/// ROCr asserts that both kinds of node have a data cache.
pub(crate) fn caches(id: u32) -> Vec<HsaCacheProperties> {
    let cache = |processor, size_kb, line, kind| HsaCacheProperties {
        processor_id_low: processor,
        cache_level: if id == CPU_NODE { 1 } else { 2 },
        cache_size: size_kb,
        cache_line_size: line,
        cache_lines_per_tag: 1,
        cache_associativity: 8,
        cache_latency: 1,
        cache_type: kind,
        sibling_map: [0; 256],
    };
    match id {
        CPU_NODE => vec![cache(0, 32, 64, CACHE_DATA_CPU)],
        GPU_NODE => vec![cache(0x8000_0000, 8192, 128, CACHE_DATA_GPU)],
        _ => Vec::new(),
    }
}

pub(crate) fn links(id: u32) -> Vec<HsaIoLinkProperties> {
    if id != GPU_NODE {
        return Vec::new();
    }
    vec![HsaIoLinkProperties {
        io_link_type: LINK_PCIE,
        node_from: GPU_NODE,
        node_to: CPU_NODE,
        weight: 20,
        minimum_bandwidth: 1000,
        maximum_bandwidth: 16000,
        ..HsaIoLinkProperties::default()
    }]
}
