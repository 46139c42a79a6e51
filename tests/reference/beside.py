"""Adapters with something beside them that learns, onto the models of 05_tiny.py. usage: beside.py FIXTURES

FIXTURES is a folder with the models (`llama`, `qwen2`, `gpt2`); each case becomes a folder of its model's, as 05_tiny.py writes them:
adapter_config.json, adapter_model.safetensors, ref.safetensors (logits, grad.<key>, logits_merged) and ref.json (loss)."""
import importlib.util, os, sys, tempfile
from peft import LoraConfig

here = os.path.dirname(os.path.abspath(__file__))
spec = importlib.util.spec_from_file_location("tiny", os.path.join(here, "05_tiny.py"))
tiny = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny)

CASES = [
    ("llama", "olora", dict(target_modules=["q_proj", "v_proj", "down_proj"], init_lora_weights="olora"), dict(mutate=False)),
    ("llama", "trainable_tokens", dict(trainable_token_indices=[3, 7, 100, 411]), {}),
    ("qwen2", "trainable_tokens", dict(trainable_token_indices={"embed_tokens": [411, 5, 9]}), {}),
    ("qwen2", "modules_to_save", dict(modules_to_save=["embed_tokens", "norm", "gate_proj"]), dict(merge=False)),
    ("qwen2", "tied_ends", dict(target_modules=["embed_tokens", "lm_head", "v_proj"]), dict(merge=False)),
    ("gpt2", "bias_all", dict(bias="all"), {}),
]
for arch, name, options, more in CASES:
    cls = tiny.ARCH[arch][0]
    config = LoraConfig(**{**dict(r=4, lora_alpha=8, lora_dropout=0.0, task_type="CAUSAL_LM"), **options})
    tiny.put_adapter(arch, cls, os.path.join(sys.argv[1], arch), name, config, tiny.batch(arch), **more)
