#!/usr/bin/env bash
# Builds libFuzzer's targets and runs each for some seconds, side by side; a finding fails, and its input stays.
#   tests/fuzz/run.sh [SECONDS]     60 unless told
# They start from the committed files: tests/fuzz/corpus/TARGET and, for pictures, tests/image/testdata. What they find
# beyond is kept in build/fuzz/corpus/TARGET for the next run. Needs clang and libclang-rt-14-dev.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${1:-60}
targets=(image safetensors)
build=build/fuzz

fuzz() {
  local target=$1 found=$build/corpus/$1
  local seeds=("tests/fuzz/corpus/$target")
  [[ $target != image ]] || seeds+=(tests/image/testdata/decode tests/image/testdata/refused)
  mkdir -p "$found"
  "$build/bin/tome_${target}_fuzz" -max_total_time="$seconds" -max_len=16384 -rss_limit_mb=1024 -timeout=20 \
    -print_final_stats=1 -artifact_prefix="$build/$target-" "$found" "${seeds[@]}" >"$build/$target.log" 2>&1
}

cmake --preset fuzz >/dev/null
cmake --build --preset fuzz --target tome_image_fuzz tome_safetensors_fuzz -- --quiet
runs=()
for target in "${targets[@]}"; do
  fuzz "$target" &
  runs+=($!)
done
failed=0
for i in "${!targets[@]}"; do
  log=$build/${targets[i]}.log
  if wait "${runs[i]}"; then
    printf '%-12s %s\n' "${targets[i]}" "$(grep 'DONE' "$log" | tail -n 1)"
  else
    failed=1
    echo "${targets[i]}: found something; its input is $build/${targets[i]}-*"
    tail -n 60 "$log"
  fi
done
exit "$failed"
