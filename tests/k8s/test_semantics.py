"""What no schema can see: the parts of an overlay fit each other and the server that they start."""

import functools
import os
import pathlib
import re
import subprocess
import tempfile
import tomllib

import pytest
import yaml
from manifests import OVERLAYS, ROOT, Manifests
from tome_server import BINARIES

every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)
VERSION = re.search(r"project\(tome VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text()).group(1)


@pytest.fixture
def manifests(overlay):
    return Manifests(overlay)


def check_config(manifests, folder, changes=None):
    """How tome-server reads the overlay's file, environment and arguments: --check-config, ended."""
    arguments = list(manifests.server["args"])
    path = arguments.index("--config") + 1
    config = folder / "tome-server.toml"
    config.write_text(manifests.mounted_file(arguments[path]))
    arguments[path] = str(config)
    return subprocess.run(
        [BINARIES / "tome-server", *arguments, "--check-config"],
        env={"PATH": os.environ["PATH"], **manifests.environment, **(changes or {})},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@functools.cache
def settings_of(overlay):
    manifests = Manifests(overlay)
    with tempfile.TemporaryDirectory() as folder:
        checked = check_config(manifests, pathlib.Path(folder))
        if "no CUDA engine" not in checked.stderr:
            assert checked.returncode == 0, checked.stderr
            return tomllib.loads(checked.stdout)
        # A server that was built without CUDA tells at least that it takes all the rest.
        device = manifests.environment["TOME_DEVICE"]
        assert device.startswith("cuda")
        checked = check_config(manifests, pathlib.Path(folder), {"TOME_DEVICE": "cpu"})
        assert checked.returncode == 0, checked.stderr
        return tomllib.loads(checked.stdout) | {"device": device}


@pytest.fixture
def settings(overlay):
    """{option: value} as the server itself sees them; an option that it does not know has failed here."""
    return settings_of(overlay)


def seconds(duration):
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([0-9.]+)(ms|s|m|h)", str(duration)))


def port(address):
    return int(address.rpartition(":")[2])


def container_ports(manifests):
    return {entry["name"]: entry["containerPort"] for entry in manifests.server["ports"]}


def probes(manifests):
    return {kind: manifests.server[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")}


@every_overlay
def test_the_server_takes_every_option_of_the_overlay(settings, manifests):
    for variable, value in manifests.environment.items():
        option = variable.removeprefix("TOME_").lower().replace("_", "-")
        if option != "model":
            assert str(settings[option]) == value


def test_a_misspelt_option_would_be_found(tmp_path):
    checked = check_config(Manifests("cpu"), tmp_path, {"TOME_DRAIN_DELAYS": "5s"})

    assert checked.returncode == 2
    assert "TOME_DRAIN_DELAYS" in checked.stderr


@every_overlay
def test_the_pods_listen_on_every_address_at_the_ports_that_they_declare(settings, manifests):
    ports = container_ports(manifests)

    assert ports == {"grpc": port(settings["listen"]), "metrics": port(settings["metrics-listen"])}
    assert settings["listen"].startswith(("0.0.0.0:", "[::]:"))
    assert settings["metrics-listen"].startswith("0.0.0.0:")


@every_overlay
def test_whoever_names_a_port_of_the_pods_names_one_that_they_have(manifests):
    ports = container_ports(manifests)
    named = [entry["targetPort"] for entry in manifests.one("Service")["spec"]["ports"]]
    for policy in manifests.of_kind("NetworkPolicy"):
        named += [entry["port"] for rule in policy["spec"]["ingress"] for entry in rule["ports"]]
    for monitor in manifests.of_kind("PodMonitor"):
        named += [endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]]

    assert set(named) <= set(ports)
    assert {probe["grpc"]["port"] for probe in probes(manifests).values()} == {ports["grpc"]}
    assert manifests.one("Service")["spec"]["ports"][0]["port"] == ports["grpc"]


@every_overlay
def test_probes_ask_for_health_services_that_a_server_has(server, manifests):
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    services = {kind: probe["grpc"]["service"] for kind, probe in probes(manifests).items()}

    with server.channel() as channel:
        for service in services.values():
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=60)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
    # Liveness follows the process, so that neither a load nor a drain gets a pod killed.
    assert services == {
        "startup": "tome.v1.EmbeddingService", "readiness": "tome.v1.EmbeddingService", "liveness": "liveness",
    }  # fmt: skip


@every_overlay
def test_selectors_select_the_pods(manifests):
    labels = manifests.pod["metadata"]["labels"].items()
    spec = manifests.pod["spec"]
    selectors = [
        manifests.one("Service")["spec"]["selector"],
        manifests.one("Deployment")["spec"]["selector"]["matchLabels"],
        manifests.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        *(spread["labelSelector"]["matchLabels"] for spread in spec["topologySpreadConstraints"]),
        *(policy["spec"]["podSelector"]["matchLabels"] for policy in manifests.of_kind("NetworkPolicy")),
        *(monitor["spec"]["selector"]["matchLabels"] for monitor in manifests.of_kind("PodMonitor")),
    ]

    for selector in selectors:
        assert selector and selector.items() <= labels


@every_overlay
def test_names_lead_to_what_is_there(manifests):
    spec = manifests.pod["spec"]
    containers = spec["containers"] + spec.get("initContainers", [])
    mounts = [mount for container in containers for mount in container["volumeMounts"]]

    assert {mount["name"] for mount in mounts} == {volume["name"] for volume in spec["volumes"]}
    for volume in spec["volumes"]:
        if "persistentVolumeClaim" in volume:
            assert manifests.named("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])
    assert manifests.named("ServiceAccount", spec["serviceAccountName"])
    assert manifests.named("PriorityClass", spec["priorityClassName"])
    for scaled in manifests.of_kind("ScaledObject"):
        assert manifests.named("Deployment", scaled["spec"]["scaleTargetRef"]["name"])


@every_overlay
def test_models_lie_where_a_volume_is_mounted(settings, manifests):
    mounts = [mount["mountPath"] + "/" for mount in manifests.server["volumeMounts"]]

    assert settings["model"]
    for model in settings["model"].values():
        assert model["directory"].startswith(tuple(mounts))


@every_overlay
def test_a_pod_has_the_time_to_drain(settings, manifests):
    readiness = manifests.server["readinessProbe"]

    drain = seconds(settings["drain-delay"]) + seconds(settings["drain-grace"])

    assert manifests.pod["spec"]["terminationGracePeriodSeconds"] >= drain + 5
    assert readiness["periodSeconds"] * readiness["failureThreshold"] < seconds(settings["drain-delay"])


@every_overlay
def test_pods_meet_the_restricted_pod_security_standard(manifests):
    spec = manifests.pod["spec"]
    namespace = manifests.one("Namespace")["metadata"]["labels"]

    assert namespace["pod-security.kubernetes.io/enforce"] == "restricted"
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    for volume in spec["volumes"]:
        assert volume.keys() - {"name"} <= {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
    for container in spec["containers"] + spec.get("initContainers", []):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["readOnlyRootFilesystem"] is True
        assert not {"privileged", "runAsUser", "seccompProfile"} & security.keys()
        assert not any("hostPort" in entry for entry in container.get("ports", []))


@every_overlay
def test_nothing_of_the_cluster_leaks_into_the_pods(manifests):
    # With service links a Service called tome would inject TOME_PORT, at which the server refuses to start.
    assert manifests.pod["spec"]["enableServiceLinks"] is False
    assert manifests.pod["spec"]["automountServiceAccountToken"] is False


@every_overlay
def test_every_container_has_requests_and_a_memory_limit(manifests):
    spec = manifests.pod["spec"]

    for container in spec["containers"] + spec.get("initContainers", []):
        resources = container["resources"]
        assert {"cpu", "memory"} <= resources["requests"].keys()
        assert "memory" in resources["limits"]


@every_overlay
def test_objects_carry_the_recommended_labels_and_the_version(manifests):
    for thing in manifests.objects:
        labels = thing["metadata"].get("labels", {})
        if thing["kind"] in ("Deployment", "Service", "PodDisruptionBudget", "ServiceAccount"):
            assert labels["app.kubernetes.io/name"] == "tome"
            assert labels["app.kubernetes.io/version"] == VERSION
    assert manifests.pod["metadata"]["labels"]["app.kubernetes.io/version"] == VERSION
    assert re.fullmatch(rf".*tome-server:{re.escape(VERSION)}-(cpu|cuda)", manifests.server["image"])


@every_overlay
def test_the_autoscaler_owns_the_number_of_replicas_where_there_is_one(manifests):
    assert ("replicas" in manifests.one("Deployment")["spec"]) == (not manifests.of_kind("ScaledObject"))


def test_a_gpu_is_never_waited_for_during_a_roll_out():
    deployment = Manifests("gpu").one("Deployment")["spec"]

    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    (container,) = deployment["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert container["image"].endswith("-cuda")


@every_overlay
def test_queries_name_metrics_that_a_server_has(server, manifests):
    exposed = {name.partition("{")[0] for name in server.metrics()}
    # A GPU's are there only where there is one.
    exposed |= set(re.findall(r'"(tome_gpu_\w+)"', (ROOT / "server/metrics/gpu_collector.cc").read_text()))

    for where, query in manifests.queries():
        named = set(re.findall(r"(?<![:\w])(?:tome|process)_\w+", query))
        assert named <= exposed, where


@every_overlay
def test_queries_look_into_their_own_namespace(manifests):
    for scaled in manifests.of_kind("ScaledObject"):
        for trigger in scaled["spec"]["triggers"]:
            namespaces = set(re.findall(r'namespace="([^"]*)"', trigger["metadata"]["query"]))
            assert namespaces == {scaled["metadata"]["namespace"]}


@every_overlay
def test_the_rules_are_those_that_promtool_tests(manifests):
    tested = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())

    for rules in manifests.of_kind("PrometheusRule"):
        # The head of k8s/components/monitoring/prometheus-rule.yaml says how to copy them.
        assert rules["spec"]["groups"] == tested["groups"]


def test_every_component_is_in_some_overlay():
    used = {
        (ROOT / "k8s/overlays" / overlay / component).resolve()
        for overlay in OVERLAYS
        for component in yaml.safe_load((ROOT / "k8s/overlays" / overlay / "kustomization.yaml").read_text())["components"]
    }

    assert used == {path.parent for path in (ROOT / "k8s/components").glob("*/kustomization.yaml")}
