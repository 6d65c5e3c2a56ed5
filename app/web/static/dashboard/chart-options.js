// @ts-check
/** ECharts options for bars, columns and lines, and the style sheet's colours for them. */

/**
 * @typedef {object} Palette
 * @property {string} ink
 * @property {string} soft
 * @property {string} line
 * @property {string} card
 * @property {string} first colour of the first series
 * @property {string} second
 * @property {string} font
 *
 * @typedef {object} Series
 * @property {string} name
 * @property {(number | null)[]} values
 * @property {"first" | "second"} colour
 * @property {((index: number) => string)} [label] at the end of a bar
 *
 * @typedef {object} ChartData
 * @property {string[]} names of the categories
 * @property {string[]} [shortNames] for narrow charts
 * @property {Series[]} series
 * @property {(value: number | null | undefined) => string} format
 * @property {boolean} [isInteger] the values are whole numbers
 * @property {boolean} [isStacked]
 * @property {number} [max]
 */

// All sizes are in pixels.
const NARROW_WIDTH = 560;
const ROW_HEIGHT = 32;
const LINE_HEIGHT = 17;
const LETTER_WIDTH = 7; // about
const MARGIN = 8;
const BAR_LABEL_WIDTH = 56;
const LEGEND_HEIGHT = 34;
const AXIS_HEIGHT = 34;
const DAY = new Intl.DateTimeFormat("en", { day: "numeric", month: "short", timeZone: "UTC" });
const DARK = matchMedia("(prefers-color-scheme: dark)");
const REDUCED_MOTION = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * Return the style sheet's colours, for the present colour scheme.
 *
 * @returns {Palette}
 */
export function readPalette() {
  const style = getComputedStyle(document.documentElement);
  const read = (/** @type {string} */ name) => style.getPropertyValue(`--${name}`).trim();
  return {
    ink: read("ink"),
    soft: read("soft"),
    line: read("line"),
    card: read("card"),
    first: read("first-series"),
    second: read("second-series"),
    font: getComputedStyle(document.body).fontFamily,
  };
}

/** @param {() => void} listener called when the colour scheme changes */
export function onPaletteChange(listener) {
  DARK.addEventListener("change", listener);
}

export function prefersReducedMotion() {
  return REDUCED_MOTION.matches;
}

/**
 * Return the height of a bar chart in pixels.
 *
 * @param {ChartData} data
 */
export function barsHeight(data) {
  const hasSeveral = data.series.length > 1;
  const row = hasSeveral && !data.isStacked ? ROW_HEIGHT + 2 * LINE_HEIGHT - 14 : ROW_HEIGHT + 8;
  return data.names.length * row + AXIS_HEIGHT + (hasSeveral ? LEGEND_HEIGHT : 0);
}

/**
 * Horizontal bars, the first category on top.
 *
 * @param {ChartData} data
 * @param {Palette} palette
 * @param {number} width
 */
export function barsOption(data, palette, width) {
  const isNarrow = width < NARROW_WIDTH;
  const names = isNarrow && data.shortNames ? data.shortNames : data.names;
  const labelWidth = isNarrow ? Math.round(width * 0.34) : Math.max(220, Math.round(width * 0.3));
  const isTooLong = Math.max(...names.map((name) => name.length)) * LETTER_WIDTH > labelWidth;
  return {
    ...commonOption(palette, data.series.length > 1, BAR_LABEL_WIDTH),
    tooltip: tooltip(palette, data.format, data.names, "shadow"),
    xAxis: { ...valueAxis(palette, data), max: data.max, splitNumber: isNarrow ? 2 : 5 },
    yAxis: {
      ...categoryAxis(palette, names),
      inverse: true,
      axisLabel: {
        color: palette.ink,
        interval: 0,
        lineHeight: LINE_HEIGHT,
        // ECharts reserves a width even where labels are shorter.
        ...(isTooLong ? { width: labelWidth, overflow: data.shortNames ? "truncate" : "break" } : {}),
      },
    },
    series: data.series.map((series) => ({
      type: "bar",
      name: series.name,
      data: series.values,
      stack: data.isStacked ? "all" : undefined,
      barMaxWidth: 18,
      barGap: "10%",
      itemStyle: { color: palette[series.colour] },
      label: series.label && {
        ...barLabel(palette),
        formatter: (/** @type {any} */ point) => series.label?.(point.dataIndex) ?? "",
      },
    })),
  };
}

/**
 * Vertical bars without gaps: a histogram.
 *
 * @param {ChartData} data
 * @param {Palette} palette
 */
export function columnsOption(data, palette) {
  return {
    ...commonOption(palette, false, 2 * MARGIN),
    tooltip: tooltip(palette, data.format, data.names, "shadow"),
    xAxis: { ...categoryAxis(palette, data.names), axisLabel: { color: palette.ink, hideOverlap: true } },
    yAxis: { ...valueAxis(palette, data), splitNumber: 3 },
    series: data.series.map((series) => ({
      type: "bar",
      name: series.name,
      data: series.values,
      barCategoryGap: "8%",
      itemStyle: { color: palette[series.colour] },
    })),
  };
}

/**
 * Lines over days. The second is dashed with other symbols, so that colour is not the only difference.
 *
 * @param {ChartData} data
 * @param {Palette} palette
 */
export function linesOption(data, palette) {
  return {
    ...commonOption(palette, true, 2 * MARGIN),
    tooltip: tooltip(palette, data.format, data.names, "line"),
    xAxis: {
      ...categoryAxis(palette, data.names),
      boundaryGap: data.names.length === 1,
      axisLabel: { color: palette.ink, hideOverlap: true, formatter: formatDay },
    },
    yAxis: { ...valueAxis(palette, data), splitNumber: 4 },
    series: data.series.map((series, index) => ({
      type: "line",
      name: series.name,
      data: series.values,
      symbol: index === 0 ? "circle" : "diamond",
      symbolSize: index === 0 ? 6 : 8,
      showSymbol: data.names.length <= 45,
      lineStyle: { width: 2.5, type: index === 0 ? "solid" : "dashed" },
      itemStyle: { color: palette[series.colour] },
    })),
  };
}

/** @param {string} day YYYY-MM-DD */
function formatDay(day) {
  return DAY.format(new Date(`${day}T00:00:00Z`));
}

/**
 * @param {Palette} palette
 * @param {boolean} hasLegend
 * @param {number} right margin
 */
function commonOption(palette, hasLegend, right) {
  return {
    textStyle: { fontFamily: palette.font, fontSize: 13, color: palette.ink },
    legend: hasLegend
      ? { top: 0, left: MARGIN, itemGap: 18, textStyle: { color: palette.ink, fontSize: 13 }, selectedMode: false }
      : undefined,
    grid: {
      left: MARGIN,
      right,
      top: hasLegend ? LEGEND_HEIGHT : MARGIN,
      bottom: MARGIN,
      outerBoundsMode: "same",
      outerBoundsContain: "axisLabel",
    },
  };
}

/**
 * Rich text is drawn on the canvas: HTML tooltips need inline styles, which the Content-Security-Policy forbids.
 *
 * @param {Palette} palette
 * @param {(value: number | null | undefined) => string} format
 * @param {string[]} names
 * @param {"shadow" | "line"} pointer
 */
function tooltip(palette, format, names, pointer) {
  return {
    trigger: "axis",
    renderMode: "richText",
    axisPointer: { type: pointer },
    backgroundColor: palette.card,
    borderColor: palette.line,
    borderWidth: 1,
    textStyle: { color: palette.ink, fontSize: 13, width: 260, overflow: "break" },
    formatter: (/** @type {any[]} */ points) =>
      [names[points[0].dataIndex], ...points.map((point) => `${point.seriesName}: ${format(point.value)}`)].join("\n"),
  };
}

/** @param {Palette} palette */
function barLabel(palette) {
  return { show: true, position: "right", color: palette.ink, fontSize: 12 };
}

/**
 * @param {Palette} palette
 * @param {string[]} names
 */
function categoryAxis(palette, names) {
  return {
    type: "category",
    data: names,
    axisTick: { show: false },
    axisLine: { lineStyle: { color: palette.soft } },
  };
}

/**
 * @param {Palette} palette
 * @param {ChartData} data
 */
function valueAxis(palette, { format, isInteger }) {
  return {
    type: "value",
    min: 0,
    minInterval: isInteger ? 1 : undefined,
    axisLabel: { color: palette.soft, formatter: format, hideOverlap: true },
    splitLine: { lineStyle: { color: palette.line } },
  };
}
