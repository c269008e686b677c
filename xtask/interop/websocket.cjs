// WebSocket ends on the package `ws`. Over HTTP/2 (RFC 8441) Node's own http2 opens the stream and `ws` speaks on it.
//
//   websocket.cjs server http1|http2    echoes every message; prints its port
//   websocket.cjs echo http1|http2 URL  sends messages of all kinds and prints what came back
//   websocket.cjs cases URL AGENT HOST  does all cases of Autobahn's fuzzing server, which wants its own name as Host
const http2 = require('node:http2');
const { createHash } = require('node:crypto');
const { WebSocket, WebSocketServer } = require('ws');

const LARGEST = 128 * 1024 * 1024;
const OPTIONS = { maxPayload: LARGEST, allowSynchronousEvents: true };
const digest = (data) => createHash('sha256').update(data).digest('hex').slice(0, 12);

function echo(socket) {
  // What a peer breaks ends its connection, and nothing else.
  socket.on('error', () => {});
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
}

function serve(version) {
  if (version === 'http1') {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: true, ...OPTIONS });
    server.on('connection', echo);
    server.on('listening', () => console.log(server.address().port));
    return;
  }
  const server = http2.createServer({ settings: { enableConnectProtocol: true } });
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    if (headers[':method'] !== 'CONNECT' || headers[':protocol'] !== 'websocket') {
      stream.respond({ ':status': 400 }, { endStream: true });
      return;
    }
    stream.respond({ ':status': 200 });
    echo(over(stream, true));
  });
  server.listen(0, '127.0.0.1', () => console.log(server.address().port));
}

// A WebSocket on a stream that is open already.
function over(stream, isServer) {
  const socket = new WebSocket(null, undefined, OPTIONS);
  // What its own constructors would set.
  Object.assign(socket, { _isServer: isServer, _autoPong: true, _closeTimeout: 30000 });
  for (const name of ['setNoDelay', 'setKeepAlive']) stream[name] ??= () => {};
  socket.setSocket(stream, Buffer.alloc(0), OPTIONS);
  return socket;
}

function open(version, url) {
  return new Promise((resolve, reject) => {
    if (version === 'http1') {
      const socket = new WebSocket(url, OPTIONS);
      socket.on('open', () => resolve(socket)).on('error', reject);
      return;
    }
    const { host, pathname } = new URL(url);
    const session = http2.connect(`http://${host}`);
    session.on('error', reject);
    session.on('remoteSettings', (settings) => {
      if (!settings.enableConnectProtocol) {
        reject(new Error('no extended CONNECT'));
        return;
      }
      const stream = session.request({
        ':method': 'CONNECT', ':protocol': 'websocket', ':scheme': 'http', ':path': pathname, ':authority': host,
        'sec-websocket-version': '13',
      }, { endStream: false });
      stream.on('error', reject);
      stream.on('response', (headers) => {
        if (headers[':status'] !== 200) {
          reject(new Error(`status ${headers[':status']}`));
          return;
        }
        const socket = over(stream, false);
        socket.on('close', () => session.close());
        resolve(socket);
      });
    });
  });
}

async function send(version, url) {
  const socket = await open(version, url);
  const next = () => new Promise((resolve) => socket.once('message', (data, isBinary) => resolve({ data, isBinary })));
  const messages = ['', 'one', 'grüß \u{1f980}', 'x'.repeat(70000), Buffer.from([0, 255, 1]), Buffer.alloc(300000, 7)];
  for (const message of messages) {
    const answer = next();
    socket.send(message);
    const { data, isBinary } = await answer;
    const same = Buffer.compare(Buffer.from(message), data) === 0 && isBinary === Buffer.isBuffer(message);
    console.log(`message ${isBinary ? 'binary' : 'text'} ${data.length} ${digest(data)} ${same ? 'same' : 'OTHER'}`);
  }
  const parts = next();
  socket.send('first ', { fin: false });
  socket.send('second', { fin: true });
  console.log(`fragments ${(await parts).data}`);
  const pong = new Promise((resolve) => socket.once('pong', resolve));
  socket.ping('are you there');
  console.log(`pong ${await pong}`);
  const closed = new Promise((resolve) => socket.once('close', (code) => resolve(code)));
  socket.close(4001, 'enough');
  console.log(`close ${await closed}`);
}

function exchange(url, host, onMessage) {
  return new Promise((resolve) => {
    const socket = new WebSocket(url, { perMessageDeflate: true, headers: { host }, ...OPTIONS });
    socket.on('error', () => {});
    socket.on('close', resolve);
    onMessage(socket);
  });
}

async function cases(url, agent, host) {
  let count = 0;
  await exchange(`${url}/getCaseCount`, host, (socket) => socket.on('message', (data) => { count = Number(data); }));
  for (let number = 1; number <= count; number += 1) {
    await exchange(`${url}/runCase?case=${number}&agent=${agent}`, host, echo);
  }
  await exchange(`${url}/updateReports?agent=${agent}`, host, () => {});
  if (count === 0) throw new Error('no case was offered');
  console.log(count);
}

const [mode, ...rest] = process.argv.slice(2);
const run = { server: serve, echo: send, cases }[mode];
Promise.resolve(run(...rest)).catch((error) => {
  console.error(error.message);
  process.exit(1);
});
