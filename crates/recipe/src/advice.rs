//! What experience says about a setting: one or two sentences for the form's field and for the command line.

/// Advice on the setting at `path` (`training.learning_rate`), where there is some.
pub fn advice(path: &str) -> Option<&'static str> {
    ADVICE.iter().find(|(known, _)| *known == path).map(|(_, text)| *text)
}

const ADVICE: &[(&str, &str)] = &[
    (
        "model.model_name_or_path",
        "For chat, begin from an instruct model: its template and end token are already learnt.",
    ),
    (
        "data.max_length",
        "The shortest that holds most of your rows: memory and time grow with it. What is cut off is not learnt.",
    ),
    (
        "data.on_bad_row",
        "Begin with error: it shows what is wrong. skip for data that is known to be untidy.",
    ),
    ("data.truncation_side", "left for long conversations, where the last answer matters most; else right."),
    ("data.pad_to_multiple_of", "8, 16 or 64 can be faster on a GPU, where lengths vary."),
    (
        "data.validation_split_percentage",
        "5 to 10. When the loss on the rows held out rises while the training loss falls, stop: the adapter learns by heart.",
    ),
    (
        "training.gradient_checkpointing",
        "On where memory is short: the activations of one layer instead of all, for about a third more time.",
    ),
    ("data.packing", "On for many short rows: padding costs as much as tokens. No row sees another."),
    (
        "lora.r",
        "8 to 16 for a style or a format, 32 to 64 for new knowledge. Twice the rank is twice the adapter.",
    ),
    (
        "lora.lora_alpha",
        "2 to 4 times r. The update is scaled by alpha / r, so changing r alone changes its strength.",
    ),
    ("lora.lora_dropout", "0.05 to 0.1 for a few hundred rows; 0 for many, and fastest."),
    (
        "lora.target_modules",
        "\"all-linear\" learns most for its size; q_proj and v_proj are the smallest that works.",
    ),
    (
        "lora.use_rslora",
        "On for ranks of 32 and more: alpha / sqrt(r) keeps high ranks from learning too little.",
    ),
    (
        "training.per_device_train_batch_size",
        "As many as fit into memory. The effective batch is this times gradient_accumulation_steps.",
    ),
    (
        "training.gradient_accumulation_steps",
        "Raises the effective batch without memory. 8 to 32 rows a step suit most data.",
    ),
    (
        "training.learning_rate",
        "LoRA wants ten times what full fine-tuning does: 1e-4 to 5e-4. If the loss jumps, halve it.",
    ),
    ("training.num_train_epochs", "1 to 3. More learns small data by heart."),
    ("training.max_steps", "Wins over num_train_epochs when it is positive."),
    (
        "training.warmup_steps",
        "A tenth of all steps: write 0.1, or the number of steps. Wins over warmup_ratio.",
    ),
    ("training.warmup_ratio", "0.1, a tenth of all steps."),
    ("training.lr_scheduler_type", "cosine or linear; constant_with_warmup to go on later."),
    ("training.weight_decay", "0 to 0.01: an adapter is small already."),
    ("training.max_grad_norm", "1.0 keeps one odd batch from spoiling the run. 0 does not clip."),
    ("training.logging_steps", "1 for short runs. Each report waits for the device."),
    ("training.save_steps", "How much you can bear to lose. Each checkpoint is three times the adapter."),
    ("training.seed", "The same seed, data and device give the same adapter."),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields;

    #[test]
    fn advice_is_about_settings_that_there_are() {
        for (path, _) in ADVICE {
            let known = fields::all().find(|field| field.path() == *path);
            let known = known.unwrap_or_else(|| panic!("{path} is no setting"));
            assert_eq!(known.state, fields::State::Supported, "{path}");
        }
    }
}
