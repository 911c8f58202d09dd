'use strict';
// The live page. Everything shown comes from the JSON API; names and messages come from data, so nothing is ever
// put into the document as markup.

const PAGE = 120; // suspects fetched at a time
const MOST = 1000; // suspects the API gives at a time
const main = document.getElementById('main');
const dialog = document.getElementById('sample');
const tiles = new Map(); // position of a sample -> its tile in the gallery
const state = { list: null, curve: null, suspects: [], matching: 0, filter: {}, live: false, shown: '', said: '' };

// --- small helpers ---

function el(tag, attributes, ...children) {
  const node = document.createElementNS(
    ['svg', 'path', 'text'].includes(tag) ? 'http://www.w3.org/2000/svg' : 'http://www.w3.org/1999/xhtml', tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.flat(Infinity).filter(child => child !== null && child !== undefined));
  return node;
}

const percent = ratio => `${(100 * ratio).toFixed(1)}\u00a0%`;
const rounded = number => number === null || number === undefined ? '–' : Number.isInteger(number) ? String(number) : String(Number(number.toPrecision(3)));
const runOf = name => state.list.runs.find(run => run.run === name);
const path = (...parts) => '/api/v1/' + parts.map(part => encodeURIComponent(part)).join('/');
const link = (run, sample) => '#/run/' + encodeURIComponent(run) + (sample === undefined ? '' : `/sample/${sample}`);

async function get(url) {
  const response = await fetch(url, { cache: 'no-store' });
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return response.json();
}

/** What the address says: a run, and maybe a sample of it. */
function place() {
  const match = /^#\/run\/([^/]+)(?:\/sample\/(\d+))?$/.exec(location.hash);
  let run = null;
  try { run = match && decodeURIComponent(match[1]); } catch { run = null; }
  const first = [...state.list.runs].sort((a, b) => (b.updated ?? 0) - (a.updated ?? 0))[0];
  return { run: run ?? first?.run ?? null, sample: match?.[2] === undefined ? null : Number(match[2]) };
}

// --- charts ---

/** The smallest round number that half of `value` does not exceed, twice. */
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value / 2));
  return 2 * power * [1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10].find(step => step * power >= value / 2 * .9999);
}

/** Lines over epochs, in one unit: [{name, values}] with values [[epoch, value]]. */
function chart(title, lines, format, heading = 'h2') {
  const points = lines.flatMap(line => line.values);
  const figure = el('figure', {}, el(heading, { class: 'minor' }, title));
  figure.append(el('figcaption', {}, lines.map((line, i) =>
    el('span', { class: `c${i}` }, `${line.name} ${line.values.length ? format(line.values.at(-1)[1]) : '–'}`))));
  const [width, height, left, bottom] = [320, 170, 44, 18];
  const svg = el('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img',
    'aria-label': `${title}: ${lines.map(line => `${line.name} ${line.values.length ? format(line.values.at(-1)[1]) : 'unknown'}`).join(', ')}` });
  if (points.length) {
    const epochs = points.map(point => point[0]);
    const [first, last] = [Math.min(...epochs), Math.max(...epochs)];
    const most = Math.max(...points.map(point => point[1]));
    const top = most > 0 ? ceiling(most) : 1;
    const x = epoch => left + (last > first ? (epoch - first) / (last - first) : .5) * (width - left - 8);
    const y = value => height - bottom - value / top * (height - bottom - 8);
    for (const share of [0, .5, 1]) {
      const value = share * top;
      svg.append(el('path', { class: 'grid', d: `M${left} ${y(value)}H${width - 8}` }),
        el('text', { x: left - 5, y: y(value) + 4, 'text-anchor': 'end' }, format(value)));
    }
    svg.append(el('text', { x: left, y: height - 3 }, `epoch ${first}`),
      el('text', { x: width - 8, y: height - 3, 'text-anchor': 'end' }, `${last}`));
    lines.forEach((line, i) => {
      const [head, ...rest] = line.values.map(([epoch, value]) => `${x(epoch).toFixed(1)} ${y(value).toFixed(1)}`);
      if (head) svg.append(el('path', { class: `c${i}`, d: `M${head}` + (rest.length ? `L${rest.join('L')}` : 'h2') }));
    });
  }
  figure.append(svg);
  return figure;
}

/** What the probe's share is of: without classes, nothing is right or wrong. */
const learnt = () => runOf(place().run)?.summary?.classes === 0 ? 'probe better than untaught' : 'probe accuracy';

function charts() {
  const points = state.curve ?? [];
  const line = (name, of) => ({ name, values: points.filter(point => of(point) !== null).map(point => [point.epoch, of(point)]) });
  return el('section', { class: 'charts', id: 'charts', 'aria-label': 'curves' },
    chart('wrong labels, share of all', [line('at least', p => p.noise_ratio_lower_bound), line('estimate', p => p.noise_ratio_estimate)], percent),
    chart('suspects', [line('all', p => p.suspects), line('learnt by heart', p => p.memorised_suspects), line('rather hard', p => p.hard_suspects)], rounded),
    chart('the training', [line('train loss', p => p.train_loss), line('validation loss', p => p.valid_loss), line('probe loss', p => p.probe_loss), line(learnt(), p => p.probe_accuracy)], rounded));
}

// --- the page, from top to bottom ---

function health() {
  const { sidecar } = state.list;
  const node = document.getElementById('health');
  const doing = sidecar.scanning ? `scanning ${sidecar.scanning}` : sidecar.ready ? 'idle' : 'starting';
  node.className = `live ${!state.live ? 'lost quiet' : sidecar.problem ? 'sick' : 'quiet'}`;
  node.textContent = `version ${sidecar.version} · ` + (!state.live ? 'waiting for the sidecar' : sidecar.problem ?? doing);
}

function runList(current) {
  return el('ul', { class: 'runs', 'aria-label': 'runs' }, state.list.runs.map(run => el('li', {},
    el('a', { href: link(run.run), 'aria-current': run.run === current ? 'page' : null },
      run.run, ' ', el('b', {}, run.summary ? String(run.summary.suspects) : '–'), ` · ${run.state}`))));
}

function numbers(summary) {
  const tile = (name, value, about) => el('div', { class: 'tile', title: about }, el('b', {}, value), el('span', { class: 'quiet' }, name));
  return el('section', { class: 'tiles', 'aria-label': 'counts' },
    tile('suspects', String(summary.suspects), `labels named as suspicious; on average at most ${percent(summary.fdr)} of such a list is right after all`),
    tile('at least wrong', percent(summary.noise_ratio_lower_bound), `with ${percent(1 - summary.alpha)} confidence at least this share of the labels is wrong`),
    tile('estimate', percent(summary.noise_ratio_estimate), 'the best guess of that share'),
    tile('learnt by heart', String(summary.memorised_suspects), 'suspects whose given label the model predicts by now'),
    tile('rather hard', String(summary.hard_suspects), 'suspects that are more likely hard and right than wrong'),
    tile(`${learnt()}, epoch ${summary.epoch}`, percent(summary.probe_accuracy), 'share of the probe, at this checkpoint'));
}

function toggle(filter) {
  const same = Object.entries(filter).every(([name, value]) => state.filter[name] === value);
  for (const [name, value] of Object.entries(filter)) {
    if (same) delete state.filter[name]; else state.filter[name] = value;
  }
  loadSuspects(false).then(draw);
}

const pressed = filter => String(Object.entries(filter).every(([name, value]) => state.filter[name] === value));

function pairs(summary) {
  if (summary.classes === 0) return null;
  const rows = summary.class_pairs.slice(0, 8).map(pair => {
    const filter = { given: pair.given, suggested: pair.suggested };
    return el('tr', {}, el('td', {}, el('button', { onclick: () => toggle(filter), 'aria-pressed': pressed(filter) },
      `${pair.given_name} → ${pair.suggested_name}`)), el('td', { class: 'n' }, String(pair.suspects)));
  });
  return el('section', { class: 'scroll' }, el('h2', { class: 'minor' }, 'by given and suggested label'), rows.length
    ? el('table', {}, el('thead', {}, el('tr', {}, el('th', { scope: 'col' }, 'pair'), el('th', { scope: 'col', class: 'n' }, 'suspects'))), el('tbody', {}, rows))
    : el('p', { class: 'quiet' }, 'nobody is named'));
}

function sources(summary) {
  if (!summary.sources.length) return null;
  const worst = [...summary.sources].sort((a, b) => b.flagged - a.flagged || a.p_value - b.p_value || b.suspects - a.suspects);
  const gone = new Map(summary.onset.so_far.map(onset => [onset.source, onset.epoch]));
  const rows = worst.slice(0, 8).map(source => el('tr', {},
    el('td', {}, el('button', { onclick: () => toggle({ source: source.source }), 'aria-pressed': pressed({ source: source.source }) }, source.source)),
    el('td', { class: 'n' }, `${source.suspects} of ${source.samples}`),
    el('td', { class: 'n' }, rounded(source.expected_suspects)),
    el('td', { class: 'count' }, [source.flagged ? 'stands out' : '', gone.has(source.source) ? `went bad at epoch ${gone.get(source.source)}` : ''].filter(Boolean).join(', '))));
  return el('section', { class: 'scroll' }, el('h2', { class: 'minor' }, 'by source'), el('table', {}, el('thead', {}, el('tr', {},
    el('th', { scope: 'col' }, 'source'), el('th', { scope: 'col', class: 'n' }, 'suspects'), el('th', { scope: 'col', class: 'n' }, 'to expect'), el('th', { scope: 'col' }, ''))), el('tbody', {}, rows)));
}

function filters(summary) {
  const choose = (label, name, options) => {
    const select = el('select', { 'aria-label': label, onchange: event => {
      if (event.target.value === '') delete state.filter[name]; else state.filter[name] = event.target.value;
      loadSuspects(false).then(draw);
    } }, el('option', { value: '' }, label), options.map(([value, text]) =>
      el('option', { value, selected: String(state.filter[name]) === String(value) }, text)));
    return options.length ? select : null;
  };
  const classes = (id, name) => [...new Map(summary.class_pairs.map(pair => [pair[id], pair[name]]))].sort((a, b) => a[0] - b[0]);
  const any = Object.keys(state.filter).length > 0;
  return el('div', { class: 'filters' }, el('h2', {}, 'suspects'),
    choose('any given label', 'given', classes('given', 'given_name')),
    choose('any suggested label', 'suggested', classes('suggested', 'suggested_name')),
    choose('any source', 'source', summary.sources.filter(source => source.suspects > 0).map(source => [source.source, source.source])),
    any ? el('button', { onclick: () => { state.filter = {}; loadSuspects(false).then(draw); } }, 'show all') : null,
    el('span', { class: 'quiet', id: 'matching', role: 'status' }, matching()),
    el('span', { class: 'quiet', id: 'reviewed' }, reviewed()));
}

/** How many samples were reviewed, suspects or not. */
function reviewed() {
  const { confirmed, cleared, relabelled, last } = runOf(place().run).reviews;
  return last === null ? '' : `reviewed: ${confirmed} confirmed, ${cleared} cleared, ${relabelled} relabelled`;
}

const matching = () => `${state.suspects.length} of ${state.matching} shown`;

// --- the gallery ---

function tileOf(suspect, run) {
  let tile = tiles.get(suspect.index);
  if (!tile) {
    tile = el('button', { 'data-index': suspect.index }, picture(suspect.index, suspect.preview), el('i'), el('i', { class: 'to' }), el('i', { class: 'quiet' }), el('i', { class: 'said' }));
    tiles.set(suspect.index, tile);
  }
  const [, given, suggested, chance, said] = tile.children;
  said.textContent = saidOf(suspect.review, true);
  given.textContent = suspect.suggested_name === null ? '' : suspect.given_name;
  suggested.textContent = suspect.suggested_name === null ? '' : `→ ${suspect.suggested_name}`;
  chance.textContent = `${(100 * suspect.wrong_probability).toFixed(0)} % · ${suspect.id}`;
  tile.onclick = () => { location.hash = link(run, suspect.index); };
  return tile;
}

/** A sample as a picture, a text or a table row. */
function picture(index, words) {
  if (words !== null) return el('span', { class: 'words' }, words);
  if (!state.list.sidecar.previews) return el('span');
  // Its place is there before it is.
  return el('img', { alt: '', loading: 'lazy', decoding: 'async', width: 112, height: 112, src: path('samples', index, 'preview') });
}

/** Brings the gallery up to date, from this suspect on. */
function gallery(run, from = 0) {
  const grid = document.getElementById('gallery') ?? el('div', { id: 'gallery', onkeydown: move });
  const wanted = state.suspects.slice(from).map(suspect => tileOf(suspect, run));
  if (from === grid.childElementCount) grid.append(...wanted);
  else {
    // Only what changes place is touched: an update neither flickers nor takes the focus away.
    let here = grid.children[from] ?? null;
    for (const tile of wanted) {
      if (here === tile) here = here.nextElementSibling;
      else grid.insertBefore(tile, here);
    }
    while (here) { const next = here.nextElementSibling; here.remove(); here = next; }
  }
  return grid;
}

/** Arrow keys walk through the gallery. */
function move(event) {
  const all = [...event.currentTarget.children];
  const at = all.indexOf(document.activeElement);
  if (at < 0) return;
  const columns = all.filter(tile => tile.offsetTop === all[0].offsetTop).length;
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + columns, ArrowUp: at - columns }[event.key];
  if (to !== undefined && all[to]) { all[to].focus(); event.preventDefault(); }
}

// --- what people say ---

/** What was said of a sample, in words; nothing if nothing was. */
function saidOf(review, brief = false) {
  if (!review) return '';
  const what = review.verdict === 'relabelled' && !brief ? `relabelled to ${review.label_name}` : review.verdict;
  if (brief) return `${what} by ${review.who}`;
  const day = new Date(1000 * review.time).toLocaleDateString('en-GB', { day: 'numeric', month: 'short' });
  return `${what} by ${review.who}, ${day}` + (review.note ? `: ${review.note}` : '');
}

const named = () => { try { return localStorage.getItem('mirrorwatch-who') ?? ''; } catch { return ''; } };

/** What was said of a sample, and buttons to say something. */
function review(run, sample) {
  const { takes_reviews: takes, user } = state.list.sidecar;
  const said = el('p', { id: 'said', role: 'status' });
  const box = el('section', { class: 'review', 'aria-label': 'review' }, said);
  const verdicts = {};
  /** Shows what was said now, without taking the focus away. */
  const show = review => {
    sample.review = review;
    said.className = review ? '' : 'quiet';
    said.textContent = saidOf(review) || 'nobody has reviewed it yet';
    for (const [verdict, button] of Object.entries(verdicts)) button.setAttribute('aria-pressed', String(review?.verdict === verdict));
    if (takes) withdraw.disabled = !review;
  };
  const say = async (verdict, label = null) => {
    const who = user ? null : box.querySelector('input').value.trim() || null;
    try {
      const answer = await fetch(path('runs', run, 'reviews'), { method: 'POST', headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ index: sample.index, verdict, label, who, by: 'page' }) });
      const body = await answer.json();
      if (!answer.ok) throw new Error(body.error);
      // Disabled, it would lose the focus to nowhere.
      if (verdict === 'withdrawn') verdicts.confirmed.focus();
      show(verdict === 'withdrawn' ? null : body);
    } catch (error) {
      said.className = 'error';
      said.textContent = `not noted: ${error.message}`;
    }
  };
  const button = (text, title, onclick) => el('button', { title, onclick }, text);
  verdicts.confirmed = button('wrong', 'the given label is wrong', () => say('confirmed'));
  verdicts.cleared = button('right', 'the given label is right', () => say('cleared'));
  const labels = el('select', { 'aria-label': 'right label' });
  verdicts.relabelled = button('relabel', 'the given label is wrong, and this one is right', () => say('relabelled', Number(labels.value)));
  const withdraw = button('withdraw', 'what was said no longer counts', () => say('withdrawn'));
  if (takes) {
    box.append(el('div', { class: 'filters', role: 'group', 'aria-label': `is the label ${sample.given_name} wrong?` },
      verdicts.confirmed, verdicts.cleared, sample.suspect?.suggested_name === null ? null : [labels, verdicts.relabelled], withdraw,
      user ? el('span', { class: 'quiet' }, `as ${user}`) : el('input', { 'aria-label': 'your name', placeholder: 'your name', autocomplete: 'name', maxlength: 100, value: named(),
        onchange: event => { try { localStorage.setItem('mirrorwatch-who', event.target.value.trim()); } catch { /* then it is asked for again */ } } })));
    const wanted = sample.review?.label ?? sample.suspect?.suggested;
    classes().then(names => labels.append(...names.map((name, label) => label === sample.given ? null
      : el('option', { value: label, selected: label === wanted }, name)).filter(Boolean)), () => labels.remove());
  }
  show(sample.review);
  box.show = show;
  return box;
}

/** The names of all classes; they stay as they are while the sidecar runs. */
async function classes() {
  state.classes ??= (await get(path('classes'))).classes;
  return state.classes;
}

/** Shows what was said meanwhile of the sample that is looked at. */
async function reviewAgain() {
  const { run, sample: index } = place();
  const box = dialog.querySelector('.review');
  if (!dialog.open || index === null || !box) return;
  try {
    const { review } = await get(path('runs', run, 'samples', index));
    if (place().sample === index && box.isConnected) box.show(review);
  } catch { /* what is shown stays */ }
}

// --- one sample ---

async function showSample(run, index) {
  let sample;
  try { sample = await get(path('runs', run, 'samples', index)); } catch (error) { close(); return; }
  if (place().sample !== index) return;
  const at = state.suspects.findIndex(suspect => suspect.index === index);
  const to = suspect => suspect === undefined ? null : () => { location.hash = link(run, suspect.index); };
  const [before, after] = [to(state.suspects[at - 1]), to(at < 0 ? undefined : state.suspects[at + 1])];
  const facts = [];
  if (sample.suspect?.suggested_name !== null) facts.push(['given', sample.given_name]);
  if (sample.suspect?.suggested_name) facts.push(['suggested', sample.suspect.suggested_name]);
  if (sample.suspect) facts.push(['chance that it is wrong', percent(sample.suspect.wrong_probability)],
    ['p-value', rounded(sample.suspect.p_value)], ['first a suspect', `epoch ${sample.suspect.first_flagged_epoch ?? '–'}`],
    ['first learnt', sample.suspect.fitted_epoch === null ? 'not yet' : `epoch ${sample.suspect.fitted_epoch}`]);
  else facts.push(['', 'no suspect at the last scan']);
  if (sample.source !== null) facts.push(['source', sample.source]);
  facts.push(['position', String(sample.index)]);
  const values = of => sample.history.map(point => [point.epoch, of(point)]);
  dialog.replaceChildren(
    el('div', { class: 'head' }, el('h2', { id: 'sample-title' }, `sample ${sample.id}`),
      el('button', { onclick: before, disabled: !before, 'aria-label': 'previous suspect' }, '←'),
      el('button', { onclick: after, disabled: !after, 'aria-label': 'next suspect' }, '→'),
      el('button', { onclick: close, 'aria-label': 'close' }, '×')),
    el('div', { class: 'facts' }, picture(index, sample.preview), el('dl', {}, facts.map(([name, value]) => [el('dt', {}, name), el('dd', {}, value)]))),
    review(run, sample),
    el('div', { class: 'charts' },
      chart('evidence: −log₁₀ of the p-value', [{ name: 'evidence', values: values(point => -Math.log10(Math.max(point.p_value, 1e-8))) }], rounded, 'h3'),
      chart(sample.suspect?.suggested_name === null ? 'loss' : 'loss of the given label', [{ name: 'loss', values: values(point => point.loss) }], rounded, 'h3')));
  dialog.onkeydown = event => {
    if (event.target.closest('select, input')) return;
    const go = { ArrowLeft: before, ArrowRight: after }[event.key];
    if (go) { go(); event.preventDefault(); }
  };
  if (!dialog.open) dialog.showModal();
}

function close() {
  const { run, sample } = place();
  if (dialog.open) dialog.close();
  if (sample !== null) {
    history.replaceState(null, '', link(run));
    tiles.get(sample)?.focus();
  }
}
dialog.addEventListener('close', close);
dialog.addEventListener('click', event => { if (event.target === dialog) close(); });

// --- drawing and loading ---

function draw() {
  health();
  const { run: name } = place();
  const run = name === null ? null : runOf(name);
  document.title = run?.summary ? `${run.summary.suspects} suspects · ${run.run}` : 'mirrorwatch';
  if (!state.list.runs.length) {
    main.replaceChildren(el('p', { class: 'banner' }, 'no run yet; waiting for the first checkpoint'));
    return;
  }
  const parts = [runList(name)];
  if (!run) parts.push(el('p', { class: 'banner' }, `there is no run ${name}`));
  else {
    if (run.leaks?.leaked) parts.push(el('p', { class: 'banner error' }, `${run.leaks.leaked} of ${run.leaks.checked} probe samples that were looked for are in the training set, or nearly (epoch ${run.leaks.epoch}): the probe is not held out`));
    if (run.last_error) parts.push(el('p', { class: 'banner error' }, run.last_error));
    parts.push(el('p', { id: 'words', 'aria-live': 'polite', class: run.summary?.refusal ? 'banner' : null }, (run.in_words ?? 'no checkpoint scanned yet').replaceAll(' %', '\u00a0%')));
    if (run.report) parts.push(el('p', {}, el('a', { href: `/runs/${encodeURIComponent(run.run)}/report` }, 'the report of this run')));
    if (run.summary) parts.push(numbers(run.summary), charts(),
      el('div', { class: 'split' }, pairs(run.summary), sources(run.summary)), filters(run.summary), gallery(run.run),
      el('div', { id: 'more', 'aria-hidden': 'true' }));
  }
  const focused = document.activeElement?.closest?.('#gallery') ? document.activeElement : null;
  main.replaceChildren(...parts);
  focused?.focus({ preventScroll: true });
  const more = document.getElementById('more');
  if (more) watcher.observe(more);
}

const watcher = new IntersectionObserver(entries => {
  if (entries.some(entry => entry.isIntersecting) && state.suspects.length < state.matching && !state.loading) {
    const before = state.suspects.length;
    loadSuspects(true).then(() => {
      gallery(place().run, state.suspects.length > before ? before : 0);
      const text = document.getElementById('matching');
      if (text) text.textContent = matching();
      // Tells again if there is still room.
      const more = document.getElementById('more');
      if (more) { watcher.unobserve(more); watcher.observe(more); }
    });
  }
}, { rootMargin: '1500px' });

/** Fetches suspects: the next ones, or those that are shown, anew. */
async function loadSuspects(further) {
  const { run } = place();
  if (run === null || !runOf(run)?.summary) { state.suspects = []; state.matching = 0; return; }
  state.loading = true;
  try {
    const asked = JSON.stringify([run, state.filter]);
    const fresh = asked !== state.asked;
    const offset = further && !fresh ? state.suspects.length : 0;
    let limit = further || fresh ? PAGE : Math.max(PAGE, state.suspects.length);
    const got = [];
    let answer;
    do {
      const query = new URLSearchParams({ ...state.filter, offset: offset + got.length, limit: Math.min(limit, MOST) });
      answer = await get(path('runs', run, 'suspects') + `?${query}`);
      got.push(...answer.suspects);
      limit -= answer.suspects.length;
    } while (limit > 0 && answer.suspects.length === MOST);
    if (asked !== JSON.stringify([place().run, state.filter])) return;
    state.asked = asked;
    state.suspects = offset ? state.suspects.concat(got) : got;
    state.matching = answer.matching;
  } finally { state.loading = false; }
}

let busy = false;
let again = false;

/** Asks for everything that is shown; changes that come meanwhile are asked for once more. */
async function refresh() {
  if (busy) { again = true; return; }
  busy = true;
  try {
    do {
      again = false;
      state.list = await get('/api/v1/runs');
      state.live = true;
      const { run } = place();
      const summary = run === null ? null : runOf(run)?.summary;
      const shown = JSON.stringify([run, summary?.step, summary?.scanned_time]);
      const said = JSON.stringify([run, summary && runOf(run).reviews]);
      if (summary && (shown !== state.shown || said !== state.said)) {
        if (shown !== state.shown) state.curve = (await get(path('runs', run, 'curve'))).points;
        await loadSuspects(false);
        if (said !== state.said) reviewAgain();
        Object.assign(state, { shown, said });
      }
      draw();
    } while (again);
  } catch (error) {
    state.live = false;
    health();
  } finally { busy = false; }
}

function follow() {
  const events = new EventSource('/api/v1/events');
  events.addEventListener('change', refresh);
  events.addEventListener('open', () => { state.live = true; health(); });
  events.addEventListener('error', () => {
    state.live = false;
    health();
    // A browser gives up on an answer that is no stream, as a proxy in between may send one.
    if (events.readyState === EventSource.CLOSED) { events.close(); setTimeout(follow, 3000); }
  });
}

async function navigate() {
  const { run, sample } = place();
  if (run !== state.at) {
    Object.assign(state, { at: run, curve: null, suspects: [], matching: 0, filter: {}, shown: '' });
    tiles.clear();
    document.getElementById('gallery')?.remove();
    draw();
    await refresh();
  }
  if (sample === null) { if (dialog.open) dialog.close(); } else showSample(run, sample);
}

state.list = JSON.parse(document.getElementById('initial').textContent);
state.at = place().run;
draw();
addEventListener('hashchange', navigate);
follow();
// That nothing happens any more, and that a run is forgotten, is no change that is told.
setInterval(refresh, 15_000);
if (place().sample !== null) showSample(place().run, place().sample);
