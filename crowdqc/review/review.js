"use strict";
(() => {
  const id = (name) => document.getElementById(name);
  const make = (tag, text = "", more = {}) => Object.assign(document.createElement(tag), { textContent: text }, more);
  const key = (text) => make("kbd", text);
  const ITEM_AHEAD = 4;
  let about = null, item = null, shownAt = 0, at = 0, busy = false, taken = null;
  const items = new Map(), slices = new Map(), pictures = new Map(), history = [];
  const viewer = new SliceViewer(id("slice"), { editable: true, onBox: () => showActions(), onView: showWindow });

  // The server: answers are JSON; an error is a sentence.
  async function ask(path, body = null) {
    let answer;
    try {
      answer = await fetch(path, body ? { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) } : {});
    } catch {
      throw new Error(`${body ? "Not saved: " : ""}crowdqc review does not answer. Is it still running?`);
    }
    const data = await answer.json();
    if (!answer.ok) throw Object.assign(new Error(data.error), { status: answer.status });
    return data;
  }
  function picture(path) {
    if (!pictures.has(path)) {
      const image = new Image();
      image.src = path;
      pictures.set(path, image.decode().then(() => image, () => null));
      if (pictures.size > 80) pictures.delete(pictures.keys().next().value);
    }
    return pictures.get(path);
  }
  const imageOf = (slice) => (slice.picture ? picture(`image/${slice.case}/${slice.slice}`) : Promise.resolve(null));
  function load(number, fresh = false) {
    if (fresh || !items.has(number)) {
      const loading = ask(`api/item/${number}`).then(async (data) => ({ data, image: await imageOf(data) }));
      loading.catch(() => items.delete(number));
      items.set(number, loading);
      if (items.size > 40) items.delete(items.keys().next().value);
    }
    return items.get(number);
  }
  function loadSlice(k) {
    const name = `${item.case}/${k}`;
    if (!slices.has(name)) {
      slices.set(name, ask(`api/slice/${name}`).then(async (data) => ({ data, image: await imageOf(data) })));
      if (slices.size > 60) slices.delete(slices.keys().next().value);
    }
    return slices.get(name);
  }

  // One item.
  async function open(number, fresh = false) {
    try {
      if (number < 0 || number >= about.progress.all) { say("There is nothing left in this queue."); return; }
      const { data, image } = await load(number, fresh);
      item = data;
      at = item.slice;
      taken = null;
      viewer.draft = null;
      viewer.picked = null;
      item.fused.forEach((one) => { one.asked = item.box && one.label === item.label && one.box.every((v, i) => v === item.box[i]); });
      viewer.show(item, image);
      viewer.fit(outer(item));
      showUncertainty();
      shownAt = performance.now();
      id("place").textContent = `${item.label.replaceAll("_", " ")}: case ${about.cases[item.case]}, slice ${item.slice}`;
      id("why").textContent = item.why;
      showDecided();
      showActions();
      showRaters();
      showWhere();
      showPlanes();
      window.history.replaceState(null, "", `#item=${number}`);
      requestAnimationFrame(() => requestAnimationFrame(() => performance.mark(`shown-${number}`)));
      for (let next = number + 1; next <= Math.min(number + ITEM_AHEAD, about.progress.all - 1); next += 1) load(next);
    } catch (error) { complain(error); }
  }
  // The box round all that is asked about: boxes of the label, or all of them where there are none.
  function outer(slice) {
    const boxes = slice.boxes.filter(({ label }) => label === slice.label).map(({ box }) => box).concat(slice.box ? [slice.box] : []);
    const near = slice.box ? boxes.filter((box) => box[0] < slice.box[2] && box[2] > slice.box[0] && box[1] < slice.box[3] && box[3] > slice.box[1]) : boxes;
    const some = near.length ? near : boxes;
    return some.length ? [0, 1, 2, 3].map((i) => Math[i < 2 ? "min" : "max"](...some.map((box) => box[i]))) : null;
  }
  async function turn(to) {
    const k = Math.min(Math.max(to, item.extent[0]), item.extent[1]);
    at = k;
    showWhere();
    if (k === item.slice) { const { image } = await load(item.number); if (at === k) { viewer.show(item, image); showUncertainty(); } return; }
    const { data, image } = await loadSlice(k);
    if (at === k) { viewer.show({ ...data, label: item.label }, image); viewer.draft = null; showActions(); showUncertainty(); }
    [k - 1, k + 1].forEach((near) => { if (near >= item.extent[0] && near <= item.extent[1]) loadSlice(near); });
  }

  // Deciding.
  async function decide(decision, more = {}) {
    if (busy || !item || about.readOnly) return;
    if (at !== item.slice) await turn(item.slice);
    busy = true;
    const entry = { decision, seen: item.seen, inputs: item.inputs, seconds: Math.round((performance.now() - shownAt) / 10) / 100, shown: shown(), ...more };
    try {
      const answer = await ask(`api/item/${item.number}`, entry);
      Object.assign(item, { seen: answer.seen, decided: answer.decided });
      showProgress(answer.progress);
      say(decision === "undo" ? "Taken back." : `Saved: ${words(item.decided)}.`);
      if (decision === "undo") { showDecided(); showActions(); } else {
        history.push(item.number);
        await onward();
      }
    } catch (error) {
      complain(error);
      if (error.status === 409) await open(item.number, true);
    } finally { busy = false; }
  }
  async function onward() {
    for (let next = item.number + 1; next < about.progress.all && next <= item.number + ITEM_AHEAD; next += 1) {
      if (!items.has(next)) break;
      if (!(await load(next)).data.decided) { await open(next); return; }
    }
    const { next } = await ask(`api/next/${item.number + 1}`);
    if (next >= 0) await open(next);
    else { showDecided(); showActions(); say("All of this queue is decided. You may close the page."); }
  }
  async function undo() {
    if (busy) return;
    if (!item.decided && history.length) await open(history.pop());
    if (item.decided) await decide("undo");
    else say("There is nothing to take back here.");
  }
  function shown() {
    const layers = Object.keys(viewer.layers).filter((name) => viewer.layers[name] && (name !== "uncertainty" || viewer.uncertainty)).join(" ");
    return `${layers || "image only"}; ${item.boxes.length - viewer.hidden.size} raters' boxes${item.picture ? "" : "; no image"}`;
  }
  const isMask = () => item?.unit === "mask";
  const own = () => item.boxes.filter(({ label }) => label === item.label);
  function take(place) {
    const one = own()[place];
    if (one) decide("rater", { rater: one.rater, box: one.box });
  }
  const grade = (word) => decide("grade", viewer.draft ? { grade: word, box: viewer.draft, dice: diceOfBoxes() } : { grade: word });
  // Dice of the fused box with the corrected one, where a mask is corrected by its box.
  function diceOfBoxes() {
    const [a, b] = [item.box, viewer.draft];
    if (!a) return null;
    const area = (box) => Math.max(box[2] - box[0], 0) * Math.max(box[3] - box[1], 0);
    const both = area([Math.max(a[0], b[0]), Math.max(a[1], b[1]), Math.min(a[2], b[2]), Math.min(a[3], b[3])]);
    return Math.round(2e4 * both / (area(a) + area(b))) / 1e4;
  }
  function relabel() {
    id("label-list").replaceChildren(...about.labels.filter((label) => label !== item.label).map((label, i) => {
      const button = make("button", label.replaceAll("_", " "), { type: "button" });
      if (i < 9) button.append(" ", key(String(i + 1)));
      button.addEventListener("click", () => { id("relabel").close(); decide("relabel", { to: label, box: viewer.draft || item.box }); });
      return button;
    }));
    id("relabel").showModal();
  }
  const edit = () => { viewer.setDraft(item.decided?.box || item.box || [0, 0, item.width / 4, item.height / 4]); id("slice").focus(); };

  // What can be done: text, key, when, what.
  const ACTIONS = {
    save: ["Save the drawn box", "Enter", () => !isMask() && viewer.draft, () => decide("draw", { box: viewer.draft })],
    accept: ["Accept the fused box", "A", () => !isMask() && item.box && !viewer.draft, () => decide("accept", { box: item.box })],
    good: ["Good", "1", () => isMask(), () => grade("good")],
    usable: ["Usable", "2", () => isMask(), () => grade("usable")],
    bad: ["Bad", "3", () => isMask(), () => grade("bad")],
    nothing: ["Nothing here", "N", () => !isMask(), () => decide("nothing", { box: item.box })],
    real: ["Real; others missed it", "R", () => !isMask() && item.box, () => decide("real", { box: viewer.draft || item.box })],
    fits: ["Good enough as it is", "G", () => !isMask() && item.box && !viewer.draft, () => decide("grade", { grade: "good", box: item.box })],
    wrong: ["Wrong; leave it out", "W", () => !isMask() && item.box && !viewer.draft, () => decide("grade", { grade: "bad", box: item.box })],
    relabel: ["Wrong label", "L", () => !isMask() && about.labels.length > 1 && item.box, relabel],
    edit: ["Draw or correct a box", "E", () => true, edit],
    skip: ["Skip", "S", () => true, () => decide("skip")],
    undo: ["Undo", "U", () => true, undo],
    "slice-up": ["Previous slice", "\u2191", () => false, () => turn(at - 1)],
    "slice-down": ["Next slice", "\u2193", () => false, () => turn(at + 1)],
  };
  const MORE_KEYS = [["1 \u2013 9", "take that rater's box", true, () => !isMask()], ["\u2190 \u2192", "previous, next item"], ["\u2191 \u2193, wheel", "slices"], ["Home", "back to the slice that is asked about"], ["arrows", "move the drawn box; with Shift its right and lower edge, with Alt its left and upper edge, with Ctrl ten px at a time", true], ["Esc", "forget the drawn box", true], ["+ \u2212 0", "zoom; also Ctrl and the wheel"], ["Space", "and drag: move the image"], ["[ ] { }", "window: level, width; or drag with the right button"], ["B F M", "boxes, fused, mask on or off"], ["X", "boxes of other labels on or off"], ["O", "how uncertain the mask is, near the fused boxes"]];
  const VIEW_KEYS = {
    Home: () => turn(item.slice), "?": help, "+": () => viewer.zoom(1.25), "=": () => viewer.zoom(1.25), "-": () => viewer.zoom(0.8), 0: () => viewer.fit(null),
    "[": () => viewer.setWindow(viewer.window.level - 8, viewer.window.width), "]": () => viewer.setWindow(viewer.window.level + 8, viewer.window.width),
    "{": () => viewer.setWindow(viewer.window.level, viewer.window.width - 16), "}": () => viewer.setWindow(viewer.window.level, viewer.window.width + 16),
    b: () => layer("boxes"), x: () => layer("others"), f: () => layer("fused"), m: () => layer("outline"), o: () => viewer.slice.uncertain && layer("uncertainty"), PageUp: () => turn(at - 1), PageDown: () => turn(at + 1), Escape: () => viewer.setDraft(null),
  };
  addEventListener("keydown", (event) => {
    const typed = event.target.closest("dialog") ? event.target.closest("dialog").id : "";
    if (typed === "relabel" && event.key >= "1" && event.key <= "9") { id("label-list").children[event.key - 1]?.click(); event.preventDefault(); }
    if (typed || !item || event.metaKey || (event.target.matches("input[type=range]") && event.key.startsWith("Arrow"))) return;
    if (event.key === "Enter" && event.target.matches("button")) return;
    if (event.key === " " && event.target === id("slice")) { viewer.space = true; event.preventDefault(); return; }
    const does = found(event);
    if (does) { event.preventDefault(); does(); }
  });
  addEventListener("keyup", (event) => { if (event.key === " ") viewer.space = false; });
  function found(event) {
    if (event.key.startsWith("Arrow")) return arrow(event);
    if (event.ctrlKey) return null;
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const action = Object.values(ACTIONS).find(([, shortcut, when]) => shortcut.toLowerCase() === name.toLowerCase() && when());
    if (action) return action[3];
    if (!isMask() && name >= "1" && name <= "9") return () => take(name - 1);
    return VIEW_KEYS[name] || null;
  }
  function arrow(event) {
    const [axis, sign] = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [1, -1], ArrowDown: [1, 1] }[event.key];
    if (viewer.draft) {
      const by = sign * (event.ctrlKey ? 10 : 1), box = [...viewer.draft];
      if (!event.shiftKey) box[axis] += by;
      if (!event.altKey) box[axis + 2] += by;
      return () => { if (box[0] < box[2] && box[1] < box[3]) viewer.setDraft(box); };
    }
    return axis ? () => turn(at + sign) : () => open(item.number + sign);
  }

  // What is beside the slice.
  function button(name) {
    const [text, shortcut, , does] = ACTIONS[name];
    const made = make("button", "", { type: "button", className: ["save", "accept"].includes(name) ? "main" : "" });
    made.dataset.do = name;
    made.append(make("span", text), key(shortcut));
    made.addEventListener("click", does);
    return made;
  }
  function showActions() {
    if (!item) return;
    const names = Object.keys(ACTIONS).filter((name) => ACTIONS[name][2]());
    const focused = document.activeElement?.dataset?.do;
    if (about.readOnly) id("actions").replaceChildren(make("p", "For looking only: nothing is saved."));
    else id("actions").replaceChildren(...names.map(button));
    if (focused) id("actions").querySelector(`[data-do="${focused}"]`)?.focus();
  }
  const words = (decided) => {
    if (!decided) return "nothing";
    const { decision, rater } = decided;
    return { accept: "fused box accepted", rater: `box of ${about.raters[rater] ?? "a rater"} taken`, draw: "box drawn", nothing: "nothing here", real: "real, though others missed it", relabel: "another label", skip: "skipped", grade: `${isMask() ? "mask" : "box"} ${decided.grade}` }[decision];
  };
  function showDecided() {
    id("decided").hidden = !item.decided;
    id("decided").textContent = item.decided ? `Decided: ${words(item.decided)}.` : "";
    if (item.decided?.box) { viewer.draft = item.decided.box; viewer.draw(); }
  }
  function showRaters() {
    const rows = own().map(({ rater }, place) => {
      const row = make("div"), label = make("label"), box = make("input", "", { type: "checkbox", checked: !viewer.hidden.has(rater) });
      box.addEventListener("change", () => { viewer.hidden[box.checked ? "delete" : "add"](rater); viewer.draw(); });
      const line = document.createElementNS("http://www.w3.org/2000/svg", "svg"), path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.setAttribute("d", "M0 5h18");
      path.setAttribute("stroke", RATER_COLOURS[rater % 6]);
      path.setAttribute("stroke-width", "4");
      if (rater >= 6) path.setAttribute("stroke-dasharray", "5 3");
      line.append(path);
      line.setAttribute("aria-hidden", "true");
      label.append(box, line, about.raters[rater]);
      row.append(label);
      if (!isMask() && !about.readOnly) {
        const takes = make("button", "Take", { type: "button" });
        takes.setAttribute("aria-label", `Take the box of ${about.raters[rater]}`);
        if (place < 9) takes.append(" ", key(String(place + 1)));
        takes.addEventListener("click", () => take(place));
        row.append(takes);
      }
      row.addEventListener("pointerenter", () => { viewer.picked = rater; viewer.draw(); });
      row.addEventListener("pointerleave", () => { viewer.picked = null; viewer.draw(); });
      return row;
    });
    id("raters").replaceChildren(id("raters").firstElementChild, ...(rows.length ? rows : [make("p", "Nobody drew this label here.", { className: "mute" })]));
  }
  id("slice").addEventListener("pick", ({ detail }) => { viewer.picked = detail.rater; viewer.draw(); say(`Box of ${about.raters[detail.rater]}, ${detail.label.replaceAll("_", " ")}.`); });
  function layer(name) {
    viewer.layers[name] = !viewer.layers[name];
    document.querySelector(`[data-layer=${name}]`).checked = viewer.layers[name];
    viewer.draw();
    showUncertainty();
  }
  // How sure the model was of the mask, near its fused boxes only: fetched when it is to be seen.
  async function showUncertainty() {
    const shown = viewer.slice;
    document.querySelector("[data-layer=uncertainty]").parentElement.hidden = !shown.uncertain;
    if (!viewer.layers.uncertainty || !shown.uncertain) return;
    const image = await picture(`image/${shown.case}/uncertainty/${about.labels.indexOf(item.label)}/${shown.slice}`);
    if (viewer.slice === shown) { viewer.uncertainty = image; viewer.draw(); }
  }
  document.querySelectorAll("[data-layer]").forEach((box) => box.addEventListener("change", () => layer(box.dataset.layer)));
  function showWindow() {
    id("level").value = viewer?.window.level ?? 128;
    id("width").value = viewer?.window.width ?? 256;
  }
  ["level", "width"].forEach((name) => id(name).addEventListener("input", () => viewer.setWindow(Number(id("level").value), Number(id("width").value))));
  function showWhere() {
    id("where").textContent = at === item.slice ? `slice ${at} of ${item.extent.join(" to ")}` : `slice ${at}; asked about is ${item.slice}`;
    document.querySelectorAll("#scroll button").forEach((one) => { one.hidden = item.extent[0] === item.extent[1]; });
  }
  document.querySelectorAll("#scroll button").forEach((one) => one.addEventListener("click", () => ACTIONS[one.dataset.do][3]()));
  let rolled = 0;
  id("slice").addEventListener("wheel", (event) => {
    if (event.ctrlKey || event.metaKey || !item) return;
    event.preventDefault();
    rolled += event.deltaMode ? event.deltaY * 40 : event.deltaY;
    const steps = Math.trunc(rolled / 40);
    if (steps) { rolled -= steps * 40; turn(at + Math.sign(steps)); }
  }, { passive: false });
  id("slice").addEventListener("contextmenu", (event) => event.preventDefault());

  // The other two planes: the course of the fused boxes through the volume.
  async function showPlanes() {
    id("planes").hidden = !item.volume;
    if (!item.volume) return;
    const asked = item, box = item.box || [0, 0, item.width, item.height];
    for (const canvas of document.querySelectorAll("[data-view]")) {
      const rows = canvas.dataset.view === "across";
      const place = Math.floor(Math.min(Math.max((box[rows ? 1 : 0] + box[rows ? 3 : 2]) / 2, 0), (rows ? item.height : item.width) - 1));
      const image = await picture(`image/${item.case}/${canvas.dataset.view}/${place}`);
      if (item !== asked || !image) continue;
      paintPlane(canvas, image, rows ? [0, 2] : [1, 3]);
    }
  }
  function paintPlane(canvas, image, [low, high]) {
    const ratio = devicePixelRatio || 1, width = canvas.clientWidth * ratio, height = canvas.clientHeight * ratio;
    Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d"), sx = width / image.naturalWidth, sy = height / image.naturalHeight;
    context.drawImage(image, 0, 0, width, height);
    context.fillStyle = "rgb(255 255 255 / .85)";
    for (const [k, ...box] of item.run) {
      for (const end of [low, high]) context.fillRect(box[end] * sx - ratio, k * sy, 2 * ratio, Math.max(sy, 1));
    }
    context.fillStyle = "#ff5ad2";
    context.fillRect(0, (item.slice + 0.5) * sy - ratio / 2, width, ratio);
    if (!item.box) return;
    for (const end of [low, high]) context.fillRect(item.box[end] * sx - 1.5 * ratio, item.slice * sy, 3 * ratio, Math.max(sy, 4 * ratio));
  }

  // Words.
  let silence = 0;
  function say(text, bad = false) {
    const box = id("message");
    box.textContent = text;
    box.classList.toggle("bad", bad);
    box.hidden = false;
    clearTimeout(silence);
    if (!bad) silence = setTimeout(() => { box.hidden = true; }, 2500);
  }
  const complain = (error) => say(error.message, true);
  const mayStop = (most) => `You may stop now: ${isMask() ? `each mask that is left is bad with a probability below ${most}.` : `any further decision changes its object by less than ${most} of IoU.`}`;
  function showProgress(progress) {
    about.progress = progress;
    Object.assign(id("bar"), { value: progress.done, max: progress.all });
    const minutes = Math.ceil(progress.secondsLeft / 60);
    const left = progress.stop ? "" : `; ${progress.worth.toLocaleString("en")} worth it, about ${minutes} min`;
    id("progress").textContent = `${progress.done.toLocaleString("en")} of ${progress.all.toLocaleString("en")} decided${left}`;
    id("stop").hidden = !progress.stop;
    id("stop").textContent = progress.done < progress.all ? mayStop(Math.max(progress.next, 0.01).toFixed(2)) : "All of this queue is decided.";
  }
  function help() {
    const rows = [...Object.values(ACTIONS).slice(0, 13).filter(([, , applies]) => !about.readOnly && (!item || applies())).map(([text, shortcut]) => [shortcut, text]), ...MORE_KEYS.filter(([, , decides, applies]) => !(about.readOnly && decides) && (!applies || applies()))];
    id("key-list").replaceChildren(...rows.flatMap(([shortcut, text]) => { const term = make("dt"); term.append(key(shortcut)); return [term, make("dd", text)]; }));
    id("keys").showModal();
  }
  id("help").addEventListener("click", help);

  (async () => {
    try {
      about = await ask("api/summary");
      document.title = `${about.study}: crowdqc review`;
      id("study").textContent = about.study;
      id("who").textContent = about.readOnly ? "for looking only" : `reviewer ${about.reviewer}`;
      const asked = Number(new URLSearchParams(location.hash.slice(1)).get("item") ?? NaN);
      viewer.editable = !about.readOnly;
      await open(Number.isInteger(asked) ? asked : Math.max(about.first, 0));
      showProgress(about.progress);
      id("slice").focus();
      performance.mark("ready");
    } catch (error) { complain(error); }
  })();
})();
