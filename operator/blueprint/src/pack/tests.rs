use super::*;
use std::collections::BTreeMap;

const VERSION: &str = "apiVersion: tenantry.io/v1alpha1
kind: HostedApplicationVersion
metadata: {name: shop-1.0}
spec:
  applicationRef: {name: shop}
  version: \"1.0\"
  lifecycle: Draft
  manifests:
    - {name: web.yaml, file: web.yaml.tera}
    - name: note.yaml
      template: |
        kind: x
";

const WEB: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  long: a line that is longer than eighty characters, so that a careless writer would fold it into two lines\n\n  # no: \"yes\"\n  tab: \"\\t\"\n";

fn packed(document: &str, files: &[(&str, &str)]) -> Result<Packed, Vec<Finding>> {
    let files: BTreeMap<&str, &str> = files.iter().copied().collect();
    pack("shop/version.yaml", document, &|path| files.get(path).map(|text| (*text).to_owned()))
}

#[test]
fn files_become_templates_and_the_result_reads_back() {
    let packed = packed(VERSION, &[("shop/web.yaml.tera", WEB)]).unwrap();
    assert_eq!(packed.name(), "shop-1.0");
    let Definition::Version(version) = &packed.definition else { panic!("{:?}", packed.definition) };
    assert_eq!(version.manifests[0].template, WEB);
    assert_eq!(version.manifests[1].template, "kind: x\n");
    let yaml = packed.to_yaml().unwrap();
    assert_eq!(yaml::parse(&yaml), Ok(Some(packed.object.clone())), "{yaml}");
    assert!(yaml.contains("template: |"), "{yaml}");
    assert!(!yaml.contains("file:"), "{yaml}");
    let again = super::pack("shop/version.yaml", VERSION, &|_| Some(WEB.to_owned())).unwrap();
    assert_eq!(again.to_yaml().unwrap(), yaml);
    let inside = Position { line: 5, column: 3 };
    assert_eq!(
        packed.sources.text("/spec/manifests/0/template", inside, "?"),
        ("shop/web.yaml.tera", inside)
    );
    assert_eq!(
        packed.sources.text("/spec/manifests/1/template", Position::START, "?").1,
        Position { line: 12, column: 9 }
    );
}

#[test]
fn problems_name_their_place() {
    let findings = |document: &str, files: &[(&str, &str)]| -> Vec<String> {
        packed(document, files).unwrap_err().iter().map(ToString::to_string).collect()
    };
    let web = [("shop/web.yaml.tera", WEB)];
    assert_eq!(
        findings(VERSION, &[]),
        [
            "shop/version.yaml:9:30: error: the file `web.yaml.tera` cannot be read; create it, or correct the name"
        ]
    );
    assert_eq!(
        findings(&VERSION.replace("file: web", "file: ../web"), &web),
        [
            "shop/version.yaml:9:30: error: the file is not inside the folder; name a file of the folder, without leading slash or `..`"
        ]
    );
    assert_eq!(
        findings(&VERSION.replace("lifecycle:", "lifecicle:"), &web),
        ["shop/version.yaml:7:3: error: there is no field `lifecicle`; did you mean `lifecycle`?"]
    );
    let broken = findings("kind: [1", &[]);
    assert!(broken[0].starts_with("shop/version.yaml:1:"), "{broken:?}");
    let large = [("shop/web.yaml.tera", &*"x".repeat(SIZE_LIMIT))];
    assert!(findings(VERSION, &large)[0].contains("bytes of JSON"));
    let item = "kind: Blueprint\nspec:\n  items:\n    - name: a\n      accounts: {provider: scim}\n";
    assert_eq!(
        findings(item, &[]),
        [
            "shop/version.yaml:5:7: error: the action `accounts` is not available in this version; use check, manifests, application, job, signOff, external, servers, billing or goLive"
        ]
    );
    assert!(findings("kind: Pod\nmetadata: {}\n", &[])[0].contains("not one of tenantry"));
    assert!(
        findings(&VERSION.replace("version: \"1.0\"", "version: 1"), &web)[0]
            .starts_with("shop/version.yaml:4:1: error: spec: invalid type")
    );
}
