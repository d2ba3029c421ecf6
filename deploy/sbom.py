#!/usr/bin/env python3
"""Prints a CycloneDX 1.5 bill of materials of the server's image: Debian packages and pinned wheels.

    deploy/sbom.py --dpkg-status /var/lib/dpkg/status --wheels .deps/torch deploy/libtorch.txt

The same packages give the same bytes: no time, no random serial number.
"""

import argparse
import json
import pathlib
import re
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[1]
VERSION = re.search(r"project\(tome VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text()).group(1)


def debian_packages(status):
    """One component for each installed paragraph of dpkg's database."""
    for paragraph in status.read_text(encoding="utf-8").split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", paragraph, re.MULTILINE))
        if not fields.get("Status", "").endswith(" installed"):
            continue
        name, version, architecture = fields["Package"], fields["Version"], fields["Architecture"]
        purl = f"pkg:deb/debian/{urllib.parse.quote(name)}@{urllib.parse.quote(version)}?arch={architecture}"
        yield {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def wheels(folder, lists):
    """One component for each NAME-VERSION.dist-info in `folder`, with the digest that a list pins it by."""
    pins = {
        (name, version): digest
        for pinned in lists
        for name, version, digest in re.findall(
            r"^(\S+)==(\S+) --hash=sha256:([0-9a-f]{64})$", pinned.read_text(), re.MULTILINE
        )
    }
    for path in folder.glob("*.dist-info"):
        name, version = path.name.removesuffix(".dist-info").split("-")
        name = name.replace("_", "-")
        hashes = [{"alg": "SHA-256", "content": pins[name, version]}]
        purl = f"pkg:pypi/{name}@{version}"
        yield {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl, "hashes": hashes}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dpkg-status", type=pathlib.Path, required=True, metavar="FILE")
    parser.add_argument("--wheels", type=pathlib.Path, required=True, metavar="FOLDER", help="with their dist-info")
    parser.add_argument("pins", type=pathlib.Path, nargs="+", metavar="LIST", help="as deploy/libtorch.txt")
    arguments = parser.parse_args()

    components = [*debian_packages(arguments.dpkg_status), *wheels(arguments.wheels, arguments.pins)]
    unique = {component["bom-ref"]: component for component in components}
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": "tome-server",
                "name": "tome-server",
                "version": VERSION,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": [unique[reference] for reference in sorted(unique)],
    }
    print(json.dumps(bill, indent=1))


if __name__ == "__main__":
    main()
