//! The README that goes with an adapter.

use lorelei_recipe::Recipe;

/// A model card in the form that hubs read: which base the adapter is for, how it was trained, and how it is loaded.
pub fn model_card(recipe: &Recipe) -> String {
    let base = &recipe.model.model_name_or_path;
    // YAML reads a JSON string as it is, whatever is in it.
    let quoted = serde_json::Value::from(base.as_str());
    format!(
        "---\nlibrary_name: peft\nbase_model: {quoted}\ntags:\n- lora\n- lorelei\n---\n\n\
         # A LoRA adapter\n\n\
         For the model `{}`. Trained with Lorelei {} by `recipe.toml`; `trainer_log.jsonl` has how it went.\n\n\
         ```python\n\
         from peft import PeftModel\n\
         from transformers import AutoModelForCausalLM\n\n\
         model = AutoModelForCausalLM.from_pretrained({quoted})\n\
         model = PeftModel.from_pretrained(model, \"this folder\")\n\
         ```\n\n\
         ## Recipe\n\n```toml\n{}```\n",
        base.replace('`', "'"),
        env!("CARGO_PKG_VERSION"),
        recipe.to_toml(),
    )
}
