//! `deploy/`: what starts the stack fits the program, the rules and the provisioning that it starts.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::grafana::{RULES, promtool, read};
use crate::support::place::Place;
use crate::support::process::{Finished, quickstart, run};
use crate::support::results::Results;
use crate::support::wait::eventually;

fn deploy() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

#[track_caller]
fn file(name: &str) -> String {
    let path = deploy().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            // What a user has made for herself.
            true if path.ends_with("secrets") => {}
            true => found.extend(files(&path)),
            false if path.ends_with(".env") => {}
            false => found.push(path),
        }
    }
    found
}

#[test]
fn prometheus_promtool_checks_the_config_of_shards() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("prometheus.yml"), file("shards/prometheus.yml")).unwrap();
    fs::write(at("mirrorwatch.rules.yml"), read(RULES)).unwrap();
    promtool(&[
        "check",
        "config",
        &at("prometheus.yml").display().to_string(),
    ]);
}

/// Runs a script of `deploy/shards` with a sidecar as its command, until the run `r` of the place is finished.
#[track_caller]
fn run_script(
    place: &Place,
    script: &str,
    before: &[&str],
    variables: &[(&str, String)],
) -> Finished {
    let mut command = Command::new("bash");
    command
        .arg(deploy().join("shards").join(script))
        .args(before);
    let program = quickstart();
    command
        .arg(program.get_program())
        .args(["sidecar", "watch"]);
    command
        .args(place.data.arguments())
        .args(["--threads", "1", "--until-finished"]);
    command.arg("--root").arg(place.root());
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    run(command, place.path())
}

#[test]
fn shards_end_together_where_one_of_them_cannot_start() {
    let place = Place::new();
    place.finished_run("r", 1);
    // The second one's port is taken.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = (taken.local_addr().unwrap().port() - 1).to_string();
    let shared = place.at("plain").display().to_string();
    let finished = run_script(&place, "processes.sh", &["2", &shared], &[("PORT", port)]).expect(2);
    assert!(
        finished.stderr.contains("a shard ended with 2"),
        "{}",
        finished.story()
    );
}

/// Suspects in the last lists of these states.
fn suspects(place: &Place, states: &[String]) -> usize {
    let of = |state: &String| Results::new(&place.at(state), "r").last_suspects().len();
    states.iter().map(of).sum()
}

#[test]
fn shards_start_as_plain_processes_and_as_an_array_job() {
    let place = Place::new();
    place.finished_run("r", 2);
    place.reference(&[]);
    let wanted = suspects(&place, &["reference".to_string()]);
    assert!(wanted > 0);
    // Three ports in a row that are most likely free: not among those that systems hand out by themselves.
    let port = (12_000 + std::process::id() % 20_000).to_string();

    let shared = place.at("plain").display().to_string();
    let variables = [("PORT", port.clone())];
    run_script(&place, "processes.sh", &["3", &shared], &variables).expect(0);
    let states: Vec<String> = (0..3).map(|index| format!("plain/state-{index}")).collect();
    assert_eq!(suspects(&place, &states), wanted);

    // As Slurm starts them: each by itself, with its number in the environment.
    let shared = place.at("array").display().to_string();
    std::thread::scope(|scope| {
        for index in 0..2 {
            let variables = [
                ("SLURM_ARRAY_JOB_ID", "71".to_string()),
                ("SLURM_ARRAY_TASK_ID", index.to_string()),
                ("SLURM_ARRAY_TASK_COUNT", "2".to_string()),
                ("MIRRORWATCH_SHARED", shared.clone()),
                ("PORT", port.clone()),
            ];
            let place = &place;
            scope.spawn(move || run_script(place, "slurm.sh", &[], &variables).expect(0));
        }
    });
    let states: Vec<String> = (0..2).map(|index| format!("array/state-{index}")).collect();
    assert_eq!(suspects(&place, &states), wanted);
    // What Prometheus discovers them by.
    let target = fs::read_to_string(place.at("array/shard-1.json")).unwrap();
    let target: serde_json::Value = serde_json::from_str(&target).unwrap();
    assert!(
        target[0]["targets"][0].as_str().unwrap().contains(':'),
        "{target}"
    );
}

#[test]
fn prometheus_promtool_checks_the_config_of_compose() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let text = file("compose/prometheus.yml");
    assert!(text.contains("/run/secrets/sidecar-password"), "{text}");
    // What the container has there.
    let here = directory.path().display().to_string();
    fs::write(at("prometheus.yml"), text.replace("/run/secrets", &here)).unwrap();
    fs::write(at("sidecar-password"), "any").unwrap();
    fs::write(at("mirrorwatch.rules.yml"), read(RULES)).unwrap();
    let config = at("prometheus.yml").display().to_string();
    promtool(&["check", "config", &config]);
}

/// The long options in a text, without their values.
fn options(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| c.is_whitespace() || "=\"'`,[]()".contains(c));
    let names = words.filter_map(|word| word.strip_prefix("--"));
    names
        .filter(|name| name.starts_with(|c: char| c.is_ascii_alphabetic()))
        .map(|name| format!("--{name}"))
        .collect()
}

#[test]
fn options_are_words_without_values() {
    let text = "a -b --c --d=/e \"--f.g=1\", `--h`; I=--j k -- --- x--y";
    let expected = ["--c", "--d", "--f.g", "--h", "--j"].map(String::from);
    assert_eq!(options(text), BTreeSet::from(expected));
}

/// The lines that start with `start`, commented out or not.
fn lines(text: &str, start: &str) -> String {
    let lines = text.lines().map(|line| line.trim_start_matches([' ', '#']));
    let lines: Vec<&str> = lines.filter(|line| line.starts_with(start)).collect();
    lines.join("\n")
}

/// The lines that do not start with `start`.
fn lines_without(text: &str, start: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with(start))
        .collect();
    lines.join("\n")
}

#[test]
fn every_option_that_is_given_to_the_sidecar_exists() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = quickstart();
    command.args(["sidecar", "watch", "--help"]);
    let help = run(command, directory.path()).expect(0).stdout;
    let known = options(&lines(&help, "-"));
    assert!(known.contains("--root"), "{help}");

    let compose = file("compose/compose.yaml");
    let (sidecar, _) = compose.split_once("\n  alertmanager:\n").unwrap();
    let given = [
        ("compose.yaml", lines(sidecar, "- --")),
        (
            "compose.own.yaml",
            lines(&file("compose/compose.own.yaml"), "- --"),
        ),
        ("Dockerfile", lines(&file("compose/Dockerfile"), "CMD")),
        ("job.yaml", lines(&file("kubernetes/job.yaml"), "- --")),
        ("processes.sh", file("shards/processes.sh")),
        // But for those of Slurm itself.
        ("slurm.sh", lines_without(&file("shards/slurm.sh"), "#")),
        (
            "indexed-job.yaml",
            lines(&file("shards/indexed-job.yaml"), "- --"),
        ),
        (
            "statefulset.yaml",
            lines(&file("shards/statefulset.yaml"), "- --"),
        ),
        ("mirrorwatch.service", file("systemd/mirrorwatch.service")),
        ("mirrorwatch.env", file("systemd/mirrorwatch.env")),
    ];
    for (name, text) in given {
        let given = options(&text);
        assert!(!given.is_empty(), "{name}: no options found");
        let unknown: Vec<&String> = given.difference(&known).collect();
        assert!(unknown.is_empty(), "{name}: {unknown:?} not in {help}");
    }
}

#[test]
fn the_rules_for_the_operator_are_those_of_grafana() {
    let (plain, resource) = (read(RULES), file("kubernetes/prometheusrule.yaml"));
    let (_, groups) = plain.split_once("\ngroups:\n").unwrap();
    let (_, ours) = resource.split_once("\nspec:\n  groups:\n").unwrap();
    let ours: Vec<&str> = ours.lines().collect();
    let groups: Vec<String> = groups
        .lines()
        .map(|line| match line.is_empty() {
            true => String::new(),
            false => format!("  {line}"),
        })
        .collect();
    assert_eq!(
        ours, groups,
        "run deploy/kubernetes/make-prometheusrule.sh after a change of the rules"
    );
}

#[test]
fn the_data_source_of_compose_differs_in_its_address_only() {
    let (ours, plain) = (
        file("compose/datasource.yml"),
        read("provisioning/datasources/mirrorwatch.yml"),
    );
    let expected = plain.replace("http://127.0.0.1:9090", "http://prometheus:9090");
    assert_ne!(expected, plain);
    assert_eq!(ours, expected);
}

#[test]
fn what_is_mounted_or_generated_from_exists() {
    let mut seen = 0;
    let mut exists = |directory: &str, path: &str| {
        let path = deploy().join(directory).join(path);
        assert!(path.exists(), "{}", path.display());
        seen += 1;
    };
    for line in file("compose/compose.yaml").lines() {
        let mount = line.trim().strip_prefix("- ").unwrap_or_default();
        if let Some((source, _)) = mount.split_once(":/")
            && source.starts_with('.')
        {
            exists("compose", source);
        }
    }
    for line in file("kubernetes/kustomization.yaml").lines() {
        let resource = line.trim().strip_prefix("- ").unwrap_or_default();
        if resource.ends_with(".yaml") {
            exists("kubernetes", resource);
        }
    }
    for line in file("kubernetes/dashboards/kustomization.yaml").lines() {
        let dashboard = line.trim().strip_prefix("- ").unwrap_or_default();
        if dashboard.ends_with(".json") {
            exists("kubernetes/dashboards", dashboard);
        }
    }
    assert_eq!(seen, 6 + 7 + 2);
}

#[test]
fn ports_are_on_loopback_unless_somebody_changes_them() {
    let compose = file("compose/compose.yaml");
    let ports = lines(&compose, "ports:");
    assert_eq!(ports.lines().count(), 4, "{ports}");
    for line in ports.lines() {
        assert!(line.starts_with("ports: [\"127.0.0.1:${"), "{line}");
    }
    assert!(!compose.contains("--web.allow-insecure"));
}

#[test]
fn there_is_no_default_password() {
    for path in files(&deploy()) {
        let text = fs::read_to_string(&path).unwrap();
        for line in text.lines().map(str::trim) {
            for prefix in ["$2a$", "$2b$", "$2y$"] {
                assert!(!line.contains(prefix), "{}: {line}", path.display());
            }
            let prose = line.starts_with('#') || path.extension().is_some_and(|e| e == "md");
            let Some((key, value)) = line.split_once([':', '=']) else {
                continue;
            };
            if prose || !key.to_lowercase().contains("password") {
                continue;
            }
            // Nothing, or where it is.
            let value = value.trim();
            let empty = value.is_empty() || value == "\"\"";
            assert!(
                empty || value.starts_with('/'),
                "{}: {line}",
                path.display()
            );
        }
    }
    for line in file("compose/.env.example").lines() {
        let set = !line.is_empty() && !line.starts_with('#');
        assert!(!set || line.ends_with('='), "{line}");
    }
    let compose = file("compose/compose.yaml");
    let (_, secrets) = compose.split_once("\nsecrets:\n").unwrap();
    let secrets = lines(secrets, "file: ");
    assert_eq!(secrets.lines().count(), 3, "{secrets}");
    for line in secrets.lines() {
        assert!(
            line.starts_with("file: ${") && line.contains(":?"),
            "{line}"
        );
    }
}

#[test]
fn the_health_check_of_the_image_knows_the_password() {
    let place = Place::new();
    // A test vector of crypt_blowfish.
    let hash = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
    let web = place.at("web.yml");
    fs::write(
        &web,
        format!("basic_auth_users: {{mirrorwatch: '{hash}'}}\n"),
    )
    .unwrap();
    let (password, another) = (place.at("password"), place.at("another"));
    fs::write(&password, "U*U\n").unwrap();
    fs::write(&another, "U*V\n").unwrap();
    let sidecar = place
        .watch("state")
        .with(&["--web.config.file", web.to_str().unwrap()])
        .start();
    let (_, port) = sidecar.address.rsplit_once(':').unwrap();
    let ready = |password: &Path, path: &str, port: &str| -> Finished {
        let mut command = Command::new("bash");
        command.arg(deploy().join("compose/mirrorwatch-ready"));
        command.arg(password).args([path, port]);
        run(command, place.path())
    };
    eventually("the sidecar to be ready", || {
        let asked = ready(&password, "/readyz", port);
        (asked.code == Some(0))
            .then_some(())
            .ok_or_else(|| asked.story())
    });
    ready(&password, "/healthz", port).expect(0);
    let refused = ready(&another, "/readyz", port).expect(1);
    assert!(refused.stderr.contains("401"), "{}", refused.story());
    ready(&place.at("nowhere"), "/readyz", port).expect(1);
    ready(&password, "/nowhere", port).expect(1);
    // Nobody listens on port 1.
    ready(&password, "/readyz", "1").expect(1);
}
