//! AMD's runtime library, opened at run time: one table of functions for each header.
//!
//! Promise: [`Library::open`] either finds every function that ROCm 5.2 has, or says which library it tried, why that did not do and
//! which package brings one. Functions of later releases are `None` where the library is older. A library is never unloaded:
//! the runtime starts threads that would go on without their code.

mod amd;
mod core;
mod image;

use std::ffi::{CStr, CString, OsStr, c_void};
use std::fmt;
use std::mem::ManuallyDrop;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

pub use self::amd::Amd;
pub use self::core::Core;
pub use self::image::Image;

/// Name by which the dynamic linker finds the runtime.
pub const SONAME: &str = "libhsa-runtime64.so.1";

/// Declares a table of functions. What a later release brought (`since`) is an `Option`.
macro_rules! functions {
    (
        $(#[$table_doc:meta])*
        $table:ident
        $(
            $(#[$doc:meta])*
            fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $returns:ty)? $(, since $since:literal)?;
        )*
    ) => {
        $(#[$table_doc])*
        #[derive(Clone, Copy)]
        #[allow(missing_docs, reason = "comments are those of the C header")]
        pub struct $table {
            $(
                $(#[$doc])*
                pub $name: $crate::table::slot!(unsafe extern "C" fn($($argument: $type),*) $(-> $returns)?; $($since)?),
            )*
        }

        impl $table {
            /// Looks every function up.
            pub(super) fn load(library: &libloading::Library) -> Result<$table, &'static str> {
                Ok($table { $( $name: $crate::table::find!(library, $name, $($since)?), )* })
            }

            /// Names of the functions that a library may lack, because a later release brought them, with that release's version.
            pub const LATER: &[(&str, u32)] = &[$( $( (stringify!($name), $since), )? )*];
        }
    };
}

macro_rules! slot {
    ($type:ty;) => { $type };
    ($type:ty; $since:literal) => { Option<$type> };
}

/// Looks a function up; one that the library must have ends the enclosing function.
macro_rules! find {
    ($library:ident, $name:ident,) => {
        // SAFETY: the declaration agrees with the C header's prototype of this name; the library is never unloaded, so the
        // pointer stays good.
        match unsafe { $library.get(concat!(stringify!($name), "\0").as_bytes()) } {
            Ok(symbol) => *symbol,
            Err(_) => return Err(stringify!($name)),
        }
    };
    ($library:ident, $name:ident, $since:literal) => {
        // SAFETY: as above.
        unsafe { $library.get(concat!(stringify!($name), "\0").as_bytes()) }.ok().map(|symbol| *symbol)
    };
}

use {find, functions, slot};

/// Why no runtime was opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The dynamic linker does not find it, or not what it needs.
    #[error(
        "cannot open {library}: {why}\n\
         what next: install AMD's runtime (Debian and Ubuntu: apt-get install libhsa-runtime64-1; AMD's own packages: hsa-rocr)"
    )]
    Library {
        /// What was asked for.
        library: String,
        /// What the dynamic linker says.
        why: String,
    },
    /// It lacks a function that every runtime since ROCm 5.2 has.
    #[error(
        "{library} has no {function}: it is no HSA runtime, or one older than ROCm 5.2\nwhat next: install a newer libhsa-runtime64-1"
    )]
    Function {
        /// Where it was looked for.
        library: String,
        /// Which.
        function: &'static str,
    },
}

/// AMD's runtime library.
pub struct Library {
    /// Functions of `hsa.h`.
    pub core: Core,
    /// Functions of `hsa_ext_amd.h`.
    pub amd: Amd,
    /// Functions of `hsa_ext_image.h`.
    pub image: Image,
    path: PathBuf,
    library: ManuallyDrop<libloading::Library>,
}

impl Library {
    /// Opens the runtime where the dynamic linker finds it: [`SONAME`] on its search path.
    pub fn find() -> Result<Library, OpenError> {
        Library::open(Path::new(SONAME))
    }

    /// Opens the runtime at `path`; a bare file name is looked for as the dynamic linker does.
    ///
    /// Loading a library runs its initialisers: name only files you trust.
    pub fn open(path: &Path) -> Result<Library, OpenError> {
        let named = || path.display().to_string();
        // SAFETY: initialisers of a runtime library only prepare the library itself; whose library it is, is the caller's choice.
        let library = unsafe { libloading::Library::new(path) }
            .map_err(|error| OpenError::Library { library: named(), why: error.to_string() })?;
        // Unloading is not safe from here on, not even after an error: what it depends on may have started threads.
        let library = ManuallyDrop::new(library);
        let lacking = |function| OpenError::Function { library: named(), function };
        let core = Core::load(&library).map_err(lacking)?;
        let amd = Amd::load(&library).map_err(lacking)?;
        let image = Image::load(&library).map_err(lacking)?;
        let path = file_of(core.hsa_init as *const c_void).unwrap_or_else(|| path.to_owned());
        Ok(Library { core, amd, image, path, library })
    }

    /// Loads another library first, for everything that is loaded later: one that the runtime itself asks for by the same name is then not looked
    /// for any more. Like every library here it stays.
    pub fn preload(path: &Path) -> Result<(), OpenError> {
        let failed = |why: String| OpenError::Library { library: path.display().to_string(), why };
        let name = CString::new(path.as_os_str().as_bytes()).map_err(|error| failed(error.to_string()))?;
        // SAFETY: as for `open`; the name is a C string during the call.
        if unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) }.is_null() {
            // SAFETY: dlerror returns null or a C string that stays until this thread's next call.
            let why = unsafe {
                let text = libc::dlerror();
                if text.is_null() { String::new() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
            };
            return Err(failed(why));
        }
        Ok(())
    }

    /// Returns the file that the functions are in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the library exports a symbol of this name.
    pub fn exports(&self, symbol: &CStr) -> bool {
        // SAFETY: the symbol's address is neither called nor read.
        unsafe { self.library.get::<*const c_void>(symbol.to_bytes_with_nul()) }.is_ok()
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Returns the file whose code `address` lies in.
fn file_of(address: *const c_void) -> Option<PathBuf> {
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: dladdr fills the structure it is given and only looks addresses up.
    let found = unsafe { libc::dladdr(address, info.as_mut_ptr()) };
    // SAFETY: all zeroes are a valid Dl_info, and dladdr may have filled it.
    let info = unsafe { info.assume_init() };
    if found == 0 || info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: a name that dladdr returns is a C string that lives as long as its library, which is for ever.
    let name = unsafe { CStr::from_ptr(info.dli_fname) };
    std::fs::canonicalize(OsStr::from_bytes(name.to_bytes())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_named_with_its_package() {
        let error = Library::open(Path::new("/nowhere/libhsa-runtime64.so.1")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/libhsa-runtime64.so.1"), "{error}");
        assert!(error.contains("apt-get install libhsa-runtime64-1"), "{error}");
    }

    #[test]
    fn another_library_is_refused_by_the_first_function_it_lacks() {
        let error = Library::open(Path::new("libc.so.6")).unwrap_err().to_string();
        assert!(error.contains("libc.so.6 has no hsa_"), "{error}");
    }

    #[test]
    fn an_address_is_traced_to_its_file() {
        let path = file_of(libc::strlen as *const c_void).unwrap();
        assert!(path.is_absolute() && path.is_file(), "{}", path.display());
        assert_eq!(file_of(std::ptr::null()), None);
    }
}
