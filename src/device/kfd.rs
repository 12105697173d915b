//! What the kernel driver shows of this machine's GPUs: topology, device files, firmware, partitions, isolation. Reads only.
//!
//! The paths are those of amdgpu and its compute driver in Linux: `/sys/class/kfd/kfd/topology` (the numbers ROCr itself reads),
//! `/dev/kfd`, `/dev/dri/renderD*`, and the files of each card below `/sys/class/drm`. A file that is not there is a fact that is
//! not known, never an error: kernels differ. Everything is relative to a root, so that tests build machines out of folders.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Heap types of a memory bank that are the card's own memory: seen by the host or not.
const HEAPS_VRAM: [u64; 2] = [1, 2];

/// Whether a device file can be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "state", content = "why")]
pub enum Access {
    /// It opens for reading and writing.
    Usable,
    /// There is none.
    Missing,
    /// It does not open.
    Refused(String),
}

impl Access {
    fn of(path: &Path) -> Access {
        if !path.exists() {
            return Access::Missing;
        }
        match fs::OpenOptions::new().read(true).write(true).open(path) {
            Ok(_) => Access::Usable,
            Err(error) => Access::Refused(error.to_string()),
        }
    }
}

/// A GPU as the driver shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gpu {
    /// Node of the topology.
    pub node: u32,
    /// LLVM's name of the processor, such as `gfx90a`.
    pub target: String,
    /// PCI vendor and device.
    pub pci_id: (u32, u32),
    /// PCI domain, bus, device, function, as `lspci -D` writes them.
    pub pci_address: String,
    /// Compute units.
    pub compute_units: u32,
    /// Bytes of device memory.
    pub vram_bytes: u64,
    /// Accelerator dies that appear as this one GPU.
    pub xccs: u32,
    /// Compute queues that the hardware holds at once.
    pub queue_slots: u32,
    /// Firmware of the command processor.
    pub firmware: u32,
    /// Firmware of the copy engines.
    pub copy_firmware: u32,
    /// Stable identity, 0 if the card has none.
    pub unique_id: u64,
    /// Its render node.
    pub render_node: String,
    /// Whether this process may use it.
    pub render_access: Access,
    /// How the card is partitioned: compute, memory.
    pub partitions: (Option<String>, Option<String>),
    /// Virtual functions that exist and that are possible.
    pub virtual_functions: Option<(u32, u32)>,
    /// Contents of `enforce_isolation`.
    pub enforce_isolation: Option<String>,
    /// Whether the driver offers `run_cleaner_shader`.
    pub cleaner_shader: bool,
}

impl Gpu {
    /// Returns the card in a few words.
    pub fn describe(&self) -> String {
        let gib = self.vram_bytes >> 30;
        format!("{} at {}, {} compute units, {gib} GiB", self.target, self.pci_address, self.compute_units)
    }
}

/// A machine as its kernel shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// Version of the running kernel.
    pub kernel: Option<String>,
    /// Whether the driver is loaded.
    pub driver: bool,
    /// Version of the driver, where it is not the kernel's own.
    pub driver_version: Option<String>,
    /// `/dev/kfd`.
    pub kfd: Access,
    /// The GPUs, in the order of the topology.
    pub gpus: Vec<Gpu>,
}

impl Machine {
    /// Looks at the machine whose file system begins at `root`.
    pub fn look(root: &Path) -> Machine {
        let driver = root.join("sys/module/amdgpu");
        let nodes = root.join("sys/class/kfd/kfd/topology/nodes");
        let mut gpus: Vec<Gpu> = entries(&nodes).iter().filter_map(|node| gpu(root, node)).collect();
        gpus.sort_by_key(|gpu| gpu.node);
        Machine {
            kernel: text(&root.join("proc/sys/kernel/osrelease")),
            driver: driver.is_dir(),
            driver_version: text(&driver.join("version")),
            kfd: Access::of(&root.join("dev/kfd")),
            gpus,
        }
    }

    /// Returns the first GPU that this process can use, or what stands in the way.
    pub fn usable(&self) -> Result<&Gpu, String> {
        if let Some(problem) = self.problems().into_iter().next() {
            return Err(problem.what);
        }
        self.gpus.first().ok_or_else(|| "there is no AMD GPU".to_owned())
    }

    /// Returns what keeps this process from using a GPU, the first cause first.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut problem = |what: String, next: &str| problems.push(Problem { what, next: next.to_owned() });
        if !self.driver {
            problem(
                "the amdgpu kernel driver is not loaded".to_owned(),
                "put an AMD GPU into this machine, or, if there is one (lspci -d 1002:): modprobe amdgpu",
            );
            return problems;
        }
        match &self.kfd {
            Access::Usable => {}
            Access::Missing => problem(
                "there is no /dev/kfd".to_owned(),
                "use a kernel with CONFIG_HSA_AMD; in a container pass --device /dev/kfd --device /dev/dri",
            ),
            Access::Refused(why) => problem(
                format!("/dev/kfd cannot be opened: {why}"),
                "add the user to the group of the file (usually render): usermod -aG render USER, and log in again",
            ),
        }
        if self.gpus.is_empty() {
            problem(
                "the driver shows no GPU for compute".to_owned(),
                "see dmesg | grep -i kfd: cards without PCIe atomics, or unknown to this kernel, are left out",
            );
        }
        for gpu in &self.gpus {
            match &gpu.render_access {
                Access::Usable => {}
                Access::Missing => problem(
                    format!("{} has no {}", gpu.describe(), gpu.render_node),
                    "in a container pass --device /dev/dri",
                ),
                Access::Refused(why) => problem(
                    format!("{} cannot be opened: {why}", gpu.render_node),
                    "add the user to the group render, and log in again",
                ),
            }
            if kernels::scrub::find(&gpu.target).is_none() {
                problem(
                    format!("no program of this release clears registers and LDS of {}", gpu.target),
                    "use a release that knows the processor; with `scrub = false` in the configuration tenants may see each other's leftovers",
                );
            }
        }
        problems
    }
}

/// Something in the way, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What is wrong.
    pub what: String,
    /// What to do next.
    pub next: String,
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).map_or_else(|_| Vec::new(), |found| found.flatten().map(|entry| entry.path()).collect())
}

fn text(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Returns the value of a line `name value` of a properties file.
fn property(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    value.trim().parse().ok()
}

/// Reads one node of the topology; `None` for the host's and for what cannot be read.
fn gpu(root: &Path, folder: &Path) -> Option<Gpu> {
    let node = folder.file_name()?.to_str()?.parse().ok()?;
    let properties = fs::read_to_string(folder.join("properties")).ok()?;
    let number = |name: &str| property(&properties, name).unwrap_or(0);
    let simds = number("simd_count");
    if simds == 0 {
        return None;
    }
    let location = number("location_id");
    let (bus, device, function) = (location >> 8 & 0xff, location >> 3 & 0x1f, location & 7);
    let render_node = format!("/dev/dri/renderD{}", number("drm_render_minor"));
    let card = root.join(format!("sys/class/drm/renderD{}/device", number("drm_render_minor")));
    let functions = text(&card.join("sriov_totalvfs")).and_then(|total| total.parse().ok());
    let banks = entries(&folder.join("mem_banks"));
    let bytes = |bank: &PathBuf| {
        let text = fs::read_to_string(bank.join("properties")).ok()?;
        HEAPS_VRAM.contains(&property(&text, "heap_type")?).then(|| property(&text, "size_in_bytes"))?
    };
    Some(Gpu {
        node,
        target: target(number("gfx_target_version")),
        pci_id: (number("vendor_id") as u32, number("device_id") as u32),
        pci_address: format!("{:04x}:{bus:02x}:{device:02x}.{function}", number("domain")),
        compute_units: (simds / number("simd_per_cu").max(1)) as u32,
        vram_bytes: banks.iter().filter_map(bytes).sum(),
        xccs: number("num_xcc").max(1) as u32,
        queue_slots: number("num_cp_queues") as u32,
        firmware: number("fw_version") as u32,
        copy_firmware: number("sdma_fw_version") as u32,
        unique_id: number("unique_id"),
        render_access: Access::of(&root.join(render_node.trim_start_matches('/'))),
        render_node,
        partitions: (text(&card.join("current_compute_partition")), text(&card.join("current_memory_partition"))),
        virtual_functions: functions
            .map(|total| (text(&card.join("sriov_numvfs")).and_then(|n| n.parse().ok()).unwrap_or(0), total)),
        enforce_isolation: text(&card.join("enforce_isolation")),
        cleaner_shader: card.join("run_cleaner_shader").exists(),
    })
}

/// Returns LLVM's name for the driver's number: major, minor and stepping as decimal pairs, the last two hexadecimal digits.
fn target(version: u64) -> String {
    let (major, minor, stepping) = (version / 10_000, version / 100 % 100, version % 100);
    format!("gfx{major}{minor:x}{stepping:x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A machine made of files.
    struct Built(PathBuf);

    impl Built {
        fn new() -> Built {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let root = std::env::temp_dir().join(format!("wavegate-kfd-{}-{number}", std::process::id()));
            fs::create_dir_all(&root).unwrap();
            Built(root)
        }

        fn file(self, path: &str, contents: &str) -> Built {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, contents).unwrap();
            self
        }

        /// An MI210 as its driver shows it, at node 1.
        fn mi210(self) -> Built {
            let node = "sys/class/kfd/kfd/topology/nodes";
            self.file("sys/module/amdgpu/version", "6.8.5\n")
                .file("proc/sys/kernel/osrelease", "6.8.0-45-generic\n")
                .file(&format!("{node}/0/properties"), "cpu_cores_count 64\nsimd_count 0\n")
                .file(
                    &format!("{node}/1/properties"),
                    "cpu_cores_count 0\nsimd_count 416\nsimd_per_cu 4\ngfx_target_version 90010\nvendor_id 4098\n\
                     device_id 29711\nlocation_id 768\ndomain 0\ndrm_render_minor 128\nnum_cp_queues 24\nfw_version 78\n\
                     sdma_fw_version 8\nunique_id 1234567890\nnum_xcc 1\n",
                )
                .file(
                    &format!("{node}/1/mem_banks/0/properties"),
                    "heap_type 1\nsize_in_bytes 68702699520\nflags 0\nwidth 4096\nmem_clk_max 1600\n",
                )
                .file("sys/class/drm/renderD128/device/sriov_totalvfs", "16\n")
                .file("sys/class/drm/renderD128/device/sriov_numvfs", "2\n")
                .file("sys/class/drm/renderD128/device/enforce_isolation", "0\n")
                .file("dev/kfd", "")
                .file("dev/dri/renderD128", "")
        }

        fn look(&self) -> Machine {
            Machine::look(&self.0)
        }
    }

    impl Drop for Built {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_card_is_read_as_the_driver_shows_it() {
        let built = Built::new().mi210();
        let machine = built.look();
        let gpu = machine.usable().expect("everything is there");
        assert_eq!(gpu.describe(), "gfx90a at 0000:03:00.0, 104 compute units, 63 GiB");
        assert_eq!((gpu.queue_slots, gpu.firmware, gpu.copy_firmware), (24, 78, 8));
        assert_eq!(gpu.virtual_functions, Some((2, 16)));
        assert_eq!(gpu.enforce_isolation.as_deref(), Some("0"));
        assert!(!gpu.cleaner_shader);
        assert_eq!(machine.driver_version.as_deref(), Some("6.8.5"));
    }

    #[test]
    fn auto_is_a_card_that_can_be_used() {
        let (spec, why) = crate::device::spec::auto(&Built::new().mi210().0);
        assert_eq!((spec.to_string().as_str(), spec.software_units()), ("rocr:0", 0));
        assert!(why.is_some_and(|why| why.contains("hardware: gfx90a at 0000:03:00.0")));
    }

    #[test]
    fn names_are_llvms() {
        for (version, name) in
            [(90_010, "gfx90a"), (90_402, "gfx942"), (110_000, "gfx1100"), (120_001, "gfx1201"), (90_006, "gfx906")]
        {
            assert_eq!(target(version), name);
        }
    }

    #[test]
    fn what_is_in_the_way_is_said_with_what_to_do() {
        let first = |built: &Built| {
            let problem = built.look().problems().into_iter().next().expect("something is in the way");
            (problem.what, problem.next)
        };
        let (what, next) = first(&Built::new());
        assert!(what.contains("not loaded") && next.contains("modprobe amdgpu"), "{what}: {next}");
        let built = Built::new().mi210();
        fs::remove_file(built.0.join("dev/kfd")).unwrap();
        let (what, next) = first(&built);
        assert!(what.contains("no /dev/kfd") && next.contains("--device /dev/kfd"), "{what}: {next}");
        let built = Built::new().mi210();
        fs::remove_file(built.0.join("dev/dri/renderD128")).unwrap();
        assert!(first(&built).0.contains("has no /dev/dri/renderD128"));
        let built = Built::new().mi210();
        let node = built.0.join("sys/class/kfd/kfd/topology/nodes/1/properties");
        let newer = fs::read_to_string(&node).unwrap().replace("gfx_target_version 90010", "gfx_target_version 130000");
        fs::write(&node, newer).unwrap();
        assert!(first(&built).0.contains("clears registers and LDS of gfx1300"));
        let built = Built::new().file("sys/module/amdgpu/version", "1").file("dev/kfd", "");
        assert!(first(&built).0.contains("no GPU"));
    }

    #[test]
    fn files_of_other_kernels_are_facts_unknown() {
        let built = Built::new()
            .mi210()
            .file("sys/class/kfd/kfd/topology/nodes/1/properties", "simd_count 8\nnonsense\n\nx y z");
        let machine = built.look();
        assert_eq!(machine.gpus[0].compute_units, 8);
        assert_eq!(machine.gpus[0].target, "gfx000");
    }
}
