"""The sync and the asyncio client do the same; each test runs with both, against a server that answers as it says."""

import asyncio
import importlib.resources
import pathlib
import queue
import threading
import time

import grpc
import numpy as np
import pytest

from fake_embedding_server import SERVICE, Failure, answer, full

QUICK = {"initial_backoff": 0.001}


def waiting(stream):
    """Events of images that a stream, in its local variables, has not looked at."""
    end_of_source = 0 if stream["exhausted"] else 1
    return stream["events"].qsize() - end_of_source


class Sync:
    """Calls of the blocking client."""

    def __init__(self, server, **options):
        import tome_client

        self.client = tome_client.Client(server, **options)

    def call(self, method, *arguments, **options):
        return getattr(self.client, method)(*arguments, **options)

    def stream(self, images, **options):
        return list(self.client.embed_stream(images, **options))

    def stream_in_turn(self, images, **options):
        """Each image is there only once the one before it is answered."""
        answered = queue.SimpleQueue()

        def source():
            for image in images:
                yield image
                answered.get()

        outcomes = []
        for outcome in self.client.embed_stream(source(), **options):
            outcomes.append(outcome)
            answered.put(None)
        return outcomes

    def stream_read_late(self, images, late, **options):
        """`late()` is called behind the first outcome, once of all other images something waits to be looked at."""
        stream = self.client.embed_stream(images, **options)
        outcomes = [next(stream)]
        while waiting(stream.gi_frame.f_locals) < len(images) - 1:
            continue
        late()
        return outcomes + list(stream)

    def close(self):
        self.client.close()


class Async:
    """The same of the asyncio client, in an event loop of its own."""

    def __init__(self, server, **options):
        import tome_client

        self.loop = asyncio.new_event_loop()

        async def connect():
            return tome_client.AsyncClient(server, **options)

        self.client = self.loop.run_until_complete(connect())

    def call(self, method, *arguments, **options):
        return self.loop.run_until_complete(getattr(self.client, method)(*arguments, **options))

    def stream(self, images, **options):
        async def all_of_it():
            return [outcome async for outcome in self.client.embed_stream(images, **options)]

        return self.loop.run_until_complete(all_of_it())

    def stream_in_turn(self, images, **options):
        answered = asyncio.Queue()

        async def source():
            for image in images:
                yield image
                await answered.get()

        async def all_of_it():
            outcomes = []
            async for outcome in self.client.embed_stream(source(), **options):
                outcomes.append(outcome)
                answered.put_nowait(None)
            return outcomes

        return self.loop.run_until_complete(all_of_it())

    def stream_read_late(self, images, late, **options):
        async def all_of_it():
            stream = self.client.embed_stream(images, **options)
            outcomes = [await anext(stream)]
            while waiting(stream.ag_frame.f_locals) < len(images) - 1:
                await asyncio.sleep(0)
            late()
            return outcomes + [outcome async for outcome in stream]

        return self.loop.run_until_complete(all_of_it())

    def close(self):
        self.loop.run_until_complete(self.client.close())
        self.loop.close()


@pytest.fixture(params=[Sync, Async])
def connect(request):
    """connect(server, **options) -> the client under test; retries come quickly unless told otherwise."""
    import tome_client

    opened = []

    def start(server, **options):
        options.setdefault("retry", tome_client.RetryPolicy(**QUICK))
        address = server if isinstance(server, str) else server.address
        opened.append(request.param(address, **options))
        return opened[-1]

    yield start
    for client in opened:
        client.close()


def number(request, call):
    """A picture is a number in a file; its embedding is that number. "bad" is no picture."""
    if request.input.encoded == b"bad":
        raise Failure(grpc.StatusCode.INVALID_ARGUMENT, "neither a JPEG nor a PNG file")
    return answer(float(request.input.encoded))


def numbers(outcomes):
    """The vectors' first numbers, or the codes of errors."""
    import tome_client

    return [
        outcome.code.name if isinstance(outcome, tome_client.TomeError) else outcome.vector[0] for outcome in outcomes
    ]


def test_numpy_goes_in_and_comes_out(connect, fake_server, tmp_path):
    import tome_client

    server = fake_server(lambda request, call: answer(0.6, 0.8))
    client = connect(server)
    picture = tmp_path / "picture.jpg"
    picture.write_bytes(b"a file")
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)

    embedding = client.call("embed", pixels)
    client.call("embed", tome_client.ModelPixels(pixels))
    client.call("embed", picture)

    assert embedding.vector.dtype == np.float32
    np.testing.assert_array_equal(embedding.vector, np.float32([0.6, 0.8]))
    assert (embedding.model, embedding.weights_digest, embedding.retries) == ("vit", "d1", 0)
    rgb, model_pixels, file = [call.request.input for call in server.calls]
    assert (rgb.rgb.height, rgb.rgb.width, rgb.rgb.data) == (2, 3, pixels.tobytes())
    assert model_pixels.model_pixels.data == pixels.tobytes()
    assert file.encoded == b"a file"


def test_what_is_no_image_is_refused_before_it_is_sent(connect, fake_server):
    server = fake_server(number)
    client = connect(server)

    with pytest.raises(ValueError, match=r"float64 \[2, 2\] is not uint8 \[height, width, 3\]"):
        client.call("embed", np.zeros((2, 2)))
    with pytest.raises(TypeError, match="str is none of"):
        client.call("embed", "cat.jpg")

    assert server.calls == []


def test_sends_the_schedule_and_the_vectors_form(connect, fake_server):
    import tome_client
    from tome_client.v1 import embedding_pb2 as pb

    server = fake_server(number)
    client = connect(server)
    options = tome_client.EmbedOptions(
        model="vit", if_weights_digest="d1", element_type="int8", normalize=False, dimensions=1, pooling="mean",
        merge_map=True, model_pixels=True,
    )  # fmt: skip

    for r in (8, [4, 0, 7], tome_client.Linear(16, -0.5), None):
        client.call("embed", b"1", r=r, options=options, request_id="mine")

    constant, per_block, linear, nothing = [call.request for call in server.calls]
    assert constant.merge.constant == 8
    assert list(per_block.merge.per_block.r) == [4, 0, 7]
    assert (linear.merge.linear.mean_r, linear.merge.linear.inflection) == (16, -0.5)
    assert not nothing.HasField("merge")
    assert (constant.model, constant.if_weights_digest) == ("vit", "d1")
    assert constant.output == pb.OutputSpec(
        element_type=pb.ELEMENT_TYPE_INT8, normalization=pb.NORMALIZATION_NONE, dimensions=1,
        pooling=pb.POOLING_MEAN, merge_map=True, model_pixels=True,
    )  # fmt: skip
    assert server.calls[0].metadata["x-request-id"] == "mine"


def test_decodes_each_form_of_vector_the_merge_map_and_the_tokens(connect, fake_server):
    from tome_client.v1 import embedding_pb2 as pb

    def reply(request, call):
        values = np.array([1.5, -2.0])
        if call == 0:
            return pb.Embedding(
                vector=pb.Vector(type=pb.ELEMENT_TYPE_FLOAT16, dimensions=2, data=values.astype("<f2").tobytes())
            )
        embedding = pb.Embedding(
            vector=pb.Vector(type=pb.ELEMENT_TYPE_INT8, dimensions=2, data=np.int8([3, -4]).tobytes(), scale=0.5)
        )
        embedding.merge_map.CopyFrom(
            pb.MergeMap(grid_height=1, grid_width=2, group_of_patch=[1, 0], size=[1.0, 2.0])
        )
        embedding.tokens.CopyFrom(pb.Tokens(count=1, dimensions=2, data=values.astype("<f4").tobytes()))
        embedding.model_pixels.CopyFrom(pb.RawImage(height=1, width=2, data=bytes(range(6))))
        embedding.timing.compute.FromMilliseconds(2)
        embedding.applied.expected_fidelity = 0.75
        return embedding

    client = connect(fake_server(reply))

    half, byte = client.call("embed", b"1"), client.call("embed", b"2")

    np.testing.assert_array_equal(half.vector, np.float32([1.5, -2.0]))
    np.testing.assert_array_equal(byte.vector, np.float32([1.5, -2.0]))
    np.testing.assert_array_equal(byte.merge_map.group_of_patch, [[1, 0]])
    np.testing.assert_array_equal(byte.tokens, np.float32([[1.5, -2.0]]))
    np.testing.assert_array_equal(byte.model_pixels, [[[0, 1, 2], [3, 4, 5]]])
    assert (byte.timing.compute, byte.timing.decode) == (0.002, None)
    assert (half.expected_fidelity, byte.expected_fidelity) == (None, 0.75)


def test_a_vector_that_does_not_fit_its_description_is_the_servers_fault(connect, fake_server):
    import tome_client
    from tome_client.v1 import embedding_pb2 as pb

    vector = pb.Vector(type=pb.ELEMENT_TYPE_FLOAT32, dimensions=3, data=bytes(8))
    client = connect(fake_server(lambda request, call: pb.Embedding(vector=vector)))

    with pytest.raises(tome_client.TomeError, match="8 bytes for 3 elements") as raised:
        client.call("embed", b"1")

    assert raised.value.code == grpc.StatusCode.INTERNAL


def test_a_full_server_is_asked_again_after_the_time_it_names(connect, fake_server):
    def reply(request, call):
        if call < 2:
            raise full("50")
        return answer(1)

    server = fake_server(reply)
    client = connect(server)
    begin = time.monotonic()

    embedding = client.call("embed", b"1")

    assert embedding.retries == 2
    assert time.monotonic() - begin >= 0.1
    assert len({call.metadata["x-request-id"] for call in server.calls}) == 1


def test_an_exhausted_resource_without_a_hint_is_not_asked_again(connect, fake_server):
    import tome_client

    def oversize(request, call):
        raise Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "message too large")

    server = fake_server(oversize)
    client = connect(server)

    with pytest.raises(tome_client.TomeError) as raised:
        client.call("embed", b"1")

    assert (raised.value.code, raised.value.message) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "message too large")
    assert len(server.calls) == 1


def test_the_refusal_is_reported_where_the_wait_would_reach_the_deadline(connect, fake_server):
    import tome_client

    def reply(request, call):
        raise full("60000")

    server = fake_server(reply)
    client = connect(server)

    with pytest.raises(tome_client.TomeError) as raised:
        client.call("embed", b"1", timeout=20)

    assert raised.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(server.calls) == 1


def test_an_unavailable_server_is_asked_again_up_to_a_number_of_times(connect, fake_server):
    import tome_client

    def reply(request, call):
        raise Failure(grpc.StatusCode.UNAVAILABLE, "starting")

    server = fake_server(reply)
    client = connect(server, retry=tome_client.RetryPolicy(max_unavailable_retries=2, **QUICK))

    with pytest.raises(tome_client.TomeError) as raised:
        client.call("embed", b"1")

    assert str(raised.value).startswith("UNAVAILABLE: starting (after 2 retries) (request ")
    assert len(server.calls) == 3


def test_a_call_that_is_not_answered_in_time_says_so(connect, fake_server):
    import tome_client

    client = connect(fake_server(lambda request, call: None))

    with pytest.raises(tome_client.TomeError, match="no answer within 0.3 s") as raised:
        client.call("embed", b"1", timeout=0.3)

    assert raised.value.code == grpc.StatusCode.DEADLINE_EXCEEDED


def test_calls_are_spread_over_healthy_servers_alone(connect, fake_server):
    from grpc_health.v1 import health_pb2

    servers = [fake_server(number) for _ in range(3)]
    servers[2].health.set(SERVICE, health_pb2.HealthCheckResponse.NOT_SERVING)
    client = connect("ipv4:" + ",".join(server.address for server in servers))

    # The client calls as soon as one of the servers is known to be healthy.
    while not all(server.calls for server in servers[:2]):
        client.call("embed", b"1")

    assert servers[2].calls == []
    assert connect(servers[0]).call("health") == "SERVING"
    assert connect(servers[2]).call("health") == "NOT_SERVING"
    assert connect(servers[0]).call("health", "other.Service") == "SERVICE_UNKNOWN"


def test_a_batch_gives_an_outcome_an_image_over_as_many_calls_as_the_limits_ask_for(connect, fake_server):
    import tome_client

    server = fake_server(number)
    client = connect(server)

    outcomes = client.call("embed_batch", [b"1", b"bad", tome_client.Item(b"3", r=8), b"4", b"5", b"6", b"7"], r=2)

    assert numbers(outcomes) == [1, "INVALID_ARGUMENT", 3, 4, 5, 6, 7]
    # Of the server's 12 places two calls at once take half.
    assert sorted(server.batches) == [1, 3, 3]
    by_picture = {call.request.input.encoded: call.request.merge.constant for call in server.calls}
    assert (by_picture[b"1"], by_picture[b"3"]) == (2, 8)
    assert client.call("embed_batch", []) == []


def test_a_refused_batch_is_sent_again_whole_and_a_failed_one_fails_its_images_alone(connect, fake_server):
    def reply(request, call):
        if call == 1:
            raise full("1")
        if request.input.encoded == b"8":
            raise Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "message too large")
        return number(request, call)

    client = connect(fake_server(reply))

    outcomes = client.call("embed_batch", [b"%d" % i for i in range(1, 14)], calls_at_once=1)

    assert numbers(outcomes) == [1, 2, 3, 4, 5, 6, *["RESOURCE_EXHAUSTED"] * 6, 13]
    assert outcomes[0].retries == 1


def test_what_a_batch_or_stream_cannot_send_fails_alone(connect, fake_server, tmp_path):
    server = fake_server(number)
    client = connect(server)
    images = [b"1", tmp_path / "gone.jpg", b"3", tmp_path, b"5"]

    for outcomes in (client.call("embed_batch", images), [outcome for _, outcome in sorted(client.stream(images))]):
        assert numbers(outcomes) == [1, "NOT_FOUND", 3, "PERMISSION_DENIED", 5]
        assert f"{tmp_path / 'gone.jpg'}" in outcomes[1].message

    # Sent, it would end the stream, and what else is on its way with it.
    outcomes = dict(client.stream([b"1", bytes(1 << 20), b"3"]))
    assert numbers(outcomes[i] for i in range(3)) == [1, "INVALID_ARGUMENT", 3]
    assert f"the server takes at most {1 << 20}" in outcomes[1].message
    assert server.streams == 2


def test_less_than_one_image_or_call_at_once_is_refused(connect, fake_server):
    client = connect(fake_server(number))

    with pytest.raises(ValueError, match="window: 0 is less than 1"):
        client.stream([b"1"], window=0)
    with pytest.raises(ValueError, match="calls_at_once: 0 is less than 1"):
        client.call("embed_batch", [b"1"], calls_at_once=0)


def test_a_stream_answers_each_image_once_with_its_place(connect, fake_server):
    import tome_client

    server = fake_server(number)
    client = connect(server)
    images = [b"bad" if i % 10 == 3 else tome_client.Item(b"%d" % i, r=i % 5) for i in range(200)]

    outcomes = dict(client.stream(iter(images), window=7))

    assert len(outcomes) == 200
    expected = ["INVALID_ARGUMENT" if i % 10 == 3 else i for i in range(200)]
    assert numbers(outcomes[i] for i in range(200)) == expected
    assert server.streams == 1
    assert client.stream([]) == []


def test_an_image_is_sent_and_its_answer_given_though_the_next_one_waits_for_it(connect, fake_server):
    server = fake_server(number)

    outcomes = connect(server).stream_in_turn([b"0", b"1", b"2"], window=64)

    assert [(place, outcome.vector[0]) for place, outcome in outcomes] == [(0, 0), (1, 1), (2, 2)]
    assert server.streams == 1


def test_what_fails_to_give_an_image_fails_the_stream(connect, fake_server):
    def images():
        yield b"0"
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        connect(fake_server(number)).stream(images())


def test_answers_that_came_in_time_count_though_they_are_read_late(connect, fake_server, monkeypatch):
    clock, late = time.monotonic, 0.0
    monkeypatch.setattr(time, "monotonic", lambda: clock() + late)

    def read_late():
        nonlocal late
        late = 1000.0

    outcomes = dict(connect(fake_server(number)).stream_read_late([b"0", b"1", b"2"], read_late, timeout=100.0))

    assert numbers(outcomes[i] for i in range(3)) == [0, 1, 2]


def test_a_stream_leaves_no_thread_behind(fake_server):
    import tome_client

    def reply(request, call):
        if call == 0:
            raise Failure(grpc.StatusCode.UNAVAILABLE, "draining")
        return number(request, call)

    server = fake_server(reply)
    with tome_client.Client(server.address, retry=tome_client.RetryPolicy(**QUICK)) as client:
        client.embed(b"7")
        before = set(threading.enumerate())
        server.calls.clear()  # the next image is the first again
        assert numbers(dict(client.embed_stream([b"1", b"2"])).values()) == [1, 2]
        for thread in set(threading.enumerate()) - before:
            if not thread.name.startswith("ThreadPoolExecutor"):
                thread.join(30)
                assert not thread.is_alive(), thread


def test_what_a_broken_stream_left_unanswered_is_sent_again_and_nothing_else(connect, fake_server):
    def reply(request, call):
        if call == 1:
            return None
        if call == 3:
            raise Failure(grpc.StatusCode.UNAVAILABLE, "draining")
        return number(request, call)

    server = fake_server(reply)
    client = connect(server)

    outcomes = dict(client.stream([b"0", b"1", b"2", b"3"]))

    assert numbers(outcomes[i] for i in range(4)) == [0, 1, 2, 3]
    assert server.streams == 2
    sent = [call.request.input.encoded for call in server.calls]
    # What was answered before the stream broke may be lost on its way, and is asked for again then.
    assert sent[:4] == [b"0", b"1", b"2", b"3"] and {b"1", b"3"} <= set(sent[4:])
    assert outcomes[3].retries == 1


def test_an_image_that_alone_is_unavailable_is_sent_again_over_another_stream(connect, fake_server):
    def reply(request, call):
        if call == 0:
            raise Failure(grpc.StatusCode.UNAVAILABLE, "draining", of_image=True)
        return number(request, call)

    server = fake_server(reply)

    ((place, outcome),) = connect(server).stream([b"5"])

    assert (place, numbers([outcome]), server.streams) == (0, [5], 2)


def test_a_stream_that_no_retry_mends_fails_what_was_sent(connect, fake_server):
    import tome_client

    def reply(request, call):
        raise Failure(grpc.StatusCode.UNAVAILABLE, "starting")

    server = fake_server(reply)
    client = connect(server, retry=tome_client.RetryPolicy(max_unavailable_retries=2, **QUICK))

    ((place, outcome),) = client.stream([b"1"])

    assert (place, outcome.code, outcome.retries) == (0, grpc.StatusCode.UNAVAILABLE, 2)
    assert server.streams == 3


def test_an_image_of_a_stream_that_is_not_answered_in_time_ends_alone(connect, fake_server):
    def reply(request, call):
        return None if request.input.encoded == b"hangs" else number(request, call)

    outcomes = dict(connect(fake_server(reply)).stream([b"hangs", b"1"], timeout=1.0))

    assert numbers([outcomes[0], outcomes[1]]) == ["DEADLINE_EXCEEDED", 1]
    assert outcomes[0].message == "no answer within 1 s"


def test_a_stream_can_be_left_before_its_end(fake_server):
    import tome_client

    server = fake_server(number)

    with tome_client.Client(server.address) as client:
        first = next(client.embed_stream(b"%d" % i for i in range(10**9)))

    assert numbers([first[1]]) == [first[0]]


def test_the_wheel_says_that_it_is_typed():
    files = importlib.resources.files("tome_client")

    assert (files / "py.typed").is_file()
    assert (files / "v1" / "embedding_pb2.pyi").is_file()


def test_messages_survive_pickle():
    import pickle

    from tome_client.v1 import embedding_pb2 as pb

    request = pb.EmbedRequest(model="vit")
    assert pickle.loads(pickle.dumps(request)) == request


def test_committed_messages_are_what_protoc_generates(tmp_path):
    import subprocess

    from tome_server import ROOT

    subprocess.run([ROOT / "client/python/generate.sh", tmp_path], check=True)

    committed = ROOT / "client/python/src/tome_client/v1"
    for name in ("embedding_pb2.py", "embedding_pb2.pyi"):
        assert (tmp_path / name).read_text() == (pathlib.Path(committed) / name).read_text(), name
