/**
 * local-cloudwatch.ts: Amazon CloudWatch Logs on your own machine, for tests. MIT licence.
 *
 *     import { LocalCloudWatchLogs } from "cwlogger/testing";
 *
 *     const service = await LocalCloudWatchLogs.start();
 *     const client = new CloudWatchLogsClient({ endpoint: service.endpoint, region: "us-east-1", credentials });
 *     ...                                                      // run the program under test
 *     assert.deepEqual(service.events("my-app").map((event) => event.message), ["order placed"]);
 *     assert.deepEqual(service.violations, []);                // no limit of CloudWatch Logs was broken
 *     await service.close();
 *
 * It speaks AWS JSON 1.1 over HTTP on 127.0.0.1, so every SDK and `aws logs tail --endpoint-url` can use it. It keeps
 * everything in memory, holds the limits of the real service, and misbehaves when told to (`options.fault`).
 *
 * A request travels: receive (decode, check against the limits) → fault → authorize → quota → act → answer.
 * Its limits come from the service model logs/2014-03-28 and the documentation of each call, both as shipped with
 * @aws-sdk/client-cloudwatch-logs 3.1169.0, and from the quotas page (cloudwatch_limits_cwl); checked 2026-11.
 *
 * Where it differs from CloudWatch Logs: there is one account and one region; what is stored can be read at once, and
 * is not deleted when it expires; page tokens do not expire.
 */
import { isUtf8 } from "node:buffer";
import { createHash, createHmac, randomUUID } from "node:crypto";
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { gunzipSync } from "node:zlib";

// ── Limits ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Bytes that PutLogEvents adds to the UTF-8 bytes of each message. Source: PutLogEvents. */
const EVENT_OVERHEAD_BYTES = 26;
/** Largest batch, overhead included. Source: PutLogEvents. */
const MAX_BATCH_BYTES = 1_048_576;
/** Largest number of log events in a batch. Source: PutLogEvents. */
const MAX_BATCH_EVENTS = 10_000;
/** Largest log event, overhead included, since April 2025 (before: 262,144). Source: quotas. */
const MAX_EVENT_BYTES = 1_048_576;
/** Longest time between the oldest and the newest valid event of a batch. Source: PutLogEvents. */
const MAX_BATCH_SPAN_MS = 24 * 3_600_000;
/** Older events are rejected. Source: PutLogEvents. */
const TOO_OLD_MS = 14 * 24 * 3_600_000;
/** Events further ahead of the service's clock are rejected. Source: PutLogEvents. */
const TOO_NEW_MS = 2 * 3_600_000;
/** Largest page of GetLogEvents and FilterLogEvents. Source: GetLogEvents ("1 MB, up to 10,000 log events"). */
const MAX_PAGE_BYTES = 1_048_576;
const MAX_PAGE_EVENTS = 10_000;
/** Largest page of DescribeLogGroups and DescribeLogStreams, and the default. Source: their documentation. */
const MAX_DESCRIBED = 50;
/** The values that PutRetentionPolicy takes, in days. Source: PutRetentionPolicy. */
const RETENTION_DAYS = [
  1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
];
/** Source: CreateLogGroup, SDK 3.1169. */
const LOG_GROUP_CLASSES = ["STANDARD", "INFREQUENT_ACCESS", "DELIVERY", "ESSENTIALS"];
/** Most tags of a log group. Source: service model (Tags). */
const MAX_TAGS = 50;
/** Largest body, on the wire and unpacked. Ours: a full batch of control characters, six bytes each, still fits. */
const MAX_BODY_BYTES = 16 * 1_048_576;
/** Longer than the SDK keeps its pooled sockets, so that no request meets a closing connection. Ours. */
const KEEP_ALIVE_MS = 60_000;

const ACCOUNT = "123456789012";
const REGION = "us-east-1";
const ARN = `arn:aws:logs:${REGION}:${ACCOUNT}:log-group:`;

// Tests replace timers and clocks in their own process; this service lives in the same one and must not notice.
const RealDate = globalThis.Date;
const realNow = globalThis.Date.now;
const realMonotonicMs = performance.now.bind(performance);
const realSetTimeout = globalThis.setTimeout;
const realClearTimeout = globalThis.clearTimeout;

// ── Types ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The calls that the service answers; any other is an UnknownOperationException. */
export type LocalAction =
  | "PutLogEvents"
  | "CreateLogGroup"
  | "CreateLogStream"
  | "DeleteLogGroup"
  | "DeleteLogStream"
  | "PutRetentionPolicy"
  | "DeleteRetentionPolicy"
  | "TagResource"
  | "ListTagsForResource"
  | "ListTagsLogGroup"
  | "GetLogEvents"
  | "FilterLogEvents"
  | "DescribeLogGroups"
  | "DescribeLogStreams";

/** How the service behaves. All but `port` and `tls` may be changed while it runs: `service.options.delayMs = 80`. */
export interface LocalCloudWatchLogsOptions {
  /** TCP port, 0 to 65,535. Default: 0, any free port. */
  port?: number;
  /** PEM key and certificate; the endpoint is then `https:`. Default: plain HTTP. */
  tls?: { key: string | Buffer; cert: string | Buffer };
  /** Largest log event in bytes, its 26 bytes of overhead included. Default: 1,048,576; before April 2025 262,144. */
  maxEventBytes?: number;
  /** Enforce sequence tokens, as CloudWatch Logs did until January 2023. Default: false. */
  sequenceTokens?: boolean;
  /** `false`: answer gzip-compressed requests with HTTP 500, as some emulators do. Default: true. */
  gzip?: boolean;
  /**
   * Requests per second for each action (a token bucket of one second, in real time); above, ThrottlingException.
   * Default: none.
   */
  quota?: Partial<Record<LocalAction, number>>;
  /** IAM actions that are allowed, e.g. `["logs:PutLogEvents"]`; a `*` may stand at the end. Default: all. */
  allowedActions?: string[];
  /** The only access key that is known; another one is an UnrecognizedClientException. Default: any. */
  accessKeyId?: string;
  /** The secret key by which every signature is checked; a wrong one is an InvalidSignatureException. Default: unchecked. */
  secretAccessKey?: string;
  /** Time that every answer is held back, in milliseconds. Default: 0. */
  delayMs?: number;
  /** The service's clock in milliseconds since the epoch: decides what is too old or too new. Default: the real one. */
  now?: () => number;
  /** PutLogEvents with a message for which this is true is an InvalidParameterException; nothing of it is stored. */
  poison?: (message: string) => boolean;
  /** Asked once for every request before it is handled; what it returns is done instead. Default: no faults. */
  fault?: (request: LocalRequest) => LocalFault | undefined;
  /** How many of the newest requests `requests` keeps, bodies included. Default: Infinity. */
  maxRequests?: number;
  /** `false`: check, count and hand events to `onEvents`, but do not keep them. Default: true. */
  keepEvents?: boolean;
  /** Called with the events of each batch after they were stored. */
  onEvents?: (logGroupName: string, logStreamName: string, events: LocalEvent[]) => void;
  /**
   * For benchmarks: PutLogEvents is answered with success without being looked at (no fault, quota or authorization
   * either) and kept; `settle()` then checks and stores it, into log groups and streams that it creates. Not to be
   * used with `poison` and `sequenceTokens`. Default: false.
   */
  answerFirst?: boolean;
}

/** One request, as it arrived. */
export interface LocalRequest {
  /** The call's name, such as `"PutLogEvents"`; `""` when there was none. */
  action: LocalAction | (string & Record<never, never>);
  /** The parsed JSON body; undefined when it was none, and until `settle()` under `answerFirst`. */
  // biome-ignore lint/suspicious/noExplicitAny: its shape is the client's affair, and tests look inside it
  input: any;
  /** HTTP headers, names in lower case. */
  headers: IncomingHttpHeaders;
  /** From the Authorization header. */
  accessKeyId?: string;
  /** Bytes of the body on the wire. */
  bytes: number;
  /** The Content-Encoding header. */
  encoding?: string;
  /** When the body was complete, by the service's clock, in milliseconds since the epoch. */
  receivedAt: number;
  /** PutLogEvents: log events in the batch. */
  events?: number;
  /** PutLogEvents: size of the batch as the service counts, UTF-8 bytes of each message + 26. */
  batchBytes?: number;
  /** What was answered; absent while there is no answer, and for ever after `hang` and `reset`. */
  answer?: { status: number; errorName?: string };
}

/** A log event as it is read back. Times are milliseconds since the epoch. */
export interface LocalEvent {
  timestamp: number;
  message: string;
  ingestionTime: number;
}

/** A log group as it is. */
export interface LocalLogGroup {
  logGroupName: string;
  creationTime: number;
  logGroupClass: string;
  retentionInDays?: number;
  kmsKeyId?: string;
  tags: Record<string, string>;
  logStreams: string[];
}

/** What PutLogEvents says about events that it did not store. Start indexes are inclusive, end indexes exclusive. */
export interface LocalRejected {
  tooNewLogEventStartIndex?: number;
  tooOldLogEventEndIndex?: number;
  expiredLogEventEndIndex?: number;
}

/**
 * What a request meets instead of being handled. `stored: true` handles it, unseen by the client, all the same.
 * - `throttle`: HTTP 400 ThrottlingException
 * - `error`: any AWS error; `status` defaults to 400, `fields` are added to its body
 * - `status`: a raw answer, without request id
 * - `html`: an HTML page as a proxy sends it; `status` defaults to 503
 * - `empty`: HTTP 200 without request id and token; `body` defaults to `""`
 * - `hang`: no answer, the connection stays open
 * - `reset`: the connection is destroyed, without or with the request having been handled
 * - `delay`: waits, then handles the request
 * - `rejected`: PutLogEvents does not store these ranges and says so
 * - `rejectedEntity`: PutLogEvents stores and answers with `rejectedEntityInfo`
 * - `deleteLogGroup`, `deleteLogStream`: deletes what the request names, then handles it
 */
export type LocalFault =
  | { kind: "throttle" }
  | { kind: "error"; name: string; message?: string; status?: number; fields?: object; stored?: boolean }
  | { kind: "status"; status: number; body?: string; headers?: Record<string, string> }
  | { kind: "html"; status?: number }
  | { kind: "empty"; body?: string }
  | { kind: "hang"; stored?: boolean }
  | { kind: "reset"; stored: boolean }
  | { kind: "delay"; ms: number }
  | { kind: "rejected"; info: LocalRejected }
  | { kind: "rejectedEntity"; errorType: string }
  | { kind: "deleteLogGroup" }
  | { kind: "deleteLogStream" };

type Input = Record<string, unknown>;

/** `key` orders events of one timestamp as they came in. */
interface StoredEvent extends LocalEvent {
  key: number;
  logStreamName: string;
}

interface LogStream {
  name: string;
  creationTime: number;
  /** Sorted by (timestamp, key) unless `unsorted`. */
  events: StoredEvent[];
  unsorted: boolean;
  firstEventTimestamp?: number;
  lastEventTimestamp?: number;
  lastIngestionTime?: number;
  token?: string;
  /** Under `sequenceTokens`: the last accepted batch and the token that it carried. */
  lastBatch?: { digest: string; token: unknown };
}

interface LogGroup {
  name: string;
  creationTime: number;
  logGroupClass: string;
  retentionInDays?: number;
  kmsKeyId?: string;
  tags: Map<string, string>;
  storedBytes: number;
  streams: Map<string, LogStream>;
  /** All events of the group in order, built when it is searched and dropped when something is stored. */
  merged?: StoredEvent[] | undefined;
}

/** A request and what looking at it without the service's state has shown. */
interface Call {
  request: LocalRequest;
  body: Buffer;
  /** Why the request is refused whatever the state is: not well-formed, or a rule broken by a name or value. */
  refusal?: Refusal;
  /** Why its batch is refused; the real service looks for the log stream first. */
  batchRefusal?: Refusal;
  entityError?: string;
}

interface Answer {
  status: number;
  body: string;
  errorName?: string;
  /** Headers of a raw answer, which has no others and no request id. */
  headers?: Record<string, string>;
}

/** An error answer. `isViolation` tells that the request broke a rule, whatever the state of the service is. */
class Refusal extends Error {
  readonly status: number;
  readonly fields: object;
  readonly isViolation: boolean;
  constructor(name: string, message: string, extra: { status?: number; fields?: object; isViolation?: boolean } = {}) {
    super(message);
    this.name = name;
    this.status = extra.status ?? 400;
    this.fields = extra.fields ?? {};
    this.isViolation = extra.isViolation ?? false;
  }
}

// ── The service ─────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * An in-memory CloudWatch Logs on loopback.
 *
 * - Each limit is checked on every request, also on one that is then throttled or meets a fault.
 * - It is not affected by mocked timers and clocks.
 * - Nothing of it is left after `close()`; until then it keeps the process alive.
 *
 * @example
 * await using service = await LocalCloudWatchLogs.start({ maxEventBytes: 262_144 });
 * service.options.fault = (request) => (request.action === "PutLogEvents" ? { kind: "throttle" } : undefined);
 */
export class LocalCloudWatchLogs {
  /** Where it listens, e.g. `"http://127.0.0.1:41234"`. */
  readonly endpoint: string;
  /** Every request, in the order in which their bodies were complete; see `maxRequests`. */
  readonly requests: LocalRequest[] = [];
  /** Each rule that a request broke, e.g. `"PutLogEvents: Log event too large: …"`. Empty is what a test wants. */
  readonly violations: string[] = [];
  /** Requests received, for each action. */
  readonly counts: Record<LocalAction, number>;
  /** Events stored since the start, those not kept or deleted since included. */
  storedEvents = 0;
  /** The options given to `start`, live. */
  options: LocalCloudWatchLogsOptions;

  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  readonly #groups = new Map<string, LogGroup>();
  readonly #buckets = new Map<LocalAction, { tokens: number; at: number }>();
  #unsettled: Call[] = [];
  #nextKey = 1;
  #closing: Promise<void> | undefined;

  /**
   * Starts a service on 127.0.0.1.
   * @throws The error of `listen`, when the port is taken or the certificate is bad.
   */
  static async start(options: LocalCloudWatchLogsOptions = {}): Promise<LocalCloudWatchLogs> {
    const timeouts = { keepAliveTimeout: KEEP_ALIVE_MS, headersTimeout: KEEP_ALIVE_MS + 5_000, requestTimeout: 0 };
    const server = options.tls ? createTlsServer({ ...options.tls, ...timeouts }) : createServer(timeouts);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(options.port ?? 0, "127.0.0.1", resolve);
    });
    return new LocalCloudWatchLogs(server, options);
  }

  private constructor(server: Server, options: LocalCloudWatchLogsOptions) {
    this.#server = server;
    this.options = options;
    this.endpoint = `${options.tls ? "https" : "http"}://127.0.0.1:${(server.address() as AddressInfo).port}`;
    this.counts = Object.fromEntries(Object.keys(REQUIRED).map((name) => [name, 0])) as Record<LocalAction, number>;
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
    server.on("request", (incoming: IncomingMessage, response: ServerResponse) => {
      // Only options that cannot be used get here: a clock that throws, headers that are none.
      this.#serve(incoming, response).catch((error: unknown) => response.writeHead(500).end(String(error)));
    });
  }

  /** Stops at once: connections are destroyed, requests that hang or are held back are never answered. */
  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      for (const timer of this.#timers) realClearTimeout(timer);
      this.#server.close(() => resolve());
      for (const socket of this.#sockets) socket.destroy();
    });
    return this.#closing;
  }

  /** The same as `close`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * The events of a log stream, or of all streams of a log group, by timestamp; those of one millisecond in the order
   * in which they came in. Empty when there is no such group or stream.
   */
  events(logGroupName: string, logStreamName?: string): LocalEvent[] {
    const group = this.#groups.get(logGroupName);
    if (!group) return [];
    const stream = logStreamName === undefined ? undefined : group.streams.get(logStreamName);
    const events = logStreamName === undefined ? mergedEvents(group) : stream ? sortedEvents(stream) : [];
    return events.map(toLocalEvent);
  }

  /** All log groups, by name. */
  logGroups(): LocalLogGroup[] {
    return byName(this.#groups).map((group) => ({
      logGroupName: group.name,
      creationTime: group.creationTime,
      logGroupClass: group.logGroupClass,
      ...(group.retentionInDays !== undefined && { retentionInDays: group.retentionInDays }),
      ...(group.kmsKeyId !== undefined && { kmsKeyId: group.kmsKeyId }),
      tags: Object.fromEntries(group.tags),
      logStreams: byName(group.streams).map((stream) => stream.name),
    }));
  }

  /** The names of a log group's streams, sorted; empty when there is no such group. */
  logStreams(logGroupName: string): string[] {
    return byName(this.#groups.get(logGroupName)?.streams ?? new Map<string, LogStream>()).map((stream) => stream.name);
  }

  /** Creates a log group without a request. Does nothing when it exists. */
  createLogGroup(
    logGroupName: string,
    attributes: Partial<Pick<LocalLogGroup, "retentionInDays" | "tags" | "kmsKeyId" | "logGroupClass">> = {},
  ): void {
    if (this.#groups.has(logGroupName)) return;
    const { retentionInDays, kmsKeyId } = attributes;
    this.#groups.set(logGroupName, {
      name: logGroupName,
      creationTime: this.#now(),
      logGroupClass: attributes.logGroupClass ?? "STANDARD",
      ...(retentionInDays !== undefined && { retentionInDays }),
      ...(kmsKeyId !== undefined && { kmsKeyId }),
      tags: new Map(Object.entries(attributes.tags ?? {})),
      storedBytes: 0,
      streams: new Map(),
    });
  }

  /** Creates a log stream, and its log group, without a request. Does nothing when it exists. */
  createLogStream(logGroupName: string, logStreamName: string): void {
    this.createLogGroup(logGroupName);
    const streams = this.#groups.get(logGroupName)?.streams;
    if (!streams || streams.has(logStreamName)) return;
    streams.set(logStreamName, { name: logStreamName, creationTime: this.#now(), events: [], unsorted: false });
  }

  /** Deletes a log group with all in it, without a request. Does nothing when it is missing. */
  deleteLogGroup(logGroupName: string): void {
    this.#groups.delete(logGroupName);
  }

  /** Deletes a log stream with its events, without a request. Does nothing when it is missing. */
  deleteLogStream(logGroupName: string, logStreamName: string): void {
    const group = this.#groups.get(logGroupName);
    if (!group?.streams.delete(logStreamName)) return;
    group.merged = undefined;
  }

  /** Checks and stores what came in under `answerFirst` since the last call. */
  settle(): void {
    const calls = this.#unsettled;
    this.#unsettled = [];
    for (const call of calls) {
      this.#inspect(call);
      if (call.refusal || call.batchRefusal) continue;
      const { logGroupName, logStreamName } = call.request.input;
      this.createLogStream(logGroupName, logStreamName);
      this.#putLogEvents(call, {});
    }
  }

  // ── A request's way ─────────────────────────────────────────────────────────────────────────────────────────────

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(incoming);
    if (body === undefined || this.#closing) return;
    const call = this.#receive(incoming, body);
    const { request } = call;
    const { delayMs = 0, answerFirst = false } = this.options;
    let answer: Answer | undefined;
    if (answerFirst && request.action === "PutLogEvents") {
      this.#unsettled.push(call);
      answer = { status: 200, body: JSON.stringify({ nextSequenceToken: this.#newToken() }) };
    } else {
      this.#inspect(call);
      answer = await this.#answer(call, incoming);
    }
    if (!answer) return;
    if (delayMs > 0) await this.#sleep(delayMs);
    request.answer = { status: answer.status, ...(answer.errorName !== undefined && { errorName: answer.errorName }) };
    response.writeHead(answer.status, {
      ...(answer.headers ?? { "x-amzn-requestid": randomUUID(), "content-type": "application/x-amz-json-1.1" }),
      "content-length": Buffer.byteLength(answer.body),
      date: new RealDate(this.#now()).toUTCString(),
    });
    response.end(answer.body);
  }

  #receive(incoming: IncomingMessage, { bytes, body, tooLarge }: Body): Call {
    const { headers } = incoming;
    const target = incoming.method === "POST" ? String(headers["x-amz-target"] ?? "") : "";
    const accessKeyId = /\bCredential=([^/,\s]+)\//.exec(headers.authorization ?? "")?.[1];
    const encoding = headers["content-encoding"];
    const request: LocalRequest = {
      action: /^Logs_20140328\.(\w+)$/.exec(target)?.[1] ?? "",
      input: undefined,
      headers,
      bytes,
      receivedAt: this.#now(),
      ...(accessKeyId !== undefined && { accessKeyId }),
      ...(encoding !== undefined && { encoding }),
    };
    if (isAction(request.action)) this.counts[request.action]++;
    this.requests.push(request);
    this.requests.splice(0, Math.max(0, this.requests.length - (this.options.maxRequests ?? Infinity)));
    return tooLarge ? { request, body, refusal: tooLargeRefusal() } : { request, body };
  }

  /** Finds every rule that a request breaks by itself, before any fault can hide it. */
  #inspect(call: Call): void {
    const { request } = call;
    try {
      if (!isAction(request.action)) return;
      if (call.refusal) throw call.refusal;
      request.input = parseBody(call.body, request.encoding);
      checkInput(request.action, request.input);
      if (request.action === "PutLogEvents") {
        const group = this.#groups.get(request.input.logGroupName);
        const batch = inspectBatch(request.input.logEvents, {
          maxEventBytes: this.options.maxEventBytes ?? MAX_EVENT_BYTES,
          now: request.receivedAt,
          ...(group?.retentionInDays !== undefined && { retentionInDays: group.retentionInDays }),
        });
        request.events = request.input.logEvents.length;
        request.batchBytes = batch.bytes;
        if (batch.refusal) call.batchRefusal = batch.refusal;
        const entityError = inspectEntity(request.input.entity);
        if (entityError !== undefined) {
          call.entityError = entityError;
          this.violations.push(`PutLogEvents: entity: ${entityError}`);
        }
      }
    } catch (error) {
      call.refusal = asRefusal(error);
    }
    const refusal = call.refusal ?? call.batchRefusal;
    if (refusal?.isViolation) this.violations.push(`${request.action}: ${refusal.message}`);
  }

  /** The answer, or undefined when there is to be none. */
  async #answer(call: Call, incoming: IncomingMessage): Promise<Answer | undefined> {
    const { action, input } = call.request;
    let fault: LocalFault | undefined;
    try {
      fault = this.options.fault?.(call.request);
    } catch (error) {
      return refuse(error);
    }
    if (fault && "stored" in fault && fault.stored) this.#handle(call);
    switch (fault?.kind) {
      case undefined:
        return this.#handle(call);
      case "throttle":
        return refuse(throttled());
      case "error":
        return refuse(new Refusal(fault.name, fault.message ?? `${action} failed`, fault));
      case "status":
        return { status: fault.status, headers: fault.headers ?? {}, body: fault.body ?? "" };
      case "html": {
        const body = "<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>\r\n";
        return { status: fault.status ?? 503, headers: { "content-type": "text/html" }, body };
      }
      case "empty":
        return { status: 200, headers: {}, body: fault.body ?? "" };
      case "hang":
        return undefined;
      case "reset":
        incoming.socket.destroy();
        return undefined;
      case "delay":
        await this.#sleep(fault.ms);
        return this.#handle(call);
      case "rejected":
        return this.#handle(call, { rejected: fault.info });
      case "rejectedEntity":
        return this.#handle(call, { entityError: fault.errorType });
      case "deleteLogGroup":
        this.deleteLogGroup(input?.logGroupName);
        return this.#handle(call);
      case "deleteLogStream":
        this.deleteLogStream(input?.logGroupName, input?.logStreamName);
        return this.#handle(call);
    }
  }

  #handle(call: Call, forced: Forced = {}): Answer {
    try {
      const { action, encoding } = call.request;
      if (!isAction(action)) throw new Refusal("UnknownOperationException", "The operation is unknown.");
      this.#authorize(call, action);
      this.#throttle(action);
      if (encoding === "gzip" && this.options.gzip === false) throw new Error("gzip is refused (options.gzip)");
      if (call.refusal) throw call.refusal;
      const output = this.#act(action, call, forced);
      return { status: 200, body: output === undefined ? "" : JSON.stringify(output) };
    } catch (error) {
      return refuse(error);
    }
  }

  #authorize(call: Call, action: LocalAction): void {
    const { headers, accessKeyId, input } = call.request;
    if (headers.authorization === undefined) {
      throw new Refusal("MissingAuthenticationTokenException", "Missing Authentication Token");
    }
    if (this.options.accessKeyId !== undefined && accessKeyId !== this.options.accessKeyId) {
      throw new Refusal("UnrecognizedClientException", "The security token included in the request is invalid.");
    }
    if (this.options.secretAccessKey !== undefined) checkSignature(call, this.options.secretAccessKey);
    const { allowedActions } = this.options;
    if (!allowedActions) return;
    const isAllowed = (name: string) =>
      allowedActions.some((allowed) =>
        allowed.endsWith("*") ? name.startsWith(allowed.slice(0, -1)) : name === allowed,
      );
    // Tags at creation need a permission of their own. Source: CreateLogGroup.
    const mayTag = input?.tags == null || isAllowed("logs:TagResource") || isAllowed("logs:TagLogGroup");
    const denied = !isAllowed(`logs:${action}`) ? action : action === "CreateLogGroup" && !mayTag ? "TagResource" : "";
    if (denied === "") return;
    const resource = `${ARN}${input?.logGroupName ?? ""}:log-stream:${input?.logStreamName ?? ""}`;
    throw new Refusal(
      "AccessDeniedException",
      `User: arn:aws:iam::${ACCOUNT}:user/local is not authorized to perform: logs:${denied} on resource: ${resource} ` +
        `because no identity-based policy allows the logs:${denied} action`,
    );
  }

  #throttle(action: LocalAction): void {
    const perSecond = this.options.quota?.[action];
    if (perSecond === undefined) return;
    const at = realMonotonicMs();
    const capacity = Math.max(1, perSecond);
    const bucket = this.#buckets.get(action) ?? { tokens: capacity, at };
    const tokens = Math.min(capacity, bucket.tokens + ((at - bucket.at) / 1_000) * perSecond);
    const isThrottled = perSecond <= 0 || tokens < 1;
    this.#buckets.set(action, { tokens: isThrottled ? tokens : tokens - 1, at });
    if (isThrottled) throw throttled();
  }

  // ── The calls ───────────────────────────────────────────────────────────────────────────────────────────────────

  #act(action: LocalAction, call: Call, forced: Forced): unknown {
    const input: Input = call.request.input;
    switch (action) {
      case "PutLogEvents":
        return this.#putLogEvents(call, forced);
      case "CreateLogGroup":
        return this.#createLogGroup(input);
      case "CreateLogStream": {
        const group = this.#group(input);
        if (group.streams.has(String(input.logStreamName))) throw alreadyExists("log stream");
        return this.createLogStream(group.name, String(input.logStreamName));
      }
      case "DeleteLogGroup":
        return this.deleteLogGroup(this.#group(input).name);
      case "DeleteLogStream": {
        const group = this.#group(input);
        return this.deleteLogStream(group.name, this.#stream(group, input).name);
      }
      case "PutRetentionPolicy":
        this.#group(input).retentionInDays = Number(input.retentionInDays);
        return undefined;
      case "DeleteRetentionPolicy":
        return void delete this.#group(input).retentionInDays;
      case "TagResource":
        return addTags(this.#group(input), input.tags as Record<string, string>);
      case "ListTagsForResource":
      case "ListTagsLogGroup":
        return { tags: Object.fromEntries(this.#group(input).tags) };
      case "GetLogEvents":
        return getLogEvents(sortedEvents(this.#stream(this.#group(input), input)), input);
      case "FilterLogEvents":
        return filterLogEvents(this.#group(input), input);
      case "DescribeLogGroups":
        return describeLogGroups(byName(this.#groups), input);
      case "DescribeLogStreams":
        return describeLogStreams(this.#group(input), input);
    }
  }

  #putLogEvents(call: Call, forced: Forced): unknown {
    const { input, receivedAt } = call.request;
    const group = this.#group(input);
    const stream = this.#stream(group, input);
    const digest = this.options.sequenceTokens ? checkToken(stream, input) : "";
    if (call.batchRefusal) throw call.batchRefusal;
    const events: LocalEvent[] = input.logEvents;
    const { poison } = this.options;
    if (poison && events.some((event) => poison(event.message))) throw invalid("A log event cannot be processed.");
    const rejected = { ...rejectedRanges(events, receivedAt, group.retentionInDays), ...forced.rejected };
    this.#store(group, stream, validEvents(events, rejected), receivedAt);
    stream.token = this.#newToken();
    stream.lastBatch = { digest, token: input.sequenceToken ?? undefined };
    const entityError = forced.entityError ?? call.entityError;
    return {
      nextSequenceToken: stream.token,
      ...(Object.keys(rejected).length > 0 && { rejectedLogEventsInfo: rejected }),
      ...(entityError !== undefined && { rejectedEntityInfo: { errorType: entityError } }),
    };
  }

  #store(group: LogGroup, stream: LogStream, events: LocalEvent[], ingestionTime: number): void {
    const first = events[0]?.timestamp;
    const last = events.at(-1)?.timestamp;
    if (first === undefined || last === undefined) return;
    this.storedEvents += events.length;
    stream.firstEventTimestamp = Math.min(first, stream.firstEventTimestamp ?? first);
    if (first < (stream.lastEventTimestamp ?? first)) stream.unsorted = true;
    stream.lastEventTimestamp = Math.max(last, stream.lastEventTimestamp ?? last);
    stream.lastIngestionTime = ingestionTime;
    group.merged = undefined;
    for (const { timestamp, message } of events) {
      group.storedBytes += Buffer.byteLength(message) + EVENT_OVERHEAD_BYTES;
      if (this.options.keepEvents === false) continue;
      stream.events.push({ timestamp, message, ingestionTime, key: this.#nextKey++, logStreamName: stream.name });
    }
    this.options.onEvents?.(
      group.name,
      stream.name,
      events.map(({ timestamp, message }) => ({ timestamp, message, ingestionTime })),
    );
  }

  #createLogGroup(input: Input): undefined {
    const { logGroupName, kmsKeyId, logGroupClass, tags } = input as Partial<LocalLogGroup>;
    const name = String(logGroupName);
    if (this.#groups.has(name)) throw alreadyExists("log group");
    if (kmsKeyId != null && !/^arn:[^:]+:kms:[^:]*:[^:]*:(key|alias)\/./.test(kmsKeyId)) {
      throw invalid("The specified KMS Key Id could not be found.");
    }
    this.createLogGroup(name, {
      ...(kmsKeyId != null && { kmsKeyId }),
      ...(logGroupClass != null && { logGroupClass }),
      ...(tags != null && { tags }),
    });
    return undefined;
  }

  #group(input: Input): LogGroup {
    const named = [input.logGroupName, input.logGroupIdentifier, input.resourceArn].filter((name) => name != null);
    if (named.length !== 1) throw invalid("Exactly one of logGroupName and logGroupIdentifier must be specified.");
    const name = String(named[0]).replace(/^arn:[^:]*:logs:[^:]*:[^:]*:log-group:([^:]*)(:\*)?$/, "$1");
    const group = this.#groups.get(name);
    if (!group) throw notFound("log group");
    return group;
  }

  #stream(group: LogGroup, input: Input): LogStream {
    const stream = group.streams.get(String(input.logStreamName));
    if (!stream) throw notFound("log stream");
    return stream;
  }

  // ── Clock ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #now(): number {
    return this.options.now?.() ?? realNow();
  }

  #newToken(): string {
    return `4${String(this.#nextKey++).padStart(55, "0")}`;
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = realSetTimeout(() => {
        this.#timers.delete(timer);
        resolve();
      }, ms);
      this.#timers.add(timer);
    });
  }
}

// ── Rules for names and values ──────────────────────────────────────────────────────────────────────────────────────

/** The members without which a call is refused. */
const REQUIRED: Record<LocalAction, readonly string[]> = {
  PutLogEvents: ["logGroupName", "logStreamName", "logEvents"],
  CreateLogGroup: ["logGroupName"],
  CreateLogStream: ["logGroupName", "logStreamName"],
  DeleteLogGroup: ["logGroupName"],
  DeleteLogStream: ["logGroupName", "logStreamName"],
  PutRetentionPolicy: ["logGroupName", "retentionInDays"],
  DeleteRetentionPolicy: ["logGroupName"],
  TagResource: ["resourceArn", "tags"],
  ListTagsForResource: ["resourceArn"],
  ListTagsLogGroup: ["logGroupName"],
  GetLogEvents: ["logStreamName"],
  FilterLogEvents: [],
  DescribeLogGroups: [],
  DescribeLogStreams: [],
};

/** The JSON type of each member; another one is a SerializationException. */
const TYPES = new Map<string, "string" | "number" | "boolean" | "array" | "object">([
  ...["logGroupName", "logGroupIdentifier", "logStreamName", "resourceArn", "kmsKeyId", "logGroupClass"].map(string),
  ...["logStreamNamePrefix", "logGroupNamePrefix", "logGroupNamePattern", "filterPattern"].map(string),
  ...["nextToken", "orderBy", "sequenceToken"].map(string),
  ...["retentionInDays", "limit", "startTime", "endTime"].map((name) => [name, "number"] as const),
  ...["startFromHead", "descending"].map((name) => [name, "boolean"] as const),
  ...["logEvents", "logStreamNames"].map((name) => [name, "array"] as const),
  ...["tags", "entity"].map((name) => [name, "object"] as const),
]);

function string(name: string) {
  return [name, "string"] as const;
}

function isAction(name: string): name is LocalAction {
  return Object.hasOwn(REQUIRED, name);
}

function checkInput(action: LocalAction, input: Input): void {
  for (const [name, value] of Object.entries(input)) {
    if (value === null) continue;
    const type = Array.isArray(value) ? "array" : typeof value;
    const expected = TYPES.get(name);
    if (expected !== undefined && type !== expected)
      throw malformed(`${name} must be of type ${expected}, not ${type}`);
  }
  for (const name of REQUIRED[action]) {
    if (input[name] == null) throw broken(null, name, "Member must not be null");
  }
  checkName("logGroupName", input.logGroupName, /^[.\-_/#A-Za-z0-9]+$/, "[\\.\\-_/#A-Za-z0-9]+");
  if (String(input.logGroupName).startsWith("aws/")) {
    throw new Refusal("InvalidParameterException", "Log groups starting with AWS/ are reserved for AWS.", RULE);
  }
  const logStreamNames = (input.logStreamNames ?? []) as unknown[];
  if (logStreamNames.length > 100) throw broken("[…]", "logStreamNames", "Member must have length at most 100");
  for (const name of [input.logStreamName, input.logStreamNamePrefix, ...logStreamNames]) {
    checkName("logStreamName", name, /^[^:*]+$/, "[^:*]*");
  }
  checkOneOf("retentionInDays", input.retentionInDays, RETENTION_DAYS);
  checkOneOf("logGroupClass", input.logGroupClass, LOG_GROUP_CLASSES);
  checkOneOf("orderBy", input.orderBy, ["LogStreamName", "LastEventTime"]);
  if (input.tags != null) checkTags(input.tags);
  if (input.kmsKeyId != null && String(input.kmsKeyId).length > 256) {
    throw broken(input.kmsKeyId, "kmsKeyId", "Member must have length less than or equal to 256");
  }
  if (input.limit != null) {
    const max = action.startsWith("Describe") ? MAX_DESCRIBED : MAX_PAGE_EVENTS;
    const limit = Number(input.limit);
    if (!Number.isInteger(limit) || limit < 1 || limit > max)
      throw broken(limit, "limit", `Member must be 1 to ${max}`);
  }
}

function checkName(member: string, value: unknown, pattern: RegExp, shown: string): void {
  if (value == null) return;
  if (typeof value !== "string") throw malformed(`${member} must be of type string`);
  if (value.length < 1) throw broken(value, member, "Member must have length greater than or equal to 1");
  if (value.length > 512) throw broken(value, member, "Member must have length less than or equal to 512");
  if (!pattern.test(value)) throw broken(value, member, `Member must satisfy regular expression pattern: ${shown}`);
}

function checkOneOf(member: string, value: unknown, allowed: readonly unknown[]): void {
  if (value == null || allowed.includes(value)) return;
  throw broken(value, member, `Member must satisfy enum value set: [${allowed.join(", ")}]`);
}

function checkTags(tags: object): void {
  const entries = Object.entries(tags);
  if (entries.length < 1 || entries.length > MAX_TAGS)
    throw broken("{…}", "tags", `Member must have 1 to ${MAX_TAGS} tags`);
  for (const [key, value] of entries) {
    if (typeof value !== "string") throw malformed("a tag's value must be of type string");
    // Key 1–128 and value 0–256 characters of this set. Source: service model (TagKey, TagValue).
    const isKeyValid = key.length <= 128 && /^[\p{L}\p{Z}\p{N}_.:/=+\-@]+$/u.test(key) && !/^aws:/i.test(key);
    if (!isKeyValid) throw broken(key, "tags", "Map keys must be 1 to 128 letters, digits, spaces or _.:/=+-@");
    const isValueValid = value.length <= 256 && /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u.test(value);
    if (!isValueValid) throw broken(value, "tags", "Map values must be up to 256 letters, digits, spaces or _.:/=+-@");
  }
}

function addTags(group: LogGroup, tags: Record<string, string>): undefined {
  const merged = new Map([...group.tags, ...Object.entries(tags)]);
  if (merged.size > MAX_TAGS) throw new Refusal("TooManyTagsException", `A log group can have ${MAX_TAGS} tags.`);
  group.tags = merged;
  return undefined;
}

// ── Rules for a batch ───────────────────────────────────────────────────────────────────────────────────────────────

interface Forced {
  rejected?: LocalRejected;
  entityError?: string;
}

/** One pass over the batch; of all that is wrong, what the service would look at first is the refusal. */
function inspectBatch(
  logEvents: unknown[],
  { maxEventBytes, now, retentionInDays }: { maxEventBytes: number; now: number; retentionInDays?: number },
): { bytes: number; refusal?: Refusal } {
  let bytes = 0;
  let invalidMember: Refusal | undefined;
  let tooLargeBytes = 0;
  let isOrdered = true;
  let previous = -Infinity;
  for (let index = 0; index < logEvents.length; index++) {
    const { timestamp, message } = (logEvents[index] ?? {}) as Partial<LocalEvent>;
    invalidMember ??= inspectEvent(timestamp, message, index);
    if (typeof timestamp !== "number" || typeof message !== "string") continue;
    const eventBytes = Buffer.byteLength(message) + EVENT_OVERHEAD_BYTES;
    bytes += eventBytes;
    if (eventBytes > maxEventBytes && tooLargeBytes === 0) tooLargeBytes = eventBytes;
    if (timestamp < previous) isOrdered = false;
    previous = timestamp;
  }
  const refusal = (message: string) => ({ bytes, refusal: new Refusal("InvalidParameterException", message, RULE) });
  if (logEvents.length < 1) {
    return { bytes, refusal: broken("[]", "logEvents", "Member must have length greater than or equal to 1") };
  }
  if (logEvents.length > MAX_BATCH_EVENTS) {
    return { bytes, refusal: broken("[…]", "logEvents", "Member must have length less than or equal to 10000") };
  }
  if (invalidMember) return { bytes, refusal: invalidMember };
  if (tooLargeBytes > 0)
    return refusal(`Log event too large: ${tooLargeBytes} bytes exceeds limit of ${maxEventBytes}`);
  if (bytes > MAX_BATCH_BYTES) return refusal(`Upload too large: ${bytes} bytes exceeds limit of ${MAX_BATCH_BYTES}`);
  if (!isOrdered) return refusal("Log events in a single PutLogEvents request must be in chronological order.");
  const valid = validEvents(logEvents as LocalEvent[], rejectedRanges(logEvents as LocalEvent[], now, retentionInDays));
  if ((valid.at(-1)?.timestamp ?? 0) - (valid[0]?.timestamp ?? 0) > MAX_BATCH_SPAN_MS) {
    return refusal("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.");
  }
  return { bytes };
}

function inspectEvent(timestamp: unknown, message: unknown, index: number): Refusal | undefined {
  const member = `logEvents.${index + 1}.member`;
  if (message == null) return broken(null, `${member}.message`, "Member must not be null");
  if (timestamp == null) return broken(null, `${member}.timestamp`, "Member must not be null");
  if (typeof message !== "string") return malformed(`${member}.message must be of type string`);
  if (typeof timestamp !== "number") return malformed(`${member}.timestamp must be of type number`);
  if (message === "") return broken("", `${member}.message`, "Member must have length greater than or equal to 1");
  if (!Number.isSafeInteger(timestamp)) return broken(timestamp, `${member}.timestamp`, "Member must be an integer");
  if (timestamp < 0) return broken(timestamp, `${member}.timestamp`, "Member must be greater than or equal to 0");
  return undefined;
}

/** What an ordered batch holds that is too old, expired or too new. */
function rejectedRanges(events: LocalEvent[], now: number, retentionInDays: number | undefined): LocalRejected {
  const countOlderThan = (ms: number) => {
    let count = 0;
    while ((events[count]?.timestamp ?? Infinity) < now - ms) count++;
    return count;
  };
  const tooOld = countOlderThan(TOO_OLD_MS);
  const expired = retentionInDays === undefined ? 0 : countOlderThan(retentionInDays * 24 * 3_600_000);
  let tooNew = events.length;
  while ((events[tooNew - 1]?.timestamp ?? -Infinity) > now + TOO_NEW_MS) tooNew--;
  return {
    ...(tooNew < events.length && { tooNewLogEventStartIndex: tooNew }),
    ...(tooOld > 0 && { tooOldLogEventEndIndex: tooOld }),
    ...(expired > 0 && { expiredLogEventEndIndex: expired }),
  };
}

function validEvents(events: LocalEvent[], rejected: LocalRejected): LocalEvent[] {
  const from = Math.max(rejected.tooOldLogEventEndIndex ?? 0, rejected.expiredLogEventEndIndex ?? 0);
  const to = rejected.tooNewLogEventStartIndex ?? events.length;
  return from === 0 && to === events.length ? events : events.slice(from, to);
}

/** The `errorType` of an entity with too few or too many attributes; 2–4 and 0–10 are allowed. Source: PutLogEvents. */
function inspectEntity(entity: { keyAttributes?: object; attributes?: object } | undefined | null): string | undefined {
  if (entity == null) return undefined;
  const keys = Object.keys(entity.keyAttributes ?? {}).length;
  if (keys < 2 || keys > 4) return "InvalidKeyAttributes";
  return Object.keys(entity.attributes ?? {}).length > 10 ? "InvalidAttributes" : undefined;
}

/** The rule that held until 2023. Returns the batch's digest, by which the same batch is known again. */
function checkToken(stream: LogStream, input: Input): string {
  const digest = createHash("sha256").update(JSON.stringify(input.logEvents)).digest("hex");
  const given = input.sequenceToken ?? undefined;
  if (given === stream.token) return digest;
  const expected = { fields: stream.token === undefined ? {} : { expectedSequenceToken: stream.token } };
  if (stream.lastBatch?.digest === digest && stream.lastBatch.token === given) {
    const text = `The given batch of log events has already been accepted. The next batch can be sent with sequenceToken: `;
    throw new Refusal("DataAlreadyAcceptedException", text + stream.token, expected);
  }
  const text = `The given sequenceToken is invalid. The next expected sequenceToken is: ${stream.token ?? null}`;
  throw new Refusal("InvalidSequenceTokenException", text, expected);
}

// ── Reading back ────────────────────────────────────────────────────────────────────────────────────────────────────

function sortedEvents(stream: LogStream): StoredEvent[] {
  if (stream.unsorted) stream.events.sort(inOrder);
  stream.unsorted = false;
  return stream.events;
}

function mergedEvents(group: LogGroup): StoredEvent[] {
  group.merged ??= [...group.streams.values()].flatMap((stream) => stream.events).sort(inOrder);
  return group.merged;
}

function inOrder(a: StoredEvent, b: StoredEvent): number {
  return a.timestamp - b.timestamp || a.key - b.key;
}

function toLocalEvent({ timestamp, message, ingestionTime }: StoredEvent): LocalEvent {
  return { timestamp, message, ingestionTime };
}

/** A place between two events: before the event (timestamp, key). Tokens name places, so that new events do not move them. */
interface Place {
  timestamp: number;
  key: number;
}

function placeOf(token: string): Place {
  const match = /^[fbn]\/(\d+)\/(\d+)$/.exec(token);
  if (!match) throw invalid("The specified nextToken is invalid.");
  return { timestamp: Number(match[1]), key: Number(match[2]) };
}

function indexOf(events: StoredEvent[], place: Place): number {
  let low = 0;
  let high = events.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const event = events[middle];
    if (event && (event.timestamp - place.timestamp || event.key - place.key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** `startTime` is inclusive, `endTime` exclusive; at an end of the stream the token given comes back. */
function getLogEvents(events: StoredEvent[], input: Input): unknown {
  const { limit, startTime, endTime, nextToken, startFromHead } = input as Page;
  const token = nextToken ?? undefined;
  const isForward = token === undefined ? startFromHead === true : token.startsWith("f/");
  const start = indexOf(events, { timestamp: startTime ?? 0, key: 0 });
  const end = indexOf(events, { timestamp: endTime ?? Infinity, key: 0 });
  const edge = token !== undefined ? indexOf(events, placeOf(token)) : isForward ? start : end;
  let from = Math.min(Math.max(edge, start), end);
  let to = from;
  for (let bytes = 0; to - from < (limit ?? MAX_PAGE_EVENTS); ) {
    const event = isForward ? (to < end ? events[to] : undefined) : from > start ? events[from - 1] : undefined;
    if (!event) break;
    bytes += Buffer.byteLength(event.message) + EVENT_OVERHEAD_BYTES;
    if (bytes > MAX_PAGE_BYTES) break; // never at the first event: none is larger than a batch, nor than a page
    if (isForward) to++;
    else from--;
  }
  const page = events.slice(from, to);
  const first = page[0];
  const last = page.at(-1);
  const place = token?.slice(2) ?? `${startTime ?? 0}/0`;
  return {
    events: page.map(toLocalEvent),
    nextForwardToken: `f/${last ? `${last.timestamp}/${last.key + 1}` : place}`,
    nextBackwardToken: `b/${first ? `${first.timestamp}/${first.key}` : place}`,
  };
}

/** `startTime` and `endTime` are inclusive. There is a `nextToken` as long as events are left to look at. */
function filterLogEvents(group: LogGroup, input: Input): unknown {
  if (group.logGroupClass === "INFREQUENT_ACCESS") {
    const message = `The log group ${group.name} is of log-group-class INFREQUENT_ACCESS. `;
    throw new Refusal("InvalidOperationException", `${message}FilterLogEvents is not supported for this log class.`);
  }
  const { limit, startTime, endTime, nextToken, startFromHead } = input as Page;
  if (startFromHead === false) throw invalid("startFromHead=false is not supported by the local service.");
  const names = input.logStreamNames as string[] | undefined;
  const prefix = input.logStreamNamePrefix as string | undefined;
  if (names != null && prefix != null) {
    throw invalid("Only one of logStreamNames and logStreamNamePrefix can be specified.");
  }
  if (names?.some((name) => !group.streams.has(name))) throw notFound("log stream");
  const isMatch = compilePattern((input.filterPattern as string | undefined) ?? "");
  const isSearched = (name: string) => (names ? names.includes(name) : name.startsWith(prefix ?? ""));
  const all = mergedEvents(group);
  const events: object[] = [];
  let index = indexOf(all, nextToken != null ? placeOf(nextToken) : { timestamp: startTime ?? 0, key: 0 });
  let next: StoredEvent | undefined;
  for (let bytes = 0; index < all.length; index++) {
    next = all[index];
    if (!next || next.timestamp > (endTime ?? Infinity)) break;
    if (!isSearched(next.logStreamName) || !isMatch(next.message)) continue;
    bytes += Buffer.byteLength(next.message) + EVENT_OVERHEAD_BYTES;
    if (events.length === (limit ?? MAX_PAGE_EVENTS) || bytes > MAX_PAGE_BYTES) break;
    events.push({
      ...toLocalEvent(next),
      logStreamName: next.logStreamName,
      eventId: String(next.key).padStart(56, "3"),
    });
  }
  const isDone = index >= all.length || !next || next.timestamp > (endTime ?? Infinity);
  return { events, searchedLogStreams: [], ...(!isDone && next && { nextToken: `n/${next.timestamp}/${next.key}` }) };
}

type Page = {
  limit?: number;
  startTime?: number;
  endTime?: number;
  nextToken?: string;
  startFromHead?: boolean;
};

/**
 * A part of the filter pattern language: words and `"quoted text"`, all of which must occur (case counts), or
 * `{ $.field = "value" }` with a dotted path and a string, number, true, false or null. `>=` compares with a number, and
 * `{ ($.field = "value") || ($.field = "other") }` wants one of them.
 * @throws InvalidParameterException for any other pattern.
 */
function compilePattern(pattern: string): (message: string) => boolean {
  const unsupported = invalid("Invalid filter pattern, or one that the local service does not support.");
  if (pattern.length > 1024) throw unsupported;
  const [, json] = /^\s*\{(.*)\}\s*$/s.exec(pattern) ?? [];
  if (json !== undefined) {
    const condition = /\s*(\(?)\s*\$\.([\w.-]+)\s*(>?=)\s*("(?:[^"\\]|\\.)*"|[\w.-]+)\s*(\)?)\s*(\|\||$)/y;
    const tests: ((event: unknown) => boolean)[] = [];
    for (let isMore = true; isMore; ) {
      const [match, opening, name = "", operator, text = "", closing, next] = condition.exec(json) ?? [];
      const path = name.split(".");
      const wanted = text === "null" ? null : (parseJson(text) ?? text);
      if (match === undefined || (opening === "") !== (closing === "")) throw unsupported;
      if (operator === ">=") {
        if (typeof wanted !== "number") throw unsupported;
        tests.push((event) => isAtLeast(valueAt(event, path), wanted));
      } else {
        tests.push((event) => valueAt(event, path) === wanted);
      }
      isMore = next === "||";
    }
    return (message) => {
      const event = parseJson(message);
      return tests.some((test) => test(event));
    };
  }
  const terms: string[] = [];
  const term = /\s*(?:"((?:[^"\\]|\\.)+)"|(\w+))\s*/y;
  while (term.lastIndex < pattern.trimEnd().length) {
    const match = term.exec(pattern);
    if (!match) throw unsupported;
    terms.push(match[1]?.replace(/\\(.)/g, "$1") ?? match[2] ?? "");
  }
  return (message) => terms.every((text) => message.includes(text));
}

function isAtLeast(value: unknown, least: number): boolean {
  return typeof value === "number" && value >= least;
}

function valueAt(value: unknown, path: string[]): unknown {
  for (const name of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Input)[name];
  }
  return value;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function describeLogGroups(groups: LogGroup[], input: Input): unknown {
  const { logGroupNamePrefix: prefix, logGroupNamePattern: pattern, logGroupClass } = input;
  if (prefix != null && pattern != null) {
    throw invalid("Only one of logGroupNamePrefix and logGroupNamePattern can be specified.");
  }
  const found = groups.filter(
    (group) =>
      group.name.startsWith(String(prefix ?? "")) &&
      group.name.includes(String(pattern ?? "")) &&
      (logGroupClass == null || group.logGroupClass === logGroupClass),
  );
  const { items, nextToken } = pageOf(found, input);
  const logGroups = items.map(({ name, creationTime, retentionInDays, storedBytes, kmsKeyId, logGroupClass }) => ({
    logGroupName: name,
    creationTime,
    retentionInDays,
    metricFilterCount: 0,
    arn: `${ARN}${name}:*`,
    storedBytes,
    kmsKeyId,
    logGroupClass,
    logGroupArn: `${ARN}${name}`,
  }));
  return { logGroups, nextToken };
}

function describeLogStreams(group: LogGroup, input: Input): unknown {
  const { orderBy, logStreamNamePrefix: prefix, descending } = input;
  if (orderBy === "LastEventTime" && prefix != null) {
    throw invalid("Cannot order by LastEventTime with a logStreamNamePrefix.");
  }
  const found = byName(group.streams).filter((stream) => stream.name.startsWith(String(prefix ?? "")));
  const lastEventTime = (stream: LogStream) => stream.lastEventTimestamp ?? stream.creationTime;
  if (orderBy === "LastEventTime") found.sort((a, b) => lastEventTime(a) - lastEventTime(b));
  if (descending === true) found.reverse();
  const { items, nextToken } = pageOf(found, input);
  const logStreams = items.map((stream) => ({
    logStreamName: stream.name,
    creationTime: stream.creationTime,
    firstEventTimestamp: stream.firstEventTimestamp,
    lastEventTimestamp: stream.lastEventTimestamp,
    lastIngestionTime: stream.lastIngestionTime,
    uploadSequenceToken: stream.token,
    arn: `${ARN}${group.name}:log-stream:${stream.name}`,
    storedBytes: 0,
  }));
  return { logStreams, nextToken };
}

function byName<T extends { name: string }>(items: Map<string, T>): T[] {
  return [...items.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

function pageOf<T>(items: T[], { limit, nextToken }: Page): { items: T[]; nextToken: string | undefined } {
  if (nextToken != null && !/^\d+$/.test(nextToken)) throw invalid("The specified nextToken is invalid.");
  const from = Number(nextToken ?? 0);
  const to = from + (limit ?? MAX_DESCRIBED);
  return { items: items.slice(from, to), nextToken: to < items.length ? String(to) : undefined };
}

// ── Wire ────────────────────────────────────────────────────────────────────────────────────────────────────────────

interface Body {
  bytes: number;
  body: Buffer;
  tooLarge: boolean;
}

/** Reads to the end even when there is too much, so that the client gets to read its answer. Undefined: it hung up. */
async function readBody(incoming: IncomingMessage): Promise<Body | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of incoming as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > MAX_BODY_BYTES) chunks.length = 0;
      else chunks.push(chunk);
    }
  } catch {
    return undefined;
  }
  return { bytes, body: Buffer.concat(chunks), tooLarge: bytes > MAX_BODY_BYTES };
}

function parseBody(body: Buffer, encoding: string | undefined): Input {
  const plain = encoding === "gzip" ? gunzip(body) : body;
  if (encoding !== undefined && encoding !== "gzip" && encoding !== "identity") {
    throw malformed(`Content-Encoding ${encoding} is not supported`);
  }
  const input = isUtf8(plain) ? parseJson(plain.toString()) : undefined;
  if (typeof input !== "object" || input === null || Array.isArray(input))
    throw malformed("the body is no JSON object");
  return input as Input;
}

function gunzip(body: Buffer): Buffer {
  try {
    return gunzipSync(body, { maxOutputLength: MAX_BODY_BYTES });
  } catch (error) {
    throw (error as { code?: string }).code === "ERR_BUFFER_TOO_LARGE" ? tooLargeRefusal() : malformed("bad gzip data");
  }
}

/** AWS Signature Version 4 over what arrived, so that a body changed after it was signed is noticed. */
function checkSignature({ request, body }: Call, secretAccessKey: string): void {
  const { headers } = request;
  const match = /^AWS4-HMAC-SHA256 Credential=[^/]+\/([^,\s]+), ?SignedHeaders=([^,\s]+), ?Signature=(\w+)$/.exec(
    headers.authorization ?? "",
  );
  const [, scope = "", signedHeaders = "", signature = ""] = match ?? [];
  const sha256 = (data: string | Buffer) => createHash("sha256").update(data).digest("hex");
  const hmac = (key: string | Buffer, data: string) => createHmac("sha256", key).update(data).digest();
  const canonicalHeaders = signedHeaders.split(";").map((name) => `${name}:${String(headers[name] ?? "").trim()}\n`);
  const canonical = ["POST", "/", "", canonicalHeaders.join(""), signedHeaders, sha256(body)].join("\n");
  const toSign = ["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, sha256(canonical)].join("\n");
  const key = scope
    .split("/")
    .reduce<string | Buffer>((previous, part) => hmac(previous, part), `AWS4${secretAccessKey}`);
  if (hmac(key, toSign).toString("hex") === signature) return;
  throw new Refusal(
    "InvalidSignatureException",
    "The request signature we calculated does not match the signature you provided. " +
      "Check your AWS Secret Access Key and signing method.",
  );
}

function refuse(error: unknown): Answer {
  const { name, message, status, fields } = asRefusal(error);
  return { status, errorName: name, body: JSON.stringify({ __type: name, message, ...fields }) };
}

/** What is no Refusal comes from a callback of the test's, or is a mistake of ours: shown, not hidden. */
function asRefusal(error: unknown): Refusal {
  return error instanceof Refusal ? error : new Refusal("InternalFailure", String(error), { status: 500 });
}

// ── Errors ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const RULE = { isViolation: true };

function broken(value: unknown, member: string, rule: string): Refusal {
  const shown = value === null ? "null" : `'${String(value).slice(0, 100)}'`;
  const message = `1 validation error detected: Value ${shown} at '${member}' failed to satisfy constraint: ${rule}`;
  return new Refusal("InvalidParameterException", message, RULE);
}

function malformed(message: string): Refusal {
  return new Refusal("SerializationException", message, RULE);
}

function tooLargeRefusal(): Refusal {
  const message = `Request body exceeds ${MAX_BODY_BYTES} bytes`;
  return new Refusal("RequestEntityTooLargeException", message, { ...RULE, status: 413 });
}

function invalid(message: string): Refusal {
  return new Refusal("InvalidParameterException", message);
}

function throttled(): Refusal {
  return new Refusal("ThrottlingException", "Rate exceeded");
}

function notFound(what: "log group" | "log stream"): Refusal {
  return new Refusal("ResourceNotFoundException", `The specified ${what} does not exist.`);
}

function alreadyExists(what: "log group" | "log stream"): Refusal {
  return new Refusal("ResourceAlreadyExistsException", `The specified ${what} already exists`);
}
