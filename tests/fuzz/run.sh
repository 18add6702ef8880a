#!/usr/bin/env bash
# Fuzzes every target with libFuzzer, guided by coverage, then the front doors, each for so long.
#
#   run.sh SECONDS [TARGET…]    targets: the folders of crates/fuzz/corpus, and front-doors
#
# What it finds is kept in target/fuzz/found. An input that broke a target belongs into its corpus.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=$1
shift
targets=("$@")
if ((${#targets[@]} == 0)); then
    targets=($(ls crates/fuzz/corpus) front-doors)
fi
out=target/fuzz
mkdir -p "$out/found" "$out/corpus" "$out/log"

# As cargo-fuzz builds without a sanitizer: there is no unsafe code of ours, and so it needs no
# nightly compiler. With --target, what runs at build time is built without these.
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0" \
    cargo build --quiet --profile fuzz --target "$host" --target-dir "$out/build" \
    -p sallyport-tests --bin fuzzer
fuzzer=$out/build/$host/fuzz/fuzzer

broken=()
for target in "${targets[@]}"; do
    log=$out/log/$target.log
    if [[ $target == front-doors ]]; then
        cargo build --quiet -p identity -p otp-dispatch -p account-admin -p gateway -p sallyportctl
        FUZZ_SECONDS=$seconds FUZZ_SEED=$RANDOM \
            cargo test --quiet -p sallyport-tests --test fuzz -- --nocapture >"$log" 2>&1 || broken+=("$target")
        told=$(grep -E 'rounds with seed' "$log" || true)
    else
        mkdir -p "$out/corpus/$target"
        FUZZ_TARGET=$target "$fuzzer" "$out/corpus/$target" "crates/fuzz/corpus/$target" \
            -max_total_time="$seconds" -max_len=4096 -timeout=10 -print_final_stats=1 \
            -artifact_prefix="$out/found/$target-" >"$log" 2>&1 || broken+=("$target")
        told=$(sed -n 's/^stat::number_of_executed_units: *\([0-9]*\)/\1 inputs/p' "$log")
        told+=$(grep -oE 'cov: [0-9]+' "$log" | tail -1 | sed 's/cov:/, coverage/' || true)
    fi
    printf '%-18s %s\n' "$target" "${told:-nothing}"
done

for target in "${broken[@]}"; do
    printf '\n%s is broken; the end of %s:\n' "$target" "$out/log/$target.log"
    tail -n 30 "$out/log/$target.log"
done
((${#broken[@]} == 0))
