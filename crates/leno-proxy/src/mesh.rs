//! The proxy as part of a mesh: the control plane followed, and what becomes of that made visible.
//!
//! Runs on the admin thread.

use std::path::PathBuf;
use std::sync::Arc;

use leno_telemetry::ProcessStat;
use tokio::sync::watch;
use tonic::transport::Channel;

use crate::ads;
use crate::dns::{Resolvers, Table};
use crate::identity::control_channel;
use crate::options::Mesh;
use crate::process::Process;

/// Follows the control plane, and notes how that goes.
pub(crate) async fn follow(process: Arc<Process>, mesh: Mesh) {
    let (state, mut changes) = watch::channel(ads::State::default());
    let noting = async {
        while changes.changed().await.is_ok() {
            let now = changes.borrow_and_update().clone();
            process.metrics.set(ProcessStat::ControlConnected, u64::from(now.connected));
            process.publisher.note_refused(now.refused);
        }
    };
    let dial = ControlPlane { mesh: mesh.clone(), process: Arc::clone(&process) };
    let publisher = Arc::clone(&process.publisher);
    let names = Arc::clone(&process.dns);
    names.store(Arc::new(own_names(&mesh)));
    // Whatever a file said is in force already.
    let base = publisher.resources();
    tokio::join!(ads::run((&mesh, base), &dial, publisher, names, state), noting);
}

/// No name of the mesh is known yet, but which short forms there will be: they follow from the node id's last part,
/// `NAMESPACE.svc.DOMAIN`.
fn own_names(mesh: &Mesh) -> Table {
    let domain = mesh.node.id.rsplit('~').next().unwrap_or_default();
    let (namespace, mesh_domain) = domain.split_once(".svc.").unwrap_or_default();
    Table::new(&[], namespace, mesh_domain, &Resolvers::of_host().search)
}

/// How the control plane is dialled: the token is read for each attempt, since it is renewed.
struct ControlPlane {
    mesh: Mesh,
    process: Arc<Process>,
}

impl ads::Dial for ControlPlane {
    fn dial(&self) -> Result<(Channel, Option<String>), String> {
        let secrets = self.process.tls.secrets();
        let channel = control_channel(&self.mesh, secrets).map_err(|error| error.to_string())?;
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let token = self.mesh.token_file.as_ref().map(read).transpose()?;
        Ok((channel, token.map(|token| token.trim().to_owned())))
    }
}
