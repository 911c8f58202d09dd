// Panels by type, drawn by the components that Grafana's own panels are made of. What is between a panel and its
// component (which values, in which places) is in Grafana's server part; it is done again here, as little as will do.
import {
  DataFrame,
  FieldDisplay,
  GrafanaTheme2,
  TimeRange,
  VizOrientation,
  getDisplayValueAlignmentFactors,
  getFieldDisplayValues,
} from "@grafana/data";
import { BarGauge, BigValue, Table, TimeSeries, VizRepeater } from "@grafana/ui";
import React from "react";

export interface PanelProps {
  panel: any;
  data: DataFrame[];
  range: TimeRange;
  theme: GrafanaTheme2;
  width: number;
  height: number;
}

/** In place of a panel's data, as Grafana says it. */
function Message({ text }: { text: string }) {
  const style = { display: "flex", height: "100%", alignItems: "center", justifyContent: "center" };
  return <div style={style}>{text}</div>;
}

function Graph({ panel, data, range, width, height }: PanelProps) {
  const { legend } = panel.options;
  return (
    <TimeSeries frames={data} timeRange={range} timeZone="browser" width={width} height={height} legend={legend} />
  );
}

function displayValues({ panel, data, theme }: PanelProps): FieldDisplay[] {
  const { fieldConfig, options } = panel;
  const replaceVariables = (text: string) => text;
  return getFieldDisplayValues({ fieldConfig, reduceOptions: options.reduceOptions, replaceVariables, theme, data });
}

/** The value without its name where it is the only one and its panel's title says enough. */
function unnamed(count: number, { display }: FieldDisplay) {
  return count === 1 && !display.title ? { ...display, title: undefined } : display;
}

function Stat(props: PanelProps) {
  const { options } = props.panel;
  return (
    <VizRepeater
      getValues={() => displayValues(props)}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={({ value, width, height, count, alignmentFactors }) => (
        <BigValue
          value={unnamed(count, value)}
          count={count}
          colorMode={options.colorMode}
          graphMode={options.graphMode}
          justifyMode={options.justifyMode}
          textMode={options.textMode}
          alignmentFactors={alignmentFactors}
          text={options.text}
          width={width}
          height={height}
          theme={props.theme}
        />
      )}
      source={props.data}
      width={props.width}
      height={props.height}
      renderCounter={1}
      autoGrid={true}
      orientation={options.orientation}
    />
  );
}

function Bars(props: PanelProps) {
  const { options } = props.panel;
  return (
    <VizRepeater
      getValues={() => displayValues(props)}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={({ value, width, height, count, orientation, alignmentFactors }) => (
        <BarGauge
          value={unnamed(count, value)}
          field={value.field}
          display={value.view?.getFieldDisplayProcessor(value.colIndex!)}
          orientation={orientation}
          displayMode={options.displayMode}
          valueDisplayMode={options.valueMode}
          namePlacement={options.namePlacement}
          showUnfilled={options.showUnfilled}
          alignmentFactors={count > 1 ? alignmentFactors : undefined}
          itemSpacing={10}
          lcdCellWidth={12}
          isOverflow={count * options.minVizHeight > props.height}
          width={width}
          height={height}
          theme={props.theme}
        />
      )}
      source={props.data}
      width={props.width}
      height={props.height}
      renderCounter={1}
      itemSpacing={10}
      minVizWidth={options.minVizWidth}
      minVizHeight={options.minVizHeight}
      maxVizHeight={options.maxVizHeight}
      orientation={options.orientation ?? VizOrientation.Auto}
    />
  );
}

function Rows({ panel, data, range, width, height }: PanelProps) {
  const { sortBy, cellHeight, showHeader } = panel.options;
  return (
    <Table
      data={data[0]}
      width={width}
      height={height}
      noHeader={!showHeader}
      initialSortBy={sortBy}
      cellHeight={cellHeight}
      timeRange={range}
      fieldConfig={panel.fieldConfig}
    />
  );
}

// Types for which @grafana/ui has a component.
const DRAWN: Record<string, React.FC<PanelProps>> = { timeseries: Graph, stat: Stat, bargauge: Bars, table: Rows };

export const isDrawn = (type: string) => type in DRAWN;

/** The inside of a panel. */
export function Inside(props: PanelProps) {
  const { type, fieldConfig } = props.panel;
  if (!isDrawn(type)) {
    return <Message text={`not drawn here: @grafana/ui has no component for ${type}`} />;
  }
  if (!props.data.some((frame) => frame.length > 0)) {
    return <Message text={fieldConfig.defaults.noValue ?? "No data"} />;
  }
  return React.createElement(DRAWN[type], props);
}
