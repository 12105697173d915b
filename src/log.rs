//! The log: lines on standard error, where a service manager collects them.

use tracing::level_filters::LevelFilter;

/// Writes everything up to `level` to standard error from now on. Colours only where a person is looking.
pub(crate) fn to_stderr(level: LevelFilter) {
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let log = tracing_subscriber::fmt().with_max_level(level).with_ansi(colours).with_target(false);
    // Fails only if a log was set up before, which then goes on.
    let _ = log.with_writer(std::io::stderr).try_init();
}
