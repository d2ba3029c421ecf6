#!/usr/bin/env bash
# Really builds the image, then runs it as its user on a read-only root: the model in it loads, photographs become
# embeddings, its health check and its metrics answer. Shows the sizes.
#   tests/container.sh [cpu|cuda]     needs root, buildah and mmdebstrap; a quarter of an hour on two cores
# The base is made from this machine's own package sources, so no image registry is asked. Base and layers stay for the
# next run: `buildah rmi --all` removes them. STORAGE_DRIVER=vfs where the kernel has no overlay file system.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${1:-cpu}
export STORAGE_DRIVER=${STORAGE_DRIVER:-overlay} BUILDAH_ISOLATION=chroot

scratch=$(mktemp -d)
container=
cleanup() {
  [[ -z $container ]] || buildah rm "$container" >/dev/null
  rm -rf "$scratch"
}
trap cleanup EXIT

# As Debian's slim image: no manuals, no translations, of the documentation the licences; /usr merged beforehand, since
# merging it takes Perl.
make_base() {
  local sources=() file
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
    [[ ! -s $file ]] || sources+=("$file")
  done
  mmdebstrap --quiet --variant=minbase --include=ca-certificates,usr-is-merged \
    --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    bookworm "$scratch/base.tar" ${sources[@]+"${sources[@]}"} >"$scratch/base.log" 2>&1 ||
    { tail -n 40 "$scratch/base.log" >&2; return 1; }
  local base
  base=$(buildah from scratch)
  buildah add --quiet "$base" "$scratch/base.tar" / >/dev/null
  buildah config --cmd bash "$base"
  buildah commit --quiet --rm "$base" tome-base >/dev/null
  rm "$scratch/base.tar"
}
if ! buildah inspect --type image localhost/tome-base >/dev/null 2>&1; then
  echo "container: a base of Debian 12"
  make_base
fi

# pip inside trusts whom this machine trusts.
printf '[global]\ncert = /run/certificates.pem\n' >"$scratch/pip.conf"
echo "container: building the target $target"
buildah build --layers --format docker --target "$target" --file deploy/Dockerfile \
  --ignorefile deploy/Dockerfile.dockerignore --build-arg BASE=localhost/tome-base \
  --build-arg REVISION="$(git rev-parse HEAD)" \
  --volume /etc/ssl/certs/ca-certificates.crt:/run/certificates.pem:ro --volume "$scratch/pip.conf:/etc/pip.conf:ro" \
  --tag "tome-server:test-$target" . >"$scratch/build.log" 2>&1 || { tail -n 40 "$scratch/build.log" >&2; exit 1; }

container=$(buildah from "localhost/tome-server:test-$target")
root=$(buildah mount "$container")

echo "container: what is in it and what is not"
buildah inspect --type image "localhost/tome-server:test-$target" >"$scratch/image.json"
tests/container_contents.py "$target" "$root" "$scratch/image.json"

echo "container: running it as user 65532 on a read-only root"
unshare --mount --propagation private bash -euo pipefail -s "$root" "$scratch" "$target" <<'INSIDE'
root=$1 scratch=$2 target=$3
mount --bind "$root" "$root"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/mnt"
mkdir -p "$root/mnt/photos"
chmod 755 "$root/mnt"
cp deploy/photos/*.jpg "$root/mnt/photos"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount -o remount,ro,bind "$root"
inside=(chroot --userspec=65532:65532 "$root" /usr/bin/env -i PATH=/opt/tome/bin:/usr/bin:/bin)
"${inside[@]}" tome-server --listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0 --drain-delay 0s >"$scratch/log" 2>&1 &
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

if [[ $target == cuda && ! -e /dev/nvidiactl ]]; then
  echo "container: without a driver --device cuda says so and ends"
  timeout 60 "${inside[@]}" tome-server --listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0 --device cuda \
    >"$scratch/refused" 2>&1 || true
  grep 'cannot start.*NVIDIA driver' "$scratch/refused" || { cat "$scratch/refused" >&2; exit 1; }
fi
INSIDE

echo "container: sizes of the target $target"
du -sh --total "$root/opt/tome/lib" "$root/opt/tome/bin" "$root/usr" "$root" | sed "s#$root#/#"
