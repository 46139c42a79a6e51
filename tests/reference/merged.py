"""Makes crates/export/tests/fixtures/merged.json: fingerprints of what PEFT's `merge_and_unload` makes of the adapters of FIXTURES, in float32.
usage: merged.py FIXTURES OUT.json

A case is MODEL/ADAPTER; it has each tensor that the merge changed, by its name, with the products of its elements and of cos(0), cos(1), ... and
of sin(0), sin(1), .... Embedding and head of a tied model are left out where one of them has an adapter: PEFT merges each into the tensor that both
share, so that a change of both is there twice, and a change of one is in the other too. `merged_logits.py` has them. Needs torch, transformers, peft."""
import json, os, pathlib, sys
os.environ.setdefault("HF_HUB_OFFLINE", "1")
import torch
import transformers
from peft import PeftModel

fixtures, out = map(pathlib.Path, sys.argv[1:])
CLASSES = {"SEQ_CLS": transformers.AutoModelForSequenceClassification, "TOKEN_CLS": transformers.AutoModelForTokenClassification,
           "FEATURE_EXTRACTION": transformers.AutoModel}
# Not models of Transformers' own, adapters that PEFT initialises from the base again, and biases of B, which PEFT does not merge.
SKIPPED = ["chatglm/adapter", "chatglm/adapter_all_linear", "llama/pissa", "llama/olora", "llama/lora_bias"]


def products(tensor):
    flat = tensor.detach().double().flatten()
    places = torch.arange(flat.numel(), dtype=torch.float64)
    return [(flat * places.cos()).sum().item(), (flat * places.sin()).sum().item()]


table = {}
for config in sorted(fixtures.glob("*/*/adapter_config.json")):
    model, adapter = config.parts[-3:-1]
    case = f"{model}/{adapter}"
    if case in SKIPPED:
        continue
    settings = json.loads(config.read_text())
    cls = CLASSES.get(settings["task_type"], transformers.AutoModelForCausalLM)
    from safetensors.torch import load_file
    saved = load_file(config.parent / "adapter_model.safetensors")
    head = next((value for key, value in saved.items() if key.endswith(("score.weight", "classifier.weight", "out_proj.weight"))), None)
    labels = {} if head is None else dict(num_labels=head.shape[0])
    base = cls.from_pretrained(fixtures / model, dtype=torch.float32, **labels)
    tied = base.config.tie_word_embeddings and hasattr(base, "lm_head")
    before = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    merged = PeftModel.from_pretrained(base, config.parent).merge_and_unload()
    adapted_ends = any("embedding_A" in key or "lm_head.lora" in key for key in saved)
    rows = {}
    for name, tensor in merged.state_dict().items():
        if name not in before or not torch.equal(tensor, before[name]):
            is_end = tied and ("embed_tokens" in name or "wte" in name or "lm_head" in name)
            if not (is_end and (adapted_ends or not settings["ensure_weight_tying"])):
                rows[name] = products(tensor)
    table[case] = rows
out.write_text(json.dumps(table, indent=1) + "\n")
