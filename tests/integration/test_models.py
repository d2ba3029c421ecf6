"""Several models in one server, and new versions of them while it serves."""

import os
import shutil
import signal
import threading

import grpc
import pytest


def pixels(pb, side=96):
    return pb.Input(model_pixels=pb.RawImage(height=side, width=side, data=bytes(range(256)) * (side * side * 3 // 256)))


@pytest.fixture
def versions(tmp_path, checkpoint):
    """put(name): the model's directory holds version "old", "new" or "bad" of it from one moment on."""
    import safetensors.numpy

    model = tmp_path / "model"
    weights = safetensors.numpy.load_file(checkpoint / "model.safetensors")
    changed = {name: tensor * 2 if name == "norm.weight" else tensor for name, tensor in weights.items()}
    missing = {name: tensor for name, tensor in weights.items() if name != "norm.weight"}
    model.mkdir()
    shutil.copy(checkpoint / "config.json", model)

    def put(name):
        part = tmp_path / "part.safetensors"
        safetensors.numpy.save_file({"old": weights, "new": changed, "bad": missing}[name], part)
        os.replace(part, model / "model.safetensors")

    put("old")
    return model, put


def test_each_model_answers_under_its_name_and_a_digest_must_match(start_server, checkpoint):
    from tome.v1 import embedding_pb2 as pb

    distilled = checkpoint.parent / "distilled"
    server = start_server("--model", f"plain={checkpoint}", "--model", f"distilled={distilled}", "--drain-delay", "0s")

    with server.stub() as stub:
        models = {model.name: model for model in stub.ListModels(pb.ListModelsRequest(), timeout=10).models}
        limits = stub.GetModel(pb.GetModelRequest(name="plain"), timeout=10).limits
        answers = {
            name: stub.Embed(
                pb.EmbedRequest(
                    model=name, if_weights_digest=model.weights_digest, input=pixels(pb, model.input_height)
                ),
                timeout=60,
            )
            for name, model in models.items()
        }
        with pytest.raises(grpc.RpcError) as mixed_up:
            stub.Embed(
                pb.EmbedRequest(model="plain", if_weights_digest=models["distilled"].weights_digest, input=pixels(pb)),
                timeout=60,
            )

    assert set(models) == {"plain", "distilled"}
    assert limits.images_per_call == 128, "half of the places each"
    for name, answer in answers.items():
        assert (answer.model.name, answer.model.weights_digest) == (name, models[name].weights_digest)
    assert mixed_up.value.code() == grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.parametrize("by_signal", [True, False], ids=["SIGHUP", "poll"])
def test_a_new_version_replaces_the_old_one_under_load_without_a_failed_call(start_server, versions, by_signal):
    from tome.v1 import embedding_pb2 as pb

    directory, put = versions
    server = start_server(
        "--model", f"plain={directory}", "--model-poll-interval", "0s" if by_signal else "100ms", "--drain-delay", "0s"
    )
    over = threading.Event()
    answered = []
    failed = []

    def messages():
        i = 0
        while not over.is_set():
            yield pb.EmbedStreamRequest(id=i, request=pb.EmbedRequest(input=pixels(pb)))
            i += 1

    def stream(stub):
        for answer in stub.EmbedStream(messages(), timeout=250):
            (answered if answer.result.HasField("embedding") else failed).append(answer.model.weights_digest)

    def call(stub):
        while not over.is_set():
            try:
                answered.append(stub.Embed(pb.EmbedRequest(input=pixels(pb)), timeout=60).model.weights_digest)
            except grpc.RpcError as error:
                failed.append(error)

    with server.stub() as stub:
        clients = [threading.Thread(target=work, args=(stub,)) for work in (stream, call, call)]
        for client in clients:
            client.start()
        digests = []
        try:
            for version in ("new", "old"):
                digests.append(stub.GetModel(pb.GetModelRequest(), timeout=10).model.weights_digest)
                put(version)
                if by_signal:
                    server.process.send_signal(signal.SIGHUP)
                server.await_log(f"model replaced .*old_weights_digest={digests[-1]}")
        finally:
            over.set()
            for client in clients:
                client.join(120)

    assert failed == []
    assert len(set(digests)) == 2
    assert set(answered) == set(digests)
    assert server.metrics()['tome_model_reloads_total{model="plain",result="ok"}'] == 2


def test_a_bad_version_is_refused_in_one_clear_line_and_the_old_one_goes_on(start_server, versions):
    from tome.v1 import embedding_pb2 as pb

    directory, put = versions
    server = start_server("--model", f"plain={directory}", "--model-poll-interval", "0s", "--drain-delay", "0s")

    with server.stub() as stub:
        before = stub.Embed(pb.EmbedRequest(input=pixels(pb)), timeout=60)
        put("bad")
        server.process.send_signal(signal.SIGHUP)
        line = server.await_log("model not replaced")
        after = stub.Embed(pb.EmbedRequest(input=pixels(pb)), timeout=60)

    assert "norm.weight" in line and "the old one goes on" in line
    assert after.embedding.vector == before.embedding.vector
    assert after.model == before.model
