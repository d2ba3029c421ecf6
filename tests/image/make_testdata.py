"""Makes testdata/: small files and what Pillow 12.2 and torchvision make of them.

    python3 tests/image/make_testdata.py

Needs pillow==12.2.0, numpy, torchvision, timm and scikit-image, whose wheel carries the photographs:
astronaut (NASA, public domain), chelsea the cat (Stefan van der Walt, CC0), coffee (Rachel Michetti,
CC0) and rocket (SpaceX, CC0).

    decode/NAME.jpg|png|webp   a file that is read  decode/NAME.ppm   its pixels
    refused/NAME.jpg      a file that is refused
    resize/SOURCE.ppm     a picture                 resize/NAME.ppm   one case's result
    resize/cases.txt      a line a case, its columns in the first line
"""

import io
import pathlib
import shutil
import struct
import zlib

import numpy as np
import PIL
import skimage.data
import timm.data
from PIL import Image, ImageOps
from torchvision import transforms

assert PIL.__version__ == "12.2.0", f"the goldens are Pillow 12.2.0's, this is {PIL.__version__}"

ROOT = pathlib.Path(__file__).resolve().parent / "testdata"


def write_ppm(path, pixels):
    height, width, _ = pixels.shape
    path.write_bytes(b"P6\n%d %d\n255\n" % (width, height) + np.ascontiguousarray(pixels).tobytes())


def pillow_rgb(encoded):
    return np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))).convert("RGB"))


def crop(photo, left, top, width, height):
    return np.ascontiguousarray(photo[top : top + height, left : left + width])


# JPEG


def jpeg(image, **options):
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


def resampled(encoded, luma_sampling):
    """The file with other sampling factors, which Pillow cannot write: its blocks land elsewhere, so the
    picture is scrambled, yet valid as long as their number is the same."""
    patched = bytearray(encoded)
    patched[encoded.index(b"\xff\xc0") + 11] = luma_sampling
    return bytes(patched)


def jpegs():
    face = Image.fromarray(crop(skimage.data.astronaut(), 175, 60, 61, 47))
    cup = Image.fromarray(crop(skimage.data.coffee(), 250, 120, 64, 48))
    return {
        "baseline_420": jpeg(face, quality=85, subsampling="4:2:0"),
        "baseline_422": jpeg(face, quality=85, subsampling="4:2:2"),
        "baseline_440": resampled(jpeg(face, quality=85, subsampling="4:2:2"), 0x12),
        "baseline_411": resampled(jpeg(face, quality=85, subsampling="4:2:0"), 0x41),
        "baseline_444": jpeg(face, quality=95, subsampling="4:4:4"),
        "baseline_420_whole_blocks": jpeg(cup, quality=75, subsampling="4:2:0"),
        "baseline_low_quality": jpeg(cup, quality=5),
        "baseline_restarts": jpeg(face, quality=75, restart_marker_blocks=2),
        "baseline_optimized": jpeg(face, quality=60, optimize=True),
        "baseline_rgb": jpeg(face, quality=80, keep_rgb=True),
        "grey": jpeg(face.convert("L"), quality=85),
        "grey_progressive": jpeg(cup.convert("L"), quality=85, progressive=True),
        "progressive_420": jpeg(face, quality=85, subsampling="4:2:0", progressive=True),
        "progressive_444": jpeg(cup, quality=90, subsampling="4:4:4", progressive=True),
        "progressive_restarts": jpeg(cup, quality=75, progressive=True, restart_marker_blocks=3),
        "one_pixel": jpeg(face.crop((5, 5, 6, 6)), quality=75),
        "one_row": jpeg(face.crop((0, 20, 61, 21)), quality=75),
        "one_column": jpeg(face.crop((20, 0, 21, 47)), quality=75, progressive=True),
    }


def ink_jpegs():
    """Four inks, with more than one of them in each pixel, which Pillow's own conversion would not give."""
    face = crop(skimage.data.astronaut(), 175, 60, 61, 47)
    black = face.min(2, keepdims=True) // 2
    image = Image.fromarray(np.concatenate([255 - face, black], 2), "CMYK")
    cmyk = jpeg(image, quality=90)
    ycck = bytearray(cmyk)
    ycck[cmyk.index(b"Adobe") + 11] = 2  # the transform byte of Adobe's marker
    adobe = cmyk.index(b"\xff\xee")
    without_marker = cmyk[:adobe] + cmyk[adobe + 2 + struct.unpack_from(">H", cmyk, adobe + 2)[0] :]
    return {
        "cmyk": cmyk,
        "cmyk_progressive": jpeg(image, quality=80, progressive=True),
        "cmyk_without_marker": without_marker,
        "ycck": bytes(ycck),
    }


# How a camera was held


def tiff(orientation, order=">", kind=3, before=()):
    """An EXIF block of one directory: the entries `before` (tag, type, count, 4 bytes), then the orientation."""
    value = struct.pack(order + {1: "Bxxx", 3: "Hxx", 4: "L", 9: "l"}[kind], orientation)
    entries = [*before, (274, kind, 1, value)]
    start = {">": b"MM\0*", "<": b"II*\0"}[order] + struct.pack(order + "LH", 8, len(entries))
    return start + b"".join(struct.pack(order + "HHL4s", *entry) for entry in entries) + bytes(4)


def xmp(orientation, element=False):
    text = f"<tiff:Orientation>{orientation}</tiff:Orientation>" if element else f'<x tiff:Orientation="{orientation}"/>'
    return b"<x:xmpmeta>" + text.encode() + b"</x:xmpmeta>"


def with_segments(encoded, *segments):
    """The JPEG file with an APP1 segment of each content in front."""
    added = b"".join(b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment for segment in segments)
    return encoded[:2] + added + encoded[2:]


XMP_MARK = b"http://ns.adobe.com/xap/1.0/\0"


def oriented_jpegs():
    upright = jpeg(Image.fromarray(crop(skimage.data.chelsea(), 150, 90, 29, 21)), quality=90, subsampling="4:4:4")
    exif = b"Exif\0\0"
    files = {f"orientation_{n}": with_segments(upright, exif + tiff(n)) for n in range(1, 9)}
    outside = (270, 2, 100, struct.pack("<L", 5000))  # a description that is not in the block
    files |= {
        "orientation_little_endian": with_segments(upright, exif + tiff(6, "<")),
        "orientation_long": with_segments(upright, exif + tiff(6, kind=4)),
        "orientation_byte": with_segments(upright, exif + tiff(6, kind=1)),
        "orientation_unknown": with_segments(upright, exif + tiff(9)),
        "orientation_after_unknown_type": with_segments(upright, exif + tiff(8, before=[(1, 99, 1, bytes(4))])),
        "orientation_after_value_outside": with_segments(upright, exif + tiff(8, "<", before=[outside])),
        "orientation_marked_twice": with_segments(upright, exif + exif + tiff(5)),
        "orientation_two_segments": with_segments(upright, exif + tiff(7)[:12], exif + tiff(7)[12:]),
        "orientation_xmp": with_segments(upright, XMP_MARK + xmp(3)),
        "orientation_xmp_element": with_segments(upright, XMP_MARK + xmp(4, element=True)),
        "orientation_exif_before_xmp": with_segments(upright, XMP_MARK + xmp(3), exif + tiff(6)),
        "orientation_xmp_beside_odd_exif": with_segments(upright, XMP_MARK + xmp(3), exif + tiff(6, kind=1)),
    }
    return files


# WebP


def webp(image, **options):
    stream = io.BytesIO()
    image.save(stream, "WEBP", **options)
    return stream.getvalue()


def riff(*chunks):
    body = b"".join(name + struct.pack("<L", len(content)) + content + bytes(len(content) % 2) for name, content in chunks)
    return b"RIFF" + struct.pack("<L", len(body) + 4) + b"WEBP" + body


def three_bytes(number):
    return struct.pack("<L", number)[:3]


def webps():
    photo = crop(skimage.data.chelsea(), 150, 90, 61, 47)
    ramp = np.linspace(0, 255, photo[:, :, :1].size).astype(np.uint8).reshape(photo[:, :, :1].shape)
    image = Image.fromarray(photo)
    transparent = Image.fromarray(np.concatenate([photo, ramp], 2))
    other = Image.fromarray(photo[::-1, ::-1].copy())
    # A frame that covers a part of the canvas only, which Pillow does not write.
    small = webp(image.crop((0, 0, 20, 16)), lossless=True)
    frame = three_bytes(10) + three_bytes(6) + three_bytes(19) + three_bytes(15) + three_bytes(40) + b"\0" + small[12:]
    canvas = b"\x02\0\0\0" + three_bytes(60) + three_bytes(46)
    part = riff((b"VP8X", canvas), (b"ANIM", bytes([9, 8, 7, 255, 0, 0])), (b"ANMF", frame), (b"ANMF", frame))
    return {
        "webp_lossy": webp(image, quality=80),
        "webp_lossy_poor": webp(image, quality=5, method=6),
        "webp_lossless": webp(image, lossless=True),
        "webp_palette": webp(image.quantize(16).convert("RGB"), lossless=True),
        "webp_lossy_alpha": webp(transparent, quality=80),
        "webp_lossless_alpha": webp(transparent, lossless=True, exact=True),
        "webp_grey": webp(image.convert("L"), quality=70),
        "webp_animation": webp(image, save_all=True, append_images=[other], quality=70, duration=50),
        "webp_animation_small_first_frame": part,
        "webp_one_pixel": webp(image.crop((3, 3, 4, 4)), quality=80),
        "webp_exif": webp(image, lossless=True, exif=tiff(6)),
        "webp_exif_marked": webp(image, lossless=True, exif=b"Exif\0\0" + tiff(8, "<")),
        "webp_xmp": webp(image, lossless=True, xmp=xmp(5)),
        "webp_lossy_exif": webp(image, quality=80, exif=tiff(3)),
    }


def refused_jpegs():
    block = Image.fromarray(crop(skimage.data.coffee(), 250, 120, 16, 16))
    ycbcr = jpeg(block, subsampling="4:4:4")
    frame = ycbcr.index(b"\xff\xc0")
    arithmetic = bytearray(ycbcr)
    arithmetic[frame + 1] = 0xC9
    twelve_bit = bytearray(ycbcr)
    twelve_bit[frame + 4] = 12
    # Frame and scan header each lose their last component.
    scan = ycbcr.index(b"\xff\xda")
    two = (
        ycbcr[: frame + 2]
        + struct.pack(">H", 14)
        + ycbcr[frame + 4 : frame + 9]
        + b"\x02"
        + ycbcr[frame + 10 : frame + 16]
        + ycbcr[frame + 19 : scan + 2]
        + struct.pack(">H", 10)
        + b"\x02"
        + ycbcr[scan + 5 : scan + 9]
        + ycbcr[scan + 11 :]
    )
    return {
        "arithmetic": bytes(arithmetic),
        "twelve_bit": bytes(twelve_bit),
        "two_components": two,
    }


# PNG: Pillow writes neither interlaced files nor 16-bit colour, so the writer is here.

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def packed_row(samples, depth):
    """One row of samples [width, channels], without its filter byte."""
    if depth == 16:
        return samples.astype(">u2").tobytes()
    if depth == 8:
        return samples.astype(np.uint8).tobytes()
    bits = (samples.reshape(-1, 1) >> np.arange(depth - 1, -1, -1)) & 1
    return np.packbits(bits.astype(np.uint8).reshape(-1)).tobytes()


def filtered(row, above, kind, step):
    """The row after PNG's filter `kind`: 0 none, 1 sub, 2 up, 3 average, 4 Paeth."""
    result = bytearray([kind])
    for i, byte in enumerate(row):
        a = row[i - step] if i >= step else 0
        b = above[i]
        c = above[i - step] if i >= step else 0
        p = a + b - c
        paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
        result.append((byte - (0, a, b, (a + b) // 2, paeth)[kind]) & 255)
    return bytes(result)


def png(samples, color_type, depth, interlaced=False, before_pixels=(), after_rows=b"", after_pixels=()):
    """A PNG file of samples [height, width, channels]; its rows use all five filters in turn."""
    height, width, channels = samples.shape
    step = max(1, channels * depth // 8)
    passes = [samples[top::down, left::right] for left, top, right, down in ADAM7] if interlaced else [samples]
    stream = b""
    for part in passes:
        if part.size == 0:
            continue
        above = bytes(len(packed_row(part[0], depth)))
        for y, row_samples in enumerate(part):
            row = packed_row(row_samples, depth)
            stream += filtered(row, above, y % 5, step)
            above = row
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, int(interlaced))
    compressed = zlib.compress(stream + after_rows, 9)
    half = len(compressed) // 2
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + b"".join(chunk(name, content) for name, content in before_pixels)
        + chunk(b"IDAT", compressed[:half])
        + chunk(b"IDAT", compressed[half:])
        + b"".join(chunk(name, content) for name, content in after_pixels)
        + chunk(b"IEND", b"")
    )


def pngs():
    photo = crop(skimage.data.chelsea(), 150, 90, 37, 29)
    grey = np.array(Image.fromarray(photo).convert("L"))[:, :, None]
    height, width, _ = photo.shape
    ramp = np.linspace(0, 255, height * width).astype(np.uint8).reshape(height, width, 1)
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 4)).astype(np.uint16)

    def deep(samples):  # a low byte of its own in each 16-bit sample
        return samples.astype(np.uint16) * 256 + noise[:, :, : samples.shape[2]]

    files = {}

    def add(name, samples, color_type, depth, before_pixels=()):
        for interlaced in (False, True):
            encoded = png(samples, color_type, depth, interlaced, before_pixels)
            files[name + ("_interlaced" if interlaced else "")] = encoded

    add("rgb_8", photo, RGB, 8)
    add("rgb_16", deep(photo), RGB, 16)
    add("rgba_8", np.concatenate([photo, ramp], 2), RGB_ALPHA, 8)
    add("rgba_16", deep(np.concatenate([photo, ramp], 2)), RGB_ALPHA, 16)
    for depth in (1, 2, 4):
        add(f"grey_{depth}", grey >> (8 - depth), GREY, depth)
    add("grey_8", grey, GREY, 8)
    add("grey_16", deep(grey), GREY, 16)
    add("grey_alpha_8", np.concatenate([grey, ramp], 2), GREY_ALPHA, 8)
    add("grey_alpha_16", deep(np.concatenate([grey, ramp], 2)), GREY_ALPHA, 16)
    for depth in (1, 2, 4, 8):
        image = Image.fromarray(photo).quantize(2**depth)
        colors = np.array(image.getpalette(), np.uint8)[: 3 * 2**depth]
        add(f"palette_{depth}", np.array(image)[:, :, None], PALETTE, depth, [(b"PLTE", colors.tobytes())])

    image = Image.fromarray(photo).quantize(16)
    colors = (b"PLTE", bytes(image.getpalette()[:48]))
    indices = np.array(image)[:, :, None]
    files["palette_transparent"] = png(indices, PALETTE, 4, False, [colors, (b"tRNS", bytes(range(0, 160, 10)))])
    files["palette_index_outside"] = png(indices + (indices == 3) * 100, PALETTE, 8, False, [colors])
    files["grey_transparent"] = png(grey >> 4, GREY, 4, False, [(b"tRNS", struct.pack(">H", 7))])
    files["rgb_transparent"] = png(photo, RGB, 8, False, [(b"tRNS", struct.pack(">HHH", *map(int, photo[3, 3])))])
    # What a viewer would apply, or has to look at, and Pillow does not.
    files["rgb_gamma_and_text"] = png(
        photo,
        RGB,
        8,
        False,
        [
            (b"gAMA", struct.pack(">I", 100000)),
            (b"sBIT", b"\5\6\5"),
            (b"bKGD", struct.pack(">HHH", 1, 2, 3)),
            (b"tEXt", b"Title\0cat"),
            (b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100_000))),
            (b"abCd", b"unknown"),
        ],
    )
    files["rgb_bytes_after_last_row"] = png(photo, RGB, 8, after_rows=bytes(500))
    files["one_pixel_interlaced"] = png(photo[:1, :1], RGB, 8, True)
    files["one_row_interlaced"] = png(photo[5:6], RGB, 8, True)

    # Where an orientation stands.
    name = b"Raw profile type exif\0"
    digits = (b"Exif\0\0" + tiff(6)).hex()
    profile = f"\nexif\n{len(digits) // 2:8}\n{digits[:72]}\n{digits[72:]}\n".encode()
    packet = b"XML:com.adobe.xmp\0%c\0\0\0"
    second_frame = struct.pack(">IIIIIHHBB", 1, width, height, 0, 0, 1, 10, 0, 0)
    first_frame = struct.pack(">IIIIIHHBB", 0, width, height, 0, 0, 1, 10, 0, 0)
    places = {
        "exif": [(b"eXIf", tiff(6))],
        "raw_profile": [(b"tEXt", name + profile)],
        "raw_profile_compressed": [(b"zTXt", name + b"\0" + zlib.compress(profile))],
        "xmp": [(b"iTXt", packet % 0 + xmp(5))],
        "xmp_compressed": [(b"iTXt", packet % 1 + zlib.compress(xmp(7)))],
        "exif_before_profile": [(b"eXIf", tiff(8)), (b"tEXt", name + profile)],
        "last_exif": [(b"eXIf", tiff(8)), (b"eXIf", tiff(2))],
    }
    for place, chunks in places.items():
        files[f"png_{place}"] = png(photo, RGB, 8, before_pixels=chunks)
    files["png_exif_after_pixels"] = png(photo, RGB, 8, after_pixels=places["exif"])
    files["png_exif_of_later_frame"] = png(
        photo,
        RGB,
        8,
        before_pixels=[(b"acTL", struct.pack(">II", 2, 0)), (b"fcTL", first_frame)],
        after_pixels=[(b"fcTL", second_frame), *places["exif"]],
    )

    pixels = {name: pillow_rgb(encoded) for name, encoded in files.items()}
    # The one place where we leave Pillow, which makes every grey above 255 of 65535 white.
    for name in ("grey_16", "grey_16_interlaced"):
        pixels[name] = np.repeat(grey, 3, 2)
    return files, pixels


# Resize and crop


def down_crop(image, height, width):
    """A centre crop whose offset is rounded down, and with it the (negative) offset of padding."""
    pixels = np.array(image)
    top = (pixels.shape[0] - height) // 2
    left = (pixels.shape[1] - width) // 2
    rows, columns = np.arange(top, top + height), np.arange(left, left + width)
    inside = ((rows >= 0) & (rows < pixels.shape[0]))[:, None] & ((columns >= 0) & (columns < pixels.shape[1]))
    kept = pixels[rows.clip(0, pixels.shape[0] - 1)][:, columns.clip(0, pixels.shape[1] - 1)]
    return kept * inside[:, :, None].astype(np.uint8)


def resize_case(picture, resize, resize_size, interpolation, offset, crop_size):
    image = Image.fromarray(picture)
    if resize != "none":
        size = resize_size[0] if resize == "shortest" else resize_size
        image = transforms.Resize(size, transforms.InterpolationMode(interpolation))(image)
    if offset == "half_to_even":
        return np.array(transforms.CenterCrop(crop_size)(image))
    return down_crop(image, *crop_size)


def resize_sources():
    rocket = Image.fromarray(skimage.data.rocket()).resize((150, 100), Image.Resampling.LANCZOS)
    checks = np.indices((50, 40)).sum(0) % 2 * 255
    return {
        "landscape": np.array(rocket),
        "portrait": crop(skimage.data.astronaut(), 180, 10, 75, 110),
        "square": crop(skimage.data.coffee(), 260, 130, 64, 64),
        "checks": np.repeat(checks[:, :, None], 3, 2).astype(np.uint8),  # overshoots: clipped sums
        "wide": crop(skimage.data.coffee(), 0, 200, 400, 3),
        "tall": crop(skimage.data.coffee(), 300, 0, 3, 400),  # over 100 times: rows first
        "tall_100": crop(skimage.data.coffee(), 200, 0, 4, 400),  # 100 times: still columns first
        "row": crop(skimage.data.coffee(), 0, 150, 90, 1),
        "column": crop(skimage.data.coffee(), 300, 0, 1, 90),
        "pixel": crop(skimage.data.coffee(), 300, 150, 1, 1),
    }


def resize_cases():
    both = ("bicubic", "bilinear")
    for interpolation in both:
        for source in ("landscape", "portrait"):
            yield source, "shortest", (64, 64), interpolation, "half_to_even", (56, 56)
            yield source, "shortest", (128, 128), interpolation, "half_to_even", (56, 56)
        yield "square", "shortest", (48, 48), interpolation, "half_to_even", (40, 40)
        yield "checks", "shortest", (33, 33), interpolation, "half_to_even", (33, 33)
        yield "checks", "shortest", (57, 57), interpolation, "half_to_even", (32, 48)
        yield "wide", "shortest", (24, 24), interpolation, "half_to_even", (24, 24)
        yield "tall", "shortest", (24, 24), interpolation, "half_to_even", (24, 24)
        yield "tall", "exact", (31, 17), interpolation, "half_to_even", (20, 12)
        yield "tall_100", "exact", (31, 17), interpolation, "half_to_even", (20, 12)
        yield "tall", "exact", (420, 17), interpolation, "half_to_even", (24, 12)
        yield "wide", "exact", (17, 31), interpolation, "half_to_even", (12, 20)
        yield "row", "exact", (16, 16), interpolation, "half_to_even", (16, 16)
        yield "column", "exact", (16, 16), interpolation, "half_to_even", (16, 16)
        yield "pixel", "shortest", (8, 8), interpolation, "half_to_even", (8, 8)
        # One pass, the other, none.
        yield "landscape", "exact", (100, 70), interpolation, "half_to_even", (40, 40)
        yield "landscape", "exact", (70, 150), interpolation, "half_to_even", (40, 40)
    yield "landscape", "shortest", (100, 100), "bicubic", "half_to_even", (48, 48)
    yield "square", "exact", (64, 64), "bicubic", "half_to_even", (64, 64)
    # Odd differences: halves to even here, down there. 71 - 56 = 15, 73 - 56 = 17.
    for offset in ("half_to_even", "down"):
        for size in (71, 73):
            yield "landscape", "exact", (size, size + 1), "bicubic", offset, (56, 56)
        yield "portrait", "shortest", (61, 61), "bilinear", offset, (48, 47)
        # Smaller than the crop: padded on both axes, and on one.
        yield "square", "exact", (30, 31), "bicubic", offset, (41, 48)
        yield "landscape", "shortest", (33, 33), "bicubic", offset, (40, 32)
        yield "portrait", "exact", (50, 20), "bilinear", offset, (32, 33)
        # Not resized: cropped on one axis, padded on the other.
        yield "portrait", "none", (0, 0), "bicubic", offset, (91, 90)
    # Smaller and larger, by factors that put positions between and on the source's.
    for interpolation in ("nearest", "box", "hamming", "lanczos"):
        yield "landscape", "shortest", (37, 37), interpolation, "half_to_even", (37, 48)
        yield "portrait", "exact", (55, 150), interpolation, "half_to_even", (40, 64)
        yield "checks", "exact", (20, 33), interpolation, "half_to_even", (20, 33)
        yield "tall", "exact", (31, 17), interpolation, "half_to_even", (20, 12)


def timm_case(picture, crop_pct, crop_mode, interpolation, size, mean=(0.5, 0.5, 0.5)):
    """What timm's own evaluation transform hands to its normalisation."""
    transform = timm.data.create_transform(
        input_size=(3, *size), interpolation=interpolation, crop_pct=crop_pct, crop_mode=crop_mode, mean=mean
    )
    image = Image.fromarray(picture)
    for step in transform.transforms:
        if isinstance(image, Image.Image) and not type(step).__name__.endswith("ToTensor"):
            image = step(image)
        else:
            break
    return np.array(image)


def write_resize(folder):
    sources = resize_sources()
    for name, picture in sources.items():
        write_ppm(folder / f"{name}.ppm", picture)
    lines = ["name source resize resize_height resize_width interpolation offset crop_height crop_width red green blue"]

    def add(name, result, source, resize, resize_size, interpolation, offset, crop_size, fill=(0, 0, 0)):
        write_ppm(folder / f"{name}.ppm", result)
        values = (name, source, resize, *resize_size, interpolation, offset, *crop_size, *fill)
        lines.append(" ".join(map(str, values)))

    for case in resize_cases():
        source, resize, resize_size, interpolation, offset, crop_size = case
        name = f"{source}_{resize}_{resize_size[0]}x{resize_size[1]}_{interpolation}_{offset}_{crop_size[0]}x{crop_size[1]}"
        add(name, resize_case(sources[source], *case[1:]), *case)
    # floor(size / crop_pct) is what timm resizes to.
    for source in ("landscape", "portrait"):
        result = timm_case(sources[source], 0.9, "center", "bicubic", (112, 112))
        add(f"timm_center_{source}", result, source, "shortest", (124, 124), "bicubic", "half_to_even", (112, 112))
        result = timm_case(sources[source], 1.0, "squash", "bicubic", (64, 64))
        add(f"timm_squash_{source}", result, source, "exact", (64, 64), "bicubic", "half_to_even", (64, 64))
        result = timm_case(sources[source], 0.875, "center", "bilinear", (64, 64))
        add(f"timm_bilinear_{source}", result, source, "shortest", (73, 73), "bilinear", "half_to_even", (64, 64))
        # An input that is not square: halves of the resized sides go to even, too.
        result = timm_case(sources[source], 0.9, "center", "bicubic", (56, 48))
        add(f"timm_cover_{source}", result, source, "cover", (62, 53), "bicubic", "half_to_even", (56, 48))
    for source in ("landscape", "portrait", "checks"):
        # 0.498 * 255 = 126.99, 0.1 * 255 = 25.5, 0.7 * 255 = 178.5: the halves go to even.
        result = timm_case(sources[source], 0.9, "border", "bilinear", (48, 40), mean=(0.498, 0.1, 0.7))
        fill = [round(255 * v) for v in (0.498, 0.1, 0.7)]
        add(f"timm_fit_{source}", result, source, "fit", (53, 44), "bilinear", "half_to_even", (48, 40), fill)
    (folder / "cases.txt").write_text("\n".join(lines) + "\n")


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    for folder in ("decode", "refused", "resize"):
        (ROOT / folder).mkdir(parents=True)
    for name, encoded in (jpegs() | ink_jpegs() | oriented_jpegs()).items():
        (ROOT / "decode" / f"{name}.jpg").write_bytes(encoded)
        write_ppm(ROOT / "decode" / f"{name}.ppm", pillow_rgb(encoded))
    for name, encoded in webps().items():
        (ROOT / "decode" / f"{name}.webp").write_bytes(encoded)
        write_ppm(ROOT / "decode" / f"{name}.ppm", pillow_rgb(encoded))
    files, pixels = pngs()
    for name, encoded in files.items():
        (ROOT / "decode" / f"{name}.png").write_bytes(encoded)
        write_ppm(ROOT / "decode" / f"{name}.ppm", pixels[name])
    for name, encoded in refused_jpegs().items():
        (ROOT / "refused" / f"{name}.jpg").write_bytes(encoded)
    write_resize(ROOT / "resize")


if __name__ == "__main__":
    main()
