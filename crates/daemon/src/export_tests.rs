use super::*;

fn export() -> Export {
    let relabel = |index| Relabel {
        index,
        id: format!("s{index}"),
        given: 1,
        suggested: 0,
        wrong_probability: 0.75,
    };
    Export {
        schema: EXPORT_SCHEMA,
        run: "r".to_string(),
        epoch: 3,
        step: 30,
        fingerprint: String::new(),
        samples: 5,
        fdr: 0.1,
        refusal: None,
        suspects: vec![relabel(3), relabel(0)],
        canaries: vec![],
        reviews: vec![],
    }
}

#[test]
fn every_file_says_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let labels = Labels {
        classes: 2,
        train: vec![1, 0, 0, 1, 1],
        probe: vec![],
        trusted: vec![],
        canaries: vec![],
        unlabelled: vec![],
    };
    let wrong = [0.75, 0.0, 0.25, 0.75, 0.5];
    write(directory.path(), &export(), &labels, &wrong).unwrap();
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
    assert_eq!(read("keep.txt"), "1\n2\n4\n");
    assert_eq!(
        read("relabel.csv"),
        "index,id,given,suggested,wrong_probability\n3,s3,1,0,0.75\n0,s0,1,0,0.75\n"
    );
    assert_eq!(
        read("weights.csv"),
        "index,weight\n0,0.25\n1,1.0\n2,0.75\n3,0.25\n4,0.5\n"
    );
    let issues = read("label_issues.csv");
    let lines: Vec<&str> = issues.lines().collect();
    assert_eq!(
        lines[0],
        "is_label_issue,label_quality,given_label,predicted_label"
    );
    assert_eq!((lines[1], lines[5]), ("true,0.25,1,0", "false,0.5,1,1"));
    let path = directory.path().join("export.json");
    assert_eq!(Export::read(&path).unwrap(), export());
}

#[test]
fn what_was_made_wrong_on_purpose_is_not_kept() {
    let canary = Relabel {
        index: 4,
        ..Relabel::default()
    };
    let export = Export {
        canaries: vec![canary],
        ..export()
    };
    assert_eq!(export.kept(), [1, 2]);
}

#[test]
fn an_export_that_fits_nothing_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("export.json");
    let refused = |export: &Export, part: &str| {
        std::fs::write(&path, serde_json::to_vec(export).unwrap()).unwrap();
        let error = Export::read(&path).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    let short = Export {
        samples: 3,
        ..export()
    };
    refused(&short, "suspect 3 is none of 3 samples");
    let newer = Export {
        schema: 9,
        ..export()
    };
    refused(&newer, "export again");
    std::fs::write(&path, "{}").unwrap();
    assert!(Export::read(&path).is_err());
}
