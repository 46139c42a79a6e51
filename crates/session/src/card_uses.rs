//! How an adapter is used outside of PEFT, and a whole model outside of Transformers, for its card.

use lorelei_recipe::{Bias, Recipe};

/// Ranks that vLLM's `--max-lora-rank` takes. It has room for 16 if it is not told.
const VLLM_RANKS: [usize; 9] = [1, 8, 16, 32, 64, 128, 256, 320, 512];
const VLLM_DEFAULT_RANK: usize = 16;

/// Formats the commands that use a language model's adapter in vLLM, llama.cpp, Ollama and MLX. `base` names the base model.
pub fn elsewhere(recipe: &Recipe, base: &str, revision: Option<&str>) -> String {
    let folder = match recipe.training.output_dir.as_str() {
        "" => "adapter",
        name => name,
    };
    let (folder, base) = (word(folder), word(base));
    let revision = revision.map(|revision| format!(" --revision {}", word(revision))).unwrap_or_default();
    let names = Names { folder: &folder, base: &base, revision: &revision };
    let uses = match is_plain(recipe) {
        true => names.plain(recipe),
        false => names.merged(),
    };
    format!(
        "\nWith Lorelei, in the folder that {folder} is in:\n\n```sh\n{uses}```\n\n`lorelei check` says what each of them would not read.\n"
    )
}

/// Whether the adapter is low-rank updates alone, which other programs read.
fn is_plain(recipe: &Recipe) -> bool {
    let lora = &recipe.lora;
    let trains_more = lora.modules_to_save.as_ref().is_some_and(|modules| !modules.is_empty());
    !(lora.use_dora
        || lora.lora_bias
        || lora.bias != Bias::None
        || trains_more
        || lora.trainable_token_indices.is_some())
}

struct Names<'n> {
    folder: &'n str,
    base: &'n str,
    revision: &'n str,
}

impl Names<'_> {
    fn plain(&self, recipe: &Recipe) -> String {
        let Self { folder, base, revision } = self;
        let lora = &recipe.lora;
        let rank = lora.rank_pattern.values().copied().max().unwrap_or(0).max(lora.r);
        let limit =
            VLLM_RANKS.into_iter().find(|limit| *limit >= rank).filter(|limit| *limit > VLLM_DEFAULT_RANK);
        let limit = limit.map(|limit| format!(" --max-lora-rank {limit}")).unwrap_or_default();
        let is_uniform = lora.rank_pattern.is_empty() && lora.alpha_pattern.is_empty();
        let (fold, served) = match is_uniform {
            true => (String::new(), (*folder).to_owned()),
            // vLLM computes one scale for all modules.
            false => (
                format!("lorelei export {folder} --to peft --fold --output adapter-folded\n"),
                "adapter-folded".to_owned(),
            ),
        };
        format!(
            "# vLLM\n{fold}vllm serve {base}{revision} --enable-lora{limit} --lora-modules adapter={served}\n\
             # llama.cpp, with the base as a GGUF file\nlorelei export {folder} --to gguf-lora --output adapter.gguf\n\
             llama-cli --model base.gguf --lora adapter.gguf\n\
             # llama.cpp, base and adapter in one file\nlorelei export {folder} --to gguf --output merged.gguf\n\
             llama-cli --model merged.gguf\n\
             # Ollama\nlorelei export {folder} --to ollama --output adapter-ollama\nollama create adapter -f adapter-ollama/Modelfile\n\
             # MLX\nlorelei export {folder} --to mlx --output adapter-mlx\n\
             mlx_lm.generate --model {base} --adapter-path adapter-mlx --prompt \"Hello\"\n"
        )
    }

    /// Other programs do not read all of the adapter: it goes into a copy of its base.
    fn merged(&self) -> String {
        format!("lorelei export {} --to merged --output merged\n{}", self.folder, whole("merged"))
    }
}

/// Formats the commands that use a whole language model, which is in `folder`, in vLLM, llama.cpp, Ollama and MLX.
pub fn of_whole(folder: &str) -> String {
    format!("\nIn the folder that {0} is in:\n\n```sh\n{1}```\n", word(folder), whole(&word(folder)))
}

/// Formats the commands that use the model in a folder, whose name is quoted for a shell.
fn whole(folder: &str) -> String {
    format!(
        "# vLLM\nvllm serve {folder}\n\
         # llama.cpp, by its own converter; Ollama takes the file too (FROM ./model.gguf in a Modelfile)\n\
         python convert_hf_to_gguf.py {folder} --outfile model.gguf\nllama-cli --model model.gguf\n\
         # MLX\nmlx_lm.generate --model {folder} --prompt \"Hello\"\n"
    )
}

/// Quotes a word for a shell where it needs that. A line break, which would end the command, becomes a space.
fn word(word: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "-_./=:,@+%".contains(letter);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''").replace(['\n', '\r'], " ")),
    }
}
