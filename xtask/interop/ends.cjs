// Node's http and http2 as both ends of `cargo xtask interop matrix`; docs/interop.md says what is exchanged.
//
//   ends.cjs server               prints the ports of HTTP/1 and of HTTP/2 (prior knowledge)
//   ends.cjs client http1|http2 URL
const http = require('node:http');
const http2 = require('node:http2');
const { crc32 } = require('node:zlib');

const LARGE = Buffer.alloc(100000, 'x');
const sum = (data) => crc32(data).toString(16).padStart(8, '0');
const whole = async (stream) => {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
};

// One handler for both: Node's compatibility API of http2 has the same names.
async function answer(request, response) {
  const path = request.url.split('?')[0];
  const send = (status, body, headers = {}) => {
    response.writeHead(status, { 'content-length': body.length, ...headers });
    response.end(request.method === 'HEAD' ? undefined : body);
  };
  const header = (name) => request.headers[name] ?? '-';
  if (path === '/early') {
    send(413, Buffer.from('early'));
    request.resume();
    return;
  }
  const body = await whole(request);
  const pieces = () => {
    for (let at = 0; at < 10; at += 1) response.write(LARGE.subarray(0, 10000));
    response.end();
  };
  switch (path) {
    case '/echo':
      send(200, body, {
        'x-method': request.method, 'x-path': request.url, 'x-length': body.length, 'x-sum': sum(body),
        'x-test': header('x-test'), 'x-trailer': request.trailers['x-trailer'] ?? '-',
      });
      return;
    case '/large': send(200, LARGE); return;
    case '/chunked': response.writeHead(200); pieces(); return;
    case '/trailers':
      response.writeHead(200, { trailer: 'x-sum' });
      response.write('hello');
      response.addTrailers({ 'x-sum': sum('hello') });
      response.end();
      return;
    case '/status/204': response.writeHead(204); response.end(); return;
    case '/status/304': response.writeHead(304, { etag: '"1"' }); response.end(); return;
    case '/hints':
      response.writeEarlyHints({ link: '</style.css>; rel=preload' });
      send(200, Buffer.from('hinted'));
      return;
    case '/headers': {
      const many = Object.keys(request.headers).filter((name) => name.startsWith('x-many-')).length;
      const headers = { 'x-big': 'h'.repeat(6000) };
      for (let at = 0; at < 40; at += 1) headers[`x-many-${at}`] = `value-${at}`;
      send(200, Buffer.from(`many=${many} big=${header('x-big').length}`), headers);
      return;
    }
    case '/cookies': send(200, Buffer.from(header('cookie')), { 'set-cookie': ['a=1', 'b=2; Path=/'] }); return;
    default: send(404, Buffer.from('no such path'));
  }
}

function serve() {
  const handle = (request, response) => answer(request, response).catch(() => response.destroy());
  const servers = [http.createServer({ keepAliveTimeout: 60000 }, handle), http2.createServer(handle)];
  const ports = servers.map((server) => new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(server.address().port));
  }));
  Promise.all(ports).then((all) => console.log(all.join(' ')));
}

// Each client turns a plan into what it saw: { status, headers, body, trailers, interim }.
function overHttp1(url) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const ask = ({ method = 'GET', path, headers = {}, body, chunked, trailers }) => new Promise((resolve, reject) => {
    const interim = [];
    const length = body && !chunked ? { 'content-length': body.length } : {};
    const request = http.request(url + path, { method, agent, headers: { ...headers, ...length } });
    request.on('error', reject);
    request.on('continue', () => interim.push(100));
    request.on('information', ({ statusCode }) => { if (statusCode !== 100) interim.push(statusCode); });
    request.on('response', async (response) => {
      const received = await whole(response);
      resolve({
        status: response.statusCode, headers: response.headers, body: received, trailers: response.trailers, interim,
      });
    });
    const finish = () => {
      if (chunked) for (let at = 0; at < body.length; at += 10000) request.write(body.subarray(at, at + 10000));
      if (trailers) request.addTrailers(trailers);
      request.end(chunked ? undefined : body);
    };
    if (headers.expect) request.on('continue', finish); else finish();
  });
  return { ask, close: () => agent.destroy() };
}

function overHttp2(url) {
  const session = http2.connect(url);
  session.on('error', () => {});
  const ask = ({ method = 'GET', path, headers = {}, body, chunked, trailers }) => new Promise((resolve, reject) => {
    const seen = { interim: [], trailers: {} };
    const length = body && !chunked ? { 'content-length': body.length } : {};
    const all = { ':method': method, ':path': path, ...headers, ...length };
    const stream = session.request(all, { endStream: body === undefined, waitForTrailers: trailers !== undefined });
    stream.on('error', reject);
    stream.on('continue', () => seen.interim.push(100));
    stream.on('headers', (received) => { if (received[':status'] !== 100) seen.interim.push(received[':status']); });
    stream.on('response', (received) => { seen.status = received[':status']; seen.headers = received; });
    stream.on('trailers', (received) => { seen.trailers = received; });
    stream.on('wantTrailers', () => stream.sendTrailers(trailers));
    whole(stream).then((received) => resolve({ ...seen, body: received }), reject);
    const finish = () => {
      if (chunked) for (let at = 0; at < body.length; at += 10000) stream.write(body.subarray(at, at + 10000));
      stream.end(chunked ? undefined : body);
    };
    if (body === undefined) return;
    if (headers.expect) stream.on('continue', finish); else finish();
  });
  // A request whose answer did not wait for it may still be on its way.
  return { ask, close: () => session.destroy() };
}

function show({ status, headers, body, trailers, interim }) {
  const words = [`status=${status}`, `length=${body.length}`, `sum=${sum(body)}`];
  for (const name of ['x-method', 'x-path', 'x-length', 'x-sum', 'x-test', 'x-trailer', 'content-length', 'etag']) {
    if (headers[name] !== undefined) words.push(`${name}=${headers[name]}`);
  }
  const many = Object.keys(headers).filter((name) => name.startsWith('x-many-')).length;
  if (many > 0) words.push(`many=${many} big=${headers['x-big'].length} text=${body}`);
  if (headers['set-cookie']) words.push(`set-cookie=${headers['set-cookie'].join('|')} text=${body}`);
  if (trailers['x-sum']) words.push(`trailer=${trailers['x-sum']}`);
  if (interim.length > 0) words.push(`interim=${interim.join(',')}`);
  return words.join(' ');
}

async function exchange(version, url) {
  const client = version === 'http1' ? overHttp1(url) : overHttp2(url);
  const many = { 'x-big': 'h'.repeat(6000) };
  for (let at = 0; at < 40; at += 1) many[`x-many-${at}`] = `value-${at}`;
  const post = (body, more = {}) => ({ method: 'POST', path: '/echo', body: Buffer.from(body), ...more });
  const plans = {
    get: { path: '/echo?x=%20y&z=', headers: { 'x-test': 'a, b' } },
    'post-0': post(''),
    'post-1': post('1'),
    'post-100k': post(LARGE),
    'post-chunked': post(LARGE, { chunked: true }),
    head: { method: 'HEAD', path: '/large' },
    large: { path: '/large' },
    chunked: { path: '/chunked' },
    trailers: { path: '/trailers' },
    'request-trailers': post('abc', { chunked: true, headers: { trailer: 'x-trailer' }, trailers: { 'x-trailer': 'end' } }),
    204: { path: '/status/204' },
    304: { path: '/status/304' },
    hints: { path: '/hints' },
    expect: post('e'.repeat(1000), { headers: { expect: '100-continue' } }),
    early: { method: 'POST', path: '/early', body: LARGE },
    headers: { path: '/headers', headers: many },
    cookies: { path: '/cookies', headers: { cookie: 'c=3; d=4' } },
  };
  for (const name of Object.keys(plans)) {
    try {
      console.log(`${name}\t${show(await client.ask(plans[name]))}`);
    } catch (error) {
      console.log(`${name}\terror: ${error.message}`);
    }
  }
  let good = 0;
  for (let at = 0; at < 100; at += 1) {
    const { status, headers } = await client.ask({ path: `/echo?n=${at}` });
    good += Number(status === 200 && headers['x-path'] === `/echo?n=${at}`);
  }
  console.log(`keep-alive\t${good}`);
  client.close();
}

const [mode, ...rest] = process.argv.slice(2);
Promise.resolve({ server: serve, client: exchange }[mode](...rest)).catch((error) => {
  console.error(error.message);
  process.exit(1);
});
