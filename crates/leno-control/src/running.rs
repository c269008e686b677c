//! Puts the parts together: opens the store, takes the ports, starts every role, and stops them in order.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use leno_identity::TrustDomain;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::apiserver::{self, Api};
use crate::guard::Guard;
use crate::identity::{Identity, IdentityError, IdentityOptions, IssueError};
use crate::management::{self, Changes, Sources};
use crate::options::{Options, Ports};
use crate::push::{self, Admission, ProxyTable, Push, Security};
use crate::status::StatusWriter;
use crate::store::{CommitError, Embedded, OpenError, Store};
use crate::translate::Translation;
use crate::{front_door, lease, portal, store, telemetry};

/// Why a control plane did not start. Each ends with what to do about it or a code that says so.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process has the data directory.
    #[error("{0} (LN0002)")]
    InUse(OpenError),
    /// The store is damaged and was kept aside.
    #[error("{0} (LN0003)")]
    Damaged(OpenError),
    /// The store could not be opened.
    #[error(transparent)]
    Store(OpenError),
    /// The store took nothing.
    #[error("the store took nothing")]
    Seed(#[from] CommitError),
    /// No room for the files of the data directory.
    #[error("no space is left in {}; free some and start again (LN0005)", data.display())]
    Full {
        /// The data directory.
        data: PathBuf,
    },
    /// The root cannot be used.
    #[error("the root of identity cannot be used (LN0006)")]
    Identity(#[from] IdentityError),
    /// A certificate for the front door cannot be made.
    #[error(transparent)]
    Certificate(#[from] IssueError),
    /// The trust domain is no name of one.
    #[error("--trust-domain {0:?}: {1}")]
    TrustDomain(String, String),
    /// A port is taken.
    #[error("{address} is in use by another process; choose another address with {flag} (LN0001)")]
    PortTaken {
        /// Which flag chooses it.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
    },
    /// Two parts would listen at one place.
    #[error("{first} and {second} are both {address}; every one needs a port of its own")]
    SameAddress {
        /// The flag that chooses one.
        first: &'static str,
        /// The flag that chooses the other.
        second: &'static str,
        /// What both say.
        address: SocketAddr,
    },
    /// Join tokens and resources would cross the network in the clear.
    #[error("--xds {address}: plaintext is for this machine only; other machines use --xds-tls")]
    Plaintext {
        /// The address.
        address: SocketAddr,
    },
    /// An address cannot be listened on.
    #[error("{flag} {address} cannot be listened on")]
    Listen {
        /// Which flag chooses it.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A file of the data directory cannot be read or written.
    #[error("{} cannot be read or written", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::InUse { .. } => Self::InUse(error),
            OpenError::Corrupt { .. } => Self::Damaged(error),
            other => Self::Store(other),
        }
    }
}

impl StartError {
    /// Names a full disk, whichever file met it first.
    fn or_full(self, data: &Path) -> Self {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&self);
        while let Some(error) = cause {
            let is_full = error.downcast_ref::<io::Error>().is_some_and(store::is_full)
                || matches!(error.downcast_ref(), Some(CommitError::Full { .. }));
            if is_full {
                return Self::Full { data: data.to_owned() };
            }
            cause = error.source();
        }
        self
    }
}

/// A control plane that serves. Ends with [`Running::stop`]; dropped, it stops without waiting.
pub struct Running {
    ports: Ports,
    kubeconfig: PathBuf,
    store: Arc<dyn Store>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Running {
    /// Starts everything; when it returns, every port answers.
    pub async fn start(options: &Options) -> Result<Self, StartError> {
        Self::try_start(options).await.map_err(|error| error.or_full(&options.data))
    }

    async fn try_start(options: &Options) -> Result<Self, StartError> {
        let trust_domain = options.trust_domain.parse::<TrustDomain>().map_err(|error| {
            StartError::TrustDomain(options.trust_domain.clone(), error.to_string())
        })?;
        let store: Arc<dyn Store> = Arc::new(Embedded::open(&options.data)?);
        if !options.xds.ip().is_loopback() {
            return Err(StartError::Plaintext { address: options.xds });
        }
        check_apart(options)?;
        let door = listen("--front-door", options.front_door).await?;
        let metrics = listen("--metrics", options.metrics).await?;
        let xds = listen("--xds", options.xds).await?;
        let xds_tls = listen("--xds-tls", options.xds_tls).await?;
        let identity = open_identity(options, trust_domain)?;
        let tls = identity.front_door_tls()?;
        apiserver::seed::seed(&*store).await?;

        let address = |listener: &TcpListener, wanted| listener.local_addr().unwrap_or(wanted);
        let ports = Ports {
            front_door: address(&door, options.front_door),
            xds: address(&xds, options.xds),
            xds_tls: address(&xds_tls, options.xds_tls),
            metrics: address(&metrics, options.metrics),
        };
        let token = token(&options.data.join("token"))?;
        let kubeconfig = options.data.join("kubeconfig");
        let roots = identity.authority().root_pem();
        write_private(&kubeconfig, kubeconfig_text(ports.front_door, roots, &token).as_bytes())?;
        let text = serde_json::to_string_pretty(&ports).expect("addresses are plain text") + "\n";
        write_private(&options.data.join("ports.json"), text.as_bytes())?;

        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(apiserver::collector::run(Arc::clone(&store), stopped.clone()));
        let translation = Translation::new(&*store);
        tasks.spawn(Arc::clone(&translation).follow(Arc::clone(&store), stopped.clone()));
        let admission = Admission::new(options.discovery.within_open_files());
        let push = Push {
            resources: Arc::clone(&translation) as _,
            proxies: ProxyTable::new(),
            identity: Arc::clone(&identity),
            admission: admission.clone(),
        };
        let secure = Security::Tls(identity.secure_listener()?);
        tasks.spawn(push::serve(xds, Security::Plaintext, push.clone(), stopped.clone()));
        tasks.spawn(push::serve(xds_tls, secure, push.clone(), stopped.clone()));
        let status =
            StatusWriter::new(Arc::clone(&store), Arc::clone(&translation), push.proxies.clone());
        tasks.spawn(status.run(stopped.clone()));
        tasks.spawn(lease::run(Arc::clone(&store), stopped.clone()));
        let changes = Changes::default();
        tasks.spawn(changes.clone().follow(Arc::clone(&store), stopped.clone()));
        let sources = sources(&store, translation, push.proxies, changes, ports.xds);
        let api = Arc::new(Api {
            store: Arc::clone(&store),
            identity,
            stop: stopped.clone(),
            address: ports.front_door.to_string(),
        });
        let router =
            apiserver::router(api).merge(portal::router()).merge(management::router(sources));
        let own = metrics::router(Arc::clone(&store), admission);
        let router = Guard::new(token).before(router);
        tasks.spawn(front_door::serve(door, Some(tls), router, stopped.clone()));
        tasks.spawn(front_door::serve(metrics, None, own, stopped));
        Ok(Self { ports, kubeconfig, store, stop, tasks })
    }

    /// Where everything listens.
    #[must_use]
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// The file that kubectl and `leno` read.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Every document.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Ends watches and streams, lets exchanges finish, and closes the store.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

mod metrics;

/// What the management API reads.
fn sources(
    store: &Arc<dyn Store>,
    translation: Arc<Translation>,
    proxies: ProxyTable,
    changes: Changes,
    xds: SocketAddr,
) -> Sources {
    let (store, table) = (Arc::clone(store), proxies.clone());
    let mesh = move || management::mesh(store.revision(), &translation.world(), &table, &changes);
    Sources {
        traffic: telemetry::start(move || management::targets(&proxies)),
        mesh: Arc::new(mesh),
        discovery: xds.to_string().into(),
    }
}

/// Nobody else has the port that two of our own parts want.
fn check_apart(options: &Options) -> Result<(), StartError> {
    let all = [
        ("--front-door", options.front_door),
        ("--xds", options.xds),
        ("--xds-tls", options.xds_tls),
        ("--metrics", options.metrics),
    ];
    for (index, &(second, address)) in all.iter().enumerate() {
        let twin = all[..index].iter().find(|(_, one)| *one == address && one.port() != 0);
        if let Some(&(first, _)) = twin {
            return Err(StartError::SameAddress { first, second, address });
        }
    }
    Ok(())
}

async fn listen(flag: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => StartError::PortTaken { flag, address },
        _ => StartError::Listen { flag, address, source },
    })
}

/// The token of the data directory; made at the first start.
fn token(path: &Path) -> Result<String, StartError> {
    let file = |source| StartError::File { path: path.to_owned(), source };
    match std::fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(file(error)),
        Ok(_) | Err(_) => {}
    }
    let bytes: [u8; 32] = rand::random();
    let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    write_private(path, token.as_bytes())?;
    Ok(token)
}

/// Writes a file for its owner only, whole or not at all.
fn write_private(path: &Path, contents: &[u8]) -> Result<(), StartError> {
    let fresh = path.with_extension("new");
    let write = || {
        // One left behind may have other permissions.
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&fresh)?;
        io::Write::write_all(&mut file, contents)?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)
    };
    write().map_err(|source| StartError::File { path: path.to_owned(), source })
}

fn kubeconfig_text(address: SocketAddr, roots: &str, token: &str) -> String {
    // An address for any interface is no address to connect to.
    let ip = if address.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { address.ip() };
    let server = SocketAddr::new(ip, address.port());
    let roots = base64::engine::general_purpose::STANDARD.encode(roots);
    format!(
        "apiVersion: v1
kind: Config
current-context: leno
clusters:
- name: leno
  cluster:
    server: https://{server}
    certificate-authority-data: {roots}
contexts:
- name: leno
  context:
    cluster: leno
    user: leno-admin
    namespace: default
users:
- name: leno-admin
  user:
    token: {token}
"
    )
}

fn open_identity(
    options: &Options,
    trust_domain: TrustDomain,
) -> Result<Arc<Identity>, StartError> {
    let addresses = [options.front_door.ip(), options.xds.ip()];
    let named = addresses.into_iter().filter(|ip| !ip.is_unspecified() && !ip.is_loopback());
    let settings = IdentityOptions {
        directory: options.data.join("ca"),
        trust_domain,
        svid_lifetime: options.svid_lifetime,
        server_names: named.map(|ip| ip.to_string()).collect(),
    };
    Ok(Identity::open(settings, SystemTime::now())?)
}
