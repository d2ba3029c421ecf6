"""For each overlay an empty cluster: etcd and kube-apiserver on loopback, with the operators' resource definitions."""

import os
import pathlib
import subprocess
import sys
import time

import pytest
import yaml
from manifests import OVERLAYS, ROOT, Manifests

# Where run.sh puts what it builds.
BUILT = ROOT / "build/apiserver"
ETCD = "http://127.0.0.1:2379"


class Cluster:
    """An API and no node or controller behind it. `overlay` is the one to be put into it."""

    def __init__(self, folder, overlay, processes):
        self.overlay = overlay
        self._folder = folder
        self._processes = processes
        self._kubectl = [pathlib.Path(sys.executable).with_name("kubectl"), "--server", "https://127.0.0.1:6443"]
        self._kubectl += ["--token", "test", "--insecure-skip-tls-verify", f"--cache-dir={folder / 'cache'}"]

    def kubectl(self, *arguments, given=None):
        """Runs kubectl with `given` as its standard input; a warning is a failure."""
        return subprocess.run(
            [*self._kubectl, *arguments, "--warnings-as-errors"],
            input=given, capture_output=True, text=True, timeout=120, env={**os.environ, "KUBECONFIG": os.devnull},
        )  # fmt: skip

    def apply(self, manifests, *arguments):
        return self.kubectl("apply", "--server-side", "--filename", "-", *arguments, given=manifests)

    def _processes_run(self):
        return all(process.poll() is None for process in self._processes)

    def await_answer(self, *arguments):
        """Returns once kubectl succeeds."""
        deadline = time.monotonic() + 120
        while (asked := self.kubectl(*arguments)).returncode != 0:
            assert time.monotonic() < deadline and self._processes_run(), f"{asked.stderr}\nlogs are in {self._folder}"


@pytest.fixture(scope="session", params=OVERLAYS)
def cluster(request, tmp_path_factory):
    """With the overlay's namespace: nothing can be put into one that is not there, not even in a dry run."""
    folder = tmp_path_factory.mktemp("cluster")
    key = folder / "service-account.key"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    (folder / "tokens.csv").write_text("test,test,test,system:masters\n")
    etcd = ["etcd", f"--data-dir={folder / 'etcd'}", f"--listen-client-urls={ETCD}", f"--advertise-client-urls={ETCD}"]
    etcd += ["--listen-peer-urls=http://127.0.0.1:2380"]
    api = [BUILT / "kube-apiserver", f"--etcd-servers={ETCD}", "--bind-address=127.0.0.1", f"--cert-dir={folder}"]
    # No other server is to find it, so its address may be loopback.
    api += ["--endpoint-reconciler-type=none", "--advertise-address=127.0.0.1"]
    api += ["--service-cluster-ip-range=10.0.0.0/24", "--authorization-mode=RBAC"]
    api += [f"--token-auth-file={folder / 'tokens.csv'}", "--service-account-issuer=https://kubernetes.default.svc"]
    api += [f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}"]

    started = []
    try:
        for command in (etcd, api):
            with (folder / f"{pathlib.Path(command[0]).name}.log").open("w") as log:
                started.append(subprocess.Popen(command, stdout=log, stderr=log))
        cluster = Cluster(folder, request.param, started)
        cluster.await_answer("get", "--raw", "/readyz")
        definitions = [path.read_text() for path in sorted((BUILT / "definitions").glob("*.yaml"))]
        for manifest in (*definitions, yaml.safe_dump(Manifests(request.param).one("Namespace"))):
            applied = cluster.apply(manifest)
            assert applied.returncode == 0, applied.stderr
        cluster.await_answer("get", "--all-namespaces", "scaledobjects,podmonitors,prometheusrules")
        yield cluster
    finally:
        # Nothing of it is kept, and a gentle end waits a minute for watches.
        for process in started:
            process.kill()
        for process in started:
            process.wait(timeout=60)
