use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    watch: WatchArgs,
}

fn parse(arguments: &[&str]) -> Result<WatchArgs, String> {
    let line = Line::try_parse_from([&["watch"], arguments].concat());
    line.map(|l| l.watch).map_err(|error| error.to_string())
}

#[test]
fn every_default_is_accepted_by_the_statistics() {
    let levels = parse(&[]).unwrap().scan.levels();
    assert!(mirrorwatch_stats::noise_ratio::lower_bound(&[0.0], &[1.0], levels.alpha).is_ok());
    assert!(mirrorwatch_stats::fdr::benjamini_hochberg(&[0.5], levels.fdr).is_ok());
}

/// What the statistics would refuse must not cost a scan first.
#[test]
fn levels_out_of_range_are_refused_at_the_command_line() {
    for value in ["0", "1", "-0.1", "nan", "inf", "x", ""] {
        let arguments = [format!("--fdr={value}"), format!("--alpha={value}")];
        for argument in &arguments {
            let message = parse(&[argument]).unwrap_err();
            assert!(message.contains("must be a number"), "{message}");
        }
    }
    assert!(
        parse(&["--alpha", "0.6"])
            .unwrap_err()
            .contains("at most 0.5")
    );
    for alpha in ["0.001", "0.5"] {
        let alpha = parse(&["--alpha", alpha]).unwrap().scan.alpha;
        assert!(mirrorwatch_stats::noise_ratio::lower_bound(&[0.0], &[1.0], alpha).is_ok());
    }
}

#[test]
fn counts_out_of_range_are_refused_at_the_command_line() {
    for arguments in [
        ["--folds", "1"],
        ["--folds", "21"],
        ["--batch-size", "0"],
        ["--queue", "0"],
        ["--rescan-seconds", "0"],
        ["--log.format", "xml"],
    ] {
        let message = parse(&arguments).unwrap_err();
        assert!(message.contains(arguments[0]), "{message}");
    }
}

#[test]
fn an_unknown_device_lists_the_known_ones() {
    let options = parse(&["--device", "abacus"]).unwrap().scan;
    let message = backend::device(&options.device).unwrap_err().to_string();
    for name in backend::names() {
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn polling_lists_often_and_state_lies_below_the_root() {
    let polled = parse(&["--poll"]).unwrap();
    assert_eq!(polled.rescan(), Duration::from_secs(2));
    let polled = parse(&["--poll", "--rescan-seconds", "1"]).unwrap();
    assert_eq!(polled.rescan(), Duration::from_secs(1));
    let watched = parse(&["--root", "x", "--rescan-seconds", "60"]).unwrap();
    assert_eq!(watched.rescan(), Duration::from_secs(60));
    assert_eq!(watched.state(), PathBuf::from("x/.mirrorwatch"));
    let elsewhere = parse(&["--state", "y"]).unwrap();
    assert_eq!(elsewhere.state(), PathBuf::from("y"));
}
