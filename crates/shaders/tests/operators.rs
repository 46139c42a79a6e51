//! Check of every variant against WGSL's grammar (<https://www.w3.org/TR/WGSL/#expression-grammar>). It lets few binary operators meet without
//! parentheses: `a << b >> c`, `a >> b & c` and `a & b == c` are errors in browsers, while naga accepts them.

use std::collections::HashSet;

use lorelei_shaders::Kernel;

#[test]
fn operators_meet_as_the_grammar_has_it() {
    for kernel in Kernel::all() {
        let source = kernel.source();
        let mixed = mixed_operators(&source);
        assert!(mixed.is_empty(), "{kernel:?} needs parentheses:\n{}", mixed.join("\n"));
    }
}

#[test]
fn what_the_grammar_takes_and_what_not() {
    let right = [
        "let q = (a << b) >> c;",
        "let q = (a >> vec4<u32>(0u, 8u)) & vec4<u32>(15u);",
        "let q = a | b | c;",
        "let q = a >> -b;",
        "let q = &a; let r = f(&a, -b);",
        "let q = a + b * -c < d >> e && f == g && h;",
        "let q = a[i + 1u] >> (i % 4u * 8u);",
        "v ^= v >> vec3<u32>(16u);",
        "var<workgroup> tile: array<vec4<f32>, 16>; // a << b >> c",
        "for (var i = a + b; i < n; i += 256u) { x[i >> 2u] = bitcast<u32>(y) & 1u; }",
        "fn f(a: ptr<function, array<u32, 4>>) -> f32 { return -a; }",
        "if ((a & b) == c) { return; }",
        "let q = a < b; let r = c > d;",
    ];
    for source in right {
        assert_eq!(mixed_operators(source), Vec::<String>::new(), "{source}");
    }
    let wrong = [
        "let q = a << b >> c;",
        "let q = vec4<i32>(a) << vec4<u32>(24u, 16u) >> vec4<u32>(24u);",
        "let q = vec4<f32>(vec4<u32>(a) >> vec4<u32>(0u, 8u) & vec4<u32>(15u));",
        "let q = a & b | c;",
        "let q = a & b == c;",
        "let q = a + b & c;",
        "let q = a + b >> c;",
        "let q = a >> b + c;",
        "let q = a * b << c;",
        "let q = a < b == c;",
        "let q = a && b || c;",
        "let q = a ^ b >>\n c;",
        "x[i >> 2u + 1u] = y;",
        "return a >> b - c;",
    ];
    for source in wrong {
        assert_eq!(mixed_operators(source).len(), 1, "{source}");
    }
}

/// Returns the expressions of `source` that the grammar does not derive: the line and the binary operators of each.
fn mixed_operators(source: &str) -> Vec<String> {
    let source = without_comments(source);
    let mut mixed = Vec::new();
    // The operators so far of the expression that is being read, and of those that enclose it.
    let mut around: Vec<Vec<&str>> = Vec::new();
    let mut operators: Vec<&str> = Vec::new();
    let mut is_after_operand = false;
    for Token { text, line, role } in tokens(&source) {
        let mut end = |operators: &[&str]| {
            if !is_derived(operators) {
                mixed.push(format!("line {line}: {}", operators.join(" ")));
            }
        };
        match role {
            Role::Open => {
                around.push(std::mem::take(&mut operators));
                is_after_operand = false;
            }
            Role::Close => {
                end(&operators);
                operators = around.pop().expect("brackets match");
                is_after_operand = true;
            }
            Role::Operand => is_after_operand = true,
            Role::Operator if is_after_operand => {
                operators.push(text);
                is_after_operand = false;
            }
            // A unary operator.
            Role::Operator => {}
            Role::End => {
                end(&operators);
                operators.clear();
                is_after_operand = false;
            }
        }
    }
    mixed
}

/// Whether the grammar derives an expression with these binary operators, in this order and at one level.
fn is_derived(operators: &[&str]) -> bool {
    let are_alike = |operators: &[&str]| operators.windows(2).all(|pair| pair[0] == pair[1]);
    if operators.iter().any(|operator| matches!(*operator, "&" | "|" | "^")) {
        return are_alike(operators);
    }
    let is_logical = |operator: &&str| matches!(*operator, "&&" | "||");
    let logical: Vec<&str> = operators.iter().copied().filter(is_logical).collect();
    are_alike(&logical) && operators.split(is_logical).all(is_relational_expression)
}

/// Whether there is at most one comparison, each side of which has one shift alone, or no shift.
fn is_relational_expression(operators: &[&str]) -> bool {
    let is_relational = |operator: &&str| matches!(*operator, "<" | ">" | "<=" | ">=" | "==" | "!=");
    let is_shift = |operator: &&str| matches!(*operator, "<<" | ">>");
    let sides: Vec<&[&str]> = operators.split(is_relational).collect();
    sides.len() <= 2 && sides.iter().all(|side| side.len() == 1 || !side.iter().any(is_shift))
}

/// Role of a token in the expressions around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A bracket that opens, or a template's `<`.
    Open,
    /// A bracket that closes, or a template's `>`.
    Close,
    /// A name or a number.
    Operand,
    /// A binary or unary operator.
    Operator,
    /// Separator of expressions: an assignment, a comma, a keyword, a block's brace.
    End,
}

#[derive(Debug, Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    /// Line number, counted from 1.
    line: usize,
    role: Role,
}

/// Symbols of more than one character, the longest first.
const LONG: [&str; 20] = [
    "<<=", ">>=", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "+=", "-=", "*=", "/=", "%=", "&=", "|=",
    "^=", "++", "->",
];

fn tokens(source: &str) -> Vec<Token<'_>> {
    let templates = template_brackets(source);
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(first) = source[at..].chars().next() {
        let rest = &source[at..];
        let (length, role) = if templates.contains(&at) {
            (1, if first == '<' { Role::Open } else { Role::Close })
        } else if is_of_word(first) {
            let length = rest.find(|letter| !is_of_word(letter)).unwrap_or(rest.len());
            let is_keyword =
                matches!(&rest[..length], "return" | "if" | "while" | "switch" | "case" | "else");
            (length, if is_keyword { Role::End } else { Role::Operand })
        } else if let Some(long) = LONG.into_iter().find(|long| rest.starts_with(long)) {
            let is_operator = matches!(long, "<<" | ">>" | "<=" | ">=" | "==" | "!=" | "&&" | "||");
            (long.len(), if is_operator { Role::Operator } else { Role::End })
        } else {
            let role = match first {
                '(' | '[' => Role::Open,
                ')' | ']' => Role::Close,
                '+' | '-' | '*' | '/' | '%' | '<' | '>' | '&' | '|' | '^' | '!' | '~' => Role::Operator,
                _ => Role::End,
            };
            (first.len_utf8(), role)
        };
        if !first.is_whitespace() {
            tokens.push(Token { text: &rest[..length], line, role });
        }
        line += usize::from(first == '\n');
        at += length;
    }
    tokens
}

/// Whether a name or a number may contain this character.
fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '.')
}

/// Returns the positions of the `<` and `>` around a template's parameters, found by the algorithm of
/// <https://www.w3.org/TR/WGSL/#template-lists-sec>.
fn template_brackets(source: &str) -> HashSet<usize> {
    let mut found = HashSet::new();
    // The position and depth of each `<` that may begin a template.
    let mut pending: Vec<(usize, usize)> = Vec::new();
    let (mut depth, mut is_after_name) = (0usize, false);
    let bytes = source.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let next = bytes.get(at + 1).copied();
        let mut length = 1;
        match bytes[at] {
            b'<' if matches!(next, Some(b'<' | b'=')) => length = 2,
            b'<' if is_after_name => pending.push((at, depth)),
            b'>' => match pending.last() {
                Some(&(open, of)) if of == depth => {
                    found.extend([open, at]);
                    pending.pop();
                }
                _ if next == Some(b'=') => length = 2,
                _ => {}
            },
            b'(' | b'[' => depth += 1,
            b')' | b']' => {
                pending.retain(|(_, of)| *of < depth);
                depth = depth.saturating_sub(1);
            }
            b'!' | b'=' if next == Some(b'=') => length = 2,
            b'=' | b';' | b'{' | b':' => {
                pending.clear();
                depth = 0;
            }
            b'&' | b'|' if next == Some(bytes[at]) => {
                pending.retain(|(_, of)| *of < depth);
                length = 2;
            }
            _ => {}
        }
        if !bytes[at].is_ascii_whitespace() {
            is_after_name = bytes[at].is_ascii_alphanumeric() || bytes[at] == b'_';
        }
        at += length;
    }
    found
}

fn without_comments(source: &str) -> String {
    let code = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
    assert!(!source.contains("/*"), "comments are of one line");
    source.lines().map(code).collect::<Vec<_>>().join("\n")
}
