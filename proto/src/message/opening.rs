//! The one message the broker reads from a tenant on a connection.
//!
//! Who the tenant *is* comes from the kernel (`SO_PEERCRED`, `SO_PEERPIDFD`, the cgroup of that process) and never from
//! here: [`Hello`] and [`ListDevices`] only say which of the tenants its credentials match it would like to be.

use crate::ids::TenantName;
use crate::limits::COMMAND_NAME_MAX;
use crate::text::Text;
use crate::wire::messages;

messages! {
    /// What a tenant may say to the broker.
    pub enum Opening = "tenant -> broker" {
        /// Asks for a session.
        Hello = 0x0101, fds 0 {
            /// The tenant it wants to be, or `None` to leave that to the broker.
            tenant: Option<TenantName>,
            /// Name of the program, for people to read. A claim; nothing depends on it.
            command: Text<{ COMMAND_NAME_MAX }>,
            /// Index among the broker's devices, in its order, or [`ANY_DEVICE`](crate::limits::ANY_DEVICE).
            device: u32,
        }
        /// Asks which devices there are for a tenant. The broker answers with [`Devices`](crate::message::tenant::Devices) and closes.
        ListDevices = 0x0102, fds 0 {
            /// The tenant it would be, or `None` to leave that to the broker.
            tenant: Option<TenantName>,
        }
    }
}
