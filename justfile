# Recipes; `just` lists them. Long runs are recipes of their own and no part of the gate.

# List the recipes.
default:
    @just --list

# Run the main job: render a catalogue, ingest it, serve it.
demo *ARGS:
    cargo run --release --bin lapel-server -- demo {{ARGS}}

# Pass the tests.
test:
    cargo test --release --workspace

# Everything the gate runs.
ci:
    bash .ci/run

# Train every head (about 15 minutes on 2 cores); a run that was cut off goes on.
train WARDROBE:
    cargo run --release --bin lapel-train -- train --wardrobe {{WARDROBE}}
    mv heads/bundles/sport.safetensors examples/heads/

# Print what the shipped heads reach.
evaluate WARDROBE:
    cargo run --release --bin lapel-train -- evaluate --wardrobe {{WARDROBE}}

# Check licences, sources and advisories.
deny:
    cargo deny check
