//! Why a call was refused: what was asked, what stands in the way, and what would have been possible.

use core::fmt;

use crate::node::NodeId;
use crate::params::{DEPTH_MAX, Policy};
use crate::units::{Nanos, Share};

/// The settings of a scheduler contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// A slice must be longer than nothing.
    SliceIsZero,
    /// An occupancy lasts at least a slice.
    OccupancyBelowSlice {
        /// The slice asked for.
        slice: Nanos,
        /// The longest occupancy asked for.
        occupancy_max: Nanos,
    },
    /// The longest occupancy is beyond what bounds are computed for.
    OccupancyTooLong {
        /// The longest occupancy asked for.
        occupancy_max: Nanos,
        /// The longest one possible.
        limit: Nanos,
    },
    /// Somebody has a guarantee that would not hold under this policy.
    GuaranteeBroken {
        /// Who.
        holder: NodeId,
        /// What is guaranteed.
        guarantee: Share,
        /// The policy asked for.
        policy: Policy,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::SliceIsZero => f.write_str("a slice of 0 ns never runs anything; choose a longer slice"),
            ConfigError::OccupancyBelowSlice { slice, occupancy_max } => {
                write!(f, "one occupancy may last {occupancy_max}, less than the slice of {slice}; shorten the slice")
            }
            ConfigError::OccupancyTooLong { occupancy_max, limit } => {
                write!(f, "one occupancy may last {occupancy_max}; bounds hold up to {limit}, choose less")
            }
            ConfigError::GuaranteeBroken { holder, guarantee, policy } => {
                let policy = policy.name();
                write!(
                    f,
                    "{holder} is guaranteed {guarantee}, which {policy} does not leave it; lower the guarantee first"
                )
            }
        }
    }
}

impl core::error::Error for ConfigError {}

/// A node cannot do what was asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeError {
    /// No such node: it left, or it belongs to another scheduler.
    Unknown {
        /// The name that means nothing here.
        node: NodeId,
    },
    /// The root stands for the device itself: it has no weight, no lag and cannot be charged.
    Root,
    /// Only sessions run; this node has, or had, sessions of its own.
    NotASession {
        /// The group or tenant.
        node: NodeId,
    },
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NodeError::Unknown { node } => write!(f, "{node} is not in this scheduler; it may have left"),
            NodeError::Root => f.write_str("the root is the device itself; name a node below it"),
            NodeError::NotASession { node } => {
                write!(f, "{node} groups others and does not run; name one of its sessions")
            }
        }
    }
}

impl core::error::Error for NodeError {}

/// A node was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinError {
    /// There is no such parent.
    Parent(NodeError),
    /// The parent is runnable, so it is a session and cannot have sessions.
    ParentIsSession {
        /// The parent asked for.
        parent: NodeId,
    },
    /// The tree would be deeper than [`DEPTH_MAX`].
    TooDeep {
        /// The parent asked for.
        parent: NodeId,
    },
    /// With this weight, somebody's guarantee would no longer hold.
    GuaranteeBroken {
        /// Whose guarantee, or `None` if it is the newcomer's own.
        holder: Option<NodeId>,
        /// What is guaranteed.
        guarantee: Share,
        /// The largest weight that would have been admitted: 0 if none. Where the newcomer's own guarantee is what fails
        /// this is what others leave to it; a larger weight or a smaller guarantee may both be the answer.
        weight_max: u32,
    },
    /// A cap below the guarantee can never be kept.
    CapBelowGuarantee {
        /// The cap asked for.
        cap: Share,
        /// The guarantee asked for.
        guarantee: Share,
    },
    /// The policy gives turns, not time.
    NothingGuaranteed {
        /// The policy in force.
        policy: Policy,
    },
    /// There are [`u32::MAX`] nodes.
    Full,
}

fn nothing_guaranteed(f: &mut fmt::Formatter<'_>, policy: Policy) -> fmt::Result {
    write!(f, "the policy {} guarantees nobody anything; take the guarantee away, or choose another", policy.name())
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Parent(error) => write!(f, "no such parent: {error}"),
            JoinError::ParentIsSession { parent } => {
                write!(f, "{parent} runs itself; let it sleep before it gets sessions")
            }
            JoinError::TooDeep { parent } => {
                write!(f, "{parent} is on the lowest of {DEPTH_MAX} levels; join one of its ancestors")
            }
            JoinError::GuaranteeBroken { holder: Some(holder), guarantee, weight_max } => {
                write!(f, "{holder} is guaranteed {guarantee}; a weight of at most {weight_max} leaves it that much")
            }
            JoinError::GuaranteeBroken { holder: None, guarantee, weight_max } => write!(
                f,
                "this weight is not {guarantee} of what is admitted; raise it (others leave room for {weight_max}) or ask for less"
            ),
            JoinError::CapBelowGuarantee { cap, guarantee } => {
                write!(f, "a cap of {cap} is below the guarantee of {guarantee}; raise one or lower the other")
            }
            JoinError::NothingGuaranteed { policy } => nothing_guaranteed(f, *policy),
            JoinError::Full => f.write_str("every node name is taken; let somebody leave first"),
        }
    }
}

impl core::error::Error for JoinError {}

/// New settings were refused; the old ones stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetError {
    /// There is no such node.
    Node(NodeError),
    /// A newcomer with these settings would not have been admitted.
    Refused(JoinError),
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetError::Node(error) => write!(f, "{error}"),
            SetError::Refused(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for SetError {}

/// A node cannot leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaveError {
    /// There is no such node.
    Node(NodeError),
    /// Others still hang below it.
    HasMembers {
        /// The group or tenant.
        node: NodeId,
        /// How many are below it.
        members: u32,
    },
}

impl fmt::Display for LeaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LeaveError::Node(error) => write!(f, "{error}"),
            LeaveError::HasMembers { node, members } => {
                write!(f, "{node} still has {members} below it; let them leave first")
            }
        }
    }
}

impl core::error::Error for LeaveError {}
