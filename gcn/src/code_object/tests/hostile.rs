//! Bytes made to hurt: whatever they are, the loader answers in bounded time and memory, without panicking.

use proptest::prelude::*;

use super::forge::*;
use crate::code_object::*;

/// Images larger than this are not built in tests; their size is checked instead.
const IMAGE_BYTES_TRIED: u64 = 1 << 20;

/// Does everything that can be done with `file`, and checks what the loader promises about the outcome.
pub(super) fn exercise(file: &[u8]) {
    let object = match CodeObject::parse(file) {
        Ok(object) => object,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let bytes = object.image_bytes();
    assert!(bytes <= IMAGE_BYTES_MAX && bytes.is_multiple_of(PAGE_BYTES) && object.image_align().is_power_of_two());
    let mut end = 0;
    for segment in object.segments() {
        assert!(segment.offset >= end && segment.bytes > 0);
        assert!(segment.offset.is_multiple_of(PAGE_BYTES) && segment.bytes.is_multiple_of(PAGE_BYTES));
        end = segment.offset + segment.bytes;
    }
    assert_eq!(end, bytes);
    for kernel in object.kernels() {
        let entry = kernel.descriptor_offset.wrapping_add_signed(kernel.descriptor.entry_byte_offset);
        assert!(kernel.descriptor_offset + 64 <= bytes && entry < bytes);
        assert_eq!(object.kernel(&kernel.symbol), Some(kernel));
    }
    for symbol in object.symbols() {
        assert!(symbol.offset + symbol.size <= bytes);
    }
    if bytes <= IMAGE_BYTES_TRIED
        && let Ok(image) = object.image(object.image_align(), &|_| Some(0x1000))
    {
        assert_eq!(image.len() as u64, bytes);
    }
}

fn rich_forge() -> Forge {
    let symbol = |name, info| Symbol { name, value: 0, size: 0, info, section: UNDEF };
    let mut forge = Forge::default();
    forge.symbols.extend([symbol("undefined", FUNC), symbol("weak", WEAK)]);
    forge.relocations = vec![(DATA, 3, 3, 8), (DATA + 8, 13, 0, 0x2000), (DATA + 16, 4, 3, 0), (DATA + 24, 10, 5, 0)];
    let arg = map(vec![(".offset", uint(0)), (".size", uint(8)), (".value_kind", text("hidden_queue_ptr"))]);
    forge.note = metadata(&[kernel("k.kd", vec![(".args", list(&[arg])), (".vgpr_count", uint(8))])]);
    forge
}

fn parse_note(note: Vec<u8>) -> Result<(), LoadError> {
    // Room for long notes: a segment of their own would need another header, so put them behind the data.
    let mut file = rich_forge().build();
    let at = file.len();
    let header = NOTE as usize;
    let (head, bytes) = (file[header..header + 20].to_vec(), note.len());
    file.extend(&head);
    put(&mut file, at + 4, &(bytes as u32).to_le_bytes());
    file.extend(note);
    let note_header = PHDR_R + 56 * 4;
    put(&mut file, note_header + P_OFFSET, &(at as u64).to_le_bytes());
    put(&mut file, note_header + P_FILESZ, &(bytes as u64 + 20).to_le_bytes());
    CodeObject::parse(&file).map(drop)
}

/// `amdhsa.kernels` as the only key, with `value` as its bytes.
fn kernels(value: &[u8]) -> Vec<u8> {
    [&[0x81][..], &text("amdhsa.kernels"), value].concat()
}

#[test]
fn nesting_does_not_recurse() {
    let deep = vec![0x91; 4 << 20];
    let ignored = [&[0x81][..], &text("ignored"), &deep, &[0xc0]].concat();
    assert_eq!(parse_note(ignored), Ok(()));
    let unfinished = [&[0x81][..], &text("ignored"), &deep].concat();
    assert!(matches!(parse_note(unfinished), Err(LoadError::Metadata { source: MetadataError::Malformed { .. } })));
    let mut maps = Vec::new();
    for _ in 0..1 << 20 {
        maps.extend([0x81, 0xc0]);
    }
    maps.push(0xc0);
    assert_eq!(parse_note([&[0x81][..], &text("ignored"), &maps].concat()), Ok(()));
}

#[test]
fn claimed_lengths_are_not_believed() {
    for head in [[0xdd, 0xff, 0xff, 0xff, 0xff], [0xdf, 0xff, 0xff, 0xff, 0xff], [0xdb, 0xff, 0xff, 0xff, 0xff]] {
        let error = parse_note(kernels(&head)).unwrap_err();
        assert!(matches!(error, LoadError::Metadata { source: MetadataError::Malformed { .. } }), "{error}");
        let error = parse_note(head.to_vec()).unwrap_err();
        assert!(matches!(error, LoadError::Metadata { source: MetadataError::Malformed { .. } }), "{error}");
    }
    let empty_args =
        map(vec![(".args", [&[0xdd, 0, 1, 0, 0][..], &[0x80; 0x10000]].concat()), (".symbol", text("k.kd"))]);
    let error = parse_note(kernels(&list(&[empty_args]))).unwrap_err();
    let source = MetadataError::IncompleteArgument { symbol: "k.kd".into(), index: 0, key: ".offset" };
    assert_eq!(error, LoadError::Metadata { source });
}

#[test]
fn metadata_faults_are_named() {
    let source = |note| match parse_note(note).unwrap_err() {
        LoadError::Metadata { source } => source,
        other => panic!("{other}"),
    };
    let version = map(vec![("amdhsa.version", list(&[uint(2), uint(0)]))]);
    assert_eq!(source(version), MetadataError::Version { major: 2 });
    assert_eq!(source(kernels(&list(&[map(vec![])]))), MetadataError::NoSymbol { index: 0 });
    let undefined = MetadataError::UndefinedKernel { symbol: "x.kd".into() };
    assert_eq!(source(metadata(&[kernel("x.kd", vec![])])), undefined);
    let wrong = |value| source(metadata(&[kernel("k.kd", vec![(".vgpr_count", value)])]));
    for value in [text("8"), vec![0xff], [&[0xcf][..], &(1_u64 << 32).to_be_bytes()].concat()] {
        assert!(matches!(wrong(value), MetadataError::WrongType { key: ".vgpr_count", .. }));
    }
    assert!(matches!(source(kernels(&uint(3))), MetadataError::WrongType { key: "amdhsa.kernels", .. }));
    assert!(matches!(source(vec![0x81, 0x01, 0x01]), MetadataError::WrongType { .. }));
}

#[test]
fn a_signed_positive_number_is_a_number() {
    let note = metadata(&[kernel("k.kd", vec![(".vgpr_count", vec![0xd1, 0x01, 0x00])])]);
    assert_eq!(parse_note(note), Ok(()));
}

#[test]
fn names_that_share_bytes_are_counted_each_time() {
    // Every symbol is a variable with the same long name, each starting one byte later: few bytes in the file, many
    // in memory. The string table is the file's tail.
    const NAMES: usize = 1100;
    const LENGTH: usize = NAME_BYTES_MAX;
    let mut file = Forge::default().build();
    let table = file.len().next_multiple_of(8);
    file.resize(table, 0);
    for index in 0..NAMES {
        let mut symbol = [0; 24];
        symbol[..4].copy_from_slice(&(index as u32).to_le_bytes());
        symbol[4] = OBJECT;
        symbol[6] = 1;
        symbol[8..16].copy_from_slice(&DATA.to_le_bytes());
        file.extend(symbol);
    }
    let strings = file.len();
    file.extend(vec![b'a'; LENGTH]);
    file.push(0);
    let hash = file.len();
    file.extend(0_u32.to_le_bytes());
    file.extend((NAMES as u32).to_le_bytes());
    file.extend(vec![0; 4 * NAMES]);
    let grown = (file.len() as u64 - DATA).to_le_bytes();
    put(&mut file, PHDR_W + P_FILESZ, &grown);
    put(&mut file, PHDR_W + P_MEMSZ, &grown);
    for (index, (tag, value)) in [(5, strings), (10, LENGTH + 1), (6, table), (4, hash), (0, 0)].into_iter().enumerate()
    {
        put(&mut file, DYNAMIC as usize + 16 * index, &i64::from(tag).to_le_bytes());
        put(&mut file, DYNAMIC as usize + 16 * index + 8, &(value as u64).to_le_bytes());
    }
    let error = CodeObject::parse(&file).unwrap_err();
    assert!(matches!(error, LoadError::OverLimit { what: "bytes of symbol names", .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_bytes(file in prop::collection::vec(any::<u8>(), 0..512)) {
        exercise(&file);
    }

    #[test]
    fn random_bytes_behind_a_good_header(tail in prop::collection::vec(any::<u8>(), 0..2048)) {
        let mut file = rich_forge().build();
        let len = tail.len().min(file.len() - 64);
        file[64..64 + len].copy_from_slice(&tail[..len]);
        exercise(&file);
    }

    #[test]
    fn truncated(len in 0_usize..0x2040) {
        let file = rich_forge().build();
        exercise(&file[..len.min(file.len())]);
    }

    #[test]
    fn a_few_bytes_changed(changes in prop::collection::vec((0_usize..0x2040, any::<u8>()), 1..6)) {
        let mut file = rich_forge().build();
        for (at, byte) in changes {
            file[at] = byte;
        }
        exercise(&file);
    }

    #[test]
    fn a_word_changed_to_an_edge(
        at in 0_usize..0x1f8,
        edge in prop::sample::select(&[0, 1, u64::MAX, 1 << 63, 1 << 30, 0xffff_ffff]),
    ) {
        for at in [at, at + (DYNSYM as usize), at + (HASH as usize), at + (DYNAMIC as usize), at + (NOTE as usize)] {
            let mut file = rich_forge().build();
            put(&mut file, at, &u64::to_le_bytes(edge));
            exercise(&file);
        }
    }

    #[test]
    fn random_metadata(note in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = parse_note(note.clone());
        let _ = parse_note(kernels(&note));
    }
}
