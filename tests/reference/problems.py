"""What a classifier learns besides one class a text: a number (`number`), several classes (`several`). usage: problems.py FIXTURES

FIXTURES is a folder with the model `llama` of 05_tiny.py; each case becomes a folder of it: adapter_config.json,
adapter_model.safetensors, ref.safetensors (input_ids, attention_mask, labels [texts, labels], logits, grad.<key>) and ref.json (loss)."""
import json, os, sys
import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import LlamaForSequenceClassification

folder = os.path.join(sys.argv[1], "llama")
CASES = [("number", 1, "regression"), ("several", 3, "multi_label_classification")]
for name, num_labels, problem in CASES:
    torch.manual_seed(num_labels)
    model = LlamaForSequenceClassification.from_pretrained(
        folder, num_labels=num_labels, problem_type=problem, pad_token_id=0, dtype=torch.float32, attn_implementation="eager")
    config = LoraConfig(task_type="SEQ_CLS", r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])
    model = get_peft_model(model, config)
    for key, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.data.normal_(0, 0.3 if "score" in key else 0.1)
    lengths = [7, 12, 3, 9]
    ids = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(1, model.config.vocab_size, (length,))
        mask[row, :length] = 1
    labels = torch.randn(4, 1) * 2 if num_labels == 1 else torch.randint(0, 2, (4, num_labels)).float()
    model.eval()
    out = model(input_ids=ids, attention_mask=mask, labels=labels)
    out.loss.backward()
    grads = {}
    for key, parameter in model.named_parameters():
        if parameter.grad is not None:
            key = key.replace(".modules_to_save.default", "").replace(".default", "")
            grads["grad." + key] = parameter.grad.clone()
    out_folder = os.path.join(folder, name)
    os.makedirs(out_folder, exist_ok=True)
    model.save_pretrained(out_folder)
    card = os.path.join(out_folder, "README.md")
    if os.path.exists(card):
        os.remove(card)
    save_file({"input_ids": ids, "attention_mask": mask, "labels": labels, "logits": out.logits.detach().contiguous(), **grads},
              os.path.join(out_folder, "ref.safetensors"))
    json.dump({"loss": out.loss.item()}, open(os.path.join(out_folder, "ref.json"), "w"))
    print(name, out.loss.item(), sorted(grads)[:3], len(grads))
