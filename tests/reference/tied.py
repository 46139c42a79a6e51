"""Adapters that carry embedding and head, onto a tied model. usage: tied.py FIXTURES

Each case becomes a folder of FIXTURES/smollm3: adapter_config.json, adapter_model.safetensors, ref.safetensors (logits, grad.<key>) and ref.json (loss).
`base` cases carry another embedding than the model's, as an adapter does whose base was changed before it was trained."""
import json, os, sys
os.environ.setdefault("HF_HUB_OFFLINE", "1")
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from architectures import key

CASES = [
    ("tied_adapter", dict(target_modules=["embed_tokens", "q_proj"], ensure_weight_tying=True), False, True),
    ("tied_head_adapter", dict(target_modules=["lm_head", "q_proj"], ensure_weight_tying=True), False, False),
    ("tied_saved", dict(target_modules=["q_proj"], modules_to_save=["lm_head"], ensure_weight_tying=True), False, False),
    ("tied_head_rows", dict(target_modules=["lm_head", "q_proj"], trainable_token_indices=[3, 5, 9]), False, False),
    ("base_of_ends", dict(target_modules=["embed_tokens", "lm_head", "q_proj"]), True, True),
    ("base_of_head", dict(target_modules=["lm_head", "q_proj"]), True, True),
    ("base_saved", dict(target_modules=["q_proj"]), True, True),
]
folder = os.path.join(sys.argv[1], "smollm3")
inputs = {name: value for name, value in load_file(f"{folder}/ref.safetensors").items() if name != "logits"}
for name, options, other_base, save_embedding_layers in CASES:
    out = f"{folder}/{name}"
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    generator = torch.Generator().manual_seed(sum(name.encode()))
    if other_base:
        weight = base.get_input_embeddings().weight
        weight.data += 0.1 * torch.randn(weight.shape, generator=generator)
    model = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, task_type="CAUSAL_LM", **options)).eval()
    for parameter_name, parameter in sorted(model.named_parameters()):
        # What a tied head has is the embedding's own, transposed.
        if parameter.requires_grad and not ("ensure_weight_tying" in options and "lm_head" in parameter_name):
            parameter.data.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    model.peft_config["default"].base_model_name_or_path = "tiny/smollm3"
    model.save_pretrained(out, save_embedding_layers=save_embedding_layers)
    os.remove(f"{out}/README.md")
    output = model(**inputs)
    output.loss.backward()
    grads = {key(n): p.grad for n, p in model.named_parameters() if p.requires_grad}
    if "ensure_weight_tying" in options:
        # Both uses of one parameter, of which PEFT keeps two gradients.
        for part, of in [("lora_embedding_A", "lora_B"), ("lora_embedding_B", "lora_A")]:
            twin = grads.pop(f"base_model.model.lm_head.{of}.weight", None)
            if twin is not None:
                grads[f"base_model.model.model.embed_tokens.{part}"] += twin.T
    table = {"logits": output.logits.detach(), **{f"grad.{n}": g.contiguous().clone() for n, g in grads.items()}}
    save_file(table, f"{out}/ref.safetensors")
    json.dump(dict(loss=output.loss.item()), open(f"{out}/ref.json", "w"))
    print(name, output.loss.item(), sorted(k for k in load_file(f"{out}/adapter_model.safetensors") if "layers" not in k))
