"""Four steps of each optimizer, and of label smoothing, on the tiny Llama of 05_tiny.py: fixtures/llama/optimizers.

    python optimizers.py ../fixtures/llama

Prints how far each step moves the parameters: the root mean square of their change, as a multiple of the learning rate.
"""
import json, sys
from pathlib import Path

import torch
from peft import PeftModel
from peft.optimizers import create_loraplus_optimizer
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.optimization import Adafactor
from transformers.trainer_pt_utils import LabelSmoother

torch.use_deterministic_algorithms(True)
ROOT = Path(sys.argv[1])
OUT = ROOT / "optimizers"
RATES = [1e-3, 2e-3, 1.5e-3, 5e-4]


class Lion(torch.optim.Optimizer):
    """bitsandbytes' kOptimizer32bit1State<LION>: torch has none, and bitsandbytes none for the CPU."""

    def __init__(self, groups, lr, betas):
        super().__init__(groups, dict(lr=lr, betas=betas, weight_decay=0.0))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            lr, (beta1, beta2), decay = group["lr"], group["betas"], group["weight_decay"]
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                if decay > 0:
                    p.mul_(1 - lr * decay)
                p.add_(torch.sign(m * beta1 + (1 - beta1) * p.grad), alpha=-lr)
                m.mul_(beta2).add_(p.grad, alpha=1 - beta2)


class Together:
    """Several optimizers, each with parameters of its own, that step as one."""

    def __init__(self, *parts):
        self.parts = parts

    @property
    def param_groups(self):
        return [group for part in self.parts for group in part.param_groups]

    def zero_grad(self):
        for part in self.parts:
            part.zero_grad()

    def step(self):
        for part in self.parts:
            part.step()


def model(adapter):
    base = LlamaForCausalLM(LlamaConfig.from_pretrained(ROOT))
    base.load_state_dict(load_file(ROOT / "model.safetensors"), strict=False)
    base.tie_weights()
    return PeftModel.from_pretrained(base.float(), ROOT / adapter, is_trainable=True).eval()


def trainable(m):
    """Parameters by their names in an adapter's file."""
    names = {n.replace(".default", "").replace("magnitude_vector.weight", "magnitude_vector"): p for n, p in m.named_parameters()}
    return {n: p for n, p in names.items() if p.requires_grad}


def moved(before, after, lr):
    """The root mean square of the change of all A, all B and all vectors, as a multiple of the learning rate."""
    changes = {}
    for name, p in after.items():
        kind = next(k for k in ("lora_A", "lora_B", "lora_magnitude_vector") if k in name)
        changes.setdefault(kind, []).append((p.detach() - before[name]).flatten() / lr)
    return {kind: round(torch.cat(values).square().mean().sqrt().item(), 6) for kind, values in changes.items()}


def groups(m, decay=0.01):
    return [{"params": [p for p in m.parameters() if p.requires_grad], "weight_decay": decay}]


def muon(m, decay=0.01):
    """torch's Muon, which takes matrices only and iterates in bfloat16, with AdamW for the rest."""
    learnt = trainable(m).values()
    matrices, rest = [p for p in learnt if p.ndim == 2], [p for p in learnt if p.ndim != 2]
    parts = [torch.optim.Muon(matrices, lr=1.0, weight_decay=decay)]
    if rest:
        parts.append(torch.optim.AdamW(rest, lr=1.0, weight_decay=decay))
    return Together(*parts)


RUNS = {
    "sgd": dict(optim="sgd", weight_decay=0.01, make=lambda m: torch.optim.SGD(groups(m), lr=1.0)),
    "lion": dict(optim="lion_32bit", weight_decay=0.01, adam_beta1=0.9, adam_beta2=0.99,
                 make=lambda m: Lion(groups(m), lr=1.0, betas=(0.9, 0.99))),
    "adafactor": dict(optim="adafactor", weight_decay=0.01,
                      make=lambda m: Adafactor(groups(m), lr=1.0, scale_parameter=False, relative_step=False)),
    "loraplus": dict(optim="adamw_torch", loraplus_lr_ratio=16, weight_decay=0.0,
                     make=lambda m: create_loraplus_optimizer(m, torch.optim.AdamW, lr=1.0, loraplus_lr_ratio=16, weight_decay=0.0, loraplus_weight_decay=0.0)),
    "label_smoothing": dict(optim="adamw_torch", label_smoothing_factor=0.1, weight_decay=0.0,
                            make=lambda m: torch.optim.AdamW(groups(m, 0.0), lr=1.0)),
    "muon": dict(optim="muon", weight_decay=0.01, make=muon),
    "muon_dora": dict(optim="muon", weight_decay=0.01, make=muon, adapter="dora"),
}

OUT.mkdir(exist_ok=True)
ref = load_file(ROOT / "ref.safetensors")
batch = {k: ref[k].long() for k in ("input_ids", "attention_mask", "labels")}
log = {}
for name, run in RUNS.items():
    m, args = model(run.get("adapter", "adapter")), {k: v for k, v in run.items() if k not in ("make", "adapter")}
    optimizer, steps = run["make"](m), []
    base = [g["lr"] for g in optimizer.param_groups]
    for rate in RATES:
        for group, factor in zip(optimizer.param_groups, base):
            group["lr"] = factor * rate
        if "label_smoothing_factor" in args:
            out = m(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
            loss = LabelSmoother(args["label_smoothing_factor"])(out, batch["labels"], shift_labels=True)
        else:
            loss = m(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_([p for p in m.parameters() if p.requires_grad], 1.0)
        before = {k: p.detach().clone() for k, p in trainable(m).items()}
        optimizer.step()
        print(name, len(steps) + 1, moved(before, trainable(m), rate))
        steps.append({"lr": rate, "loss": loss.item(), "grad_norm": norm.item()})
    final = {k: p.detach().clone() for k, p in trainable(m).items()}
    save_file(final, OUT / f"{name}.safetensors")
    log[name] = {"arguments": args, "steps": steps}
    if "adapter" in run:
        log[name]["adapter"] = run["adapter"]
(OUT / "log.json").write_text(json.dumps(log, indent=1) + "\n")
