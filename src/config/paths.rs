//! Where the sockets are if nobody says.
//!
//! A daemon of root serves the machine from `/run/wavegate/`, anybody else's serves its user from `$XDG_RUNTIME_DIR/wavegate/`. Who
//! connects looks at the user's own first, so that a private broker is found before the machine's.

use std::path::{Path, PathBuf};

/// Where the machine's daemon serves.
const SYSTEM: &str = "/run/wavegate";
/// The tenants' socket in its directory.
const TENANT: &str = "tenant.sock";
/// The administrators' socket in its directory.
const ADMIN: &str = "admin.sock";

/// Which socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Socket {
    /// Where tenants connect.
    Tenant,
    /// Where administrators connect.
    Admin,
}

impl Socket {
    /// Returns the variable of the environment that names it.
    pub fn variable(self) -> &'static str {
        match self {
            Self::Tenant => "WAVEGATE_SOCKET",
            Self::Admin => "WAVEGATE_ADMIN_SOCKET",
        }
    }

    /// Returns where a daemon of ours serves it, or `None` if this user has no place for that.
    pub fn to_serve(self) -> Option<PathBuf> {
        if rustix::process::geteuid().is_root() { Some(self.below(Path::new(SYSTEM))) } else { self.of_user() }
    }

    /// Returns where to connect to it: the user's own daemon if it is there, the machine's otherwise.
    pub fn to_connect(self) -> PathBuf {
        self.of_user().filter(|path| path.exists()).unwrap_or_else(|| self.below(Path::new(SYSTEM)))
    }

    fn of_user(self) -> Option<PathBuf> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|d| !d.is_empty())?;
        Some(self.below(&Path::new(&runtime).join("wavegate")))
    }

    fn below(self, directory: &Path) -> PathBuf {
        directory.join(match self {
            Self::Tenant => TENANT,
            Self::Admin => ADMIN,
        })
    }
}
