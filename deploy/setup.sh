#!/usr/bin/env bash
# Installs what a build needs on Debian 12: its packages and LibTorch in .deps/torch. Run again, it only looks.
#   deploy/setup.sh                     what building and running on the CPU needs
#   deploy/setup.sh --cuda [PACKAGE...] nvcc and the CUDA libraries in .deps/cuda as well, for the engine on GPUs
#   deploy/setup.sh [PACKAGE...]        these Debian packages as well (tests/run.sh passes those of the tests)
set -euo pipefail
cd "$(dirname "$0")/.."

cuda=false
if [[ ${1-} == --cuda ]]; then
  cuda=true
  shift
fi

packages=(
  ca-certificates cmake g++ ninja-build pkg-config python3 python3-pip
  libabsl-dev libcairo2-dev libcli11-dev libgrpc++-dev libjpeg62-turbo-dev libpng-dev libprotobuf-dev libspdlog-dev
  libssl-dev libtomlplusplus-dev libwebp-dev nlohmann-json3-dev prometheus-cpp-dev protobuf-compiler
  protobuf-compiler-grpc zlib1g-dev
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

# install_wheels WHAT LIST FOLDER KEEP: of the wheels that LIST pins, the files whose names match KEEP, a regular
# expression. The stamp is written last, so that an interrupted run starts over.
install_wheels() {
  local what=$1 list=$2 folder=$3 keep=$4
  cmp -s "$list" "$folder/installed" && return 0
  echo "setup: fetching $what into $folder"
  rm -rf "$folder" .deps/wheels
  mkdir -p "$folder" .deps/wheels
  # The wheels are for CPython 3.11 whatever Python runs pip: only their C++ side is used.
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: \
    --python-version 3.11 --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 \
    --platform manylinux_2_25_x86_64 --platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 \
    --platform manylinux2010_x86_64 --dest .deps/wheels --requirement "$list"
  python3 - .deps/wheels "$folder" "$keep|.*dist-info/licenses?/" <<'PYTHON'
import pathlib, re, sys, zipfile

keep = re.compile(sys.argv[3])
for wheel in pathlib.Path(sys.argv[1]).glob("*.whl"):
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            if keep.match(entry.filename):
                path = pathlib.Path(archive.extract(entry, sys.argv[2]))
                if entry.external_attr >> 16 & 0o100:
                    path.chmod(0o755)  # extract() forgets which files are programs
PYTHON
  rm -rf .deps/wheels
}

# Of the wheel (1.5 GB unpacked) only headers and CPU libraries are kept.
install_libtorch() {
  install_wheels "LibTorch (550 MB)" deploy/libtorch.txt .deps/torch \
    'torch/(include/|lib/(libtorch_cpu|libc10|libgomp)\.so)|nvidia/cu13/lib/lib(cudart|cupti)\.so'
  cp deploy/libtorch.txt .deps/torch/installed
}

# nvcc, and of the libraries the two that the CUDA engine links. A toolkit of the machine's own comes first
# (deploy/cmake/Cuda.cmake).
install_cuda() {
  if command -v nvcc >/dev/null || [[ -x ${CUDA_PATH:-}/bin/nvcc ]]; then return 0; fi
  install_wheels "nvcc and the CUDA libraries (500 MB)" deploy/cuda.txt .deps/cuda \
    'nvidia/cu13/(bin|nvvm|include)/|nvidia/cu13/lib/lib((cudart|cublasLt)\.so|cudart_static|cudadevrt)'
  # The names that nvcc and linkers look for.
  ln -sfn lib .deps/cuda/nvidia/cu13/lib64
  ln -sfn libcudart.so.13 .deps/cuda/nvidia/cu13/lib/libcudart.so
  ln -sfn libcublasLt.so.13 .deps/cuda/nvidia/cu13/lib/libcublasLt.so
  cp deploy/cuda.txt .deps/cuda/installed
}

if [[ "$(uname -sm)" != "Linux x86_64" ]]; then
  echo "setup: LibTorch's pinned wheel is for Linux on x86_64, this is $(uname -sm)" >&2
  exit 1
fi
install_packages
install_libtorch
if $cuda; then install_cuda; fi
