import { useSyncExternalStore } from "react";
import type { Frame } from "./frame.ts";

/** The last frame and whether the stream is up. One connection for the whole page; the browser reconnects it. */
export interface Live {
  frame: Frame | null;
  connected: boolean;
}

let live: Live = { frame: null, connected: false };
const listeners = new Set<() => void>();

function update(next: Partial<Live>) {
  live = { ...live, ...next };
  listeners.forEach((listener) => listener());
}

/** Opens the stream; called once, when the page starts. */
export function openStream(url = "/leno/v1/stream") {
  const source = new EventSource(url);
  source.addEventListener("frame", (event) => update({ frame: JSON.parse(event.data) as Frame, connected: true }));
  source.onopen = () => update({ connected: true });
  source.onerror = () => update({ connected: false });
}

/** What the stream said last. */
export function useLive(): Live {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => live,
  );
}
