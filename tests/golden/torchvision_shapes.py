"""Golden parameter names, shapes and multiply-accumulate counts of torchvision's ResNets.

Run from the repository root (CPU only, a few seconds, nothing is downloaded):

    python tests/golden/torchvision_shapes.py > tests/golden/torchvision_shapes.json

Needs torch and torchvision; the versions used are recorded in the output.

Output: {"torch", "torchvision", "input": [1, 3, 224, 224], "models": {model: {"state_dict", "layers"}}}, one entry a
line, for resnet18, resnet34 and resnet50 with 1000 classes and no weights:

    state_dict  [name, shape] in the order of the state dict, without num_batches_tracked
    layers      [name, output shape, MACs] of every convolution and linear layer in module order (named_modules)

Output shapes are those of a forward pass, so the MACs count floored output sizes; biases are not counted.
"""

import json
import sys

import torch
import torchvision
from torch import nn

MODELS = ("resnet18", "resnet34", "resnet50")
INPUT = (1, 3, 224, 224)


def state_dict(model):
    return [
        [name, list(tensor.shape)]
        for name, tensor in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    ]


def layers(model):
    """[name, output shape, MACs] of every conv and linear layer, shapes taken in a forward pass."""
    shapes = {}

    def keep_shape(name):
        def hook(_module, _inputs, output):
            shapes[name] = list(output.shape)

        return hook

    found = [(name, module) for name, module in model.named_modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    for name, module in found:
        module.register_forward_hook(keep_shape(name))
    with torch.no_grad():
        model.eval()(torch.zeros(INPUT))

    rows = []
    for name, module in found:
        # A weight is [out, ...]: each output number takes one multiply-accumulate per remaining weight.
        per_output = module.weight[0].numel()
        outputs = torch.Size(shapes[name]).numel()
        rows.append([name, shapes[name], outputs * per_output])
    return rows


def block(rows):
    """A JSON list with one row a line."""
    return "[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]"


def main():
    models = []
    for name in MODELS:
        model = getattr(torchvision.models, name)(weights=None, num_classes=1000)
        models.append(f'"{name}":{{"state_dict":{block(state_dict(model))},\n"layers":{block(layers(model))}}}')
    head = {"torch": torch.__version__, "torchvision": torchvision.__version__, "input": list(INPUT)}
    out = "{" + "".join(f'"{key}":{json.dumps(value)},\n' for key, value in head.items())
    out += '"models":{\n' + ",\n".join(models) + "\n}}\n"
    json.loads(out)
    sys.stdout.write(out)


if __name__ == "__main__":
    main()
