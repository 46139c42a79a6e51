"""Makes crates/export/tests/fixtures/gguf_lora.json: SHA-256 of the files that llama.cpp's own converter writes for the adapters of FIXTURES.
usage: gguf_lora.py LLAMA_CPP FIXTURES OUT.json

LLAMA_CPP is llama.cpp's source (or `vendor/llama.cpp` in the sdist of llama-cpp-python 0.3.36). A case is MODEL/ADAPTER/TYPE. GPT-2 is
left out: the converter takes the halves of its adapters for transposed ones and swaps them, and llama.cpp refuses the result. Prints, too,
the hashes of the first values of a linear congruential generator in each type, for `what_gguf_py_makes_of_values` in crates/formats."""
import hashlib, json, pathlib, subprocess, sys, tempfile

llama_cpp, fixtures, out = map(pathlib.Path, sys.argv[1:])
sys.path.insert(0, str(llama_cpp / "gguf-py"))
import numpy as np
from gguf import GGMLQuantizationType, quants

table = {}
models = "chatglm gemma gemma2 gemma3_text glm glm4 granite llama mistral phi3 qwen2 qwen3 smollm3".split()
for model in models:
    for adapter in ["adapter", "adapter_all_linear"]:
        if not (fixtures / model / adapter / "adapter_config.json").exists():
            continue
        for kind in ["f32", "f16", "bf16", "q8_0"] if model == "llama" else ["f32"]:
            with tempfile.TemporaryDirectory() as work:
                file = pathlib.Path(work) / "out.gguf"
                subprocess.run([sys.executable, llama_cpp / "convert_lora_to_gguf.py", "--base", fixtures / model, fixtures / model / adapter,
                                "--outtype", kind, "--outfile", file], check=True, capture_output=True)
                table[f"{model}/{adapter}/{kind}"] = hashlib.sha256(file.read_bytes()).hexdigest()
out.write_text(json.dumps(table, indent=1) + "\n")

state, values = 1, []
for _ in range(4096):
    state = (state * 1664525 + 1013904223) % 2**32
    values.append(state)
values = (np.array(values, dtype=np.uint32).astype(np.float32) - np.float32(2**31)) / np.float32(2**28)
# Halves, so that roundings of ties are met too.
values[:64] = np.round(values[:64] * 2) / 2
for kind in ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"]:
    blocks = quants.quantize(values.reshape(-1, 64), GGMLQuantizationType[kind])
    print(kind, hashlib.sha256(blocks.tobytes()).hexdigest())
