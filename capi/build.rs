//! Gives the library AMD's soname and version node, and keeps it loaded: its threads run for as long as the process.

use std::path::Path;

fn main() {
    let root = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let map = Path::new(&root).join("rocr.map");
    println!("cargo:rerun-if-changed=rocr.map");
    for argument in ["-soname,libhsa-runtime64.so.1", "-z,nodelete", &format!("--version-script={}", map.display())] {
        println!("cargo:rustc-cdylib-link-arg=-Wl,{argument}");
    }
}
