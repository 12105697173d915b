//! What is wrong with a packet whose sender broke the protocol.
//!
//! A violation has one consequence, always: the connection ends, what it held is released, and it is counted. The
//! sentence says what arrived and what should have, so that a person with a broken client finds the mistake.

use core::fmt;

/// How a peer broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Shorter than a header.
    Short {
        /// Bytes that arrived.
        got: usize,
    },
    /// Longer than [`MAX_MESSAGE`](crate::limits::MAX_MESSAGE); the tail was not read.
    Long {
        /// Bytes that arrived.
        got: usize,
    },
    /// Does not begin with the magic bytes: not a Wavegate peer.
    Magic {
        /// What it begins with.
        got: u16,
    },
    /// Another version of the protocol. Not malice: the broker answers it with a refusal before it hangs up.
    Version {
        /// The version the peer speaks.
        theirs: u16,
    },
    /// No such message in this direction, or not in this state.
    Kind {
        /// The kind that arrived.
        got: u16,
    },
    /// The length in the header, the size of the packet and the size of this kind of message are not one number.
    Length {
        /// The kind of message.
        kind: u16,
        /// Bytes in the packet.
        got: usize,
        /// Bytes this kind has.
        want: usize,
    },
    /// Something that must be zero is not.
    Reserved {
        /// The field, or the field whose padding it is.
        field: &'static str,
    },
    /// A field has a value that means nothing.
    Value {
        /// The field.
        field: &'static str,
        /// Its value.
        got: u64,
    },
    /// A text field is not printable UTF-8, or not a name.
    Text {
        /// The field.
        field: &'static str,
    },
    /// More or fewer descriptors than this kind of message carries.
    Descriptors {
        /// The kind of message.
        kind: u16,
        /// How many arrived.
        got: usize,
        /// How many it carries.
        want: usize,
    },
    /// The kernel could not deliver all descriptors (`MSG_CTRUNC`), so what arrived cannot be trusted to be in order.
    DescriptorsTruncated,
    /// More than [`REQUESTS_IN_FLIGHT_MAX`](crate::limits::REQUESTS_IN_FLIGHT_MAX) requests without an answer.
    Flood,
}

impl Violation {
    /// Names every class of violation in the order of [`Violation::class`].
    pub const CLASSES: [&'static str; 12] = [
        "short",
        "long",
        "magic",
        "version",
        "kind",
        "length",
        "reserved",
        "value",
        "text",
        "descriptors",
        "descriptors-truncated",
        "flood",
    ];

    /// Returns the index of this violation's class in [`Violation::CLASSES`], for counting.
    pub fn class(&self) -> usize {
        match self {
            Self::Short { .. } => 0,
            Self::Long { .. } => 1,
            Self::Magic { .. } => 2,
            Self::Version { .. } => 3,
            Self::Kind { .. } => 4,
            Self::Length { .. } => 5,
            Self::Reserved { .. } => 6,
            Self::Value { .. } => 7,
            Self::Text { .. } => 8,
            Self::Descriptors { .. } => 9,
            Self::DescriptorsTruncated => 10,
            Self::Flood => 11,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { got } => write!(f, "a packet of {got} bytes is shorter than its header"),
            Self::Long { got } => {
                write!(f, "a packet of {got} bytes is longer than the {} allowed", crate::limits::MAX_MESSAGE)
            }
            Self::Magic { got } => write!(f, "the packet begins with {got:#06x}, which is not Wavegate's mark"),
            Self::Version { theirs } => write!(
                f,
                "the peer speaks protocol version {theirs}, this side speaks {}: use client and broker of one release",
                crate::limits::PROTOCOL_VERSION
            ),
            Self::Kind { got } => write!(f, "message kind {got:#06x} has no meaning here"),
            Self::Length { kind, got, want } => {
                write!(f, "message kind {kind:#06x} has {want} bytes, the packet has or says {got}")
            }
            Self::Reserved { field } => write!(f, "reserved bytes at `{field}` are not zero"),
            Self::Value { field, got } => write!(f, "`{field}` cannot be {got:#x}"),
            Self::Text { field } => write!(f, "`{field}` is not printable text of the kind wanted"),
            Self::Descriptors { kind, got, want } => {
                write!(f, "message kind {kind:#06x} carries {want} descriptors, {got} arrived")
            }
            Self::DescriptorsTruncated => write!(f, "descriptors were lost on the way (MSG_CTRUNC)"),
            Self::Flood => {
                write!(f, "more than {} requests without an answer", crate::limits::REQUESTS_IN_FLIGHT_MAX)
            }
        }
    }
}

impl core::error::Error for Violation {}
