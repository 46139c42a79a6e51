//! `[model]`: the base model and the adapter to start from.

use crate::choice::choices;
use crate::kind::Kind;
use crate::setting::settings;
use crate::{RecipeError, message};

settings! {
    /// The model to train.
    pub struct ModelSection in Model {
        /// A folder, a GGUF file, a hub id (`owner/name`, or `owner/name@revision`), or `builtin:tiny`. A run needs one.
        #[serde(skip_serializing_if = "Option::is_none")]
        model_name_or_path: Option<String> = None => Kind::Text
            .zh("文件夹、GGUF 文件、模型 ID（owner/name 或 owner/name@revision），或 builtin:tiny。训练必须指定。")
            .advice(
                "For chat, begin from an instruct model: its template and end token are already learnt.",
                "用于对话时，从指令模型开始：它已学会模板和结束词元。",
            )
            .ours()
            .chosen();
        /// An adapter to go on from: a folder with `adapter_config.json`, or a hub id.
        #[serde(skip_serializing_if = "Option::is_none")]
        adapter_name_or_path: Option<String> = None => Kind::Text
            .zh("作为起点的适配器：含 adapter_config.json 的文件夹，或模型 ID。")
            .ours()
            .refused_by_page("it cannot load an adapter to go on from yet", "网页中还不能加载作为起点的适配器");
        /// How the frozen weights are kept on the device: `auto` keeps a GGUF file's blocks packed where they can be
        /// computed on, `float32` unpacks them.
        dtype: ModelDtype = ModelDtype::Auto => ModelDtype::KIND
            .zh("冻结的权重在设备上的存储方式：auto 在可以直接计算时保持 GGUF 文件的分块，float32 则将其展开。");
    }
}

impl ModelSection {
    /// Returns the model's name, which a run needs.
    ///
    /// # Errors
    /// If the recipe names none.
    pub fn name(&self) -> Result<&str, RecipeError> {
        self.model_name_or_path.as_deref().ok_or_else(|| {
            RecipeError::new("model.model_name_or_path", message!("the recipe names no model")).with_help(message!(
                "give model.model_name_or_path: a folder, a .gguf file, a hub id, or \"builtin:tiny\", which comes along"
            ))
        })
    }
}

choices! {
    /// How the frozen weights are kept on the device.
    #[derive(Default)]
    pub enum ModelDtype {
        /// As the file has them, where they can be computed on; else float32.
        #[default]
        Auto = "auto",
        /// 4 bytes a weight.
        Float32 = "float32",
    }
    later ["float16", "bfloat16"]
}
