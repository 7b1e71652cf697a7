// cwlogger 1.0.0 · sends a program's logs to Amazon CloudWatch Logs · MIT licence, at the end of this file
/* ═══════════════════════════════════════════════ 1 · Manual ═══════════════════════════════════════════════

  const logger = new CloudwatchLogger("my-app");
  logger.info("order placed", { orderId: 17, totalCents: 4200 });
  logger.error(new Error("card declined"), { orderId: 17 });
  await logger.close();

This file is the whole logger: copy it into a project and install @aws-sdk/client-cloudwatch-logs. Importing it does
nothing; the constructor does no I/O; the SDK is loaded when the first batch goes.

Guarantees
- A log call never throws (but an oversize event under overflow "error") and never waits for the network.
- logged === delivered + rejected + dropped + pending, at every moment; whatever is not delivered has a reason.
- Events are delivered in the order of their calls. At least once: only a request whose outcome stayed unknown is
  sent twice.
- Memory is bounded by `maxQueueBytes`; above 80 % of it only warn and worse are taken, and nothing taken is evicted.
- Every limit of PutLogEvents is kept; a bad event never costs its neighbours.

How an event travels
  log ─ level? → format → fits? (error|truncate|split) → queue (bounded) ─ full? → dropped
                                                            │ count, bytes, age, flush, close
                                                          batch → sender → delivered | rejected | retry
                                                                              └→ stats, onError, onLoss
An event is written once, straight into the bytes of the request that will carry it: room 7 writes the JSON of an
event as the JSON string that PutLogEvents wants, and counts its size on the way. A batch is one such body.

Calls made to AWS, and the policy they need
  logs:PutLogEvents        always
  logs:CreateLogStream     for the default stream name, or when a put finds the log stream missing
  logs:CreateLogGroup      when that finds the log group missing (not with `createLogGroup: false`)
  logs:PutRetentionPolicy  after creating a log group, with `retentionInDays`
  logs:TagResource         while creating a log group, with `tags`
No Describe call is ever made.

Rooms
  2 imports · 3 limits · 4 types · 5 errors and reports · 6 CloudwatchLogger · 7 format · 8 size · 9 queue and batch ·
  10 sender · 11 spool · 12 stream · 13 utilities · 14 licence
*/

// ═══════════════════════════════════════════════ 2 · Imports ════════════════════════════════════════════════

import { AsyncLocalStorage } from "node:async_hooks";
import { createHash, randomBytes, randomInt } from "node:crypto";
import * as fs from "node:fs";
import * as net from "node:net";
import { constants, hostname } from "node:os";
import { basename, join, relative } from "node:path";
import { Writable } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import { format as formatArguments, inspect, types } from "node:util";
import type * as Sdk from "@aws-sdk/client-cloudwatch-logs";

// ═══════════════════════════════════════════════ 3 · Limits ═════════════════════════════════════════════════

/**
 * The levels, by ascending weight. `"silent"` is a threshold only: nothing passes it.
 *
 * @example
 * ```ts
 * for (const level of Object.keys(LEVELS)) console.log(level, logger.isLevelEnabled(level));
 * ```
 */
export const LEVELS = Object.freeze({ trace: 10, debug: 20, info: 30, warn: 40, error: 50, fatal: 60, silent: 70 });

/**
 * The limits of CloudWatch Logs that this logger keeps. Source: the API reference of PutLogEvents and CreateLogGroup,
 * and the quotas page of the CloudWatch Logs user guide; checked 2026-11-20.
 */
export const LIMITS = Object.freeze({
  /** PutLogEvents: bytes of a batch, as the sum of each message's UTF-8 bytes and 26. */
  maxBatchBytes: 1_048_576,
  /** PutLogEvents: events of a batch. */
  maxBatchEvents: 10_000,
  /** PutLogEvents: bytes that each event counts beyond its message. */
  eventOverheadBytes: 26,
  /** The smallest `maxEventBytes` this logger takes: room for a level, a part and some text. */
  minEventBytes: 256,
  /** PutLogEvents: milliseconds that a batch may span, exclusive. */
  maxBatchSpanMs: 24 * 60 * 60 * 1000,
  /** PutRetentionPolicy: the days that `retentionInDays` may be. */
  retentionInDays: Object.freeze([
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
  ]),
  /** CreateLogGroup, CreateLogStream: characters of a name. */
  maxNameLength: 512,
  /** CreateLogGroup: tags of a log group; characters of a tag's key and of its value. */
  maxTags: 50,
  maxTagKeyLength: 128,
  maxTagValueLength: 256,
  /** CreateLogGroup: characters of a KMS key id or ARN. */
  maxKmsKeyIdLength: 256,
});

/** Up to this share of `maxQueueBytes` every level is taken; the rest is headroom for warn and worse. */
const QUEUE_HEADROOM = 0.8;
/** Below this share there is room again: a gap notice may go, a piped source may go on. */
const QUEUE_ROOM = 0.5;
/** First and longest pause between two tries of a request, before jitter. */
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 10_000;
/** Longest pause while the configuration is at fault, so that a repaired policy is found out soon. */
const CONFIGURATION_RETRY_MS = 30_000;
/** A request without an answer for so long is given up and sent again. */
const REQUEST_TIMEOUT_MS = 30_000;
/** Transient trouble is normal in small doses; a batch that failed this often in a row is worth an `onError`. */
const REPORT_AFTER_TRIES = 3;
/** Equal reports come at most this often. */
const REPORT_INTERVAL_MS = 1_000;
/** Deeper values are cut off, and log calls made by getters of logged values stop at so many within each other. */
const MAX_DEPTH = 500;
const MAX_NESTED_CALLS = 4;

// ═══════════════════════════════════════════════ 4 · Types ══════════════════════════════════════════════════

/** A level that an event can have. */
export type Level = Exclude<keyof typeof LEVELS, "silent">;

/** The lowest level that is logged; `"silent"` logs nothing. */
export type Threshold = keyof typeof LEVELS;

/** Named values of an event. */
export type Fields = Record<string, unknown>;

/** What a format function gets. */
export interface FormatEvent {
  /** Time of the call, milliseconds since the epoch. */
  timestamp: number;
  level: Level;
  message: string;
  fields: Fields;
  /** The Error that was logged, if one was. */
  error?: unknown;
}

/** An event as CloudWatch Logs knows it: milliseconds since the epoch and text. */
export interface LogEvent {
  timestamp: number;
  message: string;
}

/** Why AWS did not store an event that it was sent. */
export type RejectedReason = "tooOld" | "tooNew" | "expired" | "invalid";

/**
 * Why this logger did not send an event: larger than `maxEventBytes`; no room in the queue; logged after `close()`;
 * left over when `close()` or the process ended.
 */
export type DroppedReason = "oversize" | "queueFull" | "closed" | "unsent";

/** Events that will not be delivered, as given to `onLoss`. */
export interface Loss {
  reason: RejectedReason | DroppedReason;
  count: number;
  /** The events themselves; empty for `queueFull` and `closed`, whose content is not kept. */
  events: LogEvent[];
  /** Timestamp of the oldest and of the newest of them, ms. */
  from: number;
  to: number;
  /** The trouble behind it, where there is one. */
  cause?: Error;
}

/** Counts of events, but for `requests` and `retries`. `logged === delivered + rejected + dropped + pending`. */
export interface Stats {
  /** Events past the level filter; each part of a split counts. */
  logged: number;
  delivered: number;
  rejected: number;
  dropped: number;
  /** In the queue or in flight. */
  pending: number;
  /** PutLogEvents requests sent, and how many of those carried a batch that had been sent before. */
  requests: number;
  retries: number;
  rejectedReasons: Record<RejectedReason, number>;
  droppedReasons: Record<DroppedReason, number>;
}

/** Static AWS credentials. */
export interface Credentials {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string | undefined;
}

/** Anything that sends commands as a `CloudWatchLogsClient` does. */
export interface Client {
  send(command: never, options?: never): Promise<unknown>;
}

/** Options of {@link CloudwatchLogger}. An option that is `undefined` has its default. */
export interface CloudwatchLoggerOptions {
  /**
   * The log stream, 1 to 512 characters without `:` and `*`. Filled in at construction: `{timestamp}` (UTC
   * `YYYYMMDDHHMMSSffffff`), `{random}` (3 digits), `{hostname}`, `{pid}`, `{program}`; for each event: `{date}` (UTC
   * `YYYY-MM-DD`).
   * @defaultValue `"{timestamp}{random}"`, created before the first put and replaced by another name if it is taken
   */
  logStreamName?: string | undefined;
  /** @defaultValue the SDK's default chain */
  region?: string | undefined;
  /** A profile of the shared AWS files; it beats keys in the environment. @defaultValue the SDK's default chain */
  profile?: string | undefined;
  /** Keys, or a function that provides them. @defaultValue the SDK's default chain */
  credentials?: Credentials | (() => Promise<Credentials & { expiration?: Date }>) | undefined;
  /** URL of the service. @defaultValue the region's */
  endpoint?: string | undefined;
  /** A ready client; excludes the four above; never destroyed by the logger. */
  client?: Client | undefined;
  /** Create a missing log group. @defaultValue `true` */
  createLogGroup?: boolean | undefined;
  /** Retention of a log group that this logger creates; one of {@link LIMITS}`.retentionInDays`. */
  retentionInDays?: number | undefined;
  /** Tags of a log group that this logger creates; at most 50. */
  tags?: Record<string, string> | undefined;
  /** KMS key of a log group that this logger creates; at most 256 characters. */
  kmsKeyId?: string | undefined;
  /** Class of a log group that this logger creates; fixed at creation. */
  logGroupClass?: "STANDARD" | "INFREQUENT_ACCESS" | "DELIVERY" | "ESSENTIALS" | undefined;
  /** Passed with every PutLogEvents: 2 to 4 `keyAttributes`, up to 10 `attributes`. */
  entity?: { keyAttributes?: Record<string, string>; attributes?: Record<string, string> } | undefined;
  /** The threshold. @defaultValue `"info"` */
  level?: Threshold | undefined;
  /** Fields of every event. @defaultValue `{}` */
  fields?: Fields | undefined;
  /**
   * `"json"`, `"text"` (`LEVEL message {"fields":"as JSON"}`), a template with `{timestamp}`, `{level}`, `{message}`,
   * `{caller}` and `{anyField}`, or a function.
   * @defaultValue `"json"`
   */
  format?: "json" | "text" | (string & {}) | ((event: FormatEvent) => string) | undefined;
  /**
   * Names whose values become `"[redacted]"`: a bare name at any depth, a dotted path from the top, `*` for one level.
   * @defaultValue `[]`
   */
  redact?: readonly string[] | undefined;
  /** Also print each event to the console. @defaultValue `false` */
  console?: boolean | undefined;
  /** What happens to an event over `maxEventBytes`. @defaultValue `"error"` */
  overflow?: "error" | "truncate" | "split" | undefined;
  /** Bytes of the largest event: UTF-8 of its message + 26; 256 to `maxBatchBytes`. @defaultValue `maxBatchBytes` */
  maxEventBytes?: number | undefined;
  /** Bytes of the largest batch, 256 to 1,048,576. @defaultValue `1_048_576` */
  maxBatchBytes?: number | undefined;
  /** Events of the largest batch, 1 to 10,000. @defaultValue `10_000` */
  maxBatchEvents?: number | undefined;
  /** Longest time an event waits for its batch to fill, ms. @defaultValue `1_000` */
  flushIntervalMs?: number | undefined;
  /** PutLogEvents at once, 1 to 16; more than one only while full batches are waiting. @defaultValue `4` */
  maxInFlight?: number | undefined;
  /** Bound on accepted, not yet acknowledged events: message bytes + 26 each. @defaultValue `67_108_864` */
  maxQueueBytes?: number | undefined;
  /** Gzip requests where that makes them smaller, until an endpoint refuses it. @defaultValue `false` */
  compress?: boolean | undefined;
  /**
   * Crash safety: an event is in a file of this directory before its call returns, until it is acknowledged. What a
   * process that died has left is sent by the next logger of the same log group. The directory is created for its owner
   * only; loggers and processes may share it.
   */
  spoolDirectory?: string | undefined;
  /** What `close()` and the exit of the process may take at most, ms. @defaultValue `8_000` */
  closeTimeoutMs?: number | undefined;
  /** Signals on which all loggers are closed before the signal takes effect. @defaultValue `[]` */
  closeOnSignals?: NodeJS.Signals[] | undefined;
  /** Hears of trouble. @defaultValue one line on stderr, rate-limited */
  onError?: ((error: CloudwatchLoggerError) => void) | undefined;
  /** Hears of events that will not be delivered. @defaultValue one line on stderr, rate-limited */
  onLoss?: ((loss: Loss) => void) | undefined;
}

/** The options after validation, defaults in place. */
type Settings = CloudwatchLoggerOptions &
  Required<{
    [K in keyof typeof DEFAULTS]: Exclude<CloudwatchLoggerOptions[K & keyof CloudwatchLoggerOptions], undefined>;
  }>;

// ══════════════════════════════════════════ 5 · Errors and reports ══════════════════════════════════════════

/**
 * Trouble that the logger deals with by itself and tells `onError` about.
 *
 * `code` says which: `ERR_CONFIGURATION` (credentials, permissions, a missing log group: events wait), `ERR_TRANSIENT`
 * (the service cannot be reached or throttles, for a while now: events wait), `ERR_SDK_MISSING`, `ERR_LOG_GROUP` (a tag
 * or retention policy was refused), `ERR_ENTITY` (the entity was refused, the events were stored), `ERR_FORMAT` (a
 * format function failed). `cause` carries name, message and status of the underlying error, and nothing of the request.
 *
 * @example
 * ```ts
 * new CloudwatchLogger("my-app", { onError: (error) => metrics.increment(`logging.${error.code}`) });
 * ```
 */
export class CloudwatchLoggerError extends Error {
  override readonly name = "CloudwatchLoggerError";
  readonly code: string;

  constructor(code: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

/** Tells `onError` and `onLoss`; neither can break the logger. */
class Reporter {
  readonly #onError: (error: CloudwatchLoggerError) => unknown;
  readonly #onLoss: (loss: Loss) => unknown;
  /** Losses without content, gathered until the timer, `flush`, `close` or the exit tells them. */
  readonly #gathered = new Map<DroppedReason, Loss>();
  #timer: NodeJS.Timeout | undefined;
  /** Within a callback: what it prints on a captured console is no event. */
  isTelling = false;

  constructor(options: CloudwatchLoggerOptions) {
    const print = rateLimited((text) => writeStderr(`cwlogger: ${text}\n`));
    this.#onError = options.onError ?? ((error) => print(error.code, error.message));
    this.#onLoss =
      options.onLoss ??
      ((loss) => {
        print(loss.reason, describeLoss(loss));
        if (loss.reason === "unsent") printEvents(loss.events);
      });
  }

  error(code: string, message: string, cause?: unknown): void {
    this.#tell(this.#onError, new CloudwatchLoggerError(code, message, cause));
  }

  loss(reason: Loss["reason"], events: LogEvent[], cause?: Error): void {
    const loss: Loss = { reason, count: events.length, events, from: Infinity, to: -Infinity };
    for (const { timestamp } of events) {
      loss.from = Math.min(loss.from, timestamp);
      loss.to = Math.max(loss.to, timestamp);
    }
    if (cause) loss.cause = cause;
    if (loss.count > 0) this.#tell(this.#onLoss, loss);
  }

  /** A callback of the user's may throw, or return a promise that is rejected. */
  #tell<T>(callback: (value: T) => unknown, value: T): void {
    this.isTelling = true;
    try {
      Promise.resolve(callback(value)).catch(() => {});
    } catch {
      // Its own trouble; there is nobody left to tell.
    }
    this.isTelling = false;
  }

  gather(reason: DroppedReason, count: number, timestamp: number): void {
    const loss = this.#gathered.get(reason);
    if (loss) {
      loss.count += count;
      loss.from = Math.min(loss.from, timestamp);
      loss.to = Math.max(loss.to, timestamp);
    } else {
      this.#gathered.set(reason, { reason, count, events: [], from: timestamp, to: timestamp });
      this.#timer ??= setTimeout(() => this.tellGathered(), REPORT_INTERVAL_MS).unref();
    }
  }

  tellGathered(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const losses = [...this.#gathered.values()];
    this.#gathered.clear();
    for (const loss of losses) this.#tell(this.#onLoss, loss);
  }
}

// ═══════════════════════════════════════════ 6 · CloudwatchLogger ═══════════════════════════════════════════

const DEFAULTS = Object.freeze({
  logStreamName: "{timestamp}{random}",
  createLogGroup: true,
  level: "info",
  format: "json",
  console: false,
  overflow: "error",
  maxBatchBytes: LIMITS.maxBatchBytes,
  maxBatchEvents: LIMITS.maxBatchEvents,
  flushIntervalMs: 1_000,
  maxInFlight: 4,
  maxQueueBytes: 67_108_864,
  compress: false,
  closeTimeoutMs: 8_000,
  closeOnSignals: [],
});

/**
 * Sends a program's logs to one log stream of Amazon CloudWatch Logs.
 *
 * - A log call costs about what `JSON.stringify` of the event costs, and never waits for the network.
 * - Events are sent in batches: when one is full, `flushIntervalMs` after its first event, on `fatal`, `flush`, `close`.
 * - Nothing is lost silently: see {@link CloudwatchLogger.stats}, `onLoss` and `onError`.
 *
 * @example
 * ```ts
 * const logger = new CloudwatchLogger("my-app", { region: "eu-central-1", fields: { service: "checkout" } });
 * logger.warn("stock is low", { article: 4711, left: 3 });
 * await logger.close();
 * ```
 */
export class CloudwatchLogger {
  readonly #core: Core;
  readonly #parent: CloudwatchLogger | undefined;
  readonly #fields: Fields | undefined;
  /** Weight of the threshold; a child without one follows its parent. */
  #threshold: number | undefined;
  /** Fields of the callbacks of `withFields` that are running. */
  #scope: AsyncLocalStorage<Fields | undefined> | undefined;

  /**
   * @param logGroupName 1 to 512 characters of `. _ - / # A-Z a-z 0-9`, or `null`: no CloudWatch, every event is printed.
   * @throws {TypeError} `logGroupName` is undefined, an option is unknown, of the wrong type or excluded by another one.
   * @throws {RangeError} A name, number or word is outside of what is allowed.
   */
  constructor(logGroupName: string | null, options: CloudwatchLoggerOptions = {}) {
    if ((logGroupName as unknown) instanceof Core) {
      // A child: same queue, stream and lifecycle.
      this.#core = logGroupName as unknown as Core;
      this.#parent = (options as ChildOptions).parent;
      this.#fields = options.fields;
      this.#threshold = options.level && LEVELS[options.level];
    } else {
      const settings = validate(logGroupName, options);
      this.#core = new Core(logGroupName, settings);
      this.#fields = settings.fields && mergeFields(settings.fields);
      this.#threshold = LEVELS[settings.level];
    }
  }

  /** The log stream in use. With `{date}` in the template: that of the present day. */
  get logStreamName(): string {
    return this.#core.streams.at(Date.now()).name;
  }

  /** The threshold; may be set at any time. @throws {RangeError} on setting an unknown level. */
  get level(): Threshold {
    const threshold = this.#weight();
    return (Object.keys(LEVELS) as Threshold[]).find((level) => LEVELS[level] === threshold) ?? "info";
  }

  set level(level: Threshold) {
    check("level", level);
    this.#threshold = LEVELS[level];
  }

  /** Whether a call at `level` would be logged; an unknown level counts as `info`. */
  isLevelEnabled(level: Level): boolean {
    return (isLevel(level) ? LEVELS[level] : LEVELS.info) >= this.#weight();
  }

  trace(message: unknown, fields?: object): void {
    if (this.#weight() <= LEVELS.trace) this.#log("trace", message, fields);
  }

  debug(message: unknown, fields?: object): void {
    if (this.#weight() <= LEVELS.debug) this.#log("debug", message, fields);
  }

  /**
   * Logs an event. So do `trace`, `debug`, `warn`, `error` and `fatal`; `fatal` also sends at once.
   *
   * @param message A string, an Error, an object (its properties become fields), or any other value.
   * @param fields More properties of the event.
   * @throws {RangeError} with `code: "ERR_OVERSIZE"`: the event is over `maxEventBytes` and `overflow` is `"error"`.
   * @example
   * ```ts
   * logger.info("order placed", { orderId: 17 });
   * logger.error(new Error("card declined"), { orderId: 17 });
   * ```
   */
  info(message: unknown, fields?: object): void {
    if (this.#weight() <= LEVELS.info) this.#log("info", message, fields);
  }

  warn(message: unknown, fields?: object): void {
    if (this.#weight() <= LEVELS.warn) this.#log("warn", message, fields);
  }

  error(message: unknown, fields?: object): void {
    if (this.#weight() <= LEVELS.error) this.#log("error", message, fields);
  }

  fatal(message: unknown, fields?: object): void {
    if (this.#weight() <= LEVELS.fatal) this.#log("fatal", message, fields);
  }

  /** Logs at a level that is known at run time only; an unknown level counts as `info`. */
  log(level: Level, message: unknown, fields?: object): void {
    if (this.isLevelEnabled(level)) this.#log(isLevel(level) ? level : "info", message, fields);
  }

  /**
   * A logger with more fields and, if given, a threshold of its own; same queue, log stream and lifecycle.
   *
   * @example
   * ```ts
   * const log = logger.child({ requestId }, { level: "debug" });
   * ```
   */
  child(fields?: object, options?: { level?: Threshold | undefined }): CloudwatchLogger {
    const level = attempt(() => options?.level, undefined);
    const child: ChildOptions = { parent: this, fields: mergeFields(this.#fields, fields) };
    if (level !== undefined) child.level = Object.hasOwn(LEVELS, level) ? level : "info";
    return new CloudwatchLogger(this.#core as never, child);
  }

  /**
   * Runs a callback in which every event of this logger and its children carries `fields`, in awaited continuations and
   * timers that it starts, too. Returns what the callback returns.
   *
   * @example
   * ```ts
   * app.use((request, _response, next) => logger.withFields({ requestId: request.id }, next));
   * ```
   */
  withFields<T>(fields: object, callback: () => T): T {
    this.#scope ??= new AsyncLocalStorage();
    return this.#scope.run(mergeFields(this.#scope.getStore(), fields), callback);
  }

  /**
   * Turns `console.debug`, `log`, `info`, `warn` and `error` into events as well; they still print. Returns the function
   * that undoes it.
   */
  captureConsole(): () => void {
    const levels = { debug: "debug", log: "info", info: "info", warn: "warn", error: "error" } as const;
    let isActive = true;
    const restore = (Object.keys(levels) as (keyof typeof levels)[]).map((method) => {
      const original = console[method];
      const captured = (...values: unknown[]) => {
        original.apply(console, values);
        if (isActive) this.#capture(levels[method], values);
      };
      console[method] = captured;
      return () => {
        if (console[method] === captured) console[method] = original;
      };
    });
    return () => {
      // Whoever has wrapped the console since then keeps calling what is there now.
      isActive = false;
      for (const undo of restore) undo();
    };
  }

  /**
   * An object-mode Writable for pino, winston, bunyan, morgan or `source.pipe(…)`. Lines are sent as they are, records
   * in the format of this logger; the host decides about levels. `end()` waits for delivery and leaves the logger open.
   * It never emits `'error'`.
   *
   * @example
   * ```ts
   * const log = pino(logger.stream());
   * ```
   */
  stream(): Writable {
    return new LogWritable(this.#core, () => this.#context(), false);
  }

  /** Counts of events so far. `logged === delivered + rejected + dropped + pending`, at every moment. */
  stats(): Stats {
    return this.#core.queue.stats();
  }

  /**
   * Sends what is waiting. Resolves when everything logged before the call has an outcome, or after `timeoutMs`
   * (default: no limit); never rejects.
   */
  flush(timeoutMs?: number): Promise<Stats> {
    return this.#core.flush(timeoutMs);
  }

  /**
   * Flushes, then stops for good; what is left after `timeoutMs` (default `closeTimeoutMs`) is reported as `unsent`.
   * A second call gives the same promise. Never rejects.
   */
  close(timeoutMs?: number): Promise<Stats> {
    return this.#core.close(timeoutMs);
  }

  /** `await using logger = new CloudwatchLogger(…)` closes it at the end of the block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #weight(): number {
    let logger: CloudwatchLogger = this;
    while (logger.#threshold === undefined) logger = logger.#parent as CloudwatchLogger;
    return logger.#threshold;
  }

  #log(level: Level, message: unknown, fields: object | undefined): void {
    const core = this.#core;
    const caller = core.wantsCaller ? callerName(this.#log) : undefined;
    core.log("call", level, Date.now(), message, this.#context(), fields, caller);
  }

  #capture(level: Level, values: unknown[]): void {
    // What the logger itself prints, or a callback of it, is no event.
    if (this.#core.isBusy || !this.isLevelEnabled(level)) return;
    const message = values.length === 1 ? values[0] : attempt(() => formatArguments(...values), "[unreadable]");
    this.#core.log("console", level, Date.now(), message, this.#context(), undefined, undefined);
  }

  /** The fields of this logger, then those of the callbacks it runs in, outer ones first. */
  #context(): Fields | undefined {
    let fields = this.#fields;
    for (let logger: CloudwatchLogger | undefined = this; logger !== undefined; logger = logger.#parent) {
      const scope = logger.#scope?.getStore();
      if (scope !== undefined) fields = mergeFields(scope, fields === this.#fields ? undefined : fields);
    }
    return fields === this.#fields ? fields : mergeFields(this.#fields, fields);
  }
}

/**
 * The stream of a logger of its own, which `end()` closes: a target of `pino.transport`. Options that pino adds are
 * ignored.
 *
 * @throws {TypeError | RangeError} as the constructor of {@link CloudwatchLogger} does.
 * @example
 * ```ts
 * const log = pino(pino.transport({ target: "cwlogger", options: { logGroupName: "my-app" } }));
 * ```
 */
export default function transport(options: { logGroupName: string | null } & CloudwatchLoggerOptions): Writable {
  const known = Object.entries(options).filter(([name]) => Object.hasOwn(RULES, name));
  const settings = validate(options.logGroupName, Object.fromEntries(known));
  const core = new Core(options.logGroupName, settings);
  return new LogWritable(core, () => settings.fields, true);
}

type ChildOptions = CloudwatchLoggerOptions & { parent?: CloudwatchLogger };

/** Where an event comes from. Only a `call` may throw; what came from the console has been printed. */
type Origin = "call" | "console" | "stream" | "notice";

/** What a logger and its children share: the way from a call to the queue. */
class Core {
  readonly streams: LogStreams;
  readonly queue: Queue;
  readonly wantsCaller: boolean;
  readonly signals: readonly NodeJS.Signals[];
  readonly #settings: Settings;
  readonly #reporter: Reporter;
  readonly #isPrinter: boolean;
  readonly #redaction: Redaction | undefined;
  /** `undefined` for JSON, which is written without an intermediate text. */
  readonly #format: ((event: FormatEvent, caller: string | undefined) => string) | undefined;
  /** One writer for each log call within a log call: getters and `toJSON` may log. */
  readonly #writers: EventWriter[] = [];
  #depth = 0;
  #hasFormatFailed = false;
  /** Waiting for room, to tell of a gap. */
  #watch: Promise<void> | undefined;
  /** How much was logged when the last flush before the exit began. */
  #loggedAtExit = -1;
  #closing: Promise<Stats> | undefined;

  constructor(logGroupName: string | null, settings: Settings) {
    const { format, redact, closeOnSignals } = settings;
    this.#settings = settings;
    this.#isPrinter = logGroupName === null;
    this.#reporter = new Reporter(settings);
    this.#redaction = redact?.length ? new Redaction(redact) : undefined;
    this.streams = new LogStreams(settings.logStreamName);
    this.queue = new Queue(logGroupName ?? "", settings, this.streams, this.#reporter);
    this.#format = compileFormat(format);
    this.wantsCaller = typeof format === "string" && format.includes("{caller}");
    this.signals = closeOnSignals;
    if (!this.#isPrinter) onProcessEnd(this);
  }

  /** Whether this is within a log call or a callback of the logger. */
  get isBusy(): boolean {
    return this.#depth > 0 || this.#reporter.isTelling;
  }

  /** level → format → fit → queue, for anything that a program logs. */
  log(
    origin: Origin,
    level: Level,
    timestamp: number,
    message: unknown,
    base: Fields | undefined,
    fields: object | undefined,
    caller: string | undefined,
  ): void {
    if (this.#refuses(origin, timestamp)) return;
    const depth = this.#depth;
    if (depth === MAX_NESTED_CALLS) {
      this.#accept(origin, level, timestamp, this.#text(timestamp, "[logged while being logged, left out]"));
      return;
    }
    this.#writers[depth] ??= new EventWriter(this.#settings.maxQueueBytes, this.#redaction);
    const writer = this.#writers[depth];
    this.#depth = depth + 1;
    try {
      this.#write(writer, level, timestamp, message, base, fields, caller);
      this.#accept(origin, level, timestamp, writer);
    } finally {
      this.#depth = depth;
    }
  }

  /** fit → queue, for a line that a host has formatted. */
  send(level: Level, timestamp: number, line: string): void {
    if (this.#refuses("stream", timestamp)) return;
    this.#accept("stream", level, timestamp, this.#text(timestamp, this.#redaction?.line(line) ?? line));
  }

  #refuses(origin: Origin, timestamp: number): boolean {
    if (this.#closing === undefined || origin === "notice") return false;
    this.queue.drop("closed", 1, timestamp);
    return true;
  }

  #text(timestamp: number, text: string): EventWriter {
    const writer = new EventWriter(this.#settings.maxQueueBytes);
    writer.text(timestamp, text);
    return writer;
  }

  /** Writes the event in the format of this logger. Never throws. */
  #write(
    writer: EventWriter,
    level: Level,
    timestamp: number,
    message: unknown,
    base: Fields | undefined,
    fields: object | undefined,
    caller: string | undefined,
  ): void {
    try {
      const event = readEvent(level, timestamp, message, base, fields, this.#redaction);
      const text = this.#format === undefined ? undefined : this.#formatted(event, caller);
      if (text === undefined) writer.json(event);
      else writer.text(timestamp, text);
    } catch (error) {
      // Nothing known gets here but an exhausted stack.
      writer.text(timestamp, `${level.toUpperCase()} [event left out: ${reasonOf(error)}]`);
    }
  }

  /** The text of a format other than JSON; `undefined` where a format function fails. */
  #formatted(draft: Draft, caller: string | undefined): string | undefined {
    const { message = "", fields, error } = this.#redaction?.draft(draft) ?? draft;
    try {
      const event = { ...draft, message, fields: mergeFields(fields) ?? {}, ...(error !== undefined && { error }) };
      const text: unknown = this.#format?.(event, caller);
      if (typeof text === "string") return text;
      if (types.isPromise(text)) text.catch(() => {});
      throw new TypeError(`it returned ${typeof text}`);
    } catch (failure) {
      if (!this.#hasFormatFailed)
        this.#reporter.error("ERR_FORMAT", `The format function failed: ${reasonOf(failure)}`);
      this.#hasFormatFailed = true;
      return undefined;
    }
  }

  #accept(origin: Origin, level: Level, timestamp: number, event: EventWriter): void {
    const { queue } = this;
    const { console: isPrinted, overflow, maxBatchBytes, maxEventBytes = maxBatchBytes } = this.#settings;
    if ((isPrinted || this.#isPrinter) && origin !== "console") print(level, event.message());
    const size = event.size();
    if (this.#isPrinter) {
      queue.countPrinted();
    } else if (size <= maxEventBytes) {
      if (queue.admit(1, size, level, timestamp)) queue.append(timestamp, event);
    } else if (overflow === "error") {
      queue.drop("oversize", 1, timestamp);
      if (origin === "call") {
        const text = `Log event too large: ${size} bytes exceeds "maxEventBytes" of ${maxEventBytes}`;
        throw Object.assign(new RangeError(text), { code: "ERR_OVERSIZE" });
      }
      this.#reporter.loss("oversize", [{ timestamp, message: event.message() }]);
    } else {
      const fit = overflow === "split" ? split : truncate;
      const parts = fit(event.message(), maxEventBytes - LIMITS.eventOverheadBytes);
      const bytes = sum(parts.map((part) => Buffer.byteLength(part) + LIMITS.eventOverheadBytes));
      if (queue.admit(parts.length, bytes, level, timestamp)) {
        for (const part of parts) queue.append(timestamp, this.#text(timestamp, part));
      }
    }
    if (level === "fatal") queue.hurry();
    if (queue.gap !== undefined) {
      this.#watch ??= queue.room(0).then(() => {
        this.#watch = undefined;
        this.#tellGap();
      });
    }
  }

  /** One WARN event says what the stream is missing. */
  #tellGap(): void {
    const gap = this.queue.takeGap();
    if (gap === undefined) return;
    const from = new Date(gap.from).toISOString();
    const to = new Date(gap.to).toISOString();
    const message = `${gap.count} log events were dropped because the queue was full, from ${from} to ${to}`;
    const fields = { dropped: gap.count, reason: "queueFull", from, to };
    this.log("notice", "warn", Date.now(), message, undefined, fields, undefined);
  }
  async flush(timeoutMs?: number): Promise<Stats> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      if (timeoutMs !== undefined) timer = setTimeout(resolve, clampMs(timeoutMs));
    });
    await Promise.race([this.queue.drained(), late]);
    if (this.queue.hasRoomFor(0) && this.queue.gap !== undefined) {
      this.#tellGap();
      await Promise.race([this.queue.drained(), late]);
    }
    clearTimeout(timer);
    this.#reporter.tellGathered();
    return this.queue.stats();
  }

  close(timeoutMs: number = this.#settings.closeTimeoutMs): Promise<Stats> {
    this.#closing ??= this.flush(timeoutMs).then(() => {
      this.queue.close();
      offProcessEnd(this);
      return this.queue.stats();
    });
    return this.#closing;
  }

  /** The event loop is empty: one more flush, unless the last one in this place did not get anything through. */
  beforeExit(): void {
    const { pending, logged } = this.queue.stats();
    if (pending === 0 || logged === this.#loggedAtExit || this.#closing !== undefined) return;
    this.#loggedAtExit = logged;
    void this.flush(this.#settings.closeTimeoutMs);
  }

  /** The process ends in this tick: what is undelivered is printed, so that it does not disappear silently. */
  exit(): void {
    const events = this.queue.close();
    // Without an onLoss of the user's, the report has printed them.
    if (this.#settings.onLoss !== undefined) printEvents(events);
  }
}

// ═══════════════════════════════════════════════ 7 · Format ═════════════════════════════════════════════════

/** An event on its way to a format. */
interface Draft {
  timestamp: number;
  level: Level;
  message: string | undefined;
  fields: Fields | undefined;
  error?: unknown;
}

function readEvent(
  level: Level,
  timestamp: number,
  message: unknown,
  base: Fields | undefined,
  extra: object | undefined,
  redaction: Redaction | undefined,
): Draft {
  const draft: Draft = { timestamp, level, message: undefined, fields: base };
  let given: object | undefined = extra ?? undefined;
  if (given !== undefined && isError(given)) {
    draft.error = given;
    given = undefined;
  } else if (given !== undefined && !isRecord(given)) {
    given = { fields: given };
  }
  if (typeof message === "string") {
    draft.message = message;
  } else if (isError(message)) {
    if (draft.error !== undefined) given = { error: draft.error };
    draft.error = message;
    draft.message = textOf(read(message, "message"));
  } else if (isRecord(message)) {
    const { message: own, ...rest } = mergeFields(message) ?? {};
    if (isError(own)) draft.error ??= own;
    if (own !== undefined) draft.message = textOf(isError(own) ? read(own, "message") : own, redaction);
    given = given === undefined ? rest : mergeFields(rest, given);
  } else {
    draft.message = textOf(message, redaction);
  }
  if (given !== undefined) draft.fields = base === undefined ? (given as Fields) : mergeFields(base, given);
  return draft;
}

function compileFormat(
  format: Settings["format"],
): ((event: FormatEvent, caller: string | undefined) => string) | undefined {
  if (format === "json") return undefined;
  if (typeof format === "function") return (event) => format(event);
  const template = format === "text" ? "{level} {message}" : format;
  const complete = template.includes("{message}") ? template : `${template}{message}`;
  // Odd places hold the names of the placeholders.
  const pieces = complete.split(/\{(\w+)\}/);
  const named = new Set(pieces.filter((_, index) => index % 2 === 1));
  return (event, caller) => {
    let text = "";
    for (const [index, piece] of pieces.entries()) {
      if (index % 2 === 0) text += piece;
      else if (piece === "timestamp") text += new Date(event.timestamp).toISOString();
      else if (piece === "level") text += event.level.toUpperCase();
      else if (piece === "caller") text += caller ?? "";
      else if (piece === "message") text += messageWithError(event);
      else if (Object.hasOwn(event.fields, piece)) text += textOf(read(event.fields, piece));
    }
    const rest = Object.entries(event.fields).filter(([name]) => !named.has(name));
    return rest.length === 0 ? text : `${text} ${stringify(Object.fromEntries(rest))}`;
  };
}

function messageWithError({ message, error }: FormatEvent): string {
  if (error === undefined) return message;
  const stack = errorText(error);
  return stack.includes(message) ? stack : `${message} ${stack}`;
}

/** An Error's stack, followed by what the stack does not tell: cause, errors, own fields. */
function errorText(error: unknown): string {
  const { name, message, stack, ...rest } = JSON.parse(stringify(error)) as Fields;
  const text = typeof stack === "string" ? stack : `${name}: ${message}`;
  return Object.keys(rest).length === 0 ? text : `${text} ${JSON.stringify(rest)}`;
}

/** Any value as the text of a message. Never throws. */
function textOf(value: unknown, redaction?: Redaction): string {
  if (typeof value === "string") return value;
  if (typeof value === "function") return attempt(() => `[Function: ${value.name}]`, "[Function]");
  if (typeof value !== "object" || value === null) return String(value);
  if (attempt(() => value instanceof Uint8Array, false)) {
    return attempt(() => Buffer.from(value as Uint8Array).toString(), "[unreadable]");
  }
  const json = stringify(value, redaction);
  return json.startsWith('"') ? (JSON.parse(json) as string) : json;
}

/** JSON of any value: as JSON.stringify writes it, but for the content that JSON.stringify would lose or throw at. */
function stringify(value: unknown, redaction?: Redaction): string {
  const writer = new EventWriter(DEFAULTS.maxQueueBytes, redaction);
  writer.value(value);
  return writer.message();
}

/** What JSON makes of an ASCII character inside of a string. */
const ESCAPED = Array.from({ length: 128 }, (_, code) => JSON.stringify(String.fromCharCode(code)).slice(1, -1));
/** The same for a JSON string inside of a JSON string. */
const ESCAPED_TWICE = ESCAPED.map((text) => JSON.stringify(text).slice(1, -1));
/** 1 for the bytes of UTF-8 that stand for themselves. */
const IS_CLEAN = Uint8Array.from({ length: 256 }, (_, byte) => (byte > 127 || ESCAPED[byte]?.length === 1 ? 1 : 0));

/** The names that JSON events use themselves; a field of that name is kept with an underscore behind. */
function isReserved(name: string): boolean {
  return name === "level" || name === "message" || name === "error" || name === "part" || name === "truncatedBytes";
}

/** Thrown inside of {@link EventWriter} when an event grows beyond everything that could be sent. */
const TOO_LARGE = new RangeError("larger than the queue");

/** Free bytes that every write leaves behind, so that punctuation needs no check. */
const SLACK_BYTES = 64;

/**
 * Writes one event at a time as PutLogEvents wants it, `{"timestamp":…,"message":"…"}`, into bytes that are used again.
 *
 * A JSON event is a JSON string inside of JSON: every quote and backslash is escaped twice. One walk over the value does
 * that, counts the size and survives whatever the value holds, for the price of one JSON.stringify.
 */
class EventWriter {
  bytes: Buffer = Buffer.allocUnsafeSlow(16_384);
  length = 0;
  /** Where the message begins, and how many of the bytes since are escapes that the message does not count. */
  #start = 0;
  #escapes = 0;
  /** What the bytes before `#start` say; a burst of events shares them. */
  #timestamp = Number.NaN;
  /** Objects around the value that is being written, to find cycles. */
  readonly #ancestors: object[] = [];
  #depth = 0;
  readonly #limitBytes: number;
  readonly #redaction: Redaction | undefined;
  /** Names from the top of the event to the value that is being written, kept for redaction only. */
  readonly #path: string[] = [];

  constructor(limitBytes: number, redaction?: Redaction) {
    this.#limitBytes = limitBytes;
    this.#redaction = redaction;
  }

  /** UTF-8 bytes of the message and the overhead that the service counts. */
  size(): number {
    return this.length - this.#start - 2 - this.#escapes + LIMITS.eventOverheadBytes;
  }

  /** The message as text. */
  message(): string {
    return JSON.parse(this.bytes.toString("utf8", this.#start - 1, this.length - 1)) as string;
  }

  text(timestamp: number, text: string): void {
    // The service refuses an empty message.
    this.#write(timestamp, () => this.#string(text === "" ? " " : text, ESCAPED));
  }

  json({ timestamp, level, message, fields, error }: Draft): void {
    this.#write(timestamp, () => {
      this.#ascii(OPENINGS[level]);
      this.#escapes = 4;
      if (message !== undefined) this.#member("message", message, false);
      if (fields !== undefined) this.#fields(fields);
      if (error !== undefined) this.#member("error", error, false);
      this.#byte(CLOSING_BRACE);
    });
  }

  /** The JSON of a value, as a message of its own. */
  value(value: unknown): void {
    this.#write(0, () => this.#value(value, "") || this.#ascii("null"));
  }

  #write(timestamp: number, message: () => unknown): void {
    if (timestamp !== this.#timestamp) {
      this.length = 0;
      this.#ascii(`{"timestamp":${timestamp},"message":"`);
      this.#start = this.length;
      this.#timestamp = timestamp;
    }
    this.length = this.#start;
    this.#escapes = 0;
    this.#depth = 0;
    this.#path.length = 0;
    try {
      message();
    } catch (error) {
      // Broken off: it has been found too large for whatever comes next.
      if (error !== TOO_LARGE) throw error;
    }
    this.#byte(QUOTE);
    this.#byte(CLOSING_BRACE);
  }

  /** False where JSON has no such value: `undefined`. */
  #value(value: unknown, key: string): boolean {
    switch (typeof value) {
      case "string":
        this.#quoted(value);
        return true;
      case "number":
        if (Number.isFinite(value)) this.#ascii(String(value));
        else this.#quoted(String(value));
        return true;
      case "boolean":
        this.#ascii(value ? "true" : "false");
        return true;
      case "undefined":
        return false;
      case "object":
        if (value !== null) return this.#object(value, key);
        this.#ascii("null");
        return true;
      default:
        this.#quoted(textOf(value));
        return true;
    }
  }

  #object(value: object, key: string): boolean {
    const depth = this.#depth;
    if (depth > MAX_DEPTH || this.#isWithin(value)) {
      this.#quoted(depth > MAX_DEPTH ? "[nested too deep]" : "[circular]");
      return true;
    }
    const { length } = this;
    const escapes = this.#escapes;
    const level = this.#path.length;
    this.#ancestors[depth] = value;
    this.#depth = depth + 1;
    let written = true;
    try {
      written = this.#container(value, key);
    } catch (error) {
      if (error === TOO_LARGE) throw error;
      // A getter, a trap or a toJSON that throws: what can be read of this value is kept, its neighbours anyway.
      this.length = length;
      this.#escapes = escapes;
      this.#path.length = level;
      const readable = isRecord(value) ? mergeFields(value) : undefined;
      if (readable === undefined) this.#quoted(`[unreadable: ${reasonOf(error)}]`);
      else this.#braces(readable);
    }
    this.#depth = depth;
    return written;
  }

  #isWithin(value: object): boolean {
    for (let index = this.#depth - 1; index >= 0; index--) if (this.#ancestors[index] === value) return true;
    return false;
  }

  #container(value: object, key: string): boolean {
    const prototype: unknown = Object.getPrototypeOf(value);
    const isPlain = prototype === Object.prototype || prototype === null;
    if (!isPlain && isError(value)) return this.#error(value);
    const { toJSON } = value as { toJSON?: unknown };
    if (typeof toJSON !== "function") {
      if (isPlain) this.#braces(value);
      else this.#contents(value);
      return true;
    }
    const json: unknown = toJSON.call(value, key);
    if (typeof json !== "object" || json === null) {
      // JSON has no word for an invalid date.
      return this.#value(json === null && types.isDate(value) ? String(value) : json, key);
    }
    if (json !== value && this.#isWithin(json)) return this.#value("[circular]", key);
    this.#ancestors[this.#depth++] = json;
    this.#contents(json);
    return true;
  }

  #contents(value: object): void {
    if (Array.isArray(value)) this.#array(value);
    else if (types.isSet(value)) this.#array([...value]);
    else if (types.isMap(value)) {
      const isNamed = [...value.keys()].every((name) => typeof name === "string");
      if (isNamed) this.#braces(Object.fromEntries(value));
      else this.#array([...value]);
    } else if (types.isBoxedPrimitive(value)) this.#value((value as { valueOf(): unknown }).valueOf(), "");
    else if (types.isRegExp(value)) this.#quoted(String(value));
    else this.#braces(value);
  }

  #array(items: unknown[]): void {
    this.#byte(OPENING_BRACKET);
    for (let index = 0; index < items.length; index++) {
      if (index > 0) this.#byte(COMMA);
      if (!this.#item(items[index], String(index))) this.#ascii("null");
    }
    this.#byte(CLOSING_BRACKET);
  }

  #braces(value: object): void {
    this.#byte(OPENING_BRACE);
    this.#members(value as Fields, false);
    this.#byte(CLOSING_BRACE);
  }

  /** The fields of a JSON event, behind its level. */
  #fields(fields: Fields): void {
    const { length } = this;
    const escapes = this.#escapes;
    try {
      this.#members(fields, true);
    } catch (error) {
      if (error === TOO_LARGE) throw error;
      this.length = length;
      this.#escapes = escapes;
      this.#path.length = 0;
      this.#members(mergeFields(fields) ?? {}, true);
    }
  }

  #members(fields: Fields, isTop: boolean): void {
    let isFirst = !isTop;
    // For-in is a tenth of the whole walk faster than Object.keys.
    for (const name in fields) {
      if (!Object.hasOwn(fields, name)) continue;
      const value = fields[name];
      if (value === undefined) continue;
      const key = isTop && isReserved(name) ? freeName(name, fields) : name;
      if (this.#member(name, value, isFirst, key)) isFirst = false;
    }
  }

  #member(name: string, value: unknown, isFirst: boolean, key = name): boolean {
    const { length } = this;
    const escapes = this.#escapes;
    if (!isFirst) this.#byte(COMMA);
    this.#quoted(key);
    this.#byte(COLON);
    if (this.#item(value, name)) return true;
    this.length = length;
    this.#escapes = escapes;
    return false;
  }

  /** The value behind a name or at an index, unless it is to be hidden. */
  #item(value: unknown, name: string): boolean {
    if (this.#redaction === undefined) return this.#value(value, name);
    this.#path.push(name);
    const isHidden = value !== undefined && this.#redaction.hides(this.#path);
    const isWritten = this.#value(isHidden ? "[redacted]" : value, name);
    this.#path.pop();
    return isWritten;
  }

  /** An Error's own way to hold its content: little of it is enumerable. */
  #error(error: Error): true {
    this.#byte(OPENING_BRACE);
    let isFirst = true;
    for (const name of new Set(["name", "message", "stack", "cause", "errors", ...Object.keys(error)])) {
      if (name in error && this.#member(name, read(error, name), isFirst)) isFirst = false;
    }
    this.#byte(CLOSING_BRACE);
    return true;
  }

  /** A string in quotes, inside of a JSON event. */
  #quoted(text: string): void {
    this.#byte(BACKSLASH);
    this.#byte(QUOTE);
    this.#string(text, ESCAPED_TWICE);
    this.#byte(BACKSLASH);
    this.#byte(QUOTE);
    this.#escapes += 2;
  }

  #byte(byte: number): void {
    this.bytes[this.length++] = byte;
  }

  #ascii(text: string): void {
    this.#reserve(text.length);
    const { bytes, length } = this;
    for (let index = 0; index < text.length; index++) bytes[length + index] = text.charCodeAt(index);
    this.length = length + text.length;
  }

  /** UTF-8 and escapes. A lone surrogate becomes U+FFFD. */
  #string(text: string, escaped: readonly string[]): void {
    // Short ASCII, which most strings are: quicker by hand than by a call into the runtime.
    let at = this.length;
    let index = 0;
    if (text.length < 64) {
      this.#reserve(7 * text.length);
      const { bytes } = this;
      for (; index < text.length; index++) {
        const code = text.charCodeAt(index);
        if (code > 127) break;
        if (IS_CLEAN[code] === 1) bytes[at++] = code;
        else at = this.#escape(code, escaped, at);
      }
      this.length = at;
      if (index === text.length) return;
    }
    for (; index < text.length; ) {
      // In pieces, so that a string of any length ends at the limit. No piece ends inside of a surrogate pair.
      let end = Math.min(text.length, index + 65_536);
      if (end < text.length && text.charCodeAt(end) >> 10 === LOW_SURROGATE) end++;
      this.#reserve(3 * (end - index));
      const start = this.length;
      this.length += this.bytes.write(index === 0 && end === text.length ? text : text.slice(index, end), start);
      this.#escapeFrom(start, escaped);
      index = end;
    }
  }

  /** Writes what an ASCII character becomes; returns where the next one goes. */
  #escape(code: number, escaped: readonly string[], at: number): number {
    const text = escaped[code] as string;
    for (let index = 0; index < text.length; index++) this.bytes[at + index] = text.charCodeAt(index);
    this.#escapes += text.length - (escaped === ESCAPED ? 1 : (ESCAPED[code] as string).length);
    return at + text.length;
  }

  /** Escapes what was written from `start` on: makes room, then moves and escapes from the end. */
  #escapeFrom(start: number, escaped: readonly string[]): void {
    let grown = 0;
    for (let index = start; index < this.length; index++) {
      const byte = this.bytes[index] as number;
      if (IS_CLEAN[byte] === 0) grown += (escaped[byte] as string).length - 1;
    }
    if (grown === 0) return;
    this.#reserve(grown);
    const { bytes } = this;
    let to = this.length + grown;
    for (let index = this.length - 1; to > index + 1; index--) {
      const byte = bytes[index] as number;
      if (IS_CLEAN[byte] === 1) {
        bytes[--to] = byte;
      } else {
        to -= (escaped[byte] as string).length;
        this.#escape(byte, escaped, to);
      }
    }
    this.length += grown;
  }

  #reserve(bytes: number): void {
    if (this.length + bytes + SLACK_BYTES > this.bytes.length) this.#grow(bytes);
  }

  #grow(bytes: number): void {
    if (this.length - this.#escapes > this.#limitBytes) throw TOO_LARGE;
    const grown = Buffer.allocUnsafeSlow(2 * (this.length + bytes + SLACK_BYTES));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }
}

/** What `redact` names. */
class Redaction {
  readonly #names: Set<string>;
  readonly #paths: string[][];

  constructor(redact: readonly string[]) {
    const paths = redact.map((path) => path.replace(/\[(\w+|\*)\]/g, ".$1").split("."));
    this.#names = new Set(paths.filter(({ length }) => length === 1).map(([name]) => name as string));
    this.#paths = paths.filter(({ length }) => length > 1);
  }

  hides(path: readonly string[]): boolean {
    const matches = (names: string[]) =>
      names.length === path.length && names.every((name, index) => name === "*" || name === path[index]);
    return this.#names.has(path.at(-1) as string) || this.#paths.some(matches);
  }

  /** A line that a host has formatted, if it is a JSON object. */
  line(line: string): string {
    return line.startsWith("{") ? attempt(() => stringify(JSON.parse(line), this), line) : line;
  }

  /** An event as formats other than JSON get it: copies, of which the values are hidden. */
  draft({ message, fields, error }: Draft): Pick<Draft, "message" | "fields" | "error"> {
    const top = JSON.parse(stringify({ message, error }, this)) as Pick<Draft, "message" | "error">;
    return { ...top, fields: JSON.parse(stringify(fields ?? {}, this)) as Fields };
  }
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPENING_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSING_BRACKET = 0x5d;
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;
/** The upper six bits of the second half of a surrogate pair. */
const LOW_SURROGATE = 0xdc00 >> 10;

/** How a JSON event of each level begins. */
const OPENINGS = Object.fromEntries(
  Object.keys(LEVELS).map((level) => [level, `{\\"level\\":\\"${level.toUpperCase()}\\"`]),
) as Record<Level, string>;

function freeName(name: string, fields: Fields): string {
  do name += "_";
  while (Object.hasOwn(fields, name));
  return name;
}

// ════════════════════════════════════════════════ 8 · Size ══════════════════════════════════════════════════

/** One text of at most `limitBytes` UTF-8 bytes; a JSON event stays JSON and gains `truncatedBytes`. */
function truncate(text: string, limitBytes: number): string[] {
  const event = parseEvent(text);
  if (event !== undefined) {
    const truncatedBytes = Buffer.byteLength(event.message);
    const room = limitBytes - Buffer.byteLength(JSON.stringify({ ...event, message: "", truncatedBytes }));
    if (room >= 0) {
      const message = event.message.slice(0, cutAt(event.message, 0, room, true));
      return [JSON.stringify({ ...event, message, truncatedBytes: truncatedBytes - Buffer.byteLength(message) })];
    }
  }
  return [text.slice(0, cutAt(text, 0, limitBytes, false))];
}

/** Texts of at most `limitBytes` UTF-8 bytes each; of a JSON event each is JSON with a piece of its message. */
function split(text: string, limitBytes: number): string[] {
  const event = parseEvent(text);
  if (event !== undefined) {
    const part = { id: randomBytes(6).toString("hex"), index: text.length, count: text.length };
    const room = limitBytes - Buffer.byteLength(JSON.stringify({ ...event, message: "", part }));
    if (room >= MAX_ESCAPED_BYTES) {
      const pieces = cut(event.message, room, true);
      return pieces.map((message, index) =>
        JSON.stringify({ ...event, message, part: { id: part.id, index, count: pieces.length } }),
      );
    }
  }
  return cut(text, limitBytes, false);
}

/** The JSON of one event with a message; `undefined` where the text is none, or was broken off. */
function parseEvent(text: string): (Fields & { message: string }) | undefined {
  const event = attempt(() => JSON.parse(text) as Fields & { message: string }, undefined);
  return typeof event?.message === "string" ? event : undefined;
}

function cut(text: string, limitBytes: number, inJson: boolean): string[] {
  const pieces: string[] = [];
  for (let from = 0; from < text.length; ) {
    const to = cutAt(text, from, limitBytes, inJson);
    pieces.push(text.slice(from, to));
    from = to;
  }
  return pieces;
}

/** A control character in JSON, `\u0000`: the most bytes that one code point takes. */
const MAX_ESCAPED_BYTES = 6;

/** Where a piece from `from` ends that takes at most `limitBytes`, as it is or inside of a JSON string. */
function cutAt(text: string, from: number, limitBytes: number, inJson: boolean): number {
  let bytes = 0;
  for (let index = from; index < text.length; ) {
    const point = text.codePointAt(index) as number;
    if (point < 0x80) bytes += inJson ? (ESCAPED[point] as string).length : 1;
    else bytes += point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    if (bytes > limitBytes) return index;
    index += point < 0x10000 ? 1 : 2;
  }
  return text.length;
}

// ═══════════════════════════════════════════ 9 · Queue and batch ════════════════════════════════════════════

/** A log stream that this logger writes to. */
interface LogStream {
  name: string;
  /** To be created before the first put, under another name if this one is taken. */
  fresh: boolean;
}

/** The log stream for each event: always the same one, but for `{date}`. */
class LogStreams {
  readonly #template: string;
  readonly #perDay: boolean;
  readonly #byName = new Map<string, LogStream>();
  /** The last answer, and the time of day it holds for. */
  #current: LogStream | undefined;
  #day = Number.NaN;

  constructor(template: string) {
    this.#template = fillName(template);
    this.#perDay = template.includes("{date}");
    if (!this.#perDay) this.#current = { name: this.#template, fresh: template === DEFAULTS.logStreamName };
  }

  at(timestamp: number): LogStream {
    const day = this.#perDay ? Math.floor(timestamp / 86_400_000) : 0;
    if (this.#current !== undefined && (!this.#perDay || day === this.#day)) return this.#current;
    const date = new Date(day * 86_400_000).toISOString().slice(0, 10);
    this.#current = this.named(this.#template.replaceAll("{date}", date));
    this.#day = day;
    return this.#current;
  }

  /** The log stream of that name, for events that were meant for it. */
  named(name: string): LogStream {
    if (this.#current?.name === name) return this.#current;
    let stream = this.#byName.get(name);
    if (stream === undefined) {
      stream = { name, fresh: false };
      this.#byName.set(name, stream);
    }
    return stream;
  }

  /** Another name for a fresh log stream whose name is taken. */
  rename(stream: LogStream): void {
    stream.name = fillName(DEFAULTS.logStreamName);
  }
}

/** Events of one PutLogEvents: the elements of its `logEvents`, as JSON, each with a comma behind. */
class Batch {
  readonly id: number;
  readonly stream: LogStream;
  bytes: Buffer;
  length = 0;
  events = 0;
  /** Bytes as the service counts them: messages + 26 each. */
  size = 0;
  first = Number.POSITIVE_INFINITY;
  last = Number.NEGATIVE_INFINITY;
  /** No more event goes in, and others may be in flight at the same time. */
  full = false;
  /** Where the spool keeps the same bytes. */
  file: SpoolFile | undefined;
  /** Timestamps ascend. Only a clock that was set back, or a host that brings its own times, breaks this. */
  sorted = true;
  /** Where the events of the newest millisecond begin, and what stood before them. */
  #tail = { length: 0, events: 0, size: 0, last: 0 };

  constructor(id: number, stream: LogStream, bytes: Buffer = Buffer.allocUnsafeSlow(16_384)) {
    this.id = id;
    this.stream = stream;
    this.bytes = bytes;
  }

  static of(id: number, stream: LogStream, events: LogEvent[]): Batch {
    const batch = new Batch(id, stream);
    const writer = new EventWriter(LIMITS.maxBatchBytes);
    for (const { timestamp, message } of events) {
      writer.text(timestamp, message);
      batch.append(timestamp, writer);
    }
    return batch;
  }

  /** Milliseconds between the oldest and the newest event, were there one of `timestamp` too. */
  spanWith(timestamp: number): number {
    return Math.max(this.last, timestamp) - Math.min(this.first, timestamp);
  }

  append(timestamp: number, event: EventWriter): void {
    const end = this.length + event.length + 1;
    if (end > this.bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(end, 2 * this.bytes.length));
      grown.set(this.bytes.subarray(0, this.length));
      this.bytes = grown;
    }
    if (timestamp !== this.last) {
      this.#tail = { length: this.length, events: this.events, size: this.size, last: this.last };
      if (timestamp < this.last) this.sorted = false;
    }
    this.bytes.set(event.bytes.subarray(0, event.length), this.length);
    this.bytes[end - 1] = COMMA;
    this.length = end;
    this.events++;
    this.size += event.size();
    this.first = Math.min(this.first, timestamp);
    this.last = Math.max(this.last, timestamp);
  }

  /** Moves the events of the newest millisecond into a batch of their own; `undefined` where there are no others. */
  cutTail(id: number, bytes: Buffer | undefined): Batch | undefined {
    const tail = this.#tail;
    if (!this.sorted || tail.events === 0) return undefined;
    const batch = new Batch(id, this.stream, bytes);
    batch.length = this.length - tail.length;
    if (batch.length > batch.bytes.length) batch.bytes = Buffer.allocUnsafeSlow(2 * batch.length);
    this.bytes.copy(batch.bytes, 0, tail.length, this.length);
    batch.events = this.events - tail.events;
    batch.size = this.size - tail.size;
    batch.first = this.last;
    batch.last = this.last;
    Object.assign(this, tail);
    return batch;
  }

  /** The events, read back from the bytes. */
  list(): LogEvent[] {
    return JSON.parse(`[${this.bytes.toString("utf8", 0, this.length - 1)}]`) as LogEvent[];
  }

  /** Chronological, events of one millisecond in the order they came. */
  chronological(): Batch {
    if (this.sorted) return this;
    const events = this.list().sort((a, b) => a.timestamp - b.timestamp);
    return Object.assign(Batch.of(this.id, this.stream, events), { full: this.full, file: this.file });
  }

  halves(): Batch[] {
    const events = this.list();
    const middle = events.length >> 1;
    const halves = [events.slice(0, middle), events.slice(middle)];
    const [head, tail] = halves.map((half) => Batch.of(this.id, this.stream, half)) as [Batch, Batch];
    head.file = this.file;
    return [head, tail];
  }

  /** Whether order could suffer, were both in flight: CloudWatch Logs orders by timestamp, then by arrival. */
  overlaps(other: Batch): boolean {
    return this.stream === other.stream && this.first <= other.last && other.first <= this.last;
  }
}

/** Accepted events and what became of them. */
class Queue {
  /** Events dropped because the queue was full, until a notice in the log stream tells of them. */
  gap: Pick<Loss, "count" | "from" | "to"> | undefined;
  readonly #settings: Settings;
  readonly #streams: LogStreams;
  readonly #sender: Sender;
  readonly #reporter: Reporter;
  /** The batch that takes events, those that take no more, and those whose request is under way. */
  #open: Batch | undefined;
  #sealed: Batch[] = [];
  readonly #inFlight = new Set<Batch>();
  /** Bytes of batches that are done, to be used again: new memory costs more than what is written into it. */
  readonly #spare: Buffer[] = [];
  /** Batches up to this one go without waiting to be full. */
  #dueId = -1;
  #nextId = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Bytes of all of them, as the service counts. */
  #bytes = 0;
  #logged = 0;
  #delivered = 0;
  readonly #rejected: Stats["rejectedReasons"] = { tooOld: 0, tooNew: 0, expired: 0, invalid: 0 };
  readonly #dropped: Stats["droppedReasons"] = { oversize: 0, queueFull: 0, closed: 0, unsent: 0 };
  #draining: { upTo: number; done: () => void }[] = [];
  #waitingForRoom: { bytes: number; done: () => void }[] = [];
  readonly #spool: Spool | undefined;
  /** Takes over what dead processes have left. */
  #recovery: Promise<void> | undefined;

  constructor(logGroupName: string, settings: Settings, streams: LogStreams, reporter: Reporter) {
    const { spoolDirectory } = settings;
    this.#settings = settings;
    this.#streams = streams;
    this.#reporter = reporter;
    this.#sender = new Sender(logGroupName, settings, streams, reporter);
    if (spoolDirectory !== undefined) {
      this.#spool = new Spool(spoolDirectory, logGroupName, reporter);
      this.#recovery = Promise.resolve(this.#spool).then((spool) => this.#recover(spool));
    }
  }

  stats(): Stats {
    return {
      logged: this.#logged,
      delivered: this.#delivered,
      rejected: sum(Object.values(this.#rejected)),
      dropped: sum(Object.values(this.#dropped)),
      pending: sum(this.#batches().map(({ events }) => events)),
      requests: this.#sender.requests,
      retries: this.#sender.retries,
      rejectedReasons: { ...this.#rejected },
      droppedReasons: { ...this.#dropped },
    };
  }

  /** Whether there is room for events of `bytes` together; where not, they are counted as dropped. */
  admit(count: number, bytes: number, level: Level, timestamp: number): boolean {
    const share = LEVELS[level] >= LEVELS.warn ? 1 : QUEUE_HEADROOM;
    if (this.#bytes + bytes <= share * this.#settings.maxQueueBytes) return true;
    this.drop("queueFull", count, timestamp);
    this.gap ??= { count: 0, from: timestamp, to: timestamp };
    this.gap.count += count;
    this.gap.from = Math.min(this.gap.from, timestamp);
    this.gap.to = Math.max(this.gap.to, timestamp);
    return false;
  }

  /** Takes an event that was admitted. */
  append(timestamp: number, event: EventWriter): void {
    const stream = this.#streams.at(timestamp);
    const size = event.size();
    let batch = this.#open;
    if (batch !== undefined && !this.#fits(batch, stream, timestamp, size))
      batch = this.#turn(batch, stream, timestamp, size);
    if (batch === undefined) {
      batch = new Batch(this.#nextId++, stream, this.#spare.pop());
      this.#open = batch;
      this.#dueIn(this.#settings.flushIntervalMs);
    }
    batch.append(timestamp, event);
    this.#spool?.append(batch, event);
    this.#bytes += size;
    this.#logged++;
    const { maxBatchEvents, maxBatchBytes } = this.#settings;
    // Full: it goes as soon as the millisecond is over, so that all events of that millisecond travel together.
    if (batch.events === maxBatchEvents || batch.size > maxBatchBytes - LIMITS.eventOverheadBytes) this.#dueIn(1);
  }

  /** Counts events that are not taken. */
  drop(reason: "oversize" | "queueFull" | "closed", count: number, timestamp: number): void {
    this.#logged += count;
    this.#dropped[reason] += count;
    if (reason !== "oversize") this.#reporter.gather(reason, count, timestamp);
  }

  countPrinted(): void {
    this.#logged++;
    this.#delivered++;
  }

  /** What is open goes now. */
  hurry(): void {
    this.#dueId = this.#open?.id ?? this.#dueId;
    this.#pump();
  }

  /** Sends what is waiting; resolves when all that was accepted before has an outcome. */
  async drained(): Promise<void> {
    await this.#recovery;
    const upTo = this.#nextId - 1;
    this.#sender.wake();
    this.hurry();
    return new Promise((done) => {
      this.#draining.push({ upTo, done });
      this.#notify();
    });
  }

  hasRoomFor(bytes: number): boolean {
    return this.#bytes === 0 || this.#bytes + bytes <= QUEUE_ROOM * this.#settings.maxQueueBytes;
  }

  /** Resolves when there is plenty of room for so many bytes, or when nothing else is in the queue. */
  room(bytes: number): Promise<void> {
    return new Promise((done) => {
      this.#waitingForRoom.push({ bytes, done });
      this.#notify();
    });
  }

  takeGap(): Queue["gap"] {
    const { gap } = this;
    this.gap = undefined;
    return gap;
  }

  /** Stops for good. What has no outcome yet stays in the spool, or is dropped, reported and returned. */
  close(): LogEvent[] {
    clearTimeout(this.#timer);
    const cause = this.#sender.stop();
    const left = this.#batches();
    const spooled = left.filter(({ file }) => file !== undefined);
    const events = left.filter(({ file }) => file === undefined).flatMap((batch) => batch.list());
    this.#spool?.close();
    this.#open = undefined;
    this.#inFlight.clear();
    // Still pending, for the next logger to send.
    this.#sealed = spooled;
    this.#bytes = 0;
    this.#dropped.unsent += events.length;
    this.#reporter.loss("unsent", events, cause);
    this.#reporter.tellGathered();
    for (const { done } of this.#waitingForRoom.splice(0)) done();
    for (const { done } of this.#draining.splice(0)) done();
    return events;
  }

  /** Takes what dead processes have left, as far as there is room for it. */
  async #recover(spool: Spool): Promise<void> {
    for await (const { logStreamName, events, file } of spool.recover()) {
      const batch = Batch.of(this.#nextId++, this.#streams.named(logStreamName), events);
      batch.file = file;
      for (const part of this.#fitting(batch)) {
        await this.room(part.size);
        this.#bytes += part.size;
        this.#logged += part.events;
        this.#sealed.push(part.chronological());
        this.#pump();
      }
    }
  }

  /** A batch of another process, whose limits may have been wider, as batches within the limits of this one. */
  #fitting(batch: Batch): Batch[] {
    const { maxBatchBytes, maxBatchEvents } = this.#settings;
    if (batch.events === 1 || (batch.size <= maxBatchBytes && batch.events <= maxBatchEvents)) return [batch];
    return this.#halves(batch).flatMap((half) => this.#fitting(half));
  }

  #halves(batch: Batch): Batch[] {
    const [head, tail] = batch.halves() as [Batch, Batch];
    this.#spool?.cut(head, tail);
    this.#spool?.seal(tail);
    return [head, tail];
  }

  #batches(): Batch[] {
    const open = this.#open === undefined ? [] : [this.#open];
    return [...this.#inFlight, ...this.#sealed, ...open];
  }

  #fits(batch: Batch, stream: LogStream, timestamp: number, size: number): boolean {
    return (
      batch.events < this.#settings.maxBatchEvents &&
      batch.size + size <= this.#settings.maxBatchBytes &&
      batch.stream === stream &&
      batch.spanWith(timestamp) < LIMITS.maxBatchSpanMs
    );
  }

  /** Seals a batch that cannot take the next event. Returns the batch that can, if there is one already. */
  #turn(batch: Batch, stream: LogStream, timestamp: number, size: number): Batch | undefined {
    // Events of one millisecond travel together: where the next event belongs to the newest one, that one moves on.
    const tail =
      timestamp === batch.last && batch.stream === stream ? batch.cutTail(this.#nextId, this.#spare.pop()) : undefined;
    batch.full = true;
    this.#seal(batch);
    if (tail !== undefined) {
      this.#spool?.cut(batch, tail);
      this.#open = tail;
      this.#nextId++;
      this.#dueIn(this.#settings.flushIntervalMs);
      // Whoever waits for the batch waits for the events that it had.
      for (const waiting of this.#draining) if (waiting.upTo === batch.id) waiting.upTo = tail.id;
      if (this.#dueId === batch.id) this.#dueId = tail.id;
    }
    this.#pump();
    if (tail === undefined || this.#fits(tail, stream, timestamp, size)) return tail;
    return this.#turn(tail, stream, timestamp, size);
  }

  #seal(batch: Batch): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#open = undefined;
    this.#spool?.seal(batch);
    this.#sealed.push(batch.chronological());
  }

  /** The open batch goes after `ms` at the latest. Never put off by later events. */
  #dueIn(ms: number): void {
    const { id } = this.#open as Batch;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#dueId = Math.max(this.#dueId, id);
      this.#pump();
    }, ms).unref();
  }

  /** Starts every request that may start. */
  #pump(): void {
    for (;;) {
      if (
        this.#sealed.length === 0 &&
        this.#open !== undefined &&
        this.#open.id <= this.#dueId &&
        this.#inFlight.size === 0
      )
        this.#seal(this.#open);
      const batch = this.#sealed[0];
      if (batch === undefined || this.#inFlight.size >= this.#sender.window) return;
      for (const other of this.#inFlight) if (!batch.full || batch.overlaps(other)) return;
      this.#sealed.shift();
      void this.#deliver(batch);
    }
  }

  async #deliver(batch: Batch): Promise<void> {
    this.#inFlight.add(batch);
    const outcome = await this.#sender.send(batch);
    // Closed meanwhile: counted as unsent, or left in the spool.
    if (outcome.kind === "stopped" || !this.#inFlight.delete(batch)) return;
    if (outcome.kind === "invalid" && batch.events > 1) {
      this.#sealed.unshift(...this.#halves(batch));
    } else {
      this.#count(batch, outcome);
      this.#spool?.done(batch);
      this.#bytes -= batch.size;
      if (this.#spare.length <= this.#settings.maxInFlight) this.#spare.push(batch.bytes);
    }
    this.#notify();
    this.#pump();
  }

  #count(batch: Batch, outcome: Exclude<Outcome, { kind: "stopped" }>): void {
    const rejected = outcome.kind === "invalid" ? [{ reason: "invalid" as const, from: 0, to: 1 }] : outcome.rejected;
    this.#delivered += batch.events;
    for (const { reason, from, to } of rejected) {
      this.#delivered -= to - from;
      this.#rejected[reason] += to - from;
      this.#reporter.loss(reason, batch.list().slice(from, to), outcome.kind === "invalid" ? outcome.cause : undefined);
    }
  }

  /** Wakes whoever waits for an outcome or for room. */
  #notify(): void {
    const oldest = Math.min(...this.#batches().map(({ id }) => id));
    this.#draining = this.#draining.filter(({ upTo, done }) => {
      if (oldest > upTo) done();
      return oldest <= upTo;
    });
    // One at a time: each takes some of the room.
    const [first] = this.#waitingForRoom;
    if (first === undefined || !this.hasRoomFor(first.bytes)) return;
    this.#waitingForRoom.shift();
    first.done();
    void Promise.resolve().then(() => this.#notify());
  }
}

// ═══════════════════════════════════════════════ 10 · Sender ════════════════════════════════════════════════

/** What became of a batch: an answer with the ranges of it that were rejected, a refusal, or a stop before either. */
type Outcome =
  | { kind: "stored"; rejected: { reason: RejectedReason; from: number; to: number }[] }
  | { kind: "invalid"; cause: Error }
  | { kind: "stopped" };

/** What a failed request calls for. */
type Verdict = "transient" | "configuration" | "invalid" | "missing" | "token" | "accepted";

/** By the name of the error; what is not here goes by its HTTP status. */
const VERDICTS = new Map<string, Verdict>([
  ["ResourceNotFoundException", "missing"],
  ["InvalidSequenceTokenException", "token"],
  ["DataAlreadyAcceptedException", "accepted"],
  ["InvalidParameterException", "invalid"],
  ["ValidationException", "invalid"],
  ["SerializationException", "invalid"],
  ["ThrottlingException", "transient"],
  ["Throttling", "transient"],
  ["TooManyRequests", "transient"],
  ["TooManyRequestsException", "transient"],
  ["RequestLimitExceeded", "transient"],
  ["OperationAbortedException", "transient"],
  ["ServiceUnavailableException", "transient"],
  ["InternalFailure", "transient"],
  ["RequestTimeout", "transient"],
  ["RequestTimeoutException", "transient"],
  ["CredentialsProviderError", "configuration"],
]);

function verdictOf(error: unknown): Verdict {
  const { name, code, message, $metadata } = error as {
    name?: string;
    code?: string;
    message?: string;
    $metadata?: { httpStatusCode?: number };
  };
  const known = VERDICTS.get(name ?? "");
  if (known !== undefined) return known;
  const status = $metadata?.httpStatusCode;
  if (status === 413) return "invalid";
  if (status !== undefined) return status >= 400 && status < 500 && status !== 429 ? "configuration" : "transient";
  // Never got as far as an answer.
  const local =
    code === "ERR_MODULE_NOT_FOUND" || code === "MODULE_NOT_FOUND" || /\b(region|credential)/i.test(message ?? "");
  return local ? "configuration" : "transient";
}

/** The part of the SDK that is used, loaded when the first batch goes. */
type SdkModule = Pick<
  typeof Sdk,
  | "CloudWatchLogsClient"
  | "PutLogEventsCommand"
  | "CreateLogStreamCommand"
  | "CreateLogGroupCommand"
  | "PutRetentionPolicyCommand"
>;

/** Takes batches to CloudWatch Logs. Answers with an {@link Outcome}; never throws. */
class Sender {
  requests = 0;
  retries = 0;
  readonly #logGroupName: string;
  readonly #settings: Settings;
  readonly #streams: LogStreams;
  readonly #reporter: Reporter;
  readonly #stopped = new AbortController();
  readonly #secrets: string[];
  #client: Client | undefined;
  /** Creations under way, by log stream: whoever misses the same one waits for it. */
  readonly #creating = new Map<LogStream, Promise<Trouble | undefined>>();
  /** Sequence tokens by log stream, once an endpoint has asked for one; then one request goes at a time. */
  #tokens: Map<LogStream, string | undefined> | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  readonly #sleeping = new Set<() => void>();
  /** The last trouble, until a batch gets through. */
  #trouble: { error: CloudwatchLoggerError | Error; reported: string } | undefined;
  /** The ready-made body could not be put into the SDK's request: events go through its own serializer. */
  #plain = false;
  #compress: boolean;

  constructor(logGroupName: string, settings: Settings, streams: LogStreams, reporter: Reporter) {
    this.#logGroupName = logGroupName;
    this.#settings = settings;
    this.#streams = streams;
    this.#reporter = reporter;
    const { credentials, compress } = settings;
    this.#compress = compress;
    const { secretAccessKey, sessionToken } = typeof credentials === "object" ? credentials : {};
    this.#secrets = [secretAccessKey, sessionToken].filter((secret) => typeof secret === "string");
  }

  /** How many requests may be under way. Trouble narrows it to one, so that a sick service gets one probe. */
  get window(): number {
    return this.#trouble !== undefined || this.#tokens !== undefined ? 1 : this.#settings.maxInFlight;
  }

  /** Ends every pause between two tries, once. */
  wake(): void {
    for (const end of this.#sleeping) end();
  }

  /** Gives up what is under way. Returns the trouble that held it up, if any. */
  stop(): Error | undefined {
    this.#stopped.abort();
    this.wake();
    if (this.#client !== this.#settings.client)
      attempt(() => (this.#client as Sdk.CloudWatchLogsClient).destroy(), undefined);
    return this.#trouble?.error;
  }

  /** Sends a batch until it has an outcome. */
  async send(batch: Batch): Promise<Outcome> {
    // Not within the log call that filled the batch.
    await undefined;
    let sent = false;
    let failures = 0;
    let repairs = 0;
    while (!this.#stopped.signal.aborted) {
      let trouble = batch.stream.fresh ? await this.#create(batch.stream) : undefined;
      if (trouble === undefined) {
        if (sent) this.retries++;
        sent = true;
        const answer = await this.#put(batch);
        if (!("verdict" in answer)) {
          this.#trouble = undefined;
          return this.#read(answer, batch);
        }
        trouble = answer;
      }
      if (this.#stopped.signal.aborted) break;
      if (trouble.verdict === "accepted") return { kind: "stored", rejected: [] };
      if (trouble.verdict === "invalid") return { kind: "invalid", cause: this.#clean(trouble.error) };
      if (trouble.verdict === "missing") trouble = (await this.#create(batch.stream)) ?? trouble;
      // Repaired: again at once, but not for ever.
      if ((trouble.verdict === "missing" || trouble.verdict === "token") && repairs++ < 3) continue;
      this.#note(trouble, ++failures);
      await this.#pause(failures, trouble.verdict === "configuration" ? CONFIGURATION_RETRY_MS : RETRY_MAX_MS);
    }
    return { kind: "stopped" };
  }

  async #put(batch: Batch): Promise<PutAnswer | Trouble> {
    const zip = this.#compress && batch.length >= GZIP_MIN_BYTES;
    const answer = await this.#inTurn(() => this.#putOnce(batch, zip));
    const { $metadata } = ("verdict" in answer ? answer.error : {}) as { $metadata?: { httpStatusCode?: number } };
    const status = $metadata?.httpStatusCode ?? 0;
    if (!zip || !("verdict" in answer) || (answer.verdict !== "invalid" && status !== 415 && status < 500))
      return answer;
    // Some endpoints answer gzip with an error of their own choice. If the same works without, it was that.
    this.retries++;
    const plain = await this.#inTurn(() => this.#putOnce(batch, false));
    if (!("verdict" in plain)) this.#compress = false;
    return plain;
  }

  /** Requests with sequence tokens go one after the other: each needs the token of the one before. */
  #inTurn<T>(request: () => Promise<T>): Promise<T> {
    const turn = this.#tokens === undefined ? request() : this.#turn.then(request);
    this.#turn = turn;
    return turn;
  }

  async #putOnce(batch: Batch, zip: boolean): Promise<PutAnswer | Trouble> {
    this.requests++;
    const tokens = this.#tokens;
    try {
      const token = tokens?.get(batch.stream);
      const answer = (await this.#request((sdk) => this.#command(sdk, batch, token, zip))) as PutAnswer;
      const { $metadata, nextSequenceToken } = answer;
      if ($metadata !== undefined && $metadata.requestId === undefined && nextSequenceToken === undefined) {
        throw new Error("The endpoint's answer is not one of CloudWatch Logs");
      }
      tokens?.set(batch.stream, nextSequenceToken);
      return answer;
    } catch (error) {
      const verdict = verdictOf(error);
      if (verdict === "token" || verdict === "accepted") {
        this.#tokens ??= new Map();
        this.#tokens.set(
          batch.stream,
          (error as { expectedSequenceToken?: string }).expectedSequenceToken ?? undefined,
        );
      }
      return { verdict, error };
    }
  }

  #command(sdk: SdkModule, batch: Batch, sequenceToken: string | undefined, zip: boolean): object {
    const { entity } = this.#settings;
    const input = {
      logGroupName: this.#logGroupName,
      logStreamName: batch.stream.name,
      ...(sequenceToken !== undefined && { sequenceToken }),
      ...(entity !== undefined && { entity: entity as Sdk.Entity }),
    };
    // A client that is none of the SDK's, such as a user's test double, finds the events here.
    const command = new sdk.PutLogEventsCommand({
      ...input,
      get logEvents() {
        return batch.list();
      },
    });
    if (this.#plain) return command;
    // The SDK serializes and signs a request without events, in which they are put between: its own walk over 10,000
    // events and the stringifying after it cost more than all the rest of a log call's way to AWS.
    command.middlewareStack.add((next) => (args) => next({ ...args, input: { ...input, logEvents: [] } }), {
      step: "initialize",
      priority: "high",
    });
    command.middlewareStack.add(
      (next) => async (args) => {
        const request = args.request as { body: Uint8Array | string; headers: Record<string, string> };
        const { body } = request;
        const empty =
          typeof body === "string" ? Buffer.from(body) : Buffer.from(body.buffer, body.byteOffset, body.length);
        const at = empty.indexOf(NO_EVENTS) + NO_EVENTS.length - 1;
        this.#plain = at < NO_EVENTS.length;
        if (this.#plain) throw new Error("This SDK serializes requests in a way unknown to the logger");
        request.body = Buffer.concat([
          empty.subarray(0, at),
          batch.bytes.subarray(0, batch.length - 1),
          empty.subarray(at),
        ]);
        const zipped = zip ? await gzip(request.body) : request.body;
        if (zipped.length < request.body.length) {
          request.body = zipped;
          request.headers["content-encoding"] = "gzip";
        }
        request.headers["content-length"] = String(request.body.length);
        return next(args);
      },
      { step: "build", priority: "high" },
    );
    return command;
  }

  #read(answer: PutAnswer, batch: Batch): Outcome {
    const { rejectedLogEventsInfo, rejectedEntityInfo } = answer;
    if (rejectedEntityInfo !== undefined) {
      this.#reporter.error("ERR_ENTITY", `CloudWatch Logs refused the entity: ${rejectedEntityInfo.errorType}`);
    }
    if (rejectedLogEventsInfo === undefined) return { kind: "stored", rejected: [] };
    const { tooOldLogEventEndIndex, expiredLogEventEndIndex, tooNewLogEventStartIndex } = rejectedLogEventsInfo;
    const index = (value: number | undefined, otherwise: number) =>
      Number.isInteger(value) ? Math.min(Math.max(value as number, 0), batch.events) : otherwise;
    // Both ends are exclusive, the start is inclusive; no event is counted twice.
    const old = index(tooOldLogEventEndIndex, 0);
    const expired = Math.max(index(expiredLogEventEndIndex, 0), old);
    const young = Math.max(index(tooNewLogEventStartIndex, batch.events), expired);
    const rejected = [
      { reason: "tooOld" as const, from: 0, to: old },
      { reason: "expired" as const, from: old, to: expired },
      { reason: "tooNew" as const, from: young, to: batch.events },
    ];
    return { kind: "stored", rejected: rejected.filter(({ from, to }) => from < to) };
  }

  /** Creates a log stream, and its log group where that is missing; one creation at a time. Tells what went wrong. */
  #create(stream: LogStream): Promise<Trouble | undefined> {
    let creation = this.#creating.get(stream);
    if (creation === undefined) {
      creation = this.#createStream(stream)
        .then(
          () => undefined,
          // Here, what CloudWatch Logs calls invalid is a setting and no event.
          (error) => ({ verdict: verdictOf(error) === "transient" ? "transient" : "configuration", error }) as Trouble,
        )
        .finally(() => this.#creating.delete(stream));
      this.#creating.set(stream, creation);
    }
    return creation;
  }

  async #createStream(stream: LogStream): Promise<void> {
    const logGroupName = this.#logGroupName;
    for (let mayCreateGroup = this.#settings.createLogGroup; ; ) {
      try {
        const { name: logStreamName } = stream;
        await this.#request((sdk) => new sdk.CreateLogStreamCommand({ logGroupName, logStreamName }));
        break;
      } catch (error) {
        const { name } = error as Error;
        if (name === "ResourceAlreadyExistsException") {
          if (!stream.fresh) break;
          this.#streams.rename(stream);
        } else if (name === "ResourceNotFoundException" && mayCreateGroup) {
          await this.#createGroup();
          mayCreateGroup = false;
        } else {
          throw error;
        }
      }
    }
    stream.fresh = false;
  }

  async #createGroup(): Promise<void> {
    const { tags, kmsKeyId, logGroupClass, retentionInDays } = this.#settings;
    const logGroupName = this.#logGroupName;
    const create = (withTags: boolean) =>
      this.#request(
        (sdk) =>
          new sdk.CreateLogGroupCommand({
            logGroupName,
            ...(withTags && { tags }),
            ...(kmsKeyId !== undefined && { kmsKeyId }),
            ...(logGroupClass !== undefined && { logGroupClass: logGroupClass as Sdk.LogGroupClass }),
          }),
      );
    const exists = (error: unknown) => (error as Error).name === "ResourceAlreadyExistsException";
    try {
      await create(tags !== undefined);
    } catch (error) {
      if (exists(error)) return;
      if (tags === undefined || verdictOf(error) === "transient") throw error;
      // Tags want a permission of their own. A log group without them is better than no log.
      try {
        await create(false);
      } catch (again) {
        if (exists(again)) return;
        throw again;
      }
      this.#report("ERR_LOG_GROUP", `The tags of log group ${logGroupName} were refused`, error);
    }
    if (retentionInDays !== undefined) await this.#retain(retentionInDays, 1);
  }

  /** The first try is waited for, so that a short-lived program sets its retention; the others go on beside delivery. */
  async #retain(retentionInDays: number, tries: number): Promise<void> {
    const logGroupName = this.#logGroupName;
    try {
      await this.#request((sdk) => new sdk.PutRetentionPolicyCommand({ logGroupName, retentionInDays }));
    } catch (error) {
      if (this.#stopped.signal.aborted || verdictOf(error) !== "transient") {
        this.#report("ERR_LOG_GROUP", `The retention policy of log group ${logGroupName} was refused`, error);
      } else {
        void this.#pause(tries, RETRY_MAX_MS).then(() => this.#retain(retentionInDays, tries + 1));
      }
    }
  }

  /** One request, given up after REQUEST_TIMEOUT_MS or when the sender stops. */
  async #request(command: (sdk: SdkModule) => object): Promise<unknown> {
    const abort = new AbortController();
    const stop = () => abort.abort();
    const timer = setTimeout(stop, REQUEST_TIMEOUT_MS).unref();
    this.#stopped.signal.addEventListener("abort", stop);
    try {
      const given = new Promise<never>((_, reject) => {
        const text = `No answer within ${REQUEST_TIMEOUT_MS} ms`;
        abort.signal.addEventListener("abort", () => reject(Object.assign(new Error(text), { name: "TimeoutError" })));
      });
      return await Promise.race([this.#send(command, abort.signal), given]);
    } finally {
      clearTimeout(timer);
      this.#stopped.signal.removeEventListener("abort", stop);
    }
  }

  async #send(command: (sdk: SdkModule) => object, abortSignal: AbortSignal): Promise<unknown> {
    // Not remembered where it fails: the next try may find it.
    const sdk: SdkModule = await import("@aws-sdk/client-cloudwatch-logs");
    this.#client ??= this.#settings.client ?? this.#newClient(sdk);
    return this.#client.send(command(sdk) as never, { abortSignal } as never);
  }

  #newClient(sdk: SdkModule): Client {
    const { region, profile, credentials, endpoint } = this.#settings;
    const config = {
      ...(region !== undefined && { region }),
      ...(profile !== undefined && { profile }),
      ...(credentials !== undefined && { credentials }),
      ...(endpoint !== undefined && { endpoint }),
      // The retries of this file are the only ones: they know when to halve, create or stop.
      maxAttempts: 1,
      // Without it the SDK copies every input for a logger that discards it.
      logger: {},
    };
    return new sdk.CloudWatchLogsClient(config as Sdk.CloudWatchLogsClientConfig);
  }

  /** Remembers trouble, and reports it once for each change. */
  #note({ verdict, error }: Trouble, failures: number): void {
    const cause = this.#clean(error);
    const reported = this.#trouble?.reported;
    this.#trouble = { error: cause, reported: reported ?? "" };
    if (cause.name === reported) return;
    if (verdict === "configuration") {
      const missing = /MODULE_NOT_FOUND/.test((error as { code?: string }).code ?? "");
      const what = missing ? "The AWS SDK is missing, run npm install @aws-sdk/client-cloudwatch-logs" : "Events wait";
      this.#report(missing ? "ERR_SDK_MISSING" : "ERR_CONFIGURATION", what, error);
    } else if (failures >= REPORT_AFTER_TRIES) {
      this.#report("ERR_TRANSIENT", "CloudWatch Logs cannot be reached, events wait", error);
    } else return;
    this.#trouble.reported = cause.name;
    // Credentials may be right next time: a new client asks for them again.
    if (verdict === "configuration" && this.#client !== this.#settings.client) this.#client = undefined;
  }

  #report(code: string, text: string, error: unknown): void {
    const cause = this.#clean(error);
    this.#reporter.error(code, `${text}: ${cause.name}: ${cause.message}`, cause);
  }

  /** The error without its request and answer, whose headers are signed, and without what AWS quotes of them. */
  #clean(error: unknown): Error {
    const { name, message, $metadata } = error as { name?: unknown; message?: unknown; $metadata?: object };
    // SignatureDoesNotMatch quotes the signed headers from the second line on.
    let text = String(message).split("\n", 1)[0]?.slice(0, 500) ?? "";
    for (const secret of this.#secrets) text = text.replaceAll(secret, "[redacted]");
    const clean = new Error(text);
    return Object.assign(clean, { name: String(name), ...($metadata && { $metadata: { ...$metadata } }) });
  }

  /** Exponential backoff with full jitter. The timer does not keep the process alive. */
  #pause(failures: number, maxMs: number): Promise<void> {
    const ms = Math.random() * Math.min(maxMs, RETRY_MIN_MS * 2 ** Math.min(failures - 1, 30));
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        this.#sleeping.delete(end);
        resolve();
      };
      const timer = setTimeout(end, ms).unref();
      this.#sleeping.add(end);
      if (this.#stopped.signal.aborted) end();
    });
  }
}

/** A failed request and what it calls for. */
interface Trouble {
  verdict: Verdict;
  error: unknown;
}

/** Whatever a client answers; one that is not the SDK's may leave out anything. */
type PutAnswer = Sdk.PutLogEventsCommandOutput;

/** Below this, gzip costs more than it saves. */
const GZIP_MIN_BYTES = 1_024;

/** Off the main thread. Level 1 makes logs five times smaller; level 6, six times, at three times the cost. */
async function gzip(body: Uint8Array): Promise<Uint8Array> {
  const zlib = await import("node:zlib");
  return new Promise((resolve, reject) => {
    zlib.gzip(body, { level: 1 }, (error, zipped) => (error === null ? resolve(zipped) : reject(error)));
  });
}

const NO_EVENTS = '"logEvents":[]';

// ════════════════════════════════════════════════ 11 · Spool ════════════════════════════════════════════════
//
// A batch is a file: a line that says where it belongs, then a line for each event, as it stands in the batch.
//
//   <spoolDirectory>/<group>-<kernel>-<owner>.sock   a socket that listens for as long as its owner lives
//   <spoolDirectory>/<group>-<kernel>-<owner>/…      the owner's files
//
// The socket is the lock: the kernel closes it with the process, whatever ends that, and it tells the living from the
// dead in every container that shares the directory. To take over, a directory is moved into one's own: only one can.

/** Of another kernel no socket can tell: its directories are the living's until so long after their last change. */
const FOREIGN_TIMEOUT_MS = 10 * 60_000;
const HEARTBEAT_MS = 60_000;
const LINE_BREAK = 0x0a;

/** The file of a batch, and its descriptor while the batch is open. */
interface SpoolFile {
  path: string;
  descriptor?: number;
}

/** What a dead process has left of a batch. */
interface SpooledBatch {
  logStreamName: string;
  events: LogEvent[];
  file: SpoolFile;
}

class Spool {
  readonly #directory: string;
  readonly #prefix: string;
  readonly #reporter: Reporter;
  /** Path of the own directory, once it is there. */
  #home: string | undefined;
  #server: net.Server | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  #files = 0;
  /** It has failed, and the logger goes on without it; or it is closed. */
  #isOff = false;

  constructor(directory: string, logGroupName: string, reporter: Reporter) {
    const kernel = attempt(() => fs.readFileSync("/proc/sys/kernel/random/boot_id", "utf8"), hostname());
    this.#directory = directory;
    this.#prefix = `${shortHash(logGroupName)}-${shortHash(kernel)}-`;
    this.#reporter = reporter;
  }

  /** Writes an event to the file of its batch, before the log call returns. */
  append(batch: Batch, event: EventWriter): void {
    if (this.#isOff) return;
    const isSafe = this.#try(() => {
      if (batch.file === undefined) {
        batch.file = this.#create(batch, event.bytes.toString("utf8", 0, event.length));
        return;
      }
      event.bytes[event.length] = LINE_BREAK;
      const length = event.length + 1;
      if (fs.writeSync(batch.file.descriptor as number, event.bytes, 0, length) < length)
        throw new Error("No space left");
    });
    // The file lacks an event: it would vouch for less than the batch has.
    if (!isSafe) this.done(batch);
  }

  /** The last events of `head` have become the batch `tail`: its file says so, then the file of `head` does. */
  cut(head: Batch, tail: Batch): void {
    const { file } = head;
    if (file === undefined || this.#isOff) return;
    this.#try(() => {
      const lines = tail.list().map((event) => JSON.stringify(event));
      tail.file = this.#create(tail, lines.join("\n"), [basename(file.path), head.events]);
      fs.appendFileSync(file.path, `{"keep":${head.events}}\n`);
    });
  }

  /** No more events go into the file of this batch. */
  seal({ file }: Batch): void {
    if (file?.descriptor === undefined) return;
    fs.closeSync(file.descriptor);
    delete file.descriptor;
  }

  /** Every event of the batch has an outcome. */
  done(batch: Batch): void {
    const { file } = batch;
    if (file === undefined) return;
    this.seal(batch);
    batch.file = undefined;
    this.#try(() => fs.rmSync(file.path, { force: true }));
  }

  /** Takes over what dead processes have left, oldest first. */
  async *recover(): AsyncGenerator<SpooledBatch> {
    if (!this.#isOff && !this.#try(() => this.#open())) return;
    for (const name of attempt(() => fs.readdirSync(this.#directory), [])) {
      if (this.#isOff) return;
      const path = join(this.#directory, name);
      if (path === this.#home || !/^[\da-f]{8}-[\da-f]{8}-[\da-f]{8}$/.test(name)) continue;
      if (!name.startsWith(this.#prefix.slice(0, 9)) || (await this.#isAlive(name))) continue;
      const taken = join(this.#home as string, name);
      if (attempt(() => fs.renameSync(path, taken) as undefined, "gone") === "gone") continue;
      attempt(() => fs.rmSync(this.#socketOf(name), { force: true }), undefined);
      yield* this.#read(taken);
    }
  }

  /** Leaves what has no outcome for the next logger of this log group. */
  close(): void {
    this.#isOff = true;
    clearInterval(this.#heartbeat);
    this.#server?.close();
    const home = this.#home;
    if (home === undefined) return;
    attempt(() => fs.rmSync(this.#socketOf(basename(home)), { force: true }), undefined);
    // Only those that are empty go.
    for (const name of attempt(() => fs.readdirSync(home), []))
      attempt(() => fs.rmdirSync(join(home, name)), undefined);
    attempt(() => fs.rmdirSync(home), undefined);
  }

  #create(batch: Batch, lines: string, cut?: [file: string, keep: number]): SpoolFile {
    this.#open();
    const number = String(this.#files++).padStart(9, "0");
    const path = join(this.#home as string, `${Date.now()}-${number}-${randomBytes(4).toString("hex")}`);
    const descriptor = fs.openSync(path, "ax", 0o600);
    // Header and events in one call: no moment lies between them.
    const text = `${JSON.stringify({ logStreamName: batch.stream.name, cut })}\n${lines}\n`;
    if (fs.writeSync(descriptor, text) < Buffer.byteLength(text)) throw new Error("No space left");
    return { path, descriptor };
  }

  /** Makes the own directory and the socket that guards it, the socket first. */
  #open(): void {
    if (this.#home !== undefined) return;
    fs.mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    const { mode, uid } = fs.lstatSync(this.#directory);
    const isOurs = process.getuid === undefined || (uid === process.getuid() && (mode & 0o022) === 0);
    if ((mode & fs.constants.S_IFMT) !== fs.constants.S_IFDIR || !isOurs) {
      throw new Error("It must be a directory, no link, of this user, and writable by no other");
    }
    const name = this.#prefix + randomBytes(4).toString("hex");
    const socket = this.#socketOf(name);
    this.#server = net.createServer((connection) => connection.destroy());
    this.#server.on("error", (error) => {
      // Without its lock the directory would look like a dead process's.
      this.#try(() => {
        fs.rmSync(join(this.#directory, name), { recursive: true, force: true });
        throw error;
      });
    });
    this.#server.listen({ path: socket, exclusive: true }).unref();
    attempt(() => fs.chmodSync(socket, 0o600), undefined);
    const home = join(this.#directory, name);
    fs.mkdirSync(home, { mode: 0o700 });
    this.#home = home;
    this.#heartbeat = setInterval(
      () => attempt(() => fs.utimesSync(home, new Date(), new Date()), undefined),
      HEARTBEAT_MS,
    );
    this.#heartbeat.unref();
  }

  /** The path of a socket may have about 100 characters; the shorter way to it is taken. */
  #socketOf(name: string): string {
    if (process.platform === "win32") return `\\\\.\\pipe\\cwlogger-${name}`;
    const path = join(this.#directory, `${name}.sock`);
    const fromHere = relative(process.cwd(), path);
    return fromHere.length < path.length ? fromHere : path;
  }

  async #isAlive(name: string): Promise<boolean> {
    if (!name.startsWith(this.#prefix)) {
      const { mtimeMs } = attempt(() => fs.statSync(join(this.#directory, name)), { mtimeMs: 0 });
      return Date.now() - mtimeMs < FOREIGN_TIMEOUT_MS;
    }
    return new Promise((resolve) => {
      const connection = net.connect(this.#socketOf(name));
      connection.once("connect", () => resolve(true));
      connection.once("error", ({ code }: NodeJS.ErrnoException) =>
        resolve(code !== "ECONNREFUSED" && code !== "ENOENT"),
      );
      connection.once("close", () => connection.destroy());
      connection.unref();
    });
  }

  /** The batches of a directory and of those that its owner had taken over. */
  *#read(directory: string): Generator<SpooledBatch> {
    const entries = attempt(() => fs.readdirSync(directory, { withFileTypes: true, recursive: true }), []);
    const files = entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
    const byAge = files.sort((a, b) => (basename(a) < basename(b) ? -1 : 1));
    const headers = new Map(
      byAge.map((path) => [path, parseSpoolFile(attempt(() => fs.readFileSync(path, "utf8"), ""))]),
    );
    const keep = new Map([...headers.values()].flatMap(({ cut }) => (cut === undefined ? [] : [cut])));
    for (const [path, { logStreamName, events }] of headers) {
      const kept = events.slice(0, keep.get(basename(path)));
      if (kept.length > 0) yield { logStreamName, events: kept, file: { path } };
      else this.#try(() => fs.rmSync(path, { force: true }));
    }
  }

  /** False where it failed; the first failure is told, and the last: from then on the logger goes without. */
  #try(action: () => void): boolean {
    try {
      action();
      return true;
    } catch (error) {
      if (!this.#isOff) {
        const text = `The spool directory cannot be used, the logger goes on without it: ${reasonOf(error)}`;
        this.#reporter.error("ERR_SPOOL", text);
      }
      this.#isOff = true;
      return false;
    }
  }
}

/** Whole lines only: what follows the last line break was being written when its process died. */
function parseSpoolFile(text: string): {
  logStreamName: string;
  cut?: [string, number] | undefined;
  events: LogEvent[];
} {
  const [header, ...lines] = text
    .split("\n")
    .slice(0, -1)
    .map((line) => attempt(() => JSON.parse(line) as unknown, {}));
  const { logStreamName, cut } = (header ?? {}) as { logStreamName?: unknown; cut?: [string, number] };
  let events = (lines as LogEvent[]).filter(
    (event) => Number.isSafeInteger(event?.timestamp) && typeof event.message === "string",
  );
  const keep = (lines as { keep?: number }[]).findLast((line) => Number.isInteger(line?.keep))?.keep;
  events = events.sort((a, b) => a.timestamp - b.timestamp).slice(0, keep);
  return { logStreamName: String(logStreamName ?? "unknown"), cut: Array.isArray(cut) ? cut : undefined, events };
}

function shortHash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 8);
}

// ═══════════════════════════════════════════════ 12 · Stream ════════════════════════════════════════════════

/** Names of levels elsewhere: winston's that are not ours, and console's. */
const OTHER_LEVELS = new Map<string, Level>([
  ["http", "info"],
  ["verbose", "debug"],
  ["silly", "trace"],
  ["log", "info"],
  ["warning", "warn"],
  ["critical", "fatal"],
]);

/** winston hands over records with these; `levels` and `level` come from its logger. */
const WINSTON_LEVEL = Symbol.for("level");
const WINSTON_MESSAGE = Symbol.for("message");
type WinstonRecord = Fields & { [WINSTON_LEVEL]?: string; [WINSTON_MESSAGE]?: unknown };
interface WinstonLogger {
  level?: string;
  levels?: Record<string, number>;
}
interface WinstonFormat {
  transform(record: WinstonRecord, options?: unknown): unknown;
  options?: unknown;
}

/** Takes what pino, winston, bunyan, morgan and pipes write. Never emits `'error'`. */
class LogWritable extends Writable {
  /** Set by users of winston, as on any of its transports. */
  level?: string;
  silent?: boolean;
  format?: WinstonFormat;
  levels?: Record<string, number>;
  /** Set by pino before each write, because of the symbol: no line needs to be parsed for its time and level. */
  lastLevel?: number | undefined;
  lastTime?: string | undefined;
  readonly #core: Core;
  readonly #fields: () => Fields | undefined;
  readonly #closes: boolean;
  readonly #decoder = new StringDecoder("utf8");
  #line = "";
  #winston: WinstonLogger | undefined;
  /** Whoever pipes heeds backpressure, so it may wait for room; other hosts only buffer without bound. */
  #mayWait: boolean;

  constructor(core: Core, fields: () => Fields | undefined, closes: boolean) {
    super({ objectMode: true, decodeStrings: false });
    this.#core = core;
    this.#fields = fields;
    this.#closes = closes;
    this.#mayWait = closes;
    Object.assign(this, { [Symbol.for("pino.metadata")]: true });
    this.on("pipe", (source: unknown) => {
      const winston = source as WinstonLogger;
      if (typeof winston.levels === "object") this.#winston = winston;
      else this.#mayWait = true;
    });
    // Such as that of a write after the end. Nobody is to die of it.
    this.on("error", () => {});
  }

  /** winston asks for a method of this name and calls `write`. */
  log(record: unknown, callback?: () => void): void {
    this.write(record);
    callback?.();
  }

  /** pino's `logger.flush(callback)`. */
  flush(callback?: () => void): void {
    void this.#core.flush().then(() => callback?.());
  }

  override write(chunk: unknown, ...rest: unknown[]): boolean {
    if (!this.writableEnded && chunk !== null && chunk !== undefined) return super.write(chunk, ...(rest as []));
    this.#core.queue.drop("closed", 1, Date.now());
    const callback = rest.at(-1);
    if (typeof callback === "function") queueMicrotask(callback as () => void);
    return true;
  }

  override _write(chunk: unknown, _encoding: unknown, callback: () => void): void {
    const time = timeOf(this.lastTime);
    const level = levelOf(this.lastLevel);
    this.lastTime = undefined;
    this.lastLevel = undefined;
    if (typeof chunk === "object" && !(chunk instanceof Uint8Array)) {
      attempt(() => this.#record(chunk as WinstonRecord), undefined);
      callback();
      return;
    }
    const lines = (this.#line + this.#decode(chunk)).split("\n");
    this.#line = lines.pop() as string;
    void this.#lines(lines, time, level).then(callback);
  }

  override _final(callback: () => void): void {
    const rest = this.#line + this.#decoder.end();
    this.#line = "";
    void this.#lines([rest])
      .then(() => (this.#closes ? this.#core.close() : this.#core.flush()))
      .then(() => callback());
  }

  #decode(chunk: unknown): string {
    return chunk instanceof Uint8Array ? this.#decoder.write(chunk) : String(chunk);
  }

  /** Sends lines, each as soon as there is room for it if the source can wait. */
  async #lines(lines: string[], time?: number, level?: Level): Promise<void> {
    for (const raw of lines) {
      const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
      if (line.trim() === "") continue;
      const { queue } = this.#core;
      const bytes = Buffer.byteLength(line) + LIMITS.eventOverheadBytes;
      if (this.#mayWait && !queue.hasRoomFor(bytes)) await queue.room(bytes);
      const record = time === undefined && line.startsWith("{") ? parseObject(line) : {};
      const timestamp = time ?? timeOf(record.time ?? record.timestamp) ?? Date.now();
      this.#core.send(level ?? levelOf(record.level) ?? "info", timestamp, line);
    }
  }

  #record(record: WinstonRecord): void {
    const text = record[WINSTON_MESSAGE];
    const isWinston = typeof record[WINSTON_LEVEL] === "string";
    if (isWinston && !this.#accepts(record)) return;
    const formatted = this.format === undefined ? text : this.#formatted(record);
    if (isWinston) {
      if (typeof formatted !== "string") return;
      const level = levelOf(record[WINSTON_LEVEL]) ?? "info";
      this.#core.send(level, timeOf(record.timestamp) ?? Date.now(), formatted);
      // winston ends the process within 3 s of an exception.
      if (record.exception === true) this.#core.queue.hurry();
      queueMicrotask(() => this.emit("logged", record));
      return;
    }
    // bunyan's raw records, and objects that morgan's or anybody's format gives.
    const { time, timestamp, level, msg, ...fields } = record;
    const message = msg === undefined ? fields : msg;
    const at = timeOf(time ?? timestamp) ?? Date.now();
    const more = msg === undefined ? undefined : fields;
    this.#core.log("stream", levelOf(level) ?? "info", at, message, this.#fields(), more, undefined);
  }

  /** winston's rule: the level of the transport, or else that of the logger. */
  #accepts(record: WinstonRecord): boolean {
    const levels = this.levels ?? this.#winston?.levels;
    const threshold = this.level ?? this.#winston?.level;
    if (this.silent === true) return false;
    if (levels === undefined || threshold === undefined) return true;
    return (levels[threshold] ?? Number.POSITIVE_INFINITY) >= (levels[record[WINSTON_LEVEL] as string] ?? 0);
  }

  #formatted(record: WinstonRecord): unknown {
    const result = this.format?.transform({ ...record }, this.format.options);
    return typeof result === "object" && result !== null ? (result as WinstonRecord)[WINSTON_MESSAGE] : undefined;
  }
}

function parseObject(line: string): Fields {
  const value = attempt(() => JSON.parse(line) as unknown, undefined);
  return typeof value === "object" && value !== null ? (value as Fields) : {};
}

/** A level by number (pino, bunyan: 10 to 60) or by name, in any case. */
function levelOf(level: unknown): Level | undefined {
  if (typeof level === "number") {
    const levels = Object.keys(LEVELS).filter(isLevel);
    return levels.findLast((name) => LEVELS[name] <= level) ?? "trace";
  }
  if (typeof level !== "string") return undefined;
  const name = level.toLowerCase();
  return isLevel(name) ? name : OTHER_LEVELS.get(name);
}

/** Milliseconds since the epoch from a number (ms; pino may give seconds or nanoseconds), a date or its text. */
function timeOf(time: unknown): number | undefined {
  let ms = typeof time === "string" && !/^\d+$/.test(time) ? Date.parse(time) : Number(time ?? Number.NaN);
  if (ms < 1e11) ms *= 1_000;
  else if (ms > 1e17) ms /= 1e6;
  return ms >= 0 && ms < 8.64e15 ? Math.floor(ms) : undefined;
}

// ══════════════════════════════════════════════ 13 · Utilities ══════════════════════════════════════════════

/** Type, rule in words and test of each option that can be checked up front. */
const RULES: Record<string, [type: string, rule: string, valid?: (value: never) => boolean]> = {
  logStreamName: ["string", `1 to ${LIMITS.maxNameLength} characters without ":" and "*"`, isStreamName],
  region: ["string", "a region's name", isNotEmpty],
  profile: ["string", "a profile's name", isNotEmpty],
  credentials: ["object|function", '"accessKeyId" and "secretAccessKey", or a function', isCredentials],
  endpoint: ["string", "an http or https URL", isUrl],
  client: ["object", "a CloudWatchLogsClient", (value: Client) => typeof value.send === "function"],
  createLogGroup: ["boolean", ""],
  retentionInDays: [
    "number",
    `one of ${LIMITS.retentionInDays.join(" ")}`,
    (days: number) => LIMITS.retentionInDays.includes(days),
  ],
  tags: ["object", "up to 50 tags, keys of 1 to 128 characters, values of up to 256", isTags],
  kmsKeyId: ["string", "1 to 256 characters", (id: string) => id.length > 0 && id.length <= LIMITS.maxKmsKeyIdLength],
  logGroupClass: ["string", ...oneOf("STANDARD", "INFREQUENT_ACCESS", "DELIVERY", "ESSENTIALS")],
  entity: ["object", '2 to 4 "keyAttributes" and up to 10 "attributes", all strings', isEntity],
  level: ["string", ...oneOf(...Object.keys(LEVELS))],
  fields: ["object", ""],
  format: ["string|function", '"json", "text", a template or a function', isNotEmpty],
  redact: ["object", "an array of names and dotted paths", (names: unknown) => isStrings(names)],
  console: ["boolean", ""],
  overflow: ["string", ...oneOf("error", "truncate", "split")],
  maxEventBytes: ["number", ...integer(LIMITS.minEventBytes, LIMITS.maxBatchBytes)],
  maxBatchBytes: ["number", ...integer(LIMITS.minEventBytes, LIMITS.maxBatchBytes)],
  maxBatchEvents: ["number", ...integer(1, LIMITS.maxBatchEvents)],
  flushIntervalMs: ["number", "a positive integer", (ms: number) => Number.isInteger(ms) && ms > 0 && ms < 2 ** 31],
  maxInFlight: ["number", ...integer(1, 16)],
  maxQueueBytes: ["number", ...integer(LIMITS.minEventBytes, Number.MAX_SAFE_INTEGER)],
  compress: ["boolean", ""],
  spoolDirectory: ["string", "a directory's path", isNotEmpty],
  closeTimeoutMs: ["number", ...integer(0, 2 ** 31 - 1)],
  closeOnSignals: ["object", "names of signals that can be caught", isSignals],
  onError: ["function", ""],
  onLoss: ["function", ""],
};

/** Values of these are never shown: they hold secrets, or may. */
const SECRET = new Set(["credentials", "endpoint", "client"]);

function validate(logGroupName: unknown, options: CloudwatchLoggerOptions): Settings {
  if (logGroupName === undefined) {
    throw new TypeError(
      'Cannot create CloudwatchLogger: "logGroupName" is undefined; give the name of a log group, or null to print events',
    );
  }
  if (logGroupName !== null) checkValue("logGroupName", logGroupName, LOG_GROUP_RULE);
  if (typeof options !== "object" || options === null) refuse(TypeError, "options", "must be an object", options);
  const given: Fields = {};
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(RULES, name))
      throw new TypeError(`Cannot create CloudwatchLogger: unknown option ${quote(name)}`);
    if (value === undefined) continue;
    check(name, value);
    given[name] = value;
  }
  const settings = { ...DEFAULTS, ...given } as Settings;
  for (const name of ["region", "profile", "credentials", "endpoint"] as const) {
    if (settings.client === undefined || settings[name] === undefined) continue;
    throw new TypeError(`Cannot create CloudwatchLogger: "client" excludes "${name}"`);
  }
  const { maxBatchBytes, maxEventBytes = maxBatchBytes, maxQueueBytes } = settings;
  if (maxEventBytes > maxBatchBytes) {
    refuse(RangeError, "maxEventBytes", `must be at most "maxBatchBytes" of ${maxBatchBytes}`, maxEventBytes);
  }
  if (maxQueueBytes < maxBatchBytes) {
    refuse(RangeError, "maxQueueBytes", `must be at least "maxBatchBytes" of ${maxBatchBytes}`, maxQueueBytes);
  }
  return settings;
}

function check(name: string, value: unknown): void {
  checkValue(name, value, RULES[name] as (typeof RULES)[string]);
}

function checkValue(name: string, value: unknown, [type, rule, valid]: (typeof RULES)[string]): void {
  const isType = type.split("|").includes(typeof value) && value !== null;
  if (!isType) refuse(TypeError, name, `must be ${rule === "" ? `a ${type}` : rule}`, value);
  if (valid !== undefined && !attempt(() => valid(value as never), false)) {
    refuse(type === "object" || name === "credentials" ? TypeError : RangeError, name, `must be ${rule}`, value);
  }
}

function refuse(Kind: typeof TypeError | typeof RangeError, name: string, rule: string, value: unknown): never {
  const received = SECRET.has(name) ? `a value of type ${typeof value}` : quote(value);
  throw new Kind(`Cannot create CloudwatchLogger: "${name}" ${rule}, received ${received}`);
}

function quote(value: unknown): string {
  const text = typeof value === "string" ? JSON.stringify(value) : inspect(value, { depth: 1, breakLength: Infinity });
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

function integer(from: number, to: number): [string, (value: number) => boolean] {
  return [`an integer from ${from} to ${to}`, (value) => Number.isInteger(value) && value >= from && value <= to];
}

function oneOf(...words: string[]): [string, (value: string) => boolean] {
  return [`one of ${words.join(", ")}`, (value) => words.includes(value)];
}

function isStrings(value: unknown): boolean {
  return Array.isArray(value) && value.every((text) => typeof text === "string" && text !== "");
}

function isNotEmpty(value: unknown): boolean {
  return value !== "";
}

const LOG_GROUP_RULE: [string, string, (name: string) => boolean] = [
  "string",
  `1 to ${LIMITS.maxNameLength} characters of . _ - / # A-Z a-z 0-9, not starting with "aws/"`,
  (name) => /^[._\-/#A-Za-z0-9]+$/.test(name) && name.length <= LIMITS.maxNameLength && !name.startsWith("aws/"),
];

function isStreamName(template: string): boolean {
  const { length } = fillName(template).replaceAll("{date}", "0000-00-00");
  return length > 0 && length <= LIMITS.maxNameLength && !/[:*]/.test(template);
}

function isUrl(value: string): boolean {
  return /^https?:$/.test(new URL(value).protocol);
}

function isCredentials(value: Credentials | (() => unknown)): boolean {
  if (typeof value === "function") return true;
  const { accessKeyId, secretAccessKey, sessionToken } = value;
  const isKey = (key: unknown) => typeof key === "string" && key !== "";
  return isKey(accessKeyId) && isKey(secretAccessKey) && (sessionToken === undefined || isKey(sessionToken));
}

function isTags(tags: object): boolean {
  const entries = Object.entries(tags);
  return (
    entries.length <= LIMITS.maxTags &&
    entries.every(
      ([key, value]) =>
        key.length > 0 &&
        key.length <= LIMITS.maxTagKeyLength &&
        typeof value === "string" &&
        value.length <= LIMITS.maxTagValueLength,
    )
  );
}

function isEntity({ keyAttributes, attributes = {} }: NonNullable<CloudwatchLoggerOptions["entity"]>): boolean {
  const keys = Object.values(keyAttributes ?? {});
  const others = Object.values(attributes);
  const fits = (keys.length === 0 || (keys.length >= 2 && keys.length <= 4)) && others.length <= 10;
  return fits && [...keys, ...others].every((value) => typeof value === "string");
}

function isSignals(signals: unknown[]): boolean {
  const catchable = (name: unknown) =>
    name !== "SIGKILL" && name !== "SIGSTOP" && Object.hasOwn(constants.signals, name as string);
  return Array.isArray(signals) && signals.every(catchable);
}

function isLevel(level: unknown): level is Level {
  return level !== "silent" && Object.hasOwn(LEVELS, level as string);
}

/** Fills in what is known when the logger is made; `{date}` stays. */
function fillName(template: string): string {
  const now = new Date();
  const micros = String(process.hrtime()[1] % 1_000).padStart(3, "0");
  const values: Record<string, () => string> = {
    timestamp: () => now.toISOString().replace(/\D/g, "") + micros,
    random: () => String(randomInt(1_000)).padStart(3, "0"),
    hostname,
    pid: () => String(process.pid),
    program: () => basename(process.argv[1] ?? "node").replace(/\.\w+$/, ""),
  };
  return template.replace(/\{(timestamp|random|hostname|pid|program)\}/g, (_, name: string) =>
    String(values[name]?.()).replace(/[:*]/g, "-"),
  );
}

/** Own enumerable properties of several values, later ones first; a getter that throws gives its reason instead. */
function mergeFields(...layers: (object | undefined)[]): Fields | undefined {
  // Without a prototype: a field may be called "__proto__".
  const fields: Fields = Object.create(null) as Fields;
  let empty = true;
  for (const layer of layers) {
    if (typeof layer !== "object" || layer === null) continue;
    for (const name of attempt(() => Object.keys(layer), [])) {
      fields[name] = read(layer, name);
      empty = false;
    }
  }
  return empty ? undefined : fields;
}

function read(object: object, key: PropertyKey): unknown {
  try {
    return (object as Record<PropertyKey, unknown>)[key];
  } catch (error) {
    return `[unreadable: ${reasonOf(error)}]`;
  }
}

/** Why something threw, whatever it threw. */
function reasonOf(error: unknown): string {
  return attempt(() => String(error instanceof Error ? error.message : error).slice(0, 200), "unknown reason");
}

function attempt<T, U>(action: () => T, otherwise: U): T | U {
  try {
    return action();
  } catch {
    return otherwise;
  }
}

function isError(value: unknown): value is Error {
  if (typeof value !== "object" || value === null) return false;
  try {
    return Object.getPrototypeOf(value) !== Object.prototype && (value instanceof Error || types.isNativeError(value));
  } catch {
    return false;
  }
}

/** Whether the properties of a value are its content. */
function isRecord(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  try {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === null) return true;
    const { toJSON } = value as { toJSON?: unknown };
    return !(
      Array.isArray(value) ||
      ArrayBuffer.isView(value) ||
      typeof toJSON === "function" ||
      types.isMap(value) ||
      types.isSet(value) ||
      types.isDate(value) ||
      types.isRegExp(value) ||
      types.isBoxedPrimitive(value)
    );
  } catch {
    return false;
  }
}

/** The name of the function that called the method of CloudwatchLogger that called `below`. */
function callerName(below: (...args: never[]) => void): string {
  const holder: { stack?: string } = {};
  Error.captureStackTrace?.(holder, below);
  // Line 0 is the header, 1 the method, 2 the caller.
  const line = String(holder.stack).split("\n")[2] ?? "";
  return /^\s*at (?:async )?(?:new )?([^\s(]+) (?:\[as [^\]]+\] )?\(/.exec(line)?.[1] ?? "<anonymous>";
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** What a timer takes; anything else counts as 0. */
function clampMs(ms: number): number {
  return ms > 0 ? Math.min(ms, 2 ** 31 - 1) : 0;
}

function describeLoss({ reason, count, cause }: Loss): string {
  const what = Object.hasOwn({ tooOld: 1, tooNew: 1, expired: 1, invalid: 1 }, reason) ? "rejected" : "dropped";
  return `${count} log event${count === 1 ? "" : "s"} ${what} (${reason})${cause ? `: ${cause.name}: ${cause.message}` : ""}`;
}

/** At most one text a second for each key; the next one tells how many were left out. */
function rateLimited(write: (text: string) => void): (key: string, text: string) => void {
  const last = new Map<string, { at: number; skipped: number }>();
  return (key, text) => {
    const now = performance.now();
    const before = last.get(key);
    if (before !== undefined && now - before.at < REPORT_INTERVAL_MS) {
      before.skipped++;
      return;
    }
    last.set(key, { at: now, skipped: 0 });
    write(before?.skipped ? `${text} (and ${before.skipped} more like it)` : text);
  };
}

/** Control characters but for line breaks and tabs; those are escaped in whatever is printed. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL_CHARACTERS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/** Text for a terminal or a log file: no escape sequences, and a further line cannot pass for an event of its own. */
function printable(text: string): string {
  return text
    .replace(CONTROL_CHARACTERS, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`)
    .replace(/\n/g, "\n  ");
}

function print(level: Level, text: string): void {
  const method = level === "fatal" ? "error" : level === "trace" ? "debug" : level;
  attempt(() => console[method]("%s", printable(text)), undefined);
}

/** Synchronously, so that it works while the process exits; without the stream, whose errors could end the process. */
function writeStderr(text: string): void {
  const bytes = Buffer.from(text);
  for (let at = 0, refusals = 0; at < bytes.length && refusals < 1_000; ) {
    try {
      at += fs.writeSync(2, bytes, at);
    } catch (error) {
      // A full pipe: its reader needs a moment.
      if ((error as { code?: string }).code !== "EAGAIN") return;
      refusals++;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

/** One line of JSON for each event, exact and safe to print. */
function printEvents(events: LogEvent[]): void {
  if (events.length > 0) writeStderr(`${events.map((event) => JSON.stringify(event)).join("\n")}\n`);
}

/** The loggers that the end of the process concerns: the only state of this module. */
const openLoggers = new Set<Core>();

function onProcessEnd(core: Core): void {
  if (openLoggers.size === 0) process.on("beforeExit", onBeforeExit).on("exit", onExit);
  openLoggers.add(core);
  for (const signal of core.signals) {
    if (!process.listeners(signal).includes(onSignal)) process.prependListener(signal, onSignal);
  }
}

function offProcessEnd(core: Core): void {
  openLoggers.delete(core);
  if (openLoggers.size === 0) process.off("beforeExit", onBeforeExit).off("exit", onExit);
  for (const signal of core.signals) {
    if (![...openLoggers].some(({ signals }) => signals.includes(signal))) process.off(signal, onSignal);
  }
}

function onBeforeExit(): void {
  for (const core of openLoggers) core.beforeExit();
}

function onExit(): void {
  for (const core of openLoggers) core.exit();
}

/** Closes all loggers, then lets the signal take its usual effect, unless the program handles it itself. */
function onSignal(signal: NodeJS.Signals): void {
  // Without this listener the same signal again ends the process at once.
  process.off(signal, onSignal);
  const handled = process.listenerCount(signal) > 0;
  void Promise.all([...openLoggers].map((core) => core.close())).then(() => {
    if (!handled) process.kill(process.pid, signal);
  });
}

/* ══════════════════════════════════════════════ 14 · Licence ════════════════════════════════════════════════

MIT License

Copyright (c) 2026 the cwlogger authors

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
*/
