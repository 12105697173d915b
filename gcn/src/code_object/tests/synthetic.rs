//! What the loader makes of well-formed objects and of single faults.

use super::forge::*;
use crate::arch::Arch;
use crate::code_object::*;
use crate::descriptor::DescriptorError;

const BASE: u64 = 0x7f12_3456_7000;

fn nobody(_: &str) -> Option<u64> {
    None
}

fn parse(forge: &Forge) -> Result<CodeObject, LoadError> {
    CodeObject::parse(&forge.build())
}

/// Parses the default object with `bytes` put at `at`.
fn patched(at: usize, bytes: &[u8]) -> Result<CodeObject, LoadError> {
    let mut file = Forge::default().build();
    put(&mut file, at, bytes);
    CodeObject::parse(&file)
}

#[test]
fn header_segments_and_symbols_are_read() {
    let object = parse(&Forge::default()).unwrap();
    assert_eq!((object.arch(), object.abi()), (Arch::Gfx90a, AbiVersion::V5));
    assert_eq!((object.xnack(), object.sramecc()), (FeatureSetting::Off, FeatureSetting::On));
    assert_eq!((object.image_bytes(), object.image_align()), (0x4000, 0x1000));
    let segment = |offset, bytes, writable, executable| Segment { offset, bytes, readable: true, writable, executable };
    let want =
        [segment(0, 0x1000, false, false), segment(0x1000, 0x1000, false, true), segment(0x2000, 0x2000, true, false)];
    assert_eq!(object.segments(), want);
    let symbol = |name: &str, offset, size, writable| SymbolInfo { name: name.into(), offset, size, writable };
    assert_eq!(object.symbols(), [symbol("constant", NOTE, 4, false), symbol("variable", DATA + 8, 8, true)]);
    assert_eq!(object.symbol("variable").map(|symbol| symbol.offset), Some(DATA + 8));
    assert_eq!(object.symbol("k"), None);
}

#[test]
fn a_kernel_is_found_by_both_its_names() {
    let object = parse(&Forge::default()).unwrap();
    assert_eq!(object.kernel("k"), object.kernel("k.kd"));
    assert_eq!(
        object.kernel("k").map(|kernel| (kernel.name.as_str(), kernel.descriptor_offset)),
        Some(("k", DESCRIPTOR))
    );
    assert_eq!(object.kernel("K"), None);
}

#[test]
fn metadata_fills_a_kernel_in() {
    let arg = |pairs: Vec<(&'static str, Vec<u8>)>| map(pairs);
    let args = list(&[
        arg(vec![
            (".name", text("out")),
            (".value_kind", text("global_buffer")),
            (".offset", uint(0)),
            (".size", uint(8)),
            (".newer_than_us", map(vec![("x", list(&[vec![0xc0], vec![0xcb, 0, 0, 0, 0, 0, 0, 0, 0]]))])),
        ]),
        arg(vec![(".value_kind", text("hidden_remainder_z")), (".offset", uint(8)), (".size", uint(2))]),
        arg(vec![(".value_kind", text("hidden_new")), (".offset", uint(10)), (".size", uint(2))]),
        arg(vec![
            (".value_kind", text("dynamic_shared_pointer")),
            (".offset", uint(12)),
            (".size", uint(4)),
            (".pointee_align", uint(16)),
        ]),
    ]);
    let note = metadata(&[kernel(
        "k.kd",
        vec![
            (".name", text("a name of its own")),
            (".args", args),
            (".kernarg_segment_size", uint(272)),
            (".kernarg_segment_align", uint(8)),
            (".group_segment_fixed_size", uint(1)),
            (".private_segment_fixed_size", uint(2)),
            (".sgpr_count", uint(3)),
            (".vgpr_count", uint(4)),
            (".agpr_count", uint(5)),
            (".sgpr_spill_count", uint(6)),
            (".vgpr_spill_count", uint(7)),
            (".wavefront_size", uint(64)),
            (".max_flat_workgroup_size", uint(256)),
            (".reqd_workgroup_size", list(&[uint(8), uint(9), uint(10)])),
            (".uses_dynamic_stack", vec![0xc3]),
        ],
    )]);
    let object = parse(&Forge { note, ..Forge::default() }).unwrap();
    let kernel = object.kernel("k").unwrap();
    let arg = |name: &str, offset, size, pointee_align, kind| ArgInfo {
        name: name.into(),
        offset,
        size,
        pointee_align,
        kind,
    };
    let want = KernelInfo {
        name: "a name of its own".into(),
        symbol: "k.kd".into(),
        descriptor_offset: DESCRIPTOR,
        descriptor: kernel.descriptor,
        kernarg_segment_size: 272,
        kernarg_segment_align: 8,
        group_segment_fixed_size: 1,
        private_segment_fixed_size: 2,
        sgpr_count: 3,
        vgpr_count: 4,
        agpr_count: 5,
        sgpr_spill_count: 6,
        vgpr_spill_count: 7,
        wavefront_size: 64,
        max_flat_workgroup_size: 256,
        reqd_workgroup_size: Some([8, 9, 10]),
        uses_dynamic_stack: true,
        args: vec![
            arg("out", 0, 8, 1, ArgKind::GlobalBuffer),
            arg("", 8, 2, 1, ArgKind::HiddenRemainder(Axis::Z)),
            arg("", 10, 2, 1, ArgKind::Unknown("hidden_new".into())),
            arg("", 12, 4, 16, ArgKind::DynamicSharedPointer),
        ],
    };
    assert_eq!(*kernel, want);
    assert_eq!(kernel.explicit_args().count(), 2);
}

#[test]
fn a_kernel_without_metadata_has_its_descriptors_numbers() {
    let mut forge = Forge { note: metadata(&[]), ..Forge::default() };
    forge.descriptor[0] = 200;
    forge.descriptor[8] = 24;
    let object = parse(&forge).unwrap();
    let kernel = object.kernel("k").unwrap();
    assert_eq!((kernel.group_segment_fixed_size, kernel.kernarg_segment_size, kernel.args.len()), (200, 24, 0));
}

#[test]
fn every_argument_kind_keeps_its_name() {
    for name in ["by_value", "hidden_block_count_y", "hidden_shared_base", "hidden_none", "no such kind"] {
        assert_eq!(ArgKind::from_name(name).name(), name);
    }
    assert_eq!(ArgKind::from_name("hidden_group_size_y"), ArgKind::HiddenGroupSize(Axis::Y));
    assert!(ArgKind::from_name("hidden_x").is_hidden() && !ArgKind::from_name("by_value").is_hidden());
}

#[test]
fn image_holds_the_segments_and_zeros() {
    let file = Forge::default().build();
    let image = CodeObject::parse(&file).unwrap().image(BASE, &nobody).unwrap();
    assert_eq!(image.len(), 0x4000);
    assert_eq!(image[..0x1100], file[..0x1100]);
    assert!(image[0x1100..0x2000].iter().all(|&byte| byte == 0));
    assert_eq!(image[0x2000..0x2040], file[0x2000..]);
    assert!(image[0x2040..].iter().all(|&byte| byte == 0));
}

/// Applies one relocation at `DATA + 16` and returns the eight bytes there.
fn relocated(kind: u32, symbol: u32, addend: i64) -> Result<u64, LoadError> {
    let mut forge = Forge { relocations: vec![(DATA + 16, kind, symbol, addend)], ..Forge::default() };
    let extra = |name, info, section, value| Symbol { name, value, size: 0, info, section };
    forge.symbols.push(extra("absolute", FUNC, ABS, 0x1234));
    forge.symbols.push(extra("from_host", FUNC, UNDEF, 0));
    forge.symbols.push(extra("nowhere", FUNC, UNDEF, 0));
    forge.symbols.push(extra("weak", WEAK, UNDEF, 0));
    let image = parse(&forge)?.image(BASE, &|name| (name == "from_host").then_some(0x5555_0000_1000))?;
    let place = (DATA + 16) as usize;
    Ok(u64::from_le_bytes(image[place..place + 8].try_into().unwrap()))
}

#[test]
fn relocations_follow_the_abi() {
    const VARIABLE: u32 = 3;
    const ABSOLUTE: u32 = 5;
    const FROM_HOST: u32 = 6;
    const NOWHERE: u32 = 7;
    const WEAK: u32 = 8;
    let variable = BASE + DATA + 8;
    let low = |value: u64| value & 0xffff_ffff;
    let cases = [
        ("NONE", 0, NOWHERE, 3, 0),
        ("ABS32_LO", 1, VARIABLE, 4, low(variable + 4)),
        ("ABS32_HI", 2, VARIABLE, 4, (variable + 4) >> 32),
        ("ABS64", 3, VARIABLE, -8, variable - 8),
        ("ABS64 of nothing", 3, 0, 77, 77),
        ("ABS64 of an absolute symbol", 3, ABSOLUTE, 1, 0x1235),
        ("ABS64 from the host", 3, FROM_HOST, 0x10, 0x5555_0000_1010),
        ("ABS64 of a weak symbol", 3, WEAK, 0, 0),
        ("REL32", 4, VARIABLE, 0, low(8_u64.wrapping_sub(16))),
        ("REL64", 5, VARIABLE, 0, 8_u64.wrapping_sub(16)),
        ("ABS32", 6, ABSOLUTE, 0, 0x1234),
        ("REL32_LO", 10, FROM_HOST, 0, low(0x5555_0000_1000_u64.wrapping_sub(BASE + DATA + 16))),
        ("REL32_HI", 11, FROM_HOST, 0, 0x5555_0000_1000_u64.wrapping_sub(BASE + DATA + 16) >> 32),
        ("RELATIVE64", 13, 0, 0x2040, BASE + 0x2040),
        ("RELATIVE64 ignores its symbol", 13, NOWHERE, 0x2040, BASE + 0x2040),
    ];
    for (name, kind, symbol, addend, want) in cases {
        assert_eq!(relocated(kind, symbol, addend), Ok(want), "{name}");
    }
    let offset = DATA + 16;
    assert_eq!(relocated(3, NOWHERE, 0), Err(LoadError::UndefinedSymbol { name: "nowhere".into() }));
    assert_eq!(relocated(6, VARIABLE, 0), Err(LoadError::RelocationOverflow { offset, kind: 6, value: variable }));
    assert!(matches!(relocated(4, FROM_HOST, 0), Err(LoadError::RelocationOverflow { kind: 4, .. })));
    for kind in [7, 8, 9, 12, 14, 255] {
        assert_eq!(relocated(kind, 0, 0), Err(LoadError::UnsupportedRelocation { offset, kind }));
    }
    assert_eq!(relocated(3, 9, 0), Err(LoadError::NoSuchSymbol { offset, symbol: 9, symbols: 9 }));
}

#[test]
fn relocations_write_inside_segments_only() {
    let outside = |offset, kind| {
        let forge = Forge { relocations: vec![(offset, kind, 0, 0)], ..Forge::default() };
        parse(&forge).map(drop)
    };
    let end = DATA + DATA_MEMORY;
    assert_eq!(outside(end - 8, 3), Ok(()));
    assert_eq!(outside(end - 7, 3), Err(LoadError::RelocationOutside { offset: end - 7, bytes: 8 }));
    assert_eq!(outside(end - 4, 1), Ok(()));
    // Between the code's end and the data's start lies nothing, though the image has bytes there.
    assert_eq!(outside(0x1800, 1), Err(LoadError::RelocationOutside { offset: 0x1800, bytes: 4 }));
    assert_eq!(outside(u64::MAX, 3), Err(LoadError::RelocationOutside { offset: u64::MAX, bytes: 8 }));
}

#[test]
fn both_relocation_tables_are_applied() {
    let relocations = vec![(DATA, 13, 0, 1), (DATA + 8, 13, 0, 2)];
    let dynamic = vec![(8, 24), (23, RELA + 24), (2, 24)];
    let image = parse(&Forge { relocations, dynamic, ..Forge::default() }).unwrap().image(0x1000, &nobody).unwrap();
    assert_eq!(image[0x2000..0x2010], [0x1001_u64.to_le_bytes(), 0x1002_u64.to_le_bytes()].concat());
}

#[test]
fn load_addresses_are_checked() {
    let object = parse(&Forge::default()).unwrap();
    for base in [0x800, u64::MAX - 0xfff, u64::MAX - 0x3fff + 0x1000] {
        let error = object.image(base, &nobody).unwrap_err();
        assert_eq!(error, LoadError::BadLoadAddress { base, bytes: 0x4000, align: 0x1000 });
    }
    assert!(object.image(0, &nobody).is_ok());
}

#[test]
fn other_files_are_refused_with_a_reason() {
    use LoadError::*;
    assert!(matches!(CodeObject::parse(b""), Err(NotElf { .. })));
    assert!(matches!(patched(0, b"\x7fELG").unwrap_err(), NotElf { .. }));
    assert!(matches!(patched(4, &[1]).unwrap_err(), NotElf { .. }));
    assert_eq!(patched(5, &[2]).unwrap_err(), BigEndian);
    assert_eq!(patched(E_MACHINE, &[62, 0]).unwrap_err(), NotAmdgpu { machine: 62 });
    assert_eq!(patched(7, &[0]).unwrap_err(), NotHsa { os_abi: 0 });
    assert_eq!(patched(8, &[1]).unwrap_err(), UnsupportedAbi { abi_version: 1 });
    assert_eq!(patched(8, &[5]).unwrap_err(), UnsupportedAbi { abi_version: 5 });
    assert_eq!(patched(E_TYPE, &[1, 0]).unwrap_err(), NotLinked { elf_type: 1 });
    assert_eq!(patched(E_FLAGS, &[0x2c]).unwrap_err(), UnsupportedArch { mach: 0x2c });
    assert_eq!(patched(8, &[2]).map(|object| object.abi()), Ok(AbiVersion::V4));
    assert_eq!(patched(8, &[4]).map(|object| object.abi()), Ok(AbiVersion::V6));
    assert_eq!(patched(E_FLAGS, &[0x4c]).map(|object| object.arch()), Ok(Arch::Gfx942));
}

#[test]
fn impossible_segments_are_refused() {
    let fault = |at: usize, value: u64| match patched(at, &value.to_le_bytes()).unwrap_err() {
        LoadError::BadSegment { why, .. } => why,
        other => panic!("{other}"),
    };
    assert_eq!(fault(PHDR_W + P_FILESZ, DATA_MEMORY + 1), SegmentFault::FileLargerThanMemory);
    assert_eq!(fault(PHDR_W + P_OFFSET, DATA + 1), SegmentFault::OutsideFile);
    assert_eq!(fault(PHDR_W + P_OFFSET, u64::MAX), SegmentFault::OutsideFile);
    assert_eq!(fault(PHDR_W + P_VADDR, u64::MAX), SegmentFault::Wraps);
    assert_eq!(fault(PHDR_W + P_VADDR, CODE), SegmentFault::OutOfOrder);
    assert_eq!(fault(PHDR_W + P_ALIGN, 0x3000), SegmentFault::Alignment);
    assert_eq!(fault(PHDR_W + P_ALIGN, ALIGN_BYTES_MAX * 2), SegmentFault::Alignment);
    let huge = patched(PHDR_W + P_MEMSZ, &IMAGE_BYTES_MAX.to_le_bytes()).unwrap_err();
    let asked = DATA + IMAGE_BYTES_MAX;
    assert_eq!(huge, LoadError::OverLimit { what: "image bytes", asked, limit: IMAGE_BYTES_MAX });
    assert!(matches!(patched(E_PHNUM, &65_u16.to_le_bytes()), Err(LoadError::OverLimit { asked: 65, limit: 64, .. })));
    assert_eq!(patched(E_PHNUM, &[0, 0]).unwrap_err(), LoadError::NothingToLoad);
    assert!(matches!(
        patched(E_PHNUM - 2, &[55]).unwrap_err(),
        LoadError::Malformed { what: "program header table", .. }
    ));
}

#[test]
fn a_shared_page_has_both_rights() {
    let mut file = Forge::default().build();
    // Data right behind the code, in its page.
    put(&mut file, PHDR_W + P_VADDR, &(CODE + 0x100).to_le_bytes());
    put(&mut file, DYNSYM as usize + 24 * 3 + 8, &(CODE + 0x100).to_le_bytes());
    let object = CodeObject::parse(&file).unwrap();
    let rights: Vec<_> =
        object.segments().iter().map(|run| (run.offset, run.bytes, run.writable, run.executable)).collect();
    assert_eq!(rights, [(0, 0x1000, false, false), (0x1000, 0x1000, true, true), (0x2000, 0x1000, true, false)]);
    assert_eq!(object.image_bytes(), 0x3000);
}

#[test]
fn impossible_kernels_are_refused() {
    let with = |change: fn(&mut Forge)| {
        let mut forge = Forge::default();
        change(&mut forge);
        parse(&forge).unwrap_err()
    };
    let symbol = || "k.kd".to_owned();
    assert_eq!(with(|forge| forge.symbols[1].size = 63), LoadError::DescriptorSize { symbol: symbol(), bytes: 63 });
    assert!(matches!(with(|forge| forge.symbols[1].value = DATA + 0x40), LoadError::NotInFile { .. }));
    assert!(matches!(with(|forge| forge.symbols[1].value = 0x1800), LoadError::NotInFile { .. }));
    let wave32 = LoadError::Descriptor { symbol: symbol(), source: DescriptorError::Wave32 };
    assert_eq!(with(|forge| forge.descriptor[57] = 4), wave32);
    // Not aligned, not executable, before the image.
    for (offset, entry) in
        [(CODE + 4, CODE + 4), (DATA, DATA), (0_u64.wrapping_sub(0x1000), 0_u64.wrapping_sub(0x1000))]
    {
        let mut forge = Forge::default();
        forge.descriptor[16..24].copy_from_slice(&offset.wrapping_sub(DESCRIPTOR).to_le_bytes());
        assert_eq!(parse(&forge).unwrap_err(), LoadError::BadEntry { symbol: symbol(), entry });
    }
    assert_eq!(
        with(|forge| forge.symbols[3].name = "variable"),
        LoadError::DuplicateSymbol { name: "variable".into() }
    );
    let outside = LoadError::VariableOutside { name: "variable".into(), offset: DATA, bytes: DATA_MEMORY + 1 };
    assert_eq!(with(|forge| (forge.symbols[2].value, forge.symbols[2].size) = (DATA, DATA_MEMORY + 1)), outside);
}

#[test]
fn broken_tables_are_refused() {
    let with = |tag, value| parse(&Forge { dynamic: vec![(tag, value)], ..Forge::default() }).unwrap_err();
    assert!(matches!(with(6, 0x9000), LoadError::NotInFile { what: "dynamic symbol table", .. }));
    assert!(matches!(with(5, 0x9000), LoadError::NotInFile { what: "dynamic string table", .. }));
    assert!(matches!(with(8, u64::MAX), LoadError::NotInFile { what: "relocation table", .. }));
    assert!(matches!(with(4, 0x9000), LoadError::NotInFile { what: "hash table", .. }));
    assert_eq!(with(36, 0), LoadError::UnsupportedDynamicTag { tag: 36 });
    assert_eq!(with(11, 16), LoadError::EntrySize { what: "dynamic symbol table", found: 16, expected: 24 });
    assert_eq!(with(10, 3), LoadError::BadSymbolName { index: 2, why: NameFault::Endless });
    assert_eq!(with(10, 2), LoadError::BadSymbolName { index: 2, why: NameFault::Outside });
}

#[test]
fn the_gnu_hash_table_will_do() {
    let mut file = Forge { dynamic: vec![(4, 0), (0x6fff_fef5, HASH)], ..Forge::default() }.build();
    // Drop DT_HASH by turning it into a tag loaders ignore.
    let entry = (DYNAMIC as usize..).step_by(16).find(|&at| file[at..at + 8] == 4_u64.to_le_bytes()).unwrap();
    put(&mut file, entry, &0x6000_0000_u64.to_le_bytes());
    // One bucket whose chain starts at symbol 1, one bloom word, four symbols, the last of which ends the chain.
    for (index, word) in [1_u32, 1, 1, 0, 0, 0, 1, 2, 2, 2, 3].into_iter().enumerate() {
        put(&mut file, HASH as usize + 4 * index, &word.to_le_bytes());
    }
    let object = CodeObject::parse(&file).unwrap();
    assert_eq!((object.kernels().len(), object.symbols().len()), (1, 2));
}
