//! Facts, memory and code.

use anyhow::{Context as _, Result, ensure};
use gcn::aql::Packet;
use gcn::code_object::CodeObject;
use sys::memfd::MemFd;

use super::rig::{Rig, vram};
use super::{Seen, right};
use crate::device::{AliasPart, Allocate, DeviceError, Pool, Rights};

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

pub(super) fn memory_is_copied_where_it_is(rig: &mut Rig) -> Result<Seen> {
    let bytes = pattern(1024 * 1024 + 4099);
    let length = bytes.len() as u64;
    let (first, second) = (rig.upload(&bytes)?, rig.upload(&vec![1; bytes.len()])?);
    let host = rig.host(length)?;
    rig.memory.copy(second + 7, first + 3, length - 7)?;
    ensure!(rig.download(second, 7)? == [1; 7], "what is before a copy has changed");
    ensure!(rig.download(second + 7, bytes.len() - 7)? == bytes[3..bytes.len() - 4], "from device to device");
    rig.memory.copy(host, first, length)?;
    ensure!(rig.download(host, bytes.len())? == bytes, "from device to host");
    rig.memory.copy(second, host + 1, length - 1)?;
    ensure!(rig.download(second, bytes.len() - 1)? == bytes[1..], "from host to device");
    rig.memory.copy(host + length / 2, host, 100)?;
    ensure!(rig.download(host + length / 2, 100)? == bytes[..100], "from host to host");
    let end = first + length.next_multiple_of(PAGE);
    for (to, from) in [(end - 8, second), (second, end - 8), (0x1234_5000, second)] {
        ensure!(rig.memory.copy(to, from, 16).is_err(), "a copy from {from:#x} to {to:#x} leaves its memory");
    }
    // Variables of loaded code are memory too.
    let kernel = kernels::find("vector_add").map(|kernel| kernel.code_object(rig.target)).unwrap_or_default();
    let object = CodeObject::parse(kernel)?;
    let place = rig.memory.allocate(Allocate { rights: Rights::ReadExecute, ..vram(object.image_bytes()) })?;
    let loaded = rig.memory.load_code(&object, kernel, place.address)?;
    let at = object.kernels().first().map_or(0, |kernel| kernel.descriptor_offset);
    rig.memory.copy(host, loaded.image + at, 64)?;
    ensure!(rig.download(host, 64)?.iter().any(|&byte| byte != 0), "a kernel's descriptor is nothing but zeros");
    right()
}

pub(super) fn aliases_show_the_same_memory(rig: &mut Rig) -> Result<Seen> {
    let pages = |object: &MemFd| -> Result<u64> {
        let backing = Some(object.duplicate()?);
        let bytes = object.bytes() as u64;
        let want = Allocate { pool: Pool::Host, bytes, rights: Rights::ReadWrite, address: None, backing };
        Ok(rig.memory.allocate(want)?.address)
    };
    if !rig.device.facts().chooses_addresses {
        return Ok(Seen::Right("where its caller chooses, which its own tests look at".to_owned()));
    }
    let objects = [MemFd::create("first", 2 * PAGE as usize)?, MemFd::create("second", PAGE as usize)?];
    let [first, second] = [pages(&objects[0])?, pages(&objects[1])?];
    let part = |object, offset| AliasPart { object, offset, bytes: PAGE };
    let parts = [part(&objects[1], 0), part(&objects[0], PAGE), part(&objects[0], 0)];
    let alias = rig.memory.place_alias(&parts)?;
    ensure!(alias.bytes == 3 * PAGE, "{} bytes", alias.bytes);
    // A kernel adds in the alias what it finds there.
    let case = kernels::find("vector_add").context("an embedded kernel")?.case(64, 1)?;
    let mut places = Vec::new();
    for (buffer, at) in case.buffers.iter().zip([alias.address, alias.address + PAGE, alias.address + 2 * PAGE]) {
        let whole = if at == alias.address {
            second
        } else if at == alias.address + PAGE {
            first + PAGE
        } else {
            first
        };
        rig.memory.write(whole, &buffer.bytes)?;
        places.push((at, whole));
    }
    let seen: Vec<u64> = places.iter().map(|place| place.0).collect();
    let mut queue = rig.queue(64)?;
    let dispatch = rig.dispatch(&case, &seen)?;
    rig.put(&mut queue, &Packet::kernel(&dispatch, false, 0))?;
    rig.run()?;
    ensure!(rig.faults().is_empty(), "a kernel does not see the alias");
    let whole: Vec<u64> = places.iter().map(|place| place.1).collect();
    rig.check(&case, &whole)?;
    rig.memory.free(alias.address)?;
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
