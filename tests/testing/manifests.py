"""The Kubernetes manifests as a cluster would get them: rendered by the pinned kustomize of kubectl."""

import functools
import json
import pathlib
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
OVERLAYS = sorted(path.parent.name for path in (ROOT / "k8s/overlays").glob("*/kustomization.yaml"))


@functools.cache
def rendered(folder):
    """The text that `kubectl apply --kustomize` would send for a folder of k8s/."""
    kubectl = pathlib.Path(sys.executable).with_name("kubectl")
    result = subprocess.run([kubectl, "kustomize", ROOT / "k8s" / folder], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout


class Manifests:
    """The objects of one overlay."""

    def __init__(self, overlay):
        self.objects = list(yaml.load_all(rendered(f"overlays/{overlay}"), yaml.CSafeLoader))

    def of_kind(self, kind):
        return [thing for thing in self.objects if thing["kind"] == kind]

    def one(self, kind):
        (thing,) = self.of_kind(kind)
        return thing

    def named(self, kind, name):
        (thing,) = [thing for thing in self.of_kind(kind) if thing["metadata"]["name"] == name]
        return thing

    @property
    def pod(self):
        """The template of the server's pods: its metadata and spec."""
        return self.one("Deployment")["spec"]["template"]

    @property
    def server(self):
        """The container that runs tome-server."""
        (container,) = self.pod["spec"]["containers"]
        return container

    @property
    def environment(self):
        """What the server's container gets from its ConfigMaps and its own `env`."""
        variables = {}
        for source in self.server.get("envFrom", []):
            variables |= self.named("ConfigMap", source["configMapRef"]["name"])["data"]
        return variables | {variable["name"]: variable["value"] for variable in self.server.get("env", [])}

    def mounted_file(self, path):
        """The text of a file that a ConfigMap puts into the server's container."""
        path = pathlib.PurePosixPath(path)
        (mount,) = [mount for mount in self.server["volumeMounts"] if mount["mountPath"] == str(path.parent)]
        (volume,) = [volume for volume in self.pod["spec"]["volumes"] if volume["name"] == mount["name"]]
        return self.named("ConfigMap", volume["configMap"]["name"])["data"][path.name]

    def queries(self):
        """(where, PromQL) of all that this overlay asks Prometheus."""
        found = []
        for scaled in self.of_kind("ScaledObject"):
            found += [(trigger["name"], trigger["metadata"]["query"]) for trigger in scaled["spec"]["triggers"]]
        for rules in self.of_kind("PrometheusRule"):
            for rule in (rule for group in rules["spec"]["groups"] for rule in group["rules"]):
                found.append((rule.get("alert") or rule["record"], rule["expr"]))
        for config in self.of_kind("ConfigMap"):
            if "grafana_dashboard" in config["metadata"].get("labels", {}):
                for text in config["data"].values():
                    found += dashboard_queries(json.loads(text))
        return found


def dashboard_queries(dashboard):
    """(panel, PromQL) of every target in a Grafana dashboard, those of collapsed rows included."""
    found = []
    for panel in dashboard["panels"]:
        found += [(panel["title"], target["expr"]) for target in panel.get("targets", [])]
        found += dashboard_queries(panel) if panel.get("panels") else []
    return found
