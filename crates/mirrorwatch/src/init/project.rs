//! What a project is, and what its sources tell.

use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, InlineTable, value};

use super::InitError;

/// A Cargo project that depends on Burn.
pub struct Project {
    manifest: DocumentMut,
    package: String,
    /// The library's name, if there is one.
    library: Option<String>,
    /// Sources of the library, as modules.
    modules: Vec<Module>,
}

struct Module {
    /// `data::images`, or nothing for the root.
    path: String,
    text: String,
}

/// Types that a sidecar can be written with; as paths.
#[derive(Debug, Default, PartialEq)]
pub struct Found {
    /// The model.
    pub model: Option<String>,
    /// The batcher, its items and its batches.
    pub batcher: Option<Batcher>,
}

/// A batcher.
#[derive(Debug, PartialEq)]
pub struct Batcher {
    /// The batcher itself.
    pub name: String,
    /// What it puts together.
    pub item: String,
    /// What comes out.
    pub batch: String,
    /// Whether it has a `Default`.
    pub default: bool,
}

impl Found {
    /// What was found and what was not, a line each.
    pub fn words(&self) -> Vec<String> {
        let of = |what: &str, name: Option<&String>| match name {
            Some(name) => format!("found the {what} {name}"),
            None => format!("found no {what}: a placeholder stands for it"),
        };
        vec![
            of("model", self.model.as_ref()),
            of("batcher", self.batcher.as_ref().map(|b| &b.name)),
        ]
    }
}

impl Project {
    /// Reads the project in a directory.
    ///
    /// # Errors
    ///
    /// No manifest, one that is none, or a project without Burn.
    pub fn read(directory: &Path) -> Result<Self, InitError> {
        let path = directory.join("Cargo.toml");
        let wrong = |problem: String| InitError::Project {
            path: path.clone(),
            problem,
        };
        let text = std::fs::read_to_string(&path).map_err(|error| {
            wrong(format!(
                "cannot be read ({error}); name the directory of a Cargo project"
            ))
        })?;
        let manifest: DocumentMut = text
            .parse()
            .map_err(|error| wrong(format!("is no manifest: {error}")))?;
        let package = manifest
            .get("package")
            .and_then(|package| package.get("name"))
            .and_then(|name| name.as_str())
            .ok_or_else(|| {
                wrong("has no package; name the directory of one, not of a workspace".to_string())
            })?
            .to_string();
        if manifest
            .get("dependencies")
            .and_then(|d| d.get("burn"))
            .is_none()
        {
            return Err(wrong(
                "does not depend on burn; mirrorwatch watches trainings with Burn".to_string(),
            ));
        }
        let named = manifest.get("lib").and_then(|lib| lib.get("name"));
        let named = named.and_then(|name| name.as_str());
        let root = manifest.get("lib").and_then(|lib| lib.get("path"));
        let root = directory.join(root.and_then(|path| path.as_str()).unwrap_or("src/lib.rs"));
        let library = root
            .is_file()
            .then(|| named.map_or_else(|| package.replace('-', "_"), str::to_string));
        let mut modules = Vec::new();
        if library.is_some() {
            let sources = root.parent().unwrap_or(directory).to_path_buf();
            collect(&root, &sources, &mut modules)?;
        }
        Ok(Self {
            manifest,
            package,
            library,
            modules,
        })
    }

    /// The name of the package.
    pub fn package(&self) -> &str {
        &self.package
    }

    /// Whether a sidecar can use what the project has: there is a library.
    pub fn has_library(&self) -> bool {
        self.library.is_some()
    }

    /// Looks through the sources for what a sidecar needs. By the looks of it: whoever writes things differently gets a
    /// placeholder.
    pub fn found(&self) -> Found {
        let mut found = Found::default();
        for module in &self.modules {
            for (name, derived) in structs(&module.text) {
                // Layers are modules, too: the model is what is trained.
                let trained = self.modules.iter().any(|m| {
                    m.text.contains(&format!("TrainStep for {name} "))
                        || m.text.contains(&format!("TrainStep for {name}{{"))
                });
                if derived.contains("Module") && trained && found.model.is_none() {
                    found.model = Some(self.path(module, &name));
                }
            }
            if found.batcher.is_none() {
                found.batcher = self.batcher(module);
            }
        }
        found
    }

    /// `impl Batcher<Item, Batch> for Name`.
    fn batcher(&self, module: &Module) -> Option<Batcher> {
        let (_, rest) = module.text.split_once("impl Batcher<")?;
        let (types, rest) = rest.split_once("> for ")?;
        let (item, batch) = types.split_once(',')?;
        let name = rest
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .next()?;
        let plain = |name: &str| name.chars().all(|c| c.is_alphanumeric() || c == '_');
        let (item, batch) = (item.trim(), batch.trim());
        if !plain(item) || !plain(batch) || name.is_empty() {
            return None;
        }
        // A type may be defined in another module, or come from elsewhere.
        let place = |name: &str| {
            let defines = |m: &&Module| structs(&m.text).iter().any(|(own, _)| own == name);
            self.modules
                .iter()
                .find(defines)
                .map(|m| self.path(m, name))
        };
        let derived = structs(&module.text)
            .into_iter()
            .find(|(own, _)| own == name);
        Some(Batcher {
            name: place(name)?,
            item: place(item)?,
            batch: place(batch)?,
            default: derived.is_some_and(|(_, derived)| derived.contains("Default")),
        })
    }

    fn path(&self, module: &Module, name: &str) -> String {
        let library = self.library.as_deref().unwrap_or("crate");
        match module.path.as_str() {
            "" => format!("{library}::{name}"),
            path => format!("{library}::{path}::{name}"),
        }
    }

    /// The manifest with mirrorwatch as a dependency; none if it has it.
    ///
    /// # Errors
    ///
    /// Dependencies that are no table.
    pub fn with_dependency(&self, path: Option<&Path>) -> Result<Option<String>, InitError> {
        let mut manifest = self.manifest.clone();
        let dependencies = manifest
            .get_mut("dependencies")
            .and_then(|dependencies| dependencies.as_table_like_mut())
            .ok_or_else(|| InitError::Project {
                path: PathBuf::from("Cargo.toml"),
                problem: "has dependencies that are no table".to_string(),
            })?;
        if dependencies.contains_key("mirrorwatch") {
            return Ok(None);
        }
        let own = match path {
            None => value(env!("CARGO_PKG_VERSION")),
            Some(path) => {
                let mut table = InlineTable::new();
                table.insert("path", path.display().to_string().into());
                value(table)
            }
        };
        dependencies.insert("mirrorwatch", own);
        Ok(Some(manifest.to_string()))
    }
}

/// A program's name becomes a file's.
pub fn check_name(name: &str) -> Result<(), InitError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match !name.is_empty() && name.chars().all(allowed) {
        true => Ok(()),
        false => Err(InitError::Project {
            path: PathBuf::from(name),
            problem: "cannot be a program's name; use letters, digits, dashes and underscores"
                .to_string(),
        }),
    }
}

/// Structs with what they derive: by text, a parser's worth would be too much for a template.
fn structs(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut derived = String::new();
    for line in text.lines().map(str::trim) {
        if let Some(list) = line.strip_prefix("#[derive(") {
            derived.push_str(list);
            continue;
        }
        if let Some(rest) = line.strip_prefix("pub struct ") {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            // Generic types would need more than a name.
            if !rest[end.unwrap_or(rest.len())..].starts_with('<') {
                found.push((
                    rest[..end.unwrap_or(rest.len())].to_string(),
                    derived.clone(),
                ));
            }
        }
        if !line.starts_with('#') && !line.starts_with("//") {
            derived.clear();
        }
    }
    found
}

/// Reads a library's modules below its root, those that are public files.
fn collect(root: &Path, sources: &Path, modules: &mut Vec<Module>) -> Result<(), InitError> {
    let mut open = vec![(root.to_path_buf(), String::new())];
    while let Some((file, path)) = open.pop() {
        let text = std::fs::read_to_string(&file).map_err(|source| InitError::File {
            doing: "read",
            path: file.clone(),
            source,
        })?;
        for line in text.lines() {
            let Some(name) = line
                .strip_prefix("pub mod ")
                .and_then(|l| l.strip_suffix(';'))
            else {
                continue;
            };
            let below = match path.as_str() {
                "" => name.to_string(),
                path => format!("{path}::{name}"),
            };
            let place = sources.join(below.replace("::", "/"));
            for file in [place.with_extension("rs"), place.join("mod.rs")] {
                if file.is_file() {
                    open.push((file, below.clone()));
                }
            }
        }
        modules.push(Module { path, text });
    }
    Ok(())
}
