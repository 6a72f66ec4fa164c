//! Behaviour of a real server over gRPC: one binary, since each takes a minute to compile and link. `cargo test --release -p
//! lapel-tests --test server NAME` runs the tests of one module.

mod answers;
mod bad_input;
mod bounds;
mod caches;
mod describe;
mod distance;
mod durability;
mod edits;
mod fault;
mod faults;
mod fields;
mod filters;
mod generations;
mod groups;
mod heads;
mod health;
mod pages;
mod picks;
mod pictures;
mod predicted;
mod profiles;
mod reach;
mod real_clothes;
mod recovery;
mod relabel;
mod search;
mod security;
mod shares;
mod shop;
mod strangers;
mod taught;
mod teach;
mod traces;
mod transformers;
mod versions;
