/**
 * Values that mean harm, callbacks that log, and what all of it may cost. Cost is told by counting (reads of a getter,
 * requests, bytes kept) or by growth (ten times as much may cost thirty times as much, never a hundred times), never by
 * the clock. `CWLOGGER_FUZZ_EVENTS=1000000` runs the differential fuzz for as many events.
 */
import assert from "node:assert/strict";
import { after, before, describe, it, type TestContext } from "node:test";
import { inspect } from "node:util";
import fc from "fast-check";
import {
  CloudwatchLogger,
  type CloudwatchLoggerError,
  type CloudwatchLoggerOptions,
  type LogEvent,
  type Loss,
} from "../cloudwatch.js";
import { LocalCloudWatchLogs } from "./local-cloudwatch.js";
import { Compiled, conserved, range, seeded, turn, until, VirtualTime } from "./support.js";

const GROUP = "my-app";
const STREAM = "main";
const MB = 1_000_000;
const NOW = Date.UTC(2026, 0, 31, 12);
const OVERHEAD_BYTES = 26;
const RAW = ({ message }: { message: string }) => message;
const OVERFLOWS = ["error", "truncate", "split"] as const;

const compiled = new Compiled();
before(() => compiled.build());
after(() => compiled.remove());

// ── Values ──────────────────────────────────────────────────────────────────────────────────────────────────────────

describe("a value that logs while it is read", () => {
  const ways: Record<string, (log: () => void) => [value: unknown, asJson: unknown]> = {
    "a getter": (log) => [
      {
        get a() {
          log();
          return "got";
        },
        b: [2],
      },
      { a: "got", b: [2] },
    ],
    toJSON: (log) => [
      {
        toJSON() {
          log();
          return { z: ["got"] };
        },
      },
      { z: ["got"] },
    ],
    "toJSON that gives the same object": (log) => {
      const same = { list: [1], text: "x" };
      const toJSON = () => {
        log();
        return same;
      };
      return [
        { first: { toJSON }, second: { toJSON } },
        { first: same, second: same },
      ];
    },
    "a proxy": (log) => [
      new Proxy({ a: 1, b: "two" } as Record<string, unknown>, {
        get: (target, name) => {
          if (name === "a") log();
          return target[name as string];
        },
      }),
      { a: 1, b: "two" },
    ],
    "a getter of an Error": (log) => [
      Object.defineProperty(Object.assign(new Error("x"), { stack: "no stack" }), "code", {
        enumerable: true,
        get() {
          log();
          return "E_LOGGED";
        },
      }),
      { name: "Error", message: "x", stack: "no stack", code: "E_LOGGED" },
    ],
  };
  const texts = {
    short: "inner",
    "60 KB": "x".repeat(60_000),
    "60 KB of numbers": "numbers",
    "2 MB of quotes": '"'.repeat(2 * MB),
  };
  for (const [way, make] of Object.entries(ways)) {
    for (const [size, text] of Object.entries(texts)) {
      it(`${way}, ${size}: neither event changes the other, whichever logger it is`, async () => {
        for (const isSame of [true, false]) {
          const outer = recorded({ overflow: "truncate" });
          const inner = isSame ? outer : recorded({ overflow: "truncate" });
          let logged = 0;
          const after = '"after"'.repeat(1_500);
          const [value, asJson] = make(() => {
            logged++;
            inner.logger.warn(text, { n: 1, ...(text === "numbers" && { list: range(11_900) }) });
          });
          outer.logger.info("outer", { before: "b", list: [value, value], value, after });
          assert.ok(logged >= 1);
          await Promise.all([outer.logger.close(), inner.logger.close()]);
          const all = [...new Set([...outer.sent, ...inner.sent])].map(({ message }) => message);
          const [outerText, ...more] = all.filter((message) => message.startsWith('{"level":"INFO"'));
          const expected = { level: "INFO", message: "outer", before: "b", list: [asJson, asJson], value: asJson };
          assert.equal(outerText, JSON.stringify({ ...expected, after }));
          assert.equal(more.length, 0);
          const inners = all.filter((message) => message.startsWith('{"level":"WARN"'));
          assert.equal(inners.length, logged);
          for (const message of inners) {
            const event = JSON.parse(message);
            assert.equal(event.n, 1);
            assert.ok(event.message === text.slice(0, event.message.length));
            assert.ok(event.message.length === text.length || event.truncatedBytes > 0);
          }
        }
      });
    }
  }

  it("again and again, deeper than any logger would follow: it ends, and every text is JSON", async () => {
    const { logger, sent } = recorded();
    let left = 200;
    const deeper = (): object => ({
      get value() {
        if (left-- > 0) logger.info("inner", { depth: 200 - left, value: deeper() });
        return "got";
      },
    });
    logger.info("outer", { value: deeper() });
    const stats = conserved(await logger.close());
    assert.ok(stats.logged >= 2);
    assert.equal(sent.length, stats.delivered);
    assert.equal(stats.delivered, stats.logged);
    for (const { message } of sent) assert.equal(typeof JSON.parse(message).level, "string", message);
  });

  it("format functions, too: each text is its own", async () => {
    const { logger: inner, sent: innerSent } = recorded();
    const { logger, sent } = recorded({
      format: ({ message, fields }) => {
        inner.info(`about ${message}`, fields);
        return `<${message}>`;
      },
    });
    for (const n of range(100)) logger.info(`m${n}`, { n });
    await Promise.all([logger.close(), inner.close()]);
    assert.deepEqual(
      sent.map(({ message }) => message),
      range(100).map((n) => `<m${n}>`),
    );
    assert.deepEqual(
      innerSent.map(({ message }) => message),
      range(100).map((n) => `{"level":"INFO","message":"about m${n}","n":${n}}`),
    );
  });
});

describe("a value whose traps throw", () => {
  const TRAPS = ["get", "has", "ownKeys", "getOwnPropertyDescriptor", "getPrototypeOf"] as const;
  const targets: Record<string, () => object> = {
    "an object": () => ({ a: 1, message: "m", level: "info" }),
    "an array": () => [1, { a: 2 }],
    "a function": () => () => {},
    "an Error": () => new Error("e"),
    "a Map": () => new Map([["k", 1]]),
    "a Date": () => new Date(0),
    "a Buffer": () => Buffer.from("bytes"),
  };
  const routes: Record<string, (logger: CloudwatchLogger, value: never) => void> = {
    "info(value)": (logger, value) => logger.info(value),
    "info(text, value)": (logger, value) => logger.info("m", value),
    "info(text, { value })": (logger, value) => logger.info("m", { value, kept: 1 }),
    "info(value, text)": (logger, value) => logger.info(value, "m" as never),
    "info(text, value, value)": (logger, value) =>
      (logger.info as (...values: unknown[]) => void)("m %s", value, value),
    "error(Error, value)": (logger, value) => logger.error(new Error("e"), value),
    "error(text, { err: value })": (logger, value) => logger.error("m", { err: value, error: value }),
    "an Error with such a cause": (logger, value) => logger.error(new Error("e", { cause: value })),
    "log(value)": (logger, value) => logger.log(value, undefined as never),
    "log(level, value)": (logger, value) => logger.log("warn", value),
    "child(value)": (logger, value) => logger.child(value, value).info("m"),
    "withFields(value)": (logger, value) => logger.withFields(value, () => logger.info("m")),
    "stream().write(value)": (logger, value) => {
      const stream = logger.stream();
      stream.write(value);
      stream.write("\n");
    },
    "a captured console": (logger, value) => {
      const release = logger.captureConsole();
      console.log(value);
      release();
    },
  };
  for (const [route, log] of Object.entries(routes)) {
    it(`${route}: one event, whichever they are`, async (t) => {
      t.mock.method(console, "log", () => {});
      for (const options of [{}, { format: "text" }, { redact: ["password", "a.*.b"] }]) {
        const { logger, losses } = recorded(options);
        for (const [target, make] of Object.entries(targets)) {
          for (const mask of range(2 ** TRAPS.length)) {
            const traps = TRAPS.filter((_, index) => mask & (1 << index));
            const value = new Proxy(make(), Object.fromEntries(traps.map((trap) => [trap, boom])));
            const from = logger.stats().logged;
            assert.doesNotThrow(() => log(logger, value as never), `${target}: ${traps}`);
            await turn();
            const counted = logger.stats().logged - from;
            assert.equal(counted, 1, `${target}: ${traps}`);
          }
        }
        const revoked = Proxy.revocable({}, {});
        revoked.revoke();
        log(logger, revoked.proxy as never);
        const stats = conserved(await logger.close());
        assert.equal(stats.logged, Object.keys(targets).length * 2 ** TRAPS.length + 1);
        assert.equal(stats.delivered, stats.logged, inspect(losses));
      }
    });
  }

  it("is read once, however deep: getters that throw cost their number, not two to the power of it", async () => {
    const shapes: Record<string, (inner: object, read: () => never) => object> = {
      getters: (inner, read) => Object.defineProperty({ inner }, "bad", { enumerable: true, get: read }),
      "getters before": (inner, read) =>
        Object.assign(Object.defineProperty({}, "bad", { enumerable: true, get: read }), { inner }),
      arrays: (inner, read) => [Object.defineProperty([inner], 1, { enumerable: true, get: read })],
      toJSON: (inner, read) => ({ inner, bad: { toJSON: read } }),
      Maps: (inner, read) =>
        new Map<unknown, unknown>([
          ["inner", inner],
          ["bad", { toJSON: read }],
        ]),
      Errors: (inner, read) =>
        Object.defineProperty(new Error("x", { cause: inner }), "bad", { enumerable: true, get: read }),
      proxies: (inner, read) =>
        new Proxy({ inner, bad: 1 } as Record<string, unknown>, {
          get: (target, name) => (name === "bad" ? read() : target[name as string]),
        }),
    };
    for (const [title, make] of Object.entries(shapes)) {
      const depth = 14;
      let reads = 0;
      const value = range(depth).reduce<object>(
        (inner) =>
          make(inner, () => {
            reads++;
            return boom();
          }),
        { leaf: "leaf" },
      );
      const { logger, sent } = recorded();
      logger.info("m", { value });
      await logger.close();
      assert.ok(reads >= 1 && reads <= 4 * depth, `${title}: ${reads} reads of ${depth}`);
      assert.match(sent[0]?.message ?? "", /leaf/, `${title}: what can be read is kept`);
    }
  });
});

describe("near the end of the stack", () => {
  const kinds: Record<string, CloudwatchLoggerOptions> = {
    json: {},
    text: { format: "text" },
    "a template": { format: "{level} {message} {n} " },
    redact: { redact: ["password"] },
    split: { overflow: "split" },
    "a child's fields": { fields: { service: "s" } },
  };
  for (const [title, options] of Object.entries(kinds)) {
    it(`an event is whole, or the call throws that there is no room: ${title}`, async () => {
      const { logger, sent } = recorded(options);
      const whole = recorded(options);
      const nested = { a: { b: { c: ["deep", { d: 1 }] } } };
      const log = (to: CloudwatchLogger, n: number) => to.info(`m${n}`, { n, nested, map: new Map([["k", 1]]) });
      const child = logger.child({ child: 1 });
      const sink = (frames: number, n: number): void => {
        if (frames > 0) sink(frames - 1, n);
        else log(child, n);
      };
      const taken: number[] = [];
      let overflows = 0;
      // Frame by frame nearer to the end, until not even the call has room.
      for (let frames = 1_000, step = 1_000, n = 0; overflows < 3; frames += step, n++) {
        try {
          sink(frames, n);
          taken.push(n);
        } catch (error) {
          assert.ok(error instanceof RangeError && !("code" in error), inspect(error));
          if (step > 1) {
            frames -= 2 * step;
            step = step > 100 ? 100 : 1;
          } else if (++overflows === 1) frames -= 300;
        }
      }
      const stats = conserved(await logger.close());
      assert.equal(stats.delivered, sent.length);
      const idOf = (text: string) => Number(/m(\d+)/.exec(text)?.[1]);
      const texts = new Map(sent.map(({ message }) => [idOf(message), message]));
      for (const n of texts.keys()) log(whole.logger.child({ child: 1 }), n);
      await whole.logger.close();
      const wanted = new Map(whole.sent.map(({ message }) => [idOf(message), message]));
      // What had no room may say so in its place.
      const isTold = (text: string) => /\[unreadable: .*\]/.test(text);
      const short = [...texts].filter(([n, text]) => text !== wanted.get(n) && !isTold(text));
      assert.deepEqual(short.slice(0, 3), [], `${short.length} of ${texts.size} events are not whole`);
      assert.deepEqual(
        taken.filter((n) => !texts.has(n)),
        [],
        "taken, and not there",
      );
    });
  }

  it("no event loses its fields without a word", async () => {
    const sent: LogEvent[] = [];
    // A logger for each event, so that no event suffers from what became of another one; its timer runs already.
    const loggers: CloudwatchLogger[] = [];
    const fields = { nested: { a: { b: { c: ["deep", { d: 1 }] } } }, map: new Map([["k", 1]]) };
    const log = (frames: number) => {
      const logger = new CloudwatchLogger(GROUP, { client: recorder(sent), onError: () => {}, onLoss: () => {} });
      const n = loggers.push(logger);
      logger.info("before");
      const sink = (left: number): void => {
        if (left > 0) sink(left - 1);
        else logger.info(`m${n}`, fields);
      };
      try {
        sink(frames);
        return true;
      } catch (error) {
        assert.ok(error instanceof RangeError, inspect(error));
        return false;
      }
    };
    for (const n of range(200)) log(n);
    // Frame by frame over the end, which is where the call throws.
    let [from, to] = [1_000, 100_000];
    while (to - from > 1) {
      const middle = (from + to) >> 1;
      if (log(middle)) from = middle;
      else to = middle;
    }
    for (const n of range(300, from - 250)) log(n);
    for (const logger of loggers) await logger.close();
    const texts = sent.map(({ message }) => message).filter((text) => text.includes('"message":"m'));
    assert.ok(texts.length > 300);
    const whole = JSON.stringify({ nested: fields.nested, map: { k: 1 } }).slice(1);
    const isTold = (text: string) => /\[unreadable: .*\]/.test(text);
    const short = texts.filter((text) => !text.endsWith(whole) && !isTold(text));
    assert.deepEqual(short, []);
  });
});

describe("what hosts write", () => {
  const level = Symbol.for("level");
  const message = Symbol.for("message");
  const chunks: Record<string, () => unknown> = {
    "a record with a getter that throws": () => ({
      level: 30,
      msg: "m",
      get bad() {
        return boom();
      },
    }),
    "a record whose time throws": () => ({
      get time() {
        return boom();
      },
      msg: "m",
    }),
    "a record whose level throws": () => ({
      get level() {
        return boom();
      },
      msg: "m",
    }),
    "a record whose msg throws": () => ({
      get msg() {
        return boom();
      },
      level: 30,
    }),
    "a winston record whose text throws": () => ({
      level: "info",
      [level]: "info",
      get [message]() {
        return boom();
      },
    }),
    "a winston record whose time throws": () => ({
      level: "info",
      [level]: "info",
      [message]: "m",
      get timestamp() {
        return boom();
      },
    }),
    "a winston record without a text": () => ({ level: "info", message: "m", [level]: "info" }),
    "a winston record whose text is none": () => ({
      level: "info",
      message: "m",
      [level]: "info",
      [message]: { a: 1 },
    }),
    "a revoked proxy": () => {
      const { proxy, revoke } = Proxy.revocable({}, {});
      revoke();
      return proxy;
    },
    "a number": () => 5,
    "a bigint": () => 5n,
    "a symbol": () => Symbol("s"),
    "a function": () => function written() {},
    true: () => true,
    "an array": () => [1, 2],
    "a Map": () => new Map([["k", 1]]),
    "a Date": () => new Date(0),
    "an object without a prototype": () => Object.assign(Object.create(null), { a: 1 }),
    "an Error": () => new Error("e"),
    "an empty object": () => ({}),
  };
  for (const [title, make] of Object.entries(chunks)) {
    it(`${title} is logged, or told as lost`, async () => {
      const { logger, losses } = recorded();
      const stream = logger.stream();
      stream.on("error", (error) => assert.fail(error));
      stream.write(make());
      stream.write("\nbehind\n");
      await new Promise<void>((resolve) => stream.end(resolve));
      const stats = conserved(await logger.close());
      assert.equal(stats.logged, 2, inspect(losses));
      assert.equal(stats.delivered + losses.reduce((sum, { count }) => sum + count, 0), 2);
    });
  }

  it("a winston format that throws costs no record", async () => {
    const { logger, losses } = recorded();
    const stream = logger.stream() as ReturnType<CloudwatchLogger["stream"]> & { format?: unknown };
    stream.format = { transform: boom };
    for (const n of range(3)) stream.write({ level: "info", message: `m${n}`, [level]: "info", [message]: `m${n}` });
    stream.format = { transform: () => false };
    stream.write({ level: "info", message: "skipped", [level]: "info", [message]: "skipped" });
    await new Promise<void>((resolve) => stream.end(resolve));
    const stats = conserved(await logger.close());
    assert.equal(stats.logged, 3, "what the format leaves out is no event, what it fails at is one");
    assert.equal(stats.delivered + losses.reduce((sum, { count }) => sum + count, 0), 3);
  });

  it("a duration is no time, and a time before 2000 is none", async () => {
    const { logger, sent } = recorded({ format: RAW });
    const from = Date.now();
    const none = ["12.5", "0", "-1", "1e400", "null", '"12:30"', '"x"', "true", "{}", "946684799999", "86400"];
    const lines = [
      ...none.map((time) => `{"time":${time}}`),
      ...none.map((time) => `{"timestamp":${time}}`),
      '{"time":"1999-12-31T23:59:59Z"}',
    ];
    const stream = logger.stream();
    for (const line of lines) stream.write(`${line}\n`);
    const timed: [line: string, time: number][] = [
      [`{"time":${NOW}}`, NOW],
      [`{"time":"${new Date(NOW).toISOString()}"}`, NOW],
      [`{"timestamp":${NOW + 1}}`, NOW + 1],
      [`{"time":12.5,"timestamp":${NOW + 2}}`, NOW + 2],
      ['{"time":946684800000}', 946_684_800_000],
    ];
    for (const [line] of timed) stream.write(`${line}\n`);
    await new Promise<void>((resolve) => stream.end(resolve));
    await logger.close();
    const at = new Map(sent.map((event) => [event.message, event.timestamp]));
    for (const line of lines) assert.ok((at.get(line) ?? 0) >= from, `${line} at ${at.get(line)}`);
    for (const [line, time] of timed) assert.equal(at.get(line), time, line);
  });

  it("a record's duration stays a field", async () => {
    const { logger, sent } = recorded();
    const from = Date.now();
    const stream = logger.stream();
    stream.write({ level: 30, msg: "m", time: 12.5 });
    await new Promise<void>((resolve) => stream.end(resolve));
    await logger.close();
    assert.ok((sent[0]?.timestamp ?? 0) >= from);
    assert.equal(sent[0]?.message, '{"level":"INFO","message":"m","time":12.5}');
  });
});

// ── Clients and callbacks ───────────────────────────────────────────────────────────────────────────────────────────

describe("a client that is not the SDK's", () => {
  const answers: Record<string, () => unknown> = {
    "undefined, at once": () => undefined,
    "a promise of undefined": async () => undefined,
    null: async () => null,
    "an empty object": async () => ({}),
    "a text": async () => "ok",
    "a number": () => 5,
    false: async () => false,
    // biome-ignore lint/suspicious/noThenProperty: some libraries' promises are such
    "a thenable": () => ({ then: (done: (value: unknown) => void) => done(undefined) }),
    "a frozen answer": async () => Object.freeze({ $metadata: Object.freeze({}) }),
    "an answer that throws when it is read": async () =>
      Object.defineProperty({}, "rejectedLogEventsInfo", { get: boom }),
  };
  for (const [title, send] of Object.entries(answers)) {
    it(`${title}: delivered`, async () => {
      const errors: CloudwatchLoggerError[] = [];
      const logger = new CloudwatchLogger(GROUP, {
        client: { send } as never,
        onError: (error) => void errors.push(error),
        onLoss: () => {},
      });
      for (const n of range(3)) logger.info(`m${n}`);
      const stats = conserved(await logger.flush(3_000));
      await logger.close(0);
      assert.deepEqual([stats.delivered, stats.requests, stats.retries], [3, 1, 0], inspect(errors));
      assert.deepEqual(errors, []);
    });
  }

  it("may keep its input: events are plain, and stay as they are", async () => {
    const inputs: { logEvents: LogEvent[] }[] = [];
    const client = { send: async ({ input }: { input: { logEvents: LogEvent[] } }) => void inputs.push(input) };
    const options = { client: client as never, logStreamName: STREAM, maxBatchEvents: 50, onError: () => {} };
    const logger = new CloudwatchLogger(GROUP, options);
    const expected = range(5_000).map((n) => JSON.stringify({ level: "INFO", message: `m${n} é"\\`, n }));
    for (const n of range(5_000)) logger.info(`m${n} é"\\`, { n });
    await logger.close(3_000);
    const events = inputs.flatMap(({ logEvents }) => logEvents).sort((a, b) => a.timestamp - b.timestamp);
    assert.deepEqual(
      events.map(({ message }) => message),
      expected,
    );
    for (const { logEvents } of inputs) {
      assert.ok(Array.isArray(logEvents));
      assert.deepEqual(Reflect.ownKeys(logEvents[0] ?? {}).sort(), ["message", "timestamp"]);
      assert.deepEqual(structuredClone(logEvents), logEvents);
      assert.deepEqual(JSON.parse(JSON.stringify(logEvents)), logEvents);
    }
  });

  it("may read its input late: the events stay as they were, whatever is logged after them", async () => {
    const inputs: { logEvents: LogEvent[] }[] = [];
    const client = {
      send: async ({ input }: { input: { logEvents: LogEvent[] } }) => {
        inputs.push(input);
        return {};
      },
    };
    const options = { client: client as never, logStreamName: STREAM, maxBatchEvents: 50, format: RAW };
    const logger = new CloudwatchLogger(GROUP, options);
    const logged: string[] = [];
    for (const round of range(10)) {
      for (const n of range(200)) {
        // Of other lengths in each round: what is read from memory that has been used again is torn.
        logged.push(`m${1_000 * round + n} é"\\${"x".repeat(7 * round)}`);
        logger.info(logged.at(-1));
      }
      await logger.flush();
    }
    assert.equal(conserved(await logger.close()).delivered, logged.length);
    const read = inputs.flatMap(({ logEvents }) => logEvents.map(({ message }) => message));
    const idOf = (text: string) => Number(/\d+/.exec(text)?.[0]);
    assert.deepEqual(
      read.sort((a, b) => idOf(a) - idOf(b)),
      logged,
    );
  });

  it("may change what it was given: what is sent again is whole", async () => {
    let tries = 0;
    const sent: string[] = [];
    const client = {
      send: async ({ input }: { input: { logEvents: LogEvent[] } }) => {
        if (tries++ === 0) {
          for (const event of input.logEvents.splice(0, 1)) event.message = "changed";
          throw Object.assign(new Error("once"), { name: "ServiceUnavailableException" });
        }
        sent.push(...input.logEvents.map(({ message }) => message));
      },
    };
    const options = { client: client as never, logStreamName: STREAM, format: RAW, onError: () => {} };
    const logger = new CloudwatchLogger(GROUP, options);
    for (const n of range(3)) logger.info(`m${n}`);
    assert.equal((await logger.close()).delivered, 3);
    assert.deepEqual(sent, ["m0", "m1", "m2"]);
  });
});

describe("a callback that misbehaves", () => {
  const acts: Record<string, (logger: () => CloudwatchLogger) => unknown> = {
    throws: boom,
    rejects: () => Promise.reject(new Error("late")),
    // biome-ignore lint/suspicious/noThenProperty: a bad one
    "gives a thenable that throws": () => ({ then: boom }),
    logs: (logger) => logger().warn("from a callback"),
    "logs worse": (logger) => logger().fatal("from a callback", { a: { b: 1 } }),
    "logs in a while": (logger) => void Promise.resolve().then(() => logger().info("later")),
    flushes: (logger) => logger().flush(10),
    closes: (logger) => logger().close(10),
    "sets the level": (logger) => {
      logger().level = "debug";
    },
    "makes another logger": () => new CloudwatchLogger(GROUP, { client: recorder([]) }).info("another"),
    "prints on a captured console": (logger) => {
      const release = logger().captureConsole();
      console.log("captured");
      release();
    },
  };
  const callbacks = ["onError", "onLoss", "format", "fields", "send", "credentials", "getter", "toJSON"] as const;
  for (const callback of callbacks) {
    it(`${callback}: nothing escapes, nothing is lost without a word, it ends`, async (t) => {
      t.mock.method(console, "log", () => {});
      const escaped: unknown[] = [];
      const listen = (error: unknown) => void escaped.push(error);
      process.on("unhandledRejection", listen);
      t.after(() => process.off("unhandledRejection", listen));
      for (const [act, misbehave] of Object.entries(acts)) {
        // A rejected promise that is a value is the program's own.
        if (act === "rejects" && (callback === "getter" || callback === "toJSON")) continue;
        let calls = 0;
        let logger: CloudwatchLogger;
        const told: Loss[] = [];
        const sent: LogEvent[] = [];
        // What calls itself for ever would be the program's own doing.
        const once = (result?: unknown) => (calls++ < 3 ? (misbehave(() => logger) ?? result) : result);
        let refusals = 2;
        const client = {
          send: async (command: { input: { logEvents?: LogEvent[] } }) => {
            if (callback === "send") await once();
            if (callback === "onError" && refusals-- > 0)
              throw Object.assign(new Error("no"), {
                name: refusals === 1 ? "AccessDeniedException" : "ValidationException",
              });
            sent.push(...(command.input.logEvents ?? []));
            return {};
          },
        };
        const service = callback === "credentials" ? await LocalCloudWatchLogs.start() : undefined;
        const options: CloudwatchLoggerOptions = {
          flushIntervalMs: 5,
          maxQueueBytes: 4_096,
          maxBatchBytes: 1_024,
          maxEventBytes: 512,
          ...(service === undefined && { client: client as never }),
          onError: () => void (callback === "onError" && once()),
          onLoss: (loss) => {
            told.push(loss);
            if (callback === "onLoss") return once() as never;
          },
        };
        if (callback === "format") Object.assign(options, { format: () => once("text") });
        if (callback === "fields") Object.assign(options, { fields: () => once({ a: 1 }) });
        if (callback === "onError") options.onError = () => once() as never;
        if (service !== undefined) {
          const credentials = () => once(Promise.resolve({ accessKeyId: "AKIDTEST", secretAccessKey: "secret" }));
          Object.assign(options, { endpoint: service.endpoint, region: "us-east-1", credentials });
        }
        logger = new CloudwatchLogger(GROUP, options);
        const value =
          callback === "getter"
            ? {
                get value() {
                  return once("got");
                },
              }
            : callback === "toJSON"
              ? { value: { toJSON: () => once("got") } }
              : {};
        logger.stream().write(`${"x".repeat(600)}\n`);
        for (const n of range(40)) {
          logger.info(`m${n}`, value);
          conserved(logger.stats());
        }
        await logger.flush(40);
        conserved(logger.stats());
        await logger.close(300);
        logger.info("late");
        await turn();
        const stats = conserved(await logger.flush());
        assert.equal(stats.pending, 0, `${callback} ${act}`);
        const count = told.filter(({ reason }) => reason !== "closed").reduce((sum, { count }) => sum + count, 0);
        assert.equal(
          count,
          stats.rejected + stats.dropped - stats.droppedReasons.closed,
          `${callback} ${act}: ${inspect(stats)}`,
        );
        if (service === undefined) assert.equal(sent.length, stats.delivered, `${callback} ${act}`);
        await service?.close();
      }
      await turn();
      assert.deepEqual(escaped, []);
    });
  }

  it("onError that logs is called once for each change, not for each of its own events", async () => {
    let heard = 0;
    const logger = new CloudwatchLogger(GROUP, {
      client: {
        send: async () => {
          throw Object.assign(new Error("no"), { name: "AccessDeniedException" });
        },
      },
      flushIntervalMs: 5,
      onError: (error) => {
        heard++;
        logger.warn(error.message, { error });
      },
      onLoss: () => {},
    });
    logger.info("m");
    await until(() => heard > 0);
    await logger.flush(100);
    const { logged } = conserved(logger.stats());
    await logger.close(0);
    assert.deepEqual([heard, logged], [1, 2]);
  });
});

// ── The differential fuzz ───────────────────────────────────────────────────────────────────────────────────────────

describe("the text of every event is what JSON.stringify makes of it", () => {
  const EVENTS = Number(process.env.CWLOGGER_FUZZ_EVENTS ?? 10_000);

  it(`${EVENTS} events of several loggers, many of them logged while another one is being read`, async (t) => {
    const seed = Number(process.env.CWLOGGER_FUZZ_SEED ?? 2_026);
    t.diagnostic(`seed ${seed}`);
    const random = seeded(seed);
    const below = (limit: number) => Math.floor(random() * limit);
    const pick = <T>(values: readonly T[]) => values[below(values.length)] as T;
    const NAMES = [
      "a",
      "b",
      "name",
      "é",
      "",
      "with space",
      'quo"te',
      "back\\slash",
      "__proto__",
      "constructor",
      "toString",
      "1",
      "0",
      "\ud800",
      "😀",
      "\u2028",
      "level",
      "message",
      "error",
    ];
    const STRINGS = [
      "",
      "text",
      '"quoted"',
      "back\\slash",
      "line\nbreak\r\t",
      "\u0000\u0001\u001f\u007f\u0080",
      "é€😀",
      "\ud800",
      "\udc00\ud800",
      "\u2028\u2029",
      "%s %d",
      "x".repeat(50),
      "🚀".repeat(30),
    ];
    const NUMBERS = [
      0,
      -0,
      1,
      -1,
      17,
      0.1,
      0.1 + 0.2,
      1e21,
      -1e-7,
      5e-324,
      2 ** 31,
      2 ** 53,
      Number.MAX_VALUE,
      1.005,
      123456.789,
    ];
    const string = () =>
      random() < 0.1
        ? pick(STRINGS).repeat(below(40))
        : random() < 0.5
          ? pick(STRINGS)
          : String.fromCharCode(...range(below(12)).map(() => below(random() < 0.5 ? 128 : 65_536)));

    interface Target {
      logger: CloudwatchLogger;
      sent: LogEvent[];
      expected: Map<string, string>;
      format: "json" | "text" | "function";
    }
    let events = 0;
    let nesting = 0;
    const makeTarget = (shape: Target["format"], options: CloudwatchLoggerOptions = {}): Target => {
      const sent: LogEvent[] = [];
      const target: Target = { sent, expected: new Map(), format: shape, logger: undefined as never };
      const format = (event: { message: string; level: string; fields: object }) => {
        // A format function may log, too.
        if (nesting < 3 && random() < 0.2) logSome();
        return `${event.level} ${event.message}`;
      };
      const shaped = { json: {}, text: { format: "text" }, function: { format } }[shape];
      target.logger = new CloudwatchLogger(GROUP, {
        client: recorder(sent),
        maxBatchEvents: 100,
        ...shaped,
        ...options,
      });
      return target;
    };
    const targets = [
      makeTarget("json"),
      makeTarget("json", { redact: ["never there", "a.never.there"] }),
      makeTarget("json", { overflow: "split", maxBatchEvents: 7 }),
      makeTarget("text"),
      makeTarget("function"),
    ];

    /** A value that may log when it is read, and the plain data that it stands for. */
    const value = (depth: number): [unknown, unknown] => {
      const kind = below(depth > 3 ? 6 : 14);
      if (kind <= 1) return same(string());
      if (kind === 2) return same(random() < 0.5 ? pick(NUMBERS) : random() * 10 ** below(9));
      if (kind === 3) return same(pick([true, false, null, undefined]));
      if (kind === 4) {
        const date = new Date(NOW + below(1e9));
        return [date, date.toISOString()];
      }
      if (kind === 5)
        return pick<[unknown, unknown]>([
          [Number.NaN, "NaN"],
          [12n ** 20n, String(12n ** 20n)],
          [-Infinity, "-Infinity"],
        ]);
      if (kind <= 8) {
        const items = range(below(5)).map(() => value(depth + 1));
        return [items.map(([item]) => item), items.map(([, plain]) => plain ?? null)];
      }
      if (kind <= 11) return object(depth);
      const [inner, plain] = object(depth + 1);
      if (kind === 12) {
        return [
          {
            toJSON() {
              maybeLog();
              return inner;
            },
          },
          plain,
        ];
      }
      const proxy = new Proxy(inner as object, {
        get: (target, name, receiver) => {
          if (name !== "toJSON" && typeof name === "string" && random() < 0.1) maybeLog();
          return Reflect.get(target, name, receiver);
        },
      });
      return [proxy, plain];
    };
    const object = (depth: number): [Record<string, unknown>, Record<string, unknown>] => {
      const hot: Record<string, unknown> = {};
      const plain: Record<string, unknown> = {};
      for (let count = below(6); count > 0; count--) {
        const name = random() < 0.7 ? pick(NAMES) : string();
        // Where on top of an event such names stand is nobody's promise.
        if (depth === 0 && /^(\d+|level|message|error|part|truncatedBytes)$/.test(name)) continue;
        const [item, plainItem] = value(depth + 1);
        const get = () => {
          maybeLog();
          return item;
        };
        const isGetter = random() < 0.2;
        Object.defineProperty(hot, name, {
          enumerable: true,
          configurable: true,
          ...(isGetter ? { get } : { value: item, writable: true }),
        });
        Object.defineProperty(plain, name, { enumerable: true, configurable: true, writable: true, value: plainItem });
      }
      return [hot, plain];
    };
    const maybeLog = () => {
      if (nesting < 3 && random() < 0.3) logSome();
    };
    const logSome = () => {
      const target = pick(targets);
      const id = `id${events++}`;
      const message = `${id} ${string()}`;
      const [hot, plain] = object(0);
      nesting++;
      target.logger.info(message, hot);
      nesting--;
      target.expected.set(id, expectedText(target.format, message, plain));
    };
    const failures: string[] = [];
    const compare = async () => {
      await Promise.all(targets.map(({ logger }) => logger.flush()));
      for (const { sent, expected, logger } of targets) {
        for (const { message } of sent) {
          const id = /id\d+/.exec(message)?.[0] ?? "";
          const wanted = expected.get(id);
          if (message !== wanted && failures.length < 5) failures.push(`sent ${message}\nnot  ${wanted}`);
          expected.delete(id);
        }
        if (expected.size > 0 && failures.length < 5) failures.push(`never sent: ${[...expected.values()][0]}`);
        const stats = conserved(logger.stats());
        assert.equal(stats.delivered, stats.logged);
        sent.length = 0;
        expected.clear();
      }
      assert.deepEqual(failures, []);
    };
    while (events < EVENTS) {
      for (let round = 0; round < 200; round++) logSome();
      await compare();
    }
    await Promise.all(targets.map(({ logger }) => logger.close()));
  });

  it("any JSON value, as fast-check finds them, in fields and as the object itself", async () => {
    const { logger, sent } = recorded();
    const names = fc.string({ unit: "binary", maxLength: 6 }).filter((name) => !/^(\d+|level|error|part)$/.test(name));
    const object = fc.dictionary(names, fc.jsonValue({ stringUnit: "binary", maxDepth: 4 }), { maxKeys: 6 });
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "binary" }), object, async (message, fields) => {
        sent.length = 0;
        logger.info(message, fields);
        logger.info({ fields });
        await logger.flush();
        assert.deepEqual(
          sent.map(({ message }) => message),
          [expectedText("json", message, fields), JSON.stringify({ level: "INFO", fields })],
        );
      }),
      { numRuns: 150, seed: 11 },
    );
    await logger.close();
  });

  function expectedText(format: "json" | "text" | "function", message: string, plain: Record<string, unknown>): string {
    const wellFormed = Buffer.from(message).toString();
    if (format === "function") return `info ${wellFormed}`;
    if (format === "text") {
      const rest = JSON.stringify(plain);
      return `INFO ${wellFormed}${rest === "{}" ? "" : ` ${rest}`}`;
    }
    const event: Record<string, unknown> = { level: "INFO", message };
    const define = { enumerable: true, configurable: true, writable: true };
    for (const [name, value] of Object.entries(plain)) Object.defineProperty(event, name, { ...define, value });
    return JSON.stringify(event);
  }
});

// ── Cost ────────────────────────────────────────────────────────────────────────────────────────────────────────────

describe("cost: waiting batches", () => {
  /** Of a program: `used()`, the bytes in use when nothing is garbage. */
  const USED = `import { setFlagsFromString } from "node:v8";
    import { runInNewContext } from "node:vm";
    setFlagsFromString("--expose-gc");
    const gc = runInNewContext("gc");
    const used = () => { gc(); gc(); const { heapUsed, external } = process.memoryUsage(); return heapUsed + external; };`;
  // In a process of its own, where the tests' loader does not count.
  const program = `
    const cpu = async (run) => {
      const from = process.cpuUsage();
      await run();
      const { user, system } = process.cpuUsage(from);
      return (user + system) / 1_000;
    };
    const waiting = (count, kind) => {
      let open;
      const gate = new Promise((resolve) => { open = resolve; });
      let isOpen = false;
      const client = { send: async () => { if (!isOpen) await gate; return {}; } };
      const logger = new CloudwatchLogger("${GROUP}", {
        client, logStreamName: "${STREAM}", onError: () => {}, onLoss: () => {}, ...kind.options,
      });
      const stream = logger.stream();
      for (let n = 0; n < count; n++) stream.write('{"time":' + (kind.from + kind.stepMs * (kind.every ? n % 2 : n)) + '}\\n');
      return { logger, release: () => { isOpen = true; open(); } };
    };
    const told = [];
    for (const count of options.counts) {
      const { logger, release } = waiting(count, options);
      const waited = await logger.flush(50);
      const calls = {
        "stats()": await cpu(() => { for (let n = 0; n < 300; n++) logger.stats(); }),
        "info()": await cpu(() => { for (let n = 0; n < 300; n++) logger.info("m", { n }); }),
        "flush()": await cpu(() => { for (let n = 0; n < 300; n++) void logger.flush(1); }),
      };
      let stats;
      const outcomes = await cpu(async () => { release(); stats = await logger.flush(options.limitMs); });
      if (options.limitMs < 1_000) stats = await logger.close(0);
      told.push({ count, waited, calls, outcomes, stats });
      if (stats.pending > 0) break;
    }
    fs.writeSync(1, JSON.stringify(told));
    process.kill(process.pid, "SIGKILL");`;
  const DAY_APART = { options: {}, from: NOW, stepMs: 30 * 3_600_000, every: true };
  const kinds = {
    "one event each": { options: { maxBatchEvents: 1 }, from: NOW, stepMs: 1, counts: [1_000, 1_000, 10_000, 100_000] },
    "one event each, all of one millisecond": {
      options: { maxBatchEvents: 1 },
      from: NOW,
      stepMs: 0,
      counts: [1_000, 1_000, 10_000],
    },
    "times that alternate by more than a day": { ...DAY_APART, counts: [1_000, 1_000, 10_000] },
  };
  for (const [title, kind] of Object.entries(kinds)) {
    it(`outcomes, stats(), calls and flush() cost the same however many wait: ${title}`, async (t) => {
      const { stdout, stderr } = await compiled.start(program, { ...kind, limitMs: 40_000 }).ended;
      const told = JSON.parse(stdout || assert.fail(stderr));
      t.diagnostic(
        told.map((one: { count: number; outcomes: number }) => `${one.count}: ${one.outcomes} ms`).join(", "),
      );
      let last: { calls: Record<string, number>; outcomes: number } | undefined;
      for (const { count, waited, calls, outcomes, stats } of told) {
        assert.equal(conserved(waited).pending, count);
        assert.deepEqual([conserved(stats).pending, stats.delivered], [0, count + 300], JSON.stringify(told));
        for (const [call, ms] of Object.entries(calls as Record<string, number>))
          assert.ok(ms < 30 * (last?.calls[call] ?? ms) + 30, `${call} with ${count} waiting: ${JSON.stringify(told)}`);
        assert.ok(outcomes < 30 * (last?.outcomes ?? outcomes) + 100, JSON.stringify(told));
        last = { calls, outcomes };
      }
      assert.equal(told.length, kind.counts.length);
    });
  }

  it("more batches wait than a call can have arguments: no exception, and the books are right", async () => {
    const { stdout, stderr } = await compiled.start(program, { ...DAY_APART, counts: [130_000], limitMs: 100 }).ended;
    assert.equal(stderr, "");
    const [{ waited, stats }] = JSON.parse(stdout || assert.fail(stderr));
    assert.equal(conserved(waited).pending, 130_000);
    const { delivered, droppedReasons, pending } = conserved(stats);
    assert.deepEqual([delivered + droppedReasons.unsent, pending], [130_300, 0]);
  });

  const smallest: Record<
    string,
    { options: CloudwatchLoggerOptions; line: string; atMostBytes: (full: number) => number }
  > = {
    "the smallest batches": {
      options: { maxBatchBytes: 256 },
      line: `logger.info("x".repeat(256 - 26))`,
      atMostBytes: (full) => 2 * full,
    },
    "one event of a usual size each": {
      options: { maxBatchEvents: 1 },
      line: `logger.info("x".repeat(290 - 26))`,
      atMostBytes: (full) => 2 * full,
    },
    "times that alternate by more than a day": {
      options: {},
      line: `stream.write('{"time":' + (now - (n % 2) * 108e6) + ',"x":"' + "x".repeat(224) + '"}\\n')`,
      atMostBytes: (full) => 2 * full,
    },
    "lines that alternate between two log streams": {
      options: { logStreamName: "s-{date}" },
      line: `stream.write('{"time":' + (now - (n % 2) * 864e5) + ',"x":"' + "x".repeat(224) + '"}\\n')`,
      atMostBytes: (full) => 2 * full,
    },
    "large batches": { options: {}, line: `logger.info("x".repeat(290 - 26))`, atMostBytes: (full) => 2 * full },
    "one character each in a batch of its own": {
      options: { maxBatchEvents: 1 },
      line: `logger.info("x")`,
      atMostBytes: (full) => 2 * full,
    },
  };
  for (const [title, { options, line, atMostBytes }] of Object.entries(smallest)) {
    it(`memory of a full queue, ${title}`, async (t) => {
      const maxQueueBytes = 16 * 1_048_576;
      const program = compiled.start(
        `${USED}
        const client = { send: () => new Promise(() => {}) };
        const logger = new CloudwatchLogger("${GROUP}", { ...options, client, format: "{message}", onLoss: () => {} });
        const stream = logger.stream();
        const now = Date.now();
        const before = used();
        for (let n = 0; logger.stats().dropped === 0; n++) for (let times = 0; times < 100; times++, n++) ${line};
        const kept = used() - before;
        const { pending } = logger.stats();
        fs.writeSync(1, JSON.stringify({ kept, pending }));
        process.kill(process.pid, "SIGKILL");`,
        { ...options, maxQueueBytes },
      );
      const { stdout, stderr } = await program.ended;
      const { kept, pending } = JSON.parse(stdout || assert.fail(stderr));
      t.diagnostic(
        `${(kept / maxQueueBytes).toFixed(2)} × maxQueueBytes, ${Math.round(kept / pending)} bytes an event`,
      );
      assert.ok(pending > 30_000);
      assert.ok(kept <= atMostBytes(maxQueueBytes) + 8 * 1_048_576, `${kept} bytes kept of ${maxQueueBytes}`);
    });
  }

  it("100,000 calls of flush(ms) in an outage cost the same each, and leave nothing behind", async () => {
    const { stdout, stderr } = await compiled.start(
      `${USED}
      const client = { send: () => new Promise(() => {}) };
      const logger = new CloudwatchLogger("${GROUP}", { client, onLoss: () => {}, onError: () => {} });
      logger.info("waiting");
      const rounds = async (count) => {
        const from = process.cpuUsage();
        for (let round = 0; round < count; round++)
          await Promise.all(Array.from({ length: 1_000 }, () => logger.flush(1)));
        const { user, system } = process.cpuUsage(from);
        return (user + system) / 1_000 / count;
      };
      await rounds(2);
      const early = await rounds(5);
      const before = used();
      const late = [];
      for (let done = 0; done < 95; done += 19) late.push(await rounds(19));
      fs.writeSync(1, JSON.stringify({ early, late, kept: used() - before }));
      process.kill(process.pid, "SIGKILL");`,
      {},
    ).ended;
    const { early, late, kept } = JSON.parse(stdout || assert.fail(stderr));
    for (const ms of late) assert.ok(ms < 10 * early + 20, `a thousand calls: ${early} ms at first, then ${late} ms`);
    assert.ok(kept < 40 * MB, `${kept} bytes are kept`);
  });

  it("full batches of other milliseconds fly beside one that overfills several", async () => {
    const inFlight: { first: number; count: number; answer: () => void }[] = [];
    const client = {
      send: ({ input }: { input: { logEvents: LogEvent[] } }) =>
        new Promise((resolve) => {
          const first = input.logEvents[0]?.timestamp ?? 0;
          inFlight.push({ first, count: input.logEvents.length, answer: () => resolve({}) });
        }),
    };
    const logger = new CloudwatchLogger(GROUP, { client: client as never, logStreamName: STREAM, maxBatchEvents: 100 });
    const stream = logger.stream();
    // The first millisecond fills five batches, the others one each; events come as a tight loop makes them.
    for (const n of range(500)) stream.write(`{"time":${NOW},"n":${n}}\n`);
    for (const ms of range(6, 1)) for (const n of range(100)) stream.write(`{"time":${NOW + ms},"n":${n}}\n`);
    void logger.flush();
    await until(() => inFlight.length >= 4, "four requests in flight", 3_000);
    await turn();
    assert.deepEqual(
      inFlight.map(({ first, count }) => [first - NOW, count]),
      [
        [0, 100],
        [1, 100],
        [2, 100],
        [3, 100],
      ],
    );
    // One answer at a time: never two of one millisecond at once, and no seat stays empty while others wait.
    const order: number[] = [];
    while (inFlight.length > 0) {
      const times = inFlight.map(({ first }) => first);
      assert.equal(new Set(times).size, times.length, "one request of a millisecond at once");
      const { first, answer } = inFlight.shift() ?? assert.fail();
      order.push(first - NOW);
      answer();
      const left = 1_100 - 100 * order.length;
      if (left > 0) await until(() => inFlight.length > 0 || logger.stats().pending === 0);
      for (const _ of range(5)) await turn();
    }
    assert.equal(conserved(await logger.close()).delivered, 1_100);
    assert.deepEqual(order.filter((ms) => ms === 0).length, 5);
    assert.equal(order.length, 11);
  });
});

describe("cost: large values", () => {
  it("fields and a message that together make thousands of parts end in no heap and take no seconds", async () => {
    for (const [fieldsBytes, characters] of [
      [1_048_440, 8_000],
      [1_048_448, 32_000],
      [1_048_452, 32_000],
      [524_288, 1_000_000],
    ] as const) {
      const program = compiled.start(
        `const client = { send: async () => ({}) };
        const logger = new CloudwatchLogger("${GROUP}", { client, overflow: "split", onLoss: () => {} });
        logger.info("warm", { pad: "x".repeat(${fieldsBytes}) });
        const from = process.cpuUsage();
        const rss = process.resourceUsage().maxRSS;
        logger.info("x".repeat(${characters}), { pad: "y".repeat(${fieldsBytes}) });
        const { user, system } = process.cpuUsage(from);
        logger.info("behind");
        const stats = await logger.close();
        fs.writeSync(1, JSON.stringify({ ms: (user + system) / 1000, stats, kB: process.resourceUsage().maxRSS - rss }));`,
        {},
        { env: { ...process.env, NODE_OPTIONS: "--max-old-space-size=400" } },
      );
      const { stdout, stderr, code } = await program.ended;
      assert.equal(code, 0, stderr.slice(-2_000));
      const { ms, stats, kB } = JSON.parse(stdout);
      conserved(stats);
      assert.equal(stats.pending, 0);
      assert.ok(stats.delivered >= 2, "its neighbours are delivered");
      // Of the queue's size at most, whatever the product of parts and fields is.
      assert.ok(kB < 400_000, `${kB} kB for ${characters} characters`);
      assert.ok(ms < 3_000, `${ms} ms of processor time for ${characters} characters`);
    }
  });

  it("parts that have room are all there: valid JSON, the same fields, the pieces are the message", async () => {
    const { logger, sent } = recorded({ overflow: "split" });
    const pad = "é".repeat(500_000);
    const message = '"😀\n'.repeat(12_000);
    logger.info(message, { pad });
    const { delivered } = await logger.close();
    const parts = sent.map(({ message }) => JSON.parse(message));
    assert.ok(delivered > 1 && delivered < 20);
    assert.ok(parts.map((part) => part.message).join("") === message);
    for (const [index, { part, pad: padOfPart }] of parts.entries()) {
      assert.deepEqual([part.index, part.count, part.id], [index, delivered, parts[0].part.id]);
      assert.ok(padOfPart === pad);
    }
  });

  for (const format of ["json", "text", "{level} {message} {field}", RAW] as const) {
    for (const overflow of OVERFLOWS) {
      it(`a message and a field of up to the queue's size, ${overflow}: format ${String(format).slice(0, 26)}`, async () => {
        for (const place of ["message", "field"] as const) {
          if (place === "field" && format === RAW) continue;
          const costs: number[] = [];
          for (const size of [3 * MB, 24 * MB]) {
            const { logger, sent } = recorded({ overflow, format });
            const text = "0123456789".repeat(size / 10);
            const log = () => (place === "message" ? logger.info(text, { a: 1 }) : logger.info("m", { field: text }));
            const ms = cpu(() => {
              if (overflow === "error") assert.throws(log, { code: "ERR_OVERSIZE" });
              else log();
            });
            costs.push(ms);
            const stats = conserved(await logger.close());
            const texts = sent.map(({ message }) => message);
            for (const one of texts) assert.ok(Buffer.byteLength(one) + OVERHEAD_BYTES <= 1_048_576);
            if (overflow === "error") assert.equal(stats.droppedReasons.oversize, 1);
            else if (overflow === "truncate") assert.equal(stats.delivered, 1);
            else {
              const isJsonMessage = format === "json" && place === "message";
              const whole = isJsonMessage ? texts.map((one) => JSON.parse(one).message).join("") : texts.join("");
              const wanted = {
                json: place === "message" ? text : `{"level":"INFO","message":"m","field":"${text}"}`,
                text: place === "message" ? `INFO ${text} {"a":1}` : `INFO m {"field":"${text}"}`,
                "{level} {message} {field}": place === "message" ? `INFO ${text}  {"a":1}` : `INFO m ${text}`,
              };
              const expected = typeof format === "string" ? wanted[format] : text;
              assert.ok(whole === expected, `${size} bytes of ${place}: ${whole.length} of ${expected.length} arrived`);
            }
          }
          const [once = 0, eightfold = 0] = costs;
          assert.ok(eightfold < 30 * once + 100, `${place}: ${costs} ms`);
        }
      });
    }
  }

  it("a field and a message of quotes, of control characters, of surrogates: split, nothing is cut", async () => {
    for (const unit of ['"', "\u0001", "😀", "\ud800", "\\"]) {
      const text = unit.repeat((6 * MB) / unit.length);
      const { logger, sent } = recorded({ overflow: "split" });
      logger.info(text);
      await logger.close();
      const pieces = sent.map(({ message }) => JSON.parse(message).message).join("");
      assert.ok(pieces === text, `${JSON.stringify(unit)}: ${pieces.length} of ${text.length}`);
    }
  });

  it("an object of many values is cut nowhere, as a field and as the message, in any format", async () => {
    const values = range(400_000).map((n) => `value ${n}`);
    for (const format of ["json", "text", "{message}{values}"]) {
      for (const log of [
        (logger: CloudwatchLogger) => logger.info("m", { values }),
        (logger: CloudwatchLogger) => logger.info({ message: values }),
        (logger: CloudwatchLogger) => logger.info("m", { map: new Map([["values", values]]) }),
      ]) {
        const { logger, sent } = recorded({ overflow: "split", format });
        log(logger);
        await logger.close();
        const whole = sent.map(({ message }) => JSON.stringify(message)).join("");
        for (const n of [0, 100_000, 300_000, 399_999])
          assert.ok(whole.includes(`value ${n}`), `${format}: value ${n}`);
      }
    }
  });

  // All of it a quarter of what the default for `maxQueueBytes` would stand for.
  const maxQueueBytes = 2 ** 24;
  const huge: Record<string, () => unknown> = {
    "a Buffer of 50 MB": () => Buffer.alloc(50 * MB, "x"),
    "a Uint8Array of 20 MB": () => new Uint8Array(20 * MB),
    "a Float64Array of 12 million": () => new Float64Array(12 * MB),
    "an array of length 4,294,967,295": () => Object.assign([], { length: 2 ** 32 - 1 }),
    "an array of 2,500,000": () => new Array(2.5 * MB).fill(1),
    "an ArrayBuffer of 50 MB": () => new ArrayBuffer(50 * MB),
    "a String object of 20 MB": () => Object("x".repeat(20 * MB)),
    "a Set of 500,000": () => new Set(range(MB / 2)),
  };
  for (const [title, make] of Object.entries(huge)) {
    it(`${title} costs no more than the queue could hold`, async () => {
      // What a plain text of the queue's size costs, on this machine, in this format.
      const plain = recorded({ overflow: "truncate", maxQueueBytes });
      const text = "x".repeat(15 * MB);
      const limit = 30 * cpu(() => plain.logger.info(text)) + 1_000;
      await plain.logger.close();
      const value = make();
      const calls: [CloudwatchLoggerOptions, (logger: CloudwatchLogger) => void][] = [
        [{}, (logger) => logger.info(value)],
        [{}, (logger) => logger.info("m", { value })],
        [{ format: "text" }, (logger) => logger.info(value)],
        [{ redact: ["password"] }, (logger) => logger.info("m", { value })],
      ];
      for (const [options, log] of calls) {
        const { logger } = recorded({ overflow: "truncate", maxQueueBytes, ...options });
        const ms = cpu(() => log(logger));
        const stats = conserved(await logger.close());
        assert.equal(stats.logged, 1);
        assert.ok(ms < limit, `${inspect(options)}: ${ms} ms of processor time, ${limit} ms allowed`);
      }
    });
  }

  it("what is beyond the queue's size is not looked at: thirty times as much of it costs the same", async () => {
    const makes: Record<string, (times: number) => unknown> = {
      "a Buffer": (times) => Buffer.alloc(times * 2 * MB, "x"),
      "a Float64Array": (times) => new Float64Array(times * 500_000),
    };
    for (const [title, make] of Object.entries(makes)) {
      for (const format of ["json", "text"] as const) {
        const [once = 0, often = 0] = [1, 30].map((times) => {
          const { logger } = recorded({ overflow: "truncate", maxQueueBytes: 2 ** 20, format });
          const value = make(times);
          logger.info("warm", { value: 1 });
          return cpu(() => logger.info("m", { value }));
        });
        assert.ok(often < 5 * once + 500, `${title}, ${format}: ${once} ms, thirty times as much: ${often} ms`);
      }
    }
  });

  it("elements are read up to the queue's size, never to the length that an array claims", async () => {
    for (const overflow of OVERFLOWS) {
      for (const redact of [[], ["password"]]) {
        let reads = 0;
        const endless = new Proxy([], {
          get: (target, name) => {
            if (name === "length") return 2 ** 32 - 1;
            if (typeof name === "string" && /^\d+$/.test(name)) {
              reads++;
              return 1;
            }
            return Reflect.get(target, name);
          },
          has: () => true,
        });
        const { logger } = recorded({ overflow, redact, maxQueueBytes: 2 ** 20, maxBatchBytes: 2 ** 18 });
        try {
          logger.info("m", { endless });
        } catch (error) {
          assert.equal((error as { code?: string }).code, "ERR_OVERSIZE");
        }
        const stats = conserved(await logger.close());
        assert.equal(stats.pending, 0);
        assert.ok(reads <= 2 ** 20, `${overflow}: ${reads} elements were read`);
      }
    }
  });

  it("properties are read up to the queue's size, wide and deep, and each once", async () => {
    let reads = 0;
    const bottomless = (): object =>
      new Proxy(
        {},
        {
          ownKeys: () => ["a", "b", "c"],
          getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),
          get: (_, name) => {
            if (typeof name !== "string" || name.length > 1) return undefined;
            reads++;
            return bottomless();
          },
        },
      );
    const { logger } = recorded({ overflow: "truncate", maxQueueBytes: 2 ** 20, maxBatchBytes: 2 ** 18 });
    logger.info("m", { value: bottomless() });
    assert.equal(conserved(await logger.close()).delivered, 1);
    assert.ok(reads <= 2 ** 20, `${reads} properties were read`);
    const wide = recorded();
    let once = 0;
    const value = Object.defineProperties(
      {},
      Object.fromEntries(
        range(20_000).map((n) => [
          `k${n}`,
          {
            enumerable: true,
            get: () => {
              once++;
              return n;
            },
          },
        ]),
      ),
    );
    wide.logger.info("m", { value });
    await wide.logger.close();
    assert.equal(once, 20_000);
  });

  it("depth costs no more than its number, and what is above it is kept", async () => {
    const costs = [1_000, 10_000, 100_000].map((depth) => {
      const { logger } = recorded();
      const value = range(depth).reduce<object>((inner) => ({ inner }), {});
      logger.info("warm", { value: { inner: {} } });
      return cpu(() => logger.info("m", { value, kept: "kept" }));
    });
    const [small = 0, , large = 0] = costs;
    assert.ok(large < 300 * small + 100, `${costs} ms`);
  });
});

// ── What an endpoint and a terminal see ─────────────────────────────────────────────────────────────────────────────

describe("after trouble", () => {
  it("one passing 503 leaves gzip on, and the batch is sent again after a pause", async (t) => {
    const time = new VirtualTime(t, NOW);
    t.mock.method(Math, "random", () => 0.999);
    const service = await LocalCloudWatchLogs.start({ now: () => time.now });
    t.after(() => service.close());
    const logger = new CloudwatchLogger(GROUP, {
      endpoint: service.endpoint,
      region: "us-east-1",
      credentials: { accessKeyId: "AKIDTEST", secretAccessKey: "secret" },
      logStreamName: STREAM,
      compress: true,
      onError: () => {},
    });
    const log = async (n: number) => {
      logger.info(`m${n} ${"x".repeat(5_000)}`);
      await time.passUntil(logger.flush(), "delivery");
    };
    service.createLogStream(GROUP, STREAM);
    await log(0);
    const puts = () => service.requests.filter(({ action }) => action === "PutLogEvents");
    const { length } = puts();
    let refusals = 1;
    service.options.fault = ({ action }) =>
      action === "PutLogEvents" && refusals-- > 0 ? { kind: "status", status: 503 } : undefined;
    logger.fatal(`refused ${"x".repeat(5_000)}`);
    for (let turns = 0; turns < 1_000 && puts().at(-1)?.answer?.status !== 503; turns++) await time.settle();
    for (const _ of range(50)) await turn();
    await time.settle();
    assert.equal(puts().length, length + 1, "no time has passed, so nothing is sent again");
    await time.passUntil(logger.flush(), "the second try");
    for (const n of range(10, 1)) await log(n);
    assert.equal(service.events(GROUP).length, 12);
    assert.deepEqual(
      puts()
        .slice(-5)
        .map(({ encoding }) => encoding),
      ["gzip", "gzip", "gzip", "gzip", "gzip"],
    );
    await time.passUntil(logger.close(), "close()");
  });

  it("throttled once, a lone logger has its event stored within two seconds", async (t) => {
    for (const chance of [0, 0.5, 0.999]) {
      const { time, logger, throttle, sentAt, pass } = await throttled(t, chance);
      throttle(1);
      const from = time.now;
      logger.fatal("m");
      await pass(2_000);
      assert.ok((sentAt.get("m") ?? Number.POSITIVE_INFINITY) - from <= 2_000, `chance ${chance}`);
      await time.passUntil(logger.close(), "close()");
    }
  });

  // A pace of 30 s, which only a long time of throttling brings about, makes pauses of up to 45 s.
  for (const [lastsMs, limitMs] of [
    [1_000, 10_000],
    [10_000, 30_200],
    [300_000, 45_200],
  ] as const) {
    it(`throttled for ${lastsMs / 1_000} s: what an event waits after it is bounded, a minute later the interval holds`, async (t) => {
      for (const chance of [0.1, 0.999]) {
        const { time, logger, throttle, sentAt, pass, lastThrottledAt } = await throttled(t, chance);
        let n = 0;
        const loggedAt = new Map<string, number>();
        const log = async (ms: number) => {
          for (const end = time.now + ms; time.now < end; await pass(100)) {
            const text = `m${n++}`;
            loggedAt.set(text, time.now);
            logger.info(text);
          }
        };
        await log(3_000);
        throttle(Number.POSITIVE_INFINITY);
        await log(lastsMs);
        throttle(0);
        const over = time.now;
        await log(90_000);
        const lastAt = lastThrottledAt();
        await time.passUntil(logger.flush(Number.POSITIVE_INFINITY), "delivery");
        const waits = [...loggedAt].map(([text, at]) => ({ at, ms: (sentAt.get(text) ?? Number.NaN) - at }));
        const late = waits.filter(({ at, ms }) => at >= over && !(ms <= limitMs));
        assert.deepEqual(late.slice(0, 3), [], `chance ${chance}: events that waited too long`);
        const slow = waits.filter(({ at, ms }) => at >= lastAt + 60_000 && at < over + 85_000 && !(ms <= 1_200));
        assert.deepEqual(slow.slice(0, 3), [], `chance ${chance}: events that waited more than the interval`);
        assert.equal(conserved(await time.passUntil(logger.close(), "close()")).delivered, n + 1);
      }
    });
  }

  it("no control character reaches a terminal in the lines of what was not sent", async () => {
    const text = "a\u009b31m\u0090\u001b[2J\u0085\u0000\u007fb\nERROR forged";
    const ends = {
      "process.exit()": "process.exit(0);",
      "close(0)": "await logger.close(0);",
      "an exception": 'setTimeout(() => { throw "thrown"; }); await new Promise(() => {});',
    };
    for (const format of ["{message}", "json", "text"]) {
      for (const [end, program] of Object.entries(ends)) {
        for (const onLoss of ["undefined", "() => {}"]) {
          if (onLoss !== "undefined" && end === "close(0)") continue;
          const { stderr } = await compiled.start(
            `const client = { send: () => new Promise(() => {}) };
            const logger = new CloudwatchLogger("${GROUP}", { ...options, client, onLoss: ${onLoss} });
            logger.info(${JSON.stringify(text)}, { field: ${JSON.stringify(text)} });
            logger.error(Object.assign(new Error("e"), { stack: ${JSON.stringify(text)} }));
            ${program}`,
            { format },
          ).ended;
          assert.match(stderr, /31m/, `${format}, ${end}: the text is there: ${stderr}`);
          // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
          assert.doesNotMatch(stderr, /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/, `${format}, ${end}, ${onLoss}`);
          assert.doesNotMatch(stderr, /^ERROR forged/m);
        }
      }
    }
  });

  it("a refused endpoint is shown, without user and password", () => {
    const refused: [endpoint: string, shown: RegExp][] = [
      ["ftp://host.example/path", /ftp:\/\/host\.example/],
      ["ftp://user:s3cr3t@host.example/path", /host\.example/],
      ["localhost:4566", /localhost:4566/],
      ["127.0.0.1:4566", /127\.0\.0\.1:4566/],
      ["logs.us-east-1.amazonaws.com", /logs\.us-east-1\.amazonaws\.com/],
      ["http//user:s3cr3t@host.example", /host\.example/],
      ["user:s3cr3t@host.example:80", /host\.example/],
      ["http://user:s3cr3t@host.example:99999", /host\.example/],
      ["http://us er:s3cr3t@[bad", /bad/],
      ["//user:s3cr3t@host.example", /host\.example/],
      ["http:\\\\user:s3cr3t@host.example:x", /host\.example/],
      ["ws://s3cr3t@host.example", /host\.example/],
      ["ws://us@er:s3cr3t@host.example", /host\.example/],
    ];
    for (const [endpoint, shown] of refused) {
      assert.throws(
        () => new CloudwatchLogger(GROUP, { endpoint }),
        (error: Error) => {
          assert.match(error.message, /"endpoint"/);
          assert.match(error.message, shown, endpoint);
          assert.ok(!inspect(error, { showHidden: true }).includes("s3cr3t"), inspect(error));
          return true;
        },
      );
    }
  });

  /** A logger in virtual time whose client throttles when it is told to. */
  async function throttled(t: TestContext, chance: number) {
    const time = new VirtualTime(t, NOW);
    t.mock.method(Math, "random", () => chance);
    let refusals = 0;
    let lastAt = 0;
    const sentAt = new Map<string, number>();
    const client = {
      send: async ({ input }: { input: { logEvents: LogEvent[] } }) => {
        if (refusals > 0) {
          refusals--;
          lastAt = time.now;
          throw Object.assign(new Error("Rate exceeded"), { name: "ThrottlingException" });
        }
        for (const { message } of input.logEvents) sentAt.set(message, time.now);
        return {};
      },
    };
    const options = { client: client as never, logStreamName: STREAM, format: RAW, onError: () => {} };
    const logger = new CloudwatchLogger(GROUP, options);
    logger.info("warm");
    await time.passUntil(logger.flush(Number.POSITIVE_INFINITY), "the first delivery");
    const throttle = (count: number) => {
      refusals = count;
    };
    /** Importing the SDK is no request, and takes real time, each time. */
    const pass = async (ms: number) => {
      for (let passed = 0; passed < ms; passed += 100) {
        const { fired } = time;
        await time.pass(100);
        // What sends is a timer, or the logger's own end.
        if (time.fired === fired) continue;
        await import("@aws-sdk/client-cloudwatch-logs");
        for (const _ of range(3)) await turn();
      }
    };
    return { time, logger, throttle, sentAt, pass, lastThrottledAt: () => lastAt };
  }
});

// ── Helpers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A client that takes everything. */
function recorder(sent: LogEvent[]): { send(command: never): Promise<unknown> } {
  return {
    send: async (command) => {
      const { input } = command as { input: { logEvents?: LogEvent[] } };
      sent.push(...(input.logEvents ?? []));
      return {};
    },
  };
}

function recorded(options: CloudwatchLoggerOptions = {}) {
  const sent: LogEvent[] = [];
  const losses: Loss[] = [];
  const logger = new CloudwatchLogger(GROUP, {
    client: recorder(sent),
    onLoss: (loss) => void losses.push(loss),
    ...options,
  });
  return { logger, sent, losses };
}

/** Processor time in ms. */
function cpu(run: () => void): number {
  const from = process.cpuUsage();
  run();
  const { user, system } = process.cpuUsage(from);
  return (user + system) / 1_000;
}

function same(value: unknown): [unknown, unknown] {
  return [value, value];
}

function boom(): never {
  throw new Error("boom");
}
