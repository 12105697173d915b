//! Reads MessagePack one token at a time, without building a tree.
//!
//! Promise: every call consumes at least one byte or fails, nothing is allocated, and no call recurses, so
//! deep nesting and huge claimed lengths cost at most one pass over the bytes.
//! Layout: the MessagePack specification; the marker table comes from the `rmp` crate.

use rmp::Marker;

/// One token: a whole scalar, or the head of a container whose items follow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Token<'a> {
    /// That many key-value pairs follow.
    Map(u32),
    /// That many values follow.
    Array(u32),
    /// A string, not yet checked to be UTF-8.
    Str(&'a [u8]),
    /// An integer that is not negative.
    Uint(u64),
    /// A boolean.
    Bool(bool),
    /// Nil, a negative integer, a float, binary or an extension: nothing that AMDGPU metadata uses.
    Other,
}

/// The bytes are not MessagePack, or end inside a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// A cursor over MessagePack bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    total: usize,
}

impl<'a> Reader<'a> {
    /// Returns a reader at the first of `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, total: bytes.len() }
    }

    /// Returns how many bytes have been consumed.
    pub(super) fn position(&self) -> usize {
        self.total.saturating_sub(self.rest.len())
    }

    /// Consumes one token. A container whose items cannot fit in the bytes left is refused at its head.
    pub(super) fn token(&mut self) -> Result<Token<'a>, Malformed> {
        let marker = Marker::from_u8(self.u8()?);
        let token = match marker {
            Marker::FixPos(value) => Token::Uint(value.into()),
            Marker::U8 => Token::Uint(self.u8()?.into()),
            Marker::U16 => Token::Uint(self.u16()?.into()),
            Marker::U32 => Token::Uint(self.u32()?.into()),
            Marker::U64 => Token::Uint(u64::from_be_bytes(self.array()?)),
            // Encoders may choose a signed form for a positive number.
            Marker::I8 => signed(i8::from_be_bytes(self.array()?).into()),
            Marker::I16 => signed(i16::from_be_bytes(self.array()?).into()),
            Marker::I32 => signed(i32::from_be_bytes(self.array()?).into()),
            Marker::I64 => signed(i64::from_be_bytes(self.array()?)),
            Marker::True => Token::Bool(true),
            Marker::False => Token::Bool(false),
            Marker::FixStr(len) => Token::Str(self.take(len.into())?),
            Marker::Str8 => Token::Str(self.u8().and_then(|len| self.take(len.into()))?),
            Marker::Str16 => Token::Str(self.u16().and_then(|len| self.take(len.into()))?),
            Marker::Str32 => Token::Str(self.u32().and_then(|len| self.take(len.into()))?),
            Marker::FixMap(len) => self.container(len.into(), 2).map(Token::Map)?,
            Marker::Map16 => self.u16().and_then(|len| self.container(len.into(), 2)).map(Token::Map)?,
            Marker::Map32 => self.u32().and_then(|len| self.container(len, 2)).map(Token::Map)?,
            Marker::FixArray(len) => self.container(len.into(), 1).map(Token::Array)?,
            Marker::Array16 => self.u16().and_then(|len| self.container(len.into(), 1)).map(Token::Array)?,
            Marker::Array32 => self.u32().and_then(|len| self.container(len, 1)).map(Token::Array)?,
            Marker::Null | Marker::FixNeg(_) => Token::Other,
            Marker::F32 => self.other(4)?,
            Marker::F64 => self.other(8)?,
            Marker::Bin8 => self.u8().and_then(|len| self.other(len.into()))?,
            Marker::Bin16 => self.u16().and_then(|len| self.other(len.into()))?,
            Marker::Bin32 => self.u32().and_then(|len| self.other(len.into()))?,
            // An extension is a type byte and its data.
            Marker::FixExt1 => self.other(1 + 1)?,
            Marker::FixExt2 => self.other(1 + 2)?,
            Marker::FixExt4 => self.other(1 + 4)?,
            Marker::FixExt8 => self.other(1 + 8)?,
            Marker::FixExt16 => self.other(1 + 16)?,
            Marker::Ext8 => self.u8().and_then(|len| self.other(1 + u64::from(len)))?,
            Marker::Ext16 => self.u16().and_then(|len| self.other(1 + u64::from(len)))?,
            Marker::Ext32 => self.u32().and_then(|len| self.other(1 + u64::from(len)))?,
            Marker::Reserved => return Err(Malformed),
        };
        Ok(token)
    }

    /// Consumes one whole value, however deep it nests.
    pub(super) fn skip(&mut self) -> Result<(), Malformed> {
        let mut owed = 1_u64;
        while owed > 0 {
            let items = match self.token()? {
                Token::Map(pairs) => u64::from(pairs).saturating_mul(2),
                Token::Array(items) => items.into(),
                _ => 0,
            };
            owed = owed.saturating_sub(1).saturating_add(items);
        }
        Ok(())
    }

    /// Returns `len` if that many items of at least `bytes_each` bytes can still follow.
    fn container(&self, len: u32, bytes_each: u64) -> Result<u32, Malformed> {
        let least = u64::from(len).saturating_mul(bytes_each);
        if least > self.rest.len() as u64 { Err(Malformed) } else { Ok(len) }
    }

    fn other(&mut self, bytes: u64) -> Result<Token<'a>, Malformed> {
        self.take(bytes).map(|_| Token::Other)
    }

    fn take(&mut self, bytes: u64) -> Result<&'a [u8], Malformed> {
        let bytes = usize::try_from(bytes).map_err(|_| Malformed)?;
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }
}

fn signed<'a>(value: i64) -> Token<'a> {
    u64::try_from(value).map_or(Token::Other, Token::Uint)
}
