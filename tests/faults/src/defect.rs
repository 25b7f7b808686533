//! Defects that are put into the product on purpose, to see whether the oracles find them; pure.
//!
//! Each is a replacement in the source that takes effect when the environment names it, so one build serves all. The
//! product itself knows nothing of them.

use std::collections::BTreeMap;

use serde::Deserialize;
use thiserror::Error;

use crate::leaders::Case;
use crate::plan::Plan;

/// Environment variable that names the defect that takes effect.
pub const VARIABLE: &str = "TENANTRY_DEFECT";
/// Stands for "this defect takes effect" in what is put in.
const SEEDED: &str = "SEEDED";

/// One defect.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defect {
    /// Its name.
    pub name: String,
    /// What is wrong, for people.
    pub wrong: String,
    /// How it gets into the source.
    pub edits: Vec<Edit>,
    /// Runs that shall find it, in this order.
    #[serde(default)]
    pub plans: Vec<Plan>,
    /// What is done to two replicas that shall find it.
    #[serde(default)]
    pub cases: Vec<Case>,
}

/// One replacement in the source.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// File, from the root of the repository.
    pub file: String,
    /// Text that is there exactly once.
    pub find: String,
    /// What comes instead; `SEEDED` is true when the defect takes effect.
    pub put: String,
}

/// A defect that cannot be put in.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "defect {defect}: {file} holds {found} times what shall be replaced, not once; write the defect anew for the present source: {find}"
)]
pub struct SowError {
    defect: String,
    file: String,
    find: String,
    found: usize,
}

/// Puts all defects into the sources, which are texts by file. Gives the files that change.
///
/// # Errors
/// When the source of a defect is not what it was when the defect was written.
pub fn sow(
    defects: &[Defect],
    sources: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, SowError> {
    let mut sown: BTreeMap<String, String> = BTreeMap::new();
    for defect in defects {
        let condition = format!("std::env::var_os({VARIABLE:?}).is_some_and(|it| it == {:?})", defect.name);
        for edit in &defect.edits {
            let before = sown.get(&edit.file).or_else(|| sources.get(&edit.file));
            let found = before.map_or(0, |text| text.matches(&edit.find).count());
            let Some(before) = before.filter(|_| found == 1) else {
                let Edit { file, find, .. } = edit.clone();
                return Err(SowError { defect: defect.name.clone(), file, find, found });
            };
            let after = before.replace(&edit.find, &edit.put.replace(SEEDED, &condition));
            sown.insert(edit.file.clone(), after);
        }
    }
    Ok(sown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defect(name: &str, find: &str, put: &str) -> Defect {
        let edit = Edit { file: "a.rs".to_owned(), find: find.to_owned(), put: put.to_owned() };
        Defect {
            name: name.to_owned(),
            wrong: String::new(),
            edits: vec![edit],
            plans: Vec::new(),
            cases: Vec::new(),
        }
    }

    fn sources() -> BTreeMap<String, String> {
        [("a.rs", "if a { b }"), ("b.rs", "c")].map(|(file, text)| (file.to_owned(), text.to_owned())).into()
    }

    #[test]
    fn several_defects_share_a_place_and_a_file() {
        let defects = [defect("one", "if a", "if a && !SEEDED"), defect("two", "if a", "if SEEDED || a")];
        let sown = sow(&defects, &sources()).unwrap();
        let is =
            |name: &str| format!("std::env::var_os(\"TENANTRY_DEFECT\").is_some_and(|it| it == \"{name}\")");
        let expected = format!("if {} || a && !{} {{ b }}", is("two"), is("one"));
        assert_eq!(sown, [("a.rs".to_owned(), expected)].into());
    }

    #[test]
    fn a_defect_without_its_place_is_refused() {
        let found = |find: &str| sow(&[defect("one", find, "")], &sources()).unwrap_err().found;
        assert_eq!((found("nowhere"), found(" ")), (0, 4));
        let elsewhere = Defect {
            edits: vec![Edit { file: "c.rs".to_owned(), ..defect("one", "c", "").edits[0].clone() }],
            ..defect("one", "c", "")
        };
        assert_eq!(sow(&[elsewhere], &sources()).unwrap_err().found, 0);
    }
}
