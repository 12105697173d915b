use proptest::prelude::*;

use super::*;
use crate::descriptor::{DescriptorError, KernelDescriptor};

fn arg(name: &str, offset: u32, size: u32, kind: &str) -> ArgInfo {
    ArgInfo { name: name.to_owned(), offset, size, pointee_align: 1, kind: ArgKind::from_name(kind) }
}

fn kernel(kernarg_segment_size: u32, args: Vec<ArgInfo>) -> KernelInfo {
    let mut bytes = [0; 64];
    bytes[52] = 2 << 1;
    bytes[56] = 1 << 3;
    let descriptor: Result<KernelDescriptor, DescriptorError> = KernelDescriptor::parse(&bytes);
    KernelInfo {
        name: "k".to_owned(),
        symbol: "k.kd".to_owned(),
        descriptor_offset: 0,
        descriptor: descriptor.expect("a kernarg pointer in two registers"),
        kernarg_segment_size,
        kernarg_segment_align: 8,
        group_segment_fixed_size: 100,
        private_segment_fixed_size: 0,
        sgpr_count: 16,
        vgpr_count: 8,
        agpr_count: 0,
        sgpr_spill_count: 0,
        vgpr_spill_count: 0,
        wavefront_size: 64,
        max_flat_workgroup_size: 256,
        reqd_workgroup_size: None,
        uses_dynamic_stack: false,
        args,
    }
}

/// Hidden arguments of code object 5, where clang 19 puts them after one pointer.
fn v5_args() -> Vec<ArgInfo> {
    let hidden: &[(u32, u32, &str)] = &[
        (8, 4, "hidden_block_count_x"),
        (12, 4, "hidden_block_count_y"),
        (16, 4, "hidden_block_count_z"),
        (20, 2, "hidden_group_size_x"),
        (22, 2, "hidden_group_size_y"),
        (24, 2, "hidden_group_size_z"),
        (26, 2, "hidden_remainder_x"),
        (28, 2, "hidden_remainder_y"),
        (30, 2, "hidden_remainder_z"),
        (48, 8, "hidden_global_offset_x"),
        (56, 8, "hidden_global_offset_y"),
        (64, 8, "hidden_global_offset_z"),
        (72, 2, "hidden_grid_dims"),
        (80, 8, "hidden_printf_buffer"),
        (88, 8, "hidden_hostcall_buffer"),
        (96, 8, "hidden_multigrid_sync_arg"),
        (104, 8, "hidden_heap_v1"),
        (112, 8, "hidden_default_queue"),
        (120, 8, "hidden_completion_action"),
        (128, 4, "hidden_dynamic_lds_size"),
        (200, 4, "hidden_private_base"),
        (204, 4, "hidden_shared_base"),
        (208, 8, "hidden_queue_ptr"),
        (216, 8, "hidden_none"),
        (224, 3, "hidden_from_the_future"),
    ];
    let mut args = vec![arg("out", 0, 8, "global_buffer")];
    args.extend(hidden.iter().map(|&(offset, size, kind)| arg("", offset, size, kind)));
    args
}

fn launch() -> Launch {
    Launch {
        global_offset: [11, 12, 13],
        dynamic_lds_bytes: 0x40,
        queue_ptr: 0x1111,
        printf_buffer: 0x2222,
        hostcall_buffer: 0x3333,
        heap: 0x4444,
        default_queue: 0x5555,
        completion_action: 0x6666,
        multigrid_sync: 0x7777,
        private_base: 0x8888,
        shared_base: 0x9999,
        ..Launch::new([1000, 7, 1], [256, 2, 1])
    }
}

#[test]
fn every_hidden_argument_of_v5_is_filled() {
    let kernel = kernel(264, v5_args());
    let built = KernargBuilder::new(&kernel, launch()).and_then(|b| b.pointer(0xabcd)).and_then(KernargBuilder::finish);
    let built = built.unwrap();
    assert_eq!((built.bytes.len(), built.align, built.group_segment_bytes), (264, 16, 100 + 0x40));
    let mut want = vec![0_u8; 264];
    let fields: &[(usize, u64, usize)] = &[
        (0, 0xabcd, 8),
        // 1000 items in groups of 256: three whole groups and 232 items; 7 in groups of 2: three and one.
        (8, 3, 4),
        (12, 3, 4),
        (16, 1, 4),
        (20, 256, 2),
        (22, 2, 2),
        (24, 1, 2),
        (26, 232, 2),
        (28, 1, 2),
        (30, 0, 2),
        (48, 11, 8),
        (56, 12, 8),
        (64, 13, 8),
        (72, 2, 2),
        (80, 0x2222, 8),
        (88, 0x3333, 8),
        (96, 0x7777, 8),
        (104, 0x4444, 8),
        (112, 0x5555, 8),
        (120, 0x6666, 8),
        (128, 0x40, 4),
        (200, 0x8888, 4),
        (204, 0x9999, 4),
        (208, 0x1111, 8),
    ];
    for &(offset, value, size) in fields {
        want[offset..offset + size].copy_from_slice(&value.to_le_bytes()[..size]);
    }
    assert_eq!(built.bytes, want);
}

#[test]
fn dimensions_follow_the_grid() {
    let dims = |grid| Launch::new(grid, [1, 1, 1]).dims;
    assert_eq!([dims([5, 1, 1]), dims([1, 5, 1]), dims([1, 1, 5]), dims([1, 1, 1])], [1, 2, 3, 1]);
}

#[test]
fn a_grid_smaller_than_its_group_is_all_remainder() {
    let args = vec![arg("", 0, 4, "hidden_block_count_x"), arg("", 4, 2, "hidden_remainder_x")];
    let kernel = kernel(8, args);
    let built = KernargBuilder::new(&kernel, Launch::new([9, 1, 1], [64, 1, 1])).and_then(KernargBuilder::finish);
    assert_eq!(built.unwrap().bytes, [0, 0, 0, 0, 9, 0, 0, 0]);
}

#[test]
fn local_pointers_share_lds_behind_what_the_kernel_has() {
    let mut args = vec![arg("a", 0, 4, "dynamic_shared_pointer"), arg("b", 4, 4, "dynamic_shared_pointer")];
    args[1].pointee_align = 16;
    let kernel = kernel(8, args);
    let builder = KernargBuilder::new(&kernel, Launch::new([1; 3], [1; 3])).unwrap();
    let built = builder.clone().local(7).and_then(|b| b.local(32)).and_then(KernargBuilder::finish).unwrap();
    // The kernel has 100 bytes; 107 rounds up to 112.
    assert_eq!(built.bytes, [100, 0, 0, 0, 112, 0, 0, 0]);
    assert_eq!(built.group_segment_bytes, 144);
    let error = builder.clone().local(u32::MAX).unwrap_err();
    assert_eq!(error, KernargError::TooMuchLds { arg: ArgName { index: 0, name: "a".into() }, bytes: u32::MAX });
    assert!(matches!(builder.arg(&[0; 4]).unwrap_err(), KernargError::WrongKind { .. }));
}

#[test]
fn errors_name_the_argument() {
    let kernel = kernel(12, vec![arg("out", 0, 8, "global_buffer"), arg("n", 8, 8, "by_value")]);
    let builder = KernargBuilder::new(&kernel, Launch::new([1; 3], [1; 3])).unwrap();
    let one = builder.clone().pointer(1).unwrap();
    let check = |result: Result<(), KernargError>, want: &str| assert_eq!(result.unwrap_err().to_string(), want);
    check(builder.clone().arg(&[1]).map(drop), r#"argument 0 ("out") is 8 bytes long, 1 were given"#);
    check(one.clone().finish().map(drop), r#"argument 1 ("n") was not given; 8 bytes are expected"#);
    check(
        one.clone().arg(&[0; 8]).map(drop),
        r#"argument 1 ("n") takes 8 bytes at 8, outside the segment of 12; rebuild the object"#,
    );
    check(
        one.local(1).map(drop),
        r#"argument 1 ("n") is of kind by_value; give LDS sizes with `local` and everything else with `arg`"#,
    );
}

#[test]
fn one_argument_too_many_is_refused() {
    let kernel = kernel(8, vec![arg("out", 0, 8, "global_buffer"), arg("", 0, 8, "hidden_none")]);
    let builder = KernargBuilder::new(&kernel, Launch::new([1; 3], [1; 3])).unwrap();
    let error = builder.pointer(1).and_then(|builder| builder.pointer(2)).unwrap_err();
    assert_eq!(error, KernargError::TooMany { kernel: "k".into(), count: 1 });
}

#[test]
fn impossible_launches_and_segments_are_refused() {
    let small = kernel(8, vec![]);
    for (grid, group, dims) in [([0, 1, 1], [1, 1, 1], 1), ([1, 1, 1], [1, 0, 1], 1), ([1; 3], [1; 3], 4)] {
        let launch = Launch { dims, ..Launch::new(grid, group) };
        let error = KernargBuilder::new(&small, launch).unwrap_err();
        assert_eq!(error, KernargError::BadLaunch { grid, group, dims });
    }
    let launch = Launch::new([1; 3], [1; 3]);
    let huge = kernel(u32::MAX, vec![]);
    assert!(matches!(KernargBuilder::new(&huge, launch).unwrap_err(), KernargError::TooLarge { bytes: u32::MAX, .. }));
    for align in [0, 24, 8192] {
        let odd = KernelInfo { kernarg_segment_align: align, ..small.clone() };
        assert_eq!(
            KernargBuilder::new(&odd, launch).unwrap_err(),
            KernargError::BadAlign { kernel: "k".into(), align }
        );
    }
    let lds = Launch { dynamic_lds_bytes: u32::MAX, ..launch };
    assert!(matches!(KernargBuilder::new(&small, lds).unwrap_err(), KernargError::TooMuchDynamicLds { .. }));
}

#[test]
fn a_hidden_argument_of_the_wrong_size_is_refused() {
    let kernel = kernel(16, vec![arg("", 0, 4, "hidden_queue_ptr")]);
    let built = KernargBuilder::new(&kernel, launch()).and_then(KernargBuilder::finish);
    let name = ArgName { index: 0, name: "hidden_queue_ptr".into() };
    assert_eq!(built.unwrap_err(), KernargError::WrongSize { arg: name, expected: 4, found: 8 });
}

proptest! {
    #[test]
    fn no_metadata_makes_it_panic_or_write_elsewhere(
        args in prop::collection::vec((any::<u16>(), 0_u32..10, 0_usize..27, any::<bool>()), 0..20),
        size in 0_u32..300,
        grid in prop::array::uniform3(any::<u32>()),
        group in prop::array::uniform3(any::<u16>()),
    ) {
        let kinds = v5_args();
        let near = |place: u16, far| if far { u32::MAX - u32::from(place) } else { u32::from(place % 300) };
        let args = args.into_iter().map(|(place, size, kind, far)| ArgInfo {
            offset: near(place, far),
            size,
            ..kinds.get(kind).unwrap_or(&kinds[0]).clone()
        });
        let kernel = kernel(size, args.collect());
        let Ok(mut builder) = KernargBuilder::new(&kernel, Launch::new(grid, group)) else { return Ok(()) };
        while let Ok(more) = builder.clone().pointer(7) {
            builder = more;
        }
        if let Ok(built) = builder.finish() {
            prop_assert_eq!(built.bytes.len(), size as usize);
        }
    }
}
