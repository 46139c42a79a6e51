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

/** The WebGPU adapter as JSON of `AdapterInfo`, or `{ problem }`: a word that `device.rs` has a text for, or an exception's text. */
export async function probe() {
  if (!navigator.gpu) {
    return JSON.stringify({ problem: self.isSecureContext ? "missing" : "insecure" });
  }
  let adapter = null;
  try {
    adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  } catch (error) {
    return JSON.stringify({ problem: String(error) });
  }
  if (!adapter) {
    return JSON.stringify({ problem: "no adapter" });
  }
  if (!adapter.features.has("timestamp-query")) {
    return JSON.stringify({ problem: "no timestamp-query" });
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

/** Removes a stored file that is older than a time. */
export async function storeExpire(path, milliseconds) {
  const file = await storeFile(path);
  if (file && Date.now() - file.lastModified > milliseconds) await storeDelete(path);
}

/** Whether stored files can be written in place. */
export function canStore() {
  return Boolean(
    navigator.storage?.getDirectory && globalThis.FileSystemFileHandle?.prototype?.createSyncAccessHandle,
  );
}

/** Opens a stored file, which is made empty, for `accessWrite`. */
export async function accessOpen(path) {
  const names = parts(path);
  const name = names.pop();
  const handle = await (await folder(names, true)).getFileHandle(name, { create: true });
  const access = await handle.createSyncAccessHandle();
  access.truncate(0);
  return access;
}

/** Writes bytes from byte `at` on, at once: workers may. Returns how many there was room for. */
export function accessWrite(access, bytes, at) {
  return access.write(bytes, { at });
}

/** Closes the file; its contents are then where `storeFile` finds them. */
export function accessClose(access) {
  access.flush();
  access.close();
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

/** Renames a stored file, in place of one that has the name already. */
export async function storeRename(path, name) {
  const names = parts(path);
  const old = names.pop();
  const directory = await folder(names, false);
  const handle = await directory.getFileHandle(old);
  if (handle.move) {
    await handle.move(name);
  } else {
    await storeWrite([...names, name].join("/"), await handle.getFile());
    await directory.removeEntry(old);
  }
}

/** How long a server may be silent, in milliseconds. A file as a whole may take hours. */
const SILENCE = 30_000;

/**
 * Asks for a file, or for its bytes from `from` on. Resolves when the head of the answer is there, to the answer: `head` is the JSON of a `Head`. What
 * it means is decided in Rust. `closeUrl` ends it, read or not.
 */
export async function openUrl(url, from) {
  const abort = new AbortController();
  let timer = 0;
  const isHeard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => abort.abort(new Error(`silent for ${SILENCE / 1000} seconds`)), SILENCE);
  };
  const close = () => {
    clearTimeout(timer);
    abort.abort();
  };
  isHeard();
  try {
    const headers = from ? { range: `bytes=${from}-` } : {};
    // What is fetched is stored by the worker: the browser's cache would hold weights twice, and asks for parts of its own.
    const response = await fetch(url, { headers, cache: "no-store", signal: abort.signal });
    isHeard();
    const value = (name) => response.headers.get(name);
    // The length is that of what is sent; the browser unpacks it.
    const length = value("content-encoding") ? null : value("content-length");
    const head = JSON.stringify({
      status: response.status,
      error_code: value("x-error-code"),
      error_message: value("x-error-message"),
      retry_after: value("retry-after"),
      rate_limit: value("ratelimit"),
      content_range: value("content-range"),
      content_length: length === null ? null : Number(length),
    });
    return { head, response, isHeard, close };
  } catch (error) {
    close();
    throw error;
  }
}

/** Ends an answer. */
export function closeUrl(opened) {
  opened.close();
}

/**
 * Writes an answer's body into a stored file from byte `at` on, and cuts off what was there. `progress(done)` hears of it. Resolves to the JSON of an
 * `End`; a storage that cannot be written is an exception.
 */
export async function readInto(opened, path, at, longest, progress) {
  const names = parts(path);
  const name = names.pop();
  const handle = await (await folder(names, true)).getFileHandle(name, { create: true });
  const access = await handle.createSyncAccessHandle();
  const end = { done: at, broken: null, is_longer: false };
  try {
    access.truncate(at);
    const reader = opened.response.body?.getReader();
    while (reader) {
      let piece;
      try {
        piece = await reader.read();
      } catch (error) {
        end.broken = String(error?.message ?? error);
        break;
      }
      opened.isHeard();
      if (piece.done) break;
      if (end.done + piece.value.length > longest) {
        end.is_longer = true;
        break;
      }
      access.write(piece.value, { at: end.done });
      end.done += piece.value.length;
      progress(end.done);
    }
    access.flush();
  } finally {
    access.close();
  }
  return JSON.stringify(end);
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
