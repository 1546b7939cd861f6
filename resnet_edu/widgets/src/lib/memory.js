// One small value under a name in the browser's localStorage. Where that is blocked or full, nothing is kept.
export function memory(name) {
  return {
    read() {
      try {
        const value = JSON.parse(localStorage.getItem(name));
        return value && typeof value === "object" ? value : null;
      } catch {
        return null;
      }
    },
    write(value) {
      try {
        if (value === null) localStorage.removeItem(name);
        else localStorage.setItem(name, JSON.stringify(value));
      } catch {
        // a private window, a full store, a forbidden one: the page works on without
      }
    },
  };
}
