"""Small images of every kind, and what Pillow and torchvision make of them.

Run from the repository root (Pillow, torch and torchvision on the CPU; nothing is downloaded):

    python tests/golden/images.py

Writes tests/golden/images/{train,val}/{cat,dog}/ and tests/golden/images.json: for each file the bytes of Pillow's
convert("RGB"), of Resize(16) + CenterCrop(12), and of one resized_crop, in hexadecimal digits; for one file the normalised
tensor; for pictures of larger sizes, given by a formula, the SHA-256 of the resized bytes.
"""

import hashlib
import io
import json
import pathlib

import numpy as np
import PIL
import torchvision
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms import functional as F

HERE = pathlib.Path(__file__).parent
BOX = (3, 5, 11, 17)  # top, left, height, width
MEAN, DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def formula(width, height):
    x, y, c = np.meshgrid(np.arange(width), np.arange(height), np.arange(3), indexing="xy")
    return ((7 * x + 13 * y + 29 * c + x * y) % 256).astype(np.uint8)


def smooth(width, height):
    """What photographs are like, so that JPEG has something to keep."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [128 + 90 * np.sin(x / 5 + k) * np.cos(y / (4 + k)) + 30 * np.sin((x + y) / 3 + 2 * k) for k in range(3)]
    return np.clip(np.stack(waves, -1), 0, 255).astype(np.uint8)


def sixteen_bit(colour):
    """A PNG of 16 bits and colours, which Pillow cannot write."""
    import struct
    import zlib

    height, width, _ = colour.shape
    deep = colour.astype(">u2") * 256 + np.arange(width, dtype=">u2")[None, :, None] * 5
    lines = b"".join(b"\0" + deep[y].astype(">u2").tobytes() for y in range(height))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def write(folder):
    rgb = Image.fromarray(formula(23, 19))
    photo = Image.fromarray(smooth(40, 30))
    grey16 = Image.fromarray((np.arange(23 * 19, dtype=np.uint16).reshape(19, 23) * 37))
    exif = Image.Exif()
    exif[274] = 6  # orientation: to be turned by 90 degrees
    files = {
        "train/cat/rgb.png": lambda out: rgb.save(out, "PNG"),
        "train/cat/grey.png": lambda out: rgb.convert("L").save(out, "PNG"),
        "train/cat/black_and_white.png": lambda out: rgb.convert("1").save(out, "PNG"),
        "train/cat/palette.png": lambda out: rgb.quantize(13).save(out, "PNG", transparency=2),
        "train/cat/rgba.png": lambda out: Image.merge("RGBA", [*rgb.split(), rgb.split()[0]]).save(out, "PNG"),
        "train/dog/grey_alpha.png": lambda out: Image.merge("LA", rgb.split()[:2]).save(out, "PNG"),
        "train/dog/grey16.png": lambda out: grey16.save(out, "PNG"),
        "train/dog/rgb16.png": lambda out: out.write(sixteen_bit(formula(23, 19))),
        "train/dog/photo_420.jpg": lambda out: photo.save(out, "JPEG", quality=90, subsampling="4:2:0"),
        "train/dog/photo_444.JPEG": lambda out: photo.save(out, "JPEG", quality=90, subsampling="4:4:4"),
        "train/dog/progressive.jpeg": lambda out: photo.save(out, "JPEG", quality=75, progressive=True),
        "train/dog/cmyk.jpg": lambda out: photo.convert("CMYK").save(out, "JPEG", quality=95),
        "train/dog/png_inside.jpg": lambda out: rgb.save(out, "PNG"),
        "val/cat/grey.jpg": lambda out: photo.convert("L").save(out, "JPEG", quality=90),
        "val/dog/turned.jpg": lambda out: photo.save(out, "JPEG", quality=90, exif=exif),
    }
    for name, save in files.items():
        out = io.BytesIO()
        save(out)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(out.getvalue())
    return list(files)


def main():
    folder = HERE / "images"
    hexed = lambda image: np.asarray(image).tobytes().hex()
    golden = {"pillow": PIL.__version__, "torchvision": torchvision.__version__, "files": {}, "resized": []}
    evaluation = v2.Compose([v2.Resize(16), v2.CenterCrop(12)])
    for name in write(folder):
        image = Image.open(folder / name).convert("RGB")
        golden["files"][name] = {
            "size": list(image.size),
            "rgb": hexed(image),
            "evaluated": hexed(evaluation(image)),
            "cropped": hexed(F.resized_crop(image, *BOX, [12, 12])),
        }
    normal = torchvision.transforms.Compose(
        [torchvision.transforms.ToTensor(), torchvision.transforms.Normalize(MEAN, DEVIATION)]
    )
    image = evaluation(Image.open(folder / "train/cat/rgb.png").convert("RGB"))
    golden["normalised"] = normal(image).flatten().tolist()
    for size, to in [((500, 375), (224, 224)), ((301, 199), (341, 256)), ((64, 48), (37, 29)), ((31, 57), (224, 224)),
                     ((640, 426), (384, 256)), ((3, 2), (7, 9)), ((200, 100), (200, 50))]:
        resized = np.asarray(Image.fromarray(formula(*size)).resize(to, Image.BILINEAR))
        golden["resized"].append([*size, *to, hashlib.sha256(resized.tobytes()).hexdigest()])
    (HERE / "images.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
