//! Parts of sentences that several crates use.

super::words! {
    "{place}: {message}" => "{place}：{message}";
    "{message} ({source})" => "{message}（{source}）";
    "{message}; {help}" => "{message}；{help}";
    "{message}; {why}" => "{message}；{why}";
    "{problem} ({help})" => "{problem}（{help}）";
    "line {line}" => "第 {line} 行";
    "null" => "null";
    "empty" => "空";
    "none" => "无";
    "nothing" => "空值";
    "a boolean" => "布尔值";
    "a number" => "数字";
    "a string" => "字符串";
    "a text" => "文本";
    "an integer" => "整数";
    "a list" => "列表";
    "a table" => "表";
    "an array" => "数组";
    "an object" => "对象";
    "an array of integers" => "整数数组";
    "a number or a name" => "数字或名称";
    "a string or an array of messages" => "字符串或消息数组";
    "the model" => "模型";
    "the program" => "程序";
    "the page" => "网页";
    "the CPU" => "CPU";
    "{name} must be {expected}, found {found}" => "{name} 必须是{expected}，实际是{found}";
    "{name} must be {expected}" => "{name} 必须是{expected}";
    "{name} is empty" => "{name} 为空";
    "{name} has no {part}" => "{name} 缺少 {part}";
}
