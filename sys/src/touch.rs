//! The only instructions that touch memory somebody else may write while we look at it.
//!
//! Rust's memory model has no word for bytes that another process changes behind our back. So these bytes never become
//! part of it: on x86-64 every access is one of the inline assembly statements below, which the compiler neither looks
//! into, repeats, merges nor drops. (The position follows unsafe-code-guidelines issue 607: memory shared with somebody
//! untrusted is touched by volatile access only.) Elsewhere the same functions are made of volatile accesses.
//!
//! Promises:
//! - each byte is touched exactly once by each call;
//! - a value of 1, 2, 4 or 8 bytes at an address that is a multiple of its size does not tear, alone or inside a [`copy`]
//!   of less than [`STRING_COPY_BYTES`] bytes (both vendors' manuals promise it for accesses inside one cache line);
//! - nothing is ordered but by program order on this CPU. Who needs order between threads uses the atomics.
//!
//! The caller owns the validity of the pointers; nothing here checks anything.

pub(crate) use imp::*;

/// Copies at least this long use the processor's string instruction: faster for many pages, slower to begin. What the lanes of a wave move at once is
/// 1 KiB at most; from or to memory that is in no cache, the string instruction took up to four times as long for that as the loop.
pub(crate) const STRING_COPY_BYTES: usize = 4096;

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod imp {
    use std::arch::asm;

    use super::STRING_COPY_BYTES;

    /// Writes one load and one store of a machine word.
    macro_rules! word {
        ($load:ident, $store:ident, $int:ty, $class:ident, $load_text:literal, $store_text:literal) => {
            /// Loads one value from any address.
            ///
            /// # Safety
            /// The bytes at `from` are mapped and readable.
            #[inline(always)]
            pub(crate) unsafe fn $load(from: *const u8) -> $int {
                let value;
                // SAFETY: one load from memory the caller vouches for; the statement writes no memory and no flags.
                unsafe {
                    asm!($load_text, value = out($class) value, from = in(reg) from,
                         options(nostack, preserves_flags, readonly));
                }
                value
            }

            /// Stores one value to any address.
            ///
            /// # Safety
            /// The bytes at `to` are mapped and writable.
            #[inline(always)]
            pub(crate) unsafe fn $store(to: *mut u8, value: $int) {
                // SAFETY: one store to memory the caller vouches for; the statement changes no flags.
                unsafe {
                    asm!($store_text, value = in($class) value, to = in(reg) to, options(nostack, preserves_flags));
                }
            }
        };
    }

    word!(load_u8, store_u8, u8, reg_byte, "mov {value}, byte ptr [{from}]", "mov byte ptr [{to}], {value}");
    word!(load_u16, store_u16, u16, reg, "movzx {value:e}, word ptr [{from}]", "mov word ptr [{to}], {value:x}");
    word!(load_u32, store_u32, u32, reg, "mov {value:e}, dword ptr [{from}]", "mov dword ptr [{to}], {value:e}");
    word!(load_u64, store_u64, u64, reg, "mov {value}, qword ptr [{from}]", "mov qword ptr [{to}], {value}");

    /// Copies `len` bytes, lowest address first.
    ///
    /// # Safety
    /// `len` bytes are readable at `from` and writable at `to`. If the ranges overlap, what arrives is some mixture.
    #[inline(always)]
    pub(crate) unsafe fn copy(to: *mut u8, from: *const u8, len: usize) {
        // The lengths a GPU lane asks for; with a constant `len` one arm remains after inlining.
        // SAFETY: every arm touches exactly `len` bytes of both ranges.
        unsafe {
            match len {
                4 => store_u32(to, load_u32(from)),
                8 => store_u64(to, load_u64(from)),
                2 => store_u16(to, load_u16(from)),
                1 => store_u8(to, load_u8(from)),
                16 => copy_16(to, from),
                _ => copy_many(to, from, len),
            }
        }
    }

    /// Makes a function that copies blocks of 64 bytes by registers of some width.
    macro_rules! blocks {
        ($name:ident, $feature:literal, $class:ident, $($text:literal),*) => {
            /// Copies blocks of 64 bytes.
            ///
            /// # Safety
            /// The processor has what the function is made for. `64 * blocks` bytes are readable at `from` and writable at `to`; `blocks` is not 0.
            #[target_feature(enable = $feature)]
            unsafe fn $name(to: *mut u8, from: *const u8, blocks: usize) {
                // SAFETY: `blocks` rounds of 64 bytes, vouched for by the caller.
                unsafe {
                    asm!(
                        "2:",
                        $($text,)*
                        "add {from}, 64",
                        "add {to}, 64",
                        "dec {blocks}",
                        "jnz 2b",
                        from = inout(reg) from => _, to = inout(reg) to => _, blocks = inout(reg) blocks => _,
                        a = out($class) _, b = out($class) _,
                        options(nostack),
                    );
                }
            }
        };
    }

    // What a wave loads is mostly loaded again at once, in the widest registers there are. That waits for stores which are narrower to reach the cache.
    blocks!(
        copy_blocks_64,
        "avx512f",
        zmm_reg,
        "vmovups {a}, zmmword ptr [{from}]",
        "vmovups zmmword ptr [{to}], {a}",
        "/* {b} */"
    );
    blocks!(
        copy_blocks_32,
        "avx",
        ymm_reg,
        "vmovups {a}, ymmword ptr [{from}]",
        "vmovups {b}, ymmword ptr [{from} + 32]",
        "vmovups ymmword ptr [{to}], {a}",
        "vmovups ymmword ptr [{to} + 32], {b}"
    );

    /// Asks for the cache line at `at`, which may be any address: what cannot be had is not fetched.
    #[inline(always)]
    pub(crate) fn expect(at: *const u8) {
        // SAFETY: a hint; it reads nothing that could be noticed, writes nothing, and never faults.
        unsafe { asm!("prefetcht0 [{at}]", at = in(reg) at, options(nostack, preserves_flags, readonly)) };
    }

    /// Copies 16 bytes.
    ///
    /// # Safety
    /// As [`copy`] with a length of 16.
    #[inline(always)]
    unsafe fn copy_16(to: *mut u8, from: *const u8) {
        // SAFETY: 16 bytes each way, vouched for by the caller.
        unsafe {
            asm!("movups {x}, xmmword ptr [{from}]", "movups xmmword ptr [{to}], {x}",
                 from = in(reg) from, to = in(reg) to, x = out(xmm_reg) _, options(nostack, preserves_flags));
        }
    }

    /// Copies any number of bytes.
    ///
    /// # Safety
    /// As [`copy`].
    #[inline]
    unsafe fn copy_many(mut to: *mut u8, mut from: *const u8, len: usize) {
        if len >= STRING_COPY_BYTES {
            // SAFETY: copies exactly `rcx` bytes upwards; the direction flag is clear on entry to an asm statement.
            unsafe {
                asm!("rep movsb", inout("rcx") len => _, inout("rdi") to => _, inout("rsi") from => _,
                     options(nostack, preserves_flags));
            }
            return;
        }
        let blocks = len / 64;
        let wide: Option<unsafe fn(*mut u8, *const u8, usize)> = if std::arch::is_x86_feature_detected!("avx512f") {
            Some(copy_blocks_64)
        } else if std::arch::is_x86_feature_detected!("avx") {
            Some(copy_blocks_32)
        } else {
            None
        };
        if let Some(copy) = wide.filter(|_| blocks > 0) {
            // SAFETY: the processor has what it takes, `blocks` blocks are at most `len` bytes of both ranges, and the pointers move behind the last.
            unsafe { copy(to, from, blocks) };
            (to, from) = (to.wrapping_add(64 * blocks), from.wrapping_add(64 * blocks));
        } else if blocks > 0 {
            // SAFETY: `blocks` rounds of 64 bytes are at most `len` bytes of both ranges, and the pointers end behind
            // the last block.
            unsafe {
                asm!(
                    "2:",
                    "movups {a}, xmmword ptr [{from}]",
                    "movups {b}, xmmword ptr [{from} + 16]",
                    "movups {c}, xmmword ptr [{from} + 32]",
                    "movups {d}, xmmword ptr [{from} + 48]",
                    "movups xmmword ptr [{to}], {a}",
                    "movups xmmword ptr [{to} + 16], {b}",
                    "movups xmmword ptr [{to} + 32], {c}",
                    "movups xmmword ptr [{to} + 48], {d}",
                    "add {from}, 64",
                    "add {to}, 64",
                    "dec {blocks}",
                    "jnz 2b",
                    from = inout(reg) from, to = inout(reg) to, blocks = inout(reg) blocks => _,
                    a = out(xmm_reg) _, b = out(xmm_reg) _, c = out(xmm_reg) _, d = out(xmm_reg) _,
                    options(nostack),
                );
            }
        }
        // The rest, largest power of two first, so that no byte is touched twice.
        // SAFETY: the powers taken are the bits of `len % 64`, so together they are exactly the bytes left over.
        unsafe {
            if len & 32 != 0 {
                copy_16(to, from);
                copy_16(to.wrapping_add(16), from.wrapping_add(16));
                (to, from) = (to.wrapping_add(32), from.wrapping_add(32));
            }
            if len & 16 != 0 {
                copy_16(to, from);
                (to, from) = (to.wrapping_add(16), from.wrapping_add(16));
            }
            if len & 8 != 0 {
                store_u64(to, load_u64(from));
                (to, from) = (to.wrapping_add(8), from.wrapping_add(8));
            }
            if len & 4 != 0 {
                store_u32(to, load_u32(from));
                (to, from) = (to.wrapping_add(4), from.wrapping_add(4));
            }
            if len & 2 != 0 {
                store_u16(to, load_u16(from));
                (to, from) = (to.wrapping_add(2), from.wrapping_add(2));
            }
            if len & 1 != 0 {
                store_u8(to, load_u8(from));
            }
        }
    }

    /// Sets `len` bytes to `byte`.
    ///
    /// # Safety
    /// `len` bytes are writable at `to`.
    #[inline]
    pub(crate) unsafe fn fill(to: *mut u8, len: usize, byte: u8) {
        // SAFETY: stores exactly `rcx` bytes upwards; the direction flag is clear on entry to an asm statement.
        unsafe {
            asm!("rep stosb", inout("rcx") len => _, inout("rdi") to => _, in("al") byte,
                 options(nostack, preserves_flags));
        }
    }

    /// Makes the compiler forget what it knows about the memory behind `at`.
    #[inline(always)]
    pub(crate) fn forget_contents(at: *mut u8) {
        // SAFETY: no instruction at all; the statement only claims that it might have read and written memory.
        unsafe { asm!("/* {at} */", at = in(reg) at, options(nostack, preserves_flags)) }
    }
}

#[cfg(any(not(target_arch = "x86_64"), miri))]
mod imp {
    use std::mem::align_of;

    /// Writes one load and one store of a machine word.
    macro_rules! word {
        ($load:ident, $store:ident, $int:ty) => {
            /// Loads one value from any address.
            ///
            /// # Safety
            /// The bytes at `from` are mapped and readable.
            #[inline]
            pub(crate) unsafe fn $load(from: *const u8) -> $int {
                if from.addr() % align_of::<$int>() == 0 {
                    // SAFETY: aligned, and the caller vouches for the bytes.
                    return unsafe { from.cast::<$int>().read_volatile() };
                }
                let mut bytes = [0; size_of::<$int>()];
                for (i, byte) in bytes.iter_mut().enumerate() {
                    // SAFETY: `i` is inside the value the caller vouches for.
                    *byte = unsafe { from.wrapping_add(i).read_volatile() };
                }
                <$int>::from_ne_bytes(bytes)
            }

            /// Stores one value to any address.
            ///
            /// # Safety
            /// The bytes at `to` are mapped and writable.
            #[inline]
            pub(crate) unsafe fn $store(to: *mut u8, value: $int) {
                if to.addr() % align_of::<$int>() == 0 {
                    // SAFETY: aligned, and the caller vouches for the bytes.
                    return unsafe { to.cast::<$int>().write_volatile(value) };
                }
                for (i, byte) in value.to_ne_bytes().into_iter().enumerate() {
                    // SAFETY: `i` is inside the value the caller vouches for.
                    unsafe { to.wrapping_add(i).write_volatile(byte) };
                }
            }
        };
    }

    word!(load_u8, store_u8, u8);
    word!(load_u16, store_u16, u16);
    word!(load_u32, store_u32, u32);
    word!(load_u64, store_u64, u64);

    /// Copies `len` bytes, lowest address first.
    ///
    /// # Safety
    /// `len` bytes are readable at `from` and writable at `to`. If the ranges overlap, what arrives is some mixture.
    #[inline]
    pub(crate) unsafe fn copy(to: *mut u8, from: *const u8, len: usize) {
        // Words where both sides are aligned alike, bytes before, between and behind.
        let mut at = 0;
        while at < len {
            let (t, f) = (to.wrapping_add(at), from.wrapping_add(at));
            let step =
                [8, 4, 2].into_iter().find(|&n| len - at >= n && t.addr() % n == 0 && f.addr() % n == 0).unwrap_or(1);
            // SAFETY: `at + step <= len`.
            unsafe {
                match step {
                    8 => store_u64(t, load_u64(f)),
                    4 => store_u32(t, load_u32(f)),
                    2 => store_u16(t, load_u16(f)),
                    _ => store_u8(t, load_u8(f)),
                }
            }
            at += step;
        }
    }

    /// Asks for nothing: there is no portable hint.
    #[inline(always)]
    pub(crate) fn expect(_at: *const u8) {}

    /// Sets `len` bytes to `byte`.
    ///
    /// # Safety
    /// `len` bytes are writable at `to`.
    #[inline]
    pub(crate) unsafe fn fill(to: *mut u8, len: usize, byte: u8) {
        for at in 0..len {
            // SAFETY: `at < len`.
            unsafe { store_u8(to.wrapping_add(at), byte) };
        }
    }

    /// Makes the compiler forget what it knows about the memory behind `at`.
    #[inline]
    pub(crate) fn forget_contents(at: *mut u8) {
        std::hint::black_box(at);
        std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUARD: u8 = 0xEE;

    #[test]
    fn copies_exactly_the_bytes_asked_for_at_every_alignment() {
        const ROOM: u32 = 4 * STRING_COPY_BYTES as u32;
        let source: Vec<u8> = (0..ROOM).map(|i| (i * 31 + 7).to_le_bytes()[0]).collect();
        for len in
            (0..300).chain([STRING_COPY_BYTES - 1, STRING_COPY_BYTES, STRING_COPY_BYTES + 1, 3 * STRING_COPY_BYTES])
        {
            for (from, to) in [(0, 0), (1, 0), (0, 3), (5, 11), (16, 8), (63, 1)] {
                let mut target = vec![GUARD; ROOM as usize];
                // SAFETY: both ranges are inside their vectors: less than 100 bytes from the begin, three quarters of the room at most.
                unsafe { copy(target.as_mut_ptr().add(to), source.as_ptr().add(from), len) };
                assert_eq!(&target[to..to + len], &source[from..from + len], "len {len} from {from} to {to}");
                assert!(target[..to].iter().chain(&target[to + len..]).all(|&b| b == GUARD), "len {len}: overrun");
            }
        }
    }

    #[test]
    fn fills_exactly_the_bytes_asked_for() {
        for len in [0, 1, 7, 64, 65, 1000] {
            let mut target = vec![GUARD; 2048];
            // SAFETY: 3 + 1000 < 2048.
            unsafe { fill(target.as_mut_ptr().add(3), len, 0x5A) };
            assert!(target[3..3 + len].iter().all(|&b| b == 0x5A));
            assert!(target[..3].iter().chain(&target[3 + len..]).all(|&b| b == GUARD));
        }
    }

    #[test]
    fn words_are_little_pieces_of_memory_at_any_alignment() {
        let mut memory = [0u8; 32];
        for at in 0..16 {
            let p = memory.as_mut_ptr().wrapping_add(at);
            // SAFETY: `at + 8 <= 32`.
            unsafe {
                store_u64(p, 0x0123_4567_89AB_CDEF);
                assert_eq!(load_u64(p), 0x0123_4567_89AB_CDEF);
                store_u32(p, 0xDEAD_BEEF);
                assert_eq!(load_u32(p), 0xDEAD_BEEF);
                store_u16(p, 0xABCD);
                assert_eq!(load_u16(p), 0xABCD);
                store_u8(p, 0x42);
                assert_eq!(load_u8(p), 0x42);
            }
            assert_eq!(memory[at + 1], 0xABCD_u16.to_ne_bytes()[1], "a byte store touches one byte");
        }
    }
}
