// Answers `asked.json` with wllama, which is llama.cpp in a browser: `{ prompt, max_tokens, models: { name: [model, ...adapters] } }`, of files beside
// this one. What it says of each model goes into the page, as JSON.

import { Wllama } from "./index.js";

async function blob(file) {
  const response = await fetch(file);
  if (!response.ok) throw new Error(`HTTP ${response.status} for ${file}`);
  return response.blob();
}

/** `{ raw, chat }`: the completion of the prompt, with the log-probabilities of the likeliest tokens, and the answer to it. Both are greedy. */
async function answer({ prompt, max_tokens }, files) {
  const wllama = new Wllama({ default: new URL("wllama.wasm", location.href).href }, { allowOffline: true });
  // Its code for browsers that lack something is on another server.
  wllama.setCompat(null);
  const blobs = await Promise.all(files.map(blob));
  // It names the files so in its file system, and takes the first for the model.
  const digits = (number) => String(number).padStart(5, "0");
  const path = (index) => `models/model-${digits(index + 1)}-of-${digits(files.length)}.gguf`;
  const lora_adapters = files.slice(1).map((_, index) => ({ path: path(index + 1) }));
  await wllama.loadModel(blobs, { n_ctx: 256, n_gpu_layers: 0, n_threads: 1, warmup: false, lora_adapters });
  const greedy = { temperature: 0, max_tokens };
  const raw = await wllama.createCompletion({ prompt, logprobs: 5, n_probs: 5, ignore_eos: true, ...greedy });
  const chat = await wllama.createChatCompletion({ messages: [{ role: "user", content: prompt }], ...greedy });
  await wllama.exit();
  return { raw: raw.choices[0].logprobs.content, chat: chat.choices[0].message.content };
}

const shown = document.querySelector("pre");
try {
  const asked = await (await fetch("asked.json")).json();
  const answers = {};
  for (const [name, files] of Object.entries(asked.models)) answers[name] = await answer(asked, files);
  shown.textContent = JSON.stringify(answers);
} catch (error) {
  shown.textContent = JSON.stringify({ error: `${error} ${error.stack}` });
}
