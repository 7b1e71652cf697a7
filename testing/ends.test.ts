/**
 * Every way to end × how the service is × with a spool or not: what is delivered, what is printed, what is on disk, and
 * how long it took. The suite runs part of the table, so that every end meets every kind of trouble; `ENDS=all` runs all
 * of it.
 */
import assert from "node:assert/strict";
import { execFileSync, type StdioOptions } from "node:child_process";
import { closeSync, constants, openSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it, type TestContext } from "node:test";
import { CloudwatchLogger, type CloudwatchLoggerOptions } from "../cloudwatch.js";
import { LocalCloudWatchLogs } from "./local-cloudwatch.js";
import { Compiled, conserved, type Ended, filesIn, range, temporaryDirectory } from "./support.js";

const STREAM = "main";
const NOWHERE = "http://127.0.0.1:1";
const TRIES_ALL = process.env.ENDS === "all";
/** What a busy machine may add to what the contract allows. */
const MARGIN_MS = 3_000;
/** A timer of the SDK's own for a request, which holds the process where no answer comes and nothing else ends it. */
const SDK_TIMER_MS = 3_000;
/** How long the end may take where the service cannot be reached; where it refuses, the end must not wait so long. */
const GONE_TIMEOUT_MS = 700;
/** A program that has not ended by then never will. */
const LIMIT_MS = 10_000;
const UNSHARE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
const EVENTS = range(5).map((n) => `event ${n}`);

const compiled = new Compiled();
let well: LocalCloudWatchLogs;
let slow: LocalCloudWatchLogs;
let silent: LocalCloudWatchLogs;
let refusing: LocalCloudWatchLogs;
before(async () => {
  [, well, slow, silent, refusing] = await Promise.all([
    compiled.build(),
    LocalCloudWatchLogs.start(),
    LocalCloudWatchLogs.start({ delayMs: 300 }),
    LocalCloudWatchLogs.start({ fault: () => ({ kind: "hang" }) }),
    LocalCloudWatchLogs.start({ accessKeyId: "AKIDOTHER" }),
  ]);
});
after(async () => {
  await Promise.all([well, slow, silent, refusing].map((service) => service.close()));
  compiled.remove();
});

// ── The table ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Silent: it takes connections and never answers; gone: it refuses them; refusing: it refuses the credentials. */
type ServiceName = "well" | "slow" | "silent" | "gone" | "refusing";
const SERVICES: ServiceName[] = ["well", "slow", "silent", "gone", "refusing"];

interface End {
  /** Runs when `EVENTS` have been logged. `ends()` marks the moment from which time is taken. */
  program: string;
  /** Runs before the logger is made. */
  prelude?: string;
  options?: CloudwatchLoggerOptions;
  code?: number;
  signal?: NodeJS.Signals;
  /** There is time to deliver; time to print only; or nothing of it runs any more. */
  kind: "gentle" | "abrupt" | "sudden";
  /** What handlers of the program log on the way. */
  late?: string[];
  wrapper?: string[];
  stdin?: "pipe";
  /** It is too late to send or keep those: they are printed. */
  isTooLate?: true;
  /** What it has to print on stdout. */
  prints?: string;
}

const signal = (name: string) => `ends(); process.kill(process.pid, "${name}"); await forever;`;
const closeOnSignals: NodeJS.Signals[] = ["SIGTERM", "SIGINT"];
const signalExit = JSON.stringify(import.meta.resolve("signal-exit"));
const listens = `const { onExit } = await import(${signalExit}); onExit(() => { fs.writeSync(1, "cleaned up"); });`;
/** The same program in a worker. */
const worker = (program: string) => `worker ${program}`;

const ENDS: Record<string, End> = {
  "its natural end": { program: "ends();", code: 0, kind: "gentle" },
  "its natural end with stdin open": { program: "ends();", code: 0, kind: "gentle", stdin: "pipe" },
  "process.exit() at top level": { program: "ends(); process.exit(3);", code: 3, kind: "abrupt" },
  "process.exit() in a timer": {
    program: "setTimeout(() => { ends(); process.exit(3); }, 5); await forever;",
    code: 3,
    kind: "abrupt",
  },
  "process.exit() in a promise": {
    program: "Promise.resolve().then(() => { ends(); process.exit(3); }); await forever;",
    code: 3,
    kind: "abrupt",
  },
  "an uncaught exception": {
    program: 'setTimeout(() => { ends(); throw new Error("uncaught"); }); await forever;',
    code: 1,
    kind: "abrupt",
  },
  "an uncaught exception with a handler that logs and exits": {
    program: `process.on("uncaughtException", () => { logger.fatal("late 0"); process.exit(4); });
      setTimeout(() => { ends(); throw new Error("uncaught"); }); await forever;`,
    code: 4,
    kind: "abrupt",
    late: ["late 0"],
  },
  "an unhandled rejection": {
    program: 'ends(); Promise.reject(new Error("unhandled")); await forever;',
    code: 1,
    kind: "abrupt",
  },
  "SIGTERM with closeOnSignals": {
    program: signal("SIGTERM"),
    options: { closeOnSignals },
    signal: "SIGTERM",
    kind: "gentle",
  },
  "SIGINT with closeOnSignals, stdin being read": {
    program: `process.stdin.resume(); ${signal("SIGINT")}`,
    options: { closeOnSignals },
    signal: "SIGINT",
    kind: "gentle",
    stdin: "pipe",
  },
  "SIGTERM with the program's own handler, which logs and lets it end": {
    program: `process.on("SIGTERM", () => { logger.info("late 0"); setTimeout(() => { logger.info("late 1"); release(); }, 50); });
      ${signal("SIGTERM")}`,
    options: { closeOnSignals },
    code: 0,
    kind: "gentle",
    late: ["late 0", "late 1"],
  },
  "SIGTERM with the program's own handler, which logs, closes and exits": {
    program: `process.on("SIGTERM", async () => { logger.info("late 0"); await logger.close(); process.exit(7); });
      ${signal("SIGTERM")}`,
    options: { closeOnSignals },
    code: 7,
    kind: "gentle",
    late: ["late 0"],
  },
  "SIGTERM with the program's own handler, which was there first": {
    prelude: `process.on("SIGTERM", async () => { logger.info("late 0"); await logger.close(); process.exit(7); });`,
    program: signal("SIGTERM"),
    options: { closeOnSignals },
    code: 7,
    kind: "gentle",
    late: ["late 0"],
  },
  "SIGTERM with signal-exit, loaded before the logger": {
    prelude: listens,
    program: signal("SIGTERM"),
    options: { closeOnSignals },
    signal: "SIGTERM",
    kind: "gentle",
    prints: "cleaned up",
  },
  "SIGINT with signal-exit, loaded after the logger": {
    program: `${listens} ${signal("SIGINT")}`,
    options: { closeOnSignals },
    signal: "SIGINT",
    kind: "gentle",
    prints: "cleaned up",
  },
  "SIGTERM with version 3 of signal-exit": {
    prelude: `const { default: onExit } = await import(${JSON.stringify(import.meta.resolve("signal-exit3"))});
      onExit(() => { fs.writeSync(1, "cleaned up"); });`,
    program: signal("SIGTERM"),
    options: { closeOnSignals },
    signal: "SIGTERM",
    kind: "gentle",
    prints: "cleaned up",
  },
  "SIGTERM with signal-exit and the program's own handler": {
    program: `${listens} process.on("SIGTERM", () => { logger.info("late 0"); release(); }); ${signal("SIGTERM")}`,
    options: { closeOnSignals },
    code: 0,
    kind: "gentle",
    late: ["late 0"],
  },
  "SIGTERM as pid 1": {
    program: signal("SIGTERM"),
    options: { closeOnSignals },
    code: 128 + 15,
    kind: "gentle",
    wrapper: UNSHARE,
  },
  "SIGINT as pid 1": {
    program: signal("SIGINT"),
    options: { closeOnSignals },
    code: 128 + 2,
    kind: "gentle",
    wrapper: UNSHARE,
  },
  "an exit handler that logs": {
    program: 'process.on("exit", () => logger.info("late 0")); ends(); process.exit(3);',
    code: 3,
    kind: "abrupt",
    late: ["late 0"],
    isTooLate: true,
  },
  "an exit handler that logs, which was there first": {
    prelude: 'process.on("exit", () => logger.info("late 0"));',
    program: "ends(); process.exit(3);",
    code: 3,
    kind: "abrupt",
    late: ["late 0"],
  },
  "an onLoss that logs while the process exits": {
    program: "ends(); process.exit(3);",
    prelude: `options.onLoss = ({ events }) => {
      fs.writeSync(2, events.map((event) => JSON.stringify(event) + "\\n").join(""));
      logger.warn("one more");
    };`,
    code: 3,
    kind: "abrupt",
  },
  "the natural end of a worker": { program: worker("ends();"), code: 0, kind: "gentle" },
  "process.exit() in a worker": { program: worker("ends(); process.exit(3);"), code: 3, kind: "abrupt" },
  "terminate() for a worker": {
    program: worker('ends(); parentPort.postMessage("terminate"); for (;;);'),
    code: 1,
    kind: "sudden",
  },
  SIGKILL: {
    program: 'ends(); process.kill(process.pid, "SIGKILL"); await forever;',
    signal: "SIGKILL",
    kind: "sudden",
  },
};

describe("the table of ends", { concurrency: 2, timeout: 600_000 }, () => {
  const canUnshare = allowed(UNSHARE);
  for (const [row, [title, end]] of Object.entries(ENDS).entries()) {
    for (const [column, service] of SERVICES.entries()) {
      for (const hasSpool of [false, true]) {
        const isOther = (row + column + Number(hasSpool)) % 2 === 1 || service === (row % 2 === 0 ? "gone" : "silent");
        if (!TRIES_ALL && isOther) continue;
        it(`${title} × ${service} × ${hasSpool ? "spool" : "no spool"}`, { timeout: 60_000 }, async (t) => {
          if (end.wrapper !== undefined && !canUnshare) return t.skip("unshare is not allowed here");
          await check(t, `end-${row}-${column}-${Number(hasSpool)}`, end, service, hasSpool);
        });
      }
    }
  }
});

async function check(t: TestContext, group: string, end: End, service: ServiceName, hasSpool: boolean): Promise<void> {
  const directory = hasSpool ? join(temporaryDirectory(t), "spool") : undefined;
  const { ended, tookMs } = await runEnd(group, end, service, directory);
  const late = end.late ?? [];
  const events = [...EVENTS, ...(end.isTooLate ? [] : late)];
  if (end.isTooLate) assert.deepEqual(printedOn(ended.stderr, late), late, ended.stderr);
  const isReached = service === "well" || service === "slow";
  assert.deepEqual([ended.code, ended.signal], [end.code ?? null, end.signal ?? null], ended.stderr);
  if (end.prints !== undefined) assert.ok(ended.stdout.includes(end.prints), "others did their part");
  const stored = isReached ? (service === "well" ? well : slow).events(group).map(({ message }) => message) : [];
  const printed = printedOn(ended.stderr, events);
  const saved = directory === undefined ? [] : await recovered(directory, group);

  if (end.kind === "gentle" && isReached) assert.deepEqual([stored, printed, saved], [events, [], []]);
  else {
    // A request under way may be stored all the same.
    if (service !== "slow" || end.kind === "gentle") assert.deepEqual(stored, [], "nothing was sent");
    if (hasSpool) assert.deepEqual([saved, printed], [events, []], "on disk, and therefore not printed");
    else assert.deepEqual(printed, end.kind === "sudden" ? [] : events, "printed");
  }
  if (end.kind === "gentle" && !hasSpool && !isReached) {
    assert.match(ended.stderr, /\bunsent\b/);
    if (service === "refusing") assert.match(ended.stderr, /security token|UnrecognizedClient/, "and it is told why");
  }
  const heldMs = service === "silent" && end.kind === "gentle" ? SDK_TIMER_MS : 0;
  assert.ok(tookMs < 1_000 + heldMs + MARGIN_MS, `it took ${tookMs} ms`);
}

// ── Other ends ──────────────────────────────────────────────────────────────────────────────────────────────────────

describe("the end of a process", { concurrency: 2, timeout: 300_000 }, () => {
  for (const isFirst of [true, false]) {
    for (const [service, hasSpool] of [
      ["well", false],
      ["well", true],
      ["refusing", false],
    ] as const) {
      const title = `a beforeExit handler that logs, made ${isFirst ? "before" : "after"} the logger × ${service}${hasSpool ? " × spool" : ""}`;
      it(`${title}: it ends, and what the handler logs is delivered once, then printed`, async (t) => {
        const group = `before-exit-${isFirst}-${service}-${hasSpool}`;
        const directory = hasSpool ? join(temporaryDirectory(t), "spool") : undefined;
        const says = 'let byes = 0; process.on("beforeExit", () => logger.info("bye " + byes++));';
        const end: End = {
          prelude: isFirst ? says : "",
          program: `${isFirst ? "" : says} process.on("exit", () => fs.writeSync(1, "byes=" + byes)); ends();`,
          kind: "gentle",
        };
        const { ended, tookMs } = await runEnd(group, end, service, directory);
        assert.equal(ended.code, 0, ended.stderr);
        const byes = range(Number(/byes=(\d+)/.exec(ended.stdout)?.[1])).map((n) => `bye ${n}`);
        assert.ok(byes.length >= 1 && byes.length <= 5, `${byes.length} times`);
        const stored = service === "well" ? well.events(group).map(({ message }) => message) : [];
        const printed = printedOn(ended.stderr, [...EVENTS, ...byes]);
        const saved = directory === undefined ? [] : await recovered(directory, group);
        assert.deepEqual([...stored, ...printed, ...saved], [...EVENTS, ...byes], "each has one outcome, in order");
        if (service === "well") assert.deepEqual(stored.slice(0, 6), [...EVENTS, "bye 0"], "delivered once");
        assert.ok(tookMs < 1_000 + MARGIN_MS, `it took ${tookMs} ms`);
      });
    }
  }

  const handlers: Record<string, string> = {
    "flushes, though nothing was logged": "() => { runs++; return logger.flush(); }",
    "logs and flushes": 'async () => { logger.info("bye " + runs++); await logger.flush(); }',
    "logs what is fatal": '() => logger.fatal("bye " + runs++)',
    "ends a stream": '() => logger.stream().end("bye " + runs++)',
  };
  for (const [title, handler] of Object.entries(handlers)) {
    for (const service of ["well", "gone"] as const) {
      it(`a beforeExit handler that ${title} × ${service}: it ends, within the time of one flush`, async () => {
        const group = `before-exit-${title.replace(/\W/g, "-")}-${service}`;
        const program = `let runs = 0; process.on("beforeExit", ${handler});
          process.on("exit", () => fs.writeSync(1, "runs=" + runs)); ends();`;
        const { ended, tookMs } = await runEnd(group, { program, kind: "gentle" }, service, undefined);
        assert.equal(ended.code, 0, ended.stderr);
        const runs = Number(/runs=(\d+)/.exec(ended.stdout)?.[1]);
        assert.ok(runs >= 1 && runs <= 5, `${runs} times`);
        const all = [...EVENTS, ...(title.startsWith("flushes") ? [] : range(runs).map((n) => `bye ${n}`))];
        const stored = service === "well" ? well.events(group).map(({ message }) => message) : [];
        assert.deepEqual([...stored, ...printedOn(ended.stderr, all)], all, "each has one outcome, in order");
        assert.ok(tookMs < 1_000 + MARGIN_MS, `it took ${tookMs} ms`);
      });
    }
  }

  for (const kind of ["a pipe", "a socket"]) {
    it(`process.exit() with ${kind} as stderr that nobody reads takes about a second`, async (t) => {
      const end: End = {
        program: `for (let n = 0; n < 2_000; n++) logger.info("large " + n + "x".repeat(1_000));
          ends(); process.exit(3);`,
        kind: "abrupt",
      };
      const stderr = kind === "a pipe" ? unreadPipe(t) : "pipe";
      const { ended, tookMs } = await runEnd(`unread-${kind === "a pipe"}`, end, "gone", undefined, stderr);
      assert.equal(ended.code, 3);
      assert.ok(tookMs < 1_000 + MARGIN_MS, `it took ${tookMs} ms`);
    });
  }

  for (const last of ["", "process.exit(0);"]) {
    it(`${last || "the natural end"} right after log calls on a closed logger: that loss is told`, async () => {
      for (const onLoss of [true, false]) {
        const end: End = {
          prelude: onLoss
            ? 'options.onLoss = ({ reason, count, events }) => fs.writeSync(1, [reason, count, events.length].join(" "));'
            : "",
          program: `await logger.close(); logger.info("a"); logger.info("b"); ends(); ${last}`,
          kind: "gentle",
        };
        const { ended, tookMs } = await runEnd(
          `closed-${last}-${onLoss}`.replace(/[^\w-]/g, ""),
          end,
          "well",
          undefined,
        );
        assert.equal(ended.code, 0, ended.stderr);
        if (onLoss) assert.match(ended.stdout, /closed 2 0/);
        else assert.match(ended.stderr, /\b2\b.*\bclosed\b/);
        assert.ok(tookMs < 1_000 + MARGIN_MS, `it took ${tookMs} ms`);
      }
    });
  }

  it("the natural end with an exit handler that logs: that comes too late to be sent, and is printed", async () => {
    const program = 'process.on("exit", () => logger.info("late 0")); ends();';
    const { ended } = await runEnd("late-exit", { program, kind: "gentle" }, "well", undefined);
    assert.equal(ended.code, 0, ended.stderr);
    const stored = well.events("late-exit").map(({ message }) => message);
    assert.deepEqual(stored, EVENTS);
    assert.match(ended.stderr, /"message":"late 0"/);
  });

  it("the same signal again ends it at once", async (t) => {
    for (const hasSpool of [false, true]) {
      const group = `twice-${hasSpool}`;
      const directory = hasSpool ? join(temporaryDirectory(t), "spool") : undefined;
      const end: End = {
        program: `process.kill(process.pid, "SIGTERM");
          setTimeout(() => { ends(); process.kill(process.pid, "SIGTERM"); }, 200);
          await forever;`,
        options: { closeOnSignals, closeTimeoutMs: 30_000 },
        kind: "gentle",
      };
      const { ended, tookMs } = await runEnd(group, end, "silent", directory);
      assert.equal(ended.signal, "SIGTERM", ended.stderr);
      assert.ok(tookMs < 1_000 + MARGIN_MS, `it took ${tookMs} ms`);
      if (directory !== undefined) assert.deepEqual(await recovered(directory, group), EVENTS);
    }
  });

  it("closes every logger, one after another's trouble, too", async () => {
    const end: End = {
      prelude: `const other = new CloudwatchLogger("two-loggers-b", { ...options, endpoint: "${NOWHERE}", closeTimeoutMs: 300 });
        other.info("unsent");`,
      program: signal("SIGTERM"),
      options: { closeOnSignals },
      kind: "gentle",
    };
    const { ended } = await runEnd("two-loggers-a", end, "well", undefined);
    assert.equal(ended.signal, "SIGTERM", ended.stderr);
    assert.deepEqual(
      well.events("two-loggers-a").map(({ message }) => message),
      EVENTS,
    );
    assert.deepEqual(printedOn(ended.stderr, ["unsent"]), ["unsent"]);
  });
});

// ── Helpers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Runs a program to its end; how long that took is counted from `ends()`, as the last act of the program. */
async function runEnd(
  group: string,
  { program, prelude = "", options = {}, wrapper = [], stdin }: End,
  service: ServiceName,
  directory: string | undefined,
  stderr: "pipe" | number = "pipe",
): Promise<{ ended: Ended; tookMs: number }> {
  const local = { well, slow, silent, gone: undefined, refusing }[service];
  local?.createLogStream(group, STREAM);
  const given = {
    ...optionsFor(local?.endpoint ?? NOWHERE, directory),
    ...(/gone|silent/.test(service) && { closeTimeoutMs: GONE_TIMEOUT_MS }),
    ...options,
  };
  const body = `
    const ends = () => fs.writeSync(1, "ends=" + Date.now() + ";");
    let release;
    const forever = new Promise((resolve) => {
      const alive = setInterval(() => {}, 1_000);
      setTimeout(() => { fs.writeSync(1, "still alive"); process.exit(99); }, ${LIMIT_MS}).unref();
      release = () => { clearInterval(alive); resolve(); };
    });
    if (!/forever/.test(${JSON.stringify(program + prelude)})) release();
    ${prelude}
    const logger = new CloudwatchLogger("${group}", options);
    for (const message of ${JSON.stringify(EVENTS)}) logger.info(message);
    ${service === "slow" ? "void logger.flush(); await new Promise((resolve) => setTimeout(resolve, 150));" : ""}
    ${program.replace(/^worker /, "")}`;
  const inWorker = `
    import { Worker } from "node:worker_threads";
    const worker = new Worker(${JSON.stringify(`
      const fs = require("node:fs");
      const { parentPort } = require("node:worker_threads");
      import(${JSON.stringify(compiled.url)}).then(async ({ CloudwatchLogger }) => {
        const options = ${JSON.stringify(given)};
        ${body}
      });`)}, { eval: true, execArgv: [] });
    worker.once("message", () => worker.terminate()).once("exit", (code) => { process.exitCode = code; });`;
  const stdio: StdioOptions = [stdin ?? "ignore", "pipe", stderr];
  const isWorker = program.startsWith("worker ");
  const started = compiled.start(isWorker ? inWorker : body, given, { wrapper, stdio });
  const { child } = started;
  const exited = new Promise<number>((resolve) => void child.once("exit", () => resolve(Date.now())));
  if (stderr !== "pipe" || program.includes("large ")) child.stderr?.removeAllListeners("data").pause();
  const killer = setTimeout(() => child.kill("SIGKILL"), LIMIT_MS + 2_000);
  const endedAt = await exited;
  clearTimeout(killer);
  child.stdin?.destroy();
  if (stderr !== "pipe" || program.includes("large ")) child.stderr?.resume();
  const ended = await started.ended;
  const from = Number(/ends=(\d+);/.exec(ended.stdout)?.[1]);
  assert.ok(from > 0, `it never came to its end: ${ended.stdout}${ended.stderr}`);
  return { ended, tookMs: endedAt - from };
}

function optionsFor(endpoint: string, spoolDirectory: string | undefined): CloudwatchLoggerOptions {
  return {
    endpoint,
    region: "us-east-1",
    credentials: { accessKeyId: "AKIDTEST", secretAccessKey: "secret" },
    logStreamName: STREAM,
    format: "{message}",
    // Nothing goes before the end does it.
    flushIntervalMs: 60_000,
    ...(spoolDirectory !== undefined && { spoolDirectory }),
  };
}

/** Events that are on stderr, as lines of JSON. */
function printedOn(stderr: string, events: string[]): string[] {
  return events.filter((message) => stderr.includes(`"message":${JSON.stringify(message)}`));
}

/** What the next logger finds in a spool directory. */
async function recovered(directory: string, group: string): Promise<string[]> {
  const target = await LocalCloudWatchLogs.start();
  const logger = new CloudwatchLogger(group, optionsFor(target.endpoint, directory));
  await logger.flush(20_000);
  const { pending } = conserved(await logger.close());
  await target.close();
  assert.equal(pending, 0);
  assert.deepEqual(filesIn(directory), []);
  return target.events(group).map(({ message }) => message);
}

/** The writing end of a pipe that blocks when it is full. */
function unreadPipe(t: TestContext): number {
  const path = join(temporaryDirectory(t), "pipe");
  execFileSync("mkfifo", [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writer = openSync(path, constants.O_WRONLY);
  t.after(() => {
    closeSync(reader);
    closeSync(writer);
  });
  return writer;
}

function allowed([command = "", ...values]: string[]): boolean {
  try {
    execFileSync(command, [...values, "true"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
