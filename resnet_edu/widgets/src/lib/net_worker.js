// The worker in which trained nets run (workers/dissecting.js), for all explorers that have such nets.

const PATIENCE = 30; // seconds for a kernel's answer

/** Weights and worker as they come from a kernel. */
const fromKernel = (model) => ({
  worker: () => Promise.resolve(`${model.get("_worker")}\nrxWorkers.dissecting()`),
  data: (net) => new Promise((done, fail) => {
    const end = (settle, result) => {
      clearTimeout(timer);
      model.off("msg:custom", hear);
      settle(result);
    };
    const timer = setTimeout(() => end(fail, new Error(`the kernel has sent nothing for ${PATIENCE} seconds; when it is idle, run this cell again`)), 1000 * PATIENCE);
    const hear = ({ weights, problem }, [view] = []) => {
      if (weights !== net) return;
      if (problem) end(fail, new Error(problem));
      else end(done, new Uint8Array(view.buffer, view.byteOffset, view.byteLength).slice());
    };
    model.on("msg:custom", hear);
    model.send({ weights: net });
  }),
});

/**
 * The worker of an explorer with a trait `files` (net -> sha256 and bytes of its weights).
 *
 * worker, data: what a page hands to an explorer; without them both come from the kernel. heard(message) gets what the
 * worker says, failed(error) what went wrong.
 * Returns { open(nets, telling), post(message), megabytes(nets), end() }. open() brings weights into the worker, and calls
 * telling(net) before each.
 */
export function netWorker({ model, worker, data, heard, failed }) {
  const source = worker ? { worker, data } : fromKernel(model);
  const files = model.get("files");
  let [running, url, ended] = [null, null, false];
  return {
    async open(nets, telling = () => {}) {
      try {
        url ??= URL.createObjectURL(new Blob([await source.worker("dissecting")], { type: "text/javascript" }));
        if (!running && !ended) {
          running = new Worker(url);
          running.onmessage = (event) => heard(event.data);
          running.onerror = failed;
        }
        for (const net of nets) {
          telling(net);
          const found = await source.data(net, "dissecting");
          if (ended) return; // taken away in the meantime
          running.postMessage({ net, [typeof found === "string" ? "base64" : "bytes"]: found, sha256: files[net].sha256 });
        }
      } catch (error) {
        failed(error);
      }
    },
    post: (message) => running.postMessage(message),
    megabytes: (nets) => (nets.reduce((sum, net) => sum + files[net].bytes, 0) * (worker ? 4 / 3 : 1)) / 1e6, // as text in a page
    end() {
      ended = true;
      running?.terminate();
      if (url) URL.revokeObjectURL(url);
    },
  };
}
