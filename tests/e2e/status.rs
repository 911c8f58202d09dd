//! What the sidecar's program tells besides watching: status, completions, manual pages.

use std::fs;

use crate::support::place::Place;
use crate::support::process::{quickstart, run};

#[test]
fn status_tells_what_a_running_sidecar_knows() {
    let place = Place::new();
    let mut trainer = place.trainer("resnet-7");
    trainer.epoch();
    let mut sidecar = place.watch("state").start();
    let scrape = sidecar.wait_for_scans(1);
    let url = format!("http://{}", sidecar.address);
    let ask = |more: &[&str]| {
        let mut command = quickstart();
        command
            .args(["sidecar", "status", "--url", &url])
            .args(more);
        run(command, place.path()).expect(0).stdout
    };
    let told = ask(&[]);
    let suspects = scrape
        .value("mirrorwatch_suspects{run=\"resnet-7\"}")
        .unwrap();
    assert!(told.starts_with("mirrorwatch "), "{told}");
    assert!(told.contains("resnet-7 (running), epoch 1"), "{told}");
    assert!(
        told.contains(&format!("{suspects} of 1300 labels are suspicious")),
        "{told}"
    );
    let json: serde_json::Value = serde_json::from_str(&ask(&["--json"])).unwrap();
    assert_eq!(json["runs"][0]["summary"]["suspects"], suspects as u64);

    sidecar.terminate();
    let mut command = quickstart();
    command.args(["sidecar", "status", "--url", &url]);
    let finished = run(command, place.path()).expect(2);
    assert!(
        finished.stderr.contains("is the sidecar running"),
        "{}",
        finished.story()
    );
}

#[test]
fn completions_and_manual_pages_know_the_options() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let mut command = quickstart();
        command.args(["sidecar", "completions", shell]);
        let told = run(command, place.path()).expect(0).stdout;
        assert!(told.contains("until-finished"), "{shell}");
    }
    let pages = place.at("man");
    let mut command = quickstart();
    command.args(["sidecar", "man"]).arg(&pages);
    run(command, place.path()).expect(0);
    let mut names: Vec<String> = fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(
        names.iter().any(|name| name.ends_with("-watch.1")),
        "{names:?}"
    );
    let watch = names
        .iter()
        .find(|name| name.ends_with("-watch.1"))
        .unwrap();
    let page = fs::read_to_string(pages.join(watch)).unwrap();
    assert!(page.starts_with(".ie") || page.contains(".TH"), "{page}");
    assert!(page.contains("until\\-finished"), "{page}");
}
