import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, mock, type TestContext } from "node:test";
import { gzipSync } from "node:zlib";
import {
  CloudWatchLogsClient,
  type CloudWatchLogsClientConfig,
  CreateLogGroupCommand,
  type CreateLogGroupCommandInput,
  CreateLogStreamCommand,
  DeleteLogGroupCommand,
  DeleteLogStreamCommand,
  DeleteRetentionPolicyCommand,
  DescribeLogGroupsCommand,
  DescribeLogStreamsCommand,
  FilterLogEventsCommand,
  type FilterLogEventsCommandInput,
  GetLogEventsCommand,
  type GetLogEventsCommandInput,
  ListLogGroupsCommand,
  ListTagsForResourceCommand,
  ListTagsLogGroupCommand,
  PutLogEventsCommand,
  type PutLogEventsCommandInput,
  PutRetentionPolicyCommand,
  TagResourceCommand,
} from "@aws-sdk/client-cloudwatch-logs";
import {
  LocalCloudWatchLogs,
  type LocalCloudWatchLogsOptions,
  type LocalFault,
  type LocalRejected,
} from "./local-cloudwatch.js";

const NOW = Date.UTC(2026, 0, 31, 12);
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const INVALID = "InvalidParameterException";
const MISSING = "ResourceNotFoundException";
const NOT_CHRONOLOGICAL = "Log events in a single PutLogEvents request must be in chronological order.";
const SPAN = "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.";

describe("PutLogEvents limits", () => {
  const message = (bytes: number) => ({ timestamp: NOW, message: "x".repeat(bytes - 26) });
  const tooLong = "1 validation error detected: Value '[…]' at 'logEvents' failed to satisfy constraint: ";
  const at = (index: number, member: string) => `at 'logEvents.${index}.member.${member}'`;
  const cases: {
    title: string;
    events: { timestamp: number; message: string }[];
    refused?: string;
    options?: LocalCloudWatchLogsOptions;
  }[] = [
    { title: "one event of 1,048,576 bytes", events: [message(1_048_576)] },
    {
      title: "one event of 1,048,577 bytes",
      events: [message(1_048_577)],
      refused: "Log event too large: 1048577 bytes exceeds limit of 1048576",
    },
    { title: "262,144 bytes of old", events: [message(262_144)], options: { maxEventBytes: 262_144 } },
    {
      title: "262,145 bytes of old",
      events: [message(262_145)],
      options: { maxEventBytes: 262_144 },
      refused: "Log event too large: 262145 bytes exceeds limit of 262144",
    },
    { title: "a batch of 1,048,576 bytes", events: [message(524_288), message(524_288)] },
    {
      title: "a batch of 1,048,577 bytes",
      events: [message(524_288), message(524_289)],
      refused: "Upload too large: 1048577 bytes exceeds limit of 1048576",
    },
    { title: "UTF-8 of 1,048,576 bytes", events: [{ timestamp: NOW, message: `${"€".repeat(349_516)}é` }] },
    {
      title: "UTF-8 of 1,048,577 bytes",
      events: [{ timestamp: NOW, message: "€".repeat(349_517) }],
      refused: "Log event too large: 1048577 bytes exceeds limit of 1048576",
    },
    { title: "10,000 events", events: Array(10_000).fill(message(27)) },
    {
      title: "10,001 events",
      events: Array(10_001).fill(message(27)),
      refused: `${tooLong}Member must have length less than or equal to 10000`,
    },
    { title: "no events", events: [], refused: "Member must have length greater than or equal to 1" },
    { title: "an empty message", events: [message(27), message(26)], refused: at(2, "message") },
    { title: "a fractional timestamp", events: [{ timestamp: NOW + 0.5, message: "x" }], refused: at(1, "timestamp") },
    { title: "a negative timestamp", events: [{ timestamp: -1, message: "x" }], refused: at(1, "timestamp") },
    { title: "equal timestamps", events: [message(27), message(27)] },
    { title: "descending timestamps", events: batch(0, -1), refused: NOT_CHRONOLOGICAL },
    { title: "a span of 24 h", events: batch(-DAY_MS, 0) },
    { title: "a span of 24 h and 1 ms", events: batch(-DAY_MS - 1, 0), refused: SPAN },
    { title: "a span of more than 24 h with the oldest too old", events: batch(-15 * DAY_MS, -DAY_MS, 0) },
    { title: "a span of more than 24 h with the newest too new", events: batch(-DAY_MS, 0, 3 * HOUR_MS) },
    { title: "size before order", events: [...batch(0, -1), message(1_048_577)], refused: "Log event too large" },
    { title: "order before span", events: batch(-2 * DAY_MS, 0, -1), refused: NOT_CHRONOLOGICAL },
  ];
  for (const { title, events, refused, options } of cases) {
    it(`${refused === undefined ? "takes" : "refuses"} ${title}`, async (t) => {
      const { service, put } = await setUp(t, options);
      const bytes = events.reduce((sum, event) => sum + Buffer.byteLength(event.message) + 26, 0);
      if (refused === undefined) {
        await put(events);
        assert.deepEqual(service.violations, []);
      } else {
        const error = await refusal(put(events), INVALID, refused);
        assert.deepEqual(service.violations, [`PutLogEvents: ${error.message}`]);
        assert.deepEqual(service.events("group"), []);
        assert.equal(service.storedEvents, 0);
      }
      assert.equal(service.requests[0]?.batchBytes, bytes);
      assert.equal(service.requests[0]?.events, events.length);
    });
  }

  it("counts a lone surrogate as 3 bytes", async (t) => {
    const { service } = await setUp(t);
    const text = JSON.stringify(input([{ timestamp: NOW, message: "a\ud800b" }]));
    assert.equal((await raw(service, "PutLogEvents", text)).status, 200);
    assert.equal(service.requests[0]?.batchBytes, 5 + 26);
  });

  for (const [member, event] of [
    ["message", { timestamp: NOW }],
    ["timestamp", { message: "x" }],
  ] as const) {
    it(`refuses an event without ${member}`, async (t) => {
      const { service } = await setUp(t);
      const answer = await raw(service, "PutLogEvents", JSON.stringify({ ...input([]), logEvents: [event] }));
      assert.equal(answer.body.__type, INVALID);
      assert.match(answer.body.message, new RegExp(`Value null at 'logEvents.1.member.${member}'`));
    });
  }

  it("looks for log group and log stream before it looks at the batch", async (t) => {
    const { put, service } = await setUp(t);
    const bad = batch(0, -1);
    await refusal(put(bad, { logGroupName: "other" }), MISSING, "The specified log group does not exist.");
    await refusal(put(bad, { logStreamName: "other" }), MISSING, "The specified log stream does not exist.");
    assert.equal(service.violations.length, 2, "the batch broke a rule all the same");
  });

  it("does not take a missing group or stream for a violation", async (t) => {
    const { put, service } = await setUp(t);
    await refusal(put(batch(0), { logGroupName: "other" }), MISSING);
    await refusal(put(batch(0), { logStreamName: "other" }), MISSING);
    assert.deepEqual(service.violations, []);
  });

  it("sees a violation behind a fault", async (t) => {
    const { put, service } = await setUp(t, { fault: () => ({ kind: "throttle" }) });
    await refusal(put(batch(0, -1)), "ThrottlingException", "Rate exceeded");
    assert.deepEqual(service.violations, [`PutLogEvents: ${NOT_CHRONOLOGICAL}`]);
  });

  it("takes an entity of 2 to 4 key attributes and 10 attributes, and names the fault of another", async (t) => {
    const { put, service } = await setUp(t);
    const attributes = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, "v"]));
    const entity = async (keys: number, count: number) =>
      (await put(batch(0), { entity: { keyAttributes: attributes(keys), attributes: attributes(count) } }))
        .rejectedEntityInfo?.errorType;
    assert.equal(await entity(2, 0), undefined);
    assert.equal(await entity(4, 10), undefined);
    assert.deepEqual(service.violations, []);
    assert.equal(await entity(1, 0), "InvalidKeyAttributes");
    assert.equal(await entity(5, 0), "InvalidKeyAttributes");
    assert.equal(await entity(2, 11), "InvalidAttributes");
    assert.equal(service.violations.length, 3);
    assert.equal(service.storedEvents, 5, "the events are stored");
  });
});

describe("PutLogEvents rejected events", () => {
  const cases: { title: string; offsets: number[]; info?: LocalRejected; kept: number[]; retentionInDays?: number }[] =
    [
      { title: "14 days old", offsets: [-14 * DAY_MS], kept: [-14 * DAY_MS] },
      { title: "1 ms older", offsets: [-14 * DAY_MS - 1], info: { tooOldLogEventEndIndex: 1 }, kept: [] },
      { title: "2 h ahead", offsets: [2 * HOUR_MS], kept: [2 * HOUR_MS] },
      { title: "1 ms further ahead", offsets: [2 * HOUR_MS + 1], info: { tooNewLogEventStartIndex: 0 }, kept: [] },
      {
        title: "old and new around valid ones",
        offsets: [-20 * DAY_MS, -15 * DAY_MS, -5, 0, 3 * HOUR_MS, 4 * HOUR_MS],
        info: { tooNewLogEventStartIndex: 4, tooOldLogEventEndIndex: 2 },
        kept: [-5, 0],
      },
      { title: "3 days with retention 3", offsets: [-3 * DAY_MS], retentionInDays: 3, kept: [-3 * DAY_MS] },
      {
        title: "past 14 days, past retention, and valid",
        offsets: [-20 * DAY_MS, -3 * DAY_MS - 1, -1],
        retentionInDays: 3,
        info: { tooOldLogEventEndIndex: 1, expiredLogEventEndIndex: 2 },
        kept: [-1],
      },
      {
        title: "past 14 days with a longer retention",
        offsets: [-15 * DAY_MS, 0],
        retentionInDays: 30,
        info: { tooOldLogEventEndIndex: 1 },
        kept: [0],
      },
    ];
  for (const { title, offsets, info, kept, retentionInDays } of cases) {
    it(`${title}: answers ${JSON.stringify(info ?? {})}`, async (t) => {
      const { service, client, put } = await setUp(t);
      if (retentionInDays) await client.send(new PutRetentionPolicyCommand({ logGroupName: "group", retentionInDays }));
      const answer = await put(batch(...offsets));
      assert.deepEqual(answer.rejectedLogEventsInfo, info);
      assert.ok(answer.nextSequenceToken);
      assert.deepEqual(
        service.events("group").map((event) => event.timestamp - NOW),
        kept,
      );
      assert.deepEqual(service.violations, []);
    });
  }

  it("follows the service's clock", async (t) => {
    const { service, put } = await setUp(t);
    service.options.now = () => NOW + 15 * DAY_MS;
    assert.deepEqual((await put(batch(0))).rejectedLogEventsInfo, { tooOldLogEventEndIndex: 1 });
  });
});

describe("Sequence tokens", () => {
  const name = "InvalidSequenceTokenException";

  it("are ignored by default, and given", async (t) => {
    const { put, service } = await setUp(t);
    assert.ok((await put(batch(0), { sequenceToken: "wrong" })).nextSequenceToken);
    await put(batch(0));
    assert.equal(service.storedEvents, 2);
  });

  it("are enforced on request", async (t) => {
    const { put, service } = await setUp(t, { sequenceTokens: true });
    const unexpected = await refusal(put(batch(0), { sequenceToken: "1" }), name, "sequenceToken is: null");
    assert.equal(unexpected.expectedSequenceToken, undefined);
    const first = await put(batch(0));
    const missing = await refusal(put(batch(1)), name, `expected sequenceToken is: ${first.nextSequenceToken}`);
    assert.equal(missing.expectedSequenceToken, first.nextSequenceToken);
    const second = await put(batch(1), { sequenceToken: first.nextSequenceToken });
    assert.notEqual(second.nextSequenceToken, first.nextSequenceToken);
    await refusal(put(batch(2), { sequenceToken: first.nextSequenceToken }), name);
    assert.equal(service.storedEvents, 2);
    assert.deepEqual(service.violations, []);
  });

  it("tell that a batch is already stored", async (t) => {
    const { put, service } = await setUp(t, { sequenceTokens: true });
    const first = await put(batch(0));
    const again = await refusal(put(batch(0)), "DataAlreadyAcceptedException", "already been accepted");
    assert.equal(again.expectedSequenceToken, first.nextSequenceToken);
    const sequenceToken = first.nextSequenceToken;
    const second = await put(batch(1), { sequenceToken });
    const error = await refusal(put(batch(1), { sequenceToken }), "DataAlreadyAcceptedException");
    assert.equal(error.expectedSequenceToken, second.nextSequenceToken);
    await refusal(put(batch(2), { sequenceToken }), name);
    await refusal(put(batch(1), { sequenceToken: "7" }), name);
    assert.equal(service.storedEvents, 2);
  });

  it("belong to a log stream", async (t) => {
    const { put, service } = await setUp(t, { sequenceTokens: true });
    service.createLogStream("group", "other");
    await put(batch(0));
    await put(batch(0), { logStreamName: "other" });
  });
});

describe("Names and values", () => {
  const groupNames: [string, string | undefined][] = [
    ["a", undefined],
    ["a".repeat(512), undefined],
    ["a".repeat(513), "less than or equal to 512"],
    ["", "greater than or equal to 1"],
    ["._-/#Az09", undefined],
    ["a b", "regular expression pattern"],
    ["a:b", "regular expression pattern"],
    ["é", "regular expression pattern"],
    ["a\n", "regular expression pattern"],
    ["aws/x", "Log groups starting with AWS/ are reserved for AWS."],
    ["aws-x", undefined],
    ["/aws/lambda/x", undefined],
    ["__proto__", undefined],
    ["constructor", undefined],
  ];
  for (const [logGroupName, refused] of groupNames) {
    it(`log group ${JSON.stringify(logGroupName.slice(0, 20))}: ${refused ?? "taken"}`, async (t) => {
      const { client, service } = await setUp(t);
      const sent = client.send(new CreateLogGroupCommand({ logGroupName }));
      if (refused === undefined) await sent;
      else await refusal(sent, INVALID, refused);
      assert.equal(service.violations.length, refused === undefined ? 0 : 1);
      assert.equal(service.logGroups().length, refused === undefined ? 2 : 1);
    });
  }

  const streamNames: [string, string | undefined][] = [
    ["x".repeat(512), undefined],
    ["x".repeat(513), "less than or equal to 512"],
    ["", "greater than or equal to 1"],
    ["a:b", "regular expression pattern"],
    ["a*b", "regular expression pattern"],
    ["/ü [$LATEST]", undefined],
    ["__proto__", undefined],
  ];
  for (const [logStreamName, refused] of streamNames) {
    it(`log stream ${JSON.stringify(logStreamName.slice(0, 20))}: ${refused ?? "taken"}`, async (t) => {
      const { client, service, put } = await setUp(t);
      const sent = client.send(new CreateLogStreamCommand({ logGroupName: "group", logStreamName }));
      if (refused !== undefined) {
        await refusal(sent, INVALID, refused);
        await refusal(put(batch(0), { logStreamName }), INVALID, refused);
        assert.equal(service.violations.length, 2);
      } else {
        await sent;
        await put(batch(0), { logStreamName });
        assert.equal(service.events("group", logStreamName).length, 1);
        assert.deepEqual(service.violations, []);
      }
    });
  }

  it("knows the 22 retention values", async (t) => {
    const { client, service } = await setUp(t);
    const taken: number[] = [];
    for (const retentionInDays of [...Array(1100).keys(), 1827, 2192, 2557, 2922, 3288, 3653, 3654, 10_000, 1.5]) {
      const sent = client.send(new PutRetentionPolicyCommand({ logGroupName: "group", retentionInDays }));
      await sent.then(
        () => taken.push(retentionInDays),
        (error: Error) => assert.equal(error.name, INVALID),
      );
    }
    const days = "1 3 5 7 14 30 60 90 120 150 180 365 400 545 731 1096 1827 2192 2557 2922 3288 3653";
    assert.equal(taken.join(" "), days);
    assert.equal(service.logGroups()[0]?.retentionInDays, 3653);
    assert.equal(service.violations.length, 1100 + 9 - 22);
  });

  const tags = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, ""]));
  const attributes: [string, Omit<CreateLogGroupCommandInput, "logGroupName">, string | undefined][] = [
    ["50 tags", { tags: tags(50) }, undefined],
    ["51 tags", { tags: tags(51) }, "1 to 50 tags"],
    ["no tags", { tags: {} }, "1 to 50 tags"],
    ["a tag key of 128", { tags: { ["k".repeat(128)]: "v" } }, undefined],
    ["a tag key of 129", { tags: { ["k".repeat(129)]: "v" } }, "Map keys"],
    ["an empty tag key", { tags: { "": "v" } }, "Map keys"],
    ["a tag key with *", { tags: { "a*": "v" } }, "Map keys"],
    ["a tag key of AWS", { tags: { "aws:x": "v" } }, "Map keys"],
    ["a tag value of 256", { tags: { k: "v".repeat(256) } }, undefined],
    ["a tag value of 257", { tags: { k: "v".repeat(257) } }, "Map values"],
    ["STANDARD", { logGroupClass: "STANDARD" }, undefined],
    ["INFREQUENT_ACCESS", { logGroupClass: "INFREQUENT_ACCESS" }, undefined],
    ["DELIVERY", { logGroupClass: "DELIVERY" }, undefined],
    ["another class", { logGroupClass: "CHEAP" as "STANDARD" }, "enum value set"],
    ["a key", { kmsKeyId: "arn:aws:kms:us-east-1:123456789012:key/1" }, undefined],
    ["a key id of 256", { kmsKeyId: "arn:aws:kms:us-east-1:123456789012:key/".padEnd(256, "1") }, undefined],
    ["a key id of 257", { kmsKeyId: "arn:aws:kms:us-east-1:123456789012:key/".padEnd(257, "1") }, "equal to 256"],
    ["no key", { kmsKeyId: "my-key" }, "KMS Key Id could not be found"],
  ];
  for (const [title, extra, refused] of attributes) {
    it(`CreateLogGroup with ${title}: ${refused ?? "taken"}`, async (t) => {
      const { client, service } = await setUp(t);
      const sent = client.send(new CreateLogGroupCommand({ logGroupName: "new", ...extra }));
      if (refused !== undefined) return void (await refusal(sent, INVALID, refused));
      await sent;
      const group = service.logGroups()[1];
      assert.deepEqual(
        { ...group, creationTime: 0 },
        { logGroupName: "new", creationTime: 0, logGroupClass: "STANDARD", tags: {}, logStreams: [], ...extra },
      );
    });
  }
});

describe("Log groups and log streams", () => {
  it("exist already, or are missing", async (t) => {
    const { client, service } = await setUp(t);
    const exists = "ResourceAlreadyExistsException";
    const group = { logGroupName: "group" };
    const stream = { ...group, logStreamName: "stream" };
    const nowhere = { logGroupName: "nowhere", logStreamName: "stream" };
    const noStream = { ...group, logStreamName: "nowhere" };
    const groupExists = "The specified log group already exists";
    await refusal(client.send(new CreateLogGroupCommand(group)), exists, groupExists);
    await refusal(client.send(new CreateLogStreamCommand(stream)), exists, "The specified log stream already exists");
    for (const sent of [
      client.send(new CreateLogStreamCommand(nowhere)),
      client.send(new DeleteLogGroupCommand(nowhere)),
      client.send(new DeleteLogStreamCommand(nowhere)),
      client.send(new PutRetentionPolicyCommand({ ...nowhere, retentionInDays: 1 })),
      client.send(new DeleteRetentionPolicyCommand(nowhere)),
      client.send(new ListTagsLogGroupCommand(nowhere)),
      client.send(new DescribeLogStreamsCommand(nowhere)),
      client.send(new GetLogEventsCommand(nowhere)),
      client.send(new FilterLogEventsCommand(nowhere)),
    ]) {
      await refusal(sent, MISSING, "The specified log group does not exist.");
    }
    for (const sent of [
      client.send(new DeleteLogStreamCommand(noStream)),
      client.send(new GetLogEventsCommand(noStream)),
      client.send(new FilterLogEventsCommand({ ...group, logStreamNames: ["stream", "nowhere"] })),
    ]) {
      await refusal(sent, MISSING, "The specified log stream does not exist.");
    }
    assert.deepEqual(service.violations, []);
  });

  it("are created and deleted over HTTP", async (t) => {
    const { client, service, put } = await setUp(t);
    const name = { logGroupName: "new", logStreamName: "s" };
    await client.send(new CreateLogGroupCommand(name));
    await client.send(new CreateLogStreamCommand(name));
    await put(batch(0), name);
    assert.deepEqual(service.logStreams("new"), ["s"]);
    await client.send(new PutRetentionPolicyCommand({ ...name, retentionInDays: 7 }));
    assert.equal(service.logGroups()[1]?.retentionInDays, 7);
    await client.send(new DeleteRetentionPolicyCommand(name));
    assert.equal(Object.hasOwn(service.logGroups()[1] ?? {}, "retentionInDays"), false);
    assert.equal(service.events("new").length, 1);
    await client.send(new DeleteLogStreamCommand(name));
    assert.deepEqual([service.logStreams("new"), service.events("new")], [[], []]);
    await client.send(new DeleteLogGroupCommand(name));
    assert.equal(service.logGroups().length, 1);
  });

  it("are created and deleted without HTTP", async (t) => {
    const { service, put } = await setUp(t);
    service.createLogGroup("__proto__", { retentionInDays: 3, tags: { a: "b" }, logGroupClass: "DELIVERY" });
    service.createLogStream("__proto__", "s");
    service.createLogStream("other", "s2");
    assert.deepEqual(service.logStreams("other"), ["s2"]);
    await put(batch(0), { logGroupName: "__proto__", logStreamName: "s" });
    service.createLogGroup("__proto__");
    service.createLogStream("__proto__", "s");
    assert.equal(service.events("__proto__", "s").length, 1, "creating again changes nothing");
    const { creationTime, ...group } = service.logGroups().find((found) => found.logGroupName === "__proto__") ?? {};
    assert.equal(creationTime, NOW);
    assert.deepEqual(group, {
      logGroupName: "__proto__",
      logGroupClass: "DELIVERY",
      retentionInDays: 3,
      tags: { a: "b" },
      logStreams: ["s"],
    });
    service.deleteLogStream("__proto__", "s");
    assert.deepEqual(service.events("__proto__"), []);
    service.deleteLogGroup("__proto__");
    service.deleteLogGroup("__proto__");
    service.deleteLogStream("nowhere", "s");
    assert.deepEqual(
      [service.logStreams("__proto__"), service.events("__proto__"), service.events("group", "nowhere")],
      [[], [], []],
    );
  });

  it("are tagged", async (t) => {
    const { client, service } = await setUp(t);
    const resourceArn = "arn:aws:logs:us-east-1:123456789012:log-group:group";
    await client.send(new TagResourceCommand({ resourceArn, tags: { a: "1", b: "2" } }));
    await client.send(new TagResourceCommand({ resourceArn: `${resourceArn}:*`, tags: { b: "3", "é/1": "" } }));
    const expected = { a: "1", b: "3", "é/1": "" };
    assert.deepEqual((await client.send(new ListTagsForResourceCommand({ resourceArn }))).tags, expected);
    assert.deepEqual((await client.send(new ListTagsLogGroupCommand({ logGroupName: "group" }))).tags, expected);
    const many = Object.fromEntries(Array.from({ length: 48 }, (_, index) => [`k${index}`, "v"]));
    await refusal(client.send(new TagResourceCommand({ resourceArn, tags: many })), "TooManyTagsException");
    assert.deepEqual(service.logGroups()[0]?.tags, expected);
  });

  it("are described in pages", async (t) => {
    const { client, service } = await setUp(t);
    for (let index = 0; index < 60; index++) service.createLogGroup(`g${index % 2 ? "/odd" : "/even"}/${index}`);
    const pages = async (query: object) => {
      const names: (string | undefined)[][] = [];
      let nextToken: string | undefined;
      do {
        const page = await client.send(new DescribeLogGroupsCommand({ ...query, nextToken }));
        names.push((page.logGroups ?? []).map((group) => group.logGroupName));
        nextToken = page.nextToken;
      } while (nextToken !== undefined);
      return names;
    };
    const all = await pages({});
    assert.deepEqual(
      all.map((page) => page.length),
      [50, 11],
    );
    assert.deepEqual(
      all.flat(),
      service.logGroups().map((group) => group.logGroupName),
    );
    const odd = await pages({ logGroupNamePrefix: "g/odd", limit: 15 });
    assert.deepEqual([odd.map((page) => page.length), new Set(odd.flat()).size], [[15, 15], 30]);
    assert.deepEqual(await pages({ logGroupNamePattern: "even/58" }), [["g/even/58"]]);
    assert.deepEqual(await pages({ logGroupNamePrefix: "even" }), [[]]);
    const both = { logGroupNamePrefix: "g", logGroupNamePattern: "g" };
    await refusal(client.send(new DescribeLogGroupsCommand(both)), INVALID);
    await refusal(client.send(new DescribeLogGroupsCommand({ limit: 51 })), INVALID, "1 to 50");
    await refusal(client.send(new DescribeLogGroupsCommand({ limit: 0 })), INVALID, "1 to 50");
    await refusal(client.send(new DescribeLogGroupsCommand({ nextToken: "x" })), INVALID, "nextToken");
  });

  it("are described in full", async (t) => {
    const { client, service, put } = await setUp(t);
    const kmsKeyId = "arn:aws:kms:us-east-1:123456789012:key/1";
    service.createLogGroup("full", { retentionInDays: 3, kmsKeyId, logGroupClass: "INFREQUENT_ACCESS" });
    service.createLogStream("full", "s");
    const answer = await put(batch(1, 2), { logGroupName: "full", logStreamName: "s" });
    for (const offset of [0, 1]) await put(batch(offset), { logGroupName: "full", logStreamName: "s" });
    const groups = await client.send(new DescribeLogGroupsCommand({ logGroupClass: "INFREQUENT_ACCESS" }));
    const arn = "arn:aws:logs:us-east-1:123456789012:log-group:full";
    assert.deepEqual(groups.logGroups, [
      {
        logGroupName: "full",
        creationTime: NOW,
        retentionInDays: 3,
        metricFilterCount: 0,
        arn: `${arn}:*`,
        storedBytes: 4 * 27,
        kmsKeyId,
        logGroupClass: "INFREQUENT_ACCESS",
        logGroupArn: arn,
      },
    ]);
    const streams = await client.send(new DescribeLogStreamsCommand({ logGroupIdentifier: arn }));
    const { uploadSequenceToken, ...stream } = streams.logStreams?.[0] ?? {};
    assert.notEqual(uploadSequenceToken, answer.nextSequenceToken);
    assert.deepEqual(stream, {
      logStreamName: "s",
      creationTime: NOW,
      firstEventTimestamp: NOW,
      lastEventTimestamp: NOW + 2,
      lastIngestionTime: NOW,
      arn: `${arn}:log-stream:s`,
      storedBytes: 0,
    });
  });

  it("are ordered by name or by last event", async (t) => {
    const { client, service, put } = await setUp(t);
    for (const [name, offset] of [
      ["b", 3],
      ["a", 1],
      ["ab", 2],
    ] as const) {
      service.createLogStream("g", name);
      await put(batch(offset), { logGroupName: "g", logStreamName: name });
    }
    const names = async (query: object) => {
      const page = await client.send(new DescribeLogStreamsCommand({ logGroupName: "g", ...query }));
      return page.logStreams?.map((stream) => stream.logStreamName);
    };
    assert.deepEqual(await names({}), ["a", "ab", "b"]);
    assert.deepEqual(await names({ descending: true }), ["b", "ab", "a"]);
    assert.deepEqual(await names({ orderBy: "LastEventTime" }), ["a", "ab", "b"]);
    await put(batch(9), { logGroupName: "g", logStreamName: "a" });
    assert.deepEqual(await names({ orderBy: "LastEventTime" }), ["ab", "b", "a"]);
    assert.deepEqual(await names({ orderBy: "LastEventTime", descending: true, limit: 1 }), ["a"]);
    assert.deepEqual(await names({ logStreamNamePrefix: "a" }), ["a", "ab"]);
    assert.deepEqual(await names({ limit: 2, nextToken: "2" }), ["b"]);
    await refusal(names({ logStreamNamePrefix: "a", orderBy: "LastEventTime" }), INVALID, "LastEventTime");
    await refusal(names({ orderBy: "Size" }), INVALID, "enum value set");
  });
});

describe("Reading back", () => {
  it("events() is by timestamp, then as they came in; streams are merged", async (t) => {
    const { service, put } = await setUp(t);
    service.createLogStream("group", "other");
    await put(batch([5, "c"], [5, "d"]));
    await put(batch([1, "a"], [5, "e"]), { logStreamName: "other" });
    await put(batch([5, "f"], [9, "g"]));
    await put(batch([3, "b"]));
    const text = (stream?: string) =>
      service
        .events("group", stream)
        .map((event) => event.message)
        .join("");
    assert.deepEqual([text("stream"), text("other"), text()], ["bcdfg", "ae", "abcdefg"]);
    assert.deepEqual(service.events("group", "other")[0], { timestamp: NOW + 1, message: "a", ingestionTime: NOW });
  });

  it("GetLogEvents pages forward and comes to rest", async (t) => {
    const { get, put } = await setUp(t);
    await put(batch(...Array(25).keys()));
    const seen: string[] = [];
    let page = await get({ startFromHead: true, limit: 10 });
    const sizes: number[] = [];
    for (let token = ""; token !== page.nextForwardToken; ) {
      sizes.push(page.events?.length ?? 0);
      seen.push(...(page.events ?? []).map((event) => event.message ?? ""));
      token = page.nextForwardToken ?? "";
      page = await get({ startFromHead: true, limit: 10, nextToken: token });
    }
    assert.deepEqual(sizes, [10, 10, 5]);
    assert.deepEqual(page.events, []);
    assert.deepEqual(seen, [...Array(25).keys()].map(String));
    await put(batch(25));
    const later = await get({ nextToken: page.nextForwardToken });
    assert.deepEqual(
      later.events?.map((event) => event.message),
      ["25"],
    );
    const back = await get({ nextToken: page.nextBackwardToken, limit: 2 });
    assert.deepEqual(
      back.events?.map((event) => event.message),
      ["23", "24"],
    );
  });

  it("GetLogEvents starts at the end by default and pages backward", async (t) => {
    const { get, put } = await setUp(t);
    await put(batch(...Array(5).keys()));
    const last = await get({ limit: 2 });
    assert.deepEqual(
      last.events?.map((event) => event.message),
      ["3", "4"],
    );
    const middle = await get({ limit: 2, nextToken: last.nextBackwardToken });
    assert.deepEqual(
      middle.events?.map((event) => event.message),
      ["1", "2"],
    );
    const first = await get({ limit: 2, nextToken: middle.nextBackwardToken });
    assert.deepEqual(
      first.events?.map((event) => event.message),
      ["0"],
    );
    const end = await get({ limit: 2, nextToken: first.nextBackwardToken });
    assert.deepEqual([end.events, end.nextBackwardToken], [[], first.nextBackwardToken]);
    const forward = await get({ nextToken: middle.nextForwardToken });
    assert.deepEqual(
      forward.events?.map((event) => event.message),
      ["3", "4"],
    );
  });

  it("GetLogEvents: startTime is inclusive, endTime exclusive, events whole", async (t) => {
    const { get, put, client } = await setUp(t);
    await put(batch(0, 1, 2, 3));
    const page = await get({ startTime: NOW + 1, endTime: NOW + 3 });
    assert.deepEqual(page.events, [
      { timestamp: NOW + 1, message: "1", ingestionTime: NOW },
      { timestamp: NOW + 2, message: "2", ingestionTime: NOW },
    ]);
    assert.deepEqual((await get({ startTime: NOW + 9 })).events, []);
    await refusal(get({ nextToken: "x" }), INVALID, "nextToken");
    await refusal(get({ limit: 10_001 }), INVALID, "1 to 10000");
    const identified = { logGroupIdentifier: "group", logStreamName: "stream" };
    assert.equal((await client.send(new GetLogEventsCommand(identified))).events?.length, 4);
    const both = { ...identified, logGroupName: "group" };
    await refusal(client.send(new GetLogEventsCommand(both)), INVALID, "Exactly one");
  });

  it("GetLogEvents and FilterLogEvents give 10,000 events and 1 MB at most", async (t) => {
    const { get, put, filter } = await setUp(t);
    await put(batch(...Array(10_000).fill(0)));
    await put(batch(1));
    assert.equal((await get({ startFromHead: true })).events?.length, 10_000);
    assert.equal((await filter({})).events?.length, 10_000);
    const half = (bytes: number) => [{ timestamp: NOW + 5, message: "x".repeat(bytes - 26) }];
    for (const bytes of [524_288, 524_288, 524_288, 1_048_576]) await put(half(bytes));
    const sizes: number[] = [];
    let page = await get({ startFromHead: true, startTime: NOW + 5 });
    for (; page.events?.length; page = await get({ nextToken: page.nextForwardToken })) sizes.push(page.events.length);
    assert.deepEqual(sizes, [2, 1, 1]);
    const first = await filter({ startTime: NOW + 5 });
    assert.equal(first.events?.length, 2);
    assert.equal((await filter({ startTime: NOW + 5, nextToken: first.nextToken })).events?.length, 1);
  });

  it("FilterLogEvents goes over all streams in pages", async (t) => {
    const { put, filter, service } = await setUp(t);
    service.createLogStream("group", "other");
    await put(batch(0, 2, 4, 6));
    await put(batch(1, 3, 5), { logStreamName: "other" });
    const first = await filter({ limit: 3 });
    const second = await filter({ limit: 3, nextToken: first.nextToken });
    const third = await filter({ limit: 3, nextToken: second.nextToken });
    const events = [first, second, third].flatMap((page) => page.events ?? []);
    assert.equal(events.map((event) => event.message).join(""), "0123456");
    assert.equal(third.nextToken, undefined);
    assert.equal(new Set(events.map((event) => event.eventId)).size, 7);
    assert.deepEqual(
      { ...events[1], eventId: "" },
      {
        logStreamName: "other",
        timestamp: NOW + 1,
        message: "1",
        ingestionTime: NOW,
        eventId: "",
      },
    );
    const text = async (query: Partial<FilterLogEventsCommandInput>) =>
      (await filter(query)).events?.map((event) => event.message).join("");
    assert.equal(await text({ logStreamNames: ["other"] }), "135");
    assert.equal(await text({ logStreamNamePrefix: "str" }), "0246");
    assert.equal(await text({ startTime: NOW + 2, endTime: NOW + 4 }), "234");
    await refusal(filter({ logStreamNames: ["other"], logStreamNamePrefix: "o" }), INVALID, "Only one of");
    await refusal(filter({ limit: 10_001 }), INVALID);
    await refusal(filter({ nextToken: "n/1" }), INVALID, "nextToken");
    await refusal(filter({ startFromHead: false }), INVALID, "not supported");
  });

  const patterns: [string, string[]][] = [
    ["", ["plain ERROR x", '{"level":"ERROR","n":{"code":7},"ok":true}', "error [42] a\\b", '"quoted"']],
    ["  ", ["plain ERROR x", '{"level":"ERROR","n":{"code":7},"ok":true}', "error [42] a\\b", '"quoted"']],
    ["ERROR", ["plain ERROR x", '{"level":"ERROR","n":{"code":7},"ok":true}']],
    ["ERROR x", ["plain ERROR x"]],
    ["x plain", ["plain ERROR x"]],
    ['"ERROR x"', ["plain ERROR x"]],
    ['"[42]"', ["error [42] a\\b"]],
    ['"\\"quoted\\""', ['"quoted"']],
    ['"a\\\\b" error', ["error [42] a\\b"]],
    ['{ $.level = "ERROR" }', ['{"level":"ERROR","n":{"code":7},"ok":true}']],
    ["{$.level=ERROR}", ['{"level":"ERROR","n":{"code":7},"ok":true}']],
    ["{ $.n.code = 7 }", ['{"level":"ERROR","n":{"code":7},"ok":true}']],
    ["{ $.ok = true }", ['{"level":"ERROR","n":{"code":7},"ok":true}']],
    ['{ $.level = "WARN" }', []],
    ['{ ($.level = "WARN") || ($.level = "ERROR") }', ['{"level":"ERROR","n":{"code":7},"ok":true}']],
    ['{ $.level = "a||b" || $.n.code=7 }', ['{"level":"ERROR","n":{"code":7},"ok":true}']],
    ['{ ($.level = "WARN") || ($.level = "FATAL") }', []],
    ["{ $.n.code >= 7 }", ['{"level":"ERROR","n":{"code":7},"ok":true}']],
    ["{ $.n.code >= 8 }", []],
    ["{ $.level >= 0 }", []],
    ["{ $.ok >= 0 }", []],
    ["{ $.missing = null }", []],
    ["{ $.__proto__.__proto__ = null }", []],
  ];
  for (const [filterPattern, expected] of patterns) {
    it(`FilterLogEvents understands ${JSON.stringify(filterPattern)}`, async (t) => {
      const { filter, put } = await setUp(t);
      const messages = ["plain ERROR x", '{"level":"ERROR","n":{"code":7},"ok":true}', "error [42] a\\b", '"quoted"'];
      await put(messages.map((message) => ({ timestamp: NOW, message })));
      const { events } = await filter({ filterPattern });
      assert.deepEqual(
        events?.map((event) => event.message),
        expected,
      );
    });
  }

  const refused = ["-a", "?a ?b", "a-b", "[a, b]", '"open', "{ $.a > 1 }", "%a%", "a".repeat(1025)];
  refused.push('{ $.a >= "1" }', "{ $.a = 1 || }", "{ ($.a = 1 }", "{ $.a = 1) }", "{ $.a = 1 && $.b = 2 }", "{}");
  for (const filterPattern of refused) {
    it(`FilterLogEvents refuses ${filterPattern.slice(0, 20)}`, async (t) => {
      const { filter } = await setUp(t);
      await refusal(filter({ filterPattern }), INVALID, "Invalid filter pattern");
    });
  }

  it("FilterLogEvents refuses a log group of class INFREQUENT_ACCESS", async (t) => {
    const { filter, service } = await setUp(t);
    service.createLogGroup("rare", { logGroupClass: "INFREQUENT_ACCESS" });
    await refusal(filter({ logGroupName: "rare" }), "InvalidOperationException", "not supported for this log class");
    assert.deepEqual(service.violations, []);
  });
});

describe("Faults", () => {
  const one = (fault: LocalFault): LocalCloudWatchLogsOptions => ({ fault: () => fault });

  it("are asked for once per request, before it is handled", async (t) => {
    const { service, put } = await setUp(t);
    const asked: unknown[] = [];
    service.options.fault = (request) => {
      asked.push([request.action, request.input.logEvents.length, request.events, service.storedEvents]);
      return asked.length === 1 ? { kind: "throttle" } : undefined;
    };
    await refusal(put(batch(0)), "ThrottlingException", "Rate exceeded");
    await put(batch(0, 1));
    assert.deepEqual(asked, [
      ["PutLogEvents", 1, 1, 0],
      ["PutLogEvents", 2, 2, 0],
    ]);
    assert.deepEqual(
      service.requests.map((request) => request.answer),
      [{ status: 400, errorName: "ThrottlingException" }, { status: 200 }],
    );
  });

  it("error: any AWS error, also after storing", async (t) => {
    const { service, put } = await setUp(t, one({ kind: "error", name: "ServiceUnavailableException", status: 503 }));
    const error = await refusal(put(batch(0)), "ServiceUnavailableException");
    assert.equal(error.$metadata?.httpStatusCode, 503);
    assert.ok(error.$metadata?.requestId);
    const fields = { expectedSequenceToken: "7" };
    const name = "InvalidSequenceTokenException";
    service.options = { now: () => NOW, ...one({ kind: "error", name, message: "no", fields, stored: true }) };
    assert.equal(service.storedEvents, 0);
    assert.equal((await refusal(put(batch(0)), name, "no")).expectedSequenceToken, "7");
    assert.equal(service.storedEvents, 1);
  });

  it("status and html: raw answers", async (t) => {
    const { service } = await setUp(t, one({ kind: "status", status: 502, body: "bad", headers: { "x-a": "b" } }));
    const text = JSON.stringify(input(batch(0)));
    const status = await raw(service, "PutLogEvents", text);
    assert.deepEqual([status.status, status.text, status.headers.get("x-a")], [502, "bad", "b"]);
    assert.equal(status.headers.get("x-amzn-requestid"), null);
    service.options.fault = () => ({ kind: "html" });
    const html = await raw(service, "PutLogEvents", text);
    assert.deepEqual([html.status, html.headers.get("content-type")], [503, "text/html"]);
    assert.match(html.text, /^<html>/);
    service.options.fault = () => ({ kind: "html", status: 200 });
    assert.equal((await raw(service, "PutLogEvents", text)).status, 200);
    assert.equal(service.storedEvents, 0);
  });

  it("empty: a success without request id and token", async (t) => {
    const { service, put } = await setUp(t, one({ kind: "empty" }));
    const answer = await put(batch(0));
    assert.deepEqual([answer.$metadata.requestId, answer.nextSequenceToken], [undefined, undefined]);
    service.options.fault = () => ({ kind: "empty", body: "{}" });
    assert.equal((await put(batch(0))).$metadata.requestId, undefined);
    assert.equal(service.storedEvents, 0);
  });

  it("hang: no answer, with and without storing", async (t) => {
    const { service, put } = await setUp(t, one({ kind: "hang" }));
    const hang = async () => {
      const [controller, arrived] = [new AbortController(), service.requests.length + 1];
      const sent = assert.rejects(put(batch(0), {}, controller.signal), { name: "AbortError" });
      while (service.requests.length < arrived) await new Promise((resolve) => setTimeout(resolve, 5));
      await new Promise((resolve) => setTimeout(resolve, 50));
      controller.abort();
      await sent;
    };
    await hang();
    assert.equal(service.storedEvents, 0);
    service.options.fault = () => ({ kind: "hang", stored: true });
    await hang();
    assert.equal(service.storedEvents, 1);
    assert.deepEqual(
      service.requests.map((request) => request.answer),
      [undefined, undefined],
    );
  });

  it("reset: before and after storing", async (t) => {
    const { service, put } = await setUp(t, one({ kind: "reset", stored: false }));
    await assert.rejects(put(batch(0)), { code: "ECONNRESET" });
    assert.equal(service.storedEvents, 0);
    service.options.fault = () => ({ kind: "reset", stored: true });
    await assert.rejects(put(batch(0)), { code: "ECONNRESET" });
    assert.equal(service.storedEvents, 1);
    assert.equal(service.requests[1]?.answer, undefined);
  });

  it("delay: handled later", async (t) => {
    const { service, put } = await setUp(t, one({ kind: "delay", ms: 400 }));
    const started = performance.now();
    const sent = put(batch(0));
    await new Promise((resolve) => setTimeout(resolve, 60));
    assert.deepEqual([service.requests.length, service.storedEvents], [1, 0]);
    await sent;
    assert.ok(performance.now() - started >= 399);
    assert.equal(service.storedEvents, 1);
  });

  it("rejected: the ranges named are not stored", async (t) => {
    const info = { tooNewLogEventStartIndex: 4, tooOldLogEventEndIndex: 1, expiredLogEventEndIndex: 2 };
    const { service, put } = await setUp(t, one({ kind: "rejected", info }));
    assert.deepEqual((await put(batch(0, 1, 2, 3, 4))).rejectedLogEventsInfo, info);
    assert.equal(
      service
        .events("group")
        .map((event) => event.message)
        .join(""),
      "23",
    );
    assert.deepEqual(service.violations, []);
  });

  it("rejectedEntity: stored and told", async (t) => {
    const { service, put } = await setUp(t, one({ kind: "rejectedEntity", errorType: "InvalidEntity" }));
    assert.deepEqual((await put(batch(0))).rejectedEntityInfo, { errorType: "InvalidEntity" });
    assert.equal(service.storedEvents, 1);
  });

  it("deleteLogGroup and deleteLogStream: gone before it is handled", async (t) => {
    const { service, put } = await setUp(t, one({ kind: "deleteLogStream" }));
    await refusal(put(batch(0)), MISSING, "The specified log stream does not exist.");
    assert.deepEqual(service.logStreams("group"), []);
    service.createLogStream("group", "stream");
    service.options.fault = () => ({ kind: "deleteLogGroup" });
    await refusal(put(batch(0)), MISSING, "The specified log group does not exist.");
    assert.deepEqual(service.logGroups(), []);
  });

  it("poison: the batch is invalid, nothing is stored, no rule is broken", async (t) => {
    const { service, put } = await setUp(t, { poison: (message) => message === "1" });
    await refusal(put(batch(0, 1, 2)), INVALID);
    assert.equal(service.storedEvents, 0);
    await put(batch(0, 2));
    assert.deepEqual(service.violations, []);
  });

  it("a callback that throws is an InternalFailure that tells", async (t) => {
    const { service, put } = await setUp(t, {
      fault: () => {
        throw new TypeError("oops");
      },
    });
    assert.equal((await refusal(put(batch(0)), "InternalFailure", "TypeError: oops")).$metadata?.httpStatusCode, 500);
    service.options = { poison: () => assert.fail("oh no") };
    await refusal(put(batch(0)), "InternalFailure", "oh no");
  });
});

describe("Who may do how much", () => {
  it("quota: a bucket of one second", async (t) => {
    const { service, put, client } = await setUp(t, { quota: { PutLogEvents: 20 } });
    const started = performance.now();
    const burst = await Promise.allSettled(Array.from({ length: 60 }, () => put(batch(0))));
    const taken = burst.filter((result) => result.status === "fulfilled").length;
    const refilled = ((performance.now() - started) / 1_000) * 20;
    assert.ok(taken >= 20 && taken <= 20 + refilled && taken < 60, `${taken} of 60`);
    const reasons = burst.map((result) => (result.status === "rejected" ? `${result.reason}` : ""));
    assert.deepEqual([...new Set(reasons)].sort(), ["", "ThrottlingException: Rate exceeded"]);
    await client.send(new CreateLogGroupCommand({ logGroupName: "other" }));
    await new Promise((resolve) => setTimeout(resolve, 300));
    await put(batch(0));
    assert.equal(service.storedEvents, taken + 1);
    service.options.quota = { PutLogEvents: 0 };
    await refusal(put(batch(0)), "ThrottlingException", "Rate exceeded");
    assert.deepEqual(service.violations, []);
  });

  it("allowedActions: others are denied in AWS's words", async (t) => {
    const { service, put, client } = await setUp(t, { allowedActions: ["logs:PutLogEvents", "logs:Create*"] });
    await put(batch(0));
    await client.send(new CreateLogGroupCommand({ logGroupName: "other" }));
    const error = await refusal(
      client.send(new PutRetentionPolicyCommand({ logGroupName: "group", retentionInDays: 1 })),
      "AccessDeniedException",
    );
    assert.match(
      error.message,
      /^User: arn:aws:iam::\d+:user\/local is not authorized to perform: logs:PutRetentionPolicy/,
    );
    assert.match(error.message, / on resource: arn:aws:logs:us-east-1:\d+:log-group:group:log-stream:/);
    const tagged = new CreateLogGroupCommand({ logGroupName: "tagged", tags: { a: "b" } });
    await refusal(client.send(tagged), "AccessDeniedException", "logs:TagResource");
    service.options.allowedActions?.push("logs:TagResource");
    await client.send(tagged);
    service.options.allowedActions = [];
    await refusal(put(batch(0)), "AccessDeniedException", "logs:PutLogEvents");
    assert.deepEqual(service.violations, []);
  });

  it("accessKeyId: another key is unknown", async (t) => {
    const { service, put } = await setUp(t, { accessKeyId: "AKIDOTHER" });
    await refusal(
      put(batch(0)),
      "UnrecognizedClientException",
      "The security token included in the request is invalid.",
    );
    assert.equal(service.requests[0]?.accessKeyId, "AKIDLOCAL");
    service.options.accessKeyId = "AKIDLOCAL";
    await put(batch(0));
  });

  it("secretAccessKey: the signature is checked over the body that arrived", async (t) => {
    const { service, put, client } = await setUp(t, { secretAccessKey: "secret" });
    await put([{ timestamp: NOW, message: "héllo" }]);
    client.middlewareStack.add(
      (next) => (args) => {
        (args.request as { body: Buffer }).body = Buffer.from(JSON.stringify(input(batch(7))));
        return next(args);
      },
      { step: "finalizeRequest", priority: "low" },
    );
    await assert.rejects(put(batch(0)));
    assert.equal(service.storedEvents, 1, "a body changed after signing is refused");
    const other = await setUp(t, { secretAccessKey: "another" });
    await refusal(other.put(batch(0)), "InvalidSignatureException", "does not match");
  });

  it("a request without signature is refused", async (t) => {
    const { service } = await setUp(t);
    const answer = await raw(service, "PutLogEvents", JSON.stringify(input(batch(0))), { authorization: undefined });
    assert.deepEqual([answer.status, answer.body.__type], [400, "MissingAuthenticationTokenException"]);
  });
});

describe("Wire", () => {
  it("tells what it was asked", async (t) => {
    const { service, put } = await setUp(t);
    await put(batch(0, 1));
    const { headers, ...request } = service.requests[0] ?? assert.fail();
    assert.deepEqual(request, {
      action: "PutLogEvents",
      input: input(batch(0, 1)),
      accessKeyId: "AKIDLOCAL",
      bytes: Buffer.byteLength(JSON.stringify(input(batch(0, 1)))),
      receivedAt: NOW,
      events: 2,
      batchBytes: 54,
      answer: { status: 200 },
    });
    assert.equal(headers["x-amz-target"], "Logs_20140328.PutLogEvents");
    assert.equal(service.counts.PutLogEvents, 1);
    assert.equal(service.counts.CreateLogGroup, 0);
  });

  it("answers with a request id, a type and its own time", async (t) => {
    const { service } = await setUp(t);
    const { headers, body } = await raw(service, "PutLogEvents", JSON.stringify(input(batch(0))));
    assert.match(headers.get("x-amzn-requestid") ?? "", /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    assert.equal(headers.get("content-type"), "application/x-amz-json-1.1");
    assert.equal(headers.get("date"), new Date(NOW).toUTCString());
    assert.deepEqual(Object.keys(body), ["nextSequenceToken"]);
  });

  for (const [title, action, text, name] of [
    ["no JSON", "PutLogEvents", "{", "SerializationException"],
    ["no body", "PutLogEvents", "", "SerializationException"],
    ["an array", "PutLogEvents", "[]", "SerializationException"],
    ["null", "PutLogEvents", "null", "SerializationException"],
    [
      "invalid UTF-8",
      "PutLogEvents",
      Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
      "SerializationException",
    ],
    ["a name that is a number", "CreateLogGroup", '{"logGroupName":1}', "SerializationException"],
    [
      "events that are no array",
      "PutLogEvents",
      JSON.stringify({ ...input([]), logEvents: {} }),
      "SerializationException",
    ],
    [
      "a message that is a number",
      "PutLogEvents",
      JSON.stringify({ ...input([]), logEvents: [{ timestamp: 1, message: 1 }] }),
      "SerializationException",
    ],
    ["events that are null", "PutLogEvents", JSON.stringify({ ...input([]), logEvents: [null] }), INVALID],
    ["no name", "CreateLogGroup", "{}", INVALID],
    ["null as name", "CreateLogGroup", '{"logGroupName":null}', INVALID],
    ["an unknown call", "ListLogGroups", "{}", "UnknownOperationException"],
    ["a call of Object's", "__proto__", "{}", "UnknownOperationException"],
    ["a call of Object's", "constructor", "{}", "UnknownOperationException"],
  ] as const) {
    it(`${title} is a ${name} (${action})`, async (t) => {
      const { service } = await setUp(t);
      const answer = await raw(service, action, text);
      assert.deepEqual([answer.status, answer.body.__type], [400, name]);
      assert.equal(service.requests[0]?.answer?.errorName, name);
      assert.equal(service.violations.length, name === "UnknownOperationException" ? 0 : 1);
    });
  }

  it("calls of the SDK that it does not know, and no call at all", async (t) => {
    const { client, service } = await setUp(t);
    await refusal(client.send(new ListLogGroupsCommand({})), "UnknownOperationException");
    const answer = await fetch(service.endpoint);
    assert.equal(((await answer.json()) as { __type: string }).__type, "UnknownOperationException");
  });

  it("a body of 16 MiB is read, more is 413, also unpacked", async (t) => {
    const { service } = await setUp(t);
    const limit = 16 * 1_048_576;
    const text = (length: number) => `{"logGroupName":"new"${" ".repeat(length - 22)}}`;
    assert.equal((await raw(service, "CreateLogGroup", text(limit))).status, 200);
    assert.equal((await raw(service, "CreateLogGroup", text(limit + 1))).status, 413);
    const bomb = gzipSync(text(limit + 1));
    assert.equal((await raw(service, "CreateLogGroup", bomb, { "content-encoding": "gzip" })).status, 413);
    assert.equal(service.violations.length, 2);
  });

  it("takes gzip, or refuses it with HTTP 500", async (t) => {
    const { service } = await setUp(t);
    const body = gzipSync(JSON.stringify(input(batch(0))));
    const gzip = { "content-encoding": "gzip" };
    assert.equal((await raw(service, "PutLogEvents", body, gzip)).status, 200);
    assert.equal(service.requests[0]?.encoding, "gzip");
    assert.equal(service.requests[0]?.bytes, body.length);
    service.options.gzip = false;
    assert.equal((await raw(service, "PutLogEvents", body, gzip)).status, 500);
    assert.equal((await raw(service, "PutLogEvents", JSON.stringify(input(batch(0))))).status, 200);
    assert.equal(service.storedEvents, 2);
    service.options.gzip = true;
    const cut = await raw(service, "PutLogEvents", body.subarray(0, 20), gzip);
    assert.equal(cut.body.__type, "SerializationException");
    const brotli = await raw(service, "PutLogEvents", body, { "content-encoding": "br" });
    assert.equal(brotli.body.__type, "SerializationException");
  });

  it("outlives a client that hangs up in the middle", async (t) => {
    const { service, put } = await setUp(t);
    await new Promise<void>((resolve) => {
      const socket = connect(Number(new URL(service.endpoint).port), "127.0.0.1", () => {
        socket.write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{");
        setTimeout(() => socket.destroy(), 20);
      });
      socket.on("close", () => resolve());
    });
    await put(batch(0));
    assert.equal(service.requests.length, 1);
  });

  it("speaks TLS", async (t) => {
    const directory = mkdtempSync(join(tmpdir(), "local-cloudwatch-"));
    t.after(() => rmSync(directory, { recursive: true }));
    const path = (name: string) => join(directory, name);
    const subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    const files = ["-keyout", path("key"), "-out", path("cert")];
    try {
      execFileSync("openssl", ["req", "-x509", "-days", "1", ...key, ...files, ...subject], { stdio: "ignore" });
    } catch {
      return t.skip("openssl is not installed");
    }
    const cert = readFileSync(path("cert"));
    const { service, put } = await setUp(t, { tls: { key: readFileSync(path("key")), cert } }, { ca: cert });
    assert.match(service.endpoint, /^https:\/\/127\.0\.0\.1:\d+$/);
    await put(batch(0));
    assert.equal(service.storedEvents, 1);
  });
});

describe("Life", () => {
  it("start() takes a port, and rejects when it is taken", async (t) => {
    const { service } = await setUp(t);
    const port = Number(new URL(service.endpoint).port);
    await assert.rejects(LocalCloudWatchLogs.start({ port }), { code: "EADDRINUSE" });
    await service.close();
    const second = await LocalCloudWatchLogs.start({ port });
    assert.equal(second.endpoint, service.endpoint);
    await second.close();
  });

  it("close() ends what hangs and what is held back, and may be called twice", async (t) => {
    const { service, put } = await setUp(t, { fault: () => ({ kind: "hang" }) });
    const hanging = assert.rejects(put(batch(0)), { code: "ECONNRESET" });
    while (service.requests.length < 1) await new Promise((resolve) => setTimeout(resolve, 5));
    service.options = { delayMs: 60_000 };
    const held = assert.rejects(put(batch(0)), { code: "ECONNRESET" });
    while (service.requests.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    const before = performance.now();
    assert.equal(service.close(), service.close());
    await service.close();
    await Promise.all([hanging, held]);
    assert.ok(performance.now() - before < 1_000);
    await assert.rejects(put(batch(0)), { code: "ECONNREFUSED" });
  });

  it("Symbol.asyncDispose closes", async () => {
    const service = await LocalCloudWatchLogs.start();
    await service[Symbol.asyncDispose]();
    await assert.rejects(fetch(service.endpoint));
  });

  it("delayMs holds every answer back, after storing", async (t) => {
    const { service, put } = await setUp(t, { delayMs: 100 });
    const started = performance.now();
    const sent = put(batch(0));
    while (service.storedEvents < 1) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(service.requests[0]?.answer, undefined);
    await sent;
    assert.ok(performance.now() - started >= 99);
  });

  it("does not notice mocked timers and clocks", async (t) => {
    const realNow = Date.now;
    const service = await LocalCloudWatchLogs.start({ delayMs: 10 });
    t.after(() => service.close());
    service.createLogStream("group", "stream");
    mock.timers.enable({ apis: ["setTimeout", "setInterval", "setImmediate", "Date"], now: 0 });
    try {
      const text = JSON.stringify(input([{ timestamp: realNow(), message: "x" }]));
      const { status, body, headers } = await raw(service, "PutLogEvents", text);
      assert.deepEqual([status, Object.keys(body)], [200, ["nextSequenceToken"]]);
      assert.ok(Math.abs(Date.parse(headers.get("date") ?? "") - realNow()) < 60_000);
    } finally {
      mock.timers.reset();
    }
    assert.equal(service.events("group").length, 1);
  });

  it("maxRequests and keepEvents bound memory, counters go on", async (t) => {
    const { service, put } = await setUp(t, { maxRequests: 2, keepEvents: false });
    const seen: unknown[] = [];
    service.options.onEvents = (...args) => seen.push(args);
    for (const offset of [0, 1, 2]) await put(batch(offset));
    assert.deepEqual(
      service.requests.map((request) => request.input.logEvents[0].message),
      ["1", "2"],
    );
    assert.deepEqual(service.events("group"), []);
    assert.deepEqual([service.storedEvents, service.counts.PutLogEvents], [3, 3]);
    assert.deepEqual(seen[2], ["group", "stream", [{ timestamp: NOW + 2, message: "2", ingestionTime: NOW }]]);
    service.options.maxRequests = 0;
    await put(batch(3));
    assert.deepEqual(service.requests, []);
  });

  it("answerFirst answers unseen, settle() checks and stores", async (t) => {
    const { service, put } = await setUp(t, { answerFirst: true, fault: () => assert.fail("not asked") });
    const answer = await put(batch(0, 1), { logGroupName: "unknown", logStreamName: "s" });
    assert.ok(answer.nextSequenceToken && answer.$metadata.requestId);
    await put(batch(1, 0));
    assert.deepEqual([service.storedEvents, service.violations, service.requests.length], [0, [], 2]);
    assert.equal(service.requests[0]?.input, undefined);
    service.settle();
    service.settle();
    assert.deepEqual([service.storedEvents, service.violations], [2, [`PutLogEvents: ${NOT_CHRONOLOGICAL}`]]);
    assert.equal(service.events("unknown", "s").length, 2);
    assert.equal(service.requests[0]?.events, 2);
  });
});

// ── Helpers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A service whose clock stands at NOW, with log stream "stream" in log group "group", and a client without retries. */
async function setUp(t: TestContext, options: LocalCloudWatchLogsOptions = {}, tls?: { ca: Buffer }) {
  const service = await LocalCloudWatchLogs.start({ now: () => NOW, ...options });
  service.createLogStream("group", "stream");
  const config: CloudWatchLogsClientConfig = {
    endpoint: service.endpoint,
    region: "us-east-1",
    credentials: { accessKeyId: "AKIDLOCAL", secretAccessKey: "secret" },
    maxAttempts: 1,
    ...(tls && { requestHandler: { httpsAgent: tls } }),
  };
  const client = new CloudWatchLogsClient(config);
  t.after(async () => {
    client.destroy();
    await service.close();
  });
  const names = { logGroupName: "group", logStreamName: "stream" };
  return {
    service,
    client,
    put: (
      logEvents: { timestamp: number; message: string }[],
      extra: Partial<PutLogEventsCommandInput> = {},
      abortSignal?: AbortSignal,
    ) => client.send(new PutLogEventsCommand({ ...names, logEvents, ...extra }), abortSignal ? { abortSignal } : {}),
    get: (query: Partial<GetLogEventsCommandInput>) => client.send(new GetLogEventsCommand({ ...names, ...query })),
    filter: (query: Partial<FilterLogEventsCommandInput>) =>
      client.send(new FilterLogEventsCommand({ logGroupName: "group", ...query })),
  };
}

/** Events at NOW plus each offset (ms); the message is the offset, or given. */
function batch(...offsets: (number | [number, string])[]) {
  return offsets.map((offset) =>
    typeof offset === "number"
      ? { timestamp: NOW + offset, message: String(offset) }
      : { timestamp: NOW + offset[0], message: offset[1] },
  );
}

function input(logEvents: { timestamp: number; message: string }[]) {
  return { logGroupName: "group", logStreamName: "stream", logEvents };
}

interface AwsError extends Error {
  expectedSequenceToken?: string;
  $metadata?: { httpStatusCode?: number; requestId?: string };
}

async function refusal(sent: Promise<unknown>, name: string, text = ""): Promise<AwsError> {
  const error = await sent.then(
    () => assert.fail(`expected ${name}`),
    (reason: AwsError) => reason,
  );
  assert.equal(error.name, name, error.message);
  assert.ok(error.message.includes(text), `"${error.message}" does not say "${text}"`);
  return error;
}

/** A request as the SDK would never send it. */
async function raw(
  service: LocalCloudWatchLogs,
  action: string,
  body: string | Buffer,
  headers: Record<string, string | undefined> = {},
) {
  const all: Record<string, string | undefined> = {
    "x-amz-target": `Logs_20140328.${action}`,
    "content-type": "application/x-amz-json-1.1",
    authorization: "AWS4-HMAC-SHA256 Credential=AKIDLOCAL/20260131/us-east-1/logs/aws4_request",
    ...headers,
  };
  const sent = Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const response = await fetch(service.endpoint, { method: "POST", body, headers: sent });
  const text = await response.text();
  let parsed: Record<string, string> = {};
  try {
    parsed = JSON.parse(text);
  } catch {
    // raw answers are no JSON
  }
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: parsed as { __type: string; message: string },
  };
}
