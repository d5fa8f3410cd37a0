"use strict";
// What the page of a collection can do besides showing it: upload, make folders, delete, restore.
// Everything is an ordinary WebDAV request; the server decides what is allowed.
(() => {
  const base = document.body.dataset.base;
  const told = document.getElementById("told");
  const tell = (text, bad = false) => {
    told.textContent = text;
    told.classList.toggle("bad", bad);
  };

  const send = (method, path, headers = {}, body = null, progress = null) =>
    new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open(method, path);
      for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
      if (progress) request.upload.onprogress = (event) => progress(event.loaded, event.total);
      request.onload = () => {
        if (request.status >= 200 && request.status < 300 && request.status !== 207) resolve(request);
        else {
          const failure = new Error(`${request.status} ${request.status === 207 ? "some of it stayed" : request.responseText.slice(0, 300)}`);
          failure.status = request.status;
          reject(failure);
        }
      };
      request.onerror = () => reject(new Error("the server cannot be reached"));
      request.send(body);
    });

  const act = async (doing, work) => {
    tell(`${doing} …`);
    try {
      await work();
    } catch (failure) {
      tell(`${doing}: ${failure.message}`, true);
      return;
    }
    location.reload();
  };

  const put = async (file) => {
    const path = base + encodeURIComponent(file.name);
    const headers = { "Content-Type": file.type || "application/octet-stream" };
    if (file.lastModified) headers["X-OC-Mtime"] = String(Math.floor(file.lastModified / 1000));
    const progress = (sent, all) => tell(`Uploading ${file.name}: ${all ? Math.floor((100 * sent) / all) : 100} %`);
    try {
      await send("PUT", path, { ...headers, "If-None-Match": "*" }, file, progress);
    } catch (failure) {
      if (failure.status !== 412 || !confirm(`Replace ${file.name}?`)) throw failure;
      await send("PUT", path, headers, file, progress);
    }
  };

  const upload = (files) =>
    act("Uploading", async () => {
      for (const file of files) await put(file);
    });

  const chosen = document.getElementById("files");
  if (chosen) {
    chosen.addEventListener("change", () => upload([...chosen.files]));
    document.getElementById("folder").addEventListener("click", () => {
      const name = prompt("Name of the folder");
      if (name) act(`Making ${name}`, () => send("MKCOL", `${base}${encodeURIComponent(name)}/`));
    });
    document.addEventListener("dragover", (event) => {
      event.preventDefault();
      document.body.classList.add("over");
    });
    document.addEventListener("dragleave", () => document.body.classList.remove("over"));
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      document.body.classList.remove("over");
      upload([...event.dataTransfer.files]);
    });
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-href]");
    if (!button) return;
    const { href, name, target } = button.dataset;
    if (target) act(`Restoring ${name}`, () => send("MOVE", href, { Destination: target, Overwrite: "F" }));
    else if (confirm(`Delete ${name}?`)) act(`Deleting ${name}`, () => send("DELETE", href));
  });
})();
