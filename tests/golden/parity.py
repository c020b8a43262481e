"""Golden logits, losses, gradients and training runs of quantized networks, computed by PyTorch.

Run from the repository root (CPU only, under a minute, nothing is downloaded):

    python tests/golden/parity.py > tests/golden/parity.json
    python tests/golden/parity.py --search 200     # which images keep most clear of rounding ties

Needs torch, torchvision and numpy; the versions used are recorded in the output. Weights and images follow the formula of
weights.py, so none are stored.

Quantized layers are LSQ's (Esser et al., ICLR 2020) at weights and input activations, per tensor. Weight step sizes start
as in LSQ+, activation ones as in LSQ from one pass in full precision with the running statistics. Batch-norms are in
training mode, with a copy for each bit-width where a layer has several. Two networks: torchvision's resnet18, and
`small`, below.

Training is 20 steps on one batch, an epoch each: cross entropy with label smoothing, SGD with momentum, weight decay on
kernels only, gradients clipped by norm and then by value, cosine learning rate, step sizes kept at 1e-5 or above. The
gradients of a step's passes are added up. resnet18 trains with Nesterov's momentum and a warm-up.

A value on a rounding tie falls to either side as the last bit of a float wants, which moves what follows by a whole
step. The images of `small` are the ones of --search whose closest value to a tie, over all 20 steps, is farthest away; so
its numbers are comparable to float precision. resnet18 has too many values for that: quantized, its losses in float32
leave those in float64 by some percent within a few steps, so it trains in full precision. A rectifier that opens or not as
a last bit wants is felt even there, more so at higher learning rates and with smaller batches.

Output: {"torch", "torchvision", "cases": [case, ...]}. A case:

    name, model        what it is called, and its network
    input, classes     shape of the batch; the label of image i is i mod classes
    images             name that the images have in the formula
    slots              for each layer in execution order the precisions that it has, such as ["w4a4", "w2a2"]
    passes             for each pass of a step the precision of each layer, null for full precision
    recipe             how it is trained
    steps              step sizes by name at the start
    logits, loss       of each pass
    gradients          by name, summed over passes
    losses             of each step and pass of the training, if there is one
    after              all tensors by name after it

The training of resnet18 has its losses alone.

A tensor is [norm, largest magnitude, samples ...]: all elements if there are at most 8, else those at i*count//8.

For each case the script says how far its float32 numbers are from the same in float64, relative to the largest in their
list or tensor: below 1e-6 for losses and what is left after training, 1e-5 for logits, 1e-4 for gradients (those of step
sizes are sums that nearly cancel out) and for the losses of resnet18's training. It also gives the least |u - t| / (1 + |u|) of all u = v/s and all ties and clipping
bounds t.
"""

import argparse
import copy
import json
import math
import sys

import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from weights import tensor, uniform

SAMPLES = 8
STEPS = 20
RECIPE = {
    "learning_rate": 0.02,
    "final_learning_rate": 1e-5,
    "warmup_epochs": 0.0,
    "momentum": 0.9,
    "nesterov": False,
    "weight_decay": 1e-3,
    "label_smoothing": 0.1,
    "clip_norm": 0.5,
    "clip_value": 0.1,
}
MIN_STEP = 1e-5


def bounds(bits, signed):
    return (2 ** (bits - 1), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


class Lsq(nn.Module):
    """y = s * round(clip(v/s)); the gradient of s is scaled by 1/sqrt(N*Qp)."""

    def __init__(self, bits, signed):
        super().__init__()
        self.qn, self.qp = bounds(bits, signed)
        self.bits = bits
        self.step = nn.Parameter(torch.ones(1))
        self.clearance = math.inf

    def start_weight(self, v):
        mean, spread = v.mean(), 3 * v.std()
        widest = torch.maximum((mean - spread).abs(), (mean + spread).abs())
        self.step.data[0] = widest / 2 ** (self.bits - 1)

    def start_act(self, v):
        self.step.data[0] = v.abs().mean() * 2 / math.sqrt(self.qp)

    def forward(self, v):
        scale = 1 / math.sqrt(v.numel() * self.qp)
        s = self.step.detach() + (self.step * scale - (self.step * scale).detach())
        u = v / s
        with torch.no_grad():
            # A zero is exact on every machine, although it is where unsigned clipping begins.
            moving = u[v != 0].double()
            to_tie = ((moving - moving.floor()) - 0.5).abs()
            inside = (moving > -self.qn - 1) & (moving < self.qp + 1)
            to_bound = torch.minimum((moving + self.qn).abs(), (moving - self.qp).abs())
            near = (torch.minimum(to_tie, to_bound) / (1 + moving.abs()))[inside]
            self.clearance = min([self.clearance, *near.tolist()])
        u = torch.clamp(u, -self.qn, self.qp)
        return (torch.round(u).detach() + (u - u.detach())) * s


class Layer(nn.Module):
    """A convolution or fully connected layer that can run at several precisions."""

    def __init__(self, inner, slots, signed):
        super().__init__()
        self.inner = inner
        self.signed = signed
        self.now = None
        pairs = [(w, a) for w, a in map(parse, slots)]
        self.weight_quantizer = nn.ModuleDict({f"b{w}": Lsq(w, True) for w, _ in pairs})
        self.act_quantizer = nn.ModuleDict({f"b{a}": Lsq(a, signed) for _, a in pairs})

    def forward(self, x):
        weight = self.inner.weight
        if self.now:
            w, a = parse(self.now)
            x, weight = self.act_quantizer[f"b{a}"](x), self.weight_quantizer[f"b{w}"](weight)
        if isinstance(self.inner, nn.Linear):
            return F.linear(x, weight, self.inner.bias)
        conv = self.inner
        return F.conv2d(x, weight, conv.bias, conv.stride, conv.padding, 1, conv.groups)


class Norm(nn.Module):
    """A batch-norm with one copy for each precision of the layer before it."""

    def __init__(self, inner, layer):
        super().__init__()
        # Kept from being a submodule of two.
        self.layer = [layer]
        many = len(layer.weight_quantizer) > 1
        self.copies = nn.ModuleDict({key: copy.deepcopy(inner) for key in (layer.weight_quantizer if many else ["only"])})

    def forward(self, x):
        only = self.copies["only"] if "only" in self.copies else None
        return (only or self.copies[f"b{parse(self.layer[0].now)[0]}"])(x)


def parse(precision):
    weight, act = precision[1:].split("a")
    return int(weight), int(act)


class Small(nn.Module):
    """What quantization meets: a stem, depthwise and strided convolutions, a sum with no rectifier behind it (so a signed
    activation), a classifier with bias. No max pool: behind a quantized stem equal maxima are common, and which of them
    gets the gradient is chance."""

    def __init__(self, num_classes):
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
        self.fc = nn.Linear(12, num_classes)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.block.bn1(self.block.conv1(x)))
        x = x + self.block.bn2(self.block.conv2(y))
        x = torch.relu(self.bn2(self.conv2(x)))
        return self.fc(x.mean((2, 3)))


SMALL = ["conv1", "block.conv1", "block.conv2", "conv2", "fc"]
MIXED = ["w8a8", "w3a4", "w4a2", "w2a3", "w8a8"]
RESNET = [name for name, module in torchvision.models.resnet18().named_modules() if hasattr(module, "weight")]
RESNET = [name for name in RESNET if name == "fc" or "conv" in name or name.endswith("downsample.0")]
BODY = ["w4a4", "w3a3", "w2a4", "w4a3"]
PASS = [None, *(BODY[i % 4] for i in range(len(RESNET) - 2)), "w8a8"]
CANDIDATES = ["w4a4", "w3a3", "w2a2"]
NETWORKS = {
    # name: how it is made, its layers in execution order, those whose input can be negative
    "small": (Small, SMALL, {"conv1", "conv2"}),
    "resnet18": (torchvision.models.resnet18, RESNET, {"conv1"}),
}
CASES = [
    {
        "name": "small, one mixed pass",
        "model": "small",
        "input": [6, 3, 6, 6],
        "classes": 5,
        "images": "images 159",
        "slots": [[bits] for bits in MIXED],
        "passes": [MIXED],
    },
    {
        "name": "small, joint training",
        "model": "small",
        "input": [6, 3, 6, 6],
        "classes": 5,
        "images": "images 73",
        "slots": [[], *([CANDIDATES] * 3), []],
        "passes": [[None, bits, bits, bits, None] for bits in CANDIDATES],
    },
    {
        "name": "resnet18, full precision",
        "model": "resnet18",
        "input": [4, 3, 64, 64],
        "classes": 20,
        "images": "images",
        "slots": [[] for _ in RESNET],
        "passes": [[None] * len(RESNET)],
    },
    {
        "name": "resnet18, one mixed pass",
        "model": "resnet18",
        "input": [4, 3, 64, 64],
        "classes": 20,
        "images": "images",
        "slots": [[bits] if bits else [] for bits in PASS],
        "passes": [PASS],
    },
    {
        "name": "resnet18, training in full precision",
        "model": "resnet18",
        "input": [16, 3, 32, 32],
        "classes": 20,
        "images": "images",
        "slots": [[] for _ in RESNET],
        "passes": [[None] * len(RESNET)],
        "recipe": {**RECIPE, "learning_rate": 0.002, "warmup_epochs": 4.0, "nesterov": True},
    },
]
for case in CASES:
    case.setdefault("recipe", RECIPE)


class Run:
    """A case at work, in float32 or float64."""

    def __init__(self, case, images, dtype=torch.float32, steps=None):
        make, self.names, signed = NETWORKS[case["model"]]
        self.case = case
        model = make(num_classes=case["classes"])
        state = {
            key: value if key.endswith("num_batches_tracked") else tensor(key, value.shape)
            for key, value in model.state_dict().items()
        }
        model.load_state_dict(state)
        model.eval()
        self.layers = []
        for name, slots in zip(self.names, case["slots"]):
            parent, own = self.parent(model, name)
            layer = Layer(getattr(parent, own), slots, name in signed)
            setattr(parent, own, layer)
            self.layers.append(layer)
        self.images = images.to(dtype)
        self.labels = torch.arange(case["input"][0]) % case["classes"]
        self.model = model.to(dtype)
        self.start(steps)
        # Each convolution's batch-norm stands right behind it.
        norms = [name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)]
        self.norms = {}
        for name, layer in zip(norms, self.layers):
            parent, own = self.parent(model, name)
            self.norms[name] = Norm(getattr(parent, own), layer)
            setattr(parent, own, self.norms[name])
        model.train()

    @staticmethod
    def parent(model, name):
        path, _, own = name.rpartition(".")
        return model.get_submodule(path), own

    def start(self, steps):
        """Step sizes, those given or from weights and one pass in full precision."""
        if steps is None:
            hooks = [
                layer.register_forward_pre_hook(
                    lambda layer, inputs: any(q.start_act(inputs[0]) for q in layer.act_quantizer.values()) or None
                )
                for layer in self.layers
            ]
            with torch.no_grad():
                for layer in self.layers:
                    for quantizer in layer.weight_quantizer.values():
                        quantizer.start_weight(layer.inner.weight)
                self.model(self.images)
            for hook in hooks:
                hook.remove()
        else:
            for name, step in self.quantizers():
                step.data[0] = steps[name].item()

    def quantizers(self):
        for name, layer in zip(self.names, self.layers):
            for role, kind in (("weight", layer.weight_quantizer), ("act", layer.act_quantizer)):
                for bits, quantizer in kind.items():
                    yield f"{name}.{role}_quantizer.{bits}.0", quantizer.step

    def parameters(self):
        """Everything that is learned, by the names of limpq's files."""
        for name, layer in zip(self.names, self.layers):
            yield f"{name}.weight", layer.inner.weight
            if layer.inner.bias is not None:
                yield f"{name}.bias", layer.inner.bias
        yield from self.of_norms("weight", "bias")
        yield from self.quantizers()

    def of_norms(self, *parts):
        for name, norm in self.norms.items():
            for bits, one in norm.copies.items():
                for part in parts:
                    yield f"{name}.{part}" if bits == "only" else f"{name}.{bits}.{part}", getattr(one, part)

    def passes(self):
        """One step's passes; gradients add up."""
        logits, losses = [], []
        for bits in self.case["passes"]:
            for layer, now in zip(self.layers, bits):
                layer.now = now
            scores = self.model(self.images)
            loss = F.cross_entropy(scores, self.labels, label_smoothing=self.case["recipe"]["label_smoothing"])
            loss.backward()
            logits.append(scores.detach())
            losses.append(loss.item())
        return logits, losses

    def train(self):
        recipe = self.case["recipe"]
        parameters = dict(self.parameters())
        kernels = {f"{name}.weight" for name in self.names}
        decayed = [value for name, value in parameters.items() if name in kernels]
        rest = [value for name, value in parameters.items() if name not in kernels]
        optimizer = torch.optim.SGD(
            [{"params": decayed, "weight_decay": recipe["weight_decay"]}, {"params": rest}],
            lr=recipe["learning_rate"],
            momentum=recipe["momentum"],
            nesterov=recipe["nesterov"],
        )
        history, clipped = [], []
        low, high, warmup = recipe["final_learning_rate"], recipe["learning_rate"], recipe["warmup_epochs"]
        for step in range(STEPS):
            cosine = 0.5 * (1 + math.cos(math.pi * (step - warmup) / (STEPS - warmup)))
            for group in optimizer.param_groups:
                group["lr"] = low + (high - low) * (step / warmup if step < warmup else cosine)
            optimizer.zero_grad()
            history.append(self.passes()[1])
            norm = nn.utils.clip_grad_norm_(parameters.values(), recipe["clip_norm"])
            largest = max(value.grad.abs().max().item() for value in parameters.values())
            nn.utils.clip_grad_value_(parameters.values(), recipe["clip_value"])
            clipped.append((norm.item(), largest))
            optimizer.step()
            with torch.no_grad():
                for _, quantizer in self.quantizers():
                    quantizer.clamp_(min=MIN_STEP)
        return history, clipped

    def clearance(self):
        found = [m.clearance for m in self.model.modules() if isinstance(m, Lsq)]
        return float(min(found, default=math.inf))


def images_of(case):
    values = 4.0 * uniform(case["images"], math.prod(case["input"])) - 2.0
    return torch.from_numpy(values.astype(np.float32)).reshape(case["input"])


def summary(value):
    flat = value.detach().flatten()
    count = flat.numel()
    places = range(count) if count <= SAMPLES else [i * count // SAMPLES for i in range(SAMPLES)]
    return [flat.double().norm().item(), flat.abs().max().item(), *(flat[i].item() for i in places)]


def spread(values, exact):
    """Largest distance of summaries or lists, relative to the largest magnitude in each."""
    apart = 0.0
    for one, other in zip(values, exact):
        largest = max(abs(x) for x in other)
        apart = max(apart, *(abs(a - b) / largest for a, b in zip(one, other)))
    return apart


def trained(run):
    recipe = run.case["recipe"]
    losses, clipped = run.train()
    active = [sum(norm > recipe["clip_norm"] for norm, _ in clipped), sum(x > recipe["clip_value"] for _, x in clipped)]
    print("  steps clipped by norm and by value:", active, file=sys.stderr)
    everything = [*run.parameters(), *run.of_norms("running_mean", "running_var")]
    return {"losses": losses, "after": {name: summary(value) for name, value in everything}}


def measured(run):
    logits, loss = run.passes()
    return {
        "logits": [scores.flatten().tolist() for scores in logits],
        "loss": loss,
        "gradients": {name: summary(value.grad) for name, value in run.parameters()},
    }


def worked(case):
    images = images_of(case)
    training = case["recipe"] is not RECIPE
    runs = []
    for dtype in (torch.float32, torch.float64):
        steps = dict(runs[0][1]) if runs else None
        run = Run(case, images, dtype, steps)
        started = [(name, step.detach().clone()) for name, step in run.quantizers()]
        found, clearance = {"losses": [], "after": {}}, math.inf
        if not training:
            found.update(measured(run))
            clearance = run.clearance()
        if training or case["model"] == "small":
            run = Run(case, images, dtype, dict(started))
            found.update(trained(run))
            clearance = min(clearance, run.clearance())
        runs.append((found, started, clearance))
    (found, started, clearance), (exact, _, _) = runs
    lists = lambda value: value.values() if isinstance(value, dict) else [value] if isinstance(value[0], float) else value
    apart = {key: spread(lists(found[key]), lists(exact[key])) for key in found if found[key]}
    print("  float32 from float64:", apart, "closest to a tie:", clearance, file=sys.stderr)
    if training:
        del found["after"]
    return {**case, "steps": {name: step.item() for name, step in started}, **found}


def search(tries):
    for case in CASES[:2]:
        best = (0.0, None)
        for number in range(tries):
            case["images"] = f"images {number}"
            run = Run(case, images_of(case))
            run.train()
            best = max(best, (run.clearance(), case["images"]))
        print(case["name"], best)


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
    torch.set_num_threads(1)
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--search", type=int)
    tries = arguments.parse_args().search
    if tries:
        return search(tries)
    cases = []
    for case in CASES:
        print(case["name"], file=sys.stderr)
        cases.append(worked(case))
        print("  losses at first and last:", cases[-1]["losses"][:1], cases[-1]["losses"][-1:], file=sys.stderr)
    head = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    out = text({**head, "cases": cases}) + "\n"
    json.loads(out)
    sys.stdout.write(out)


if __name__ == "__main__":
    main()
