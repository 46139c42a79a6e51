//! Random Python: what is taken from it has the value that an interpreter of its own gives, and a name's value is taken only if every way that the
//! script may run gives it.

use std::collections::BTreeMap;

use lorelei_recipe::Imported;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// A literal, or arithmetic of such.
#[derive(Debug, Clone)]
enum Expr {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Binary(Box<Expr>, &'static str, Box<Expr>),
    Compare(Box<Expr>, &'static str, Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    Minus(Box<Expr>),
    If(Box<Expr>, Box<Expr>, Box<Expr>),
    Call(&'static str, Box<Expr>),
    /// `{"k0": ..., "k1": ...}["k1"]`, or `[..., ...][-1]`.
    Of(bool, Vec<Expr>, usize),
    Format(Vec<Expr>),
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
}

/// The reference: Python's results for small numbers; `None` where Python raises an error, or the number grows beyond what is compared here.
fn value(expr: &Expr) -> Option<Value> {
    let small = |number: i128| (number.abs() <= 1 << 50).then_some(Value::Int(number));
    match expr {
        Expr::None => Some(Value::None),
        Expr::Bool(flag) => Some(Value::Bool(*flag)),
        Expr::Int(number) => Some(Value::Int(i128::from(*number))),
        Expr::Float(number) => Some(Value::Float(*number)),
        Expr::Text(text) => Some(Value::Text(text.clone())),
        Expr::Binary(left, op, right) => binary(value(left)?, op, value(right)?),
        Expr::Compare(left, op, right) => compare(&value(left)?, op, &value(right)?).map(Value::Bool),
        Expr::And(left, right) => {
            let left = value(left)?;
            if truth(&left) { value(right) } else { Some(left) }
        }
        Expr::Or(left, right) => {
            let left = value(left)?;
            if truth(&left) { Some(left) } else { value(right) }
        }
        Expr::Not(inner) => Some(Value::Bool(!truth(&value(inner)?))),
        Expr::Minus(inner) => match number(&value(inner)?)? {
            Value::Int(number) => small(-number),
            Value::Float(number) => Some(Value::Float(-number)),
            _ => None,
        },
        Expr::If(body, test, orelse) => {
            if truth(&value(test)?) {
                value(body)
            } else {
                value(orelse)
            }
        }
        Expr::Call("int", inner) => match number(&value(inner)?)? {
            Value::Float(number) if number.is_finite() && number.abs() < 1e15 => {
                small(number.trunc() as i128)
            }
            Value::Int(number) => small(number),
            _ => None,
        },
        Expr::Call("float", inner) => match number(&value(inner)?)? {
            Value::Int(number) => Some(Value::Float(number as f64)),
            other => Some(other),
        },
        Expr::Call("bool", inner) => Some(Value::Bool(truth(&value(inner)?))),
        Expr::Call("str", inner) => Some(Value::Text(shown(&value(inner)?))),
        Expr::Call("len", inner) => match value(inner)? {
            Value::Text(text) => small(text.chars().count() as i128),
            _ => None,
        },
        Expr::Call(..) => None,
        // Every element is evaluated before one is taken.
        Expr::Of(_, all, at) => all.iter().map(value).collect::<Option<Vec<_>>>()?.get(*at).cloned(),
        Expr::Format(parts) => {
            let parts: Option<Vec<String>> =
                parts.iter().map(|part| value(part).map(|part| shown(&part))).collect();
            Some(Value::Text(parts?.concat()))
        }
    }
}

fn number(value: &Value) -> Option<Value> {
    match value {
        Value::Bool(flag) => Some(Value::Int(i128::from(*flag))),
        Value::Int(_) | Value::Float(_) => Some(value.clone()),
        _ => None,
    }
}

fn float(value: &Value) -> f64 {
    match value {
        Value::Int(number) => *number as f64,
        Value::Float(number) => *number,
        _ => f64::NAN,
    }
}

fn binary(left: Value, op: &str, right: Value) -> Option<Value> {
    if let (Value::Text(left), Value::Text(right), "+") = (&left, &right, op) {
        return Some(Value::Text(format!("{left}{right}")));
    }
    let (left, right) = (number(&left)?, number(&right)?);
    if let (Value::Int(left), Value::Int(right)) = (&left, &right) {
        let (left, right) = (*left, *right);
        let number = match op {
            "+" => left + right,
            "-" => left - right,
            "*" => left.checked_mul(right)?,
            "/" if right != 0 => return Some(Value::Float(left as f64 / right as f64)),
            // Rounded towards minus infinity: div_euclid rounds so for a positive divisor only.
            "//" if right > 0 => left.div_euclid(right),
            "//" if right < 0 => (-left).div_euclid(-right),
            "%" if right > 0 => left.rem_euclid(right),
            "%" if right < 0 => -(-left).rem_euclid(-right),
            "**" if (0..=12).contains(&right) => left.checked_pow(right as u32)?,
            _ => return None,
        };
        return (number.abs() <= 1 << 50).then_some(Value::Int(number));
    }
    let (left, right) = (float(&left), float(&right));
    Some(Value::Float(match op {
        "+" => left + right,
        "-" => left - right,
        "*" => left * right,
        "/" if right != 0.0 => left / right,
        _ => return None,
    }))
}

fn compare(left: &Value, op: &str, right: &Value) -> Option<bool> {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let order = match (left, right) {
        (Value::Text(left), Value::Text(right)) => Some(left.chars().cmp(right.chars())),
        _ => match (number(left), number(right)) {
            (Some(left), Some(right)) => float(&left).partial_cmp(&float(&right)),
            _ => match op {
                "==" => return Some(left == right),
                "!=" => return Some(left != right),
                _ => return None,
            },
        },
    };
    Some(match op {
        "==" => order == Some(Equal),
        "!=" => order != Some(Equal),
        "<" => order == Some(Less),
        ">" => order == Some(Greater),
        "<=" => matches!(order, Some(Less | Equal)),
        _ => matches!(order, Some(Greater | Equal)),
    })
}

fn truth(value: &Value) -> bool {
    match value {
        Value::None => false,
        Value::Bool(flag) => *flag,
        Value::Int(number) => *number != 0,
        Value::Float(number) => *number != 0.0,
        Value::Text(text) => !text.is_empty(),
    }
}

/// Formats as Python's `str`, from the digits of `{:e}`.
fn shown(value: &Value) -> String {
    match value {
        Value::None => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Int(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Float(number) if number.is_nan() => "nan".into(),
        Value::Float(number) if number.is_infinite() => if *number > 0.0 { "inf" } else { "-inf" }.into(),
        Value::Float(number) => {
            let text = format!("{number:e}");
            let (digits, exponent) = text.split_once('e').unwrap();
            let exponent: i32 = exponent.parse().unwrap();
            let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
            let digits: String = digits.chars().filter(|digit| *digit != '.').collect();
            if !(-4..16).contains(&exponent) {
                let (first, rest) = digits.split_at(1);
                let rest = if rest.is_empty() { String::new() } else { format!(".{rest}") };
                return format!(
                    "{sign}{first}{rest}e{}{:02}",
                    if exponent < 0 { "-" } else { "+" },
                    exponent.abs()
                );
            }
            let whole = usize::try_from(exponent + 1).unwrap_or(0);
            let zeros = "0".repeat(usize::try_from(-exponent - 1).unwrap_or(0));
            let padded = format!("{digits}{}", "0".repeat(whole.saturating_sub(digits.len())));
            match whole {
                0 => format!("{sign}0.{zeros}{padded}"),
                _ if padded.len() == whole => format!("{sign}{padded}.0"),
                _ => format!("{sign}{}.{}", &padded[..whole], &padded[whole..]),
            }
        }
    }
}

/// Writes an expression as Python.
fn python(expr: &Expr) -> String {
    let quoted =
        |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n"));
    match expr {
        Expr::None => "None".into(),
        Expr::Bool(flag) => if *flag { "True" } else { "False" }.into(),
        Expr::Int(number) if *number < 0 => format!("({number})"),
        Expr::Int(number) => number.to_string(),
        Expr::Float(number) => format!("({number:?})"),
        Expr::Text(text) => quoted(text),
        Expr::Binary(left, op, right) | Expr::Compare(left, op, right) => {
            format!("({} {op} {})", python(left), python(right))
        }
        Expr::And(left, right) => format!("({} and {})", python(left), python(right)),
        Expr::Or(left, right) => format!("({} or {})", python(left), python(right)),
        Expr::Not(inner) => format!("(not {})", python(inner)),
        Expr::Minus(inner) => format!("(-{})", python(inner)),
        Expr::If(body, test, orelse) => {
            format!("({} if {} else {})", python(body), python(test), python(orelse))
        }
        Expr::Call(name, inner) => format!("{name}({})", python(inner)),
        Expr::Of(true, all, at) => {
            let all: Vec<String> =
                all.iter().enumerate().map(|(at, one)| format!("'k{at}': {}", python(one))).collect();
            format!("({{{}}})['k{at}']", all.join(", "))
        }
        Expr::Of(false, all, at) => {
            let back = all.len() - at;
            format!("[{}][-{back}]", all.iter().map(python).collect::<Vec<_>>().join(", "))
        }
        Expr::Format(parts) => {
            let parts: Vec<String> =
                parts.iter().map(|part| format!("f\"{{{}}}\"", python(part).replace('"', "'"))).collect();
            format!("({})", if parts.is_empty() { "''".to_owned() } else { parts.join(" ") })
        }
    }
}

fn literals() -> impl Strategy<Value = Expr> {
    prop_oneof![
        Just(Expr::None),
        any::<bool>().prop_map(Expr::Bool),
        (-30i64..1000).prop_map(Expr::Int),
        prop_oneof![
            Just(1e-4),
            Just(2.5),
            Just(0.1),
            Just(3e20),
            Just(-0.5),
            Just(1e-7),
            Just(0.0),
            (-9.0..9.0)
        ]
        .prop_map(Expr::Float),
        "[a-zé/\\\\' \n]{0,5}".prop_map(Expr::Text),
    ]
}

fn expressions() -> impl Strategy<Value = Expr> {
    literals().prop_recursive(5, 24, 3, |inner| {
        let pair = (inner.clone(), inner.clone());
        let ops = prop::sample::select(vec!["+", "-", "*", "/", "//", "%", "**"]);
        let signs = prop::sample::select(vec!["==", "!=", "<", ">", "<=", ">="]);
        let names = prop::sample::select(vec!["int", "float", "str", "bool", "len"]);
        let boxed = |(left, right): (Expr, Expr)| (Box::new(left), Box::new(right));
        prop_oneof![
            4 => (pair.clone(), ops).prop_map(move |(pair, op)| { let (a, b) = boxed(pair); Expr::Binary(a, op, b) }),
            1 => (pair.clone(), signs).prop_map(move |(pair, op)| { let (a, b) = boxed(pair); Expr::Compare(a, op, b) }),
            1 => pair.clone().prop_map(move |pair| { let (a, b) = boxed(pair); Expr::And(a, b) }),
            1 => pair.clone().prop_map(move |pair| { let (a, b) = boxed(pair); Expr::Or(a, b) }),
            1 => inner.clone().prop_map(|inner| Expr::Not(Box::new(inner))),
            1 => inner.clone().prop_map(|inner| Expr::Minus(Box::new(inner))),
            1 => (pair, inner.clone()).prop_map(move |(pair, test)| { let (a, b) = boxed(pair); Expr::If(a, Box::new(test), b) }),
            1 => (names, inner.clone()).prop_map(|(name, inner)| Expr::Call(name, Box::new(inner))),
            1 => (any::<bool>(), prop::collection::vec(inner.clone(), 1..4), 0usize..3)
                .prop_map(|(dict, all, at)| { let at = at % all.len(); Expr::Of(dict, all, at) }),
            // Quotes and backslashes within an f-string's braces are newer Python's.
            1 => prop::collection::vec(inner.prop_filter("plain", |part| !python(part).contains(['\\', '"'])), 0..3).prop_map(Expr::Format),
        ]
    })
}

fn runner(cases: u32) -> TestRunner {
    let seed = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |now| now.as_nanos() as u64);
    eprintln!("seed {seed}");
    let mut bytes = [0u8; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = proptest::test_runner::TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &bytes);
    TestRunner::new_with_rng(Config { cases, failure_persistence: None, ..Config::default() }, rng)
}

#[test]
fn a_folded_value_is_python_s() {
    runner(1500)
        .run(&expressions(), |expr| {
            let source = python(&expr);
            let script = format!(
                "x = {source}\nTrainingArguments(run_name=f'<{{x}}>', learning_rate={source}, seed=5)\n"
            );
            let imported = Imported::from_text(&script, "f.py")
                .map_err(|error| TestCaseError::fail(format!("{error}\n{script}")))?;
            let training = &imported.recipe.training;
            // Where Python raises an error, there is no run and nothing to compare.
            let Some(wanted) = value(&expr) else { return Ok(()) };
            let text = format!("<{}>", shown(&wanted));
            prop_assert_eq!(training.run_name.as_deref(), Some(text.as_str()), "{}", script);
            let rate = number(&wanted).filter(|rate| float(rate) >= 0.0 && float(rate).is_finite());
            if let Some(rate) = rate.filter(|_| !matches!(wanted, Value::Bool(_))) {
                prop_assert_eq!(training.learning_rate, float(&rate), "{}", script);
            }
            Ok(())
        })
        .unwrap();
}

/// A statement about the names a, b, c.
#[derive(Debug, Clone)]
enum Stmt {
    Assign(usize, i64),
    Copy(usize, usize),
    Augment(usize, i64),
    Swap(usize, usize),
    Delete(usize),
    For(usize, Vec<Stmt>),
    If(Vec<Stmt>, Vec<Stmt>),
    Try(Vec<Stmt>),
    With(Vec<Stmt>),
    Main(Vec<Stmt>),
    /// A function that binds its own name, and is called.
    Shadow(usize, i64),
    /// A function that declares a name global, and may be called.
    Global(usize, i64, bool),
    Walrus(usize, i64),
}

const NAMES: [&str; 3] = ["a", "b", "c"];

fn write(statements: &[Stmt], indent: usize, counter: &mut usize, text: &mut String) {
    let pad = "    ".repeat(indent);
    if statements.is_empty() {
        text.push_str(&format!("{pad}pass\n"));
    }
    for statement in statements {
        match statement {
            Stmt::Assign(name, number) => text.push_str(&format!("{pad}{} = {number}\n", NAMES[*name])),
            Stmt::Copy(to, from) => text.push_str(&format!("{pad}{} = {}\n", NAMES[*to], NAMES[*from])),
            Stmt::Augment(name, number) => text.push_str(&format!("{pad}{} += {number}\n", NAMES[*name])),
            Stmt::Swap(one, other) => {
                text.push_str(&format!("{pad}{}, {} = 7, 8\n", NAMES[*one], NAMES[*other]));
            }
            Stmt::Delete(name) => text.push_str(&format!("{pad}del {}\n", NAMES[*name])),
            Stmt::For(name, body) => {
                text.push_str(&format!("{pad}for {} in range(n):\n", NAMES[*name]));
                write(body, indent + 1, counter, text);
            }
            Stmt::If(body, orelse) => {
                text.push_str(&format!("{pad}if choice():\n"));
                write(body, indent + 1, counter, text);
                text.push_str(&format!("{pad}else:\n"));
                write(orelse, indent + 1, counter, text);
            }
            Stmt::Try(body) => {
                text.push_str(&format!("{pad}try:\n"));
                write(body, indent + 1, counter, text);
                text.push_str(&format!("{pad}except ValueError:\n{pad}    pass\n"));
            }
            Stmt::With(body) => {
                text.push_str(&format!("{pad}with open('f') as f:\n"));
                write(body, indent + 1, counter, text);
            }
            Stmt::Main(body) => {
                text.push_str(&format!("{pad}if __name__ == '__main__':\n"));
                write(body, indent + 1, counter, text);
            }
            Stmt::Shadow(name, number) => {
                *counter += 1;
                text.push_str(&format!(
                    "{pad}def f{counter}():\n{pad}    {} = {number}\n{pad}f{counter}()\n",
                    NAMES[*name]
                ));
            }
            Stmt::Global(name, number, is_called) => {
                *counter += 1;
                let name = NAMES[*name];
                text.push_str(&format!(
                    "{pad}def f{counter}():\n{pad}    global {name}\n{pad}    {name} = {number}\n"
                ));
                if *is_called {
                    text.push_str(&format!("{pad}f{counter}()\n"));
                }
            }
            Stmt::Walrus(name, number) => {
                text.push_str(&format!("{pad}print({} := {number})\n", NAMES[*name]))
            }
        }
    }
}

/// Values of the names on a way through the script; `None` is a name without one. A way ends where Python raises a NameError.
type Way = BTreeMap<usize, i64>;

/// Runs statements on all ways.
fn run(statements: &[Stmt], mut ways: Vec<Way>) -> Vec<Way> {
    for statement in statements {
        let mut next: Vec<Way> = Vec::new();
        for mut way in ways {
            match statement {
                Stmt::Assign(name, number) | Stmt::Walrus(name, number) => {
                    way.insert(*name, *number);
                }
                Stmt::Copy(to, from) => match way.get(from).copied() {
                    Some(number) => drop(way.insert(*to, number)),
                    None => continue,
                },
                Stmt::Augment(name, number) => match way.get_mut(name) {
                    Some(value) => *value += number,
                    None => continue,
                },
                Stmt::Swap(one, other) => {
                    way.insert(*one, 7);
                    way.insert(*other, 8);
                }
                Stmt::Delete(name) => {
                    if way.remove(name).is_none() {
                        continue;
                    }
                }
                Stmt::For(name, body) => {
                    next.push(way.clone());
                    for rounds in 1..3 {
                        let mut all = vec![way.clone()];
                        for round in 0..rounds {
                            for way in &mut all {
                                way.insert(*name, round);
                            }
                            all = run(body, all);
                        }
                        next.extend(all);
                    }
                    continue;
                }
                Stmt::If(body, orelse) => {
                    next.extend(run(body, vec![way.clone()]));
                    next.extend(run(orelse, vec![way]));
                    continue;
                }
                // An error may come before any statement.
                Stmt::Try(body) => {
                    for end in 0..=body.len() {
                        next.extend(run(&body[..end], vec![way.clone()]));
                    }
                    continue;
                }
                Stmt::With(body) | Stmt::Main(body) => {
                    next.extend(run(body, vec![way]));
                    continue;
                }
                Stmt::Shadow(..) | Stmt::Global(_, _, false) => {}
                Stmt::Global(name, number, true) => drop(way.insert(*name, *number)),
            }
            next.push(way);
        }
        next.sort();
        next.dedup();
        next.truncate(200);
        ways = next;
    }
    ways
}

/// Counts the assignments of a name, and whether the only one is in no branch.
fn bindings(statements: &[Stmt], name: usize, plain: bool) -> Vec<(bool, Option<usize>)> {
    let mut all = Vec::new();
    for statement in statements {
        match statement {
            Stmt::Assign(own, _) if *own == name => all.push((plain, None)),
            Stmt::Copy(own, from) if *own == name => all.push((plain, Some(*from))),
            Stmt::Swap(one, other) if *one == name || *other == name => {
                all.push((plain && one != other, None))
            }
            Stmt::Augment(own, _) | Stmt::Delete(own) | Stmt::Walrus(own, _) | Stmt::Global(own, ..)
                if *own == name =>
            {
                all.push((false, None))
            }
            Stmt::For(own, body) => {
                if *own == name {
                    all.push((false, None));
                }
                all.extend(bindings(body, name, false));
            }
            Stmt::If(body, orelse) => {
                all.extend(bindings(body, name, false));
                all.extend(bindings(orelse, name, false));
            }
            Stmt::Try(body) => all.extend(bindings(body, name, false)),
            Stmt::With(body) | Stmt::Main(body) => all.extend(bindings(body, name, plain)),
            _ => {}
        }
    }
    all
}

fn statements(depth: u32) -> BoxedStrategy<Vec<Stmt>> {
    let name = 0usize..3;
    let number = 1i64..900;
    let assign = (name.clone(), number.clone()).prop_map(|(name, number)| Stmt::Assign(name, number));
    let simple = prop_oneof![
        6 => assign,
        2 => (name.clone(), name.clone()).prop_map(|(to, from)| Stmt::Copy(to, from)),
        1 => (name.clone(), number.clone()).prop_map(|(name, number)| Stmt::Augment(name, number)),
        1 => (name.clone(), name.clone()).prop_map(|(one, other)| Stmt::Swap(one, other)),
        1 => name.clone().prop_map(Stmt::Delete),
        1 => (name.clone(), number.clone()).prop_map(|(name, number)| Stmt::Shadow(name, number)),
        1 => (name.clone(), number.clone(), any::<bool>()).prop_map(|(name, number, called)| Stmt::Global(name, number, called)),
        1 => (name.clone(), number).prop_map(|(name, number)| Stmt::Walrus(name, number)),
    ];
    if depth == 0 {
        return prop::collection::vec(simple, 0..4).boxed();
    }
    let inner = statements(depth - 1);
    let nested = prop_oneof![
        (name, inner.clone()).prop_map(|(name, body)| Stmt::For(name, body)),
        (inner.clone(), inner.clone()).prop_map(|(body, orelse)| Stmt::If(body, orelse)),
        inner.clone().prop_map(Stmt::Try),
        inner.clone().prop_map(Stmt::With),
        inner.prop_map(Stmt::Main),
    ];
    prop::collection::vec(prop_oneof![5 => simple, 2 => nested], 0..6).boxed()
}

#[test]
fn a_name_s_value_is_taken_only_where_every_way_gives_it() {
    let result = runner(2500).run(&(statements(2), 0usize..3), |(body, name)| {
        let mut script = String::new();
        write(&body, 0, &mut 0, &mut script);
        script.push_str(&format!("args = TrainingArguments('o', save_steps={}, seed=5)\n", NAMES[name]));
        let imported = Imported::from_text(&script, "f.py")
            .map_err(|error| TestCaseError::fail(format!("{error}\n{script}")))?;
        let is_left = imported.left_out.iter().any(|warning| warning.key == "save_steps");
        let ways = run(&body, vec![Way::new()]);
        let got = (!is_left).then_some(imported.recipe.training.save_steps);
        if let Some(got) = got {
            for way in &ways {
                prop_assert_eq!(way.get(&name).map(|number| *number as f64), Some(got), "{}", script);
            }
        }
        // A name that is assigned a number once, in no branch, has it.
        if let [(true, None)] = bindings(&body, name, true)[..]
            && !ways.is_empty()
        {
            prop_assert!(got.is_some(), "{script}");
        }
        Ok(())
    });
    result.unwrap();
    // Both must occur, or the test shows nothing.
    let left = |text: &str| Imported::from_text(text, "f.py").unwrap().left_out.len();
    assert_eq!(left("a = 3\nTrainingArguments('o', save_steps=a)\n"), 0);
    assert_eq!(left("a = 3\na += 1\nTrainingArguments('o', save_steps=a)\n"), 1);
}
