// Drives the live page in Chromium for the test beside this file: reads commands as JSON lines and answers each
// with one. What a command does is all that is decided here; what is right, the test says.
import { createRequire } from 'node:module';
import { realpathSync } from 'node:fs';
import { createInterface } from 'node:readline';

const require = createRequire(realpathSync(process.env.MIRRORWATCH_PLAYWRIGHT));
const { chromium } = require('./index.js');
const { source: axe } = require('axe-core');
const browser = await chromium.launch({ executablePath: process.env.MIRRORWATCH_CHROMIUM, args: ['--no-sandbox'] });
const complaints = [];
const requests = [];
let page;

/** Counts layout shifts and remembers the first paint, from before the page's own script on. */
function observe() {
  window.seen = { shift: 0, paint: null };
  new PerformanceObserver(list => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.seen.shift += entry.value;
  }).observe({ type: 'layout-shift', buffered: true });
  new PerformanceObserver(list => {
    for (const entry of list.getEntries()) if (entry.name === 'first-contentful-paint') window.seen.paint = entry.startTime;
  }).observe({ type: 'paint', buffered: true });
}

/** What a person sees. */
function look() {
  const text = selector => document.querySelector(selector)?.textContent ?? null;
  const tiles = [...document.querySelectorAll('.tile')].map(tile => [tile.querySelector('span').textContent, tile.querySelector('b').textContent]);
  return {
    title: document.title,
    health: text('#health'),
    live: document.querySelector('#health')?.className ?? null,
    words: text('#words'),
    main: text('main'),
    tiles: Object.fromEntries(tiles),
    matching: text('#matching'),
    gallery: document.querySelectorAll('#gallery button').length,
    pairs: [...document.querySelectorAll('.split section:first-child tbody tr')].map(row => [row.cells[0].textContent, row.cells[1].textContent]),
    lines: document.querySelectorAll('#charts svg path:not(.grid)').length,
    dialog: document.querySelector('dialog[open]')?.textContent ?? null,
    said: text('dialog[open] #said'),
    pressed: document.querySelector('.review button[aria-pressed=true]')?.textContent ?? null,
    buttons: [...document.querySelectorAll('.review :is(button, select, input)')].map(node => node.getAttribute('aria-label') ?? node.textContent),
    marks: Object.fromEntries([...document.querySelectorAll('#gallery button')].map(tile => [tile.dataset.index, tile.querySelector('.said').textContent]).filter(([, said]) => said)),
    reviewed: text('#reviewed'),
    focused: document.activeElement?.textContent ?? null,
    focus: document.activeElement?.dataset?.index ?? document.activeElement?.tagName ?? null,
    width: document.documentElement.scrollWidth,
    seen: window.seen,
  };
}

const commands = {
  async open({ url, width = 1280, scheme = 'light' }) {
    const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme });
    await page?.context().close();
    page = await context.newPage();
    page.on('console', message => { if (message.type() === 'error') complaints.push(message.text()); });
    page.on('pageerror', error => complaints.push(String(error)));
    requests.length = 0;
    page.on('request', request => { if (!request.url().startsWith('data:')) requests.push(request.url()); });
    await page.addInitScript(observe);
    await page.goto(url);
  },
  async click({ selector }) { await page.click(selector); },
  async fill({ selector, text }) { await page.fill(selector, text); await page.locator(selector).blur(); },
  async choose({ selector, label }) { await page.selectOption(selector, { label }); },
  async focus({ selector }) { await page.focus(selector); },
  async press({ key }) { await page.keyboard.press(key); },
  async look() { return page.evaluate(look); },
  /** The colours of the page itself. */
  async colours() { return page.evaluate(() => { const style = getComputedStyle(document.body); return [style.color, style.backgroundColor]; }); },
  /** What axe finds that shuts people out: each rule, and the first place that breaks it. */
  async axe() {
    await page.evaluate(axe);
    const { violations, passes } = await page.evaluate(() => window.axe.run());
    return { passed: passes.length, violations: violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`) };
  },
  /** What was asked for since the page was opened, pictures within it left out. */
  async requests() { return requests; },
  /** A report: the suspects that are shown, what the filter says, and the text of the first suspect's reasons. */
  async report() {
    return page.evaluate(() => ({
      cards: [...document.querySelectorAll('.card')].filter(card => !card.hidden).length,
      shown: document.querySelector('#shown')?.textContent ?? null,
      why: document.querySelector('.card details')?.textContent ?? null,
      open: document.querySelector('.card details')?.open ?? null,
      width: document.documentElement.scrollWidth,
      text: document.body.textContent,
    }));
  },
  async complaints() { return complaints.splice(0); },
  /** Answers for suspects with so many made-up ones: as many as no small training has. */
  async swell({ count }) {
    await page.context().route('**/suspects?*', async route => {
      const query = new URL(route.request().url()).searchParams;
      const [offset, limit] = [Number(query.get('offset') ?? 0), Number(query.get('limit') ?? 100)];
      const one = i => ({ id: `made-up-${i}`, index: i, given: 0, suggested: 1, score: 9, p_value: 0.001, wrong_probability: 0.9,
        flagged_checkpoints: 1, first_flagged_epoch: 1, fitted_epoch: null, source: null, given_name: 'zero', suggested_name: 'one' });
      const last = Math.min(count, offset + limit);
      const suspects = Array.from({ length: Math.max(0, last - offset) }, (_, i) => one(offset + i));
      await route.fulfill({ json: { run: '', epoch: 1, step: 1, total: count, matching: count, offset, suspects } });
    });
    await page.reload();
  },
  /** Scrolls to the end again and again; how long frames took on the way. */
  async scroll() {
    return page.evaluate(async () => {
      const frames = [];
      let last = performance.now();
      const end = last + 60_000;
      const total = () => /of (\d+)/.exec(document.querySelector('#matching').textContent)[1];
      while (document.querySelectorAll('#gallery button').length < Number(total()) && performance.now() < end) {
        window.scrollBy(0, 2000);
        await new Promise(requestAnimationFrame);
        const now = performance.now();
        frames.push(now - last);
        last = now;
      }
      frames.sort((a, b) => a - b);
      return { frames: frames.length, median: frames[Math.floor(frames.length / 2)], slowest: frames.at(-1) };
    });
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  let answer;
  try { answer = { ok: (await commands[command.do](command)) ?? null }; } catch (error) { answer = { error: String(error) }; }
  console.log(JSON.stringify(answer));
}
await browser.close();
