//! Gives the library the name and the symbol version that ROCr was linked against.

fn main() {
    let map = concat!(env!("CARGO_MANIFEST_DIR"), "/exports.map");
    println!("cargo::rerun-if-changed={map}");
    println!("cargo::rustc-cdylib-link-arg=-Wl,--version-script={map}");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libhsakmt.so.1");
}
