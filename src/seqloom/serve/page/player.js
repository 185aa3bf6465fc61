// Steps through what was seen, by buttons, a slider, keys, or by itself.

import {button, choice, make} from "./dom.js";

const STEP = 450, WHOLE = 9000; // milliseconds: of a step, and at most of them all
const SPEEDS = {slow: 2.5, normal: 1, fast: 0.4};
const KEYS = {ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity};
const TAKES_KEYS = "input, textarea, select, button, a, summary, [contenteditable]";

export class Player {
  constructor() {
    this.steps = 0;
    this.step = 1;
    this.speed = "normal";
    this.timer = null;
    this.slider = make("input", {type: "range", min: 1, step: 1, id: "step", "aria-label": "Step"});
    this.slider.addEventListener("input", () => this.go(Number(this.slider.value)));
    this.toggle = button("", () => this.playing ? this.pause() : this.play(), {class: "play"});
    this.count = make("span", {class: "count"});
    this.live = make("p", {class: "unseen", role: "status", "aria-live": "polite"});
    const move = (by, mark, label) => button(mark, () => this.go(this.step + by), {"aria-label": label, title: label});
    this.element = make("div", {class: "player", role: "group", "aria-label": "Steps"},
      move(-Infinity, "\u00ab", "First step (Home)"), move(-1, "\u2039", "Step back (left arrow)"),
      this.toggle, move(1, "\u203a", "Step on (right arrow)"), move(Infinity, "\u00bb", "Last step (End)"),
      this.slider, this.count, choice("Speed", Object.keys(SPEEDS), this.speed, (speed) => {
        this.speed = speed;
        if (this.playing) this.play();
      }), this.live);
    document.addEventListener("keydown", (event) => this.key(event));
    this.named();
  }

  get playing() {
    return this.timer !== null;
  }

  /** Begin anew with so many steps: play them, or where motion is not wanted show the last. `show` is told each step,
   * from 1; what it returns is said to those who do not see it. */
  load(steps, show) {
    this.pause();
    this.steps = steps;
    this.show = show;
    this.element.hidden = steps < 2;
    this.slider.max = steps;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.go(still ? steps : 1);
    if (!still && steps > 1) this.play();
  }

  go(step, {alone = false} = {}) {
    if (!alone) this.pause();
    this.step = Math.max(1, Math.min(this.steps, step));
    this.slider.value = this.step;
    this.count.textContent = `${this.step} / ${this.steps}`;
    const said = this.show(this.step);
    this.slider.setAttribute("aria-valuetext", said);
    if (!this.playing) this.live.textContent = said;
  }

  play() {
    clearInterval(this.timer);
    if (this.step >= this.steps) this.go(1);
    const pace = SPEEDS[this.speed] * Math.min(STEP, WHOLE / this.steps);
    this.timer = setInterval(() => {
      if (this.step + 1 >= this.steps) this.pause();
      this.go(this.step + 1, {alone: true});
    }, pace);
    this.named();
  }

  pause() {
    clearInterval(this.timer);
    this.timer = null;
    this.named();
  }

  named() {
    this.toggle.textContent = this.playing ? "Pause" : "Play";
    this.toggle.title = "Space";
  }

  key(event) {
    const elsewhere = event.target instanceof Element && event.target.closest(TAKES_KEYS);
    if (elsewhere || event.ctrlKey || event.altKey || event.metaKey || !this.element.offsetParent) return;
    if (event.key in KEYS) this.go(this.step + KEYS[event.key]);
    else if (event.key === " ") this.toggle.click();
    else return;
    event.preventDefault();
  }
}
