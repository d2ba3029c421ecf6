#!/usr/bin/env bash
# Writes the messages again: client/python/src/tome_client/v1/embedding_pb2.py and .pyi, or below the folder given.
#   client/python/generate.sh [FOLDER]
# They are committed, so that pip needs no protoc. Debian 12's protoc 3.21 makes them: code of a newer one refuses the
# older protobuf runtimes that the package supports (majors 4 to 7).
set -euo pipefail
cd "$(dirname "$0")/../../proto"

out=${1-../client/python/src/tome_client/v1}
version=$(protoc --version)
if [[ $version != "libprotoc 3.21."* ]]; then
  echo "generate: protoc 3.21 is needed, this is $version" >&2
  exit 1
fi
generated=$(mktemp -d)
trap 'rm -rf "$generated"' EXIT
protoc -I. -Ithird_party --python_out="$generated" --pyi_out="$generated" tome/v1/embedding.proto
# The module's place in the package, by which pickle finds its messages.
sed -i "s/'tome\.v1\.embedding_pb2'/'tome_client.v1.embedding_pb2'/" "$generated/tome/v1/embedding_pb2.py"
cp "$generated"/tome/v1/embedding_pb2.py* "$out"
