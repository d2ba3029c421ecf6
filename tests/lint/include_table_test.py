#!/usr/bin/env python3
"""The walls between the rooms: which room may include which other, and which foreign library.

server/README.md shows the same table to a reader. Run by ctest; needs nothing but Python's standard library.
"""

import functools
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# room: (rooms it may include, foreign libraries it may include). A file stands for itself alone.
ROOMS = {
    "base": ((), {"absl", "json", "spdlog"}),
    "merge": ((), set()),
    "config": (("base", "merge"), {"absl", "CLI", "toml"}),
    "metrics": (("base",), {"absl", "prometheus"}),
    "image": (("base",), {"absl", "codecs"}),
    "kernels": (("merge",), {"cuda"}),
    "ops": (("kernels", "merge"), {"torch"}),
    "model": (("ops", "merge", "base"), {"absl", "torch", "json", "openssl"}),
    "cuda": (("kernels", "merge"), {"cuda"}),
    "lab": (("model", "merge", "image", "base"), {"absl", "torch", "json", "CLI", "cairo"}),
    "engine": (("cuda/module.h", "model", "merge", "base"), {"absl", "torch"}),
    "scheduler": (("engine/engine.h", "merge", "metrics", "base"), {"absl"}),
    "service": (("image", "engine/engine.h", "scheduler", "merge", "metrics", "base"), {"absl"}),
    "rpc": (("service", "merge", "metrics", "base"), {"absl", "grpc", "proto", "openssl"}),
}

# What an angle-bracket (or third-party quoted) include belongs to. The C++ and POSIX headers match none.
FOREIGN = {
    "absl": r"absl/",
    "spdlog": r"(spdlog|fmt)/",
    "CLI": r"CLI/",
    "toml": r"toml\+\+/",
    "prometheus": r"prometheus/",
    "codecs": r"(jpeglib|jerror|turbojpeg|png|zlib|webp/.*)\.?h?$",
    "torch": r"(ATen|torch|c10|caffe2)/",
    "json": r"nlohmann/",
    "cairo": r"cairo/",
    "openssl": r"openssl/",
    "grpc": r"(grpc|grpcpp)/(?!health/v1/)",
    "proto": r"(google/(protobuf|rpc)/|tome/v1/|grpc/health/v1/)",
    "cuda": r"(cuda|cublas)",
}

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)


def sources(*folders):
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".h", ".cc", ".cu", ".cuh"):
                yield path.relative_to(ROOT)


@functools.lru_cache(maxsize=None)
def includes(path):
    return tuple(INCLUDE.findall((ROOT / path).read_text()))


def foreign(include):
    return next((name for name, pattern in FOREIGN.items() if re.match(pattern, include)), None)


@functools.lru_cache(maxsize=None)
def reached_foreign(path):
    """Foreign libraries that `path` includes itself or through headers of ours."""
    found, todo, seen = set(), [path], set()
    while todo:
        current = todo.pop()
        if current in seen:
            continue
        seen.add(current)
        for include in includes(current):
            if (ROOT / include).is_file():
                todo.append(pathlib.Path(include))
            elif foreign(include):
                found.add(foreign(include))
    return found


class IncludeTableTest(unittest.TestCase):
    def test_every_folder_of_the_server_is_a_room_of_the_table(self):
        folders = {path.name for path in (ROOT / "server").iterdir() if path.is_dir()}
        self.assertLessEqual(folders, ROOMS.keys())

    def test_the_table_points_downward_only(self):
        order = list(ROOMS)
        for room, (below, _) in ROOMS.items():
            for other in below:
                self.assertLess(order.index(other.split("/")[0]), order.index(room), f"{room} -> {other}")

    def test_a_room_includes_only_what_stands_below_it(self):
        for path in sources("server"):
            if len(path.parts) < 3:
                continue  # app and main: the composition root
            room = path.parts[1]
            allowed = (room, *ROOMS[room][0])
            for include in includes(path):
                if not include.startswith(("server/", "client/", "tests/")):
                    continue
                target = include.removeprefix("server/")
                with self.subTest(file=str(path), include=include):
                    self.assertTrue(
                        any(target == entry or target.startswith(entry + "/") for entry in allowed),
                        f"{room} may include {', '.join(allowed)}",
                    )

    def test_a_room_includes_only_its_libraries(self):
        for path in sources("server"):
            if len(path.parts) < 3:
                continue
            allowed = ROOMS[path.parts[1]][1]
            for include in includes(path):
                if not (ROOT / include).is_file() and foreign(include):
                    with self.subTest(file=str(path), include=include):
                        self.assertIn(foreign(include), allowed)

    def test_the_client_knows_neither_the_server_nor_torch(self):
        # The command line writes pictures, in one file; nothing of the client reads one.
        writers = {pathlib.Path("client/cli/png_file.cc")}
        for path in sources("client"):
            for include in includes(path):
                with self.subTest(file=str(path), include=include):
                    self.assertFalse(include.startswith(("server/", "tests/")))
                    self.assertNotIn(foreign(include), {"torch", "prometheus", "spdlog"})
                    self.assertFalse(foreign(include) == "codecs" and path not in writers)

    def test_engine_h_is_free_of_torch(self):
        self.assertNotIn("torch", reached_foreign(pathlib.Path("server/engine/engine.h")))

    def test_torch_never_meets_protobuf_or_spdlog_in_one_source_file(self):
        # The wheel brings google/protobuf 3.13 and fmt 12 of its own; Debian's are others.
        for path in sources("server", "client", "tests"):
            reached = reached_foreign(path)
            if path.suffix == ".cc" and "torch" in reached:
                with self.subTest(file=str(path)):
                    self.assertFalse(reached & {"spdlog", "grpc", "proto"}, "beside torch")


if __name__ == "__main__":
    unittest.main()
