"""Small checkpoints in every layout that torch.save and common training scripts write.

Run from the repository root (CPU only, a second, nothing is downloaded):

    python tests/golden/pth.py             # all
    python tests/golden/pth.py backbone    # one

Writes tests/golden/pth/*.pth, each with the state dict of one tiny network (a convolution of 1 to 2 channels, a batch
norm, a classifier of 3). Number i of a tensor is (i + place) / 64, where place is the tensor's in the state dict: exact in
half precision and in bfloat16.

tar.pth is as PyTorch wrote before 0.1.10, and old_parameters.pth before 0.4; torch.load reads both back here.
"""

import argparse
import io
import pathlib
import pickle
import struct
import sys
import tarfile
import types
from collections import OrderedDict, defaultdict, deque

import torch
from torch import nn

HERE = pathlib.Path(__file__).parent / "pth"


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 2, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(2)
        self.fc = nn.Linear(2, 3)


def foreign(module, name, base):
    """A class of a package that need not be there."""
    made = type(name, (base,), {"__module__": module})
    for end in [len(module.split(".")[0]), len(module)]:
        sys.modules[module[:end]] = types.ModuleType(module[:end])
    setattr(sys.modules[module], name, made)
    return made


class OldParameter:
    """Pickled as a parameter of PyTorch 0.3."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __reduce__(self):
        return torch.nn.Parameter, (self.tensor,), (True, False, OrderedDict())


def save_tar(tensors, path):
    """What torch.save wrote before 0.1.10: storages, tensors and a pickle that names tensors by number."""
    storages, described = io.BytesIO(), io.BytesIO()
    kinds = {torch.float32: torch.FloatStorage, torch.int64: torch.LongStorage}
    pickle.dump(len(tensors), storages, 2)
    pickle.dump(len(tensors), described, 2)
    for place, value in enumerate(tensors.values()):
        pickle.dump((1000 + place, "cpu", kinds[value.dtype]), storages, 2)
        storages.write(struct.pack("<q", value.numel()) + value.contiguous().numpy().tobytes())
        pickle.dump((place, 1000 + place, torch.FloatTensor), described, 2)
        strides = value.contiguous().stride()
        described.write(struct.pack(f"<ii{2 * value.dim()}qq", value.dim(), 0, *value.shape, *strides, 0))
    pickle.dump([], storages, 2)
    named = io.BytesIO()
    pickler = pickle.Pickler(named, 2)
    keys = {id(value): place for place, value in enumerate(tensors.values())}
    pickler.persistent_id = lambda value: keys.get(id(value))
    pickler.dump(tensors)
    system = io.BytesIO()
    pickle.dump({"protocol_version": 1000, "little_endian": True, "type_sizes": {}}, system, 2)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in [("sys_info", system), ("pickle", named), ("tensors", described), ("storages", storages)]:
            entry = tarfile.TarInfo(name)
            entry.size = len(content.getvalue())
            archive.addfile(entry, io.BytesIO(content.getvalue()))


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
    easy_dict, config_node = foreign("easydict", "EasyDict", dict), foreign("yacs.config", "CfgNode", dict)
    config = config_node(lr=0.1, steps=[1, 2])
    config.frozen = True
    history = foreign("fvcore", "History", list)([1, 2])
    history.append(history)
    meters = defaultdict(deque, {"loss": deque([0.5, 0.25], 9)})
    beside = {
        None: "nothing",
        ("a", 1): "a tuple",
        3: torch.float32,
        "args": argparse.Namespace(arch="tiny", size=torch.Size([4, 4]), device=torch.device("cpu")),
        "config": config,
        "history": history,
        "meters": meters,
        "state_dict": easy_dict({None: 1, "arch": "tiny", **plain, "scheduler": config, ("b", 2): meters}),
    }
    model.register_buffer("scratch", torch.ones(1), persistent=False)
    old = OrderedDict((k, v if "running" in k or "num_" in k else OldParameter(v)) for k, v in plain.items())
    headless = OrderedDict((k, v) for k, v in named("backbone.").items() if "fc" not in k)
    saved |= {
        "parameters": OrderedDict([*model.named_parameters(), *(b for b in model.named_buffers() if b[0] != "scratch")]),
        "old_parameters": old,
        "beside": beside,
        "whole": model,
        "backbone": named("backbone."),
        "model.state_dict": {"model": {"state_dict": plain, "step": 1}},
        "encoder": {"epoch": 3, "state": named("encoder.module.")},
        "headless": {"state_dict": OrderedDict(headless, **{"head.weight": torch.ones(7, 2)})},
    }
    only = sys.argv[1:]
    for name, value in saved.items():
        if only and name not in only:
            continue
        torch.save(value, HERE / f"{name}.pth")
    torch.save(plain, HERE / "legacy.pth", _use_new_zipfile_serialization=False)
    save_tar(plain, HERE / "tar.pth")
    for name in ["tar", "old_parameters"]:
        loaded = torch.load(HERE / f"{name}.pth", weights_only=False)
        assert all(torch.equal(loaded[key], value) for key, value in plain.items()), name


if __name__ == "__main__":
    main()
