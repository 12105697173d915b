//! What the fixture is: read once, from the environment or from a file beside the library, so that programs which know nothing of it can be run on
//! any shape, and processes that are given no environment too.

use std::path::{Path, PathBuf};

use gcn::arch::Arch;

/// The file beside the library: lines `NAME=VALUE` with the names of the variables, which win over it.
const FILE: &str = "softkmt.conf";

/// Shape of the software GPU behind the thunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) arch: Arch,
    pub(crate) cus: u32,
    pub(crate) vram_bytes: u64,
    /// What the host node says it has.
    pub(crate) host_bytes: u64,
    /// Whether there are copy engines; without them ROCr copies with kernels.
    pub(crate) sdma: bool,
    /// Whether queues tell their errors as the driver does since Linux 6.5: by an event and a word of reasons.
    pub(crate) exceptions: bool,
    /// The GPU is lost, as by a reset, once this file is there.
    pub(crate) lose: Option<PathBuf>,
    /// Whether every call is told on standard error.
    pub(crate) trace: bool,
}

impl Config {
    /// Reads `SOFTKMT_ARCH`, `SOFTKMT_CUS`, `SOFTKMT_VRAM_MIB`, `SOFTKMT_SDMA`, `SOFTKMT_EXCEPTIONS`, `SOFTKMT_LOSE` and `SOFTKMT_TRACE`.
    ///
    /// A value that is none is an error: a fixture that guesses would make a test pass for the wrong reason.
    pub(crate) fn read() -> Result<Config, String> {
        let path = library().and_then(|library| Some(library.parent()?.join(FILE)));
        // That there is no file is the ordinary case.
        let file = path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        Config::parse(|name| std::env::var(name).ok().or_else(|| line_of(&file, name)))
    }

    fn parse(get: impl Fn(&str) -> Option<String>) -> Result<Config, String> {
        let number = |name: &str, otherwise: u64, max: u64| match get(name) {
            None => Ok(otherwise),
            Some(text) => match text.parse() {
                Ok(n) if (1..=max).contains(&n) => Ok(n),
                _ => Err(format!("{name}={text}: use a number from 1 to {max}")),
            },
        };
        let arch = get("SOFTKMT_ARCH").unwrap_or_else(|| Arch::Gfx90a.name().to_owned());
        Ok(Config {
            arch: Arch::from_name(&arch).ok_or_else(|| format!("SOFTKMT_ARCH={arch}: use gfx90a or gfx942"))?,
            cus: number("SOFTKMT_CUS", 8, 304)? as u32,
            vram_bytes: number("SOFTKMT_VRAM_MIB", 1024, 1 << 20)? << 20,
            host_bytes: 8 << 30,
            sdma: get("SOFTKMT_SDMA").is_none_or(|value| value != "0"),
            exceptions: get("SOFTKMT_EXCEPTIONS").is_some_and(|value| value != "0"),
            lose: get("SOFTKMT_LOSE").map(PathBuf::from),
            trace: get("SOFTKMT_TRACE").is_some_and(|value| value != "0"),
        })
    }
}

/// Returns the value of a line `NAME=VALUE`.
fn line_of(file: &str, name: &str) -> Option<String> {
    file.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
}

/// Returns the path by which this library was loaded.
fn library() -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;

    // SAFETY: every field is an integer or a pointer, for which zero is a value.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    let inside = (library as fn() -> Option<PathBuf> as *const ()).cast::<libc::c_void>();
    // SAFETY: any address may be asked about; the answer is stored where it is wanted.
    if unsafe { libc::dladdr(inside, &raw mut info) } == 0 || info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: a C string that lives as long as the library is loaded.
    let name = unsafe { std::ffi::CStr::from_ptr(info.dli_fname) };
    Some(Path::new(std::ffi::OsStr::from_bytes(name.to_bytes())).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_refused_with_what_to_use() {
        let with =
            |name: &'static str, value: &'static str| Config::parse(move |n| (n == name).then(|| value.to_owned()));
        assert_eq!(with("SOFTKMT_CUS", "12").unwrap().cus, 12);
        assert_eq!(line_of("SOFTKMT_CUSTOM=1\nSOFTKMT_CUS=3\n", "SOFTKMT_CUS").as_deref(), Some("3"));
        assert!(library().is_some_and(|path| path.is_absolute() || path.exists()));
        assert_eq!(with("SOFTKMT_ARCH", "gfx942").unwrap().arch, Arch::Gfx942);
        assert!(with("SOFTKMT_CUS", "0").unwrap_err().contains("1 to 304"));
        assert!(with("SOFTKMT_ARCH", "gfx1100").unwrap_err().contains("gfx90a or gfx942"));
    }
}
