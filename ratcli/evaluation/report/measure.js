// What the pointer and the keys do: move, zoom, window; values, a region, and a profile.
if (viewer) (() => {
  const { data, stage, sheet, shape } = viewer;
  const tool = byId("tool"), result = byId("measured"), drawn = byId("drawn");
  let cursor = [0.5, 0.5], start = null, ends = null;

  const pointOf = (event) => {
    const box = sheet.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]
      .map((share) => Math.min(Math.max(share, 0), 0.99999));
  };
  const indexOf = ({ width, height }, [x, y]) => Math.floor(y * height) * width + Math.floor(x * width);
  const written = (value, unit) => `${+value.toPrecision(Math.abs(value) >= 1000 ? 5 : 4)} ${unit}`;
  // All pictures of the plane with their values; colours are told apart, not measured.
  const pictures = () => Promise.all(Object.entries(viewer.slide().layers).map(
    async ([name, layer]) => ({ name, layer, ...(await viewer.pixels(layer)) })));
  const measured = async () => (await pictures()).filter((picture) => picture.values);
  const unitOf = ({ layer }) => data.scales[layer.scale].unit;

  async function probe(at) {
    cursor = at;
    const here = viewer.slide(), { top, left, height, width } = here.box;
    const texts = (await pictures()).map((picture) => {
      const i = indexOf(picture, at);
      const value = picture.values
        ? written(picture.values[i], unitOf(picture))
        : "R G B " + picture.bytes.slice(4 * i, 4 * i + 3).join(" ");
      return `${picture.name} ${value}`;
    });
    if (cursor !== at || here !== viewer.slide()) return;
    const row = top + Math.floor(at[1] * height) + 1, column = left + Math.floor(at[0] * width) + 1;
    byId("probe").textContent = `row ${row}, column ${column}: ${texts.join(" · ")}`;
  }

  // Mean and standard deviation in the ellipse that fits the rectangle between two corners.
  function inEllipse({ width, height, values }, [[x1, y1], [x2, y2]]) {
    const [cx, cy] = [(x1 + x2) / 2, (y1 + y2) / 2], [rx, ry] = [Math.abs(x2 - x1) / 2, Math.abs(y2 - y1) / 2];
    let count = 0, sum = 0, squares = 0;
    for (let row = Math.floor((cy - ry) * height); row <= (cy + ry) * height && row < height; row++) {
      for (let column = Math.floor((cx - rx) * width); column <= (cx + rx) * width && column < width; column++) {
        const across = ((column + 0.5) / width - cx) / rx, down = ((row + 0.5) / height - cy) / ry;
        if (across * across + down * down > 1) continue;
        const value = values[row * width + column];
        count += 1; sum += value; squares += value * value;
      }
    }
    const mean = sum / count;
    return { count, mean, sd: Math.sqrt(Math.max(squares - count * mean * mean, 0) / (count - 1)) };
  }
  async function region() {
    const [[x1, y1], [x2, y2]] = ends;
    const mark = { cx: (x1 + x2) / 2, cy: (y1 + y2) / 2, rx: Math.abs(x2 - x1) / 2, ry: Math.abs(y2 - y1) / 2 };
    drawn.replaceChildren(shape("ellipse", mark, "drawn region"));
    const found = (await measured()).map((picture) => ({ picture, ...inEllipse(picture, ends) }));
    const rows = found.filter(({ count }) => count > 1).map(({ picture, count, mean, sd }) =>
      `<tr><td>${picture.name}</td><td>${written(mean, unitOf(picture))}</td>` +
      `<td>${written(sd, unitOf(picture))}</td><td>${count}</td></tr>`);
    result.innerHTML = rows.length && `<table><thead><tr><th>drawn region</th><th>mean</th>
      <th>standard deviation</th><th>pixels</th></tr></thead><tbody>${rows.join("")}</tbody></table>`;
  }
  async function profile() {
    const [[x1, y1], [x2, y2]] = ends;
    drawn.replaceChildren(shape("line", { x1, y1, x2, y2 }, "profile"));
    const lines = (await measured()).filter(({ layer }) => layer.kind === "gray").map((picture) => {
      const steps = Math.ceil(Math.hypot((x2 - x1) * picture.width, (y2 - y1) * picture.height)) + 1;
      return { ...picture, line: Array.from({ length: steps }, (_, i) => {
        const t = i / Math.max(steps - 1, 1);
        return picture.values[indexOf(picture, [x1 + t * (x2 - x1), y1 + t * (y2 - y1)])];
      }) };
    });
    if (!lines.length) return;
    const every = lines.flatMap(({ line }) => line), most = Math.max(...every), least = Math.min(...every);
    const curves = lines.map(({ name, line }) => {
      const points = line.map((value, i) =>
        `${(460 * i / Math.max(line.length - 1, 1)).toFixed(1)},${(145 - 140 * (value - least) / (most - least || 1)).toFixed(1)}`);
      return `<polyline class="line c${colourOf(name)}" points="${points.join(" ")}"><title>${name}</title></polyline>`;
    });
    const names = lines.map(({ name }) => `<span><i class="c${colourOf(name)}"></i>${name}</span>`);
    const unit = unitOf(lines[0]);
    result.innerHTML = `<svg viewBox="0 0 460 150" role="img" aria-label="Values along the drawn line">${curves.join("")}</svg>
      <p class="legend"><span>from ${written(least, unit)} to ${written(most, unit)}</span>${names.join("")}</p>`;
  }
  const colourOf = (name) => Math.max(["input", "restored", "reference"].indexOf(name), 0);
  const draw = { region, profile };

  function forget() {
    start = ends = null;
    drawn.replaceChildren();
    result.replaceChildren();
  }
  function doing(event) {
    if (event.buttons === 2) return "window";
    return event.buttons === 4 ? "move" : tool.value;
  }
  function drag(event) {
    const point = pointOf(event), box = sheet.getBoundingClientRect(), what = doing(event);
    if (what === "divider") {
      const frame = stage.getBoundingClientRect();
      viewer.split.value = String(Math.round(100 * (event.clientX - frame.left) / frame.width));
      viewer.divide();
    } else if (what === "move") viewer.move(event.movementX / box.width, event.movementY / box.height);
    else if (what === "window" && viewer.isGray) viewer.changeWindow(event.movementX / 200, event.movementY / 400);
    else if (what in draw && start) {
      ends = [start, point];
      draw[what]();
    }
  }

  // Two fingers zoom about the point between them.
  const fingers = new Map();
  function pinch(event) {
    const apart = () => {
      const [a, b] = [...fingers.values()];
      return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
    };
    const before = apart();
    fingers.set(event.pointerId, event);
    viewer.zoom(apart() / before, pointOf(event));
  }
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, event);
    start = pointOf(event);
    if (tool.value === "divider" && event.button === 0) drag(event);
  });
  stage.addEventListener("pointermove", (event) => {
    if (fingers.size === 2) return pinch(event);
    if (event.buttons) drag(event);
    probe(pointOf(event));
  });
  for (const end of ["pointerup", "pointercancel"]) {
    stage.addEventListener(end, (event) => fingers.delete(event.pointerId));
  }
  stage.addEventListener("contextmenu", (event) => event.preventDefault());
  stage.addEventListener("dblclick", viewer.whole);
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    const isZoom = event.ctrlKey || event.shiftKey || !viewer.isGray;
    if (isZoom) viewer.zoom((event.deltaY || event.deltaX) < 0 ? 1.25 : 0.8, pointOf(event));
    else viewer.step(Math.sign(event.deltaY));
  }, { passive: false });

  const tools = { d: "divider", w: "window", m: "move", r: "region", l: "profile" };
  const shift = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const keys = {
    ArrowLeft: () => { viewer.split.value -= 2; viewer.divide(); },
    ArrowRight: () => { viewer.split.value = Number(viewer.split.value) + 2; viewer.divide(); },
    ArrowUp: () => viewer.step(1),
    ArrowDown: () => viewer.step(-1),
    "+": () => viewer.zoom(1.25),
    "-": () => viewer.zoom(0.8),
    0: viewer.whole,
    i: () => { viewer.invert.checked = !viewer.invert.checked; viewer.show(); },
    Escape: forget,
  };
  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { width, height } = viewer.slide().box;
    if (event.shiftKey && event.key in shift) {
      const [right, down] = shift[event.key];
      probe([[cursor[0], right / width], [cursor[1], down / height]].map(
        ([from, by]) => Math.min(Math.max(from + by, 0), 0.99999)));
    } else if (event.key in tools) tool.value = tools[event.key];
    else if (event.key in keys) keys[event.key]();
    else return;
    event.preventDefault();
  });
  byId("closer").addEventListener("click", () => viewer.zoom(1.5));
  byId("farther").addEventListener("click", () => viewer.zoom(1 / 1.5));
  byId("whole").addEventListener("click", viewer.whole);
  // Another plane keeps what was drawn, and measures it there.
  viewer.onShow(() => {
    if (ends) draw[drawn.querySelector("line") ? "profile" : "region"]();
  });
})();
