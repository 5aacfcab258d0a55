// Numbers, times and elements: how things are said on the page.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const clockShort = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

/** What stands where there is nothing to tell. */
export const NOTHING = "–";

/** Returns three digits that matter: 0.25, 2.5, 25, 2,500. */
export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return NOTHING;
  if (value === 0) return "0";
  if (Math.abs(value) >= 100) return whole.format(value);
  return value.toLocaleString("en", { maximumSignificantDigits: Math.abs(value) >= 10 ? 3 : 2 });
}

export function count(value) {
  return whole.format(value);
}

export function percent(part) {
  if (part === null || part === undefined || Number.isNaN(part)) return NOTHING;
  const digits = part === 0 || part === 1 ? 0 : 1;
  return `${(part * 100).toFixed(digits)} %`;
}

export function millis(value) {
  if (value === null || value === undefined) return NOTHING;
  if (value >= 60_000) return `${number(value / 60_000)} min`;
  if (value >= 1_000) return `${number(value / 1_000)} s`;
  return `${number(value)} ms`;
}

/** Returns a span of time in its two largest units. */
export function duration(seconds) {
  const units = [[86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]];
  let left = Math.round(seconds);
  const parts = [];
  for (const [size, name] of units) {
    const many = Math.floor(left / size);
    left -= many * size;
    if (many > 0) parts.push(`${many} ${name}`);
  }
  return parts.slice(0, 2).join(" ") || "0 s";
}

export function timeOfDay(seconds) {
  return clock.format(new Date(seconds * 1000));
}

export function hourAndMinute(seconds) {
  return clockShort.format(new Date(seconds * 1000));
}

export function dayAndTime(seconds) {
  return day.format(new Date(seconds * 1000));
}

/** Returns a label of the gate in plain words: `would_refuse` is "would refuse". */
export function plain(label) {
  return label.replaceAll("_", " ");
}

/** Makes an element with text and attributes; whatever it is given stays text. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** Makes an element of SVG. */
export function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Sets a text only if it is another: what has not changed is not told again. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets or removes an attribute only if it is another. */
export function mark(element, name, value) {
  if (value === null || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== String(value)) {
    element.setAttribute(name, value);
  }
}
