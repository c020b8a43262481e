"""Golden learning rates of timm's cosine schedule, epoch by epoch, as LIMPQ's configs ask for it.

Run from the repository root (CPU only, a few seconds, nothing is downloaded):

    python tests/golden/schedules.py > tests/golden/schedules.json

Needs timm (1.0.31 was used; the version is in the output). `create_optimizer` and `create_scheduler` are called with the keys of
LIMPQ's configs, and the scheduler is stepped at the end of each epoch, as its main.py does.

Output: {"timm", "cases": [{"name", "recipe", "nesterov", "learning_rates": [one for each epoch, ...]}, ...]}. A recipe has the
names of limpq's options.
"""

import argparse
import json
import sys

import timm
import torch
from timm.optim import create_optimizer
from timm.scheduler import create_scheduler

CASES = [
    # name, epochs, lr, min_lr (and warmup_lr), warmup_epochs, cooldown_epochs
    ("indicators of ResNet-50", 3, 0.01, 1e-5, 0, 0),
    ("indicators of ResNet-18", 5, 0.01, 1e-5, 0, 0),
    ("fine-tuning", 90, 0.04, 1e-5, 5, 5),
    ("warm-up of half the epochs", 4, 0.1, 0.001, 2, 1),
    ("warm-up of all epochs", 3, 0.1, 0.001, 3, 2),
    ("one epoch", 1, 0.1, 0.001, 0, 0),
]


def worked(name, epochs, lr, low, warmup, cooldown):
    args = argparse.Namespace(
        opt="sgd", lr=lr, momentum=0.9, weight_decay=2.5e-5, sched="cosine", epochs=epochs, min_lr=low, decay_rate=0.1,
        warmup_epochs=warmup, warmup_lr=low, decay_epochs=30, cooldown_epochs=cooldown,
    )
    optimizer = create_optimizer(args, torch.nn.Linear(2, 2))
    scheduler, total = create_scheduler(args, optimizer)
    rates = []
    for epoch in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step(epoch + 1, 0.0)
    recipe = {
        "epochs": epochs,
        "learning_rate": lr,
        "final_learning_rate": low,
        "warmup_epochs": warmup,
        "cooldown_epochs": cooldown,
    }
    return {"name": name, "recipe": recipe, "nesterov": optimizer.param_groups[0]["nesterov"], "learning_rates": rates}


cases = ",\n".join(json.dumps(worked(*case)) for case in CASES)
sys.stdout.write(f'{{"timm":{json.dumps(timm.__version__)},"cases":[\n{cases}\n]}}\n')
