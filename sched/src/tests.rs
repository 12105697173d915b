//! What the crate promises, tested.
//!
//! | file | what it sees |
//! |---|---|
//! | `steady` | a set of tenants that stays busy, against the exact fluid device |
//! | `bounds` | every function of [`crate::bounds`], by a property test of the same name |
//! | `scenarios` | heavy beside light, sleepers: the cases that decide the algorithm, and wrong rules that must fail them |
//! | `machine` | any sequence of calls, against a fluid device in rationals |
//! | `exact` | ten thousand traces, against a fluid device in rationals |
//! | `policies` | what each policy gives to whom |
//! | `features` | closed forms, and what each setting does |

mod bounds;
mod exact;
mod features;
mod machine;
mod policies;
mod scenarios;
mod steady;
