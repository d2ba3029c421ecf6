#!/usr/bin/env bash
# A rolling restart without Kubernetes: three servers, each in a network namespace of its own, behind one DNS name.
#   tests/rolling/run.sh [PYTHON]     needs root, iproute2 and dnsmasq; PYTHON is that of the tests' environment
# All of it lives in a network and mount namespace of this script, and is gone when it ends.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [[ ${1-} != --inside ]]; then
  exec unshare --net --mount --propagation private tests/rolling/run.sh --inside "${1:-.deps/tests/bin/python}"
fi
python=$2

ip link set lo up
ip link add tome0 type bridge
ip address add 10.77.0.1/24 dev tome0
ip link set tome0 up

mkdir -p /run/netns
mount -t tmpfs tmpfs /run/netns
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for number in 1 2 3; do
  ip netns add "server$number"
  ip link add "tome$number" type veth peer name eth0 netns "server$number"
  ip link set "tome$number" master tome0 up
  ip -n "server$number" address add "10.77.0.1$number/24" dev eth0
  ip -n "server$number" link set eth0 up
  ip -n "server$number" link set lo up
  echo "10.77.0.1$number tome.test" >>"$scratch/hosts"
done

echo "nameserver 127.0.0.1" >"$scratch/resolv.conf"
mount --bind "$scratch/resolv.conf" /etc/resolv.conf
dnsmasq --keep-in-foreground --no-resolv --no-hosts --addn-hosts="$scratch/hosts" --listen-address=127.0.0.1 \
  --bind-interfaces --user=root --pid-file --log-facility=- &
dns=$!
trap 'kill "$dns"; wait "$dns" || true; rm -rf "$scratch"' EXIT

"$python" -m pytest -q tests/rolling
