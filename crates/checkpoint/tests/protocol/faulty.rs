//! An operating system whose every operation may be recorded, delayed or made to fail. What it does, it does to real
//! files; nothing is synchronised, as what survives a power cut is worked out from the record (`replay.rs`).
#![allow(dead_code)] // each test binary uses its own part

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use mirrorwatch_checkpoint::{Native, System, SystemFile};

pub const EIO: i32 = 5;
pub const EACCES: i32 = 13;
pub const EINVAL: i32 = 22;
pub const ENOSPC: i32 = 28;
pub const EROFS: i32 = 30;

/// What was asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    Create(PathBuf),
    Write(PathBuf, Vec<u8>),
    Sync(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    CreateDirectory(PathBuf),
    RemoveDirectory(PathBuf),
    SyncDirectory(PathBuf),
}

impl Operation {
    /// The file or directory that the operation is about.
    pub fn path(&self) -> &Path {
        match self {
            Self::Create(path)
            | Self::Write(path, _)
            | Self::Sync(path)
            | Self::Rename(_, path)
            | Self::Remove(path)
            | Self::CreateDirectory(path)
            | Self::RemoveDirectory(path)
            | Self::SyncDirectory(path) => path,
        }
    }
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fate {
    Done,
    /// Nothing is done, and this error number given.
    Fails(i32),
    /// It is done, and this error number given nevertheless.
    DoneAndFails(i32),
    /// Half of what was to be written is; other operations are done.
    Short,
}

type Decide = dyn Fn(usize, &Operation) -> Fate + Send + Sync;

/// See the module. Clones share the record.
#[derive(Clone)]
pub struct Faulty {
    /// Given the number of operations that were asked for before, and this one. It may also wait, or panic.
    decide: Arc<Decide>,
    asked: Arc<Mutex<usize>>,
    done: Arc<Mutex<Vec<Operation>>>,
    clock: Arc<Mutex<Option<SystemTime>>>,
}

impl Faulty {
    pub fn new(decide: impl Fn(usize, &Operation) -> Fate + Send + Sync + 'static) -> Self {
        Self {
            decide: Arc::new(decide),
            asked: Arc::default(),
            done: Arc::default(),
            clock: Arc::default(),
        }
    }

    /// Nothing fails.
    pub fn sound() -> Self {
        Self::new(|_, _| Fate::Done)
    }

    /// The same files under another rule.
    pub fn under(
        &self,
        decide: impl Fn(usize, &Operation) -> Fate + Send + Sync + 'static,
    ) -> Self {
        Self {
            decide: Arc::new(decide),
            ..self.clone()
        }
    }

    pub fn shared(&self) -> Arc<dyn System> {
        Arc::new(self.clone())
    }

    /// Operations that were asked for.
    pub fn asked(&self) -> usize {
        *lock(&self.asked)
    }

    /// Operations that were done, in their order.
    pub fn done(&self) -> Vec<Operation> {
        lock(&self.done).clone()
    }

    pub fn set_clock(&self, time: SystemTime) {
        *lock(&self.clock) = Some(time);
    }

    fn run<T>(
        &self,
        operation: Operation,
        act: impl FnOnce(&Operation, bool) -> io::Result<T>,
    ) -> io::Result<T> {
        let number = {
            let mut asked = lock(&self.asked);
            *asked += 1;
            *asked - 1
        };
        let fate = (self.decide)(number, &operation);
        if let Fate::Fails(code) = fate {
            return Err(io::Error::from_raw_os_error(code));
        }
        let result = act(&operation, fate == Fate::Short)?;
        let operation = match operation {
            Operation::Write(path, bytes) if fate == Fate::Short => {
                Operation::Write(path, bytes[..bytes.len() / 2].to_vec())
            }
            whole => whole,
        };
        lock(&self.done).push(operation);
        match fate {
            Fate::DoneAndFails(code) => Err(io::Error::from_raw_os_error(code)),
            _ => Ok(result),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").finish_non_exhaustive()
    }
}

impl System for Faulty {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SystemFile>> {
        let file = self.run(Operation::Create(path.into()), |_, _| Native.create(path))?;
        Ok(Box::new(FaultyFile {
            system: self.clone(),
            path: path.into(),
            file,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.run(Operation::Rename(from.into(), to.into()), |_, _| {
            Native.rename(from, to)
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.run(Operation::Remove(path.into()), |_, _| Native.remove(path))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.run(Operation::CreateDirectory(path.into()), |_, _| {
            Native.create_directory(path)
        })
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.run(Operation::RemoveDirectory(path.into()), |_, _| {
            Native.remove_directory(path)
        })
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.run(Operation::SyncDirectory(path.into()), |_, _| Ok(()))
    }

    fn now(&self) -> SystemTime {
        lock(&self.clock).unwrap_or_else(SystemTime::now)
    }
}

struct FaultyFile {
    system: Faulty,
    path: PathBuf,
    file: Box<dyn SystemFile>,
}

impl Write for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let operation = Operation::Write(self.path.clone(), bytes.to_vec());
        self.system.clone().run(operation, |_, short| {
            let part = if short { bytes.len() / 2 } else { bytes.len() };
            self.file.write_all(&bytes[..part])?;
            Ok(part)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl SystemFile for FaultyFile {
    fn sync(&mut self) -> io::Result<()> {
        self.system
            .clone()
            .run(Operation::Sync(self.path.clone()), |_, _| Ok(()))
    }
}
