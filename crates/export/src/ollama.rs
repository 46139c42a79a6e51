//! An Ollama Modelfile: the base, the adapter, the chat template in Go's language, and the texts at which an answer stops.
//!
//! A model's own template is a Jinja program, and Ollama's are Go's. A template is recognised by what it says: it formats a few conversations, and
//! the family whose form gives the same texts is the model's. One that gives others is said to be unknown, and the Modelfile leaves it to the base.

use lorelei_recipe::{Message, message};

/// A turn of a conversation: role and content.
pub type Turn<'a> = (&'a str, &'a str);

/// A family of chat templates.
struct Family {
    name: &'static str,
    /// Texts before and after the content of a turn of the system, the user and the assistant. A family that joins the system's text to the first
    /// user's turn has it between the user's marks; `None` if it has no place for it.
    system: System,
    user: (&'static str, &'static str),
    assistant: (&'static str, &'static str),
    /// Text at which an answer begins.
    prompt: &'static str,
    /// Texts at which an answer stops.
    stops: &'static [&'static str],
}

/// Place of the system's text.
enum System {
    /// A turn of its own.
    Turn(&'static str, &'static str),
    /// Inside the first user's turn: marks around it, before the user's text.
    InUser(&'static str, &'static str),
    /// There is none.
    None,
}

const FAMILIES: [Family; 12] = [
    Family {
        name: "ChatML",
        system: System::Turn("<|im_start|>system\n", "<|im_end|>\n"),
        user: ("<|im_start|>user\n", "<|im_end|>\n"),
        assistant: ("<|im_start|>assistant\n", "<|im_end|>\n"),
        prompt: "<|im_start|>assistant\n",
        stops: &["<|im_start|>", "<|im_end|>"],
    },
    Family {
        name: "Llama 3",
        system: System::Turn("<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"),
        user: ("<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"),
        assistant: ("<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"),
        prompt: "<|start_header_id|>assistant<|end_header_id|>\n\n",
        stops: &["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    },
    Family {
        name: "Gemma",
        system: System::InUser("", "\n\n"),
        user: ("<start_of_turn>user\n", "<end_of_turn>\n"),
        assistant: ("<start_of_turn>model\n", "<end_of_turn>\n"),
        prompt: "<start_of_turn>model\n",
        stops: &["<start_of_turn>", "<end_of_turn>"],
    },
    Family {
        name: "Gemma without a system's text",
        system: System::None,
        user: ("<start_of_turn>user\n", "<end_of_turn>\n"),
        assistant: ("<start_of_turn>model\n", "<end_of_turn>\n"),
        prompt: "<start_of_turn>model\n",
        stops: &["<start_of_turn>", "<end_of_turn>"],
    },
    Family {
        name: "Phi-3",
        system: System::Turn("<|system|>\n", "<|end|>\n"),
        user: ("<|user|>\n", "<|end|>\n"),
        assistant: ("<|assistant|>\n", "<|end|>\n"),
        prompt: "<|assistant|>\n",
        stops: &["<|end|>", "<|user|>", "<|assistant|>"],
    },
    Family {
        name: "Phi-4-mini",
        system: System::Turn("<|system|>", "<|end|>"),
        user: ("<|user|>", "<|end|>"),
        assistant: ("<|assistant|>", "<|end|>"),
        prompt: "<|assistant|>",
        stops: &["<|end|>", "<|user|>", "<|assistant|>"],
    },
    Family {
        name: "Zephyr",
        system: System::Turn("<|system|>\n", "</s>\n"),
        user: ("<|user|>\n", "</s>\n"),
        assistant: ("<|assistant|>\n", "</s>\n"),
        prompt: "<|assistant|>\n",
        stops: &["<|system|>", "<|user|>", "<|assistant|>", "</s>"],
    },
    Family {
        name: "Granite 3",
        system: System::Turn("<|start_of_role|>system<|end_of_role|>", "<|end_of_text|>\n"),
        user: ("<|start_of_role|>user<|end_of_role|>", "<|end_of_text|>\n"),
        assistant: ("<|start_of_role|>assistant<|end_of_role|>", "<|end_of_text|>\n"),
        prompt: "<|start_of_role|>assistant<|end_of_role|>",
        stops: &["<|start_of_role|>", "<|end_of_text|>"],
    },
    Family {
        name: "GLM-4",
        system: System::Turn("<|system|>\n", ""),
        user: ("<|user|>\n", ""),
        assistant: ("<|assistant|>\n", ""),
        prompt: "<|assistant|>\n",
        stops: &["<|system|>", "<|user|>", "<|assistant|>", "<|endoftext|>"],
    },
    Family {
        name: "GLM-4 without a line's end",
        system: System::Turn("<|system|>\n", ""),
        user: ("<|user|>\n", ""),
        assistant: ("<|assistant|>\n", ""),
        prompt: "<|assistant|>",
        stops: &["<|system|>", "<|user|>", "<|assistant|>", "<|endoftext|>"],
    },
    Family {
        name: "Mistral without a space",
        system: System::InUser("", "\n\n"),
        user: ("[INST] ", "[/INST]"),
        assistant: (" ", "</s>"),
        prompt: "",
        stops: &["[INST]", "[/INST]", "</s>"],
    },
    Family {
        name: "Mistral",
        system: System::InUser("", "\n\n"),
        user: ("[INST] ", " [/INST]"),
        assistant: (" ", "</s>"),
        prompt: "",
        stops: &["[INST]", "[/INST]", "</s>"],
    },
];

/// Text before the first turn that a family's templates may have.
const PREFIXES: [&str; 2] = ["", "[gMASK]<sop>"];

/// A template that was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OllamaTemplate {
    /// Name of the family.
    pub family: &'static str,
    /// The template in Go's language.
    pub template: String,
    /// Texts at which an answer stops.
    pub stops: Vec<String>,
}

impl Family {
    /// Formats a conversation, with the beginning of an answer, as the family does. Returns `None` if it has no place for a turn.
    fn format(&self, turns: &[Turn<'_>]) -> Option<String> {
        let mut text = String::new();
        let mut held = None;
        for (role, content) in turns {
            let (before, after) = match (*role, &self.system) {
                ("system", System::Turn(before, after)) => (*before, *after),
                ("system", System::InUser(before, after)) => {
                    held = Some(format!("{before}{content}{after}"));
                    continue;
                }
                ("user", _) => self.user,
                ("assistant", _) => self.assistant,
                _ => return None,
            };
            let system = held.take().unwrap_or_default();
            text.push_str(&format!("{before}{system}{content}{after}"));
        }
        text.push_str(self.prompt);
        Some(text)
    }

    /// Writes the family's template in Go's language. `default` is what the system says where a conversation has nothing of it.
    fn go(&self, prefix: &str, default: Option<&str>) -> String {
        let (user, assistant) = (self.user, self.assistant);
        let mut template = prefix.to_owned();
        let mut in_user = String::new();
        let mut turn = String::new();
        match &self.system {
            System::Turn(before, after) => {
                if let Some(words) = default {
                    template
                        .push_str(&format!("{{{{- if not .System }}}}{before}{words}{after}{{{{ end }}}}"));
                }
                turn =
                    format!("{{{{ if eq .Role \"system\" }}}}{before}{{{{ .Content }}}}{after}{{{{ end }}}}");
            }
            System::InUser(before, after) => {
                in_user = format!(
                    "{{{{ if and $.System (eq $i $first) }}}}{before}{{{{ $.System }}}}{after}{{{{ end }}}}"
                );
            }
            System::None => {}
        }
        let first = match in_user.is_empty() {
            true => String::new(),
            // The first turn is the user's, or the one after the system's.
            false => "{{- $first := 0 }}{{- if .System }}{{- $first = 1 }}{{- end }}".to_owned(),
        };
        format!(
            "{first}{template}{{{{- range $i, $_ := .Messages }}}}{turn}\
             {{{{ if eq .Role \"user\" }}}}{}{in_user}{{{{ .Content }}}}{}{{{{ end }}}}\
             {{{{ if eq .Role \"assistant\" }}}}{}{{{{ .Content }}}}{}{{{{ end }}}}{{{{ end }}}}{}",
            user.0, user.1, assistant.0, assistant.1, self.prompt
        )
    }
}

/// Recognises a chat template by what it makes of conversations. `format` formats one, with the beginning of an answer, as the model's template does,
/// without the token at the beginning of a text, which Ollama adds itself; it returns `None` if the template refuses it.
pub fn recognise_template(format: impl Fn(&[Turn<'_>]) -> Option<String>) -> Option<OllamaTemplate> {
    let (ask, answer, again, system) = ("Quest one?", "Reply two.", "Quest three?", "Rule four.");
    let one = format(&[("user", ask)])?;
    let more = format(&[("user", ask), ("assistant", answer), ("user", again)]);
    let ruled = format(&[("system", system), ("user", ask)]);
    let long = [("system", system), ("user", ask), ("assistant", answer), ("user", again)];
    let ruled_more = format(&long);
    PREFIXES.iter().find_map(|prefix| {
        let one = one.strip_prefix(prefix)?;
        FAMILIES.iter().find_map(|family| {
            let default = default_words(family, one, ask)?;
            let with = |turns: &[Turn<'_>]| {
                let turns: Vec<Turn<'_>> =
                    default.iter().map(|words| ("system", *words)).chain(turns.iter().copied()).collect();
                family.format(&turns).map(|text| format!("{prefix}{text}"))
            };
            let own = |turns: &[Turn<'_>]| family.format(turns).map(|text| format!("{prefix}{text}"));
            let is_same = more == with(&[("user", ask), ("assistant", answer), ("user", again)])
                && ruled == own(&[("system", system), ("user", ask)])
                && ruled_more == own(&long);
            is_same.then(|| OllamaTemplate {
                family: family.name,
                template: family.go(prefix, default),
                stops: family.stops.iter().map(|stop| (*stop).to_owned()).collect(),
            })
        })
    })
}

/// Returns what the system says by default in the text of one question: nothing, or words in its marks. Returns `None` if the text is not the
/// family's.
fn default_words<'t>(family: &Family, text: &'t str, ask: &str) -> Option<Option<&'t str>> {
    let plain = family.format(&[("user", ask)])?;
    let before = text.strip_suffix(&*plain)?;
    match (&family.system, before) {
        (_, "") => Some(None),
        (System::Turn(begin, end), before) => {
            let words = before.strip_prefix(begin)?.strip_suffix(end)?;
            // The words of a template's date would be those of today.
            let is_plain = !words.contains("{{") && !words.contains("\"\"\"") && !words.contains("Date");
            is_plain.then_some(Some(words))
        }
        _ => None,
    }
}

/// Writes a Modelfile for a base, as `FROM` names it, and the file of a GGUF adapter beside it. Returns the text, and notices for the user.
pub fn modelfile(
    base: &str,
    adapter_file: &str,
    template: Option<&OllamaTemplate>,
) -> (String, Vec<Message>) {
    let mut text = format!("FROM {base}\nADAPTER ./{adapter_file}\n");
    let Some(template) = template else {
        let notice = message!(
            "the model's chat template is none of the usual ones, and the Modelfile has none: Ollama uses that of the base that FROM names; if it differs from the one that was trained with, write it as TEMPLATE in Go's language"
        );
        return (text, vec![notice]);
    };
    text.push_str(&format!("TEMPLATE \"\"\"{}\"\"\"\n", template.template));
    for stop in &template.stops {
        text.push_str(&format!("PARAMETER stop {}\n", serde_json::Value::from(stop.as_str())));
    }
    (text, Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_recognises_itself() {
        for family in &FAMILIES {
            let found = recognise_template(|turns| family.format(turns)).map(|found| found.family);
            assert_eq!(found, Some(family.name));
        }
    }

    #[test]
    fn a_default_of_the_system_is_kept() {
        let chatml = &FAMILIES[0];
        let format = |turns: &[Turn<'_>]| {
            let says = turns.first().is_some_and(|turn| turn.0 == "system");
            let mut all = turns.to_vec();
            if !says {
                all.insert(0, ("system", "You are kind."));
            }
            chatml.format(&all)
        };
        let found = recognise_template(format).unwrap();
        let begin = "{{- if not .System }}<|im_start|>system\nYou are kind.<|im_end|>\n{{ end }}";
        assert!(found.template.starts_with(begin), "{}", found.template);
    }

    #[test]
    fn a_template_with_something_of_its_own_is_unknown() {
        let chatml = &FAMILIES[0];
        assert_eq!(recognise_template(|turns| chatml.format(turns).map(|text| text + "<think>\n")), None);
        assert_eq!(
            recognise_template(|turns| chatml.format(turns).map(|text| format!("Hello. {text}"))),
            None
        );
        // One that drops the system's words.
        let drops = |turns: &[Turn<'_>]| {
            chatml.format(&turns.iter().copied().filter(|turn| turn.0 != "system").collect::<Vec<_>>())
        };
        assert_eq!(recognise_template(drops), None);
        let (text, notices) = modelfile("./base.gguf", "adapter.gguf", None);
        assert_eq!(text, "FROM ./base.gguf\nADAPTER ./adapter.gguf\n");
        assert!(notices[0].contains("none of the usual ones"));
    }

    #[test]
    fn a_modelfile_by_hand() {
        let template = recognise_template(|turns| FAMILIES[0].format(turns)).unwrap();
        let (text, notices) = modelfile("smollm2:135m", "adapter.gguf", Some(&template));
        assert!(notices.is_empty());
        let wanted = "FROM smollm2:135m\nADAPTER ./adapter.gguf\nTEMPLATE \"\"\"{{- range $i, $_ := .Messages }}\
                      {{ if eq .Role \"system\" }}<|im_start|>system\n{{ .Content }}<|im_end|>\n{{ end }}\
                      {{ if eq .Role \"user\" }}<|im_start|>user\n{{ .Content }}<|im_end|>\n{{ end }}\
                      {{ if eq .Role \"assistant\" }}<|im_start|>assistant\n{{ .Content }}<|im_end|>\n{{ end }}{{ end }}\
                      <|im_start|>assistant\n\"\"\"\nPARAMETER stop \"<|im_start|>\"\nPARAMETER stop \"<|im_end|>\"\n";
        assert_eq!(text, wanted);
    }
}
