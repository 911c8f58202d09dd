use super::*;

fn refused(name: &str) -> String {
    device(name).unwrap_err().to_string()
}

#[test]
fn the_default_is_in_the_build_and_flex_where_it_can_be() {
    assert!(names().contains(&default_name()));
    #[cfg(feature = "flex")]
    assert_eq!(default_name(), "flex");
    assert!(device(default_name()).is_ok());
}

#[test]
fn a_device_of_another_build_names_the_feature_it_needs() {
    for (form, feature, _) in FORMS.iter().filter(|(_, _, here)| !here) {
        let name = form.replace('N', "0");
        let message = refused(&name);
        assert!(message.contains(&format!("{name:?}")), "{message}");
        assert!(
            message.ends_with(&format!("the cargo feature {feature}")),
            "{message}"
        );
        assert!(message.contains(&names().join(", ")), "{message}");
    }
}

#[test]
fn an_unknown_name_lists_what_there_is() {
    for name in ["", "cuda", "flex:0", "tch:", "tch:cuda:", "TCH", "tch:cpu"] {
        let message = refused(name);
        assert!(
            message.starts_with(&format!("unknown device {name:?}")),
            "{message}"
        );
        assert!(message.contains(&names().join(", ")), "{message}");
    }
}

#[test]
fn a_cuda_device_must_be_one_of_those_there_are() {
    assert_eq!(cuda_index("", 2), Ok(0));
    assert_eq!(cuda_index("1", 2), Ok(1));
    let message = cuda_index("2", 2).unwrap_err();
    assert!(message.contains("finds 2 CUDA devices"), "{message}");
    let message = cuda_index("0", 0).unwrap_err();
    assert!(message.contains("no CUDA device"), "{message}");
    // `N` is what the help writes.
    for wrong in ["N", "x", "-1", "1.0", "99999999999999999999999"] {
        let message = cuda_index(wrong, 2).unwrap_err();
        assert!(message.contains("is no number"), "{message}");
    }
}
