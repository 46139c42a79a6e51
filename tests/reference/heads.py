"""Classifying heads of every architecture against PEFT: makes tiny random models in OUT, and holds `lorelei forward` to their logits, losses and
gradients. usage: heads.py OUT LORELEI"""
import json, os, subprocess, sys

import torch, transformers
from peft import LoraConfig
from safetensors.torch import load_file

from architectures import BASE, BERT, CAUSAL, DISTIL, inputs_of, make, rope

FAMILIES = {
    **{name: CAUSAL[name] for name in ["mistral", "smollm3", "gemma", "gemma2", "phi3", "glm4"]},
    "llama": ("Llama", dict(rope_parameters=rope("default"))),
    "qwen2": ("Qwen2", dict(rope_parameters=rope("default"))),
    "qwen3": ("Qwen3", dict(head_dim=8, rope_parameters=rope("default"))),
    "gemma3": ("Gemma3Text", dict(head_dim=12, sliding_window=7, layer_types=["sliding_attention", "full_attention"],
               hidden_activation="gelu_pytorch_tanh", rope_parameters=dict(sliding_attention=rope("default"), full_attention=rope("default")))),
    "glm": ("Glm", dict(head_dim=8, rope_parameters=rope("default", partial_rotary_factor=0.5))),
    "gpt2": ("GPT2", dict(n_embd=32, n_layer=2, n_head=4, n_positions=40, n_inner=48, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)),
    "bert": ("Bert", BERT), "roberta": ("Roberta", {**BERT, "type_vocab_size": 1, "pad_token_id": 1}), "distilbert": ("DistilBert", DISTIL),
}
TARGETS = {"gpt2": ["c_attn", "c_proj"], "bert": ["query", "value"], "roberta": ["query", "key"], "distilbert": ["q_lin", "lin1"],
           "phi3": ["qkv_proj", "down_proj"]}
TASKS = {"SEQ_CLS": "ForSequenceClassification", "TOKEN_CLS": "ForTokenClassification"}
out, lorelei = sys.argv[1:]
failed = []
for family, (prefix, more) in FAMILIES.items():
    for task, suffix in TASKS.items():
        load = getattr(transformers, prefix + suffix, None)
        if load is None:
            print(f"{family} {task}: Transformers has none")
            continue
        settings = {**(BASE if family not in ("bert", "roberta", "distilbert") else {}), **more, "num_labels": 3}
        settings["classifier_dropout"] = 0.0
        config = getattr(transformers, prefix + "Config")(**settings)
        name = f"{family}-{task}"
        lora = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, task_type=task, target_modules=TARGETS.get(family, ["q_proj", "o_proj"]))
        make(out, name, load, config, inputs_of(task, family == "bert", config.pad_token_id), lora)
        path = f"{out}/{name}"
        command = [lorelei, "forward", "--device", "cpu", "--model", path, "--adapter", f"{path}/adapter", "--input", f"{path}/ref.safetensors",
                   "--output", f"{path}/ours.safetensors", "--gradients"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            failed.append(f"{name}: {done.stderr}")
            continue
        ours, table = load_file(f"{path}/ours.safetensors"), load_file(f"{path}/adapter/ref.safetensors")
        mask = load_file(f"{path}/ref.safetensors")["attention_mask"].bool()
        table["loss"] = torch.tensor(json.load(open(f"{path}/adapter/ref.json"))["loss"])
        worst = ("", 0.0)
        for tensor, want in table.items():
            if tensor == "logits_merged":
                continue
            got = ours[tensor]
            if tensor == "logits" and task == "TOKEN_CLS":
                got, want = got[mask[:, :got.shape[1]]], want[mask]
            apart = ((got - want).abs().max() / want.abs().max().clamp_min(1e-6)).item()
            worst = max(worst, (tensor, apart), key=lambda pair: pair[1])
        print(f"{name}: {len(table)} tensors, worst {worst[1]:.1e} ({worst[0]})")
        if not worst[1] < 1e-4:
            failed.append(name)
if failed:
    sys.exit("\n".join(failed))
