// The plots: lines and stacked areas over time, drawn as SVG, each with its figures as a table.

import { draw, hourAndMinute, make, mark, say, timeOfDay } from "/words.js";

const HEIGHT = 168;
const EDGE = { top: 10, right: 10, bottom: 24, left: 52 };
const TABLE_STEP = 60;
/** How many seconds lie between two times that are written below a plot, by how many it shows. */
const TIME_TICKS = [[600, 120], [1800, 300], [3600, 600]];

/** A plot of some columns of the series. */
export class Plot {
  /**
   * @param options.title what is plotted
   * @param options.unit what the values are, for the table
   * @param options.kind "stack" or "lines"
   * @param options.scale "linear", "log" or "part"
   * @param options.columns [{ name, tone, values(series) }], a value a step or null
   * @param options.format how a value is said
   * @param options.onPoint is told over which moment the pointer is, or null
   */
  constructor(options) {
    this.options = options;
    this.cursor = null;
    this.series = null;
    this.svg = draw("svg", { role: "img", height: HEIGHT, class: "plot" });
    this.note = make("p", { class: "plot-note" });
    this.legend = make("ul", { class: "legend" });
    this.values = options.columns.map((column) => this.#legendEntry(column));
    this.table = this.#details();
    const frame = make("div", { class: "plot-frame" }, this.svg, this.note);
    this.figure = make("figure", { class: "panel" }, make("figcaption", {}, options.title), this.legend, frame, this.table);
    this.svg.addEventListener("pointermove", (event) => this.#point(event));
    this.svg.addEventListener("pointerleave", () => options.onPoint(null));
    new ResizeObserver(() => this.render()).observe(frame);
  }

  #legendEntry(column) {
    const value = make("span", { class: "legend-value" });
    this.legend.append(make("li", {}, make("span", { class: "swatch", "data-tone": column.tone }), make("span", {}, column.name), value));
    return value;
  }

  #details() {
    const body = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${this.options.title}, as a table` });
    const details = make("details", { class: "figures" }, make("summary", {}, "Figures as a table"), body);
    details.addEventListener("toggle", () => this.#fillTable());
    this.tableBody = body;
    return details;
  }

  /** Takes in the series, from the moment that is shown first to the one that is shown last. */
  update(series, from, to) {
    this.series = series;
    this.from = from;
    this.to = to;
    this.columns = this.options.columns.map((column) => column.values(series));
    this.render();
    if (this.table.open && Math.floor(to / TABLE_STEP) !== this.tableMinute) this.#fillTable();
  }

  /** Shows the values of a step, or the latest ones. */
  point(index) {
    this.cursor = index;
    this.#say();
    this.#drawCursor();
  }

  render() {
    const width = this.svg.parentElement?.clientWidth ?? 0;
    if (!this.series || width === 0) return;
    this.width = width;
    mark(this.svg, "width", width);
    mark(this.svg, "viewBox", `0 0 ${width} ${HEIGHT}`);
    this.visible = this.series.at.flatMap((at, index) => (at >= this.from ? [index] : []));
    const layers = this.#layers();
    const scale = this.#scale(layers);
    const drawn = [this.#grid(scale)];
    if (this.options.kind === "stack") drawn.push(...this.#areas(layers, scale));
    else drawn.push(...this.#lines(layers, scale));
    this.cursorLine = draw("line", { class: "cursor", y1: EDGE.top, y2: HEIGHT - EDGE.bottom, visibility: "hidden" });
    this.svg.replaceChildren(...drawn, this.cursorLine);
    const hasValues = layers.some((layer) => layer.some((value) => value !== null && value > 0));
    say(this.note, hasValues ? "" : this.options.empty);
    mark(this.svg, "aria-label", this.#summary());
    this.#say();
    this.#drawCursor();
  }

  /** Returns the values of each column, each on top of the one before it if they are stacked. */
  #layers() {
    if (this.options.kind !== "stack") return this.columns.map((column) => this.visible.map((index) => column[index] ?? null));
    const below = this.visible.map(() => 0);
    return this.columns.map((column) => this.visible.map((index, place) => (below[place] += column[index] ?? 0)));
  }

  #x(at) {
    const inner = this.width - EDGE.left - EDGE.right;
    return EDGE.left + ((at - this.from) / (this.to - this.from)) * inner;
  }

  #scale(layers) {
    const inner = HEIGHT - EDGE.top - EDGE.bottom;
    const values = layers.flat().filter((value) => value !== null && value > 0);
    if (this.options.scale === "log") {
      const low = Math.floor(Math.log10(Math.min(...values, 1)));
      const high = Math.max(Math.ceil(Math.log10(Math.max(...values, 1))), low + 1);
      const every = Math.ceil((high - low) / 4);
      const ticks = [];
      for (let power = low; power <= high; power += every) ticks.push(10 ** power);
      const y = (value) => EDGE.top + inner * (1 - (Math.log10(Math.max(value, 10 ** low)) - low) / (high - low));
      return { y, ticks };
    }
    const most = this.options.scale === "part" ? 1 : niceAbove(Math.max(...values, this.options.least ?? 1));
    const y = (value) => EDGE.top + inner * (1 - value / most);
    return { y, ticks: [0, most / 2, most] };
  }

  #grid(scale) {
    const grid = draw("g", { class: "grid", "aria-hidden": "true" });
    for (const tick of scale.ticks) {
      const y = scale.y(tick);
      grid.append(draw("line", { x1: EDGE.left, x2: this.width - EDGE.right, y1: y, y2: y }));
      grid.append(draw("text", { x: EDGE.left - 8, y: y + 4, "text-anchor": "end" }, this.options.tick(tick)));
    }
    const every = (TIME_TICKS.find(([span]) => this.to - this.from <= span) ?? [0, 600])[1] * (this.width < 420 ? 2 : 1);
    for (let at = Math.ceil(this.from / every) * every; at <= this.to; at += every) {
      const x = this.#x(at);
      grid.append(draw("line", { x1: x, x2: x, y1: HEIGHT - EDGE.bottom, y2: HEIGHT - EDGE.bottom + 4 }));
      if (x < this.width - 24) grid.append(draw("text", { x, y: HEIGHT - 6, "text-anchor": "middle" }, hourAndMinute(at)));
    }
    return grid;
  }

  #areas(layers, scale) {
    const x = this.visible.map((index) => this.#x(this.series.at[index]).toFixed(1));
    return layers.map((layer, place) => {
      const top = layer.map((value, step) => `${x[step]},${scale.y(value).toFixed(1)}`);
      const under = (place > 0 ? layers[place - 1] : layer.map(() => 0)).map((value, step) => `${x[step]},${scale.y(value).toFixed(1)}`);
      const path = top.length > 1 ? `M${top.join("L")}L${under.reverse().join("L")}Z` : "";
      return draw("path", { class: "area", "data-tone": this.options.columns[place].tone, d: path });
    });
  }

  #lines(layers, scale) {
    return layers.map((layer, place) => {
      let path = "";
      let isOn = false;
      layer.forEach((value, step) => {
        if (value === null) {
          isOn = false;
          return;
        }
        const spot = `${this.#x(this.series.at[this.visible[step]]).toFixed(1)},${scale.y(value).toFixed(1)}`;
        // one value alone is a dot
        path += isOn ? `L${spot}` : `M${spot}h0`;
        isOn = true;
      });
      return draw("path", { class: "line", "data-tone": this.options.columns[place].tone, d: path });
    });
  }

  #drawCursor() {
    if (!this.cursorLine) return;
    const at = this.cursor === null ? undefined : this.series.at[this.cursor];
    const isShown = at !== undefined && at >= this.from;
    mark(this.cursorLine, "visibility", isShown ? "visible" : "hidden");
    if (isShown) {
      mark(this.cursorLine, "x1", this.#x(at));
      mark(this.cursorLine, "x2", this.#x(at));
    }
  }

  #say() {
    if (!this.series) return;
    const index = this.cursor ?? this.series.at.length - 1;
    this.columns.forEach((column, place) => say(this.values[place], this.options.format(column[index] ?? null)));
  }

  #summary() {
    const index = this.series.at.length - 1;
    const told = this.options.columns.map((column, place) => `${column.name} ${this.options.format(this.columns[place][index] ?? null)}`);
    return `${this.options.title}. Latest: ${told.join(", ")}. The figures are in the table below.`;
  }

  #point(event) {
    if (!this.series || this.visible.length === 0) return;
    const x = event.clientX - this.svg.getBoundingClientRect().left;
    const nearest = this.visible.reduce((best, index) =>
      Math.abs(this.#x(this.series.at[index]) - x) < Math.abs(this.#x(this.series.at[best]) - x) ? index : best);
    this.options.onPoint(nearest);
  }

  /** Writes a row a minute, the newest first, while the table is open. */
  #fillTable() {
    if (!this.table.open || !this.series) {
      this.tableBody.replaceChildren();
      return;
    }
    this.tableMinute = Math.floor(this.to / TABLE_STEP);
    const head = make("tr", {}, make("th", { scope: "col" }, "Until"), ...this.options.columns.map((column) => make("th", { scope: "col", class: "number" }, column.name)));
    const rows = [];
    for (let index = this.series.at.length - 1; index >= 0 && rows.length < 60; index -= TABLE_STEP / 5) {
      const cells = this.columns.map((column) => make("td", { class: "number" }, this.options.format(this.#average(column, index))));
      rows.push(make("tr", {}, make("th", { scope: "row" }, timeOfDay(this.series.at[index])), ...cells));
    }
    const caption = make("caption", {}, `${this.options.title}: ${this.options.unit}, by the minute`);
    this.tableBody.replaceChildren(make("table", {}, caption, make("thead", {}, head), make("tbody", {}, ...rows)));
  }

  #average(column, index) {
    const values = column.slice(Math.max(0, index - TABLE_STEP / 5 + 1), index + 1).filter((value) => value !== null);
    return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
  }
}

/** Returns a round number that is not below the value: 1, 2, 5, 10, 20, 50 … */
function niceAbove(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}
