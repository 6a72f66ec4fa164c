//! Compiles the protos with protox, so that no protoc is needed.

use prost::Message;

fn main() -> anyhow::Result<()> {
    const FILES: [&str; 9] = [
        "query",
        "search_service",
        "catalog_service",
        "feedback_service",
        "head",
        "head_service",
        "teaching",
        "generation_service",
        "admin_service",
    ];
    let paths = FILES.map(|name| format!("lapel/v1/{name}.proto"));
    println!("cargo::rerun-if-changed=lapel");
    let descriptors = protox::compile(&paths, ["."])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("lapel.v1.bin"), descriptors.encode_to_vec())?;
    // The codec finds a request's fields by its name.
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    // Ordered maps: answers then read the same every time.
    let builder = tonic_prost_build::configure().btree_map(".").codec_path("crate::BoundedCodec");
    builder.compile_fds_with_config(descriptors, config)?;
    Ok(())
}
