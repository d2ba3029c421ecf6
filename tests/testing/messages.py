"""The Python messages of proto/, generated on the spot."""

import pathlib
import sys

from tome_server import ROOT


def generate(folder):
    """Writes them into `folder` and puts that on the import path."""
    from grpc_tools import protoc

    proto = ROOT / "proto"
    files = [
        (proto, "tome/v1/embedding.proto"),
        (proto / "third_party", "google/rpc/status.proto"),
        (proto / "third_party", "google/rpc/error_details.proto"),
    ]
    well_known = pathlib.Path(protoc.__file__).parent / "_proto"
    code = protoc.main(
        ["protoc", f"-I{proto / 'third_party'}", f"-I{proto}", f"-I{well_known}"]
        + [f"--python_out={folder}", f"--grpc_python_out={folder}"]
        + [str(root / name) for root, name in files]
    )
    assert code == 0
    sys.path.insert(0, str(folder))
