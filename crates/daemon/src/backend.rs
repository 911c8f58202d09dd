//! Devices by name.

use burn::tensor::Device;

use crate::error::DaemonError;

/// A device that this build can compute on.
type Backend = (&'static str, fn() -> Device);

const BACKENDS: &[Backend] = &[
    #[cfg(feature = "flex")]
    ("flex", Device::flex),
    #[cfg(feature = "tch")]
    ("tch", libtorch),
];

// Deprecated by Burn 0.22 in favour of nothing: burn-tch ends with this version.
#[cfg(feature = "tch")]
#[allow(deprecated)]
fn libtorch() -> Device {
    Device::libtorch()
}

/// The names of the devices in this build.
pub fn names() -> Vec<&'static str> {
    BACKENDS.iter().map(|(name, _)| *name).collect()
}

/// The device of this name, always explicit: Burn's default device changes with build features.
///
/// # Errors
///
/// Lists the devices of this build when there is none of that name.
pub fn device(name: &str) -> Result<Device, DaemonError> {
    for (known, make) in BACKENDS {
        if *known == name {
            return Ok(make());
        }
    }
    Err(DaemonError::Option(format!(
        "unknown device {name:?}: this build has {}; another one needs its cargo feature",
        names().join(", ")
    )))
}
