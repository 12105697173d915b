use proptest::prelude::*;

use super::*;

/// A descriptor from its sixteen 32-bit words, as `llvm-objdump -s` prints them (bytes in file order).
fn bytes(words: [u32; 16]) -> [u8; 64] {
    let mut bytes = [0; 64];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

/// gfx90a, clang 19 -O2: scratch, three-dimensional work-items, flat scratch.
#[rustfmt::skip]
const GFX90A_SCRATCH: [u32; 16] = [
    0x00000000, 0x04010000, 0x0c000000, 0x00000000, 0x00130000, 0x00000000, 0x00000000, 0x00000000,
    0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x4000af00, 0x91110000, 0x29000000, 0x00000000,
];

/// gfx942, clang 19 -O2 with seven words of preloaded arguments.
#[rustfmt::skip]
const GFX942_PRELOAD: [u32; 16] = [
    0x00000000, 0x00000000, 0x20010000, 0x00000000, 0x80110000, 0x00000000, 0x00000000, 0x00000000,
    0x00000000, 0x00000000, 0x00000000, 0x01000000, 0x4000af00, 0x92000000, 0x08000700, 0x00000000,
];

/// What `llvm-objdump -d` says about [`GFX90A_SCRATCH`].
fn gfx90a_scratch() -> KernelDescriptor {
    KernelDescriptor {
        group_segment_fixed_size: 0,
        private_segment_fixed_size: 260,
        kernarg_size: 12,
        entry_byte_offset: 0x1300,
        vgprs: 8,
        accum_offset: 4,
        tg_split: false,
        sgprs: 16,
        round_32: RoundMode::NearestEven,
        round_16_64: RoundMode::NearestEven,
        denorm_32: DenormMode::Keep,
        denorm_16_64: DenormMode::Keep,
        dx10_clamp: true,
        ieee_mode: true,
        fp16_ovfl: false,
        exceptions: 0,
        enable_private_segment: true,
        user_sgpr_count: 8,
        workgroup_id_x: true,
        workgroup_id_y: true,
        workgroup_id_z: false,
        workgroup_info: false,
        workitem_id_dims: 3,
        private_segment_buffer: true,
        dispatch_ptr: false,
        queue_ptr: false,
        kernarg_segment_ptr: true,
        dispatch_id: false,
        flat_scratch_init: true,
        private_segment_size: false,
        uses_dynamic_stack: false,
        kernarg_preload: None,
    }
}

#[test]
fn compiled_descriptors_read_as_llvm_reads_them() {
    assert_eq!(KernelDescriptor::parse(&bytes(GFX90A_SCRATCH)), Ok(gfx90a_scratch()));
    let preload = KernelDescriptor {
        private_segment_fixed_size: 0,
        kernarg_size: 288,
        entry_byte_offset: 0x1180,
        accum_offset: 8,
        enable_private_segment: false,
        user_sgpr_count: 9,
        workgroup_id_y: false,
        workitem_id_dims: 1,
        private_segment_buffer: false,
        flat_scratch_init: false,
        kernarg_preload: Some(KernargPreload { length_words: 7, offset_words: 0 }),
        ..gfx90a_scratch()
    };
    assert_eq!(KernelDescriptor::parse(&bytes(GFX942_PRELOAD)), Ok(preload));
    assert_eq!(preload.user_sgprs_filled(), 9);
}

#[test]
fn mode_starts_as_the_descriptor_says() {
    // Denormals kept (0xf0), DX10_CLAMP and IEEE (0x300).
    assert_eq!(gfx90a_scratch().initial_mode(), 0x3f0);
    let odd = KernelDescriptor {
        round_32: RoundMode::PlusInfinity,
        round_16_64: RoundMode::Zero,
        denorm_32: DenormMode::FlushBoth,
        denorm_16_64: DenormMode::FlushInput,
        dx10_clamp: false,
        fp16_ovfl: true,
        exceptions: 0x41,
        ..gfx90a_scratch()
    };
    assert_eq!(odd.initial_mode(), 1 | 3 << 2 | 2 << 6 | 1 << 9 | 0x41 << 12 | 1 << 23);
}

/// One bit of the descriptor at a time: the word's offset, the bit, and how the result must differ.
#[test]
fn every_defined_bit_reaches_its_field() {
    type Change = fn(&mut KernelDescriptor);
    let cases: &[(usize, u32, Change)] = &[
        (44, 0, |d| d.accum_offset += 4),
        (44, 5, |d| d.accum_offset += 128),
        (44, 16, |d| d.tg_split = true),
        (48, 0, |d| d.vgprs += 8),
        (48, 5, |d| d.vgprs += 256),
        (48, 9, |d| d.sgprs += 64),
        (48, 12, |d| d.round_32 = RoundMode::PlusInfinity),
        (48, 15, |d| d.round_16_64 = RoundMode::MinusInfinity),
        (48, 16, |d| d.denorm_32 = DenormMode::FlushInput),
        (48, 19, |d| d.denorm_16_64 = DenormMode::FlushResult),
        (48, 21, |d| d.dx10_clamp = false),
        (48, 23, |d| d.ieee_mode = false),
        (48, 26, |d| d.fp16_ovfl = true),
        (52, 0, |d| d.enable_private_segment = false),
        (52, 1, |d| d.user_sgpr_count = 9),
        (52, 7, |d| d.workgroup_id_x = false),
        (52, 8, |d| d.workgroup_id_y = false),
        (52, 9, |d| d.workgroup_id_z = true),
        (52, 10, |d| d.workgroup_info = true),
        (52, 12, |d| d.workitem_id_dims = 1),
        (52, 24, |d| d.exceptions = 1),
        (52, 30, |d| d.exceptions = 0x40),
        (56, 0, |d| d.private_segment_buffer = false),
        (56, 3, |d| d.kernarg_segment_ptr = false),
        (56, 5, |d| d.flat_scratch_init = false),
        (56, 11, |d| d.uses_dynamic_stack = true),
    ];
    for &(offset, bit, change) in cases {
        let mut image = bytes(GFX90A_SCRATCH);
        image[offset + bit as usize / 8] ^= 1 << (bit % 8);
        let mut want = gfx90a_scratch();
        change(&mut want);
        assert_eq!(KernelDescriptor::parse(&image), Ok(want), "byte {offset}, bit {bit}");
    }
    // The other user data need registers: give the kernel all sixteen, the two it has fill eight.
    let cases: &[(u32, u8, Change)] = &[
        (1, 10, |d| d.dispatch_ptr = true),
        (2, 10, |d| d.queue_ptr = true),
        (4, 10, |d| d.dispatch_id = true),
        (6, 9, |d| d.private_segment_size = true),
    ];
    for &(bit, filled, change) in cases {
        let mut image = bytes(GFX90A_SCRATCH);
        image[52] = image[52] & 0xc1 | 16 << 1;
        image[56] |= 1 << bit;
        let mut want = KernelDescriptor { user_sgpr_count: 16, ..gfx90a_scratch() };
        change(&mut want);
        assert_eq!(KernelDescriptor::parse(&image), Ok(want), "property {bit}");
        assert_eq!(want.user_sgprs_filled(), filled, "property {bit}");
    }
}

#[test]
fn reserved_bits_are_refused_by_name() {
    use DescriptorWord::{CodeProperties, Rsrc1, Rsrc2, Rsrc3};
    for (offset, word, zero) in [
        (44, Rsrc3, RSRC3_ZERO),
        (48, Rsrc1, RSRC1_ZERO),
        (52, Rsrc2, RSRC2_ZERO),
        (56, CodeProperties, PROPERTIES_ZERO),
    ] {
        for bit in (0..32).filter(|bit| zero >> bit & 1 != 0) {
            let mut image = bytes(GFX90A_SCRATCH);
            image[offset + bit / 8] |= 1 << (bit % 8);
            let want = DescriptorError::ReservedBits { word, bits: 1 << bit };
            assert_eq!(KernelDescriptor::parse(&image), Err(want), "{word} bit {bit}");
        }
    }
    for offset in [12, 15, 24, 43, 60, 63] {
        let mut image = bytes(GFX90A_SCRATCH);
        image[offset] = 9;
        assert_eq!(KernelDescriptor::parse(&image), Err(DescriptorError::ReservedByte { offset, value: 9 }));
    }
}

#[test]
fn what_gfx9_cannot_run_is_refused() {
    let parse = |change: fn(&mut [u8; 64])| {
        let mut image = bytes(GFX90A_SCRATCH);
        change(&mut image);
        KernelDescriptor::parse(&image).unwrap_err()
    };
    assert_eq!(parse(|image| image[57] |= 1 << 2), DescriptorError::Wave32);
    assert_eq!(parse(|image| image[53] |= 3 << 3), DescriptorError::WorkitemIdMode);
    assert_eq!(parse(|image| image[52] |= 31 << 1), DescriptorError::TooManyUserSgprs { count: 31 });
    assert_eq!(parse(|image| image[58] = 1), DescriptorError::TooFewUserSgprs { count: 8, needed: 9 });
}

#[test]
fn register_file_is_split_at_the_accumulation_offset() {
    let split = |vgprs, accum_offset| {
        let descriptor = KernelDescriptor { vgprs, accum_offset, ..gfx90a_scratch() };
        (descriptor.arch_vgprs(), descriptor.agprs())
    };
    assert_eq!(split(512, 256), (256, 256));
    assert_eq!(split(32, 20), (20, 12));
    assert_eq!(split(8, 256), (8, 0));
}

proptest! {
    #[test]
    fn any_bytes_are_accepted_or_refused(image in prop::array::uniform32(any::<u8>()), sparse in any::<bool>()) {
        // Random reserved bytes hide everything behind them, so let half the cases have none.
        let mut whole = bytes(GFX90A_SCRATCH);
        whole[if sparse { 44..60 } else { 0..16 }].copy_from_slice(&image[..16]);
        if let Ok(descriptor) = KernelDescriptor::parse(&whole) {
            prop_assert!(descriptor.user_sgprs_filled() <= USER_SGPRS_MAX);
            prop_assert!((8..=512).contains(&descriptor.vgprs) && (4..=256).contains(&descriptor.accum_offset));
            prop_assert_eq!(descriptor.arch_vgprs() + descriptor.agprs(), descriptor.vgprs);
        }
    }
}
