"""Golden values for LSQ fake quantization, computed by PyTorch's autograd.

Run from the repository root (CPU only, a second or two):

    python tests/golden/lsq.py > tests/golden/lsq.json

Needs torch and numpy; the versions used are recorded in the output. The draws are seeded, so the same torch
version gives the same file.

Output: {"torch", "numpy", "seed", "cases": [case, ...]}, one case a line. A case covers `channels` step sizes of
`elements` values each (channels = 1: one step size for the whole tensor); flat lists are channel-major:

    name            unique name of the case
    bits, signed    signed: Qn = 2^(bits-1), Qp = 2^(bits-1) - 1; unsigned: Qn = 0, Qp = 2^bits - 1
    channels        number of step sizes
    elements        values per step size, which is N in the gradient scale 1 / sqrt(N * Qp)
    values          the input v                            [channels * elements]
    step            the step sizes s                       [channels]
    grad_out        incoming gradient dL/dy                [channels * elements]
    y               s * round(clip(v / s, -Qn, Qp))        [channels * elements]
    grad_values     dL/dv                                  [channels * elements]
    grad_step       dL/ds, gradient scale included         [channels]
    lsq_start       2 * mean|v| / sqrt(Qp)                 [channels]
    lsq_plus_start  max(|mu - 3 sd|, |mu + 3 sd|) / 2^(bits-1), sd unbiased (divisor elements - 1)  [channels]

Every number is the shortest decimal that reads back as the float32 that PyTorch computed; -0.0 is written as 0.0.

Cases named `worked_*` are the worked examples of the project's notes: powers of two as step sizes, so that exact
ties and values exactly on a clipping bound are well defined. In the others no v / s lies within MARGIN of a rounding
tie or of a clipping bound, so the result does not hang on how float32 division is ordered, and every case clips on
both sides.
"""

import json
import math
import sys

import numpy as np
import torch

SEED = 20240817
BITS = (2, 3, 4, 8)
# Distance, in steps, that a drawn value keeps from ties and clipping bounds.
MARGIN = 1e-3
# Standard deviation of the drawn values. The unsigned one makes some step sizes larger than 1.
WEIGHT_SCALE = 0.1
ACTIVATION_SCALE = 5.0

# name, bits, signed, step, values, expected gradient of the step for an incoming gradient of 1 everywhere
WORKED = (
    ("worked_signed_2bit", 2, True, 0.25, (-1.3, -0.75, -0.5, -0.25, 0, 0.12, 0.25, 0.375, 0.5, 0.9), -0.4680170937),
    ("worked_unsigned_2bit", 2, False, 0.25, (-0.4, 0, 0.1, 0.125, 0.3, 0.375, 0.74, 0.75, 0.9, 2), 0.9932035709),
    ("worked_signed_4bit", 4, True, 0.5, (-1, -0.95, 0.45, 0.75, 0.8, 1.5, 3.4, -4.2, 0.1, 0), -0.8486123126),
)


def bounds(bits, signed):
    """(Qn, Qp): the integer range is -Qn ..= Qp."""
    if signed:
        return 2 ** (bits - 1), 2 ** (bits - 1) - 1
    return 0, 2**bits - 1


def forward_of(forward, backward):
    """The value of `forward`, bit for bit, with the gradient of `backward`."""
    return forward.detach() + (backward - backward.detach())


def lsq(values, step, bits, signed):
    """LSQ fake quantization of values [channels, elements] with step [channels]."""
    qn, qp = bounds(bits, signed)
    scale = 1.0 / math.sqrt(values.shape[1] * qp)
    # The value of the step is untouched, its gradient is multiplied by the scale.
    s = forward_of(step, step * scale).unsqueeze(1)
    # torch.clamp passes the gradient on at the bounds themselves, as LSQ wants.
    u = torch.clamp(values / s, -qn, qp)
    # torch.round rounds half to even; the gradient goes straight through.
    return forward_of(torch.round(u), u) * s


def starts(values, bits, signed):
    """Initial step sizes of LSQ and LSQ+, one a channel."""
    _, qp = bounds(bits, signed)
    plain = 2.0 * values.abs().mean(dim=1) / math.sqrt(qp)
    mean, deviation = values.mean(dim=1), values.std(dim=1)
    widest = torch.maximum((mean - 3.0 * deviation).abs(), (mean + 3.0 * deviation).abs())
    return plain, widest / 2 ** (bits - 1)


def closed_form(values, step, grad_out, bits, signed):
    """The same in float64 numpy from the published formulas, to check what autograd gives."""
    qn, qp = bounds(bits, signed)
    v, s, g = (t.detach().numpy().astype(np.float64) for t in (values, step.unsqueeze(1), grad_out))
    u = v / s
    y = s * np.rint(np.clip(u, -qn, qp))
    inside = (u >= -qn) & (u <= qp)
    e = np.where(inside, np.rint(u) - u, np.where(u < -qn, -qn, qp))
    return y, g * inside, (g * e).sum(axis=1) / math.sqrt(v.shape[1] * qp)


def well_placed(values, step, bits, signed):
    """Whether the case clips on both sides and no value lies near a tie or a bound."""
    qn, qp = bounds(bits, signed)
    u = (values / step.unsqueeze(1)).double()
    to_tie = ((u - torch.floor(u)) - 0.5).abs().min()
    to_bound = torch.minimum((u + qn).abs(), (u - qp).abs()).min()
    clips = bool((u < -qn).any()) and bool((u > qp).any())
    return clips and min(to_tie, to_bound) > MARGIN


def draw(generator, bits, signed, channels, elements):
    """Random values and step sizes, drawn again until they are well placed."""
    qn, qp = bounds(bits, signed)
    while True:
        values = torch.randn(channels, elements, generator=generator)
        if signed:
            values = values * WEIGHT_SCALE
        else:
            # Mostly positive, with a few below zero to be clipped.
            values = (values + 1.0) * ACTIVATION_SCALE
        # The clipping range covers 50 to 80 % of the largest value of each channel.
        cover = 0.5 + 0.3 * torch.rand(channels, generator=generator)
        step = values.abs().amax(dim=1) * cover / max(qn, qp)
        if well_placed(values, step, bits, signed):
            return values, step


def case(name, bits, signed, values, step, grad_out):
    """One case as a dictionary, checked against the closed form."""
    values = values.clone().requires_grad_()
    step = step.clone().requires_grad_()
    y = lsq(values, step, bits, signed)
    y.backward(grad_out)
    for got, wanted in zip((y.detach(), values.grad, step.grad), closed_form(values, step, grad_out, bits, signed)):
        np.testing.assert_allclose(got.numpy(), wanted, rtol=2e-5, atol=2e-5, err_msg=name)
    plain, plus = starts(values.detach(), bits, signed)
    return {
        "name": name,
        "bits": bits,
        "signed": signed,
        "channels": values.shape[0],
        "elements": values.shape[1],
        "values": values,
        "step": step,
        "grad_out": grad_out,
        "y": y,
        "grad_values": values.grad,
        "grad_step": step.grad,
        "lsq_start": plain,
        "lsq_plus_start": plus,
    }


def cases():
    for name, bits, signed, step, values, expected in WORKED:
        values = torch.tensor([values], dtype=torch.float32)
        made = case(name, bits, signed, values, torch.tensor([step]), torch.ones_like(values))
        assert abs(made["grad_step"].item() - expected) < 1e-6, name
        yield made
    generator = torch.Generator().manual_seed(SEED)
    for signed in (True, False):
        for bits in BITS:
            for channels, elements in ((1, 24), (4, 9)):
                kind = "signed" if signed else "unsigned"
                over = "per_tensor" if channels == 1 else "per_channel"
                values, step = draw(generator, bits, signed, channels, elements)
                grad_out = torch.randn(channels, elements, generator=generator)
                yield case(f"{kind}_{bits}bit_{over}", bits, signed, values, step, grad_out)


def text(value):
    """JSON of a scalar, or of a tensor as a flat list of shortest float32 decimals."""
    if not isinstance(value, torch.Tensor):
        return json.dumps(value)
    assert value.dtype == torch.float32
    # Adding zero turns -0.0 into 0.0.
    numbers = value.detach().numpy().ravel() + np.float32(0.0)
    texts = [str(x) for x in numbers]
    # Also exact for a reader that goes through float64.
    assert all(np.float32(float(t)) == x for t, x in zip(texts, numbers))
    return "[" + ",".join(texts) + "]"


def main():
    torch.set_num_threads(1)
    lines = ["{" + ",".join(f'"{key}":{text(value)}' for key, value in made.items()) + "}" for made in cases()]
    head = {"torch": torch.__version__, "numpy": np.__version__, "seed": SEED}
    out = "{" + "".join(f'"{key}":{json.dumps(value)},\n' for key, value in head.items())
    out += '"cases":[\n' + ",\n".join(lines) + "\n]}\n"
    json.loads(out)
    sys.stdout.write(out)


if __name__ == "__main__":
    main()
