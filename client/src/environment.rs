//! Where a program that is told nothing finds its broker, and as whom it connects: what `wavegate run` sets, or an admin for a container.

use std::path::PathBuf;

use proto::message::tenant::DeviceName;

use crate::error::ConnectError;
use crate::session::Client;

/// The variable that names the broker's socket for tenants.
pub const SOCKET: &str = "WAVEGATE_SOCKET";
/// The variable that names the tenant to be.
pub const TENANT: &str = "WAVEGATE_TENANT";

/// Where the machine's broker listens.
const SYSTEM: &str = "/run/wavegate/tenant.sock";

/// Returns where to connect: what the environment says, else the user's own broker if it is there, else the machine's.
pub fn socket() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(path) = set(SOCKET) {
        return path.into();
    }
    let own = set("XDG_RUNTIME_DIR").map(|directory| PathBuf::from(directory).join("wavegate/tenant.sock"));
    own.filter(|path| path.exists()).unwrap_or_else(|| SYSTEM.into())
}

/// Returns the tenant that the environment names.
pub fn tenant() -> Option<String> {
    std::env::var(TENANT).ok().filter(|name| !name.is_empty())
}

impl Client {
    /// Connects to the broker that the environment names, as the tenant it names: what a program does that was started by
    /// `wavegate run`.
    pub fn from_environment() -> Result<Self, ConnectError> {
        Self::connect(&socket(), tenant().as_deref())
    }

    /// The same on the device of an index.
    pub fn from_environment_on(device: u32) -> Result<Self, ConnectError> {
        Self::connect_on(&socket(), tenant().as_deref(), device)
    }

    /// Returns the devices that a program with this environment may use.
    pub fn devices_from_environment() -> Result<Vec<DeviceName>, ConnectError> {
        Self::devices(&socket(), tenant().as_deref())
    }
}
