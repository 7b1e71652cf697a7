/**
 * cwlogger in everyone's stack: the programs of examples/, each run in a process of its own, and the real libraries in
 * this one; the current major of each and the one before it. Everything goes over HTTP to the local service.
 *
 * The programs import a package that is built here, in a temporary folder: other tests may rebuild dist/ meanwhile.
 * The libraries come from examples/node_modules.
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, realpath, rm, symlink } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable, Writable } from "node:stream";
import { finished, pipeline } from "node:stream/promises";
import { after, before, describe, it, type TestContext } from "node:test";
import { setTimeout as later } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { inspect, promisify } from "node:util";
import fc from "fast-check";
import {
  CloudwatchLogger,
  type CloudwatchLoggerError,
  type CloudwatchLoggerOptions,
  type Level,
  type Loss,
} from "../cloudwatch.ts";
import "./libraries.ts";
import { LocalCloudWatchLogs, type LocalCloudWatchLogsOptions, type LocalEvent } from "./local-cloudwatch.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const EXAMPLES = join(ROOT, "examples");
const GROUP = "my-app";
const CREDENTIALS = { accessKeyId: "AKIDTEST", secretAccessKey: "correct-horse" };
const OVERHEAD_BYTES = 26;
/** Nobody listens there. */
const DEAD_ENDPOINT = "http://127.0.0.1:9";
/** No flush by itself: what arrives has been flushed by what is tested. */
const NEVER_MS = 600_000;

/** The name in examples/package.json of each library's current major, and of the one before. */
const EDITIONS = {
  current: { pino: "pino", winston: "winston", bunyan: "bunyan", express: "express", fastify: "fastify" },
  previous: { pino: "pino9", winston: "winston38", bunyan: "bunyan1", express: "express4", fastify: "fastify4" },
} as const;
type Edition = keyof typeof EDITIONS;
type Host = keyof (typeof EDITIONS)["current"];
const BOTH: Edition[] = ["current", "previous"];

fc.configureGlobal({ seed: 2026, numRuns: 60 });

/** Holds the built package, and for each edition a folder with the programs and node_modules. */
let temporary = "";

before(async () => {
  temporary = await realpath(await mkdtemp(join(tmpdir(), "cwlogger-hosts-")));
  await buildPackage();
  for (const edition of BOTH) await makeProject(edition);
});

after(() => rm(temporary, { recursive: true, force: true }));

// ── The programs of examples/ ───────────────────────────────────────────────────────────────────────────────────────

describe("examples", () => {
  for (const edition of BOTH) {
    for (const program of ["pino.mjs", "pino-transport.mjs"]) {
      check(`${program} with ${versionOf(edition, "pino")}`, async (world) => {
        await world.run(edition, [program]);
        const lines = world.json();
        assert.deepEqual(
          lines.map(({ level, msg, orderId, requestId }) => [level, msg, orderId, requestId]),
          [
            [30, "order placed", 17, undefined],
            [40, "stock is low", undefined, "r-1"],
            [50, "cannot charge", undefined, undefined],
          ],
        );
        assert.match(lines[2].err.stack, new RegExp(`^Error: card declined\\n.*${program}`));
        assert.deepEqual(
          world.events().map(({ timestamp }) => timestamp),
          lines.map(({ time }) => time),
        );
      });
    }

    check(`winston.mjs with ${versionOf(edition, "winston")}`, async (world) => {
      await world.run(edition, ["winston.mjs"]);
      const lines = world.json();
      assert.deepEqual(
        lines.map(({ level, message, orderId, requestId }) => [level, message, orderId, requestId]),
        [
          ["info", "order placed", 17, undefined],
          ["warn", "stock is low", undefined, "r-1"],
          ["error", "card declined", undefined, undefined],
        ],
      );
      assert.match(lines[2].stack, /^Error: card declined\n.*winston\.mjs/);
      assert.deepEqual(
        world.events().map(({ timestamp }) => new Date(timestamp).toISOString()),
        lines.map(({ timestamp }) => timestamp),
      );
    });

    check(`bunyan.mjs with ${versionOf(edition, "bunyan")}`, async (world) => {
      await world.run(edition, ["bunyan.mjs"]);
      const lines = world.json();
      const raw = lines.filter(({ name }) => name === "raw");
      const text = lines.filter(({ name }) => name === "text");
      assert.deepEqual(
        raw.map(({ level, message, orderId, requestId }) => [level, message, orderId, requestId]),
        [
          ["INFO", "order placed", 17, undefined],
          ["WARN", "stock is low", undefined, "r-1"],
          ["ERROR", "cannot charge", undefined, undefined],
        ],
      );
      assert.deepEqual(
        text.map(({ level, msg, orderId }) => [level, msg, orderId]),
        [
          [30, "order placed", 17],
          [50, "cannot charge", undefined],
        ],
      );
      assert.equal(lines.length, 5);
      for (const line of [raw[2], text[1]]) assert.match(line.err.stack, /^Error: card declined\n.*bunyan\.mjs/);
      const textEvents = world.events().filter(({ message }) => message.includes('"name":"text"'));
      assert.deepEqual(
        textEvents.map(({ timestamp }) => new Date(timestamp).toISOString()),
        text.map(({ time }) => time),
      );
    });

    check(`express-morgan.mjs with ${versionOf(edition, "express")}`, async (world) => {
      const { code } = await world.run(edition, ["express-morgan.mjs"], {
        onLine: async (url, child) => {
          const ask = (path: string, id: string) =>
            fetch(url + path, { headers: { "x-request-id": id, "user-agent": "hosts", connection: "close" } });
          const answers = await Promise.all([ask("/orders/17", "r-1"), ask("/orders/18", "r-2")]);
          assert.deepEqual(await Promise.all(answers.map((answer) => answer.json())), [{ id: "17" }, { id: "18" }]);
          const failed = await ask("/orders/%E0%A4%A", "r-3");
          assert.equal(failed.status, 500);
          await failed.text();
          child.kill("SIGTERM");
        },
      });
      assert.equal(code, 0);
      const messages = world.messages();
      const accesses = messages.filter((message) => !message.startsWith("{"));
      assert.equal(accesses.length, 3);
      for (const access of accesses) assert.match(access, /^127\.0\.0\.1 - - \[.*\] "GET \/orders\/.* "-" "hosts"$/);
      const events = messages.filter((message) => message.startsWith("{")).map((message) => JSON.parse(message));
      const reads = events.filter(({ message }) => message === "order read");
      assert.deepEqual(reads.map(({ requestId, orderId }) => [requestId, orderId]).sort(), [
        ["r-1", "17"],
        ["r-2", "18"],
      ]);
      const failure = events.find(({ requestId }) => requestId === "r-3");
      assert.equal(failure.level, "ERROR");
      assert.match(failure.error.stack, /^URIError: .*\n +at /);
      assert.equal(events.length, 3);
    });

    check(`fastify.mjs with ${versionOf(edition, "fastify")}`, async (world) => {
      const { code } = await world.run(edition, ["fastify.mjs"], {
        onLine: async (url, child) => {
          const answer = await fetch(`${url}/orders/17`, { headers: { connection: "close" } });
          assert.deepEqual(await answer.json(), { id: "17" });
          child.kill("SIGTERM");
        },
      });
      assert.equal(code, 0);
      const [listening, received, read, completed, ...others] = world.json();
      assert.deepEqual(others, []);
      assert.match(listening.msg, /^Server listening at /);
      assert.deepEqual(
        [received.msg, read.msg, completed.msg],
        ["incoming request", "order read", "request completed"],
      );
      assert.deepEqual([received.reqId, read.reqId, completed.reqId], ["req-1", "req-1", "req-1"]);
      assert.deepEqual([received.req.url, read.orderId, completed.res.statusCode], ["/orders/17", "17", 200]);
    });
  }

  check("console.mjs", async (world) => {
    const { stdout, stderr } = await world.run("current", ["console.mjs"], { prints: true });
    assert.equal(stdout, "order 17 placed by Ada\non the terminal only\n");
    assert.match(stderr, /^\{ message: 'stock is low', article: 4711 \}\nError: card declined\n/);
    const [order, stock, card, ...others] = world.json();
    assert.deepEqual(others, []);
    assert.deepEqual(order, { level: "INFO", message: "order 17 placed by Ada" });
    assert.deepEqual(stock, { level: "WARN", message: "stock is low", article: 4711 });
    assert.deepEqual([card.level, card.message], ["ERROR", "card declined"]);
    assert.match(card.error.stack, /console\.mjs/);
  });

  check("lambda.mjs has delivered everything when its handler returns", async (world) => {
    const { stdout, signal } = await world.run("current", [
      "--input-type=module",
      "-e",
      `import { handler } from "./lambda.mjs";
       const answers = [await handler({ orderId: 17 }, { awsRequestId: "a" }), await handler({}, { awsRequestId: "b" })];
       (await import("node:fs")).writeSync(1, JSON.stringify(answers));
       process.kill(process.pid, "SIGKILL"); // as good as frozen`,
    ]);
    assert.equal(signal, "SIGKILL");
    assert.deepEqual(JSON.parse(stdout), [{ statusCode: 200 }, { statusCode: 500 }]);
    const events = world.json();
    assert.deepEqual(
      events.map(({ level, message, requestId, orderId }) => [level, message, requestId, orderId]),
      [
        ["INFO", "order received", "a", 17],
        ["INFO", "order received", "b", undefined],
        ["ERROR", "there is no order", "b", undefined],
      ],
    );
    assert.match(events[2].error.stack, /lambda\.mjs/);
    for (const event of events) assert.equal(event.function, "checkout");
  });

  check("ecs.mjs sends what is waiting on SIGTERM, which then ends it", async (world) => {
    const { signal } = await world.run("current", ["ecs.mjs"], {
      onLine: (line, child) => {
        assert.equal(line, "working");
        assert.deepEqual(world.events(), []);
        child.kill("SIGTERM");
      },
    });
    assert.equal(signal, "SIGTERM");
    const [started, ...others] = world.json();
    assert.deepEqual(others, []);
    assert.equal(started.message, "worker started");
    assert.equal(typeof started.task, "string");
  });

  check("request-fields.mjs", async (world) => {
    await world.run("current", ["request-fields.mjs"]);
    for (const [requestId, orderId] of [
      ["r-1", 17],
      ["r-2", 18],
    ]) {
      assert.deepEqual(
        world.json().filter((event) => event.requestId === requestId),
        [
          { level: "INFO", message: "request received", requestId },
          { level: "INFO", message: "order read", component: "database", requestId, orderId },
          { level: "INFO", message: "request answered", requestId },
        ],
      );
    }
    assert.equal(world.events().length, 6);
  });

  check("testing-your-app.mjs", async (world) => {
    const { stdout } = await world.run("current", ["--test", "testing-your-app.mjs"]);
    assert.match(stdout, /pass 1\n/);
    assert.match(stdout, /fail 0\n/);
    assert.deepEqual(world.events(), [], "it has a service of its own");
  });

  check("local-service.mjs prints what another program logs", async (world) => {
    const { stdout } = await world.run("current", ["local-service.mjs"], {
      onLine: async (_line, child, output) => {
        await until(() => output.stdout.includes("AWS_SECRET_ACCESS_KEY=local\n"));
        const settings = [...output.stdout.matchAll(/(AWS_\w+)=(\S+)/g)].map((match) => match.slice(1));
        await world.run("current", ["console.mjs"], { env: Object.fromEntries(settings), prints: true });
        await until(() => output.stdout.includes("card declined"));
        child.kill("SIGTERM");
      },
    });
    assert.match(stdout, /^\d{4}-\S+Z my-app \d{23} \{"level":"INFO","message":"order 17 placed by Ada"\}$/m);
    assert.deepEqual(world.events(), [], "it is a service of its own");
  });
});

// ── pino ────────────────────────────────────────────────────────────────────────────────────────────────────────────

for (const edition of BOTH) {
  describe(`${versionOf(edition, "pino")} in process`, () => {
    check("sends each line as it is, at its time, and leaves levels to pino", async (world) => {
      const pino = load(edition, "pino");
      const logger = world.logger({ level: "silent" });
      const lines: string[] = [];
      const copy = { write: (line: string) => lines.push(line.trimEnd()) };
      const log = pino({ level: "trace" }, pino.multistream([copy, logger.stream()].map(at("trace"))));
      for (const level of LEVEL_NAMES) log[level]({ order: { id: 17 }, tags: ["a", "ü🚀"] }, "order %s", "placed");
      log.error(new Error("card declined", { cause: new Error("insufficient funds") }));
      await logger.flush();
      assert.deepEqual(world.messages(), lines);
      const events = world.json();
      assert.deepEqual(
        events.map(({ level }) => level),
        [10, 20, 30, 40, 50, 60, 50],
      );
      assert.deepEqual(events[0].order, { id: 17 });
      assert.deepEqual(events[0].tags, ["a", "ü🚀"]);
      assert.equal(events[0].msg, "order placed");
      assert.match(events[6].err.stack, /card declined.*hosts\.test\.ts.*insufficient funds/s);
      assert.deepEqual(
        world.events().map(({ timestamp }) => timestamp),
        events.map(({ time }) => time),
      );
    });

    check("works as pino(stream), with child loggers and serializers", async (world) => {
      const pino = load(edition, "pino");
      const logger = world.logger();
      const log = pino(logger.stream());
      log.debug("below pino's threshold");
      const child = log.child({ requestId: "r-1" }, { serializers: { user: ({ id }: { id: number }) => id } });
      child.info({ user: { id: 4, password: "secret" } }, "first");
      child.child({ part: "database" }).warn("second");
      await logger.flush();
      const [first, second, ...others] = world.json();
      assert.deepEqual(others, []);
      assert.deepEqual([first.requestId, first.user, first.msg], ["r-1", 4, "first"]);
      assert.deepEqual([second.requestId, second.part, second.level], ["r-1", "database", 40]);
    });

    check("keeps every time that pino can write", async (world) => {
      const pino = load(edition, "pino");
      const now = Date.now();
      const { isoTime, unixTime, epochTime } = pino.stdTimeFunctions;
      let next = now - 10_000;
      const times: [name: string, timestamp: unknown, expected: (time: unknown) => number | undefined][] = [
        ["iso", isoTime, (time) => Date.parse(String(time))],
        ["unix", unixTime, (time) => Number(time) * 1_000],
        ["epoch", epochTime, Number],
        ["own", () => `,"time":${next++}`, Number],
        ["timestamp", () => `,"timestamp":"${new Date(next++).toISOString()}"`, () => undefined],
        ["none", false, () => undefined],
      ];
      for (const [name, timestamp, expected] of times) {
        const logger = world.logger({ logStreamName: name });
        const log = pino({ timestamp }, logger.stream());
        // Several in one tick: each has its own time.
        for (let index = 0; index < 5; index++) log.info({ index }, name);
        await logger.flush();
        const events = world.events(name);
        assert.equal(events.length, 5, name);
        for (const { timestamp, message } of events) {
          const line = JSON.parse(message);
          const wanted = name === "timestamp" ? Date.parse(line.timestamp) : expected(line.time);
          if (wanted !== undefined) assert.equal(timestamp, wanted, `${name}: ${message}`);
          else assert.ok(timestamp >= now && timestamp <= Date.now(), name);
        }
        const indexes = events.map(({ message }) => JSON.parse(message).index);
        assert.deepEqual(indexes, [0, 1, 2, 3, 4], name);
      }
    });

    check("what others write to pino's stream does not get pino's time", async (world) => {
      const pino = load(edition, "pino");
      const logger = world.logger();
      const stream = logger.stream();
      const past = Date.now() - 60_000;
      pino({ timestamp: () => `,"time":${past}` }, stream).info("pino's");
      stream.write(`{"time":${past + 1_000}}\n`);
      stream.write("plain\n");
      await logger.flush();
      const [first, second, third] = world.events();
      assert.deepEqual([first?.timestamp, second?.timestamp], [past, past + 1_000]);
      assert.ok((third?.timestamp ?? 0) > past + 50_000);
    });

    check("multistream: each stream gets its levels", async (world) => {
      const pino = load(edition, "pino");
      const all = world.logger({ logStreamName: "all" });
      const errors = world.logger({ logStreamName: "errors" });
      const streams = [
        { level: "error", stream: errors.stream() },
        { level: "debug", stream: all.stream() },
      ];
      const log = pino({ level: "trace" }, pino.multistream(streams));
      for (const level of LEVEL_NAMES) log[level](level);
      await Promise.all([all.flush(), errors.flush()]);
      const levelsOf = (name: string) => world.json(name).map(({ level }) => level);
      assert.deepEqual(levelsOf("all"), [20, 30, 40, 50, 60]);
      assert.deepEqual(levelsOf("errors"), [50, 60]);
      const dedupe = pino({ level: "trace" }, pino.multistream(streams, { dedupe: true }));
      for (const level of LEVEL_NAMES) dedupe[level](level);
      await Promise.all([all.flush(), errors.flush()]);
      assert.deepEqual(levelsOf("all"), [20, 30, 40, 50, 60, 20, 30, 40]);
      assert.deepEqual(levelsOf("errors"), [50, 60, 50, 60]);
    });

    it("maps levels, custom ones and labels too", (t) => {
      const pino = load(edition, "pino");
      const printed = mockConsole(t);
      const stream = new CloudwatchLogger(null).stream();
      const log = pino({ level: "trace", customLevels: { audit: 35, panic: 90, whisper: 5 } }, stream);
      for (const level of [...LEVEL_NAMES, "audit", "panic"]) log[level](level);
      const labels = pino({ formatters: { level: (level: string) => ({ level }) } }, stream);
      labels.warn("label");
      assert.deepEqual(
        printed.map(({ method, text }) => [JSON.parse(text).msg, method]),
        [
          ["trace", "debug"],
          ["debug", "debug"],
          ["info", "info"],
          ["warn", "warn"],
          ["error", "error"],
          ["fatal", "error"],
          ["audit", "info"],
          ["panic", "error"],
          ["label", "warn"],
        ],
      );
    });

    check("flush(callback) calls back when everything logged before is delivered", async (world) => {
      const log = load(edition, "pino")(world.logger().stream());
      for (let index = 0; index < 1_000; index++) log.info({ index }, "event");
      await new Promise<void>((resolve) => log.flush(resolve));
      assert.deepEqual(
        world.json().map(({ index }) => index),
        Array.from({ length: 1_000 }, (_, index) => index),
      );
    });

    check("stats(), flush() and close() of the logger cover what pino has logged in the same tick", async (world) => {
      const logger = world.logger();
      const log = load(edition, "pino")(logger.stream());
      for (let index = 0; index < 100; index++) log.info({ index }, "event");
      assert.equal(logger.stats().logged, 100);
      assert.equal((await logger.flush()).delivered, 100);
      for (let index = 0; index < 100; index++) log.info({ index }, "event");
      assert.equal((await logger.close()).delivered, 200);
    });

    check("fatal sends at once", async (world) => {
      const logger = world.logger();
      const log = load(edition, "pino")(logger.stream());
      log.info("before");
      log.fatal("out of memory");
      await until(() => world.events().length === 2);
    });

    check("what is logged right before process.exit() is on stderr, every line", async (world) => {
      const program = `
        import { CloudwatchLogger } from "cwlogger";
        import pino from "pino";
        const log = pino(new CloudwatchLogger("my-app").stream());
        for (const id of [1, 2, 3]) log.info({ id }, "last words");
        process.exit(3);`;
      const { code, stderr } = await world.run(edition, [write(edition, program)], { prints: true });
      assert.equal(code, 3);
      const lines = stderr.split("\n").filter((line) => line.startsWith("{"));
      assert.deepEqual(
        lines.map((line) => JSON.parse(JSON.parse(line).message).id),
        [1, 2, 3],
      );
    });

    check("an uncaught exception loses nothing silently", async (world) => {
      const program = `
        import { CloudwatchLogger } from "cwlogger";
        import pino from "pino";
        const log = pino(new CloudwatchLogger("my-app").stream());
        for (const id of [1, 2, 3]) log.info({ id }, "last words");
        throw new Error("crash");`;
      const { code, stderr } = await world.run(edition, [write(edition, program)], { prints: true });
      assert.equal(code, 1);
      assert.match(stderr, /Error: crash/);
      assert.deepEqual(stderr.match(/last words/g)?.length, 3);
    });

    check("redact holds in pino's lines", async (world) => {
      const logger = world.logger({ redact: ["password", "req.headers.*"] });
      const log = load(edition, "pino")(logger.stream());
      const user = { name: "Ada", password: "secret" };
      log.info({ user, users: [user], req: { headers: { cookie: "secret" } } }, "in");
      await logger.flush();
      const [line] = world.json();
      const hidden = { name: "Ada", password: "[redacted]" };
      assert.deepEqual([line.user, line.users], [hidden, [hidden]]);
      assert.deepEqual(line.req, { headers: { cookie: "[redacted]" } });
      assert.equal(user.password, "secret");
    });
  });
}

// What takes its seconds without doing much runs beside the others.
describe("pino transport", { concurrency: 3 }, () => {
  // Each takes the 8 s of closeTimeoutMs, so all at once.
  describe("without a service", { concurrency: true }, () => {
    for (const edition of BOTH) {
      for (const [what, endpoint] of [
        ["an endpoint that is dead", DEAD_ENDPOINT],
        ["an endpoint that never answers", undefined],
      ] as const) {
        check(
          `${versionOf(edition, "pino")} ends within its 10 s with ${what}, and nothing disappears silently`,
          async (world) => {
            if (endpoint === undefined) world.service.options.fault = () => ({ kind: "hang" });
            const env: Record<string, string> = endpoint === undefined ? {} : { AWS_ENDPOINT_URL: endpoint };
            const result = await world.run(edition, ["pino-transport.mjs"], { env, prints: true });
            assert.equal(result.code, 0, inspect(result));
            assert.doesNotMatch(
              result.stderr,
              /end\(\) took too long/,
              "what pino says when it had to kill its worker",
            );
            for (const msg of ["order placed", "stock is low", "cannot charge"]) {
              assert.match(result.stderr, new RegExp(`"timestamp":.*${msg}`));
            }
          },
        );
      }
    }
  });

  for (const edition of BOTH) {
    describe(versionOf(edition, "pino"), () => {
      check("60,000 lines through a small queue and a slow service: none is lost, all are in order", async (world) => {
        world.service.options.delayMs = 20;
        const program = `
        import pino from "pino";
        const options = { logGroupName: "my-app", maxQueueBytes: 2 ** 20, maxBatchBytes: 2 ** 18 };
        const log = pino(pino.transport({ target: "cwlogger", options }));
        for (let index = 0; index < 60_000; index++) log.info({ index }, "event");`;
        await world.run(edition, [write(edition, program)], { env: { NODE_OPTIONS: "--no-warnings" } });
        const events = world.events();
        assert.equal(events.length, 60_000);
        const wrong = events.findIndex(({ message }, index) => !message.includes(`"index":${index},`));
        assert.equal(wrong, -1, events[wrong]?.message ?? "");
      });

      check("ends with process.exit() as pino's own transports do", async (world) => {
        const program = `
        import pino from "pino";
        const transport = pino.transport({ target: "cwlogger", options: { logGroupName: "my-app" } });
        const log = pino(transport);
        await new Promise((resolve) => transport.once("ready", resolve));
        for (const id of [1, 2, 3]) log.info({ id }, "last words");
        process.exit(0);`;
        await world.run(edition, [write(edition, program)]);
        assert.deepEqual(
          world.json().map(({ id }) => id),
          [1, 2, 3],
        );
      });

      check("one of several targets, with a level", async (world) => {
        const program = `
        import pino from "pino";
        const log = pino(pino.transport({ targets: [
          { target: "cwlogger", level: "warn", options: { logGroupName: "my-app" } },
          { target: "pino/file", level: "info" },
        ] }));
        log.info("one"); log.warn("two"); log.error("three");`;
        const { stdout } = await world.run(edition, [write(edition, program)]);
        assert.deepEqual(
          world.json().map(({ msg }) => msg),
          ["two", "three"],
        );
        assert.equal(stdout.trim().split("\n").length, 3);
      });

      check("the end of a pipeline", async (world) => {
        const transform = write(
          edition,
          `import { Transform } from "node:stream";
         const transform = (chunk, _encoding, callback) => callback(null, String(chunk).replaceAll("event", "EVENT"));
         export default () => new Transform({ transform });`,
        );
        const program = `
        import pino from "pino";
        const target = new URL("./${transform}", import.meta.url).href;
        const options = { logGroupName: "my-app" };
        const log = pino(pino.transport({ pipeline: [{ target }, { target: "cwlogger", options }] }));
        for (let index = 0; index < 1_000; index++) log.info({ index }, "event");`;
        await world.run(edition, [write(edition, program)]);
        assert.deepEqual(
          world.json().map(({ index, msg }) => [index, msg]),
          Array.from({ length: 1_000 }, (_, index) => [index, "EVENT"]),
        );
      });

      check("takes every option that can be cloned", async (world) => {
        const program = `
        import pino from "pino";
        const log = pino(pino.transport({ target: "cwlogger", options: {
          logGroupName: "my-app", logStreamName: "{program}-{date}", region: "us-east-1", level: "error",
          endpoint: process.env.AWS_ENDPOINT_URL, credentials: { accessKeyId: "a", secretAccessKey: "b" },
          tags: { team: "shop" }, retentionInDays: 7, redact: ["password"], compress: true, overflow: "truncate",
          maxEventBytes: 256, flushIntervalMs: 50, closeTimeoutMs: 5_000, createLogGroup: true, fields: { a: 1 },
        } }));
        log.info({ password: "secret" }, "order placed");
        log.info("long ".repeat(100));`;
        await world.run(edition, [write(edition, program)]);
        const [group] = world.service.logGroups();
        assert.deepEqual([group?.retentionInDays, group?.tags], [7, { team: "shop" }]);
        assert.match(group?.logStreams[0] ?? "", /-\d{4}-\d\d-\d\d$/);
        const [order, long, ...others] = world.messages();
        assert.deepEqual(others, []);
        assert.equal(JSON.parse(order ?? "").password, "[redacted]");
        assert.equal(Buffer.byteLength(long ?? "") + OVERHEAD_BYTES, 256);
      });

      check("a wrong option is told to the program", async (world) => {
        const program = `
        import pino from "pino";
        const transport = pino.transport({ target: "cwlogger", options: { logGroupName: "a b" } });
        transport.on("error", (error) => console.log(error.message));`;
        const { stdout } = await world.run(edition, [write(edition, program)]);
        assert.match(stdout, /"logGroupName" must be 1 to 512 characters .*, received ["']a b["']/);
      });
    });
  }
});

// ── winston ─────────────────────────────────────────────────────────────────────────────────────────────────────────

for (const edition of BOTH) {
  describe(versionOf(edition, "winston"), () => {
    check("format.json: fields stay fields, at the time of the record", async (world) => {
      const { createLogger, format } = load(edition, "winston");
      const logger = world.logger({ level: "silent" });
      const log = createLogger({
        level: "silly",
        format: format.combine(format.errors({ stack: true }), format.timestamp(), format.json()),
        defaultMeta: { service: "checkout" },
        transports: [logger.stream()],
      });
      for (const level of WINSTON_LEVELS) log[level](`at ${level}`, { order: { id: 17 }, tags: ["ü🚀"] });
      log.error(new Error("card declined"));
      await logger.flush();
      const events = world.json();
      assert.deepEqual(
        events.map(({ level }) => level),
        [...WINSTON_LEVELS, "error"],
      );
      for (const event of events.slice(0, -1)) {
        assert.deepEqual([event.order, event.tags, event.service], [{ id: 17 }, ["ü🚀"], "checkout"]);
        assert.equal(event.message, `at ${event.level}`);
      }
      assert.match(events.at(-1).stack, /^Error: card declined\n.*hosts\.test\.ts/);
      assert.deepEqual(
        world.events().map(({ timestamp }) => new Date(timestamp).toISOString()),
        events.map(({ timestamp }) => timestamp),
      );
    });

    check("the time is that of the record, however late the record comes", async (world) => {
      const { createLogger, format } = load(edition, "winston");
      const logger = world.logger();
      const past = new Date(Date.now() - 3_600_000);
      const old = format((record: object) => Object.assign(record, { timestamp: past.toISOString() }));
      const log = createLogger({ format: format.combine(old(), format.json()), transports: [logger.stream()] });
      log.info("late");
      await logger.flush();
      assert.equal(world.events()[0]?.timestamp, past.getTime());
    });

    check("format.simple and format.printf are sent as text", async (world) => {
      const { createLogger, format } = load(edition, "winston");
      const logger = world.logger();
      const simple = createLogger({ format: format.simple(), transports: [logger.stream()] });
      simple.warn("stock is low", { left: 3 });
      const printf = format.printf(
        ({ level, message }: Record<string, string>) => `<${level}> ${message}\nsecond line`,
      );
      createLogger({ format: printf, transports: [logger.stream()] }).info("order placed");
      await logger.flush();
      assert.deepEqual(world.messages(), ['warn: stock is low {"left":3}', "<info> order placed\nsecond line"]);
    });

    check("level, silent and format of the transport", async (world) => {
      world.expectsTrouble = true;
      const { createLogger, format } = load(edition, "winston");
      const logger = world.logger();
      const upper = format((record: { message: string }) =>
        Object.assign(record, { message: record.message.toUpperCase() }),
      );
      const none = format(() => false);
      const fails = format(() => {
        throw new Error("format failed");
      });
      const transport = (options: object) => Object.assign(logger.stream(), options);
      const errors = transport({ level: "error", format: format.printf(() => "errors") });
      const silent = transport({ silent: true });
      const own = transport({ format: format.combine(upper(), format.simple()) });
      const skipped = transport({ format: none() });
      const broken = transport({ format: fails() });
      const verbose = transport({ level: "verbose", format: format.printf(() => "verbose") });
      const log = createLogger({ format: format.json(), transports: [errors, silent, own, skipped, broken, verbose] });
      log.info("first");
      log.error("second");
      log.verbose("winston's own level does not hold where the transport has one");
      log.add(logger.stream());
      log.info("third");
      await logger.flush();
      assert.deepEqual(
        world.messages().sort(),
        [
          "errors",
          "error: SECOND",
          "info: FIRST",
          "info: THIRD",
          "verbose",
          "verbose",
          "verbose",
          "verbose",
          '{"level":"info","message":"third"}',
          // What a format that fails leaves is sent as it was.
          '{"level":"info","message":"first"}',
          '{"level":"error","message":"second"}',
          '{"level":"info","message":"third"}',
        ].sort(),
      );
    });

    check("follows the level of winston's logger while it has none of its own", async (world) => {
      const { createLogger, format } = load(edition, "winston");
      const logger = world.logger();
      const log = createLogger({ format: format.simple(), transports: [logger.stream()] });
      log.debug("no");
      log.level = "debug";
      log.debug("yes");
      log.level = "error";
      log.warn("no");
      await logger.flush();
      assert.deepEqual(world.messages(), ["debug: yes"]);
    });

    check("custom levels", async (world) => {
      const { createLogger, format, config } = load(edition, "winston");
      const logger = world.logger();
      const levels = { panic: 0, oops: 1, notable: 2, noise: 3 };
      const stream = Object.assign(logger.stream(), { level: "notable" });
      const log = createLogger({ levels, level: "noise", format: format.simple(), transports: [stream] });
      for (const level of Object.keys(levels)) log[level]("m");
      const syslog = createLogger({
        levels: config.syslog.levels,
        format: format.simple(),
        transports: [logger.stream()],
      });
      syslog.emerg("m");
      syslog.debug("m");
      await logger.flush();
      assert.deepEqual(world.messages(), ["panic: m", "oops: m", "notable: m", "emerg: m"]);
    });

    it("maps levels", (t) => {
      const { createLogger, format } = load(edition, "winston");
      const printed = mockConsole(t);
      const transports = [new CloudwatchLogger(null).stream()];
      const log = createLogger({ level: "silly", format: format.json(), transports });
      for (const level of WINSTON_LEVELS) log[level](level);
      assert.deepEqual(
        printed.map(({ method, text }) => [JSON.parse(text).level, method]),
        [
          ["error", "error"],
          ["warn", "warn"],
          ["info", "info"],
          ["http", "info"],
          ["verbose", "debug"],
          ["debug", "debug"],
          ["silly", "debug"],
        ],
      );
    });

    check("logger.end() finishes after delivery", async (world) => {
      const { createLogger, format } = load(edition, "winston");
      world.service.options.delayMs = 50;
      const logger = world.logger();
      const log = createLogger({ format: format.json(), transports: [logger.stream()] });
      for (let index = 0; index < 500; index++) log.info("event", { index });
      log.end();
      await once(log, "finish");
      assert.deepEqual(
        world.json().map(({ index }) => index),
        Array.from({ length: 500 }, (_, index) => index),
      );
      logger.info("the logger is still open");
      assert.equal((await logger.flush()).delivered, 501);
    });

    check("exceptionHandlers take it too", async (world) => {
      const program = `
        import { CloudwatchLogger } from "cwlogger";
        import winston from "winston";
        const logger = new CloudwatchLogger("my-app", { flushIntervalMs: 600_000 });
        const exceptionHandlers = [logger.stream()];
        winston.createLogger({ format: winston.format.json(), transports: [], exceptionHandlers, exitOnError: false });
        setImmediate(() => { throw new Error("survived"); });`;
      const { code } = await world.run(edition, [write(edition, program)]);
      assert.equal(code, 0);
      assert.deepEqual(
        world.json().map(({ message }) => message.split("\n")[0]),
        ["uncaughtException: survived"],
      );
    });

    check(
      "never emits an error, and does not stall the other transports, while the endpoint is dead",
      async (world) => {
        const { createLogger, format } = load(edition, "winston");
        world.expectsTrouble = true;
        const logger = world.logger({ endpoint: DEAD_ENDPOINT, maxQueueBytes: 4_096, maxBatchBytes: 1_024 });
        const stream = logger.stream();
        const errors: unknown[] = [];
        const seen: number[] = [];
        const other = new Writable({
          objectMode: true,
          write({ index }: { index: number }, _encoding, callback) {
            seen.push(index);
            callback();
          },
        });
        const transports = [stream, Object.assign(other, { log: () => {} })];
        const log = createLogger({ format: format.json(), transports });
        log.on("error", (error: unknown) => errors.push(error));
        stream.prependListener("error", (error) => errors.push(error));
        for (let index = 0; index < 5_000; index++) log.info("event", { index });
        await until(() => seen.length === 5_000);
        stream.destroy();
        log.info("after");
        stream.end();
        await logger.close(0);
        log.info("after");
        await later(0);
        assert.deepEqual(errors, []);
        const { logged, dropped } = logger.stats();
        assert.equal(logged, dropped);
        assert.ok(logged >= 5_000, String(logged));
      },
    );

    check("remove() keeps what was logged and takes no more", async (world) => {
      const { createLogger, format } = load(edition, "winston");
      const logger = world.logger();
      const stream = logger.stream();
      const rest = new Writable({ objectMode: true, write: (_record, _encoding, callback) => callback() });
      const log = createLogger({
        format: format.simple(),
        transports: [stream, Object.assign(rest, { log: () => {} })],
      });
      log.info("before");
      log.remove(stream);
      log.info("after");
      await logger.flush();
      assert.deepEqual(world.messages(), ["info: before"]);
    });

    check("emits 'logged' for each record", async (world) => {
      const { createLogger, format } = load(edition, "winston");
      const stream = world.logger().stream();
      const logged: unknown[] = [];
      stream.on("logged", ({ message }) => logged.push(message));
      const log = createLogger({ format: format.json(), transports: [stream] });
      log.info("one");
      log.info("two");
      log.end();
      await once(log, "finish");
      assert.deepEqual(logged, ["one", "two"]);
    });

    check("redact holds in winston's text, and the record stays as it was", async (world) => {
      const { createLogger, format } = load(edition, "winston");
      const logger = world.logger({ redact: ["password"] });
      const log = createLogger({ format: format.json(), transports: [logger.stream()] });
      const user = { name: "Ada", password: "secret" };
      log.info("in", { user, users: [user] });
      await logger.flush();
      const hidden = { name: "Ada", password: "[redacted]" };
      assert.deepEqual([world.json()[0].user, world.json()[0].users], [hidden, [hidden]]);
      assert.equal(user.password, "secret");
    });
  });
}

// winston waits 3 s before it ends the process, so both at once.
describe("winston with handleExceptions", { concurrency: true }, () => {
  for (const edition of BOTH) {
    check(`${versionOf(edition, "winston")}: an exception is delivered before the process ends`, async (world) => {
      const program = `
        import { CloudwatchLogger } from "cwlogger";
        import winston from "winston";
        const logger = new CloudwatchLogger("my-app", { flushIntervalMs: 600_000 });
        const transports = [Object.assign(logger.stream(), { handleExceptions: true })];
        const log = winston.createLogger({ format: winston.format.json(), transports });
        log.info("before");
        setImmediate(() => { throw new Error("crash"); });`;
      const { code } = await world.run(edition, [write(edition, program)]);
      assert.equal(code, 1);
      const [first, crash, ...others] = world.json();
      assert.deepEqual(others, []);
      assert.equal(first.message, "before");
      assert.equal(crash.exception, true);
      assert.match(crash.stack, /^Error: crash\n/);
    });
  }
});

// ── bunyan ──────────────────────────────────────────────────────────────────────────────────────────────────────────

for (const edition of BOTH) {
  describe(versionOf(edition, "bunyan"), () => {
    check("raw records: formatted by the logger, at their time, not mutated", async (world) => {
      const bunyan = load(edition, "bunyan");
      const logger = world.logger({ level: "silent", fields: { region: "eu" } });
      const before: object[] = [];
      const records: Library[] = [];
      const recorder = {
        write(record: object) {
          records.push(record);
          before.push(structuredClone(record));
        },
      };
      const stream = logger.stream();
      const log = bunyan.createLogger({
        name: "shop",
        level: "trace",
        serializers: bunyan.stdSerializers,
        streams: [recorder, stream].map((stream) => ({ type: "raw", level: "trace", stream })),
      });
      for (const level of LEVEL_NAMES) log[level]({ order: { id: 17 } }, "order %s", "placed");
      log.child({ requestId: "r-1" }).error(new Error("card declined"));
      await logger.flush();
      assert.deepEqual(records as unknown, before);
      assert.deepEqual(
        world.events().map(({ timestamp }) => timestamp),
        records.map(({ time }) => time.getTime()),
      );
      const events = world.json();
      assert.deepEqual(
        events.map(({ level }) => level),
        ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL", "ERROR"],
      );
      const { hostname, pid } = records[0];
      const fields = { region: "eu", name: "shop", hostname, pid, order: { id: 17 }, v: 0 };
      assert.deepEqual(events[0], { level: "TRACE", message: "order placed", ...fields });
      const { err, message, requestId } = events[6];
      assert.deepEqual([message, requestId, err.name, err.message], ["card declined", "r-1", "Error", "card declined"]);
      assert.match(err.stack, /hosts\.test\.ts/);
    });

    check("raw records keep a time of the past, and take any format", async (world) => {
      const bunyan = load(edition, "bunyan");
      const logger = world.logger({ format: "{level} [{orderId}] {message}" });
      const log = bunyan.createLogger({ name: "shop", streams: [{ type: "raw", stream: logger.stream() }] });
      const time = new Date(Date.now() - 3_600_000);
      log.warn({ orderId: 17, time }, "late");
      await logger.flush();
      assert.equal(world.events()[0]?.timestamp, time.getTime());
      assert.match(world.messages()[0] ?? "", /^WARN \[17\] late \{"name":"shop",/);
    });

    check("JSON lines: sent as they are, at their time", async (world) => {
      const bunyan = load(edition, "bunyan");
      const logger = world.logger();
      const lines: string[] = [];
      const log = bunyan.createLogger({
        name: "shop",
        serializers: bunyan.stdSerializers,
        streams: [{ stream: { write: (line: string) => lines.push(line.trimEnd()) } }, { stream: logger.stream() }],
      });
      const time = new Date(Date.now() - 3_600_000);
      log.info({ orderId: 17, time }, "ü🚀");
      log.error(new Error("card declined"));
      await logger.flush();
      assert.deepEqual(world.messages(), lines);
      assert.deepEqual(
        world.events().map(({ timestamp }) => timestamp),
        world.json().map(({ time }) => Date.parse(time)),
      );
      assert.equal(world.events()[0]?.timestamp, time.getTime());
      assert.match(world.json()[1].err.stack, /hosts\.test\.ts/);
    });

    check("flush covers everything logged in the same tick", async (world) => {
      const bunyan = load(edition, "bunyan");
      const logger = world.logger();
      const streams = [{ stream: logger.stream() }, { type: "raw", stream: logger.stream() }];
      const log = bunyan.createLogger({ name: "shop", streams });
      for (let index = 0; index < 100; index++) log.info({ index }, "event");
      assert.equal((await logger.flush()).delivered, 200);
    });

    check("redact holds in raw records and lines, and mutates neither", async (world) => {
      const bunyan = load(edition, "bunyan");
      const logger = world.logger({ redact: ["password"] });
      const streams = [{ stream: logger.stream() }, { type: "raw", stream: logger.stream() }];
      const log = bunyan.createLogger({ name: "shop", streams });
      const user = { name: "Ada", password: "secret" };
      log.info({ user, users: [user] }, "in");
      await logger.flush();
      const hidden = { name: "Ada", password: "[redacted]" };
      const events = world.json();
      assert.equal(events.length, 2);
      for (const event of events) assert.deepEqual([event.user, event.users], [hidden, [hidden]]);
      assert.equal(user.password, "secret");
    });
  });
}

// ── Servers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

for (const edition of BOTH) {
  describe(`morgan on ${versionOf(edition, "express")}`, () => {
    check("its lines and its objects, and the fields of each request", async (world) => {
      const express = load(edition, "express");
      const morgan = requireExample("morgan");
      const logger = world.logger();
      const stream = logger.stream();
      const app = express();
      app.use(morgan("tiny", { stream }));
      app.use(
        morgan(
          (tokens: Library, request: object, response: object) => ({
            level: "warn",
            msg: "request",
            url: tokens.url(request, response),
            status: Number(tokens.status(request, response)),
          }),
          { stream },
        ),
      );
      app.use((request: Library, _response: unknown, next: () => void) =>
        logger.withFields({ requestId: request.get("x-request-id") }, next),
      );
      app.get("/:id", async (request: Library, response: Library) => {
        await later(request.params.id % 3);
        logger.info("read", { id: request.params.id });
        response.send("ok");
      });
      await serve(app, async (url) => {
        const ids = Array.from({ length: 20 }, (_, index) => String(index));
        await Promise.all(
          ids.map(async (id) => {
            const answer = await fetch(`${url}/${id}`, { headers: { "x-request-id": id, connection: "close" } });
            assert.equal(await answer.text(), "ok");
          }),
        );
      });
      await logger.flush();
      const messages = world.messages();
      assert.equal(messages.filter((message) => /^GET \/\d+ 200 2 - [\d.]+ ms$/.test(message)).length, 20);
      const events = messages.filter((message) => message.startsWith("{")).map((message) => JSON.parse(message));
      const reads = events.filter(({ message }) => message === "read");
      assert.equal(reads.length, 20);
      for (const { id, requestId } of reads) assert.equal(requestId, id);
      const accesses = events.filter(({ message }) => message === "request");
      assert.equal(accesses.length, 20);
      for (const { level, status } of accesses) assert.deepEqual([level, status], ["WARN", 200]);
      assert.equal(new Set(accesses.map(({ url }) => url)).size, 20);
    });
  });

  describe(versionOf(edition, "fastify"), () => {
    check("its own pino: requests, children, errors", async (world) => {
      const fastify = load(edition, "fastify");
      const logger = world.logger();
      const app = fastify({ logger: { level: "info", stream: logger.stream() } });
      app.get("/ok", async (request: Library) => {
        request.log.info({ orderId: 17 }, "order read");
        return "ok";
      });
      app.get("/fails", async () => {
        throw new Error("card declined");
      });
      assert.equal((await app.inject("/ok")).statusCode, 200);
      assert.equal((await app.inject("/fails")).statusCode, 500);
      await app.close();
      await logger.flush();
      const events = world.json();
      const ok = events.filter(({ reqId }) => reqId === "req-1");
      const fails = events.filter(({ reqId }) => reqId === "req-2");
      assert.equal(events.length, ok.length + fails.length);
      assert.deepEqual(
        ok.map(({ msg }) => msg),
        ["incoming request", "order read", "request completed"],
      );
      assert.deepEqual([ok[0].req.method, ok[1].orderId, ok[2].res.statusCode], ["GET", 17, 200]);
      const failure = fails.find(({ level }) => level === 50);
      assert.match(failure.err.stack, /^Error: card declined\n.*hosts\.test\.ts/);
      assert.deepEqual(
        world.events().map(({ timestamp }) => timestamp),
        events.map(({ time }) => time),
      );
    });
  });
}

// ── pipe ────────────────────────────────────────────────────────────────────────────────────────────────────────────

describe("source.pipe(logger.stream())", () => {
  const text = fc.oneof(
    fc.string({ unit: "grapheme", maxLength: 12 }),
    fc.constantFrom("", " ", "\t", "\r", "é", "🚀🚀", "{", "a\rb", "\u2028", "plain"),
  );
  const separators = fc.constantFrom("\n", "\r\n");
  const input = fc.record({
    lines: fc.array(fc.tuple(text, separators), { maxLength: 20 }),
    last: text,
    cuts: fc.array(fc.nat(400), { maxLength: 30 }),
  });

  for (const [name, slice] of [
    ["bytes cut anywhere", (text: string) => Buffer.from(text)],
    ["strings cut anywhere, inside surrogate pairs too", (text: string) => text],
  ] as const) {
    check(`${name}: the lines of the text`, async (world) => {
      let run = 0;
      const property = fc.asyncProperty(input, async ({ lines, last, cuts }) => {
        const logStreamName = `run-${run++}`;
        const whole = lines.map(([line, separator]) => line.replaceAll("\n", "") + separator).join("") + last;
        const logger = world.logger({ logStreamName });
        const source = Readable.from(cutAt(slice(whole), cuts), { objectMode: true });
        await finished(source.pipe(logger.stream()));
        assert.deepEqual(
          world.events(logStreamName).map(({ message }) => message),
          linesOf(whole),
        );
        await logger.close();
      });
      await fc.assert(property);
      assert.equal(run, 60);
    });
  }

  check("each JSON line has its own time; a line that is none has that of its arrival", async (world) => {
    const logger = world.logger();
    const now = Date.now();
    const at = (ms: number) => now - 60_000 + ms;
    const lines: [line: string, expected: number | undefined][] = [
      [JSON.stringify({ time: at(0) }), at(0)],
      [JSON.stringify({ time: new Date(at(1)).toISOString() }), at(1)],
      [JSON.stringify({ timestamp: at(2) }), at(2)],
      [JSON.stringify({ timestamp: new Date(at(3)).toISOString(), level: "warn" }), at(3)],
      [`  ${JSON.stringify({ time: at(4) })}`, at(4)],
      [JSON.stringify({ time: "yesterday" }), undefined],
      [JSON.stringify({ time: null }), undefined],
      [JSON.stringify({ time: {} }), undefined],
      [JSON.stringify([at(5)]), undefined],
      [`{"time":${at(6)}`, undefined],
      ["plain text", undefined],
    ];
    await pipeline(Readable.from([lines.map(([line]) => line).join("\n")]), logger.stream());
    const events = world.events();
    assert.equal(events.length, lines.length);
    for (const [line, expected] of lines) {
      const event = events.find(({ message }) => message === line);
      assert.ok(event, line);
      if (expected !== undefined) assert.equal(event.timestamp, expected, line);
      else assert.ok(event.timestamp >= now && event.timestamp <= Date.now(), line);
    }
  });

  check("40,000 lines, a slow service, a small queue: none lost, all in order, memory bounded", async (world) => {
    const LINES = 40_000;
    const CHUNK_LINES = 100;
    const maxQueueBytes = 262_144;
    world.service.options.delayMs = 10;
    const logger = world.logger({ maxQueueBytes, maxBatchBytes: 65_536 });
    const line = (index: number) => `${String(index).padStart(6, "0")} ${"x".repeat(93)}`;
    let read = 0;
    let mostPending = 0;
    let mostRead = 0;
    const source = function* () {
      while (read < LINES) {
        const chunk = Array.from({ length: CHUNK_LINES }, (_, index) => `${line(read + index)}\n`).join("");
        read += CHUNK_LINES;
        const { pending, delivered } = logger.stats();
        mostPending = Math.max(mostPending, pending);
        mostRead = Math.max(mostRead, read - delivered);
        yield Buffer.from(chunk);
      }
    };
    await pipeline(Readable.from(source(), { objectMode: false }), logger.stream());
    const { logged, delivered } = logger.stats();
    assert.deepEqual([logged, delivered], [LINES, LINES], "end() waits for delivery");
    const events = world.events();
    const wrong = events.findIndex(({ message }, index) => message !== line(index));
    assert.deepEqual([events.length, wrong], [LINES, -1]);
    const eventBytes = 100 + OVERHEAD_BYTES;
    assert.ok(mostPending * eventBytes <= maxQueueBytes, `${mostPending} events in the queue`);
    assert.ok(
      mostPending * eventBytes > maxQueueBytes / 4,
      `only ${mostPending} events: the queue has not been tested`,
    );
    // Beyond the queue: what Node buffers on both sides, 16 chunks of an object-mode stream and 64 KB of a source.
    const buffered = 2 * 16 * CHUNK_LINES + Math.ceil(65_536 / 100);
    assert.ok(mostRead <= maxQueueBytes / eventBytes + buffered, `${mostRead} lines ahead of the delivery`);
  });

  check("waits while the service is down, and goes on when it is back", async (world) => {
    world.expectsTrouble = true;
    let isDown = true;
    world.service.options.fault = ({ action }) =>
      isDown && action === "PutLogEvents" ? { kind: "reset", stored: false } : undefined;
    const logger = world.logger({ maxQueueBytes: 65_536, maxBatchBytes: 16_384, flushIntervalMs: 10 });
    const lines = Array.from({ length: 5_000 }, (_, index) => `line ${index}`);
    const done = pipeline(Readable.from(lines.map((line) => `${line}\n`)), logger.stream());
    await until(() => logger.stats().retries >= 2);
    const { logged, delivered, dropped } = logger.stats();
    assert.deepEqual([delivered, dropped], [0, 0]);
    assert.ok(logged < lines.length, "the source waits");
    isDown = false;
    await done;
    assert.deepEqual(world.messages(), lines);
  });

  check("several sources, one stream each, do not mix within lines", async (world) => {
    const logger = world.logger();
    const names = ["a", "b", "c"];
    await Promise.all(
      names.map(async (name) => {
        const source = new PassThrough();
        const done = pipeline(source, logger.stream());
        for (let index = 0; index < 50; index++) {
          source.write(`${name} ${index} be`);
          await later(0);
          source.write("gun and ended\n");
        }
        source.end();
        await done;
      }),
    );
    const messages = world.messages();
    assert.equal(messages.length, 150);
    for (const name of names) {
      const expected = Array.from({ length: 50 }, (_, index) => `${name} ${index} begun and ended`);
      assert.deepEqual(
        messages.filter((message) => message.startsWith(name)),
        expected,
      );
    }
  });

  check("a line of 2 MB in small pieces is truncated or split as any event", async (world) => {
    const logger = world.logger({ overflow: "split" });
    const long = "0123456789".repeat(200_000);
    await pipeline(Readable.from(cutAt(Buffer.from(`${long}\nnext`), range(0, 2_000_000, 1_000))), logger.stream());
    const messages = world.messages();
    assert.equal(messages.pop(), "next");
    assert.ok(messages.length > 1);
    assert.equal(messages.join(""), long);
  });

  check("a line of 32 MB costs about what its bytes cost, however small its pieces are", async (world) => {
    const piece = Buffer.alloc(16_384, "x");
    const logger = world.logger({ overflow: "truncate" });
    const usedBefore = process.cpuUsage();
    const source = function* () {
      for (let index = 0; index < 2_048; index++) yield piece;
      yield Buffer.from("\nnext\n");
    };
    await pipeline(Readable.from(source()), logger.stream());
    const { user, system } = process.cpuUsage(usedBefore);
    assert.equal(world.messages().pop(), "next");
    // Looking through all of it again for each piece is 32 GB, half a minute.
    assert.ok(user + system < 10_000_000, `${(user + system) / 1_000_000} s of CPU`);
  });

  check("a line without end is cut, so that memory stays bounded", async (world) => {
    const piece = Buffer.alloc(1_048_576, "x");
    const logger = world.logger({ overflow: "truncate" });
    const source = function* () {
      for (let index = 0; index < 100; index++) yield piece;
      yield Buffer.from("\nnext\n");
    };
    await pipeline(Readable.from(source()), logger.stream());
    const messages = world.messages();
    assert.equal(messages.pop(), "next");
    assert.ok(messages.length > 1, "100 MB in one piece");
    for (const message of messages) assert.match(message, /^x+$/);
  });

  check("an oversize line goes to onLoss, its neighbours are delivered", async (world) => {
    world.expectsTrouble = true;
    const logger = world.logger({ maxEventBytes: 256 });
    const long = "x".repeat(231);
    await pipeline(Readable.from([`before\n${long}\n${long.slice(1)}\nafter\n`]), logger.stream());
    assert.deepEqual(world.messages(), ["before", long.slice(1), "after"]);
    assert.deepEqual(
      world.losses.map(({ reason, events }) => [reason, events.map(({ message }) => message)]),
      [["oversize", [long]]],
    );
  });

  check("writes after end() and after close() are counted and do no harm", async (world) => {
    world.expectsTrouble = true;
    const logger = world.logger();
    const stream = logger.stream();
    stream.end("last\n");
    await finished(stream);
    stream.write("after the end\n");
    const open = logger.stream();
    await logger.close();
    open.write("after close\n");
    open.end();
    await finished(open);
    assert.deepEqual(world.messages(), ["last"]);
    assert.deepEqual(logger.stats().droppedReasons, { oversize: 0, queueFull: 0, closed: 2, unsent: 0 });
  });
});

// ── Console ─────────────────────────────────────────────────────────────────────────────────────────────────────────

describe("captureConsole()", () => {
  check("levels, and everything still printed once", async (world) => {
    const printed = mockConsole(world.t);
    const logger = world.logger({ level: "trace" });
    const release = capture(world, logger);
    console.debug("at debug");
    console.log("at log");
    console.info("at info");
    console.warn("at warn");
    console.error("at error");
    release();
    await logger.flush();
    assert.deepEqual(
      world.json().map(({ level, message }) => [level, message]),
      [
        ["DEBUG", "at debug"],
        ["INFO", "at log"],
        ["INFO", "at info"],
        ["WARN", "at warn"],
        ["ERROR", "at error"],
      ],
    );
    assert.deepEqual(
      printed.map(({ method, text }) => [method, text]),
      ["debug", "log", "info", "warn", "error"].map((method) => [method, `at ${method}`]),
    );
  });

  check("the threshold holds", async (world) => {
    mockConsole(world.t);
    const logger = world.logger({ level: "warn" });
    const release = capture(world, logger);
    console.log("no");
    console.warn("yes");
    logger.level = "silent";
    console.error("no");
    release();
    await logger.flush();
    assert.deepEqual(
      world.json().map(({ message }) => message),
      ["yes"],
    );
  });

  check("can be undone, twice and in any order", async (world) => {
    mockConsole(world.t);
    const first = world.logger({ logStreamName: "first" });
    const second = world.logger({ logStreamName: "second" });
    const releaseFirst = first.captureConsole();
    const releaseSecond = second.captureConsole();
    console.log("both");
    releaseFirst();
    releaseFirst();
    console.log("second only");
    releaseSecond();
    console.log("none");
    await Promise.all([first.flush(), second.flush()]);
    assert.deepEqual(
      world.json("first").map(({ message }) => message),
      ["both"],
    );
    assert.deepEqual(
      world.json("second").map(({ message }) => message),
      ["both", "second only"],
    );
    const again = first.captureConsole();
    console.log("again");
    again();
    await first.flush();
    assert.equal(world.json("first").length, 2);
  });

  check("gives back the very functions it found", async (world) => {
    mockConsole(world.t);
    const { debug, log, info, warn, error } = console;
    const release = world.logger().captureConsole();
    assert.notEqual(console.log, log);
    release();
    assert.deepEqual(
      [console.debug, console.log, console.info, console.warn, console.error],
      [debug, log, info, warn, error],
    );
  });

  check("format specifiers, objects, Errors, anything", async (world) => {
    mockConsole(world.t);
    const logger = world.logger();
    const release = capture(world, logger);
    console.log("%s has %d of %j, %i%%", "Ada", 3, { a: 1 }, 4.5);
    console.log("a", 1, { b: 2 });
    console.log({ message: "stock is low", article: 4711 });
    console.error(new TypeError("card declined"));
    console.error("failed:", new Error("inner"));
    console.log();
    console.log(undefined);
    console.log(17n);
    console.log("100%");
    release();
    await logger.flush();
    const [specifiers, several, object, error, errorInText, ...others] = world.json();
    assert.equal(specifiers.message, 'Ada has 3 of {"a":1}, 4%');
    assert.equal(several.message, "a 1 { b: 2 }");
    assert.deepEqual(object, { level: "INFO", message: "stock is low", article: 4711 });
    assert.deepEqual([error.message, error.error.name], ["card declined", "TypeError"]);
    assert.match(error.error.stack, /hosts\.test\.ts/);
    assert.match(errorInText.message, /^failed: Error: inner\n.*hosts\.test\.ts/);
    assert.deepEqual(
      others.map(({ message }) => message),
      ["", "undefined", "17", "100%"],
    );
  });

  check("no loop with console: true: each event is printed and sent once", async (world) => {
    const printed = mockConsole(world.t);
    const logger = world.logger({ console: true, format: "text" });
    const release = capture(world, logger);
    logger.info("logged");
    console.log("printed");
    release();
    await logger.flush();
    assert.deepEqual(world.messages(), ["INFO logged", "INFO printed"]);
    assert.deepEqual(
      printed.map(({ text }) => text),
      ["INFO logged", "printed"],
    );
  });

  it("no loop with a null log group", (t) => {
    const printed = mockConsole(t);
    const logger = new CloudwatchLogger(null, { format: "text" });
    const release = logger.captureConsole();
    logger.info("logged");
    console.log("printed");
    release();
    assert.deepEqual(
      printed.map(({ text }) => text),
      ["INFO logged", "printed"],
    );
  });

  check("no loop with an onError and an onLoss that print", async (world) => {
    world.expectsTrouble = true;
    const printed = mockConsole(world.t);
    world.service.options.allowedActions = [];
    const logger = world.logger({
      flushIntervalMs: 1,
      maxEventBytes: 256,
      overflow: "error",
      onError: (error) => console.error("trouble", error.code),
      onLoss: ({ reason }) => console.error("loss", reason),
    });
    const release = capture(world, logger);
    console.log("x".repeat(300));
    console.log("refused");
    await until(() => printed.some(({ text }) => text.startsWith("trouble")));
    await logger.close(0);
    release();
    const texts = printed.map(({ text }) => text);
    assert.deepEqual(
      texts.filter((text) => text.startsWith("loss")),
      ["loss oversize", "loss unsent"],
    );
    assert.equal(texts.filter((text) => text.startsWith("trouble")).length, 1);
    assert.equal(logger.stats().logged, 2);
  });

  check("an onLoss that prints later what was lost does not loop either", async (world) => {
    world.expectsTrouble = true;
    const printed = mockConsole(world.t);
    const logger = world.logger({
      maxEventBytes: 256,
      onLoss: async ({ events }) => {
        await later(1);
        console.error("lost", events[0]?.message);
      },
    });
    const release = capture(world, logger);
    console.log("x".repeat(300));
    await until(() => printed.length >= 2);
    // Were there a loop, each print would make the next one.
    for (let turn = 0; turn < 20; turn++) await later(1);
    release();
    assert.equal(printed.length, 2);
  });

  check("fields of the request are in what is printed on its behalf", async (world) => {
    mockConsole(world.t);
    const logger = world.logger();
    const release = capture(world, logger);
    await logger.withFields({ requestId: "r-1" }, async () => {
      await later(0);
      console.log("from below");
    });
    release();
    await logger.flush();
    assert.deepEqual(world.json(), [{ level: "INFO", message: "from below", requestId: "r-1" }]);
  });
});

// ── Fields of a request ─────────────────────────────────────────────────────────────────────────────────────────────

describe("withFields()", () => {
  check("reaches awaits, timers, microtasks, emitters, children made before and inside", async (world) => {
    const logger = world.logger({ fields: { service: "shop" } });
    const before = logger.child({ component: "database" });
    const result = await logger.withFields({ requestId: "r-1" }, async () => {
      logger.info("at once");
      await later(1);
      logger.info("after an await");
      await new Promise<void>((resolve) => {
        setTimeout(() => {
          logger.info("in a timer");
          queueMicrotask(() => {
            logger.info("in a microtask");
            process.nextTick(() => {
              logger.info("in a tick");
              setImmediate(resolve);
            });
          });
        }, 1);
      });
      before.info("of a child made before");
      logger.child({ inside: true }).info("of a child made inside");
      return 17;
    });
    assert.equal(result, 17);
    logger.info("outside");
    await logger.flush();
    const events = world.json();
    const outside = events.pop();
    assert.deepEqual(outside, { level: "INFO", message: "outside", service: "shop" });
    assert.equal(events.length, 7);
    for (const event of events) assert.deepEqual([event.requestId, event.service], ["r-1", "shop"]);
    assert.equal(events[5].component, "database");
    assert.equal(events[6].inside, true);
  });

  check("nests; the inner value wins, the outer one comes back; a call's own field wins over both", async (world) => {
    const logger = world.logger({ fields: { user: "none", a: 0 } });
    logger.withFields({ user: "outer", b: 1 }, () => {
      logger.info("1");
      logger.withFields({ user: "inner", c: 2 }, () => {
        logger.info("2");
        logger.info("3", { user: "own" });
      });
      logger.info("4");
    });
    logger.info("5");
    await logger.flush();
    const expected = [
      { a: 0, user: "outer", b: 1 },
      { a: 0, user: "inner", b: 1, c: 2 },
      { a: 0, user: "own", b: 1, c: 2 },
      { a: 0, user: "outer", b: 1 },
      { a: 0, user: "none" },
    ];
    assert.deepEqual(
      world.json(),
      expected.map((fields, index) => ({ level: "INFO", message: String(index + 1), ...fields })),
    );
  });

  check("fields of a child's callback are the child's, those of its parent reach it", async (world) => {
    const logger = world.logger();
    const child = logger.child({ child: true });
    child.withFields({ scope: "child" }, () => {
      child.info("child");
      child.child({ grand: true }).info("grandchild");
      logger.info("parent");
    });
    await logger.flush();
    assert.deepEqual(world.json(), [
      { level: "INFO", message: "child", child: true, scope: "child" },
      { level: "INFO", message: "grandchild", child: true, grand: true, scope: "child" },
      { level: "INFO", message: "parent" },
    ]);
  });

  check("concurrent requests do not mix", async (world) => {
    const logger = world.logger();
    await Promise.all(
      Array.from({ length: 200 }, (_, id) =>
        logger.withFields({ id }, async () => {
          for (let step = 0; step < 5; step++) {
            await later(id % 4);
            await logger.withFields({ step }, async () => {
              await later(0);
              logger.info("step", { own: `${id}/${step}` });
            });
          }
        }),
      ),
    );
    await logger.flush();
    const events = world.json();
    assert.equal(events.length, 1_000);
    for (const { id, step, own } of events) assert.equal(own, `${id}/${step}`);
  });

  check("two loggers do not mix", async (world) => {
    const first = world.logger({ logStreamName: "first" });
    const second = world.logger({ logStreamName: "second" });
    first.withFields({ first: 1 }, () =>
      second.withFields({ second: 2 }, () => {
        first.info("m");
        second.info("m");
      }),
    );
    await Promise.all([first.flush(), second.flush()]);
    assert.deepEqual(world.json("first"), [{ level: "INFO", message: "m", first: 1 }]);
    assert.deepEqual(world.json("second"), [{ level: "INFO", message: "m", second: 2 }]);
  });

  check("returns and throws what the callback does; later changes of the fields do not show", async (world) => {
    const logger = world.logger();
    const fields = { requestId: "r-1" };
    const failure = new Error("of the callback");
    assert.equal(
      logger.withFields(fields, () => "value"),
      "value",
    );
    assert.throws(
      () =>
        logger.withFields(fields, () => {
          throw failure;
        }),
      (error) => error === failure,
    );
    await assert.rejects(
      logger.withFields(fields, () => Promise.reject(failure)),
      (error) => error === failure,
    );
    logger.withFields(fields, () => {
      fields.requestId = "changed";
      logger.info("m");
    });
    for (const odd of [null, undefined, 5, "text"]) logger.withFields(odd as never, () => logger.info("odd"));
    await logger.flush();
    const [first, ...others] = world.json();
    assert.equal(first.requestId, "r-1");
    assert.equal(others.length, 4);
    for (const event of others) assert.deepEqual(event, { level: "INFO", message: "odd" });
  });

  check("reach bunyan's raw records, which the logger formats", async (world) => {
    const bunyan = load("current", "bunyan");
    const logger = world.logger();
    const log = bunyan.createLogger({ name: "shop", streams: [{ type: "raw", stream: logger.stream() }] });
    await logger.withFields({ requestId: "r-1" }, async () => {
      await later(0);
      log.info("inside");
    });
    await logger.flush();
    assert.equal(world.json()[0].requestId, "r-1");
  });
});

// ── Redaction ───────────────────────────────────────────────────────────────────────────────────────────────────────

describe("redact", () => {
  const HIDDEN = "[redacted]";

  check("a bare name holds at any depth, in arrays and in Errors", async (world) => {
    const logger = world.logger({ redact: ["password", "token"], fields: { token: "secret" } });
    const cause = Object.assign(new Error("inner"), { password: "secret" });
    const error = Object.assign(new Error("outer", { cause }), { request: { headers: [{ token: "secret" }] } });
    const fields = {
      password: "secret",
      user: { name: "Ada", password: { old: "secret", new: "secret" } },
      list: [{ password: "secret" }, [{ deep: { token: ["secret"] } }], "password"],
      passwordHint: "kept",
    };
    const before = structuredClone(fields);
    logger.child({ child: { token: "secret" } }).info("m", fields);
    logger.withFields({ scope: { token: "secret" } }, () => logger.error(error, { also: error }));
    logger.info({ message: "object", password: "secret", nested: { token: "secret" } });
    await logger.flush();
    assert.deepEqual(fields, before);
    assert.equal((error.cause as { password?: string }).password, "secret");
    const [first, second, third] = world.json();
    assert.deepEqual(first, {
      level: "INFO",
      message: "m",
      token: HIDDEN,
      child: { token: HIDDEN },
      password: HIDDEN,
      user: { name: "Ada", password: HIDDEN },
      list: [{ password: HIDDEN }, [{ deep: { token: HIDDEN } }], "password"],
      passwordHint: "kept",
    });
    assert.equal(second.scope.token, HIDDEN);
    assert.deepEqual(third, {
      level: "INFO",
      message: "object",
      token: HIDDEN,
      password: HIDDEN,
      nested: { token: HIDDEN },
    });
    for (const message of world.messages()) assert.ok(!message.includes("secret"), message);
  });

  check("a dotted path holds from the top only, * stands for one level, arrays included", async (world) => {
    const logger = world.logger({ redact: ["user.card.number", "items.*.price", "headers.*", "a.*.*.z"] });
    const card = { number: 4111, holder: "Ada" };
    const fields = {
      user: { card },
      other: { user: { card } },
      card,
      items: [
        { name: "x", price: 1 },
        { name: "y", price: 2 },
      ],
      headers: { cookie: "c", host: { name: "h" } },
      a: { b: { c: { z: 1, y: 2 } }, z: 3 },
    };
    const before = structuredClone(fields);
    logger.info("m", fields);
    await logger.flush();
    assert.deepEqual(fields, before);
    const hiddenCard = { number: HIDDEN, holder: "Ada" };
    assert.deepEqual(world.json()[0], {
      level: "INFO",
      message: "m",
      user: { card: hiddenCard },
      other: { user: { card } },
      card,
      items: [
        { name: "x", price: HIDDEN },
        { name: "y", price: HIDDEN },
      ],
      headers: { cookie: HIDDEN, host: HIDDEN },
      a: { b: { c: { z: HIDDEN, y: 2 } }, z: 3 },
    });
  });

  for (const [name, format] of [
    ["text", "text"],
    ["a template", "{level} {message} {password} {user}"],
    ["a function", (event: { fields: object; message: string }) => `${event.message} ${JSON.stringify(event.fields)}`],
  ] as const) {
    check(`holds in ${name}`, async (world) => {
      const logger = world.logger({ redact: ["password", "user.card"], format });
      logger.info("m", { password: "secret", user: { card: "secret", name: "Ada" }, more: [{ password: "secret" }] });
      logger.error(Object.assign(new Error("e"), { password: "secret" }), { user: { card: "secret" } });
      await logger.flush();
      assert.equal(world.messages().length, 2);
      for (const message of world.messages()) {
        assert.ok(!message.includes("secret"), message);
        assert.ok(message.includes(HIDDEN), message);
      }
      assert.ok(world.messages()[0]?.includes("Ada"));
    });
  }

  check("holds in lines that are JSON, whatever made them; other text is sent as it is", async (world) => {
    const logger = world.logger({ redact: ["password", "user.*.pin"] });
    const lines = [
      '{"a":1,"password":"secret","list":[{"password":["secret"]}]}',
      '{ "user": { "x": { "pin": "secret", "y": 1.50 } } , "b" : "kept" }',
      '{"pass\\u0077ord":"secret"}',
      '  {"blank":{"password":"secret"}}',
      '[{"password":"secret"},1]',
      "password=kept",
      '{"nothing":"to hide", "id":12345678901234567890}',
    ];
    await pipeline(Readable.from([lines.join("\n")]), logger.stream());
    const messages = world.messages();
    assert.equal(messages.length, lines.length);
    for (const message of messages) assert.ok(!message.includes("secret"), message);
    const sorted = messages.map((message) => (/^\s*[{[]/.test(message) ? JSON.parse(message) : message));
    const has = (expected: unknown) =>
      assert.ok(
        sorted.some((message) => inspect(message, { depth: 9 }) === inspect(expected, { depth: 9 })),
        inspect(sorted),
      );
    has({ a: 1, password: HIDDEN, list: [{ password: HIDDEN }] });
    has({ user: { x: { pin: HIDDEN, y: 1.5 } }, b: "kept" });
    has({ password: HIDDEN });
    has({ blank: { password: HIDDEN } });
    has([{ password: HIDDEN }, 1]);
    has("password=kept");
    assert.ok(messages.includes(lines.at(-1) ?? ""), "a line with nothing to hide stays as it is");
  });

  check("holds with truncate and split, in console: true and in captured consoles", async (world) => {
    const printed = mockConsole(world.t);
    const logger = world.logger({ redact: ["password"], overflow: "split", maxEventBytes: 256, console: true });
    const release = capture(world, logger);
    logger.info("long ".repeat(100), { password: "secret" });
    console.log({ message: "captured", password: "secret" });
    release();
    await logger.flush();
    for (const message of world.messages()) assert.ok(!message.includes("secret"), message);
    const own = printed.filter(({ method, text }) => method === "info" && text.includes("long"));
    assert.equal(own.length, 1);
    assert.ok(!own[0]?.text.includes("secret"));
    assert.ok(world.messages().some((message) => message.includes('"captured"')));
  });

  check("never mutates and never shows the secret, for any object", async (world) => {
    let run = 0;
    const logger = world.logger({ redact: ["key", "top.*.leaf"], logStreamName: "main" });
    const value = fc.letrec((tie) => ({
      node: fc.oneof(
        { depthSize: "small" },
        fc.constantFrom<unknown>(1, "text", null, true, ["a"]),
        fc.array(tie("node"), { maxLength: 3 }),
        fc.dictionary(fc.constantFrom("key", "top", "leaf", "x"), tie("node"), { maxKeys: 4, noNullPrototype: true }),
      ),
    })).node;
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(fc.constantFrom("key", "top", "x"), value, { noNullPrototype: true }),
        async (fields) => {
          const before = structuredClone(fields);
          const from = world.events().length;
          logger.info(String(run++), fields);
          await logger.flush();
          assert.deepEqual(fields, before);
          const { level, message, ...sent } = JSON.parse(world.messages()[from] ?? "");
          assert.deepEqual([level, message], ["INFO", String(run - 1)]);
          assert.deepEqual(sent, hide(JSON.parse(JSON.stringify(fields)), []));
        },
      ),
    );

    /** What redaction is, said in another way. */
    function hide(value: unknown, path: string[]): unknown {
      if (path.at(-1) === "key" || (path.length === 3 && path[0] === "top" && path[2] === "leaf")) return HIDDEN;
      if (typeof value !== "object" || value === null) return value;
      const entries = Object.entries(value).map(([name, item]) => [name, hide(item, [...path, name])] as const);
      return Array.isArray(value) ? entries.map(([, item]) => item) : Object.fromEntries(entries);
    }
  });
});

// ── Helpers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

// biome-ignore lint/suspicious/noExplicitAny: the libraries' types are not installed in this project
type Library = any;

const LEVEL_NAMES: Level[] = ["trace", "debug", "info", "warn", "error", "fatal"];
const WINSTON_LEVELS = ["error", "warn", "info", "http", "verbose", "debug", "silly"];

function requireExample(name: string): Library {
  return createRequire(join(EXAMPLES, "package.json"))(name);
}

function load(edition: Edition, host: Host): Library {
  return requireExample(EDITIONS[edition][host]);
}

/** Such as `"pino 9.14.0"`. */
function versionOf(edition: Edition, host: Host): string {
  const { dependencies } = JSON.parse(readFileSync(join(EXAMPLES, "package.json"), "utf8"));
  return `${host} ${dependencies[EDITIONS[edition][host]].split("@").at(-1)}`;
}

/** Builds the package as `npm run build` does, but in a folder of its own. */
async function buildPackage(): Promise<void> {
  const folder = join(temporary, "cwlogger");
  for (const part of ["testing", "bin"]) await mkdir(join(folder, part), { recursive: true });
  const sources = [
    "package.json",
    "build.mjs",
    "tsconfig.json",
    "cloudwatch.ts",
    "LICENSE",
    "testing/local-cloudwatch.ts",
    "bin/cwlogger.ts",
  ];
  for (const file of sources) await cp(join(ROOT, file), join(folder, file));
  await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
  await command("These tests need the built package", process.execPath, join(folder, "build.mjs"));
}

/** @throws with all that the command has printed; the runner tells no more of a failed hook than "cancelled". */
async function command(purpose: string, program: string, ...args: string[]): Promise<void> {
  try {
    await promisify(execFile)(program, args, { cwd: temporary });
  } catch (error) {
    const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
    const text = `${purpose}, but this fails: ${program} ${args.join(" ")}\n${stdout}${stderr}`;
    console.error(text);
    throw new Error(text, { cause: error });
  }
}

/** A copy of the programs, whose node_modules has the package just built and the libraries of the edition. */
async function makeProject(edition: Edition): Promise<void> {
  const folder = join(temporary, edition);
  const modules = join(EXAMPLES, "node_modules");
  await mkdir(join(folder, "node_modules"), { recursive: true });
  for (const name of await readdir(EXAMPLES)) {
    if (name.endsWith(".mjs") || name === "package.json") await cp(join(EXAMPLES, name), join(folder, name));
  }
  const names: Record<string, string> = { ...EDITIONS[edition] };
  for (const name of await readdir(modules)) {
    const target = name === "cwlogger" ? join(temporary, "cwlogger") : join(modules, names[name] ?? name);
    if (!name.startsWith(".")) await symlink(target, join(folder, "node_modules", name));
  }
}

let written = 0;

/** Writes a program next to the examples; returns its name. */
function write(edition: Edition, program: string): string {
  const name = `program-${written++}.mjs`;
  writeFileSync(join(temporary, edition, name), program);
  return name;
}

interface RunOptions {
  env?: Record<string, string>;
  /** The program is expected to print on stderr. */
  prints?: boolean;
  /** Called with the first line of stdout. */
  /** Gets the first line, and what has been printed so far whenever it looks. */
  onLine?: (line: string, child: ChildProcess, output: { stdout: string }) => unknown;
}

/** A service, and what talks to it. */
class World {
  readonly t: TestContext;
  readonly service: LocalCloudWatchLogs;
  readonly errors: CloudwatchLoggerError[] = [];
  readonly losses: Loss[] = [];
  /** Otherwise any onError and onLoss fails the test. */
  expectsTrouble = false;
  readonly #loggers: CloudwatchLogger[] = [];

  constructor(t: TestContext, service: LocalCloudWatchLogs) {
    this.t = t;
    this.service = service;
  }

  logger(options: CloudwatchLoggerOptions = {}): CloudwatchLogger {
    const logger = new CloudwatchLogger(GROUP, {
      endpoint: this.service.endpoint,
      region: "us-east-1",
      credentials: CREDENTIALS,
      flushIntervalMs: NEVER_MS,
      onError: (error) => this.errors.push(error),
      onLoss: (loss) => this.losses.push(loss),
      ...options,
    });
    this.#loggers.push(logger);
    return logger;
  }

  events(logStreamName?: string): LocalEvent[] {
    return this.service.events(GROUP, logStreamName);
  }

  messages(): string[] {
    return this.events().map(({ message }) => message);
  }

  json(logStreamName?: string): Library[] {
    return this.events(logStreamName).map(({ message }) => JSON.parse(message));
  }

  /** Runs node in the folder of an edition, told of the service as the SDK is told of AWS. Killed after 60 s. */
  async run(edition: Edition, args: string[], { env = {}, prints = false, onLine }: RunOptions = {}) {
    const startedAt = performance.now();
    const child = spawn(process.execPath, args, {
      cwd: join(temporary, edition),
      env: {
        PATH: process.env.PATH,
        HOME: temporary,
        PORT: "0",
        NODE_OPTIONS: "--no-warnings",
        AWS_ENDPOINT_URL: this.service.endpoint,
        AWS_REGION: "us-east-1",
        AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
        AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
        AWS_EC2_METADATA_DISABLED: "true",
        AWS_LAMBDA_FUNCTION_NAME: "checkout",
        ...env,
      },
    });
    const output = { stdout: "", stderr: "" };
    let failure: unknown;
    let heard = false;
    for (const name of ["stdout", "stderr"] as const) {
      child[name].setEncoding("utf8").on("data", (text: string) => {
        output[name] += text;
        const end = output.stdout.indexOf("\n");
        if (heard || end < 0 || onLine === undefined) return;
        heard = true;
        Promise.resolve()
          .then(() => onLine(output.stdout.slice(0, end), child, output))
          .catch((error: unknown) => {
            failure = error;
            child.kill("SIGKILL");
          });
      });
    }
    let isLate = false;
    const killer = setTimeout(() => {
      isLate = true;
      child.kill("SIGKILL");
    }, 60_000);
    const [code, signal] = await new Promise<[number | null, string | null]>((resolve, reject) => {
      child.once("error", reject).once("close", (code, signal) => resolve([code, signal]));
    });
    clearTimeout(killer);
    if (failure !== undefined) throw failure;
    const result = { code, signal, ms: performance.now() - startedAt, ...output };
    assert.ok(!isLate, `still running after 60 s: ${inspect(result)}`);
    if (!prints) assert.equal(output.stderr, "");
    return result;
  }

  /** What every test owes: no limit broken, every event accounted for, no trouble that was not asked for. */
  async end(): Promise<void> {
    for (const logger of this.#loggers) {
      const { logged, delivered, rejected, dropped, pending } = await logger.close(0);
      assert.equal(logged, delivered + rejected + dropped + pending);
    }
    assert.deepEqual(this.service.violations, []);
    if (!this.expectsTrouble) assert.deepEqual([this.errors, this.losses], [[], []]);
  }
}

function check(title: string, body: (world: World) => Promise<void>, options: LocalCloudWatchLogsOptions = {}): void {
  it(title, { timeout: 120_000 }, async (t) => {
    await using service = await LocalCloudWatchLogs.start(options);
    const world = new World(t, service);
    try {
      await body(world);
    } catch (error) {
      // The first failure is the one to read.
      await world.end().catch(() => {});
      throw error;
    }
    await world.end();
  });
}

/** An entry of pino.multistream. */
function at(level: string): (stream: object) => { level: string; stream: object } {
  return (stream) => ({ level, stream });
}

/** Captures the console for the test; also gives it back when the test fails. */
function capture(world: World, logger: CloudwatchLogger): () => void {
  const release = logger.captureConsole();
  world.t.after(release);
  return release;
}

interface Printed {
  method: string;
  text: string;
}

/** Keeps what is printed on the console instead of printing it. */
function mockConsole(t: TestContext): Printed[] {
  const printed: Printed[] = [];
  for (const method of ["debug", "log", "info", "warn", "error"] as const) {
    t.mock.method(console, method, (...values: unknown[]) => {
      const [format, ...rest] = values;
      printed.push({ method, text: format === "%s" ? String(rest[0]) : values.map(String).join(" ") });
    });
  }
  return printed;
}

/** Serves a request handler for as long as `use` takes. */
async function serve(handler: Library, use: (url: string) => Promise<void>): Promise<void> {
  const server: Server = createServer(handler);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.close();
    await once(server, "close");
  }
}

/** Waits for a condition. */
async function until(condition: () => boolean, limitMs = 30_000): Promise<void> {
  const limit = performance.now() + limitMs;
  while (!condition()) {
    assert.ok(performance.now() < limit, `still waiting for ${condition}`);
    await later(2);
  }
}

/** Pieces of a text or of bytes, cut at these positions; never an empty one. */
function cutAt<T extends string | Buffer>(whole: T, cuts: number[]): T[] {
  const edges = [...new Set([0, ...cuts.filter((cut) => cut < whole.length), whole.length])].sort((a, b) => a - b);
  return edges.slice(1).map((edge, index) => whole.slice(edges[index], edge) as T);
}

/** The events that a text makes: its lines, without the `\r` at their end; no blank ones. */
function linesOf(text: string): string[] {
  return Buffer.from(text)
    .toString()
    .split("\n")
    .map((line) => line.replace(/\r$/, ""))
    .filter((line) => line.trim() !== "");
}

function range(from: number, to: number, step: number): number[] {
  return Array.from({ length: Math.ceil((to - from) / step) }, (_, index) => from + index * step);
}
