"""What CONTRIBUTING.md promises about names: a flag or metric that was released is there until a major version."""

import re
import subprocess

from tome_server import BINARIES, ROOT

COMMANDS = ["embed", "search", "compare", "bench", "models", "health", "completion", "evaluate", "calibrate", "map"]


def flags_of(*command):
    helped = subprocess.run([BINARIES / command[0], *command[1:], "--help"], capture_output=True, text=True, timeout=60)
    assert helped.returncode == 0, helped.stderr
    # At the start of a line: other text may mention the flags of other programs.
    return {f"{' '.join(command)} {flag}" for flag in re.findall(r"^ +(?:-\w,)?(--[a-z0-9-]+)", helped.stdout, re.M)}


def metrics_of(text):
    """'name{label,...}' of everything that is exposed. Buckets' le is Prometheus's own."""
    found = set()
    for name, labels in re.findall(r"^(tome_\w+)(?:\{(.*)\})? ", text, re.M):
        names = sorted(set(re.findall(r'(\w+)="', labels)) - {"le"})
        found.add(name + "{" + ",".join(names) + "}")
    return found


def test_every_released_flag_and_metric_is_still_there(server):
    there = flags_of("tome-server") | flags_of("tome") | metrics_of(server.metrics_text())
    for command in COMMANDS:
        there |= flags_of("tome", command)

    promised = (ROOT / "tests/integration/released_names.txt").read_text().splitlines()

    assert len(promised) > 50
    assert [name for name in promised if name not in there] == []
