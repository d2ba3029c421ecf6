#!/usr/bin/env bash
# Tests and times the CUDA engine on a machine with a GPU, from programs that were built elsewhere: such a machine needs
# no compiler, gRPC or network, only Python with torch 2.11.0+cu130 (whose CUDA libraries serve), timm, and the driver.
#   tests/gpu.sh pack                where it was built: gathers programs and libraries in build/gpu, below 64 MiB
#   tests/gpu.sh [PART...] [-- MODEL...]
#                                    where the GPU is, with this checkout and build/gpu: runs the parts, all by default,
#                                    within 8 minutes; a MODEL is one of cuda_bench's
#     tests      every kernel and the whole engine against the CPU
#     sanitizer  the kernels' tests under compute-sanitizer, where it is installed
#     bench      the engine's benchmark
#     peers      the same models in PyTorch: eager, torch.compile, Token Merging
# Logs, lines of JSON and the tables of RESULTS.md go to $OUT, by default build/gpu/out.
set -uo pipefail
cd "$(dirname "$0")/.."

here=build/gpu

pack() {
  set -e
  rm -rf "$here"
  mkdir -p "$here/bin" "$here/lib"
  local program
  for program in libtome_cuda.so tome_kernels_gpu_test tome_kernels_bench tome_engine_gpu_test tome_cuda_bench; do
    strip -g -o "$here/bin/$program" "build/release/bin/$program"
  done
  # Of what the programs link, Debian's own; LibTorch and CUDA's libraries are torch's there.
  ldd "$here"/bin/* | awk '$3 ~ /\/lib(absl_|spdlog|fmt|crypto)/ {print $3}' | sort -u | xargs -I{} cp -L {} "$here/lib/"
  du -sh "$here"
}

# part NAME SECONDS COMMAND...: its output goes to a log; the verdict is printed.
verdicts=()
failed=false
part() {
  local name=$1 limit=$2 begun=$SECONDS code=0
  shift 2
  timeout "$limit" "$@" >"$out/$name.txt" 2>"$out/$name.err" || code=$?
  verdicts+=("$(printf '%-12s exit %d after %d s' "$name" "$code" $((SECONDS - begun)))")
  ((code == 0)) || failed=true
}

if [[ ${1-} == pack ]]; then
  pack
  exit
fi
case "${1-}" in -h | --help) sed -n '2,13s/^# \?//p' "$0"; exit 0 ;; esac

parts=()
while (($#)) && [[ $1 != -- ]]; do
  parts+=("$1")
  shift
done
if (($#)); then shift; fi
models=("$@")
((${#parts[@]})) || parts=(tests sanitizer bench peers)

out=${OUT:-$here/out}
mkdir -p "$out"
if ! torch=$(python3 -c 'import os, torch; print(os.path.dirname(torch.__file__))'); then
  echo "gpu: python3 has no torch, whose CUDA libraries are needed" >&2
  exit 1
fi
export LD_LIBRARY_PATH=$PWD/$here/lib:$torch/lib:$(dirname "$torch")/nvidia/cu13/lib
export OMP_WAIT_POLICY=passive

for name in "${parts[@]}"; do
  case "$name" in
    tests)
      part kernels 60 "$here/bin/tome_kernels_gpu_test" --gtest_brief=1
      part engine 150 "$here/bin/tome_engine_gpu_test" --gtest_brief=1
      ;;
    sanitizer)
      if command -v compute-sanitizer >/dev/null; then
        part memcheck 60 compute-sanitizer --error-exitcode 9 "$here/bin/tome_engine_gpu_test" --gtest_brief=1 \
          --gtest_filter='*SessionTest*'
        part racecheck 60 compute-sanitizer --tool racecheck --error-exitcode 9 "$here/bin/tome_engine_gpu_test" \
          --gtest_brief=1 --gtest_filter='*SessionTest*BatchMates*'
      else
        verdicts+=("sanitizer    skipped: compute-sanitizer is not installed")
      fi
      ;;
    bench) part bench 150 "$here/bin/tome_cuda_bench" "$here/bin/libtome_cuda.so" ${models[@]+"${models[@]}"} ;;
    peers) part peers 200 env PYTHONUNBUFFERED=1 python3 tests/bench/gpu_peers.py --seconds 60 ;;
    *)
      echo "gpu: no part $name; there are tests, sanitizer, bench and peers" >&2
      exit 2
      ;;
  esac
done

lines=()
for name in bench peers; do [[ -f $out/$name.txt ]] && lines+=("$out/$name.txt"); done
if ((${#lines[@]})); then python3 tests/bench/gpu_report.py "${lines[@]}" | tee "$out/tables.md"; fi
printf '\n'
for name in kernels engine memcheck racecheck; do
  [[ -f $out/$name.txt ]] && grep -E 'FAILED|Failure|ERROR SUMMARY|RACECHECK SUMMARY|PASSED|SKIPPED' "$out/$name.txt" | sort | uniq -c | tail -n 12
done
printf '%s\n' "${verdicts[@]}"
if $failed; then exit 1; fi
