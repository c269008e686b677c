import { expect, test } from "vitest";
import { health, millis, partyName, percent, rate } from "./frame.ts";

test("figures are short and never flatter", () => {
  expect(rate(0.25)).toBe("0.3/s");
  expect(rate(1234)).toBe("1.2k/s");
  expect(percent(0.99999)).toBe("99.99 %");
  expect(percent(1)).toBe("100 %");
  expect(millis(null)).toBe("–");
  expect(millis(1400)).toBe("1.40 s");
});

test("a party is named without saying its version twice", () => {
  const party = (workload: string, version: string) => ({ workload, namespace: "default", version });
  expect(partyName(party("reviews-v2", "v2"))).toBe("reviews v2");
  expect(partyName(party("ratings", "unknown"))).toBe("ratings");
  expect(partyName(party("unknown", "unknown"))).toBe("outside");
});

test("health follows success", () => {
  const side = (success: number, rps = 1) => ({ rps, success, mutual_tls: 1, p50_ms: 1, p99_ms: 1 });
  expect(health(side(1))).toBe("ok");
  expect(health(side(0.97))).toBe("degraded");
  expect(health(side(0.5))).toBe("failing");
  expect(health(side(1, 0))).toBe("idle");
  expect(health(null)).toBe("idle");
});
