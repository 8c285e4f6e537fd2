"use strict";
(() => {
  const all = (query, from = document) => [...from.querySelectorAll(query)];
  const data = JSON.parse(document.getElementById("data").textContent);
  const texts = (places) => places.map((place) => data.texts[place]);

  const pills = new Map(all("[data-word]", document.getElementById("pills").content).map((pill) => [pill.dataset.word, pill]));

  // What a cell says, without the marks that only the eye needs.
  function cellText(td) {
    const short = td.querySelector(".interval, code[title]");
    if (short) return short.title;
    const pill = td.querySelector(".pill");
    if (pill) return pill.lastChild.textContent.trim();
    const more = all("details li", td);
    if (!more.length) return td.textContent.trim();
    return [td.firstChild, ...more].map((part) => part.textContent.trim()).join("; ");
  }

  // A number as a spreadsheet reads it, nothing for a dash, and no text that it would take for a formula.
  function spreadsheetText(text) {
    if (text === "\u2013") return "";
    const plain = text.replaceAll("\u2212", "-");
    const formula = /^'*[=+\-@\t\r\n\uff0b\uff0d\uff1d\uff20]/.test(plain);
    const number = /^([+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?( ?%)?( \([-\d.]+ to [-\d.]+\))?|-)$/i.test(plain.replaceAll(",", ""));
    return formula && !number ? `'${plain}` : plain;
  }

  // Rows as a table for a mail, and with tabs for a spreadsheet.
  function copy(cells) {
    const rows = cells.map((row) => row.map(spreadsheetText));
    const box = document.createElement("table");
    for (const row of rows) {
      const tr = box.insertRow();
      for (const text of row) tr.insertCell().textContent = text;
    }
    const plain = rows.map((row) => row.map((text) => text.replace(/\s+/g, " ")).join("\t")).join("\n");
    const give = (event) => {
      event.clipboardData.setData("text/plain", plain);
      event.clipboardData.setData("text/html", box.outerHTML);
      event.preventDefault();
      event.stopImmediatePropagation();
    };
    document.addEventListener("copy", give, true);
    try { return document.execCommand("copy"); } finally { document.removeEventListener("copy", give, true); }
  }

  // Tables: sort by a column, search, choose. A long table holds all its rows as data and shows a page of them.
  class Table {
    constructor(root) {
      this.root = root;
      this.body = root.querySelector("tbody");
      this.heads = all("thead th", root);
      this.search = root.querySelector("[data-search]");
      this.choose = root.querySelector("[data-choose]");
      this.shown = root.querySelector(".shown");
      this.more = root.querySelector("[data-more]");
      this.page = this.body.rows.length;
      this.model = this.page ? [...this.body.rows[0].cells] : [];
      const long = data.tables[root.dataset.table];
      this.rows = long ? long.map((row, i) => this.fromData(texts(row), i)) : [...this.body.rows].map((tr) => this.fromPage(tr));
      this.left = this.shown ? this.shown.textContent : "";
      this.limit = this.page;
      this.heads.forEach((th, i) => th.querySelector("button").addEventListener("click", () => this.sort(i)));
      for (const input of [this.search, this.choose]) {
        if (input) input.addEventListener("input", () => { this.limit = this.page; this.show(); });
      }
      const button = root.querySelector("[data-copy]");
      button.hidden = false;
      button.addEventListener("click", () => {
        const rows = this.fitting();
        const done = copy([this.heads.map((th) => th.textContent.trim()), ...rows.map((row) => row.cells)]);
        button.textContent = done ? "Copied" : "Not copied";
        this.shown.hidden = false;
        this.shown.textContent = done ? `${rows.length.toLocaleString("en")} ${rows.length === 1 ? "row" : "rows"} copied.` : "The browser does not let a page copy: mark the rows instead.";
        setTimeout(() => { button.textContent = "Copy"; }, 2000);
      });
      if (this.more) this.more.addEventListener("click", () => { this.limit += 4 * this.page; this.show(); });
    }
    fromPage(tr) {
      const cells = [...tr.cells].map(cellText);
      return { tr, cells, keys: [...tr.cells].map((td) => td.dataset.v ?? td.textContent.trim()), text: cells.join(" ").toLowerCase() };
    }
    fromData(cells, i) {
      const keys = cells.map((text, column) => this.key(text, column));
      return { tr: this.body.rows[i], cells, keys, text: cells.join(" ").toLowerCase() };
    }
    key(text, column) {
      if (this.sorts(column) === "t") return text;
      const pill = pills.get(text);
      return pill ? pill.dataset.v : text.replace(/[,\s%<+]/g, "").replace("\u2212", "-").replace("\u2013", "");
    }
    sorts(column) {
      return this.heads[column].querySelector("button").dataset.sort;
    }
    row(item) {
      if (item.tr) return item.tr;
      const tr = document.createElement("tr");
      item.cells.forEach((text, i) => {
        const td = tr.insertCell();
        td.className = this.model[i].className;
        if (this.model[i].querySelector(".pill")) td.append(pills.get(text).cloneNode(true));
        else td.textContent = text;
      });
      item.tr = tr;
      return tr;
    }
    sort(column) {
      const th = this.heads[column];
      const sign = th.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      this.heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      th.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const numbers = this.sorts(column) === "n";
      const collator = new Intl.Collator(undefined, { numeric: true });
      this.rows.sort((a, b) => {
        const x = a.keys[column], y = b.keys[column];
        if (x === "" || y === "") return (x === "") - (y === "");
        const order = numbers ? Number(x) - Number(y) : NaN;
        return sign * (Number.isNaN(order) ? collator.compare(x, y) : order);
      });
      this.show();
    }
    wanted() {
      return [this.search ? this.search.value.toLowerCase().trim() : "", this.choose ? this.choose.value : ""];
    }
    fitting() {
      const [words, choice] = this.wanted();
      const column = this.choose ? Number(this.choose.dataset.choose) : 0;
      return this.rows.filter((row) => row.text.includes(words) && (!choice || row.cells[column] === choice));
    }
    show() {
      const [words, choice] = this.wanted();
      const fits = this.fitting();
      const part = fits.slice(0, Math.max(this.limit, this.page));
      this.body.replaceChildren(...part.map((row) => this.row(row)));
      const narrowed = words || choice;
      this.shown.hidden = false;
      this.shown.textContent = part.length === this.page && !narrowed ? this.left
        : `${part.length.toLocaleString("en")} of ${fits.length.toLocaleString("en")} ${narrowed ? "matching rows" : "rows"} shown.`;
      if (this.more) this.more.hidden = part.length === fits.length;
    }
  }
  const tables = new Map(all("[data-table]").map((root) => [root.dataset.table, new Table(root)]));

  // Findings of one check.
  const finds = all("[data-find]");
  finds.forEach((button) => button.addEventListener("click", () => {
    const table = tables.get("findings");
    const on = button.getAttribute("aria-pressed") !== "true";
    finds.forEach((other) => other.setAttribute("aria-pressed", "false"));
    button.setAttribute("aria-pressed", String(on));
    table.search.value = on ? button.dataset.find : "";
    table.search.dispatchEvent(new Event("input"));
  }));

  // Completeness: choose cases; a cell opens the list of its raters.
  const matrix = document.querySelector("[data-matrix]");
  if (matrix) {
    const state = document.querySelector("[data-matrix-state]");
    const search = document.querySelector("[data-matrix-search]");
    const shown = document.querySelector("[data-matrix-tools] .shown");
    const rows = [...matrix.tBodies[0].rows];
    const show = () => {
      let n = 0;
      for (const row of rows) {
        const fits = (!state.value || row.dataset.state !== "complete") && row.cells[0].textContent.toLowerCase().includes(search.value.toLowerCase().trim());
        row.hidden = !fits;
        n += fits;
      }
      shown.hidden = n === rows.length;
      shown.textContent = `${n} of ${rows.length} cases shown.`;
    };
    state.addEventListener("input", show);
    search.addEventListener("input", show);
    matrix.addEventListener("click", (event) => {
      const button = event.target.closest("[data-cell]");
      if (button) open(button);
    });
  }
  function open(button) {
    const [i, j] = button.dataset.cell.split(",").map(Number);
    const dialog = document.getElementById("details");
    document.getElementById("details-title").textContent = button.getAttribute("aria-label");
    const table = document.createElement("table");
    const head = table.createTHead().insertRow();
    for (const title of ["Rater", "State", "Slices", "Gaps", "Cut off", "Coverage", "Why"]) {
      const th = document.createElement("th");
      th.scope = "col";
      th.textContent = title;
      head.append(th);
    }
    const body = table.createTBody();
    for (const places of data.cells[i][j]) {
      const tr = body.insertRow();
      for (const text of texts(places)) tr.insertCell().textContent = text;
    }
    dialog.querySelector(".scroll").replaceChildren(table);
    dialog.showModal();
  }

  // Pictures: layers on and off.
  all("[data-layer]").forEach((box) => box.addEventListener("change", () => {
    document.querySelector("[data-pictures]").classList.toggle(`no-${box.dataset.layer}`, !box.checked);
  }));

  // A picture opens into a viewer; its address names case, slice, label and, if one is chosen, the rater.
  const figures = all("[data-pictures] .picture"), large = document.getElementById("viewer");
  let viewer = null, seen = -1, chosen = "";
  const rectangle = (box) => ["x", "y", "width", "height"].map((name) => Number(box.getAttribute(name)));
  const corners = ([x, y, width, height]) => [x, y, x + width, y + height];
  const name = (who) => who.replace(/, rejected$/, "");
  // What the viewer draws, read off the picture itself, so that nothing is in the page twice.
  function sliceOf(figure) {
    const svg = figure.querySelector("svg"), image = svg.querySelector("image:not(.l-uncertainty)"), frame = svg.querySelector(".frame");
    const [x, y, width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
    const part = image || frame ? rectangle(image || frame) : [x, y, width, height];
    return {
      around: [x, y, x + width, y + height], tall: width / height, width: part[0] + part[2], height: part[1] + part[3], part, uri: image?.getAttribute("href"),
      boxes: all(".l-boxes", svg).map((box) => ({ rater: Number(/r(\d)/.exec(box.getAttribute("class"))[1]) - 1 + 6 * box.classList.contains("dashed"), who: box.textContent, box: corners(rectangle(box)) })),
      fused: all("rect.fused", svg).map((box) => ({ box: corners(rectangle(box)), asked: true, state: box.classList.contains("dashed") ? "no_consensus" : "" })),
      outline: svg.querySelector(".l-outline")?.getAttribute("d") ?? "",
    };
  }
  function enlarge(number, rater = "") {
    seen = (number + figures.length) % figures.length;
    chosen = rater;
    if (!large.open) large.showModal();
    viewer ??= new SliceViewer(large.querySelector("canvas"));
    const slice = sliceOf(figures[seen]), caption = figures[seen].querySelector("figcaption");
    const show = (image) => { viewer.show(slice, image); viewer.around = slice.around; viewer.resize(); viewer.fit(slice.around, 0); };
    if (slice.uri) { const image = new Image(); image.src = slice.uri; image.decode().then(() => show(image)); } else show(null);
    viewer.picked = slice.boxes.find(({ who }) => name(who) === rater)?.rater ?? null;
    document.getElementById("viewer-title").textContent = [0, 1].map((i) => caption.childNodes[i].textContent).join("");
    large.querySelector("[data-raters]").replaceChildren(...slice.boxes.map(({ who, rater: colour }) => {
      const button = document.createElement("button"), line = document.createElement("i");
      Object.assign(button, { type: "button", textContent: who });
      button.setAttribute("aria-pressed", String(viewer.picked === colour));
      line.className = `line r${(colour % 6) + 1}${colour >= 6 ? " dashed" : ""}`;
      line.setAttribute("aria-hidden", "true");
      button.prepend(line);
      button.addEventListener("click", () => enlarge(seen, viewer.picked === colour ? "" : name(who)));
      return button;
    }));
    const link = `#view=${[figures[seen].dataset.place, chosen].filter(Boolean).map(encodeURIComponent).join("/")}`;
    window.history.replaceState(null, "", link);
    large.querySelector("[data-link]").href = link;
  }
  function fromAddress() {
    if (!location.hash.startsWith("#view=")) return;
    let parts = [];
    try { parts = location.hash.slice(6).split("/").map(decodeURIComponent); } catch { return; }
    const number = figures.findIndex((figure) => figure.dataset.place === parts[0]);
    if (number >= 0) enlarge(number, parts[1] ?? "");
  }
  if (large) {
    figures.forEach((figure, number) => figure.querySelector("[data-enlarge]").addEventListener("click", () => enlarge(number)));
    large.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key], zoom = { "+": 1.25, "=": 1.25, "-": 0.8 }[event.key];
      if (step) enlarge(seen + step);
      if (zoom) viewer.zoom(zoom);
      if (event.key === "0") viewer.fit(viewer.around, 0);
    });
    large.addEventListener("close", () => window.history.replaceState(null, "", "#masks"));
    large.querySelectorAll("[data-step]").forEach((button) => button.addEventListener("click", () => enlarge(seen + Number(button.dataset.step))));
    addEventListener("hashchange", fromAddress);
    fromAddress();
  }

  // Charts: plotly is kept as text and started when everything else is done, or when the page is printed.
  const places = all("[data-chart]");
  const drawn = new Set();
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  function start() {
    if (window.Plotly) return true;
    const source = document.getElementById("plotly");
    if (!source) return false;
    const script = document.createElement("script");
    script.textContent = source.textContent;
    document.head.append(script);
    source.remove();
    return Boolean(window.Plotly);
  }
  function themed(layout) {
    const line = style("--line"), ink = style("--mute");
    const axis = { gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true };
    const full = { ...layout };
    for (const name of ["xaxis", "yaxis"]) {
      full[name] = { ...axis, ...layout[name] };
      if (full[name].title) full[name].title = { ...full[name].title, font: { size: 13 } };
    }
    full.shapes = (layout.shapes ?? []).map((shape) => ({ ...shape, line: { color: ink, width: 1, dash: "dot" } }));
    return {
      ...full, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 56, r: 16, t: 12, b: 44 },
      font: { family: style("--sans"), size: 13, color: ink }, hoverlabel: { font: { family: style("--sans") } },
      legend: { orientation: "h", y: 1.08 }, modebar: { bgcolor: "rgba(0,0,0,0)", color: style("--strong"), activecolor: ink },
    };
  }
  function draw(place) {
    if (drawn.has(place) || !start()) return;
    drawn.add(place);
    place.replaceChildren();
    const chart = data.charts[place.dataset.chart];
    window.Plotly.newPlot(place, chart.data, themed(chart.layout), { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] });
  }
  const PAPER = 660; // px: what fits between the margins of A4 and of Letter
  const redraw = (width) => drawn.forEach((place) => {
    const layout = themed(data.charts[place.dataset.chart].layout);
    window.Plotly.relayout(place, width ? { ...layout, width, autosize: false } : { ...layout, width: null, autosize: true });
  });
  const idle = window.requestIdleCallback ?? ((work) => setTimeout(work, 50));
  const next = () => {
    const place = places.find((other) => !drawn.has(other));
    if (place && start()) { draw(place); idle(next); }
  };
  if (document.readyState === "complete") idle(next); else addEventListener("load", () => idle(next));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw());
  addEventListener("beforeprint", () => { all("td details, .whys").forEach((part) => { part.open = true; }); places.forEach(draw); redraw(PAPER); });
  addEventListener("afterprint", () => redraw());

  // Navigation: mark the section that is read.
  const links = new Map(all("nav li a").map((link) => [link.hash.slice(1), link]));
  const reading = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      links.forEach((link) => link.removeAttribute("aria-current"));
      links.get(entry.target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-15% 0px -75% 0px" });
  all(".part").forEach((part) => reading.observe(part));
})();
