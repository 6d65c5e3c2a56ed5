// The page around a survey: shows its state as it changes, and what is wrong with the file.

const POLL_MS = 400;
const LEVELS = ["error", "warning"];

const byId = (id) => document.getElementById(id);

/** Whether there is room for everything beside the page; otherwise it is folded up below. */
const wide = matchMedia("(width >= 50rem)");

let shown = "";
let framed = "";
let found = "[]";
let offered = "[]";
let blocked = null; // why no session can begin

function text(id, value) {
  byId(id).textContent = value;
}

function list(parent, items) {
  parent.replaceChildren(...items);
}

function element(name, content, attributes = {}) {
  const made = document.createElement(name);
  made.textContent = content;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function showStep(step, lang) {
  const item = document.createElement("li");
  const button = element("button", `${step.id}: `, { type: "button" });
  button.append(element("bdi", step.prompt, { lang }));
  if (step.is_current) button.setAttribute("aria-current", "step");
  if (!step.is_on_route) button.className = "away";
  button.addEventListener("click", () => act("jump", step.id));
  item.append(button);
  return item;
}

/** A field for a parameter; a session has its parameters from its beginning on, so a change begins another one. */
function parameterField({ name, from, text, options }) {
  const label = element("label", `${name} `);
  const field = element(options.length > 0 ? "select" : "input", "", { name, autocomplete: "off" });
  const choices = [{ text: "", label: "" }, ...options];
  if (options.length > 0) field.append(...choices.map((one) => element("option", one.label, { value: one.text, dir: "auto" })));
  field.value = text;
  label.append(element("small", `from: ${from}`), field);
  return label;
}

function showParameters(parameters) {
  if (JSON.stringify(parameters) === offered) return;
  offered = JSON.stringify(parameters);
  const focused = document.activeElement?.name;
  byId("parameters").hidden = parameters.length === 0;
  list(byId("fields"), parameters.map(parameterField));
  if (focused) byId("fields").querySelector(`[name="${focused}"]`)?.focus();
}

function showFindings(findings) {
  if (JSON.stringify(findings) === found) return;
  found = JSON.stringify(findings);
  const box = byId("findings");
  const counts = LEVELS.map((level) => [findings.filter((finding) => finding.level === level).length, level]);
  const parts = counts.filter(([count]) => count > 0).map(([count, level]) => `${count} ${level}${count === 1 ? "" : "s"}`);
  box.querySelector("summary").textContent = parts.join(", ");
  box.className = counts[0][0] > 0 ? "error" : "warning";
  box.hidden = findings.length === 0;
  list(box.querySelector("ul"), findings.map((finding) => element("li", finding.text)));
  unfoldFindings();
}

function unfoldFindings() {
  byId("findings").open = wide.matches || byId("findings").className === "error";
}

function unfold() {
  byId("panel").open = wide.matches;
  unfoldFindings();
}

function show(state) {
  showFindings(state.findings);
  document.body.classList.toggle("empty", state.survey === null);
  if (state.survey === null) {
    text("title", `${state.file} has no survey yet`);
    return;
  }
  if (state.problem !== blocked) text("problem", (blocked = state.problem) ?? "");
  text("title", state.title);
  byId("title").lang = state.language;
  list(byId("language"), state.languages.map((tag) => element("option", tag, { value: tag })));
  byId("language").value = state.language;
  showParameters(state.parameters);
  const focused = document.activeElement?.textContent;
  list(byId("steps"), state.steps.map((step) => showStep(step, state.language)));
  for (const button of byId("steps").querySelectorAll("button")) {
    if (button.textContent === focused) button.focus();
  }
  const facts = ["status", "current_step", "version", "language", "revision"];
  list(byId("facts"), facts.flatMap((name) => [element("dt", name), element("dd", String(state[name]))]));
  text("route", state.route.join(" → "));
  text("answers", JSON.stringify(state.answers, null, 2));
  byId("computed").hidden = Object.keys(state.values).length === 0;
  text("values", JSON.stringify(state.values, null, 2));
  text("drafts", JSON.stringify(state.drafts, null, 2));
  const address = `/s/${state.survey}?user=${state.user}&lang=${state.language}`;
  const frame = `${state.user} ${state.revision}`;
  if (frame !== framed) {
    framed = frame;
    byId("survey").src = address;
  }
}

async function act(action, value = "") {
  const answer = await fetch("/preview/act", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ action, value }),
  });
  const { problem } = await answer.json();
  text("problem", problem ?? "");
  if (action === "language") framed = shown = ""; // an open page keeps its language
  await poll();
}

async function poll() {
  try {
    const state = await (await fetch("/preview/state")).text();
    if (state !== shown) {
      shown = state;
      show(JSON.parse(state));
    }
  } catch {
    text("problem", "The preview has ended.");
  }
}

async function follow() {
  await poll();
  setTimeout(follow, POLL_MS);
}

localStorage.clear(); // of an earlier preview at this address
byId("language").addEventListener("change", (event) => act("language", event.target.value));
byId("parameters").addEventListener("change", () => {
  void act("parameters", Object.fromEntries(new FormData(byId("parameters"))));
});
byId("parameters").addEventListener("submit", (event) => event.preventDefault());
wide.addEventListener("change", unfold);
unfold();
byId("restart").addEventListener("click", () => act("restart"));
follow();
