use super::*;

/// As cargo 1.95 prints it, cut short.
const TREE: &str = "0\tprogram v0.1.0 (/home/me/program)\tMIT OR Apache-2.0
1\tone v1.2.3\tMIT/Apache-2.0
2\tderive v0.8.63 (proc-macro)\tMIT
3\tleaf v2.0.0+c5\tISC
1\tleaf v2.0.0+c5\tISC
1\tother v1.0.0\tZlib
2\tone v1.2.3\tMIT/Apache-2.0 (*)
";

const SHIPPED: &str = "0\tprogram v0.1.0 (/home/me/program)\tMIT OR Apache-2.0
1\tone v1.2.3\tMIT/Apache-2.0
1\tleaf v2.0.0+c5\tISC
";

const LOCK: &str = "version = 4

[[package]]
name = \"one\"
version = \"1.2.3\"
source = \"registry\"
checksum = \"abc\"
dependencies = [
 \"derive\",
]

[[package]]
name = \"program\"
version = \"0.1.0\"
";

fn by_hand() -> Value {
    let read = |text| Tree::of(text).expect("a tree");
    read(TREE).bill(&read(SHIPPED), &checksums(LOCK), TARGET)
}

fn find<'a>(list: &'a Value, key: &str, value: &str) -> &'a Value {
    let mut entries = list.as_array().expect("a list").iter();
    entries
        .find(|entry| entry[key] == value)
        .unwrap_or_else(|| panic!("{value} is not there"))
}

#[test]
fn a_tree_becomes_a_bill() {
    let bill = by_hand();
    assert_eq!(
        bill["metadata"]["component"]["purl"],
        "pkg:cargo/program@0.1.0"
    );
    assert_eq!(bill["components"].as_array().map(Vec::len), Some(4));
    let one = find(&bill["components"], "name", "one");
    assert_eq!(
        one["licenses"],
        json!([{"expression": "MIT OR Apache-2.0"}])
    );
    assert_eq!(one["hashes"], json!([{"alg": "SHA-256", "content": "abc"}]));
    assert_eq!(one["scope"], "required");
    let derive = find(&bill["components"], "name", "derive");
    assert_eq!(derive["scope"], "excluded");
    assert!(derive["hashes"].is_null());
    assert!(
        !bill.to_string().contains("/home"),
        "no path of this machine"
    );
}

#[test]
fn a_crate_that_is_there_twice_keeps_its_dependencies() {
    let bill = by_hand();
    let of = |name: &str| find(&bill["dependencies"], "ref", name)["dependsOn"].clone();
    let leaf = "pkg:cargo/leaf@2.0.0%2Bc5";
    let (one, other) = ("pkg:cargo/one@1.2.3", "pkg:cargo/other@1.0.0");
    assert_eq!(of("pkg:cargo/program@0.1.0"), json!([leaf, one, other]));
    assert_eq!(of(one), json!(["pkg:cargo/derive@0.8.63"]));
    assert_eq!(of(other), json!([one]));
    assert_eq!(of(leaf), json!([]));
}

#[test]
fn what_cargo_tree_does_not_say_is_refused() {
    for text in [
        "",
        "one v1.0.0",
        "0\tone v1.0.0",
        "0\tone 1.0.0\tMIT",
        "1\tone v1.0.0\tMIT",
    ] {
        assert!(Tree::of(text).is_err(), "{text:?}");
    }
}

#[test]
fn the_bill_of_the_program_is_whole_and_always_the_same() {
    let context = Context::new(false, false).expect("cargo metadata works in a test");
    let bill = bill(&context, TARGET).expect("a bill");
    let again = super::bill(&context, TARGET).expect("a bill");
    assert_eq!(bill.to_string(), again.to_string());

    let components = &bill["components"];
    for name in ["mirrorwatch-daemon", "burn", "ring", "rustls"] {
        assert_eq!(find(components, "name", name)["scope"], "required");
    }
    assert_eq!(find(components, "name", "cc")["scope"], "excluded");
    // Of the tests, of other programs, and of a feature that is off.
    for name in ["proptest", "rcgen", "embedded-graphics", "xtask", "tch"] {
        let named = |entry: &Value| entry["name"] == name;
        assert!(
            !components.as_array().expect("a list").iter().any(named),
            "{name}"
        );
    }
    let known: BTreeSet<&str> = components
        .as_array()
        .expect("a list")
        .iter()
        .chain([&bill["metadata"]["component"]])
        .map(|entry| entry["bom-ref"].as_str().expect("a reference"))
        .collect();
    let dependencies = bill["dependencies"].as_array().expect("a list");
    assert_eq!(dependencies.len(), known.len());
    for entry in dependencies {
        for other in entry["dependsOn"].as_array().expect("a list") {
            assert!(
                known.contains(other.as_str().expect("a reference")),
                "{other}"
            );
        }
    }
    // What comes from the registry is named by its checksum.
    for entry in components.as_array().expect("a list") {
        let name = entry["name"].as_str().expect("a name");
        let ours = name.starts_with("mirrorwatch");
        assert_eq!(entry["hashes"].is_null(), ours, "{name}");
        assert!(entry["licenses"].is_array(), "{name}");
    }
}
