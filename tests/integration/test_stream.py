"""EmbedStream against the real server."""

import collections
import random

import grpc

IMAGES = 10_000
SIDE = 96


def model_pixels(pb, shade, side=SIDE):
    return pb.Input(model_pixels=pb.RawImage(height=side, width=side, data=bytes([shade]) * (side * side * 3)))


def resident_bytes(server):
    return server.metrics()["process_resident_memory_bytes"]


def message(pb, i, choose):
    """(story, message) of the i-th image."""
    story = choose.choices(["plain", "bad", "expired", "unknown"], [94, 3, 2, 1])[0]
    request = pb.EmbedRequest(
        model="other" if story == "unknown" else "",
        input=model_pixels(pb, i % 256, SIDE - 1 if story == "bad" else SIDE),
        merge=pb.MergeSpec(constant=choose.choice([0, 1, 4, 8, 18])),
    )
    sent = pb.EmbedStreamRequest(id=i, request=request)
    if story == "expired":
        sent.timeout.FromNanoseconds(1)
    return story, sent


def test_ten_thousand_images_of_mixed_r_are_each_answered_once_in_flat_memory(start_server, checkpoint):
    from tome.v1 import embedding_pb2 as pb

    # One image a batch: oneDNN keeps what it builds for each new number of rows, which would pass for a leak.
    server = start_server("--model", f"plain={checkpoint}", "--max-batch-images", "1", "--compute-threads", "1", "--drain-delay", "0s")
    choose = random.Random(7)
    stories = {}

    def send():
        for i in range(IMAGES):
            stories[i], sent = message(pb, i, choose)
            yield sent

    answers = collections.Counter()
    ended = collections.Counter()
    memory = []
    with server.stub() as stub:
        for answer in stub.EmbedStream(send(), timeout=280):
            answers[answer.id] += 1
            ended[stories[answer.id], answer.result.error.code] += 1
            if len(memory) < 3 and sum(answers.values()) in (IMAGES // 5, IMAGES // 2, IMAGES - 1):
                memory.append(resident_bytes(server))

    assert sorted(answers) == list(range(IMAGES)) and set(answers.values()) == {1}
    code = {status: status.value[0] for status in grpc.StatusCode}
    assert set(ended) == {
        ("plain", code[grpc.StatusCode.OK]),
        ("bad", code[grpc.StatusCode.INVALID_ARGUMENT]),
        ("expired", code[grpc.StatusCode.DEADLINE_EXCEEDED]),
        ("unknown", code[grpc.StatusCode.NOT_FOUND]),
    }
    # 8,000 images are 220 MB of pixels.
    assert max(memory) - memory[0] < 48 << 20, memory


def test_a_client_that_reads_slowly_stops_its_stream_and_loses_nothing(start_server, checkpoint):
    from tome.v1 import embedding_pb2 as pb

    server = start_server("--model", f"plain={checkpoint}", "--drain-delay", "0s")
    sent = 0

    def send():
        nonlocal sent
        for i in range(1000):
            sent = i + 1
            # Each answer is 15 KB: what the connection buffers is soon full.
            yield pb.EmbedStreamRequest(
                id=i, request=pb.EmbedRequest(input=model_pixels(pb, i % 256), output=pb.OutputSpec(tokens=True))
            )

    with server.stub() as stub:
        answers = stub.EmbedStream(send(), timeout=280)
        first = next(answers).id
        # Nothing is read until the server has stopped reading, too: it computes no more.
        computed = -1
        while computed != (computed := server.metrics()['tome_images_total{code="OK",model="plain"}']):
            stub.Embed(pb.EmbedRequest(input=model_pixels(pb, 0)), timeout=60)
            computed += 1
        stopped_at = sent
        rest = [answer.id for answer in answers]

    assert stopped_at < 1000
    assert sorted([first, *rest]) == list(range(1000))


def test_a_client_that_is_gone_leaves_nothing_behind(start_server, checkpoint):
    from tome.v1 import embedding_pb2 as pb

    server = start_server("--model", f"plain={checkpoint}", "--drain-delay", "0s")

    def send():
        for i in range(100_000):
            yield pb.EmbedStreamRequest(id=i, request=pb.EmbedRequest(input=model_pixels(pb, i % 256)))

    for _ in range(10):
        with server.channel() as channel:
            from tome.v1 import embedding_pb2_grpc

            answers = embedding_pb2_grpc.EmbeddingServiceStub(channel).EmbedStream(send(), timeout=280)
            for _ in range(20):
                next(answers)
            answers.cancel()
    server.terminate()

    assert server.wait() == 0
    assert not [line for line in server.log if line is not None and " error " in line]
