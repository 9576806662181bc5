// The page: reads the events of the lab, and keeps the requests of the current play.

import { Chart, zoom } from "./draw.js";

const find = (id) => document.getElementById(id);
const HIDDEN = new Set(["timestamp", "level", "event", "logger", "request_id", "client", "exception", "provider_request_id"]);

const chart = new Chart(find("chart"), choose);
let requests = new Map();
let calls = 0, playing = null, chosen = null, speed = 1, base = { at: 0, real: performance.now() };

class Request {
  constructor(event) {
    this.id = event.id;
    this.at = event.at;
    this.end = null;
    this.status = 0;
    this.ending = "";
    this.client = "";
    this.attempts = [];
    this.lines = [];
    this.saved = "";
    this.isDirty = true;
  }

  label() {
    const wait = this.end === null ? "open" : `${seconds(this.end - this.at)}, ${this.outcome()}`;
    const retried = this.attempts.length === 1 ? "1 attempt" : `${this.attempts.length} attempts`;
    return [this.id, this.client && `client ${this.client}`, wait, this.saved || retried].filter(Boolean).join(", ");
  }

  outcome() {
    if (this.ending === "silent") return "no answer";
    if (this.ending === "broken") return "broken off";
    return this.ending === "whole" ? "whole answer" : `status ${this.status}`;
  }
}

const on = {
  hello(event) {
    find("service").textContent = event.service.replace("http://", "");
    find("service").href = `${event.service}/docs`;
    find("mock").textContent = event.mock.replace("http://", "");
    find("empty").dataset.service = event.service;
    find("incidents").replaceChildren(...event.incidents.map(switchOf));
    find("speeds").replaceChildren(...event.speeds.map(speedButton));
  },
  speed(event) {
    base = { at: now(), real: performance.now() };
    speed = event.speed;
    for (const button of find("speeds").children) button.ariaPressed = String(Number(button.value) === speed);
  },
  begin(event) {
    playing = event.play ?? null;
    requests = new Map();
    calls = 0;
    chosen = null;
    base = { at: event.at, real: performance.now() };
    chart.begin(playing);
    showPlay();
    showRequest();
  },
  request(event) {
    const request = new Request(event);
    requests.set(event.id, request);
    chart.add(request);
  },
  answer(event) {
    change(event.id, (request) => {
      Object.assign(request, { end: event.at, status: event.status, ending: event.ending });
      chart.release(request);
    });
  },
  attempt(event) {
    calls += 1;
    change(event.id, (request) => request.attempts.push({ ...event, end: null, ending: "" }));
  },
  attempt_end(event) {
    change(event.id, (request) => {
      const attempt = request.attempts.find((each) => each.n === event.n);
      if (attempt) Object.assign(attempt, { end: event.at, status: event.status, ending: event.ending });
    });
  },
  log(event) {
    const { line } = event;
    turn(event.at, line);
    change(event.id, (request) => {
      request.lines.push(event);
      request.client = line.client ?? request.client;
      if (line.event === "llm.shared") request.saved = "shared";
      if (line.outcome === "cached") request.saved = "from the cache";
      if (line.event === "llm.stale") request.saved = "an old answer";
    });
  },
  gauges(event) {
    find("circuits").replaceChildren(...Object.entries(event.circuits).map(circuit));
    find("buckets").replaceChildren(...Object.entries(event.buckets).map(bucket));
    const clients = Object.entries(event.clients);
    find("clients-tile").hidden = clients.length === 0;
    find("clients").replaceChildren(...clients.map(client));
    find("cost").textContent = `$${event.cost_usd.toFixed(5)}`;
    const values = ["p50", "p95", "p99"].map((name) => [name, event.chat?.[`${name}_ms`]]);
    find("waits").replaceChildren(...values.map(([name, ms]) => node("div", {}, node("dt", {}, name), node("dd", {}, ms == null ? "–" : seconds(ms / 1000)))));
  },
  end(event) {
    chart.isOver = true;
    event.verdicts.forEach((verdict, index) => {
      const row = find("pledges").children[index];
      row.className = verdict.is_kept ? "kept" : "broken";
      row.lastElementChild.textContent = verdict.value;
      row.ariaLabel = verdict.is_kept ? "kept" : "broken";
    });
    const broken = event.verdicts.filter((verdict) => !verdict.is_kept).length;
    const all = broken ? `${broken} of ${event.verdicts.length} pledges are broken` : "All pledges are kept";
    find("verdict").textContent = `${all}, on this machine at ${speed}×. In simulated time: make lab INCIDENT=${playing.name}`;
    document.body.dataset.state = "ended";
  },
  failed(event) {
    find("failure").textContent = event.why;
    find("failure").hidden = false;
    document.body.dataset.state = "failed";
  },
};

function change(id, apply) {
  const request = requests.get(id);
  if (!request) return;
  apply(request);
  request.isDirty = true;
  if (request === chosen) showRequest();
}

function now() {
  return base.at + ((performance.now() - base.real) / 1000) * speed;
}

function showPlay() {
  document.body.dataset.state = playing ? "playing" : "idle";
  find("failure").hidden = true;
  find("title").textContent = playing ? playing.title : "No incident";
  find("guard").textContent = playing ? `${playing.guard}${settingsText(playing.settings)}` : "The service runs with its defaults.";
  for (const button of find("incidents").querySelectorAll("button")) button.ariaChecked = String(button.value === playing?.name);
  const rows = (playing?.pledges ?? []).map((pledge) => node("tr", {}, ...[pledge.sentence, pledge.bound, ""].map((text) => node("td", {}, text))));
  find("pledges").replaceChildren(...rows);
  find("verdict").textContent = playing ? "Measured at the end of the incident." : "An incident says what the service pledges while it lasts.";
}

function settingsText(settings) {
  return Object.entries(settings).map(([name, value]) => ` · ${name}=${value}`).join("");
}

function choose(request) {
  chosen = request;
  chart.highlight(request);
  showRequest();
}

function showRequest() {
  find("summary").textContent = chosen ? chosen.label() : "Click a request to read its log lines.";
  find("lines").replaceChildren(...(chosen?.lines ?? []).map(logLine));
  find("zoom").toggleAttribute("hidden", !chosen);
  if (chosen) zoom(find("zoom"), chosen, now());
}

function logLine({ at, line }) {
  const facts = Object.entries(line).filter(([name, value]) => !HIDDEN.has(name) && value !== null);
  return node("li", { class: line.level, title: JSON.stringify(line, null, 1) },
    node("time", {}, `${Math.round((at - chosen.at) * 1000)} ms`),
    node("b", {}, line.event),
    node("span", {}, facts.map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`).join(" ")));
}

// The states that the chart draws as lines above the requests.
function turn(at, line) {
  const state = line.state === "closed" ? "" : line.state;
  if (line.event === "llm.circuit") chart.turn(line.provider, at, state, `circuit of ${line.provider} ${line.state}`);
  if (line.event === "redis.unavailable") chart.turn("redis", at, "open", "Redis is not used");
  if (line.event === "redis.recovered") chart.turn("redis", at, "", "");
}

function switchOf(incident) {
  const knob = node("span", { class: "knob", "aria-hidden": "true" });
  const what = incident.problem ? node("span", { class: "what problem" }, incident.problem) : node("span", { class: "what" }, incident.title);
  const button = node("button", { role: "switch", value: incident.name, "aria-checked": "false" }, node("span", { class: "name" }, incident.name), knob, what);
  button.disabled = Boolean(incident.problem);
  button.addEventListener("click", () => post(button.ariaChecked === "true" ? "/stop" : `/play/${incident.name}`));
  return node("li", {}, button);
}

function speedButton(value) {
  const button = node("button", { value, "aria-pressed": "false" }, `${value}×`);
  button.addEventListener("click", () => post(`/speed/${value}`));
  return button;
}

function circuit([name, state]) {
  return node("li", { class: state }, name, node("b", {}, state.replace("_", "-")));
}

function bucket([name, { left, size }]) {
  return node("li", {}, node("span", {}, name), meter(`calls left of ${name}`, left, size), node("span", {}, `${left} of ${size}`));
}

function client([name, { left, size, refused }]) {
  const lost = node("b", {}, refused ? `${refused} refused` : "");
  return node("li", { class: refused ? "over" : "" }, node("span", {}, name), meter(`requests left to ${name}`, left, size), node("span", {}, `${left} of ${size}`), lost);
}

function meter(label, left, size) {
  const level = node("i", {});
  level.style.width = `${(left / size) * 100}%`;
  level.className = left < size * 0.2 ? "failed" : left < size * 0.5 ? "retry" : "first";
  return node("div", { role: "meter", "aria-valuemin": 0, "aria-valuemax": size, "aria-valuenow": left, "aria-label": label }, level);
}

async function post(path) {
  const answer = await fetch(path, { method: "POST" });
  if (!answer.ok) on.failed(await answer.json());
}

function seconds(value) {
  return value < 1 ? `${Math.round(value * 1000)}\u00a0ms` : `${value.toFixed(value < 10 ? 2 : 1)}\u00a0s`;
}

function node(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function tick() {
  chart.draw(now());
  if (chosen?.end === null) zoom(find("zoom"), chosen, now());
  const open = [...requests.values()].filter((request) => request.end === null).length;
  find("counts").textContent = `${requests.size}, ${calls}`;
  find("flights").textContent = open ? `${open} in flight` : "none in flight";
  const hint = `Choose an incident, or send a request yourself:\ncurl ${find("empty").dataset.service ?? ""}/v1/chat -H 'content-type: application/json' \\\n-d '{"messages": [{"role": "user", "content": "Hello"}]}'`;
  find("empty").textContent = requests.size ? "" : playing ? "The first request is on its way." : hint;
}

function connect() {
  const source = new EventSource("/events");
  source.onopen = () => link("live", "live");
  source.onerror = () => link("lost", "the lab has ended: make lab starts it again");
  source.onmessage = (message) => {
    for (const event of JSON.parse(message.data)) on[event.kind](event);
  };
}

function link(state, text) {
  find("link").className = state;
  find("link").textContent = text;
}

setInterval(tick, 100);
connect();
