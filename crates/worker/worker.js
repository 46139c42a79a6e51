// The worker's first lines: fetches the trainer's module, telling the page how far it is, and starts it.

import init from "./lorelei-worker.js";

// A rejection that nobody awaits is not an error of the worker by itself, and a panic in asynchronous code is one: the page
// would wait for ever. Thrown again outside of the promise it reaches the page's `onerror`.
self.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  setTimeout(() => {
    throw event.reason;
  });
});

const tell = (reply) => postMessage({ json: JSON.stringify(reply) });

// A GPU that is lost (a driver that was reset, a machine that slept) takes the model with it, and what was asked of it is never
// answered: the page is told, and can start the trainer anew.
if (self.GPUAdapter) {
  const { requestDevice } = GPUAdapter.prototype;
  GPUAdapter.prototype.requestDevice = async function (descriptor) {
    const device = await requestDevice.call(this, descriptor);
    device.lost.then(({ reason, message }) => {
      if (reason !== "destroyed") tell({ reply: "broken", message: `the GPU was lost: ${message || reason}` });
    });
    return device;
  };
}

// Requests that come before the module runs wait here; the module takes `onmessage` over and asks for them.
const early = [];
self.onmessage = (event) => early.push(event);
self.earlyMessages = early;

const response = await fetch(new URL("./lorelei-worker_bg.wasm", import.meta.url));
if (!response.ok) throw new Error(`the trainer's module cannot be had: HTTP ${response.status}`);
// Of a compressed transfer the header tells the wrong length.
const total = response.headers.get("content-encoding") ? 0 : Number(response.headers.get("content-length") ?? 0);
let done = 0;
const counted = response.body.pipeThrough(
  new TransformStream({
    transform(chunk, controller) {
      done += chunk.length;
      tell({ reply: "progress", what: "trainer", done, total: Math.max(total, total && done) });
      controller.enqueue(chunk);
    },
  }),
);
await init({ module_or_path: new Response(counted, { headers: { "content-type": "application/wasm" } }) });
