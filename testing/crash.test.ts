/**
 * The end of a process, in all its forms, and what the spool saves of it: real processes, really killed.
 * `FAULT_SEED=7` repeats the moments of the kills, `KILLS=1000` makes more of them.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, it, type TestContext } from "node:test";
import transport, {
  CloudwatchLogger,
  type CloudwatchLoggerError,
  type CloudwatchLoggerOptions,
  type LogEvent,
  type Loss,
  type Stats,
} from "../cloudwatch.js";
import { LocalCloudWatchLogs, type LocalCloudWatchLogsOptions } from "./local-cloudwatch.js";
import {
  Compiled,
  conserved,
  filesIn,
  HOUR_MS,
  OVERHEAD_BYTES,
  type Program,
  range,
  realSleep,
  seeded,
  temporaryDirectory,
  until,
} from "./support.js";

const GROUP = "my-app";
const STREAM = "main";
const NOWHERE = "http://127.0.0.1:1";
const IS_ROOT = process.getuid?.() === 0;
const SEED = Number(process.env.FAULT_SEED ?? Date.now() % 1_000_000);
const KILLS = Number(process.env.KILLS ?? 56);
const AT_ONCE = 6;
const MAX_IN_FLIGHT = 4;

const compiled = new Compiled();
before(() => compiled.build());
after(() => compiled.remove());

// ── Ways to end ─────────────────────────────────────────────────────────────────────────────────────────────────────

describe("the end of a process", { concurrency: 3 }, () => {
  interface Ending {
    program: string;
    options?: CloudwatchLoggerOptions;
    code?: number;
    signal?: NodeJS.Signals;
    /** The process has the time to send what is left. */
    isGentle?: boolean;
    /** Nothing of the process runs any more. */
    isSudden?: boolean;
  }
  const endings: Record<string, Ending> = {
    "its natural end": { program: "", code: 0, isGentle: true },
    "process.exit()": { program: "process.exit(3);", code: 3 },
    "an uncaught exception": { program: 'setTimeout(() => { throw new Error("uncaught") }); await wait;', code: 1 },
    "an unhandled rejection": { program: 'Promise.reject(new Error("unhandled")); await wait;', code: 1 },
    SIGTERM: { program: 'process.kill(process.pid, "SIGTERM"); await wait;', signal: "SIGTERM", isSudden: true },
    "SIGTERM with closeOnSignals": {
      program: 'process.kill(process.pid, "SIGTERM"); await wait;',
      options: { closeOnSignals: ["SIGTERM"] },
      signal: "SIGTERM",
      isGentle: true,
    },
    SIGKILL: { program: 'process.kill(process.pid, "SIGKILL"); await wait;', signal: "SIGKILL", isSudden: true },
  };
  for (const [title, { program, options, code, signal, isGentle, isSudden }] of Object.entries(endings)) {
    for (const hasSpool of [false, true]) {
      it(`${title}, ${hasSpool ? "with" : "without"} a spool`, async (t) => {
        const service = await serve(t);
        const directory = spoolIn(t);
        const given = { ...optionsFor(service, hasSpool ? directory : undefined), ...options };
        const ended = await compiled.start(
          `const logger = new CloudwatchLogger("${GROUP}", options);
          const wait = new Promise((resolve) => setTimeout(resolve, 30_000).unref());
          for (let n = 0; n < 10; n++) logger.info("first " + n);
          await logger.flush();
          for (let n = 0; n < 10; n++) logger.info("last " + n);
          ${program.replaceAll("await wait", "setTimeout(() => {}, 20_000); await wait")}`,
          given,
        ).ended;
        assert.deepEqual([ended.code, ended.signal], [code ?? null, signal ?? null], ended.stderr);
        const first = range(10).map((n) => `first ${n}`);
        const last = range(10).map((n) => `last ${n}`);
        const stored = messagesOf(service);
        const printed = last.filter((message) => ended.stderr.includes(`"message":${JSON.stringify(message)}`));
        if (isGentle) {
          assert.deepEqual(stored, [...first, ...last]);
          assert.deepEqual(printed, []);
          assert.deepEqual(leftIn(directory), []);
        } else if (hasSpool) {
          assert.deepEqual(stored, first);
          assert.deepEqual(printed, [], "what is on disk is not reported");
          assert.doesNotMatch(ended.stderr, /unsent/);
          const { stats } = await recover(service, directory);
          assert.deepEqual(messagesOf(service), [...first, ...last], "each event once and in order");
          assert.equal(stats.logged, 10);
          assert.deepEqual(leftIn(directory), []);
        } else {
          assert.deepEqual(stored, first);
          assert.deepEqual(printed, isSudden ? [] : last, "undelivered events are printed");
        }
      });
    }
  }

  for (const [kind, isSilent] of [
    ["refuses connections", false],
    ["never answers", true],
  ] as const) {
    for (const hasSpool of [false, true]) {
      for (const end of [
        "",
        "await logger.close(); process.stdout.write('closed ' + JSON.stringify(logger.stats()));",
      ]) {
        const title = `an endpoint that ${kind}, ${end ? "close()" : "natural end"}, ${hasSpool ? "with" : "without"} a spool`;
        it(`${title}: bounded by closeTimeoutMs`, async (t) => {
          const directory = spoolIn(t);
          const endpoint = isSilent ? await silentEndpoint(t) : NOWHERE;
          const given = { ...optionsFor(endpoint, hasSpool ? directory : undefined), closeTimeoutMs: 700 };
          const ended = await compiled.start(
            `const logger = new CloudwatchLogger("${GROUP}", options);
            for (let n = 0; n < 10; n++) logger.info("event " + n);
            ${end}`,
            given,
          ).ended;
          assert.equal(ended.code, 0, ended.stderr);
          assert.ok(ended.ms < 10_000, `it took ${ended.ms} ms`);
          const events = range(10).map((n) => `event ${n}`);
          if (!hasSpool) {
            for (const message of events) assert.ok(ended.stderr.includes(message), `${message} is not on stderr`);
            if (end) assert.match(ended.stdout, /closed .*"pending":0,.*"unsent":10/);
            return;
          }
          assert.doesNotMatch(ended.stderr, /unsent|event \d/);
          if (end) assert.match(ended.stdout, /closed .*"pending":10,.*"unsent":0/);
          const service = await serve(t);
          await recover(service, directory);
          assert.deepEqual(messagesOf(service), events);
        });
      }
    }
  }
});

describe("end() of a stream at a dead endpoint", { concurrency: 2 }, () => {
  for (const hasSpool of [false, true]) {
    it(`takes closeTimeoutMs at most, ${hasSpool ? "with" : "without"} a spool`, { timeout: 10_000 }, async (t) => {
      // Its server keeps this process alive, which a logger does not.
      const endpoint = await silentEndpoint(t);
      const given = optionsFor(endpoint, hasSpool ? spoolIn(t) : undefined);
      const options = { ...given, closeTimeoutMs: 500, onError: () => {}, onLoss: () => {} };
      const logger = new CloudwatchLogger(GROUP, options);
      for (const stream of [logger.stream(), transport({ logGroupName: GROUP, ...options })]) {
        stream.write("first\n");
        await realSleep(50);
        stream.write("second\n");
        const from = performance.now();
        await new Promise<void>((resolve) => void stream.end("last\n", () => resolve()));
        assert.ok(performance.now() - from < 2_000, `it took ${performance.now() - from} ms`);
      }
      const { logged } = conserved(await logger.close(50));
      assert.equal(logged, 3);
    });
  }
});

// ── kill -9 ─────────────────────────────────────────────────────────────────────────────────────────────────────────

describe("kill -9", { concurrency: 1 }, () => {
  it(`${KILLS} kills at random moments lose nothing whose call had returned: FAULT_SEED=${SEED}`, {
    timeout: 60_000 + KILLS * 2_000,
  }, async (t) => {
    const random = seeded(SEED);
    const service = await serve(t, { keepEvents: false });
    service.options.fault = ({ action }) => {
      const chance = action === "PutLogEvents" ? random() : 1;
      return chance < 0.1 ? { kind: "throttle" } : chance < 0.3 ? { kind: "delay", ms: 25 } : undefined;
    };
    const directory = spoolIn(t);
    const progress = temporaryDirectory(t);
    const given = {
      ...optionsFor(service, directory),
      flushIntervalMs: 20,
      maxBatchEvents: 50,
      maxInFlight: MAX_IN_FLIGHT,
    };
    let next = 0;
    const worker = async () => {
      while (next < KILLS) {
        const id = next++;
        const path = join(progress, String(id));
        writeFileSync(path, "");
        const program = compiled.start(
          `const logger = new CloudwatchLogger("${GROUP}", options);
          const progress = fs.openSync(${JSON.stringify(path)}, "r+");
          for (let n = 0; ; ) {
            for (let more = Math.random() * 60; more > 0; more--) {
              const text = "${id} " + n + " " + Date.now();
              logger.info(text);
              fs.writeSync(progress, String(++n).padStart(9, "0"), 0);
            }
            await new Promise((resolve) => setTimeout(resolve, Math.random() * 12));
          }`,
          { ...given, credentials: { accessKeyId: `AKID${id}`, secretAccessKey: "secret" } },
        );
        await until(() => readFileSync(path).length > 0 || program.hasEnded, "the first event");
        await realSleep(random() ** 2 * 700);
        const { signal, stderr } = await program.kill();
        assert.equal(signal, "SIGKILL", stderr);
      }
    };
    await Promise.all(range(AT_ONCE).map(worker));
    delete service.options.fault;
    const { stats } = await recover(service, directory, { maxBatchEvents: 50, maxInFlight: MAX_IN_FLIGHT });

    const seen = new Map<string, object>();
    const repeated = new Map<string, Set<object>>();
    const last = new Map<string, [n: number, timestamp: number]>();
    let duplicates = 0;
    for (const request of service.requests) {
      if (request.action !== "PutLogEvents" || request.answer?.status !== 200) continue;
      for (const { timestamp, message } of request.input.logEvents as LogEvent[]) {
        const [id = "", n, at] = message.split(" ");
        const key = `${id} ${n}`;
        assert.ok(Math.abs(timestamp - Number(at)) < 100, `${message} has the timestamp ${timestamp}`);
        const earlier = seen.get(key) as { accessKeyId: string } | undefined;
        if (earlier !== undefined) {
          duplicates++;
          const requests = repeated.get(earlier.accessKeyId) ?? new Set();
          repeated.set(earlier.accessKeyId, requests.add(earlier));
          continue;
        }
        seen.set(key, request);
        const [before, beforeAt] = last.get(id) ?? [-1, 0];
        if (timestamp === beforeAt) assert.ok(Number(n) > before, `${key} comes after ${before} of one millisecond`);
        last.set(id, [Number(n), timestamp]);
      }
    }
    let returned = 0;
    for (const id of range(KILLS)) {
      const count = Number(readFileSync(join(progress, String(id)), "utf8"));
      returned += count;
      const missing = range(count).filter((n) => !seen.has(`${id} ${n}`));
      assert.deepEqual(missing, [], `of ${count} events of process ${id}`);
      assert.equal(seen.has(`${id} ${count + 1}`), false, "nothing was invented");
    }
    assert.ok(seen.size <= returned + KILLS);
    for (const [accessKeyId, requests] of repeated) {
      assert.match(accessKeyId, /^AKID\d+$/, "only a killed process may leave a stored batch behind");
      assert.ok(requests.size <= MAX_IN_FLIGHT, `${requests.size} batches of ${accessKeyId} were sent again`);
    }
    assert.ok(stats.delivered > 0, "something was left to recover");
    assert.deepEqual(leftOfKilled(directory), []);
    t.diagnostic(
      `${KILLS} kills, ${returned} events compared, none missing, ${duplicates} twice, ${stats.delivered} recovered at the end`,
    );
  });

  it("killed right after the n-th call, also within a millisecond that overfills a batch: all n come, once, in order", async (t) => {
    const service = await serve(t);
    const directory = spoolIn(t);
    const counts = [1, 2, 4, 5, 6, 9, 10, 11, 12, 14, 15, 16, 19, 20, 21, 24, 25, 26, 30, 31];
    const given = { ...optionsFor(service, directory), maxBatchEvents: 10 };
    await inParallel(counts, async (count) => {
      // Five events of one millisecond, the others of the next one.
      const { signal } = await compiled.start(
        `const logger = new CloudwatchLogger("${GROUP}", { ...options, logStreamName: "s${count}" });
        const from = Date.now();
        for (let n = 0; n < ${count}; n++) {
          Date.now = () => from + (n < 5 ? 0 : 1);
          logger.info("event " + n + " " + Date.now());
        }
        process.kill(process.pid, "SIGKILL");
        for (;;);`,
        given,
      ).ended;
      assert.equal(signal, "SIGKILL");
    });
    assert.equal(service.counts.PutLogEvents, 0);
    await recover(service, directory, { maxBatchEvents: 10 });
    for (const count of counts) {
      const events = service.events(GROUP, `s${count}`);
      assert.deepEqual(
        events.map(({ message }) => message.split(" ")[1]),
        range(count).map(String),
      );
      for (const { timestamp, message } of events) assert.equal(timestamp, Number(message.split(" ")[2]));
    }
    assert.deepEqual(leftIn(directory), []);
  });

  it("killed between the batches that one millisecond was carried over: the second one is still there", async (t) => {
    const service = await serve(t);
    const directory = spoolIn(t);
    service.createLogStream(GROUP, STREAM);
    let puts = 0;
    service.options.fault = ({ action }) => (action === "PutLogEvents" && puts++ > 0 ? { kind: "hang" } : undefined);
    const { signal, stderr } = await compiled.start(
      `const logger = new CloudwatchLogger("${GROUP}", options);
      const from = Date.now();
      for (let n = 0; n < 13; n++) {
        Date.now = () => from + (n < 5 ? 0 : 1);
        logger.info("event " + n);
      }
      while (logger.stats().delivered < 5) await new Promise((resolve) => setTimeout(resolve, 1));
      process.kill(process.pid, "SIGKILL");
      for (;;);`,
      { ...optionsFor(service, directory), maxBatchEvents: 10 },
    ).ended;
    assert.equal(signal, "SIGKILL", stderr);
    assert.deepEqual(messagesOf(service).map(numberOf), range(5));
    delete service.options.fault;
    await recover(service, directory, { maxBatchEvents: 10 });
    assert.deepEqual(messagesOf(service).map(numberOf), range(13), "each once");
    assert.deepEqual(leftIn(directory), []);
  });

  it("a kill while a batch with bad events is being halved", async (t) => {
    const service = await serve(t, { delayMs: 15, poison: (message) => /^bad/.test(message) });
    const directory = spoolIn(t);
    const rounds = range(8);
    await inParallel(rounds, async (round) => {
      const program = compiled.start(
        `const onLoss = ({ reason, events }) => fs.writeSync(1, events.map((e) => reason + " " + e.message + "\\n").join(""));
        const logger = new CloudwatchLogger("${GROUP}", { ...options, onLoss });
        for (let n = 0; n < 40; n++) logger.info((n % 13 === 5 ? "bad" : "good") + " ${round} " + n);
        fs.writeSync(1, "logged\\n");
        await logger.flush();
        setInterval(() => {}, 1_000);`,
        { ...optionsFor(service, directory), logStreamName: `s${round}` },
      );
      await program.printed("logged");
      await realSleep(40 + round * 45);
      const { stdout } = await program.kill();
      reports.push(...stdout.split("\n").filter((line) => line.startsWith("invalid")));
    });
    const { losses, stats } = await recover(service, directory);
    for (const { reason, events } of losses) for (const { message } of events) reports.push(`${reason} ${message}`);
    assert.ok(stats.logged > 0, "something was left to recover");
    for (const round of rounds) {
      const wanted = range(40).filter((n) => n % 13 !== 5);
      const stored = service.events(GROUP, `s${round}`).map(({ message }) => Number(message.split(" ")[2]));
      assert.deepEqual(
        [...new Set(stored)].sort((a, b) => a - b),
        wanted,
        `good events of process ${round}`,
      );
      for (const n of [5, 18, 31])
        assert.ok(reports.includes(`invalid bad ${round} ${n}`), `bad ${round} ${n} is reported`);
    }
    assert.deepEqual(leftOfKilled(directory), []);
  });
  const reports: string[] = [];

  it("generations of processes that die before they can deliver", async (t) => {
    const directory = spoolIn(t);
    for (const generation of range(5)) {
      const program = compiled.start(
        `const logger = new CloudwatchLogger("${GROUP}", options);
        for (let n = 0; n < 3; n++) logger.info("${generation} " + n);
        while (logger.stats().logged < ${3 * (generation + 1)}) await new Promise((resolve) => setTimeout(resolve, 5));
        fs.writeSync(1, "all there");
        setInterval(() => {}, 1_000);`,
        optionsFor(NOWHERE, directory),
      );
      await program.printed("all there");
      await program.kill();
    }
    const service = await serve(t);
    const { stats } = await recover(service, directory);
    assert.equal(stats.delivered, 15);
    assert.deepEqual(
      messagesOf(service),
      range(15).map((n) => `${Math.floor(n / 3)} ${n % 3}`),
    );
    assert.deepEqual(leftIn(directory), [], "nothing is left, no directory either");
  });

  it("a crash loop of 200 generations keeps the first one's events", { timeout: 60_000 }, async (t) => {
    const directory = spoolIn(t);
    for (const generation of range(200)) {
      const logger = new CloudwatchLogger(GROUP, { ...optionsFor(NOWHERE, directory), onError: () => {} });
      if (generation === 0) logger.info("the first");
      else await until(() => logger.stats().logged > 0, `generation ${generation} to take over`, 5_000);
      const { pending } = await logger.close(0);
      assert.equal(pending, 1, `in generation ${generation}`);
    }
    const service = await serve(t);
    await recover(service, directory);
    assert.deepEqual(messagesOf(service), ["the first"]);
    assert.deepEqual(leftIn(directory), []);
  });
});

// ── What is found on disk ───────────────────────────────────────────────────────────────────────────────────────────

describe("a spool directory", { concurrency: 3 }, () => {
  it("keeps events with their own timestamps for the log group and stream they were meant for", async (t) => {
    const service = await serve(t);
    const directory = spoolIn(t);
    for (const [group, stream] of [
      ["group-a", "one"],
      ["group-a", "two"],
      ["group-b", "three"],
    ]) {
      await leave(directory, 3, { group, options: { logStreamName: stream } });
    }
    // Even a directory that nobody has touched for long is another log group's.
    const longAgo = new Date(Date.now() - HOUR_MS);
    for (const name of readdirSync(directory)) utimesSync(join(directory, name), longAgo, longAgo);
    const a = await recover(service, directory, { logStreamName: "other" }, "group-a");
    assert.equal(a.stats.delivered, 6);
    assert.deepEqual(
      service.logGroups().map(({ logGroupName }) => logGroupName),
      ["group-a"],
    );
    await recover(service, directory, {}, "group-b");
    for (const [group, stream] of [
      ["group-a", "one"],
      ["group-a", "two"],
      ["group-b", "three"],
    ] as const) {
      const events = service.events(group, stream);
      assert.equal(events.length, 3);
      for (const { timestamp, message } of events) assert.equal(timestamp, Number(message.split(" ")[2]));
    }
    assert.deepEqual(leftIn(directory), []);
  });

  it("is for its owner only", async (t) => {
    const directory = join(temporaryDirectory(t), "a", "b");
    await leave(directory, 3, { program: "process.umask(0);" });
    assert.equal(statSync(directory).mode & 0o777, 0o700);
    const paths = readdirSync(directory, { recursive: true }).map((name) => join(directory, String(name)));
    assert.ok(paths.length > 0);
    for (const path of paths) {
      const stat = lstatSync(path);
      assert.equal(stat.mode & 0o777, stat.isDirectory() ? 0o700 : 0o600, path);
    }
  });

  it("that another process makes at the same moment is used", async (t) => {
    const service = await serve(t);
    const directory = spoolIn(t);
    const program = `import builtin from "node:fs";
      import { syncBuiltinESMExports } from "node:module";
      const { mkdirSync } = builtin;
      builtin.mkdirSync = (path, given) => {
        if (path === ${JSON.stringify(directory)}) mkdirSync(path, given);
        return mkdirSync(path, given);
      };
      syncBuiltinESMExports();`;
    await leave(directory, 3, { program });
    const { errors } = await recover(service, directory);
    assert.deepEqual(messagesOf(service).map(numberOf), [0, 1, 2]);
    assert.deepEqual(errors, []);
  });

  it("with a record that was torn loses that one only", async (t) => {
    for (const cutBytes of [1, 2, 20, 45]) {
      const service = await serve(t);
      const directory = spoolIn(t);
      await leave(directory, 5);
      const [file] = filesIn(directory).filter((path) => lstatSync(path).isFile());
      assert.ok(file !== undefined);
      const text = readFileSync(file, "utf8");
      assert.ok(text.includes("event 4"), "the last event is in the file");
      truncateSync(file, Buffer.byteLength(text) - cutBytes);
      const { errors } = await recover(service, directory);
      assert.deepEqual(messagesOf(service).map(numberOf), [0, 1, 2, 3], `cut by ${cutBytes}`);
      assert.deepEqual(errors, []);
      assert.deepEqual(leftIn(directory), []);
    }
  });

  it("with garbage in it is used all the same", async (t) => {
    const service = await serve(t);
    const directory = spoolIn(t);
    await leave(directory, 5);
    const [file = ""] = filesIn(directory).filter((path) => lstatSync(path).isFile());
    const garbage = [
      "",
      "\n",
      "\0\0\0\0\n",
      "{}\n",
      "null\nnull\n",
      '[1,2]\n{"timestamp":"x"}\n',
      '{"logStreamName":5}\n{"timestamp":1,"message":5}\n',
      `{"logStreamName":"${STREAM}"}\n{"timestamp":-1e99,"message":"a"}\n{"timestamp":1.5,"message":"b"}\n{"keep":-5}\n{"keep":1e9}\n`,
      '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}\n',
      Buffer.from(range(4_096).map((n) => (n * 7_919) % 256)),
    ];
    for (const [index, content] of garbage.entries()) {
      writeFileSync(join(dirname(file), `garbage-${index}`), content, { mode: 0o600 });
      writeFileSync(join(directory, `garbage-${index}`), content, { mode: 0o600 });
    }
    mkdirSync(join(directory, "lost+found"));
    appendFileSync(file, `not JSON\n{"timestamp":${Date.now()},"message":"event 5"}\n{"timestamp":17`);
    const { stats } = await recover(service, directory);
    assert.deepEqual(messagesOf(service).map(numberOf), [0, 1, 2, 3, 4, 5]);
    assert.equal(stats.pending, 0);
    assert.equal(({} as { polluted?: unknown }).polluted, undefined);
  });

  it("with events older than the service takes: they are reported", async (t) => {
    const service = await serve(t);
    const directory = spoolIn(t);
    const old = Date.now() - 15 * 24 * HOUR_MS;
    await leave(directory, 3, { program: `Date.now = () => ${old};`, tag: "old" });
    await leave(directory, 2, { tag: "new" });
    const { losses, stats } = await recover(service, directory);
    assert.deepEqual(
      messagesOf(service).map((message) => message.split(" ", 1)[0]),
      ["new", "new"],
    );
    assert.equal(stats.rejectedReasons.tooOld, 3);
    const events = losses.filter(({ reason }) => reason === "tooOld").flatMap((loss) => loss.events);
    assert.deepEqual(
      events,
      range(3).map((n) => ({ timestamp: old, message: `old ${n} ${old}` })),
    );
    assert.deepEqual(leftIn(directory), []);
  });

  it("with more than this logger's queue and batches hold", async (t) => {
    const service = await serve(t);
    const directory = spoolIn(t);
    await leave(directory, 2_000, { tag: "x".repeat(150) });
    let mostPending = 0;
    service.options.fault = () => {
      mostPending = Math.max(mostPending, conserved(logger.stats()).pending);
      return undefined;
    };
    const limits = { maxBatchEvents: 7, maxBatchBytes: 1_400, maxQueueBytes: 20_000 };
    const logger = new CloudwatchLogger(GROUP, { ...optionsFor(service, directory), ...limits });
    const { delivered } = await logger.flush(60_000);
    await logger.close();
    assert.equal(delivered, 2_000);
    assert.deepEqual(
      messagesOf(service).map((message) => Number(message.split(" ")[1])),
      range(2_000),
    );
    for (const { action, events = 0, batchBytes = 0 } of service.requests) {
      if (action === "PutLogEvents")
        assert.ok(events <= 7 && batchBytes <= 1_400, `${events} events, ${batchBytes} bytes`);
    }
    assert.ok(mostPending * (150 + OVERHEAD_BYTES) <= 20_000, `${mostPending} events were in the queue`);
    assert.deepEqual(leftIn(directory), []);
  });

  it("with more than the queue holds, at a dead endpoint: close() leaves it all there", async (t) => {
    const directory = spoolIn(t);
    await leave(directory, 500, { tag: "x".repeat(150) });
    const limits = { maxBatchBytes: 2_000, maxQueueBytes: 20_000, onError: () => {} };
    const logger = new CloudwatchLogger(GROUP, { ...optionsFor(NOWHERE, directory), ...limits });
    logger.warn("own");
    const stats = conserved(await logger.close(300));
    await realSleep(50);
    assert.deepEqual(logger.stats(), stats, "close() is the end");
    assert.equal(stats.dropped + stats.delivered, 0);
    const service = await serve(t);
    await recover(service, directory);
    const messages = messagesOf(service);
    assert.deepEqual(
      messages.filter((message) => message !== "own").map((message) => Number(message.split(" ")[1])),
      range(500),
    );
    assert.equal(messages.length, 501);
  });

  it("that is full: one onError, and the logger goes on without it", async (t) => {
    const directory = tinyDisk(t);
    if (directory === undefined) return t.skip("no file system can be mounted here");
    const service = await serve(t);
    const { stdout, code, stderr } = await compiled.start(PATIENT, optionsFor(service, join(directory, "spool"))).ended;
    assert.equal(code, 0, stderr);
    assert.deepEqual(JSON.parse(stdout), { delivered: 3_000, errors: 1, thrown: 0 });
    assert.deepEqual([...new Set(messagesOf(service).map(numberOf))], range(3_000));
    assert.equal(messagesOf(service).length, 3_000);
  });

  it("that disappears under way: at most one onError, and every event is delivered", async (t) => {
    const service = await serve(t);
    const directory = spoolIn(t);
    const program = PATIENT.replace(
      "n % 500 === 0",
      `(n === 1_000 && fs.rmSync(${JSON.stringify(directory)}, { recursive: true })) || n % 500 === 0`,
    );
    const { stdout, code, stderr } = await compiled.start(program, optionsFor(service, directory)).ended;
    assert.equal(code, 0, stderr);
    const { delivered, errors, thrown } = JSON.parse(stdout);
    assert.deepEqual({ delivered, thrown }, { delivered: 3_000, thrown: 0 });
    assert.ok(errors <= 1, `${errors} errors`);
    assert.equal(messagesOf(service).length, 3_000);
  });

  it("that may not be written to: one onError, and every event is delivered", async (t) => {
    if (!IS_ROOT) return t.skip("only root can become somebody else");
    const service = await serve(t);
    const forbidden = join(temporaryDirectory(t), "forbidden");
    mkdirSync(forbidden, { mode: 0o755 });
    chmodSync(dirname(forbidden), 0o755);
    const somebody = { uid: 65_534, gid: 65_534 };
    for (const path of [
      forbidden,
      join(forbidden, "below"),
      "/proc/spool",
      join(compiled.directory, "cloudwatch.mjs"),
    ]) {
      const { stdout, code, stderr } = await compiled.start(PATIENT, optionsFor(service, path), somebody).ended;
      assert.equal(code, 0, stderr);
      assert.deepEqual(JSON.parse(stdout), { delivered: 3_000, errors: 1, thrown: 0 }, path);
    }
    assert.equal(messagesOf(service).length, 12_000);
  });

  it("is empty after everything was delivered and the logger closed", async (t) => {
    const service = await serve(t);
    const directory = spoolIn(t);
    const { stats } = await recover(service, directory, { maxBatchEvents: 3 }, GROUP, (logger) => {
      for (const n of range(20)) logger.info(`event ${n}`);
    });
    assert.equal(stats.delivered, 20);
    assert.deepEqual(leftIn(directory), []);
  });

  it("holds as many events as close() says are pending", async (t) => {
    const directory = spoolIn(t);
    const losses: Loss[] = [];
    const logger = new CloudwatchLogger(GROUP, {
      ...optionsFor(NOWHERE, directory),
      maxBatchEvents: 3,
      onError: () => {},
      onLoss: (loss) => losses.push(loss),
    });
    for (const n of range(20)) logger.info(`event ${n}`);
    const stats = conserved(await logger.close(100));
    assert.equal(stats.pending, 20);
    assert.equal(stats.dropped, 0);
    assert.deepEqual(losses, []);
    const text = filesIn(directory)
      .filter((path) => lstatSync(path).isFile())
      .map((path) => readFileSync(path, "utf8"))
      .join("");
    for (const n of range(20)) assert.ok(text.includes(`event ${n}"`), `event ${n} is on disk`);
    const service = await serve(t);
    const recovered = await recover(service, directory);
    assert.equal(recovered.stats.delivered, 20);
    assert.deepEqual(
      messagesOf(service),
      range(20).map((n) => `event ${n}`),
    );
  });
});

// ── The living ──────────────────────────────────────────────────────────────────────────────────────────────────────

describe("the living and the dead", { concurrency: 3 }, () => {
  /** A process that holds three events and cannot deliver them. */
  const holder = (
    name: string,
    directory: string,
    wrapper: string[] = [],
    rest = "setInterval(() => {}, 1_000);",
  ): Program =>
    compiled.start(
      `const logger = new CloudwatchLogger("${GROUP}", options);
      for (let n = 0; n < 3; n++) logger.info("${name} " + n);
      fs.writeSync(1, "pid " + process.pid + " ready");
      ${rest}`,
      optionsFor(NOWHERE, directory),
      { wrapper },
    );
  const three = (name: string) => range(3).map((n) => `${name} ${n}`);

  const kinds: Record<string, { wrapper?: string[]; rest?: string; stop?: true }> = {
    "of two other processes": {},
    "of processes that are pid 1 of containers of their own": {
      wrapper: ["unshare", "--pid", "--net", "--ipc", "--uts", "--mount", "--fork", "--kill-child", "--mount-proc"],
    },
    "of processes that are busy": { rest: "for (;;);" },
    "of processes that are stopped": { stop: true },
  };
  for (const [title, { wrapper = [], rest, stop }] of Object.entries(kinds)) {
    it(`a third logger leaves alone the files ${title}`, async (t) => {
      if (wrapper.length > 0 && !canUnshare(wrapper)) return t.skip("unshare is not allowed here");
      const service = await serve(t);
      const directory = spoolIn(t);
      const living = ["a", "b"].map((name) => holder(name, directory, wrapper, rest));
      for (const program of living) await program.printed("ready");
      if (wrapper.length > 0) assert.match(living[0]?.stdout ?? "", /^pid 1 /);
      if (stop) for (const { child } of living) child.kill("SIGSTOP");
      const dead = holder("dead", directory, wrapper);
      await dead.printed("ready");
      await dead.kill();
      const first = await recover(service, directory, {}, GROUP, (logger) => logger.info("own"));
      assert.deepEqual(messagesOf(service).sort(), [...three("dead"), "own"]);
      assert.equal(first.stats.logged, 4);
      for (const program of living) await program.kill();
      await recover(service, directory);
      assert.deepEqual(messagesOf(service).sort(), [...three("a"), ...three("b"), ...three("dead"), "own"]);
      assert.deepEqual(leftIn(directory), []);
    });
  }

  it("two loggers in one process share a directory", async (t) => {
    const service = await serve(t);
    const directory = spoolIn(t);
    const { signal } = await compiled.start(
      `const one = new CloudwatchLogger("${GROUP}", options);
      const two = new CloudwatchLogger("${GROUP}", options);
      for (let n = 0; n < 3; n++) { one.info("one " + n); two.info("two " + n); }
      await Promise.all([one.flush(300), two.flush(300)]);
      one.info("one 3");
      if (one.stats().logged !== 4 || two.stats().logged !== 3) throw new Error("one has taken from the other");
      const three = new CloudwatchLogger("${GROUP}", options);
      await three.flush(300);
      if (three.stats().logged !== 0) throw new Error("the third has taken from the living");
      await two.close(50);
      process.kill(process.pid, "SIGKILL"); for (;;);`,
      { ...optionsFor(NOWHERE, directory), level: "info" },
    ).ended;
    assert.equal(signal, "SIGKILL");
    const loggers = range(2).map(() => new CloudwatchLogger(GROUP, optionsFor(service, directory)));
    for (const logger of loggers) logger.info("another");
    await Promise.all(loggers.map((logger) => logger.flush()));
    for (const logger of loggers) assert.equal((await logger.close()).pending, 0);
    const all = ["another", "another", "one 0", "one 1", "one 2", "one 3", "two 0", "two 1", "two 2"];
    assert.deepEqual(messagesOf(service).sort(), all);
    assert.deepEqual(leftIn(directory), []);
  });

  it("many loggers that start at once share out what the dead have left", async (t) => {
    const service = await serve(t, { delayMs: 5 });
    const directory = spoolIn(t);
    await inParallel(range(6), (n) => leave(directory, 4, { tag: `dead${n}` }));
    const loggers = range(8).map(() => new CloudwatchLogger(GROUP, optionsFor(service, directory)));
    await Promise.all(loggers.map((logger) => logger.flush()));
    const stats = await Promise.all(loggers.map((logger) => logger.close()));
    assert.equal(
      stats.reduce((total, { delivered }) => total + delivered, 0),
      24,
    );
    assert.equal(messagesOf(service).length, 24, "each event once");
    assert.deepEqual(leftIn(directory), []);
  });
});

// ── Helpers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Logs 3,000 events while the event loop turns now and then, and says how it went. */
const PATIENT = `let errors = 0, thrown = 0;
  const logger = new CloudwatchLogger("${GROUP}", { ...options, onError: () => { errors++ } });
  for (let n = 0; n < 3_000; n++) {
    try { logger.info("event " + n + " " + "x".repeat(60)) } catch { thrown++ }
    if (n % 500 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const { delivered } = await logger.close();
  fs.writeSync(1, JSON.stringify({ delivered, errors, thrown }));`;

function optionsFor(endpoint: LocalCloudWatchLogs | string, spoolDirectory?: string) {
  return {
    endpoint: typeof endpoint === "string" ? endpoint : endpoint.endpoint,
    region: "us-east-1",
    credentials: { accessKeyId: "AKIDTEST", secretAccessKey: "secret" },
    logStreamName: STREAM,
    format: "{message}",
    flushIntervalMs: 100,
    ...(spoolDirectory !== undefined && { spoolDirectory }),
  };
}

async function serve(t: TestContext, options: LocalCloudWatchLogsOptions = {}): Promise<LocalCloudWatchLogs> {
  const service = await LocalCloudWatchLogs.start(options);
  t.after(async () => {
    await service.close();
    assert.deepEqual(service.violations, [], "no limit of CloudWatch Logs was broken");
  });
  return service;
}

function spoolIn(t: TestContext): string {
  return join(temporaryDirectory(t), "spool");
}

/** A process that logs `tag n timestamp`, cannot deliver, and is killed right after its last call. */
async function leave(
  directory: string,
  count: number,
  { tag = "event", group = GROUP, program = "", options = {} as CloudwatchLoggerOptions } = {},
): Promise<void> {
  const { signal, stderr } = await compiled.start(
    `${program}
    const logger = new CloudwatchLogger("${group}", options);
    const now = Date.now;
    for (let n = 0; n < ${count}; n++) {
      const at = now();
      Date.now = () => at;
      logger.info("${tag} " + n + " " + at);
    }
    process.kill(process.pid, "SIGKILL");
    for (;;);`,
    { ...optionsFor(NOWHERE, directory), ...options },
  ).ended;
  assert.equal(signal, "SIGKILL", stderr);
}

/** A logger that delivers what was left, and what it logs itself. */
async function recover(
  service: LocalCloudWatchLogs,
  directory: string,
  options: CloudwatchLoggerOptions = {},
  group = GROUP,
  log: (logger: CloudwatchLogger) => void = () => {},
): Promise<{ stats: Stats; errors: CloudwatchLoggerError[]; losses: Loss[] }> {
  const errors: CloudwatchLoggerError[] = [];
  const losses: Loss[] = [];
  const logger = new CloudwatchLogger(group, {
    ...optionsFor(service, directory),
    onError: (error) => errors.push(error),
    onLoss: (loss) => losses.push(loss),
    ...options,
  });
  log(logger);
  conserved(await logger.flush(30_000));
  const stats = conserved(await logger.close());
  assert.equal(stats.pending, 0, `${stats.pending} are still pending: ${errors}`);
  return { stats, errors, losses };
}

function messagesOf(service: LocalCloudWatchLogs): string[] {
  return service.logGroups().flatMap(({ logGroupName }) => service.events(logGroupName).map(({ message }) => message));
}

function numberOf(message: string): number {
  return Number(message.split(" ")[1]);
}

/** Everything in a spool directory, directories included. */
function leftIn(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory, { recursive: true }).map(String) : [];
}

/** The same, but for sockets: a process killed while it makes its own leaves that, which is no event. */
function leftOfKilled(directory: string): string[] {
  return leftIn(directory).filter((name) => !lstatSync(join(directory, name)).isSocket());
}

/** Takes connections and never answers. */
async function silentEndpoint(t: TestContext): Promise<string> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => sockets.add(socket.on("error", () => {})));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}

/** A file system of 64 KiB. */
function tinyDisk(t: TestContext): string | undefined {
  const directory = mkdtempSync(join(tmpdir(), "cwlogger-disk-"));
  let isMounted = false;
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", directory], { stdio: "ignore" });
    isMounted = true;
  } catch {
    // Not root, or a container that may not.
  }
  t.after(() => {
    if (isMounted) execFileSync("umount", ["-l", directory]);
    rmSync(directory, { recursive: true, force: true });
  });
  return isMounted ? directory : undefined;
}

function canUnshare([command = "", ...options]: string[]): boolean {
  try {
    execFileSync(command, [...options, "true"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

async function inParallel<T>(items: T[], task: (item: T) => Promise<void>): Promise<void> {
  const rest = [...items];
  await Promise.all(
    range(AT_ONCE).map(async () => {
      for (let item = rest.shift(); item !== undefined; item = rest.shift()) await task(item);
    }),
  );
}
