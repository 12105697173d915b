//! The latencies of all requests as an HDR histogram log (version 1.2, nanoseconds), an interval for each point of the sweep, tagged
//! `WORKLOAD-TENANTS-SLICE`: `HistogramLogProcessor` and the like read it.

use super::report::{Report, span};
use anyhow::{Context as _, Result};
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Writes the log.
pub(super) fn write(path: &Path, report: &Report) -> Result<()> {
    let shown = || format!("cannot write {}", path.display());
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).with_context(shown)?);
    put(&mut file, report).with_context(shown)?;
    file.flush().with_context(shown)
}

fn put(file: &mut impl Write, report: &Report) -> Result<()> {
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    #[allow(clippy::disallowed_methods, reason = "the log's header says when it was written, by the calendar")]
    let now = SystemTime::now();
    let comment = format!("wavegate {}: latency of requests from the planned time, ns", report.environment.wavegate);
    builder.add_comment(&comment).with_start_time(now);
    let mut log = builder.begin_log_with(file, &mut serializer)?;
    for (k, row) in report.rows.iter().enumerate() {
        let tag = format!("{}-{}-{}", row.point.workload.name(), row.point.tenants, span(row.point.slice_ns));
        let tag = Tag::new(&tag).context("a tag without spaces and commas")?;
        // The points were measured in turns, so there is no real time that is theirs alone: they are numbered by the second.
        let seconds = Duration::from_secs(k as u64);
        log.write_histogram(&row.requests, seconds, Duration::from_secs(1), Some(tag))
            .map_err(|error| anyhow::anyhow!("{error:?}"))?;
    }
    Ok(())
}
