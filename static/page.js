// The front page: is it alive, can it serve, and which base URL goes into a client. Text only, never markup.
const ask = async (path) => (await fetch(path)).json();

for (const code of document.querySelectorAll(".base")) code.textContent = location.origin + code.dataset.path;

const [ready, info] = await Promise.all([ask("/ready"), ask("/api/info")]);
document.getElementById("state").textContent =
  (ready.ready ? "✔ Ready to serve." : `✖ Not ready: ${ready.reason}.`) +
  (info.simulated ? " Answers are SIMULATED." : "");
const list = document.getElementById("info");
for (const [name, value] of Object.entries({
  Version: info.version,
  "Up for": `${Math.round(info.uptime_s)} s`,
  Plugins: info.plugins.join(", "),
})) {
  const term = document.createElement("dt");
  const detail = document.createElement("dd");
  term.textContent = name;
  detail.textContent = value;
  list.append(term, detail);
}
