/** What the stream `/leno/v1/stream` sends once a second: the whole picture, never a difference. */
export interface Frame {
  at: string;
  mesh: Mesh;
  services: Service[];
  edges: Edge[];
  changes: Change[];
}

/** The mesh in one line. */
export interface Mesh {
  revision: number;
  proxies: { connected: number; current: number };
}

/** What one side of the traffic counted during the last seconds. */
export interface Side {
  rps: number;
  success: number;
  mutual_tls: number;
  p50_ms: number | null;
  p99_ms: number | null;
}

/** A service as users named it; `client` is what its callers' proxies saw, `server` what its own proxies saw. */
export interface Service {
  host: string;
  name: string;
  namespace: string;
  workloads: number;
  client: Side | null;
  server: Side | null;
}

/** A workload, or `unknown` for a caller outside the mesh. */
export interface Party {
  workload: string;
  namespace: string;
  version: string;
}

/** Who called which service, and which workload answered. */
export interface Edge {
  source: Party;
  service: string;
  destination: Party;
  client: Side | null;
  server: Side | null;
}

/** One accepted document and how far it has come. */
export interface Change {
  revision: number;
  at: string;
  verb: string;
  kind: string;
  namespace: string;
  name: string;
  enforced: number;
  of: number;
  problem: string | null;
}

/** A party in a few letters: `reviews v2`; who is outside the mesh is called so. */
export function partyName(party: Party): string {
  if (party.workload === "unknown") return "outside";
  const version = party.version === "unknown" ? "" : ` ${party.version}`;
  return party.workload.endsWith(`-${party.version}`)
    ? party.workload.slice(0, -party.version.length - 1) + version
    : party.workload + version;
}

/** `12.4/s`, `0.3/s`, `1.2k/s`. */
export function rate(rps: number): string {
  if (rps >= 1000) return `${(rps / 1000).toFixed(1)}k/s`;
  return `${rps >= 100 ? rps.toFixed(0) : rps.toFixed(1)}/s`;
}

/** `99.97 %`; never rounded up to 100. */
export function percent(share: number): string {
  const value = share * 100;
  if (value >= 100) return "100 %";
  return `${Math.min(value, 99.99).toFixed(2)} %`;
}

/** `3.2 ms`, `1.40 s`, `–` without requests. */
export function millis(ms: number | null): string {
  if (ms === null) return "–";
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  return `${ms >= 10 ? ms.toFixed(0) : ms.toFixed(1)} ms`;
}

/** ok, degraded or failing, by success share; idle without requests. */
export type Health = "ok" | "degraded" | "failing" | "idle";

export function health(side: Side | null): Health {
  if (!side || side.rps === 0) return "idle";
  if (side.success >= 0.999) return "ok";
  return side.success >= 0.95 ? "degraded" : "failing";
}
