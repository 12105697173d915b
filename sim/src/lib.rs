//! A deterministic world around the broker core
