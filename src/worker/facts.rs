//! What a tenant is told about its device.

use crate::device::{DeviceFacts, Preemption};
use gcn::arch::{Arch, LANES};
use gcn::hardware::{LDS_BYTES, SIMDS, WAVE_SLOTS};
use proto::limits::RING_SLOTS_MAX;
use proto::message::worker::SessionLimits;
use proto::message::{self, ArenaRule, Capability};
use proto::text::Text;
use proto::{Bytes, DeviceAddress};

/// Lowest address a tenant may choose: no program has anything below it that it could share.
pub(super) const ARENA_LOWEST: u64 = 1 << 16;
/// Longest arena: user addresses of x86-64.
pub(super) const ARENA_BYTES_MAX: u64 = 1 << 46;

/// Returns the device as a tenant with these limits sees it; `uuid` tells it from the broker's others.
pub(super) fn of(device: &DeviceFacts, uuid: u64, limits: &SessionLimits) -> message::DeviceFacts {
    let (name, isa, clock_mhz) = match Arch::from_name(&device.target) {
        Some(Arch::Gfx90a) => ("Wavegate software MI210", "amdgcn-amd-amdhsa--gfx90a:sramecc+:xnack-", 1_700),
        Some(Arch::Gfx942) => ("Wavegate software MI300X", "amdgcn-amd-amdhsa--gfx942:sramecc+:xnack-", 2_100),
        None => (device.name.as_str(), device.target.as_str(), 0),
    };
    // Hardware goes by its processor: its name in `--device` may hold paths of the host, which are no tenant's business.
    let card = format!("Wavegate {}", device.target);
    let name = if device.chooses_addresses { &card } else { name };
    message::DeviceFacts {
        name: Text::truncated(name),
        isa: Text::truncated(isa),
        uuid,
        compute_units: device.compute_units,
        simds_per_cu: SIMDS as u32,
        waves_per_cu: WAVE_SLOTS as u32,
        wave_size: LANES as u32,
        lds_bytes: LDS_BYTES as u32,
        clock_mhz,
        vram: Bytes(limits.vram.0.min(device.vram_bytes)),
        host_memory: limits.host_memory,
        queues: limits.queues,
        ring_slots_max: RING_SLOTS_MAX,
        arena: if device.chooses_addresses { ArenaRule::Backend } else { ArenaRule::Tenant },
        vram_mappable: u32::from(device.vram_mappable),
        arena_lowest: DeviceAddress(ARENA_LOWEST),
        arena_bytes_max: Bytes(ARENA_BYTES_MAX),
        capability: match device.preemption {
            Preemption::Suspend => Capability::Suspend,
            Preemption::Drain | Preemption::Kill => Capability::Drain,
        },
    }
}
