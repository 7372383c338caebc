// The package `ws` of Node.js, ordered by JSON lines on stdin; what happens is written to stdout as JSON lines.
import readline from 'node:readline';
import { createRequire } from 'node:module';

const require = createRequire(`${process.cwd()}/package.json`);
const { WebSocket, WebSocketServer } = require('ws');

const tell = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);
const sockets = new Map();
const servers = new Map();
let lastId = 0;

function adopt(ws, key, remotePort) {
  const id = ++lastId;
  sockets.set(id, ws);
  tell({ event: 'opened', id, key, remotePort });
  ws.on('message', (data, isBinary) => tell({ event: 'message', id, text: !isBinary, data: data.toString('base64') }));
  ws.on('pong', (data) => tell({ event: 'pong', id, data: data.toString('base64') }));
  ws.on('error', (error) => tell({ event: 'failure', id, text: error.message }));
  ws.on('close', (code, reason) => {
    sockets.delete(id);
    tell({ event: 'closed', id, code, reason: reason.toString() });
  });
  return id;
}

function deflateOptions(deflate) {
  return deflate ? { ...deflate, threshold: 0, concurrencyLimit: 1 } : false;
}

function serve({ key, deflate, subprotocol }) {
  const settings = { refusal: null };
  const server = new WebSocketServer({
    host: '127.0.0.1',
    port: 0,
    maxPayload: 0,
    perMessageDeflate: deflateOptions(deflate),
    handleProtocols: (offered) => (offered.has(subprotocol) ? subprotocol : false),
    verifyClient: (_info, answer) => (settings.refusal ? answer(false, ...settings.refusal) : answer(true)),
  });
  server.on('connection', (ws, request) => adopt(ws, key, request.socket.peerPort));
  // Asked for early, as a connection that has ended has no port any more; 0: it was reset before it was accepted.
  server._server.on('connection', (socket) => Object.assign(socket, { peerPort: socket.remotePort ?? 0 }));
  server.on('listening', () => tell({ event: 'listening', key, port: server.address().port }));
  servers.set(key, { server, settings });
}

function connect({ key, url, deflate }) {
  const ws = new WebSocket(url, { perMessageDeflate: deflateOptions(deflate), maxPayload: 0 });
  const failed = (error) => tell({ event: 'not opened', key, text: error.message });
  ws.once('error', failed);
  ws.once('upgrade', () => {
    ws.off('error', failed);
    adopt(ws, key, 0);
  });
}

function send(ws, { order, parts, text }) {
  const last = parts.length - 1;
  parts.forEach((part, number) => {
    const data = Buffer.from(part, 'base64');
    const done = (error) => number === last && tell({ event: 'done', order, ok: !error });
    if (ws.readyState !== WebSocket.OPEN) {
      done(new Error('not open'));
    } else {
      ws.send(data, { binary: !text, fin: number === last }, done);
    }
  });
}

const actions = {
  send,
  ping: (ws, { data }) => ws.ping(Buffer.from(data, 'base64')),
  close: (ws, { code, reason }) => ws.close(code, reason),
  drop: (ws) => ws._socket?.resetAndDestroy(),
  end: (ws) => ws._socket?.end(),
};

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const order = JSON.parse(line);
  if (order.do === 'serve') serve(order);
  else if (order.do === 'connect') connect(order);
  else if (order.do === 'settings') servers.get(order.key).settings.refusal = order.refusal;
  else if (order.do === 'stop') {
    servers.get(order.key)?.server.close();
    servers.delete(order.key);
  } else {
    const ws = sockets.get(order.id);
    if (ws) actions[order.do](ws, order);
    else if (order.order) tell({ event: 'done', order: order.order, ok: false });
  }
}).on('close', () => process.exit(0));
tell({ event: 'ready', node: process.version, ws: require('ws/package.json').version });
