//! Packets: a header of 16 bytes and a body whose size is fixed by its kind.
//!
//! One message travels as one `SOCK_SEQPACKET` packet, so there is no framing to get wrong. All numbers are
//! little-endian and unaligned; bodies have no padding and no optional tail. A new field means a new kind or a new
//! version, never a longer body: then "is this packet exactly what its kind says" stays one comparison.
//!
//! [`Message`] is implemented by the `messages!` macro for one enum per direction, so a receiver can only ever decode what
//! its peer is allowed to say.

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::ids::RequestId;
use crate::limits::{MAX_MESSAGE, PROTOCOL_VERSION};
use crate::violation::Violation;

/// First two bytes of every packet: `WG`.
pub const MAGIC: u16 = u16::from_le_bytes(*b"WG");

/// Size of the header in bytes.
pub const HEADER_BYTES: usize = size_of::<Header>();

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
struct Header {
    magic: U16,
    version: U16,
    kind: U16,
    /// Zero.
    reserved: U16,
    request: U32,
    /// Of the whole packet, header included.
    length: U32,
}

/// A value that can be part of a message: it has a fixed form on the wire, and reading that form back is a check.
pub trait Field: Sized {
    /// The bytes of it.
    type Wire: FromBytes + IntoBytes + KnownLayout + Immutable + Unaligned + Copy;

    /// Writes the value down.
    fn to_wire(&self) -> Self::Wire;

    /// Checks what a peer wrote. `field` names the place for the [`Violation`].
    fn from_wire(wire: &Self::Wire, field: &'static str) -> Result<Self, Violation>;
}

macro_rules! plain_field {
    ($($int:ty as $Wire:ty),*) => {$(
        impl Field for $int {
            type Wire = $Wire;
            fn to_wire(&self) -> $Wire {
                <$Wire>::new(*self)
            }
            fn from_wire(wire: &$Wire, _field: &'static str) -> Result<Self, Violation> {
                Ok(wire.get())
            }
        }
    )*};
}
plain_field!(u32 as U32, u64 as U64);

impl<const N: usize> Field for [u8; N] {
    type Wire = Self;
    fn to_wire(&self) -> Self {
        *self
    }
    fn from_wire(wire: &Self, _field: &'static str) -> Result<Self, Violation> {
        Ok(*wire)
    }
}

impl<T: Field + Copy + Default, const N: usize> Field for [T; N] {
    type Wire = [T::Wire; N];
    fn to_wire(&self) -> Self::Wire {
        self.map(|value| value.to_wire())
    }
    fn from_wire(wire: &Self::Wire, field: &'static str) -> Result<Self, Violation> {
        let mut values = [T::default(); N];
        for (value, wire) in values.iter_mut().zip(wire) {
            *value = T::from_wire(wire, field)?;
        }
        Ok(values)
    }
}

/// What is known of one kind of message without having one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its name.
    pub name: &'static str,
    /// Its number on the wire.
    pub kind: u16,
    /// How many descriptors travel with it.
    pub fds: usize,
    /// Size of the whole packet in bytes.
    pub bytes: usize,
}

/// Everything one side of a connection may say.
pub trait Message: Sized {
    /// Who says it to whom.
    const DIRECTION: &'static str;
    /// Every kind there is, in order.
    const TABLE: &'static [Facts];

    /// Returns what is fixed about this kind of message.
    fn facts(&self) -> &'static Facts;

    /// Writes the message into a packet.
    fn encode(&self, request: RequestId) -> Packet;

    /// Reads a packet that arrived with `fds` descriptors.
    fn decode(packet: &[u8], fds: usize) -> Result<(RequestId, Self), Violation>;
}

/// One encoded message.
#[derive(Clone)]
pub struct Packet {
    bytes: [u8; MAX_MESSAGE],
    len: usize,
}

impl Packet {
    /// Puts a header before `body`. The macro has checked at compile time that the two fit.
    pub(crate) fn new(kind: u16, request: RequestId, body: &[u8]) -> Self {
        let len = HEADER_BYTES + body.len();
        let header = Header {
            magic: U16::new(MAGIC),
            version: U16::new(PROTOCOL_VERSION),
            kind: U16::new(kind),
            reserved: U16::ZERO,
            request: U32::new(request.0),
            // PANIC: cannot be cut short, `len` is at most MAX_MESSAGE.
            length: U32::new(len as u32),
        };
        let mut bytes = [0; MAX_MESSAGE];
        bytes[..HEADER_BYTES].copy_from_slice(header.as_bytes());
        bytes[HEADER_BYTES..len].copy_from_slice(body);
        Self { bytes, len }
    }

    /// Returns the bytes to send.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl core::fmt::Debug for Packet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Packet({} bytes)", self.len)
    }
}

/// Checks everything about a packet that does not depend on its kind; returns kind, request and body.
///
/// The version is looked at before all that another version may have changed.
pub(crate) fn open(packet: &[u8]) -> Result<(u16, RequestId, &[u8]), Violation> {
    if packet.len() > MAX_MESSAGE {
        return Err(Violation::Long { got: packet.len() });
    }
    let (header, body) = Header::read_from_prefix(packet).map_err(|_| Violation::Short { got: packet.len() })?;
    if header.magic.get() != MAGIC {
        return Err(Violation::Magic { got: header.magic.get() });
    }
    if header.version.get() != PROTOCOL_VERSION {
        return Err(Violation::Version { theirs: header.version.get() });
    }
    if header.reserved.get() != 0 {
        return Err(Violation::Reserved { field: "header" });
    }
    let kind = header.kind.get();
    let said = header.length.get() as usize;
    if said != packet.len() {
        return Err(Violation::Length { kind, got: said, want: packet.len() });
    }
    Ok((kind, RequestId(header.request.get()), body))
}

/// Declares a group of fields that travels as a part of messages.
macro_rules! record {
    ($(#[$doc:meta])* pub struct $Name:ident { $($(#[$field_doc:meta])* $field:ident: $Type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $Name { $($(#[$field_doc])* pub $field: $Type),* }

        const _: () = {
            /// The same on the wire: unaligned little-endian fields without padding.
            #[derive(
                zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable,
                zerocopy::Unaligned, Clone, Copy,
            )]
            #[repr(C)]
            #[allow(unreachable_pub, reason = "the trait wants it public, nobody else can name it")]
            pub struct Wire { $($field: <$Type as $crate::wire::Field>::Wire),* }

            impl $crate::wire::Field for $Name {
                type Wire = Wire;
                fn to_wire(&self) -> Wire {
                    Wire { $($field: $crate::wire::Field::to_wire(&self.$field)),* }
                }
                #[allow(unused_variables, reason = "some messages have no fields")]
                fn from_wire(wire: &Wire, _field: &'static str) -> Result<Self, $crate::violation::Violation> {
                    Ok(Self { $($field: $crate::wire::Field::from_wire(&wire.$field, stringify!($field))?),* })
                }
            }
        };
    };
}

/// Declares an enum that travels as a 32-bit number; any number without a name is a [`Violation::Value`].
macro_rules! wire_enum {
    ($(#[$doc:meta])* pub enum $Name:ident { $($(#[$variant_doc:meta])* $Variant:ident = $number:literal $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum $Name { $($(#[$variant_doc])* $Variant = $number),* }

        impl $Name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$Variant),*];

            /// Returns the value with this number.
            pub fn from_number(number: u32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$Variant),)*
                    _ => None,
                }
            }

            /// Returns the number on the wire.
            pub fn number(self) -> u32 {
                self as u32
            }

            /// Returns the word people see, in output and in logs.
            pub fn word(self) -> &'static str {
                match self { $(Self::$Variant => $word),* }
            }
        }

        impl core::fmt::Display for $Name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.pad(self.word())
            }
        }

        impl $crate::wire::Field for $Name {
            type Wire = zerocopy::byteorder::little_endian::U32;
            fn to_wire(&self) -> Self::Wire {
                Self::Wire::new(self.number())
            }
            fn from_wire(wire: &Self::Wire, field: &'static str) -> Result<Self, $crate::violation::Violation> {
                let got = wire.get();
                Self::from_number(got).ok_or($crate::violation::Violation::Value { field, got: u64::from(got) })
            }
        }
    };
}

/// Declares all messages of one direction: per message its number, how many descriptors it carries, and its fields.
macro_rules! messages {
    (
        $(#[$doc:meta])*
        pub enum $Direction:ident = $who:literal {
            $(
                $(#[$message_doc:meta])*
                $Name:ident = $kind:literal, fds $fds:literal { $($(#[$field_doc:meta])* $field:ident: $Type:ty),* $(,)? }
            )*
        }
    ) => {
        $(
            $crate::wire::record! {
                $(#[$message_doc])*
                pub struct $Name { $($(#[$field_doc])* $field: $Type),* }
            }

            impl $Name {
                /// What is fixed about this message.
                pub const FACTS: $crate::wire::Facts = $crate::wire::Facts {
                    name: stringify!($Name),
                    kind: $kind,
                    fds: $fds,
                    bytes: $crate::wire::HEADER_BYTES + size_of::<<Self as $crate::wire::Field>::Wire>(),
                };
            }

            const _: () = assert!($Name::FACTS.bytes <= $crate::limits::MAX_MESSAGE);
            const _: () = assert!($Name::FACTS.fds <= $crate::limits::MAX_FDS);

            impl From<$Name> for $Direction {
                fn from(message: $Name) -> Self {
                    Self::$Name(message)
                }
            }
        )*

        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(clippy::large_enum_variant, reason = "one message at a time lives on a stack; no heap in this crate")]
        pub enum $Direction { $(#[doc = concat!("See [`", stringify!($Name), "`].")] $Name($Name)),* }

        impl $crate::wire::Message for $Direction {
            const DIRECTION: &'static str = $who;
            const TABLE: &'static [$crate::wire::Facts] = &[$($Name::FACTS),*];

            fn facts(&self) -> &'static $crate::wire::Facts {
                match self { $(Self::$Name(_) => &$Name::FACTS),* }
            }

            fn encode(&self, request: $crate::ids::RequestId) -> $crate::wire::Packet {
                match self {
                    $(Self::$Name(message) => {
                        let wire = $crate::wire::Field::to_wire(message);
                        $crate::wire::Packet::new($kind, request, zerocopy::IntoBytes::as_bytes(&wire))
                    })*
                }
            }

            fn decode(packet: &[u8], fds: usize) -> Result<($crate::ids::RequestId, Self), $crate::violation::Violation> {
                let (kind, request, body) = $crate::wire::open(packet)?;
                match kind {
                    $($kind => {
                        let wire = $crate::wire::body(&$Name::FACTS, body, fds)?;
                        <$Name as $crate::wire::Field>::from_wire(wire, stringify!($Name)).map(|m| (request, Self::$Name(m)))
                    })*
                    got => Err($crate::violation::Violation::Kind { got }),
                }
            }
        }
    };
}

pub(crate) use {messages, record, wire_enum};

/// Checks what depends on the kind: the number of descriptors and the exact size.
pub(crate) fn body<'a, W>(facts: &Facts, body: &'a [u8], fds: usize) -> Result<&'a W, Violation>
where
    W: FromBytes + KnownLayout + Immutable + Unaligned,
{
    if fds != facts.fds {
        return Err(Violation::Descriptors { kind: facts.kind, got: fds, want: facts.fds });
    }
    W::ref_from_bytes(body).map_err(|_| Violation::Length {
        kind: facts.kind,
        got: HEADER_BYTES + body.len(),
        want: facts.bytes,
    })
}
