//! The drop-in libhsa-runtime64.so.1
