"""Small ONNX files of several exporters and opsets, with the logits that PyTorch or onnxruntime computes from them.

Run from the repository root (CPU only, a minute, nothing is downloaded):

    python tests/golden/onnx_files.py

Needs torch, onnx, onnxscript, onnxruntime and numpy; the versions used are recorded in the output. It writes
tests/golden/onnx/NAME.onnx and tests/golden/onnx.json: {"versions", "files": {name: {"input": [3, 12, 12], "layers": [name, ...],
"images": [[number, ...]], "logits": [[logit, ...]]}}}, where `layers` are the names of the module's convolutions and linear layers
in the order in which they are computed; absent for files that are written by hand.
"""

import json
import pathlib

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

FOLDER = pathlib.Path("tests/golden/onnx")
SIDE = 12


class Squeeze(nn.Module):
    """Squeeze-and-excitation."""

    def __init__(self, channels):
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(x.mean((2, 3), keepdim=True)))))


class Small(nn.Module):
    """A bit of everything that classifiers have."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8, eps=1e-3), nn.SiLU())
        self.depthwise = nn.Conv2d(8, 8, (1, 3), padding=(0, 1), groups=8, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.block = nn.ModuleDict({"gate": Squeeze(8), "out": nn.Conv2d(8, 8, 3, padding=2, dilation=2)})
        self.left, self.right = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 6, 1)
        self.fc = nn.Sequential(nn.Dropout(0.2), nn.Linear(90, 12), nn.Hardswish(), nn.Linear(12, 5))

    def forward(self, x):
        x = self.stem(x)
        y = nn.functional.relu6(self.norm(self.depthwise(x)))
        x = x + self.block["out"](self.block["gate"](y))
        b, c, h, w = x.shape
        x = x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)
        left, right = x.chunk(2, 1)
        x = torch.cat([self.left(left), self.right(right)], 1)
        x = nn.functional.avg_pool2d(nn.functional.max_pool2d(x, 3, 2, 1, ceil_mode=True), 2, 1, 0)
        return self.fc(torch.flatten(x, 1))


class Tokens(nn.Module):
    """As ConvNeXt: channels last, layer normalisation, linear layers on each pixel, layer scale."""

    def __init__(self):
        super().__init__()
        self.patch, self.norm = nn.Conv2d(3, 6, 4, 4), nn.LayerNorm(6, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(6, 12), nn.GELU(), nn.Linear(12, 6))
        self.layer_scale = nn.Parameter(torch.linspace(0.5, 1.5, 6))
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        x = self.patch(x)
        y = self.mlp(self.norm(x.permute(0, 2, 3, 1))) * self.layer_scale
        x = x + y.permute(0, 3, 1, 2)
        return self.head(x.mean((2, 3)))


class Attention(nn.Module):
    """Of two heads: by PyTorch's function, or written out with the scale behind the first product."""

    def __init__(self, fused):
        super().__init__()
        self.fused, self.qkv, self.proj = fused, nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x):
        batch, tokens, dim = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, 2, dim // 2).permute(2, 0, 3, 1, 4).unbind(0)
        if self.fused:
            x = nn.functional.scaled_dot_product_attention(q, k, v)
        else:
            x = ((q @ k.transpose(-2, -1)) * (dim // 2) ** -0.5).softmax(-1) @ v
        return self.proj(x.transpose(1, 2).reshape(batch, tokens, dim))


class Transformer(nn.Module):
    """As ViT: a class token, positions, attention, and a classifier on the first token."""

    def __init__(self, fused):
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, 4)
        self.cls_token, self.pos_embed = nn.Parameter(torch.randn(1, 1, 8)), nn.Parameter(torch.randn(1, 10, 8))
        self.norm1, self.attn, self.norm2 = nn.LayerNorm(8, eps=1e-6), Attention(fused), nn.LayerNorm(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], 1) + self.pos_embed
        x = x + self.attn(self.norm1(x))
        return self.head(self.norm2(x)[:, 0])


def settled(net):
    """Statistics and scales that are not those of the start."""
    generator = torch.Generator().manual_seed(7)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value, low, high in [(module.weight, 0.5, 1.5), (module.bias, -0.5, 0.5)]:
                value.data = torch.rand(value.shape, generator=generator) * (high - low) + low
            module.running_mean = torch.rand(module.running_mean.shape, generator=generator) - 0.5
            module.running_var = torch.rand(module.running_var.shape, generator=generator) + 0.5
    return net.eval()


def layers(net, image):
    """Names of the layers in the order in which they are computed."""
    names = []
    for name, module in net.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(lambda _module, _input, _output, name=name: names.append(name))
    net(image)
    return names


def by_tensorflow(rng):
    """As tf2onnx writes: channels last in and before the classifier, SAME borders, biases apart, a softmax at the end."""

    def tensor(name, *shape):
        return numpy_helper.from_array(rng.normal(0, 0.5, shape).astype(np.float32), name)

    weights = [tensor("conv/kernel", 6, 3, 3, 3), tensor("conv/bias", 1, 6, 1, 1), tensor("dense/kernel", 216, 5), tensor("dense/bias", 5)]
    flat = numpy_helper.from_array(np.array([-1, 216], np.int64), "flat")
    nodes = [
        helper.make_node("Transpose", ["image"], ["first"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["first", "conv/kernel"], ["c"], strides=[2, 2], auto_pad="SAME_UPPER", kernel_shape=[3, 3]),
        helper.make_node("Add", ["c", "conv/bias"], ["shifted"]),
        helper.make_node("LeakyRelu", ["shifted"], ["r"], alpha=0.2),
        helper.make_node("Transpose", ["r"], ["last"], perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["last", "flat"], ["f"]),
        helper.make_node("MatMul", ["f", "dense/kernel"], ["d"]),
        helper.make_node("Add", ["d", "dense/bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", SIDE, SIDE, 3])
    listed = [helper.make_tensor_value_info(w.name, w.data_type, w.dims) for w in weights]
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 5])
    graph = helper.make_graph(nodes, "g", [image, *listed], [scores], [*weights, flat])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)], ir_version=4)


def export(net, image, name, options):
    """Writes a file, without the places in source files that the dynamo exporter notes."""
    path = str(FOLDER / f"{name}.onnx")
    torch.onnx.export(net, (image[:1],), path, **options)
    model = onnx.load(path, load_external_data=False)
    noted = [model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output]
    for holder in noted:
        kept = [entry for entry in holder.metadata_props if entry.key.startswith("pkg.torch.onnx.") and "trace" not in entry.key]
        del holder.metadata_props[:]
        holder.metadata_props.extend(kept)
    onnx.save(model, path)


def main():
    FOLDER.mkdir(exist_ok=True)
    torch.manual_seed(3)
    files = {}
    image = torch.randn(2, 3, SIDE, SIDE)
    preserve = torch.onnx.TrainingMode.PRESERVE
    kinds = {
        "legacy_9": {"dynamo": False, "opset_version": 9, "training": preserve},
        "legacy_11": {"dynamo": False, "opset_version": 11, "training": preserve},
        "legacy_17": {"dynamo": False, "opset_version": 17, "training": preserve},
        "legacy_folded": {"dynamo": False, "opset_version": 17},
        "dynamo": {"dynamo": True, "external_data": False},
        "dynamo_plain": {"dynamo": True, "external_data": False, "optimize": False},
        "dynamo_external": {"dynamo": True, "external_data": True},
    }
    for kind, net in {"small": settled(Small()), "tokens": settled(Tokens())}.items():
        names, logits = layers(net, image), net(image)
        for exporter, options in kinds.items():
            # The last two write a border of a pool, and sequences for chunk(), that are refused.
            left_out = [("tokens", "legacy_folded"), ("tokens", "dynamo_external"), ("small", "legacy_9"), ("small", "dynamo_plain")]
            if (kind, exporter) in left_out:
                continue
            name = f"{kind}_{exporter}"
            export(net, image, name, options)
            files[name] = {"layers": names[: len(set(names))], "logits": logits.tolist()}
    for kind, net in {"attention": Transformer(True).eval(), "products": Transformer(False).eval()}.items():
        names, logits = ["patch", "attn.qkv", "attn.qk", "attn.av", "attn.proj", "head"], net(image)
        for exporter in ["legacy_17", "dynamo"]:
            name = f"{kind}_{exporter}"
            export(net, image, name, kinds[exporter])
            files[name] = {"layers": names, "logits": logits.tolist()}
    model = by_tensorflow(np.random.default_rng(5))
    onnx.checker.check_model(model)
    onnx.save(model, FOLDER / "channels_last.onnx")
    model.graph.output[0].name = "logits"
    del model.graph.node[-1]
    session = onnxruntime.InferenceSession(model.SerializeToString())
    [logits] = session.run(None, {"image": image.permute(0, 2, 3, 1).numpy()})
    files["channels_last"] = {"logits": logits.tolist()}
    versions = {"torch": torch.__version__, "onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__}
    out = {"versions": versions, "input": [3, SIDE, SIDE], "images": image.flatten(1).tolist(), "files": files}
    pathlib.Path("tests/golden/onnx.json").write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
