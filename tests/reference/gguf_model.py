"""Makes crates/export/tests/fixtures/gguf_model.json: what llama.cpp's own converter writes for the models of FIXTURES: keys, and of each tensor
its format, shape and SHA-256.
usage: gguf_model.py LLAMA_CPP FIXTURES OUT.json

LLAMA_CPP is llama.cpp's source. The models have no tokenizer, so that its keys are left out. GPT-2's `n_ctx` and `n_inner`, which the converter
takes from older configurations, are put in."""
import hashlib, json, pathlib, sys, tempfile

llama_cpp, fixtures, out = map(pathlib.Path, sys.argv[1:])
sys.path[:0] = [str(llama_cpp), str(llama_cpp / "gguf-py")]
import gguf, torch
from conversion import ModelBase, ModelType, get_model_architecture, get_model_class

SKIPPED = ["general.name", "general.size_label", "general.finetune", "general.basename", "general.tags", "general.quantized_by"]
table = {}
for model in "llama llama_bias llama_linear llama_yarn mistral smollm3 granite qwen2 qwen3 gemma gemma2 gpt2".split():
    folder = fixtures / model
    hparams = ModelBase.load_hparams(folder, False)
    hparams.setdefault("n_ctx", hparams.get("n_positions", 0))
    base = get_model_class(get_model_architecture(hparams, ModelType.TEXT))

    class Model(base):
        model_arch = base.model_arch

        def set_vocab(self):
            self.gguf_writer.add_tokenizer_model("none")

        def set_gguf_parameters(self):
            own = self.gguf_writer.add_feed_forward_length
            self.gguf_writer.add_feed_forward_length = lambda n: own(hparams.get("n_inner") or n)
            super().set_gguf_parameters()

    for kind, number in [("f32", 0), ("f16", 1), ("bf16", 32), ("q8_0", 7)] if model in ("llama", "gpt2") else [("f32", 0)]:
        with tempfile.TemporaryDirectory() as work, torch.inference_mode():
            file = pathlib.Path(work) / "out.gguf"
            Model(folder, gguf.LlamaFileType(number), file, hparams=dict(hparams)).write()
            reader = gguf.GGUFReader(file)
            keys = {}
            for name, field in reader.fields.items():
                if name.startswith(("GGUF.", "tokenizer.")) or name in SKIPPED:
                    continue
                value = field.contents()
                keys[name] = [field.types[0].name, value]
            tensors = {t.name: [t.tensor_type.name, [int(n) for n in reversed(t.shape)], hashlib.sha256(t.data.tobytes()).hexdigest()]
                       for t in reader.tensors}
            table[f"{model}/{kind}"] = {"keys": keys, "tensors": tensors}
out.write_text(json.dumps(table, separators=(",", ":")).replace('},"', '},\n"') + "\n")
