// A sheet with a column for each token and a row for each thing that happens meanwhile: curves above maps, one cursor.
//
// A map is a picture of one pixel a cell, which the browser stretches; colours are laid over the background with some
// transparency, so that they are right on a light and on a dark page.

import {draw, make, visible} from "./dom.js";

const STRONGEST = 0.9;
const CELL = {narrowest: 15, widest: 60, high: 20}; // pixels
const LETTER = 8; // pixels of a letter, about

/** `tokens` name the columns. `pick(column)` is called where one is pointed at. */
export class Timeline {
  constructor(tokens, {pick = () => {}, widest = CELL.widest, caption}) {
    this.count = tokens.length;
    this.numbers = [];
    this.inner = make("div", {class: "sheet"});
    this.inner.style.setProperty("--of", this.count);
    this.inner.style.setProperty("--least", `${this.count * CELL.narrowest}px`);
    this.inner.style.setProperty("--most", `${this.count * widest}px`);
    this.element = make("div", {class: "timeline", role: "group", "aria-label": caption}, this.inner);
    this.pick = pick;
    this.tokens = tokens;
    this.first = null; // the plot that says where the columns are
  }

  /** Add a heading above what follows, with controls beside it. */
  title(text, ...controls) {
    this.inner.append(make("div", {class: "sheet-title"}, make("h3", {}, text), ...controls));
  }

  /** Add a map: `rows` are {name, values}. `most` is the value of the strongest colour, `unit` what values are. */
  map(rows, {most = 1, unit, named = true}) {
    const canvas = make("canvas", {width: this.count, height: rows.length, role: "img", "aria-label": unit});
    canvas.style.height = `${rows.length * CELL.high}px`;
    paint(canvas, rows.map((row) => row.values), most);
    canvas.addEventListener("mousemove", (event) => {
      const column = this.column(event, canvas);
      const row = Math.min(rows.length - 1, Math.floor(event.offsetY / CELL.high));
      canvas.title = `${rows[row].name}, ${visible(this.tokens[column])}: ${rows[row].values[column].toFixed(3)}`;
    });
    const names = rows.map((row) => {
      const value = make("output", {class: "value"});
      if (named) this.numbers.push([value, row.values]);
      return make("div", {class: "name"}, make("bdi", {}, visible(row.name)), ...(named ? [value] : []));
    });
    const plot = this.block(names, canvas, named ? "map" : "map by-row");
    plot.style.setProperty("--rows", rows.length);
    return plot;
  }

  /** Add curves over the columns: `lines` are {points: [[column, value or null]], colour}, `band` {low, high} alike. */
  curves(lines, {low, high, show, band = null, label}) {
    const up = (value) => 1 - (high > low ? (value - low) / (high - low) : 0.5);
    const path = (points) => {
      let text = "", pen = "M";
      for (const [column, value] of points) {
        if (value !== null) text += `${pen}${column + 0.5} ${up(value).toFixed(5)}`;
        pen = value === null ? "M" : "L";
      }
      return text;
    };
    const drawn = [draw("path", {class: "rule", d: `M0 0.5L${this.count} 0.5`})];
    if (band) {
      const around = [...band.high, ...band.low.toReversed()];
      drawn.push(draw("path", {class: `band colour-${band.colour}`, d: `${path(around)}Z`}));
    }
    for (const {points, colour} of lines) {
      // A line of one point would not be seen.
      const long = points.length > 1 ? points : [-0.3, 0.3].map((by) => [points[0][0] + by, points[0][1]]);
      drawn.push(draw("path", {class: `line colour-${colour}`, d: path(long)}));
    }
    this.plot(drawn, {low, high, show, label});
  }

  /** Add a bar for each column. */
  bars(values, {high, show, label}) {
    const drawn = values.map((value, column) => {
      const height = high ? value / high : 0;
      return draw("rect", {class: "peak", x: column + 0.12, width: 0.76, y: 1 - height, height});
    });
    this.plot(drawn, {low: 0, high, show, label});
  }

  plot(drawn, {low, high, show, label}) {
    const box = {viewBox: `0 0 ${this.count} 1`, preserveAspectRatio: "none", role: "img", "aria-label": label};
    const axis = [high, (low + high) / 2, low].map((value) => make("span", {}, show(value)));
    this.block([make("div", {class: "axis", "aria-hidden": "true"}, ...axis)], draw("svg", box, ...drawn), "curves");
  }

  block(names, drawn, kind) {
    const plot = make("div", {class: `plot ${kind}`}, drawn);
    plot.addEventListener("click", (event) => this.pick(this.column(event, plot)));
    this.inner.append(make("div", {class: `names ${kind}`}, ...names), plot);
    this.first ??= plot;
    return plot;
  }

  /** Add the names of the columns. */
  names() {
    const cells = this.tokens.map((token) => make("span", {}, make("bdi", {}, visible(token))));
    const row = make("div", {class: "tokens", "aria-hidden": "true"}, ...cells);
    const longest = Math.max(...this.tokens.map((token) => token.length));
    new ResizeObserver(([entry]) => {
      row.classList.toggle("upright", entry.contentRect.width / this.count > longest * LETTER + 4);
    }).observe(row);
    this.inner.append(make("div", {class: "names"}), row);
    this.cells = cells;
  }

  column(event, element) {
    const box = element.getBoundingClientRect();
    return Math.max(0, Math.min(this.count - 1, Math.floor(((event.clientX - box.left) / box.width) * this.count)));
  }

  /** Move the cursor to a column. */
  show(column) {
    this.inner.classList.add("stepped");
    this.inner.style.setProperty("--at", column);
    for (const [output, values] of this.numbers) output.value = plain(values[column]);
    this.cells?.forEach((cell, at) => cell.classList.toggle("now", at === column));
    const {offsetLeft: left, offsetWidth: width} = this.first;
    this.element.scrollLeft = left + ((column + 0.5) * width) / this.count - (this.element.clientWidth + left) / 2;
  }

  /** Mark a row of a map of rows, and show none of those below it. */
  showRow(plot, row) {
    this.inner.classList.add("stepped");
    plot.style.setProperty("--row", row);
    [...plot.previousElementSibling.children].forEach((name, at) => {
      name.classList.toggle("now", at === row);
      name.classList.toggle("later", at > row);
    });
  }
}

function plain(value) {
  return (value < 0 ? "\u2212" : "") + Math.abs(value).toFixed(2);
}

function paint(canvas, rows, most) {
  const across = canvas.width;
  const context = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const [above, below] = ["--for", "--against"].map((name) => style.getPropertyValue(name).split(",").map(Number));
  const picture = context.createImageData(across, rows.length);
  rows.forEach((values, row) => values.forEach((value, column) => {
    const share = Math.min(1, Math.abs(value) / (most || 1));
    picture.data.set([...(value < 0 ? below : above), 255 * STRONGEST * share], 4 * (row * across + column));
  }));
  context.putImageData(picture, 0, 0);
}
