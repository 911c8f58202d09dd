// Draws the dashboards' panels with the components of @grafana/ui, the version that package.json names, in headless
// Chromium, with what a real Prometheus answers. A PNG for each dashboard. Fails when a panel throws, when the
// browser's console has errors, and when a panel that has data draws nothing.
//
//   cd grafana/check && npm install
//   npm run render -- --prometheus http://127.0.0.1:9090 --run NAME --out DIR
//
// --from, --to: as in Grafana (now-15m), or RFC 3339 [default: the dashboard's]; --scrape-interval: seconds [15]
// --theme light, --width PIXELS [1280], --rows N (the first N rows only), --dashboard NAME (without .json)
// MIRRORWATCH_CHROMIUM names another browser than /usr/bin/chromium.
import { mkdirSync, readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "esbuild";
import { chromium } from "playwright-core";

const here = dirname(fileURLToPath(import.meta.url));
const dashboards = join(here, "..", "dashboards");
const modules = join(here, "node_modules");
const names = ["prometheus", "run", "out", "from", "to", "theme", "width", "rows", "scrape-interval", "dashboard"];
const { values: given } = parseArgs({ options: Object.fromEntries(names.map((name) => [name, { type: "string" }])) });
if (!given.prometheus || !given.out) {
  console.error("--prometheus and --out are needed; see the head of render.mjs");
  process.exit(2);
}
const settings = {
  prometheus: given.prometheus.replace(/\/$/, ""),
  run: given.run,
  from: given.from,
  to: given.to,
  theme: given.theme ?? "dark",
  width: Number(given.width ?? 1280),
  rows: given.rows && Number(given.rows),
  scrapeInterval: Number(given["scrape-interval"] ?? 15),
  version: JSON.parse(readFileSync(join(modules, "@grafana", "ui", "package.json"), "utf8")).version,
};

const commonJs = (name) => join(modules, "@grafana", name, "dist", "cjs", "index.cjs");
const bundle = await build({
  entryPoints: [join(here, "render", "page.tsx")],
  bundle: true,
  write: false,
  minify: true,
  outdir: "out",
  jsx: "automatic",
  logLevel: "error",
  // Their ES modules have default imports that only Grafana's own bundler understands.
  alias: Object.fromEntries(["data", "ui"].map((name) => [`@grafana/${name}`, commonJs(name)])),
  // The code editor's font; no panel has an editor.
  loader: { ".ttf": "empty" },
  define: { "process.env.NODE_ENV": '"production"', global: "window" },
});

/** Where the components ask for icons and fonts, and what is served there. Grafana's own fonts are not on npm. */
function staticFile(path) {
  const fonts = { "Inter-Regular": "400", "Inter-Medium": "500" };
  const font = path.match(/^\/public\/fonts\/inter\/([\w-]+)\.woff2$/)?.[1];
  if (fonts[font]) {
    return join(modules, "@fontsource", "inter", "files", `inter-latin-${fonts[font]}-normal.woff2`);
  }
  const icon = path.match(/^\/public\/img\/icons\/([\w-]+\/[\w-]+\.svg)$/)?.[1];
  return icon && join(modules, "@grafana", "ui", "dist", "public", "img", "icons", icon);
}

const built = (ending) => bundle.outputFiles.find(({ path }) => path.endsWith(ending)).text;
const links = `<link rel="icon" href="data:,"><link rel="stylesheet" href="/page.css">`;
const head = `<!doctype html><meta charset="utf-8">${links}`;
const pages = {
  "/": ["text/html", `${head}<body><div id="root"></div><script src="/page.js"></script>`],
  "/page.css": ["text/css", built(".css")],
  "/page.js": ["text/javascript", built(".js")],
};
const server = createServer(({ url }, response) => {
  const { pathname } = new URL(url, "http://localhost");
  const file = staticFile(pathname);
  try {
    const fileType = file?.endsWith(".svg") ? "image/svg+xml" : "font/woff2";
    const [type, body] = pages[pathname] ?? [fileType, readFileSync(file)];
    response.writeHead(200, { "content-type": type }).end(body);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

/** Draws one dashboard; returns whether nothing was wrong. */
async function draw(browser, file) {
  const dashboard = JSON.parse(readFileSync(join(dashboards, file), "utf8"));
  const page = await browser.newPage({ viewport: { width: settings.width + 32, height: 800 } });
  const errors = [];
  page.on("console", (message) => {
    if (message.type() === "error") {
      errors.push(`${message.text()} ${message.location().url}`);
    }
  });
  page.on("pageerror", (error) => errors.push(error.message));
  await page.addInitScript((input) => (window.input = input), { dashboard, settings });
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.waitForFunction(() => window.outcome, undefined, { timeout: 60_000 });
  const { error, drawn, empty, undrawn, blank, thrown } = await page.evaluate(() => window.outcome);
  if (!error) {
    await page.locator("#page").screenshot({ path: join(given.out, file.replace(".json", ".png")) });
    console.log(`${file}: ${drawn} panels drawn`);
    console.log(`  without data: ${empty.join(", ") || "none"}; without a component: ${undrawn.join(", ") || "none"}`);
  }
  const problems = [...errors, ...(error ? [error] : [])];
  problems.push(...(blank ?? []).map((title) => `${title}: has data and draws nothing`));
  problems.push(...(thrown ?? []).map(({ panel, problem }) => `${panel}: ${problem}`));
  problems.forEach((problem) => console.error(`${file}: ${problem}`));
  await page.close();
  return problems.length === 0;
}

mkdirSync(given.out, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.MIRRORWATCH_CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
const files = readdirSync(dashboards).filter((file) => !given.dashboard || file === `${given.dashboard}.json`);
let good = files.length > 0;
for (const file of files) {
  good = (await draw(browser, file)) && good;
}
await browser.close();
server.close();
process.exit(good ? 0 : 1);
