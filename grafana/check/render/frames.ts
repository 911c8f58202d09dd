// Prometheus' answers as the data frames that Grafana's Prometheus data source makes of them.
import { DataFrame, FieldType, createDataFrame, renderLegendFormat } from "@grafana/data";
import { Series, Target } from "./prometheus";

const number = (text: string) => Number(text.replace("Inf", "Infinity"));

/** `{a="1", b="2"}`, which is what a series is called whose legend is left to Grafana. */
function labelsText({ __name__ = "", ...labels }: Record<string, string>): string {
  const inside = Object.entries(labels).map(([name, value]) => `${name}="${value}"`).join(", ");
  return inside ? `${__name__}{${inside}}` : __name__;
}

/** One frame a series. */
function seriesFrames(target: Target, answer: Series[], step: number): DataFrame[] {
  return answer.map(({ metric, values }) => {
    const auto = !target.legendFormat || target.legendFormat === "__auto";
    const name = auto ? labelsText(metric) || target.expr : renderLegendFormat(target.legendFormat!, metric);
    // With the interval, components know where points are missing, and break the line there.
    const times = { name: "Time", type: FieldType.time, config: target.instant ? {} : { interval: step * 1000 } };
    return createDataFrame({
      refId: target.refId,
      fields: [
        { ...times, values: values.map(([seconds]) => seconds * 1000) },
        {
          name: "Value",
          type: FieldType.number,
          config: { displayNameFromDS: name },
          labels: metric,
          values: values.map(([, text]) => number(text)),
        },
      ],
    });
  });
}

/** One frame a target, with a column for each label. */
function tableFrame(target: Target, answer: Series[], alone: boolean): DataFrame[] {
  const rows = answer.flatMap(({ metric, values }) => values.map(([seconds, text]) => ({ metric, seconds, text })));
  if (rows.length === 0) {
    return [];
  }
  const labels = [...new Set(answer.flatMap(({ metric }) => Object.keys(metric)))].sort();
  const column = (name: string) => ({
    name,
    type: FieldType.string,
    config: { filterable: true },
    values: rows.map(({ metric }) => metric[name] ?? ""),
  });
  return [
    createDataFrame({
      refId: target.refId,
      fields: [
        { name: "Time", type: FieldType.time, config: {}, values: rows.map(({ seconds }) => seconds * 1000) },
        ...labels.map(column),
        {
          name: alone ? "Value" : `Value #${target.refId}`,
          type: FieldType.number,
          config: {},
          values: rows.map(({ text }) => number(text)),
        },
      ],
    }),
  ];
}

/** The frames of one target; `alone` if its panel has no other. */
export function frames(target: Target, answer: Series[], step: number, alone: boolean): DataFrame[] {
  return target.format === "table" ? tableFrame(target, answer, alone) : seriesFrames(target, answer, step);
}
