"""Golden values for the quantizers other than LSQ, computed by PyTorch's autograd.

Run from the repository root (CPU only, a second or two):

    python tests/golden/quantizers.py > tests/golden/quantizers.json

Needs torch and numpy; the versions used are recorded in the output. The draws are seeded, so the same torch
version gives the same file. Straightforward formulations of the papers' equations, written for this file; `minmax` is
torch.fake_quantize_per_tensor_affine itself.

Output: {"torch", "numpy", "seed", "ewgs_delta", "cases": [case, ...]}, one case a line. Flat lists are channel-major:

    quantizer        lsq_plus, pact, ewgs and minmax quantize activations, dorefa weights
    name             unique name of the case
    bits, signed     the grid
    channels         rows, each with parameters of its own
    values           the input                              [channels * elements]
    parameters       the quantizer's parameters in order    each [channels]
                     lsq_plus: step, offset; pact: clipping level; ewgs, minmax: low, high; dorefa: none
    grad_out         incoming gradient dL/dy                [channels * elements]
    y                the quantized values                   [channels * elements]
    grad_values      dL/dx                                  [channels * elements]
    grad_parameters  dL/dp, LSQ's scale 1 / sqrt(N * (2^bits - 1)) included for lsq_plus and ewgs; none for minmax

Numbers are written as in lsq.py. No value lies within MARGIN steps of a rounding tie or of a clipping bound, so the
result does not hang on how float32 division is ordered; every case clips on both sides where there is something to clip.
"""

import json
import math
import sys

import numpy as np
import torch
from lsq import forward_of, text

SEED = 20240911
BITS = (2, 5)
MARGIN = 2e-3
EWGS_DELTA = 0.5


def straight_round(t):
    """Half to even; the gradient goes straight through."""
    return forward_of(torch.round(t), t)


def scaled(parameter, elements, steps):
    """The parameter with its gradient multiplied by 1 / sqrt(N * steps), as a column."""
    scale = 1.0 / math.sqrt(elements * steps)
    return forward_of(parameter, parameter * scale).unsqueeze(1)


def lsq_plus(values, parameters, bits, signed):
    """Bhalgat et al., CVPRW 2020: x_hat = round(clip((x - beta) / s, 0, p)), x_bar = x_hat * s + beta."""
    top = 2**bits - 1
    step, offset = (scaled(p, values.shape[1], top) for p in parameters)
    return straight_round(torch.clamp((values - offset) / step, 0, top)) * step + offset


def pact(values, parameters, bits, signed):
    """Choi et al., 2018: y = 0.5 (|x| - |x - a| + a), then round(y (2^k - 1) / a) a / (2^k - 1)."""
    clip = parameters[0].unsqueeze(1)
    if signed:
        clipped = 0.5 * ((values + clip).abs() - (values - clip).abs())
        top = 2 ** (bits - 1) - 1
    else:
        clipped = 0.5 * (values.abs() - (values - clip).abs() + clip)
        top = 2**bits - 1
    quantized = torch.round(clipped.detach() * top / clip.detach()) * clip.detach() / top
    return forward_of(quantized, clipped)


class EwgsRound(torch.autograd.Function):
    """Lee et al., CVPR 2021."""

    @staticmethod
    def forward(ctx, x_n, steps):
        x_q = torch.round(x_n * steps) / steps
        ctx.save_for_backward(x_n - x_q)
        return x_q

    @staticmethod
    def backward(ctx, g):
        (error,) = ctx.saved_tensors
        return g * (1 + EWGS_DELTA * torch.sign(g) * error), None


def ewgs(values, parameters, bits, signed):
    """Uniform quantization on [l, u]."""
    top = 2**bits - 1
    low, high = (scaled(p, values.shape[1], top) for p in parameters)
    x_n = torch.clamp((values - low) / (high - low), 0, 1)
    return low + (high - low) * EwgsRound.apply(x_n, top)


def minmax(values, parameters, bits, signed):
    """PyTorch's own fake quantization, channel by channel."""
    top = 2**bits - 1
    channels = []
    for row, low, high in zip(values, *parameters):
        step = ((high - low) / top).item()
        zero = round(-low.item() / step)
        channels.append(torch.fake_quantize_per_tensor_affine(row, step, zero, 0, top))
    return torch.stack(channels)


def dorefa(values, parameters, bits, signed):
    """Zhou et al., 2016: 2 quantize_k(tanh(w) / (2 max|tanh w|) + 1/2) - 1."""
    top = 2**bits - 1
    bent = torch.tanh(values)
    largest = bent.abs().amax(dim=1, keepdim=True)
    return 2 * straight_round((bent / (2 * largest) + 0.5) * top) / top - 1


def place(quantizer, values, parameters, bits, signed):
    """Where values lie before clipping, in steps, and the lowest and highest level."""
    top = 2**bits - 1
    columns = [p.double().unsqueeze(1) for p in parameters]
    x = values.double()
    if quantizer == "lsq_plus":
        return (x - columns[1]) / columns[0], 0, top
    if quantizer == "pact":
        top = 2 ** (bits - 1) - 1 if signed else top
        return x / columns[0] * top, -top if signed else 0, top
    if quantizer == "ewgs":
        return (x - columns[0]) / (columns[1] - columns[0]) * top, 0, top
    if quantizer == "minmax":
        step = (columns[1] - columns[0]) / top
        return x / step + torch.round(-columns[0] / step), 0, top
    bent = torch.tanh(x)
    return (bent / (2 * bent.abs().amax(dim=1, keepdim=True)) + 0.5) * top, 0, top


def badly_placed(quantizer, values, parameters, bits, signed):
    """Which values lie near a tie or a bound."""
    t, low, high = place(quantizer, values, parameters, bits, signed)
    near_tie = ((t - torch.floor(t)) - 0.5).abs() < MARGIN
    if quantizer == "dorefa":
        # Nothing is clipped; the largest magnitude lies on the highest or lowest level.
        return near_tie & (t > low) & (t < high)
    bad = near_tie | ((t - low).abs() < MARGIN) | ((t - high).abs() < MARGIN)
    if quantizer == "minmax":
        # PyTorch clips after rounding: within half a step outside of the range its gradient still passes.
        bad |= ((t > low - 1) & (t < low)) | ((t > high) & (t < high + 1))
    return bad


def draw_parameters(quantizer, generator, bits, signed, channels):
    """Ranges that cut the drawn values, which are normal (signed) or shifted up by 1."""
    top = 2**bits - 1
    stretch = 0.8 + 0.4 * torch.rand(channels, generator=generator)
    low = -stretch if signed else torch.zeros(channels)
    high = 1.3 * stretch
    if quantizer == "lsq_plus":
        # Offsets below zero with both kinds of values.
        offset = -0.7 * stretch
        return [(high - offset) / top, offset]
    if quantizer == "pact":
        return [high]
    if quantizer in ("ewgs", "minmax"):
        return [low, high]
    return []


def draw_values(quantizer, parameters, bits, signed, channels, elements, generator):
    """Normal values, shifted up by 1 if unsigned; badly placed ones are drawn again."""
    while True:
        shift = 0.0 if signed else 1.0
        values = torch.randn(channels, elements, generator=generator) + shift
        while (bad := badly_placed(quantizer, values, parameters, bits, signed)).any():
            values = torch.where(bad, torch.randn(channels, elements, generator=generator) + shift, values)
        t, low, high = place(quantizer, values, parameters, bits, signed)
        if quantizer == "dorefa" or ((t < low).any() and (t > high).any()):
            return values


def case(quantizer, bits, signed, channels, elements, generator):
    """One case as a dictionary."""
    parameters = draw_parameters(quantizer, generator, bits, signed, channels)
    values = draw_values(quantizer, parameters, bits, signed, channels, elements, generator)
    grad_out = torch.randn(channels, elements, generator=generator)
    values.requires_grad_()
    if quantizer != "minmax":
        parameters = [p.requires_grad_() for p in parameters]
    y = globals()[quantizer](values, parameters, bits, signed)
    y.backward(grad_out)
    learned = [p for p in parameters if p.requires_grad]
    return {
        "quantizer": quantizer,
        "name": f"{quantizer}_{'signed' if signed else 'unsigned'}_{bits}bit_{channels}x{elements}",
        "bits": bits,
        "signed": signed,
        "channels": channels,
        "values": values,
        "parameters": parameters,
        "grad_out": grad_out,
        "y": y,
        "grad_values": values.grad,
        "grad_parameters": [p.grad for p in learned],
    }


def cases():
    generator = torch.Generator().manual_seed(SEED)
    for quantizer in ("lsq_plus", "pact", "ewgs", "minmax", "dorefa"):
        for signed in (True, False):
            if quantizer == "dorefa" and not signed:
                continue
            for bits in BITS:
                for channels, elements in ((1, 20), (2, 12)):
                    yield case(quantizer, bits, signed, channels, elements, generator)


def as_json(value):
    if isinstance(value, list):
        return "[" + ",".join(text(item) for item in value) + "]"
    return text(value)


def main():
    torch.set_num_threads(1)
    lines = ["{" + ",".join(f'"{key}":{as_json(value)}' for key, value in made.items()) + "}" for made in cases()]
    head = {"torch": torch.__version__, "numpy": np.__version__, "seed": SEED, "ewgs_delta": EWGS_DELTA}
    out = "{" + "".join(f'"{key}":{json.dumps(value)},\n' for key, value in head.items())
    out += '"cases":[\n' + ",\n".join(lines) + "\n]}\n"
    json.loads(out)
    sys.stdout.write(out)


if __name__ == "__main__":
    main()
