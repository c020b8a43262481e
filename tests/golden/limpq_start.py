"""Golden step sizes as LIMPQ's joint training starts them, computed by PyTorch.

Run from the repository root (CPU only, a few seconds, nothing is downloaded):

    python tests/golden/limpq_start.py > tests/golden/limpq_start.json
    python tests/golden/limpq_start.py --search 200    # which images keep most clear of rounding ties

Needs torch, torchvision and numpy; the version of torch is recorded in the output. Weights and images follow the formula of weights.py, so none
are stored. The network is the `small` of parity.py.

What is done is what github.com/1hunters/LIMPQ does in indicators_pretraining in the first step of its joint training, written
anew after quan/quantizer/lsq.py, quan/func.py and process.py there: in training mode, for each candidate from the highest down,
all layers but stem and classifier run at that bit-width, with that bit-width's own copy of each batch-norm; the first time that
an activation quantizer runs at a bit-width, its step size becomes 2*mean|x|/sqrt(Qp) of what it is given, which the layers before
it have quantized already. Then one pass with bits drawn for each layer (here given) uses what is there. Weight step sizes start
as in LSQ+. In the forward pass LIMPQ clamps step sizes to [1e-5, 1]; one case does, the others do not.

Several batches: what each gives alone, then the mean. Activations that can be negative have a signed grid, as limpq gives them
(LIMPQ takes them all for positive, which they are in its ResNets).

Output: {"torch", "cases": [case, ...]}. A case:

    name, images   what it is called, and the names of its batches in the formula
    input, classes shape of a batch, number of classes
    bits           candidates, from the highest down
    clamp          whether step sizes are clamped in the forward pass
    mixed          bits of each searched layer in the last pass
    steps          activation step sizes by name
    norms          running means and variances by name after all passes of the first step, for cases of one batch

The script also says how far the float32 numbers are from the same in float64, relative to each, and the least
|u - t| / (1 + |u|) of all u = v/s and all ties and clipping bounds t.
"""

import argparse
import copy
import json
import math
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from weights import tensor, uniform

BITS = [6, 4, 3, 2]
INPUT = [8, 3, 8, 8]
CLASSES = 5
SEARCHED = ["block.conv1", "block.conv2", "conv2"]
SIGNED = {"conv2"}
MIXED = [3, 6, 2]
CASES = [
    {"name": "one batch", "images": ["images 3"], "clamp": False},
    {"name": "one batch, clamped at 1", "images": ["images 3"], "clamp": True},
    {"name": "two batches", "images": ["images 3", "images 118"], "clamp": False},
]


class Quantizer(nn.Module):
    """LSQ with a step size for each bit-width. That of activations starts when it is first used."""

    def __init__(self, signed, clamp, weight=None):
        super().__init__()
        self.signed, self.clamp = signed, clamp
        self.s = nn.Parameter(torch.ones(len(BITS)))
        self.started = [weight is not None] * len(BITS)
        self.clearance = math.inf
        if weight is not None:
            mean, spread = weight.mean(), 3 * weight.std()
            widest = torch.max((mean - spread).abs(), (mean + spread).abs())
            self.s.data = torch.stack([widest / 2 ** (bits - 1) for bits in BITS])

    def forward(self, x, bits):
        place = BITS.index(bits)
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if self.signed else (0, 2**bits - 1)
        if not self.started[place]:
            self.started[place] = True
            self.s.data[place] = x.detach().abs().mean() * 2 / high**0.5
        s = self.s[place]
        if self.clamp:
            s = torch.clamp(s, min=1e-5, max=1.0)
        u = x / s
        self.look(u.detach(), low, high)
        return torch.round(torch.clamp(u, low, high)) * s

    def look(self, u, low, high):
        moving = u[u != 0].double()
        to_tie = ((moving - moving.floor()) - 0.5).abs()
        inside = (moving > low - 1) & (moving < high + 1)
        to_bound = torch.minimum((moving - low).abs(), (moving - high).abs())
        near = (torch.minimum(to_tie, to_bound) / (1 + moving.abs()))[inside]
        self.clearance = min([self.clearance, *near.tolist()])


class Conv(nn.Module):
    def __init__(self, inner, signed, clamp):
        super().__init__()
        self.inner = inner
        self.of_weights = Quantizer(True, clamp, inner.weight.detach())
        self.of_inputs = Quantizer(signed, clamp)
        self.bits = None

    def forward(self, x):
        weight = self.of_weights(self.inner.weight, self.bits)
        conv = self.inner
        return F.conv2d(self.of_inputs(x, self.bits), weight, None, conv.stride, conv.padding, 1, conv.groups)


class Norm(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.copies = nn.ModuleList([copy.deepcopy(inner) for _ in BITS])
        self.bits = None

    def forward(self, x):
        return self.copies[BITS.index(self.bits)](x)


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.block = nn.Module()
        self.block.conv1 = nn.Conv2d(8, 8, 3, 1, 1, bias=False)
        self.block.bn1 = nn.BatchNorm2d(8)
        self.block.conv2 = nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False)
        self.block.bn2 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 12, 3, 2, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(12)
        self.fc = nn.Linear(12, CLASSES)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.block.bn1(self.block.conv1(x)))
        x = x + self.block.bn2(self.block.conv2(y))
        x = torch.relu(self.bn2(self.conv2(x)))
        return self.fc(x.mean((2, 3)))


class Run:
    """The first step on one batch."""

    def __init__(self, images, clamp, dtype):
        model = Small()
        state = {
            key: value if key.endswith("num_batches_tracked") else tensor(key, value.shape)
            for key, value in model.state_dict().items()
        }
        model.load_state_dict(state)
        model = model.to(dtype)
        self.convs = {}
        for name in SEARCHED:
            path, _, own = name.rpartition(".")
            parent = model.get_submodule(path)
            setattr(parent, own, Conv(getattr(parent, own), name in SIGNED, clamp))
            norm = own.replace("conv", "bn")
            setattr(parent, norm, Norm(getattr(parent, norm)))
            self.convs[name] = (getattr(parent, own), getattr(parent, norm))
        self.model = model.train()
        values = (4.0 * uniform(images, math.prod(INPUT)) - 2.0).astype(np.float32)
        images = torch.from_numpy(values).reshape(INPUT).to(dtype)
        for bits in [*([bits] * len(SEARCHED) for bits in BITS), MIXED]:
            for (conv, norm), own in zip(self.convs.values(), bits):
                conv.bits = norm.bits = own
            self.model(images)

    def steps(self):
        return {
            f"{name}.act_quantizer.b{bits}.0": conv.of_inputs.s[place].item()
            for name, (conv, _) in self.convs.items()
            for place, bits in enumerate(BITS)
        }

    def norms(self):
        found = {}
        one = self.model.bn1
        found["bn1.running_mean"], found["bn1.running_var"] = one.running_mean, one.running_var
        for name, (_, norm) in self.convs.items():
            for bits, one in zip(BITS, norm.copies):
                plain = f"{name.replace('conv', 'bn')}.b{bits}"
                found[f"{plain}.running_mean"], found[f"{plain}.running_var"] = one.running_mean, one.running_var
        return {name: value.tolist() for name, value in found.items()}

    def clearance(self):
        return min(module.clearance for module in self.model.modules() if isinstance(module, Quantizer))


def worked(case):
    found = []
    for dtype in (torch.float32, torch.float64):
        runs = [Run(images, case["clamp"], dtype) for images in case["images"]]
        steps = {name: sum(run.steps()[name] for run in runs) / len(runs) for name in runs[0].steps()}
        norms = runs[0].norms() if len(runs) == 1 else {}
        found.append((steps, norms, min(run.clearance() for run in runs)))
    (steps, norms, clearance), (exact, _, _) = found
    apart = max(abs(steps[name] - exact[name]) / exact[name] for name in steps)
    print(case["name"], "float32 from float64:", apart, "closest to a tie:", clearance, file=sys.stderr)
    print("  above 1:", [name for name, step in steps.items() if step > 1], file=sys.stderr)
    return {**case, "input": INPUT, "classes": CLASSES, "bits": BITS, "mixed": MIXED, "steps": steps, "norms": norms}


def text(value):
    """JSON with 32-bit floats at their shortest, one tensor a line."""
    if isinstance(value, float):
        return str(np.float32(value))
    if isinstance(value, list):
        return "[" + ",".join(map(text, value)) + "]"
    if isinstance(value, dict):
        return "{\n" + ",\n".join(f"{json.dumps(key)}:{text(inner)}" for key, inner in value.items()) + "}"
    return json.dumps(value)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--search", type=int)
    tries = arguments.parse_args().search
    with torch.no_grad():
        if tries:
            runs = lambda images: min(Run(images, clamp, torch.float32).clearance() for clamp in (False, True))
            names = [f"images {number}" for number in range(tries)]
            print(sorted(((runs(name), name) for name in names), reverse=True)[:3])
            return
        sys.stdout.write(text({"torch": torch.__version__, "cases": [worked(case) for case in CASES]}) + "\n")


if __name__ == "__main__":
    main()
