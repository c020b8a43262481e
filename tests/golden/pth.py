"""Small checkpoints in every layout that torch.save and common training scripts write.

Run from the repository root (CPU only, a second, nothing is downloaded):

    python tests/golden/pth.py

Writes tests/golden/pth/*.pth, each with the state dict of one tiny network (a convolution of 1 to 2 channels, a batch
norm, a classifier of 3). Number i of a tensor is (i + place) / 64, where place is the tensor's in the state dict: exact in
half precision and in bfloat16.
"""

import pathlib
from collections import OrderedDict

import torch
from torch import nn

HERE = pathlib.Path(__file__).parent / "pth"


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 2, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(2)
        self.fc = nn.Linear(2, 3)


def main():
    HERE.mkdir(exist_ok=True)
    model = Tiny()
    plain = OrderedDict()
    for place, (name, value) in enumerate(model.state_dict().items()):
        if name.endswith("num_batches_tracked"):
            plain[name] = value
        else:
            plain[name] = ((torch.arange(value.numel()) + place) / 64).reshape(value.shape)
    model.load_state_dict(plain)

    def cast(dtype):
        return OrderedDict((k, v.to(dtype) if v.is_floating_point() else v) for k, v in plain.items())

    def named(prefix):
        return OrderedDict((prefix + k, v) for k, v in plain.items())

    other = OrderedDict((k, v + 1) for k, v in plain.items())
    averaged = OrderedDict([("n_averaged", torch.tensor(7)), *named("module.").items()])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model.fc.weight.sum().backward()
    optimizer.step()
    model.load_state_dict(plain)
    strided = OrderedDict(plain)
    strided["fc.weight"] = plain["fc.weight"].t().contiguous().t()
    diverged = OrderedDict(plain)
    diverged["bn1.bias"] = torch.tensor([0.5, float("nan")])
    saved = {
        "plain": plain,
        "state_dict": {
            "epoch": 3,
            "arch": "tiny",
            "state_dict": plain,
            "best_acc1": torch.tensor(0.5),
            "optimizer": optimizer.state_dict(),
        },
        "model_state_dict": {"model_state_dict": plain, "loss": 0.5},
        "data_parallel": named("module."),
        "lightning": {"state_dict": named("model."), "pytorch-lightning_version": "2.0.0"},
        "compiled_data_parallel": {"model": named("_orig_mod.module.")},
        "with_average": {"model": other, "model_ema": averaged, "epoch": 3},
        "half": cast(torch.float16),
        "bfloat16": cast(torch.bfloat16),
        "double": cast(torch.float64),
        "integer": cast(torch.int32),
        "strided": strided,
        "diverged": diverged,
        "no_tensors": {"epoch": 3},
    }
    for name, value in saved.items():
        torch.save(value, HERE / f"{name}.pth")
    torch.save(plain, HERE / "legacy.pth", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
