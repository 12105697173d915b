//! Gate words: from any word, steps lead only where the protocol says, and a damaged word leads nowhere.
//!
//! The first eight bytes are the word somebody left in the page, then come steps of two bytes: which one, and with which
//! generation.

use proto::LeaseGeneration;
use proto::gate::{GateWord, LeaseState, Level, Request, SAVED_WORDS, SavedDispatch, Scrub};

pub(crate) fn feed(data: &[u8]) {
    let Some((raw, steps)) = data.split_first_chunk() else { return };
    let raw = u64::from_le_bytes(*raw);
    look_at_request(raw);
    look_at_saved(steps);
    let mut word = GateWord(raw);
    for &[step, generation] in steps.as_chunks().0 {
        let generation = LeaseGeneration::new(generation.into());
        word = take_step(word, step, generation);
    }
}

fn take_step(word: GateWord, step: u8, generation: LeaseGeneration) -> GateWord {
    let (parks, grants) = (step % 9 == 2, step % 9 == 6);
    let next = match step % 9 {
        0 => word.announce(),
        1 => word.withdraw(),
        2 => word.park(),
        3 => word.unpark(),
        4 => word.release(false),
        5 => word.release(true),
        6 => word.grant(generation),
        7 => word.take(generation),
        _ => word.stop(),
    };
    let next = match next {
        Ok(next) => next,
        Err(not_now) => {
            assert_eq!(not_now.found, word);
            assert!(!not_now.to_string().is_empty());
            return word;
        }
    };
    assert!(word.state().is_some() && next.state().is_some(), "{word:?} is damaged and led to {next:?}");
    if word.state() == Some(LeaseState::Stopping) {
        assert_eq!(next, word, "a stopped gate stays stopped");
    }
    assert_eq!(next.ticket(), word.ticket().wrapping_add(parks.into()), "only parkings are counted");
    assert_eq!(next.generation(), if grants { generation } else { word.generation() });
    if grants {
        assert!(next.holds(generation) && !word.holds(generation));
    }
    next
}

/// The page's other words that mean something are total, too.
fn look_at_request(raw: u64) {
    let generation = LeaseGeneration::new((raw >> 2) as u32);
    let level = Request::level_for(raw, generation);
    if level != Level::Keep {
        assert_eq!(Request::level_for(raw, generation.next()), Level::Keep, "a request is for one lease only");
    }
    assert!(Scrub::unpack(raw).includes(Scrub::NONE) && Scrub::ALL.includes(Scrub::unpack(raw)));
}

/// Whatever a worker writes into the table of what it saved is an entry, and one that reads as itself.
fn look_at_saved(bytes: &[u8]) {
    let mut words = [0; SAVED_WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    let entry = SavedDispatch::of(&words);
    assert_eq!(SavedDispatch::of(&entry.words()), entry);
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    // A grant, a parking, a return; and a word in each state with a step of every kind.
    let mut seeds = vec![[[0; 8].as_slice(), &[0, 0, 6, 1, 2, 0, 3, 0, 4, 0, 8, 0]].concat()];
    seeds.extend((0..8u8).map(|state| [[state; 8].as_slice(), &(0..36).collect::<Vec<u8>>()].concat()));
    seeds.push((0..200).collect());
    seeds
}
