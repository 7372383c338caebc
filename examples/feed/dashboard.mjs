// The newest price of each symbol, from the hub: node dashboard.mjs [--url ws://127.0.0.1:8730/] AAPL AMZN
import { parseArgs } from 'node:util';

// The package `ws`, or what Node.js has itself from version 22 on.
const WebSocket = await import('ws').then((ws) => ws.default, () => globalThis.WebSocket);

const { values, positionals } = parseArgs({
  options: { url: { type: 'string', default: 'ws://127.0.0.1:8730/' } },
  allowPositionals: true,
});
const rows = {};

function show(trade) {
  rows[trade.S] = { price: trade.p, size: trade.s, trades: (rows[trade.S]?.trades ?? 0) + 1 };
  if (process.stdout.isTTY) {
    console.clear();
    console.table(rows);
  } else {
    console.log(`dashboard: ${trade.S} ${trade.p.toFixed(2)}`);
  }
}

const socket = new WebSocket(values.url);
socket.onopen = () => {
  const keys = positionals.length ? positionals : ['AAPL', 'AMZN'];
  socket.send(JSON.stringify({ op: 'subscribe', args: keys })); // the hub has logged in, and knows the service's words
};
socket.onmessage = ({ data }) => {
  const message = JSON.parse(data);
  if (message.T === 't') show(message);
  else if (message.op === 'refused') console.error(`refused: ${message.args.join(', ')}: ${message.reason}`);
};
socket.onerror = ({ message }) => console.error(`dashboard: ${message}`);
socket.onclose = ({ code, reason }) => {
  console.error(`dashboard: closed with ${code} ${reason}`);
  process.exitCode = 1;
};
process.on('SIGINT', () => {
  socket.onclose = null;
  socket.close(1000);
});
