//! What C hands us, made safe to hold.
//!
//! An [`Out`], [`In`], [`Room`] or [`Text`] in the arguments of an exported function is C's promise about a pointer: that it is null, or points to
//! what its type says for as long as the call lasts. Nothing in Rust can make one, so looking through them is safe everywhere else.

use std::ffi::{CStr, c_char, c_void};
use std::marker::PhantomData;

use hsa_sys::raw::{HSA_STATUS_ERROR_INVALID_ARGUMENT, HSA_STATUS_SUCCESS, hsa_status_t};

/// What most of our functions return inside: a value, or the status that says why there is none.
pub(crate) type Answer<T = ()> = Result<T, hsa_status_t>;

/// Turns an answer into what C gets.
pub(crate) fn status(answer: Answer) -> hsa_status_t {
    answer.err().unwrap_or(HSA_STATUS_SUCCESS)
}

/// Where C wants one `T`.
#[repr(transparent)]
pub(crate) struct Out<T>(*mut T);

impl<T> Clone for Out<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Out<T> {}

impl<T> Out<T> {
    /// Whether C wants it at all.
    pub(crate) fn is_wanted(self) -> bool {
        !self.0.is_null()
    }

    /// Refuses a null pointer, before anything is done that would have to be undone.
    pub(crate) fn needed(self) -> Answer<Self> {
        if self.0.is_null() { Err(HSA_STATUS_ERROR_INVALID_ARGUMENT) } else { Ok(self) }
    }

    /// Returns the same place, for values of another type.
    pub(crate) fn cast<U>(self) -> Out<U> {
        Out(self.0.cast())
    }

    /// Stores a value.
    pub(crate) fn put(self, value: T) -> Answer {
        self.needed()?;
        // SAFETY: not null, so C promises room for a `T`; nothing is promised about alignment.
        unsafe { self.0.write_unaligned(value) };
        Ok(())
    }

    /// Returns what lies there.
    pub(crate) fn get(self) -> Answer<T>
    where
        T: Copy,
    {
        self.needed()?;
        // SAFETY: not null, so C promises a `T`.
        Ok(unsafe { self.0.read_unaligned() })
    }

    /// Stores several values, one after the other.
    pub(crate) fn put_all(self, values: impl IntoIterator<Item = T>) -> Answer {
        self.needed()?;
        for (at, value) in values.into_iter().enumerate() {
            // SAFETY: not null, and C promises room for as many as the function is documented to store.
            unsafe { self.0.wrapping_add(at).write_unaligned(value) };
        }
        Ok(())
    }
}

/// Where C has one `T`, or several.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct In<'a, T>(*const T, PhantomData<&'a T>);

impl<'a, T: Copy> In<'a, T> {
    /// Returns the value.
    pub(crate) fn get(self) -> Answer<T> {
        if self.0.is_null() {
            return Err(HSA_STATUS_ERROR_INVALID_ARGUMENT);
        }
        // SAFETY: not null, so C promises a `T`.
        Ok(unsafe { self.0.read_unaligned() })
    }

    /// Returns copies of the first `count` values. Null means none, and is wrong where some are promised.
    pub(crate) fn list(self, count: usize) -> Answer<Vec<T>> {
        if count > 0 && self.0.is_null() {
            return Err(HSA_STATUS_ERROR_INVALID_ARGUMENT);
        }
        // SAFETY: not null, and C promises `count` of them.
        Ok((0..count).map(|at| unsafe { self.0.wrapping_add(at).read_unaligned() }).collect())
    }
}

impl<'a> In<'a, u8> {
    /// Returns where it points.
    pub(crate) fn address(self) -> u64 {
        self.0.addr() as u64
    }
}

/// Where C wants a value whose type depends on what it asked for.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Room(*mut c_void);

impl Room {
    /// Stores a value. HSA documents for each question what type its room must be for.
    pub(crate) fn put<T>(self, value: T) -> Answer {
        Out(self.0.cast::<T>()).put(value)
    }

    /// Stores a text in a field of `N` bytes, cut if need be, padded with zeroes; the last byte is zero.
    pub(crate) fn put_text<const N: usize>(self, text: &str) -> Answer {
        let mut field = [0u8; N];
        let kept = text.len().min(N - 1);
        field[..kept].copy_from_slice(&text.as_bytes()[..kept]);
        self.put(field)
    }

    /// Stores the bytes of a text without an end mark.
    pub(crate) fn put_bytes(self, text: &[u8]) -> Answer {
        Out(self.0.cast::<u8>()).put_all(text.iter().copied())
    }
}

/// A text of C's, ended by a zero byte.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Text<'a>(*const c_char, PhantomData<&'a c_char>);

impl<'a> Text<'a> {
    /// Returns it as text.
    pub(crate) fn get(self) -> Answer<&'a str> {
        if self.0.is_null() {
            return Err(HSA_STATUS_ERROR_INVALID_ARGUMENT);
        }
        // SAFETY: not null, so C promises a text that ends with a zero byte and stays for the call.
        unsafe { CStr::from_ptr(self.0) }.to_str().map_err(|_| HSA_STATUS_ERROR_INVALID_ARGUMENT)
    }
}

/// Something of C's that we keep and hand back, and never look at.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Opaque(pub(crate) *mut c_void);

// SAFETY: the pointer is only passed back to the callbacks it came with; that they may run on another thread is HSA's contract.
unsafe impl Send for Opaque {}
// SAFETY: as above.
unsafe impl Sync for Opaque {}

/// A callback of C's that is called once per thing, until it does not answer success.
pub(crate) type Each<H> = Option<unsafe extern "C" fn(H, *mut c_void) -> hsa_status_t>;

/// Calls `callback` for each of `things`; what it answers other than success ends the walk and is the answer.
pub(crate) fn each<H>(things: impl IntoIterator<Item = H>, callback: Each<H>, data: Opaque) -> Answer {
    let callback = callback.ok_or(HSA_STATUS_ERROR_INVALID_ARGUMENT)?;
    for thing in things {
        // SAFETY: C gave the function together with the data for it.
        match unsafe { callback(thing, data.0) } {
            HSA_STATUS_SUCCESS => {}
            other => return Err(other),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_an_answer_and_not_a_crash() {
        let nothing = std::ptr::null_mut::<u32>();
        assert_eq!(Out(nothing).put(1), Err(HSA_STATUS_ERROR_INVALID_ARGUMENT));
        assert_eq!(In(nothing, PhantomData).get(), Err(HSA_STATUS_ERROR_INVALID_ARGUMENT));
        assert_eq!(In(nothing, PhantomData).list(0), Ok(vec![]));
        assert_eq!(In(nothing, PhantomData).list(1), Err(HSA_STATUS_ERROR_INVALID_ARGUMENT));
        assert_eq!(Text(std::ptr::null(), PhantomData).get(), Err(HSA_STATUS_ERROR_INVALID_ARGUMENT));
        assert_eq!(Room(std::ptr::null_mut()).put_text::<64>("x"), Err(HSA_STATUS_ERROR_INVALID_ARGUMENT));
    }

    #[test]
    fn a_text_fills_its_field_and_ends() {
        let mut field = [0xEEu8; 6];
        Room(field.as_mut_ptr().cast()).put_text::<5>("gfx90a").unwrap();
        assert_eq!(field, *b"gfx9\0\xEE");
    }
}
