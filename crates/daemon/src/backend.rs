//! Devices by name.

use burn::tensor::Device;

use crate::error::DaemonError;

/// What `--device` may name, the cargo feature that it needs, and whether this build has it. The first one that it has
/// is its default.
const FORMS: &[(&str, &str, bool)] = &[
    ("flex", "flex", cfg!(feature = "flex")),
    ("ndarray", "ndarray", cfg!(feature = "ndarray")),
    ("tch", "tch", cfg!(feature = "tch")),
    ("tch:cuda", "tch", cfg!(feature = "tch")),
    (CUDA_NUMBERED, "tch", cfg!(feature = "tch")),
    ("tch:mps", "tch", cfg!(feature = "tch")),
    ("wgpu", "wgpu", cfg!(feature = "wgpu")),
];

const CUDA_NUMBERED: &str = "tch:cuda:N";

/// The device of a form that this build has, or why this machine has none.
fn make(form: &str, number: &str) -> Result<Device, String> {
    match form {
        #[cfg(feature = "flex")]
        "flex" => Ok(Device::flex()),
        #[cfg(feature = "ndarray")]
        "ndarray" => Ok(ndarray()),
        #[cfg(feature = "tch")]
        "tch" => Ok(libtorch::cpu()),
        #[cfg(feature = "tch")]
        "tch:cuda" | CUDA_NUMBERED => libtorch::cuda(number),
        #[cfg(feature = "tch")]
        "tch:mps" => libtorch::mps(),
        #[cfg(feature = "wgpu")]
        "wgpu" => wgpu(),
        // `FORMS` says which there are.
        _ => unreachable!("no device {form} {number} in this build"),
    }
}

// Deprecated by Burn 0.22 in favour of Flex: burn-ndarray ends with this version.
#[cfg(feature = "ndarray")]
#[allow(deprecated)]
fn ndarray() -> Device {
    Device::ndarray()
}

/// Burn opens an adapter at the first tensor, and panics where there is none.
#[cfg(feature = "wgpu")]
fn wgpu() -> Result<Device, String> {
    use burn::tensor::{DeviceKind, DeviceType};

    if Device::enumerate(DeviceType::Wgpu).is_empty() {
        return Err(
            "no graphics adapter is found on this machine; install a Vulkan driver, or compute on another device"
                .to_string(),
        );
    }
    Ok(Device::wgpu(DeviceKind::DefaultDevice))
}

/// The devices of libtorch. Deprecated by Burn 0.22 in favour of its own: burn-tch ends with this version.
#[cfg(feature = "tch")]
#[allow(deprecated)]
mod libtorch {
    use burn::tensor::{Device, DeviceType};

    pub fn cpu() -> Device {
        Device::libtorch()
    }

    /// libtorch finds out at the first tensor, and Burn panics then.
    pub fn cuda(number: &str) -> Result<Device, String> {
        // Burn lists libtorch's CUDA devices and no others.
        let index = super::cuda_index(number, Device::enumerate(DeviceType::LibTorch).len())?;
        Ok(Device::libtorch_cuda(index))
    }

    pub fn mps() -> Result<Device, String> {
        if cfg!(target_os = "macos") {
            Ok(Device::libtorch_mps())
        } else {
            Err("only macOS has it; compute on another device, tch for example".to_string())
        }
    }
}

/// The index that `tch:cuda` or `tch:cuda:N` names, of so many devices.
#[cfg(any(feature = "tch", test))]
fn cuda_index(number: &str, devices: usize) -> Result<usize, String> {
    let index = match number {
        "" => 0,
        digits => digits
            .parse()
            .map_err(|_| format!("{digits:?} is no number; write tch:cuda:0 for example"))?,
    };
    match devices {
        0 => Err(
            "libtorch finds no CUDA device on this machine; check that nvidia-smi lists one and that LIBTORCH named a libtorch with CUDA when this program was built, or compute on tch"
                .to_string(),
        ),
        _ if index >= devices => Err(format!(
            "libtorch finds {devices} CUDA devices on this machine, numbered from 0; name one below {devices}"
        )),
        _ => Ok(index),
    }
}

/// The names of the devices in this build; an `N` stands for a number.
///
/// ```
/// assert!(mirrorwatch_daemon::backend::names().contains(&"flex"));
/// ```
pub fn names() -> Vec<&'static str> {
    let here = FORMS.iter().filter(|(_, _, here)| *here);
    here.map(|(name, _, _)| *name).collect()
}

/// The device that is computed on where none is named: Flex, or the first one of a build without it.
///
/// ```
/// assert_eq!(mirrorwatch_daemon::backend::default_name(), "flex");
/// ```
pub fn default_name() -> &'static str {
    names().first().copied().unwrap_or("flex")
}

/// The device of this name, always explicit: Burn's default device changes with build features.
///
/// # Errors
///
/// Lists the devices of this build when there is none of that name; says what is missing where this machine
/// cannot compute on it.
///
/// ```
/// use mirrorwatch_daemon::backend::device;
///
/// assert_eq!(device("flex")?, burn::tensor::Device::flex());
/// assert!(device("abacus").is_err_and(|error| error.to_string().starts_with("unknown device \"abacus\"")));
/// # Ok::<(), mirrorwatch_daemon::DaemonError>(())
/// ```
pub fn device(name: &str) -> Result<Device, DaemonError> {
    // The number of a numbered form is what its name does not say.
    let (form, number) = match name.strip_prefix("tch:cuda:") {
        Some(number) if !number.is_empty() => (CUDA_NUMBERED, number),
        _ => (name, ""),
    };
    let here = match names().as_slice() {
        [] => "none".to_string(),
        names => names.join(", "),
    };
    let message = match FORMS.iter().find(|(known, _, _)| *known == form) {
        Some((_, _, true)) => match make(form, number) {
            Ok(device) => return Ok(device),
            Err(why) => format!("no device {name:?}: {why}"),
        },
        Some((_, feature, false)) => format!(
            "no device {name:?} in this build, which has {here}; build it with the cargo feature {feature}"
        ),
        None => format!(
            "unknown device {name:?}: this build has {here}; another one needs its cargo feature"
        ),
    };
    Err(DaemonError::Option(message))
}

#[cfg(test)]
#[path = "backend_tests.rs"]
mod tests;
