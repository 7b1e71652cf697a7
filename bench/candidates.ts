/** Everything that is measured: how each logger is set up, how it is given an event, and when it is done. */
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";
import type { CloudwatchLogger } from "../cloudwatch.ts";
import type { Item } from "./records.ts";
import type { Task } from "./worker.ts";

/** Where the local service is. No credentials in here are real. */
export const ACCESS = {
  region: "us-east-1",
  credentials: { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" },
};
export const LOG_GROUP = "bench";
const NAMES = { logGroupName: LOG_GROUP, logStreamName: "bench-stream" };

/** A logger under test. */
export interface Logger {
  log(item: Item): void;
  /** Events that wait: in the queue or in flight. */
  pending(): number;
  /** Resolves when everything that was logged has been answered. */
  flush(): Promise<unknown>;
}

export interface Candidate {
  open(task: Task): Promise<Logger>;
  /** A burst stops while this many events wait, so that nothing is lost; the value that is fastest for the logger. */
  maxPending: number;
  /** Most events that a burst has; for the one that takes a second for each batch. */
  maxEvents?: number;
  /** A limit to compare with, that sends nothing. */
  isLimit?: boolean;
  /** The settings that differ from its defaults. */
  label: string;
}

const LIMIT = { maxPending: Infinity, isLimit: true };

export const CANDIDATES = {
  cwlogger: { open: cwlogger, maxPending: 30_000, label: "default options" },
  "plain SDK logger": { open: plainLogger, maxPending: 30_000, label: "full batches, four in flight, nothing else" },
  "winston-cloudwatch": {
    open: winstonCloudwatch,
    maxPending: 7_000,
    label: "uploadRate 1 ms (steady: 200 ms), messageFormatter JSON.stringify, no winston format",
  },
  "aws-cloudwatch-log": { open: awsCloudwatchLog, maxPending: 13_000, label: "one log() call for each full batch" },
  "winston-aws-cloudwatch": {
    open: winstonAwsCloudwatch,
    maxPending: 10_000,
    label: "submissionInterval 0 (steady: 200 ms), full batches, connections kept, no parameter validation",
  },
  "@serdnam/pino-cloudwatch-transport": {
    open: pinoCloudwatchTransport,
    maxPending: Infinity,
    maxEvents: 10_000,
    label: "in pino's worker thread; sends one batch a second whatever its interval",
  },
  "pino to /dev/null": { open: pinoToNull, ...LIMIT, label: "sync, no pid and hostname" },
  "JSON.stringify": { open: stringify, ...LIMIT, label: "of the record alone" },
  "idle loop": { open: async () => loggerOf(() => {}), ...LIMIT, label: "the same timers, nothing logged" },
} satisfies Record<string, Candidate>;

export type CandidateName = keyof typeof CANDIDATES;

/** Those that cannot be waited for are asked; `send` sends what waits. */
function loggerOf(log: Logger["log"], pending = () => 0, send = () => {}): Logger {
  const flush = async () => {
    send();
    do await sleep(1);
    while (pending() > 0);
  };
  return { log, pending, flush };
}

/** A package of bench/node_modules; `npm run check` does without their types. */
// biome-ignore lint/suspicious/noExplicitAny: each peer has types of its own
function peer(name: string): Promise<any> {
  return import(name);
}

async function stringify(): Promise<Logger> {
  let characters = 0;
  const log = ({ record }: Item) => {
    characters += JSON.stringify(record).length;
  };
  return loggerOf(log, () => Math.min(0, characters)); // so that nothing is optimized away
}

async function pinoToNull(): Promise<Logger> {
  const { pino } = await peer("pino");
  return loggerOf(pinoCall(pino({ base: null }, pino.destination({ dest: "/dev/null", sync: true }))));
}

function pinoCall(logger: { info(...given: unknown[]): void }): Logger["log"] {
  return ({ message, fields }) => (fields ? logger.info(fields, message) : logger.info(message));
}

async function cwlogger(task: Task): Promise<Logger> {
  const logger = await openCwlogger(task);
  const log = ({ message, fields }: Item) => logger.info(message, fields);
  return { log, pending: () => logger.stats().pending, flush: () => logger.flush(Infinity) };
}

export async function openCwlogger({ file, endpoint, options }: Task): Promise<CloudwatchLogger> {
  const { CloudwatchLogger } = (await import(file)) as typeof import("../cloudwatch.ts");
  return new CloudwatchLogger(LOG_GROUP, { ...ACCESS, endpoint, ...options });
}

/** What one would write in an afternoon: correct within the limits. */
async function plainLogger({ endpoint }: Task): Promise<Logger> {
  const { CloudWatchLogsClient, PutLogEventsCommand } = await import("@aws-sdk/client-cloudwatch-logs");
  const client = new CloudWatchLogsClient({ ...ACCESS, endpoint });
  const lanes = Array.from({ length: 4 }, () => Promise.resolve());
  let batch: { timestamp: number; message: string }[] = [];
  let [batchBytes, batches, pending] = [0, 0, 0];
  const cut = () => {
    const logEvents = batch;
    if (logEvents.length === 0) return;
    [batch, batchBytes] = [[], 0];
    const lane = batches++ % lanes.length;
    lanes[lane] = (lanes[lane] as Promise<void>).then(async () => {
      await client.send(new PutLogEventsCommand({ ...NAMES, logEvents }));
      pending -= logEvents.length;
    });
  };
  const log = ({ record }: Item) => {
    const message = JSON.stringify(record);
    const bytes = Buffer.byteLength(message) + 26;
    if (batchBytes + bytes > 1_048_576 || batch.length === 10_000) cut();
    batch.push({ timestamp: Date.now(), message });
    batchBytes += bytes;
    pending++;
  };
  setInterval(cut, 1_000);
  return loggerOf(log, () => pending, cut);
}

/** How many events fit a batch, for loggers that do not count bytes. */
const batchEvents = (kind: Task["kind"]) => (kind === "strings" ? 6_000 : 3_300);

/** A winston logger that leaves the format to the transport. */
async function winstonCall(transport: unknown): Promise<Logger["log"]> {
  const { default: winston } = await peer("winston");
  const logger = winston.createLogger({ format: winston.format((info: object) => info)(), transports: [transport] });
  return ({ message, fields }) => logger.info(message, fields);
}

async function winstonCloudwatch({ endpoint, mode }: Task): Promise<Logger> {
  const { default: WinstonCloudWatch } = await peer("winston-cloudwatch");
  const { CloudWatchLogs } = await import("@aws-sdk/client-cloudwatch-logs");
  const cloudWatchLogs = new CloudWatchLogs({ ...ACCESS, endpoint });
  let inFlight = 0;
  cloudWatchLogs.middlewareStack.add((next) => (args) => {
    const { length } = (args.input as { logEvents?: unknown[] }).logEvents ?? [];
    inFlight += length;
    return next(args).finally(() => {
      inFlight -= length;
    });
  });
  const [uploadRate, messageFormatter] = [mode === "steady" ? 200 : 1, (info: object) => JSON.stringify(info)];
  const transport = new WinstonCloudWatch({ cloudWatchLogs, ...NAMES, uploadRate, messageFormatter });
  return loggerOf(await winstonCall(transport), () => transport.logEvents.length + inFlight);
}

async function winstonAwsCloudwatch({ endpoint, mode, kind }: Task): Promise<Logger> {
  process.env.AWS_NODEJS_CONNECTION_REUSE_ENABLED = "1";
  process.env.AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE = "1";
  const { default: CloudWatchTransport } = await peer("winston-aws-cloudwatch");
  const transport = new CloudWatchTransport({
    ...NAMES,
    createLogGroup: true,
    createLogStream: true,
    submissionInterval: mode === "steady" ? 200 : 0,
    batchSize: batchEvents(kind),
    highWaterMark: batchEvents(kind),
    awsConfig: { region: ACCESS.region, ...ACCESS.credentials, endpoint, paramValidation: false },
    formatLog: ({ level, message, meta }: { level: string; message: string; meta: object }) =>
      JSON.stringify({ level, message, ...meta }),
  });
  let pending = 0;
  const submit = transport.log.bind(transport);
  transport.log = (info: object, callback: (...answer: unknown[]) => void) =>
    submit(info, (...answer: unknown[]) => {
      pending--;
      callback(...answer);
    });
  const call = await winstonCall(transport);
  const log = (item: Item) => {
    pending++;
    call(item);
  };
  return loggerOf(log, () => pending);
}

/** Its endpoint is fixed, so that its HTTP client is told the way. */
async function awsCloudwatchLog({ endpoint, kind }: Task): Promise<Logger> {
  const requirePeer = createRequire(createRequire(import.meta.url).resolve("aws-cloudwatch-log"));
  const { defaults } = requirePeer("axios") as { defaults: { adapter: (config: object) => Promise<unknown> } };
  const send = defaults.adapter;
  let inFlight = 0;
  defaults.adapter = (config) => {
    inFlight++;
    return send({ ...config, baseURL: undefined, url: endpoint }).finally(() => inFlight--);
  };
  const { Logger } = await peer("aws-cloudwatch-log");
  const logger = new Logger({ ...NAMES, region: ACCESS.region, ...ACCESS.credentials });
  let batch: unknown[] = [];
  const cut = () => {
    if (batch.length > 0) logger.log(...batch);
    batch = [];
  };
  const log = ({ record }: Item) => {
    batch.push(record);
    if (batch.length >= batchEvents(kind)) cut();
  };
  setInterval(cut, 1_000);
  return loggerOf(log, () => inFlight * batchEvents(kind) + batch.length, cut);
}

async function pinoCloudwatchTransport({ endpoint }: Task): Promise<Logger> {
  process.env.AWS_ENDPOINT_URL_CLOUDWATCH_LOGS = endpoint;
  const { accessKeyId, secretAccessKey } = ACCESS.credentials;
  const keys = { awsRegion: ACCESS.region, awsAccessKeyId: accessKeyId, awsSecretAccessKey: secretAccessKey };
  const { pino } = await peer("pino");
  const transport = pino.transport({ target: "@serdnam/pino-cloudwatch-transport", options: { ...NAMES, ...keys } });
  const pending = () => (transport.writableEnded && !transport.closed ? 1 : 0);
  return loggerOf(pinoCall(pino({ base: null }, transport)), pending, () => transport.end());
}
