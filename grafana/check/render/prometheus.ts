// What a dashboard's targets ask of Prometheus, with the variables filled in as Grafana does.
import { TimeRange } from "@grafana/data";

/** What the command line says, handed over by render.mjs. */
export interface Settings {
  prometheus: string;
  run?: string;
  from?: string;
  to?: string;
  theme: "dark" | "light";
  width: number;
  /** Draw this many of the dashboard's rows only; all if it is not given. */
  rows?: number;
  /** Seconds between scrapes, which the data source is told of in Grafana; its default is 15. */
  scrapeInterval: number;
  version: string;
}

export interface Target {
  refId: string;
  expr: string;
  instant?: boolean;
  format?: string;
  legendFormat?: string;
}

export interface Series {
  metric: Record<string, string>;
  /** Seconds and text, as Prometheus writes them: one point if the query was an instant one. */
  values: Array<[number, string]>;
}

interface Variable {
  name: string;
  type: string;
  includeAll?: boolean;
  allValue?: string;
}

/** The step of range queries: what Grafana takes for a panel so wide, and never below a scrape. */
export function stepSeconds(range: TimeRange, width: number, settings: Settings): number {
  const steps = [1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600];
  const exact = (range.to.valueOf() - range.from.valueOf()) / 1000 / Math.max(width, 1);
  return Math.max(settings.scrapeInterval, steps.find((step) => step >= exact) ?? 7200);
}

/** Values of the template variables: everything where "All" can be chosen, `--run` where it cannot. */
export function variables(list: Variable[], settings: Settings): Record<string, string> {
  const values: Record<string, string> = {};
  for (const variable of list.filter((variable) => variable.type === "query")) {
    const value = variable.includeAll ? variable.allValue ?? ".*" : settings.run;
    if (value === undefined) {
      throw new Error(`the dashboard wants one ${variable.name}; name it with --${variable.name}`);
    }
    values[variable.name] = value;
  }
  return values;
}

/** An expression with the variables in place; a variable that nobody knows is an error, not an empty text. */
export function fill(expr: string, known: Record<string, string>, range: TimeRange, step: number, scrape: number) {
  const seconds = Math.round((range.to.valueOf() - range.from.valueOf()) / 1000);
  const all: Record<string, string> = {
    ...known,
    __interval: `${step}s`,
    __rate_interval: `${Math.max(step + scrape, 4 * scrape)}s`,
    __range: `${seconds}s`,
    __range_s: `${seconds}`,
  };
  return expr.replace(/\$\{?(\w+)\}?/g, (text, name) => {
    if (all[name] === undefined) {
      throw new Error(`unknown variable ${text} in ${expr}`);
    }
    return all[name];
  });
}

/** The answer to one filled-in query. */
export async function ask(target: Target, expr: string, range: TimeRange, step: number, settings: Settings) {
  const [from, to] = [range.from.valueOf() / 1000, range.to.valueOf() / 1000];
  const aligned = (time: number) => String(Math.floor(time / step) * step);
  const body = target.instant
    ? new URLSearchParams({ query: expr, time: String(to) })
    : new URLSearchParams({ query: expr, start: aligned(from), end: aligned(to), step: String(step) });
  const path = target.instant ? "query" : "query_range";
  const response = await fetch(`${settings.prometheus}/api/v1/${path}`, { method: "POST", body });
  const answer = await response.json();
  if (answer.status !== "success") {
    throw new Error(`${answer.error} in ${expr}`);
  }
  const { resultType, result } = answer.data;
  if (resultType === "scalar") {
    return [{ metric: {}, values: [result] }] as Series[];
  }
  return result.map(({ metric, value, values }: any) => ({ metric, values: values ?? [value] })) as Series[];
}
