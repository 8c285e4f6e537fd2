"use strict";
// One slice on a canvas: pixels, raters' boxes, the fused box with its spread, the outline of a mask.
// The wheel with Ctrl zooms, the middle button or Space drags; boxes are drawn and moved where it is allowed.
const RATER_COLOURS = ["#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#0072b2", "#d55e00"];
class SliceViewer {
  constructor(canvas, { editable = false, onBox = () => {}, onView = () => {} } = {}) {
    Object.assign(this, { canvas, editable, onBox, onView, slice: null, image: null, draft: null, drag: null, picked: null, space: false });
    this.layers = { boxes: true, fused: true, others: true, outline: true, uncertainty: false };
    this.hidden = new Set();
    this.window = { level: 128, width: 256 };
    this.view = { x: 0, y: 0, scale: 1 };
    this.context = canvas.getContext("2d");
    for (const [name, does] of Object.entries({ pointerdown: this.down, pointermove: this.move, pointerup: this.up, pointercancel: this.up })) {
      canvas.addEventListener(name, does.bind(this));
    }
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, event.offsetX, event.offsetY);
    }, { passive: false });
    new ResizeObserver(() => { this.resize(); this.draw(); }).observe(canvas);
    this.resize();
  }
  resize() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    Object.assign(this.canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    this.ratio = ratio;
    if (this.slice) this.fit(this.around, this.share);
  }
  // What is shown: a slice as the server sends it, and its picture, if there is one.
  show(slice, image = null) {
    this.slice = slice;
    this.image = image;
    this.grey = null;
    this.uncertainty = null;
    this.draw();
  }
  get tall() { return this.slice.tall || 1; }
  // The part round a box, with room; the whole slice without one.
  fit(box = null, share = 0.6) {
    this.around = box;
    this.share = share;
    const { width, height } = this.slice;
    const [x0, y0, x1, y1] = box || [0, 0, width, height];
    const room = box ? Math.max(x1 - x0, y1 - y0, 24) * share : 0;
    const { clientWidth, clientHeight } = this.canvas;
    this.view.scale = Math.min(clientWidth / (x1 - x0 + 2 * room), clientHeight / ((y1 - y0 + 2 * room) * this.tall), 24);
    this.view.x = (x0 + x1) / 2 - clientWidth / 2 / this.view.scale;
    this.view.y = (y0 + y1) / 2 - clientHeight / 2 / this.view.scale / this.tall;
    this.draw();
  }
  zoom(factor, px = this.canvas.clientWidth / 2, py = this.canvas.clientHeight / 2) {
    const [x, y] = this.toImage(px, py);
    this.view.scale = Math.min(Math.max(this.view.scale * factor, 0.05), 64);
    this.view.x = x - px / this.view.scale;
    this.view.y = y - py / this.view.scale / this.tall;
    this.onView();
    this.draw();
  }
  toImage(px, py) { return [px / this.view.scale + this.view.x, py / this.view.scale / this.tall + this.view.y]; }
  toScreen(x, y) { return [(x - this.view.x) * this.view.scale, (y - this.view.y) * this.view.scale * this.tall]; }
  clamp([x0, y0, x1, y1]) {
    const { width, height } = this.slice;
    const [a, b] = [x0, x1].map((v) => Math.min(Math.max(v, 0), width)).sort((p, q) => p - q);
    const [c, d] = [y0, y1].map((v) => Math.min(Math.max(v, 0), height)).sort((p, q) => p - q);
    return [a, c, b, d].map((v) => Math.round(v * 100) / 100);
  }
  setDraft(box) {
    this.draft = box && this.clamp(box);
    this.onBox(this.draft);
    this.draw();
  }
  // Which edges of the draft are under the pointer: [x index, y index]; "all" inside it.
  grip(px, py) {
    if (!this.draft) return null;
    const [left, top] = this.toScreen(this.draft[0], this.draft[1]);
    const [right, bottom] = this.toScreen(this.draft[2], this.draft[3]);
    const near = (v, low, high) => (Math.abs(v - low) < 7 ? 0 : Math.abs(v - high) < 7 ? 1 : -1);
    if (px < left - 7 || px > right + 7 || py < top - 7 || py > bottom + 7) return null;
    const x = near(px, left, right), y = near(py, top, bottom);
    return x < 0 && y < 0 ? "all" : [x, y];
  }
  down(event) {
    if (!this.slice) return;
    const start = this.toImage(event.offsetX, event.offsetY);
    const pans = event.button === 1 || this.space || !this.editable;
    const windows = event.button === 2;
    const grip = pans || windows ? null : this.grip(event.offsetX, event.offsetY);
    this.drag = { kind: windows ? "window" : pans ? "pan" : grip ? "grip" : "draw", grip, start, px: event.offsetX, py: event.offsetY, box: this.draft, view: { ...this.view }, window: { ...this.window } };
    this.canvas.setPointerCapture(event.pointerId);
    event.preventDefault();
    this.canvas.focus();
  }
  move(event) {
    if (!this.drag) {
      if (this.slice && this.editable) this.canvas.style.cursor = this.grip(event.offsetX, event.offsetY) ? "move" : "crosshair";
      return;
    }
    const { kind, grip, start, px, py, box, view } = this.drag;
    const dx = event.offsetX - px, dy = event.offsetY - py;
    if (kind === "pan") {
      this.view.x = view.x - dx / view.scale;
      this.view.y = view.y - dy / view.scale / this.tall;
      this.onView();
      this.draw();
    } else if (kind === "window") {
      this.setWindow(this.drag.window.level - dy, this.drag.window.width + dx);
    } else {
      const [x, y] = this.toImage(event.offsetX, event.offsetY);
      if (kind === "draw") {
        if (Math.hypot(dx, dy) > 3) this.setDraft([start[0], start[1], x, y]);
        return;
      }
      const by = [x - start[0], y - start[1]];
      const moved = [...box];
      if (grip === "all") [0, 1, 2, 3].forEach((i) => { moved[i] += by[i % 2]; });
      else grip.forEach((end, axis) => { if (end >= 0) moved[axis + 2 * end] += by[axis]; });
      this.setDraft(moved);
    }
  }
  up(event) {
    if (!this.drag) return;
    const { kind, px, py } = this.drag;
    this.drag = null;
    if (this.draft && (this.draft[2] - this.draft[0] < 0.5 || this.draft[3] - this.draft[1] < 0.5)) this.setDraft(null);
    if (kind === "draw" && Math.hypot(event.offsetX - px, event.offsetY - py) <= 3) this.pick(...this.toImage(px, py));
  }
  pick(x, y) {
    const inside = this.slice.boxes.filter(({ box: [a, b, c, d] }) => x >= a && x <= c && y >= b && y <= d);
    inside.sort((p, q) => (p.box[2] - p.box[0]) * (p.box[3] - p.box[1]) - (q.box[2] - q.box[0]) * (q.box[3] - q.box[1]));
    if (inside.length) this.canvas.dispatchEvent(new CustomEvent("pick", { detail: inside[0] }));
  }
  setWindow(level, width) {
    this.window = { level: Math.min(Math.max(level, 0), 255), width: Math.min(Math.max(width, 2), 512) };
    this.grey = null;
    this.onView();
    this.draw();
  }
  pixels() {
    if (!this.image) return null;
    const { level, width } = this.window;
    if (level === 128 && width === 256) return this.image;
    if (this.grey) return this.grey;
    const sheet = document.createElement("canvas");
    Object.assign(sheet, { width: this.image.naturalWidth || this.image.width, height: this.image.naturalHeight || this.image.height });
    const context = sheet.getContext("2d");
    context.drawImage(this.image, 0, 0);
    const data = context.getImageData(0, 0, sheet.width, sheet.height);
    const table = Uint8ClampedArray.from({ length: 256 }, (_, v) => ((v - level) / width + 0.5) * 255);
    for (let i = 0; i < data.data.length; i += 4) for (let c = 0; c < 3; c += 1) data.data[i + c] = table[data.data[i + c]];
    context.putImageData(data, 0, 0);
    this.grey = sheet;
    return sheet;
  }
  draw() {
    if (this.waits) return;
    this.waits = true;
    requestAnimationFrame(() => { this.waits = false; this.paint(); });
  }
  paint() {
    const { context, canvas, slice, ratio = 1 } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#0b0d0f";
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (!slice) return;
    const { x, y, scale } = this.view;
    this.sx = scale * ratio;
    this.sy = scale * ratio * this.tall;
    context.setTransform(this.sx, 0, 0, this.sy, -x * this.sx, -y * this.sy);
    context.imageSmoothingEnabled = scale < 3;
    const pixels = this.pixels();
    const [left, top, width, height] = slice.part || [0, 0, slice.width, slice.height];
    if (pixels) context.drawImage(pixels, left, top, width, height);
    else { context.fillStyle = "#3a3f46"; context.fillRect(0, 0, slice.width, slice.height); }
    if (this.layers.uncertainty && this.uncertainty) context.drawImage(this.uncertainty, 0, 0, slice.width, slice.height);
    const shown = ({ label }) => this.layers.others || !slice.label || label === slice.label;
    if (this.layers.fused) slice.fused.filter(shown).forEach((one) => this.fusedBox(one));
    if (this.layers.boxes) slice.boxes.filter((one) => shown(one) && !this.hidden.has(one.rater)).forEach((one) => this.raterBox(one));
    if (this.layers.outline && slice.outline) {
      const path = new Path2D();
      path.addPath(new Path2D(slice.outline), new DOMMatrix([this.sx, 0, 0, this.sy, -x * this.sx, -y * this.sy]));
      this.stroke(path, "#f0e442", 2);
    }
    if (this.draft) this.draftBox();
  }
  rectangle([x0, y0, x1, y1]) {
    const path = new Path2D();
    const { x, y } = this.view;
    path.rect((x0 - x) * this.sx, (y0 - y) * this.sy, (x1 - x0) * this.sx, (y1 - y0) * this.sy);
    return path;
  }
  stroke(path, colour, width, dash = []) {
    const { context, ratio = 1 } = this;
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.lineWidth = (width + 1.6) * ratio;
    context.strokeStyle = "rgb(0 0 0 / .55)";
    context.setLineDash(dash.map((v) => v * ratio));
    context.stroke(path);
    context.lineWidth = width * ratio;
    context.strokeStyle = colour;
    context.stroke(path);
    context.restore();
  }
  raterBox({ rater, label, box }) {
    const other = this.slice.label && label !== this.slice.label;
    const width = this.picked === rater ? 3.2 : other ? 1 : 1.7;
    this.stroke(this.rectangle(box), RATER_COLOURS[rater % 6], width, other ? [2, 4] : rater >= 6 ? [6, 3] : []);
  }
  fusedBox({ box, spread, state, asked }) {
    const { context } = this;
    if (spread && spread.every((v) => v !== null)) {
      const outer = new Path2D(this.rectangle([box[0] - spread[0], box[1] - spread[1], box[2] + spread[2], box[3] + spread[3]]));
      outer.addPath(this.rectangle([box[0] + spread[0], box[1] + spread[1], box[2] - spread[2], box[3] - spread[3]]));
      context.save();
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.fillStyle = "rgb(255 255 255 / .2)";
      context.fill(outer, "evenodd");
      context.restore();
    }
    this.stroke(this.rectangle(box), "#ffffff", asked ? 2.6 : 1.2, state === "no_consensus" ? [5, 4] : []);
  }
  draftBox() {
    this.stroke(this.rectangle(this.draft), "#ff5ad2", 2.2);
    const { context, ratio = 1 } = this;
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#ff5ad2";
    for (const px of [0, 0.5, 1]) {
      for (const py of [0, 0.5, 1]) {
        if (px === 0.5 && py === 0.5) continue;
        const [x, y] = this.toScreen(this.draft[0] + px * (this.draft[2] - this.draft[0]), this.draft[1] + py * (this.draft[3] - this.draft[1]));
        context.fillRect(x * ratio - 3 * ratio, y * ratio - 3 * ratio, 6 * ratio, 6 * ratio);
      }
    }
    context.restore();
  }
}
