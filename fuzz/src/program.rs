//! Code objects, damaged anywhere, loaded as their own words say and run: descriptors, metadata and code disagree as nobody's compiler makes them.
//!
//! Promise: what the loader accepts can be launched or is refused with a name, and what is launched can be stopped and got rid of.

use gcn::aql::{KernelDispatch, Packet};
use gcn::arch::Arch;
use gcn::code_object::CodeObject;
use gcn::engine::Outcome;
use gcn::hardware::CuHardware;
use gcn::kernarg::{KernargBuilder, Launch};

use crate::rig::{CUS, Tenant};

/// Kernels of one object that are tried.
const KERNELS_TRIED: usize = 3;
const QUESTIONS: u32 = 40;

pub(crate) fn feed(file: &[u8]) {
    let Ok(object) = CodeObject::parse(file) else { return };
    if object.image_bytes() > 1 << 20 {
        return;
    }
    for arch in Arch::ALL {
        let mut tenant = Tenant::new(arch);
        let Some(at) = tenant.place(&vec![0; object.image_bytes() as usize]) else { return };
        let Ok(image) = object.image(at, &|_| Some(0x1000)) else { return };
        tenant.write(at, &image);
        let mut hw = CuHardware::power_on(CUS as usize);
        for kernel in object.kernels().iter().take(KERNELS_TRIED) {
            let (grid, workgroup) = ([100, 3, 1], [64, 2, 1]);
            let launch = Launch::new(grid, workgroup);
            let setup = u16::from(launch.dims);
            // Arguments that the metadata describes, as far as they can be given; a kernel without them reads zeroes.
            let built = KernargBuilder::new(kernel, launch).and_then(KernargBuilder::finish);
            let arguments = built.map(|built| built.bytes).unwrap_or_else(|error| {
                assert!(!error.to_string().is_empty());
                vec![0; 256]
            });
            let Some(kernarg_address) = tenant.place(&arguments) else { return };
            let dispatch = KernelDispatch {
                setup,
                workgroup,
                grid,
                private_segment_size: kernel.private_segment_fixed_size,
                group_segment_size: kernel.group_segment_fixed_size,
                kernel_object: at + kernel.descriptor_offset,
                kernarg_address,
            };
            tenant.put(&Packet::kernel(&dispatch, true, tenant.signal));
        }
        for _ in 0..3 {
            if tenant.turn(&mut hw, QUESTIONS) == Outcome::Drained {
                break;
            }
            hw.iter_mut().for_each(CuHardware::scrub);
        }
        assert!(tenant.context.destroy_queue(tenant.queue));
        tenant.context.resume(&mut hw);
        assert_eq!(tenant.context.size().waves, 0);
    }
}
