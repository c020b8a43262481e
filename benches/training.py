"""Joint training, fine-tuning and evaluation in PyTorch, as `limpq` does them; called by benches/training.rs.

    python benches/training.py MODEL CHANNELSxHEIGHTxWIDTH CLASSES BATCH STEPS DEVICE ARITHMETIC

Prints one JSON object: images x passes per second of a joint training step, images per second of a fine-tuning step and of an
evaluation; medians of STEPS after one that warms up; and the most memory that the process has had, on a GPU that of the GPU. ARITHMETIC is float32, or bfloat16:
training under autocast, and channels last. Needs torch, and torchvision for the larger networks.

Quantizers are LSQ's, composed as in the paper's and in LIMPQ's code, at weights and inputs of every layer; batch-norms have a copy
for each bit-width in joint training, where stem and classifier stay in full precision. In fine-tuning those two have 8 bits and the
others 4.
"""

import copy
import json
import math
import random
import statistics
import subprocess
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

BITS = [6, 5, 4, 3, 2]


class Lsq(nn.Module):
    def __init__(self, bits, signed):
        super().__init__()
        self.low, self.high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        self.step = nn.Parameter(torch.tensor(0.05))

    def forward(self, v):
        scale = 1.0 / math.sqrt(v.numel() * self.high)
        scaled = self.step * scale
        s = (self.step - scaled).detach() + scaled
        u = torch.clamp(v / s, self.low, self.high)
        return ((u.round() - u).detach() + u) * s


class Layer(nn.Module):
    """A convolution or fully connected layer that can run at several bit-widths."""

    def __init__(self, inner, bits, signed):
        super().__init__()
        self.inner = inner
        self.weight = nn.ModuleDict({str(b): Lsq(b, True) for b in bits})
        self.act = nn.ModuleDict({str(b): Lsq(b, signed) for b in bits})
        self.now = None

    def forward(self, x):
        kernel = self.inner.weight
        if self.now and self.weight:
            x, kernel = self.act[str(self.now)](x), self.weight[str(self.now)](kernel)
        if isinstance(self.inner, nn.Linear):
            return F.linear(x, kernel, self.inner.bias)
        conv = self.inner
        return F.conv2d(x, kernel, conv.bias, conv.stride, conv.padding, 1, conv.groups)


class Norm(nn.Module):
    """A batch-norm with a copy for each bit-width of the layer before it."""

    def __init__(self, inner, layer):
        super().__init__()
        self.layer = [layer]
        keys = list(layer.weight) if len(layer.weight) > 1 else ["only"]
        self.copies = nn.ModuleDict({key: copy.deepcopy(inner) for key in keys})

    def forward(self, x):
        return (self.copies["only"] if "only" in self.copies else self.copies[str(self.layer[0].now)])(x)


class Basic(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (self.downsample(x) if self.downsample else x))


def separable(inputs, outputs, stride):
    depthwise = [nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False), nn.BatchNorm2d(inputs), nn.ReLU()]
    return [*depthwise, nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]


def network(name, channels, classes):
    if name == "resnet20":
        blocks, width = [], 16
        for outputs, stride in ((16, 1), (32, 2), (64, 2)):
            for block in range(3):
                blocks.append(Basic(width, outputs, stride if block == 0 else 1))
                width = outputs
        stem = [nn.Conv2d(channels, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
        return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))
    if name == "mobilenet_v1":
        layers, width = [nn.Conv2d(channels, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU()], 32
        for blocks, stride, outputs in ((1, 1, 64), (2, 2, 128), (2, 2, 256), (6, 2, 512), (2, 2, 1024)):
            for block in range(blocks):
                layers += separable(width, outputs, stride if block == 0 else 1)
                width = outputs
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))
    import torchvision

    return getattr(torchvision.models, name)(num_classes=classes)


def prepared(model, bits_of):
    """Puts a Layer around every convolution and fully connected layer, and a Norm around the batch-norm behind it."""
    places = [(parent, own, child) for parent in model.modules() for own, child in parent.named_children()]
    inner = [place for place in places if isinstance(place[2], (nn.Conv2d, nn.Linear))]
    order = {id(m): i for i, m in enumerate(m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear)))}
    inner.sort(key=lambda place: order[id(place[2])])
    norms = [place for place in places if isinstance(place[2], nn.BatchNorm2d)]
    order = {id(m): i for i, m in enumerate(m for m in model.modules() if isinstance(m, nn.BatchNorm2d))}
    norms.sort(key=lambda place: order[id(place[2])])
    layers = []
    for number, (parent, own, child) in enumerate(inner):
        layers.append(Layer(child, bits_of(number, len(inner)), number == 0))
        setattr(parent, own, layers[-1])
    # Each network has its batch-norms in the order of its convolutions.
    for layer, (parent, own, child) in zip(layers, norms):
        assert child.num_features == layer.inner.out_channels
        setattr(parent, own, Norm(child, layer))
    return model, layers


def rate(device, steps, work):
    """Median seconds of `work`."""
    times = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def gpu_mib(device):
    """Memory of a GPU that is taken, by whomever."""
    query = ["nvidia-smi", f"--id={device.index or 0}", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return float(subprocess.check_output(query))


def main():
    name, shape, classes, batch, steps, device, arithmetic = sys.argv[1:]
    shape, classes, batch, steps = [int(n) for n in shape.split("x")], int(classes), int(batch), int(steps)
    device = torch.device(device)
    before = gpu_mib(device) if device.type == "cuda" else 0
    images = torch.randn(batch, *shape, device=device)
    half = arithmetic == "bfloat16"
    layout = torch.channels_last if half else torch.contiguous_format
    images = images.to(memory_format=layout)
    autocast = lambda: torch.autocast(device.type, torch.bfloat16, enabled=half)
    labels = torch.arange(batch, device=device) % classes
    found = {}
    ends = lambda number, count: number in (0, count - 1)

    def trained(bits_of, passes):
        model, layers = prepared(network(name, shape[0], classes), bits_of)
        model.to(device, memory_format=layout).train()
        optimizer = torch.optim.SGD(model.parameters(), 1e-6, momentum=0.9, weight_decay=2.5e-5)

        def step():
            optimizer.zero_grad()
            for bits in passes(layers):
                for layer, now in zip(layers, bits):
                    layer.now = now
                with autocast():
                    loss = F.cross_entropy(model(images), labels, label_smoothing=0.1)
                loss.backward()
            optimizer.step()

        return model, rate(device, steps, step)

    joint = lambda layers: [*([b] * len(layers) for b in BITS), random.choices(BITS, k=len(layers))]
    _, seconds = trained(lambda number, count: [] if ends(number, count) else BITS, joint)
    found["joint"] = batch * (len(BITS) + 1) / seconds
    fixed = lambda number, count: 8 if ends(number, count) else 4
    one = lambda layers: [[fixed(number, len(layers)) for number in range(len(layers))]]
    model, seconds = trained(lambda number, count: [fixed(number, count)], one)
    found["finetune"] = batch / seconds
    model.eval()
    # In 32 bits, as limpq evaluates.
    with torch.no_grad():
        found["evaluate"] = batch / rate(device, steps, lambda: model(images))
    if device.type == "cuda":
        # PyTorch gives nothing back of what it had at its peak.
        found["peak_mib"] = gpu_mib(device) - before
    else:
        # Not getrusage: what it says begins with the peak of the process that started this one.
        with open("/proc/self/status") as status:
            found["peak_mib"] = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:"))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
