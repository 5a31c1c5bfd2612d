// Everything here is an addition: each page says all it has to say without it.
"use strict";

const aloud = document.getElementById("aloud");

// ---- the colour scheme

const scheme = document.getElementById("scheme");
const system = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.scheme ?? (system.matches ? "dark" : "light")) === "dark";
function showScheme() {
  scheme.setAttribute("aria-pressed", String(isDark()));
}
scheme.hidden = false;
scheme.addEventListener("click", () => {
  const next = isDark() ? "light" : "dark";
  document.documentElement.dataset.scheme = next;
  try { localStorage.setItem("sale-scheme", next); } catch { /* for this page only, then */ }
  showScheme();
});
system.addEventListener("change", showScheme);
showScheme();

// ---- live auctions

const live = document.getElementById("live");
if (live) {
  const pulse = document.getElementById("pulse");
  const empty = document.getElementById("empty");
  const most = Number(live.dataset.most);
  const state = (name, words) => {
    pulse.className = `pulse ${name}`;
    pulse.lastElementChild.textContent = words;
  };
  pulse.hidden = false;

  const show = (html) => {
    const box = document.createElement("template");
    box.innerHTML = html; // from our own server, with everything in it escaped
    const card = box.content.querySelector(".card");
    if (!card) return;
    const old = document.getElementById(card.id);
    if (old && old.outerHTML === card.outerHTML) return;
    const said = card.dataset.say;
    if (said && said !== (old && old.dataset.say)) {
      const task = card.querySelector(".task").textContent.slice(0, 80);
      aloud.textContent = `${said} ${task}`;
    }
    if (old) {
      const focused = old.contains(document.activeElement);
      old.replaceWith(card);
      if (focused) card.querySelector("a").focus();
    } else {
      if (said) card.classList.add("new");
      live.prepend(card);
    }
    empty.hidden = true;
    while (live.children.length > most) live.lastElementChild.remove();
  };

  let source = null;
  const listen = () => {
    if (source) return;
    source = new EventSource(live.dataset.stream);
    source.addEventListener("open", () => state("on", "live"));
    source.addEventListener("card", (event) => show(event.data));
    source.addEventListener("error", () => {
      state("off", source.readyState === EventSource.CLOSED ? "not connected" : "connecting again");
    });
  };
  const stop = () => {
    source?.close();
    source = null;
  };
  // A hidden window holds no connection: browsers allow few to one server.
  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : listen()));
  addEventListener("pagehide", stop);
  addEventListener("pageshow", listen);
  listen();
}

// ---- charts: what a point says, by pointer or by arrow keys; series to show and hide

const tip = document.getElementById("tip");

function say(slot) {
  const [title, ...lines] = slot.dataset.tip.split("\n");
  const heading = document.createElement("strong");
  heading.textContent = title;
  const list = document.createElement("dl");
  const hidden = hiddenNames(slot.closest("[data-chart]"));
  for (const line of lines) {
    const [name, value] = line.split("\t");
    if (hidden.has(name)) continue;
    const term = document.createElement("dt");
    const figure = document.createElement("dd");
    term.textContent = name;
    figure.textContent = value;
    list.append(term, figure);
  }
  tip.replaceChildren(heading, list);
  tip.hidden = false;
  return `${title}: ${[...list.children].map((part) => part.textContent).join(" ")}`;
}

function hiddenNames(chart) {
  return new Set([...chart.querySelectorAll(".key[aria-pressed=false]")].map((key) => key.textContent.trim()));
}

function place(x, y) {
  const wide = tip.offsetWidth, high = tip.offsetHeight;
  const left = Math.max(8, Math.min(x + 14, document.documentElement.clientWidth - wide - 8));
  const top = y - high - 12 < 8 ? y + 18 : y - high - 12;
  tip.style.left = `${left + scrollX}px`; // set by script, which the page's policy allows; no style is in the page
  tip.style.top = `${top + scrollY}px`;
}

function leave(chart) {
  tip.hidden = true;
  for (const slot of chart.querySelectorAll(".slot.at")) slot.classList.remove("at");
}

for (const chart of document.querySelectorAll("[data-chart]")) {
  for (const drawing of chart.querySelectorAll("svg.chart")) {
    const slots = [...drawing.querySelectorAll(".slot")];
    let at = -1;
    const go = (slot) => {
      leave(chart);
      slot.classList.add("at");
      return say(slot);
    };
    drawing.addEventListener("pointermove", (event) => {
      const slot = event.target.closest(".slot");
      if (!slot) return leave(chart);
      go(slot);
      place(event.clientX, event.clientY);
    });
    drawing.addEventListener("pointerleave", () => leave(chart));
    drawing.addEventListener("blur", () => leave(chart));
    drawing.addEventListener("keydown", (event) => {
      const shown = slots.filter((slot) => !slot.closest("[hidden]"));
      const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
      if (event.key === "Escape") leave(chart);
      if (step === undefined || !shown.length) return;
      event.preventDefault();
      at = Math.max(0, Math.min(shown.length - 1, at + step));
      const words = go(shown[at]);
      const box = shown[at].getBoundingClientRect();
      place(box.left + box.width / 2, box.top + Math.min(40, box.height / 2));
      aloud.textContent = words;
    });
  }
  for (const key of chart.querySelectorAll(".key")) {
    key.addEventListener("click", () => {
      const on = key.getAttribute("aria-pressed") !== "true";
      key.setAttribute("aria-pressed", String(on));
      for (const part of chart.querySelectorAll(`g[data-series="${key.dataset.series}"]`)) {
        part.toggleAttribute("hidden", !on);
      }
    });
  }
}
addEventListener("keydown", (event) => {
  if (event.key === "Escape") tip.hidden = true;
});

// ---- results that were put into the page

document.body.addEventListener("htmx:afterSwap", (event) => {
  const rows = event.detail.target.querySelectorAll("tbody tr").length;
  aloud.textContent = rows === 1 ? "1 auction found" : `${rows} auctions found`;
});

// ---- forms

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});
for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
    aloud.textContent = "Copied";
  });
}
