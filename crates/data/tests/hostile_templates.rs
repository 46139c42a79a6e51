//! Chat templates that are made to take the process down: each is refused or rendered, within a stack of one mebibyte, as in a browser.

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::{Numbers, tokenizer, user};
use lorelei_data::Message;

const CONFIG: &str = r#"{"bos_token": "<s>", "eos_token": "</s>"}"#;

/// Renders with a template on a small stack, and holds it to a wide time.
fn render(template: &str) -> Result<String, String> {
    render_messages(
        template,
        vec![user("What is a lorelei?"), Message::new("assistant", "A rock by the Rhine.")],
    )
}

fn render_messages(template: &str, messages: Vec<Message>) -> Result<String, String> {
    let source = template.to_owned();
    let began = Instant::now();
    let result = thread::Builder::new()
        .stack_size(1 << 20)
        .spawn(move || {
            let tokenizer = tokenizer(CONFIG, Some(&source));
            tokenizer.apply_chat_template(&messages, false).map_err(|error| error.to_string())
        })
        .unwrap()
        .join();
    let beginning: String = template.chars().take(300).collect();
    let result = result.unwrap_or_else(|_| panic!("panicked: {beginning}"));
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}: {beginning}", began.elapsed());
    result
}

fn refusal(template: &str) -> String {
    let beginning: String = template.chars().take(200).collect();
    let problem = render(template).expect_err(&beginning);
    assert!(problem.starts_with("the chat template"), "{problem}");
    problem
}

fn repeated(text: &str, times: usize) -> String {
    text.repeat(times)
}

#[test]
fn sources_that_are_too_deep_or_too_long_are_refused() {
    const N: usize = 20_000;
    let sources = [
        format!("{{% if 0 %}}{}{{% endif %}}", repeated("{% elif 0 %}", N)),
        format!("{{{{ {}1 }}}}", repeated("not ", N)),
        format!("{{{{ 1{} }}}}", repeated("+1", N)),
        format!("{{{{ 1{} }}}}", repeated("~1", N)),
        format!("{{{{ 1{} }}}}", repeated(" == 1", N)),
        format!("{{{{ 1{} }}}}", repeated(" and 1", N)),
        format!("{{{{ 1{} }}}}", repeated(" if 1 else 1", N)),
        format!("{{{{ 1{} }}}}", repeated(" is defined", N)),
        format!("{{{{ 1{} }}}}", repeated("|string", N)),
        format!("{{{{ messages{} }}}}", repeated(".a", N)),
        format!("{{{{ messages{} }}}}", repeated("[0]", N)),
        format!("{{{{ messages{} }}}}", repeated("()", N)),
        format!("{{{{ {}1 }}}}", repeated("-", N)),
        format!("{{{{ {}1{} }}}}", repeated("[", N), repeated("]", N)),
        format!("{{{{ {}1{} }}}}", repeated("(", N), repeated(")", N)),
        format!("{{{{ {}1{} }}}}", repeated("{1:", N), repeated("}", N)),
        format!("{{{{ {}1", repeated("[", N)),
        format!("{{{{ {}1{}{} }}}}", repeated("(", 20), repeated(")+1+1+1+1+1+1+1+1+1", 20), ""),
        format!("{}{}", repeated("{% if 1 %}", N), repeated("{% endif %}", N)),
        format!("{}{}", repeated("{% for a in [1] %}", N), repeated("{% endfor %}", N)),
        format!("{}{}", repeated("{% set a %}", N), repeated("{% endset %}", N)),
        format!("{}{}", repeated("{% generation %}", N), repeated("{% endgeneration %}", N)),
        format!("{{% filter {}upper %}}x{{% endfilter %}}", repeated("upper|", N)),
        repeated("{% if 1 %}", N),
    ];
    for source in sources {
        let problem = refusal(&source);
        assert!(problem.contains("too deeply") || problem.contains("more than"), "{problem}");
    }
    assert!(refusal(&repeated("Lorelei ", 200_000)).contains("more than 1048576"));
}

#[test]
fn what_is_as_deep_as_is_allowed_is_rendered_on_a_small_stack() {
    for (begin, step, middle, back, end) in [
        ("{{ ", "[", "1", "]", " }}"),
        ("{{ ", "(", "1", ")", " }}"),
        ("{{ ", "{1:", "1", "}", " }}"),
        ("{{ ", "not ", "1", "", " }}"),
        ("{{ 1", "+1", "", "", " }}"),
        ("{{ 1", "~1", "", "", " }}"),
        ("{{ 1", "|string", "", "", " }}"),
        ("{{ 1", " if 0 else 1", "", "", " }}"),
        ("{{ ", "-", "1", "", " }}"),
        ("{{ messages", "[0:]", "", "", " }}"),
        ("", "{% if 1 %}", "x", "{% endif %}", ""),
        ("", "{% for a in [1] %}", "x", "{% endfor %}", ""),
        ("", "{% set a %}", "x", "{% endset %}", ""),
        ("{% if 0 %}", "{% elif 1 %}x", "", "", "{% endif %}"),
        ("{% macro f(a) %}{{ a }}{% endmacro %}{{ ", "f(", "1", ")", " }}"),
    ] {
        let source = |n: usize| format!("{begin}{}{middle}{}{end}", repeated(step, n), repeated(back, n));
        let is_refused = |n: usize| render(&source(n)).is_err_and(|problem| problem.contains("too deeply"));
        let first = (1..400).find(|n| is_refused(*n)).unwrap_or_else(|| panic!("{step} is never refused"));
        let deepest = render(&source(first - 1));
        eprintln!("{step}: {} {:?}", first - 1, deepest.as_ref().map(|text| text.len()));
        assert!(first > 24, "{step} is refused {first} deep");
    }
}

#[test]
fn values_that_grow_without_end_are_refused() {
    let grown = |step: &str, end: &str| {
        format!(
            "{{% set ns = namespace(x=[1, 1, 1, 1], s='word', n=1) %}}{{% for i in range(33000) %}}{step}{{% endfor %}}{end}"
        )
    };
    let sources = [
        "{% set ns=namespace() %}{% set ns.x=ns %}{{ ns }}".to_owned(),
        "{% set ns=namespace(x=[1]) %}{% for i in range(32818) %}{% set ns.x=[ns.x] %}{% endfor %}x".to_owned(),
        "{% set ns=namespace(x=[1,1]) %}{% for i in range(40) %}{% set ns.x=ns.x+ns.x %}{% endfor %}{{ ns.x|length }}"
            .to_owned(),
        "{% set ns=namespace(x=[1,1,1,1,1,1,1,1,1,1]) %}{% for i in range(12) %}\
         {% set ns.x=[ns.x,ns.x,ns.x,ns.x,ns.x,ns.x,ns.x,ns.x] %}{% endfor %}{{ ns.x }}"
            .to_owned(),
        "{% set ns=namespace() %}{% set ns.x=[ns] %}{{ ns }}".to_owned(),
        "{% set ns=namespace() %}{% set ns.x={'a': [ns]} %}{{ ns == ns.x }}".to_owned(),
        "{% set a=namespace() %}{% set b=namespace(x=a) %}{% set a.x=b %}{{ a }}".to_owned(),
        "{% set a=namespace() %}{% set b=[a] %}{% set a.x=b %}{{ a }}".to_owned(),
        grown("{% set ns.x = [ns.x] %}", "x"),
        grown("{% set ns.x = (ns.x, 1) %}", "x"),
        grown("{% set ns.x = {1: ns.x} %}", "x"),
        grown("{% set ns.x = [ns.x, ns.x, ns.x] %}", "{{ ns.x }}"),
        grown("{% set ns.x = ns.x + ns.x %}", "{{ ns.x|length }}"),
        grown("{% set ns.x = ns.x ~ ns.x %}", "{{ ns.x|length }}"),
        grown("{% set ns.s = ns.s ~ ns.s %}", "{{ ns.s|length }}"),
        grown("{% set ns.s = ns.s + ns.s %}", "{{ ns.s|length }}"),
        grown("{% set ns.s = ns.s * 3 %}", "{{ ns.s|length }}"),
        grown("{% set ns.s = [ns.s, ns.s]|join(ns.s) %}", "{{ ns.s|length }}"),
        grown("{% set ns.s = ns.s|replace('w', 'ww') ~ ns.s %}", "{{ ns.s|length }}"),
        grown("{% set ns.s = '%s%s' | format(ns.s, ns.s) %}", "{{ ns.s|length }}"),
        grown("{% set ns.s = '{}{}'.format(ns.s, ns.s) %}", "{{ ns.s|length }}"),
        grown("{% set ns.s %}{{ ns.s }}{{ ns.s }}{% endset %}", "{{ ns.s|length }}"),
        grown("{% set ns.x = ns.x * 2 %}", "{{ ns.x }}"),
        grown("{% set ns.x = loop %}", "x"),
        grown("{% set ns.x = [loop] %}", "x"),
        "{{ [1] * 100000000 ~ '' }}".to_owned(),
        "{{ ([[1] * 100000000] * 1000) == ([[1] * 100000000] * 1000) }}".to_owned(),
        "{{ '%999999999d'|format(1) }}".to_owned(),
        "{{ '%*d'|format(999999999, 1) }}".to_owned(),
        "{{ '{:999999999}'.format(1) }}".to_owned(),
        "{{ '{:.999999999f}'.format(1.5) }}".to_owned(),
        "{{ '{:99999999999999999999999}'.format(1.5) }}".to_owned(),
        "{{ '{:{}}'.format(1, 999999999) }}".to_owned(),
        "{{ '%.999999999f'|format(1.5) }}".to_owned(),
        "{{ '%.999999999e%999999999s'|format(1.5, 1) }}".to_owned(),
        "{{ ('%10000000d' * 10)|format(1, 1, 1, 1, 1, 1, 1, 1, 1, 1) }}{{ ns.x.y }}".to_owned(),
        "{{ ('a' * 10000)|replace('a', 'b' * 100000) }}".to_owned(),
        "{{ ('a' * 10000).replace('a', 'b' * 100000) }}".to_owned(),
        "{{ ('a\n' * 10000)|indent(999999999) }}".to_owned(),
        "{{ range(100000)|join('b' * 100000) }}".to_owned(),
        "{{ ('b' * 100000).join(range(100000)) }}".to_owned(),
        "{{ ('b' * 100000).join([messages] * 100) }}".to_owned(),
        "{% for a in range(1000000000) %}{% endfor %}".to_owned(),
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}".to_owned(),
        "{% macro f(x) %}{{ f([x]) }}{% endmacro %}{{ f(1) }}".to_owned(),
        "{% macro f() %}{% call f() %}{{ caller() }}{% endcall %}{% endmacro %}{{ f() }}".to_owned(),
        "{% for a in [1] recursive %}{{ loop([[a]]) }}{% endfor %}".to_owned(),
        "{% for a in [1] recursive %}{{ loop([a] + [a]) }}{% endfor %}".to_owned(),
        "{% include 'chat_template' %}".to_owned(),
        "{% block a %}{{ self.a() }}{% endblock %}".to_owned(),
        "{% for a in [1] %}{{ loop.cycle() }}{% endfor %}".to_owned(),
        "{% for a in [1] %}{{ loop.cycle(*[]) }}{% endfor %}".to_owned(),
        "{% set lorelei_kept = 1 %}".to_owned(),
    ];
    for source in sources {
        let problem = refusal(&source);
        eprintln!("{}\n    {problem}", &source[..source.len().min(160)].replace('\n', "\\n"));
    }
}

#[test]
fn the_deepest_values_are_written_on_a_small_stack_in_the_deepest_call() {
    for (form, end) in [
        ("[ns.x]", "{{ ns.x }}"),
        ("{'a': ns.x}", "{{ ns.x }}"),
        ("(ns.x, 1)", "{{ ns.x ~ '' }}"),
        ("[ns.x]", "{{ ns.x == [ns.x] }}{{ {ns.x: 1}|length }}{{ [ns.x, [ns.x]]|sort|length }}"),
        ("[ns.x] + [1]", "{{ ns.x|string|length }}"),
    ] {
        let source = |depth: usize, calls: usize| {
            format!(
                "{{% set ns = namespace(x=[1]) %}}{{% for i in range({depth}) %}}{{% set ns.x = {form} %}}{{% endfor %}}\
                 {{% macro f(n) %}}{{% if n > 0 %}}{{{{ f(n - 1) }}}}{{% else %}}{end}{{% endif %}}{{% endmacro %}}{{{{ f({calls}) }}}}"
            )
        };
        let deepest = render(&source(140, 31));
        assert!(deepest.as_ref().is_ok_and(|text| !text.is_empty()), "{form}: {deepest:?}");
        assert!(refusal(&source(160, 31)).contains("nested more than 150 deep"));
        assert!(refusal(&source(140, 60)).contains("recursion limit"));
    }
}

#[test]
fn reading_large_values_again_and_again_is_paid_for() {
    let begin = "{% set ns = namespace(x=range(100000)|list) %}{% set ns.y = [ns.x, ns.x, ns.x] %}\
                 {% set ns.z = [ns.x, ns.x, ns.x] %}{% for i in range(100000) %}";
    for step in [
        "{% if ns.y == ns.z %}{% endif %}",
        "{% if ns.y < ns.z %}{% endif %}",
        "{% if ns.y in [ns.z] %}{% endif %}",
        "{% if ns.y + ns.y == ns.z + ns.z %}{% endif %}",
        "{% if ns.y is eq ns.z %}{% endif %}",
        "{% if ns.y is not in ([ns.z]) %}{% endif %}",
        "{% if {ns.y: 1} %}{% endif %}",
        "{% if {}[ns.y] %}{% endif %}",
        "{% if {}.get(ns.y) %}{% endif %}",
        "{% if ns.z.count(ns.y) %}{% endif %}",
        "{% if loop.changed([ns.y, ns.z]) %}{% endif %}",
        "{% if [ns.y, ns.z]|sort %}{% endif %}",
        "{% if [ns.y, ns.z]|unique|list %}{% endif %}",
        "{% if [ns.y, ns.z]|max %}{% endif %}",
        "{% if [ns.y, ns.z]|map('string')|list %}{% endif %}",
        "{% if [ns.y]|select('eq', ns.z)|list %}{% endif %}",
        "{% if ns.y|tojson %}{% endif %}",
        "{% if ns.y|string %}{% endif %}",
        "{% if ns.y|trim %}{% endif %}",
        "{% if ns.y ~ '' %}{% endif %}",
        "{% set a %}{{ ns.y }}{% endset %}",
    ] {
        let problem = refusal(&format!("{begin}{step}{{% endfor %}}"));
        assert!(problem.contains("ran for too long"), "{step}: {problem}");
    }
}

#[test]
fn what_templates_do_is_still_done() {
    for (source, text) in [
        (
            "{% set ns = namespace(a=[], n=0) %}{% for m in messages %}{% set ns.a = ns.a + [m] %}{% endfor %}{{ ns.a|length }}",
            "2",
        ),
        ("{% for m in messages[::-1] %}{{ m.role[0] }}{% endfor %}", "au"),
        ("{% set rest = messages[1:] %}{{ rest[0]['role'] }}{{ rest|length }}", "assistant1"),
        ("{% set a, b = 1, [2, 3] %}{{ a }}{{ b }}", "1[2, 3]"),
        ("{% set a = {'x': [1, (2, 3)]} %}{{ a['x'][1][0] + 1 }}", "3"),
        ("{{ [1, 2][0] }}{{ (1, 2)[1] }}{{ {'a': 4}.a }}{{ {'a': 5}['a'] }}", "1245"),
        ("{{ 'ab' * 2 ~ 1 + 'c' * 3 }}", "abab1ccc"),
        ("{{ '-' * (2 + 1) }}{{ 3 * 'x' }}", "---xxx"),
        ("{{ 1 if not messages[0].role == messages[1].role and messages[0] in messages else 2 }}", "1"),
        ("{{ messages[0] not in messages[1:] }}", "True"),
        (
            "{% macro f(a, b=[1, 2]) %}{{ a }}{{ b|join('-') }}{{ kwargs }}{% endmacro %}{{ f(0) }}{{ f(1, b=[3]) }}",
            "01-213",
        ),
        (
            "{% macro f(a) %}{{ a }}{{ caller(a + 1) }}{% endmacro %}{% call(x) f(1) %}<{{ x }}>{% endcall %}",
            "1<2>",
        ),
        (
            "{% for a in [[1, [2]], [3, []]] recursive %}{{ a[0] }}{% if a[1] %}{{ loop([a[1]]) }}{% endif %}{% endfor %}",
            "123",
        ),
        (
            "{% for a in [1, 2, 3] if a is not divisibleby 2 %}{{ loop.cycle('x', 'y') ~ a }}{% endfor %}",
            "x1y3",
        ),
        ("{% with a = [1], b = 2 %}{{ a + [b] }}{% endwith %}", "[1, 2]"),
        ("{% set x %}a{{ [1] }}{% endset %}{{ x|trim }}", "a[1]"),
        ("{% filter upper %}{{ messages[0].role ~ messages[1].role }}{% endfilter %}", "USERASSISTANT"),
        ("{{ messages|map(attribute='role')|join(', ') }}", "user, assistant"),
        ("{{ messages|selectattr('role', 'equalto', 'user')|list|length }}", "1"),
        ("{{ namespace(a=1).a + dict(b=2).b }}", "3"),
        (
            "{% set loop_messages = messages %}{% for m in loop_messages %}{% set outer = loop %}{{ outer.index }}{% endfor %}",
            "12",
        ),
        ("{{ messages[messages|length - 1]['role'] }}{{ messages[-1]['content'][2:6] }}", "assistantrock"),
        ("{{ 2 ** 3 * 2 }}{{ -2 * 3 }}{{ 7 // 2 % 2 }}", "16-61"),
        ("{{ 'a' 'b' + 'c' if messages[0].x is not defined else '' }}", "abc"),
    ] {
        assert_eq!(render(source).as_deref(), Ok(text), "{source}");
    }
}

/// Pieces of templates that nest, each with the place of what is inside.
const NESTED: [&str; 30] = [
    "[@, @]",
    "(@)",
    "(@, @)",
    "{'a': @}",
    "{@: 1}",
    "@ + @",
    "@ ~ @",
    "@ * 3",
    "[@] * 99",
    "@ == @",
    "@ < @",
    "@ in [@]",
    "not @",
    "-@",
    "@ if @ else @",
    "@|string",
    "@|list",
    "@|join(@)",
    "@|map('string')|list",
    "@|batch(3, @)|list",
    "@|sort",
    "@|unique|list",
    "@|tojson(indent=9)",
    "@|length",
    "namespace(x=@)",
    "f(@)",
    "dict(a=@, b=@)",
    "@ is eq(@)",
    "@[0:]",
    "@[@]",
];

/// Values that nothing is inside of.
const LEAVES: [&str; 12] = [
    "messages",
    "messages[0]",
    "ns",
    "ns.x",
    "ns.s",
    "x",
    "1",
    "'word'",
    "range(1000)",
    "loop",
    "99999999",
    "none",
];

/// Statements with the places of values (`@`) and of statements (`#`).
const STATEMENTS: [&str; 14] = [
    "{% set ns.x = @ %}",
    "{% set ns.s = @|string %}",
    "{% set x = @ %}",
    "{% set x %}#{{ @ }}{% endset %}",
    "{{ @ }}",
    "{% if @ %}#{% elif @ %}#{% else %}#{% endif %}",
    "{% for x in @ %}#{% endfor %}",
    "{% for x in range(3000) %}#{% endfor %}",
    "{% for x in @ recursive %}#{{ loop([@]) }}{% endfor %}",
    "{% macro f(x, y=@) %}#{{ f([@]) }}{% endmacro %}",
    "{% call(x) f(@) %}#{% endcall %}",
    "{% filter upper|replace('A', 'AAAA') %}#{% endfilter %}",
    "{% with x = @ %}#{% endwith %}",
    "{% do loop.changed(@) %}",
];

impl Numbers {
    fn value(&mut self, depth: usize) -> String {
        if depth == 0 || self.below(4) == 0 {
            return LEAVES[self.below(LEAVES.len())].to_owned();
        }
        let form = NESTED[self.below(NESTED.len())];
        self.fill(form, |numbers| numbers.value(depth - 1), '@')
    }

    fn statements(&mut self, depth: usize) -> String {
        let count = 1 + self.below(3);
        let one = |numbers: &mut Self| {
            let form = match depth {
                0 => STATEMENTS[numbers.below(5)].replace('#', ""),
                _ => STATEMENTS[numbers.below(STATEMENTS.len())].to_owned(),
            };
            let form = numbers.fill(&form, |numbers| numbers.statements(depth - 1), '#');
            numbers.fill(&form, |numbers| numbers.value(3), '@')
        };
        (0..count).map(|_| one(self)).collect()
    }

    fn fill(&mut self, form: &str, mut inside: impl FnMut(&mut Self) -> String, place: char) -> String {
        let mut parts = form.split(place);
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| text + &inside(self) + part)
    }

    /// Changes letters of a template, or takes some out, or writes some of them many times.
    fn mutated(&mut self, source: &str) -> String {
        let mut letters: Vec<char> = source.chars().collect();
        for _ in 0..1 + self.below(6) {
            let from = self.below(letters.len());
            let to = (from + 1 + self.below(40)).min(letters.len());
            let piece: Vec<char> = letters[from..to].to_vec();
            match self.below(4) {
                0 => drop(letters.drain(from..to)),
                1 => drop(letters.splice(from..from, piece.repeat(1 + self.below(3000)))),
                2 => drop(letters.splice(from..to, "{%[(}'\"|+*.".chars().nth(self.below(12)))),
                _ => {
                    let at = self.below(letters.len());
                    drop(letters.splice(at..at, piece));
                }
            }
        }
        letters.into_iter().collect()
    }
}

fn seed() -> u64 {
    let given = std::env::var("LORELEI_SEED").ok().and_then(|seed| seed.parse().ok());
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
    let seed = given.unwrap_or_else(|| u64::from(now()));
    eprintln!("LORELEI_SEED={seed}");
    seed
}

#[test]
fn random_templates_end() {
    let mut numbers = Numbers(seed());
    let (mut rendered, mut refused) = (0, 0);
    for _ in 0..60 {
        let body = numbers.statements(3);
        let source = format!(
            "{{% set ns = namespace(x=[1, 2], s='s') %}}{{% macro f(x) %}}{{{{ x }}}}{{% endmacro %}}\
             {{% for i in range(200) %}}{body}{{% endfor %}}"
        );
        match render(&source) {
            Ok(_) => rendered += 1,
            Err(_) => refused += 1,
        }
    }
    for published in [include_str!("fixtures/chat/gptoss.jinja"), include_str!("fixtures/chat/qwen3.jinja")] {
        for _ in 0..20 {
            match render(&numbers.mutated(published)) {
                Ok(_) => rendered += 1,
                Err(_) => refused += 1,
            }
        }
    }
    eprintln!("{rendered} rendered, {refused} refused");
    assert!(rendered > 0 && refused > 0, "{rendered} rendered, {refused} refused");
}
