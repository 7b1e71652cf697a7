/**
 * `tsc -p .` of TypeScript 5 for one folder after the other, as `fork()` sends them. What is parsed once is there for all
 * of them, and only files of the project and of cwlogger are checked, not all of the SDK's: so it takes a quarter of the
 * time. Answers with the folder and the errors, as a text.
 */
import { join } from "node:path";
import ts from "typescript5";

const parsed = new Map();
const fail = (diagnostic) => {
  throw new Error(ts.flattenDiagnosticMessageText(diagnostic.messageText, "\n"));
};

process.on("message", (folder) => process.send({ folder, errors: compile(folder) }));

function compile(folder) {
  const system = { ...ts.sys, getCurrentDirectory: () => folder, onUnRecoverableConfigFileDiagnostic: fail };
  const config = ts.getParsedCommandLineOfConfigFile(join(folder, "tsconfig.json"), {}, system);
  const { fileNames: rootNames, options } = config;
  const host = ts.createCompilerHost(options);
  const { getSourceFile } = host;
  host.getCurrentDirectory = () => folder;
  host.getSourceFile = (name, settings, ...rest) => {
    if (!isForeign(name)) return getSourceFile(name, settings, ...rest);
    const key = JSON.stringify([name, settings.languageVersion, settings.impliedNodeFormat]);
    if (!parsed.has(key)) parsed.set(key, getSourceFile(name, settings, ...rest));
    return parsed.get(key);
  };
  const program = ts.createProgram({ rootNames, options, host });
  const checked = program.getSourceFiles().filter(({ fileName }) => !isForeign(fileName));
  if (!checked.some(({ fileName }) => /cloudwatch\.(?:d\.[cm])?ts$/.test(fileName)))
    return "cwlogger is not among the files";
  const found = [
    ...config.errors,
    ...program.getOptionsDiagnostics(),
    ...program.getGlobalDiagnostics(),
    ...checked.flatMap((file) => [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)]),
    ...program.emit().diagnostics,
  ];
  return ts.formatDiagnostics(found, { ...host, getNewLine: () => "\n" });
}

function isForeign(file) {
  return /\/node_modules\/(?!cwlogger\/)/.test(file);
}
