// Whether a panel that has data shows any of it.
import { FieldType, GrafanaTheme2, getFieldSeriesColor } from "@grafana/data";
import type { Loaded } from "./page";
import { isDrawn } from "./panels";

export interface Problem {
  panel: string;
  problem: string;
}

/** Whether the canvas has a pixel of about that colour; edges are blended, so not quite of it. */
function hasColour(canvas: HTMLCanvasElement, colour: string): boolean {
  const probe = document.createElement("canvas").getContext("2d")!;
  probe.fillStyle = colour;
  probe.fillRect(0, 0, 1, 1);
  const [red, green, blue] = probe.getImageData(0, 0, 1, 1).data;
  const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
  for (let at = 0; at < data.length; at += 4) {
    const near = Math.abs(data[at] - red) + Math.abs(data[at + 1] - green) + Math.abs(data[at + 2] - blue) < 24;
    if (near && data[at + 3] > 100) {
      return true;
    }
  }
  return false;
}

function showsData({ panel, data }: Loaded, section: Element, theme: GrafanaTheme2): boolean {
  if (panel.type === "timeseries") {
    const canvas = section.querySelector("canvas");
    const fields = data.flatMap((frame) => frame.fields).filter((field) => field.type === FieldType.number);
    return !!canvas && fields.some((field) => hasColour(canvas, getFieldSeriesColor(field, theme).color));
  }
  if (panel.type === "table") {
    // The first row is the header.
    return section.querySelectorAll("[role=row]").length > 1;
  }
  return (section.textContent ?? "").replace(panel.title, "").trim() !== "";
}

/** Whether there is something to draw: not only points that are not numbers, but texts are enough. */
const hasData = ({ data }: Loaded) =>
  data.some(({ fields }) =>
    fields.some(({ type, values }) =>
      type === FieldType.string ? values.length > 0 : type === FieldType.number && values.some(Number.isFinite)
    )
  );

/** How many panels were drawn, which had nothing to draw, which cannot be drawn, and which should have been. */
export function problemsOf(loaded: Loaded[], theme: GrafanaTheme2) {
  const panels = loaded.filter(({ panel }) => panel.type !== "row");
  const drawable = panels.filter(({ panel }) => isDrawn(panel.type));
  const undrawn = panels.filter((one) => !drawable.includes(one));
  const full = drawable.filter(hasData);
  const section = ({ panel }: Loaded) => document.querySelector(`[data-panel="${panel.id}"]`)!;
  const blank = full.filter((one) => !showsData(one, section(one), theme));
  const titles = (some: Loaded[]) => some.map(({ panel }) => panel.title as string);
  return {
    drawn: full.length - blank.length,
    undrawn: titles(undrawn),
    empty: titles(drawable.filter((one) => !hasData(one))),
    blank: titles(blank),
  };
}
