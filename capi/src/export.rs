//! How a Rust function becomes `hsa_...@@ROCR_1`.
//!
//! Programs were linked against AMD's library and ask for versioned symbols. Rust cannot version a symbol, so each export is one jump in
//! assembly that carries the versioned name ([`export!`]). Rust's own functions keep private names and do not appear in the table.
//!
//! Promise: no panic crosses the edge. It becomes what the exported function's type has for failure ([`Failed`]).

use std::panic::{AssertUnwindSafe, catch_unwind};

use hsa_sys::raw::{HSA_STATUS_ERROR, hsa_status_t};

/// What a function answers after it has panicked.
pub(crate) trait Failed {
    /// Returns it.
    fn failed() -> Self;
}

impl Failed for hsa_status_t {
    fn failed() -> Self {
        HSA_STATUS_ERROR
    }
}

impl Failed for i64 {
    fn failed() -> Self {
        0
    }
}

impl Failed for u64 {
    fn failed() -> Self {
        0
    }
}

impl Failed for () {
    fn failed() -> Self {}
}

/// Runs the body of an exported function.
#[inline]
pub(crate) fn at_the_edge<T: Failed>(body: impl FnOnce() -> T) -> T {
    // A panic is a bug of ours; the message has been printed. State behind locks is consistent between two statements.
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| T::failed())
}

/// Defines exported functions: `fn name(argument: Type) -> Result type { body }`.
///
/// Arguments come from C: a body that looks at what they point to says in a SAFETY comment what it relies on.
macro_rules! export {
    ($($(#[$attribute:meta])* fn $name:ident($($argument:ident: $kind:ty),* $(,)?) $(-> $result:ty)? $body:block)*) => {
        $(
            $(#[$attribute])*
            pub(crate) extern "C" fn $name($($argument: $kind),*) $(-> $result)? {
                crate::export::at_the_edge(|| $body)
            }
            crate::export::versioned!($name);
        )*
    };
}
pub(crate) use export;

/// Defines one function under the names that HSA has for its memory orders: `[name ...] (argument: Type) -> Result type { body }`.
macro_rules! ordered {
    ($($(#[doc = $text:literal])* [$($names:tt)*] ($($arguments:tt)*) $(-> $result:ty)? $body:block)*) => {
        $( crate::export::ordered! { @ [$($text)*] [$($names)*] ($($arguments)*) ($($result)?) $body } )*
    };
    (@ $text:tt [$($name:ident)+] $arguments:tt $result:tt $body:block) => {
        $( crate::export::ordered! { @@ $text $name $arguments $result $body } )+
    };
    (@@ [$($text:literal)*] $name:ident ($($argument:ident: $kind:ty),*) ($($result:ty)?) $body:block) => {
        crate::export::export! {
            $(#[doc = $text])*
            fn $name($($argument: $kind),*) $(-> $result)? $body
        }
    };
}
pub(crate) use ordered;

/// Writes the jump that carries the versioned name. Test programs have no version nodes, and need none.
macro_rules! versioned {
    ($name:ident) => {
        #[cfg(all(target_arch = "x86_64", not(test)))]
        std::arch::global_asm!(
            ".pushsection .text.wavegate_exports,\"ax\",@progbits",
            concat!(".globl wavegate_", stringify!($name)),
            concat!(".type wavegate_", stringify!($name), ",@function"),
            concat!("wavegate_", stringify!($name), ":"),
            "jmp {body}",
            concat!(".size wavegate_", stringify!($name), ", . - wavegate_", stringify!($name)),
            concat!(".symver wavegate_", stringify!($name), ", ", stringify!($name), "@@@ROCR_1"),
            ".popsection",
            body = sym $name,
        );
        // Nobody calls it by its own name; there it counts as used.
        #[cfg(any(not(target_arch = "x86_64"), test))]
        const _: () = {
            let _ = $name;
        };
    };
}
pub(crate) use versioned;
