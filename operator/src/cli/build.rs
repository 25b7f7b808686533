//! `tenantry build`: a folder of templates becomes the objects that are applied. Needs neither client nor clock.

use super::Outcome;
use super::check::{Given, Schemas, definitions, is_error};
use super::files::Library;
use anyhow::Context;
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};
use tenantry_blueprint::check::Finding;
use tenantry_blueprint::pack::{Definition, Packed};

/// First line of what is written.
const NOTICE: &str = "# Packed by `tenantry build`; change the folder this comes from, and build it again.\n";
/// Document that a folder of a version finds in the folder around it.
const APPLICATION: &str = "application.yaml";

/// Arguments of `tenantry build`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Folder with a blueprint, an application or a version, or with several of these.
    folder: PathBuf,
    /// File to write, instead of printing.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let (text, findings) = build(&arguments.folder)?;
    for finding in &findings {
        eprintln!("{finding}");
    }
    let Some(text) = text else { return Ok(Outcome::Bad) };
    match &arguments.output {
        Some(file) => fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?,
        None => print!("{text}"),
    }
    Ok(Outcome::Good)
}

/// The packed objects as YAML, unless something is wrong with them, and everything that was found.
fn build(folder: &Path) -> anyhow::Result<(Option<String>, Vec<Finding>)> {
    let mut library = Library::read([&folder.to_owned()])?;
    let own = library.objects().len();
    let around = folder.join("..").join(APPLICATION);
    if around.is_file() {
        library.add(&around)?;
    }
    // One folder is built on its own; what it refers to may be elsewhere, so that is for `tenantry check` to insist on.
    let findings = definitions(&library, &Schemas::new()?, Given::Part);
    if findings.iter().any(is_error) {
        return Ok((None, findings));
    }
    let packed: Vec<&Packed> =
        library.objects().iter().take(own).filter(|packed| is_packed(packed)).collect();
    if packed.is_empty() {
        anyhow::bail!("{} holds no blueprint, application or version to pack", folder.display());
    }
    let documents: Result<Vec<String>, _> = packed.iter().map(|packed| packed.to_yaml()).collect();
    let documents = documents.context("an object cannot be written as YAML")?;
    Ok((Some(format!("{NOTICE}{}", documents.join("---\n"))), findings))
}

/// Plans and orders have no templates and are applied as they are.
fn is_packed(packed: &Packed) -> bool {
    !matches!(packed.definition, Definition::Plan(_) | Definition::Subscription(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
    }

    #[test]
    fn a_folder_gives_what_is_kept_packed() {
        let cases = [
            ("applications/erp/4.2.1", "hostedapplicationversion-erp-4.2.1.yaml"),
            ("blueprints/standard", "blueprint-standard.yaml"),
        ];
        for (folder, packed) in cases {
            let (text, findings) = build(&examples().join(folder)).unwrap();
            assert_eq!(findings, [], "{folder}");
            let kept = fs::read_to_string(examples().join("packed").join(packed)).unwrap();
            let body = |text: &str| text.split_once('\n').map(|(_, body)| body.to_owned());
            assert_eq!(text.as_deref().and_then(body), body(&kept), "{folder}");
        }
    }

    #[test]
    fn several_objects_are_several_documents() {
        let (text, _) = build(&examples().join("applications")).unwrap();
        let objects: Vec<serde_json::Value> = serde_saphyr::from_multiple(&text.unwrap()).unwrap();
        let names: Vec<&str> =
            objects.iter().filter_map(|object| object["metadata"]["name"].as_str()).collect();
        assert_eq!(names, ["erp-4.2.1", "erp", "mail-1.8.0", "mail"]);
    }

    #[test]
    fn what_is_wrong_is_not_built() {
        let folder = tempfile::tempdir().unwrap();
        let text =
            "apiVersion: tenantry.io/v1alpha1\nkind: Blueprint\nmetadata: {name: a}\nspec:\n  itms: []\n";
        fs::write(folder.path().join("blueprint.yaml"), text).unwrap();
        let (text, findings) = build(folder.path()).unwrap();
        assert_eq!(text, None);
        assert!(findings.iter().any(|finding| (finding.line, finding.column) == (5, 3)), "{findings:#?}");
    }
}
