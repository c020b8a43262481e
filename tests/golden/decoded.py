"""Small image files of many kinds, and what Pillow makes of them.

Run from the repository root (Pillow and numpy; nothing is downloaded):

    python tests/golden/decoded.py

Writes tests/golden/decoded/ and tests/golden/decoded.json: for each file the size and the SHA-256 of the bytes of Pillow's
convert("RGB"); for JPEG, whose decoders may differ, the bytes themselves in hexadecimal digits. And for tall pictures, given by a
formula, the SHA-256 of the resized bytes: Pillow 13.0 resizes these in another order, so this is run with an earlier one.
"""

import hashlib
import io
import json
import pathlib
import struct

import numpy as np
import PIL
from PIL import Image

HERE = pathlib.Path(__file__).parent
FOLDER = HERE / "decoded"
WIDTH, HEIGHT = 23, 19


def formula(width, height):
    x, y, c = np.meshgrid(np.arange(width), np.arange(height), np.arange(3), indexing="xy")
    return ((7 * x + 13 * y + 29 * c + x * y) % 256).astype(np.uint8)


def smooth(width, height):
    """What photographs are like, so that lossy formats have something to keep."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [128 + 90 * np.sin(x / 5 + k) * np.cos(y / (4 + k)) + 30 * np.sin((x + y) / 3 + 2 * k) for k in range(3)]
    return np.clip(np.stack(waves, -1), 0, 255).astype(np.uint8)


COLOUR = formula(WIDTH, HEIGHT)
GREY = np.ascontiguousarray(COLOUR[:, :, 0])
FOUR = np.concatenate([COLOUR, GREY[:, :, None]], 2)


def write(name, data):
    (FOLDER / name).write_bytes(data)


def save(name, image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    write(name, out.getvalue())


def by_pillow():
    rgb = Image.fromarray(COLOUR)
    grey, one, palette = rgb.convert("L"), rgb.convert("1"), rgb.quantize(13)
    rgba = Image.merge("RGBA", [*rgb.split(), Image.fromarray(GREY)])
    deep = Image.fromarray(np.arange(WIDTH * HEIGHT, dtype=np.uint16).reshape(HEIGHT, WIDTH) * 37)
    whole = Image.fromarray(np.arange(WIDTH * HEIGHT, dtype=np.int32).reshape(HEIGHT, WIDTH) * 3 - 200)
    floats = Image.fromarray(np.arange(WIDTH * HEIGHT, dtype=np.float32).reshape(HEIGHT, WIDTH) * 0.9 - 60)
    photo, large = Image.fromarray(smooth(41, 30)), Image.fromarray(smooth(67, 50))
    for name, image in dict(rgb=rgb, grey=grey, one=one, palette=palette).items():
        save(f"{name}.bmp", image, "BMP")
        save(f"{name}.tif", image, "TIFF")
    for name, image in dict(rgb=rgb, grey=grey, one=one, deep=deep).items():
        save(f"{name}.ppm", image, "PPM")
    for name, image in dict(rgba=rgba, deep=deep, whole=whole, floats=floats, cmyk=rgb.convert("CMYK")).items():
        save(f"{name}.tiff", image, "TIFF")
    for name, image in dict(rgb=rgb, palette=palette, one=one).items():
        for kind in ["tiff_lzw", "tiff_adobe_deflate", "packbits"]:
            save(f"{name}_{kind}.tif", image, "TIFF", compression=kind)
    for kind in ["tiff_lzw", "tiff_adobe_deflate"]:
        save(f"rgb_{kind}_differences.tif", rgb, "TIFF", compression=kind, tiffinfo={317: 2})
        save(f"deep_{kind}_differences.tif", deep, "TIFF", compression=kind, tiffinfo={317: 2})
    for turn in range(2, 9):
        save(f"turned{turn}.tif", rgb, "TIFF", tiffinfo={274: turn})
    save("strips.tif", rgb, "TIFF", tiffinfo={278: 7})
    save("strips_lzw.tif", large, "TIFF", compression="tiff_lzw", strip_size=1000)
    save("big.tif", rgb, "TIFF", big_tiff=True)
    save("two.tif", rgb, "TIFF", save_all=True, append_images=[photo])
    save("jpeg.tif", photo, "TIFF", compression="jpeg")
    save("jpeg_strips.tif", large, "TIFF", compression="jpeg", strip_size=1000)
    for name, image in dict(rgb=rgb, rgba=rgba).items():
        save(f"{name}_lossless.webp", image, "WEBP", lossless=True, exact=True)
    for name, image in dict(photo=photo, large=large, rgba=rgba).items():
        save(f"{name}_lossy.webp", image, "WEBP", quality=50)
    save("moving.webp", photo, "WEBP", save_all=True, append_images=[photo.transpose(0)], duration=100)
    moving = dict(save_all=True, append_images=[rgb.transpose(0), rgb.transpose(1)], duration=100)
    save("moving.png", rgb, "PNG", **moving)
    save("moving_with_default.png", rgb, "PNG", default_image=True, **moving)
    save("two_bits.png", grey.quantize(4), "PNG", bits=2)
    save("transparent_colour.png", rgb, "PNG", transparency=(0, 29, 58))
    for name, image in dict(photo=photo, cmyk=photo.convert("CMYK")).items():
        save(f"{name}_progressive.jpg", image, "JPEG", progressive=True)
        save(f"{name}_restarts.jpg", image, "JPEG", restart_marker_rows=1)
    save("kept_rgb.jpg", photo, "JPEG", keep_rgb=True)


def netpbm():
    text = lambda values: " ".join(map(str, values.flatten())).encode()
    size = f"{WIDTH} {HEIGHT}"
    head = lambda kind, most: f"{kind}\n# a remark\n{size}\n{most}\n".encode()
    write("plain.pgm", head("P2", 255) + text(GREY))
    write("plain_of_100.pgm", head("P2", 100) + text(GREY % 101))
    write("plain_of_1000.pgm", head("P2", 1000) + text(GREY.astype(int) * 3))
    write("plain.ppm", head("P3", 255) + b"# 7 7 7\n" + text(COLOUR))
    write("plain_of_1000.ppm", head("P3", 1000) + text(COLOUR.astype(int) * 3))
    write("plain.ppm.bmp", f"P1 {size}\n".encode() + b"\n".join(b"".join(b"01"[v & 1 : (v & 1) + 1] for v in r) for r in GREY))
    write("raw_of_100.pgm", head("P5", 100) + (GREY % 101).tobytes())
    write("raw_above_100.pgm", head("P5", 100) + GREY.tobytes())
    write("raw_of_1000.pgm", head("P5", 1000) + (GREY.astype(">u2") * 3).tobytes())
    write("raw_of_1000.ppm", head("P6", 1000) + (COLOUR.astype(">u2") * 3).tobytes())
    write("raw_of_65535.ppm", head("P6", 65535) + (COLOUR.astype(">u2") * 257 + 5).tobytes())


def rows(array):
    return b"".join(row.tobytes() + b"\0" * (-len(row.tobytes()) % 4) for row in array)


def bmp(name, bits, compression, data, palette=b"", header=40, extra=b"", colours=0, down=False, offset=None):
    height = -HEIGHT if down else HEIGHT
    info = struct.pack("<IiiHHIIiiII", header, WIDTH, height, 1, bits, compression, len(data), 2835, 2835, colours, 0) + extra
    start = 14 + len(info) + len(palette)
    file = struct.pack("<IHHI", start + len(data), 0, 0, offset or start)
    write(name, b"BM" + file + info + palette + data)


def runs(half):
    """Rows of runs, and where bytes stand for whole pixels, of pixels one by one."""
    out = b""
    for row in GREY:
        at = 0
        while at < WIDTH:
            if not half and at % 7 == 3 and WIDTH - at >= 5:
                out += bytes([0, 5]) + row[at : at + 5].tobytes() + b"\0"
                at += 5
            else:
                count = min(4, WIDTH - at)
                out += bytes([count, row[at]])
                at += count
        out += b"\0\0"
    return out + b"\0\1"


def bitmaps():
    palette = bytes((place * 37 + channel * 11) % 256 for place in range(256) for channel in range(4))
    words = (np.arange(WIDTH * HEIGHT).reshape(HEIGHT, WIDTH) * 151 % 65536).astype("<u2")
    longs = (np.arange(WIDTH * HEIGHT, dtype=np.uint64).reshape(HEIGHT, WIDTH) * 9876543 % 2**32).astype("<u4")
    bmp("bits16.bmp", 16, 0, rows(words))
    bmp("bits16_565.bmp", 16, 3, rows(words), extra=struct.pack("<III", 0xF800, 0x7E0, 0x1F))
    bmp("bits32.bmp", 32, 0, rows(longs))
    masks = [(0xFF0000, 0xFF00, 0xFF, 0), (0xFF000000, 0xFF0000, 0xFF00, 0xFF), (0xFF, 0xFF00, 0xFF0000, 0xFF000000)]
    for place, mask in enumerate(masks):
        bmp(f"bits32_masks{place}.bmp", 32, 3, rows(longs), header=108, extra=struct.pack("<IIII", *mask) + b"\0" * 52)
    bmp("downwards.bmp", 24, 0, rows(COLOUR), down=True)
    bmp("ten_colours.bmp", 8, 0, rows(GREY), palette[:40], colours=10)
    bmp("wrong_offset.bmp", 8, 0, rows(GREY), palette, offset=54)
    bmp("bits4.bmp", 4, 0, rows(GREY[:, :12]), palette[:64])
    bmp("runs8.bmp", 8, 1, bytes([3, 9, 0, 2, 5, 2]) + runs(False), palette)
    bmp("runs4.bmp", 4, 2, bytes([0, 6, 1, 35, 69, 0]) + runs(True), palette[:64])
    three = bytes((place * 37 + channel * 11) % 256 for place in range(256) for channel in range(3))
    info = struct.pack("<IHHHH", 12, WIDTH, HEIGHT, 1, 8)
    write("os2.bmp", b"BM" + struct.pack("<IHHI", 0, 0, 0, 26 + 768) + info + three + rows(GREY))


def tiff(name, tags, data, order):
    """A file of one strip unless the tags say otherwise, which Pillow cannot write."""
    form = {3: "H", 4: "I"}
    tags = tags if 324 in tags else {273: (4, [8]), 278: (3, [HEIGHT]), 279: (4, [len(data)]), **tags}
    body = data + b"\0" * (len(data) % 2)
    behind = 8 + len(body) + 2 + 12 * len(tags) + 4
    entries = extra = b""
    for tag in sorted(tags):
        kind, values = tags[tag]
        raw = struct.pack(order + form[kind] * len(values), *values)
        if len(raw) > 4:
            place, extra = struct.pack(order + "I", behind + len(extra)), extra + raw
        else:
            place = raw.ljust(4, b"\0")
        entries += struct.pack(order + "HHI", tag, kind, len(values)) + place
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8 + len(body))
    write(name, start + body + struct.pack(order + "H", len(tags)) + entries + b"\0" * 4 + extra)


def tiffs():
    def basic(photometric, bits, samples, more={}):
        sizes = {256: (3, [WIDTH]), 257: (3, [HEIGHT]), 258: (3, [bits] * samples), 262: (3, [photometric])}
        return {**sizes, 277: (3, [samples]), **more}

    few = {1: 3, 2: 6, 4: 12, 8: WIDTH}
    packed = lambda bits: np.ascontiguousarray(GREY[:, : few[bits]]).tobytes()
    for order, name in [("<", "little"), (">", "big")]:
        for bits in few:
            tiff(f"white_is_0_{bits}_{name}.tif", basic(0, bits, 1), packed(bits), order)
            colours = {320: (3, [(place * 991) % 65536 for place in range(3 * 2**bits)])}
            tiff(f"places{bits}_{name}.tif", basic(3, bits, 1, colours), packed(bits), order)
        tiff(f"backwards_{name}.tif", basic(1, 1, 1, {266: (3, [2])}), packed(1), order)
        tiff(f"grey16_{name}.tif", basic(1, 16, 1), (GREY.astype(order + "u2") * 3).tobytes(), order)
        signed = (GREY.astype(order + "i2") * 3 - 100).tobytes()
        tiff(f"signed16_{name}.tif", basic(1, 16, 1, {339: (3, [2])}), signed, order)
        tiff(f"rgb16_{name}.tif", basic(2, 16, 3), (COLOUR.astype(order + "u2") * 257 + 9).tobytes(), order)
        planes = {284: (3, [2]), 273: (4, [8 + 437 * plane for plane in range(3)]), 279: (4, [437] * 3)}
        tiff(f"planes_{name}.tif", basic(2, 8, 3, planes), COLOUR.transpose(2, 0, 1).tobytes(), order)
        tiff(f"cmyk16_{name}.tif", basic(5, 16, 4), (FOUR.astype(order + "u2") * 257 + 3).tobytes(), order)
        tiff(f"opaque_{name}.tif", basic(2, 8, 4, {338: (3, [1])}), FOUR.tobytes(), order)
    tiles = [GREY[y : y + 16, x : x + 16] for y in (0, 16) for x in (0, 16)]
    data = b"".join(np.pad(tile, [(0, 16 - tile.shape[0]), (0, 16 - tile.shape[1])]).tobytes() for tile in tiles)
    tags = {322: (3, [16]), 323: (3, [16]), 324: (4, [8, 264, 520, 776]), 325: (4, [256] * 4)}
    tiff("tiles.tif", basic(1, 8, 1, tags), data, "<")
    tiff("bits12.tif", basic(1, 12, 1), bytes((place * 7) % 256 for place in range(35 * HEIGHT)), "<")


def main():
    FOLDER.mkdir(exist_ok=True)
    by_pillow()
    netpbm()
    bitmaps()
    tiffs()
    golden = {"pillow": PIL.__version__, "files": {}, "resized": []}
    for path in sorted(FOLDER.iterdir()):
        image = Image.open(path)
        rgb = np.asarray(image.convert("RGB"))
        jpeg = "jp" in path.name
        pixels = {"rgb": rgb.tobytes().hex()} if jpeg else {"sha256": hashlib.sha256(rgb.tobytes()).hexdigest()}
        golden["files"][path.name] = {"size": list(image.size), **pixels}
    for size, to in [((375, 500), (224, 299)), ((10, 500), (256, 256)), ((240, 288), (224, 224)), ((300, 900), (64, 192))]:
        resized = np.asarray(Image.fromarray(formula(*size)).resize(to, Image.BILINEAR))
        golden["resized"].append([*size, *to, hashlib.sha256(resized.tobytes()).hexdigest()])
    (HERE / "decoded.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
