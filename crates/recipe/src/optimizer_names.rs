//! The optimizers by name, each with the learning rates that it usually takes.

use crate::choice::choices;

choices! {
    /// The optimizer, by Transformers' `OptimizerNames`. Those of AdamW are the same mathematics and the same code here, and so are those of
    /// Lion.
    ///
    /// A row has all that this crate knows of an optimizer: its word, and the learning rates of which no hint is given.
    #[derive(Default)]
    pub enum OptimizerNames gives learning_rates -> Option<&'static LearningRates> {
        /// AdamW.
        AdamwTorch = "adamw_torch" => Some(&ADAMW),
        /// AdamW, one kernel for the whole update in torch.
        #[default]
        AdamwTorchFused = "adamw_torch_fused" => Some(&ADAMW),
        /// Transformers' Adafactor with `scale_parameter=False, relative_step=False`, as the `Trainer` makes it.
        Adafactor = "adafactor" => Some(&ADAFACTOR),
        /// Lion.
        Lion = "lion" => Some(&LION),
        /// Lion, by bitsandbytes' name.
        Lion32bit = "lion_32bit" => Some(&LION),
        /// `torch.optim.Muon` for matrices, with AdamW for what is none. Its step is as long in every direction of a matrix, so that AdamW's rates
        /// say little of it.
        Muon = "muon" => None,
        /// Gradient descent without momentum. Its step is as long as the gradient, so that no range is usual.
        Sgd = "sgd" => None,
    }
    later [
        "adamw_torch_xla", "adamw_torch_npu_fused", "adamw_anyprecision", "adamw_torch_4bit", "adamw_torch_8bit",
        "ademamix", "adagrad", "adamw_bnb_8bit", "adamw_8bit", "ademamix_8bit", "lion_8bit", "paged_adamw_32bit",
        "paged_adamw_8bit", "paged_ademamix_32bit", "paged_ademamix_8bit", "paged_lion_32bit", "paged_lion_8bit",
        "rmsprop", "rmsprop_bnb", "rmsprop_bnb_8bit", "rmsprop_bnb_32bit", "galore_adamw", "galore_adamw_8bit",
        "galore_adafactor", "galore_adamw_layerwise", "galore_adamw_8bit_layerwise", "galore_adafactor_layerwise",
        "lomo", "adalomo", "grokadamw", "schedule_free_radam", "schedule_free_adamw", "schedule_free_sgd",
        "apollo_adamw", "apollo_adamw_layerwise", "stable_adamw", "adamw_hf",
    ]
}

/// The learning rates that an optimizer usually takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LearningRates {
    /// Rates for adapters.
    pub(crate) lora: Usual,
    /// Rates for the fine-tuning of every weight.
    pub(crate) full: Usual,
}

/// A usual range, and the rates beyond which a hint is given. Rates between these and the range may be right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Usual {
    /// The range in words: `1e-4 to 5e-4`.
    pub(crate) range: &'static str,
    /// Rate below which a hint is given, the reason, and the source.
    pub(crate) low: Option<(f64, &'static str, &'static str)>,
    /// Rate above which a hint is given, the reason, which may be empty, and the source.
    pub(crate) high: (f64, &'static str, &'static str),
}

pub(crate) const QLORA: &str = "Dettmers et al., QLoRA, 2023, appendix B";
const REGRET: &str = "Schulman et al., LoRA Without Regret, 2025";
const CHEN: &str = "Chen et al., Symbolic Discovery of Optimization Algorithms, 2023, section 5";
const ADAFACTOR_DOCS: &str = "Transformers' documentation of Adafactor";

const ADAMW: LearningRates = LearningRates {
    lora: Usual {
        range: "1e-4 to 5e-4",
        low: Some((1e-4, "LoRA wants ten times what full fine-tuning does", REGRET)),
        high: (2e-3, "", QLORA),
    },
    full: Usual { range: "1e-5 to 5e-5", low: None, high: (1e-4, "", REGRET) },
};

/// Rates of Lion. An element moves by the rate itself in every step, whereas with AdamW it moves by less.
const LION: LearningRates = LearningRates {
    lora: Usual {
        range: "1e-5 to 1e-4",
        low: Some((1e-5, "LoRA wants ten times what full fine-tuning does", REGRET)),
        high: (3e-4, "Lion wants 3 to 10 times less than AdamW", CHEN),
    },
    full: Usual {
        range: "1e-6 to 1e-5",
        low: None,
        high: (3e-5, "Lion wants 3 to 10 times less than AdamW", CHEN),
    },
};

/// Rates of Adafactor. Without its relative step, its updates are as long as AdamW's.
const ADAFACTOR: LearningRates = LearningRates {
    lora: ADAMW.lora,
    full: Usual { range: "1e-5 to 1e-3", low: None, high: (1e-3, "", ADAFACTOR_DOCS) },
};
