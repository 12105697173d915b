//! Facts, memory and code.

use anyhow::{Result, ensure};
use gcn::code_object::CodeObject;

use super::rig::{Rig, vram};
use super::{Seen, right};
use crate::device::{Allocate, DeviceError, Rights};

const PAGE: u64 = 4096;

pub(super) fn facts_make_sense(rig: &mut Rig) -> Result<Seen> {
    let facts = rig.device.facts();
    ensure!(facts.target.starts_with("gfx"), "it is {:?}", facts.target);
    ensure!(facts.compute_units > 0, "it has no compute units");
    ensure!(facts.vram_bytes >= 1 << 26, "it has {} bytes of memory", facts.vram_bytes);
    ensure!([32, 64].contains(&facts.wave_lanes), "its waves have {} lanes", facts.wave_lanes);
    ensure!(facts.timestamp_hz >= 1_000_000, "its clock has {} Hz", facts.timestamp_hz);
    Ok(Seen::Right(format!(
        "{}, {} compute units, {} MiB, stops work by {:?}",
        facts.target,
        facts.compute_units,
        facts.vram_bytes >> 20,
        facts.preemption
    )))
}

/// Bytes that repeat nowhere near a page.
fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes as u32).map(|n| (n.wrapping_mul(7) + n / 251) as u8).collect()
}

pub(super) fn memory_keeps_what_is_written(rig: &mut Rig) -> Result<Seen> {
    let bytes = pattern(3 * 1024 * 1024 + 77);
    let at = rig.upload(&bytes)?;
    ensure!(rig.download(at, bytes.len())? == bytes, "it is not what was written");
    // Across the pieces in which devices copy.
    ensure!(rig.download(at + 1_048_570, 20)? == bytes[1_048_570..1_048_590], "a part is not what was written");
    rig.memory.write(at + 4093, &[9; 7])?;
    let around = rig.download(at + 4092, 9)?;
    ensure!(around == [&bytes[4092..4093], &[9; 7], &bytes[4100..4101]].concat(), "a small write is not in its place");
    ensure!(rig.memory.read(at + bytes.len().next_multiple_of(4096) as u64 - 8, &mut [0; 16]).is_err(), "past the end");
    let host = rig.host(PAGE)?;
    rig.memory.write(host, &bytes[..100])?;
    ensure!(rig.download(host, 100)? == bytes[..100], "host memory is not what was written");
    right()
}

pub(super) fn memory_comes_clean(rig: &mut Rig) -> Result<Seen> {
    let bytes = vec![0xa5; 5 * 1024 * 1024];
    for round in 0..4 {
        let at = rig.memory.allocate(vram(bytes.len() as u64))?.address;
        let dirty = rig.download(at, bytes.len())?.iter().filter(|&&b| b != 0).count();
        ensure!(dirty == 0, "round {round}: {dirty} bytes were not clear");
        rig.memory.write(at, &bytes)?;
        rig.memory.free(at)?;
    }
    right()
}

pub(super) fn memory_runs_out_and_comes_back(rig: &mut Rig) -> Result<Seen> {
    let (all, used) = (rig.device.facts().vram_bytes, rig.memory.vram_used());
    for bytes in [all + PAGE, 1 << 60, u64::MAX] {
        let refused = rig.memory.allocate(vram(bytes));
        ensure!(matches!(refused, Err(DeviceError::OutOfMemory { .. })), "{bytes} bytes: {refused:?}");
    }
    ensure!(rig.memory.vram_used() == used, "what was refused is counted");
    let quarter = all / 4 / PAGE * PAGE;
    let some = rig.memory.allocate(vram(quarter))?;
    ensure!(rig.memory.vram_used() == used + quarter, "what was given is not counted");
    let refused = rig.memory.allocate(vram(all - quarter));
    ensure!(used == 0 || matches!(refused, Err(DeviceError::OutOfMemory { .. })), "more than is left: {refused:?}");
    rig.memory.free(some.address)?;
    let missing = rig.memory.free(some.address);
    ensure!(matches!(missing, Err(DeviceError::NoSuchMemory { .. })), "freed twice: {missing:?}");
    if let Ok(rest) = refused {
        rig.memory.free(rest.address)?;
    }
    ensure!(rig.memory.vram_used() == used, "what was freed is counted");
    right()
}

pub(super) fn code_is_checked(rig: &mut Rig) -> Result<Seen> {
    let own = kernels::find("vector_add").map(|kernel| kernel.code_object(rig.target)).unwrap_or_default();
    let object = CodeObject::parse(own)?;
    let place = |bytes| rig.memory.allocate(Allocate { rights: Rights::ReadExecute, ..vram(bytes) });
    let loaded = rig.memory.load_code(&object, own, place(object.image_bytes())?.address)?;
    ensure!(loaded.kernels.iter().any(|k| k.name == "vector_add"), "the kernel was not found");
    let small = rig.memory.load_code(&object, own, place(1)?.address);
    ensure!(object.image_bytes() <= PAGE || small.is_err(), "it was loaded into too little memory");
    for target in kernels::Target::ALL.into_iter().filter(|&target| target != rig.target) {
        let other = kernels::find("vector_add").map(|kernel| kernel.code_object(target)).unwrap_or_default();
        let object = CodeObject::parse(other)?;
        let refused = rig.memory.load_code(&object, other, place(object.image_bytes())?.address);
        ensure!(matches!(refused, Err(DeviceError::WrongTarget { .. })), "code for {target}: {refused:?}");
    }
    let nowhere = rig.memory.load_code(&object, own, 0x1234_5000);
    ensure!(matches!(nowhere, Err(DeviceError::NoSuchMemory { .. })), "code in no memory: {nowhere:?}");
    right()
}
