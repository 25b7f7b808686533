use super::*;
use serde_json::json;

fn set(text: &str) -> TemplateSet {
    TemplateSet::compile([("t.yaml", text)]).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn render(text: &str, context: &Value) -> Result<Vec<Value>, TemplateError> {
    set(text).render("t.yaml", &Values::new(context))
}

fn only(text: &str, context: &Value) -> Value {
    let mut objects = render(text, context).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(objects.len(), 1);
    objects.remove(0)
}

#[test]
fn values_keep_their_types_and_need_no_quotes() {
    let context =
        json!({"a": "no", "b": "0123", "c": 3, "d": true, "e": "x: y\n- z", "f": "", "g": [1, "two"]});
    let object = only(
        "a: {{ a }}\nb: {{ b }}\nc: {{ c }}\nd: {{ d }}\ne: {{ e }}\nf: {{ f }}\nquoted: \"{{ e }}\"\nlong: at {{ a | text }}!\nnumber: {{ c | text }}\ng: [{% for x in g %}{{ x }}, {% endfor %}]\n",
        &context,
    );
    assert_eq!(
        object,
        json!({"a": "no", "b": "0123", "c": 3, "d": true, "e": "x: y\n- z", "f": "", "quoted": "x: y\n- z",
               "long": "at no!", "number": "3", "g": [1, "two"]})
    );
}

#[test]
fn one_template_gives_one_object_a_list_or_nothing() {
    let context = json!({"hosts": ["a", "b"], "nobody": []});
    let list = "{% for h in hosts %}\n- kind: Route\n  host: {{ h }}\n{% endfor %}";
    assert_eq!(render(list, &context).map(|objects| objects.len()), Ok(2));
    assert_eq!(render(&list.replace("hosts", "nobody"), &context), Ok(Vec::new()));
    let error = render("just text", &context).unwrap_err();
    assert!(matches!(error, TemplateError::Shape(_)), "{error}");
}

#[test]
fn inner_documents_parse_back() {
    let hostile = "a\"'\\\n${x}`id` \u{2028}\u{85}\u{1F600}: {{ b }}";
    let context = json!({"v": hostile, "n": 5, "list": ["x", hostile]});
    let inner = |filter: &str, name: &str| {
        let object = only(&format!("data: |\n  {{{{ {name} | {filter} }}}}\n"), &context);
        object["data"].as_str().unwrap().trim_end_matches('\n').to_owned()
    };
    assert_eq!(serde_json::from_str::<Value>(&inner("json", "v")).unwrap(), json!(hostile));
    assert_eq!(serde_json::from_str::<Value>(&inner("json", "list")).unwrap(), json!(["x", hostile]));
    assert_eq!(serde_saphyr::from_str::<String>(&inner("yaml", "v")).unwrap(), hostile);
    assert_eq!(serde_saphyr::from_str::<Value>(&inner("yaml", "list")).unwrap(), json!(["x", hostile]));
    let word = inner("shell", "v");
    let output =
        std::process::Command::new("sh").arg("-c").arg(format!("printf %s {word}")).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), hostile);
    assert_eq!(inner("promql", "n"), "\"5\"");
    assert_eq!(go_unquote(&inner("promql", "v")), hostile);
}

#[test]
fn text_of_a_page_brings_no_tags_and_ends_no_attribute() {
    let hostile = "</p><script>alert(\"x\")</script>' onload='y' `z` &lt; ü😀";
    let object = only("page: |\n  <p title=\"{{ v | html }}\">{{ v | html }}</p>\n", &json!({"v": hostile}));
    let page = object["page"].as_str().unwrap().trim_end();
    let inner = page.strip_prefix("<p title=\"").and_then(|rest| rest.strip_suffix("</p>")).unwrap();
    let (title, text) = inner.split_once("\">").unwrap();
    for part in [title, text] {
        assert!(!part.contains(['<', '>', '"', '\'', '`']), "{part}");
        let entities =
            [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&#96;", "`"), ("&amp;", "&")];
        let read = entities.iter().fold(part.to_owned(), |text, (entity, c)| text.replace(entity, c));
        assert_eq!(read, hostile);
    }
}

/// Reads the subset of Go's string literals that PromQL shares.
fn go_unquote(literal: &str) -> String {
    let mut out = String::new();
    let inner = literal.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap();
    let mut characters = inner.chars();
    while let Some(c) = characters.next() {
        assert_ne!(c, '"', "an unescaped quote ends the literal");
        if c != '\\' {
            out.push(c);
            continue;
        }
        match characters.next().unwrap() {
            'n' => out.push('\n'),
            'u' => {
                let hex: String = characters.by_ref().take(4).collect();
                out.push(char::from_u32(u32::from_str_radix(&hex, 16).unwrap()).unwrap());
            }
            escaped => out.push(escaped),
        }
    }
    out
}

#[test]
fn structure_never_comes_from_a_value() {
    let context = json!({"v": "pwned", "list": ["a"]});
    for (text, what) in [
        ("{{ v }}: 1", "key"),
        ("a: {b: {{ v }}, {{ v }}: 2}", "key"),
        ("apiVersion: {{ v }}", "apiVersion"),
        ("kind: x{{ v }}", "kind"),
        ("metadata: {namespace: {{ v }}}", "namespace"),
        ("- kind: {{ v }}", "kind"),
    ] {
        let error = render(text, &context).unwrap_err();
        assert!(matches!(error, TemplateError::Yaml(_)), "{text}: {error}");
        assert!(error.to_string().contains("interpolated value"), "{text}: {error}");
        assert!(!error.to_string().contains("pwned"), "{text}: {error}");
        assert!(error.problem().message.contains(what), "{text}: {error}");
    }
    assert_eq!(only("a: {{ list }}", &context)["a"], json!("[\"a\"]"), "a list is text, never structure");
}

#[test]
fn errors_name_line_and_column_and_no_value() {
    let context = json!({"secret": "TOPSECRET", "order": {"name": "TOPSECRET"}});
    for (text, line, column) in [
        ("a: 1\nb: {{ nope }}\n", 2, 7),
        ("a: 1\nb: {{ order.nope }}\n", 2, 13),
        ("a: 1\n\nb: {{ secret | int }}\n", 3, 16),
        ("a: {{ secret - 1 }}\n", 1, 7),
        ("{% for i in range(end=2) %}\n- a: 1\n  b: [1\n{% endfor %}\n", 2, 4),
        ("{% if secret %}\n# note\n{% endif %}\na: 1\nb: 2\n  c: 3\n", 6, 4),
    ] {
        let error = render(text, &context).unwrap_err();
        let problem = error.problem();
        assert_eq!((problem.position.line, problem.position.column), (line, column), "{text}: {error}");
        assert!(!error.to_string().contains("TOPSECRET"), "{error}");
        assert!(!problem.hint.is_empty());
    }
}

#[test]
fn broken_templates_are_refused_with_their_place() {
    let errors = TemplateSet::compile([
        ("ok.yaml", "a: 1"),
        ("filter.yaml", "a: 1\nb: {{ x | nope }}"),
        ("safe.yaml", "a: {{ x | safe }}"),
    ])
    .unwrap_err();
    let places: Vec<String> = errors
        .iter()
        .map(|error| format!("{}:{}", error.problem().origin, error.problem().position))
        .collect();
    assert_eq!(places, ["filter.yaml:2:11", "safe.yaml:1:7"]);
}

#[test]
fn cost_is_bounded() {
    let context = json!({"v": "x"});
    let huge = json!({"v": "x".repeat(1 << 20)});
    assert!(matches!(render("a: {{ v }}", &huge), Err(TemplateError::TooLarge(_))), "refused, not cut");
    let many = "{% for a in range(end=256) %}{% for b in range(end=256) %}{{ v }}{{ v }}{{ v }}{% endfor %}{% endfor %}";
    assert!(matches!(render(many, &context), Err(TemplateError::TooLarge(_))));
    for text in [
        "a: {{ range(end=257) }}",
        "a: {{ v | indent(width=100000000) }}",
        "{% set s = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\" %}a: {{ s | replace(from=\"a\", to=s) | replace(from=\"a\", to=s) | replace(from=\"a\", to=s) }}",
        "a: {{ range(end=256) | join(sep=\"                                                                                                                                                                                                                                                                           \") }}",
    ] {
        assert!(matches!(render(text, &context), Err(TemplateError::Evaluate(_))), "{text}");
    }
}

#[test]
fn maps_iterate_in_the_same_order_every_time() {
    let context = json!({"m": {"z": 1, "a": 2, "k": 3}});
    let object = only("a: [{% for k, v in m %}{{ k }}, {% endfor %}]\nb: {{ m | json }}\n", &context);
    assert_eq!(object, json!({"a": ["a", "k", "z"], "b": "{\"a\":2,\"k\":3,\"z\":1}"}));
}
