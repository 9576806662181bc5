// The chart: each request is a row of bars in time. Rows are used again from the top when the last one is reached.

const SVG = "http://www.w3.org/2000/svg";
const TOP = 44, BOTTOM = 20, LEFT = 14, RIGHT = 16, ROW = 13, BAR = 8;
const RIBBON = 4;  // the height of the line of a circuit that is not closed
const IDLE_S = 60;  // the visible time when no incident plays

export class Chart {
  constructor(svg, choose) {
    this.svg = svg;
    this.choose = choose;
    this.layers = ["grid-layer", "band-layer", "request-layer", "mark-layer"].map(() => svg.appendChild(make("g")));
    this.now = svg.appendChild(make("line", { class: "now" }));
    svg.addEventListener("keydown", (pressed) => this.move(pressed));
    new ResizeObserver(() => this.reset()).observe(svg);
    this.begin(null);
  }

  begin(play) {
    this.play = play;
    this.requests = [];
    this.states = new Map();  // of circuits and of Redis: their changes, by name
    this.from = 0;
    this.span = play ? play.lasts_s * 1.04 + 0.5 : IDLE_S;
    this.isOver = play === null;
    this.layers.forEach((layer) => layer.replaceChildren());
    this.reset();
  }

  // The size has changed: everything gets a new place.
  reset() {
    this.width = this.svg.clientWidth;
    this.height = this.svg.clientHeight;
    this.rows = Math.max(6, Math.floor((this.height - TOP - BOTTOM) / ROW));
    this.busyUntil = new Array(this.rows).fill(-Infinity);
    this.next = 0;
    for (const request of this.requests) request.row = this.rowFor(request);
    this.isStale = true;
  }

  add(request) {
    request.row = this.rowFor(request);
    request.group = this.layers[2].appendChild(make("g", { class: "request", role: "button", tabindex: this.requests.length ? -1 : 0 }));
    request.group.addEventListener("click", () => this.choose(request));
    request.group.dataset.id = request.id;
    this.requests.push(request);
  }

  // A circuit has another state. An empty state is the usual one, and is not drawn.
  turn(name, at, state, text) {
    if (!this.states.has(name)) this.states.set(name, []);
    this.states.get(name).push({ at, state, text });
    this.isStale = true;
  }

  // The next row downwards that is free; if none is free, the next one.
  rowFor(request) {
    for (let step = 0; step < this.rows; step++) {
      const row = (this.next + step) % this.rows;
      if (this.busyUntil[row] <= request.at) return this.take(row, request);
    }
    return this.take(this.next, request);
  }

  take(row, request) {
    this.next = (row + 1) % this.rows;
    this.busyUntil[row] = request.end ?? Infinity;
    return row;
  }

  release(request) {
    this.busyUntil[request.row] = request.end;
  }

  draw(now) {
    this.follow(now);
    if (this.isStale) this.frame();
    for (const request of this.requests) {
      if (this.isStale || request.isDirty || request.end === null) this.drawRequest(request, now);
    }
    this.isStale = false;
    this.layers[3].replaceChildren(...this.ribbons(now));
    place(this.now, { x1: this.x(now), x2: this.x(now), y1: TOP - 4, y2: this.height - BOTTOM });
  }

  // A play grows with its open requests. Later requests move the window.
  follow(now) {
    const newest = this.requests.length ? Math.max(...this.requests.slice(-50).map((each) => each.end ?? now)) : 0;
    if (newest <= this.from + this.span) return;
    if (this.isOver) this.from = newest - this.span * 0.9;
    else this.span = (newest - this.from) * 1.05;
    this.isStale = true;
  }

  x(at) {
    return LEFT + ((at - this.from) / this.span) * (this.width - LEFT - RIGHT);
  }

  frame() {
    this.layers[0].replaceChildren(...this.gridLines());
    this.layers[1].replaceChildren(...this.bands());
  }

  *gridLines() {
    const step = [1, 2, 5, 10, 20, 60].find((each) => this.span / each <= 14) ?? 120;
    for (let at = Math.ceil(this.from / step) * step; at <= this.from + this.span; at += step) {
      const x = this.x(at);
      yield make("line", { class: "grid", x1: x, x2: x, y1: TOP - 4, y2: this.height - BOTTOM });
      yield make("text", { x, y: this.height - 6, "text-anchor": "middle" }, `${at} s`);
    }
  }

  *bands() {
    const changes = this.play?.changes ?? [];
    for (const [index, change] of changes.entries()) {
      if (!change.what) continue;
      const [left, right] = [this.x(change.at_s), this.x(changes[index + 1]?.at_s ?? this.play.lasts_s)];
      yield make("rect", { class: "band", x: left, y: TOP - 4, width: Math.max(0, right - left), height: this.height - TOP - BOTTOM + 4 });
      yield make("line", { class: "band-edge", x1: left, x2: right, y1: TOP - 4, y2: TOP - 4 });
      yield make("text", { class: "what", x: left, y: 10 }, change.what);
    }
  }

  // A line for each circuit, while it is not closed. The first state of an outage has a label.
  *ribbons(now) {
    let top = TOP - 17, labelled = -Infinity;
    for (const changes of this.states.values()) {
      for (const [index, { at, state, text }] of changes.entries()) {
        if (!state) continue;
        const left = this.x(at), right = this.x(changes[index + 1]?.at ?? now);
        yield make("rect", { class: `ribbon ${state}`, x: left, y: top, width: Math.max(2, right - left), height: RIBBON, rx: 2 });
        if (changes[index - 1]?.state || left < labelled) continue;
        labelled = left + text.length * 6;
        yield make("text", { x: left, y: TOP - 21 }, text);
      }
      top += RIBBON + 2;
    }
  }

  drawRequest(request, now) {
    const y = TOP + request.row * ROW, middle = y + ROW / 2;
    const left = this.x(request.at), right = Math.max(left + 4, this.x(request.end ?? now));
    const parts = [
      make("rect", { class: "hit", x: left - 3, y, width: right - left + 6, height: ROW, rx: 3 }),
      make("rect", { class: "wait", x: left, y: middle - 1, width: right - left, height: 2 }),
    ];
    for (const attempt of request.attempts) parts.push(...this.bars(attempt, middle, now, request));
    if (request.saved && request.end !== null) {
      parts.push(make("rect", { class: "saved", x: left, y: middle - BAR / 2, width: right - left, height: BAR, rx: 2 }));
    }
    if (request.end !== null && request.ending !== "whole") {
      parts.push(make("rect", { class: "failed", x: right - 1.5, y: middle - 5.5, width: 3, height: 11, rx: 1 }));
    }
    request.group.replaceChildren(...parts);
    request.group.setAttribute("aria-label", request.label());
    request.isDirty = false;
  }

  *bars(attempt, middle, now, request) {
    const left = this.x(attempt.at), right = Math.max(left + 4, this.x(attempt.end ?? now));
    const [y, height] = lane(attempt, request, middle - BAR / 2, BAR);
    yield make("rect", { class: classes(attempt), x: left, y, width: right - left, height, rx: 1.5 });
    if (hasFailed(attempt, request)) yield make("rect", { class: "failed", x: right - 1.5, y, width: 1.5, height });
  }

  highlight(chosen) {
    for (const request of this.requests) request.group.classList.toggle("chosen", request === chosen);
  }

  move(pressed) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[pressed.key];
    const index = this.requests.findIndex((each) => each.group === document.activeElement);
    if (index < 0) return;
    if (pressed.key === "Enter" || pressed.key === " ") this.choose(this.requests[index]);
    else if (step) (this.requests[index + step] ?? this.requests[index]).group.focus();
    else return;
    pressed.preventDefault();
  }
}

// A hedge and the attempt beside it share the height of the row.
function lane(attempt, request, top, height) {
  if (!request.attempts.some((other) => other.as === "hedge")) return [top, height];
  return attempt.as === "hedge" ? [top + height / 2 + 0.5, height / 2 - 0.5] : [top, height / 2 - 0.5];
}

function classes(attempt) {
  return `attempt ${attempt.as}${attempt.end !== null && attempt.ending !== "whole" ? " bad" : ""}`;
}

// The loser of a hedge is cancelled: that is no failure.
function hasFailed(attempt, request) {
  if (attempt.end === null || attempt.ending === "whole") return false;
  return attempt.status !== 0 || !request.attempts.some((other) => other.ending === "whole" && other.end <= attempt.end + 0.2);
}

// The chosen request, as wide as the panel: its attempts and the waits between them, with their times.
export function zoom(svg, request, now) {
  const end = request.end ?? now, width = svg.clientWidth, span = Math.max(end - request.at, 0.001);
  const x = (at) => ((at - request.at) / span) * (width - 2) + 1;
  const parts = [make("rect", { class: "wait", x: 1, y: 9, width: width - 2, height: 2 })];
  let free = width;  // labels go from the last attempt back; one without a place is left out
  for (const attempt of [...request.attempts].reverse()) {
    const left = x(attempt.at), right = Math.max(left + 3, x(attempt.end ?? now));
    const [y, height] = lane(attempt, request, 3, 14);
    parts.push(make("rect", { class: classes(attempt), x: left, y, width: right - left, height, rx: 2 }));
    if (hasFailed(attempt, request)) parts.push(make("rect", { class: "failed", x: right - 2, y, width: 2.5, height, rx: 1 }));
    const text = `${attempt.provider} ${attempt.status || (attempt.end === null ? "" : "no answer")}`;
    const from = Math.min(left, width - text.length * 6);
    if (from + text.length * 6 > free) continue;
    free = from - 6;
    parts.push(make("text", { x: from, y: 28 }, text));
  }
  if (request.saved) parts.push(make("rect", { class: "saved", x: 1, y: 4, width: width - 2, height: 12, rx: 2 }));
  svg.replaceChildren(...parts);
}

function make(name, attributes = {}, text = "") {
  const element = place(document.createElementNS(SVG, name), attributes);
  if (text) element.textContent = text;
  return element;
}

function place(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, typeof value === "number" ? Math.round(value * 100) / 100 : value);
  }
  return element;
}
