//! What supervisor and scanner say to each other: over a pair of Unix sockets, of which the scanner finds one as its
//! standard input. The first message carries the socket that listens.
//!
//! From the scanner come frames: a byte that says what, four of the length, and that many of text. To it goes one byte
//! that asks for the end; the end of the stream means that the supervisor is gone.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::size_of;
use std::net::{Shutdown, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::io::{Errno, FdFlags};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

/// The variable that tells a scanner that it is one, and how often it was started again.
pub(super) const VARIABLE: &str = "MIRRORWATCH_SCANNER_RESTARTS";
/// A process is a scanner once: its standard input is gone then, and it must not be taken for one that has none.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// The message that brings the socket.
const LISTEN: u8 = b'L';
/// Asks for the end.
const QUIT: u8 = b'q';
/// Longer texts are not kept: a supervisor is small.
const LONGEST: usize = 64 << 20;
/// A supervisor reads at once, or is stuck.
const SENDING: Duration = Duration::from_secs(5);
/// What a process says that SIGTERM has ended.
pub(super) const TERMINATED: u8 = 143;

/// What a scanner says.
#[derive(Debug, PartialEq)]
pub(super) enum Said {
    /// It serves.
    Ready,
    /// What it would answer to a scrape.
    Metrics(String),
    /// It ends on purpose; its exit code is meant.
    Ending,
    /// It ends because it cannot go on, for this reason, and is to be started again.
    Stuck(String),
}

impl Said {
    fn parts(&self) -> (u8, &str) {
        match self {
            Said::Ready => (b'R', ""),
            Said::Metrics(text) => (b'M', text),
            Said::Ending => (b'E', ""),
            Said::Stuck(why) => (b'S', why),
        }
    }
}

/// Waits for what a scanner says next.
pub(super) fn hear(stream: &mut impl Read) -> io::Result<Said> {
    let mut head = [0; 1 + size_of::<u32>()];
    stream.read_exact(&mut head)?;
    let [what, length @ ..] = head;
    let length = u32::from_le_bytes(length) as usize;
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_string());
    if length > LONGEST {
        return Err(wrong("a frame of no scanner"));
    }
    let mut text = vec![0; length];
    stream.read_exact(&mut text)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    match what {
        b'R' => Ok(Said::Ready),
        b'M' => Ok(Said::Metrics(text)),
        b'E' => Ok(Said::Ending),
        b'S' => Ok(Said::Stuck(text)),
        _ => Err(wrong("a frame of no scanner")),
    }
}

fn say(stream: &mut impl Write, said: &Said) -> io::Result<()> {
    let (what, text) = said.parts();
    if text.len() > LONGEST {
        return Ok(());
    }
    let mut frame = vec![what];
    frame.extend_from_slice(&(text.len() as u32).to_le_bytes());
    frame.extend_from_slice(text.as_bytes());
    stream.write_all(&frame)
}

/// Both ends, the second one for a scanner's standard input: the socket is in it already.
pub(super) fn pair(listener: &TcpListener) -> io::Result<(UnixStream, OwnedFd)> {
    let (own, scanners) = UnixStream::pair()?;
    let sockets = [listener.as_fd()];
    let mut space = [0; rustix::cmsg_space!(ScmRights(1))];
    let mut message = SendAncillaryBuffer::new(&mut space);
    message.push(SendAncillaryMessage::ScmRights(&sockets));
    rustix::net::sendmsg(
        &own,
        &[IoSlice::new(&[LISTEN])],
        &mut message,
        SendFlags::empty(),
    )?;
    Ok((own, OwnedFd::from(scanners)))
}

/// Asks a scanner to end. One that has ended does not hear it.
pub(super) fn ask_to_end(mut stream: &UnixStream) {
    let _ = stream.write_all(&[QUIT]);
}

/// What a scanner has of its supervisor.
pub(crate) struct Link {
    /// The socket that the supervisor listens on.
    listener: TcpListener,
    /// How often a scanner was started again.
    pub restarts: u64,
    /// Set when the supervisor wants it to end.
    pub asked: Arc<AtomicBool>,
    /// Whether somebody looks at `asked`.
    begun: Arc<AtomicBool>,
    stream: Mutex<UnixStream>,
}

impl Link {
    /// The link of this process, if it is a scanner; standard input is empty from then on.
    ///
    /// # Errors
    ///
    /// It is one, and its supervisor is gone.
    pub(crate) fn take() -> io::Result<Option<Arc<Self>>> {
        let Some(told) = std::env::var_os(VARIABLE) else {
            return Ok(None);
        };
        if TAKEN.swap(true, Ordering::Relaxed) {
            return Err(io::Error::other("this process watches already"));
        }
        let stdin = io::stdin().as_fd().try_clone_to_owned()?;
        let restarts = told.to_str().and_then(|text| text.parse().ok());
        let stream = UnixStream::from(stdin);
        let link = match receive(&stream) {
            Ok(listener) => Self::over(stream, listener, restarts.unwrap_or(0))?,
            // A variable that a scanner's own child has inherited.
            Err(Errno::NOTSOCK) => {
                TAKEN.store(false, Ordering::Relaxed);
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        // Programs that a task starts inherit it, and would keep the supervisor from hearing the end.
        rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
        Ok(Some(link))
    }

    fn over(stream: UnixStream, listener: TcpListener, restarts: u64) -> io::Result<Arc<Self>> {
        let hearing = stream.try_clone()?;
        stream.set_write_timeout(Some(SENDING))?;
        let link = Arc::new(Self {
            listener,
            restarts,
            asked: Arc::default(),
            begun: Arc::default(),
            stream: Mutex::new(stream),
        });
        let (asked, begun) = (link.asked.clone(), link.begun.clone());
        std::thread::Builder::new()
            .name("mirrorwatch-link".to_string())
            .spawn(move || follow(hearing, &asked, &begun))?;
        Ok(link)
    }

    /// From now on, whoever wants it to end is heard by those who look at `asked`.
    pub(crate) fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
    }

    /// The socket to listen on.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(crate) fn listener(&self) -> io::Result<TcpListener> {
        self.listener.try_clone()
    }

    /// It serves.
    pub(crate) fn ready(&self) {
        self.say(&Said::Ready);
    }

    /// What is to be served when this process is not there.
    pub(crate) fn metrics(&self, text: String) {
        self.say(&Said::Metrics(text));
    }

    /// This process ends, and means it.
    pub(crate) fn ending(&self) {
        self.say(&Said::Ending);
    }

    /// Ends this process at once, to be started again.
    pub(crate) fn start_again(&self, why: &str) -> ! {
        self.say(&Said::Stuck(why.to_string()));
        end()
    }

    fn say(&self, said: &Said) {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        if say(&mut *stream, said).is_err() {
            // Half a frame may have gone: nothing after it would be understood.
            let _ = stream.shutdown(Shutdown::Write);
        }
    }
}

/// Takes the socket out of the first message.
fn receive(stream: &UnixStream) -> Result<TcpListener, Errno> {
    let mut space = [0; rustix::cmsg_space!(ScmRights(1))];
    let mut message = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    #[cfg(target_os = "linux")]
    let flags = RecvFlags::CMSG_CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    let flags = RecvFlags::empty();
    rustix::net::recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut byte)],
        &mut message,
        flags,
    )?;
    for part in message.drain() {
        if let RecvAncillaryMessage::ScmRights(mut sockets) = part
            && byte == [LISTEN]
            && let Some(socket) = sockets.next()
        {
            // For where it cannot be had with the message.
            rustix::io::fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
            return Ok(TcpListener::from(socket));
        }
    }
    Err(Errno::PIPE)
}

/// Listens to the supervisor. When it is gone, so is this process: it would scan beside the one that comes next.
fn follow(mut stream: UnixStream, asked: &AtomicBool, begun: &AtomicBool) {
    let mut byte = [0];
    loop {
        match stream.read(&mut byte) {
            Ok(1..) if byte == [QUIT] => {
                if !begun.load(Ordering::Relaxed) {
                    // Data that is being read, say: there is nothing to finish.
                    std::process::exit(TERMINATED.into());
                }
                asked.store(true, Ordering::Relaxed);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(1..) => {}
            Ok(0) | Err(_) => end(),
        }
    }
}

/// Ends this process without anything that could wait: whatever hangs, hangs no longer.
fn end() -> ! {
    use rustix::process::{Signal, getpid, kill_process};
    let _ = kill_process(getpid(), Signal::Kill);
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_what_was_said() {
        let all = [
            Said::Ready,
            Said::Metrics("mirrorwatch_checkpoints_seen_total 1\n".to_string()),
            Said::Metrics(String::new()),
            Said::Stuck("two scans hang".to_string()),
            Said::Ending,
        ];
        let mut wire = Vec::new();
        for said in &all {
            say(&mut wire, said).unwrap();
        }
        let mut rest = wire.as_slice();
        for said in &all {
            assert_eq!(&hear(&mut rest).unwrap(), said);
        }
        let end = hear(&mut rest).unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
        // Cut anywhere, it is the end; what is no frame is an error and takes no memory.
        for cut in 0..wire.len() {
            let mut rest = &wire[..cut];
            while hear(&mut rest).is_ok() {}
        }
        let huge = [b'M', 0xff, 0xff, 0xff, 0xff];
        let error = hear(&mut huge.as_slice()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_socket_that_listens_comes_across_and_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut own, scanners) = pair(&listener).unwrap();
        let stream = UnixStream::from(scanners);
        let received = receive(&stream).unwrap();
        let link = Link::over(stream, received, 3).unwrap();
        drop(listener);
        let address = link.listener().unwrap().local_addr().unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        let (_, peer) = link.listener().unwrap().accept().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        link.begin();
        link.ready();
        assert_eq!(hear(&mut own).unwrap(), Said::Ready);
        ask_to_end(&own);
        while !link.asked.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        // Its end would be this process's: it stays open.
        std::mem::forget(own);
    }

    #[test]
    fn without_a_socket_there_is_no_link() {
        let (own, other) = UnixStream::pair().unwrap();
        (&own).write_all(&[LISTEN]).unwrap();
        assert_eq!(receive(&other).unwrap_err(), Errno::PIPE);
        drop(own);
        assert_eq!(receive(&other).unwrap_err(), Errno::PIPE);
        let file = tempfile::tempfile().unwrap();
        let stream = UnixStream::from(OwnedFd::from(file));
        assert_eq!(receive(&stream).unwrap_err(), Errno::NOTSOCK);
    }
}
