"""Tiny files in both layouts of CIFAR-10: two images in each training batch, three in the test batch.

Run from the repository root (numpy only, nothing is downloaded):

    python tests/golden/cifar10.py

Writes tests/golden/cifar10/ with cifar-10-batches-bin/ and cifar-10-batches-py/. Pixel p (from 0, red then green then blue) of
image i (counted over all files, training first) is (7 * i + p + p // 1024) % 251, its class is (3 * i + 1) % 10.

The published pickles were written by Python 2: strings are BINSTRING opcodes, the array is rebuilt by
numpy.core.multiarray. They are written in this way here; data_batch_2 as Python 3 writes protocol 2 today.
"""

import io
import pathlib
import pickle
import struct

import numpy as np

HERE = pathlib.Path(__file__).parent / "cifar10"


class Python2(pickle._Pickler):
    """Writes str and bytes as Python 2 wrote its strings, and numpy's module under its old name."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_string(self, value):
        raw = value if isinstance(value, bytes) else value.encode("latin1")
        if len(raw) < 256:
            self.write(b"U" + bytes([len(raw)]) + raw)
        else:
            self.write(b"T" + struct.pack("<i", len(raw)) + raw)
        self.memoize(value)

    dispatch[bytes] = save_string
    dispatch[str] = save_string

    def save_global(self, obj, name=None):
        module = obj.__module__.replace("numpy._core", "numpy.core")
        self.write(b"c" + f"{module}\n{name or obj.__qualname__}\n".encode())
        self.memoize(obj)

    dispatch[type(len)] = save_global
    dispatch[type] = save_global


def image(i):
    p = np.arange(3072)
    return ((7 * i + p + p // 1024) % 251).astype(np.uint8)


def main():
    binary, python = HERE / "cifar-10-batches-bin", HERE / "cifar-10-batches-py"
    for folder in (binary, python):
        folder.mkdir(parents=True, exist_ok=True)
    first = 0
    for name, count in [(f"data_batch_{n}", 2) for n in range(1, 6)] + [("test_batch", 3)]:
        images = [image(i) for i in range(first, first + count)]
        labels = [(3 * i + 1) % 10 for i in range(first, first + count)]
        first += count
        records = b"".join(bytes([label]) + pixels.tobytes() for label, pixels in zip(labels, images))
        (binary / f"{name}.bin").write_bytes(records)
        batch = {
            b"batch_label": b"a test",
            b"labels": labels,
            b"data": np.stack(images),
            b"filenames": [f"{i}.png".encode() for i in range(count)],
        }
        if name == "data_batch_2":
            text = pickle.dumps(batch, protocol=2)
        else:
            out = io.BytesIO()
            Python2(out, protocol=2).dump(batch)
            text = out.getvalue()
        read = pickle.loads(text, encoding="bytes")
        assert read[b"labels"] == labels and (read[b"data"] == np.stack(images)).all()
        (python / name).write_bytes(text)


if __name__ == "__main__":
    main()
