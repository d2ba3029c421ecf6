"""The image's recipe, its bill of materials and the compose file, as far as they can be checked without building."""

import json
import pathlib
import re
import subprocess
import sys

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from manifests import ROOT
from tome_server import BINARIES

DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
VERSION = re.search(r"project\(tome VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text()).group(1)


def tool(name, *arguments):
    """Runs a program of the tests' environment."""
    path = pathlib.Path(sys.executable).with_name(name)
    return subprocess.run([path, *arguments], capture_output=True, text=True, timeout=120)


def bill_of_materials(*arguments):
    made = subprocess.run([ROOT / "deploy/sbom.py", *arguments], capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, made.stderr
    return made.stdout


def test_hadolint_has_nothing_to_say():
    checked = tool("hadolint", ROOT / "deploy/Dockerfile")

    assert (checked.returncode, checked.stdout) == (0, "")


def test_the_image_has_the_version_of_the_project():
    assert re.search(r"^ARG VERSION=(.+)$", DOCKERFILE, re.MULTILINE).group(1) == VERSION
    assert set(re.findall(r"tome-server:([0-9.]+)-", DOCKERFILE)) == {VERSION}


@pytest.mark.parametrize("program", ["tome-server", "tome"])
def test_the_image_installs_every_library_that_a_program_names(program):
    installed = set(re.search(r"--no-install-recommends -y \\\n((?: {6}.*\n)+)", DOCKERFILE).group(1).split())
    dynamic = subprocess.run(
        ["readelf", "--dynamic", BINARIES / program], capture_output=True, text=True, check=True
    ).stdout
    needed = set(re.findall(r"NEEDED.*\[(.+)\]", dynamic))
    of_the_base = {"libc6", "libgcc-s1", "libstdc++6"}
    of_the_wheel = {"libtorch_cpu.so", "libc10.so", "libgomp.so.1"}
    # libgpr comes with libgrpc29, which libgrpc++1.51 depends on.
    by_dependency = {"libgrpc29"}

    named = sorted(needed - of_the_wheel)
    found = subprocess.run(
        ["dpkg-query", "--search", *(f"*/{library}" for library in named)], capture_output=True, text=True, check=True
    ).stdout
    for library in named:
        packages = set(re.findall(rf"^([^:\s]+):.*/{re.escape(library)}$", found, re.MULTILINE))
        assert packages & (installed | of_the_base | by_dependency), f"{library} is in {packages}"


def test_the_bill_of_materials_is_cyclonedx():
    bill = bill_of_materials(
        "--dpkg-status", "/var/lib/dpkg/status", "--wheels", ROOT / ".deps/torch", ROOT / "deploy/libtorch.txt"
    )

    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(bill) is None
    parts = {part["name"]: part for part in json.loads(bill)["components"]}
    assert parts["torch"]["version"] == "2.11.0"
    assert parts["libgrpc++1.51"]["purl"].startswith("pkg:deb/debian/libgrpc%2B%2B1.51@1.51.1")


def test_a_package_that_is_gone_is_in_no_bill_of_materials(tmp_path):
    status = tmp_path / "status"
    status.write_text(
        "Package: here\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:2-3\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 4\n"
    )

    bill = json.loads(bill_of_materials("--dpkg-status", status, "--wheels", tmp_path, ROOT / "deploy/libtorch.txt"))

    assert [part["purl"] for part in bill["components"]] == ["pkg:deb/debian/here@1%3A2-3?arch=amd64"]


def test_compose_starts_what_is_there():
    checked = tool("docker-compose", "--file", ROOT / "deploy/compose.yaml", "config", "--format", "json")
    assert checked.returncode == 0, checked.stderr
    services = json.loads(checked.stdout)["services"]

    build = services["tome"]["build"]
    assert (pathlib.Path(build["context"]), build["dockerfile"]) == (ROOT, "deploy/Dockerfile")
    assert f" AS {build['target']}\n" in DOCKERFILE
    assert services["tome"]["image"] == f"tome-server:{VERSION}-cpu"
    for name, service in services.items():
        assert all(port["host_ip"] == "127.0.0.1" for port in service["ports"]), name
        for volume in service["volumes"]:
            # The models are the reader's own; everything else is of this project.
            if volume["type"] == "bind" and volume["target"] != "/models":
                assert pathlib.Path(volume["source"]).exists(), f"{name}: {volume['source']}"


def test_the_prometheus_of_compose_scrapes_the_server_at_the_port_it_listens_on():
    (scrape,) = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    port = re.search(r"TOME_METRICS_LISTEN=0\.0\.0\.0:(\d+)", DOCKERFILE).group(1)

    assert scrape["static_configs"] == [{"targets": [f"tome:{port}"]}]
    assert f"EXPOSE 50051 {port}" in DOCKERFILE
