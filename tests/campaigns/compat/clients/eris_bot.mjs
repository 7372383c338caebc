// eris asks for zlib-stream if it is told to, and zlib-sync is installed.
import http from "node:http";
import { API_URL, COMPRESSION, TOKEN, library, message, ready } from "./told.mjs";

const Eris = library("eris");

// It speaks HTTPS by itself; this agent makes it plain HTTP, to the right port.
const api = new URL(API_URL);
class PlainAgent extends http.Agent {
  defaultPort = Number(api.port);
  protocol = "https:";
}

const client = new Eris.Client(`Bot ${TOKEN}`, {
  compress: COMPRESSION === "zlib-stream",
  intents: ["guilds", "guildMessages", "messageContent"],
  rest: { agent: new PlainAgent(), baseURL: api.pathname, domain: api.hostname },
});
client.on("error", (error) => console.error(error));
client.on("shardReady", ready);
client.on("messageCreate", async (received) => {
  const answer = message(received.content);
  if (answer) await client.createMessage(received.channel.id, answer);
});
await client.connect();
