"""A checkpoint written by timm, served over a socket, gives what timm itself computes."""

import pathlib

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from tome_server import ROOT

SMALL = dict(embed_dim=96, depth=4, num_heads=3, img_size=96, num_classes=0)
CHECKPOINTS = {
    "vit": ("vit_small_patch16_224", SMALL),
    "vit with a classifier": ("vit_tiny_patch16_224", {**SMALL, "num_classes": 10}),
    "vit, other patches": ("vit_base_patch32_224", {**SMALL, "embed_dim": 128, "num_heads": 2}),
    "deit": ("deit_tiny_patch16_224", SMALL),
    "distilled deit": ("deit_tiny_distilled_patch16_224", SMALL),
    "no class token": (
        "vit_tiny_patch16_224", {**SMALL, "class_token": False, "global_pool": "avg", "fc_norm": False},
    ),
}  # fmt: skip


def make_model(name):
    architecture, options = CHECKPOINTS[name]
    torch.manual_seed(7)
    model = timm.create_model(architecture, **options).eval()
    with torch.no_grad():
        # timm's initial weights leave most paths almost untouched: wide ones make every one of them count.
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * (0.3 if parameter.ndim < 2 else parameter[0].numel() ** -0.5))
    return model, options


def save(model, options, directory):
    # As push_to_hf_hub lays a checkpoint out. pretrained_cfg describes the original; the input size is this model's.
    size = (3, options["img_size"], options["img_size"])
    model.pretrained_cfg = {**model.pretrained_cfg, "input_size": size}
    timm.models.save_for_hf(
        model, directory, model_args={k: v for k, v in options.items() if k != "num_classes"}, safe_serialization=True
    )
    return directory


@pytest.fixture(scope="module", params=CHECKPOINTS, ids=lambda name: name.replace(" ", "-").replace(",", ""))
def checkpoint(request, tmp_path_factory):
    model, options = make_model(request.param)
    return model, save(model, options, pathlib.Path(tmp_path_factory.mktemp("checkpoint")))


def embed(server, inputs):
    from tome.v1 import embedding_pb2 as pb

    output = pb.OutputSpec(normalization=pb.NORMALIZATION_NONE)
    with server.stub() as stub:
        requests = [pb.EmbedRequest(input=i, output=output, merge=pb.MergeSpec(constant=0)) for i in inputs]
        calls = [stub.Embed.future(request, timeout=60) for request in requests]
        return np.stack([np.frombuffer(call.result().embedding.vector.data, "<f4") for call in calls])


def model_pixels(pb, pixels):
    height, width, _ = pixels.shape
    return pb.Input(model_pixels=pb.RawImage(height=height, width=width, data=pixels.tobytes()))


def reference(model, pixels):
    mean, std = (np.array(model.pretrained_cfg[key], np.float32) for key in ("mean", "std"))
    normalised = (pixels.astype(np.float32) / 255 - mean) / std
    with torch.inference_mode():
        features = model.forward_features(torch.from_numpy(normalised).permute(0, 3, 1, 2))
        return model.forward_head(features, pre_logits=True).numpy()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_unmerged_embeddings_are_timms(start_server, checkpoint, dtype):
    from tome.v1 import embedding_pb2 as pb

    model, directory = checkpoint
    server = start_server("--model", directory, "--dtype", dtype, "--drain-delay", "0s")
    pixels = np.random.default_rng(3).integers(0, 256, (6, 96, 96, 3), np.uint8)
    pixels[4] = 128
    pixels[5, :48] = 255

    ours = embed(server, [model_pixels(pb, image) for image in pixels])
    timms = reference(model, pixels)

    if dtype == "float32":
        assert np.abs(ours - timms).max() <= 1e-4
    cosine = (ours * timms).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(timms, axis=1)
    assert cosine.min() >= 0.999, cosine
    server.terminate()
    assert server.wait() == 0


def test_photographs_take_timms_own_way_to_an_embedding(start_server, tmp_path):
    from tome.v1 import embedding_pb2 as pb

    model, options = make_model("vit")
    server = start_server("--model", save(model, options, tmp_path), "--drain-delay", "0s")
    paths = sorted((ROOT / "deploy/photos").glob("*.[jp][pn]g"))
    transform = timm.data.create_transform(
        **timm.data.resolve_data_config({}, pretrained_cfg=model.pretrained_cfg), is_training=False
    )

    ours = embed(server, [pb.Input(encoded=path.read_bytes()) for path in paths])
    with torch.inference_mode():
        timms = model(torch.stack([transform(Image.open(path).convert("RGB")) for path in paths])).numpy()

    assert np.abs(ours - timms).max() <= 1e-4
    server.terminate()
    assert server.wait() == 0
