//! The sidecar as a process, and what it says over HTTP.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::again::this_binary;
use super::place::Place;
use super::process::{Finished, Running, quickstart, run};
use super::scrape::Scrape;
use super::wait::eventually;
use crate::hazards;

/// `sidecar watch` before it is started.
pub struct Watch<'a> {
    place: &'a Place,
    root: PathBuf,
    state: PathBuf,
    more: Vec<String>,
    environment: Vec<(String, String)>,
    hazard: Option<PathBuf>,
    under: Vec<String>,
}

impl<'a> Watch<'a> {
    pub fn new(place: &'a Place, state: &Path) -> Self {
        Self {
            place,
            root: place.root(),
            state: state.to_path_buf(),
            // Waiting checkpoints do not give way unless a test wants them to. One thread: tests run
            // beside each other, and then all sidecars compute in the same order.
            more: [
                "--queue",
                "1000",
                "--threads",
                "1",
                "--web.listen-address",
                "127.0.0.1:0",
            ]
            .map(String::from)
            .to_vec(),
            environment: Vec::new(),
            hazard: None,
            under: Vec::new(),
        }
    }

    /// With further options. An option that is there already takes the new value.
    pub fn with(mut self, options: &[&str]) -> Self {
        let name = options[0];
        if let Some(at) = self.more.iter().position(|option| option == name) {
            self.more.drain(at..at + options.len());
        }
        self.more.extend(options.iter().map(ToString::to_string));
        self
    }

    /// With another directory of runs than the place's.
    pub fn root(mut self, root: &Path) -> Self {
        self.root = root.to_path_buf();
        self
    }

    /// With variables in its environment.
    pub fn environment(mut self, variables: &[(String, String)]) -> Self {
        self.environment.extend_from_slice(variables);
        self
    }

    /// With a task that does what this file says: see `hazards`.
    pub fn hazardous(mut self, file: &Path) -> Self {
        self.hazard = Some(file.to_path_buf());
        self
    }

    /// Started by a program that takes a command line after these words.
    #[cfg(target_os = "linux")]
    pub fn under(mut self, words: &[&str]) -> Self {
        self.under = words.iter().map(ToString::to_string).collect();
        self
    }

    fn command(&self, listen_file: &Path) -> Command {
        let mut command = quickstart();
        command
            .args(["sidecar", "watch"])
            .args(self.place.data.arguments());
        command.arg("--root").arg(&self.root);
        command.arg("--state").arg(&self.state);
        command.arg("--listen-file").arg(listen_file);
        command.arg("--write-scores").args(&self.more);
        if let Some(file) = &self.hazard {
            let words = command.get_args().skip(1);
            let words: Vec<&str> = words.map(|word| word.to_str().unwrap()).collect();
            let arguments = serde_json::to_string(&words).unwrap();
            let variables = [
                (hazards::ARGUMENTS, arguments),
                (hazards::HAZARD, file.to_str().unwrap().to_string()),
            ];
            command = this_binary("hazards::a_sidecar", &variables);
        }
        if let [first, words @ ..] = self.under.as_slice() {
            let mut outer = Command::new(first);
            outer.args(words).arg(command.get_program());
            outer.args(command.get_args());
            command = outer;
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The command line, for a shell.
    pub fn words(&self) -> Vec<String> {
        let command = self.command(&self.place.at("address"));
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words
            .map(|word| word.to_str().unwrap().to_string())
            .collect()
    }

    /// Starts it and waits until it listens.
    #[track_caller]
    pub fn start(self) -> Sidecar {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let file = self.place.at(&format!("address-{number}"));
        let mut process = Running::start(self.command(&file), self.place.path());
        let address = eventually("the sidecar to listen", || {
            let running = process.is_running();
            let address = fs::read_to_string(&file).map_err(|_| process.story());
            // It may have done what it is for, and be gone already.
            assert!(
                running || address.is_ok(),
                "the sidecar ended: {}",
                process.story()
            );
            address
        });
        Sidecar {
            process,
            address,
            state: self.state,
        }
    }

    /// Starts it and waits for its end, as with `--until-finished`.
    #[track_caller]
    pub fn run(self) -> Finished {
        run(self.command(&self.place.at("address")), self.place.path())
    }
}

/// A running sidecar; killed on drop.
pub struct Sidecar {
    pub process: Running,
    pub address: String,
    pub state: PathBuf,
}

/// An answer over HTTP.
pub struct Page {
    pub status: u16,
    pub content_type: String,
    pub body: String,
}

impl Sidecar {
    /// What it has logged.
    pub fn log(&self) -> String {
        self.process.stderr()
    }

    /// The number of the process that scans, which the one that was started keeps going.
    pub fn scanner(&self) -> String {
        fs::read_to_string(self.state.join("daemon.pid")).unwrap()
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Page {
        get(&format!("http://{}{path}", self.address))
            .unwrap_or_else(|error| panic!("{path}: {error}; {}", self.process.story()))
    }

    #[track_caller]
    pub fn scrape(&self) -> Scrape {
        let page = self.get("/metrics");
        assert_eq!(page.status, 200, "{}", page.body);
        Scrape(page.body)
    }

    /// Scrapes until `ready` and returns that scrape.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str, ready: impl Fn(&Scrape) -> bool) -> Scrape {
        eventually(what, || {
            assert!(
                self.process.is_running(),
                "the sidecar ended before {what}: {}",
                self.process.story()
            );
            // An answer may be cut off by the end of the process that gives it: asked again, another one gives it.
            let page = get(&format!("http://{}/metrics", self.address))?;
            assert_eq!(page.status, 200, "{}", page.body);
            let scrape = Scrape(page.body);
            match ready(&scrape) {
                true => Ok(scrape),
                false => Err(format!("{}\n--- log\n{}", scrape.0, self.log())),
            }
        })
    }

    /// Waits until this process has scanned so many checkpoints, and nothing failed.
    #[track_caller]
    pub fn wait_for_scans(&mut self, count: u64) -> Scrape {
        let scrape = self.wait_for(&format!("{count} scans"), |scrape| {
            scrape.scanned() >= count as f64 || scrape.failed() > 0.0
        });
        assert_eq!(scrape.failed(), 0.0, "{}", self.log());
        scrape
    }

    /// Asks it to end, as an operator would, and returns the exit code.
    #[track_caller]
    pub fn terminate(mut self) -> Finished {
        self.process.signal("TERM");
        self.process.finish()
    }

    /// Kills it without warning.
    #[track_caller]
    pub fn kill(mut self) {
        self.process.signal("KILL");
        self.process.finish();
    }
}

/// Sends the checkpoints of a place's finished runs to a store.
#[track_caller]
pub fn ship(place: &Place, to: &str, environment: &[(String, String)]) -> Finished {
    let mut command = quickstart();
    command.args(["sidecar", "ship", "--until-finished", "--every", "1"]);
    command.arg("--root").arg(place.root()).args(["--to", to]);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    run(command, place.path())
}

/// Gets a page, whatever its status.
pub fn get(url: &str) -> Result<Page, String> {
    let request = ureq::get(url)
        .config()
        .timeout_global(Some(Duration::from_secs(20)))
        .http_status_as_error(false)
        .build();
    let mut response = request.call().map_err(|error| error.to_string())?;
    let content_type = response.headers().get("content-type");
    Ok(Page {
        status: response.status().as_u16(),
        content_type: content_type.map_or_else(String::new, |v| v.to_str().unwrap().to_string()),
        body: response
            .body_mut()
            .read_to_string()
            .map_err(|error| error.to_string())?,
    })
}
