//! The HSA declarations of `hsa-sys` against AMD's C headers, of this system and of other releases of Debian.
//!
//! Promise: it compares or it fails; nothing is skipped. The test itself is `hsa-sys/tests/headers.rs`; this command gets what
//! it needs. Headers of other releases are fetched by apt from the mirror that this system uses, into the target folder,
//! with apt's own state and none of the system's, and checked against Debian's keyring.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

/// Releases whose headers are compared beside this system's.
const RELEASES: [&str; 2] = ["trixie", "sid"];
const PACKAGE: &str = "libhsa-runtime-dev";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Compares the declarations with this system's headers, and with `releases` those of [`RELEASES`].
pub(crate) fn check(releases: bool) -> Result<()> {
    let root = crate::root();
    let mut include = vec![PathBuf::from("/usr/include")];
    if releases {
        let mirror = mirror()?;
        for release in RELEASES {
            include.push(fetched(&root.join("target/hsa-headers").join(release), release, &mirror)?);
        }
    }
    let include: OsString = std::env::join_paths(&include).context("a folder's name holds a colon")?;
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["test", "--quiet", "-p", "wavegate-hsa-sys", "--test", "headers", "--"])
        .args(["--include-ignored", "--nocapture"])
        .env("HSA_INCLUDE", include)
        .current_dir(root)
        .stdin(Stdio::null())
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "hsa-sys differs from the headers ({status}); which facts is above");
    Ok(())
}

/// Returns the folder of the headers of a release, fetched into `folder` if they are not there yet.
fn fetched(folder: &Path, release: &str, mirror: &str) -> Result<PathBuf> {
    let include = folder.join("tree/usr/include");
    if include.join("hsa/hsa.h").is_file() {
        return Ok(include);
    }
    for part in ["lists/partial", "cache/archives/partial", "tree"] {
        let part = folder.join(part);
        fs::create_dir_all(&part).with_context(|| format!("cannot make {}", part.display()))?;
    }
    fs::write(folder.join("status"), "").context("cannot write apt's status")?;
    fs::write(folder.join("sources.list"), format!("deb [signed-by={KEYRING}] {mirror} {release} main\n"))
        .context("cannot write a sources.list")?;
    println!("fetching {PACKAGE} of {release}");
    apt(folder, &["update", "--quiet"])?;
    apt(folder, &["download", "--quiet", PACKAGE])?;
    let package = fs::read_dir(folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .with_context(|| format!("apt-get downloaded nothing to {}", folder.display()))?;
    let status = Command::new("dpkg").arg("-x").arg(&package).arg(folder.join("tree")).status();
    ensure!(status.context("cannot run dpkg")?.success(), "dpkg cannot unpack {}", package.display());
    ensure!(include.join("hsa/hsa.h").is_file(), "{} holds no hsa/hsa.h", package.display());
    Ok(include)
}

/// Runs apt-get with state of its own in `folder`.
fn apt(folder: &Path, arguments: &[&str]) -> Result<()> {
    let at = |option: &str, name: &str| {
        let mut setting = OsString::from(format!("{option}="));
        setting.push(folder.join(name));
        setting
    };
    let status = Command::new("apt-get")
        .arg("-o")
        .arg(at("Dir::Etc::sourcelist", "sources.list"))
        .args(["-o", "Dir::Etc::sourceparts=/dev/null", "-o", "Acquire::Check-Valid-Until=false"])
        .arg("-o")
        .arg(at("Dir::State::lists", "lists"))
        .arg("-o")
        .arg(at("Dir::State::status", "status"))
        .arg("-o")
        .arg(at("Dir::Cache", "cache"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .status()
        .context("cannot run apt-get")?;
    ensure!(status.success(), "apt-get {} failed ({status}); its messages are above", arguments.join(" "));
    Ok(())
}

/// Returns the archive that this system gets Debian from.
pub(crate) fn mirror() -> Result<String> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(parts) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(parts.filter_map(Result::ok).map(|entry| entry.path()));
    }
    files.sort();
    for file in &files {
        if let Some(found) = fs::read_to_string(file).ok().as_deref().and_then(mirror_in) {
            return Ok(found.to_owned());
        }
    }
    bail!("no Debian archive is named in /etc/apt\nwhat next: run this on Debian, or without --releases")
}

/// Returns the first archive whose path is `/debian`.
fn mirror_in(text: &str) -> Option<&str> {
    let words = text.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(str::split_whitespace);
    words.filter(|word| word.contains("://")).find(|word| word.trim_end_matches('/').ends_with("/debian"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_found_in_both_notations() {
        let old = "# deb http://x/debian old main\ndeb [trusted=no] https://deb.example/debian/ stable main\n";
        assert_eq!(mirror_in(old), Some("https://deb.example/debian/"));
        let new = "Types: deb\nURIs: http://a/debian-security\nSuites: s\n\nTypes: deb\nURIs: http://a/debian\n";
        assert_eq!(mirror_in(new), Some("http://a/debian"));
        assert_eq!(mirror_in("deb https://a/node_20.x nodistro main"), None);
    }
}
