"""Holds an adapter that `lorelei train` wrote against PEFT: usage: load_adapter.py MODEL_FOLDER ADAPTER_FOLDER LORELEI

Loads it with `PeftModel.from_pretrained`, and compares logits with those of `lorelei forward` for the same tokens. Needs torch,
transformers, peft."""
import json, os, subprocess, sys, tempfile
os.environ.setdefault("HF_HUB_OFFLINE", "1")
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

folder, adapter, lorelei = sys.argv[1:]
base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
ids = torch.randint(3, base.config.vocab_size, (2, 33), generator=torch.Generator().manual_seed(1))
with torch.no_grad():
    bare = base(input_ids=ids).logits
    model = PeftModel.from_pretrained(base, adapter).eval()
    want = model(input_ids=ids).logits
with tempfile.TemporaryDirectory() as work:
    save_file({"input_ids": ids}, f"{work}/in.safetensors")
    subprocess.run([lorelei, "forward", "--device", "cpu", "--model", folder, "--adapter", adapter,
                    "--input", f"{work}/in.safetensors", "--output", f"{work}/out.safetensors"], check=True)
    got = load_file(f"{work}/out.safetensors")["logits"]
apart, scale = (got - want).abs().max().item(), want.abs().max().item()
print(json.dumps(dict(largest_difference=apart, largest_logit=scale, adapter_moves_logits_by=(want - bare).abs().max().item())))
sys.exit(0 if apart < 1e-4 * scale else 1)
