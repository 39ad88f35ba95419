// The same request as a command to paste: curl, Python's httpx, OpenAI's client.

import { asRequest } from "./choice.js";
import { key } from "./key.js";
import { say } from "./words.js";

const MOST_OF_OPENAI = 10; // images
const here = (path) => new URL(path, document.baseURI).href;

/** For a POSIX shell. The body goes in by a here-document, so that nothing in it needs escaping. */
export function curl(settled) {
  const images = settled.can.dataset.kind === "images";
  const file = images ? ` -o ${fileName(settled)}.png` : "";
  const auth = key.value ? ` -H "Authorization: Bearer $SPIRALE_API_KEY"` : "";
  return `curl -d @- ${here("sample")}${auth}${file} <<'END'\n${JSON.stringify(asRequest(settled))}\nEND\n`;
}

export function httpx(settled) {
  const { kind, table } = settled.can.dataset;
  const auth = key.value ? `\n    headers={"Authorization": f"Bearer {os.environ['SPIRALE_API_KEY']}"},` : "";
  const points = table.length // whose points encode its columns
    ? `table = answer.json()["table"]\nprint(len(table["rows"]), "rows, the first:", dict(zip(table["columns"], table["rows"][0])))`
    : `points = answer.json()["points"]\nprint(len(points), "points, the first:", points[0])`;
  const use = kind === "images" ? `open(${python(`${fileName(settled)}.png`)}, "wb").write(answer.content)` : points;
  return `${key.value ? "import os\n\n" : ""}import httpx

answer = httpx.post(
    ${python(here("sample"))},
    json=${python(asRequest(settled), 1)},${auth}
    timeout=120,
)
answer.raise_for_status()
${use}
`;
}

/** Why it cannot be asked through OpenAI's API; null where it can. A request there names the model alone, so that the
 * first way that this model has is the one that is taken. */
export function notByOpenai(settled) {
  const { asks, n, seed_to, guidance, guidance_interval, sampler, eta, variance, view, can: { model, dataset, ways } } = settled;
  if (dataset.kind !== "images" || asks !== "prompt") return say("openai prompts");
  if (view === "edit") return say("openai edits");
  if (view === "draw") return say("openai drawings");
  if (n > MOST_OF_OPENAI) return say("openai n", { most: MOST_OF_OPENAI });
  const { guidance: usual, defaults } = ways.find((way) => way.model === model.name);
  if (guidance !== usual) return say("openai guidance", { usual });
  if (seed_to !== null || (guidance_interval && !asAdvised(settled, defaults))) return say("openai fields");
  const same = sampler === defaults.sampler && (eta ?? defaults.eta) === defaults.eta
    && (variance ?? defaults.variance) === defaults.variance;
  return same ? null : say("openai sampler");
}

/** A card's interval comes with the scale that it advises, where a request names no scale. */
const asAdvised = ({ guidance_scale, guidance_interval }, defaults) =>
  guidance_scale === defaults.guidance_scale && String(guidance_interval) === String(defaults.guidance_interval);

export function openai(settled) {
  const { model, prompt, n, seed, steps, guidance_scale, guidance_interval } = settled;
  const secret = key.value ? `os.environ["SPIRALE_API_KEY"]` : `"none"`;
  return `import base64
${key.value ? "import os\n" : ""}
import openai

client = openai.OpenAI(base_url=${python(here("v1"))}, api_key=${secret})
answer = client.images.generate(
    model=${python(model)},
    prompt=${python(prompt)},
    n=${n},
    response_format="b64_json",
    extra_body=${python({ seed, steps, ...(guidance_interval ? {} : { guidance_scale }) })},
)
for i, image in enumerate(answer.data):
    open(f"${fileName(settled)}-{i}.png", "wb").write(base64.b64decode(image.b64_json))
`;
}

/** JSON's values as Python's literals, one field a line at the outermost `depth`. */
function python(value, depth = 0) {
  if (value === true) return "True";
  if (value === false) return "False";
  if (value === null) return "None";
  if (Array.isArray(value)) return `[${value.map((one) => python(one)).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  const fields = Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${python(one)}`);
  return depth ? `{\n        ${fields.join(",\n        ")},\n    }` : `{${fields.join(", ")}}`;
}

/** What is downloaded is called so: dataset and seed, of letters that every file system takes. */
export function fileName({ dataset, seed }) {
  return `${dataset.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "") || "samples"}-${seed}`;
}
