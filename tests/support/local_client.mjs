// A client of a hub with the interface that browsers have: a line for each message, and for the close.
export function talk(WebSocket, url, name, print) {
  const socket = new WebSocket(url);
  socket.binaryType = 'arraybuffer';
  socket.onopen = () => {
    socket.send(`text of ${name}`);
    socket.send(new TextEncoder().encode(`binary of ${name}`));
  };
  socket.onmessage = ({ data }) => {
    const isText = typeof data === 'string';
    const bytes = isText ? new TextEncoder().encode(data) : new Uint8Array(data);
    print(`${isText ? 'text' : 'binary'} ${bytes.length} ${adler32(bytes)}`);
  };
  socket.onclose = ({ code, reason }) => print(`closed ${code} ${reason}`);
}

function adler32(bytes) {
  let low = 1;
  let high = 0;
  for (const byte of bytes) {
    low = (low + byte) % 65521;
    high = (high + low) % 65521;
  }
  return high * 65536 + low;
}

if (globalThis.process?.argv[2]) {
  const [url, name, path] = process.argv.slice(2);
  talk(path ? (await import(path)).default : WebSocket, url, name, console.log);
}
