import { expect, test } from "vitest";
import type { Edge } from "./frame.ts";
import { CELL, layout } from "./layout.ts";

const party = (workload: string) => ({ workload, namespace: "default", version: "unknown" });
const edge = (from: string, to: string): Edge => ({
  source: party(from),
  service: to,
  destination: party(to),
  client: null,
  server: null,
});

test("columns count hops from the caller nobody calls", () => {
  const { nodes } = layout([edge("productpage", "reviews"), edge("reviews", "ratings"), edge("productpage", "details")]);
  const column = Object.fromEntries(nodes.map((node) => [node.name, node.x / CELL.width]));
  expect(column).toEqual({ details: 1, productpage: 0, ratings: 2, reviews: 1 });
});

test("a cycle ends and every node stands inside the picture", () => {
  const { nodes, width, height } = layout([edge("a", "b"), edge("b", "c"), edge("c", "a")]);
  expect(nodes.length).toBe(3);
  for (const node of nodes) expect(node.x < width && node.y < height).toBe(true);
});
