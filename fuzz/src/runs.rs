//! Real kernels with some of their instructions changed, with and without translation.
//!
//! Promise: a kernel that ends leaves the same memory, the same registers and LDS, the same count of instructions and the same fault whether its straight
//! vector code is translated at the first visit or never.
//!
//! The bytes are those of the target [`kernel`](super::kernel).

use gcn::engine::Outcome;
use gcn::hardware::{CuHardware, SIMD_ROWS};
use gcn::memory::Memory;

use crate::kernel::apply;
use crate::rig::{BASE, CUS, Fuel, Tenant, place_of};

/// Questions until a kernel is given up: each is some 256 instructions of a wave.
const QUESTIONS: u32 = 2000;

pub(crate) fn feed(data: &[u8]) {
    let &[program, place, seed, ref changes @ ..] = data else { return };
    let (arch, target, level) = place_of(place);
    let kernel = &kernels::all()[usize::from(program) % kernels::all().len()];
    let Some(object) = kernel.code_object_at(target, level) else { return };
    let case = kernel.small_case(u64::from(seed));
    let run = |translate: Option<u32>| {
        let mut tenant = Tenant::new(arch);
        tenant.context.set_translation(translate);
        tenant.submit(object, &case, |code| apply(changes, code))?;
        let mut hw = CuHardware::power_on(CUS as usize);
        let report = tenant.context.run(&mut hw, &tenant.mem, &Fuel::new(QUESTIONS));
        let mut memory = vec![0; (tenant.end() - BASE) as usize];
        tenant.mem.read(BASE, &mut memory).expect("the tenant's memory");
        let error = tenant.context.queue_error(tenant.queue).map(ToString::to_string);
        // A fault is met by one wave; how far the others are by then is nobody's promise, but it is the same.
        (report.outcome == Outcome::Drained).then_some((memory, hw, report.instructions, error))
    };
    let (Some(plain), Some(translated)) = (run(None), run(Some(0))) else { return };
    let name = kernel.name;
    assert_eq!(plain.3, translated.3, "{name}: another fault when translated");
    assert_eq!(plain.2, translated.2, "{name}: another count of instructions when translated");
    assert!(plain.0 == translated.0, "{name}: other memory when translated");
    for (one, other) in plain.1.iter().zip(&translated.1) {
        let registers = |cu: &CuHardware| cu.vgpr.each_ref().map(|file| file[..SIMD_ROWS].to_vec());
        assert!(registers(one) == registers(other), "{name}: other vector registers when translated");
        assert!(
            one.sgpr == other.sgpr && one.lds == other.lds,
            "{name}: other scalar registers or LDS when translated"
        );
    }
}
