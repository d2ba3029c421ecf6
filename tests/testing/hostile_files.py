"""Files that mean harm, or were harmed: {name: (bytes, what the error says)}."""

import io
import json
import random
import struct
import zlib

from PIL import Image

INT_MAX = 2**31 - 1


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


# Pictures


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width, height, color_type, pixels, extra=b""):
    header = struct.pack(">IIBBBBB", width, height, 8, color_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def zeros(count):
    """`count` zero bytes as zlib packs them, a thousandth of the size."""
    packer = zlib.compressobj(9)
    block = bytes(1 << 20)
    parts = [packer.compress(block) for _ in range(count >> 20)]
    return b"".join(parts) + packer.compress(bytes(count & 0xFFFFF)) + packer.flush()


def scans(jpeg, count):
    """The progressive file with its last scan `count` times more."""
    last = jpeg.rindex(b"\xff\xda")
    return jpeg[:-2] + jpeg[last:-2] * count + jpeg[-2:]


def with_jpeg_size(jpeg, width, height):
    frame = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:frame] + struct.pack(">HH", height, width) + jpeg[frame + 4 :]


def with_canvas(webp, width, height):
    """An extended WebP file (VP8X) that says another size."""
    size = struct.pack("<L", width - 1)[:3] + struct.pack("<L", height - 1)[:3]
    return webp[:24] + size + webp[30:]


def riff(*chunks):
    body = b"".join(name + struct.pack("<L", len(content)) + content for name, content in chunks)
    return b"RIFF" + struct.pack("<L", len(body) + 4) + b"WEBP" + body


def pictures(photo):
    """`photo` is a Pillow image. Each of these is refused before memory is taken for its pixels."""
    small = photo.resize((160, 120))
    jpeg = saved(small, "JPEG")
    progressive = saved(small, "JPEG", progressive=True)
    animation = saved(small, "WEBP", save_all=True, append_images=[small.rotate(180)])
    text = b"Comment\0\0" + zeros(200 << 20)
    arithmetic = jpeg.replace(b"\xff\xc0", b"\xff\xc9")
    return {
        "empty": (b"", "empty: a JPEG, PNG or WebP file is needed"),
        "one byte": (b"\xff", "neither JPEG, PNG nor WebP: starts with ff"),
        "text": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "neither JPEG, PNG nor WebP: starts with 3c 73 76 67"),
        "GIF": (saved(small, "GIF"), r"neither JPEG, PNG nor WebP: .* \(GIF\)"),
        "PNG named by a text transfer": (saved(small, "PNG").replace(b"\r\n", b"\n", 1), "PNG with a damaged signature"),
        "JPEG's first bytes alone": (b"\xff\xd8\xff", "JPEG ends inside its header"),
        "PNG's first bytes alone": (b"\x89PNG\r\n\x1a\n", "PNG ends inside its header"),
        "WebP's first bytes alone": (b"RIFF\x04\0\0\0WEBP", "WebP cannot be read: it has no frame"),
        "more bytes than the limit": (jpeg + bytes(20 << 20), r"the file has \d+ bytes, the limit is 20971520"),
        "PNG of 20,001 columns": (png(20001, 300, 2, b""), "PNG header says 20001 x 300 pixels, the limit is 16384 a side"),
        "PNG of 168 million pixels": (
            png(12961, 12961, 0, zeros(12961 * 12962)),
            "PNG header says 12961 x 12961 pixels, 167987521 in all, the limit is 50000000",
        ),
        "PNG of the most pixels": (png(INT_MAX, INT_MAX, 6, b""), "PNG header says 2147483647 x 2147483647 pixels"),
        "PNG of 20,000 chunks": (
            png(8, 8, 0, zlib.compress(bytes(72)), chunk(b"abCd", b"") * 20_000), "PNG has 20003 chunks, the limit is 16384",
        ),
        "PNG of no pixels behind a text bomb": (png(64, 64, 2, b"", chunk(b"zTXt", text)), "PNG .*"),
        "JPEG of 65,500 a side": (with_jpeg_size(jpeg, 65500, 65500), "JPEG header says 65500 x 65500 pixels"),
        "JPEG of 10,000 scans": (scans(progressive, 10_000), r"JPEG has 100\d\d scans, the limit is 64"),
        "JPEG with arithmetic coding": (arithmetic, "an arithmetic-coded JPEG; Huffman-coded ones are read"),
        "WebP of 20,001 columns": (
            with_canvas(animation, 20001, 300), "WebP header says 20001 x 300 pixels, the limit is 16384 a side",
        ),
        "WebP of 268 million pixels": (
            with_canvas(animation, 16384, 16383), "WebP header says 16384 x 16383 pixels, 268419072 in all",
        ),
        "WebP of 20,000 chunks": (riff(*[(b"abcd", b"")] * 20_000), "WebP has 20000 chunks, the limit is 16384"),
        "WebP frame outside its canvas": (with_canvas(animation, 100, 100), "WebP cannot be read: its chunks do not fit"),
    }  # fmt: skip


def harmed_pictures(photo):
    """Of each format: cut at every 64th byte, and with bits flipped. Errors or pictures, as luck has it."""
    small = photo.resize((96, 72))
    files = {
        "JPEG": saved(small, "JPEG", quality=60),
        "progressive JPEG": saved(small, "JPEG", quality=60, progressive=True),
        "CMYK JPEG": saved(small.convert("CMYK"), "JPEG", quality=40),
        "PNG": saved(small.quantize(32), "PNG"),
        "WebP": saved(small, "WEBP", quality=60),
        "lossless WebP": saved(small.quantize(16).convert("RGB"), "WEBP", lossless=True),
    }
    dice = random.Random(20260229)
    harmed = {}
    for kind, whole in files.items():
        for length in range(0, len(whole), 64):
            harmed[f"{kind} of {length} bytes"] = whole[:length]
        for turn in range(20):
            flipped = bytearray(whole)
            for _ in range(1 + turn % 4):
                flipped[dice.randrange(len(flipped))] ^= 1 << dice.randrange(8)
            harmed[f"{kind}, bits flipped, {turn}"] = bytes(flipped)
    return harmed


# Checkpoints


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def weights(whole):
    """Files in place of `whole`, a model.safetensors."""
    twice = b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}'
    many = b",".join(b'"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}' % n for n in range(1_000_000))
    length = struct.unpack_from("<Q", whole)[0]
    header = json.loads(whole[8 : 8 + length])
    name = next(name for name in header if name.startswith("blocks.0.attn.qkv.weight"))
    renamed = {("other" if key == name else key): value for key, value in header.items()}
    return {
        "empty": (b"", "has 0 bytes, too few for a header length"),
        "cut in its header": (whole[:100], "is truncated: the header claims"),
        "cut in its tensors": (whole[:-4], r"bytes \d+ to \d+ of the file.*\d+ bytes of tensors"),
        "header of 1 GB": (struct.pack("<Q", 1 << 30) + whole[8:], "claims a header of 1073741824 bytes, the limit is 100000000"),
        "header of 2^64 - 1": (b"\xff" * 8 + whole[8:], "claims a header of 18446744073709551615 bytes"),
        "overlap": (safetensors({"a": tensor("F32", [2], 0, 8), "b": tensor("F32", [2], 4, 12)}, bytes(12)), "b: .*an overlap"),
        "hole": (safetensors({"a": tensor("F32", [1], 4, 8)}, bytes(8)), "a: .*a hole"),
        "overflow": (safetensors({"a": tensor("F32", [2**40, 2**40], 0, 8)}, bytes(8)), "a: shape .* overflows 64 bits"),
        "misaligned": (
            safetensors({"a": tensor("U8", [1], 0, 1), "b": tensor("F32", [1], 1, 5)}, bytes(5)), "b: starts at byte .* multiple of 4",
        ),
        "duplicate": (safetensors(twice, bytes(2)), "a: the name comes twice"),
        "absent": (safetensors(renamed, whole[8 + length :]), f"{name}: this tensor is missing"),
        "outside": (safetensors({"a": tensor("F32", [4], 0, 16)}, bytes(8)), "a: bytes 0 to 16 of the file.*8 bytes of tensors"),
        "deep": (safetensors(b'{"a":' + b"[" * 50_000_000), "a: a list where the format has none"),
        "a million tensors": (safetensors(b"{" + many + b"}"), "the header names more than 100000 tensors"),
        "a name of 50 MB": (safetensors(b'{"' + b"n" * 50_000_000 + b'":{}}'), "the name has 50000000 bytes, the limit is 4096"),
    }  # fmt: skip


def configs(whole):
    """Files in place of `whole`, a config.json."""
    depth = 7_000_000
    return {
        "empty": (b"", "is not valid JSON"),
        "cut": (whole[: len(whole) // 2], "is not valid JSON"),
        "deep": (b'{"architecture":' + b"[" * depth + b"]" * depth + b"}", "nests lists and objects more than 64 deep"),
        "20 MB": (b'{"a":"' + b"n" * (20 << 20) + b'"}', "has more than 16777216 bytes"),
        "wide": (b'{"pretrained_cfg":{},"architecture":[' + b"0," * 8_000_000 + b"0]}", "architecture: .*, expected a string"),
        "not an object": (b"[]", "expected a JSON object"),
    }
