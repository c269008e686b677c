import type { Edge, Party } from "./frame.ts";
import { partyName } from "./frame.ts";

/** A box of the map. */
export interface Node {
  id: string;
  name: string;
  x: number;
  y: number;
}

/** Column width and row height of the map, in pixels. */
export const CELL = { width: 210, height: 56 };

/** Identifies a party on the map. */
export function partyId(party: Party): string {
  return `${party.namespace}/${party.workload}`;
}

/**
 * Columns by hops from callers that nobody calls, rows by name: the same traffic always gives the same picture.
 * Cycles end where they meet a node that already stands further right.
 */
export function layout(edges: Edge[]): { nodes: Node[]; width: number; height: number } {
  const names = new Map<string, string>();
  for (const edge of edges) {
    for (const party of [edge.source, edge.destination]) names.set(partyId(party), partyName(party));
  }
  const columns = hops(edges, [...names.keys()]);
  const rows = new Map<number, number>();
  const nodes = [...names.entries()]
    .sort(([, a], [, b]) => a.localeCompare(b))
    .map(([id, name]) => {
      const column = columns.get(id) ?? 0;
      const row = rows.get(column) ?? 0;
      rows.set(column, row + 1);
      return { id, name, x: column * CELL.width, y: row * CELL.height };
    });
  const tallest = Math.max(1, ...rows.values());
  for (const node of nodes) {
    const inColumn = rows.get(node.x / CELL.width) ?? 1;
    node.y += ((tallest - inColumn) * CELL.height) / 2;
  }
  const width = (Math.max(0, ...columns.values()) + 1) * CELL.width;
  return { nodes, width, height: tallest * CELL.height };
}

/** The longest way to each node from a node that is not called; bounded by the number of nodes. */
function hops(edges: Edge[], ids: string[]): Map<string, number> {
  const column = new Map(ids.map((id) => [id, 0]));
  for (let round = 0; round < ids.length; round++) {
    let moved = false;
    for (const edge of edges) {
      const from = column.get(partyId(edge.source)) ?? 0;
      const to = column.get(partyId(edge.destination)) ?? 0;
      if (to <= from && from + 1 < ids.length && edge.source !== edge.destination) {
        column.set(partyId(edge.destination), from + 1);
        moved = true;
      }
    }
    if (!moved) break;
  }
  return column;
}
