"""Tiny random models of architectures that 05_tiny.py leaves out, with one PEFT adapter each -> OUT/<name>/. usage: architectures.py OUT [NAME...]

Every folder: config.json, model.safetensors, ref.safetensors (input_ids, attention_mask, labels, logits), and `adapter` over every linear
layer: adapter_config.json, adapter_model.safetensors, ref.safetensors (logits, grad.<key>, logits_merged), ref.json (loss). float32,
evaluation mode. Windows and contexts are shorter than the texts, so that they matter."""
import json, os, re, sys
os.environ.setdefault("HF_HUB_OFFLINE", "1")
import torch, transformers
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
transformers.logging.set_verbosity_error()
torch.set_num_threads(1)

BASE = dict(vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            max_position_embeddings=64, initializer_range=0.12, bos_token_id=1, eos_token_id=2, pad_token_id=0, tie_word_embeddings=False)
rope = lambda kind, **more: dict(rope_type=kind, rope_theta=10000.0, **more)
DIVISORS = [1.0 + 0.3 * i for i in range(4)]
CAUSAL = {
    "llama_linear": ("Llama", dict(rope_parameters=rope("linear", factor=3.0))),
    "llama_dynamic": ("Llama", dict(rope_parameters=rope("dynamic", factor=2.0), max_position_embeddings=8)),
    "llama_yarn": ("Llama", dict(rope_parameters=rope("yarn", factor=4.0, original_max_position_embeddings=16, beta_fast=4.0))),
    "mistral": ("Mistral", dict(sliding_window=6, head_dim=12, rope_parameters=rope("default"))),
    "smollm3": ("SmolLM3", dict(no_rope_layers=[1, 0], rope_parameters=rope("default"), tie_word_embeddings=True)),
    "qwen2_window": ("Qwen2", dict(use_sliding_window=True, sliding_window=5, max_window_layers=1, rope_parameters=rope("default"))),
    "gemma": ("Gemma", dict(head_dim=12, hidden_act="gelu_pytorch_tanh", rope_parameters=rope("default"))),
    "gemma2": ("Gemma2", dict(head_dim=12, attn_logit_softcapping=1.5, final_logit_softcapping=2.0, sliding_window=7,
               query_pre_attn_scalar=20, hidden_activation="gelu_pytorch_tanh", rope_parameters=rope("default"))),
    "gemma3_cap": ("Gemma3Text", dict(head_dim=12, final_logit_softcapping=2.0, sliding_window=7,
                    layer_types=["sliding_attention", "full_attention"], hidden_activation="gelu_pytorch_tanh",
                    rope_parameters=dict(sliding_attention=rope("default"), full_attention=rope("default")))),
    "phi3": ("Phi3", dict(sliding_window=9, rope_parameters=rope("default", partial_rotary_factor=0.5))),
    "phi3_longrope": ("Phi3", dict(original_max_position_embeddings=8, max_position_embeddings=32,
                      rope_parameters=rope("longrope", short_factor=[1.0] * 4, long_factor=DIVISORS))),
    "glm4": ("Glm4", dict(head_dim=8, attention_bias=True, rope_parameters=rope("default", partial_rotary_factor=0.5))),
    "granite": ("Granite", dict(embedding_multiplier=12.0, attention_multiplier=0.2, residual_multiplier=0.22, logits_scaling=8.0,
                rope_parameters=rope("default"), tie_word_embeddings=True)),
}

# Encoders, and decoders that classify: the class, its configuration, the task, token_type_ids or not.
BERT = dict(vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=40,
            hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, num_labels=3, pad_token_id=0)
DISTIL = dict(vocab_size=96, dim=32, hidden_dim=48, n_layers=2, n_heads=4, max_position_embeddings=40, dropout=0.0, attention_dropout=0.0,
              seq_classif_dropout=0.0, num_labels=3, pad_token_id=0)
OTHERS = {
    "bert_tokens": ("BertForTokenClassification", "BertConfig", BERT, "TOKEN_CLS", True),
    "bert_features": ("BertModel", "BertConfig", BERT, "FEATURE_EXTRACTION", True),
    "roberta": ("RobertaForSequenceClassification", "RobertaConfig", {**BERT, "type_vocab_size": 1, "pad_token_id": 1}, "SEQ_CLS", False),
    "distilbert": ("DistilBertForSequenceClassification", "DistilBertConfig", DISTIL, "SEQ_CLS", False),
    "distilbert_tokens": ("DistilBertForTokenClassification", "DistilBertConfig", DISTIL, "TOKEN_CLS", False),
    "llama_classes": ("LlamaForSequenceClassification", "LlamaConfig", {**BASE, "num_labels": 3}, "SEQ_CLS", False),
    "gpt2_classes": ("GPT2ForSequenceClassification", "GPT2Config", dict(vocab_size=96, n_embd=32, n_layer=2, n_head=4, n_positions=40, n_inner=48,
                     resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, num_labels=3, pad_token_id=0), "SEQ_CLS", False),
    "qwen2_tokens": ("Qwen2ForTokenClassification", "Qwen2Config", {**BASE, "num_labels": 3, "classifier_dropout": 0.0}, "TOKEN_CLS", False),
}


def randomize(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        values = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() == 1 and name.endswith("weight"):
            parameter.data = 0.2 * values + (0 if "gemma" in model.config.model_type else 1)
        else:
            parameter.data = (0.1 if parameter.dim() == 1 else 0.15) * values


def batch(vocab):
    generator = torch.Generator().manual_seed(7)
    ids = torch.randint(3, vocab, (2, 16), generator=generator)
    mask = torch.ones(2, 16, dtype=torch.long)
    ids[1, 11:], mask[1, 11:] = 0, 0
    labels = ids.clone()
    labels[mask == 0], labels[0, :5], labels[1, :3] = -100, -100, -100
    return dict(input_ids=ids, attention_mask=mask, labels=labels)


def inputs_of(task, segments, pad):
    inputs = batch(96)
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    ids[mask == 0] = pad
    generator = torch.Generator().manual_seed(8)
    classes = torch.randint(0, 3, (2, 16), generator=generator)
    classes[mask == 0], classes[0, :2] = -100, -100
    inputs["labels"] = classes if task == "TOKEN_CLS" else torch.tensor([2, 0])
    if segments:
        types = torch.zeros(2, 16, dtype=torch.long)
        types[0, 9:], types[1, 6:11] = 1, 1
        inputs["token_type_ids"] = types
    if task == "FEATURE_EXTRACTION":
        del inputs["labels"]
    return inputs


def key(name):
    name = re.sub(r"\.default(?=\.|$)", "", name)
    return re.sub(r"\.modules_to_save(?=\.)", "", name)


def said(output):
    return output.logits if "logits" in output else output.last_hidden_state


def make(out, name, load, config, inputs, lora):
    path = f"{out}/{name}"
    os.makedirs(f"{path}/adapter", exist_ok=True)
    model = load(config)
    randomize(model, sum(name.encode()))
    model.tie_weights()
    model.save_pretrained(path)
    for extra in ["generation_config.json"]:
        if os.path.exists(f"{path}/{extra}"):
            os.remove(f"{path}/{extra}")
    model = type(model).from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        save_file({**inputs, "logits": said(model(**inputs))}, f"{path}/ref.safetensors")
    model = get_peft_model(model, lora).eval()
    generator = torch.Generator().manual_seed(11)
    for parameter_name, parameter in sorted(model.named_parameters()):
        if parameter.requires_grad:
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    model.peft_config["default"].base_model_name_or_path = f"tiny/{name}"
    model.save_pretrained(f"{path}/adapter", save_embedding_layers=False)
    if os.path.exists(f"{path}/adapter/README.md"):
        os.remove(f"{path}/adapter/README.md")
    output = model(**inputs)
    # What has no loss of its own gets one, so that gradients can be compared.
    loss = said(output).pow(2).mean() if output.get("loss") is None else output.loss
    loss.backward()
    table = dict(logits=said(output).detach())
    for parameter_name, parameter in model.named_parameters():
        if parameter.requires_grad:
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            table["grad." + key(parameter_name)] = gradient.contiguous().clone()
    saved = load_file(f"{path}/adapter/adapter_model.safetensors")
    assert {"grad." + k for k in saved} == {k for k in table if k.startswith("grad.")}, name
    with torch.no_grad():
        table["logits_merged"] = said(model.merge_and_unload()(**inputs))
    save_file(table, f"{path}/adapter/ref.safetensors")
    json.dump(dict(loss=loss.item()), open(f"{path}/adapter/ref.json", "w"))
    print(name, loss.item())


if __name__ == "__main__":
    out, wanted = sys.argv[1], sys.argv[2:]
    for name, (family, more) in CAUSAL.items():
        if wanted and name not in wanted:
            continue
        model_class = {"Gemma3Text": "Gemma3"}.get(family, family)
        config = getattr(transformers, family + "Config")(**{**BASE, **more})
        load = getattr(transformers, model_class + "ForCausalLM")
        lora = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, task_type="CAUSAL_LM", target_modules="all-linear")
        make(out, name, load, config, batch(BASE["vocab_size"]), lora)
    for name, (model_class, config_class, settings, task, segments) in OTHERS.items():
        if wanted and name not in wanted:
            continue
        config = getattr(transformers, config_class)(**settings)
        # "all-linear" would take some heads too, which PEFT then cannot train whole.
        targets = {"DistilBertConfig": ["q_lin", "v_lin", "lin1"], "BertConfig": ["query", "value"], "Qwen2Config": ["q_proj", "v_proj"],
                   "GPT2Config": ["c_attn", "c_proj"], "RobertaConfig": ["query", "key", "value"], "LlamaConfig": "all-linear"}[config_class]
        lora = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, task_type=task, target_modules=targets)
        make(out, name, getattr(transformers, model_class), config, inputs_of(task, segments, config.pad_token_id), lora)
