#!/usr/bin/env bash
# Times the CPU engine and the server beside their peers on this machine, and writes what came out into RESULTS.md and its plots.
#   tests/bench/run.sh [--short] [PART...]
#     peers    the engine beside PyTorch eager, torch.compile, ONNX Runtime, OpenVINO and Token Merging in PyTorch (30 minutes)
#     profile  what a pass of the engine spends on each stage, by perf
#     savings  merging beside dropping tokens at random, each saving of the engine, and batches of new plans (15 minutes)
#     server   tome-server under load beside infinity-emb (15 minutes)
#     report   the tables and plots of what the parts left in build/bench/lines.jsonl
# Without a PART all of them, from a clean sheet; a PART that is named adds to what is there. --short shows in minutes that all of it
# runs. The machine has to be idle. The peers' Python packages (6 GB) go into .deps/bench.
set -euo pipefail
cd "$(dirname "$0")/../.."

short=false
if [[ ${1-} == --short ]]; then
  short=true
  shift
fi
for part; do
  case "$part" in
    peers | profile | savings | server | report) ;;
    *) sed -n '2,12s/^# \?//p' "$0"; [[ $part == --help || $part == -h ]] && exit 0; exit 2 ;;
  esac
done

lines=build/bench/lines.jsonl
mkdir -p build/bench
if (($# == 0)); then
  set -- peers profile savings server report
  rm -f "$lines"
fi

# bfloat16 where the processor multiplies it: elsewhere every peer computes float32 anyway.
dtypes=(float32)
if grep -q avx512_bf16 /proc/cpuinfo; then dtypes+=(bfloat16); fi

python=.deps/bench/bin/python
install() {
  deploy/setup.sh libbenchmark-dev libgmock-dev libgtest-dev linux-perf python3-venv
  if ! cmp -s tests/bench/requirements.txt .deps/bench/installed; then
    python3 -m venv --clear .deps/bench
    "$python" -m pip install --quiet --disable-pip-version-check --requirement tests/bench/requirements.txt
    cp tests/bench/requirements.txt .deps/bench/installed
  fi
  cmake --preset release -DTOME_BUILD_TESTS=ON >/dev/null
  cmake --build --preset release --target tome tome-server tome_engine_worker tome_cpu_bench tome_cpu_drop_bench -- --quiet
}

peers() {
  if $short; then
    "$python" tests/bench/cpu_peers.py "$lines" --dtype "${dtypes[@]}" --models Ti/16 --rounds 1 --seconds 0.1
  else
    "$python" tests/bench/cpu_peers.py "$lines" --dtype "${dtypes[@]}"
  fi
}

profile() {
  if $short; then
    "$python" tests/bench/cpu_profile.py "$lines" --dtype "${dtypes[@]}" --models Ti/16 --batches 1 --seconds 1
  else
    "$python" tests/bench/cpu_profile.py "$lines" --dtype "${dtypes[@]}"
  fi
}

savings() {
  if $short; then
    "$python" tests/bench/cpu_savings.py "$lines" --dtype "${dtypes[@]}" --models Ti16 --rounds 1
  else
    "$python" tests/bench/cpu_savings.py "$lines" --dtype "${dtypes[@]}"
  fi
}

server() {
  if $short; then
    "$python" tests/bench/server_load.py "$lines" --rounds 1 --window 1 --max-duration 3 --loads 0.5 0.7
  else
    "$python" tests/bench/server_load.py "$lines"
  fi
}

report() { "$python" tests/bench/cpu_report.py "$lines" "tests/bench/run.sh"; }

install
for part; do "$part"; done
