// The clock, the beats, and what is written so far. The server keeps the time; this only shows it.
"use strict";

const page = document.body.dataset;
const running = page.phase === "running";
const clock = document.getElementById("clock");
const form = document.getElementById("answering");
const lost = document.getElementById("lost");
const said = document.getElementById("said");

let shownSeconds = Number(page.seconds);
let shownAt = performance.now();
let sent = answer();
let leaving = false;
let minute = Math.floor(shownSeconds / 60);

function answer() {
  return form ? new FormData(form).get("answer") ?? "" : "";
}

function tick() {
  if (!lost.hidden) return;
  const seconds = Math.floor(shownSeconds + (performance.now() - shownAt) / 1000);
  const two = (value) => String(value).padStart(2, "0");
  const minutes = Math.floor(seconds / 60);
  clock.textContent =
    minutes < 60
      ? `${minutes}:${two(seconds % 60)}`
      : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(seconds % 60)}`;
  if (minutes > minute) {
    minute = minutes;
    said.textContent = minutes === 1 ? "1 minute" : `${minutes} minutes`; // read aloud once a minute, not each second
  }
}

// `leaving` beats carry what was written last; nobody waits for what they bring back.
async function beat(last = false) {
  const body = new URLSearchParams({ task: page.task });
  const written = answer();
  if (written !== sent) body.set("answer", written);
  try {
    const reply = await fetch("/beat", { method: "POST", body, keepalive: last && written.length < 15000 }); // browsers allow 64 KB
    if (!reply.ok) throw new Error(reply.status);
    const state = await reply.json();
    sent = written;
    if (last || leaving) return;
    if (state.view !== page.view) {
      leaving = true;
      location.reload();
      return;
    }
    shownSeconds = state.seconds;
    shownAt = performance.now();
    show(true);
  } catch {
    if (!leaving) show(false);
  }
}

function show(connected) {
  lost.hidden = connected;
  for (const part of document.querySelectorAll("#task, fieldset")) part.hidden = !connected;
}

if (running) {
  clock.hidden = false;
  setInterval(tick, 250);
  tick();
  const keys = document.getElementById("keys");
  if (keys) keys.hidden = false;
  form.addEventListener("submit", () => { leaving = true; });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
}
const every = Number(page.beat) * 1000; // 0 where all is done and judged
if (every) {
  setInterval(beat, every);
  document.addEventListener("visibilitychange", () => beat(document.hidden));
}
addEventListener("pagehide", () => { if (!leaving && answer() !== sent) beat(true); });
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
