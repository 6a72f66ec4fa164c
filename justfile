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

# Test the built server by a Python client with default options, made from proto/ (about a minute); ARGS go to pytest.
python *ARGS:
    cargo build --release --bin lapel-server --bin lapel-train --features lapel-server/onnx
    tests/python/run {{ARGS}}

# Build, install and check the Python client (ruff, mypy, pytest) against the built server; ARGS go to pytest.
python-client *ARGS:
    cargo build --release --bin lapel-server
    client/python/check {{ARGS}}

# Build the TypeScript client, and call every method by it on the built server, from Node.js and as a browser does.
typescript:
    cargo build --release --bin lapel-server
    cd client && npm ci && npm run build -w typescript && npm test -w typescript

# Pass the console's flows in a browser (CHROMIUM: its program) against the built server, and write its files anew.
console:
    cd client && npm ci && npm run build -w typescript && npm run build -w console && npm test -w console

# Write the API reference, docs/api, from the comments in proto/.
api-pages:
    python3 -m venv target/api-pages
    target/api-pages/bin/pip install --quiet grpcio-tools
    target/api-pages/bin/python tests/python/api_pages.py

# Everything the gate runs.
ci:
    bash .ci/run

# Make the shipped backbone and heads anew, from a folder of labelled photos, EfficientNet-Lite0's published weights with
# batch norm folded, and the mask's teacher: DINOv2 ViT-S/14 with a saliency decoder (80 minutes on 2 cores; what was cut off
# goes on); writes target/masked and target/model.
train WARDROBE WEIGHTS DINOV2 DECODER:
    cargo run --release --bin lapel-train -- mask --wardrobe {{WARDROBE}} --eyes {{WEIGHTS}} --dinov2 {{DINOV2}} \
      --decoder {{DECODER}} --weights {{WEIGHTS}} --out target/masked
    cargo run --release --bin lapel-train -- tune --wardrobe {{WARDROBE}} --backbone target/masked/backbone.safetensors \
      --out target/model
    cargo run --release --bin lapel-train -- train --wardrobe {{WARDROBE}} --backbone target/model/backbone.safetensors --out target/model

# Measure the shipped heads on the validation photos, as they are and recomposed, and edits (10 minutes).
measure WARDROBE:
    cargo run --release --bin lapel-train -- measure --wardrobe {{WARDROBE}} --recomposed --out target/measure

# Fine-tune AlexNet and train the heads of the paper's kind (about 45 minutes on 2 cores); a run that was cut off goes on.
# IMAGENET: AlexNet's weights with torchvision's names.
train-paper WARDROBE IMAGENET:
    cargo run --release --bin lapel-train -- train-paper --wardrobe {{WARDROBE}} --imagenet {{IMAGENET}}

# Train the example head of the paper's kind, for sport prints.
train-sport WARDROBE:
    cargo run --release --bin lapel-train -- train-paper --wardrobe {{WARDROBE}} --heads sport
    mv heads/bundles/alexnet/sport.safetensors examples/heads/

# Train the example head on the shipped backbone, for seasons, from one photo in four of a folder of labelled photos (about a
# minute on 2 cores); to be made anew with every new backbone.
train-season WARDROBE:
    mkdir -p target/season
    awk -v SHARE=4 -f examples/heads/season.awk {{WARDROBE}}/labels.csv > target/season/labels.csv
    ln -sfn "$(realpath {{WARDROBE}}/images)" target/season/images
    cargo run --release --bin lapel-train -- train --wardrobe target/season --heads season --out target/season/head
    cp target/season/head/season.safetensors examples/heads/

# Train and measure the paper's systems beside Lapel, frozen and fine-tuned, three seeds (about 25 minutes on 2 idle cores once
# the photos' vectors are in cache/); writes target/compare/report.html and tables.md. WEIGHTS: EfficientNet-Lite0 as published.
compare WARDROBE WEIGHTS:
    cargo run --release --bin lapel-train -- compare --wardrobe {{WARDROBE}} --rendered 0 --frozen {{WEIGHTS}} --out target/compare

# The same on rendered garments alone, one seed.
compare-rendered WEIGHTS:
    cargo run --release --bin lapel-train -- compare --rendered 2000 --rendered-test 2000 --seeds 1 --frozen {{WEIGHTS}} --out target/compare-rendered

# Measure the heads of the paper's kind (2 minutes); writes target/evaluate/report.html.
evaluate WARDROBE:
    cargo run --release --bin lapel-train -- evaluate --wardrobe {{WARDROBE}} --out target/evaluate

# Searches after wanted and unwanted picks beside Eq. 5 alone, by simulated shoppers, on photos and rendered garments.
picks WARDROBE:
    cargo run --release --bin lapel-train -- picks --wardrobe {{WARDROBE}} --out target/picks.json

# What heads are worth that a server teaches, beside lapel-train's on the same examples, and what its suggestions save; ARGS:
# --set-aside teaches from photos alone that the backbone was not tuned on.
taught WARDROBE *ARGS:
    cargo run --release --bin lapel-train -- taught --wardrobe {{WARDROBE}} --out target/taught.json {{ARGS}}

# How fast photos become signatures, stage by stage (2 minutes).
bench-embed *ARGS:
    cargo run --release --bin lapel-train -- bench-embed {{ARGS}}

# Recall and speed of the search, beside the exact scan in the same run (minutes), then the same over gRPC.
bench-search *ARGS:
    cargo run --release --bin lapel-server -- bench-search --changes --levels --hnsw --html target/bench-search.html {{ARGS}}
    cargo build --release -p lapel-tests --features measure --bins
    target/release/lapel-bench-grpc

# Every size, number of heads and change that docs/figures.md reports, on a seed of its own (about an hour).
bench-search-all:
    cargo build --release --workspace --features lapel-tests/measure --bins
    for heads in 6 13; do for items in 20000 100000 1000000; do \
      target/release/lapel-server bench-search --items $items --heads $heads --seed $((items / 1000 + heads)) --changes; \
      target/release/lapel-server bench-search --items $items --heads $heads --seed $((items / 1000 + heads + 1)) --missing 0.3; \
    done; done
    target/release/lapel-bench-grpc

# Search by FAISS what `bench-search --write FOLDER` wrote, as `bench-search --fast-scan` does by itself (minutes).
faiss-rows FOLDER:
    python3 -m venv target/faiss-rows
    target/faiss-rows/bin/pip install --quiet --requirement tests/python/faiss_rows.txt
    target/faiss-rows/bin/python tests/python/faiss_rows.py {{FOLDER}}

# Check licences, sources and advisories; the last come from the network. Needs `cargo install cargo-deny`.
deny:
    cargo deny check

# Kill a server at random points of a mixed load, with a seed of its own each time (POINTS: how many).
crash POINTS="2000":
    LAPEL_CRASH_POINTS={{POINTS}} cargo test --release -p lapel-tests --test crash acknowledged -- --nocapture

# Kill a server at random points of teaching a head, with a seed of its own each time (POINTS: how many).
crash-teaching POINTS="500":
    LAPEL_TEACHING_POINTS={{POINTS}} cargo test --release -p lapel-tests --test crash teaching -- --nocapture

# Let every step fail once that makes something durable (POINTS: or so many of them).
fault POINTS="1000000":
    LAPEL_FAULT_POINTS={{POINTS}} cargo test --release -p lapel-tests --test server failing_steps -- --nocapture

# Random operations against plain maps (OPERATIONS: how many).
model OPERATIONS="1000000":
    LAPEL_MODEL_OPERATIONS={{OPERATIONS}} cargo test --release -p lapel-tests --test model -- --nocapture

# What a backfill costs the queries beside it, and how fast it is, with the feature cache and without (10 minutes).
bench-backfill *ARGS:
    cargo build --release -p lapel-tests --features measure --bins
    target/release/lapel-bench-backfill {{ARGS}}

# How long it takes to teach a head 20 examples of 5 labels on 20,000 items, until it serves, and what that costs the searches
# beside it (minutes, most of them to store the items; --data FOLDER keeps these, --cold: also without the feature cache).
bench-teach *ARGS:
    cargo build --release -p lapel-tests --features measure --bins
    target/release/lapel-bench-backfill --teach {{ARGS}}

# Durable updates of price and stock a second, and what they cost the searches beside them (2 minutes).
bench-updates *ARGS:
    cargo build --release -p lapel-tests --features measure --bins
    target/release/lapel-bench-updates {{ARGS}}

# Pass the searches' tests for 64-bit ARM in an emulator: needs that target of rustup's, and Debian's g++-aarch64-linux-gnu and qemu-user.
arm *ARGS:
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
      CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu" \
      cargo test --release -p lapel-search --target aarch64-unknown-linux-gnu {{ARGS}}

# A mixed load for half an hour, with the server's memory and open files watched.
soak *ARGS:
    cargo build --release -p lapel-tests --features measure --bins
    target/release/lapel-soak {{ARGS}}

# Strangers of every kind beside a steady load of good searches, for an hour (--seconds): none of these fails, their p99 at most
# doubles, memory stays within its bound, and ten seconds after the strangers have left everything is as before.
hostile *ARGS:
    cargo build --release -p lapel-tests --features measure --bins
    target/release/lapel-hostile {{ARGS}}

# Coverage-guided fuzzing of everything that is read from outside (SECONDS: for each target). Needs `cargo install
# cargo-fuzz`; what it finds of interest is kept in fuzz/found, what it breaks in fuzz/artifacts.
fuzz SECONDS="600" TARGETS="image bundle onnx requests config dataset":
    for target in {{TARGETS}}; do \
      mkdir -p fuzz/found/$target; \
      RUSTC_BOOTSTRAP=1 TMPDIR=/dev/shm cargo fuzz run --features onnx $target fuzz/found/$target fuzz/corpus/$target -- \
        -max_total_time={{SECONDS}} -timeout=180 -rss_limit_mb=6000 -max_len=16384 || exit 1; \
    done

# Offer a server four times the searches by photo that it can take, and leave 500 searches by photos of 40 megapixels alone
# (5 minutes).
overload:
    cargo test --release -p lapel-tests --test overload -- --ignored --nocapture
