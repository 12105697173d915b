//! Code objects: the loader answers any file, and what it accepts lies where it says.

use gcn::code_object::{CodeObject, IMAGE_BYTES_MAX, PAGE_BYTES};

/// Images larger than this are not built: a small file may ask for a large one, and its caller is charged first.
const IMAGE_BYTES_TRIED: u64 = 1 << 20;

pub(crate) fn feed(file: &[u8]) {
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
        assert!(segment.offset >= end && segment.bytes > 0, "segments overlap");
        end = segment.offset + segment.bytes;
    }
    assert_eq!(end, bytes);
    for kernel in object.kernels() {
        let entry = kernel.descriptor_offset.wrapping_add_signed(kernel.descriptor.entry_byte_offset);
        assert!(kernel.descriptor_offset + 64 <= bytes && entry < bytes, "{} lies outside", kernel.symbol);
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

/// The committed objects that are not too large to be changed in many places.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    crate::rig::programs().filter(|(_, object)| object.len() <= 16 * 1024).map(|(_, object)| object.to_vec()).collect()
}
