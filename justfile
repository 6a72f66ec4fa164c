# Recipes; `just` lists them. Long runs are recipes of their own and no part of the gate.

# List the recipes.
default:
    @just --list

# Run the main job: ingest the photos of the demo, serve them.
demo *ARGS:
    cargo run --release --bin lapel-server -- demo {{ARGS}}

# Pass the tests.
test:
    cargo test --release --workspace

# Everything the gate runs.
ci:
    bash .ci/run

# Make the shipped backbone and heads anew, from a folder of labelled photos and EfficientNet-Lite0's published weights with
# batch norm folded (an hour on 2 cores; tuning that was cut off goes on); writes target/model.
train WARDROBE WEIGHTS:
    cargo run --release --bin lapel-train -- tune --wardrobe {{WARDROBE}} --weights {{WEIGHTS}} --out target/model
    cargo run --release --bin lapel-train -- train --wardrobe {{WARDROBE}} --backbone target/model/backbone.safetensors --out target/model

# Measure the shipped heads on the validation photos, as they are and recomposed, and edits (10 minutes).
measure WARDROBE:
    cargo run --release --bin lapel-train -- measure --wardrobe {{WARDROBE}} --recomposed --out target/measure

# Fine-tune AlexNet and train the heads of the paper's kind (about 45 minutes on 2 cores); a run that was cut off goes on.
# IMAGENET: AlexNet's weights with torchvision's names.
train-paper WARDROBE IMAGENET:
    cargo run --release --bin lapel-train -- train-paper --wardrobe {{WARDROBE}} --imagenet {{IMAGENET}}

# Train the example head for sport prints.
train-sport WARDROBE:
    cargo run --release --bin lapel-train -- train-paper --wardrobe {{WARDROBE}} --heads sport
    mv heads/bundles/alexnet/sport.safetensors examples/heads/

# Train and measure the paper's systems beside Lapel (about 30 minutes on 2 cores); writes target/compare/report.html.
compare WARDROBE IMAGENET:
    cargo run --release --bin lapel-train -- compare --wardrobe {{WARDROBE}} --imagenet {{IMAGENET}} --out target/compare

# Measure the heads of the paper's kind (2 minutes); writes target/evaluate/report.html.
evaluate WARDROBE:
    cargo run --release --bin lapel-train -- evaluate --wardrobe {{WARDROBE}} --out target/evaluate

# How fast photos become signatures, stage by stage (2 minutes).
bench-embed *ARGS:
    cargo run --release --bin lapel-train -- bench-embed {{ARGS}}

# Recall and speed of the search, beside the exact scan in the same run (minutes), then the same over gRPC.
bench-search *ARGS:
    cargo run --release --bin lapel-server -- bench-search --changes --levels --hnsw --html target/bench-search.html {{ARGS}}
    cargo run --release --bin lapel-bench-grpc

# Every size, number of heads and change that docs/figures.md reports, on a seed of its own (about an hour).
bench-search-all:
    cargo build --release --workspace --bins
    for heads in 6 13; do for items in 20000 100000 1000000; do \
      target/release/lapel-server bench-search --items $items --heads $heads --seed $((items / 1000 + heads)) --changes; \
      target/release/lapel-server bench-search --items $items --heads $heads --seed $((items / 1000 + heads + 1)) --missing 0.3; \
    done; done
    target/release/lapel-bench-grpc

# Check licences, sources and advisories; the last come from the network. Needs `cargo install cargo-deny`.
deny:
    cargo deny check

# Kill a server at random points of a mixed load, with a seed of its own each time (POINTS: how many).
crash POINTS="2000":
    LAPEL_CRASH_POINTS={{POINTS}} cargo test --release -p lapel-tests --test crash -- --nocapture

# Random operations against plain maps (OPERATIONS: how many).
model OPERATIONS="1000000":
    LAPEL_MODEL_OPERATIONS={{OPERATIONS}} cargo test --release -p lapel-tests --test model -- --nocapture

# What a backfill costs the queries beside it, and how fast it is, with the feature cache and without (10 minutes).
bench-backfill *ARGS:
    cargo run --release -p lapel-tests --bin lapel-bench-backfill -- {{ARGS}}

# A mixed load for half an hour, with the server's memory and open files watched.
soak *ARGS:
    cargo run --release -p lapel-tests --bin lapel-soak -- {{ARGS}}

# Coverage-guided fuzzing of everything that is read from outside (SECONDS: for each target). Needs `cargo install
# cargo-fuzz`; what it finds of interest is kept in fuzz/found, what it breaks in fuzz/artifacts.
fuzz SECONDS="600" TARGETS="image bundle requests config dataset":
    for target in {{TARGETS}}; do \
      mkdir -p fuzz/found/$target; \
      RUSTC_BOOTSTRAP=1 TMPDIR=/dev/shm cargo fuzz run $target fuzz/found/$target fuzz/corpus/$target -- \
        -max_total_time={{SECONDS}} -timeout=180 -rss_limit_mb=6000 -max_len=16384 || exit 1; \
    done

# Offer a server four times the searches by photo that it can take (2 minutes).
overload:
    cargo test --release -p lapel-tests --test overload -- --ignored --nocapture
