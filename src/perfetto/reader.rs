//! Reads a Perfetto trace back, for tests, knowing nothing of the code that wrote it: protobuf's wire format by hand, and the field
//! numbers of Perfetto's schema.
//!
//! Reading checks what makes a file well formed, and panics where it is not: every packet is field 1 of a `Trace`; every event's track
//! was described before, once; times do not go backwards within a packet sequence; slices end as they nest, and none is left open.

#![allow(dead_code, unreachable_pub, reason = "each test binary includes this and uses a part")]

use std::collections::BTreeMap;

/// A field's value.
#[derive(Clone, Debug)]
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().expect("a whole varint");
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
    }
    panic!("a varint of more than ten bytes");
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at_checked(len).expect("a whole field");
    *bytes = rest;
    taken
}

/// Returns the fields of a message.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let value = match key & 7 {
            0 => Field::Number(varint(&mut bytes)),
            1 => Field::Bytes(take(&mut bytes, 8)),
            2 => {
                let len = varint(&mut bytes) as usize;
                Field::Bytes(take(&mut bytes, len))
            }
            5 => Field::Bytes(take(&mut bytes, 4)),
            kind => panic!("wire type {kind}"),
        };
        fields.push((key >> 3, value));
    }
    fields
}

struct Message<'a>(Vec<(u64, Field<'a>)>);

impl<'a> Message<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self(fields(bytes))
    }

    fn all(&self, number: u64) -> impl Iterator<Item = &Field<'a>> {
        self.0.iter().filter(move |(n, _)| *n == number).map(|(_, value)| value)
    }

    fn number(&self, number: u64) -> Option<u64> {
        self.all(number).last().map(|field| match field {
            Field::Number(n) => *n,
            Field::Bytes(_) => panic!("field {number} is no number"),
        })
    }

    fn bytes(&self, number: u64) -> Option<&'a [u8]> {
        self.all(number).last().map(|field| match field {
            Field::Bytes(bytes) => *bytes,
            Field::Number(_) => panic!("field {number} is a number"),
        })
    }

    fn message(&self, number: u64) -> Option<Message<'a>> {
        self.bytes(number).map(Message::new)
    }

    fn text(&self, number: u64) -> Option<String> {
        self.bytes(number).map(|bytes| String::from_utf8(bytes.to_vec()).expect("text"))
    }
}

/// A track.
#[derive(Clone, Debug)]
pub struct Track {
    pub name: String,
    pub parent: Option<u64>,
    pub pid: Option<u64>,
    pub counter_unit: Option<u64>,
}

/// A slice, an instant or the value of a counter.
#[derive(Clone, Debug)]
pub struct Event {
    pub track: u64,
    pub name: String,
    pub category: String,
    pub begin: u64,
    pub end: u64,
    /// How many slices are around it.
    pub depth: usize,
    pub numbers: BTreeMap<String, i64>,
    pub texts: BTreeMap<String, String>,
    pub value: i64,
}

/// A file.
#[derive(Debug, Default)]
pub struct Trace {
    pub tracks: BTreeMap<u64, Track>,
    pub slices: Vec<Event>,
    pub instants: Vec<Event>,
    pub counts: Vec<Event>,
}

impl Trace {
    pub fn read(file: &[u8]) -> Trace {
        let mut trace = Trace::default();
        let mut last: BTreeMap<u64, u64> = BTreeMap::new();
        let mut open: BTreeMap<u64, Vec<Event>> = BTreeMap::new();
        for (index, (number, packet)) in fields(file).into_iter().enumerate() {
            let Field::Bytes(packet) = packet else { panic!("a packet is a message") };
            assert_eq!(number, 1, "a trace has packets");
            let packet = Message::new(packet);
            if index == 0 {
                let clocks = packet.message(6).expect("a clock snapshot comes first");
                let ids: Vec<_> = clocks.all(1).map(clock_id).collect();
                assert_eq!((ids, clocks.number(2)), (vec![3, 6, 1], Some(3)));
                continue;
            }
            let sequence = packet.number(10).expect("a sequence");
            if let Some(descriptor) = packet.message(60) {
                let uuid = descriptor.number(1).expect("a uuid");
                let track = Track {
                    name: descriptor.text(2).expect("a name"),
                    parent: descriptor.number(5),
                    pid: descriptor.message(3).and_then(|process| process.number(1)),
                    counter_unit: descriptor.message(8).and_then(|counter| counter.number(3)),
                };
                assert!(track.parent.is_none_or(|parent| trace.tracks.contains_key(&parent)), "{track:?}");
                assert!(trace.tracks.insert(uuid, track).is_none(), "track {uuid} is described twice");
                continue;
            }
            let at = packet.number(8).expect("a time");
            assert_eq!(packet.number(58), Some(3), "of CLOCK_MONOTONIC");
            let before = last.insert(sequence, at).unwrap_or(0);
            assert!(before <= at, "packet {index}: {at} after {before} in sequence {sequence}");
            trace.event(&mut open, at, &packet.message(11).expect("an event"));
        }
        assert!(open.values().all(Vec::is_empty), "never ended: {open:?}");
        trace
    }

    fn event(&mut self, open: &mut BTreeMap<u64, Vec<Event>>, at: u64, message: &Message<'_>) {
        let track = message.number(11).expect("a track");
        let described = self.tracks.get(&track).unwrap_or_else(|| panic!("track {track} is not described"));
        let stack = open.entry(track).or_default();
        let mut event = Event {
            track,
            name: message.text(23).unwrap_or_default(),
            category: message.text(22).unwrap_or_default(),
            begin: at,
            end: at,
            depth: stack.len(),
            numbers: BTreeMap::new(),
            texts: BTreeMap::new(),
            value: 0,
        };
        for annotation in message.all(4) {
            let Field::Bytes(annotation) = annotation else { panic!("an annotation is a message") };
            let annotation = Message::new(annotation);
            let name = annotation.text(10).expect("a name");
            if let Some(text) = annotation.text(6) {
                event.texts.insert(name, text);
            } else {
                let number = annotation.number(3).or(annotation.number(4)).expect("a value");
                event.numbers.insert(name, number.cast_signed());
            }
        }
        let counts = message.number(30);
        assert_eq!(described.counter_unit.is_some(), counts.is_some(), "{described:?}");
        match message.number(9).expect("a type") {
            1 => stack.push(event),
            2 => {
                let begun = stack.pop().expect("a slice that ends has begun");
                self.slices.push(Event { end: at, ..begun });
            }
            3 => self.instants.push(event),
            4 => self.counts.push(Event { value: counts.expect("a value").cast_signed(), ..event }),
            kind => panic!("type {kind}"),
        }
    }

    /// Returns the tracks of this name in the group of this name, whatever lies between.
    pub fn find(&self, group: &str, name: &str) -> Vec<u64> {
        let within = |track: &Track| {
            let mut at = track.parent;
            while let Some(parent) = at {
                if self.tracks[&parent].name == group {
                    return true;
                }
                at = self.tracks[&parent].parent;
            }
            false
        };
        self.tracks.iter().filter(|(_, track)| track.name == name && within(track)).map(|(uuid, _)| *uuid).collect()
    }

    /// Returns the outermost slices of a track, which do not overlap, in order.
    pub fn outermost(&self, track: u64) -> Vec<&Event> {
        let slices: Vec<_> = self.slices.iter().filter(|slice| slice.track == track && slice.depth == 0).collect();
        assert!(slices.is_sorted_by(|a, b| a.end <= b.begin), "slices of {:?} overlap", self.tracks[&track]);
        slices
    }
}

fn clock_id(clock: &Field<'_>) -> u64 {
    let Field::Bytes(clock) = clock else { panic!("a clock is a message") };
    let clock = Message::new(clock);
    assert!(clock.number(2).expect("a time") > 0);
    clock.number(1).expect("an id")
}
