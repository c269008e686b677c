//! Who calls whom: scrapes of every proxy become edges with rates, each as both sides saw it.
//!
//! Pure: the scraper hands in samples and the time. One writer; readers get a copy of the view.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use serde::Serialize;

use super::exposition::Sample;
use super::window::{Tally, WINDOW, Window};

/// A workload, or a caller outside the mesh (`unknown`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub(crate) struct Party {
    /// Workload name.
    pub(crate) workload: String,
    /// Namespace.
    pub(crate) namespace: String,
    /// Version label.
    pub(crate) version: String,
}

/// One direction of traffic: a caller, the service it named, the workload that answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub(crate) struct EdgeKey {
    /// Who called.
    pub(crate) source: Party,
    /// Fully qualified host that was called.
    pub(crate) service: String,
    /// Who answered.
    pub(crate) destination: Party,
}

/// Which proxy counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Reporter {
    Source,
    Destination,
}

/// Every edge that had traffic lately.
#[derive(Debug, Default)]
pub(crate) struct Edges {
    windows: HashMap<(EdgeKey, Reporter), Window>,
    /// Counter values of each proxy's last scrape, by series; what is gone from a scrape is forgotten.
    last: HashMap<String, HashMap<Series, f64>>,
}

/// One counter of one proxy that feeds an edge.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Series {
    edge: EdgeKey,
    reporter: Reporter,
    part: Part,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    /// `istio_requests_total`: (failed, over mutual TLS).
    Requests { failed: bool, mutual_tls: bool },
    /// `istio_request_duration_milliseconds_bucket`, by the text of its bound.
    Bucket(String),
}

impl Edges {
    /// Takes one proxy's scrape. The first of a proxy only sets the base line: what it counted before is not "now".
    pub(crate) fn ingest(&mut self, proxy: &str, samples: &[Sample<'_>], now: Instant) {
        let mut values: HashMap<Series, f64> = HashMap::new();
        for sample in samples {
            if let Some(series) = series(sample) {
                *values.entry(series).or_default() += sample.value;
            }
        }
        if let Some(last) = self.last.get(proxy) {
            let tallies = deltas(last, &values);
            for (key, tally) in tallies {
                self.windows.entry(key).or_default().push(now, tally);
            }
        }
        self.last.insert(proxy.to_owned(), values);
    }

    /// Forgets a proxy that is gone; its edges fade with the window.
    pub(crate) fn forget(&mut self, proxy: &str) {
        self.last.remove(proxy);
    }

    /// What happened in the window; edges without traffic are dropped for good.
    pub(crate) fn picture(&mut self, now: Instant) -> Picture {
        self.windows.retain(|_, window| !window.is_idle(now));
        let mut edges: BTreeMap<&EdgeKey, EdgeView> = BTreeMap::new();
        let mut services: HashMap<(&str, Reporter), Tally> = HashMap::new();
        for ((key, reporter), window) in &self.windows {
            let sum = window.sum(now);
            let edge = edges
                .entry(key)
                .or_insert_with(|| EdgeView { key: key.clone(), sides: Sides::default() });
            edge.sides.put(*reporter, &sum);
            services.entry((&key.service, *reporter)).or_default().add(&sum);
        }
        let mut picture =
            Picture { edges: edges.into_values().collect(), services: BTreeMap::new() };
        for ((host, reporter), sum) in services {
            picture.services.entry(host.to_owned()).or_default().put(reporter, &sum);
        }
        picture
    }
}

/// Everything with traffic lately.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Picture {
    /// Ordered by caller, service and callee.
    pub(crate) edges: Vec<EdgeView>,
    /// By fully qualified host.
    pub(crate) services: BTreeMap<String, Sides>,
}

/// The same traffic as counted by both proxies.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Sides {
    /// As the caller's proxy counted; absent for callers outside the mesh.
    pub(crate) client: Option<SideView>,
    /// As the callee's proxy counted.
    pub(crate) server: Option<SideView>,
}

impl Sides {
    fn put(&mut self, reporter: Reporter, sum: &Tally) {
        let side = Some(SideView::new(sum));
        match reporter {
            Reporter::Source => self.client = side,
            Reporter::Destination => self.server = side,
        }
    }
}

/// One edge as the portal and `leno edges` show it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct EdgeView {
    /// Caller, service and answering workload.
    #[serde(flatten)]
    pub(crate) key: EdgeKey,
    /// What the two proxies counted.
    #[serde(flatten)]
    pub(crate) sides: Sides,
}

/// What one side saw during the window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct SideView {
    /// Requests per second.
    pub(crate) rps: f64,
    /// Share answered without failure, 0 to 1; 1 without requests.
    pub(crate) success: f64,
    /// Share over mutual TLS, 0 to 1.
    pub(crate) mutual_tls: f64,
    /// Median duration in milliseconds.
    pub(crate) p50_ms: Option<f64>,
    /// 99th percentile in milliseconds.
    pub(crate) p99_ms: Option<f64>,
}

impl SideView {
    /// Rates and quantiles of a window's sum.
    pub(crate) fn new(sum: &Tally) -> Self {
        let share = |part: f64| if sum.requests > 0.0 { part / sum.requests } else { 0.0 };
        Self {
            rps: round(sum.requests / WINDOW.as_secs_f64()),
            success: 1.0 - share(sum.failures),
            mutual_tls: share(sum.mutual_tls),
            p50_ms: sum.quantile(0.5).map(round),
            p99_ms: sum.quantile(0.99).map(round),
        }
    }
}

/// Two decimals: more is noise on a page and bytes on the wire.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn series(sample: &Sample<'_>) -> Option<Series> {
    let part = match sample.name {
        "istio_requests_total" => Part::Requests {
            failed: failed(sample.label("response_code")),
            mutual_tls: sample.label("connection_security_policy") == "mutual_tls",
        },
        "istio_request_duration_milliseconds_bucket" => Part::Bucket(sample.label("le").to_owned()),
        _ => return None,
    };
    let reporter = match sample.label("reporter") {
        "source" => Reporter::Source,
        "destination" => Reporter::Destination,
        _ => return None,
    };
    let party = |side: &str| Party {
        workload: sample.label(&format!("{side}_workload")).to_owned(),
        namespace: sample.label(&format!("{side}_workload_namespace")).to_owned(),
        version: sample.label(&format!("{side}_version")).to_owned(),
    };
    let service = sample.label("destination_service").to_owned();
    Some(Series {
        edge: EdgeKey { source: party("source"), service, destination: party("destination") },
        reporter,
        part,
    })
}

/// No answer is code 0 in Istio's vocabulary.
fn failed(code: &str) -> bool {
    code == "0" || code.starts_with('5')
}

fn deltas(
    last: &HashMap<Series, f64>,
    values: &HashMap<Series, f64>,
) -> HashMap<(EdgeKey, Reporter), Tally> {
    let mut tallies: HashMap<(EdgeKey, Reporter), Tally> = HashMap::new();
    for (series, value) in values {
        let before = last.get(series).copied().unwrap_or(0.0);
        // A counter that fell was restarted: what it shows now happened since.
        let delta = if *value < before { *value } else { value - before };
        let tally = tallies.entry((series.edge.clone(), series.reporter)).or_default();
        match &series.part {
            Part::Requests { failed, mutual_tls } => {
                tally.requests += delta;
                tally.failures += if *failed { delta } else { 0.0 };
                tally.mutual_tls += if *mutual_tls { delta } else { 0.0 };
            }
            Part::Bucket(bound) => tally.add_bucket(bound.parse().unwrap_or(f64::INFINITY), delta),
        }
    }
    tallies
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::exposition::parse;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn scrape(reporter: &str, requests: u32, failures: u32) -> String {
        let labels = format!(
            "reporter=\"{reporter}\",source_workload=\"productpage\",destination_workload=\"reviews\",\
             destination_service=\"reviews.default.svc.cluster.local\",connection_security_policy=\"mutual_tls\""
        );
        format!(
            "istio_requests_total{{{labels},response_code=\"200\"}} {requests}\n\
             istio_requests_total{{{labels},response_code=\"503\"}} {failures}\n\
             istio_request_duration_milliseconds_bucket{{{labels},response_code=\"200\",le=\"10\"}} {requests}\n\
             istio_request_duration_milliseconds_bucket{{{labels},response_code=\"200\",le=\"+Inf\"}} {requests}\n"
        )
    }

    fn ingest(edges: &mut Edges, proxy: &str, text: &str, now: Instant) {
        edges.ingest(proxy, &parse(text, "istio_").unwrap(), now);
    }

    #[test]
    fn both_sides_of_an_edge_meet_in_one_row() {
        let start = Instant::now();
        let mut edges = Edges::default();
        for (proxy, reporter) in [("a", "source"), ("b", "destination")] {
            ingest(&mut edges, proxy, &scrape(reporter, 1000, 0), start);
            ingest(&mut edges, proxy, &scrape(reporter, 1135, 15), start + SECOND);
        }
        let picture = edges.picture(start + SECOND);
        assert_eq!(picture.edges.len(), 1);
        assert_eq!(picture.edges[0].key.source.workload, "productpage");
        let sides = &picture.edges[0].sides;
        let client = sides.client.as_ref().unwrap();
        assert_eq!((client.rps, client.success, client.mutual_tls), (10.0, 0.9, 1.0));
        assert_eq!(sides.server, sides.client);
        assert_eq!(&picture.services["reviews.default.svc.cluster.local"], sides);
    }

    #[test]
    fn a_restarted_proxy_counts_from_zero_and_an_idle_edge_fades() {
        let start = Instant::now();
        let mut edges = Edges::default();
        ingest(&mut edges, "a", &scrape("source", 1000, 0), start);
        ingest(&mut edges, "a", &scrape("source", 30, 0), start + SECOND);
        let rps = |picture: Picture| picture.edges[0].sides.client.as_ref().map(|side| side.rps);
        assert_eq!(rps(edges.picture(start + SECOND)), Some(2.0));
        assert_eq!(edges.picture(start + SECOND + WINDOW), Picture::default());
    }
}
