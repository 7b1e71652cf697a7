import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { LocalCloudWatchLogs, type LocalCloudWatchLogsOptions } from "./local-cloudwatch.js";
import { Program, realSleep, until } from "./support.js";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** Nobody listens there. */
const DEAD = "http://127.0.0.1:1";
const MB = 1_048_576;

/** A folder with the command and the SDK in one file, which starts quicker. */
const folder = mkdtempSync(join(tmpdir(), "cwlogger-"));
const command = join(folder, "dist/cwlogger.mjs");
/** What a program sees of a terminal. */
const terminal = join(folder, "terminal.mjs");

before(async () => {
  await build({
    entryPoints: [join(ROOT, "bin/cwlogger.ts")],
    outfile: command,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    banner: { js: 'import { createRequire as forSdk } from "node:module"; const require = forSdk(import.meta.url);' },
  });
  cpSync(join(ROOT, "package.json"), join(folder, "package.json"));
  writeFileSync(
    terminal,
    `import { WriteStream } from "node:tty";
    for (const stream of [process.stdout, process.stderr]) {
      stream.isTTY = true;
      stream.getColorDepth = (env) => WriteStream.prototype.getColorDepth(env);
      stream.hasColors = WriteStream.prototype.hasColors;
    }`,
  );
});

after(() => rmSync(folder, { recursive: true, force: true }));

describe("the command", { concurrency: 3 }, () => {
  describe("cwlogger <logGroup>", { concurrency: 5 }, () => {
    // The long ones first, so that the others run beside them.
    it("ends where nothing is answered, with 1 and what is undelivered on stderr", async (t) => {
      const service = await serve(t, { fault: () => ({ kind: "hang" }) });
      const program = start(["my-app"], service.endpoint);
      program.child.stdin?.end("one\ntwo\n");
      const { code, stdout, stderr, ms } = await program.ended;
      assert.equal(code, 1);
      assert.equal(stdout, "one\ntwo\n");
      assert.match(stderr, /"message":"one"\}\n.*"message":"two"\}\n$/s);
      assert.ok(ms < 14_000, `${ms} ms`);
    });

    it("waits as long as deliveries go on", async (t) => {
      // Answers come 3, 6 and 9 s after the first request: each within the 8 s after which it gives up, the last one not.
      let first = 0;
      const service = await serve(t, {
        fault: ({ action, receivedAt }) => {
          if (action !== "PutLogEvents") return undefined;
          first ||= receivedAt;
          const place = Math.min(3, service.counts.PutLogEvents);
          return { kind: "delay", ms: Math.max(0, first + place * 3_000 - receivedAt) };
        },
      });
      service.createLogStream("my-app", "s");
      const program = start(["my-app", "--stream", "s", "--quiet"], service.endpoint);
      program.child.stdin?.end(`${"x".repeat(1_000)}\n`.repeat(5_500));
      const { code, stderr, ms } = await program.ended;
      assert.deepEqual([code, stderr.slice(0, 200)], [0, ""]);
      assert.equal(service.storedEvents, 5_500);
      assert.ok(ms > 9_000, `${ms} ms`);
    });

    it("delivers what was read before a signal", async (t) => {
      for (const [signal, code] of [
        ["SIGTERM", 143],
        ["SIGINT", 130],
      ] as const) {
        const service = await serve(t);
        const program = start(["my-app"], service.endpoint);
        program.child.stdin?.write("one\nlast wo");
        await program.printed("last wo");
        program.child.kill(signal);
        // Its source may be ending, too.
        program.child.stdin?.write("rds");
        const ended = await program.ended;
        assert.equal(ended.code, code, ended.stderr);
        assert.equal(ended.stdout, "one\nlast words");
        assert.equal(ended.stderr, "");
        assert.deepEqual(messages(service), ["one", "last words"]);
      }
    });

    it("ends at the second signal, with what is undelivered on stderr", async (t) => {
      const service = await serve(t, { fault: () => ({ kind: "hang" }) });
      const program = start(["my-app"], service.endpoint);
      program.child.stdin?.write("one\ntw");
      await program.printed("tw");
      program.child.kill("SIGINT");
      const { code, stderr, ms } = await program.kill("SIGTERM");
      assert.equal(code, 143);
      assert.match(stderr, /"message":"one"\}\n.*"message":"tw"\}\n$/s);
      assert.ok(ms < 8_000, `${ms} ms`);
    });

    it("ends at once where waiting mends nothing", async () => {
      const program = start(["my-app"], DEAD, { AWS_ACCESS_KEY_ID: "", AWS_SECRET_ACCESS_KEY: "" });
      program.child.stdin?.end("one\n");
      const { code, stderr, ms } = await program.ended;
      assert.equal(code, 1);
      assert.match(stderr, /credentials.*"message":"one"\}\n$/is);
      assert.ok(ms < 6_000, `${ms} ms`);
    });

    it("lets its source wait while nobody reads its stdout", async (t) => {
      const service = await serve(t);
      const child = spawn(process.execPath, [command, "my-app"], { env: environment(service.endpoint), stdio: "pipe" });
      t.after(() => child.kill("SIGKILL"));
      const lines = 8_000;
      child.stdin.end(`${"x".repeat(999)}\n`.repeat(lines));
      // Without a pause, all would be stored by the time at which nothing more arrives.
      let stored = -1;
      while (stored !== service.storedEvents || stored === 0) {
        stored = service.storedEvents;
        await realSleep(1_500);
      }
      assert.ok(stored < lines / 2, `${stored} of ${lines} stored`);
      const program = new Program(child);
      const { code, stdout } = await program.ended;
      assert.equal(code, 0);
      assert.equal(stdout.length, lines * 1_000);
      assert.equal(service.storedEvents, lines);
    });

    it("lets its source wait while the queue is full", async (t) => {
      // Time enough to read all, more than the queue holds.
      const service = await serve(t, {
        fault: () => (service.counts.PutLogEvents <= 4 ? { kind: "delay", ms: 2_500 } : undefined),
      });
      service.createLogStream("my-app", "s");
      const program = start(["my-app", "--stream", "s", "--quiet"], service.endpoint);
      program.child.stdin?.end(`${"x".repeat(MB - 27)}\n`.repeat(72));
      const { code, stderr } = await program.ended;
      assert.deepEqual([code, stderr.slice(0, 200)], [0, ""]);
      assert.equal(service.storedEvents, 72);
    });

    it("sends each line, and passes all on as it is", async (t) => {
      const service = await serve(t);
      const time = Date.now() - 3_600_000;
      const input = Buffer.from(`{"time":${time},"msg":"é"}\r\nplain\n\n  \nlast`);
      const args = ["my-app", "--stream", "web/{program}", "--region", "eu-west-1", "--retention", "30"];
      const program = start(args, DEAD, {}, ["--endpoint", service.endpoint]);
      // In the middle of é.
      program.child.stdin?.write(input.subarray(0, input.indexOf("é") + 1));
      await program.printed('"msg":');
      program.child.stdin?.end(input.subarray(input.indexOf("é") + 1));
      const { code, stdout, stderr } = await program.ended;
      assert.equal(stderr, "");
      assert.equal(code, 0);
      assert.equal(stdout, input.toString());
      assert.deepEqual(messages(service), [`{"time":${time},"msg":"é"}`, "plain", "last"]);
      assert.equal(service.events("my-app")[0]?.timestamp, time);
      assert.equal(service.logGroups()[0]?.retentionInDays, 30);
      assert.match(service.logStreams("my-app").join(), /^web\/\w+/);
      assert.match(String(service.requests[0]?.headers.authorization), /eu-west-1/);
    });

    it("passes nothing on with --quiet, and keeps a line that is too large, in parts", async (t) => {
      const service = await serve(t);
      const program = start(["my-app", "--quiet"], service.endpoint);
      program.child.stdin?.end("x".repeat(3 * MB));
      const { code, stdout, stderr } = await program.ended;
      assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: "", stderr: "" });
      assert.equal(messages(service).join("").length, 3 * MB);
    });

    it("ends with 1 where an event was lost", async (t) => {
      const service = await serve(t);
      const program = start(["my-app"], service.endpoint);
      program.child.stdin?.end(`{"time":"2001-01-01T00:00:00Z","msg":"too old"}\nkept\n`);
      const { code, stderr } = await program.ended;
      assert.equal(code, 1);
      assert.match(stderr, /^cwlogger: .*1 .*tooOld.*\n$/);
      assert.deepEqual(messages(service), ["kept"]);
    });

    it("delivers all where its stdout is closed early", async (t) => {
      const service = await serve(t);
      const program = start(["my-app"], service.endpoint);
      program.child.stdin?.write("first\n");
      await program.printed("first");
      program.child.stdout?.destroy();
      const lines = Array.from({ length: 20_000 }, (_, index) => `line ${index}`);
      program.child.stdin?.end(lines.join("\n"));
      const { code, stderr } = await program.ended;
      assert.equal(stderr, "");
      assert.equal(code, 0);
      assert.deepEqual(messages(service), ["first", ...lines]);
    });

    it("shows on a terminal how many wait and are delivered", async (t) => {
      const service = await serve(t);
      const program = start(["my-app"], service.endpoint, { NODE_OPTIONS: `--import=${terminal}` });
      program.child.stdin?.write("one\ntwo\n");
      await until(() => program.stderr.includes("2 waiting, 0 delivered\r"), "the progress");
      program.child.stdin?.end();
      const { code, stdout, stderr } = await program.ended;
      assert.equal(code, 0);
      assert.equal(stdout, "one\ntwo\n");
      assert.ok(stderr.endsWith("\x1b[K2 of 2 log events delivered\n"), JSON.stringify(stderr));
    });
  });

  describe("cwlogger local", () => {
    it("prints its URL and then each event, as text that harms no terminal", async () => {
      const service = start(["local", "--port", "0"], DEAD, { TZ: "UTC" });
      await service.printed("\n");
      const [endpoint = ""] = service.stdout.split("\n");
      assert.match(endpoint, /^http:\/\/127\.0\.0\.1:\d+$/);
      const time = Math.floor(Date.now() / 86_400_000) * 86_400_000;
      const events = [
        { time, level: "warn", message: "order placed", orderId: 17 },
        { time: time + 1, level: 30, msg: "by pino", pid: 3 },
        { time: time + 2, level: "ERROR", message: "m", error: { name: "E", stack: "E: m\n    at x", code: 7 } },
        { time: time + 3, level: { toString: 1 }, message: null, x: "\x1b\x9b\u202e" },
      ];
      const lines = [...events.map((event) => JSON.stringify(event)), "a \x1b[31m\tline\r", `{"time":1,`, "b"];
      const sender = start(["my-app", "--stream", "s\x1b\n"], endpoint);
      sender.child.stdin?.end(lines.join("\n"));
      const { code, stderr } = await sender.ended;
      assert.equal(code, 0, stderr);
      await service.printed(" b\n");
      const ended = await service.kill("SIGTERM");
      assert.equal(ended.code, 143);
      assert.match(ended.stderr, new RegExp(`^[^\n]*AWS_ENDPOINT_URL_CLOUDWATCH_LOGS=${endpoint} [^\n]*\n$`));
      const stream = "s\\u001b\n    ";
      const shown = ended.stdout.replaceAll(stream, "s").split("\n").slice(1);
      assert.deepEqual(shown.slice(0, 6), [
        `00:00:00.000 s WARN order placed {"orderId":17}`,
        `00:00:00.001 s INFO by pino {"pid":3}`,
        `00:00:00.002 s ERROR m {"error":{"name":"E","code":7}}`,
        `    E: m`,
        `        at x`,
        `00:00:00.003 s {"TOSTRING":1} null {"x":"\\u001b\\u009b\\u202e"}`,
      ]);
      const NOW = /^\d\d:\d\d:\d\d\.\d{3} /;
      assert.deepEqual(
        shown.slice(6).map((line) => line.replace(NOW, "")),
        ["s a \\u001b[31m\tline", `s {"time":1,`, "s b", ""],
      );
    });

    it("shows levels in colour on a terminal, unless NO_COLOR is set", async () => {
      for (const [env, level] of [
        [{ TERM: "xterm-256color" }, "\x1b[33mWARN\x1b[0m"],
        [{ TERM: "xterm-256color", NO_COLOR: "1" }, " WARN "],
      ] as const) {
        const options = { NODE_OPTIONS: `--import=${terminal}` };
        const service = start(["local", "--port", "0"], DEAD, { ...options, ...env });
        await service.printed("\n");
        const sender = start(["my-app"], service.stdout.trim());
        sender.child.stdin?.end(`{"level":"warn","message":"order placed"}`);
        assert.equal((await sender.ended).code, 0);
        await service.printed("order placed");
        const { stdout } = await service.kill("SIGINT");
        assert.ok(stdout.includes(level), JSON.stringify(stdout));
      }
    });

    it("says in one line that its port is taken", async (t) => {
      const server = createServer().listen(0, "127.0.0.1");
      t.after(() => server.close());
      await until(() => server.listening);
      const { port } = server.address() as { port: number };
      const { code, stdout, stderr } = await start(["local", "--port", `${port}`], DEAD).ended;
      assert.equal(code, 2);
      assert.equal(stdout, "");
      assert.match(stderr, new RegExp(`^cwlogger: cannot use port ${port}, .*\n$`));
    });
  });

  describe("wrong usage", () => {
    for (const [args, message] of [
      [[], /name a log group/],
      [["my-app", "other"], /unexpected argument 'other'/],
      [["my-app", "--colour"], /Unknown option '--colour'/],
      [["my-app", "--a\nb"], /Unknown option '--a/],
      [["my-app", "--region"], /'--region <value>' argument missing/],
      [["my-app", "--region", "--quiet"], /'--region' argument is ambiguous/],
      [["my-app", "--port", "1"], /'--port' does not go with 'my-app'/],
      [["local", "--quiet"], /'--quiet' does not go with 'local'/],
      [["local", "--port", "x"], /'--port' must be a number up to 65535, not 'x'/],
      [["my app"], /"logGroupName" must .* received "my app"/],
      [["my-app", "--retention", "31"], /"retentionInDays" must .* received 31/],
    ] as [string[], RegExp][]) {
      it(`refuses ${JSON.stringify(args)} in one line`, async () => {
        const { code, stdout, stderr } = await start(args, DEAD).ended;
        assert.equal(code, 2);
        assert.equal(stdout, "");
        assert.match(stderr, /^cwlogger: [^\n]+\n$/);
        assert.match(stderr, message);
      });
    }

    it("has --help and --version", async () => {
      const help = await start(["--help"], DEAD).ended;
      assert.equal(help.code, 0);
      assert.match(help.stdout, /some-program \| npx cwlogger <logGroup>.*npx cwlogger local/s);
      const version = await start(["--version"], DEAD).ended;
      assert.match(version.stdout, /^\d+\.\d+\.\d+\S*\n$/);
    });
  });
});

// ── Helpers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function start(args: string[], endpoint: string, env: Record<string, string> = {}, more: string[] = []): Program {
  const options = { env: { ...environment(endpoint), ...env }, stdio: "pipe" } as const;
  const child = spawn(process.execPath, [command, ...args, ...more], options);
  // It may end before it has read all.
  child.stdin.on("error", () => {});
  return new Program(child);
}

function environment(endpoint: string): Record<string, string> {
  return {
    PATH: process.env.PATH ?? "",
    HOME: folder,
    AWS_ENDPOINT_URL_CLOUDWATCH_LOGS: endpoint,
    AWS_REGION: "us-east-1",
    AWS_ACCESS_KEY_ID: "key",
    AWS_SECRET_ACCESS_KEY: "secret",
    AWS_EC2_METADATA_DISABLED: "true",
    // The SDK's, about old versions of Node.
    NODE_NO_WARNINGS: "1",
  };
}

async function serve(t: TestContext, options: LocalCloudWatchLogsOptions = {}): Promise<LocalCloudWatchLogs> {
  const service = await LocalCloudWatchLogs.start(options);
  t.after(async () => {
    await service.close();
    assert.deepEqual(service.violations, []);
  });
  return service;
}

function messages(service: LocalCloudWatchLogs): string[] {
  return service.events("my-app").map(({ message }) => message);
}
