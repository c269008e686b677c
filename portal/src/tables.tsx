import { type Edge, type Service, type Side, health, millis, partyName, percent, rate } from "./frame.ts";

/** Every service with what its callers saw beside what it saw itself: a difference is the network's or a proxy's. */
export function Services({ services }: { services: Service[] }) {
  return (
    <section aria-labelledby="services">
      <h2 id="services">Services</h2>
      <table>
        <thead>
          <tr>
            <th rowSpan={2}>service</th>
            <th rowSpan={2} className="number">
              workloads
            </th>
            <th colSpan={4} className="side">
              as callers see it
            </th>
            <th colSpan={4} className="side">
              as it sees itself
            </th>
          </tr>
          <tr>
            <SideHead />
            <SideHead />
          </tr>
        </thead>
        <tbody>
          {services.map((service) => (
            <tr key={service.host} data-service={service.name}>
              <th scope="row">
                <Dot side={service.server ?? service.client} /> {service.name}
                <small> {service.namespace}</small>
              </th>
              <td className="number">{service.workloads}</td>
              <SideCells side={service.client} />
              <SideCells side={service.server} />
            </tr>
          ))}
        </tbody>
      </table>
      {services.length === 0 && <p className="empty">No service yet: start one with leno run.</p>}
    </section>
  );
}

/** Every edge with traffic during the last seconds; a lock where all of it was mutual TLS. */
export function Edges({ edges }: { edges: Edge[] }) {
  return (
    <section aria-labelledby="edges">
      <h2 id="edges">Edges</h2>
      <table>
        <thead>
          <tr>
            <th>from</th>
            <th>to</th>
            <th>mTLS</th>
            <SideHead />
          </tr>
        </thead>
        <tbody>
          {edges.map((edge) => (
            <tr key={edgeKey(edge)} data-edge={`${partyName(edge.source)}>${partyName(edge.destination)}`}>
              <th scope="row">{partyName(edge.source)}</th>
              <td>
                <Dot side={edge.server ?? edge.client} /> {partyName(edge.destination)}
              </td>
              <td>
                <Lock edge={edge} />
              </td>
              <SideCells side={edge.client ?? edge.server} />
            </tr>
          ))}
        </tbody>
      </table>
      {edges.length === 0 && <p className="empty">No traffic during the last seconds.</p>}
    </section>
  );
}

/** What tells one edge from another. */
export function edgeKey(edge: Edge): string {
  const party = (p: Edge["source"]) => `${p.namespace}/${p.workload}`;
  return `${party(edge.source)}>${edge.service}>${party(edge.destination)}`;
}

/** Whether everything on the edge was mutual TLS, by whoever saw it. */
export function isLocked(edge: Edge): boolean {
  return (edge.server ?? edge.client)?.mutual_tls === 1;
}

function Lock({ edge }: { edge: Edge }) {
  return isLocked(edge) ? (
    <svg className="lock" role="img" aria-label="mutual TLS" viewBox="0 0 16 16" width="14" height="14">
      <path d="M5 7V5a3 3 0 0 1 6 0v2" />
      <rect x="3.5" y="7" width="9" height="6.5" rx="1.5" />
    </svg>
  ) : (
    <span className="open">plaintext</span>
  );
}

function SideHead() {
  return (
    <>
      <th className="number side">rate</th>
      <th className="number">success</th>
      <th className="number">p50</th>
      <th className="number">p99</th>
    </>
  );
}

function SideCells({ side }: { side: Side | null }) {
  if (!side) {
    return (
      <td colSpan={4} className="empty side">
        –
      </td>
    );
  }
  return (
    <>
      <td className="number side">{rate(side.rps)}</td>
      <td className={`number ${health(side)}`}>{percent(side.success)}</td>
      <td className="number">{millis(side.p50_ms)}</td>
      <td className="number">{millis(side.p99_ms)}</td>
    </>
  );
}

/** State by glyph and word, never by colour alone. */
function Dot({ side }: { side: Side | null }) {
  const state = health(side);
  const glyph = { ok: "●", degraded: "◐", failing: "✕", idle: "○" }[state];
  return (
    <span className={`dot ${state}`} role="img" aria-label={state}>
      {glyph}
    </span>
  );
}
