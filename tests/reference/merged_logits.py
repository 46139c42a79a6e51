"""Holds `lorelei export --to merged` to PEFT: usage: merged_logits.py FIXTURES LORELEI

Merges every adapter of FIXTURES, loads the folder in Transformers, and compares its logits with those that PEFT computed with base and adapter apart.
Needs torch, transformers."""
import json, os, pathlib, subprocess, sys, tempfile
os.environ.setdefault("HF_HUB_OFFLINE", "1")
import torch
import transformers
from safetensors.torch import load_file

fixtures, lorelei = pathlib.Path(sys.argv[1]), sys.argv[2]
CLASSES = {"SEQ_CLS": transformers.AutoModelForSequenceClassification, "TOKEN_CLS": transformers.AutoModelForTokenClassification,
           "FEATURE_EXTRACTION": transformers.AutoModel}
worst = 0
for config in sorted(fixtures.glob("*/*/adapter_config.json")):
    model, adapter = config.parts[-3:-1]
    if model == "chatglm":
        continue
    table = load_file(config.parent / "ref.safetensors")
    inputs = {**load_file(fixtures / model / "ref.safetensors"), **table}
    inputs = {name: value for name, value in inputs.items() if name in ("input_ids", "attention_mask", "token_type_ids")}
    wanted = table.get("logits", table.get("last_hidden_state"))
    if wanted is None or "input_ids" not in inputs:
        print(f"{model}/{adapter}: no table")
        continue
    with tempfile.TemporaryDirectory() as work:
        out = f"{work}/merged"
        done = subprocess.run([lorelei, "export", str(config.parent), "--base", str(fixtures / model), "--to", "merged", "--dtype", "float32",
                               "--output", out], capture_output=True, text=True)
        if done.returncode:
            print(f"{model}/{adapter}: {(done.stderr or done.stdout).strip()[:150]}")
            continue
        cls = CLASSES.get(json.loads(config.read_text())["task_type"], transformers.AutoModelForCausalLM)
        merged = cls.from_pretrained(out, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        said = merged(**inputs)
    got = said.logits if "logits" in said else said.last_hidden_state
    apart = (got - wanted).abs()
    if "attention_mask" in inputs and got.shape[:2] == inputs["attention_mask"].shape:
        apart = apart[inputs["attention_mask"] == 1]
    worst = max(worst, apart.max().item() / max(1, wanted.abs().max().item()))
    print(f"{model}/{adapter}: {apart.max().item():.2e} of {wanted.abs().max().item():.2f}", flush=True)
print(f"worst: {worst:.2e}")
sys.exit(0 if worst < 1e-4 else 1)
