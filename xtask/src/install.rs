//! `cargo xtask install --prefix DIR`: what an installation consists of.
//!
//! Promise: `DIR/bin/wavegate`, `DIR/lib/wavegate/libhsa-runtime64.so.1` and beside it `libwavegate_view.so`, each written beside its place and moved there, so that programs that
//! run meanwhile keep what they have. Nothing else is touched.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// What is installed: name in the build's folder, place below the prefix.
const FILES: [(&str, &str); 3] = [
    ("wavegate", "bin/wavegate"),
    ("libwavegate_capi.so", "lib/wavegate/libhsa-runtime64.so.1"),
    ("libwavegate_view.so", "lib/wavegate/libwavegate_view.so"),
];
/// The packages they are built from.
pub(crate) const PACKAGES: [&str; 6] = ["-p", "wavegate", "-p", "wavegate-capi", "-p", "wavegate-view"];

/// Builds everything and installs it below a folder.
pub(crate) fn into(prefix: &Path) -> Result<()> {
    let root = crate::root();
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release"])
        .args(PACKAGES)
        .current_dir(&root)
        .stdin(Stdio::null())
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "it does not build ({status}); the messages are above");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    place(&target.join("release"), prefix)?;
    println!(
        "installed below {}; programs run with {}/bin/wavegate run -- PROGRAM",
        prefix.display(),
        prefix.display()
    );
    Ok(())
}

pub(crate) fn place(built: &Path, prefix: &Path) -> Result<()> {
    for (name, below) in FILES {
        let (from, to) = (built.join(name), prefix.join(below));
        let folder = to.parent().context("a file lies in a folder")?;
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let beside = to.with_extension("new");
        fs::copy(&from, &beside).with_context(|| format!("cannot copy {} to {}", from.display(), beside.display()))?;
        fs::rename(&beside, &to).with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_get_to_their_places_and_replace_older_ones() {
        let folder = std::env::temp_dir().join(format!("wavegate-install-{}", std::process::id()));
        let (built, prefix) = (folder.join("built"), folder.join("prefix"));
        fs::create_dir_all(&built).unwrap();
        for text in ["one", "two"] {
            fs::write(built.join("wavegate"), text).unwrap();
            fs::write(built.join("libwavegate_capi.so"), format!("library {text}")).unwrap();
            fs::write(built.join("libwavegate_view.so"), "answers").unwrap();
            place(&built, &prefix).unwrap();
            assert_eq!(fs::read_to_string(prefix.join("lib/wavegate/libwavegate_view.so")).unwrap(), "answers");
            let library = prefix.join("lib/wavegate/libhsa-runtime64.so.1");
            assert_eq!(fs::read_to_string(prefix.join("bin/wavegate")).unwrap(), text);
            assert_eq!(fs::read_to_string(library).unwrap(), format!("library {text}"));
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
