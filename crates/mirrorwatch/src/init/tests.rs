//! Projects as they come.

use super::*;

fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        write(&directory.path().join(name), text).unwrap();
    }
    directory
}

const MANIFEST: &str = "[package]\nname = \"my-net\"\n\n# kept\n[dependencies]\nburn = \"0.22\"\n";
const LIB: &str = "pub mod data;\npub mod model;\nmod hidden;\n";
const DATA: &str = "#[derive(Clone, Debug)]\npub struct Item {\n    pub x: f32,\n}\n\n#[derive(Clone, Default)]\npub struct Batches {}\n\n#[derive(Clone)]\npub struct Batch {}\n\nimpl Batcher<Item, Batch> for Batches {}\n";
const MODEL: &str = "#[derive(Module, Debug)]\npub struct Layer {}\n\n#[derive(Module, Debug)]\npub struct Net {}\n\nimpl TrainStep for Net {}\n";

fn args(directory: &Path, more: &[&str]) -> InitArgs {
    let place = directory.display().to_string();
    let all = ["init", &place, "--no-check"]
        .into_iter()
        .chain(more.iter().copied());
    InitArgs::try_parse_from(all).unwrap()
}

#[test]
fn types_are_found_and_nothing_else_is_touched() {
    let project = project(&[
        ("Cargo.toml", MANIFEST),
        ("src/lib.rs", LIB),
        ("src/data.rs", DATA),
        ("src/model/mod.rs", MODEL),
        ("src/hidden.rs", ""),
    ]);
    init(&args(project.path(), &["--path", "../mw"])).unwrap();
    let read = |name: &str| std::fs::read_to_string(project.path().join(name)).unwrap();
    let sidecar = read("src/bin/sidecar.rs");
    for line in [
        "type Model = my_net::model::Net;",
        "type Item = my_net::data::Item;",
        "type Batch = my_net::data::Batch;",
        "my_net::data::Batches::default().batch(items, device)",
    ] {
        assert!(sidecar.contains(line), "{line}: {sidecar}");
    }
    let manifest = read("Cargo.toml");
    assert!(manifest.starts_with(MANIFEST.trim_end()), "{manifest}");
    assert!(
        manifest.contains("mirrorwatch = { path = \"../mw\" }"),
        "{manifest}"
    );
    assert!(read("mirrorwatch/prometheus.yml").contains("127.0.0.1:9464"));
    assert_eq!(read("mirrorwatch/mirrorwatch.rules.yml"), RULES);
    assert_eq!(
        (read("src/data.rs"), read("src/lib.rs")),
        (DATA.to_string(), LIB.to_string())
    );

    // A second time it stops before it writes anything.
    let again = init(&args(project.path(), &[])).unwrap_err().to_string();
    assert!(again.contains("is there already; --force"), "{again}");
    init(&args(project.path(), &["--force"])).unwrap();
    assert_eq!(read("Cargo.toml").matches("mirrorwatch").count(), 1);
}

#[test]
fn what_is_not_found_is_a_placeholder() {
    let project = project(&[("Cargo.toml", MANIFEST), ("src/main.rs", "fn main() {}\n")]);
    init(&args(project.path(), &["--name", "watcher"])).unwrap();
    let sidecar = std::fs::read_to_string(project.path().join("src/bin/watcher.rs")).unwrap();
    assert!(
        sidecar.contains("type Model = burn::nn::Linear;"),
        "{sidecar}"
    );
    assert!(sidecar.contains("The project has no library"), "{sidecar}");
    assert!(
        sidecar.contains("cargo run --bin watcher -- watch"),
        "{sidecar}"
    );
    let manifest = std::fs::read_to_string(project.path().join("Cargo.toml")).unwrap();
    assert!(manifest.contains(concat!("mirrorwatch = \"", env!("CARGO_PKG_VERSION"), "\"")));
}

#[test]
fn what_is_no_project_of_burns_is_refused() {
    let refused = |files: &[(&str, &str)], more: &[&str]| {
        let project = project(files);
        init(&args(project.path(), more)).unwrap_err().to_string()
    };
    assert!(refused(&[], &[]).contains("name the directory of a Cargo project"));
    assert!(refused(&[("Cargo.toml", "[")], &[]).contains("is no manifest"));
    assert!(refused(&[("Cargo.toml", "[workspace]\n")], &[]).contains("not of a workspace"));
    let without = "[package]\nname = \"a\"\n";
    assert!(refused(&[("Cargo.toml", without)], &[]).contains("does not depend on burn"));
    assert!(refused(&[("Cargo.toml", MANIFEST)], &["--name", "../x"]).contains("program's name"));
}

/// The crate carries a copy, because a published crate has nothing from outside its directory.
#[test]
fn the_rules_are_those_of_the_repository() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../grafana/prometheus/mirrorwatch.rules.yml"
    );
    if let Ok(rules) = std::fs::read_to_string(path) {
        assert!(rules == RULES, "copy {path} to templates/rules.yml");
    }
}
