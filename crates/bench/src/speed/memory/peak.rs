//! The most memory that this process ever had.

/// The line of `/proc/self/status` that says so.
const LINE: &str = "VmHWM:";

/// Most bytes of this process that were in memory at any time ("high water mark" of the resident set).
///
/// # Errors
///
/// The operating system does not tell.
pub fn bytes() -> Result<u64, String> {
    let path = "/proc/self/status";
    let status = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read {path}, which tells peak memory: {error}"))?;
    parse(&status)
        .ok_or_else(|| format!("{path} has no line {LINE} in kB; measure peak memory on Linux"))
}

/// The figure in a text like that of `/proc/PID/status`.
fn parse(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(LINE))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `cat /proc/self/status` prints it on Linux 6; proc(5) has the unit.
    #[test]
    fn the_line_is_found_among_others() {
        let status = "Name:\tcat\nVmPeak:\t    2776 kB\nVmHWM:\t    1084 kB\nVmRSS:\t    1080 kB\n";
        assert_eq!(parse(status), Some(1084 * 1024));
    }

    #[test]
    fn anything_else_is_no_figure() {
        for status in ["", "VmRSS:\t1 kB\n", "VmHWM:\t12 MB\n", "VmHWM:\t-1 kB\n"] {
            assert_eq!(parse(status), None, "{status:?}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn it_rises_by_what_is_touched() {
        let before = bytes().unwrap();
        let touched = vec![1u8; 64 << 20];
        assert!(std::hint::black_box(&touched)[1 << 20] == 1);
        assert!(bytes().unwrap() >= before + (32 << 20));
    }
}
