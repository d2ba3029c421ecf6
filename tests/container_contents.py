#!/usr/bin/env python3
"""Holds a built image against what deploy/README.md promises of it: tests/container.sh runs this.

    tests/container_contents.py cpu|cuda ROOT IMAGE     ROOT: the mounted image, IMAGE: what `buildah inspect` says of it
"""

import fnmatch
import json
import pathlib
import re
import sys

UNWANTED = ("*.a", "cc1*", "gcc*", "g++*", "clang*", "as", "ld", "nvcc", "ptxas", "cmake", "ninja", "make")
UNWANTED += ("python*", "pip", "pip3*", "libtorch_cuda*", "libtorch.so*", "libtorch_python*")
# LibTorch's CPU library itself links cudart and cupti.
CUDA_LIBRARIES = {
    "cpu": {"libcudart.so.13", "libcupti.so.13"},
    "cuda": {"libcudart.so.13", "libcupti.so.13", "libcublasLt.so.13"},
}
PROGRAMS = {"cpu": {"tome", "tome-server"}, "cuda": {"tome", "tome-server", "libtome_cuda.so"}}
WHEELS = {
    "cpu": {"torch", "nvidia-cuda-runtime", "nvidia-cuda-cupti"},
    "cuda": {"torch", "nvidia-cuda-runtime", "nvidia-cuda-cupti", "nvidia-cublas"},
}


def same(what, found, wanted):
    if found != wanted:
        sys.exit(f"container: {what}: {found}, not {wanted}")


def names(folder):
    return {path.name for path in folder.iterdir()}


def check_files(target, root):
    # The package database names its files after packages.
    files = [
        path.relative_to(root)
        for folder in root.iterdir()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and root / "var/lib/dpkg" not in path.parents
    ]
    unwanted = [path for path in files if any(fnmatch.fnmatchcase(path.name, pattern) for pattern in UNWANTED)]
    same("what a running server does not need", [str(path) for path in unwanted], [])
    same("programs", names(root / "opt/tome/bin"), PROGRAMS[target])
    same("the model in it", names(root / "opt/tome/share/tome/clipart"), {"config.json", "model.safetensors", "profile.json"})
    same("CUDA's libraries", names(root / "opt/tome/lib/nvidia/cu13/lib"), CUDA_LIBRARIES[target])
    cuda = {path.name for path in files if re.match(r"lib(cu|nv|nccl)[a-zA-Z]*\.so", path.name)}
    same("CUDA's libraries anywhere", cuda, CUDA_LIBRARIES[target])


def check_bill_of_materials(target, root):
    parts = json.loads((root / "usr/share/doc/tome/sbom.cdx.json").read_text())["components"]
    wheels = {part["name"] for part in parts if part["purl"].startswith("pkg:pypi/")}
    packages = {part["name"] for part in parts if part["purl"].startswith("pkg:deb/")}
    status = (root / "var/lib/dpkg/status").read_text()
    installed = set(re.findall(r"^Package: (\S+)\n(?:\S.*\n)*?Status: install ok installed$", status, re.MULTILINE))
    same("wheels in the bill of materials", wheels, WHEELS[target])
    same("packages in the bill of materials", packages, installed)


def check_configuration(config):
    same("user", config["User"], "65532:65532")
    same("entry point", config["Entrypoint"], ["tome-server"])
    same("ports", set(config["ExposedPorts"]), {"50051/tcp", "9464/tcp"})
    same("health check", config["Healthcheck"]["Test"], ["CMD", "tome", "--server", "localhost:50051", "health"])
    labels = {key.removeprefix("org.opencontainers.image."): value for key, value in config["Labels"].items()}
    same("title", labels["title"], "tome-server")
    same("licences", labels["licenses"], "Apache-2.0")
    for label, pattern in {"version": r"\d+\.\d+\.\d+", "revision": "[0-9a-f]{40}", "description": ".+"}.items():
        if not re.fullmatch(pattern, labels[label]):
            sys.exit(f"container: the label {label} is {labels[label]!r}")


def main():
    target, root, image = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    check_files(target, root)
    check_bill_of_materials(target, root)
    check_configuration(json.loads(image.read_text())["Docker"]["config"])


if __name__ == "__main__":
    main()
