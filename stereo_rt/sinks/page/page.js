// The page keeps no state of its own: it shows what /status.json says and posts what the user wants to /control.

import { onKeys } from "./keys.js";

const $ = (id) => document.getElementById(id);
const picture = $("picture");
let view = "all";
let status = null;
let connected = true;

// -- pictures --------------------------------------------------------------------------------------------------------

function show(name) {
  view = name;
  for (const button of document.querySelectorAll("#views button")) {
    button.setAttribute("aria-pressed", String(button.dataset.view === name));
  }
  stream();
  leave();
}

function stream() {
  // A hidden tab asks for no pictures, so that none are made for it.
  picture.src = document.hidden ? "data:," : `stream.mjpg?pane=${view}&at=${Date.now()}`;
}

document.addEventListener("visibilitychange", stream);
$("views").addEventListener("click", (event) => event.target.dataset.view && show(event.target.dataset.view));

// -- controls --------------------------------------------------------------------------------------------------------

async function control(changes) {
  try {
    const reply = await fetch("control", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(changes),
    });
    if (reply.ok) render(await reply.json());
    else $("message").textContent = await reply.text();
  } catch {
    disconnected();
  }
}

const actions = {
  pause: () => control({ paused: !status?.controls.paused }),
  step: () => control({ step: true }),
  snapshot: () => control({ snapshot: true }),
  record: () => control({ record: !status?.controls.recording }),
};
for (const [id, act] of Object.entries(actions)) $(id).addEventListener("click", act);

const { pause, step, snapshot, record } = actions;
onKeys({ " ": pause, s: step, ".": step, p: snapshot, r: record }, ["s", "."]);

// The end that was not moved stays what it is, also where its slider does not reach. A far end of null is no limit.
function setRange(moved) {
  if (!status) return;
  let [near, far] = status.controls.range_m;
  if (moved.id === "near") near = Math.max(0, Math.min(Number(moved.value), (far ?? Infinity) - 0.1));
  else far = moved.value === moved.max ? null : Math.max(Number(moved.value), near + 0.5);
  control({ range_m: `${near}:${far ?? ""}` });
}

$("threshold").addEventListener("input", (event) => control({ min_confidence: Number(event.target.value) }));
$("near").addEventListener("input", (event) => setRange(event.target));
$("far").addEventListener("input", (event) => setRange(event.target));
$("colormap").addEventListener("change", (event) => control({ colormap: event.target.value }));

// -- status ----------------------------------------------------------------------------------------------------------

const ms = (value) => `${value.toFixed(value < 10 ? 1 : 0)} ms`;

function put(id, value) {
  if (document.activeElement !== $(id)) $(id).value = value;
}

function render(news) {
  status = news;
  const { controls } = status;
  $("state").textContent = status.state;
  $("state").dataset.state = status.state;
  $("matcher").textContent = status.matcher && `${status.matcher}, confidence: ${status.confidence}`;
  $("warnings").textContent = [status.detail, ...status.warnings].filter(Boolean).join(" · ");
  $("message").textContent = status.notes.join(" · ");

  put("threshold", controls.min_confidence);
  put("near", controls.range_m[0]);
  put("far", controls.range_m[1] ?? 40);
  put("colormap", controls.colormap);
  $("threshold-value").textContent = controls.min_confidence.toFixed(2);
  $("near-value").textContent = `${controls.range_m[0].toFixed(1)} m`;
  $("far-value").textContent = controls.range_m[1] === null ? "no limit" : `${controls.range_m[1].toFixed(1)} m`;
  $("pause").firstChild.textContent = controls.paused ? "Go on " : "Pause ";
  $("record").firstChild.textContent = controls.recording ? "Stop " : "Record ";
  $("record").classList.toggle("live", Boolean(controls.recording));

  $("fps").textContent = `${status.fps.toFixed(1)} fps`;
  $("age").textContent = `${ms(status.frame_age_ms)}, p99 ${ms(status.frame_age_p99_ms)}`;
  $("drops").textContent = status.drops;
  $("skew").textContent = ms(status.skew_ms);
  $("kept").textContent = status.valid_share === undefined ? "–" : `${(100 * status.valid_share).toFixed(1)} %`;
  const [width, height] = status.views?.[view].size ?? [5, 4];
  picture.style.setProperty("--ratio", width / height);
  renderStages(status.stage_ms);
}

function renderStages(stages) {
  const longest = Math.max(1e-6, ...Object.values(stages));
  $("stages").replaceChildren(
    ...Object.entries(stages).flatMap(([name, value]) => {
      const [label, track, time] = ["span", "div", "span"].map((tag) => document.createElement(tag));
      const bar = document.createElement("div");
      bar.className = "bar";
      bar.style.width = `${(100 * value) / longest}%`;
      track.append(bar);
      label.textContent = name;
      time.textContent = ms(value);
      time.className = "time";
      return [label, track, time];
    }),
  );
}

function disconnected() {
  connected = false;
  $("state").textContent = "no connection";
  $("state").dataset.state = "no connection";
}

async function poll() {
  try {
    const reply = await fetch("status.json", { cache: "no-store" });
    if (!reply.ok) throw new Error(reply.statusText);
    render(await reply.json());
    if (!connected) stream();
    connected = true;
  } catch {
    disconnected();
  }
  setTimeout(poll, 500);
}

// -- the pixel under the pointer -------------------------------------------------------------------------------------

let pointer = null; // where on the picture, and which pixel of the result that is
let asking = false;

function locate(event) {
  const box = picture.getBoundingClientRect();
  const place = status?.views?.[view];
  if (!place) return null;
  const x = ((event.clientX - box.left) / box.width) * place.size[0];
  const y = ((event.clientY - box.top) / box.height) * place.size[1];
  for (const [left, top] of Object.values(place.origins)) {
    const u = (x - left) / place.picture[0];
    const v = (y - top) / place.picture[1];
    if (u >= 0 && u < 1 && v >= 0 && v < 1) {
      const at = [event.clientX - box.left, event.clientY - box.top];
      return { u, v, x: Math.floor(u * status.grid[0]), y: Math.floor(v * status.grid[1]), at };
    }
  }
  return null;
}

function mark() {
  const place = status.views[view];
  $("marks").replaceChildren(
    ...Object.values(place.origins).map(([left, top]) => {
      const dot = document.createElement("i");
      const x = ((left + pointer.u * place.picture[0]) / place.size[0]) * picture.clientWidth;
      const y = ((top + pointer.v * place.picture[1]) / place.size[1]) * picture.clientHeight;
      dot.style.left = `${picture.offsetLeft + x}px`;
      dot.style.top = `${picture.offsetTop + y}px`;
      return dot;
    }),
  );
  const reading = $("reading");
  const [x, y] = pointer.at;
  const [dx, dy] = [x < picture.clientWidth / 2 ? 16 : -16 - reading.offsetWidth, y < picture.clientHeight / 2 ? 16 : -16 - reading.offsetHeight];
  reading.style.left = `${picture.offsetLeft + x + dx}px`;
  reading.style.top = `${picture.offsetTop + y + dy}px`;
}

async function read() {
  if (asking || pointer === null) return;
  asking = true;
  try {
    const reply = await fetch(`readout?x=${pointer.x}&y=${pointer.y}`, { cache: "no-store" });
    if (reply.ok && pointer !== null) {
      $("reading").textContent = (await reply.json()).text;
      $("reading").hidden = false;
      mark();
    }
  } catch {
    disconnected();
  }
  asking = false;
}

function leave() {
  pointer = null;
  $("reading").hidden = true;
  $("marks").replaceChildren();
}

$("stage").addEventListener("pointermove", (event) => {
  pointer = locate(event);
  if (pointer === null) leave();
  else read();
});
$("stage").addEventListener("pointerleave", leave);
setInterval(read, 200); // the scene moves under a pointer that rests

show("all");
poll();
