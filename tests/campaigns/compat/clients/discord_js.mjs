// discord.js asks for zlib-stream if zlib-sync is installed, else for nothing. Its sharding strategy may ask for
// zlib-stream nevertheless; then it settles for the compression of single payloads.
import { API_URL, COMPRESSION, TOKEN, library, message, ready } from "./told.mjs";

const { Client, Events, GatewayIntentBits } = library("discord.js");
const { CompressionMethod, SimpleShardingStrategy } = library("@discordjs/ws");

const buildStrategy = (manager) => {
  manager.options.compression = CompressionMethod.ZlibStream;
  return new SimpleShardingStrategy(manager);
};

const client = new Client({
  intents: [GatewayIntentBits.Guilds, GatewayIntentBits.GuildMessages, GatewayIntentBits.MessageContent],
  rest: { api: API_URL.replace(/\/v10$/, "") },
  ws: COMPRESSION === "payload" ? { buildStrategy } : {},
});
client.on(Events.ShardReady, ready);
client.on(Events.MessageCreate, async (received) => {
  const answer = message(received.content);
  if (answer) await received.channel.send(answer);
});
await client.login(TOKEN);
