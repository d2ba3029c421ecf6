"""tome-server --device cuda from end to end, its module compiled for the host (tests/cuda_shim): no GPU is needed."""

import grpc
import numpy as np
import pytest
from tome_server import BINARIES

SERVICE = "tome.v1.EmbeddingService"


@pytest.fixture
def start_on_gpus(start_server, checkpoint, tmp_path, monkeypatch):
    """start_on_gpus(device, gpus) -> a server that sees so many GPUs, of which it loses N when `lose(N)` says so."""

    def start(device, gpus, drain_delay="0s"):
        monkeypatch.setenv("CUDA_SHIM_DEVICES", str(gpus))
        monkeypatch.setenv("CUDA_SHIM_LOST", str(tmp_path))
        return start_server(
            "--model", f"plain={checkpoint}", "--device", device, "--cuda-module", BINARIES / "libtome_cuda_on_shim.so",
            "--max-batch-images", "2", "--max-admitted-images", "64", "--drain-delay", drain_delay,
        )  # fmt: skip

    return start


@pytest.fixture
def lose(tmp_path):
    return lambda gpu: (tmp_path / str(gpu)).touch()


def requests(photos):
    from tome.v1 import embedding_pb2 as pb

    return [
        pb.EmbedRequest(
            input=pb.Input(encoded=photo), merge=pb.MergeSpec(constant=r), output=pb.OutputSpec(merge_map=True)
        )
        for photo in photos.values()
        for r in (0, 3, 18)
    ]


def codes_of(stub, calls):
    ended = [stub.Embed.future(request, timeout=60) for request in calls]
    return [call.code() for call in ended]


def test_a_gpu_gives_the_vectors_and_merge_maps_of_the_cpu(server, start_on_gpus, photos):
    on_gpu = start_on_gpus("cuda", 1)

    with server.stub() as cpu, on_gpu.stub() as gpu:
        for request in requests(photos):
            wanted = cpu.Embed(request, timeout=60).embedding
            got = gpu.Embed(request, timeout=60).embedding
            np.testing.assert_allclose(
                np.frombuffer(got.vector.data, "<f4"), np.frombuffer(wanted.vector.data, "<f4"), atol=1e-4
            )
            assert got.merge_map == wanted.merge_map
            assert got.applied == wanted.applied

    metrics = on_gpu.metrics()
    passes = {how: metrics[f'tome_engine_passes_total{{device="cuda:0",how="{how}"}}'] for how in ("eager", "graph")}
    # A plan that comes a third time is a graph: there are four photographs and three r.
    assert passes["eager"] > 0 and passes["graph"] >= 6, passes
    assert metrics['tome_engine_busy_seconds_total{device="cuda:0"}'] > 0
    assert [name for name in metrics if name.startswith("tome_model_info{") and 'device="cuda:0"' in name]


def test_all_gpus_serve_one_queue_and_those_that_are_left_go_on(start_on_gpus, lose, photos):
    server = start_on_gpus("cuda:all", 2)
    calls = requests(photos)

    with server.stub() as stub:
        assert set(codes_of(stub, calls * 2)) == {grpc.StatusCode.OK}
        busy = [server.metrics()[f'tome_engine_busy_seconds_total{{device="cuda:{gpu}"}}'] for gpu in (0, 1)]
        assert min(busy) > 0, busy

        lose(0)
        codes = []
        while grpc.StatusCode.UNAVAILABLE not in codes:
            codes = codes_of(stub, calls)
            assert set(codes) <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
        server.await_log("a GPU is lost.*cuda:0")

        assert set(codes_of(stub, calls)) == {grpc.StatusCode.OK}
    assert server.process.poll() is None


def test_without_its_last_gpu_the_server_is_not_serving_and_ends_with_an_error(start_on_gpus, lose, photos):
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    # Long enough for the calls under way: gRPC cancels what arrives during its shutdown.
    server = start_on_gpus("cuda:0", 1, drain_delay="2s")

    with server.channel() as channel, server.stub() as stub:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=60)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING

        lose(0)
        codes = codes_of(stub, requests(photos))

        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert set(codes) == {grpc.StatusCode.UNAVAILABLE}
    assert server.wait() == 1
    server.await_log("no GPU is left")
