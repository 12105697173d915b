//! The code objects are the ones their cases are written for: same arguments, same work-group, same target.

use std::collections::BTreeSet;
use std::path::Path;

use object::elf::NoteType;
use object::read::elf::{ElfFile64, FileHeader as _, SectionHeader as _};
use object::{LittleEndian, Object as _, ObjectSymbol as _};
use rmpv::Value;

use crate::{Arg, Kernel, Level, Target, all};

/// The note type of AMDGPU metadata since code object v3.
const NT_AMDGPU_METADATA: NoteType = NoteType(32);

/// Returns the description of the program in the metadata note of its object (AMDGPU usage guide of LLVM, "Code
/// Object V5 Metadata"), and the target the object names.
fn metadata(kernel: &Kernel, target: Target) -> (Value, String) {
    let file = ElfFile64::<LittleEndian>::parse(kernel.code_object(target)).unwrap();
    let header = file.elf_header();
    let mut found = None;
    for section in header.section_headers(LittleEndian, file.data()).unwrap() {
        let Some(mut notes) = section.notes(LittleEndian, file.data()).unwrap() else { continue };
        while let Some(note) = notes.next().unwrap() {
            if note.name() == b"AMDGPU" && note.n_type(LittleEndian) == NT_AMDGPU_METADATA {
                found = Some(rmpv::decode::read_value(&mut note.desc()).unwrap());
            }
        }
    }
    let whole = found.expect("a metadata note");
    let name = get(&whole, "amdhsa.target").as_str().unwrap().to_owned();
    let kernels = get(&whole, "amdhsa.kernels").as_array().unwrap();
    assert_eq!(kernels.len(), 1, "{}", kernel.name);
    (kernels[0].clone(), name)
}

fn get<'a>(map: &'a Value, key: &str) -> &'a Value {
    lookup(map, key).unwrap_or_else(|| panic!("no {key}"))
}

fn lookup<'a>(map: &'a Value, key: &str) -> Option<&'a Value> {
    map.as_map()?.iter().find(|(k, _)| k.as_str() == Some(key)).map(|(_, value)| value)
}

fn number(map: &Value, key: &str) -> u64 {
    get(map, key).as_u64().unwrap()
}

fn each() -> impl Iterator<Item = (&'static Kernel, Target)> {
    all().iter().flat_map(|kernel| Target::ALL.map(|target| (kernel, target)))
}

#[test]
fn objects_name_their_target_and_carry_their_descriptor() {
    for (kernel, target) in each() {
        let file = ElfFile64::<LittleEndian>::parse(kernel.code_object(target)).unwrap();
        let (described, name) = metadata(kernel, target);
        assert_eq!(name, format!("amdgcn-amd-amdhsa--{target}"), "{}", kernel.name);
        assert_eq!(get(&described, ".symbol").as_str(), Some(kernel.symbol));
        let symbols: BTreeSet<String> = file.dynamic_symbols().map(|s| s.name().unwrap().to_owned()).collect();
        assert!(symbols.contains(kernel.symbol) && symbols.contains(kernel.name), "{symbols:?}");
        // ELF header: ABI version 3 is code object version 5.
        assert_eq!(file.elf_header().e_ident.abi_version, 3, "{}", kernel.name);
    }
}

#[test]
fn explicit_arguments_lie_where_the_object_expects_them() {
    for (kernel, target) in each() {
        let case = kernel.small_case(0);
        let (described, _) = metadata(kernel, target);
        let empty = Vec::new();
        let described: Vec<&Value> = lookup(&described, ".args")
            .and_then(Value::as_array)
            .unwrap_or(&empty)
            .iter()
            .filter(|arg| !get(arg, ".value_kind").as_str().unwrap().starts_with("hidden_"))
            .collect();
        assert_eq!(described.len(), case.args.len(), "{}", kernel.name);
        for (i, (described, arg)) in described.iter().zip(&case.args).enumerate() {
            let context = format!("{} argument {i}", kernel.name);
            let (kind, size) = match arg {
                Arg::Buffer { .. } => ("global_buffer", 8),
                Arg::U64(_) => ("by_value", 8),
                Arg::U32(_) | Arg::F32(_) => ("by_value", 4),
            };
            assert_eq!(get(described, ".value_kind").as_str(), Some(kind), "{context}");
            assert_eq!(number(described, ".size"), size, "{context}");
            // Laying out all up to this one must end where it ends.
            let end = crate::explicit_arguments(&case.args[..=i], |_| 0).len() as u64;
            assert_eq!(number(described, ".offset") + size, end, "{context}");
        }
    }
}

#[test]
fn work_groups_are_of_the_size_the_object_requires() {
    for (kernel, target) in each() {
        let case = kernel.small_case(0);
        let (described, _) = metadata(kernel, target);
        let items: u64 = case.workgroup.iter().map(|n| u64::from(*n)).product();
        assert!(items <= number(&described, ".max_flat_workgroup_size"), "{}", kernel.name);
        if let Some(required) = lookup(&described, ".reqd_workgroup_size") {
            let required: Vec<u64> = required.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
            assert_eq!(case.workgroup.map(u64::from).as_slice(), required, "{}", kernel.name);
        }
    }
}

#[test]
fn programs_use_the_hardware_they_claim_to() {
    for target in Target::ALL {
        let of = |name: &str| metadata(crate::find(name).unwrap(), target).0;
        for canary in [of("canary"), of("canary_write")] {
            assert_eq!(number(&canary, ".group_segment_fixed_size"), 65536, "{target}");
            // Both files together, of which 256 are accumulation registers.
            assert_eq!((number(&canary, ".vgpr_count"), number(&canary, ".agpr_count")), (512, 256), "{target}");
        }
        assert_eq!(number(&of("hold"), ".vgpr_count") * 64 * 4, crate::hold::VGPR_BYTES_PER_WAVE, "{target}");
        // The array may be rounded up, not kept in registers.
        assert!(number(&of("scratch"), ".private_segment_fixed_size") >= 256, "{target}");
        assert!(number(&of("call"), ".private_segment_fixed_size") > 0, "{target}");
        let saxpy = of("saxpy");
        let kinds: BTreeSet<&str> = get(&saxpy, ".args")
            .as_array()
            .unwrap()
            .iter()
            .map(|arg| get(arg, ".value_kind").as_str().unwrap())
            .collect();
        for hidden in ["hidden_block_count_x", "hidden_group_size_x", "hidden_remainder_x"] {
            assert!(kinds.contains(hidden), "{target}: {kinds:?}");
        }
    }
}

#[test]
fn every_source_has_an_entry_and_every_object_a_source() {
    let names: BTreeSet<String> = all().iter().map(|kernel| kernel.name.to_owned()).collect();
    let stems = |folder: &str, extension: &str| -> BTreeSet<String> {
        std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == extension))
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(stems("src-gpu", "cl"), names);
    for target in Target::ALL {
        let objects = stems(&format!("objects/{target}"), "co");
        let (collections, objects): (BTreeSet<_>, BTreeSet<_>) =
            objects.into_iter().partition(|name| name.starts_with("corpus-"));
        assert_eq!(objects, names);
        assert_eq!(collections, ["corpus-O0", "corpus-O1", "corpus-O3"].map(str::to_owned).into());
    }
}

#[test]
fn collections_hold_every_program_they_should() {
    for target in Target::ALL {
        for level in Level::ALL {
            for kernel in all() {
                let Some(bytes) = kernel.code_object_at(target, level) else {
                    assert!(
                        matches!(kernel.name, "hold" | "spin") || kernel.name.starts_with("canary"),
                        "{}",
                        kernel.name
                    );
                    continue;
                };
                let file = ElfFile64::<LittleEndian>::parse(bytes).unwrap();
                let found = file.dynamic_symbols().any(|s| s.name() == Ok(kernel.symbol));
                assert!(found, "{} at {level:?} for {target}", kernel.name);
            }
        }
    }
}

#[test]
fn objects_are_small_and_tell_nothing_of_where_they_were_built() {
    for (kernel, target) in each() {
        let object = kernel.code_object(target);
        assert!(object.len() < 32 * 1024, "{} for {target} has {} bytes", kernel.name, object.len());
        for trace in [".cl", ".h\0", "/home", "/tmp", "/root", "src-gpu"] {
            let found = object.windows(trace.len()).any(|bytes| bytes == trace.as_bytes());
            assert!(!found, "{} for {target} contains `{trace}`", kernel.name);
        }
    }
}
