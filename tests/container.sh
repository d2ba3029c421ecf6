#!/usr/bin/env bash
# Really builds the image, then runs it as its user on a read-only root: its model loads, a photograph becomes an
# embedding, its health check and its metrics answer. Shows the sizes.
#   tests/container.sh [cpu|cuda]     needs root, buildah and mmdebstrap; half an hour on two cores
# The base is made from this machine's own package sources, so no image registry is asked.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${1:-cpu}

scratch=$(mktemp -d)
container=
cleanup() {
  [[ -z $container ]] || buildah rm "$container" >/dev/null
  rm -rf "$scratch"
}
trap cleanup EXIT
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot

echo "container: a base of Debian 12"
cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources 2>/dev/null >"$scratch/sources" || true
mmdebstrap --quiet --variant=minbase --include=ca-certificates bookworm "$scratch/base.tar" "$scratch/sources"
base=$(buildah from scratch)
buildah add --quiet "$base" "$scratch/base.tar" / >/dev/null
buildah config --cmd bash "$base"
buildah commit --quiet --rm "$base" tome-base >/dev/null

# pip inside trusts whom this machine trusts.
printf '[global]\ncert = /run/certificates.pem\n' >"$scratch/pip.conf"
echo "container: building the target $target"
buildah build --quiet --format docker --target "$target" --file deploy/Dockerfile \
  --ignorefile deploy/Dockerfile.dockerignore --build-arg BASE=localhost/tome-base \
  --build-arg REVISION="$(git rev-parse HEAD)" \
  --volume /etc/ssl/certs/ca-certificates.crt:/run/certificates.pem:ro --volume "$scratch/pip.conf:/etc/pip.conf:ro" \
  --tag "tome-server:test-$target" . >/dev/null

container=$(buildah from "localhost/tome-server:test-$target")
root=$(buildah mount "$container")
deploy/random_checkpoint.py "$scratch/models/default"

echo "container: what is not to be in it"
found=$(find "$root" \( -name '*.a' -o -name 'cc1*' -o -name 'python3*' -o -name 'libtorch_cuda*' \) -printf '%P\n')
[[ -z $found ]] || { echo "container: unexpected: $found" >&2; exit 1; }
test -s "$root/usr/share/doc/tome/sbom.cdx.json"
buildah inspect --type image "localhost/tome-server:test-$target" >"$scratch/image.json"
python3 - "$scratch/image.json" <<'PYTHON'
import json, sys

config = json.load(open(sys.argv[1]))["Docker"]["config"]
assert config["User"] == "65532:65532", config["User"]
assert config["Entrypoint"] == ["tome-server"], config["Entrypoint"]
assert config["Healthcheck"]["Test"][-1] == "health", config["Healthcheck"]
assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0", config["Labels"]
PYTHON

echo "container: running it as user 65532 on a read-only root"
unshare --mount --propagation private bash -euo pipefail -s "$root" "$scratch" "$target" <<'INSIDE'
root=$1 scratch=$2 target=$3
mount --bind "$root" "$root"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/mnt"
mkdir -p "$root/mnt/models" "$root/mnt/photos"
chmod 755 "$root/mnt"
cp -R "$scratch/models/." "$root/mnt/models"
cp deploy/photos/*.jpg "$root/mnt/photos"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount -o remount,ro,bind "$root"
inside=(chroot --userspec=65532:65532 "$root" /usr/bin/env -i PATH=/opt/tome/bin:/usr/bin:/bin)
"${inside[@]}" tome-server --model default=/mnt/models/default --listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0 \
  --drain-delay 0s >"$scratch/log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" || { cat "$scratch/log" >&2; exit 1; }' EXIT
until grep -q ' serving ' "$scratch/log"; do
  kill -0 "$server" 2>/dev/null || exit 1
  sleep 0.5
done
listen=$(sed -n 's/.* serving .*listen=\([^ ]*\).*/\1/p' "$scratch/log")
metrics=$(sed -n 's/.* serving .*metrics=\([^ ]*\).*/\1/p' "$scratch/log")
"${inside[@]}" tome --server "$listen" health
"${inside[@]}" tome --server "$listen" embed /mnt/photos --out /tmp/vectors.jsonl
python3 -c 'import sys, urllib.request; print(urllib.request.urlopen(f"http://{sys.argv[1]}/metrics").read().decode())' "$metrics" |
  grep 'tome_images_total{code="OK"'
INSIDE

echo "container: sizes of the target $target"
du -sh --total "$root/opt/tome/lib" "$root/opt/tome/bin" "$root/usr" "$root" | sed "s#$root#/#"
