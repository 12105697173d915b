//! Atomic read-modify-write on memory, lane by lane in lane order.

use super::cx::{Cx, Flow};
use super::inst::{Dst, Inst, Src};
use super::memory::{Addresses, plus};
use crate::isa::fields::flag;
use crate::memory::{LaneFault, Memory, MemoryFault, active};

/// A value that atomics work on: 32 or 64 bits seen as integer or float.
pub(crate) trait Word: Copy + PartialEq {
    /// 32-bit registers it takes.
    const DWORDS: usize;
    fn from_raw(raw: u64) -> Self;
    fn to_raw(self) -> u64;
}

macro_rules! word {
    ($($t:ty, $dwords:literal, |$x:ident| $from:expr, |$y:ident| $to:expr;)*) => {$(
        impl Word for $t {
            const DWORDS: usize = $dwords;
            #[inline(always)]
            fn from_raw($x: u64) -> Self { $from }
            #[inline(always)]
            fn to_raw(self) -> u64 { let $y = self; $to }
        }
    )*};
}

word! {
    u32, 1, |x| x as u32, |x| u64::from(x);
    i32, 1, |x| x as i32, |x| u64::from(x as u32);
    f32, 1, |x| f32::from_bits(x as u32), |x| u64::from(x.to_bits());
    u64, 2, |x| x, |x| x;
    i64, 2, |x| x as i64, |x| x as u64;
    f64, 2, |x| f64::from_bits(x), |x| x.to_bits();
}

/// Wrapping increment: zero after `limit`.
pub(crate) fn inc(old: u32, limit: u32) -> u32 {
    if old >= limit { 0 } else { old + 1 }
}

/// Wrapping decrement: `limit` after zero or from above it.
pub(crate) fn dec(old: u32, limit: u32) -> u32 {
    if old == 0 || old > limit { limit } else { old - 1 }
}

/// Two words of which each is replaced, its top bit cleared, if the top bit of the new one is set.
pub(crate) fn condxchg32(old: u64, data: u64) -> u64 {
    let word = |old: u32, new: u32| if new >> 31 == 1 { new & 0x7fff_ffff } else { old };
    u64::from(word(old as u32, data as u32)) | u64::from(word((old >> 32) as u32, (data >> 32) as u32)) << 32
}

/// As [`inc`] for 64 bits.
pub(crate) fn inc64(old: u64, limit: u64) -> u64 {
    if old >= limit { 0 } else { old + 1 }
}

/// As [`dec`] for 64 bits.
pub(crate) fn dec64(old: u64, limit: u64) -> u64 {
    if old == 0 || old > limit { limit } else { old - 1 }
}

pub(super) fn update<A: Word>(mem: &dyn Memory, address: u64, f: impl Fn(A) -> Option<A>) -> Result<A, MemoryFault> {
    let old = if A::DWORDS == 1 {
        u64::from(mem.update_u32(address, &mut |old| f(A::from_raw(u64::from(old))).map(|new| new.to_raw() as u32))?)
    } else {
        mem.update_u64(address, &mut |old| f(A::from_raw(old)).map(A::to_raw))?
    };
    Ok(A::from_raw(old))
}

impl Cx<'_> {
    /// Returns lane `lane` of a vector operand that begins `first` registers after `src`.
    #[inline(always)]
    pub(super) fn operand<A: Word>(&self, src: Src, first: usize, lane: usize) -> A {
        let dst = match src {
            Src::V(r) => Dst::V(r),
            Src::A(r) => Dst::A(r),
            Src::T(r) => Dst::T(r),
            _ => return A::from_raw(self.s64(src)),
        };
        let low = u64::from(self.row(dst, first)[lane]);
        let high = if A::DWORDS == 2 { u64::from(self.row(dst, first + 1)[lane]) } else { 0 };
        A::from_raw(low | high << 32)
    }

    /// Writes lane `lane` of a vector result.
    #[inline(always)]
    pub(super) fn set_operand<A: Word>(&mut self, dst: Dst, lane: usize, value: A) {
        let raw = value.to_raw();
        self.row_mut(dst, 0)[lane] = raw as u32;
        if A::DWORDS == 2 {
            self.row_mut(plus(dst, 1), 0)[lane] = (raw >> 32) as u32;
        }
    }

    /// One atomic per active lane: `f(old, data, second data)`; the old value is returned when `glc` says so.
    pub(super) fn atomic_at<A: Word>(
        &mut self,
        i: &Inst,
        data: Src,
        at: &Addresses,
        f: impl Fn(A, A, A) -> Option<A>,
    ) -> Flow {
        let returns = i.flags & flag::GLC != 0;
        let mut old_values = [None; 64];
        for lane in active(at.mask) {
            let first: A = self.operand(data, 0, lane);
            let second = self.operand(data, A::DWORDS, lane);
            match update(self.mem, at.address[lane], |old| f(old, first, second)) {
                Ok(old) => old_values[lane] = Some(old),
                Err(fault) => return self.lane_fault(LaneFault { lane: lane as u8, fault }),
            }
        }
        if returns {
            // After the loop, because the result may overlap the data of later lanes' registers.
            for (lane, old) in old_values.into_iter().enumerate() {
                if let Some(old) = old {
                    self.set_operand(i.dst, lane, old);
                }
            }
        }
        Flow::Next
    }
}
