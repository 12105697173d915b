//! The handlers compiled for this host.

use super::cx::{Cx, Flow, VCC};
use super::inst::{Handler, Inst};
#[allow(clippy::wildcard_imports, unused_imports, reason = "the rows name these functions")]
use super::{atomic::*, division::*, float8::*, half::*, matrix::*, numeric::*};
use crate::isa::table::instructions;

/// The interpreter's functions, compiled for a set of host instructions.
pub struct Tier {
    name: &'static str,
    handlers: Vec<Handler>,
}

impl Tier {
    /// Returns the fastest tier that this host can run.
    pub fn detect() -> &'static Tier {
        static TIER: std::sync::OnceLock<Tier> = std::sync::OnceLock::new();
        TIER.get_or_init(|| {
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c") {
                #[expect(
                    unsafe_code,
                    reason = "the one audited call of this crate: it selects the CPU's vector instructions"
                )]
                // SAFETY: the three features that `wide::handlers` and the functions in its table are compiled for
                // were detected on this CPU in the line above; features of a CPU do not go away.
                let handlers = unsafe { wide::handlers() };
                return Tier { name: "avx2", handlers };
            }
            Tier::portable()
        })
    }

    /// Returns the tier that any host can run.
    pub fn portable() -> Tier {
        Tier { name: "portable", handlers: portable::handlers() }
    }

    /// Returns the tier's name: `avx2` or `portable`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn handler(&self, row: u16) -> Handler {
        // PANIC: both lists are made from the same rows in the same order.
        self.handlers[usize::from(row)]
    }
}

macro_rules! portable_tier {
    ($($encoding:ident $op:literal $name:ident $archs:ident $dst:ident ($($src:ident)*) [$($trait:ident)*]
        = $method:ident $([$($generic:tt)*])? ($($arg:expr),*);)*) => {
        #[allow(
            clippy::double_comparisons,
            clippy::neg_cmp_op_on_partial_ord,
            clippy::nonminimal_bool,
            clippy::redundant_closure,
            reason = "rows spell comparisons as the ISA does: what is not less is greater, equal or unordered"
        )]
        mod portable {
            use super::*;
            $(fn $name(cx: &mut Cx<'_>, i: &Inst) -> Flow { cx.$method$(::<$($generic)*>)?(i $(, $arg)*) })*
            pub(super) fn handlers() -> Vec<Handler> { vec![$($name),*] }
        }
    };
}

macro_rules! wide_tier {
    ($($encoding:ident $op:literal $name:ident $archs:ident $dst:ident ($($src:ident)*) [$($trait:ident)*]
        = $method:ident $([$($generic:tt)*])? ($($arg:expr),*);)*) => {
        #[cfg(target_arch = "x86_64")]
        #[allow(
            clippy::double_comparisons,
            clippy::neg_cmp_op_on_partial_ord,
            clippy::nonminimal_bool,
            clippy::redundant_closure,
            reason = "rows spell comparisons as the ISA does: what is not less is greater, equal or unordered"
        )]
        mod wide {
            use super::*;
            $(#[target_feature(enable = "avx2,fma,f16c")] fn $name(cx: &mut Cx<'_>, i: &Inst) -> Flow { cx.$method$(::<$($generic)*>)?(i $(, $arg)*) })*
            #[target_feature(enable = "avx2,fma,f16c")]
            pub(super) fn handlers() -> Vec<Handler> { vec![$($name),*] }
        }
    };
}

instructions!(portable_tier);
instructions!(wide_tier);
