import { Changes } from "./changes.tsx";
import { Map } from "./map.tsx";
import { Edges, Services } from "./tables.tsx";
import { useLive } from "./stream.ts";

/** The live page: what the mesh does now, from one stream. */
export function Page() {
  const { frame, connected } = useLive();
  return (
    <>
      <header>
        <h1>
          leno <span>mesh</span>
        </h1>
        {frame && (
          <p>
            revision <b>{frame.mesh.revision}</b> on{" "}
            <b data-testid="current">
              {frame.mesh.proxies.current} of {frame.mesh.proxies.connected}
            </b>{" "}
            proxies
          </p>
        )}
        <p role="status" className={connected ? "live" : "stale"}>
          {connected ? "live" : "reconnecting…"}
        </p>
      </header>
      <main>
        {frame ? (
          <>
            <Map edges={frame.edges} />
            <Services services={frame.services} />
            <Edges edges={frame.edges} />
            <Changes changes={frame.changes} />
          </>
        ) : (
          <p className="empty">Waiting for the first frame from the control plane.</p>
        )}
      </main>
    </>
  );
}
