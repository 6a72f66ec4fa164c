//! Compiles the protos with protox, so that no protoc is needed.

use prost::Message;

fn main() -> anyhow::Result<()> {
    const FILES: [&str; 7] = [
        "query",
        "search_service",
        "catalog_service",
        "feedback_service",
        "head_service",
        "generation_service",
        "admin_service",
    ];
    let paths = FILES.map(|name| format!("lapel/v1/{name}.proto"));
    println!("cargo::rerun-if-changed=lapel");
    let descriptors = protox::compile(&paths, ["."])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("lapel.v1.bin"), descriptors.encode_to_vec())?;
    // Ordered maps: answers then read the same every time.
    tonic_prost_build::configure().btree_map(".").compile_fds(descriptors)?;
    Ok(())
}
