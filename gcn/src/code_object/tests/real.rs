//! The loader on what the compiler makes: every committed object of the kernels' room, as it is and damaged.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::hostile::exercise;
use crate::arch::Arch;
use crate::code_object::*;
use crate::kernarg::{KernargBuilder, Launch};

/// Every object compiled for `arch`, with its path.
fn objects(arch: Arch) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernels/objects").join(arch.name());
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut objects: Vec<_> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .map(|path| (path.clone(), std::fs::read(path).expect("a readable file")))
        .filter(|(_, bytes)| bytes.starts_with(b"\x7fELF"))
        .collect();
    objects.sort();
    assert!(!objects.is_empty(), "no code objects in {}", folder.display());
    objects
}

#[test]
fn every_committed_object_loads() {
    for arch in Arch::ALL {
        for (path, bytes) in objects(arch) {
            let object = CodeObject::parse(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(object.arch(), arch, "{}", path.display());
            assert!(!object.kernels().is_empty(), "{}", path.display());
            let image = object.image(0x1_0000_0000, &|_| None);
            assert_eq!(image.map(|image| image.len() as u64), Ok(object.image_bytes()), "{}", path.display());
            exercise(&bytes);
        }
    }
}

/// The compiler writes both from the same numbers, so any difference is a misread field.
#[test]
fn metadata_and_descriptors_agree() {
    for arch in Arch::ALL {
        for (path, bytes) in objects(arch) {
            for kernel in CodeObject::parse(&bytes).expect("loads").kernels() {
                let descriptor = &kernel.descriptor;
                let place = format!("{} in {}", kernel.symbol, path.display());
                assert_eq!(kernel.symbol, format!("{}.kd", kernel.name), "{place}");
                assert_eq!(kernel.group_segment_fixed_size, descriptor.group_segment_fixed_size, "{place}");
                assert_eq!(kernel.private_segment_fixed_size, descriptor.private_segment_fixed_size, "{place}");
                assert_eq!(kernel.kernarg_segment_size, descriptor.kernarg_size, "{place}");
                assert_eq!(kernel.uses_dynamic_stack, descriptor.uses_dynamic_stack, "{place}");
                assert_eq!(kernel.wavefront_size, 64, "{place}");
                assert!(kernel.vgpr_count <= descriptor.vgprs.into(), "{place}");
                assert!(kernel.agpr_count <= descriptor.agprs().into(), "{place}");
                assert!(kernel.sgpr_count <= descriptor.sgprs.into(), "{place}");
                for arg in &kernel.args {
                    assert!(!matches!(arg.kind, ArgKind::Unknown(_)), "{place}: {:?}", arg.kind);
                    assert!(arg.offset + arg.size <= kernel.kernarg_segment_size, "{place}: {arg:?}");
                }
            }
        }
    }
}

#[test]
fn every_committed_kernel_takes_its_arguments() {
    for arch in Arch::ALL {
        for (path, bytes) in objects(arch) {
            for kernel in CodeObject::parse(&bytes).expect("loads").kernels() {
                let place = format!("{} in {}", kernel.symbol, path.display());
                let mut builder = KernargBuilder::new(kernel, Launch::new([256, 1, 1], [64, 1, 1])).expect(&place);
                for arg in kernel.explicit_args() {
                    builder = match arg.kind {
                        ArgKind::DynamicSharedPointer => builder.local(64),
                        _ => builder.arg(&vec![0xee; arg.size as usize]),
                    }
                    .unwrap_or_else(|error| panic!("{place}: {error}"));
                }
                let kernarg = builder.finish().unwrap_or_else(|error| panic!("{place}: {error}"));
                let given: u32 = kernel.explicit_args().map(|arg| arg.size).sum();
                let found = kernarg.bytes.iter().filter(|&&byte| byte == 0xee).count();
                if kernel.explicit_args().all(|arg| arg.kind != ArgKind::DynamicSharedPointer) {
                    assert_eq!(found, given as usize, "{place}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn damaged_objects_do_no_harm(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        keep in any::<prop::sample::Index>(),
        truncate in any::<bool>(),
    ) {
        let mut files = objects(Arch::Gfx90a);
        let (_, file) = files.swap_remove(which.index(files.len()));
        let mut file = file;
        for (at, byte) in changes {
            // Most of a file is code, which the loader does not read; prefer its tables.
            let at = at.index(file.len()) % file.len().min(0x1400);
            file[at] = byte;
        }
        if truncate {
            file.truncate(keep.index(file.len()));
        }
        exercise(&file);
    }
}
