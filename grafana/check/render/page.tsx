// One dashboard on a page: its panels in its own grid of 24 columns. What went wrong is left in window.outcome.
import {
  DataFrame,
  GrafanaTheme2,
  ThemeContext,
  TimeRange,
  createTheme,
  dateTimeFormat,
  rangeUtil,
} from "@grafana/data";
import { ErrorBoundary, GlobalStyles, PanelChrome } from "@grafana/ui";
import { createRoot } from "react-dom/client";
import { Problem, problemsOf } from "./drawn";
import { prepare } from "./fields";
import { frames } from "./frames";
import { Inside } from "./panels";
import { Settings, ask, fill, stepSeconds, variables } from "./prometheus";

// Of Grafana's grid, in pixels.
const CELL = 30;
const GAP = 8;
const COLUMNS = 24;

export interface Loaded {
  panel: any;
  data: DataFrame[];
}

/** What all panels of a page have in common. */
interface Shared {
  range: TimeRange;
  settings: Settings;
  theme: GrafanaTheme2;
}

function place({ x, y, w, h }: any, width: number) {
  const column = (width - GAP * (COLUMNS - 1)) / COLUMNS;
  return {
    left: Math.round(x * (column + GAP)),
    top: y * (CELL + GAP),
    width: Math.round(w * column + (w - 1) * GAP),
    height: h * CELL + (h - 1) * GAP,
  };
}

/** The panels of the rows that are asked for. */
function chosen(dashboard: any, rows?: number): any[] {
  const starts = dashboard.panels.filter((panel: any) => panel.type === "row").map((row: any) => row.gridPos.y);
  const end = rows === undefined ? Infinity : starts[rows] ?? Infinity;
  return dashboard.panels.filter((panel: any) => panel.gridPos.y < end);
}

async function load(panel: any, known: Record<string, string>, { range, settings, theme }: Shared): Promise<Loaded> {
  const targets = (panel.targets ?? []).filter((target: any) => !target.hide);
  const step = stepSeconds(range, place(panel.gridPos, settings.width).width, settings);
  const answers = targets.map(async (target: any) => {
    const expr = fill(target.expr, known, range, step, settings.scrapeInterval);
    return frames(target, await ask(target, expr, range, step, settings), step, targets.length === 1);
  });
  const data = (await Promise.all(answers)).flat();
  return { panel, data: panel.type === "row" ? data : await prepare(panel, data, theme) };
}

interface PageProps extends Shared {
  dashboard: any;
  loaded: Loaded[];
  failed: (panel: any, error: Error) => void;
}

function Page({ dashboard, loaded, range, settings, theme, failed }: PageProps) {
  const boxes = loaded.map(({ panel }) => place(panel.gridPos, settings.width));
  const height = Math.max(...boxes.map((box) => box.top + box.height));
  const inside = ({ panel, data }: Loaded, width: number, height: number) => (
    <ErrorBoundary onError={(error: Error) => failed(panel, error)}>
      {({ error }) => error?.message ?? <Inside {...{ panel, data, range, theme, width, height }} />}
    </ErrorBoundary>
  );
  const note = { color: theme.colors.text.secondary, fontSize: 12 };
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div id="page" style={{ background: theme.colors.background.canvas, padding: 16, width: settings.width + 32 }}>
        <div style={{ display: "flex", justifyContent: "space-between", alignItems: "baseline", marginBottom: 8 }}>
          <h4 style={{ margin: 0 }}>{dashboard.title}</h4>
          <span style={note}>
            {dateTimeFormat(range.from)} to {dateTimeFormat(range.to, { format: "HH:mm:ss" })}; panels by
            @grafana/ui {settings.version}, no Grafana server
          </span>
        </div>
        <div style={{ position: "relative", height }}>
          {loaded.map(({ panel, data }, index) => {
            const box = boxes[index];
            const { title, description } = panel;
            return (
              <section key={panel.id} data-panel={panel.id} style={{ position: "absolute", ...box }}>
                {panel.type === "row" ? (
                  <h6 style={{ margin: 0, lineHeight: `${CELL}px` }}>{title}</h6>
                ) : (
                  <PanelChrome title={title} description={description} width={box.width} height={box.height}>
                    {(width, height) => inside({ panel, data }, width, height)}
                  </PanelChrome>
                )}
              </section>
            );
          })}
        </div>
      </div>
    </ThemeContext.Provider>
  );
}

async function main() {
  const { dashboard, settings } = (window as any).input as { dashboard: any; settings: Settings };
  const { from = dashboard.time.from, to = dashboard.time.to } = settings;
  const range = rangeUtil.convertRawToRange({ from, to });
  const shared = { range, settings, theme: createTheme({ colors: { mode: settings.theme } }) };
  const known = variables(dashboard.templating.list, settings);
  const panels = chosen(dashboard, settings.rows);
  const loaded = await Promise.all(panels.map((panel) => load(panel, known, shared)));
  const thrown: Problem[] = [];
  const failed = (panel: any, error: Error) => thrown.push({ panel: panel.title, problem: error.message });
  createRoot(document.getElementById("root")!).render(<Page {...{ dashboard, loaded, failed, ...shared }} />);
  await document.fonts.ready;
  // Charts are drawn in the frames after the layout.
  await new Promise((resolve) => setTimeout(resolve, 1500));
  return { ...problemsOf(loaded, shared.theme), thrown };
}

main().then(
  (outcome) => ((window as any).outcome = outcome),
  (error) => ((window as any).outcome = { error: String(error?.stack ?? error) })
);
