"""The Python client with the real server."""

import concurrent.futures
import subprocess
import sys

import grpc
import numpy as np
import pytest
import tome_client
from tome_server import ROOT


@pytest.fixture(scope="module")
def client(server):
    with tome_client.Client(server.address) as client:
        yield client


def test_embeds_a_picture_and_tells_what_was_applied(client, photos):
    exact = client.embed(photos["cat.jpg"], r=0)
    merged = client.embed(photos["cat.jpg"], r=4)

    assert exact.vector.shape == (96,)
    assert float(np.linalg.norm(exact.vector)) == pytest.approx(1, abs=1e-5)
    assert merged.merged_per_block == [4] * 6
    assert (merged.tokens_in, merged.tokens_out) == (37, 13)
    assert merged.timing.compute > 0
    assert client.health() == "SERVING"


def test_a_batch_and_a_stream_give_the_bits_that_single_calls_give(client, photos):
    images = [tome_client.Item(photo, r=r) for photo in photos.values() for r in (0, 5)]
    alone = [client.embed(item.image, r=item.r).vector for item in images]

    batch = client.embed_batch(images)
    stream = dict(client.embed_stream(images, window=4))

    for i, vector in enumerate(alone):
        np.testing.assert_array_equal(batch[i].vector, vector)
        np.testing.assert_array_equal(stream[i].vector, vector)


def test_a_bad_picture_fails_alone(client, photos):
    images = [photos["cat.jpg"], b"no picture", photos["coffee.jpg"]]

    batch = client.embed_batch(images)
    stream = dict(client.embed_stream(images))

    for outcomes in (batch, stream):
        assert outcomes[1].code == grpc.StatusCode.INVALID_ARGUMENT
        assert outcomes[1].field is not None
        assert isinstance(outcomes[0], tome_client.Embedding) and isinstance(outcomes[2], tome_client.Embedding)


def test_a_folder_comes_back_sorted_with_what_failed(client, tmp_path, photos, capsys):
    for name, photo in photos.items():
        (tmp_path / name).write_bytes(photo)
    (tmp_path / "broken.png").write_bytes(b"no picture")

    found = tome_client.embed_folder(client, tmp_path, r=2)

    assert f"{len(photos) + 1}/{len(photos) + 1}" in capsys.readouterr().err
    assert [path.name for path in found.paths] == sorted(photos)
    assert found.vectors.shape == (len(photos), 96)
    assert [path.name for path in found.failed] == ["broken.png"]


def test_a_full_server_is_outlasted_and_a_message_too_large_is_not_sent_again(start_server, checkpoint, photos):
    server = start_server(
        "--model", f"plain={checkpoint}", "--max-admitted-images", "1", "--max-batch-images", "1",
        "--max-image-bytes", "1MiB", "--max-message-bytes", "2MiB", "--drain-delay", "0s",
    )  # fmt: skip

    with tome_client.Client(server.address) as client, concurrent.futures.ThreadPoolExecutor(12) as pool:
        calls = [pool.submit(client.embed, photos["cat.jpg"], timeout=120) for _ in range(60)]
        retries = sum(call.result().retries for call in calls)
        with pytest.raises(tome_client.TomeError) as oversize:
            client.embed(b"\xff\xd8" + bytes(3 << 20))
        stream = dict(client.embed_stream([photos["cat.jpg"], b"\xff\xd8" + bytes(3 << 20), photos["cat.jpg"]]))

    assert retries > 0
    assert server.metrics()['tome_requests_total{code="RESOURCE_EXHAUSTED",method="Embed"}'] == retries
    assert (oversize.value.code, oversize.value.retries) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 0)
    assert [isinstance(stream[place], tome_client.Embedding) for place in range(3)] == [True, False, True]


@pytest.mark.parametrize("calls_at_once", [1, 4])
def test_a_batch_larger_than_the_server_gets_in_beside_others(start_server, checkpoint, photos, calls_at_once):
    server = start_server(
        "--model", f"plain={checkpoint}", "--max-admitted-images", "8", "--max-batch-images", "8", "--drain-delay", "0s"
    )  # fmt: skip

    with tome_client.Client(server.address) as client, concurrent.futures.ThreadPoolExecutor(2) as pool:
        batches = [
            pool.submit(client.embed_batch, [photo] * 30, timeout=120, calls_at_once=calls_at_once)
            for photo in (photos["cat.jpg"], photos["coffee.jpg"])
        ]
        failed = [
            outcome for batch in batches for outcome in batch.result() if isinstance(outcome, tome_client.TomeError)
        ]

    assert failed == []


def test_the_example_finds_a_duplicate(server, tmp_path, photos):
    for name in ("first.jpg", "second.jpg"):
        (tmp_path / name).write_bytes(photos["cat.jpg"])

    ran = subprocess.run(
        [sys.executable, ROOT / "client/python/examples/near_duplicates.py", tmp_path, server.address],
        capture_output=True, text=True, timeout=120, env={"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["1.0000", str(tmp_path / "first.jpg"), str(tmp_path / "second.jpg")]
