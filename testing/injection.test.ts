/**
 * Failures at every system call that the spool makes, one after the other, and at every callback of the user's: nothing
 * is thrown, and every event is delivered, on disk or told. `INJECT=all` tries each call with every error, and also calls
 * that fail after they have done what they were asked for.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import * as fs from "node:fs";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire, syncBuiltinESMExports } from "node:module";
import net from "node:net";
import { tmpdir } from "node:os";
import { join, resolve, sep } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import {
  CloudwatchLogger,
  type CloudwatchLoggerError,
  type CloudwatchLoggerOptions,
  type LogEvent,
  type Loss,
  type Stats,
} from "../cloudwatch.js";
import { LocalCloudWatchLogs } from "./local-cloudwatch.js";
import { Compiled, conserved, filesIn, range, realSleep, temporaryDirectory, turn, until } from "./support.js";

const GROUP = "my-app";
const CODES = ["EMFILE", "ENOSPC", "EIO", "EACCES", "ENOENT", "EDQUOT"] as const;
const TRIES_ALL = process.env.INJECT === "all";
const AT_ONCE = 6;

/** As they are, whatever has been injected. */
const real = { ...fs };

// ── Injection ───────────────────────────────────────────────────────────────────────────────────────────────────────

type Code = (typeof CODES)[number];

interface Fault {
  code: Code;
  /** The first call that fails, counted from 1, and whether those after it fail, too. */
  nth: number;
  isLasting: boolean;
  /**
   * Fails without effect; a write leaves half of it behind; the first write says that it has done half, as on a disk that
   * fills up; or fails after it was done. Closing always closes.
   */
  manner: "instead" | "torn" | "short" | "after";
  /** Only calls with such names count. Default: all. */
  names?: RegExp;
  /** The call that it met first. */
  met?: string;
}

/** The system calls for paths below a directory, and for what was opened there. */
class SystemCalls {
  readonly made: string[] = [];
  readonly descriptors = new Set<number>();
  /** Bytes read since the event loop last turned, and the most that ever were. */
  readBytes = 0;
  mostReadBytes = 0;
  failed = 0;
  readonly #directory: string;
  fault: Fault | undefined;
  #counted = 0;
  static readonly #all = new Set<SystemCalls>();

  constructor(directory: string, fault?: Fault) {
    this.#directory = directory;
    this.fault = fault;
    SystemCalls.#all.add(this);
  }

  stop(): void {
    SystemCalls.#all.delete(this);
  }

  static of(values: unknown[]): SystemCalls | undefined {
    for (const calls of SystemCalls.#all) {
      if (typeof values[0] === "number" ? calls.descriptors.has(values[0]) : values.slice(0, 2).some(calls.#isBelow)) {
        return calls;
      }
    }
    return undefined;
  }

  /** Counts a call; gives the error that it is to fail with. */
  count(name: string): NodeJS.ErrnoException | undefined {
    this.made.push(name);
    const { code, nth, isLasting, names } = this.fault ?? {};
    if (nth === undefined || names?.test(name) === false) return undefined;
    this.#counted++;
    if (isLasting ? this.#counted < nth : this.#counted !== nth) return undefined;
    this.failed++;
    if (this.fault !== undefined) this.fault.met ??= name;
    return Object.assign(new Error(`${code}: injected, ${name}`), { code, syscall: name });
  }

  get manner(): Fault["manner"] {
    return this.fault?.manner ?? "instead";
  }

  /** What a call that worked has changed. */
  worked(name: string, values: unknown[], result: unknown): void {
    if (/^open(Sync)?$/.test(name) && typeof result === "number") {
      this.descriptors.add(result);
      closed.delete(result);
    }
    if (/^close(Sync)?$/.test(name) && this.descriptors.delete(values[0] as number)) closed.add(values[0] as number);
    if (/^read(File)?(Sync)?$/.test(name)) {
      const bytes = typeof result === "number" ? result : (result as { length?: number } | undefined)?.length;
      if (this.readBytes === 0) setImmediate(() => (this.readBytes = 0));
      this.readBytes += bytes ?? 0;
      this.mostReadBytes = Math.max(this.mostReadBytes, this.readBytes);
    }
  }

  readonly #isBelow = (value: unknown): boolean => {
    const text = value instanceof URL ? fileURLToPath(value) : Buffer.isBuffer(value) ? value.toString() : value;
    if (typeof text !== "string" || text.length > 1_000 || text.includes("\0")) return false;
    const path = resolve(text);
    return path === this.#directory || path.startsWith(this.#directory + sep);
  };
}

/** Descriptors that were closed and not opened again. */
const closed = new Set<number>();

type AnyFunction = (...values: unknown[]) => unknown;
type Functions = Record<string, AnyFunction>;

/** Puts the functions of node:fs, its promises and the ways to listen and to connect under the eyes of `SystemCalls`. */
function inject(): () => void {
  const builtin = createRequire(import.meta.url)("node:fs") as typeof fs;
  const undo: (() => void)[] = [];
  const replace = (object: object, name: string, wrap: (original: AnyFunction) => AnyFunction) => {
    const functions = object as Functions;
    const original = functions[name] as AnyFunction;
    functions[name] = wrap(original);
    undo.push(() => {
      functions[name] = original;
    });
  };
  const namesOf = (object: object) =>
    Object.keys(object).filter(
      (name) =>
        typeof (object as Functions)[name] === "function" && !/^([A-Z_]|create|un?watch|watch|exists$)/.test(name),
    );
  for (const name of namesOf(builtin)) {
    replace(builtin, name, (original) =>
      name.endsWith("Sync") ? synchronous(name, original) : calledBack(name, original),
    );
  }
  for (const name of namesOf(builtin.promises)) {
    replace(builtin.promises, name, (original) => promised(name, original));
  }
  replace(net.Server.prototype, "listen", (original) =>
    endpoint("listen", original, (server, error) => server.emit("error", error)),
  );
  replace(net.Socket.prototype, "connect", (original) =>
    endpoint("connect", original, (socket, error) => (socket as net.Socket).destroy(error)),
  );
  syncBuiltinESMExports();
  return () => {
    for (const restore of undo) restore();
    syncBuiltinESMExports();
  };
}

function synchronous(name: string, original: AnyFunction): AnyFunction {
  return (...values) => {
    const calls = SystemCalls.of(values);
    const error = calls?.count(name);
    if (calls !== undefined && error !== undefined) {
      const written = sideEffect(calls, name, values);
      if (calls.manner === "short" && calls.failed === 1) return written;
      if (calls.manner === "after" || name === "closeSync") {
        const result = original(...values);
        if (name === "openSync") real.closeSync(result as number);
        calls.worked(name, values, undefined);
      }
      if (name === "existsSync") return false;
      throw error;
    }
    if (calls === undefined && name === "closeSync" && closed.has(values[0] as number)) {
      uncaught.push(new Error(`descriptor ${values[0]} is closed twice: by now it may be somebody else's`));
      throw Object.assign(new Error("EBADF: bad file descriptor, close"), { code: "EBADF" });
    }
    const result = original(...values);
    if (name === "openSync") closed.delete(result as number);
    calls?.worked(name, values, result);
    return result;
  };
}

function calledBack(name: string, original: AnyFunction): AnyFunction {
  return (...values) => {
    const calls = SystemCalls.of(values);
    const callback = values.at(-1);
    if (calls === undefined || typeof callback !== "function") return original(...values);
    const error = calls.count(name);
    if (error === undefined) {
      const done = (failure: unknown, ...results: unknown[]) => {
        if (!failure) calls.worked(name, values, results[0]);
        callback(failure, ...results);
      };
      return original(...values.slice(0, -1), done);
    }
    sideEffect(calls, name, values);
    if (name !== "close") return setImmediate(callback as (error: unknown) => void, error);
    calls.worked(name, values, undefined);
    return original(values[0], () => callback(error));
  };
}

function promised(name: string, original: AnyFunction): AnyFunction {
  return async (...values) => {
    const calls = SystemCalls.of(values);
    const error = calls?.count(name);
    if (error !== undefined) {
      if (calls?.manner === "after" && name !== "open") await original(...values);
      throw error;
    }
    const result = await original(...values);
    calls?.worked(name, values, result);
    if (calls !== undefined && name === "open") watchHandle(calls, result as fs.promises.FileHandle);
    return result;
  };
}

function watchHandle(calls: SystemCalls, handle: fs.promises.FileHandle): void {
  const { fd } = handle;
  const methods = handle as unknown as Functions;
  calls.descriptors.add(fd);
  for (const name of [
    "read",
    "readFile",
    "readv",
    "write",
    "writeFile",
    "writev",
    "appendFile",
    "stat",
    "sync",
    "datasync",
    "truncate",
    "close",
  ]) {
    const original = methods[name]?.bind(handle) as AnyFunction;
    methods[name] = async (...values) => {
      const error = calls.count(name);
      if (error !== undefined) sideEffect(calls, name, [fd, values[0]]);
      if (name === "close") calls.descriptors.delete(fd);
      if (error === undefined || name === "close") {
        const result = (await original(...values)) as { bytesRead?: number };
        calls.worked(name, values, name === "read" ? result?.bytesRead : result);
        if (error === undefined) return result;
      }
      throw error;
    };
  }
}

function endpoint(
  name: string,
  original: AnyFunction,
  fail: (emitter: net.Server | net.Socket, error: Error) => unknown,
) {
  return function (this: net.Server | net.Socket, ...values: unknown[]) {
    const first = Array.isArray(values[0]) ? (values[0][0] as unknown) : values[0];
    const path = typeof first === "object" && first !== null ? (first as { path?: unknown }).path : first;
    const error = typeof path === "string" ? SystemCalls.of([path])?.count(name) : undefined;
    if (error === undefined) return Reflect.apply(original, this, values);
    process.nextTick(() => fail(this, error));
    return this;
  } as AnyFunction;
}

/** Half of what was to be written lands; how many bytes that are. */
function sideEffect({ manner }: SystemCalls, name: string, [target, data, offset, length]: unknown[]): number {
  if (!/^(torn|short)$/.test(manner) || !/^(write|append)/.test(name)) return 0;
  const isPart = typeof data !== "string" && typeof offset === "number";
  const bytes = typeof data === "string" ? Buffer.from(data) : (data as Uint8Array);
  if (!(bytes instanceof Uint8Array)) return 0;
  const from = isPart ? offset : 0;
  const all = isPart && typeof length === "number" ? length : bytes.length - from;
  const half = bytes.subarray(from, from + (all >> 1));
  if (typeof target === "number") real.writeSync(target, half);
  else real.appendFileSync(target as string, half);
  return half.length;
}

// ── The scenario ────────────────────────────────────────────────────────────────────────────────────────────────────

/** A client that stores in memory, refuses what begins with "bad", or cannot be reached. */
class Double {
  readonly stored: string[] = [];
  requests = 0;
  isGone: boolean;
  /** Answers wait for this. */
  held: Promise<void> | undefined;

  constructor(isGone = false) {
    this.isGone = isGone;
  }

  readonly send = async (command: object): Promise<object> => {
    const { input = {} } = command as { input?: { logEvents?: LogEvent[] } };
    const messages = (input.logEvents ?? []).map(({ message }) => message);
    const { isGone } = this;
    this.requests++;
    await (this.held ?? turn());
    if (isGone) throw Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
    if (messages.some((message) => message.startsWith("bad"))) {
      throw Object.assign(new Error("bad"), { name: "InvalidParameterException", $metadata: { httpStatusCode: 400 } });
    }
    this.stored.push(...messages);
    return { nextSequenceToken: "1", $metadata: { httpStatusCode: 200, requestId: "1" } };
  };
}

const LEFT = range(6).map((n) => `left ${n}`);
const OWN = [
  ...range(6).map((n) => `own ${n}`),
  "own 6",
  "bad 7",
  ...range(6, 8).map((n) => `own ${n}`),
  "own 14",
  "own 15",
];

const compiled = new Compiled();
const root = fs.mkdtempSync(join(tmpdir(), "cwlogger-"));
const template = join(root, "left");
const uncaught: unknown[] = [];
const onUncaught = (reason: unknown) => uncaught.push(reason);
let restore = () => {};

before(async () => {
  await compiled.build();
  await leave(template, LEFT.length, 3);
  restore = inject();
  process.on("unhandledRejection", onUncaught).on("uncaughtException", onUncaught);
});
afterEach(() => assert.deepEqual(uncaught.splice(0), [], "nothing was thrown or rejected unseen"));
after(() => {
  process.off("unhandledRejection", onUncaught).off("uncaughtException", onUncaught);
  restore();
  compiled.remove();
  fs.rmSync(root, { recursive: true, force: true });
});

/** A process logs `left n` and dies. */
async function leave(directory: string, count: number, maxBatchEvents: number, fillBytes = 0, group = GROUP) {
  const { signal, stderr } = await compiled.start(
    `const logger = new CloudwatchLogger("${group}", options);
    for (let n = 0; n < ${count}; n++) logger.info("left " + n + "x".repeat(${fillBytes}));
    process.kill(process.pid, "SIGKILL");
    for (;;);`,
    { ...common(directory), endpoint: "http://127.0.0.1:1", region: "us-east-1", maxBatchEvents },
  ).ended;
  assert.equal(signal, "SIGKILL", stderr);
}

function common(spoolDirectory: string): CloudwatchLoggerOptions {
  return { spoolDirectory, logStreamName: "main", format: "{message}", flushIntervalMs: 5, maxBatchEvents: 4 };
}

/** Sockets as well, which `cpSync` refuses. */
function copy(from: string, to: string): void {
  real.mkdirSync(to, { mode: 0o700 });
  for (const entry of real.readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) copy(source, target);
    else if (entry.isFile()) real.copyFileSync(source, target);
    else real.linkSync(source, target);
  }
}

interface Told {
  errors: CloudwatchLoggerError[];
  losses: Loss[];
  lost: string[];
}

function told(): Told & Required<Pick<CloudwatchLoggerOptions, "onError" | "onLoss">> {
  const heard: Told = { errors: [], losses: [], lost: [] };
  return Object.assign(heard, {
    onError: (error: CloudwatchLoggerError) => void heard.errors.push(error),
    onLoss: (loss: Loss) => {
      heard.losses.push(loss);
      heard.lost.push(...loss.events.map(({ message }) => message));
    },
  });
}

/** A healthy logger delivers what is on disk. */
async function recover(directory: string, group = GROUP): Promise<{ stats: Stats; stored: string[] } & Told> {
  const client = new Double();
  const { onError, onLoss, ...heard } = told();
  const logger = new CloudwatchLogger(group, { ...common(directory), client, onError, onLoss });
  await logger.flush();
  const stats = conserved(await logger.close());
  assert.equal(stats.pending, 0, "the second logger delivers everything that it finds");
  return { stats, stored: client.stored, ...heard };
}

/** Well, gone from the start, or gone soon after. */
type Service = "well" | "gone" | "leaving";

let runs = 0;

/** Takes over, logs, is refused a batch and closes, while a fault is there; then looks for every event. */
async function run(service: Service, fault?: Fault) {
  const home = join(root, `run${runs++}`);
  const directory = join(home, "spool");
  real.mkdirSync(home);
  copy(template, directory);
  const isWell = service === "well";
  const client = new Double(service === "gone");
  const { onError, onLoss, ...heard } = told();
  const calls = new SystemCalls(home, fault);
  const options = { ...common(directory), client, onError, onLoss };
  if (service === "leaving") options.flushIntervalMs = 60_000;
  const logger = new CloudwatchLogger(GROUP, options);
  const waitMs = isWell ? 10_000 : 10;
  const thrown: unknown[] = [];
  const log = (messages: string[]) => {
    for (const message of messages) {
      try {
        logger.info(message);
      } catch (error) {
        thrown.push(error);
      }
      conserved(logger.stats());
    }
  };
  /** Gives things their time, but not long where a fault may be in their way. */
  const patiently = async (condition: () => boolean) => {
    const from = performance.now();
    while (performance.now() - from < (calls.failed > 0 ? 50 : 5_000) && !condition()) await turn();
  };
  log(OWN.slice(0, 4));
  if (service === "leaving") {
    // These are delivered; the next ones are in a batch that is open meanwhile.
    const logged = Date.now();
    while (Date.now() === logged);
  }
  log(OWN.slice(4, 6));
  if (service === "leaving") await patiently(() => client.stored.includes("own 3"));
  else conserved(await logger.flush(waitMs));
  if (!isWell) await patiently(() => logger.stats().logged >= 6 + LEFT.length);
  client.isGone = !isWell;
  log(OWN.slice(6, -2));
  conserved(await logger.flush(waitMs));
  log(OWN.slice(-2));
  const stats = conserved(await logger.close(waitMs));
  calls.stop();
  // What it has left open would be missing sooner or later.
  const open = calls.descriptors.size;
  const left = filesIn(directory);
  const second = await recover(directory);
  const all = [...LEFT, ...OWN];
  const isKnown = (message: string) =>
    [client.stored, heard.lost, second.stored, second.lost].some((messages) => messages.includes(message));
  // Closed while it took over, the first one may have had its hands on some files.
  for (let tries = 0; tries < 5 && !all.every(isKnown); tries++) {
    await realSleep(20);
    const more = await recover(directory);
    second.stored.push(...more.stored);
    second.lost.push(...more.lost);
  }
  real.rmSync(home, { recursive: true, force: true });

  assert.deepEqual(thrown, [], "no log call throws");
  const spoolErrors = heard.errors.filter(({ code }) => code === "ERR_SPOOL");
  assert.ok(spoolErrors.length <= 1, `ERR_SPOOL is told ${spoolErrors.length} times`);
  const silent = all.filter((message) => !isKnown(message));
  assert.deepEqual(silent, [], "every event is delivered, on disk or told");
  if (stats.droppedReasons.unsent > 0) assert.equal(spoolErrors.length, 1, "it is told why events are not on disk");
  assert.equal(stats.dropped, stats.droppedReasons.unsent, "nothing else is dropped");
  assert.ok(stats.pending <= second.stored.length + second.lost.length, `${stats.pending} are pending, fewer on disk`);
  if (isWell) {
    assert.deepEqual([stats.pending, stats.dropped], [0, 0], "what the service takes is delivered");
    const missing = OWN.filter((message) => !message.startsWith("bad") && !client.stored.includes(message));
    assert.deepEqual(missing, [], "the logger goes on without its spool");
  }
  assert.equal(open, 0, "no descriptor is left open");
  return { calls, stats, second, left, stored: client.stored, ...heard };
}

/** Runs for every `nth` up to one that no call has, some at once; says which ones have failed, and how. */
async function runEach(count: number, service: Service, faultAt: (nth: number) => Fault): Promise<number> {
  const failures: string[] = [];
  let next = 1;
  let tried = 0;
  const worker = async () => {
    while (next <= count) {
      const fault = faultAt(next++);
      try {
        const { calls } = await run(service, fault);
        if (calls.failed > 0) tried++;
      } catch (error) {
        tried++;
        const { code, nth, isLasting, manner, met } = fault;
        failures.push(
          `${code} ${manner} at call ${nth}, ${met}${isLasting ? " and after" : ""}: ${String(error).slice(0, 300)}`,
        );
      }
    }
  };
  await Promise.all(range(AT_ONCE).map(worker));
  assert.ok(tried >= 0.8 * count, `only ${tried} of ${count} faults were met`);
  assert.equal(failures.length, 0, `${failures.length} of ${tried} runs:\n${failures.slice(0, 20).join("\n")}`);
  return tried;
}

// ── System calls ────────────────────────────────────────────────────────────────────────────────────────────────────

describe("the injection", () => {
  it("reaches every way to ask the file system and to use a socket", async (t) => {
    const home = temporaryDirectory(t);
    const path = join(home, "file");
    real.writeFileSync(path, "some text");
    const listening = net.createServer();
    const connection = new net.Socket();
    const ways: Record<string, () => unknown> = {
      "a function": () => fs.readFileSync(path),
      "an imported function": () => readFileSync(path),
      "a callback": () => new Promise((done, fail) => fs.readFile(path, (error) => (error ? fail(error) : done(0)))),
      promises: () => fs.promises.readFile(path),
      "an imported promise": () => readFile(path),
      "a stream": () => once(fs.createReadStream(path), "close"),
      "a rename to it": () => fs.promises.rename(join(root, "elsewhere"), path),
      listen: () => once(listening.listen(join(home, "socket")), "listening"),
      connect: () => once(connection.connect({ path: join(home, "socket") }), "connect"),
      "net.connect": () => once(net.connect(join(home, "socket")), "connect"),
    };
    for (const [name, way] of Object.entries(ways)) {
      const calls = new SystemCalls(home, { code: "EIO", nth: 1, isLasting: true, manner: "instead" });
      await assert.rejects(async () => way(), { code: "EIO" }, name);
      calls.stop();
    }
    const calls = new SystemCalls(home, {
      code: "EDQUOT",
      nth: 1,
      isLasting: true,
      manner: "torn",
      names: /^(write|close)/,
    });
    const handle = await fs.promises.open(path, "a");
    const descriptor = fs.openSync(path, "a");
    assert.throws(() => fs.writeSync(descriptor, "1234"), { code: "EDQUOT" });
    await assert.rejects(() => handle.write("5678"), { code: "EDQUOT" });
    assert.equal(calls.descriptors.size, 2);
    assert.throws(() => fs.closeSync(descriptor), { code: "EDQUOT" });
    await assert.rejects(() => handle.close(), { code: "EDQUOT" });
    assert.equal(calls.descriptors.size, 0, "they are closed all the same");
    assert.equal(real.readFileSync(path, "utf8"), "some text1256");
    assert.deepEqual(calls.made, ["open", "openSync", "writeSync", "write", "closeSync", "close"]);
    calls.stop();
  });
});

describe("a failure at every system call of the spool", { timeout: 600_000 }, () => {
  for (const [title, service] of [
    ["while the service is well", "well"],
    ["while the service cannot be reached", "gone"],
    ["while the service goes away", "leaving"],
  ] as const) {
    it(`${title}: without a failure`, async (t) => {
      const { calls, stats, second, stored, errors, left } = await run(service);
      assert.deepEqual(
        errors.filter(({ code }) => code === "ERR_SPOOL"),
        [],
      );
      assert.equal(stats.logged, LEFT.length + OWN.length);
      const good = [...LEFT, ...OWN].filter((message) => !message.startsWith("bad")).sort();
      assert.deepEqual([...stored, ...second.stored].sort(), good, "each once");
      if (service === "well") assert.deepEqual([second.stored, left], [[], []], "nothing is left");
      const counts = new Map<string, number>();
      for (const name of calls.made) counts.set(name, (counts.get(name) ?? 0) + 1);
      for (const step of [
        "listen",
        "connect",
        /^open/,
        /^write/,
        /^close/,
        /^(fstat|read(File)?)(Sync)?$/,
        /^(rm|unlink)/,
      ]) {
        assert.ok(
          [...counts.keys()].some((name) => name.search(step) === 0),
          `the scenario has calls of ${step}`,
        );
      }
      t.diagnostic(`${calls.made.length} calls: ${[...counts].map(([name, count]) => `${name} ${count}`).join(", ")}`);
    });

    for (const isLasting of [false, true]) {
      for (const manner of ["instead", "torn", "short", ...(TRIES_ALL ? ["after" as const] : [])] as const) {
        const what = isLasting ? "every call from the nth on" : "the nth call alone";
        it(`${title}: ${what}, for every n (${manner})`, async (t) => {
          const { calls } = await run(service);
          const names = manner === "torn" ? /^(write|append)/ : manner === "short" ? /^writeSync$/ : /./;
          const count = calls.made.filter((name) => names.test(name)).length;
          let tried = 0;
          for (const round of range(TRIES_ALL ? CODES.length : 1)) {
            // Unless all are tried, each call meets another error in each of these tests.
            const shift = round + 2 * Number(isLasting) + 3 * Number(service === "gone");
            tried += await runEach(count, service, (nth) => {
              const code = CODES[(nth + shift) % CODES.length] as Code;
              return { code, nth, isLasting, manner, names };
            });
          }
          t.diagnostic(`${tried} runs`);
        });
      }
    }
  }
});

// ── What that is for ────────────────────────────────────────────────────────────────────────────────────────────────

describe("a spool whose system calls fail", () => {
  it("leaves a leftover file that cannot be read where it is, and says so", async () => {
    const reads = /^(read|readv|readFile)(Sync)?$/;
    const { calls } = await run("well");
    for (const nth of range(calls.made.filter((name) => reads.test(name)).length, 1)) {
      for (const code of ["EMFILE", "EIO", "EACCES"] as const) {
        const { errors, calls } = await run("well", { code, nth, isLasting: true, manner: "instead", names: reads });
        const told = errors.filter((error) => error.code === "ERR_SPOOL").length;
        assert.equal(told, calls.failed > 0 ? 1 : 0, `${code} at read ${nth}`);
      }
    }
  });

  it("that fails for good while a batch is open: what close() leaves is told or on disk", async (t) => {
    const home = temporaryDirectory(t);
    const calls = new SystemCalls(home);
    const client = new Double();
    const { onError, onLoss, lost, errors } = told();
    const directory = join(home, "spool");
    const options = { ...common(directory), client, onError, onLoss, flushIntervalMs: 60_000 };
    const logger = new CloudwatchLogger(GROUP, options);
    let release = () => {};
    client.held = new Promise((resolve) => {
      release = resolve;
    });
    const log = (from: number, count: number) => {
      for (const n of range(count, from)) logger.info(`own ${n}`);
    };
    log(0, 4);
    const logged = Date.now();
    await until(() => Date.now() > logged);
    // The first four fill a batch; the others are in one that is open.
    log(4, 2);
    await until(() => client.requests > 0);
    client.isGone = true;
    calls.fault = { code: "EACCES", nth: 1, isLasting: true, manner: "instead", names: /^(?!close)/ };
    release();
    await until(() => logger.stats().delivered >= 4);
    await turn();
    log(6, 1);
    const { pending } = conserved(await logger.close(50));
    calls.stop();
    const second = await recover(directory);
    const known = new Set([...client.stored, ...lost, ...second.stored]);
    const silent = range(7).filter((n) => !known.has(`own ${n}`));
    assert.deepEqual(silent, [], "neither on disk nor told");
    assert.ok(pending <= second.stored.length, `${pending} are pending, ${second.stored.length} on disk`);
    assert.equal(errors.filter(({ code }) => code === "ERR_SPOOL").length, 1);
  });

  it("whose socket would have too long a path is refused by the constructor", (t) => {
    const spoolDirectory = join(temporaryDirectory(t), "d".repeat(150));
    assert.throws(() => new CloudwatchLogger(GROUP, { spoolDirectory }), /RangeError.*"spoolDirectory"/s);
  });

  it("and an onError that logs: told once, no stack overflows, close() resolves", async (t) => {
    const home = temporaryDirectory(t);
    real.writeFileSync(join(home, "file"), "");
    const client = new Double();
    const codes: string[] = [];
    const logger: CloudwatchLogger = new CloudwatchLogger(GROUP, {
      ...common(join(home, "file", "spool")),
      client,
      onError: ({ code, message }) => {
        codes.push(code);
        logger.warn(message);
      },
    });
    for (const n of range(10)) logger.info(`own ${n}`);
    conserved(await logger.flush());
    const stats = conserved(await logger.close());
    assert.deepEqual(codes, ["ERR_SPOOL"]);
    assert.deepEqual([stats.logged, stats.delivered], [11, 11]);
  });

  it("when it closes a file: nothing is thrown, every event has an outcome", async () => {
    for (const service of ["well", "gone"] as const) {
      for (const code of ["EDQUOT", "EIO", "ENOSPC"] as const) {
        await run(service, { code, nth: 1, isLasting: true, manner: "instead", names: /^close/ });
      }
    }
    await turn();
  });

  it("because the disk is full: what was delivered is not sent again at the next start", async () => {
    const writes = /^(write|append)/;
    const { calls } = await run("well");
    for (const nth of range(calls.made.filter((name) => writes.test(name)).length, 1)) {
      for (const isLasting of [false, true]) {
        const { stored, second } = await run("well", { code: "ENOSPC", nth, isLasting, manner: "torn", names: writes });
        assert.deepEqual(
          second.stored.filter((message) => stored.includes(message)),
          [],
          `twice, after write ${nth}`,
        );
      }
    }
  });

  it("because the disk is full while a batch is parted: no half of a file is left to be sent again", async (t) => {
    // Refused because of one event, or closed by a millisecond that overfills it: either way some of its events move on at once.
    const ways: Record<string, (logger: CloudwatchLogger) => void> = {
      halves: (logger) => {
        for (const n of range(24)) logger.info(n === 4 ? "bad" : `own ${n}`);
      },
      "a millisecond that moves on": (logger) => {
        const from = Date.now();
        const stream = logger.stream();
        for (const n of range(36)) stream.write(`{"time":${from + Number(n >= 12)},"own":${n}}\n`);
      },
    };
    const writes = /^(write|append)/;
    for (const [way, log] of Object.entries(ways)) {
      const trial = async (fault?: Fault) => {
        const home = temporaryDirectory(t);
        const directory = join(home, "spool");
        const client = new Double();
        const { onError, onLoss } = told();
        const options = { ...common(directory), client, onError, onLoss, maxBatchEvents: 24, flushIntervalMs: 60_000 };
        const calls = new SystemCalls(home, fault);
        const logger = new CloudwatchLogger(GROUP, options);
        log(logger);
        const { pending } = conserved(await logger.close());
        calls.stop();
        assert.equal(pending, 0);
        const { stored } = await recover(directory);
        const twice = stored.filter((message) => client.stored.includes(message));
        assert.deepEqual(twice, [], `${way}: sent again, after write ${fault?.nth}`);
        return calls.made.filter((name) => writes.test(name)).length;
      };
      const count = await trial();
      for (const nth of range(count, 1)) {
        // Where the disk is full for a moment, or for good.
        await trial({ code: "ENOSPC", nth, isLasting: nth % 2 === 0, manner: "torn", names: writes });
      }
    }
  });
});

describe("a spool directory", () => {
  it("on a disk that is slow to remove files: log calls go on, the next batch and flush() wait, close() leaves none", async (t) => {
    const directory = join(temporaryDirectory(t), "spool");
    const files = () => filesIn(directory).filter((name) => !name.endsWith(".sock"));
    const client = new Double();
    const logger = new CloudwatchLogger(GROUP, { ...common(directory), client });
    let release = () => {};
    const slow = new Promise<void>((resolve) => (release = resolve));
    const unlink = t.mock.method(fs.promises, "unlink", async (path: string) => {
      await slow;
      await real.promises.rm(path);
    });
    logger.info("one");
    let isFlushed = false;
    const flushed = logger.flush().then(() => (isFlushed = true));
    await until(() => unlink.mock.callCount() === 1);
    logger.fatal("two");
    for (const _ of range(20)) await turn();
    assert.deepEqual([client.stored, isFlushed, files().length], [["one"], false, 2]);
    release();
    await flushed;
    await logger.flush();
    assert.deepEqual([client.stored, files()], [["one", "two"], []]);
    unlink.mock.mockImplementation(() => new Promise<void>(() => {}));
    logger.info("three");
    await logger.close(100);
    assert.deepEqual([client.stored, filesIn(directory)], [["one", "two", "three"], []]);
  });

  it("of two log groups whose names have one hash: each logger sends its own log group's events only", async (t) => {
    // FNV-1a, 32 bits: both 7f9a74b1.
    const [one, other] = ["service-80189", "service-1344004"];
    const directory = join(temporaryDirectory(t), "spool");
    await leave(directory, 4, 4, 0, one);
    assert.deepEqual((await recover(directory, other)).stored, []);
    assert.deepEqual(
      (await recover(directory, one)).stored,
      range(4).map((n) => `left ${n}`),
    );
  });

  it("given by a relative path stays where it was when the program changes its directory", async (t) => {
    const home = temporaryDirectory(t);
    const elsewhere = temporaryDirectory(t);
    const service = await LocalCloudWatchLogs.start();
    t.after(() => service.close());
    const { endpoint } = service;
    const connection = { endpoint, region: "us-east-1", credentials: { accessKeyId: "A", secretAccessKey: "B" } };
    const { code, stdout, stderr } = await compiled.start(
      `const logger = new CloudwatchLogger("${GROUP}", { ...options, onError: (error) => fs.writeSync(1, error.message) });
      logger.info("own 0");
      process.chdir(${JSON.stringify(elsewhere)});
      logger.info("own 1");
      await logger.flush();
      logger.info("own 2");
      await logger.close();`,
      { ...common("spool"), ...connection, flushIntervalMs: 60_000 },
      { cwd: home },
    ).ended;
    assert.deepEqual([code, stdout], [0, ""], stderr);
    assert.deepEqual(
      service.events(GROUP).map(({ message }) => message),
      range(3).map((n) => `own ${n}`),
    );
    assert.deepEqual(filesIn(elsewhere), []);
    const { stored, errors } = await recover(join(home, "spool"));
    assert.deepEqual([stored, errors], [[], []], "nothing is sent again");
  });

  it("with events left at close(): flush() and end() resolve after that", { timeout: 10_000 }, async (t) => {
    const { onError, onLoss } = told();
    const client = new Double(true);
    const options = { ...common(join(temporaryDirectory(t), "spool")), client, onError, onLoss };
    const logger = new CloudwatchLogger(GROUP, options);
    const stream = logger.stream();
    logger.info("own 0");
    assert.equal((await logger.close(20)).pending, 1);
    assert.equal((await logger.flush()).pending, 1);
    assert.equal((await logger.flush(Number.POSITIVE_INFINITY)).pending, 1);
    await new Promise((done) => stream.end("a line\n", () => done(undefined)));
    conserved(logger.stats());
  });

  it("with much in it is read a little at a turn of the event loop", { timeout: 60_000 }, async (t) => {
    const home = temporaryDirectory(t);
    const directory = join(home, "spool");
    await leave(directory, 48, 1, 500_000);
    const calls = new SystemCalls(home);
    const { stored } = await recover(directory);
    calls.stop();
    assert.deepEqual(
      stored.map((message) => message.split("x", 1)[0]),
      range(48).map((n) => `left ${n}`),
    );
    const megabytes = calls.mostReadBytes / 1e6;
    assert.ok(calls.mostReadBytes > 0 && megabytes < 8, `${megabytes} of 24 MB at one turn`);
  });
});

// ── Callbacks ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** What is called that belongs to the user: it acts, then does what it is for. */
type Act = () => unknown;
interface Callback {
  options?: (act: Act, client: Double) => CloudwatchLoggerOptions;
  /** The value that is logged. */
  value?: (act: Act) => unknown;
}
const CALLBACKS: Record<string, Callback> = {
  onError: { options: (act) => ({ onError: act as () => void }) },
  onLoss: { options: (act) => ({ onLoss: act as () => void }) },
  format: { options: (act) => ({ format: ({ message }) => (act() as string | undefined) ?? message }) },
  "a fields function": {
    options: (act) =>
      ({ fields: (() => act() ?? { trace: 1 }) as unknown as object }) as unknown as CloudwatchLoggerOptions,
  },
  "a client's send": {
    options: (act, client) => ({
      client: { send: (command: object) => act() ?? client.send(command) } as unknown as NonNullable<
        CloudwatchLoggerOptions["client"]
      >,
    }),
  },
  "a getter": {
    value: (act) => ({
      get trap() {
        return act() ?? 1;
      },
    }),
  },
  toJSON: { value: (act) => ({ inner: { toJSON: () => act() ?? 1 } }) },
  "a credentials provider": {
    options: (act) => ({
      credentials: async () => {
        await act();
        return { accessKeyId: "AKIDTEST", secretAccessKey: "secret" };
      },
    }),
  },
};
const ACTS: Record<string, (logger: CloudwatchLogger, others: CloudwatchLogger[]) => unknown> = {
  throws: () => {
    throw new Error("thrown by a callback");
  },
  rejects: () => Promise.reject(new Error("rejected by a callback")),
  logs: (logger) => logger.warn("logged by a callback"),
  flushes: (logger) => void logger.flush(),
  closes: (logger) => void logger.close(),
  "makes another logger": (_, others) => {
    const other = new CloudwatchLogger(GROUP, { client: new Double() });
    other.info("logged by another logger");
    others.push(other);
  },
};

describe("every callback does every bad thing", { timeout: 120_000 }, () => {
  let service: LocalCloudWatchLogs;
  before(async () => {
    service = await LocalCloudWatchLogs.start({ poison: (message) => message.startsWith("bad") });
  });
  after(() => service.close());

  for (const [name, { options, value }] of Object.entries(CALLBACKS)) {
    for (const [what, bad] of Object.entries(ACTS)) {
      it(`${name} ${what}: no log call throws, the law holds, close() resolves`, async (t) => {
        const home = temporaryDirectory(t);
        real.writeFileSync(join(home, "file"), "");
        const client = new Double();
        const heard = told();
        const others: CloudwatchLogger[] = [];
        let acted = 0;
        let isOver = false;
        const act = () => {
          if (isOver) return undefined;
          acted++;
          const result = bad(logger, others);
          // Whose getter gives a rejected promise has to handle that.
          if (value !== undefined && result instanceof Promise) result.catch(() => {});
          return result;
        };
        const { onError, onLoss } = heard;
        const keys = { accessKeyId: "AKIDTEST", secretAccessKey: "secret" };
        const logger: CloudwatchLogger = new CloudwatchLogger(GROUP, {
          ...(name === "a credentials provider"
            ? { endpoint: service.endpoint, region: "us-east-1", credentials: keys }
            : { client }),
          ...{ onError, onLoss, flushIntervalMs: 5, maxBatchEvents: 4, closeTimeoutMs: 300 },
          logStreamName: "main",
          // In a file there is no room for a directory: trouble for onError. What is refused is for onLoss.
          spoolDirectory: join(home, "file", "spool"),
          format: name === "a getter" || name === "toJSON" ? "json" : ({ message }) => message,
          ...options?.(act, client),
        });
        const round = () => {
          for (const text of ["one", "bad two", "three"]) {
            logger.info(text, value?.(act) as object | undefined);
            conserved(logger.stats());
          }
          logger.fatal(value?.(act) ?? "four");
          conserved(logger.stats());
        };
        round();
        conserved(await logger.flush(300));
        round();
        const from = performance.now();
        const stats = conserved(await logger.close());
        assert.ok(performance.now() - from < 2_000, "close() keeps to its time");
        round();
        await turn();
        isOver = true;
        conserved(logger.stats());
        assert.equal(stats.pending, 0);
        assert.ok(acted > 0 && acted < 2_000, `it was called ${acted} times`);
        if (name !== "onError") {
          const count = (code: string) => heard.errors.filter((error) => error.code === code).length;
          // Closed at once, it may never have come to its spool.
          if (what === "closes") assert.ok(count("ERR_SPOOL") <= 1);
          else assert.equal(count("ERR_SPOOL"), 1);
          assert.equal(count("ERR_FORMAT"), name === "format" && /throws|rejects/.test(what) ? 1 : 0);
        }
        for (const other of others) conserved(await other.close());
      });
    }
  }
});
