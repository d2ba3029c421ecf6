"""EmbedBatch against the real server."""

import grpc
import numpy


def test_a_batch_of_256_answers_in_order_and_its_seven_bad_images_fail_alone(server, photos):
    from tome.v1 import embedding_pb2 as pb

    files = list(photos.values())
    bad = {0: b"", 17: b"not a picture", 63: files[0][:500], 128: b"\x89PNG", 129: b"\xff\xd8\xff", 200: b"GIF89a", 255: b"\0"}
    items = [
        pb.EmbedBatchRequest.Item(
            input=pb.Input(encoded=bad.get(i, files[i % len(files)])), merge=pb.MergeSpec(constant=i % 5)
        )
        for i in range(256)
    ]

    with server.stub() as stub:
        limit = stub.GetModel(pb.GetModelRequest(), timeout=10).limits.images_per_call
        answer = stub.EmbedBatch(pb.EmbedBatchRequest(items=items), timeout=120)
        alone = {
            (photo, r): numpy.frombuffer(
                stub.Embed(
                    pb.EmbedRequest(input=pb.Input(encoded=files[photo]), merge=pb.MergeSpec(constant=r)), timeout=60
                ).embedding.vector.data,
                "<f4",
            )
            for photo in range(len(files))
            for r in range(5)
        }

    assert limit == 256
    assert len(answer.results) == 256
    for i, result in enumerate(answer.results):
        if i in bad:
            assert result.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0], result
            assert result.error.message.startswith(f"items[{i}].input.encoded: "), result
        else:
            # That of its own photograph and r, not of a neighbour's; bits are the matter of another test.
            vector = numpy.frombuffer(result.embedding.vector.data, "<f4")
            numpy.testing.assert_allclose(vector, alone[i % len(files), i % 5], atol=1e-5, err_msg=str(i))
            assert result.embedding.timing.HasField("compute")
