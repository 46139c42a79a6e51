// What the worker needs of the browser and Rust's bindings do not have, or only behind a flag: blobs read in place, the
// probe of WebGPU, the page's private files (OPFS), downloads into them, and a lock against a second tab.

/** Bytes of a blob, at once: workers may. Null where they cannot be read. */
export function readBlob(blob, offset, length) {
  try {
    return new Uint8Array(new FileReaderSync().readAsArrayBuffer(blob.slice(offset, offset + length)));
  } catch (error) {
    console.warn(`a file cannot be read: ${error}`);
    return null;
  }
}

/** Lets messages in before it resolves; not slowed down as a timer of zero is. */
export function tick() {
  return new Promise((resolve) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      channel.port1.close();
      resolve();
    };
    channel.port2.postMessage(null);
  });
}

/** Resolves after a while. */
export function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** The WebGPU adapter as JSON of `AdapterInfo`, or `{ problem }`. */
export async function probe() {
  if (!navigator.gpu) {
    const secure = self.isSecureContext ? "" : " Pages see it over https or on localhost only.";
    return JSON.stringify({ problem: `this browser has no WebGPU.${secure} A current Chrome, Edge, Firefox or Safari has it` });
  }
  let adapter = null;
  try {
    adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  } catch (error) {
    return JSON.stringify({ problem: `WebGPU gives no adapter: ${error}` });
  }
  if (!adapter) {
    return JSON.stringify({
      problem: "WebGPU is there but finds no adapter: is hardware acceleration switched on in the browser's settings?",
    });
  }
  if (!adapter.features.has("timestamp-query")) {
    return JSON.stringify({ problem: "the adapter lacks timestamp-query, which the trainer's GPU runtime needs" });
  }
  const info = adapter.info ?? {};
  const name = [info.vendor, info.architecture, info.description].filter(Boolean).join(" ") || "WebGPU adapter";
  return JSON.stringify({
    name,
    shader_f16: adapter.features.has("shader-f16"),
    is_fallback: Boolean(info.isFallbackAdapter ?? adapter.isFallbackAdapter),
    max_buffer_size: adapter.limits.maxBufferSize,
    max_storage_buffer_binding_size: adapter.limits.maxStorageBufferBindingSize,
  });
}

async function folder(path, create) {
  let handle = await navigator.storage.getDirectory();
  for (const part of path) handle = await handle.getDirectoryHandle(part, { create });
  return handle;
}

const parts = (path) => path.split("/").filter(Boolean);
const isMissing = (error) => error?.name === "NotFoundError" || error?.name === "TypeMismatchError";

/** Writes a file whole: the new contents take the old ones' place when they are all there. */
export async function storeWrite(path, bytes) {
  const names = parts(path);
  const name = names.pop();
  const file = await (await folder(names, true)).getFileHandle(name, { create: true });
  const stream = await file.createWritable();
  try {
    await stream.write(bytes);
    await stream.close();
  } catch (error) {
    await stream.abort().catch(() => {});
    throw error;
  }
}

/** A stored file, or null. */
export async function storeFile(path) {
  const names = parts(path);
  const name = names.pop();
  try {
    return await (await (await folder(names, false)).getFileHandle(name)).getFile();
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** A stored file's bytes, or null. */
export async function storeRead(path) {
  const file = await storeFile(path);
  return file && new Uint8Array(await file.arrayBuffer());
}

/** Names in a stored folder, with sizes (a folder's is that of all that is in it): JSON. */
export async function storeList(path) {
  const sized = async (handle) => {
    if (handle.kind === "file") return (await handle.getFile()).size;
    let size = 0;
    for await (const inner of handle.values()) size += await sized(inner);
    return size;
  };
  const entries = [];
  try {
    for await (const handle of (await folder(parts(path), false)).values()) {
      entries.push({ name: handle.name, size: await sized(handle) });
    }
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
  return JSON.stringify(entries);
}

/** Removes a stored file or folder; it may be missing. */
export async function storeDelete(path) {
  const names = parts(path);
  const name = names.pop();
  try {
    await (await folder(names, false)).removeEntry(name, { recursive: true });
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

/** `{ quota, usage }` in bytes, as JSON. */
export async function storeEstimate() {
  const { quota = 0, usage = 0 } = (await navigator.storage?.estimate?.()) ?? {};
  return JSON.stringify({ quota, usage });
}

/** Fetches one of the page's own files. */
export async function fetchBeside(name) {
  const response = await fetch(new URL(name, self.location.href));
  if (!response.ok) throw new Error(`HTTP ${response.status} for ${response.url}, one of the page's own files`);
  return new Uint8Array(await response.arrayBuffer());
}

/**
 * Fetches a file into the store, or the rest of it where a part is there. `progress(done, total)` hears of it. A connection that
 * breaks and a server that is busy are tried again, with longer and longer waits. Resolves to whether the server has the file.
 */
export async function fetchToStore(url, path, progress) {
  if (await storeFile(path)) return true;
  for (let attempt = 1; ; attempt++) {
    try {
      return await fetchRest(url, path, progress);
    } catch (error) {
      if (!error.passes || attempt === ATTEMPTS) throw error;
      await sleep(500 * 2 ** attempt);
    }
  }
}

const ATTEMPTS = 4;

/** An error that may be gone on another attempt. */
const passing = (message) => Object.assign(new Error(message), { passes: true });

const REASONS = {
  401: " (the model does not exist, or needs a login: pick its files from your disk instead)",
  403: " (no access: pick the model's files from your disk instead)",
  429: " (too many requests: wait a little, then load it again to go on from there)",
};

async function fetchRest(url, path, progress) {
  const partial = `${path}.part`;
  const begun = (await storeFile(partial))?.size ?? 0;
  const response = await fetch(url, begun ? { headers: { range: `bytes=${begun}-` } } : {}).catch((error) => {
    throw passing(`${url} cannot be reached (${error.message}): is the address right, and are you online?`);
  });
  if (response.status === 404) return false;
  if (response.status === 416) {
    await storeDelete(partial);
    throw passing(`${url} has changed`);
  }
  if (!response.ok) {
    const message = `HTTP ${response.status}${REASONS[response.status] ?? ""} for ${url}`;
    throw response.status === 429 || response.status >= 500 ? passing(message) : new Error(message);
  }
  const resumed = response.status === 206;
  let done = resumed ? begun : 0;
  const total = done + Number(response.headers.get("content-length") ?? 0);
  const broke = (reason) =>
    passing(`the connection broke at ${done} of ${total} bytes of ${url}${reason}: load it again to go on from there`);
  const names = parts(partial);
  const name = names.pop();
  const directory = await folder(names, true);
  const handle = await directory.getFileHandle(name, { create: true });
  const access = await handle.createSyncAccessHandle();
  try {
    if (!resumed) access.truncate(0);
    const reader = response.body.getReader();
    for (;;) {
      const { value, done: ended } = await reader.read().catch((error) => {
        throw broke(` (${error.message})`);
      });
      if (ended) break;
      access.write(value, { at: done });
      done += value.length;
      progress(done, total);
    }
    access.flush();
  } finally {
    access.close();
  }
  if (done < total && !response.headers.get("content-encoding")) throw broke("");
  if (handle.move) {
    await handle.move(parts(path).pop());
  } else {
    await storeWrite(path, await handle.getFile());
    await storeDelete(partial);
  }
  return true;
}

let release = null;

/** How long to wait for the lock: the worker of a page that was left or reloaded may still be in a step. */
const LOCK_WAIT = 10_000;

/** Takes the lock that one run in all tabs may hold; false where another tab keeps it. */
export function lockRun() {
  if (!navigator.locks) return Promise.resolve(true);
  return new Promise((resolve, reject) => {
    navigator.locks
      .request("lorelei-run", { signal: AbortSignal.timeout(LOCK_WAIT) }, () => {
        resolve(true);
        return new Promise((free) => (release = free));
      })
      .catch((error) => (error.name === "TimeoutError" ? resolve(false) : reject(error)));
  });
}

/** Gives it back. */
export function unlockRun() {
  release?.();
  release = null;
}

/** The messages that came before the module ran. */
export function earlyMessages() {
  return self.earlyMessages?.splice(0) ?? [];
}

/** A parameter of the page's address, which the page hands on: `?kernels=wgsl`, for tests and comparisons. */
export function parameter(name) {
  return new URLSearchParams(self.location.search).get(name) ?? undefined;
}

/** Bytes of this module's memory. */
export function heapBytes(memory) {
  return memory.buffer.byteLength;
}
