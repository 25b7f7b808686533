//! `tenantry build`: a folder of templates becomes the objects that are applied. Needs neither client nor clock.

use super::Outcome;
use super::check::{Given, Schemas, definitions, is_error};
use super::files::Library;
use super::plurals::Plurals;
use anyhow::Context;
use clap::Args;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use tenantry_blueprint::check::{Finding, sketches};
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
    /// File to write the rights to that the controller needs for these objects: ClusterRoles that join its own.
    #[arg(long, value_name = "FILE")]
    rights: Option<PathBuf>,
    /// File or folder with the CustomResourceDefinitions of kinds that Kubernetes itself does not have. May be given
    /// several times.
    #[arg(long, value_name = "PATH", requires = "rights")]
    kinds: Vec<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let (built, findings) = build(&arguments.folder)?;
    for finding in &findings {
        eprintln!("{finding}");
    }
    let Some(Built { text, sketches, has_jobs }) = built else { return Ok(Outcome::Bad) };
    if let Some(file) = &arguments.rights {
        let name = arguments.folder.canonicalize()?;
        let name = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut needs = Plurals::read(&arguments.kinds)?.needs(&sketches)?;
        if has_jobs {
            needs.add_jobs();
        }
        let roles = needs.cluster_roles(&label(&name));
        let text = crate::manifests::yaml(&roles)?;
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    match &arguments.output {
        Some(file) => fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?,
        None => print!("{text}"),
    }
    Ok(Outcome::Good)
}

/// What a folder gives.
struct Built {
    /// The packed objects as YAML.
    text: String,
    /// Every object that their templates may give, with placeholders for values.
    sketches: Vec<Value>,
    /// Whether a version among them has jobs.
    has_jobs: bool,
}

/// The packed objects, unless something is wrong with them, and everything that was found.
fn build(folder: &Path) -> anyhow::Result<(Option<Built>, Vec<Finding>)> {
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
    let templates = packed.iter().flat_map(|packed| packed.templates());
    let sketches = templates.flat_map(|manifest| sketches(&manifest.template)).collect();
    let has_jobs = packed.iter().any(|packed| packed.has_jobs());
    let text = format!("{NOTICE}{}", documents.join("---\n"));
    Ok((Some(Built { text, sketches, has_jobs }), findings))
}

/// Plans and orders have no templates and are applied as they are.
fn is_packed(packed: &Packed) -> bool {
    matches!(
        packed.definition,
        Definition::Blueprint(_) | Definition::Application(_) | Definition::Version(_)
    )
}

/// A name of objects that a folder's name gives: `4.2.1` becomes `4-2-1`.
fn label(folder: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    folder.chars().map(plain).collect::<String>().trim_matches('-').to_owned()
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
            let (built, findings) = build(&examples().join(folder)).unwrap();
            assert_eq!(findings, [], "{folder}");
            let kept = fs::read_to_string(examples().join("packed").join(packed)).unwrap();
            let body = |text: &str| text.split_once('\n').map(|(_, body)| body.to_owned());
            assert_eq!(built.and_then(|built| body(&built.text)), body(&kept), "{folder}");
        }
    }

    #[test]
    fn several_objects_are_several_documents() {
        let (built, _) = build(&examples().join("applications")).unwrap();
        let objects: Vec<Value> = serde_saphyr::from_multiple(&built.unwrap().text).unwrap();
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
        let (built, findings) = build(folder.path()).unwrap();
        assert!(built.is_none());
        assert!(findings.iter().any(|finding| (finding.line, finding.column) == (5, 3)), "{findings:#?}");
    }
}
