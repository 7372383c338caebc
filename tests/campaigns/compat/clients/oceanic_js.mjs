// oceanic.js asks for what it is told to.
import { API_URL, COMPRESSION, TOKEN, library, message, ready } from "./told.mjs";

const { Client } = library("oceanic.js");

const client = new Client({
  auth: `Bot ${TOKEN}`,
  gateway: {
    compress: COMPRESSION === "none" ? false : COMPRESSION,
    intents: ["GUILDS", "GUILD_MESSAGES", "MESSAGE_CONTENT"],
  },
  rest: { baseURL: API_URL },
});
client.on("error", (error) => console.error(error));
client.on("shardReady", ready);
client.on("messageCreate", async (received) => {
  const answer = message(received.content);
  if (answer) await client.rest.channels.createMessage(received.channelID, { content: answer });
});
await client.connect();
