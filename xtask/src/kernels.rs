//! Builds the code objects of `kernels/` from their sources, or proves that the committed ones are what a build gives.
//!
//! Promise: nothing in `kernels/objects/` changes unless every program built for every target, and a check compares bytes, not
//! dates. Objects depend on the sources and on the versions of clang and lld, never on the folder they are built in: a
//! check builds a copy of the sources in a temporary folder, so a path that found its way into an object shows up as
//! a difference. The program that scrubs compute units is built for every processor that the compiler knows and that runs HSA programs.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

const COMPILER: &str = "clang-19";
const LINKER: &str = "ld.lld-19";
const TARGETS: [&str; 2] = ["gfx90a", "gfx942"];
/// Optimisation of the objects that hold one program each, and of those that hold all of them together.
const LEVEL: &str = "-O2";
const CORPUS_LEVELS: [&str; 3] = ["-O0", "-O1", "-O3"];
/// Programs that are left out of the collections: their assembly needs registers that unoptimised code does not give it.
const NOT_COLLECTED: [&str; 5] = ["canary", "canary_scalars", "canary_write", "hold", "spin"];

/// Freestanding OpenCL C 2.0 for code object version 5; warnings are errors; floating-point operations are
/// fused only where the source says so; no compiler identification and no debug information.
const COMPILE: &[&str] = &[
    "-x",
    "cl",
    "-target",
    "amdgcn-amd-amdhsa",
    "-cl-std=CL2.0",
    "-mcode-object-version=5",
    "-nogpulib",
    "-nogpuinc",
    "-ffp-contract=off",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Qn",
    "-g0",
    "-c",
];

/// A shared object, as ROCm's loader wants it, without symbols a loader does not need. The linker leaves its version
/// in the `.comment` section, which tells later which release built an object.
const LINK: &[&str] = &["-shared", "--strip-all", "--build-id=none", "--no-undefined"];

/// The folder of the scrubbing program's objects, one for each processor.
const SCRUB: &str = "scrub";
/// The folder of the program that tells what it was given, in every version of code objects.
const ABI: &str = "abi";
/// Folders of objects.
const FOLDERS: [&str; 4] = ["gfx90a", "gfx942", SCRUB, ABI];
/// Its objects for each target: name, version, and what is defined beside.
const ABI_OBJECTS: [(&str, u32, Option<&str>); 4] =
    [("v4", 4, None), ("v4-hostcall", 4, Some("-DHOSTCALL")), ("v5", 5, None), ("v6", 6, None)];
/// What it is compiled with instead of [`COMPILE`]. Warnings stay warnings: clang 19 has one for version 6 itself.
const COMPILE_ABI: &[&str] = &[
    "-x",
    "c",
    "-target",
    "amdgcn-amd-amdhsa",
    "-std=c17",
    "-nogpulib",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
    // `printf` with its format in constant memory, as OpenCL has it.
    "-Wno-incompatible-library-redeclaration",
    "-Qn",
    "-g0",
    "-c",
];
/// What it is built with in addition where a work-group may lie on one compute unit or on two, from GFX10 on: on one.
const ONE_UNIT: &str = "-mcumode";

/// Built objects by their path below `kernels/objects/`.
type Objects = BTreeMap<PathBuf, Vec<u8>>;

/// Rebuilds the committed code objects, or with `check` compares them with a build and changes nothing.
pub(crate) fn rebuild(check: bool) -> Result<()> {
    let room = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("kernels");
    let sources = room.join("src-gpu");
    let committed = room.join("objects");
    for tool in [COMPILER, LINKER] {
        run(Command::new(tool).arg("--version"))?;
    }

    let temporary = Temporary::new()?;
    let (scrub, abi) = (room.join("src-scrub"), room.join("src-abi"));
    let (sources, scrub, abi) = if check {
        let copy = |from: &Path, name: &str| copy_of(from, &temporary.0.join(name));
        (copy(&sources, "sources")?, copy(&scrub, "scrub")?, copy(&abi, "abi")?)
    } else {
        (sources, scrub, abi)
    };
    let work = temporary.0.join("build");
    let mut built = build(&sources, &work)?;
    build_scrub(&scrub.join("scrub.cl"), &sources, &work, &mut built)?;
    build_abi(&abi.join("hidden.c"), &work, &mut built)?;
    let differences = compare(&read_objects(&committed)?, &built);
    if check {
        ensure!(
            differences.is_empty(),
            "{} of {} code objects differ from what {COMPILER} and {LINKER} build from kernels/src-gpu and kernels/src-scrub:\n{}\n\
             what next: run `cargo xtask kernels` and commit kernels/objects, or install the release of clang and lld \
             that built the committed ones (readelf -p .comment OBJECT names it; this is {})",
            differences.len(),
            built.len(),
            differences.join("\n"),
            version_of(LINKER)?,
        );
        println!("kernels: {} code objects are what their sources build", built.len());
    } else {
        write(&committed, &built)?;
        println!("kernels: built {} code objects, {} changed", built.len(), differences.len());
        differences.iter().for_each(|line| println!("{line}"));
    }
    Ok(())
}

/// Compiles and links every `.cl` in `sources` for every target; `work` is a folder for intermediate files.
fn build(sources: &Path, work: &Path) -> Result<Objects> {
    fs::create_dir_all(work).with_context(|| format!("cannot create {}", work.display()))?;
    let mut built = Objects::new();
    for source in files_in(sources, "cl")? {
        let name = source.file_stem().unwrap_or_default();
        for target in TARGETS {
            let object = compile(&source, sources, target, &[LEVEL], work)?;
            built.insert(Path::new(target).join(name).with_extension("co"), object);
        }
    }
    let collected = work.join("collected.cl");
    fs::write(&collected, collection(sources)?).with_context(|| format!("cannot write {}", collected.display()))?;
    for target in TARGETS {
        for level in CORPUS_LEVELS {
            let object = compile(&collected, sources, target, &[level], work)?;
            built.insert(Path::new(target).join(format!("corpus{level}.co")), object);
        }
    }
    ensure!(!built.is_empty(), "no .cl files in {}; is this the whole repository?", sources.display());
    Ok(built)
}

/// Builds the program that scrubs for every processor.
fn build_scrub(source: &Path, headers: &Path, work: &Path, built: &mut Objects) -> Result<()> {
    for target in processors()? {
        let one_unit = (target.len() > "gfx90a".len()).then_some(ONE_UNIT);
        let options: Vec<&str> = [LEVEL].into_iter().chain(one_unit).collect();
        let object = compile(source, headers, &target, &options, work)?;
        built.insert(Path::new(SCRUB).join(&target).with_extension("co"), object);
    }
    Ok(())
}

/// Builds the program that tells what it was given, for every target in every version.
fn build_abi(source: &Path, work: &Path, built: &mut Objects) -> Result<()> {
    for target in TARGETS {
        for (name, version, define) in ABI_OBJECTS {
            let abi = format!("-DABI={version}");
            let version = format!("-mcode-object-version={version}");
            let options: Vec<&str> = [LEVEL, &version, &abi].into_iter().chain(define).collect();
            let object = compile_with(COMPILE_ABI, source, None, target, &options, work)?;
            built.insert(Path::new(ABI).join(format!("{target}-{name}")).with_extension("co"), object);
        }
    }
    Ok(())
}

/// Asks the compiler for the processors that run HSA programs: all but GFX6, which has no flat addresses, and the generic names, which no
/// card reports.
fn processors() -> Result<Vec<String>> {
    let list = Command::new(COMPILER)
        .args(["-target", "amdgcn-amd-amdhsa", "-nogpulib", "--print-supported-cpus"])
        .output()
        .with_context(|| format!("cannot run {COMPILER}"))?;
    // The list is told where complaints are told.
    let text = format!("{}{}", String::from_utf8_lossy(&list.stdout), String::from_utf8_lossy(&list.stderr));
    let names = text.split_whitespace().filter(|word| {
        let number = word.strip_prefix("gfx").unwrap_or("");
        number.len() >= 3 && number.chars().all(|c| c.is_ascii_hexdigit()) && !word.starts_with("gfx60")
    });
    let names: Vec<String> = names.map(str::to_owned).collect();
    ensure!(!names.is_empty(), "{COMPILER} lists no processors:\n{text}");
    Ok(names)
}

/// Compiles and links one source; returns the code object.
fn compile(source: &Path, headers: &Path, target: &str, options: &[&str], work: &Path) -> Result<Vec<u8>> {
    compile_with(COMPILE, source, Some(headers), target, options, work)
}

/// As [`compile`] with other flags, and a folder of headers or none.
fn compile_with(
    flags: &[&str],
    source: &Path,
    headers: Option<&Path>,
    target: &str,
    options: &[&str],
    work: &Path,
) -> Result<Vec<u8>> {
    let relocatable = work.join("object.o");
    let linked = work.join("object.co");
    let mut compiler = Command::new(COMPILER);
    compiler.args(flags).args(options).arg(format!("-mcpu={target}"));
    if let Some(headers) = headers {
        compiler.arg("-I").arg(headers);
    }
    run(compiler.arg("-o").arg(&relocatable).arg(source))?;
    run(Command::new(LINKER).args(LINK).arg("-o").arg(&linked).arg(&relocatable))?;
    read(&linked)
}

/// Returns a source that includes all programs, each without the macros of those before it.
///
/// One object for all costs a tenth of what an object each would: a code object has pages of its own.
fn collection(sources: &Path) -> Result<String> {
    let mut text = String::new();
    for source in files_in(sources, "cl")? {
        let name = source.file_stem().unwrap_or_default().to_string_lossy();
        if NOT_COLLECTED.contains(&&*name) {
            continue;
        }
        text.push_str(&format!("#include \"{name}.cl\"\n"));
        let program = fs::read_to_string(&source).with_context(|| format!("cannot read {}", source.display()))?;
        for definition in program.lines().filter_map(|line| line.strip_prefix("#define ")) {
            let end = definition.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(definition.len());
            text.push_str(&format!("#undef {}\n", &definition[..end]));
        }
    }
    Ok(text)
}

/// Says in one line each which objects are missing, differ, or have no source any more.
fn compare(committed: &Objects, built: &Objects) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, bytes) in built {
        match committed.get(path) {
            None => lines.push(format!("  {}: not committed", path.display())),
            Some(old) if old != bytes => {
                let at = old.iter().zip(bytes).take_while(|(a, b)| a == b).count();
                let (old, new) = (old.len(), bytes.len());
                lines.push(format!("  {}: {old} bytes committed, {new} built, first differ at {at}", path.display()));
            }
            Some(_) => {}
        }
    }
    let orphans = committed.keys().filter(|path| !built.contains_key(*path));
    lines.extend(orphans.map(|path| format!("  {}: has no source", path.display())));
    lines
}

/// Makes the folder hold exactly `built`.
fn write(folder: &Path, built: &Objects) -> Result<()> {
    for path in read_objects(folder)?.keys().filter(|path| !built.contains_key(*path)) {
        let path = folder.join(path);
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    for target in FOLDERS {
        let folder = folder.join(target);
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    for (path, bytes) in built {
        let path = folder.join(path);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn read_objects(folder: &Path) -> Result<Objects> {
    let mut objects = Objects::new();
    for target in FOLDERS {
        let folder = folder.join(target);
        if !folder.exists() {
            continue;
        }
        for path in files_in(&folder, "co")? {
            let name = path.file_name().unwrap_or_default();
            objects.insert(Path::new(target).join(name), read(&path)?);
        }
    }
    Ok(objects)
}

/// Copies the files of a folder to a new one and returns that.
fn copy_of(from: &Path, to: &Path) -> Result<PathBuf> {
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    for extension in ["cl", "c", "h"] {
        for path in files_in(from, extension)? {
            let copy = to.join(path.file_name().unwrap_or_default());
            fs::copy(&path, &copy).with_context(|| format!("cannot copy {} to {}", path.display(), copy.display()))?;
        }
    }
    Ok(to.to_owned())
}

/// Returns the files with this extension, sorted by name.
fn files_in(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let reading = || format!("cannot read {}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(reading)? {
        let path = entry.with_context(reading)?.path();
        if path.extension() == Some(OsStr::new(extension)) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn version_of(tool: &str) -> Result<String> {
    Ok(run(Command::new(tool).arg("--version"))?.lines().next().unwrap_or_default().to_owned())
}

/// Runs a tool to its end and returns what it printed; what it complains about becomes the error.
fn run(command: &mut Command) -> Result<String> {
    let tool = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(output) => bail!("{tool} failed ({}):\n{}", output.status, String::from_utf8_lossy(&output.stderr)),
        // A folder of the PATH that we may not look into makes "not found" a "permission denied".
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => bail!(
            "`{tool}` is not installed, and the GPU programs are built with it\n\
             what next: install the Debian packages clang-19 and lld-19"
        ),
        Err(error) => Err(error).with_context(|| format!("cannot run {tool}")),
    }
}

/// A folder that is gone when this is dropped.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("wavegate-kernels-{}", std::process::id()));
        // Not `create_dir_all`: a folder that is there already belongs to somebody else.
        fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Temporary(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What cannot be removed stays in the folder for temporary files; the build itself is fine.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(files: &[(&str, &[u8])]) -> Objects {
        files.iter().map(|(path, bytes)| (PathBuf::from(path), bytes.to_vec())).collect()
    }

    #[test]
    fn each_kind_of_difference_is_named() {
        let committed = objects(&[("t/same.co", b"1"), ("t/changed.co", b"1234"), ("t/orphan.co", b"1")]);
        let built = objects(&[("t/same.co", b"1"), ("t/changed.co", b"12x"), ("t/new.co", b"1")]);
        assert_eq!(
            compare(&committed, &built),
            [
                "  t/changed.co: 4 bytes committed, 3 built, first differ at 2",
                "  t/new.co: not committed",
                "  t/orphan.co: has no source",
            ]
        );
        assert_eq!(compare(&built, &built), [] as [&str; 0]);
    }

    #[test]
    fn a_missing_tool_is_named_with_its_package() {
        let error = run(&mut Command::new("ld.lld-0-of-nobody")).unwrap_err().to_string();
        assert!(error.contains("ld.lld-0-of-nobody") && error.contains("Debian packages"), "{error}");
    }
}
