//! How declarations are written, so that each is also a row of the table that the test compares with C headers.
//!
//! A declaration that came with a later release says so: `since 4` is minor version 4 of AMD's interface
//! (`HSA_AMD_INTERFACE_VERSION_MINOR`). ROCm 5.2 has 0, 6.1 has 4, 6.4 has 7. Headers before that are not asked about it.

/// Minor version of AMD's interface in the oldest headers that this crate is compared with.
pub(crate) const FIRST: u32 = 0;

/// Returns the version a declaration gives, or the first.
macro_rules! since {
    () => {
        $crate::declare::FIRST
    };
    ($since:literal) => {
        $since
    };
}

/// Declares C enumerations: a type alias, because a C library may return a value that its header does not list, and constants.
macro_rules! constants {
    ($(
        $(#[$type_doc:meta])*
        $type:ident: $repr:ident {
            $( $(#[$doc:meta])* $name:ident = $value:literal $(, since $since:literal)?; )*
        }
    )*) => {
        $(
            $(#[$type_doc])*
            pub type $type = $repr;
            $( $(#[$doc])* pub const $name: $type = $value; )*
        )*

        /// Everything declared here, for the comparison with C headers.
        pub(crate) const CONSTANTS: &[$crate::layout::Constant] = &[$($(
            $crate::layout::Constant {
                name: stringify!($name),
                value: $value as i64,
                bytes: size_of::<$repr>(),
                since: $crate::declare::since!($($since)?),
            },
        )*)*];
    };
}

/// Declares structs that hold nothing but an opaque `handle`.
macro_rules! handles {
    ($( $(#[$doc:meta])* $name:ident $(, since $since:literal)?; )*) => {
        $(
            $(#[$doc])*
            #[repr(C)]
            #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
            pub struct $name {
                /// Opaque; 0 is nobody's.
                pub handle: u64,
            }
        )*

        /// Everything declared here, for the comparison with C headers.
        pub(crate) const HANDLES: &[$crate::layout::Record] = &[$(
            $crate::layout::Record {
                name: stringify!($name),
                bytes: size_of::<$name>(),
                align: align_of::<$name>(),
                fields: &[("handle", 0, size_of::<u64>(), $crate::declare::FIRST)],
                since: $crate::declare::since!($($since)?),
            },
        )*];
    };
}

/// Declares C structs. `field = name` is a field that C knows by another name.
macro_rules! records {
    ($(
        $(#[doc = $type_doc:literal])*
        $(#[align($align:literal)])?
        $name:ident $(, since $since:literal)? {
            $( $(#[$doc:meta])* $field:ident $(= $in_c:ident)?: $type:ty $(, since $field_since:literal)?; )*
        }
    )*) => {
        $(
            $(#[doc = $type_doc])*
            #[repr(C $(, align($align))?)]
            #[derive(Clone, Copy, Debug)]
            pub struct $name {
                $( $(#[$doc])* pub $field: $type, )*
            }
        )*

        /// Everything declared here, for the comparison with C headers.
        pub(crate) const RECORDS: &[$crate::layout::Record] = &[$(
            $crate::layout::Record {
                name: stringify!($name),
                bytes: size_of::<$name>(),
                align: align_of::<$name>(),
                fields: &[$((
                    $crate::declare::in_c!($field $($in_c)?),
                    std::mem::offset_of!($name, $field),
                    size_of::<$type>(),
                    $crate::declare::since!($($field_since)?),
                ),)*],
                since: $crate::declare::since!($($since)?),
            },
        )*];
    };
}

/// Returns a field's name in C.
macro_rules! in_c {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $name:ident) => {
        stringify!($name)
    };
}

pub(crate) use {constants, handles, in_c, records, since};
