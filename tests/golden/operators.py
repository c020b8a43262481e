"""Golden outputs and gradients of every operator, computed by PyTorch.

Run from the repository root (CPU only, a second, nothing is downloaded):

    python tests/golden/operators.py > tests/golden/operators.json

Needs torch; its version is recorded in the output. Inputs are drawn from a seed and rounded to four decimals. Operators with two
inputs read two halves of the channels of one input.

Output: {"torch", "cases": [case, ...]}. A case:

    operator, attributes   as in limpq
    inputs                 1, 2 (halves of the channels), or "gate" (the second half averaged over its pixels)
    training               whether batch statistics are used
    shape, x               the input and its shape
    parameters             by name: shape and values; the empty name for a tensor that has the name of the node
    output                 values
    upstream               the gradient of the output
    gradients              of "x" and of each learned parameter
    running                running statistics afterwards, if training moves any
"""

import json
import sys

import torch
from torch import nn
from torch.nn import functional as F

torch.manual_seed(7)


def drawn(*shape, scale=1.5):
    return (torch.randn(shape, dtype=torch.float64) * scale).mul(1e4).round().div(1e4)


def flat(tensor):
    return [float(f"{value:.7g}") for value in tensor.detach().flatten().tolist()]


cases = []


def case(operator, function, shape=(2, 4, 4, 4), inputs=1, training=False, parameters=None, running=None, **attributes):
    x = drawn(*shape, scale=3.0)
    if operator == "max_pool":
        # Far enough apart that a small step does not make another value the largest.
        x = x.flatten().argsort().argsort().to(x).mul(0.05).sub(4).reshape(shape)
    x.requires_grad_()
    learned = {name: value.requires_grad_() for name, value in (parameters or {}).items()}
    running = running or {}
    before = {name: value.clone() for name, value in running.items()}
    if inputs == 1:
        operands = [x]
    else:
        operands = list(x.chunk(2, 1))
        if inputs == "gate":
            operands[1] = operands[1].mean((2, 3), keepdim=True)
    y = function(*operands, **learned, **running)
    upstream = drawn(*y.shape, scale=1.0)
    y.backward(upstream)
    tensors = {**learned, **before}
    cases.append({
        "operator": operator,
        "attributes": attributes,
        "inputs": inputs,
        "training": training,
        "shape": list(shape),
        "x": flat(x),
        "parameters": {name: {"shape": list(v.shape), "values": flat(v)} for name, v in tensors.items()},
        "output": flat(y),
        "upstream": flat(upstream),
        "gradients": {"x": flat(x.grad), **{name: flat(v.grad) for name, v in learned.items()}},
        "running": {name: flat(v) for name, v in running.items()} if training else {},
    })


def conv(shape, out, kernel, stride=(1, 1), dilation=(1, 1), padding=(0, 0, 0, 0), groups=1, bias=False):
    top, left, bottom, right = padding

    def function(x, weight, bias=None):
        return F.conv2d(F.pad(x, (left, right, top, bottom)), weight, bias, stride, 0, dilation, groups)

    parameters = {"weight": drawn(out, shape[1] // groups, *kernel, scale=0.5)}
    if bias:
        parameters["bias"] = drawn(out)
    case("conv", function, shape, parameters=parameters, out=out, kernel=list(kernel), stride=list(stride),
         dilation=list(dilation), padding=list(padding), groups=groups, bias=bias)


conv((2, 3, 6, 7), 4, (3, 3), padding=(1, 1, 1, 1))
conv((2, 3, 6, 7), 2, (3, 1), stride=(1, 2), padding=(1, 0, 1, 0), bias=True)
conv((2, 2, 8, 9), 3, (3, 2), stride=(2, 1), dilation=(2, 3), padding=(0, 1, 2, 3))
conv((2, 4, 5, 6), 6, (2, 3), padding=(0, 1, 1, 1), groups=2, bias=True)
conv((2, 4, 6, 6), 4, (3, 3), dilation=(2, 2), padding=(2, 2, 2, 2), groups=4)


def linear(x, weight, bias=None):
    return F.linear(x.movedim(1, 3), weight, bias).movedim(3, 1)


case("linear", linear, (3, 5, 1, 1), parameters={"weight": drawn(4, 5), "bias": drawn(4)}, out=4, bias=True)
case("linear", linear, (2, 6, 7, 1), parameters={"weight": drawn(3, 6)}, out=3, bias=False)

for training in [False, True]:
    for epsilon, momentum in [(1e-5, 0.1), (1e-3, 0.01)]:
        case("batch_norm",
             lambda x, weight, bias, running_mean, running_var: F.batch_norm(
                 x, running_mean, running_var, weight, bias, training, momentum, epsilon),
             training=training, parameters={"weight": drawn(4), "bias": drawn(4)},
             running={"running_mean": drawn(4), "running_var": drawn(4).abs() + 0.5},
             epsilon=epsilon, momentum=momentum)

for epsilon in [1e-5, 1e-6]:
    case("layer_norm",
         lambda x, weight, bias: F.layer_norm(x.movedim(1, 3), (6,), weight, bias, epsilon).movedim(3, 1),
         (2, 6, 5, 1), parameters={"weight": drawn(6), "bias": drawn(6)}, epsilon=epsilon)

case("add", lambda a, b: a + b, inputs=2)
case("mul", lambda a, b: a * b, inputs=2)
case("mul", lambda a, b: a * b, inputs="gate")
case("concat", lambda a, b: torch.cat([a, b], 1), inputs=2)


def channels(x, weight, bias=None):
    y = x * weight[:, None, None]
    return y if bias is None else y + bias[:, None, None]


case("scale", channels, parameters={"weight": drawn(4), "bias": drawn(4)}, bias=True)
case("scale", channels, parameters={"weight": drawn(4)}, bias=False)


def padded(x, padding, value):
    top, left, bottom, right = padding
    return F.pad(x, (left, right, top, bottom), value=value)


case("max_pool", lambda x: F.max_pool2d(x, 3, 2, 1), (2, 2, 7, 6), kernel=[3, 3], stride=[2, 2], padding=[1, 1, 1, 1])
case("max_pool", lambda x: F.max_pool2d(padded(x, (0, 1, 1, 0), -torch.inf), (2, 3), (1, 2)), (2, 2, 7, 6),
     kernel=[2, 3], stride=[1, 2], padding=[0, 1, 1, 0])
case("max_pool", lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True), (2, 2, 6, 8), kernel=[3, 3], stride=[2, 2],
     ceil_mode=True)
case("max_pool", lambda x: F.max_pool2d(x, 2, 2, dilation=2), (2, 2, 7, 7), kernel=[2, 2], stride=[2, 2],
     dilation=[2, 2])
for include in [True, False]:
    case("avg_pool", lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=include), (2, 2, 6, 7), kernel=[3, 3],
         stride=[2, 2], padding=[1, 1, 1, 1], count_include_pad=include)
    case("avg_pool", lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=include), (2, 2, 6, 6),
         kernel=[3, 3], stride=[2, 2], padding=[1, 1, 1, 1], ceil_mode=True, count_include_pad=include)
case("avg_pool", lambda x: F.avg_pool2d(padded(x, (1, 0, 0, 1), 0.0), (2, 3), (2, 1)), (2, 2, 6, 7), kernel=[2, 3],
     stride=[2, 1], padding=[1, 0, 0, 1])
case("global_avg_pool", lambda x: x.mean((2, 3), keepdim=True))
case("flatten", lambda x: x.flatten(1)[:, :, None, None])
case("pad", lambda x: padded(x, (1, 0, 2, 3), 0.0), (2, 2, 3, 4), padding=[1, 0, 2, 3])
case("channel_slice", lambda x: x[:, 1:3], start=1, end=3)
case("channel_shuffle", lambda x: F.channel_shuffle(x, 3), (2, 6, 2, 3), groups=3)

case("relu", F.relu)
case("clip", lambda x: x.clamp(-0.5, 1.25), min=-0.5, max=1.25)
case("relu6", lambda x: F.relu6(x))
case("leaky_relu", lambda x: F.leaky_relu(x, 0.2), slope=0.2)
case("prelu", F.prelu, parameters={"weight": drawn(1)})
case("prelu", F.prelu, parameters={"weight": drawn(4)}, per_channel=True)
case("sigmoid", torch.sigmoid)
case("hard_sigmoid", lambda x: F.hardsigmoid(x))
case("hard_swish", F.hardswish)
case("silu", F.silu)
case("gelu", F.gelu)
case("gelu", lambda x: F.gelu(x, approximate="tanh"), approximate=True)
case("tanh", torch.tanh)
for dim, axis in [(1, "channels"), (2, "height"), (3, "width")]:
    case("softmax", lambda x: F.softmax(x, dim), axis=axis)
case("matmul", lambda a, b: a @ b, inputs=2)
case("matmul", lambda a, b: a @ b.transpose(2, 3) * 0.25, inputs=2, transpose=True, scale=0.25)


# Tokens are dim x tokens x 1; timm's are tokens x dim, and its attention reshapes them so.
case("row_slice", lambda x: x[:, :, 1:3], start=1, end=3)
case("tokens", lambda x: x.flatten(2)[..., None], (2, 3, 4, 5))
case("split_heads", lambda x: x[..., 0].transpose(1, 2).reshape(2, 5, 2, 3).permute(0, 2, 1, 3), (2, 6, 5, 1), heads=2)
case("merge_heads", lambda x: x.transpose(1, 2).reshape(2, 5, 6).transpose(1, 2)[..., None], (2, 2, 5, 3))
# Their one parameter has the name of the node.
case("class_token", lambda x, **p: torch.cat([p[""].expand(2, -1, -1), x[..., 0].transpose(1, 2)], 1).transpose(1, 2)[..., None],
     (2, 6, 5, 1), parameters={"": drawn(1, 1, 6)})
case("position_embedding", lambda x, **p: (x[..., 0].transpose(1, 2) + p[""]).transpose(1, 2)[..., None], (2, 6, 5, 1),
     parameters={"": drawn(1, 5, 6)})

json.dump({"torch": torch.__version__, "cases": cases}, sys.stdout)
print()
