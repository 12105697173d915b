//! The rows.
//!
//! One line an instruction: encoding, opcode, mnemonic, architectures, type of the destination, types of the sources, traits, and the
//! method of the execution context that carries it out, with its arguments. The list is a macro because three things are made of
//! it: [`ROWS`] for decoding and printing, and a handler each for every execution tier (`exec::tier`). The files of this folder hold
//! the rows by encoding; each puts its own in front of those collected so far and passes them on, until `instructions!` has them all.

mod buffer;
mod ds;
mod flat;
mod scalar;
mod vop12;
mod vop3;
mod vopc;

use super::{Archs, Encoding, Row, Traits, Ty};

pub(crate) use {
    buffer::buffer_rows, ds::ds_rows, flat::flat_rows, scalar::scalar_rows, vop3::vop3_rows, vop12::vop12_rows,
    vopc::vopc_rows,
};

/// Applies a macro to the list of all rows.
macro_rules! instructions {
    ($apply:ident) => {
        $crate::isa::table::buffer_rows! { then_flat $apply {} }
    };
}
pub(crate) use instructions;

/// Links of the chain: `row_chain! { here next }` names the macro that runs after `here`'s predecessor.
macro_rules! row_chain {
    ($($link:ident: $rows:ident then $next:ident;)*) => {$(
        macro_rules! $link {
            ($apply:ident $collected:tt) => {
                $crate::isa::table::$rows! { $next $apply $collected }
            };
        }
        pub(crate) use $link;
    )*};
}

row_chain! {
    then_flat: flat_rows then then_ds;
    then_ds: ds_rows then then_vop3;
    then_vop3: vop3_rows then then_vopc;
    then_vopc: vopc_rows then then_vop12;
    then_vop12: vop12_rows then then_scalar;
    then_scalar: scalar_rows then finish;
}

/// The end of the chain.
macro_rules! finish {
    ($apply:ident { $($rows:tt)* }) => {
        $apply! { $($rows)* }
    };
}
pub(crate) use finish;

macro_rules! rows {
    ($($encoding:ident $op:literal $name:ident $archs:ident $dst:ident ($($src:ident)*) [$($trait:ident)*]
        = $method:ident $([$($generic:tt)*])? ($($arg:expr),*);)*) => {
        /// Every instruction this crate decodes.
        pub static ROWS: &[Row] = &[$(Row {
            name: stringify!($name),
            encoding: Encoding::$encoding,
            op: $op,
            archs: Archs::$archs,
            dst: Ty::$dst,
            src: sources(&[$(Ty::$src),*]),
            traits: Traits::NONE$(.and(Traits::$trait))*,
        }),*];
    };
}

const fn sources(types: &[Ty]) -> [Ty; 3] {
    let mut out = [Ty::None; 3];
    let mut k = 0;
    while k < types.len() {
        out[k] = types[k];
        k += 1;
    }
    out
}

instructions!(rows);
