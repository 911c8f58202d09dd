//! What a process and all that it has started take: memory, descriptors, threads.

use std::fs;
use std::path::Path;

/// Sums over the processes at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Footprint {
    pub processes: usize,
    /// Resident memory, in KiB; what is mapped from files counts once for each process.
    pub resident: u64,
    /// Resident memory that is not a file's, in KiB.
    pub anonymous: u64,
    pub descriptors: usize,
    pub threads: u64,
}

impl Footprint {
    /// Of a process and its descendants. One that ends meanwhile counts for nothing.
    pub fn of(process: u32) -> Self {
        let mut sum = Self::default();
        for id in family(process) {
            let directory = Path::new("/proc").join(id.to_string());
            let status = fs::read_to_string(directory.join("status")).unwrap_or_default();
            let of = |name: &str| {
                let line = status.lines().find(|line| line.starts_with(name));
                let value = line.and_then(|line| line.split_whitespace().nth(1));
                value.and_then(|value| value.parse().ok()).unwrap_or(0)
            };
            sum.processes += 1;
            sum.resident += of("VmRSS:");
            sum.anonymous += of("RssAnon:");
            sum.threads += of("Threads:");
            sum.descriptors += fs::read_dir(directory.join("fd")).map_or(0, Iterator::count);
        }
        sum
    }
}

/// The process and its descendants.
fn family(process: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(id) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // Behind the name, in which there may be anything: the state, and the parent.
        let parent = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        if let Some(parent) = parent {
            parents.push((id, parent));
        }
    }
    let mut family = vec![process];
    let mut next = 0;
    while let Some(&of) = family.get(next) {
        let children = parents
            .iter()
            .filter(|(_, parent): &&(u32, u32)| *parent == of);
        family.extend(children.map(|(id, _)| *id));
        next += 1;
    }
    family
}

/// Files below a directory and their bytes.
pub fn on_disk(directory: &Path) -> (u64, u64) {
    let (mut files, mut bytes) = (0, 0);
    let Ok(entries) = fs::read_dir(directory) else {
        return (0, 0);
    };
    for entry in entries.flatten() {
        match entry.metadata() {
            Ok(found) if found.is_dir() => {
                let (more, long) = on_disk(&entry.path());
                files += more;
                bytes += long;
            }
            Ok(found) => {
                files += 1;
                bytes += found.len();
            }
            // Gone since it was listed.
            Err(_) => {}
        }
    }
    (files, bytes)
}

#[test]
fn a_process_is_measured_with_its_children() {
    use std::process::{Command, Stdio};
    let alone = Footprint::of(std::process::id());
    assert!(alone.processes >= 1 && alone.descriptors > 2 && alone.threads > 1);
    assert!(alone.anonymous > 100 && alone.resident > alone.anonymous);
    let mut shell = Command::new("sh");
    // The shell stays between, or there would be no grandchild.
    let mut child = shell
        .args(["-c", "sleep 60; true"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    super::wait::eventually("a child and its child", || {
        let all = Footprint::of(child.id());
        match all.processes {
            2 => Ok(()),
            other => Err(format!("{other} processes")),
        }
    });
    for process in family(child.id()).into_iter().rev() {
        let line = format!("kill -KILL {process}");
        assert!(
            Command::new("sh")
                .args(["-c", &line])
                .status()
                .unwrap()
                .success()
        );
    }
    child.wait().unwrap();
}
