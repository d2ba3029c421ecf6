"""Bad input gets its own clear error, and the server goes on."""

import io

import grpc
import pytest
from PIL import Image


def png(width, height):
    file = io.BytesIO()
    Image.new("RGB", (width, height), (200, 10, 90)).save(file, "PNG")
    return file.getvalue()


def requests(pb, photos):
    jpeg = photos["cat.jpg"]
    good = pb.Input(encoded=jpeg)
    image = pb.RawImage(height=2, width=2, data=b"\0" * 11)
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    return {
        "no input": (pb.EmbedRequest(), invalid, "input", "input"),
        "empty file": (pb.EmbedRequest(input=pb.Input(encoded=b"")), invalid, "input.encoded", "empty"),
        "truncated JPEG": (
            pb.EmbedRequest(input=pb.Input(encoded=jpeg[: len(jpeg) // 2])), invalid, "input.encoded", "JPEG",
        ),
        "corrupt PNG": (
            pb.EmbedRequest(input=pb.Input(encoded=photos["astronaut.png"][:2000] + b"\xff" * 4000)),
            invalid, "input.encoded", "PNG",
        ),
        "not a picture": (pb.EmbedRequest(input=pb.Input(encoded=b"hello, world")), invalid, "input.encoded", "68 65"),
        "too wide": (
            pb.EmbedRequest(input=pb.Input(encoded=png(16385, 1))), invalid, "input.encoded", "16385 x 1",
        ),
        "raw size": (pb.EmbedRequest(input=pb.Input(rgb=image)), invalid, "input.rgb", "11"),
        "model pixels size": (
            pb.EmbedRequest(input=pb.Input(model_pixels=pb.RawImage(height=2, width=2, data=b"\0" * 12))),
            invalid, "input.model_pixels", "96",
        ),
        "empty merge": (pb.EmbedRequest(input=good, merge=pb.MergeSpec()), invalid, "merge", "merge"),
        "huge r": (pb.EmbedRequest(input=good, merge=pb.MergeSpec(constant=2**31)), invalid, "merge.constant", str(2**31)),
        "inflection": (
            pb.EmbedRequest(input=good, merge=pb.MergeSpec(linear=pb.MergeSpec.Linear(mean_r=2, inflection=1.5))),
            invalid, "merge.linear.inflection", "1.5 is outside [-1, 1]",
        ),
        "too many blocks": (
            pb.EmbedRequest(input=good, merge=pb.MergeSpec(per_block=pb.MergeSpec.PerBlock(r=[1] * 7))),
            invalid, "merge.per_block", "6",
        ),
        "dimensions": (
            pb.EmbedRequest(input=good, output=pb.OutputSpec(dimensions=97)), invalid, "output.dimensions", "96",
        ),
        "auto": (
            pb.EmbedRequest(input=good, merge=pb.MergeSpec(auto=pb.MergeSpec.Auto(maximum_r=3))),
            grpc.StatusCode.UNIMPLEMENTED, None, "auto",
        ),
        "unknown model": (
            pb.EmbedRequest(model="other", input=good), grpc.StatusCode.NOT_FOUND, None, "plain",
        ),
        "other weights": (
            pb.EmbedRequest(if_weights_digest="00", input=good), grpc.StatusCode.FAILED_PRECONDITION, None, "00",
        ),
    }


CASES = [
    "no input", "empty file", "truncated JPEG", "corrupt PNG", "not a picture", "too wide", "raw size",
    "model pixels size", "empty merge", "huge r", "inflection", "too many blocks", "dimensions", "auto",
    "unknown model", "other weights",
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_bad_request_is_told_what_to_change_and_the_next_one_is_served(server, photos, case):
    from google.rpc import error_details_pb2, status_pb2
    from tome.v1 import embedding_pb2 as pb

    request, code, field, text = requests(pb, photos)[case]

    with server.stub() as stub:
        with pytest.raises(grpc.RpcError) as raised:
            stub.Embed(request, timeout=60, metadata=[("x-request-id", "my-id-7")])
        served = stub.Embed(pb.EmbedRequest(input=pb.Input(encoded=photos["cat.jpg"])), timeout=60)

    assert raised.value.code() == code, raised.value.details()
    assert text in raised.value.details()
    trailers = dict(raised.value.trailing_metadata())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    details = {detail.TypeName(): detail for detail in status.details}
    info = error_details_pb2.RequestInfo()
    assert details["google.rpc.RequestInfo"].Unpack(info)
    assert info.request_id == "my-id-7"
    if field is not None:
        bad = error_details_pb2.BadRequest()
        assert details["google.rpc.BadRequest"].Unpack(bad)
        assert [violation.field for violation in bad.field_violations] == [field]
    assert "/" not in raised.value.details().replace("and/or", ""), "no path may leak"
    assert served.embedding.vector.dimensions == 96


def test_the_list_of_cases_is_whole(photos):
    from tome.v1 import embedding_pb2 as pb

    assert sorted(requests(pb, photos)) == sorted(CASES)


def test_an_oversize_message_is_refused_without_a_retry_hint(start_server, checkpoint, photos):
    from tome.v1 import embedding_pb2 as pb

    server = start_server(
        "--model", f"plain={checkpoint}", "--max-image-bytes", "1MiB", "--max-message-bytes", "2MiB", "--drain-delay", "0s"
    )

    with server.stub() as stub:
        with pytest.raises(grpc.RpcError) as over_message:
            stub.Embed(pb.EmbedRequest(input=pb.Input(encoded=b"\xff\xd8" + bytes(3 << 20))), timeout=60)
        with pytest.raises(grpc.RpcError) as over_image:
            stub.Embed(pb.EmbedRequest(input=pb.Input(encoded=b"\xff\xd8" + bytes(1 << 20))), timeout=60)
        served = stub.Embed(pb.EmbedRequest(input=pb.Input(encoded=photos["cat.jpg"])), timeout=60)

    assert over_message.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "grpc-retry-pushback-ms" not in dict(over_message.value.trailing_metadata())
    assert over_image.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert str(1 << 20) in over_image.value.details()
    assert served.embedding.vector.dimensions == 96
