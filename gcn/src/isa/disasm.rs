//! Prints instructions as LLVM's disassembler does.
