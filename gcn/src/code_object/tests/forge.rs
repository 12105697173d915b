//! Makes small code objects, so that a test can say which field it lies in.

/// Where the parts of a forged object lie; its file offsets are its addresses.
pub(super) const DYNSYM: u64 = 0x200;
pub(super) const DYNSTR: u64 = 0x400;
pub(super) const HASH: u64 = 0x700;
pub(super) const RELA: u64 = 0x800;
pub(super) const DYNAMIC: u64 = 0xa00;
pub(super) const DESCRIPTOR: u64 = 0xb00;
pub(super) const NOTE: u64 = 0xc00;
pub(super) const CODE: u64 = 0x1000;
pub(super) const DATA: u64 = 0x2000;
/// Bytes of the data segment in the file, and in memory.
pub(super) const DATA_FILE: u64 = 0x40;
pub(super) const DATA_MEMORY: u64 = 0x1080;

pub(super) const UNDEF: u16 = 0;
pub(super) const ABS: u16 = 0xfff1;
pub(super) const DEFINED: u16 = 1;
pub(super) const OBJECT: u8 = 1 << 4 | 1;
pub(super) const FUNC: u8 = 1 << 4 | 2;
pub(super) const WEAK: u8 = 2 << 4 | 1;

/// Offsets of fields in the file header, and of program headers.
pub(super) const E_TYPE: usize = 16;
pub(super) const E_MACHINE: usize = 18;
pub(super) const E_FLAGS: usize = 48;
pub(super) const E_PHNUM: usize = 56;
pub(super) const PHDR_R: usize = 64;
pub(super) const PHDR_X: usize = PHDR_R + 56;
pub(super) const PHDR_W: usize = PHDR_X + 56;
pub(super) const P_FLAGS: usize = 4;
pub(super) const P_OFFSET: usize = 8;
pub(super) const P_VADDR: usize = 16;
pub(super) const P_FILESZ: usize = 32;
pub(super) const P_MEMSZ: usize = 40;
pub(super) const P_ALIGN: usize = 48;

pub(super) struct Symbol {
    pub(super) name: &'static str,
    pub(super) value: u64,
    pub(super) size: u64,
    pub(super) info: u8,
    pub(super) section: u16,
}

/// Offset, type, symbol, addend.
pub(super) type Rela = (u64, u32, u32, i64);

pub(super) struct Forge {
    pub(super) symbols: Vec<Symbol>,
    pub(super) relocations: Vec<Rela>,
    pub(super) descriptor: [u8; 64],
    pub(super) note: Vec<u8>,
    /// Replaces or adds dynamic entries.
    pub(super) dynamic: Vec<(i64, u64)>,
}

impl Default for Forge {
    /// One kernel `k`, one constant, one variable, and metadata for the kernel.
    fn default() -> Self {
        let symbol = |name, value, size, info| Symbol { name, value, size, info, section: DEFINED };
        let mut descriptor = [0; 64];
        descriptor[16..24].copy_from_slice(&(CODE - DESCRIPTOR).to_le_bytes());
        descriptor[52] = 2 << 1;
        descriptor[56] = 1 << 3;
        Self {
            symbols: vec![
                symbol("k", CODE, 8, FUNC),
                symbol("k.kd", DESCRIPTOR, 64, OBJECT),
                symbol("variable", DATA + 8, 8, OBJECT),
                symbol("constant", NOTE, 4, OBJECT),
            ],
            relocations: vec![],
            descriptor,
            note: metadata(&[kernel("k.kd", vec![])]),
            dynamic: vec![],
        }
    }
}

impl Forge {
    pub(super) fn build(&self) -> Vec<u8> {
        let mut file = vec![0; (DATA + DATA_FILE) as usize];
        put(&mut file, 0, b"\x7fELF\x02\x01\x01\x40\x03");
        put(&mut file, E_TYPE, &3_u16.to_le_bytes());
        put(&mut file, E_MACHINE, &224_u16.to_le_bytes());
        put(&mut file, 20, &1_u32.to_le_bytes());
        put(&mut file, 32, &64_u64.to_le_bytes());
        // gfx90a, XNACK off, SRAM ECC on.
        put(&mut file, E_FLAGS, &0xe3f_u32.to_le_bytes());
        put(&mut file, 54, &56_u16.to_le_bytes());
        put(&mut file, E_PHNUM, &5_u16.to_le_bytes());
        let note_bytes = self.note.len() as u64 + 20;
        let dynamic = self.dynamic_entries();
        let dynamic_bytes = dynamic.len() as u64 * 16;
        let headers = [
            (1_u32, 4_u32, 0, CODE, CODE),
            (1, 5, CODE, 0x100, 0x100),
            (1, 6, DATA, DATA_FILE, DATA_MEMORY),
            (2, 6, DYNAMIC, dynamic_bytes, dynamic_bytes),
            (4, 4, NOTE, note_bytes, note_bytes),
        ];
        for (index, (kind, flags, place, in_file, in_memory)) in headers.into_iter().enumerate() {
            let at = PHDR_R + 56 * index;
            put(&mut file, at, &kind.to_le_bytes());
            put(&mut file, at + P_FLAGS, &flags.to_le_bytes());
            put(&mut file, at + P_OFFSET, &place.to_le_bytes());
            put(&mut file, at + P_VADDR, &place.to_le_bytes());
            put(&mut file, at + P_FILESZ, &in_file.to_le_bytes());
            put(&mut file, at + P_MEMSZ, &in_memory.to_le_bytes());
            put(&mut file, at + P_ALIGN, &(if kind == 1 { 0x1000_u64 } else { 4 }).to_le_bytes());
        }
        let mut name_at = 1;
        for (index, symbol) in self.symbols.iter().enumerate() {
            let at = DYNSYM as usize + 24 * (index + 1);
            put(&mut file, at, &(name_at as u32).to_le_bytes());
            put(&mut file, at + 4, &[symbol.info]);
            put(&mut file, at + 6, &symbol.section.to_le_bytes());
            put(&mut file, at + 8, &symbol.value.to_le_bytes());
            put(&mut file, at + 16, &symbol.size.to_le_bytes());
            put(&mut file, DYNSTR as usize + name_at, symbol.name.as_bytes());
            name_at += symbol.name.len() + 1;
        }
        // One bucket, and a chain entry for every symbol.
        put(&mut file, HASH as usize, &1_u32.to_le_bytes());
        put(&mut file, HASH as usize + 4, &(self.symbols.len() as u32 + 1).to_le_bytes());
        for (index, &(offset, kind, symbol, addend)) in self.relocations.iter().enumerate() {
            let at = RELA as usize + 24 * index;
            put(&mut file, at, &offset.to_le_bytes());
            put(&mut file, at + 8, &(u64::from(symbol) << 32 | u64::from(kind)).to_le_bytes());
            put(&mut file, at + 16, &addend.to_le_bytes());
        }
        for (index, (tag, value)) in dynamic.into_iter().enumerate() {
            put(&mut file, DYNAMIC as usize + 16 * index, &tag.to_le_bytes());
            put(&mut file, DYNAMIC as usize + 16 * index + 8, &value.to_le_bytes());
        }
        put(&mut file, DESCRIPTOR as usize, &self.descriptor);
        let mut note = Vec::new();
        for word in [7, self.note.len() as u32, 32] {
            note.extend(word.to_le_bytes());
        }
        note.extend(b"AMDGPU\0\0");
        note.extend(&self.note);
        put(&mut file, NOTE as usize, &note);
        file
    }

    fn dynamic_entries(&self) -> Vec<(i64, u64)> {
        let mut entries = vec![(5, DYNSTR), (10, HASH - DYNSTR), (6, DYNSYM), (11, 24), (4, HASH)];
        entries.extend([(7, RELA), (8, self.relocations.len() as u64 * 24), (9, 24)]);
        for &(tag, value) in &self.dynamic {
            entries.retain(|entry| entry.0 != tag);
            entries.push((tag, value));
        }
        entries.push((0, 0));
        entries
    }
}

pub(super) fn put(file: &mut [u8], at: usize, bytes: &[u8]) {
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

/// MessagePack for tests.
pub(super) fn text(text: &str) -> Vec<u8> {
    let mut bytes = vec![0xd9, text.len() as u8];
    bytes.extend(text.as_bytes());
    bytes
}

pub(super) fn uint(value: u32) -> Vec<u8> {
    let mut bytes = vec![0xce];
    bytes.extend(value.to_be_bytes());
    bytes
}

pub(super) fn list(items: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![0xdc];
    bytes.extend((items.len() as u16).to_be_bytes());
    bytes.extend(items.concat());
    bytes
}

pub(super) fn map(pairs: Vec<(&str, Vec<u8>)>) -> Vec<u8> {
    let mut bytes = vec![0xde];
    bytes.extend((pairs.len() as u16).to_be_bytes());
    for (key, value) in pairs {
        bytes.extend(text(key));
        bytes.extend(value);
    }
    bytes
}

pub(super) fn kernel(symbol: &str, mut pairs: Vec<(&str, Vec<u8>)>) -> Vec<u8> {
    // Last, so that readers must look ahead for it.
    pairs.push((".symbol", text(symbol)));
    map(pairs)
}

pub(super) fn metadata(kernels: &[Vec<u8>]) -> Vec<u8> {
    map(vec![
        ("amdhsa.target", text("amdgcn-amd-amdhsa--gfx90a")),
        ("amdhsa.kernels", list(kernels)),
        ("amdhsa.version", list(&[uint(1), uint(2)])),
    ])
}
