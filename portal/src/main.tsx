import { createRoot } from "react-dom/client";
import { Page } from "./page.tsx";
import { openStream } from "./stream.ts";
import "./page.css";

const root = document.getElementById("root");
if (root) {
  openStream();
  createRoot(root).render(<Page />);
}
