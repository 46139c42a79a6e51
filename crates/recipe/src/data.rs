//! `[data]`: the examples, and how they become sequences.

use std::collections::BTreeMap;

use crate::choice::choices;
use crate::kind::{Kind, PERCENTAGE};
use crate::setting::settings;

/// Endings of the names of files of rows.
pub const DATA_FILE_ENDINGS: [&str; 11] =
    ["jsonl", "ndjson", "json", "csv", "tsv", "txt", "text", "parquet", "arrow", "ipc", "feather"];

/// Endings that a compressed file's name may have after that.
pub const COMPRESSED_ENDINGS: [&str; 3] = ["gz", "zst", "zstd"];

settings! {
    /// The examples to train on. File names are Transformers' example scripts' (`train_file`, `validation_file`), lengths
    /// and packing are TRL's.
    pub struct DataSection in Data {
        /// Examples: JSONL, JSON (one array), CSV or TSV (the first line names the columns), text, Parquet or Arrow, also
        /// inside gzip or zstd; natively also a folder or a glob of them.
        #[serde(skip_serializing_if = "Option::is_none")]
        train_file: Option<String> = None => Kind::Text
            .zh("样本：JSONL、JSON（一个数组）、CSV 或 TSV（首行为列名）、文本、Parquet 或 Arrow，可用 gzip 或 zstd 压缩；命令行中也可以是文件夹或通配符。")
            .chosen()
            .free_on_resume();
        /// Examples for evaluation, in any of the same formats.
        #[serde(skip_serializing_if = "Option::is_none")]
        validation_file: Option<String> = None => Kind::Text.zh("用于验证的样本，格式同上。").chosen().free_on_resume();
        /// Percentage of the examples set aside for evaluation when there is no `validation_file`.
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "crate::number::whole_option")]
        validation_split_percentage: Option<f64> = None => Kind::Number(PERCENTAGE)
            .zh("没有 validation_file 时，留作验证的样本百分比。")
            .advice(
                "5 to 10. When the loss on the rows held out rises while the training loss falls, stop: the adapter learns by heart.",
                "5 到 10。若留出行的损失上升而训练损失下降，应停止：适配器在死记硬背。",
            )
            .upstream("5")
            .shown_first();
        /// Longest sequence, in tokens; what is beyond is cut off.
        max_length: usize = 1024 => Kind::Int { min: 2, max: 1 << 20 }
            .zh("序列的最大长度，以词元计；超出的部分被截断。")
            .advice(
                "The shortest that holds most of your rows: memory and time grow with it. What is cut off is not learnt.",
                "取能容纳大多数行的最短长度：内存和时间随之增长，被截断的部分不参与学习。",
            )
            .shown_first();
        /// Whether several short examples share a sequence.
        packing: bool = false => Kind::Bool
            .zh("是否将多个短样本放入同一序列。")
            .advice(
                "On for many short rows: padding costs as much as tokens. No row sees another.",
                "短行多时开启：填充与词元的代价相同。各行互不可见。",
            )
            .shown_first();
        /// Whether each epoch takes the examples in a new order.
        shuffle: bool = true => Kind::Bool.zh("每轮是否打乱样本顺序。").ours().shown_first();
        /// Which column of the file each field of a row is: `prompt = "question"`. Empty finds them by their usual names.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        columns: BTreeMap<String, String> = {} => Kind::Columns
            .zh("行的各字段对应文件中的哪一列：prompt = \"question\"。留空则按常用名称查找。")
            .ours();
        /// What a row that cannot be used does: it stops the run before it begins, or is left out and counted.
        on_bad_row: OnBadRow = OnBadRow::Error => OnBadRow::KIND
            .zh("无法使用的行：在开始前停止运行，或跳过并计数。")
            .advice(
                "Begin with `error`: it shows what is wrong. `skip` for data that is known to be untidy.",
                "先用 error：它会指出问题所在。已知杂乱的数据可用 skip。",
            )
            .ours()
            .free_on_resume();
        /// What a row of a text file is: a line, what stands between blank lines, or `max_length` tokens of the whole.
        sample_by: SampleBy = SampleBy::Line => SampleBy::KIND
            .zh("文本文件中的一行样本：一行、空行之间的一段，或整个文件中的 max_length 个词元。");
        /// Whether only the assistant's turns of a conversation are learnt.
        assistant_only_loss: bool = true => Kind::Bool.zh("对话中是否只学习助手的回合。").upstream("false");
        /// Whether of a prompt and its completion only the second is learnt.
        completion_only_loss: bool = true => Kind::Bool.zh("提示与补全中是否只学习后者。").upstream("null");
        /// Whether of rows with the same tokens only the first is kept.
        deduplicate: bool = false => Kind::Bool.zh("词元相同的行是否只保留第一行。").ours();
        /// The side on which longer rows are cut.
        truncation_side: TruncationSide = TruncationSide::Right => TruncationSide::KIND
            .zh("过长的行从哪一侧截断。")
            .advice(
                "`left` for long conversations, where the last answer matters most; else `right`.",
                "最后的回答最重要的长对话用 left；否则用 right。",
            );
        /// Batches are padded to a multiple of so many tokens.
        #[serde(skip_serializing_if = "Option::is_none")]
        pad_to_multiple_of: Option<usize> = None => Kind::Int { min: 1, max: 8192 }
            .zh("批次填充到此数的倍数（以词元计）。")
            .advice(
                "8, 16 or 64 can be faster on a GPU, where lengths vary.",
                "长度不一时，8、16 或 64 在 GPU 上可能更快。",
            );
    }
}

choices! {
    /// What a row that cannot be used does to the run.
    #[derive(Default)]
    pub enum OnBadRow {
        /// It stops the run before it begins.
        #[default]
        Error = "error",
        /// It is left out and counted.
        Skip = "skip",
    }
}

choices! {
    /// What a row of a text file is, as in `datasets`' text loader.
    #[derive(Default)]
    pub enum SampleBy {
        /// A line.
        #[default]
        Line = "line",
        /// What stands between blank lines.
        Paragraph = "paragraph",
        /// The whole file: one stream of tokens, cut into sequences of `max_length`.
        Document = "document",
    }
}

choices! {
    /// A side of a row of tokens.
    #[derive(Default)]
    pub enum TruncationSide {
        /// The first tokens go.
        Left = "left",
        /// The last tokens go.
        #[default]
        Right = "right",
    }
}
