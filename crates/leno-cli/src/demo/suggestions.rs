//! Three things to try, as files that `kubectl apply` takes.

use std::path::Path;
use std::process::Command;

use super::folder::Folder;

const TO_V3: &str = "\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
  - {name: v3, labels: {version: v3}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - match: [{headers: {end-user: {exact: jason}}}]
    route: [{destination: {host: reviews, subset: v2}}]
  - route: [{destination: {host: reviews, subset: v3}}]
";

const SLOW: &str = "\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ratings}
spec:
  hosts: [ratings]
  http:
  - fault: {delay: {fixedDelay: 3s, percentage: {value: 50}}}
    route: [{destination: {host: ratings}}]
";

/// What is printed; the files are written on the way. One that cannot be written is left out.
pub(super) fn text(folder: &Folder, kubeconfig: &Path) -> String {
    let leno = as_typed();
    // What needs no kubectl says the same to the same API.
    let apply = if has_kubectl() { "kubectl apply".to_owned() } else { format!("{leno} apply") };
    let mut text = format!("Try:\n  export KUBECONFIG={}\n", kubeconfig.display());
    let files = [
        ("try/reviews-v3.yaml", TO_V3, "red stars for everybody, black ones for jason (sign in)"),
        ("try/slow-ratings.yaml", SLOW, "every second call to ratings waits: see who suffers"),
    ];
    for (name, yaml, what) in files {
        if let Ok(path) = folder.write(name, yaml) {
            text.push_str(&format!("  {apply} -f {}\n      {what}\n", path.display()));
        }
    }
    let looks = ["stat", "edges", "proxy status"].map(|look| format!("{leno} {look}"));
    text.push_str(&format!("  {}\n      the same figures on the command line\n", looks.join("; ")));
    text
}

/// This program as the user called it: what works here works in the next shell of the same folder.
fn as_typed() -> String {
    std::env::args().next().unwrap_or_else(|| "leno".to_owned())
}

fn has_kubectl() -> bool {
    Command::new("kubectl").args(["version", "--client"]).output().is_ok_and(|o| o.status.success())
}

#[cfg(test)]
mod tests {
    use super::{SLOW, TO_V3};

    #[test]
    fn the_files_are_documents_the_api_takes() {
        for text in TO_V3.split("---\n").chain([SLOW]) {
            let document: serde_json::Value = serde_saphyr::from_str(text).unwrap();
            let kind = document["kind"].as_str().unwrap();
            let kind = leno_api::kind_of("networking.istio.io", kind).unwrap();
            assert_eq!(kind.problems(&document), [], "{text}");
        }
    }
}
