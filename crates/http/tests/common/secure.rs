//! Certificates made on the spot, files to name them in, and a real TLS client.

use super::{Answer, PATIENCE};
use mirrorwatch_http::{Handle, Limits, Request, Response, Server, WebConfig};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

/// Certificate and key, both PEM.
pub type Identity = (String, String);

/// Signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Authority(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for names, host names or IP addresses, good for either side.
    pub fn sign(&self, names: &[&str]) -> Identity {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// A client that trusts this authority.
    pub fn client(&self) -> Client {
        Client {
            trusted: self.pem(),
            identity: None,
            versions: rustls::ALL_VERSIONS.to_vec(),
        }
    }
}

/// A directory with a configuration in it.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    /// Writes a file as a careful program does, in one go.
    pub fn write(&self, name: &str, content: &str) {
        let path = self.0.path().join(name);
        let beside = path.with_extension("new");
        std::fs::write(&beside, content).unwrap();
        std::fs::rename(beside, path).unwrap();
    }

    pub fn write_identity(&self, identity: &Identity) {
        self.write("server.crt", &identity.0);
        self.write("server.key", &identity.1);
    }

    pub fn config(&self) -> PathBuf {
        self.0.path().join("web.yml")
    }

    /// Starts a server with the configuration as it is now.
    pub fn start<F>(&self, limits: Limits, handler: F) -> (Handle, WebConfig)
    where
        F: Fn(&Request) -> Response + Send + Sync + 'static,
    {
        let config = WebConfig::load(&self.config()).unwrap();
        let server = Server::bind("127.0.0.1:0").unwrap().with_limits(limits);
        let handle = server.with_web_config(config.clone()).start(handler);
        (handle.unwrap(), config)
    }
}

/// A TLS client; every request is a connection of its own.
#[derive(Clone)]
pub struct Client {
    trusted: String,
    identity: Option<Identity>,
    versions: Vec<&'static SupportedProtocolVersion>,
}

impl Client {
    pub fn with_identity(mut self, identity: &Identity) -> Client {
        self.identity = Some(identity.clone());
        self
    }

    /// The same client, which trusts another authority, too.
    pub fn trusting(mut self, authority: &Authority) -> Client {
        self.trusted += &authority.pem();
        self
    }

    pub fn with_version(mut self, version: &'static SupportedProtocolVersion) -> Client {
        self.versions = vec![version];
        self
    }

    pub fn connect(
        &self,
        address: SocketAddr,
    ) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(self.trusted.as_bytes()) {
            roots.add(root.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = CertificateDer::pem_slice_iter(certificate.as_bytes());
                let chain = chain.collect::<Result<_, _>>().unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        let name = "localhost".try_into().unwrap();
        let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        Ok(StreamOwned::new(connection, stream))
    }

    /// Reads until the server says that it has ended, which is more than that it is gone.
    pub fn exchange(&self, address: SocketAddr, request: &str) -> io::Result<Answer> {
        let mut stream = self.connect(address)?;
        stream.write_all(request.as_bytes())?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(Answer::parse(&text))
    }

    pub fn get(&self, address: SocketAddr, target: &str) -> io::Result<Answer> {
        let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        self.exchange(address, &request)
    }
}

/// `GET target` in the clear with credentials.
pub fn get_as(address: SocketAddr, target: &str, credentials: &str) -> Answer {
    use base64::Engine;
    let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
    get_with(address, target, &format!("Basic {encoded}"))
}

/// `GET target` in the clear with an `Authorization` header.
pub fn get_with(address: SocketAddr, target: &str, authorization: &str) -> Answer {
    let request = format!(
        "GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: {authorization}\r\n\r\n"
    );
    super::exchange(address, request)
}
