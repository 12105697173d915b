//! What holds for every program.

mod objects;

use crate::case::{POISON, bytes_of_u32};
use crate::check::Expected;
use crate::random::Random;
use crate::{Arg, Case, Ending, Kernel, Mismatch, Role, all, find};

/// The memory a flawless device would leave behind.
fn right_answer(case: &Case) -> Vec<Vec<u8>> {
    let mut after: Vec<Vec<u8>> = case.buffers.iter().map(|buffer| buffer.bytes.clone()).collect();
    for (index, expected) in case.oracle.expected(&case.buffers) {
        after[index] = match expected {
            Expected::Exact(words) | Expected::Partial(words) => bytes_of_u32(&words),
            Expected::Near { value, .. } => bytes_of_u32(&value.iter().map(|v| v.to_bits()).collect::<Vec<_>>()),
        };
    }
    after
}

fn cases() -> impl Iterator<Item = (&'static Kernel, u64, Case)> {
    all().iter().flat_map(|kernel| (0..3).map(move |seed| (kernel, seed, kernel.small_case(seed))))
}

#[test]
fn names_find_their_programs() {
    for kernel in all() {
        assert!(std::ptr::eq(find(kernel.name).unwrap(), kernel), "{}", kernel.name);
    }
    assert!(find("vector_sub").is_none());
}

#[test]
fn the_right_answer_passes() {
    for (kernel, seed, case) in cases() {
        assert_eq!(case.check(&right_answer(&case)), Ok(()), "{} seed={seed}", kernel.name);
    }
}

#[test]
fn a_flipped_bit_anywhere_is_found() {
    for (kernel, seed, case) in cases() {
        let right = right_answer(&case);
        let mut random = Random::new(seed);
        for (index, bytes) in right.iter().enumerate() {
            let words = bytes.len() as u32 / 4;
            // The first word, the last (a guard or an input) and some in between; a high bit of the exponent,
            // where a tolerance cannot hide it.
            let elements = [0, words - 1].into_iter().chain((0..20).map(|_| random.below(0, words)));
            for element in elements {
                let mut wrong = right.clone();
                wrong[index][4 * element as usize + 3] ^= 0x20;
                let Err(Mismatch::Word { index: i, element: e, wrong: 1, .. }) = case.check(&wrong) else {
                    panic!("{} seed={seed}: buffer {index} word {element} passed or is not blamed alone", kernel.name)
                };
                assert_eq!((i, e), (index, element as usize), "{} seed={seed}", kernel.name);
            }
        }
    }
}

#[test]
fn exact_programs_find_the_lowest_bit_too() {
    for (kernel, seed, case) in cases().filter(|(kernel, ..)| !["nbody", "approximate"].contains(&kernel.name)) {
        let right = right_answer(&case);
        for index in 0..right.len() {
            let mut wrong = right.clone();
            wrong[index][0] ^= 1;
            assert!(case.check(&wrong).is_err(), "{} seed={seed} buffer {index}", kernel.name);
        }
    }
}

#[test]
fn a_device_that_does_nothing_does_not_pass() {
    for (kernel, seed, case) in cases() {
        let untouched: Vec<Vec<u8>> = case.buffers.iter().map(|buffer| buffer.bytes.clone()).collect();
        let idle_is_right = case.buffers.is_empty() || case.ending == Ending::NeverEnds;
        assert_eq!(case.check(&untouched).is_ok(), idle_is_right, "{} seed={seed}", kernel.name);
    }
}

#[test]
fn a_seed_decides_everything() {
    for kernel in all() {
        let (one, same, other) = (kernel.small_case(1), kernel.small_case(1), kernel.small_case(2));
        assert_eq!((&one.buffers, &one.args), (&same.buffers, &same.args), "{}", kernel.name);
        // Programs without data: nothing for a seed to decide.
        let fixed = ["empty", "canary"].contains(&kernel.name);
        assert_eq!((&one.buffers, &one.args) == (&other.buffers, &other.args), fixed, "{}", kernel.name);
    }
}

#[test]
fn cases_are_well_formed_at_odd_sizes() {
    for kernel in all() {
        for size in [1, 2, 3, 17, 63, 64, 65] {
            let case = kernel.case(size, 9).unwrap();
            let context = format!("{} size={size}", kernel.name);
            assert!(case.grid.iter().all(|n| *n > 0) && case.workgroup.iter().all(|n| *n > 0), "{context}");
            assert!(case.workgroup.iter().map(|n| u32::from(*n)).product::<u32>() <= 1024, "{context}");
            assert!(case.buffers.iter().all(|b| !b.bytes.is_empty() && b.bytes.len() % 4 == 0), "{context}");
            // Every buffer is handed over, once.
            let mut handed: Vec<usize> = case
                .args
                .iter()
                .filter_map(|arg| if let Arg::Buffer { index, .. } = arg { Some(*index) } else { None })
                .collect();
            handed.sort_unstable();
            assert_eq!(handed, (0..case.buffers.len()).collect::<Vec<_>>(), "{context}");
            // What is written has a guard.
            for buffer in case.buffers.iter().filter(|b| b.role != Role::In) {
                assert!(buffer.u32s().ends_with(&[POISON; crate::case::GUARD_WORDS]), "{context} {}", buffer.name);
            }
            assert_eq!(case.check(&right_answer(&case)), Ok(()), "{context}");
        }
    }
}

#[test]
fn sizes_out_of_range_are_refused_by_name() {
    for kernel in all() {
        let refused = kernel.case(0, 0).unwrap_err();
        assert!(refused.to_string().starts_with(kernel.name), "{refused}");
        if let Some(over) = kernel.sizes.max.checked_add(1) {
            assert_eq!(kernel.case(over, 0).unwrap_err().size, over);
        }
        assert!(kernel.sizes.small <= kernel.sizes.max && kernel.sizes.default <= kernel.sizes.max, "{}", kernel.name);
    }
}

#[test]
fn fault_has_a_twin_that_completes() {
    let case = crate::fault::into_buffer(70, 5);
    assert_eq!((case.ending, case.check(&right_answer(&case))), (Ending::Completes, Ok(())));
    let case = crate::fault::at(0xdead_0000, 70, 5);
    assert_eq!(case.ending, Ending::Faults { address: 0xdead_0000 });
    assert_eq!(case.args[0], Arg::U64(0xdead_0000));
}
