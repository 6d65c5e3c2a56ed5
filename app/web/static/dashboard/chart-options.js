// @ts-check
/** What ECharts is told: bars of names, and lines over days. Text is drawn, never made into HTML. */

/**
 * @typedef {import("./palette.js").Palette} Palette
 *
 * @typedef {object} Series
 * @property {string} name
 * @property {(number | null)[]} values
 * @property {"first" | "second"} colour
 * @property {((index: number) => string)} [label] what stands at the end of a bar
 *
 * @typedef {object} Bars
 * @property {string[]} names
 * @property {string[]} [shortNames] where there is little room
 * @property {Series[]} series
 * @property {(value: number | null | undefined) => string} format
 * @property {boolean} [isCounted] the values are whole numbers
 * @property {boolean} [isStacked]
 * @property {number} [max]
 */

const NARROW = 560;
const ROW = 32;
const LINE = 17;
const LETTER = 7; // pixels of a letter, about
const MARGIN = 8;
const BAR_END = 56; // what stands at the end of a bar
const LEGEND = 34;
const AXIS = 34;

/** @param {number} width */
export function isNarrow(width) {
  return width < NARROW;
}

/**
 * The height that the bars want, in pixels.
 *
 * @param {Bars} bars
 */
export function barsHeight(bars) {
  const row = bars.series.length > 1 && !bars.isStacked ? ROW + 2 * LINE - 14 : ROW + 8;
  return bars.names.length * row + AXIS + (bars.series.length > 1 ? LEGEND : 0);
}

/**
 * Bars from left to right, a row a name, the first on top.
 *
 * @param {Bars} bars
 * @param {Palette} colours
 * @param {number} width
 */
export function barsOption(bars, colours, width) {
  const narrow = isNarrow(width);
  const names = narrow && bars.shortNames ? bars.shortNames : bars.names;
  const room = narrow ? Math.round(width * 0.34) : Math.max(220, Math.round(width * 0.3));
  return {
    ...common(colours, bars.series.length > 1, BAR_END),
    tooltip: tooltip(colours, bars.format, bars.names, "shadow"),
    xAxis: { ...valueAxis(colours, bars), max: bars.max, splitNumber: narrow ? 2 : 5 },
    yAxis: {
      ...categoryAxis(colours, names),
      inverse: true,
      axisLabel: {
        color: colours.ink,
        interval: 0,
        lineHeight: LINE,
        // A width is kept free whether it is needed or not.
        ...(Math.max(...names.map((name) => name.length)) * LETTER > room
          ? { width: room, overflow: bars.shortNames ? "truncate" : "break" }
          : {}),
      },
    },
    series: bars.series.map((one) => ({
      type: "bar",
      name: one.name,
      data: one.values,
      stack: bars.isStacked ? "all" : undefined,
      barMaxWidth: 18,
      barGap: "10%",
      itemStyle: { color: colours[one.colour] },
      label: one.label && { ...label(colours), formatter: (/** @type {any} */ at) => one.label?.(at.dataIndex) ?? "" },
    })),
  };
}

/**
 * Upright bars that touch: how often numbers fell between two.
 *
 * @param {Bars} bars
 * @param {Palette} colours
 */
export function columnsOption(bars, colours) {
  return {
    ...common(colours, false, 2 * MARGIN),
    tooltip: tooltip(colours, bars.format, bars.names, "shadow"),
    xAxis: { ...categoryAxis(colours, bars.names), axisLabel: { color: colours.ink, hideOverlap: true } },
    yAxis: { ...valueAxis(colours, bars), splitNumber: 3 },
    series: bars.series.map((one) => ({
      type: "bar",
      name: one.name,
      data: one.values,
      barCategoryGap: "8%",
      itemStyle: { color: colours[one.colour] },
    })),
  };
}

/**
 * Lines over days; the second one is dashed and has other marks, for eyes that take the colours for one.
 *
 * @param {Bars} lines
 * @param {Palette} colours
 */
export function linesOption(lines, colours) {
  return {
    ...common(colours, true, 2 * MARGIN),
    tooltip: tooltip(colours, lines.format, lines.names, "line"),
    xAxis: {
      ...categoryAxis(colours, lines.names),
      boundaryGap: lines.names.length === 1,
      axisLabel: { color: colours.ink, hideOverlap: true, formatter: (/** @type {string} */ day) => dayName(day) },
    },
    yAxis: { ...valueAxis(colours, lines), splitNumber: 4 },
    series: lines.series.map((one, index) => ({
      type: "line",
      name: one.name,
      data: one.values,
      symbol: index === 0 ? "circle" : "diamond",
      symbolSize: index === 0 ? 6 : 8,
      showSymbol: lines.names.length <= 45,
      lineStyle: { width: 2.5, type: index === 0 ? "solid" : "dashed" },
      itemStyle: { color: colours[one.colour] },
    })),
  };
}

const DAY = new Intl.DateTimeFormat("en", { day: "numeric", month: "short", timeZone: "UTC" });

/** @param {string} day */
function dayName(day) {
  return DAY.format(new Date(`${day}T00:00:00Z`));
}

/**
 * @param {Palette} colours
 * @param {boolean} hasLegend
 * @param {number} right margin in pixels
 */
function common(colours, hasLegend, right) {
  return {
    textStyle: { fontFamily: colours.font, fontSize: 13, color: colours.ink },
    legend: hasLegend
      ? { top: 0, left: MARGIN, itemGap: 18, textStyle: { color: colours.ink, fontSize: 13 }, selectedMode: false }
      : undefined,
    grid: {
      left: MARGIN,
      right,
      top: hasLegend ? LEGEND : MARGIN,
      bottom: MARGIN,
      outerBoundsMode: "same",
      outerBoundsContain: "axisLabel",
    },
  };
}

/**
 * @param {Palette} colours
 * @param {(value: number | null | undefined) => string} format
 * @param {string[]} names
 * @param {"shadow" | "line"} pointer
 */
function tooltip(colours, format, names, pointer) {
  return {
    trigger: "axis",
    renderMode: "richText",
    axisPointer: { type: pointer },
    backgroundColor: colours.card,
    borderColor: colours.line,
    borderWidth: 1,
    textStyle: { color: colours.ink, fontSize: 13, width: 260, overflow: "break" },
    formatter: (/** @type {any[]} */ at) =>
      [names[at[0].dataIndex], ...at.map((one) => `${one.seriesName}: ${format(one.value)}`)].join("\n"),
  };
}

/** @param {Palette} colours */
function label(colours) {
  return { show: true, position: "right", color: colours.ink, fontSize: 12 };
}

/**
 * @param {Palette} colours
 * @param {string[]} names
 */
function categoryAxis(colours, names) {
  return {
    type: "category",
    data: names,
    axisTick: { show: false },
    axisLine: { lineStyle: { color: colours.soft } },
  };
}

/**
 * @param {Palette} colours
 * @param {Bars} bars
 */
function valueAxis(colours, { format, isCounted }) {
  return {
    type: "value",
    min: 0,
    minInterval: isCounted ? 1 : undefined,
    axisLabel: { color: colours.soft, formatter: format, hideOverlap: true },
    splitLine: { lineStyle: { color: colours.line } },
  };
}
