"""What has been received and not yet admitted is bounded in bytes (--max-receive-bytes), whoever sends it."""

import re

import pytest
from raw_http2 import RawCall, send_all

MEBI = 1 << 20
IMAGE_BYTES = 8 * MEBI
LIMIT = 64 * MEBI
# gRPC's read buffers and what the allocator keeps.
SLACK = 64 * MEBI
# gRPC ends connections a moment late: what comes from all of them meanwhile, as fast as the machine can, is on top.
SUDDEN = 384 * MEBI


def peak_bytes(server):
    status = open(f"/proc/{server.process.pid}/status").read()
    return int(re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)[1]) << 10


@pytest.fixture
def full_server(start_server, checkpoint, photos):
    """A server whose places for streams are taken, until a fourth image fills the batch or ten seconds are over."""
    from tome.v1 import embedding_pb2 as pb

    server = start_server(
        "--model", f"plain={checkpoint}", "--drain-delay", "0s", "--drain-grace", "1s",
        "--max-admitted-images", "4", "--max-batch-images", "4", "--max-batch-delay", "10s",
        "--max-message-bytes", "10MiB", "--max-image-bytes", "10MiB", "--max-receive-bytes", str(LIMIT),
    )  # fmt: skip
    request = pb.EmbedRequest(input=pb.Input(encoded=photos["cat.jpg"]))
    with server.stub() as stub:
        answers = stub.EmbedStream((pb.EmbedStreamRequest(id=i, request=request) for i in range(3)), timeout=100)
        while server.metrics()["tome_queue_images"] < 3:
            continue
        yield server
        answers.cancel()


def call_body(method, whole):
    from tome.v1 import embedding_pb2 as pb

    request = pb.EmbedRequest(input=pb.Input(encoded=b"\xff" * IMAGE_BYTES))
    message = request if method == "Embed" else pb.EmbedStreamRequest(id=1, request=request)
    data = message.SerializeToString()
    body = b"\0" + len(data).to_bytes(4, "big") + data
    return body if whole else body[:-1000]


@pytest.mark.parametrize(
    ("method", "whole", "calls", "together", "bound"),
    [
        pytest.param("Embed", False, 48, False, LIMIT + SLACK, id="messages that are never whole"),
        pytest.param("EmbedStream", True, 48, False, LIMIT + SLACK, id="images of streams that wait for a place"),
        pytest.param("EmbedStream", True, 96, True, LIMIT + SUDDEN, id="everything at once"),
    ],
)
def test_a_flood_of_large_messages_costs_bounded_memory_and_the_server_goes_on(
    full_server, photos, method, whole, calls, together, bound
):
    from tome.v1 import embedding_pb2 as pb

    body = call_body(method, whole)
    before = peak_bytes(full_server)

    flood = [RawCall(full_server.address, f"/tome.v1.EmbeddingService/{method}", body) for _ in range(calls)]
    for group in [flood] if together else [[call] for call in flood]:
        send_all(group)
    grown = peak_bytes(full_server) - before
    held = full_server.metrics()["tome_inflight_images"]
    for call in flood:
        call.close()

    assert calls * len(body) > 1.5 * bound
    assert held == 3, "the places were free before the flood was over"
    assert grown <= bound, f"{grown >> 20} MiB more"
    with full_server.stub() as stub:
        answer = stub.Embed(pb.EmbedRequest(input=pb.Input(encoded=photos["cat.jpg"])), timeout=60, wait_for_ready=True)
    assert answer.embedding.vector.dimensions == 96
