//! Unmodified programs on AMD's own ROCr on this thunk: the fixture's fidelity.
//!
//! Ignored by default, because they need Debian's `libhsa-runtime64-1`, `rocminfo` and `hipcc`; `cargo xtask rocr` installs them and runs
//! these. What is missing is a failure, never a pass.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

/// Returns a folder that holds the thunk under the name by which ROCr asks for it.
fn thunk() -> PathBuf {
    let test = env::current_exe().unwrap();
    let built = test.parent().unwrap().join("libsoftkmt.so");
    assert!(built.is_file(), "cargo did not build {}", built.display());
    let folder = scratch("thunk");
    let link = folder.join("libhsakmt.so.1");
    std::os::unix::fs::symlink(&built, &link).unwrap();
    folder
}

/// Returns an empty folder of this process.
fn scratch(name: &str) -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}-{number}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(name)
}

/// Returns a program that hipcc made of one of ours.
fn compiled(name: &str) -> PathBuf {
    compiled_from(&source(&format!("{name}.cpp")))
}

fn compiled_from(source: &Path) -> PathBuf {
    let program = scratch("hip").join(source.file_stem().unwrap());
    let made = Command::new("hipcc")
        .args(["--offload-arch=gfx90a", "-O2", "-Wno-unused-result", "-o"])
        .arg(&program)
        .arg(source)
        .output()
        .unwrap_or_else(|error| panic!("hipcc: {error}; what next: cargo xtask rocr --install"));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    program
}

/// Runs a command on the thunk, for a minute at most.
fn on_thunk(command: &[&Path], environment: &[(&str, &str)]) -> (Output, String) {
    let output = Command::new("timeout")
        .arg("60")
        .args(command)
        .env("LD_LIBRARY_PATH", thunk())
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, said)
}

#[test]
#[ignore = "needs ROCr and rocminfo; `cargo xtask rocr` gets them and runs this"]
fn rocminfo_sees_the_gpu() {
    let folder = scratch("dev");
    let run = |environment: &[(&str, &str)]| {
        let (sh, namespace, script) = (Path::new("unshare"), Path::new("-rm"), source("with-kfd.sh"));
        on_thunk(
            &[sh, namespace, &script, &folder.join(environment.len().to_string()), Path::new("rocminfo")],
            environment,
        )
    };
    for sub in 0..2 {
        fs::create_dir(folder.join(sub.to_string())).unwrap();
    }
    let (output, said) = run(&[]);
    assert!(output.status.success(), "{said}");
    for wanted in
        ["amdgcn-amd-amdhsa--gfx90a:sramecc+:xnack-", "Software GPU on softkmt", "GPU-5057415645470001", "*** Done ***"]
    {
        assert!(said.contains(wanted), "no {wanted} in\n{said}");
    }
    assert!(!said.contains("no version information"), "{said}");
    let (_, said) = run(&[("SOFTKMT_CUS", "104")]);
    assert!(said.contains("Compute Unit:            104"), "{said}");
}

#[test]
#[ignore = "needs ROCr and hipcc; `cargo xtask rocr` gets them and runs this"]
fn a_hip_program_computes_what_the_host_computes() {
    let program = compiled("vector_add");
    let environments: [&[_]; 6] = [
        &[],
        &[("HSA_ENABLE_INTERRUPT", "0")],
        &[("HSA_ENABLE_SDMA", "0")],
        &[("SOFTKMT_SDMA", "0")],
        &[("SOFTKMT_CUS", "1")],
        &[("SOFTKMT_EXCEPTIONS", "1")],
    ];
    for environment in environments {
        let (output, said) = on_thunk(&[&program], environment);
        assert!(output.status.success() && said.contains("PASS"), "{environment:?}: {said}");
        assert!(!said.contains("may be invalid"), "{environment:?}: {said}");
    }
}

#[test]
#[ignore = "needs ROCr and hipcc; `cargo xtask rocr` gets them and runs this"]
fn a_wild_store_is_a_memory_fault_that_names_its_page() {
    let (output, said) = on_thunk(&[&compiled("wild_store")], &[]);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("Memory access fault by GPU node-1") && said.contains("0xdead0000"), "{said}");
}

#[test]
#[ignore = "needs ROCr and hipcc; `cargo xtask rocr` gets them and runs this"]
fn a_child_adds_to_what_its_parent_shares() {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("tests/hip/ipc.cpp");
    let (output, said) = on_thunk(&[&compiled_from(&program)], &[]);
    assert!(output.status.success() && said.contains("ok: ipc"), "{said}");
}
