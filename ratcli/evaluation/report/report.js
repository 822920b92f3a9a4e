"use strict";
(function () {
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);

  const theme = byId("theme");
  const isDark = () => root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  const nameTheme = () => {
    theme.textContent = isDark() ? "Light" : "Dark";
    theme.setAttribute("aria-pressed", String(isDark()));
  };
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    nameTheme();
  });
  nameTheme();

  const source = byId("data");
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const stage = byId("stage"), split = byId("split"), plane = byId("plane");
  const menus = { over: byId("left"), under: byId("right") };
  const low = byId("low"), high = byId("high");
  stage.style.aspectRatio = String(data.aspect);

  const ramps = {
    // Dark blue over black to orange and to yellow: rising in lightness, safe for colour-blind eyes.
    heat: [[0, [8, 8, 32]], [0.3, [70, 20, 110]], [0.6, [200, 60, 70]], [0.8, [250, 140, 30]], [1, [255, 250, 170]]],
    signed: [[0, [90, 190, 255]], [0.25, [20, 80, 190]], [0.5, [0, 0, 0]], [0.75, [190, 70, 20]], [1, [255, 190, 90]]],
    gray: [[0, [0, 0, 0]], [1, [255, 255, 255]]],
  };
  function colour(kind, share) {
    const stops = ramps[kind];
    for (let i = 1; i < stops.length; i++) {
      if (share <= stops[i][0]) {
        const [a, from] = stops[i - 1], [b, to] = stops[i];
        const t = (share - a) / (b - a);
        return from.map((v, c) => Math.round(v + t * (to[c] - v)));
      }
    }
    return stops[stops.length - 1][1];
  }
  function range(layer) {
    if (layer.kind === "gray") return [Number(low.value), Number(high.value)];
    const values = data.scales[layer.scale].values;
    return [values[0], values[values.length - 1]];
  }
  function table(layer) {
    const values = data.scales[layer.scale].values, [from, to] = range(layer);
    return values.map((v) => colour(layer.kind, Math.min(Math.max((v - from) / (to - from || 1), 0), 1)));
  }

  const decoded = new Map();
  async function pixels(uri) {
    if (!decoded.has(uri)) {
      if (decoded.size > 24) decoded.clear();
      const image = new Image();
      image.src = uri;
      await image.decode();
      const canvas = document.createElement("canvas");
      canvas.width = image.naturalWidth;
      canvas.height = image.naturalHeight;
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0);
      decoded.set(uri, context.getImageData(0, 0, canvas.width, canvas.height));
    }
    return decoded.get(uri);
  }

  const slide = () => data.slides[Number(plane.value)];
  async function paint(side) {
    const name = menus[side].value, layer = slide().layers[name];
    const levels = await pixels(layer.uri);
    if (slide().layers[menus[side].value] !== layer) return;
    const canvas = byId(side);
    const picture = new ImageData(new Uint8ClampedArray(levels.data), levels.width, levels.height);
    if (layer.kind !== "colour") {
      const colours = table(layer), out = picture.data;
      for (let i = 0; i < out.length; i += 4) {
        const c = colours[out[i]];
        out[i] = c[0]; out[i + 1] = c[1]; out[i + 2] = c[2];
      }
    }
    canvas.width = levels.width;
    canvas.height = levels.height;
    canvas.getContext("2d").putImageData(picture, 0, 0);
    canvas.setAttribute("aria-label", name + " of plane " + (slide().plane + 1));
    legend(side === "over" ? "left" : "right", name, layer);
  }
  function legend(side, name, layer) {
    byId(side + "-tag").textContent = name;
    const place = byId(side + "-legend");
    place.textContent = name + ": ";
    if (layer.kind === "colour") { place.textContent += "colour"; return; }
    const [from, to] = range(layer), unit = data.scales[layer.scale].unit;
    const bar = document.createElement("span");
    bar.className = "bar";
    const stops = ramps[layer.kind].map(([at, c]) => `rgb(${c.join(",")}) ${at * 100}%`);
    bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
    place.append(String(+from.toPrecision(4)), bar, +to.toPrecision(4) + " " + unit);
  }
  function divide() {
    const share = split.value + "%";
    byId("over").style.clipPath = `inset(0 ${100 - split.value}% 0 0)`;
    byId("divider").style.left = share;
    split.setAttribute("aria-valuetext", split.value + " % left picture");
  }
  function marks() {
    const svg = byId("marks"), shown = byId("places").checked;
    svg.replaceChildren();
    if (!shown) return;
    for (const [x, y, text] of slide().places) {
      const ring = document.createElementNS("http://www.w3.org/2000/svg", "ellipse");
      ring.setAttribute("cx", x);
      ring.setAttribute("cy", y);
      ring.setAttribute("rx", 0.022);
      ring.setAttribute("ry", 0.022 * data.aspect);
      const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
      title.textContent = text;
      ring.append(title);
      svg.append(ring);
    }
  }
  function outlines() {
    const image = byId("outlines"), shown = byId("regions").checked && slide().outlines;
    image.hidden = !shown;
    if (shown) image.src = slide().outlines;
  }
  async function show() {
    const here = slide(), count = here.places.length;
    const places = count === 1 ? "1 suspicious place" : count + " suspicious places";
    byId("caption").textContent = `Plane ${here.plane + 1}` + (checked ? "; " + places : "");
    plane.setAttribute("aria-valuetext", "plane " + (here.plane + 1));
    outlines();
    marks();
    divide();
    await Promise.all([paint("over"), paint("under")]);
    stage.dataset.ready = here.plane + " " + menus.over.value + " " + menus.under.value;
  }

  const checked = "suspicion" in data.slides[0].layers;
  if (!checked) byId("places").parentElement.hidden = true;
  const names = Object.keys(data.slides[0].layers);
  const pick = (wanted, other) => wanted.find((name) => names.includes(name)) || other;
  for (const menu of Object.values(menus)) {
    for (const name of names) menu.append(new Option(name, name));
    menu.addEventListener("change", show);
  }
  menus.over.value = pick(["input", "bicubic", "reference"], names[0]);
  menus.under.value = pick(["restored"], names[0]);

  const gray = data.slides[0].layers[names[0]].kind === "gray";
  if (!gray) document.querySelectorAll(".gray-only").forEach((part) => { part.hidden = true; });
  const first = document.querySelector(".preset");
  const levels = data.scales.image.values;
  low.value = first ? first.dataset.low : +levels[0].toPrecision(3);
  high.value = first ? first.dataset.high : +levels[255].toPrecision(3);
  document.querySelectorAll(".preset").forEach((button) => button.addEventListener("click", () => {
    low.value = button.dataset.low;
    high.value = button.dataset.high;
    show();
  }));
  for (const input of [low, high]) input.addEventListener("change", show);
  plane.addEventListener("input", show);
  split.addEventListener("input", divide);
  byId("places").addEventListener("change", marks);
  byId("regions").addEventListener("change", outlines);

  function step(input, by) {
    input.value = String(Number(input.value) + by);
    input.dispatchEvent(new Event("input"));
  }
  stage.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [split, -2], ArrowRight: [split, 2], ArrowUp: [plane, 1], ArrowDown: [plane, -1] };
    if (!(event.key in moves)) return;
    event.preventDefault();
    step(...moves[event.key]);
  });
  function drag(event) {
    if (event.buttons !== 1) return;
    const box = stage.getBoundingClientRect();
    split.value = String(Math.round(100 * (event.clientX - box.left) / box.width));
    divide();
  }
  stage.addEventListener("pointerdown", drag);
  stage.addEventListener("pointermove", drag);
  show();
})();
