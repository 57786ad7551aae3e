// The page keeps no state of its own: it shows what /status.json says and posts the user's commands to /control.

import { onKeys } from "./keys.js";

const $ = (id) => document.getElementById(id);
const picture = $("picture");
const commands = ["take", "undo", "auto", "finish"];

async function command(name) {
  try {
    const reply = await fetch("control", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ command: name }),
    });
    if (reply.ok) render(await reply.json());
    else $("message").textContent = await reply.text();
  } catch {
    disconnected();
  }
}

for (const name of commands) $(name).addEventListener("click", () => command(name));
onKeys({
  " ": () => command("take"),
  u: () => command("undo"),
  a: () => command("auto"),
  q: () => command("finish"),
});

let finished = false; // and with it the server: nothing more comes

function render(status) {
  finished = status.finished;
  const state = status.finished ? "finished" : status.enough ? "enough" : "capturing";
  $("state").textContent = `${state}, ${status.pairs} pairs`;
  $("state").dataset.state = status.finished ? "paused" : "ok";
  $("folder").textContent = status.folder;
  $("auto").setAttribute("aria-pressed", String(status.auto));
  $("message").textContent = status.message;
}

let connected = false;

function disconnected() {
  if (finished) return;
  connected = false;
  $("state").textContent = "no connection";
  $("state").dataset.state = "no connection";
}

async function poll() {
  try {
    const reply = await fetch("status.json", { cache: "no-store" });
    if (!reply.ok) throw new Error(reply.statusText);
    render(await reply.json());
    if (!connected) picture.src = `stream.mjpg?at=${Date.now()}`;
    connected = true;
  } catch {
    disconnected();
  }
  if (!finished) setTimeout(poll, 300);
}

picture.addEventListener("load", () => {
  picture.style.setProperty("--ratio", picture.naturalWidth / picture.naturalHeight);
});
poll();
