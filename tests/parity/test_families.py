"""A checkpoint as timm or transformers writes it, served over a socket, gives what the library itself computes."""

import checkpoints
import grpc
import numpy as np
import pytest
import torch
from PIL import Image

from tome_server import ROOT


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("checkpoints")
    return {name: checkpoints.write(name, root / name) for name in checkpoints.NAMES}


@pytest.fixture(scope="module")
def servers(start_server, written):
    """servers(dtype): one server with every checkpoint under its name."""
    models = [f"--model={name}={checkpoint.directory}" for name, checkpoint in written.items()]
    started = {}

    def server(dtype):
        if dtype not in started:
            started[dtype] = start_server(*models, "--dtype", dtype, "--drain-delay", "0s")
        return started[dtype]

    return server


def embed(server, model, inputs, r=0, pooling=0):
    from tome.v1 import embedding_pb2 as pb

    output = pb.OutputSpec(normalization=pb.NORMALIZATION_NONE, pooling=pooling)
    with server.stub() as stub:
        merge = pb.MergeSpec(constant=r)
        requests = [pb.EmbedRequest(model=model, input=i, output=output, merge=merge) for i in inputs]
        calls = [stub.Embed.future(request, timeout=60) for request in requests]
        return np.stack([np.frombuffer(call.result().embedding.vector.data, "<f4") for call in calls])


def model_pixels(pixels):
    from tome.v1 import embedding_pb2 as pb

    height, width = pixels.shape[1:3]
    return [pb.Input(model_pixels=pb.RawImage(height=height, width=width, data=each.tobytes())) for each in pixels]


def cosines(a, b):
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", checkpoints.NAMES)
def test_unmerged_embeddings_are_the_librarys(servers, written, name, dtype):
    checkpoint = written[name]
    pixels = checkpoints.picture_pixels(checkpoint.side)

    ours = embed(servers(dtype), name, model_pixels(pixels))
    theirs = checkpoint.embeddings(checkpoint.normalise(pixels))

    if dtype == "float32":
        assert np.abs(ours - theirs).max() <= 1e-4
    assert cosines(ours, theirs).min() >= 0.999, cosines(ours, theirs)


@pytest.mark.parametrize("name", ["vit", "hf-vit", "hf-deit", "hf-clip-vision", "hf-siglip"])
def test_photographs_take_the_librarys_own_way_to_an_embedding(servers, written, name):
    from tome.v1 import embedding_pb2 as pb

    checkpoint = written[name]
    paths = sorted((ROOT / "deploy/photos").glob("*.[jp][pn]g"))

    ours = embed(servers("float32"), name, [pb.Input(encoded=path.read_bytes()) for path in paths])
    theirs = checkpoint.embeddings(checkpoint.preprocess([Image.open(path).convert("RGB") for path in paths]))

    assert np.abs(ours - theirs).max() <= 1e-4


def test_the_mean_of_the_patches_can_be_asked_for(servers, written):
    from tome.v1 import embedding_pb2 as pb

    patches = {
        "hf-vit": lambda m, x: m(x).last_hidden_state[:, 1:],
        "hf-clip-vision-projected": lambda m, x: m.vision_model.post_layernorm(m.vision_model(x).last_hidden_state[:, 1:]),
        "hf-siglip-vision": lambda m, x: m(x).last_hidden_state,
    }
    for name, tokens in patches.items():
        checkpoint = written[name]
        pixels = checkpoints.picture_pixels(checkpoint.side)

        ours = embed(servers("float32"), name, model_pixels(pixels), pooling=pb.POOLING_MEAN)
        with torch.inference_mode():
            theirs = tokens(checkpoint.model, checkpoint.normalise(pixels)).mean(1).numpy()

        assert np.abs(ours - theirs).max() <= 1e-4, name


def test_the_class_token_can_be_asked_for_where_there_is_one(servers, written):
    from tome.v1 import embedding_pb2 as pb

    pixels = model_pixels(checkpoints.picture_pixels(checkpoints.SIDE))
    mae, clip = written["hf-mae"], "hf-clip-vision-projected"

    ours = embed(servers("float32"), "hf-mae", pixels, pooling=pb.POOLING_CLASS_TOKEN)
    noise = torch.arange(36).float().expand(5, 36)
    with torch.inference_mode():
        normalised = mae.normalise(checkpoints.picture_pixels(checkpoints.SIDE))
        theirs = mae.model.vit(normalised, noise=noise).last_hidden_state[:, 0].numpy()

    assert np.abs(ours - theirs).max() <= 1e-4
    projected = embed(servers("float32"), clip, pixels, pooling=pb.POOLING_CLASS_TOKEN)
    np.testing.assert_array_equal(projected, embed(servers("float32"), clip, pixels))
    with pytest.raises(grpc.RpcError, match="this model has no class token") as refused:
        embed(servers("float32"), "hf-siglip-vision", pixels, pooling=pb.POOLING_CLASS_TOKEN)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


# Token Merging as the paper defines it, one image at a time, in obvious lines.


def merge(x, keys, size, r, prefix):
    """x [n, D], keys [n, d] averaged over heads, size [n] -> x and size after r merges."""
    n = len(x)
    r = min(r, (n - prefix) // 2)
    if r == 0:
        return x, size
    metric = keys / keys.norm(dim=-1, keepdim=True)
    a, b = list(range(0, n, 2)), list(range(1, n, 2))
    scores = metric[a] @ metric[b].T
    scores[[i for i, row in enumerate(a) if row < prefix], :] = -torch.inf
    scores[:, [j for j, row in enumerate(b) if row < prefix]] = -torch.inf
    best, partner = scores.max(dim=1)
    merged = set(torch.argsort(best, descending=True, stable=True)[:r].tolist())
    total = x * size[:, None]
    count = size.clone()
    for i in sorted(merged):
        total[b[partner[i]]] += x[a[i]] * size[a[i]]
        count[b[partner[i]]] += size[a[i]]
    kept = [row for i, row in enumerate(a) if i not in merged and row >= prefix] + [row for row in b if row >= prefix]
    order = list(range(prefix)) + kept
    return (total / count[:, None])[order], count[order]


def attend(q, k, v, size, heads):
    q, k, v = (t.view(len(t), heads, -1).transpose(0, 1) for t in (q, k, v))
    logits = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5 + size.log()
    return (logits.softmax(-1) @ v).transpose(0, 1).flatten(1)


def merged_tokens(tower, x, r, prefix):
    """A vision tower of CLIP or SigLIP after its last norm: tokens [n, D] and their sizes."""
    heads = tower.config.num_attention_heads
    size = torch.ones(len(x))
    for layer in tower.encoder.layers:
        attention, y = layer.self_attn, layer.layer_norm1(x)
        keys = attention.k_proj(y)
        x = x + attention.out_proj(attend(attention.q_proj(y), keys, attention.v_proj(y), size, heads))
        x, size = merge(x, keys.view(len(y), heads, -1).mean(1), size, r, prefix)
        x = x + layer.mlp(layer.layer_norm2(x))
    return tower.post_layernorm(x), size


def merged_clip(model, pixels, r):
    tower = model.vision_model
    tokens, _ = merged_tokens(tower, tower.pre_layrnorm(tower.embeddings(pixels)[0]), r, prefix=1)
    return model.visual_projection(tokens[0])


def merged_siglip(model, pixels, r):
    tower = model.vision_model
    tokens, size = merged_tokens(tower, tower.embeddings(pixels, interpolate_pos_encoding=True)[0], r, prefix=0)
    head, attention = tower.head, tower.head.attention
    weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
    q, k, v = (t @ w.T + b for t, w, b in zip((head.probe[0], tokens, tokens), weights, biases, strict=True))
    pooled = attention.out_proj(attend(q, k, v, size, tower.config.num_attention_heads))
    return (pooled + head.mlp(head.layernorm(pooled)))[0]


@pytest.mark.parametrize("r", [3, 7, 30])
@pytest.mark.parametrize("name", ["hf-clip-vision-projected", "hf-siglip"])
def test_merged_embeddings_are_those_of_obvious_lines(servers, written, name, r):
    checkpoint = written[name]
    reference = merged_clip if "clip" in name else merged_siglip
    pixels = checkpoints.picture_pixels(checkpoint.side)

    ours = embed(servers("float32"), name, model_pixels(pixels), r=r)
    with torch.inference_mode():
        normalised = checkpoint.normalise(pixels)
        theirs = np.stack([reference(checkpoint.model, x[None], r).numpy() for x in normalised])

    assert np.abs(ours - theirs).max() <= 1e-4
    assert np.abs(ours - embed(servers("float32"), name, model_pixels(pixels))).max() > 1e-3
