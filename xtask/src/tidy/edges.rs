//! Who depends on whom, from `cargo metadata`, against the table of rooms.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::Finding;
use super::rooms::{ROOMS, Room, TESTS_MAY_USE};

/// What `cargo metadata --no-deps` says, as far as it matters here.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    workspace_root: PathBuf,
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    /// Only of dependencies in this repository.
    path: Option<PathBuf>,
}

/// Asks cargo about the workspace in `root`.
pub(super) fn metadata(root: &Path) -> Result<Metadata> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version=1"])
        .current_dir(root)
        .output()
        .context("cannot run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("cargo metadata printed something new")
}

/// Finds dependencies between rooms that the table does not allow, and crates that it does not know.
pub(super) fn check(metadata: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen = Vec::new();
    for package in &metadata.packages {
        let folder = folder(&metadata.workspace_root, package.manifest_path.parent());
        let manifest = if folder == "." { "Cargo.toml".to_owned() } else { format!("{folder}/Cargo.toml") };
        let Some(room) = ROOMS.iter().find(|room| room.folder == folder) else {
            let what = "this crate is no room of the house; give it a row in xtask/src/tidy/rooms.rs";
            findings.push(Finding::of(&manifest, what));
            continue;
        };
        seen.push(room.folder);
        for dependency in &package.dependencies {
            let Some(path) = &dependency.path else { continue };
            let used = self::folder(&metadata.workspace_root, Some(path));
            let kind = dependency.kind.as_deref();
            if !allowed(room, &used, kind) {
                findings.push(Finding::of(&manifest, refusal(room, &dependency.name, &used, kind)));
            }
        }
    }
    let gone = ROOMS.iter().filter(|room| !seen.contains(&room.folder));
    findings.extend(
        gone.map(|room| Finding::of(room.folder, "this room of xtask/src/tidy/rooms.rs is not in the workspace")),
    );
    findings
}

fn allowed(room: &Room, used: &str, kind: Option<&str>) -> bool {
    room.may_use.contains(&used) || kind == Some("dev") && TESTS_MAY_USE.contains(&used)
}

fn refusal(room: &Room, name: &str, used: &str, kind: Option<&str>) -> String {
    let kind = kind.map_or(String::new(), |kind| format!("{kind}-"));
    let may = if room.may_use.is_empty() { "nobody".to_owned() } else { room.may_use.join(", ") };
    format!(
        "{kind}dependency on {name} in {used}/: this room may use {may}; move the code to where its edge exists, or \
         change the walls in xtask/src/tidy/rooms.rs and ARCHITECTURE.md"
    )
}

fn folder(root: &Path, path: Option<&Path>) -> String {
    let inside = path.and_then(|path| path.strip_prefix(root).ok());
    match inside.and_then(Path::to_str) {
        Some("") => ".".to_owned(),
        Some(folder) => folder.to_owned(),
        None => format!("{} (outside of the workspace)", path.unwrap_or(root).display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A workspace with every room and no dependency but `edges`: (who, kind, whom).
    fn house(edges: &[(&str, Option<&str>, &str)]) -> Metadata {
        let path = |folder: &str| Path::new("/house").join(folder.trim_start_matches('.'));
        let package = |room: &Room| {
            let used = edges.iter().filter(|(who, ..)| *who == room.folder);
            let dependencies: Vec<_> =
                used.map(|(_, kind, whom)| json!({"name": whom, "kind": kind, "path": path(whom)})).collect();
            json!({"manifest_path": path(room.folder).join("Cargo.toml"), "dependencies": dependencies})
        };
        let packages: Vec<_> = ROOMS.iter().map(package).collect();
        serde_json::from_value(json!({"workspace_root": "/house", "packages": packages})).unwrap()
    }

    fn refused(who: &str, kind: Option<&str>, whom: &str) -> bool {
        !check(&house(&[(who, kind, whom)])).is_empty()
    }

    #[test]
    fn each_row_of_the_table_is_allowed_and_nothing_else_is() {
        assert_eq!(check(&house(&[])), []);
        for who in ROOMS {
            for whom in ROOMS {
                let allowed = who.may_use.contains(&whom.folder);
                assert_eq!(refused(who.folder, None, whom.folder), !allowed, "{} -> {}", who.folder, whom.folder);
                assert_eq!(
                    refused(who.folder, Some("build"), whom.folder),
                    !allowed,
                    "build scripts are no way around"
                );
            }
        }
    }

    #[test]
    fn tests_of_every_room_may_use_kernels_but_products_may_not() {
        for room in ROOMS {
            assert!(!refused(room.folder, Some("dev"), "kernels"), "{}", room.folder);
        }
        assert!(refused("gcn", None, "kernels"));
        assert!(refused("sched", Some("dev"), "sys"), "tests are no way around");
    }

    #[test]
    fn the_finding_says_where_and_what_next() {
        let [finding] = &check(&house(&[("broker", None, "sys")]))[..] else { panic!("one finding") };
        let text = finding.to_string();
        assert!(text.starts_with("broker/Cargo.toml: dependency on sys"), "{text}");
        assert!(text.contains("may use sched, proto") && text.contains("rooms.rs"), "{text}");
    }

    #[test]
    fn a_crate_without_a_row_and_a_row_without_a_crate_are_found() {
        let mut metadata = house(&[]);
        metadata.packages[3].manifest_path = "/house/annex/Cargo.toml".into();
        let findings: Vec<_> = check(&metadata).iter().map(ToString::to_string).collect();
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(
            findings[0].starts_with("annex/Cargo.toml") && findings[1].starts_with(ROOMS[3].folder),
            "{findings:?}"
        );
    }

    #[test]
    fn a_crate_from_outside_is_found() {
        let mut metadata = house(&[("client", None, "sys")]);
        let client = metadata.packages.iter_mut().find(|package| !package.dependencies.is_empty()).unwrap();
        client.dependencies[0].path = Some("/elsewhere/sys".into());
        assert_eq!(check(&metadata).len(), 1);
    }
}
