//! The configuration a process starts with: an Envoy bootstrap file, or resources handed over.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use leno_core::snapshot::Resources;
use leno_xds::static_file;

use crate::options::ConfigSource;
use crate::process::Error;

/// What is known before anybody is asked.
pub(crate) struct First {
    pub(crate) name: String,
    pub(crate) resources: Resources,
    pub(crate) admin: Option<SocketAddr>,
}

/// What `source` says at once; a control plane says nothing yet.
///
/// # Errors
/// A file that cannot be read or is wrong, with every problem.
pub(crate) fn first(source: &ConfigSource) -> Result<Option<First>, Error> {
    match source {
        ConfigSource::Mesh(_) => Ok(None),
        ConfigSource::Resources(resources) => Ok(Some(First {
            name: "resources".to_owned(),
            resources: resources.clone(),
            admin: None,
        })),
        ConfigSource::Static(path) => {
            let name = path.display().to_string();
            let error = |source| Error::Config { path: name.clone(), source };
            let text = std::fs::read_to_string(path).map_err(|source| error(Box::new(source)))?;
            let (resources, admin) = bootstrap(&text).map_err(|lines| error(lines.into()))?;
            Ok(Some(First { name, resources, admin }))
        }
    }
}

/// The static part of an Envoy bootstrap; every problem, one a line.
fn bootstrap(text: &str) -> Result<(Resources, Option<SocketAddr>), String> {
    let lines = |problems: &[leno_xds::Problem]| -> String {
        problems.iter().map(|problem| format!("\n  {problem}")).collect()
    };
    let decoded = static_file::parse(text).map_err(|problems| lines(&problems))?;
    for unsupported in &decoded.unsupported {
        tracing::warn!("not acted on: {unsupported}");
    }
    let file = decoded.value;
    if file.ads.is_some() {
        return Err("dynamic_resources: a control plane is named by --control".to_owned());
    }
    let resources = Resources {
        listeners: file.listeners.into_iter().map(|l| (l.name.clone(), Arc::new(l))).collect(),
        routes: BTreeMap::new(),
        clusters: file.clusters.into_iter().map(|c| (c.name.clone(), Arc::new(c))).collect(),
    };
    Ok((resources, file.admin))
}

#[cfg(test)]
mod tests {
    use super::bootstrap;

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_its_place() {
        let text = "static_resources:\n  listeners:\n  - name: a\n    nonsense: 1\n";
        let told = bootstrap(text).unwrap_err();
        assert!(told.contains("nonsense") && told.contains("4:"), "{told}");
        let empty = bootstrap("node: {id: a}\n").unwrap();
        assert!(empty.0.listeners.is_empty() && empty.1.is_none());
    }
}
