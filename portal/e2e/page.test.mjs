// The live page in a real browser, over a real meshed Bookinfo: bin/leno must have been built.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { chromium } from "playwright-core";

const root = new URL("../..", import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), "leno-portal-"));
const readyFile = join(folder, "ready.json");
const problems = [];
let demo, browser, page, urls;

before(async () => {
  const options = ["demo", "--data", join(folder, "data"), "--ready-file", readyFile];
  demo = spawn(join(root, "bin/leno"), options, { stdio: ["ignore", "ignore", "inherit"] });
  const deadline = Date.now() + 60_000;
  while (!existsSync(readyFile)) {
    assert.equal(demo.exitCode, null, "the demo ended before it was ready");
    assert.ok(Date.now() < deadline, "the demo was not ready within a minute");
    await wait(100);
  }
  urls = JSON.parse(readFileSync(readyFile, "utf8"));
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM_BIN ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"],
  });
  page = await browser.newPage({ viewport: { width: 1200, height: 1000 } });
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("request", (request) => {
    const host = new URL(request.url()).hostname;
    if (!host.startsWith("127.") && host !== "localhost") problems.push(`asked ${request.url()}`);
  });
  await page.goto(urls.portal);
}, { timeout: 120_000 });

after(async () => {
  await browser?.close();
  if (demo && demo.exitCode === null) {
    const ended = new Promise((resolve) => demo.once("exit", resolve));
    demo.kill("SIGINT");
    await ended;
  }
  rmSync(folder, { recursive: true, force: true });
});

test("services show traffic as callers and as they themselves see it", { timeout: 60_000 }, async () => {
  for (const name of ["productpage", "details", "reviews", "ratings"]) {
    await page.locator(`[data-service="${name}"]`).waitFor();
  }
  // One cell for the workloads and four figures from each side.
  await page.waitForFunction(() => document.querySelectorAll('[data-service="reviews"] td.number').length === 9);
  const reviews = await page.locator('[data-service="reviews"]').innerText();
  assert.match(reviews, /\d+\.\d\/s\s+100 %.*ms/s);
});

test("an edge between meshed workloads carries a lock", { timeout: 60_000 }, async () => {
  const edge = page.locator('[data-edge^="productpage"][data-edge*=">reviews"]').first();
  await edge.getByRole("img", { name: "mutual TLS" }).waitFor();
});

test("a change appears by itself with how many proxies enforce it", { timeout: 60_000 }, async () => {
  const document = {
    apiVersion: "networking.istio.io/v1",
    kind: "VirtualService",
    metadata: { name: "ratings", namespace: "default" },
    spec: { hosts: ["ratings"], http: [{ route: [{ destination: { host: "ratings" } }] }] },
  };
  execFileSync("kubectl", ["--kubeconfig", urls.kubeconfig, "apply", "-f", "-"], { input: JSON.stringify(document) });
  await page.waitForFunction(() => {
    const change = document.querySelector('[data-change="VirtualService/ratings"]');
    return /✓ (\d+) of \1/.test(change?.textContent ?? "");
  });
  if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT });
});

test("the page asked nobody else and the console is clean", () => {
  assert.deepEqual(problems, []);
});
