/**
 * Runs the long checks, and writes what they found and how long they took into docs/delivery.md and CONTRIBUTING.md:
 *
 *     npm run evidence                      everything; about an hour
 *     npm run evidence -- kills ci          some of it
 *
 * A page is written only where its check has passed. Exits with 1 where one has not.
 */
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = new URL("..", import.meta.url);
const test = ["node", "--import", "tsx", "--test", "--test-timeout=3600000"];

/** A command; what of its output counts, and the text of it. Of what has no text, the time is what counts. */
const CHECKS = {
  faults: {
    command: [...test, "testing/faults.test.ts"],
    found: /faults: (\d+) kinds, .*"events":(\d+)/,
    text: ([, kinds, events]) =>
      `${kinds} kinds of fault, each alone and mixed by seed, ${figure(events)} events compared: none lost, none out of order.`,
  },
  kills: {
    command: [...test, "--test-name-pattern", "kills at random", "testing/crash.test.ts"],
    env: { KILLS: "1000" },
    found: /(\d+) kills, (\d+) events compared, none missing, (\d+) twice/,
    text: ([, kills, events, twice]) =>
      `${figure(kills)} processes killed at random moments (\`KILLS=${kills}\`), ${figure(events)} events compared: none missing ` +
      `whose call\nhad returned, ${figure(twice)} of those in flight twice.`,
  },
  ends: {
    command: [...test, "testing/ends.test.ts"],
    env: { ENDS: "all" },
    found: /(?:#|ℹ) pass ([1-9]\d*)/,
    text: ([, ends]) => `${ends} tests (\`ENDS=all\`): nothing without a word, nothing after its time.`,
  },
  injection: {
    command: [...test, "testing/injection.test.ts"],
    env: { INJECT: "all" },
    found: /(?:#|ℹ) pass ([1-9]\d*)/,
    text: ([, runs]) => `${runs} tests (\`INJECT=all\`): each event on disk, delivered or told.`,
  },
  fuzz: {
    command: [...test, "--test-name-pattern", "JSON.stringify", "testing/hostile.test.ts"],
    env: { CWLOGGER_FUZZ_EVENTS: "1000000" },
    found: /(?:#|ℹ) pass [1-9]/,
    text: () => "1,000,000 events (`CWLOGGER_FUZZ_EVENTS=1000000`): no difference.",
  },
  ci: { command: ["bash", ".ci/run"] },
  bench: { command: ["npm", "run", "bench"] },
  matrix: { command: ["npm", "run", "matrix", "--", "--write"] },
};

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(CHECKS);
for (const name of names) {
  const check = CHECKS[name] ?? fail(`There is no check ${name}. There are ${Object.keys(CHECKS).join(", ")}.`);
  const from = performance.now();
  const { code, output } = await run(check);
  const seconds = (performance.now() - from) / 1_000;
  const found = check.found?.exec(output);
  if (code !== 0 || found === null)
    fail(`${name} has failed after ${Math.round(seconds)} s:\n${output.slice(-100_000)}`);
  console.log(`${name}: ${Math.round(seconds)} s${found ? `, ${found[0]}` : ""}`);
  if (check.text !== undefined) write("docs/delivery.md", name, `\n${check.text(found)}\n`);
  else write("CONTRIBUTING.md", `time-${name}`, time(seconds));
  // What .ci/run does, with the second at which it began.
  const steps = name === "ci" ? [...output.matchAll(/^== (.*) \((\d+)s\)/gm)] : [];
  for (const [index, [, step, start]] of steps.entries()) {
    const known = { "npm run check": "time-check", "npm test": "time-test" }[step];
    if (known !== undefined) write("CONTRIBUTING.md", known, time(steps[index + 1][2] - start));
  }
}

function run({ command: [program, ...given], env = {} }) {
  return new Promise((resolve) => {
    const child = spawn(program, given, { cwd: fileURLToPath(root), env: { ...process.env, ...env } });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text) => (output += text));
    child.on("close", (code) => resolve({ code, output }));
  });
}

function write(page, name, text) {
  const url = new URL(page, root);
  const marked = new RegExp(`(<!-- FIGURE:${name} -->).*?(?=<!-- /FIGURE:${name} -->)`, "s");
  writeFileSync(
    url,
    readFileSync(url, "utf8").replace(marked, (_, mark) => mark + text),
  );
}

function time(seconds) {
  return seconds < 100 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`;
}

function figure(digits) {
  return Number(digits).toLocaleString("en");
}

function fail(text) {
  console.error(text);
  process.exit(1);
}
