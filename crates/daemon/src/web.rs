//! Where the daemon listens, and who may read.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use mirrorwatch_http::{Server, WebConfig};

use crate::error::DaemonError;
use crate::options::WatchArgs;

/// Reads `--web.config.file`, if there is one.
pub(crate) fn load(args: &WatchArgs) -> Result<Option<WebConfig>, DaemonError> {
    let Some(path) = &args.web_config else {
        return Ok(None);
    };
    Ok(Some(WebConfig::load(path)?))
}

/// Opens the listening socket, unless everybody could read what is served on it.
pub(crate) fn bind(args: &WatchArgs, web: Option<&WebConfig>) -> Result<Server, DaemonError> {
    // Before a port is open. What does not resolve is for the server to refuse, in its words.
    for address in args.listen.to_socket_addrs().into_iter().flatten() {
        check(address, args, web)?;
    }
    let server = Server::bind(&args.listen)?;
    check(server.local_addr(), args, web)?;
    warn_of_passwords(&server, args, web);
    Ok(configured(server, web))
}

/// Goes on listening on a socket that [`bind`] has opened, in another process: the configuration may be another one by now.
pub(crate) fn adopt(
    listener: TcpListener,
    args: &WatchArgs,
    web: Option<&WebConfig>,
) -> Result<Server, DaemonError> {
    let server = Server::on(listener)?;
    check(server.local_addr(), args, web)?;
    Ok(configured(server, web))
}

fn warn_of_passwords(server: &Server, args: &WatchArgs, web: Option<&WebConfig>) {
    if web.is_some_and(WebConfig::authenticates)
        && scheme(web) == "http"
        && !is_loopback(server.local_addr())
    {
        tracing::warn!(
            "passwords come over {} unencrypted; add tls_server_config to the file given with --web.config.file",
            args.listen
        );
    }
}

fn configured(server: Server, web: Option<&WebConfig>) -> Server {
    match web {
        Some(web) => server.with_web_config(web.clone()),
        None => server,
    }
}

/// Refuses an address on which everybody could read what is served.
fn check(
    address: SocketAddr,
    args: &WatchArgs,
    web: Option<&WebConfig>,
) -> Result<(), DaemonError> {
    let authenticates = web.is_some_and(WebConfig::authenticates);
    if is_loopback(address) || authenticates || args.allow_insecure {
        return Ok(());
    }
    Err(DaemonError::Option(format!(
        "cannot listen on {}: everybody who reaches this address could read what is served; listen on 127.0.0.1, \
         name users or trusted client certificates in a file given with --web.config.file, or give \
         --web.allow-insecure",
        args.listen
    )))
}

/// What the addresses of pages begin with.
pub(crate) fn scheme(web: Option<&WebConfig>) -> &'static str {
    match web.is_some_and(WebConfig::encrypts) {
        true => "https",
        false => "http",
    }
}

/// Whether only this machine can reach an address.
pub(crate) fn is_loopback(address: SocketAddr) -> bool {
    // An IPv6 socket may be bound to an IPv4 address.
    address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        watch: WatchArgs,
    }

    fn args(arguments: &[&str]) -> WatchArgs {
        Line::parse_from([&["watch"], arguments].concat()).watch
    }

    fn refused(address: &str, arguments: &[&str]) -> Option<String> {
        let args = args(&[&["--listen", address], arguments].concat());
        let web = load(&args).unwrap();
        // Nothing that a test does listens on such an address.
        let result = check(address.parse().unwrap(), &args, web.as_ref());
        result.err().map(|error| error.to_string())
    }

    #[test]
    fn both_names_of_the_address_work() {
        for name in ["--listen", "--web.listen-address"] {
            assert_eq!(args(&[name, "127.0.0.1:1"]).listen, "127.0.0.1:1");
        }
        assert_eq!(args(&[]).listen, "127.0.0.1:9464");
    }

    #[test]
    fn everybody_may_read_on_loopback_only() {
        for address in [
            "127.0.0.1:1",
            "127.1.2.3:1",
            "[::1]:1",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert_eq!(refused(address, &[]), None, "{address}");
        }
        for address in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "[2001:db8::1]:1"] {
            let message = refused(address, &[]).unwrap();
            for part in [
                address,
                "127.0.0.1",
                "--web.config.file",
                "--web.allow-insecure",
            ] {
                assert!(message.contains(part), "{message}");
            }
            assert_eq!(refused(address, &["--web.allow-insecure"]), None);
        }
        let error = bind(&args(&["--listen", "0.0.0.0:0"]), None).unwrap_err();
        assert!(
            error.to_string().contains("--web.allow-insecure"),
            "{error}"
        );
    }

    #[test]
    fn a_socket_that_is_taken_over_is_not_open_to_everybody_either() {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let error = adopt(listener, &args(&[]), None).unwrap_err();
        assert!(
            error.to_string().contains("--web.allow-insecure"),
            "{error}"
        );
    }

    #[test]
    fn a_file_opens_other_addresses_only_if_it_asks_who_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web.yml");
        let with = |content: &str| {
            std::fs::write(&path, content).unwrap();
            refused("0.0.0.0:1", &["--web.config.file", path.to_str().unwrap()])
        };
        assert!(with("http_server_config: {headers: {X-Frame-Options: deny}}\n").is_some());
        // A test vector of crypt_blowfish.
        let hash = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
        assert_eq!(
            with(&format!("basic_auth_users: {{alice: '{hash}'}}\n")),
            None
        );
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let args = args(&["--web.config.file", "/nowhere/web.yml"]);
        let message = load(&args).unwrap_err().to_string();
        assert!(
            message.starts_with("cannot use the web configuration /nowhere/web.yml: "),
            "{message}"
        );
    }
}
