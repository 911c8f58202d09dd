// Checks every dashboard against the types of @grafana/schema, the version that package.json names: the dashboard as
// a whole, and each panel's options and field configuration, which the whole leaves open.
//
//   cd grafana/check && npm install && npm run check
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const dashboards = join(here, "..", "dashboards");
// Unlike `import`, this also finds what NODE_PATH leads to.
const require = createRequire(import.meta.url);
const ts = require("typescript");
const schema = require.resolve("@grafana/schema/package.json");
const composable = join(dirname(schema), "dist", "esm", "raw", "composable");

// Fields of Prometheus variables and annotations, which Grafana itself writes and its schema does not know.
const UNPUBLISHED = ["definition", "expr", "step", "tagKeys", "textFormat", "titleFormat", "useValueForTime"];

/** The module that describes a kind of panel: "state-timeline" is in statetimeline/. */
function panelModule(type) {
  const directory = join(composable, type.replaceAll("-", ""), "panelcfg", "x");
  const file = readdirSync(directory).find((name) => name.endsWith("_types.gen.d.ts"));
  return join(directory, file).replace(/\.d\.ts$/, "");
}

/** A dashboard as a TypeScript program whose literals are checked for fields that are unknown, too. */
function program(dashboard) {
  const known = (key, value) => (UNPUBLISHED.includes(key) ? undefined : value);
  const literal = (value) => JSON.stringify(value, known, 1);
  const lines = [`import type { Dashboard } from "@grafana/schema";`];
  lines.push(`export const dashboard: DeepStrings<Dashboard> = ${literal(dashboard)};`);
  for (const panel of dashboard.panels.filter((panel) => panel.type !== "row")) {
    const from = JSON.stringify(panelModule(panel.type));
    const custom = panel.fieldConfig.defaults.custom;
    const check = (type, value) => `const _: DeepStrings<${type}> = ${literal(value)}; void _;`;
    lines.push(`{ ${check(`Partial<import(${from}).Options>`, panel.options)} }`);
    if (custom) {
      lines.push(`{ ${check(`import(${from}).FieldConfig`, custom)} }`);
    }
  }
  // JSON has the text of an enumeration's member where TypeScript wants the member.
  lines.push("type DeepStrings<T> = T extends string ? `${T}` : T extends (infer E)[] ? DeepStrings<E>[]");
  lines.push("  : T extends object ? { [K in keyof T]: DeepStrings<T[K]> } : T;");
  return lines.join("\n");
}

const options = { strict: true, noEmit: true, skipLibCheck: true, target: ts.ScriptTarget.ES2022 };
options.module = ts.ModuleKind.ESNext;
options.moduleResolution = ts.ModuleResolutionKind.Bundler;
options.paths = { "@grafana/schema": [dirname(schema)] };
const host = ts.createCompilerHost(options);
const sources = new Map();
const { getSourceFile, fileExists } = host;
host.fileExists = (name) => sources.has(name) || fileExists(name);
host.getSourceFile = (name, target) =>
  sources.has(name) ? ts.createSourceFile(name, sources.get(name), target) : getSourceFile(name, target);
let panels = 0;
for (const file of readdirSync(dashboards)) {
  const dashboard = JSON.parse(readFileSync(join(dashboards, file), "utf8"));
  sources.set(join(here, `${file}.ts`), program(dashboard));
  panels += dashboard.panels.length;
}
const found = ts.getPreEmitDiagnostics(ts.createProgram([...sources.keys()], options, host));
const { version } = JSON.parse(readFileSync(schema, "utf8"));
console.log(ts.formatDiagnostics(found, { ...host, getNewLine: () => "\n" }) || "no complaint");
console.log(`@grafana/schema ${version}: ${sources.size} dashboards, ${panels} panels and rows`);
process.exit(found.length > 0 ? 1 : 0);
