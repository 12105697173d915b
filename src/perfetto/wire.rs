//! The part of Perfetto's trace format that we write, and the file.
//!
//! A file is a `Trace`: packets one after another, each as field 1. Names and numbers are those of `protos/perfetto/trace/` in
//! Perfetto's repository: `trace_packet.proto`, `clock_snapshot.proto`, and in `track_event/` `track_descriptor.proto`,
//! `process_descriptor.proto`, `counter_descriptor.proto`, `track_event.proto` and `debug_annotation.proto`. All are fields that the schema
//! calls its stable public API. Nothing is interned and no state is incremental, so every packet stands on its own.
//!
//! Promise: every track is described before its first event; the events of a track are one packet sequence, whose timestamps do
//! not go backwards; slices of a track are closed in the order in which they nest.

use std::io::{self, Write};

use prost::Message;

/// CLOCK_REALTIME, CLOCK_MONOTONIC and CLOCK_BOOTTIME in `BuiltinClock`.
const CLOCK_REALTIME: u32 = 1;
const CLOCK_MONOTONIC: u32 = 3;
const CLOCK_BOOTTIME: u32 = 6;
/// `SEQ_INCREMENTAL_STATE_CLEARED` in `TracePacket.SequenceFlags`.
const STATE_CLEARED: u32 = 1;
/// Field 1, length-delimited: a packet in a `Trace`.
const PACKET_KEY: u8 = 1 << 3 | 2;

#[derive(Clone, PartialEq, Message)]
struct TracePacket {
    #[prost(message, optional, tag = "6")]
    clock_snapshot: Option<ClockSnapshot>,
    #[prost(uint64, optional, tag = "8")]
    timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "10")]
    trusted_packet_sequence_id: Option<u32>,
    #[prost(message, optional, tag = "11")]
    track_event: Option<TrackEvent>,
    #[prost(uint32, optional, tag = "13")]
    sequence_flags: Option<u32>,
    #[prost(uint32, optional, tag = "58")]
    timestamp_clock_id: Option<u32>,
    #[prost(message, optional, tag = "60")]
    track_descriptor: Option<TrackDescriptor>,
}

#[derive(Clone, PartialEq, Message)]
struct ClockSnapshot {
    #[prost(message, repeated, tag = "1")]
    clocks: Vec<Clock>,
    #[prost(uint32, optional, tag = "2")]
    primary_trace_clock: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct Clock {
    #[prost(uint32, optional, tag = "1")]
    clock_id: Option<u32>,
    #[prost(uint64, optional, tag = "2")]
    timestamp: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct TrackDescriptor {
    #[prost(uint64, optional, tag = "1")]
    uuid: Option<u64>,
    #[prost(string, optional, tag = "2")]
    name: Option<String>,
    #[prost(message, optional, tag = "3")]
    process: Option<ProcessDescriptor>,
    #[prost(uint64, optional, tag = "5")]
    parent_uuid: Option<u64>,
    #[prost(message, optional, tag = "8")]
    counter: Option<CounterDescriptor>,
}

#[derive(Clone, PartialEq, Message)]
struct ProcessDescriptor {
    #[prost(int32, optional, tag = "1")]
    pid: Option<i32>,
    #[prost(string, optional, tag = "6")]
    process_name: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct CounterDescriptor {
    #[prost(enumeration = "Unit", optional, tag = "3")]
    unit: Option<i32>,
}

/// What a counter counts: `CounterDescriptor.Unit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Unit {
    /// It is not said.
    Unspecified = 0,
    /// Nanoseconds.
    TimeNs = 1,
    /// Pieces.
    Count = 2,
    /// Bytes.
    SizeBytes = 3,
}

#[derive(Clone, PartialEq, Message)]
struct TrackEvent {
    #[prost(message, repeated, tag = "4")]
    debug_annotations: Vec<DebugAnnotation>,
    #[prost(enumeration = "EventType", optional, tag = "9")]
    r#type: Option<i32>,
    #[prost(uint64, optional, tag = "11")]
    track_uuid: Option<u64>,
    #[prost(string, repeated, tag = "22")]
    categories: Vec<String>,
    #[prost(string, optional, tag = "23")]
    name: Option<String>,
    #[prost(int64, optional, tag = "30")]
    counter_value: Option<i64>,
}

/// `TrackEvent.Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
enum EventType {
    Unspecified = 0,
    SliceBegin = 1,
    SliceEnd = 2,
    Instant = 3,
    Counter = 4,
}

#[derive(Clone, PartialEq, Message)]
struct DebugAnnotation {
    #[prost(string, optional, tag = "10")]
    name: Option<String>,
    #[prost(uint64, optional, tag = "3")]
    uint_value: Option<u64>,
    #[prost(int64, optional, tag = "4")]
    int_value: Option<i64>,
    #[prost(string, optional, tag = "6")]
    string_value: Option<String>,
}

/// Something to know about an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(u64),
    /// A number that may be below 0.
    Signed(i64),
    /// Words.
    Text(String),
}

impl From<u64> for Value {
    fn from(n: u64) -> Self {
        Self::Number(n)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Facts about an event: name and value.
pub type Facts<'a> = &'a [(&'static str, Value)];

/// What a new track is.
#[derive(Clone, Copy, Debug)]
pub enum Kind<'a> {
    /// A group of tracks that looks like a process of this id.
    Group {
        /// Its process id: unique in the file.
        pid: i32,
    },
    /// Slices and instants, below another track.
    Slices {
        /// The other one.
        parent: Option<&'a Track>,
    },
    /// A number that changes, below another track.
    Counter {
        /// The other one.
        parent: &'a Track,
        /// What it counts.
        unit: Unit,
    },
}

/// A track of a file.
#[derive(Debug)]
pub struct Track {
    uuid: u64,
    /// Time of its last event.
    last: u64,
    /// Slices that have begun and not ended.
    open: u32,
}

impl Track {
    /// Returns the time before which nothing more can be written on it.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Returns how many slices are open.
    pub fn open(&self) -> u32 {
        self.open
    }
}

/// A trace that is being written.
#[derive(Debug)]
pub struct Packets<W> {
    out: W,
    tracks: u64,
    buffer: Vec<u8>,
}

impl<W: Write> Packets<W> {
    /// Begins a file with how the clocks stand.
    pub fn new(out: W, clocks: sys::clock::Snapshot) -> io::Result<Self> {
        let mut packets = Self { out, tracks: 0, buffer: Vec::new() };
        let clock = |id, ns| Clock { clock_id: Some(id), timestamp: Some(ns) };
        let snapshot = ClockSnapshot {
            clocks: vec![
                clock(CLOCK_MONOTONIC, clocks.monotonic_ns),
                clock(CLOCK_BOOTTIME, clocks.boottime_ns),
                clock(CLOCK_REALTIME, clocks.realtime_ns),
            ],
            primary_trace_clock: Some(CLOCK_MONOTONIC),
        };
        packets.put(&TracePacket { clock_snapshot: Some(snapshot), ..TracePacket::default() })?;
        Ok(packets)
    }

    fn put(&mut self, packet: &TracePacket) -> io::Result<()> {
        self.buffer.clear();
        self.buffer.push(PACKET_KEY);
        // A growing buffer has room for everything.
        packet.encode_length_delimited(&mut self.buffer).map_err(io::Error::other)?;
        self.out.write_all(&self.buffer)
    }

    /// Describes a new track, on which nothing is before `since`.
    pub fn track(&mut self, name: &str, kind: Kind<'_>, since: u64) -> io::Result<Track> {
        self.tracks += 1;
        let uuid = self.tracks;
        let mut descriptor = TrackDescriptor { uuid: Some(uuid), ..TrackDescriptor::default() };
        match kind {
            Kind::Group { pid } => {
                descriptor.process = Some(ProcessDescriptor { pid: Some(pid), process_name: Some(name.to_owned()) });
            }
            Kind::Slices { parent } => descriptor.parent_uuid = parent.map(|parent| parent.uuid),
            Kind::Counter { parent, unit } => {
                descriptor.parent_uuid = Some(parent.uuid);
                descriptor.counter = Some(CounterDescriptor { unit: Some(unit.into()) });
            }
        }
        descriptor.name = Some(name.to_owned());
        self.put(&TracePacket {
            trusted_packet_sequence_id: Some(sequence(uuid)),
            sequence_flags: Some(STATE_CLEARED),
            track_descriptor: Some(descriptor),
            ..TracePacket::default()
        })?;
        Ok(Track { uuid, last: since, open: 0 })
    }

    fn event(&mut self, track: &mut Track, at: u64, event: TrackEvent) -> io::Result<()> {
        track.last = track.last.max(at);
        self.put(&TracePacket {
            timestamp: Some(track.last),
            timestamp_clock_id: Some(CLOCK_MONOTONIC),
            trusted_packet_sequence_id: Some(sequence(track.uuid)),
            track_event: Some(TrackEvent { track_uuid: Some(track.uuid), ..event }),
            ..TracePacket::default()
        })
    }

    /// Begins a slice. On this track nothing can be before it any more; one that would begin earlier begins there.
    pub fn begin(
        &mut self,
        track: &mut Track,
        at: u64,
        category: &str,
        name: &str,
        facts: Facts<'_>,
    ) -> io::Result<()> {
        track.open += 1;
        self.event(track, at, named(EventType::SliceBegin, category, name, facts))
    }

    /// Ends the slice that began last, if one is open.
    pub fn end(&mut self, track: &mut Track, at: u64) -> io::Result<()> {
        let Some(open) = track.open.checked_sub(1) else { return Ok(()) };
        track.open = open;
        self.event(track, at, TrackEvent { r#type: Some(EventType::SliceEnd.into()), ..TrackEvent::default() })
    }

    /// Writes down something that takes no time.
    pub fn instant(
        &mut self,
        track: &mut Track,
        at: u64,
        category: &str,
        name: &str,
        facts: Facts<'_>,
    ) -> io::Result<()> {
        self.event(track, at, named(EventType::Instant, category, name, facts))
    }

    /// Writes down what a counter is from now on.
    pub fn count(&mut self, track: &mut Track, at: u64, value: i64) -> io::Result<()> {
        let r#type = Some(EventType::Counter.into());
        self.event(track, at, TrackEvent { r#type, counter_value: Some(value), ..TrackEvent::default() })
    }

    /// Ends the file.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Each track is a packet sequence of its own, so that what is told late on one does not put another out of order.
fn sequence(uuid: u64) -> u32 {
    // Tracks are counted from one; four billion of them do not fit a file that anybody opens.
    u32::try_from(uuid).unwrap_or(u32::MAX)
}

fn named(r#type: EventType, category: &str, name: &str, facts: Facts<'_>) -> TrackEvent {
    let annotation = |(name, value): &(&'static str, Value)| {
        let mut annotation = DebugAnnotation { name: Some((*name).to_owned()), ..DebugAnnotation::default() };
        match value {
            Value::Number(n) => annotation.uint_value = Some(*n),
            Value::Signed(n) => annotation.int_value = Some(*n),
            Value::Text(text) => annotation.string_value = Some(text.clone()),
        }
        annotation
    };
    TrackEvent {
        debug_annotations: facts.iter().map(annotation).collect(),
        r#type: Some(r#type.into()),
        categories: vec![category.to_owned()],
        name: Some(name.to_owned()),
        ..TrackEvent::default()
    }
}
