#!/bin/sh
# The setup script of .config/nextest.toml, run at the root of the workspace. `cargo run` alone
# would do, but waits for any other build of the same target folder even when nothing is to build.
program=${CARGO_TARGET_DIR:-target}/debug/testkit-servers
if [ -x "$program" ] &&
    [ -z "$(find crates/testkit/src crates/testkit/Cargo.toml -newer "$program" -print -quit)" ]; then
    exec "$program" nextest-setup
fi
# The features of the whole workspace, or every later build would find other ones and start anew.
cargo build --quiet --workspace --bin testkit-servers
exec "$program" nextest-setup
