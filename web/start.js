// Runs before the first paint: puts the chosen theme into the document, then loads the page's module. It is a file of its own because
// the page's content security policy allows no script inside the document.

try {
  const theme = localStorage.getItem("lorelei.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // A browser that forbids storage has no choice to remember.
}

const boot = document.getElementById("boot");
try {
  const { default: init } = await import("./lorelei-web.js");
  await init({ module_or_path: new URL("./lorelei-web_bg.wasm", import.meta.url) });
} catch (error) {
  boot.hidden = false;
  boot.textContent =
    "The page could not be started: it needs a browser with WebAssembly and its files beside it. " +
    "页面无法启动：需要支持 WebAssembly 的浏览器及完整的文件。 (" + error + ")";
}
