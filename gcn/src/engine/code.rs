//! Decoded code, a page at a time, by address.
//!
//! Instructions are fetched through the address space with its right to execute, decoded once and kept. A page is decoded at
//! every word offset, so a branch may lead anywhere. Before a dispatch begins, [`CodeCache::keep_only`] drops pages that are out of
//! date, as the packet processor of hardware invalidates the instruction cache.

use crate::arch::Arch;
use crate::exec::Tier;
use crate::exec::inst::Inst;
use crate::exec::run::{self, Budget, Runs, Translation};
use crate::memory::{Memory, MemoryFault};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Bytes of code decoded together.
pub(crate) const PAGE_BYTES: u64 = 1024;
const PAGE_WORDS: usize = PAGE_BYTES as usize / 4;
/// Words an instruction may reach past its first.
const OVERHANG: usize = 2;
/// Pages kept at most; beyond, the cache starts afresh. 16 MiB of code.
const PAGES_MAX: usize = 16 * 1024;

/// A decoded page.
pub(crate) struct CodePage {
    base: u64,
    insts: Box<[Inst]>,
    /// What was translated of it.
    pub(crate) runs: Runs,
}

impl CodePage {
    /// Returns where the instruction at `pc` is among [`insts`](Self::insts), if it lies in this page.
    #[inline(always)]
    pub(crate) fn index(&self, pc: u64) -> Option<usize> {
        let offset = pc.wrapping_sub(self.base);
        (offset < PAGE_BYTES).then_some(offset as usize / 4)
    }

    /// Returns the instruction at every word of the page.
    #[inline(always)]
    pub(crate) fn insts(&self) -> &[Inst] {
        &self.insts
    }
}

/// All code a context has run.
pub(crate) struct CodeCache {
    arch: Arch,
    tier: &'static Tier,
    translation: Translation,
    hot: u32,
    budget: Arc<Budget>,
    /// [`Memory::code_version`] that the pages were decoded under.
    version: u64,
    pages: RwLock<HashMap<u64, Arc<CodePage>>>,
}

impl CodeCache {
    pub(crate) fn new(arch: Arch, tier: &'static Tier) -> CodeCache {
        let (translation, budget) = (Translation::possible(tier), Arc::default());
        CodeCache { arch, tier, translation, hot: run::HOT, budget, version: 0, pages: RwLock::default() }
    }

    /// Says after how many visits a place is translated where that is possible, or that none is; forgets what was decoded.
    pub(crate) fn translate(&mut self, after: Option<u32>) {
        self.translation = if after.is_some() { Translation::possible(self.tier) } else { Translation::Off };
        self.hot = after.unwrap_or(run::HOT);
        self.pages.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Returns the bytes that generated code occupies.
    pub(crate) fn translated_bytes(&self) -> usize {
        self.budget.taken()
    }

    /// Returns whether code is translated.
    pub(crate) fn translation(&self) -> Translation {
        self.translation
    }

    /// Returns the page that holds `pc`.
    pub(crate) fn page(&self, mem: &dyn Memory, pc: u64) -> Result<Arc<CodePage>, MemoryFault> {
        let base = pc & !(PAGE_BYTES - 1);
        if let Some(page) = self.pages.read().unwrap_or_else(PoisonError::into_inner).get(&base) {
            return Ok(Arc::clone(page));
        }
        let page = Arc::new(self.decode(mem, base, pc)?);
        let mut pages = self.pages.write().unwrap_or_else(PoisonError::into_inner);
        if pages.len() >= PAGES_MAX {
            pages.clear();
        }
        Ok(Arc::clone(pages.entry(base).or_insert(page)))
    }

    fn decode(&self, mem: &dyn Memory, base: u64, pc: u64) -> Result<CodePage, MemoryFault> {
        let mut bytes = [0u8; (PAGE_WORDS + OVERHANG) * 4];
        // What is mapped ends at some 4 KiB boundary, so a page is there whole or not at all; what follows it may not be.
        mem.fetch(base, &mut bytes[..PAGE_WORDS * 4]).map_err(|fault| MemoryFault { address: pc, ..fault })?;
        let next = base.wrapping_add(PAGE_BYTES);
        let (_, tail) = bytes.split_at_mut(PAGE_WORDS * 4);
        let whole = mem.fetch(next, tail).is_ok();
        let words: Vec<u32> = bytes.as_chunks::<4>().0.iter().map(|w| u32::from_le_bytes(*w)).collect();
        let end = if whole { words.len() } else { PAGE_WORDS };
        let mut insts: Box<[Inst]> = (0..PAGE_WORDS)
            .map(|at| Inst::decode(self.arch, self.tier, words.get(at..end.min(at + 1 + OVERHANG)).unwrap_or_default()))
            .collect();
        if self.translation == Translation::On {
            run::mark(&mut insts);
        }
        Ok(CodePage { base, insts, runs: Runs::new(&self.budget, self.hot) })
    }

    /// Drops everything decoded if `version` is not the one it was decoded under.
    pub(crate) fn keep_only(&mut self, version: u64) {
        if self.version != version {
            self.version = version;
            self.pages.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}
