/**
 * Faults of CloudWatch Logs, of the network, of credentials and clocks, each alone and all mixed at random: whatever
 * happens, every event is delivered once or reported. `FAULT_SEED=7` repeats one run of the mixture.
 *
 * A trial is a logger and a service in virtual time under steady load. It looks at the books at every request and at
 * every step of time, and compares in the end what was logged with what was stored and what was reported.
 */
import assert from "node:assert/strict";
import dns from "node:dns";
import { after, afterEach, describe, it, type TestContext } from "node:test";
import { getHeapCodeStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import {
  CloudwatchLogger,
  type CloudwatchLoggerError,
  type CloudwatchLoggerOptions,
  type Level,
  type Loss,
} from "../cloudwatch.js";
import { LocalCloudWatchLogs, type LocalFault, type LocalRequest } from "./local-cloudwatch.js";
import { conserved, HOUR_MS, OVERHEAD_BYTES, range, realSleep, seeded, sum, VirtualTime } from "./support.js";

const GROUP = "my-app";
const HOST = "logs.fault.test";
const SECRET = "correct-horse-battery-staple";
const MESSAGE_BYTES = 100;
const MAX_QUEUE_BYTES = 60_000;
const STEP_MS = 200;
const SEEDS = process.env.FAULT_SEED ? [Number(process.env.FAULT_SEED)] : [...range(5, 1), Date.now() % 1_000_000];

// ── The faults ──────────────────────────────────────────────────────────────────────────────────────────────────────

interface Fault {
  /** What a request meets while the fault lasts, instead of being handled; asked for a `share` of the requests. */
  answer?: (trial: Trial, request: LocalRequest) => LocalFault | undefined;
  /** Default: two thirds. */
  share?: number;
  begin?: (trial: Trial) => unknown;
  end?: (trial: Trial) => unknown;
  options?: CloudwatchLoggerOptions;
  /** How long it lasts. Default: 40 s. */
  ms?: number;
  /** Events may be reported with these reasons. */
  reasons?: Loss["reason"][];
  /** It needs a logger of its own, made for it, and is not among those that are mixed. */
  isAlone?: boolean;
  /** It is there before the logger is. */
  isFirst?: boolean;
  /** No duplicates, though answers get lost. */
  isExact?: boolean;
}

const pick = <T>(trial: Trial, values: readonly T[]) => values[Math.floor(trial.random() * values.length)] as T;
const error = (name: string, status = 400, message?: string): Fault => ({
  answer: () => ({ kind: "error", name, status, ...(message !== undefined && { message }) }),
});
const puts = (answer: (trial: Trial, request: LocalRequest) => LocalFault | undefined) => {
  return (trial: Trial, request: LocalRequest) =>
    request.action === "PutLogEvents" ? answer(trial, request) : undefined;
};
const clock = (hours: number, reasons: Loss["reason"][] = []): Fault => ({
  begin: (trial) => {
    trial.time.clockErrorMs = hours * HOUR_MS;
  },
  end: (trial) => {
    trial.time.clockErrorMs = 0;
  },
  reasons,
});
/** Requests on connections that are there still arrive. */
const unreachable = (address: string | undefined): Fault => ({
  begin: (trial) => {
    trial.address = address;
  },
  answer: () => ({ kind: "reset", stored: false }),
  share: 1,
  end: (trial) => {
    trial.address = "127.0.0.1";
  },
});
/** `refusal` is what a batch with such an event gets. */
const poison = (which: (n: number) => boolean, refusal: LocalFault): Fault => ({
  answer: puts((_, { input }) => {
    const isPoison = ({ message }: { message: string }) => /^#\d/.test(message) && which(numberOf(message));
    return input.logEvents.some(isPoison) ? refusal : undefined;
  }),
  share: 1,
  reasons: ["invalid"],
  ms: 15_000,
});
const refusal = (name: string, status = 400): LocalFault => ({ kind: "error", name, status });
/** The service refuses signatures by a clock that is more than five minutes from its own; ours is so far off. */
const skew = (minutes: number, name = "InvalidSignatureException"): Fault => ({
  ...clock(minutes / 60),
  answer: (trial, { headers }) => {
    const iso = String(headers["x-amz-date"]).replace(/^(....)(..)(..T..)(..)(..Z)$/, "$1-$2-$3:$4:$5");
    return Math.abs(Date.parse(iso) - trial.time.now) > 300_000 ? refusal(name, 403) : undefined;
  },
  share: 1,
});
/** One kind of request meets a fault while the log group, deleted at first, has to be made again. */
const creating = (action: string, fault: (trial: Trial, request: LocalRequest) => LocalFault | undefined): Fault => ({
  begin: (trial) => trial.service.deleteLogGroup(GROUP),
  answer: (trial, request) => (request.action === action ? fault(trial, request) : undefined),
});
const logEventsOf = ({ input }: LocalRequest) => input.logEvents as unknown[];

const FAULTS: Record<string, Fault> = {
  "HTTP 5xx in bursts": { answer: (trial) => ({ kind: "status", status: pick(trial, [500, 502, 503, 504]) }) },
  "HTTP 5xx after storing": {
    answer: () => ({ kind: "error", name: "InternalFailure", status: 500, stored: true }),
    share: 0.3,
  },
  ServiceUnavailableException: error("ServiceUnavailableException", 500),
  "throttling of nearly everything": { answer: () => ({ kind: "throttle" }), share: 0.95 },
  "HTTP 429": { answer: () => ({ kind: "status", status: 429 }) },
  OperationAbortedException: error("OperationAbortedException"),
  "HTML with HTTP 503": { answer: () => ({ kind: "html" }) },
  "HTML with HTTP 200": { answer: () => ({ kind: "html", status: 200 }) },
  "HTML with HTTP 403": { answer: () => ({ kind: "html", status: 403 }) },
  "an empty 200 without a request id": { answer: puts(() => ({ kind: "empty" })) },
  "an empty JSON object without a request id": { answer: puts(() => ({ kind: "empty", body: "{}" })) },
  "no answer, nothing stored": { answer: () => ({ kind: "hang" }), share: 0.4, ms: 90_000 },
  "no answer, stored": { answer: () => ({ kind: "hang", stored: true }), share: 0.4, ms: 90_000 },
  "a reset before storing": { answer: () => ({ kind: "reset", stored: false }) },
  "a reset after storing": { answer: () => ({ kind: "reset", stored: true }) },
  "slow answers": { answer: () => ({ kind: "delay", ms: 3 }), share: 1, ms: 5_000 },
  "refused connections for the first seconds": { ...unreachable("127.0.0.2"), isFirst: true, ms: 12_000 },
  "refused connections": unreachable("127.0.0.2"),
  "a name that does not resolve at first": { ...unreachable(undefined), isFirst: true, ms: 12_000 },
  "a name that does not resolve": unreachable(undefined),
  "a wrong access key": {
    begin: (trial) => {
      trial.service.options.accessKeyId = "AKIDOTHER";
    },
    end: (trial) => {
      trial.keys.accessKeyId = "AKIDOTHER";
    },
    ms: 70_000,
  },
  "a wrong secret key": {
    begin: (trial) => {
      trial.service.options.secretAccessKey = "another-secret";
    },
    end: (trial) => {
      trial.keys.secretAccessKey = "another-secret";
    },
    ms: 70_000,
  },
  "an expired token": {
    answer: (trial, { accessKeyId }) =>
      accessKeyId === trial.keys.accessKeyId ? refusal("ExpiredTokenException") : undefined,
    share: 1,
    end: (trial) => {
      trial.keys.accessKeyId = `AKIDFRESH${trial.time.now}`;
      delete trial.service.options.accessKeyId;
    },
    ms: 70_000,
  },
  "a credentials provider that fails": {
    begin: (trial) => {
      trial.hasKeys = false;
    },
    ...{ answer: () => refusal("ExpiredTokenException"), share: 1 },
    end: (trial) => {
      trial.hasKeys = true;
    },
    ms: 70_000,
  },
  "AccessDenied to everything": {
    begin: (trial) => {
      trial.service.options.allowedActions = [];
    },
    end: (trial) => {
      delete trial.service.options.allowedActions;
    },
    ms: 70_000,
  },
  "AccessDenied to creating the log stream": {
    begin: (trial) => {
      trial.service.options.allowedActions = ["logs:PutLogEvents", "logs:CreateLogGroup"];
      trial.service.deleteLogGroup(GROUP);
    },
    end: (trial) => {
      delete trial.service.options.allowedActions;
    },
    ms: 70_000,
  },
  "a 4xx that nobody knows": error("TeapotException", 418),
  RequestTimeTooSkewed: error("RequestTimeTooSkewed", 403),
  "SignatureDoesNotMatch for a while": error("SignatureDoesNotMatch", 403),
  "the clock an hour ahead": clock(1),
  "the clock three hours ahead": clock(3, ["tooNew"]),
  "the clock three hours behind": clock(-3),
  "the clock fifteen days behind": clock(-15 * 24, ["tooOld"]),
  "the clock back and forth": {
    answer: (trial) => {
      trial.time.clockErrorMs = Math.round((trial.random() - 0.5) * 3 * HOUR_MS);
      return undefined;
    },
    end: (trial) => {
      trial.time.clockErrorMs = 0;
    },
  },
  "the log stream deleted": { answer: puts(() => ({ kind: "deleteLogStream" })), share: 0.2 },
  "the log group deleted": { answer: puts(() => ({ kind: "deleteLogGroup" })), share: 0.2 },
  "the log group missing, created later by someone else": {
    options: { createLogGroup: false },
    begin: (trial) => trial.service.deleteLogGroup(GROUP),
    end: (trial) => {
      assert.equal(trial.service.counts.CreateLogGroup, 0, "nobody asked for it");
      trial.service.createLogGroup(GROUP);
    },
    isAlone: true,
    isFirst: true,
    ms: 70_000,
  },
  "the log group deleted, created later by someone else": {
    options: { createLogGroup: false },
    begin: (trial) => trial.service.deleteLogGroup(GROUP),
    end: (trial) => trial.service.createLogGroup(GROUP),
    isAlone: true,
    ms: 70_000,
  },
  "poison here and there": poison((n) => n % 37 === 5, refusal("InvalidParameterException")),
  "poison in a row": poison((n) => n % 64 < 6, refusal("ValidationException")),
  "poison that cannot be parsed": poison((n) => n % 50 === 0, refusal("SerializationException")),
  "poison that is too large for a proxy": poison((n) => n % 41 === 7, { kind: "html", status: 413 }),
  "rejected as too old": rejected({ tooOldLogEventEndIndex: 2 }, ["tooOld"]),
  "rejected as expired": rejected({ expiredLogEventEndIndex: 3 }, ["expired"]),
  "rejected as too new": rejected({ tooNewLogEventStartIndex: -2 }, ["tooNew"]),
  "rejected for all three reasons": rejected(
    { tooOldLogEventEndIndex: 1, expiredLogEventEndIndex: 3, tooNewLogEventStartIndex: -1 },
    ["tooOld", "expired", "tooNew"],
  ),
  "sequence tokens": {
    begin: (trial) => {
      trial.service.options.sequenceTokens = true;
    },
    end: (trial) => {
      trial.service.options.sequenceTokens = false;
    },
  },
  "sequence tokens and resets after storing": {
    begin: (trial) => {
      trial.service.options.sequenceTokens = true;
    },
    answer: puts(() => ({ kind: "reset", stored: true })),
    share: 0.3,
    isAlone: true,
    isExact: true,
  },
  "gzip refused": {
    options: { compress: true },
    begin: (trial) => {
      trial.service.options.gzip = false;
    },
    isAlone: true,
  },
  "gzip refused with HTTP 415, from the start": {
    options: { compress: true },
    answer: (_, { encoding }) => (encoding === "gzip" ? { kind: "status", status: 415 } : undefined),
    share: 1,
    isFirst: true,
    isAlone: true,
  },
  "signatures checked by a clock ten minutes ahead of ours": skew(-10),
  "signatures checked by a clock half an hour behind ours": skew(30, "RequestTimeTooSkewed"),
  "a credentials provider that throws": {
    begin: (trial) => {
      trial.hasKeys = false;
    },
    end: (trial) => {
      trial.hasKeys = true;
    },
    isFirst: true,
    ms: 70_000,
  },
  "keys that change all the time": {
    answer: (trial) => {
      trial.keys.accessKeyId = `AKIDTURN${trial.service.requests.length}`;
      return pick(trial, [undefined, refusal("ExpiredTokenException"), refusal("UnrecognizedClientException")]);
    },
    // Another fault may have told the service to know one key only.
    end: (trial) => {
      delete trial.service.options.accessKeyId;
    },
  },
  "a KMS key that may not be used": error("AccessDeniedException", 400, "The KMS key is disabled"),
  "an account that is not active": error("OptInRequired", 403),
  "a proxy that wants a password": { answer: () => ({ kind: "html", status: 407 }) },
  "a proxy that redirects": {
    answer: () => ({ kind: "status", status: 302, headers: { location: "http://127.0.0.1:1/" } }),
  },
  "HTTP 404 of something else": { answer: () => ({ kind: "html", status: 404 }) },
  "half an answer": { answer: puts(() => ({ kind: "status", status: 200, body: '{"nextSeq' })) },
  "HTTP 503 with Retry-After": {
    answer: () => ({ kind: "status", status: 503, headers: { "retry-after": "120" } }),
  },
  "a reset of every other request": {
    answer: (trial) => (trial.service.requests.length % 2 ? { kind: "reset", stored: false } : undefined),
    share: 1,
  },
  "throttling of one in ten": { answer: () => ({ kind: "throttle" }), share: 0.1 },
  "a proxy that takes four events at most": {
    answer: puts((_, request) => (logEventsOf(request).length > 4 ? { kind: "html", status: 413 } : undefined)),
    share: 1,
    ms: 15_000,
  },
  "a batch that is refused, of which each half is taken": {
    answer: puts((_, request) => (logEventsOf(request).length > 1 ? refusal("InvalidParameterException") : undefined)),
    share: 0.5,
    ms: 15_000,
  },
  "a log stream said to be missing that is there": {
    answer: puts(() => refusal("ResourceNotFoundException")),
    share: 0.5,
  },
  "an entity that is refused": { answer: puts(() => ({ kind: "rejectedEntity", errorType: "EntitySizeTooLarge" })) },
  "rejected ranges beyond the batch": {
    answer: puts(() => ({ kind: "rejected", info: { tooNewLogEventStartIndex: 20_000 } })),
  },
  "batches said to be there already, and they are": {
    answer: puts(() => ({ kind: "error", name: "DataAlreadyAcceptedException", stored: true })),
    share: 0.3,
    isAlone: true,
    isExact: true,
  },
  "sequence tokens asked for without one": {
    answer: puts(() => refusal("InvalidSequenceTokenException")),
    share: 0.3,
    isAlone: true,
  },
  "no more log groups allowed": creating("CreateLogGroup", () => refusal("LimitExceededException")),
  "a log group that somebody else creates just then": {
    ...creating("CreateLogGroup", (trial) => {
      trial.service.createLogGroup(GROUP);
      return undefined;
    }),
    share: 1,
  },
  "a log stream that somebody else creates just then": {
    ...creating("CreateLogStream", (trial, { input }) => {
      trial.service.createLogStream(GROUP, input.logStreamName);
      return undefined;
    }),
    share: 1,
  },
  "a creation that is aborted": creating("CreateLogStream", () => refusal("OperationAbortedException")),
  "a retention policy that is refused": {
    options: { retentionInDays: 7 },
    ...creating("PutRetentionPolicy", () => refusal("AccessDeniedException")),
    isAlone: true,
    isFirst: true,
  },
  "tags that are refused": {
    options: { tags: { team: "a" } },
    ...creating("CreateLogGroup", (_, { input }) => (input.tags ? refusal("AccessDeniedException") : undefined)),
    isAlone: true,
    isFirst: true,
  },
  "the account's quota for PutLogEvents": {
    begin: (trial) => {
      trial.service.options.quota = { PutLogEvents: 10 };
    },
    end: (trial) => {
      delete trial.service.options.quota;
    },
  },
  "the account's quota for CreateLogStream, spent": {
    begin: (trial) => {
      trial.service.options.quota = { CreateLogStream: 0 };
      trial.service.deleteLogGroup(GROUP);
    },
    end: (trial) => {
      delete trial.service.options.quota;
    },
    isFirst: true,
  },
};

/** Indexes below 0 count from the end; the first three puts of a trial are left alone. */
function rejected(info: Record<string, number>, reasons: Loss["reason"][]): Fault {
  return {
    answer: puts((trial, request) => {
      const { input } = request;
      const { length } = input.logEvents;
      const fixed = Object.entries(info).map(([name, index]) => [
        name,
        index < 0 ? Math.max(0, length + index) : Math.min(index, length),
      ]);
      const ranges = Object.fromEntries(fixed) as Record<string, number>;
      const { tooOldLogEventEndIndex: old = 0, expiredLogEventEndIndex: expired = 0 } = ranges;
      const young = ranges.tooNewLogEventStartIndex ?? length;
      for (const [index, { message }] of input.logEvents.entries()) {
        const reason = index < old ? "tooOld" : index < expired ? "expired" : index >= young ? "tooNew" : undefined;
        if (reason !== undefined && !trial.isMixed) trial.expectedReasons.set(message, { reason, request });
      }
      return { kind: "rejected", info: ranges };
    }),
    reasons,
    share: 0.5,
    ms: 15_000,
  };
}

// ── Each alone, and all of them mixed ───────────────────────────────────────────────────────────────────────────────

const uncaught: unknown[] = [];
const onUncaught = (reason: unknown) => uncaught.push(reason);
process.on("unhandledRejection", onUncaught).on("uncaughtException", onUncaught);
const covered = { trials: 0, events: 0, requests: 0, samples: 0, duplicates: 0, reported: 0 };

afterEach(() => assert.deepEqual(uncaught.splice(0), [], "nothing was thrown or rejected unseen"));
after(() => {
  process.off("unhandledRejection", onUncaught).off("uncaughtException", onUncaught);
  console.log(`faults: ${Object.keys(FAULTS).length} kinds, ${JSON.stringify(covered)}`);
});

describe("each fault alone", () => {
  for (const [name, fault] of Object.entries(FAULTS)) {
    it(name, { timeout: 60_000 }, async (t) => {
      const trial = await Trial.start(t, 1, fault.isFirst ? fault : undefined, fault.options);
      if (!fault.isFirst) await trial.run(3_000);
      if (!fault.isFirst) trial.begin(fault);
      await trial.run(fault.ms ?? 40_000);
      trial.end(fault);
      await trial.flush();
      await trial.run(3_000);
      if (fault.isExact) assert.equal(trial.duplicates, 0, "nothing is stored twice");
      await trial.finish(fault.reasons ?? []);
    });
  }
});

describe("all faults mixed", () => {
  const mixable = Object.values(FAULTS).filter(({ isAlone }) => !isAlone);
  for (const seed of SEEDS) {
    it(`by seed: FAULT_SEED=${seed}`, { timeout: 60_000 }, async (t) => {
      const trial = await Trial.start(t, seed, undefined, { compress: seed % 2 === 0 });
      const { random } = trial;
      trial.isMixed = true;
      const active = new Set<Fault>();
      const stop = (fault: Fault) => {
        active.delete(fault);
        trial.end(fault);
      };
      for (let spell = 0; spell < 60; spell++) {
        for (const fault of active) if (random() < 0.5) stop(fault);
        for (let more = Math.floor(random() * 3); more > 0; more--) {
          const fault = pick(trial, mixable);
          if (active.has(fault)) continue;
          active.add(fault);
          trial.begin(fault);
        }
        await trial.run(random() * 8_000);
        // Some peace now and then.
        if (random() < 0.15) for (const fault of active) stop(fault);
      }
      for (const fault of active) stop(fault);
      await trial.run(3_000);
      await trial.finish(mixable.flatMap(({ reasons }) => reasons ?? []));
    });
  }
});

// ── Poison ──────────────────────────────────────────────────────────────────────────────────────────────────────────

describe("poison", () => {
  const placed: [title: string, count: number, bad: number[]][] = [
    ["the first event", 256, [0]],
    ["the event in the middle", 256, [128]],
    ["the last event", 256, [255]],
    ["first, middle and last", 256, [0, 128, 255]],
    ["two neighbours", 100, [49, 50]],
    ["eight spread evenly", 1_000, range(8).map((index) => index * 125 + 60)],
    ["a row of ten", 300, range(10, 100)],
    ["one of ten thousand", 10_000, [7_777]],
    ["every single one", 16, range(16)],
    ["an event alone", 1, [0]],
  ];
  for (const [title, count, bad] of placed) {
    it(`${title} of a batch of ${count}: few requests, and the neighbours keep their order`, async (t) => {
      const trial = await Trial.start(t, 1, undefined, {
        maxBatchEvents: 10_000,
        maxBatchBytes: 1_048_576,
        maxQueueBytes: 8_388_608,
      });
      const { service } = trial;
      await trial.log(1);
      await trial.flush();
      const isBad = new Set(bad.map((n) => n + 1));
      service.options.poison = (message) => isBad.has(numberOf(message));
      const before = service.counts.PutLogEvents;
      await trial.log(count);
      await trial.flush();
      const requests = service.counts.PutLogEvents - before;
      const bound = 2 * bad.length * (Math.ceil(Math.log2(count)) + 1) + 1;
      assert.ok(requests <= bound, `${requests} requests, ${bound} allowed`);
      assert.deepEqual(
        [...trial.lost.keys()].sort((a, b) => a - b),
        [...isBad],
      );
      const kept = range(count + 1).filter((n) => !isBad.has(n));
      assert.deepEqual(
        trial.stored.map(({ message }) => numberOf(message)),
        kept,
      );
      await trial.finish(["invalid"]);
    });
  }
});

// ── Trouble that is told, and got over ──────────────────────────────────────────────────────────────────────────────

describe("trouble", () => {
  for (const minutes of [10, -30]) {
    it(`a clock ${minutes} minutes off is got over as the SDK does it: one request is refused, no more`, async (t) => {
      const fault = skew(minutes);
      const trial = await Trial.start(t, 1, fault);
      const from = trial.time.now;
      await trial.log(5);
      await trial.flush();
      assert.equal(trial.stored.length, 5);
      const refused = trial.service.requests.filter(({ answer }) => answer?.status === 403);
      assert.equal(refused.length, 1, "one request was refused");
      assert.ok(trial.time.now - from < 60_000, `it took ${trial.time.now - from} ms`);
      trial.end(fault);
      await trial.finish([]);
    });
  }

  it("a credentials provider that throws is a matter of configuration, and told at its first failure", async (t) => {
    let calls = 0;
    const told: [code: string, calls: number][] = [];
    const trial = await Trial.start(t, 1, undefined, {
      credentials: async () => {
        calls++;
        if (!trial.hasKeys) throw new Error("vault is sealed");
        return trial.keys;
      },
      onError: ({ code, message }) => {
        assert.match(message, /vault is sealed/);
        told.push([code, calls]);
      },
    });
    trial.hasKeys = false;
    await trial.log(1);
    await trial.run(40_000);
    assert.equal(told.length, 1, `told once: ${told}`);
    assert.equal(told[0]?.[0], "ERR_CONFIGURATION");
    // One try may ask twice.
    assert.ok((told[0]?.[1] ?? 0) <= 2, `told after it was asked ${told[0]?.[1]} times`);
    assert.ok(calls > 2, "and it is asked again");
    trial.hasKeys = true;
    await trial.flush();
    await trial.finish([]);
  });

  it("a retention policy throttled twice, then close(): it is set, and nothing is said or sent after that", async (t) => {
    const service = await LocalCloudWatchLogs.start();
    t.after(() => service.close());
    let throttled = 0;
    service.options.fault = ({ action }) =>
      action === "PutRetentionPolicy" && throttled++ < 2 ? { kind: "throttle" } : undefined;
    const errors: CloudwatchLoggerError[] = [];
    const logger = new CloudwatchLogger(GROUP, {
      endpoint: service.endpoint,
      region: "us-east-1",
      credentials: { accessKeyId: "AKIDTEST", secretAccessKey: SECRET },
      retentionInDays: 7,
      flushIntervalMs: 100,
      onError: (error) => errors.push(error),
    });
    logger.info("one");
    assert.equal((await logger.close()).delivered, 1);
    assert.equal(service.logGroups()[0]?.retentionInDays, 7);
    assert.deepEqual(errors, []);
    const sent = service.requests.length;
    await realSleep(500);
    assert.equal(service.requests.length, sent, "no request goes out after close()");
  });
});

// ── A long run ──────────────────────────────────────────────────────────────────────────────────────────────────────

describe("a long run", () => {
  it("24 hours of changing load and faults leave nothing behind", { timeout: 120_000 }, async (t) => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const heapBytes = async () => {
      for (let round = 0; round < 3; round++) {
        collect();
        await realSleep(5);
      }
      // What V8 compiles is no leftover, and it compiles for hours what faults seldom reach.
      const { code_and_metadata_size, bytecode_and_metadata_size } = getHeapCodeStatistics();
      return process.memoryUsage().heapUsed - code_and_metadata_size - bytecode_and_metadata_size;
    };
    const listeners = () => process.eventNames().map((name) => `${String(name)} ${process.listenerCount(name)}`);
    const trial = await Trial.start(t, 24, undefined, { flushIntervalMs: 9_000 }, true);
    const { time, random, logger } = trial;
    const kinds = Object.values(FAULTS).filter(({ isAlone, ms = 40_000 }) => !isAlone && ms >= 40_000);
    const from = time.now;
    const heap: Record<"early" | "late", number[]> = { early: [], late: [] };
    const timers: number[] = [];
    const handles: number[] = [];
    let listenersAtFirst: string[] = [];
    for (let hour = 0; hour < 24; hour++) {
      // Some hours are busy, some idle; each but the last has two faults of some minutes.
      const perMinute = [0, 4, 30, 120][hour % 4] as number;
      const faults = [pick(trial, kinds), pick(trial, kinds)];
      for (let minute = 0; minute < 60; minute++) {
        for (const [index, fault] of faults.entries()) {
          if (hour < 23 && minute === 10 + 25 * index) trial.begin(fault);
          if (hour < 23 && minute === 13 + 25 * index) trial.end(fault);
        }
        for (let part = 0; part < 6; part++) {
          await trial.log(Math.round((random() * perMinute) / 3));
          await time.pass(10_000);
        }
      }
      await trial.flush();
      trial.forget();
      const stats = conserved(logger.stats());
      assert.equal(stats.pending, 0);
      if (hour === 0) listenersAtFirst = listeners();
      if (hour >= 20) heap.late.push(await heapBytes());
      else if (hour >= 8 && hour < 12) heap.early.push(await heapBytes());
      timers.push(time.timers);
      handles.push(process.getActiveResourcesInfo().length);
    }
    assert.equal(time.now - from >= 24 * HOUR_MS, true);
    assert.deepEqual(listeners(), listenersAtFirst, "no listeners pile up");
    assert.ok(Math.max(...timers) <= 3, `timers after each hour: ${timers}`);
    assert.ok(Math.max(...handles) <= (handles[1] as number) + 12, `handles after each hour: ${handles}`);
    const grown = Math.min(...heap.late) - Math.min(...heap.early);
    assert.ok(grown < 3_000_000, `the heap has grown by ${grown} bytes: from ${heap.early} to ${heap.late}`);
    const { logged, delivered } = logger.stats();
    assert.ok(logged > 10_000 && delivered > logged / 2, `${delivered} of ${logged} delivered`);
    await trial.finish(kinds.flatMap(({ reasons }) => reasons ?? []));
    t.diagnostic(`${logged} events in 24 hours, ${trial.service.counts.PutLogEvents} requests, heap ${grown} bytes`);
  });
});

// ── A trial ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A log call: what its event became, if it was taken at all. */
interface Call {
  timestamp: number;
  level: Level;
  isTaken: boolean;
}

class Trial {
  readonly time: VirtualTime;
  readonly service: LocalCloudWatchLogs;
  readonly random: () => number;
  readonly logger: CloudwatchLogger;
  readonly errors: CloudwatchLoggerError[] = [];
  /** Log calls by number; what was stored, as it came in; what was reported, by number. */
  readonly calls = new Map<number, Call>();
  readonly stored: { logStreamName: string; timestamp: number; message: string }[] = [];
  readonly lost = new Map<number, Loss["reason"]>();
  /** Unless the request was refused for another reason. */
  readonly expectedReasons = new Map<string, { reason: Loss["reason"]; request: LocalRequest }>();
  /** What the credentials provider gives, and the address that the endpoint's name has. */
  keys = { accessKeyId: "AKIDFIRST", secretAccessKey: SECRET };
  hasKeys = true;
  address: string | undefined = "127.0.0.1";
  /** Faults may add up: a range of two reasons. */
  isMixed = false;
  /** Messages of requests that were stored and not answered so. */
  readonly #ambiguous = new Set<string>();
  readonly #faults = new Set<Fault>();
  readonly #gathered: Partial<Record<Loss["reason"], number>> = {};
  /** Events dropped according to the WARN events in the log stream. */
  #noticed = 0;
  /** What `forget` has settled: calls, among them refused ones. */
  #settled = { calls: 0, refused: 0, stored: 0, notices: 0 };
  #notices = 0;
  #lostNotices = 0;
  #samples = 0;
  #next = 0;
  readonly #maxQueueBytes: number;
  readonly #resources: string[];
  readonly #listeners: string;

  static async start(
    t: TestContext,
    seed: number,
    first?: Fault,
    options: CloudwatchLoggerOptions = {},
    keepsLittle = false,
  ): Promise<Trial> {
    const resources = resourcesNow();
    const time = new VirtualTime(t);
    const service = await LocalCloudWatchLogs.start({
      now: () => time.now,
      secretAccessKey: SECRET,
      keepEvents: false,
      ...(keepsLittle && { maxRequests: 10 }),
    });
    t.after(() => service.close());
    return new Trial(t, seed, time, service, options, resources, first);
  }

  private constructor(
    t: TestContext,
    seed: number,
    time: VirtualTime,
    service: LocalCloudWatchLogs,
    options: CloudwatchLoggerOptions,
    resources: string[],
    first: Fault | undefined,
  ) {
    this.time = time;
    this.service = service;
    this.random = seeded(seed);
    this.#maxQueueBytes = options.maxQueueBytes ?? MAX_QUEUE_BYTES;
    this.#resources = resources;
    this.#listeners = listenersNow();
    time.onStep = () => this.sample();
    service.options.fault = (request) => this.#answer(request);
    service.options.onEvents = (_, logStreamName, events) => {
      for (const { timestamp, message } of events) this.stored.push({ logStreamName, timestamp, message });
    };
    t.mock.method(dns, "lookup", (_: string, options: { all?: boolean }, found: (...values: unknown[]) => void) => {
      const { address } = this;
      process.nextTick(() => {
        if (address === undefined)
          found(Object.assign(new Error(`getaddrinfo ENOTFOUND ${HOST}`), { code: "ENOTFOUND" }));
        else if (options.all) found(null, [{ address, family: 4 }]);
        else found(null, address, 4);
      });
    });
    if (first !== undefined) this.begin(first);
    this.logger = new CloudwatchLogger(GROUP, {
      endpoint: service.endpoint.replace("127.0.0.1", HOST),
      region: "us-east-1",
      credentials: async () => {
        if (!this.hasKeys) throw new Error("the credentials service is down");
        return { ...this.keys };
      },
      format: ({ message }) => message,
      maxBatchEvents: 40,
      maxBatchBytes: 8_192,
      maxQueueBytes: MAX_QUEUE_BYTES,
      onError: (error) => this.errors.push(error),
      onLoss: (loss) => this.#onLoss(loss),
      ...options,
    });
  }

  begin(fault: Fault): void {
    fault.begin?.(this);
    this.#faults.add(fault);
  }

  end(fault: Fault): void {
    fault.end?.(this);
    this.#faults.delete(fault);
  }

  /** Some load for some time: single events, and bursts within a millisecond and over several. */
  async run(ms: number): Promise<void> {
    for (const end = this.time.now + ms; this.time.now < end; ) {
      const chance = this.random();
      if (chance < 0.02) await this.log(100);
      else if (chance < 0.5) await this.log(1 + Math.floor(this.random() * 6), 3);
      await this.time.pass(STEP_MS);
    }
  }

  /** Logs so many events, `gapMs` apart. */
  async log(count: number, gapMs = 0): Promise<void> {
    for (let index = 0; index < count; index++) {
      if (gapMs > 0 && index > 0) await this.time.pass(gapMs);
      const n = this.#next++;
      const level = (["info", "info", "info", "info", "warn", "error"] as const)[n % 6] as Level;
      const { dropped } = this.logger.stats();
      const timestamp = Date.now();
      this.logger.log(level, `#${n} `.padEnd(MESSAGE_BYTES, "x"));
      this.calls.set(n, { timestamp, level, isTaken: this.logger.stats().dropped === dropped });
    }
    this.sample();
  }

  /** All that was logged has an outcome, notices of gaps included. */
  async flush(): Promise<void> {
    const { pending } = await this.time.passUntil(this.logger.flush(Number.POSITIVE_INFINITY), "flush");
    assert.equal(pending, 0, "flush() waits for every outcome");
  }

  /** Events that were stored again. */
  get duplicates(): number {
    return this.stored.length - new Set(this.stored.map(({ message }) => message)).size;
  }

  /** An empty queue has all its room again. */
  async #fill(): Promise<void> {
    const { dropped } = this.logger.stats();
    await this.log(Math.floor((0.8 * this.#maxQueueBytes) / (MESSAGE_BYTES + OVERHEAD_BYTES)));
    assert.equal(this.logger.stats().dropped, dropped, "no event that has its outcome takes room");
    await this.flush();
  }

  /** At every moment: conservation, and the bound on what waits. */
  sample(): void {
    const stats = conserved(this.logger.stats());
    this.#samples++;
    const waitingBytes = stats.pending * (MESSAGE_BYTES + OVERHEAD_BYTES);
    assert.ok(waitingBytes <= this.#maxQueueBytes, `${waitingBytes} bytes wait, ${this.#maxQueueBytes} may`);
  }

  /** Everything has an outcome, and each outcome is the right one. */
  async finish(reasons: Loss["reason"][]): Promise<void> {
    const { logger, time, service } = this;
    await this.flush();
    if (this.#maxQueueBytes === MAX_QUEUE_BYTES) await this.#fill();
    const stats = conserved(await time.passUntil(logger.close(), "close"));
    this.#compare(new Set(reasons));
    const settled = this.#settled;
    assert.equal(stats.pending, 0);
    assert.equal(
      stats.logged,
      this.#next + this.#notices + settled.notices + this.#lostNotices,
      "every call is logged",
    );
    const refused = [...this.calls.values()].filter(({ isTaken }) => !isTaken).length + settled.refused;
    assert.equal(stats.droppedReasons.queueFull, refused, "what the queue refused is counted");
    assert.equal(this.#gathered.queueFull ?? 0, refused, "and reported");
    assert.deepEqual({ ...stats.droppedReasons, queueFull: 0 }, { oversize: 0, queueFull: 0, closed: 0, unsent: 0 });
    assert.equal(this.#noticed, refused, "and told in the log stream");
    this.#checkRequests(stats.requests, stats.retries);
    assert.deepEqual(service.violations, [], "no limit of CloudWatch Logs was broken");
    // Some errors are one for each change of the trouble, so there are few.
    assert.ok(this.errors.length <= 2 + stats.requests, `${this.errors.length} errors`);
    covered.trials++;
    covered.events += this.#next;
    covered.requests += sum(Object.values(service.counts));
    covered.samples += this.#samples;
    covered.reported += this.lost.size;
    await this.#checkLeftovers();
  }

  /** Compares what has been logged so far, and forgets it. */
  forget(): void {
    this.#compare(new Set(["tooOld", "tooNew", "expired", "invalid"]));
    const refused = [...this.calls.values()].filter(({ isTaken }) => !isTaken).length;
    this.#settled.calls += this.calls.size;
    this.#settled.refused += refused;
    this.#settled.notices += this.#notices;
    this.#notices = 0;
    this.calls.clear();
    this.stored.length = 0;
    this.lost.clear();
    this.expectedReasons.clear();
    this.#ambiguous.clear();
    this.errors.length = 0;
  }

  #answer(request: LocalRequest): LocalFault | undefined {
    this.sample();
    for (const { answer, share = 2 / 3 } of this.#faults) {
      const fault = this.random() < share ? answer?.(this, request) : undefined;
      if (fault === undefined) continue;
      if (fault.kind === "hang") this.time.hanging++;
      if ("stored" in fault && fault.stored) {
        for (const { message } of request.input?.logEvents ?? []) this.#ambiguous.add(message);
      }
      return fault;
    }
    return undefined;
  }

  #onLoss(loss: Loss): void {
    const { reason, count, events, from, to } = loss;
    if (reason === "queueFull" || reason === "closed") {
      this.#gathered[reason] = (this.#gathered[reason] ?? 0) + count;
      assert.deepEqual(events, []);
      return;
    }
    assert.equal(count, events.length);
    assert.equal(from, Math.min(...events.map(({ timestamp }) => timestamp)));
    assert.equal(to, Math.max(...events.map(({ timestamp }) => timestamp)));
    for (const { timestamp, message } of events) {
      if (!message.startsWith("#")) {
        this.#lostNotices++;
        this.#noticed += numberOf(message);
        continue;
      }
      const n = numberOf(message);
      assert.equal(this.lost.has(n), false, `#${n} is reported once`);
      assert.equal(message, `#${n} `.padEnd(MESSAGE_BYTES, "x"));
      assert.equal(timestamp, this.calls.get(n)?.timestamp);
      this.lost.set(n, reason);
    }
  }

  #compare(reasons: Set<Loss["reason"]>): void {
    const times = new Map<number, number>();
    const ordered = new Map<string, { timestamp: number; n: number }[]>();
    const notices = new Set<string>();
    for (const { logStreamName, timestamp, message } of this.stored) {
      if (!message.startsWith("#")) {
        assert.match(message, /\bfull\b/);
        if (notices.has(message)) assert.ok(this.#ambiguous.has(message), `"${message}" is there twice`);
        else this.#noticed += numberOf(message);
        notices.add(message);
        continue;
      }
      const n = numberOf(message);
      assert.equal(message, `#${n} `.padEnd(MESSAGE_BYTES, "x"), "messages arrive unchanged");
      assert.equal(timestamp, this.calls.get(n)?.timestamp, "so do timestamps");
      times.set(n, (times.get(n) ?? 0) + 1);
      if ((times.get(n) as number) > 1) {
        assert.ok(this.#ambiguous.has(message), `#${n} was sent twice, though its outcome was known`);
        covered.duplicates++;
        continue;
      }
      const stream = ordered.get(logStreamName) ?? [];
      ordered.set(logStreamName, stream);
      stream.push({ timestamp, n });
    }
    this.#notices += notices.size;
    for (const [n, { isTaken, timestamp }] of this.calls) {
      const message = `#${n} `.padEnd(MESSAGE_BYTES, "x");
      const reason = this.lost.get(n);
      const count = times.get(n) ?? 0;
      if (!isTaken) assert.deepEqual([count, reason], [0, undefined], `#${n} was refused at the call`);
      else if (reason === undefined) assert.ok(count > 0, `#${n} (${timestamp}) is neither delivered nor reported`);
      else {
        assert.ok(count === 0 || this.#ambiguous.has(message), `#${n} is delivered and reported ${reason}`);
        assert.ok(reasons.has(reason), `#${n} is reported ${reason}`);
        const expected = this.expectedReasons.get(message);
        if (expected?.request.answer?.status === 200 && !this.#ambiguous.has(message))
          assert.equal(reason, expected.reason);
      }
    }
    for (const stream of ordered.values()) {
      // As CloudWatch Logs shows them: by timestamp, then by arrival.
      const numbers = stream.sort((a, b) => a.timestamp - b.timestamp);
      for (const [index, { timestamp, n }] of numbers.entries()) {
        const before = numbers[index - 1];
        if (before?.timestamp !== timestamp) continue;
        assert.ok(before.n < n, `#${before.n} and #${n} of one millisecond have changed places`);
      }
    }
  }

  /** `requests` and `retries` are what the service has seen, but for requests that never reached it. */
  #checkRequests(requests: number, retries: number): void {
    const { requests: seen, counts } = this.service;
    assert.ok(requests >= counts.PutLogEvents, `${requests} requests counted, ${counts.PutLogEvents} seen`);
    if (seen.length <= 10) return;
    const [bodies, sent] = [new Set<string>(), new Set<string>()];
    let [resent, again] = [0, 0];
    for (const { action, input } of seen) {
      if (action !== "PutLogEvents" || input === undefined) continue;
      const body = JSON.stringify(input.logEvents);
      if (bodies.has(body)) resent++;
      bodies.add(body);
      // A batch that was throttled may have grown when it comes again.
      const messages = (input.logEvents as { message: string }[]).map(({ message }) => message);
      if (messages.some((message) => sent.has(message))) again++;
      for (const message of messages) sent.add(message);
    }
    assert.ok(retries >= resent, `${resent} batches came again, stats() says ${retries}`);
    assert.ok(retries <= again + requests - counts.PutLogEvents, `${again} came again, stats() says ${retries}`);
  }

  /** The process could end: no timer, socket or listener is left. */
  async #checkLeftovers(): Promise<void> {
    const { time, service } = this;
    // Timers of the SDK's own last 3 s.
    await time.pass(5_000);
    assert.equal(time.timers, 0, "no timer is left");
    assert.equal(listenersNow(), this.#listeners, "no listener is left");
    await service.close();
    for (let tries = 0; tries < 200 && !isWithin(resourcesNow(), this.#resources); tries++) await realSleep(5);
    const left = resourcesNow();
    assert.ok(isWithin(left, this.#resources), `left over: ${left}; before: ${this.#resources}`);
  }
}

function numberOf(message: string): number {
  return Number(/\d+/.exec(message)?.[0]);
}

/** What keeps the process alive. */
function resourcesNow(): string[] {
  return process
    .getActiveResourcesInfo()
    .filter((name) => !/Immediate|Timeout/.test(name))
    .sort();
}

function isWithin(some: string[], all: string[]): boolean {
  const rest = [...all];
  return some.every((name) => rest.includes(name) && rest.splice(rest.indexOf(name), 1));
}

function listenersNow(): string {
  return process
    .eventNames()
    .map((name) => `${String(name)} ${process.listenerCount(name)}`)
    .sort()
    .join();
}
