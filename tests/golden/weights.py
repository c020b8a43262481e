"""Golden logits of full-precision networks whose weights are given by a formula, so that no weights need be stored.

Run from the repository root (CPU only, a few seconds, nothing is downloaded):

    python tests/golden/weights.py > tests/golden/weights.json
    python tests/golden/weights.py --save DIR    # also DIR/resnet18.pth and so on, for LIMPQ_TORCH_WEIGHTS=DIR

Needs torch, torchvision and numpy; the versions used are recorded in the output. ResNets are torchvision's. MobileNetV1
is written out below with timm's names and, as in the paper, plain rectifiers.

The formula: number i of tensor NAME is u = top 24 bits of splitmix64(fnv1a64(NAME) + i) / 2^24, in [0, 1). Then

    weights of convolutions, classifier    (2u - 1) * sqrt(4 / fan_in)
    biases, running means                  (2u - 1) / 4
    scales and variances of batch-norms    1/2 + u
    the images, called "images"            4u - 2

computed in float64 and rounded to float32. tests/weights.rs does the same. The classifier's weights are then multiplied by a
power of two, so that the largest logits are near 10 in each network.

Output: {"torch", "torchvision", "input": [2, 3, 96, 96], "models": {name: {"classifier": factor, "logits": [[logit, ...],
[logit, ...]]}}}.
"""

import argparse
import json
import math
import pathlib
import sys

import numpy as np
import torch
import torchvision
from torch import nn

INPUT = (2, 3, 96, 96)
CLASSES = 20
MASK = (1 << 64) - 1


def fnv1a64(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & MASK
    return value


def uniform(name, count):
    with np.errstate(over="ignore"):
        z = np.uint64(fnv1a64(name)) + np.arange(count, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) / 2.0**24


def tensor(name, shape):
    u = uniform(name, math.prod(shape))
    if len(shape) > 1:
        values = (2.0 * u - 1.0) * math.sqrt(4.0 / math.prod(shape[1:]))
    elif name.endswith(("bias", "running_mean")):
        values = (2.0 * u - 1.0) / 4.0
    else:
        values = 0.5 + u
    return torch.from_numpy(values.astype(np.float32)).reshape(shape)


class Separable(nn.Module):
    def __init__(self, channels, out, stride):
        super().__init__()
        self.conv_dw = nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv_pw = nn.Conv2d(channels, out, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv_dw(x)))
        return torch.relu(self.bn2(self.conv_pw(x)))


class MobileNetV1(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv_stem = nn.Conv2d(3, 32, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        stages, channels = [], 32
        for blocks, stride, out in ((1, 1, 64), (2, 2, 128), (2, 2, 256), (6, 2, 512), (2, 2, 1024)):
            stage = []
            for i in range(blocks):
                stage.append(Separable(channels, out, stride if i == 0 else 1))
                channels = out
            stages.append(nn.Sequential(*stage))
        self.blocks = nn.Sequential(*stages)
        self.classifier = nn.Linear(1024, num_classes)

    def forward(self, x):
        x = self.blocks(torch.relu(self.bn1(self.conv_stem(x))))
        return self.classifier(x.mean((2, 3)))


MODELS = {
    # name: how it is made, what its classifier's weights are multiplied by
    "resnet18": (torchvision.models.resnet18, 0.5),
    "resnet50": (torchvision.models.resnet50, 0.0625),
    "mobilenet_v1": (MobileNetV1, 16.0),
}


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--save", type=pathlib.Path)
    save = arguments.parse_args().save
    images = torch.from_numpy((4.0 * uniform("images", math.prod(INPUT)) - 2.0).astype(np.float32)).reshape(INPUT)
    models = []
    for name, (make, classifier) in MODELS.items():
        model = make(num_classes=CLASSES).eval()
        state = {
            key: value if key.endswith("num_batches_tracked") else tensor(key, value.shape)
            for key, value in model.state_dict().items()
        }
        for value in state.values():
            if value.dim() == 2:
                value *= classifier
        model.load_state_dict(state)
        if save:
            torch.save(model.state_dict(), save / f"{name}.pth")
        with torch.no_grad():
            logits = model(images)
        print(name, "logits from", logits.min().item(), "to", logits.max().item(), file=sys.stderr)
        rows = ",\n".join("[" + ",".join(str(x) for x in row) + "]" for row in logits.numpy())
        models.append(f'"{name}":{{"classifier":{classifier},"logits":[\n{rows}]}}')
    head = {"torch": torch.__version__, "torchvision": torchvision.__version__, "input": list(INPUT)}
    out = "{" + "".join(f'"{key}":{json.dumps(value)},\n' for key, value in head.items())
    out += '"models":{\n' + ",\n".join(models) + "\n}}\n"
    json.loads(out)
    sys.stdout.write(out)


if __name__ == "__main__":
    main()
