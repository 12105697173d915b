//! Copies and fills. Where the session's memory is mapped here, they are done here, by this process's own processor; the device copies what is not.
//!
//! Promises:
//! - a copy begins when all signals it depends on are zero, and completes its own signal when its bytes have arrived, with its times;
//! - small copies that can begin at once are done before the call returns; all others in the order in which they can begin, by one thread;
//! - a copy that the device could not do leaves a negative value in its signal, as AMD's library does;
//! - addresses of ours with nothing behind them are refused. An address of the program's own that is not mapped is a fault of the
//!   program, as it would be in `memcpy`.

use std::collections::VecDeque;
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use client::Deadline;
use hsa_sys::raw::*;

use crate::agent::agent_of;
use crate::edge::{Answer, In, Opaque, Out};
use crate::export::export;
use crate::memory::{Use, is_unmapped, reach};
use crate::runtime::{Runtime, failed, status_with, without_signals};
use crate::signal::{all_done, complete, signal_of, spoil};
use crate::system::now_ns;

/// Up to this many bytes a copy costs less than waking a thread for it.
const AT_ONCE: usize = 256 << 10;

/// Rows to copy: `rows` x `slices` pieces of `bytes` bytes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    from: u64,
    to: u64,
    bytes: usize,
    rows: usize,
    slices: usize,
    from_pitch: [usize; 2],
    to_pitch: [usize; 2],
    /// Which ends are not mapped here.
    from_device: bool,
    to_device: bool,
}

impl Piece {
    fn line(from: u64, to: u64, bytes: usize) -> Piece {
        let pitch = [0; 2];
        Piece {
            from,
            to,
            bytes,
            rows: 1,
            slices: 1,
            from_pitch: pitch,
            to_pitch: pitch,
            from_device: false,
            to_device: false,
        }
    }

    /// Finds out which ends are not mapped here.
    fn found(self, runtime: &Runtime) -> Piece {
        Piece { from_device: is_unmapped(runtime, self.from), to_device: is_unmapped(runtime, self.to), ..self }
    }

    fn total(&self) -> usize {
        self.bytes.saturating_mul(self.rows).saturating_mul(self.slices)
    }

    /// Calls `line` with where each row begins, from and to.
    fn lines(&self, mut line: impl FnMut(usize, usize) -> Answer) -> Answer {
        for slice in 0..self.slices {
            for row in 0..self.rows {
                let from = self.from as usize + slice * self.from_pitch[1] + row * self.from_pitch[0];
                let to = self.to as usize + slice * self.to_pitch[1] + row * self.to_pitch[0];
                line(from, to)?;
            }
        }
        Ok(())
    }

    fn run(&self, runtime: &Runtime) -> Answer {
        let bytes = self.bytes;
        match (self.from_device, self.to_device) {
            (false, false) => self.lines(|from, to| {
                copy(from, to, bytes);
                Ok(())
            }),
            (true, true) => {
                self.lines(|from, to| runtime.client.copy(to as u64, from as u64, bytes as u64).map_err(failed))
            }
            (false, true) => self.lines(|from, to| {
                through_staging(runtime, bytes, |staging, at, piece| {
                    copy(from + at, staging.0, piece);
                    runtime.client.copy((to + at) as u64, staging.1, piece as u64).map_err(failed)
                })
            }),
            (true, false) => self.lines(|from, to| {
                through_staging(runtime, bytes, |staging, at, piece| {
                    runtime.client.copy(staging.1, (from + at) as u64, piece as u64).map_err(failed)?;
                    copy(staging.0, to + at, piece);
                    Ok(())
                })
            }),
        }
    }
}

/// Calls `piece` for every piece of `bytes` that fits the staging buffer, with where that is here and on the device, the offset and the length.
fn through_staging(
    runtime: &Runtime,
    bytes: usize,
    mut piece: impl FnMut((usize, u64), usize, usize) -> Answer,
) -> Answer {
    let staging = runtime.client.staging().map_err(failed)?;
    let memory = staging.memory().map_err(failed)?;
    for at in (0..bytes).step_by(memory.len()) {
        piece((memory.address(), staging.address()), at, memory.len().min(bytes - at))?;
    }
    Ok(())
}

/// Copies bytes that may overlap.
fn copy(from: usize, to: usize, bytes: usize) {
    let from = std::ptr::with_exposed_provenance::<u8>(from);
    let to = std::ptr::with_exposed_provenance_mut::<u8>(to);
    // SAFETY: what is ours was found mapped; for its own memory C promises it. Kernels and the worker may change the bytes meanwhile, as they may
    // under a copy engine: whoever lets them gets some mixture, and nothing here looks at what is copied.
    unsafe { std::ptr::copy(from, to, bytes) };
}

struct Job {
    piece: Piece,
    after: Vec<hsa_signal_t>,
    done: hsa_signal_t,
}

impl Job {
    fn run(&self, runtime: &Runtime) {
        let began = now_ns();
        match self.piece.run(runtime) {
            Ok(()) => complete(runtime, self.done, began, now_ns()),
            Err(_) => spoil(runtime, self.done),
        }
    }
}

#[derive(Default)]
struct Line {
    jobs: VecDeque<Job>,
    /// Jobs that were taken and are not done.
    taken: usize,
    begun: bool,
    closed: bool,
}

#[derive(Default)]
struct Desk {
    line: Mutex<Line>,
    arrived: Condvar,
    /// Something came: for the thread while it waits for signals.
    waiting: AtomicBool,
}

impl Desk {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread that copies.
#[derive(Default)]
pub(crate) struct Engine(Arc<Desk>);

impl Engine {
    fn submit(&self, runtime: &Arc<Runtime>, job: Job) -> Answer {
        let ready = all_done(runtime, &job.after);
        if ready && job.piece.total() <= AT_ONCE {
            job.run(runtime);
            return Ok(());
        }
        let begin = {
            let mut line = self.0.line();
            line.jobs.push_back(job);
            !std::mem::replace(&mut line.begun, true)
        };
        self.0.waiting.store(true, Ordering::Release);
        self.0.arrived.notify_all();
        if begin {
            let (desk, weak) = (Arc::clone(&self.0), Arc::downgrade(runtime));
            let named = std::thread::Builder::new().name("wavegate-copies".to_owned());
            let begun = without_signals(|| named.spawn(move || work(&desk, &weak)));
            begun.map_err(|_| HSA_STATUS_ERROR_OUT_OF_RESOURCES)?;
        }
        // A sleeping thread of copies is woken above; one that waits for signals, here.
        runtime.client.stir().map_err(crate::runtime::failed)
    }

    /// Whether nothing is being copied.
    fn is_idle(&self) -> bool {
        let line = self.0.line();
        line.jobs.is_empty() && line.taken == 0
    }

    /// Ends the thread when it is done with what it does.
    pub(crate) fn close(&self) {
        self.0.line().closed = true;
        self.0.waiting.store(true, Ordering::Release);
        self.0.arrived.notify_all();
    }
}

/// Takes the first job that can begin.
fn take_ready(line: &mut Line, runtime: &Runtime) -> Option<Job> {
    let at = line.jobs.iter().position(|job| all_done(runtime, &job.after))?;
    line.taken += 1;
    line.jobs.remove(at)
}

fn work(desk: &Desk, runtime: &Weak<Runtime>) {
    loop {
        let mut line = desk.line();
        while line.jobs.is_empty() && !line.closed {
            line = desk.arrived.wait(line).unwrap_or_else(PoisonError::into_inner);
        }
        if line.closed {
            return;
        }
        desk.waiting.store(false, Ordering::Release);
        let Some(runtime) = runtime.upgrade() else { return };
        let job = take_ready(&mut line, &runtime);
        drop(line);
        match job {
            Some(job) => {
                job.run(&runtime);
                desk.line().taken -= 1;
            }
            None => {
                let waited = runtime.client.changes(Deadline::NEVER, || {
                    let ready = || desk.line().jobs.iter().any(|job| all_done(&runtime, &job.after));
                    (desk.waiting.load(Ordering::Acquire) || ready()).then_some(())
                });
                debug_assert!(waited.is_ok(), "the kernel refuses to wait");
            }
        }
    }
}

/// Checks a copy's signals and hands it in.
fn submit(runtime: &Arc<Runtime>, piece: Piece, count: u32, after: In<'_, hsa_signal_t>, done: hsa_signal_t) -> Answer {
    let after = after.list(count as usize)?;
    if done.handle != 0 {
        signal_of(runtime, done)?;
    }
    runtime.copies.submit(runtime, Job { piece, after, done })
}

fn line(runtime: &Runtime, to: Opaque, from: Opaque, bytes: usize) -> Answer<Piece> {
    let (to, from) = (to.0.addr() as u64, from.0.addr() as u64);
    if bytes == 0 {
        return Ok(Piece::line(from, to, 0));
    }
    Ok(Piece::line(reach(runtime, from, bytes, Use::Read)?, reach(runtime, to, bytes, Use::Write)?, bytes)
        .found(runtime))
}

/// Fills memory that is not mapped here with a 32-bit value.
fn fill(runtime: &Runtime, place: u64, value: u32, bytes: usize) -> Answer {
    let pattern = value.to_ne_bytes().repeat(bytes.min(256 << 10) / size_of::<u32>());
    for at in (0..bytes).step_by(pattern.len()) {
        let piece = &pattern[..pattern.len().min(bytes - at)];
        runtime.client.upload(place + at as u64, piece).map_err(failed)?;
    }
    Ok(())
}

/// Returns the first byte of a block in pitched memory, and how far the block reaches from there.
fn corner(at: &hsa_pitched_ptr_t, offset: &hsa_dim3_t, range: &hsa_dim3_t) -> Answer<(u64, usize)> {
    let wide = |x: u32, y: u32, z: u32| {
        let (x, y, z) = (x as usize, y as usize, z as usize);
        z.checked_mul(at.slice)?.checked_add(y.checked_mul(at.pitch)?)?.checked_add(x)
    };
    let bad = HSA_STATUS_ERROR_INVALID_ARGUMENT;
    let start = wide(offset.x, offset.y, offset.z).ok_or(bad)?;
    let reach = wide(range.x, range.y.saturating_sub(1), range.z.saturating_sub(1)).ok_or(bad)?;
    let address = (at.base.addr()).checked_add(start).ok_or(bad)?;
    Ok((address as u64, reach))
}

export! {
    /// Copies when the signals it depends on are zero, and completes a signal.
    fn hsa_amd_memory_async_copy(
        to: Opaque,
        to_agent: hsa_agent_t,
        from: Opaque,
        from_agent: hsa_agent_t,
        size: usize,
        count: u32,
        after: In<'_, hsa_signal_t>,
        done: hsa_signal_t,
    ) -> hsa_status_t {
        status_with(|runtime| {
            agent_of(runtime, to_agent)?;
            agent_of(runtime, from_agent)?;
            submit(runtime, line(runtime, to, from, size)?, count, after, done)
        })
    }

    /// As [`hsa_amd_memory_async_copy`]. There is one engine, whichever is asked for.
    fn hsa_amd_memory_async_copy_on_engine(
        to: Opaque,
        to_agent: hsa_agent_t,
        from: Opaque,
        from_agent: hsa_agent_t,
        size: usize,
        count: u32,
        after: In<'_, hsa_signal_t>,
        done: hsa_signal_t,
        engine: hsa_amd_sdma_engine_id_t,
        _force: bool,
    ) -> hsa_status_t {
        status_with(|runtime| {
            if !engine.is_power_of_two() {
                return Err(HSA_STATUS_ERROR_INVALID_ARGUMENT);
            }
            agent_of(runtime, to_agent)?;
            agent_of(runtime, from_agent)?;
            submit(runtime, line(runtime, to, from, size)?, count, after, done)
        })
    }

    /// Says which engines are free for copies between two agents.
    fn hsa_amd_memory_copy_engine_status(to: hsa_agent_t, from: hsa_agent_t, mask: Out<u32>) -> hsa_status_t {
        status_with(|runtime| {
            agent_of(runtime, to)?;
            agent_of(runtime, from)?;
            let idle = runtime.copies.is_idle();
            mask.put(if idle { HSA_AMD_SDMA_ENGINE_0 | HSA_AMD_SDMA_ENGINE_1 } else { HSA_AMD_SDMA_ENGINE_0 })
        })
    }

    /// Says which engines are good for copies between two agents.
    fn hsa_amd_memory_get_preferred_copy_engine(to: hsa_agent_t, from: hsa_agent_t, mask: Out<u32>) -> hsa_status_t {
        status_with(|runtime| {
            agent_of(runtime, to)?;
            agent_of(runtime, from)?;
            mask.put(HSA_AMD_SDMA_ENGINE_0 | HSA_AMD_SDMA_ENGINE_1)
        })
    }

    /// Copies a block between pitched memories.
    fn hsa_amd_memory_async_copy_rect(
        to: In<'_, hsa_pitched_ptr_t>,
        to_offset: In<'_, hsa_dim3_t>,
        from: In<'_, hsa_pitched_ptr_t>,
        from_offset: In<'_, hsa_dim3_t>,
        range: In<'_, hsa_dim3_t>,
        agent: hsa_agent_t,
        _direction: hsa_amd_copy_direction_t,
        count: u32,
        after: In<'_, hsa_signal_t>,
        done: hsa_signal_t,
    ) -> hsa_status_t {
        status_with(|runtime| {
            agent_of(runtime, agent)?;
            let (to, from, range) = (to.get()?, from.get()?, range.get()?);
            let (to_at, to_reach) = corner(&to, &to_offset.get()?, &range)?;
            let (from_at, from_reach) = corner(&from, &from_offset.get()?, &range)?;
            let nothing = range.x == 0 || range.y == 0 || range.z == 0;
            let piece = if nothing {
                Piece::line(0, 0, 0)
            } else {
                Piece {
                    from: reach(runtime, from_at, from_reach, Use::Read)?,
                    to: reach(runtime, to_at, to_reach, Use::Write)?,
                    bytes: range.x as usize,
                    rows: range.y as usize,
                    slices: range.z as usize,
                    from_pitch: [from.pitch, from.slice],
                    to_pitch: [to.pitch, to.slice],
                    from_device: false,
                    to_device: false,
                }
                .found(runtime)
            };
            submit(runtime, piece, count, after, done)
        })
    }

    /// Copies, and returns when it is done.
    fn hsa_memory_copy(to: *mut c_void, from: *mut c_void, size: usize) -> hsa_status_t {
        status_with(|runtime| {
            line(runtime, Opaque(to), Opaque(from), size)?.run(runtime)
        })
    }

    /// Fills memory with a 32-bit value, and returns when it is done.
    fn hsa_amd_memory_fill(place: Opaque, value: u32, count: usize) -> hsa_status_t {
        status_with(|runtime| {
            let address = place.0.addr() as u64;
            let bytes = count.checked_mul(size_of::<u32>()).ok_or(HSA_STATUS_ERROR_INVALID_ARGUMENT)?;
            if !address.is_multiple_of(size_of::<u32>() as u64) {
                return Err(HSA_STATUS_ERROR_INVALID_ARGUMENT);
            }
            if count == 0 {
                return Ok(());
            }
            let place = reach(runtime, address, bytes, Use::Write)?;
            if is_unmapped(runtime, place) {
                return fill(runtime, place, value, bytes);
            }
            let at = std::ptr::with_exposed_provenance_mut::<u32>(place as usize);
            for index in 0..count {
                // SAFETY: as for a copy: found mapped, or promised by C. Aligned as was checked.
                unsafe { at.add(index).write_volatile(value) };
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_copied_row_by_row() {
        // 4 x 3 bytes of a 6 x 5 picture, to the middle of an 8 x 4 one.
        let from: Vec<u8> = (0..30).collect();
        let mut to = vec![0xEE_u8; 32];
        let range = hsa_dim3_t { x: 4, y: 3, z: 1 };
        let (source, target) = (from.as_ptr().cast_mut().cast(), to.as_mut_ptr().cast());
        let source = hsa_pitched_ptr_t { base: source, pitch: 6, slice: 30 };
        let target = hsa_pitched_ptr_t { base: target, pitch: 8, slice: 32 };
        let (from_at, reach) = corner(&source, &hsa_dim3_t { x: 1, y: 2, z: 0 }, &range).unwrap();
        assert_eq!((from_at - source.base.addr() as u64, reach), (13, 16));
        let (to_at, _) = corner(&target, &hsa_dim3_t { x: 2, y: 1, z: 0 }, &range).unwrap();
        let line = Piece::line(from_at, to_at, 4);
        let piece = Piece { rows: 3, from_pitch: [6, 30], to_pitch: [8, 32], ..line };
        assert_eq!(piece.total(), 12);
        let copied = piece.lines(|from, to| {
            copy(from, to, piece.bytes);
            Ok(())
        });
        assert_eq!(copied, Ok(()));
        let mut expected = [0xEE; 32];
        for row in 0..3 {
            for column in 0..4 {
                expected[(row + 1) * 8 + column + 2] = from[(row + 2) * 6 + column + 1];
            }
        }
        assert_eq!(to, expected);
    }

    #[test]
    fn a_block_that_wraps_around_is_refused() {
        let wide = hsa_pitched_ptr_t { base: std::ptr::null_mut(), pitch: usize::MAX, slice: usize::MAX };
        let two = hsa_dim3_t { x: 2, y: 2, z: 2 };
        assert_eq!(corner(&wide, &two, &two), Err(HSA_STATUS_ERROR_INVALID_ARGUMENT));
    }
}
