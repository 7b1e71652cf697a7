/**
 * Where the queue, the sender and the spool might be got at: hostile answers, clocks that jump, ends in the middle of
 * something, the end of the stack, and owners of a spool that die again and again. Every event is delivered once, or told.
 */
import assert from "node:assert/strict";
import { cpSync, lstatSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { connect } from "node:net";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { CloudWatchLogsClient } from "@aws-sdk/client-cloudwatch-logs";
import {
  type Client,
  CloudwatchLogger,
  type CloudwatchLoggerError,
  type CloudwatchLoggerOptions,
  type Loss,
} from "../cloudwatch.js";
import { LocalCloudWatchLogs } from "./local-cloudwatch.js";
import {
  Compiled,
  conserved,
  filesIn,
  HOUR_MS,
  range,
  seeded,
  sum,
  temporaryDirectory,
  turn,
  until,
  VirtualTime,
} from "./support.js";

const GROUP = "my-app";
const DAY_MS = 24 * HOUR_MS;
const CREDENTIALS = { accessKeyId: "AKIDTEST", secretAccessKey: "correct-horse" };

const fs = createRequire(import.meta.url)("node:fs") as typeof import("node:fs");

describe("the queue", () => {
  it("close() drops 130,000 waiting events, of which no two neighbours go to one log stream", async (t) => {
    const time = new VirtualTime(t);
    const { logger, losses } = made(silent(), { logStreamName: "s-{date}" });
    for (const n of range(130_000)) {
      time.clockErrorMs = -DAY_MS * (n % 2);
      logger.info("");
    }
    const { logged, pending } = conserved(await time.passUntil(logger.close(0), "close()"));
    assert.equal(pending, 0);
    assert.equal(sum(losses.map(({ count }) => count)), logged);
  });

  const answers: Record<string, unknown> = {
    "whose fields are null": { rejectedLogEventsInfo: null, rejectedEntityInfo: null, nextSequenceToken: null },
    "with an error type that is a symbol": { rejectedEntityInfo: { errorType: Symbol("x") } },
    "with an index that throws": {
      rejectedLogEventsInfo: Object.defineProperty({}, "tooOldLogEventEndIndex", { get: boom }),
    },
  };
  for (const [title, answer] of Object.entries(answers)) {
    it(`an answer ${title} is one of success`, async () => {
      const { logger } = made(double(() => answer));
      logger.info("x");
      const { delivered, requests } = conserved(await logger.close());
      assert.deepEqual([delivered, requests], [1, 1]);
    });
  }

  const thrown: Record<string, unknown> = {
    "an Error whose $metadata is null": Object.assign(new Error("x"), { $metadata: null }),
    "an object whose name throws": Object.defineProperty({}, "name", { get: boom }),
    "a name that is a symbol": { name: Symbol("x") },
    "a message that cannot be made text": { message: Object.create(null) },
    "a proxy all of whose properties throw": new Proxy({}, { get: boom }),
    "a code that is a symbol": { code: Symbol("x") },
    "a proxy whose prototype throws": new Proxy({}, { getPrototypeOf: boom }),
    "a proxy that was revoked": revoked(),
    "a function that cannot be made text": Object.assign(() => {}, { toString: boom }),
  };
  for (const [title, error] of Object.entries(thrown)) {
    it(`a client rejects with ${title}: the next try delivers`, async (t) => {
      const escaped = escapes(t);
      let calls = 0;
      const { logger } = made(
        double(() => {
          if (calls++ === 0) throw error;
        }),
      );
      logger.info("x");
      const { delivered } = conserved(await logger.flush(10_000));
      await turn();
      await logger.close(0);
      assert.equal(delivered, 1);
      assert.deepEqual(escaped, []);
    });
  }

  for (const given of [undefined, null, 5])
    it(`a credentials provider that gives ${given} is a matter of configuration: close() does not wait for it`, async () => {
      const errors: string[] = [];
      const logger = new CloudwatchLogger(GROUP, {
        region: "us-east-1",
        endpoint: "http://127.0.0.1:9",
        credentials: (async () => given) as never,
        closeTimeoutMs: 60_000,
        onError: ({ code }) => errors.push(code),
        onLoss: () => {},
      });
      logger.info("x");
      const { dropped } = conserved(await logger.close());
      assert.deepEqual([dropped, errors], [1, ["ERR_CONFIGURATION"]]);
    });

  const credentials: Record<string, unknown> = {
    "an object": CREDENTIALS,
    "a function that returns no promise": () => CREDENTIALS,
  };
  for (const [title, given] of Object.entries(credentials)) {
    it(`a client's credentials are ${title}: an event that is refused costs no neighbours`, async () => {
      const client = double(({ logEvents }) => {
        if (logEvents.some(({ message }) => message === "bad")) throw failure("InvalidParameterException", 400);
      });
      const { logger } = made(Object.assign(client, { config: { credentials: given } }));
      for (const message of ["a", "bad", "c"]) logger.info(message);
      const { delivered, rejected } = conserved(await logger.close());
      assert.deepEqual([delivered, rejected], [2, 1]);
    });
  }

  it("close() logs nothing that the program has not logged, not even that there was a gap", async () => {
    const { logger } = made(silent(), { maxQueueBytes: 1_024, maxBatchBytes: 1_024, maxEventBytes: 256 });
    for (const _ of range(100)) logger.info("x".repeat(20));
    const before = logger.stats();
    assert.ok(before.droppedReasons.queueFull > 0);
    assert.equal((await logger.close(0)).logged, before.logged);
    await turn();
    const { logged, droppedReasons } = conserved(logger.stats());
    assert.deepEqual([logged, droppedReasons.closed], [before.logged, 0]);
  });

  it("close() needs no memory for each batch that the waiting events would have made", async (t) => {
    const compiled = await compiledFor(t);
    const { code, stdout, stderr } = await compiled.start(
      `const client = { send: () => new Promise(() => {}) };
      const logger = new CloudwatchLogger("g", { client, maxBatchEvents: 1, onError() {}, onLoss() {} });
      for (let n = 0; n < 200_000; n++) logger.info("x");
      console.log((await logger.close(0)).pending);`,
      {},
      { env: { ...process.env, NODE_OPTIONS: "--max-old-space-size=80" } },
    ).ended;
    assert.deepEqual([code, stdout], [0, "0\n"], stderr.slice(-2_000));
  });

  it("of a message whose JSON would be longer than a string can be, the beginning is kept", async () => {
    const sent: string[] = [];
    const { logger } = made(recorder(sent), { format: "json", overflow: "truncate", maxEventBytes: 1_000 });
    logger.info(`begin ${"\u0001".repeat(90_000_000)}`);
    const { delivered } = conserved(await logger.close());
    assert.equal(delivered, 1);
    assert.match(String(sent), /^\{"level":"INFO","message":"begin .*"truncatedBytes":\d+\}$/);
  });
});

describe("full queues and exits", () => {
  it("control characters and the longest timestamp have room in a new page", async (t) => {
    const { logger } = made(recorder([]));
    const now = t.mock.method(Date, "now", () => 8.64e15);
    logger.info("\u0001".repeat(20_000));
    now.mock.restore();
    assert.equal(conserved(await logger.close()).delivered, 1);
  });

  for (const [what, more, messages] of [
    ["has no room", { maxQueueBytes: 1_000, fields: { context: "x".repeat(350) } }, ["one", "y".repeat(150)]],
    [
      "is more than the queue",
      { maxQueueBytes: 1_000, overflow: "split", fields: { context: "x".repeat(5_000) } },
      ["x"],
    ],
  ] as const) {
    it(`a notice of dropped events that itself ${what} does not stop the program`, async (t) => {
      const compiled = await compiledFor(t);
      const { code, stdout, stderr } = await compiled.start(
        `const logger = new CloudwatchLogger("g", { ...options, client: { send: async () => ({}) }, onLoss() {} });
        for (const message of ${JSON.stringify(messages)}) logger.info(message);
        await new Promise((resolve) => setTimeout(resolve, 1));
        const { pending, logged, delivered, dropped } = await logger.close();
        console.log(pending, logged - delivered - dropped, dropped > 0);`,
        { logStreamName: "s", maxBatchBytes: 1_000, ...more },
        { wrapper: ["timeout", "20"] },
      ).ended;
      assert.deepEqual([code, stdout], [0, "0 0 true\n"], stderr);
    });
  }

  it("an onLoss that logs does not call itself in an exit listener after ours", async (t) => {
    const compiled = await compiledFor(t);
    const { code, stdout, stderr } = await compiled.start(
      `let calls = 0;
      const onLoss = () => (calls++, logger.error("lost"));
      const logger = new CloudwatchLogger("g", { ...options, client: { send: () => new Promise(() => {}) }, onLoss });
      process.on("exit", () => {
        logger.info("late");
        const { logged, dropped, pending } = logger.stats();
        fs.writeSync(1, JSON.stringify([calls < 10, logged - dropped, pending]));
      });
      logger.info("x");
      process.exit();`,
      { logStreamName: "s" },
    ).ended;
    assert.deepEqual([code, stdout], [0, "[true,0,0]"]);
    for (const message of ["x", "late"]) assert.ok(stderr.includes(`"message\\":\\"${message}\\"`), message);
  });

  it("a line without an end that an exit listener after ours writes is printed", async (t) => {
    const compiled = await compiledFor(t);
    const { code, stderr } = await compiled.start(
      `const stream = new CloudwatchLogger("g", { ...options, client: { send: async () => ({}) } }).stream();
      process.on("exit", () => stream.write("the last words"));
      process.exit();`,
      { logStreamName: "s" },
    ).ended;
    assert.equal(code, 0);
    assert.match(stderr, /"message":"the last words"/);
  });
});

describe("the sender", () => {
  it("sends nothing once close() has resolved", async () => {
    for (const _ of range(5)) {
      let calls = 0;
      const { logger } = made(
        double(() => {
          calls++;
        }),
      );
      logger.info("x");
      const stats = conserved(await logger.close(0));
      const before = calls;
      await sdkIsThere();
      assert.deepEqual([calls, stats.droppedReasons.unsent], [before, 1 - stats.delivered]);
    }
  });

  it("sends nothing of what waits for a sequence token when it is closed", async () => {
    const started: (string | undefined)[] = [];
    const { logger, out } = made(
      double(({ sequenceToken }) => {
        started.push(sequenceToken);
        if (sequenceToken !== undefined) return new Promise(() => {});
        throw Object.assign(failure("InvalidSequenceTokenException", 400), { expectedSequenceToken: "1" });
      }),
      { maxBatchEvents: 1, maxInFlight: 4 },
    );
    // Each is a batch of its own that no other has to wait for.
    for (const n of range(4)) out.write(`{"time":${Date.now() - n * 1_000}}\n`);
    await until(() => started.includes("1"));
    await turn();
    const before = started.length;
    await logger.close(0);
    await sdkIsThere();
    assert.equal(started.length, before);
  });

  for (const turns of [0, 3, 20])
    it(`a batch whose answer was lost when tokens were not asked for yet is not stored twice, ${turns} turns later`, async () => {
      const stored: string[] = [];
      let token: string | undefined;
      let last: { text: string; sequenceToken: string | undefined } | undefined;
      const { logger, out } = made(
        double(async ({ logEvents, sequenceToken }) => {
          const text = logEvents.map(({ message }) => message).join();
          const isFirst = last === undefined;
          if (sequenceToken !== token) {
            const isKnown = last?.text === text && last.sequenceToken === sequenceToken;
            const name = isKnown ? "DataAlreadyAcceptedException" : "InvalidSequenceTokenException";
            throw Object.assign(failure(name, 400), { expectedSequenceToken: token });
          }
          stored.push(text);
          last = { text, sequenceToken };
          token = String(stored.length);
          if (isFirst) for (const _ of range(turns)) await turn();
          if (isFirst) throw Object.assign(new Error("reset"), { code: "ECONNRESET" });
          return { nextSequenceToken: token };
        }),
        { maxBatchEvents: 1, maxInFlight: 4 },
      );
      const lines = range(8).map((n) => `{"time":${Date.now() - n * 1_000}}`);
      for (const line of lines) out.write(`${line}\n`);
      await logger.flush();
      assert.deepEqual([...stored].sort(), lines.sort());
      await logger.close();
    });

  it("a try that is given up while the SDK is still loading does not go out later", async (t) => {
    const timers = process.getBuiltinModule("node:timers");
    const { setTimeout } = timers;
    let isFirst = true;
    t.mock.method(timers, "setTimeout", (run: () => void, ms: number) => {
      if (ms === 30_000 && isFirst) {
        isFirst = false;
        queueMicrotask(run);
      }
      return setTimeout(run, ms);
    });
    const sent: string[] = [];
    const { logger } = made(recorder(sent));
    logger.info("x");
    await logger.close();
    await sdkIsThere();
    assert.deepEqual([isFirst, sent], [false, ["x"]]);
  });

  for (const ending of ["logger.flush()", 'logger.stream().end("a line\\n")']) {
    it(`the process stays until close() has set the retention policy, though ${ending} is over before`, async (t) => {
      const compiled = await compiledFor(t);
      const { code, stdout, stderr } = await compiled.start(
        `let isCreated = false;
        const client = { send: async ({ constructor: { name } }) => {
          if (name.startsWith("CreateLogGroup")) isCreated = true;
          if (!isCreated) throw Object.assign(new Error("no"), { name: "ResourceNotFoundException" });
          if (!name.startsWith("PutRetentionPolicy")) return {};
          // An answer over a socket that keeps no process alive.
          await new Promise((resolve) => setTimeout(resolve, 100).unref());
          console.log("retained");
        } };
        const logger = new CloudwatchLogger("g", { client, logStreamName: "s", retentionInDays: 7 });
        logger.info("x");
        ${ending};
        await logger.close();
        console.log("closed");`,
        {},
      ).ended;
      assert.deepEqual([code, stdout], [0, "retained\nclosed\n"], stderr);
    });
  }

  it("a wall clock that is set back by an hour during a pause does not hold up delivery", async (t) => {
    const time = new VirtualTime(t);
    let calls = 0;
    const { logger } = made(
      double(() => {
        if (calls++ < 4) throw failure("ServiceUnavailableException", 503);
      }),
    );
    logger.info("x");
    for (const _ of range(60_000)) if (calls < 2) await time.pass(1);
    assert.equal(calls, 2);
    time.clockErrorMs = -HOUR_MS;
    await time.pass(60_000);
    assert.deepEqual([logger.stats().delivered, calls], [1, 5]);
    await time.passUntil(logger.close(0), "close()");
  });

  it("flush() in a loop does not keep trouble from being told", async (t) => {
    const time = new VirtualTime(t);
    let isDown = false;
    const { logger, errors } = made(
      double(() => {
        if (isDown) throw failure("ThrottlingException", 400);
      }),
    );
    // The SDK is there from now on; to load it takes real time.
    logger.info("x");
    await time.passUntil(logger.flush(Number.POSITIVE_INFINITY), "the first delivery");
    isDown = true;
    logger.info("y");
    for (const _ of range(60)) await time.passUntil(logger.flush(100), "flush()");
    assert.deepEqual(
      errors.map(({ code }) => code),
      ["ERR_TRANSIENT"],
      `${logger.stats().requests} requests`,
    );
    await time.passUntil(logger.close(0), "close()");
  });

  it("the bodies that a client's middleware keeps stay as they are", async (t) => {
    const service = await LocalCloudWatchLogs.start();
    t.after(() => service.close());
    const client = new CloudWatchLogsClient({
      endpoint: service.endpoint,
      region: "us-east-1",
      credentials: CREDENTIALS,
    });
    t.after(() => client.destroy());
    const bodies: Buffer[] = [];
    const copies: string[] = [];
    client.middlewareStack.add(
      (next, context) => async (args) => {
        const { body } = args.request as { body: Buffer };
        if (context.commandName === "PutLogEventsCommand") {
          bodies.push(body);
          copies.push(String(body));
        }
        return next(args);
      },
      { step: "finalizeRequest", priority: "low" },
    );
    const { logger } = made(client, { compress: false });
    for (const letter of "abc") {
      for (const _ of range(100)) logger.info(letter.repeat(1_000));
      await logger.flush();
    }
    await logger.close();
    assert.ok(bodies.length >= 3);
    for (const [index, body] of bodies.entries())
      assert.ok(String(body) === copies[index], `body ${index} has changed`);
  });

  for (const turns of [0, 20]) {
    it(`what a request has stored is not told as lost because another one was denied; answers after ${turns} turns`, async () => {
      const sent: string[] = [];
      let calls = 0;
      const { logger, out, losses } = made(
        double(async ({ logEvents }) => {
          if (calls++ === 0) throw failure("AccessDeniedException", 400);
          sent.push(...logEvents.map(({ message }) => message));
          for (const _ of range(turns)) await turn();
        }),
        { maxBatchEvents: 1 },
      );
      for (const n of range(3)) out.write(`{"time":${Date.now() + n},"n":${n}}\n`);
      conserved(await logger.close());
      const told = losses.flatMap(({ events }) => events.map(({ message }) => message));
      assert.deepEqual(
        sent.filter((message) => told.includes(message)),
        [],
      );
    });
  }
});

describe("near the end of the stack", () => {
  for (const hasSpool of [false, true]) {
    it(`${hasSpool ? "with a spool: " : ""}what is counted is what there is`, async (t) => {
      const directory = temporaryDirectory(t);
      for (const round of range(hasSpool ? 2 : 4)) {
        const sent: string[] = [];
        const { logger, losses } = made(recorder(sent), {
          maxBatchEvents: round % 2 === 0 ? 10_000 : 3,
          ...(hasSpool && { spoolDirectory: join(directory, String(round)) }),
        });
        const returned = await logNearEnd(logger, round);
        const { delivered, dropped, pending } = conserved(await logger.close(20_000));
        const details = `round ${round}`;
        assert.deepEqual([dropped, pending, losses.length], [0, 0, 0], details);
        assert.equal(sent.length, delivered, details);
        assert.equal(new Set(sent).size, sent.length, details);
        assert.deepEqual(missing(returned, sent), [], details);
        assert.ok(!process.getActiveResourcesInfo().includes("Timeout"), `${details}: a timer is left`);
      }
    });
  }

  it("an event whose call has returned is on disk after close(), or was told", async (t) => {
    const directory = temporaryDirectory(t);
    for (const round of range(2)) {
      const spoolDirectory = join(directory, String(round));
      const { logger, losses } = made(silent(), { spoolDirectory });
      logger.info("first");
      const returned = await logNearEnd(logger, 2 * round);
      logger.info("last");
      const { pending } = conserved(await logger.close(0));
      const stored = spoolFiles(spoolDirectory).flatMap((path) =>
        readFileSync(path, "utf8")
          .split("\n")
          .slice(1)
          .filter((line) => line !== "")
          .map((line): string => JSON.parse(line.replace(/,$/, "")).message),
      );
      const told = losses.flatMap(({ events }) => events.map(({ message }) => message));
      assert.equal(stored.length, pending, `round ${round}`);
      assert.deepEqual(missing(["first", ...returned, "last"], [...stored, ...told]), [], `round ${round}`);
    }
  });
});

describe("the spool", () => {
  it("an owner that dies while it notes that it has taken over a file: no event twice", async (t) => {
    const note = '!\n{"taken":true},\n';
    for (const length of range(note.length + 1)) {
      const { directory, sent } = await leftBehind(t, 20, 5);
      const [file = ""] = spoolFiles(directory);
      writeFileSync(file, readFileSync(file, "utf8") + note.slice(0, length));
      const { logger, errors } = made(recorder(sent), { spoolDirectory: directory });
      await logger.flush(20_000);
      await logger.close();
      const seen = [errors, sent.length, new Set(sent).size, filesIn(directory)];
      assert.deepEqual(seen, [[], 20, 20, []], `${length} characters of the note`);
    }
  });

  it("a line that was torn stays without effect, whoever takes the file over", async (t) => {
    for (const torn of ['{"done":[5,10]},', '{"done":[5,10]}', '{"done":[5']) {
      const { directory, sent } = await leftBehind(t, 20, 5);
      const [file = ""] = spoolFiles(directory);
      writeFileSync(file, readFileSync(file, "utf8") + torn);
      const options = { maxBatchEvents: 5, maxInFlight: 1 };
      const second = made(recorder(sent, 1), { ...options, spoolDirectory: directory });
      await until(() => sent.length === 10 && doneLines(directory) === 3);
      const left = killed(t, directory);
      await second.logger.close(0);
      const third = made(recorder(sent), { ...options, spoolDirectory: left });
      await third.logger.close();
      assert.deepEqual([sent.length, new Set(sent).size, third.errors], [20, 20, []], torn);
    }
  });

  it("an empty line in the place of an event is damage, and costs no other event", async (t) => {
    const { directory, sent } = await leftBehind(t, 20, 5);
    const [file = ""] = spoolFiles(directory);
    writeFileSync(
      file,
      readFileSync(file, "utf8").replace(/(\n.*){2}\n/, (lines) => `${lines.split("\n", 2).join("\n")}\n\n`),
    );
    const { logger, errors } = made(recorder(sent), { spoolDirectory: directory });
    await logger.close();
    assert.deepEqual([sent.length, new Set(sent).size, errors.length], [20, 20, 1]);
  });

  it("what listeners of exit log costs no removal of files each time", async (t) => {
    const compiled = await compiledFor(t);
    const { code, stdout, stderr } = await compiled.start(
      `const { rmSync } = fs.default;
      let removals = 0;
      fs.default.rmSync = (...given) => (removals++, rmSync(...given));
      fs.default.promises.unlink = () => new Promise(() => {});
      const logger = new CloudwatchLogger("g", { ...options, client: { send: async () => ({}) }, onLoss() {} });
      for (let n = 0; n < 10; n++) logger.info("x".repeat(60_000));
      process.on("exit", () => {
        for (let n = 0; n < 1_000; n++) logger.info("late");
        fs.writeSync(1, String(removals < 100));
      });
      while (logger.stats().delivered < 10) await new Promise((resolve) => setImmediate(resolve));
      process.exit();`,
      { spoolDirectory: temporaryDirectory(t), logStreamName: "s" },
    ).ended;
    assert.deepEqual([code, stdout], [0, "true"], stderr.slice(0, 2_000));
  });

  it("a file that forty owners leave, each with an event less, still has a name that the system takes", async (t) => {
    let { directory, sent } = await leftBehind(t, 45, 1);
    // Each delivers one event, and dies.
    for (const life of range(40)) {
      const { logger, errors } = made(recorder(sent, 1), {
        spoolDirectory: directory,
        maxBatchEvents: 1,
        maxInFlight: 1,
      });
      // The directory of the one before goes last.
      const isSettled = () => sent.length === life + 2 && doneLines(directory) > 0 && ownersIn(directory) === 1;
      await until(() => errors.length > 0 || isSettled(), `life ${life}`);
      assert.deepEqual(errors, [], `life ${life}`);
      const next = killed(t, directory);
      await logger.close(0);
      directory = next;
    }
  });

  it("an event out of order does not cost a system call for each event of its batch", async (t) => {
    const { appendFileSync } = fs;
    let calls = 0;
    t.mock.method(fs, "appendFileSync", (...given: Parameters<typeof appendFileSync>) => {
      calls++;
      appendFileSync(...given);
    });
    const sent: string[] = [];
    const { logger, out } = made(recorder(sent), { spoolDirectory: temporaryDirectory(t), flushIntervalMs: 1_000 });
    const now = Date.now();
    for (const n of range(10_000)) out.write(`{"time":${n === 5_000 ? now - 1 : now},"n":${n}}\n`);
    conserved(await logger.close(20_000));
    assert.equal(sent.length, 10_000);
    assert.ok(calls < 200, `${calls} calls`);
  });

  it("a recovered event larger than a batch may be now is delivered, though its request is throttled", async (t) => {
    const escaped = escapes(t);
    const home = temporaryDirectory(t);
    const first = made(silent(), { spoolDirectory: home });
    const large = "x".repeat(100_000);
    first.logger.info(large);
    const spoolDirectory = killed(t, home);
    await first.logger.close(0);
    const sent: string[] = [];
    let tries = 0;
    const { logger } = made(
      double(async ({ logEvents }) => {
        const messages = logEvents.map(({ message }) => message);
        // The first batch is under way until the large one is, which is throttled once the first has its outcome.
        if (!messages.includes(large)) await until(() => tries > 0);
        else if (tries++ === 0) {
          await until(() => logger.stats().delivered === 401);
          throw failure("ThrottlingException", 400);
        }
        sent.push(...messages);
      }),
      { spoolDirectory, maxBatchBytes: 60_000, maxQueueBytes: 1_000_000 },
    );
    // So many that their page is used again once they are delivered.
    for (const _ of range(400)) logger.info("y".repeat(100));
    // Sends them at once.
    logger.fatal("z");
    await until(() => logger.stats().delivered === 401);
    const { pending } = conserved(await logger.flush(5_000));
    await logger.close(0);
    assert.deepEqual(escaped, []);
    assert.deepEqual([pending, sent.length, sent.at(-1)?.length], [0, 402, 100_000]);
  });

  it("close() does not wait until the directories of all the dead are read", async (t) => {
    const home = temporaryDirectory(t);
    const dead = range(20).map(() => made(silent(), { spoolDirectory: home }).logger);
    for (const logger of dead) logger.info("x");
    const directory = killed(t, home);
    for (const logger of dead) await logger.close(0);
    assert.equal(ownersIn(directory), 20);
    const { opendir } = fs.promises;
    const listing = gate();
    let calls = 0;
    t.mock.method(fs.promises, "opendir", async (...given: Parameters<typeof opendir>) => {
      calls++;
      await listing.pass();
      return opendir(...given);
    });
    const { logger } = made(silent(), { spoolDirectory: directory });
    await until(() => listing.isReached);
    const closing = logger.close(0);
    // Its own directory goes first.
    await until(() => ownersIn(directory) === 20);
    listing.open();
    await closing;
    assert.equal(calls, 1);
  });

  it("a damaged line is not taken out of the count: what was delivered is not sent again, what was not is", async (t) => {
    const home = temporaryDirectory(t);
    const sent: string[] = [];
    const isB = ({ logEvents }: Input) => logEvents.some(({ message }) => message.includes("b"));
    const first = made(
      double((input) => (isB(input) ? undefined : new Promise(() => {}))),
      { spoolDirectory: home, maxBatchEvents: 1, maxInFlight: 4 },
    );
    const now = Date.now();
    for (const [n, id] of [..."abcd"].entries()) first.out.write(`{"time":${now - n * 1_000},"id":"${id}"}\n`);
    await until(() => doneLines(home) === 1);
    const directory = killed(t, home);
    await first.logger.close(0);
    const [file = ""] = spoolFiles(directory);
    writeFileSync(file, readFileSync(file, "utf8").replace('"message"', '"mess\0ge"'));
    const second = made(recorder(sent), { spoolDirectory: directory });
    await second.logger.flush();
    await second.logger.close();
    assert.deepEqual(
      sent.map((message) => JSON.parse(message).id),
      ["d", "c"],
    );
  });

  it("a connection that has no room among the open files costs no file of the spool", async (t) => {
    const compiled = await compiledFor(t);
    const spoolDirectory = temporaryDirectory(t);
    const program = compiled.start(
      `process.stdin.on("data", () => console.log("answered"));
      const logger = new CloudwatchLogger("g", { ...options, client: { send: () => new Promise(() => {}) }, onError: console.log });
      for (let n = 0; n < 10; n++) logger.info("x" + n);
      console.log("logged");
      // Once the socket listens, and all that is loaded later is there.
      process.stdin.once("data", () => {
        try {
          for (;;) fs.openSync("/dev/null");
        } catch (error) {
          console.log("full: " + error.code);
        }
      });`,
      { spoolDirectory, logStreamName: "s" },
      { wrapper: ["sh", "-c", 'ulimit -n 60; exec "$@"', "sh"] },
    );
    t.after(() => program.kill());
    await program.printed("logged");
    program.child.stdin?.write("fill");
    await program.printed("full: EMFILE");
    assert.equal(spoolFiles(spoolDirectory).length, 1);
    const socket = filesIn(spoolDirectory).find((path) => path.endsWith(".sock")) ?? "";
    await new Promise<void>((resolve) => {
      connect(socket)
        .on("error", () => {})
        .on("close", () => resolve());
    });
    // What it does about the connection is done before it reads this.
    const { length } = program.stdout.split("answered");
    program.child.stdin?.write("?");
    await until(() => program.hasEnded || program.stdout.split("answered").length > length);
    assert.equal(spoolFiles(spoolDirectory).length, 1, program.stdout);
  });

  it("two loggers whose random numbers are the same: the first one's file stays", async (t) => {
    const spoolDirectory = temporaryDirectory(t);
    t.mock.method(Math, "random", () => 0.5);
    const one = made(silent(), { spoolDirectory });
    one.logger.info("a");
    assert.equal(spoolFiles(spoolDirectory).length, 1);
    const two = made(silent(), { spoolDirectory });
    two.logger.info("b");
    await until(() => two.errors.length > 0);
    for (const _ of range(5)) await turn();
    assert.equal(spoolFiles(spoolDirectory).length, 1);
    assert.equal((await one.logger.close(0)).pending, 1);
    await two.logger.close(0);
  });

  it("several take over what six owners have left, some close meanwhile: every event once", async (t) => {
    const chance = seeded(11);
    for (const round of range(3)) {
      const spoolDirectory = temporaryDirectory(t);
      const sent: string[] = [];
      const events: string[] = [];
      for (const owner of range(6)) {
        const home = temporaryDirectory(t);
        const { logger, out } = made(recorder(sent, 2), {
          spoolDirectory: home,
          maxBatchEvents: 7,
          maxInFlight: 1,
          maxQueueBytes: 1_048_576,
        });
        const now = Date.now();
        for (const n of range(300)) {
          const id = `${round}-${owner}-${n}`;
          const event = `{"time":${now + n},"id":"${id}","x":"${"x".repeat(n % 9 === 0 ? 5_000 : 10)}"}`;
          events.push(event);
          out.write(`${event}\n`);
        }
        await until(() => sent.length === 14 * (owner + 1) && doneLines(home) === 2);
        cpSync(killed(t, home), spoolDirectory, { recursive: true });
        await logger.close(0);
      }
      const options = { spoolDirectory, maxQueueBytes: 1_048_576 };
      const takers = range(4).map(() => made(recorder(sent), options));
      await Promise.all(
        takers.map(async ({ logger }, index) => {
          if (index < 2) for (const _ of range(200 * chance())) await turn();
          else await logger.flush(20_000);
          await logger.close(index < 2 ? 0 : 20_000);
        }),
      );
      const last = made(recorder(sent), options);
      await last.logger.flush(20_000);
      await last.logger.close(20_000);
      const details = `round ${round}`;
      assert.deepEqual(missing(events, sent), [], details);
      assert.equal(sent.length, events.length, details);
      assert.deepEqual(
        [...takers, last].flatMap(({ errors }) => errors),
        [],
        details,
      );
      assert.deepEqual(filesIn(spoolDirectory), [], details);
    }
  });
});

// ── Helpers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

interface Input {
  logEvents: { message: string }[];
  sequenceToken?: string;
}

/** A client that answers PutLogEvents as it is told to, and takes the rest. */
function double(put: (input: Input) => unknown): Client {
  return {
    send: async (command: never) => {
      const { input } = command as { input: Partial<Input> };
      return (input.logEvents === undefined ? undefined : await put(input as Input)) ?? {};
    },
  };
}

/** A client that keeps the messages of so many batches, and never answers the next. */
function recorder(sent: string[], batches = Number.POSITIVE_INFINITY): Client {
  let left = batches;
  return double(({ logEvents }) => {
    if (left-- <= 0) return new Promise(() => {});
    sent.push(...logEvents.map(({ message }) => message));
    return undefined;
  });
}

/** A client that never answers. */
function silent(): Client {
  return recorder([], 0);
}

/** Where something is held until it may go on. */
function gate() {
  let open = () => {};
  const isOpen = new Promise<void>((resolve) => {
    open = resolve;
  });
  const pass = () => {
    held.isReached = true;
    return isOpen;
  };
  const held = { isReached: false, pass, open };
  return held;
}

async function compiledFor(t: TestContext): Promise<Compiled> {
  const compiled = new Compiled();
  t.after(() => compiled.remove());
  return await compiled.build();
}

function made(client: Client, options: CloudwatchLoggerOptions = {}) {
  const errors: CloudwatchLoggerError[] = [];
  const losses: Loss[] = [];
  const logger = new CloudwatchLogger(GROUP, {
    client,
    logStreamName: "main",
    format: "{message}",
    flushIntervalMs: 5,
    onError: (error) => void errors.push(error),
    onLoss: (loss) => void losses.push(loss),
    ...options,
  });
  return { logger, out: logger.stream(), errors, losses };
}

function failure(name: string, httpStatusCode: number): Error {
  return Object.assign(new Error("no"), { name, $metadata: { httpStatusCode } });
}

/** Rejections that nobody handles, from now on. */
function escapes(t: TestContext): unknown[] {
  const escaped: unknown[] = [];
  const listen = (error: unknown) => void escaped.push(error);
  process.on("unhandledRejection", listen);
  t.after(() => process.off("unhandledRejection", listen));
  return escaped;
}

/** What a logger sends late, it sends once it has the SDK: for that it asks before this does. */
async function sdkIsThere(): Promise<void> {
  await import("@aws-sdk/client-cloudwatch-logs");
  for (const _ of range(5)) await turn();
}

/** Logs at depth after depth, from where the stack ends to where there is room again. Frames differ from round to round. */
async function logNearEnd(logger: CloudwatchLogger, round: number): Promise<string[]> {
  const more = range(round % 7);
  const returned: string[] = [];
  let calls = 0;
  const logAt = (depth: number): boolean => {
    const id = `#${calls++}`;
    const hasReturned = fits(() => dig(depth, () => logger.info(id), ...more));
    if (hasReturned) returned.push(id);
    return hasReturned;
  };
  let [depth, tooDeep] = [1_000, 60_000];
  while (tooDeep - depth > 1) {
    const middle = (depth + tooDeep) >> 1;
    if (fits(() => dig(middle, () => {}, ...more))) depth = middle;
    else tooDeep = middle;
  }
  // There is more room once V8 has compiled it, or less.
  while (logAt(depth)) depth += 100;
  for (let inRow = 0; inRow < 50; depth -= calls < 500 ? 1 : 50) {
    inRow = logAt(depth) ? inRow + 1 : 0;
    if (calls % 50 === 49) await turn();
  }
  return returned;
}

function dig(frames: number, act: () => void, ...more: number[]): void {
  if (frames > 0) dig(frames - 1, act, ...more);
  else act();
}

function fits(run: () => void): boolean {
  try {
    run();
    return true;
  } catch (error) {
    assert.ok(error instanceof RangeError);
    return false;
  }
}

/** The spool of an owner that has logged so many events, and was killed when the first batch was delivered. */
async function leftBehind(t: TestContext, count: number, maxBatchEvents: number) {
  const sent: string[] = [];
  const spoolDirectory = temporaryDirectory(t);
  const { logger, out } = made(recorder(sent, 1), { spoolDirectory, maxBatchEvents, maxInFlight: 1 });
  const now = Date.now();
  for (const n of range(count)) out.write(`{"time":${now + n},"n":${n}}\n`);
  await until(() => sent.length === maxBatchEvents && doneLines(spoolDirectory) === 1);
  const directory = killed(t, spoolDirectory);
  await logger.close(0);
  return { directory, sent };
}

/** What SIGKILL at this moment leaves: the files, and no socket that listens. */
function killed(t: TestContext, directory: string): string {
  const copy = temporaryDirectory(t);
  cpSync(directory, copy, { recursive: true, filter: (path) => !lstatSync(path).isSocket() });
  return copy;
}

function spoolFiles(directory: string): string[] {
  return filesIn(directory).filter((path) => !path.endsWith(".sock"));
}

function ownersIn(directory: string): number {
  return readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isDirectory()).length;
}

function doneLines(directory: string): number {
  return sum(spoolFiles(directory).map((path) => readIfThere(path).split('"done"').length - 1));
}

/** Files go while one looks. */
function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function missing(wanted: string[], got: string[]): string[] {
  const all = new Set(got);
  return wanted.filter((text) => !all.has(text));
}

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

function boom(): never {
  throw new Error("boom");
}
