use super::*;
use crate::problem::Position;
use serde_json::json;

fn schema() -> ContextSchema {
    ContextSchema::new(Some(&json!({"type": "object", "properties": {
        "motto": {"type": "string"}, "edition": {"enum": ["a", "b"]}, "replicas": {"type": "integer"},
        "tags": {"type": "object", "additionalProperties": {"type": "string"}}}})))
}

fn notes(source: &str) -> Vec<String> {
    template(source, &schema())
        .iter()
        .map(|note| format!("{} {}", Position::at(source, note.offset), note.message))
        .collect()
}

#[test]
fn good_templates_pass() {
    for source in [
        "a: {{ order.organization.name }}",
        "a: \"{{ parameters.motto }}\"\nb: '{{ parameters.motto }}' # {{ parameters.motto }}",
        "a: https://{{ application.name }}.{{ tenant.namespace }}/x",
        "a: {{ parameters.replicas }}\nb: at {{ parameters.replicas }}",
        "a: hello {{ parameters.motto | text }}\nb: |\n  x={{ parameters.motto | shell }}\n",
        "{% for u in order.users %}\n- kind: x\n  name: {{ u.name }}\n  role: {{ u.roles | first }}\n{% endfor %}",
        "a: [{% for h in order.network.hosts %}{{ h }}{% if not loop.last %}, {% endif %}{% endfor %}]",
        "{% if plan.network.bandwidth.perPod.egress %}a: 1{% else %}a: 2{% endif %}",
        "{% set n = parameters.edition ~ \"-x\" %}a: pre-{{ n }}",
        "a: {{ parameters.tags | json }}\nb:\n  {% for k, v in parameters.tags %}\n  key-{{ loop.index }}: {{ v }}\n  {% endfor %}",
        "{% raw %}a: \"{{ $labels.x }}\"{% endraw %}",
        "a: {{ [u.email for u in order.users] | join(sep=\", \") }}",
        "a: \"1e3\"\nb: 0.5\nc: 12\nd: true\ne: 100m\nf: v1",
        "a: {{ parameters.edition | default(value=\"a\") | upper }}-x",
    ] {
        assert_eq!(notes(source), Vec::<String>::new(), "{source}");
    }
}

#[test]
fn unknown_variables_are_found_in_every_corner() {
    let hint =
        |source: &str| template(source, &schema()).first().map(|note| note.hint.clone()).unwrap_or_default();
    for (source, expected) in [
        ("a: {{ ordr.users }}", "1:7 there is no variable `ordr`"),
        ("a: 1\nb: {{ order.userz }}", "2:13 there is no field `userz` here"),
        ("{% if plan.nope %}a: 1{% endif %}", "1:12 there is no field `nope` here"),
        ("{% if false %}a: {{ order[\"nope\"] }}{% endif %}", "1:27 there is no field `nope` here"),
        ("{% for u in order.users %}- a: {{ u.mail }}\n{% endfor %}", "1:37 there is no field `mail` here"),
        ("a: {{ parameters.motto | default(value=tenat.id) }}", "1:40 there is no variable `tenat`"),
        ("a: {{ order.users[0].naem }}", "1:22 there is no field `naem` here"),
        ("a: {{ [x.nope for x in order.users] | length }}", "1:10 there is no field `nope` here"),
        ("{% for u in order.users %}{% endfor %}a: {{ u.name }}", "1:45 there is no variable `u`"),
        ("a: {{ order.organization.name.first }}", "1:31 there is no field `first` here"),
        ("{% for c in tenant.name %}{% endfor %}a: 1", "1:20 the loop does not run over a list"),
    ] {
        assert_eq!(notes(source).first().map(String::as_str), Some(expected), "{source}");
    }
    assert_eq!(hint("a: {{ order.usrs }}"), "did you mean `users`?");
    assert!(hint("a: {{ tenant.q }}").contains("id, name, namespace"));
}

#[test]
fn values_inside_longer_texts_need_a_target() {
    let inside = "a value that may hold any character stands inside a longer text";
    for (source, place) in [
        ("a: hello {{ parameters.motto }}", "1:10"),
        ("a: \"{{ parameters.motto }}!\"", "1:5"),
        ("a: |\n  {{ parameters.motto }}\n", "2:3"),
        ("a: >-\n  x\n  {{ parameters.motto }}\n", "3:3"),
        ("a: {{ parameters.motto }}{{ tenant.id }}", "1:4"),
        ("a: x{{ parameters.motto | upper }}", "1:5"),
        ("a: x{{ parameters.motto ~ \"y\" | json }}", "1:5"),
        ("a: x{% if tenant.id %}y{% else %}{{ parameters.motto }}{% endif %}", "1:34"),
        ("a: {{ parameters.motto }} b", "1:4"),
    ] {
        assert_eq!(notes(source), [format!("{place} {inside}")], "{source}");
    }
    assert_eq!(notes("a: x{{ (parameters.motto ~ \"y\") | json }}"), Vec::<String>::new());
    assert_eq!(notes("a: {{ order.users }}"), ["1:13 the whole list is printed as one text"]);
}

#[test]
fn values_decide_no_structure() {
    for (source, place, word) in [
        ("{{ parameters.motto }}: 1", "1:1", "key"),
        ("a: {b-{{ parameters.motto }}: 1}", "1:7", "key"),
        ("apiVersion: v1\nkind: {{ parameters.edition }}", "2:7", "apiVersion, kind"),
        ("- apiVersion: {{ tenant.id }}", "1:15", "apiVersion, kind"),
        ("metadata: {namespace: {{ tenant.namespace }}}", "1:23", "namespace"),
    ] {
        let found = notes(source);
        assert!(
            found.iter().any(|note| note.starts_with(place) && note.contains(word)),
            "{source}: {found:?}"
        );
    }
}

#[test]
fn yaml_that_readers_understand_differently_is_found() {
    for (source, expected) in [
        ("a: 1e3", "1:4 the literal is a number"),
        ("a: 0x1F", "1:4 the literal is a number"),
        ("a: [0o7]", "1:5 the literal is a number"),
        ("a: 1_000", "1:4 readers of YAML disagree"),
        ("a: no", "1:4 readers of YAML disagree"),
        ("a: 0123", "1:4 readers of YAML disagree"),
        ("a: !!binary aGk=", "1:13 the value carries a YAML tag"),
        ("a: &x 1\nb: *x", "1:7 the template uses an anchor"),
        ("a: 1\na: 2", "2:1 the key `a` is there twice"),
        ("a: 1\n---\nb: 1", "2:1 the template holds a second YAML document"),
        ("a: {<<: {b: 1}}", "1:5 the template uses a merge key"),
        ("just text", "1:1 the template is a single value"),
    ] {
        assert!(notes(source).iter().any(|note| note.starts_with(expected)), "{source}: {:?}", notes(source));
    }
}

#[test]
fn every_branch_is_read() {
    let broken = "a: 1\n{% if tenant.id %}\nb: 2\n{% elif plan.tier %}\nb: [1\n{% endif %}\nc: 1\n";
    assert!(notes(broken).iter().any(|note| note.contains("not YAML")), "{:?}", notes(broken));
    let odd = "{% for h in order.network.hosts %}- a: {{ h }}\n{% else %}a: 1e3\n{% endfor %}";
    assert_eq!(notes(odd).len(), 1, "{:?}", notes(odd));
    let inner = "{% for h in order.network.hosts %}\n- a: {% if h %}1{% else %}1e3{% endif %}\n{% endfor %}";
    assert_eq!(notes(inner), ["2:27 the literal is a number to YAML and loses its spelling"]);
}

#[test]
fn forbidden_constructions_are_found() {
    for source in [
        "{% filter upper %}a{% endfilter %}",
        "{% set a %}b{% endset %}",
        "a: {{ tenant.id | safe }}",
        "a: {{ __tera_context }}",
        "{% include \"x\" %}",
    ] {
        assert_eq!(notes(source).len(), 1, "{source}");
    }
}

mod whole;
