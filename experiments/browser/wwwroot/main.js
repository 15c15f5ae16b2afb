import { dotnet } from './_framework/dotnet.js';

const [drop, file, canvas, status, predictions] = ['drop', 'file', 'image', 'status', 'predictions'].map(id => document.getElementById(id));
const top = 5;
let classes = [];

/** The exported functions of Engine.cs, once the runtime has started. */
const engine = (async () => {
  const { getAssemblyExports, getConfig } = await dotnet.create();
  return (await getAssemblyExports(getConfig().mainAssemblyName)).NormFree.Browser.Engine;
})();

function report(text, isError = false) {
  status.textContent = text;
  status.classList.toggle('error', isError);
}

/** Loads a packed network from a file or a response. */
async function load(source, name) {
  classes = (await engine).Load(new Uint8Array(await source.arrayBuffer()), name);
  report(`${name}: ${classes.length} classes. Drop an image.`);
}

/** The pixels as in training: without rotation by Exif tags, and without colour management. */
async function decode(image) {
  const bitmap = await createImageBitmap(image, { imageOrientation: 'none', colorSpaceConversion: 'none', premultiplyAlpha: 'none' })
    .catch(() => { throw new Error(`${image.name} is not an image that this browser can decode.`); });
  const { width, height } = Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
  canvas.style.imageRendering = width < canvas.clientWidth ? 'pixelated' : 'auto';
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const rgba = context.getImageData(0, 0, width, height).data;
  const rgb = new Uint8Array(3 * width * height);
  for (let i = 0; i < rgb.length; i++) rgb[i] = rgba[i + Math.floor(i / 3)];
  return { width, height, rgb };
}

async function classify(image) {
  report('Classifying…');
  const { width, height, rgb } = await decode(image);
  await new Promise(done => requestAnimationFrame(() => setTimeout(done))); // shows the image before the engine keeps this thread busy
  const start = performance.now();
  const probabilities = (await engine).Classify(rgb, height, width);
  const time = performance.now() - start;
  const best = classes.map((name, i) => ({ name, probability: probabilities[i] })).sort((a, b) => b.probability - a.probability);
  predictions.replaceChildren(...best.slice(0, top).map(row));
  report(`${image.name}: ${width} × ${height} pixels, ${time.toFixed(0)} ms`);
}

function row({ name, probability }) {
  const [item, label, meter, output] = ['li', 'span', 'meter', 'output'].map(tag => document.createElement(tag));
  label.textContent = name;
  meter.value = probability;
  output.textContent = `${(100 * probability).toFixed(2)} %`;
  item.dataset.probability = probability;
  item.append(label, meter, output);
  return item;
}

async function open(chosen) {
  if (!chosen) return;
  predictions.replaceChildren();
  try {
    await (chosen.name.endsWith('.safetensors') ? load(chosen, chosen.name) : classify(chosen));
  } catch (error) {
    report(error.message, true);
  }
}

file.addEventListener('change', () => open(file.files[0]));
for (const kind of ['dragenter', 'dragover', 'dragleave', 'drop']) {
  drop.addEventListener(kind, event => {
    event.preventDefault();
    drop.classList.toggle('over', kind === 'dragenter' || kind === 'dragover');
    if (kind === 'drop') open(event.dataTransfer.files[0]);
  });
}

/** Loads the network beside the page. Without one, the user drops a packed file first. */
async function loadBeside() {
  const beside = await fetch('network.packed.safetensors');
  if (beside.ok) await load(beside, 'network.packed.safetensors');
  else report('Drop a packed network (.safetensors), then an image.');
}

loadBeside().catch(error => report(error.message, true));
