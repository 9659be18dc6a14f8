"use strict";
// Everything works without this script: it follows progress without loading the page anew, and says that something is done.

const place = document.querySelector("[data-status]");
const address = location.pathname.replace(/\/(form|document)$/, "") + "/status";

async function look() {
  let told;
  try {
    const answer = await fetch(address, { credentials: "same-origin" });
    if (!answer.ok) { return; }
    told = await answer.json();
  } catch {
    return; // the server has ended, or is gone for a moment
  }
  if (told.mark !== place.dataset.status) { location.reload(); return; }
  const bar = document.getElementById("bar");
  const counted = document.getElementById("counted");
  const stages = document.getElementById("stages");
  if (stages !== null && told.stages.length > 0) { stages.textContent = `Units of the engine: ${told.stages.join(" · ")}`; }
  if (counted !== null && told.done !== null) {
    bar.value = told.done;
    counted.textContent = `${told.done} of ${told.total}`;
  }
  if (told.active || told.checking) { setTimeout(look, 1000); }
}

if (place !== null) { setTimeout(look, 500); }

for (const form of document.querySelectorAll("form[data-busy]")) {
  form.addEventListener("submit", () => {
    const words = document.getElementById("busy");
    if (words !== null) { words.textContent = form.dataset.busy; }
    // a button that is disabled before its form is sent is not part of what is sent
    setTimeout(() => { for (const button of form.querySelectorAll("button")) { button.disabled = true; } });
  });
}

window.addEventListener("pageshow", (event) => { if (event.persisted) { location.reload(); } });
