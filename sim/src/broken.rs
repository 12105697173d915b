//! What a checker says when a promise is broken.

use std::fmt;

use proto::message::EndReason;
use proto::{ChargeId, SessionId, TenantName};

/// A promise that was broken, with what shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Two workers hold the device.
    TwoHolders(SessionId, SessionId),
    /// A session was moved while it had the device.
    MovedWhileHolding(SessionId),
    /// The device went to another tenant with what the last one left in it.
    Residue {
        /// Whose leftovers.
        of: TenantName,
        /// Who could see them.
        seen_by: TenantName,
    },
    /// An action is about a session that is gone or never was.
    Gone(SessionId, String),
    /// A session ended, or was released, for the second time.
    EndedTwice(SessionId),
    /// Everything is over and a session has not ended.
    NeverEnded(SessionId),
    /// A session ended for a reason that nobody gave.
    Reason(SessionId, EndReason),
    /// What the broker has booked is not what was granted and not given back.
    Books {
        /// Whose, or everybody's.
        tenant: Option<TenantName>,
        /// What the world counted: device memory, host memory, queues.
        counted: (u64, u64, u64),
        /// What the broker booked.
        booked: (u64, u64, u64),
    },
    /// A charge went over a limit.
    OverLimit(TenantName, &'static str),
    /// Device memory that was guaranteed was denied.
    GuaranteeDenied(TenantName),
    /// A session got a charge that it did not ask for, or asked for once.
    NotAsked(SessionId, ChargeId),
    /// The parts of a switch do not fit the time it took.
    Parts(SessionId),
    /// Device time was made or lost.
    Wall {
        /// Nanoseconds in all counters.
        booked: u64,
        /// Nanoseconds there were, or that were charged.
        expected: u64,
    },
    /// A tenant was charged other time than it had the device.
    Charged {
        /// Who.
        tenant: TenantName,
        /// What it was charged in nanoseconds.
        charged: u64,
        /// How long it had the device.
        held: u64,
        /// How far they may be apart.
        within: u64,
    },
    /// Two tenants that were both backlogged are too far apart.
    Apart {
        /// One.
        one: TenantName,
        /// The other.
        other: TenantName,
        /// Nanoseconds times weights.
        gap: u128,
        /// The bound.
        bound: u128,
    },
    /// A share of the device is too far from its entitlement.
    Share {
        /// Who.
        tenant: TenantName,
        /// What it got in millionths.
        got: u64,
        /// What it was entitled to.
        entitled: u64,
    },
    /// A tenant waited too long.
    Starved {
        /// Who.
        tenant: TenantName,
        /// How long, in nanoseconds.
        waited: u64,
        /// The bound.
        bound: u64,
    },
    /// A tenant had more than its cap.
    AboveCap {
        /// Who.
        tenant: TenantName,
        /// What it had in nanoseconds, since the cap was set.
        had: u64,
        /// The most it may have had.
        most: u64,
    },
    /// One input caused more actions than there may be.
    TooManyActions(usize),
    /// The broker wants its timer again and again without time passing.
    Spins,
    /// Everything was shut down and something is left.
    LeftBehind(&'static str),
    /// A tenant that did nothing wrong got less because of others that did.
    Innocent {
        /// Who.
        tenant: TenantName,
        /// Of what.
        what: &'static str,
        /// With the attackers.
        with: u64,
        /// The least there should have been.
        least: u64,
    },
}

fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MovedWhileHolding(a) => write!(f, "{a} was told of another partition while it had the device"),
            Self::TwoHolders(a, b) => write!(f, "{a} and {b} hold the device at the same time"),
            Self::Residue { of, seen_by } => write!(f, "`{seen_by}` could see what `{of}` left in the device"),
            Self::Gone(session, action) => write!(f, "{session} is gone or never was, but is named by {action}"),
            Self::EndedTwice(session) => write!(f, "{session} ended twice"),
            Self::NeverEnded(session) => write!(f, "{session} never ended"),
            Self::Reason(session, reason) => write!(f, "{session} ended with {reason:?}, for which nobody gave cause"),
            Self::Books { tenant, counted, booked } => {
                let whose = tenant.as_ref().map_or("everybody", TenantName::as_str);
                write!(f, "the books of {whose} say (vram, host, queues) {booked:?}, counted are {counted:?}")
            }
            Self::OverLimit(tenant, what) => write!(f, "`{tenant}` was granted {what} above its limit"),
            Self::GuaranteeDenied(tenant) => write!(f, "`{tenant}` was denied device memory it was guaranteed"),
            Self::NotAsked(session, charge) => write!(f, "{session} was charged {charge}, for which it did not ask"),
            Self::Parts(session) => write!(f, "the parts of the switch to {session} do not fit the time it took"),
            Self::Wall { booked, expected } => {
                write!(f, "{:.6} ms of device time are booked where there were {:.6} ms", ms(*booked), ms(*expected))
            }
            Self::Charged { tenant, charged, held, within } => write!(
                f,
                "`{tenant}` was charged {:.3} ms and had the device for {:.3} ms; they may be {:.3} ms apart",
                ms(*charged),
                ms(*held),
                ms(*within)
            ),
            Self::Apart { one, other, gap, bound } => write!(
                f,
                "`{one}` and `{other}` were both backlogged and are {:.2} times the bound apart",
                *gap as f64 / *bound as f64
            ),
            Self::Share { tenant, got, entitled } => write!(
                f,
                "`{tenant}` got {:.2} % of the device and was entitled to {:.2} %",
                *got as f64 / 1e4,
                *entitled as f64 / 1e4
            ),
            Self::Starved { tenant, waited, bound } => {
                write!(f, "`{tenant}` starved for {:.1} ms; the bound is {:.1} ms", ms(*waited), ms(*bound))
            }
            Self::AboveCap { tenant, had, most } => {
                write!(f, "`{tenant}` had {:.2} ms, and {:.2} ms at the most with its cap", ms(*had), ms(*most))
            }
            Self::TooManyActions(n) => write!(f, "one input caused {n} actions"),
            Self::Spins => write!(f, "the broker wants its timer again and again without time passing"),
            Self::LeftBehind(what) => write!(f, "everything was shut down and {what} is left"),
            Self::Innocent { tenant, what, with, least } => {
                write!(
                    f,
                    "`{tenant}` did nothing wrong and had {with} {what} beside attackers; at least {least} were due"
                )
            }
        }
    }
}

impl std::error::Error for Broken {}
