//! Python that is made to break its reader: deep nesting, endless chains, values that double, much of everything. Each is read, or refused with a
//! place, in a stack of one megabyte and in linear time.

use std::time::{Duration, Instant};

use lorelei_recipe::{Imported, RecipeError};

const RUN: &str = "LoraConfig(r=4)\n";

/// Imports a text in a thread with the stack of a browser's worker.
fn import(text: String) -> (Result<Imported, RecipeError>, Duration) {
    let read = move || {
        let start = Instant::now();
        (Imported::from_text(&text, "f.py"), start.elapsed())
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(read).unwrap().join().unwrap()
}

#[test]
fn deep_nesting_is_refused_with_its_place() {
    let many = 100_000;
    for deep in [
        "(".repeat(many),
        "[".repeat(many),
        "{".repeat(many),
        "x[".repeat(many),
        "f(".repeat(many),
        "(((a, [{".repeat(many / 8),
        format!("x = {}1", "-".repeat(many)),
        format!("x = {}1", "not ".repeat(many)),
        format!("x = {}1", "lambda: ".repeat(many)),
        format!("x = {}1", "lambda a, b: ".repeat(many / 2)),
        format!("x = a{}", ".b".repeat(many)),
        format!("x = a{}", "()".repeat(many)),
        format!("x = a{}", "[0]".repeat(many)),
        format!("x = 1{}", " + 1".repeat(many)),
        format!("x = 1{}", "**1".repeat(many)),
        format!("x = 1{}", " if a else 1".repeat(many / 2)),
        format!("x = {}", "await ".repeat(many)),
        "f\"{".repeat(many),
        "async ".repeat(many),
        format!("({}", "lambda a, b: (".repeat(many / 4)),
    ] {
        let shown = deep[..20].to_owned();
        let (result, took) = import(format!("{RUN}{deep}\n"));
        let error = result.expect_err(&shown).to_string();
        assert!(error.starts_with("f.py:2:"), "{shown}: {error}");
        assert!(took < Duration::from_secs(20), "{shown}: {took:?}");
    }
}

#[test]
fn indentation_is_bounded_too_and_within_brackets_that_are_left_open() {
    let blocks = |opened: &str, head: &str| {
        let lines: Vec<String> = (0..1300).map(|depth| format!("{}{head}\n", " ".repeat(depth))).collect();
        format!("{RUN}{opened}{}", lines.concat())
    };
    for text in [
        blocks("", "if a:"),
        blocks("(\n", "if a, b:"),
        blocks("x = [\n", "with a, b:"),
        blocks("", "def f():"),
        blocks("", "class A:"),
    ] {
        assert!(import(text).0.unwrap_err().line > 1);
    }
}

#[test]
fn what_is_as_deep_as_allowed_is_read() {
    for text in [
        format!("x = {}1{}\n{RUN}", "[".repeat(190), "]".repeat(190)),
        format!("x = 1{}\n{RUN}", " + 1".repeat(190)),
        format!("x = a{}\n{RUN}", ".b()".repeat(60)),
        format!("x = {}1\n{RUN}", "not ".repeat(190)),
        format!("x = {}1\n{RUN}", "lambda: ".repeat(190)),
        format!("{}1{}\n{RUN}", "f(".repeat(180), ")".repeat(180)),
        (0..95).map(|depth| format!("{}if a:\n", " ".repeat(depth))).collect::<String>()
            + &format!("{}pass\n{RUN}", " ".repeat(95)),
    ] {
        let imported = import(text.clone()).0.unwrap();
        assert_eq!(imported.recipe.lora.r, 4, "{text}");
    }
}

#[test]
fn much_of_everything_takes_linear_time() {
    let flat = |line: &str, times: usize| format!("{RUN}{}", line.repeat(times));
    let numbered = |times: usize, line: &dyn Fn(usize) -> String| {
        format!("{RUN}{}", (0..times).map(line).collect::<String>())
    };
    for text in [
        format!("{RUN}if a:\n  pass\n{}", "elif a:\n  pass\n".repeat(60_000)),
        flat("x = x.map(f)\n", 70_000),
        flat("args.learning_rate = 1\n", 40_000),
        format!("args = TrainingArguments('o')\n{}{RUN}", "args.learning_rate = 1\n".repeat(40_000)),
        flat("LoraConfig(r=8, lora_alpha=16)\n", 30_000),
        flat("TrainingArguments('o', learning_rate=lr)\n", 20_000),
        flat("from settings import *\n", 40_000),
        flat("for d in e: d['a'] = 1\n", 40_000),
        numbered(20_000, &|at| format!("def f{at}(x):\n  return f{}(x)\n", at + 1)),
        numbered(20_000, &|at| format!("x{at} = [x{}, x{}]\n", at.max(1) - 1, at.max(1) - 1)),
        numbered(20_000, &|at| format!("s{at} = s{} + s{}\n", at.max(1) - 1, at.max(1) - 1)),
        numbered(20_000, &|at| format!("d{at} = {{**d{}, 'k{at}': 1}}\n", at.max(1) - 1)),
        numbered(20_000, &|at| format!("if a: o{at} = F()\nelse: o{at} = G()\n")),
        format!("LoraConfig(r=4, {})", "a=1, ".repeat(100_000)),
        format!(
            "d = {{{}}}\nLoraConfig(r=4, {})",
            (0..2000).map(|at| format!("'k{at}': 1, ")).collect::<String>(),
            "**d, ".repeat(50_000)
        ),
        format!("{RUN}x = [{}]", "LoraConfig(r=1), ".repeat(30_000)),
        format!("{RUN}x = 'a' {}", "'b' ".repeat(100_000)),
        format!("{RUN}x = a and {}", "a and ".repeat(60)),
        format!("{RUN}x = 10{}", " ** 10".repeat(60)),
        format!("{RUN}x = 'a' * 1000000000\ny = [0] * 1000000000\nz = 1 << 60 << 60\n"),
        format!("{RUN}x = {}\n", "9".repeat(100_000)),
    ] {
        let shown: String = text.chars().skip(RUN.len()).take(60).collect();
        let (result, took) = import(text);
        assert!(took < Duration::from_secs(30), "{shown}: {took:?}");
        // Whatever it is, it is said in few lines, and is no panic.
        if let Ok(imported) = result {
            assert!(imported.left_out.len() <= 1200, "{shown}: {}", imported.left_out.len());
        }
    }
}

#[test]
fn bytes_of_all_kinds_do_not_panic() {
    for text in [
        "LoraConfig(r=4\u{0})",
        "LoraConfig(r=4)\u{feff}",
        "LoraConfig(r=4, lora_alpha='é\u{1F600}', **\u{1F600})",
        "LoraConfig(r=4, target_modules=['\\N{SNOWMAN}', '\\x41', '\\ud800', '\\777'])",
        "LoraConfig(r=0x10, lora_alpha=0b11, lora_dropout=1e-400, bias=b'none')",
        "LoraConfig(r=9999999999999999999999)",
        "LoraConfig(r=4, lora_dropout=1e999)",
        "LoraConfig(r=4, lora_dropout=float('nan'))",
        "LoraConfig(r=4 lora_alpha=8",
        "LoraConfig(r=4)\n    indented = 1\n  dedented = 2\n",
        "%%\n%\n!\n?\nLoraConfig(r=4)?",
        "LoraConfig(*, **, =, r=4)",
        "class LoraConfig\nLoraConfig(r=4)",
        "LoraConfig(r=4).r = 5 = 6",
        "del LoraConfig(r=4), x[, y.",
        "print 'python 2'\nLoraConfig(r=4)",
    ] {
        let _ = Imported::from_text(text, "f.py");
        let _ = Imported::from_text(&text.replace('\n', "\r\n"), "f.py");
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
            let _ = Imported::from_text(&text[..end], "f.py");
        }
    }
}

#[test]
fn fields_are_copied_within_bounds() {
    let fields: String = (0..900).map(|number| format!("    field_{number}: int = {number}\n")).collect();
    let class = format!("class A:\n{fields}    def run(self): pass\n");
    let many =
        |each: &str| (0..15_000).map(|number| each.replace('#', &number.to_string())).collect::<String>();
    let options: String =
        (0..900).map(|number| format!("p.add_argument('--o{number}', default=1)\n")).collect();
    for text in [
        format!("{class}{}", many("class B#(A): x: int = 1\n")),
        format!("{class}{}", many("b# = A()\n")),
        format!("{class}a = A()\n{}", many("b# = vars(a)\n")),
        format!("p = ArgumentParser()\n{options}{}", many("a# = p.parse_args()\n")),
        format!("a = SimpleNamespace()\n{}", many("a.x# = 1\n")),
    ] {
        let (result, took) = import(format!("{text}{RUN}"));
        assert_eq!(result.unwrap().recipe.lora.r, 4);
        assert!(took < Duration::from_secs(30), "{took:?}: {}", &text[..20]);
    }
    // Of what is beyond, nothing is taken for certain.
    let fields: String = (0..2000).map(|number| format!("a.x{number} = {number}\n")).collect();
    let (result, _) = import(format!("a = SimpleNamespace(r=1)\n{fields}LoraConfig(r=a.r, lora_alpha=8)\n"));
    assert_eq!(result.unwrap().left_out[0].key, "r");
}

/// The library's parser panics on a command of IPython where it expects an expression, which takes a bracket that another kind closes.
#[test]
fn commands_behind_brackets_of_another_kind_are_read() {
    for sign in [",", ";", "/", "?", "??", "%", "!", "%%", "!!"] {
        for broken in ["Trainer(}", "Trainer([}", "x = [)", "x = {(]", "f(a, b=}", "x = (\u{20ac}", "x = }"] {
            for text in [
                format!("{broken}\n{sign}"),
                format!("{broken}\n{sign}pip install x\n{RUN}"),
                format!("{RUN}{broken}\n  {sign}a\n"),
            ] {
                // None of them panics; some have nothing that is read.
                let _ = Imported::from_text(&text, "f.py");
            }
        }
    }
    // A cell that is no Python does not cost what the others say, nor their magics.
    let text = format!("%pip install peft\n!ls\nx = (1]\n\n{RUN}");
    assert_eq!(Imported::from_text(&text, "f.py").unwrap().recipe.lora.r, 4);
}
