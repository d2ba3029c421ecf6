#!/usr/bin/env bash
# Installs what a build needs on Debian 12: its packages and LibTorch in .deps/torch. Run again, it only looks.
#   deploy/setup.sh            what building and running needs
#   deploy/setup.sh PACKAGE... these Debian packages as well (tests/run.sh passes those of the tests)
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  ca-certificates cmake g++ ninja-build pkg-config python3 python3-pip
  libabsl-dev libcli11-dev libgrpc++-dev libjpeg62-turbo-dev libpng-dev libprotobuf-dev libspdlog-dev
  libssl-dev libtomlplusplus-dev nlohmann-json3-dev prometheus-cpp-dev protobuf-compiler protobuf-compiler-grpc
  zlib1g-dev
  "$@"
)

# Fails with the line to run where neither root nor sudo is at hand.
install_packages() {
  local missing=() package
  for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  local run=()
  if ((EUID != 0)); then
    if ! command -v sudo >/dev/null; then
      echo "Missing Debian packages. As root, run:" >&2
      echo "  apt-get update && apt-get install --no-install-recommends -y ${missing[*]}" >&2
      return 1
    fi
    run=(sudo)
  fi
  echo "setup: installing ${missing[*]}"
  "${run[@]}" apt-get update -qq
  "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
}

# Of the wheel (1.5 GB unpacked) only headers and CPU libraries are kept. The stamp is written last, so that an
# interrupted run starts over.
install_libtorch() {
  local stamp=.deps/torch/installed
  cmp -s deploy/libtorch.txt "$stamp" && return 0
  echo "setup: fetching LibTorch into .deps/torch (550 MB)"
  rm -rf .deps/torch .deps/wheels
  mkdir -p .deps/torch .deps/wheels
  # The wheel is for CPython 3.11 whatever Python runs pip: only its C++ side is used.
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: \
    --python-version 3.11 --platform manylinux_2_28_x86_64 --platform manylinux_2_25_x86_64 \
    --platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 \
    --dest .deps/wheels --requirement deploy/libtorch.txt
  python3 - .deps/wheels .deps/torch <<'PYTHON'
import pathlib, re, sys, zipfile

keep = re.compile(r"torch/(include/|lib/(libtorch_cpu|libc10|libgomp)\.so)|nvidia/cu13/lib/lib(cudart|cupti)\.so|.*dist-info/licenses?/")
for wheel in pathlib.Path(sys.argv[1]).glob("*.whl"):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if keep.match(name):
                archive.extract(name, sys.argv[2])
PYTHON
  rm -rf .deps/wheels
  cp deploy/libtorch.txt "$stamp"
}

if [[ "$(uname -sm)" != "Linux x86_64" ]]; then
  echo "setup: LibTorch's pinned wheel is for Linux on x86_64, this is $(uname -sm)" >&2
  exit 1
fi
install_packages
install_libtorch
