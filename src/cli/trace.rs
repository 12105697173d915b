//! `wavegate trace`: what a running broker does, as a Perfetto trace.

use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Read};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use sys::clock::Deadline;
use sys::event::{Interest, Poller, Signal, Signals};

use super::connect::AdminSocket;
use super::table::{bytes, time};
use crate::admin::Request;
use crate::config::values::Span;
use crate::perfetto::timeline::{Timeline, Told};
use crate::tap::Line;

#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct TraceArgs {
    #[command(flatten)]
    broker: AdminSocket,
    /// Where the trace goes.
    #[arg(short, long, value_name = "FILE", default_value = "wavegate.pftrace")]
    output: PathBuf,
    /// For how long, such as 10s; until Ctrl-C if not given.
    #[arg(long = "for", value_name = "TIME")]
    span: Option<Span>,
}

const HELP: &str = "\
Open the file in https://ui.perfetto.dev: a group of tracks for each device (leases and switches of each partition) and for each
tenant (VRAM, host memory and lag, its sessions with charges, denials and faults, and the dispatches of each queue).
A dispatch is recorded by its worker only while somebody traces; what could not be taken down in time is counted, never waited for.";

/// How long the broker may take to say that this was all.
const END_PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes read before others have their turn.
const READ_BYTES: usize = 256 << 10;

const STREAM: u64 = 0;
const SIGNALS: u64 = 1;

pub(super) fn run(args: &TraceArgs) -> Result<ExitCode> {
    // Before anything else, so that Ctrl-C at any time ends the file as it should.
    let signals = Signals::collect(&[Signal::INT, Signal::TERM])?;
    let stream = args.broker.open(&Request::Trace)?;
    let file = File::create(&args.output).with_context(|| format!("cannot write {}", args.output.display()))?;
    let timeline = Timeline::new(BufWriter::new(file), sys::clock::Snapshot::take())?;
    let until = args.span.map_or(Deadline::NEVER, |span| Deadline::after(Duration::from_nanos(span.0.0)));
    if args.span.is_none() {
        eprintln!("tracing; Ctrl-C ends it");
    }
    let told = record(stream, &signals, until, timeline)?;
    let size = std::fs::metadata(&args.output).map_or(0, |file| file.len());
    println!("{}", summary(&told, &args.output.display().to_string(), size));
    if !told.complete {
        bail!("the broker ended before the trace did; the file has what it told until then");
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes down what the broker tells until it is time, or a signal comes, or the broker ends.
fn record(
    stream: BufReader<UnixStream>,
    signals: &Signals,
    until: Deadline,
    mut timeline: Timeline<BufWriter<File>>,
) -> Result<Told> {
    let mut pending = stream.buffer().to_vec();
    let mut stream = stream.into_inner();
    stream.set_nonblocking(true)?;
    let poller = Poller::new()?;
    poller.add(&stream, STREAM, Interest::IN)?;
    poller.add(signals, SIGNALS, Interest::IN)?;
    let (mut ready, mut buffer) = (Vec::new(), vec![0; READ_BYTES]);
    let mut until = until;
    let mut asked_to_end = false;
    take_down(&mut pending, &mut timeline)?;
    loop {
        poller.wait(&mut ready, until)?;
        let signalled = ready.iter().any(|ready| ready.token == SIGNALS) && signals.next()?.is_some();
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                pending.extend_from_slice(&buffer[..n]);
                take_down(&mut pending, &mut timeline)?;
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            // The broker is gone; what it told is kept.
            Err(_) => break,
        }
        if signalled || until.is_past() {
            if asked_to_end {
                break;
            }
            asked_to_end = true;
            // Hanging up our side is how a tap is closed.
            stream.shutdown(Shutdown::Write)?;
            until = Deadline::after(END_PATIENCE);
        }
    }
    let (file, told) = timeline.finish()?;
    file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    Ok(told)
}

/// Writes all whole lines, and keeps the rest.
fn take_down(pending: &mut Vec<u8>, timeline: &mut Timeline<BufWriter<File>>) -> Result<()> {
    let mut rest = pending.as_slice();
    while let Some(end) = rest.iter().position(|b| *b == b'\n') {
        let line: Line = serde_json::from_slice(&rest[..end])
            .context("the broker told something else; use the `wavegate` of its version")?;
        timeline.line(&line)?;
        rest = &rest[end + 1..];
    }
    let left = rest.len();
    pending.drain(..pending.len() - left);
    Ok(())
}

fn summary(told: &Told, file: &str, size: u64) -> String {
    let Told { leases, switches, dispatches, .. } = told;
    let mut text = format!(
        "{file}: {}, {} of {leases} leases, {switches} switches, {dispatches} dispatches; open it in https://ui.perfetto.dev",
        bytes(size),
        time(told.ended_ns.saturating_sub(told.began_ns)),
    );
    if told.missed > 0 {
        text.push_str(&format!("\n{} dispatches are missing: they ended faster than they are collected", told.missed));
    }
    if told.lost > 0 {
        text.push_str(&format!("\n{} events are missing: this command, or the disk, was too slow for them", told.lost));
    }
    text
}
