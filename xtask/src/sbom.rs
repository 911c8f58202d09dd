//! What the shipped program consists of, as a CycloneDX bill of materials.
//!
//! Asked is `cargo tree`, which alone knows the features of one package's build: `cargo metadata` adds up those of the
//! whole workspace. The bill holds neither a time nor a path, so that it is the same wherever it is made.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::context::{Context, shown};

/// The package of the shipped program.
const PROGRAM: &str = "mirrorwatch";
/// What it is built for unless told otherwise.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";
/// The version of CycloneDX.
const SPECIFICATION: &str = "1.6";

/// Where the bill is written to unless told otherwise.
pub fn place(context: &Context) -> PathBuf {
    context.target.join("sbom/mirrorwatch.cdx.json")
}

/// Writes the bill and returns how many components it has.
pub fn write(context: &Context, target: &str, to: &Path) -> Result<usize, String> {
    let bill = bill(context, target)?;
    let text = serde_json::to_string_pretty(&bill)
        .map_err(|error| format!("cannot write the bill of materials as JSON: {error}"))?;
    let directory = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    directory
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(to, text + "\n"))
        .map_err(|error| format!("cannot write {}: {error}", to.display()))?;
    Ok(bill["components"].as_array().map_or(0, Vec::len))
}

/// The bill of the program as it is built for a target with its default features.
fn bill(context: &Context, target: &str) -> Result<Value, String> {
    let all = Tree::of(&tree(context, target, "normal,build")?)?;
    let shipped = Tree::of(&tree(context, target, "normal,no-proc-macro")?)?;
    let path = context.root.join("Cargo.lock");
    let lock = fs::read_to_string(&path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(all.bill(&shipped, &checksums(&lock), target))
}

fn tree(context: &Context, target: &str, edges: &str) -> Result<String, String> {
    let mut command = context.cargo(["tree", "--locked", "--package", PROGRAM]);
    command
        .args(["--edges", edges, "--target", target, "--prefix", "depth"])
        .args(["--format", "\t{p}\t{l}", "--color", "never"])
        .stderr(Stdio::inherit());
    let output = command
        .output()
        .map_err(|error| format!("cannot start {}: {error}", shown(&command)))?;
    if !output.status.success() {
        return Err(format!("{} failed, see above", shown(&command)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Name and version.
type Crate = (String, String);

/// A dependency graph in the words of `cargo tree`.
#[derive(Default)]
struct Tree {
    root: Crate,
    licences: BTreeMap<Crate, String>,
    edges: BTreeMap<Crate, BTreeSet<Crate>>,
}

impl Tree {
    /// Reads lines of depth, crate and licence. A crate's own dependencies are below it where it comes first.
    fn of(text: &str) -> Result<Self, String> {
        let mut tree = Self::default();
        let mut above: Vec<Crate> = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let told = || format!("cargo tree says something else than expected: {line:?}");
            let mut fields = line.split('\t');
            let (Some(depth), Some(package), Some(licence)) =
                (fields.next(), fields.next(), fields.next())
            else {
                return Err(told());
            };
            let depth: usize = depth.parse().map_err(|_| told())?;
            let mut words = package.split(' ');
            let (Some(name), Some(version)) = (words.next(), words.next()) else {
                return Err(told());
            };
            let version = version.strip_prefix('v').ok_or_else(told)?;
            let this = (name.to_owned(), version.to_owned());
            if depth > above.len() || (depth == 0 && !above.is_empty()) {
                return Err(told());
            }
            above.truncate(depth);
            match above.last() {
                Some(parent) => {
                    tree.edges
                        .entry(parent.clone())
                        .or_default()
                        .insert(this.clone());
                }
                None => tree.root = this.clone(),
            }
            tree.edges.entry(this.clone()).or_default();
            // Old manifests write a slash where SPDX has OR.
            let licence = licence.trim_end_matches(" (*)").replace('/', " OR ");
            tree.licences.insert(this.clone(), licence);
            above.push(this);
        }
        if tree.licences.is_empty() {
            return Err("cargo tree says nothing".to_owned());
        }
        Ok(tree)
    }

    fn bill(&self, shipped: &Self, checksums: &BTreeMap<Crate, String>, target: &str) -> Value {
        let component = |one: &Crate| {
            let mut value = json!({
                "type": "library",
                "bom-ref": purl(one),
                "purl": purl(one),
                "name": one.0,
                "version": one.1,
                // What only builds the program is listed, but is no part of it.
                "scope": if shipped.licences.contains_key(one) { "required" } else { "excluded" },
            });
            if let Some(licence) = self.licences.get(one).filter(|text| !text.is_empty()) {
                value["licenses"] = json!([{"expression": licence}]);
            }
            if let Some(checksum) = checksums.get(one) {
                value["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
            }
            value
        };
        let mut program = component(&self.root);
        program["type"] = json!("application");
        let components: Vec<Value> = self
            .licences
            .keys()
            .filter(|one| **one != self.root)
            .map(component)
            .collect();
        let dependencies: Vec<Value> = self
            .edges
            .iter()
            .map(|(one, others)| {
                json!({"ref": purl(one), "dependsOn": others.iter().map(purl).collect::<Vec<_>>()})
            })
            .collect();
        json!({
            "$schema": format!("http://cyclonedx.org/schema/bom-{SPECIFICATION}.schema.json"),
            "bomFormat": "CycloneDX",
            "specVersion": SPECIFICATION,
            "version": 1,
            "metadata": {
                "lifecycles": [{"phase": "pre-build"}],
                "component": program,
                "properties": [{"name": "cargo:target", "value": target}],
            },
            "components": components,
            "dependencies": dependencies,
        })
    }
}

/// As package URLs name what is on crates.io; a plus sign would be read as a space.
fn purl((name, version): &Crate) -> String {
    format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))
}

/// The SHA-256 of the packages that come from the registry, from `Cargo.lock`.
fn checksums(lock: &str) -> BTreeMap<Crate, String> {
    let mut found = BTreeMap::new();
    for block in lock.split("[[package]]") {
        let value = |key: &str| {
            let of = |line: &str| {
                Some(
                    line.strip_prefix(key)?
                        .strip_prefix(" = \"")?
                        .strip_suffix('"')?
                        .to_owned(),
                )
            };
            block.lines().find_map(of)
        };
        if let (Some(name), Some(version), Some(sum)) =
            (value("name"), value("version"), value("checksum"))
        {
            found.insert((name, version), sum);
        }
    }
    found
}

#[cfg(test)]
#[path = "sbom_tests.rs"]
mod tests;
