// told.py for JavaScript: see there for what is told. The libraries are in the working directory's node_modules.
import { createRequire } from "node:module";

export const [API_URL, GATEWAY_URL, COMPRESSION] = process.argv.slice(2);
export const TOKEN = process.env.BOT_TOKEN;
export const library = createRequire(`${process.cwd()}/`);

const tell = (news) => process.stdout.write(`${JSON.stringify(news)}\n`);

export const ready = () => tell({ event: "ready" });

export function message(content) {
  tell({ event: "message", content });
  return content.startsWith("say ") ? content.slice(4) : "";
}
