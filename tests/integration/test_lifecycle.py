"""Start, health, drain and stop."""

import json
import os
import signal
import subprocess
import threading

import grpc
import pytest

SERVICE = "tome.v1.EmbeddingService"


def health(server, service):
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with server.channel() as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


def test_a_serving_server_is_healthy_and_can_be_reflected(server):
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    assert [health(server, name) for name in ("", SERVICE, "liveness")] == ["SERVING"] * 3
    with server.channel() as channel:
        reflected = ProtoReflectionDescriptorDatabase(channel)
        assert {SERVICE, "grpc.health.v1.Health"} <= set(reflected.get_services())
        embedding = reflected.FindFileContainingSymbol(SERVICE)
    assert embedding.package == "tome.v1"


def test_models_and_limits_are_published(server, checkpoint):
    import hashlib

    from tome.v1 import embedding_pb2 as pb

    with server.stub() as stub:
        listed = stub.ListModels(pb.ListModelsRequest(), timeout=10).models
        got = stub.GetModel(pb.GetModelRequest(name="plain"), timeout=10)

    assert [model.name for model in listed] == ["plain"]
    assert listed[0] == got.model
    assert got.model.weights_digest == hashlib.sha256((checkpoint / "model.safetensors").read_bytes()).hexdigest()
    assert (got.model.blocks, got.model.tokens, got.model.prefix_tokens, got.model.maximum_r) == (6, 37, 1, 18)
    assert (got.model.input_height, got.model.embedding_dimensions) == (96, 96)
    assert got.limits.encoded_bytes == 20 << 20
    assert got.limits.default_timeout.seconds == 30


def test_drain_under_load_loses_no_accepted_call(start_server, checkpoint, photos):
    from tome.v1 import embedding_pb2 as pb

    server = start_server("--model", f"plain={checkpoint}", "--drain-delay", "1s", "--drain-grace", "30s")
    request = pb.EmbedRequest(input=pb.Input(encoded=photos["temple.jpg"]), merge=pb.MergeSpec(constant=2))
    codes = []
    under_way = threading.Event()

    def call_until_refused():
        # Each client has a connection of its own and stops at its first refusal, as a load balancer would.
        with server.stub() as stub:
            while True:
                try:
                    stub.Embed(request, timeout=60)
                    codes.append(grpc.StatusCode.OK)
                    under_way.set()
                except grpc.RpcError as error:
                    codes.append(error.code())
                    return

    clients = [threading.Thread(target=call_until_refused) for _ in range(8)]
    for client in clients:
        client.start()
    assert under_way.wait(60)
    server.terminate()
    server.await_log("drain")
    unhealthy = health(server, SERVICE), health(server, ""), health(server, "liveness")
    state = {name: value for name, value in server.metrics().items() if name.startswith("tome_server_state")}
    with server.stub() as stub:
        in_delay = stub.Embed(request, timeout=60)
    for client in clients:
        client.join(60)

    assert unhealthy == ("NOT_SERVING", "NOT_SERVING", "SERVING")
    assert {name for name, value in state.items() if value} == {'tome_server_state{state="draining"}'}
    assert in_delay.embedding.vector.dimensions == 96, "the server keeps accepting for the drain delay"
    assert server.wait() == 0
    refused = [code for code in codes if code != grpc.StatusCode.OK]
    assert refused == [grpc.StatusCode.UNAVAILABLE] * len(clients), refused


def test_a_second_signal_ends_at_once(start_server, checkpoint):
    server = start_server("--model", f"plain={checkpoint}", "--drain-delay", "10m")

    server.terminate()
    server.await_log("drain")
    server.terminate()

    assert server.wait(10) == 128 + signal.SIGTERM


def test_without_a_model_it_serves_the_one_that_comes_with_it(start_server):
    from tome.v1 import embedding_pb2 as pb

    server = start_server("--drain-delay", "0s")

    with server.stub() as stub:
        (model,) = stub.ListModels(pb.ListModelsRequest(), timeout=10).models
    server.terminate()

    assert model.name == "clipart"
    assert model.profile.steps[0].fidelity == 1, "its profile is beside it"
    assert server.wait() == 0


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--model", "{none}"], 1, "config.json"),
        (["--model", "{plain}", "--dtype", "int4"], 2, "int4"),
        (["--model", "{plain}", "--no-such-option"], 2, "no-such-option"),
    ],
)
def test_a_start_that_cannot_work_says_why_in_one_line(tmp_path, checkpoint, arguments, code, text):
    from tome_server import BINARIES

    arguments = [argument.format(none=tmp_path, plain=checkpoint) for argument in arguments]
    ended = subprocess.run(
        [BINARIES / "tome-server", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", *arguments],
        capture_output=True, text=True, timeout=60, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip

    assert ended.returncode == code, ended.stderr
    assert text in ended.stderr.splitlines()[-1]


def test_log_lines_can_be_objects(tmp_path):
    from tome_server import BINARIES

    ended = subprocess.run(
        [BINARIES / "tome-server", "--log-format", "json", "--model", tmp_path]
        + ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [(line["level"], line["message"]) for line in lines] == [("info", "starting"), ("error", "cannot start")]
    assert lines[0]["models"] == 1
    assert "config.json" in lines[1]["reason"]


def test_a_missing_tensor_is_named_and_stops_the_start(tmp_path, checkpoint):
    import safetensors.numpy

    from tome_server import BINARIES

    weights = safetensors.numpy.load_file(checkpoint / "model.safetensors")
    del weights["blocks.3.attn.proj.bias"]
    safetensors.numpy.save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes((checkpoint / "config.json").read_bytes())

    ended = subprocess.run(
        [BINARIES / "tome-server", "--model", tmp_path, "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert ended.returncode == 1
    assert "blocks.3.attn.proj.bias" in ended.stderr
