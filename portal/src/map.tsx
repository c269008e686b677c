import { type Edge, health, partyName, rate } from "./frame.ts";
import { CELL, type Node, layout, partyId } from "./layout.ts";
import { edgeKey, isLocked } from "./tables.tsx";

const BOX = { width: 132, height: 34 };

/** Who calls whom, left to right. The table of edges below says the same in words. */
export function Map({ edges }: { edges: Edge[] }) {
  const { nodes, width, height } = layout(edges);
  if (nodes.length === 0) return null;
  const byId: Record<string, Node> = Object.fromEntries(nodes.map((node) => [node.id, node]));
  return (
    <section aria-label="Map" className="map">
      <svg viewBox={`-8 -8 ${width} ${height + 8}`} width={width} role="img" aria-label="Map of who calls whom">
        {edges.map((edge) => (
          <Wire key={edgeKey(edge)} edge={edge} from={byId[partyId(edge.source)]} to={byId[partyId(edge.destination)]} />
        ))}
        {nodes.map((node) => (
          <g key={node.id} transform={`translate(${node.x} ${node.y})`}>
            <rect width={BOX.width} height={BOX.height} rx={8} />
            <text x={BOX.width / 2} y={BOX.height / 2 + 5} textAnchor="middle">
              {node.name}
            </text>
          </g>
        ))}
      </svg>
    </section>
  );
}

function Wire({ edge, from, to }: { edge: Edge; from: Node | undefined; to: Node | undefined }) {
  if (!from || !to) return null;
  const side = edge.server ?? edge.client;
  const start = { x: from.x + BOX.width, y: from.y + BOX.height / 2 };
  const end = { x: to.x, y: to.y + BOX.height / 2 };
  const bend = (CELL.width - BOX.width) / 2;
  const middle = { x: (start.x + end.x) / 2, y: (start.y + end.y) / 2 };
  return (
    <g className={`wire ${health(side)}`}>
      <title>{`${partyName(edge.source)} → ${partyName(edge.destination)}, ${isLocked(edge) ? "mutual TLS" : "plaintext"}`}</title>
      <path
        d={`M${start.x} ${start.y} C${start.x + bend} ${start.y} ${end.x - bend} ${end.y} ${end.x} ${end.y}`}
        strokeWidth={1 + Math.min(5, Math.log10(1 + (side?.rps ?? 0)))}
        strokeDasharray={isLocked(edge) ? undefined : "5 4"}
      />
      {side && (
        <text x={middle.x} y={middle.y - 5} textAnchor="middle">
          {rate(side.rps)}
        </text>
      )}
    </g>
  );
}
