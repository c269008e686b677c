//! SPIFFE ids, SVIDs, trust bundles, verification and rotation.
//!
//! Both planes use it: a proxy to prove who it is and to check who it talks to, the control plane's CA to speak of the
//! same things. Nothing here signs for others, opens a socket or reads a clock; files are read by whoever calls.

mod bundle;
mod certificate;
pub mod issuance;
mod key;
pub mod rotation;
mod seal;
mod spiffe;
mod svid;
mod tls;
mod verify;

pub use bundle::{BundleError, TrustBundle};
pub use certificate::{CertificateFacts, Malformed};
pub use key::{KeyError, PrivateKey};
pub use seal::{Seal, SealError, seal, unseal};
pub use spiffe::{SpiffeId, SpiffeIdError, TrustDomain};
pub use svid::{Svid, SvidError};
pub use tls::{PeerVerifier, crypto_provider, sha256};
pub use verify::{Expected, Peer, Refused, Role, verify};
