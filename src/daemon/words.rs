//! What tenants are told when they are refused or their session ends: why, and what to do.

use proto::Violation;
use proto::message::{EndReason, RefuseCode};

/// Returns the sentence that goes with a refusal.
pub(super) fn refusal(code: RefuseCode, violation: Option<Violation>) -> String {
    match (code, violation) {
        (RefuseCode::Version | RefuseCode::Malformed, Some(violation)) => {
            format!("the first packet is no Hello: {violation}; use a client library of this version")
        }
        (code, _) => reason(code).to_owned(),
    }
}

fn reason(code: RefuseCode) -> &'static str {
    match code {
        RefuseCode::Version => "this client speaks another version of the protocol; use one of this release",
        RefuseCode::Malformed => "the first packet is no Hello; use a client library of this version",
        RefuseCode::UnknownUser => {
            "no tenant is configured for this user, group or cgroup; ask the administrator for one"
        }
        RefuseCode::NotThatTenant => "this user may not be that tenant; leave the name out, or ask the administrator",
        RefuseCode::SessionLimit => "the tenant has all the sessions it may have; end one, or ask for more",
        RefuseCode::BrokerFull => "the broker serves as many sessions as it can; try again later",
        RefuseCode::Paused => "an administrator paused this tenant; try again when it is resumed",
        RefuseCode::NoDevice => {
            "there is no device of this index that the tenant may use; `wavegate status` lists them"
        }
        RefuseCode::ShuttingDown => "the broker is going down; try again when it is back",
        RefuseCode::WorkerFailed => "the session could not be started; the broker's log says why",
    }
}

/// Returns the sentence that goes with the end of a session, said in place of its worker.
pub(super) fn ending(reason: EndReason, signal: u32) -> String {
    let text = match reason {
        EndReason::Goodbye => "the session was ended by its program",
        EndReason::TenantDied => "the program of this session died",
        EndReason::WorkerDied if signal != 0 => {
            return format!(
                "the worker of this session died of signal {signal}; connect again, and report it with the broker's log"
            );
        }
        EndReason::WorkerDied => {
            "the worker of this session ended unexpectedly; connect again, and see the broker's log"
        }
        EndReason::BrokerDied => "the broker died; connect again when it is back",
        EndReason::TenantViolation => "this program broke the protocol; use a client library of this version",
        EndReason::WorkerViolation => {
            "the worker of this session broke the protocol and was ended; report it with the broker's log"
        }
        EndReason::Runaway => "a kernel ran longer than max_dispatch_time; shorten it, or ask for a higher limit",
        EndReason::PreemptTimeout => "the device did not stop in time and the worker was ended; connect again",
        EndReason::Killed => "an administrator ended this session",
        EndReason::TenantRemoved => "an administrator removed this tenant",
        EndReason::DeviceLost => "the device was reset or is gone; connect again",
        EndReason::Shutdown => "the broker went down; connect again when it is back",
        EndReason::Faulted => "a fault of this program stopped all its queues on the device; connect again",
        EndReason::StartFailed => "the session could not be started in time; the broker's log says why",
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use proto::limits::SENTENCE_MAX;

    use super::*;

    #[test]
    fn every_sentence_fits_its_message() {
        for code in RefuseCode::ALL {
            let text = refusal(*code, Some(Violation::Length { kind: u16::MAX, got: usize::MAX, want: usize::MAX }));
            assert!(text.len() <= SENTENCE_MAX, "{text}");
        }
        for reason in EndReason::ALL {
            assert!(ending(*reason, u32::MAX).len() <= SENTENCE_MAX);
        }
    }
}
