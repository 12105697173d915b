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
        // PANIC: the list ends with the portable tier.
        Tier::all().first().expect("at least one tier")
    }

    /// Returns all tiers that this host can run, the fastest first and the portable one last.
    pub fn all() -> &'static [Tier] {
        static TIERS: std::sync::OnceLock<Vec<Tier>> = std::sync::OnceLock::new();
        TIERS.get_or_init(|| {
            let mut tiers = vec![Tier { name: "portable", handlers: portable::handlers() }];
            #[cfg(target_arch = "x86_64")]
            if has!("avx2" "fma" "f16c") {
                let wide = has!(
                    "avx512f" "avx512bw" "avx512cd" "avx512dq" "avx512vl" "bmi1" "bmi2" "lzcnt" "popcnt"
                );
                #[expect(
                    unsafe_code,
                    reason = "one of the two audited places of this crate: it selects the CPU's vector instructions"
                )]
                // SAFETY: the features that each function and those in its table are compiled for were detected on this CPU in the lines
                // above; features of a CPU do not go away.
                unsafe {
                    tiers.push(Tier { name: "avx2", handlers: avx2::handlers() });
                    if wide {
                        tiers.push(Tier { name: "avx512", handlers: avx512::handlers() });
                    }
                }
            }
            tiers.reverse();
            tiers
        })
    }

    /// Returns the tier's name: `avx512`, `avx2` or `portable`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn handler(&self, row: u16) -> Handler {
        // PANIC: both lists are made from the same rows in the same order.
        self.handlers[usize::from(row)]
    }
}

/// Whether this CPU has all of some features.
#[cfg(target_arch = "x86_64")]
macro_rules! has {
    ($($feature:tt)*) => { $(is_x86_feature_detected!($feature))&&* };
}
#[cfg(target_arch = "x86_64")]
use has;

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
            $(pub(super) fn $name(cx: &mut Cx<'_>, i: &Inst) -> Flow { cx.$method$(::<$($generic)*>)?(i $(, $arg)*) })*
            pub(super) fn handlers() -> Vec<Handler> { vec![$($name),*] }
        }
    };
}

/// A tier compiled for more than the target's base. Scalar instructions gain nothing by it and are taken from the portable one.
macro_rules! wide_tier {
    ($tier:ident $features:literal; $($rows:tt)*) => {
        #[cfg(target_arch = "x86_64")]
        #[allow(
            clippy::double_comparisons,
            clippy::neg_cmp_op_on_partial_ord,
            clippy::nonminimal_bool,
            clippy::redundant_closure,
            reason = "rows spell comparisons as the ISA does: what is not less is greater, equal or unordered"
        )]
        mod $tier {
            use super::*;
            wide_rows! { $features; $($rows)* }
        }
    };
}

macro_rules! wide_rows {
    ($features:literal; $($encoding:ident $op:literal $name:ident $archs:ident $dst:ident ($($src:ident)*) [$($trait:ident)*]
        = $method:ident $([$($generic:tt)*])? ($($arg:expr),*);)*) => {
        $(wide_row! { $encoding $features $name = $method $([$($generic)*])? ($($arg),*) })*
        #[target_feature(enable = $features)]
        pub(super) fn handlers() -> Vec<Handler> { vec![$($name),*] }
    };
}

macro_rules! wide_row {
    (Sop1 $($row:tt)*) => { scalar_row! { $($row)* } };
    (Sop2 $($row:tt)*) => { scalar_row! { $($row)* } };
    (Sopc $($row:tt)*) => { scalar_row! { $($row)* } };
    (Sopk $($row:tt)*) => { scalar_row! { $($row)* } };
    (Sopp $($row:tt)*) => { scalar_row! { $($row)* } };
    (Smem $($row:tt)*) => { scalar_row! { $($row)* } };
    ($encoding:ident $features:literal $name:ident = $method:ident $([$($generic:tt)*])? ($($arg:expr),*)) => {
        #[target_feature(enable = $features)]
        fn $name(cx: &mut Cx<'_>, i: &Inst) -> Flow { cx.$method$(::<$($generic)*>)?(i $(, $arg)*) }
    };
}

macro_rules! scalar_row {
    ($features:literal $name:ident $($rest:tt)*) => {
        use super::portable::$name;
    };
}

macro_rules! avx2_tier {
    ($($rows:tt)*) => { wide_tier! { avx2 "avx2,fma,f16c"; $($rows)* } };
}

macro_rules! avx512_tier {
    ($($rows:tt)*) => {
        wide_tier! { avx512 "avx2,fma,f16c,avx512f,avx512bw,avx512cd,avx512dq,avx512vl,bmi1,bmi2,lzcnt,popcnt"; $($rows)* }
    };
}

instructions!(portable_tier);
instructions!(avx2_tier);
instructions!(avx512_tier);
