"""PEFT's side of `cargo xtask bench`: usage: timing.py MODEL_FOLDER qv|all ROWS.jsonl STEPS

Float32 on the CPU, r = 8, batch 1; a step is forward, backward, clipping and AdamW. Prints one line of JSON: tokens a second by the
median step after the first, and the process's peak memory. Needs torch, transformers, peft."""
import json, os, resource, statistics, sys, time
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Spinning OpenMP workers are several times slower on a machine that does something else too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

folder, targets, rows, steps = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
torch.set_num_threads(len(os.sched_getaffinity(0)))
names = {"qv": ["q_proj", "v_proj"], "all": "all-linear"}[targets]
base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
model = get_peft_model(base, LoraConfig(r=8, lora_alpha=32, target_modules=names, task_type="CAUSAL_LM"))
model.train()
parameters = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.0)
with open(rows) as file:
    batches = [torch.tensor([json.loads(line)["input_ids"]]) for line in file]
seconds = []
for step in range(steps + 1):
    ids = batches[step % len(batches)]
    began = time.perf_counter()
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    optimizer.zero_grad()
    loss.item()
    seconds.append(time.perf_counter() - began)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps(dict(tokens_per_second=ids.numel() / statistics.median(seconds[1:]), memory_bytes=peak, steps=steps)))
