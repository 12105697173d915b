//! What goes into the log.
//!
//! Expected answers are not logged; surprises are, once per tenant and kind, so that a tenant that repeats its mistakes does not fill the
//! disk. The counts in `wavegate status` have all of them.

use std::collections::HashSet;

use broker::Event;
use proto::message::EndReason;

/// Most kinds of surprise that are told apart; beyond that new ones are no longer written.
const KINDS_MAX: usize = 4_096;

/// Remembers what has been written already.
#[derive(Debug, Default)]
pub(super) struct Journal {
    written: HashSet<(String, &'static str)>,
}

impl Journal {
    /// Returns whether this is the first time that this happens to these people.
    fn is_news(&mut self, who: &impl ToString, kind: &'static str) -> bool {
        self.written.len() < KINDS_MAX && self.written.insert((who.to_string(), kind))
    }

    /// Writes an event down, if it is worth it.
    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::Refused { peer, code, violation } => {
                if self.is_news(&peer.uid, code.word()) {
                    let violation = violation.map(|v| v.to_string());
                    tracing::warn!(uid = peer.uid, gid = peer.gid, pid = peer.pid, %code, violation, "refused a connection");
                }
            }
            Event::Admitted { session, tenant, peer } => {
                tracing::info!(%session, %tenant, pid = peer.pid, uid = peer.uid, "session begins");
            }
            Event::Ready { session, took } => tracing::debug!(%session, took_ns = took.0, "worker is ready"),
            Event::Denied { session, tenant, denied } => {
                if self.is_news(tenant, denied.code.word()) {
                    let broker::Denied { code, asked, limit, used } = denied;
                    tracing::info!(%session, %tenant, %code, asked, limit, used, "denied a charge");
                }
            }
            Event::Faulted { session, tenant, fault } => {
                if self.is_news(tenant, fault.kind.word()) {
                    let (kind, queue, packet) = (fault.kind, fault.queue, fault.packet);
                    let (address, pc, kernel, detail) = (fault.address, fault.pc, fault.kernel, fault.detail);
                    tracing::warn!(%session, %tenant, %kind, %queue, packet, %address, %pc, %kernel, %detail, "a program faulted");
                }
            }
            Event::WorkerKilled { session, reason } => tracing::warn!(%session, %reason, "killed a worker"),
            Event::WorkerViolation { session, violation } => {
                tracing::error!(%session, %violation, "a worker broke the protocol");
            }
            Event::Ended { session, tenant, reason, signal, charges_reclaimed, bytes_reclaimed } => {
                let (charges, bytes) = (charges_reclaimed, bytes_reclaimed.0);
                if matches!(reason, EndReason::WorkerDied | EndReason::StartFailed) {
                    tracing::error!(%session, %tenant, %reason, signal, charges, bytes, "session ended");
                } else {
                    tracing::info!(%session, %tenant, %reason, signal, charges, bytes, "session ended");
                }
            }
            Event::ConfigChanged => tracing::info!("the configuration changed"),
            Event::Switched { .. } | Event::LeaseEnded { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_surprise_is_no_news() {
        let mut journal = Journal::default();
        assert!(journal.is_news(&1, "paused") && journal.is_news(&2, "paused") && journal.is_news(&1, "version"));
        assert!(!journal.is_news(&1, "paused"));
        for uid in 0..2 * KINDS_MAX {
            journal.is_news(&uid, "malformed");
        }
        assert_eq!(journal.written.len(), KINDS_MAX);
    }
}
