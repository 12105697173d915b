//! Instruction words: whatever they are, they are an instruction with a text or an error, and what follows an instruction does
//! not change it.

use gcn::arch::Arch;
use gcn::isa;
use gcn::isa::disasm::disassemble;

pub(crate) fn feed(data: &[u8]) {
    let words: Vec<u32> = data.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
    for arch in Arch::ALL {
        // Decoded one after the other, as a program is; at what cannot be decoded, one word on.
        let mut rest = &words[..];
        while !rest.is_empty() {
            let Ok(fields) = isa::decode(arch, rest) else {
                rest = &rest[1..];
                continue;
            };
            let length = usize::from(fields.words);
            assert!((1..=3).contains(&length) && length <= rest.len(), "{arch}: {length} words of {rest:08x?}");
            let text = disassemble(arch, &fields);
            assert!(!text.is_empty());
            let alone = isa::decode(arch, &rest[..length]).expect("the same words decode alone");
            assert_eq!(disassemble(arch, &alone), text, "{arch}: {:08x?}", &rest[..length]);
            rest = &rest[length..];
        }
    }
}

/// The instructions of real kernels, a few at a time.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    crate::rig::programs().flat_map(|(_, object)| object.chunks(256).map(<[u8]>::to_vec).collect::<Vec<_>>()).collect()
}
