import type { Change } from "./frame.ts";

/** The last accepted documents and on how many proxies each is in force. */
export function Changes({ changes }: { changes: Change[] }) {
  return (
    <section aria-labelledby="changes">
      <h2 id="changes">Configuration</h2>
      <ol className="changes">
        {changes.map((change) => (
          <li key={change.revision} data-change={`${change.kind}/${change.name}`}>
            <time dateTime={change.at}>{new Date(change.at).toLocaleTimeString()}</time>
            <span>
              {change.verb} <b>{change.kind}</b> {change.namespace && `${change.namespace}/`}
              {change.name}
            </span>
            <Progress change={change} />
          </li>
        ))}
      </ol>
      {changes.length === 0 && <p className="empty">No change yet: kubectl apply a VirtualService.</p>}
    </section>
  );
}

function Progress({ change }: { change: Change }) {
  if (change.problem) {
    return <span className="failing">✕ refused: {change.problem}</span>;
  }
  if (change.of === 0) {
    return <span className="idle">concerns no proxy</span>;
  }
  const all = change.enforced === change.of;
  return (
    <span className={all ? "ok" : "degraded"}>
      {all ? "✓" : "…"} {change.enforced} of {change.of}
    </span>
  );
}
