"""Checkpoints of every family with random weights, written by timm and by transformers, each with the library's own embedding."""

import dataclasses
import json
import pathlib
from collections.abc import Callable

import numpy as np
import timm
import torch
import transformers

transformers.logging.set_verbosity_error()
torch.set_num_threads(1)

SIDE = 96


@dataclasses.dataclass
class Checkpoint:
    directory: pathlib.Path
    model: torch.nn.Module
    embed: Callable  # normalised pixels [n, 3, h, w] -> the library's own embeddings
    preprocess: Callable  # pictures -> normalised pixels, as the library does it
    mean: list
    std: list
    side: int

    def normalise(self, pixels):
        mean, std = (torch.tensor(value, dtype=torch.float32) for value in (self.mean, self.std))
        return ((torch.from_numpy(pixels).float() / 255 - mean) / std).permute(0, 3, 1, 2)

    def embeddings(self, pixels):
        with torch.inference_mode():
            return self.embed(pixels).numpy()


def randomise(model):
    """The libraries' initial weights leave most paths almost untouched: wide ones make every one of them count."""
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            wide = 0.3 if parameter.ndim < 2 else parameter[0].numel() ** -0.5
            parameter.copy_(torch.randn_like(parameter) * wide)
    return model.eval()


SMALL = dict(embed_dim=96, depth=4, num_heads=3, img_size=SIDE, num_classes=0)

# Architecture, its arguments, and the input size where it differs from that of the stored position embedding.
TIMM = {
    "vit": ("vit_small_patch16_224", SMALL),
    "vit-with-a-classifier": ("vit_tiny_patch16_224", {**SMALL, "num_classes": 10}),
    "vit-other-patches": ("vit_base_patch32_224", {**SMALL, "embed_dim": 128, "num_heads": 2}),
    "vit-no-class-token": (
        "vit_tiny_patch16_224", {**SMALL, "class_token": False, "global_pool": "avg", "fc_norm": False},
    ),
    "vit-mean-then-norm": ("vit_tiny_patch16_224", {**SMALL, "global_pool": "avg"}),
    "vit-without-qkv-bias": ("vit_tiny_patch16_224", {**SMALL, "qkv_bias": False}),
    "vit-larger-input": ("vit_small_patch16_224", SMALL, 128),
    "dino": ("vit_small_patch16_224.dino", SMALL),
    "deit": ("deit_tiny_patch16_224", SMALL),
    "deit-distilled": ("deit_tiny_distilled_patch16_224", SMALL),
    "deit3": ("deit3_small_patch16_224", SMALL),
    "mae": ("vit_base_patch16_224.mae", SMALL),
    "dinov2": ("vit_small_patch14_dinov2", {**SMALL, "img_size": 98}),
    "dinov2-smaller-input": ("vit_small_patch14_dinov2", {**SMALL, "img_size": 140}, 84),
    "dinov2-registers-swiglu": ("vit_giant_patch14_reg4_dinov2", {**SMALL, "img_size": 98}),
    "clip": ("vit_base_patch32_clip_224.openai", {**SMALL, "num_classes": 40}),
    "clip-quickgelu": ("vit_base_patch16_clip_quickgelu_224.openai", {**SMALL, "num_classes": 40}),
    "siglip": ("vit_base_patch16_siglip_224", SMALL),
    "siglip-tanh": ("vit_so400m_patch16_siglip_256", SMALL),
    "siglip-mean": ("vit_base_patch16_siglip_gap_224", SMALL),
    "siglip-cut-patches": ("vit_so400m_patch14_siglip_384", SMALL),
}  # fmt: skip


def write_timm(name, directory):
    architecture, options, *resized = TIMM[name]
    model = randomise(timm.create_model(architecture, **options))
    side = resized[0] if resized else options["img_size"]
    # As push_to_hf_hub lays a checkpoint out. pretrained_cfg describes the original; the input size is this model's.
    model.pretrained_cfg = {**model.pretrained_cfg, "input_size": (3, side, side)}
    args = {key: value for key, value in options.items() if key != "num_classes"}
    timm.models.save_for_hf(model, directory, model_args=args, safe_serialization=True)
    config = json.loads((directory / "config.json").read_text())
    config["pretrained_cfg"]["input_size"] = [3, side, side]
    (directory / "config.json").write_text(json.dumps(config))
    if resized:
        model.set_input_size(img_size=(side, side))

    def embed(pixels):
        features = model.forward_features(pixels)
        if name == "mae":  # timm pools its class token
            return features[:, 1:].mean(1)
        if name.startswith("clip"):
            return model.forward_head(features)
        return model.forward_head(features, pre_logits=True)

    config = model.pretrained_cfg
    transform = timm.data.create_transform(
        **timm.data.resolve_data_config({}, pretrained_cfg=config), is_training=False
    )

    def preprocess(pictures):
        return torch.stack([transform(picture) for picture in pictures])

    return Checkpoint(directory, model, embed, preprocess, config["mean"], config["std"], side)


BODY = dict(hidden_size=96, num_hidden_layers=4, num_attention_heads=3, image_size=SIDE, patch_size=16)
PLAIN = dict(**BODY, intermediate_size=384)
TEXT = dict(
    hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, vocab_size=99,
    max_position_embeddings=8, bos_token_id=1, eos_token_id=2,
)  # fmt: skip


def class_token(model, **arguments):
    return lambda pixels: model(pixels, **arguments).last_hidden_state[:, 0]


def mae_mean(model):
    # Without these two arguments it drops three quarters of the tokens and shuffles the rest.
    def embed(pixels):
        noise = torch.arange(36).float().expand(len(pixels), 36)
        return model.vit(pixels, noise=noise).last_hidden_state[:, 1:].mean(1)

    return embed


# Model, the library's own embedding, and the side of the input where it differs from the configuration's.
TRANSFORMERS = {
    "hf-vit": lambda t: ((m := t.ViTModel(t.ViTConfig(**PLAIN))), class_token(m)),
    "hf-vit-with-a-classifier": lambda t: (
        (m := t.ViTForImageClassification(t.ViTConfig(**PLAIN, qkv_bias=False, layer_norm_eps=1e-3))), class_token(m.vit),
    ),
    "hf-vit-larger-input": lambda t: (
        (m := t.ViTModel(t.ViTConfig(**PLAIN))), class_token(m, interpolate_pos_encoding=True), 128,
    ),
    "hf-deit": lambda t: (
        (m := t.DeiTModel(t.DeiTConfig(**PLAIN))), lambda pixels: m(pixels).last_hidden_state[:, :2].mean(1),
    ),
    "hf-mae": lambda t: (
        (m := t.ViTMAEForPreTraining(t.ViTMAEConfig(
            **PLAIN, mask_ratio=0.0, decoder_hidden_size=32, decoder_num_hidden_layers=1, decoder_num_attention_heads=2,
            decoder_intermediate_size=32,
        ))), mae_mean(m),
    ),
    "hf-dinov2": lambda t: ((m := t.Dinov2Model(t.Dinov2Config(**BODY))), class_token(m)),
    "hf-dinov2-smaller-input": lambda t: (
        (m := t.Dinov2Model(t.Dinov2Config(**{**BODY, "image_size": 160}))), class_token(m), 96,
    ),
    "hf-dinov2-registers-swiglu": lambda t: (
        (m := t.Dinov2WithRegistersModel(t.Dinov2WithRegistersConfig(**BODY, use_swiglu_ffn=True))), class_token(m), 128,
    ),
    "hf-clip-vision": lambda t: (
        (m := t.CLIPVisionModel(t.CLIPVisionConfig(**PLAIN))), lambda pixels: m(pixels).pooler_output,
    ),
    "hf-clip-vision-projected": lambda t: (
        (m := t.CLIPVisionModelWithProjection(t.CLIPVisionConfig(**PLAIN, projection_dim=40))),
        lambda pixels: m(pixels).image_embeds,
    ),
    "hf-clip": lambda t: (
        (m := t.CLIPModel(t.CLIPConfig(text_config=TEXT, vision_config={**PLAIN, "hidden_act": "gelu"}, projection_dim=40))),
        lambda pixels: m.visual_projection(m.vision_model(pixels, interpolate_pos_encoding=True).pooler_output), 128,
    ),
    "hf-siglip-vision": lambda t: (
        (m := t.SiglipVisionModel(t.SiglipVisionConfig(**{**PLAIN, "patch_size": 14}))),
        lambda pixels: m(pixels).pooler_output,
    ),
    "hf-siglip": lambda t: (
        (m := t.SiglipModel(t.SiglipConfig(text_config=TEXT, vision_config=PLAIN))),
        lambda pixels: m.vision_model(pixels, interpolate_pos_encoding=True).pooler_output, 64,
    ),
}  # fmt: skip
# The same, stored otherwise.
STORED = {
    "hf-vit-float16": ("hf-vit", dict(dtype=torch.float16)),
    "hf-siglip-bfloat16": ("hf-siglip", dict(dtype=torch.bfloat16)),
    "hf-clip-shards": ("hf-clip", dict(max_shard_size="300KB")),
}
PROCESSORS = {"vit": "ViT", "mae": "ViT", "deit": "DeiT", "dinov2": "Bit", "clip": "CLIP", "siglip": "Siglip"}


def make_processor(family, side):
    """Each family's own way to a square: squash, squash and crop, or resize the shortest edge and crop."""
    if family == "deit":
        sizes = {"size": {"height": side + 14, "width": side + 14}, "crop_size": {"height": side, "width": side}}
    elif family in ("dinov2", "clip"):
        sizes = {"size": {"shortest_edge": side + 9}, "crop_size": {"height": side, "width": side}}
    else:
        sizes = {"size": {"height": side, "width": side}}
    return getattr(transformers, PROCESSORS[family] + "ImageProcessorPil")(**sizes)


def write_transformers(name, directory):
    base, storage = STORED.get(name, (name, {}))
    storage = dict(storage)
    torch.manual_seed(7)
    model, embed, *resized = TRANSFORMERS[base](transformers)
    side = resized[0] if resized else SIDE
    randomise(model)
    if "dtype" in storage:
        dtype = storage.pop("dtype")
        model.to(dtype).save_pretrained(directory)
        model.float()  # the values that were stored
    else:
        model.save_pretrained(directory, **storage)
    family = base.split("-")[1]
    processor = make_processor(family, side)
    processor.save_pretrained(directory)
    if name == "hf-clip-shards":
        assert len(json.loads((directory / "model.safetensors.index.json").read_text())["weight_map"]) > 50

    def preprocess(pictures):
        return processor(pictures, return_tensors="pt").pixel_values

    return Checkpoint(directory, model, embed, preprocess, processor.image_mean, processor.image_std, side)


NAMES = [*TIMM, *TRANSFORMERS, *STORED]


def write(name, directory):
    return write_timm(name, directory) if name in TIMM else write_transformers(name, directory)


def picture_pixels(side, images=5):
    pixels = np.random.default_rng(3).integers(0, 256, (images, side, side, 3), np.uint8)
    pixels[1] = 128
    pixels[2, : side // 2] = 255
    # Smooth: patches that are alike to different degrees.
    y, x = np.mgrid[:side, :side] / side
    pixels[3] = (255 * np.stack([x, y, np.sin(7 * x * y) ** 2], -1)).astype(np.uint8)
    return pixels
