//! Test fixture: a thunk that puts AMD's ROCr on the software GPU
