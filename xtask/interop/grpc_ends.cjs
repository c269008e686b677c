// grpc-js as client and server of gRPC's interoperability cases. Messages are written by their field numbers, so nothing is
// generated.
//
//   grpc_ends.cjs server               prints its port
//   grpc_ends.cjs client HOST:PORT     does every case; prints `CASE<TAB>ok` or what went wrong
const grpc = require('@grpc/grpc-js');

const SERVICE = '/grpc.testing.TestService/';
const [INITIAL, TRAILING] = ['x-grpc-test-echo-initial', 'x-grpc-test-echo-trailing-bin'];
const [REQUESTS, RESPONSES] = [[27182, 8, 1828, 45904], [31415, 9, 2653, 58979]];
const SPECIAL = '\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \u{1f608}\t\n';
const WITHIN = 10_000;
const OPTIONS = { 'grpc.enable_http_proxy': 0 };
const same = (bytes) => bytes;

// Protocol buffers, as far as these messages need them.

function number(value) {
  const out = [];
  for (; value > 0x7f; value = Math.floor(value / 128)) out.push((value & 0x7f) | 0x80);
  return Buffer.from([...out, value]);
}

const integer = (field, value) => Buffer.concat([number(field << 3), number(value)]);
const part = (field, data) => Buffer.concat([number((field << 3) | 2), number(data.length), data]);

// Field numbers, and values in order.
function read(message) {
  const fields = new Map();
  let at = 0;
  const take = () => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = message[at];
      at += 1;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const key = take();
    let value = take();
    if (key & 7) {
      value = message.subarray(at, at + value);
      at += value.length;
    }
    fields.set(key >> 3, [...(fields.get(key >> 3) ?? []), value]);
  }
  return fields;
}

const NOTHING = Buffer.alloc(0);
const first = (fields, field, otherwise) => fields.get(field)?.[0] ?? otherwise;
const payload = (size) => part(2, Buffer.alloc(size));
const sizeOf = (message, field) => first(read(first(read(message), field, NOTHING)), 2, NOTHING).length;
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// The server.

// The metadata that the call ends with; what it begins with is sent.
function echoMetadata(call) {
  const [initial, trailing] = [new grpc.Metadata(), new grpc.Metadata()];
  call.metadata.get(INITIAL).forEach((value) => initial.set(INITIAL, value));
  call.metadata.get(TRAILING).forEach((value) => trailing.set(TRAILING, value));
  call.sendMetadata(initial);
  return trailing;
}

function askedStatus(fields) {
  if (!fields.has(7)) return null;
  const status = read(first(fields, 7, NOTHING));
  return { code: first(status, 1, 0), details: first(status, 2, NOTHING).toString() };
}

function unary(call, callback) {
  const [trailing, fields] = [echoMetadata(call), read(call.request)];
  const status = askedStatus(fields);
  if (status) {
    callback({ ...status, metadata: trailing });
    return;
  }
  const answer = part(1, payload(first(fields, 2, 0)));
  callback(null, first(fields, 9, 0) ? Buffer.concat([answer, part(4, Buffer.from('the only one'))]) : answer, trailing);
}

async function streamOut(call, fields) {
  for (const each of fields.get(2) ?? []) {
    const parameters = read(each);
    await pause(first(parameters, 2, 0) / 1000);
    call.write(part(1, payload(first(parameters, 1, 0))));
  }
}

function streamingInput(call, callback) {
  let total = 0;
  call.on('data', (request) => { total += sizeOf(request, 1); });
  call.on('end', () => callback(null, integer(1, total)));
}

// One request after the other. Iterating over a call would end both of its directions with the first.
function fullDuplex(call) {
  const trailing = echoMetadata(call);
  let turn = Promise.resolve();
  call.on('data', (request) => {
    const fields = read(request);
    const status = askedStatus(fields);
    turn = turn.then(() => (status ? call.emit('error', { ...status, metadata: trailing }) : streamOut(call, fields)));
  });
  call.on('end', () => turn.then(() => call.end(trailing)));
}

function halfDuplex(call) {
  const requests = [];
  call.on('data', (request) => requests.push(read(request)));
  call.on('end', async () => {
    for (const fields of requests) await streamOut(call, fields);
    call.end();
  });
}

function serve() {
  const methods = {
    EmptyCall: [false, false, (_, callback) => callback(null, NOTHING)],
    UnaryCall: [false, false, unary],
    StreamingOutputCall: [false, true, (call) => streamOut(call, read(call.request)).then(() => call.end())],
    StreamingInputCall: [true, false, streamingInput],
    FullDuplexCall: [true, true, fullDuplex],
    HalfDuplexCall: [true, true, halfDuplex],
  };
  const [definition, implementation] = [{}, {}];
  for (const [name, [requestStream, responseStream, handler]] of Object.entries(methods)) {
    definition[name] = {
      path: SERVICE + name,
      requestStream,
      responseStream,
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    };
    implementation[name] = handler;
  }
  const server = new grpc.Server();
  server.addService(definition, implementation);
  server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
    if (error) throw error;
    console.log(port);
  });
}

// The client.

function expect(found, wanted) {
  const [left, right] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (left !== right) throw new Error(`${left} instead of ${right}`.slice(0, 300));
}

async function fails(promise, code, message) {
  const result = await promise.then((value) => ({ value }), (error) => ({ error }));
  expect(result.error?.code ?? 'an answer', code);
  if (message !== undefined) expect(result.error.details, message);
}

// An argument before the metadata of a call: its deadline.
const options = (within = WITHIN) => ({ deadline: Date.now() + within });
const outputs = (sizes, status = NOTHING) =>
  Buffer.concat([...sizes.map((size) => part(2, integer(1, size))), status]);

class Cases {
  constructor(target) {
    this.client = new grpc.Client(target, grpc.credentials.createInsecure(), OPTIONS);
    this.large = Buffer.concat([integer(2, 314159), part(3, payload(271828))]);
  }

  // An answer, with what came around it.
  unary(method, message, metadata = new grpc.Metadata()) {
    return new Promise((resolve, reject) => {
      const seen = {};
      const path = method.startsWith('/') ? method : SERVICE + method;
      const call = this.client.makeUnaryRequest(path, same, same, message, metadata, options(), (error, answer) => {
        if (error) reject(error);
        else setImmediate(() => resolve({ answer, ...seen }));
      });
      call.on('metadata', (initial) => { seen.initial = initial; });
      call.on('status', (status) => { seen.trailing = status.metadata; });
    });
  }

  duplex(within = WITHIN, metadata = new grpc.Metadata()) {
    return this.client.makeBidiStreamRequest(`${SERVICE}FullDuplexCall`, same, same, metadata, options(within));
  }

  input(callback) {
    return this.client.makeClientStreamRequest(
      `${SERVICE}StreamingInputCall`, same, same, new grpc.Metadata(), options(), callback);
  }

  async empty_unary() {
    expect((await this.unary('EmptyCall', NOTHING)).answer.length, 0);
  }

  async large_unary() {
    expect(sizeOf((await this.unary('UnaryCall', this.large)).answer, 1), 314159);
  }

  async client_streaming() {
    const answer = await new Promise((resolve, reject) => {
      const call = this.input((error, value) => (error ? reject(error) : resolve(value)));
      REQUESTS.forEach((size) => call.write(part(1, payload(size))));
      call.end();
    });
    expect(first(read(answer), 1, 0), 74922);
  }

  async server_streaming() {
    const call = this.client.makeServerStreamRequest(
      `${SERVICE}StreamingOutputCall`, same, same, outputs(RESPONSES), new grpc.Metadata(), options());
    const sizes = [];
    for await (const each of call) sizes.push(sizeOf(each, 1));
    expect(sizes, RESPONSES);
  }

  async ping_pong() {
    const [call, sizes] = [this.duplex(), []];
    // The next ping waits for the pong.
    const ping = () => call.write(
      Buffer.concat([outputs([RESPONSES[sizes.length]]), part(3, payload(REQUESTS[sizes.length]))]));
    ping();
    for await (const answer of call) {
      sizes.push(sizeOf(answer, 1));
      if (sizes.length < REQUESTS.length) ping();
      else call.end();
    }
    expect(sizes, RESPONSES);
  }

  async empty_stream() {
    const call = this.duplex();
    call.end();
    expect(await drain(call), []);
  }

  async timeout_on_sleeping_server() {
    const call = this.duplex(1);
    call.write(Buffer.concat([outputs([31415]), part(3, payload(27182))]));
    await fails(drain(call), grpc.status.DEADLINE_EXCEEDED);
  }

  async cancel_after_begin() {
    await fails(new Promise((resolve, reject) => {
      const call = this.input((error, value) => (error ? reject(error) : resolve(value)));
      call.cancel();
    }), grpc.status.CANCELLED);
  }

  async cancel_after_first_response() {
    const call = this.duplex();
    const rest = new Promise((resolve, reject) => {
      call.on('error', reject).on('end', () => resolve([]));
      call.on('data', (answer) => {
        if (sizeOf(answer, 1) !== 31415) reject(new Error('another size'));
        call.cancel();
      });
    });
    call.write(Buffer.concat([outputs([31415]), part(3, payload(27182))]));
    await fails(rest, grpc.status.CANCELLED);
  }

  async #status(message) {
    const status = part(7, Buffer.concat([integer(1, 2), part(2, Buffer.from(message))]));
    await fails(this.unary('UnaryCall', status), grpc.status.UNKNOWN, message);
    return status;
  }

  async status_code_and_message() {
    const message = 'test status message';
    const call = this.duplex();
    call.write(outputs([], await this.#status(message)));
    call.end();
    await fails(drain(call), grpc.status.UNKNOWN, message);
  }

  async special_status_message() {
    await this.#status(SPECIAL);
  }

  async custom_metadata() {
    const metadata = new grpc.Metadata();
    metadata.set(INITIAL, 'test_initial_metadata_value');
    metadata.set(TRAILING, Buffer.from([0xab, 0xab, 0xab]));
    const check = ({ initial, trailing }) => {
      expect(initial.get(INITIAL), ['test_initial_metadata_value']);
      expect(trailing.get(TRAILING).map((value) => value.toString('hex')), ['ababab']);
    };
    const once = await this.unary('UnaryCall', this.large, metadata);
    expect(sizeOf(once.answer, 1), 314159);
    check(once);
    const [call, seen] = [this.duplex(WITHIN, metadata), {}];
    call.on('metadata', (initial) => { seen.initial = initial; });
    const status = new Promise((resolve) => call.on('status', resolve));
    call.write(outputs([314159]));
    call.end();
    expect((await drain(call)).map((each) => sizeOf(each, 1)), [314159]);
    seen.trailing = (await status).metadata;
    check(seen);
  }

  async unimplemented_method() {
    await fails(this.unary('UnimplementedCall', NOTHING), grpc.status.UNIMPLEMENTED);
  }

  async unimplemented_service() {
    const path = '/grpc.testing.UnimplementedService/UnimplementedCall';
    await fails(this.unary(path, NOTHING), grpc.status.UNIMPLEMENTED);
  }

  // For servers that say who they are; grpc-go's does not.
  async pick_first_unary() {
    const ids = new Set();
    for (let at = 0; at < 100; at += 1) {
      const { answer } = await this.unary('UnaryCall', integer(9, 1));
      ids.add(first(read(answer), 4, NOTHING).toString());
    }
    expect([...ids], ['the only one']);
  }
}

async function drain(call) {
  const all = [];
  for await (const each of call) all.push(each);
  return all;
}

async function exchange(target) {
  const cases = new Cases(target);
  const helpers = ['constructor', 'unary', 'duplex', 'input'];
  for (const name of Object.getOwnPropertyNames(Cases.prototype).filter((each) => !helpers.includes(each))) {
    try {
      await cases[name]();
      console.log(`${name}\tok`);
    } catch (error) {
      console.log(`${name}\t${error.message.replaceAll('\n', ' ').slice(0, 300)}`);
    }
  }
  cases.client.close();
}

const [mode, ...rest] = process.argv.slice(2);
({ server: serve, client: exchange })[mode](...rest);
