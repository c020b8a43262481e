"""Throughput of torchvision's DataLoader on a folder of photographs; called by benches/loader.rs.

    python benches/loader.py make FOLDER COUNT       writes COUNT JPEGs of 500x375 pixels for each of two classes
    python benches/loader.py time FOLDER WORKERS BATCH   prints images per second of one pass, after its workers have started
"""

import pathlib
import sys
import time


def make(folder, count):
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(1)
    for part in ("train", "val"):
        for name in ("cat", "dog"):
            place = pathlib.Path(folder) / part / name
            place.mkdir(parents=True, exist_ok=True)
            for number in range(count if part == "train" else 1):
                # Coarse noise, enlarged, with some grain: files of 50 kB or so, as ImageNet's are scaled to this size.
                coarse = Image.fromarray(random.integers(0, 256, (25, 33, 3), dtype=np.uint8))
                picture = np.asarray(coarse.resize((500, 375), Image.BICUBIC), dtype=np.int16)
                picture = np.clip(picture + random.normal(0, 6, picture.shape[:2] + (1,)), 0, 255)
                Image.fromarray(picture.astype(np.uint8)).save(place / f"{number}.jpg", quality=90)


def measure(folder, workers, batch):
    import torch
    from torchvision import datasets, transforms

    torch.set_num_threads(1)
    transform = transforms.Compose([
        transforms.RandomResizedCrop(224),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ])
    images = datasets.ImageFolder(f"{folder}/train", transform)
    loader = torch.utils.data.DataLoader(
        images, batch, shuffle=True, num_workers=workers, persistent_workers=True, prefetch_factor=2
    )
    for _ in loader:  # the first pass starts the processes and fills the disk's cache
        pass
    start = time.perf_counter()
    count = sum(len(labels) for _, labels in loader)
    print(count / (time.perf_counter() - start))


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2], int(sys.argv[3]))
    else:
        measure(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
