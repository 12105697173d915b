//! Agents: the host and the GPUs, and their memory pools.

use std::ffi::c_void;

use super::{HsaError, Runtime};
use crate::raw::*;

/// A device of the runtime.
#[derive(Clone)]
pub struct Agent {
    pub(super) runtime: Runtime,
    pub(super) handle: hsa_agent_t,
}

/// Facts about a GPU that never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentFacts {
    /// Processor name, such as `gfx90a`.
    pub name: String,
    /// Name for people.
    pub product: String,
    /// `GPU-` and sixteen hexadecimal digits, or `GPU-XX` where the hardware has no identity.
    pub uuid: String,
    /// Full name of the instruction set, features included.
    pub isa: String,
    /// Compute units.
    pub compute_units: u32,
    /// Lanes of a wave.
    pub wavefront: u32,
    /// Most queues at once.
    pub queues_max: u32,
    /// Bytes of device memory.
    pub vram_bytes: u64,
    /// Highest clock in MHz.
    pub clock_mhz: u32,
    /// Node of the kernel driver's topology.
    pub node: u32,
}

/// The pools of an agent, as far as this crate allocates from them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pools {
    pub(super) coarse: Option<hsa_amd_memory_pool_t>,
    pub(super) fine: Option<hsa_amd_memory_pool_t>,
}

impl Runtime {
    /// Returns the GPUs, in the runtime's order.
    pub fn gpus(&self) -> Result<Vec<Agent>, HsaError> {
        self.agents(HSA_DEVICE_TYPE_GPU)
    }

    /// Returns the host.
    pub fn host(&self) -> Result<Agent, HsaError> {
        let first = self.agents(HSA_DEVICE_TYPE_CPU)?.into_iter().next();
        first.ok_or_else(|| HsaError {
            call: "hsa_iterate_agents",
            status: HSA_STATUS_ERROR,
            text: "no host".to_owned(),
        })
    }

    fn agents(&self, kind: hsa_device_type_t) -> Result<Vec<Agent>, HsaError> {
        let mut handles: Vec<hsa_agent_t> = Vec::new();
        // SAFETY: the callback gets the pointer it was promised, during this call only.
        let status = unsafe {
            (self.library().core.hsa_iterate_agents)(Some(collect::<hsa_agent_t>), (&raw mut handles).cast::<c_void>())
        };
        self.check("hsa_iterate_agents", status)?;
        let agents = handles.into_iter().map(|handle| Agent { runtime: self.clone(), handle });
        let mut chosen = Vec::new();
        for agent in agents {
            if agent.info::<hsa_device_type_t>(HSA_AGENT_INFO_DEVICE)? == kind {
                chosen.push(agent);
            }
        }
        Ok(chosen)
    }
}

/// Puts what is iterated over into a vector.
unsafe extern "C" fn collect<T>(item: T, list: *mut c_void) -> hsa_status_t {
    // SAFETY: whoever passed this function passed a vector of this type, and nobody else uses it meanwhile.
    unsafe { &mut *list.cast::<Vec<T>>() }.push(item);
    HSA_STATUS_SUCCESS
}

/// Types whose every bit pattern is a value: what an attribute may be.
trait Attribute: Copy {
    const ZERO: Self;
}

impl Attribute for u32 {
    const ZERO: u32 = 0;
}

impl Attribute for usize {
    const ZERO: usize = 0;
}

impl<const N: usize> Attribute for [u8; N] {
    const ZERO: [u8; N] = [0; N];
}

impl Agent {
    /// Returns an attribute. The caller names the type that the header gives it.
    fn info<T: Attribute>(&self, attribute: hsa_agent_info_t) -> Result<T, HsaError> {
        let mut value = T::ZERO;
        // SAFETY: callers in this module pair attributes with the types of the header, none larger than `T`.
        let status = unsafe {
            (self.runtime.library().core.hsa_agent_get_info)(self.handle, attribute, (&raw mut value).cast::<c_void>())
        };
        self.runtime.check("hsa_agent_get_info", status)?;
        Ok(value)
    }

    /// Returns what never changes.
    pub fn facts(&self) -> Result<AgentFacts, HsaError> {
        let vram = match self.pools()?.coarse {
            Some(pool) => self.pool_info::<usize>(pool, HSA_AMD_MEMORY_POOL_INFO_SIZE)? as u64,
            None => 0,
        };
        Ok(AgentFacts {
            name: text(&self.info::<[u8; 64]>(HSA_AGENT_INFO_NAME)?),
            product: text(&self.info::<[u8; 64]>(HSA_AMD_AGENT_INFO_PRODUCT_NAME)?),
            uuid: text(&self.info::<[u8; 32]>(HSA_AMD_AGENT_INFO_UUID)?),
            isa: self.isa()?,
            compute_units: self.info(HSA_AMD_AGENT_INFO_COMPUTE_UNIT_COUNT)?,
            wavefront: self.info(HSA_AGENT_INFO_WAVEFRONT_SIZE)?,
            queues_max: self.info(HSA_AGENT_INFO_QUEUES_MAX)?,
            vram_bytes: vram,
            clock_mhz: self.info(HSA_AMD_AGENT_INFO_MAX_CLOCK_FREQUENCY)?,
            node: self.info(HSA_AMD_AGENT_INFO_DRIVER_NODE_ID)?,
        })
    }

    fn isa(&self) -> Result<String, HsaError> {
        let core = &self.runtime.library().core;
        let mut isas: Vec<hsa_isa_t> = Vec::new();
        // SAFETY: as for agents.
        let status = unsafe {
            (core.hsa_agent_iterate_isas)(self.handle, Some(collect::<hsa_isa_t>), (&raw mut isas).cast::<c_void>())
        };
        self.runtime.check("hsa_agent_iterate_isas", status)?;
        let Some(&isa) = isas.first() else { return Ok(String::new()) };
        let mut length = 0u32;
        // SAFETY: this attribute is a uint32_t.
        let status =
            unsafe { (core.hsa_isa_get_info_alt)(isa, HSA_ISA_INFO_NAME_LENGTH, (&raw mut length).cast::<c_void>()) };
        self.runtime.check("hsa_isa_get_info_alt", status)?;
        // Room for a terminator that the length may or may not count.
        let mut name = vec![0u8; length as usize + 1];
        // SAFETY: the name has `length` bytes.
        let status = unsafe { (core.hsa_isa_get_info_alt)(isa, HSA_ISA_INFO_NAME, name.as_mut_ptr().cast::<c_void>()) };
        self.runtime.check("hsa_isa_get_info_alt", status)?;
        Ok(text(&name))
    }

    pub(super) fn pools(&self) -> Result<Pools, HsaError> {
        let mut all: Vec<hsa_amd_memory_pool_t> = Vec::new();
        // SAFETY: as for agents.
        let status = unsafe {
            (self.runtime.library().amd.hsa_amd_agent_iterate_memory_pools)(
                self.handle,
                Some(collect::<hsa_amd_memory_pool_t>),
                (&raw mut all).cast::<c_void>(),
            )
        };
        self.runtime.check("hsa_amd_agent_iterate_memory_pools", status)?;
        let mut pools = Pools::default();
        for pool in all {
            if self.pool_info::<u32>(pool, HSA_AMD_MEMORY_POOL_INFO_SEGMENT)? != HSA_AMD_SEGMENT_GLOBAL {
                continue;
            }
            let flags: u32 = self.pool_info(pool, HSA_AMD_MEMORY_POOL_INFO_GLOBAL_FLAGS)?;
            if flags & HSA_AMD_MEMORY_POOL_GLOBAL_FLAG_COARSE_GRAINED != 0 {
                pools.coarse.get_or_insert(pool);
            } else if flags & HSA_AMD_MEMORY_POOL_GLOBAL_FLAG_FINE_GRAINED != 0 {
                pools.fine.get_or_insert(pool);
            }
        }
        Ok(pools)
    }

    fn pool_info<T: Attribute>(
        &self,
        pool: hsa_amd_memory_pool_t,
        attribute: hsa_amd_memory_pool_info_t,
    ) -> Result<T, HsaError> {
        let mut value = T::ZERO;
        // SAFETY: as for an agent's attributes.
        let status = unsafe {
            (self.runtime.library().amd.hsa_amd_memory_pool_get_info)(
                pool,
                attribute,
                (&raw mut value).cast::<c_void>(),
            )
        };
        self.runtime.check("hsa_amd_memory_pool_get_info", status)?;
        Ok(value)
    }
}

/// Returns the bytes up to the first zero.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
