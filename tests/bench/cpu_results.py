"""The lines that cpu_peers.py, cpu_profile.py and server_load.py leave, for cpu_report.py and cpu_plots.py."""

import collections
import json

NAMES = {
    "engine": "this engine",
    "eager": "PyTorch eager",
    "compile": "torch.compile",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "tome": "ToMe in PyTorch",
}
PEERS = ("eager", "compile", "onnxruntime", "openvino")


def read(path):
    """{kind: [entry, ...]}"""
    kinds = collections.defaultdict(list)
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        kinds[entry["kind"]].append(entry)
    return kinds


def grouped(entries, value, *keys):
    """{keys: [value, ...]} in the order in which they were measured."""
    found = collections.defaultdict(list)
    for entry in entries:
        found[tuple(entry[key] for key in keys)].append(entry[value])
    return found
