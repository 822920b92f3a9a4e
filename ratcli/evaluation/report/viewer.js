// The pictures: planes, window, zoom, and the divider between two of them.
// Places in a picture are shares of its width and height, from 0 to 1.
const viewer = byId("data") && (() => {
  const data = JSON.parse(byId("data").textContent);
  const stage = byId("stage"), sheet = byId("sheet"), split = byId("split"), plane = byId("plane");
  const low = byId("low"), high = byId("high"), invert = byId("invert"), view = byId("view");
  const menus = { over: byId("left"), under: byId("right") };
  const where = { zoom: 1, x: 0.5, y: 0.5 };
  const listeners = [];

  const slides = () => data.slides.filter((each) => each.view === view.value);
  const slide = () => slides()[Number(plane.value)];

  const ramps = {
    // Rising in lightness, safe for colour-blind eyes.
    heat: [[0, [8, 8, 32]], [0.3, [70, 20, 110]], [0.6, [200, 60, 70]], [0.8, [250, 140, 30]], [1, [255, 250, 170]]],
    signed: [[0, [90, 190, 255]], [0.25, [20, 80, 190]], [0.5, [0, 0, 0]], [0.75, [190, 70, 20]], [1, [255, 190, 90]]],
    gray: [[0, [0, 0, 0]], [1, [255, 255, 255]]],
    inverted: [[0, [255, 255, 255]], [1, [0, 0, 0]]],
  };
  const rampOf = (layer) => ramps[layer.kind === "gray" && invert.checked ? "inverted" : layer.kind];
  function colour(stops, share) {
    const next = Math.max(stops.findIndex(([at]) => share <= at), 1);
    const [a, from] = stops[next - 1], [b, to] = stops[next];
    return from.map((v, c) => Math.round(v + (share - a) / (b - a) * (to[c] - v)));
  }
  function range(layer) {
    if (layer.kind === "gray") return [Number(low.value), Number(high.value)];
    const values = data.scales[layer.scale].values;
    return [values[0], values[values.length - 1]];
  }

  // Values of a picture in its unit; of a colour picture, its bytes.
  const decoded = new Map();
  function pixels(layer) {
    if (!decoded.has(layer.uri)) decoded.set(layer.uri, decode(layer));
    return decoded.get(layer.uri);
  }
  async function decode(layer) {
    const image = new Image();
    image.src = layer.uri;
    await image.decode();
    const width = image.naturalWidth, height = image.naturalHeight;
    const most = Math.max(8, Math.floor(3e7 / (width * height)));
    while (decoded.size > most) decoded.delete(decoded.keys().next().value);
    const context = new OffscreenCanvas(width, height).getContext("2d");
    context.drawImage(image, 0, 0);
    const bytes = context.getImageData(0, 0, width, height).data;
    if (layer.kind === "colour") return { width, height, bytes };
    const values = new Float32Array(width * height), levels = data.scales[layer.scale].values;
    for (let i = 0; i < values.length; i++) {
      values[i] = layer.step
        ? layer.first + layer.step * (256 * bytes[4 * i] + bytes[4 * i + 1])
        : levels[bytes[4 * i]];
    }
    return { width, height, values };
  }

  async function paint(side) {
    const name = menus[side].value, layer = slide().layers[name];
    const { width, height, bytes, values } = await pixels(layer);
    if (slide().layers[menus[side].value] !== layer) return;
    const canvas = byId(side), picture = new ImageData(width, height), out = picture.data;
    if (bytes) out.set(bytes);
    else {
      const [from, to] = range(layer), stops = rampOf(layer);
      const table = Array.from({ length: 256 }, (_, level) => colour(stops, level / 255));
      for (let i = 0; i < values.length; i++) {
        const share = Math.min(Math.max((values[i] - from) / (to - from || 1), 0), 1);
        const c = table[Math.round(255 * share)];
        out[4 * i] = c[0]; out[4 * i + 1] = c[1]; out[4 * i + 2] = c[2]; out[4 * i + 3] = 255;
      }
    }
    canvas.width = width;
    canvas.height = height;
    canvas.getContext("2d").putImageData(picture, 0, 0);
    canvas.setAttribute("aria-label", name + " of " + slide().title.toLowerCase());
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
    const stops = rampOf(layer).map(([at, c]) => `rgb(${c.join(",")}) ${at * 100}%`);
    bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
    place.append(String(+from.toPrecision(4)), bar, +to.toPrecision(4) + " " + unit);
  }

  // The sheet holds the pictures; it is larger than the stage when zoomed.
  function place() {
    const half = 0.5 / where.zoom;
    where.x = Math.min(Math.max(where.x, half), 1 - half);
    where.y = Math.min(Math.max(where.y, half), 1 - half);
    sheet.style.width = sheet.style.height = 100 * where.zoom + "%";
    sheet.style.left = 100 * (0.5 - where.x * where.zoom) + "%";
    sheet.style.top = 100 * (0.5 - where.y * where.zoom) + "%";
    sheet.classList.toggle("zoomed", where.zoom > 2);
    stage.dataset.zoom = where.zoom.toFixed(2);
    divide();
  }
  function divide() {
    const share = where.x + (split.value / 100 - 0.5) / where.zoom;
    byId("over").style.clipPath = `inset(0 ${+(100 - 100 * share).toFixed(3)}% 0 0)`;
    byId("divider").style.left = split.value + "%";
    split.setAttribute("aria-valuetext", split.value + " % left picture");
  }
  function zoom(factor, at = [where.x, where.y]) {
    const before = where.zoom;
    where.zoom = Math.min(Math.max(before * factor, 1), 32);
    const kept = 1 - before / where.zoom;
    where.x += (at[0] - where.x) * kept;
    where.y += (at[1] - where.y) * kept;
    place();
  }
  function move(right, down) {
    where.x -= right;
    where.y -= down;
    place();
  }
  function whole() {
    Object.assign(where, { zoom: 1, x: 0.5, y: 0.5 });
    place();
  }
  // Right: a wider window; down: a higher level.
  function changeWindow(right, down) {
    const width = high.value - low.value, middle = (Number(low.value) + Number(high.value)) / 2;
    const wide = Math.max(width * Math.exp(right), 1e-3), level = middle + down * width;
    low.value = +(level - wide / 2).toPrecision(4);
    high.value = +(level + wide / 2).toPrecision(4);
    show();
  }

  function marks() {
    byId("places").parentElement.hidden = !("suspicion" in slide().layers);
    const shown = byId("places").checked ? slide().places : [];
    byId("spots").replaceChildren(...shown.map(([x, y, text]) => ring(x, y, text)));
    const patches = byId("patches").checked ? slide().patches : [];
    byId("boxes").replaceChildren(...patches.map(([x, y, width, height]) =>
      shape("rect", { x, y, width, height }, "patch in which noise is measured")));
  }
  function shape(kind, attributes, text = "") {
    const made = document.createElementNS("http://www.w3.org/2000/svg", kind);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
    title.textContent = text;
    made.append(title);
    return made;
  }
  const ring = (cx, cy, text) => shape("ellipse", { cx, cy, rx: 0.022, ry: 0.022 * slide().aspect }, text);
  function outlines() {
    const image = byId("outlines"), shown = byId("regions").checked && slide().outlines;
    image.hidden = !shown;
    if (shown) image.src = slide().outlines;
  }

  async function show() {
    const here = slide(), count = here.places.length;
    const places = count === 1 ? "; 1 suspicious place" : `; ${count} suspicious places`;
    byId("caption").textContent = here.title + ("suspicion" in here.layers ? places : "");
    plane.setAttribute("aria-valuetext", here.title);
    stage.style.setProperty("--aspect", here.aspect);
    outlines();
    marks();
    place();
    listeners.forEach((heard) => heard());
    await Promise.all([paint("over"), paint("under")]);
    stage.dataset.ready = here.plane + " " + menus.over.value + " " + menus.under.value;
  }
  function step(by) {
    plane.value = String(Number(plane.value) + by);
    show();
  }
  // Another direction has its own planes, and perhaps fewer pictures of each.
  function chooseView() {
    const names = Object.keys(slides()[0].layers);
    const pick = (wanted, before) =>
      [before, ...wanted].find((name) => names.includes(name)) || names[0];
    const starts = { over: ["input", "bicubic", "reference"], under: ["restored"] };
    for (const [side, menu] of Object.entries(menus)) {
      const chosen = pick(starts[side], menu.value);
      menu.replaceChildren(...names.map((name) => new Option(name, name)));
      menu.value = chosen;
    }
    plane.max = slides().length - 1;
    plane.value = Math.floor((slides().length - 1) / 2);
    whole();
    show();
  }
  // Show a place that a table names.
  function goTo(index, x, y, text) {
    const wanted = data.slides[index];
    if (view.value !== wanted.view) {
      view.value = wanted.view;
      chooseView();
    }
    plane.value = slides().indexOf(wanted);
    Object.assign(where, { zoom: 3, x, y });
    show();
    byId("spots").append(ring(x, y, text));
    stage.focus();
    stage.scrollIntoView({ block: "center" });
  }

  const isGray = Object.values(data.slides[0].layers)[0].kind === "gray";
  document.querySelectorAll(".gray-only").forEach((part) => { part.hidden = !isGray; });
  byId("patches").parentElement.hidden = !data.slides.some((each) => each.patches.length);
  for (const name of new Set(data.slides.map((each) => each.view))) view.append(new Option(name, name));
  view.parentElement.hidden = view.options.length < 2;
  const first = document.querySelector(".preset"), levels = data.scales.image.values;
  low.value = first ? first.dataset.low : +levels[0].toPrecision(3);
  high.value = first ? first.dataset.high : +levels[255].toPrecision(3);
  invert.checked = data.inverted;
  document.querySelectorAll(".preset").forEach((button) => button.addEventListener("click", () => {
    low.value = button.dataset.low;
    high.value = button.dataset.high;
    show();
  }));
  for (const input of [low, high, invert, ...Object.values(menus)]) input.addEventListener("change", show);
  view.addEventListener("change", chooseView);
  plane.addEventListener("input", show);
  split.addEventListener("input", divide);
  byId("places").addEventListener("change", marks);
  byId("patches").addEventListener("change", marks);
  byId("regions").addEventListener("change", outlines);
  document.querySelectorAll("tr[data-slide] button").forEach((button) => button.addEventListener("click", () => {
    const { slide: index, x, y } = button.closest("tr").dataset;
    goTo(Number(index), Number(x), Number(y), button.textContent);
  }));
  chooseView();

  return {
    data, stage, sheet, slide, pixels, shape, show, step, divide, zoom, move, whole, changeWindow, isGray,
    split, invert, onShow: (heard) => listeners.push(heard),
  };
})();
