//! The configuration of a private broker: tenants that all belong to the user who plays.

use std::fmt::Write as _;

/// Builds the text of a configuration file.
pub struct Scene {
    text: String,
    uid: u32,
}

impl Scene {
    /// Returns a scene without tenants.
    pub fn new(device: &impl std::fmt::Display, slice: &str) -> Scene {
        let text = format!("device = \"{device}\"\nslice = \"{slice}\"\nunknown = \"deny\"\n");
        Scene { text, uid: rustix::process::getuid().as_raw() }
    }

    /// Allows so many sessions at a time. Say so before the first tenant: what follows one belongs to it.
    #[must_use]
    pub fn sessions(mut self, most: u32) -> Scene {
        let _ = writeln!(self.text, "sessions_max = {most}");
        self
    }

    /// Adds a tenant; `rest` are further lines of its table.
    #[must_use]
    pub fn tenant(mut self, name: &str, weight: u32, vram: &str, rest: &str) -> Scene {
        let uid = self.uid;
        // Writing to a string cannot fail.
        let _ = write!(
            self.text,
            "\n[[tenant]]\nname = \"{name}\"\nmatch = [{{ uid = {uid} }}]\nweight = {weight}\nvram = \"{vram}\"\n{rest}\n"
        );
        self
    }

    /// Returns the file's contents.
    pub fn text(&self) -> &str {
        &self.text
    }
}
