"""What the network sees of a file is what Pillow 12.2 and the checkpoint's own processor make of it."""

import subprocess
import warnings

import checkpoints
import numpy as np
import PIL
import pytest
import timm
import torch
import transformers
from PIL import Image, ImageOps

from tome_server import BINARIES, ROOT

assert PIL.__version__ == "12.2.0", f"Pillow 13 resizes very tall pictures in another order; this is {PIL.__version__}"

# Height, width. Random ones beside those where a rule changes: a side that is 1, no resize at all, over 100 times as tall
# as wide, sides that leave each remainder of a crop's excess.
RANDOM = np.random.default_rng(20260229)
SIZES = [(1, 1), (1, 30), (30, 1), (224, 224), (224, 301), (301, 224), (256, 256), (640, 3), (3, 320), (64, 1200)]
SIZES += [(480 + n, 640) for n in range(8)]
SIZES += [tuple(map(int, RANDOM.integers(20, 700, 2))) for _ in range(14)]


def picture(height, width):
    """Slopes, edges and noise, so that every filter has something to do and sums overshoot."""
    rows, columns = np.mgrid[0:height, 0:width]
    waves = 127 + 127 * np.sin(rows / 9 + columns / 7)
    edges = 255 * ((rows // 13 + columns // 17) % 2)
    noise = np.random.default_rng(height * 10_000 + width).integers(0, 256, (height, width))
    return Image.fromarray(np.stack([waves, edges, noise], 2).astype(np.uint8))


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Of each size, without loss: (path, Pillow's image)."""
    folder = tmp_path_factory.mktemp("pictures")
    found = []
    for height, width in SIZES:
        path = folder / f"{height}x{width}.png"
        picture(height, width).save(path, compress_level=1)
        found.append((path, Image.open(path)))
    return found


def model_pixels(paths, resize, resize_size, interpolation, offset, crop_size, fill=(0, 0, 0)):
    """The server's pixels of each file, [height, width, 3]."""
    words = " ".join(map(str, (resize, *resize_size, interpolation, offset, *crop_size, *fill)))
    lines = "".join(f"{path} {words}\n" for path in paths)
    done = subprocess.run([BINARIES / "tome_model_pixels"], input=lines.encode(), stdout=subprocess.PIPE, timeout=300)
    assert done.returncode == 0
    return np.frombuffer(done.stdout, np.uint8).reshape(len(paths), *crop_size, 3)


# transformers writes Pillow's numbers.
FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}


def height_width(height, width):
    return {"height": height, "width": width}


TRANSFORMERS = {
    # name: (processor, its options, our resize, towards, interpolation, crop)
    "vit": ("ViT", {}, "exact", (224, 224), 2, (224, 224)),
    "deit": ("DeiT", {}, "exact", (256, 256), 3, (224, 224)),
    "clip": ("CLIP", {}, "shortest", (224, 224), 3, (224, 224)),
    "siglip": ("Siglip", {}, "exact", (224, 224), 3, (224, 224)),
    "dinov2": ("Bit", {"size": {"shortest_edge": 256}}, "shortest", (256, 256), 3, (224, 224)),
    "odd excess": (
        "Bit",
        {"size": {"shortest_edge": 103}, "crop_size": height_width(100, 96)},
        *("shortest", (103, 103), 3, (100, 96)),
    ),
    "smaller than the crop": ("CLIP", {"size": {"shortest_edge": 45}}, "shortest", (45, 45), 3, (224, 224)),
    "no resize": ("CLIP", {"do_resize": False, "crop_size": height_width(131, 170)}, "none", (0, 0), 3, (131, 170)),
    **{
        name: ("ViT", {"size": height_width(61, 80), "resample": number}, "exact", (61, 80), number, (61, 80))
        for number, name in FILTERS.items()
    },
}


@pytest.mark.parametrize("case", TRANSFORMERS, ids=lambda name: name.replace(" ", "-"))
def test_pixels_are_those_of_transformers_processor(pictures, case):
    name, options, resize, resize_size, resample, crop_size = TRANSFORMERS[case]
    # By default version 5 resizes with torchvision, whose pixels are others.
    processor = getattr(transformers, f"{name}ImageProcessorPil")(**options, do_rescale=False, do_normalize=False)

    ours = model_pixels([path for path, _ in pictures], resize, resize_size, FILTERS[resample], "down", crop_size)

    for (path, image), pixels in zip(pictures, ours):
        expected = processor(image, return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
        assert expected.dtype == np.uint8
        np.testing.assert_array_equal(pixels, expected, err_msg=path.name)


TIMM = {
    # name: (timm's options, our resize, towards, crop)
    "center": (dict(crop_pct=0.9), "shortest", (248, 248), (224, 224)),
    "center, bilinear": (dict(crop_pct=0.875, interpolation="bilinear"), "shortest", (256, 256), (224, 224)),
    "odd excess": (dict(crop_pct=0.97), "shortest", (103, 103), (100, 100)),
    "center, not square": (dict(crop_pct=0.95), "cover", (101, 202), (96, 192)),
    "squash": (dict(crop_pct=0.9, crop_mode="squash"), "exact", (248, 248), (224, 224)),
    "border": (dict(crop_pct=0.9, crop_mode="border"), "fit", (248, 186), (224, 168)),
    "lanczos": (dict(crop_pct=1.0, interpolation="lanczos"), "shortest", (64, 64), (64, 64)),
}


@pytest.mark.parametrize("case", TIMM, ids=lambda name: name.replace(" ", "-").replace(",", ""))
def test_pixels_are_those_of_timms_transform(pictures, case):
    options, resize, resize_size, crop_size = TIMM[case]
    options = {"interpolation": "bicubic", **options}
    transform = timm.data.create_transform((3, *crop_size), normalize=False, **options)
    fill = [round(255 * mean) for mean in timm.data.IMAGENET_DEFAULT_MEAN] if resize == "fit" else (0, 0, 0)
    # There timm fails: a side vanishes.
    kept = [(path, image) for path, image in pictures if resize != "fit" or max(image.size) < 100 * min(image.size)]

    paths = [path for path, _ in kept]
    ours = model_pixels(paths, resize, resize_size, options["interpolation"], "half_to_even", crop_size, fill)

    for (path, image), pixels in zip(kept, ours):
        np.testing.assert_array_equal(pixels, transform(image).numpy().transpose(1, 2, 0), err_msg=path.name)


def oriented(orientation):
    exif = Image.Exif()
    exif[274] = orientation
    return {"exif": exif}


def as_mode(mode):
    return lambda image: image.convert(mode)


def transparent(image):
    alpha = Image.linear_gradient("L").resize(image.size)
    return Image.merge("RGBA", (*image.split(), alpha))


FILES = {
    # name: (what is saved, format, options, levels that a sample may differ by)
    **{
        f"jpeg {name}": (as_mode(mode), "JPEG", options, 1)
        for name, mode, options in [
            ("4:2:0", "RGB", dict(quality=85)),
            ("4:2:2", "RGB", dict(quality=70, subsampling="4:2:2")),
            ("4:4:4", "RGB", dict(quality=95, subsampling="4:4:4")),
            ("progressive", "RGB", dict(quality=80, progressive=True)),
            ("rgb", "RGB", dict(quality=90, keep_rgb=True)),
            ("grey", "L", dict(quality=85)),
            ("cmyk", "CMYK", dict(quality=85)),
            ("cmyk progressive", "CMYK", dict(quality=85, progressive=True)),
        ]
    },
    **{f"png {mode}": (as_mode(mode), "PNG", {}, 0) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")},
    "png alpha": (transparent, "PNG", {}, 0),
    "png palette with transparency": (lambda image: transparent(image).quantize(64), "PNG", {}, 0),
    "webp lossy": (as_mode("RGB"), "WEBP", dict(quality=80), 0),
    "webp lossless": (as_mode("RGB"), "WEBP", dict(lossless=True), 0),
    "webp lossy alpha": (transparent, "WEBP", dict(quality=60), 0),
    "webp lossless alpha": (transparent, "WEBP", dict(lossless=True, exact=True), 0),
    "webp animation": (
        as_mode("RGB"),
        "WEBP",
        dict(save_all=True, append_images=[Image.new("RGB", (321, 237), "red")], duration=40),
        0,
    ),
    **{
        f"{kind.lower()} orientation {n}": (as_mode("RGB"), kind, oriented(n), levels)
        for n in range(1, 9)
        for kind, levels in (("JPEG", 1), ("PNG", 0), ("WEBP", 0))
    },
}


@pytest.mark.parametrize("case", FILES, ids=lambda name: name.replace(" ", "-"))
def test_decoded_pixels_are_pillows(tmp_path, case):
    make, kind, options, levels = FILES[case]
    path = tmp_path / f"picture.{kind.lower()}"
    with Image.open(ROOT / "deploy/photos/cat.jpg") as photo:
        make(photo.convert("RGB").resize((321, 237))).save(path, kind, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a palette's transparency, which is dropped
        expected = np.array(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))

    (ours,) = model_pixels([path], "none", (0, 0), "bicubic", "down", expected.shape[:2])

    assert np.abs(ours.astype(int) - expected).max() <= levels


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Photographs in each format: turned, in four inks, of a palette, smaller than any crop."""
    folder = tmp_path_factory.mktemp("files")
    photos = ROOT / "deploy/photos"
    coffee = Image.open(photos / "coffee.jpg").convert("RGB")
    coffee.resize((333, 250)).save(folder / "turned.jpg", quality=90, **oriented(6))
    coffee.resize((250, 333)).convert("CMYK").save(folder / "inks.jpg", quality=90)
    coffee.resize((300, 223)).quantize(64).save(folder / "palette.png", **oriented(3))
    coffee.resize((41, 30)).save(folder / "small.png")
    coffee.resize((301, 301)).save(folder / "lossy.webp", quality=80, **oriented(5))
    transparent(coffee.resize((400, 180))).save(folder / "lossless.webp", lossless=True, exact=True)
    return [*sorted(folder.iterdir()), photos / "cat.jpg", photos / "astronaut.png"]


# Checkpoints, and how a processor of their family gets to their 96 x 96 pixels.
PROCESSED = {
    "vit": None,  # timm's own transform
    "siglip": None,
    "hf-vit": ("ViT", dict(size=height_width(96, 96))),
    "hf-deit": ("DeiT", dict(size=height_width(111, 110), crop_size=height_width(96, 96))),
    "hf-dinov2": ("Bit", dict(size={"shortest_edge": 109}, crop_size=height_width(96, 96))),
    "hf-clip-vision-projected": ("CLIP", dict(size={"shortest_edge": 96}, crop_size=height_width(96, 96))),
    "hf-siglip-vision": ("Siglip", dict(size=height_width(96, 96), resample=1)),
    "hf-mae": ("ViT", dict(do_resize=False, do_center_crop=True, crop_size=height_width(96, 96), rescale_factor=1 / 127.5)),
}


def embed(server, model, paths):
    from tome.v1 import embedding_pb2 as pb

    output = pb.OutputSpec(normalization=pb.NORMALIZATION_NONE)
    requests = [
        pb.EmbedRequest(model=model, input=pb.Input(encoded=path.read_bytes()), output=output, merge=pb.MergeSpec(constant=0))
        for path in paths
    ]
    with server.stub() as stub:
        calls = [stub.Embed.future(request, timeout=60) for request in requests]
        return np.stack([np.frombuffer(call.result().embedding.vector.data, "<f4") for call in calls])


def test_embeddings_of_files_are_the_librarys_own(start_server, tmp_path, files):
    written = {name: checkpoints.write(name, tmp_path / name) for name in PROCESSED}
    sees = {}
    for name, processed in PROCESSED.items():
        if processed is None:
            config = timm.data.resolve_data_config({}, pretrained_cfg=written[name].model.pretrained_cfg)
            sees[name] = timm.data.create_transform(**config)
            continue
        kind, options = processed
        getattr(transformers, f"{kind}ImageProcessorPil")(**options).save_pretrained(tmp_path / name)
        processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / name, backend="pil")
        sees[name] = lambda image, processor=processor: processor(image, return_tensors="pt")["pixel_values"][0]
    server = start_server(*[f"--model={name}={tmp_path / name}" for name in PROCESSED], "--drain-delay", "0s")
    images = [ImageOps.exif_transpose(Image.open(path)).convert("RGB") for path in files]

    for name, checkpoint in written.items():
        ours = embed(server, name, files)
        with torch.inference_mode():
            theirs = checkpoint.embed(torch.stack([sees[name](image) for image in images])).numpy()

        worst = np.abs(ours - theirs).max(1)
        assert worst.max() <= 1e-4, f"{name}: {dict(zip([path.name for path in files], worst))}"
