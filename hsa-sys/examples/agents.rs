//! Lists the GPUs of AMD's runtime: `cargo run -p wavegate-hsa-sys --example agents`.

use hsa_sys::runtime::Runtime;
use hsa_sys::table::Library;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = Runtime::start(Library::find()?)?;
    println!("runtime {}", runtime.library_path().display());
    for gpu in runtime.gpus()? {
        let facts = gpu.facts()?;
        let mib = facts.vram_bytes >> 20;
        println!("{} ({}): {}, {} compute units, {mib} MiB", facts.product, facts.uuid, facts.isa, facts.compute_units);
    }
    Ok(())
}
