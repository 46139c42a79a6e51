//! All texts of the page, in each of its languages. A text that lacks a language does not compile.

use std::fmt::Display;

/// A language of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Simplified Chinese.
    Chinese,
}

impl Language {
    /// All languages.
    pub const ALL: [Language; 2] = [Language::English, Language::Chinese];

    /// Returns the language's code in HTML.
    pub fn code(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Chinese => "zh-CN",
        }
    }

    /// Returns the language that a browser's code such as `zh-TW` or `en` stands for.
    pub fn from_code(code: &str) -> Option<Language> {
        match code.split('-').next().unwrap_or_default() {
            "en" => Some(Language::English),
            "zh" => Some(Language::Chinese),
            _ => None,
        }
    }

    /// Returns the language's name in that language.
    pub fn name(self) -> &'static str {
        match self {
            Language::English => "English",
            Language::Chinese => "简体中文",
        }
    }

    /// Returns the texts of the language.
    pub fn texts(self) -> &'static Texts {
        match self {
            Language::English => &ENGLISH,
            Language::Chinese => &CHINESE,
        }
    }
}

/// Replaces the `{names}` in a text by their values. The values are not searched for names, and a name without a value stays.
pub fn fill(text: &str, values: &[(&str, &dyn Display)]) -> String {
    lorelei_recipe::filled(text, |name| {
        let (_, value) = values.iter().find(|(known, _)| *known == name)?;
        Some(value.to_string().into())
    })
}

macro_rules! texts {
    ($($name:ident: $english:literal, $chinese:literal;)*) => {
        /// The texts of one language.
        #[allow(missing_docs)]
        pub struct Texts { $(pub $name: &'static str),* }
        static ENGLISH: Texts = Texts { $($name: $english),* };
        static CHINESE: Texts = Texts { $($name: $chinese),* };
        #[cfg(test)]
        const PAIRS: &[(&str, &str, &str)] = &[$((stringify!($name), $english, $chinese)),*];
    };
}

texts! {
    // The head.
    title: "Lorelei: train LoRA adapters in a browser tab", "Lorelei：在浏览器标签页中训练 LoRA 适配器";
    tagline: "Train a LoRA adapter in this tab. Nothing leaves your machine.", "在此标签页中训练 LoRA 适配器，数据不会离开你的电脑。";
    skip: "Skip to the content", "跳到正文";
    sections: "Sections", "章节";
    language: "Language", "语言";
    theme: "Theme", "主题";
    theme_system: "As the system", "跟随系统";
    theme_light: "Light", "浅色";
    theme_dark: "Dark", "深色";
    dismiss: "Dismiss", "关闭";
    footer: "Lorelei is free software under MIT or Apache-2.0. The adapter loads in PEFT.", "Lorelei 是自由软件（MIT 或 Apache-2.0）。训练出的适配器可在 PEFT 中加载。";

    // The device and the trainer.
    device: "Device", "设备";
    device_auto: "GPU if there is one", "有 GPU 则用 GPU";
    device_unknown: "Looking for a GPU …", "正在查找 GPU……";
    device_gpu: "WebGPU: {name}", "WebGPU：{name}";
    device_software: "emulated in software, so slow that the CPU is used unless you choose otherwise", "软件模拟，速度慢，除非另行选择否则使用 CPU";
    device_f16: "16-bit floats", "支持 16 位浮点";
    device_no_f16: "no 16-bit floats", "不支持 16 位浮点";
    device_buffer: "buffers up to {size}", "单个缓冲区最大 {size}";
    device_cpu: "The CPU will be used, in one thread, which is slow, because no GPU can be: {reason}", "将使用单线程 CPU，速度较慢，因为无法使用 GPU：{reason}";
    no_webgpu: "This browser has no WebGPU (navigator.gpu is missing), so the CPU will be used, in one thread, which is slow. A current Chrome, Edge, Safari or Firefox has it; on some systems it must be switched on in the browser's settings.", "此浏览器没有 WebGPU（缺少 navigator.gpu），将使用单线程 CPU，速度较慢。新版 Chrome、Edge、Safari 和 Firefox 支持 WebGPU，某些系统上需在浏览器设置中开启。";
    no_webgpu_insecure: "WebGPU is given only to pages from https:// or localhost, and this is neither, so the CPU will be used, in one thread, which is slow.", "浏览器只对 https:// 或 localhost 的页面开放 WebGPU，此页面都不是，将使用单线程 CPU，速度较慢。";
    trainer_loading: "Loading the trainer …", "正在加载训练器……";
    trainer_failed: "The trainer stopped or could not be started: {reason}. What it held is gone; the form and the chosen files are not.", "训练器已停止或无法启动：{reason}。其中的内容已丢失，表单和所选文件仍在。";
    trainer_silent: "its script cannot be loaded or is broken", "其脚本无法加载或已损坏";
    trainer_restart: "Start it again", "重新启动";
    trainer_dead: "The trainer is not running: start it again at the top of the page.", "训练器未运行：请在页面顶部重新启动。";
    not_understood: "The trainer says something that this page does not understand; they may be of different versions. Reload the page. ({error})", "无法理解训练器的消息，二者版本可能不同，请重新加载页面。（{error}）";

    // Obstacles to a run.
    wait_trainer: "The trainer is still loading.", "训练器仍在加载。";
    wait_run: "A run is going on.", "训练正在进行。";
    wait_answer: "The model is answering.", "模型正在回答。";
    wait_model: "{model} is still loading.", "{model} 仍在加载。";
    wait_data: "The data is still being read.", "仍在读取数据。";
    need_model: "The recipe is for {wanted}: choose its files, or load it from the hub.", "训练方案所用的模型是 {wanted}：请选择其文件，或从模型库加载。";
    other_model: "The recipe is for {wanted}, but {loaded} is loaded: load the one, or choose the other again.", "训练方案所用的模型是 {wanted}，而已加载的是 {loaded}：请加载前者，或重新选择后者。";
    need_file: "The recipe learns from {file}: choose that file, or another.", "训练方案的训练数据是 {file}：请选择该文件或其他文件。";
    need_validation: "The recipe evaluates on {file}: choose that file, or do without.", "训练方案的验证数据是 {file}：请选择该文件，或不使用验证文件。";
    mend_form: "Something in the form is wrong: it says where.", "表单有误，请见相应位置的说明。";
    mend_rows: "Some rows of the data are wrong: put them right first.", "数据中有错误的行，请先改正。";
    no_rows: "The data has no row to train on.", "数据中没有可供训练的行。";
    data_unread: "The data could not be read.", "数据无法读取。";

    // Model.
    model: "Model", "模型";
    model_lead: "A small Llama model comes with the page. Your own stays on your machine; one from a hub is kept in the browser's storage.", "本页自带一个小型 Llama 模型。你自己的模型只留在本机，从模型库下载的模型保存在浏览器存储中。";
    model_builtin: "Use the built-in model", "使用内置模型";
    model_drop: "Drop a .gguf file here, or a model's folder or files (config.json, tokenizer.json, *.safetensors), or:", "将 .gguf 文件，或模型的文件夹、文件（config.json、tokenizer.json、*.safetensors）拖放到此处，或者：";
    model_files: "Choose files", "选择文件";
    model_folder: "Choose a folder", "选择文件夹";
    model_hub: "From a hub", "从模型库加载";
    model_loading: "Loading {model} …", "正在加载 {model}……";
    model_loaded: "{model} is loaded.", "{model} 已加载。";
    hub_id: "Model id", "模型 ID";
    hub_revision: "Revision", "版本";
    hub_endpoint: "Hub", "模型库地址";
    hub_load: "Load", "加载";
    hub_hint: "Files are fetched when you press Load, never before.", "只有按下「加载」后才会下载文件。";
    hub_id_missing: "Name a model, as in HuggingFaceTB/SmolLM2-135M-Instruct.", "请填写模型 ID，例如 HuggingFaceTB/SmolLM2-135M-Instruct。";
    fact_name: "Name", "名称";
    fact_type: "Type", "类型";
    fact_parameters: "Parameters", "参数量";
    fact_layers: "Layers", "层数";
    fact_hidden: "Width", "隐藏维度";
    fact_vocab: "Vocabulary", "词表大小";
    fact_context: "Context", "上下文长度";
    no_template: "The model has no chat template: conversations cannot be rendered, plain texts can be learnt.", "该模型没有对话模板：无法渲染对话，但可以学习纯文本。";
    cached: "In the browser's storage", "浏览器存储中的模型";
    storage: "{used} of {quota} in use", "已用 {used}，共 {quota}";
    delete: "Delete", "删除";

    // Data.
    data: "Data", "数据";
    data_lead: "Rows with text, with prompt and completion, or with messages; for a classifier with text and label, or with tokens and tags. A sample set comes with the page.", "每行数据含 text、prompt 与 completion，或 messages；分类器则需 text 与 label，或 tokens 与 tags。本页自带一个示例数据集。";
    data_builtin: "Use the sample set", "使用示例数据集";
    data_drop: "Drop a .jsonl, .json, .csv, .tsv or .txt file here, or:", "将 .jsonl、.json、.csv、.tsv 或 .txt 文件拖放到此处，或者：";
    data_file: "Choose a file", "选择文件";
    data_validation: "Choose a file to evaluate on (optional)", "选择验证文件（可选）";
    data_without_validation: "Do without {file}", "不使用 {file}";
    data_reading: "Reading {file} …", "正在读取 {file}……";
    data_read: "{file} was read.", "{file} 已读取。";
    data_failed: "{file} could not be read.", "{file} 无法读取。";
    data_needs_model: "{file} will be read with the model's tokenizer, once there is a model.", "加载模型后，将用其分词器读取 {file}。";
    fact_rows: "Rows to train on", "训练行数";
    fact_validation_rows: "Rows to evaluate on", "验证行数";
    fact_tokens: "Tokens an epoch", "每轮词元数";
    fact_learnt: "Learnt", "参与学习";
    fact_classes: "Classes", "类别";
    numbers: "numbers", "数值";
    fact_truncated: "Cut off", "被截断";
    lengths: "Examples by their length in tokens: from {shortest} to {longest}; half have at most {median}, 95 % at most {percentile}.", "按词元数分布的样本：从 {shortest} 到 {longest}；一半不超过 {median}，95% 不超过 {percentile}。";
    fact_skipped: "Left out", "被跳过";
    bad_rows: "These lines are wrong:", "以下各行有误：";
    line: "line {line}: ", "第 {line} 行：";
    skipped_lines: "Left out, because nothing in them is to be learnt: lines {lines}.", "以下各行没有可学习的内容，已跳过：{lines}。";
    and_more: "… and {count} more", "……另有 {count} 个";
    preview: "The first rows, as tokens", "前几行的词元";
    legend_seen: "read", "只读";
    legend_learnt: "learnt", "学习";

    // Recipe.
    recipe: "Recipe", "训练方案";
    recipe_lead: "Names and defaults are those of PEFT and Transformers. An empty field is its default.", "名称和默认值与 PEFT、Transformers 相同。留空即为默认值。";
    recipe_start: "A run of a minute", "一分钟的示例";
    recipe_defaults: "PEFT's and Transformers' defaults", "PEFT 与 Transformers 的默认值";
    recipe_open: "Open a recipe file", "打开训练方案文件";
    paste: "Paste what you have", "粘贴已有的设置";
    paste_lead: "A Python script or notebook with LoraConfig(...), TrainingArguments(...) or SFTTrainer(...), adapter_config.json, or a configuration of LLaMA-Factory, mlx-lm, axolotl, TRL or torchtune. Nothing is executed.", "含 LoraConfig(...)、TrainingArguments(...) 或 SFTTrainer(...) 的 Python 脚本或笔记本、adapter_config.json，或 LLaMA-Factory、mlx-lm、axolotl、TRL、torchtune 的配置。不会执行任何代码。";
    paste_take: "Make a recipe of it", "生成训练方案";
    paste_left_out: "To know, with the line it is about ({count}):", "须知，附所在行号（{count}）：";
    lora: "LoRA", "LoRA";
    training: "Training", "训练";
    more: "More settings", "更多设置";
    default: "Default:", "默认值：";
    not_here: "Not in the page: {reason}.", "网页不支持：{reason}。";
    to_default: "Back to the default", "恢复默认值";
    unhonoured: "The page does not honour all of this recipe:", "网页不支持此训练方案的全部设置：";
    ignored_here: "{setting} = {value} has no effect in the page: {reason}", "{setting} = {value} 在网页中不起作用：{reason}";
    refused_here: "{setting} = {value} cannot be used in the page: {reason}", "{setting} = {value} 不能在网页中使用：{reason}";
    trainable: "Trainable parameters", "可训练参数";
    steps: "Optimizer steps", "优化步数";
    steps_warmup: "{steps} ({warmup} warm-up)", "{steps}（预热 {warmup}）";
    effective_batch: "Rows a step", "每步行数";
    memory: "Memory", "显存";
    about: "about {size}", "约 {size}";
    memory_less: "To need less: {ways}.", "若要更省：{ways}。";
    memory_parts: "For rows of full length: model {weights}, adapter and optimizer {learning}, activations {activations}, scratch {scratch}.", "按行长取最大值估计：模型 {weights}，适配器与优化器 {learning}，激活 {activations}，临时 {scratch}。";
    buffer_too_large: "A single tensor may need {size}, and this device takes {limit} at most: lower max_length or the batch size.", "单个张量可能需要 {size}，而此设备上限为 {limit}：请减小 max_length 或批大小。";
    no_module: "target_modules names no module of this model.", "target_modules 没有匹配到该模型的任何模块。";

    // Run.
    run: "Train", "训练";
    start: "Train", "开始训练";
    pause: "Pause", "暂停";
    go_on: "Go on", "继续";
    stop: "Stop", "停止";
    sample_prompt: "Ask the model now and then (optional)", "训练中定期提问（可选）";
    sample_every: "Every so many steps", "每隔多少步";
    sampled: "The model's answer after step {step}", "第 {step} 步后模型的回答";
    status_idle: "No run yet.", "尚未训练。";
    status_starting: "Starting. The first step takes longer: the GPU's programs are compiled.", "正在启动。第一步较慢：需要编译 GPU 程序。";
    status_running: "Running.", "正在训练。";
    status_paused: "Paused.", "已暂停。";
    status_stopping: "Stopping after this step.", "将在本步后停止。";
    status_failed: "The run failed.", "训练失败。";
    status_stopped: "Stopped after {steps} steps. What was learnt is kept.", "已在 {steps} 步后停止，学到的内容已保留。";
    status_finished: "Finished: {steps} steps, mean loss {loss}. Try it, and take it home.", "完成：{steps} 步，平均损失 {loss}。可以试用并下载。";
    interrupted: "A run was cut off at step {step} of {total}. It can go on from there.", "有一次训练在第 {step}/{total} 步中断，可以从那里继续。";
    resume: "Go on with it", "继续该训练";
    discard: "Forget it", "放弃";
    step: "Step", "步";
    loss: "Loss", "损失";
    eval_loss: "Evaluation loss", "验证损失";
    accuracy: "Accuracy", "准确率";
    perplexity: "Perplexity", "困惑度";
    learning_rate: "Learning rate", "学习率";
    grad_norm: "Gradient norm", "梯度范数";
    speed: "Tokens a second", "词元/秒";
    eta: "Time left", "剩余时间";
    memory_now: "Memory at its peak", "内存峰值";
    gpu_memory_now: "GPU memory", "显存";
    chart_label: "{title}: from {from} to {to} in {steps} steps", "{title}：{steps} 步内从 {from} 到 {to}";
    chart_empty: "nothing yet", "暂无数据";
    log: "Log", "日志";
    log_started: "{rows} rows, {steps} steps of {batch} rows, {warmup} of them warm-up; {trainable} parameters learn ({share})", "{rows} 行，{steps} 步，每步 {batch} 行，其中预热 {warmup} 步；{trainable} 个参数参与学习（{share}）";
    log_step: "step {step}/{total} · loss {loss} · lr {rate} · grad norm {norm} · {speed} tokens/s", "第 {step}/{total} 步 · 损失 {loss} · 学习率 {rate} · 梯度范数 {norm} · {speed} 词元/秒";
    log_evaluated: "step {step} · evaluation loss {loss}", "第 {step} 步 · 验证损失 {loss}";
    log_measured: " · {name} {value}", " · {name} {value}";
    log_sampled: "step {step} · the model says: {text}", "第 {step} 步 · 模型回答：{text}";
    log_saved: "step {step} · saved: {place}", "第 {step} 步 · 已保存：{place}";
    log_saved_end: "the adapter", "适配器";
    log_finished: "finished: {steps} steps, mean loss {loss}, {time}, {speed} tokens/s, memory {memory}", "完成：{steps} 步，平均损失 {loss}，用时 {time}，{speed} 词元/秒，内存 {memory}";
    log_stopped: "stopped: {steps} steps, mean loss {loss}, {time}, {speed} tokens/s, memory {memory}", "停止：{steps} 步，平均损失 {loss}，用时 {time}，{speed} 词元/秒，内存 {memory}";

    // Try.
    try_it: "Try", "试用";
    prompt: "Say something to the model", "对模型说点什么";
    text_to_classify: "A text to classify; of a pair, the second stands behind a tab", "要分类的文本；若为文本对，第二段写在制表符之后";
    answer_length: "Longest answer, in tokens", "回答的最大词元数";
    stop_text: "A text that ends the answer", "结束回答的文本";
    no_number: "{name} must be a number.", "{name} 必须是数字。";
    answer: "Answer", "回答";
    answering: "Answering …", "正在回答……";
    without: "Without the adapter", "不带适配器";
    with: "With the adapter", "带适配器";
    no_adapter: "There is no adapter yet: train one first.", "还没有适配器，请先训练。";

    // Download and share.
    share: "Download and share", "下载与分享";
    download_lead: "The adapter, in the form of the program that is to read it. A zip of PEFT's has the recipe, the log and a model card too.", "以目标程序的格式下载适配器。PEFT 的压缩包还含训练方案、日志和模型卡。";
    download_as: "Download the adapter as", "将适配器下载为";
    download_adapter: "Download", "下载";
    download_going: "Preparing …", "正在准备……";
    download_peft: "peft: as trained, for PEFT and vLLM (.zip)", "peft：训练所得，适用于 PEFT 和 vLLM（.zip）";
    download_peft_folded: "peft, folded: one rank and one scale (.zip)", "peft，折叠：统一的秩与缩放（.zip）";
    download_gguf_lora: "gguf-lora: for llama.cpp and LM Studio (.gguf)", "gguf-lora：适用于 llama.cpp 和 LM Studio（.gguf）";
    download_mlx: "mlx: for mlx-lm (.zip)", "mlx：适用于 mlx-lm（.zip）";
    download_ollama: "ollama: a Modelfile with its adapter (.zip)", "ollama：Modelfile 与适配器（.zip）";
    download_merged: "merged: base and adapter in one, a Hugging Face folder (.zip)", "merged：基座与适配器合一的 Hugging Face 文件夹（.zip）";
    download_gguf: "gguf: base and adapter in one, for llama.cpp, Ollama and LM Studio (.gguf)", "gguf：基座与适配器合一，适用于 llama.cpp、Ollama 和 LM Studio（.gguf）";
    dtype_own: "own: as the base's", "own：与基座相同";
    download_refused: "{kind} is not offered: {reason}", "无法提供 {kind}：{reason}";
    download_recipe: "Recipe (.toml)", "训练方案（.toml）";
    download_log: "Log (.jsonl)", "日志（.jsonl）";
    not_saved: "The browser did not let the file be saved.", "浏览器未能保存文件。";
    link: "Link to this recipe", "此训练方案的链接";
    link_lead: "The link holds the whole recipe, and no data and no model. Whoever opens it sees this form filled in; nothing starts by itself.", "链接包含完整的训练方案，不含数据和模型。打开链接只会填好表单，不会自动开始任何操作。";
    copy: "Copy link", "复制链接";
    copied: "Copied.", "已复制。";
    copy_by_hand: "The browser does not let the page copy: the link is selected, copy it by hand.", "浏览器不允许页面复制：链接已选中，请手动复制。";
    bad_link: "The link's recipe cannot be used: {error}. The form is as it was.", "链接中的训练方案无法使用：{error}。表单保持不变。";
    link_while_running: "A run is going on: the link's recipe is left aside.", "训练正在进行，已忽略链接中的训练方案。";
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<&str> {
        let mut names: Vec<_> = text.split('{').skip(1).filter_map(|part| part.split('}').next()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn every_language_has_the_same_places_for_values() {
        for (name, english, chinese) in PAIRS {
            assert_eq!(names(english), names(chinese), "{name}");
            assert!(!english.is_empty() && !chinese.is_empty(), "{name}");
        }
    }

    #[test]
    fn what_is_filled_in_is_not_looked_at_again() {
        assert_eq!(fill("{a} and {b}", &[("a", &"{b}"), ("b", &2)]), "{b} and 2");
        assert_eq!(fill("{unknown} { {a}", &[("a", &1)]), "{unknown} { 1");
        assert_eq!(fill("", &[]), "");
    }

    #[test]
    fn a_browser_s_language_is_understood() {
        let language = |code| Language::from_code(code);
        assert_eq!(
            [language("zh-Hans-CN"), language("en-GB"), language("fr")],
            [Some(Language::Chinese), Some(Language::English), None]
        );
        assert!(Language::ALL.iter().all(|known| language(known.code()) == Some(*known)));
    }
}
