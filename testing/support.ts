/**
 * What the fault, crash and security tests share: virtual time, chance by seed, and programs in processes of their own.
 */
import assert from "node:assert/strict";
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createRequire, syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { CloudWatchLogsClient } from "@aws-sdk/client-cloudwatch-logs";
import { build } from "esbuild";
import type { Stats } from "../cloudwatch.js";

export const HOUR_MS = 3_600_000;
export const OVERHEAD_BYTES = 26;

/** Timers of at least so long may be timeouts of requests. */
const PATIENT_MS = 10_000;

const nodeTimers = createRequire(import.meta.url)("node:timers") as typeof import("node:timers");
const RealDate = globalThis.Date;
const realTimers = { setTimeout, clearTimeout, setInterval, clearInterval };
const realSetTimeout = realTimers.setTimeout;
const realSend = CloudWatchLogsClient.prototype.send;
const realNow = performance.now.bind(performance);

// ── Virtual time ────────────────────────────────────────────────────────────────────────────────────────────────────

interface VirtualTimer {
  at: number;
  everyMs: number | undefined;
  run: () => void;
  delayMs: number;
}

/**
 * Timers and clock of the logger and the SDK, until the test ends. Time passes only while no request is under way, so
 * that a busy machine changes nothing. Unlike `mock.timers` it lets the wall clock be set without moving the timers, and
 * tells how many timers are left.
 */
export class VirtualTime {
  /** By how much the wall clock of this process is wrong. */
  clockErrorMs = 0;
  /** Called whenever time has passed. */
  onStep: () => void = () => {};
  /** How many timers have run. */
  fired = 0;
  /** Requests that the service never answers; those may take time. */
  hanging = 0;
  #now: number;
  #sending = 0;
  #nextId = 1;
  readonly #timers = new Map<number, VirtualTimer>();

  constructor(t: TestContext, now = RealDate.UTC(2026, 0, 31, 12)) {
    this.#now = now;
    const time = this;
    class VirtualDate extends RealDate {
      constructor(...values: unknown[]) {
        super(...((values.length === 0 ? [VirtualDate.now()] : values) as [number]));
      }
      static override now(): number {
        return time.now + time.clockErrorMs;
      }
    }
    const virtual = {
      setTimeout: (run: (...values: unknown[]) => void, ms = 1, ...values: unknown[]) =>
        this.#start(() => run(...values), ms),
      setInterval: (run: (...values: unknown[]) => void, ms = 1, ...values: unknown[]) =>
        this.#start(() => run(...values), ms, Math.max(1, ms)),
      clearTimeout: (timer: unknown) => this.#timers.delete(Number(timer)),
      clearInterval: (timer: unknown) => this.#timers.delete(Number(timer)),
    };
    Object.assign(globalThis, virtual, { Date: VirtualDate });
    // Past what test runners make of the global ones.
    Object.assign(nodeTimers, virtual);
    syncBuiltinESMExports();
    Object.defineProperty(performance, "now", { configurable: true, value: () => time.now - now });
    CloudWatchLogsClient.prototype.send = async function (this: unknown, ...values: unknown[]) {
      time.#sending++;
      try {
        return await Reflect.apply(realSend, this, values);
      } catch (error) {
        if ((error as Error).name === "AbortError" && time.hanging > 0) time.hanging--;
        throw error;
      } finally {
        time.#sending--;
      }
    } as typeof realSend;
    t.after(() => {
      // A test may have had several: not what was there before this one, but the real ones.
      Object.assign(globalThis, realTimers, { Date: RealDate });
      Object.assign(nodeTimers, realTimers);
      syncBuiltinESMExports();
      Reflect.deleteProperty(performance, "now");
      CloudWatchLogsClient.prototype.send = realSend;
    });
  }

  /** The right time, in milliseconds since the epoch. */
  get now(): number {
    return this.#now;
  }

  /** How many timers wait. */
  get timers(): number {
    return this.#timers.size;
  }

  /** Lets `ms` pass, timer by timer. */
  async pass(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await this.settle();
      const [id, timer] = this.#earliest(end);
      if (timer !== undefined && timer.delayMs >= PATIENT_MS && timer.everyMs === undefined) {
        // Perhaps a timeout: importing the SDK is no request, and takes real time, too.
        await import("@aws-sdk/client-cloudwatch-logs");
        await this.settle();
        if (this.#earliest(end)[1] !== timer) continue;
      }
      this.#now = Math.max(this.#now, timer?.at ?? end);
      if (timer === undefined) break;
      if (timer.everyMs === undefined) this.#timers.delete(id);
      else timer.at += timer.everyMs;
      this.fired++;
      timer.run();
    }
    this.onStep();
  }

  /** Lets time pass until a promise has an outcome. */
  async passUntil<T>(promise: Promise<T>, what: string, limitMs = HOUR_MS, stepMs = 100): Promise<T> {
    let isDone = false;
    const done = () => {
      isDone = true;
    };
    promise.then(done, done);
    const limit = this.#now + limitMs;
    await this.settle();
    while (!isDone) {
      assert.ok(this.#now < limit, `still waiting for ${what} after ${limitMs} virtual ms`);
      await this.pass(stepMs);
    }
    return promise;
  }

  /** Waits, in real time, until every request that will have an answer has it. */
  async settle(): Promise<void> {
    const limit = realNow() + 30_000;
    for (let quiet = 0; quiet < 2; quiet++) {
      await turn();
      if (this.#sending <= this.hanging) continue;
      quiet = -1;
      assert.ok(realNow() < limit, `${this.#sending} requests under way, of which ${this.hanging} hang`);
    }
  }

  #earliest(end: number): [id: number, timer: VirtualTimer | undefined] {
    let earliest: [number, VirtualTimer | undefined] = [0, undefined];
    for (const [id, timer] of this.#timers) {
      if (timer.at <= end && timer.at < (earliest[1]?.at ?? Number.POSITIVE_INFINITY)) earliest = [id, timer];
    }
    return earliest;
  }

  #start(run: () => void, ms: number, everyMs?: number) {
    const id = this.#nextId++;
    const delayMs = Math.max(1, Math.trunc(Number(ms)) || 0);
    this.#timers.set(id, { at: this.#now + delayMs, delayMs, everyMs, run });
    const timer = { ref: () => timer, unref: () => timer, hasRef: () => false, [Symbol.toPrimitive]: () => id };
    return timer;
  }
}

/** Numbers from 0 to 1 that one seed always gives in the same order. (mulberry32) */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

// ── Processes ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** cloudwatch.ts with the SDK in one JavaScript file, which starts quicker and for every user. */
export class Compiled {
  readonly directory = mkdtempSync(join(tmpdir(), "cwlogger-"));
  readonly url = pathToFileURL(join(this.directory, "cloudwatch.mjs")).href;

  async build(): Promise<this> {
    chmodSync(this.directory, 0o755);
    await build({
      entryPoints: [fileURLToPath(new URL("../cloudwatch.ts", import.meta.url))],
      outfile: fileURLToPath(this.url),
      bundle: true,
      minifySyntax: true,
      format: "esm",
      platform: "node",
      target: "node20",
      banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
    });
    return this;
  }

  /** Starts a program in which `CloudwatchLogger` and the `options` are at hand. */
  start(program: string, options: object, spawned: SpawnOptions & { wrapper?: string[] } = {}): Program {
    const script = `import * as fs from "node:fs";
      import { CloudwatchLogger } from ${JSON.stringify(this.url)};
      const options = ${JSON.stringify(options)};
      ${program}`;
    const { wrapper = [], ...rest } = spawned;
    const [command = "", ...values] = [...wrapper, process.execPath, "--input-type=module", "-e", script];
    const env = { PATH: process.env.PATH, AWS_EC2_METADATA_DISABLED: "true" };
    return new Program(spawn(command, values, { cwd: this.directory, env, stdio: "pipe", ...rest }));
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  /** From the start. */
  ms: number;
}

/** A process under test. */
export class Program {
  stdout = "";
  stderr = "";
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  hasEnded = false;

  constructor(child: ChildProcess) {
    this.child = child;
    const from = realNow();
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
    const killer = realSetTimeout(() => child.kill("SIGKILL"), 60_000);
    this.ended = new Promise((resolve, reject) => {
      child.once("error", reject).once("close", (code, signal) => {
        clearTimeout(killer);
        this.hasEnded = true;
        resolve({ code, signal, stdout: this.stdout, stderr: this.stderr, ms: realNow() - from });
      });
    });
  }

  /** Resolves when it has printed a text. */
  async printed(text: string): Promise<void> {
    await until(() => this.stdout.includes(text) || this.hasEnded, `"${text}"`, 30_000);
    assert.ok(this.stdout.includes(text), `ended before it printed "${text}": ${this.stdout}${this.stderr}`);
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<Ended> {
    this.child.kill(signal);
    return this.ended;
  }
}

// ── Small things ────────────────────────────────────────────────────────────────────────────────────────────────────

/** The conservation law, at this moment. */
export function conserved(stats: Stats): Stats {
  const { logged, delivered, rejected, dropped, pending, rejectedReasons, droppedReasons } = stats;
  assert.equal(logged, delivered + rejected + dropped + pending, "events are conserved");
  assert.equal(rejected, sum(Object.values(rejectedReasons)));
  assert.equal(dropped, sum(Object.values(droppedReasons)));
  assert.ok(Math.min(logged, delivered, rejected, dropped, pending) >= 0, "no count is negative");
  return stats;
}

export function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "cwlogger-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Paths of everything in a directory but directories, as far as it can be read. */
export function filesIn(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
      const path = join(directory, entry.name);
      return entry.isDirectory() ? filesIn(path) : [path];
    });
  } catch {
    return [];
  }
}

/** Waits for a condition, in real time. */
export async function until(condition: () => unknown, what = String(condition), limitMs = 20_000): Promise<void> {
  const limit = realNow() + limitMs;
  while (!condition()) {
    assert.ok(realNow() < limit, `still waiting for ${what}`);
    await realSleep(2);
  }
}

export function realSleep(ms: number): Promise<void> {
  return new Promise((resolve) => void realSetTimeout(resolve, ms));
}

export function turn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

export function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

export function range(count: number, from = 0): number[] {
  return Array.from({ length: count }, (_, index) => from + index);
}
