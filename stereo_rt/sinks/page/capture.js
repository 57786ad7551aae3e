// The page keeps no state of its own: it shows what /status.json says and posts the user's commands to /control.

const $ = (id) => document.getElementById(id);
const picture = $("picture");
const commands = ["take", "undo", "auto", "finish"];
const keys = { " ": "take", u: "undo", a: "auto", q: "finish" };

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
document.addEventListener("keydown", (event) => {
  const plain = !event.ctrlKey && !event.metaKey && !event.altKey && event.target === document.body;
  if (plain && keys[event.key]) {
    event.preventDefault();
    command(keys[event.key]);
  }
});

function render(status) {
  const state = status.finished ? "finished" : status.enough ? "enough" : "capturing";
  $("state").textContent = `${state}, ${status.pairs} pairs`;
  $("state").dataset.state = status.finished ? "paused" : "ok";
  $("folder").textContent = status.folder;
  $("auto").setAttribute("aria-pressed", String(status.auto));
  $("message").textContent = status.message;
}

let connected = false;

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
    if (!connected) picture.src = `stream.mjpg?at=${Date.now()}`;
    connected = true;
  } catch {
    disconnected();
  }
  setTimeout(poll, 300);
}

picture.addEventListener("load", () => {
  picture.style.setProperty("--ratio", picture.naturalWidth / picture.naturalHeight);
});
poll();
