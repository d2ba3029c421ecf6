#!/usr/bin/env bash
# From a fresh Debian 12 to embeddings of real photographs: installs, builds, serves, asks, shows, stops.
#   deploy/quickstart.sh           prints a table of r against cost and similarity, then stops the server
#   deploy/quickstart.sh --serve   leaves the server running on 127.0.0.1:50051, metrics on 127.0.0.1:9464
#   deploy/quickstart.sh --cuda [--serve]   the same on the first GPU, in bfloat16; installs nvcc where it is missing
# Run again, it skips what is done.
set -euo pipefail
cd "$(dirname "$0")/.."

serve=false
cuda=false
for argument; do
  case "$argument" in
    --serve) serve=true ;;
    --cuda) cuda=true ;;
    *) sed -n '2,6s/^# \?//p' "$0"; [[ $argument == --help || $argument == -h ]] && exit 0; exit 2 ;;
  esac
done

setup=(deploy/setup.sh)
targets=(tome-server tome)
device=()
if $cuda; then
  setup+=(--cuda)
  targets+=(tome_cuda)
  device=(--device cuda --dtype bfloat16)
fi
"${setup[@]}"

echo "quickstart: building into build/release (minutes the first time)"
mkdir -p build
# A build folder that tests/run.sh or a developer configured keeps its tests.
configure=(cmake --preset release)
[[ -f build/release/CMakeCache.txt ]] || configure+=(-DTOME_BUILD_TESTS=OFF)
if $cuda; then configure+=(-DTOME_BUILD_CUDA=ON); fi
{
  "${configure[@]}"
  cmake --build --preset release --target "${targets[@]}"
} >build/quickstart-build.log 2>&1 || { tail -n 40 build/quickstart-build.log; echo "quickstart: the build failed" >&2; exit 1; }

echo "quickstart: serving the model that comes with the program (deploy/default_model)"
log=build/quickstart-server.log
listen=(--listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0 --drain-delay 0s)
if $serve; then listen=(--listen 127.0.0.1:50051 --metrics-listen 127.0.0.1:9464); fi
setsid build/release/bin/tome-server ${device[@]+"${device[@]}"} "${listen[@]}" </dev/null >"$log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true' EXIT

# The server says where it serves once it does.
until grep -q ' serving ' "$log"; do
  if ! kill -0 "$server" 2>/dev/null; then
    echo "quickstart: the server did not start:" >&2
    tail -n 5 "$log" >&2
    exit 1
  fi
  sleep 0.2
done
address=$(sed -n 's/.* serving .*listen=\([^ ]*\).*/\1/p' "$log")
metrics=$(sed -n 's/.* serving .*metrics=\([^ ]*\).*/\1/p' "$log")

echo
build/release/bin/tome --server "$address" compare deploy/photos --r 0,4,8,12,16 --repeat 3
echo
echo "A few of its metrics, from http://$metrics/metrics:"
python3 - "$metrics" <<'PYTHON'
import sys, urllib.request

shown = ("tome_requests_total{", "tome_tokens_total{", "tome_engine_busy_seconds_total{", "tome_batch_images_count")
for line in urllib.request.urlopen(f"http://{sys.argv[1]}/metrics", timeout=10).read().decode().splitlines():
    if line.startswith(shown) and not line.endswith(" 0"):
        print("  " + line)
PYTHON

if $serve; then
  trap - EXIT
  disown "$server"
  echo
  echo "quickstart: left running on $address (log in $log); stop it with: kill $server"
fi
