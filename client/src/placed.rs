//! What a device that chooses addresses chose: kept for it in this process, so that a pointer means the same here and there.
//!
//! Memory that can be mapped is mapped at its address; for all other the addresses are reserved, with nothing behind them. Where something of this
//! process lies there already, the device is asked for other memory, and what it chose first is given back afterwards, so that it is not
//! offered again at once.

use std::sync::Arc;

use proto::limits::ALIAS_PARTS_MAX;
use proto::message::TenantAnswer;
use proto::message::tenant::{CloseAlias, PlaceAlias};
use proto::{Bytes, ClaimedRange, DeviceAddress};
use sys::arena::{Arena, ArenaError};
use sys::memfd::MemoryError;

use crate::connection::Connection;
use crate::error::ClientError;
use crate::places::Object;
use crate::session::{Client, Session};

/// How often the device is asked for other memory.
const TRIES: usize = 16;

/// Asks until `settle` finds the place of what `ask` got free in this process.
pub(crate) fn settled<Asked, Settled>(
    ask: impl Fn() -> Result<Asked, ClientError>,
    settle: impl Fn(&mut Asked) -> Result<Settled, ClientError>,
) -> Result<(Asked, Settled), ClientError> {
    // Dropped, and so given back, when this returns.
    let mut taken = Vec::new();
    loop {
        let mut asked = ask()?;
        match settle(&mut asked) {
            Ok(settled) => return Ok((asked, settled)),
            Err(error) if is_taken(&error) && taken.len() < TRIES => taken.push(asked),
            Err(error) => return Err(error),
        }
    }
}

fn is_taken(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::Memory(MemoryError::AddressTaken { .. }) | ClientError::Arena(ArenaError::AddressTaken { .. })
    )
}

/// Keeps addresses of the device's free of anything else of this process.
pub(crate) fn reserve(address: u64, bytes: u64) -> Result<Arena, ClientError> {
    let (at, bytes) = (usize::try_from(address).unwrap_or(0), usize::try_from(bytes).unwrap_or(usize::MAX));
    Ok(Arena::reserve_at(at, bytes)?)
}

/// Parts of objects, one after the other, at an address that the device chose. Kernels see them there, this process does not. Closed when dropped.
pub struct PlacedAlias {
    // Declared first: the device closes it before the addresses are free here.
    open: Open,
    addresses: Arena,
}

/// Closes an alias.
struct Open {
    connection: Arc<Connection>,
    at: DeviceAddress,
}

impl Drop for Open {
    fn drop(&mut self) {
        // If the session is over there is nothing left to close.
        let _ = self.connection.request(&CloseAlias { at: self.at }.into());
    }
}

impl PlacedAlias {
    /// Returns the first address.
    pub fn address(&self) -> u64 {
        self.open.at.0
    }

    /// Returns how many there are, in whole pages.
    pub fn bytes(&self) -> u64 {
        self.addresses.len() as u64
    }
}

impl Client {
    /// Whether the device chooses addresses: then [`place_alias`](Self::place_alias) takes the place of [`alias`](Self::alias).
    pub fn device_chooses_addresses(&self) -> bool {
        self.0.arena.is_none()
    }

    /// Lets kernels see parts of objects, at most eight, one after the other: each is an object, the offset of its part and the part's length, in whole
    /// pages.
    pub fn place_alias(&self, parts: &[(&Object, u64, u64)]) -> Result<PlacedAlias, ClientError> {
        let mut claims = [ClaimedRange::default(); ALIAS_PARTS_MAX];
        if parts.len() > claims.len() {
            let (what, next) = ("the number of parts of an alias", "use at most 8");
            return Err(ClientError::Argument { what, value: parts.len() as u64, next });
        }
        for (claim, (object, offset, bytes)) in claims.iter_mut().zip(parts) {
            *claim = ClaimedRange { buffer: object.id(), offset: Bytes(*offset), bytes: Bytes(*bytes) };
        }
        let bytes = parts.iter().map(|part| part.2).sum();
        let (open, addresses) = settled(|| open(&self.0, claims), |open: &mut Open| reserve(open.at.0, bytes))?;
        Ok(PlacedAlias { open, addresses })
    }
}

fn open(session: &Session, parts: [ClaimedRange; ALIAS_PARTS_MAX]) -> Result<Open, ClientError> {
    match session.request(&PlaceAlias { parts }.into())? {
        (TenantAnswer::AliasPlaced(got), _) => Ok(Open { connection: Arc::clone(&session.connection), at: got.at }),
        (other, _) => Err(session.misunderstood(&other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn what_is_taken_here_is_asked_for_again_and_given_back_afterwards() {
        let (asked, held, most) = (Cell::new(0), Cell::new(0), Cell::new(0));
        struct Held<'a>(&'a Cell<u32>);
        impl Drop for Held<'_> {
            fn drop(&mut self) {
                self.0.set(self.0.get() - 1);
            }
        }
        let ask = || {
            asked.set(asked.get() + 1);
            held.set(held.get() + 1);
            most.set(most.get().max(held.get()));
            Ok(Held(&held))
        };
        let taken = || ClientError::from(MemoryError::AddressTaken { address: 4096 });
        let third = settled(ask, |_| if asked.get() < 3 { Err(taken()) } else { Ok(asked.get()) });
        let (kept, settled_at) = third.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((settled_at, most.get(), held.get()), (3, 3, 1), "those that did not fit are kept until one does");
        drop(kept);
        let never = settled(ask, |_| Err::<(), _>(taken()));
        assert!(never.is_err_and(|error| is_taken(&error)));
        assert_eq!((held.get(), most.get()), (0, TRIES as u32 + 1));
        let other = settled(ask, |_| Err::<(), _>(ClientError::NotMapped));
        assert!(matches!(other, Err(ClientError::NotMapped)));
    }

    #[test]
    fn addresses_in_use_are_not_reserved() {
        let here = Arena::reserve(8192).unwrap();
        let at = here.address() as u64;
        assert!(reserve(at, 4096).is_err_and(|error| is_taken(&error)));
        drop(here);
        let ours = reserve(at, 8192).unwrap();
        assert_eq!(ours.address() as u64, at);
    }
}
