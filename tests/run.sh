#!/usr/bin/env bash
# Installs what the tests need and runs them: the default suite, or with --full what takes long as well.
#   tests/run.sh [--full]
# The Python packages of the tests (5 GB, of them PyTorch's CUDA set, which `import torch` wants) go into .deps/tests;
# PYTHON_TEST_ENV names another folder, which several clones can share.
set -euo pipefail
cd "$(dirname "$0")/.."

full=false
case "${1-}" in
  "") ;;
  --full) full=true ;;
  *) sed -n '2,5s/^# \?//p' "$0"; [[ $1 == --help || $1 == -h ]] && exit 0; exit 2 ;;
esac

environment=${PYTHON_TEST_ENV:-.deps/tests}
python=$environment/bin/python
jobs=$(nproc)
times=()

step() {
  local name=$1 begun=$SECONDS
  shift
  printf '\n== %s\n' "$name"
  "$@"
  times+=("$(printf '%5ds  %s' $((SECONDS - begun)) "$name")")
}

install() {
  deploy/setup.sh --cuda clang clang-format clang-tidy libclang-rt-14-dev libgmock-dev libgtest-dev \
    fish libbenchmark-dev openssl prometheus python3-venv zsh
  if ! cmp -s tests/requirements.txt "$environment/installed"; then
    python3 -m venv --clear "$environment"
    "$python" -m pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
    cp tests/requirements.txt "$environment/installed"
  fi
}

lint() {
  git ls-files '*.h' '*.cc' '*.cu' '*.cuh' | xargs clang-format --dry-run -Werror
  "$environment/bin/buf" lint proto
  "$environment/bin/buf" breaking proto --against proto/released_api.json
  "$python" -m mypy --config-file client/python/pyproject.toml --cache-dir=/dev/null client/python/src
  python3 tests/lint/include_table_test.py
}

# build PRESET [TARGET...]
build() {
  local preset=$1 shim=ON
  shift
  # The CUDA code on the host takes minutes to build and to run under a sanitizer.
  if [[ $preset == ?san ]] && ! $full; then shim=OFF; fi
  cmake --preset "$preset" -DTOME_BUILD_TESTS=ON -DTOME_TEST_CUDA_SHIM=$shim >/dev/null
  cmake --build --preset "$preset" ${1+--target "$@"} -- -j "$jobs" --quiet
}

unit() {
  local log=build/$1/tests.log
  ctest --preset "$1" --no-tests=error -j "$jobs" --quiet --output-log "$log" || {
    grep -A 60 -F '***' "$log"
    return 1
  }
  tail -n 4 "$log"
}

python_tests() { "$python" -m pytest -q --durations=5 "$@"; }

# The Python client's own tests with the protobuf runtimes that the other steps do not have.
protobuf_majors() {
  local version
  # pip builds where the source is, and takes what it finds of an earlier build.
  rm -rf build/python-client
  cp -r client/python build/python-client
  for version in 4.25.9 5.29.6 6.33.6; do
    local env=build/protobuf-$version
    python3 -m venv --clear "$env"
    "$env/bin/python" -m pip install --quiet --disable-pip-version-check "protobuf==$version" ./build/python-client \
      pytest==9.2.0 pytest-timeout==2.4.0
    "$env/bin/python" -m pytest -q tests/python/test_client.py
  done
}

rolling_restart() {
  deploy/setup.sh dnsmasq-base iproute2
  tests/rolling/run.sh "$python"
}

container() {
  deploy/setup.sh buildah mmdebstrap
  tests/container.sh cpu
  tests/container.sh cuda
}

cluster_admission() {
  deploy/setup.sh etcd-server iproute2 openssl python3-venv
  tests/apiserver/run.sh "$python"
}

step "install" install
step "lint" lint
step "release build" build release
step "unit tests" unit release
step "integration" python_tests tests/integration
step "Python client" python_tests tests/python
step "Python client, each protobuf" protobuf_majors
step "deployment" python_tests tests/deploy tests/k8s
step "parity with timm and transformers" python_tests tests/parity
step "AddressSanitizer build" build asan
step "AddressSanitizer tests" unit asan
step "fuzz targets, a minute each" tests/fuzz/run.sh 60
step "ThreadSanitizer build" build tsan
step "ThreadSanitizer tests" unit tsan
# The other rooms had clang's analysis in the AddressSanitizer build.
step "clang build of what needs LibTorch" build clang tome_model tome_engine tome_app
if $full; then
  step "rolling restart" rolling_restart
  step "container" container
  step "cluster admission" cluster_admission
  # Generated headers, too.
  step "clang build" build clang tome-server tome
  step "clang-tidy" tests/lint/clang_tidy.sh build/clang
fi

printf '\nAll passed:\n'
printf '%s\n' "${times[@]}"
