// Transformations and field configuration: what happens in Grafana between the data source and a panel.
import {
  DataFrame,
  FieldConfigOptionsRegistry,
  FieldConfigSource,
  GrafanaTheme2,
  applyFieldOverrides,
  identityOverrideProcessor,
  standardTransformers,
  standardTransformersRegistry,
  transformDataFrame,
} from "@grafana/data";
import { cloneDeep } from "lodash";
import { lastValueFrom } from "rxjs";

// Some have two names in the list.
standardTransformersRegistry.setInit(() =>
  [...new Set(Object.values(standardTransformers))].map((transformation: any) => ({
    id: transformation.id,
    name: transformation.name,
    transformation,
    editor: () => null,
  }))
);

// Properties that any field may have. Their list is in Grafana's server part, which is not on npm.
const STANDARD = ["unit", "min", "max", "decimals", "displayName", "color"];
STANDARD.push("noValue", "mappings", "thresholds", "links");

/** A registry of the standard properties, and of those custom ones that the panel gives. */
function registry(source: FieldConfigSource): FieldConfigOptionsRegistry {
  const overridden = source.overrides.flatMap(({ properties }) => properties.map(({ id }) => id));
  const custom = new Set([
    ...Object.keys(source.defaults.custom ?? {}),
    ...overridden.filter((id) => id.startsWith("custom.")).map((id) => id.slice("custom.".length)),
  ]);
  const unknown = overridden.filter((id) => !id.startsWith("custom.") && !STANDARD.includes(id));
  if (unknown.length > 0) {
    throw new Error(`unknown property ${unknown[0]} in an override`);
  }
  const item = (path: string, isCustom: boolean): any => ({
    id: isCustom ? `custom.${path}` : path,
    path,
    name: path,
    isCustom,
    process: identityOverrideProcessor,
    shouldApply: () => true,
    override: () => null,
    editor: () => null,
  });
  return new FieldConfigOptionsRegistry(() => [
    ...STANDARD.map((path) => item(path, false)),
    ...[...custom].map((path) => item(path, true)),
  ]);
}

/** JSON has no infinity: the first threshold is null there, and means everything below the second. */
function withInfinity(source: FieldConfigSource): FieldConfigSource {
  const copy = cloneDeep(source);
  const properties = copy.overrides.flatMap((override) => override.properties);
  const given = properties.filter(({ id }) => id === "thresholds").map(({ value }) => value);
  for (const thresholds of [copy.defaults.thresholds, ...given]) {
    thresholds?.steps.forEach((step: any) => (step.value = step.value ?? -Infinity));
  }
  return copy;
}

/** The frames as the panel is to draw them. */
export async function prepare(panel: any, data: DataFrame[], theme: GrafanaTheme2): Promise<DataFrame[]> {
  for (const { id } of panel.transformations ?? []) {
    standardTransformersRegistry.get(id);
  }
  const transformed = await lastValueFrom(transformDataFrame(panel.transformations ?? [], data));
  const fieldConfig = withInfinity(panel.fieldConfig);
  return applyFieldOverrides({
    data: transformed,
    fieldConfig,
    fieldConfigRegistry: registry(fieldConfig),
    replaceVariables: (text) => text,
    theme,
    timeZone: "browser",
  });
}
