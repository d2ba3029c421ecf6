"""A real kube-apiserver takes every overlay as it is, without a warning, and its admission lets the pods in."""

import copy

import pytest
import yaml
from manifests import Manifests, rendered


@pytest.fixture
def text(cluster):
    return rendered(f"overlays/{cluster.overlay}")


@pytest.fixture
def pod(cluster, text):
    """The pod that the Deployment's controller would ask for; what it names (account, priority) is there."""
    applied = cluster.apply(text)
    assert applied.returncode == 0, applied.stderr
    template = copy.deepcopy(Manifests(cluster.overlay).pod)
    namespace = Manifests(cluster.overlay).one("Namespace")["metadata"]["name"]
    metadata = {"name": "tome-test", "namespace": namespace, "labels": template["metadata"]["labels"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def create(cluster, pod):
    return cluster.kubectl("create", "--dry-run=server", "--filename", "-", given=yaml.safe_dump(pod))


def test_the_cluster_would_take_the_overlay(cluster, text):
    tried = cluster.apply(text, "--dry-run=server")

    assert tried.returncode == 0, tried.stderr
    assert tried.stdout.count("serverside-applied (server dry run)") == len(Manifests(cluster.overlay).objects)


def test_the_overlay_applies_and_applies_again(cluster, text):
    for _ in range(2):
        applied = cluster.apply(text)
        assert applied.returncode == 0, applied.stderr


def test_the_pods_are_let_in_under_the_restricted_level(cluster, pod):
    tried = create(cluster, pod)

    assert tried.returncode == 0, tried.stderr


def test_a_pod_that_might_run_as_root_would_be_refused(cluster, pod):
    del pod["spec"]["securityContext"]["runAsNonRoot"]

    tried = create(cluster, pod)

    assert tried.returncode != 0
    assert 'violates PodSecurity "restricted:latest": runAsNonRoot != true' in tried.stderr


@pytest.mark.parametrize("kind", ["Deployment", "ScaledObject", "PodMonitor", "PrometheusRule"])
def test_a_misspelt_field_would_be_refused(cluster, kind):
    for thing in Manifests(cluster.overlay).of_kind(kind):
        thing["spec"]["mispelt"] = 1

        tried = cluster.apply(yaml.safe_dump(thing), "--dry-run=server")

        assert tried.returncode != 0
        assert "mispelt" in tried.stderr
