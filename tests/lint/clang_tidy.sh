#!/usr/bin/env bash
# clang-tidy over every source of ours, with the compile commands of a build folder made by the clang preset.
#   tests/lint/clang_tidy.sh BUILD_FOLDER [FILE...]
set -euo pipefail
cd "$(dirname "$0")/../.."
build=$1
shift
if (($#)); then files=("$@"); else mapfile -t files < <(git ls-files 'server/*.cc' 'client/*.cc'); fi
printf '%s\n' "${files[@]}" | xargs -n 1 -P "$(nproc)" clang-tidy --quiet -p "$build"
