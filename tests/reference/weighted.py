"""Makes crates/export/tests/fixtures/weighted.json: what PEFT's `add_weighted_adapter` makes of small random adapters.
usage: weighted.py OUT.json

The adapters have ranks and alphas of their own where that is allowed, and one of them lacks a module. The random numbers of DARE are drawn once and
written down as masks, in the order of their use."""
import json, sys
import torch
from peft import LoraConfig, get_peft_model

SEED = 7
torch.manual_seed(SEED)


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.first, self.second = torch.nn.Embedding(7, 6), torch.nn.Linear(6, 5), torch.nn.Linear(5, 6)

    def forward(self, ids):
        return self.second(self.first(self.embed(ids)))


def flat(model, name):
    return {key.replace(f".{name}", ""): {"shape": list(value.shape), "values": value.flatten().tolist()}
            for key, value in model.state_dict().items() if "lora_" in key and f".{name}" in key}


def config(r, alpha, targets, rslora=False):
    return LoraConfig(r=r, lora_alpha=alpha, target_modules=targets, use_rslora=rslora)


table = {"seed": SEED, "groups": {}}
both = ["first", "second", "embed"]
for group, configs in {
    "same": [config(4, 8, both), config(4, 2, both), config(4, 4, ["first"], rslora=True)],
    "mixed": [config(2, 8, both), config(3, 3, ["first", "second"])],
}.items():
    model = get_peft_model(Model(), configs[0], adapter_name="a0")
    for index, other in enumerate(configs[1:], 1):
        model.add_adapter(f"a{index}", other)
    for key, value in model.named_parameters():
        if "lora_" in key:
            value.data.normal_()
    names = [f"a{index}" for index in range(len(configs))]
    entry = {"adapters": [{"r": c.r, "lora_alpha": c.lora_alpha, "use_rslora": c.use_rslora, "target_modules": sorted(c.target_modules),
                           "tensors": flat(model, name)} for name, c in zip(names, configs)], "merged": []}
    cases = [("cat", None, "total")]
    if group == "same":
        cases += [("linear", None, "total"), ("ties", 0.5, "total"), ("ties", 0.7, "frequency"), ("magnitude_prune", 0.4, "total"),
                  ("dare_linear", 0.6, "total"), ("dare_ties", 0.5, "total"), ("dare_ties", 0.5, "frequency")]
    weights = [0.7, -0.4, 1.5][:len(configs)]
    for index, (kind, density, sign) in enumerate(cases):
        masks, bernoulli = [], torch.bernoulli

        def drawn(p):
            mask = bernoulli(p)
            masks.append("".join(str(int(bit)) for bit in mask.flatten()))
            return mask

        torch.bernoulli = drawn
        model.add_weighted_adapter(names, weights, f"m{index}", combination_type=kind, density=density, majority_sign_method=sign)
        torch.bernoulli = bernoulli
        entry["merged"].append({"combination_type": kind, "density": density, "majority_sign_method": sign, "weights": weights,
                                "r": model.peft_config[f"m{index}"].r, "lora_alpha": model.peft_config[f"m{index}"].lora_alpha,
                                "masks": masks, "tensors": flat(model, f"m{index}")})
    table["groups"][group] = entry
open(sys.argv[1], "w").write(json.dumps(table, separators=(",", ":")) + "\n")
