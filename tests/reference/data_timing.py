"""Python's side of `cargo xtask bench --data`: usage: data_timing.py TOKENIZER_JSON ROWS.jsonl MAX_LENGTH

Reads JSONL with `datasets`, tokenises with `tokenizers` (batches, as many threads as there are processors) and lays the tokens in rows of
MAX_LENGTH as Transformers' run_clm.py does. Prints one line of JSON: seconds, rows and tokens. Needs datasets, tokenizers."""
import json, os, sys, tempfile, time
from itertools import chain

cache = tempfile.mkdtemp()
os.environ["HF_DATASETS_CACHE"] = cache
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
import datasets
from tokenizers import Tokenizer

datasets.disable_progress_bars()
tokenizer, length = Tokenizer.from_file(sys.argv[1]), int(sys.argv[3])
end = tokenizer.token_to_id("<|im_end|>")
began = time.perf_counter()
rows = datasets.load_dataset("json", data_files=sys.argv[2], split="train", cache_dir=cache)


def tokenise(batch):
    return {"input_ids": [encoding.ids + [end] for encoding in tokenizer.encode_batch(batch["text"])]}


def pack(batch):
    joined = list(chain.from_iterable(batch["input_ids"]))
    return {"input_ids": [joined[at : at + length] for at in range(0, len(joined), length)]}


tokens = rows.map(tokenise, batched=True, remove_columns=rows.column_names)
packed = tokens.map(pack, batched=True)
seconds = time.perf_counter() - began
print(json.dumps({"seconds": seconds, "rows": len(packed), "tokens": sum(len(row) for row in packed["input_ids"])}))
import shutil
shutil.rmtree(cache)
