//! The files of a model's folder that are read, by their paths.

/// Subfolders of a model's folder that are read: Hugging Face keeps the chat templates that have a name of their own in one.
const SUBFOLDERS: [&str; 1] = ["additional_chat_templates"];

/// Returns a file's path in the chosen folder. `relative` is its `webkitRelativePath`: `folder/config.json` for a file of a picked folder, else empty.
pub fn path(relative: &str, name: &str) -> String {
    relative.split_once('/').map_or(name, |(_, path)| path).to_owned()
}

/// Whether a file is one of the folder itself, or of a subfolder that is read.
pub fn is_read(path: &str) -> bool {
    path.rsplit_once('/').is_none_or(|(folder, _)| is_subfolder(folder))
}

/// Whether a subfolder is read.
pub fn is_subfolder(folder: &str) -> bool {
    SUBFOLDERS.contains(&folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_s_own_files_and_its_named_templates_are_read() {
        let read = |relative: &str, name: &str| Some(path(relative, name)).filter(|path| is_read(path));
        assert_eq!(read("", "model.gguf").as_deref(), Some("model.gguf"));
        assert_eq!(read("my model/config.json", "config.json").as_deref(), Some("config.json"));
        assert_eq!(
            read("m/additional_chat_templates/tool_use.jinja", "tool_use.jinja").as_deref(),
            Some("additional_chat_templates/tool_use.jinja")
        );
        for other in ["m/onnx/config.json", "m/.cache/a/config.json", "m/x/additional_chat_templates/a.jinja"]
        {
            assert_eq!(read(other, "config.json"), None, "{other}");
        }
    }
}
